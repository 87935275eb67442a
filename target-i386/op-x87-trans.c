/* SPDX-License-Identifier: MIT */
/*
 * x87: FRNDINT, FSCALE, FXTRACT, the partial remainders, and the transcendental instructions.
 *
 * The host's unit is preferred for these too: real units of the same vendor agree to the last
 * bit, softfloat is within one unit of the last place of them.
 */
#include "target-i386/x87.h"

/* ---- FRNDINT, FSCALE, FXTRACT ---------------------------------------------------------- */

typedef F80 Soft1(F80 a, FpEnv *e);
typedef F80 Soft2(F80 a, F80 b, FpEnv *e);
typedef F80 SoftTrig(F80 a, bool *range, FpEnv *e);

static void end1(X86CPU *c, const Insn *i, F80 r, const FpEnv *e)
{
    if (!x87_stopped(c, e->flags)) {
        x87_write(c, 0, r);
    }
    x87_done(c, i, e->flags, e->c1);
}

static NOINLINE void run_frndint(X86CPU *c, const Insn *i)
{
    F80 r;

    if (x87_empty(c, 0)) {
        x87_underflow(c, i, 0);
        return;
    }
#if HOST_X87
    if (x87_host_ready(c)) {
        uint16_t sw = host_frndint(&r, x87_st(c, 0));
        if (x87_host_good(c, sw)) {
            x87_write(c, 0, r);
            x87_host_done(c, i, sw);
            return;
        }
    }
#endif
    FpEnv e = x87_env(c);
    r = f80_round_int(x87_read(c, 0), &e);
    end1(c, i, r, &e);
}
HANDLER(frndint)
{
    x87_wait(c);
    x87_note(c, i);
    run_frndint(c, i);
}

static NOINLINE void run_fscale(X86CPU *c, const Insn *i)
{
    F80 r;

    if (x87_empty(c, 0) || x87_empty(c, 1)) {
        x87_underflow(c, i, 0);
        return;
    }
#if HOST_X87
    if (x87_host_ready(c)) {
        uint16_t sw = host_fscale(&r, x87_st(c, 0), x87_st(c, 1));
        if (x87_host_good(c, sw)) {
            x87_write(c, 0, r);
            x87_host_done(c, i, sw);
            return;
        }
    }
#endif
    FpEnv e = x87_env(c);
    r = f80_scale(x87_read(c, 0), x87_read(c, 1), &e);
    end1(c, i, r, &e);
}
HANDLER(fscale)
{
    x87_wait(c);
    x87_note(c, i);
    run_fscale(c, i);
}

/* Replace ST0 by below and push top; the stack has room. */
static void write_two(X86CPU *c, F80 below, F80 top)
{
    x87_write(c, 0, below);
    x87_push(c, top);
}

/* Stack checks of the instructions that push a second result: true to go on. */
static bool room_for_two(X86CPU *c, const Insn *i)
{
    bool underflow = x87_empty(c, 0), overflow = !x87_empty(c, 7);

    if (!underflow && !overflow) {
        return true;
    }
    x87_done(c, i, FP_IE | SW_SF, !underflow);
    if (c->fpu.cw & FP_IE) {
        write_two(c, f80_default_nan, f80_default_nan);
    }
    return false;
}

static NOINLINE void run_fxtract(X86CPU *c, const Insn *i)
{
    F80 exp, r;

    if (!room_for_two(c, i)) {
        return;
    }
#if HOST_X87
    if (x87_host_ready(c)) {
        uint16_t sw = host_fxtract(&r, &exp, x87_st(c, 0));
        if (x87_host_good(c, sw)) {
            write_two(c, exp, r);
            x87_host_done(c, i, sw);
            return;
        }
    }
#endif
    FpEnv e = x87_env(c);
    r = f80_extract(x87_read(c, 0), &exp, &e);
    if (!x87_stopped(c, e.flags)) {
        write_two(c, exp, r);
    }
    x87_done(c, i, e.flags, false);
}
HANDLER(fxtract)
{
    x87_wait(c);
    x87_note(c, i);
    run_fxtract(c, i);
}

