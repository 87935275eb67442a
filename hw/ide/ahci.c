/* SPDX-License-Identifier: MIT */
/*
 * AHCI: registers of the adapter and of its ports, interrupts, resets.
 *
 * Source: AHCI 1.3.1, chapter 3 (registers), 10.4 (resets), 10.7 (interrupts).
 *
 *     000h CAP  004h GHC  008h IS  00Ch PI  010h VS  ...  100h + 80h * n: port n
 *
 * The same registers are reached through an index and a data port in BAR 4 (ICH9, 14.1.28).
 */
#include "hw/ide/ahci.h"
#include "hw/pci/msi.h"
#include "util/bits.h"
#include "util/log.h"

/* Generic host control */
#define R_CAP       0x00
#define R_GHC       0x04
#define R_IS        0x08
#define R_PI        0x0c
#define R_VS        0x10
#define R_PORTS     0x100
#define PORT_SIZE   0x80

#define CAP_S64A    0x80000000u         /* 64-bit addresses */
#define CAP_SNCQ    0x40000000u
#define CAP_SCLO    0x01000000u
#define CAP_GEN1    0x00100000u         /* 1.5 Gbit/s */
#define CAP_SAM     0x00040000u         /* AHCI only */
#define CAP_SLOTS   ((AHCI_SLOTS - 1) << 8)
#define GHC_AE      0x80000000u
#define GHC_IE      0x00000002u
#define GHC_HR      0x00000001u

/* Port registers */
#define P_CLB       0x00
#define P_CLBU      0x04
#define P_FB        0x08
#define P_FBU       0x0c
#define P_IS        0x10
#define P_IE        0x14
#define P_CMD       0x18
#define P_TFD       0x20
#define P_SIG       0x24
#define P_SSTS      0x28
#define P_SCTL      0x2c
#define P_SERR      0x30
#define P_SACT      0x34
#define P_CI        0x38

#define CMD_WRITABLE    (AHCI_CMD_ST | AHCI_CMD_FRE | AHCI_CMD_ATAPI | 0xfe000000u)
#define CMD_ICC         0xf0000000u
#define IS_READONLY     (AHCI_IS_UFS | AHCI_IS_PCS | AHCI_IS_PRCS)
#define IE_BITS         0xfdc000ffu
#define SERR_N          0x00010000u     /* PhyRdy changed: PxIS.PRCS */
#define SERR_X          0x04000000u     /* device exchanged: PxIS.PCS */
#define SSTS_UP         0x00000113u     /* active, 1.5 Gbit/s, device there */
#define SCTL_DET        0x0000000fu

/* ---- interrupts --------------------------------------------------------------------------- */

static uint32_t port_is(const AHCIPort *p)
{
    return (p->is & ~IS_READONLY) | (p->serr & SERR_X ? AHCI_IS_PCS : 0)
           | (p->serr & SERR_N ? AHCI_IS_PRCS : 0);
}

/* IS says which ports have something that is enabled; a message goes out for every change, so
 * that none is lost between the guest's look and its acknowledgement. */
static void update_irq(AHCIState *s)
{
    s->is = 0;
    for (unsigned n = 0; n < AHCI_PORTS; n++) {
        if (port_is(&s->port[n]) & s->port[n].ie) {
            s->is |= 1u << n;
        }
    }
    s->pin = s->is && (s->ghc & GHC_IE);
    if (!msi_enabled(s->pci)) {
        pci_set_irq(s->pci, s->pin);
        return;
    }
    pci_set_irq(s->pci, 0);
    if (s->pin) {
        msi_notify(s->pci, 0);
    }
}

void ahci_port_event(AHCIPort *p, uint32_t bits)
{
    p->is |= bits;
    update_irq(p->hba);
}

/* ---- resets ------------------------------------------------------------------------------- */

/* COMRESET: the link comes up again, if somebody is at its end. */
static void reset_port(AHCIPort *p)
{
    IDEDrive *d = ahci_drive(p);

    ahci_stop(p);
    p->sact = p->ci = 0;
    p->halted = p->in_reset = false;
    p->sig = ~0u;
    p->tf_status = 0x7f;
    p->tf_error = 0;
    p->present = d;
    p->signature_due = d;
    p->serr = 0;
    if (d) {
        ide_bus_soft_reset(&p->bus);
        p->serr = SERR_X | SERR_N;
        ahci_send_signature(p);
    }
}

