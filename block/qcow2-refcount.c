/* SPDX-License-Identifier: MIT */
/*
 * qcow2, "Host cluster management": how often each cluster of the file is named, and finding
 * free ones.  A two-level table: reftable entries name refcount blocks of one cluster each.
 *
 * A new refcount block must have its content before the reftable names it, and a new reftable
 * before the header does; both are rare, so they wait for the disk at once.
 */
#include "block/qcow2.h"
#include "util/bits.h"

#include <errno.h>
#include <string.h>

/* Counts a block holds, log 2 */
static unsigned block_bits(const Qcow2 *q)
{
    return q->cluster_bits + 3 - q->refcount_order;
}

static uint64_t unpack(const uint8_t *block, unsigned order, uint64_t i)
{
    switch (order) {
    case 3: return block[i];
    case 4: return ld16_be(block + i * 2);
    case 5: return ld32_be(block + i * 4);
    case 6: return ld64_be(block + i * 8);
    default:                            /* 1, 2 or 4 bits, the least significant first */
        return block[(i << order) / 8] >> ((i << order) % 8) & ((1u << (1u << order)) - 1);
    }
}

static void pack(uint8_t *block, unsigned order, uint64_t i, uint64_t value)
{
    switch (order) {
    case 3: block[i] = value; break;
    case 4: st16_be(block + i * 2, value); break;
    case 5: st32_be(block + i * 4, value); break;
    case 6: st64_be(block + i * 8, value); break;
    default: {
        unsigned shift = (i << order) % 8, mask = ((1u << (1u << order)) - 1) << shift;
        uint8_t *p = &block[(i << order) / 8];
        *p = (*p & ~mask) | (value << shift & mask);
    }
    }
}

/* Offset in the file of the byte with this cluster's count; 0: there is no block. */
static int locate(Qcow2 *q, uint64_t cluster, uint64_t *at)
{
    uint64_t index = cluster >> block_bits(q);
    uint64_t block = index < q->reftable_size ? q->reftable[index] & ENTRY_OFFSET : 0;
    *at = 0;
    if (block % q->cluster_size) {
        return -EIO;
    }
    if (block) {
        uint64_t i = cluster & ((1ull << block_bits(q)) - 1);
        *at = block + ((i << q->refcount_order) >> 3);
    }
    return 0;
}

/* The slice with the count, and the count's index inside. */
static int slice_of(Qcow2 *q, uint64_t at, uint64_t cluster, uint8_t **slice, uint64_t *i)
{
    uint64_t start = at - at % q->refs.slice_size;
    *i = cluster & (((uint64_t)q->refs.slice_size * 8 >> q->refcount_order) - 1);
    return qcow2_cache_get(q, &q->refs, start, slice);
}

int qcow2_refcount_get(Qcow2 *q, uint64_t cluster, uint64_t *count)
{
    uint64_t at, i = 0;
    uint8_t *slice;
    *count = 0;
    int ret = locate(q, cluster, &at);
    if (ret < 0 || !at) {
        return ret;
    }
    ret = slice_of(q, at, cluster, &slice, &i);
    if (!ret) {
        *count = unpack(slice, q->refcount_order, i);
    }
    return ret;
}

/* ---- growing -------------------------------------------------------------------------- */


static void used_until(Qcow2 *q, uint64_t end)
{
    q->virgin = MAX(q->virgin, end);
}

/*
 * A longer reftable.  It lies, with the blocks that count it and themselves, at the begin of
 * the clusters that no block counts yet: those are free for sure.
 */
