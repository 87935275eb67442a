/* SPDX-License-Identifier: MIT */
/*
 * Segment registers: descriptors, MOV/POP/Lxx to a segment register, LAR/LSL/VERR/VERW/ARPL,
 * the descriptor table registers, FS/GS bases; and the stack and TSS accesses that transfers
 * between rings are made of (helper-far.c, helper-exc.c).
 *
 * The order of checks is that of the pseudo code in SDM volume 2; everything is checked before
 * the first register changes.
 * Sources: SDM 3A chapters 3 and 5, SDM 2 (the instructions), APM 2 chapter 4.
 */
#include "target-i386/seg.h"

/* ---- descriptors ---------------------------------------------------------------------- */

bool desc_read(X86CPU *c, uint16_t sel, Desc *d)
{
    uint64_t base = c->gdt.base;
    uint32_t limit = c->gdt.limit;

    if (sel & 4) {
        if (!(c->ldt.attr & DESC_P)) {
            return false;
        }
        base = c->ldt.base;
        limit = c->ldt.limit;
    }
    if ((uint32_t)(sel | 7) > limit) {
        return false;
    }
    d->la = (base + (sel & ~7u)) & linear_mask(c);
    uint64_t raw = x86_ld(c, d->la, 8, MMU_IMPLICIT);
    d->lo = raw;
    d->hi = raw >> 32;
    return true;
}

bool desc_read_high(X86CPU *c, uint16_t sel, uint32_t *base_hi, uint32_t *last)
{
    const DescTable *gdt = &c->gdt;
    uint64_t base = sel & 4 ? c->ldt.base : gdt->base;
    uint32_t limit = sel & 4 ? c->ldt.limit : gdt->limit;

    if ((uint32_t)(sel | 7) + 8 > limit) {
        return false;
    }
    uint64_t raw = x86_ld(c, base + (sel & ~7u) + 8, 8, MMU_IMPLICIT);
    *base_hi = raw;
    *last = raw >> 32;
    return true;
}

void desc_set_accessed(X86CPU *c, Desc *d)
{
    if (!(d->hi & DESC_A)) {
        x86_fetch_or32(c, (d->la + 4) & linear_mask(c), DESC_A, MMU_IMPLICIT);
        d->hi |= DESC_A;
    }
}

void seg_set(X86CPU *c, Segment *seg, uint16_t sel, const Desc *d)
{
    seg->sel = sel;
    seg->base = desc_base(d);
    seg->limit = desc_limit(d);
    seg->attr = d->hi & 0x00f0ff00;
}

void seg_set_null(Segment *seg, uint16_t sel)
{
    seg->sel = sel;
    seg->base = 0;
    seg->limit = 0;
    seg->attr = 0;
}

/* In real mode limit and attributes stay what they were ("big real mode"). */
void seg_set_real(X86CPU *c, int reg, uint16_t sel)
{
    Segment *s = &c->seg[reg];

    s->sel = sel;
    s->base = (uint32_t)sel << 4;
    if (c->rflags & FL_VM) {
        s->limit = 0xffff;
        s->attr = DESC_P | DESC_S | DESC_W | DESC_A | 3u << DESC_DPL_SHIFT;
        if (reg == R_CS) {
            s->attr |= DESC_CODE;
        }
    } else if (!(s->attr & DESC_P)) {
        s->limit = 0xffff;
        s->attr = DESC_P | DESC_S | DESC_W | DESC_A;
    }
}

void seg_set_flat(Segment *seg, uint16_t sel, uint32_t attr)
{
    seg->sel = sel;
    seg->base = 0;
    seg->limit = 0xffffffff;
    seg->attr = attr;
}

void seg_drop_inner(X86CPU *c, unsigned cpl)
{
    static const int regs[] = { R_ES, R_DS, R_FS, R_GS };

    for (unsigned i = 0; i < G_N_ELEMENTS(regs); i++) {
        Segment *s = &c->seg[regs[i]];
        bool conforming = (s->attr & (DESC_CODE | DESC_C)) == (DESC_CODE | DESC_C);
        if ((s->attr & DESC_P) && !conforming && ((s->attr >> DESC_DPL_SHIFT) & 3) < cpl) {
            s->sel = 0;
            s->attr = 0;                /* base and limit stay: 64-bit code sees them */
        }
    }
}

/* ---- stacks --------------------------------------------------------------------------- */

Stack stack_current(X86CPU *c)
{
    bool flat = x86_code64(c);
    return (Stack){
        .c = c, .ss = c->seg[R_SS], .sp = c->r[R_ESP], .flat = flat, .mmu = x86_mmu_index(c),
        .mask = flat ? ~0ull : c->seg[R_SS].attr & DESC_B ? 0xffffffff : 0xffff,
    };
}

