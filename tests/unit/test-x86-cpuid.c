/* SPDX-License-Identifier: MIT */
/*
 * CPU models, the -cpu option and CPUID: every model can be made, tells only what the engine
 * has, and its leaves agree with each other; mistakes in the option are explained.
 */
#include "tests/unit/x86-test.h"

#include "target-i386/fxsave.h"
#include "target-i386/insn.h"

/* A CPU that belongs to no machine. */
static X86CPU *make(const char *spec, Error **err)
{
    X86CPU *c = g_aligned_alloc0(1, sizeof(X86CPU), 64);

    c->cpu.index = 1;           /* warnings come from CPU 0 only */
    c->apic_base = APIC_BASE_ENABLE;
    if (!x86_model_apply(c, spec, err)) {
        g_aligned_free(c);
        return NULL;
    }
    return c;
}

static char **model_names(void)
{
    GString *help = g_string_new(NULL);
    GPtrArray *names = g_ptr_array_new();

    x86_cpu_help(help);
    char **lines = g_strsplit(help->str, "\n", -1);
    for (char **l = lines; *l; l++) {
        if (g_str_has_prefix(*l, "x86 ")) {
            char **words = g_strsplit(*l + 4, " ", 2);
            if (strcmp(words[0], "host") != 0) {
                g_ptr_array_add(names, g_strdup(words[0]));
            }
            g_strfreev(words);
        }
    }
    g_ptr_array_add(names, NULL);
    g_strfreev(lines);
    g_string_free(help, true);
    return (char **)g_ptr_array_free(names, false);
}

static void check_consistent(X86CPU *c)
{
    uint32_t r[4], sub[4];

    for (unsigned w = 0; w < FEAT_WORDS; w++) {
        g_assert_cmphex(c->features[w] & ~x86_tcg_features[w], ==, 0);
    }
    x86_cpuid(c, 0, 0, r);
    g_assert_cmpuint(r[0], ==, c->cpuid_level);
    g_assert_cmpmem(&r[1], 4, c->vendor, 4);
    g_assert_cmpmem(&r[3], 4, c->vendor + 4, 4);
    g_assert_cmpmem(&r[2], 4, c->vendor + 8, 4);

    x86_cpuid(c, 1, 0, r);
    unsigned family = r[0] >> 8 & 15, model = r[0] >> 4 & 15;
    if (family == 15) {
        family += r[0] >> 20 & 0xff;
    }
    model |= r[0] >> 12 & 0xf0;
    g_assert_cmpuint(family, ==, c->family);
    g_assert_cmpuint(model, ==, c->model_no);
    g_assert_cmpuint(r[0] & 15, ==, c->stepping);

    /* What has a leaf of its own lies within the level. */
    if (c->features[FEAT_7_0_EBX] | c->features[FEAT_7_0_ECX]) {
        g_assert_cmpuint(c->cpuid_level, >=, 7);
    }
    if (x86_has(c, CPUID_XSAVE)) {
        /* Each component lies behind the header and inside the size of all of them. */
        uint64_t all;
        x86_cpuid(c, 0xd, 0, r);
        all = r[0] | (uint64_t)r[3] << 32;
        g_assert_cmphex(all, ==, x86_xcr0_valid(c));
        g_assert_cmpuint(r[2], ==, x86_xsave_size(all, false));
        for (unsigned i = 2; i < 63; i++) {
            x86_cpuid(c, 0xd, i, sub);
            g_assert_cmpint(sub[0] != 0, ==, all >> i & 1);
            if (sub[0]) {
                g_assert_cmpuint(sub[1], >=, 576);
                g_assert_cmpuint(sub[0] + sub[1], <=, r[2]);
            }
        }
    }
    if (x86_has(c, CPUID_LM)) {
        x86_cpuid(c, 0x80000000, 0, r);
        g_assert_cmphex(r[0], >=, 0x80000008);
        x86_cpuid(c, 0x80000008, 0, r);
        g_assert_cmpuint(r[0] & 0xff, ==, 40);
        g_assert_cmpuint(r[0] >> 8 & 0xff, ==, x86_has(c, CPUID_LA57) ? 57 : 48);
    }
    /* AMD repeats leaf 1 in the extended one. */
    if (strcmp(c->vendor, "AuthenticAMD") == 0 && c->cpuid_xlevel >= 0x80000001) {
        x86_cpuid(c, 1, 0, r);
        x86_cpuid(c, 0x80000001, 0, sub);
        g_assert_cmphex(r[3] & 0x0183f3ff, ==, sub[3] & 0x0183f3ff);
    }
    /* Brand string: three leaves of 16 bytes. */
    if (c->cpuid_xlevel >= 0x80000004) {
        char brand[49] = { 0 };
        for (unsigned i = 0; i < 3; i++) {
            x86_cpuid(c, 0x80000002 + i, 0, r);
            memcpy(brand + i * 16, r, 16);
        }
        g_assert_cmpstr(brand, ==, c->brand);
    }
}

