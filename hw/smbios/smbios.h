/* SPDX-License-Identifier: MIT */
/*
 * SMBIOS tables for the firmware, and the option -smbios.
 *
 * Source: DMTF DSP0134, System Management BIOS Reference Specification 3.4.
 */
#ifndef HW_SMBIOS_SMBIOS_H
#define HW_SMBIOS_SMBIOS_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include "util/error.h"

struct Opts;

/* What the board knows about itself. */
typedef struct SmbiosMachine {
    const char *product, *version;      /* defaults of type 1 */
    const uint8_t *uuid;                /* 16 bytes in text order, or NULL */
    uint64_t below_4g, above_4g;
    unsigned sockets, cores, threads;   /* cores of a socket, threads of a core */
    uint32_t cpu_signature, cpu_features;   /* CPUID 1: EAX, EDX */
    const char *cpu_name;
    bool entry64;                       /* SMBIOS 3.0 entry point */
} SmbiosMachine;

typedef struct SmbiosTables {
    GByteArray *tables, *anchor;
} SmbiosTables;

/* opts: of struct Opts *, -smbios as given.  false and err: unknown type or field, bad value. */
bool smbios_build(const SmbiosMachine *m, const GPtrArray *opts, SmbiosTables *out, Error **err);

#endif
