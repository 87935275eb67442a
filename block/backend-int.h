/* SPDX-License-Identifier: MIT */
/*
 * A slot from inside: for block/backend.c and block/medium.c alone.  Big lock held.
 */
#ifndef BLOCK_BACKEND_INT_H
#define BLOCK_BACKEND_INT_H

#include "block/backend.h"
#include "block/pool.h"

struct BlockBackend {
    char *name;                         /* "" for a slot around a -blockdev node */
    BlockNode *root;
    BlockFlags flags;
    bool write_cache;
    unsigned in_flight;
    PoolLane *lane;                     /* of its writes */
    BlkOnError on_read_error, on_write_error;
    const char *io_status;
    BlkStats stats;
    char *device;                       /* who is behind it, NULL if nobody */
    const BlkDevOps *ops;
    void *ops_opaque;
    bool locked;                        /* by the guest */
    ThrottleGroup *throttle;            /* NULL: no limits */
    bool tried;                         /* blk_try_read just failed: no use in trying again */
    bool user_opened;                   /* the monitor opened the tray of a device without one */
};

#endif
