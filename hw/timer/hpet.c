/* SPDX-License-Identifier: MIT */
/*
 * High precision event timer: a 64-bit counter at 100 MHz and 3 to 32 comparators, at FED00000h.
 *
 * Source: IA-PC HPET Specification 1.0a; register and bit names are its.
 *
 * Departure: a comparator written with a value the counter has just passed fires at once,
 * where hardware would wait for the counter to come round.  Between the guest's read of the
 * counter and its write of the comparator an emulator may take its time.
 */
#include "hw/timer/hpet.h"
#include "hw/intc/delivered.h"
#include "util/log.h"
#include "util/timer.h"

#define TIMERS_MIN    3
#define TIMERS_MAX    32
#define TICK_NS       10
#define PERIOD_FS     10000000ull           /* femtoseconds of a tick, for GCAP_ID */
#define JUST_PASSED   (1u << 30)            /* ticks: ten seconds late is still late */
#define MIN_WAIT_NS   10000                 /* a periodic comparator fires no faster */

#define GCAP_ID       0x000
#define GEN_CONF      0x010
#define GINTR_STA     0x020
#define MAIN_CNT      0x0f0
#define TIMER_REGS    0x100                 /* 32 bytes for each comparator: */
#define TN_CONF       0x00
#define TN_CMP        0x08
#define TN_FSB        0x10

#define CONF_ENABLE   0x1
#define CONF_LEGACY   0x2

#define TN_LEVEL      (1u << 1)
#define TN_INT        (1u << 2)
#define TN_PERIODIC   (1u << 3)
#define TN_PER_CAP    (1u << 4)
#define TN_SIZE_CAP   (1u << 5)
#define TN_VAL_SET    (1u << 6)
#define TN_32         (1u << 8)
#define TN_ROUTE(c)   ((c) >> 9 & 31)
#define TN_FSB_EN     (1u << 14)
#define TN_FSB_CAP    (1u << 15)
#define TN_WRITABLE   0x7f4eull

#define RTC_LINE      8
#define MAX_LOST      1000                  /* more: the guest will find out by other clocks */

struct Hpet;

typedef struct HpetTimer {
    uint64_t conf, cmp, fsb;
    uint64_t period;                        /* what was written last, for periodic mode */
    unsigned lost;                          /* ticks the guest has not had; not saved */
    Timer timer;
    struct Hpet *owner;
    unsigned n;
} HpetTimer;

typedef struct Hpet {
    Device dev;                             /* always first */
    HpetTimer t[TIMERS_MAX];
    uint64_t conf, status;
    uint64_t counter;                       /* when halted */
    uint64_t offset;                        /* running: counter = offset + ticks of the clock */
    bool rtc_level;                         /* the RTC's line, as it drives it */
    uint8_t timers;
    bool msi;
    uint32_t intcap;
    IRQ out[HPET_LINES];
    void (*legacy_hook)(void *opaque, bool legacy);
    void *legacy_opaque;
    Region io;
} Hpet;

static bool hpet_runs(const Hpet *s)
{
    return s->conf & CONF_ENABLE;
}

static bool hpet_legacy(const Hpet *s)
{
    return s->conf & CONF_LEGACY;
}

static uint64_t hpet_ticks(void)
{
    return vclock_ns() / TICK_NS;
}

static uint64_t hpet_counter(const Hpet *s)
{
    return hpet_runs(s) ? s->offset + hpet_ticks() : s->counter;
}

static uint64_t timer_mask(const HpetTimer *t)
{
    return t->conf & TN_32 ? 0xffffffff : ~0ull;
}

/* ---- outputs --------------------------------------------------------------------------- */

static IRQ *timer_line(HpetTimer *t)
{
    Hpet *s = t->owner;

    if (hpet_legacy(s) && t->n < 2) {
        return &s->out[t->n == 0 ? 0 : RTC_LINE];
    }
    return &s->out[TN_ROUTE(t->conf)];
}

/* False: an edge that the guest has not seen, since it has not taken the one before. */
static bool timer_fire(HpetTimer *t)
{
    Hpet *s = t->owner;

    if (t->conf & TN_LEVEL) {
        s->status |= 1u << t->n;
    }
    if (!(t->conf & TN_INT)) {
        return true;
    }
    if ((t->conf & TN_FSB_EN) && (t->conf & TN_FSB_CAP)) {
        address_space_st(&address_space_memory, t->fsb >> 32, (uint32_t)t->fsb, 4);
    } else if (t->conf & TN_LEVEL) {
        irq_raise(timer_line(t));
    } else {
        irq_delivered_begin();
        irq_pulse(timer_line(t));
        return irq_delivered_end();
    }
    return true;
}

