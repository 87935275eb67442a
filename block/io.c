/* SPDX-License-Identifier: MIT */
/*
 * Requests to nodes: the checks in front of each, and what works the same for all drivers.
 * Any thread.
 */
#include "block/block.h"
#include "block/dirtymap.h"
#include "block/track.h"
#include "util/iov.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

/* ---- requests ----------------------------------------------------------------------- */

int64_t node_length(BlockNode *n)
{
    int64_t length = n->driver->length(n);
    return length < 0 ? length : (length + BLK_SECTOR - 1) / BLK_SECTOR * BLK_SECTOR;
}

static int check_range(BlockNode *n, uint64_t off, uint64_t len)
{
    if (n->growable) {
        return len <= INT64_MAX && off <= INT64_MAX - len ? 0 : -EFBIG;
    }
    int64_t length = node_length(n);
    if (length < 0) {
        return length;
    }
    return off <= (uint64_t)length && len <= (uint64_t)length - off ? 0 : -EIO;
}

static int check_write(BlockNode *n, uint64_t off, uint64_t len)
{
    return n->flags.read_only ? -EPERM : check_range(n, off, len);
}

int node_read(BlockNode *n, uint64_t off, const struct iovec *iov, int niov)
{
    int ret = check_range(n, off, iov_size(iov, niov));
    return ret < 0 ? ret : n->driver->read(n, off, iov, niov);
}

int node_try_read(BlockNode *n, uint64_t off, const struct iovec *iov, int niov)
{
    if (!n->driver->try_read || check_range(n, off, iov_size(iov, niov)) < 0) {
        return -EAGAIN;
    }
    return n->driver->try_read(n, off, iov, niov);
}

/* ---- changes, with those who watch them ------------------------------------------------ */

typedef enum { CHANGE_WRITE, CHANGE_ZERO, CHANGE_DISCARD, CHANGE_COMPRESSED } ChangeKind;

typedef struct Change {
    ChangeKind kind;
    uint64_t off, len;
    const struct iovec *iov;
    int niov;
    bool may_unmap;
} Change;

static int write_zero_buffer(BlockNode *n, uint64_t off, uint64_t len);

static int make_change(BlockNode *n, const Change *c)
{
    const BlockDriver *d = n->driver;
    int ret = -ENOTSUP;
    switch (c->kind) {
    case CHANGE_WRITE:
        return d->write(n, c->off, c->iov, c->niov);
    case CHANGE_ZERO:
        if (d->write_zeroes) {
            ret = d->write_zeroes(n, c->off, c->len, c->may_unmap);
        }
        return ret == -ENOTSUP ? write_zero_buffer(n, c->off, c->len) : ret;
    case CHANGE_DISCARD:
        return d->discard(n, c->off, c->len);
    case CHANGE_COMPRESSED:
        return d->write_compressed(n, c->off, c->iov->iov_base, c->len);
    }
    return ret;
}

static int change(BlockNode *n, const Change *c)
{
    if (G_LIKELY(!n->observers)) {
        return make_change(n, c);
    }
    TrackedRange r;
    track_begin(n, &r, c->off, c->len, false);
    int ret = observers_before(n, c->off, c->len);
    ret = ret ? ret : make_change(n, c);
    observers_after(n, c->off, c->len);
    track_end(n, &r);
    return ret;
}

int node_write(BlockNode *n, uint64_t off, const struct iovec *iov, int niov)
{
    size_t len = iov_size(iov, niov);
    int ret = check_write(n, off, len);
    if (ret < 0 || !len) {
        return ret;
    }
    if (n->detect_zeroes && iov_is_zero(iov, niov)) {
        return node_write_zeroes(n, off, len, n->detect_zeroes == 2);
    }
    return change(n, &(Change) { CHANGE_WRITE, off, len, iov, niov });
}

bool node_direct(BlockNode *n, uint64_t off, const struct iovec *iov, int niov, bool write, int *fd,
                 uint64_t *host)
{
    size_t len = iov_size(iov, niov);
    return n->driver->direct && len && !(write && (n->observers || n->detect_zeroes))
           && !(write ? check_write(n, off, len) : check_range(n, off, len))
           && n->driver->direct(n, off, iov, niov, write, fd, host);
}

