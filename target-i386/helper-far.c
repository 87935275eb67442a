/* SPDX-License-Identifier: MIT */
/*
 * Far transfers: JMP, CALL and RET between segments, call gates, IRET in all modes, SYSCALL,
 * SYSENTER and their returns.
 *
 * The order of checks is that of the pseudo code in SDM volume 2; everything is checked, and
 * every stack slot read or written, before the first register changes.
 * Sources: SDM 3A chapters 5 and 7, 3B 20 and 21; SDM 2 (the instructions), APM 2 chapter 4.
 */
#include "target-i386/seg.h"

#include <inttypes.h>
#include "util/log.h"

/* ---- code segments -------------------------------------------------------------------- */

/* The target of a transfer must lie in the segment d will be: #GP(0). */
static void check_target(X86CPU *c, const Desc *d, uint64_t off)
{
    if (x86_long_mode(c) && (d->hi & DESC_L)) {
        if (!x86_canonical(c, off)) {
            x86_raise_err(c, EXC_GP, 0);
        }
    } else if (off > desc_limit(d)) {
        x86_raise_err(c, EXC_GP, 0);
    }
}

/* L and D together are reserved in long mode. */
static bool desc_bad_long(const X86CPU *c, const Desc *d)
{
    return x86_long_mode(c) && (d->hi & (DESC_L | DESC_B)) == (DESC_L | DESC_B);
}

static void commit_cs(X86CPU *c, uint16_t sel, unsigned cpl, const Desc *d, uint64_t off)
{
    seg_set(c, &c->seg[R_CS], (sel & 0xfffc) | cpl, d);
    c->rip = off;
    x86_update_mode(c);
}

/* -d pcall: a far transfer that protection rules apply to. */
static void log_far(const X86CPU *c, const char *what, uint16_t sel, uint64_t off)
{
    LOG(LOG_PCALL, "%s %04x:%" PRIx64 " at %04x:%" PRIx64 ", CPL %u\n", what, sel, off,
        c->seg[R_CS].sel, c->rip, x86_cpl(c));
}

static void far_real(X86CPU *c, uint16_t sel, uint64_t off)
{
    if (off > c->seg[R_CS].limit) {
        x86_raise_err(c, EXC_GP, 0);
    }
    seg_set_real(c, R_CS, sel);
    c->rip = off;
    x86_update_mode(c);
}

static uint64_t mask_offset(uint64_t off, unsigned opsize)
{
    return opsize == 2 ? off & 0xffff : opsize == 4 ? off & 0xffffffff : off;
}

/* A call gate on its way: what it points at. */
typedef struct Gate {
    uint16_t sel;
    uint64_t off;
    unsigned size, params;    /* of a stack slot in bytes; number of slots to copy */
    Desc code;
} Gate;

/* Checks up to and including the target code segment's type; privilege rules differ for JMP
 * and CALL and come after. */
static void read_call_gate(X86CPU *c, uint16_t sel, const Desc *d, Gate *g)
{
    bool lm = x86_long_mode(c);

    if (desc_dpl(d) < x86_cpl(c) || desc_dpl(d) < (sel & 3)) {
        gp(c, sel);
    }
    if (!(d->hi & DESC_P)) {
        np(c, sel);
    }
    g->sel = d->lo >> 16;
    g->off = (d->lo & 0xffff) | (d->hi & 0xffff0000);
    g->params = d->hi & 31;
    g->size = desc_type(d) == SYS_CALL16 ? 2 : 4;
    if (g->size == 2) {
        g->off &= 0xffff;
    }
    if (lm) {
        uint32_t high, last;
        if (!desc_read_high(c, sel, &high, &last) || (last & 0x1f00)) {
            gp(c, sel);
        }
        g->off |= (uint64_t)high << 32;
        g->size = 8;
        g->params = 0;
    }
    if (sel_is_null(g->sel)) {
        x86_raise_err(c, EXC_GP, 0);
    }
    if (!desc_read(c, g->sel, &g->code) || !desc_is_code(&g->code)
        || desc_dpl(&g->code) > x86_cpl(c)) {
        gp(c, g->sel);
    }
    if (lm && (g->code.hi & (DESC_L | DESC_B)) != DESC_L) {
        gp(c, g->sel);
    }
}

