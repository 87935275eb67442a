/* SPDX-License-Identifier: MIT */
/*
 * RealTek RTL8139C+ fast Ethernet controller ("rtl8139"): registers and life.  rtl8139.h names
 * the sources; transmission and reception are in files of their own.
 *
 * Not modelled: wake-up, CardBus, statistics dump, PHY test registers.
 */
#include "hw/net/rtl8139.h"
#include "util/bits.h"
#include "util/log.h"

/* Registers */
enum {
    R_IDR = 0x00, R_MAR = 0x08, R_TSD = 0x10, R_TSAD = 0x20, R_RBSTART = 0x30, R_ERBCR = 0x34,
    R_ERSR = 0x36, R_CR = 0x37, R_CAPR = 0x38, R_CBR = 0x3a, R_IMR = 0x3c, R_ISR = 0x3e,
    R_TCR = 0x40, R_RCR = 0x44, R_TCTR = 0x48, R_MPC = 0x4c, R_9346CR = 0x50, R_CONFIG0 = 0x51,
    R_CONFIG1 = 0x52, R_TIMERINT = 0x54, R_MSR = 0x58, R_CONFIG3 = 0x59, R_CONFIG4 = 0x5a,
    R_MULINT = 0x5c, R_RERID = 0x5e, R_TSAD_ALL = 0x60, R_BMCR = 0x62, R_BMSR = 0x64,
    R_ANAR = 0x66, R_ANLPAR = 0x68, R_ANER = 0x6a, R_CONFIG5 = 0xd8, R_TPPOLL = 0xd9,
    R_CPCR = 0xe0, R_RDSAR = 0xe4,
};

#define TCR_VERSION     0x74800000      /* of the C+ */
#define TCR_WRITABLE    0x010707f1
#define MSR_LINKB       0x04            /* no link */
#define MSR_SPEED10     0x08
#define MSR_AUX         0x10
#define BMSR_LINK       0x0004
#define BMSR_DONE       0x0020
#define BMCR_RESTART    0x0200
#define CR9346_MODE     0xc0
#define MODE_LOAD       0x40
#define MODE_PROGRAM    0x80
#define MODE_CONFIG     0xc0
#define POLL_HIGH       0x80
#define POLL_NORMAL     0x40
#define POLL_SWINT      0x01
#define PCI_CLOCK       33000000
#define RTL_EEPROM_WORDS 64

/* ---- interrupts, timer -------------------------------------------------------------------- */

static void update_irq(Rtl8139 *s)
{
    pci_set_irq(&s->pci, (s->isr & s->imr) != 0);
}

void rtl8139_raise(Rtl8139 *s, uint16_t causes)
{
    s->isr |= causes;
    update_irq(s);
}

static uint32_t tctr(const Rtl8139 *s)
{
    return muldiv64(vclock_ns() - s->tctr_base, PCI_CLOCK, NS_PER_SEC);
}

/* When the counter reaches TimerInt: now, or in its next round. */
static void arm_timer(Rtl8139 *s)
{
    if (!s->timer_int || !(s->imr & ISR_TIMEOUT)) {
        timer_del(&s->timer);
        return;
    }
    uint32_t left = s->timer_int - tctr(s);
    timer_mod(&s->timer, vclock_ns() + (int64_t)muldiv64(left ? left : 1ull << 32, NS_PER_SEC,
                                                         PCI_CLOCK) + 1);
}

static void timer_expired(void *opaque)
{
    Rtl8139 *s = opaque;

    rtl8139_raise(s, ISR_TIMEOUT);
    arm_timer(s);
}

/* ---- EEPROM -------------------------------------------------------------------------------- */

static void load_address(Rtl8139 *s)
{
    for (int i = 0; i < 3; i++) {
        st16_le(s->idr + 2 * i, s->eeprom.data[7 + i]);
    }
    nic_show_mac(&s->nc, s->idr);
}

