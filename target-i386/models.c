/* SPDX-License-Identifier: MIT */
/*
 * CPU models: what -cpu MODEL[,+feature][,-feature][,property=value]... makes of a CPU.
 *
 * The rows are in models.def.  "max" is all the accelerator offers, "host" the host's own CPU
 * (KVM).  Features the accelerator lacks are taken out with a warning, or refused with
 * enforce; features whose base is missing go silently with it (no AVX without XSAVE).
 */
#include "target-i386/cpuid.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "accel/accel.h"
#include "util/error.h"

typedef struct CpuModel {
    const char *name, *parent, *vendor;
    uint32_t family, model, stepping, level, xlevel;
    const char *brand, *changes;
} CpuModel;

#define INTEL "GenuineIntel"
#define AMD   "AuthenticAMD"
#define HYGON "HygonGenuine"
#define NONE  ""

static const CpuModel models[] = {
#define MODEL(...) { __VA_ARGS__ },
#define ALIAS(name, of)
#include "target-i386/models.def"
#undef MODEL
#undef ALIAS
};

static const struct {
    const char *name, *of;
} aliases[] = {
#define MODEL(...)
#define ALIAS(name, of) { name, of },
#include "target-i386/models.def"
#undef MODEL
#undef ALIAS
};

static const CpuModel model_max = {
    .name = "max", .vendor = AMD, .family = 15, .model = 107, .stepping = 1, .level = 0xd,
    .xlevel = 0x8000000a, .brand = "QEMU TCG CPU version 2.5+",
};
static const CpuModel model_host = { .name = "host" };

static const CpuModel *model_find(const char *name)
{
    if (strcmp(name, "max") == 0) {
        return &model_max;
    }
    if (strcmp(name, "host") == 0) {
        return &model_host;
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(aliases); i++) {
        if (strcmp(name, aliases[i].name) == 0) {
            name = aliases[i].of;
            break;
        }
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(models); i++) {
        if (strcmp(name, models[i].name) == 0) {
            return &models[i];
        }
    }
    return NULL;
}

static void set_feature(uint64_t *words, unsigned feature, bool on)
{
    uint64_t bit = 1ull << (feature & 63);
    words[feature >> 6] = on ? words[feature >> 6] | bit : words[feature >> 6] & ~bit;
}

/* The features of a row: its parent's with the changes applied. */
static void model_features(const CpuModel *m, uint64_t *words)
{
    if (m->parent) {
        model_features(model_find(m->parent), words);
    }
    char **items = g_strsplit(m->changes, " ", -1);
    for (char **i = items; *i; i++) {
        if (**i) {
            int feature = x86_feature_find(*i + 1);
            g_assert(feature >= 0);
            set_feature(words, feature, **i == '+');
        }
    }
    g_strfreev(items);
}

/* ---- what the accelerator can do --------------------------------------------------------- */

static bool on_kvm(void)
{
    return accel_current && strcmp(accel_current->name, "kvm") == 0 && x86_kvm_features;
}

static void accel_features(uint64_t *words)
{
    if (on_kvm()) {
        x86_kvm_features(words);
    } else {
        memcpy(words, x86_tcg_features, sizeof(x86_tcg_features));
    }
}

bool x86_features_fit(const X86CPU *c, bool kvm, Error **err)
{
    uint64_t have[FEAT_WORDS] = { 0 };

    if (kvm && x86_kvm_features) {
        x86_kvm_features(have);
    } else if (!kvm) {
        memcpy(have, x86_tcg_features, sizeof(have));
        have[FEAT_KVM] = 1 << 1;        /* "ports need no delay" holds everywhere */
    }
    for (unsigned f = 0; f < FEAT_WORDS * 64; f++) {
        if ((c->features[f >> 6] & ~have[f >> 6]) >> (f & 63) & 1) {
            const char *name = x86_feature_name(f);
            return fail(err, "CPU feature %s (%s bit %u) is not there under %s; start with -cpu "
                        "...,-%s", name ? name : "without a name", x86_feature_word_name(f >> 6), f & 63,
                        kvm ? "kvm" : "tcg", name ? name : "it");
        }
    }
    return true;
}

