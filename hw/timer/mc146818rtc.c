/* SPDX-License-Identifier: MIT */
/*
 * MC146818 real-time clock with 128 bytes of battery-backed RAM; ports 70h-71h, IRQ 8.
 *
 * Source: Motorola MC146818 data sheet; the names of bits are its.  The century is at 32h (and
 * 37h), where ACPI's FADT and PS/2 firmware look for it.
 *
 * The calendar is arithmetic on a host clock: seconds since 1970 = base_sec + whole seconds
 * since div_ns, the moment when the divider chain passed zero.  Flags of register C are brought
 * up to date when somebody looks, and a timer runs only while an interrupt that is enabled and
 * not yet pending can come.  Not modelled: other crystals than 32768 Hz, daylight saving (DSE),
 * the SQW pin.
 */
#include "hw/timer/mc146818rtc.h"
#include "hw/core/sysctl.h"
#include "hw/intc/delivered.h"
#include "hw/isa/isa.h"
#include "util/timer.h"
#include <stdio.h>
#include <time.h>

enum { RTC_SEC, RTC_SEC_ALARM, RTC_MIN, RTC_MIN_ALARM, RTC_HOUR, RTC_HOUR_ALARM, RTC_WDAY,
       RTC_MDAY, RTC_MONTH, RTC_YEAR, RTC_A, RTC_B, RTC_C, RTC_D,
       RTC_CENTURY = 0x32, RTC_CENTURY_PS2 = 0x37, CMOS_SIZE = 0x80 };

#define A_UIP     0x80      /* update in progress */
#define A_DV      0x70      /* divider control: 11x holds it in reset */
#define A_DV_HOLD 0x60
#define A_RS      0x0f      /* rate of the periodic interrupt */
#define B_SET     0x80      /* no updates: the calendar can be written */
#define B_PIE     0x40
#define B_AIE     0x20
#define B_UIE     0x10
#define B_SQWE    0x08
#define B_DM      0x04      /* binary, else BCD */
#define B_24H     0x02
#define C_IRQF    0x80
#define C_PF      0x40      /* the flags sit where their enable bits sit in register B */
#define C_AF      0x20
#define C_UF      0x10
#define D_VRT     0x80      /* RAM and time valid */
#define HOUR_PM   0x80
#define ALARM_ANY 0xc0

#define TICK_HZ   32768
/* UIP rises 244 us before an update cycle, which takes 1984 us and ends with the new time. */
#define UIP_NS    (244000 + 1984000)
#define MAX_LOST  100000

/* -rtc: what time it is when the machine starts, and which clock drives it */
static enum { BASE_UTC, BASE_LOCALTIME, BASE_DATE } conf_base;
static int64_t conf_date;                   /* BASE_DATE: seconds since 1970 */
static ClockId conf_clock = ORRERY_CLOCK_HOST;
static bool conf_slew;

void (*rtc_change_hook)(int64_t offset);

typedef struct Rtc {
    Device dev;                 /* always first */
    uint8_t cmos[CMOS_SIZE];    /* time bytes are current only while updates are held */
    uint8_t index;
    int64_t base_sec;           /* calendar = base_sec + (clock - div_ns) / 1 s */
    int64_t div_ns;
    uint8_t wday_skew;          /* weekday as set by the guest minus the true one, mod 7 */
    int64_t seen_sec;           /* calendar second up to which UF and AF are accounted */
    int64_t seen_tick;          /* 32768 Hz tick up to which PF is accounted */
    uint32_t lost;              /* periodic interrupts to make up for */
    int64_t saved_ns;           /* the clock when the state was saved */
    int64_t first_base, first_div;  /* as at start: distance to them is what the guest changed */
    Timer timer;
    int policy;
    uint32_t base_year;
    uint8_t irq_no;
    uint16_t iobase;
    IRQ irq;
    Region io;
} Rtc;

static int64_t rtc_clock(void)
{
    return clock_ns(conf_clock);
}

static int64_t floor_div(int64_t a, int64_t b)
{
    int64_t q = a / b;
    return a % b < 0 ? q - 1 : q;
}

