/* SPDX-License-Identifier: MIT */
/*
 * Model-specific registers.  One sorted table: a row is a range of numbers, the feature that
 * brings it, and how to read and write it.  What has no row gives #GP(0), as do reserved bits.
 *
 * Rows without a feature that read as zero and take any value exist because systems touch
 * them by family and model without asking; each says who.
 *
 * Not modelled: performance counters, last-branch records, branch single-step (DEBUGCTL.BTF
 * gives #GP), thermal control, microcode loading.
 * Sources: SDM 4, SDM 3A 11.11 (MTRR), 11.12 (PAT), 3B 15 (MCE), 3A 10.4.3 and 10.12 (APIC);
 * APM 2 appendix A.
 */
#include "target-i386/msr.h"

#include "target-i386/cpuid.h"
#include "target-i386/seg.h"
#include "util/bql.h"
#include "util/log.h"

typedef struct MsrRow MsrRow;
typedef bool MsrGet(X86CPU *c, const MsrRow *row, uint32_t msr, uint64_t *val);
typedef bool MsrSet(X86CPU *c, const MsrRow *row, uint32_t msr, uint64_t val);

struct MsrRow {
    uint32_t first, last;
    uint16_t feature;         /* CPUID_* */
    MsrGet *get;              /* NULL: *field */
    MsrSet *set;              /* NULL: *field = val if no bit outside `valid` is set */
    uint16_t field;           /* offset of a uint64_t in X86CPU; of the first of a range */
    uint64_t valid;
};

#define FIELD(f) .field = offsetof(X86CPU, f)

static uint64_t *row_field(X86CPU *c, const MsrRow *row, uint32_t msr)
{
    return (uint64_t *)(void *)((char *)c + row->field) + (msr - row->first);
}

/* ---- simple kinds --------------------------------------------------------------------------- */

static bool get_zero(X86CPU *c, const MsrRow *row, uint32_t msr, uint64_t *val)
{
    *val = 0;
    return true;
}

static bool set_ignored(X86CPU *c, const MsrRow *row, uint32_t msr, uint64_t val)
{
    if (val) {
        LOG(LOG_UNIMP, "MSR %x: value %" G_GINT64_MODIFIER "x has no effect\n", msr, val);
    }
    return true;
}

static bool set_denied(X86CPU *c, const MsrRow *row, uint32_t msr, uint64_t val)
{
    return false;
}

/* An address: must be canonical. */
static bool set_address(X86CPU *c, const MsrRow *row, uint32_t msr, uint64_t val)
{
    if (!x86_canonical_register(c, val)) {
        return false;
    }
    *row_field(c, row, msr) = val;
    return true;
}

/* SYSENTER_ESP/EIP: canonical where the CPU has 64 bits, 32 bits kept where not. */
static bool set_sysenter(X86CPU *c, const MsrRow *row, uint32_t msr, uint64_t val)
{
    if (!x86_has(c, CPUID_LM)) {
        val = (uint32_t)val;
    } else if (!x86_canonical_register(c, val)) {
        return false;
    }
    *row_field(c, row, msr) = val;
    return true;
}

static bool set_fsgs(X86CPU *c, const MsrRow *row, uint32_t msr, uint64_t val)
{
    if (!set_address(c, row, msr, val)) {
        return false;
    }
    x86_update_mode(c);
    return true;
}

/* ---- time ------------------------------------------------------------------------------------- */

/* The deadline is kept as a TSC value: after the TSC jumped it lies elsewhere in time. */
static void tsc_moved(X86CPU *c)
{
    if (c->apic && x86_has(c, CPUID_TSC_DEADLINE)) {
        bql_lock();
        uint64_t deadline = c->apic_ops->get_tsc_deadline(c->apic);
        if (deadline) {
            c->apic_ops->set_tsc_deadline(c->apic, deadline);
        }
        bql_unlock();
    }
}

static bool get_tsc(X86CPU *c, const MsrRow *row, uint32_t msr, uint64_t *val)
{
    *val = x86_read_tsc(c);
    return true;
}

static bool set_tsc(X86CPU *c, const MsrRow *row, uint32_t msr, uint64_t val)
{
    uint64_t delta = val - x86_read_tsc(c);

    c->tsc_offset += delta;
    c->tsc_adjust += delta;
    tsc_moved(c);
    return true;
}

