/* SPDX-License-Identifier: MIT */
/*
 * vmdk: requests.
 */
#include "block/vmdk.h"
#include "util/bits.h"
#include "util/iov.h"

#include <errno.h>
#include <string.h>
#include <zlib.h>

#define MAX_TABLES 8192u                /* in memory, of an extent: 16 MiB */
#define MARKER     12u

static VmdkExtent *extent_at(const Vmdk *v, uint64_t off)
{
    for (guint i = 0; i < v->extents->len; i++) {
        VmdkExtent *e = &g_array_index(v->extents, VmdkExtent, i);
        if (off < e->start + e->len) {
            return e;
        }
    }
    return NULL;
}

/* ---- tables.  Lock held ----------------------------------------------------------------- */

static int write_table(VmdkExtent *e, uint32_t i)
{
    uint32_t raw[VMDK_GTES];
    VmdkTable *t = e->tables[i];
    for (unsigned k = 0; k < VMDK_GTES; k++) {
        st32_le(&raw[k], t->entries[k]);
    }
    int ret = e->has_redundant && e->rgd[i]
              ? node_pwrite(e->file, e->rgd[i] * 512ull, raw, sizeof(raw)) : 0;
    ret = ret ? ret : node_pwrite(e->file, e->gd[i] * 512ull, raw, sizeof(raw));
    t->dirty &= ret < 0;
    return ret;
}

static int write_tables(VmdkExtent *e)
{
    bool barrier = false;
    int ret = 0;
    for (uint32_t i = 0; e->kind == EXTENT_SPARSE && i < e->directory_size && !ret; i++) {
        if (e->tables[i] && e->tables[i]->dirty) {
            ret = barrier ? 0 : node_flush(e->file);    /* first what they are going to name */
            barrier = true;
            ret = ret ? ret : write_table(e, i);
        }
    }
    return ret;
}

static int make_room(VmdkExtent *e)
{
    if (e->loaded < MAX_TABLES) {
        return 0;
    }
    int ret = e->file->flags.read_only ? 0 : write_tables(e);
    for (uint32_t i = 0; i < e->directory_size && !ret; i++) {
        g_clear_pointer(&e->tables[i], g_free);
    }
    e->loaded = ret ? e->loaded : 0;
    return ret;
}

static int load_table(VmdkExtent *e, uint32_t i, VmdkTable **out)
{
    uint32_t raw[VMDK_GTES];
    *out = e->tables[i];
    if (*out || !e->gd[i]) {
        return 0;
    }
    int ret = make_room(e);
    ret = ret ? ret : node_pread(e->file, e->gd[i] * 512ull, raw, sizeof(raw));
    if (ret < 0) {
        return ret;
    }
    VmdkTable *t = g_new0(VmdkTable, 1);
    for (unsigned k = 0; k < VMDK_GTES; k++) {
        t->entries[k] = ld32_le(&raw[k]);
    }
    e->tables[i] = *out = t;
    e->loaded++;
    return 0;
}

/* A table for a part of the disk that has none; rare, so it waits for the disk. */
static int new_table(VmdkExtent *e, uint32_t i, VmdkTable **out)
{
    static const uint8_t zeroes[VMDK_GTES * 4];
    uint8_t raw[4];
    int ret = make_room(e);
    uint64_t at = e->end, redundant = e->has_redundant ? at + sizeof(zeroes) : 0;
    ret = ret ? ret : node_pwrite(e->file, at, zeroes, sizeof(zeroes));
    if (!ret && redundant) {
        ret = node_pwrite(e->file, redundant, zeroes, sizeof(zeroes));
    }
    ret = ret ? ret : node_flush(e->file);
    if (!ret && redundant) {
        st32_le(raw, redundant / 512);
        ret = node_pwrite(e->file, e->rgd_at + i * 4ull, raw, 4);
    }
    st32_le(raw, at / 512);
    ret = ret ? ret : node_pwrite(e->file, e->gd_at + i * 4ull, raw, 4);
    if (ret < 0) {
        return ret;
    }
    e->end += sizeof(zeroes) * (redundant ? 2 : 1);
    e->gd[i] = at / 512;
    if (redundant) {
        e->rgd[i] = redundant / 512;
    }
    e->tables[i] = *out = g_new0(VmdkTable, 1);
    e->loaded++;
    return 0;
}

/* The entry for a byte of the extent. */
static int entry_of(VmdkExtent *e, uint64_t inside, bool make, uint32_t **entry, VmdkTable **table)
{
    static uint32_t none;
    uint64_t i = inside / e->grain / VMDK_GTES;
    *table = NULL;
    *entry = &none;
    none = 0;
    if (i >= e->directory_size) {
        return -EIO;
    }
    int ret = load_table(e, i, table);
    if (!ret && !*table && make) {
        ret = new_table(e, i, table);
    }
    if (!ret && *table) {
        *entry = &(*table)->entries[inside / e->grain % VMDK_GTES];
    }
    return ret;
}

