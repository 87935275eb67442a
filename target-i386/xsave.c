/* SPDX-License-Identifier: MIT */
/*
 * XSAVE, XSAVEOPT, XSAVEC, XSAVES and XRSTOR, XRSTORS (SDM volume 1, chapter 13).
 *
 * Components: x87 (0), SSE (1), AVX (2), PKRU (9); no supervisor components, so that XSAVES is
 * XSAVEC at CPL 0.  The init optimization is done where the manual has it, the modified
 * optimization (which is optional) is not.  As on Intel's units x87 state always counts as in
 * use, and MXCSR counts for SSE in the compacted forms only.
 */
#include "target-i386/cpuid.h"
#include "target-i386/fxsave.h"
#include "target-i386/interp.h"
#include "target-i386/sse-env.h"

#define NOINLINE __attribute__((noinline))

#define COMPONENT_PKRU 9
#define COMPONENTS     10

static const XsaveComponent components[COMPONENTS] = {
    [2] = { 576, 256 },
    [COMPONENT_PKRU] = { 2688, 8 },
};

const XsaveComponent *x86_xsave_component(unsigned n)
{
    return n < COMPONENTS && components[n].size ? &components[n] : NULL;
}

/* Where component n lies in an area whose XCOMP_BV is xcomp. */
static unsigned component_offset(unsigned n, uint64_t xcomp)
{
    if (!(xcomp & XCOMP_COMPACTED)) {
        return components[n].offset;
    }
    unsigned at = XSAVE_EXTENDED;
    for (unsigned k = 2; k < n; k++) {
        if (xcomp >> k & 1) {
            at += components[k].size;
        }
    }
    return at;
}

unsigned x86_xsave_size(uint64_t mask, bool compacted)
{
    unsigned size = XSAVE_EXTENDED;

    for (unsigned n = 2; n < COMPONENTS; n++) {
        if (mask >> n & 1 && components[n].size) {
            unsigned at = component_offset(n, compacted ? mask | XCOMP_COMPACTED : 0);
            size = MAX(size, at + components[n].size);
        }
    }
    return size;
}

/* ---- the parts ------------------------------------------------------------------------- */

/* Components not in their initial configuration, MXCSR left aside. */
static uint64_t in_use(const X86CPU *c, unsigned count)
{
    uint64_t sse = 0, avx = 0;

    for (unsigned n = 0; n < count; n++) {
        sse |= c->v[n].q[0] | c->v[n].q[1];
        avx |= c->v[n].q[2] | c->v[n].q[3];
    }
    return XCR0_X87 | (sse ? XCR0_SSE : 0) | (avx ? XCR0_AVX : 0) | (c->pkru ? XCR0_PKRU : 0);
}

static void put_component(X86CPU *c, const Insn *i, unsigned n, unsigned at)
{
    uint8_t b[256];

    if (n == COMPONENT_PKRU) {
        st64_le(b, c->pkru);
        m_write(c, i, at, b, 8);
        return;
    }
    unsigned count = x86_fx_xmm_count(i);
    for (unsigned k = 0; k < count; k++) {
        st64_le(b + 16 * k, c->v[k].q[2]);
        st64_le(b + 16 * k + 8, c->v[k].q[3]);
    }
    m_write(c, i, at, b, 16 * count);
}

static void put_legacy(X86CPU *c, const Insn *i, uint64_t save, bool mxcsr)
{
    uint8_t b[FX_SIZE];
    unsigned count = x86_fx_xmm_count(i);

    x86_fx_put_x87(c, i->flags & IF_W, b);
    st32_le(b + FX_MXCSR, x86_get_mxcsr(c));
    st32_le(b + FX_MXCSR_MASK, MXCSR_VALID);
    x86_fx_put_xmm(c, count, b);
    if (save & XCR0_X87) {
        m_write(c, i, 0, b, FX_MXCSR);
        m_write(c, i, FX_ST, b + FX_ST, FX_XMM - FX_ST);
    }
    if (mxcsr) {
        m_write(c, i, FX_MXCSR, b + FX_MXCSR, 8);
    }
    if (save & XCR0_SSE) {
        m_write(c, i, FX_XMM, b + FX_XMM, 16 * count);
    }
}