static bool set_tsc_adjust(X86CPU *c, const MsrRow *row, uint32_t msr, uint64_t val)
{
    c->tsc_offset += val - c->tsc_adjust;
    c->tsc_adjust = val;
    tsc_moved(c);
    return true;
}

static bool get_tsc_deadline(X86CPU *c, const MsrRow *row, uint32_t msr, uint64_t *val)
{
    if (!c->apic) {
        return false;
    }
    bql_lock();
    *val = c->apic_ops->get_tsc_deadline(c->apic);
    bql_unlock();
    return true;
}

static bool set_tsc_deadline(X86CPU *c, const MsrRow *row, uint32_t msr, uint64_t val)
{
    if (!c->apic) {
        return false;
    }
    bql_lock();
    c->apic_ops->set_tsc_deadline(c->apic, val);
    bql_unlock();
    return true;
}

static bool has_tsc_aux(const X86CPU *c)
{
    return x86_has(c, CPUID_RDTSCP) || x86_has(c, CPUID_RDPID);
}

static bool get_tsc_aux(X86CPU *c, const MsrRow *row, uint32_t msr, uint64_t *val)
{
    *val = c->tsc_aux;
    return has_tsc_aux(c);
}

static bool set_tsc_aux(X86CPU *c, const MsrRow *row, uint32_t msr, uint64_t val)
{
    if (!has_tsc_aux(c) || val >> 32) {
        return false;
    }
    c->tsc_aux = val;
    return true;
}

/* ---- local APIC ------------------------------------------------------------------------------- */

/* Mode changes allowed by SDM 3A figure 10-27. */
static bool set_apic_base(X86CPU *c, const MsrRow *row, uint32_t msr, uint64_t val)
{
    uint64_t valid = (1ull << c->phys_bits) - 1;
    bool was_on = c->apic_base & APIC_BASE_ENABLE, was_x2 = c->apic_base & APIC_BASE_EXTD;
    bool on = val & APIC_BASE_ENABLE, x2 = val & APIC_BASE_EXTD;

    valid &= ~0x2ffull | APIC_BASE_BSP;
    if (!x86_has(c, CPUID_X2APIC)) {
        valid &= ~(uint64_t)APIC_BASE_EXTD;
    }
    if ((val & ~valid) || (x2 && !on) || (was_x2 && !x2 && on) || (!was_on && x2)) {
        return false;
    }
    c->apic_base = val;
    if (c->apic) {
        bql_lock();
        c->apic_ops->set_base(c->apic, val);
        bql_unlock();
    }
    return true;
}

static bool get_x2apic(X86CPU *c, const MsrRow *row, uint32_t msr, uint64_t *val)
{
    if (!c->apic || !(c->apic_base & APIC_BASE_EXTD)) {
        return false;
    }
    bql_lock();
    bool ok = c->apic_ops->read(c->apic, msr - MSR_X2APIC_FIRST, val);
    bql_unlock();
    return ok;
}

static bool set_x2apic(X86CPU *c, const MsrRow *row, uint32_t msr, uint64_t val)
{
    if (!c->apic || !(c->apic_base & APIC_BASE_EXTD)) {
        return false;
    }
    bql_lock();
    bool ok = c->apic_ops->write(c->apic, msr - MSR_X2APIC_FIRST, val);
    bql_unlock();
    return ok;
}

/* ---- memory types ----------------------------------------------------------------------------- */

/* Bit n: memory type n exists.  UC WC WT WP WB; PAT has UC- (7) too. */
#define MTRR_TYPES 0x73
#define PAT_TYPES  0xf3

static bool types_ok(uint64_t val, unsigned types)
{
    for (unsigned i = 0; i < 64; i += 8) {
        uint8_t type = val >> i;
        if (type > 7 || !(types >> type & 1)) {
            return false;
        }
    }
    return true;
}

static bool set_pat(X86CPU *c, const MsrRow *row, uint32_t msr, uint64_t val)
{
    if (!types_ok(val, PAT_TYPES)) {
        return false;
    }
    c->pat = val;
    return true;
}

static bool get_mtrrcap(X86CPU *c, const MsrRow *row, uint32_t msr, uint64_t *val)
{
    *val = MTRR_VARIABLE | 1 << 8 /* fixed ranges */ | 1 << 10 /* write combining */;
    return true;
}

