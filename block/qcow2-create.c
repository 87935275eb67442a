/* SPDX-License-Identifier: MIT */
/*
 * qcow2: making images, changing their length and their backing file, telling about them.
 */
#include "block/qcow2.h"
#include "util/bits.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

/* ---- options --------------------------------------------------------------------------------- */

const BlockCreateOption qcow2_create_options[] = {
    { "backing_file", "str", NULL, "File name of a base image", true },
    { "backing_fmt", "str", NULL, "Image format of the base image", true },
    { "cluster_size", "size", "65536", "qcow2 cluster size" },
    { "compat", "str", "v3", "Compatibility level (v2 [0.10] or v3 [1.1])", true },
    { "compression_type", "str", "zlib", "Compression method used for image cluster compression" },
    { "data_file", "str", NULL, "File name of an external data file" },
    { "data_file_raw", "bool", "off", "The external data file must stay valid as a raw image" },
    { "extended_l2", "bool", "off", "Extended L2 tables" },
    { "lazy_refcounts", "bool", "off", "Postpone refcount updates", true },
    { "preallocation", "str", "off",
      "Preallocation mode (allowed values: off, metadata, falloc, full)" },
    { "refcount_bits", "int", "16", "Width of a reference count entry in bits" },
    { "size", "size", NULL, "Virtual disk size", true },
    { NULL }
};

typedef struct Making {
    uint64_t size, cluster_size, refcount_bits;
    char *compat, *backing_file, *backing_fmt, *preallocation, *data_file, *compression;
    bool lazy, raw_data, extended;
    unsigned version;
    BlockPrealloc prealloc;
} Making;

static void free_making(Making *m)
{
    g_free(m->compat);
    g_free(m->backing_file);
    g_free(m->backing_fmt);
    g_free(m->preallocation);
    g_free(m->data_file);
    g_free(m->compression);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Making, free_making)

static bool take_all(Making *m, Json *o, Error **err)
{
    m->cluster_size = 65536;
    m->refcount_bits = 16;
    m->version = 3;
    return block_take_uint(o, "size", &m->size, err)
           && block_take_uint(o, "cluster_size", &m->cluster_size, err)
           && block_take_uint(o, "refcount_bits", &m->refcount_bits, err)
           && block_take_str(o, "compat", &m->compat, err)
           && block_take_str(o, "backing_file", &m->backing_file, err)
           && block_take_str(o, "backing_fmt", &m->backing_fmt, err)
           && block_take_str(o, "preallocation", &m->preallocation, err)
           && block_take_str(o, "data_file", &m->data_file, err)
           && block_take_str(o, "compression_type", &m->compression, err)
           && block_take_bool(o, "lazy_refcounts", &m->lazy, err)
           && block_take_bool(o, "data_file_raw", &m->raw_data, err)
           && block_take_bool(o, "extended_l2", &m->extended, err);
}

static bool parse_compat(Making *m, Error **err)
{
    if (!m->compat || !strcmp(m->compat, "1.1") || !strcmp(m->compat, "v3")) {
        return true;
    }
    if (strcmp(m->compat, "0.10") && strcmp(m->compat, "v2")) {
        return fail(err, "Invalid parameter '%s' for compat (0.10, 1.1, v2 or v3)", m->compat);
    }
    m->version = 2;
    if (m->lazy || m->refcount_bits != 16 || m->extended || m->data_file
        || (m->compression && strcmp(m->compression, "zlib"))) {
        return fail(err, "lazy_refcounts, refcount_bits other than 16, extended_l2, data_file and "
                    "compression_type other than zlib need compat=1.1");
    }
    return true;
}

