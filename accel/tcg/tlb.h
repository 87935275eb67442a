/* SPDX-License-Identifier: MIT */
/*
 * The software TLB: guest-virtual page -> host address, for the inline fast path of every
 * engine.  A tag is the page's address; low bits set in a tag make the compare fail and send
 * the access to the slow path (tcg.c), which knows why.  One compare answers "mapped,
 * permitted, plain RAM, no one watches, does not cross the page".
 *
 * There is a table for each MMU mode (as whom the access is made); generated code has pointers
 * to those of the present modes.  Entries are the present address space's, or global.  Going
 * over to another space (tcg_tlb_switch) exchanges the table of user accesses, which thereby
 * keeps its entries, and takes entries that are not global out of the others.
 */
#ifndef ACCEL_TCG_TLB_H
#define ACCEL_TCG_TLB_H

#include <stddef.h>
#include <stdint.h>
#include "memory/memory.h"
#include "util/bits.h"

#define TLB_BITS 10
#define TLB_SIZE (1u << TLB_BITS)
#define TLB_MODES 4             /* at most; the target says how it uses them */
#define TLB_SPACES 8            /* address spaces that are remembered */
/* Mode m has table m; of the mode that accesses are made in by user programs (TcgTarget.
 * space_mode) each other space has one too. */
#define TLB_TABLES (TLB_MODES + TLB_SPACES - 1)
/* TLB_SIZE - 1, or less to make entries scarce (tests).  Set before the first vCPU. */
extern unsigned tlb_index_mask;

/* Low bits of a tag; any of them means slow. */
enum {
    TLB_INVALID = 1 << 0,
    TLB_IO      = 1 << 1,       /* not RAM, or a store to ROM: through the address space */
    TLB_GUARD   = 1 << 2,       /* store: the page's guard byte is not zero */
    TLB_WATCH   = 1 << 3,       /* a data breakpoint lies in the page */
    TLB_ALIGN   = 1 << 4,       /* alignment is checked in this mode */
};

typedef struct TlbEntry {
    uint64_t tag;
    uintptr_t addend;           /* host = guest virtual + addend (when it is RAM) */
} TlbEntry;

typedef enum { TLB_READ, TLB_WRITE, TLB_FETCH, TLB_ACCESSES } TlbAccess;

typedef struct TlbMode {
    TlbEntry e[TLB_ACCESSES][TLB_SIZE];
} TlbMode;

static inline unsigned tlb_index(uint64_t va)
{
    return (va >> GUEST_PAGE_BITS) & tlb_index_mask;
}

/* Host address for [va, va+size), all in one page, or NULL: take the slow path. */
static inline __attribute__((always_inline)) void *tlb_host(const TlbMode *m, TlbAccess acc, uint64_t va, unsigned size)
{
    const TlbEntry *e = &m->e[acc][tlb_index(va)];
    if (likely(e->tag == ((va + size - 1) & GUEST_PAGE_MASK))) {
        return (void *)(uintptr_t)(va + e->addend);
    }
    return NULL;
}

#endif
