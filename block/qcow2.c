/* SPDX-License-Identifier: MIT */
/*
 * Format driver "qcow2", versions 2 and 3: opening and closing.  What happens in between is in
 * the other qcow2-*.c files; qcow2.h is the place to begin.
 *
 * Not there: encryption; zeroing and discarding of less than a cluster take no advantage of
 * subclusters.
 */
#include "block/qcow2.h"
#include "util/bits.h"

#include <errno.h>
#include <string.h>

static int qcow2_probe(const uint8_t *head, size_t len, const char *filename)
{
    return len >= 8 && ld32_be(head) == QCOW2_MAGIC && ld32_be(head + 4) >= 2 ? 100 : 0;
}

/* ---- opening --------------------------------------------------------------------------- */

typedef struct Sizes {
    uint64_t total, l2, refs, l2_slice;
} Sizes;

static bool take_options(Qcow2 *q, Json *o, Sizes *sizes, Error **err)
{
    q->pass_discard[FREED_REQUEST] = q->node->flags.unmap;
    q->pass_discard[FREED_SNAPSHOT] = true;
    q->clean_interval = 600;
    if (!block_take_uint(o, "cache-size", &sizes->total, err)
        || !block_take_uint(o, "l2-cache-size", &sizes->l2, err)
        || !block_take_uint(o, "refcount-cache-size", &sizes->refs, err)
        || !block_take_uint(o, "cache-clean-interval", &q->clean_interval, err)
        || !block_take_uint(o, "l2-cache-entry-size", &sizes->l2_slice, err)
        || !block_take_bool(o, "pass-discard-request", &q->pass_discard[FREED_REQUEST], err)
        || !block_take_bool(o, "pass-discard-snapshot", &q->pass_discard[FREED_SNAPSHOT], err)
        || !block_take_bool(o, "pass-discard-other", &q->pass_discard[FREED_OTHER], err)
        || !qcow2_take_overlap_check(q, o, err)) {
        return false;
    }
    if (q->clean_interval > UINT32_MAX) {
        return fail(err, "Cache clean interval too big");
    }
    if (sizes->l2_slice && (sizes->l2_slice < 512 || sizes->l2_slice > q->cluster_size
                            || !is_pow2(sizes->l2_slice))) {
        return fail(err, "L2 cache entry size must be a power of two between 512 and the cluster size "
                    "(%u)", q->cluster_size);
    }
    if (json_get(o, "lazy-refcounts")) {
        bool lazy = false;
        if (!block_take_bool(o, "lazy-refcounts", &lazy, err)) {
            return false;
        }
        if (lazy && q->version < 3) {
            return fail(err, "Lazy refcounts require a qcow2 image with at least qemu 1.1 "
                        "compatibility level");
        }
        q->lazy = lazy;
    }
    return true;
}

static void make_caches(Qcow2 *q, const Sizes *given)
{
    unsigned slice = MIN(q->cluster_size, 4096);
    uint64_t l2 = given->l2, refs = given->refs;
    if (!refs) {
        refs = 1 << 20;
    }
    if (!l2) {
        /* the whole disk's tables, up to 32 MiB */
        uint64_t all = (q->size >> q->cluster_bits) * q->entry_size;
        l2 = given->total > refs ? given->total - refs : CLAMP(all, 1u << 20, 32u << 20);
    }
    qcow2_cache_init(&q->l2, given->l2_slice ? given->l2_slice : slice, l2);
    qcow2_cache_init(&q->refs, slice, refs);
}

static void clean_caches(void *opaque)
{
    Qcow2 *q = opaque;
    g_mutex_lock(&q->lock);
    qcow2_cache_clean(&q->l2);
    qcow2_cache_clean(&q->refs);
    g_mutex_unlock(&q->lock);
    timer_mod(&q->clean, clock_ns(ORRERY_CLOCK_REAL) + (int64_t)q->clean_interval * NS_PER_SEC);
}

