/* SPDX-License-Identifier: MIT */
/*
 * 8254 programmable interval timer, ports 40h-43h.  Counter 0 is IRQ 0, counter 1 once made
 * DRAM refresh, counter 2 is the speaker's.
 *
 * Source: Intel 8254 data sheet (231164); mode names and figures are its.
 *
 * Nothing ticks: a counter is the input clock's tick at which it was loaded, and its count and
 * output are computed when somebody looks.  A timer runs only for counter 0, and only for
 * rising edges of OUT, because the interrupt controllers take edges: a pulse is sent there.
 *
 * While the accelerator has this chip (target-i386/irqchip.h) the state here follows it and
 * no timer runs.  Putting state there makes it begin its periods anew.
 */
#include "hw/timer/i8254.h"
#include "hw/intc/delivered.h"
#include "target-i386/irqchip.h"
#include "util/log.h"
#include "util/timer.h"

/* Control word: SC1 SC0 RW1 RW0 M2 M1 M0 BCD; SC = 3 is the read-back command */
#define CW_BCD          0x01
#define RB_STATUS_OFF   0x10
#define RB_COUNT_OFF    0x20

enum { RW_LATCH, RW_LSB, RW_MSB, RW_WORD };

#define ST_OUT          0x80
#define ST_NULL         0x40

/* More lost ticks than this are forgotten: the guest was not late, it was stopped. */
#define MAX_LOST        100000

typedef struct PitChannel {
    uint8_t mode, rw;               /* of the last control word; mode 0..5 */
    bool bcd, gate;
    bool counting;                  /* a count was loaded (modes 1, 5: and triggered) */
    bool null_count;                /* the count written last is not in the counter yet */
    bool reload;                    /* modes 2, 3: at next_at, next_count is loaded */
    bool write_msb, read_msb;       /* RW_WORD: the low byte was transferred */
    uint8_t write_lsb;
    uint8_t latched;                /* bytes of the latched count still to be read */
    uint16_t latch;
    bool status_latched;
    uint8_t status;
    uint32_t count;                 /* 1..65536 (10000 if BCD): what the counter counts down */
    uint32_t next_count;            /* count register: as written last */
    int64_t start;                  /* tick at which count was loaded */
    int64_t held;                   /* ticks counted when GATE fell; meaningful while !gate */
    int64_t next_at;
} PitChannel;

typedef struct I8254 {
    Device dev;                     /* always first */
    PitChannel ch[3];
    Timer timer;                    /* next rising edge of OUT 0, or a lost tick's turn */
    int64_t edge;                   /* tick of that rising edge, -1 = none to come */
    uint32_t lost;                  /* ticks still to be delivered */
    void (*watch[3])(void *opaque); /* or NULL */
    void *watch_opaque[3];
    bool irq0_off;                  /* the HPET has IRQ 0 */
    int policy;
    uint16_t iobase;
    IRQ out0;
    Region io;
} I8254;

static int64_t pit_tick(void)
{
    return muldiv64(vclock_ns(), PIT_HZ, NS_PER_SEC);
}

/* The first moment that belongs to a tick. */
static int64_t pit_tick_ns(int64_t tick)
{
    return muldiv64(tick, NS_PER_SEC, PIT_HZ) + 1;
}

static uint32_t pit_modulus(const PitChannel *c)
{
    return c->bcd ? 10000 : 65536;
}

static bool pit_is_periodic(const PitChannel *c)
{
    return c->mode == 2 || c->mode == 3;
}

/* Mode 3: OUT is high for the longer half. */
static uint32_t pit_high_half(const PitChannel *c)
{
    return (c->count + 1) / 2;
}

/* A count written while a periodic counter runs is loaded at the end of the half or full
 * period under way: do it if that moment has passed. */
static void pit_settle(PitChannel *c, int64_t now)
{
    if (!c->reload || now < c->next_at) {
        return;
    }
    /* In the low half of mode 3, the new period goes on with its own low half */
    bool low = c->mode == 3 && c->next_at - c->start == pit_high_half(c);
    c->count = c->next_count;
    c->start = low ? c->next_at - pit_high_half(c) : c->next_at;
    c->reload = c->null_count = false;
}

