/* SPDX-License-Identifier: MIT */
/*
 * Format driver "vhdx" (MS-VHDX), read-only: fixed and dynamic images.  Two headers of which the
 * newer valid one counts; a region table that names the metadata and the BAT; a BAT with the
 * place of each block.  Refused: differencing images, and those whose log was not replayed
 * (somebody crashed while writing; Hyper-V or qemu-img check -r all replay it).
 */
#include "block/block.h"
#include "block/node.h"
#include "util/bits.h"
#include "util/iov.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

enum { KB64 = 64 << 10, HEADER_LEN = 4096, TABLE_LEN = 64 << 10, MAX_REGIONS = 2047, MAX_ITEMS = 2047 };
/* header */
enum { H_CHECKSUM = 4, H_SEQUENCE = 8, H_LOG_GUID = 48, H_VERSION = 66 };
enum { BLOCK_NOT_PRESENT, BLOCK_UNDEFINED, BLOCK_ZERO, BLOCK_UNMAPPED, BLOCK_PRESENT = 6,
       BLOCK_PARTIAL = 7 };
#define MAX_BAT (64u << 20)             /* bytes */

typedef struct Vhdx {
    uint64_t size, block_size, chunk_ratio, blocks, file_length;
    uint64_t *bat;                      /* host byte order, with the entries of bitmaps between */
    uint64_t bat_entries;
} Vhdx;

/* As they stand in the file: the first three parts little endian. */
static const uint8_t guid_bat[16] = { 0x66, 0x77, 0xc2, 0x2d, 0x23, 0xf6, 0x00, 0x42, 0x9d, 0x64, 0x11,
                                      0x5e, 0x9b, 0xfd, 0x4a, 0x08 };
static const uint8_t guid_metadata[16] = { 0x06, 0xa2, 0x7c, 0x8b, 0x90, 0x47, 0x9a, 0x4b, 0xb8, 0xfe,
                                           0x57, 0x5f, 0x05, 0x0f, 0x88, 0x6e };
static const uint8_t guid_parameters[16] = { 0x37, 0x67, 0xa1, 0xca, 0x36, 0xfa, 0x43, 0x4d, 0xb3, 0xb6,
                                             0x33, 0xf0, 0xaa, 0x44, 0xe7, 0x6b };
static const uint8_t guid_size[16] = { 0x24, 0x42, 0xa5, 0x2f, 0x1b, 0xcd, 0x76, 0x48, 0xb2, 0x11, 0x5d,
                                       0xbe, 0xd8, 0x3b, 0xf4, 0xb8 };
static const uint8_t guid_sector[16] = { 0x1d, 0xbf, 0x41, 0x81, 0x6f, 0xa9, 0x09, 0x47, 0xba, 0x47,
                                         0xf2, 0x33, 0xa8, 0xfa, 0xab, 0x5f };

static int vhdx_probe(const uint8_t *head, size_t len, const char *filename)
{
    return len >= 8 && !memcmp(head, "vhdxfile", 8) ? 100 : 0;
}

/* CRC-32C (Castagnoli), the checksum field counting as zero */
static uint32_t checksum(const uint8_t *p, size_t len)
{
    uint32_t crc = UINT32_MAX;
    for (size_t i = 0; i < len; i++) {
        crc ^= i >= H_CHECKSUM && i < H_CHECKSUM + 4 ? 0 : p[i];
        for (int bit = 0; bit < 8; bit++) {
            crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78 : 0);
        }
    }
    return ~crc;
}

static bool valid(const uint8_t *p, size_t len, const char *signature)
{
    return !memcmp(p, signature, 4) && ld32_le(p + H_CHECKSUM) == checksum(p, len);
}

static bool check_headers(BlockNode *n, Error **err)
{
    g_autofree uint8_t *h = g_malloc(HEADER_LEN * 2);
    uint8_t zeroes[16] = { 0 };
    int ret = node_pread(n->file, KB64, h, HEADER_LEN);
    ret = ret ? ret : node_pread(n->file, KB64 * 2, h + HEADER_LEN, HEADER_LEN);
    if (ret < 0) {
        return fail_errno(err, -ret, "vhdx: could not read the headers");
    }
    bool a = valid(h, HEADER_LEN, "head"), b = valid(h + HEADER_LEN, HEADER_LEN, "head");
    if (!a && !b) {
        return fail(err, "vhdx: No valid VHDX header found");
    }
    const uint8_t *now = !b || (a && ld64_le(h + H_SEQUENCE) >= ld64_le(h + HEADER_LEN + H_SEQUENCE))
                         ? h : h + HEADER_LEN;
    if (ld16_le(now + H_VERSION) != 1) {
        return fail(err, "vhdx: unsupported version %u", ld16_le(now + H_VERSION));
    }
    if (memcmp(now + H_LOG_GUID, zeroes, 16)) {
        return fail(err, "vhdx: the image was not closed and its log must be replayed first "
                    "(qemu-img check -r all does it)");
    }
    return true;
}

