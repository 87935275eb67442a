/* SPDX-License-Identifier: MIT */
/*
 * System instructions: control and debug registers, cache and TLB maintenance, the interrupt
 * flag with its virtual twins, port access and its permission map, HLT and MWAIT, time stamps,
 * XCR0, protection keys.  MSRs are in msr.c.
 *
 * Sources: SDM 2 (the instructions), SDM 3A 2.5 (control registers), SDM 1 19.5 (I/O map),
 * SDM 3B 18.2 (debug registers), 21.3 (VME, PVI).
 */
#include "target-i386/seg.h"

#include "target-i386/cpuid.h"
#include "target-i386/msr.h"
#include "util/bql.h"
#include "util/log.h"
#include "util/timer.h"

static G_NORETURN void gp0(X86CPU *c)
{
    x86_raise_err(c, EXC_GP, 0);
}

/* ---- control registers ------------------------------------------------------------------ */

void x86_set_cr0(X86CPU *c, uint64_t val)
{
    uint64_t changed = c->cr0 ^ val;

    c->cr0 = val | CR0_ET;
    if (changed & CR0_PG) {
        if ((val & CR0_PG) && (c->efer & EFER_LME)) {
            c->efer |= EFER_LMA;
        } else if (!(val & CR0_PG)) {
            c->efer &= ~(uint64_t)EFER_LMA;
        }
    }
    if (changed & (CR0_PG | CR0_WP | CR0_PE)) {
        x86_tlb_flush(c);
    }
    x86_update_mode(c);
}

void x86_set_cr3(X86CPU *c, uint64_t val)
{
    c->cr3 = val & ~(1ull << 63);
    if (c->cr0 & CR0_PG) {
        x86_tlb_switch(c, (c->cr4 & CR4_PCIDE) && val >> 63);
    }
}

void x86_set_cr4(X86CPU *c, uint64_t val)
{
    uint64_t changed = c->cr4 ^ val;

    c->cr4 = val;
    if (changed & (CR4_PGE | CR4_PSE | CR4_PAE | CR4_SMEP | CR4_SMAP | CR4_PKE | CR4_PKS
                   | CR4_LA57 | CR4_PCIDE)) {
        x86_tlb_flush(c);
    }
    if (changed & CR4_DE) {
        x86_write_dr7(c, c->dr[7]);
    }
    x86_update_mode(c);
}

void x86_set_efer(X86CPU *c, uint64_t val)
{
    uint64_t changed = c->efer ^ val;

    c->efer = val;
    if (changed & (EFER_NXE | EFER_LMA)) {
        x86_tlb_flush(c);
    }
    x86_update_mode(c);
}

/* Does PAE paging (whose PDPTEs are loaded, not walked) hold with these registers? */
static bool pae_legacy(uint64_t cr0, uint64_t cr4, uint64_t efer)
{
    return (cr0 & CR0_PG) && (cr4 & CR4_PAE) && !(efer & EFER_LMA);
}

#define CR0_KNOWN (CR0_PE | CR0_MP | CR0_EM | CR0_TS | CR0_ET | CR0_NE | CR0_WP | CR0_AM \
                   | CR0_NW | CR0_CD | CR0_PG)

static void write_cr0(X86CPU *c, uint64_t val)
{
    uint64_t efer = c->efer;

    if (val >> 32 || ((val & CR0_PG) && !(val & CR0_PE))
        || ((val & CR0_NW) && !(val & CR0_CD))) {
        gp0(c);
    }
    val &= CR0_KNOWN;
    if ((val & CR0_PG) && !(c->cr0 & CR0_PG) && (efer & EFER_LME)) {
        unsigned tss = c->tr.attr >> DESC_TYPE_SHIFT & 15;
        if (!(c->cr4 & CR4_PAE) || (c->seg[R_CS].attr & DESC_L)
            || ((c->tr.attr & DESC_P) && tss < 8)) {
            gp0(c);
        }
        efer |= EFER_LMA;
    }
    if (!(val & CR0_PG) && (c->cr0 & CR0_PG)
        && (x86_code64(c) || (c->cr4 & CR4_PCIDE))) {
        gp0(c);
    }
    if (((val ^ c->cr0) & (CR0_PG | CR0_CD | CR0_NW)) && pae_legacy(val, c->cr4, efer)
        && !x86_load_pdptes(c, c->cr3)) {
        gp0(c);
    }
    x86_set_cr0(c, val);
}

