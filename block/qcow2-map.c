/* SPDX-License-Identifier: MIT */
/*
 * qcow2, "Cluster mapping": L1 and L2 tables, from a guest cluster to where it lives.
 */
#include "block/qcow2.h"
#include "util/bits.h"

#include <errno.h>
#include <string.h>

static uint64_t l1_index(const Qcow2 *q, uint64_t guest)
{
    return guest >> (q->cluster_bits + q->l2_bits);
}

static uint64_t l2_offset_of(const Qcow2 *q, uint64_t table, uint64_t guest)
{
    uint64_t i = guest >> q->cluster_bits & ((1ull << q->l2_bits) - 1);
    return table + i * q->entry_size;
}

/*
 * Bitmap of an extended entry: bits 0-31 the subcluster has data here, bits 32-63 it reads as
 * zeroes.  All alike is the same as a plain entry.
 */
static ClusterType classify(const Qcow2 *q, uint64_t entry, uint64_t bitmap)
{
    if (entry & ENTRY_COMPRESSED) {
        return CLUSTER_COMPRESSED;
    }
    /* in an external file offset 0 is a place like others, told by COPIED */
    bool has = (entry & ENTRY_OFFSET) || (q->external && (entry & ENTRY_COPIED));
    if (!q->extended) {
        bool zero = q->version >= 3 && (entry & ENTRY_ZERO);
        return zero ? (has ? CLUSTER_ZERO_ALLOC : CLUSTER_ZERO) : has ? CLUSTER_NORMAL
                                                                      : CLUSTER_UNALLOCATED;
    }
    uint32_t data = bitmap, zero = bitmap >> 32;
    if (!data && !zero) {
        return CLUSTER_UNALLOCATED;
    }
    if (zero == UINT32_MAX && !data) {
        return has ? CLUSTER_ZERO_ALLOC : CLUSTER_ZERO;
    }
    return data == UINT32_MAX && !zero && has ? CLUSTER_NORMAL : CLUSTER_MIXED;
}

void qcow2_decode(const Qcow2 *q, uint64_t entry, uint64_t bitmap, Cluster *c)
{
    *c = (Cluster) { .type = classify(q, entry, bitmap), .entry = entry, .bitmap = bitmap };
    if (c->type != CLUSTER_COMPRESSED) {
        c->host = entry & ENTRY_OFFSET;
        return;
    }
    /* 62 - (cluster_bits - 8) bits of offset, then the number of further 512-byte sectors */
    unsigned bits = 62 - (q->cluster_bits - 8);
    uint64_t sectors = (entry & ~(ENTRY_COMPRESSED | ENTRY_COPIED)) >> bits;
    c->host = entry & ((1ull << bits) - 1);
    c->csize = (sectors + 1) * 512 - c->host % 512;
}

ClusterType qcow2_subcluster(const Cluster *c, unsigned n)
{
    bool data = c->bitmap >> n & 1, zero = c->bitmap >> (32 + n) & 1;
    if (data && zero) {
        return CLUSTER_MIXED;           /* not allowed */
    }
    return data ? CLUSTER_NORMAL : zero ? CLUSTER_ZERO : CLUSTER_UNALLOCATED;
}

static int check_cluster(const Qcow2 *q, const Cluster *c)
{
    if (c->type == CLUSTER_COMPRESSED) {
        return q->external ? -EIO : 0;
    }
    if (c->host % q->cluster_size) {
        return -EIO;
    }
    return c->type == CLUSTER_MIXED && (uint32_t)c->bitmap && !c->host && !q->external ? -EIO : 0;
}

int qcow2_lookup(Qcow2 *q, uint64_t guest, Cluster *c)
{
    uint64_t i = l1_index(q, guest), table = i < q->l1_size ? q->l1[i] & ENTRY_OFFSET : 0;
    uint8_t *p;
    memset(c, 0, sizeof(*c));
    if (!table) {
        return 0;
    }
    if (table % q->cluster_size) {
        return -EIO;
    }
    int ret = qcow2_cache_get(q, &q->l2, l2_offset_of(q, table, guest), &p);
    if (ret < 0) {
        return ret;
    }
    qcow2_decode(q, ld64_be(p), q->extended ? ld64_be(p + 8) : 0, c);
    return check_cluster(q, c);
}

