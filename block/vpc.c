/* SPDX-License-Identifier: MIT */
/*
 * Format driver "vpc" (Virtual PC, Hyper-V's .vhd), read-only: fixed and dynamic images.  A
 * dynamic one begins with a copy of its footer, then a header and a table with the sector of
 * each block; a block is a bitmap of its sectors and then the data.  Differencing images, which
 * name a parent, are refused.
 */
#include "block/block.h"
#include "block/node.h"
#include "util/bits.h"
#include "util/iov.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

enum {
    /* footer; all numbers big endian */
    F_DATA_OFFSET = 16, F_CREATOR = 28, F_SIZE = 48, F_CYLINDERS = 56, F_HEADS = 58,
    F_SECTORS = 59, F_TYPE = 60, F_LENGTH = 512,
    /* header of a dynamic image */
    D_TABLE = 16, D_ENTRIES = 28, D_BLOCK_SIZE = 32, D_LENGTH = 1024,
};

enum { TYPE_FIXED = 2, TYPE_DYNAMIC = 3 };
#define UNUSED      0xffffffffu
#define MAX_ENTRIES (16u << 20)

typedef struct Vpc {
    uint64_t size;
    uint32_t block_size, bitmap_size, entries;
    uint32_t *table;                    /* NULL: fixed */
} Vpc;

static int vpc_probe(const uint8_t *head, size_t len, const char *filename)
{
    return len >= 8 && !memcmp(head, "conectix", 8) ? 100 : 0;
}

/* Virtual PC's own disks are as long as their geometry, others' as their size field says. */
static uint64_t disk_size(const uint8_t *f)
{
    uint64_t chs = (uint64_t)ld16_be(f + F_CYLINDERS) * f[F_HEADS] * f[F_SECTORS];
    bool by_geometry = !memcmp(f + F_CREATOR, "vpc ", 4) || !memcmp(f + F_CREATOR, "vs  ", 4)
                       || !memcmp(f + F_CREATOR, "qemu", 4);
    bool at_limit = chs >= 65535ull * 16 * 255;
    return by_geometry && !at_limit ? chs * 512 : ld64_be(f + F_SIZE) & ~511ull;
}

static bool load_dynamic(BlockNode *n, const uint8_t *footer, Error **err)
{
    Vpc *v = n->state;
    uint8_t h[D_LENGTH];
    uint64_t at = ld64_be(footer + F_DATA_OFFSET);
    int ret = at > INT64_MAX - D_LENGTH ? -EINVAL : node_pread(n->file, at, h, sizeof(h));
    if (ret < 0 || memcmp(h, "cxsparse", 8)) {
        return fail(err, "vpc: the header of the dynamic disk is missing or damaged");
    }
    v->block_size = ld32_be(h + D_BLOCK_SIZE);
    v->entries = ld32_be(h + D_ENTRIES);
    if (!is_pow2(v->block_size) || v->block_size < 512 || v->block_size > 64 << 20) {
        return fail(err, "vpc: invalid block size %" PRIu32, v->block_size);
    }
    if (v->entries > MAX_ENTRIES || (uint64_t)v->entries * v->block_size < v->size) {
        return fail(err, "vpc: the block table has %" PRIu32 " entries, which does not fit the disk",
                    v->entries);
    }
    v->bitmap_size = (v->block_size / (8 * 512) + 511) & ~511u;
    uint64_t table = ld64_be(h + D_TABLE);
    v->table = g_new0(uint32_t, v->entries + 1);
    ret = table > INT64_MAX - v->entries * 4ull ? -EINVAL
          : node_pread(n->file, table, v->table, v->entries * 4ull);
    if (ret < 0) {
        return fail_errno(err, -ret, "vpc: could not read the block table");
    }
    n->cluster_size = v->block_size;
    return true;
}

static bool load(BlockNode *n, Error **err)
{
    Vpc *v = n->state;
    uint8_t f[F_LENGTH];
    int64_t length = node_length(n->file);
    int ret = length < F_LENGTH ? -EINVAL : node_pread(n->file, 0, f, sizeof(f));
    if (!ret && memcmp(f, "conectix", 8)) {
        ret = node_pread(n->file, length - F_LENGTH, f, sizeof(f));     /* fixed: only the footer */
    }
    if (ret < 0 || memcmp(f, "conectix", 8)) {
        return fail(err, "invalid VPC image");
    }
    uint32_t type = ld32_be(f + F_TYPE);
    v->size = disk_size(f);
    if (v->size > INT64_MAX / 2) {
        return fail(err, "vpc: invalid disk size %" PRIu64, v->size);
    }
    if (type == TYPE_DYNAMIC) {
        return load_dynamic(n, f, err);
    }
    if (type != TYPE_FIXED) {
        return fail(err, "vpc: image type %" PRIu32 " is not supported (fixed and dynamic are)", type);
    }
    v->size = MIN(v->size, (uint64_t)(length - F_LENGTH) & ~511ull);
    return true;
}

static bool vpc_open(BlockNode *n, Json *options, Error **err)
{
    n->file = node_open_child(n, options, "file", err);
    if (!n->file) {
        return false;
    }
    if (!load(n, err)) {
        g_free(((Vpc *)n->state)->table);
        return false;
    }
    return true;
}

static void vpc_close(BlockNode *n)
{
    g_free(((Vpc *)n->state)->table);
}

static int64_t vpc_length(BlockNode *n)
{
    return ((Vpc *)n->state)->size;
}

/* Where off is in the file; false: nowhere, zeroes. */
static bool locate(const Vpc *v, uint64_t off, uint64_t *host)
{
    if (!v->table) {
        *host = off;
        return true;
    }
    uint32_t sector = ld32_be(&v->table[off / v->block_size]);
    *host = sector * 512ull + v->bitmap_size + off % v->block_size;
    return sector != UNUSED;
}

static uint64_t run_length(const Vpc *v, uint64_t off, uint64_t len)
{
    return v->table ? MIN(len, v->block_size - off % v->block_size) : len;
}

/* Inside a block that is there, sectors without a bit were never written and hold zeroes. */
static int vpc_read(BlockNode *n, uint64_t off, const struct iovec *iov, int niov)
{
    const Vpc *v = n->state;
    size_t total = iov_size(iov, niov);
    g_autofree struct iovec *part = g_new(struct iovec, niov);
    int ret = 0;
    for (size_t done = 0; done < total && !ret;) {
        uint64_t host, len = run_length(v, off + done, total - done);
        int count = iov_slice(part, iov, niov, done, len);
        if (locate(v, off + done, &host)) {
            ret = node_read(n->file, host, part, count);
        } else {
            iov_memset(part, count, 0, 0, len);
        }
        done += len;
    }
    return ret;
}

static int vpc_status(BlockNode *n, uint64_t off, uint64_t len, BlockStatus *st)
{
    const Vpc *v = n->state;
    st->len = run_length(v, off, len);
    st->allocated = true;
    st->data = st->has_offset = locate(v, off, &st->offset);
    st->zero = !st->data;
    st->file = n->file;
    return 0;
}

static const BlockDriver vpc_driver = {
    .name = "vpc", .size = sizeof(Vpc), .open = vpc_open, .close = vpc_close,
    .length = vpc_length, .read = vpc_read, .status = vpc_status, .probe = vpc_probe,
};
BLOCK_DRIVER(vpc_driver);
