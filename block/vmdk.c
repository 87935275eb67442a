/* SPDX-License-Identifier: MIT */
/*
 * Format driver "vmdk": opening and closing.  Sparse images in one file and stream-optimised
 * ones, and descriptors with flat, sparse and zero extents in files of their own (in the image's
 * folder, or allowed: block/paths.c).  ESX's own sparse extents (vmfsSparse, seSparse) are
 * refused.
 */
#include "block/vmdk.h"
#include "util/bits.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define MAX_DESCRIPTOR (1u << 20)
#define MAX_GRAIN      (1u << 20)       /* bytes */
#define MAX_DIRECTORY  (8u << 20)       /* entries: 256 TiB with grains of 64 KiB */

static int vmdk_probe(const uint8_t *head, size_t len, const char *filename)
{
    if (len >= 4 && ld32_le(head) == VMDK_MAGIC) {
        return 100;
    }
    static const char title[] = "# Disk DescriptorFile";
    return len >= sizeof(title) && !g_ascii_strncasecmp((const char *)head, title, sizeof(title) - 1)
           ? 100 : 0;
}

/* ---- sparse extents ------------------------------------------------------------------------ */

static bool read_directory(VmdkExtent *e, uint64_t at, uint32_t **out, Error **err)
{
    int64_t length = node_length(e->file);
    if (length < 0 || at > (uint64_t)length || e->directory_size * 4ull > (uint64_t)length - at) {
        return fail(err, "vmdk: the grain directory lies outside the file");
    }
    *out = g_try_new0(uint32_t, e->directory_size + 1);
    int ret = !*out ? -ENOMEM : at > INT64_MAX - e->directory_size * 4ull ? -EINVAL
              : node_pread(e->file, at, *out, e->directory_size * 4ull);
    for (uint32_t i = 0; i < e->directory_size && !ret; i++) {
        (*out)[i] = ld32_le(&(*out)[i]);
    }
    return !ret || fail_errno(err, -ret, "vmdk: could not read the grain directory");
}

/* The header, or with a directory at the end that of the footer. */
static bool read_header(VmdkExtent *e, uint8_t *h, Error **err)
{
    int64_t length = node_length(e->file);
    int ret = node_pread(e->file, 0, h, M_SIZE);
    if (!ret && ld32_le(h) == VMDK_MAGIC && ld64_le(h + M_GD) == VMDK_GD_AT_END) {
        uint64_t desc = ld64_le(h + M_DESC_OFFSET), desc_size = ld64_le(h + M_DESC_SIZE);
        ret = length < 1536 ? -EINVAL : node_pread(e->file, length - 1024, h, M_SIZE);
        st64_le(h + M_DESC_OFFSET, desc);
        st64_le(h + M_DESC_SIZE, desc_size);
    }
    if (ret < 0) {
        return fail_errno(err, -ret, "vmdk: could not read the header");
    }
    return ld32_le(h) == VMDK_MAGIC || fail(err, "vmdk: '%s' is no sparse extent (its header or footer "
                                            "is missing)", node_file_name(e->file));
}

static bool open_sparse(VmdkExtent *e, uint8_t *h, Error **err)
{
    if (!read_header(e, h, err)) {
        return false;
    }
    uint32_t version = ld32_le(h + M_VERSION), flags = ld32_le(h + M_FLAGS);
    uint64_t capacity = ld64_le(h + M_CAPACITY), grain = ld64_le(h + M_GRAIN);
    uint64_t gd = ld64_le(h + M_GD), rgd = ld64_le(h + M_RGD);
    if (version < 1 || version > 3) {
        return fail(err, "Unsupported VMDK version %" PRIu32, version);
    }
    if (ld32_le(h + M_GTES) != VMDK_GTES) {
        return fail(err, "vmdk: L2 table size %" PRIu32 " is not supported", ld32_le(h + M_GTES));
    }
    if (!grain || grain > MAX_GRAIN / 512 || (grain & (grain - 1))) {
        return fail(err, "vmdk: invalid grain size of %" PRIu64 " sectors", grain);
    }
    if (capacity > (uint64_t)MAX_DIRECTORY * VMDK_GTES * grain) {
        return fail(err, "vmdk: capacity of %" PRIu64 " sectors is too large", capacity);
    }
    if ((flags & VMDK_COMPRESSED) && ld16_le(h + M_COMPRESS) != 1) {
        return fail(err, "vmdk: unknown compression %u", ld16_le(h + M_COMPRESS));
    }
    if (gd > INT64_MAX / 512 || rgd > INT64_MAX / 512) {
        return fail(err, "vmdk: the grain directory lies outside the file");
    }
    e->kind = EXTENT_SPARSE;
    e->grain = grain * 512;
    e->len = e->len ? MIN(e->len, capacity * 512) : capacity * 512;
    e->compressed = flags & VMDK_COMPRESSED;
    e->zero_grains = flags & VMDK_ZERO_GRAINS;
    e->has_redundant = (flags & VMDK_REDUNDANT) && rgd;
    e->gd_at = gd * 512;
    e->rgd_at = rgd * 512;
    uint64_t per_table = e->grain * VMDK_GTES;
    e->directory_size = (e->len + per_table - 1) / per_table;
    if (!read_directory(e, e->gd_at, &e->gd, err)
        || (e->has_redundant && !read_directory(e, e->rgd_at, &e->rgd, err))) {
        return false;
    }
    e->tables = g_new0(VmdkTable *, e->directory_size + 1);
    e->end = MAX((uint64_t)node_length(e->file), ld64_le(h + M_OVERHEAD) <= UINT32_MAX
                 ? ld64_le(h + M_OVERHEAD) * 512 : 0);
    e->end = (e->end + 511) & ~511ull;
    return true;
}

