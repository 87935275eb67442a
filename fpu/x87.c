/* SPDX-License-Identifier: MIT */
/*
 * The 80-bit format with the rules of the x87: arithmetic, remainders, scaling, comparison.
 *
 * Order of events (SDM volume 1, 8.6): unsupported encodings and NaNs, other invalid operations
 * and division by zero, denormal operands, then the result.  Where one applies, the later
 * ones are not looked for.
 */
#include "fpu/parts.h"

const F80 f80_default_nan = { .frac = F80_INT_BIT | F80_QUIET_BIT, .se = 0xffff };

Num f80_unpack(F80 a)
{
    int exp = a.se & F80_EXP_MAX;
    Num n = { .frac = a.frac, .sign = a.se >> 15 };

    if (exp == 0) {
        if (a.frac == 0) {
            n.cls = CLS_ZERO;
        } else {
            int shift = __builtin_clzll(a.frac);        /* 0: a pseudo-denormal */
            n.cls = CLS_DENORMAL;
            n.frac <<= shift;
            n.exp = 1 - F80_BIAS - shift;
        }
    } else if (!(a.frac & F80_INT_BIT)) {
        n.cls = CLS_UNSUPPORTED;
    } else if (exp != F80_EXP_MAX) {
        n.cls = CLS_NORMAL;
        n.exp = exp - F80_BIAS;
    } else if (a.frac == F80_INT_BIT) {
        n.cls = CLS_INF;
    } else {
        n.cls = a.frac & F80_QUIET_BIT ? CLS_QNAN : CLS_SNAN;
    }
    return n;
}

F80Class f80_classify(F80 a)
{
    static const uint8_t map[] = {
        [CLS_ZERO] = F80_ZERO, [CLS_DENORMAL] = F80_DENORMAL, [CLS_NORMAL] = F80_NORMAL,
        [CLS_INF] = F80_INF, [CLS_QNAN] = F80_NAN, [CLS_SNAN] = F80_NAN,
        [CLS_UNSUPPORTED] = F80_UNSUPPORTED,
    };
    return map[f80_unpack(a).cls];
}

static F80 round_pack(Wide w, unsigned prec, FpEnv *e)
{
    Packed p = fp_round(w, &fmt_f80, prec, e->rc, e);
    return f80_make(w.sign, p.exp, p.frac);
}

F80 f80_round_pack(Wide w, FpEnv *e)
{
    return round_pack(w, 64, e);
}

/* Rounded as precision control says. */
static F80 round_pc(Wide w, FpEnv *e)
{
    static const uint8_t prec[4] = { 24, 64, 53, 64 };
    return round_pack(w, prec[e->pc & 3], e);
}

F80 f80_invalid(FpEnv *e)
{
    e->flags |= FP_IE;
    return f80_default_nan;
}

static F80 quiet(F80 a)
{
    a.frac |= F80_QUIET_BIT;
    return a;
}

bool f80_nan1(F80 a, Num na, F80 *r, FpEnv *e)
{
    if (!num_is_nan(na)) {
        return false;
    }
    if (na.cls == CLS_UNSUPPORTED) {
        *r = f80_invalid(e);
        return true;
    }
    if (na.cls == CLS_SNAN) {
        e->flags |= FP_IE;
    }
    *r = quiet(a);
    return true;
}

/* Of two NaNs of the same kind the one with the larger significand, then the positive one; a
 * quiet one wins over a signalling one (SDM volume 1, table 4-7). */
static F80 choose_nan(F80 a, Num na, F80 b, Num nb)
{
    if (na.cls != nb.cls) {
        return na.cls == CLS_QNAN ? a : b;
    }
    if (a.frac != b.frac) {
        return quiet(a.frac > b.frac ? a : b);
    }
    return quiet(na.sign ? b : a);
}

bool f80_nan2(F80 a, Num na, F80 b, Num nb, F80 *r, FpEnv *e)
{
    if (!num_is_nan(na) && !num_is_nan(nb)) {
        return false;
    }
    if (na.cls == CLS_UNSUPPORTED || nb.cls == CLS_UNSUPPORTED) {
        *r = f80_invalid(e);
        return true;
    }
    if (na.cls == CLS_SNAN || nb.cls == CLS_SNAN) {
        e->flags |= FP_IE;
    }
    if (num_is_nan(na) && num_is_nan(nb)) {
        *r = choose_nan(a, na, b, nb);
    } else {
        *r = quiet(num_is_nan(na) ? a : b);
    }
    return true;
}

bool f80_denormal(Num a, Num b, FpEnv *e)
{
    if (a.cls == CLS_DENORMAL || b.cls == CLS_DENORMAL || e->de) {
        e->flags |= FP_DE;
        return !(e->masks & FP_DE);
    }
    return false;
}

