/* SPDX-License-Identifier: MIT */
/*
 * Format driver "vpc" (Virtual PC, Hyper-V's .vhd): fixed and dynamic images.  A
 * dynamic one begins with a copy of its footer, then a header and a table with the sector of
 * each block; a block is a bitmap of its sectors and then the data; the footer comes last and
 * moves on when a block is added.  Differencing images, which name a parent, are refused.
 *
 * The table waits in memory for a flush, so that it never names what is not there.
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
#define DEFAULT_BLOCK (2u << 20)

typedef struct Vpc {
    uint64_t size;
    uint32_t block_size, bitmap_size, entries;
    uint32_t *table;                    /* NULL: fixed; else as in the file */
    uint64_t table_at, end;             /* end: where the next block goes, the footer stands */
    uint64_t virgin;                    /* from here on the file was never written */
    uint32_t dirty_from, dirty_to;      /* entries not in the file yet */
    uint8_t *touched;                   /* a bit for each block whose bitmap is all ones */
    uint8_t footer[F_LENGTH];
    GMutex lock;                        /* held while a block is being added */
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
    v->table_at = table;
    v->touched = g_malloc0(v->entries / 8 + 1);
    v->dirty_from = UINT32_MAX;
    v->end = table + v->entries * 4ull;
    for (uint32_t i = 0; i < v->entries; i++) {
        uint32_t sector = ld32_be(&v->table[i]);
        if (sector != UNUSED) {
            v->end = MAX(v->end, sector * 512ull + v->bitmap_size + v->block_size);
        }
    }
    v->end = (v->end + 511) & ~511ull;
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
    memcpy(v->footer, f, sizeof(f));
    v->virgin = length;
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

static void free_state(Vpc *v)
{
    g_free(v->table);
    g_free(v->touched);
}

