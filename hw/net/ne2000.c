/* SPDX-License-Identifier: MIT */
/*
 * NE2000: a DP8390 network controller with memory of its own, reached through a data port.
 *
 * Sources: National Semiconductor DP8390D data sheet (registers: section 10), application note
 * AN-874 (remote DMA, ring); RealTek RTL8019AS/RTL8029AS data sheets (page 3, identification).
 *
 * Not modelled: collisions, frame errors, what loopback leaves in the FIFO.
 */
#include "hw/net/ne2000.h"
#include "util/bits.h"
#include "util/iov.h"
#include "util/log.h"

#include <string.h>

#define CR_STP      0x01
#define CR_STA      0x02
#define CR_TXP      0x04
#define CR_RD       0x38                /* remote read 08h, write 10h, abort 20h */
#define CR_ABORT    0x20
#define ISR_PRX     0x01
#define ISR_PTX     0x02
#define ISR_RXE     0x04
#define ISR_OVW     0x10
#define ISR_RDC     0x40
#define ISR_RST     0x80
#define RSR_PRX     0x01
#define RSR_PHY     0x20                /* group address */
#define RSR_DIS     0x40
#define RCR_AB      0x04
#define RCR_AM      0x08
#define RCR_PRO     0x10
#define RCR_MON     0x20
#define TCR_LB      0x06
#define TSR_PTX     0x01
#define DCR_WTS     0x01

#define DATA_PORT   0x10
#define RESET_PORT  0x18
#define PAGE        256u
#define FCS         4u
#define FRAME_MAX   1600u

static void update_irq(Ne2000 *s)
{
    irq_set(&s->irq, (s->isr & s->imr & 0x7f) != 0);
}

/* ---- the card's memory -------------------------------------------------------------------- */

/* PROM below 32, RAM from 4000h; nothing between. */
static bool mem_valid(uint32_t at)
{
    return at < 32 || (at >= NE2000_RAM && at < NE2000_END);
}

static uint8_t mem_get(const Ne2000 *s, uint32_t at)
{
    return mem_valid(at) ? s->mem[at] : 0xff;
}

static void mem_put(Ne2000 *s, uint32_t at, uint8_t v)
{
    if (at >= NE2000_RAM && at < NE2000_END) {
        s->mem[at] = v;
    }
}

/* One byte of remote DMA went by. */
static void remote_step(Ne2000 *s)
{
    s->rsar++;
    if (s->rsar == s->pstop) {
        s->rsar = s->pstart;
    }
    if (s->rbcr && !--s->rbcr) {
        s->isr |= ISR_RDC;
        update_irq(s);
    }
}

/* In word mode a byte access moves a word too. */
static unsigned transfer_size(const Ne2000 *s, unsigned size)
{
    return size == 1 && (s->dcr & DCR_WTS) ? 2 : size;
}

/* The next n bytes lie in the RAM, and are not the last ones of the transfer or of the ring. */
static bool plain_part(const Ne2000 *s, unsigned n)
{
    return s->rsar >= NE2000_RAM && s->rsar + n < NE2000_END && s->rbcr > n
           && (s->rsar >= s->pstop || s->rsar + n < s->pstop);
}

static void plain_step(Ne2000 *s, unsigned n)
{
    s->rsar += n;
    s->rbcr -= n;
}

static uint32_t data_read(Ne2000 *s, unsigned size)
{
    uint32_t v = 0;

    if (size == 4 && plain_part(s, 4)) {
        v = ld32_le(s->mem + s->rsar);
        plain_step(s, 4);
        return v;
    }
    for (unsigned i = 0; i < transfer_size(s, size); i++) {
        v |= (uint32_t)mem_get(s, s->rsar) << 8 * i;
        remote_step(s);
    }
    return v;
}

static void data_write(Ne2000 *s, uint32_t v, unsigned size)
{
    if (!s->rbcr) {
        return;
    }
    if (size == 4 && plain_part(s, 4)) {
        st32_le(s->mem + s->rsar, v);
        plain_step(s, 4);
        return;
    }
    for (unsigned i = 0; i < transfer_size(s, size) && s->rbcr; i++, v >>= 8) {
        mem_put(s, s->rsar, v);
        remote_step(s);
    }
}

/* ---- sending ------------------------------------------------------------------------------ */

static void transmit(Ne2000 *s)
{
    uint32_t at = (uint32_t)s->tpsr << 8;
    uint8_t frame[FRAME_MAX];

    if (at >= NE2000_END) {             /* the RAM shows up again above */
        at -= NE2000_END - NE2000_RAM;
    }
    if (s->tcnt && s->tcnt <= FRAME_MAX && at >= NE2000_RAM && at + s->tcnt <= NE2000_END
        && !(s->tcr & TCR_LB)) {
        memset(frame, 0, NET_MIN_FRAME);
        memcpy(frame, s->mem + at, s->tcnt);
        net_send_buf(&s->nc, frame, MAX(s->tcnt, NET_MIN_FRAME));
    } else if (!(s->tcr & TCR_LB)) {
        LOG_GUEST("ne2000: %u bytes at page %02x can't be sent", s->tcnt, s->tpsr);
    }
    s->tsr = TSR_PTX;
    s->isr |= ISR_PTX;
    s->cmd &= ~CR_TXP;
    update_irq(s);
}

