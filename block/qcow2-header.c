/* SPDX-License-Identifier: MIT */
/*
 * qcow2, "Header" and "Header extensions": reading with every field distrusted, writing.
 */
#include "block/qcow2.h"
#include "util/bits.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

/* ---- reading --------------------------------------------------------------------------- */

static bool check_features(Qcow2 *q, Error **err)
{
    uint64_t unknown = q->incompatible & ~(uint64_t)INCOMPAT_KNOWN;
    if (unknown) {
        return fail(err, "Unsupported qcow2 feature(s): incompatible feature bits 0x%" PRIx64, unknown);
    }
    if ((q->incompatible & INCOMPAT_CORRUPT) && !q->node->flags.read_only && !q->node->flags.check) {
        return fail(err, "qcow2: Image is corrupt; cannot be opened read/write (check -r all "
                    "repairs it)");
    }
    if ((q->incompatible & INCOMPAT_COMPRESSION) && q->compression > 1) {
        return fail(err, "qcow2: unknown compression type: %u", q->compression);
    }
    if (!(q->incompatible & INCOMPAT_COMPRESSION) && q->compression) {
        return fail(err, "qcow2: compression type incompatible feature bit must be set");
    }
    if (q->compression == 1 && !qcow2_have_zstd()) {
        return fail(err, "qcow2: zstd compression: this program was built without libzstd");
    }
    return true;
}

static bool check_geometry(Qcow2 *q, Error **err)
{
    if (q->cluster_bits < 9 || q->cluster_bits > 21) {
        return fail(err, "Unsupported cluster size: 2^%u", q->cluster_bits);
    }
    if (q->extended && q->cluster_bits < 14) {
        return fail(err, "Extended L2 entries are only supported with cluster sizes of at least "
                    "16384 bytes");
    }
    if (q->refcount_order > 6) {
        return fail(err, "Reference count entry width too large; may not exceed 64 bits");
    }
    if (q->header_length < (q->version < 3 ? H_V2_LENGTH : H_V3_LENGTH)) {
        return fail(err, "qcow2 header too short");
    }
    if (q->header_length > q->cluster_size) {
        return fail(err, "qcow2 header exceeds cluster size");
    }
    if (q->size > INT64_MAX - (1 << 21)) {
        return fail(err, "Image is too big (virtual size %" PRIu64 ")", q->size);
    }
    return true;
}

static bool check_table(Qcow2 *q, const char *what, uint64_t offset, uint64_t bytes, uint64_t max,
                        Error **err)
{
    if (bytes > max) {
        return fail(err, "%s too large", what);
    }
    if (offset > INT64_MAX - bytes || offset % q->cluster_size) {
        return fail(err, "%s offset invalid", what);
    }
    return true;
}

static bool check_tables(Qcow2 *q, uint32_t snapshots, Error **err)
{
    uint64_t needed = qcow2_l1_needed(q, q->size);
    if (!check_table(q, "Active L1 table", q->l1_offset, q->l1_size * 8ull, QCOW2_MAX_L1, err)
        || !check_table(q, "Reference count table", q->reftable_offset,
                        (uint64_t)q->reftable_clusters * q->cluster_size, QCOW2_MAX_REFTABLE, err)) {
        return false;
    }
    if (!q->reftable_clusters && !q->node->flags.check) {
        return fail(err, "Image does not contain a reference count table");
    }
    if (needed > INT32_MAX || q->l1_size < needed) {
        return fail(err, "L1 table is too small");
    }
    if (snapshots > QCOW2_MAX_SNAPSHOTS) {
        return fail(err, "Snapshot table too large");
    }
    return true;
}

static void keep_extension(Qcow2 *q, uint32_t type, const uint8_t *data, uint32_t len)
{
    Extension e = { type, len, g_memdup2(data, len) };
    g_array_append_val(q->extensions, e);
}

static bool read_extensions(Qcow2 *q, const uint8_t *h, uint32_t at, uint32_t end, Error **err)
{
    while (at + 8 <= end) {
        uint32_t type = ld32_be(h + at), len = ld32_be(h + at + 4);
        at += 8;
        if (type == EXT_END) {
            return true;
        }
        if (len > end - at) {
            return fail(err, "Header extension too large");
        }
        switch ((int)type) {
        case EXT_BACKING_FORMAT:
            q->node->backing_format = g_strndup((const char *)h + at, len);
            break;
        case EXT_DATA_FILE:
            q->data_file = g_strndup((const char *)h + at, len);
            break;
        case EXT_CRYPTO:
            return fail(err, "LUKS encrypted qcow2 images are not supported");
        case EXT_FEATURE_NAMES:
            break;                      /* written anew */
        default:
            keep_extension(q, type, h + at, len);
        }
        at += (len + 7) & ~7u;
    }
    return true;
}

