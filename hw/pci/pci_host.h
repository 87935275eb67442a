/* SPDX-License-Identifier: MIT */
/*
 * Configuration mechanism #1: the address register at port CF8h and the data window at CFCh,
 * part of a host bridge.  [bql]
 */
#ifndef HW_PCI_PCI_HOST_H
#define HW_PCI_PCI_HOST_H

#include "hw/pci/pci.h"

typedef struct PCIHost {
    PCIBus *bus;
    Region io;
    uint32_t address;                   /* CONFADD; reset and saved here */
    /* Byte accesses to port CF9h inside the address register go to the south bridge (reset
     * control).  NULL: nobody. */
    uint8_t (*cf9_read)(void *opaque);
    void (*cf9_write)(void *opaque, uint8_t val);
    void *cf9_opaque;
} PCIHost;

extern const VMState vm_pci_host;       /* embed with VM_STRUCT(T, host, vm_pci_host) */

/* Maps CF8h-CFFh. */
void pci_host_init(PCIHost *h, PCIBus *bus, Region *io);
void pci_host_exit(PCIHost *h);
void pci_host_reset(PCIHost *h);

#endif
