/* SPDX-License-Identifier: MIT */
/*
 * CPUID: the feature names, the mask of what the engine implements, and the instruction's
 * answer, leaf by leaf.  Pure functions of the CPU's identity, features and a few control
 * bits (OSXSAVE, OSPKE, APIC enable, XCR0), so that KVM is given the same table.
 *
 * Sources: SDM 2A CPUID; APM 3 appendix E.
 */
#include "target-i386/cpuid.h"

#include <string.h>

#include "accel/accel.h"
#include "target-i386/fxsave.h"
#include "target-i386/msr.h"
#include "util/bits.h"

void (*x86_kvm_features)(uint64_t features[FEAT_WORDS]);
bool (*x86_kvm_host_model)(X86CPU *c, Error **err);
uint64_t x86_kvm_default_features;

/* ---- names -------------------------------------------------------------------------------- */

static const struct {
    uint16_t feature;
    const char *name;
} feature_names[] = {
#define F(word, bit, id, n) { CPUID_##id, n },
#include "target-i386/features.def"
#undef F
};

/* Second names people know. */
static const struct {
    const char *alias, *name;
} feature_aliases[] = {
    { "sse3", "pni" }, { "pclmuldq", "pclmulqdq" }, { "ffxsr", "fxsr-opt" }, { "xd", "nx" },
    { "i64", "lm" }, { "lzcnt", "abm" },
};

/* '_' and '.' may be written '-'. */
static bool same_name(const char *a, const char *b)
{
    for (; *a && *b; a++, b++) {
        char x = *a == '_' || *a == '.' ? '-' : *a;
        char y = *b == '_' || *b == '.' ? '-' : *b;
        if (x != y) {
            return false;
        }
    }
    return *a == *b;
}

int x86_feature_find(const char *name)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(feature_aliases); i++) {
        if (same_name(name, feature_aliases[i].alias)) {
            name = feature_aliases[i].name;
            break;
        }
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(feature_names); i++) {
        if (same_name(name, feature_names[i].name)) {
            return feature_names[i].feature;
        }
    }
    return -1;
}

const char *x86_feature_name(unsigned feature)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(feature_names); i++) {
        if (feature_names[i].feature == feature) {
            return feature_names[i].name;
        }
    }
    return NULL;
}

const char *x86_feature_word_name(unsigned word)
{
    static const char *const names[FEAT_WORDS] = {
        [FEAT_1_EDX] = "CPUID.01H:EDX", [FEAT_1_ECX] = "CPUID.01H:ECX",
        [FEAT_7_0_EBX] = "CPUID.07H:EBX", [FEAT_7_0_ECX] = "CPUID.07H:ECX",
        [FEAT_7_0_EDX] = "CPUID.07H:EDX", [FEAT_7_1_EAX] = "CPUID.07H:EAX",
        [FEAT_8000_0001_EDX] = "CPUID.80000001H:EDX",
        [FEAT_8000_0001_ECX] = "CPUID.80000001H:ECX",
        [FEAT_8000_0007_EDX] = "CPUID.80000007H:EDX",
        [FEAT_8000_0008_EBX] = "CPUID.80000008H:EBX",
        [FEAT_8000_000A_EDX] = "CPUID.8000000AH:EDX",
        [FEAT_XSAVE] = "CPUID.0DH:EAX", [FEAT_6_EAX] = "CPUID.06H:EAX",
        [FEAT_ARCH_CAPS] = "MSR(10AH)", [FEAT_CORE_CAPS] = "MSR(CFH)",
        [FEAT_KVM] = "CPUID.40000001H:EAX",
    };
    return names[word];
}

/* ---- what the engine implements -------------------------------------------------------------- */

#define B(id) (1ull << (CPUID_##id & 63))

