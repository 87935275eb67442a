/* SPDX-License-Identifier: MIT */
/*
 * Checksums and TCP segmentation in software.
 *
 * Sources: RFC 1071 (checksum), RFC 791, RFC 8200, RFC 9293 (headers), RFC 3168 (ECN: CWR goes
 * with the first segment only).
 */
#include "net/offload.h"
#include "util/bits.h"
#include "util/iov.h"

#include <string.h>

#define ETH_HEADER  14
#define ETH_IPV4    0x0800
#define ETH_IPV6    0x86dd
#define ETH_VLAN    0x8100
#define ETH_QINQ    0x88a8
#define IPV4_HEADER 20
#define IPV6_HEADER 40
#define TCP_HEADER  20
#define UDP_HEADER  8
#define PROTO_TCP   6
#define PROTO_UDP   17
#define TCP_FIN     0x01
#define TCP_PSH     0x08
#define TCP_CWR     0x80

/* ---- checksums ------------------------------------------------------------------------ */

/* Sums 32-bit words in host order; the sum of 16-bit words is the same, bytes swapped. */
uint32_t net_sum(uint32_t sum, const void *data, size_t len)
{
    const uint8_t *p = data;
    uint64_t s = 0;

    for (; len >= 4; len -= 4, p += 4) {
        uint32_t v;
        memcpy(&v, p, 4);
        s += v;
    }
    if (len) {
        uint8_t tail[4] = { 0 };
        uint32_t v;
        memcpy(tail, p, len);
        memcpy(&v, tail, 4);
        s += v;
    }
    while (s >> 16) {
        s = (s & 0xffff) + (s >> 16);
    }
    s = BE_(16, (uint16_t)s);
    return sum + (uint32_t)s;           /* 65536 calls until it overflows */
}

