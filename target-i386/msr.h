/* SPDX-License-Identifier: MIT */
/*
 * Model-specific registers: numbers, and access by number for RDMSR/WRMSR, KVM and debuggers.
 */
#ifndef TARGET_I386_MSR_H
#define TARGET_I386_MSR_H

#include "target-i386/cpu.h"

#define MSR_P5_MC_ADDR        0x000
#define MSR_P5_MC_TYPE        0x001
#define MSR_TSC               0x010
#define MSR_PLATFORM_ID       0x017
#define MSR_APIC_BASE         0x01b
#define MSR_EBL_CR_POWERON    0x02a
#define MSR_EBC_FREQUENCY_ID  0x02c
#define MSR_FEATURE_CONTROL   0x03a
#define MSR_TSC_ADJUST        0x03b
#define MSR_SPEC_CTRL         0x048
#define MSR_UCODE_WRITE       0x079
#define MSR_UCODE_REV         0x08b
#define MSR_PLATFORM_INFO     0x0ce
#define MSR_MTRRCAP           0x0fe
#define MSR_ARCH_CAPABILITIES 0x10a
#define MSR_SYSENTER_CS       0x174
#define MSR_SYSENTER_ESP      0x175
#define MSR_SYSENTER_EIP      0x176
#define MSR_MCG_CAP           0x179
#define MSR_MCG_STATUS        0x17a
#define MSR_MCG_CTL           0x17b
#define MSR_EVNTSEL0          0x186
#define MSR_EVNTSEL1          0x187
#define MSR_PERF_STATUS       0x198
#define MSR_PERF_CTL          0x199
#define MSR_CLOCK_MODULATION  0x19a
#define MSR_THERM_INTERRUPT   0x19b
#define MSR_THERM_STATUS      0x19c
#define MSR_MISC_ENABLE       0x1a0
#define MSR_LBR_TOS           0x1c9
#define MSR_DEBUGCTL          0x1d9
#define MSR_LASTBRANCHFROM    0x1db
#define MSR_LASTINTTO         0x1de
#define MSR_MTRR_PHYSBASE0    0x200
#define MSR_MTRR_PHYSMASK7    0x20f
#define MSR_MTRR_FIX64K       0x250
#define MSR_MTRR_FIX16K_80    0x258
#define MSR_MTRR_FIX16K_A0    0x259
#define MSR_MTRR_FIX4K_C0     0x268
#define MSR_MTRR_FIX4K_F8     0x26f
#define MSR_PAT               0x277
#define MSR_MTRR_DEFTYPE      0x2ff
#define MSR_MC0_CTL           0x400
#define MSR_PKRS              0x6e1
#define MSR_TSC_DEADLINE      0x6e0
#define MSR_X2APIC_FIRST      0x800
#define MSR_X2APIC_LAST       0x8ff
#define MSR_XSS               0xda0
#define MSR_EFER              0xc0000080
#define MSR_STAR              0xc0000081
#define MSR_LSTAR             0xc0000082
#define MSR_CSTAR             0xc0000083
#define MSR_FMASK             0xc0000084
#define MSR_FS_BASE           0xc0000100
#define MSR_GS_BASE           0xc0000101
#define MSR_KERNEL_GS_BASE    0xc0000102
#define MSR_TSC_AUX           0xc0000103

#define APIC_BASE_BSP         (1u << 8)
#define APIC_BASE_EXTD        (1u << 10)    /* x2APIC mode */
#define APIC_BASE_ENABLE      (1u << 11)

#define MCE_BANKS             10
#define MCG_CTL_P             (1u << 8)
#define MCG_SER_P             (1u << 24)

#define MTRR_VARIABLE         8

/* Read or write as RDMSR/WRMSR at CPL 0 do.  false: #GP(0).  Own thread, without the big lock
 * (taken for the local APIC). */
bool x86_msr_read(X86CPU *c, uint32_t msr, uint64_t *val);
bool x86_msr_write(X86CPU *c, uint32_t msr, uint64_t val);

/* MSRs of the accelerator's own, asked for those not known here; NULL: none. */
extern bool (*x86_msr_other)(X86CPU *c, uint32_t msr, bool write, uint64_t *val);

/* The registers that hold state of a guest which X86CPU stores plainly: what an accelerator
 * with its own copy must transfer.  Ends with msr 0. */
typedef struct MsrField {
    uint32_t msr;
    size_t offset;                          /* of a uint64_t in X86CPU */
} MsrField;
extern const MsrField x86_msr_fields[];

#endif
