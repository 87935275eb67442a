/* SPDX-License-Identifier: MIT */
/*
 * Frame of the SSE and AVX floating-point handlers: run an operation on the host's SSE unit or
 * on softfloat, gather flags, raise what is unmasked.  See sse-env.h for who decides.
 */
#ifndef TARGET_I386_SIMD_FP_H
#define TARGET_I386_SIMD_FP_H

#include "target-i386/simd.h"
#include "target-i386/sse-env.h"

typedef V128 LaneFn2(V128 a, V128 b);
typedef V128 LaneSoft2(V128 a, V128 b, FpEnv *e);
typedef V128 LaneSoftImm2(V128 a, V128 b, unsigned imm, FpEnv *e);

/* Is host arithmetic to be used?  Loads the host's MXCSR if it was due. */
bool simd_host_ready(X86CPU *c);
/* After a softfloat operation: flags into MXCSR; #XM (or #UD) if one is unmasked. */
void simd_fp_done(X86CPU *c, const Insn *i, const FpEnv *e);
/* host may be NULL: softfloat only. */
V128 simd_slow2(X86CPU *c, const Insn *i, V128 a, V128 b, LaneFn2 *host, LaneSoft2 *soft);
V256 simd_slow2_256(X86CPU *c, const Insn *i, V256 a, V256 b, LaneFn2 *host, LaneSoft2 *soft);

static inline V128 simd_slow_imm2(X86CPU *c, const Insn *i, V128 a, V128 b, LaneSoftImm2 *fn)
{
    FpEnv e = x86_sse_env(c);
    V128 r = fn(a, b, (uint8_t)i->imm, &e);

    simd_fp_done(c, i, &e);
    return r;
}

#if HOST_SSE
static inline HostV host_of(V128 v)
{
    HostV h;
    memcpy(&h, &v, sizeof(h));
    return h;
}
static inline V128 lane_of(HostV h)
{
    V128 v;
    memcpy(&v, &h, sizeof(v));
    return v;
}
/* run_NAME: the host's instruction on lanes */
#define FP_LANE(name)                                                              \
    static inline V128 run_##name(V128 a, V128 b)                                  \
    {                                                                              \
        return lane_of(host_##name(host_of(a), host_of(b)));                       \
    }
#define FP_RUN_DEFAULT(name, a, b)                                                 \
    (likely(c->sse_mode == SSE_HOST) ? run_##name(a, b)                            \
                                     : simd_slow2(c, i, a, b, run_##name, soft_##name))
#define FP_RUN256_DEFAULT(name, a, b) simd_slow2_256(c, i, a, b, run_##name, soft_##name)
#define FP_RUN(name, a, b) FP_RUN_DEFAULT(name, a, b)
#define FP_RUN256(name, a, b) FP_RUN256_DEFAULT(name, a, b)
#else
#define FP_LANE(name)
#define FP_RUN(name, a, b) simd_slow2(c, i, a, b, NULL, soft_##name)
#define FP_RUN256(name, a, b) simd_slow2_256(c, i, a, b, NULL, soft_##name)
#endif

#endif