const uint64_t x86_tcg_features[FEAT_WORDS] = {
    [FEAT_1_EDX] = B(FPU) | B(VME) | B(DE) | B(PSE) | B(TSC) | B(MSR) | B(PAE) | B(MCE) | B(CX8)
        | B(APIC) | B(SEP) | B(MTRR) | B(PGE) | B(MCA) | B(CMOV) | B(PAT) | B(PSE36)
        | B(CLFLUSH) | B(ACPI) | B(MMX) | B(FXSR) | B(SSE) | B(SSE2) | B(SS) | B(HT),
    [FEAT_1_ECX] = B(SSE3) | B(PCLMULQDQ) | B(MONITOR) | B(SSSE3) | B(FMA) | B(CX16) | B(PCID)
        | B(SSE41) | B(SSE42) | B(X2APIC) | B(MOVBE) | B(POPCNT) | B(TSC_DEADLINE) | B(AES)
        | B(XSAVE) | B(OSXSAVE) | B(AVX) | B(F16C) | B(RDRAND) | B(HYPERVISOR),
    [FEAT_7_0_EBX] = B(FSGSBASE) | B(TSC_ADJUST) | B(BMI1) | B(AVX2) | B(SMEP) | B(BMI2)
        | B(ERMS) | B(INVPCID) | B(RDSEED) | B(ADX) | B(SMAP) | B(CLFLUSHOPT) | B(CLWB)
        | B(SHA_NI),
    [FEAT_7_0_ECX] = B(UMIP) | B(PKU) | B(OSPKE) | B(VPCLMULQDQ) | B(LA57) | B(RDPID) | B(PKS),
    [FEAT_7_0_EDX] = B(FSRM) | B(SERIALIZE),
    [FEAT_8000_0001_EDX] = B(SYSCALL) | B(NX) | B(PDPE1GB) | B(RDTSCP) | B(LM),
    [FEAT_8000_0001_ECX] = B(LAHF_LM) | B(CMP_LEGACY) | B(ABM) | B(PREFETCHW) | B(TOPOEXT),
    [FEAT_8000_0007_EDX] = B(INVTSC),
    [FEAT_6_EAX] = B(ARAT),
    [FEAT_XSAVE] = B(XSAVEOPT) | B(XSAVEC) | B(XGETBV1) | B(XSAVES),
};

/* ---- caches ------------------------------------------------------------------------------------ */

typedef enum { CACHE_DATA = 1, CACHE_CODE, CACHE_UNIFIED } CacheType;

typedef struct Cache {
    CacheType type;
    uint8_t level, ways;
    uint32_t kib;
    bool shared;              /* by all cores of the socket */
    bool inclusive;
} Cache;

#define LINE 64

static const Cache intel_caches[] = {
    { CACHE_DATA, 1, 8, 32, false, false },
    { CACHE_CODE, 1, 8, 32, false, false },
    { CACHE_UNIFIED, 2, 16, 4096, false, false },
    { CACHE_UNIFIED, 3, 16, 16384, true, true },
};
static const Cache amd_caches[] = {
    { CACHE_DATA, 1, 2, 64, false, false },
    { CACHE_CODE, 1, 2, 64, false, false },
    { CACHE_UNIFIED, 2, 16, 512, false, false },
    { CACHE_UNIFIED, 3, 16, 16384, true, true },
};
#define NCACHES 4

static bool is_amd(const X86CPU *c)
{
    return strcmp(c->vendor, "AuthenticAMD") == 0 || strcmp(c->vendor, "HygonGenuine") == 0;
}

static bool is_intel(const X86CPU *c)
{
    return strcmp(c->vendor, "GenuineIntel") == 0;
}

static unsigned cores(const X86CPU *c)
{
    return c->cores ? c->cores : 1;
}

static unsigned threads(const X86CPU *c)
{
    return c->threads ? c->threads : 1;
}

/* Bits needed to number n things. */
static unsigned id_bits(unsigned n)
{
    return n <= 1 ? 0 : 32 - __builtin_clz(n - 1);
}

/* ---- leaves ---------------------------------------------------------------------------------------- */

enum { EAX, EBX, ECX, EDX };

static void put_string(uint32_t *regs, const char *s, size_t len)
{
    for (size_t i = 0; i < len / 4; i++) {
        regs[i] = ld32_le(s + i * 4);
    }
}

