/* SPDX-License-Identifier: MIT */
/*
 * Virtio network device: packets, features, configuration.
 *
 * Source: VIRTIO 1.2, section 5.1.
 *
 * Each packet has a header that tells what work is left on it; that is the wire's NetOffload
 * (net/net.h), and the wire does what the other side does not take.  So checksums and TCP
 * segmentation are offered with every back-end.
 *
 * Not modelled: UDP fragmentation, receive-side scaling and hash reports.
 */
#include "hw/net/virtio-net.h"
#include "util/bits.h"
#include "util/iov.h"
#include "util/mainloop.h"

#include <string.h>

/* Configuration (5.1.4) */
#define CFG_MAC         0
#define CFG_STATUS      6
#define CFG_MAX_PAIRS   8
#define CFG_MTU         10
#define CFG_SPEED       12
#define CFG_DUPLEX      16
#define CFG_SIZE        20
#define STATUS_LINK_UP  1
#define STATUS_ANNOUNCE 2

#define SMALL           512u            /* bytes of a packet that a vCPU sends itself */
#define SMALL_BURST     16

#define HEADER_OLD      10              /* without the number of buffers */
#define HEADER_MRG      12

const char *const virtio_net_tx_kinds[] = { "bh", NULL };
const char *const virtio_net_duplex[] = { "unknown", "half", "full", NULL };

unsigned virtio_net_header(const VirtIONet *n)
{
    return virtio_has(&n->vdev, NET_F_MRG_RXBUF) || virtio_is_modern(&n->vdev) ? HEADER_MRG
                                                                              : HEADER_OLD;
}

static VirtQueue *rx_queue(VirtIONet *n, unsigned pair)
{
    return virtio_queue(&n->vdev, 2 * pair);
}

static VirtQueue *tx_queue(VirtIONet *n, unsigned pair)
{
    return virtio_queue(&n->vdev, 2 * pair + 1);
}

/* Behind the pairs the driver knows of: without NET_F_MQ that is one. */
static unsigned control_index(const VirtIONet *n)
{
    return virtio_has(&n->vdev, NET_F_MQ) ? 2 * n->pairs : 2;
}

/* ---- reception -------------------------------------------------------------------------- */

/* The driver put buffers into the queue: see if that is enough now. */
static void rx_kicked(VirtIONet *n, unsigned pair)
{
    if (n->vhost[pair]) {
        virtio_net_vhost_kick(n, pair, false);
    } else {
        net_flush(&n->nc[pair]);
    }
}

static bool net_can_receive(NetClient *nc)
{
    VirtIONet *n = nc->opaque;
    VirtQueue *vq = rx_queue(n, nc->index);

    if (!virtqueue_ready(vq) || nc->index >= n->pairs_used || n->vhost[nc->index]) {
        return false;
    }
    if (virtqueue_empty(vq)) {
        virtqueue_enable_notify(vq, true);
        return !virtqueue_empty(vq);
    }
    return true;
}

static void make_header(const NetOffload *off, uint16_t buffers, uint8_t *h)
{
    memset(h, 0, HEADER_MRG);
    if (off) {
        h[0] = off->flags;
        h[1] = off->gso;
        st16_le(h + 2, off->header_len);
        st16_le(h + 4, off->gso_size);
        st16_le(h + 6, off->csum_start);
        st16_le(h + 8, off->csum_offset);
    }
    st16_le(h + 10, buffers);
}

/* Buffers for one packet */
typedef struct Buffers {
    VirtQElement *elem[VIRTIO_QUEUE_MAX];
    unsigned n;
    size_t room;
    bool short_for_ever;                /* more buffers would not help */
} Buffers;

static void give_back(VirtQueue *vq, Buffers *b)
{
    while (b->n) {
        VirtQElement *e = b->elem[--b->n];
        virtqueue_unpop(vq, e);
        g_free(e);
    }
}

static bool take_buffers(VirtIONet *n, VirtQueue *vq, size_t need, Buffers *b)
{
    bool mergeable = virtio_has(&n->vdev, NET_F_MRG_RXBUF);

    b->n = b->room = 0;
    while (b->room < need && b->n < VIRTIO_QUEUE_MAX && (mergeable || !b->n)) {
        VirtQElement *e = virtqueue_pop(vq, sizeof(*e));
        if (!e) {
            break;
        }
        b->elem[b->n++] = e;
        b->room += e->in_len;
    }
    return b->room >= need;
}