/* A feature that means nothing without another one. */
static const struct {
    uint16_t base, dependent;
} dependencies[] = {
    { CPUID_SSE, CPUID_SSE2 }, { CPUID_SSE2, CPUID_SSE3 }, { CPUID_SSE3, CPUID_SSSE3 },
    { CPUID_SSSE3, CPUID_SSE41 }, { CPUID_SSE41, CPUID_SSE42 },
    { CPUID_SSE2, CPUID_AES }, { CPUID_SSE2, CPUID_PCLMULQDQ },
    { CPUID_FXSR, CPUID_SSE }, { CPUID_XSAVE, CPUID_XSAVEOPT }, { CPUID_XSAVE, CPUID_XSAVEC },
    { CPUID_XSAVE, CPUID_XGETBV1 }, { CPUID_XSAVE, CPUID_XSAVES }, { CPUID_XSAVE, CPUID_AVX },
    { CPUID_XSAVE, CPUID_PKU }, { CPUID_XSAVE, CPUID_MPX },
    { CPUID_AVX, CPUID_AVX2 }, { CPUID_AVX, CPUID_FMA }, { CPUID_AVX, CPUID_F16C },
    { CPUID_AVX, CPUID_VAES }, { CPUID_AVX, CPUID_VPCLMULQDQ },
    { CPUID_PAE, CPUID_LM }, { CPUID_LM, CPUID_LA57 }, { CPUID_LM, CPUID_PCID },
    { CPUID_LM, CPUID_PKU }, { CPUID_LM, CPUID_PKS }, { CPUID_LM, CPUID_FSGSBASE },
    { CPUID_APIC, CPUID_X2APIC }, { CPUID_APIC, CPUID_TSC_DEADLINE },
    { CPUID_TSC, CPUID_RDTSCP }, { CPUID_TSC, CPUID_TSC_DEADLINE },
    { CPUID_TSC, CPUID_TSC_ADJUST },
    { CPUID_SVM, CPUID_NPT }, { CPUID_SVM, CPUID_LBRV }, { CPUID_SVM, CPUID_SVM_LOCK },
    { CPUID_SVM, CPUID_NRIP_SAVE }, { CPUID_SVM, CPUID_TSC_SCALE },
    { CPUID_SVM, CPUID_VMCB_CLEAN }, { CPUID_SVM, CPUID_FLUSHBYASID },
    { CPUID_SVM, CPUID_DECODEASSISTS }, { CPUID_SVM, CPUID_PAUSE_FILTER },
    { CPUID_SVM, CPUID_PFTHRESHOLD }, { CPUID_SVM, CPUID_AVIC },
    { CPUID_SVM, CPUID_V_VMSAVE_VMLOAD }, { CPUID_SVM, CPUID_VGIF },
    { CPUID_SVM, CPUID_SVME_ADDR_CHK },
};

static void drop_dependents(X86CPU *c)
{
    bool again;

    do {
        again = false;
        for (unsigned i = 0; i < G_N_ELEMENTS(dependencies); i++) {
            if (!x86_has(c, dependencies[i].base) && x86_has(c, dependencies[i].dependent)) {
                set_feature(c->features, dependencies[i].dependent, false);
                again = true;
            }
        }
    } while (again);
}

/* ---- the command line ------------------------------------------------------------------------ */

typedef struct CpuOptions {
    uint64_t plus[FEAT_WORDS], minus[FEAT_WORDS];
    bool check, enforce, migratable, auto_level, host_phys_bits, pmu;
    bool level_set, xlevel_set;
    uint32_t min_level, min_xlevel;
} CpuOptions;

static bool parse_bool(const char *key, const char *val, bool *out, Error **err)
{
    if (!strcmp(val, "on") || !strcmp(val, "yes") || !strcmp(val, "true")) {
        *out = true;
    } else if (!strcmp(val, "off") || !strcmp(val, "no") || !strcmp(val, "false")) {
        *out = false;
    } else {
        return fail(err, "-cpu: '%s=%s': expected 'on' or 'off'", key, val);
    }
    return true;
}

static bool parse_uint(const char *key, const char *val, uint64_t max, uint64_t *out, Error **err)
{
    char *end;
    uint64_t n = strtoull(val, &end, 0);

    if (end == val || *end || *val == '-' || n > max) {
        return fail(err, "-cpu: '%s=%s': expected a number up to %" G_GUINT64_FORMAT, key, val,
                    max);
    }
    *out = n;
    return true;
}

