/* SPDX-License-Identifier: MIT */
/*
 * Virtio network device: the control queue and what it sets, the filter of received packets.
 *
 * Source: VIRTIO 1.2, 5.1.6.5.
 */
#include "hw/net/virtio-net.h"
#include "util/bits.h"
#include "util/event.h"
#include "util/iov.h"

#include <string.h>

enum { CLASS_RX = 0, CLASS_MAC = 1, CLASS_VLAN = 2, CLASS_ANNOUNCE = 3, CLASS_MQ = 4, CLASS_OFFLOADS = 5 };
enum { RX_PROMISC, RX_ALLMULTI, RX_ALLUNI, RX_NOMULTI, RX_NOUNI, RX_NOBCAST };
enum { MAC_TABLE_SET, MAC_ADDR_SET };
enum { VLAN_ADD, VLAN_DEL };
enum { ACK_OK = 0, ACK_ERROR = 1 };

#define HEADER 2                        /* class, command */

/* ---- filter ------------------------------------------------------------------------------ */

void virtio_net_filter_reset(VirtIONet *n)
{
    n->promisc = true;
    n->allmulti = n->alluni = n->nomulti = n->nouni = n->nobcast = false;
    memset(&n->uni, 0, sizeof(n->uni));
    memset(&n->multi, 0, sizeof(n->multi));
    memset(n->vlans, 0, sizeof(n->vlans));
    memcpy(n->mac, n->conf.mac, 6);
    nic_show_mac(&n->nc[0], n->mac);
}

static bool in_table(const VirtIONetTable *t, const uint8_t *mac)
{
    for (uint32_t i = 0; i < t->count; i++) {
        if (!memcmp(t->mac[i], mac, 6)) {
            return true;
        }
    }
    return false;
}

bool virtio_net_wanted(VirtIONet *n, const uint8_t *f, size_t len)
{
    if (len >= 18 && ld16_be(f + 12) == 0x8100) {
        unsigned id = ld16_be(f + 14) & 0xfff;
        if (virtio_has(&n->vdev, NET_F_CTRL_VLAN) && !(n->vlans[id / 32] >> id % 32 & 1)) {
            return false;
        }
    }
    if (n->promisc) {
        return true;
    }
    if (mac_is_broadcast(f)) {
        return !n->nobcast;
    }
    if (mac_is_group(f)) {
        return !n->nomulti && (n->allmulti || n->multi.overflow || in_table(&n->multi, f));
    }
    return !n->nouni && (n->alluni || n->uni.overflow || !memcmp(f, n->mac, 6)
                         || in_table(&n->uni, f));
}

/* ---- offloads ---------------------------------------------------------------------------- */

uint64_t virtio_net_guest_features(const VirtIONet *n)
{
    return n->vdev.features & (VIRTIO_BIT(NET_F_GUEST_CSUM) | VIRTIO_BIT(NET_F_GUEST_TSO4)
                               | VIRTIO_BIT(NET_F_GUEST_TSO6) | VIRTIO_BIT(NET_F_GUEST_ECN));
}

void virtio_net_apply_offloads(VirtIONet *n)
{
    static const uint32_t takes[][2] = {
        { NET_F_GUEST_CSUM, NET_TAKES_CSUM }, { NET_F_GUEST_TSO4, NET_TAKES_TSO4 },
        { NET_F_GUEST_TSO6, NET_TAKES_TSO6 }, { NET_F_GUEST_ECN, NET_TAKES_ECN },
    };
    uint32_t bits = 0;

    for (size_t i = 0; i < G_N_ELEMENTS(takes); i++) {
        bits |= n->guest_offloads >> takes[i][0] & 1 ? takes[i][1] : 0;
    }
    for (unsigned i = 0; i < n->pairs; i++) {
        NetClient *nc = &n->nc[i];
        if (nc->takes != bits) {
            nc->takes = bits;
            if (nc->peer && nc->peer->ops->peer_changed) {
                nc->peer->ops->peer_changed(nc->peer);
            }
        }
    }
}

/* ---- commands ---------------------------------------------------------------------------- */

/* Arguments of a command */
typedef struct Args {
    const struct iovec *iov;
    int n;
    size_t at, len;
} Args;

static bool take(Args *a, void *to, size_t len)
{
    if (a->len - a->at < len) {
        return false;
    }
    iov_to_buf(a->iov, a->n, a->at, to, len);
    a->at += len;
    return true;
}

static bool set_rx_mode(VirtIONet *n, uint8_t cmd, Args *a)
{
    bool *modes[] = { &n->promisc, &n->allmulti, &n->alluni, &n->nomulti, &n->nouni, &n->nobcast };
    uint8_t on;

    if (cmd >= G_N_ELEMENTS(modes) || !take(a, &on, 1)
        || (cmd > RX_ALLMULTI && !virtio_has(&n->vdev, NET_F_CTRL_RX_EXTRA))) {
        return false;
    }
    *modes[cmd] = on;
    return true;
}

static bool take_table(Args *a, VirtIONetTable *t)
{
    uint8_t raw[4];

    *t = (VirtIONetTable) { 0 };
    if (!take(a, raw, 4)) {
        return false;
    }
    uint32_t count = ld32_le(raw);
    if (count > (a->len - a->at) / 6) {
        return false;
    }
    if (count > VIRTIO_NET_MACS) {
        t->overflow = true;
        a->at += (size_t)count * 6;
        return true;
    }
    t->count = count;
    return take(a, t->mac, (size_t)count * 6);
}

