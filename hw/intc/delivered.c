/* SPDX-License-Identifier: MIT */
/*
 * Whether a pulse was latched by an interrupt controller, for timers that make up lost ticks.
 *
 * Several controllers hear the same line (8259 and I/O APIC).  A pulse counts as taken if any
 * of them latched a new request; it counts as lost only if somebody had it pending already:
 * a line that is masked everywhere loses nothing the guest waits for.
 */
#include "hw/intc/delivered.h"

static bool fresh_seen, stale_seen;

void irq_delivered_begin(void)
{
    fresh_seen = stale_seen = false;
}

bool irq_delivered_end(void)
{
    return fresh_seen || !stale_seen;
}

void irq_delivered_report(bool fresh)
{
    if (fresh) {
        fresh_seen = true;
    } else {
        stale_seen = true;
    }
}
