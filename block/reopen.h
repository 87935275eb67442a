/* SPDX-License-Identifier: MIT */
/*
 * Nodes with other options than they were opened with (QMP's blockdev-reopen).
 */
#ifndef BLOCK_REOPEN_H
#define BLOCK_REOPEN_H

#include <stdbool.h>
#include "util/error.h"
#include "util/json.h"

/* list: options as of blockdev-add, of nodes that are there.  All of them change or none does. [bql] */
bool nodes_reopen(const Json *list, Error **err);

#endif