/* Numbers of the identity. */
static bool option_number(X86CPU *c, CpuOptions *o, const char *key, const char *val, bool *known,
                          Error **err)
{
    static const struct {
        const char *name;
        uint64_t max;
    } keys[] = {
        { "family", 255 + 15 }, { "model", 255 }, { "stepping", 15 }, { "level", UINT32_MAX },
        { "xlevel", UINT32_MAX }, { "min-level", UINT32_MAX }, { "min-xlevel", UINT32_MAX },
        { "phys-bits", 52 }, { "tsc-frequency", INT64_MAX }, { "tsc-freq", INT64_MAX },
        { "ucode-rev", UINT64_MAX }, { "apic-id", UINT32_MAX },
    };
    unsigned i = 0;
    uint64_t n = 0;

    while (i < G_N_ELEMENTS(keys) && strcmp(keys[i].name, key) != 0) {
        i++;
    }
    *known = i < G_N_ELEMENTS(keys);
    if (!*known) {
        return true;
    }
    if (!parse_uint(key, val, keys[i].max, &n, err)) {
        return false;
    }
    switch (i) {
    case 0: c->family = n; break;
    case 1: c->model_no = n; break;
    case 2: c->stepping = n; break;
    case 3: c->cpuid_level = n; o->level_set = true; break;
    case 4: c->cpuid_xlevel = n; o->xlevel_set = true; break;
    case 5: o->min_level = n; break;
    case 6: o->min_xlevel = n; break;
    case 7:
        if (n && n < 32) {
            return fail(err, "-cpu: 'phys-bits=%s': expected a number from 32 to 52", val);
        }
        c->phys_bits = n;
        break;
    case 8: case 9: c->tsc_hz = n; break;
    case 10: c->ucode_rev = n; break;
    case 11: c->apic_id = n; break;
    }
    return true;
}

static bool option_text(X86CPU *c, const char *key, const char *val, bool *known, Error **err)
{
    *known = true;
    if (strcmp(key, "vendor") == 0) {
        if (strlen(val) != 12) {
            return fail(err, "-cpu: 'vendor=%s': a vendor has 12 characters, as 'GenuineIntel'",
                        val);
        }
        g_strlcpy(c->vendor, val, sizeof(c->vendor));
    } else if (strcmp(key, "model-id") == 0) {
        if (strlen(val) > 48) {
            return fail(err, "-cpu: 'model-id=%s' is longer than 48 characters", val);
        }
        memset(c->brand, 0, sizeof(c->brand));
        g_strlcpy(c->brand, val, sizeof(c->brand));
    } else {
        *known = false;
    }
    return true;
}

/* Switches that are no CPUID features. */
static bool option_switch(X86CPU *c, CpuOptions *o, const char *key, const char *val, bool *known,
                          Error **err)
{
    bool other;                 /* what hides the hypervisor we are not under */
    struct {
        const char *name;
        bool *field;
    } keys[] = {
        { "check", &o->check }, { "enforce", &o->enforce }, { "l3-cache", &c->l3_cache },
        { "tcg-cpuid", on_kvm() ? &other : &c->hypervisor_leaf },
        { "kvm", on_kvm() ? &c->hypervisor_leaf : &other },
        { "migratable", &o->migratable }, { "full-cpuid-auto-level", &o->auto_level },
        { "host-phys-bits", &o->host_phys_bits }, { "pmu", &o->pmu },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(keys); i++) {
        if (strcmp(keys[i].name, key) == 0) {
            *known = true;
            return parse_bool(key, val, keys[i].field, err);
        }
    }
    *known = false;
    return true;
}

/* The feature name that looks most like what was written. */
static const char *nearest_feature(const char *name)
{
    const char *best = NULL;
    size_t best_len = 2;

    for (unsigned f = 0; f < FEAT_WORDS * 64; f++) {
        const char *n = x86_feature_name(f);
        size_t len = 0;
        while (n && n[len] && n[len] == name[len]) {
            len++;
        }
        if (len > best_len) {
            best_len = len;
            best = n;
        }
    }
    return best;
}

