/* SPDX-License-Identifier: MIT */
/*
 * 82371SB (PIIX3), function 0: ISA bridge, PCI interrupt router, reset control.
 *
 * Source: Intel 82371FB/82371SB data sheet (290550): PIRQRC (2.2.9), reset control register
 * (2.5.5.2, port CF9h).  The ELCR belongs to the interrupt controllers (hw/intc/i8259.c), the
 * IDE function to hw/ide, power management to hw/acpi/piix4_pm.c.  ROM chip selects, ISA clock
 * and memory hole registers can be written and read, and do nothing.
 *
 *     PIRQRC 60h-63h      7: not routed   3..0: ISA interrupt (0-2, 8, 13 reserved)
 *     CF9h                2: reset CPU (rising edge)   1: hard reset instead of INIT
 */
#include "hw/isa/piix3.h"
#include "hw/core/sysctl.h"

#define PIRQRC          0x60
#define PIRQRC_OFF      0x80
#define ROUTABLE        0xdef8u     /* interrupts 3-7, 9-12, 14, 15 */

#define RCR_RESET       0x04

typedef struct PIIX3 {
    PCIDevice pci;                  /* always first */
    ISABus isa;
    PCIHost *host;
    uint8_t pirq_level;             /* bit n: PIRQ n is asserted */
    uint8_t rcr;
} PIIX3;

static int routed_to(const PIIX3 *s, int pirq)
{
    uint8_t route = s->pci.config[PIRQRC + pirq];

    return route & PIRQRC_OFF || !(ROUTABLE >> (route & 15) & 1) ? -1 : route & 15;
}

/* Several PIRQs may share an interrupt: it is the OR of them. */
static void drive_irq(PIIX3 *s, int irq)
{
    bool level = false;

    for (int p = 0; p < 4; p++) {
        level |= (s->pirq_level >> p & 1) && routed_to(s, p) == irq;
    }
    irq_set(&s->isa.irq[irq], level);
}

static void piix3_pirq(void *opaque, int pirq, int level)
{
    PIIX3 *s = opaque;
    int irq = routed_to(s, pirq);

    s->pirq_level = (s->pirq_level & ~(1 << pirq)) | (!!level << pirq);
    if (irq >= 0) {
        drive_irq(s, irq);
    }
}

/* INTA of slot 1 is PIRQ A, of slot 2 PIRQ B, and so on round; pins rotate within a slot. */
static int piix3_map(PCIDevice *d, int pin)
{
    return (pin + PCI_SLOT(d->devfn) - 1) & 3;
}

/* Before a route changes its old interrupt must be let go: the guest's new value is already in
 * the register, so all interrupts that can be routed to are driven again. */
static void piix3_config_written(PCIDevice *d, unsigned addr, unsigned len)
{
    PIIX3 *s = (PIIX3 *)d;

    if (addr < PIRQRC + 4 && addr + len > PIRQRC && s->pirq_level) {
        for (int irq = 0; irq < 16; irq++) {
            if (ROUTABLE >> irq & 1) {
                drive_irq(s, irq);
            }
        }
    }
}

static uint8_t rcr_read(void *opaque)
{
    return ((PIIX3 *)opaque)->rcr;
}

static void rcr_write(void *opaque, uint8_t val)
{
    PIIX3 *s = opaque;

    if (val & ~s->rcr & RCR_RESET) {
        machine_request_reset();
        return;
    }
    s->rcr = val & 0x02;            /* keeps the kind of reset; the reset bit reads 0 */
}

static bool piix3_realize(Device *dev, Error **err)
{
    PIIX3 *s = (PIIX3 *)dev;

    pci_set_word(s->pci.config + PCI_STATUS, 0x0200);   /* DEVSEL# timing: medium */
    s->pci.config_written = piix3_config_written;
    s->host->cf9_read = rcr_read;
    s->host->cf9_write = rcr_write;
    s->host->cf9_opaque = s;
    pci_bus_set_irq(s->pci.bus, piix3_pirq, piix3_map, s);
    return true;
}

static void piix3_unrealize(Device *dev)
{
    isa_bus_exit(&((PIIX3 *)dev)->isa);
}

static void piix3_reset(Device *dev)
{
    static const struct { uint8_t at, val; } values[] = {
        { 0x4c, 0x4d }, { 0x4d, 0x00 }, { 0x4e, 0x03 }, { 0x4f, 0x00 },
        { 0x60, 0x80 }, { 0x61, 0x80 }, { 0x62, 0x80 }, { 0x63, 0x80 },
        { 0x69, 0x02 }, { 0x6a, 0x00 }, { 0x70, 0x80 }, { 0x76, 0x0c }, { 0x77, 0x0c },
        { 0x78, 0x02 }, { 0x79, 0x00 }, { 0x80, 0x00 }, { 0x82, 0x00 },
        { 0xa0, 0x08 }, { 0xa2, 0x00 }, { 0xa3, 0x00 }, { 0xa4, 0x00 }, { 0xa5, 0x00 },
        { 0xa6, 0x00 }, { 0xa7, 0x00 }, { 0xa8, 0x0f }, { 0xaa, 0x00 }, { 0xab, 0x00 },
        { 0xac, 0x00 }, { 0xae, 0x00 },
    };
    PIIX3 *s = (PIIX3 *)dev;

    for (size_t i = 0; i < G_N_ELEMENTS(values); i++) {
        s->pci.config[values[i].at] = values[i].val;
    }
    s->rcr = 0;
    for (int irq = 0; irq < 16; irq++) {
        if (ROUTABLE >> irq & 1) {
            drive_irq(s, irq);
        }
    }
}

static const VMField piix3_fields[] = {
    VM_STRUCT(PIIX3, pci, vm_pci_device), VM_UINT(PIIX3, pirq_level), VM_UINT(PIIX3, rcr),
    VM_DONE
};
static const VMState vm_piix3 = { .name = "PIIX3", .fields = piix3_fields };

static const PCIInfo piix3_info = {
    .vendor = 0x8086, .device = 0x7000, .class_id = 0x0601, .multifunction = true,
    .not_hotpluggable = true,
};

static const DeviceType piix3 = {
    .name = "PIIX3", .desc = "ISA bridge", .bus = "PCI", .category = "Controller/Bridge/Hub",
    .size = sizeof(PIIX3), .vmstate = &vm_piix3, .realize = piix3_realize,
    .unrealize = piix3_unrealize, .reset = piix3_reset, .info = &piix3_info, .no_user = true,
};
DEVICE_TYPE(piix3);

Device *piix3_create(PCIBus *bus, PCIHost *host)
{
    PIIX3 *s = (PIIX3 *)pci_create(bus, PCI_DEVFN(1, 0), "PIIX3");

    s->host = host;
    isa_bus_init(&s->isa, &s->pci.dev, "isa.0");
    pci_realize_or_die(&s->pci, bus);
    return &s->pci.dev;
}

ISABus *piix3_isa(Device *dev)
{
    return &((PIIX3 *)dev)->isa;
}

void piix3_connect(Device *dev, int n, IRQ line)
{
    ((PIIX3 *)dev)->isa.irq[n] = line;
}