static void put_vendor(const X86CPU *c, uint32_t out[4])
{
    char v[12] = { 0 };

    memcpy(v, c->vendor, strnlen(c->vendor, sizeof(v)));
    out[EBX] = ld32_le(v);
    out[EDX] = ld32_le(v + 4);
    out[ECX] = ld32_le(v + 8);
}

static uint32_t signature(const X86CPU *c)
{
    uint32_t family = c->family > 15 ? 15 << 8 | (c->family - 15) << 20 : c->family << 8;

    return family | (c->model_no & 15) << 4 | (c->model_no >> 4 & 15) << 16 | (c->stepping & 15);
}

static void leaf_1(const X86CPU *c, uint32_t out[4])
{
    unsigned logical = cores(c) * threads(c);

    out[EAX] = signature(c);
    out[EBX] = c->apic_id << 24 | (x86_has(c, CPUID_CLFLUSH) ? LINE / 8 << 8 : 0);
    out[ECX] = c->features[FEAT_1_ECX] & ~B(OSXSAVE);
    out[EDX] = c->features[FEAT_1_EDX];
    if (c->cr4 & CR4_OSXSAVE) {
        out[ECX] |= B(OSXSAVE);
    }
    if (!(c->apic_base & APIC_BASE_ENABLE)) {
        out[EDX] &= ~(uint32_t)B(APIC);
    }
    if (logical > 1) {
        out[EBX] |= MIN(logical, 255u) << 16;
        out[EDX] |= B(HT);
    }
}

/* Cache and TLB descriptors: 32K L1s, 2M L2, 16M L3 (the bytes cannot say 4M). */
static void leaf_2(const X86CPU *c, uint32_t out[4])
{
    if (!is_amd(c)) {
        out[EAX] = 1;
        out[ECX] = c->l3_cache ? 0x4d : 0;
        out[EDX] = 0x2c << 16 | 0x30 << 8 | 0x7d;
    }
}

/* One cache, in the encoding of leaf 4 (Intel) and 8000_001D (AMD). */
static void cache_leaf(const X86CPU *c, const Cache *k, uint32_t out[4])
{
    unsigned sets = k->kib * 1024 / (LINE * k->ways);
    unsigned sharing = k->shared ? cores(c) * threads(c) : threads(c);

    out[EAX] = k->type | k->level << 5 | 1 << 8 /* self-initializing */;
    if (is_amd(c)) {
        out[EAX] |= (sharing - 1) << 14;
    } else {
        out[EAX] |= ((1u << id_bits(sharing)) - 1) << 14
                    | ((1u << id_bits(cores(c))) - 1) << 26;
    }
    out[EBX] = (LINE - 1) | (k->ways - 1u) << 22;
    out[ECX] = sets - 1;
    out[EDX] = k->inclusive ? 1 << 1 : 1;
}

static void leaf_4(const X86CPU *c, uint32_t sub, uint32_t out[4])
{
    if (!is_amd(c) && sub < (c->l3_cache ? NCACHES : NCACHES - 1)) {
        cache_leaf(c, &intel_caches[sub], out);
    }
}

static void leaf_7(const X86CPU *c, uint32_t sub, uint32_t out[4])
{
    if (sub == 0) {
        out[EAX] = c->features[FEAT_7_1_EAX] ? 1 : 0;
        out[EBX] = c->features[FEAT_7_0_EBX];
        out[ECX] = c->features[FEAT_7_0_ECX] & ~B(OSPKE);
        out[EDX] = c->features[FEAT_7_0_EDX];
        if (c->cr4 & CR4_PKE) {
            out[ECX] |= B(OSPKE);
        }
    } else if (sub == 1) {
        out[EAX] = c->features[FEAT_7_1_EAX];
    }
}

