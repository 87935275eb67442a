/* SPDX-License-Identifier: MIT */
/*
 * The IDE function of the PIIX3: two channels at their legacy ports (1F0h, 170h; IRQ 14, 15)
 * with a bus master DMA engine each.
 *
 * Source: 82371SB (PIIX3) data sheet, function 1.
 *
 * The decode enable bits of IDETIM are remembered but do not switch the ports off, so that a
 * kernel started without firmware finds its disks.  Timings have no effect.
 */
#include "hw/ide/bmdma.h"
#include "hw/isa/isa.h"

typedef struct PiixIDE {
    PCIDevice pci;                      /* always first */
    IDEBus bus[2];
    BMDMA bm[2];
    Region io;                          /* BAR 4 */
} PiixIDE;

static const struct { uint16_t cmd, ctl, irq; } channels[2] = {
    { 0x1f0, 0x3f6, 14 }, { 0x170, 0x376, 15 },
};

static bool piix_ide_realize(Device *dev, Error **err)
{
    PiixIDE *s = (PiixIDE *)dev;
    ISABus *isa = isa_bus();

    if (!isa) {
        return fail(err, "piix3-ide: the machine has no ISA bus for its interrupts");
    }
    region_init_container(&s->io, "piix-bmdma-container", 16);
    for (int i = 0; i < 2; i++) {
        char name[8];
        g_snprintf(name, sizeof(name), "ide.%d", i);
        ide_bus_init(&s->bus[i], dev, name, isa->irq[channels[i].irq]);
        ide_bus_map(&s->bus[i], dev->io, channels[i].cmd, channels[i].ctl);
        bmdma_init(&s->bm[i], &s->pci, &s->bus[i]);
        region_map(&s->io, 8 * i, &s->bm[i].io, 0);
    }
    pci_register_bar(&s->pci, 4, PCI_BAR_IO, &s->io);
    return true;
}

static void piix_ide_unrealize(Device *dev)
{
    PiixIDE *s = (PiixIDE *)dev;

    for (int i = 0; i < 2; i++) {
        ide_bus_exit(&s->bus[i]);
        bmdma_exit(&s->bm[i]);
    }
    region_destroy(&s->io);
}

static void piix_ide_reset(Device *dev)
{
    PiixIDE *s = (PiixIDE *)dev;

    for (int i = 0; i < 2; i++) {
        ide_bus_reset(&s->bus[i]);
        bmdma_reset(&s->bm[i]);
    }
    memset(s->pci.config + 0x40, 0, 8);
    pci_set_word(s->pci.config + PCI_STATUS, 0x0280);   /* medium DEVSEL, back-to-back */
}

static const VMField piix_ide_fields[] = {
    VM_STRUCT(PiixIDE, pci, vm_pci_device),
    VM_STRUCTS(PiixIDE, bus, vm_ide_bus),
    VM_STRUCTS(PiixIDE, bm, vm_bmdma),
    VM_DONE
};
static const VMState vm_piix_ide = { .name = "piix3-ide", .fields = piix_ide_fields };

static const PCIInfo piix_ide_info = {
    .vendor = 0x8086, .device = 0x7010, .class_id = 0x0101, .prog_if = 0x80,
    .not_hotpluggable = true,
};

static const DeviceType piix3_ide = {
    .name = "piix3-ide", .desc = "PIIX3 IDE controller", .bus = "PCI", .category = "Storage",
    .size = sizeof(PiixIDE), .vmstate = &vm_piix_ide, .realize = piix_ide_realize,
    .reset = piix_ide_reset, .unrealize = piix_ide_unrealize, .info = &piix_ide_info,
    .no_user = true,
};
DEVICE_TYPE(piix3_ide);