/* Does the calendar advance? */
static bool rtc_runs(const Rtc *s)
{
    return !(s->cmos[RTC_B] & B_SET) && (s->cmos[RTC_A] & A_DV_HOLD) != A_DV_HOLD;
}

static int64_t rtc_sec_at(const Rtc *s, int64_t ns)
{
    return s->base_sec + floor_div(ns - s->div_ns, NS_PER_SEC);
}

/* When the calendar becomes sec. */
static int64_t rtc_ns_of(const Rtc *s, int64_t sec)
{
    return s->div_ns + (sec - s->base_sec) * NS_PER_SEC;
}

static int64_t rtc_tick_at(const Rtc *s, int64_t ns)
{
    int64_t e = ns - s->div_ns;
    int64_t sec = floor_div(e, NS_PER_SEC);
    return sec * TICK_HZ + (e - sec * NS_PER_SEC) * TICK_HZ / NS_PER_SEC;
}

static int64_t rtc_ns_of_tick(const Rtc *s, int64_t tick)
{
    int64_t sec = floor_div(tick, TICK_HZ);
    return s->div_ns + sec * NS_PER_SEC
         + ((tick - sec * TICK_HZ) * NS_PER_SEC + TICK_HZ - 1) / TICK_HZ;
}

/* Ticks between periodic interrupts, 0 = none. */
static unsigned rtc_period(const Rtc *s)
{
    unsigned rs = s->cmos[RTC_A] & A_RS;

    if ((s->cmos[RTC_A] & A_DV_HOLD) == A_DV_HOLD || rs == 0) {
        return 0;
    }
    return 1u << ((rs <= 2 ? rs + 7 : rs) - 1);
}

/* ---- calendar <-> registers ------------------------------------------------------------ */

static uint8_t rtc_encode(const Rtc *s, unsigned v)
{
    return s->cmos[RTC_B] & B_DM ? v : v / 10 % 10 << 4 | v % 10;
}

static unsigned rtc_decode(const Rtc *s, uint8_t v)
{
    return s->cmos[RTC_B] & B_DM ? v : (v >> 4) * 10 + (v & 15);
}

static uint8_t rtc_encode_hour(const Rtc *s, unsigned h)
{
    if (s->cmos[RTC_B] & B_24H) {
        return rtc_encode(s, h);
    }
    return rtc_encode(s, h % 12 ? h % 12 : 12) | (h >= 12 ? HOUR_PM : 0);
}

static unsigned rtc_decode_hour(const Rtc *s, uint8_t v)
{
    if (s->cmos[RTC_B] & B_24H) {
        return rtc_decode(s, v);
    }
    return rtc_decode(s, v & ~HOUR_PM) % 12 + (v & HOUR_PM ? 12 : 0);
}

static void rtc_to_registers(Rtc *s, int64_t sec)
{
    time_t t = sec;
    struct tm tm;
    int year;

    if (!gmtime_r(&t, &tm)) {
        return;
    }
    s->cmos[RTC_SEC] = rtc_encode(s, tm.tm_sec);
    s->cmos[RTC_MIN] = rtc_encode(s, tm.tm_min);
    s->cmos[RTC_HOUR] = rtc_encode_hour(s, tm.tm_hour);
    s->cmos[RTC_WDAY] = rtc_encode(s, (tm.tm_wday + s->wday_skew) % 7 + 1);
    s->cmos[RTC_MDAY] = rtc_encode(s, tm.tm_mday);
    s->cmos[RTC_MONTH] = rtc_encode(s, tm.tm_mon + 1);
    year = tm.tm_year + 1900;
    if (s->base_year != 2000) {
        s->cmos[RTC_YEAR] = rtc_encode(s, ((year - (int)s->base_year) % 100 + 100) % 100);
        return;
    }
    s->cmos[RTC_YEAR] = rtc_encode(s, (year % 100 + 100) % 100);
    s->cmos[RTC_CENTURY] = s->cmos[RTC_CENTURY_PS2] = rtc_encode(s, year / 100);
}