/* Ticks since the count was loaded. */
static int64_t pit_elapsed(PitChannel *c, int64_t now)
{
    pit_settle(c, now);
    /* GATE stops the counter except in modes 1 and 5, where its edge starts it */
    if (!c->gate && c->mode != 1 && c->mode != 5) {
        return c->held;
    }
    return now > c->start ? now - c->start : 0;
}

static bool pit_out(PitChannel *c, int64_t now)
{
    int64_t e = pit_elapsed(c, now);

    if (!c->counting) {
        return c->mode != 0;
    }
    switch (c->mode) {
    case 0:
    case 1:
        return e >= c->count;
    case 2:
        return !c->gate || e % c->count != c->count - 1;
    case 3:
        return !c->gate || e % c->count < pit_high_half(c);
    default:
        return e != c->count;
    }
}

/* The counting element, binary. */
static uint32_t pit_count(PitChannel *c, int64_t now)
{
    int64_t e = pit_elapsed(c, now);
    uint32_t mod = pit_modulus(c);

    if (!c->counting) {
        return c->count % mod;
    }
    switch (c->mode) {
    case 2:
        return (c->count - e % c->count) % mod;
    case 3:
        /* down by two; an odd count loses its lowest bit at load */
        e %= c->count;
        if (e >= pit_high_half(c)) {
            e -= pit_high_half(c);
        }
        return ((c->count & ~1u) - 2 * e) % mod;
    default:
        return (c->count + mod - e % mod) % mod;
    }
}

static uint16_t pit_count_reg(PitChannel *c, int64_t now)
{
    uint32_t n = pit_count(c, now);

    if (!c->bcd) {
        return n;
    }
    return n % 10 | n / 10 % 10 << 4 | n / 100 % 10 << 8 | n / 1000 % 10 << 12;
}

/* Ticks with OUT high among the first e of a count. */
static int64_t pit_high_of(const PitChannel *c, int64_t e)
{
    int64_t high = c->mode == 3 ? pit_high_half(c) : c->count - 1;

    switch (c->mode) {
    case 0:
    case 1:
        return e > c->count ? e - c->count : 0;
    case 2:
    case 3:
        return e / c->count * high + MIN(e % c->count, high);
    default:
        return e - (e > c->count);
    }
}

/* The same between two ticks; c changes as time goes by. */
static int64_t pit_high_between(PitChannel *c, int64_t from, int64_t to)
{
    bool stands = !c->counting || (!c->gate && c->mode != 1 && c->mode != 5);

    if (stands) {
        return pit_out(c, from) ? to - from : 0;
    }
    if (c->reload && from < c->next_at && c->next_at < to) {
        int64_t middle = c->next_at;
        return pit_high_between(c, from, middle) + pit_high_between(c, middle, to);
    }
    int64_t a = pit_elapsed(c, from), b = pit_elapsed(c, to - 1) + 1;
    return pit_high_of(c, b) - pit_high_of(c, a);
}

/* Tick of the first rising edge of OUT after `after`; -1 = none. */
static int64_t pit_next_edge(PitChannel *c, int64_t after)
{
    int64_t period = c->count, e;

    pit_settle(c, after);
    if (!c->counting || (!c->gate && c->mode != 1 && c->mode != 5)) {
        return -1;
    }
    e = after - c->start;
    switch (c->mode) {
    case 0:
    case 1:
        return e < c->count ? c->start + c->count : -1;
    case 4:
    case 5:
        return e <= c->count ? c->start + c->count + 1 : -1;
    default:
        if (c->reload) {
            /* The low half under way ends as it would; a high half ends without an edge */
            if (c->mode == 2 || c->next_at - c->start == period) {
                return c->next_at;
            }
            return c->next_at + c->next_count / 2;
        }
        if (e < 0) {
            return c->start + period;
        }
        return c->start + (e / period + 1) * period;
    }
}

/* ---- in the accelerator -------------------------------------------------------------- */