static void fill_eeprom(Rtl8139 *s)
{
    uint16_t *w = s->eeprom.data;

    memset(w, 0, RTL_EEPROM_WORDS * 2);
    w[0] = 0x8129;
    w[1] = 0x10ec;
    w[2] = 0x8139;
    w[3] = 0x1af4;
    w[4] = 0x1100;
    for (int i = 0; i < 3; i++) {
        w[7 + i] = ld16_le(s->conf.mac + 2 * i);
    }
}

static void write_9346(Rtl8139 *s, uint8_t v)
{
    s->cr9346 = v & 0xce;
    if ((v & CR9346_MODE) == MODE_PROGRAM) {
        eeprom93_write(&s->eeprom, v & 8, v & 4, v & 2);
    } else if ((v & CR9346_MODE) == MODE_LOAD) {
        load_address(s);
        s->cr9346 = 0;                  /* done at once */
    }
}

static uint8_t read_9346(const Rtl8139 *s)
{
    bool program = (s->cr9346 & CR9346_MODE) == MODE_PROGRAM;
    return s->cr9346 | (program && eeprom93_out(&s->eeprom));
}

static bool config_open(const Rtl8139 *s)
{
    return (s->cr9346 & CR9346_MODE) == MODE_CONFIG;
}

/* ---- registers ------------------------------------------------------------------------------ */

bool rtl8139_cplus_rx(const Rtl8139 *s)
{
    return s->cpcr & CPCR_RX;
}

bool rtl8139_cplus_tx(const Rtl8139 *s)
{
    return s->cpcr & CPCR_TX;
}

static void set_link(Rtl8139 *s)
{
    bool up = !s->nc.link_down;

    s->msr = (s->msr & ~MSR_LINKB) | (up ? 0 : MSR_LINKB);
    s->bmsr = (s->bmsr & ~(BMSR_LINK | BMSR_DONE)) | (up ? BMSR_LINK | BMSR_DONE : 0);
}

/* CR.RST: everything but the address and the EEPROM. */
static void software_reset(Rtl8139 *s)
{
    static const uint32_t idle = TSD_OWN;

    s->cr = CR_BUFE;
    s->isr = s->imr = s->cpcr = s->mulint = 0;
    s->capr = 0xfff0;
    s->cbr = 0;
    s->tcr = TCR_VERSION;
    s->rcr = 0;
    s->mpc = 0;
    s->timer_int = 0;
    timer_del(&s->timer);
    nic_wait_exit(&s->wait);
    s->tctr_base = vclock_ns();
    s->tx_next = 0;
    for (int i = 0; i < 4; i++) {
        s->tsd[i] = idle;
        s->tsad[i] = 0;
    }
    memset(s->tx_ring, 0, sizeof(s->tx_ring));
    memset(s->tx_at, 0, sizeof(s->tx_at));
    s->rbstart = 0;
    s->rx_ring = 0;
    s->rx_at = 0;
    s->packet_len = 0;
    s->packet_bad = false;
    s->bmcr = 0x1000;
    s->bmsr = 0x7809;
    s->anar = 0x05e1;
    s->anlpar = 0x45e1;
    s->aner = 0x0001;
    s->msr = MSR_AUX;
    set_link(s);
    update_irq(s);
}

static uint8_t read_cr(const Rtl8139 *s)
{
    return (s->cr & ~CR_BUFE) | (rtl8139_rx_empty(s) ? CR_BUFE : 0);
}

static void write_cr(Rtl8139 *s, uint8_t v)
{
    if (v & CR_RST) {
        software_reset(s);
        return;
    }
    uint8_t on = v & ~s->cr;
    s->cr = v & (CR_RE | CR_TE);
    if (on & CR_RE) {
        s->rx_at = 0;
    }
    if (on & CR_TE) {
        s->tx_at[0] = s->tx_at[1] = 0;
        s->tx_next = 0;
    }
    net_flush(&s->nc);
}

