/* SPDX-License-Identifier: MIT */
/*
 * The local APIC's timer: one-shot, periodic, TSC-deadline.
 *
 * Source: Intel SDM volume 3A, section "APIC Timer".  The bus clock is 1 GHz.
 */
#include "hw/intc/apic-internal.h"
#include "target-i386/irqchip.h"
#include "target-i386/msr.h"

/* A guest that asks for ticks closer than this gets no more of them: the clock only fires
 * from the main loop, and a request already pending swallows the next. */
#define MIN_PERIOD_NS  10000

/* The bus clock is 1 GHz, divided by 2 << code, code 7 meaning by 1. */
unsigned apic_timer_shift(const Apic *s)
{
    unsigned code = (s->divide & 3) | (s->divide >> 1 & 4);
    return (code + 1) & 7;
}

static bool timer_is_deadline(const Apic *s)
{
    return (s->lvt[LVT_TIMER] & LVT_TIMER_MODE) == LVT_DEADLINE;
}

static bool timer_is_periodic(const Apic *s)
{
    return (s->lvt[LVT_TIMER] & LVT_TIMER_MODE) == LVT_PERIODIC;
}

uint32_t apic_timer_current(const Apic *s)
{
    uint64_t gone = (uint64_t)(vclock_ns() - s->started) >> apic_timer_shift(s);

    if (!s->initial || s->expired || timer_is_deadline(s)) {
        return 0;
    }
    if (timer_is_periodic(s)) {
        return s->initial - gone % s->initial;
    }
    return gone < s->initial ? s->initial - gone : 0;
}

static void timer_arm_deadline(Apic *s, int64_t now)
{
    uint64_t tsc = x86_read_tsc(s->cpu), ns = 0;

    if (!s->deadline) {
        timer_del(&s->timer);
        return;
    }
    if (s->deadline > tsc) {
        /* round up, so that the TSC has got there when the timer fires; bounded, because the
         * guest may name any 64-bit value: rearmed then */
        ns = muldiv64(MIN(s->deadline - tsc, 1ull << 40), NS_PER_SEC, s->cpu->tsc_hz) + 1;
    }
    timer_mod(&s->timer, now + ns);
}

/* Set the timer for the first expiry after now. */
static void timer_arm(Apic *s, int64_t now)
{
    int64_t period = (int64_t)s->initial << apic_timer_shift(s), next;

    if (x86_irqchip) {
        timer_del(&s->timer);           /* the accelerator's strikes */
        return;
    }
    if (timer_is_deadline(s)) {
        timer_arm_deadline(s, now);
        return;
    }
    if (!period || s->expired || (s->lvt[LVT_TIMER] & LVT_MASKED)) {
        timer_del(&s->timer);
        return;
    }
    next = s->started + period;
    if (timer_is_periodic(s)) {
        next = s->started + ((now - s->started) / period + 1) * period;
        next = period < MIN_PERIOD_NS ? MAX(next, now + MIN_PERIOD_NS) : next;
    } else if (next <= now) {
        timer_del(&s->timer);           /* has struck already */
        return;
    }
    timer_mod(&s->timer, next);
}

void apic_timer_arm(Apic *s)
{
    timer_arm(s, vclock_ns());
}

static void apic_timer(void *opaque)
{
    Apic *s = opaque;

    if (!timer_is_deadline(s)) {
        apic_local(s, LVT_TIMER);
        timer_arm(s, vclock_ns());
    } else if (s->deadline && x86_read_tsc(s->cpu) >= s->deadline) {
        s->deadline = 0;
        apic_local(s, LVT_TIMER);
    } else {
        timer_arm(s, vclock_ns());
    }
}

void apic_timer_set_initial(Apic *s, uint32_t val)
{
    if (timer_is_deadline(s)) {
        return;                         /* "writes to the initial-count register are ignored" */
    }
    s->initial = val;
    s->expired = false;
    s->started = vclock_ns();
    timer_arm(s, s->started);
}

/* A new divisor counts on from the present count. */
void apic_timer_set_divide(Apic *s, uint32_t val)
{
    uint32_t left = apic_timer_current(s);
    int64_t now = vclock_ns();

    s->divide = val & 0xb;
    if (s->initial && left) {
        s->started = now - ((int64_t)(s->initial - left) << apic_timer_shift(s));
    }
    timer_arm(s, now);
}

/* Between one-shot and periodic mode the count goes on from where it is: from zero not at all. */
static void timer_rebase(Apic *s, int64_t now)
{
    uint32_t left = apic_timer_current(s);

    s->expired = s->initial && !left;
    s->started = now - ((int64_t)(s->initial - left) << apic_timer_shift(s));
}

void apic_timer_set_lvt(Apic *s, uint32_t val)
{
    uint32_t changed = s->lvt[LVT_TIMER] ^ val;
    bool to_or_from_deadline = (changed & LVT_TIMER_MODE)
                             && (timer_is_deadline(s) || (val & LVT_TIMER_MODE) == LVT_DEADLINE);

    if (changed & LVT_TIMER_MODE) {
        timer_rebase(s, vclock_ns());
    }
    s->lvt[LVT_TIMER] = val;
    if (to_or_from_deadline) {
        s->initial = 0;                 /* "transitioning between TSC-deadline mode and other
                                           timer modes also disarms the timer" */
        s->deadline = 0;
    }
    timer_arm(s, vclock_ns());
}

uint64_t apic_timer_get_deadline(Device *apic)
{
    Apic *s = (Apic *)apic;
    uint64_t val = 0;

    if (x86_irqchip) {
        x86_irqchip->lapic_msr(s->cpu, MSR_TSC_DEADLINE, false, &val);
        return val;
    }
    return timer_is_deadline(s) && s->deadline > x86_read_tsc(s->cpu) ? s->deadline : 0;
}

void apic_timer_set_deadline(Device *apic, uint64_t tsc)
{
    Apic *s = (Apic *)apic;

    if (x86_irqchip) {
        x86_irqchip->lapic_msr(s->cpu, MSR_TSC_DEADLINE, true, &tsc);
        return;
    }
    if (!timer_is_deadline(s)) {
        return;
    }
    s->deadline = tsc;
    if (tsc && x86_read_tsc(s->cpu) >= tsc) {
        s->deadline = 0;                /* a moment that has passed: at once */
        apic_local(s, LVT_TIMER);
    }
    timer_arm(s, vclock_ns());
}

void apic_timer_resume(Apic *s, uint32_t left)
{
    s->expired = s->initial && !left;
    s->started = vclock_ns() - ((int64_t)(s->initial - left) << apic_timer_shift(s));
}

void apic_timer_clear(Apic *s)
{
    s->initial = 0;
    s->expired = false;
    s->started = 0;
    s->deadline = 0;
    s->divide = 0;
    timer_del(&s->timer);
}

void apic_timer_init(Apic *s)
{
    timer_init(&s->timer, ORRERY_CLOCK_VIRTUAL, apic_timer, s);
}
