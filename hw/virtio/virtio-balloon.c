/* SPDX-License-Identifier: MIT */
/*
 * virtio-balloon-pci: the guest gives memory back to the host, and takes it again.
 *
 * Source: VIRTIO 1.2, section 5.5 "Traditional Memory Balloon Device".
 *
 *     configuration   num_pages (wanted in the balloon), actual (there), hint id, poison_val
 *     queue 0         the driver fills the balloon with these pages (32-bit page numbers)
 *     queue 1         ... takes these out again
 *     queue 2         statistics of the guest: one buffer that goes to and fro
 *     queue 3         ranges of memory that are free at the moment (with free-page-reporting)
 *
 * A page in the balloon reads as zeroes when it is used again.  Free page hinting, which only
 * migration uses, is not offered.
 */
#include "hw/virtio/virtio-balloon.h"

#include <string.h>

#include "hw/core/machine.h"
#include "hw/virtio/virtio-pci.h"
#include "util/bits.h"
#include "util/event.h"
#include "util/iov.h"
#include "util/log.h"
#include "util/timer.h"

#define F_STATS_VQ          1
#define F_DEFLATE_ON_OOM    2
#define F_PAGE_POISON       4
#define F_REPORTING         5

#define CFG_NUM_PAGES       0
#define CFG_ACTUAL          4
#define CFG_POISON          12
#define CFG_SIZE            8
#define CFG_SIZE_POISON     16

#define QUEUE_SIZE          128
#define REPORTING_SIZE      32
#define STATS_QUEUE         2
#define PFNS_MAX            1024        /* page numbers taken of one request */
#define STAT_SIZE           10          /* a tag of 2 bytes, a value of 8 */
#define STATS_SAVED_MAX     (1 << 16)

/* By tag, as clients of the machine protocol know them */
static const char *const stat_names[] = {
    "stat-swap-in", "stat-swap-out", "stat-major-faults", "stat-minor-faults", "stat-free-memory",
    "stat-total-memory", "stat-available-memory", "stat-disk-caches", "stat-htlb-pgalloc",
    "stat-htlb-pgfail",
};
#define STATS G_N_ELEMENTS(stat_names)

typedef struct VirtIOBalloon {
    VirtIOPCI proxy;                    /* always first */
    VirtIODevice vdev;
    bool deflate_on_oom, reporting, page_poison;
    uint32_t num_pages, actual;         /* pages of 4 KiB */
    uint32_t poison;                    /* what the guest fills free pages with */

    uint64_t stats[STATS];              /* UINT64_MAX: not told */
    int64_t stats_time;                 /* of the wall clock, seconds; 0: never */
    VirtQElement *stats_buffer;         /* the driver's; pushed to ask for new ones */
    uint32_t interval;                  /* seconds between questions, 0: none */
    Timer ask;
    uint8_t *saved;                     /* stats_buffer in saved state */
    uint32_t saved_len;
} VirtIOBalloon;

static VirtIOBalloon *the_balloon;

static VirtIOBalloon *balloon_of(VirtIODevice *v)
{
    return (VirtIOBalloon *)((char *)v - offsetof(VirtIOBalloon, vdev));
}

/* ---- pages --------------------------------------------------------------------------- */

static void inflate_page(VirtIOBalloon *s, uint32_t pfn)
{
    hwaddr addr = (hwaddr)pfn << GUEST_PAGE_BITS;
    MemSection m;

    if (!address_space_lookup(s->vdev.transport.dma, addr, &m) || m.region->kind != REGION_RAM
        || !section_direct_store(&m) || m.start + m.size < addr + GUEST_PAGE_SIZE) {
        LOG_GUEST("virtio-balloon: page %x is no RAM", pfn);
        return;
    }
    ram_discard(m.region->ram, m.off + (addr - m.start), GUEST_PAGE_SIZE);
}

static void inflate(VirtIOBalloon *s, const VirtQElement *e)
{
    uint8_t pfn[4];
    size_t count = MIN(e->out_len / sizeof(pfn), PFNS_MAX);

    for (size_t i = 0; i < count; i++) {
        iov_to_buf(e->out, e->out_num, i * sizeof(pfn), pfn, sizeof(pfn));
        inflate_page(s, ld32_le(pfn));
    }
}