/* ---- FPREM, FPREM1 --------------------------------------------------------------------- */

/* C0, C3, C1 are the quotient's low bits, C2 says "not finished".  A NaN has no quotient: C0 and
 * C3 stay. */
static void remainder_cc(X86CPU *c, F80 r, unsigned cc)
{
    if (f80_classify(r) != F80_NAN) {
        x87_set_cc(c, cc);
    }
}

static NOINLINE void partial_remainder(X86CPU *c, const Insn *i, bool nearest)
{
    unsigned quotient;
    bool partial;
    F80 r;

    c->fpu.sw &= ~SW_C2;
    if (x87_empty(c, 0) || x87_empty(c, 1)) {
        x87_underflow(c, i, 0);
        return;
    }
#if HOST_X87
    if (x87_host_ready(c)) {
        uint16_t sw = nearest ? host_fprem1(&r, x87_st(c, 0), x87_st(c, 1))
                              : host_fprem(&r, x87_st(c, 0), x87_st(c, 1));
        if (x87_host_good(c, sw)) {
            x87_write(c, 0, r);
            remainder_cc(c, r, sw & SW_CC);
            x87_host_done(c, i, sw);
            return;
        }
    }
#endif
    FpEnv e = x87_env(c);
    r = f80_rem(x87_read(c, 0), x87_read(c, 1), nearest, &quotient, &partial, &e);
    if (!x87_stopped(c, e.flags)) {
        x87_write(c, 0, r);
        remainder_cc(c, r, (quotient & 4 ? SW_C0 : 0) | (quotient & 2 ? SW_C3 : 0) |
                           (partial ? SW_C2 : 0));
    }
    x87_done(c, i, e.flags, quotient & 1);
}
HANDLER(fprem)
{
    x87_wait(c);
    x87_note(c, i);
    partial_remainder(c, i, false);
}
HANDLER(fprem1)
{
    x87_wait(c);
    x87_note(c, i);
    partial_remainder(c, i, true);
}

/* ---- transcendental instructions ------------------------------------------------------- */

/* What one of them did. */
typedef struct Result {
    F80 r;                      /* the only, or the lower result */
    F80 top;                    /* FPTAN, FSINCOS: the one pushed */
    unsigned flags;
    bool c1, range;             /* range: nothing was done (C2) */
} Result;

#if HOST_X87
static void take_status(Result *o, HostX87Op op, uint16_t sw)
{
    o->flags = sw & FP_ALL;
    o->c1 = sw & SW_C1;
    o->range = op >= HOST_FIRST_TRIG && sw & SW_C2;
}

/* Quickly with everything masked if that is right, else under the guest's masks: softfloat's
 * results are not good enough where the host has the instruction. */
static bool try_host(X86CPU *c, HostX87Op op, Result *o)
{
    HostX87Image m;
    const F80 *a = x87_st(c, 0), *b = x87_st(c, 1);
    bool two = op == HOST_FPTAN || op == HOST_FSINCOS;

    if (x87_host_ready(c)) {
        o->top = f80_default_nan;
        uint16_t sw = host_x87_quick(op, &o->r, &o->top, a, b);
        if (x87_host_good(c, sw)) {
            take_status(o, op, sw);
            return true;
        }
    }
    if (!tcg_host_fp) {
        return false;
    }
    host_x87_full(op, &m, a, b, c->fpu.cw);
    take_status(o, op, m.sw);
    o->top = host_x87_image_st(&m, 0);
    o->r = host_x87_image_st(&m, two && !o->range);
    return true;
}
#else
#define try_host(c, op, o) false
#endif

static NOINLINE void run_f2xm1(X86CPU *c, const Insn *i)
{
    Result o;

    if (x87_empty(c, 0)) {
        x87_underflow(c, i, 0);
        return;
    }
    if (!try_host(c, HOST_F2XM1, &o)) {
        FpEnv e = x87_env(c);
        o.r = f80_2xm1(x87_read(c, 0), &e);
        o.flags = e.flags;
        o.c1 = e.c1;
    }
    if (!x87_stopped(c, o.flags)) {
        x87_write(c, 0, o.r);
    }
    x87_done(c, i, o.flags, o.c1);
}
HANDLER(f2xm1)
{
    x87_wait(c);
    x87_note(c, i);
    run_f2xm1(c, i);
}

