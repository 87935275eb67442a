/* SPDX-License-Identifier: MIT */
/*
 * Names for CPUID feature bits: CPUID_x = word * 64 + bit, from features.def.
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

#endif
