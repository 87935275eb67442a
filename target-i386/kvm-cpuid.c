/* SPDX-License-Identifier: MIT */
/*
 * CPUID under KVM: the features the kernel offers filter those of the CPU model, -cpu host
 * takes the host's identity, and the guest's answers are made by x86_cpuid as everywhere and
 * handed to the kernel as a list.
 *
 * Left out of what the kernel offers: features with XSAVE components that target-i386/xsave.c
 * does not know (AVX-512, AMX, MPX), because their registers would not be in a saved machine;
 * and, while that is in the emulator, what needs the local APIC in the kernel (TSC deadline,
 * PV EOI, unhalt, IPIs, asynchronous page faults); and VMX and SVM where the kernel does not give
 * their state away.
 *
 * Source: the kernel's Documentation/virt/kvm/api.rst 4.46 and x86/cpuid.rst.
 */
#include "target-i386/kvm.h"

#include <cpuid.h>
#include <string.h>

#include "target-i386/cpuid.h"
#include "target-i386/fxsave.h"
#include "target-i386/helper.h"

uint64_t x86_kvm_xcr0 = XCR0_X87 | XCR0_SSE;

static KvmCpuid *offered;
static uint64_t offered_words[FEAT_WORDS];

static const struct kvm_cpuid_entry2 *find(uint32_t leaf, uint32_t sub)
{
    for (unsigned n = 0; n < offered->head.nent; n++) {
        const struct kvm_cpuid_entry2 *e = &offered->entry[n];
        if (e->function == leaf
            && (!(e->flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX) || e->index == sub)) {
            return e;
        }
    }
    return NULL;
}

enum { EAX, EBX, ECX, EDX };

static uint32_t offer(uint32_t leaf, uint32_t sub, int reg)
{
    const struct kvm_cpuid_entry2 *e = find(leaf, sub);

    if (!e) {
        return 0;
    }
    return reg == EAX ? e->eax : reg == EBX ? e->ebx : reg == ECX ? e->ecx : e->edx;
}

static void clear(unsigned feature)
{
    offered_words[feature >> 6] &= ~(1ull << (feature & 63));
}

static void set(unsigned feature)
{
    offered_words[feature >> 6] |= 1ull << (feature & 63);
}

/* Leaf 7: what has state in components 3 to 8 (MPX, AVX-512, processor trace) or 17, 18 (AMX). */
#define NO_7_EBX (1u << 14 | 1u << 16 | 1u << 17 | 1u << 21 | 1u << 25 | 1u << 26 | 1u << 27    \
                  | 1u << 28 | 1u << 30 | 1u << 31)
#define NO_7_ECX (1u << 1 | 1u << 6 | 1u << 7 | 1u << 11 | 1u << 12 | 1u << 14)
#define NO_7_EDX (1u << 2 | 1u << 3 | 1u << 8 | 1u << 20 | 1u << 22 | 1u << 23 | 1u << 24 | 1u << 25)
#define NO_7_1   (1u << 5)
/* Of the paravirtual ones: what is for nested or encrypted guests. */
#define NO_KVM          (1u << 10 | 1u << 15 | 1u << 16 | 1u << 17)
/* Asynchronous page faults, PV EOI, unhalt, IPIs: they go through the local APIC. */
#define KVM_BY_LAPIC    (1u << 4 | 1u << 6 | 1u << 7 | 1u << 11 | 1u << 14)
/* A page that has come is told when the kernel enters the guest, which may not be soon while
 * the interpreter has it. */
#define KVM_ASYNC_PF    (1u << 4 | 1u << 14)
#define KVM_NOPIODELAY  (1u << 1)
#define KVM_STEAL       (1u << 5)
#define KVM_EOI         (1u << 6)
/* Ours, not the kernel's: it has no place for 15 bits of an APIC id in its own I/O APIC. */
#define KVM_EXT_DEST    (1u << 15)