static bool find_regions(BlockNode *n, uint64_t *bat, uint64_t *bat_len, uint64_t *meta, Error **err)
{
    g_autofree uint8_t *t = g_malloc(TABLE_LEN);
    bool found = false;
    for (int copy = 0; copy < 2 && !found; copy++) {
        int ret = node_pread(n->file, KB64 * (3 + copy), t, TABLE_LEN);
        found = !ret && valid(t, TABLE_LEN, "regi");
    }
    uint32_t count = found ? ld32_le(t + 8) : 0;
    if (!found || count > MAX_REGIONS) {
        return fail(err, "vhdx: no valid region table found");
    }
    *bat = *meta = 0;
    for (uint32_t i = 0; i < count; i++) {
        const uint8_t *e = t + 16 + i * 32;
        if (!memcmp(e, guid_bat, 16)) {
            *bat = ld64_le(e + 16);
            *bat_len = ld32_le(e + 24);
        } else if (!memcmp(e, guid_metadata, 16)) {
            *meta = ld64_le(e + 16);
        } else if (ld32_le(e + 28) & 1) {
            return fail(err, "vhdx: an unknown region is required to read the image");
        }
    }
    return (*bat && *meta && *bat < INT64_MAX / 2 && *meta < INT64_MAX / 2)
           || fail(err, "vhdx: the BAT or the metadata are missing");
}

static int read_item(BlockNode *n, uint64_t meta, const uint8_t *table, const uint8_t *guid, void *out,
                     uint32_t len)
{
    for (uint32_t i = 0; i < MIN(ld16_le(table + 10), MAX_ITEMS); i++) {
        const uint8_t *e = table + 32 + i * 32;
        if (!memcmp(e, guid, 16)) {
            uint32_t at = ld32_le(e + 16);
            return at < KB64 || ld32_le(e + 20) < len ? -EINVAL : node_pread(n->file, meta + at, out, len);
        }
    }
    return -ENOENT;
}

static bool read_metadata(BlockNode *n, uint64_t meta, Error **err)
{
    Vhdx *v = n->state;
    g_autofree uint8_t *t = g_malloc(TABLE_LEN);
    uint8_t parameters[8], size[8], sector[4];
    int ret = node_pread(n->file, meta, t, TABLE_LEN);
    if (ret < 0 || memcmp(t, "metadata", 8)) {
        return fail(err, "vhdx: the metadata are damaged");
    }
    ret = read_item(n, meta, t, guid_parameters, parameters, 8);
    ret = ret ? ret : read_item(n, meta, t, guid_size, size, 8);
    ret = ret ? ret : read_item(n, meta, t, guid_sector, sector, 4);
    if (ret < 0) {
        return fail_errno(err, -ret, "vhdx: metadata are missing");
    }
    v->block_size = ld32_le(parameters);
    v->size = ld64_le(size);
    uint32_t sector_size = ld32_le(sector);
    if (ld32_le(parameters + 4) & 2) {
        return fail(err, "vhdx: differencing images (with a parent) are not supported");
    }
    if (sector_size != 512 && sector_size != 4096) {
        return fail(err, "vhdx: invalid sector size %" PRIu32, sector_size);
    }
    if (v->block_size < 1 << 20 || v->block_size > 256 << 20 || !is_pow2(v->block_size)) {
        return fail(err, "vhdx: invalid block size %" PRIu64, v->block_size);
    }
    if (v->size > 64ull << 40 || v->size % 512) {
        return fail(err, "vhdx: invalid disk size %" PRIu64, v->size);
    }
    v->chunk_ratio = ((uint64_t)sector_size << 23) / v->block_size;
    return true;
}

static uint64_t bat_index(const Vhdx *v, uint64_t block)
{
    return block + block / v->chunk_ratio;
}

