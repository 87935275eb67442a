/* SPDX-License-Identifier: MIT */
/*
 * RTL8139C+: reception, into a ring of bytes or (C+) by descriptors.
 */
#include "hw/net/rtl8139.h"
#include "net/offload.h"
#include "util/bits.h"
#include "util/iov.h"
#include "util/log.h"

#include <zlib.h>

/* Status of a packet in the ring */
#define P_ROK       0x0001
#define P_BAR       0x2000
#define P_PAM       0x4000
#define P_MAR       0x8000
/* First word of a descriptor */
#define D_OWN       0x80000000
#define D_EOR       0x40000000
#define D_FS        0x20000000
#define D_LS        0x10000000
#define D_MAR       0x08000000
#define D_PAM       0x04000000
#define D_BAR       0x02000000
#define D_TCP       0x00010000          /* protocol, in bits 16 and 17 */
#define D_UDP       0x00020000
#define D_IP        0x00030000
#define D_IPF       0x00008000          /* a wrong checksum */
#define D_UDPF      0x00004000
#define D_TCPF      0x00002000
#define D_TAVA      0x00010000          /* second word: a tag was taken out */
#define DESC        16u
#define RING_MAX    64u
#define FRAME_MAX   8192u
#define FCS         4u

uint32_t rtl8139_ring_size(const Rtl8139 *s)
{
    return 8192u << (s->rcr >> 11 & 3);
}

static uint32_t read_pointer(const Rtl8139 *s)
{
    return (s->capr + 16u) & (rtl8139_ring_size(s) - 1);
}

static uint32_t write_pointer(const Rtl8139 *s)
{
    return s->cbr & (rtl8139_ring_size(s) - 1);
}

bool rtl8139_rx_empty(const Rtl8139 *s)
{
    return read_pointer(s) == write_pointer(s);
}

/* Bytes that can be stored without reaching what the driver has not read. */
static uint32_t ring_room(const Rtl8139 *s)
{
    uint32_t size = rtl8139_ring_size(s);
    return rtl8139_rx_empty(s) ? size : (read_pointer(s) - write_pointer(s)) & (size - 1);
}

/* The next descriptor is ours: its words in raw. */
static bool next_descriptor(Rtl8139 *s, hwaddr *at, uint8_t *raw)
{
    *at = s->rx_ring + s->rx_at * DESC;
    return pci_dma_read(&s->pci, *at, raw, DESC) == MEM_OK && (ld32_le(raw) & D_OWN);
}

/* Where none can be read, no frame should wait for one. */
static bool has_descriptor(Rtl8139 *s)
{
    hwaddr at = s->rx_ring + s->rx_at * DESC;
    uint8_t raw[4];

    return pci_dma_read(&s->pci, at, raw, sizeof(raw)) != MEM_OK || (ld32_le(raw) & D_OWN);
}

bool rtl8139_can_receive(NetClient *nc)
{
    Rtl8139 *s = nc->opaque;

    if (!(s->pci.config[PCI_COMMAND] & PCI_COMMAND_MASTER)) {
        return false;
    }
    if (!(s->cr & CR_RE)) {
        return true;                    /* lost, as on a real cable */
    }
    if (rtl8139_cplus_rx(s)) {
        return nic_wait(&s->wait, has_descriptor(s));
    }
    return rtl8139_rx_empty(s) || ring_room(s) >= 1514 + 8;
}

/* ---- filter ------------------------------------------------------------------------------ */

/* Which filter lets it pass, as status of the ring; 0: none. */
static uint16_t filter(const Rtl8139 *s, const uint8_t *f)
{
    if (mac_is_broadcast(f)) {
        return s->rcr & RCR_AB ? P_BAR : s->rcr & RCR_AAP ? P_BAR : 0;
    }
    if (mac_is_group(f)) {
        unsigned bit = mac_crc_be(f) >> 26;
        bool hash = (s->rcr & RCR_AM) && (s->mar[bit / 8] >> (bit % 8) & 1);
        return hash || (s->rcr & RCR_AAP) ? P_MAR : 0;
    }
    if (!memcmp(f, s->idr, 6)) {
        return s->rcr & (RCR_APM | RCR_AAP) ? P_PAM : 0;
    }
    return s->rcr & RCR_AAP ? P_ROK : 0;
}

/* ---- the ring of bytes ------------------------------------------------------------------- */

/* With WRAP the last packet may go past the end, where the driver left room. */
static void ring_put(Rtl8139 *s, const void *data, uint32_t len)
{
    uint32_t size = rtl8139_ring_size(s), at = write_pointer(s);
    uint32_t first = (s->rcr & RCR_WRAP) && size < 65536 ? len : MIN(len, size - at);

    pci_dma_write(&s->pci, s->rbstart + at, data, first);
    if (first < len) {
        pci_dma_write(&s->pci, s->rbstart, (const uint8_t *)data + first, len - first);
    }
    s->cbr = (at + len) & (size - 1);
}