int node_pread(BlockNode *n, uint64_t off, void *buf, size_t len)
{
    struct iovec iov = { buf, len };
    return node_read(n, off, &iov, 1);
}

int node_pwrite(BlockNode *n, uint64_t off, const void *buf, size_t len)
{
    struct iovec iov = { (void *)buf, len };
    return node_write(n, off, &iov, 1);
}

int node_flush(BlockNode *n)
{
    /* cache=unsafe: formats still write their tables, only the waiting for the disk goes */
    if (n->flags.read_only || !n->driver->flush || (n->flags.no_flush && n->driver->protocol)) {
        return 0;
    }
    return n->driver->flush(n);
}

int node_discard(BlockNode *n, uint64_t off, uint64_t len)
{
    int ret = check_write(n, off, len);
    if (ret < 0 || !n->flags.unmap || !n->driver->discard || !len) {
        return ret;
    }
    return change(n, &(Change) { CHANGE_DISCARD, off, len });
}

/* For drivers without a quick way: write zeroes from a buffer. */
static int write_zero_buffer(BlockNode *n, uint64_t off, uint64_t len)
{
    size_t chunk = MIN(len, 1 << 20);
    g_autofree void *zeroes = g_malloc0(chunk);
    int ret = 0;
    while (len && ret >= 0) {
        struct iovec iov = { zeroes, MIN(len, chunk) };
        ret = n->driver->write(n, off, &iov, 1);
        off += iov.iov_len;
        len -= iov.iov_len;
    }
    return ret;
}

int node_write_zeroes(BlockNode *n, uint64_t off, uint64_t len, bool may_unmap)
{
    int ret = check_write(n, off, len);
    if (ret < 0 || !len) {
        return ret;
    }
    return change(n, &(Change) { CHANGE_ZERO, off, len, .may_unmap = may_unmap && n->flags.unmap });
}

int node_write_compressed(BlockNode *n, uint64_t off, const void *buf, size_t len)
{
    int ret = check_write(n, off, len);
    if (ret < 0) {
        return ret;
    }
    struct iovec iov = { (void *)buf, len };
    return n->driver->write_compressed ? change(n, &(Change) { CHANGE_COMPRESSED, off, len, &iov, 1 })
                                       : -ENOTSUP;
}

/* One stretch of node_copy_up, inside the lock of its range. */
static int copy_up(BlockNode *n, BlockNode *base, uint64_t off, uint64_t *len, void *buf)
{
    BlockStatus st;
    int ret = node_status(n, off, *len, &st);
    if (ret < 0 || st.allocated) {
        *len = st.len;
        return ret;
    }
    *len = st.len;
    ret = n->backing ? node_status_above(n->backing, base, off, *len, &st, NULL) : 0;
    if (ret < 0 || !n->backing) {
        return ret;
    }
    *len = st.len;
    if (!st.allocated) {
        return 0;                       /* base has it, or nobody */
    }
    if (st.zero) {
        return make_change(n, &(Change) { CHANGE_ZERO, off, *len, .may_unmap = n->flags.unmap });
    }
    struct iovec iov = { buf, *len };
    ret = node_read(n, off, &iov, 1);
    return ret ? ret : make_change(n, &(Change) { CHANGE_WRITE, off, *len, &iov, 1 });
}

int node_copy_up(BlockNode *n, BlockNode *base, uint64_t off, uint64_t len, void *buf)
{
    TrackedRange r;
    int ret = check_write(n, off, len);
    if (ret < 0) {
        return ret;
    }
    track_begin(n, &r, off, len, true);
    while (len && !ret) {
        uint64_t part = len;
        ret = copy_up(n, base, off, &part, buf);
        off += part;
        len -= part;
    }
    track_end(n, &r);
    return ret;
}

/* ---- what is where ------------------------------------------------------------------ */

