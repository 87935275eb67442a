/* SPDX-License-Identifier: MIT */
/*
 * Virtio network device: packets moved by the host's kernel (vhost-net), while the driver is
 * ready and a tap interface with vhost=on is behind the card.
 *
 * The kernel is not shown the driver's rings but two of ours.  The driver's buffers are popped from
 * its queue, checked as ever, and lent to the kernel by their addresses in this process; what the
 * kernel has used is pushed back.  So the driver sees nothing of what the kernel wrote before
 * translated code and the dirty log have heard of it; the driver's ring may be of any kind, and the
 * machine can be stopped and saved as without vhost: what is still lent is un-popped then.
 *
 *     driver's queue -- pop --> our avail -- kick --> kernel's thread <--> tap
 *     driver's queue <-- push -- our used <-- call -- kernel's thread
 *
 * Not done by the kernel: the control queue; and the filter of received packets does not apply.
 */
#include "hw/net/virtio-net.h"
#include "net/vhost.h"
#include "util/bits.h"
#include "util/fence.h"
#include "util/iov.h"
#include "util/mainloop.h"

#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* Our rings: VIRTIO 1.2, 2.7 */
#define DESC_SIZE       16u
#define DESC_NEXT       1
#define DESC_WRITE      2
#define DESC_INDIRECT   4
#define USED_NO_NOTIFY  1

#define HEADER_BUFFERS  10              /* where the header has the number of buffers */
#define FRAME_MIN       14u
/* With less than this lent for reception the driver is asked to tell of each buffer it adds;
 * with more the kernel calls before it runs out, and we look then. */
#define RX_PLENTY       (2 * (size_t)NET_MAX_FRAME)

/* One direction.  An element has a slot: its descriptor, or that of its indirect table. */
typedef struct Lane {
    VirtIONetVhost *p;
    VirtQueue *vq;
    unsigned size;
    uint8_t *mem, *desc, *avail, *used;
    VirtQElement **elem;                /* by slot; NULL: free */
    uint8_t **table;                    /* by slot; NULL: one buffer, no table */
    uint16_t *free_slot;                /* [n_free] */
    unsigned n_free;
    uint16_t avail_idx, used_idx;
    size_t lent;                        /* bytes */
    int kick, call;
    guint watch;
} Lane;

struct VirtIONetVhost {
    VirtIONet *n;
    unsigned pair, header;
    NetClient *back;
    Lane lane[VHOST_RINGS];
};

/* ---- our rings ------------------------------------------------------------------------------ */

static bool lane_open(Lane *l, VirtIONetVhost *p, VirtQueue *vq)
{
    unsigned size = 1;

    while (size < virtqueue_size(vq)) {
        size *= 2;                      /* a packed ring has any size */
    }
    *l = (Lane) { .p = p, .vq = vq, .size = size, .n_free = size };
    l->mem = g_malloc0(DESC_SIZE * size + (6 + 2 * size + 2) + (6 + 8 * size));
    l->desc = l->mem;
    l->avail = l->desc + DESC_SIZE * size;
    l->used = l->avail + 8 + 2 * size;
    l->elem = g_new0(VirtQElement *, size);
    l->table = g_new0(uint8_t *, size);
    l->free_slot = g_new(uint16_t, size);
    for (unsigned i = 0; i < size; i++) {
        l->free_slot[i] = size - 1 - i;
    }
    l->kick = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    l->call = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    return l->kick >= 0 && l->call >= 0;
}

static void lane_close(Lane *l)
{
    mainloop_unwatch(l->watch);
    for (unsigned i = 0; i < l->size; i++) {
        g_free(l->elem[i]);
        g_free(l->table[i]);
    }
    if (l->kick >= 0) {
        close(l->kick);
    }
    if (l->call >= 0) {
        close(l->call);
    }
    g_free(l->elem);
    g_free(l->table);
    g_free(l->free_slot);
    g_free(l->mem);
}

static VhostRing lane_ring(const Lane *l)
{
    return (VhostRing) { l->size, l->desc, l->avail, l->used, l->kick, l->call };
}