static bool check_making(Making *m, Error **err)
{
    if (!is_pow2(m->cluster_size) || m->cluster_size < 512 || m->cluster_size > 2 << 20) {
        return fail(err, "Cluster size must be a power of two between 512 and 2048k");
    }
    if (!is_pow2(m->refcount_bits) || m->refcount_bits > 64) {
        return fail(err, "Refcount width must be a power of two and may not exceed 64 bits");
    }
    if (m->extended && m->cluster_size < 16384) {
        return fail(err, "Extended L2 entries are only supported with cluster sizes of at least "
                    "16384 bytes");
    }
    if (m->compression && strcmp(m->compression, "zlib") && strcmp(m->compression, "zstd")) {
        return fail(err, "Invalid parameter '%s' for compression_type (zlib, zstd)", m->compression);
    }
    if (m->compression && !strcmp(m->compression, "zstd") && !qcow2_have_zstd()) {
        return fail(err, "compression_type=zstd: this program was built without libzstd");
    }
    if (m->raw_data && !m->data_file) {
        return fail(err, "data_file_raw requires data_file");
    }
    if (m->raw_data && m->backing_file) {
        return fail(err, "Backing file and data-file-raw cannot be used at the same time");
    }
    for (int i = 0; m->preallocation && block_prealloc_names[i]; i++) {
        if (!strcmp(m->preallocation, block_prealloc_names[i])) {
            m->prealloc = i;
            g_clear_pointer(&m->preallocation, g_free);
        }
    }
    if (m->preallocation) {
        return fail(err, "Invalid parameter '%s' for preallocation (off, metadata, falloc, full)",
                    m->preallocation);
    }
    if (m->prealloc && m->backing_file) {
        return fail(err, "Backing file and preallocation cannot be used at the same time");
    }
    return parse_compat(m, err);
}

/* ---- making ---------------------------------------------------------------------------------- */

/* An image of length zero: header, reftable, one refcount block. */
static int write_empty(BlockNode *file, const Making *m, uint64_t incompatible)
{
    uint32_t cs = m->cluster_size, order = __builtin_ctzll(m->refcount_bits);
    g_autofree uint8_t *c = g_malloc0(cs * 3);
    st32_be(c + H_MAGIC, QCOW2_MAGIC);
    st32_be(c + H_VERSION, m->version);
    st32_be(c + H_CLUSTER_BITS, __builtin_ctzll(cs));
    st64_be(c + H_REFTABLE_OFFSET, cs);
    st32_be(c + H_REFTABLE_CLUSTERS, 1);
    if (m->version >= 3) {
        st64_be(c + H_INCOMPATIBLE, incompatible);
        st64_be(c + H_COMPATIBLE, m->lazy ? COMPAT_LAZY_REFCOUNTS : 0);
        st64_be(c + H_AUTOCLEAR, m->raw_data ? AUTOCLEAR_RAW_DATA : 0);
        st32_be(c + H_REFCOUNT_ORDER, order);
        st32_be(c + H_LENGTH, H_FULL_LENGTH);
        c[H_COMPRESSION] = (incompatible & INCOMPAT_COMPRESSION) != 0;
    }
    st64_be(c + cs, cs * 2ull);
    for (unsigned i = 0; i < 3; i++) {
        if (order >= 3) {
            c[cs * 2 + ((i + 1) << (order - 3)) - 1] = 1;
        } else {
            c[cs * 2 + (i << order) / 8] |= 1 << ((i << order) % 8);
        }
    }
    return node_pwrite(file, 0, c, cs * 3);
}

static bool make_data_file(const char *image, const Making *m, Error **err)
{
    g_autofree char *path = node_full_path(image, m->data_file);
    BlockNode *d = node_create_file(path, NULL, err);
    bool ok = d && node_truncate(d, m->size, PREALLOC_OFF, err);
    node_unref(d);
    return ok;
}

static BlockNode *open_new(BlockNode *file, const char *image, const Making *m, Error **err)
{
    Json *o = json_object();
    json_set_str(o, "driver", "qcow2");
    json_set_str(o, "file", file->name);
    json_set(o, "backing", json_null());
    if (m->data_file) {
        Json *d = json_object();
        g_autofree char *path = node_full_path(image, m->data_file);
        json_set_str(d, "driver", "file");
        json_set_str(d, "filename", path);
        json_set(o, "data-file", d);
    }
    return node_open(o, (BlockFlags) { .read_only = false }, err);
}

