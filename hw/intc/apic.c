/* SPDX-License-Identifier: MIT */
/*
 * Local APIC: registers in memory (xAPIC) and as MSRs (x2APIC), priorities, local interrupts.
 * Its timer is in apic-timer.c, the bus between APICs in apic-bus.c.
 *
 * Source: Intel SDM volume 3A, chapter "Advanced Programmable Interrupt Controller (APIC)";
 * section names below are its.
 *
 * Each APIC answers its own CPU at the address in IA32_APIC_BASE.  Usually that is FEE00000h
 * for all, where one region lies for everybody; an APIC that was moved gets a page of its own.
 * A write to that region which is not an access of the CPU to its own page is an interrupt
 * message (MSI), as it is for a PCI host bridge.
 *
 * While the accelerator has the local APICs (target-i386/irqchip.h), messages and register
 * accesses that still come here go on to it.
 *
 * Not modelled: the thermal, performance and CMCI sources (their LVT entries exist where the
 * SDM numbers them, nothing triggers them), directed EOI.
 */
#include "hw/intc/apic.h"
#include "hw/intc/apic-internal.h"
#include "hw/intc/delivered.h"
#include "target-i386/irqchip.h"
#include "target-i386/msr.h"
#include "util/bits.h"
#include "util/log.h"
#include <inttypes.h>

/* Register numbers: offset / 16, which is also the MSR number - 800h */
enum {
    REG_ID = 0x02, REG_VERSION = 0x03, REG_TPR = 0x08, REG_APR = 0x09, REG_PPR = 0x0a,
    REG_EOI = 0x0b, REG_RRD = 0x0c, REG_LDR = 0x0d, REG_DFR = 0x0e, REG_SVR = 0x0f,
    REG_ISR = 0x10, REG_TMR = 0x18, REG_IRR = 0x20, REG_ESR = 0x28, REG_ICR = 0x30,
    REG_ICR_HIGH = 0x31, REG_LVT = 0x32, REG_TIMER_INIT = 0x38, REG_TIMER_CURRENT = 0x39,
    REG_TIMER_DIVIDE = 0x3e, REG_SELF_IPI = 0x3f,
};

#define WINDOW_SIZE    0x100000

#define APIC_VERSION   0x14
#define SVR_WRITABLE   0x3ff            /* focus checking is remembered, nothing else */

#define ICR_WRITABLE   0x000ccfffu

static Region window;                   /* FEE00000h-FEEFFFFFh */

static const uint32_t lvt_writable[LVT_COUNT] = {
    [LVT_TIMER] = LVT_TIMER_MODE | LVT_MASKED | 0xff,
    [LVT_THERMAL] = LVT_MASKED | 0x7ff,
    [LVT_PERF] = LVT_MASKED | 0x7ff,
    [LVT_LINT0] = LVT_MASKED | LVT_LEVEL | 0x27ff,
    [LVT_LINT1] = LVT_MASKED | LVT_LEVEL | 0x27ff,
    [LVT_ERROR] = LVT_MASKED | 0xff,
};

/* ---- priorities ("Task and Processor Priorities") -------------------------------------- */

uint8_t apic_ppr(const Apic *s)
{
    int isr = highest_bit(s->isr);
    uint8_t class = isr < 0 ? 0 : isr & 0xf0;

    return (s->tpr & 0xf0) >= class ? s->tpr : class;
}

/* Arbitration priority, as the P6 had it. */
static uint8_t apic_apr(const Apic *s)
{
    int isr = highest_bit(s->isr), irr = highest_bit(s->irr);
    uint8_t v = isr < 0 ? 0 : isr & 0xf0, r = irr < 0 ? 0 : irr & 0xf0, t = s->tpr & 0xf0;

    return t >= r && t > v ? s->tpr : MAX(v, r);
}

/* Vector that may interrupt now, or -1. */
static int apic_deliverable(const Apic *s)
{
    int irr;

    if (!apic_soft_enabled(s)) {
        return -1;
    }
    irr = highest_bit(s->irr);
    return irr >= 0 && (irr & 0xf0) > (apic_ppr(s) & 0xf0) ? irr : -1;
}

