/* SPDX-License-Identifier: MIT */
/*
 * Elementary functions on 128-bit significands, by Taylor series.
 *
 * Each function is brought to the form  argument * (1 +- t)  with t in fixed point, a fraction
 * of 2^128 found by Horner's rule.  A fixed absolute error of a few 2^-128 in t is then a
 * relative error of the same size in the result, even for the smallest arguments.
 * Truncation errors of some thirty steps add up to less than 2^-120.
 */
#include "fpu/elementary.h"
#include "fpu/elementary-tables.h"

#define ODD_TERMS       (sizeof(inverse_odd) / sizeof(inverse_odd[0]))
#define FACTORIAL_TERMS (sizeof(inverse_factorial) / sizeof(inverse_factorial[0]))

static Wide inexact(Wide w)
{
    w.sig.lo |= 1;
    return w;
}

static Wide normalise(U128 sig, int exp, bool sign)
{
    if (u128_is_zero(sig)) {
        return (Wide) { .sign = sign };
    }
    unsigned n = u128_clz(sig);
    return (Wide) { .sig = u128_shl(sig, n), .exp = exp - (int)n, .sign = sign };
}

Wide wide_mul(Wide a, Wide b)
{
    return normalise(u128_mul_high(a.sig, b.sig), a.exp + b.exp + 1, a.sign ^ b.sign);
}

/* One digit of base 2^64 of the quotient of (n, next) by b, where n < b; n becomes the
 * remainder.  As div128, one size larger. */
static uint64_t divide_digit(U128 *n, U128 b)
{
    uint64_t rem, q;

    if (n->hi >= b.hi) {
        q = ~0ull;
    } else {
        q = div128(*n, b.hi, &rem);
    }
    /* (n.hi, n.lo, 0) - q * b, modulo 2^192: negative while q is too large */
    U128 low = mul64(q, b.lo), high = mul64(q, b.hi);
    uint64_t top = n->hi - high.hi, borrow;
    U128 part = u128_sub(u128(n->lo, 0), low);
    borrow = u128_less(u128(n->lo, 0), low);
    top -= borrow;
    borrow = part.hi < high.lo;
    part.hi -= high.lo;
    top -= borrow;
    while (top != 0) {
        bool carry;
        q--;
        part = u128_add_carry(part, b, &carry);
        top += carry;
    }
    *n = part;
    return q;
}

Wide wide_div(Wide a, Wide b)
{
    bool less = u128_less(a.sig, b.sig);
    U128 n = less ? a.sig : u128_shr(a.sig, 1);
    uint64_t hi = divide_digit(&n, b.sig), lo = divide_digit(&n, b.sig);

    return (Wide) { .sig = { hi, lo | !u128_is_zero(n) }, .exp = a.exp - b.exp - less,
                    .sign = a.sign ^ b.sign };
}

/* w < 1 as a fraction of 2^128. */
static U128 to_fixed(Wide w)
{
    return u128_shr(w.sig, -1 - w.exp);
}

/* 1 - t and 1 + t; t = 0 stands for the smallest step, not for none. */
static Wide one_minus(U128 t)
{
    t.lo |= u128_is_zero(t);
    return normalise(u128_sub(u128(0, 0), t), -1, false);
}

static Wide one_plus(U128 t)
{
    U128 half = u128_shr(t, 1);
    half.hi |= 1ull << 63;
    return inexact((Wide) { .sig = half, .exp = 0 });
}

/* ---- Trigonometry ---- */

/* u * (1/n! - u/(n+2)! + u^2/(n+4)! - ...) with 16 terms, n = first + 2 */
static U128 alternating_factorials(U128 u, unsigned first)
{
    U128 t = { 0, 0 };
    for (int i = first + 30; i >= (int)first; i -= 2) {
        t = u128_mul_high(u128_sub(inverse_factorial[i], t), u);
    }
    return t;
}

Wide wide_sin(Wide r)
{
    U128 u = to_fixed(wide_mul(r, r));
    return inexact(wide_mul(r, one_minus(alternating_factorials(u, 1))));
}

Wide wide_cos(Wide r)
{
    U128 u = u128_is_zero(r.sig) ? r.sig : to_fixed(wide_mul(r, r));
    return inexact(one_minus(alternating_factorials(u, 0)));
}

/* v * (1/3 -+ v/5 + v^2/7 -+ ...) */
static U128 odd_series(U128 v, bool alternating, unsigned terms)
{
    U128 t = { 0, 0 };
    for (int i = terms - 1; i >= 0; i--) {
        U128 c = inverse_odd[i];
        t = u128_mul_high(alternating ? u128_sub(c, t) : u128_add(c, t), v);
    }
    return t;
}

