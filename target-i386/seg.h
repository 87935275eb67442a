/* SPDX-License-Identifier: MIT */
/*
 * What the files that load segments share (helper-seg.c, helper-task.c, helper-exc.c):
 * descriptors read from their tables, stacks being pushed to or popped from before they are
 * committed, the task switch.
 */
#ifndef TARGET_I386_SEG_H
#define TARGET_I386_SEG_H

#include "target-i386/helper.h"
#include "util/bits.h"

/* System descriptor types (bits 8..11 with S clear) */
enum {
    SYS_TSS16_AVAIL = 1, SYS_LDT = 2, SYS_TSS16_BUSY = 3, SYS_CALL16 = 4, SYS_TASK_GATE = 5,
    SYS_INT16 = 6, SYS_TRAP16 = 7, SYS_TSS32_AVAIL = 9, SYS_TSS32_BUSY = 11, SYS_CALL32 = 12,
    SYS_INT32 = 14, SYS_TRAP32 = 15,      /* 12, 14, 15, 9, 11: the 64-bit kinds in long mode */
};

typedef struct Desc {
    uint32_t lo, hi;
    uint64_t la;              /* where it was read */
} Desc;

static inline unsigned desc_dpl(const Desc *d)
{
    return (d->hi >> DESC_DPL_SHIFT) & 3;
}
static inline unsigned desc_type(const Desc *d)
{
    return (d->hi >> DESC_TYPE_SHIFT) & 15;
}
static inline bool desc_is_code(const Desc *d)
{
    return (d->hi & (DESC_S | DESC_CODE)) == (DESC_S | DESC_CODE);
}
static inline bool desc_is_writable_data(const Desc *d)
{
    return (d->hi & (DESC_S | DESC_CODE | DESC_W)) == (DESC_S | DESC_W);
}
static inline bool desc_conforming(const Desc *d)
{
    return d->hi & DESC_C;
}
static inline uint32_t desc_base(const Desc *d)
{
    return d->lo >> 16 | (d->hi & 0xff) << 16 | (d->hi & 0xff000000);
}
static inline uint32_t desc_limit(const Desc *d)
{
    uint32_t limit = (d->lo & 0xffff) | (d->hi & 0x000f0000);
    return d->hi & DESC_G ? limit << 12 | 0xfff : limit;
}
static inline bool sel_is_null(uint16_t sel)
{
    return (sel & 0xfffc) == 0;
}
static inline bool x86_protected(const X86CPU *c)
{
    return (c->cr0 & CR0_PE) && !(c->rflags & FL_VM);
}
/* The makers differ in SYSCALL, SYSENTER and some corners of debugging. */
static inline bool is_intel(const X86CPU *c)
{
    return strcmp(c->vendor, "GenuineIntel") == 0;
}
static inline bool sign_extended(uint64_t la, unsigned bits)
{
    return (uint64_t)((int64_t)(la << (64 - bits)) >> (64 - bits)) == la;
}
/* An address to be accessed now. */
static inline bool x86_canonical(const X86CPU *c, uint64_t la)
{
    return sign_extended(la, c->cr4 & CR4_LA57 ? 57 : 48);
}
/* An address to be kept in a register (descriptor tables, bases, MSRs): what the processor can
 * have at all counts, not what paging is set to (SDM 1, 3.3.7.1). */
static inline bool x86_canonical_register(const X86CPU *c, uint64_t la)
{
    return sign_extended(la, c->virt_bits);
}
/* Linear addresses are 32 bits wide outside long mode. */
static inline uint64_t linear_mask(const X86CPU *c)
{
    return x86_long_mode(c) ? ~0ull : 0xffffffffu;
}

/* #GP and #NP that name a selector. */
static inline G_NORETURN void gp(X86CPU *c, uint16_t sel)
{
    x86_raise_err(c, EXC_GP, sel & 0xfffc);
}
static inline G_NORETURN void np(X86CPU *c, uint16_t sel)
{
    x86_raise_err(c, EXC_NP, sel & 0xfffc);
}