static void apic_changed(Apic *s)
{
    if (!x86_irqchip) {
        x86_cpu_apic_changed(s->cpu);
    }
}

/* ---- accepting interrupts -------------------------------------------------------------- */

void apic_error(Apic *s, uint32_t bit)
{
    bool fresh = !(s->esr_new & bit);

    s->esr_new |= bit;
    if (fresh) {
        apic_local(s, LVT_ERROR);
    }
}

void apic_accept(Apic *s, uint8_t vector, bool level)
{
    if (!apic_soft_enabled(s)) {
        return;
    }
    if (vector < 16) {
        apic_error(s, ESR_RECEIVE_VECTOR);
        return;
    }
    irq_delivered_report(!test_bit(s->irr, vector));
    set_bit(s->irr, vector);
    if (level) {
        set_bit(s->tmr, vector);
    } else {
        clear_bit(s->tmr, vector);
    }
    apic_changed(s);
}

void apic_take(Apic *s, uint8_t mode, uint8_t vector, bool level)
{
    switch (mode) {
    case APIC_DM_FIXED:
    case APIC_DM_LOWEST:
        apic_accept(s, vector, level);
        break;
    case APIC_DM_SMI:
        x86_cpu_smi(s->cpu);
        break;
    case APIC_DM_NMI:
        x86_cpu_nmi(s->cpu);
        break;
    case APIC_DM_INIT:
        cpu_request(&s->cpu->cpu, CPU_REQ_INIT);
        break;
    case APIC_DM_SIPI:
        x86_cpu_sipi(s->cpu, vector);
        break;
    case APIC_DM_EXTINT:
        s->extint = true;
        apic_changed(s);
        break;
    default:
        LOG_GUEST("apic: delivery mode %u is reserved\n", mode);
    }
}

/* A source of the local vector table fires. */
void apic_local(Apic *s, int n)
{
    uint32_t lvt = s->lvt[n];
    uint8_t mode = n == LVT_TIMER || n == LVT_ERROR ? APIC_DM_FIXED : lvt >> 8 & 7;
    bool level = false;

    if ((lvt & LVT_MASKED) || !apic_enabled(s)) {
        return;
    }
    if (n == LVT_LINT0 && mode == APIC_DM_EXTINT) {
        return;                         /* accepts_pic lets the 8259's line through */
    }
    if ((n == LVT_LINT0 || n == LVT_LINT1) && mode == APIC_DM_FIXED && (lvt & LVT_LEVEL)) {
        level = true;
        if (lvt & LVT_REMOTE_IRR) {
            return;                     /* until its EOI */
        }
        s->lvt[n] |= LVT_REMOTE_IRR;
    }
    apic_take(s, mode, lvt, level);
}

void apic_set_lint(Device *apic, int pin, int level)
{
    Apic *s = (Apic *)apic;
    bool rose = level && !s->lint[pin];

    s->lint[pin] = level;
    if (rose && !x86_irqchip) {
        apic_local(s, LVT_LINT0 + pin);
    }
}

/* ---- end of interrupt ------------------------------------------------------------------ */

/* A level-triggered LINT pin that is still up interrupts again. */
static void apic_lint_eoi(Apic *s, uint8_t vector)
{
    for (int pin = 0; pin < 2; pin++) {
        uint32_t *lvt = &s->lvt[LVT_LINT0 + pin];
        if ((*lvt & LVT_REMOTE_IRR) && (uint8_t)*lvt == vector) {
            *lvt &= ~LVT_REMOTE_IRR;
            if (s->lint[pin]) {
                apic_local(s, LVT_LINT0 + pin);
            }
        }
    }
}

static void apic_eoi(Apic *s)
{
    int vector = highest_bit(s->isr);

    if (vector < 0) {
        return;
    }
    clear_bit(s->isr, vector);
    if (test_bit(s->tmr, vector)) {
        apic_lint_eoi(s, vector);
        apic_bus_eoi(vector);
    }
    apic_changed(s);
}

/* ---- registers ------------------------------------------------------------------------- */