static bool set_mtrr_fixed(X86CPU *c, const MsrRow *row, uint32_t msr, uint64_t val)
{
    if (!types_ok(val, MTRR_TYPES)) {
        return false;
    }
    *row_field(c, row, msr) = val;
    return true;
}

/* Bases at even, masks at odd numbers. */
static bool get_mtrr_var(X86CPU *c, const MsrRow *row, uint32_t msr, uint64_t *val)
{
    unsigned n = (msr - MSR_MTRR_PHYSBASE0) / 2;
    *val = msr & 1 ? c->mtrr_physmask[n] : c->mtrr_physbase[n];
    return true;
}

static bool set_mtrr_var(X86CPU *c, const MsrRow *row, uint32_t msr, uint64_t val)
{
    unsigned n = (msr - MSR_MTRR_PHYSBASE0) / 2;
    uint64_t address = ((1ull << c->phys_bits) - 1) & GUEST_PAGE_MASK;

    if (msr & 1) {
        if (val & ~(address | 1 << 11)) {
            return false;
        }
        c->mtrr_physmask[n] = val;
    } else {
        uint8_t type = val;
        if ((val & ~(address | 0xff)) || type > 7 || !(MTRR_TYPES >> type & 1)) {
            return false;
        }
        c->mtrr_physbase[n] = val;
    }
    return true;
}

static bool set_mtrr_deftype(X86CPU *c, const MsrRow *row, uint32_t msr, uint64_t val)
{
    uint8_t type = val;

    if ((val & ~0xcffull) || type > 7 || !(MTRR_TYPES >> type & 1)) {
        return false;
    }
    c->mtrr_deftype = val;
    return true;
}

/* ---- machine check ---------------------------------------------------------------------------- */

static bool get_mcg_cap(X86CPU *c, const MsrRow *row, uint32_t msr, uint64_t *val)
{
    *val = MCG_CTL_P | MCG_SER_P | MCE_BANKS;
    return true;
}

static bool set_mcg_ctl(X86CPU *c, const MsrRow *row, uint32_t msr, uint64_t val)
{
    if (val != 0 && val != ~0ull) {
        return false;
    }
    c->mcg_ctl = val;
    return true;
}

/* CTL takes all ones or zero, STATUS only zero; ADDR and MISC anything. */
static bool set_mc_bank(X86CPU *c, const MsrRow *row, uint32_t msr, uint64_t val)
{
    switch (msr & 3) {
    case 0:
        /* Bit 10 of bank 4 (GART errors of AMD) is cleared alone by Linux. */
        if (val != 0 && (val | 1u << 10) != ~0ull && (val | 1) != ~0ull) {
            return false;
        }
        break;
    case 1:
        if (val) {
            return false;
        }
        break;
    }
    *row_field(c, row, msr) = val;
    return true;
}

/* ---- the rest ------------------------------------------------------------------------------------ */

static bool set_efer(X86CPU *c, const MsrRow *row, uint32_t msr, uint64_t val)
{
    uint64_t valid = EFER_LMA
        | (x86_has(c, CPUID_SYSCALL) ? EFER_SCE : 0) | (x86_has(c, CPUID_LM) ? EFER_LME : 0)
        | (x86_has(c, CPUID_NX) ? EFER_NXE : 0) | (x86_has(c, CPUID_FXSR_OPT) ? EFER_FFXSR : 0)
        | (x86_has(c, CPUID_SVM) ? EFER_SVME : 0);

    if ((val & ~valid) || ((c->cr0 & CR0_PG) && ((val ^ c->efer) & EFER_LME))) {
        return false;
    }
    x86_set_efer(c, (val & ~(uint64_t)EFER_LMA) | (c->efer & EFER_LMA));
    return true;
}

/* Only the lock bit means anything without VMX; once set nothing changes any more. */
static bool set_feature_control(X86CPU *c, const MsrRow *row, uint32_t msr, uint64_t val)
{
    uint64_t valid = 1 | (x86_has(c, CPUID_VMX) ? 6 : 0);

    if ((c->feature_control & 1) || (val & ~valid)) {
        return false;
    }
    c->feature_control = val;
    return true;
}

static bool get_ucode_rev(X86CPU *c, const MsrRow *row, uint32_t msr, uint64_t *val)
{
    *val = c->ucode_rev;
    return true;
}

static bool get_frequency_id(X86CPU *c, const MsrRow *row, uint32_t msr, uint64_t *val)
{
    *val = 1ull << 24;          /* 133 MHz bus, for models 0-2 of family 15 */
    return true;
}

