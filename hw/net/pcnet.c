/* SPDX-License-Identifier: MIT */
/*
 * AMD PCnet-PCI II Ethernet controller, Am79C970A ("pcnet").
 *
 * Source: AMD Am79C970A data sheet (publication 19436): CSRs, BCRs, initialization block, the
 * four software styles of descriptors.
 *
 * Not modelled: polling of descriptors by time (the demand bit, start and each received frame
 * look at the transmit ring), collisions and line errors, EEPROM access, power-down.
 */
#include "hw/net/pcnet.h"
#include "util/bits.h"
#include "util/log.h"

#include <string.h>

#define PORTS       32u
#define AT_RDP      0x10
#define CHIP_ID     0x02621003u

#define BCR_MC      2
#define BCR_LNKST   4
#define BCR_BSBC    18
#define BCR_SWS     20
#define BSBC_DWIO   0x0080

/* ---- interrupt ---------------------------------------------------------------------------- */

void pcnet_update_irq(Pcnet *s)
{
    /* CSR3 masks causes of CSR0 at the same places; CSR4 has pairs: mask, cause one above */
    uint16_t causes = s->csr[0] & (CSR0_BABL | CSR0_MISS | CSR0_MERR | CSR0_RINT | CSR0_TINT
                                   | CSR0_IDON) & ~s->csr[3];
    bool more = (s->csr[4] & 0x022a) & ~(s->csr[4] << 1);

    s->csr[0] &= ~CSR0_INTR;
    if (causes || more) {
        s->csr[0] |= CSR0_INTR;
    }
    pci_set_irq(&s->pci, (s->csr[0] & CSR0_INTR) && (s->csr[0] & CSR0_IENA));
}

/* ---- initialization ------------------------------------------------------------------------ */

bool pcnet_wide(const Pcnet *s)
{
    return s->bcr[BCR_SWS] & 0x0100;
}

unsigned pcnet_style(const Pcnet *s)
{
    return s->bcr[BCR_SWS] & 3;
}

/* Addresses of 16-bit structures have 24 bits; the rest comes from CSR2. */
hwaddr pcnet_address(const Pcnet *s, uint32_t a)
{
    return pcnet_wide(s) ? a : (a & 0xffffff) | (uint32_t)(s->csr[2] & 0xff00) << 16;
}

static void take_address(Pcnet *s, const uint8_t *mac, const uint8_t *filter)
{
    for (int i = 0; i < 3; i++) {
        s->csr[12 + i] = ld16_le(mac + 2 * i);
    }
    for (int i = 0; i < 4; i++) {
        s->csr[8 + i] = ld16_le(filter + 2 * i);
    }
}

static uint16_t ring_length(unsigned log)
{
    return 1u << MIN(log, 9);
}

static void initialize(Pcnet *s)
{
    hwaddr at = (uint32_t)s->csr[2] << 16 | s->csr[1];
    uint8_t b[28];
    unsigned rlen, tlen;

    if (pcnet_wide(s)) {
        pci_dma_read(&s->pci, at, b, 28);
        rlen = b[2] >> 4;
        tlen = b[3] >> 4;
        take_address(s, b + 4, b + 12);
        s->rdra = ld32_le(b + 20);
        s->tdra = ld32_le(b + 24);
    } else {
        pci_dma_read(&s->pci, at, b, 24);
        rlen = b[19] >> 5;
        tlen = b[23] >> 5;
        take_address(s, b + 2, b + 8);
        s->rdra = pcnet_address(s, ld32_le(b + 16));
        s->tdra = pcnet_address(s, ld32_le(b + 20));
    }
    s->csr[15] = ld16_le(b);
    s->csr[76] = s->csr[72] = -ring_length(rlen);
    s->csr[78] = s->csr[74] = -ring_length(tlen);
    s->rx_at = s->tx_at = 0;
    s->tx_len = 0;
    s->csr[0] |= CSR0_IDON;
    s->csr[0] &= ~CSR0_STOP;
}

static void start(Pcnet *s)
{
    if (!(s->csr[15] & MODE_DTX)) {
        s->csr[0] |= CSR0_TXON;
    }
    if (!(s->csr[15] & MODE_DRX)) {
        s->csr[0] |= CSR0_RXON;
    }
    s->csr[0] = (s->csr[0] & ~CSR0_STOP) | CSR0_STRT;
}

