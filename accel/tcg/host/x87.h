/* SPDX-License-Identifier: MIT */
/*
 * The host's x87 unit as a calculator for guest x87 instructions: the same instruction under
 * the guest's rounding and precision control gives the guest's result, flags and C1 bit for
 * bit.  Other hosts define HOST_X87 0 and everything goes through fpu/softfloat.h.
 *
 * The host's stack is empty between operations.  Its control word and exception flags stay as
 * the last operation left them (all exceptions masked), because FLDCW and FNCLEX cost more
 * than the operation: per-thread variables remember what they are.  target-i386/x87.h keeps
 * the rule that makes this right: when an operation starts, the flags in the host are a subset
 * of those in the guest's status word.
 */
#ifndef ACCEL_TCG_HOST_X87_H
#define ACCEL_TCG_HOST_X87_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include "fpu/softfloat.h"

/* The transcendental instructions. */
typedef enum {
    HOST_F2XM1, HOST_FYL2X, HOST_FYL2XP1, HOST_FPATAN,
    HOST_FPTAN, HOST_FSINCOS, HOST_FSIN, HOST_FCOS,
    HOST_FIRST_TRIG = HOST_FPTAN,               /* from here on C2 tells of the range */
} HostX87Op;

#if defined(__x86_64__) && !defined(ORRERY_NO_HOST_FP)
#define HOST_X87 1

/* What the host's x87 holds, this thread. */
extern __thread uint16_t host_x87_cw;
extern __thread uint8_t host_x87_flags;
#define HOST_X87_CW_DEFAULT 0x37f

static inline void host_x87_load_cw(uint16_t cw)
{
    __asm__ volatile("fldcw %0" : : "m"(cw));
    host_x87_cw = cw;
}
static inline void host_x87_clear(void)
{
    __asm__ volatile("fnclex");
    host_x87_flags = 0;
}

/* ST0 = *a, ST1 = *b; the result is ST0.  Returns the status word.  (Operands by address: a
 * copy on the way would have to wait for the store of the register.) */
#define HOST_X87_2(name, insn)                                                     \
    static inline uint16_t host_##name(F80 *r, const F80 *a, const F80 *b)                       \
    {                                                                              \
        uint16_t sw;                                                               \
        __asm__ volatile("fldt %3\n fldt %2\n " insn "\n fnstsw %1\n fstpt %0"     \
                         : "=m"(*r), "=a"(sw) : "m"(*a), "m"(*b)                     \
                         : "st", "st(1)", "st(2)");                                \
        return sw;                                                                 \
    }
#define HOST_X87_1(name, insn)                                                     \
    static inline uint16_t host_##name(F80 *r, const F80 *a)                              \
    {                                                                              \
        uint16_t sw;                                                               \
        __asm__ volatile("fldt %2\n " insn "\n fnstsw %1\n fstpt %0"               \
                         : "=m"(*r), "=a"(sw) : "m"(*a) : "st", "st(1)");           \
        return sw;                                                                 \
    }
/* Two results: *r from ST0, *s from ST1. */
#define HOST_X87_1TO2(name, insn)                                                  \
    static inline uint16_t host_##name(F80 *r, F80 *s, const F80 *a)                      \
    {                                                                              \
        uint16_t sw;                                                               \
        __asm__ volatile("fldt %3\n " insn "\n fnstsw %2\n fstpt %0\n fstpt %1"    \
                         : "=m"(*r), "=m"(*s), "=a"(sw) : "m"(*a) : "st", "st(1)"); \
        return sw;                                                                 \
    }
HOST_X87_2(fadd, "faddp")
HOST_X87_2(fmul, "fmulp")
HOST_X87_1(fsqrt, "fsqrt")
HOST_X87_1(frndint, "frndint")
HOST_X87_1TO2(fxtract, "fxtract")
#undef HOST_X87_2
#undef HOST_X87_1
#undef HOST_X87_1TO2

/* ST0 OP= ST1; the status word is read before b is dropped, which clears C1. */
#define HOST_X87_KEPT(name, insn)                                                  \
    static inline uint16_t host_##name(F80 *r, const F80 *a, const F80 *b)                       \
    {                                                                              \
        uint16_t sw;                                                               \
        __asm__ volatile("fldt %3\n fldt %2\n " insn "\n fnstsw %1\n fstpt %0\n"   \
                         "fstp %%st(0)"                                            \
                         : "=m"(*r), "=a"(sw) : "m"(*a), "m"(*b)                     \
                         : "st", "st(1)");                                         \
        return sw;                                                                 \
    }
HOST_X87_KEPT(fsub, "fsub %%st(1), %%st")
HOST_X87_KEPT(fdiv, "fdiv %%st(1), %%st")
HOST_X87_KEPT(fscale, "fscale")
HOST_X87_KEPT(fprem, "fprem")
HOST_X87_KEPT(fprem1, "fprem1")
#undef HOST_X87_KEPT