static bool finish_new(BlockNode *n, const Making *m, Error **err)
{
    Qcow2 *q = n->state;
    n->backing_file = g_strdup(m->backing_file);
    n->backing_format = g_strdup(m->backing_fmt);
    q->data_file = g_strdup(m->data_file);
    int ret = qcow2_write_header(q);
    if (ret < 0) {
        return fail_errno(err, -ret, ret == -ENOSPC ? "The names don't fit into the header"
                                                    : "Could not write the header");
    }
    return qcow2_truncate(n, m->size, m->prealloc, err);
}

bool qcow2_create(const char *filename, Json *options, Error **err)
{
    g_auto(Making) m = { 0 };
    if (!take_all(&m, options, err) || !check_making(&m, err)) {
        return false;
    }
    uint64_t incompatible = (m.data_file ? INCOMPAT_DATA_FILE : 0)
        | (m.compression && !strcmp(m.compression, "zstd") ? INCOMPAT_COMPRESSION : 0)
        | (m.extended ? INCOMPAT_EXTENDED_L2 : 0);
    m.size = (m.size + 511) & ~511ull;
    Qcow2 probe = { .cluster_bits = __builtin_ctzll(m.cluster_size), .cluster_size = m.cluster_size,
                    .l2_bits = __builtin_ctzll(m.cluster_size) - (m.extended ? 4 : 3) };
    if (m.size > INT64_MAX - (1 << 21) || qcow2_l1_needed(&probe, m.size) > QCOW2_MAX_L1 / 8) {
        return fail(err, "The image size is too large (try using a larger cluster size)");
    }
    BlockNode *file = node_create_file(filename, options, err);
    if (!file) {
        return false;
    }
    bool ok = !m.data_file || make_data_file(filename, &m, err);
    int ret = ok ? write_empty(file, &m, incompatible) : 0;
    if (ret < 0) {
        ok = fail_errno(err, -ret, "Could not write '%s'", filename);
    }
    BlockNode *n = ok ? open_new(file, filename, &m, err) : NULL;
    ok = n && finish_new(n, &m, err);
    node_unref(n);
    node_unref(file);
    return ok;
}

/* ---- length ----------------------------------------------------------------------------------- */

static int write_size(Qcow2 *q, uint64_t size)
{
    uint8_t raw[8];
    st64_be(raw, size);
    int ret = node_pwrite(q->node->file, H_SIZE, raw, 8);
    if (!ret) {
        q->size = size;
    }
    return ret;
}

static int grow(Qcow2 *q, uint64_t length)
{
    uint64_t needed = qcow2_l1_needed(q, length);
    if (needed > QCOW2_MAX_L1 / 8) {
        return -EFBIG;
    }
    if (needed <= q->l1_size) {
        return write_size(q, length);
    }
    g_autofree uint64_t *table = g_new0(uint64_t, needed);
    memcpy(table, q->l1, q->l1_size * 8ull);
    g_mutex_lock(&q->lock);
    int ret = qcow2_switch_l1(q, table, needed, length);
    g_mutex_unlock(&q->lock);
    if (!ret) {
        table = NULL;
    }
    return ret;
}

/* What lies behind the data of the new disk must not come from below or from before. */
static int clear_grown(BlockNode *n, uint64_t old, uint64_t length)
{
    int64_t below = n->backing ? node_length(n->backing) : 0;
    if (below <= (int64_t)old) {
        return below < 0 ? below : 0;
    }
    return node_write_zeroes(n, old, MIN((uint64_t)below, length) - old, true);
}