/* Days since 1970 of a date of the proleptic Gregorian calendar; month from 1, any day. */
static int64_t days_from_civil(int64_t y, unsigned m, unsigned d)
{
    int64_t era, yoe, doy;

    y -= m <= 2;                        /* years begin in March: the leap day comes last */
    era = floor_div(y, 400);
    yoe = y - era * 400;
    doy = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;
    return era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
}

/* Whatever the bytes are: impossible dates run over into the next month, day or hour. */
static int64_t rtc_from_registers(const Rtc *s)
{
    unsigned month = rtc_decode(s, s->cmos[RTC_MONTH]);
    unsigned mday = rtc_decode(s, s->cmos[RTC_MDAY]);
    int64_t year = rtc_decode(s, s->cmos[RTC_YEAR]), days;

    year += s->base_year != 2000 ? s->base_year
                                 : rtc_decode(s, s->cmos[RTC_CENTURY]) * 100;
    if (month < 1) {
        month = 1;
    }
    days = days_from_civil(year + (month - 1) / 12, (month - 1) % 12 + 1, mday ? mday : 1);
    return days * 86400 + rtc_decode_hour(s, s->cmos[RTC_HOUR]) * 3600
         + rtc_decode(s, s->cmos[RTC_MIN]) * 60 + rtc_decode(s, s->cmos[RTC_SEC]);
}

/* The calendar takes the time in the registers; the divider chain runs on. */
static void rtc_adopt_registers(Rtc *s)
{
    int64_t now = rtc_clock(), sec = rtc_from_registers(s);
    int64_t days = floor_div(sec, 86400);
    unsigned wday = (days % 7 + 7 + 4) % 7;             /* 1970-01-01 was a Thursday */

    s->wday_skew = (rtc_decode(s, s->cmos[RTC_WDAY]) + 6 + 7 - wday) % 7;
    s->base_sec = sec - floor_div(now - s->div_ns, NS_PER_SEC);
    s->seen_sec = sec;
    if (rtc_change_hook) {
        rtc_change_hook(sec - (s->first_base + floor_div(now - s->first_div, NS_PER_SEC)));
    }
}

int64_t rtc_guest_time(Device *rtc)
{
    Rtc *s = (Rtc *)rtc;
    return rtc_runs(s) ? rtc_sec_at(s, rtc_clock()) : rtc_from_registers(s);
}

/* ---- interrupts ------------------------------------------------------------------------ */

static bool alarm_matches(uint8_t alarm, uint8_t now)
{
    return alarm >= ALARM_ANY || alarm == now;
}

/* First second after `after` in which the alarm strikes; INT64_MAX = never.  Skips whole hours
 * and minutes, so a day costs no more than 24 + 60 + 60 steps. */
static int64_t rtc_next_alarm(const Rtc *s, int64_t after)
{
    int64_t t = after + 1, end = after + 86400 + 3600;

    while (t <= end) {
        unsigned day = ((t % 86400) + 86400) % 86400;
        if (!alarm_matches(s->cmos[RTC_HOUR_ALARM], rtc_encode_hour(s, day / 3600))) {
            t += 3600 - day % 3600;
        } else if (!alarm_matches(s->cmos[RTC_MIN_ALARM], rtc_encode(s, day / 60 % 60))) {
            t += 60 - day % 60;
        } else if (!alarm_matches(s->cmos[RTC_SEC_ALARM], rtc_encode(s, day % 60))) {
            t++;
        } else {
            return t;
        }
    }
    return INT64_MAX;
}

/* Set the flags for what happened up to now. */
static void rtc_catch_up(Rtc *s)
{
    int64_t now = rtc_clock(), tick = rtc_tick_at(s, now);
    unsigned period = rtc_period(s);
    uint8_t *c = &s->cmos[RTC_C];

    if (rtc_runs(s)) {
        int64_t sec = rtc_sec_at(s, now);
        if (sec > s->seen_sec) {
            *c |= C_UF;
            if (rtc_next_alarm(s, s->seen_sec) <= sec) {
                *c |= C_AF;
            }
        }
        s->seen_sec = sec;
    }
    if (period && tick > s->seen_tick) {
        int64_t n = floor_div(tick, period) - floor_div(s->seen_tick, period);
        bool was = *c & C_PF;
        if (n > 0) {
            *c |= C_PF;
            if (s->policy == LOST_TICK_SLEW && (s->cmos[RTC_B] & B_PIE)) {
                n -= !was;
                s->lost = n > MAX_LOST - s->lost ? 0 : s->lost + n;
            }
        }
    }
    s->seen_tick = tick;
}