/* ---- the descriptor -------------------------------------------------------------------------- */

/* name="value" or name=value of a line; NULL if the line is about something else. */
static char *value_of(const char *line, const char *name)
{
    size_t n = strlen(name);
    if (g_ascii_strncasecmp(line, name, n)) {
        return NULL;
    }
    line += n;
    line += strspn(line, " \t");
    if (*line++ != '=') {
        return NULL;
    }
    char *value = g_strstrip(g_strdup(line));
    size_t len = strlen(value);
    if (len >= 2 && value[0] == '"' && value[len - 1] == '"') {
        value[len - 1] = 0;
        memmove(value, value + 1, len - 1);
    }
    return value;
}

static bool add_extent(BlockNode *n, const char *line, Error **err)
{
    Vmdk *v = n->state;
    char access[16], type[24], name[512] = "";
    uint64_t sectors, offset = 0;
    uint8_t h[M_SIZE];
    int got = sscanf(line, "%15s %" SCNu64 " %23s \"%511[^\"]\" %" SCNu64, access, &sectors, type, name,
                     &offset);
    if (got < 3 || !sectors || sectors > INT64_MAX / 512 - v->size / 512 || offset > INT64_MAX / 1024) {
        return fail(err, "Invalid extent line: %s", line);
    }
    if (v->extents->len >= VMDK_MAX_EXTENTS) {
        return fail(err, "vmdk: more than %u extents", VMDK_MAX_EXTENTS);
    }
    VmdkExtent one = { .start = v->size, .len = sectors * 512 };
    g_array_append_val(v->extents, one);
    VmdkExtent *e = &g_array_index(v->extents, VmdkExtent, v->extents->len - 1);
    v->size += e->len;
    if (!strcmp(type, "ZERO")) {
        return true;
    }
    bool flat = !strcmp(type, "FLAT") || !strcmp(type, "VMFS");
    if (!flat && strcmp(type, "SPARSE")) {
        return fail(err, "Unsupported extent type '%s' (FLAT, SPARSE, VMFS and ZERO are supported)", type);
    }
    if (got < 4) {
        return fail(err, "Invalid extent line: %s", line);
    }
    BlockFlags flags = n->flags;
    flags.read_only |= !strcmp(access, "RDONLY");
    g_autofree char *path = node_resolve_path(n, name, "extent", err);
    e->file = path ? node_open_file(path, "file", NULL, flags, err) : NULL;
    if (!e->file) {
        return false;
    }
    e->own = true;
    n->flags.read_only |= e->file->flags.read_only;
    if (flat) {
        e->kind = EXTENT_FLAT;
        e->offset = offset * 512;
        return e->offset + e->len <= (uint64_t)node_length(e->file)
               || fail(err, "vmdk: the flat extent '%s' is shorter than the descriptor says", name);
    }
    uint64_t want = e->len;
    e->file->growable = true;
    if (!open_sparse(e, h, err)) {
        return false;
    }
    v->directories += e->directory_size;
    return (v->directories <= MAX_DIRECTORY || fail(err, "vmdk: the extents are too large together"))
           && (e->len == want || fail(err, "vmdk: the extent '%s' is shorter than the descriptor says", name));
}