bool qcow2_table_cached(Qcow2 *q, uint64_t guest)
{
    uint64_t i = l1_index(q, guest), table = i < q->l1_size ? q->l1[i] & ENTRY_OFFSET : 0;
    return !table || (!(table % q->cluster_size)
                      && qcow2_cache_has(&q->l2, l2_offset_of(q, table, guest)));
}

/* ---- changing -------------------------------------------------------------------------- */

static void set_l1(Qcow2 *q, uint64_t i, uint64_t entry)
{
    q->l1[i] = entry;
    q->l1_dirty_from = MIN(q->l1_dirty_from, (uint32_t)i);
    q->l1_dirty_to = MAX(q->l1_dirty_to, (uint32_t)i + 1);
    uint64_t *table = g_new(uint64_t, 1);
    *table = entry & ENTRY_OFFSET;
    g_hash_table_add(q->fresh, table);
}

/* Content of a new table: that of the old one, or zeroes. */
static int fill_table(Qcow2 *q, uint64_t table, uint64_t old)
{
    g_autofree uint8_t *copy = g_malloc(q->l2.slice_size);
    for (uint64_t at = 0; at < q->cluster_size; at += q->l2.slice_size) {
        uint8_t *p;
        int ret = 0;
        if (old) {
            ret = qcow2_cache_get(q, &q->l2, old + at, &p);
            if (!ret) {
                memcpy(copy, p, q->l2.slice_size);
            }
        }
        ret = ret ? ret : qcow2_cache_new(q, &q->l2, table + at, &p);
        if (ret < 0) {
            return ret;
        }
        if (old) {
            memcpy(p, copy, q->l2.slice_size);
        }
    }
    return 0;
}

/* An L2 table of our own: a missing one is made, one shared with a snapshot copied. */
static int own_table(Qcow2 *q, uint64_t i, uint64_t *table)
{
    uint64_t old = q->l1[i] & ENTRY_OFFSET;
    if (old && (q->l1[i] & ENTRY_COPIED)) {
        *table = old;
        return old % q->cluster_size ? -EIO : 0;
    }
    if (old % q->cluster_size) {
        return -EIO;
    }
    int64_t got = qcow2_alloc(q, 1, true, table);
    if (got < 0) {
        return got;
    }
    qcow2_cache_drop(&q->l2, *table, q->cluster_size);
    int ret = fill_table(q, *table, old);
    if (ret < 0) {
        qcow2_cache_drop(&q->l2, *table, q->cluster_size);
        qcow2_refcount_add(q, *table, q->cluster_size, -1);
        return ret;
    }
    set_l1(q, i, *table | ENTRY_COPIED);
    if (old) {
        qcow2_free_later(q, old, q->cluster_size, FREED_OTHER);
    }
    return 0;
}

int qcow2_link(Qcow2 *q, uint64_t guest, uint64_t entry, uint64_t bitmap)
{
    uint64_t i = l1_index(q, guest), table;
    uint8_t *p;
    if (i >= q->l1_size) {
        return -EIO;
    }
    int ret = own_table(q, i, &table);
    if (ret < 0) {
        return ret;
    }
    uint64_t at = l2_offset_of(q, table, guest);
    ret = qcow2_cache_get(q, &q->l2, at, &p);
    if (ret < 0) {
        return ret;
    }
    st64_be(p, entry);
    if (q->extended) {
        st64_be(p + 8, bitmap);
    }
    qcow2_cache_dirty(&q->l2, at, q->entry_size);
    return 0;
}

void qcow2_free_entry(Qcow2 *q, const Cluster *c, Freed why)
{
    if (c->type == CLUSTER_COMPRESSED) {
        uint64_t start = c->host & ~511ull;
        /* each host cluster it touches counts it once */
        qcow2_free_later(q, start, c->host + c->csize - start, why);
    } else if (c->host && !q->external) {
        qcow2_free_later(q, c->host, q->cluster_size, why);
    }
}
