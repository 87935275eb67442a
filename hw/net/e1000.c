/* SPDX-License-Identifier: MIT */
/*
 * Intel 82540EM and 82574L gigabit Ethernet controllers ("e1000", "e1000e"): registers and life.  Interrupts, PHY,
 * transmission and reception are in files of their own; see e1000.h for the source.
 *
 * Not modelled: wake-up and management, flow control, flash, packet buffer diagnostics; of the
 * 82574 time stamps, home addresses of IPv6 in the hash, and its PCI Express capability.
 */
#include "hw/net/e1000.h"
#include "hw/pci/msi.h"
#include "util/bits.h"
#include "util/log.h"

#define EECD_SK     0x01
#define EECD_CS     0x02
#define EECD_DI     0x04
#define EECD_DO     0x08
#define EECD_REQ    0x40
#define EECD_GNT    0x80
#define EECD_PRES   0x100
#define EERD_START  0x01
#define EERD_DONE   0x10
#define EERD_DONE_E 0x02                /* the 82574 has it here, addresses from bit 2 */
#define EECD_AUTO_RD 0x200              /* 82574: the EEPROM was read at reset */

#define E1000_DEVICE    0x100e
#define E1000E_DEVICE   0x10d3
#define EEPROM_WORDS    64

/* ---- statistics ------------------------------------------------------------------------ */

void e1000_count(E1000 *s, unsigned stat, uint32_t n)
{
    uint32_t *r = e1000_reg(s, stat);
    *r = *r + n < *r ? UINT32_MAX : *r + n;
}

void e1000_count64(E1000 *s, unsigned stat, uint64_t n)
{
    uint32_t *low = e1000_reg(s, stat), *high = e1000_reg(s, stat + 4);
    uint64_t v = (uint64_t)*high << 32 | *low, sum = v + n < v ? UINT64_MAX : v + n;
    *low = sum;
    *high = sum >> 32;
}

/* 64, 65-127, 128-255, 256-511, 512-1023, more */
void e1000_count_size(E1000 *s, unsigned first, size_t len)
{
    unsigned n = len <= 64 ? 0 : len < 128 ? 1 : len < 256 ? 2 : len < 512 ? 3 : len < 1024 ? 4 : 5;
    e1000_count(s, first + 4 * n, 1);
}

static bool is_stat(unsigned at)
{
    return at >= R_STATS && at < R_STATS_END;
}

/* ---- EEPROM ---------------------------------------------------------------------------- */

/* Words of the 82540EM (5.6); what the MAC and the identification need. */
static void fill_eeprom(E1000 *s)
{
    uint16_t *w = s->eeprom.data, sum = 0;

    memset(w, 0, EEPROM_WORDS * 2);
    for (int i = 0; i < 3; i++) {
        w[i] = ld16_le(s->conf.mac + 2 * i);
    }
    w[0x03] = 0x3000;                   /* compatibility */
    w[0x08] = 0x3000;
    w[0x09] = 0x0001;                   /* board number */
    w[0x0a] = 0x6402;                   /* initialization control 1 */
    w[0x0b] = 0x1100;                   /* subsystem */
    w[0x0c] = 0x1af4;
    w[0x0d] = s->is_e ? E1000E_DEVICE : E1000_DEVICE;
    w[0x0e] = 0x8086;
    w[0x0f] = 0x3040;                   /* initialization control 2 */
    w[0x21] = 0x7863;
    for (int i = 0; i < EEPROM_WORDS - 1; i++) {
        sum += w[i];
    }
    w[EEPROM_WORDS - 1] = 0xbaba - sum;
}

static uint32_t read_eecd(E1000 *s)
{
    uint32_t v = *e1000_reg(s, R_EECD) & (EECD_SK | EECD_CS | EECD_DI | EECD_REQ);

    v |= EECD_PRES | (v & EECD_REQ ? EECD_GNT : 0) | (s->is_e ? EECD_AUTO_RD : 0);
    return v | (eeprom93_out(&s->eeprom) ? EECD_DO : 0);
}

static void write_eecd(E1000 *s, uint32_t v)
{
    *e1000_reg(s, R_EECD) = v;
    eeprom93_write(&s->eeprom, v & EECD_CS, v & EECD_SK, v & EECD_DI);
}

