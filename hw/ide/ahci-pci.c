/* SPDX-License-Identifier: MIT */
/*
 * The SATA function of the ICH9 in AHCI mode: "ich9-ahci", six ports.
 *
 * Source: Intel I/O Controller Hub 9 data sheet, 14.1 (configuration registers).
 */
#include "hw/ide/ahci.h"
#include "hw/pci/msi.h"

#define MSI_AT          0x80
#define MAP             0x90
#define MAP_AHCI          0x40
#define SATA_CAP_AT     0xa8
#define SATA_CAP_ID     0x12
#define SATA_CAP_SIZE   8
/* Index and data ports: BAR 4, from its fourth double word */
#define SATA_CAP_IDP    (0x8 | 4 << 4)

typedef struct AHCIPCI {
    PCIDevice pci;                      /* always first */
    AHCIState ahci;
} AHCIPCI;

static bool ahci_pci_realize(Device *dev, Error **err)
{
    AHCIPCI *s = (AHCIPCI *)dev;
    uint8_t *c = s->pci.config;

    if (!pci_add_capability(&s->pci, SATA_CAP_ID, SATA_CAP_AT, SATA_CAP_SIZE, err)
        || !msi_init(&s->pci, MSI_AT, 1, true, false, err)) {
        return false;
    }
    c[SATA_CAP_AT + 2] = 0x10;          /* revision 1.0 */
    pci_set_long(c + SATA_CAP_AT + 4, SATA_CAP_IDP);
    ahci_init(&s->ahci, &s->pci);
    pci_register_bar(&s->pci, 4, PCI_BAR_IO, &s->ahci.idp);
    pci_register_bar(&s->pci, 5, PCI_BAR_MEM32, &s->ahci.mem);
    return true;
}

static void ahci_pci_unrealize(Device *dev)
{
    ahci_exit(&((AHCIPCI *)dev)->ahci);
}

static void ahci_pci_reset(Device *dev)
{
    AHCIPCI *s = (AHCIPCI *)dev;

    s->pci.config[MAP] = MAP_AHCI;
    for (unsigned n = 0; n < AHCI_PORTS; n++) {
        s->ahci.port[n].clb = s->ahci.port[n].fb = 0;
    }
    ahci_reset(&s->ahci);
}

static const VMField ahci_pci_fields[] = {
    VM_STRUCT(AHCIPCI, pci, vm_pci_device),
    VM_STRUCT(AHCIPCI, ahci, vm_ahci),
    VM_DONE
};
static const VMState vm_ahci_pci = { .name = "ich9-ahci", .fields = ahci_pci_fields };

static const PCIInfo ahci_pci_info = {
    .vendor = 0x8086, .device = 0x2922, .revision = 2, .class_id = 0x0106, .prog_if = 1, .pin = 1,
};

static const DeviceType ich9_ahci = {
    .name = "ich9-ahci", .alias = "ahci", .desc = "ICH9 SATA controller in AHCI mode",
    .bus = "PCI", .category = "Storage", .size = sizeof(AHCIPCI), .vmstate = &vm_ahci_pci,
    .realize = ahci_pci_realize, .reset = ahci_pci_reset, .unrealize = ahci_pci_unrealize,
    .info = &ahci_pci_info,
};
DEVICE_TYPE(ich9_ahci);