Stack stack_inner(X86CPU *c, const Segment *ss, uint64_t sp, unsigned cpl, bool flat)
{
    /* AC exempts from SMAP only where it was set by the supervisor itself. */
    bool ac = x86_cpl(c) < 3 && (c->rflags & FL_AC);
    return (Stack){
        .c = c, .ss = *ss, .sp = sp, .flat = flat, .err = ss->sel & 0xfffc,
        .mmu = cpl == 3 ? MMU_USER : (c->cr4 & CR4_SMAP) && !ac ? MMU_KSMAP : MMU_KNOSMAP,
        .mask = flat ? ~0ull : ss->attr & DESC_B ? 0xffffffff : 0xffff,
    };
}

/* Is [off, off+len) inside a data segment? */
static bool seg_contains(const Segment *s, uint32_t off, unsigned len)
{
    uint32_t last = off + len - 1;
    if (last < off) {
        return false;
    }
    if ((s->attr & (DESC_CODE | DESC_E)) == DESC_E) {
        return off > s->limit && (s->attr & DESC_B || last <= 0xffff);
    }
    return last <= s->limit;
}

static uint64_t stack_linear(const Stack *s, unsigned size)
{
    uint64_t off = s->sp & s->mask;

    if (s->flat) {
        if (!x86_canonical(s->c, off) || !x86_canonical(s->c, off + size - 1)) {
            x86_raise_err(s->c, EXC_SS, s->err);
        }
        return off;
    }
    if (!seg_contains(&s->ss, off, size)) {
        x86_raise_err(s->c, EXC_SS, s->err);
    }
    return (uint32_t)(s->ss.base + off);
}

void stack_push(Stack *s, uint64_t val, unsigned size)
{
    s->sp -= size;
    x86_st(s->c, stack_linear(s, size), val, size, s->mmu);
}

uint64_t stack_pop(Stack *s, unsigned size)
{
    uint64_t val = x86_ld(s->c, stack_linear(s, size), size, s->mmu);
    s->sp += size;
    return val;
}

void stack_set_sp(X86CPU *c, uint64_t sp, uint64_t mask)
{
    if (mask == 0xffff) {
        c->r[R_ESP] = (c->r[R_ESP] & ~0xffffull) | (sp & 0xffff);
    } else {
        c->r[R_ESP] = sp & mask;
    }
}

void stack_commit(X86CPU *c, const Stack *s)
{
    stack_set_sp(c, s->sp, s->mask);
}

/* ---- loads ---------------------------------------------------------------------------- */

static void load_ss(X86CPU *c, uint16_t sel)
{
    unsigned cpl = x86_cpl(c);
    Desc d;

    if (sel_is_null(sel)) {
        if (!x86_code64(c) || cpl == 3 || (sel & 3) != cpl) {
            x86_raise_err(c, EXC_GP, 0);
        }
        seg_set_null(&c->seg[R_SS], sel);
        c->seg[R_SS].attr = cpl << DESC_DPL_SHIFT;
        return;
    }
    if (!desc_read(c, sel, &d) || (sel & 3) != cpl || !desc_is_writable_data(&d)
        || desc_dpl(&d) != cpl) {
        gp(c, sel);
    }
    if (!(d.hi & DESC_P)) {
        x86_raise_err(c, EXC_SS, sel & 0xfffc);
    }
    desc_set_accessed(c, &d);
    seg_set(c, &c->seg[R_SS], sel, &d);
}

static void load_data(X86CPU *c, int reg, uint16_t sel)
{
    Desc d;

    if (sel_is_null(sel)) {
        seg_set_null(&c->seg[reg], sel);
        return;
    }
    if (!desc_read(c, sel, &d) || !(d.hi & DESC_S)
        || (d.hi & (DESC_CODE | DESC_R)) == DESC_CODE) {
        gp(c, sel);
    }
    if ((d.hi & (DESC_CODE | DESC_C)) != (DESC_CODE | DESC_C)
        && (desc_dpl(&d) < (sel & 3) || desc_dpl(&d) < x86_cpl(c))) {
        gp(c, sel);
    }
    if (!(d.hi & DESC_P)) {
        np(c, sel);
    }
    desc_set_accessed(c, &d);
    seg_set(c, &c->seg[reg], sel, &d);
}

void x86_load_seg(X86CPU *c, int reg, uint16_t sel)
{
    if (!x86_protected(c)) {
        seg_set_real(c, reg, sel);
    } else if (reg == R_SS) {
        load_ss(c, sel);
    } else {
        load_data(c, reg, sel);
    }
    x86_update_mode(c);
}

void x86_shadow_mov_ss(X86CPU *c)
{
    c->int_shadow = c->shadow_mov_ss = true;
}
/* ---- inner stacks, from the TSS ---------------------------------------------------------- */

