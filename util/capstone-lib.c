/* SPDX-License-Identifier: MIT */
/*
 * Loading capstone.
 */
#include "util/capstone-lib.h"

#include <glib.h>

#include "util/library.h"

const CapstoneLib *capstone_lib(Error **err)
{
#define CAPSTONE_NAME(name) "cs_" #name,
#define CAPSTONE_MAJOR G_STRINGIFY(CS_API_MAJOR)
    static const char *const names[] = { CAPSTONE_FUNCTIONS(CAPSTONE_NAME) };
    static CapstoneLib lib;

    return LIBRARY_LOAD("libcapstone.so." CAPSTONE_MAJOR, "libcapstone" CAPSTONE_MAJOR, names, &lib,
                        err) ? &lib : NULL;
}
