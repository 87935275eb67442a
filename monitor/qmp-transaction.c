/* SPDX-License-Identifier: MIT */
/*
 * Machine protocol: external snapshots, dirty bitmaps, and transactions of such steps: each is
 * prepared, and only when all could be are they carried out; else those prepared are undone.
 */
#include "monitor/internal.h"
#include "monitor/qmp-disks.h"

#include <string.h>

#include "block/backend.h"

static const char *str_arg(const Json *args, const char *key)
{
    const Json *v = json_get(args, key);
    return v && v->type == JSON_STRING ? v->s : NULL;
}

typedef struct Step {
    const struct Action *action;
    const Json *args;
    BlockNode *node, *overlay;          /* overlay: a reference if `own` */
    bool own;
    Job *job;
    JobGroup *group;                    /* its jobs end together; NULL: each alone */
} Step;

typedef struct Action {
    const char *name;
    bool (*prepare)(Step *s, Error **err);
    void (*commit)(Step *s);
    void (*undo)(Step *s);
} Action;

/* ---- snapshots ------------------------------------------------------------------------------------- */

static void find_user(BlockBackend *b, void *opaque)
{
    BlockNode **n = opaque;
    if (blk_root(b) == *n) {
        *n = NULL;
    }
}

static bool snapshot_prepare(Step *s, Error **err)
{
    s->node = monitor_find_node(str_arg(s->args, "node"), err);
    s->overlay = s->node ? monitor_node_by_name(str_arg(s->args, "overlay"), err) : NULL;
    BlockNode *unused = s->overlay;
    if (!s->overlay) {
        return false;
    }
    blk_foreach(find_user, &unused);
    if (s->overlay->backing) {
        return fail(err, "The overlay already has a backing image");
    }
    if (!s->overlay->driver->has_backing) {
        return fail(err, "The overlay does not support backing images");
    }
    if (!unused || node_contains(s->node, s->overlay)) {
        return fail(err, "The overlay is already in use");
    }
    if (s->node->job) {
        return fail(err, "Node '%s' is busy: block device is in use by block job: %s", s->node->name,
                    s->node->job);
    }
    return true;
}

/* The disk below becomes what it was at this moment: written out, then covered. */
static void snapshot_commit(Step *s)
{
    graph_write_lock();
    node_flush(s->node);
    node_set_backing(s->overlay, s->node);
    node_replace(s->node, s->overlay);
    graph_write_unlock();
    if (s->own) {
        node_unref(s->overlay);         /* the drive has its own reference */
    }
}

static bool snapshot_sync_prepare(Step *s, Error **err)
{
    s->overlay = monitor_make_overlay(s->args, &s->node, err);
    s->own = s->overlay != NULL;
    return s->own;
}

static void snapshot_sync_undo(Step *s)
{
    node_unref(s->overlay);
}

static bool internal_prepare(Step *s, Error **err)
{
    return monitor_snapshot_internal(s->args, err);
}

static void internal_undo(Step *s)
{
    monitor_snapshot_delete(s->args, NULL);
}

/* ---- backups ------------------------------------------------------------------------------------------ */

static bool blockdev_backup_prepare(Step *s, Error **err)
{
    s->job = monitor_backup(s->args, false, err);
    return s->job != NULL;
}

static bool drive_backup_prepare(Step *s, Error **err)
{
    s->job = monitor_backup(s->args, true, err);
    return s->job != NULL;
}

static void backup_commit(Step *s)
{
    if (s->group) {
        job_join(s->job, s->group);
    }
    job_start(s->job);
}

static void backup_undo(Step *s)
{
    job_drop(s->job);
}

/* ---- bitmaps -------------------------------------------------------------------------------------------- */

static DirtyBitmap *bitmap_of(Step *s, Error **err)
{
    const char *name = str_arg(s->args, "name");
    s->node = monitor_find_node(str_arg(s->args, "node"), err);
    DirtyBitmap *b = s->node ? bitmap_find(s->node, name, err) : NULL;
    return b && bitmap_usable(b, err) ? b : NULL;
}

static bool add_prepare(Step *s, Error **err)
{
    const Json *granularity = json_get(s->args, "granularity"), *disabled = json_get(s->args, "disabled");
    const Json *persistent = json_get(s->args, "persistent");
    s->node = monitor_find_node(str_arg(s->args, "node"), err);
    if (!s->node) {
        return false;
    }
    const char *name = str_arg(s->args, "name");
    graph_write_lock();
    bool ok = bitmap_add(s->node, name, granularity ? granularity->u : 0, disabled && disabled->b, err);
    if (ok && persistent && persistent->b && !bitmap_make_persistent(bitmap_find(s->node, name, NULL), err)) {
        bitmap_remove(s->node, name, NULL);
        ok = false;
    }
    graph_write_unlock();
    return ok;
}