/* Threads of a core, then cores of a socket. */
static void leaf_topology(const X86CPU *c, uint32_t sub, uint32_t out[4])
{
    unsigned thread_bits = id_bits(threads(c)), core_bits = id_bits(cores(c)) + thread_bits;

    out[ECX] = sub & 0xff;
    out[EDX] = c->apic_id;
    if (sub == 0) {
        out[EAX] = thread_bits;
        out[EBX] = threads(c);
        out[ECX] |= 1 << 8;
    } else if (sub == 1) {
        out[EAX] = core_bits;
        out[EBX] = cores(c) * threads(c);
        out[ECX] |= 2 << 8;
    }
}

/* ---- XSAVE ------------------------------------------------------------------------------------------ */

static uint64_t xsave_bits(const X86CPU *c)
{
    return XCR0_X87 | XCR0_SSE | (x86_has(c, CPUID_AVX) ? XCR0_AVX : 0)
           | (x86_has(c, CPUID_PKU) ? XCR0_PKRU : 0);
}

static void leaf_d(const X86CPU *c, uint32_t sub, uint32_t out[4])
{
    uint64_t all = xsave_bits(c);

    if (!x86_has(c, CPUID_XSAVE)) {
        return;
    }
    if (sub == 0) {
        out[EAX] = all;
        out[EDX] = all >> 32;
        out[EBX] = x86_xsave_size(c->xcr0, false);
        out[ECX] = x86_xsave_size(all, false);
    } else if (sub == 1) {
        out[EAX] = c->features[FEAT_XSAVE];
        if (x86_has(c, CPUID_XSAVEC)) {
            out[EBX] = x86_xsave_size(c->xcr0 | c->xss, true);
        }
    } else if (sub < 64 && (all >> sub & 1)) {
        const XsaveComponent *part = x86_xsave_component(sub);
        out[EAX] = part->size;
        out[EBX] = part->offset;
    }
}

/* ---- extended leaves ------------------------------------------------------------------------------ */

/* Bits of leaf 1 EDX that AMD repeats in 8000_0001 EDX. */
#define AMD_ALIASES 0x0183f3ff

static void leaf_80000001(const X86CPU *c, uint32_t out[4])
{
    out[EAX] = signature(c);
    out[ECX] = c->features[FEAT_8000_0001_ECX];
    out[EDX] = c->features[FEAT_8000_0001_EDX];
    if (is_amd(c)) {
        out[EDX] |= c->features[FEAT_1_EDX] & AMD_ALIASES;
        if (cores(c) * threads(c) > 1) {
            out[ECX] |= B(CMP_LEGACY);
        }
    } else {
        out[ECX] &= ~(uint32_t)B(CMP_LEGACY);
        if (is_intel(c) && !(c->efer & EFER_LMA)) {
            out[EDX] &= ~(uint32_t)B(SYSCALL);
        }
    }
}

/* L1: TLBs of large and small pages, then size in KiB, ways, lines a tag, line size. */
static void leaf_80000005(const X86CPU *c, uint32_t out[4])
{
    if (is_amd(c)) {
        out[EAX] = 0x01ff01ff;
        out[EBX] = 0x01ff01ff;
        out[ECX] = amd_caches[0].kib << 24 | amd_caches[0].ways << 16 | 1 << 8 | LINE;
        out[EDX] = amd_caches[1].kib << 24 | amd_caches[1].ways << 16 | 1 << 8 | LINE;
    }
}

/* L2 and L3; 8 is the code of 16 ways. */
static void leaf_80000006(const X86CPU *c, uint32_t out[4])
{
    const Cache *k = is_amd(c) ? amd_caches : intel_caches;

    if (is_amd(c)) {
        out[EBX] = 0x42004200;
        out[EDX] = c->l3_cache ? k[3].kib / 512 << 18 | 8 << 12 | 1 << 8 | LINE : 0;
    }
    out[ECX] = k[2].kib << 16 | 8 << 12 | 1 << 8 | LINE;
}

static void leaf_80000008(const X86CPU *c, uint32_t out[4])
{
    unsigned logical = cores(c) * threads(c);

    out[EAX] = c->phys_bits;
    if (x86_has(c, CPUID_LM)) {
        out[EAX] |= c->virt_bits << 8;
    }
    out[EBX] = c->features[FEAT_8000_0008_EBX];
    if (is_amd(c) && logical > 1) {
        out[ECX] = id_bits(logical) << 12 | (logical - 1);
    }
}

