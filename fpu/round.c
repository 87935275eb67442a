/* SPDX-License-Identifier: MIT */
/*
 * Rounding to a format, and the arithmetic on numbers already taken apart.
 *
 * x86 detects tininess after rounding to the destination's precision with an unbounded
 * exponent (SDM volume 1, 4.9.1.5).  Masked underflow is then raised only if the denormal
 * is inexact; unmasked, tininess alone raises it.  The denormal itself is always rounded
 * once, from the exact value.
 */
#include "fpu/parts.h"

const Format fmt_f16 = { .prec = 11, .frac_bits = 10, .exp_bits = 5, .bias = 15 };
const Format fmt_f32 = { .prec = 24, .frac_bits = 23, .exp_bits = 8, .bias = 127 };
const Format fmt_f64 = { .prec = 53, .frac_bits = 52, .exp_bits = 11, .bias = 1023 };
const Format fmt_f80 = { .prec = 64, .frac_bits = 64, .exp_bits = 15, .bias = 16383,
                         .wrap = 24576 };

/* The upper prec bits of sig rounded; *rest is what was cut off.  May be 2^prec (0 if prec is
 * 64): *carry. */
static uint64_t round_sig(U128 sig, unsigned prec, unsigned rc, bool sign, uint64_t *rest,
                          bool *up, bool *carry)
{
    uint64_t kept;

    if (prec == 64) {
        kept = sig.hi;
        *rest = sig.lo;
    } else {
        kept = sig.hi >> (64 - prec);
        *rest = sig.hi << prec | (sig.lo != 0);
    }
    *up = round_up(rc, sign, kept & 1, *rest);
    kept += *up;
    *carry = prec == 64 ? *up && kept == 0 : kept >> prec;
    return kept;
}

static Packed infinity(const Format *f)
{
    return (Packed) { .exp = 2 * f->bias + 1, .frac = 1ull << (f->prec - 1) };
}

static Packed overflow(const Format *f, unsigned prec, unsigned rc, bool sign, FpEnv *e)
{
    e->flags |= FP_OE | FP_PE;
    e->c1 = rc == FP_RC_NEAREST || (rc == FP_RC_UP && !sign) || (rc == FP_RC_DOWN && sign);
    if (e->c1) {
        return infinity(f);
    }
    return (Packed) { .exp = 2 * f->bias,
                      .frac = (~0ull >> (64 - prec)) << (f->prec - prec) };
}

/* The result of an unmasked overflow or underflow: scaled into range if the format does so
 * (x87), and if that is not enough (FSCALE) an infinity or zero whatever the rounding mode. */
static Packed wrapped(Packed r, int biased, const Format *f, FpEnv *e)
{
    if (f->wrap == 0) {
        return r;
    }
    if (biased > 2 * f->bias) {
        e->flags |= FP_PE;
        e->c1 = true;
        return infinity(f);
    }
    if (biased < 1) {
        e->flags |= FP_PE;
        e->c1 = false;
        return (Packed) { 0, 0 };
    }
    r.exp = biased;
    return r;
}

static Packed denormal(Wide w, const Format *f, unsigned prec, unsigned rc, bool tiny, FpEnv *e)
{
    bool up, carry;
    uint64_t rest;
    U128 sig = u128_shr_sticky(w.sig, 1 - (w.exp + f->bias));
    uint64_t kept = round_sig(sig, prec, rc, w.sign, &rest, &up, &carry);

    if (rest) {
        e->flags |= tiny ? FP_UE | FP_PE : FP_PE;
        e->c1 = up;
    }
    kept <<= f->prec - prec;
    return (Packed) { .frac = kept, .exp = kept >> (f->prec - 1) };
}

Packed fp_round(Wide w, const Format *f, unsigned prec, unsigned rc, FpEnv *e)
{
    bool up, carry;
    uint64_t rest, kept = round_sig(w.sig, prec, rc, w.sign, &rest, &up, &carry);
    int biased = w.exp + f->bias;
    Packed r;

    e->c1 = up;
    if (carry) {
        kept = 1ull << (prec - 1);
        biased++;
    }
    r = (Packed) { .frac = kept << (f->prec - prec), .exp = biased };
    if (biased > 2 * f->bias) {
        if (e->masks & FP_OE) {
            return overflow(f, prec, rc, w.sign, e);
        }
        e->flags |= rest ? FP_OE | FP_PE : FP_OE;
        return wrapped(r, biased - f->wrap, f, e);
    }
    if (w.exp + f->bias < 1) {
        bool tiny = biased < 1;
        if (tiny && !(e->masks & FP_UE)) {
            e->flags |= rest ? FP_UE | FP_PE : FP_UE;
            return wrapped(r, biased + f->wrap, f, e);
        }
        if (tiny && e->ftz) {
            e->flags |= FP_UE | FP_PE;
            return (Packed) { 0, 0 };
        }
        return denormal(w, f, prec, rc, tiny, e);
    }
    if (rest) {
        e->flags |= FP_PE;
    }
    return r;
}

static Wide normalise(U128 sig, int exp, bool sign)
{
    if (u128_is_zero(sig)) {
        return (Wide) { .sign = sign };
    }
    unsigned n = u128_clz(sig);
    return (Wide) { .sig = u128_shl(sig, n), .exp = exp - (int)n, .sign = sign };
}

