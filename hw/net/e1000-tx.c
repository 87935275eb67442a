/* SPDX-License-Identifier: MIT */
/*
 * e1000: transmission (3.3 to 3.5).  Descriptors are legacy, context (offsets for checksums and
 * segmentation) or data.  A packet is gathered until its last descriptor; segmentation itself is
 * left to whoever takes the packet, or to the wire (net/offload.h).
 */
#include "hw/net/e1000.h"
#include "net/offload.h"
#include "util/bits.h"
#include "util/log.h"

/* Command, in bits 24.. of the second word */
#define CMD_EOP     0x01
#define CMD_IC      0x04                /* legacy: insert checksum */
#define CMD_TSE     0x04                /* data: segment */
#define CMD_RS      0x08
#define CMD_RPS     0x10
#define CMD_DEXT    0x20
#define CMD_VLE     0x40
#define CMD_IDE     0x80
#define TUCMD_TCP   0x01
#define TUCMD_IP    0x02
#define DTYP(lower) ((lower) >> 20 & 15)
#define DTYP_CONTEXT 0
#define STATUS_DD   0x01
#define POPTS_IXSM  0x01
#define POPTS_TXSM  0x02

/* One descriptor */
typedef struct Desc {
    uint64_t addr;
    uint32_t lower;                     /* length, type, command */
    uint32_t upper;                     /* status, options, special */
} Desc;

static uint8_t cmd_of(const Desc *d)
{
    return d->lower >> 24;
}

/* ---- what is sent --------------------------------------------------------------------- */

static void store_sum(E1000 *s, unsigned from, unsigned end, unsigned at)
{
    if (!end || end >= s->packet_len) {
        end = s->packet_len - 1;
    }
    if (from <= end && at + 2 <= s->packet_len) {
        st16_be(s->packet + at, net_sum_done(net_sum(0, s->packet + from, end + 1 - from)));
    }
}

/* Checksum of TCP or UDP: left to the wire where it reaches to the end. */
static void transport_sum(E1000 *s, const E1000Context *c, NetOffload *off)
{
    if (!c->tucse && c->tucso >= c->tucss) {
        off->flags = NET_OFFLOAD_CSUM;
        off->csum_start = c->tucss;
        off->csum_offset = c->tucso - c->tucss;
    } else {
        store_sum(s, c->tucss, c->tucse, c->tucso);
    }
}

static void offload(E1000 *s, NetOffload *off)
{
    const E1000Context *c = s->packet_tse ? &s->ctx_tso : &s->ctx;

    if ((s->packet_popts & POPTS_IXSM) && !s->packet_tse) {
        store_sum(s, c->ipcss, c->ipcse, c->ipcso);
    }
    if (s->packet_popts & POPTS_TXSM) {
        transport_sum(s, c, off);
    }
    if (s->packet_tse && c->mss && s->packet_len > (uint32_t)c->hdrlen + c->mss
        && (c->flags & TUCMD_TCP)) {
        off->flags |= NET_OFFLOAD_CSUM;
        off->gso = c->flags & TUCMD_IP ? NET_GSO_TCP4 : NET_GSO_TCP6;
        off->gso_size = c->mss;
        off->header_len = c->hdrlen;
        net_prepare_large(s->packet, s->packet_len);
        e1000_count(s, S_TSCTC, 1);
    }
}

static void insert_tag(E1000 *s, uint16_t special)
{
    if (s->packet_len < 12 || s->packet_len + 4 > E1000_TX_MAX) {
        return;
    }
    memmove(s->packet + 16, s->packet + 12, s->packet_len - 12);
    st16_be(s->packet + 12, *e1000_reg(s, R_VET));
    st16_be(s->packet + 14, special);
    s->packet_len += 4;
}

static void count_sent(E1000 *s)
{
    size_t len = s->packet_len + 4;

    e1000_count_size(s, S_PTC64, len);
    e1000_count(s, S_TPT, 1);
    e1000_count(s, S_GPTC, 1);
    e1000_count64(s, S_TOTL, len);
    e1000_count64(s, S_GOTCL, len);
    if (mac_is_broadcast(s->packet)) {
        e1000_count(s, S_BPTC, 1);
    } else if (mac_is_group(s->packet)) {
        e1000_count(s, S_MPTC, 1);
    }
}

static void send_packet(E1000 *s, const Desc *d)
{
    NetOffload off = { 0 };

    if (s->packet_bad || s->packet_len < 14) {
        LOG_GUEST("e1000: a packet of %u bytes is dropped", s->packet_len);
        return;
    }
    if ((*e1000_reg(s, R_TCTL) & TCTL_PSP) && s->packet_len < NET_MIN_FRAME) {
        memset(s->packet + s->packet_len, 0, NET_MIN_FRAME - s->packet_len);
        s->packet_len = NET_MIN_FRAME;
    }
    offload(s, &off);
    if ((cmd_of(d) & CMD_VLE) && (*e1000_reg(s, R_CTRL) & CTRL_VME)) {
        insert_tag(s, d->upper >> 16);
        off.csum_start += off.flags & NET_OFFLOAD_CSUM ? 4 : 0;
    }
    count_sent(s);
    struct iovec iov = { s->packet, s->packet_len };
    if (e1000_loopback(s)) {
        if (off.flags & NET_OFFLOAD_CSUM) {
            net_fill_checksum(s->packet, s->packet_len, &off);
        }
        e1000_receive_loopback(s, s->packet, s->packet_len);
    } else {
        net_send(&s->nc, &iov, 1, off.flags || off.gso ? &off : NULL);
    }
}

