/* SPDX-License-Identifier: MIT */
/*
 * The disassembler's library, loaded when something is disassembled: its tables take 3 MiB.
 */
#ifndef UTIL_CAPSTONE_LIB_H
#define UTIL_CAPSTONE_LIB_H

#include <capstone/capstone.h>
#include <stdbool.h>

#include "util/error.h"

/* Every function of capstone that is used, without its prefix. */
#define CAPSTONE_FUNCTIONS(F) F(open) F(option) F(disasm) F(free) F(close)

typedef struct CapstoneLib {
#define CAPSTONE_MEMBER(name) __typeof__(&cs_##name) name;
    CAPSTONE_FUNCTIONS(CAPSTONE_MEMBER)
#undef CAPSTONE_MEMBER
} CapstoneLib;

/* NULL, naming the Debian package, if the library is not installed.  Any thread; the functions
 * stay. */
const CapstoneLib *capstone_lib(Error **err);

#endif