static void jmp_gate(X86CPU *c, uint16_t sel, const Desc *d, uint64_t next)
{
    unsigned cpl = x86_cpl(c);
    Gate g;

    read_call_gate(c, sel, d, &g);
    if (!desc_conforming(&g.code) && desc_dpl(&g.code) != cpl) {
        gp(c, g.sel);
    }
    if (!(g.code.hi & DESC_P)) {
        np(c, g.sel);
    }
    check_target(c, &g.code, g.off);
    desc_set_accessed(c, &g.code);
    commit_cs(c, g.sel, cpl, &g.code, g.off);
}

/* Check a TSS or task gate descriptor that JMP or CALL named, then switch. */
static void far_task(X86CPU *c, uint16_t sel, const Desc *d, TaskReason why, uint64_t next)
{
    if (desc_dpl(d) < x86_cpl(c) || desc_dpl(d) < (sel & 3)) {
        gp(c, sel);
    }
    if (!(d->hi & DESC_P)) {
        np(c, sel);
    }
    if (desc_type(d) == SYS_TASK_GATE) {
        x86_task_gate(c, d->lo >> 16, why, next, false, 0);
    } else if (sel & 4) {
        gp(c, sel);
    } else {
        x86_task_switch(c, sel, d, why, next, false, 0);
    }
}

/* The checks JMP and CALL share for a code segment named directly. */
static void check_far_code(X86CPU *c, uint16_t sel, const Desc *d)
{
    unsigned cpl = x86_cpl(c), dpl = desc_dpl(d);

    if (desc_conforming(d) ? dpl > cpl : (sel & 3) > cpl || dpl != cpl) {
        gp(c, sel);
    }
    if (desc_bad_long(c, d)) {
        gp(c, sel);
    }
    if (!(d->hi & DESC_P)) {
        np(c, sel);
    }
}

static void jmp_code(X86CPU *c, uint16_t sel, Desc *d, uint64_t off, unsigned opsize, uint64_t next)
{
    check_far_code(c, sel, d);
    check_target(c, d, off);
    desc_set_accessed(c, d);
    commit_cs(c, sel, x86_cpl(c), d, off);
}

/* How JMP and CALL differ */
typedef struct FarKind {
    const char *name;
    TaskReason task;
    void (*code)(X86CPU *c, uint16_t sel, Desc *d, uint64_t off, unsigned opsize, uint64_t next);
    void (*gate)(X86CPU *c, uint16_t sel, const Desc *d, uint64_t next);
} FarKind;

/* Protected mode: what kind of thing the selector names. */
static void far_protected(X86CPU *c, const FarKind *k, uint16_t sel, uint64_t off, unsigned opsize,
                          uint64_t next)
{
    Desc d;

    log_far(c, k->name, sel, off);
    if (sel_is_null(sel)) {
        x86_raise_err(c, EXC_GP, 0);
    }
    if (!desc_read(c, sel, &d)) {
        gp(c, sel);
    }
    if (d.hi & DESC_S) {
        if (!(d.hi & DESC_CODE)) {
            gp(c, sel);
        }
        k->code(c, sel, &d, off, opsize, next);
        return;
    }
    switch (desc_type(&d)) {
    case SYS_CALL32:
        k->gate(c, sel, &d, next);
        return;
    case SYS_CALL16:
        if (!x86_long_mode(c)) {
            k->gate(c, sel, &d, next);
            return;
        }
        break;
    case SYS_TSS16_AVAIL: case SYS_TSS32_AVAIL: case SYS_TASK_GATE:
        if (!x86_long_mode(c)) {
            far_task(c, sel, &d, k->task, next);
            return;
        }
        break;
    }
    gp(c, sel);
}

