/* SPDX-License-Identifier: MIT */
/*
 * Hot plugging of PCI functions through ACPI: registers for the tables' methods, which tell the
 * operating system of slots that changed and eject them for it.  A chip embeds PciHotplug.  [bql]
 *
 * The interface is QEMU's (its docs/specs/acpi_pci_hotplug); all registers have 32 bits:
 *
 *   +0  slots with new devices; cleared by reading     +8   write: eject these slots; reads 0
 *   +4  slots whose devices are to go                  +12  slots that can be ejected
 *                                                      +16  bus selected: 0 is the only one
 */
#ifndef HW_ACPI_PCIHP_H
#define HW_ACPI_PCIHP_H

#include "hw/acpi/aml.h"
#include "hw/pci/pci.h"

#define PCIHP_BASE  0xae00
#define PCIHP_LEN   0x14
#define PCIHP_GPE   1           /* general purpose event the methods hang on */

typedef struct PciHotplug {
    Region io;
    PCIBus *bus;
    uint32_t up, down, select;
    void (*event)(void *opaque);        /* raise the event */
    void *opaque;
} PciHotplug;

void pcihp_init(PciHotplug *h, PCIBus *bus, Region *io, void (*event)(void *opaque), void *opaque);
void pcihp_exit(PciHotplug *h);
extern const VMState vm_pcihp;
/* In the DSDT: inside the device of the PCI bus; and on the top level, where pci names that. */
void pcihp_aml_bus(Aml *a, PCIBus *bus);
void pcihp_aml_event(Aml *a, const char *pci);

#endif
