/* SPDX-License-Identifier: MIT */
/*
 * e1000: reception (3.2): filters, VLAN tags, checksums, descriptors.  Functions that take q work
 * on a receive queue: 0, or on the 82574 also 1.
 *
 * Not modelled: the value of the frame check sequence, for which there is only room.
 */
#include "hw/net/e1000.h"
#include "net/offload.h"
#include "util/bits.h"
#include "util/iov.h"
#include "util/log.h"

#define RX_DD       0x01
#define RX_EOP      0x02
#define RX_IXSM     0x04                /* checksums were not looked at */
#define RX_VP       0x08
#define RX_TCPCS    0x20
#define RX_IPCS     0x40
#define RX_PIF      0x80
#define RXE_TCPE    0x20
#define RXE_IPE     0x40

#define FRAME_MAX   1522u
#define FRAME_LONG  16384u
#define FCS         4u

typedef struct Frame {
    const uint8_t *data;                /* without tag, if that was taken out */
    size_t len;
    uint8_t status, errors;
    uint16_t special;
    uint8_t hash_type;                  /* 82574: what went into the hash; 0: nothing */
    uint32_t hash;
    unsigned queue;
} Frame;

/* ---- filters -------------------------------------------------------------------------- */

static bool is_tagged(E1000 *s, const uint8_t *f, size_t len)
{
    return len >= 18 && ld16_be(f + 12) == (*e1000_reg(s, R_VET) & 0xffff);
}

static bool vlan_passes(E1000 *s, const uint8_t *f, size_t len)
{
    if (!(*e1000_reg(s, R_RCTL) & RCTL_VFE) || !is_tagged(s, f, len)) {
        return true;
    }
    unsigned id = ld16_be(f + 14) & 0xfff;
    return *e1000_reg(s, R_VFTA + id / 32 * 4) >> (id % 32) & 1;
}

static bool exact_match(E1000 *s, const uint8_t *mac)
{
    uint32_t low = ld32_le(mac), high = ld16_le(mac + 4);

    for (unsigned i = 0; i < 16; i++) {
        uint32_t rah = *e1000_reg(s, R_RA + 8 * i + 4);
        if (rah >> 31 && *e1000_reg(s, R_RA + 8 * i) == low && (rah & 0xffff) == high) {
            return true;
        }
    }
    return false;
}

/* 12 bits of the address choose a bit of the table (13.5.1); which, RCTL.MO tells. */
static bool hash_match(E1000 *s, const uint8_t *mac)
{
    static const uint8_t shift[4] = { 4, 3, 2, 0 };
    unsigned hash = (ld16_le(mac + 4) >> shift[*e1000_reg(s, R_RCTL) >> 12 & 3]) & 0xfff;
    return *e1000_reg(s, R_MTA + hash / 32 * 4) >> (hash % 32) & 1;
}

static bool address_passes(E1000 *s, const uint8_t *f, uint8_t *status)
{
    uint32_t rctl = *e1000_reg(s, R_RCTL);

    if (mac_is_broadcast(f)) {
        return (rctl & (RCTL_BAM | RCTL_MPE)) || exact_match(s, f);
    }
    if (exact_match(s, f)) {
        return true;
    }
    *status |= RX_PIF;                  /* passed inexactly: the driver looks itself */
    if (mac_is_group(f)) {
        return (rctl & RCTL_MPE) || hash_match(s, f);
    }
    return rctl & RCTL_UPE;
}

static bool size_passes(E1000 *s, size_t len)
{
    uint32_t rctl = *e1000_reg(s, R_RCTL);

    if (len + FCS > (rctl & RCTL_LPE ? FRAME_LONG : FRAME_MAX + 4) && !(rctl & RCTL_SBP)) {
        e1000_count(s, S_ROC, 1);
        return false;
    }
    return len <= FRAME_LONG;
}

/* ---- checksums ------------------------------------------------------------------------ */

static void check_ip(E1000 *s, const Frame *f, const NetHeaders *h, Frame *out)
{
    if ((*e1000_reg(s, R_RXCSUM) & RXCSUM_IPOFL) && !h->v6) {
        const uint8_t *ip = f->data + h->l3;
        out->status |= RX_IPCS;
        out->errors |= net_sum_done(net_sum(0, ip, (ip[0] & 15) * 4)) ? RXE_IPE : 0;
    }
}

