/* SPDX-License-Identifier: MIT */
/*
 * Which parts of a disk changed: one bit for each piece, for jobs and for the bitmaps that
 * clients put on nodes (block-dirty-bitmap-add).  DirtyMap functions may be called on any thread.
 */
#ifndef BLOCK_DIRTYMAP_H
#define BLOCK_DIRTYMAP_H

#include "block/node.h"

typedef struct DirtyMap {
    GMutex lock;
    uint64_t length, granularity;       /* bytes; granularity a power of two */
    uint64_t pieces, count;             /* count: of set bits */
    uint64_t *bits;
} DirtyMap;

DirtyMap *dirtymap_new(uint64_t length, uint64_t granularity);
void dirtymap_free(DirtyMap *d);
/* All pieces the range touches.  Returns whether nothing was set before. */
bool dirtymap_set(DirtyMap *d, uint64_t off, uint64_t len);
void dirtymap_clear(DirtyMap *d, uint64_t off, uint64_t len);
/* The first dirty bytes at or behind from (then from the begin), at most max of them in a row. */
bool dirtymap_next(DirtyMap *d, uint64_t from, uint64_t max, uint64_t *off, uint64_t *len);
/* Clears and returns true if any piece of the range was set. */
bool dirtymap_test(DirtyMap *d, uint64_t off, uint64_t len);
uint64_t dirtymap_bytes(DirtyMap *d);
void dirtymap_merge(DirtyMap *to, DirtyMap *from);
/* Pieces 8 * byte ... as bits, the least significant first; those behind the end are zero. */
void dirtymap_get_bits(DirtyMap *d, uint64_t byte, uint8_t *bits, size_t len);
void dirtymap_put_bits(DirtyMap *d, uint64_t byte, const uint8_t *bits, size_t len);
/* Another length of the disk; what is new is clean. */
void dirtymap_resize(DirtyMap *d, uint64_t length);

/* ---- bitmaps by name.  [bql, changes with the graph's write lock] ----------------------- */

typedef struct DirtyBitmap {
    char *name;
    BlockNode *node;                    /* lives with it */
    DirtyMap *map;
    bool disabled;                      /* [atomic] records nothing */
    bool busy;                          /* used by a job */
    bool persistent;                    /* stored in the image */
    bool inconsistent;                  /* was not stored when it should have been: of no use */
    NodeObserver observer;
    struct DirtyBitmap *next;
} DirtyBitmap;

DirtyBitmap *bitmap_find(BlockNode *n, const char *name, Error **err);
bool bitmap_add(BlockNode *n, const char *name, uint64_t granularity, bool disabled, Error **err);
/* Can its bits be used and changed?  Not while a job has it, nor when it is inconsistent. */
bool bitmap_usable(const DirtyBitmap *b, Error **err);
/* It is stored when the image is closed, if the format can do that. */
bool bitmap_make_persistent(DirtyBitmap *b, Error **err);
void bitmap_resize_all(BlockNode *n, uint64_t length);
bool bitmap_remove(BlockNode *n, const char *name, Error **err);
/* Those of the node, as query-block lists them; NULL if there are none. */
Json *bitmap_list(BlockNode *n);
void bitmap_free_all(BlockNode *n);

#endif
