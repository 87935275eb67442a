/* SPDX-License-Identifier: MIT */
/*
 * Integer workloads: branches, loops, calls, dispatch; the working set fits the first caches.
 */
#include "tests/bench/guest/bench.h"
#include <string.h>

/* Branches which depend on pseudo-random data, and plain arithmetic between them. */
static uint64_t branch_round(void)
{
    uint64_t x = 88172645463325252u, sum = 0;
    for (int i = 0; i < 100000; i++) {
        x = xorshift64(x);
        if (x & 1) {
            sum += x >> 3;
        } else if (x & 6) {
            sum ^= x * 3;
        } else {
            sum -= x;
        }
    }
    return sum;
}

static uint64_t sieve_round(void)
{
    enum { N = 200000 };
    static uint8_t composite[N];
    unsigned count = 0;
    memset(composite, 0, sizeof(composite));
    for (unsigned i = 2; i < N; i++) {
        if (!composite[i]) {
            count++;
            for (unsigned j = 2 * i; j < N; j += i) {
                composite[j] = 1;
            }
        }
    }
    return count;
}

/* ---- SHA-256 (FIPS 180-4) ---- */

static uint32_t sha_k[64], sha_h0[8];

/* The first 32 bits of the fraction of the n-th root of p. */
static uint32_t root_fraction(unsigned p, int n)
{
    /* greatest r with r^n <= p * 2^(32 n); r has at most 3 + 32 bits */
    unsigned __int128 r = 0;
    for (int bit = 36; bit >= 0; bit--) {
        unsigned __int128 t = r | (unsigned __int128)1 << bit;
        unsigned __int128 square = t * t;
        int fits;
        if (n == 2) {
            fits = square <= (unsigned __int128)p << 64;
        } else {
            /* t^3 <= p 2^96  <=>  floor(t^2 / 2^32) * t <= p 2^64, but for t^2's low bits */
            unsigned __int128 low = (square & 0xffffffff) * t >> 32;
            fits = (square >> 32) * t + low < (unsigned __int128)p << 64;
        }
        if (fits) {
            r = t;
        }
    }
    return (uint32_t)r;
}

static void sha_setup(void)
{
    unsigned p = 2;
    for (int n = 0; n < 64; p++) {
        int prime = 1;
        for (unsigned d = 2; d * d <= p; d++) {
            prime &= p % d != 0;
        }
        if (prime) {
            if (n < 8) {
                sha_h0[n] = root_fraction(p, 2);
            }
            sha_k[n++] = root_fraction(p, 3);
        }
    }
}

static inline uint32_t ror(uint32_t x, int n)
{
    return x >> n | x << (32 - n);
}

static void sha_block(uint32_t h[8], const uint8_t *in)
{
    uint32_t w[64], s[8];
    for (int i = 0; i < 16; i++) {
        w[i] = (uint32_t)in[4 * i] << 24 | in[4 * i + 1] << 16 | in[4 * i + 2] << 8 | in[4 * i + 3];
    }
    for (int i = 16; i < 64; i++) {
        uint32_t a = w[i - 15], b = w[i - 2];
        w[i] = w[i - 16] + w[i - 7] + (ror(a, 7) ^ ror(a, 18) ^ a >> 3)
               + (ror(b, 17) ^ ror(b, 19) ^ b >> 10);
    }
    memcpy(s, h, sizeof(s));
    for (int i = 0; i < 64; i++) {
        uint32_t a = s[0], e = s[4];
        uint32_t t1 = s[7] + (ror(e, 6) ^ ror(e, 11) ^ ror(e, 25))
                      + ((e & s[5]) ^ (~e & s[6])) + sha_k[i] + w[i];
        uint32_t t2 = (ror(a, 2) ^ ror(a, 13) ^ ror(a, 22))
                      + ((a & s[1]) ^ (a & s[2]) ^ (s[1] & s[2]));
        memmove(s + 1, s, 7 * sizeof(s[0]));
        s[4] += t1;
        s[0] = t1 + t2;
    }
    for (int i = 0; i < 8; i++) {
        h[i] += s[i];
    }
}

static uint64_t sha_round(void)
{
    enum { BLOCKS = 512 };
    static uint8_t data[64];
    uint32_t h[8];
    memcpy(h, sha_h0, sizeof(h));
    for (int i = 0; i < 64; i++) {
        data[i] = i;
    }
    for (int i = 0; i < BLOCKS; i++) {
        sha_block(h, data);
    }
    return (uint64_t)h[0] << 32 | h[7];
}

/* ---- sorting, hashing ---- */

enum { SORT_N = 8192 };

static void quicksort(uint32_t *a, int n)
{
    while (n > 12) {
        uint32_t pivot = a[n / 2], t;
        int i = 0, j = n - 1;
        while (i <= j) {
            while (a[i] < pivot) {
                i++;
            }
            while (a[j] > pivot) {
                j--;
            }
            if (i <= j) {
                t = a[i];
                a[i++] = a[j];
                a[j--] = t;
            }
        }
        quicksort(a, j + 1);
        a += i;
        n -= i;
    }
    for (int i = 1; i < n; i++) {
        uint32_t v = a[i];
        int j = i;
        for (; j > 0 && a[j - 1] > v; j--) {
            a[j] = a[j - 1];
        }
        a[j] = v;
    }
}

