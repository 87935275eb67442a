/* SPDX-License-Identifier: MIT */
/*
 * x87: loads, stores, constants, moves between registers, and the instructions that touch the
 * control and status words only.
 *
 * A store converts first, then writes memory (which may fault, with nothing changed yet), then
 * raises flags and pops.
 */
#include "target-i386/x87.h"

/* ---- loads ----------------------------------------------------------------------------- */

static NOINLINE void load(X86CPU *c, const Insn *i, F80 v)
{
    if (unlikely(!x87_empty(c, 7))) {
        x87_overflow(c, i);
        return;
    }
    x87_push(c, v);
    c->fpu.sw &= ~SW_C1;
}

/* The end of a load that converted: an unmasked IE keeps the number out, DE doesn't. */
static void load_end(X86CPU *c, const Insn *i, F80 v, unsigned flags)
{
    if (!(flags & ~c->fpu.cw & FP_IE)) {
        x87_push(c, v);
    }
    x87_done(c, i, flags, false);
}

static NOINLINE void load_f32(X86CPU *c, const Insn *i, uint32_t v)
{
    FpEnv e = { 0 };

    if (unlikely(!x87_empty(c, 7))) {
        x87_overflow(c, i);
        return;
    }
    F80 r = f32_to_f80(v, &e);
    load_end(c, i, r, e.flags);
}

static NOINLINE void load_f64(X86CPU *c, const Insn *i, uint64_t v)
{
    FpEnv e = { 0 };

    if (unlikely(!x87_empty(c, 7))) {
        x87_overflow(c, i);
        return;
    }
    F80 r = f64_to_f80(v, &e);
    load_end(c, i, r, e.flags);
}

HANDLER(fld_m32)
{
    x87_wait(c);
    uint32_t v = m_ld32(c, i);
    unsigned exp = v >> 23 & 0xff;
    x87_note_mem(c, i);
    if (likely(exp - 1 < 254)) {
        load(c, i, f80_make(v >> 31, exp - 127 + 16383, (uint64_t)(v << 8 | 0x80000000u) << 32));
        return;
    }
    load_f32(c, i, v);
}
HANDLER(fld_m64)
{
    x87_wait(c);
    uint64_t v = m_ld64(c, i);
    unsigned exp = v >> 52 & 0x7ff;
    x87_note_mem(c, i);
    if (likely(exp - 1 < 2046)) {
        load(c, i, f80_make(v >> 63, exp - 1023 + 16383, v << 11 | 1ull << 63));
        return;
    }
    load_f64(c, i, v);
}
HANDLER(fild_m16)
{
    x87_wait(c);
    int16_t v = m_ld16(c, i);
    x87_note_mem(c, i);
    load(c, i, i64_to_f80(v));
}
HANDLER(fild_m32)
{
    x87_wait(c);
    int32_t v = m_ld32(c, i);
    x87_note_mem(c, i);
    load(c, i, i64_to_f80(v));
}
HANDLER(fild_m64)
{
    x87_wait(c);
    int64_t v = m_ld64(c, i);
    x87_note_mem(c, i);
    load(c, i, i64_to_f80(v));
}

/* Ten bytes at the memory operand. */
static NOINLINE void load_m80(X86CPU *c, const Insn *i)
{
    uint8_t b[10];

    m_read(c, i, 0, b, sizeof(b));
    x87_note_mem(c, i);
    load(c, i, (F80) { .frac = ld64_le(b), .se = ld16_le(b + 8) });
}
HANDLER(fld_m80)
{
    x87_wait(c);
    load_m80(c, i);
}

static NOINLINE void load_bcd(X86CPU *c, const Insn *i)
{
    uint8_t b[10];

    m_read(c, i, 0, b, sizeof(b));
    x87_note_mem(c, i);
    load(c, i, bcd_to_f80(b));
}
HANDLER(fbld)
{
    x87_wait(c);
    load_bcd(c, i);
}

HANDLER(fld_sti)
{
    x87_wait(c);
    x87_note(c, i);
    if (unlikely(x87_empty(c, i->rm))) {
        if (x87_underflow_only(c, i)) {
            x87_push(c, f80_default_nan);
        }
    } else if (unlikely(!x87_empty(c, 7))) {
        x87_overflow(c, i);
    } else {
        x87_push(c, x87_read(c, i->rm));
        c->fpu.sw &= ~SW_C1;
    }
}

static NOINLINE void load_constant(X86CPU *c, const Insn *i, unsigned which)
{
    FpEnv e = x87_env(c);
    load(c, i, f80_constant(which, &e));
}
HANDLER(fld_const)
{
    x87_wait(c);
    x87_note(c, i);
    load_constant(c, i, i->rm & 7);     /* D9 E8..EE: the low bits of ModRM */
}

/* ---- stores ---------------------------------------------------------------------------- */

/* A converted value on its way to memory. */
typedef struct Out {
    uint64_t bits;
    uint16_t flags;             /* FP_*, SW_SF */
    bool c1;
    bool store;                 /* no unmasked exception forbids it */
} Out;