static bool read_bat(BlockNode *n, uint64_t at, uint64_t bytes, Error **err)
{
    Vhdx *v = n->state;
    v->blocks = v->size / v->block_size + !!(v->size % v->block_size);
    v->bat_entries = v->blocks ? bat_index(v, v->blocks - 1) + 1 : 0;
    if (v->bat_entries * 8 > bytes || v->bat_entries * 8 > MAX_BAT) {
        return fail(err, "vhdx: the BAT is too short or too long for the disk");
    }
    v->bat = g_try_new0(uint64_t, v->bat_entries + 1);
    int ret = v->bat ? node_pread(n->file, at, v->bat, v->bat_entries * 8) : -ENOMEM;
    if (ret < 0) {
        return fail_errno(err, -ret, "vhdx: could not read the BAT");
    }
    for (uint64_t i = 0; i < v->bat_entries; i++) {
        v->bat[i] = ld64_le(&v->bat[i]);
    }
    for (uint64_t b = 0; b < v->blocks; b++) {
        uint64_t e = v->bat[bat_index(v, b)], state = e & 7, where = e >> 20 << 20;
        if (state == BLOCK_PARTIAL || (state > BLOCK_UNMAPPED && state < BLOCK_PRESENT)
            || (state == BLOCK_PRESENT && (where < 1 << 20 || where > INT64_MAX - v->block_size))) {
            return fail(err, "vhdx: the BAT entry of block %" PRIu64 " is invalid", b);
        }
    }
    return true;
}

static bool load(BlockNode *n, Error **err)
{
    Vhdx *v = n->state;
    uint64_t bat = 0, bat_len = 0, meta = 0;
    uint8_t id[8];
    int64_t length = node_length(n->file);
    int ret = length < KB64 * 5 ? -EINVAL : node_pread(n->file, 0, id, sizeof(id));
    if (ret < 0 || memcmp(id, "vhdxfile", 8)) {
        return fail(err, "Image not in VHDX format");
    }
    v->file_length = length;
    return check_headers(n, err) && find_regions(n, &bat, &bat_len, &meta, err)
           && read_metadata(n, meta, err) && read_bat(n, bat, bat_len, err);
}

static bool vhdx_open(BlockNode *n, Json *options, Error **err)
{
    Vhdx *v = n->state;
    n->file = node_open_child(n, options, "file", err);
    if (!n->file) {
        return false;
    }
    if (!load(n, err)) {
        g_free(v->bat);
        return false;
    }
    n->cluster_size = v->block_size;
    return true;
}

static void vhdx_close(BlockNode *n)
{
    g_free(((Vhdx *)n->state)->bat);
}

static int64_t vhdx_length(BlockNode *n)
{
    return ((Vhdx *)n->state)->size;
}

/* Where off is in the file; false: zeroes. */
static bool locate(const Vhdx *v, uint64_t off, uint64_t *host)
{
    uint64_t e = v->bat[bat_index(v, off / v->block_size)];
    *host = (e >> 20 << 20) + off % v->block_size;
    return (e & 7) == BLOCK_PRESENT;
}

static int vhdx_read(BlockNode *n, uint64_t off, const struct iovec *iov, int niov)
{
    const Vhdx *v = n->state;
    size_t total = iov_size(iov, niov);
    g_autofree struct iovec *part = g_new(struct iovec, niov);
    int ret = 0;
    for (size_t done = 0; done < total && !ret;) {
        uint64_t at = off + done, host, len = MIN(v->block_size - at % v->block_size, total - done);
        int count = iov_slice(part, iov, niov, done, len);
        if (!locate(v, at, &host)) {
            iov_memset(part, count, 0, 0, len);
        } else {
            ret = host + len > v->file_length ? -EIO : node_read(n->file, host, part, count);
        }
        done += len;
    }
    return ret;
}

static int vhdx_status(BlockNode *n, uint64_t off, uint64_t len, BlockStatus *st)
{
    const Vhdx *v = n->state;
    st->len = MIN(len, v->block_size - off % v->block_size);
    st->allocated = true;
    st->data = st->has_offset = locate(v, off, &st->offset);
    st->zero = !st->data;
    st->file = n->file;
    return 0;
}

static bool vhdx_check(BlockNode *n, int fix, BlockCheck *out, GString *log, Error **err)
{
    const Vhdx *v = n->state;
    uint64_t host;
    *out = (BlockCheck) { 0 };
    for (uint64_t off = 0; off < v->size; off += v->block_size) {
        if (locate(v, off, &host) && host + MIN(v->block_size, v->size - off) > v->file_length) {
            if (log && log->len < 1 << 20) {
                g_string_append_printf(log, "ERROR: the block of offset %" PRIu64 " reaches behind the end "
                                       "of the file\n", off);
            }
            out->corruptions++;
        }
    }
    return true;
}

static const BlockDriver vhdx_driver = {
    .name = "vhdx", .size = sizeof(Vhdx), .open = vhdx_open, .close = vhdx_close,
    .length = vhdx_length, .read = vhdx_read, .status = vhdx_status, .check = vhdx_check, .probe = vhdx_probe,
};
BLOCK_DRIVER(vhdx_driver);