static int grow_reftable(Qcow2 *q, uint64_t index)
{
    uint64_t per_block = 1ull << block_bits(q), entries = q->cluster_size / 8;
    uint64_t blocks = 1, clusters, needed, start = index << block_bits(q);
    for (;;) {
        needed = index + blocks + (index + blocks) / 2;
        clusters = (needed + entries - 1) / entries;
        if ((clusters + blocks + per_block - 1) / per_block <= blocks) {
            break;
        }
        blocks++;
    }
    uint64_t size = clusters * entries, at = start << q->cluster_bits;
    if (clusters * q->cluster_size > QCOW2_MAX_REFTABLE) {
        return -EFBIG;
    }
    g_autofree uint64_t *table = g_new0(uint64_t, size);
    memcpy(table, q->reftable, q->reftable_size * 8);
    g_autofree uint8_t *block = g_malloc(q->cluster_size);
    int ret = qcow2_check_overlap(q, at, (clusters + blocks) * q->cluster_size);
    for (uint64_t b = 0; b < blocks && !ret; b++) {
        memset(block, 0, q->cluster_size);
        for (uint64_t c = b * per_block; c < MIN(clusters + blocks, (b + 1) * per_block); c++) {
            pack(block, q->refcount_order, c - b * per_block, 1);
        }
        table[index + b] = at + (clusters + b) * q->cluster_size;
        ret = node_pwrite(q->node->file, table[index + b], block, q->cluster_size);
    }
    ret = ret ? ret : qcow2_write_table(q, at, table, size);
    ret = ret ? ret : node_flush(q->node->file);
    if (ret < 0) {
        return ret;
    }
    uint8_t header[12];
    st64_be(header, at);
    st32_be(header + 8, clusters);
    ret = node_pwrite(q->node->file, H_REFTABLE_OFFSET, header, sizeof(header));
    ret = ret ? ret : node_flush(q->node->file);
    if (ret < 0) {
        return ret;
    }
    qcow2_free_later(q, q->reftable_offset, (uint64_t)q->reftable_clusters * q->cluster_size,
                     FREED_OTHER);
    g_free(q->reftable);
    q->reftable = g_steal_pointer(&table);
    q->reftable_offset = at;
    q->reftable_clusters = clusters;
    q->reftable_size = size;
    used_until(q, at + (clusters + blocks) * q->cluster_size);
    return 0;
}

/* A block for clusters nobody counted; it takes the first of them. */
static int add_block(Qcow2 *q, uint64_t index)
{
    uint64_t offset = index << block_bits(q) << q->cluster_bits;
    if (offset > ENTRY_OFFSET) {
        return -EFBIG;
    }
    int ret = qcow2_check_overlap(q, offset, q->cluster_size);
    if (ret < 0) {
        return ret;
    }
    if (index >= q->reftable_size) {
        return grow_reftable(q, index);
    }
    g_autofree uint8_t *first = g_malloc0(q->cluster_size);
    pack(first, q->refcount_order, 0, 1);
    ret = node_pwrite(q->node->file, offset, first, q->cluster_size);
    ret = ret ? ret : node_flush(q->node->file);
    if (ret < 0) {
        return ret;
    }
    uint8_t entry[8];
    st64_be(entry, offset);
    ret = node_pwrite(q->node->file, q->reftable_offset + index * 8, entry, 8);
    if (!ret) {
        q->reftable[index] = offset;
        q->barrier_needed = true;
        used_until(q, offset + q->cluster_size);
    }
    return ret;
}

int qcow2_refcount_set(Qcow2 *q, uint64_t cluster, uint64_t count)
{
    uint64_t at, i = 0;
    uint8_t *slice;
    int ret = locate(q, cluster, &at);
    if (!ret && !at) {
        ret = add_block(q, cluster >> block_bits(q));
        ret = ret ? ret : locate(q, cluster, &at);
    }
    ret = ret ? ret : slice_of(q, at, cluster, &slice, &i);
    if (ret < 0) {
        return ret;
    }
    pack(slice, q->refcount_order, i, count);
    qcow2_cache_dirty(&q->refs, at, MAX((1u << q->refcount_order) / 8, 1));
    if (!count) {
        if (q->dropped) {
            g_array_append_val(q->dropped, cluster);
        }
        q->free_hint = MIN(q->free_hint, cluster);
        if (q->compressed_at >> q->cluster_bits == cluster) {
            q->compressed_at = 0;       /* may soon be somebody else's */
        }
    }
    return 0;
}

static int add_one(Qcow2 *q, uint64_t cluster, int by)
{
    uint64_t count;
    int ret = qcow2_refcount_get(q, cluster, &count);
    if (ret < 0) {
        return ret;
    }
    if ((by < 0 && !count) || (by > 0 && count == qcow2_refcount_max(q))) {
        return by < 0 ? -EIO : -EOVERFLOW;
    }
    return qcow2_refcount_set(q, cluster, count + by);
}

int qcow2_refcount_add(Qcow2 *q, uint64_t offset, uint64_t len, int by)
{
    uint64_t first = offset >> q->cluster_bits, last = (offset + len - 1) >> q->cluster_bits;
    if (!len) {
        return 0;
    }
    for (uint64_t c = first; c <= last; c++) {
        int ret = add_one(q, c, by);
        if (ret < 0) {
            while (c-- > first) {
                add_one(q, c, -by);
            }
            return ret;
        }
    }
    return 0;
}

