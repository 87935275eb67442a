/* SPDX-License-Identifier: MIT */
/*
 * SSE and AVX floating point: arithmetic, compares, rounding, horizontal operations, dot
 * products.  Conversions are in op-simd-cvt.c, FMA in op-avx.c.
 *
 * Each operation exists twice: on the host's SSE unit (accel/tcg/host/sse.h) and on softfloat.
 * The handler takes the host's when X86CPU.sse_mode says SSE_HOST, else simd_slow2 decides.
 *
 * Sources: Intel SDM volume 1 chapter 11 (exceptions, 11.5), volume 2.
 */
#include "target-i386/simd-fp.h"

/* ---- MXCSR -------------------------------------------------------------------------------- */

uint32_t x86_get_mxcsr(X86CPU *c)
{
    if (c->sse_mode == SSE_HOST) {
        c->mxcsr |= host_mxcsr_get() & FP_ALL;
    }
    return c->mxcsr;
}

void x86_sse_leave(X86CPU *c)
{
    if (c->sse_mode == SSE_HOST) {
        c->mxcsr |= host_mxcsr_get() & FP_ALL;
        host_mxcsr_set(MXCSR_RESET);
        c->sse_mode = SSE_NEW;
    }
}

void x86_set_mxcsr(X86CPU *c, uint32_t v)
{
    x86_sse_leave(c);
    c->mxcsr = v & MXCSR_VALID;
    c->sse_mode = SSE_NEW;
}

FpEnv x86_sse_env(const X86CPU *c)
{
    FpEnv e = {
        .rc = (c->mxcsr >> 13) & 3,
        .pc = FP_PC_64,
        .masks = (c->mxcsr >> 7) & FP_ALL,
        .daz = c->mxcsr & MXCSR_DAZ,
        .ftz = c->mxcsr & MXCSR_FTZ,
    };
    return e;
}

bool simd_host_ready(X86CPU *c)
{
    if (c->sse_mode == SSE_NEW) {
        if (HOST_SSE && tcg_host_fp && (c->mxcsr & MXCSR_MASKS) == MXCSR_MASKS) {
            host_mxcsr_set(c->mxcsr & ~(uint32_t)FP_ALL);
            c->sse_mode = SSE_HOST;
        } else {
            c->sse_mode = SSE_SOFT;
        }
    }
    return c->sse_mode == SSE_HOST;
}

void simd_fp_done(X86CPU *c, const Insn *i, const FpEnv *e)
{
    const unsigned before = FP_IE | FP_DE | FP_ZE;
    unsigned flags = e->flags;

    /* an unmasked exception before the computation in one element: none computes (11.5.2.3) */
    if (flags & ~e->masks & before) {
        flags &= before;
    }
    c->mxcsr |= flags | e->stages;
    if (flags & ~e->masks) {
        x86_raise_at(c, i, c->cr4 & CR4_OSXMMEXCPT ? EXC_XM : EXC_UD);
    }
}

V128 simd_slow2(X86CPU *c, const Insn *i, V128 a, V128 b, LaneFn2 *host, LaneSoft2 *soft)
{
    FpEnv e;
    V128 r;

    if (host && simd_host_ready(c)) {
        return host(a, b);
    }
    e = x86_sse_env(c);
    r = soft(a, b, &e);
    simd_fp_done(c, i, &e);
    return r;
}

V256 simd_slow2_256(X86CPU *c, const Insn *i, V256 a, V256 b, LaneFn2 *host, LaneSoft2 *soft)
{
    FpEnv e;
    V256 r;

    if (host && simd_host_ready(c)) {
        r.h[0] = host(a.h[0], b.h[0]);
        r.h[1] = host(a.h[1], b.h[1]);
        return r;
    }
    e = x86_sse_env(c);
    r.h[0] = soft(a.h[0], b.h[0], &e);
    r.h[1] = soft(a.h[1], b.h[1], &e);
    simd_fp_done(c, i, &e);
    return r;
}

/* ---- arithmetic --------------------------------------------------------------------------- */