static Out out(const X86CPU *c, uint64_t bits, unsigned flags, bool c1)
{
    bool store = !(flags & ~c->fpu.cw & (FP_IE | FP_OE | FP_UE));
    return (Out) { .bits = bits, .flags = flags, .c1 = c1 && store, .store = store };
}

static void store_end(X86CPU *c, const Insn *i, Out o, bool pop)
{
    if (o.store && pop) {
        x87_pop(c);
    }
    x87_done(c, i, o.flags, o.c1);
}

#if HOST_X87
#define TRY_HOST_STORE(fn, type)                                                   \
    if (x87_host_ready(c)) {                                                       \
        type v;                                                                    \
        uint16_t sw = fn(&v, x87_st(c, 0));                                       \
        if (x87_host_good(c, sw)) {                                                \
            return (Out) { .bits = v, .flags = sw & FP_ALL, .c1 = sw & SW_C1,      \
                           .store = true };                                        \
        }                                                                          \
    }
#else
#define TRY_HOST_STORE(fn, type)
#endif

static NOINLINE Out to_f32(X86CPU *c)
{
    if (x87_empty(c, 0)) {
        return out(c, F32_DEFAULT_NAN, FP_IE | SW_SF, false);
    }
    TRY_HOST_STORE(host_fst32, uint32_t)
    FpEnv e = x87_env(c);
    uint32_t v = f80_to_f32(x87_read(c, 0), &e);
    return out(c, v, e.flags, e.c1);
}
static NOINLINE Out to_f64(X86CPU *c)
{
    if (x87_empty(c, 0)) {
        return out(c, F64_DEFAULT_NAN, FP_IE | SW_SF, false);
    }
    TRY_HOST_STORE(host_fst64, uint64_t)
    FpEnv e = x87_env(c);
    uint64_t v = f80_to_f64(x87_read(c, 0), &e);
    return out(c, v, e.flags, e.c1);
}
#define TO_INT(n)                                                                  \
    static NOINLINE Out to_i##n(X86CPU *c, bool chop)                              \
    {                                                                              \
        if (x87_empty(c, 0)) {                                                     \
            return out(c, 1ull << (n - 1), FP_IE | SW_SF, false);                  \
        }                                                                          \
        if (!chop) {                                                               \
            TRY_HOST_STORE(host_fist##n, uint##n##_t)                              \
        }                                                                          \
        FpEnv e = x87_env(c);                                                      \
        uint##n##_t v = f80_to_i##n(x87_read(c, 0), chop ? FP_RC_ZERO : e.rc, &e);  \
        return out(c, v, e.flags, e.c1);                                           \
    }
TO_INT(16)
TO_INT(32)
TO_INT(64)

#define STORE(name, n, convert, pop)                                               \
    HANDLER(name)                                                                  \
    {                                                                              \
        x87_wait(c);                                                               \
        Out o = convert;                                                           \
        if (likely(o.store)) {                                                     \
            m_st##n(c, i, o.bits);                                                 \
        }                                                                          \
        x87_note_mem(c, i);                                                        \
        store_end(c, i, o, pop);                                                   \
    }
STORE(fst_m32,    32, to_f32(c), false)
STORE(fstp_m32,   32, to_f32(c), true)
STORE(fst_m64,    64, to_f64(c), false)
STORE(fstp_m64,   64, to_f64(c), true)
STORE(fist_m16,   16, to_i16(c, false), false)
STORE(fist_m32,   32, to_i32(c, false), false)
STORE(fistp_m16,  16, to_i16(c, false), true)
STORE(fistp_m32,  32, to_i32(c, false), true)
STORE(fistp_m64,  64, to_i64(c, false), true)
STORE(fisttp_m16, 16, to_i16(c, true), true)
STORE(fisttp_m32, 32, to_i32(c, true), true)
STORE(fisttp_m64, 64, to_i64(c, true), true)

static NOINLINE void store_m80(X86CPU *c, const Insn *i)
{
    bool empty = x87_empty(c, 0);
    F80 v = empty ? f80_default_nan : x87_read(c, 0);
    Out o = out(c, 0, empty ? FP_IE | SW_SF : 0, false);

    if (o.store) {
        uint8_t b[10];
        st64_le(b, v.frac);
        st16_le(b + 8, v.se);
        m_write(c, i, 0, b, sizeof(b));
    }
    x87_note_mem(c, i);
    store_end(c, i, o, true);
}
HANDLER(fstp_m80)
{
    x87_wait(c);
    store_m80(c, i);
}

static NOINLINE void store_bcd(X86CPU *c, const Insn *i)
{
    uint8_t b[10] = { [7] = 0xc0, 0xff, 0xff };         /* BCD indefinite */
    FpEnv e = x87_env(c);

    if (x87_empty(c, 0)) {
        e.flags = FP_IE;
    } else {
        f80_to_bcd(x87_read(c, 0), b, &e);
    }
    Out o = out(c, 0, e.flags | (x87_empty(c, 0) ? SW_SF : 0), e.c1);
    if (o.store) {
        m_write(c, i, 0, b, sizeof(b));
    }
    x87_note_mem(c, i);
    store_end(c, i, o, true);
}
HANDLER(fbstp)
{
    x87_wait(c);
    store_bcd(c, i);
}

/* ---- register moves -------------------------------------------------------------------- */

/* FST ST(i), FSTP ST(i) */
static inline void store_reg(X86CPU *c, const Insn *i, bool pop)
{
    x87_wait(c);
    x87_note(c, i);
    if (unlikely(x87_empty(c, 0))) {
        if (!x87_underflow(c, i, i->rm)) {
            return;
        }
    } else {
        x87_write(c, i->rm, x87_read(c, 0));
        c->fpu.sw &= ~SW_C1;
    }
    if (pop) {
        x87_pop(c);
    }
}
HANDLER(fst_sti)
{
    store_reg(c, i, false);
}
HANDLER(fstp_sti)
{
    store_reg(c, i, true);
}

/* D9 D8+i, undocumented: as FSTP, but an empty ST0 is popped without complaint. */
HANDLER(fstpnce)
{
    x87_wait(c);
    x87_note(c, i);
    if (!x87_empty(c, 0)) {
        x87_write(c, i->rm, x87_read(c, 0));
    }
    x87_pop(c);
    c->fpu.sw &= ~SW_C1;
}

HANDLER(fxch)
{
    x87_wait(c);
    x87_note(c, i);
    if (unlikely(x87_empty(c, 0) || x87_empty(c, i->rm))) {
        if (!x87_underflow_only(c, i)) {
            return;
        }
        for (unsigned k = 0; k < 2; k++) {
            if (x87_empty(c, k ? i->rm : 0)) {
                x87_write(c, k ? i->rm : 0, f80_default_nan);
            }
        }
    }
    F80 t = x87_read(c, 0);
    x87_write(c, 0, x87_read(c, i->rm));
    x87_write(c, i->rm, t);
    c->fpu.sw &= ~SW_C1;
}

static inline void move_if(X86CPU *c, const Insn *i, bool condition)
{
    x87_wait(c);
    x87_note(c, i);
    if (unlikely(x87_empty(c, 0) || x87_empty(c, i->rm))) {
        x87_underflow(c, i, 0);
    } else {
        if (condition) {
            x87_write(c, 0, x87_read(c, i->rm));
        }
    }
}
HANDLER(fcmovb)   { move_if(c, i, cond(c, 2)); }
HANDLER(fcmovnb)  { move_if(c, i, cond(c, 3)); }
HANDLER(fcmove)   { move_if(c, i, cond(c, 4)); }
HANDLER(fcmovne)  { move_if(c, i, cond(c, 5)); }
HANDLER(fcmovbe)  { move_if(c, i, cond(c, 6)); }
HANDLER(fcmovnbe) { move_if(c, i, cond(c, 7)); }
HANDLER(fcmovu)   { move_if(c, i, cond(c, 10)); }
HANDLER(fcmovnu)  { move_if(c, i, cond(c, 11)); }

HANDLER(ffree)
{
    x87_wait(c);
    x87_note(c, i);
    x87_set_empty(c, i->rm);
    c->fpu.sw &= ~SW_C1;
}
HANDLER(ffreep)
{
    x87_wait(c);
    x87_note(c, i);
    x87_set_empty(c, i->rm);
    x87_pop(c);
    c->fpu.sw &= ~SW_C1;
}
HANDLER(fincstp)
{
    x87_wait(c);
    x87_note(c, i);
    c->fpu.top = (c->fpu.top + 1) & 7;
    c->fpu.sw &= ~SW_C1;
}
HANDLER(fdecstp)
{
    x87_wait(c);
    x87_note(c, i);
    c->fpu.top = (c->fpu.top - 1) & 7;
    c->fpu.sw &= ~SW_C1;
}
HANDLER(fnop)
{
    x87_wait(c);
    x87_note(c, i);
}

/* ---- control and status ---------------------------------------------------------------- */

/* FENI, FDISI, FSETPM of older coprocessors do nothing. */
FAST_HANDLER(fnone)
{
    NEXT;
}
HANDLER(fwait)
{
    x87_wait(c);
}

HANDLER(fldcw)
{
    x87_wait(c);
    c->fpu.cw = (m_ld16(c, i) & CW_VALID) | CW_ONE;
    x87_update_es(c);
}
HANDLER(fnstcw)
{
    m_st16(c, i, c->fpu.cw);
}
HANDLER(fnstsw_m)
{
    m_st16(c, i, c->fpu.sw | c->fpu.top << SW_TOP_SHIFT);
}
HANDLER(fnstsw_ax)
{
    WR16(c, R_EAX, c->fpu.sw | c->fpu.top << SW_TOP_SHIFT);
}
HANDLER(fnclex)
{
    c->fpu.sw &= SW_CC;
    x87_update_es(c);
}
HANDLER(fninit)
{
    x86_fpu_init(c);
}
