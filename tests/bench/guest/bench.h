/* SPDX-License-Identifier: MIT */
/*
 * Workloads of `make bench`.
 *
 * The program is /init of a guest and also runs on the host ("native").  A workload is done in
 * rounds: each does the same work and must give the same check value, which the driver
 * (tests/bench/bench.py) compares with the native one.  A round takes about a millisecond on
 * a host of the 2020s, so that interpreters finish some in the time they get.
 */
#ifndef BENCH_H
#define BENCH_H

#include <stddef.h>
#include <stdint.h>

enum {
    GUEST_ONLY = 1,         /* needs the guest's ports or disk */
    APPROXIMATE = 2,        /* the last bits of the check value may differ between CPUs */
};

typedef struct Workload {
    const char *name;
    const char *unit;           /* of what a round does `units` */
    uint64_t units;
    uint64_t (*round)(void);
    void (*setup)(void);        /* once, before the clock starts; may be NULL */
    unsigned flags;
} Workload;

/* Each list ends with a workload without a name. */
extern const Workload integer_workloads[], memory_workloads[], float_workloads[],
    code_workloads[], kernel_workloads[], io_workloads[];

/* A step of Marsaglia's 64-bit xorshift; never 0 unless x is. */
static inline uint64_t xorshift64(uint64_t x)
{
    x ^= x << 13;
    x ^= x >> 7;
    return x ^ x << 17;
}

/* Makes the compiler believe that p's target is read and written here. */
#define OPAQUE(p) __asm__ volatile("" : "+r"(p) : : "memory")

/* Prints what went wrong and ends the workload's process. */
void die(const char *what);

/* A line, written in one piece. */
void say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Of the monotonic clock. */
uint64_t now_ns(void);

/* The workload on processor 0, on processor 1 and on both at once, for ms each, `times` times. */
void measure_pairs(const Workload *w, unsigned ms, unsigned times);

/* mmap of anonymous memory, or die. */
void *map(size_t size, int prot);

#endif