/* Current ratio in bits 15..0, the highest one in 44..40. */
static bool get_perf_status(X86CPU *c, const MsrRow *row, uint32_t msr, uint64_t *val)
{
    *val = 1000 | 4ull << 40;
    return true;
}

static bool set_xss(X86CPU *c, const MsrRow *row, uint32_t msr, uint64_t val)
{
    return val == 0;            /* no supervisor state components yet */
}

static bool set_pkrs(X86CPU *c, const MsrRow *row, uint32_t msr, uint64_t val)
{
    if (val >> 32) {
        return false;
    }
    if (c->pkrs != val) {
        c->pkrs = val;
        x86_tlb_flush(c);
    }
    return true;
}

static bool set_debugctl(X86CPU *c, const MsrRow *row, uint32_t msr, uint64_t val)
{
    /* LBR may be switched on; the records stay empty. */
    if (val & ~1ull) {
        return false;
    }
    c->debugctl = val;
    return true;
}

#define ZERO(first, last) { first, last, CPUID_ALWAYS, get_zero, set_ignored }

/* Sorted by number. */
static const MsrRow msr_rows[] = {
    { MSR_P5_MC_ADDR, MSR_P5_MC_TYPE, CPUID_MCE, get_zero, set_ignored },
    { MSR_TSC, MSR_TSC, CPUID_TSC, get_tsc, set_tsc },
    { MSR_PLATFORM_ID, MSR_PLATFORM_ID, CPUID_ALWAYS, get_zero, set_denied },
    { MSR_APIC_BASE, MSR_APIC_BASE, CPUID_APIC, NULL, set_apic_base, FIELD(apic_base) },
    ZERO(MSR_EBL_CR_POWERON, MSR_EBL_CR_POWERON),           /* Windows */
    { MSR_EBC_FREQUENCY_ID, MSR_EBC_FREQUENCY_ID, CPUID_ALWAYS, get_frequency_id, set_ignored },
    { MSR_FEATURE_CONTROL, MSR_FEATURE_CONTROL, CPUID_ALWAYS, NULL, set_feature_control,
      FIELD(feature_control) },
    { MSR_TSC_ADJUST, MSR_TSC_ADJUST, CPUID_TSC_ADJUST, NULL, set_tsc_adjust, FIELD(tsc_adjust) },
    { MSR_UCODE_WRITE, MSR_UCODE_WRITE, CPUID_ALWAYS, get_zero, set_ignored },
    { MSR_UCODE_REV, MSR_UCODE_REV, CPUID_ALWAYS, get_ucode_rev, set_ignored },
    { MSR_PLATFORM_INFO, MSR_PLATFORM_INFO, CPUID_ALWAYS, get_zero, set_denied },
    { MSR_MTRRCAP, MSR_MTRRCAP, CPUID_MTRR, get_mtrrcap, set_denied },
    { MSR_ARCH_CAPABILITIES, MSR_ARCH_CAPABILITIES, CPUID_ARCH_CAPABILITIES, NULL, set_denied,
      FIELD(arch_capabilities) },
    { MSR_SYSENTER_CS, MSR_SYSENTER_CS, CPUID_SEP, NULL, NULL, FIELD(sysenter_cs), 0xffffffff },
    { MSR_SYSENTER_ESP, MSR_SYSENTER_ESP, CPUID_SEP, NULL, set_sysenter, FIELD(sysenter_esp) },
    { MSR_SYSENTER_EIP, MSR_SYSENTER_EIP, CPUID_SEP, NULL, set_sysenter, FIELD(sysenter_eip) },
    { MSR_MCG_CAP, MSR_MCG_CAP, CPUID_MCA, get_mcg_cap, set_denied },
    { MSR_MCG_STATUS, MSR_MCG_STATUS, CPUID_MCA, NULL, NULL, FIELD(mcg_status), 7 },
    { MSR_MCG_CTL, MSR_MCG_CTL, CPUID_MCA, NULL, set_mcg_ctl, FIELD(mcg_ctl) },
    ZERO(MSR_EVNTSEL0, MSR_EVNTSEL1),                       /* NMI watchdogs by family */
    { MSR_PERF_STATUS, MSR_PERF_STATUS, CPUID_ALWAYS, get_perf_status, set_ignored },
    ZERO(MSR_PERF_CTL, MSR_THERM_STATUS),                   /* frequency and thermal drivers */
    { MSR_MISC_ENABLE, MSR_MISC_ENABLE, CPUID_ALWAYS, NULL, NULL, FIELD(misc_enable), ~0ull },
    ZERO(MSR_LBR_TOS, MSR_LBR_TOS),
    { MSR_DEBUGCTL, MSR_DEBUGCTL, CPUID_ALWAYS, NULL, set_debugctl, FIELD(debugctl) },
    { MSR_LASTBRANCHFROM, MSR_LASTINTTO, CPUID_ALWAYS, get_zero, set_ignored },
    { MSR_MTRR_PHYSBASE0, MSR_MTRR_PHYSMASK7, CPUID_MTRR, get_mtrr_var, set_mtrr_var },
    { MSR_MTRR_FIX64K, MSR_MTRR_FIX64K, CPUID_MTRR, NULL, set_mtrr_fixed, FIELD(mtrr_fixed[0]) },
    { MSR_MTRR_FIX16K_80, MSR_MTRR_FIX16K_A0, CPUID_MTRR, NULL, set_mtrr_fixed,
      FIELD(mtrr_fixed[1]) },
    { MSR_MTRR_FIX4K_C0, MSR_MTRR_FIX4K_F8, CPUID_MTRR, NULL, set_mtrr_fixed,
      FIELD(mtrr_fixed[3]) },
    { MSR_PAT, MSR_PAT, CPUID_PAT, NULL, set_pat, FIELD(pat) },
    { MSR_MTRR_DEFTYPE, MSR_MTRR_DEFTYPE, CPUID_MTRR, NULL, set_mtrr_deftype,
      FIELD(mtrr_deftype) },
    { MSR_MC0_CTL, MSR_MC0_CTL + 4 * MCE_BANKS - 1, CPUID_MCA, NULL, set_mc_bank,
      FIELD(mce_banks) },
    { MSR_TSC_DEADLINE, MSR_TSC_DEADLINE, CPUID_TSC_DEADLINE, get_tsc_deadline,
      set_tsc_deadline },
    { MSR_PKRS, MSR_PKRS, CPUID_PKS, NULL, set_pkrs, FIELD(pkrs) },
    { MSR_X2APIC_FIRST, MSR_X2APIC_LAST, CPUID_X2APIC, get_x2apic, set_x2apic },
    { MSR_XSS, MSR_XSS, CPUID_XSAVES, NULL, set_xss, FIELD(xss) },
    { MSR_EFER, MSR_EFER, CPUID_ALWAYS, NULL, set_efer, FIELD(efer) },
    { MSR_STAR, MSR_STAR, CPUID_SYSCALL, NULL, NULL, FIELD(star), ~0ull },
    { MSR_LSTAR, MSR_CSTAR, CPUID_LM, NULL, set_address, FIELD(lstar) },
    { MSR_FMASK, MSR_FMASK, CPUID_LM, NULL, NULL, FIELD(fmask), 0xffffffff },
    { MSR_FS_BASE, MSR_FS_BASE, CPUID_LM, NULL, set_fsgs, FIELD(seg[R_FS].base) },
    { MSR_GS_BASE, MSR_GS_BASE, CPUID_LM, NULL, set_fsgs, FIELD(seg[R_GS].base) },
    { MSR_KERNEL_GS_BASE, MSR_KERNEL_GS_BASE, CPUID_LM, NULL, set_address,
      FIELD(kernel_gs_base) },
    { MSR_TSC_AUX, MSR_TSC_AUX, CPUID_ALWAYS, get_tsc_aux, set_tsc_aux },
    /* What systems read on AMD families without asking: counters, SYSCFG, HWCR, TOP_MEM,
     * NB_CFG, interrupt pending message, MMIO configuration base, P-states, TSEG, cache and
     * decode configuration. */
    ZERO(0xc0010000, 0xc0010007),
    ZERO(0xc0010010, 0xc0010010),
    ZERO(0xc0010015, 0xc0010015),
    ZERO(0xc001001a, 0xc001001d),
    ZERO(0xc001001f, 0xc001001f),
    ZERO(0xc0010055, 0xc0010055),
    ZERO(0xc0010058, 0xc0010058),
    ZERO(0xc0010062, 0xc0010064),
    ZERO(0xc0010112, 0xc0010113),
    ZERO(0xc0011020, 0xc0011023),
    ZERO(0xc0011029, 0xc001102d),
};