static void write_cr3(X86CPU *c, uint64_t val)
{
    uint64_t rsvd = ~((1ull << c->phys_bits) - 1);

    if (!x86_long_mode(c)) {
        val = (uint32_t)val;
        rsvd = 0;
    } else if (c->cr4 & CR4_PCIDE) {
        rsvd &= ~(1ull << 63);
    }
    if (val & rsvd) {
        gp0(c);
    }
    if (pae_legacy(c->cr0, c->cr4, c->efer) && !x86_load_pdptes(c, val)) {
        gp0(c);
    }
    x86_set_cr3(c, val);
}

/* CR4 bits that exist by virtue of a feature. */
static const struct {
    uint32_t bit;
    uint16_t feature;
} cr4_features[] = {
    { CR4_VME | CR4_PVI, CPUID_VME },
    { CR4_TSD, CPUID_TSC },
    { CR4_DE, CPUID_DE },
    { CR4_PSE, CPUID_PSE },
    { CR4_PAE, CPUID_PAE },
    { CR4_MCE, CPUID_MCE },
    { CR4_PGE, CPUID_PGE },
    { CR4_PCE, CPUID_ALWAYS },
    { CR4_OSFXSR, CPUID_FXSR },
    { CR4_OSXMMEXCPT, CPUID_SSE },
    { CR4_UMIP, CPUID_UMIP },
    { CR4_LA57, CPUID_LA57 },
    { CR4_VMXE, CPUID_VMX },            /* of an accelerator that has it */
    { CR4_FSGSBASE, CPUID_FSGSBASE },
    { CR4_PCIDE, CPUID_PCID },
    { CR4_OSXSAVE, CPUID_XSAVE },
    { CR4_SMEP, CPUID_SMEP },
    { CR4_SMAP, CPUID_SMAP },
    { CR4_PKE, CPUID_PKU },
    { CR4_PKS, CPUID_PKS },
};

uint64_t x86_cr4_valid(const X86CPU *c)
{
    uint64_t valid = 0;

    for (unsigned i = 0; i < G_N_ELEMENTS(cr4_features); i++) {
        if (x86_has(c, cr4_features[i].feature)) {
            valid |= cr4_features[i].bit;
        }
    }
    return valid;
}

static void write_cr4(X86CPU *c, uint64_t val)
{
    uint64_t changed = c->cr4 ^ val;

    if (val & ~x86_cr4_valid(c)) {
        gp0(c);
    }
    if (x86_long_mode(c) && (!(val & CR4_PAE) || (changed & CR4_LA57))) {
        gp0(c);
    }
    if ((changed & val & CR4_PCIDE) && (!x86_long_mode(c) || (c->cr3 & 0xfff))) {
        gp0(c);
    }
    if ((changed & (CR4_PAE | CR4_PGE | CR4_PSE | CR4_SMEP))
        && pae_legacy(c->cr0, val, c->efer) && !x86_load_pdptes(c, c->cr3)) {
        gp0(c);
    }
    x86_set_cr4(c, val);
}

/* CR8 is the upper half of the local APIC's task priority. */
static uint64_t read_cr8(X86CPU *c)
{
    if (!c->apic) {
        return c->cr8;
    }
    bql_lock();
    uint64_t val = c->apic_ops->get_tpr(c->apic) >> 4;
    bql_unlock();
    return val;
}

static void write_cr8(X86CPU *c, uint64_t val)
{
    if (val & ~15ull) {
        gp0(c);
    }
    c->cr8 = val;
    if (c->apic) {
        bql_lock();
        c->apic_ops->set_tpr(c->apic, val << 4);
        bql_unlock();
    }
}

uint64_t x86_read_cr(X86CPU *c, unsigned n)
{
    if (n > 4 && n != 8) {
        x86_raise(c, EXC_UD);
    }
    x86_check_cpl0(c);
    switch (n) {
    case 0: return c->cr0;
    case 2: return c->cr2;
    case 3: return c->cr3;
    case 4: return c->cr4;
    case 8: return read_cr8(c);
    default: x86_raise(c, EXC_UD);
    }
}