static void balloon_output(VirtQueue *vq)
{
    VirtIOBalloon *s = balloon_of(virtqueue_device(vq));
    VirtQElement *e;

    while ((e = virtqueue_pop(vq, sizeof(*e)))) {
        if (virtqueue_index(vq) == 0) {
            inflate(s, e);
        }
        virtqueue_push(vq, e, 0);
        g_free(e);
    }
    virtqueue_notify(vq);
}

/* Whole pages of what is free now.  A guest that relies on its poison wants to find it again. */
static void discard_free(VirtIOBalloon *s, const struct iovec *part)
{
    uint64_t off, first, end;
    RamBlock *b = ram_block_from_host(part->iov_base, &off);

    if (!b || (virtio_has(&s->vdev, F_PAGE_POISON) && s->poison)) {
        return;
    }
    first = (off + GUEST_PAGE_SIZE - 1) & GUEST_PAGE_MASK;
    end = (off + part->iov_len) & GUEST_PAGE_MASK;
    if (first < end) {
        ram_discard(b, first, end - first);
    }
}

static void reporting_output(VirtQueue *vq)
{
    VirtIOBalloon *s = balloon_of(virtqueue_device(vq));
    VirtQElement *e;

    while ((e = virtqueue_pop(vq, sizeof(*e)))) {
        for (unsigned i = 0; i < e->in_num; i++) {
            discard_free(s, &e->in[i]);
        }
        virtqueue_push(vq, e, 0);
        g_free(e);
    }
    virtqueue_notify(vq);
}

/* ---- statistics ---------------------------------------------------------------------- */

static void ask_later(VirtIOBalloon *s)
{
    if (s->interval) {
        timer_mod(&s->ask, vclock_ns() + s->interval * NS_PER_SEC);
    } else {
        timer_del(&s->ask);
    }
}

static void forget_stats(VirtIOBalloon *s)
{
    memset(s->stats, 0xff, sizeof(s->stats));
}

static void ask_stats(void *opaque)
{
    VirtIOBalloon *s = opaque;
    VirtQueue *vq = virtio_queue(&s->vdev, STATS_QUEUE);

    if (!s->stats_buffer || !virtio_is_running(&s->vdev)) {
        ask_later(s);                   /* the driver is not there yet */
        return;
    }
    virtqueue_push(vq, s->stats_buffer, 0);
    g_clear_pointer(&s->stats_buffer, g_free);
    virtqueue_notify(vq);
}

static void stats_output(VirtQueue *vq)
{
    VirtIOBalloon *s = balloon_of(virtqueue_device(vq));
    VirtQElement *e = virtqueue_pop(vq, sizeof(*e));
    uint8_t stat[STAT_SIZE];

    if (!e) {
        return;
    }
    if (s->stats_buffer) {              /* there should be but one */
        virtqueue_push(vq, s->stats_buffer, 0);
        g_free(s->stats_buffer);
    }
    s->stats_buffer = e;
    forget_stats(s);
    for (size_t at = 0; at < STATS * 2 * STAT_SIZE && at + STAT_SIZE <= e->out_len; at += STAT_SIZE) {
        iov_to_buf(e->out, e->out_num, at, stat, STAT_SIZE);
        if (ld16_le(stat) < STATS) {
            s->stats[ld16_le(stat)] = ld64_le(stat + 2);
        }
    }
    s->stats_time = clock_ns(ORRERY_CLOCK_HOST) / NS_PER_SEC;
    ask_later(s);
}

static Json *get_stats(Device *dev)
{
    VirtIOBalloon *s = (VirtIOBalloon *)dev;
    Json *o = json_object(), *stats = json_object();

    for (unsigned i = 0; i < STATS; i++) {
        json_set(stats, stat_names[i], json_uint(s->stats[i]));
    }
    json_set(o, "stats", stats);
    json_set_int(o, "last-update", s->stats_time);
    return o;
}

static Json *get_interval(Device *dev)
{
    return json_uint(((VirtIOBalloon *)dev)->interval);
}

static bool set_interval(Device *dev, const Json *value, Error **err)
{
    VirtIOBalloon *s = (VirtIOBalloon *)dev;
    bool number = value->type == JSON_UINT || value->type == JSON_INT;
    int64_t n = !number ? -1 : value->type == JSON_UINT ? (int64_t)value->u : value->i;

    if (n < 0 || n > INT32_MAX) {
        return fail(err, "guest-stats-polling-interval: seconds from 0 to %d are needed", INT32_MAX);
    }
    s->interval = n;
    if (n && s->stats_buffer) {
        ask_stats(s);                   /* the first time at once */
    } else {
        ask_later(s);
    }
    return true;
}