void x86_far_jmp(X86CPU *c, uint16_t sel, uint64_t off, unsigned opsize, uint64_t next)
{
    static const FarKind kind = { "far jump", TASK_JMP, jmp_code, jmp_gate };

    off = mask_offset(off, opsize);
    if (x86_protected(c)) {
        far_protected(c, &kind, sel, off, opsize, next);
    } else {
        far_real(c, sel, off);
    }
}

/* ---- CALL ----------------------------------------------------------------------------- */

/* A call gate to an inner ring: switch stacks, copy parameters. */
static void call_inner(X86CPU *c, Gate *g, uint64_t next)
{
    unsigned dpl = desc_dpl(&g->code);
    Segment new_ss;
    Stack in, out = stack_current(c);
    uint32_t params[31];
    Desc ssd;

    if (x86_long_mode(c)) {
        seg_set_null(&new_ss, dpl);
        new_ss.attr = dpl << DESC_DPL_SHIFT;
        in = stack_inner(c, &new_ss, tss_rsp(c, dpl), dpl, true);
    } else {
        uint16_t sel;
        uint32_t sp;
        tss_inner_stack(c, dpl, &sel, &sp);
        check_inner_ss(c, sel, dpl, &ssd);
        seg_set(c, &new_ss, sel, &ssd);
        in = stack_inner(c, &new_ss, sp, dpl, false);
    }
    for (unsigned i = 0; i < g->params; i++) {
        params[i] = stack_pop(&out, g->size);
    }
    stack_push(&in, c->seg[R_SS].sel, g->size);
    stack_push(&in, c->r[R_ESP], g->size);
    for (unsigned i = g->params; i > 0; i--) {
        stack_push(&in, params[i - 1], g->size);
    }
    stack_push(&in, c->seg[R_CS].sel, g->size);
    stack_push(&in, next, g->size);
    check_target(c, &g->code, g->off);
    if (!x86_long_mode(c)) {
        desc_set_accessed(c, &ssd);
        new_ss.attr |= DESC_A;
    }
    desc_set_accessed(c, &g->code);
    c->seg[R_SS] = new_ss;
    stack_commit(c, &in);
    commit_cs(c, g->sel, dpl, &g->code, g->off);
}

static void call_gate(X86CPU *c, uint16_t sel, const Desc *d, uint64_t next)
{
    unsigned cpl = x86_cpl(c);
    Gate g;

    read_call_gate(c, sel, d, &g);
    if (!(g.code.hi & DESC_P)) {
        np(c, g.sel);
    }
    if (!desc_conforming(&g.code) && desc_dpl(&g.code) < cpl) {
        call_inner(c, &g, next);
        return;
    }
    /* A 64-bit gate makes the stack 64 bits wide even when called from compatibility mode. */
    Stack s = stack_current(c);
    if (g.size == 8 && !s.flat) {
        s.flat = true;
        s.mask = ~0ull;
    }
    stack_push(&s, c->seg[R_CS].sel, g.size);
    stack_push(&s, next, g.size);
    check_target(c, &g.code, g.off);
    desc_set_accessed(c, &g.code);
    stack_commit(c, &s);
    commit_cs(c, g.sel, cpl, &g.code, g.off);
}

static void call_code(X86CPU *c, uint16_t sel, Desc *d, uint64_t off, unsigned opsize,
                      uint64_t next)
{
    Stack s = stack_current(c);

    check_far_code(c, sel, d);
    stack_push(&s, c->seg[R_CS].sel, opsize);
    stack_push(&s, next, opsize);
    check_target(c, d, off);
    desc_set_accessed(c, d);
    stack_commit(c, &s);
    commit_cs(c, sel, x86_cpl(c), d, off);
}