uint16_t net_sum_done(uint32_t sum)
{
    while (sum >> 16) {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    return ~sum;
}

uint32_t net_sum_pseudo(const uint8_t *ip, bool v6, uint8_t proto, uint32_t len)
{
    uint32_t sum = proto + (len >> 16) + (len & 0xffff);
    return v6 ? net_sum(sum, ip + 8, 32) : net_sum(sum, ip + 12, 8);
}

bool net_fill_checksum(uint8_t *frame, size_t len, const NetOffload *off)
{
    size_t start = off->csum_start, at = start + off->csum_offset;

    if (start >= len || at + 2 > len) {
        return false;
    }
    st16_be(frame + at, net_sum_done(net_sum(0, frame + start, len - start)));
    return true;
}

/* ---- headers -------------------------------------------------------------------------- */

/* Past IPv6's extension headers. */
static bool skip_extensions(const uint8_t *f, size_t len, NetHeaders *h, uint8_t next, size_t at)
{
    for (unsigned i = 0; i < 16; i++) {
        switch (next) {
        case 0: case 43: case 60:       /* hop-by-hop, routing, destination options */
            if (at + 8 > len) {
                return false;
            }
            next = f[at];
            at += 8 + 8 * (size_t)f[at + 1];
            break;
        case 44:                        /* fragment */
            if (at + 8 > len) {
                return false;
            }
            h->fragment = true;
            next = f[at];
            at += 8;
            break;
        default:
            h->proto = next;
            h->l4 = at;
            return at <= len;
        }
    }
    return false;
}

static bool parse_ip(const uint8_t *f, size_t len, NetHeaders *h)
{
    const uint8_t *ip = f + h->l3;

    if (h->v6) {
        if (h->l3 + IPV6_HEADER > len || ip[0] >> 4 != 6) {
            return false;
        }
        h->end = h->l3 + IPV6_HEADER + ld16_be(ip + 4);
        return skip_extensions(f, len, h, ip[6], h->l3 + IPV6_HEADER);
    }
    if (h->l3 + IPV4_HEADER > len || ip[0] >> 4 != 4 || (ip[0] & 15) < 5) {
        return false;
    }
    h->l4 = h->l3 + (ip[0] & 15) * 4;
    h->end = h->l3 + ld16_be(ip + 2);
    h->fragment = ld16_be(ip + 6) & 0x3fff;
    h->proto = ip[9];
    return h->l4 <= len;
}

static void parse_l4(const uint8_t *f, size_t len, NetHeaders *h)
{
    if (h->proto == PROTO_TCP && h->l4 + TCP_HEADER <= len) {
        unsigned header = (f[h->l4 + 12] >> 4) * 4;
        if (header >= TCP_HEADER && h->l4 + header <= len) {
            h->payload = h->l4 + header;
        }
    } else if (h->proto == PROTO_UDP && h->l4 + UDP_HEADER <= len) {
        h->payload = h->l4 + UDP_HEADER;
    }
}

bool net_parse(const uint8_t *f, size_t len, NetHeaders *h)
{
    *h = (NetHeaders) { .l3 = ETH_HEADER };
    if (len < ETH_HEADER) {
        return false;
    }
    uint16_t type = ld16_be(f + 12);
    while ((type == ETH_VLAN || type == ETH_QINQ) && h->vlan_len < 8 && h->l3 + 4u <= len) {
        type = ld16_be(f + h->l3 + 2);
        h->vlan_len += 4;
        h->l3 += 4;
    }
    h->v6 = type == ETH_IPV6;
    if ((type != ETH_IPV4 && type != ETH_IPV6) || !parse_ip(f, len, h)) {
        return false;
    }
    if (!h->fragment) {
        parse_l4(f, len, h);
    }
    return true;
}

/* ---- work that is left ---------------------------------------------------------------- */

static uint32_t gso_needs(const NetOffload *off)
{
    uint32_t kind = off->gso & ~NET_GSO_ECN;
    return (kind == NET_GSO_TCP4 ? NET_TAKES_TSO4 : kind == NET_GSO_TCP6 ? NET_TAKES_TSO6 : ~0u)
           | (off->gso & NET_GSO_ECN ? NET_TAKES_ECN : 0);
}

static bool takes_gso(const NetOffload *off, uint32_t takes)
{
    return off->gso == NET_GSO_NONE || !(gso_needs(off) & ~takes);
}

bool net_offload_needed(const NetOffload *off, uint32_t takes)
{
    return !takes_gso(off, takes) || ((off->flags & NET_OFFLOAD_CSUM) && !(takes & NET_TAKES_CSUM));
}

typedef void NetOut(void *opaque, const struct iovec *iov, int n, const NetOffload *off);

/* Length and identification of a segment's IP header. */
static void fix_ip(uint8_t *ip, bool v6, uint32_t len, unsigned number)
{
    if (v6) {
        st16_be(ip + 4, len - IPV6_HEADER);
        return;
    }
    unsigned header = (ip[0] & 15) * 4;
    st16_be(ip + 2, len);
    st16_be(ip + 4, ld16_be(ip + 4) + number);
    st16_be(ip + 10, 0);
    st16_be(ip + 10, net_sum_done(net_sum(0, ip, header)));
}

/* Headers of the segment that begins seg bytes into the payload and is size long. */
static void make_headers(uint8_t *to, const uint8_t *frame, const NetHeaders *h, uint32_t seg,
                         uint32_t size, uint32_t total, unsigned number)
{
    memcpy(to, frame, h->payload);
    uint8_t *tcp = to + h->l4;
    fix_ip(to + h->l3, h->v6, h->payload - h->l3 + size, number);
    st32_be(tcp + 4, ld32_be(tcp + 4) + seg);
    if (seg + size < total) {
        tcp[13] &= ~(TCP_FIN | TCP_PSH);
    }
    if (number) {
        tcp[13] &= ~TCP_CWR;
    }
}

static void fill_tcp(uint8_t *headers, const NetHeaders *h, const uint8_t *payload, uint32_t size)
{
    uint8_t *tcp = headers + h->l4;
    uint32_t header = h->payload - h->l4;
    uint32_t sum = net_sum_pseudo(headers + h->l3, h->v6, PROTO_TCP, header + size);

    st16_be(tcp + 16, 0);
    sum = net_sum(sum, tcp, header);
    st16_be(tcp + 16, net_sum_done(net_sum(sum, payload, size)));
}

/* Cut a large TCP segment up; checksums are filled in. */
static bool segment(const uint8_t *frame, size_t len, const NetOffload *off, NetOut *fn,
                    void *opaque)
{
    NetHeaders h;
    uint8_t headers[256];
    unsigned number = 0;

    if (!net_parse(frame, len, &h) || h.proto != PROTO_TCP || !h.payload
        || h.payload > sizeof(headers) || !off->gso_size) {
        return false;
    }
    uint32_t total = len - h.payload;
    /* A gso size of a few bytes would turn one frame into ten thousands. */
    uint32_t step = MAX(off->gso_size, 64);
    for (uint32_t seg = 0; seg < total; seg += step, number++) {
        uint32_t size = MIN(step, total - seg);
        const uint8_t *payload = frame + h.payload + seg;
        make_headers(headers, frame, &h, seg, size, total, number);
        fill_tcp(headers, &h, payload, size);
        struct iovec out[2] = { { headers, h.payload }, { (void *)payload, size } };
        fn(opaque, out, 2, NULL);
    }
    return number;
}

void net_prepare_large(uint8_t *frame, size_t len)
{
    NetHeaders h;

    if (net_parse(frame, len, &h) && h.proto == PROTO_TCP && h.payload) {
        fix_ip(frame + h.l3, h.v6, len - h.l3, 0);
        st16_be(frame + h.l4 + 16, (uint16_t)~net_sum_done(
            net_sum_pseudo(frame + h.l3, h.v6, PROTO_TCP, len - h.l4)));
    }
}

/* A frame that stays large but gets its checksum: the one in it is of the pseudo header. */
static void fill_large(uint8_t *frame, size_t len, const NetOffload *off)
{
    NetHeaders h;

    if (net_parse(frame, len, &h) && h.proto == PROTO_TCP && h.payload) {
        fix_ip(frame + h.l3, h.v6, len - h.l3, 0);
        fill_tcp(frame, &h, frame + h.payload, len - h.payload);
    } else {
        net_fill_checksum(frame, len, off);
    }
}

void net_finish(const struct iovec *iov, int n, size_t len, const NetOffload *off, uint32_t takes,
                NetOut *fn, void *opaque)
{
    g_autofree uint8_t *frame = g_malloc(len);
    struct iovec one = { frame, len };

    iov_to_buf(iov, n, 0, frame, len);
    if (takes_gso(off, takes) && off->gso != NET_GSO_NONE) {
        NetOffload rest = *off;
        fill_large(frame, len, off);
        rest.flags = NET_OFFLOAD_VALID;
        fn(opaque, &one, 1, &rest);
        return;
    }
    if (off->gso != NET_GSO_NONE && segment(frame, len, off, fn, opaque)) {
        return;
    }
    if (off->flags & NET_OFFLOAD_CSUM) {
        net_fill_checksum(frame, len, off);
    }
    fn(opaque, &one, 1, NULL);
}