/* Too few: be told of the next one.  The index for that is what was taken so far, so it must be
 * set before they are given back: a driver that has more out already would never reach it. */
static bool take_enough(VirtIONet *n, VirtQueue *vq, size_t need, Buffers *b)
{
    for (int tries = 0; tries < 2; tries++) {
        if (take_buffers(n, vq, need, b)) {
            return true;
        }
        b->short_for_ever = b->n && !virtio_has(&n->vdev, NET_F_MRG_RXBUF);
        if (!b->short_for_ever) {
            virtqueue_enable_notify(vq, true);
        }
        bool more = !b->short_for_ever && !virtqueue_empty(vq);
        give_back(vq, b);
        if (!more) {
            break;
        }
    }
    return false;
}

static void fill_buffers(VirtQueue *vq, Buffers *b, const uint8_t *header, unsigned hlen,
                         const struct iovec *iov, int n, size_t len)
{
    size_t at = 0;                      /* in the packet */

    for (unsigned i = 0; i < b->n; i++) {
        VirtQElement *e = b->elem[i];
        size_t skip = i ? 0 : hlen, here = MIN(len - at, e->in_len - MIN(skip, e->in_len));
        if (!i) {
            iov_from_buf(e->in, e->in_num, 0, header, hlen);
        }
        size_t to = skip, from = at, left = here, begin = 0;
        for (int k = 0; k < n && left; k++) {
            if (from < begin + iov[k].iov_len) {
                size_t off = from - begin, part = MIN(left, iov[k].iov_len - off);
                iov_from_buf(e->in, e->in_num, to, (uint8_t *)iov[k].iov_base + off, part);
                to += part;
                from += part;
                left -= part;
            }
            begin += iov[k].iov_len;
        }
        at += here;
        virtqueue_fill(vq, e, skip + here, i);
        g_free(e);
    }
    virtqueue_flush(vq, b->n);
}

static void net_batch_over(NetClient *nc)
{
    VirtIONet *n = nc->opaque;

    if (n->tx[nc->index]->received) {
        n->tx[nc->index]->received = false;
        virtqueue_notify(rx_queue(n, nc->index));
    }
}

/* The header lies in the first buffer; drivers make that one large enough. */
static bool first_holds(const Buffers *b, unsigned hlen)
{
    return b->n && b->elem[0]->in_len >= hlen;
}

static bool net_receive(NetClient *nc, const struct iovec *iov, int n, const NetOffload *off)
{
    VirtIONet *s = nc->opaque;
    VirtQueue *vq = rx_queue(s, nc->index);
    size_t len = iov_size(iov, n);
    unsigned hlen = virtio_net_header(s);
    uint8_t start[18], header[HEADER_MRG];
    Buffers b;

    size_t got = iov_to_buf(iov, n, 0, start, sizeof(start));
    if (got < 14 || !virtio_net_wanted(s, start, got)) {
        return true;
    }
    if (!take_enough(s, vq, hlen + len, &b)) {
        /* one buffer a packet, and it is too small: lost */
        return b.short_for_ever;
    }
    if (!first_holds(&b, hlen)) {
        virtio_error(&s->vdev, "receive buffer without room for the header");
        for (unsigned i = 0; i < b.n; i++) {
            virtqueue_detach(vq, b.elem[i]);
            g_free(b.elem[i]);
        }
        return true;
    }
    make_header(off && (nc->takes & NET_TAKES_CSUM) ? off : NULL, b.n, header);
    fill_buffers(vq, &b, header, hlen, iov, n, len);
    if (nc->batch) {
        s->tx[nc->index]->received = true;
    } else {
        virtqueue_notify(vq);
    }
    return true;
}

/* ---- sending ---------------------------------------------------------------------------- */

