/* SPDX-License-Identifier: MIT */
/*
 * The fixed ACPI registers that every power management chip has: PM1 events and control, the
 * PM timer, and a block of general purpose events.  Chips embed these.  [bql]
 *
 * Source: ACPI Specification 6.3, chapter 4.8.
 */
#ifndef HW_ACPI_PM1_H
#define HW_ACPI_PM1_H

#include "hw/core/irq.h"
#include "memory/memory.h"
#include "migration/vmstate.h"
#include "util/timer.h"

/* PM1_STS and PM1_EN */
#define PM1_TMR     0x0001
#define PM1_GBL     0x0020
#define PM1_PWRBTN  0x0100
#define PM1_SLPBTN  0x0200
#define PM1_RTC     0x0400
#define PM1_WAK     0x8000
/* PM1_CNT */
#define PM1_SCI_EN  0x0001
#define PM1_SLP_TYP_SHIFT 10
#define PM1_SLP_EN  0x2000

#define PM_TIMER_HZ 3579545

typedef struct Pm1 {
    Region events, control, timer_io, gpe;
    uint16_t sts, en, cnt;
    uint16_t gpe_sts, gpe_en;
    int64_t overflow_at;                /* PM timer count at which TMR_STS is set next */
    Timer timer;                        /* for that, while TMR_EN is set */
    IRQ sci;
    bool sci_extra;                     /* another source in the chip wants the SCI */
    /* The guest wrote SLP_EN. */
    void (*sleep)(void *opaque, unsigned type);
    void *opaque;
} Pm1;

extern const VMState vm_pm1;

/* Events at +0, control at +4, timer at +8 of pm; the GPE block at gpe_base of io. */
void pm1_init(Pm1 *p, Region *pm, Region *io, uint16_t gpe_base);
void pm1_exit(Pm1 *p);
void pm1_reset(Pm1 *p);
/* An event bit of PM1_STS. */
void pm1_event(Pm1 *p, uint16_t bits);
void pm1_update(Pm1 *p);                /* the SCI's level */
/* ACPI mode on or off, by the SMI command port. */
void pm1_set_acpi(Pm1 *p, bool on);

#endif