static void timer_quiet(HpetTimer *t)
{
    if (t->conf & TN_LEVEL) {
        irq_lower(timer_line(t));
    }
}

/* Raise or lower a level-triggered output after its status or configuration changed. */
static void timer_update_level(HpetTimer *t)
{
    if ((t->conf & TN_LEVEL) && !(t->conf & TN_FSB_EN)) {
        irq_set(timer_line(t), (t->conf & TN_INT) && (t->owner->status >> t->n & 1));
    }
}

/* ---- comparators ----------------------------------------------------------------------- */

/* Ticks until the counter reaches the comparator; 0 if it is there or has just passed it. */
static uint64_t timer_distance(const HpetTimer *t, uint64_t now)
{
    uint64_t mask = timer_mask(t), behind = (now - t->cmp) & mask;

    return behind < JUST_PASSED ? 0 : (t->cmp - now) & mask;
}

static void timer_at(HpetTimer *t, uint64_t ticks)
{
    /* a comparator may be centuries away: look again in an hour */
    uint64_t ns = MIN(ticks, 3600ull * NS_PER_SEC / TICK_NS) * TICK_NS;
    int64_t now = vclock_ns();
    timer_mod(&t->timer, now / TICK_NS * TICK_NS + ns);
}

static bool timer_wanted(const HpetTimer *t)
{
    return hpet_runs(t->owner) && (t->conf & (TN_INT | TN_LEVEL))
        && !((t->conf & TN_PERIODIC) && !t->period)
        && ((t->conf & TN_32) || t->cmp != ~0ull);     /* as after reset: never */
}

static void timer_arm(HpetTimer *t)
{
    t->lost = 0;
    if (timer_wanted(t)) {
        timer_at(t, timer_distance(t, hpet_counter(t->owner)));
    } else {
        timer_del(&t->timer);
    }
}

/* The next tick; or one that was lost, half a period after the last. */
static void timer_next(HpetTimer *t, uint64_t now)
{
    uint64_t next = timer_distance(t, now);

    timer_at(t, MAX(t->lost ? MIN(next, t->period / 2) : next, MIN_WAIT_NS / TICK_NS));
}

/*
 * A periodic comparator may come late by whole periods when the host is busy, or fire while the
 * guest has its vCPU stand still.  Guests count such ticks (Linux does, to find out whether the
 * timer is connected), so they get them later, as from the 8254.
 */
static void hpet_timer(void *opaque)
{
    HpetTimer *t = opaque;
    uint64_t now = hpet_counter(t->owner), mask = timer_mask(t);

    if (!timer_wanted(t)) {
        return;
    }
    if (timer_distance(t, now) && t->lost) {
        t->lost -= timer_fire(t);
        timer_next(t, now);
        return;
    }
    if (timer_distance(t, now)) {
        timer_arm(t);                       /* that was only the hourly look */
        return;
    }
    if (t->conf & TN_PERIODIC) {
        uint64_t behind = (now - t->cmp) & mask;
        t->cmp = (t->cmp + (behind / t->period + 1) * t->period) & mask;
        uint64_t lost = t->lost + behind / t->period + !timer_fire(t);
        t->lost = MIN(lost, MAX_LOST);
        timer_next(t, now);
        return;
    }
    if (t->conf & TN_32) {
        timer_at(t, 1ull << 32);            /* the low half comes round */
    }
    timer_fire(t);
}

static void hpet_arm_all(Hpet *s)
{
    for (unsigned n = 0; n < s->timers; n++) {
        timer_arm(&s->t[n]);
    }
}

/* ---- registers ------------------------------------------------------------------------- */

static void hpet_set_legacy(Hpet *s, bool on)
{
    if (s->legacy_hook) {
        s->legacy_hook(s->legacy_opaque, on);
    }
    irq_set(&s->out[RTC_LINE], on ? 0 : s->rtc_level);
}

static void hpet_write_conf(Hpet *s, uint64_t val)
{
    uint64_t old = s->conf, now = hpet_counter(s);

    if ((old ^ val) & CONF_LEGACY) {
        for (unsigned n = 0; n < 2; n++) {
            timer_quiet(&s->t[n]);
        }
    }
    s->conf = val & (CONF_ENABLE | CONF_LEGACY);
    if (!(old & CONF_ENABLE) && hpet_runs(s)) {
        s->offset = s->counter - hpet_ticks();
        hpet_arm_all(s);
        for (unsigned n = 0; n < s->timers; n++) {
            timer_update_level(&s->t[n]);
        }
    } else if ((old & CONF_ENABLE) && !hpet_runs(s)) {
        s->counter = now;
        hpet_arm_all(s);
        for (unsigned n = 0; n < s->timers; n++) {
            timer_quiet(&s->t[n]);
        }
    }
    if ((old ^ s->conf) & CONF_LEGACY) {
        hpet_set_legacy(s, hpet_legacy(s));
    }
}

