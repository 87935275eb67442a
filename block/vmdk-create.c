/* SPDX-License-Identifier: MIT */
/*
 * vmdk: making images.  In one file (monolithicSparse, streamOptimized):
 *
 *   header · descriptor · redundant directory and tables · directory and tables · grains
 *
 * or a descriptor alone and extents beside it, NAME-flat.vmdk (monolithicFlat), NAME-f001.vmdk ...
 * (twoGbMaxExtentFlat) and NAME-s001.vmdk ... (twoGbMaxExtentSparse).
 */
#include "block/vmdk.h"
#include "util/bits.h"

#include <inttypes.h>
#include <string.h>

#define GRAIN_SECTORS 128u
#define DESC_SECTORS  20u
#define SPLIT         (2ull << 30)      /* bytes of an extent of the twoGb kinds */

const BlockCreateOption vmdk_create_options[] = {
    { "adapter_type", "str", NULL, "Virtual adapter type, can be one of ide (default), lsilogic, "
      "buslogic or legacyESX" },
    { "backing_file", "str", NULL, "File name of a base image" },
    { "backing_fmt", "str", NULL, "Must be 'vmdk' if present" },
    { "compat6", "bool", "off", "VMDK version 6 image" },
    { "hwversion", "str", "undefined", "VMDK hardware version" },
    { "size", "size", NULL, "Virtual disk size" },
    { "subformat", "str", NULL, "VMDK flat extent format, can be one of {monolithicSparse (default) | "
      "monolithicFlat | twoGbMaxExtentSparse | twoGbMaxExtentFlat | streamOptimized} " },
    { "toolsversion", "str", NULL, "VMware guest tools version" },
    { "zeroed_grain", "bool", NULL, "Enable efficient zero writes using the zeroed-grain GTE feature" },
    { NULL }
};

typedef struct Making {
    uint64_t size;
    char *adapter, *backing_file, *backing_fmt, *hwversion, *subformat, *tools;
    bool compat6, zero_grains, stream, flat, split;
} Making;

static void free_making(Making *m)
{
    g_free(m->adapter);
    g_free(m->backing_file);
    g_free(m->backing_fmt);
    g_free(m->hwversion);
    g_free(m->subformat);
    g_free(m->tools);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Making, free_making)

static bool take_all(Making *m, Json *o, Error **err)
{
    static const char *const adapters[] = { "ide", "lsilogic", "buslogic", "legacyESX", NULL };
    static const char *const subformats[] = { "monolithicSparse", "monolithicFlat", "twoGbMaxExtentSparse",
                                              "twoGbMaxExtentFlat", "streamOptimized", NULL };
    if (!block_take_uint(o, "size", &m->size, err) || !block_take_str(o, "adapter_type", &m->adapter, err)
        || !block_take_str(o, "backing_file", &m->backing_file, err)
        || !block_take_str(o, "backing_fmt", &m->backing_fmt, err)
        || !block_take_str(o, "hwversion", &m->hwversion, err)
        || !block_take_str(o, "subformat", &m->subformat, err)
        || !block_take_str(o, "toolsversion", &m->tools, err)
        || !block_take_bool(o, "compat6", &m->compat6, err)
        || !block_take_bool(o, "zeroed_grain", &m->zero_grains, err)) {
        return false;
    }
    m->subformat = m->subformat ? m->subformat : g_strdup("monolithicSparse");
    if (!g_strv_contains(subformats, m->subformat)) {
        g_autofree char *all = g_strjoinv(", ", (char **)subformats);
        return fail(err, "subformat '%s' is none of: %s", m->subformat, all);
    }
    m->stream = !strcmp(m->subformat, "streamOptimized");
    m->flat = g_str_has_suffix(m->subformat, "Flat");
    m->split = g_str_has_prefix(m->subformat, "twoGb");
    if (m->adapter && !g_strv_contains(adapters, m->adapter)) {
        return fail(err, "Unknown adapter type: %s", m->adapter);
    }
    if (m->backing_file && m->backing_fmt && strcmp(m->backing_fmt, "vmdk")) {
        return fail(err, "backing_file must be a vmdk image");
    }
    if (m->backing_file && (m->stream || m->flat)) {
        return fail(err, "an image of subformat %s can't have a backing file", m->subformat);
    }
    if (m->flat && m->zero_grains) {
        return fail(err, "Flat image can't enable zeroed grain");
    }
    m->size = (m->size + BLK_SECTOR - 1) / BLK_SECTOR * BLK_SECTOR;
    if ((m->flat || m->split) && !m->size) {
        return fail(err, "an image of subformat %s can't be empty", m->subformat);
    }
    if (m->size > SPLIT * VMDK_MAX_EXTENTS && m->split) {
        return fail(err, "an image of subformat %s is at most %llu GiB long", m->subformat,
                    (SPLIT * VMDK_MAX_EXTENTS) >> 30);
    }
    return m->size <= 2ull << 40 || m->flat || m->split
           || fail(err, "the size of a vmdk extent is at most 2 TiB");
}