/* Where a byte of a sparse extent is: sector of its grain, 0 nowhere, 1 zeroes. */
static int look_up(Vmdk *v, VmdkExtent *e, uint64_t inside, uint32_t *sector)
{
    uint32_t *entry;
    VmdkTable *table;
    g_mutex_lock(&v->lock);
    int ret = entry_of(e, inside, false, &entry, &table);
    *sector = *entry;
    g_mutex_unlock(&v->lock);
    if (*sector == 1 && !e->zero_grains) {
        return -EIO;
    }
    return ret;
}

/* ---- reading ------------------------------------------------------------------------------ */

static int read_below(BlockNode *n, uint64_t off, const struct iovec *iov, int niov, uint64_t len)
{
    BlockNode *b = n->backing;
    int64_t length = b ? node_length(b) : 0;
    uint64_t there = length <= 0 || off >= (uint64_t)length ? 0 : MIN(len, (uint64_t)length - off);
    iov_memset(iov, niov, there, 0, len - there);
    if (!there) {
        return length < 0 ? length : 0;
    }
    g_autofree struct iovec *part = g_new(struct iovec, niov);
    return node_read(b, off, part, iov_slice(part, iov, niov, 0, there));
}

static int inflate_grain(VmdkExtent *e, uint32_t sector, uint8_t *out)
{
    uint8_t marker[MARKER];
    uint64_t at = sector * 512ull;
    uLongf len = e->grain;
    int ret = node_pread(e->file, at, marker, sizeof(marker));
    uint32_t size = ld32_le(marker + 8);
    if (ret < 0 || !size || size > e->grain * 2 + 4096) {
        return ret < 0 ? ret : -EIO;
    }
    g_autofree uint8_t *in = g_malloc(size);
    ret = node_pread(e->file, at + MARKER, in, size);
    if (!ret && uncompress(out, &len, in, size) != Z_OK) {
        ret = -EIO;
    }
    memset(out + len, 0, ret ? 0 : e->grain - len);
    return ret;
}

static int read_grain(BlockNode *n, VmdkExtent *e, uint64_t off, const struct iovec *iov, int niov,
                      uint64_t len)
{
    uint64_t inside = off - e->start, in_grain = inside % e->grain;
    uint32_t sector;
    int ret = look_up(n->state, e, inside, &sector);
    if (ret < 0) {
        return ret;
    }
    if (!sector) {
        return read_below(n, off, iov, niov, len);
    }
    if (sector == 1) {
        iov_memset(iov, niov, 0, 0, len);
        return 0;
    }
    if (!e->compressed) {
        return node_read(e->file, sector * 512ull + in_grain, iov, niov);
    }
    g_autofree uint8_t *buf = g_malloc(e->grain);
    ret = inflate_grain(e, sector, buf);
    if (!ret) {
        iov_from_buf(iov, niov, 0, buf + in_grain, len);
    }
    return ret;
}

/* From off on in one extent, and inside it in one grain. */
static uint64_t piece(const VmdkExtent *e, uint64_t off, uint64_t len)
{
    len = MIN(len, e->start + e->len - off);
    return e->kind == EXTENT_SPARSE ? MIN(len, e->grain - (off - e->start) % e->grain) : len;
}

typedef int PieceFn(BlockNode *n, VmdkExtent *e, uint64_t off, const struct iovec *iov, int niov, uint64_t len);

static int each_piece(BlockNode *n, uint64_t off, const struct iovec *iov, int niov, PieceFn *fn)
{
    size_t total = iov_size(iov, niov);
    g_autofree struct iovec *part = g_new(struct iovec, niov);
    int ret = 0;
    for (size_t done = 0, len; done < total && !ret; done += len) {
        VmdkExtent *e = extent_at(n->state, off + done);
        if (!e) {
            return -EIO;
        }
        len = piece(e, off + done, total - done);
        ret = fn(n, e, off + done, part, iov_slice(part, iov, niov, done, len), len);
    }
    return ret;
}

static int read_piece(BlockNode *n, VmdkExtent *e, uint64_t off, const struct iovec *iov, int niov,
                      uint64_t len)
{
    if (e->kind == EXTENT_SPARSE) {
        return read_grain(n, e, off, iov, niov, len);
    }
    if (e->kind == EXTENT_FLAT) {
        return node_read(e->file, e->offset + off - e->start, iov, niov);
    }
    iov_memset(iov, niov, 0, 0, len);
    return 0;
}

int vmdk_read(BlockNode *n, uint64_t off, const struct iovec *iov, int niov)
{
    return each_piece(n, off, iov, niov, read_piece);
}

/* ---- writing ------------------------------------------------------------------------------- */

/* A grain of its own: what surrounds the data comes from below.  Lock held. */
static int new_grain(BlockNode *n, VmdkExtent *e, uint64_t off, const struct iovec *iov, int niov,
                     uint64_t len, bool zero, uint32_t *entry, VmdkTable *table)
{
    uint64_t in_grain = (off - e->start) % e->grain, start = off - in_grain;
    uint64_t size = MIN(e->grain, e->start + e->len - start);
    g_autofree uint8_t *buf = g_malloc0(e->grain);
    struct iovec whole = { buf, size };
    int ret = len < size && !zero ? read_below(n, start, &whole, 1, size) : 0;
    if (ret < 0) {
        return ret;
    }
    iov_to_buf(iov, niov, 0, buf + in_grain, len);
    if (e->end / 512 > UINT32_MAX) {
        return -EFBIG;
    }
    ret = node_pwrite(e->file, e->end, buf, e->grain);
    if (!ret) {
        *entry = e->end / 512;
        table->dirty = true;
        e->end += e->grain;
    }
    return ret;
}

