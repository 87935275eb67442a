/* SPDX-License-Identifier: MIT */
/*
 * System and miscellaneous instructions: fetch the operands, leave the work to the helpers.
 */
#include "target-i386/interp.h"

#include <errno.h>
#include <sys/random.h>
#include "util/timer.h"

#define SIZE(i) (1u << (i)->osz)

/* ---- ports -------------------------------------------------------------------------------------- */

static inline void do_in(X86CPU *c, const Insn *i, uint16_t port)
{
    x86_check_io(c, port, SIZE(i));
    uint32_t v = x86_in(c, port, SIZE(i));
    reg_st(c, i->osz ? R_EAX : REG8(R_EAX), i->osz, v);
}
static inline void do_out(X86CPU *c, const Insn *i, uint16_t port)
{
    x86_check_io(c, port, SIZE(i));
    x86_out(c, port, c->r[R_EAX] & x86_size_mask[i->osz], SIZE(i));
}
HANDLER(in_i)  { do_in(c, i, i->imm); }
HANDLER(in_d)  { do_in(c, i, R16(c, R_EDX)); }
HANDLER(out_i) { do_out(c, i, i->imm); }
HANDLER(out_d) { do_out(c, i, R16(c, R_EDX)); }

/* ---- flags ----------------------------------------------------------------------------------------- */

FAST_HANDLER(clc) { flags_write(c, FL_CF, 0); NEXT; }
FAST_HANDLER(stc) { flags_write(c, FL_CF, FL_CF); NEXT; }
FAST_HANDLER(cmc) { flags_write(c, FL_CF, flag_cf(c) ? 0 : FL_CF); NEXT; }
FAST_HANDLER(cld) { c->rflags &= ~(uint64_t)FL_DF; NEXT; }
FAST_HANDLER(std) { c->rflags |= FL_DF; NEXT; }
HANDLER(cli) { x86_cli(c); }
HANDLER(sti) { x86_sti(c); }
HANDLER(salc) { WR8(c, REG8(R_EAX), flag_cf(c) ? 0xff : 0); }

/* ---- control and debug registers, MSRs --------------------------------------------------------------- */

HANDLER(mov_rc) { reg_st(c, i->rm, i->osz, x86_read_cr(c, i->reg)); }
HANDLER(mov_cr) { x86_write_cr(c, i->reg, reg_ld(c, i->rm, i->osz)); }
HANDLER(mov_rd) { reg_st(c, i->rm, i->osz, x86_read_dr(c, i->reg)); }
HANDLER(mov_dr) { x86_write_dr(c, i->reg, reg_ld(c, i->rm, i->osz)); }
HANDLER(clts)   { x86_clts(c); }
HANDLER(lmsw)   { x86_lmsw(c, i->flags & IF_MEM ? m_ld16(c, i) : R16(c, i->rm)); }
HANDLER(smsw)
{
    uint64_t v = x86_smsw(c);
    if (i->flags & IF_MEM) {
        m_st16(c, i, v);
    } else {
        reg_st(c, i->rm, i->osz, v);
    }
}
HANDLER(rdmsr)  { x86_rdmsr(c); }
HANDLER(wrmsr)  { x86_wrmsr(c); }
HANDLER(rdtsc)  { x86_rdtsc(c); }
HANDLER(rdtscp) { x86_rdtscp(c); }
HANDLER(rdpmc)  { x86_rdpmc(c); }
HANDLER(rdpid)  { reg_st(c, i->rm, i->flags & IF_CODE64 ? 3 : 2, x86_rdpid(c)); }
HANDLER(cpuid)  { x86_insn_cpuid(c); }
HANDLER(xgetbv) { x86_xgetbv(c); }
HANDLER(xsetbv) { x86_xsetbv(c); }
HANDLER(rdpkru) { x86_rdpkru(c); }
HANDLER(wrpkru) { x86_wrpkru(c); }
HANDLER(swapgs) { x86_swapgs(c); }
HANDLER(rdfsbase) { reg_st(c, i->rm, i->osz, x86_rdsegbase(c, R_FS, SIZE(i))); }
HANDLER(rdgsbase) { reg_st(c, i->rm, i->osz, x86_rdsegbase(c, R_GS, SIZE(i))); }
HANDLER(wrfsbase) { x86_wrsegbase(c, R_FS, reg_ld(c, i->rm, i->osz), SIZE(i)); }
HANDLER(wrgsbase) { x86_wrsegbase(c, R_GS, reg_ld(c, i->rm, i->osz), SIZE(i)); }
HANDLER(vmcall) { x86_hypercall(c); }
HANDLER(clac)   { x86_clac(c); }
HANDLER(stac)   { x86_stac(c); }
HANDLER(wbinvd) { x86_wbinvd(c); }