static void pit_fetch(I8254 *s)
{
    PitImage pit;

    if (!x86_irqchip_all()) {
        return;
    }
    x86_irqchip->get_pit(&pit);
    for (int n = 0; n < 3; n++) {
        const struct PitImageChannel *from = &pit.ch[n];
        PitChannel *c = &s->ch[n];
        int64_t now = pit_tick(), gone = muldiv64(from->age, PIT_HZ, NS_PER_SEC);
        *c = (PitChannel) {
            .mode = from->mode, .rw = from->rw, .bcd = from->bcd, .gate = from->gate,
            .counting = from->counting, .null_count = !from->counting,
            .write_msb = from->write_msb, .read_msb = from->read_msb,
            .write_lsb = from->write_lsb, .latched = from->latched, .latch = from->latch,
            .status_latched = from->status_latched, .status = from->status,
            .count = from->count, .next_count = from->count,
        };
        gone = pit_is_periodic(c) ? gone % c->count : MIN(gone, now);
        c->start = now - gone;
        c->held = c->gate ? 0 : gone;
    }
    s->irq0_off = pit.irq0_off;
    s->lost = 0;
}

static void pit_store(I8254 *s)
{
    PitImage pit = { .irq0_off = s->irq0_off };

    if (!x86_irqchip_all()) {
        return;
    }
    timer_del(&s->timer);
    for (int n = 0; n < 3; n++) {
        const PitChannel *c = &s->ch[n];
        pit.ch[n] = (struct PitImageChannel) {
            .mode = c->mode, .rw = c->rw, .bcd = c->bcd, .gate = c->gate,
            .counting = c->counting, .write_msb = c->write_msb, .read_msb = c->read_msb,
            .write_lsb = c->write_lsb, .latched = c->latched, .latch = c->latch,
            .status_latched = c->status_latched, .status = c->status,
            .count = c->reload ? c->next_count : c->count,
        };
    }
    x86_irqchip->put_pit(&pit);
    x86_irqchip->pit_reinject(s->policy != LOST_TICK_DISCARD);
}

/* Anything about counter 0 changed: when is its next edge? */
static void pit_rearm(I8254 *s, int64_t after)
{
    s->edge = pit_next_edge(&s->ch[0], after);
    if (s->edge < 0 || s->irq0_off) {
        timer_del(&s->timer);
    } else {
        timer_mod(&s->timer, pit_tick_ns(s->edge));
    }
}

/* OUT as a line: the level after each change that software makes. */
static void pit_update(I8254 *s, int n)
{
    int64_t now = pit_tick();

    if (n == 0 && !x86_irqchip_all()) {
        s->lost = 0;
        if (!s->irq0_off) {
            irq_set(&s->out0, pit_out(&s->ch[0], now));
        }
        pit_rearm(s, now);
    }
}

static bool pit_pulse(I8254 *s)
{
    irq_delivered_begin();
    irq_lower(&s->out0);
    irq_raise(&s->out0);
    return irq_delivered_end();
}

/*
 * A rising edge of OUT 0.  If the guest has not taken the previous tick, or the host ran us
 * late by whole periods, ticks are lost; the policy "delay" (and "slew") hands them out later,
 * half a period apart, as soon as the guest takes interrupts again.
 */
static void pit_timer(void *opaque)
{
    I8254 *s = opaque;
    PitChannel *c = &s->ch[0];
    int64_t now = pit_tick(), late;

    if (x86_irqchip_all()) {
        return;
    }
    if (s->edge >= 0 && now >= s->edge) {
        late = pit_is_periodic(c) && !c->reload ? (now - s->edge) / c->count : 0;
        s->lost += late + !pit_pulse(s);
        pit_rearm(s, now);
    } else if (s->lost) {
        s->lost -= pit_pulse(s);
        pit_rearm(s, now);
    }
    if (s->policy == LOST_TICK_DISCARD || s->lost > MAX_LOST || !pit_is_periodic(c)) {
        s->lost = 0;
    }
    if (s->lost && s->edge > now) {
        timer_mod(&s->timer, pit_tick_ns(now + (s->edge - now + 1) / 2));
    }
}

