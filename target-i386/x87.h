/* SPDX-License-Identifier: MIT */
/*
 * Inside of the x87 instructions (op-x87-*.c): the register stack, what every instruction does
 * before and after its work, and the choice between the host's x87 and softfloat.
 *
 * The shape of a handler that computes:
 *
 *     x87_wait(c);                      #MF (or FERR#) for what an earlier instruction left
 *     memory operand                    may fault: nothing has changed yet
 *     x87_note(c, i) / x87_note_mem     FIP, FCS, FDP, FDS
 *     stack check                       x87_underflow, x87_overflow
 *     result, flags
 *     if (!x87_stopped(...)) write registers, pop
 *     x87_done(c, i, flags, c1)
 *
 * Sources: Intel SDM volume 1 chapter 8, volume 2 per instruction; where they are silent, what
 * Intel's units do.
 */
#ifndef TARGET_I386_X87_H
#define TARGET_I386_X87_H

#include "accel/tcg/host/x87.h"
#include "target-i386/interp.h"

/* Status word beyond the six exception flags FP_*; TOP is kept apart. */
#define SW_SF   0x0040          /* stack fault */
#define SW_ES   0x0080          /* an unmasked exception is pending */
#define SW_C0   0x0100
#define SW_C1   0x0200
#define SW_C2   0x0400
#define SW_TOP_SHIFT 11
#define SW_C3   0x4000
#define SW_B    0x8000          /* copy of ES */
#define SW_CC   (SW_C0 | SW_C1 | SW_C2 | SW_C3)

#define CW_VALID 0x1f3f         /* what FLDCW can change */
#define CW_ONE   0x0040         /* reads as one */
#define CW_RESET 0x037f
#define CW_ROUNDING   0x0f00    /* rounding and precision control: */
#define CW_NEAREST_64 0x0300    /* to nearest even, 64 bits */

/* For the work behind a handler: locals whose address is passed on would cost the handler
 * its sibling call (interp.h). */
#define NOINLINE __attribute__((noinline))

/* ---- the stack ------------------------------------------------------------------------- */

static inline F80 *x87_st(X86CPU *c, unsigned n)
{
    return &c->fpu.st[(c->fpu.top + n) & 7];
}
static inline bool x87_empty(const X86CPU *c, unsigned n)
{
    return c->fpu.empty >> ((c->fpu.top + n) & 7) & 1;
}
static inline void x87_set_empty(X86CPU *c, unsigned n)
{
    c->fpu.empty |= 1 << ((c->fpu.top + n) & 7);
}
/* Field by field, 8 and 2 bytes: as the host's FLD and FSTP access a register, so that its
 * stores can be forwarded to its loads. */
static inline F80 x87_read(X86CPU *c, unsigned n)
{
    const F80 *r = x87_st(c, n);
    return (F80) { .frac = r->frac, .se = r->se };
}
static inline void x87_write(X86CPU *c, unsigned n, F80 v)
{
    unsigned r = (c->fpu.top + n) & 7;
    c->fpu.st[r].frac = v.frac;
    c->fpu.st[r].se = v.se;
    c->fpu.empty &= ~(1 << r);
}
static inline void x87_pop(X86CPU *c)
{
    x87_set_empty(c, 0);
    c->fpu.top = (c->fpu.top + 1) & 7;
}
static inline void x87_push(X86CPU *c, F80 v)
{
    c->fpu.top = (c->fpu.top - 1) & 7;
    x87_write(c, 0, v);
}

/* ---- before ---------------------------------------------------------------------------- */

static inline void x87_wait(X86CPU *c)
{
    if (unlikely(c->fpu.sw & SW_ES)) {
        x86_fpu_error(c);
    }
}
static inline void x87_note(X86CPU *c, const Insn *i)
{
    c->fpu.fip = c->rip;
    c->fpu.fcs = c->seg[R_CS].sel;
}
static inline void x87_note_mem(X86CPU *c, const Insn *i)
{
    x87_note(c, i);
    c->fpu.fdp = insn_ea(c, i);
    c->fpu.fds = c->seg[i->seg].sel;
}

/* ---- after ----------------------------------------------------------------------------- */