void ahci_port_power_on(AHCIPort *p)
{
    p->is = p->ie = p->sctl = 0;
    p->cmd = AHCI_CMD_SUD | AHCI_CMD_POD;
    p->last_slot = AHCI_SLOTS - 1;
    reset_port(p);
    p->serr = 0;
    p->list = (AHCIList) { 0 };
    for (unsigned n = 0; n < AHCI_SLOTS; n++) {
        p->queued[n] = (AHCIQueued) { .port = p, .vec = p->queued[n].vec };
    }
}

void ahci_reset(AHCIState *s)
{
    s->ghc = GHC_AE;
    s->is = s->index = 0;
    for (unsigned n = 0; n < AHCI_PORTS; n++) {
        ahci_port_power_on(&s->port[n]);
    }
    update_irq(s);
}

/* ---- port registers ------------------------------------------------------------------------ */

static uint32_t port_read(AHCIPort *p, unsigned reg)
{
    switch (reg) {
    case P_CLB:
        return p->clb;
    case P_CLBU:
        return p->clb >> 32;
    case P_FB:
        return p->fb;
    case P_FBU:
        return p->fb >> 32;
    case P_IS:
        return port_is(p);
    case P_IE:
        return p->ie;
    case P_CMD:
        return p->cmd | (p->slot != AHCI_NO_SLOT ? p->slot << 8 : 0);
    case P_TFD:
        return p->tf_error << 8 | p->tf_status;
    case P_SIG:
        return p->sig;
    case P_SSTS:
        return p->present ? SSTS_UP : 0;
    case P_SCTL:
        return p->sctl;
    case P_SERR:
        return p->serr;
    case P_SACT:
        return p->sact;
    case P_CI:
        return p->ci;
    default:
        return 0;
    }
}

static void stop_list(AHCIPort *p)
{
    ahci_stop(p);
    p->cmd &= ~AHCI_CMD_CR;
    p->ci = p->sact = 0;
    p->halted = false;
    p->last_slot = AHCI_SLOTS - 1;
}

static void clear_busy(AHCIPort *p)
{
    IDEDrive *d = ahci_drive(p);

    p->tf_status &= ~(ST_BSY | ST_DRQ);
    if (d && p->slot == AHCI_NO_SLOT) {
        d->status &= ~(ST_BSY | ST_DRQ);
    }
}

static void write_cmd(AHCIPort *p, uint32_t val)
{
    uint32_t old = p->cmd;

    p->cmd = (old & ~CMD_WRITABLE) | (val & CMD_WRITABLE & ~CMD_ICC);
    if (!(val & AHCI_CMD_ST) && (old & AHCI_CMD_ST)) {
        stop_list(p);
    }
    if ((val & AHCI_CMD_CLO) && !(val & old & AHCI_CMD_ST)) {
        clear_busy(p);                  /* the bit reads as 0 again: done */
    }
    if (val & AHCI_CMD_FRE) {
        p->cmd |= AHCI_CMD_FR;
        ahci_send_signature(p);
    } else {
        p->cmd &= ~AHCI_CMD_FR;
    }
    if (val & AHCI_CMD_ST) {
        p->cmd |= AHCI_CMD_CR;
        ahci_run(p);
    }
}

static void write_sctl(AHCIPort *p, uint32_t val)
{
    uint32_t old = p->sctl & SCTL_DET;

    p->sctl = val & 0xfff;
    switch (val & SCTL_DET) {
    case 1:                             /* COMRESET is being sent */
    case 4:                             /* port off */
        ahci_stop(p);
        p->ci = p->sact = 0;
        p->present = false;
        p->signature_due = false;
        p->tf_status = 0x7f;
        break;
    case 0:
        if (old) {
            reset_port(p);
        }
        break;
    }
    update_irq(p->hba);
}