static void pit_load(PitChannel *c, int64_t now)
{
    c->count = c->next_count;
    c->start = now;
    c->held = 0;
    c->reload = c->null_count = false;
    c->counting = true;
}

/* Both bytes (or the only one) of a count were written. */
static void pit_write_count(PitChannel *c, uint16_t val)
{
    int64_t now = pit_tick();
    uint32_t n = val;

    if (c->bcd) {
        n = (val & 15) + (val >> 4 & 15) * 10 + (val >> 8 & 15) * 100 + (val >> 12) * 1000;
        n %= 10000;         /* digits above 9 are undefined */
    }
    pit_settle(c, now);
    c->next_count = n ? n : pit_modulus(c);
    c->null_count = true;
    if (c->mode == 1 || c->mode == 5) {
        return;             /* loaded by the trigger */
    }
    if (!c->counting || !pit_is_periodic(c) || !c->gate) {
        pit_load(c, now);
        return;
    }
    int64_t e = now - c->start, phase = e % c->count;
    int64_t left = c->count - phase;
    if (c->mode == 3 && phase < pit_high_half(c)) {
        left = pit_high_half(c) - phase;
    }
    /* Keep start in this period, so that pit_settle can tell the halves apart */
    c->start = now - phase;
    c->next_at = now + left;
    c->reload = true;
}

static void pit_write_counter(I8254 *s, int n, uint8_t val)
{
    PitChannel *c = &s->ch[n];

    switch (c->rw) {
    case RW_LSB:
        pit_write_count(c, val);
        break;
    case RW_MSB:
        pit_write_count(c, val << 8);
        break;
    default:
        c->write_msb = !c->write_msb;
        if (c->write_msb) {
            c->write_lsb = val;
            if (c->mode == 0 && c->counting) {
                /* the first byte stops the counter and lowers OUT */
                c->count = pit_count(c, pit_tick());
                c->counting = false;
            }
        } else {
            pit_write_count(c, val << 8 | c->write_lsb);
        }
    }
    pit_update(s, n);
}

static void pit_latch_count(PitChannel *c)
{
    if (!c->latched) {
        c->latch = pit_count_reg(c, pit_tick());
        c->latched = c->rw == RW_WORD ? 2 : 1;
        c->read_msb = false;
    }
}

static void pit_latch_status(PitChannel *c)
{
    if (!c->status_latched) {
        int64_t now = pit_tick();
        c->status = (pit_out(c, now) ? ST_OUT : 0) | (c->null_count ? ST_NULL : 0)
                  | c->rw << 4 | c->mode << 1 | c->bcd;
        c->status_latched = true;
    }
}

static void pit_read_back(I8254 *s, uint8_t val)
{
    for (int n = 0; n < 3; n++) {
        if (val & 2 << n) {
            if (!(val & RB_COUNT_OFF)) {
                pit_latch_count(&s->ch[n]);
            }
            if (!(val & RB_STATUS_OFF)) {
                pit_latch_status(&s->ch[n]);
            }
        }
    }
}

static void pit_control(I8254 *s, uint8_t val)
{
    int n = val >> 6;
    PitChannel *c;

    if (n == 3) {
        pit_read_back(s, val);
        return;
    }
    c = &s->ch[n];
    if ((val >> 4 & 3) == RW_LATCH) {
        pit_latch_count(c);
        return;
    }
    c->count = pit_count(c, pit_tick());    /* what reads see until a new count comes */
    c->rw = val >> 4 & 3;
    c->mode = val >> 1 & 7;
    if (c->mode > 5) {
        c->mode -= 4;                       /* M2 is a don't-care in modes 2 and 3 */
    }
    c->bcd = val & CW_BCD;
    c->counting = c->reload = false;
    c->null_count = true;
    c->write_msb = c->read_msb = c->status_latched = false;
    c->latched = 0;
    pit_update(s, n);
}

static uint8_t pit_read_counter(PitChannel *c)
{
    uint16_t val;

    if (c->status_latched) {
        c->status_latched = false;
        return c->status;
    }
    if (c->latched) {
        c->latched--;
        val = c->latch;
    } else {
        val = pit_count_reg(c, pit_tick());
    }
    switch (c->rw) {
    case RW_LSB:
        return val;
    case RW_MSB:
        return val >> 8;
    default:
        c->read_msb = !c->read_msb;
        return c->read_msb ? val : val >> 8;
    }
}

