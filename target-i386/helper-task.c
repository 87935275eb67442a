/* SPDX-License-Identifier: MIT */
/*
 * Hardware task switches: JMP, CALL, interrupts and IRET through TSS descriptors and task
 * gates, with 16-bit and 32-bit task state segments (SDM 3A chapter 8).
 *
 * A switch has two halves.  Until the new TR is loaded everything may still fault in the old
 * task, so both segments are probed and the new one is read whole before anything is written.
 * After it, faults belong to the new task: #TS with the selector that was bad, reported at the
 * new task's first instruction.
 */
#include "target-i386/seg.h"

#include "util/log.h"

#define TSS_BUSY (2u << DESC_TYPE_SHIFT)

/* Where a TSS keeps what a switch saves and loads. */
typedef struct TssLayout {
    uint8_t size;             /* bytes, also the smallest limit + 1 */
    uint8_t width;            /* of registers */
    uint8_t ip, flags, regs;
    uint8_t segs, nsegs, seg_step;
    uint8_t ldt;
} TssLayout;

static const TssLayout tss16 = {
    .size = 0x2c, .width = 2, .ip = 0x0e, .flags = 0x10, .regs = 0x12,
    .segs = 0x22, .nsegs = 4, .seg_step = 2, .ldt = 0x2a,
};
static const TssLayout tss32 = {
    .size = 0x68, .width = 4, .ip = 0x20, .flags = 0x24, .regs = 0x28,
    .segs = 0x48, .nsegs = 6, .seg_step = 4, .ldt = 0x60,
};
#define TSS32_CR3   0x1c
#define TSS32_TRAP  0x64

/* What the new TSS holds. */
typedef struct TaskImage {
    uint32_t cr3, eip, eflags, regs[8];
    uint16_t sel[SEG_COUNT], ldt;
    bool trap;
} TaskImage;

static const TssLayout *layout_of(unsigned type)
{
    return type & 8 ? &tss32 : &tss16;
}

static uint64_t at(uint64_t base, unsigned off)
{
    return (uint32_t)(base + off);
}

static G_NORETURN void ts(X86CPU *c, uint16_t sel)
{
    x86_raise_err(c, EXC_TS, sel & 0xfffc);
}

static void read_image(X86CPU *c, uint32_t base, const TssLayout *l, TaskImage *t)
{
    memset(t, 0, sizeof(*t));
    t->eip = x86_ld(c, at(base, l->ip), l->width, MMU_IMPLICIT);
    t->eflags = x86_ld(c, at(base, l->flags), l->width, MMU_IMPLICIT);
    for (unsigned i = 0; i < 8; i++) {
        t->regs[i] = x86_ld(c, at(base, l->regs + i * l->width), l->width, MMU_IMPLICIT);
        if (l->width == 2) {
            t->regs[i] |= 0xffff0000;
        }
    }
    for (unsigned i = 0; i < l->nsegs; i++) {
        t->sel[i] = x86_ld(c, at(base, l->segs + i * l->seg_step), 2, MMU_IMPLICIT);
    }
    t->ldt = x86_ld(c, at(base, l->ldt), 2, MMU_IMPLICIT);
    if (l == &tss32) {
        t->cr3 = x86_ld(c, at(base, TSS32_CR3), 4, MMU_IMPLICIT);
        t->trap = x86_ld(c, at(base, TSS32_TRAP), 2, MMU_IMPLICIT) & 1;
    }
}

static void save_old(X86CPU *c, const TssLayout *l, uint32_t eip, uint32_t eflags)
{
    uint32_t base = c->tr.base;

    x86_st(c, at(base, l->ip), eip, l->width, MMU_IMPLICIT);
    x86_st(c, at(base, l->flags), eflags, l->width, MMU_IMPLICIT);
    for (unsigned i = 0; i < 8; i++) {
        x86_st(c, at(base, l->regs + i * l->width), c->r[i], l->width, MMU_IMPLICIT);
    }
    for (unsigned i = 0; i < l->nsegs; i++) {
        x86_st(c, at(base, l->segs + i * l->seg_step), c->seg[i].sel, 2, MMU_IMPLICIT);
    }
}

static void clear_busy(X86CPU *c, uint16_t sel)
{
    uint64_t la = at(c->gdt.base, (sel & ~7u) + 4);
    x86_st(c, la, x86_ld(c, la, 4, MMU_IMPLICIT) & ~TSS_BUSY, 4, MMU_IMPLICIT);
}

/* ---- the second half: in the new task --------------------------------------------------- */