static uint64_t sort_round(void)
{
    static uint32_t a[SORT_N];
    uint64_t x = 42, sum = 0;
    for (int i = 0; i < SORT_N; i++) {
        a[i] = (x = xorshift64(x)) >> 16;
    }
    quicksort(a, SORT_N);
    for (int i = 0; i < SORT_N; i++) {
        sum += (uint64_t)a[i] * i;
    }
    return sum;
}

/* A hash table with open addressing: words put in and looked up by their text. */
static uint64_t hash_round(void)
{
    enum { SLOTS = 8192, WORDS = 4000 };
    static struct { char text[12]; uint32_t count; } table[SLOTS];
    uint64_t x = 7, sum = 0;
    memset(table, 0, sizeof(table));
    for (int i = 0; i < 2 * WORDS; i++) {
        char word[12] = { 0 };
        uint32_t h = 2166136261u;
        x = i == WORDS ? 7 : xorshift64(x);     /* the second half meets the same words */
        for (int k = 0; k < 11; k++) {
            word[k] = 'a' + (x >> (4 * k) & 15);
            h = (h ^ word[k]) * 16777619;
        }
        unsigned slot = h % SLOTS;
        while (table[slot].count && memcmp(table[slot].text, word, sizeof(word))) {
            slot = (slot + 1) % SLOTS;
        }
        memcpy(table[slot].text, word, sizeof(word));
        sum += ++table[slot].count * (slot + 1);
    }
    return sum;
}

/* ---- dispatch ---- */

/* A small byte code, interpreted by a switch: the loop every emulator and language has. */
static uint64_t switch_round(void)
{
    static const uint8_t program[] = { 1, 5, 2, 9, 4, 0, 7, 3, 8, 6, 2, 5, 1, 9, 0, 4, 10 };
    uint64_t a = 1, b = 2, c = 0;
    const uint8_t *volatile start = program;
    for (const uint8_t *pc = start; c < 10000;) {
        switch (*pc++) {
        case 0: a += b; break;
        case 1: b ^= a << 3; break;
        case 2: a -= c; break;
        case 3: b += 17; break;
        case 4: a = a << 7 | a >> 57; break;
        case 5: b *= 5; break;
        case 6: a ^= b; break;
        case 7: b -= a >> 9; break;
        case 8: a = ~a; break;
        case 9: b = b >> 3 | b << 61; break;
        case 10: c++; pc = start; break;
        }
    }
    return a ^ b;
}

static __attribute__((noinline)) uint64_t fn_add(uint64_t x) { return x + 3; }
static __attribute__((noinline)) uint64_t fn_xor(uint64_t x) { return x ^ 0x55; }
static __attribute__((noinline)) uint64_t fn_rol(uint64_t x) { return x << 9 | x >> 55; }
static __attribute__((noinline)) uint64_t fn_mul(uint64_t x) { return x * 0x9e3779b97f4a7c15u; }

static uint64_t pointer_round(void)
{
    static uint64_t (*const table[])(uint64_t) = {
        fn_add, fn_xor, fn_rol, fn_mul, fn_rol, fn_add, fn_mul, fn_xor,
    };
    uint64_t (*const *volatile fns)(uint64_t) = table;
    uint64_t x = 1;
    for (int i = 0; i < 100000; i++) {
        x = fns[x >> 5 & 7](x + i);
    }
    return x;
}

static __attribute__((noinline, optimize("no-optimize-sibling-calls", "no-inline")))
unsigned fib(unsigned n)
{
    return n < 2 ? n : fib(n - 1) + fib(n - 2);
}

static uint64_t fib_round(void)
{
    volatile unsigned n = 22;
    return fib(n);
}

/* Bit twiddling, division, multiplication with a wide result. */
static uint64_t arith_round(void)
{
    uint64_t x = 12345, sum = 0;
    for (int i = 0; i < 20000; i++) {
        x = xorshift64(x);
        sum += __builtin_popcountll(x) + __builtin_clzll(x | 1) + (x | 1) % ((x >> 40) + 3);
        sum += (uint64_t)((unsigned __int128)x * sum >> 64);
    }
    return sum;
}

const Workload integer_workloads[] = {
    { "branch",   "iterations", 100000,     branch_round },
    { "arith",    "iterations", 20000,      arith_round },
    { "sieve",    "numbers",    200000,     sieve_round },
    { "sha256",   "bytes",      512 * 64,   sha_round, sha_setup },
    { "sort",     "elements",   SORT_N,     sort_round },
    { "hash",     "look-ups",   8000,       hash_round },
    { "switch",   "dispatches", 170000,     switch_round },
    { "pointers", "calls",      100000,     pointer_round },
    { "fib",      "calls",      57313,      fib_round },
    { NULL }
};
