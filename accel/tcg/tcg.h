/* SPDX-License-Identifier: MIT */
/*
 * The execution engine's state of one vCPU, and what it needs to know of the architecture.
 * Nothing in accel/tcg knows which processor it runs: the target fills a struct TcgTarget and
 * embeds a struct TcgCPU in its CPU.
 *
 * Threads: a TcgCPU belongs to its vCPU's thread.  Others ask through CPU.request and, for
 * the TLB, tcg_flush_request.
 */
#ifndef ACCEL_TCG_TCG_H
#define ACCEL_TCG_TCG_H

#include "accel/cpu.h"
#include "accel/tcg/tlb.h"
#include "util/error.h"

struct Block;

/* ---- what the target provides ---------------------------------------------------------- */

typedef struct TlbPage {
    hwaddr pa;                  /* of the address asked for */
    uint64_t size;              /* of the guest's page: 4 KiB and up */
    uint8_t prot;               /* TLB_PROT_*; write only if the page is dirty already */
    bool global;
    bool writable;              /* a store may be allowed, whether or not the page is dirty */
} TlbPage;
enum { TLB_PROT_R = 1, TLB_PROT_W = 2, TLB_PROT_X = 4 };

typedef enum {
    TARGET_RUN,                 /* run blocks */
    TARGET_ONE,                 /* run one instruction, then ask again */
    TARGET_HALTED, TARGET_RESET, TARGET_DEBUG,
} TargetBoundary;

typedef enum { TCG_INTERP, TCG_JIT } TcgEngine;

typedef struct TcgTarget {
    /* Translate va.  On a fault: raise it (does not return), or return false if !raise. */
    bool (*tlb_fill)(CPU *c, uint64_t va, TlbAccess acc, int mode, bool raise, TlbPage *out);
    /* The address space seen now (SMM or not). */
    AddressSpace *(*as)(CPU *c);
    /* The mode of user programs' accesses, and the present address space's number (a PCID): what
     * is cached of it may be used again when it comes back. */
    int space_mode;
    uint64_t (*space)(CPU *c);
    /* The address after the last one of a page: wraps where addresses do. */
    uint64_t (*wrap)(CPU *c, uint64_t va);
    /* MMU modes whose accesses must be aligned, and what happens if one isn't: raise, or
     * return to allow it. */
    unsigned align_modes;
    void (*unaligned)(CPU *c, uint64_t va, unsigned size, bool write);
    /* Is a data breakpoint in this page?  And an access to such a page, before it is done: may
     * unwind to run the instruction alone. */
    bool (*watched)(CPU *c, uint64_t page);
    void (*watch)(CPU *c, uint64_t va, unsigned size, bool write);

    /* Once, before any other; after block_cache_init.  False if there is no such engine. */
    bool (*init)(TcgEngine engine, Error **err);
    /* The engine's state in the target's CPU. */
    struct TcgCPU *(*state)(CPU *c);
    /* run() begins and ends: bring the engine's view of the registers in, and back out. */
    void (*begin)(CPU *c);
    void (*end)(CPU *c);
    /* Between instructions: deliver exceptions and interrupts.  May unwind. */
    TargetBoundary (*boundary)(CPU *c);
    /* What `boundary` prepared is not run now: leave things as before it. */
    void (*put_off)(CPU *c);
    /* Nothing is under way that only this engine knows of: no exception on its way, not in
     * the middle of a single step, not halted. */
    bool (*settled)(CPU *c);
    /* Linear address of the next instruction, the mode word its block must have, and the MMU
     * mode it is fetched with. */
    uint64_t (*pc)(CPU *c, uint32_t *mode, int *mmu);
    /* Make a block at pc (host = its first byte) under a mode word that may have BLOCK_ONE,
     * and insert it.  May raise a fetch fault. */
    struct Block *(*translate)(CPU *c, uint64_t pc, const uint8_t *host, uint32_t mode);
    /* One instruction whose bytes are not in RAM, or that can't be cached: fetch, run. */
    void (*run_uncached)(CPU *c, uint64_t pc, uint32_t mode);
    /* Run a block (and those chained to it); returns with the CPU's pc exact. */
    void (*enter)(CPU *c, struct Block *b);
    /* The block was invalidated, and may be running: make it lead back to the loop. */
    void (*kill)(struct Block *b);
    /* Link n of `from` now leads to `to`, in the same page; or nowhere if NULL.  (A link into
     * another page is in from->link[n].to alone: check that page before following it.) */
    void (*link)(struct Block *from, unsigned n, struct Block *to);
    /* The target's part of `info jit`; optional. */
    void (*info)(GString *out);
    /* Log a block about to be entered (-d exec, cpu). */
    void (*log_enter)(CPU *c, const struct Block *b);
} TcgTarget;
/* Let the host's floating-point unit compute where it gives the guest's results (host-fp=on);
 * off: everything in software.  Set before the first vCPU runs. */
