/* SPDX-License-Identifier: MIT */
/*
 * CPUID: names for feature bits (CPUID_x = word * 64 + bit, from features.def), which of them
 * an accelerator can deliver, the instruction's answer, and CPU models.
 */
#ifndef TARGET_I386_CPUID_H
#define TARGET_I386_CPUID_H

#include "target-i386/cpu.h"

#define CPUID_ALWAYS 0xffff     /* in the instruction table: no feature needed */

enum {
#define F(word, bit, id, name) CPUID_##id = (word) * 64 + (bit),
#include "target-i386/features.def"
#undef F
};

static inline bool x86_has(const X86CPU *c, unsigned feature)
{
    return feature == CPUID_ALWAYS || (c->features[feature >> 6] >> (feature & 63) & 1);
}

/* CPUID_x of a name ("sse4.1", its spellings "sse4-1", "sse4_1", aliases), or -1. */
int x86_feature_find(const char *name);
/* The name of a bit, or NULL if it has none. */
const char *x86_feature_name(unsigned feature);
/* "CPUID.07H:EBX", "MSR(10AH)": where a word is told of. */
const char *x86_feature_word_name(unsigned word);

/* What the interpreter and translator implement: one mask, the only place that says so. */
extern const uint64_t x86_tcg_features[FEAT_WORDS];
/* Set by target-i386/kvm.c when KVM is the accelerator: what the kernel offers, and the host's
 * identity for -cpu host. */
extern void (*x86_kvm_features)(uint64_t features[FEAT_WORDS]);
extern bool (*x86_kvm_host_model)(X86CPU *c, Error **err);
/* Of FEAT_KVM: what every model has under KVM. */
extern uint64_t x86_kvm_default_features;

/* Would this CPU, as it is, find all its features under accelerator `kvm` (or else tcg)?  err
 * names the first one missing. */
bool x86_features_fit(const X86CPU *c, bool kvm, Error **err);

/* The answer EAX, EBX, ECX, EDX to CPUID with EAX = leaf, ECX = sub, as the guest sees it now. */
void x86_cpuid(const X86CPU *c, uint32_t leaf, uint32_t sub, uint32_t out[4]);

/* Give c the identity and features of "MODEL[,+feat][,-feat][,prop=value]..." (models.c).
 * Warns of features the accelerator lacks; with enforce they are an error. */
bool x86_model_apply(X86CPU *c, const char *spec, Error **err);

#endif
