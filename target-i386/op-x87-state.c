/* SPDX-License-Identifier: MIT */
/*
 * x87: the environment and state images of FSTENV, FSAVE and FXSAVE, and FNINIT's reset.
 *
 * The environment comes in four layouts (SDM volume 1, figures 8-9 to 8-12): 16 or 32 bits by
 * operand size, with selector and offset in protected mode (and 64-bit mode, where the upper
 * halves of FIP and FDP are lost) or with a linear address in real and virtual-8086 mode.
 *
 * An image is read whole before anything changes, and written in one piece that faults as a
 * whole.
 */
#include "target-i386/cpuid.h"
#include "target-i386/fxsave.h"
#include "target-i386/sse-env.h"
#include "target-i386/x87.h"

/* FNINIT.  The registers keep their contents. */
void x86_fpu_init(X86CPU *c)
{
    FpuState *f = &c->fpu;

    f->cw = CW_RESET;
    f->sw = 0;
    f->top = 0;
    f->empty = 0xff;
    f->fop = 0;
    f->fip = f->fdp = 0;
    f->fcs = f->fds = 0;
    x87_update_es(c);
}

uint16_t x86_fpu_status(const X86CPU *c)
{
    return c->fpu.sw | c->fpu.top << SW_TOP_SHIFT;
}

static void set_status(X86CPU *c, uint16_t sw)
{
    c->fpu.sw = sw & (SW_CC | SW_SF | FP_ALL);
    c->fpu.top = sw >> SW_TOP_SHIFT & 7;
}

static uint16_t fcs(const X86CPU *c)
{
    return x86_has(c, CPUID_ZERO_FCS_FDS) ? 0 : c->fpu.fcs;
}
static uint16_t fds(const X86CPU *c)
{
    return x86_has(c, CPUID_ZERO_FCS_FDS) ? 0 : c->fpu.fds;
}

/* The two-bit tags of the eight physical registers: valid, zero, special, empty. */
uint16_t x86_fpu_tags(const X86CPU *c)
{
    uint16_t tags = 0;

    for (unsigned n = 0; n < 8; n++) {
        F80Class cls = f80_classify(c->fpu.st[n]);
        unsigned tag = c->fpu.empty >> n & 1 ? 3 : cls == F80_ZERO ? 1 : cls != F80_NORMAL ? 2 : 0;
        tags |= tag << (2 * n);
    }
    return tags;
}

/* ---- FSTENV, FLDENV -------------------------------------------------------------------- */

static bool real_layout(const X86CPU *c)
{
    return !(c->cr0 & CR0_PE) || c->rflags & FL_VM;
}

static unsigned env_size(const Insn *i)
{
    return i->osz >= 2 ? 28 : 14;
}

static void put_env(const X86CPU *c, const Insn *i, uint8_t *b)
{
    uint32_t w[7] = { c->fpu.cw, x86_fpu_status(c), x86_fpu_tags(c) };
    bool wide = i->osz >= 2;

    if (real_layout(c)) {
        uint32_t ip = fcs(c) * 16 + (uint32_t)c->fpu.fip;
        uint32_t dp = fds(c) * 16 + (uint32_t)c->fpu.fdp;
        w[3] = ip;
        w[4] = (wide ? ip >> 16 << 12 : ip >> 16 << 12 & 0xf000) | c->fpu.fop;
        w[5] = dp;
        w[6] = dp >> 16 << 12;
    } else {
        w[3] = c->fpu.fip;
        w[4] = wide ? fcs(c) | (uint32_t)c->fpu.fop << 16 : fcs(c);
        w[5] = c->fpu.fdp;
        w[6] = fds(c);
    }
    if (!wide) {
        for (unsigned k = 0; k < 7; k++) {
            st16_le(b + 2 * k, w[k]);
        }
        return;
    }
    /* unused upper halves read as ones */
    static const uint8_t halves_real[7] = { 1, 1, 1, 1, 0, 1, 0 };
    static const uint8_t halves_prot[7] = { 1, 1, 1, 0, 0, 0, 1 };
    const uint8_t *half = real_layout(c) ? halves_real : halves_prot;
    for (unsigned k = 0; k < 7; k++) {
        st32_le(b + 4 * k, half[k] ? w[k] | 0xffff0000 : w[k]);
    }
}