void tss_inner_stack(X86CPU *c, unsigned dpl, uint16_t *ss, uint32_t *sp)
{
    bool wide = (c->tr.attr >> DESC_TYPE_SHIFT & 15) & 8;
    unsigned at = wide ? 4 + 8 * dpl : 2 + 4 * dpl;
    uint64_t la = (c->tr.base + at) & linear_mask(c);

    if (at + (wide ? 5 : 3) > c->tr.limit) {
        x86_raise_err(c, EXC_TS, c->tr.sel & 0xfffc);
    }
    *sp = x86_ld(c, la, wide ? 4 : 2, MMU_IMPLICIT);
    *ss = x86_ld(c, la + (wide ? 4 : 2), 2, MMU_IMPLICIT);
}

uint64_t tss_rsp(X86CPU *c, unsigned n)
{
    unsigned at = n < 3 ? 4 + 8 * n : 0x24 + 8 * (n - 4);

    if (at + 7 > c->tr.limit) {
        x86_raise_err(c, EXC_TS, c->tr.sel & 0xfffc);
    }
    return x86_ld(c, c->tr.base + at, 8, MMU_IMPLICIT);
}

void check_inner_ss(X86CPU *c, uint16_t sel, unsigned dpl, Desc *d)
{
    if (sel_is_null(sel)) {
        x86_raise_err(c, EXC_TS, 0);
    }
    if (!desc_read(c, sel, d) || (sel & 3) != dpl || desc_dpl(d) != dpl
        || !desc_is_writable_data(d)) {
        x86_raise_err(c, EXC_TS, sel & 0xfffc);
    }
    if (!(d->hi & DESC_P)) {
        x86_raise_err(c, EXC_SS, sel & 0xfffc);
    }
}

/* ---- LAR, LSL, VERR, VERW, ARPL ------------------------------------------------------- */

static void ud_unless_protected(X86CPU *c)
{
    if (!x86_protected(c)) {
        x86_raise(c, EXC_UD);
    }
}

/* May code at this CPL with this RPL see the descriptor at all? */
static bool desc_visible(X86CPU *c, uint16_t sel, const Desc *d)
{
    if ((d->hi & (DESC_S | DESC_CODE | DESC_C)) == (DESC_S | DESC_CODE | DESC_C)) {
        return true;
    }
    return desc_dpl(d) >= x86_cpl(c) && desc_dpl(d) >= (sel & 3);
}

/* System types LAR (bit set) accepts, legacy and long mode; LSL takes the non-gates of them. */
#define LAR_TYPES       0x1a3e    /* 1 2 3 4 5 9 11 12 */
#define LAR_TYPES_LONG  0x1a04    /* 2 9 11 12 */
#define LSL_TYPES       0x0a0e    /* 1 2 3 9 11 */
#define LSL_TYPES_LONG  0x0a04    /* 2 9 11 */

static bool lar_lsl(X86CPU *c, uint16_t sel, unsigned types, Desc *d)
{
    return !sel_is_null(sel) && desc_read(c, sel, d)
           && ((d->hi & DESC_S) || (types >> desc_type(d) & 1)) && desc_visible(c, sel, d);
}

bool x86_lar(X86CPU *c, uint16_t sel, uint32_t *out)
{
    Desc d;

    ud_unless_protected(c);
    if (!lar_lsl(c, sel, x86_long_mode(c) ? LAR_TYPES_LONG : LAR_TYPES, &d)) {
        return false;
    }
    *out = d.hi & 0x00f0ff00;
    return true;
}

bool x86_lsl(X86CPU *c, uint16_t sel, uint32_t *out)
{
    Desc d;

    ud_unless_protected(c);
    if (!lar_lsl(c, sel, x86_long_mode(c) ? LSL_TYPES_LONG : LSL_TYPES, &d)) {
        return false;
    }
    *out = desc_limit(&d);
    return true;
}

bool x86_verr(X86CPU *c, uint16_t sel)
{
    Desc d;

    ud_unless_protected(c);
    return !sel_is_null(sel) && desc_read(c, sel, &d) && (d.hi & DESC_S)
           && (d.hi & (DESC_CODE | DESC_R)) != DESC_CODE && desc_visible(c, sel, &d);
}

bool x86_verw(X86CPU *c, uint16_t sel)
{
    Desc d;

    ud_unless_protected(c);
    return !sel_is_null(sel) && desc_read(c, sel, &d) && desc_is_writable_data(&d)
           && desc_visible(c, sel, &d);
}

uint16_t x86_arpl(X86CPU *c, uint16_t dst, uint16_t src, bool *zf)
{
    ud_unless_protected(c);
    *zf = (dst & 3) < (src & 3);
    return *zf ? (dst & ~3) | (src & 3) : dst;
}

/* ---- LDTR, TR, GDTR, IDTR ------------------------------------------------------------- */

/* Base bits 63..32 of a long-mode LDT or TSS descriptor; #GP if the type bits in the second
 * half are not zero or the base is not canonical. */