static void remove_bitmap(Step *s)
{
    graph_write_lock();
    bitmap_remove(s->node, str_arg(s->args, "name"), NULL);
    graph_write_unlock();
}

static bool bitmap_prepare(Step *s, Error **err)
{
    return bitmap_of(s, err) != NULL;
}

static void clear_commit(Step *s)
{
    DirtyBitmap *b = bitmap_of(s, NULL);
    dirtymap_clear(b->map, 0, b->map->length);
}

static void enable_commit(Step *s)
{
    __atomic_store_n(&bitmap_of(s, NULL)->disabled, false, __ATOMIC_RELAXED);
}

static void disable_commit(Step *s)
{
    __atomic_store_n(&bitmap_of(s, NULL)->disabled, true, __ATOMIC_RELAXED);
}

/* An element of "bitmaps": a name on the target's node, or {"node", "name"}. */
static DirtyBitmap *merge_source(const Step *s, const Json *j, Error **err)
{
    BlockNode *n = s->node;
    const char *name = j->type == JSON_STRING ? j->s : str_arg(j, "name");
    if (j->type == JSON_OBJECT && str_arg(j, "node")) {
        n = monitor_find_node(str_arg(j, "node"), err);
    }
    if (!name) {
        fail(err, "Invalid parameter type for 'bitmaps', expected: names or {node, name}");
        return NULL;
    }
    return n ? bitmap_find(n, name, err) : NULL;
}

static bool merge_prepare(Step *s, Error **err)
{
    const Json *list = json_get(s->args, "bitmaps");
    const char *target = str_arg(s->args, "target");
    s->node = monitor_find_node(str_arg(s->args, "node"), err);
    DirtyBitmap *to = s->node ? bitmap_find(s->node, target, err) : NULL;
    for (guint i = 0; to && i < json_len(list); i++) {
        DirtyBitmap *from = merge_source(s, json_at(list, i), err);
        if (!from || !bitmap_usable(from, err)) {
            return false;
        }
        if (from->map->length != to->map->length) {
            return fail(err, "Bitmaps are of different sizes (destination size is %" G_GUINT64_FORMAT
                        " and source size is %" G_GUINT64_FORMAT ") and can't be merged",
                        (guint64)to->map->length, (guint64)from->map->length);
        }
    }
    return to && bitmap_usable(to, err);
}

static void merge_commit(Step *s)
{
    const Json *list = json_get(s->args, "bitmaps");
    DirtyBitmap *to = bitmap_find(s->node, str_arg(s->args, "target"), NULL);
    for (guint i = 0; i < json_len(list); i++) {
        dirtymap_merge(to->map, merge_source(s, json_at(list, i), NULL)->map);
    }
}

static bool abort_prepare(Step *s, Error **err)
{
    return fail(err, "Transaction aborted using Abort action");
}

/* ---- steps, alone and together -------------------------------------------------------- */

#define BITMAP "node:s name:s"

static const Action actions[] = {
    { "abort", abort_prepare },
    { "blockdev-snapshot", snapshot_prepare, snapshot_commit },
    { "blockdev-snapshot-sync", snapshot_sync_prepare, snapshot_commit, snapshot_sync_undo },
    { "blockdev-snapshot-internal-sync", internal_prepare, NULL, internal_undo },
    { "blockdev-backup", blockdev_backup_prepare, backup_commit, backup_undo },
    { "drive-backup", drive_backup_prepare, backup_commit, backup_undo },
    { "block-dirty-bitmap-add", add_prepare, NULL, remove_bitmap },
    { "block-dirty-bitmap-remove", bitmap_prepare, remove_bitmap },
    { "block-dirty-bitmap-clear", bitmap_prepare, clear_commit },
    { "block-dirty-bitmap-enable", bitmap_prepare, enable_commit },
    { "block-dirty-bitmap-disable", bitmap_prepare, disable_commit },
    { "block-dirty-bitmap-merge", merge_prepare, merge_commit },
};

static bool run_steps(Step *steps, guint n, Error **err)
{
    guint ready = 0;
    blk_drain_all();                    /* all at one moment of the guest's */
    while (ready < n && steps[ready].action->prepare(&steps[ready], err)) {
        ready++;
    }
    for (guint i = ready; i-- && ready < n;) {
        if (steps[i].action->undo) {
            steps[i].action->undo(&steps[i]);
        }
    }
    for (guint i = 0; i < n && ready == n; i++) {
        if (steps[i].action->commit) {
            steps[i].action->commit(&steps[i]);
        }
    }
    return ready == n;
}

static const Action *find_action(const char *name)
{
    for (size_t i = 0; i < G_N_ELEMENTS(actions); i++) {
        if (!strcmp(actions[i].name, name)) {
            return &actions[i];
        }
    }
    return NULL;
}