extern bool tcg_host_fp;
/*
 * vCPUs may run at the same time.  If not, a locked instruction need not lock the host's bus:
 * interrupts come between instructions only.  Devices of other threads take no part: they load
 * and store, but never read and write in one, and what they store to belongs to them until they
 * tell so (a driver that locks the very bytes a device stores to at that moment may lose the
 * device's).  Changes from false to true only, and then no block made before is left.
 */
extern bool tcg_parallel;

/* The most instructions the target may put into a block. */
extern unsigned tcg_max_insns;

/* The engine's blocks look themselves whether their second page is the one they were made of, so
 * they may be entered like others.  Set by TcgTarget.init. */
extern bool tcg_cross_guarded;

extern const TcgTarget tcg_target;      /* there is one: defined by the target */

/* ---- per vCPU --------------------------------------------------------------------------- */

#define JUMP_BITS 15
#define JUMP_SIZE (1u << JUMP_BITS)

typedef struct JumpEntry {
    uint64_t pc;                /* linear */
    uint64_t stamp;             /* TcgCPU.stamp[pc >> 63] when pc was last seen to lead to block */
    struct Block *block;
    uint64_t unused;
} JumpEntry;

typedef struct TcgCPU {
    TlbMode tlb[TLB_TABLES];
    TlbMode *data;              /* for data accesses in the present mode */
    TlbMode *code;              /* for fetches */
    uint8_t data_mode, code_mode;   /* these modes: tcg_set_modes */
    uint8_t space;              /* TlbSlow.space[] in use */
    uint8_t space_table;        /* tlb[] of user accesses in it */
    uint32_t table_used;        /* bit k: tlb[k] was ever in use */
    uint64_t walk_gen;          /* what the target remembers of page walks (a paging-structure
                                 * cache) is valid if it was learnt under the same number */
    uint64_t walk_last;         /* the highest given out */
    JumpEntry jump[JUMP_SIZE];  /* at jump_hash(pc), or, displaced from there, its neighbour
                                   (^ 1); survives TLB flushes, checked against the fetch TLB */
    uint64_t jump_used[JUMP_SIZE / 64];     /* bit n: jump[n] was set since it was emptied */
    uint64_t stamp[2];          /* for addresses below and from 1 << 63.  Low half: the mode word,
                                   kept by the target; high half: counts changes of what is
                                   mapped where (tcg_code_moved) */
    uint32_t moved;             /* not 0: a stamp was changed since the target has last cleared it */
    struct TlbSlow *slow;       /* second level and page details, tlb.c */
    struct Block *from;         /* the block left by a direct jump that could be chained ... */
    unsigned from_link;         /* ... and through which of its links; from NULL: none */
    uint64_t from_pc;           /* ... where that leads: a linear address */
    bool from_same_page;        /* ... which is in the same virtual page */
    struct CodePage *making[2]; /* pages whose bytes are being read for a block ... */
    uint32_t made_from[2];      /* ... and how often they had been stored to */
    uint64_t epoch;             /* [atomic] of the last visit to the loop: block_quiet */
    bool in_guest;              /* [atomic] between tcg_enter_guest and tcg_leave_guest */
    unsigned exclusive;         /* nesting of tcg_exclusive_begin */
    bool left_for_bql;          /* it was in guest code when it asked for the big lock */
    bool atomic_bql;            /* tcg_atomic_begin took the big lock */
    uint64_t looks, looked_far; /* blocks the loop looked up, and those not in jump[] */
    uint64_t insns;             /* counted when instruction counting is on */
    int64_t budget;             /* ... and how many may still run before the loop must look */
} TcgCPU;

static inline TcgCPU *tcg_cpu(CPU *c)
{
    return c->engine;
}

/* Called before each access of the guest's to a device, memory or port, of 1, 2, 4 or 8 bytes.
 * true: it was done there, *val is what was read.  NULL: nobody. */
extern bool (*tcg_io_hook)(CPU *c, AddressSpace *as, hwaddr addr, unsigned size, bool write,
                           uint64_t *val);

