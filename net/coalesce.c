/* SPDX-License-Identifier: MIT */
/*
 * Coalescing of TCP segments (IPv4, without options).
 */
#include "net/coalesce.h"
#include "net/offload.h"
#include "util/bits.h"

#include <string.h>

#define L3          14
#define L4          34
#define PAYLOAD     54
#define LIMIT       (65535u - 20)       /* of IP's total length */
#define TCP_PSH     0x08
#define TCP_ACK     0x10

void net_coalesce_init(NetCoalesce *c)
{
    c->buf = g_malloc(L3 + LIMIT);
    c->len = 0;
}

void net_coalesce_exit(NetCoalesce *c)
{
    g_clear_pointer(&c->buf, g_free);
}

/* Data and nothing else: plain headers, ACK, perhaps PSH.  *data: bytes of it. */
static bool is_plain(const uint8_t *f, size_t len, uint32_t *data)
{
    if (len <= PAYLOAD || ld16_be(f + 12) != 0x0800 || f[L3] != 0x45 || f[L3 + 9] != 6
        || (ld16_be(f + L3 + 6) & 0x3fff) || f[L4 + 12] != 0x50
        || (f[L4 + 13] & ~TCP_PSH) != TCP_ACK) {
        return false;
    }
    uint32_t total = ld16_be(f + L3 + 2);
    if (total <= PAYLOAD - L3 || L3 + total > len) {
        return false;
    }
    *data = total - (PAYLOAD - L3);
    return true;
}

/* Same ends; everything but length, identification, time to live and sums. */
static bool same_flow(const uint8_t *a, const uint8_t *b)
{
    return !memcmp(a, b, 12) && a[L3 + 1] == b[L3 + 1] && !memcmp(a + L3 + 12, b + L3 + 12, 8)
           && !memcmp(a + L4, b + L4, 4);
}

static void send_valid(NetClient *from, const uint8_t *frame, size_t len)
{
    NetOffload off = { .flags = NET_OFFLOAD_VALID };
    struct iovec iov = { (void *)frame, len };
    net_send(from, &iov, 1, &off);
}

static void send_kept(NetCoalesce *c, NetClient *from, uint32_t len)
{
    if (c->segments == 1) {
        send_valid(from, c->buf, len);
        return;
    }
    uint8_t *ip = c->buf + L3;
    NetOffload off = {
        .flags = NET_OFFLOAD_CSUM, .gso = NET_GSO_TCP4, .header_len = PAYLOAD, .gso_size = c->size,
        .csum_start = L4, .csum_offset = 16,
    };
    st16_be(ip + 2, len - L3);
    st16_be(ip + 10, 0);
    st16_be(ip + 10, net_sum_done(net_sum(0, ip, 20)));
    /* what remains to be added to: the pseudo header */
    st16_be(c->buf + L4 + 16, ~net_sum_done(net_sum_pseudo(ip, false, 6, len - L4)));
    struct iovec iov = { c->buf, len };
    net_send(from, &iov, 1, &off);
}

void net_coalesce_flush(NetCoalesce *c, NetClient *from)
{
    uint32_t len = c->len;

    if (!len) {
        return;
    }
    c->len = 0;                         /* first: sending may lead back here */
    c->busy = true;
    send_kept(c, from, len);
    c->busy = false;
}

static bool grow(NetCoalesce *c, const uint8_t *f, uint32_t data)
{
    if (!c->len || !same_flow(c->buf, f) || ld32_be(f + L4 + 4) != c->next_seq || data > c->size
        || (c->buf[L4 + 13] & TCP_PSH) || c->len - L3 + data > LIMIT
        || (c->len - PAYLOAD) % c->size) {
        return false;
    }
    memcpy(c->buf + c->len, f + PAYLOAD, data);
    memcpy(c->buf + L4 + 8, f + L4 + 8, 4);             /* acknowledgement, */
    memcpy(c->buf + L4 + 13, f + L4 + 13, 3);           /* flags and window of the last */
    c->len += data;
    c->next_seq += data;
    c->segments++;
    return true;
}

void net_coalesce_send(NetCoalesce *c, NetClient *from, const uint8_t *f, size_t len)
{
    const uint32_t need = NET_TAKES_CSUM | NET_TAKES_TSO4;
    uint32_t data;
    bool plain = !c->busy && from->peer && (from->peer->takes & need) == need
                 && is_plain(f, len, &data);

    if (plain && grow(c, f, data)) {
        return;
    }
    net_coalesce_flush(c, from);
    if (!plain) {
        send_valid(from, f, len);
        return;
    }
    c->len = PAYLOAD + data;
    memcpy(c->buf, f, c->len);
    c->size = data;
    c->segments = 1;
    c->next_seq = ld32_be(f + L4 + 4) + data;
}
