/* SPDX-License-Identifier: MIT */
/*
 * What the files of the local APIC share.  [bql]
 */
#ifndef HW_INTC_APIC_INTERNAL_H
#define HW_INTC_APIC_INTERNAL_H

#include "hw/core/device.h"
#include "target-i386/cpu.h"
#include "util/timer.h"

enum { LVT_TIMER, LVT_THERMAL, LVT_PERF, LVT_LINT0, LVT_LINT1, LVT_ERROR, LVT_COUNT };

#define LVT_REMOTE_IRR (1u << 14)
#define LVT_LEVEL      (1u << 15)
#define LVT_MASKED     (1u << 16)
#define LVT_PERIODIC   (1u << 17)
#define LVT_DEADLINE   (2u << 17)
#define LVT_TIMER_MODE (3u << 17)

#define BASE_BSP       (1u << 8)
#define BASE_X2APIC    (1u << 10)
#define BASE_ENABLE    (1u << 11)
#define BASE_ADDR      0xfffffffff000ull
#define DEFAULT_ADDR   0xfee00000ull
#define SVR_ENABLE     0x100

#define ICR_LOGICAL    (1u << 11)
#define ICR_ASSERT     (1u << 14)
#define ICR_LEVEL      (1u << 15)

#define ESR_SEND_VECTOR    (1u << 5)
#define ESR_RECEIVE_VECTOR (1u << 6)
#define ESR_REGISTER       (1u << 7)

typedef struct Apic {
    Device dev;                         /* always first */
    X86CPU *cpu;
    uint64_t base;                      /* IA32_APIC_BASE */
    uint8_t id;                         /* xAPIC: writable; x2APIC uses cpu->apic_id */
    uint8_t tpr;
    uint32_t svr, ldr, dfr, esr, esr_new, divide;
    uint32_t isr[8], irr[8], tmr[8];
    uint32_t icr[2];
    uint32_t lvt[LVT_COUNT];
    bool lint[2];                       /* levels of the pins */
    bool extint;                        /* an ExtINT message waits for its INTA cycle */
    uint32_t initial;                   /* timer: initial count, 0 = stopped */
    int64_t started;                    /* ... and when it began */
    bool expired;                       /* struck in one-shot mode: stands until set again */
    uint64_t deadline;                  /* TSC value, 0 = disarmed */
    Timer timer;
    Region moved;                       /* the page, when it is not at FEE00000h */
    bool has_moved;
} Apic;

static inline bool apic_enabled(const Apic *s)
{
    return s->base & BASE_ENABLE;
}

static inline bool apic_x2(const Apic *s)
{
    return (s->base & (BASE_ENABLE | BASE_X2APIC)) == (BASE_ENABLE | BASE_X2APIC);
}

static inline bool apic_soft_enabled(const Apic *s)
{
    return apic_enabled(s) && (s->svr & SVR_ENABLE);
}

/* Sets of 256 vectors: IRR, ISR, TMR. */
static inline void set_bit(uint32_t *set, uint8_t n)
{
    set[n >> 5] |= 1u << (n & 31);
}

static inline void clear_bit(uint32_t *set, uint8_t n)
{
    set[n >> 5] &= ~(1u << (n & 31));
}

static inline bool test_bit(const uint32_t *set, uint8_t n)
{
    return set[n >> 5] >> (n & 31) & 1;
}

static inline int highest_bit(const uint32_t *set)
{
    for (int i = 7; i >= 0; i--) {
        if (set[i]) {
            return i * 32 + 31 - __builtin_clz(set[i]);
        }
    }
    return -1;
}

/* Processor priority: vectors of its class and below wait. */
uint8_t apic_ppr(const Apic *s);
/* An error is latched for the next write to ESR; the first of each kind interrupts. */
void apic_error(Apic *s, uint32_t bit);
/* A fixed or lowest-priority interrupt arrived. */
void apic_accept(Apic *s, uint8_t vector, bool level);
/* A message or local interrupt of some delivery mode arrived. */
void apic_take(Apic *s, uint8_t mode, uint8_t vector, bool level);

/* apic-bus.c: take part in it (true: as the first), leave it; what a write to the ICR sends;
 * the end of a level-triggered interrupt. */
bool apic_bus_join(Apic *s);
void apic_bus_leave(Apic *s);
void apic_send(Apic *s, uint32_t low, uint32_t dest);
void apic_bus_eoi(uint8_t vector);

/* Interrupt by entry n of the local vector table, unless it is masked. */
void apic_local(Apic *s, int n);

/* While the accelerator has the local APICs (else no effect): bring its state in; put it there. */
void apic_fetch(Apic *s);
void apic_store(Apic *s);

/* The timer's registers; apic_timer_arm after anything else that it depends on changed. */
void apic_timer_init(Apic *s);
void apic_timer_arm(Apic *s);
void apic_timer_clear(Apic *s);
uint32_t apic_timer_current(const Apic *s);
unsigned apic_timer_shift(const Apic *s);
/* It has `left` to count from now on. */
void apic_timer_resume(Apic *s, uint32_t left);
void apic_timer_set_initial(Apic *s, uint32_t val);
void apic_timer_set_divide(Apic *s, uint32_t val);
void apic_timer_set_lvt(Apic *s, uint32_t val);
uint64_t apic_timer_get_deadline(Device *apic);
void apic_timer_set_deadline(Device *apic, uint64_t tsc);

#endif
