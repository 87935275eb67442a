/* SPDX-License-Identifier: MIT */
/*
 * Format driver "vhdx": opening, closing, checking.  Fixed and dynamic images; differencing ones
 * are refused.
 */
#include "block/vhdx.h"
#include "util/bits.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

/* As they stand in the file: the first three parts little endian. */
const uint8_t vhdx_guid_bat[16] = { 0x66, 0x77, 0xc2, 0x2d, 0x23, 0xf6, 0x00, 0x42, 0x9d, 0x64, 0x11,
                                    0x5e, 0x9b, 0xfd, 0x4a, 0x08 };
const uint8_t vhdx_guid_metadata[16] = { 0x06, 0xa2, 0x7c, 0x8b, 0x90, 0x47, 0x9a, 0x4b, 0xb8, 0xfe,
                                         0x57, 0x5f, 0x05, 0x0f, 0x88, 0x6e };
const uint8_t vhdx_guid_parameters[16] = { 0x37, 0x67, 0xa1, 0xca, 0x36, 0xfa, 0x43, 0x4d, 0xb3, 0xb6,
                                           0x33, 0xf0, 0xaa, 0x44, 0xe7, 0x6b };
const uint8_t vhdx_guid_size[16] = { 0x24, 0x42, 0xa5, 0x2f, 0x1b, 0xcd, 0x76, 0x48, 0xb2, 0x11, 0x5d,
                                     0xbe, 0xd8, 0x3b, 0xf4, 0xb8 };
const uint8_t vhdx_guid_sector[16] = { 0x1d, 0xbf, 0x41, 0x81, 0x6f, 0xa9, 0x09, 0x47, 0xba, 0x47,
                                       0xf2, 0x33, 0xa8, 0xfa, 0xab, 0x5f };
const uint8_t vhdx_guid_physical[16] = { 0xc7, 0x48, 0xa3, 0xcd, 0x5d, 0x44, 0x71, 0x44, 0x9c, 0xc9,
                                         0xe9, 0x88, 0x52, 0x51, 0xc5, 0x56 };
const uint8_t vhdx_guid_page83[16] = { 0xab, 0x12, 0xca, 0xbe, 0xe6, 0xb2, 0x23, 0x45, 0x93, 0xef, 0xc3,
                                       0x09, 0xe0, 0x00, 0xc7, 0x46 };

static int vhdx_probe(const uint8_t *head, size_t len, const char *filename)
{
    return len >= 8 && !memcmp(head, "vhdxfile", 8) ? 100 : 0;
}

void vhdx_new_guid(uint8_t *p)
{
    for (int i = 0; i < 4; i++) {
        st32_le(p + i * 4, g_random_int());
    }
    p[7] = (p[7] & 0x0f) | 0x40;        /* version 4 */
    p[8] = (p[8] & 0x3f) | 0x80;
}

/* ---- headers -------------------------------------------------------------------------------- */

static bool valid(const uint8_t *p, size_t len, const char *signature)
{
    return !memcmp(p, signature, 4) && ld32_le(p + H_CHECKSUM) == vhdx_checksum(p, len);
}

static bool check_log_place(BlockNode *n, const uint8_t *h, Error **err)
{
    Vhdx *v = n->state;
    uint64_t at = ld64_le(h + H_LOG_OFFSET), size = ld32_le(h + H_LOG_LENGTH);
    v->log = (VhdxLog) { .at = at, .size = size };
    return (at >= VHDX_MB && at % VHDX_MB == 0 && size && size % VHDX_MB == 0 && at < v->end
            && ld16_le(h + H_LOG_VERSION) == 0)
           || fail(err, "vhdx: the header's log (%" PRIu64 " bytes at %" PRIu64 ") is invalid", size, at);
}

static bool read_headers(BlockNode *n, Error **err)
{
    Vhdx *v = n->state;
    g_autofree uint8_t *h = g_malloc(VHDX_HEADER * 2);
    int ret = node_pread(n->file, VHDX_KB64, h, VHDX_HEADER);
    ret = ret ? ret : node_pread(n->file, VHDX_KB64 * 2, h + VHDX_HEADER, VHDX_HEADER);
    if (ret < 0) {
        return fail_errno(err, -ret, "vhdx: could not read the headers");
    }
    bool a = valid(h, VHDX_HEADER, "head"), b = valid(h + VHDX_HEADER, VHDX_HEADER, "head");
    if (!a && !b) {
        return fail(err, "vhdx: No valid VHDX header found");
    }
    v->header_copy = !(!b || (a && ld64_le(h + H_SEQUENCE) >= ld64_le(h + VHDX_HEADER + H_SEQUENCE)));
    memcpy(v->header, h + v->header_copy * VHDX_HEADER, VHDX_HEADER);
    if (ld16_le(v->header + H_VERSION) != 1) {
        return fail(err, "vhdx: unsupported version %u", ld16_le(v->header + H_VERSION));
    }
    return check_log_place(n, v->header, err);
}