/* The soft versions of the four types of one operation; ss and sd keep a's upper part. */
#define SOFT4(name, F32, F64)                                                      \
    static V128 soft_##name##ps(V128 a, V128 b, FpEnv *e)                          \
    {                                                                              \
        for (unsigned k = 0; k < 4; k++) {                                         \
            a.d[k] = F32(a.d[k], b.d[k], e);                                       \
        }                                                                          \
        return a;                                                                  \
    }                                                                              \
    static V128 soft_##name##pd(V128 a, V128 b, FpEnv *e)                          \
    {                                                                              \
        a.q[0] = F64(a.q[0], b.q[0], e);                                           \
        a.q[1] = F64(a.q[1], b.q[1], e);                                           \
        return a;                                                                  \
    }                                                                              \
    static V128 soft_##name##ss(V128 a, V128 b, FpEnv *e)                          \
    {                                                                              \
        a.d[I32(0)] = F32(a.d[I32(0)], b.d[I32(0)], e);                            \
        return a;                                                                  \
    }                                                                              \
    static V128 soft_##name##sd(V128 a, V128 b, FpEnv *e)                          \
    {                                                                              \
        a.q[0] = F64(a.q[0], b.q[0], e);                                           \
        return a;                                                                  \
    }

#define PACKED(name)                                                               \
    FP_LANE(name)                                                                  \
    FAST_HANDLER(name##_x)                                                         \
    {                                                                              \
        V128 b = src_x(c, i);                                                      \
        put_x(c, i->reg, FP_RUN(name, X0(c, i->reg), b));                          \
        NEXT;                                                                      \
    }                                                                              \
    FAST_HANDLER(name##_v)                                                         \
    {                                                                              \
        if (i->flags & IF_L) {                                                     \
            V256 b = src_y(c, i);                                                  \
            put_v256(c, i->reg, FP_RUN256(name, Y(c, i->vvvv), b));                \
        } else {                                                                   \
            V128 b = src_u(c, i);                                                  \
            put_v128(c, i->reg, FP_RUN(name, X0(c, i->vvvv), b));                  \
        }                                                                          \
        NEXT;                                                                      \
    }
/* LOAD: src_d or src_q.  The whole register in the register form is fine too. */
#define SCALAR(name, LOAD)                                                         \
    FP_LANE(name)                                                                  \
    FAST_HANDLER(name##_x)                                                         \
    {                                                                              \
        V128 b = lane_q(LOAD(c, i), 0);                                            \
        put_x(c, i->reg, FP_RUN(name, X0(c, i->reg), b));                          \
        NEXT;                                                                      \
    }                                                                              \
    FAST_HANDLER(name##_v)                                                         \
    {                                                                              \
        V128 b = lane_q(LOAD(c, i), 0);                                            \
        put_v128(c, i->reg, FP_RUN(name, X0(c, i->vvvv), b));                      \
        NEXT;                                                                      \
    }
#define ARITH(name, F32, F64)                                                      \
    SOFT4(name, F32, F64)                                                          \
    PACKED(name##ps) PACKED(name##pd) SCALAR(name##ss, src_d) SCALAR(name##sd, src_q)

ARITH(add, f32_add, f64_add)
ARITH(sub, f32_sub, f64_sub)
ARITH(mul, f32_mul, f64_mul)
ARITH(div, f32_div, f64_div)
ARITH(min, f32_min, f64_min)
ARITH(max, f32_max, f64_max)

/* ---- one source --------------------------------------------------------------------------- */

#define SQRT32(a, b, e) f32_sqrt(b, e)
#define SQRT64(a, b, e) f64_sqrt(b, e)
SOFT4(sqrt, SQRT32, SQRT64)

/* RCPPS, RSQRTPS: 12-bit approximations without flags.  Where there is no such unit, the
 * exact quotient is within the error the manual allows. */
#if !HOST_SSE
static uint32_t approx_rcp(uint32_t b)
{
    FpEnv e = { .rc = FP_RC_NEAREST, .masks = FP_ALL, .daz = true, .ftz = true };
    return f32_div(0x3f800000, b, &e);
}
static uint32_t approx_rsqrt(uint32_t b)
{
    FpEnv e = { .rc = FP_RC_NEAREST, .masks = FP_ALL, .daz = true, .ftz = true };
    return f32_div(0x3f800000, f32_sqrt(b, &e), &e);
}
#define APPROX(name)                                                               \
    static V128 soft_##name##ps(V128 a, V128 b, FpEnv *e)                          \
    {                                                                              \
        (void)e;                                                                   \
        for (unsigned k = 0; k < 4; k++) {                                         \
            a.d[k] = approx_##name(b.d[k]);                                        \
        }                                                                          \
        return a;                                                                  \
    }                                                                              \
    static V128 soft_##name##ss(V128 a, V128 b, FpEnv *e)                          \
    {                                                                              \
        (void)e;                                                                   \
        a.d[I32(0)] = approx_##name(b.d[I32(0)]);                                  \
        return a;                                                                  \
    }
#endif

/* dest = OP(W), packed; no vvvv in the VEX form */
#define PACKED1(name)                                                              \
    FP_LANE(name)                                                                  \
    FAST_HANDLER(name##_x)                                                         \
    {                                                                              \
        V128 b = src_x(c, i);                                                      \
        put_x(c, i->reg, FP_RUN(name, b, b));                                      \
        NEXT;                                                                      \
    }                                                                              \
    FAST_HANDLER(name##_v)                                                         \
    {                                                                              \
        if (i->flags & IF_L) {                                                     \
            V256 b = src_y(c, i);                                                  \
            put_v256(c, i->reg, FP_RUN256(name, b, b));                            \
        } else {                                                                   \
            V128 b = src_u(c, i);                                                  \
            put_v128(c, i->reg, FP_RUN(name, b, b));                               \
        }                                                                          \
        NEXT;                                                                      \
    }
PACKED1(sqrtps) PACKED1(sqrtpd) SCALAR(sqrtss, src_d) SCALAR(sqrtsd, src_q)

/* The approximations depend on no control bit: an x86 host always has the guest's answer. */
#if HOST_SSE
#undef FP_RUN
#undef FP_RUN256
#define FP_RUN(name, a, b) run_##name(a, b)
#define FP_RUN256(name, a, b) run256_##name(b)
#define RUN256(name)                                                               \
    static inline V128 run_##name(V128 a, V128 b);                                 \
    static inline V256 run256_##name(V256 b)                                       \
    {                                                                              \
        V256 r = { { run_##name(b.h[0], b.h[0]), run_##name(b.h[1], b.h[1]) } };   \
        return r;                                                                  \
    }
RUN256(rcpps) RUN256(rsqrtps)
#else
APPROX(rcp)
APPROX(rsqrt)
#endif
PACKED1(rcpps) PACKED1(rsqrtps) SCALAR(rcpss, src_d) SCALAR(rsqrtss, src_d)
#if HOST_SSE
#undef FP_RUN
#undef FP_RUN256
#define FP_RUN(name, a, b) FP_RUN_DEFAULT(name, a, b)
#define FP_RUN256(name, a, b) FP_RUN256_DEFAULT(name, a, b)
#endif

/* ---- compares ------------------------------------------------------------------------------- */

/*
 * Predicates 0-31 (SDM 2, CMPPD table): the low three bits choose EQ LT LE UNORD NEQ NLT NLE
 * ORD; bit 3 swaps to the complement's treatment of unordered (EQ_U, NGE, NGT, FALSE, NEQ_O,
 * GE, GT, TRUE); bit 4 flips whether quiet NaNs signal.
 */
static bool predicate(FpRel rel, unsigned pred)
{
    switch (pred & 15) {
    case 0x0: return rel == FP_EQUAL;
    case 0x1: return rel == FP_LESS;
    case 0x2: return rel == FP_LESS || rel == FP_EQUAL;
    case 0x3: return rel == FP_UNORDERED;
    case 0x4: return rel != FP_EQUAL;
    case 0x5: return rel != FP_LESS;
    case 0x6: return rel != FP_LESS && rel != FP_EQUAL;
    case 0x7: return rel != FP_UNORDERED;
    case 0x8: return rel == FP_EQUAL || rel == FP_UNORDERED;
    case 0x9: return rel == FP_LESS || rel == FP_UNORDERED;
    case 0xa: return rel != FP_GREATER;
    case 0xb: return false;
    case 0xc: return rel == FP_LESS || rel == FP_GREATER;
    case 0xd: return rel == FP_GREATER || rel == FP_EQUAL;
    case 0xe: return rel == FP_GREATER;
    default: return true;
    }
}
static bool predicate_signals(unsigned pred)
{
    bool signals = (pred & 3) == 1 || (pred & 3) == 2;
    return signals ^ (pred >> 4 & 1);
}
static V128 cmp_soft(V128 a, V128 b, unsigned pred, bool wide, unsigned n, FpEnv *e)
{
    bool signal = predicate_signals(pred);

    for (unsigned k = 0; k < n; k++) {
        if (wide) {
            a.q[I64(k)] = predicate(f64_compare(a.q[I64(k)], b.q[I64(k)], signal, e), pred)
                          ? ~0ull : 0;
        } else {
            a.d[I32(k)] = predicate(f32_compare(a.d[I32(k)], b.d[I32(k)], signal, e), pred)
                          ? ~0u : 0;
        }
    }
    return a;
}
/* n elements of a 128-bit lane are compared; the rest is a's */
static V128 cmp_slow(X86CPU *c, const Insn *i, V128 a, V128 b, unsigned pred, bool wide, unsigned n)
{
    FpEnv e = x86_sse_env(c);
    V128 r = cmp_soft(a, b, pred, wide, n, &e);

    simd_fp_done(c, i, &e);
    return r;
}
static V256 cmp_slow256(X86CPU *c, const Insn *i, V256 a, V256 b, unsigned pred, bool wide)
{
    FpEnv e = x86_sse_env(c);
    V256 r;

    r.h[0] = cmp_soft(a.h[0], b.h[0], pred, wide, wide ? 2 : 4, &e);
    r.h[1] = cmp_soft(a.h[1], b.h[1], pred, wide, wide ? 2 : 4, &e);
    simd_fp_done(c, i, &e);
    return r;
}
#if HOST_SSE
#define CMP_RUN(name, a, b, pred, wide, n)                                         \
    (likely((pred) < 8 && (c->sse_mode == SSE_HOST || simd_host_ready(c)))         \
     ? lane_of(host_##name(host_of(a), host_of(b), pred))                          \
     : cmp_slow(c, i, a, b, pred, wide, n))
#else
#define CMP_RUN(name, a, b, pred, wide, n) cmp_slow(c, i, a, b, pred, wide, n)
#endif
#define CMP(name, wide, n, SRC_X, SRC_V)                                           \
    FAST_HANDLER(name##_x)                                                         \
    {                                                                              \
        V128 b = SRC_X;                                                            \
        put_x(c, i->reg, CMP_RUN(name, X0(c, i->reg), b, (i->imm & 7), wide, n));  \
        NEXT;                                                                      \
    }                                                                              \
    FAST_HANDLER(name##_v)                                                         \
    {                                                                              \
        unsigned pred = i->imm & 31;                                               \
        if ((n) > 1 && ((n) == 4 || (wide)) && i->flags & IF_L) {                  \
            V256 b = src_y(c, i);                                                  \
            put_v256(c, i->reg, cmp_slow256(c, i, Y(c, i->vvvv), b, pred, wide));  \
        } else {                                                                   \
            V128 b = SRC_V;                                                        \
            put_v128(c, i->reg, CMP_RUN(name, X0(c, i->vvvv), b, pred, wide, n));  \
        }                                                                          \
        NEXT;                                                                      \
    }
CMP(cmpps, false, 4, src_x(c, i), src_u(c, i))
CMP(cmppd, true, 2, src_x(c, i), src_u(c, i))
CMP(cmpss, false, 1, lane_q(src_d(c, i), 0), lane_q(src_d(c, i), 0))
CMP(cmpsd, true, 1, lane_q(src_q(c, i), 0), lane_q(src_q(c, i), 0))

/* COMISx, UCOMISx: ZF PF CF = 111 unordered, 000 greater, 001 less, 100 equal; OF SF AF = 0 */
static uint32_t comi_slow(X86CPU *c, const Insn *i, uint64_t a, uint64_t b, bool wide, bool signal)
{
    FpEnv e = x86_sse_env(c);
    FpRel rel = wide ? f64_compare(a, b, signal, &e) : f32_compare(a, b, signal, &e);

    simd_fp_done(c, i, &e);
    return rel == FP_UNORDERED ? FL_ZF | FL_PF | FL_CF
         : rel == FP_LESS ? FL_CF : rel == FP_EQUAL ? FL_ZF : 0;
}
#if HOST_SSE
#define COMI_RUN(name, a, b, wide, signal)                                         \
    (likely(c->sse_mode == SSE_HOST || simd_host_ready(c))                         \
     ? host_##name(host_of(lane_q(a, 0)), host_of(lane_q(b, 0)))                   \
     : comi_slow(c, i, a, b, wide, signal))
#else
#define COMI_RUN(name, a, b, wide, signal) comi_slow(c, i, a, b, wide, signal)
#endif
#define COMI(name, wide, signal, LOAD)                                             \
    FAST_HANDLER(name)                                                             \
    {                                                                              \
        uint64_t b = LOAD(c, i), a = X0(c, i->reg).q[0];                           \
        flags_write_all(c, COMI_RUN(name, (wide) ? a : (uint32_t)a, b, wide, signal)); \
        NEXT;                                                                      \
    }
COMI(comiss, false, true, src_d)
COMI(ucomiss, false, false, src_d)
COMI(comisd, true, true, src_q)
COMI(ucomisd, true, false, src_q)

/* ---- rounding -------------------------------------------------------------------------------- */

/* imm: bits 1:0 mode, bit 2: MXCSR.RC instead, bit 3: no precision exception */
static uint32_t round32(uint32_t v, unsigned imm, FpEnv *e)
{
    return f32_round_int(v, imm & 4 ? e->rc : imm & 3, imm & 8, e);
}
static uint64_t round64(uint64_t v, unsigned imm, FpEnv *e)
{
    return f64_round_int(v, imm & 4 ? e->rc : imm & 3, imm & 8, e);
}
static V128 round_ps(V128 b, unsigned imm, FpEnv *e)
{
    for (unsigned k = 0; k < 4; k++) {
        b.d[k] = round32(b.d[k], imm, e);
    }
    return b;
}
static V128 round_pd(V128 b, unsigned imm, FpEnv *e)
{
    b.q[0] = round64(b.q[0], imm, e);
    b.q[1] = round64(b.q[1], imm, e);
    return b;
}
#define ROUND_PACKED(name, FN)                                                     \
    FAST_HANDLER(name##_x)                                                         \
    {                                                                              \
        V128 b = src_x(c, i);                                                      \
        put_x(c, i->reg, simd_slow_imm(c, i, b, FN));                              \
        NEXT;                                                                      \
    }                                                                              \
    FAST_HANDLER(name##_v)                                                         \
    {                                                                              \
        if (i->flags & IF_L) {                                                     \
            V256 b = src_y(c, i);                                                  \
            put_v256(c, i->reg, simd_slow_imm256(c, i, b, FN));                    \
        } else {                                                                   \
            V128 b = src_u(c, i);                                                  \
            put_v128(c, i->reg, simd_slow_imm(c, i, b, FN));                       \
        }                                                                          \
        NEXT;                                                                      \
    }
typedef V128 LaneImm(V128 b, unsigned imm, FpEnv *e);
static V128 simd_slow_imm(X86CPU *c, const Insn *i, V128 b, LaneImm *fn)
{
    FpEnv e = x86_sse_env(c);
    V128 r = fn(b, (uint8_t)i->imm, &e);

    simd_fp_done(c, i, &e);
    return r;
}
static V256 simd_slow_imm256(X86CPU *c, const Insn *i, V256 b, LaneImm *fn)
{
    FpEnv e = x86_sse_env(c);
    V256 r = { { fn(b.h[0], (uint8_t)i->imm, &e), fn(b.h[1], (uint8_t)i->imm, &e) } };

    simd_fp_done(c, i, &e);
    return r;
}
ROUND_PACKED(roundps, round_ps)
ROUND_PACKED(roundpd, round_pd)

static V128 round_ss(V128 b, unsigned imm, FpEnv *e)
{
    b.q[0] = round32((uint32_t)b.q[0], imm, e);
    return b;
}
static V128 round_sd(V128 b, unsigned imm, FpEnv *e)
{
    b.q[0] = round64(b.q[0], imm, e);
    return b;
}
/* The upper part comes from the destination, or vvvv */
static inline void scalar_done(X86CPU *c, const Insn *i, bool wide, uint64_t v)
{
    V128 d = X0(c, i->flags & IF_VEX ? i->vvvv : i->reg);

    d.q[0] = wide ? v : (d.q[0] & ~0xffffffffull) | (uint32_t)v;
    put_x(c, i->reg, d);
    if (i->flags & IF_VEX) {
        vec_zero_above(&c->v[i->reg], 16);
    }
}
FAST_HANDLER(roundss)
{
    V128 r = simd_slow_imm(c, i, lane_q(src_d(c, i), 0), round_ss);
    scalar_done(c, i, false, r.q[0]);
    NEXT;
}
FAST_HANDLER(roundsd)
{
    V128 r = simd_slow_imm(c, i, lane_q(src_q(c, i), 0), round_sd);
    scalar_done(c, i, true, r.q[0]);
    NEXT;
}

/* ---- horizontal and alternating --------------------------------------------------------------- */

/* even and odd elements of a:b side by side */
static inline V128 evens_ps(V128 a, V128 b) { return lane_shufps(a, b, 0x88); }
static inline V128 odds_ps(V128 a, V128 b)  { return lane_shufps(a, b, 0xdd); }
static V128 soft_haddps(V128 a, V128 b, FpEnv *e)
{
    return soft_addps(evens_ps(a, b), odds_ps(a, b), e);
}
static V128 soft_hsubps(V128 a, V128 b, FpEnv *e)
{
    return soft_subps(evens_ps(a, b), odds_ps(a, b), e);
}
static V128 soft_haddpd(V128 a, V128 b, FpEnv *e)
{
    return soft_addpd(lane_q(a.q[0], b.q[0]), lane_q(a.q[1], b.q[1]), e);
}
static V128 soft_hsubpd(V128 a, V128 b, FpEnv *e)
{
    return soft_subpd(lane_q(a.q[0], b.q[0]), lane_q(a.q[1], b.q[1]), e);
}
/* subtract in even elements, add in odd ones */
static V128 soft_addsubps(V128 a, V128 b, FpEnv *e)
{
    for (unsigned k = 0; k < 4; k++) {
        a.d[I32(k)] = k & 1 ? f32_add(a.d[I32(k)], b.d[I32(k)], e)
                            : f32_sub(a.d[I32(k)], b.d[I32(k)], e);
    }
    return a;
}
static V128 soft_addsubpd(V128 a, V128 b, FpEnv *e)
{
    a.q[0] = f64_sub(a.q[0], b.q[0], e);
    a.q[1] = f64_add(a.q[1], b.q[1], e);
    return a;
}
#if HOST_SSE
static V128 run_haddps(V128 a, V128 b) { return run_addps(evens_ps(a, b), odds_ps(a, b)); }
static V128 run_hsubps(V128 a, V128 b) { return run_subps(evens_ps(a, b), odds_ps(a, b)); }
static V128 run_haddpd(V128 a, V128 b)
{
    return run_addpd(lane_q(a.q[0], b.q[0]), lane_q(a.q[1], b.q[1]));
}
static V128 run_hsubpd(V128 a, V128 b)
{
    return run_subpd(lane_q(a.q[0], b.q[0]), lane_q(a.q[1], b.q[1]));
}
#else
#define run_haddps NULL
#define run_hsubps NULL
#define run_haddpd NULL
#define run_hsubpd NULL
#endif
#define HORIZONTAL(name, run)                                                      \
    FAST_HANDLER(name##_x)                                                         \
    {                                                                              \
        V128 b = src_x(c, i);                                                      \
        put_x(c, i->reg, simd_slow2(c, i, X0(c, i->reg), b, run, soft_##name));    \
        NEXT;                                                                      \
    }                                                                              \
    FAST_HANDLER(name##_v)                                                         \
    {                                                                              \
        if (i->flags & IF_L) {                                                     \
            V256 b = src_y(c, i);                                                  \
            put_v256(c, i->reg, simd_slow2_256(c, i, Y(c, i->vvvv), b, run, soft_##name)); \
        } else {                                                                   \
            V128 b = src_u(c, i);                                                  \
            put_v128(c, i->reg, simd_slow2(c, i, X0(c, i->vvvv), b, run, soft_##name)); \
        }                                                                          \
        NEXT;                                                                      \
    }
HORIZONTAL(haddps, run_haddps) HORIZONTAL(haddpd, run_haddpd)
HORIZONTAL(hsubps, run_hsubps) HORIZONTAL(hsubpd, run_hsubpd)
HORIZONTAL(addsubps, NULL) HORIZONTAL(addsubpd, NULL)

/* Each stage ends the instruction if it raised what is unmasked; the flags of those before it
 * stay. */
static bool stage_ok(FpEnv *e)
{
    if (e->flags & ~e->masks) {
        return false;
    }
    e->stages |= e->flags;
    e->flags = 0;
    return true;
}

/*
 * DPPS, DPPD: products chosen by imm[7:4], their sum written where imm[3:0] says.  Processors
 * add each product to its neighbour's and then the pairs, in every element on its own; which
 * of several NaNs survives depends on that order.  Of 256 bits both halves go through a stage
 * together.
 */
static void dot_halves(V128 *a, const V128 *b, unsigned halves, unsigned imm, FpEnv *e)
{
    uint32_t p[8], pair[8];
    unsigned n = 4 * halves;

    for (unsigned k = 0; k < n; k++) {
        p[k] = (imm >> (4 + k % 4)) & 1
             ? f32_mul(a[k / 4].d[I32(k % 4)], b[k / 4].d[I32(k % 4)], e) : 0;
    }
    if (!stage_ok(e)) {
        return;
    }
    for (unsigned k = 0; k < n; k++) {
        pair[k] = f32_add(p[k ^ 1], p[k], e);
    }
    if (!stage_ok(e)) {
        return;
    }
    for (unsigned k = 0; k < n; k++) {
        uint32_t sum = f32_add(pair[k], pair[k ^ 2], e);
        a[k / 4].d[I32(k % 4)] = (imm >> k % 4) & 1 ? sum : 0;
    }
}
static V128 dot_ps(V128 a, V128 b, unsigned imm, FpEnv *e)
{
    dot_halves(&a, &b, 1, imm, e);
    return a;
}
static V256 dot_ps256(X86CPU *c, const Insn *i, V256 a, V256 b)
{
    FpEnv e = x86_sse_env(c);

    dot_halves(a.h, b.h, 2, (uint8_t)i->imm, &e);
    simd_fp_done(c, i, &e);
    return a;
}
static V128 dot_pd(V128 a, V128 b, unsigned imm, FpEnv *e)
{
    uint64_t p0 = imm & 0x10 ? f64_mul(a.q[0], b.q[0], e) : 0;
    uint64_t p1 = imm & 0x20 ? f64_mul(a.q[1], b.q[1], e) : 0;

    uint64_t lo, hi;

    if (!stage_ok(e)) {
        return a;
    }
    lo = f64_add(p0, p1, e);
    hi = f64_add(p1, p0, e);
    return lane_q(imm & 1 ? lo : 0, imm & 2 ? hi : 0);
}
FAST_HANDLER(dpps_x)
{
    V128 b = src_x(c, i);
    put_x(c, i->reg, simd_slow_imm2(c, i, X0(c, i->reg), b, dot_ps));
    NEXT;
}
FAST_HANDLER(dpps_v)
{
    if (i->flags & IF_L) {
        V256 b = src_y(c, i);
        put_v256(c, i->reg, dot_ps256(c, i, Y(c, i->vvvv), b));
    } else {
        V128 b = src_u(c, i);
        put_v128(c, i->reg, simd_slow_imm2(c, i, X0(c, i->vvvv), b, dot_ps));
    }
    NEXT;
}
FAST_HANDLER(dppd_x)
{
    V128 b = src_x(c, i);
    put_x(c, i->reg, simd_slow_imm2(c, i, X0(c, i->reg), b, dot_pd));
    NEXT;
}
FAST_HANDLER(dppd_v)
{
    V128 b = src_u(c, i);
    put_v128(c, i->reg, simd_slow_imm2(c, i, X0(c, i->vvvv), b, dot_pd));
    NEXT;
}

/* ---- LDMXCSR, STMXCSR ------------------------------------------------------------------------- */

HANDLER(ldmxcsr)
{
    uint32_t v = m_ld32(c, i);

    if (v & ~MXCSR_VALID) {
        x86_raise_err(c, EXC_GP, 0);
    }
    x86_set_mxcsr(c, v);
}
HANDLER(stmxcsr)
{
    m_st32(c, i, x86_get_mxcsr(c));
}