static bool read_backing_name(Qcow2 *q, const uint8_t *h, Error **err)
{
    uint64_t offset = ld64_be(h + H_BACKING_OFFSET);
    uint32_t len = ld32_be(h + H_BACKING_SIZE);
    if (!offset) {
        return true;
    }
    if (offset > q->cluster_size || len > 1023 || len > q->cluster_size - offset) {
        return fail(err, offset > q->cluster_size ? "Invalid backing file offset"
                                                  : "Backing file name too long");
    }
    if (len) {
        q->node->backing_file = g_strndup((const char *)h + offset, len);
    }
    return true;
}

static void parse_v3(Qcow2 *q, const uint8_t *h)
{
    q->incompatible = ld64_be(h + H_INCOMPATIBLE);
    q->compatible = ld64_be(h + H_COMPATIBLE);
    q->autoclear = ld64_be(h + H_AUTOCLEAR);
    q->refcount_order = ld32_be(h + H_REFCOUNT_ORDER);
    q->header_length = ld32_be(h + H_LENGTH);
    q->compression = q->header_length > H_COMPRESSION ? h[H_COMPRESSION] : 0;
}

static bool load_tables(Qcow2 *q, Error **err)
{
    q->reftable_size = (uint64_t)q->reftable_clusters * q->cluster_size / 8;
    q->reftable = g_try_new0(uint64_t, q->reftable_size + 1);
    q->l1 = g_try_new0(uint64_t, MAX(q->l1_size, 1));
    if (!q->l1 || !q->reftable) {
        return fail(err, "Not enough memory for the tables of the image");
    }
    int ret = qcow2_read_table(q, q->reftable_offset, q->reftable, q->reftable_size);
    if (ret < 0) {
        return fail_errno(err, -ret, "Could not read the reference count table");
    }
    ret = qcow2_read_table(q, q->l1_offset, q->l1, q->l1_size);
    return !ret || fail_errno(err, -ret, "Could not read L1 table");
}

bool qcow2_read_header(Qcow2 *q, Error **err)
{
    uint8_t start[H_FULL_LENGTH];
    int ret = node_pread(q->node->file, 0, start, sizeof(start));
    if (ret < 0) {
        return fail_errno(err, -ret, "Could not read qcow2 header");
    }
    if (ld32_be(start + H_MAGIC) != QCOW2_MAGIC) {
        return fail(err, "Image is not in qcow2 format");
    }
    uint32_t version = ld32_be(start + H_VERSION), crypt = ld32_be(start + H_CRYPT);
    if (version < 2 || version > 3) {
        return fail(err, "Unsupported qcow2 version %" PRIu32, version);
    }
    if (crypt) {
        return fail(err, "%s encrypted qcow2 images are not supported",
                    crypt == 1 ? "AES" : crypt == 2 ? "LUKS" : "Unknown");
    }
    q->version = version;
    q->cluster_bits = MIN(ld32_be(start + H_CLUSTER_BITS), 64);
    q->size = ld64_be(start + H_SIZE);
    q->l1_size = ld32_be(start + H_L1_SIZE);
    q->l1_offset = ld64_be(start + H_L1_OFFSET);
    q->reftable_offset = ld64_be(start + H_REFTABLE_OFFSET);
    q->reftable_clusters = ld32_be(start + H_REFTABLE_CLUSTERS);
    q->snapshots_offset = ld64_be(start + H_SNAPSHOTS_OFFSET);
    q->refcount_order = 4;
    q->header_length = H_V2_LENGTH;
    if (version >= 3) {
        parse_v3(q, start);
    }
    q->extended = q->incompatible & INCOMPAT_EXTENDED_L2;
    if (q->cluster_bits >= 9 && q->cluster_bits <= 21) {
        q->cluster_size = 1u << q->cluster_bits;
    }
    if (!check_geometry(q, err) || !check_features(q, err)) {
        return false;
    }
    q->entry_size = q->extended ? 16 : 8;
    q->l2_bits = q->cluster_bits - (q->extended ? 4 : 3);
    if (!check_tables(q, ld32_be(start + H_SNAPSHOTS), err)) {
        return false;
    }
    g_autofree uint8_t *h = g_malloc0(q->cluster_size);
    ret = node_pread(q->node->file, 0, h, q->cluster_size);
    if (ret < 0) {
        return fail_errno(err, -ret, "Could not read qcow2 header");
    }
    uint64_t name = ld64_be(h + H_BACKING_OFFSET);
    uint32_t end = name && name < q->cluster_size ? name : q->cluster_size;
    return read_backing_name(q, h, err)
           && read_extensions(q, h, q->header_length, MAX(end, q->header_length), err)
           && load_tables(q, err);
}

/* ---- writing --------------------------------------------------------------------------- */

