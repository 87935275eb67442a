/* SPDX-License-Identifier: MIT */
/*
 * The usual case of 80-bit arithmetic in integers: normal operands, a normal result (or a
 * difference of zero), rounding to nearest even at 64 bits.  An interpreter that keeps the x87
 * registers in memory is quicker so than with the host's unit, whose ten-byte loads and stores
 * take longer than the operation.
 *
 * Each function returns false, and has done nothing, for every other case: fpu/softfloat.h has
 * them all.  Definitions of the format: Intel SDM volume 1, 4.2 and 4.8.
 */
#ifndef FPU_F80_FAST_H
#define FPU_F80_FAST_H

#include "fpu/softfloat.h"

typedef unsigned __int128 F80Wide;

/* A result: *r, and what goes into the status word. */
typedef struct F80Fast {
    F80 r;
    bool inexact, up;           /* PE; C1: the fraction was rounded up */
} F80Fast;

static inline bool f80_fast_operand(F80 a)
{
    return (unsigned)(a.se & 0x7fff) - 1 < 0x7ffe && a.frac >> 63;
}

/* hi.lo, hi normalised, with the exponent of hi. */
static inline bool f80_fast_round(F80Fast *f, unsigned sign, int exp, uint64_t hi, uint64_t lo)
{
    bool up = lo >> 63 && (lo << 1 || hi & 1);

    hi += up;
    if (hi == 0) {              /* all ones became a power of two */
        hi = 1ull << 63;
        exp++;
    }
    if ((unsigned)exp - 1 >= 0x7ffe) {
        return false;
    }
    *f = (F80Fast) { { hi, sign | exp }, lo != 0, up };
    return true;
}

/* a + b, or a - b with minus 8000h. */
static inline bool f80_fast_sum(F80Fast *f, F80 a, F80 b, unsigned minus)
{
    if (!f80_fast_operand(a) || !f80_fast_operand(b)) {
        return false;
    }
    b.se ^= minus;
    unsigned ea = a.se & 0x7fff, eb = b.se & 0x7fff;
    if (ea < eb || (ea == eb && a.frac < b.frac)) {
        F80 t = a;
        a = b;
        b = t;
        unsigned e = ea;
        ea = eb;
        eb = e;
    }
    /* the smaller one as a fraction of the larger one's exponent; what is lost is or'ed into
     * the last bit */
    unsigned d = ea - eb, sign = a.se & 0x8000;
    uint64_t hi = 0, lo;
    if (d < 64) {
        hi = b.frac >> d;
        lo = d ? b.frac << (64 - d) : 0;
    } else if (d < 128) {
        lo = b.frac >> (d - 64);
        lo |= d > 64 && b.frac << (128 - d);
    } else {
        lo = 1;
    }
    if (!((a.se ^ b.se) & 0x8000)) {
        hi += a.frac;
        if (hi < a.frac) {      /* carry */
            lo = hi << 63 | lo >> 1 | (lo & 1);
            hi = hi >> 1 | 1ull << 63;
            ea++;
        }
        return f80_fast_round(f, sign, ea, hi, lo);
    }
    hi = a.frac - hi - (lo != 0);
    lo = -lo;
    if (hi == 0) {
        if (lo == 0) {
            *f = (F80Fast) { { 0, 0 }, false, false };
            return true;
        }
        hi = lo;
        lo = 0;
        ea -= 64;
    }
    unsigned n = __builtin_clzll(hi);
    if (n) {
        hi = hi << n | lo >> (64 - n);
        lo <<= n;
    }
    return f80_fast_round(f, sign, (int)ea - (int)n, hi, lo);
}

static inline bool f80_fast_add(F80Fast *f, F80 a, F80 b)
{
    return f80_fast_sum(f, a, b, 0);
}

static inline bool f80_fast_sub(F80Fast *f, F80 a, F80 b)
{
    return f80_fast_sum(f, a, b, 0x8000);
}

static inline bool f80_fast_mul(F80Fast *f, F80 a, F80 b)
{
    if (!f80_fast_operand(a) || !f80_fast_operand(b)) {
        return false;
    }
    F80Wide p = (F80Wide)a.frac * b.frac;
    uint64_t hi = p >> 64, lo = p;
    int exp = (a.se & 0x7fff) + (b.se & 0x7fff) - 16383 + 1;
    if (!(hi >> 63)) {
        hi = hi << 1 | lo >> 63;
        lo <<= 1;
        exp--;
    }
    return f80_fast_round(f, (a.se ^ b.se) & 0x8000, exp, hi, lo);
}

static inline bool f80_fast_div(F80Fast *f, F80 a, F80 b)
{
    if (!f80_fast_operand(a) || !f80_fast_operand(b)) {
        return false;
    }
    bool less = a.frac < b.frac;
    F80Wide n = (F80Wide)a.frac << (less ? 64 : 63);
    uint64_t q = n / b.frac, rest = (uint64_t)n - q * b.frac;
    /* the rest as a fraction of the divisor: half, less, more */
    uint64_t other = b.frac - rest;
    uint64_t lo = rest == 0 ? 0 : rest < other ? 1 : rest == other ? 1ull << 63 : 1ull << 63 | 1;

    return f80_fast_round(f, (a.se ^ b.se) & 0x8000,
                          (a.se & 0x7fff) - (b.se & 0x7fff) + 16383 - less, q, lo);
}

#endif
