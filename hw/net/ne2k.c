/* SPDX-License-Identifier: MIT */
/*
 * NE2000 on its buses: "ne2k_pci" is a RealTek RTL8029, "ne2k_isa" the original.
 */
#include "hw/isa/isa.h"
#include "hw/net/ne2000.h"
#include "hw/pci/pci.h"

/* ---- PCI ---------------------------------------------------------------------------------- */

typedef struct Ne2kPCI {
    PCIDevice pci;                      /* always first */
    Ne2000 card;
} Ne2kPCI;

static bool ne2k_pci_realize(Device *dev, Error **err)
{
    Ne2kPCI *s = (Ne2kPCI *)dev;

    if (!ne2000_init(&s->card, dev, 256, err)) {
        return false;
    }
    s->card.irq = pci_irq(&s->pci);
    pci_register_bar(&s->pci, 0, PCI_BAR_IO, &s->card.io);
    return true;
}

static void ne2k_pci_unrealize(Device *dev)
{
    ne2000_exit(&((Ne2kPCI *)dev)->card);
}

static void ne2k_pci_reset(Device *dev)
{
    ne2000_power_on(&((Ne2kPCI *)dev)->card);
}

static const VMField ne2k_pci_fields[] = {
    VM_STRUCT(Ne2kPCI, pci, vm_pci_device), VM_STRUCT(Ne2kPCI, card, vm_ne2000), VM_DONE
};
static const VMState vm_ne2k_pci = { .name = "ne2k_pci", .fields = ne2k_pci_fields };

static const Prop ne2k_pci_props[] = { NIC_PROPS(Ne2kPCI, card.conf), PROP_DONE };

static const PCIInfo ne2k_pci_info = {
    .vendor = 0x10ec, .device = 0x8029, .class_id = 0x0200, .pin = 1, .rom = "efi-ne2k_pci.rom",
};

static const DeviceType ne2k_pci = {
    .name = "ne2k_pci", .desc = "NE2000 on PCI (RealTek RTL8029)", .bus = "PCI",
    .category = "Network", .size = sizeof(Ne2kPCI), .props = ne2k_pci_props,
    .vmstate = &vm_ne2k_pci, .realize = ne2k_pci_realize, .unrealize = ne2k_pci_unrealize,
    .reset = ne2k_pci_reset, .info = &ne2k_pci_info, .fw_name = "ethernet",
    .fw_child = "ethernet-phy@0",
};
DEVICE_TYPE(ne2k_pci);

/* ---- ISA ---------------------------------------------------------------------------------- */

typedef struct Ne2kISA {
    Device dev;                         /* always first */
    Ne2000 card;
    uint32_t iobase, irq;
} Ne2kISA;

static bool ne2k_isa_realize(Device *dev, Error **err)
{
    Ne2kISA *s = (Ne2kISA *)dev;

    if (s->irq > 15) {
        return fail(err, "ne2k_isa: irq=%u: there are lines 0 to 15", s->irq);
    }
    if (!ne2000_init(&s->card, dev, NE2000_PORTS, err)) {
        return false;
    }
    s->card.irq = isa_irq(dev, s->irq);
    region_map(dev->io, s->iobase, &s->card.io, 0);
    return true;
}

static void ne2k_isa_unrealize(Device *dev)
{
    ne2000_exit(&((Ne2kISA *)dev)->card);
}

static void ne2k_isa_reset(Device *dev)
{
    ne2000_power_on(&((Ne2kISA *)dev)->card);
}

static const VMField ne2k_isa_fields[] = { VM_STRUCT(Ne2kISA, card, vm_ne2000), VM_DONE };
static const VMState vm_ne2k_isa = { .name = "ne2k_isa", .fields = ne2k_isa_fields };

static const Prop ne2k_isa_props[] = {
    PROP_UINT_R("iobase", Ne2kISA, iobase, 0x300, 0, 0xffe0, "first of its 32 ports"),
    PROP_UINT("irq", Ne2kISA, irq, 9, "ISA interrupt line"),
    NIC_PROPS(Ne2kISA, card.conf),
    PROP_DONE
};

static const DeviceType ne2k_isa = {
    .name = "ne2k_isa", .desc = "NE2000", .bus = "isa", .category = "Network",
    .size = sizeof(Ne2kISA), .props = ne2k_isa_props, .vmstate = &vm_ne2k_isa,
    .realize = ne2k_isa_realize, .unrealize = ne2k_isa_unrealize, .reset = ne2k_isa_reset,
    .fw_name = "ethernet",
};
DEVICE_TYPE(ne2k_isa);