/* ---- free clusters ---------------------------------------------------------------------- */

void qcow2_free_later(Qcow2 *q, uint64_t offset, uint64_t len, Freed why)
{
    Range r = { offset, len, why };
    Range *last = q->pending_free->len
                  ? &g_array_index(q->pending_free, Range, q->pending_free->len - 1) : NULL;
    /* whole clusters only: compressed ones count each on their own */
    if (last && last->why == why && last->offset + last->len == offset && !(offset % q->cluster_size)
        && !(len % q->cluster_size) && !(last->len % q->cluster_size)) {
        last->len += len;
    } else if (len) {
        g_array_append_val(q->pending_free, r);
    }
}

static int is_free(Qcow2 *q, uint64_t cluster, bool *yes)
{
    uint64_t count;
    int ret = qcow2_refcount_get(q, cluster, &count);
    *yes = !count;
    return ret;
}

/* A new block takes the first cluster of its area, so it must be there before we search. */
static int ensure_block(Qcow2 *q, uint64_t cluster)
{
    uint64_t at;
    int ret = locate(q, cluster, &at);
    return ret || at ? ret : add_block(q, cluster >> block_bits(q));
}

/* Broken counts must not send us searching for ever: used clusters lie in the file, save a few
 * that were not written yet. */
static uint64_t search_limit(Qcow2 *q)
{
    int64_t length = node_length(q->node->file);
    return (MAX(length, 0) >> q->cluster_bits) + (1u << 20);
}

int64_t qcow2_alloc(Qcow2 *q, uint64_t count, bool all, uint64_t *offset)
{
    uint64_t first = q->free_hint, run = 0, limit = search_limit(q);
    bool hint = true;                   /* everything below is used so far */
    for (uint64_t c = first; run < count; c++) {
        bool yes = false;
        int ret = ensure_block(q, c);
        ret = ret ? ret : is_free(q, c, &yes);
        if (ret < 0) {
            return ret;
        }
        if (yes) {
            first = run++ ? first : c;
            if (hint) {
                q->free_hint = c;
                hint = false;
            }
        } else if (run && !all) {
            break;
        } else {
            run = 0;
        }
        if (!run && c > limit) {
            return -EIO;
        }
    }
    if ((first + run) << q->cluster_bits > ENTRY_OFFSET) {
        return -EFBIG;
    }
    *offset = first << q->cluster_bits;
    int ret = q->corrupt ? -EIO : qcow2_check_overlap(q, *offset, run << q->cluster_bits);
    if (ret < 0) {
        return ret;
    }
    ret = qcow2_refcount_add(q, *offset, run << q->cluster_bits, 1);
    if (ret < 0) {
        return ret;
    }
    q->free_hint = q->free_hint == first ? first + run : q->free_hint;
    used_until(q, (first + run) << q->cluster_bits);
    return run;
}

/* Compressed clusters lie side by side; a host cluster counts each of them. */
int qcow2_alloc_bytes(Qcow2 *q, uint32_t bytes, uint64_t *offset)
{
    uint64_t at = q->compressed_at, count = 0, next;
    uint64_t room = at ? q->cluster_size - at % q->cluster_size : 0;
    if (room == q->cluster_size) {
        room = 0;
    }
    if (room) {
        int ret = qcow2_refcount_get(q, at >> q->cluster_bits, &count);
        if (ret < 0) {
            return ret;
        }
        /* freed in the meantime, or it can't be counted once more */
        room = count && count < qcow2_refcount_max(q) ? room : 0;
    }
    if (room < bytes) {
        int64_t got = qcow2_alloc(q, 1, true, &next);
        if (got < 0) {
            return got;
        }
        if (!room || next != at + room) {
            q->compressed_at = next + bytes;
            *offset = next;
            return 0;
        }
        /* goes on in the next cluster, which counts it already */
        int ret = qcow2_refcount_add(q, at, 1, 1);
        if (ret < 0) {
            qcow2_refcount_add(q, next, 1, -1);
            return ret;
        }
    } else {
        int ret = qcow2_refcount_add(q, at, 1, 1);
        if (ret < 0) {
            return ret;
        }
    }
    *offset = at;
    q->compressed_at = at + bytes;
    return 0;
}
