/* SPDX-License-Identifier: MIT */
/*
 * What the files of the local APIC share: apic.c and apic-timer.c.  [bql]
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