static void port_write(AHCIPort *p, unsigned reg, uint32_t val)
{
    switch (reg) {
    case P_CLB:
        p->clb = deposit64(p->clb, 0, 32, val & ~0x3ffu);
        break;
    case P_CLBU:
        p->clb = deposit64(p->clb, 32, 32, val);
        break;
    case P_FB:
        p->fb = deposit64(p->fb, 0, 32, val & ~0xffu);
        break;
    case P_FBU:
        p->fb = deposit64(p->fb, 32, 32, val);
        break;
    case P_IS:
        p->is &= ~val;
        update_irq(p->hba);
        break;
    case P_IE:
        p->ie = val & IE_BITS;
        update_irq(p->hba);
        break;
    case P_CMD:
        write_cmd(p, val);
        break;
    case P_SCTL:
        write_sctl(p, val);
        break;
    case P_SERR:
        p->serr &= ~val;
        update_irq(p->hba);
        break;
    case P_SACT:
        if (p->cmd & AHCI_CMD_ST) {
            p->sact |= val;
        }
        break;
    case P_CI:
        if (p->cmd & AHCI_CMD_ST) {
            p->ci |= val;
            ahci_run(p);
        }
        break;
    default:
        LOG_GUEST("ahci: write to register %02xh of port %u\n", reg, p->number);
    }
}

/* ---- the adapter's -------------------------------------------------------------------------- */

static uint32_t hba_read(AHCIState *s, unsigned reg)
{
    if (reg >= R_PORTS) {
        unsigned n = (reg - R_PORTS) / PORT_SIZE;
        return n < AHCI_PORTS ? port_read(&s->port[n], (reg - R_PORTS) % PORT_SIZE) : 0;
    }
    switch (reg) {
    case R_CAP:
        return CAP_S64A | CAP_SNCQ | CAP_SCLO | CAP_GEN1 | CAP_SAM | CAP_SLOTS | (AHCI_PORTS - 1);
    case R_GHC:
        return s->ghc;
    case R_IS:
        return s->is;
    case R_PI:
        return (1u << AHCI_PORTS) - 1;
    case R_VS:
        return 0x00010000;
    default:
        return 0;
    }
}

static void hba_write(AHCIState *s, unsigned reg, uint32_t val)
{
    if (reg >= R_PORTS) {
        unsigned n = (reg - R_PORTS) / PORT_SIZE;
        if (n < AHCI_PORTS) {
            port_write(&s->port[n], (reg - R_PORTS) % PORT_SIZE, val);
        }
        return;
    }
    switch (reg) {
    case R_GHC:
        if (val & GHC_HR) {
            ahci_reset(s);
            return;
        }
        s->ghc = GHC_AE | (val & GHC_IE);
        update_irq(s);
        break;
    case R_IS:
        update_irq(s);                  /* what is still pending comes again */
        break;
    default:
        LOG_GUEST("ahci: write to register %02xh\n", reg);
    }
}

static uint64_t mem_read(void *opaque, hwaddr addr, unsigned size)
{
    return hba_read(opaque, addr & ~3u);
}

static void mem_write(void *opaque, hwaddr addr, uint64_t val, unsigned size)
{
    hba_write(opaque, addr & ~3u, val);
}

static const RegionOps mem_ops = { .read = mem_read, .write = mem_write, .min = 4, .max = 4 };

#define IDP_INDEX   0x10
#define IDP_DATA    0x14

static uint64_t idp_read(void *opaque, hwaddr addr, unsigned size)
{
    AHCIState *s = opaque;

    return addr == IDP_INDEX ? s->index : addr == IDP_DATA ? hba_read(s, s->index) : 0;
}

static void idp_write(void *opaque, hwaddr addr, uint64_t val, unsigned size)
{
    AHCIState *s = opaque;

    if (addr == IDP_INDEX) {
        s->index = val & (AHCI_REGISTERS - 4);
    } else if (addr == IDP_DATA) {
        hba_write(s, s->index, val);
    }
}

static const RegionOps idp_ops = { .read = idp_read, .write = idp_write, .min = 4, .max = 4 };

/* ---- life -------------------------------------------------------------------------------------- */

