/* SPDX-License-Identifier: MIT */
/*
 * qcow2: checking.  Walks everything that names clusters, counts, and compares with the counts
 * in the file and with the COPIED flags.  Repairing writes our counts; if the refcount tables
 * themselves are broken, new ones behind the end of the image.
 */
#include "block/qcow2.h"
#include "util/bits.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#define MAX_CLUSTERS (64u << 20)        /* 128 MiB of counts */
#define MAX_LOG      (1u << 20)

typedef struct Check {
    Qcow2 *q;
    int fix;
    BlockCheck *out;
    GString *log;                       /* NULL: nobody reads it */
    uint16_t *refs;                     /* [clusters] saturating */
    uint64_t clusters, file_length;
    bool rebuild;
    uint64_t expected;                  /* next host offset without a gap, 0 = any */
} Check;

static void note(Check *k, const char *fmt, ...) G_GNUC_PRINTF(2, 3);
static void note(Check *k, const char *fmt, ...)
{
    if (k->log && k->log->len < MAX_LOG) {
        va_list ap;
        va_start(ap, fmt);
        g_string_append_vprintf(k->log, fmt, ap);
        va_end(ap);
        g_string_append_c(k->log, '\n');
    }
}

/* ---- counting ----------------------------------------------------------------------------- */

static void count(Check *k, uint64_t offset, uint64_t len)
{
    Qcow2 *q = k->q;
    uint64_t limit = k->file_length + q->cluster_size;
    if (!len) {
        return;
    }
    if (offset > limit || len > limit - offset) {
        note(k, "ERROR: counting reference for region exceeding the end of the file by one cluster "
             "or more: offset 0x%" PRIx64 " size 0x%" PRIx64, offset, len);
        k->out->corruptions++;
        return;
    }
    for (uint64_t c = offset >> q->cluster_bits; c <= (offset + len - 1) >> q->cluster_bits; c++) {
        if (c < k->clusters && k->refs[c] < UINT16_MAX) {
            k->refs[c]++;
        }
    }
}

static void count_fragments(Check *k, const Cluster *c)
{
    k->out->allocated++;
    if (c->type == CLUSTER_COMPRESSED) {
        /* compressed ones never count as a row */
        k->out->compressed++;
        k->out->fragmented++;
        return;
    }
    k->out->fragmented += k->expected && c->host != k->expected;
    k->expected = c->host + k->q->cluster_size;
}

static void count_entry(Check *k, const Cluster *c, bool active)
{
    Qcow2 *q = k->q;
    if (c->type == CLUSTER_COMPRESSED) {
        uint64_t start = c->host & ~511ull;
        if (c->entry & ENTRY_COPIED) {
            note(k, "ERROR: coffset=0x%" PRIx64 ": copied flag must never be set for compressed "
                 "clusters", c->host);
            k->out->corruptions++;
        }
        if (q->external) {
            note(k, "ERROR compressed cluster with data file, entry=0x%" PRIx64, c->entry);
            k->out->corruptions++;
            return;
        }
        count(k, start, c->host + c->csize - start);
    } else if (c->host || (q->external && (c->entry & ENTRY_COPIED))) {
        if (c->host % q->cluster_size) {
            note(k, "ERROR offset=%" PRIx64 ": Cluster is not properly aligned; L2 entry corrupted.",
                 c->host);
            k->out->corruptions++;
            return;
        }
        if (!q->external) {
            count(k, c->host, q->cluster_size);
        }
    } else {
        return;
    }
    if (active) {
        count_fragments(k, c);
    }
}

static void count_l2(Check *k, uint64_t table, bool active)
{
    Qcow2 *q = k->q;
    g_autofree uint8_t *raw = g_malloc(q->cluster_size);
    int ret = node_pread(q->node->file, table, raw, q->cluster_size);
    if (ret < 0) {
        note(k, "ERROR: I/O error in check_refcounts_l2");
        k->out->check_errors++;
        return;
    }
    for (uint64_t i = 0; i < 1ull << q->l2_bits; i++) {
        const uint8_t *p = raw + i * q->entry_size;
        uint64_t entry = ld64_be(p), bitmap = q->extended ? ld64_be(p + 8) : 0;
        if (entry) {
            Cluster c;
            qcow2_decode(q, entry, bitmap, &c);
            count_entry(k, &c, active);
        }
    }
}