/* text of a descriptor; with_extents: they are in other files. */
static bool parse_descriptor(BlockNode *n, const char *text, bool with_extents, Error **err)
{
    Vmdk *v = n->state;
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    v->parent_cid = UINT32_MAX;
    for (char **l = lines; *l; l++) {
        char *line = g_strstrip(*l);
        g_autofree char *cid = value_of(line, "CID"), *parent = value_of(line, "parentCID");
        g_autofree char *type = value_of(line, "createType");
        char *hint = value_of(line, "parentFileNameHint");
        if (cid) {
            v->cid = g_ascii_strtoull(cid, NULL, 16);
        } else if (parent) {
            v->parent_cid = g_ascii_strtoull(parent, NULL, 16);
        } else if (type && !v->create_type) {
            v->create_type = g_steal_pointer(&type);
        } else if (hint && !n->backing_file && *hint) {
            n->backing_file = g_steal_pointer(&hint);
        } else if (with_extents && (g_str_has_prefix(line, "RW ") || g_str_has_prefix(line, "RDONLY ")
                                    || g_str_has_prefix(line, "NOACCESS "))
                   && !add_extent(n, line, err)) {
            g_free(hint);
            return false;
        }
        g_free(hint);
    }
    if (v->parent_cid == UINT32_MAX) {
        g_clear_pointer(&n->backing_file, g_free);
    } else if (!n->backing_file) {
        return fail(err, "vmdk: the image has a parent but does not name it");
    }
    return v->extents->len || fail(err, "vmdk: the descriptor has no extents");
}

/* ---- opening ------------------------------------------------------------------------------------ */

static char *read_text(BlockNode *file, uint64_t at, uint64_t size, Error **err)
{
    if (at > INT64_MAX / 2 || size > MAX_DESCRIPTOR) {
        fail(err, "vmdk: the descriptor is too long");
        return NULL;
    }
    g_autofree char *text = g_malloc0(size + 1);
    int ret = node_pread(file, at, text, size);
    if (ret < 0) {
        fail_errno(err, -ret, "vmdk: could not read the descriptor");
        return NULL;
    }
    return g_steal_pointer(&text);
}

static bool load(BlockNode *n, Error **err)
{
    Vmdk *v = n->state;
    uint8_t h[M_SIZE];
    int64_t length = node_length(n->file);
    int ret = length < 0 ? length : node_pread(n->file, 0, h, MIN(length, M_SIZE));
    if (ret < 0) {
        return fail_errno(err, -ret, "vmdk: could not read the header");
    }
    if (length >= 4 && !memcmp(h, "COWD", 4)) {
        return fail(err, "vmdk: ESX sparse extents (vmfsSparse) are not supported");
    }
    if (length < 4 || ld32_le(h) != VMDK_MAGIC) {
        g_autofree char *text = read_text(n->file, 0, length, err);
        if (!text || vmdk_probe((uint8_t *)text, strlen(text), NULL) == 0) {
            return text ? fail(err, "Image not in VMDK format") : false;
        }
        return parse_descriptor(n, text, true, err);
    }
    VmdkExtent e = { .file = n->file };
    g_array_append_val(v->extents, e);
    VmdkExtent *first = &g_array_index(v->extents, VmdkExtent, 0);
    if (!open_sparse(first, h, err)) {
        return false;
    }
    v->size = first->len;
    uint64_t at = ld64_le(h + M_DESC_OFFSET), size = ld64_le(h + M_DESC_SIZE);
    if (at && size && size <= MAX_DESCRIPTOR / 512) {
        g_autofree char *text = read_text(n->file, at > UINT32_MAX ? UINT64_MAX : at * 512, size * 512, err);
        return text && parse_descriptor(n, text, false, err);
    }
    v->parent_cid = UINT32_MAX;
    return !size || fail(err, "vmdk: the descriptor is too long");
}

static void free_state(BlockNode *n)
{
    Vmdk *v = n->state;
    for (guint i = 0; i < v->extents->len; i++) {
        VmdkExtent *e = &g_array_index(v->extents, VmdkExtent, i);
        for (uint32_t k = 0; e->tables && k < e->directory_size; k++) {
            g_free(e->tables[k]);
        }
        g_free(e->tables);
        g_free(e->gd);
        g_free(e->rgd);
        if (e->own) {
            node_unref(e->file);
        }
    }
    g_array_unref(v->extents);
    g_free(v->create_type);
    g_mutex_clear(&v->lock);
}