static void load_ldt(X86CPU *c, uint16_t sel)
{
    Desc d;

    seg_set_null(&c->ldt, sel);
    if (sel_is_null(sel)) {
        return;
    }
    if ((sel & 4) || !desc_read(c, sel, &d) || (d.hi & DESC_S) || desc_type(&d) != SYS_LDT
        || !(d.hi & DESC_P)) {
        ts(c, sel);
    }
    seg_set(c, &c->ldt, sel, &d);
}

static void load_task_cs(X86CPU *c, uint16_t sel, Desc *d)
{
    unsigned rpl = sel & 3;

    if (sel_is_null(sel) || !desc_read(c, sel, d) || !desc_is_code(d)
        || (desc_conforming(d) ? desc_dpl(d) > rpl : desc_dpl(d) != rpl)) {
        ts(c, sel);
    }
    if (!(d->hi & DESC_P)) {
        x86_raise_err(c, EXC_NP, sel & 0xfffc);
    }
}

static void load_task_ss(X86CPU *c, uint16_t sel, unsigned cpl)
{
    Desc d;

    if (sel_is_null(sel) || !desc_read(c, sel, &d) || (sel & 3) != cpl || desc_dpl(&d) != cpl
        || !desc_is_writable_data(&d)) {
        ts(c, sel);
    }
    if (!(d.hi & DESC_P)) {
        x86_raise_err(c, EXC_SS, sel & 0xfffc);
    }
    desc_set_accessed(c, &d);
    seg_set(c, &c->seg[R_SS], sel, &d);
}

static void load_task_data(X86CPU *c, int reg, uint16_t sel, unsigned cpl)
{
    Desc d;

    if (sel_is_null(sel)) {
        return;
    }
    if (!desc_read(c, sel, &d) || !(d.hi & DESC_S)
        || (d.hi & (DESC_CODE | DESC_R)) == DESC_CODE) {
        ts(c, sel);
    }
    if ((d.hi & (DESC_CODE | DESC_C)) != (DESC_CODE | DESC_C)
        && (desc_dpl(&d) < cpl || desc_dpl(&d) < (sel & 3))) {
        ts(c, sel);
    }
    if (!(d.hi & DESC_P)) {
        x86_raise_err(c, EXC_NP, sel & 0xfffc);
    }
    desc_set_accessed(c, &d);
    seg_set(c, &c->seg[reg], sel, &d);
}

/* All segments unusable, so that a fault among the loads below finds no stale cache. */
static void forget_segments(X86CPU *c, const TaskImage *t)
{
    unsigned cpl = t->sel[R_CS] & 3;

    for (int i = 0; i < SEG_COUNT; i++) {
        seg_set_null(&c->seg[i], t->sel[i]);
    }
    c->seg[R_SS].attr = cpl << DESC_DPL_SHIFT;
}

static void load_task_segments(X86CPU *c, const TaskImage *t)
{
    unsigned cpl = t->sel[R_CS] & 3;
    Desc cs;

    if (c->rflags & FL_VM) {
        for (int i = 0; i < SEG_COUNT; i++) {
            seg_set_real(c, i, t->sel[i]);
        }
        load_ldt(c, t->ldt);
        return;
    }
    forget_segments(c, t);
    load_ldt(c, t->ldt);
    load_task_cs(c, t->sel[R_CS], &cs);
    load_task_ss(c, t->sel[R_SS], cpl);
    load_task_data(c, R_DS, t->sel[R_DS], cpl);
    load_task_data(c, R_ES, t->sel[R_ES], cpl);
    load_task_data(c, R_FS, t->sel[R_FS], cpl);
    load_task_data(c, R_GS, t->sel[R_GS], cpl);
    desc_set_accessed(c, &cs);
    seg_set(c, &c->seg[R_CS], t->sel[R_CS], &cs);
}

/* ---- the switch ----------------------------------------------------------------------- */

