/* SPDX-License-Identifier: MIT */
/*
 * x87: add, subtract, multiply, divide and comparisons in all their forms, FTST, FXAM, FCHS,
 * FABS, FSQRT; and the common parts declared in x87.h.
 *
 * Work is done in functions that are not inlined into the handlers: locals whose address is
 * passed on would cost the handlers their sibling call.
 */
#include "fpu/f80-fast.h"
#include "target-i386/x87.h"

#if HOST_X87
__thread uint16_t host_x87_cw;                  /* 0: unknown */
__thread uint8_t host_x87_flags = FP_ALL;       /* maybe */
#endif

void x86_x87_leave(X86CPU *c)
{
    x86_x87_sync(c);
#if HOST_X87
    if (host_x87_cw != 0 && host_x87_cw != HOST_X87_CW_DEFAULT) {
        host_x87_load_cw(HOST_X87_CW_DEFAULT);
    }
#endif
}

/* ---- common parts ---------------------------------------------------------------------- */

bool x87_underflow_only(X86CPU *c, const Insn *i)
{
    x87_done(c, i, FP_IE | SW_SF, false);
    return c->fpu.cw & FP_IE;
}

bool x87_underflow(X86CPU *c, const Insn *i, unsigned n)
{
    if (!x87_underflow_only(c, i)) {
        return false;
    }
    x87_write(c, n, f80_default_nan);
    return true;
}

bool x87_overflow(X86CPU *c, const Insn *i)
{
    x87_done(c, i, FP_IE | SW_SF, true);
    if (!(c->fpu.cw & FP_IE)) {
        return false;
    }
    x87_push(c, f80_default_nan);
    return true;
}

void x87_update_es(X86CPU *c)
{
    if (c->fpu.sw & ~c->fpu.cw & FP_ALL) {
        c->fpu.sw |= SW_ES | SW_B;
    } else {
        c->fpu.sw &= ~(SW_ES | SW_B);
        x86_fpu_error_gone(c);
    }
}

void x86_mmx_fault(X86CPU *c)
{
    x86_fpu_error(c);
}

/* ---- arithmetic ------------------------------------------------------------------------ */

/* How a binary operation ends. */
enum {
    TO_ST  = 7,                 /* mask: register the result goes to */
    POP    = 8,
    DENORM = 16,                /* the operand from memory was a denormal before widening */
};

typedef F80 SoftFn(F80 a, F80 b, FpEnv *e);

static NOINLINE void binary_soft(X86CPU *c, const Insn *i, SoftFn *fn, F80 a, F80 b, unsigned how)
{
    FpEnv e = x87_env(c);

    e.de = how & DENORM;
    F80 r = fn(a, b, &e);
    if (!x87_stopped(c, e.flags)) {
        x87_write(c, how & TO_ST, r);
        if (how & POP) {
            x87_pop(c);
        }
    }
    x87_done(c, i, e.flags, e.c1);
}