static const LiveProp balloon_live[] = {
    { "guest-stats", "guest statistics", get_stats, NULL },
    { "guest-stats-polling-interval", "int", get_interval, set_interval },
    { NULL }
};

/* ---- configuration ------------------------------------------------------------------- */

static uint64_t balloon_features(VirtIODevice *v)
{
    VirtIOBalloon *s = balloon_of(v);

    return VIRTIO_BIT(F_STATS_VQ) | (s->deflate_on_oom ? VIRTIO_BIT(F_DEFLATE_ON_OOM) : 0)
           | (s->page_poison ? VIRTIO_BIT(F_PAGE_POISON) : 0)
           | (s->reporting ? VIRTIO_BIT(F_REPORTING) : 0);
}

static void balloon_get_config(VirtIODevice *v)
{
    VirtIOBalloon *s = balloon_of(v);

    st32_le(v->config + CFG_NUM_PAGES, s->num_pages);
    st32_le(v->config + CFG_ACTUAL, s->actual);
    if (v->config_len > CFG_POISON) {
        st32_le(v->config + CFG_POISON, s->poison);
    }
}

static uint64_t bytes_left(const VirtIOBalloon *s)
{
    uint64_t taken = (uint64_t)s->actual << GUEST_PAGE_BITS;
    return current_machine->ram_size - MIN(taken, current_machine->ram_size);
}

static void balloon_config_written(VirtIODevice *v, unsigned off, unsigned len)
{
    VirtIOBalloon *s = balloon_of(v);
    uint32_t was = s->actual;

    s->actual = ld32_le(v->config + CFG_ACTUAL);
    if (v->config_len > CFG_POISON) {
        s->poison = ld32_le(v->config + CFG_POISON);
    }
    if (s->actual != was) {
        Json *data = json_object();
        json_set(data, "actual", json_uint(bytes_left(s)));
        event_emit("BALLOON_CHANGE", data);
    }
}

static VirtIOBalloon *find_balloon(Error **err)
{
    if (!the_balloon) {
        fail_class(err, ERR_DEVICE_NOT_ACTIVE, "No balloon device has been activated");
    }
    return the_balloon;
}

bool balloon_set_target(uint64_t bytes, Error **err)
{
    VirtIOBalloon *s = find_balloon(err);

    if (!s) {
        return false;
    }
    if (!bytes) {
        return fail(err, "Parameter 'target' expects a size");
    }
    bytes = MIN(bytes, current_machine->ram_size);
    s->num_pages = MIN((current_machine->ram_size - bytes) >> GUEST_PAGE_BITS, UINT32_MAX);
    virtio_config_changed(&s->vdev);
    return true;
}

bool balloon_actual(uint64_t *bytes, Error **err)
{
    VirtIOBalloon *s = find_balloon(err);

    if (s) {
        *bytes = bytes_left(s);
    }
    return s;
}

/* ---- life ---------------------------------------------------------------------------- */

static void drop_stats_buffer(VirtIOBalloon *s)
{
    g_clear_pointer(&s->stats_buffer, g_free);
}

/* No driver, no balloon: whatever is in memory next begins with all pages. */
static void balloon_reset(VirtIODevice *v)
{
    VirtIOBalloon *s = balloon_of(v);

    drop_stats_buffer(s);
    forget_stats(s);
    s->poison = s->actual = 0;
}

static void balloon_queue_reset(VirtQueue *vq)
{
    VirtIOBalloon *s = balloon_of(virtqueue_device(vq));

    if (virtqueue_index(vq) == STATS_QUEUE && s->stats_buffer) {
        virtqueue_detach(vq, s->stats_buffer);
        drop_stats_buffer(s);
    }
}

static const VirtIOType virtio_balloon_type = {
    .name = "virtio-balloon", .id = VIRTIO_ID_BALLOON, .features = balloon_features,
    .get_config = balloon_get_config, .config_written = balloon_config_written,
    .reset = balloon_reset, .queue_reset = balloon_queue_reset,
};