void x86_far_call(X86CPU *c, uint16_t sel, uint64_t off, unsigned opsize, uint64_t next)
{
    static const FarKind kind = { "far call", TASK_CALL, call_code, call_gate };

    off = mask_offset(off, opsize);
    if (x86_protected(c)) {
        far_protected(c, &kind, sel, off, opsize, next);
        return;
    }
    Stack s = stack_current(c);
    if (off > c->seg[R_CS].limit) {
        x86_raise_err(c, EXC_GP, 0);
    }
    stack_push(&s, c->seg[R_CS].sel, opsize);
    stack_push(&s, next, opsize);
    stack_commit(c, &s);
    far_real(c, sel, off);
}

/* ---- RET and IRET --------------------------------------------------------------------- */

/* The code segment a far return found on the stack. */
static void check_return_cs(X86CPU *c, uint16_t sel, Desc *d)
{
    unsigned rpl = sel & 3;

    if (sel_is_null(sel)) {
        x86_raise_err(c, EXC_GP, 0);
    }
    if (!desc_read(c, sel, d) || !desc_is_code(d) || rpl < x86_cpl(c)
        || (desc_conforming(d) ? desc_dpl(d) > rpl : desc_dpl(d) != rpl)
        || desc_bad_long(c, d)) {
        gp(c, sel);
    }
    if (!(d->hi & DESC_P)) {
        np(c, sel);
    }
}

/* The stack segment to return to; true: null, which 64-bit code of ring 0..2 may have. */
static bool check_return_ss(X86CPU *c, uint16_t sel, unsigned rpl, const Desc *code, Desc *d)
{
    if (sel_is_null(sel)) {
        if (!x86_long_mode(c) || !(code->hi & DESC_L) || rpl == 3 || (sel & 3) != rpl) {
            x86_raise_err(c, EXC_GP, 0);
        }
        return true;
    }
    if (!desc_read(c, sel, d) || (sel & 3) != rpl || !desc_is_writable_data(d)
        || desc_dpl(d) != rpl) {
        gp(c, sel);
    }
    if (!(d->hi & DESC_P)) {
        x86_raise_err(c, EXC_SS, sel & 0xfffc);
    }
    return false;
}

/* Load SS:SP and CS:RIP of a return that takes its stack along. */
static void commit_return(X86CPU *c, uint16_t cs, Desc *code, uint64_t rip,
                          uint16_t ss, uint64_t sp)
{
    unsigned rpl = cs & 3;
    Desc d;
    bool null = check_return_ss(c, ss, rpl, code, &d);

    check_target(c, code, rip);
    if (!null) {
        desc_set_accessed(c, &d);
    }
    desc_set_accessed(c, code);
    if (null) {
        seg_set_null(&c->seg[R_SS], ss);
        c->seg[R_SS].attr = rpl << DESC_DPL_SHIFT;
    } else {
        seg_set(c, &c->seg[R_SS], ss, &d);
    }
    bool code64 = x86_long_mode(c) && (code->hi & DESC_L);
    stack_set_sp(c, sp, code64 ? ~0ull : c->seg[R_SS].attr & DESC_B ? 0xffffffff : 0xffff);
    commit_cs(c, cs, rpl, code, rip);
}

void x86_far_ret(X86CPU *c, unsigned opsize, uint16_t pop_bytes)
{
    Stack s = stack_current(c);
    uint64_t rip = stack_pop(&s, opsize);
    uint16_t cs = stack_pop(&s, opsize);
    unsigned cpl = x86_cpl(c);
    Desc d;

    s.sp += pop_bytes;
    if (!x86_protected(c)) {
        if (rip > c->seg[R_CS].limit) {
            x86_raise_err(c, EXC_GP, 0);
        }
        stack_commit(c, &s);
        far_real(c, cs, rip);
        return;
    }
    log_far(c, "far return", cs, rip);
    check_return_cs(c, cs, &d);
    if ((cs & 3) == cpl) {
        check_target(c, &d, rip);
        desc_set_accessed(c, &d);
        stack_commit(c, &s);
        commit_cs(c, cs, cpl, &d, rip);
        return;
    }
    uint64_t sp = stack_pop(&s, opsize);
    uint16_t ss = stack_pop(&s, opsize);
    commit_return(c, cs, &d, rip, ss, sp + pop_bytes);
    seg_drop_inner(c, cs & 3);
}