/* LSTAR and CSTAR are one row. */
G_STATIC_ASSERT(offsetof(X86CPU, cstar) == offsetof(X86CPU, lstar) + 8);

static const MsrRow *msr_find(const X86CPU *c, uint32_t msr)
{
    unsigned lo = 0, hi = G_N_ELEMENTS(msr_rows);

    while (lo < hi) {
        unsigned mid = (lo + hi) / 2;
        const MsrRow *row = &msr_rows[mid];
        if (msr < row->first) {
            hi = mid;
        } else if (msr > row->last) {
            lo = mid + 1;
        } else {
            return x86_has(c, row->feature) ? row : NULL;
        }
    }
    return NULL;
}

bool (*x86_msr_other)(X86CPU *c, uint32_t msr, bool write, uint64_t *val);

bool x86_msr_read(X86CPU *c, uint32_t msr, uint64_t *val)
{
    const MsrRow *row = msr_find(c, msr);

    if (!row) {
        return x86_msr_other && x86_msr_other(c, msr, false, val);
    }
    if (row->get) {
        return row->get(c, row, msr, val);
    }
    *val = *row_field(c, row, msr);
    return true;
}

bool x86_msr_write(X86CPU *c, uint32_t msr, uint64_t val)
{
    const MsrRow *row = msr_find(c, msr);

    if (!row) {
        return x86_msr_other && x86_msr_other(c, msr, true, &val);
    }
    if (row->set) {
        return row->set(c, row, msr, val);
    }
    if (val & ~row->valid) {
        return false;
    }
    *row_field(c, row, msr) = val;
    return true;
}