void x86_task_switch(X86CPU *c, uint16_t sel, const Desc *d, TaskReason why, uint64_t next,
                     bool has_error, uint32_t error)
{
    const TssLayout *ln = layout_of(desc_type(d));
    const TssLayout *lo = layout_of(c->tr.attr >> DESC_TYPE_SHIFT & 15);
    uint32_t base = desc_base(d);
    uint16_t old_tr = c->tr.sel;
    uint64_t eflags = why == TASK_INT ? x86_event_flags(c) : x86_get_flags(c);
    TaskImage t;

    if (desc_limit(d) < ln->size - 1) {
        ts(c, sel);
    }
    if (!(c->tr.attr & DESC_P) || c->tr.limit < lo->size - 1) {
        ts(c, old_tr);
    }
    x86_probe(c, at(c->tr.base, 0), lo->size, true, MMU_IMPLICIT);
    x86_probe(c, at(base, 0), ln->size, false, MMU_IMPLICIT);
    if (why == TASK_CALL || why == TASK_INT) {
        x86_probe(c, at(base, 0), 2, true, MMU_IMPLICIT);
    }
    x86_probe(c, at(c->gdt.base, (sel & ~7u) + 4), 4, true, MMU_IMPLICIT);
    x86_probe(c, at(c->gdt.base, (old_tr & ~7u) + 4), 4, true, MMU_IMPLICIT);
    LOG(LOG_PCALL, "task switch %04x -> %04x (%s)\n", old_tr, sel,
        why == TASK_JMP ? "jmp" : why == TASK_CALL ? "call" : why == TASK_INT ? "int" : "iret");

    if (why == TASK_IRET) {
        eflags &= ~(uint64_t)FL_NT;
    }
    save_old(c, lo, next, eflags);
    /* After saving: a task that switches to itself reads what it just saved. */
    read_image(c, base, ln, &t);
    if (why == TASK_JMP || why == TASK_IRET) {
        clear_busy(c, old_tr);
    }
    if (why == TASK_CALL || why == TASK_INT) {
        x86_st(c, at(base, 0), old_tr, 2, MMU_IMPLICIT);
        t.eflags |= FL_NT;
    }
    if (why != TASK_IRET) {
        x86_fetch_or32(c, at(c->gdt.base, (sel & ~7u) + 4), TSS_BUSY, MMU_IMPLICIT);
    }

    seg_set(c, &c->tr, sel, d);
    c->tr.attr |= TSS_BUSY;
    x86_set_cr0(c, c->cr0 | CR0_TS);
    x86_set_flags(c, (t.eflags & (FL_ARITH | FL_TF | FL_IF | FL_DF | FL_IOPL | FL_NT | FL_RF
                                  | FL_VM | FL_AC | FL_VIF | FL_VIP | FL_ID)) | FL_1);
    for (unsigned i = 0; i < 8; i++) {
        c->r[i] = t.regs[i];
    }
    c->rip = t.eip;
    c->int_shadow = c->shadow_mov_ss = false;
    x86_write_dr7(c, c->dr[7] & ~0x155ull);              /* local breakpoints end */
    if ((c->cr0 & CR0_PG) && ln == &tss32) {
        if ((c->cr4 & CR4_PAE) && !x86_load_pdptes(c, t.cr3)) {
            x86_raise_err(c, EXC_GP, 0);
        }
        x86_set_cr3(c, t.cr3);
    }
    load_task_segments(c, &t);
    x86_update_mode(c);
    if (has_error) {
        Stack s = stack_current(c);
        stack_push(&s, error, ln->width);
        stack_commit(c, &s);
    }
    if (t.eip > c->seg[R_CS].limit) {
        x86_raise_err(c, EXC_GP, 0);
    }
    if (t.trap) {
        c->pending_dbg |= DB_BT;
    }
    x86_recheck_irq(c);
}

void x86_task_gate(X86CPU *c, uint16_t tss_sel, TaskReason why, uint64_t next,
                   bool has_error, uint32_t error)
{
    Desc d;

    if ((tss_sel & 4) || sel_is_null(tss_sel) || !desc_read(c, tss_sel, &d)) {
        x86_raise_err(c, EXC_GP, tss_sel & 0xfffc);
    }
    if ((d.hi & DESC_S)
        || (desc_type(&d) != SYS_TSS16_AVAIL && desc_type(&d) != SYS_TSS32_AVAIL)) {
        x86_raise_err(c, EXC_GP, tss_sel & 0xfffc);
    }
    if (!(d.hi & DESC_P)) {
        x86_raise_err(c, EXC_NP, tss_sel & 0xfffc);
    }
    x86_task_switch(c, tss_sel, &d, why, next, has_error, error);
}

void x86_task_return(X86CPU *c, uint64_t next)
{
    uint16_t link = x86_ld(c, at(c->tr.base, 0), 2, MMU_IMPLICIT);
    Desc d;

    if ((link & 4) || sel_is_null(link) || !desc_read(c, link, &d) || (d.hi & DESC_S)
        || (desc_type(&d) != SYS_TSS16_BUSY && desc_type(&d) != SYS_TSS32_BUSY)) {
        ts(c, link);
    }
    if (!(d.hi & DESC_P)) {
        x86_raise_err(c, EXC_NP, link & 0xfffc);
    }
    x86_task_switch(c, link, &d, TASK_IRET, next, false, 0);
}
