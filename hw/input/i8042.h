/* SPDX-License-Identifier: MIT */
/*
 * The keyboard controller, device "i8042" on the ISA bus (ports 60h and 64h, IRQ 1 and 12),
 * with its PS/2 keyboard and mouse.  [bql]
 */
#ifndef HW_INPUT_I8042_H
#define HW_INPUT_I8042_H

#include "hw/core/device.h"

/* The output port's A20 gate: level 1 = A20 passes. */
void i8042_connect_a20(Device *kbc, IRQ a20);
/* The mouse reports a movement, if its driver listens: another pointer has news for that. */
void i8042_nudge_mouse(Device *kbc);

#endif