static void send_element(VirtIONet *n, unsigned pair, const VirtQElement *e)
{
    unsigned hlen = virtio_net_header(n);
    uint8_t h[HEADER_MRG] = { 0 };

    if (e->out_len < hlen + 14 || e->in_num) {
        if (e->out_len < hlen) {
            virtio_error(&n->vdev, "packet without header");
        }
        return;
    }
    iov_to_buf(e->out, e->out_num, 0, h, hlen);
    NetOffload off = {
        .flags = h[0] & NET_OFFLOAD_CSUM, .gso = h[1], .header_len = ld16_le(h + 2),
        .gso_size = ld16_le(h + 4), .csum_start = ld16_le(h + 6), .csum_offset = ld16_le(h + 8),
    };
    int parts = iov_slice(n->iov, e->out, e->out_num, hlen, e->out_len - hlen);
    bool work = off.flags || off.gso;
    if (!net_send(&n->nc[pair], n->iov, parts, work ? &off : NULL)) {
        n->tx[pair]->blocked = true;
    }
}

/* Packets of at most so many bytes.  false: the burst is over, or a larger one comes next. */
static bool send_some(VirtIONet *n, unsigned pair, uint32_t burst, size_t most)
{
    VirtQueue *vq = tx_queue(n, pair);
    VirtIONetTx *tx = n->tx[pair];
    uint32_t sent = 0;
    bool all = false;

    while (sent < burst && !tx->blocked) {
        VirtQElement *e = virtqueue_pop(vq, sizeof(*e));
        if (!e) {
            all = true;
            break;
        }
        if (e->out_len > most) {
            virtqueue_unpop(vq, e);
            g_free(e);
            break;
        }
        tx->large = e->out_len > SMALL;
        send_element(n, pair, e);
        virtqueue_push(vq, e, 0);
        g_free(e);
        sent++;
    }
    if (sent) {
        virtqueue_notify(vq);
    }
    return all || tx->blocked;
}

static void schedule(VirtIONetTx *tx);

/* With the driver's notifications off.  They are on again, or more will be sent by the main loop. */
static void send_and_listen(VirtIONetTx *tx, uint32_t burst, size_t most)
{
    VirtIONet *n = tx->n;
    VirtQueue *vq = tx_queue(n, tx->pair);

    if (!send_some(n, tx->pair, burst, most)) {
        schedule(tx);
        return;
    }
    if (!tx->blocked) {
        virtqueue_enable_notify(vq, true);
        if (!virtqueue_empty(vq)) {
            virtqueue_enable_notify(vq, false);
            schedule(tx);
        }
    }
}

static bool may_send(VirtIONetTx *tx)
{
    return !tx->blocked && net_running() && virtqueue_ready(tx_queue(tx->n, tx->pair));
}

static void send_now(void *opaque)
{
    VirtIONetTx *tx = opaque;
    VirtIONet *n = tx->n;

    tx->scheduled = false;
    if (!n) {
        g_free(tx);
        return;
    }
    if (!may_send(tx)) {
        return;                         /* net_writable, a kick come back to it */
    }
    if (n->vhost[tx->pair]) {
        virtio_net_vhost_kick(n, tx->pair, true);
        return;
    }
    send_and_listen(tx, n->burst, SIZE_MAX);
}

static void schedule(VirtIONetTx *tx)
{
    if (!tx->scheduled) {
        tx->scheduled = true;
        mainloop_defer(send_now, tx);
    }
}

/* The main loop sends while the vCPU goes on, but for what is done sooner than another thread
 * wakes up: acknowledgements, requests.  The last packet tells what this one may be. */
static void tx_kicked(VirtIONet *n, unsigned pair)
{
    VirtIONetTx *tx = n->tx[pair];

    virtqueue_enable_notify(tx_queue(n, pair), false);
    if (tx->scheduled || tx->large || n->vhost[pair] || !may_send(tx)) {
        schedule(tx);
    } else {
        send_and_listen(tx, SMALL_BURST, SMALL);
    }
}

static void net_writable(NetClient *nc)
{
    VirtIONet *n = nc->opaque;
    n->tx[nc->index]->blocked = false;
    schedule(n->tx[nc->index]);
}

void virtio_net_go_on(VirtIONet *n, unsigned pair)
{
    net_flush(&n->nc[pair]);
    net_writable(&n->nc[pair]);
}

/* The machine was stopped, or runs again; the peer is another one. */
static void net_changed(NetClient *nc)
{
    virtio_net_vhost_update(nc->opaque);
}

static bool has_vhost(const VirtIONet *n)
{
    return n->nc[0].peer && n->nc[0].peer->has_vhost;
}

