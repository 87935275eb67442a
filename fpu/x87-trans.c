/* SPDX-License-Identifier: MIT */
/*
 * The transcendental instructions of the x87: special operands, argument reduction, and the
 * final rounding.  Precision control does not apply to them.
 *
 * Intel's units reduce the arguments of the trigonometric functions by a pi of 66 bits (SDM
 * volume 1, 8.3.8); so does this, exactly, and the error this makes near multiples of pi is
 * reproduced.  FPATAN's own results are not affected.
 *
 * All results but zeros, infinities and NaNs are flagged inexact (and underflow, when denormal),
 * exact or not, as those units do; so are their shortcuts for small arguments reproduced:
 * below 2^-68 sin x = tan x = x and cos x = 1 in any rounding mode, and so on.
 */
#include "fpu/elementary.h"

static F80 one(bool sign)
{
    return f80_make(sign, F80_BIAS, F80_INT_BIT);
}

/* |n| against 1 */
static FpRel compare_one(Num n)
{
    n.sign = false;
    return num_compare(n, (Num) { .frac = F80_INT_BIT, .cls = CLS_NORMAL });
}

/* Round w, which may be exact, and flag the result inexact in any case. */
static F80 round_inexact(Wide w, FpEnv *e)
{
    F80 r = f80_round_pack(w, e);
    e->flags |= FP_PE;
    if (!(r.se & 0x7fff)) {
        e->flags |= FP_UE;
    }
    return r;
}

/* ---- FSIN, FCOS, FPTAN, FSINCOS ---- */

#define TINY_EXP  -68           /* sin x = x below 2^-68 */
#define SMALL_EXP -34           /* tan x slightly below x, not above, below 2^-33 */

/* pi/2 = PI_2 / 2^65, 66 bits */
#define PI_2 u128(0x3, 0x243f6a8885a308d3ull)

/*
 * x = r + k * pi/2 with |r| <= pi/4; returns k modulo 4.  |x| < 2^63.  In units of 2^-65
 * everything is an integer below 2^128.
 */
static unsigned reduce(Num x, Wide *r)
{
    *r = num_widen(x);
    if (x.exp < -1) {
        return 0;
    }
    U128 n = u128_shl(u128(0, x.frac), x.exp + 2);
    unsigned k = 0;
    for (int i = 62; i >= 0; i--) {
        U128 d = u128_shl(PI_2, i);
        k <<= 1;
        if (!u128_less(n, d)) {
            n = u128_sub(n, d);
            k++;
        }
    }
    bool sign = x.sign;
    if (u128_less(PI_2, u128_shl(n, 1))) {
        n = u128_sub(PI_2, n);
        k++;
        sign = !sign;
    }
    if (x.sign) {
        k = -k;
    }
    if (u128_is_zero(n)) {
        *r = (Wide) { .sign = sign };
    } else {
        unsigned shift = u128_clz(n);
        *r = (Wide) { .sig = u128_shl(n, shift), .exp = 62 - (int)shift, .sign = sign };
    }
    return k & 3;
}

/* What precedes the computation: true if *result is the answer already. */
static bool trig_special(F80 a, Num x, bool *range, F80 *result, FpEnv *e)
{
    e->c1 = false;
    *range = false;
    *result = a;
    if (f80_nan1(a, x, result, e)) {
        return true;
    }
    if (x.cls == CLS_INF) {
        *result = f80_invalid(e);
        return true;
    }
    if (x.exp >= 63) {
        *range = true;
        return true;
    }
    return f80_denormal(x, x, e);
}

static Wide quadrant_sin(unsigned k, Wide r)
{
    static const Wide one = { .sig = { F80_INT_BIT, 0 } };
    bool tiny = r.exp < TINY_EXP && !u128_is_zero(r.sig);
    Wide w = k & 1 ? (tiny ? one : wide_cos(r)) : tiny ? r : wide_sin(r);
    w.sign ^= k >> 1 & 1;
    return w;
}

F80 f80_sin(F80 a, bool *range, FpEnv *e)
{
    Num x = f80_unpack(a);
    F80 result;
    Wide r;

    if (trig_special(a, x, range, &result, e) || x.cls == CLS_ZERO) {
        return result;
    }
    unsigned k = reduce(x, &r);
    return round_inexact(quadrant_sin(k, r), e);
}

F80 f80_cos(F80 a, bool *range, FpEnv *e)
{
    Num x = f80_unpack(a);
    F80 result;
    Wide r;

    if (trig_special(a, x, range, &result, e)) {
        return result;
    }
    if (x.cls == CLS_ZERO) {
        return one(false);
    }
    unsigned k = reduce(x, &r);
    return round_inexact(quadrant_sin((k + 1) & 3, r), e);
}

F80 f80_sincos(F80 a, F80 *cosine, bool *range, FpEnv *e)
{
    Num x = f80_unpack(a);
    F80 result;
    Wide r;

    if (trig_special(a, x, range, &result, e)) {
        *cosine = result;
        return result;
    }
    if (x.cls == CLS_ZERO) {
        *cosine = one(false);
        return a;
    }
    unsigned k = reduce(x, &r);
    F80 sine = round_inexact(quadrant_sin(k, r), e);
    *cosine = round_inexact(quadrant_sin((k + 1) & 3, r), e);   /* C1 is the cosine's */
    return sine;
}