int vhdx_write_header(BlockNode *n)
{
    Vhdx *v = n->state;
    uint8_t h[VHDX_HEADER];
    memcpy(h, v->header, sizeof(h));
    st64_le(h + H_SEQUENCE, ld64_le(h + H_SEQUENCE) + 1);
    st32_le(h + H_CHECKSUM, vhdx_checksum(h, sizeof(h)));
    int ret = node_pwrite(n->file, VHDX_KB64 * (2 - v->header_copy), h, sizeof(h));
    ret = ret ? ret : node_flush(n->file);
    if (!ret) {
        v->header_copy = !v->header_copy;
        memcpy(v->header, h, sizeof(h));
    }
    return ret;
}

static bool log_is_empty(const Vhdx *v)
{
    static const uint8_t zeroes[16];
    return !memcmp(v->header + H_LOG_GUID, zeroes, 16);
}

static bool settle_log(BlockNode *n, Error **err)
{
    if (log_is_empty(n->state)) {
        return true;
    }
    if (n->flags.read_only) {
        return fail(err, "vhdx: '%s' was not closed and its log must be replayed first (open it for "
                    "writing, or use check -r all)", node_file_name(n));
    }
    return vhdx_replay(n, err);
}

/* ---- tables ----------------------------------------------------------------------------------- */

typedef struct Regions {
    uint64_t bat, bat_len, meta, meta_len;
} Regions;

static bool find_regions(BlockNode *n, Regions *r, Error **err)
{
    enum { MAX_REGIONS = 2047 };
    g_autofree uint8_t *t = g_malloc(VHDX_TABLE);
    bool found = false;
    for (int copy = 0; copy < 2 && !found; copy++) {
        int ret = node_pread(n->file, VHDX_KB64 * (3 + copy), t, VHDX_TABLE);
        found = !ret && valid(t, VHDX_TABLE, "regi");
    }
    uint32_t count = found ? ld32_le(t + 8) : 0;
    if (!found || count > MAX_REGIONS) {
        return fail(err, "vhdx: no valid region table found");
    }
    *r = (Regions) { 0 };
    for (uint32_t i = 0; i < count; i++) {
        const uint8_t *e = t + 16 + i * 32;
        if (!memcmp(e, vhdx_guid_bat, 16)) {
            r->bat = ld64_le(e + 16);
            r->bat_len = ld32_le(e + 24);
        } else if (!memcmp(e, vhdx_guid_metadata, 16)) {
            r->meta = ld64_le(e + 16);
            r->meta_len = ld32_le(e + 24);
        } else if (ld32_le(e + 28) & 1) {
            return fail(err, "vhdx: an unknown region is required to read the image");
        }
    }
    return (r->bat >= VHDX_MB && r->meta >= VHDX_MB && r->bat % VHDX_MB == 0 && r->meta % VHDX_MB == 0
            && r->bat < INT64_MAX / 2 && r->meta < INT64_MAX / 2)
           || fail(err, "vhdx: the BAT or the metadata are missing");
}

/* Two parts of the file that are written at different times may not share a byte. */
static bool apart(uint64_t a, uint64_t a_len, uint64_t b, uint64_t b_len)
{
    return a + a_len <= b || b + b_len <= a;
}

static int read_item(BlockNode *n, uint64_t meta, const uint8_t *table, const uint8_t *guid, void *out,
                     uint32_t len)
{
    for (uint32_t i = 0; i < MIN(ld16_le(table + 10), VHDX_MAX_ITEMS); i++) {
        const uint8_t *e = table + 32 + i * 32;
        if (!memcmp(e, guid, 16)) {
            uint32_t at = ld32_le(e + 16);
            return at < VHDX_KB64 || ld32_le(e + 20) < len ? -EINVAL
                   : node_pread(n->file, meta + at, out, len);
        }
    }
    return -ENOENT;
}

