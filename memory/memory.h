/* SPDX-License-Identifier: MIT */
/*
 * Guest memory: a tree of regions, flattened into a sorted list of sections, with listeners
 * that hear the difference.  RAM lives in RamBlocks (memfds, or anonymous memory).
 *
 * Locks: the tree and the listeners belong to the big lock.  Look-ups and RAM access
 * (address_space_read/write on RAM, address_space_lookup) work without it: the flat view is
 * read under RCU (util/rcu.h); an access that ends at a device takes the big lock itself if
 * the caller does not hold it.
 *
 * Life: region_destroy under the big lock.  A region's RAM is unmapped from the process after
 * an RCU grace period; an engine that keeps host pointers outside a read section must have
 * dropped them when its listener's region_del returns.
 */
#ifndef MEMORY_MEMORY_H
#define MEMORY_MEMORY_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "util/error.h"

typedef uint64_t hwaddr;
struct Region;

#define GUEST_PAGE_BITS 12
#define GUEST_PAGE_SIZE (1u << GUEST_PAGE_BITS)
#define GUEST_PAGE_MASK (~(hwaddr)(GUEST_PAGE_SIZE - 1))

/* ---- RAM ---------------------------------------------------------------------------- */

/*
 * Per guest page one byte: why a store to it may not go straight to host memory.  Zero means
 * fast.  Set and cleared atomically; whoever sets a bit must make every vCPU drop its cached
 * right to store to the page before relying on it (listener op page_guard).
 */
enum {
    PAGE_CODE      = 1 << 0,   /* translated code was made from it */
    PAGE_LOG_VGA   = 1 << 1,   /* clean since the display last looked, and it wants to know */
    PAGE_LOG_MIGR  = 1 << 2,   /* clean since migration last looked */
};
typedef enum { DIRTY_VGA, DIRTY_MIGR, DIRTY_CLIENTS } DirtyClient;

typedef struct RamBlock {
    char *name;                       /* "pc.ram", "vga.vram": identifies it in a stream */
    uint8_t *host;                    /* size bytes, page aligned, never moves */
    uint64_t size;                    /* multiple of GUEST_PAGE_SIZE */
    uint64_t base;                    /* ram_addr_t: position in the one global RAM numbering */
    int fd;                           /* memfd, or -1 */
    bool readonly;                    /* ROM: the guest can't store (devices loading it can) */
    uint8_t *guard;                   /* [size / page] PAGE_*, atomic */
    unsigned long *dirty[DIRTY_CLIENTS];  /* bitmap of pages, atomic, allocated on first use */
} RamBlock;

/* NULL and err if the host can't give size bytes. */
RamBlock *ram_block_new(const char *name, uint64_t size, Error **err);
void ram_block_free(RamBlock *b);
RamBlock *ram_block_by_name(const char *name);
RamBlock *ram_block_from_host(const void *host, uint64_t *offset);   /* NULL if not guest RAM */
void ram_block_foreach(void (*fn)(RamBlock *b, void *opaque), void *opaque);

/* Tell that [off, off+len) was stored to by somebody who did not check guard: sets dirty bits,
 * clears PAGE_LOG_*, calls the code hook where PAGE_CODE is set.  Any thread. */
void ram_written(RamBlock *b, uint64_t off, uint64_t len);
/* Give the host memory of [off, off+len) back, whole pages: the guest finds zeroes there.  Counts
 * as a store.  Where the host refuses, the memory stays as it is. [bql] */
void ram_discard(RamBlock *b, uint64_t off, uint64_t len);
/* The engine's hook: code made from [off, off+len) must go. */
extern void (*ram_code_hook)(RamBlock *b, uint64_t off, uint64_t len);

/* Start/stop logging stores to a region's RAM for a client; dirty_snapshot copies and clears
 * (re-arms) the bits of [off, off+len), returning true if any was set. [bql] */
void dirty_start(struct Region *r, DirtyClient who);
void dirty_stop(struct Region *r, DirtyClient who);
bool dirty_snapshot(struct Region *r, DirtyClient who, uint64_t off, uint64_t len,
                    unsigned long *bits /* bit 0 = page of off; may be NULL */);
bool dirty_test(struct Region *r, DirtyClient who, uint64_t off, uint64_t len);
void dirty_set(struct Region *r, uint64_t off, uint64_t len);

/* ---- regions ------------------------------------------------------------------------ */

