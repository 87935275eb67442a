/* SPDX-License-Identifier: MIT */
/*
 * BlockBackends as block/ itself and the monitor see them: making slots and putting nodes in.
 * Big lock held.
 */
#ifndef BLOCK_BACKEND_H
#define BLOCK_BACKEND_H

#include "block/block.h"
#include "block/node.h"
#include "block/throttle.h"

/* A slot with this medium (reference given away), or without. */
BlockBackend *blk_new(const char *name, BlockNode *root);
BlockNode *blk_root(const BlockBackend *b);                 /* NULL: no medium */
/* Another node in place of the medium (reference given away); the device notices nothing. */
void blk_replace_root(BlockBackend *b, BlockNode *root);
/* The same between graph_write_lock and graph_write_unlock. */
void blk_swap_root(BlockBackend *b, BlockNode *root);
/* The slot goes: so does what -drive noted about it (block/drive.c). */
void drive_forget(const BlockBackend *b);
/* What a new medium inherits (-drive's cache=, discard=...). */
void blk_set_flags(BlockBackend *b, BlockFlags flags);
/* Limits by a group (reference given away); NULL: none. */
void blk_set_throttle(BlockBackend *b, ThrottleGroup *g);
ThrottleGroup *blk_throttle(const BlockBackend *b);
/* The device behind it, "" if none. */
const char *blk_attached_to(const BlockBackend *b);
bool blk_tray_open(const BlockBackend *b);
bool blk_medium_locked(const BlockBackend *b);

#endif