/* ---- reception ------------------------------------------------------------------------------ */

static bool ring_valid(const Ne2000 *s)
{
    return s->pstart >= NE2000_RAM && s->pstop <= NE2000_END && s->pstart < s->pstop;
}

static uint32_t ring_pages(const Ne2000 *s)
{
    return (s->pstop - s->pstart) / PAGE;
}

/* Free pages: from CURR up to BNRY; equal: all are free. */
static uint32_t ring_room(const Ne2000 *s)
{
    uint32_t curr = (uint32_t)s->curr << 8, bnry = (uint32_t)s->bnry << 8;
    return curr < bnry ? bnry - curr : s->pstop - s->pstart - (curr - bnry);
}

/* A frame of len fits, and CURR does not come to BNRY, which would look like an empty ring. */
static bool ring_holds(const Ne2000 *s, uint32_t len)
{
    return (4 + len + FCS + PAGE - 1) / PAGE * PAGE < ring_room(s);
}

static bool in_ring(const Ne2000 *s, uint32_t at)
{
    return at >= s->pstart && at < s->pstop;
}

static bool ne2000_can_receive(NetClient *nc)
{
    const Ne2000 *s = nc->opaque;

    if ((s->cmd & CR_STP) || !ring_valid(s) || !in_ring(s, (uint32_t)s->curr << 8)) {
        return true;                    /* nobody listens: lost */
    }
    return ring_holds(s, 1514) || ring_pages(s) * PAGE <= 1514 + PAGE;
}

static bool wanted(const Ne2000 *s, const uint8_t *f)
{
    if (s->rcr & RCR_PRO) {
        return true;
    }
    if (mac_is_broadcast(f)) {
        return s->rcr & RCR_AB;
    }
    if (mac_is_group(f)) {
        unsigned bit = mac_crc_be(f) >> 26;
        return (s->rcr & RCR_AM) && (s->mult[bit >> 3] >> (bit & 7) & 1);
    }
    return !memcmp(f, s->phys, 6);
}

static uint32_t ring_put(Ne2000 *s, uint32_t at, const uint8_t *data, uint32_t len)
{
    while (len) {
        uint32_t n = MIN(len, s->pstop - at);
        memcpy(s->mem + at, data, n);
        data += n;
        len -= n;
        at += n;
        if (at == s->pstop) {
            at = s->pstart;
        }
    }
    return at;
}

static void store(Ne2000 *s, const uint8_t *f, uint32_t len)
{
    uint32_t at = (uint32_t)s->curr << 8, total = 4 + len + FCS;
    uint32_t next = at + (total + PAGE - 1) / PAGE * PAGE;
    static const uint8_t fcs[FCS];

    if (next >= s->pstop) {
        next -= s->pstop - s->pstart;
    }
    s->rsr = RSR_PRX | (mac_is_group(f) ? RSR_PHY : 0);
    uint8_t head[4] = { s->rsr, next >> 8, total, total >> 8 };
    at = ring_put(s, at, head, 4);
    at = ring_put(s, at, f, len);
    ring_put(s, at, fcs, FCS);
    s->curr = next >> 8;
    s->partly_read &= (s->isr & ISR_PRX) != 0;
    s->isr |= ISR_PRX;
    update_irq(s);
}

static bool ne2000_receive(NetClient *nc, const struct iovec *iov, int n, const NetOffload *off)
{
    Ne2000 *s = nc->opaque;
    uint8_t frame[FRAME_MAX] = { 0 };
    uint32_t len = iov_size(iov, n);

    if (len > FRAME_MAX || (s->cmd & CR_STP) || (s->rcr & RCR_MON) || !ring_valid(s)
        || !in_ring(s, (uint32_t)s->curr << 8)) {
        return true;
    }
    iov_to_buf(iov, n, 0, frame, len);
    len = MAX(len, NET_MIN_FRAME);
    if (!wanted(s, frame)) {
        return true;
    }
    if (s->tcr & TCR_LB) {
        return true;
    }
    if (!ring_holds(s, len)) {
        s->isr |= ISR_OVW;
        update_irq(s);
        return true;
    }
    store(s, frame, len);
    return true;
}

/* ---- registers ------------------------------------------------------------------------------ */

