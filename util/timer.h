/* SPDX-License-Identifier: MIT */
/*
 * Clocks and timers.  Times are signed 64-bit nanoseconds.
 *
 *   CLOCK_VIRTUAL   stops while the VM is stopped; devices use this
 *   CLOCK_HOST      wall clock (UTC since 1970); jumps when the host's clock is set; RTC
 *   CLOCK_REAL      monotonic, never stops; user interface, timeouts
 *
 * Timers fire in the main loop under the big lock.  A timer belongs to its owner's struct;
 * timer_init before use, timer_del before the struct goes.  clock_ns may be called from any
 * thread, the rest needs the big lock.
 */
#ifndef UTIL_TIMER_H
#define UTIL_TIMER_H

#include <stdbool.h>
#include <stdint.h>

#define NS_PER_SEC 1000000000LL
#define NS_PER_MS  1000000LL
#define NS_PER_US  1000LL

typedef enum { ORRERY_CLOCK_VIRTUAL, ORRERY_CLOCK_HOST, ORRERY_CLOCK_REAL, ORRERY_CLOCKS } ClockId;

typedef struct Timer {
    ClockId clock;
    void (*cb)(void *opaque);
    void *opaque;
    int64_t expires;                    /* ns; -1 = not pending */
    int heap_index;                     /* this and the next: private to util/timer.c */
    uint64_t sequence;
} Timer;

int64_t clock_ns(ClockId clock);
static inline int64_t vclock_ns(void)
{
    return clock_ns(ORRERY_CLOCK_VIRTUAL);
}
/* The virtual clock runs or stands (VM run state).  qtest steps it by hand. */
void vclock_start(void);
void vclock_stop(void);
/* Run the timers that were due when it stopped, so that a saved state has none that are late. */
void vclock_settle(void);
bool vclock_running(void);              /* moves by itself: started and not manual */
void vclock_set_manual(bool on);        /* time moves by vclock_step_to only (qtest) */
void vclock_step_to(int64_t ns);        /* runs the timers on the way, in order */
int64_t vclock_save(void);
void vclock_restore(int64_t ns);

void timer_init(Timer *t, ClockId clock, void (*cb)(void *opaque), void *opaque);
void timer_mod(Timer *t, int64_t expires_ns);       /* in the past: fires as soon as possible */
void timer_del(Timer *t);
static inline bool timer_pending(const Timer *t)
{
    return t->expires >= 0;
}
/* Earliest expiry of a clock's timers, INT64_MAX if none.  qtest and HLT use it. */
int64_t timers_deadline(ClockId clock);
void timers_run(ClockId clock);
/* Called (any thread holding the bql) when the earliest deadline moved nearer, to wake the main loop. */
void timers_set_notify(void (*fn)(void));

/* a * b / c with a 128-bit product: clock conversions without overflow. */
static inline uint64_t muldiv64(uint64_t a, uint64_t b, uint64_t c)
{
    return (uint64_t)((unsigned __int128)a * b / c);
}

#endif