static bool read_metadata(BlockNode *n, uint64_t meta, Error **err)
{
    Vhdx *v = n->state;
    g_autofree uint8_t *t = g_malloc(VHDX_TABLE);
    uint8_t parameters[8], size[8], sector[4];
    int ret = node_pread(n->file, meta, t, VHDX_TABLE);
    if (ret < 0 || memcmp(t, "metadata", 8)) {
        return fail(err, "vhdx: the metadata are damaged");
    }
    ret = read_item(n, meta, t, vhdx_guid_parameters, parameters, 8);
    ret = ret ? ret : read_item(n, meta, t, vhdx_guid_size, size, 8);
    ret = ret ? ret : read_item(n, meta, t, vhdx_guid_sector, sector, 4);
    if (ret < 0) {
        return fail_errno(err, -ret, "vhdx: metadata are missing");
    }
    v->block_size = ld32_le(parameters);
    v->size = ld64_le(size);
    v->sector_size = ld32_le(sector);
    if (ld32_le(parameters + 4) & 2) {
        return fail(err, "vhdx: differencing images (with a parent) are not supported");
    }
    if (v->sector_size != 512 && v->sector_size != 4096) {
        return fail(err, "vhdx: invalid sector size %" PRIu32, v->sector_size);
    }
    if (v->block_size < 1 << 20 || v->block_size > 256 << 20 || !is_pow2(v->block_size)) {
        return fail(err, "vhdx: invalid block size %" PRIu64, v->block_size);
    }
    if (v->size > 64ull << 40 || v->size % 512) {
        return fail(err, "vhdx: invalid disk size %" PRIu64, v->size);
    }
    v->chunk_ratio = ((uint64_t)v->sector_size << 23) / v->block_size;
    return true;
}

/* Does the entry of a block name a place in the file where it may be written? */
static bool good_place(const Vhdx *v, const Regions *r, uint64_t where)
{
    return where >= VHDX_MB && where < INT64_MAX - v->block_size
           && apart(where, v->block_size, r->bat, r->bat_len)
           && apart(where, v->block_size, r->meta, r->meta_len)
           && apart(where, v->block_size, v->log.at, v->log.size);
}

