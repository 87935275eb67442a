/* SPDX-License-Identifier: MIT */
/*
 * vhdx: the log (MS-VHDX 2.3), a ring of entries.  An entry has a header with descriptors, each of
 * which says that a sector of 4 KiB of the file changes, or a range becomes zero; then the
 * sectors.  Replay carries out the newest row of entries without a gap, from the one on that the
 * last of them calls its tail.
 *
 * Everything in it is hostile: lengths, places and numbers are checked before use, the checksums
 * that are computed on the way are limited, and neither the headers nor the log are written to.
 */
#include "block/vhdx.h"
#include "util/bits.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

enum { E_CHECKSUM = 4, E_LENGTH = 8, E_TAIL = 12, E_SEQUENCE = 16, E_COUNT = 24, E_GUID = 32,
       E_FLUSHED = 48, E_LAST = 56, E_SIZE = 64 };
enum { D_TRAILING = 4, D_LEADING = 8, D_OFFSET = 16, D_SEQUENCE = 24, D_SIZE = 32 };
enum { S_HIGH = 4, S_DATA = 8, S_LOW = 4092, S_BYTES = S_LOW - S_DATA };
enum { FIRST_DESCRIPTORS = (VHDX_SECTOR - E_SIZE) / D_SIZE, REPLAY_FROM = 3 * VHDX_KB64 };
#define MAX_FILE ((64ull << 40) + (1ull << 30))

/* ---- CRC-32C ---------------------------------------------------------------------------------- */

static uint32_t crc_table[256];

static gpointer make_crc_table(gpointer unused)
{
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t crc = i;
        for (int bit = 0; bit < 8; bit++) {
            crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78 : 0);
        }
        crc_table[i] = crc;
    }
    return NULL;
}

uint32_t vhdx_crc(uint32_t crc, const uint8_t *p, size_t len)
{
    static GOnce once = G_ONCE_INIT;
    g_once(&once, make_crc_table, NULL);
    for (size_t i = 0; i < len; i++) {
        crc = crc >> 8 ^ crc_table[(crc ^ p[i]) & 0xff];
    }
    return crc;
}

uint32_t vhdx_checksum(const uint8_t *p, size_t len)
{
    static const uint8_t zero[4];
    uint32_t crc = vhdx_crc(UINT32_MAX, p, H_CHECKSUM);
    crc = vhdx_crc(crc, zero, 4);
    return ~vhdx_crc(crc, p + H_CHECKSUM + 4, len - H_CHECKSUM - 4);
}

/* ---- looking for entries ----------------------------------------------------------------------- */

typedef struct LogCopy {
    uint8_t *bytes;                     /* the log twice, one behind the other: nothing wraps */
    uint32_t size;
    const uint8_t *guid;
    uint64_t budget;                    /* bytes whose checksum may still be computed */
} LogCopy;

typedef struct Entry {
    const uint8_t *p;                   /* NULL: none */
    uint32_t at, length, tail, count;
    uint64_t sequence;
} Entry;

static uint32_t header_sectors(uint32_t descriptors)
{
    return descriptors <= FIRST_DESCRIPTORS ? 1
           : 1 + (descriptors - FIRST_DESCRIPTORS + VHDX_SECTOR / D_SIZE - 1) / (VHDX_SECTOR / D_SIZE);
}

static const uint8_t *descriptor(const Entry *e, uint32_t i)
{
    return e->p + E_SIZE + i * (size_t)D_SIZE;
}

/* Do the descriptors and sectors fit together? */
static bool good_inside(const Entry *e)
{
    uint32_t data = 0, sectors = e->length / VHDX_SECTOR, headers = header_sectors(e->count);
    for (uint32_t i = 0; i < e->count; i++) {
        const uint8_t *d = descriptor(e, i);
        bool is_data = !memcmp(d, "desc", 4);
        if ((!is_data && memcmp(d, "zero", 4)) || ld64_le(d + D_SEQUENCE) != e->sequence) {
            return false;
        }
        data += is_data;
    }
    if (headers + data > sectors) {
        return false;
    }
    for (uint32_t i = 0; i < data; i++) {
        const uint8_t *s = e->p + (headers + i) * (size_t)VHDX_SECTOR;
        if (memcmp(s, "data", 4) || ld32_le(s + S_HIGH) != e->sequence >> 32
            || ld32_le(s + S_LOW) != (uint32_t)e->sequence) {
            return false;
        }
    }
    return true;
}

static bool entry_at(LogCopy *l, uint32_t at, Entry *e)
{
    const uint8_t *p = l->bytes + at;
    *e = (Entry) { p, at, ld32_le(p + E_LENGTH), ld32_le(p + E_TAIL), ld32_le(p + E_COUNT),
                   ld64_le(p + E_SEQUENCE) };
    if (memcmp(p, "loge", 4) || memcmp(p + E_GUID, l->guid, 16) || !e->sequence || !e->length
        || e->length % VHDX_SECTOR || e->length > l->size || e->tail % VHDX_SECTOR || e->tail >= l->size
        || e->count > e->length / D_SIZE || header_sectors(e->count) > e->length / VHDX_SECTOR
        || e->length > l->budget) {
        return false;
    }
    l->budget -= e->length;
    return ld32_le(p + E_CHECKSUM) == vhdx_checksum(p, e->length) && good_inside(e);
}

