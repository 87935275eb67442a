/* SPDX-License-Identifier: MIT */
/*
 * Machine protocol: disks and their media.
 */
#include "monitor/internal.h"
#include "monitor/qmp-disks.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "block/backend.h"
#include "block/drive.h"
#include "block/reopen.h"
#include "monitor/actions.h"
#include "util/timer.h"

/* ---- queries ------------------------------------------------------------------------------------- */

static Json *snapshot_info(const BlockSnapshot *s)
{
    Json *o = json_object();
    json_set_str(o, "id", s->id);
    json_set_str(o, "name", s->name);
    json_set_uint(o, "vm-state-size", s->vm_state_size);
    json_set_uint(o, "date-sec", s->date_sec);
    json_set_uint(o, "date-nsec", s->date_nsec);
    json_set_uint(o, "vm-clock-sec", s->vm_clock_ns / 1000000000);
    json_set_uint(o, "vm-clock-nsec", s->vm_clock_ns % 1000000000);
    if (s->icount != UINT64_MAX) {
        json_set_uint(o, "icount", s->icount);
    }
    return o;
}

/* What only some formats have. */
static void add_format_info(Json *o, BlockNode *n)
{
    GPtrArray *snapshots = n->driver->snapshots ? n->driver->snapshots(n) : NULL;
    Json *special = n->driver->info ? n->driver->info(n) : NULL;
    if (n->cluster_size) {
        json_set_uint(o, "cluster-size", n->cluster_size);
    }
    if (special) {
        json_set(o, "format-specific", special);
    }
    if (n->backing_file) {
        g_autofree char *full = node_full_path(node_file_name(n), n->backing_file);
        json_set_str(o, "backing-filename", n->backing_file);
        json_set_str(o, "full-backing-filename", full);
    }
    if (n->backing_format) {
        json_set_str(o, "backing-filename-format", n->backing_format);
    }
    if (snapshots && snapshots->len) {
        Json *list = json_array();
        for (guint i = 0; i < snapshots->len; i++) {
            json_append(list, snapshot_info(snapshots->pdata[i]));
        }
        json_set(o, "snapshots", list);
    }
}

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
    add_format_info(o, n);
    if (n->backing && !n->backing_file) {
        json_set_str(o, "backing-filename", node_file_name(n->backing));
    } else if (n->backing) {
        json_set(o, "backing-image", image_info(n->backing));
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

static void add_limits(Json *o, ThrottleGroup *g)
{
    ThrottleConfig c = { 0 };
    if (g) {
        throttle_group_config(g, &c);
        json_set_str(o, "group", throttle_group_name(g));
    }
    for (int i = 0; i < LIMIT_COUNT; i++) {
        const char *name = throttle_qmp_names[i];
        json_set_uint(o, name, c.avg[i]);
        if (c.max[i]) {
            g_autofree char *max = g_strconcat(name, "_max", NULL);
            g_autofree char *length = g_strconcat(name, "_max_length", NULL);
            json_set_uint(o, max, c.max[i]);
            json_set_uint(o, length, MAX(c.length[i], 1));
        }
    }
    if (c.iops_size) {
        json_set_uint(o, "iops_size", c.iops_size);
    }
}

/* write_cache: as the device sees it; for a node alone there is always one. */
static Json *node_info(BlockNode *n, bool write_cache, ThrottleGroup *limits)
{
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
    if (n->backing) {
        json_set_str(o, "backing_file", node_file_name(n->backing));
    }
    add_limits(o, limits);
    if (n->bitmaps) {
        json_set(o, "dirty-bitmaps", bitmap_list(n));
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
        json_set(o, "inserted", node_info(blk_root(b), blk_write_cache(b), blk_throttle(b)));
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
    json_append(list, node_info(n, true, NULL));
}

static Json *cmd_nodes(const Json *args, Error **err)
{
    Json *list = json_array();
    node_foreach(add_node, list);
    return list;
}

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

/* ---- limits -------------------------------------------------------------------------------------- */

static bool limit_arg(const Json *args, const char *fmt, const char *name, uint64_t *out, Error **err)
{
    g_autofree char *key = g_strdup_printf(fmt, name);
    return json_get_uint(args, key, JSON_OPTIONAL, out, err) || !json_get(args, key);
}

static Json *cmd_set_throttle(const Json *args, Error **err)
{
    BlockBackend *b = drive_of(args, err);
    const char *group = optional_str(args, "group");
    ThrottleConfig c = { 0 };
    if (!b) {
        return NULL;
    }
    for (int i = 0; i < LIMIT_COUNT; i++) {
        const char *name = throttle_qmp_names[i];
        if (!limit_arg(args, "%s", name, &c.avg[i], err)
            || !limit_arg(args, "%s_max", name, &c.max[i], err)
            || !limit_arg(args, "%s_max_length", name, &c.length[i], err)) {
            return NULL;
        }
    }
    if (!limit_arg(args, "%s", "iops_size", &c.iops_size, err) || !throttle_config_valid(&c, err)) {
        return NULL;
    }
    if (!throttle_config_on(&c)) {
        blk_set_throttle(b, NULL);
        return NULL;
    }
    const char *own = *blk_name(b) ? blk_name(b) : optional_str(args, "id");
    ThrottleGroup *g = group ? throttle_group_get(group) : blk_throttle(b) ? blk_throttle(b)
                       : throttle_group_get(own ? own : "");
    throttle_group_set(g, &c);
    if (g != blk_throttle(b)) {
        blk_set_throttle(b, g);
    } else if (group) {
        throttle_group_unref(g);
    }
    return NULL;
}

/* ---- media --------------------------------------------------------------------------------------- */

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

/* The medium out and in by steps, as blockdev clients do: open the tray, take out, put in, close. */
static Json *cmd_open_tray(const Json *args, Error **err)
{
    BlockBackend *b = drive_of(args, err);
    if (b) {
        blk_user_tray(b, true, optional_bool(args, "force"), err);
    }
    return NULL;
}

static Json *cmd_close_tray(const Json *args, Error **err)
{
    BlockBackend *b = drive_of(args, err);
    if (b) {
        blk_user_tray(b, false, false, err);
    }
    return NULL;
}

static Json *cmd_remove_medium(const Json *args, Error **err)
{
    BlockBackend *b = monitor_find_drive(NULL, json_get(args, "id")->s, err);
    if (b) {
        blk_remove_medium(b, err);
    }
    return NULL;
}

static Json *cmd_insert_medium(const Json *args, Error **err)
{
    const char *name = json_get(args, "node-name")->s;
    BlockBackend *b = monitor_find_drive(NULL, json_get(args, "id")->s, err);
    BlockNode *n = b ? node_find(name) : NULL;
    if (n) {
        blk_insert_medium(b, n, err);
    } else if (b) {
        fail(err, "Cannot find device='' nor node-name='%s'", name);
    }
    return NULL;
}

static Json *cmd_blockdev_add(const Json *args, Error **err)
{
    char *text = json_to_string(args);
    blockdev_add(text, err);
    g_free(text);
    return NULL;
}

static Json *cmd_blockdev_reopen(const Json *args, Error **err)
{
    nodes_reopen(json_get(args, "options"), err);
    return NULL;
}

static Json *cmd_blockdev_del(const Json *args, Error **err)
{
    node_delete(json_get(args, "node-name")->s, err);
    return NULL;
}

/* ---- images -------------------------------------------------------------------------------------- */

typedef struct SlotSearch {
    BlockNode *node;
    BlockBackend *found;
} SlotSearch;

static void find_slot(BlockBackend *b, void *opaque)
{
    SlotSearch *s = opaque;
    s->found = blk_root(b) == s->node ? b : s->found;
}

static Json *cmd_block_resize(const Json *args, Error **err)
{
    const char *device = optional_str(args, "device"), *name = optional_str(args, "node-name");
    int64_t size = json_get(args, "size")->i;
    SlotSearch s = { NULL, NULL };
    if (size < 0) {
        fail(err, "Parameter 'size' expects a >0 size");
        return NULL;
    }
    if (name) {
        s.node = node_find(name);
        if (!s.node) {
            fail(err, "Cannot find device='' nor node-name='%s'", name);
            return NULL;
        }
        blk_foreach(find_slot, &s);
    } else {
        s.found = monitor_find_drive(device, NULL, err);
        if (!s.found) {
            return NULL;
        }
    }
    if (s.found) {
        blk_resize(s.found, size, err);
    } else if (s.node->job) {
        fail(err, "Node '%s' is busy", s.node->name);
    } else {
        graph_write_lock();
        node_truncate(s.node, size, PREALLOC_OFF, err);
        graph_write_unlock();
    }
    return NULL;
}

/* The node of a drive that has internal snapshots, with nothing in flight. */
static BlockNode *snapshot_node(const Json *args, Error **err)
{
    const char *device = json_get(args, "device")->s;
    BlockBackend *b = monitor_find_drive(device, NULL, err);
    BlockNode *n = b ? blk_root(b) : NULL;
    if (b && !n) {
        fail(err, "Device '%s' has no medium", device);
    } else if (n && !n->driver->snapshot_create) {
        fail(err, "Block format '%s' used by device '%s' does not support feature 'internal "
             "snapshots'", n->driver->name, device);
        n = NULL;
    }
    blk_drain_all();
    return n;
}

bool monitor_snapshot_internal(const Json *args, Error **err)
{
    const char *name = json_get(args, "name")->s;
    BlockNode *n = snapshot_node(args, err);
    if (!n) {
        return false;
    }
    int64_t now = g_get_real_time();
    BlockSnapshot s = { .name = (char *)name, .date_sec = now / 1000000, .icount = UINT64_MAX,
                        .date_nsec = now % 1000000 * 1000,
                        .vm_clock_ns = clock_ns(ORRERY_CLOCK_VIRTUAL) };
    if (!*name) {
        return fail(err, "Name is empty");
    }
    if (snapshot_find(n, name)) {
        return fail(err, "Snapshot with name '%s' already exists on device '%s'", name,
                    json_get(args, "device")->s);
    }
    if (n->job) {
        return fail(err, "Node '%s' is busy: block device is in use by block job: %s", n->name, n->job);
    }
    graph_write_lock();
    bool ok = n->driver->snapshot_create(n, &s, err);
    graph_write_unlock();
    return ok;
}

static Json *cmd_snapshot_delete_internal(const Json *args, Error **err)
{
    const char *id = optional_str(args, "id"), *name = optional_str(args, "name");
    BlockNode *n = snapshot_node(args, err);
    BlockSnapshot *s = n && (id || name) ? snapshot_find(n, id ? id : name) : NULL;
    if (!n) {
        return NULL;
    }
    if (!s || (id && strcmp(s->id, id)) || (name && strcmp(s->name, name))) {
        fail(err, id || name ? "Snapshot with id '%s' and name '%s' does not exist on device '%s'"
                             : "Name or id must be provided", id ? id : "", name ? name : "",
             json_get(args, "device")->s);
        return NULL;
    }
    Json *info = snapshot_info(s);
    g_autofree char *which = g_strdup(s->id);
    graph_write_lock();
    if (!n->driver->snapshot_delete(n, which, err)) {
        g_clear_pointer(&info, json_free);
    }
    graph_write_unlock();
    return info;
}

bool monitor_snapshot_delete(const Json *args, Error **err)
{
    Error *why = NULL;
    json_free(cmd_snapshot_delete_internal(args, &why));
    if (why) {
        g_propagate_error(err, why);
    }
    return !why;
}

static bool create_overlay(BlockNode *below, const char *file, Error **err)
{
    g_autoptr(Json) making = json_object();
    char *path = realpath(node_file_name(below), NULL);
    json_set_uint(making, "size", node_length(below));
    json_set_str(making, "backing_file", path ? path : node_file_name(below));
    json_set_str(making, "backing_fmt", below->driver->name);
    free(path);
    return node_create_image(block_driver_find("qcow2"), file, making, err);
}

BlockNode *monitor_make_overlay(const Json *args, BlockNode **below, Error **err)
{
    static const char *const modes[] = { "absolute-paths", "existing", NULL };
    const char *file = json_get(args, "snapshot-file")->s;
    const char *device = optional_str(args, "device"), *node_name = optional_str(args, "node-name");
    const char *format = optional_str(args, "format"), *mode = optional_str(args, "mode");
    const char *name = optional_str(args, "snapshot-node-name");
    BlockNode *b = device || node_name ? monitor_find_node(device ? device : node_name, err) : NULL;
    if (!b) {
        fail(device || node_name ? NULL : err, "Cannot find device='' nor node-name=''");
        return NULL;
    }
    *below = b;
    if (b->flags.read_only) {
        fail(err, "Device '%s' has no medium that can be written", device ? device : node_name);
    } else if (b->job) {
        fail(err, "Node '%s' is busy: block device is in use by block job: %s", b->name, b->job);
    } else if (format && strcmp(format, "qcow2")) {
        fail(err, "Invalid snapshot format '%s' (qcow2)", format);
    } else if (mode && !g_strv_contains(modes, mode)) {
        fail(err, "Parameter 'mode' does not accept value '%s'", mode);
    } else if ((mode && !strcmp(mode, "existing")) || create_overlay(b, file, err)) {
        Json *o = json_object(), *f = json_object();
        json_set_str(f, "driver", "file");
        json_set_str(f, "filename", file);
        json_set_str(o, "driver", "qcow2");
        json_set(o, "file", f);
        json_set(o, "backing", json_null());
        if (name) {
            json_set_str(o, "node-name", name);
        }
        BlockNode *n = node_open(o, b->flags, err);
        if (n && node_length(n) != node_length(b)) {
            fail(err, "The snapshot file's length is not that of the disk");
            node_unref(n);
            return NULL;
        }
        if (n) {
            n->named = false;           /* lives with the drive */
        }
        return n;
    }
    return NULL;
}

const QmpCommand qmp_block_commands[] = {
    { "query-block", NULL, cmd_block },
    { "query-blockstats", "query-nodes:b?", cmd_blockstats },
    { "query-named-block-nodes", "flat:b?", cmd_nodes },
    { "eject", "device:s? id:s? force:b?", cmd_eject },
    { "blockdev-change-medium", "device:s? id:s? filename:s format:s? force:b? read-only-mode:s?",
      cmd_change_medium },
    { "blockdev-open-tray", "device:s? id:s? force:b?", cmd_open_tray },
    { "blockdev-close-tray", "device:s? id:s?", cmd_close_tray },
    { "blockdev-remove-medium", "id:s", cmd_remove_medium },
    { "blockdev-insert-medium", "id:s node-name:s", cmd_insert_medium },
    { "block_set_io_throttle",
      "device:s? id:s? bps:u bps_rd:u bps_wr:u iops:u iops_rd:u iops_wr:u bps_max:u? bps_rd_max:u? "
      "bps_wr_max:u? iops_max:u? iops_rd_max:u? iops_wr_max:u? bps_max_length:u? "
      "bps_rd_max_length:u? bps_wr_max_length:u? iops_max_length:u? iops_rd_max_length:u? "
      "iops_wr_max_length:u? iops_size:u? group:s?", cmd_set_throttle },
    { "blockdev-add", "**", cmd_blockdev_add },
    { "blockdev-reopen", "options:a", cmd_blockdev_reopen },
    { "blockdev-del", "node-name:s", cmd_blockdev_del },
    { "block_resize", "device:s? node-name:s? size:i", cmd_block_resize },
    { "blockdev-snapshot-delete-internal-sync", "device:s id:s? name:s?",
      cmd_snapshot_delete_internal },
    { NULL }
};
