/* SPDX-License-Identifier: MIT */
/*
 * A slot and its requests from inside: for block/backend.c, block/finish.c and block/medium.c
 * alone.  Big lock held unless said otherwise.
 */
#ifndef BLOCK_BACKEND_INT_H
#define BLOCK_BACKEND_INT_H

#include "block/backend.h"
#include "block/pool.h"
#include "util/timer.h"

typedef struct BlkBatch BlkBatch;

struct BlockBackend {
    char *name;                         /* "" for a slot around a -blockdev node */
    BlockNode *root;
    BlockFlags flags;
    bool write_cache;
    unsigned in_flight;
    PoolLane *lane;                     /* of its writes */
    BlkBatch *batch;                    /* their ends */
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

typedef enum { REQ_READ, REQ_WRITE, REQ_FLUSH, REQ_DISCARD, REQ_WRITE_ZEROES } RequestType;

struct BlkRequest {
    PoolJob job;                        /* always first */
    BlockBackend *blk;
    BlockNode *node;                    /* reference */
    RequestType type;
    uint64_t offset, len;
    unsigned flags;
    int niov;
    BlkDone *done;
    void *opaque;
    int64_t start_ns;
    Timer wait;                         /* its turn by the limits of the slot */
    bool waiting;
    int cancelled;                      /* [atomic] */
    bool finished;                      /* it was done, and waits to be told [block/finish.c] */
    BlkBatch *batch;                    /* ... with others of its lane; or NULL [block/finish.c] */
    int ret;
    struct iovec iov[];
};

/* ---- how requests end: block/finish.c ------------------------------------------------------- */

/* It is done: the device will be called back by the main loop, or who drains.  Any thread. */
void request_end(BlkRequest *r, int ret);
/* The same for a job of the pool with r->ret, on its thread, which may call the device itself;
 * ns: how long it took. */
void request_end_here(BlkRequest *r, int64_t ns);
/* Waits until it is done, and calls the device. */
void request_finish_when_done(BlkRequest *r);
/* ... until one of the slot is. */
void requests_finish_one(BlockBackend *b);

BlkBatch *batch_new(void);
void batch_unref(BlkBatch *h);
/* Of the lane: the thread goes to sleep. */
void batch_sleeps(void *batch);

#endif