/* ---- tables and selectors -------------------------------------------------------------------------------- */

static inline void store_table(X86CPU *c, const Insn *i, const DescTable *t)
{
    unsigned n = i->flags & IF_CODE64 ? 8 : 4;
    x86_check_umip(c);
    uint64_t la = insn_lin(c, i, 2 + n, true);
    tcg_probe(&c->cpu, data_mode(c), la, 2, TLB_WRITE);
    tcg_probe(&c->cpu, data_mode(c), la + 2, n, TLB_WRITE);
    st16(c, i, la, t->limit);
    stx(c, i, la + 2, n == 8 ? 3 : 2, t->base);
}
static inline uint64_t load_table(X86CPU *c, const Insn *i, uint16_t *limit)
{
    unsigned n = i->flags & IF_CODE64 ? 8 : 4;
    uint64_t la = insn_lin(c, i, 2 + n, false);
    *limit = ld16(c, i, la);
    return ldx(c, i, la + 2, n == 8 ? 3 : 2);
}
HANDLER(sgdt) { store_table(c, i, &c->gdt); }
HANDLER(sidt) { store_table(c, i, &c->idt); }
HANDLER(lgdt)
{
    uint16_t limit;
    uint64_t base = load_table(c, i, &limit);
    x86_lgdt(c, limit, base, i->flags & IF_CODE64 ? 8 : SIZE(i));
}
HANDLER(lidt)
{
    uint16_t limit;
    uint64_t base = load_table(c, i, &limit);
    x86_lidt(c, limit, base, i->flags & IF_CODE64 ? 8 : SIZE(i));
}

static inline uint16_t selector(X86CPU *c, const Insn *i)
{
    return i->flags & IF_MEM ? m_ld16(c, i) : R16(c, i->rm);
}
static inline void store_selector(X86CPU *c, const Insn *i, uint16_t v)
{
    if (i->flags & IF_MEM) {
        m_st16(c, i, v);
    } else {
        reg_st(c, i->rm, i->osz, v);
    }
}
HANDLER(sldt) { store_selector(c, i, x86_sldt(c)); }
HANDLER(str)  { store_selector(c, i, x86_str(c)); }
HANDLER(lldt) { x86_lldt(c, selector(c, i)); }
HANDLER(ltr)  { x86_ltr(c, selector(c, i)); }
HANDLER(verr) { flags_write(c, FL_ZF, x86_verr(c, selector(c, i)) ? FL_ZF : 0); }
HANDLER(verw) { flags_write(c, FL_ZF, x86_verw(c, selector(c, i)) ? FL_ZF : 0); }
HANDLER(lar)
{
    uint32_t v = 0;
    bool ok = x86_lar(c, selector(c, i), &v);
    flags_write(c, FL_ZF, ok ? FL_ZF : 0);
    if (ok) {
        reg_st(c, i->reg, i->osz, v);
    }
}
HANDLER(lsl)
{
    uint32_t v = 0;
    bool ok = x86_lsl(c, selector(c, i), &v);
    flags_write(c, FL_ZF, ok ? FL_ZF : 0);
    if (ok) {
        reg_st(c, i->reg, i->osz, v);
    }
}
HANDLER(arpl)
{
    bool zf;
    if (i->flags & IF_MEM) {
        /* Real processors write, and check for it, only when the value changes. */
        uint16_t v = x86_arpl(c, m_ld16(c, i), R16(c, i->reg), &zf);
        if (zf) {
            m_st16(c, i, v);
        }
    } else {
        WR16(c, i->rm, x86_arpl(c, R16(c, i->rm), R16(c, i->reg), &zf));
    }
    flags_write(c, FL_ZF, zf ? FL_ZF : 0);
}