static void rtc_update_irq(Rtc *s)
{
    uint8_t *c = &s->cmos[RTC_C];

    if (*c & s->cmos[RTC_B] & (C_PF | C_AF | C_UF)) {
        if (*c & s->cmos[RTC_B] & C_AF) {
            machine_request_wakeup();
        }
        *c |= C_IRQF;
        irq_raise(&s->irq);
    } else {
        *c &= ~C_IRQF;
        irq_lower(&s->irq);
    }
}

/* Wake up for the earliest interrupt that is enabled and whose flag is still clear. */
static void rtc_rearm(Rtc *s)
{
    uint8_t want = s->cmos[RTC_B] & ~s->cmos[RTC_C];
    unsigned period = rtc_period(s);
    int64_t next = INT64_MAX;

    if (rtc_runs(s)) {
        if (want & B_UIE) {
            next = MIN(next, rtc_ns_of(s, s->seen_sec + 1));
        }
        if (want & B_AIE) {
            int64_t alarm = rtc_next_alarm(s, s->seen_sec);
            if (alarm != INT64_MAX) {
                next = MIN(next, rtc_ns_of(s, alarm));
            }
        }
    }
    if (period && (want & B_PIE)) {
        /* those that were lost come half-way between the regular ones */
        unsigned every = s->lost ? period / 2 : period;
        int64_t tick = (floor_div(s->seen_tick, every) + 1) * every;
        next = MIN(next, rtc_ns_of_tick(s, tick));
    }
    if (next == INT64_MAX) {
        timer_del(&s->timer);
    } else {
        timer_mod(&s->timer, MAX(next, 0));
    }
}

static void rtc_refresh(Rtc *s)
{
    rtc_update_irq(s);
    rtc_rearm(s);
}

static void rtc_timer(void *opaque)
{
    Rtc *s = opaque;
    bool was = s->cmos[RTC_C] & C_PF;

    rtc_catch_up(s);
    if (s->lost && !was && !(s->cmos[RTC_C] & C_PF)) {
        s->cmos[RTC_C] |= C_PF;         /* one that was lost, between two regular ones */
        s->lost--;
    }
    rtc_refresh(s);
}

/* ---- registers ------------------------------------------------------------------------- */

static bool rtc_is_time(unsigned reg)
{
    return reg == RTC_SEC || reg == RTC_MIN || (reg >= RTC_HOUR && reg <= RTC_YEAR
           && reg != RTC_HOUR_ALARM) || reg == RTC_CENTURY || reg == RTC_CENTURY_PS2;
}

/* Before updates stop: the registers take what the calendar says. */
static void rtc_hold(Rtc *s)
{
    rtc_to_registers(s, rtc_sec_at(s, rtc_clock()));
}

static void rtc_write_a(Rtc *s, uint8_t val)
{
    bool ran = rtc_runs(s);
    bool held = (s->cmos[RTC_A] & A_DV_HOLD) == A_DV_HOLD;
    unsigned period = rtc_period(s);

    if (ran) {
        rtc_hold(s);
    }
    s->cmos[RTC_A] = val & ~A_UIP;
    if (held && (val & A_DV_HOLD) != A_DV_HOLD) {
        /* the first update comes half a second after the divider is let go */
        s->div_ns = rtc_clock() - NS_PER_SEC / 2;
        s->seen_tick = rtc_tick_at(s, rtc_clock());
        if (rtc_runs(s)) {
            rtc_adopt_registers(s);
        }
    }
    if (rtc_period(s) != period) {
        s->lost = 0;
    }
}

