/* SPDX-License-Identifier: MIT */
/*
 * Message-signalled interrupts of PCI functions: the MSI and MSI-X capabilities.
 *
 * A device calls msi_init or msix_init in its realize, asks *_enabled when it has an interrupt
 * to raise, and notifies a vector; masked vectors are remembered and sent at unmasking.  [bql]
 */
#ifndef HW_PCI_MSI_H
#define HW_PCI_MSI_H

#include "hw/pci/pci.h"

#define PCI_CAP_ID_MSI  0x05
#define PCI_CAP_ID_MSIX 0x11
#define MSIX_MAX 2048               /* vectors a function can have */

/* vectors: 1, 2, 4 .. 32; offset 0 = anywhere. */
bool msi_init(PCIDevice *d, uint8_t offset, unsigned vectors, bool wide, bool maskable,
              Error **err);
bool msi_enabled(const PCIDevice *d);
unsigned msi_vectors(const PCIDevice *d);               /* that the guest enabled */
/* No effect while disabled.  vector is taken modulo what the guest enabled. */
void msi_notify(PCIDevice *d, unsigned vector);

/* Table at table_off of table_bar's region, pending bits at pba_off of pba_bar's: the device
 * made the containers and registers them as BARs itself. */
bool msix_init(PCIDevice *d, unsigned vectors, Region *table, int table_bar, uint32_t table_off,
               Region *pba, int pba_bar, uint32_t pba_off, Error **err);
/* Send vectors by eventfd where the accelerator has a use for that (accel/eventfd.h). */
void msix_use_eventfds(PCIDevice *d);
bool msix_enabled(const PCIDevice *d);
void msix_notify(PCIDevice *d, unsigned vector);

/* For pci.c: a configuration write happened; system reset; the function goes; a state was
 * loaded (first check, then update). */
void msi_config_written(PCIDevice *d, unsigned addr, unsigned len);
void msi_reset(PCIDevice *d);
void msi_exit(PCIDevice *d);
bool msi_check_loaded(PCIDevice *d, Error **err);
void msi_update(PCIDevice *d);

#endif