/* RFLAGS bits an IRET of this size in protected mode at cpl may change. */
static uint64_t iret_flags_mask(const X86CPU *c, unsigned cpl, unsigned opsize)
{
    uint64_t mask = FL_ARITH | FL_TF | FL_DF | FL_NT;

    if (opsize > 2) {
        mask |= FL_RF | FL_AC | FL_ID;
        if (cpl == 0) {
            mask |= FL_VIF | FL_VIP;
        }
    }
    if (cpl == 0) {
        mask |= FL_IOPL;
    }
    if (cpl <= (c->rflags & FL_IOPL) >> 12) {
        mask |= FL_IF;
    }
    return mask;
}

static void merge_flags(X86CPU *c, uint64_t image, uint64_t mask)
{
    x86_set_flags(c, (x86_get_flags(c) & ~mask) | (image & mask) | FL_1);
}

static void iret_real(X86CPU *c, unsigned opsize)
{
    Stack s = stack_current(c);
    uint64_t rip = stack_pop(&s, opsize);
    uint16_t cs = stack_pop(&s, opsize);
    uint64_t image = stack_pop(&s, opsize);
    uint64_t mask = FL_ARITH | FL_TF | FL_IF | FL_DF | FL_IOPL | FL_NT;

    if (opsize > 2) {
        mask |= FL_RF | FL_AC | FL_ID;
    }
    if (rip > c->seg[R_CS].limit) {
        x86_raise_err(c, EXC_GP, 0);
    }
    stack_commit(c, &s);
    merge_flags(c, image, mask);
    far_real(c, cs, rip);
}

/* SDM 3B 21.2: IOPL 3 is an ordinary return, IOPL < 3 needs VME and plays with VIF. */
static void iret_v86(X86CPU *c, unsigned opsize)
{
    bool vme = (c->rflags & FL_IOPL) != FL_IOPL;

    if (vme && (!(c->cr4 & CR4_VME) || opsize != 2)) {
        x86_raise_err(c, EXC_GP, 0);
    }
    Stack s = stack_current(c);
    uint64_t rip = stack_pop(&s, opsize);
    uint16_t cs = stack_pop(&s, opsize);
    uint64_t image = stack_pop(&s, opsize);
    uint64_t mask = FL_ARITH | FL_TF | FL_DF | FL_NT;

    if (vme) {
        if ((image & FL_TF) || ((image & FL_IF) && (c->rflags & FL_VIP))) {
            x86_raise_err(c, EXC_GP, 0);
        }
        image = (image & ~(uint64_t)FL_VIF) | (image & FL_IF ? FL_VIF : 0);
        mask |= FL_VIF;
    } else {
        mask |= FL_IF;
        if (opsize > 2) {
            mask |= FL_RF | FL_AC | FL_ID;
        }
    }
    if (rip > 0xffff) {
        x86_raise_err(c, EXC_GP, 0);
    }
    stack_commit(c, &s);
    merge_flags(c, image, mask);
    far_real(c, cs, rip);
}

/* From ring 0 to virtual-8086 mode: the rest of the frame is ESP SS ES DS FS GS. */
static void iret_to_v86(X86CPU *c, Stack *s, uint32_t eip, uint16_t cs, uint32_t image)
{
    static const int order[] = { R_SS, R_ES, R_DS, R_FS, R_GS };
    uint32_t esp = stack_pop(s, 4);
    uint16_t sel[G_N_ELEMENTS(order)];

    for (unsigned i = 0; i < G_N_ELEMENTS(order); i++) {
        sel[i] = stack_pop(s, 4);
    }
    if (eip > 0xffff) {
        x86_raise_err(c, EXC_GP, 0);
    }
    merge_flags(c, image, iret_flags_mask(c, 0, 4) | FL_VM);
    seg_set_real(c, R_CS, cs);
    for (unsigned i = 0; i < G_N_ELEMENTS(order); i++) {
        seg_set_real(c, order[i], sel[i]);
    }
    c->r[R_ESP] = esp;
    c->rip = eip;
    x86_update_mode(c);
}