static bool set_mac(VirtIONet *n, uint8_t cmd, Args *a)
{
    VirtIONetTable uni, multi;
    uint8_t mac[6];

    if (cmd == MAC_ADDR_SET) {
        if (!virtio_has(&n->vdev, NET_F_CTRL_MAC_ADDR) || a->len - a->at != 6 || !take(a, mac, 6)) {
            return false;
        }
        memcpy(n->mac, mac, 6);
        nic_show_mac(&n->nc[0], mac);
        return true;
    }
    if (cmd != MAC_TABLE_SET || !take_table(a, &uni) || !take_table(a, &multi)) {
        return false;
    }
    n->uni = uni;
    n->multi = multi;
    return true;
}

static bool set_vlan(VirtIONet *n, uint8_t cmd, Args *a)
{
    uint8_t raw[2];

    if (cmd > VLAN_DEL || !take(a, raw, 2) || ld16_le(raw) > 4095) {
        return false;
    }
    unsigned id = ld16_le(raw);
    uint32_t bit = 1u << id % 32;
    n->vlans[id / 32] = cmd == VLAN_ADD ? n->vlans[id / 32] | bit : n->vlans[id / 32] & ~bit;
    return true;
}

static bool set_pairs(VirtIONet *n, uint8_t cmd, Args *a)
{
    uint8_t raw[2];

    if (cmd || !virtio_has(&n->vdev, NET_F_MQ) || !take(a, raw, 2)
        || !ld16_le(raw) || ld16_le(raw) > n->pairs) {
        return false;
    }
    virtio_net_set_pairs(n, ld16_le(raw));
    return true;
}

static bool set_offloads(VirtIONet *n, uint8_t cmd, Args *a)
{
    uint8_t raw[8];

    if (cmd || !virtio_has(&n->vdev, NET_F_CTRL_GUEST_OFFLOADS) || !take(a, raw, 8)
        || (ld64_le(raw) & ~virtio_net_guest_features(n))) {
        return false;
    }
    n->guest_offloads = ld64_le(raw);
    virtio_net_apply_offloads(n);
    return true;
}

/* Tell management software once; it asks when it wants to know. */
static void tell_filter(VirtIONet *n)
{
    Json *data;
    const char *id = n->vdev.dev->id;

    if (n->told) {
        return;
    }
    n->told = true;
    data = json_object();
    json_set_str(data, "name", n->nc[0].name);
    json_set(data, "path", id ? json_strf("/machine/peripheral/%s", id)
                              : json_str("/machine/peripheral-anon"));
    event_emit("NIC_RX_FILTER_CHANGED", data);
}

static bool run_command(VirtIONet *n, const uint8_t *head, Args *a)
{
    bool ok = false;

    switch (head[0]) {
    case CLASS_RX:
        ok = set_rx_mode(n, head[1], a);
        break;
    case CLASS_MAC:
        ok = set_mac(n, head[1], a);
        break;
    case CLASS_VLAN:
        ok = set_vlan(n, head[1], a);
        break;
    case CLASS_ANNOUNCE:                /* the one command: it has been done */
        if (!virtio_has(&n->vdev, NET_F_GUEST_ANNOUNCE) || head[1]) {
            return false;
        }
        n->announce = false;
        return true;
    case CLASS_MQ:
        return set_pairs(n, head[1], a);
    case CLASS_OFFLOADS:
        return set_offloads(n, head[1], a);
    }
    if (ok) {
        tell_filter(n);
    }
    return ok;
}

void virtio_net_control(VirtQueue *vq)
{
    VirtIONet *n = virtio_net_of(virtqueue_device(vq));
    VirtQElement *e;

    while ((e = virtqueue_pop(vq, sizeof(*e)))) {
        Args a = { e->out, (int)e->out_num, 0, e->out_len };
        uint8_t head[HEADER], ack = ACK_ERROR;
        if (!take(&a, head, HEADER) || !e->in_len) {
            virtio_error(&n->vdev, "control command without header or answer");
            virtqueue_detach(vq, e);
            g_free(e);
            return;
        }
        if (run_command(n, head, &a)) {
            ack = ACK_OK;
        }
        iov_from_buf(e->in, e->in_num, 0, &ack, 1);
        virtqueue_push(vq, e, 1);
        g_free(e);
    }
    virtqueue_notify(vq);
}

/* ---- query-rx-filter ---------------------------------------------------------------------- */

static Json *table_json(const VirtIONetTable *t)
{
    Json *list = json_array();

    for (uint32_t i = 0; i < t->count; i++) {
        g_autofree char *mac = nic_mac_text(t->mac[i]);
        json_append(list, json_str(mac));
    }
    return list;
}

static const char *mode(bool none, bool all)
{
    return none ? "none" : all ? "all" : "normal";
}

Json *virtio_net_rx_filter(NetClient *nc)
{
    VirtIONet *n = nc->opaque;
    Json *o = nic_filter_json(nc, n->mac, n->promisc), *vlans = json_array();

    for (unsigned i = 0; virtio_has(&n->vdev, NET_F_CTRL_VLAN) && i < 4096; i++) {
        if (n->vlans[i / 32] >> i % 32 & 1) {
            json_append(vlans, json_int(i));
        }
    }
    json_set_str(o, "multicast", mode(n->nomulti, n->allmulti));
    json_set_str(o, "unicast", mode(n->nouni, n->alluni));
    json_set_str(o, "vlan", virtio_has(&n->vdev, NET_F_CTRL_VLAN) ? "normal" : "all");
    json_set_bool(o, "broadcast-allowed", !n->nobcast);
    json_set_bool(o, "multicast-overflow", n->multi.overflow);
    json_set_bool(o, "unicast-overflow", n->uni.overflow);
    json_set(o, "vlan-table", vlans);
    json_set(o, "unicast-table", table_json(&n->uni));
    json_set(o, "multicast-table", table_json(&n->multi));
    n->told = false;
    return o;
}
