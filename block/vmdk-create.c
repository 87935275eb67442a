/* SPDX-License-Identifier: MIT */
/*
 * vmdk: making images, in one file: monolithicSparse and streamOptimized.
 *
 *   header · descriptor · redundant directory and tables · directory and tables · grains
 */
#include "block/vmdk.h"
#include "util/bits.h"

#include <inttypes.h>
#include <string.h>

#define GRAIN_SECTORS 128u
#define DESC_SECTORS  20u

const BlockCreateOption vmdk_create_options[] = {
    { "adapter_type", "str", NULL, "Virtual adapter type, can be one of ide (default), lsilogic, "
      "buslogic or legacyESX" },
    { "backing_file", "str", NULL, "File name of a base image" },
    { "backing_fmt", "str", NULL, "Must be 'vmdk' if present" },
    { "compat6", "bool", "off", "VMDK version 6 image" },
    { "hwversion", "str", "undefined", "VMDK hardware version" },
    { "size", "size", NULL, "Virtual disk size" },
    { "subformat", "str", NULL, "VMDK flat extent format, can be one of {monolithicSparse (default) | "
      "streamOptimized}" },
    { "zeroed_grain", "bool", NULL, "Enable efficient zero writes using the zeroed-grain GTE feature" },
    { NULL }
};

typedef struct Making {
    uint64_t size;
    char *adapter, *backing_file, *backing_fmt, *hwversion, *subformat;
    bool compat6, zero_grains, stream;
} Making;

static void free_making(Making *m)
{
    g_free(m->adapter);
    g_free(m->backing_file);
    g_free(m->backing_fmt);
    g_free(m->hwversion);
    g_free(m->subformat);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Making, free_making)

