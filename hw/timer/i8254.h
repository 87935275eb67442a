/* SPDX-License-Identifier: MIT */
/*
 * The 8254 interval timer, device "isa-pit" (ports 40h-43h), and the system control port 61h
 * that drives its third counter, device "isa-pcspk".  [bql]
 */
#ifndef HW_TIMER_I8254_H
#define HW_TIMER_I8254_H

#include "hw/core/device.h"

#define PIT_HZ 1193182

/* OUT of counter 0. */
void i8254_connect(Device *pit, IRQ out0);
/* The HPET in legacy mode takes IRQ 0 away: on = false silences counter 0's line. */
void i8254_enable_irq0(Device *pit, bool on);
/* GATE and OUT of a counter, for the port 61h device. */
void i8254_set_gate(Device *pit, int channel, bool level);
bool i8254_get_gate(Device *pit, int channel);
bool i8254_get_out(Device *pit, int channel);

/* Port 61h of this timer; set before realize. */
void pcspk_connect(Device *spk, Device *pit);

#endif