static void write_eerd(E1000 *s, uint32_t v)
{
    if (s->is_e && (v & EERD_START)) {
        unsigned word = v >> 2 & 0x3fff;
        uint16_t data = word < EEPROM_WORDS ? s->eeprom.data[word] : 0xffff;
        v = (v & 0xfffc) | EERD_DONE_E | (uint32_t)data << 16;
    } else if (v & EERD_START) {
        unsigned word = v >> 8 & 0xff;
        uint16_t data = word < EEPROM_WORDS ? s->eeprom.data[word] : 0xffff;
        v = (v & 0xff00) | EERD_DONE | (uint32_t)data << 16;
    }
    *e1000_reg(s, R_EERD) = v;
}

/* ---- registers -------------------------------------------------------------------------- */

static void software_reset(E1000 *s);

/* The address the guest programmed: shown to people. */
static void show_address(E1000 *s)
{
    uint8_t mac[8];

    st32_le(mac, *e1000_reg(s, R_RA));
    st32_le(mac + 4, *e1000_reg(s, R_RA + 4));
    nic_show_mac(&s->nc, mac);
}

static void write_ctrl(E1000 *s, uint32_t v)
{
    if (v & CTRL_RST) {
        software_reset(s);
        return;
    }
    if (v & CTRL_PHY_RST) {
        e1000_phy_reset(s);
    }
    *e1000_reg(s, R_CTRL) = v & ~(CTRL_RST | CTRL_PHY_RST);
}

static uint32_t cause_mask(const E1000 *s)
{
    return s->is_e ? 0x01ffffff : 0x1ffff;
}

static void write_rctl(E1000 *s, uint32_t v)
{
    *e1000_reg(s, R_RCTL) = v;
    net_flush(&s->nc);
}

/* Bits of a register that keep what is written; 0: nothing does (or there is no register). */
static uint32_t writable(unsigned at)
{
    switch (at) {
    case R_RDBAL: case R_TDBAL:
        return ~15u;
    case R_RDLEN: case R_TDLEN:
        return 0xfff80;
    case R_RDH: case R_TDH: case R_RDT: case R_TDT: case R_ITR: case R_TIDV: case R_RADV:
    case R_TADV: case R_RDTR: case R_VET: case R_FCT: case R_FCAH: case R_FCTTV:
        return 0xffff;
    case R_CTRL_EXT: case R_FCAL: case R_TXCW: case R_TCTL: case R_TIPG: case R_AIT: case R_LEDCTL:
    case R_PBA: case R_FCRTL: case R_FCRTH: case R_RDBAH: case R_RXDCTL: case R_TDBAH:
    case R_TXDCTL: case R_TSPMT: case R_RXCSUM: case R_WUC: case R_WUFC: case R_WUS: case R_MANC:
    case R_IPAV: case R_RSRPD: case R_FLA:
    case R_MTA ... R_MTA + 0x1ff: case R_RA ... R_RA + 0x7f: case R_VFTA ... R_VFTA + 0x1ff:
        return ~0u;
    case R_RDFH: case R_RDFT: case R_RDFHS: case R_RDFTS: case R_RDFPC:
    case R_TDFH: case R_TDFT: case R_TDFHS: case R_TDFTS: case R_TDFPC:
        return 0x1fff;
    default:
        return 0;
    }
}

/* What the 82574 has beside. */
static uint32_t writable_e(unsigned at)
{
    switch (at) {
    case R_RDBAL + QUEUE_STEP: case R_TDBAL + QUEUE_STEP:
        return ~15u;
    case R_RDLEN + QUEUE_STEP: case R_TDLEN + QUEUE_STEP:
        return 0xfff80;
    case R_RDH + QUEUE_STEP: case R_RDT + QUEUE_STEP: case R_TDH + QUEUE_STEP:
    case R_TDT + QUEUE_STEP: case R_EITR ... R_EITR + 16:
        return 0xffff;
    case R_EIAC:
        return 0x01f00000;
    case R_EXTCNF:
        return 0x00000020;              /* the driver owns the MDIO: granted at once */
    case R_SWSM:
        return 0x00000007;
    case R_IAM: case R_IVAR: case R_PSRCTL: case R_TARC0: case R_TARC1: case R_RFCTL: case R_MRQC:
    case R_GCR: case R_RDBAH + QUEUE_STEP: case R_TDBAH + QUEUE_STEP:
    case R_RXDCTL + QUEUE_STEP: case R_TXDCTL + QUEUE_STEP:
    case R_RETA ... R_RETA + 0x7f: case R_RSSRK ... R_RSSRK + 0x27:
        return ~0u;
    default:
        return writable(at);
    }
}