static bool take_all(Making *m, Json *o, Error **err)
{
    static const char *const adapters[] = { "ide", "lsilogic", "buslogic", "legacyESX", NULL };
    if (!block_take_uint(o, "size", &m->size, err) || !block_take_str(o, "adapter_type", &m->adapter, err)
        || !block_take_str(o, "backing_file", &m->backing_file, err)
        || !block_take_str(o, "backing_fmt", &m->backing_fmt, err)
        || !block_take_str(o, "hwversion", &m->hwversion, err)
        || !block_take_str(o, "subformat", &m->subformat, err)
        || !block_take_bool(o, "compat6", &m->compat6, err)
        || !block_take_bool(o, "zeroed_grain", &m->zero_grains, err)) {
        return false;
    }
    m->stream = m->subformat && !strcmp(m->subformat, "streamOptimized");
    if (m->subformat && !m->stream && strcmp(m->subformat, "monolithicSparse")) {
        return fail(err, "subformat '%s' can't be made (monolithicSparse and streamOptimized can)",
                    m->subformat);
    }
    if (m->adapter && !g_strv_contains(adapters, m->adapter)) {
        return fail(err, "Unknown adapter type: %s", m->adapter);
    }
    if (m->backing_file && m->backing_fmt && strcmp(m->backing_fmt, "vmdk")) {
        return fail(err, "backing_file must be a vmdk image");
    }
    if (m->backing_file && m->stream) {
        return fail(err, "a stream-optimised image can't have a backing file");
    }
    m->size = (m->size + BLK_SECTOR - 1) / BLK_SECTOR * BLK_SECTOR;
    return m->size <= 2ull << 40 || fail(err, "the size of a vmdk extent is at most 2 TiB");
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

static char *descriptor(const char *filename, const Making *m, uint32_t parent)
{
    g_autofree char *name = g_path_get_basename(*filename ? filename : "disk.vmdk");
    bool scsi = m->adapter && strcmp(m->adapter, "ide");
    g_autofree char *hint = m->backing_file
        ? g_strdup_printf("parentFileNameHint=\"%s\"\n", m->backing_file) : g_strdup("");
    uint64_t sectors = m->size / 512, heads = scsi ? 255 : 16;
    return g_strdup_printf(
        "# Disk DescriptorFile\nversion=1\nCID=%08x\nparentCID=%08x\ncreateType=\"%s\"\n%s\n"
        "# Extent description\nRW %" PRIu64 " SPARSE \"%s\"\n\n"
        "# The Disk Data Base\n#DDB\n\nddb.virtualHWVersion = \"%s\"\n"
        "ddb.geometry.cylinders = \"%" PRIu64 "\"\nddb.geometry.heads = \"%" PRIu64 "\"\n"
        "ddb.geometry.sectors = \"63\"\nddb.adapterType = \"%s\"\n",
        g_random_int() & 0xfffffffe, parent, m->stream ? "streamOptimized" : "monolithicSparse", hint,
        sectors, name, m->hwversion && strcmp(m->hwversion, "undefined") ? m->hwversion
                       : m->compat6 ? "6" : "4",
        sectors / (63 * heads), heads, m->adapter ? m->adapter : "ide");
}

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

bool vmdk_create(const char *filename, Json *options, Error **err)
{
    g_auto(Making) m = { 0 };
    uint32_t parent = UINT32_MAX;
    if (!take_all(&m, options, err)
        || (m.backing_file && !parent_cid(filename, m.backing_file, &parent, err))) {
        return false;
    }
    g_autofree char *text = descriptor(filename, &m, parent);
    if (strlen(text) > DESC_SECTORS * 512) {
        return fail(err, "the names don't fit into the descriptor");
    }
    uint64_t per_table = (uint64_t)GRAIN_SECTORS * VMDK_GTES, sectors = m.size / 512;
    uint32_t tables = (sectors + per_table - 1) / per_table;
    uint64_t directory = (tables * 4ull + 511) / 512, one = directory + tables * (VMDK_GTES * 4 / 512);
    uint64_t rgd = 1 + DESC_SECTORS, gd = rgd + one;
    uint64_t overhead = (gd + one + GRAIN_SECTORS - 1) / GRAIN_SECTORS * GRAIN_SECTORS;
    uint8_t h[M_SIZE] = { 0 };
    st32_le(h + M_MAGIC, VMDK_MAGIC);
    st32_le(h + M_VERSION, m.stream ? 3 : m.zero_grains ? 2 : 1);
    st32_le(h + M_FLAGS, VMDK_NEWLINES | VMDK_REDUNDANT | (m.zero_grains ? VMDK_ZERO_GRAINS : 0)
            | (m.stream ? VMDK_COMPRESSED | VMDK_MARKERS : 0));
    st64_le(h + M_CAPACITY, sectors);
    st64_le(h + M_GRAIN, GRAIN_SECTORS);
    st64_le(h + M_DESC_OFFSET, 1);
    st64_le(h + M_DESC_SIZE, DESC_SECTORS);
    st32_le(h + M_GTES, VMDK_GTES);
    st64_le(h + M_RGD, rgd);
    st64_le(h + M_GD, gd);
    st64_le(h + M_OVERHEAD, overhead);
    memcpy(h + M_LINES, "\n \r\n", 4);
    st16_le(h + M_COMPRESS, m.stream);
    BlockNode *file = node_create_file(filename, options, err);
    if (!file) {
        return false;
    }
    g_autofree char *padded = g_malloc0(DESC_SECTORS * 512);
    memcpy(padded, text, strlen(text));
    int ret = write_tables(file, rgd, tables, directory);
    ret = ret ? ret : write_tables(file, gd, tables, directory);
    ret = ret ? ret : node_pwrite(file, 512, padded, DESC_SECTORS * 512);
    ret = ret ? ret : node_pwrite(file, 0, h, sizeof(h));
    bool ok = !ret && node_truncate(file, overhead * 512, PREALLOC_OFF, err);
    ret = ret ? ret : node_flush(file);
    node_unref(file);
    return ret ? fail_errno(err, -ret, "Could not write '%s'", filename) : ok;
}