static int write_grain(BlockNode *n, VmdkExtent *e, uint64_t off, const struct iovec *iov, int niov,
                       uint64_t len)
{
    Vmdk *v = n->state;
    uint64_t inside = off - e->start;
    uint32_t sector, *entry;
    VmdkTable *table;
    if (e->compressed) {
        return -ENOTSUP;
    }
    int ret = look_up(v, e, inside, &sector);
    if (ret < 0 || sector > 1) {
        return ret ? ret : node_write(e->file, sector * 512ull + inside % e->grain, iov, niov);
    }
    g_mutex_lock(&v->lock);
    ret = entry_of(e, inside, true, &entry, &table);
    if (!ret && *entry > 1) {           /* another writer was quicker */
        ret = node_write(e->file, *entry * 512ull + inside % e->grain, iov, niov);
    } else if (!ret) {
        ret = new_grain(n, e, off, iov, niov, len, *entry == 1, entry, table);
    }
    g_mutex_unlock(&v->lock);
    return ret;
}

static int write_piece(BlockNode *n, VmdkExtent *e, uint64_t off, const struct iovec *iov, int niov,
                       uint64_t len)
{
    if (e->kind == EXTENT_SPARSE) {
        return write_grain(n, e, off, iov, niov, len);
    }
    return e->kind == EXTENT_FLAT ? node_write(e->file, e->offset + off - e->start, iov, niov) : -EIO;
}

int vmdk_write(BlockNode *n, uint64_t off, const struct iovec *iov, int niov)
{
    return each_piece(n, off, iov, niov, write_piece);
}

int vmdk_write_compressed(BlockNode *n, uint64_t off, const void *buf, size_t len)
{
    Vmdk *v = n->state;
    VmdkExtent *e = extent_at(v, off);
    uint32_t *entry;
    VmdkTable *table;
    if (!e || !e->compressed) {
        return -ENOTSUP;
    }
    if ((off - e->start) % e->grain || len > e->grain) {
        return -EINVAL;
    }
    g_autofree uint8_t *in = g_malloc0(e->grain);
    memcpy(in, buf, len);
    uLongf size = compressBound(e->grain);
    g_autofree uint8_t *out = g_malloc0(MARKER + size + 512);
    if (compress2(out + MARKER, &size, in, e->grain, Z_DEFAULT_COMPRESSION) != Z_OK) {
        return -EIO;
    }
    st64_le(out, off / 512);
    st32_le(out + 8, size);
    uint64_t bytes = (MARKER + size + 511) & ~511ull;
    g_mutex_lock(&v->lock);
    int ret = entry_of(e, off - e->start, true, &entry, &table);
    if (!ret && (*entry || e->end / 512 > UINT32_MAX)) {
        ret = *entry ? -EIO : -EFBIG;   /* written once only */
    }
    ret = ret ? ret : node_pwrite(e->file, e->end, out, bytes);
    if (!ret) {
        *entry = e->end / 512;
        table->dirty = true;
        e->end += bytes;
    }
    g_mutex_unlock(&v->lock);
    return ret;
}

int vmdk_flush(BlockNode *n)
{
    Vmdk *v = n->state;
    int ret = 0;
    for (guint i = 0; i < v->extents->len && !ret; i++) {
        VmdkExtent *e = &g_array_index(v->extents, VmdkExtent, i);
        if (e->kind == EXTENT_ZERO) {
            continue;
        }
        g_mutex_lock(&v->lock);
        ret = write_tables(e);
        g_mutex_unlock(&v->lock);
        ret = ret ? ret : node_flush(e->file);
    }
    return ret;
}

int vmdk_status(BlockNode *n, uint64_t off, uint64_t len, BlockStatus *st)
{
    Vmdk *v = n->state;
    VmdkExtent *e = extent_at(v, off);
    uint32_t sector = 0;
    if (!e) {
        return -EIO;
    }
    st->len = piece(e, off, len);
    st->allocated = true;
    st->file = e->file;
    if (e->kind == EXTENT_FLAT) {
        st->data = st->has_offset = true;
        st->offset = e->offset + off - e->start;
    } else if (e->kind == EXTENT_ZERO) {
        st->zero = true;
    } else {
        int ret = look_up(v, e, off - e->start, &sector);
        if (ret < 0) {
            return ret;
        }
        st->allocated = sector;
        st->zero = sector == 1 || (!sector && !n->backing);
        st->data = sector > 1;
        st->compressed = st->data && e->compressed;
        st->has_offset = st->data && !e->compressed;
        st->offset = st->has_offset ? sector * 512ull + (off - e->start) % e->grain : 0;
    }
    return 0;
}