static void get_env(X86CPU *c, const Insn *i, const uint8_t *b)
{
    uint32_t w[7];
    bool wide = i->osz >= 2;
    FpuState *f = &c->fpu;

    for (unsigned k = 0; k < 7; k++) {
        w[k] = wide ? ld32_le(b + 4 * k) : ld16_le(b + 2 * k);
    }
    f->cw = (w[0] & CW_VALID) | CW_ONE;
    set_status(c, w[1]);
    f->empty = 0;
    for (unsigned n = 0; n < 8; n++) {
        f->empty |= ((w[2] >> (2 * n) & 3) == 3) << n;
    }
    if (real_layout(c)) {
        f->fip = (w[3] & 0xffff) | (w[4] >> 12) << 16;
        f->fop = w[4] & 0x7ff;
        f->fdp = (w[5] & 0xffff) | (w[6] >> 12) << 16;
        f->fcs = f->fds = 0;
    } else {
        f->fip = w[3];
        f->fcs = w[4];
        if (wide) {
            f->fop = w[4] >> 16 & 0x7ff;
        }
        f->fdp = w[5];
        f->fds = w[6];
    }
    x87_update_es(c);
}

static NOINLINE void store_env(X86CPU *c, const Insn *i)
{
    uint8_t b[28];

    put_env(c, i, b);
    m_write(c, i, 0, b, env_size(i));
    c->fpu.cw |= FP_ALL;
    x87_update_es(c);
}
HANDLER(fnstenv)
{
    store_env(c, i);
}

static NOINLINE void load_env(X86CPU *c, const Insn *i)
{
    uint8_t b[28];

    m_read(c, i, 0, b, env_size(i));
    get_env(c, i, b);
}
HANDLER(fldenv)
{
    x87_wait(c);
    load_env(c, i);
}

/* ---- FSAVE, FRSTOR --------------------------------------------------------------------- */

static NOINLINE void save(X86CPU *c, const Insn *i)
{
    uint8_t b[28 + 80];
    unsigned size = env_size(i);

    put_env(c, i, b);
    for (unsigned n = 0; n < 8; n++) {
        F80 v = x87_read(c, n);
        st64_le(b + size + 10 * n, v.frac);
        st16_le(b + size + 10 * n + 8, v.se);
    }
    m_write(c, i, 0, b, size + 80);
    x86_fpu_init(c);
}
HANDLER(fnsave)
{
    save(c, i);
}

static NOINLINE void restore(X86CPU *c, const Insn *i)
{
    uint8_t b[28 + 80];
    unsigned size = env_size(i);

    m_read(c, i, 0, b, size + 80);
    get_env(c, i, b);
    for (unsigned n = 0; n < 8; n++) {
        *x87_st(c, n) = (F80) { .frac = ld64_le(b + size + 10 * n),
                                .se = ld16_le(b + size + 10 * n + 8) };
    }
}
HANDLER(frstor)
{
    x87_wait(c);
    restore(c, i);
}

/* ---- the FXSAVE image ------------------------------------------------------------------ */

void x86_fx_put_x87(const X86CPU *c, bool wide, uint8_t *b)
{
    const FpuState *f = &c->fpu;

    st16_le(b, f->cw);
    st16_le(b + 2, x86_fpu_status(c));
    b[4] = ~f->empty;
    b[5] = 0;
    st16_le(b + 6, f->fop);
    if (wide) {
        st64_le(b + 8, f->fip);
        st64_le(b + 16, f->fdp);
    } else {
        st32_le(b + 8, f->fip);
        st32_le(b + 12, fcs(c));
        st32_le(b + 16, f->fdp);
        st32_le(b + 20, fds(c));
    }
    for (unsigned n = 0; n < 8; n++) {
        F80 v = f->st[(f->top + n) & 7];
        st64_le(b + FX_ST + 16 * n, v.frac);
        st64_le(b + FX_ST + 16 * n + 8, v.se);
    }
}