/* OWN, TUN, TOK of the four transmit registers at once. */
static uint16_t read_tsad_all(const Rtl8139 *s)
{
    uint16_t v = 0;

    for (int i = 0; i < 4; i++) {
        v |= s->tsd[i] & TSD_TOK ? 0x1000 << i : 0;
        v |= s->tsd[i] & TSD_TUN ? 0x0100 << i : 0;
        v |= s->tsd[i] & TSD_OWN ? 0x0001 << i : 0;
    }
    return v;
}

/* What the byte is a part of, as it is kept. */
static uint8_t read_byte(Rtl8139 *s, unsigned a)
{
    switch (a) {
    case R_IDR ... R_IDR + 5:           return s->idr[a - R_IDR];
    case R_MAR ... R_MAR + 7:           return s->mar[a - R_MAR];
    case R_TSD ... R_TSD + 15:          return s->tsd[(a - R_TSD) / 4] >> (a % 4 * 8);
    case R_TSAD ... R_TSAD + 15:
        return rtl8139_cplus_tx(s) ? s->tx_ring[(a - R_TSAD) / 8] >> (a % 8 * 8)
                                   : s->tsad[(a - R_TSAD) / 4] >> (a % 4 * 8);
    case R_RBSTART ... R_RBSTART + 3:   return s->rbstart >> (a % 4 * 8);
    case R_CR:                          return read_cr(s);
    case R_CAPR ... R_CAPR + 1:         return s->capr >> (a % 2 * 8);
    case R_CBR ... R_CBR + 1:           return s->cbr >> (a % 2 * 8);
    case R_IMR ... R_IMR + 1:           return s->imr >> (a % 2 * 8);
    case R_ISR ... R_ISR + 1:           return s->isr >> (a % 2 * 8);
    case R_TCR ... R_TCR + 3:           return s->tcr >> (a % 4 * 8);
    case R_RCR ... R_RCR + 3:           return s->rcr >> (a % 4 * 8);
    case R_TCTR ... R_TCTR + 3:         return tctr(s) >> (a % 4 * 8);
    case R_MPC ... R_MPC + 3:           return s->mpc >> (a % 4 * 8);
    case R_9346CR:                      return read_9346(s);
    case R_CONFIG0:                     return s->config0;
    case R_CONFIG1:                     return s->config1;
    case R_TIMERINT ... R_TIMERINT + 3: return s->timer_int >> (a % 4 * 8);
    case R_MSR:                         return s->msr;
    case R_CONFIG3:                     return s->config3;
    case R_CONFIG4:                     return s->config4;
    case R_MULINT ... R_MULINT + 1:     return s->mulint >> (a % 2 * 8);
    case R_RERID:                       return 0x20;
    case R_TSAD_ALL ... R_TSAD_ALL + 1: return read_tsad_all(s) >> (a % 2 * 8);
    case R_BMCR ... R_BMCR + 1:         return s->bmcr >> (a % 2 * 8);
    case R_BMSR ... R_BMSR + 1:         return s->bmsr >> (a % 2 * 8);
    case R_ANAR ... R_ANAR + 1:         return s->anar >> (a % 2 * 8);
    case R_ANLPAR ... R_ANLPAR + 1:     return s->anlpar >> (a % 2 * 8);
    case R_ANER ... R_ANER + 1:         return s->aner >> (a % 2 * 8);
    case R_CONFIG5:                     return s->config5;
    case R_CPCR ... R_CPCR + 1:         return s->cpcr >> (a % 2 * 8);
    case R_RDSAR ... R_RDSAR + 7:       return s->rx_ring >> ((a - R_RDSAR) * 8);
    default:                            return 0;
    }
}

static uint64_t rtl8139_read(void *opaque, hwaddr addr, unsigned size)
{
    uint32_t v = 0;

    for (unsigned i = 0; i < size; i++) {
        v |= (uint32_t)read_byte(opaque, (addr + i) & 0xff) << (8 * i);
    }
    return v;
}