static bool unknown_option(const char *key, Error **err)
{
    const char *near = nearest_feature(key);

    return near ? fail(err, "-cpu: unknown feature or property '%s' (did you mean '%s'?)", key, near)
                : fail(err, "-cpu: unknown feature or property '%s'", key);
}

static bool option_feature(CpuOptions *o, const char *name, bool on, Error **err)
{
    int f = x86_feature_find(name);

    if (f < 0) {
        return unknown_option(name, err);
    }
    if (f == CPUID_OSXSAVE || f == CPUID_OSPKE) {
        return fail(err, "-cpu: '%s' follows CR4 and can't be set", name);
    }
    set_feature(on ? o->plus : o->minus, f, true);
    set_feature(on ? o->minus : o->plus, f, false);
    if (f == CPUID_KVMCLOCK) {          /* one name for two bits: by its old and its new MSRs */
        set_feature(on ? o->plus : o->minus, CPUID_KVMCLOCK2, true);
        set_feature(on ? o->minus : o->plus, CPUID_KVMCLOCK2, false);
    }
    return true;
}

static bool parse_option(X86CPU *c, CpuOptions *o, const char *item, Error **err)
{
    const char *eq = strchr(item, '=');
    bool ok, known, on;

    if (*item == '+' || *item == '-') {
        return option_feature(o, item + 1, *item == '+', err);
    }
    char *key = eq ? g_strndup(item, eq - item) : g_strdup(item);
    const char *val = eq ? eq + 1 : "on";

    ok = option_number(c, o, key, val, &known, err);
    if (ok && !known) {
        ok = option_text(c, key, val, &known, err);
    }
    if (ok && !known) {
        ok = option_switch(c, o, key, val, &known, err);
    }
    if (ok && !known) {
        ok = x86_feature_find(key) < 0 ? unknown_option(key, err)
             : parse_bool(key, val, &on, err) && option_feature(o, key, on, err);
    }
    g_free(key);
    return ok;
}

/* ---- putting it together ------------------------------------------------------------------------ */

/* Raise the levels so that the leaves of all features can be reached. */
static void fit_levels(X86CPU *c, const CpuOptions *o)
{
    uint32_t level = MAX(c->cpuid_level, o->min_level);
    uint32_t xlevel = MAX(c->cpuid_xlevel, o->min_xlevel);
    const uint64_t *f = c->features;

    if (!o->auto_level) {
        c->cpuid_level = o->level_set ? c->cpuid_level : level;
        c->cpuid_xlevel = o->xlevel_set ? c->cpuid_xlevel : xlevel;
        return;
    }
    if (f[FEAT_6_EAX]) {
        level = MAX(level, 6u);
    }
    if (f[FEAT_7_0_EBX] | f[FEAT_7_0_ECX] | f[FEAT_7_0_EDX]) {
        level = MAX(level, 7u);
    }
    if (f[FEAT_XSAVE]) {
        level = MAX(level, 0xdu);
    }
    if (f[FEAT_8000_0001_EDX] | f[FEAT_8000_0001_ECX]) {
        xlevel = MAX(xlevel, 0x80000001u);
    }
    if (f[FEAT_8000_0007_EDX]) {
        xlevel = MAX(xlevel, 0x80000007u);
    }
    if (f[FEAT_8000_0008_EBX] || x86_has(c, CPUID_LM)) {
        xlevel = MAX(xlevel, 0x80000008u);
    }
    if (f[FEAT_8000_000A_EDX]) {
        xlevel = MAX(xlevel, 0x8000000au);
    }
    if (x86_has(c, CPUID_TOPOEXT)) {
        xlevel = MAX(xlevel, 0x8000001eu);
    }
    if (!o->level_set) {
        c->cpuid_level = level;
    }
    if (!o->xlevel_set) {
        c->cpuid_xlevel = xlevel;
    }
}