static void put_desc(uint8_t *d, const void *addr, size_t len, uint16_t flags, uint16_t next)
{
    st64_le(d, (uintptr_t)addr);
    st32_le(d + 8, len);
    st16_le(d + 12, flags);
    st16_le(d + 14, next);
}

/* Lend an element to the kernel; there is a slot: the queue has no more elements in flight. */
static void lend(Lane *l, VirtQElement *e)
{
    unsigned slot = l->free_slot[--l->n_free], n = e->out_num + e->in_num;
    const struct iovec *iov = e->out_num ? e->out : e->in;
    uint16_t write = e->out_num ? 0 : DESC_WRITE;
    uint8_t *d = l->desc + DESC_SIZE * slot;

    if (n == 1) {
        put_desc(d, iov->iov_base, iov->iov_len, write, 0);
    } else {
        l->table[slot] = g_malloc(DESC_SIZE * n);
        for (unsigned i = 0; i < n; i++) {
            put_desc(l->table[slot] + DESC_SIZE * i, iov[i].iov_base, iov[i].iov_len,
                     write | (i + 1 < n ? DESC_NEXT : 0), i + 1);
        }
        put_desc(d, l->table[slot], DESC_SIZE * n, DESC_INDIRECT, 0);
    }
    l->elem[slot] = e;
    l->lent += e->out_len + e->in_len;
    st16_le(l->avail + 4 + 2 * (l->avail_idx++ & (l->size - 1)), slot);
}

static VirtQElement *back_from(Lane *l, unsigned slot)
{
    VirtQElement *e = slot < l->size ? l->elem[slot] : NULL;

    if (e) {
        l->elem[slot] = NULL;
        g_clear_pointer(&l->table[slot], g_free);
        l->free_slot[l->n_free++] = slot;
        l->lent -= e->out_len + e->in_len;
    }
    return e;
}

static void kick(Lane *l)
{
    const uint64_t one = 1;

    if (ld16_le(l->avail + 2) == l->avail_idx) {
        return;
    }
    __atomic_thread_fence(__ATOMIC_RELEASE);        /* the entries come before the index */
    st16_le(l->avail + 2, l->avail_idx);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);        /* ... and that before the look at the flag */
    if (!(ld16_le(l->used) & USED_NO_NOTIFY) && write(l->kick, &one, sizeof(one)) < 0) {
        return;                         /* it is full of kicks */
    }
}

/* ---- from the driver to the kernel ----------------------------------------------------------- */

/* An element that the kernel would stumble over goes back, or breaks the device. */
static bool fit(const VirtIONetVhost *p, const VirtQElement *e, bool tx)
{
    VirtIODevice *v = &p->n->vdev;

    if (!tx && (e->out_num || e->in_len < p->header)) {
        virtio_error(v, "receive buffer without room for the header");
    } else if (tx && e->out_len < p->header) {
        virtio_error(v, "packet without header");
    } else {
        return !tx || (!e->in_num && e->out_len >= p->header + FRAME_MIN);
    }
    return false;
}

static void lend_all(Lane *l, bool tx)
{
    VirtQElement *e;
    bool returned = false;

    while (l->n_free && (e = virtqueue_pop(l->vq, sizeof(*e)))) {
        if (fit(l->p, e, tx)) {
            lend(l, e);
        } else {
            virtqueue_push(l->vq, e, 0);
            g_free(e);
            returned = true;
        }
    }
    kick(l);
    if (returned) {
        virtqueue_notify(l->vq);
    }
}

/* Take what there is, until the driver will tell of more or that does not matter. */
static void refill(Lane *l, bool tx)
{
    do {
        virtqueue_enable_notify(l->vq, false);
        lend_all(l, tx);
        if (!tx && l->lent >= RX_PLENTY) {
            return;
        }
        virtqueue_enable_notify(l->vq, true);
    } while (l->n_free && !virtqueue_empty(l->vq));
}

/* ---- from the kernel to the driver ------------------------------------------------------------- */