static bool open_data_file(Qcow2 *q, Json *options, Error **err)
{
    BlockNode *n = q->node;
    q->data = n->file;
    if (!(q->incompatible & INCOMPAT_DATA_FILE)) {
        return !json_get(options, "data-file") || fail(err, "'data-file' can only be set for images "
                                                       "with an external data file");
    }
    BlockNode *d = NULL;
    if (json_get(options, "data-file")) {
        d = node_open_child(n, options, "data-file", err);
    } else if (!q->data_file) {
        fail(err, "'data-file' is required for this image");
    } else {
        g_autofree char *path = node_resolve_path(n, q->data_file, "data file", err);
        d = path ? node_open_file(path, "file", NULL, n->flags, err) : NULL;
        if (d) {
            d->growable = true;
        }
    }
    if (!d) {
        return false;
    }
    q->data = d;
    q->external = true;
    return true;
}

/* Things a writer must do first. */
static bool prepare_writing(BlockNode *n, Error **err)
{
    Qcow2 *q = n->state;
    int ret = 0;
    uint64_t known = AUTOCLEAR_RAW_DATA | (n->bitmaps ? AUTOCLEAR_BITMAPS : 0);
    if (q->autoclear & ~known) {
        q->autoclear &= known;
        ret = qcow2_write_header(q);
        ret = ret ? ret : node_flush(n->file);
    }
    ret = ret ? ret : qcow2_mark_bitmaps(q);
    if (ret < 0) {
        return fail_errno(err, -ret, "Could not update qcow2 header");
    }
    if ((q->incompatible & INCOMPAT_DIRTY) && !n->flags.check) {
        BlockCheck check = { 0 };
        if (!qcow2_check(n, BLOCK_FIX_ERRORS | BLOCK_FIX_LEAKS, &check, NULL, err)) {
            return false;
        }
        if (check.corruptions || check.check_errors) {
            return fail(err, "Could not repair dirty image");
        }
    }
    return true;
}

static void free_state(Qcow2 *q)
{
    timer_del(&q->clean);
    for (guint i = 0; i < q->extensions->len; i++) {
        g_free(g_array_index(q->extensions, Extension, i).data);
    }
    g_array_unref(q->extensions);
    g_array_unref(q->pending_free);
    g_hash_table_destroy(q->fresh);
    if (q->l2.slices) {
        qcow2_cache_clear(&q->l2);
        qcow2_cache_clear(&q->refs);
        g_hash_table_destroy(q->l2.slices);
        g_hash_table_destroy(q->refs.slices);
    }
    qcow2_free_snapshots(q);
    if (q->external) {
        node_unref(q->data);
    }
    g_free(q->l1);
    g_free(q->reftable);
    g_free(q->data_file);
    g_free(q->inflated);
    g_mutex_clear(&q->lock);
    g_mutex_clear(&q->inflated_lock);
    g_cond_clear(&q->changed);
}

static bool open_image(BlockNode *n, Json *options, Error **err)
{
    Qcow2 *q = n->state;
    Sizes sizes = { 0 };
    if (!qcow2_read_header(q, err)) {
        return false;
    }
    q->lazy = q->compatible & COMPAT_LAZY_REFCOUNTS;
    q->virgin = node_length(n->file);
    n->cluster_size = q->cluster_size;
    if (!take_options(q, options, &sizes, err)) {
        return false;
    }
    make_caches(q, &sizes);
    if (q->clean_interval) {
        timer_mod(&q->clean, clock_ns(ORRERY_CLOCK_REAL) + (int64_t)q->clean_interval * NS_PER_SEC);
    }
    return qcow2_read_snapshots(q, err) && open_data_file(q, options, err)
           && node_open_backing(n, options, err) && qcow2_load_bitmaps(n, err)
           && (n->flags.read_only || prepare_writing(n, err));
}