static void handle_queue(VirtQueue *vq)
{
    VirtIONet *n = virtio_net_of(virtqueue_device(vq));
    unsigned index = virtqueue_index(vq);

    if (index == control_index(n)) {
        virtio_net_control(vq);
        return;
    }
    if (index / 2 >= n->pairs) {
        return;
    }
    if (has_vhost(n) && !n->vhost[index / 2]) {
        virtio_net_vhost_update(n);     /* the queue may be back from its reset */
    }
    if (index % 2) {
        tx_kicked(n, index / 2);
    } else {
        rx_kicked(n, index / 2);
    }
}

/* ---- features and configuration --------------------------------------------------------- */

static uint64_t bit_if(bool on, unsigned bit)
{
    return on ? VIRTIO_BIT(bit) : 0;
}

/* With vhost no frame comes by here for its checksum: the interface must do it. */
static bool offloads_possible(const VirtIONet *n)
{
    return !has_vhost(n) || (n->nc[0].peer->takes & NET_TAKES_CSUM);
}

static uint64_t net_features(VirtIODevice *v)
{
    const VirtIONet *n = virtio_net_of(v);
    bool work = offloads_possible(n);
    bool ctrl = n->ctrl_vq, tx = n->csum && work, rx = n->guest_csum && work;

    return VIRTIO_BIT(NET_F_MAC) | bit_if(tx, NET_F_CSUM) | bit_if(rx, NET_F_GUEST_CSUM)
           | bit_if(rx && n->guest_tso4, NET_F_GUEST_TSO4)
           | bit_if(rx && n->guest_tso6, NET_F_GUEST_TSO6)
           | bit_if(rx && n->guest_ecn, NET_F_GUEST_ECN)
           | bit_if(tx && n->host_tso4, NET_F_HOST_TSO4)
           | bit_if(tx && n->host_tso6, NET_F_HOST_TSO6)
           | bit_if(tx && n->host_ecn, NET_F_HOST_ECN)
           | bit_if(n->mrg_rxbuf, NET_F_MRG_RXBUF) | bit_if(n->status, NET_F_STATUS)
           | bit_if(ctrl, NET_F_CTRL_VQ) | bit_if(ctrl && n->ctrl_rx, NET_F_CTRL_RX)
           | bit_if(ctrl && n->ctrl_vlan, NET_F_CTRL_VLAN)
           | bit_if(ctrl && n->ctrl_rx_extra, NET_F_CTRL_RX_EXTRA)
           | bit_if(ctrl && n->ctrl_mac_addr, NET_F_CTRL_MAC_ADDR)
           | bit_if(ctrl && n->ctrl_guest_offloads && rx, NET_F_CTRL_GUEST_OFFLOADS)
           | bit_if(ctrl && n->status && n->guest_announce, NET_F_GUEST_ANNOUNCE)
           | bit_if(ctrl && n->pairs > 1, NET_F_MQ) | bit_if(n->mtu, NET_F_MTU)
           | bit_if(n->speed >= 0 || n->duplex, NET_F_SPEED_DUPLEX);
}

static void net_features_set(VirtIODevice *v)
{
    VirtIONet *n = virtio_net_of(v);

    n->guest_offloads = virtio_net_guest_features(n);
    virtio_net_apply_offloads(n);
    if (!virtio_has(v, NET_F_CTRL_VLAN)) {
        memset(n->vlans, 0xff, sizeof(n->vlans));
    } else {
        memset(n->vlans, 0, sizeof(n->vlans));
    }
}

static void net_get_config(VirtIODevice *v)
{
    VirtIONet *n = virtio_net_of(v);
    uint8_t *cfg = v->config;

    memcpy(cfg + CFG_MAC, n->mac, 6);
    st16_le(cfg + CFG_STATUS, (n->nc[0].link_down ? 0 : STATUS_LINK_UP)
                              | (n->announce ? STATUS_ANNOUNCE : 0));
    st16_le(cfg + CFG_MAX_PAIRS, n->pairs);
    st16_le(cfg + CFG_MTU, n->mtu);
    st32_le(cfg + CFG_SPEED, n->speed);
    cfg[CFG_DUPLEX] = n->duplex ? n->duplex - 1 : 0xff;
}

/* Drivers of old set the address here. */
static void net_config_written(VirtIODevice *v, unsigned off, unsigned len)
{
    VirtIONet *n = virtio_net_of(v);

    if (!virtio_has(v, NET_F_CTRL_MAC_ADDR) && !virtio_is_modern(v) && off < 6) {
        memcpy(n->mac, v->config + CFG_MAC, 6);
        nic_show_mac(&n->nc[0], n->mac);
    }
}