/* Everything but the usual case: by the host's unit if it may, else in software. */
#if HOST_X87
#define BINARY_HOST(name)                                                          \
    static NOINLINE void name##_unusual(X86CPU *c, const Insn *i, const F80 *a, const F80 *b, \
                                        unsigned how)                              \
    {                                                                              \
        if (likely(!(how & DENORM) && x87_host_ready(c))) {                        \
            F80 r;                                                                 \
            uint16_t sw = host_f##name(&r, a, b);                                  \
            if (likely(x87_host_good(c, sw))) {                                    \
                x87_write(c, how & TO_ST, r);                                      \
                if (how & POP) {                                                   \
                    x87_pop(c);                                                    \
                }                                                                  \
                x87_host_done(c, i, sw);                                           \
                return;                                                            \
            }                                                                      \
        }                                                                          \
        binary_soft(c, i, f80_##name, *a, *b, how);                                \
    }
#else
#define BINARY_HOST(name)                                                          \
    static NOINLINE void name##_unusual(X86CPU *c, const Insn *i, const F80 *a, const F80 *b, \
                                        unsigned how)                              \
    {                                                                              \
        binary_soft(c, i, f80_##name, *a, *b, how);                                \
    }
#endif

/* run_add and so on: ST(how & TO_ST) = *a OP *b. */
#define BINARY_RUN(name)                                                           \
    BINARY_HOST(name)                                                              \
    static inline void run_##name(X86CPU *c, const Insn *i, const F80 *a, const F80 *b, \
                                  unsigned how)                                    \
    {                                                                              \
        F80Fast f;                                                                 \
        if (likely((c->fpu.cw & CW_ROUNDING) == CW_NEAREST_64 && !(how & DENORM) && \
                   f80_fast_##name(&f, *a, *b))) {                                 \
            x87_write(c, how & TO_ST, f.r);                                        \
            if (how & POP) {                                                       \
                x87_pop(c);                                                        \
            }                                                                      \
            x87_done(c, i, f.inexact ? FP_PE : 0, f.up);                           \
            return;                                                                \
        }                                                                          \
        name##_unusual(c, i, a, b, how);                                           \
    }

static inline F80 widen32(uint32_t v, bool *denormal)
{
    unsigned exp = v >> 23 & 0xff;
    if (likely(exp - 1 < 254)) {
        return f80_make(v >> 31, exp - 127 + 16383, (uint64_t)(v << 8 | 0x80000000u) << 32);
    }
    FpEnv e = { 0 };
    F80 r = f32_widen(v, &e);
    *denormal = e.de;
    return r;
}
static inline F80 widen64(uint64_t v, bool *denormal)
{
    unsigned exp = v >> 52 & 0x7ff;
    if (likely(exp - 1 < 2046)) {
        return f80_make(v >> 63, exp - 1023 + 16383, v << 11 | 1ull << 63);
    }
    FpEnv e = { 0 };
    F80 r = f64_widen(v, &e);
    *denormal = e.de;
    return r;
}

/*
 * The forms of an operation: ST0 with a number b (reversed: b OP ST0), which came from memory
 * as one of four types, and ST(dst) = ST(a) OP ST(b), maybe with a pop.
 */
#define BINARY(name)                                                               \
    BINARY_RUN(name)                                                               \
    static NOINLINE void name##_operand(X86CPU *c, const Insn *i, F80 b, unsigned how, \
                                        bool reverse)                              \
    {                                                                              \
        if (unlikely(x87_empty(c, 0))) {                                           \
            x87_underflow(c, i, 0);                                                \
        } else if (reverse) {                                                      \
            run_##name(c, i, &b, x87_st(c, 0), how);                               \
        } else {                                                                   \
            run_##name(c, i, x87_st(c, 0), &b, how);                               \
        }                                                                          \
    }                                                                              \
    static NOINLINE void name##_m32(X86CPU *c, const Insn *i, uint32_t v, bool reverse) \
    {                                                                              \
        bool denormal = false;                                                     \
        F80 b = widen32(v, &denormal);                                             \
        name##_operand(c, i, b, denormal ? DENORM : 0, reverse);                   \
    }                                                                              \
    static NOINLINE void name##_m64(X86CPU *c, const Insn *i, uint64_t v, bool reverse) \
    {                                                                              \
        bool denormal = false;                                                     \
        F80 b = widen64(v, &denormal);                                             \
        name##_operand(c, i, b, denormal ? DENORM : 0, reverse);                   \
    }                                                                              \
    static inline void name##_int(X86CPU *c, const Insn *i, int64_t v, bool reverse) \
    {                                                                              \
        name##_operand(c, i, i64_to_f80(v), 0, reverse);                           \
    }                                                                              \
    static NOINLINE void name##_regs(X86CPU *c, const Insn *i, unsigned a, unsigned b, \
                                     unsigned how)                                 \
    {                                                                              \
        if (unlikely(x87_empty(c, a) || x87_empty(c, b))) {                        \
            if (x87_underflow(c, i, how & TO_ST) && how & POP) {                   \
                x87_pop(c);                                                        \
            }                                                                      \
            return;                                                                \
        }                                                                          \
        run_##name(c, i, x87_st(c, a), x87_st(c, b), how);                         \
    }
BINARY(add)
BINARY(sub)
BINARY(mul)
BINARY(div)

#define MEM_FORM(name, load, type, with, reverse)                                  \
    HANDLER(name)                                                                  \
    {                                                                              \
        x87_wait(c);                                                               \
        type v = load(c, i);                                                       \
        x87_note_mem(c, i);                                                        \
        with(c, i, v, reverse);                                                    \
    }
#define REG_FORM(name, a, b, how, with)                                            \
    HANDLER(name)                                                                  \
    {                                                                              \
        x87_wait(c);                                                               \
        x87_note(c, i);                                                            \
        with(c, i, a, b, how);                                                     \
    }
