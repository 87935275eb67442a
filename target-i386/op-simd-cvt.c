/* SPDX-License-Identifier: MIT */
/*
 * Conversions between integers and floating point, and between floating-point formats: SSE,
 * SSE2, their MMX forms, AVX and F16C.
 *
 * Source: Intel SDM volume 2; volume 1, 11.5.2.
 */
#include "target-i386/simd-fp.h"

/* ---- lane to lane ------------------------------------------------------------------------- */

static V128 soft_cvtdq2ps(V128 a, V128 b, FpEnv *e)
{
    (void)a;
    for (unsigned k = 0; k < 4; k++) {
        b.d[k] = i32_to_f32(b.sd[k], e);
    }
    return b;
}
static V128 soft_cvtps2dq(V128 a, V128 b, FpEnv *e)
{
    (void)a;
    for (unsigned k = 0; k < 4; k++) {
        b.sd[k] = f32_to_i32(b.d[k], e->rc, e);
    }
    return b;
}
static V128 soft_cvttps2dq(V128 a, V128 b, FpEnv *e)
{
    (void)a;
    for (unsigned k = 0; k < 4; k++) {
        b.sd[k] = f32_to_i32(b.d[k], FP_RC_ZERO, e);
    }
    return b;
}
/* two low elements -> two wide ones */
static V128 soft_cvtdq2pd(V128 a, V128 b, FpEnv *e)
{
    (void)a;
    return lane_q(i32_to_f64(b.sd[I32(0)], e), i32_to_f64(b.sd[I32(1)], e));
}
static V128 soft_cvtps2pd(V128 a, V128 b, FpEnv *e)
{
    uint64_t lo = f32_to_f64(b.d[I32(0)], e);
    (void)a;
    return lane_q(lo, f32_to_f64(b.d[I32(1)], e));
}
/* two wide elements -> two low ones, upper half 0 */
static V128 narrow(uint32_t lo, uint32_t hi)
{
    return lane_q(lo | (uint64_t)hi << 32, 0);
}
static V128 soft_cvtpd2ps(V128 a, V128 b, FpEnv *e)
{
    uint32_t lo = f64_to_f32(b.q[0], e);
    (void)a;
    return narrow(lo, f64_to_f32(b.q[1], e));
}
static V128 soft_cvtpd2dq(V128 a, V128 b, FpEnv *e)
{
    uint32_t lo = f64_to_i32(b.q[0], e->rc, e);
    (void)a;
    return narrow(lo, f64_to_i32(b.q[1], e->rc, e));
}
static V128 soft_cvttpd2dq(V128 a, V128 b, FpEnv *e)
{
    uint32_t lo = f64_to_i32(b.q[0], FP_RC_ZERO, e);
    (void)a;
    return narrow(lo, f64_to_i32(b.q[1], FP_RC_ZERO, e));
}
static V128 soft_cvtss2sd(V128 a, V128 b, FpEnv *e)
{
    a.q[0] = f32_to_f64((uint32_t)b.q[0], e);
    return a;
}
static V128 soft_cvtsd2ss(V128 a, V128 b, FpEnv *e)
{
    a.q[0] = (a.q[0] & ~0xffffffffull) | f64_to_f32(b.q[0], e);
    return a;
}

/* Same size on both sides */
#define CVT_SAME(name)                                                             \
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
CVT_SAME(cvtdq2ps) CVT_SAME(cvtps2dq) CVT_SAME(cvttps2dq)

/* Widening: 64 bits of W make 128 of the result */
#define CVT_WIDEN(name)                                                            \
    FP_LANE(name)                                                                  \
    FAST_HANDLER(name##_x)                                                         \
    {                                                                              \
        V128 b = lane_q(src_q(c, i), 0);                                           \
        put_x(c, i->reg, FP_RUN(name, b, b));                                      \
        NEXT;                                                                      \
    }                                                                              \
    FAST_HANDLER(name##_v)                                                         \
    {                                                                              \
        if (i->flags & IF_L) {                                                     \
            V128 b = src_u(c, i);                                                  \
            V256 w = { { lane_q(b.q[0], 0), lane_q(b.q[1], 0) } };                 \
            put_v256(c, i->reg, FP_RUN256(name, w, w));                            \
        } else {                                                                   \
            V128 b = lane_q(src_q(c, i), 0);                                       \
            put_v128(c, i->reg, FP_RUN(name, b, b));                               \
        }                                                                          \
        NEXT;                                                                      \
    }
CVT_WIDEN(cvtdq2pd) CVT_WIDEN(cvtps2pd)

/* Narrowing: a 256-bit source makes a 128-bit result */
#define CVT_NARROW(name)                                                           \
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
            V256 b = src_y(c, i), r = FP_RUN256(name, b, b);                       \
            put_v128(c, i->reg, lane_q(r.h[0].q[0], r.h[1].q[0]));                 \
        } else {                                                                   \
            V128 b = src_u(c, i);                                                  \
            put_v128(c, i->reg, FP_RUN(name, b, b));                               \
        }                                                                          \
        NEXT;                                                                      \
    }