/*
 * The transcendental instructions, under any masks: the stack afterwards and the status word,
 * exactly as the unit leaves them.  Resets the host's unit.
 */
typedef struct HostX87Image {           /* FNSAVE, 32-bit protected mode */
    uint32_t cw, sw, tw, fip, fcs, fdp, fds;
    uint8_t st[80];
} HostX87Image;

/*
 * The same under the control word loaded already, which masks everything: quicker.  r and
 * top as left in the stack: the (lower) result and, for FPTAN and FSINCOS unless C2 is set,
 * the one pushed.
 */
static inline uint16_t host_x87_quick(HostX87Op op, F80 *r, F80 *top, const F80 *a,
                                       const F80 *b)
{
    uint16_t sw;
#define ONE(insn)                                                                  \
    __asm__ volatile("fldt %2\n " insn "\n fnstsw %1\n fstpt %0"                   \
                     : "=m"(*r), "=a"(sw) : "m"(*a) : "st", "st(1)")
#define TWO(insn)                                                                  \
    __asm__ volatile("fldt %3\n fldt %2\n " insn "\n fnstsw %1\n fstpt %0"         \
                     : "=m"(*r), "=a"(sw) : "m"(*a), "m"(*b) : "st", "st(1)", "st(2)")
#define PUSH(insn)                                                                 \
    __asm__ volatile("fldt %3\n " insn "\n fnstsw %2\n testb $4, %%ah\n jnz 1f\n"  \
                     "fstpt %1\n1: fstpt %0"                                       \
                     : "=m"(*r), "+m"(*top), "=a"(sw) : "m"(*a) : "st", "st(1)", "cc")
    switch (op) {
    case HOST_F2XM1:   ONE("f2xm1");    break;
    case HOST_FSIN:    ONE("fsin");     break;
    case HOST_FYL2X:   TWO("fyl2x");    break;
    case HOST_FYL2XP1: TWO("fyl2xp1");  break;
    case HOST_FPATAN:  TWO("fpatan");   break;
    case HOST_FPTAN:   PUSH("fptan");   break;
    case HOST_FSINCOS: PUSH("fsincos"); break;
    default:           ONE("fcos");     break;
    }
#undef ONE
#undef TWO
#undef PUSH
    return sw;
}

/* ST0 = a, ST1 = b */
static inline void host_x87_full(HostX87Op op, HostX87Image *m, const F80 *a, const F80 *b,
                                 uint16_t cw)
{
#define FULL(insn)                                                                 \
    __asm__ volatile("fninit\n fldt %2\n fldt %1\n fldcw %3\n " insn "\n fnsave %0" \
                     : "=m"(*m) : "m"(*a), "m"(*b), "m"(cw)                          \
                     : "st", "st(1)", "st(2)", "st(3)", "st(4)", "st(5)", "st(6)", "st(7)")
    switch (op) {
    case HOST_F2XM1:   FULL("f2xm1");   break;
    case HOST_FYL2X:   FULL("fyl2x");   break;
    case HOST_FPTAN:   FULL("fptan");   break;
    case HOST_FPATAN:  FULL("fpatan");  break;
    case HOST_FYL2XP1: FULL("fyl2xp1"); break;
    case HOST_FSINCOS: FULL("fsincos"); break;
    case HOST_FSIN:    FULL("fsin");    break;
    default:           FULL("fcos");    break;
    }
#undef FULL
    host_x87_cw = HOST_X87_CW_DEFAULT;
    host_x87_flags = 0;
}
static inline F80 host_x87_image_st(const HostX87Image *m, unsigned n)
{
    F80 r;
    memcpy(&r.frac, m->st + 10 * n, 8);
    memcpy(&r.se, m->st + 10 * n + 8, 2);
    return r;
}

/* Stores to memory formats. */
#define HOST_X87_STORE(name, type, insn)                                           \
    static inline uint16_t host_##name(type *r, const F80 *a)                             \
    {                                                                              \
        uint16_t sw;                                                               \
        __asm__ volatile("fldt %2\n " insn " %0\n fnstsw %1\n"                     \
                         : "=m"(*r), "=a"(sw) : "m"(*a) : "st");                    \
        return sw;                                                                 \
    }
HOST_X87_STORE(fst32, uint32_t, "fstps")
HOST_X87_STORE(fst64, uint64_t, "fstpl")
HOST_X87_STORE(fist16, uint16_t, "fistps")
HOST_X87_STORE(fist32, uint32_t, "fistpl")
HOST_X87_STORE(fist64, uint64_t, "fistpq")
#undef HOST_X87_STORE

#else
#define HOST_X87 0
#endif

#endif