/* Do these flags, unmasked, keep the operation from completing? */
static inline bool x87_stopped(const X86CPU *c, unsigned flags)
{
    return flags & ~c->fpu.cw & (FP_IE | FP_DE | FP_ZE);
}
/* Flags and C1 into the status word.  FOP is written by unmasked exceptions only, as all
 * units since the Pentium 4 do it (SDM volume 1, 8.1.9.1). */
static inline void x87_done(X86CPU *c, const Insn *i, unsigned flags, bool c1)
{
    c->fpu.sw = (c->fpu.sw & ~SW_C1) | flags | (c1 ? SW_C1 : 0);
    if (unlikely(flags & ~c->fpu.cw & FP_ALL)) {
        c->fpu.sw |= SW_ES | SW_B;
        c->fpu.fop = i->imm;
    }
}
static inline void x87_set_cc(X86CPU *c, unsigned cc)
{
    c->fpu.sw = (c->fpu.sw & ~SW_CC) | cc;
}

/*
 * Stack underflow: flags, and if IE is masked the real indefinite into ST(n).  True if masked,
 * so that the instruction goes on to pop.  x87_overflow: the same for a push to a register
 * that is not empty; if masked it pushes the indefinite itself.
 */
bool x87_underflow(X86CPU *c, const Insn *i, unsigned n);
bool x87_overflow(X86CPU *c, const Insn *i);
/* Underflow of an instruction that writes no register. */
bool x87_underflow_only(X86CPU *c, const Insn *i);

/* Put ES and B right after cw or the flags changed by other means than an operation. */
void x87_update_es(X86CPU *c);
void x86_fpu_init(X86CPU *c);

static inline FpEnv x87_env(const X86CPU *c)
{
    return (FpEnv) {
        .rc = c->fpu.cw >> 10 & 3, .pc = c->fpu.cw >> 8 & 3, .masks = c->fpu.cw & FP_ALL,
    };
}

/* ---- the host's unit ------------------------------------------------------------------- */

/*
 * May the host compute?  Then it is made ready.  It runs with everything masked, which gives
 * the same result as the guest's masks unless an unmasked exception other than PE turns up:
 * x87_host_good says so, and the operation is repeated by softfloat (or host_x87_full).
 * Unmasked underflow is the one that masked arithmetic does not report (a tiny exact result),
 * so the host is not used then.
 */
static inline bool x87_host_ready(X86CPU *c)
{
#if HOST_X87
    if (likely(tcg_host_fp && c->fpu.cw & FP_UE)) {
        uint16_t cw = (c->fpu.cw & 0x0f00) | CW_ONE | FP_ALL;
        if (unlikely(host_x87_cw != cw)) {
            host_x87_load_cw(cw);
        }
        if (unlikely(host_x87_flags & ~c->fpu.sw)) {
            host_x87_clear();
        }
        return true;
    }
#endif
    return false;
}
/* sw: the host's status word after an operation.  False: do it again. */
static inline bool x87_host_good(X86CPU *c, uint16_t sw)
{
#if HOST_X87
    host_x87_flags = sw & FP_ALL;
    if (likely(!(sw & ~c->fpu.cw & (FP_ALL & ~FP_PE)))) {
        return true;
    }
    host_x87_clear();
#endif
    return false;
}
/* The end of such an operation. */
static inline void x87_host_done(X86CPU *c, const Insn *i, uint16_t sw)
{
    x87_done(c, i, sw & FP_ALL, sw & SW_C1);
}

/*
 * The native engine keeps the guest's registers in the host's unit (jit-x87.c).  x86_x87_sync
 * brings them back to c->fpu; own thread, before anything looks at c->fpu, cw excepted.
 */
void x86_x87_load(X86CPU *c);
void x86_x87_store(X86CPU *c);
static inline void x86_x87_sync(X86CPU *c)
{
    if (unlikely(c->x87_host)) {
        x86_x87_store(c);
    }
}
/* Must handlers do x87 instructions? */
static inline bool x86_x87_soft(const X86CPU *c)
{
    return (c->fpu.cw & FP_ALL) != FP_ALL || !tcg_host_fp;
}

/* c->fpu whole, and the host's control word back to the C library's.  Own thread, when it
 * stops running guest code. */
void x86_x87_leave(X86CPU *c);

#endif
