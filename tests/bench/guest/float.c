/* SPDX-License-Identifier: MIT */
/*
 * Floating point and SIMD: scalar and packed double, packed integers, x87.
 */
#include "tests/bench/guest/bench.h"
#include <emmintrin.h>
#include <math.h>
#include <string.h>

static uint64_t bits_of(double d)
{
    uint64_t u;
    memcpy(&u, &d, sizeof(u));
    return u;
}

/* Planets pulling at each other: multiplications, divisions, square roots in scalar double. */
static uint64_t double_round(void)
{
    enum { BODIES = 4, STEPS = 600 };
    double x[BODIES] = { 0, 1, 0, 2 }, y[BODIES] = { 0, 0, 1.5, 2 };
    double vx[BODIES] = { 0, 0, 1, -0.5 }, vy[BODIES] = { 0, 1, 0, 0.25 };
    static const double mass[BODIES] = { 1, 0.01, 0.02, 0.005 };
    for (int s = 0; s < STEPS; s++) {
        for (int i = 0; i < BODIES; i++) {
            double ax = 0, ay = 0;
            for (int j = 0; j < BODIES; j++) {
                double dx = x[j] - x[i], dy = y[j] - y[i];
                double d2 = dx * dx + dy * dy + 0.01, inv;
                __asm__("sqrtsd %1, %0" : "=x"(inv) : "x"(d2));
                inv = mass[j] / (d2 * inv);
                ax += dx * inv;
                ay += dy * inv;
            }
            vx[i] += ax * 0.001;
            vy[i] += ay * 0.001;
        }
        for (int i = 0; i < BODIES; i++) {
            x[i] += vx[i] * 0.001;
            y[i] += vy[i] * 0.001;
        }
    }
    return bits_of(x[1]) ^ bits_of(y[2]) ^ bits_of(vx[3]);
}

/* A product of matrices in packed double. */
static uint64_t packed_round(void)
{
    enum { N = 32 };
    static double a[N][N] __attribute__((aligned(16))), b[N][N] __attribute__((aligned(16))),
        c[N][N] __attribute__((aligned(16)));
    double trace = 0;
    for (int i = 0; i < N; i++) {
        for (int j = 0; j < N; j++) {
            a[i][j] = 1.0 / (i + j + 1);
            b[i][j] = i - 0.5 * j;
        }
    }
    for (int i = 0; i < N; i++) {
        for (int j = 0; j < N; j += 2) {
            __m128d sum = _mm_setzero_pd();
            for (int k = 0; k < N; k++) {
                sum = _mm_add_pd(sum, _mm_mul_pd(_mm_set1_pd(a[i][k]), _mm_load_pd(&b[k][j])));
            }
            _mm_store_pd(&c[i][j], sum);
        }
        trace += c[i][i];
    }
    return bits_of(trace);
}

/* Packed integers: additions, products, differences, shuffles, saturation. */
static uint64_t simd_round(void)
{
    __m128i v = _mm_set_epi32(0x12345678, 0x9abcdef0, 0x0f1e2d3c, 0x4b5a6978);
    __m128i sum = _mm_setzero_si128();
    for (int i = 0; i < 20000; i++) {
        v = _mm_xor_si128(_mm_slli_epi64(v, 7), _mm_srli_epi32(v, 3));
        v = _mm_add_epi16(v, _mm_set1_epi16(0x1357));
        sum = _mm_add_epi32(sum, _mm_madd_epi16(v, _mm_shuffle_epi32(v, 0x1b)));
        sum = _mm_add_epi64(sum, _mm_sad_epu8(v, sum));
        sum = _mm_xor_si128(sum, _mm_packs_epi32(v, sum));
    }
    uint64_t out[2];
    _mm_storeu_si128((__m128i *)out, sum);
    return out[0] ^ out[1];
}

/* x87 at its own 80 bits: a polynomial, a division, a square root. */
static uint64_t x87_round(void)
{
    long double x = 1.0L, sum = 0;
    for (int i = 0; i < 10000; i++) {
        long double y, t = ((x * 0.25L - 1.5L) * x + 2.75L) * x - 0.125L;
        t *= t;
        __asm__("fsqrt" : "=t"(y) : "0"(t));
        sum += y / (x + 1.0L);
        x += 0.001L;
    }
    return bits_of((double)sum) ^ (uint64_t)(sum * 1e9L);
}

static uint64_t x87_trans_round(void)
{
    long double sum = 0;
    for (int i = 1; i <= 1000; i++) {
        long double x = i * 0.0007L, a, b;
        __asm__("fsin" : "=t"(a) : "0"(x));
        __asm__("fcos" : "=t"(b) : "0"(x));
        sum += a + b;
        __asm__("fpatan" : "=t"(a) : "0"(1.5L), "u"(x) : "st(1)");
        sum += a;
        __asm__("f2xm1" : "=t"(a) : "0"(x));
        sum += a;
        __asm__("fyl2x" : "=t"(a) : "0"(x), "u"(2.5L) : "st(1)");
        sum += a;
    }
    return (uint64_t)(int64_t)(sum * 1e9L);
}

const Workload float_workloads[] = {
    { "double",         "interactions", 600 * 16,    double_round },
    { "packed-double",  "products",     32 * 32 * 32, packed_round },
    { "packed-integer", "iterations",   20000,       simd_round },
    { "x87",            "iterations",   10000,       x87_round },
    { "x87-trans",      "functions",    5000,        x87_trans_round, NULL, APPROXIMATE },
    { NULL }
};