/*
 * Accesses reach read/write with offset relative to the region, little-endian values, and a
 * size between min and max: the core splits wider ones and widens narrower ones (a narrow
 * write below min is a read-modify-write only if .merge is set, else it is passed as it is
 * with its own size).  valid_min/valid_max (0 = 1..8) bound what the bus accepts at all;
 * others read as all ones and are logged.  unaligned: the device takes unaligned accesses;
 * for others the bus splits them into aligned ones.
 *
 * Called with the big lock held.  A device that reaches itself by DMA from within read or
 * write (same opaque) is refused: MEM_REFUSED, logged, reads give all ones.
 */
typedef struct RegionOps {
    uint64_t (*read)(void *opaque, hwaddr addr, unsigned size);
    void (*write)(void *opaque, hwaddr addr, uint64_t val, unsigned size);
    uint8_t min, max;                 /* natural widths of the device; 0 = 1 and 4 */
    uint8_t valid_min, valid_max;
    bool unaligned;
    bool merge;
    bool reentrant;                   /* may be accessed from within its own access (an
                                         interrupt controller's message window) */
} RegionOps;

enum { REGION_CHIP_LAPIC = 1, REGION_CHIP_BOARD };

typedef enum {
    REGION_CONTAINER, REGION_RAM, REGION_ROM, REGION_FLASH /* reads direct, writes to ops */,
    REGION_IO, REGION_ALIAS,
} RegionKind;

typedef struct Region {
    const char *name;                 /* borrowed or interned */
    RegionKind kind;
    bool enabled, readonly, mapped;
    int priority;
    hwaddr addr;                      /* where it sits in parent */
    unsigned __int128 size;           /* up to 2^64 inclusive */
    struct Region *parent;
    GPtrArray *children;              /* of Region*, highest priority first */
    const RegionOps *ops;
    void *opaque;
    RamBlock *ram;                    /* RAM, ROM, FLASH */
    bool direct;                      /* FLASH: loads come from ram (else from ops) */
    struct Region *target;            /* ALIAS */
    hwaddr target_off;
    uint8_t log[DIRTY_CLIENTS];       /* users of each dirty client */
    GPtrArray *aliases;               /* of Region*: aliases whose target this is, or NULL */
    bool changed;                     /* something below changed since the last commit */
    uint64_t coalesced_off, coalesced_len;      /* region_coalesce; len 0: nothing */
    uint8_t chip;                     /* REGION_CHIP_*: I/O of a chip that the accelerator may
                                         have itself; the device sets it, 0 for most */
} Region;

extern void (*memory_coalesced_hook)(void);     /* the accelerator's; NULL: nothing is late */

#define REGION_WHOLE UINT64_MAX       /* as a size: 2^64 */

void region_init_container(Region *r, const char *name, uint64_t size);
void region_init_io(Region *r, const char *name, uint64_t size, const RegionOps *ops, void *opaque);
bool region_init_ram(Region *r, const char *name, uint64_t size, Error **err);
bool region_init_rom(Region *r, const char *name, uint64_t size, Error **err);
bool region_init_flash(Region *r, const char *name, uint64_t size, const RegionOps *ops,
                       void *opaque, Error **err);
void region_init_alias(Region *r, const char *name, Region *target, hwaddr off, uint64_t size);
void region_destroy(Region *r);       /* unmaps, frees its RAM */

/* Higher priority hides lower; equal: the later mapped one is on top. */
void region_map(Region *parent, hwaddr at, Region *child, int priority);
void region_unmap(Region *child);
void region_move(Region *child, hwaddr at);
void region_enable(Region *r, bool on);
void region_set_readonly(Region *r, bool on);
void region_set_direct(Region *r, bool on);          /* FLASH: array mode or command mode */
void region_set_alias_offset(Region *r, hwaddr off);
void region_set_size(Region *r, uint64_t size);
/* Stores to [off, off+len) of this I/O region may reach its ops later, in their order and before
 * any other access to a device: there is no side effect that the guest or the host would miss
 * meanwhile.  Before it is mapped.  A device whose state is looked at otherwise (a display
 * refresh) calls memory_flush_coalesced before. */
void region_coalesce(Region *r, uint64_t off, uint64_t len);
/* Let all such stores reach their regions. [bql] */
static inline void memory_flush_coalesced(void)
{
    if (memory_coalesced_hook) {
        memory_coalesced_hook();
    }
}
static inline uint8_t *region_host(Region *r)
{
    return r->ram->host;
}

/* Changes between begin and commit (nesting) reach the listeners as one. */
void memory_begin(void);
void memory_commit(void);

/* ---- address spaces ----------------------------------------------------------------- */

typedef struct MemSection {
    hwaddr start;                     /* in the address space */
    unsigned __int128 size;
    Region *region;                   /* never an alias or a container; NULL: nothing there */
    hwaddr off;                       /* of start inside region */
    bool readonly;                    /* stores are dropped: ROM, or a read-only window */
    bool direct;                      /* loads come straight from region->ram */
} MemSection;