/* ---- descriptors ---------------------------------------------------------------------- */

static void take_context(E1000 *s, const Desc *d)
{
    E1000Context *c = cmd_of(d) & CMD_TSE ? &s->ctx_tso : &s->ctx;
    uint32_t ip = d->addr, tu = d->addr >> 32;

    *c = (E1000Context) {
        .ipcss = ip, .ipcso = ip >> 8, .ipcse = ip >> 16, .tucss = tu, .tucso = tu >> 8,
        .tucse = tu >> 16, .paylen = d->lower & 0xfffff, .flags = cmd_of(d),
        .hdrlen = d->upper >> 8, .mss = d->upper >> 16,
    };
    if (!(c->flags & CMD_TSE)) {
        s->ctx_tso.flags &= ~CMD_TSE;
    }
}

static void take_data(E1000 *s, const Desc *d)
{
    bool extended = cmd_of(d) & CMD_DEXT;
    uint32_t len = d->lower & (extended ? 0xfffff : 0xffff);

    if (!s->packet_len && !s->packet_bad) {
        s->packet_popts = extended ? d->upper >> 8 : 0;
        s->packet_tse = extended && (cmd_of(d) & CMD_TSE);
    }
    if (s->packet_len + len > E1000_TX_MAX - 4) {
        s->packet_bad = true;
        return;
    }
    pci_dma_read(&s->pci, d->addr, s->packet + s->packet_len, len);
    s->packet_len += len;
}

/* Legacy descriptors: CSO, CSS in bytes 10 and 13. */
static void legacy_checksum(E1000 *s, const Desc *d)
{
    if (!(cmd_of(d) & CMD_DEXT) && (cmd_of(d) & CMD_IC) && s->packet_len) {
        store_sum(s, d->upper >> 8 & 0xff, 0, d->lower >> 16 & 0xff);
    }
}

static void take(E1000 *s, const Desc *d)
{
    if ((cmd_of(d) & CMD_DEXT) && DTYP(d->lower) == DTYP_CONTEXT) {
        take_context(s, d);
        return;
    }
    take_data(s, d);
    if (cmd_of(d) & CMD_EOP) {
        legacy_checksum(s, d);
        send_packet(s, d);
        s->packet_len = 0;
        s->packet_bad = false;
    }
}

static bool write_back(E1000 *s, hwaddr at, const Desc *d)
{
    if (!(cmd_of(d) & (CMD_RS | CMD_RPS))) {
        return false;
    }
    uint8_t word[4];
    st32_le(word, (d->upper | STATUS_DD) & ~0xeu);
    pci_dma_write(&s->pci, at + 12, word, 4);
    return true;
}

static hwaddr ring(E1000 *s, unsigned base)
{
    return ((hwaddr)*e1000_reg(s, base + 4) << 32 | *e1000_reg(s, base)) & ~15ull;
}

void e1000_transmit(E1000 *s, unsigned queue)
{
    unsigned at_queue = queue * QUEUE_STEP;
    uint32_t *head = e1000_reg(s, R_TDH + at_queue), tail = *e1000_reg(s, R_TDT + at_queue);
    uint32_t entries = *e1000_reg(s, R_TDLEN + at_queue) / E1000_DESC;
    hwaddr base = ring(s, R_TDBAL + at_queue);
    bool report = false, delayed = true;
    uint8_t raw[E1000_DESC];

    if (!(*e1000_reg(s, R_TCTL) & TCTL_EN) || !entries || tail >= entries || *head >= entries) {
        return;
    }
    /* one round at most: what comes round again has been given back */
    for (uint32_t n = 0; *head != tail && n < entries; n++) {
        hwaddr at = base + (hwaddr)*head * E1000_DESC;
        if (pci_dma_read(&s->pci, at, raw, sizeof(raw)) != MEM_OK) {
            break;
        }
        Desc d = { ld64_le(raw), ld32_le(raw + 8), ld32_le(raw + 12) };
        take(s, &d);
        if (write_back(s, at, &d)) {
            report = true;
            delayed &= (cmd_of(&d) & CMD_IDE) != 0;
        }
        *head = *head + 1 >= entries ? 0 : *head + 1;
    }
    e1000_raise(s, ICR_TXQE);
    if (report) {
        e1000_raise_tx(s, queue, delayed);
    }
}