static void net_status_changed(VirtIODevice *v, uint8_t old)
{
    VirtIONet *n = virtio_net_of(v);

    if (v->status & ~old & VIRTIO_STATUS_DRIVER_OK) {
        for (unsigned i = 0; i < n->pairs; i++) {
            net_flush(&n->nc[i]);
            schedule(n->tx[i]);
        }
    }
    virtio_net_vhost_update(n);
}

static void use_queue(VirtIONet *n, unsigned pair)
{
    NetClient *peer = n->nc[pair].peer;

    if (peer && peer->ops->use_queue) {
        peer->ops->use_queue(peer, pair < n->pairs_used);
    }
}

/* Frames come to the queues that the driver uses; the kernel has none that are not. */
static void pairs_changed(VirtIONet *n)
{
    for (unsigned i = 0; i < n->pairs_used; i++) {
        use_queue(n, i);
    }
    virtio_net_vhost_update(n);
    for (unsigned i = n->pairs_used; i < n->pairs; i++) {
        use_queue(n, i);
    }
}

static void net_reset(VirtIODevice *v)
{
    VirtIONet *n = virtio_net_of(v);

    virtio_net_vhost_reset(n);
    virtio_net_filter_reset(n);
    n->guest_offloads = 0;
    n->pairs_used = 1;
    for (unsigned i = 0; i < n->pairs; i++) {
        use_queue(n, i);
    }
    n->announce = false;
    virtio_net_apply_offloads(n);
    for (unsigned i = 0; i < n->pairs; i++) {
        n->tx[i]->blocked = false;
        net_purge(&n->nc[i]);
    }
}

static void net_queue_reset(VirtQueue *vq)
{
    VirtIONet *n = virtio_net_of(virtqueue_device(vq));

    if (virtqueue_index(vq) / 2 < n->pairs) {
        virtio_net_vhost_pause(n, virtqueue_index(vq) / 2);
    }
}

static void net_link_changed(NetClient *nc)
{
    VirtIONet *n = nc->opaque;
    if (!nc->index) {
        virtio_config_changed(&n->vdev);
    }
    virtio_net_vhost_update(n);
}

static void net_announce_asked(NetClient *nc)
{
    VirtIONet *n = nc->opaque;

    if (virtio_has(&n->vdev, NET_F_GUEST_ANNOUNCE)
        && (n->vdev.status & VIRTIO_STATUS_DRIVER_OK)) {
        n->announce = true;
        virtio_config_changed(&n->vdev);
    }
}

void virtio_net_set_pairs(VirtIONet *n, uint16_t pairs)
{
    n->pairs_used = pairs;
    pairs_changed(n);
    for (unsigned i = 0; i < pairs; i++) {
        net_flush(&n->nc[i]);
    }
}

static const VirtIOType virtio_net_type = {
    .name = "virtio-net", .id = VIRTIO_ID_NET, .features = net_features,
    .features_set = net_features_set, .get_config = net_get_config,
    .config_written = net_config_written, .status_changed = net_status_changed,
    .reset = net_reset, .queue_reset = net_queue_reset,
};

static const NetOps virtio_net_ops = {
    .model = "nic", .can_receive = net_can_receive, .receive = net_receive,
    .batch_over = net_batch_over, .writable = net_writable, .link_changed = net_link_changed,
    .rx_filter = virtio_net_rx_filter,
    .announce = net_announce_asked, .running_changed = net_changed, .peer_changed = net_changed,
};

/* ---- life --------------------------------------------------------------------------------- */

static bool check_props(VirtIONet *n, Device *dev, Error **err)
{
    const char *name = dev->type->name;

    if (!is_pow2(n->rx_queue_size) || !is_pow2(n->tx_queue_size)) {
        return fail(err, "%s: rx_queue_size=%u, tx_queue_size=%u: use powers of two", name,
                    n->rx_queue_size, n->tx_queue_size);
    }
    if (n->mtu && n->mtu < 68) {
        return fail(err, "%s: host_mtu=%u: at least 68", name, n->mtu);
    }
    if (n->speed < -1) {
        return fail(err, "%s: speed=%d: -1 (unknown) to %d", name, n->speed, INT32_MAX);
    }
    return true;
}

