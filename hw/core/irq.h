/* SPDX-License-Identifier: MIT */
/*
 * An interrupt line is a value: whom to call, and which input.  Levels belong to the receiver,
 * who saves them.  All calls under the big lock.
 */
#ifndef HW_CORE_IRQ_H
#define HW_CORE_IRQ_H

#include <stddef.h>

typedef struct IRQ {
    void (*set)(void *opaque, int n, int level);
    void *opaque;
    int n;
} IRQ;

/* Sees every change before the receiver does (tests); NULL = nobody. */
extern void (*irq_observer)(const IRQ *irq, int level);

static inline void irq_set(const IRQ *irq, int level)
{
    if (__builtin_expect(irq_observer != NULL, 0)) {
        irq_observer(irq, level);
    }
    if (irq->set) {
        irq->set(irq->opaque, irq->n, level);
    }
}
static inline void irq_raise(const IRQ *irq)
{
    irq_set(irq, 1);
}
static inline void irq_lower(const IRQ *irq)
{
    irq_set(irq, 0);
}
static inline void irq_pulse(const IRQ *irq)
{
    irq_set(irq, 1);
    irq_set(irq, 0);
}

#endif