/* The result replaces ST1, ST0 is popped. */
static NOINLINE void run_pop(X86CPU *c, const Insn *i, int op, Soft2 *fn)
{
    Result o;

    if (x87_empty(c, 0) || x87_empty(c, 1)) {
        if (x87_underflow(c, i, 1)) {
            x87_pop(c);
        }
        return;
    }
    if (!try_host(c, op, &o)) {
        FpEnv e = x87_env(c);
        o.r = fn(x87_read(c, 1), x87_read(c, 0), &e);
        o.flags = e.flags;
        o.c1 = e.c1;
    }
    if (!x87_stopped(c, o.flags)) {
        x87_pop(c);
        x87_write(c, 0, o.r);
    }
    x87_done(c, i, o.flags, o.c1);
}
#define POP_HANDLER(name, op, soft)                                                \
    HANDLER(name)                                                                  \
    {                                                                              \
        x87_wait(c);                                                               \
        x87_note(c, i);                                                            \
        run_pop(c, i, op, soft);                                                   \
    }
POP_HANDLER(fyl2x, HOST_FYL2X, f80_yl2x)
POP_HANDLER(fyl2xp1, HOST_FYL2XP1, f80_yl2xp1)
POP_HANDLER(fpatan, HOST_FPATAN, f80_patan)

/* FSIN, FCOS */
static NOINLINE void run_trig(X86CPU *c, const Insn *i, int op, SoftTrig *fn)
{
    Result o;

    c->fpu.sw &= ~SW_C2;
    if (x87_empty(c, 0)) {
        x87_underflow(c, i, 0);
        return;
    }
    if (!try_host(c, op, &o)) {
        FpEnv e = x87_env(c);
        o.r = fn(x87_read(c, 0), &o.range, &e);
        o.flags = e.flags;
        o.c1 = e.c1;
    }
    if (!x87_stopped(c, o.flags)) {
        x87_write(c, 0, o.r);
    }
    c->fpu.sw |= o.range ? SW_C2 : 0;
    x87_done(c, i, o.flags, o.c1);
}
HANDLER(fsin)
{
    x87_wait(c);
    x87_note(c, i);
    run_trig(c, i, HOST_FSIN, f80_sin);
}
HANDLER(fcos)
{
    x87_wait(c);
    x87_note(c, i);
    run_trig(c, i, HOST_FCOS, f80_cos);
}

static void soft_two(X86CPU *c, int op, Result *o)
{
    FpEnv e = x87_env(c);

    if (op == HOST_FPTAN) {
        o->r = f80_tan(x87_read(c, 0), &o->range, &e);
        o->top = f80_classify(o->r) == F80_NAN ? o->r : i64_to_f80(1);
    } else {
        o->r = f80_sincos(x87_read(c, 0), &o->top, &o->range, &e);
    }
    o->flags = e.flags;
    o->c1 = e.c1;
}

/* FPTAN, FSINCOS */
static NOINLINE void run_two(X86CPU *c, const Insn *i, int op)
{
    Result o;

    c->fpu.sw &= ~SW_C2;
    if (!room_for_two(c, i)) {
        return;
    }
    if (!try_host(c, op, &o)) {
        soft_two(c, op, &o);
    }
    if (!x87_stopped(c, o.flags) && !o.range) {
        write_two(c, o.r, o.top);
    }
    c->fpu.sw |= o.range ? SW_C2 : 0;
    x87_done(c, i, o.flags, o.c1);
}
HANDLER(fptan)
{
    x87_wait(c);
    x87_note(c, i);
    run_two(c, i, HOST_FPTAN);
}
HANDLER(fsincos)
{
    x87_wait(c);
    x87_note(c, i);
    run_two(c, i, HOST_FSINCOS);
}