/* The parent's CID stands in the image above it. */
static bool parent_cid(const char *filename, const char *backing, uint32_t *cid, Error **err)
{
    g_autofree char *path = node_full_path(filename, backing);
    BlockNode *n = node_open_file(path, "vmdk", NULL, (BlockFlags) { .read_only = true }, err);
    if (n) {
        *cid = ((Vmdk *)n->state)->cid;
        node_unref(n);
    }
    return n != NULL;
}

/* The text; extents: its lines about them. */
static char *descriptor(const Making *m, uint32_t parent, const char *extents)
{
    bool scsi = m->adapter && strcmp(m->adapter, "ide");
    g_autofree char *hint = m->backing_file
        ? g_strdup_printf("parentFileNameHint=\"%s\"\n", m->backing_file) : g_strdup("");
    uint64_t sectors = m->size / 512, heads = scsi ? 255 : 16;
    return g_strdup_printf(
        "# Disk DescriptorFile\nversion=1\nCID=%08x\nparentCID=%08x\ncreateType=\"%s\"\n%s\n"
        "# Extent description\n%s\n"
        "# The Disk Data Base\n#DDB\n\nddb.virtualHWVersion = \"%s\"\n"
        "ddb.geometry.cylinders = \"%" PRIu64 "\"\nddb.geometry.heads = \"%" PRIu64 "\"\n"
        "ddb.geometry.sectors = \"63\"\nddb.adapterType = \"%s\"\nddb.toolsVersion = \"%s\"\n",
        g_random_int() & 0xfffffffe, parent, m->subformat, hint, extents,
        m->hwversion && strcmp(m->hwversion, "undefined") ? m->hwversion : m->compat6 ? "6" : "4",
        sectors / (63 * heads), heads, m->adapter ? m->adapter : "ide",
        m->tools ? m->tools : "2147483647");
}

/* ---- sparse files --------------------------------------------------------------------------- */

/* A directory and its tables, one after the other. */
static int write_tables(BlockNode *file, uint64_t at, uint32_t tables, uint64_t directory_sectors)
{
    g_autofree uint32_t *directory = g_malloc0(directory_sectors * 512);
    for (uint32_t i = 0; i < tables; i++) {
        st32_le(&directory[i], at + directory_sectors + i * (VMDK_GTES * 4 / 512));
    }
    int ret = node_pwrite(file, at * 512, directory, directory_sectors * 512);
    uint64_t bytes = tables * (uint64_t)VMDK_GTES * 4;
    return ret || !bytes ? ret : node_write_zeroes(file, (at + directory_sectors) * 512, bytes, true);
}

/* Where the parts of a sparse file are, in sectors. */
typedef struct Layout {
    uint64_t sectors, directory, rgd, gd, overhead;
    uint32_t tables;
} Layout;

static Layout lay_out(uint64_t sectors)
{
    Layout l = { .sectors = sectors, .rgd = 1 + DESC_SECTORS };
    uint64_t per_table = (uint64_t)GRAIN_SECTORS * VMDK_GTES;
    l.tables = (sectors + per_table - 1) / per_table;
    l.directory = (l.tables * 4ull + 511) / 512;
    uint64_t one = l.directory + l.tables * (VMDK_GTES * 4 / 512);
    l.gd = l.rgd + one;
    l.overhead = (l.gd + one + GRAIN_SECTORS - 1) / GRAIN_SECTORS * GRAIN_SECTORS;
    return l;
}

static void fill_header(uint8_t *h, const Making *m, const Layout *l, bool has_text)
{
    st32_le(h + M_MAGIC, VMDK_MAGIC);
    st32_le(h + M_VERSION, m->stream ? 3 : m->zero_grains ? 2 : 1);
    st32_le(h + M_FLAGS, VMDK_NEWLINES | VMDK_REDUNDANT | (m->zero_grains ? VMDK_ZERO_GRAINS : 0)
            | (m->stream ? VMDK_COMPRESSED | VMDK_MARKERS : 0));
    st64_le(h + M_CAPACITY, l->sectors);
    st64_le(h + M_GRAIN, GRAIN_SECTORS);
    st64_le(h + M_DESC_OFFSET, has_text);
    st64_le(h + M_DESC_SIZE, has_text ? DESC_SECTORS : 0);
    st32_le(h + M_GTES, VMDK_GTES);
    st64_le(h + M_RGD, l->rgd);
    st64_le(h + M_GD, l->gd);
    st64_le(h + M_OVERHEAD, l->overhead);
    memcpy(h + M_LINES, "\n \r\n", 4);
    st16_le(h + M_COMPRESS, m->stream);
}

