/* SPDX-License-Identifier: MIT */
/*
 * System control port A, device "port92" on the ISA bus.  [bql]
 */
#ifndef HW_I386_PORT92_H
#define HW_I386_PORT92_H

#include "hw/core/device.h"

/* The A20 gate: level 1 = A20 passes.  Before realize. */
void port92_connect_a20(Device *dev, IRQ a20);

#endif