static void leaf_extended(const X86CPU *c, uint32_t leaf, uint32_t sub, uint32_t out[4])
{
    switch (leaf) {
    case 0x80000000:
        out[EAX] = c->cpuid_xlevel;
        put_vendor(c, out);
        break;
    case 0x80000001:
        leaf_80000001(c, out);
        break;
    case 0x80000002: case 0x80000003: case 0x80000004:
        put_string(out, c->brand + (leaf - 0x80000002) * 16, 16);
        break;
    case 0x80000005:
        leaf_80000005(c, out);
        break;
    case 0x80000006:
        leaf_80000006(c, out);
        break;
    case 0x80000007:
        out[EDX] = c->features[FEAT_8000_0007_EDX];
        break;
    case 0x80000008:
        leaf_80000008(c, out);
        break;
    case 0x8000000a:
        if (x86_has(c, CPUID_SVM)) {
            out[EAX] = 1;
            out[EBX] = 16;
            out[EDX] = c->features[FEAT_8000_000A_EDX];
        }
        break;
    case 0x8000001d:
        if (x86_has(c, CPUID_TOPOEXT) && sub < (c->l3_cache ? NCACHES : NCACHES - 1)) {
            cache_leaf(c, &amd_caches[sub], out);
        }
        break;
    case 0x8000001e:
        if (x86_has(c, CPUID_TOPOEXT)) {
            out[EAX] = c->apic_id;
            out[EBX] = (c->apic_id >> id_bits(threads(c))) | (threads(c) - 1) << 8;
            out[ECX] = c->apic_id >> id_bits(cores(c) * threads(c));
        }
        break;
    }
}

static void leaf_basic(const X86CPU *c, uint32_t leaf, uint32_t sub, uint32_t out[4])
{
    switch (leaf) {
    case 0:
        out[EAX] = c->cpuid_level;
        put_vendor(c, out);
        break;
    case 1:
        leaf_1(c, out);
        break;
    case 2:
        leaf_2(c, out);
        break;
    case 4:
        leaf_4(c, sub, out);
        break;
    case 6:
        out[EAX] = c->features[FEAT_6_EAX];
        break;
    case 7:
        leaf_7(c, sub, out);
        break;
    case 0xb: case 0x1f:
        leaf_topology(c, sub, out);
        break;
    case 0xd:
        leaf_d(c, sub, out);
        break;
    /* 3 serial number, 5 MONITOR hints, 9 DCA, Ah counters, 10h.. resource control, SGX,
     * trace, 15h/16h frequencies: nothing to tell */
    }
}

/* Who runs the guest, and what it offers beyond a real CPU. */
static void leaf_hypervisor(const X86CPU *c, uint32_t leaf, uint32_t out[4])
{
    if (leaf == 0x40000000) {
        out[EAX] = 0x40000001;
        put_string(out + EBX, x86_kvm_features ? "KVMKVMKVM\0\0" : "TCGTCGTCGTCG", 12);
    } else if (leaf == 0x40000001) {
        out[EAX] = c->features[FEAT_KVM];
    }
}

void x86_cpuid(const X86CPU *c, uint32_t leaf, uint32_t sub, uint32_t out[4])
{
    memset(out, 0, 4 * sizeof(out[0]));
    if (leaf >= 0x80000000 && leaf <= 0x8000ffff && leaf <= c->cpuid_xlevel) {
        leaf_extended(c, leaf, sub, out);
        return;
    }
    if (leaf >= 0x40000000 && leaf <= 0x400000ff) {
        if (x86_has(c, CPUID_HYPERVISOR) && c->hypervisor_leaf) {
            leaf_hypervisor(c, leaf, out);
        }
        return;
    }
    /* Beyond the highest leaf Intel answers with the highest basic one. */
    if (leaf > c->cpuid_level) {
        leaf = c->cpuid_level;
    }
    leaf_basic(c, leaf, sub, out);
}