static void check_transport(E1000 *s, const Frame *f, const NetHeaders *h, bool valid, Frame *out)
{
    const uint8_t *l4 = f->data + h->l4;

    if (!(*e1000_reg(s, R_RXCSUM) & RXCSUM_TUOFL) || !h->payload || h->end > f->len
        || h->end < h->payload) {
        return;
    }
    if (h->proto == 17 && !ld16_be(l4 + 6)) {
        return;                         /* UDP without */
    }
    out->status |= RX_TCPCS;
    if (!valid) {
        uint32_t sum = net_sum_pseudo(f->data + h->l3, h->v6, h->proto, h->end - h->l4);
        out->errors |= net_sum_done(net_sum(sum, l4, h->end - h->l4)) ? RXE_TCPE : 0;
    }
}

static void check_sums(E1000 *s, Frame *f, bool valid)
{
    NetHeaders h;

    if (!(*e1000_reg(s, R_RXCSUM) & (RXCSUM_IPOFL | RXCSUM_TUOFL))
        || !net_parse(f->data, f->len, &h)) {
        f->status |= RX_IXSM;
        return;
    }
    check_ip(s, f, &h, f);
    check_transport(s, f, &h, valid, f);
    if (!(f->status & (RX_IPCS | RX_TCPCS))) {
        f->status |= RX_IXSM;
    }
}

/* ---- 82574: receive-side scaling (7.1.11 of its data sheet) --------------------------------- */

static bool spreads(E1000 *s)
{
    return s->is_e && (*e1000_reg(s, R_MRQC) & 3) == MRQC_RSS;
}

/* Toeplitz: the key, moved on by a bit for each bit of the data, where that is set. */
static uint32_t toeplitz(E1000 *s, const uint8_t *data, unsigned len)
{
    uint8_t key[40];
    uint32_t hash = 0;

    for (unsigned i = 0; i < 10; i++) {
        st32_le(key + 4 * i, *e1000_reg(s, R_RSSRK + 4 * i));
    }
    uint64_t window = ld64_be(key);
    for (unsigned i = 0; i < len; i++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            if (data[i] << bit & 0x80) {
                hash ^= window >> (32 - bit);
            }
        }
        window = window << 8 | (i + 8 < sizeof(key) ? key[i + 8] : 0);
    }
    return hash;
}

/* What is hashed: addresses, and ports of TCP where that is wanted. */
static uint8_t hash_input(E1000 *s, const Frame *f, uint8_t *data, unsigned *len)
{
    uint32_t want = *e1000_reg(s, R_MRQC);
    NetHeaders h;

    if (!net_parse(f->data, f->len, &h)) {
        return 0;
    }
    bool tcp = h.proto == 6 && h.payload && !h.fragment;
    unsigned size = h.v6 ? 32 : 8;
    memcpy(data, f->data + h.l3 + (h.v6 ? 8 : 12), size);
    *len = size;
    if (tcp && (want & (h.v6 ? MRQC_TCP6 | MRQC_TCP6_EX : MRQC_TCP4))) {
        memcpy(data + size, f->data + h.l4, 4);
        *len += 4;
        return h.v6 ? HASH_TCP6 : HASH_TCP4;
    }
    if (!h.v6) {
        return want & MRQC_IP4 ? HASH_IP4 : 0;
    }
    return want & MRQC_IP6 ? HASH_IP6 : want & MRQC_IP6_EX ? HASH_IP6_EX : 0;
}

/* Hash and queue of a frame.  RETA has 128 bytes, whose highest bit is the queue. */
static void spread(E1000 *s, Frame *f)
{
    uint8_t data[36];
    unsigned len;

    if (!spreads(s) || !(f->hash_type = hash_input(s, f, data, &len))) {
        return;
    }
    f->hash = toeplitz(s, data, len);
    unsigned i = f->hash & 127;
    f->queue = *e1000_reg(s, R_RETA + (i & ~3u)) >> (8 * (i & 3) + 7) & 1;
}

/* ---- descriptors ---------------------------------------------------------------------- */

static uint32_t buffer_size(E1000 *s)
{
    static const uint16_t sizes[2][4] = { { 2048, 1024, 512, 256 }, { 0, 16384, 8192, 4096 } };
    uint32_t rctl = *e1000_reg(s, R_RCTL), size = sizes[!!(rctl & RCTL_BSEX)][RCTL_BSIZE(rctl)];
    return size ? size : 2048;
}

static uint32_t *ring_reg(E1000 *s, unsigned q, unsigned reg)
{
    return e1000_reg(s, reg + q * QUEUE_STEP);
}

static hwaddr ring_base(E1000 *s, unsigned q)
{
    return ((hwaddr)*ring_reg(s, q, R_RDBAH) << 32 | *ring_reg(s, q, R_RDBAL)) & ~15ull;
}