static void test_all_models(void)
{
    char **names = model_names();
    unsigned n = 0;

    for (; names[n]; n++) {
        Error *err = NULL;
        X86CPU *c = make(names[n], &err);
        g_assert_no_error(err);
        check_consistent(c);
        g_aligned_free(c);
    }
    g_assert_cmpuint(n, >=, 130);
    g_strfreev(names);
}

static void test_options(void)
{
    X86CPU *c;

    c = make("qemu64", NULL);
    g_assert_false(x86_has(c, CPUID_SSSE3));
    g_assert_true(x86_has(c, CPUID_HYPERVISOR));
    g_assert_cmphex(c->cpuid_xlevel, ==, 0x8000000a);
    g_aligned_free(c);
    c = make("qemu64,+ssse3,sse4_1=on,-lm,model-id=Test CPU,family=6,level=11", NULL);
    g_assert_true(x86_has(c, CPUID_SSSE3));
    g_assert_true(x86_has(c, CPUID_SSE41));
    g_assert_false(x86_has(c, CPUID_LM));
    g_assert_cmpstr(c->brand, ==, "Test CPU");
    g_assert_cmpuint(c->family, ==, 6);
    g_assert_cmpuint(c->cpuid_level, ==, 11);
    g_aligned_free(c);
    /* No AVX2 without AVX, no AVX without XSAVE. */
    c = make("max,-xsave", NULL);
    g_assert_false(x86_has(c, CPUID_AVX2));
    g_assert_false(x86_has(c, CPUID_PKU));
    g_aligned_free(c);
    /* A second name, a version. */
    c = make("Haswell-noTSX", NULL);
    X86CPU *d = make("Haswell-v2", NULL);
    g_assert_cmpmem(c->features, sizeof(c->features), d->features, sizeof(d->features));
    g_aligned_free(c);
    g_aligned_free(d);
    c = make("max,phys-bits=46,tsc-frequency=2000000000", NULL);
    g_assert_cmpuint(c->phys_bits, ==, 46);
    g_assert_cmpuint(c->tsc_hz, ==, 2000000000);
    g_aligned_free(c);
    c = make("max,migratable=off", NULL);
    g_assert_true(x86_has(c, CPUID_INVTSC));
    g_aligned_free(c);
    /* The levels follow the features. */
    c = make("pentium3,+smep", NULL);
    g_assert_cmpuint(c->cpuid_level, ==, 7);
    g_aligned_free(c);
}

static void test_errors(void)
{
    static const struct {
        const char *spec, *message;
    } cases[] = {
        { "nosuchcpu", "unable to find CPU model 'nosuchcpu'" },
        { "", "unable to find CPU model" },
        { "host", "requires KVM" },
        { "qemu64,+nosuch", "unknown feature or property 'nosuch'" },
        { "qemu64,+pclmulqdk", "did you mean 'pclmulqdq'" },
        { "qemu64,nosuch=1", "unknown feature or property 'nosuch'" },
        { "qemu64,lm=maybe", "expected 'on' or 'off'" },
        { "qemu64,family=x", "expected a number" },
        { "qemu64,stepping=16", "up to 15" },
        { "qemu64,phys-bits=20", "phys-bits" },
        { "qemu64,vendor=Intel", "12 characters" },
        { "max,pmu=on", "no performance counters" },
        { "qemu64,+osxsave", "follows CR4" },
        { "qemu64,+avx512f,enforce", "doesn't support requested features" },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        Error *err = NULL;
        g_assert_null(make(cases[i].spec, &err));
        g_assert_nonnull(err);
        if (!strstr(err->message, cases[i].message)) {
            g_error("-cpu %s: \"%s\" lacks \"%s\"", cases[i].spec, err->message,
                    cases[i].message);
        }
        g_clear_error(&err);
    }
    /* Without enforce the feature is just missing. */
    X86CPU *c = make("qemu64,+avx512f", NULL);
    g_assert_false(x86_has(c, CPUID_AVX512F));
    g_aligned_free(c);
}

static void test_leaves(void)
{
    X86CPU *c = make("max", NULL);
    uint32_t r[4], s[4];

    /* The hypervisor's leaf; silence where there is none. */
    x86_cpuid(c, 0x40000000, 0, r);
    g_assert_cmpmem(&r[1], 12, "TCGTCGTCGTCG", 12);
    g_aligned_free(c);
    c = make("max,tcg-cpuid=off", NULL);
    x86_cpuid(c, 0x40000000, 0, r);
    g_assert_cmphex(r[0] | r[1] | r[2] | r[3], ==, 0);
    /* Beyond the last basic leaf: that leaf again. */
    x86_cpuid(c, c->cpuid_level, 5, r);
    x86_cpuid(c, 0x3000, 5, s);
    g_assert_cmpmem(r, sizeof(r), s, sizeof(s));
    /* OSXSAVE, OSPKE and APIC follow the registers. */
    x86_cpuid(c, 1, 0, r);
    g_assert_false(r[2] >> 27 & 1);
    g_assert_true(r[3] >> 9 & 1);
    c->cr4 = CR4_OSXSAVE | CR4_PKE;
    c->apic_base = 0;
    x86_cpuid(c, 1, 0, r);
    g_assert_true(r[2] >> 27 & 1);
    g_assert_false(r[3] >> 9 & 1);
    x86_cpuid(c, 7, 0, r);
    g_assert_true(r[2] >> 4 & 1);
    g_aligned_free(c);
}