static bool vmdk_open(BlockNode *n, Json *options, Error **err)
{
    Vmdk *v = n->state;
    n->file = node_open_child(n, options, "file", err);
    if (!n->file) {
        return false;
    }
    v->extents = g_array_new(FALSE, TRUE, sizeof(VmdkExtent));
    g_mutex_init(&v->lock);
    if (!load(n, err) || !node_open_backing(n, options, err)) {
        free_state(n);
        return false;
    }
    const VmdkExtent *e = &g_array_index(v->extents, VmdkExtent, 0);
    n->cluster_size = e->kind == EXTENT_SPARSE ? e->grain : 0;
    n->compressed_only = e->kind == EXTENT_SPARSE && e->compressed;
    return true;
}

static void vmdk_close(BlockNode *n)
{
    int ret = n->flags.read_only ? 0 : vmdk_flush(n);
    if (ret < 0) {
        error_report("'%s': the last changes could not be written: %s", node_file_name(n),
                     g_strerror(-ret));
    }
    free_state(n);
}

static int64_t vmdk_length(BlockNode *n)
{
    return ((Vmdk *)n->state)->size;
}

static Json *vmdk_info(BlockNode *n)
{
    Vmdk *v = n->state;
    Json *info = json_object(), *d = json_object(), *list = json_array();
    json_set_uint(d, "cid", v->cid);
    json_set_uint(d, "parent-cid", v->parent_cid);
    json_set_str(d, "create-type", v->create_type ? v->create_type : "");
    for (guint i = 0; i < v->extents->len; i++) {
        const VmdkExtent *e = &g_array_index(v->extents, VmdkExtent, i);
        Json *o = json_object();
        if (e->kind == EXTENT_SPARSE && e->compressed) {
            json_set_bool(o, "compressed", true);
        }
        json_set_uint(o, "virtual-size", e->len);
        json_set_str(o, "filename", e->file ? node_file_name(e->file) : "");
        if (e->kind == EXTENT_SPARSE) {
            json_set_uint(o, "cluster-size", e->grain);
        }
        json_set_str(o, "format", e->kind == EXTENT_FLAT ? "FLAT" : e->kind == EXTENT_ZERO ? "ZERO"
                                  : e->own ? "SPARSE" : "");
        json_append(list, o);
    }
    json_set(d, "extents", list);
    json_set_str(info, "type", "vmdk");
    json_set(info, "data", d);
    return info;
}

/* Every grain that a table names lies in the file, behind the tables. */
static bool vmdk_check(BlockNode *n, int fix, BlockCheck *out, GString *log, Error **err)
{
    Vmdk *v = n->state;
    *out = (BlockCheck) { 0 };
    for (uint64_t off = 0; off < v->size;) {
        BlockStatus st = { 0 };
        int ret = vmdk_status(n, off, v->size - off, &st);
        if (ret < 0) {
            if (log) {
                g_string_append_printf(log, "ERROR: could not look up offset %" PRIu64 "\n", off);
            }
            out->check_errors++;
            return true;
        }
        if (st.has_offset && st.file && st.offset >= (uint64_t)node_length(st.file)) {
            if (log && log->len < 1 << 20) {
                g_string_append_printf(log, "ERROR: the grain of offset %" PRIu64 " lies at %" PRIu64
                                       ", behind the end of the file\n", off, st.offset);
            }
            out->corruptions++;
        }
        off += st.len;
    }
    return true;
}

static BlockNode *vmdk_other_file(BlockNode *n, unsigned i)
{
    Vmdk *v = n->state;
    for (guint k = 0; k < v->extents->len; k++) {
        const VmdkExtent *e = &g_array_index(v->extents, VmdkExtent, k);
        if (e->own && !i--) {
            return e->file;
        }
    }
    return NULL;
}

static const BlockDriver vmdk_driver = {
    .name = "vmdk", .size = sizeof(Vmdk), .grows_file = true, .has_backing = true, .open = vmdk_open,
    .close = vmdk_close, .length = vmdk_length, .read = vmdk_read, .write = vmdk_write,
    .flush = vmdk_flush, .status = vmdk_status, .probe = vmdk_probe, .info = vmdk_info,
    .other_file = vmdk_other_file,
    .write_compressed = vmdk_write_compressed, .check = vmdk_check, .create = vmdk_create,
    .create_options = vmdk_create_options,
};
BLOCK_DRIVER(vmdk_driver);