/* "Local APIC State After It Has Been Software Disabled": all of the LVT is masked. */
static void apic_mask_all(Apic *s)
{
    for (int i = 0; i < LVT_COUNT; i++) {
        s->lvt[i] |= LVT_MASKED;
    }
}

static void apic_write_svr(Apic *s, uint32_t val)
{
    s->svr = val & SVR_WRITABLE;
    if (!(val & SVR_ENABLE)) {
        apic_mask_all(s);
    }
    apic_timer_arm(s);
    apic_changed(s);
}

static void apic_write_lvt(Apic *s, int n, uint32_t val)
{
    val &= lvt_writable[n];
    if (!(s->svr & SVR_ENABLE)) {
        val |= LVT_MASKED;
    }
    if (n == LVT_TIMER) {
        apic_timer_set_lvt(s, val);
        return;
    }
    /* An open level-triggered pin keeps waiting for its EOI; an edge pin has nothing to wait for */
    s->lvt[n] = val | (val & LVT_LEVEL ? s->lvt[n] & LVT_REMOTE_IRR : 0);
    if ((n == LVT_LINT0 || n == LVT_LINT1) && (val & LVT_LEVEL) && s->lint[n - LVT_LINT0]) {
        apic_local(s, n);
    }
    apic_changed(s);
}

static void apic_set_tpr_value(Apic *s, uint8_t val)
{
    s->tpr = val;
    apic_changed(s);
}

/* Registers common to both interfaces; false: there is no such register to be read. */
static bool apic_read_reg(Apic *s, unsigned reg, uint32_t *val)
{
    switch (reg) {
    case REG_ID:
        *val = apic_x2(s) ? s->cpu->apic_id : (uint32_t)s->id << 24;
        return true;
    case REG_VERSION:
        *val = APIC_VERSION | (LVT_COUNT - 1) << 16;
        return true;
    case REG_TPR:
        *val = s->tpr;
        return true;
    case REG_PPR:
        *val = apic_ppr(s);
        return true;
    case REG_LDR:
        *val = apic_x2(s) ? (s->cpu->apic_id >> 4) << 16 | 1u << (s->cpu->apic_id & 15) : s->ldr;
        return true;
    case REG_SVR:
        *val = s->svr;
        return true;
    case REG_ISR ... REG_ISR + 7:
        *val = s->isr[reg - REG_ISR];
        return true;
    case REG_TMR ... REG_TMR + 7:
        *val = s->tmr[reg - REG_TMR];
        return true;
    case REG_IRR ... REG_IRR + 7:
        *val = s->irr[reg - REG_IRR];
        return true;
    case REG_ESR:
        *val = s->esr;
        return true;
    case REG_ICR:
        *val = s->icr[0];
        return true;
    case REG_LVT ... REG_LVT + LVT_COUNT - 1:
        *val = s->lvt[reg - REG_LVT];
        return true;
    case REG_TIMER_INIT:
        *val = s->initial;
        return true;
    case REG_TIMER_CURRENT:
        *val = apic_timer_current(s);
        return true;
    case REG_TIMER_DIVIDE:
        *val = s->divide;
        return true;
    default:
        return false;
    }
}

static bool apic_write_reg(Apic *s, unsigned reg, uint32_t val)
{
    switch (reg) {
    case REG_TPR:
        apic_set_tpr_value(s, val);
        return true;
    case REG_EOI:
        apic_eoi(s);
        return true;
    case REG_SVR:
        apic_write_svr(s, val);
        return true;
    case REG_ESR:
        s->esr = s->esr_new;
        s->esr_new = 0;
        return true;
    case REG_LVT ... REG_LVT + LVT_COUNT - 1:
        apic_write_lvt(s, reg - REG_LVT, val);
        return true;
    case REG_TIMER_INIT:
        apic_timer_set_initial(s, val);
        return true;
    case REG_TIMER_DIVIDE:
        apic_timer_set_divide(s, val);
        return true;
    default:
        return false;
    }
}

/* ---- xAPIC: registers in memory -------------------------------------------------------- */

