/* SPDX-License-Identifier: MIT */
/*
 * The host's SSE unit as a calculator for guest SSE instructions: on x86 hosts the same
 * instruction under the guest's rounding, DAZ and FTZ gives the guest's result and flags bit
 * for bit.  All exceptions are masked in the host; sticky flags gather in the host's MXCSR
 * until somebody reads it (see target-i386/sse-env.h).
 *
 * Inline assembly rather than intrinsics: compilers treat intrinsics as arithmetic whose
 * operands commute, and the order decides which NaN survives.
 *
 * Other hosts define HOST_SSE 0 and everything goes through fpu/softfloat.h.
 */
#ifndef ACCEL_TCG_HOST_SSE_H
#define ACCEL_TCG_HOST_SSE_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#if defined(__x86_64__) && !defined(ORRERY_NO_HOST_FP)
#define HOST_SSE 1

typedef long long HostV __attribute__((vector_size(16)));

static inline uint32_t host_mxcsr_get(void)
{
    uint32_t v;
    __asm__ volatile("stmxcsr %0" : "=m"(v));
    return v;
}
static inline void host_mxcsr_set(uint32_t v)
{
    __asm__ volatile("ldmxcsr %0" : : "m"(v));
}

/* r = a OP b, as in "OP b, r" with r = a */
#define HOST_SSE2(insn)                                                            \
    static inline HostV host_##insn(HostV a, HostV b)                              \
    {                                                                              \
        __asm__ volatile(#insn " %1, %0" : "+x"(a) : "x"(b));                      \
        return a;                                                                  \
    }
/* r = OP b, with r's upper part from a where the instruction keeps it */
HOST_SSE2(addps) HOST_SSE2(addpd) HOST_SSE2(addss) HOST_SSE2(addsd)
HOST_SSE2(subps) HOST_SSE2(subpd) HOST_SSE2(subss) HOST_SSE2(subsd)
HOST_SSE2(mulps) HOST_SSE2(mulpd) HOST_SSE2(mulss) HOST_SSE2(mulsd)
HOST_SSE2(divps) HOST_SSE2(divpd) HOST_SSE2(divss) HOST_SSE2(divsd)
HOST_SSE2(minps) HOST_SSE2(minpd) HOST_SSE2(minss) HOST_SSE2(minsd)
HOST_SSE2(maxps) HOST_SSE2(maxpd) HOST_SSE2(maxss) HOST_SSE2(maxsd)
HOST_SSE2(sqrtps) HOST_SSE2(sqrtpd) HOST_SSE2(sqrtss) HOST_SSE2(sqrtsd)
HOST_SSE2(rcpps) HOST_SSE2(rcpss) HOST_SSE2(rsqrtps) HOST_SSE2(rsqrtss)
HOST_SSE2(cvtss2sd) HOST_SSE2(cvtsd2ss) HOST_SSE2(cvtps2pd) HOST_SSE2(cvtpd2ps)
HOST_SSE2(cvtdq2ps) HOST_SSE2(cvtdq2pd) HOST_SSE2(cvtps2dq) HOST_SSE2(cvttps2dq)
HOST_SSE2(cvtpd2dq) HOST_SSE2(cvttpd2dq)
#undef HOST_SSE2

/* Compares with one of the eight legacy predicates */
#define HOST_CMP(insn)                                                             \
    static inline HostV host_##insn(HostV a, HostV b, unsigned pred)               \
    {                                                                              \
        switch (pred) {                                                            \
        case 0: __asm__ volatile(#insn " $0, %1, %0" : "+x"(a) : "x"(b)); break;   \
        case 1: __asm__ volatile(#insn " $1, %1, %0" : "+x"(a) : "x"(b)); break;   \
        case 2: __asm__ volatile(#insn " $2, %1, %0" : "+x"(a) : "x"(b)); break;   \
        case 3: __asm__ volatile(#insn " $3, %1, %0" : "+x"(a) : "x"(b)); break;   \
        case 4: __asm__ volatile(#insn " $4, %1, %0" : "+x"(a) : "x"(b)); break;   \
        case 5: __asm__ volatile(#insn " $5, %1, %0" : "+x"(a) : "x"(b)); break;   \
        case 6: __asm__ volatile(#insn " $6, %1, %0" : "+x"(a) : "x"(b)); break;   \
        default: __asm__ volatile(#insn " $7, %1, %0" : "+x"(a) : "x"(b)); break;  \
        }                                                                          \
        return a;                                                                  \
    }
HOST_CMP(cmpps) HOST_CMP(cmppd) HOST_CMP(cmpss) HOST_CMP(cmpsd)
#undef HOST_CMP

/* Ordered compares: bit 0 CF, bit 2 PF, bit 6 ZF, as in EFLAGS */
#define HOST_COMI(insn)                                                            \
    static inline uint32_t host_##insn(HostV a, HostV b)                           \
    {                                                                              \
        bool z, p, c;                                                              \
        __asm__ volatile(#insn " %4, %3" : "=@ccz"(z), "=@ccp"(p), "=@ccc"(c)      \
                         : "x"(a), "x"(b));                                        \
        return (uint32_t)z << 6 | (uint32_t)p << 2 | c;                            \
    }
HOST_COMI(comiss) HOST_COMI(ucomiss) HOST_COMI(comisd) HOST_COMI(ucomisd)
#undef HOST_COMI

/* Scalar <-> integer */
#define HOST_TO_INT(insn)                                                          \
    static inline int64_t host_##insn(HostV a, bool wide)                          \
    {                                                                              \
        int64_t r;                                                                 \
        int32_t r32;                                                               \
        if (wide) {                                                                \
            __asm__ volatile(#insn " %1, %0" : "=r"(r) : "x"(a));                  \
            return r;                                                              \
        }                                                                          \
        __asm__ volatile(#insn " %1, %0" : "=r"(r32) : "x"(a));                    \
        return r32;                                                                \
    }
HOST_TO_INT(cvtss2si) HOST_TO_INT(cvttss2si) HOST_TO_INT(cvtsd2si) HOST_TO_INT(cvttsd2si)
#undef HOST_TO_INT
#define HOST_FROM_INT(insn)                                                        \
    static inline HostV host_##insn(HostV a, int64_t v, bool wide)                 \
    {                                                                              \
        if (wide) {                                                                \
            __asm__ volatile(#insn "q %1, %0" : "+x"(a) : "r"(v));                 \
        } else {                                                                   \
            __asm__ volatile(#insn "l %k1, %0" : "+x"(a) : "r"(v));                \
        }                                                                          \
        return a;                                                                  \
    }
HOST_FROM_INT(cvtsi2ss) HOST_FROM_INT(cvtsi2sd)
#undef HOST_FROM_INT

#else
#define HOST_SSE 0
static inline uint32_t host_mxcsr_get(void) { return 0x1f80; }
static inline void host_mxcsr_set(uint32_t v) { (void)v; }
#endif

#endif