/* ---- the 82574's descriptors: extended, and with several buffers -------------------------------- */

static bool is_split(E1000 *s)
{
    return s->is_e && (*e1000_reg(s, R_RFCTL) & RFCTL_EXSTEN)
           && (*e1000_reg(s, R_RCTL) >> 10 & 3) == 1;
}

static unsigned desc_size(E1000 *s)
{
    return is_split(s) ? 32 : E1000_DESC;
}

/* Sizes of the four buffers: in units of 128 bytes, 1 KiB, 1 KiB, 1 KiB. */
static uint32_t split_size(E1000 *s, unsigned n)
{
    uint32_t v = *e1000_reg(s, R_PSRCTL) >> 8 * n;
    return n ? (v & 0x3f) << 10 : (v & 0x7f) << 7;
}

static uint32_t room_per_desc(E1000 *s)
{
    uint32_t sum = 0;

    if (!is_split(s)) {
        return buffer_size(s);
    }
    for (unsigned n = 0; n < 4; n++) {
        sum += split_size(s, n);
    }
    return MAX(sum, 1);
}

static uint32_t ring_entries(E1000 *s, unsigned q)
{
    return *ring_reg(s, q, R_RDLEN) / desc_size(s);
}

static bool has_room(E1000 *s, unsigned q, size_t len)
{
    uint32_t entries = ring_entries(s, q), head = *ring_reg(s, q, R_RDH),
             tail = *ring_reg(s, q, R_RDT);

    if (!entries || head >= entries || tail >= entries || head == tail) {
        return false;
    }
    uint32_t room = tail > head ? tail - head : entries - head + tail;
    return (uint64_t)room * room_per_desc(s) >= len;
}

/* The hash takes the place of a checksum nobody wants (RXCSUM.PCSD). */
static void put_extended(E1000 *s, const Frame *f, bool last, uint8_t *raw, uint32_t len)
{
    bool hash = *e1000_reg(s, R_RXCSUM) & RXCSUM_PCSD;

    st32_le(raw, hash ? f->hash_type | f->queue << 8 : 0);
    st32_le(raw + 4, hash ? f->hash : 0);
    st32_le(raw + 8, f->status | RX_DD | (last ? RX_EOP | (uint32_t)f->errors << 24 : 0));
    st16_le(raw + 12, len);
    st16_le(raw + 14, f->special);
}

static void fill_split(E1000 *s, const Frame *f, size_t at, size_t n, bool last, uint8_t *raw)
{
    size_t left = n, from = at;
    uint16_t got[4];

    for (unsigned k = 0; k < 4; k++) {
        hwaddr to = ld64_le(raw + 8 * k);
        size_t part = MIN(left, split_size(s, k));
        if (part && to && from < f->len) {
            pci_dma_write(&s->pci, to, f->data + from, MIN(part, f->len - from));
        }
        got[k] = part;
        from += part;
        left -= part;
    }
    put_extended(s, f, last, raw, got[0]);
    memset(raw + 16, 0, 16);
    for (unsigned k = 1; k < 4; k++) {
        st16_le(raw + 16 + 2 * k, got[k]);
    }
}

/* false: the ring can't be read. */
static bool fill_one(E1000 *s, const Frame *f, size_t at, size_t total, size_t *done)
{
    uint32_t *head = ring_reg(s, f->queue, R_RDH), entries = ring_entries(s, f->queue);
    size_t n = MIN(total - at, room_per_desc(s)), bytes = at < f->len ? MIN(n, f->len - at) : 0;
    unsigned size = desc_size(s);
    hwaddr desc = ring_base(s, f->queue) + (hwaddr)*head * size, to;
    bool last = at + n == total;
    uint8_t raw[32];

    if (pci_dma_read(&s->pci, desc, raw, size) != MEM_OK) {
        return false;
    }
    *head = *head + 1 >= entries ? 0 : *head + 1;
    *done = at + n;
    if (size == 32) {
        fill_split(s, f, at, n, last, raw);
        pci_dma_write(&s->pci, desc, raw, size);
        return true;
    }
    to = ld64_le(raw);
    if (to) {
        pci_dma_write(&s->pci, to, f->data + at, bytes);
    } else {
        LOG_GUEST("e1000: receive descriptor without address");
    }
    if (s->is_e && (*e1000_reg(s, R_RFCTL) & RFCTL_EXSTEN)) {
        put_extended(s, f, last, raw, n);
        pci_dma_write(&s->pci, desc, raw, 16);
        return true;
    }
    st16_le(raw + 8, n);
    st16_le(raw + 10, 0);
    raw[12] = f->status | RX_DD | (last ? RX_EOP : 0);
    raw[13] = last ? f->errors : 0;
    st16_le(raw + 14, f->special);
    pci_dma_write(&s->pci, desc + 8, raw + 8, 8);
    return true;
}