/* May stores go straight to region->ram (after a look at its guard bytes)?  A flash takes
 * loads directly but stores through its ops. */
static inline bool section_direct_store(const MemSection *s)
{
    return s->direct && !s->readonly && s->region->kind != REGION_FLASH;
}

typedef struct AddressSpace {
    const char *name;
    Region *root;
    struct FlatView *view;            /* [atomic] current; see memory.c for its life */
    GPtrArray *listeners;
    struct AddressSpace *next;
    uint32_t generation;              /* [atomic] +1 at each commit that changed the view */
} AddressSpace;

void address_space_init(AddressSpace *as, Region *root, const char *name);
void address_space_destroy(AddressSpace *as);

typedef enum { MEM_OK, MEM_UNASSIGNED = 1, MEM_REFUSED = 2 } MemResult;

/* Any length; split over sections.  Unassigned reads give all ones.  Any thread. */
MemResult address_space_read(AddressSpace *as, hwaddr addr, void *buf, uint64_t len);
MemResult address_space_write(AddressSpace *as, hwaddr addr, const void *buf, uint64_t len);
/* One access of 1, 2, 4 or 8 bytes, little-endian value. */
uint64_t address_space_ld(AddressSpace *as, hwaddr addr, unsigned size);
void address_space_st(AddressSpace *as, hwaddr addr, uint64_t val, unsigned size);
/* n of them at one address, as REP INS and REP OUTS do to a device's data port, with one look-up and
 * under one hold of the big lock: elements of 1, 2 or 4 bytes at buf, host memory, one behind the
 * other.  Ends early, after an access, when *stop [atomic] isn't 0 or the map has changed.  How many
 * were done; 0: there is no device that takes them whole, use the ones above. */
unsigned address_space_ld_repeat(AddressSpace *as, hwaddr addr, unsigned size, void *buf, unsigned n,
                                 const uint32_t *stop);
unsigned address_space_st_repeat(AddressSpace *as, hwaddr addr, unsigned size, const void *buf,
                                 unsigned n, const uint32_t *stop);
/* Host memory for [addr, addr+*len) if it is RAM (or readable ROM when !write); *len is cut to
 * what is contiguous.  NULL: use read/write.  After storing call address_space_unmap (marks dirty). */
void *address_space_map(AddressSpace *as, hwaddr addr, uint64_t *len, bool write);
void address_space_unmap(AddressSpace *as, void *host, uint64_t len, bool write, uint64_t written);
/* The section that holds addr.  false: unassigned (out is the hole).  Any thread. */
bool address_space_lookup(AddressSpace *as, hwaddr addr, MemSection *out);
/* ROM-proof write for loaders and firmware: stores into ROM too. */
void address_space_write_rom(AddressSpace *as, hwaddr addr, const void *buf, uint64_t len);
/* A device at work outside read/write (a timer, a completion) that starts DMA: accesses that
 * come back to regions with this opaque are refused until leave.  false: nested too deep, do
 * nothing.  Same thread for both. [bql] */
bool memory_guard_enter(const void *opaque);
void memory_guard_leave(void);
/* All sections in order. [bql] */
void address_space_foreach(AddressSpace *as, void (*fn)(const MemSection *s, void *opaque), void *opaque);
void memory_info_mtree(GString *out, bool flat);

/* Hears of one address space. [bql] region_del before region_add within a commit. */
typedef struct MemListener {
    void (*begin)(void *opaque);
    void (*region_add)(void *opaque, const MemSection *s);
    void (*region_del)(void *opaque, const MemSection *s);
    void (*log_start)(void *opaque, const MemSection *s);
    void (*log_sync)(void *opaque, const MemSection *s);   /* bring dirty bits in */
    void (*log_stop)(void *opaque, const MemSection *s);
    void (*commit)(void *opaque, bool changed);
} MemListener;
void address_space_listen(AddressSpace *as, const MemListener *l, void *opaque);
void address_space_unlisten(AddressSpace *as, const MemListener *l, void *opaque);

/* The engine's hook: drop every cached right to store to [off, off+len) of b without a check,
 * on all vCPUs, before returning (guard bits were just set).  Any thread; may wait. */
extern void (*ram_guard_hook)(RamBlock *b, uint64_t off, uint64_t len);

/* The machine's spaces: 2^64 bytes of memory, 64K of I/O ports.  Boards map into the roots.
 * memory_init makes them; calling it again does nothing. */
void memory_init(void);
extern AddressSpace address_space_memory, address_space_io;
Region *system_memory(void);
Region *system_io(void);

#endif