static uint64_t pit_read(void *opaque, hwaddr addr, unsigned size)
{
    I8254 *s = opaque;

    if (addr == 3) {
        return 0;                           /* the control word can't be read */
    }
    pit_fetch(s);
    uint8_t val = pit_read_counter(&s->ch[addr]);
    pit_store(s);
    return val;
}

/* The counter a write changes, -1 = none. */
static int pit_changed(hwaddr addr, uint8_t val)
{
    bool latch = val >> 6 == 3 || (val >> 4 & 3) == RW_LATCH;

    return addr != 3 ? (int)addr : latch ? -1 : val >> 6;
}

static void pit_tell(I8254 *s, int n)
{
    if (n >= 0 && s->watch[n]) {
        s->watch[n](s->watch_opaque[n]);
    }
}

static void pit_write(void *opaque, hwaddr addr, uint64_t val, unsigned size)
{
    pit_fetch(opaque);
    pit_tell(opaque, pit_changed(addr, val));
    if (addr == 3) {
        pit_control(opaque, val);
    } else {
        pit_write_counter(opaque, addr, val);
    }
    pit_store(opaque);
}

static const RegionOps pit_ops = {
    .read = pit_read, .write = pit_write, .min = 1, .max = 1,
};

void i8254_watch(Device *pit, int channel, void (*before)(void *opaque), void *opaque)
{
    I8254 *s = (I8254 *)pit;

    s->watch[channel] = before;
    s->watch_opaque[channel] = opaque;
}

int64_t i8254_tick(void)
{
    return pit_tick();
}

int64_t i8254_high(Device *pit, int channel, int64_t from, int64_t to)
{
    PitChannel c = ((I8254 *)pit)->ch[channel];     /* to may be in the future */

    return to > from ? pit_high_between(&c, from, to) : 0;
}

bool i8254_is_tone(Device *pit, int channel)
{
    const PitChannel *c = &((I8254 *)pit)->ch[channel];

    pit_fetch((I8254 *)pit);
    return c->counting && c->gate && pit_is_periodic(c) && c->count > 1;
}

void i8254_set_gate(Device *pit, int channel, bool level)
{
    I8254 *s = (I8254 *)pit;
    PitChannel *c = &s->ch[channel];
    int64_t now = pit_tick();

    pit_fetch(s);
    if (c->gate == level) {
        return;
    }
    pit_tell(s, channel);
    int64_t e = pit_elapsed(c, now);
    c->gate = level;
    if (!level) {
        c->held = e;
        if (c->reload) {                /* loaded by the next trigger */
            c->reload = false;
        }
    } else if (c->mode == 0 || c->mode == 4) {
        c->start = now - c->held;       /* goes on where it stood */
    } else if (c->counting || (c->null_count && !pit_is_periodic(c) && c->next_count)) {
        pit_load(c, now);               /* trigger */
    }
    pit_update(s, channel);
    pit_store(s);
}

bool i8254_get_gate(Device *pit, int channel)
{
    pit_fetch((I8254 *)pit);
    return ((I8254 *)pit)->ch[channel].gate;
}

bool i8254_get_out(Device *pit, int channel)
{
    pit_fetch((I8254 *)pit);
    return pit_out(&((I8254 *)pit)->ch[channel], pit_tick());
}

void i8254_connect(Device *pit, IRQ out0)
{
    ((I8254 *)pit)->out0 = out0;
}

void i8254_enable_irq0(Device *pit, bool on)
{
    I8254 *s = (I8254 *)pit;

    pit_fetch(s);
    if (!on) {
        irq_lower(&s->out0);
    }
    s->irq0_off = !on;
    pit_update(s, 0);
    pit_store(s);
}

