/* SPDX-License-Identifier: MIT */
/*
 * Random floating-point operands for tests, rich in the cases where rounding and special
 * values go wrong: few or many ones, near ties, exponents at the ends or near each other.
 */
#ifndef TESTS_UNIT_FP_RANDOM_H
#define TESTS_UNIT_FP_RANDOM_H

#include <glib.h>
#include <stdlib.h>
#include "fpu/softfloat.h"

static unsigned cases = 10000;
static uint64_t rng_state = 1;

static inline uint64_t rnd(void)
{
    /* splitmix64 */
    uint64_t z = rng_state += 0x9e3779b97f4a7c15ull;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
}

static inline unsigned pick(unsigned n)
{
    return (rnd() >> 32) % n;
}

/* ---- Interesting operands ---- */

/* n significant bits at the top of a 64-bit word: random, sparse, dense, near a tie. */
static inline uint64_t random_frac(void)
{
    uint64_t r = rnd();
    switch (pick(8)) {
    case 0: return 0;
    case 1: return ~0ull << pick(64);
    case 2: return 1ull << pick(64);
    case 3: return r & (~0ull << pick(64));
    case 4: return (r & 3) | (r & 4 ? ~0ull << pick(40) : 0) | 1ull << (39 + (r >> 60) % 3);
    case 5: return ~(1ull << pick(64));
    default: return r;
    }
}

static inline unsigned random_exp(unsigned bits, unsigned near)
{
    unsigned max = (1u << bits) - 1, bias = max / 2;
    switch (pick(12)) {
    case 0: return 0;
    case 1: return max;
    case 2: return 1 + pick(3);
    case 3: return max - 1 - pick(3);
    case 4: return pick(max + 1);
    case 5: case 6: return (bias + pick(2 * bits) - bits) & max;
    case 7: return (bias + pick(80)) & max;
    case 8: return (bias - pick(80)) & max;
    default: return (near + pick(16) - 8) & max;
    }
}

static inline uint64_t random_float(unsigned exp_bits, unsigned frac_bits, uint64_t near)
{
    uint64_t frac = random_frac() >> (64 - frac_bits);
    unsigned exp = random_exp(exp_bits, near >> frac_bits & ((1u << exp_bits) - 1));
    if (pick(64) == 0) {
        frac &= 1;
    }
    return (uint64_t)pick(2) << (exp_bits + frac_bits) | (uint64_t)exp << frac_bits | frac;
}

static inline F80 random_f80(F80 near)
{
    unsigned exp = random_exp(15, near.se & 0x7fff);
    uint64_t frac = random_frac();

    if (exp != 0 && pick(64)) {
        frac |= 1ull << 63;
    } else if (exp == 0 && pick(8)) {
        frac &= ~(1ull << 63);
    }
    if (exp == 0x7fff && pick(3) == 0) {
        frac = 1ull << 63;
    }
    return f80_make(pick(2), exp, frac);
}

static inline void fp_random_setup(const char *name)
{
    const char *n = g_getenv("SOFTFLOAT_CASES"), *s = g_getenv("SOFTFLOAT_SEED");
    cases = n ? strtoul(n, NULL, 0) : 10000;
    rng_state = (s ? strtoull(s, NULL, 0) : 1) + g_str_hash(name);
}

#endif
