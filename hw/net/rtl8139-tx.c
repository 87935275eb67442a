/* SPDX-License-Identifier: MIT */
/*
 * RTL8139C+: transmission, by four registers or (C+) by descriptors in memory.
 */
#include "hw/net/rtl8139.h"
#include "net/offload.h"
#include "util/bits.h"
#include "util/log.h"

#define D_OWN       0x80000000
#define D_EOR       0x40000000
#define D_FS        0x20000000
#define D_LS        0x10000000
#define D_LGSEN     0x08000000
#define D_IPCS      0x00040000
#define D_UDPCS     0x00020000
#define D_TCPCS     0x00010000
#define D_MSS(v)    ((v) >> 16 & 0x7ff)
#define D_TAGC      0x00020000          /* second word: insert the tag */
#define RING_MAX    64u                 /* descriptors */
#define DESC        16u

static void send_frame(Rtl8139 *s, const uint8_t *frame, size_t len, const NetOffload *off)
{
    if ((s->tcr & TCR_LOOPBACK) == TCR_LOOPBACK) {
        rtl8139_loop_back(s, frame, len);
        return;
    }
    struct iovec iov = { (void *)frame, len };
    net_send(&s->nc, &iov, 1, off);
}

/* ---- old -------------------------------------------------------------------------------- */

static bool send_register(Rtl8139 *s)
{
    uint32_t *tsd = &s->tsd[s->tx_next], len = *tsd & TSD_SIZE;
    uint8_t frame[RTL_FRAME_MAX + NET_MIN_FRAME] = { 0 };

    if (*tsd & TSD_OWN) {
        return false;
    }
    if (len > RTL_FRAME_MAX) {
        LOG_GUEST("rtl8139: a packet of %u bytes", len);
        len = RTL_FRAME_MAX;
    }
    pci_dma_read(&s->pci, s->tsad[s->tx_next], frame, len);
    if (len >= 14) {
        send_frame(s, frame, MAX(len, NET_MIN_FRAME), NULL);
    }
    *tsd |= TSD_OWN | TSD_TOK;
    s->tx_next = (s->tx_next + 1) & 3;
    rtl8139_raise(s, ISR_TOK);
    return true;
}

void rtl8139_send_old(Rtl8139 *s)
{
    for (int i = 0; i < 4 && (s->cr & CR_TE) && send_register(s); i++) {
    }
}

/* ---- C+ ---------------------------------------------------------------------------------- */

static void transport_sum(Rtl8139 *s, const NetHeaders *h, NetOffload *off)
{
    uint8_t *l4 = s->packet + h->l4, *at = l4 + (h->proto == 6 ? 16 : 6);
    uint32_t len = h->end > h->l4 ? h->end - h->l4 : 0;

    /* what the driver left there does not count; the pseudo header does */
    st16_be(at, (uint16_t)~net_sum_done(net_sum_pseudo(s->packet + h->l3, h->v6, h->proto, len)));
    off->flags = NET_OFFLOAD_CSUM;
    off->csum_start = h->l4;
    off->csum_offset = at - l4;
}

static void offload(Rtl8139 *s, uint32_t first, NetOffload *off)
{
    NetHeaders h;

    if (!(first & (D_LGSEN | D_IPCS | D_UDPCS | D_TCPCS))
        || !net_parse(s->packet, s->packet_len, &h) || h.v6) {
        return;
    }
    uint8_t *ip = s->packet + h.l3;
    if (first & (D_LGSEN | D_IPCS)) {
        st16_be(ip + 10, 0);
        st16_be(ip + 10, net_sum_done(net_sum(0, ip, (ip[0] & 15) * 4)));
    }
    if (!h.payload) {
        return;
    }
    if ((first & D_LGSEN) && h.proto == 6 && D_MSS(first)) {
        transport_sum(s, &h, off);
        off->gso = NET_GSO_TCP4;
        off->gso_size = D_MSS(first);
        off->header_len = h.payload;
        net_prepare_large(s->packet, s->packet_len);
    } else if (!(first & D_LGSEN) && ((h.proto == 6 && (first & D_TCPCS))
                                      || (h.proto == 17 && (first & D_UDPCS)))
               && h.end <= s->packet_len) {
        transport_sum(s, &h, off);
    }
}

static void send_packet(Rtl8139 *s, uint32_t flags, uint32_t vlan)
{
    NetOffload off = { 0 };

    if (s->packet_bad || s->packet_len < 14) {
        LOG_GUEST("rtl8139: a packet of %u bytes is dropped", s->packet_len);
    } else {
        if (s->packet_len < NET_MIN_FRAME) {
            memset(s->packet + s->packet_len, 0, NET_MIN_FRAME - s->packet_len);
            s->packet_len = NET_MIN_FRAME;
        }
        if (vlan & D_TAGC) {
            memmove(s->packet + 16, s->packet + 12, s->packet_len - 12);
            st16_be(s->packet + 12, 0x8100);
            st16_le(s->packet + 14, vlan);
            s->packet_len += 4;
        }
        offload(s, flags, &off);
        send_frame(s, s->packet, s->packet_len, off.flags || off.gso ? &off : NULL);
    }
    s->packet_len = 0;
    s->packet_bad = false;
}

static void gather(Rtl8139 *s, hwaddr addr, uint32_t len)
{
    if (s->packet_len + len > RTL_PACKET_MAX - 64) {
        s->packet_bad = true;
        return;
    }
    pci_dma_read(&s->pci, addr, s->packet + s->packet_len, len);
    s->packet_len += len;
}

/* false: the descriptor is not ours. */
static bool send_descriptor(Rtl8139 *s, unsigned ring)
{
    hwaddr at = s->tx_ring[ring] + s->tx_at[ring] * DESC;
    uint8_t raw[DESC];

    if (pci_dma_read(&s->pci, at, raw, sizeof(raw)) != MEM_OK) {
        return false;
    }
    uint32_t flags = ld32_le(raw), vlan = ld32_le(raw + 4);
    if (!(flags & D_OWN)) {
        return false;
    }
    if (flags & D_FS) {
        s->packet_len = 0;
        s->packet_bad = false;
    }
    gather(s, ld64_le(raw + 8), flags & 0xffff);
    s->tx_at[ring] = (flags & D_EOR) || s->tx_at[ring] + 1 >= RING_MAX ? 0 : s->tx_at[ring] + 1;
    /* status: no error, no collision */
    st32_le(raw, flags & (D_EOR | D_FS | D_LS | 0xffff));
    pci_dma_write(&s->pci, at, raw, 4);
    if (flags & D_LS) {
        send_packet(s, flags, vlan);
    }
    return true;
}

void rtl8139_send_cplus(Rtl8139 *s, unsigned ring)
{
    unsigned n = 0;

    if (!(s->cr & CR_TE) || !(s->cpcr & CPCR_TX)) {
        LOG_GUEST("rtl8139: asked to transmit while that is off");
        return;
    }
    while (n < RING_MAX && send_descriptor(s, ring)) {
        n++;
    }
    if (n) {
        rtl8139_raise(s, ISR_TOK | (ring ? 0 : ISR_TDU));
    }
}