static void stop(Pcnet *s)
{
    s->csr[0] = CSR0_STOP;
    s->csr[4] &= ~0x02c2;
    s->csr[5] &= ~0x0010;
    s->tx_len = 0;
}

/* ---- CSRs ----------------------------------------------------------------------------------- */

static void write_csr0(Pcnet *s, uint16_t v)
{
    s->csr[0] &= ~(v & (CSR0_BABL | CSR0_CERR | CSR0_MISS | CSR0_MERR | CSR0_RINT | CSR0_TINT
                        | CSR0_IDON));
    s->csr[0] = (s->csr[0] & ~CSR0_IENA) | (v & CSR0_IENA);
    if (v & CSR0_STOP) {
        stop(s);
    } else {
        if ((v & CSR0_INIT) && !(s->csr[0] & CSR0_INIT)) {
            initialize(s);
            s->csr[0] |= CSR0_INIT;
        }
        if ((v & CSR0_STRT) && !(s->csr[0] & CSR0_STRT)) {
            start(s);
        }
        if (v & (CSR0_TDMD | CSR0_STRT)) {
            pcnet_transmit(s);
        }
    }
    pcnet_update_irq(s);
    net_flush(&s->nc);
}

static bool stopped(const Pcnet *s)
{
    return (s->csr[0] & CSR0_STOP) || (s->csr[5] & 1);
}

/* CSRs that are only written while the chip is stopped or suspended */
static void write_locked(Pcnet *s, unsigned n, uint16_t v)
{
    if (!stopped(s)) {
        LOG_GUEST("pcnet: CSR%u is written while running", n);
        return;
    }
    s->csr[n] = v;
    switch (n) {
    case 24: s->rdra = (s->rdra & 0xffff0000) | v; break;
    case 25: s->rdra = (s->rdra & 0x0000ffff) | (uint32_t)v << 16; break;
    case 30: s->tdra = (s->tdra & 0xffff0000) | v; break;
    case 31: s->tdra = (s->tdra & 0x0000ffff) | (uint32_t)v << 16; break;
    case 72: case 76: s->rx_at = 0; break;
    case 74: case 78: s->tx_at = 0; break;
    }
}

static void write_csr(Pcnet *s, unsigned n, uint16_t v)
{
    switch (n) {
    case 0:
        write_csr0(s, v);
        break;
    case 1: case 2: case 8 ... 15: case 24: case 25: case 30: case 31: case 72: case 74: case 76:
    case 78:
        write_locked(s, n, v);
        break;
    case 3:
        s->csr[3] = v & 0x5f7c;
        pcnet_update_irq(s);
        break;
    case 4:
        /* causes are cleared by ones */
        s->csr[4] = (v & 0xfd15) | (s->csr[4] & 0x022a & ~v);
        pcnet_update_irq(s);
        break;
    case 5:
        s->csr[5] = v & 0x0a89;
        break;
    case 46: case 47: case 80: case 82: case 100: case 112: case 114: case 122: case 124:
        s->csr[n] = v;
        break;
    case 58:
        s->bcr[BCR_SWS] = (v & 0xff) | (v & 3 ? 0x0300 : 0x0200);
        break;
    default:
        LOG_GUEST("pcnet: write of %04x to CSR%u", v, n);
    }
}

static uint16_t read_csr(Pcnet *s, unsigned n)
{
    switch (n) {
    case 0: {
        uint16_t v = s->csr[0];
        return v & (CSR0_BABL | CSR0_CERR | CSR0_MISS | CSR0_MERR) ? v | CSR0_ERR : v;
    }
    case 16: return s->csr[1];
    case 17: return s->csr[2];
    case 24: return s->rdra;
    case 25: return s->rdra >> 16;
    case 30: return s->tdra;
    case 31: return s->tdra >> 16;
    case 58: return s->bcr[BCR_SWS];
    case 72: return s->csr[76] + s->rx_at;
    case 74: return s->csr[78] + s->tx_at;
    case 88: return CHIP_ID & 0xffff;
    case 89: return CHIP_ID >> 16;
    default: return n < PCNET_CSRS ? s->csr[n] : 0;
    }
}

/* ---- BCRs ----------------------------------------------------------------------------------- */