static bool balloon_realize(Device *dev, Error **err)
{
    VirtIOBalloon *s = (VirtIOBalloon *)dev;

    if (the_balloon) {
        return fail(err, "virtio-balloon-pci: there is one already");
    }
    if (!virtio_init(&s->vdev, dev, &virtio_balloon_type, s->page_poison ? CFG_SIZE_POISON : CFG_SIZE,
                     3 + s->reporting, err)) {
        return false;
    }
    virtio_add_queue(&s->vdev, QUEUE_SIZE, balloon_output);
    virtio_add_queue(&s->vdev, QUEUE_SIZE, balloon_output);
    virtio_add_queue(&s->vdev, QUEUE_SIZE, stats_output);
    if (s->reporting) {
        virtio_add_queue(&s->vdev, REPORTING_SIZE, reporting_output);
    }
    if (!virtio_pci_realize(&s->proxy, &s->vdev, 0, err)) {
        virtio_exit(&s->vdev);
        return false;
    }
    timer_init(&s->ask, ORRERY_CLOCK_VIRTUAL, ask_stats, s);
    forget_stats(s);
    dev->live = balloon_live;
    the_balloon = s;
    return true;
}

static void balloon_unrealize(Device *dev)
{
    VirtIOBalloon *s = (VirtIOBalloon *)dev;

    the_balloon = NULL;
    timer_del(&s->ask);
    virtio_pci_unrealize(&s->proxy);
    drop_stats_buffer(s);
    g_clear_pointer(&s->saved, g_free);
    virtio_exit(&s->vdev);
}

/* ---- saved state --------------------------------------------------------------------- */

static void balloon_pre_save(void *opaque)
{
    VirtIOBalloon *s = opaque;
    GByteArray *out = g_byte_array_new();

    if (s->stats_buffer) {
        virtqueue_save_element(s->stats_buffer, out);
    }
    g_free(s->saved);
    s->saved_len = out->len;
    s->saved = g_byte_array_free(out, FALSE);
}

static void balloon_pre_load(void *opaque)
{
    drop_stats_buffer(opaque);
}

static bool balloon_post_load(void *opaque, int version, Error **err)
{
    VirtIOBalloon *s = opaque;
    size_t pos = 0;

    if (s->saved_len) {
        s->stats_buffer = virtqueue_load_element(&s->vdev, s->saved, s->saved_len, &pos,
                                                 sizeof(*s->stats_buffer), err);
        if (!s->stats_buffer) {
            return false;
        }
    }
    if (pos != s->saved_len
        || (s->stats_buffer && virtqueue_index(s->stats_buffer->vq) != STATS_QUEUE)) {
        drop_stats_buffer(s);
        return fail(err, "virtio-balloon: an impossible buffer of statistics");
    }
    return true;
}

static const VMField balloon_fields[] = {
    VM_STRUCT(VirtIOBalloon, proxy, vm_virtio_pci), VM_STRUCT(VirtIOBalloon, vdev, vm_virtio),
    VM_UINT(VirtIOBalloon, num_pages), VM_UINT(VirtIOBalloon, actual), VM_UINT(VirtIOBalloon, poison),
    VM_TIMER(VirtIOBalloon, ask), VM_UINT(VirtIOBalloon, interval),
    VM_VBUFFER(VirtIOBalloon, saved, saved_len, STATS_SAVED_MAX),
    VM_DONE
};
static const VMState vm_balloon = {
    .name = "virtio-balloon", .pre_save = balloon_pre_save, .pre_load = balloon_pre_load,
    .post_load = balloon_post_load, .fields = balloon_fields,
};

VIRTIO_PCI_DEVICE(virtio_balloon_pci, "virtio-balloon-pci", "virtio-balloon", "Virtio memory balloon",
                  "Misc", 0x00ff, VirtIOBalloon, NULL, vm_balloon, balloon_realize, balloon_unrealize,
                  PROP_BOOL("deflate-on-oom", VirtIOBalloon, deflate_on_oom, false,
                            "the guest may take pages out rather than kill programs"),
                  PROP_BOOL("free-page-reporting", VirtIOBalloon, reporting, false,
                            "memory that is free in the guest goes back to the host"),
                  PROP_BOOL("page-poison", VirtIOBalloon, page_poison, true,
                            "the guest tells what it fills free pages with"),
                  VIRTIO_RING_PROPS(VirtIOBalloon, vdev));