/* round(16 * small / big), 0..16, for small <= big: need not be exact. */
static unsigned sixteenths(Wide small, Wide big)
{
    int d = big.exp - small.exp;
    if (d > 6) {
        return 0;
    }
    uint64_t s = small.sig.hi >> (8 + d), b = big.sig.hi >> 8;
    unsigned i = (16 * s + b / 2) / b;
    return i > 16 ? 16 : i;
}

/* n / 16 * w, exact if w has at most 123 bits */
static Wide times_sixteenths(Wide w, unsigned n)
{
    Wide k = { .sig = { (uint64_t)n << 59, 0 }, .exp = 0 };
    k = normalise(k.sig, k.exp, false);
    return wide_mul(w, k);
}

/*
 * atan(y/x) = atan(c) + atan((y - cx) / (x + cy)), with c the nearest sixteenth: the second
 * arc is at most 1/32, which leaves twelve terms.  Above the diagonal, pi/2 minus the
 * angle of the mirrored point.  A quotient below 2^-40 is its own arc, as in Intel's units.
 */
#define ATAN_SMALL_EXP -41

Wide wide_atan2(Wide y, Wide x)
{
    bool steep = y.exp > x.exp || (y.exp == x.exp && u128_less(x.sig, y.sig));
    Wide small = steep ? x : y, big = steep ? y : x, z;
    unsigned c = sixteenths(small, big);

    if (c == 0) {
        z = wide_div(small, big);
    } else {
        Wide below = times_sixteenths(big, c);
        below.sign = true;
        z = num_add(small, below);
        if (!u128_is_zero(z.sig)) {
            z = wide_div(z, num_add(big, times_sixteenths(small, c)));
        }
    }
    if (!u128_is_zero(z.sig) && (c != 0 || z.exp > ATAN_SMALL_EXP)) {
        U128 v = to_fixed(wide_mul(z, z));
        z = wide_mul(z, one_minus(odd_series(v, true, 14)));
    }
    if (c != 0) {
        z = u128_is_zero(z.sig) ? atan_sixteenths[c] : num_add(atan_sixteenths[c], z);
    }
    if (steep) {
        z.sign = !z.sign;
        z = num_add(wide_const_pi_2, z);
    }
    return z;
}

/* ---- Logarithm and exponential ---- */

/* With s = (m - 1) / (m + 1), |s| < 0.1716: log2(m) = 2/ln 2 * s * (1 + s^2/3 + s^4/5 + ...) */
static Wide log2_series(Wide s)
{
    U128 v = to_fixed(wide_mul(s, s));
    return wide_mul(wide_mul(s, c_2_ln2), one_plus(odd_series(v, false, ODD_TERMS - 1)));
}

static Wide from_int(int v)
{
    uint64_t magnitude = v < 0 ? -v : v;
    return normalise(u128(0, magnitude), 127, v < 0);
}

static const Wide one = { .sig = { 1ull << 63, 0 }, .exp = 0 };
static const Wide minus_one = { .sig = { 1ull << 63, 0 }, .exp = 0, .sign = true };

#define SQRT_2 0xb504f333f9de6484ull            /* significand of the root of 2 */

Wide wide_log2(Wide x)
{
    int k = x.exp;
    Wide m = x;

    m.exp = 0;
    if (m.sig.hi >= SQRT_2) {
        m.exp = -1;
        k++;
    }
    Wide whole = from_int(k), above = num_add(m, minus_one);
    if (u128_is_zero(above.sig)) {
        return whole;
    }
    Wide log = log2_series(wide_div(above, num_add(m, one)));
    return inexact(k == 0 ? log : num_add(whole, log));
}

/* Near zero s = x / (2 + x) keeps the precision that 1 + x would lose. */
Wide wide_log2p1(Wide x)
{
    if (x.exp >= -2) {
        return wide_log2(num_add(x, one));
    }
    Wide two = one;
    two.exp = 1;
    return inexact(log2_series(wide_div(x, num_add(two, x))));
}

Wide wide_exp2m1(Wide x)
{
    Wide z = wide_mul(x, c_ln2);
    U128 f = to_fixed(z), t = { 0, 0 };

    for (int i = FACTORIAL_TERMS - 1; i >= 0; i--) {
        U128 c = inverse_factorial[i];
        t = u128_mul_high(z.sign ? u128_sub(c, t) : u128_add(c, t), f);
    }
    return inexact(wide_mul(z, z.sign ? one_minus(t) : one_plus(t)));
}