static void rtc_write_b(Rtc *s, uint8_t val)
{
    uint8_t old = s->cmos[RTC_B];
    bool ran = rtc_runs(s);
    int64_t sec = ran ? rtc_sec_at(s, rtc_clock()) : 0;

    if (ran && (val & B_SET)) {
        rtc_to_registers(s, sec);
    }
    if (val & B_SET) {
        val &= ~B_UIE;                  /* data sheet, "Set": a write clears UIE */
    }
    s->cmos[RTC_B] = val;
    if (!ran && rtc_runs(s)) {
        rtc_adopt_registers(s);
    }
    if ((val & ~old) & B_PIE) {
        s->lost = 0;
    }
}

static void rtc_write_time(Rtc *s, unsigned reg, uint8_t val)
{
    if (rtc_runs(s)) {
        rtc_hold(s);
    }
    s->cmos[reg] = val;
    if (reg == RTC_CENTURY || reg == RTC_CENTURY_PS2) {
        s->cmos[RTC_CENTURY] = s->cmos[RTC_CENTURY_PS2] = val;
    }
    if (rtc_runs(s)) {
        rtc_adopt_registers(s);
    }
}

static void rtc_write_data(Rtc *s, unsigned reg, uint8_t val)
{
    if (rtc_is_time(reg) && !(s->base_year != 2000 && reg >= RTC_CENTURY)) {
        rtc_catch_up(s);
        rtc_write_time(s, reg, val);
        rtc_refresh(s);
        return;
    }
    switch (reg) {
    case RTC_SEC_ALARM:
    case RTC_MIN_ALARM:
    case RTC_HOUR_ALARM:
        rtc_catch_up(s);
        s->cmos[reg] = val;
        rtc_refresh(s);
        break;
    case RTC_A:
        rtc_catch_up(s);
        rtc_write_a(s, val);
        rtc_refresh(s);
        break;
    case RTC_B:
        rtc_catch_up(s);
        rtc_write_b(s, val);
        rtc_refresh(s);
        break;
    case RTC_C:
    case RTC_D:
        break;                          /* read-only */
    default:
        s->cmos[reg] = val;
    }
}

static uint8_t rtc_read_a(Rtc *s)
{
    int64_t phase;

    if (!rtc_runs(s)) {
        return s->cmos[RTC_A];
    }
    phase = (rtc_clock() - s->div_ns) % NS_PER_SEC;
    if (phase < 0) {
        phase += NS_PER_SEC;
    }
    return s->cmos[RTC_A] | (phase >= NS_PER_SEC - UIP_NS ? A_UIP : 0);
}

/* Reading clears all flags and drops the line. */
static uint8_t rtc_read_c(Rtc *s)
{
    uint8_t val;

    rtc_catch_up(s);
    rtc_update_irq(s);
    val = s->cmos[RTC_C];
    s->cmos[RTC_C] = 0;
    rtc_refresh(s);
    return val;
}

static uint8_t rtc_read_data(Rtc *s, unsigned reg)
{
    switch (reg) {
    case RTC_A:
        return rtc_read_a(s);
    case RTC_C:
        return rtc_read_c(s);
    case RTC_D:
        return D_VRT;
    }
    if (rtc_is_time(reg) && rtc_runs(s)) {
        rtc_hold(s);
    }
    return s->cmos[reg];
}

/* Bit 7 of the index port masks NMI on a real board; nothing here raises one through it. */
static uint64_t rtc_read(void *opaque, hwaddr addr, unsigned size)
{
    Rtc *s = opaque;
    return addr ? rtc_read_data(s, s->index) : 0xff;        /* the index can't be read back */
}

static void rtc_write(void *opaque, hwaddr addr, uint64_t val, unsigned size)
{
    Rtc *s = opaque;

    if (addr) {
        rtc_write_data(s, s->index, val);
    } else {
        s->index = val & (CMOS_SIZE - 1);
    }
}

static const RegionOps rtc_ops = {
    .read = rtc_read, .write = rtc_write, .min = 1, .max = 1,
};

/* ---- for the board --------------------------------------------------------------------- */

void rtc_set_cmos(Device *rtc, unsigned addr, uint8_t val)
{
    if (addr > RTC_D && addr < CMOS_SIZE) {
        ((Rtc *)rtc)->cmos[addr] = val;
    }
}

