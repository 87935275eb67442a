/* SPDX-License-Identifier: MIT */
/*
 * Memory workloads: chasing pointers, copying, filling and scanning by several means.
 */
#include "tests/bench/guest/bench.h"
#include <emmintrin.h>
#include <string.h>
#include <sys/mman.h>

/* ---- pointer chase ---- */

enum {
    NEAR_LINES = 256,               /* 16 KiB: the first-level cache */
    FAR_LINES = 512 * 1024,         /* 32 MiB: more than the caches, and than any TLB maps */
};

typedef struct Line {
    struct Line *next;
    char pad[56];
} Line;

static Line near_ring[NEAR_LINES], *far_ring;

/* One cycle through all the lines in pseudo-random order (Sattolo's algorithm). */
static void make_ring(Line *ring, unsigned n)
{
    uint64_t x = 99;
    for (unsigned i = 0; i < n; i++) {
        ring[i].next = &ring[i];
    }
    for (unsigned i = n - 1; i > 0; i--) {
        x = xorshift64(x);
        unsigned j = (x >> 20) % i;
        Line *t = ring[i].next;
        ring[i].next = ring[j].next;
        ring[j].next = t;
    }
}

static void near_setup(void)
{
    make_ring(near_ring, NEAR_LINES);
}

static void far_setup(void)
{
    far_ring = map(FAR_LINES * sizeof(Line), PROT_READ | PROT_WRITE);
    make_ring(far_ring, FAR_LINES);
}

static uint64_t chase(Line *ring, unsigned steps)
{
    Line *p = ring;
    for (unsigned i = 0; i < steps; i++) {
        p = p->next;
    }
    return p - ring;
}

static uint64_t near_round(void)
{
    return chase(near_ring, 200003);
}

static uint64_t far_round(void)
{
    return chase(far_ring, 20011);
}

/* ---- copies ---- */

enum { BLOCK = 32 * 1024, TIMES = 8 };

static uint8_t from[BLOCK] __attribute__((aligned(64))), to[BLOCK] __attribute__((aligned(64)));

static void copy_setup(void)
{
    uint64_t x = 5;
    for (int i = 0; i < BLOCK; i++) {
        from[i] = (x = xorshift64(x)) >> 24 | 1;    /* never 0: scans run to the end */
    }
    memset(to, 0, BLOCK);
}

static uint64_t sum_of(const uint8_t *p)
{
    uint64_t sum = 0, v;
    for (int i = 0; i < BLOCK; i += 512) {
        memcpy(&v, p + i, 8);
        sum = sum * 31 + v;
    }
    return sum;
}

static uint64_t copy_words_round(void)
{
    for (int t = 0; t < TIMES; t++) {
        uint64_t *d = (uint64_t *)to;
        const uint64_t *s = (const uint64_t *)from;
        for (int i = 0; i < BLOCK / 8; i++) {
            d[i] = s[i];
            __asm__ volatile("" : : : "memory");    /* word by word, whatever -O2 knows */
        }
    }
    return sum_of(to);
}

static uint64_t copy_sse_round(void)
{
    for (int t = 0; t < TIMES; t++) {
        uint8_t *d = to;
        const uint8_t *s = from;
        OPAQUE(d);
        for (int i = 0; i < BLOCK; i += 32) {
            __m128i a = _mm_load_si128((const __m128i *)(s + i));
            __m128i b = _mm_load_si128((const __m128i *)(s + i + 16));
            _mm_store_si128((__m128i *)(d + i), a);
            _mm_store_si128((__m128i *)(d + i + 16), b);
        }
    }
    return sum_of(to);
}

static uint64_t copy_rep_round(void)
{
    for (int t = 0; t < TIMES; t++) {
        void *d = to;
        const void *s = from;
        size_t n = BLOCK;
        __asm__ volatile("rep movsb" : "+D"(d), "+S"(s), "+c"(n) : : "memory");
    }
    return sum_of(to);
}

static uint64_t fill_rep_round(void)
{
    for (int t = 0; t < TIMES; t++) {
        void *d = to;
        size_t n = BLOCK / 8;
        __asm__ volatile("rep stosq" : "+D"(d), "+c"(n)
                         : "a"(0x0123456789abcdefu * (t + 1)) : "memory");
    }
    return sum_of(to);
}

/* ---- scans ---- */

static uint64_t scan_bytes_round(void)
{
    const uint8_t *p = from, *end = from + BLOCK;
    OPAQUE(p);
    while (p < end && *p) {
        p++;
    }
    return p - from;
}

static uint64_t scan_sse_round(void)
{
    uint64_t found = 0;
    for (int t = 0; t < TIMES; t++) {
        const uint8_t *p = from;
        OPAQUE(p);
        for (int i = 0; i < BLOCK; i += 16) {
            __m128i v = _mm_load_si128((const __m128i *)(p + i));
            found += _mm_movemask_epi8(_mm_cmpeq_epi8(v, _mm_set1_epi8('7' + t)));
        }
    }
    return found;
}

static uint64_t scan_rep_round(void)
{
    const uint8_t *p = from;
    size_t n = BLOCK;
    __asm__ volatile("repne scasb" : "+D"(p), "+c"(n) : "a"(0) : "memory", "cc");
    return p - from;
}

const Workload memory_workloads[] = {
    { "chase-near", "loads", 200003,        near_round,       near_setup },
    { "chase-far",  "loads", 20011,         far_round,        far_setup },
    { "copy-words", "bytes", BLOCK * TIMES, copy_words_round, copy_setup },
    { "copy-sse",   "bytes", BLOCK * TIMES, copy_sse_round,   copy_setup },
    { "copy-rep",   "bytes", BLOCK * TIMES, copy_rep_round,   copy_setup },
    { "fill-rep",   "bytes", BLOCK * TIMES, fill_rep_round,   copy_setup },
    { "scan-bytes", "bytes", BLOCK,         scan_bytes_round, copy_setup },
    { "scan-sse",   "bytes", BLOCK * TIMES, scan_sse_round,   copy_setup },
    { "scan-rep",   "bytes", BLOCK,         scan_rep_round,   copy_setup },
    { NULL }
};
