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

/* Somebody who follows a counter's OUT: called before software changes anything about it. */
void i8254_watch(Device *pit, int channel, void (*before)(void *opaque), void *opaque);
/* The input clock's tick now, and for how many ticks of [from, to) OUT is high if nothing is
 * changed: from is no earlier than the last change. */
int64_t i8254_tick(void);
int64_t i8254_high(Device *pit, int channel, int64_t from, int64_t to);
/* Does OUT go up and down by itself? */
bool i8254_is_tone(Device *pit, int channel);

/* Port 61h of this timer; set before realize. */
void pcspk_connect(Device *spk, Device *pit);

#endif
