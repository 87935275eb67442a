/* SPDX-License-Identifier: MIT */
/*
 * The MC146818 real-time clock with 128 bytes of CMOS RAM, device "mc146818rtc" on the ISA bus
 * (ports 70h-71h, IRQ 8).  [bql]
 */
#ifndef HW_TIMER_MC146818RTC_H
#define HW_TIMER_MC146818RTC_H

#include "hw/core/device.h"

/* Send the interrupt elsewhere than ISA line 8 (the HPET's legacy input); before realize. */
void rtc_connect(Device *rtc, IRQ irq);
/* CMOS bytes the board fills in: memory size, drive types, checksums.  addr 0x0e..0x7f. */
void rtc_set_cmos(Device *rtc, unsigned addr, uint8_t val);
uint8_t rtc_get_cmos(Device *rtc, unsigned addr);

/*
 * -rtc base=utc|localtime|DATETIME,clock=host|rt|vm,driftfix=none|slew; each may be NULL.
 * Before the machine is made.
 */
bool rtc_configure(const char *base, const char *clock, const char *driftfix, Error **err);
/* Called when the guest sets the clock, with the new distance to the base in seconds
 * (QMP's RTC_CHANGE event).  NULL = nobody. */
extern void (*rtc_change_hook)(int64_t offset);
/* The guest's calendar time now, seconds since 1970 as if it were UTC. */
int64_t rtc_guest_time(Device *rtc);

#endif