static void iret_protected(X86CPU *c, unsigned opsize)
{
    Stack s = stack_current(c);
    uint64_t rip = stack_pop(&s, opsize);
    uint16_t cs = stack_pop(&s, opsize);
    uint64_t image = stack_pop(&s, opsize);
    unsigned cpl = x86_cpl(c), rpl = cs & 3;
    uint64_t mask = iret_flags_mask(c, cpl, opsize);
    Desc d;

    log_far(c, "iret", cs, rip);
    if (opsize == 4 && (image & FL_VM) && cpl == 0 && !x86_long_mode(c)) {
        iret_to_v86(c, &s, rip, cs, image);
        return;
    }
    check_return_cs(c, cs, &d);
    if (rpl == cpl && !x86_code64(c)) {
        check_target(c, &d, rip);
        desc_set_accessed(c, &d);
        stack_commit(c, &s);
        merge_flags(c, image, mask);
        commit_cs(c, cs, cpl, &d, rip);
        return;
    }
    uint64_t sp = stack_pop(&s, opsize);
    uint16_t ss = stack_pop(&s, opsize);
    commit_return(c, cs, &d, rip, ss, sp);
    merge_flags(c, image, mask);
    if (rpl > cpl) {
        seg_drop_inner(c, rpl);
    }
    x86_update_mode(c);
}

void x86_iret(X86CPU *c, unsigned opsize, uint64_t next)
{
    /* NMIs are let in again even if the return faults (SDM 3A 6.7.1). */
    x86_unmask_nmi(c);
    if (!(c->cr0 & CR0_PE)) {
        iret_real(c, opsize);
    } else if (c->rflags & FL_VM) {
        iret_v86(c, opsize);
    } else if (c->rflags & FL_NT) {
        if (x86_long_mode(c)) {
            x86_raise_err(c, EXC_GP, 0);
        }
        x86_task_return(c, next);
    } else {
        iret_protected(c, opsize);
    }
    x86_recheck_irq(c);
}

/* ---- SYSCALL, SYSENTER ---------------------------------------------------------------- */

/* TF counts after these two, not before: a kernel that masks TF is not trapped into, and the
 * stepped program sees SYSCALL as one instruction (APM 2, 13.1.4). */
static void retrap_tf(X86CPU *c, bool tf_before)
{
    bool tf_after = c->rflags & FL_TF;

    c->skip_tf = tf_before && !tf_after;
    if (tf_after && !tf_before) {
        c->pending_dbg |= DB_BS;
    }
}

void x86_syscall(X86CPU *c, uint64_t next)
{
    uint64_t flags = x86_get_flags(c);
    uint16_t sel = (c->star >> 32) & 0xfffc;

    if (!(c->efer & EFER_SCE) || !(c->cr0 & CR0_PE) || (is_intel(c) && !x86_code64(c))) {
        x86_raise(c, EXC_UD);
    }
    if (x86_long_mode(c)) {
        c->r[R_ECX] = next;
        c->r[R_R11] = flags & ~(uint64_t)FL_RF;
        c->rip = x86_code64(c) ? c->lstar : c->cstar;
        seg_set_flat(&c->seg[R_CS], sel, FLAT_CODE | DESC_L);
        x86_set_flags(c, (flags & ~(c->fmask | FL_RF)) | FL_1);
    } else {
        c->r[R_ECX] = (uint32_t)next;
        c->rip = (uint32_t)c->star;
        seg_set_flat(&c->seg[R_CS], sel, FLAT_CODE | DESC_B);
        x86_set_flags(c, flags & ~(uint64_t)(FL_IF | FL_RF | FL_VM));
    }
    seg_set_flat(&c->seg[R_SS], sel + 8, FLAT_DATA);
    retrap_tf(c, flags & FL_TF);
    x86_update_mode(c);
}