static void store(E1000 *s, const Frame *f)
{
    size_t total = f->len + (*e1000_reg(s, R_RCTL) & RCTL_SECRC ? 0 : FCS);

    for (size_t at = 0; at < total;) {
        /* the registers may have been changed by our own DMA */
        if (!ring_entries(s, f->queue) || *ring_reg(s, f->queue, R_RDH) >= ring_entries(s, f->queue)
            || !fill_one(s, f, at, total, &at)) {
            return;
        }
    }
}

/* Below the threshold that RCTL.RDMTS sets: half, a quarter, an eighth of the ring. */
static bool runs_low(E1000 *s, unsigned q)
{
    uint32_t entries = ring_entries(s, q), head = *ring_reg(s, q, R_RDH),
             tail = *ring_reg(s, q, R_RDT);
    uint32_t left = tail >= head ? tail - head : entries - head + tail;
    return left <= entries >> ((*e1000_reg(s, R_RCTL) >> 8 & 3) + 1);
}

static void count_received(E1000 *s, const uint8_t *data, size_t len)
{
    len += FCS;
    e1000_count_size(s, S_PRC64, len);
    e1000_count(s, S_TPR, 1);
    e1000_count(s, S_GPRC, 1);
    e1000_count64(s, S_TORL, len);
    e1000_count64(s, S_GORCL, len);
    if (mac_is_broadcast(data)) {
        e1000_count(s, S_BPRC, 1);
    } else if (mac_is_group(data)) {
        e1000_count(s, S_MPRC, 1);
    }
}

static bool receive_frame(E1000 *s, uint8_t *data, size_t len, bool valid)
{
    Frame f = { .data = data, .len = len };

    if (!size_passes(s, len) || !vlan_passes(s, data, len)
        || !address_passes(s, data, &f.status)) {
        return true;
    }
    spread(s, &f);
    if (f.queue && !ring_entries(s, f.queue)) {
        e1000_count(s, S_MPC, 1);       /* it would wait for ever */
        return true;
    }
    if (!has_room(s, f.queue, len + FCS)) {
        e1000_count(s, S_MPC, 1);
        e1000_raise(s, ICR_RXO);
        return false;
    }
    count_received(s, data, len);
    if ((*e1000_reg(s, R_CTRL) & CTRL_VME) && is_tagged(s, data, len)) {
        f.special = ld16_be(data + 14);
        f.status |= RX_VP;
        memmove(data + 4, data, 12);
        f.data += 4;
        f.len -= 4;
    }
    check_sums(s, &f, valid);
    store(s, &f);
    if (runs_low(s, f.queue)) {
        e1000_raise(s, ICR_RXDMT0);
    }
    e1000_raise_rx(s, f.queue, len);
    return true;
}

bool e1000_can_receive(NetClient *nc)
{
    E1000 *s = nc->opaque;

    if (!(s->pci.config[PCI_COMMAND] & PCI_COMMAND_MASTER)
        || !(*e1000_reg(s, R_STATUS) & STATUS_LU)) {
        return false;
    }
    return (*e1000_reg(s, R_RCTL) & RCTL_EN)
           && (has_room(s, 0, 1) || (spreads(s) && has_room(s, 1, 1)));
}

bool e1000_receive(NetClient *nc, const struct iovec *iov, int n, const NetOffload *off)
{
    uint8_t frame[FRAME_LONG + 64];
    size_t len = iov_to_buf(iov, n, 0, frame, sizeof(frame));

    if (len < NET_MIN_FRAME) {
        memset(frame + len, 0, NET_MIN_FRAME - len);
        len = NET_MIN_FRAME;
    }
    return receive_frame(nc->opaque, frame, len, off && (off->flags & NET_OFFLOAD_VALID));
}

void e1000_receive_loopback(E1000 *s, const uint8_t *data, size_t len)
{
    if ((*e1000_reg(s, R_RCTL) & RCTL_EN) && has_room(s, 0, len + FCS) && len <= FRAME_LONG) {
        struct iovec iov = { (void *)data, len };
        e1000_receive(&s->nc, &iov, 1, NULL);
    }
}
