/* SPDX-License-Identifier: MIT */
/*
 * Network cards: addresses, and the connection to a back-end.
 */
#include "net/nic.h"

#include <string.h>

/* Addresses given out by number; QEMU's range, so that a guest finds the ones it knows. */
static const MacAddr base_mac = { 0x52, 0x54, 0x00, 0x12, 0x34, 0x56 };
static uint8_t mac_users[256];          /* of base_mac with this last byte */

static bool mac_in_range(const uint8_t *mac)
{
    return !memcmp(mac, base_mac, 5);
}

static bool mac_unset(const uint8_t *mac)
{
    static const MacAddr none;
    return !memcmp(mac, none, sizeof(none));
}

static void assign_mac(uint8_t *mac)
{
    if (mac_unset(mac)) {
        unsigned last = base_mac[5];
        while (last < 255 && mac_users[last]) {
            last++;
        }
        memcpy(mac, base_mac, 6);
        mac[5] = last;
    }
    if (mac_in_range(mac) && mac_users[mac[5]] < 255) {
        mac_users[mac[5]]++;
    }
}

static void release_mac(const uint8_t *mac)
{
    if (mac_in_range(mac) && mac_users[mac[5]]) {
        mac_users[mac[5]]--;
    }
}

char *nic_mac_text(const uint8_t *m)
{
    return g_strdup_printf("%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3], m[4], m[5]);
}

void nic_show_mac(NetClient *nc, const uint8_t *mac)
{
    g_autofree char *text = nic_mac_text(mac);

    memcpy(nc->mac, mac, sizeof(nc->mac));
    net_client_set_info(nc, "model=%s,macaddr=%s", nc->model, text);
}

unsigned nic_peer_queues(const NicConf *c)
{
    unsigned n = 1;
    while (c->netdev && n < NET_QUEUES_MAX && net_find_queue(c->netdev->name, n)) {
        n++;
    }
    return n;
}

bool nic_init(NicConf *c, NetClient *ends, unsigned n, const NetOps *ops, const char *model,
              const char *id, void *opaque, Error **err)
{
    g_autofree char *name = id ? g_strdup(id) : net_new_name(model);

    if (c->netdev && c->netdev->peer) {
        return fail(err, "Property '%s.netdev' can't take value '%s', it's in use", model,
                    c->netdev->name);
    }
    assign_mac(c->mac);
    for (unsigned i = 0; i < n; i++) {
        NetClient *nc = &ends[i];
        *nc = (NetClient) { .is_nic = true, .index = i, .opaque = opaque };
        net_client_init(nc, ops, model, name);
        nic_show_mac(nc, c->mac);
        NetClient *peer = c->netdev ? net_find_queue(c->netdev->name, i) : NULL;
        if (peer && !peer->peer) {
            nc->link_down = peer->link_down;
            net_connect(nc, peer);
        }
    }
    return true;
}

void nic_exit(NicConf *c, NetClient *ends, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        net_client_exit(&ends[i]);
    }
    release_mac(c->mac);
}

Json *nic_filter_json(NetClient *nc, const uint8_t *mac, bool promiscuous)
{
    Json *o = json_object();
    g_autofree char *text = nic_mac_text(mac);

    json_set_str(o, "name", nc->name);
    json_set_bool(o, "promiscuous", promiscuous);
    json_set_str(o, "main-mac", text);
    return o;
}

uint32_t mac_crc_be(const uint8_t *mac)
{
    uint32_t crc = ~0u;

    for (int i = 0; i < 6; i++) {
        for (unsigned bit = 0, b = mac[i]; bit < 8; bit++, b >>= 1) {
            bool carry = (crc >> 31 ^ b) & 1;
            crc = crc << 1 ^ (carry ? 0x04c11db7 : 0);
        }
    }
    return crc;
}

uint32_t mac_crc_le(const uint8_t *mac)
{
    uint32_t crc = ~0u;

    for (int i = 0; i < 6; i++) {
        crc ^= mac[i];
        for (unsigned bit = 0; bit < 8; bit++) {
            crc = crc >> 1 ^ (crc & 1 ? 0xedb88320 : 0);
        }
    }
    return crc;
}

/* ---- buffers that the driver does not tell of ------------------------------------------- */

#define WAIT_TRIES 100u

static void look_again(void *opaque)
{
    NicWait *w = opaque;

    w->tries++;
    net_flush(w->nc);
}

void nic_wait_init(NicWait *w, NetClient *nc)
{
    w->nc = nc;
    timer_init(&w->timer, ORRERY_CLOCK_VIRTUAL, look_again, w);
}

void nic_wait_exit(NicWait *w)
{
    timer_del(&w->timer);
    w->tries = 0;
}

bool nic_wait(NicWait *w, bool room)
{
    if (room) {
        w->tries = 0;
        return true;
    }
    if (w->tries >= WAIT_TRIES) {
        return true;
    }
    if (!timer_pending(&w->timer)) {
        timer_mod(&w->timer, vclock_ns() + NS_PER_MS);
    }
    return false;
}

GPtrArray *nic_requests(void)
{
    static GPtrArray *list;
    if (!list) {
        list = g_ptr_array_new();
    }
    return list;
}