static void write_config(Rtl8139 *s, unsigned a, uint8_t v)
{
    if (!config_open(s)) {
        LOG_GUEST("rtl8139: configuration register %02x is locked", a);
        return;
    }
    switch (a) {
    case R_CONFIG1:
        s->config1 = (v & 0xf3) | (s->config1 & 0x0c);
        break;
    case R_CONFIG3:
        s->config3 = (v & 0x68) | (s->config3 & 0x97);
        break;
    case R_CONFIG4:
        s->config4 = v;
        break;
    case R_CONFIG5:
        s->config5 = v & 0x7b;
        break;
    }
}

static void write_poll(Rtl8139 *s, uint8_t v)
{
    if (v & POLL_HIGH) {
        rtl8139_send_cplus(s, 1);
    }
    if (v & POLL_NORMAL) {
        rtl8139_send_cplus(s, 0);
    }
    if (v & POLL_SWINT) {
        rtl8139_raise(s, ISR_SWINT);
    }
}

static void write_bmcr(Rtl8139 *s, uint16_t v)
{
    s->bmcr = v & 0x3100;
    if (v & (BMCR_RESTART | 0x8000)) {
        set_link(s);
        rtl8139_raise(s, ISR_LINK);
    }
}

static void write_byte(Rtl8139 *s, unsigned a, uint8_t v)
{
    switch (a) {
    case R_IDR ... R_IDR + 5:
        s->idr[a - R_IDR] = v;
        nic_show_mac(&s->nc, s->idr);
        break;
    case R_MAR ... R_MAR + 7:
        s->mar[a - R_MAR] = v;
        break;
    case R_CR:
        write_cr(s, v);
        break;
    case R_9346CR:
        write_9346(s, v);
        break;
    case R_CONFIG1: case R_CONFIG3: case R_CONFIG4: case R_CONFIG5:
        write_config(s, a, v);
        break;
    case R_TPPOLL:
        write_poll(s, v);
        break;
    case R_MSR:
        s->msr = (s->msr & 0x1f) | (v & 0xe0);
        break;
    default:
        LOG_GUEST("rtl8139: write of %02x to register %02x", v, a);
    }
}

static void write_word(Rtl8139 *s, unsigned a, uint16_t v)
{
    switch (a) {
    case R_CAPR:
        s->capr = v;
        net_flush(&s->nc);
        break;
    case R_IMR:
        s->imr = v & 0xe1ff;
        arm_timer(s);
        update_irq(s);
        net_flush(&s->nc);
        break;
    case R_ISR:
        s->isr &= ~v;
        update_irq(s);
        net_flush(&s->nc);
        break;
    case R_MULINT:
        s->mulint = v & 0x0fff;
        break;
    case R_BMCR:
        write_bmcr(s, v);
        break;
    case R_ANAR:
        s->anar = v;
        break;
    case R_CPCR:
        s->cpcr = v & 0x007f;
        net_flush(&s->nc);
        break;
    default:
        write_byte(s, a, v);
        write_byte(s, a + 1, v >> 8);
    }
}

static void write_ring(uint64_t *ring, unsigned high, uint32_t v)
{
    *ring = high ? (*ring & 0xffffffff) | (uint64_t)v << 32
                 : (*ring & ~0xffffffffull) | (v & ~0xffu);
}

static void write_tsd(Rtl8139 *s, unsigned n, uint32_t v)
{
    s->tsd[n] = v & 0x003f3fff;
    rtl8139_send_old(s);
}