static int drop_tables(Qcow2 *q, uint64_t length)
{
    g_mutex_lock(&q->lock);
    for (uint64_t i = qcow2_l1_needed(q, length); i < q->l1_size; i++) {
        if (q->l1[i] & ENTRY_OFFSET) {
            qcow2_free_later(q, q->l1[i] & ENTRY_OFFSET, q->cluster_size, FREED_OTHER);
            qcow2_cache_drop(&q->l2, q->l1[i] & ENTRY_OFFSET, q->cluster_size);
            q->l1[i] = 0;
            q->l1_dirty_from = MIN(q->l1_dirty_from, (uint32_t)i);
            q->l1_dirty_to = MAX(q->l1_dirty_to, (uint32_t)i + 1);
        }
    }
    g_mutex_unlock(&q->lock);
    return qcow2_sync(q);
}

/* Free clusters at the end of the file go. */
static void trim_file(Qcow2 *q)
{
    int64_t length = node_length(q->node->file);
    uint64_t clusters = length > 0 ? qcow2_clusters(q, length) : 0, end = clusters, count;
    g_mutex_lock(&q->lock);
    while (end && !qcow2_refcount_get(q, end - 1, &count) && !count) {
        end--;
    }
    g_mutex_unlock(&q->lock);
    if (end && end < clusters
        && node_truncate(q->node->file, end << q->cluster_bits, PREALLOC_OFF, NULL)) {
        q->virgin = end << q->cluster_bits;
    }
}

static int shrink(BlockNode *n, uint64_t length)
{
    Qcow2 *q = n->state;
    uint64_t edge = MIN(qcow2_round_up(q, length), q->size), old = q->size;
    int ret = edge > length ? node_write_zeroes(n, length, edge - length, false) : 0;
    ret = ret ? ret : qcow2_unlink_range(q, qcow2_round_up(q, length), qcow2_round_up(q, old));
    ret = ret ? ret : drop_tables(q, length);
    ret = ret ? ret : write_size(q, length);
    ret = ret ? ret : qcow2_sync(q);
    if (!ret && !q->external) {
        trim_file(q);
    }
    return ret;
}

static bool preallocate(BlockNode *n, uint64_t old, uint64_t length, BlockPrealloc mode, Error **err)
{
    Qcow2 *q = n->state;
    int ret = qcow2_preallocate(q, old, length);
    ret = ret ? ret : qcow2_sync(q);
    if (ret < 0) {
        return fail_errno(err, -ret, "Could not preallocate metadata");
    }
    BlockPrealloc below = mode == PREALLOC_METADATA ? PREALLOC_OFF : mode;
    if (q->external) {
        return node_truncate(q->data, length, below, err);
    }
    int64_t have = node_length(n->file);
    return have < 0 || (uint64_t)have >= q->virgin || node_truncate(n->file, q->virgin, below, err);
}

bool qcow2_truncate(BlockNode *n, uint64_t length, BlockPrealloc prealloc, Error **err)
{
    Qcow2 *q = n->state;
    uint64_t old = q->size;
    if (length % 512) {
        return fail(err, "The new size must be a multiple of 512");
    }
    if (q->snapshots->len && q->version < 3) {
        return fail(err, "Can't resize a v2 image which has snapshots");
    }
    if (length < old && prealloc) {
        return fail(err, "Preallocation can't be used for shrinking an image");
    }
    int ret = length < old ? shrink(n, length) : grow(q, length);
    ret = ret || length <= old ? ret : clear_grown(n, old, length);
    ret = ret ? ret : qcow2_sync(q);
    if (!ret && q->external && !prealloc && !node_truncate(q->data, length, PREALLOC_OFF, err)) {
        return false;
    }
    if (ret < 0) {
        return fail_errno(err, -ret, "Could not resize the image");
    }
    return !prealloc || preallocate(n, old, length, prealloc, err);
}

int qcow2_make_empty(BlockNode *n)
{
    Qcow2 *q = n->state;
    int ret = qcow2_unlink_range(q, 0, qcow2_round_up(q, q->size));
    return ret ? ret : qcow2_sync(q);
}