static uint32_t xapic_read(Apic *s, unsigned reg)
{
    uint32_t val = 0;

    switch (reg) {
    case REG_APR:
        return apic_apr(s);
    case REG_DFR:
        return s->dfr;
    case REG_ICR_HIGH:
        return s->icr[1];
    case REG_EOI:
    case REG_RRD:
        return 0;
    }
    if (!apic_read_reg(s, reg, &val)) {
        LOG_GUEST("apic: read of register %03xh, which does not exist\n", reg << 4);
        apic_error(s, ESR_REGISTER);
    }
    return val;
}

static void xapic_write(Apic *s, unsigned reg, uint32_t val)
{
    switch (reg) {
    case REG_ID:
        s->id = val >> 24;
        return;
    case REG_LDR:
        s->ldr = val & 0xff000000;
        return;
    case REG_DFR:
        s->dfr = val | 0x0fffffff;
        return;
    case REG_ICR:
        s->icr[0] = val & ICR_WRITABLE;
        apic_send(s, s->icr[0], s->icr[1] >> 24);
        return;
    case REG_ICR_HIGH:
        s->icr[1] = val & 0xff000000;
        return;
    }
    if (!apic_write_reg(s, reg, val)) {
        LOG_GUEST("apic: write of %08xh to register %03xh, which can't be written\n", val,
                  reg << 4);
        apic_error(s, ESR_REGISTER);
    }
}

/* The APIC whose registers the running CPU sees at addr, or NULL. */
static Apic *apic_at(uint64_t addr)
{
    CPU *c = cpu_current();
    Apic *s = c ? (Apic *)x86_cpu(c)->apic : NULL;

    return s && apic_enabled(s) && !apic_x2(s) && (addr & ~0xfffull) == (s->base & BASE_ADDR)
           ? s : NULL;
}

static uint64_t page_read(uint64_t at, unsigned size)
{
    Apic *s = apic_at(at);

    if (!s) {
        return ~0ull;
    }
    apic_fetch(s);
    return size == 4 && !(at & 15) ? xapic_read(s, at >> 4 & 0xff) : 0;
}

/* Registers lie at multiples of 16 from 20h on; the CPU's writes elsewhere and those of
 * others are messages: their bits 11..4 are zero. */
static void page_write(uint64_t at, uint32_t val, unsigned size)
{
    Apic *s = apic_at(at);

    if (size != 4) {
        LOG_GUEST("apic: write of %u bytes at %" PRIx64 "h\n", size, at);
    } else if (!(at & 0xff0)) {
        apic_deliver_msi(at, val);
    } else if (s && !(at & 15)) {
        apic_fetch(s);
        xapic_write(s, at >> 4 & 0xff, val);
        apic_store(s);
    } else {
        LOG_GUEST("apic: no interrupt message at %" PRIx64 "h\n", at);
    }
}

static uint64_t window_read(void *opaque, hwaddr addr, unsigned size)
{
    return page_read(DEFAULT_ADDR + addr, size);
}

static void window_write(void *opaque, hwaddr addr, uint64_t val, unsigned size)
{
    page_write(DEFAULT_ADDR + addr, val, size);
}

static const RegionOps window_ops = {
    .read = window_read, .write = window_write, .min = 1, .max = 4,
};

static uint64_t moved_read(void *opaque, hwaddr addr, unsigned size)
{
    return page_read((((Apic *)opaque)->base & BASE_ADDR) + addr, size);
}

static void moved_write(void *opaque, hwaddr addr, uint64_t val, unsigned size)
{
    hwaddr at = (((Apic *)opaque)->base & BASE_ADDR) + addr;

    if (apic_at(at)) {
        page_write(at, val, size);
    }
}

static const RegionOps moved_ops = {
    .read = moved_read, .write = moved_write, .min = 1, .max = 4,
};

static void apic_place(Apic *s)
{
    bool want = apic_enabled(s) && !apic_x2(s) && (s->base & BASE_ADDR) != DEFAULT_ADDR;

    if (s->has_moved) {
        region_unmap(&s->moved);
    }
    if (want) {
        region_map(s->dev.mem, s->base & BASE_ADDR, &s->moved, 4097);
    }
    s->has_moved = want;
}