static void count_l1(Check *k, uint64_t offset, uint32_t size, bool active)
{
    Qcow2 *q = k->q;
    count(k, offset, size * 8ull);
    g_autofree uint64_t *l1 = g_new0(uint64_t, size + 1);
    if (qcow2_read_table(q, offset, l1, size) < 0) {
        note(k, "ERROR: I/O error in check_refcounts_l1");
        k->out->check_errors++;
        return;
    }
    for (uint32_t i = 0; i < size; i++) {
        uint64_t table = l1[i] & ENTRY_OFFSET;
        if (!table) {
            continue;
        }
        count(k, table, q->cluster_size);
        if (table % q->cluster_size) {
            note(k, "ERROR l2_offset=%" PRIx64 ": Table is not cluster aligned; L1 entry corrupted",
                 table);
            k->out->corruptions++;
        } else if (table < k->file_length) {
            count_l2(k, table, active);
        }
    }
}

/* Bitmaps of another program: their clusters are named, whatever their state. */
static void count_bitmap(Check *k, uint64_t table, uint32_t size)
{
    if (size > 1u << 20 || table % k->q->cluster_size) {
        k->out->corruptions++;
        return;
    }
    count(k, table, size * 8ull);
    g_autofree uint64_t *entries = g_new0(uint64_t, size + 1);
    if (qcow2_read_table(k->q, table, entries, size) < 0) {
        k->out->check_errors++;
        return;
    }
    for (uint32_t i = 0; i < size; i++) {
        if (entries[i] & ENTRY_OFFSET) {
            count(k, entries[i] & ENTRY_OFFSET, k->q->cluster_size);
        }
    }
}

static void count_bitmaps(Check *k, const Extension *e)
{
    uint64_t size = e->len >= 24 ? ld64_be(e->data + 8) : 0, at = 0;
    uint64_t offset = e->len >= 24 ? ld64_be(e->data + 16) : 0;
    if (size > 64u << 20 || offset > INT64_MAX - size) {
        k->out->corruptions++;
        return;
    }
    count(k, offset, size);
    g_autofree uint8_t *dir = g_malloc0(size + 1);
    if (node_pread(k->q->node->file, offset, dir, size) < 0) {
        k->out->check_errors++;
        return;
    }
    while (at + 24 <= size) {
        const uint8_t *p = dir + at;
        count_bitmap(k, ld64_be(p), ld32_be(p + 8));
        at += (24 + ld16_be(p + 18) + (uint64_t)ld32_be(p + 20) + 7) & ~7ull;
    }
}

static void count_all(Check *k)
{
    Qcow2 *q = k->q;
    memset(k->refs, 0, k->clusters * sizeof(*k->refs));
    k->out->allocated = k->out->fragmented = k->out->compressed = 0;
    count(k, 0, q->cluster_size);
    count_l1(k, q->l1_offset, q->l1_size, true);
    for (guint i = 0; i < q->snapshots->len; i++) {
        Qcow2Snapshot *s = q->snapshots->pdata[i];
        if (s->l1_size > QCOW2_MAX_L1 / 8 || s->l1_offset % q->cluster_size) {
            note(k, "ERROR snapshot %s (%s) l1_offset=%#" PRIx64 ": L1 table is not cluster aligned; "
                 "snapshot table entry corrupted", s->info.id, s->info.name, s->l1_offset);
            k->out->corruptions++;
        } else {
            count_l1(k, s->l1_offset, s->l1_size, false);
        }
    }
    count(k, q->snapshots_offset, q->snapshots_size);
    for (guint i = 0; i < q->extensions->len; i++) {
        const Extension *e = &g_array_index(q->extensions, Extension, i);
        if ((int)e->type == EXT_BITMAPS) {
            count_bitmaps(k, e);
        }
    }
}

