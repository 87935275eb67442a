/* SPDX-License-Identifier: MIT */
/*
 * Machine protocol: disks and their media.
 */
#include "monitor/internal.h"

#include <string.h>
#include <sys/stat.h>

#include "block/backend.h"
#include "block/drive.h"
#include "monitor/actions.h"

/* ---- queries ------------------------------------------------------------------------------------- */

static Json *image_info(BlockNode *n)
{
    struct stat st;
    Json *o = json_object();
    json_set_uint(o, "virtual-size", node_length(n));
    json_set_str(o, "filename", node_file_name(n));
    json_set_str(o, "format", n->driver->name);
    if (!stat(node_file_name(n), &st) && S_ISREG(st.st_mode)) {
        json_set_uint(o, "actual-size", (uint64_t)st.st_blocks * 512);
    }
    if (n->backing) {
        json_set_str(o, "backing-filename", node_file_name(n->backing));
    }
    return o;
}

static unsigned backing_depth(const BlockNode *n)
{
    unsigned depth = 0;
    for (; n->backing; n = n->backing) {
        depth++;
    }
    return depth;
}

/* write_cache: as the device sees it; for a node alone there is always one. */
static Json *node_info(BlockNode *n, bool write_cache)
{
    static const char *const limits[] = { "bps", "bps_rd", "bps_wr", "iops", "iops_rd", "iops_wr" };
    static const char *const zeroes[] = { "off", "on", "unmap" };
    Json *o = json_object(), *cache = json_object();
    json_set_str(o, "node-name", n->name);
    json_set_str(o, "file", node_file_name(n));
    json_set_str(o, "drv", n->driver->name);
    json_set_bool(o, "ro", n->flags.read_only);
    json_set_bool(o, "encrypted", false);
    json_set_str(o, "detect_zeroes", zeroes[n->detect_zeroes]);
    json_set_int(o, "backing_file_depth", backing_depth(n));
    json_set_int(o, "write_threshold", 0);
    for (size_t i = 0; i < G_N_ELEMENTS(limits); i++) {
        json_set_int(o, limits[i], 0);
    }
    json_set_bool(cache, "writeback", write_cache);
    json_set_bool(cache, "direct", n->flags.direct);
    json_set_bool(cache, "no-flush", n->flags.no_flush);
    json_set(o, "cache", cache);
    json_set(o, "image", image_info(n));
    return o;
}

static void add_drive(BlockBackend *b, void *list)
{
    Json *o = json_object();
    const char *qdev = monitor_drive_device(b);
    json_set_str(o, "device", blk_name(b));
    json_set_str(o, "type", "unknown");
    json_set_bool(o, "removable", blk_removable(b));
    json_set_bool(o, "locked", blk_medium_locked(b));
    if (qdev) {
        json_set_str(o, "qdev", qdev);
    }
    if (blk_removable(b)) {
        json_set_bool(o, "tray_open", blk_tray_open(b));
    }
    if (blk_has_medium(b)) {
        json_set_str(o, "io-status", blk_io_status(b));
        json_set(o, "inserted", node_info(blk_root(b), blk_write_cache(b)));
    }
    json_append(list, o);
}

static Json *cmd_block(const Json *args, Error **err)
{
    Json *list = json_array();
    blk_foreach(add_drive, list);
    return list;
}

static Json *stats_object(const BlkStats *s)
{
    Json *stats = json_object();
    const struct {
        const char *name;
        uint64_t value;
    } rows[] = {
        { "rd_bytes", s->rd_bytes },              { "wr_bytes", s->wr_bytes },
        { "unmap_bytes", s->unmap_bytes },        { "rd_operations", s->rd_ops },
        { "wr_operations", s->wr_ops },           { "flush_operations", s->flush_ops },
        { "unmap_operations", s->unmap_ops },     { "rd_total_time_ns", s->rd_ns },
        { "wr_total_time_ns", s->wr_ns },         { "flush_total_time_ns", s->flush_ns },
        { "failed_rd_operations", s->failed_rd }, { "failed_wr_operations", s->failed_wr },
        { "invalid_rd_operations", s->invalid_rd }, { "invalid_wr_operations", s->invalid_wr },
        { "wr_highest_offset", s->wr_highest },
        /* requests are not merged, and discards and flushes not timed or counted apart */
        { "rd_merged", 0 }, { "wr_merged", 0 }, { "unmap_merged", 0 }, { "unmap_total_time_ns", 0 },
        { "failed_flush_operations", 0 }, { "failed_unmap_operations", 0 },
        { "invalid_flush_operations", 0 }, { "invalid_unmap_operations", 0 },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        json_set_uint(stats, rows[i].name, rows[i].value);
    }
    json_set_bool(stats, "account_invalid", true);
    json_set_bool(stats, "account_failed", true);
    json_set(stats, "timed_stats", json_array());
    return stats;
}