/* The arguments of a step are checked as those of the command of its name. */
static bool take_step(const Json *j, Step *s, Error **err)
{
    const char *type = j->type == JSON_OBJECT ? str_arg(j, "type") : NULL;
    const Json *data = type ? json_get(j, "data") : NULL;
    if (!type || !data || data->type != JSON_OBJECT) {
        return fail(err, "Parameter 'actions' expects objects with 'type' and 'data'");
    }
    *s = (Step) { .action = find_action(type), .args = data };
    if (!s->action) {
        return fail(err, "Parameter 'type' does not accept value '%s'", type);
    }
    return !strcmp(type, "abort") || qmp_check(type, data, err);
}

static Json *cmd_transaction(const Json *args, Error **err)
{
    const Json *list = json_get(args, "actions"), *properties = json_get(args, "properties");
    const char *mode = properties ? str_arg(properties, "completion-mode") : NULL;
    guint n = json_len(list);
    g_autofree Step *steps = g_new0(Step, n + 1);
    bool grouped = mode && !strcmp(mode, "grouped");
    if (mode && !grouped && strcmp(mode, "individual")) {
        fail(err, "Parameter 'completion-mode' does not accept value '%s'", mode);
        return NULL;
    }
    for (guint i = 0; i < n; i++) {
        if (!take_step(json_at(list, i), &steps[i], err)) {
            return NULL;
        }
    }
    JobGroup *group = grouped ? job_group_new() : NULL;
    for (guint i = 0; i < n; i++) {
        steps[i].group = group;
    }
    run_steps(steps, n, err);
    job_group_unref(group);
    return NULL;
}

static void alone(const char *name, const Json *args, Error **err)
{
    Step s = { .action = find_action(name), .args = args };
    run_steps(&s, 1, err);
}

#define ALONE(fn, name)                                         \
    static Json *fn(const Json *args, Error **err)              \
    {                                                           \
        alone(name, args, err);                                 \
        return NULL;                                            \
    }

ALONE(cmd_snapshot, "blockdev-snapshot")
ALONE(cmd_snapshot_sync, "blockdev-snapshot-sync")
ALONE(cmd_snapshot_internal, "blockdev-snapshot-internal-sync")
ALONE(cmd_bitmap_add, "block-dirty-bitmap-add")
ALONE(cmd_bitmap_remove, "block-dirty-bitmap-remove")
ALONE(cmd_bitmap_clear, "block-dirty-bitmap-clear")
ALONE(cmd_bitmap_enable, "block-dirty-bitmap-enable")
ALONE(cmd_bitmap_disable, "block-dirty-bitmap-disable")
ALONE(cmd_bitmap_merge, "block-dirty-bitmap-merge")

static Json *cmd_change_backing_file(const Json *args, Error **err)
{
    const char *image = str_arg(args, "image-node-name"), *file = str_arg(args, "backing-file");
    BlockNode *active = monitor_find_node(str_arg(args, "device"), err);
    BlockNode *n = active ? monitor_node_by_name(image, err) : NULL;
    if (!n) {
        return NULL;
    }
    if (!node_contains(active, n) || !n->driver->change_backing || !n->backing) {
        fail(err, "Node '%s' is not an image with a backing file in the chain of '%s'", image,
             active->name);
        return NULL;
    }
    bool was_readonly = n->flags.read_only;
    graph_write_lock();
    if (node_set_writable(n, true, err)) {
        n->driver->change_backing(n, file, n->backing->driver->name, err);
        if (was_readonly) {
            node_set_writable(n, false, NULL);
        }
    }
    graph_write_unlock();
    return NULL;
}

const QmpCommand qmp_transaction_commands[] = {
    { "transaction", "actions:a properties:o?", cmd_transaction },
    { "blockdev-snapshot", "node:s overlay:s", cmd_snapshot },
    { "blockdev-snapshot-sync",
      "device:s? node-name:s? snapshot-file:s snapshot-node-name:s? format:s? mode:s?",
      cmd_snapshot_sync },
    { "blockdev-snapshot-internal-sync", "device:s name:s", cmd_snapshot_internal },
    { "change-backing-file", "device:s image-node-name:s backing-file:s", cmd_change_backing_file },
    { "block-dirty-bitmap-add", BITMAP " granularity:u? persistent:b? disabled:b?", cmd_bitmap_add },
    { "block-dirty-bitmap-remove", BITMAP, cmd_bitmap_remove },
    { "block-dirty-bitmap-clear", BITMAP, cmd_bitmap_clear },
    { "block-dirty-bitmap-enable", BITMAP, cmd_bitmap_enable },
    { "block-dirty-bitmap-disable", BITMAP, cmd_bitmap_disable },
    { "block-dirty-bitmap-merge", "node:s target:s bitmaps:a", cmd_bitmap_merge },
    { NULL }
};