static bool ring_receive(Rtl8139 *s, const uint8_t *f, size_t len, uint16_t status)
{
    uint8_t head[4], tail[8] = { 0 };
    uint32_t need = (4 + len + FCS + 3) & ~3u;

    if (need > ring_room(s) || (!rtl8139_rx_empty(s) && need >= ring_room(s))) {
        s->mpc = (s->mpc + 1) & 0xffffff;
        rtl8139_raise(s, ISR_RXOVW);
        return true;
    }
    st16_le(head, P_ROK | status);
    st16_le(head + 2, len + FCS);
    ring_put(s, head, 4);
    ring_put(s, f, len);
    st32_le(tail, crc32(0, f, len));
    ring_put(s, tail, need - 4 - len);
    rtl8139_raise(s, ISR_ROK);
    return true;
}

/* ---- descriptors ------------------------------------------------------------------------- */

static uint32_t check_sums(const uint8_t *f, size_t len, bool valid)
{
    NetHeaders h;
    uint32_t bits = D_IP;

    if (!net_parse(f, len, &h) || h.v6) {
        return 0;
    }
    if (net_sum_done(net_sum(0, f + h.l3, (f[h.l3] & 15) * 4))) {
        bits |= D_IPF;
    }
    if (!h.payload || h.end > len || h.end < h.payload) {
        return bits;
    }
    const uint8_t *l4 = f + h.l4;
    bool none = h.proto == 17 && !ld16_be(l4 + 6);
    bool right = valid || none
                 || !net_sum_done(net_sum(net_sum_pseudo(f + h.l3, false, h.proto, h.end - h.l4),
                                          l4, h.end - h.l4));
    bits = (bits & ~D_IP) | (h.proto == 6 ? D_TCP : D_UDP);
    return bits | (right ? 0 : h.proto == 6 ? D_TCPF : D_UDPF);
}

static void no_descriptor(Rtl8139 *s)
{
    s->mpc = (s->mpc + 1) & 0xffffff;
    rtl8139_raise(s, ISR_RXOVW);
}

/* One buffer a packet: a driver makes them large enough. */
static bool cplus_receive(Rtl8139 *s, uint8_t *f, size_t len, uint16_t status, bool valid)
{
    uint8_t raw[DESC];
    uint32_t word, tag = 0;
    hwaddr at;

    if (!next_descriptor(s, &at, raw)) {
        no_descriptor(s);
        return true;
    }
    word = ld32_le(raw);
    if ((s->cpcr & CPCR_RX_VLAN) && len >= 18 && ld16_be(f + 12) == 0x8100) {
        tag = D_TAVA | ld16_le(f + 14);
        memmove(f + 4, f, 12);
        f += 4;
        len -= 4;
    }
    if (len + FCS > (word & 0x1fff)) {
        no_descriptor(s);
        return true;
    }
    uint8_t fcs[4];
    st32_le(fcs, crc32(0, f, len));
    hwaddr to = ld64_le(raw + 8);
    pci_dma_write(&s->pci, to, f, len);
    pci_dma_write(&s->pci, to + len, fcs, 4);
    word = (word & D_EOR) | D_FS | D_LS | (len + FCS);
    word |= status & P_BAR ? D_BAR : status & P_MAR ? D_MAR : status & P_PAM ? D_PAM : 0;
    word |= s->cpcr & CPCR_RX_SUM ? check_sums(f, len, valid) : 0;
    st32_le(raw, word);
    st32_le(raw + 4, tag);
    pci_dma_write(&s->pci, at, raw, 8);
    s->rx_at = (word & D_EOR) || s->rx_at + 1 >= RING_MAX ? 0 : s->rx_at + 1;
    rtl8139_raise(s, ISR_ROK);
    return true;
}

static bool receive_frame(Rtl8139 *s, uint8_t *f, size_t len, bool valid)
{
    uint16_t status = filter(s, f);

    if (!(s->cr & CR_RE) || !status || len > FRAME_MAX - 64) {
        return true;
    }
    status &= ~P_ROK;
    return rtl8139_cplus_rx(s) ? cplus_receive(s, f, len, status, valid)
                               : ring_receive(s, f, len, status);
}

bool rtl8139_receive(NetClient *nc, const struct iovec *iov, int n, const NetOffload *off)
{
    uint8_t frame[FRAME_MAX];
    size_t len = iov_to_buf(iov, n, 0, frame, sizeof(frame));

    if (len < NET_MIN_FRAME) {
        memset(frame + len, 0, NET_MIN_FRAME - len);
        len = NET_MIN_FRAME;
    }
    return receive_frame(nc->opaque, frame, len, off && (off->flags & NET_OFFLOAD_VALID));
}

void rtl8139_loop_back(Rtl8139 *s, const uint8_t *frame, size_t len)
{
    struct iovec iov = { (void *)frame, MIN(len, FRAME_MAX) };
    rtl8139_receive(&s->nc, &iov, 1, NULL);
}