/* BOUND: the two limits are signed; #BR outside. */
HANDLER(bound)
{
    unsigned n = SIZE(i);
    uint64_t la = insn_lin(c, i, 2 * n, false);
    uint64_t lo = ldx(c, i, la, i->osz), hi = ldx(c, i, la + n, i->osz);
    int64_t v = i->osz == 1 ? (int16_t)R16(c, i->reg) : (int32_t)R32(c, i->reg);
    int64_t l = i->osz == 1 ? (int16_t)lo : (int32_t)lo, h = i->osz == 1 ? (int16_t)hi : (int32_t)hi;
    if (v < l || v > h) {
        x86_raise(c, EXC_BR);
    }
}

/* ---- TLB, caches, prefetch --------------------------------------------------------------------------------- */

/* No limit check: the effective address is used as it is, with the segment's base. */
static inline uint64_t unchecked_lin(X86CPU *c, const Insn *i)
{
    uint64_t ea = insn_ea(c, i);
    if (!(i->flags & IF_SEG)) {
        return ea;
    }
    return i->flags & IF_CODE64 ? ea + c->seg[i->seg].base
                                : (uint32_t)(ea + c->seg[i->seg].base);
}
HANDLER(invlpg) { x86_invlpg(c, unchecked_lin(c, i)); }
HANDLER(invpcid)
{
    uint64_t la = insn_lin(c, i, 16, false);
    uint64_t lo = ld64(c, i, la), hi = ld64(c, i, la + 8);
    x86_invpcid(c, reg_ld(c, i->reg, i->flags & IF_CODE64 ? 3 : 2), lo, hi);
}
/* CLFLUSH and its kind count as a load of the byte for faults. */
HANDLER(clflush)
{
    uint64_t la = insn_lin(c, i, 1, false);
    tcg_probe(&c->cpu, data_mode(c), la, 1, TLB_READ);
}

/* ---- random numbers ------------------------------------------------------------------------------------------- */

/* CF alone says whether it worked; the other five flags are cleared. */
static inline void random_number(X86CPU *c, const Insn *i)
{
    uint64_t v = 0;
    ssize_t got;
    do {
        got = getrandom(&v, sizeof(v), 0);
    } while (got < 0 && errno == EINTR);
    bool ok = got == sizeof(v);
    reg_st(c, i->rm, i->osz, ok ? v : 0);
    flags_write_all(c, ok ? FL_CF : 0);
}
HANDLER(rdrand) { random_number(c, i); }
HANDLER(rdseed) { random_number(c, i); }

/* ---- undefined, idling, ordering ---------------------------------------------------------------------------------- */

HANDLER(ud) { x86_raise(c, EXC_UD); }

/* The byte at DS:rAX is accessed like a load. */
HANDLER(monitor)
{
    uint64_t ea = c->r[R_EAX] & x86_size_mask[i->asz];
    uint64_t la = i->flags & IF_SEG ? seg_lin(c, i, i->seg, ea, 1, false) : ea;
    ld8(c, i, la);
    x86_monitor(c, la);
}
FAST_HANDLER(fence)
{
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    NEXT;
}
/* The block ends, so that what follows is fetched anew. */
FAST_HANDLER(serialize) { NEXT; }
