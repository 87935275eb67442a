/* SPDX-License-Identifier: MIT */
/*
 * The high precision event timer, device "hpet", at FED00000h.  [bql]
 */
#ifndef HW_TIMER_HPET_H
#define HW_TIMER_HPET_H

#include "hw/core/device.h"

#define HPET_BASE   0xfed00000u
#define HPET_LINES  32                  /* outputs a timer may be routed to: GSI 0..31 */

/* Output line n (a GSI). */
void hpet_connect(Device *hpet, int n, IRQ irq);
/* In legacy replacement mode the timers take over IRQ 0 and IRQ 8: the RTC's interrupt goes
 * through the HPET's input line 0 (device_irq_in(hpet, 0)), and the 8254 is told by this hook. */
void hpet_set_legacy_hook(Device *hpet, void (*fn)(void *opaque, bool legacy), void *opaque);

#endif