static void count_reftable(Check *k)
{
    Qcow2 *q = k->q;
    count(k, q->reftable_offset, (uint64_t)q->reftable_clusters * q->cluster_size);
    for (uint32_t i = 0; i < q->reftable_size; i++) {
        uint64_t block = q->reftable[i] & ENTRY_OFFSET;
        if (!block) {
            continue;
        }
        if (block % q->cluster_size || block >= k->file_length) {
            note(k, "ERROR refcount block %" PRIu32 " is %s", i,
                 block % q->cluster_size ? "not cluster aligned; refcount table entry corrupted"
                                         : "outside image");
            k->out->corruptions++;
            k->rebuild = true;
            continue;
        }
        count(k, block, q->cluster_size);
        if (k->refs[block >> q->cluster_bits] != 1) {
            note(k, "ERROR refcount block %" PRIu32 " refcount=%u", i,
                 k->refs[block >> q->cluster_bits]);
            k->rebuild = true;
        }
    }
    k->rebuild |= !q->reftable_size;
}

/* ---- comparing ------------------------------------------------------------------------------ */

static void compare_one(Check *k, uint64_t cluster)
{
    uint64_t have, want = k->refs[cluster];
    int ret = qcow2_refcount_get(k->q, cluster, &have);
    if (ret < 0) {
        note(k, "Can't get refcount for cluster %" PRIu64 ": %s", cluster, g_strerror(-ret));
        k->out->check_errors++;
        k->rebuild = true;
        return;
    }
    if (have || want) {
        k->out->image_end = (cluster + 1) << k->q->cluster_bits;
    }
    if (have == want) {
        return;
    }
    bool leak = have > want, repair = k->fix & (leak ? BLOCK_FIX_LEAKS : BLOCK_FIX_ERRORS);
    note(k, "%s cluster %" PRIu64 " refcount=%" PRIu64 " reference=%" PRIu64,
         leak ? "Leaked" : "ERROR", cluster, have, want);
    if (repair) {
        note(k, "Repairing cluster %" PRIu64 " refcount=%" PRIu64 " reference=%" PRIu64, cluster, have, want);
    }
    if (repair && !k->rebuild) {
        uint64_t unused;
        /* no block for it: a new one might take the place of something in use */
        if (!have && want && qcow2_refcount_get(k->q, cluster, &unused) == 0
            && (cluster >> (k->q->cluster_bits + 3 - k->q->refcount_order) >= k->q->reftable_size
                || !k->q->reftable[cluster >> (k->q->cluster_bits + 3 - k->q->refcount_order)])) {
            k->rebuild = true;
        } else if (!qcow2_refcount_set(k->q, cluster, want)) {
            leak ? k->out->leaks_fixed++ : k->out->corruptions_fixed++;
            return;
        }
    }
    leak ? k->out->leaks++ : k->out->corruptions++;
}

/* One entry's COPIED flag; *fixed tells that it was changed. */
static void check_flag(Check *k, const char *what, uint64_t host, uint64_t *entry, bool *fixed)
{
    uint64_t refcount;
    if (qcow2_refcount_get(k->q, host >> k->q->cluster_bits, &refcount) < 0
        || (refcount == 1) == !!(*entry & ENTRY_COPIED)) {
        return;
    }
    bool repair = k->fix & BLOCK_FIX_ERRORS;
    note(k, "%s OFLAG_COPIED %s_entry=%" PRIx64 " refcount=%" PRIu64, repair ? "Repairing" : "ERROR",
         what, *entry, refcount);
    if (repair) {
        *entry = (*entry & ~ENTRY_COPIED) | (refcount == 1 ? ENTRY_COPIED : 0);
        k->out->corruptions_fixed++;
        *fixed = true;
    } else {
        k->out->corruptions++;
    }
}