/* A row of entries with successive numbers; bytes in it, *last is its last one. */
static uint32_t row_from(LogCopy *l, uint32_t at, Entry *last)
{
    uint32_t total = 0;
    Entry e;
    *last = (Entry) { 0 };
    while (total < l->size && entry_at(l, (at + total) % l->size, &e) && e.length <= l->size - total
           && (!last->p || e.sequence == last->sequence + 1)) {
        total += e.length;
        *last = e;
    }
    return total;
}

/* The last entry of the newest row that has its tail inside; p is NULL if there is none. */
static Entry newest(LogCopy *l)
{
    Entry best = { 0 }, last;
    for (uint32_t at = 0; at < l->size;) {
        uint32_t total = row_from(l, at, &last);
        bool whole = total && (last.tail + l->size - at) % l->size < total;
        if (whole && last.sequence > best.sequence) {
            best = last;
        }
        at += whole ? total : VHDX_SECTOR;
    }
    return best;
}

/* ---- replay -------------------------------------------------------------------------------------- */

static int put_zeroes(BlockNode *n, uint64_t off, uint64_t len)
{
    uint64_t length = node_length(n->file);
    return off >= length ? 0 : node_write_zeroes(n->file, off, MIN(len, length - off), true);
}

static int carry_out(BlockNode *n, const Entry *e, uint64_t limit)
{
    Vhdx *v = n->state;
    const uint8_t *sector = e->p + header_sectors(e->count) * (size_t)VHDX_SECTOR;
    int ret = 0;
    for (uint32_t i = 0; i < e->count && !ret; i++) {
        const uint8_t *d = descriptor(e, i);
        bool zero = !memcmp(d, "zero", 4);
        uint64_t off = ld64_le(d + D_OFFSET), len = zero ? ld64_le(d + D_LEADING) : VHDX_SECTOR;
        if (off % VHDX_SECTOR || len % VHDX_SECTOR || off < REPLAY_FROM || off > limit || len > limit - off
            || (off < v->log.at + v->log.size && v->log.at < off + len)) {
            return -EINVAL;
        }
        if (zero) {
            ret = put_zeroes(n, off, len);
            continue;
        }
        uint8_t data[VHDX_SECTOR];
        memcpy(data, d + D_LEADING, S_DATA);
        memcpy(data + S_DATA, sector + S_DATA, S_BYTES);
        memcpy(data + S_LOW, d + D_TRAILING, VHDX_SECTOR - S_LOW);
        ret = node_pwrite(n->file, off, data, sizeof(data));
        sector += VHDX_SECTOR;
    }
    return ret;
}

static int carry_out_all(BlockNode *n, LogCopy *l, const Entry *last, Error **err)
{
    uint64_t length = node_length(n->file), end = ld64_le(last->p + E_LAST);
    Entry e;
    if (ld64_le(last->p + E_FLUSHED) > length || end > MAX_FILE) {
        return -EINVAL;
    }
    if (end > length && !node_truncate(n->file, end, PREALLOC_OFF, err)) {
        return -EFBIG;
    }
    for (uint32_t at = last->tail;; at = (at + e.length) % l->size) {
        int ret = entry_at(l, at, &e) ? carry_out(n, &e, MAX(end, length)) : -EINVAL;
        if (ret || at == last->at) {
            return ret;
        }
    }
}

bool vhdx_replay(BlockNode *n, Error **err)
{
    Vhdx *v = n->state;
    uint32_t size = v->log.size;
    if (size > VHDX_MAX_LOG) {
        return fail(err, "vhdx: the image was not closed, and its log of %" PRIu32 " bytes is too long",
                    size);
    }
    g_autofree uint8_t *bytes = g_try_malloc(2 * (size_t)size);
    int ret = bytes ? node_pread(n->file, v->log.at, bytes, size) : -ENOMEM;
    if (!ret) {
        memcpy(bytes + size, bytes, size);
        LogCopy l = { bytes, size, v->header + H_LOG_GUID, size * 6ull };
        Entry last = newest(&l);
        /* none: nothing was logged yet, the rest of the file is as it was */
        ret = last.p ? carry_out_all(n, &l, &last, err) : 0;
    }
    ret = ret ? ret : node_flush(n->file);
    if (!ret) {
        memset(v->header + H_LOG_GUID, 0, 16);
        ret = vhdx_write_header(n);
    }
    if (ret && !(err && *err)) {
        fail_errno(err, -ret, ret == -EINVAL ? "vhdx: the log is damaged"
                                             : "vhdx: could not replay the log");
    }
    return !ret;
}