/* a with a pseudo-denormal's exponent put right. */
static F80 normal_form(F80 a)
{
    if (!(a.se & F80_EXP_MAX) && a.frac & F80_INT_BIT) {
        a.se++;
    }
    return a;
}

/* ---- Add, subtract, multiply, divide, square root ---- */

static F80 add(F80 a, F80 b, bool negate, FpEnv *e)
{
    Num x = f80_unpack(a), y = f80_unpack(b);
    F80 r;

    e->c1 = false;
    if (f80_nan2(a, x, b, y, &r, e)) {
        return r;
    }
    y.sign ^= negate;
    if (x.cls == CLS_INF && y.cls == CLS_INF && x.sign != y.sign) {
        return f80_invalid(e);
    }
    if (f80_denormal(x, y, e)) {
        return a;
    }
    if (x.cls == CLS_INF || y.cls == CLS_INF) {
        return f80_infinity(x.cls == CLS_INF ? x.sign : y.sign);
    }
    if (x.cls == CLS_ZERO && y.cls == CLS_ZERO) {
        return f80_zero(x.sign == y.sign ? x.sign : e->rc == FP_RC_DOWN);
    }
    Wide w = x.cls == CLS_ZERO ? num_widen(y)
           : y.cls == CLS_ZERO ? num_widen(x) : num_add(num_widen(x), num_widen(y));
    if (u128_is_zero(w.sig)) {
        return f80_zero(e->rc == FP_RC_DOWN);
    }
    return round_pc(w, e);
}

F80 f80_add(F80 a, F80 b, FpEnv *e)
{
    return add(a, b, false, e);
}

F80 f80_sub(F80 a, F80 b, FpEnv *e)
{
    return add(a, b, true, e);
}

F80 f80_mul(F80 a, F80 b, FpEnv *e)
{
    Num x = f80_unpack(a), y = f80_unpack(b);
    bool sign = x.sign ^ y.sign;
    F80 r;

    e->c1 = false;
    if (f80_nan2(a, x, b, y, &r, e)) {
        return r;
    }
    if ((x.cls == CLS_INF && y.cls == CLS_ZERO) || (x.cls == CLS_ZERO && y.cls == CLS_INF)) {
        return f80_invalid(e);
    }
    if (f80_denormal(x, y, e)) {
        return a;
    }
    if (x.cls == CLS_INF || y.cls == CLS_INF) {
        return f80_infinity(sign);
    }
    if (x.cls == CLS_ZERO || y.cls == CLS_ZERO) {
        return f80_zero(sign);
    }
    return round_pc(num_mul(x, y), e);
}

F80 f80_div(F80 a, F80 b, FpEnv *e)
{
    Num x = f80_unpack(a), y = f80_unpack(b);
    bool sign = x.sign ^ y.sign;
    F80 r;

    e->c1 = false;
    if (f80_nan2(a, x, b, y, &r, e)) {
        return r;
    }
    if (x.cls == y.cls && (x.cls == CLS_INF || x.cls == CLS_ZERO)) {
        return f80_invalid(e);
    }
    if (y.cls == CLS_ZERO && x.cls != CLS_INF) {
        e->flags |= FP_ZE;
        return f80_infinity(sign);
    }
    if (f80_denormal(x, y, e)) {
        return a;
    }
    if (x.cls == CLS_INF) {
        return f80_infinity(sign);
    }
    if (x.cls == CLS_ZERO || y.cls == CLS_INF) {
        return f80_zero(sign);
    }
    return round_pc(num_div(x, y), e);
}

F80 f80_sqrt(F80 a, FpEnv *e)
{
    Num x = f80_unpack(a);
    F80 r;

    e->c1 = false;
    if (f80_nan1(a, x, &r, e)) {
        return r;
    }
    if (x.cls == CLS_ZERO) {
        return a;
    }
    if (x.sign) {
        return f80_invalid(e);
    }
    if (f80_denormal(x, x, e) || x.cls == CLS_INF) {
        return a;
    }
    return round_pc(num_sqrt(x), e);
}

/* ---- Rounding, scaling, taking apart ---- */

F80 f80_round_int(F80 a, FpEnv *e)
{
    Num x = f80_unpack(a);
    bool inexact, up, over;
    F80 r;

    e->c1 = false;
    if (f80_nan1(a, x, &r, e)) {
        return r;
    }
    if (f80_denormal(x, x, e) || x.cls == CLS_INF || x.exp >= 63) {
        return a;
    }
    uint64_t v = num_to_int(x, e->rc, &inexact, &up, &over);
    if (inexact) {
        e->flags |= FP_PE;
        e->c1 = up;
    }
    r = i64_to_f80(v);                  /* below 2^63 + 1; 2^63 itself has its own sign bit */
    r.se = (r.se & F80_EXP_MAX) | x.sign << 15;
    return r;
}