void x86_sysret(X86CPU *c, unsigned opsize)
{
    uint64_t flags = x86_get_flags(c);
    uint16_t sel = (c->star >> 48) & 0xfffc;
    bool to64 = x86_long_mode(c) && opsize == 8;

    if (!(c->efer & EFER_SCE) || (is_intel(c) && !x86_code64(c))) {
        x86_raise(c, EXC_UD);
    }
    if (!(c->cr0 & CR0_PE) || x86_cpl(c)) {
        x86_raise_err(c, EXC_GP, 0);
    }
    if (to64 && is_intel(c) && !x86_canonical(c, c->r[R_ECX])) {
        x86_raise_err(c, EXC_GP, 0);
    }
    if (x86_long_mode(c)) {
        uint64_t mask = FL_ARITH | FL_TF | FL_IF | FL_DF | FL_IOPL | FL_NT | FL_AC | FL_ID
                        | FL_VIF | FL_VIP;
        x86_set_flags(c, (c->r[R_R11] & mask) | FL_1);
    } else {
        x86_set_flags(c, flags | FL_IF);
    }
    c->rip = to64 ? c->r[R_ECX] : (uint32_t)c->r[R_ECX];
    seg_set_flat(&c->seg[R_CS], (sel + (to64 ? 16 : 0)) | 3,
                 FLAT_CODE | 3u << DESC_DPL_SHIFT | (to64 ? DESC_L : DESC_B));
    seg_set_flat(&c->seg[R_SS], (sel + 8) | 3, FLAT_DATA | 3u << DESC_DPL_SHIFT);
    retrap_tf(c, flags & FL_TF);
    x86_update_mode(c);
    x86_recheck_irq(c);
}

void x86_sysenter(X86CPU *c, uint64_t next)
{
    uint16_t sel = c->sysenter_cs & 0xfffc;
    bool lm = x86_long_mode(c);

    if (lm && !is_intel(c)) {
        x86_raise(c, EXC_UD);
    }
    if (!(c->cr0 & CR0_PE) || sel_is_null(sel)) {
        x86_raise_err(c, EXC_GP, 0);
    }
    x86_set_flags(c, x86_get_flags(c) & ~(uint64_t)(FL_VM | FL_IF | FL_RF));
    seg_set_flat(&c->seg[R_CS], sel, FLAT_CODE | (lm ? DESC_L : DESC_B));
    seg_set_flat(&c->seg[R_SS], sel + 8, FLAT_DATA);
    c->r[R_ESP] = lm ? c->sysenter_esp : (uint32_t)c->sysenter_esp;
    c->rip = lm ? c->sysenter_eip : (uint32_t)c->sysenter_eip;
    x86_update_mode(c);
}

void x86_sysexit(X86CPU *c, unsigned opsize)
{
    uint16_t sel = c->sysenter_cs & 0xfffc;
    bool to64 = opsize == 8;

    if (x86_long_mode(c) && !is_intel(c)) {
        x86_raise(c, EXC_UD);
    }
    if (!(c->cr0 & CR0_PE) || x86_cpl(c) || sel_is_null(sel)
        || (to64 && (!x86_canonical(c, c->r[R_EDX]) || !x86_canonical(c, c->r[R_ECX])))) {
        x86_raise_err(c, EXC_GP, 0);
    }
    seg_set_flat(&c->seg[R_CS], (sel + (to64 ? 32 : 16)) | 3,
                 FLAT_CODE | 3u << DESC_DPL_SHIFT | (to64 ? DESC_L : DESC_B));
    seg_set_flat(&c->seg[R_SS], (sel + (to64 ? 40 : 24)) | 3, FLAT_DATA | 3u << DESC_DPL_SHIFT);
    c->rip = to64 ? c->r[R_EDX] : (uint32_t)c->r[R_EDX];
    c->r[R_ESP] = to64 ? c->r[R_ECX] : (uint32_t)c->r[R_ECX];
    x86_update_mode(c);
}
