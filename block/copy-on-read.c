/* SPDX-License-Identifier: MIT */
/*
 * Filter "copy-on-read": what is read from a backing file becomes the image's own on the way
 * (-drive copy-on-read=on, or a node of its own).  With bottom=NODE only what that node or one above it
 * holds; what lies further down stays there.
 *
 * Writes that come through the filter and copying keep apart by the filter's own list of requests.
 */
#include "block/block.h"
#include "block/track.h"
#include "util/iov.h"

#include <errno.h>

#define MAX_COPY (1u << 20)             /* bytes at once */

typedef struct CopyOnRead {
    NodeObserver observer;              /* watches nothing: with it requests are listed */
    BlockNode *bottom;                  /* NULL: all of the chain is copied */
} CopyOnRead;

static bool take_bottom(BlockNode *n, Json *options, Error **err)
{
    CopyOnRead *c = n->state;
    g_autofree char *name = NULL;
    if (!block_take_str(options, "bottom", &name, err) || !name) {
        return !name;
    }
    BlockNode *b = node_find(name), *at = n->file;
    if (!b) {
        return fail(err, "Bottom node '%s' not found", name);
    }
    if (b->driver->filter) {
        return fail(err, "Bottom node '%s' is a filter", name);
    }
    while (at && at != b) {
        at = at->backing;
    }
    if (!at) {
        return fail(err, "Bottom node '%s' is not in the backing chain of '%s'", name, n->file->name);
    }
    c->bottom = node_ref(b);
    return true;
}

static bool cor_open(BlockNode *n, Json *options, Error **err)
{
    CopyOnRead *c = n->state;
    if (n->flags.read_only) {
        return fail(err, "Can't use copy-on-read on read-only device");
    }
    n->file = node_open_child(n, options, "file", err);
    if (!n->file) {
        return false;
    }
    if (!take_bottom(n, options, err)) {
        return false;
    }
    n->cluster_size = n->file->cluster_size;
    node_add_observer(n, &c->observer);
    return true;
}

static void cor_close(BlockNode *n)
{
    CopyOnRead *c = n->state;
    node_remove_observer(n, &c->observer);
    node_unref(c->bottom);
}

static int64_t cor_length(BlockNode *n)
{
    return node_length(n->file);
}

/* [off, off + len) is not the image's own: whole clusters around it become so.  Somebody may have
 * written there before the range was ours. */
static int copy_up(BlockNode *n, uint64_t off, uint64_t len)
{
    uint64_t cluster = MAX(n->file->cluster_size, 4096), length = node_length(n->file);
    uint64_t from = off / cluster * cluster, to = MIN((off + len + cluster - 1) / cluster * cluster, length);
    g_autofree uint8_t *buf = g_malloc(MIN(to - from, MAX_COPY));
    TrackedRange r;
    int ret = 0;
    track_begin(n, &r, from, to - from, true);
    for (uint64_t at = from; at < to && !ret;) {
        BlockStatus st;
        uint64_t part = MIN(to - at, MAX_COPY);
        ret = node_status(n->file, at, part, &st);
        if (!ret && !st.allocated) {
            ret = node_pread(n->file, at, buf, st.len);
            struct iovec iov = { buf, st.len };
            ret = ret ? ret : iov_is_zero(&iov, 1) ? node_write_zeroes(n->file, at, st.len, false)
                            : node_write(n->file, at, &iov, 1);
        }
        at += st.len;
    }
    track_end(n, &r);
    return ret;
}

/* Failing to keep a copy is no failure to read. */
static int cor_read(BlockNode *n, uint64_t off, const struct iovec *iov, int niov)
{
    const CopyOnRead *c = n->state;
    BlockNode *below = c->bottom ? c->bottom->backing : NULL;
    uint64_t end = off + iov_size(iov, niov);
    for (uint64_t at = off; at < end;) {
        BlockStatus st;
        int depth = 0, ret = node_status_above(n->file, below, at, end - at, &st, &depth);
        if (ret < 0 || (st.allocated && depth && copy_up(n, at, st.len) < 0)) {
            break;
        }
        at += st.len;
    }
    return node_read(n->file, off, iov, niov);
}

static int cor_write(BlockNode *n, uint64_t off, const struct iovec *iov, int niov)
{
    return node_write(n->file, off, iov, niov);
}

static int cor_flush(BlockNode *n)
{
    return node_flush(n->file);
}

static int cor_discard(BlockNode *n, uint64_t off, uint64_t len)
{
    return node_discard(n->file, off, len);
}

static int cor_write_zeroes(BlockNode *n, uint64_t off, uint64_t len, bool may_unmap)
{
    return node_write_zeroes(n->file, off, len, may_unmap);
}

static int cor_status(BlockNode *n, uint64_t off, uint64_t len, BlockStatus *st)
{
    return node_status_above(n->file, NULL, off, len, st, NULL);
}

static bool cor_truncate(BlockNode *n, uint64_t length, BlockPrealloc prealloc, Error **err)
{
    return node_truncate(n->file, length, prealloc, err);
}

static const BlockDriver cor_driver = {
    .name = "copy-on-read", .filter = true, .size = sizeof(CopyOnRead), .open = cor_open,
    .close = cor_close, .length = cor_length, .read = cor_read, .write = cor_write,
    .flush = cor_flush, .discard = cor_discard, .write_zeroes = cor_write_zeroes,
    .status = cor_status, .truncate = cor_truncate,
};
BLOCK_DRIVER(cor_driver);