/* ---- x2APIC: registers as MSRs --------------------------------------------------------- */

static bool apic_msr_read(Device *apic, unsigned reg, uint64_t *val)
{
    Apic *s = (Apic *)apic;
    uint32_t low = 0;

    if (x86_irqchip) {
        return x86_irqchip->lapic_msr(s->cpu, MSR_X2APIC_FIRST + reg, false, val);
    }
    if (!apic_x2(s) || !apic_read_reg(s, reg, &low)) {
        return false;
    }
    *val = reg == REG_ICR ? (uint64_t)s->icr[1] << 32 | low : low;
    return true;
}

/* Bits that must be zero in a write; all others of the low half are accepted. */
static uint32_t msr_reserved(unsigned reg)
{
    switch (reg) {
    case REG_EOI:
    case REG_ESR:
        return ~0u;                     /* only zero may be written */
    case REG_TPR:
    case REG_SELF_IPI:
        return ~0xffu;
    case REG_SVR:
        return ~(uint32_t)SVR_WRITABLE;
    case REG_ICR:
        return ~(ICR_WRITABLE | 1u << 12);
    case REG_LVT ... REG_LVT + LVT_COUNT - 1:
        return ~(lvt_writable[reg - REG_LVT] | 1u << 12 | LVT_REMOTE_IRR);
    case REG_TIMER_DIVIDE:
        return ~0xbu;
    default:
        return 0;
    }
}

static bool apic_msr_write(Device *apic, unsigned reg, uint64_t val)
{
    Apic *s = (Apic *)apic;

    if (x86_irqchip) {
        return x86_irqchip->lapic_msr(s->cpu, MSR_X2APIC_FIRST + reg, true, &val);
    }
    if (!apic_x2(s) || ((uint32_t)val & msr_reserved(reg)) || (reg != REG_ICR && val >> 32)) {
        return false;
    }
    switch (reg) {
    case REG_ICR:
        s->icr[0] = val & ICR_WRITABLE;
        s->icr[1] = val >> 32;
        apic_send(s, s->icr[0], s->icr[1]);
        return true;
    case REG_SELF_IPI:
        apic_send(s, (uint8_t)val | 1u << 18, 0);
        return true;
    default:
        return apic_write_reg(s, reg, val);
    }
}

/* ---- for the CPU ----------------------------------------------------------------------- */

static int apic_ack(Device *apic)
{
    Apic *s = (Apic *)apic;
    int vector;

    if (s->extint) {
        s->extint = false;
        return s->cpu->pic_ack ? s->cpu->pic_ack(s->cpu->pic_opaque) : -1;
    }
    vector = apic_deliverable(s);
    if (vector < 0) {
        /* Requested, but the priority rose above it meanwhile */
        return highest_bit(s->irr) >= 0 && apic_soft_enabled(s) ? (int)(s->svr & 0xff) : -1;
    }
    clear_bit(s->irr, vector);
    set_bit(s->isr, vector);
    return vector;
}

static bool apic_pending(Device *apic)
{
    Apic *s = (Apic *)apic;
    return !x86_irqchip && (s->extint || apic_deliverable(s) >= 0);
}

static bool apic_accepts_pic(Device *apic)
{
    Apic *s = (Apic *)apic;

    apic_fetch(s);
    uint32_t lvt = s->lvt[LVT_LINT0];
    return !apic_enabled(s) || (!(lvt & LVT_MASKED) && (lvt >> 8 & 7) == APIC_DM_EXTINT);
}

static uint8_t apic_get_tpr(Device *apic)
{
    const Apic *s = (Apic *)apic;
    return x86_irqchip ? s->cpu->cr8 << 4 : s->tpr;
}

static void apic_set_tpr(Device *apic, uint8_t tpr)
{
    if (!x86_irqchip) {
        apic_set_tpr_value((Apic *)apic, tpr);
    }                                   /* else X86CPU.cr8, which goes there with the registers */
}