static void write_bcr(Pcnet *s, unsigned n, uint16_t v)
{
    switch (n) {
    case BCR_SWS:
        if (stopped(s)) {
            s->bcr[n] = (v & 0xff) | (v & 3 ? 0x0300 : 0x0200);
        }
        break;
    case BCR_LNKST: case 5 ... 7: case BCR_MC: case 9: case 16: case 17: case 21: case 22:
        s->bcr[n] = v;
        break;
    case BCR_BSBC:
        s->bcr[n] = (v & ~BSBC_DWIO) | (s->bcr[n] & BSBC_DWIO);
        break;
    default:
        LOG_GUEST("pcnet: write of %04x to BCR%u", v, n);
    }
}

static uint16_t read_bcr(Pcnet *s, unsigned n)
{
    if (n >= BCR_LNKST && n <= 7) {
        /* LEDOUT: one of the states that the low bits choose is true */
        uint16_t v = s->bcr[n] & 0x7fff;
        return !s->nc.link_down && (v & 0x0040) ? v | 0x8000 : v;
    }
    return n < PCNET_BCRS ? s->bcr[n] : 0;
}

/* ---- ports ---------------------------------------------------------------------------------- */

void pcnet_chip_reset(Pcnet *s)
{
    stop(s);
    nic_wait_exit(&s->wait);
    s->csr[3] = 0;
    s->csr[4] = 0x0115;
    s->csr[5] = 0;
    s->csr[15] &= ~0x0101;
    s->csr[80] = 0x1410;
    s->csr[100] = 0x0200;
    s->csr[112] = s->csr[114] = s->csr[122] = s->csr[124] = 0;
    s->rap = 0;
    pcnet_update_irq(s);
}

static bool dwords(const Pcnet *s)
{
    return s->bcr[BCR_BSBC] & BSBC_DWIO;
}

/* RDP, RAP, RESET, BDP: words at 10h, 12h .. or double words at 10h, 14h .. */
static int port_of(const Pcnet *s, hwaddr addr)
{
    unsigned at = addr - AT_RDP;
    unsigned step = dwords(s) ? 4 : 2;
    return at % step || at / step > 3 ? -1 : (int)(at / step);
}

static uint64_t pcnet_read(void *opaque, hwaddr addr, unsigned size)
{
    Pcnet *s = opaque;
    uint32_t v = 0;

    if (addr < AT_RDP) {
        for (unsigned i = 0; i < size; i++) {
            v |= (uint32_t)s->prom[(addr + i) & 15] << 8 * i;
        }
        return v;
    }
    if (size == 1) {
        return 0xff;
    }
    switch (port_of(s, addr)) {
    case 0: return read_csr(s, s->rap);
    case 1: return s->rap;
    case 2:
        pcnet_chip_reset(s);
        return 0;
    case 3: return read_bcr(s, s->rap);
    default: return ~0ull;
    }
}

static void pcnet_write(void *opaque, hwaddr addr, uint64_t val, unsigned size)
{
    Pcnet *s = opaque;

    if (addr < AT_RDP) {
        for (unsigned i = 0; i < size && (s->bcr[BCR_MC] & 0x0100); i++) {
            s->prom[(addr + i) & 15] = val >> 8 * i;
        }
        return;
    }
    if (size == 4 && addr == AT_RDP && !dwords(s)) {
        s->bcr[BCR_BSBC] |= BSBC_DWIO;  /* the first such write switches over */
    }
    if (size == 1) {
        return;
    }
    switch (port_of(s, addr)) {
    case 0:
        write_csr(s, s->rap, val);
        break;
    case 1:
        s->rap = val & 0x7f;
        break;
    case 3:
        write_bcr(s, s->rap, val);
        break;
    }
}

static const RegionOps pcnet_ops = {
    .read = pcnet_read, .write = pcnet_write, .min = 1, .max = 4,
};

/* ---- life ------------------------------------------------------------------------------------ */

static void fill_prom(Pcnet *s)
{
    uint16_t sum = 0;

    memset(s->prom, 0, sizeof(s->prom));
    memcpy(s->prom, s->conf.mac, 6);
    s->prom[9] = 0x11;                  /* hardware id */
    s->prom[14] = s->prom[15] = 0x57;
    for (int i = 0; i < 16; i++) {
        sum += s->prom[i];
    }
    st16_le(s->prom + 12, sum);
}