bool virtio_net_realize(VirtIONet *n, Device *dev, Error **err)
{
    if (!check_props(n, dev, err)) {
        return false;
    }
    n->pairs = n->mq ? MIN(nic_peer_queues(&n->conf), VIRTIO_NET_PAIRS) : 1;
    n->pairs_used = 1;
    n->nc = g_new0(NetClient, n->pairs);
    if (!nic_init(&n->conf, n->nc, n->pairs, &virtio_net_ops, dev->type->name, dev->id, n, err)) {
        g_clear_pointer(&n->nc, g_free);
        return false;
    }
    if (!virtio_init(&n->vdev, dev, &virtio_net_type, CFG_SIZE, 2 * n->pairs + 1, err)) {
        nic_exit(&n->conf, n->nc, n->pairs);
        g_clear_pointer(&n->nc, g_free);
        return false;
    }
    memcpy(n->mac, n->conf.mac, 6);
    n->vhost = g_new0(VirtIONetVhost *, n->pairs);
    n->tx = g_new0(VirtIONetTx *, n->pairs);
    for (unsigned i = 0; i < n->pairs; i++) {
        n->tx[i] = g_new0(VirtIONetTx, 1);
        n->tx[i]->n = n;
        n->tx[i]->pair = i;
        virtio_add_queue(&n->vdev, n->rx_queue_size, handle_queue);
        virtio_add_queue(&n->vdev, n->tx_queue_size, handle_queue);
    }
    virtio_add_queue(&n->vdev, 64, handle_queue);
    pairs_changed(n);
    return true;
}

void virtio_net_unrealize(VirtIONet *n)
{
    for (unsigned i = 0; i < n->pairs; i++) {
        n->tx[i]->n = NULL;
        if (!n->tx[i]->scheduled) {
            g_free(n->tx[i]);
        }
    }
    g_clear_pointer(&n->tx, g_free);
    g_clear_pointer(&n->vhost, g_free);
    nic_exit(&n->conf, n->nc, n->pairs);
    g_clear_pointer(&n->nc, g_free);
    virtio_exit(&n->vdev);
}

/* ---- saved state --------------------------------------------------------------------------- */

static bool net_post_load(void *opaque, int version, Error **err)
{
    VirtIONet *n = opaque;

    if (n->uni.count > VIRTIO_NET_MACS || n->multi.count > VIRTIO_NET_MACS) {
        return fail(err, "more addresses in the filter than fit");
    }
    if (!n->pairs_used || n->pairs_used > n->pairs) {
        return fail(err, "%u pairs of queues, there are %u", n->pairs_used, n->pairs);
    }
    if (n->guest_offloads & ~virtio_net_guest_features(n)) {
        return fail(err, "offloads that were not negotiated");
    }
    virtio_net_apply_offloads(n);
    pairs_changed(n);
    nic_show_mac(&n->nc[0], n->mac);
    for (unsigned i = 0; i < n->pairs; i++) {
        n->tx[i]->blocked = false;      /* the resume comes by net_writable */
    }
    return true;
}

static const VMField table_fields[] = {
    VM_UINT(VirtIONetTable, count), VM_BOOL(VirtIONetTable, overflow), VM_BUFFER(VirtIONetTable, mac),
    VM_DONE
};
static const VMState vm_table = { .name = "virtio-net-table", .fields = table_fields };

static const VMField net_fields[] = {
    VM_STRUCT(VirtIONet, vdev, vm_virtio), VM_BUFFER(VirtIONet, mac), VM_BOOL(VirtIONet, promisc),
    VM_BOOL(VirtIONet, allmulti), VM_BOOL(VirtIONet, alluni), VM_BOOL(VirtIONet, nomulti),
    VM_BOOL(VirtIONet, nouni), VM_BOOL(VirtIONet, nobcast), VM_STRUCT(VirtIONet, uni, vm_table),
    VM_STRUCT(VirtIONet, multi, vm_table), VM_UINTS(VirtIONet, vlans),
    VM_UINT(VirtIONet, pairs_used), VM_UINT(VirtIONet, guest_offloads),
    VM_BOOL_V(VirtIONet, announce, 2),
    VM_DONE
};
const VMState vm_virtio_net = {
    .name = "virtio-net", .version = 2, .oldest = 1, .fields = net_fields, .post_load = net_post_load,
};
