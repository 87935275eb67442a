/* SPDX-License-Identifier: MIT */
/*
 * What the files of x86 under KVM share: kvm.c (running), kvm-state.c (registers to and fro),
 * kvm-cpuid.c (what the kernel offers, what the guest is told).
 */
#ifndef TARGET_I386_KVM_H
#define TARGET_I386_KVM_H

#include "accel/kvm/kvm.h"
#include "target-i386/cpu.h"
#include "target-i386/irqchip.h"

/* kvm_cpuid2 with its entries; free with g_free. */
#define KVM_MAX_CPUID 256
typedef struct KvmCpuid {
    struct kvm_cpuid2 head;
    struct kvm_cpuid_entry2 entry[KVM_MAX_CPUID];
} KvmCpuid;

#define KVM_MAX_MSRS 128

typedef struct X86KvmNested X86KvmNested;

/* KvmCpu.arch */
typedef struct X86KvmCpu {
    struct kvm_xsave xsave;             /* as fetched: parts that X86CPU has no place for */
    uint64_t tsc_offset;                /* X86CPU.tsc_offset that agrees with the kernel's TSC */
    uint64_t shadow[KVM_MAX_MSRS];      /* values the kernel has, by place in the list */
    uint8_t cr8;                        /* as given at the last entry */
    LapicImage lapic;                   /* to be put before the next run ... */
    bool lapic_waits;                   /* ... if this says so */
    bool paging_fails;                  /* in this kernel, outside of long mode */
    bool visit;                         /* the kernel shall fill its pages: kvm-pv.c */
    struct X86KvmNested *nested;        /* kvm-nested.c; NULL: neither VMX nor SVM */
    bool proxy;                         /* the kernel's registers are kvm-proxy.c's */
    bool init_came;                     /* ... or what INIT left */
    uint8_t cr8_put;                    /* X86CPU.cr8 that the kernel's local APIC has */
} X86KvmCpu;

static inline X86CPU *x86_of(const KvmCpu *k)
{
    return x86_cpu(k->cpu);
}

/* Paging outside of long mode: a software KVM does not take it. */
static inline bool x86_kvm_paging_fails(const X86CPU *c)
{
    return kvm.software && (c->cr0 & CR0_PG) && !(c->efer & EFER_LMA);
}

/* kvm-state.c */
/* Find out which MSRs this kernel has; before the first get or put. [bql] */
void x86_kvm_msrs_init(KvmCpu *k);
bool x86_kvm_get(KvmCpu *k, Error **err);
bool x86_kvm_put(KvmCpu *k, StateLevel level, Error **err);
/* General registers, RIP and flags alone. */
bool x86_kvm_get_regs(KvmCpu *k, Error **err);
bool x86_kvm_put_regs(KvmCpu *k, Error **err);
/* Only what decides whether an event goes in, and what went in; the kernel's copy of the rest
 * stays old. */
bool x86_kvm_put_brief(KvmCpu *k, Error **err);
bool x86_kvm_get_brief(KvmCpu *k, Error **err);
/* The kernel's format of single registers, for tests too. */
void x86_kvm_segment_put(const Segment *s, struct kvm_segment *k);
void x86_kvm_segment_get(Segment *s, const struct kvm_segment *k);
void x86_kvm_xsave_put(const X86CPU *c, struct kvm_xsave *x, bool avx, bool pkru);
void x86_kvm_xsave_get(X86CPU *c, const struct kvm_xsave *x, bool avx, bool pkru);
void x86_kvm_events_put(const X86CPU *c, struct kvm_vcpu_events *e);
/* ... and the event that is the next one to be delivered, by the kernel. */
void x86_kvm_events_inject(X86CPU *c, struct kvm_vcpu_events *e);
void x86_kvm_events_get(X86CPU *c, const struct kvm_vcpu_events *e, bool ignore_ud);

/* The kernel was told val behind the list's back. */
void x86_kvm_msr_written(KvmCpu *k, uint32_t msr, uint64_t val);