static uint64_t arch_capabilities(void)
{
    struct {
        struct kvm_msrs head;
        struct kvm_msr_entry entry;
    } b = { { .nmsrs = 1 }, { .index = 0x10a } };

    return kvm_ioctl(kvm.fd, KVM_GET_MSRS, &b) == 1 ? b.entry.data : 0;
}

static void read_offer(void)
{
    uint64_t *w = offered_words;

    w[FEAT_1_EDX] = offer(1, 0, EDX) | 1u << 28;        /* HT: topology is ours */
    w[FEAT_1_ECX] = offer(1, 0, ECX) | 1u << 31;
    w[FEAT_7_0_EBX] = offer(7, 0, EBX) & ~NO_7_EBX;
    w[FEAT_7_0_ECX] = offer(7, 0, ECX) & ~NO_7_ECX;
    w[FEAT_7_0_EDX] = offer(7, 0, EDX) & ~NO_7_EDX;
    w[FEAT_7_1_EAX] = offer(7, 1, EAX) & ~NO_7_1;
    w[FEAT_8000_0001_EDX] = offer(0x80000001, 0, EDX);
    w[FEAT_8000_0001_ECX] = offer(0x80000001, 0, ECX);
    w[FEAT_8000_0007_EDX] = offer(0x80000007, 0, EDX);
    w[FEAT_8000_0008_EBX] = offer(0x80000008, 0, EBX);
    w[FEAT_8000_000A_EDX] = x86_kvm_nested_offered() ? offer(0x8000000a, 0, EDX) : 0;
    w[FEAT_XSAVE] = offer(0xd, 1, EAX);
    w[FEAT_6_EAX] = offer(6, 0, EAX);
    w[FEAT_ARCH_CAPS] = arch_capabilities();
    w[FEAT_KVM] = offer(0x40000001, 0, EAX) & ~(NO_KVM | (kvm.irqchip ? 0 : KVM_BY_LAPIC)
                                                | (kvm.software ? KVM_ASYNC_PF : 0));
    if (kvm.irqchip == KVM_IRQCHIP_SPLIT && kvm.wide_apic_ids) {
        w[FEAT_KVM] |= KVM_EXT_DEST;
    }
    if (kvm.irqchip ? kvm.wide_apic_ids : x86_kvm_msr_exits) {
        set(CPUID_X2APIC);
    } else {
        clear(CPUID_X2APIC);
    }
    if (kvm.irqchip && kvm_cap(KVM_CAP_TSC_DEADLINE_TIMER)) {
        set(CPUID_TSC_DEADLINE);
    } else {
        clear(CPUID_TSC_DEADLINE);
    }
    clear(CPUID_XSAVES);
    if (!x86_kvm_nested_offered()) {
        clear(CPUID_VMX);
        clear(CPUID_SVM);
    }
    set(CPUID_CMP_LEGACY);
    x86_kvm_xcr0 |= offer(0xd, 0, EAX) & (XCR0_AVX | XCR0_PKRU);
    if (offer(0xd, 9, EBX) != x86_xsave_component(9)->offset) {
        x86_kvm_xcr0 &= ~(uint64_t)XCR0_PKRU;
        clear(CPUID_PKU);
    }
}

static void features(uint64_t words[FEAT_WORDS])
{
    memcpy(words, offered_words, sizeof(offered_words));
}

/* ---- -cpu host ------------------------------------------------------------------------------ */

