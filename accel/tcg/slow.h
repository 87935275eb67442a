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
    bool writable;                  /* TlbPage's */
} TlbFull;

/* Which entries of a fast table are in use, which of them are of global pages, which parts of
 * pages larger than 4 KiB: flushes visit only these. */
typedef struct TlbUse {
    uint64_t filled[TLB_SIZE / 64], global[TLB_SIZE / 64], large[TLB_SIZE / 64];
} TlbUse;

#define TLB_FILTER 512
typedef struct TlbTable {
    TlbUse use[TLB_ACCESSES];
    TlbFull full[TLB_ACCESSES][TLB_SIZE];
    /* Since the last flush of everything: of which 2 MiB regions there may be parts of large
     * pages (bits by a hash), the largest such page, and was there a global one of any size? */
    uint64_t large[TLB_FILTER / 64];
    uint64_t large_size;
    bool global;
} TlbTable;

/* An entry that is put aside while another space is present: its table's are used by all. */
typedef struct TlbAside {
    uint8_t table, access;
    uint16_t index;
    bool large;
    TlbEntry e;
    TlbFull full;
} TlbAside;
#define TLB_ASIDES 64

typedef struct TlbSpace {
    bool used;
    uint64_t key, age;
    uint64_t walk_gen;              /* while it isn't present */
    unsigned asides;
    TlbAside aside[TLB_ASIDES];
} TlbSpace;

/* The RAM section found last. */
typedef struct TlbWindow {
    AddressSpace *as;               /* NULL: none */
    uint32_t generation;
    hwaddr start;
    uint64_t size, off;             /* off: of start in ram; all multiples of the page size */
    RamBlock *ram;
    bool readonly;
} TlbWindow;

/* What was fetched from since the last flush of everything, by a hash of pages, and of 2 MiB
 * regions for larger ones: flushes of other pages leave fetches as they are. */
#define TLB_FETCHED 4096
typedef struct TlbFetched {
    uint64_t page[TLB_FETCHED / 64], region[TLB_FETCHED / 64];
    bool huge;                      /* from a page larger than a region */
    bool high_local;                /* from a page at 1 << 63 or above that is not global */
} TlbFetched;

typedef struct TlbSlow {
    TlbTable table[TLB_TABLES];
    TlbSpace space[TLB_SPACES];
    TlbFetched fetched;
    TlbWindow window;
    uint64_t age;
    uint64_t fills, flushes, page_flushes, switches, kept;
} TlbSlow;

/* The entry for an access, filled if need be.  On a fault raises, or returns NULL. */
TlbFull *tlb_get(CPU *c, int mode, uint64_t va, TlbAccess acc, bool raise);
TlbFull *tlb_fill(CPU *c, int mode, uint64_t va, TlbAccess acc, bool raise);
static inline uint64_t tlb_tag(CPU *c, int mode, uint64_t va, TlbAccess acc)
{
    return tcg_cpu(c)->tlb[tlb_table(tcg_cpu(c), mode)].e[acc][tlb_index(va)].tag;
}

/* For `info jit`. */
void tlb_info(GString *out);
void tlb_init_hooks(void);
void tlb_init_cpu(CPU *c);
void tlb_destroy_cpu(CPU *c);

#endif