CVT_NARROW(cvtpd2ps) CVT_NARROW(cvtpd2dq) CVT_NARROW(cvttpd2dq)

#define CVT_SCALAR(name, LOAD)                                                     \
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
CVT_SCALAR(cvtss2sd, src_d) CVT_SCALAR(cvtsd2ss, src_q)

/* ---- general registers ---------------------------------------------------------------------- */

/* what: bit 0 wide source (f64), bit 1 truncate, bit 2 64-bit integer */
static int64_t to_int_slow(X86CPU *c, const Insn *i, uint64_t v, unsigned what)
{
    FpEnv e = x86_sse_env(c);
    unsigned rc = what & 2 ? FP_RC_ZERO : e.rc;
    int64_t r;

    if (what & 4) {
        r = what & 1 ? f64_to_i64(v, rc, &e) : f32_to_i64(v, rc, &e);
    } else {
        r = what & 1 ? f64_to_i32(v, rc, &e) : f32_to_i32(v, rc, &e);
    }
    simd_fp_done(c, i, &e);
    return r;
}
#if HOST_SSE
#define TO_INT_RUN(name, v, what)                                                  \
    (likely(c->sse_mode == SSE_HOST || simd_host_ready(c))                         \
     ? host_##name(host_of(lane_q(v, 0)), (what) & 4) : to_int_slow(c, i, v, what))
#else
#define TO_INT_RUN(name, v, what) to_int_slow(c, i, v, what)
#endif
#define TO_INT(name, LOAD, what)                                                   \
    FAST_HANDLER(name)                                                             \
    {                                                                              \
        uint64_t v = LOAD(c, i);                                                   \
        if (i->flags & IF_W) {                                                     \
            WR64(c, i->reg, TO_INT_RUN(name, v, (what) | 4));                      \
        } else {                                                                   \
            WR32(c, i->reg, TO_INT_RUN(name, v, what));                            \
        }                                                                          \
        NEXT;                                                                      \
    }
TO_INT(cvtss2si, src_d, 0) TO_INT(cvttss2si, src_d, 2)
TO_INT(cvtsd2si, src_q, 1) TO_INT(cvttsd2si, src_q, 3)

static uint64_t from_int_slow(X86CPU *c, const Insn *i, int64_t v, bool wide)
{
    FpEnv e = x86_sse_env(c);
    uint64_t r;

    if (i->flags & IF_W) {
        r = wide ? i64_to_f64(v, &e) : i64_to_f32(v, &e);
    } else {
        r = wide ? i32_to_f64((int32_t)v, &e) : i32_to_f32((int32_t)v, &e);
    }
    simd_fp_done(c, i, &e);
    return r;
}
#if HOST_SSE
#define FROM_INT_RUN(name, a, v, wide)                                             \
    (likely(c->sse_mode == SSE_HOST || simd_host_ready(c))                         \
     ? lane_of(host_##name(host_of(a), v, i->flags & IF_W))                        \
     : from_int_merge(a, from_int_slow(c, i, v, wide), wide))
#else
#define FROM_INT_RUN(name, a, v, wide) from_int_merge(a, from_int_slow(c, i, v, wide), wide)
#endif
static inline V128 from_int_merge(V128 a, uint64_t v, bool wide)
{
    a.q[0] = wide ? v : (a.q[0] & ~0xffffffffull) | (uint32_t)v;
    return a;
}
#define FROM_INT(name, wide)                                                       \
    FAST_HANDLER(name)                                                             \
    {                                                                              \
        int64_t v;                                                                 \
        if (i->flags & IF_W) {                                                     \
            v = i->flags & IF_MEM ? m_ld64(c, i) : R64(c, i->rm);                  \
        } else {                                                                   \
            v = (int32_t)(i->flags & IF_MEM ? m_ld32(c, i) : R32(c, i->rm));       \
        }                                                                          \
        if (i->flags & IF_VEX) {                                                   \
            put_v128(c, i->reg, FROM_INT_RUN(name, X0(c, i->vvvv), v, wide));      \
        } else {                                                                   \
            put_x(c, i->reg, FROM_INT_RUN(name, X0(c, i->reg), v, wide));          \
        }                                                                          \
        NEXT;                                                                      \
    }
FROM_INT(cvtsi2ss, false) FROM_INT(cvtsi2sd, true)

/* ---- MMX ---------------------------------------------------------------------------------------- */

/* The 64-bit source of CVTPI2PS and CVTPI2PD: with a memory operand these leave the x87 state
 * alone (as processors do; the manual says so of CVTPI2PD only). */
static inline uint64_t src_pi(X86CPU *c, const Insn *i)
{
    uint64_t v;

    if (i->flags & IF_MEM) {
        return m_ld64(c, i);
    }
    mmx_check(c);
    v = MM(c, i->rm);
    mmx_enter(c);
    return v;
}
HANDLER(cvtpi2ps)
{
    uint64_t v = src_pi(c, i);
    FpEnv e = x86_sse_env(c);
    uint32_t lo = i32_to_f32((int32_t)v, &e), hi = i32_to_f32((int32_t)(v >> 32), &e);

    simd_fp_done(c, i, &e);
    put_x(c, i->reg, lane_q(lo | (uint64_t)hi << 32, X0(c, i->reg).q[1]));
}
HANDLER(cvtpi2pd)
{
    uint64_t v = src_pi(c, i);
    FpEnv e = x86_sse_env(c);

    put_x(c, i->reg, lane_q(i32_to_f64((int32_t)v, &e), i32_to_f64((int32_t)(v >> 32), &e)));
}
/* The switch to MMX state happens even if the conversion then raises #XM. */
static inline void ps_to_pi(X86CPU *c, const Insn *i, bool truncate)
{
    uint64_t v;
    FpEnv e = x86_sse_env(c);
    unsigned rc = truncate ? FP_RC_ZERO : e.rc;
    uint32_t lo, hi;

    mmx_check(c);
    v = src_q(c, i);
    mmx_enter(c);
    lo = f32_to_i32((uint32_t)v, rc, &e);
    hi = f32_to_i32((uint32_t)(v >> 32), rc, &e);
    simd_fp_done(c, i, &e);
    WMM(c, i->reg, lo | (uint64_t)hi << 32);
}
static inline void pd_to_pi(X86CPU *c, const Insn *i, bool truncate)
{
    V128 v;
    FpEnv e = x86_sse_env(c);
    unsigned rc = truncate ? FP_RC_ZERO : e.rc;
    uint32_t lo, hi;

    mmx_check(c);
    v = src_x(c, i);
    mmx_enter(c);
    lo = f64_to_i32(v.q[0], rc, &e);
    hi = f64_to_i32(v.q[1], rc, &e);
    simd_fp_done(c, i, &e);
    WMM(c, i->reg, lo | (uint64_t)hi << 32);
}
HANDLER(cvtps2pi)  { ps_to_pi(c, i, false); }
HANDLER(cvttps2pi) { ps_to_pi(c, i, true); }
HANDLER(cvtpd2pi)  { pd_to_pi(c, i, false); }
HANDLER(cvttpd2pi) { pd_to_pi(c, i, true); }

/* ---- F16C ---------------------------------------------------------------------------------------- */

HANDLER(vcvtph2ps)
{
    V128 b = i->flags & IF_L ? src_u(c, i) : lane_q(src_q(c, i), 0);
    FpEnv e = x86_sse_env(c);
    V256 r;

    for (unsigned k = 0; k < (i->flags & IF_L ? 8 : 4); k++) {
        r.h[k / 4].d[I32(k & 3)] = f16_to_f32(b.w[I16(k)], &e);
    }
    simd_fp_done(c, i, &e);
    if (i->flags & IF_L) {
        put_v256(c, i->reg, r);
    } else {
        put_v128(c, i->reg, r.h[0]);
    }
}
/* imm: bits 1:0 mode, bit 2: MXCSR.RC.  Denormal results are made whatever FTZ says. */
HANDLER(vcvtps2ph)
{
    FpEnv e = x86_sse_env(c);
    unsigned rc = i->imm & 4 ? e.rc : i->imm & 3;
    V256 s = Y(c, i->reg);
    V128 r = { { 0 } };

    for (unsigned k = 0; k < (i->flags & IF_L ? 8 : 4); k++) {
        r.w[I16(k)] = f32_to_f16(s.h[k / 4].d[I32(k & 3)], rc, &e);
    }
    simd_fp_done(c, i, &e);
    if (!(i->flags & IF_MEM)) {
        put_v128(c, i->rm, r);
    } else if (i->flags & IF_L) {
        m_st128(c, i, r, 0);
    } else {
        m_st64(c, i, r.q[0]);
    }
}