static inline uint64_t tcg_io_ld(CPU *c, AddressSpace *as, hwaddr addr, unsigned size)
{
    uint64_t val;

    if (unlikely(tcg_io_hook) && tcg_io_hook(c, as, addr, size, false, &val)) {
        return val;
    }
    return address_space_ld(as, addr, size);
}

static inline void tcg_io_st(CPU *c, AddressSpace *as, hwaddr addr, uint64_t val, unsigned size)
{
    if (likely(!tcg_io_hook) || !tcg_io_hook(c, as, addr, size, true, &val)) {
        address_space_st(as, addr, val, size);
    }
}

/* TcgCPU.tlb[] of a mode. */
static inline unsigned tlb_table(const TcgCPU *t, int mode)
{
    return mode == tcg_target.space_mode ? t->space_table : (unsigned)mode;
}

/* ---- memory slow paths (memory.c) -------------------------------------------------------- */

/*
 * Accesses by guest-virtual address in an MMU mode: any alignment, crossing pages, device
 * memory, watched pages; raise the target's fault.  The CPU's pc must be exact.
 * Little-endian values; size 1, 2, 4, 8.
 */
uint64_t tcg_ld(CPU *c, int mode, uint64_t va, unsigned size);
void tcg_st(CPU *c, int mode, uint64_t va, uint64_t val, unsigned size);
/* Bytes as they lie in memory.  The write is all or nothing with regard to faults. */
void tcg_read(CPU *c, int mode, uint64_t va, void *buf, unsigned len);
void tcg_write(CPU *c, int mode, uint64_t va, const void *buf, unsigned len);
/* Fault now if [va, va+len) can't be accessed so. */
void tcg_probe(CPU *c, int mode, uint64_t va, unsigned len, TlbAccess acc);
/* Host memory for len bytes at va within one page, after a possible refill; NULL if it must
 * go through tcg_ld/tcg_st.  Raises faults.  For TLB_WRITE the guard byte was dealt with:
 * store at once, before anything else runs. */
void *tcg_host(CPU *c, int mode, uint64_t va, unsigned len, TlbAccess acc);

/*
 * Host memory for an atomic operation on size bytes at va, naturally aligned; after it
 * tcg_atomic_done.  NULL: no host instruction can do it (device memory, not aligned); do it
 * with tcg_ld and tcg_st between tcg_exclusive_begin and _end.  Raises faults.
 */
void *tcg_atomic_host(CPU *c, int mode, uint64_t va, unsigned size);
void tcg_atomic_done(CPU *c, int mode, uint64_t va, unsigned size);

/* Modes for data and for fetches from now on. */
void tcg_set_modes(TcgCPU *t, int data, int code);

/*
 * TLB maintenance, own vCPU; all of them change walk_gen (of the spaces concerned).
 *   flush             everything
 *   flush_nonglobal   ... but global entries, of all spaces
 *   flush_page        entries of va, of the present space and global ones
 *   flush_space       entries of space `key` that are not global; and only those of va
 *   switch            TcgTarget.space tells of another space now.  keep: what is cached of it
 *                     is valid still
 */
void tcg_tlb_flush(CPU *c);
void tcg_tlb_flush_nonglobal(CPU *c);
void tcg_tlb_flush_page(CPU *c, uint64_t va);
void tcg_tlb_flush_space(CPU *c, uint64_t key);
void tcg_tlb_flush_space_page(CPU *c, uint64_t key, uint64_t va);
void tcg_tlb_switch(CPU *c, bool keep);
static inline void tcg_walks_forget(TcgCPU *t)
{
    t->walk_gen = ++t->walk_last;
}
/* From any thread: flush all of c's TLB at its next boundary. */
void tcg_flush_request(CPU *c);
/* The block of an empty JumpEntry: dead, so that no pc a guest may jump to matches it. */
extern struct Block block_none;
/* Some translation that fetches were made by may be another one now, of addresses below 1 << 63
 * (half 0) or of the others. */
static inline void tcg_code_moved(TcgCPU *t, unsigned half)
{
    t->stamp[half] += 1ull << 32;
    t->moved = 1;
}
/* Forget all virtual-pc look-ups; and later only those to blocks at [from, to). */
static inline void tcg_jumps_clear(TcgCPU *t)
{
    for (unsigned k = 0; k < JUMP_SIZE; k++) {
        t->jump[k] = (JumpEntry) { .stamp = ~0ull, .block = &block_none };
    }
    for (unsigned w = 0; w < JUMP_SIZE / 64; w++) {
        t->jump_used[w] = 0;
    }
}
void tcg_jumps_drop(TcgCPU *t, const void *from, const void *to);

#endif