static int compare_places(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* No two blocks may share space: what is written to one would change the other. */
static bool check_overlaps(Vhdx *v, Error **err)
{
    g_autoptr(GArray) places = g_array_new(FALSE, FALSE, sizeof(uint64_t));
    for (uint64_t b = 0; b < v->blocks; b++) {
        uint64_t e = v->bat[vhdx_bat_index(v, b)], where = e >> 20 << 20;
        if ((e & 7) == BLOCK_PRESENT) {
            g_array_append_val(places, where);
        }
    }
    g_array_sort(places, compare_places);
    for (guint i = 1; i < places->len; i++) {
        if (g_array_index(places, uint64_t, i) - g_array_index(places, uint64_t, i - 1) < v->block_size) {
            return fail(err, "vhdx: two blocks of the disk share space at offset %" PRIu64 " of the file",
                        g_array_index(places, uint64_t, i));
        }
    }
    if (places->len) {
        v->end = MAX(v->end, g_array_index(places, uint64_t, places->len - 1) + v->block_size);
    }
    return true;
}

static bool read_bat(BlockNode *n, const Regions *r, Error **err)
{
    Vhdx *v = n->state;
    v->bat_at = r->bat;
    v->blocks = v->size / v->block_size + !!(v->size % v->block_size);
    v->bat_entries = v->blocks ? vhdx_bat_index(v, v->blocks - 1) + 1 : 0;
    uint64_t bytes = v->bat_entries * 8;
    if (bytes > r->bat_len || bytes > VHDX_MAX_BAT) {
        return fail(err, "vhdx: the BAT is too short or too long for the disk");
    }
    v->bat = g_try_new0(uint64_t, v->bat_entries + VHDX_SECTOR / 8);    /* whole sectors are written */
    v->dirty = g_malloc0(bytes / VHDX_SECTOR + 1);
    int ret = v->bat ? node_pread(n->file, r->bat, v->bat, bytes) : -ENOMEM;
    if (ret < 0) {
        return fail_errno(err, -ret, "vhdx: could not read the BAT");
    }
    for (uint64_t i = 0; i < v->bat_entries; i++) {
        v->bat[i] = ld64_le(&v->bat[i]);
    }
    for (uint64_t b = 0; b < v->blocks; b++) {
        uint64_t e = v->bat[vhdx_bat_index(v, b)], state = e & 7;
        if (state == BLOCK_PARTIAL || (state > BLOCK_UNMAPPED && state < BLOCK_PRESENT)
            || (state == BLOCK_PRESENT && !good_place(v, r, e >> 20 << 20))) {
            return fail(err, "vhdx: the BAT entry of block %" PRIu64 " is invalid", b);
        }
    }
    return check_overlaps(v, err);
}

/* ---- life --------------------------------------------------------------------------------------- */

static bool load(BlockNode *n, Error **err)
{
    Vhdx *v = n->state;
    Regions r = { 0 };
    uint8_t id[8];
    int64_t length = node_length(n->file);
    int ret = length < VHDX_KB64 * 5 ? -EINVAL : node_pread(n->file, 0, id, sizeof(id));
    if (ret < 0 || memcmp(id, "vhdxfile", 8)) {
        return fail(err, "Image not in VHDX format");
    }
    v->end = length;
    if (!read_headers(n, err) || !settle_log(n, err)) {
        return false;
    }
    v->end = node_length(n->file);
    if (!find_regions(n, &r, err)) {
        return false;
    }
    if (!apart(r.bat, r.bat_len, r.meta, r.meta_len) || !apart(r.bat, r.bat_len, v->log.at, v->log.size)
        || !apart(r.meta, r.meta_len, v->log.at, v->log.size)) {
        return fail(err, "vhdx: parts of the file overlap");
    }
    v->end = MAX(v->end, MAX(r.bat + r.bat_len, v->log.at + v->log.size));
    return read_metadata(n, r.meta, err) && read_bat(n, &r, err);
}

static void free_state(Vhdx *v)
{
    g_free(v->bat);
    g_free(v->dirty);
    g_mutex_clear(&v->lock);
}

static bool vhdx_open(BlockNode *n, Json *options, Error **err)
{
    Vhdx *v = n->state;
    n->file = node_open_child(n, options, "file", err);
    if (!n->file) {
        return false;
    }
    g_mutex_init(&v->lock);
    if (!load(n, err)) {
        free_state(v);
        return false;
    }
    n->cluster_size = v->block_size;
    return true;
}

/* The log is empty when nothing waits in it any more: the last flush waited for the file. */
static int finish(BlockNode *n)
{
    Vhdx *v = n->state;
    int ret = vhdx_flush(n);
    if (!ret && v->log.active) {
        ret = node_flush(n->file);
        memset(v->header + H_LOG_GUID, 0, 16);
        ret = ret ? ret : vhdx_write_header(n);
    }
    return ret;
}

static void vhdx_close(BlockNode *n)
{
    int ret = n->flags.read_only ? 0 : finish(n);
    if (ret < 0) {
        error_report("'%s': the last changes could not be written: %s", node_file_name(n),
                     g_strerror(-ret));
    }
    free_state(n->state);
}

static int64_t vhdx_length(BlockNode *n)
{
    return ((Vhdx *)n->state)->size;
}

static bool vhdx_check(BlockNode *n, int fix, BlockCheck *out, GString *log, Error **err)
{
    const Vhdx *v = n->state;
    int64_t length = node_length(n->file);
    *out = (BlockCheck) { 0 };
    for (uint64_t b = 0; b < v->blocks; b++) {
        uint64_t e = v->bat[vhdx_bat_index(v, b)], used = MIN(v->block_size, v->size - b * v->block_size);
        if ((e & 7) == BLOCK_PRESENT && (int64_t)((e >> 20 << 20) + used) > length) {
            if (log && log->len < 1 << 20) {
                g_string_append_printf(log, "ERROR: block %" PRIu64 " reaches behind the end of the file\n",
                                       b);
            }
            out->corruptions++;
        }
    }
    return true;
}

static const BlockDriver vhdx_driver = {
    .name = "vhdx", .size = sizeof(Vhdx), .grows_file = true, .open = vhdx_open, .close = vhdx_close,
    .length = vhdx_length, .read = vhdx_read, .write = vhdx_write, .write_zeroes = vhdx_write_zeroes,
    .discard = vhdx_discard, .flush = vhdx_flush, .status = vhdx_status, .check = vhdx_check,
    .probe = vhdx_probe, .create = vhdx_create, .create_options = vhdx_create_options,
};
BLOCK_DRIVER(vhdx_driver);