F80 f80_scale(F80 a, F80 b, FpEnv *e)
{
    Num x = f80_unpack(a), y = f80_unpack(b);
    bool inexact, up, over;
    F80 r;

    e->c1 = false;
    if (f80_nan2(a, x, b, y, &r, e)) {
        return r;
    }
    if (y.cls == CLS_INF && x.cls == (y.sign ? CLS_INF : CLS_ZERO)) {
        return f80_invalid(e);
    }
    if (f80_denormal(x, y, e) || x.cls == CLS_INF || x.cls == CLS_ZERO || y.cls == CLS_ZERO) {
        return normal_form(a);
    }
    if (y.cls == CLS_INF) {
        return y.sign ? f80_zero(x.sign) : f80_infinity(x.sign);
    }
    uint64_t n = num_to_int(y, FP_RC_ZERO, &inexact, &up, &over);
    if (over || n > 0x20000) {
        n = 0x20000;                    /* enough to leave any range */
    }
    x.exp += y.sign ? -(int)n : (int)n;
    return f80_round_pack(num_widen(x), e);
}

F80 f80_extract(F80 a, F80 *exp, FpEnv *e)
{
    Num x = f80_unpack(a);
    F80 r;

    e->c1 = false;
    if (f80_nan1(a, x, &r, e)) {
        *exp = r;
        return r;
    }
    if (x.cls == CLS_ZERO) {
        e->flags |= FP_ZE;
        *exp = f80_infinity(true);
        return a;
    }
    if (f80_denormal(x, x, e)) {
        *exp = a;
        return a;
    }
    if (x.cls == CLS_INF) {
        *exp = f80_infinity(false);
        return a;
    }
    *exp = i64_to_f80(x.exp);
    return f80_make(x.sign, F80_BIAS, x.frac);
}

/* ---- Remainders ---- */

/*
 * One truncating reduction of |x| by |y|, difference of exponents d >= 0.  From 64 on it is
 * partial: it takes 32 to 63 bits of the quotient, as many as leave a difference divisible
 * by 32, and the remainder of the rest is for the next FPREM.
 */
static Wide reduce(Num x, Num y, int d, uint64_t *q, bool *partial)
{
    int n = d;
    uint64_t rem;

    *partial = d >= 64;
    if (*partial) {
        n = 32 + d % 32;
    }
    *q = div128(u128_shr(u128(x.frac, 0), 64 - n), y.frac, &rem);

    Wide w = { .sig = { rem, 0 }, .exp = y.exp + d - n, .sign = x.sign };
    if (rem) {
        int shift = __builtin_clzll(rem);
        w.sig.hi <<= shift;
        w.exp -= shift;
    }
    return w;
}

/* FPREM1: the remainder with the quotient rounded to nearest, ties to even. */
static Wide nearest_remainder(Wide w, Num y, uint64_t *q)
{
    if (u128_is_zero(w.sig)) {
        return w;
    }
    Num twice = { .frac = w.sig.hi, .exp = w.exp + 1, .cls = CLS_NORMAL };
    y.sign = false;
    FpRel rel = num_compare(twice, y);
    if (rel == FP_GREATER || (rel == FP_EQUAL && *q & 1)) {
        y.sign = !w.sign;
        (*q)++;
        w = num_add(w, num_widen(y));
    }
    return w;
}

F80 f80_rem(F80 a, F80 b, bool nearest, unsigned *quotient, bool *partial, FpEnv *e)
{
    Num x = f80_unpack(a), y = f80_unpack(b);
    uint64_t q = 0;
    F80 r;

    *quotient = 0;
    *partial = false;
    e->c1 = false;
    if (f80_nan2(a, x, b, y, &r, e)) {
        return r;
    }
    if (x.cls == CLS_INF || y.cls == CLS_ZERO) {
        return f80_invalid(e);
    }
    if (f80_denormal(x, y, e) || x.cls == CLS_ZERO || y.cls == CLS_INF) {
        return normal_form(a);
    }
    Wide w = num_widen(x);
    int d = x.exp - y.exp;
    if (d >= 0) {
        w = reduce(x, y, d, &q, partial);
    }
    if (nearest && !*partial) {
        w = nearest_remainder(w, y, &q);
    }
    if (!*partial) {
        *quotient = q & 7;
    }
    if (u128_is_zero(w.sig)) {
        return f80_zero(x.sign);
    }
    return f80_round_pack(w, e);
}

/* ---- Comparison ---- */

FpRel f80_compare(F80 a, F80 b, bool signal, FpEnv *e)
{
    Num x = f80_unpack(a), y = f80_unpack(b);

    if (num_is_nan(x) || num_is_nan(y)) {
        if (signal || x.cls >= CLS_SNAN || y.cls >= CLS_SNAN) {
            e->flags |= FP_IE;
        }
        return FP_UNORDERED;
    }
    f80_denormal(x, y, e);
    return num_compare(x, y);
}