static void pcnet_reset(Device *dev)
{
    Pcnet *s = (Pcnet *)dev;
    static const uint16_t bcr[PCNET_BCRS] = {
        [0] = 0x0005, [1] = 0x0005, [2] = 0x0002, [4] = 0x00c0, [5] = 0x0084, [6] = 0x0088,
        [7] = 0x0090, [18] = 0x9001, [19] = 0x0002, [20] = 0x0200, [21] = 0xff06,
    };

    memset(s->csr, 0, sizeof(s->csr));
    memcpy(s->bcr, bcr, sizeof(bcr));
    s->rdra = s->tdra = 0;
    s->rx_at = s->tx_at = 0;
    s->tx_bad = false;
    fill_prom(s);
    pcnet_chip_reset(s);
    nic_show_mac(&s->nc, s->conf.mac);
    net_purge(&s->nc);
}

static Json *pcnet_rx_filter(NetClient *nc)
{
    Pcnet *s = nc->opaque;
    uint8_t mac[6];

    pcnet_mac(s, mac);
    return nic_filter_json(nc, mac, s->csr[15] & MODE_PROM);
}

static const NetOps pcnet_net = {
    .model = "nic", .can_receive = pcnet_can_receive, .receive = pcnet_receive,
    .rx_filter = pcnet_rx_filter,
};

static bool pcnet_realize(Device *dev, Error **err)
{
    Pcnet *s = (Pcnet *)dev;

    if (!nic_init(&s->conf, &s->nc, 1, &pcnet_net, dev->type->name, dev->id, s, err)) {
        return false;
    }
    nic_wait_init(&s->wait, &s->nc);
    region_init_io(&s->io, "pcnet-io", PORTS, &pcnet_ops, s);
    region_init_io(&s->mem, "pcnet-mmio", PORTS, &pcnet_ops, s);
    pci_register_bar(&s->pci, 0, PCI_BAR_IO, &s->io);
    pci_register_bar(&s->pci, 1, PCI_BAR_MEM32, &s->mem);
    s->pci.config[0x3e] = 0x06;         /* minimum grant, maximum latency */
    s->pci.config[0x3f] = 0xff;
    return true;
}

static void pcnet_unrealize(Device *dev)
{
    Pcnet *s = (Pcnet *)dev;

    nic_wait_exit(&s->wait);
    nic_exit(&s->conf, &s->nc, 1);
    region_destroy(&s->io);
    region_destroy(&s->mem);
}

static bool pcnet_post_load(void *opaque, int version, Error **err)
{
    Pcnet *s = opaque;
    return (s->tx_len <= PCNET_PACKET && s->rap <= 0x7f) || fail(err, "an impossible packet");
}

static const VMField pcnet_fields[] = {
    VM_STRUCT(Pcnet, pci, vm_pci_device), VM_UINTS(Pcnet, csr), VM_UINTS(Pcnet, bcr),
    VM_UINT(Pcnet, rap), VM_BUFFER(Pcnet, prom), VM_UINT(Pcnet, rdra), VM_UINT(Pcnet, tdra),
    VM_UINT(Pcnet, rx_at), VM_UINT(Pcnet, tx_at), VM_UINT(Pcnet, tx_len), VM_BOOL(Pcnet, tx_bad),
    VM_BUFFER(Pcnet, tx),
    VM_DONE
};
static const VMState vm_pcnet = {
    .name = "pcnet", .fields = pcnet_fields, .post_load = pcnet_post_load,
};

static const Prop pcnet_props[] = { NIC_PROPS(Pcnet, conf), PROP_DONE };

static const PCIInfo pcnet_info = {
    .vendor = 0x1022, .device = 0x2000, .class_id = 0x0200, .revision = 0x10, .pin = 1,
    .rom = "efi-pcnet.rom",
};

static const DeviceType pcnet = {
    .name = "pcnet", .desc = "AMD PCnet-PCI II Ethernet", .bus = "PCI", .category = "Network",
    .size = sizeof(Pcnet), .props = pcnet_props, .vmstate = &vm_pcnet, .realize = pcnet_realize,
    .unrealize = pcnet_unrealize, .reset = pcnet_reset, .info = &pcnet_info,
    .fw_name = "ethernet", .fw_child = "ethernet-phy@0",
};
DEVICE_TYPE(pcnet);
