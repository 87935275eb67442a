/* SPDX-License-Identifier: MIT */
/*
 * MXCSR and how the interpreter keeps it.  X86CPU.mxcsr is the control part and the sticky
 * flags known so far.  While X86CPU.sse_mode is SSE_HOST the vCPU thread runs with the guest's
 * rounding, DAZ and FTZ in the host's MXCSR (all exceptions masked), and further flags are
 * there.  Whoever needs MXCSR whole calls x86_get_mxcsr; whoever writes the field calls
 * x86_set_mxcsr; the engine calls x86_sse_leave when the vCPU thread stops running guest code.
 *
 *   SSE_NEW   MXCSR was changed: decide at the next instruction which of the two to use
 *   SSE_HOST  host arithmetic
 *   SSE_SOFT  softfloat: another host, or the guest unmasked an exception
 */
#ifndef TARGET_I386_SSE_ENV_H
#define TARGET_I386_SSE_ENV_H

#include "accel/tcg/host/sse.h"
#include "fpu/softfloat.h"
#include "target-i386/cpu.h"

enum { SSE_NEW, SSE_HOST, SSE_SOFT };

#define MXCSR_DAZ    0x0040
#define MXCSR_MASKS  0x1f80
#define MXCSR_FTZ    0x8000
#define MXCSR_VALID  0xffffu    /* bits LDMXCSR takes: the MXCSR_MASK of FXSAVE */
#define MXCSR_RESET  0x1f80

/* Own vCPU thread. */
uint32_t x86_get_mxcsr(X86CPU *c);
void x86_set_mxcsr(X86CPU *c, uint32_t v);
/* The host's MXCSR back to the C library's; flags into c->mxcsr. */
void x86_sse_leave(X86CPU *c);

/* Softfloat's environment of the moment, without flags. */
FpEnv x86_sse_env(const X86CPU *c);

#endif