/* "ID.n"; without an id like the buses of other controllers, "ide.n". */
static void name_bus(const Device *dev, unsigned n, char *out, size_t size)
{
    if (dev->id) {
        g_snprintf(out, size, "%s.%u", dev->id, n);
        return;
    }
    unsigned k = 0;
    do {
        g_snprintf(out, size, "ide.%u", k++);
    } while (bus_find(out));
}

void ahci_init(AHCIState *s, PCIDevice *pci)
{
    s->pci = pci;
    region_init_io(&s->mem, "ahci", AHCI_REGISTERS, &mem_ops, s);
    region_init_io(&s->idp, "ahci-idp", 32, &idp_ops, s);
    for (unsigned n = 0; n < AHCI_PORTS; n++) {
        AHCIPort *p = &s->port[n];
        char name[64];

        name_bus(&pci->dev, n, name, sizeof(name));
        p->hba = s;
        p->number = n;
        p->slot = AHCI_NO_SLOT;
        ide_bus_init_sata(&p->bus, &pci->dev, name);
        p->bus.dma = &ahci_dma_ops;
        p->bus.dma_opaque = p;
        for (unsigned i = 0; i < AHCI_SLOTS; i++) {
            p->queued[i].port = p;
        }
    }
}

void ahci_exit(AHCIState *s)
{
    for (unsigned n = 0; n < AHCI_PORTS; n++) {
        ide_bus_exit(&s->port[n].bus);
        for (unsigned i = 0; i < AHCI_SLOTS; i++) {
            g_clear_pointer(&s->port[n].queued[i].vec, g_free);
        }
    }
    region_destroy(&s->mem);
    region_destroy(&s->idp);
}

/* ---- saved state ---------------------------------------------------------------------------------- */

static bool port_post_load(void *opaque, int version, Error **err)
{
    AHCIPort *p = opaque;
    IDEDrive *d = ahci_drive(p);

    if ((p->slot != AHCI_NO_SLOT && p->slot >= AHCI_SLOTS) || p->last_slot >= AHCI_SLOTS) {
        return fail(err, "ahci: port %u: there is no slot %u", p->number, p->slot);
    }
    if (!d && (p->slot != AHCI_NO_SLOT || p->present || p->signature_due || ahci_ncq_active(p))) {
        return fail(err, "ahci: port %u has no drive here", p->number);
    }
    return true;
}

static const VMField port_fields[] = {
    VM_STRUCT(AHCIPort, bus, vm_ide_bus),
    VM_UINT(AHCIPort, clb), VM_UINT(AHCIPort, fb), VM_UINT(AHCIPort, is), VM_UINT(AHCIPort, ie),
    VM_UINT(AHCIPort, cmd), VM_UINT(AHCIPort, sig), VM_UINT(AHCIPort, sctl),
    VM_UINT(AHCIPort, serr), VM_UINT(AHCIPort, sact), VM_UINT(AHCIPort, ci),
    VM_UINT(AHCIPort, tf_status), VM_UINT(AHCIPort, tf_error), VM_BOOL(AHCIPort, present),
    VM_BOOL(AHCIPort, signature_due), VM_BOOL(AHCIPort, in_reset), VM_BOOL(AHCIPort, halted),
    VM_UINT(AHCIPort, slot), VM_UINT(AHCIPort, last_slot),
    VM_STRUCT(AHCIPort, list, vm_ahci_list),
    VM_STRUCTS(AHCIPort, queued, vm_ahci_queued),
    VM_DONE
};
static const VMState vm_port = {
    .name = "ahci-port", .post_load = port_post_load, .fields = port_fields,
};

static bool ahci_post_load(void *opaque, int version, Error **err)
{
    AHCIState *s = opaque;

    s->index &= AHCI_REGISTERS - 4;
    s->ghc = GHC_AE | (s->ghc & GHC_IE);
    return true;
}

static const VMField ahci_fields[] = {
    VM_UINT(AHCIState, ghc), VM_UINT(AHCIState, is), VM_UINT(AHCIState, index),
    VM_BOOL(AHCIState, pin),
    VM_STRUCTS(AHCIState, port, vm_port),
    VM_DONE
};
const VMState vm_ahci = { .name = "ahci", .post_load = ahci_post_load, .fields = ahci_fields };