/* name OP: ST0 = ST0 OP x, or x OP ST0 for the reversed operations */
#define ARITH(name, op, reverse)                                                   \
    MEM_FORM(f##name##_m32, m_ld32, uint32_t, op##_m32, reverse)                   \
    MEM_FORM(f##name##_m64, m_ld64, uint64_t, op##_m64, reverse)                   \
    MEM_FORM(fi##name##_m16, m_ld16, int16_t, op##_int, reverse)                   \
    MEM_FORM(fi##name##_m32, m_ld32, int32_t, op##_int, reverse)                   \
    REG_FORM(f##name##_st0, reverse ? i->rm : 0, reverse ? 0 : i->rm, 0, op##_regs) \
    REG_FORM(f##name##_sti, reverse ? 0 : i->rm, reverse ? i->rm : 0, i->rm, op##_regs) \
    REG_FORM(f##name##p, reverse ? 0 : i->rm, reverse ? i->rm : 0, i->rm | POP, op##_regs)
ARITH(add, add, false)
ARITH(mul, mul, false)
ARITH(sub, sub, false)
ARITH(subr, sub, true)
ARITH(div, div, false)
ARITH(divr, div, true)

static NOINLINE void square_root(X86CPU *c, const Insn *i)
{
    if (x87_empty(c, 0)) {
        x87_underflow(c, i, 0);
        return;
    }
    F80 r;
#if HOST_X87
    if (x87_host_ready(c)) {
        uint16_t sw = host_fsqrt(&r, x87_st(c, 0));
        if (x87_host_good(c, sw)) {
            x87_write(c, 0, r);
            x87_host_done(c, i, sw);
            return;
        }
    }
#endif
    FpEnv e = x87_env(c);
    r = f80_sqrt(x87_read(c, 0), &e);
    if (!x87_stopped(c, e.flags)) {
        x87_write(c, 0, r);
    }
    x87_done(c, i, e.flags, e.c1);
}

HANDLER(fsqrt)
{
    x87_wait(c);
    x87_note(c, i);
    square_root(c, i);
}

/* ---- comparisons ----------------------------------------------------------------------- */

static inline bool is_normal(F80 a)
{
    return (unsigned)(a.se & 0x7fff) - 1 < 0x7ffe && a.frac >> 63;
}

static inline FpRel compare_normal(F80 a, F80 b)
{
    if ((a.se ^ b.se) >> 15) {
        return a.se >> 15 ? FP_LESS : FP_GREATER;
    }
    if (a.se == b.se && a.frac == b.frac) {
        return FP_EQUAL;
    }
    bool less = a.se < b.se || (a.se == b.se && a.frac < b.frac);
    return less ^ (a.se >> 15) ? FP_LESS : FP_GREATER;
}

/* How a comparison is made and ends. */
enum {
    QUIET  = 1,                 /* FUCOM: a quiet NaN is no invalid operand */
    DENORM_OPERAND = 2,
    POPS   = 4,                 /* times the number of pops, 0-2 */
    EFLAGS = 16,                /* FCOMI: into ZF, PF, CF */
};

static void set_relation(X86CPU *c, FpRel r, unsigned how)
{
    static const uint16_t sw[] = { SW_C0, SW_C3, 0, SW_C0 | SW_C2 | SW_C3 };
    static const uint8_t eflags[] = { FL_CF, FL_ZF, 0, FL_ZF | FL_PF | FL_CF };

    if (how & EFLAGS) {
        flags_write_all(c, eflags[r + 1]);
    } else {
        x87_set_cc(c, sw[r + 1]);
    }
}

/* The relation is written even if an unmasked exception keeps the stack from being popped. */
static void compare_end(X86CPU *c, const Insn *i, FpRel r, unsigned flags, unsigned how)
{
    set_relation(c, r, how);
    if (!x87_stopped(c, flags)) {
        for (unsigned pops = how / POPS & 3; pops; pops--) {
            x87_pop(c);
        }
    }
    /* FCOMI leaves C1 alone, but for a stack fault */
    x87_done(c, i, flags, how & EFLAGS && !(flags & SW_SF) && c->fpu.sw & SW_C1);
}

static void compare(X86CPU *c, const Insn *i, F80 b, unsigned how)
{
    if (x87_empty(c, 0)) {
        compare_end(c, i, FP_UNORDERED, FP_IE | SW_SF, how);
        return;
    }
    F80 a = x87_read(c, 0);
    if (likely(is_normal(a) && is_normal(b) && !(how & DENORM_OPERAND))) {
        compare_end(c, i, compare_normal(a, b), 0, how);
        return;
    }
    FpEnv e = x87_env(c);
    e.de = how & DENORM_OPERAND;
    FpRel r = f80_compare(a, b, !(how & QUIET), &e);
    compare_end(c, i, r, e.flags, how);
}

static NOINLINE void compare_m32(X86CPU *c, const Insn *i, uint32_t v, unsigned how)
{
    bool denormal = false;
    F80 b = widen32(v, &denormal);
    compare(c, i, b, denormal ? how | DENORM_OPERAND : how);
}
static NOINLINE void compare_m64(X86CPU *c, const Insn *i, uint64_t v, unsigned how)
{
    bool denormal = false;
    F80 b = widen64(v, &denormal);
    compare(c, i, b, denormal ? how | DENORM_OPERAND : how);
}
static NOINLINE void compare_int(X86CPU *c, const Insn *i, int64_t v, unsigned how)
{
    compare(c, i, i64_to_f80(v), how);
}
static NOINLINE void compare_reg(X86CPU *c, const Insn *i, unsigned n, unsigned how)
{
    if (x87_empty(c, n)) {
        compare_end(c, i, FP_UNORDERED, FP_IE | SW_SF, how);
        return;
    }
    compare(c, i, x87_read(c, n), how);
}

#define COMPARE_MEM(name, load, type, with, how)                                   \
    HANDLER(name)                                                                  \
    {                                                                              \
        x87_wait(c);                                                               \
        type v = load(c, i);                                                       \
        x87_note_mem(c, i);                                                        \
        with(c, i, v, how);                                                        \
    }
#define COMPARE_REG(name, how)                                                     \
    HANDLER(name)                                                                  \
    {                                                                              \
        x87_wait(c);                                                               \
        x87_note(c, i);                                                            \
        compare_reg(c, i, i->rm, how);                                             \
    }
COMPARE_MEM(fcom_m32, m_ld32, uint32_t, compare_m32, 0)
COMPARE_MEM(fcom_m64, m_ld64, uint64_t, compare_m64, 0)
COMPARE_MEM(ficom_m16, m_ld16, int16_t, compare_int, 0)
COMPARE_MEM(ficom_m32, m_ld32, int32_t, compare_int, 0)
COMPARE_MEM(fcomp_m32, m_ld32, uint32_t, compare_m32, POPS)
COMPARE_MEM(fcomp_m64, m_ld64, uint64_t, compare_m64, POPS)
COMPARE_MEM(ficomp_m16, m_ld16, int16_t, compare_int, POPS)
COMPARE_MEM(ficomp_m32, m_ld32, int32_t, compare_int, POPS)
COMPARE_REG(fcom_sti, 0)
COMPARE_REG(fcomp_sti, POPS)
COMPARE_REG(fcompp, 2 * POPS)
COMPARE_REG(fucom_sti, QUIET)
COMPARE_REG(fucomp_sti, QUIET | POPS)
COMPARE_REG(fucompp, QUIET | 2 * POPS)
COMPARE_REG(fcomi, EFLAGS)
COMPARE_REG(fcomip, EFLAGS | POPS)
COMPARE_REG(fucomi, EFLAGS | QUIET)
COMPARE_REG(fucomip, EFLAGS | QUIET | POPS)

HANDLER(ftst)
{
    x87_wait(c);
    x87_note(c, i);
    compare_int(c, i, 0, 0);
}

HANDLER(fxam)
{
    static const uint16_t cc[] = {
        [F80_UNSUPPORTED] = 0, [F80_NAN] = SW_C0, [F80_NORMAL] = SW_C2,
        [F80_INF] = SW_C2 | SW_C0, [F80_ZERO] = SW_C3, [F80_DENORMAL] = SW_C3 | SW_C2,
    };
    x87_wait(c);
    x87_note(c, i);
    F80 a = x87_read(c, 0);
    x87_set_cc(c, (x87_empty(c, 0) ? SW_C3 | SW_C0 : cc[f80_classify(a)]) |
                  (f80_sign(a) ? SW_C1 : 0));
}

/* ---- sign ------------------------------------------------------------------------------ */

HANDLER(fchs)
{
    x87_wait(c);
    x87_note(c, i);
    if (x87_empty(c, 0)) {
        x87_underflow(c, i, 0);
        return;
    }
    x87_st(c, 0)->se ^= 0x8000;
    c->fpu.sw &= ~SW_C1;
}

HANDLER(fabs)
{
    x87_wait(c);
    x87_note(c, i);
    if (x87_empty(c, 0)) {
        x87_underflow(c, i, 0);
        return;
    }
    x87_st(c, 0)->se &= 0x7fff;
    c->fpu.sw &= ~SW_C1;
}
