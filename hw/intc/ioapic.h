/* SPDX-License-Identifier: MIT */
/*
 * The I/O APIC, device "ioapic": 24 input lines (device_irq_in), registers at "base"
 * (FEC00000h).  The board routes ISA IRQ 0 to line 2.  [bql]
 */
#ifndef HW_INTC_IOAPIC_H
#define HW_INTC_IOAPIC_H

#include "hw/core/device.h"
#include "target-i386/irqchip.h"

/* `info ioapic` */
void ioapic_info(GString *out);

#endif
