/* SPDX-License-Identifier: MIT */
/*
 * Error injection from test programs into a "blkdebug" node.
 */
#ifndef BLOCK_BLKDEBUG_H
#define BLOCK_BLKDEBUG_H

#include <stdbool.h>
#include <stdint.h>

typedef enum { BLOCK_INJECT_READ, BLOCK_INJECT_WRITE, BLOCK_INJECT_WRITE_ZEROES,
               BLOCK_INJECT_DISCARD, BLOCK_INJECT_FLUSH } BlockInjectType;

/* Requests of this type that touch sector (-1: any) fail with errnum (> 0), once or for ever.
 * false: there is no such blkdebug node. */
bool block_inject(const char *node_name, BlockInjectType type, int errnum, int64_t sector, bool once);

#endif