/* ---- writing ---------------------------------------------------------------------------------------- */

/* Logged ones first: they go into each entry until they are in their place, for no older entry
 * counts any more. */
static uint32_t collect(const Vhdx *v, uint32_t *sectors)
{
    uint32_t count = 0, all = (v->bat_entries * 8 + VHDX_SECTOR - 1) / VHDX_SECTOR;
    for (int kind = VHDX_LOGGED; kind >= VHDX_CHANGED; kind--) {
        for (uint32_t i = 0; i < all && count < FIRST_DESCRIPTORS; i++) {
            if (v->dirty[i] == kind) {
                sectors[count++] = i;
            }
        }
    }
    return count;
}

static void bat_sector(const Vhdx *v, uint32_t i, uint8_t *out)
{
    for (uint32_t k = 0; k < VHDX_SECTOR / 8; k++) {
        st64_le(out + k * 8, v->bat[i * (VHDX_SECTOR / 8) + k]);
    }
}

static void build_entry(const Vhdx *v, const uint32_t *sectors, uint32_t count, uint8_t *out)
{
    const VhdxLog *l = &v->log;
    uint32_t length = (1 + count) * VHDX_SECTOR;
    memcpy(out, "loge", 4);
    st32_le(out + E_LENGTH, length);
    st32_le(out + E_TAIL, l->tail);
    st64_le(out + E_SEQUENCE, l->sequence);
    st32_le(out + E_COUNT, count);
    memcpy(out + E_GUID, l->guid, 16);
    st64_le(out + E_FLUSHED, v->end);
    st64_le(out + E_LAST, v->end);
    for (uint32_t i = 0; i < count; i++) {
        uint8_t *d = out + E_SIZE + i * D_SIZE, *s = out + (1 + i) * VHDX_SECTOR;
        bat_sector(v, sectors[i], s);
        memcpy(d, "desc", 4);
        memcpy(d + D_TRAILING, s + S_LOW, VHDX_SECTOR - S_LOW);
        memcpy(d + D_LEADING, s, S_DATA);
        st64_le(d + D_OFFSET, v->bat_at + sectors[i] * (uint64_t)VHDX_SECTOR);
        st64_le(d + D_SEQUENCE, l->sequence);
        memcpy(s, "data", 4);
        st32_le(s + S_HIGH, l->sequence >> 32);
        st32_le(s + S_LOW, l->sequence);
    }
    st32_le(out + E_CHECKSUM, vhdx_checksum(out, length));
}

/* The entry is in the file for good, and the header names the log. */
static int log_entry(BlockNode *n, const uint8_t *entry, uint32_t length)
{
    Vhdx *v = n->state;
    VhdxLog *l = &v->log;
    uint32_t first = MIN(length, l->size - l->head);
    int ret = node_pwrite(n->file, l->at + l->head, entry, first);
    ret = ret || first == length ? ret : node_pwrite(n->file, l->at, entry + first, length - first);
    ret = ret ? ret : node_flush(n->file);
    if (!ret && !l->active) {
        memcpy(v->header + H_LOG_GUID, l->guid, 16);
        ret = vhdx_write_header(n);
        l->active = !ret;
        if (ret) {
            memset(v->header + H_LOG_GUID, 0, 16);
        }
    }
    if (!ret) {
        l->head = (l->head + length) % l->size;
        l->sequence++;
    }
    return ret;
}

static int write_some(BlockNode *n)
{
    Vhdx *v = n->state;
    VhdxLog *l = &v->log;
    uint32_t sectors[FIRST_DESCRIPTORS], count = collect(v, sectors);
    uint8_t raw[VHDX_SECTOR];
    if (!l->active) {
        vhdx_new_guid(l->guid);
        l->sequence = 1;
        l->head = 0;
    }
    l->tail = l->head;                  /* what earlier entries say is in its place */
    g_autofree uint8_t *entry = g_malloc0((1 + count) * (size_t)VHDX_SECTOR);
    build_entry(v, sectors, count, entry);
    int ret = log_entry(n, entry, (1 + count) * VHDX_SECTOR);
    for (uint32_t i = 0; i < count && !ret; i++) {
        v->dirty[sectors[i]] = VHDX_LOGGED;
    }
    for (uint32_t i = 0; i < count && !ret; i++) {
        bat_sector(v, sectors[i], raw);
        ret = node_pwrite(n->file, v->bat_at + sectors[i] * (uint64_t)VHDX_SECTOR, raw, sizeof(raw));
        v->dirty[sectors[i]] = ret ? VHDX_LOGGED : VHDX_CLEAN;
    }
    v->any_dirty = collect(v, sectors) > 0;
    return ret;
}

int vhdx_write_bat(BlockNode *n)
{
    Vhdx *v = n->state;
    int ret = 0;
    while (v->any_dirty && !ret) {
        ret = node_flush(n->file);      /* blocks before what names them; and former entries' sectors */
        ret = ret ? ret : write_some(n);
    }
    return ret;
}