/* Before the driver sees a received packet's buffers: how many they are. */
static unsigned count_frame(VirtIONetVhost *p, const VirtQElement *first, size_t len)
{
    NetCounters *c = &p->back->sent;
    uint8_t h[2] = { 1, 0 };

    c->frames++;
    if (p->header > HEADER_BUFFERS && virtio_has(&p->n->vdev, NET_F_MRG_RXBUF)) {
        iov_to_buf(first->in, first->in_num, HEADER_BUFFERS, h, 2);
    } else if (p->header > HEADER_BUFFERS) {
        iov_from_buf(first->in, first->in_num, HEADER_BUFFERS, h, 2);
    }
    c->bytes -= MIN(len, p->header);
    return ld16_le(h);
}

static bool collect(Lane *l, bool tx)
{
    VirtIONetVhost *p = l->p;
    uint16_t end = ld16_le(l->used + 2);
    unsigned n = 0, more = 0;           /* buffers of the frame still to come */

    __atomic_thread_fence(__ATOMIC_ACQUIRE);        /* the entries come after the index */
    for (; l->used_idx != end; l->used_idx++) {
        const uint8_t *u = l->used + 4 + 8 * (l->used_idx & (l->size - 1));
        VirtQElement *e = back_from(l, ld32_le(u));
        size_t len = ld32_le(u + 4);
        if (!e) {
            continue;
        }
        if (tx) {
            p->n->nc[p->pair].sent.frames++;
            p->n->nc[p->pair].sent.bytes += e->out_len - p->header;
            len = 0;
        } else {
            more = more ? more : count_frame(p, e, len);
            more -= more != 0;
            p->back->sent.bytes += len;
        }
        virtqueue_fill(l->vq, e, len, n++);
        g_free(e);
    }
    virtqueue_flush(l->vq, n);
    return n != 0;
}

static void settle(Lane *l, bool tx)
{
    if (collect(l, tx)) {
        virtqueue_notify(l->vq);
    }
}

static void called(int fd, GIOCondition cond, void *opaque)
{
    Lane *l = opaque;
    VirtIONet *n = l->p->n;
    bool tx = l == &l->p->lane[VHOST_TX];
    uint64_t count;

    if (read(fd, &count, sizeof(count)) != sizeof(count)) {
        return;
    }
    settle(l, tx);
    if (!tx) {
        refill(l, false);
    }
    virtio_net_vhost_update(n);         /* the driver may have broken the rules */
}

/* ---- start, stop -------------------------------------------------------------------------------- */

/* What the kernel did not come to is the driver's again, as if never popped: last one first. */
static void unlend(Lane *l, uint16_t taken)
{
    while (l->n_free < l->size && l->avail_idx != taken) {
        l->avail_idx--;
        VirtQElement *e = back_from(l, ld16_le(l->avail + 4 + 2 * (l->avail_idx & (l->size - 1))));
        if (e) {
            virtqueue_unpop(l->vq, e);
            g_free(e);
        }
    }
}

static void stop(VirtIONet *n, unsigned pair, bool reset)
{
    VirtIONetVhost *p = n->vhost[pair];
    uint16_t taken[VHOST_RINGS];

    if (!p) {
        return;
    }
    n->vhost[pair] = NULL;
    bool known = p->back->ops->vhost_stop(p->back, taken);
    for (unsigned i = 0; i < VHOST_RINGS; i++) {
        if (!reset) {
            settle(&p->lane[i], i == VHOST_TX);
            unlend(&p->lane[i], known ? taken[i] : p->lane[i].used_idx);
        }
        lane_close(&p->lane[i]);
    }
    g_free(p);
}

static bool wanted(VirtIONet *n, unsigned pair)
{
    const VirtIODevice *v = &n->vdev;
    const NetClient *nc = &n->nc[pair];

    return nc->peer && nc->peer->has_vhost && (v->status & VIRTIO_STATUS_DRIVER_OK) && !v->broken
           && !n->vhost_off && net_running() && pair < n->pairs_used && !nc->link_down
           && !nc->peer->link_down && virtqueue_ready(virtio_queue(&n->vdev, 2 * pair))
           && virtqueue_ready(virtio_queue(&n->vdev, 2 * pair + 1));
}

