/* SPDX-License-Identifier: MIT */
/*
 * The flat view: what an address space looks like once overlaps, aliases and switches are
 * resolved.  Built by memory/flatview.c, read by memory/access.c; private to memory/.
 *
 * A view never changes once published.  The big lock keeps it (and the regions it names)
 * alive, or an RCU read section keeps the view and its RamBlocks alive.
 */
#ifndef MEMORY_FLATVIEW_H
#define MEMORY_FLATVIEW_H

#include "memory/memory.h"
#include "util/bits.h"

typedef struct FlatRange {
    hwaddr start, last;                 /* inclusive: a range may end at 2^64 - 1 */
    Region *region;                     /* valid under the big lock only */
    RamBlock *ram;                      /* of region; NULL for I/O */
    hwaddr off;                         /* of start in region */
    bool readonly, direct, direct_store;
} FlatRange;

#define FLAT_HINTS 16

typedef struct FlatView {
    Region *root;
    unsigned refs;                      /* address spaces that use it [bql] */
    unsigned n, allocated;
    FlatRange *ranges;                  /* by address */
    hwaddr *starts;                     /* ranges[i].start, packed for the search */
    uint32_t hint[FLAT_HINTS];          /* [atomic] where addresses like this were found last */
} FlatView;

FlatView *flatview_build(Region *root);
void flatview_unref(FlatView *v);       /* freed after a grace period */
/* Two views show the same to a guest and to a listener. */
bool flatview_equal(const FlatView *a, const FlatView *b);
/* Index of the range that holds addr, or of the first one above it; *found tells which. */
unsigned flatview_search(const FlatView *v, hwaddr addr, bool *found);
MemSection flatview_section(const FlatRange *r);
/* The region whose flat view is the flat view of r, so that address spaces can share one:
 * follows windows that show a whole region.  NULL: there is nothing. */
Region *flatview_root(Region *r);

static inline const FlatRange *flatview_find(FlatView *v, hwaddr addr)
{
    /* ports differ in their low bits, memory in its high ones */
    uint32_t *hint = &v->hint[(addr >> 3 ^ addr >> 12 ^ addr >> 20) % FLAT_HINTS];
    unsigned i = __atomic_load_n(hint, __ATOMIC_RELAXED);
    if (likely(i < v->n && addr >= v->ranges[i].start && addr <= v->ranges[i].last)) {
        return &v->ranges[i];
    }
    bool found;
    i = flatview_search(v, addr, &found);
    if (!found) {
        return NULL;
    }
    __atomic_store_n(hint, i, __ATOMIC_RELAXED);
    return &v->ranges[i];
}

typedef struct Listener {
    const MemListener *ops;
    void *opaque;
} Listener;                             /* AddressSpace.listeners holds these */

/* The topology, for region.c: note a change / publish it. [bql] */
void memory_changed(Region *r);
/* region is going away: no view may name it afterwards. */
void memory_forget(Region *r);
extern AddressSpace *address_spaces;    /* list [bql] */

#endif