const MsrField x86_msr_fields[] = {
#define PLAIN(m, f) { m, offsetof(X86CPU, f) }
    PLAIN(MSR_SYSENTER_CS, sysenter_cs), PLAIN(MSR_SYSENTER_ESP, sysenter_esp),
    PLAIN(MSR_SYSENTER_EIP, sysenter_eip), PLAIN(MSR_PAT, pat), PLAIN(MSR_STAR, star),
    PLAIN(MSR_LSTAR, lstar), PLAIN(MSR_CSTAR, cstar), PLAIN(MSR_FMASK, fmask),
    PLAIN(MSR_KERNEL_GS_BASE, kernel_gs_base), PLAIN(MSR_TSC_AUX, tsc_aux),
    PLAIN(MSR_TSC_ADJUST, tsc_adjust), PLAIN(MSR_MISC_ENABLE, misc_enable),
    PLAIN(MSR_MCG_STATUS, mcg_status), PLAIN(MSR_MCG_CTL, mcg_ctl),
    PLAIN(MSR_FEATURE_CONTROL, feature_control), PLAIN(MSR_SPEC_CTRL, spec_ctrl),
    PLAIN(MSR_MTRR_DEFTYPE, mtrr_deftype), PLAIN(MSR_XSS, xss), PLAIN(MSR_PKRS, pkrs),
    PLAIN(MSR_DEBUGCTL, debugctl),
#undef PLAIN
    { 0, 0 }
};

/* ---- the instructions -------------------------------------------------------------------------- */

void x86_rdmsr(X86CPU *c)
{
    uint32_t msr = c->r[R_ECX];
    uint64_t val;

    x86_check_cpl0(c);
    if (!x86_msr_read(c, msr, &val)) {
        LOG(LOG_UNIMP, "RDMSR of unknown MSR %x at %" G_GINT64_MODIFIER "x\n", msr, c->rip);
        x86_raise_err(c, EXC_GP, 0);
    }
    c->r[R_EAX] = (uint32_t)val;
    c->r[R_EDX] = val >> 32;
}

void x86_wrmsr(X86CPU *c)
{
    uint32_t msr = c->r[R_ECX];
    uint64_t val = c->r[R_EDX] << 32 | (uint32_t)c->r[R_EAX];

    x86_check_cpl0(c);
    if (!x86_msr_write(c, msr, val)) {
        LOG(LOG_UNIMP, "WRMSR %x = %" G_GINT64_MODIFIER "x refused at %" G_GINT64_MODIFIER "x\n",
            msr, val, c->rip);
        x86_raise_err(c, EXC_GP, 0);
    }
}