static bool vpc_open(BlockNode *n, Json *options, Error **err)
{
    n->file = node_open_child(n, options, "file", err);
    if (!n->file) {
        return false;
    }
    g_mutex_init(&((Vpc *)n->state)->lock);
    if (!load(n, err)) {
        free_state(n->state);
        return false;
    }
    return true;
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

/* ---- writing ------------------------------------------------------------------------------- */

/* A new block: bitmap of ones and zeroes, then the footer behind it.  Lock held. */
static int add_block(BlockNode *n, uint32_t i)
{
    Vpc *v = n->state;
    uint64_t start = v->end, next = start + v->bitmap_size + v->block_size;
    g_autofree uint8_t *bitmap = g_malloc(v->bitmap_size);
    memset(bitmap, 0xff, v->bitmap_size);
    if (start / 512 >= UNUSED) {
        return -EFBIG;
    }
    int ret = node_pwrite(n->file, start, bitmap, v->bitmap_size);
    if (!ret && start + v->bitmap_size < v->virgin) {
        uint64_t len = MIN(v->virgin - start - v->bitmap_size, v->block_size);
        g_autofree uint8_t *zeroes = g_malloc0(len);
        ret = node_pwrite(n->file, start + v->bitmap_size, zeroes, len);
    }
    ret = ret ? ret : node_pwrite(n->file, next, v->footer, F_LENGTH);
    v->virgin = MAX(v->virgin, next + F_LENGTH);
    if (!ret) {
        v->end = next;
        v->touched[i / 8] |= 1 << (i % 8);
        st32_be(&v->table[i], start / 512);
        v->dirty_from = MIN(v->dirty_from, i);
        v->dirty_to = MAX(v->dirty_to, i + 1);
    }
    return ret;
}

/* The block can be written: it is there, and all its sectors count.  Lock held. */
static int prepare_block(BlockNode *n, uint32_t i)
{
    Vpc *v = n->state;
    uint32_t sector = ld32_be(&v->table[i]);
    if (v->touched[i / 8] >> (i % 8) & 1) {
        return 0;
    }
    if (sector == UNUSED) {
        return add_block(n, i);
    }
    g_autofree uint8_t *bitmap = g_malloc(v->bitmap_size);
    memset(bitmap, 0xff, v->bitmap_size);
    int ret = node_pwrite(n->file, sector * 512ull, bitmap, v->bitmap_size);
    if (!ret) {
        v->touched[i / 8] |= 1 << (i % 8);
    }
    return ret;
}

static int vpc_write(BlockNode *n, uint64_t off, const struct iovec *iov, int niov)
{
    Vpc *v = n->state;
    size_t total = iov_size(iov, niov);
    g_autofree struct iovec *part = g_new(struct iovec, niov);
    int ret = 0;
    for (size_t done = 0; done < total && !ret;) {
        uint64_t at = off + done, host = at, len = run_length(v, at, total - done);
        if (v->table) {
            g_mutex_lock(&v->lock);
            ret = prepare_block(n, at / v->block_size);
            locate(v, at, &host);
            g_mutex_unlock(&v->lock);
        }
        ret = ret ? ret : node_write(n->file, host, part, iov_slice(part, iov, niov, done, len));
        done += len;
    }
    return ret;
}

/* Blocks that are not there are zero as they are. */
static int vpc_write_zeroes(BlockNode *n, uint64_t off, uint64_t len, bool may_unmap)
{
    Vpc *v = n->state;
    uint64_t host;
    for (uint64_t at = off; v->table && at < off + len; at += run_length(v, at, off + len - at)) {
        if (locate(v, at, &host)) {
            return -ENOTSUP;            /* written out by the caller */
        }
    }
    return v->table ? 0 : node_write_zeroes(n->file, off, len, may_unmap);
}

static int vpc_flush(BlockNode *n)
{
    Vpc *v = n->state;
    int ret = 0;
    g_mutex_lock(&v->lock);
    if (v->table && v->dirty_from < v->dirty_to) {
        uint32_t from = v->dirty_from & ~127u, to = MIN((v->dirty_to + 127) & ~127u, v->entries);
        ret = node_flush(n->file);      /* first what the table is going to name */
        ret = ret ? ret : node_pwrite(n->file, v->table_at + from * 4ull, v->table + from,
                                      (to - from) * 4ull);
        if (!ret) {
            v->dirty_from = UINT32_MAX;
            v->dirty_to = 0;
        }
    }
    g_mutex_unlock(&v->lock);
    return ret ? ret : node_flush(n->file);
}

static void vpc_close(BlockNode *n)
{
    int ret = n->flags.read_only ? 0 : vpc_flush(n);
    if (ret < 0) {
        error_report("'%s': the last changes could not be written: %s", node_file_name(n),
                     g_strerror(-ret));
    }
    free_state(n->state);
    g_mutex_clear(&((Vpc *)n->state)->lock);
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

/* ---- making --------------------------------------------------------------------------------- */

/* The geometry for so many sectors, as the specification's appendix computes it. */
static void geometry(uint64_t total, uint16_t *cylinders, uint8_t *heads, uint8_t *sectors)
{
    uint32_t tracks;
    total = MIN(total, 65535ull * 16 * 255);
    if (total > 65535ull * 16 * 63) {
        *sectors = 255;
        *heads = 16;
        tracks = total / 255;
    } else {
        *sectors = 17;
        tracks = total / 17;
        uint32_t h = MAX((tracks + 1023) / 1024, 4);
        if (tracks >= h * 1024 || h > 16) {
            *sectors = 31;
            h = 16;
            tracks = total / 31;
        }
        if (tracks >= h * 1024) {
            *sectors = 63;
            h = 16;
            tracks = total / 63;
        }
        *heads = h;
    }
    *cylinders = tracks / *heads;
}

static void put_checksum(uint8_t *p, size_t len, size_t at)
{
    uint32_t sum = 0;
    for (size_t i = 0; i < len; i++) {
        sum += p[i];
    }
    st32_be(p + at, ~sum);
}

static void fill_footer(uint8_t *f, uint64_t *size, bool fixed, bool force)
{
    uint16_t cylinders;
    uint8_t heads, sectors;
    uint64_t total = *size / 512, chs = 0;
    for (uint64_t more = 0; !chs || (!force && chs < total && chs < 65535ull * 16 * 255); more++) {
        geometry(total + more, &cylinders, &heads, &sectors);
        chs = MAX((uint64_t)cylinders * heads * sectors, 1);
    }
    if (!force && chs < 65535ull * 16 * 255) {
        *size = (uint64_t)cylinders * heads * sectors * 512;
    }
    memcpy(f, "conectix", 8);
    st32_be(f + 8, 2);                          /* features: reserved, always set */
    st32_be(f + 12, 0x10000);
    st64_be(f + F_DATA_OFFSET, fixed ? UINT64_MAX : F_LENGTH);
    st32_be(f + 24, g_get_real_time() / 1000000 - 946684800);      /* since 2000 */
    memcpy(f + F_CREATOR, force ? "qem2" : "qemu", 4);  /* which others know for its size rule */
    st32_be(f + 32, 0x50003);
    memcpy(f + 36, "Wi2k", 4);
    st64_be(f + 40, *size);
    st64_be(f + F_SIZE, *size);
    st16_be(f + F_CYLINDERS, cylinders);
    f[F_HEADS] = heads;
    f[F_SECTORS] = sectors;
    st32_be(f + F_TYPE, fixed ? TYPE_FIXED : TYPE_DYNAMIC);
    for (int i = 0; i < 4; i++) {
        st32_be(f + 68 + i * 4, g_random_int());
    }
    put_checksum(f, F_LENGTH, 64);
}

static int write_dynamic(BlockNode *file, const uint8_t *footer, uint64_t size)
{
    uint32_t entries = (size + DEFAULT_BLOCK - 1) / DEFAULT_BLOCK;
    uint64_t table = (entries * 4ull + 511) & ~511ull;
    g_autofree uint8_t *all = g_malloc0(F_LENGTH + D_LENGTH + table + F_LENGTH);
    uint8_t *h = all + F_LENGTH;
    memcpy(all, footer, F_LENGTH);
    memcpy(h, "cxsparse", 8);
    st64_be(h + 8, UINT64_MAX);
    st64_be(h + D_TABLE, F_LENGTH + D_LENGTH);
    st32_be(h + 24, 0x10000);
    st32_be(h + D_ENTRIES, entries);
    st32_be(h + D_BLOCK_SIZE, DEFAULT_BLOCK);
    put_checksum(h, D_LENGTH, 36);
    memset(h + D_LENGTH, 0xff, table);
    memcpy(h + D_LENGTH + table, footer, F_LENGTH);
    return node_pwrite(file, 0, all, F_LENGTH + D_LENGTH + table + F_LENGTH);
}

static bool vpc_create(const char *filename, Json *options, Error **err)
{
    g_autofree char *subformat = NULL;
    uint64_t size = 0;
    bool force = false;
    uint8_t footer[F_LENGTH] = { 0 };
    if (!block_take_uint(options, "size", &size, err) || !block_take_str(options, "subformat", &subformat, err)
        || !block_take_bool(options, "force_size", &force, err)) {
        return false;
    }
    bool fixed = subformat && !strcmp(subformat, "fixed");
    if (subformat && !fixed && strcmp(subformat, "dynamic")) {
        return fail(err, "Invalid subformat '%s' (dynamic or fixed)", subformat);
    }
    size = (size + 511) & ~511ull;
    if (size > 2040ull << 30) {
        return fail(err, "The disk size is too large, max size is 2040 GiB");
    }
    fill_footer(footer, &size, fixed, force);
    BlockNode *file = node_create_file(filename, options, err);
    if (!file) {
        return false;
    }
    int ret = fixed ? node_pwrite(file, size, footer, F_LENGTH) : write_dynamic(file, footer, size);
    ret = ret ? ret : node_flush(file);
    node_unref(file);
    return !ret || fail_errno(err, -ret, "Could not write '%s'", filename);
}

static const BlockCreateOption vpc_create_options[] = {
    { "force_size", "bool", NULL, "Force disk size calculation to use the actual size specified, rather "
      "than using the nearest CHS-based calculation" },
    { "size", "size", NULL, "Virtual disk size" },
    { "subformat", "str", NULL, "Type of virtual hard disk format. Supported formats are {dynamic "
      "(default) | fixed} " },
    { NULL }
};

static const BlockDriver vpc_driver = {
    .name = "vpc", .size = sizeof(Vpc), .grows_file = true, .open = vpc_open, .close = vpc_close,
    .length = vpc_length, .read = vpc_read, .write = vpc_write, .write_zeroes = vpc_write_zeroes,
    .flush = vpc_flush, .status = vpc_status, .probe = vpc_probe, .create = vpc_create,
    .create_options = vpc_create_options,
};
BLOCK_DRIVER(vpc_driver);