static uint64_t e1000_mmio_read(void *opaque, hwaddr addr, unsigned size)
{
    E1000 *s = opaque;
    uint32_t v;

    if (addr >= R_END) {
        return 0;
    }
    v = *e1000_reg(s, addr);
    switch (addr) {
    case R_EECD:
        return read_eecd(s);
    case R_ICR:
        return e1000_irq_read(s);
    case R_STATUS:
        return s->is_e && !(*e1000_reg(s, R_CTRL) & CTRL_GIO_OFF) ? v | STATUS_GIO : v;
    case R_ICS: case R_IMC:
        return 0;
    }
    if (is_stat(addr)) {
        *e1000_reg(s, addr) = 0;
    }
    return v;
}

static void e1000_mmio_write(void *opaque, hwaddr addr, uint64_t val, unsigned size)
{
    E1000 *s = opaque;
    uint32_t mask = addr >= R_END ? 0 : s->is_e ? writable_e(addr) : writable(addr);

    if (mask) {
        *e1000_reg(s, addr) = val & mask;
    }
    switch (addr) {
    case R_CTRL:
        write_ctrl(s, val);
        break;
    case R_EECD:
        write_eecd(s, val);
        break;
    case R_EERD:
        write_eerd(s, val);
        break;
    case R_MDIC:
        e1000_mdic_write(s, val);
        break;
    case R_ICR:
        *e1000_reg(s, R_ICR) &= ~(uint32_t)val;
        e1000_irq_update(s);
        break;
    case R_ICS:
        e1000_raise(s, val & cause_mask(s));
        break;
    case R_IMS:
        *e1000_reg(s, R_IMS) |= val & cause_mask(s);
        e1000_irq_update(s);
        break;
    case R_IMC:
        *e1000_reg(s, R_IMS) &= ~(uint32_t)val;
        e1000_irq_update(s);
        break;
    case R_RCTL:
        write_rctl(s, val);
        break;
    case R_RDT: case R_RDT + QUEUE_STEP:
        net_flush(&s->nc);
        break;
    case R_TDT: case R_TCTL:
        e1000_transmit(s, 0);
        break;
    case R_TDT + QUEUE_STEP:
        if (s->is_e) {
            e1000_transmit(s, 1);
        }
        break;
    case R_RDTR:
        if (val >> 31 && timer_pending(&s->rx_delay)) {     /* flush partial descriptors */
            timer_mod(&s->rx_delay, vclock_ns());
        }
        break;
    case R_TIDV:
        if (val >> 31 && timer_pending(&s->tx_delay)) {
            timer_mod(&s->tx_delay, vclock_ns());
        }
        break;
    case R_RA + 4:
        show_address(s);
        break;
    default:
        if (!mask) {
            LOG_GUEST("e1000: write of %08x to register %05x", (uint32_t)val, (unsigned)addr);
        }
    }
}

static const RegionOps mmio_ops = {
    .read = e1000_mmio_read, .write = e1000_mmio_write, .min = 4, .max = 4,
};

/* The I/O BAR: an address and the register there (2.? I/O-mapped access). */
static uint64_t e1000_io_read(void *opaque, hwaddr addr, unsigned size)
{
    E1000 *s = opaque;
    return addr == 0 ? s->io_addr : addr == 4 ? e1000_mmio_read(s, s->io_addr & ~3u, 4) : 0;
}

static void e1000_io_write(void *opaque, hwaddr addr, uint64_t val, unsigned size)
{
    E1000 *s = opaque;

    if (addr == 0) {
        s->io_addr = val & 0x1ffff;
    } else if (addr == 4) {
        e1000_mmio_write(s, s->io_addr & ~3u, val, 4);
    }
}

static const RegionOps io_ops = {
    .read = e1000_io_read, .write = e1000_io_write, .min = 4, .max = 4,
};

/* ---- reset, life ------------------------------------------------------------------------ */

static void software_reset(E1000 *s)
{
    timer_del(&s->negotiate);
    e1000_irq_reset(s);
    memset(s->reg, 0, sizeof(s->reg));
    *e1000_reg(s, R_CTRL) = 0x00140240;         /* 1000 Mbit/s forced, SWDPIO, link up, duplex */
    *e1000_reg(s, R_STATUS) = 0x80000783;       /* full duplex, link, 1000 Mbit/s, PCI bus */
    *e1000_reg(s, R_MANC) = 0x00206000;
    *e1000_reg(s, R_PBA) = 0x00100030;
    *e1000_reg(s, R_LEDCTL) = 0x602;
    *e1000_reg(s, R_RXCSUM) = 0;
    *e1000_reg(s, R_RA) = ld32_le(s->conf.mac);
    *e1000_reg(s, R_RA + 4) = ld16_le(s->conf.mac + 4) | 1u << 31;
    s->packet_len = 0;
    s->packet_bad = s->packet_tse = false;
    s->packet_popts = 0;
    s->ctx = s->ctx_tso = (E1000Context) { 0 };
    e1000_phy_reset(s);
    nic_show_mac(&s->nc, s->conf.mac);
}