static bool pit_realize(Device *dev, Error **err)
{
    I8254 *s = (I8254 *)dev;

    timer_init(&s->timer, ORRERY_CLOCK_VIRTUAL, pit_timer, s);
    region_init_io(&s->io, "pit", 4, &pit_ops, s);
    s->io.chip = REGION_CHIP_BOARD;
    region_map(dev->io, s->iobase, &s->io, 0);
    return true;
}

static void pit_unrealize(Device *dev)
{
    I8254 *s = (I8254 *)dev;

    timer_del(&s->timer);
    region_destroy(&s->io);
}

/* The data sheet leaves the counters undefined at power-on: here they stand until they are
 * programmed, so that code without a BIOS sees no interrupt it did not ask for. */
static void pit_reset(Device *dev)
{
    I8254 *s = (I8254 *)dev;

    for (int n = 0; n < 3; n++) {
        s->ch[n] = (PitChannel) {
            .mode = 3, .rw = RW_WORD, .gate = n != 2, .count = 65536, .next_count = 65536,
            .null_count = true,
        };
    }
    s->irq0_off = false;
    pit_update(s, 0);
    pit_store(s);
}

/* A state is saved as if the timer were here. */
static void pit_pre_save(void *opaque)
{
    I8254 *s = opaque;

    if (x86_irqchip_all()) {
        pit_fetch(s);
        pit_rearm(s, pit_tick());
    }
}

static bool pit_post_load(void *opaque, int version, Error **err)
{
    I8254 *s = opaque;

    for (int n = 0; n < 3; n++) {
        PitChannel *c = &s->ch[n];
        if (c->mode > 5 || c->rw < RW_LSB || c->rw > RW_WORD || c->latched > 2
            || !c->next_count || c->next_count > 65536 || c->count > 65536
            /* in mode 3 the period under way may have begun before time did */
            || (c->counting && !c->count) || c->start < -65536 || c->held < 0) {
            return fail(err, "i8254: impossible state of counter %d", n);
        }
    }
    pit_store(s);
    return true;
}

static const VMField pit_channel_fields[] = {
    VM_UINT(PitChannel, mode), VM_UINT(PitChannel, rw), VM_BOOL(PitChannel, bcd),
    VM_BOOL(PitChannel, gate), VM_BOOL(PitChannel, counting), VM_BOOL(PitChannel, null_count),
    VM_BOOL(PitChannel, reload), VM_BOOL(PitChannel, write_msb), VM_BOOL(PitChannel, read_msb),
    VM_UINT(PitChannel, write_lsb), VM_UINT(PitChannel, latched), VM_UINT(PitChannel, latch),
    VM_BOOL(PitChannel, status_latched), VM_UINT(PitChannel, status),
    VM_UINT(PitChannel, count), VM_UINT(PitChannel, next_count), VM_UINT(PitChannel, start),
    VM_UINT(PitChannel, held), VM_UINT(PitChannel, next_at),
    VM_DONE
};
static const VMState vm_pit_channel = { .name = "i8254-counter", .fields = pit_channel_fields };

static const VMField pit_fields[] = {
    VM_STRUCTS(I8254, ch, vm_pit_channel),
    VM_TIMER(I8254, timer),
    VM_UINT(I8254, edge),
    VM_UINT(I8254, lost),
    VM_BOOL(I8254, irq0_off),
    VM_DONE
};
static const VMState vm_pit = {
    .name = "i8254", .pre_save = pit_pre_save, .post_load = pit_post_load, .fields = pit_fields,
};

static const char *const pit_policies[] = { "discard", "delay", "slew", NULL };

static const Prop pit_props[] = {
    PROP_UINT("iobase", I8254, iobase, 0x40, "first of its four ports"),
    PROP_ENUM("lost_tick_policy", I8254, policy, LOST_TICK_DELAY, pit_policies,
              "what becomes of ticks the guest could not take: discard, delay"),
    PROP_DONE
};

static const DeviceType i8254 = {
    .name = "isa-pit", .desc = "8254 interval timer", .size = sizeof(I8254), .props = pit_props,
    .vmstate = &vm_pit, .realize = pit_realize, .reset = pit_reset, .unrealize = pit_unrealize,
    .no_user = true,
};
DEVICE_TYPE(i8254);