/* ---- saving ---------------------------------------------------------------------------- */

static uint64_t requested(X86CPU *c)
{
    return c->xcr0 & ((uint64_t)R32(c, R_EDX) << 32 | R32(c, R_EAX));
}

/* #UD, #NM, #GP common to all; the area's size in bytes is probed by the caller. */
static void check(X86CPU *c, const Insn *i)
{
    if (!(c->cr4 & CR4_OSXSAVE)) {
        x86_raise(c, EXC_UD);
    }
    if (c->cr0 & CR0_TS) {
        x86_raise(c, EXC_NM);
    }
    if (insn_lin(c, i, XSAVE_EXTENDED, false) & 63) {
        x86_raise_err(c, EXC_GP, 0);
    }
}

/* Fault before the first byte is written. */
static void probe(X86CPU *c, const Insn *i, uint64_t mask, uint64_t xcomp)
{
    m_probe(c, i, 0, XSAVE_EXTENDED, true);
    for (unsigned n = 2; n < COMPONENTS; n++) {
        if (mask >> n & 1) {
            m_probe(c, i, component_offset(n, xcomp), components[n].size, true);
        }
    }
}

static void put_extended(X86CPU *c, const Insn *i, uint64_t mask, uint64_t xcomp)
{
    for (unsigned n = 2; n < COMPONENTS; n++) {
        if (mask >> n & 1) {
            put_component(c, i, n, component_offset(n, xcomp));
        }
    }
}

/* Standard format.  optimize: leave out what is in its initial configuration. */
static NOINLINE void save_standard(X86CPU *c, const Insn *i, bool optimize)
{
    uint8_t header[8];

    check(c, i);
    uint64_t mask = requested(c), used = in_use(c, x86_fx_xmm_count(i));
    uint64_t save = optimize ? mask & used : mask;
    probe(c, i, save, 0);
    m_read(c, i, XSAVE_XSTATE_BV, header, 8);
    put_legacy(c, i, save, mask & (XCR0_SSE | XCR0_AVX));
    put_extended(c, i, save, 0);
    st64_le(header, (ld64_le(header) & ~mask) | (mask & used));
    m_write(c, i, XSAVE_XSTATE_BV, header, 8);
}

static NOINLINE void save_compacted(X86CPU *c, const Insn *i)
{
    uint8_t header[16];

    check(c, i);
    uint64_t mask = requested(c), used = in_use(c, x86_fx_xmm_count(i));
    if (x86_get_mxcsr(c) != MXCSR_RESET) {
        used |= XCR0_SSE;
    }
    uint64_t save = mask & used, xcomp = mask | XCOMP_COMPACTED;
    probe(c, i, save, xcomp);
    put_legacy(c, i, save, save & XCR0_SSE);
    put_extended(c, i, save, xcomp);
    st64_le(header, save);
    st64_le(header + 8, xcomp);
    m_write(c, i, XSAVE_XSTATE_BV, header, sizeof(header));
}

HANDLER(xsave)
{
    save_standard(c, i, false);
}
HANDLER(xsaveopt)
{
    save_standard(c, i, true);
}
HANDLER(xsavec)
{
    save_compacted(c, i);
}
HANDLER(xsaves)                         /* row: CPL 0 */
{
    save_compacted(c, i);
}

/* ---- restoring ------------------------------------------------------------------------- */

static void bad_header(X86CPU *c)
{
    x86_raise_err(c, EXC_GP, 0);
}

