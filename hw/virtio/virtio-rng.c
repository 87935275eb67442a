/* SPDX-License-Identifier: MIT */
/*
 * virtio-rng-pci: random bytes from the host.
 *
 * Source: VIRTIO 1.2, section 5.4 "Entropy Device".  The driver gives buffers, the device fills
 * them, in part if it likes; there are no features and no configuration.
 */
#include "hw/virtio/virtio-pci.h"
#include "util/entropy.h"
#include "util/timer.h"

#define QUEUE_SIZE 8

typedef struct VirtIORng {
    VirtIOPCI proxy;                    /* always first */
    VirtIODevice vdev;
    char *rng;                          /* id of an object; NULL: the kernel's generator */
    uint64_t max_bytes;                 /* in each period */
    uint32_t period;                    /* ms */

    EntropySource *source;
    unsigned waiting;                   /* id of entropy_wait, 0: not waiting */
    int64_t quota;                      /* bytes left in this period */
    Timer refill;                       /* begins the next period; pending once bytes were given */
} VirtIORng;

static void serve(VirtIORng *s);

static VirtIORng *rng_of(VirtIODevice *v)
{
    return (VirtIORng *)((char *)v - offsetof(VirtIORng, vdev));
}

static void source_ready(void *opaque)
{
    VirtIORng *s = opaque;

    s->waiting = 0;
    serve(s);
}

/* Bytes put into e's buffers, no more than `most`; 0: none now.  Fewer than asked for are fine. */
static size_t fill(VirtIORng *s, const VirtQElement *e, size_t most)
{
    size_t done = 0;

    for (unsigned i = 0; i < e->in_num && done < most; i++) {
        size_t want = MIN(e->in[i].iov_len, most - done);
        ssize_t got = entropy_read(s->source, e->in[i].iov_base, want);
        if (got <= 0) {
            break;
        }
        done += got;
        if ((size_t)got < want) {
            break;
        }
    }
    return done;
}

static void start_period(VirtIORng *s)
{
    if (!timer_pending(&s->refill)) {
        timer_mod(&s->refill, vclock_ns() + s->period * NS_PER_MS);
    }
}

static void serve(VirtIORng *s)
{
    VirtQueue *vq = virtio_queue(&s->vdev, 0);
    VirtQElement *e;

    while (!s->waiting && s->quota > 0 && (e = virtqueue_pop(vq, sizeof(*e)))) {
        size_t n = fill(s, e, MIN(e->in_len, (uint64_t)s->quota));
        if (n || !e->in_len) {
            s->quota -= n;
            start_period(s);
            virtqueue_push(vq, e, n);
        } else {
            virtqueue_unpop(vq, e);
            s->waiting = entropy_wait(s->source, source_ready, s);
        }
        g_free(e);
    }
    virtqueue_notify(vq);
}

static void rng_output(VirtQueue *vq)
{
    serve(rng_of(virtqueue_device(vq)));
}

static void period_over(void *opaque)
{
    VirtIORng *s = opaque;

    s->quota = MIN(s->max_bytes, (uint64_t)INT64_MAX);
    serve(s);
}

static void stop_waiting(VirtIORng *s)
{
    if (s->waiting) {
        entropy_cancel(s->waiting);
        s->waiting = 0;
    }
}

static void rng_reset(VirtIODevice *v)
{
    stop_waiting(rng_of(v));
}

static void rng_status_changed(VirtIODevice *v, uint8_t old)
{
    if (virtio_is_running(v)) {
        serve(rng_of(v));
    }
}

static void rng_queue_reset(VirtQueue *vq)
{
    stop_waiting(rng_of(virtqueue_device(vq)));
}

static const VirtIOType virtio_rng_type = {
    .name = "virtio-rng", .id = VIRTIO_ID_RNG, .status_changed = rng_status_changed,
    .reset = rng_reset, .queue_reset = rng_queue_reset,
};

/* ---- life ---------------------------------------------------------------------------- */

static bool find_source(VirtIORng *s, Error **err)
{
    if (!s->rng) {
        s->source = entropy_new("", NULL, err);
        return s->source;
    }
    s->source = entropy_find(s->rng);
    if (!s->source) {
        return fail(err, "virtio-rng-pci: rng=%s: there is no such object (-object rng-random,id=%s)",
                    s->rng, s->rng);
    }
    entropy_ref(s->source);
    return true;
}

static bool rng_realize(Device *dev, Error **err)
{
    VirtIORng *s = (VirtIORng *)dev;

    if (!s->period || s->period > INT32_MAX) {
        return fail(err, "virtio-rng-pci: period=%u: use 1 to %d milliseconds", s->period, INT32_MAX);
    }
    if (!s->max_bytes || s->max_bytes > INT64_MAX) {
        return fail(err, "virtio-rng-pci: max-bytes=%" G_GUINT64_FORMAT ": use 1 to %" G_GINT64_FORMAT,
                    s->max_bytes, INT64_MAX);
    }
    if (!find_source(s, err)) {
        return false;
    }
    if (!virtio_init(&s->vdev, dev, &virtio_rng_type, 0, 1, err)) {
        entropy_unref(s->source);
        return false;
    }
    virtio_add_queue(&s->vdev, QUEUE_SIZE, rng_output);
    if (!virtio_pci_realize(&s->proxy, &s->vdev, 2, err)) {
        virtio_exit(&s->vdev);
        entropy_unref(s->source);
        return false;
    }
    s->quota = s->max_bytes;
    timer_init(&s->refill, ORRERY_CLOCK_VIRTUAL, period_over, s);
    return true;
}

static void rng_unrealize(Device *dev)
{
    VirtIORng *s = (VirtIORng *)dev;

    stop_waiting(s);
    timer_del(&s->refill);
    virtio_pci_unrealize(&s->proxy);
    virtio_exit(&s->vdev);
    entropy_unref(s->source);
}

static void rng_pre_load(void *opaque)
{
    stop_waiting(opaque);
}

static bool rng_post_load(void *opaque, int version, Error **err)
{
    VirtIORng *s = opaque;

    if (s->quota < 0 || (uint64_t)s->quota > s->max_bytes) {
        return fail(err, "virtio-rng: quota of %" G_GINT64_FORMAT " bytes", s->quota);
    }
    if (virtio_is_running(&s->vdev)) {
        s->waiting = entropy_wait(s->source, source_ready, s);  /* for buffers that wait */
    }
    return true;
}

static const VMField rng_fields[] = {
    VM_STRUCT(VirtIORng, proxy, vm_virtio_pci), VM_STRUCT(VirtIORng, vdev, vm_virtio),
    VM_UINT(VirtIORng, quota), VM_TIMER(VirtIORng, refill),
    VM_DONE
};
static const VMState vm_rng = { .name = "virtio-rng", .pre_load = rng_pre_load,
                                .post_load = rng_post_load, .fields = rng_fields };

VIRTIO_PCI_DEVICE(virtio_rng_pci, "virtio-rng-pci", "virtio-rng", "Virtio entropy device", "Misc",
                  0x00ff, VirtIORng, NULL, vm_rng, rng_realize, rng_unrealize,
                  PROP_STRING("rng", VirtIORng, rng, NULL, "id of an rng- object; none: the host's kernel"),
                  PROP_SIZE("max-bytes", VirtIORng, max_bytes, INT64_MAX, "given in a period"),
                  PROP_UINT("period", VirtIORng, period, 1 << 16, "milliseconds"),
                  VIRTIO_PCI_IOEVENTFD(VirtIORng, true), VIRTIO_RING_PROPS(VirtIORng, vdev));