/* text: the descriptor; NULL: it is elsewhere. */
static bool fill_sparse(BlockNode *file, const Making *m, uint64_t sectors, const char *text, Error **err)
{
    Layout l = lay_out(sectors);
    uint8_t h[M_SIZE] = { 0 };
    g_autofree char *padded = g_malloc0(DESC_SECTORS * 512);
    fill_header(h, m, &l, text);
    memcpy(padded, text ? text : "", text ? strlen(text) : 0);
    int ret = write_tables(file, l.rgd, l.tables, l.directory);
    ret = ret ? ret : write_tables(file, l.gd, l.tables, l.directory);
    ret = ret ? ret : node_pwrite(file, 512, padded, DESC_SECTORS * 512);
    ret = ret ? ret : node_pwrite(file, 0, h, sizeof(h));
    bool ok = !ret && node_truncate(file, l.overhead * 512, PREALLOC_OFF, err);
    ret = ret ? ret : node_flush(file);
    return ret ? fail_errno(err, -ret, "Could not write '%s'", node_file_name(file)) : ok;
}

/* ---- whole images --------------------------------------------------------------------------- */

static bool in_one_file(const char *filename, const Making *m, uint32_t parent, Json *options, Error **err)
{
    g_autofree char *name = g_path_get_basename(*filename ? filename : "disk.vmdk");
    g_autofree char *line = g_strdup_printf("RW %" PRIu64 " SPARSE \"%s\"\n", m->size / 512, name);
    g_autofree char *text = descriptor(m, parent, line);
    if (strlen(text) > DESC_SECTORS * 512) {
        return fail(err, "the names don't fit into the descriptor");
    }
    BlockNode *file = node_create_file(filename, options, err);
    bool ok = file && fill_sparse(file, m, m->size / 512, text, err);
    node_unref(file);
    return ok;
}

/* disk.vmdk -> disk-f003.vmdk */
static char *extent_name(const char *filename, const Making *m, unsigned i)
{
    const char *slash = strrchr(filename, '/'), *dot = strrchr(filename, '.');
    size_t stem = dot && dot > (slash ? slash : filename) ? (size_t)(dot - filename) : strlen(filename);
    g_autofree char *middle = m->split ? g_strdup_printf("-%c%03u", m->flat ? 'f' : 's', i + 1)
                                       : g_strdup("-flat");
    return g_strdup_printf("%.*s%s%s", (int)stem, filename, middle, filename + stem);
}

static bool make_extent(const char *path, const Making *m, uint64_t len, Error **err)
{
    g_autoptr(Json) none = json_object();
    BlockNode *file = node_create_file(path, none, err);
    bool ok = file && (m->flat ? node_truncate(file, len, PREALLOC_OFF, err)
                               : fill_sparse(file, m, len / 512, NULL, err));
    node_unref(file);
    return ok;
}

static bool in_extents(const char *filename, const Making *m, uint32_t parent, Json *options, Error **err)
{
    g_autoptr(GString) lines = g_string_new(NULL);
    if (!*filename || json_get(options, "file")) {
        return fail(err, "an image of subformat %s is made by its file name, not in a node", m->subformat);
    }
    for (uint64_t at = 0, i = 0, len; at < m->size; at += len, i++) {
        len = m->split ? MIN(m->size - at, SPLIT) : m->size;
        g_autofree char *path = extent_name(filename, m, i), *name = g_path_get_basename(path);
        if (!make_extent(path, m, len, err)) {
            return false;
        }
        g_string_append_printf(lines, "RW %" PRIu64 " %s \"%s\"%s\n", len / 512,
                               m->flat ? "FLAT" : "SPARSE", name, m->flat ? " 0" : "");
    }
    g_autofree char *text = descriptor(m, parent, lines->str);
    BlockNode *file = node_create_file(filename, options, err);
    if (!file) {
        return false;
    }
    int ret = node_pwrite(file, 0, text, strlen(text));
    ret = ret ? ret : node_flush(file);
    node_unref(file);
    return !ret || fail_errno(err, -ret, "Could not write '%s'", filename);
}

bool vmdk_create(const char *filename, Json *options, Error **err)
{
    g_auto(Making) m = { 0 };
    uint32_t parent = UINT32_MAX;
    if (!take_all(&m, options, err)
        || (m.backing_file && !parent_cid(filename, m.backing_file, &parent, err))) {
        return false;
    }
    return m.flat || m.split ? in_extents(filename, &m, parent, options, err)
                             : in_one_file(filename, &m, parent, options, err);
}
