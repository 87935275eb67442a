/* SPDX-License-Identifier: MIT */
/*
 * What the slow memory paths know about a TLB entry.  Private to accel/tcg.
 */
#ifndef ACCEL_TCG_SLOW_H
#define ACCEL_TCG_SLOW_H

#include "accel/tcg/tcg.h"

typedef struct TlbFull {
    hwaddr pa;                      /* of the page */
    AddressSpace *as;
    RamBlock *ram;                  /* NULL: a device, or a hole */
    uint64_t off;                   /* of the page in ram */
    uint8_t *host, *guard;
    struct CodePage *code;          /* once a store has asked for it */
    bool readonly;                  /* ram, but stores go through the address space */
} TlbFull;

/* Which entries of a fast table are in use, and which of them are of global pages: flushes
 * visit only these. */
typedef struct TlbUse {
    uint64_t filled[TLB_SIZE / 64], global[TLB_SIZE / 64];
} TlbUse;

typedef struct TlbSlow {
    TlbUse use[TLB_MODES][TLB_ACCESSES];
    TlbFull full[TLB_MODES][TLB_ACCESSES][TLB_SIZE];
    /* Range that holds all large pages seen since the last flush, and the largest size:
     * INVLPG inside it drops that much. */
    uint64_t large_lo, large_hi, large_size;
    uint64_t fills, flushes;
} TlbSlow;

/* The entry for an access, filled if need be.  On a fault raises, or returns NULL. */
TlbFull *tlb_get(CPU *c, int mode, uint64_t va, TlbAccess acc, bool raise);
TlbFull *tlb_fill(CPU *c, int mode, uint64_t va, TlbAccess acc, bool raise);
static inline uint64_t tlb_tag(CPU *c, int mode, uint64_t va, TlbAccess acc)
{
    return tcg_cpu(c)->tlb[mode].e[acc][tlb_index(va)].tag;
}

void tlb_init_hooks(void);
void tlb_init_cpu(CPU *c);
void tlb_destroy_cpu(CPU *c);

#endif
