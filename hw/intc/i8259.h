/* SPDX-License-Identifier: MIT */
/*
 * The two 8259A interrupt controllers of a PC, one device ("isa-i8259") with 16 input lines
 * (device_irq_in 0..15; line 2 is the cascade and has no effect).  All under the big lock.
 */
#ifndef HW_INTC_I8259_H
#define HW_INTC_I8259_H

#include "hw/core/device.h"

/* Where INTR of the master goes; before realize or any time. */
void i8259_connect(Device *pic, IRQ intr);
/* The INTA cycle: the vector, spurious ones included.  Fits X86CPU.pic_ack; opaque = the device. */
uint8_t i8259_ack(void *opaque);
/* Is INTR up? */
bool i8259_pending(Device *pic);
/* `info pic` */
void i8259_info(GString *out);

#endif