/* The header's rules (SDM volume 1, 13.8 and 13.12).  compact_only: XRSTORS. */
static void check_header(X86CPU *c, const uint8_t *h, bool compact_only)
{
    uint64_t bv = ld64_le(h), xcomp = ld64_le(h + 8);
    unsigned zero_from = 8;

    if (xcomp & XCOMP_COMPACTED && (compact_only || x86_has(c, CPUID_XSAVEC))) {
        if (xcomp & ~XCOMP_COMPACTED & ~c->xcr0 || bv & ~xcomp) {
            bad_header(c);
        }
        zero_from = 16;
    } else if (compact_only || bv & ~c->xcr0) {
        bad_header(c);
    }
    /* the standard format looks at bytes 8-23 only */
    unsigned zero_to = zero_from == 8 ? 24 : 64;
    for (unsigned k = zero_from; k < zero_to; k++) {
        if (h[k]) {
            bad_header(c);
        }
    }
}

static void get_avx(X86CPU *c, unsigned count, const uint8_t *b)
{
    for (unsigned k = 0; k < count; k++) {
        c->v[k].q[2] = b ? ld64_le(b + 16 * k) : 0;
        c->v[k].q[3] = b ? ld64_le(b + 16 * k + 8) : 0;
    }
}

static void reset_x87(X86CPU *c)
{
    x86_fpu_init(c);
    for (unsigned n = 0; n < 8; n++) {
        c->fpu.st[n] = (F80) { 0, 0 };
    }
}

/*
 * Everything is read and checked before anything is loaded.  In the standard format MXCSR
 * comes from memory whenever SSE or AVX is asked for; in the compacted one it is a part of
 * SSE and has an initial value.
 */
static NOINLINE void restore(X86CPU *c, const Insn *i, bool compact_only)
{
    uint8_t legacy[FX_SIZE], header[64], avx[256], pkru[8] = { 0 };
    static const uint8_t no_xmm[FX_SIZE];
    unsigned count = x86_fx_xmm_count(i);

    check(c, i);
    uint64_t mask = requested(c);
    m_read(c, i, XSAVE_HEADER, header, sizeof(header));
    check_header(c, header, compact_only);
    uint64_t bv = ld64_le(header), xcomp = ld64_le(header + 8), load = mask & bv;
    bool compacted = xcomp & XCOMP_COMPACTED;
    bool mxcsr = compacted ? load & XCR0_SSE : mask & (XCR0_SSE | XCR0_AVX);

    m_read(c, i, 0, legacy, FX_SIZE);
    if (load & XCR0_AVX) {
        m_read(c, i, component_offset(2, xcomp), avx, 16 * count);
    }
    if (load & XCR0_PKRU) {
        m_read(c, i, component_offset(COMPONENT_PKRU, xcomp), pkru, 8);
    }
    if (mxcsr && ld32_le(legacy + FX_MXCSR) & ~MXCSR_VALID) {
        x86_raise_err(c, EXC_GP, 0);
    }

    if (load & XCR0_X87) {
        x86_fx_get_x87(c, i->flags & IF_W, legacy);
    } else if (mask & XCR0_X87) {
        reset_x87(c);
    }
    if (mxcsr) {
        x86_set_mxcsr(c, ld32_le(legacy + FX_MXCSR));
    } else if (compacted && mask & XCR0_SSE) {
        x86_set_mxcsr(c, MXCSR_RESET);
    }
    if (mask & XCR0_SSE) {
        x86_fx_get_xmm(c, count, load & XCR0_SSE ? legacy : no_xmm);
    }
    if (mask & XCR0_AVX) {
        get_avx(c, count, load & XCR0_AVX ? avx : NULL);
    }
    if (mask & XCR0_PKRU) {
        x86_set_pkru(c, ld32_le(pkru));
    }
}
HANDLER(xrstor)
{
    restore(c, i, false);
}
HANDLER(xrstors)                        /* row: CPL 0 */
{
    restore(c, i, true);
}