bool qcow2_change_backing(BlockNode *n, const char *file, const char *format, Error **err)
{
    Qcow2 *q = n->state;
    if (file && (q->autoclear & AUTOCLEAR_RAW_DATA)) {
        return fail(err, "A raw external data file can't have a backing file");
    }
    char *old_file = n->backing_file, *old_format = n->backing_format;
    n->backing_file = file && *file ? g_strdup(file) : NULL;
    n->backing_format = file && *file ? g_strdup(format) : NULL;
    int ret = qcow2_sync(q);
    ret = ret ? ret : qcow2_write_header(q);
    ret = ret ? ret : qcow2_file_barrier(q);
    if (ret < 0) {
        g_free(n->backing_file);
        g_free(n->backing_format);
        n->backing_file = old_file;
        n->backing_format = old_format;
        return fail_errno(err, -ret, "Could not change the backing file to '%s'", file ? file : "");
    }
    g_free(old_file);
    g_free(old_format);
    return true;
}

/* ---- amending ---------------------------------------------------------------------------------- */

static bool amend_header(Qcow2 *q, const char *compat, const char *lazy, Error **err)
{
    bool on = lazy && (!strcmp(lazy, "on") || !strcmp(lazy, "true")), upgrade = false;
    if (compat && (!strcmp(compat, "0.10") || !strcmp(compat, "v2"))) {
        if (q->version > 2) {
            return fail(err, "going back to compat=0.10 is not supported (convert makes a new image)");
        }
    } else if (compat && (!strcmp(compat, "1.1") || !strcmp(compat, "v3"))) {
        upgrade = q->version < 3;
    } else if (compat) {
        return fail(err, "Unknown compatibility level '%s'", compat);
    }
    if (on && q->version < 3 && !upgrade) {
        return fail(err, "Lazy refcounts only supported with compatibility level 1.1 and above "
                    "(use compat=1.1 or greater)");
    }
    int ret = qcow2_sync(q);
    ret = ret ? ret : qcow2_sync(q);
    if (!ret && q->lazy && lazy && !on && (q->incompatible & INCOMPAT_DIRTY)) {
        ret = qcow2_set_incompatible(q, INCOMPAT_DIRTY, false);
    }
    q->version = upgrade ? 3 : q->version;
    if (lazy) {
        q->lazy = on;
        q->compatible = (q->compatible & ~(uint64_t)COMPAT_LAZY_REFCOUNTS) | (on ? COMPAT_LAZY_REFCOUNTS : 0);
    }
    ret = ret ? ret : qcow2_write_header(q);
    ret = ret ? ret : qcow2_file_barrier(q);
    return !ret || fail_errno(err, -ret, "Could not write the header");
}

bool qcow2_amend(BlockNode *n, Json *options, Error **err)
{
    Qcow2 *q = n->state;
    g_autofree char *compat = NULL, *lazy = NULL, *file = NULL, *format = NULL;
    uint64_t size = q->size;
    if (!block_take_str(options, "compat", &compat, err)
        || !block_take_str(options, "lazy_refcounts", &lazy, err)
        || !block_take_str(options, "backing_file", &file, err)
        || !block_take_str(options, "backing_fmt", &format, err)
        || !block_take_uint(options, "size", &size, err)) {
        return false;
    }
    if (json_len(options)) {
        return fail(err, "Option '%s' can't be amended (backing_file, backing_fmt, compat, "
                    "lazy_refcounts and size can)", json_key_at(options, 0));
    }
    if (((compat || lazy) && !amend_header(q, compat, lazy, err))
        || (size != q->size && !node_truncate(n, size, PREALLOC_OFF, err))) {
        return false;
    }
    return (!file && !format)
           || qcow2_change_backing(n, file ? file : n->backing_file, format ? format : n->backing_format, err);
}