static void check_l2_flags(Check *k, uint64_t table)
{
    Qcow2 *q = k->q;
    for (uint64_t i = 0; i < 1ull << q->l2_bits; i++) {
        uint8_t *p;
        Cluster c;
        bool fixed = false;
        uint64_t at = table + i * q->entry_size;
        if (qcow2_cache_get(q, &q->l2, at, &p) < 0) {
            k->out->check_errors++;
            return;
        }
        uint64_t entry = ld64_be(p);
        qcow2_decode(q, entry, q->extended ? ld64_be(p + 8) : 0, &c);
        if (c.type == CLUSTER_COMPRESSED || !c.host || q->external || c.host % q->cluster_size) {
            continue;
        }
        check_flag(k, "data cluster: l2", c.host, &entry, &fixed);
        if (fixed) {
            st64_be(p, entry);
            qcow2_cache_dirty(&q->l2, at, 8);
        }
    }
}

static void check_flags(Check *k)
{
    Qcow2 *q = k->q;
    for (uint32_t i = 0; i < q->l1_size; i++) {
        uint64_t table = q->l1[i] & ENTRY_OFFSET;
        bool fixed = false;
        if (!table || table % q->cluster_size || table >= k->file_length) {
            continue;
        }
        check_flag(k, "L2 cluster: l1", table, &q->l1[i], &fixed);
        if (fixed) {
            q->l1_dirty_from = MIN(q->l1_dirty_from, i);
            q->l1_dirty_to = MAX(q->l1_dirty_to, i + 1);
        }
        check_l2_flags(k, table);
    }
}

/* ---- new refcount tables ---------------------------------------------------------------------- */

static void put_ref(const Qcow2 *q, uint8_t *block, uint64_t i, uint64_t value)
{
    unsigned order = q->refcount_order;
    if (order >= 3) {
        unsigned bytes = 1u << (order - 3);
        for (unsigned b = 0; b < bytes; b++) {
            block[i * bytes + b] = bytes - 1 - b < 8 ? value >> (8 * (bytes - 1 - b)) : 0;
        }
    } else {
        block[(i << order) / 8] |= value << ((i << order) % 8);
    }
}

static int write_blocks(Check *k, uint64_t first, uint64_t blocks, uint64_t total)
{
    Qcow2 *q = k->q;
    uint64_t per_block = (uint64_t)q->cluster_size * 8 >> q->refcount_order;
    g_autofree uint8_t *block = g_malloc(q->cluster_size);
    int ret = 0;
    for (uint64_t b = 0; b < blocks && !ret; b++) {
        memset(block, 0, q->cluster_size);
        for (uint64_t c = b * per_block; c < MIN(total, (b + 1) * per_block); c++) {
            uint64_t refs = c < first ? k->refs[c] : 1;
            if (refs > qcow2_refcount_max(q)) {
                return -EOVERFLOW;
            }
            put_ref(q, block, c - b * per_block, refs);
        }
        ret = node_pwrite(q->node->file, (first + b) << q->cluster_bits, block, q->cluster_size);
    }
    return ret;
}