static void add_stats(BlockBackend *b, void *list)
{
    Json *o = json_object();
    const char *qdev = monitor_drive_device(b);
    json_set_str(o, "device", blk_name(b));
    if (qdev) {
        json_set_str(o, "qdev", qdev);
    }
    if (blk_root(b)) {
        json_set_str(o, "node-name", blk_root(b)->name);
    }
    json_set(o, "stats", stats_object(blk_stats(b)));
    json_append(list, o);
}

/* Requests are counted at the drives; of a node only the furthest write of its drive is known. */
typedef struct NodeStats {
    const BlockNode *node;
    BlkStats stats;
} NodeStats;

static void find_highest(BlockBackend *b, void *opaque)
{
    NodeStats *s = opaque;
    for (const BlockNode *n = blk_root(b); n; n = n->file) {
        if (n == s->node) {
            s->stats.wr_highest = blk_stats(b)->wr_highest;
        }
    }
}

static void add_node_stats(BlockNode *n, void *list)
{
    NodeStats s = { .node = n };
    Json *o = json_object();
    blk_foreach(find_highest, &s);
    json_set_str(o, "node-name", n->name);
    json_set(o, "stats", stats_object(&s.stats));
    json_append(list, o);
}

static Json *cmd_blockstats(const Json *args, Error **err)
{
    const Json *nodes = json_get(args, "query-nodes");
    Json *list = json_array();
    if (nodes && nodes->b) {
        node_foreach(add_node_stats, list);
    } else {
        blk_foreach(add_stats, list);
    }
    return list;
}

static void add_node(BlockNode *n, void *list)
{
    json_append(list, node_info(n, true));
}

static Json *cmd_nodes(const Json *args, Error **err)
{
    Json *list = json_array();
    node_foreach(add_node, list);
    return list;
}

/* ---- media --------------------------------------------------------------------------------------- */

static const char *optional_str(const Json *args, const char *key)
{
    const Json *v = json_get(args, key);
    return v ? v->s : NULL;
}

static bool optional_bool(const Json *args, const char *key)
{
    const Json *v = json_get(args, key);
    return v && v->b;
}

static BlockBackend *drive_of(const Json *args, Error **err)
{
    return monitor_find_drive(optional_str(args, "device"), optional_str(args, "id"), err);
}

static Json *cmd_eject(const Json *args, Error **err)
{
    BlockBackend *b = drive_of(args, err);
    if (b) {
        blk_user_eject(b, optional_bool(args, "force"), err);
    }
    return NULL;
}

static Json *cmd_change_medium(const Json *args, Error **err)
{
    static const char *const modes[] = { "retain", "read-only", "read-write", NULL };
    BlockBackend *b = drive_of(args, err);
    const char *mode = optional_str(args, "read-only-mode");
    int readonly = -1;
    if (!b) {
        return NULL;
    }
    if (mode && !g_strv_contains(modes, mode)) {
        fail(err, "Parameter 'read-only-mode' does not accept value '%s'", mode);
        return NULL;
    }
    if (mode && strcmp(mode, "retain")) {
        readonly = !strcmp(mode, "read-only");
    }
    blk_change_medium(b, json_get(args, "filename")->s, optional_str(args, "format"), readonly,
                      optional_bool(args, "force"), err);
    return NULL;
}

static Json *cmd_blockdev_add(const Json *args, Error **err)
{
    char *text = json_to_string(args);
    blockdev_add(text, err);
    g_free(text);
    return NULL;
}

static Json *cmd_blockdev_del(const Json *args, Error **err)
{
    node_delete(json_get(args, "node-name")->s, err);
    return NULL;
}

const QmpCommand qmp_block_commands[] = {
    { "query-block", NULL, cmd_block },
    { "query-blockstats", "query-nodes:b?", cmd_blockstats },
    { "query-named-block-nodes", "flat:b?", cmd_nodes },
    { "eject", "device:s? id:s? force:b?", cmd_eject },
    { "blockdev-change-medium", "device:s? id:s? filename:s format:s? force:b? read-only-mode:s?",
      cmd_change_medium },
    { "blockdev-add", "**", cmd_blockdev_add },
    { "blockdev-del", "node-name:s", cmd_blockdev_del },
    { NULL }
};
