/* SPDX-License-Identifier: MIT */
/*
 * Fixed ACPI registers.
 *
 * Source: ACPI Specification 6.3: 4.8.3.1 PM1 event grouping, 4.8.3.2 PM1 control,
 * 4.8.3.3 PM timer, 4.8.4.1 general purpose events.
 *
 *     +0  PM1_STS  write 1 to clear       gpe +0  GPE0_STS  write 1 to clear
 *     +2  PM1_EN                              +2  GPE0_EN
 *     +4  PM1_CNT
 *     +8  PM_TMR   24 bits at 3.579545 MHz; TMR_STS at each change of bit 23
 */
#include "hw/acpi/pm1.h"
#include "util/bits.h"

#define TIMER_MASK  0xffffff
#define TIMER_HALF  0x800000

static int64_t timer_count(void)
{
    return muldiv64(vclock_ns(), PM_TIMER_HZ, NS_PER_SEC);
}

/* TMR_STS needs no timer of ours while nobody waits for it: it is computed at a look. */
static void settle_timer(Pm1 *p)
{
    int64_t now = timer_count();

    if (now >= p->overflow_at) {
        p->sts |= PM1_TMR;
        p->overflow_at = (now | (TIMER_HALF - 1)) + 1;
    }
}

static void arm_timer(Pm1 *p)
{
    if ((p->en & PM1_TMR) && !(p->sts & PM1_TMR)) {
        timer_mod(&p->timer, muldiv64(p->overflow_at, NS_PER_SEC, PM_TIMER_HZ) + 1);
    } else {
        timer_del(&p->timer);
    }
}

void pm1_update(Pm1 *p)
{
    const uint16_t can_interrupt = PM1_TMR | PM1_GBL | PM1_PWRBTN | PM1_SLPBTN | PM1_RTC;

    settle_timer(p);
    irq_set(&p->sci, (p->sts & p->en & can_interrupt) || (p->gpe_sts & p->gpe_en)
                     || p->sci_extra);
    arm_timer(p);
}

static void timer_fired(void *opaque)
{
    pm1_update(opaque);
}

void pm1_event(Pm1 *p, uint16_t bits)
{
    p->sts |= bits;
    pm1_update(p);
}

void pm1_set_acpi(Pm1 *p, bool on)
{
    p->cnt = (p->cnt & ~PM1_SCI_EN) | (on ? PM1_SCI_EN : 0);
}

/* ---- registers ----------------------------------------------------------------------- */

static uint64_t events_read(void *opaque, hwaddr addr, unsigned size)
{
    Pm1 *p = opaque;

    settle_timer(p);
    return (addr & 2 ? p->en : p->sts) >> 8 * (addr & 1);
}

static void events_write(void *opaque, hwaddr addr, uint64_t val, unsigned size)
{
    Pm1 *p = opaque;
    unsigned shift = 8 * (addr & 1);

    settle_timer(p);
    if (addr & 2) {
        p->en = deposit32(p->en, shift, 8 * size, val);
    } else {
        p->sts &= ~(val << shift);
    }
    pm1_update(p);
}

static uint64_t control_read(void *opaque, hwaddr addr, unsigned size)
{
    return ((Pm1 *)opaque)->cnt;
}

static void control_write(void *opaque, hwaddr addr, uint64_t val, unsigned size)
{
    Pm1 *p = opaque;

    p->cnt = val & ~PM1_SLP_EN;
    if (val & PM1_SLP_EN) {
        p->sleep(p->opaque, val >> PM1_SLP_TYP_SHIFT & 7);
    }
}

static uint64_t timer_read(void *opaque, hwaddr addr, unsigned size)
{
    return timer_count() & TIMER_MASK;
}

static void timer_write(void *opaque, hwaddr addr, uint64_t val, unsigned size)
{
}

static uint64_t gpe_read(void *opaque, hwaddr addr, unsigned size)
{
    Pm1 *p = opaque;
    return (addr & 2 ? p->gpe_en : p->gpe_sts) >> 8 * (addr & 1);
}

static void gpe_write(void *opaque, hwaddr addr, uint64_t val, unsigned size)
{
    Pm1 *p = opaque;
    unsigned shift = 8 * (addr & 1);

    if (addr & 2) {
        p->gpe_en = deposit32(p->gpe_en, shift, 8 * size, val);
    } else {
        p->gpe_sts &= ~(val << shift);
    }
    pm1_update(p);
}

static const RegionOps events_ops = {
    .read = events_read, .write = events_write, .min = 1, .max = 2,
};
static const RegionOps control_ops = {
    .read = control_read, .write = control_write, .min = 2, .max = 2, .merge = true,
};
static const RegionOps timer_ops = {
    .read = timer_read, .write = timer_write, .min = 4, .max = 4,
};
static const RegionOps gpe_ops = {
    .read = gpe_read, .write = gpe_write, .min = 1, .max = 2,
};

/* ---- life ---------------------------------------------------------------------------- */

void pm1_init(Pm1 *p, Region *pm, Region *io, uint16_t gpe_base)
{
    timer_init(&p->timer, ORRERY_CLOCK_VIRTUAL, timer_fired, p);
    region_init_io(&p->events, "acpi-evt", 4, &events_ops, p);
    region_map(pm, 0, &p->events, 0);
    region_init_io(&p->control, "acpi-cnt", 2, &control_ops, p);
    region_map(pm, 4, &p->control, 0);
    region_init_io(&p->timer_io, "acpi-tmr", 4, &timer_ops, p);
    region_map(pm, 8, &p->timer_io, 0);
    region_init_io(&p->gpe, "acpi-gpe0", 4, &gpe_ops, p);
    region_map(io, gpe_base, &p->gpe, 0);
}

void pm1_exit(Pm1 *p)
{
    timer_del(&p->timer);
    region_destroy(&p->events);
    region_destroy(&p->control);
    region_destroy(&p->timer_io);
    region_destroy(&p->gpe);
}

void pm1_reset(Pm1 *p)
{
    p->sts = p->en = p->cnt = p->gpe_sts = p->gpe_en = 0;
    p->sci_extra = false;
    p->overflow_at = (timer_count() | (TIMER_HALF - 1)) + 1;
    pm1_update(p);
}

static bool pm1_post_load(void *opaque, int version, Error **err)
{
    Pm1 *p = opaque;

    if (p->overflow_at < 0 || p->overflow_at > INT64_MAX / 2) {
        return fail(err, "PM timer: impossible time of overflow");
    }
    arm_timer(p);
    return true;
}

static const VMField pm1_fields[] = {
    VM_UINT(Pm1, sts), VM_UINT(Pm1, en), VM_UINT(Pm1, cnt), VM_UINT(Pm1, gpe_sts),
    VM_UINT(Pm1, gpe_en), VM_UINT(Pm1, overflow_at), VM_BOOL(Pm1, sci_extra),
    VM_DONE
};
const VMState vm_pm1 = { .name = "acpi-pm1", .post_load = pm1_post_load, .fields = pm1_fields };