static void region_del(void *opaque, const MemSection *s)
{
    VirtIONet *n = opaque;

    /* its memory may go with it, and no buffer of it may be lent then */
    for (unsigned i = 0; i < n->pairs && s->region && s->region->ram; i++) {
        stop(n, i, false);
    }
}

static void committed(void *opaque, bool changed)
{
    VirtIONet *n = opaque;

    if (changed && n->vhost_listens) {
        virtio_net_vhost_update(n);
    }
}

static const MemListener listener = { .region_del = region_del, .commit = committed };

static void listen(VirtIONet *n)
{
    if (!n->vhost_listens) {
        address_space_listen(n->vdev.transport.dma, &listener, n);
        n->vhost_listens = true;
    }
}

static bool give_to_kernel(VirtIONetVhost *p, Error **err)
{
    VhostHeader h = { .size = p->header, .mergeable = virtio_has(&p->n->vdev, NET_F_MRG_RXBUF) };
    VhostRing rings[VHOST_RINGS];

    for (unsigned i = 0; i < VHOST_RINGS; i++) {
        rings[i] = lane_ring(&p->lane[i]);
    }
    return p->back->ops->vhost_start(p->back, &h, rings, err);
}

static void start(VirtIONet *n, unsigned pair)
{
    VirtIONetVhost *p = g_new0(VirtIONetVhost, 1);
    Error *err = NULL;

    *p = (VirtIONetVhost) { .n = n, .pair = pair, .header = virtio_net_header(n),
                            .back = n->nc[pair].peer };
    bool ok = lane_open(&p->lane[VHOST_RX], p, virtio_queue(&n->vdev, 2 * pair));
    ok &= lane_open(&p->lane[VHOST_TX], p, virtio_queue(&n->vdev, 2 * pair + 1));
    if (!ok) {
        fail(&err, "no eventfd");
    }
    if (!ok || !give_to_kernel(p, &err)) {
        warn_report("netdev %s: %s; the kernel moves no packets until the driver starts again",
                    p->back->name, err->message);
        g_clear_error(&err);
        n->vhost_off = true;
        lane_close(&p->lane[VHOST_RX]);
        lane_close(&p->lane[VHOST_TX]);
        g_free(p);
        return;
    }
    n->vhost[pair] = p;
    for (unsigned i = 0; i < VHOST_RINGS; i++) {
        p->lane[i].watch = mainloop_watch(p->lane[i].call, G_IO_IN, called, &p->lane[i]);
        refill(&p->lane[i], i == VHOST_TX);
    }
}

/* ---- for virtio-net.c ----------------------------------------------------------------------------- */

void virtio_net_vhost_update(VirtIONet *n)
{
    bool was_off = n->vhost_off;

    for (unsigned i = 0; n->vhost && i < n->pairs; i++) {   /* NULL: not realized */
        bool want = wanted(n, i);
        if (want && !n->vhost[i]) {
            listen(n);
            start(n, i);
        } else if (!want && n->vhost[i]) {
            stop(n, i, false);
            virtio_net_go_on(n, i);
        }
    }
    if (n->vhost_off && !was_off) {
        virtio_net_vhost_update(n);     /* refused for one pair: for none */
    }
}

void virtio_net_vhost_reset(VirtIONet *n)
{
    for (unsigned i = 0; n->vhost && i < n->pairs; i++) {
        stop(n, i, true);
    }
    n->vhost_off = false;
}

void virtio_net_vhost_pause(VirtIONet *n, unsigned pair)
{
    stop(n, pair, false);
}

void virtio_net_vhost_exit(VirtIONet *n)
{
    virtio_net_vhost_reset(n);
    if (n->vhost_listens) {
        n->vhost_listens = false;
        address_space_unlisten(n->vdev.transport.dma, &listener, n);
    }
}

void virtio_net_vhost_kick(VirtIONet *n, unsigned pair, bool tx)
{
    refill(&n->vhost[pair]->lane[tx ? VHOST_TX : VHOST_RX], tx);
    if (n->vdev.broken) {
        virtio_net_vhost_update(n);
    }
}