/* Writing 1 ends a level-triggered interrupt. */
static void hpet_write_status(Hpet *s, uint64_t val)
{
    s->status &= ~val;
    for (unsigned n = 0; n < s->timers; n++) {
        if (val >> n & 1) {
            timer_update_level(&s->t[n]);
        }
    }
}

static void hpet_write_counter(Hpet *s, uint64_t val)
{
    if (hpet_runs(s)) {
        LOG_GUEST("hpet: the counter is written while it runs\n");
        s->offset = val - hpet_ticks();
        hpet_arm_all(s);
    } else {
        s->counter = val;
    }
}

static void timer_write_conf(HpetTimer *t, uint64_t val)
{
    uint64_t mask = TN_WRITABLE & ~(t->conf & TN_FSB_CAP ? 0 : (uint64_t)TN_FSB_EN);

    timer_quiet(t);
    t->conf = (t->conf & ~mask) | (val & mask);
    t->cmp &= timer_mask(t);
    t->period &= timer_mask(t);
    if (!(t->conf & TN_LEVEL)) {
        t->owner->status &= ~(1ull << t->n);
    }
    timer_update_level(t);
    timer_arm(t);
}

/* In periodic mode a write sets the period; with VAL_SET also the next match itself. */
static void timer_write_cmp(HpetTimer *t, uint64_t val, uint64_t half)
{
    half &= timer_mask(t);
    val &= half;
    if (!(t->conf & TN_PERIODIC) || (t->conf & TN_VAL_SET)) {
        t->cmp = (t->cmp & ~half) | val;
    }
    if (t->conf & TN_PERIODIC) {
        t->period = ((t->period & ~half) | val) & timer_mask(t) >> 1;
    }
    t->conf &= ~(uint64_t)TN_VAL_SET;
    timer_arm(t);
}

static uint64_t hpet_read_reg(Hpet *s, unsigned reg)
{
    if (reg >= TIMER_REGS) {
        HpetTimer *t = &s->t[(reg - TIMER_REGS) / 32];
        if (t->n >= s->timers) {
            return 0;
        }
        switch (reg & 31) {
        case TN_CONF:
            return t->conf & ~(uint64_t)TN_VAL_SET;
        case TN_CMP:
            return t->cmp;
        case TN_FSB:
            return t->fsb;
        }
        return 0;
    }
    switch (reg) {
    case GCAP_ID:
        return PERIOD_FS << 32 | 0x8086a001 | (s->timers - 1) << 8;
    case GEN_CONF:
        return s->conf;
    case GINTR_STA:
        return s->status;
    case MAIN_CNT:
        return hpet_counter(s);
    }
    return 0;
}

/* half: the bits that are written (both halves, or one; val holds the whole register). */
static void hpet_write_reg(Hpet *s, unsigned reg, uint64_t val, uint64_t half)
{
    if (reg >= TIMER_REGS) {
        HpetTimer *t = &s->t[(reg - TIMER_REGS) / 32];
        if (t->n >= s->timers) {
            return;
        }
        switch (reg & 31) {
        case TN_CONF:
            timer_write_conf(t, val);
            break;
        case TN_CMP:
            timer_write_cmp(t, val, half);
            break;
        case TN_FSB:
            t->fsb = val;
            break;
        }
        return;
    }
    switch (reg) {
    case GEN_CONF:
        hpet_write_conf(s, val);
        break;
    case GINTR_STA:
        hpet_write_status(s, val);
        break;
    case MAIN_CNT:
        hpet_write_counter(s, val);
        break;
    default:
        LOG_GUEST("hpet: register %03xh can't be written\n", reg);
    }
}

static uint64_t hpet_read(void *opaque, hwaddr addr, unsigned size)
{
    uint64_t val = hpet_read_reg(opaque, addr & ~7u) >> (addr & 7) * 8;
    return size == 8 ? val : (uint32_t)val;
}

/* Half a register: the other half keeps its value. */
static void hpet_write(void *opaque, hwaddr addr, uint64_t val, unsigned size)
{
    unsigned reg = addr & ~7u, shift = (addr & 7) * 8;
    uint64_t half = ~0ull, old;

    if (size < 8) {
        half = 0xffffffffull << shift;
        old = reg == GINTR_STA ? 0 : hpet_read_reg(opaque, reg);
        val = (old & ~half) | (val << shift & half);
        if (reg >= TIMER_REGS && (reg & 31) == TN_CONF && shift) {
            return;                         /* only capabilities there */
        }
    }
    hpet_write_reg(opaque, reg, val, half);
}