static int rebuild(Check *k)
{
    Qcow2 *q = k->q;
    uint64_t per_block = (uint64_t)q->cluster_size * 8 >> q->refcount_order;
    uint64_t first = k->clusters, blocks = 1, table = 1, total, fits = q->cluster_size / 8;
    BlockCheck saved = *k->out;
    GString *log = k->log;
    k->log = NULL;                      /* said already */
    count_all(k);                       /* without the old tables */
    k->log = log;
    *k->out = saved;
    for (;;) {
        total = first + blocks + table;
        uint64_t need = (total + per_block - 1) / per_block, need_table = (need + fits - 1) / fits;
        if (need <= blocks && need_table <= table) {
            break;
        }
        blocks = MAX(blocks, need);
        table = MAX(table, need_table);
    }
    g_autofree uint64_t *entries = g_new0(uint64_t, table * fits);
    for (uint64_t b = 0; b < blocks; b++) {
        entries[b] = (first + b) << q->cluster_bits;
    }
    uint64_t at = (first + blocks) << q->cluster_bits;
    int ret = write_blocks(k, first, blocks, total);
    ret = ret ? ret : qcow2_write_table(q, at, entries, table * fits);
    ret = ret ? ret : node_flush(q->node->file);
    uint8_t h[12];
    st64_be(h, at);
    st32_be(h + 8, table);
    ret = ret ? ret : node_pwrite(q->node->file, H_REFTABLE_OFFSET, h, sizeof(h));
    ret = ret ? ret : node_flush(q->node->file);
    if (ret < 0) {
        return ret;
    }
    g_free(q->reftable);
    q->reftable = g_steal_pointer(&entries);
    q->reftable_size = table * fits;
    q->reftable_clusters = table;
    q->reftable_offset = at;
    q->virgin = MAX(q->virgin, at + table * q->cluster_size);
    q->free_hint = 0;
    qcow2_cache_clear(&q->refs);
    k->out->corruptions_fixed += k->out->corruptions;
    k->out->leaks_fixed += k->out->leaks;
    k->out->corruptions = k->out->leaks = k->out->check_errors = 0;
    return 0;
}

/* ---- all of it ----------------------------------------------------------------------------------- */

static int run(Check *k)
{
    Qcow2 *q = k->q;
    count_all(k);
    count_reftable(k);
    for (uint64_t c = 0; c < k->clusters; c++) {
        compare_one(k, c);
    }
    int ret = 0;
    if (k->rebuild && (k->fix & BLOCK_FIX_ERRORS)) {
        note(k, "Rebuilding refcount structure");
        ret = rebuild(k);
    }
    if (!ret) {
        check_flags(k);
    }
    k->out->total = qcow2_clusters(q, q->size);
    return ret;
}

static int clear_marks(Check *k)
{
    Qcow2 *q = k->q;
    if (!(k->fix & BLOCK_FIX_ERRORS) || k->out->corruptions || k->out->check_errors) {
        return 0;
    }
    int ret = qcow2_set_incompatible(q, INCOMPAT_DIRTY, false);
    return ret ? ret : qcow2_set_incompatible(q, INCOMPAT_CORRUPT, false);
}

bool qcow2_check(BlockNode *n, int fix, BlockCheck *out, GString *log, Error **err)
{
    Qcow2 *q = n->state;
    Check k = { .q = q, .fix = n->flags.read_only ? 0 : fix, .out = out, .log = log };
    bool lazy = q->lazy;
    memset(out, 0, sizeof(*out));
    q->lazy = false;                    /* what is repaired must be written */
    if (!n->flags.read_only) {
        /* twice: the second writes what the first one freed */
        int ret = qcow2_sync(q);
        ret = ret ? ret : qcow2_sync(q);
        if (ret < 0) {
            q->lazy = lazy;
            return fail_errno(err, -ret, "Could not write the image's tables");
        }
    }
    int64_t length = node_length(n->file);      /* the tables are there now */
    if (length < 0) {
        q->lazy = lazy;
        return fail_errno(err, (int)-length, "Could not get the length of the image file");
    }
    k.file_length = length;
    k.clusters = qcow2_clusters(q, length) + 1;
    if (k.clusters > MAX_CLUSTERS) {
        q->lazy = lazy;
        return fail(err, "The image has too many clusters to be checked");
    }
    k.refs = g_new0(uint16_t, k.clusters);
    g_mutex_lock(&q->lock);
    unsigned overlap = q->overlap;
    q->overlap = 0;                     /* what is broken is repaired here */
    int ret = run(&k);
    q->overlap = overlap;
    g_mutex_unlock(&q->lock);
    g_free(k.refs);
    if (!ret && k.fix) {
        ret = qcow2_sync(q);
        ret = ret ? ret : clear_marks(&k);
    }
    q->lazy = lazy;
    return !ret || fail_errno(err, -ret, "Could not repair the image");
}