/* kvm-pv.c */
#define MSR_KVM_FIRST      0x4b564d00
#define KVM_CLOCK_FEATURES (1u << 0 | 1u << 3 | 1u << 24)
void x86_kvm_pv_init(const X86CPU *c);
void x86_kvm_pv_active(bool on);
/* The interpreter runs this vCPU: tell guests that count on steal time's "preempted"; before
 * its TLB is flushed.  [own thread] */
void x86_kvm_pv_awake(KvmCpu *k);
/* kvmclock stands still with the machine. */
void x86_kvm_clock_stop(void);
void x86_kvm_clock_go(void);

/* kvm-irqchip.c */
bool x86_kvm_irqchip_init(Error **err);
void x86_kvm_irqchip_active(bool on);
/* What the guest's CPUs know of them. */
void x86_kvm_irqchip_guest(const X86CPU *c);
/* KvmTarget.message */
uint64_t x86_kvm_message(uint64_t addr);
/* What X86Irqchip.put_lapic left; after the special registers. */
bool x86_kvm_lapic_put(KvmCpu *k, Error **err);
void x86_kvm_pic_get(PicChip *c, const struct kvm_pic_state *k);
void x86_kvm_pic_put(const PicChip *c, struct kvm_pic_state *k);
/* now: CLOCK_MONOTONIC */
void x86_kvm_pit_get(PitImage *pit, const struct kvm_pit_state2 *k, int64_t now);
void x86_kvm_pit_put(const PitImage *pit, struct kvm_pit_state2 *k, int64_t now);

/* kvm-pull.c.  All: the registers are in X86CPU. [own thread] */
void x86_kvm_pull_init(KvmCpu *k);
/* Let the kernel do what it does before it enters the guest.  An interrupt that it takes from
 * its local APIC is the interpreter's next (X86CPU.exc_vector). */
bool x86_kvm_visit(KvmCpu *k, Error **err);
/* KvmTarget.pull, wait */
bool x86_kvm_pull(KvmCpu *k, Error **err);
bool x86_kvm_wait(KvmCpu *k, Error **err);

/* kvm-nested.c */
/* VMX or SVM can be offered: the kernel gives their state away. */
bool x86_kvm_nested_offered(void);
void x86_kvm_nested_init(KvmCpu *k);
/* What was loaded, or what reset leaves; after special registers and MSRs. */
bool x86_kvm_nested_put(KvmCpu *k, Error **err);
/* With the other registers; the same as: */
bool x86_kvm_nested_get(KvmCpu *k);
/* The kernel runs a guest of the guest's. */
bool x86_kvm_nested_guest(KvmCpu *k);

/* kvm-proxy.c */
bool x86_kvm_proxy_init(Error **err);
/* Real mode with segments of 4 GiB; local APIC and CR8 are c's. */
void x86_kvm_flat_sregs(const X86CPU *c, struct kvm_sregs *s);
/* KvmTarget.chip_access */
bool x86_kvm_chip_access(KvmCpu *k, bool port, hwaddr addr, unsigned size, bool write, uint64_t *val);
/* Before registers are put. */
void x86_kvm_proxy_end(KvmCpu *k);

/* kvm-debug.c: KvmTarget.step, breakpoint, debug_exit */
bool x86_kvm_debug_set(KvmCpu *k, bool step);
bool x86_kvm_breakpoint(KvmCpu *k, BpOp op, uint64_t addr, int type);
KvmVerdict x86_kvm_debug_exit(KvmCpu *k);

/* kvm-cpuid.c */
void x86_kvm_cpuid_init(void);
bool x86_kvm_cpuid_set(KvmCpu *k, Error **err);
/* MSRs that the kernel refuses come to us. */
extern bool x86_kvm_msr_exits;
/* Bits of XCR0 that the host's kernel lets guests use. */
extern uint64_t x86_kvm_xcr0;

#endif