static uint64_t long_base(X86CPU *c, uint16_t sel, const Desc *d)
{
    uint32_t high, last;

    if (!desc_read_high(c, sel, &high, &last) || (last & 0x1f00)) {
        gp(c, sel);
    }
    uint64_t base = desc_base(d) | (uint64_t)high << 32;
    if (!x86_canonical_register(c, base)) {
        gp(c, sel);
    }
    return base;
}

void x86_lldt(X86CPU *c, uint16_t sel)
{
    Desc d;
    uint64_t base;

    ud_unless_protected(c);
    x86_check_cpl0(c);
    if (sel_is_null(sel)) {
        seg_set_null(&c->ldt, sel);
        return;
    }
    if ((sel & 4) || !desc_read(c, sel, &d) || (d.hi & DESC_S) || desc_type(&d) != SYS_LDT) {
        gp(c, sel);
    }
    if (!(d.hi & DESC_P)) {
        np(c, sel);
    }
    base = x86_long_mode(c) ? long_base(c, sel, &d) : desc_base(&d);
    seg_set(c, &c->ldt, sel, &d);
    c->ldt.base = base;
}

void x86_ltr(X86CPU *c, uint16_t sel)
{
    Desc d;
    uint64_t base;

    ud_unless_protected(c);
    x86_check_cpl0(c);
    if (sel_is_null(sel)) {
        x86_raise_err(c, EXC_GP, 0);
    }
    if ((sel & 4) || !desc_read(c, sel, &d) || (d.hi & DESC_S)
        || !(desc_type(&d) == SYS_TSS32_AVAIL
             || (desc_type(&d) == SYS_TSS16_AVAIL && !x86_long_mode(c)))) {
        gp(c, sel);
    }
    if (!(d.hi & DESC_P)) {
        np(c, sel);
    }
    base = x86_long_mode(c) ? long_base(c, sel, &d) : desc_base(&d);
    x86_fetch_or32(c, (d.la + 4) & linear_mask(c), 2 << DESC_TYPE_SHIFT, MMU_IMPLICIT);
    d.hi |= 2 << DESC_TYPE_SHIFT;
    seg_set(c, &c->tr, sel, &d);
    c->tr.base = base;
}

void x86_check_umip(X86CPU *c)
{
    if ((c->cr4 & CR4_UMIP) && x86_cpl(c)) {
        x86_raise_err(c, EXC_GP, 0);
    }
}

uint16_t x86_sldt(X86CPU *c)
{
    ud_unless_protected(c);
    x86_check_umip(c);
    return c->ldt.sel;
}

uint16_t x86_str(X86CPU *c)
{
    ud_unless_protected(c);
    x86_check_umip(c);
    return c->tr.sel;
}

static void load_table(X86CPU *c, DescTable *t, uint16_t limit, uint64_t base, unsigned opsize)
{
    x86_check_cpl0(c);
    if (x86_code64(c)) {
        if (!x86_canonical_register(c, base)) {
            x86_raise_err(c, EXC_GP, 0);
        }
    } else {
        base &= opsize == 2 ? 0xffffff : 0xffffffff;
    }
    t->limit = limit;
    t->base = base;
}

void x86_lgdt(X86CPU *c, uint16_t limit, uint64_t base, unsigned opsize)
{
    load_table(c, &c->gdt, limit, base, opsize);
}

void x86_lidt(X86CPU *c, uint16_t limit, uint64_t base, unsigned opsize)
{
    load_table(c, &c->idt, limit, base, opsize);
}

/* ---- FS and GS bases ------------------------------------------------------------------ */

void x86_swapgs(X86CPU *c)
{
    if (!x86_code64(c)) {
        x86_raise(c, EXC_UD);
    }
    x86_check_cpl0(c);
    uint64_t base = c->seg[R_GS].base;
    c->seg[R_GS].base = c->kernel_gs_base;
    c->kernel_gs_base = base;
    x86_update_mode(c);
}

static void check_fsgsbase(X86CPU *c)
{
    if (!x86_code64(c) || !(c->cr4 & CR4_FSGSBASE)) {
        x86_raise(c, EXC_UD);
    }
}

uint64_t x86_rdsegbase(X86CPU *c, int reg, unsigned opsize)
{
    check_fsgsbase(c);
    return opsize == 8 ? c->seg[reg].base : (uint32_t)c->seg[reg].base;
}

void x86_wrsegbase(X86CPU *c, int reg, uint64_t val, unsigned opsize)
{
    check_fsgsbase(c);
    if (opsize != 8) {
        val = (uint32_t)val;
    } else if (!x86_canonical_register(c, val)) {
        x86_raise_err(c, EXC_GP, 0);
    }
    c->seg[reg].base = val;
    x86_update_mode(c);
}