static void e1000_reset(Device *dev)
{
    E1000 *s = (E1000 *)dev;

    software_reset(s);
    s->io_addr = 0;
    eeprom93_reset(&s->eeprom);
    net_purge(&s->nc);
}

static Json *e1000_rx_filter(NetClient *nc)
{
    E1000 *s = nc->opaque;
    return nic_filter_json(nc, s->conf.mac, *e1000_reg(s, R_RCTL) & RCTL_UPE);
}

static const NetOps e1000_net = {
    .model = "nic", .can_receive = e1000_can_receive, .receive = e1000_receive,
    .batch_over = e1000_batch_over,
    .link_changed = e1000_link_changed, .rx_filter = e1000_rx_filter,
};

static void start_parts(E1000 *s)
{
    eeprom93_init(&s->eeprom, EEPROM_WORDS);
    fill_eeprom(s);
    s->packet = g_malloc(E1000_TX_MAX);
    e1000_irq_init(s);
    timer_init(&s->negotiate, ORRERY_CLOCK_VIRTUAL, e1000_negotiated, s);
}

static bool e1000_realize(Device *dev, Error **err)
{
    E1000 *s = (E1000 *)dev;

    if (!nic_init(&s->conf, &s->nc, 1, &e1000_net, dev->type->name, dev->id, s, err)) {
        return false;
    }
    region_init_io(&s->mmio, "e1000-mmio", 128 << 10, &mmio_ops, s);
    region_init_io(&s->io, "e1000-io", 64, &io_ops, s);
    pci_register_bar(&s->pci, 0, PCI_BAR_MEM32, &s->mmio);
    pci_register_bar(&s->pci, 1, PCI_BAR_IO, &s->io);
    s->pci.config[PCI_CACHE_LINE_SIZE] = 0x10;
    start_parts(s);
    return true;
}

static void e1000_unrealize(Device *dev)
{
    E1000 *s = (E1000 *)dev;

    e1000_irq_exit(s);
    timer_del(&s->negotiate);
    nic_exit(&s->conf, &s->nc, 1);
    region_destroy(&s->mmio);
    region_destroy(&s->io);
    if (s->is_e) {
        region_destroy(&s->flash);
        region_destroy(&s->msix);
    }
    g_free(s->packet);
    g_free(s->packet_saved);
}

/* ---- state ------------------------------------------------------------------------------- */

static bool e1000_post_load(void *opaque, int version, Error **err)
{
    E1000 *s = opaque;

    if (s->packet_saved_len > E1000_TX_MAX) {
        return fail(err, "an impossible packet");
    }
    s->packet_len = s->packet_saved_len;
    if (s->packet_len) {
        memcpy(s->packet, s->packet_saved, s->packet_len);
    }
    show_address(s);
    return true;
}

static void e1000_pre_save(void *opaque)
{
    E1000 *s = opaque;

    g_free(s->packet_saved);
    s->packet_saved = g_memdup2(s->packet, s->packet_len);
    s->packet_saved_len = s->packet_len;
}

static const VMField context_fields[] = {
    VM_UINT(E1000Context, ipcss), VM_UINT(E1000Context, ipcso), VM_UINT(E1000Context, tucss),
    VM_UINT(E1000Context, tucso), VM_UINT(E1000Context, hdrlen), VM_UINT(E1000Context, flags),
    VM_UINT(E1000Context, ipcse), VM_UINT(E1000Context, tucse), VM_UINT(E1000Context, mss),
    VM_UINT(E1000Context, paylen),
    VM_DONE
};
static const VMState vm_context = { .name = "e1000-context", .fields = context_fields };

