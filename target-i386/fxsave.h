/* SPDX-License-Identifier: MIT */
/*
 * The FXSAVE image, which is also the legacy region of the XSAVE area (SDM volume 1, 10.5.1
 * and 13.4.1), and the XSAVE area's layout.  For FXSAVE, XSAVE, CPUID leaf 0Dh, and whoever
 * carries state in this form (KVM, SMM, gdb).
 */
#ifndef TARGET_I386_FXSAVE_H
#define TARGET_I386_FXSAVE_H

#include "target-i386/insn.h"

#define FX_MXCSR      24
#define FX_MXCSR_MASK 28
#define FX_ST         32        /* eight registers of 16 bytes, from the top of the stack */
#define FX_XMM        160
#define FX_SIZE       512

#define XSAVE_HEADER      512
#define XSAVE_XSTATE_BV   512
#define XSAVE_XCOMP_BV    520
#define XSAVE_EXTENDED    576   /* first byte after the header */
#define XCOMP_COMPACTED   (1ull << 63)

/* One state component from 2 on: where it lies in the standard format, its size. */
typedef struct XsaveComponent {
    uint16_t offset, size;
} XsaveComponent;
/* NULL if there is no component n. */
const XsaveComponent *x86_xsave_component(unsigned n);
/* Size of an area that holds these components (CPUID 0Dh). */
unsigned x86_xsave_size(uint64_t components, bool compacted);

/* Parts of the image b, in either direction; wide: 64-bit FIP and FDP (REX.W).  get_x87 takes
 * any bits.  MXCSR is the caller's. */
void x86_fx_put_x87(const X86CPU *c, bool wide, uint8_t *b);
void x86_fx_get_x87(X86CPU *c, bool wide, const uint8_t *b);
void x86_fx_put_xmm(const X86CPU *c, unsigned count, uint8_t *b);
void x86_fx_get_xmm(X86CPU *c, unsigned count, const uint8_t *b);

/* Registers saved: XMM8-15 exist in 64-bit mode only. */
static inline unsigned x86_fx_xmm_count(const Insn *i)
{
    return i->flags & IF_CODE64 ? 16 : 8;
}

/* Status word with TOP, tag word with two bits per register; FNINIT. */
uint16_t x86_fpu_status(const X86CPU *c);
uint16_t x86_fpu_tags(const X86CPU *c);
void x86_fpu_init(X86CPU *c);

#endif