void x86_write_cr(X86CPU *c, unsigned n, uint64_t val)
{
    if (n == 1 || (n > 4 && n != 8)) {
        x86_raise(c, EXC_UD);
    }
    x86_check_cpl0(c);
    if (!x86_code64(c)) {
        val = (uint32_t)val;
    }
    switch (n) {
    case 0: write_cr0(c, val); break;
    case 2: c->cr2 = val; break;
    case 3: write_cr3(c, val); break;
    case 4: write_cr4(c, val); break;
    case 8: write_cr8(c, val); break;
    }
}

void x86_clts(X86CPU *c)
{
    x86_check_cpl0(c);
    x86_set_cr0(c, c->cr0 & ~(uint64_t)CR0_TS);
}

/* PE can be set but not cleared; the other three follow the operand. */
void x86_lmsw(X86CPU *c, uint16_t val)
{
    x86_check_cpl0(c);
    uint64_t keep = c->cr0 & ~(uint64_t)(CR0_MP | CR0_EM | CR0_TS);
    x86_set_cr0(c, keep | (val & (CR0_PE | CR0_MP | CR0_EM | CR0_TS)));
}

uint64_t x86_smsw(X86CPU *c)
{
    x86_check_umip(c);
    return c->cr0;
}

/* ---- debug registers ------------------------------------------------------------------------ */

/* The register n means, after all checks. */
static unsigned dr_number(X86CPU *c, unsigned n)
{
    if (n > 7 || ((n == 4 || n == 5) && (c->cr4 & CR4_DE))) {
        x86_raise(c, EXC_UD);
    }
    x86_check_cpl0(c);
    if (c->dr[7] & DR7_GD) {
        x86_raise_db(c, DB_BD);
    }
    return n == 4 || n == 5 ? n + 2 : n;
}

uint64_t x86_read_dr(X86CPU *c, unsigned n)
{
    n = dr_number(c, n);
    return c->dr[n];
}

void x86_write_dr(X86CPU *c, unsigned n, uint64_t val)
{
    uint8_t active = c->dr7_active;

    n = dr_number(c, n);
    if (!x86_code64(c)) {
        val = (uint32_t)val;
    }
    if (n >= 6 && val >> 32) {
        gp0(c);
    }
    if (n == 6) {
        c->dr[6] = (val & 0xe00f) | DR6_ONES;
    } else if (n == 7) {
        x86_write_dr7(c, val);
    } else {
        c->dr[n] = val;
    }
    if ((active | c->dr7_active) & DR7_ACTIVE_DATA && n != 6) {
        x86_tlb_flush(c);           /* watched pages are marked in the TLB */
    }
}

/* ---- TLB and caches ------------------------------------------------------------------------- */

void x86_invlpg(X86CPU *c, uint64_t la)
{
    x86_check_cpl0(c);
    x86_tlb_flush_page(c, la);
}

void x86_invpcid(X86CPU *c, uint64_t type, uint64_t desc_lo, uint64_t desc_hi)
{
    x86_check_cpl0(c);
    if (type > 3 || (type < 2 && (desc_lo >> 12))
        || (type < 2 && !(c->cr4 & CR4_PCIDE) && desc_lo)
        || (type == 0 && !x86_canonical_register(c, desc_hi))) {
        gp0(c);
    }
    switch (type) {
    case 0:
        x86_psc_flush(c);
        tcg_tlb_flush_space_page(&c->cpu, desc_lo, desc_hi);
        break;
    case 1:
        tcg_tlb_flush_space(&c->cpu, desc_lo);
        break;
    case 2:
        x86_tlb_flush(c);
        break;
    default:
        x86_tlb_flush_nonglobal(c);
    }
}

void x86_wbinvd(X86CPU *c)
{
    x86_check_cpl0(c);
}

/* ---- flags ------------------------------------------------------------------------------------ */

static void set_ac(X86CPU *c, bool on)
{
    if (!x86_has(c, CPUID_SMAP) || x86_cpl(c)) {
        x86_raise(c, EXC_UD);
    }
    c->rflags = on ? c->rflags | FL_AC : c->rflags & ~(uint64_t)FL_AC;
    x86_update_mode(c);
}

void x86_clac(X86CPU *c)
{
    set_ac(c, false);
}

void x86_stac(X86CPU *c)
{
    set_ac(c, true);
}

void (*x86_hypercall_hook)(X86CPU *c);

void x86_hypercall(X86CPU *c)
{
    if (!x86_hypercall_hook) {
        x86_raise(c, EXC_UD);
    }
    x86_hypercall_hook(c);
}