static bool host_model(X86CPU *c, Error **err)
{
    uint32_t r[4];

    __cpuid(0, r[EAX], r[EBX], r[ECX], r[EDX]);
    c->cpuid_level = MIN(r[EAX], 0x1fu);
    memcpy(c->vendor, &r[EBX], 4);
    memcpy(c->vendor + 4, &r[EDX], 4);
    memcpy(c->vendor + 8, &r[ECX], 4);
    c->vendor[12] = 0;
    __cpuid(1, r[EAX], r[EBX], r[ECX], r[EDX]);
    c->stepping = r[EAX] & 15;
    c->family = (r[EAX] >> 8 & 15) + ((r[EAX] >> 8 & 15) == 15 ? r[EAX] >> 20 & 0xff : 0);
    c->model_no = (r[EAX] >> 4 & 15) | (r[EAX] >> 16 & 15) << 4;
    __cpuid(0x80000000, r[EAX], r[EBX], r[ECX], r[EDX]);
    c->cpuid_xlevel = MIN(r[EAX], 0x80000008u);
    memset(c->brand, 0, sizeof(c->brand));
    for (unsigned n = 0; n < 3 && r[EAX] >= 0x80000004; n++) {
        uint32_t b[4];
        __cpuid(0x80000002 + n, b[EAX], b[EBX], b[ECX], b[EDX]);
        memcpy(c->brand + 16 * n, b, 16);
    }
    if (kvm.software) {
        c->features[FEAT_KVM] = x86_kvm_default_features;
    }
    return true;
}

/* ---- what the guest is told -------------------------------------------------------------------- */

static void add(const X86CPU *c, KvmCpuid *list, uint32_t leaf, uint32_t sub, bool indexed)
{
    uint32_t r[4];

    if (list->head.nent == KVM_MAX_CPUID) {
        return;
    }
    x86_cpuid(c, leaf, sub, r);
    list->entry[list->head.nent++] = (struct kvm_cpuid_entry2) {
        .function = leaf, .index = sub, .eax = r[EAX], .ebx = r[EBX], .ecx = r[ECX], .edx = r[EDX],
        .flags = indexed ? KVM_CPUID_FLAG_SIGNIFCANT_INDEX : 0,
    };
}

static unsigned subleaves(uint32_t leaf)
{
    switch (leaf) {
    case 4: case 0x8000001d: return 5;
    case 7: return 3;
    case 0xb: case 0x1f: return 3;
    case 0xd: return 32;
    default: return 0;
    }
}

static void add_range(const X86CPU *c, KvmCpuid *list, uint32_t first, uint32_t last)
{
    for (uint32_t leaf = first; leaf <= last; leaf++) {
        unsigned subs = subleaves(leaf);
        add(c, list, leaf, 0, subs);
        for (unsigned sub = 1; sub < subs; sub++) {
            add(c, list, leaf, sub, true);
        }
    }
}

bool x86_kvm_cpuid_set(KvmCpu *k, Error **err)
{
    const X86CPU *c = x86_of(k);
    g_autofree KvmCpuid *list = g_new0(KvmCpuid, 1);

    add_range(c, list, 0, MIN(c->cpuid_level, 0x1fu));
    if (x86_has(c, CPUID_HYPERVISOR)) {
        add_range(c, list, 0x40000000, 0x40000001);
    }
    add_range(c, list, 0x80000000, MIN(c->cpuid_xlevel, 0x8000001fu));
    int res = kvm_ioctl(k->fd, KVM_SET_CPUID2, list);
    return res >= 0 || fail_errno(err, -res, "KVM does not take the CPUID of this CPU model");
}

void x86_kvm_cpuid_init(void)
{
    offered = g_new0(KvmCpuid, 1);
    offered->head.nent = KVM_MAX_CPUID;
    if (kvm_ioctl(kvm.fd, KVM_GET_SUPPORTED_CPUID, offered) < 0) {
        offered->head.nent = 0;
    }
    read_offer();
    x86_kvm_features = features;
    x86_kvm_host_model = host_model;
    /* A software KVM shares the guest with the interpreter, whose TSC may differ from the
     * kernel's by what NTP does in between: no clock that trusts it to the nanosecond, unless
     * asked for. */
    x86_kvm_default_features = offered_words[FEAT_KVM]
        & (kvm.software ? KVM_NOPIODELAY | KVM_EXT_DEST
                        : KVM_CLOCK_FEATURES | KVM_NOPIODELAY | KVM_STEAL | KVM_EOI | 1u << 4 | KVM_EXT_DEST);
}