static void test_topology(void)
{
    X86CPU *c = make("Haswell", NULL);
    uint32_t r[4];

    c->cpu.index = 5;
    x86_cpu_set_topology(c, 3, 2);              /* core 2, thread 1 of socket 0 */
    g_assert_cmphex(c->apic_id, ==, 5);
    x86_cpuid(c, 0xb, 0, r);
    g_assert_cmpuint(r[0], ==, 1);
    g_assert_cmpuint(r[1], ==, 2);
    g_assert_cmphex(r[2], ==, 0x100);
    x86_cpuid(c, 0xb, 1, r);
    g_assert_cmpuint(r[0], ==, 3);
    g_assert_cmpuint(r[1], ==, 6);
    g_assert_cmphex(r[2], ==, 0x201);
    g_assert_cmpuint(r[3], ==, 5);
    x86_cpuid(c, 0xb, 2, r);
    g_assert_cmphex(r[1], ==, 0);
    x86_cpuid(c, 1, 0, r);
    g_assert_cmphex(r[1] >> 16, ==, 5 << 8 | 6);
    g_assert_true(r[3] >> 28 & 1);              /* HTT */
    c->cpu.index = 6;
    x86_cpu_set_topology(c, 3, 2);              /* first of socket 1 */
    g_assert_cmphex(c->apic_id, ==, 8);
    g_aligned_free(c);
}

static void test_names(void)
{
    for (unsigned f = 0; f < FEAT_WORDS * 64; f++) {
        const char *name = x86_feature_name(f);
        if (name) {
            /* kvmclock is the name of two bits, and stands for both */
            unsigned first = f == CPUID_KVMCLOCK2 ? CPUID_KVMCLOCK : f;
            g_assert_cmpint(x86_feature_find(name), ==, first);
            g_assert_nonnull(x86_feature_word_name(f / 64));
        }
    }
    g_assert_cmpint(x86_feature_find("sse4_2"), ==, CPUID_SSE42);
    g_assert_cmpint(x86_feature_find("sse3"), ==, CPUID_SSE3);
    g_assert_cmpint(x86_feature_find("xd"), ==, CPUID_NX);
    g_assert_cmpint(x86_feature_find(""), ==, -1);
}

/* A feature that brings instructions is claimed if and only if the table has them. */
static void test_instruction_table(void)
{
    bool in_table[FEAT_WORDS * 64] = { false };

    for (unsigned i = 0; i < insn_row_count; i++) {
        if (insn_rows[i].feature != CPUID_ALWAYS) {
            in_table[insn_rows[i].feature] = true;
        }
    }
    for (unsigned f = 0; f < G_N_ELEMENTS(in_table); f++) {
        if (in_table[f] && !(x86_tcg_features[f / 64] >> (f & 63) & 1)) {
            g_error("instructions of %s exist but the feature is not claimed",
                    x86_feature_name(f));
        }
    }
    static const uint16_t need[] = {
        CPUID_CMOV, CPUID_CX8, CPUID_CX16, CPUID_MMX, CPUID_FXSR, CPUID_SSE, CPUID_SSE2,
        CPUID_SSE3, CPUID_SSSE3, CPUID_SSE41, CPUID_SSE42, CPUID_POPCNT, CPUID_AES,
        CPUID_PCLMULQDQ, CPUID_MOVBE, CPUID_RDRAND, CPUID_RDSEED, CPUID_ADX, CPUID_BMI1,
        CPUID_BMI2, CPUID_F16C, CPUID_FMA, CPUID_AVX, CPUID_AVX2, CPUID_XSAVE, CPUID_XSAVEOPT,
        CPUID_XSAVEC, CPUID_FSGSBASE, CPUID_INVPCID, CPUID_RDTSCP, CPUID_RDPID, CPUID_SYSCALL,
        CPUID_SEP, CPUID_MONITOR, CPUID_CLFLUSH, CPUID_CLFLUSHOPT, CPUID_CLWB, CPUID_SMAP,
        CPUID_PKU, CPUID_LAHF_LM, CPUID_ABM, CPUID_TSC, CPUID_MSR, CPUID_XSAVES, CPUID_SHA_NI,
        CPUID_VPCLMULQDQ, CPUID_SERIALIZE,
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(need); i++) {
        bool claimed = x86_tcg_features[need[i] / 64] >> (need[i] & 63) & 1;
        if (claimed && !in_table[need[i]]) {
            g_error("%s is claimed but no row of the instruction table has it",
                    x86_feature_name(need[i]));
        }
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/x86/cpuid/models", test_all_models);
    g_test_add_func("/x86/cpuid/options", test_options);
    g_test_add_func("/x86/cpuid/errors", test_errors);
    g_test_add_func("/x86/cpuid/leaves", test_leaves);
    g_test_add_func("/x86/cpuid/topology", test_topology);
    g_test_add_func("/x86/cpuid/names", test_names);
    g_test_add_func("/x86/cpuid/instructions", test_instruction_table);
    return g_test_run();
}
