/* SPDX-License-Identifier: MIT */
/*
 * The dirty log of one RAM block, for memory/ itself: others use dirty_start and friends
 * (memory/memory.h), which count users and tell the listeners.  Big lock held.
 */
#ifndef MEMORY_RAM_H
#define MEMORY_RAM_H

#include "memory/memory.h"

/* Every page counts as dirty to begin with.  false: no host memory for the bitmap. */
bool ram_log_start(RamBlock *b, DirtyClient who);
void ram_log_stop(RamBlock *b, DirtyClient who);
bool ram_log_test(const RamBlock *b, DirtyClient who, uint64_t off, uint64_t len);
/* Copies (bit 0 = page of off; bits may be NULL), clears and re-arms; true if any was set. */
bool ram_log_snapshot(RamBlock *b, DirtyClient who, uint64_t off, uint64_t len, unsigned long *bits);

#endif