/* Virtual-8086 mode whose IOPL does not let IF be touched. */
static bool v86_restricted(const X86CPU *c)
{
    return (c->rflags & FL_VM) && (c->rflags & FL_IOPL) != FL_IOPL;
}

void x86_popf_check(X86CPU *c, unsigned opsize)
{
    if (v86_restricted(c) && !((c->cr4 & CR4_VME) && opsize == 2)) {
        gp0(c);
    }
}

uint64_t x86_pushf(X86CPU *c, unsigned opsize)
{
    x86_popf_check(c, opsize);
    uint64_t image = x86_get_flags(c) & ~(uint64_t)(FL_VM | FL_RF);
    if (v86_restricted(c)) {
        image = (image & ~(uint64_t)FL_IF) | FL_IOPL | (image & FL_VIF ? FL_IF : 0);
    }
    return image;
}

void x86_popf(X86CPU *c, uint64_t image, unsigned opsize)
{
    unsigned cpl = x86_cpl(c), iopl = (c->rflags & FL_IOPL) >> 12;
    uint64_t mask = FL_ARITH | FL_TF | FL_DF | FL_NT;

    x86_popf_check(c, opsize);
    if (v86_restricted(c)) {
        if ((image & FL_TF) || ((image & FL_IF) && (c->rflags & FL_VIP))) {
            gp0(c);
        }
        image = (image & ~(uint64_t)FL_VIF) | (image & FL_IF ? FL_VIF : 0);
        mask |= FL_VIF;
    } else {
        if (cpl <= iopl) {
            mask |= FL_IF;
        }
        if (cpl == 0) {
            mask |= FL_IOPL;
        }
        if (opsize > 2) {
            mask |= FL_AC | FL_ID;
        }
    }
    x86_set_flags(c, (x86_get_flags(c) & ~(mask | FL_RF)) | (image & mask) | FL_1);
    x86_update_mode(c);
    x86_recheck_irq(c);
}

/* Which flag CLI and STI mean: IF, or VIF under VME and PVI; #GP(0) if neither. */
static uint32_t interrupt_flag(X86CPU *c)
{
    unsigned iopl = (c->rflags & FL_IOPL) >> 12;

    if (x86_cpl(c) <= iopl) {
        return FL_IF;
    }
    if ((c->rflags & FL_VM) ? (c->cr4 & CR4_VME) : (c->cr4 & CR4_PVI) && x86_cpl(c) == 3) {
        return FL_VIF;
    }
    gp0(c);
}

void x86_cli(X86CPU *c)
{
    c->rflags &= ~(uint64_t)interrupt_flag(c);
}

void x86_sti(X86CPU *c)
{
    uint32_t flag = interrupt_flag(c);

    if (flag == FL_VIF && (c->rflags & FL_VIP)) {
        gp0(c);
    }
    if (flag == FL_IF && !(c->rflags & FL_IF)) {
        c->int_shadow = true;
    }
    c->rflags |= flag;
    x86_recheck_irq(c);
}

/* ---- ports -------------------------------------------------------------------------------------- */

void x86_check_io(X86CPU *c, uint16_t port, unsigned size)
{
    if (!(c->cr0 & CR0_PE)
        || (!(c->rflags & FL_VM) && x86_cpl(c) <= (c->rflags & FL_IOPL) >> 12)) {
        return;
    }
    /* Only a 32-bit (or 64-bit) TSS has a map; two bytes are always read. */
    unsigned type = c->tr.attr >> DESC_TYPE_SHIFT & 15;
    if (!(c->tr.attr & DESC_P) || !(type & 8) || c->tr.limit < 0x67) {
        gp0(c);
    }
    uint64_t mask = linear_mask(c);
    uint32_t at = x86_ld(c, (c->tr.base + 0x66) & mask, 2, MMU_IMPLICIT) + port / 8;
    if (at + 1 > c->tr.limit) {
        gp0(c);
    }
    unsigned bits = x86_ld(c, (c->tr.base + at) & mask, 2, MMU_IMPLICIT) >> (port & 7);
    if (bits & ((1u << size) - 1)) {
        gp0(c);
    }
}

/* For the I/O restart of SMM: where the access was, and what. */
static void note_io(X86CPU *c, uint16_t port, unsigned size, bool in)
{
    c->io_rip = c->rip;
    c->io_info = (uint32_t)port << 16 | size << 4 | in | 2;
}