static const struct {
    uint8_t type, bit;                  /* 0 incompatible, 1 compatible, 2 autoclear */
    const char *name;
} feature_names[] = {
    { 0, 0, "dirty bit" }, { 0, 1, "corrupt bit" }, { 0, 2, "external data file" },
    { 0, 3, "compression type" }, { 0, 4, "extended L2 entries" },
    { 1, 0, "lazy refcounts" }, { 2, 0, "bitmaps" }, { 2, 1, "raw external data" },
};

static void add_extension(GByteArray *h, uint32_t type, const void *data, uint32_t len)
{
    static const uint8_t zeroes[8];
    uint8_t head[8];
    st32_be(head, type);
    st32_be(head + 4, len);
    g_byte_array_append(h, head, 8);
    g_byte_array_append(h, data, len);
    g_byte_array_append(h, zeroes, -len & 7);
}

static void add_feature_names(GByteArray *h)
{
    uint8_t table[G_N_ELEMENTS(feature_names)][48] = { 0 };
    for (size_t i = 0; i < G_N_ELEMENTS(feature_names); i++) {
        table[i][0] = feature_names[i].type;
        table[i][1] = feature_names[i].bit;
        memcpy(table[i] + 2, feature_names[i].name, strlen(feature_names[i].name));
    }
    add_extension(h, EXT_FEATURE_NAMES, table, sizeof(table));
}

static void fill_fixed(const Qcow2 *q, uint8_t *h)
{
    st32_be(h + H_MAGIC, QCOW2_MAGIC);
    st32_be(h + H_VERSION, q->version);
    st32_be(h + H_CLUSTER_BITS, q->cluster_bits);
    st64_be(h + H_SIZE, q->size);
    st32_be(h + H_L1_SIZE, q->l1_size);
    st64_be(h + H_L1_OFFSET, q->l1_offset);
    st64_be(h + H_REFTABLE_OFFSET, q->reftable_offset);
    st32_be(h + H_REFTABLE_CLUSTERS, q->reftable_clusters);
    st32_be(h + H_SNAPSHOTS, q->snapshots ? q->snapshots->len : 0);
    st64_be(h + H_SNAPSHOTS_OFFSET, q->snapshots_offset);
    if (q->version >= 3) {
        st64_be(h + H_INCOMPATIBLE, q->incompatible);
        st64_be(h + H_COMPATIBLE, q->compatible);
        st64_be(h + H_AUTOCLEAR, q->autoclear);
        st32_be(h + H_REFCOUNT_ORDER, q->refcount_order);
        st32_be(h + H_LENGTH, q->header_length);
        h[H_COMPRESSION] = q->compression;
    }
}

int qcow2_write_header(Qcow2 *q)
{
    const char *backing = q->node->backing_file, *format = q->node->backing_format;
    uint8_t fixed[H_FULL_LENGTH] = { 0 };
    q->header_length = q->version >= 3 ? H_FULL_LENGTH : H_V2_LENGTH;
    fill_fixed(q, fixed);
    g_autoptr(GByteArray) h = g_byte_array_new();
    g_byte_array_append(h, fixed, q->header_length);
    if (backing && format) {
        add_extension(h, EXT_BACKING_FORMAT, format, strlen(format));
    }
    if (q->data_file) {
        add_extension(h, EXT_DATA_FILE, q->data_file, strlen(q->data_file));
    }
    for (guint i = 0; i < q->extensions->len; i++) {
        const Extension *e = &g_array_index(q->extensions, Extension, i);
        add_extension(h, e->type, e->data, e->len);
    }
    if (q->version >= 3 && q->cluster_size >= 4096) {
        add_feature_names(h);           /* only there to help other programs' messages */
    }
    add_extension(h, EXT_END, "", 0);
    if (backing) {
        st64_be(h->data + H_BACKING_OFFSET, h->len);
        st32_be(h->data + H_BACKING_SIZE, strlen(backing));
        g_byte_array_append(h, (const uint8_t *)backing, strlen(backing));
    }
    if (h->len > q->cluster_size || (backing && strlen(backing) > 1023)) {
        return -ENOSPC;
    }
    guint used = h->len;
    g_byte_array_set_size(h, q->cluster_size);
    memset(h->data + used, 0, q->cluster_size - used);
    return node_pwrite(q->node->file, 0, h->data, h->len);
}

int qcow2_set_incompatible(Qcow2 *q, uint64_t bit, bool on)
{
    uint64_t value = on ? q->incompatible | bit : q->incompatible & ~bit;
    uint8_t raw[8];
    if (q->version < 3 || value == q->incompatible) {
        return 0;
    }
    st64_be(raw, value);
    int ret = on ? 0 : qcow2_file_barrier(q);   /* off: what it warned of is really over */
    ret = ret ? ret : node_pwrite(q->node->file, H_INCOMPATIBLE, raw, 8);
    ret = ret ? ret : node_flush(q->node->file);
    if (!ret) {
        q->incompatible = value;
    }
    return ret;
}