static void write_long(Rtl8139 *s, unsigned a, uint32_t v)
{
    switch (a) {
    case R_TSD ... R_TSD + 15:
        write_tsd(s, (a - R_TSD) / 4, v);
        break;
    case R_TSAD ... R_TSAD + 15:
        s->tsad[(a - R_TSAD) / 4] = v;
        write_ring(&s->tx_ring[(a - R_TSAD) / 8], a & 4, v);
        break;
    case R_RBSTART:
        s->rbstart = v;
        break;
    case R_TCR:
        s->tcr = (v & TCR_WRITABLE & ~TCR_CLRABT) | TCR_VERSION;
        break;
    case R_RCR:
        s->rcr = v & 0xf0fffbf;
        net_flush(&s->nc);
        break;
    case R_TCTR:
        s->tctr_base = vclock_ns();
        arm_timer(s);
        break;
    case R_MPC:
        s->mpc = 0;
        break;
    case R_TIMERINT:
        s->timer_int = v;
        arm_timer(s);
        break;
    case R_RDSAR: case R_RDSAR + 4:
        write_ring(&s->rx_ring, a != R_RDSAR, v);
        break;
    default:
        write_word(s, a, v);
        write_word(s, a + 2, v >> 16);
    }
}

static void rtl8139_write(void *opaque, hwaddr addr, uint64_t val, unsigned size)
{
    Rtl8139 *s = opaque;

    switch (size) {
    case 1:
        write_byte(s, addr, val);
        break;
    case 2:
        write_word(s, addr, val);
        break;
    default:
        write_long(s, addr, val);
    }
}

static const RegionOps rtl8139_ops = {
    .read = rtl8139_read, .write = rtl8139_write, .min = 1, .max = 4,
};

/* ---- life ------------------------------------------------------------------------------------ */

static void rtl8139_link_changed(NetClient *nc)
{
    Rtl8139 *s = nc->opaque;

    set_link(s);
    rtl8139_raise(s, ISR_LINK);
}

static Json *rtl8139_rx_filter(NetClient *nc)
{
    Rtl8139 *s = nc->opaque;
    return nic_filter_json(nc, s->idr, s->rcr & RCR_AAP);
}

static const NetOps rtl8139_net = {
    .model = "nic", .can_receive = rtl8139_can_receive, .receive = rtl8139_receive,
    .link_changed = rtl8139_link_changed, .rx_filter = rtl8139_rx_filter,
};

static void rtl8139_reset(Device *dev)
{
    Rtl8139 *s = (Rtl8139 *)dev;

    eeprom93_reset(&s->eeprom);
    load_address(s);
    memset(s->mar, 0, sizeof(s->mar));
    s->cr9346 = 0;
    s->config0 = 0;
    s->config1 = 0x0c;                  /* both windows are mapped */
    s->config3 = 0x01;
    s->config4 = s->config5 = 0;
    software_reset(s);
    net_purge(&s->nc);
}

static bool rtl8139_realize(Device *dev, Error **err)
{
    Rtl8139 *s = (Rtl8139 *)dev;

    if (!nic_init(&s->conf, &s->nc, 1, &rtl8139_net, dev->type->name, dev->id, s, err)) {
        return false;
    }
    region_init_io(&s->io, "rtl8139", 256, &rtl8139_ops, s);
    region_init_io(&s->mem, "rtl8139", 256, &rtl8139_ops, s);
    pci_register_bar(&s->pci, 0, PCI_BAR_IO, &s->io);
    pci_register_bar(&s->pci, 1, PCI_BAR_MEM32, &s->mem);
    eeprom93_init(&s->eeprom, RTL_EEPROM_WORDS);
    fill_eeprom(s);
    s->packet = g_malloc(RTL_PACKET_MAX);
    timer_init(&s->timer, ORRERY_CLOCK_VIRTUAL, timer_expired, s);
    nic_wait_init(&s->wait, &s->nc);
    return true;
}

static void rtl8139_unrealize(Device *dev)
{
    Rtl8139 *s = (Rtl8139 *)dev;

    timer_del(&s->timer);
    nic_wait_exit(&s->wait);
    nic_exit(&s->conf, &s->nc, 1);
    region_destroy(&s->io);
    region_destroy(&s->mem);
    g_free(s->packet);
    g_free(s->packet_saved);
}