static bool qcow2_open(BlockNode *n, Json *options, Error **err)
{
    Qcow2 *q = n->state;
    n->file = node_open_child(n, options, "file", err);
    if (!n->file) {
        return false;
    }
    q->node = n;
    q->extensions = g_array_new(FALSE, FALSE, sizeof(Extension));
    q->pending_free = g_array_new(FALSE, FALSE, sizeof(Range));
    q->fresh = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, NULL);
    q->l1_dirty_from = UINT32_MAX;
    g_mutex_init(&q->lock);
    g_mutex_init(&q->inflated_lock);
    g_cond_init(&q->changed);
    timer_init(&q->clean, ORRERY_CLOCK_REAL, clean_caches, q);
    Error *why = NULL;
    if (open_image(n, options, &why)) {
        return true;
    }
    if (err && why) {
        g_prefix_error(&why, "Could not open '%s': ", node_file_name(n));
    }
    g_propagate_error(err, why);
    free_state(q);
    return false;
}

/* Nothing is left to write, nothing to repair for the next one. */
static int settle(BlockNode *n)
{
    Qcow2 *q = n->state;
    int ret = qcow2_store_bitmaps(n);
    ret = ret ? ret : qcow2_sync(q);    /* the second pass writes what the first one freed */
    q->lazy = false;
    ret = ret ? ret : qcow2_sync(q);
    if (!ret && (q->incompatible & INCOMPAT_DIRTY) && !n->flags.check) {
        ret = qcow2_set_incompatible(q, INCOMPAT_DIRTY, false);
    }
    return ret;
}

static bool qcow2_reopen(BlockNode *n, bool writable, Error **err)
{
    Qcow2 *q = n->state;
    if (!writable) {
        int ret = settle(n);
        return !ret || fail_errno(err, -ret, "'%s': the last changes could not be written",
                                  node_file_name(n));
    }
    if (q->incompatible & INCOMPAT_CORRUPT) {
        return fail(err, "qcow2: Image is corrupt; cannot be opened read/write");
    }
    if (q->external && !node_set_writable(q->data, true, err)) {
        return false;
    }
    q->lazy = q->compatible & COMPAT_LAZY_REFCOUNTS;
    q->virgin = node_length(n->file);
    n->flags.read_only = false;         /* repairs write */
    bool ok = prepare_writing(n, err);
    n->flags.read_only = true;
    return ok;
}

static void qcow2_close(BlockNode *n)
{
    Qcow2 *q = n->state;
    if (!n->flags.read_only) {
        int ret = settle(n);
        if (ret < 0) {
            error_report("'%s': the last changes could not be written: %s", node_file_name(n),
                         g_strerror(-ret));
        }
    }
    free_state(q);
}

static int64_t qcow2_length(BlockNode *n)
{
    return ((Qcow2 *)n->state)->size;
}

static int qcow2_flush(BlockNode *n)
{
    return qcow2_sync(n->state);
}

static BlockNode *qcow2_other_file(BlockNode *n, unsigned i)
{
    Qcow2 *q = n->state;
    return q->external && !i ? q->data : NULL;
}

static const BlockDriver qcow2_driver = {
    .name = "qcow2", .size = sizeof(Qcow2), .grows_file = true, .has_backing = true,
    .open = qcow2_open, .close = qcow2_close, .length = qcow2_length, .read = qcow2_read,
    .try_read = qcow2_try_read,
    .write = qcow2_write, .flush = qcow2_flush, .discard = qcow2_discard,
    .write_zeroes = qcow2_write_zeroes, .probe = qcow2_probe, .status = qcow2_status,
    .truncate = qcow2_truncate, .write_compressed = qcow2_write_compressed,
    .create = qcow2_create, .create_options = qcow2_create_options, .measure = qcow2_measure,
    .info = qcow2_info, .check = qcow2_check, .change_backing = qcow2_change_backing,
    .make_empty = qcow2_make_empty, .snapshots = qcow2_snapshots,
    .snapshot_create = qcow2_snapshot_create, .snapshot_apply = qcow2_snapshot_apply,
    .snapshot_delete = qcow2_snapshot_delete, .snapshot_load = qcow2_snapshot_load,
    .reopen = qcow2_reopen, .other_file = qcow2_other_file, .amend = qcow2_amend, .keeps_bitmap = qcow2_keeps_bitmap,
};
BLOCK_DRIVER(qcow2_driver);
