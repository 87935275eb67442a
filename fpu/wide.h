/* SPDX-License-Identifier: MIT */
/*
 * 128-bit unsigned integers as two 64-bit halves: what rounding and the elementary functions
 * need, without counting on the compiler to have a 128-bit type.
 */
#ifndef FPU_WIDE_H
#define FPU_WIDE_H

#include <stdbool.h>
#include <stdint.h>

typedef struct U128 {
    uint64_t hi, lo;
} U128;

static inline U128 u128(uint64_t hi, uint64_t lo)
{
    return (U128) { hi, lo };
}

static inline bool u128_is_zero(U128 a)
{
    return !(a.hi | a.lo);
}

static inline bool u128_less(U128 a, U128 b)
{
    return a.hi < b.hi || (a.hi == b.hi && a.lo < b.lo);
}

static inline U128 u128_add(U128 a, U128 b)
{
    U128 r = { a.hi + b.hi, a.lo + b.lo };
    r.hi += r.lo < a.lo;
    return r;
}

/* As u128_add; *carry tells whether the sum needed bit 128. */
static inline U128 u128_add_carry(U128 a, U128 b, bool *carry)
{
    U128 r = u128_add(a, b);
    *carry = u128_less(r, a);
    return r;
}

static inline U128 u128_sub(U128 a, U128 b)
{
    return (U128) { a.hi - b.hi - (a.lo < b.lo), a.lo - b.lo };
}

/* n: 0..127 */
static inline U128 u128_shl(U128 a, unsigned n)
{
    if (n == 0) {
        return a;
    }
    if (n >= 64) {
        return (U128) { a.lo << (n - 64), 0 };
    }
    return (U128) { a.hi << n | a.lo >> (64 - n), a.lo << n };
}

/* Any n; what falls out is lost. */
static inline U128 u128_shr(U128 a, unsigned n)
{
    if (n == 0) {
        return a;
    }
    if (n >= 128) {
        return (U128) { 0, 0 };
    }
    if (n >= 64) {
        return (U128) { 0, a.hi >> (n - 64) };
    }
    return (U128) { a.hi >> n, a.lo >> n | a.hi << (64 - n) };
}

/* Any n; if a one falls out, the lowest bit of the result is one ("sticky"). */
static inline U128 u128_shr_sticky(U128 a, unsigned n)
{
    U128 r = u128_shr(a, n);
    if (n >= 128) {
        r.lo = !u128_is_zero(a);
    } else if (n != 0) {
        U128 lost = u128_shl(a, 128 - n);
        r.lo |= !u128_is_zero(lost);
    }
    return r;
}

/* Leading zero bits; a != 0. */
static inline unsigned u128_clz(U128 a)
{
    return a.hi ? __builtin_clzll(a.hi) : 64 + __builtin_clzll(a.lo);
}

static inline U128 mul64(uint64_t a, uint64_t b)
{
#ifdef __SIZEOF_INT128__
    unsigned __int128 p = (unsigned __int128)a * b;
    return (U128) { (uint64_t)(p >> 64), (uint64_t)p };
#else
    uint64_t ah = a >> 32, al = (uint32_t)a, bh = b >> 32, bl = (uint32_t)b;
    uint64_t ll = al * bl, lh = al * bh, hl = ah * bl;
    uint64_t mid = (ll >> 32) + (uint32_t)lh + (uint32_t)hl;
    return (U128) { ah * bh + (lh >> 32) + (hl >> 32) + (mid >> 32),
                    mid << 32 | (uint32_t)ll };
#endif
}

/* The upper 128 bits of the 256-bit product, not rounded (may be one or two units low). */
static inline U128 u128_mul_high(U128 a, U128 b)
{
    U128 hh = mul64(a.hi, b.hi), m1 = mul64(a.hi, b.lo), m2 = mul64(a.lo, b.hi);
    U128 mid = u128_add(u128(0, m1.lo), u128(0, m2.lo));
    mid = u128_add(mid, u128(0, mul64(a.lo, b.lo).hi));
    hh = u128_add(hh, u128(0, m1.hi));
    hh = u128_add(hh, u128(0, m2.hi));
    return u128_add(hh, u128(0, mid.hi));
}

/*
 * n / d for n.hi < d and d with its top bit set: quotient, remainder in *rem.  Two steps of
 * schoolbook division by 32-bit digits (Knuth, TAOCP volume 2, 4.3.1, algorithm D).
 */
static inline uint64_t div128(U128 n, uint64_t d, uint64_t *rem)
{
    uint64_t dh = d >> 32, dl = (uint32_t)d, q = 0, r = n.hi;
    for (int i = 0; i < 2; i++) {
        uint64_t next = i ? (uint32_t)n.lo : n.lo >> 32;
        uint64_t digit = r / dh, part = r % dh;
        while (digit >> 32 || digit * dl > (part << 32 | next)) {
            digit--;
            part += dh;
            if (part >> 32) {
                break;
            }
        }
        r = (r << 32 | next) - digit * d;
        q = q << 32 | digit;
    }
    *rem = r;
    return q;
}

#endif