uint32_t x86_in(X86CPU *c, uint16_t port, unsigned size)
{
    note_io(c, port, size, true);
    uint32_t val = tcg_io_ld(&c->cpu, c->cpu.as_io, port, size);
    if (c->dr7_active & DR7_ACTIVE_IO) {
        x86_io_breakpoint(c, port, size);
    }
    return val;
}

void x86_out(X86CPU *c, uint16_t port, uint32_t val, unsigned size)
{
    note_io(c, port, size, false);
    tcg_io_st(&c->cpu, c->cpu.as_io, port, val, size);
    if (c->dr7_active & DR7_ACTIVE_IO) {
        x86_io_breakpoint(c, port, size);
    }
}

/* Nobody wants to see each access. */
static bool io_unwatched(const X86CPU *c)
{
    return !tcg_io_hook && !(c->dr7_active & DR7_ACTIVE_IO);
}

unsigned x86_in_run(X86CPU *c, uint16_t port, unsigned size, void *buf, unsigned n)
{
    note_io(c, port, size, true);
    return io_unwatched(c)
           ? address_space_ld_repeat(c->cpu.as_io, port, size, buf, n, &c->cpu.request) : 0;
}

unsigned x86_out_run(X86CPU *c, uint16_t port, unsigned size, const void *buf, unsigned n)
{
    note_io(c, port, size, false);
    return io_unwatched(c)
           ? address_space_st_repeat(c->cpu.as_io, port, size, buf, n, &c->cpu.request) : 0;
}

/* ---- idling --------------------------------------------------------------------------------------- */

void x86_hlt(X86CPU *c, uint64_t next)
{
    x86_check_cpl0(c);
    c->rip = next;
    c->cpu.halted = true;
}

void x86_monitor(X86CPU *c, uint64_t la)
{
    if (x86_cpl(c)) {
        x86_raise(c, EXC_UD);
    }
    if ((uint32_t)c->r[R_ECX]) {
        gp0(c);
    }
    c->mwait_addr = la;
}

/*
 * A store of another CPU must end the wait.  Nobody tells us of stores, so with several CPUs
 * MWAIT ends at once (which the manual allows: guests loop around it); alone, only interrupts
 * can.
 */
void x86_mwait(X86CPU *c, uint64_t next)
{
    if (x86_cpl(c)) {
        x86_raise(c, EXC_UD);
    }
    if ((uint32_t)c->r[R_ECX]) {
        gp0(c);
    }
    if (cpus->len > 1) {
        x86_pause(c, next);
        return;
    }
    c->rip = next;
    c->in_mwait = true;
    c->cpu.halted = true;
}

/*
 * Whoever waits for another vCPU lets it run.  A loop that looks at the TSC waits for time to go
 * by: where vCPUs have threads of their own nobody would gain, and on a busy host the interrupts
 * that the loop counts would find it away.
 */
void x86_pause(X86CPU *c, uint64_t next)
{
    if (!c->saw_tsc || cpus_one_thread) {
        cpu_yield(&c->cpu);
    }
    c->saw_tsc = false;
    c->rip = next;
}

/* ---- time ------------------------------------------------------------------------------------------- */

uint64_t x86_read_tsc(X86CPU *c)
{
    /* as muldiv64 computes it, without its long division: seconds and the rest apart */
    uint64_t ns = vclock_ns(), rest = ns % NS_PER_SEC;
    if (unlikely(c->tsc_hz > UINT64_MAX / NS_PER_SEC)) {
        return muldiv64(ns, c->tsc_hz, NS_PER_SEC) + c->tsc_offset;
    }
    return ns / NS_PER_SEC * c->tsc_hz + rest * c->tsc_hz / NS_PER_SEC + c->tsc_offset;
}

int64_t x86_tsc_to_vclock(X86CPU *c, uint64_t tsc)
{
    uint64_t ticks = tsc - c->tsc_offset;

    if (c->tsc_hz == 0 || (int64_t)ticks < 0) {
        return 0;
    }
    /* Round up: at that time the TSC must have reached the value. */
    unsigned __int128 ns = ((unsigned __int128)ticks * NS_PER_SEC + c->tsc_hz - 1) / c->tsc_hz;
    return ns > INT64_MAX ? INT64_MAX : (int64_t)ns;
}