/* ---- telling ----------------------------------------------------------------------------------- */

/* Refcount blocks and table for so many clusters and themselves, in bytes */
static uint64_t refcount_bytes(uint64_t clusters, uint64_t cs, uint64_t refcount_bits)
{
    uint64_t per_block = cs * 8 / refcount_bits, blocks = 0, table = 0, before;
    do {
        before = blocks + table;
        blocks = (clusters + blocks + table + per_block - 1) / per_block;
        table = (blocks + cs / 8 - 1) / (cs / 8);
    } while (blocks + table != before);
    return (blocks + table) * cs;
}

/* Bytes of whole clusters with data in the source */
static int64_t used_bytes(BlockNode *src, uint64_t cs)
{
    int64_t length = node_length(src), used = 0;
    uint64_t counted = 0;               /* up to here */
    for (uint64_t at = 0; at < (uint64_t)MAX(length, 0);) {
        BlockStatus st;
        int ret = node_status_above(src, NULL, at, length - at, &st, NULL);
        if (ret < 0) {
            return ret;
        }
        if (st.allocated && st.data && !st.zero) {
            uint64_t from = MAX(at & ~(cs - 1), counted), to = (at + st.len + cs - 1) & ~(cs - 1);
            used += to > from ? to - from : 0;
            counted = MAX(counted, to);
        }
        at += st.len;
    }
    return length < 0 ? length : used;
}

int64_t qcow2_measure(BlockNode *src, Json *options, uint64_t size, uint64_t *fully, Error **err)
{
    g_auto(Making) m = { 0 };
    if (!take_all(&m, options, err) || !check_making(&m, err)) {
        return -1;
    }
    uint64_t cs = m.cluster_size, entry = m.extended ? 16 : 8;
    if (src) {
        size = node_length(src);
    } else if (!size) {
        size = m.size;
    }
    if (size > INT64_MAX / 2) {
        fail(err, "The image size is too large");
        return -1;
    }
    size = (size + cs - 1) & ~(cs - 1);
    int64_t used = m.prealloc >= PREALLOC_FALLOC ? (int64_t)size : src ? used_bytes(src, cs) : 0;
    if (used < 0) {
        fail_errno(err, (int)-used, "Unable to get block status");
        return -1;
    }
    uint64_t per_cluster = cs / entry, l2 = (size / cs + per_cluster - 1) / per_cluster;
    uint64_t l1 = (l2 + cs / 8 - 1) / (cs / 8);
    uint64_t meta = (1 + l2 + l1) * cs;
    meta += refcount_bytes((meta + size) / cs, cs, m.refcount_bits);
    *fully = meta + size;
    return meta + used;
}

Json *qcow2_info(BlockNode *n)
{
    const Qcow2 *q = n->state;
    Json *info = json_object(), *d = json_object();
    json_set_str(d, "compat", q->version < 3 ? "0.10" : "1.1");
    if (q->data_file) {
        json_set_str(d, "data-file", q->data_file);
    }
    json_set_str(d, "compression-type", q->compression ? "zstd" : "zlib");
    if (q->version >= 3) {
        json_set_bool(d, "lazy-refcounts", q->compatible & COMPAT_LAZY_REFCOUNTS);
    }
    Json *bitmaps = qcow2_bitmaps_info(n->state);
    if (bitmaps) {
        json_set(d, "bitmaps", bitmaps);
    }
    json_set_int(d, "refcount-bits", 1ll << q->refcount_order);
    if (q->version >= 3) {
        json_set_bool(d, "corrupt", q->incompatible & INCOMPAT_CORRUPT);
        if (q->external) {
            json_set_bool(d, "data-file-raw", q->autoclear & AUTOCLEAR_RAW_DATA);
        }
        json_set_bool(d, "extended-l2", q->extended);
    }
    json_set_str(info, "type", "qcow2");
    json_set(info, "data", d);
    return info;
}