uint8_t rtc_get_cmos(Device *rtc, unsigned addr)
{
    return addr > RTC_D && addr < CMOS_SIZE ? ((Rtc *)rtc)->cmos[addr] : 0xff;
}

void rtc_connect(Device *rtc, IRQ irq)
{
    ((Rtc *)rtc)->irq = irq;
}

static bool parse_date(const char *text, int64_t *out)
{
    unsigned y, mo, d, h = 0, mi = 0, sec = 0;
    int len = 0;

    if (sscanf(text, "%4u-%2u-%2uT%2u:%2u:%2u%n", &y, &mo, &d, &h, &mi, &sec, &len) < 6) {
        h = mi = sec = len = 0;
        if (sscanf(text, "%4u-%2u-%2u%n", &y, &mo, &d, &len) < 3) {
            return false;
        }
    }
    if (text[len] || mo < 1 || mo > 12 || d < 1 || d > 31 || h > 23 || mi > 59 || sec > 59) {
        return false;
    }
    *out = days_from_civil(y, mo, d) * 86400 + h * 3600 + mi * 60 + sec;
    return true;
}

bool rtc_configure(const char *base, const char *clock, const char *driftfix, Error **err)
{
    if (!base || !strcmp(base, "utc")) {
        conf_base = BASE_UTC;
    } else if (!strcmp(base, "localtime")) {
        conf_base = BASE_LOCALTIME;
    } else if (parse_date(base, &conf_date)) {
        conf_base = BASE_DATE;
    } else {
        return fail(err, "-rtc base=%s: not a date (use utc, localtime, 2026-01-31 or "
                    "2026-01-31T23:59:59)", base);
    }
    if (!clock || !strcmp(clock, "host")) {
        conf_clock = ORRERY_CLOCK_HOST;
    } else if (!strcmp(clock, "rt")) {
        conf_clock = ORRERY_CLOCK_REAL;
    } else if (!strcmp(clock, "vm")) {
        conf_clock = ORRERY_CLOCK_VIRTUAL;
    } else {
        return fail(err, "-rtc clock=%s: no such clock (use host, rt or vm)", clock);
    }
    if (driftfix && strcmp(driftfix, "none") && strcmp(driftfix, "slew")) {
        return fail(err, "-rtc driftfix=%s: use none or slew", driftfix);
    }
    conf_slew = driftfix && !strcmp(driftfix, "slew");
    return true;
}

/* The calendar's first second, from the wall clock or -rtc base=. */
static int64_t rtc_start_time(int64_t *fraction)
{
    int64_t host = clock_ns(ORRERY_CLOCK_HOST);
    time_t t = host / NS_PER_SEC;
    struct tm tm;

    *fraction = conf_base == BASE_DATE ? 0 : host % NS_PER_SEC;
    if (conf_base == BASE_DATE) {
        return conf_date;
    }
    if (conf_base == BASE_LOCALTIME && localtime_r(&t, &tm)) {
        return t + tm.tm_gmtoff;
    }
    return t;
}

/* CMOS RAM and the clock live on a battery: set here once, not at reset. */
static bool rtc_realize(Device *dev, Error **err)
{
    Rtc *s = (Rtc *)dev;
    int64_t fraction;

    if (s->irq_no > 15) {
        return fail(err, "mc146818rtc: irq=%u: there are lines 0 to 15", s->irq_no);
    }
    if (s->policy == LOST_TICK_DELAY) {
        return fail(err, "mc146818rtc: lost_tick_policy=delay: use discard or slew");
    }
    if (!s->irq.set) {
        s->irq = isa_irq(dev, s->irq_no);
    }
    if (conf_slew) {
        s->policy = LOST_TICK_SLEW;
    }
    s->cmos[RTC_A] = 0x26;              /* 32768 Hz, periodic rate 1024 Hz */
    s->cmos[RTC_B] = B_24H;
    s->cmos[RTC_D] = D_VRT;
    s->base_sec = rtc_start_time(&fraction);
    s->div_ns = rtc_clock() - fraction;
    s->first_base = s->base_sec;
    s->first_div = s->div_ns;
    s->seen_sec = s->base_sec;
    s->seen_tick = rtc_tick_at(s, rtc_clock());
    timer_init(&s->timer, conf_clock, rtc_timer, s);
    region_init_io(&s->io, "rtc", 2, &rtc_ops, s);
    region_coalesce(&s->io, 0, 1);      /* the index */
    region_map(dev->io, s->iobase, &s->io, 0);
    return true;
}