static const VMField e1000_fields[] = {
    VM_STRUCT(E1000, pci, vm_pci_device),
    VM_UINTS(E1000, reg), VM_UINTS(E1000, phy), VM_UINT(E1000, io_addr),
    VM_STRUCT(E1000, eeprom, vm_eeprom93), VM_BOOL(E1000, line), VM_UINT(E1000, late),
    VM_TIMER(E1000, rx_delay), VM_TIMER(E1000, tx_delay), VM_TIMER(E1000, throttle.timer),
    VM_TIMER(E1000, negotiate), VM_UINT(E1000, rx_latest), VM_UINT(E1000, tx_latest),
    VM_VBUFFER(E1000, packet_saved, packet_saved_len, E1000_TX_MAX),
    VM_BOOL(E1000, packet_bad), VM_UINT(E1000, packet_popts), VM_BOOL(E1000, packet_tse),
    VM_STRUCT(E1000, ctx_tso, vm_context), VM_STRUCT(E1000, ctx, vm_context),
    VM_UINT(E1000, msi_sent),
    VM_DONE
};
static const VMState vm_e1000 = {
    .name = "e1000", .fields = e1000_fields, .pre_save = e1000_pre_save,
    .post_load = e1000_post_load,
};

static const Prop e1000_props[] = {
    NIC_PROPS(E1000, conf),
    PROP_BOOL("mitigation", E1000, mitigation, true, "delays and distance of interrupts"),
    PROP_BOOL("autonegotiation", E1000, autoneg, true, "the link comes up after half a second"),
    PROP_DONE
};

/* ---- the 82574L ------------------------------------------------------------------------------ */

static bool add_messages(E1000 *s, Error **err)
{
    region_init_container(&s->msix, "e1000e-msix", 16 << 10);
    pci_register_bar(&s->pci, 3, PCI_BAR_MEM32, &s->msix);
    return msi_init(&s->pci, 0xd0, 1, true, false, err)
           && msix_init(&s->pci, 5, &s->msix, 3, 0, &s->msix, 3, 0x2000, err);
}

static uint64_t flash_read(void *opaque, hwaddr addr, unsigned size)
{
    return ~0ull;                       /* erased */
}

static void flash_write(void *opaque, hwaddr addr, uint64_t val, unsigned size)
{
}

static const RegionOps flash_ops = { .read = flash_read, .write = flash_write, .min = 1, .max = 4 };

static bool e1000e_realize(Device *dev, Error **err)
{
    E1000 *s = (E1000 *)dev;

    s->is_e = true;
    if (!nic_init(&s->conf, &s->nc, 1, &e1000_net, dev->type->name, dev->id, s, err)) {
        return false;
    }
    region_init_io(&s->mmio, "e1000e-mmio", 128 << 10, &mmio_ops, s);
    region_init_io(&s->flash, "e1000e-flash", 128 << 10, &flash_ops, s);
    region_init_io(&s->io, "e1000e-io", 32, &io_ops, s);
    pci_register_bar(&s->pci, 0, PCI_BAR_MEM32, &s->mmio);
    pci_register_bar(&s->pci, 1, PCI_BAR_MEM32, &s->flash);
    pci_register_bar(&s->pci, 2, PCI_BAR_IO, &s->io);
    start_parts(s);
    if (!add_messages(s, err)) {
        e1000_unrealize(dev);
        return false;
    }
    return true;
}

static const PCIInfo e1000e_info = {
    .vendor = 0x8086, .device = E1000E_DEVICE, .class_id = 0x0200, .pin = 1,
    .subsys_vendor = 0x8086, .rom = "efi-e1000e.rom",
};

static const DeviceType e1000e = {
    .name = "e1000e", .desc = "Intel 82574L gigabit Ethernet", .bus = "PCI",
    .category = "Network", .size = sizeof(E1000), .props = e1000_props, .vmstate = &vm_e1000,
    .realize = e1000e_realize, .unrealize = e1000_unrealize, .reset = e1000_reset,
    .info = &e1000e_info, .fw_name = "ethernet", .fw_child = "ethernet-phy@0",
};
DEVICE_TYPE(e1000e);

static const PCIInfo e1000_info = {
    .vendor = 0x8086, .device = E1000_DEVICE, .class_id = 0x0200, .revision = 3, .pin = 1,
    .rom = "efi-e1000.rom",
};

static const DeviceType e1000 = {
    .name = "e1000", .alias = "e1000-82540em", .desc = "Intel 82540EM gigabit Ethernet",
    .bus = "PCI", .category = "Network", .size = sizeof(E1000), .props = e1000_props,
    .vmstate = &vm_e1000, .realize = e1000_realize, .unrealize = e1000_unrealize,
    .reset = e1000_reset, .info = &e1000_info, .fw_name = "ethernet", .fw_child = "ethernet-phy@0",
};
DEVICE_TYPE(e1000);