F80 f80_tan(F80 a, bool *range, FpEnv *e)
{
    Num x = f80_unpack(a);
    F80 result;
    Wide r;

    if (trig_special(a, x, range, &result, e) || x.cls == CLS_ZERO) {
        return result;
    }
    unsigned k = reduce(x, &r);
    Wide w = r;
    if (k & 1 || r.exp > SMALL_EXP) {
        w = wide_div(quadrant_sin(k, r), quadrant_sin((k + 1) & 3, r));
        w.sig.lo |= 1;
    } else if (r.exp >= TINY_EXP) {
        w = wide_sin(r);
    }
    return round_inexact(w, e);
}

/* ---- FPATAN ---- */

static F80 angle(Wide w, bool sign, FpEnv *e)
{
    w.sign = sign;
    return round_inexact(w, e);
}

F80 f80_patan(F80 a, F80 b, FpEnv *e)
{
    Num y = f80_unpack(a), x = f80_unpack(b);
    bool left = x.sign, sign = y.sign;
    F80 r;

    e->c1 = false;
    if (f80_nan2(a, y, b, x, &r, e)) {
        return r;
    }
    if (f80_denormal(x, y, e)) {
        return a;
    }
    if (y.cls == CLS_INF) {
        return angle(x.cls != CLS_INF ? wide_const_pi_2 :
                     left ? wide_const_3pi_4 : wide_const_pi_4, sign, e);
    }
    if (y.cls == CLS_ZERO || x.cls == CLS_INF) {
        return left ? angle(wide_const_pi, sign, e) : f80_zero(sign);
    }
    if (x.cls == CLS_ZERO) {
        return angle(wide_const_pi_2, sign, e);
    }
    x.sign = y.sign = false;
    Wide w = wide_atan2(num_widen(y), num_widen(x));
    if (left) {
        w.sign = true;
        w = num_add(wide_const_pi, w);
    }
    return angle(w, sign, e);
}

/* ---- FYL2X, FYL2XP1, F2XM1 ---- */

/* y * log, both finite and log not zero. */
static F80 scaled_log(Num y, Wide log, bool exact, FpEnv *e)
{
    Wide w = wide_mul(num_widen(y), log);
    if (!exact) {
        w.sig.lo |= 1;
    }
    return round_inexact(w, e);
}

F80 f80_yl2x(F80 a, F80 b, FpEnv *e)
{
    Num y = f80_unpack(a), x = f80_unpack(b);
    F80 r;

    e->c1 = false;
    if (f80_nan2(a, y, b, x, &r, e)) {
        return r;
    }
    FpRel rel = compare_one(x);
    if ((x.sign && x.cls != CLS_ZERO) || (y.cls == CLS_ZERO && x.cls == CLS_ZERO) ||
        (y.cls == CLS_ZERO && x.cls == CLS_INF) || (y.cls == CLS_INF && rel == FP_EQUAL)) {
        return f80_invalid(e);
    }
    if (x.cls == CLS_ZERO && y.cls != CLS_INF) {
        e->flags |= FP_ZE;
        return f80_infinity(!y.sign);
    }
    if (f80_denormal(x, y, e)) {
        return a;
    }
    bool sign = y.sign ^ (rel == FP_LESS);
    if (y.cls == CLS_INF || x.cls == CLS_INF) {
        return f80_infinity(sign);
    }
    if (y.cls == CLS_ZERO || rel == FP_EQUAL) {
        return f80_zero(sign);
    }
    return scaled_log(y, wide_log2(num_widen(x)), x.frac == F80_INT_BIT, e);
}

F80 f80_yl2xp1(F80 a, F80 b, FpEnv *e)
{
    Num y = f80_unpack(a), x = f80_unpack(b);
    bool sign = y.sign ^ x.sign;
    F80 r;

    e->c1 = false;
    if (f80_nan2(a, y, b, x, &r, e)) {
        return r;
    }
    if ((x.cls == CLS_INF && (x.sign || y.cls == CLS_ZERO)) ||
        (x.cls == CLS_ZERO && y.cls == CLS_INF)) {
        return f80_invalid(e);
    }
    if (f80_denormal(x, y, e)) {
        return a;
    }
    if (y.cls == CLS_INF || x.cls == CLS_INF) {
        return f80_infinity(sign);
    }
    if (y.cls == CLS_ZERO || x.cls == CLS_ZERO) {
        return f80_zero(sign);
    }
    if (x.sign && compare_one(x) != FP_LESS) {
        e->flags |= FP_PE;              /* undefined: what Intel's units do */
        return b;
    }
    return scaled_log(y, wide_log2p1(num_widen(x)), false, e);
}

F80 f80_2xm1(F80 a, FpEnv *e)
{
    Num x = f80_unpack(a);
    F80 r;

    e->c1 = false;
    if (f80_nan1(a, x, &r, e)) {
        return r;
    }
    if (x.cls == CLS_INF) {
        return x.sign ? one(true) : a;
    }
    if (f80_denormal(x, x, e) || x.cls == CLS_ZERO) {
        return a;
    }
    FpRel rel = compare_one(x);
    if (rel != FP_LESS) {               /* beyond +-1 undefined: what Intel's units do */
        e->flags |= FP_PE;
        return rel == FP_EQUAL && x.sign ? f80_make(true, F80_BIAS - 1, F80_INT_BIT) : a;
    }
    return round_inexact(wide_exp2m1(num_widen(x)), e);
}