Wide num_add(Wide a, Wide b)
{
    if (a.exp < b.exp || (a.exp == b.exp && u128_less(a.sig, b.sig))) {
        Wide t = a;
        a = b;
        b = t;
    }
    U128 low = u128_shr_sticky(b.sig, a.exp - b.exp);
    if (a.sign != b.sign) {
        return normalise(u128_sub(a.sig, low), a.exp, a.sign);
    }
    bool carry;
    U128 sum = u128_add_carry(a.sig, low, &carry);
    if (carry) {
        sum = u128_shr_sticky(sum, 1);
        sum.hi |= 1ull << 63;
        a.exp++;
    }
    return (Wide) { .sig = sum, .exp = a.exp, .sign = a.sign };
}

Wide num_mul(Num a, Num b)
{
    return normalise(mul64(a.frac, b.frac), a.exp + b.exp + 1, a.sign ^ b.sign);
}

Wide num_div(Num a, Num b)
{
    uint64_t rem, rem2;
    bool less = a.frac < b.frac;
    /* the dividend is halved unless that would lose the quotient's top bit */
    U128 n = less ? u128(a.frac, 0) : u128(a.frac >> 1, a.frac << 63);
    uint64_t hi = div128(n, b.frac, &rem);
    uint64_t lo = div128(u128(rem, 0), b.frac, &rem2);

    return (Wide) { .sig = { hi, lo | (rem2 != 0) }, .exp = a.exp - b.exp - less,
                    .sign = a.sign ^ b.sign };
}

/* floor(sqrt(n)) for n >= 2^62, and n - root^2: one bit a step. */
static uint32_t isqrt64(uint64_t n, uint64_t *rem)
{
    uint64_t root = 0, bit = 1ull << 62;
    while (bit) {
        if (n >= root + bit) {
            n -= root + bit;
            root = (root >> 1) + bit;
        } else {
            root >>= 1;
        }
        bit >>= 2;
    }
    *rem = n;
    return root;
}

/*
 * The root of a 128-bit radicand n from the root s of its upper half (Zimmermann, "Karatsuba
 * square root"): with r = upper - s^2, the next 32 bits are (r * 2^32 + next) / 2s, at most
 * one too large.  From the remainder follow round bit and sticky bit: root + 1/2 squared
 * is never an integer.
 */
Wide num_sqrt(Num a)
{
    bool odd = a.exp & 1;
    U128 n = odd ? u128(a.frac, 0) : u128(a.frac >> 1, a.frac << 63);
    uint64_t r1, s = isqrt64(n.hi, &r1), q, u;

    /* r1 <= 2s, so that the dividend needs 66 bits: take s off it while it is too large */
    U128 dividend = u128(r1 >> 32, r1 << 32 | n.lo >> 32);
    uint64_t d = s << 1;
    q = 0;
    while (dividend.hi) {
        /* d << 31 <= 2^64 - 2^31 and dividend < 2^66: at most a few rounds */
        dividend = u128_sub(dividend, u128(0, d << 31));
        q += 1ull << 31;
    }
    q += dividend.lo / d;
    u = dividend.lo % d;

    uint64_t root = (s << 32) + q;
    if (q >> 32) {                      /* q == 2^32: the digit does not fit, it is one too large */
        root = (s << 32) | 0xffffffff;
        u += (q - 0xffffffff) * d;
        q = 0xffffffff;
    }
    /* remainder = u * 2^32 + low - q^2, kept as 128 bits with sign */
    U128 rem = u128(u >> 32, u << 32 | (uint32_t)n.lo);
    U128 qq = mul64(q, q);
    while (u128_less(rem, qq)) {
        /* (root - 1)^2 = root^2 - 2 root + 1 */
        rem = u128_add(rem, u128_sub(u128(root >> 63, root << 1), u128(0, 1)));
        root--;
    }
    rem = u128_sub(rem, qq);

    uint64_t rest = 0;
    if (!u128_is_zero(rem)) {
        rest = u128_less(u128(0, root), rem) ? 3ull << 62 : 1ull << 62;
    }
    int exp = odd ? (a.exp - 1) / 2 : a.exp / 2;
    return (Wide) { .sig = { root, rest }, .exp = exp };
}

static FpRel compare_magnitude(Num a, Num b)
{
    int ra = a.cls == CLS_INF ? 2 : a.cls != CLS_ZERO;
    int rb = b.cls == CLS_INF ? 2 : b.cls != CLS_ZERO;

    if (ra != rb || ra != 1) {
        return ra < rb ? FP_LESS : ra > rb ? FP_GREATER : FP_EQUAL;
    }
    if (a.exp != b.exp) {
        return a.exp < b.exp ? FP_LESS : FP_GREATER;
    }
    return a.frac < b.frac ? FP_LESS : a.frac > b.frac ? FP_GREATER : FP_EQUAL;
}

FpRel num_compare(Num a, Num b)
{
    if (a.cls == CLS_ZERO && b.cls == CLS_ZERO) {
        return FP_EQUAL;
    }
    if (a.sign != b.sign) {
        return a.sign ? FP_LESS : FP_GREATER;
    }
    FpRel r = compare_magnitude(a, b);
    return a.sign ? (FpRel)-(int)r : r;
}

uint64_t num_to_int(Num a, unsigned rc, bool *inexact, bool *up, bool *over)
{
    *inexact = *up = *over = false;
    if (a.cls == CLS_ZERO) {
        return 0;
    }
    if (a.exp > 63 || a.cls == CLS_INF) {
        *over = true;
        return 0;
    }
    U128 v = u128_shr_sticky(u128(a.frac, 0), 63 - a.exp);
    *inexact = v.lo != 0;
    *up = round_up(rc, a.sign, v.hi & 1, v.lo);
    uint64_t r = v.hi + *up;
    *over = *up && r == 0;
    return r;
}