static void write_command(Ne2000 *s, uint8_t v)
{
    s->cmd = v;
    if (v & CR_STP) {
        s->isr |= ISR_RST;
        update_irq(s);
        return;
    }
    s->isr &= ~ISR_RST;
    /* a remote DMA of no bytes is over at once */
    if ((v & 0x18) && !s->rbcr) {
        s->isr |= ISR_RDC;
    }
    update_irq(s);
    if (v & CR_TXP) {
        transmit(s);
    }
    net_flush(&s->nc);
}

/* Packets lie in the ring.  Drivers keep BNRY at the next one to be read, or a page before. */
static bool ring_unread(const Ne2000 *s)
{
    uint8_t after = s->bnry + 1;

    if (after == s->pstop >> 8) {
        after = s->pstart >> 8;
    }
    return ring_valid(s) && s->curr != s->bnry && s->curr != after;
}

/*
 * Drivers read some packets, at most nine say, then acknowledge PRX, whatever is left in the ring;
 * the next arrival would bring them back.  Here nothing may arrive any more: what waits for room
 * comes as fast as it is made, and the rest may be all there is.  So PRX is not gone while packets
 * wait, nor when the driver has read some and left some.
 */
static void acknowledge(Ne2000 *s, uint8_t causes)
{
    s->isr &= ~causes;
    net_flush(&s->nc);
    if (!(s->cmd & CR_STP)
        && (net_waiting(&s->nc) || ((causes & ISR_PRX) && s->partly_read && ring_unread(s)))) {
        s->isr |= ISR_PRX;
    }
    update_irq(s);
}

static void write_page0(Ne2000 *s, unsigned a, uint8_t v)
{
    switch (a) {
    case 0x1: s->pstart = v << 8; break;
    case 0x2: s->pstop = v << 8; break;
    case 0x3:
        s->bnry = v;
        s->partly_read = true;
        net_flush(&s->nc);
        break;
    case 0x4: s->tpsr = v; break;
    case 0x5: s->tcnt = (s->tcnt & 0xff00) | v; break;
    case 0x6: s->tcnt = (s->tcnt & 0x00ff) | v << 8; break;
    case 0x7:
        acknowledge(s, v & 0x7f);
        break;
    case 0x8: s->rsar = (s->rsar & 0xff00) | v; break;
    case 0x9: s->rsar = (s->rsar & 0x00ff) | v << 8; break;
    case 0xa: s->rbcr = (s->rbcr & 0xff00) | v; break;
    case 0xb: s->rbcr = (s->rbcr & 0x00ff) | v << 8; break;
    case 0xc: s->rcr = v & 0x3f; break;
    case 0xd: s->tcr = v & 0x1f; break;
    case 0xe: s->dcr = v & 0x7f; break;
    case 0xf:
        s->imr = v & 0x7f;
        update_irq(s);
        break;
    }
}

static void write_page1(Ne2000 *s, unsigned a, uint8_t v)
{
    if (a <= 6) {
        s->phys[a - 1] = v;
        nic_show_mac(&s->nc, s->phys);
    } else if (a == 7) {
        s->curr = v;
        net_flush(&s->nc);
    } else {
        s->mult[a - 8] = v;
    }
}

static uint8_t read_page0(const Ne2000 *s, unsigned a)
{
    switch (a) {
    case 0x3: return s->bnry;
    case 0x4: return s->tsr;
    case 0x7: return s->isr;
    case 0x8: return s->rsar;
    case 0x9: return s->rsar >> 8;
    case 0xa: return 0x50;              /* "P", "p": an RTL8019 or RTL8029 */
    case 0xb: return 0x70;
    case 0xc: return s->rsr;
    default:  return 0;
    }
}

static uint8_t read_page2(const Ne2000 *s, unsigned a)
{
    switch (a) {
    case 0x1: return s->pstart >> 8;
    case 0x2: return s->pstop >> 8;
    case 0x4: return s->tpsr;
    case 0xc: return s->rcr | 0xc0;
    case 0xd: return s->tcr | 0xe0;
    case 0xe: return s->dcr | 0x80;
    case 0xf: return s->imr | 0x80;
    default:  return 0;
    }
}

static uint8_t read_register(const Ne2000 *s, unsigned a)
{
    if (a == 0) {
        return s->cmd;
    }
    switch (s->cmd >> 6) {
    case 0:
        return read_page0(s, a);
    case 1:
        return a <= 6 ? s->phys[a - 1] : a == 7 ? s->curr : s->mult[a - 8];
    case 2:
        return read_page2(s, a);
    default:
        return a == 5 || a == 6 ? 0x40 : 0;     /* CONFIG2: 10BASE-T; CONFIG3: full duplex */
    }
}

static void write_register(Ne2000 *s, unsigned a, uint8_t v)
{
    if (a == 0) {
        write_command(s, v);
    } else if (s->cmd >> 6 == 0) {
        write_page0(s, a, v);
    } else if (s->cmd >> 6 == 1) {
        write_page1(s, a, v);
    } else {
        LOG_GUEST("ne2000: write of %02x to register %x of page %u", v, a, s->cmd >> 6);
    }
}