/* Take out what the accelerator lacks; false if that is an error. */
static bool filter_features(X86CPU *c, const CpuOptions *o, bool silent, Error **err)
{
    const char *accel = on_kvm() ? "host" : "TCG";
    uint64_t have[FEAT_WORDS] = { 0 };
    bool missing_any = false;

    accel_features(have);
    for (unsigned w = 0; w < FEAT_WORDS; w++) {
        uint64_t missing = c->features[w] & ~have[w];
        c->features[w] &= have[w];
        for (unsigned bit = 0; missing && !silent && bit < 64; bit++) {
            if (!(missing >> bit & 1)) {
                continue;
            }
            const char *name = x86_feature_name(w * 64 + bit);
            missing_any = true;
            if ((o->check || o->enforce) && c->cpu.index == 0) {
                warn_report("%s doesn't support requested feature: %s%s%s [bit %u]", accel,
                            x86_feature_word_name(w), name ? "." : "", name ? name : "", bit);
            }
        }
    }
    if (missing_any && o->enforce) {
        return fail(err, "%s doesn't support requested features", accel);
    }
    return true;
}

static bool load_model(X86CPU *c, const CpuModel *m, Error **err)
{
    c->model = m;
    if (m == &model_host) {
        if (!on_kvm() || !x86_kvm_host_model) {
            return fail(err, "CPU model 'host' requires KVM (-accel kvm); 'max' has all features "
                        "of this accelerator");
        }
        accel_features(c->features);
        return x86_kvm_host_model(c, err);
    }
    g_strlcpy(c->vendor, m->vendor, sizeof(c->vendor));
    memset(c->brand, 0, sizeof(c->brand));
    g_strlcpy(c->brand, m->brand, sizeof(c->brand));
    c->family = m->family;
    c->model_no = m->model;
    c->stepping = m->stepping;
    c->cpuid_level = m->level;
    c->cpuid_xlevel = m->xlevel;
    if (m == &model_max) {
        /* Topology bits follow -smp; an invariant TSC is a promise only the user can make. */
        static const uint16_t not_max[] = {
            CPUID_HT, CPUID_CMP_LEGACY, CPUID_TOPOEXT, CPUID_INVTSC,
        };
        accel_features(c->features);
        for (unsigned i = 0; i < G_N_ELEMENTS(not_max); i++) {
            set_feature(c->features, not_max[i], false);
        }
        if (on_kvm() && x86_kvm_host_model) {
            return x86_kvm_host_model(c, err);
        }
    } else {
        model_features(m, c->features);
        if (on_kvm()) {
            set_feature(c->features, CPUID_SVM, false);     /* only when asked for, as in QEMU */
        }
    }
    set_feature(c->features, CPUID_HYPERVISOR, true);
    c->features[FEAT_KVM] |= x86_kvm_default_features;
    return true;
}

static bool unknown_model(const char *name, Error **err)
{
    return fail(err, "unable to find CPU model '%s' (-cpu help lists them)", name);
}

/* How many physical address bits the host's CPU has, by what Linux tells; 0: not known. */
static unsigned host_phys_bits(void)
{
    char *text = NULL;
    unsigned bits = 0;

    if (g_file_get_contents("/proc/cpuinfo", &text, NULL, NULL)) {
        const char *line = strstr(text, "\naddress sizes");
        if (line && sscanf(line, "\naddress sizes : %u bits physical", &bits) != 1) {
            bits = 0;
        }
    }
    g_free(text);
    return bits >= 32 && bits <= 52 ? bits : 0;
}

static bool check_options(X86CPU *c, const CpuOptions *o, Error **err)
{
    if (o->pmu && !on_kvm()) {
        return fail(err, "-cpu: pmu=on: this accelerator has no performance counters");
    }
    if (o->host_phys_bits) {
        c->phys_bits = host_phys_bits();
        if (!c->phys_bits) {
            return fail(err, "-cpu: host-phys-bits=on: the host doesn't tell; give phys-bits=N");
        }
    }
    return true;
}

static void finish_identity(X86CPU *c)
{
    if (!c->phys_bits) {
        c->phys_bits = x86_has(c, CPUID_LM) ? 40 : x86_has(c, CPUID_PSE36) ? 36 : 32;
    }
    c->virt_bits = x86_has(c, CPUID_LA57) ? 57 : 48;
    if (!c->tsc_hz && !on_kvm()) {      /* KVM: the host's, known when the vCPU is made */
        c->tsc_hz = 1000000000;
    }
    if (!c->ucode_rev) {
        c->ucode_rev = strcmp(c->vendor, AMD) == 0 ? 0x01000065 : 0x100000000ull;
    }
    c->arch_capabilities = c->features[FEAT_ARCH_CAPS];
}

