/* SPDX-License-Identifier: MIT */
/*
 * A parallel NOR flash chip with Intel's command set, "cfi.pflash01": firmware and its variables.
 */
#ifndef HW_BLOCK_PFLASH_CFI01_H
#define HW_BLOCK_PFLASH_CFI01_H

#include "hw/core/device.h"

struct BlockBackend;

#define PFLASH_BLOCK 4096u              /* bytes erased at once; sizes are multiples */

/* Not yet realized.  name ("system.flash0", kept) is the region's and its RAM block's; blk holds
 * the contents, and its length is the chip's. */
Device *pflash_cfi01_new(const char *name, struct BlockBackend *blk);
/* secure=on: commands and stores are heard only while this is true.  Before realize. */
void pflash_cfi01_set_trusted(Device *pflash, bool (*trusted)(void));
/* To be mapped by the board; valid from realize on. */
Region *pflash_cfi01_region(Device *pflash);

#endif