/* Read the descriptor sel names.  false: outside its table (or no LDT). */
bool desc_read(X86CPU *c, uint16_t sel, Desc *d);
/* The upper eight bytes of a 16-byte descriptor. */
bool desc_read_high(X86CPU *c, uint16_t sel, uint32_t *base_hi, uint32_t *last);
/* Set the accessed bit in memory (and in d), if clear. */
void desc_set_accessed(X86CPU *c, Desc *d);
/* Fill a segment register's cache. */
void seg_set(X86CPU *c, Segment *seg, uint16_t sel, const Desc *d);
void seg_set_null(Segment *seg, uint16_t sel);
/* Real or V86 mode. */
void seg_set_real(X86CPU *c, int reg, uint16_t sel);
/* The flat segments of SYSCALL, SYSENTER ...: attr as in a descriptor, base 0, limit 4 GiB. */
void seg_set_flat(Segment *seg, uint16_t sel, uint32_t attr);
#define FLAT_CODE (DESC_G | DESC_P | DESC_S | DESC_CODE | DESC_R | DESC_A)
#define FLAT_DATA (DESC_G | DESC_B | DESC_P | DESC_S | DESC_W | DESC_A)
/* Code and stack of ring cpl after the call; ES, DS, FS, GS that ring may not have become null. */
void seg_drop_inner(X86CPU *c, unsigned cpl);

/*
 * A stack in use before its pointer is committed.  Pushes and pops raise #SS(err) when they
 * leave the segment, #PF as the memory says.
 */
typedef struct Stack {
    X86CPU *c;
    Segment ss;
    uint64_t sp, mask;        /* mask: how much of SP counts */
    bool flat;                /* 64-bit: no base, no limit, canonical addresses */
    int mmu;
    uint16_t err;
} Stack;

/* The current stack. */
Stack stack_current(X86CPU *c);
/* A stack of ring cpl in segment ss (whose loading is yet to come). */
Stack stack_inner(X86CPU *c, const Segment *ss, uint64_t sp, unsigned cpl, bool flat);
void stack_push(Stack *s, uint64_t val, unsigned size);
uint64_t stack_pop(Stack *s, unsigned size);
/* SP becomes s->sp, as wide as the stack is. */
void stack_commit(X86CPU *c, const Stack *s);
/* SP becomes sp where mask says so: 16 bits keep the rest, 32 clear it. */
void stack_set_sp(X86CPU *c, uint64_t sp, uint64_t mask);

/* SS:SP for ring dpl out of the TSS (16- or 32-bit), not yet checked.  #TS if it ends early. */
void tss_inner_stack(X86CPU *c, unsigned dpl, uint16_t *ss, uint32_t *sp);
/* RSPn (n = 0..2) or ISTn (3 + n, n = 1..7) out of a 64-bit TSS. */
uint64_t tss_rsp(X86CPU *c, unsigned n);
/* The stack segment a gate to ring dpl takes from the TSS: checked with #TS, #SS. */
void check_inner_ss(X86CPU *c, uint16_t sel, unsigned dpl, Desc *d);

/* ---- task switch (helper-task.c) ------------------------------------------------------ */

typedef enum { TASK_JMP, TASK_CALL, TASK_INT, TASK_IRET } TaskReason;
/* Switch to the task whose TSS descriptor d (named by sel) was found; its type was checked for
 * JMP, CALL and INT to be available, for IRET to be busy, and it is present.  next goes into
 * the old TSS; an error code, if any, onto the new stack.  May raise in the new task. */
void x86_task_switch(X86CPU *c, uint16_t sel, const Desc *d, TaskReason why, uint64_t next,
                     bool has_error, uint32_t error);
/* Through a task gate: checks the TSS it names, then switches. */
void x86_task_gate(X86CPU *c, uint16_t tss_sel, TaskReason why, uint64_t next,
                   bool has_error, uint32_t error);
/* IRET with NT. */
void x86_task_return(X86CPU *c, uint64_t next);

/* The flags image an event in delivery pushes: RF set for faults (SDM 3B 18.3.1.1). */
uint64_t x86_event_flags(X86CPU *c);
/* IRET, RSM: NMIs are let in again. */
void x86_unmask_nmi(X86CPU *c);

/* IF may have become 1: look again at an interrupt that had to wait. */
static inline void x86_recheck_irq(X86CPU *c)
{
    if (c->irq_waiting && (c->rflags & FL_IF)) {
        c->irq_waiting = false;
        __atomic_fetch_or(&c->cpu.request, CPU_REQ_IRQ, __ATOMIC_SEQ_CST);
    }
}

#endif