void x86_fx_get_x87(X86CPU *c, bool wide, const uint8_t *b)
{
    FpuState *f = &c->fpu;

    f->cw = (ld16_le(b) & CW_VALID) | CW_ONE;
    set_status(c, ld16_le(b + 2));
    f->empty = ~b[4];
    f->fop = ld16_le(b + 6) & 0x7ff;
    f->fip = wide ? ld64_le(b + 8) : ld32_le(b + 8);
    f->fdp = wide ? ld64_le(b + 16) : ld32_le(b + 16);
    f->fcs = wide ? 0 : ld16_le(b + 12);
    f->fds = wide ? 0 : ld16_le(b + 20);
    for (unsigned n = 0; n < 8; n++) {
        const uint8_t *p = b + FX_ST + 16 * n;
        f->st[(f->top + n) & 7] = (F80) { .frac = ld64_le(p), .se = ld16_le(p + 8) };
    }
    x87_update_es(c);
}

void x86_fx_put_xmm(const X86CPU *c, unsigned count, uint8_t *b)
{
    for (unsigned n = 0; n < count; n++) {
        st64_le(b + FX_XMM + 16 * n, c->v[n].q[0]);
        st64_le(b + FX_XMM + 16 * n + 8, c->v[n].q[1]);
    }
}

void x86_fx_get_xmm(X86CPU *c, unsigned count, const uint8_t *b)
{
    for (unsigned n = 0; n < count; n++) {
        c->v[n].q[0] = ld64_le(b + FX_XMM + 16 * n);
        c->v[n].q[1] = ld64_le(b + FX_XMM + 16 * n + 8);
    }
}

/* ---- FXSAVE, FXRSTOR ------------------------------------------------------------------- */

static void check_aligned(X86CPU *c, const Insn *i)
{
    if (insn_lin(c, i, FX_SIZE, false) & 15) {
        x86_raise_err(c, EXC_GP, 0);
    }
}

/* Without OSFXSR the system doesn't know of XMM registers and MXCSR: they are left out.  Only
 * what belongs to the state is written, the last 96 bytes are software's. */
static NOINLINE void fxsave(X86CPU *c, const Insn *i)
{
    uint8_t b[FX_SIZE];
    unsigned count = x86_fx_xmm_count(i), end = FX_XMM;

    check_aligned(c, i);
    x86_fx_put_x87(c, i->flags & IF_W, b);
    st32_le(b + FX_MXCSR, x86_get_mxcsr(c));
    st32_le(b + FX_MXCSR_MASK, MXCSR_VALID);
    if (c->cr4 & CR4_OSFXSR) {
        x86_fx_put_xmm(c, count, b);
        end += 16 * count;
    }
    m_write(c, i, 0, b, end);
}
HANDLER(fxsave)
{
    fxsave(c, i);
}

static NOINLINE void fxrstor(X86CPU *c, const Insn *i)
{
    uint8_t b[FX_SIZE];

    check_aligned(c, i);
    m_read(c, i, 0, b, FX_SIZE);
    if (c->cr4 & CR4_OSFXSR) {
        if (ld32_le(b + FX_MXCSR) & ~MXCSR_VALID) {
            x86_raise_err(c, EXC_GP, 0);
        }
        x86_set_mxcsr(c, ld32_le(b + FX_MXCSR));
        x86_fx_get_xmm(c, x86_fx_xmm_count(i), b);
    }
    x86_fx_get_x87(c, i->flags & IF_W, b);
}
HANDLER(fxrstor)
{
    fxrstor(c, i);
}
