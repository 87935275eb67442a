/* SPDX-License-Identifier: MIT */
/*
 * Format driver "raw": the bytes of the file below are the bytes of the disk, or those of a
 * window of it (offset, size).
 *
 * When nobody said that the image is raw, a guest could write the header of another format
 * into its first sector and be opened with that format next time - with a backing file of its
 * choice.  Such writes are refused.
 */
#include "block/block.h"
#include "block/node.h"
#include "util/iov.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

typedef struct RawNode {
    uint64_t offset, size;
    bool has_size;
} RawNode;

static bool check_window(BlockNode *n, RawNode *r, Error **err)
{
    int64_t length = n->file->driver->length(n->file);
    if (length < 0) {
        return fail_errno(err, (int)-length, "Could not get the size of the image");
    }
    if (r->offset > (uint64_t)length) {
        return fail(err, "Offset (%" PRIu64 ") cannot be greater than the size of the image (%"
                    PRId64 ")", r->offset, length);
    }
    if (r->has_size && r->size > (uint64_t)length - r->offset) {
        return fail(err, "The sum of offset (%" PRIu64 ") and size (%" PRIu64 ") has to be smaller "
                    "or equal to the size of the image (%" PRId64 ")", r->offset, r->size, length);
    }
    if (r->has_size && r->size % BLK_SECTOR) {
        return fail(err, "Specified size is not multiple of %u", BLK_SECTOR);
    }
    return true;
}

static void raw_close(BlockNode *n)
{
}

static bool raw_open(BlockNode *n, Json *options, Error **err)
{
    RawNode *r = n->state;
    r->has_size = json_get(options, "size") != NULL;
    if (!block_take_uint(options, "offset", &r->offset, err)
        || !block_take_uint(options, "size", &r->size, err)) {
        return false;
    }
    n->file = node_open_child(n, options, "file", err);
    return n->file && check_window(n, r, err);
}

static int64_t raw_length(BlockNode *n)
{
    RawNode *r = n->state;
    if (r->has_size) {
        return r->size;
    }
    int64_t length = n->file->driver->length(n->file);
    return length < 0 ? length : length - (int64_t)r->offset;
}

static int raw_read(BlockNode *n, uint64_t off, const struct iovec *iov, int niov)
{
    return node_read(n->file, off + ((RawNode *)n->state)->offset, iov, niov);
}

static int raw_try_read(BlockNode *n, uint64_t off, const struct iovec *iov, int niov)
{
    return node_try_read(n->file, off + ((RawNode *)n->state)->offset, iov, niov);
}

/* What the first sector would hold after this write. */
static bool disguises(BlockNode *n, uint64_t off, const struct iovec *iov, int niov)
{
    uint8_t head[BLK_SECTOR] = { 0 };
    if (off || iov_size(iov, niov) < BLK_SECTOR) {
        int ret = node_pread(n, 0, head, sizeof(head));
        if (ret < 0) {
            return true;
        }
    }
    iov_to_buf(iov, niov, 0, head + off, sizeof(head) - off);
    return strcmp(block_probe_format(head, sizeof(head), node_file_name(n)), "raw") != 0;
}

static int raw_write(BlockNode *n, uint64_t off, const struct iovec *iov, int niov)
{
    RawNode *r = n->state;
    if (n->probed_raw && off < BLK_SECTOR && disguises(n, off, iov, niov)) {
        return -EPERM;
    }
    return node_write(n->file, off + r->offset, iov, niov);
}

static bool raw_direct(BlockNode *n, uint64_t off, const struct iovec *iov, int niov, bool write,
                       int *fd, uint64_t *host)
{
    return !(write && n->probed_raw && off < BLK_SECTOR)
           && node_direct(n->file, off + ((RawNode *)n->state)->offset, iov, niov, write, fd, host);
}

static int raw_flush(BlockNode *n)
{
    return node_flush(n->file);
}

static int raw_discard(BlockNode *n, uint64_t off, uint64_t len)
{
    return node_discard(n->file, off + ((RawNode *)n->state)->offset, len);
}

static int raw_write_zeroes(BlockNode *n, uint64_t off, uint64_t len, bool may_unmap)
{
    return node_write_zeroes(n->file, off + ((RawNode *)n->state)->offset, len, may_unmap);
}

static int raw_status(BlockNode *n, uint64_t off, uint64_t len, BlockStatus *st)
{
    int ret = node_status(n->file, off + ((RawNode *)n->state)->offset, len, st);
    st->allocated = true;
    return ret;
}

static bool raw_truncate(BlockNode *n, uint64_t length, BlockPrealloc prealloc, Error **err)
{
    RawNode *r = n->state;
    if (r->has_size) {
        return fail(err, "Cannot resize fixed-size raw disks");
    }
    if (prealloc == PREALLOC_METADATA) {
        return fail(err, "Unsupported preallocation mode 'metadata'");
    }
    return node_truncate(n->file, length + r->offset, prealloc, err);
}

static bool raw_create(const char *filename, Json *options, Error **err)
{
    g_autofree char *prealloc = NULL;
    uint64_t size = 0;
    if (!block_take_uint(options, "size", &size, err)
        || !block_take_str(options, "preallocation", &prealloc, err)) {
        return false;
    }
    int mode = PREALLOC_OFF;
    while (prealloc && block_prealloc_names[mode] && strcmp(prealloc, block_prealloc_names[mode])) {
        mode++;
    }
    if (!block_prealloc_names[mode] || mode == PREALLOC_METADATA) {
        return fail(err, "raw: preallocation '%s' is none of: off, falloc, full", prealloc);
    }
    BlockNode *file = node_create_file(filename, options, err);
    size = (size + BLK_SECTOR - 1) / BLK_SECTOR * BLK_SECTOR;
    bool ok = file && node_truncate(file, size, mode, err);
    node_unref(file);
    return ok;
}

static const BlockCreateOption raw_create_options[] = {
    { "preallocation", "str", "off", "Preallocation mode (allowed values: off, falloc, full)" },
    { "size", "size", NULL, "Virtual disk size" },
    { NULL }
};

static const BlockDriver raw_driver = {
    .name = "raw", .size = sizeof(RawNode), .open = raw_open, .close = raw_close,
    .length = raw_length, .read = raw_read, .try_read = raw_try_read,
    .write = raw_write, .flush = raw_flush, .direct = raw_direct,
    .discard = raw_discard, .write_zeroes = raw_write_zeroes, .status = raw_status,
    .truncate = raw_truncate, .create = raw_create, .create_options = raw_create_options,
};
BLOCK_DRIVER(raw_driver);
