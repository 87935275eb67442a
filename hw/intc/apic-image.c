/* SPDX-License-Identifier: MIT */
/*
 * A local APIC that the accelerator has (target-i386/irqchip.h): its state between there and
 * the device, which saves, loads and shows it.
 *
 * The count of the timer is a point in virtual time here and a rest there.  The ESR that
 * collects errors until the next write is not visible from outside and is lost.
 */
#include "hw/intc/apic-internal.h"
#include "target-i386/irqchip.h"

#include <string.h>

enum {
    REG_ID = 0x02, REG_VERSION = 0x03, REG_TPR = 0x08, REG_LDR = 0x0d, REG_DFR = 0x0e,
    REG_SVR = 0x0f, REG_ISR = 0x10, REG_TMR = 0x18, REG_IRR = 0x20, REG_ESR = 0x28,
    REG_ICR = 0x30, REG_LVT = 0x32, REG_TIMER_INIT = 0x38, REG_TIMER_CURRENT = 0x39,
    REG_TIMER_DIVIDE = 0x3e,
};

#define VERSION     (0x14 | (LVT_COUNT - 1) << 16)

static bool x2apic(const Apic *s)
{
    return s->base & BASE_X2APIC;
}

void apic_fetch(Apic *s)
{
    LapicImage l = { { 0 } };

    if (!x86_irqchip) {
        return;
    }
    x86_irqchip->get_lapic(s->cpu, &l);
    s->base = s->cpu->apic_base;
    s->id = x2apic(s) ? s->cpu->apic_id : l.reg[REG_ID] >> 24;
    s->tpr = l.reg[REG_TPR];
    s->svr = l.reg[REG_SVR];
    s->ldr = x2apic(s) ? s->ldr : l.reg[REG_LDR];
    s->dfr = x2apic(s) ? s->dfr : l.reg[REG_DFR];
    s->esr = l.reg[REG_ESR];
    s->esr_new = 0;
    s->icr[0] = l.reg[REG_ICR];
    s->icr[1] = l.reg[REG_ICR + 1];
    memcpy(s->isr, &l.reg[REG_ISR], sizeof(s->isr));
    memcpy(s->tmr, &l.reg[REG_TMR], sizeof(s->tmr));
    memcpy(s->irr, &l.reg[REG_IRR], sizeof(s->irr));
    memcpy(s->lvt, &l.reg[REG_LVT], sizeof(s->lvt));
    s->extint = false;
    s->divide = l.reg[REG_TIMER_DIVIDE];
    s->initial = l.reg[REG_TIMER_INIT];
    s->deadline = l.deadline;
    apic_timer_resume(s, MIN(l.reg[REG_TIMER_CURRENT], s->initial));
}

void apic_store(Apic *s)
{
    LapicImage l = { { 0 } };

    if (!x86_irqchip) {
        return;
    }
    l.reg[REG_ID] = x2apic(s) ? s->cpu->apic_id : (uint32_t)s->id << 24;
    l.reg[REG_VERSION] = VERSION;
    l.reg[REG_TPR] = s->tpr;
    l.reg[REG_LDR] = x2apic(s) ? (s->cpu->apic_id >> 4) << 16 | 1u << (s->cpu->apic_id & 15) : s->ldr;
    l.reg[REG_DFR] = s->dfr;
    l.reg[REG_SVR] = s->svr;
    l.reg[REG_ESR] = s->esr;
    l.reg[REG_ICR] = s->icr[0];
    l.reg[REG_ICR + 1] = s->icr[1];
    memcpy(&l.reg[REG_ISR], s->isr, sizeof(s->isr));
    memcpy(&l.reg[REG_TMR], s->tmr, sizeof(s->tmr));
    memcpy(&l.reg[REG_IRR], s->irr, sizeof(s->irr));
    memcpy(&l.reg[REG_LVT], s->lvt, sizeof(s->lvt));
    l.reg[REG_TIMER_DIVIDE] = s->divide;
    l.reg[REG_TIMER_INIT] = s->initial;
    l.reg[REG_TIMER_CURRENT] = apic_timer_current(s);
    l.deadline = s->deadline;
    timer_del(&s->timer);
    x86_irqchip->put_lapic(s->cpu, &l);
}