static void rtc_unrealize(Device *dev)
{
    Rtc *s = (Rtc *)dev;

    timer_del(&s->timer);
    region_destroy(&s->io);
}

/* RESET# clears the enables and flags, nothing else. */
/*
 * Where firmware goes on after a reset (AT BIOS: shutdown code).  It counts for resets which the
 * guest makes to return from protected mode; what an AT tells by the keyboard controller's
 * system flag, whether the reset was another, is done here.
 */
#define CMOS_SHUTDOWN 0x0f

static void rtc_reset(Device *dev)
{
    Rtc *s = (Rtc *)dev;

    rtc_catch_up(s);
    s->cmos[RTC_B] &= ~(B_PIE | B_AIE | B_UIE | B_SQWE);
    s->cmos[RTC_C] = 0;
    if (machine_reset_by_host()) {
        s->cmos[CMOS_SHUTDOWN] = 0;
    }
    s->lost = 0;
    s->index = 0;
    rtc_refresh(s);
}

static void rtc_pre_save(void *opaque)
{
    ((Rtc *)opaque)->saved_ns = rtc_clock();
}

static bool rtc_post_load(void *opaque, int version, Error **err)
{
    Rtc *s = opaque;
    int64_t limit = INT64_MAX / 2;      /* the host's clock counts from 1970 */
    int64_t limit_sec = 1000000000000;  /* registers hold years to 25755 */

    if (s->index >= CMOS_SIZE || s->wday_skew > 6 || s->lost > MAX_LOST
        || s->div_ns < -limit || s->div_ns > limit || s->base_sec < -limit_sec
        || s->base_sec > limit_sec) {
        return fail(err, "mc146818rtc: impossible time or index");
    }
    if (conf_clock == ORRERY_CLOCK_REAL) {
        /* this host's monotonic clock has nothing to do with the other's */
        s->div_ns += rtc_clock() - s->saved_ns;
    }
    s->seen_sec = rtc_runs(s) ? MIN(s->seen_sec, rtc_sec_at(s, rtc_clock())) : s->seen_sec;
    s->seen_tick = rtc_tick_at(s, rtc_clock());
    rtc_rearm(s);
    return true;
}

static const VMField rtc_fields[] = {
    VM_BUFFER(Rtc, cmos),
    VM_UINT(Rtc, index),
    VM_UINT(Rtc, base_sec),
    VM_UINT(Rtc, div_ns),
    VM_UINT(Rtc, wday_skew),
    VM_UINT(Rtc, seen_sec),
    VM_UINT(Rtc, lost),
    VM_UINT(Rtc, saved_ns),
    VM_DONE
};
static const VMState vm_rtc = {
    .name = "mc146818rtc", .pre_save = rtc_pre_save, .post_load = rtc_post_load,
    .fields = rtc_fields,
};

static const char *const rtc_policies[] = { "discard", "delay", "slew", NULL };

static const Prop rtc_props[] = {
    PROP_UINT("base_year", Rtc, base_year, 2000,
              "year of the year register's zero; 2000: use the century byte"),
    PROP_UINT("iobase", Rtc, iobase, 0x70, "first of its two ports"),
    PROP_UINT("irq", Rtc, irq_no, 8, "ISA interrupt line"),
    PROP_ENUM("lost_tick_policy", Rtc, policy, LOST_TICK_DISCARD, rtc_policies,
              "what becomes of periodic interrupts the guest could not take: discard, slew"),
    PROP_DONE
};

static const DeviceType mc146818rtc = {
    .name = "mc146818rtc", .desc = "MC146818 real-time clock", .bus = "isa",
    .size = sizeof(Rtc), .props = rtc_props, .vmstate = &vm_rtc, .realize = rtc_realize,
    .reset = rtc_reset, .unrealize = rtc_unrealize, .no_user = true,
};
DEVICE_TYPE(mc146818rtc);