int node_status(BlockNode *n, uint64_t off, uint64_t len, BlockStatus *st)
{
    memset(st, 0, sizeof(*st));
    int ret = check_range(n, off, len);
    if (ret < 0 || !len) {
        return ret < 0 ? ret : -EINVAL;
    }
    if (!n->driver->status) {
        *st = (BlockStatus) { .len = len, .allocated = true, .data = true };
        return 0;
    }
    ret = n->driver->status(n, off, len, st);
    st->len = MIN(st->len, len);
    return ret < 0 ? ret : st->len ? 0 : -EIO;
}

int node_status_above(BlockNode *n, BlockNode *base, uint64_t off, uint64_t len, BlockStatus *st,
                      int *depth)
{
    int level = 0;
    for (; n && n != base; n = n->backing, level++) {
        int64_t length = node_length(n);
        if (length < 0) {
            return length;
        }
        if (off >= (uint64_t)length) {  /* a short backing file goes on as zeroes */
            *st = (BlockStatus) { .len = len, .allocated = true, .zero = true };
            break;
        }
        int ret = node_status(n, off, MIN(len, (uint64_t)length - off), st);
        if (ret < 0) {
            return ret;
        }
        len = st->len;
        if (st->allocated) {
            break;
        }
    }
    if (!n || n == base) {
        *st = (BlockStatus) { .len = len, .zero = !n };
    }
    if (depth) {
        *depth = level;
    }
    return 0;
}

/* The first bytes of them that lie in a row; *len says how many were copied. */
static int copy_range(BlockNode *from, uint64_t from_off, BlockNode *to, uint64_t to_off, uint64_t *len)
{
    BlockStatus a, b;
    int ret = node_status_above(from, NULL, from_off, *len, &a, NULL);
    ret = ret ? ret : node_status(to, to_off, *len, &b);
    if (ret || !a.data || !a.has_offset || !b.has_offset || !a.file->driver->fd || !b.file->driver->fd) {
        return -ENOTSUP;
    }
    *len = MIN(a.len, b.len);
    off_t in = a.offset, out = b.offset;
    for (uint64_t left = *len; left;) {
        ssize_t n = copy_file_range(a.file->driver->fd(a.file), &in, b.file->driver->fd(b.file), &out,
                                    left, 0);
        if (n <= 0) {
            return -ENOTSUP;
        }
        left -= n;
    }
    return 0;
}

int node_copy_range(BlockNode *from, uint64_t from_off, BlockNode *to, uint64_t to_off, uint64_t len)
{
    int ret = check_write(to, to_off, len);
    /* only raw: what other formats have there may change with the write */
    if (ret || strcmp(to->driver->name, "raw") || to->probed_raw) {
        return -ENOTSUP;
    }
    for (uint64_t done = 0, part; done < len && !ret; done += part) {
        part = len - done;
        ret = copy_range(from, from_off + done, to, to_off + done, &part);
    }
    return ret;
}

void node_limits(BlockNode *n, BlkLimits *out)
{
    BlockNode *bottom = n;
    *out = (BlkLimits) { .logical_block = BLK_SECTOR, .physical_block = BLK_SECTOR,
                         .discard_granularity = BLK_SECTOR };
    while (bottom->file && !bottom->driver->limits) {
        bottom = bottom->file;
    }
    if (bottom->driver->limits) {
        bottom->driver->limits(bottom, out);
    }
    if (n->cluster_size) {
        out->min_io = n->cluster_size;
        out->discard_granularity = n->cluster_size;
    }
}

/* ---- length ------------------------------------------------------------------------- */

bool node_truncate(BlockNode *n, uint64_t length, BlockPrealloc prealloc, Error **err)
{
    if (n->flags.read_only) {
        return fail(err, "Image is read-only");
    }
    if (length > INT64_MAX - BLK_SECTOR) {
        return fail(err, "The new size is too big");
    }
    if (!n->driver->truncate) {
        return fail(err, "Image format driver '%s' does not support resize", n->driver->name);
    }
    if (!n->driver->truncate(n, length, prealloc, err)) {
        return false;
    }
    bitmap_resize_all(n, node_length(n));
    return true;
}
