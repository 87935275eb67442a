/* SPDX-License-Identifier: MIT */
/*
 * Did a pulse reach anybody?  A periodic timer that wants to make up for ticks the guest was
 * too slow to take asks the interrupt controllers: irq_delivered_begin(), pulse the line,
 * then irq_delivered_end() tells whether some controller latched a new request.  [bql]
 */
#ifndef HW_INTC_DELIVERED_H
#define HW_INTC_DELIVERED_H

#include <stdbool.h>

void irq_delivered_begin(void);
bool irq_delivered_end(void);
/* For controllers: an edge came; fresh = it was not pending already. */
void irq_delivered_report(bool fresh);

/* What a periodic timer does with ticks nobody took; property "lost_tick_policy". */
enum { LOST_TICK_DISCARD, LOST_TICK_DELAY, LOST_TICK_SLEW };

#endif