/* "Local APIC State After Power-Up or Reset"; the base and the ids are not part of it. */
static void apic_clear(Apic *s)
{
    s->tpr = 0;
    s->svr = 0xff;
    s->ldr = 0;
    s->dfr = 0xffffffff;
    s->esr = s->esr_new = 0;
    memset(s->isr, 0, sizeof(s->isr));
    memset(s->irr, 0, sizeof(s->irr));
    memset(s->tmr, 0, sizeof(s->tmr));
    s->icr[0] = s->icr[1] = 0;
    for (int i = 0; i < LVT_COUNT; i++) {
        s->lvt[i] = LVT_MASKED;
    }
    if (s->base & BASE_BSP) {
        /* Firmware's 8259 works before it has heard of APICs */
        s->lvt[LVT_LINT0] = APIC_DM_EXTINT << 8;
    }
    s->extint = false;
    apic_timer_clear(s);
}

static void apic_set_base(Device *apic, uint64_t val)
{
    Apic *s = (Apic *)apic;
    bool was = apic_enabled(s), was_x2 = apic_x2(s);

    s->base = val;
    if (x86_irqchip) {
        x86_irqchip->lapic_msr(s->cpu, MSR_APIC_BASE, true, &val);
    } else if ((was && !apic_enabled(s)) || (was_x2 && !apic_x2(s))) {
        s->id = s->cpu->apic_id;
        apic_clear(s);
    }
    apic_place(s);
    apic_changed(s);
}

static void apic_init_reset(Device *apic)
{
    Apic *s = (Apic *)apic;

    apic_clear(s);
    apic_store(s);
    apic_changed(s);
}

static const X86ApicOps apic_ops = {
    .ack = apic_ack, .pending = apic_pending, .accepts_pic = apic_accepts_pic,
    .get_tpr = apic_get_tpr, .set_tpr = apic_set_tpr, .set_base = apic_set_base,
    .read = apic_msr_read, .write = apic_msr_write, .get_tsc_deadline = apic_timer_get_deadline,
    .set_tsc_deadline = apic_timer_set_deadline, .init_reset = apic_init_reset,
};

/* ---- monitor --------------------------------------------------------------------------- */

static void info_set(GString *out, const char *name, const uint32_t *set)
{
    g_string_append_printf(out, "%s\t", name);
    for (int v = 255; v >= 0; v--) {
        if (test_bit(set, v)) {
            g_string_append_printf(out, " %d", v);
        }
    }
    g_string_append_printf(out, "%s\n", highest_bit(set) < 0 ? " (none)" : "");
}

static void info_lvt(GString *out, const char *name, uint32_t lvt)
{
    static const char *const modes[8] = {
        "Fixed", "Lowest", "SMI", "...", "NMI", "INIT", "SIPI", "ExtINT",
    };

    g_string_append_printf(out, "%s\t0x%08x %s %s %s (vec %u)\n", name, lvt,
                           lvt & LVT_LEVEL ? "level" : "edge",
                           lvt & LVT_MASKED ? "masked" : "", modes[lvt >> 8 & 7], lvt & 0xff);
}

void apic_info(Device *apic, GString *out)
{
    static const char *const names[LVT_COUNT] = {
        "LVTT", "LVTTHMR", "LVTPC", "LVT0", "LVT1", "LVTERR",
    };
    Apic *s = (Apic *)apic;

    apic_fetch(s);
    g_string_append_printf(out, "dumping local APIC state for CPU %d\n\n", s->cpu->cpu.index);
    for (int i = 0; i < LVT_COUNT; i++) {
        info_lvt(out, names[i], s->lvt[i]);
    }
    g_string_append_printf(out, "Timer\t DCR=0x%x (divide by %u) initial_count = %u current_count = %u\n",
                           s->divide, 1u << apic_timer_shift(s), s->initial, apic_timer_current(s));
    g_string_append_printf(out, "SPIV\t 0x%08x APIC %s, spurious vec %u\n", s->svr,
                           s->svr & SVR_ENABLE ? "enabled" : "disabled", s->svr & 0xff);
    g_string_append_printf(out, "ICR\t 0x%08x  ICR2 0x%08x\nESR\t 0x%08x\n", s->icr[0],
                           s->icr[1], s->esr);
    info_set(out, "ISR", s->isr);
    info_set(out, "IRR", s->irr);
    info_set(out, "TMR", s->tmr);
    g_string_append_printf(out, "TPR 0x%02x PPR 0x%02x ID %u LDR 0x%08x DFR 0x%08x base 0x%" PRIx64 "\n",
                           s->tpr, apic_ppr(s), s->id, s->ldr, s->dfr, s->base);
}