static uint64_t ne2000_read(void *opaque, hwaddr addr, unsigned size)
{
    Ne2000 *s = opaque;
    uint32_t v = 0;

    if (addr >= NE2000_PORTS) {
        return ~0ull;
    }
    if (addr >= DATA_PORT && addr < RESET_PORT) {
        return data_read(s, size);
    }
    if (addr >= RESET_PORT) {
        ne2000_reset(s);
        return 0;
    }
    for (unsigned i = 0; i < size; i++) {
        v |= (uint32_t)read_register(s, (addr + i) & 15) << 8 * i;
    }
    return v;
}

static void ne2000_write(void *opaque, hwaddr addr, uint64_t val, unsigned size)
{
    Ne2000 *s = opaque;

    if (addr >= NE2000_PORTS) {
        return;
    }
    if (addr >= RESET_PORT) {
        return;                         /* the second half of the reset pulse */
    }
    if (addr >= DATA_PORT) {
        data_write(s, val, size);
        return;
    }
    for (unsigned i = 0; i < size; i++) {
        write_register(s, (addr + i) & 15, val >> 8 * i);
    }
}

static const RegionOps ne2000_ops = {
    .read = ne2000_read, .write = ne2000_write, .min = 1, .max = 4,
};

/* ---- life ------------------------------------------------------------------------------------ */

/* The PROM: each byte twice, for 16-bit transfers; "WW" tells that it is such a card. */
static void fill_prom(Ne2000 *s)
{
    static const uint8_t sign = 0x57;

    for (int i = 0; i < 16; i++) {
        uint8_t v = i < 6 ? s->conf.mac[i] : i >= 14 ? sign : 0;
        s->mem[2 * i] = s->mem[2 * i + 1] = v;
    }
}

void ne2000_reset(Ne2000 *s)
{
    s->cmd = CR_STP | CR_ABORT;
    s->isr = ISR_RST;
    s->imr = 0;
    s->tsr = s->rsr = 0;
    s->partly_read = false;
    update_irq(s);
    net_purge(&s->nc);
}

static Json *ne2000_rx_filter(NetClient *nc)
{
    Ne2000 *s = nc->opaque;
    return nic_filter_json(nc, s->phys, s->rcr & RCR_PRO);
}

static const NetOps ne2000_net = {
    .model = "nic", .can_receive = ne2000_can_receive, .receive = ne2000_receive,
    .rx_filter = ne2000_rx_filter,
};

bool ne2000_init(Ne2000 *s, Device *dev, unsigned size, Error **err)
{
    if (!nic_init(&s->conf, &s->nc, 1, &ne2000_net, dev->type->name, dev->id, s, err)) {
        return false;
    }
    region_init_io(&s->io, "ne2000", size, &ne2000_ops, s);
    return true;
}

void ne2000_exit(Ne2000 *s)
{
    nic_exit(&s->conf, &s->nc, 1);
    region_destroy(&s->io);
}

/* Power on: registers and memory, which the reset port leaves alone. */
void ne2000_power_on(Ne2000 *s)
{
    s->bnry = s->curr = s->tpsr = s->rcr = s->tcr = s->dcr = 0;
    s->pstart = s->pstop = s->tcnt = s->rsar = s->rbcr = 0;
    memset(s->mem, 0, sizeof(s->mem));
    memset(s->mult, 0, sizeof(s->mult));
    memcpy(s->phys, s->conf.mac, 6);
    nic_show_mac(&s->nc, s->phys);
    fill_prom(s);
    ne2000_reset(s);
}

static const VMField ne2000_fields[] = {
    VM_UINT(Ne2000, cmd), VM_UINT(Ne2000, bnry), VM_UINT(Ne2000, curr), VM_UINT(Ne2000, tpsr),
    VM_UINT(Ne2000, tsr), VM_UINT(Ne2000, isr), VM_UINT(Ne2000, imr), VM_UINT(Ne2000, rcr),
    VM_UINT(Ne2000, tcr), VM_UINT(Ne2000, dcr), VM_UINT(Ne2000, rsr), VM_UINT(Ne2000, pstart),
    VM_UINT(Ne2000, pstop), VM_UINT(Ne2000, tcnt), VM_UINT(Ne2000, rsar), VM_UINT(Ne2000, rbcr),
    VM_BUFFER(Ne2000, phys), VM_BUFFER(Ne2000, mult), VM_BUFFER(Ne2000, mem),
    VM_BOOL_V(Ne2000, partly_read, 2),
    VM_DONE
};
const VMState vm_ne2000 = { .name = "ne2000", .version = 2, .oldest = 1, .fields = ne2000_fields };
