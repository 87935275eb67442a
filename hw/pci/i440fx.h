/* SPDX-License-Identifier: MIT */
/*
 * The 82441FX host bridge (PMC): device "i440FX-pcihost" with the bus "pci.0", and function
 * 00:00.0 "i440FX".
 */
#ifndef HW_PCI_I440FX_H
#define HW_PCI_I440FX_H

#include "hw/pci/pci_host.h"

/* Create and realize.  ram: the machine's RAM, offset = address below 1 MiB; pci: the region
 * that PCI memory is mapped in.  The PAM and SMRAM windows are mapped into system. */
Device *i440fx_create(Region *system, Region *pci, Region *ram, uint64_t ram_size, bool smm);
PCIBus *i440fx_bus(Device *host);
PCIHost *i440fx_host(Device *host);
/* Memory as a CPU in system management mode sees it. */
AddressSpace *i440fx_smm_space(Device *host);

#endif