bool x86_model_apply(X86CPU *c, const char *spec, Error **err)
{
    CpuOptions o = { .check = true, .migratable = true, .auto_level = true };
    char **items = g_strsplit(spec, ",", -1);
    const CpuModel *m = items[0] ? model_find(items[0]) : NULL;
    bool ok = m ? true : unknown_model(items[0] ? items[0] : "", err);

    memset(c->features, 0, sizeof(c->features));
    c->hypervisor_leaf = c->l3_cache = true;
    c->phys_bits = 0;
    c->tsc_hz = c->ucode_rev = 0;
    ok = ok && load_model(c, m, err);
    for (unsigned i = 1; ok && items[i]; i++) {
        ok = *items[i] == '\0' || parse_option(c, &o, items[i], err);
    }
    g_strfreev(items);
    if (!ok) {
        return false;
    }
    if (!check_options(c, &o, err)) {
        return false;
    }
    if (m == &model_max && !o.migratable) {
        set_feature(c->features, CPUID_INVTSC, true);
    }
    for (unsigned w = 0; w < FEAT_WORDS; w++) {
        c->features[w] = (c->features[w] | o.plus[w]) & ~o.minus[w];
    }
    set_feature(c->features, CPUID_OSXSAVE, false);
    set_feature(c->features, CPUID_OSPKE, false);
    drop_dependents(c);
    if (!filter_features(c, &o, false, err)) {
        return false;
    }
    drop_dependents(c);
    fit_levels(c, &o);
    finish_identity(c);
    return true;
}

/* ---- help ----------------------------------------------------------------------------------------- */

void x86_cpu_model_foreach(void (*fn)(const char *name, const char *desc, void *opaque), void *opaque)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(models); i++) {
        fn(models[i].name, models[i].brand, opaque);
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(aliases); i++) {
        fn(aliases[i].name, aliases[i].of, opaque);
    }
    fn("max", "all features the accelerator supports", opaque);
}

void x86_feature_foreach(void (*fn)(const char *name, void *opaque), void *opaque)
{
    for (unsigned f = 0; f < FEAT_WORDS * 64; f++) {
        const char *name = x86_feature_name(f);
        if (name) {
            fn(name, opaque);
        }
    }
}

static int by_name(gconstpointer a, gconstpointer b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

void x86_cpu_help(GString *out)
{
    GPtrArray *names = g_ptr_array_new();
    unsigned column = 0;

    g_string_append(out, "Available CPUs:\n");
    for (unsigned i = 0; i < G_N_ELEMENTS(models); i++) {
        for (unsigned k = 0; k < G_N_ELEMENTS(aliases); k++) {
            if (strcmp(aliases[k].of, models[i].name) == 0) {
                g_string_append_printf(out, "x86 %-26s (alias of %s)\n", aliases[k].name,
                                       models[i].name);
            }
        }
        g_string_append_printf(out, "x86 %-26s %s\n", models[i].name,
                               models[i].parent || *models[i].changes ? models[i].brand
                                                                      : "no features enabled");
    }
    g_string_append_printf(out, "x86 %-26s %s\n", "host",
                           "the host's processor with all supported features (KVM)");
    g_string_append_printf(out, "x86 %-26s %s\n\nRecognized CPUID flags:\n", "max",
                           "all features the accelerator supports");
    for (unsigned f = 0; f < FEAT_WORDS * 64; f++) {
        const char *name = x86_feature_name(f);
        if (name) {
            g_ptr_array_add(names, (gpointer)name);
        }
    }
    g_ptr_array_sort(names, by_name);
    for (unsigned i = 0; i < names->len; i++) {
        const char *name = names->pdata[i];
        if (column + strlen(name) + 1 > 75 && column) {
            g_string_append_c(out, '\n');
            column = 0;
        }
        g_string_append_printf(out, "%s%s", column ? " " : "  ", name);
        column += strlen(name) + (column ? 1 : 2);
    }
    g_string_append_c(out, '\n');
    g_ptr_array_free(names, true);
}
