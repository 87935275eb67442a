/* SPDX-License-Identifier: MIT */
/*
 * Changes in flight of a node that is being watched: between block/io.c and block/graph.c.
 */
#ifndef BLOCK_TRACK_H
#define BLOCK_TRACK_H

#include "block/node.h"

typedef struct NodeTracker NodeTracker;

typedef struct TrackedRange {
    uint64_t from, to;
    bool exclusive;                     /* nobody else in it, not even a change */
    struct TrackedRange *next;
} TrackedRange;

/* Waits until the range may be entered. */
void track_begin(BlockNode *n, TrackedRange *r, uint64_t off, uint64_t len, bool exclusive);
void track_end(BlockNode *n, TrackedRange *r);
void tracker_free(BlockNode *n);
int observers_before(BlockNode *n, uint64_t off, uint64_t len);
void observers_after(BlockNode *n, uint64_t off, uint64_t len);

#endif
