/* SPDX-License-Identifier: MIT */
/*
 * The PIIX3 south bridge's function 0, device "PIIX3": ISA bridge and PCI interrupt router.
 */
#ifndef HW_ISA_PIIX3_H
#define HW_ISA_PIIX3_H

#include "hw/isa/isa.h"
#include "hw/pci/pci_host.h"

/* Creates 00:01.0 on the bus: offers the bus "isa.0", takes the bus's INTx routing and the
 * host's port CF9h. */
Device *piix3_create(PCIBus *bus, PCIHost *host);
ISABus *piix3_isa(Device *piix3);
/* Where its 16 interrupt lines go; before anything is plugged into the ISA bus. */
void piix3_connect(Device *piix3, int n, IRQ line);

#endif