static void rtl8139_pre_save(void *opaque)
{
    Rtl8139 *s = opaque;

    g_free(s->packet_saved);
    s->packet_saved = g_memdup2(s->packet, s->packet_len);
    s->packet_saved_len = s->packet_len;
}

static bool rtl8139_post_load(void *opaque, int version, Error **err)
{
    Rtl8139 *s = opaque;

    if (s->tx_next > 3 || s->packet_saved_len > RTL_PACKET_MAX - 64 || s->tx_at[0] > 63
        || s->tx_at[1] > 63 || s->rx_at > 63) {
        return fail(err, "impossible positions");
    }
    s->packet_len = s->packet_saved_len;
    if (s->packet_len) {
        memcpy(s->packet, s->packet_saved, s->packet_len);
    }
    nic_show_mac(&s->nc, s->idr);
    return true;
}

static const VMField rtl8139_fields[] = {
    VM_STRUCT(Rtl8139, pci, vm_pci_device), VM_STRUCT(Rtl8139, eeprom, vm_eeprom93),
    VM_BUFFER(Rtl8139, idr), VM_BUFFER(Rtl8139, mar), VM_UINTS(Rtl8139, tsd),
    VM_UINTS(Rtl8139, tsad), VM_UINTS(Rtl8139, tx_ring), VM_UINT(Rtl8139, tx_next),
    VM_UINTS(Rtl8139, tx_at), VM_UINT(Rtl8139, rbstart), VM_UINT(Rtl8139, rx_ring),
    VM_UINT(Rtl8139, rx_at), VM_UINT(Rtl8139, capr), VM_UINT(Rtl8139, cbr), VM_UINT(Rtl8139, cr),
    VM_UINT(Rtl8139, cr9346), VM_UINT(Rtl8139, config0), VM_UINT(Rtl8139, config1),
    VM_UINT(Rtl8139, config3), VM_UINT(Rtl8139, config4), VM_UINT(Rtl8139, config5),
    VM_UINT(Rtl8139, msr), VM_UINT(Rtl8139, imr), VM_UINT(Rtl8139, isr), VM_UINT(Rtl8139, cpcr),
    VM_UINT(Rtl8139, mulint), VM_UINT(Rtl8139, bmcr), VM_UINT(Rtl8139, bmsr),
    VM_UINT(Rtl8139, anar), VM_UINT(Rtl8139, anlpar), VM_UINT(Rtl8139, aner),
    VM_UINT(Rtl8139, tcr), VM_UINT(Rtl8139, rcr), VM_UINT(Rtl8139, mpc),
    VM_UINT(Rtl8139, timer_int), VM_UINT(Rtl8139, tctr_base), VM_TIMER(Rtl8139, timer),
    VM_VBUFFER(Rtl8139, packet_saved, packet_saved_len, RTL_PACKET_MAX),
    VM_BOOL(Rtl8139, packet_bad),
    VM_DONE
};
static const VMState vm_rtl8139 = {
    .name = "rtl8139", .fields = rtl8139_fields, .pre_save = rtl8139_pre_save,
    .post_load = rtl8139_post_load,
};

static const Prop rtl8139_props[] = { NIC_PROPS(Rtl8139, conf), PROP_DONE };

static const PCIInfo rtl8139_info = {
    .vendor = 0x10ec, .device = 0x8139, .class_id = 0x0200, .revision = 0x20, .pin = 1,
    .rom = "efi-rtl8139.rom",
};

static const DeviceType rtl8139 = {
    .name = "rtl8139", .desc = "RealTek RTL8139C+ fast Ethernet", .bus = "PCI",
    .category = "Network", .size = sizeof(Rtl8139), .props = rtl8139_props,
    .vmstate = &vm_rtl8139, .realize = rtl8139_realize, .unrealize = rtl8139_unrealize,
    .reset = rtl8139_reset, .info = &rtl8139_info, .fw_name = "ethernet",
    .fw_child = "ethernet-phy@0",
};
DEVICE_TYPE(rtl8139);