static const RegionOps hpet_ops = {
    .read = hpet_read, .write = hpet_write, .min = 4, .max = 8, .valid_min = 4,
};

/* ---- device ---------------------------------------------------------------------------- */

void hpet_connect(Device *hpet, int n, IRQ irq)
{
    ((Hpet *)hpet)->out[n] = irq;
}

void hpet_set_legacy_hook(Device *hpet, void (*fn)(void *opaque, bool legacy), void *opaque)
{
    ((Hpet *)hpet)->legacy_hook = fn;
    ((Hpet *)hpet)->legacy_opaque = opaque;
}

/* The RTC's interrupt, which passes through unless timer 1 has taken its place. */
static void hpet_irq_in(void *dev, int n, int level)
{
    Hpet *s = dev;

    s->rtc_level = level;
    if (!hpet_legacy(s)) {
        irq_set(&s->out[RTC_LINE], level);
    }
}

static bool hpet_realize(Device *dev, Error **err)
{
    Hpet *s = (Hpet *)dev;

    if (s->timers < TIMERS_MIN || s->timers > TIMERS_MAX) {
        return fail(err, "hpet: timers=%u: use %d to %d", s->timers, TIMERS_MIN, TIMERS_MAX);
    }
    for (unsigned n = 0; n < TIMERS_MAX; n++) {
        s->t[n].owner = s;
        s->t[n].n = n;
        timer_init(&s->t[n].timer, ORRERY_CLOCK_VIRTUAL, hpet_timer, &s->t[n]);
    }
    region_init_io(&s->io, "hpet", 0x400, &hpet_ops, s);
    region_map(dev->mem, HPET_BASE, &s->io, 0);
    return true;
}

static void hpet_unrealize(Device *dev)
{
    Hpet *s = (Hpet *)dev;

    for (unsigned n = 0; n < TIMERS_MAX; n++) {
        timer_del(&s->t[n].timer);
    }
    region_destroy(&s->io);
}

static void hpet_reset(Device *dev)
{
    Hpet *s = (Hpet *)dev;

    for (unsigned n = 0; n < TIMERS_MAX; n++) {
        HpetTimer *t = &s->t[n];
        timer_quiet(t);
        timer_del(&t->timer);
        t->conf = (uint64_t)s->intcap << 32 | TN_PER_CAP | TN_SIZE_CAP
                | (s->msi ? TN_FSB_CAP : 0);
        t->cmp = ~0ull;
        t->fsb = t->period = 0;
    }
    s->conf = s->status = s->counter = s->offset = 0;
    hpet_set_legacy(s, false);
}

static void hpet_pre_save(void *opaque)
{
    Hpet *s = opaque;

    s->counter = hpet_counter(s);
}

static bool hpet_post_load(void *opaque, int version, Error **err)
{
    Hpet *s = opaque;

    /* whoever lost IRQ 0 to us has that in its own state */
    s->offset = s->counter - hpet_ticks();
    hpet_arm_all(s);
    return true;
}

static const VMField hpet_timer_fields[] = {
    VM_UINT(HpetTimer, conf), VM_UINT(HpetTimer, cmp), VM_UINT(HpetTimer, fsb),
    VM_UINT(HpetTimer, period),
    VM_DONE
};
static const VMState vm_hpet_timer = { .name = "hpet-timer", .fields = hpet_timer_fields };

static const VMField hpet_fields[] = {
    VM_STRUCTS(Hpet, t, vm_hpet_timer), VM_UINT(Hpet, conf), VM_UINT(Hpet, status),
    VM_UINT(Hpet, counter), VM_BOOL(Hpet, rtc_level),
    VM_DONE
};
static const VMState vm_hpet = {
    .name = "hpet", .pre_save = hpet_pre_save, .post_load = hpet_post_load,
    .fields = hpet_fields,
};

static const Prop hpet_props[] = {
    PROP_UINT("timers", Hpet, timers, TIMERS_MIN, "comparators, 3 to 32"),
    PROP_BOOL("msi", Hpet, msi, false, "offer interrupts by memory write (FSB)"),
    PROP_UINT("hpet-intcap", Hpet, intcap, 4, "lines a comparator may be routed to, bit map"),
    PROP_DONE
};

static const DeviceType hpet = {
    .name = "hpet", .desc = "high precision event timer", .size = sizeof(Hpet),
    .props = hpet_props, .vmstate = &vm_hpet, .realize = hpet_realize, .reset = hpet_reset,
    .unrealize = hpet_unrealize, .irq_in = hpet_irq_in, .irq_inputs = 1, .no_user = true,
};
DEVICE_TYPE(hpet);