/* ---- device ---------------------------------------------------------------------------- */

static bool apic_realize(Device *dev, Error **err)
{
    Apic *s = (Apic *)dev;

    if (!s->cpu) {
        return fail(err, "apic: belongs to a CPU and comes with it");
    }
    if (apic_bus_join(s)) {
        region_init_io(&window, "apic-msi", WINDOW_SIZE, &window_ops, NULL);
        window.chip = REGION_CHIP_LAPIC;
        region_map(dev->mem, DEFAULT_ADDR, &window, 4096);
    }
    apic_timer_init(s);
    region_init_io(&s->moved, "apic", 0x1000, &moved_ops, s);
    s->moved.chip = REGION_CHIP_LAPIC;
    return true;
}

static void apic_unrealize(Device *dev)
{
    Apic *s = (Apic *)dev;

    s->cpu->apic = NULL;
    s->cpu->apic_ops = NULL;
    timer_del(&s->timer);
    region_destroy(&s->moved);
    apic_bus_leave(s);
}

static void apic_reset(Device *dev)
{
    Apic *s = (Apic *)dev;

    s->base = DEFAULT_ADDR | BASE_ENABLE | (s->cpu->cpu.index == 0 ? BASE_BSP : 0);
    s->id = s->cpu->apic_id;
    apic_clear(s);
    apic_place(s);
    apic_store(s);
    apic_changed(s);
}

Device *apic_create(X86CPU *c)
{
    Device *dev = device_new("apic");

    ((Apic *)dev)->cpu = c;
    device_realize_or_die(dev, NULL);
    c->apic = dev;
    c->apic_ops = &apic_ops;
    return dev;
}

static bool apic_post_load(void *opaque, int version, Error **err)
{
    Apic *s = opaque;

    apic_place(s);
    if (!timer_pending(&s->timer)) {    /* else it may be late, and strikes all the same */
        apic_timer_arm(s);
    }
    apic_store(s);
    apic_changed(s);
    return true;
}

static void apic_pre_save(void *opaque)
{
    Apic *s = opaque;
    uint64_t base = s->base;

    apic_fetch(s);
    if (s->base != base) {
        apic_place(s);
    }
    if (x86_irqchip && s->expired && !(s->lvt[LVT_TIMER] & (LVT_MASKED | LVT_TIMER_MODE))) {
        /* Whether the accelerator has sent it is not known: once more, rather than never */
        timer_mod(&s->timer, vclock_ns());
    }
}

static const VMField apic_fields[] = {
    VM_UINT(Apic, base), VM_UINT(Apic, id), VM_UINT(Apic, tpr), VM_UINT(Apic, svr),
    VM_UINT(Apic, ldr), VM_UINT(Apic, dfr), VM_UINT(Apic, esr), VM_UINT(Apic, esr_new),
    VM_UINT(Apic, divide), VM_UINTS(Apic, isr), VM_UINTS(Apic, irr), VM_UINTS(Apic, tmr),
    VM_UINTS(Apic, icr), VM_UINTS(Apic, lvt), VM_BOOLS(Apic, lint), VM_BOOL(Apic, extint),
    VM_UINT(Apic, initial), VM_UINT(Apic, started), VM_UINT(Apic, deadline),
    VM_TIMER(Apic, timer), VM_BOOL(Apic, expired),
    VM_DONE
};
static const VMState vm_apic = {
    .name = "apic", .pre_save = apic_pre_save, .post_load = apic_post_load, .fields = apic_fields,
};

static const DeviceType apic = {
    .name = "apic", .desc = "local interrupt controller", .size = sizeof(Apic),
    .vmstate = &vm_apic, .realize = apic_realize, .reset = apic_reset,
    .unrealize = apic_unrealize, .no_user = true,
};
DEVICE_TYPE(apic);
