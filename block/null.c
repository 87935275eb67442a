/* SPDX-License-Identifier: MIT */
/*
 * Protocol drivers "null-co" and "null-aio": a disk of any size that forgets what is written.
 * For measuring, and for tests of big disks.  latency-ns delays each request.
 */
#include "block/node.h"
#include "block/pool.h"
#include "util/iov.h"

#include <string.h>

typedef struct NullNode {
    uint64_t size, latency_ns;
    bool read_zeroes;
} NullNode;

static bool null_open(BlockNode *n, Json *options, Error **err)
{
    NullNode *s = n->state;
    s->size = 1 << 30;
    g_autofree char *filename = NULL;
    if (!block_take_uint(options, "size", &s->size, err)
        || !block_take_uint(options, "latency-ns", &s->latency_ns, err)
        || !block_take_bool(options, "read-zeroes", &s->read_zeroes, err)
        || !block_take_str(options, "filename", &filename, err)) {
        return false;
    }
    return s->size <= INT64_MAX || fail(err, "Option 'size': too large");
}

static void null_close(BlockNode *n)
{
}

static int64_t null_length(BlockNode *n)
{
    return ((NullNode *)n->state)->size;
}

static int delay(BlockNode *n)
{
    NullNode *s = n->state;
    if (s->latency_ns) {
        pool_sleeps();
        g_usleep(MIN(s->latency_ns / 1000, 10 * G_USEC_PER_SEC));
    }
    return 0;
}

static int null_read(BlockNode *n, uint64_t off, const struct iovec *iov, int niov)
{
    /* without read-zeroes the contents are undefined: but never what the host had there */
    iov_memset(iov, niov, 0, 0, SIZE_MAX);
    return delay(n);
}

static int null_write(BlockNode *n, uint64_t off, const struct iovec *iov, int niov)
{
    return delay(n);
}

static int null_write_zeroes(BlockNode *n, uint64_t off, uint64_t len, bool may_unmap)
{
    return delay(n);
}

static int null_discard(BlockNode *n, uint64_t off, uint64_t len)
{
    return delay(n);
}

#define NULL_DRIVER(n)                                                              \
    { .name = n, .protocol = true, .size = sizeof(NullNode), .open = null_open,     \
      .close = null_close, .length = null_length, .read = null_read,                \
      .write = null_write, .flush = delay, .discard = null_discard,                 \
      .write_zeroes = null_write_zeroes }

static const BlockDriver null_co_driver = NULL_DRIVER("null-co");
static const BlockDriver null_aio_driver = NULL_DRIVER("null-aio");
BLOCK_DRIVER(null_co_driver);
BLOCK_DRIVER(null_aio_driver);