static void set_edx_eax(X86CPU *c, uint64_t val)
{
    c->r[R_EAX] = (uint32_t)val;
    c->r[R_EDX] = val >> 32;
}

static void check_tsd(X86CPU *c)
{
    if ((c->cr4 & CR4_TSD) && x86_cpl(c)) {
        gp0(c);
    }
}

void x86_rdtsc(X86CPU *c)
{
    check_tsd(c);
    c->saw_tsc = true;
    set_edx_eax(c, x86_read_tsc(c));
}

void x86_rdtscp(X86CPU *c)
{
    check_tsd(c);
    c->saw_tsc = true;
    set_edx_eax(c, x86_read_tsc(c));
    c->r[R_ECX] = (uint32_t)c->tsc_aux;
}

uint64_t x86_rdpid(X86CPU *c)
{
    return (uint32_t)c->tsc_aux;
}

/* There are no performance counters (CPUID leaf 0Ah is empty): every number is wrong. */
void x86_rdpmc(X86CPU *c)
{
    gp0(c);
}

/* ---- XCR0, protection keys ------------------------------------------------------------------------- */

static void check_osxsave(X86CPU *c)
{
    if (!(c->cr4 & CR4_OSXSAVE)) {
        x86_raise(c, EXC_UD);
    }
}

uint64_t x86_xinuse(const X86CPU *c)
{
    uint64_t sse = 0, avx = 0;

    for (unsigned i = 0; i < 16; i++) {
        sse |= c->v[i].q[0] | c->v[i].q[1];
        avx |= c->v[i].q[2] | c->v[i].q[3];
    }
    return XCR0_X87 | (sse || c->mxcsr != 0x1f80 ? XCR0_SSE : 0) | (avx ? XCR0_AVX : 0)
           | (c->pkru ? XCR0_PKRU : 0);
}

void x86_xgetbv(X86CPU *c)
{
    uint32_t n = c->r[R_ECX];

    check_osxsave(c);
    if (n > 1 || (n == 1 && !x86_has(c, CPUID_XGETBV1))) {
        gp0(c);
    }
    set_edx_eax(c, n == 0 ? c->xcr0 : c->xcr0 & x86_xinuse(c));
}

uint64_t x86_xcr0_valid(const X86CPU *c)
{
    return XCR0_X87 | XCR0_SSE | (x86_has(c, CPUID_AVX) ? XCR0_AVX : 0)
           | (x86_has(c, CPUID_PKU) ? XCR0_PKRU : 0);
}

void x86_xsetbv(X86CPU *c)
{
    uint64_t val = c->r[R_EDX] << 32 | (uint32_t)c->r[R_EAX];

    check_osxsave(c);
    x86_check_cpl0(c);
    if ((uint32_t)c->r[R_ECX] != 0 || (val & ~x86_xcr0_valid(c)) || !(val & XCR0_X87)
        || ((val & XCR0_AVX) && !(val & XCR0_SSE))) {
        gp0(c);
    }
    c->xcr0 = val;
    x86_update_mode(c);
}

void x86_rdpkru(X86CPU *c)
{
    if (!(c->cr4 & CR4_PKE)) {
        x86_raise(c, EXC_UD);
    }
    if ((uint32_t)c->r[R_ECX]) {
        gp0(c);
    }
    set_edx_eax(c, c->pkru);
}

void x86_set_pkru(X86CPU *c, uint32_t val)
{
    if (c->pkru != val) {
        c->pkru = val;
        x86_tlb_flush(c);
    }
}

void x86_wrpkru(X86CPU *c)
{
    if (!(c->cr4 & CR4_PKE)) {
        x86_raise(c, EXC_UD);
    }
    if ((uint32_t)c->r[R_ECX] || (uint32_t)c->r[R_EDX]) {
        gp0(c);
    }
    x86_set_pkru(c, c->r[R_EAX]);
}

/* ---- CPUID ------------------------------------------------------------------------------------------- */

void x86_insn_cpuid(X86CPU *c)
{
    uint32_t out[4];

    x86_cpuid(c, c->r[R_EAX], c->r[R_ECX], out);
    c->r[R_EAX] = out[0];
    c->r[R_EBX] = out[1];
    c->r[R_ECX] = out[2];
    c->r[R_EDX] = out[3];
}
