/* SPDX-License-Identifier: MIT */
/*
 * Machine protocol: jobs on disks - starting, steering, asking.
 */
#include "monitor/internal.h"
#include "monitor/qmp-disks.h"

#include <stdlib.h>
#include <string.h>

#include "block/backend.h"
#include "monitor/actions.h"

/* ---- arguments ------------------------------------------------------------------------------------ */

static const char *str_arg(const Json *args, const char *key)
{
    const Json *v = json_get(args, key);
    return v && v->type == JSON_STRING ? v->s : NULL;
}

static uint64_t uint_arg(const Json *args, const char *key)
{
    const Json *v = json_get(args, key);
    return v && (v->type == JSON_INT || v->type == JSON_UINT) ? v->u : 0;
}

static bool bool_arg(const Json *args, const char *key, bool def)
{
    const Json *v = json_get(args, key);
    return v && v->type == JSON_BOOL ? v->b : def;
}

static bool choice_arg(const Json *args, const char *key, const char *const *names, int *out, Error **err)
{
    const char *text = str_arg(args, key);
    for (int i = 0; text && names[i]; i++) {
        if (!strcmp(names[i], text)) {
            *out = i;
            return true;
        }
    }
    return !text || fail(err, "Parameter '%s' does not accept value '%s'", key, text);
}

BlockNode *monitor_find_node(const char *device, Error **err)
{
    BlockNode *n = node_find(device);
    if (n) {
        return n;
    }
    BlockBackend *b = monitor_find_drive(device, NULL, NULL);
    if (b && blk_root(b)) {
        return blk_root(b);
    }
    b ? fail(err, "Device '%s' has no medium", device)
      : fail(err, "Cannot find device='%s' nor node-name='%s'", device, device);
    return NULL;
}

BlockNode *monitor_node_by_name(const char *name, Error **err)
{
    BlockNode *n = node_find(name);
    if (!n) {
        fail(err, "Cannot find device='' nor node-name='%s'", name);
    }
    return n;
}

/* What all jobs take.  The id is borrowed from args. */
static bool job_options(const Json *args, JobOptions *o, Error **err)
{
    int both = JOB_ERROR_REPORT, source, target;
    const char *device = str_arg(args, "device");
    if (!choice_arg(args, "on-error", job_on_error_names, &both, err)) {
        return false;
    }
    source = target = both;
    if (!choice_arg(args, "on-source-error", job_on_error_names, &source, err)
        || !choice_arg(args, "on-target-error", job_on_error_names, &target, err)) {
        return false;
    }
    *o = (JobOptions) { .id = (char *)str_arg(args, "job-id"), .speed = uint_arg(args, "speed"),
                        .manual_finalize = !bool_arg(args, "auto-finalize", true),
                        .manual_dismiss = !bool_arg(args, "auto-dismiss", true),
                        .on_source_error = source, .on_target_error = target };
    if (!o->id) {
        if (!device || !blk_find_named(device)) {
            return fail(err, "An explicit job ID is required for this node");
        }
        o->id = (char *)device;
    }
    return true;
}

static Json *started(Job *j)
{
    if (j) {
        job_start(j);
    }
    return NULL;
}

/* ---- mirror ----------------------------------------------------------------------------------------- */

static bool mirror_options(const Json *args, MirrorOptions *m, Error **err)
{
    static const char *const copy_modes[] = { "background", "write-blocking", NULL };
    const char *replaces = str_arg(args, "replaces");
    int sync = 0, copy_mode = 0;
    if (!choice_arg(args, "sync", job_sync_names, &sync, err)
        || !choice_arg(args, "copy-mode", copy_modes, &copy_mode, err)) {
        return false;
    }
    if (sync > SYNC_NONE) {
        return fail(err, "Sync mode '%s' not supported", job_sync_names[sync]);
    }
    if (replaces && !(m->replaces = node_find(replaces))) {
        return fail(err, "Failed to find node with node-name='%s'", replaces);
    }
    m->sync = sync == SYNC_TOP && !m->source->backing ? SYNC_FULL : sync;
    m->blocking = copy_mode == 1;
    m->granularity = uint_arg(args, "granularity");
    m->buf_size = uint_arg(args, "buf-size");
    return true;
}

static Json *cmd_blockdev_mirror(const Json *args, Error **err)
{
    JobOptions o;
    MirrorOptions m = { .source = monitor_find_node(str_arg(args, "device"), err) };
    m.target = m.source ? monitor_node_by_name(str_arg(args, "target"), err) : NULL;
    if (!m.target || !mirror_options(args, &m, err) || !job_options(args, &o, err)) {
        return NULL;
    }
    return started(job_mirror(&o, &m, err));
}

/* The target file of drive-mirror and drive-backup: made (over backing, if not NULL) or existing;
 * a reference. */
static BlockNode *open_target(const Json *args, BlockNode *source, BlockNode *backing, Error **err)
{
    static const char *const modes[] = { "absolute-paths", "existing", NULL };
    const char *file = str_arg(args, "target"), *format = str_arg(args, "format");
    int mode = 0;
    if (!choice_arg(args, "mode", modes, &mode, err)) {
        return NULL;
    }
    if (!format && mode == 0) {
        format = source->driver->protocol ? "raw" : source->driver->name;
    }
    const BlockDriver *d = format ? block_driver_find(format) : NULL;
    if (format && !d) {
        fail(err, "Unknown driver '%s'", format);
        return NULL;
    }
    if (mode == 0) {
        g_autoptr(Json) making = json_object();
        json_set_uint(making, "size", node_length(source));
        if (backing && d->has_backing) {
            char *path = realpath(node_file_name(backing), NULL);
            json_set_str(making, "backing_file", path ? path : node_file_name(backing));
            json_set_str(making, "backing_fmt", backing->driver->name);
            free(path);
        }
        if (!node_create_image(d, file, making, err)) {
            return NULL;
        }
    }
    g_autoptr(Json) o = json_object();
    if (str_arg(args, "node-name")) {
        json_set_str(o, "node-name", str_arg(args, "node-name"));
    }
    if (d && d->has_backing && (backing || mode == 0)) {
        json_set(o, "backing", json_null());
    }
    BlockFlags flags = source->flags;
    flags.read_only = flags.auto_read_only = false;
    flags.unmap = bool_arg(args, "unmap", true);
    BlockNode *n = node_open_file(file, format, g_steal_pointer(&o), flags, err);
    if (n) {
        n->named = false;               /* lives with the job, then with the drive */
    }
    return n;
}

static Json *cmd_drive_mirror(const Json *args, Error **err)
{
    JobOptions o;
    MirrorOptions m = { .source = monitor_find_node(str_arg(args, "device"), err) };
    if (!m.source || !mirror_options(args, &m, err) || !job_options(args, &o, err)) {
        return NULL;
    }
    m.backing = m.sync == SYNC_NONE ? m.source : m.sync == SYNC_TOP ? m.source->backing : NULL;
    m.target = open_target(args, m.source, m.backing, err);
    if (!m.target) {
        return NULL;
    }
    if (!m.target->driver->has_backing) {
        m.backing = NULL;
    }
    Job *j = job_mirror(&o, &m, err);
    node_unref(m.target);
    return started(j);
}

/* ---- backup ------------------------------------------------------------------------------------------ */

/* file: "target" names a file, not a node. */
Job *monitor_backup(const Json *args, bool file, Error **err)
{
    static const char *const bitmap_modes[] = { "on-success", "never", "always", NULL };
    JobOptions o;
    BackupOptions b = { .source = monitor_find_node(str_arg(args, "device"), err) };
    const char *bitmap = str_arg(args, "bitmap");
    int sync = 0;
    if (!b.source || !choice_arg(args, "sync", job_sync_names, &sync, err)
        || !choice_arg(args, "bitmap-mode", bitmap_modes, &b.bitmap_mode, err)
        || !job_options(args, &o, err)) {
        return NULL;
    }
    b.sync = sync;
    b.compress = bool_arg(args, "compress", false);
    if (bitmap && !(b.bitmap = bitmap_find(b.source, bitmap, err))) {
        return NULL;
    }
    BlockNode *backing = sync == SYNC_TOP ? b.source->backing : sync == SYNC_NONE ? b.source : NULL;
    b.target = file ? open_target(args, b.source, backing, err)
                    : monitor_node_by_name(str_arg(args, "target"), err);
    if (!b.target) {
        return NULL;
    }
    Job *j = job_backup(&o, &b, err);
    if (file) {
        node_unref(b.target);
    }
    return j;
}

static Json *cmd_blockdev_backup(const Json *args, Error **err)
{
    return started(monitor_backup(args, false, err));
}

static Json *cmd_drive_backup(const Json *args, Error **err)
{
    return started(monitor_backup(args, true, err));
}

/* ---- commit, stream ------------------------------------------------------------------------------------ */

static BlockNode *by_file(BlockNode *active, const char *file)
{
    char *want = realpath(file, NULL);
    BlockNode *found = NULL;
    for (BlockNode *n = active; n && !found; n = n->backing) {
        char *have = realpath(node_file_name(n), NULL);
        bool same = !strcmp(node_file_name(n), file) || (want && have && !strcmp(want, have));
        found = same ? n : NULL;
        free(have);
    }
    free(want);
    return found;
}

/* A member of the chain under active, by "KEY-node" or "KEY"; def if neither is given. */
static bool chain_member(const Json *args, BlockNode *active, const char *key, BlockNode *def,
                         BlockNode **out, Error **err)
{
    g_autofree char *node_key = g_strconcat(key, "-node", NULL);
    const char *name = str_arg(args, node_key), *file = str_arg(args, key);
    *out = def;
    if (name && file) {
        return fail(err, "'%s' and '%s' cannot be specified at the same time", node_key, key);
    }
    if (name) {
        *out = monitor_node_by_name(name, err);
        for (BlockNode *n = active; *out && n != *out; n = n->backing) {
            if (!n) {
                return fail(err, "Node '%s' is not a backing image of '%s'", name, active->name);
            }
        }
    } else if (file) {
        *out = by_file(active, file);
        if (!*out) {
            fail(err, "Can't find '%s' in the backing chain", file);
        }
    }
    return *out || (!name && !file);
}

static BlockNode *deepest(BlockNode *n)
{
    while (n->backing) {
        n = n->backing;
    }
    return n;
}

static Json *cmd_block_commit(const Json *args, Error **err)
{
    BlockNode *active = monitor_find_node(str_arg(args, "device"), err), *top, *base;
    JobOptions o;
    if (!active || !chain_member(args, active, "top", active, &top, err)
        || !chain_member(args, active, "base", deepest(active), &base, err)
        || !job_options(args, &o, err)) {
        return NULL;
    }
    if (top != base && !node_contains(top->backing, base)) {
        fail(err, "'%s' is not in this backing file chain", base->name);
        return NULL;
    }
    if (top == active && str_arg(args, "backing-file")) {
        fail(err, "'backing-file' specified, but 'top' is the active layer");
        return NULL;
    }
    return started(job_commit(&o, active, top, base, str_arg(args, "backing-file"), err));
}

static Json *cmd_block_stream(const Json *args, Error **err)
{
    BlockNode *n = monitor_find_node(str_arg(args, "device"), err), *base, *bottom = NULL;
    JobOptions o;
    if (!n || !chain_member(args, n, "base", NULL, &base, err) || !job_options(args, &o, err)) {
        return NULL;
    }
    if (str_arg(args, "bottom")) {
        bottom = monitor_node_by_name(str_arg(args, "bottom"), err);
        if (!bottom || !node_contains(n, bottom) || base) {
            fail(bottom ? err : NULL, base ? "'base' and 'bottom' cannot be specified at the same time"
                 : "Node '%s' is not in a chain starting from '%s'", base ? "" : bottom->name, n->name);
            return NULL;
        }
        base = bottom->backing;
    }
    if (base == n) {
        fail(err, "Can't stream into the base itself");
        return NULL;
    }
    return started(job_stream(&o, n, n, base, str_arg(args, "backing-file"), err));
}

static Json *cmd_blockdev_create(const Json *args, Error **err)
{
    JobOptions o = { .id = (char *)str_arg(args, "job-id"), .manual_dismiss = true };
    return started(job_create(&o, json_copy(json_get(args, "options")), err));
}

/* ---- steering ------------------------------------------------------------------------------------------- */

/* By "id" (job-*) or "device" (block-job-*). */
static Job *job_of(const Json *args, Error **err)
{
    const char *id = str_arg(args, "id"), *device = str_arg(args, "device");
    Job *j = job_find(id ? id : device);
    if (!j && id) {
        fail(err, "Job not found");
    } else if (!j || (device && !j->driver->block)) {
        fail_class(err, ERR_DEVICE_NOT_ACTIVE, "Block job '%s' not found", device);
        j = NULL;
    }
    return j;
}

#define STEERING(name, call)                                    \
    static Json *cmd_job_##name(const Json *args, Error **err)  \
    {                                                           \
        Job *j = job_of(args, err);                             \
        if (j) {                                                \
            call;                                               \
        }                                                       \
        return NULL;                                            \
    }

STEERING(pause, job_pause(j, err))
STEERING(resume, job_resume(j, err))
STEERING(complete, job_complete(j, err))
STEERING(finalize, job_finalize(j, err))
STEERING(dismiss, job_dismiss(j, err))
STEERING(cancel, job_cancel(j, true, err))
STEERING(speed, job_set_speed(j, uint_arg(args, "speed"), err))

/* A ready job ends softly unless forced. */
static Json *cmd_block_job_cancel(const Json *args, Error **err)
{
    Job *j = job_of(args, err);
    bool force = bool_arg(args, "force", false);
    if (j && j->pause && !force) {
        fail(err, "The block job for device '%s' is currently paused", j->id);
    } else if (j) {
        job_cancel(j, force, err);
    }
    return NULL;
}

static void add_job(Job *j, void *list)
{
    json_append(list, job_info(j));
}

static void add_block_job(Job *j, void *list)
{
    if (j->driver->block) {
        json_append(list, block_job_info(j));
    }
}

static Json *cmd_query_jobs(const Json *args, Error **err)
{
    Json *list = json_array();
    job_foreach(add_job, list);
    return list;
}

static Json *cmd_query_block_jobs(const Json *args, Error **err)
{
    Json *list = json_array();
    job_foreach(add_block_job, list);
    return list;
}

#define ENDS "auto-finalize:b? auto-dismiss:b? filter-node-name:s? "
#define BACKUP_ARGS "job-id:s? device:s target:s sync:s speed:u? bitmap:s? bitmap-mode:s? "  \
    "compress:b? on-source-error:s? on-target-error:s? x-perf:o? " ENDS

const QmpCommand qmp_job_commands[] = {
    { "blockdev-mirror", "job-id:s? device:s target:s replaces:s? sync:s speed:u? granularity:u? "
      "buf-size:u? on-source-error:s? on-target-error:s? copy-mode:s? " ENDS, cmd_blockdev_mirror },
    { "drive-mirror", "job-id:s? device:s target:s format:s? node-name:s? replaces:s? sync:s mode:s? "
      "speed:u? granularity:u? buf-size:u? on-source-error:s? on-target-error:s? unmap:b? "
      "copy-mode:s? " ENDS, cmd_drive_mirror },
    { "blockdev-backup", BACKUP_ARGS, cmd_blockdev_backup },
    { "drive-backup", BACKUP_ARGS "format:s? mode:s? ", cmd_drive_backup },
    { "block-commit", "job-id:s? device:s base-node:s? base:s? top-node:s? top:s? backing-file:s? "
      "speed:u? on-error:s? " ENDS, cmd_block_commit },
    { "block-stream", "job-id:s? device:s base:s? base-node:s? backing-file:s? bottom:s? speed:u? "
      "on-error:s? " ENDS, cmd_block_stream },
    { "blockdev-create", "job-id:s options:o", cmd_blockdev_create },
    { "block-job-cancel", "device:s force:b?", cmd_block_job_cancel },
    { "block-job-pause", "device:s", cmd_job_pause },
    { "block-job-resume", "device:s", cmd_job_resume },
    { "block-job-complete", "device:s", cmd_job_complete },
    { "block-job-finalize", "id:s", cmd_job_finalize },
    { "block-job-dismiss", "id:s", cmd_job_dismiss },
    { "block-job-set-speed", "device:s speed:u", cmd_job_speed },
    { "job-pause", "id:s", cmd_job_pause },
    { "job-resume", "id:s", cmd_job_resume },
    { "job-cancel", "id:s", cmd_job_cancel },
    { "job-complete", "id:s", cmd_job_complete },
    { "job-finalize", "id:s", cmd_job_finalize },
    { "job-dismiss", "id:s", cmd_job_dismiss },
    { "query-jobs", NULL, cmd_query_jobs },
    { "query-block-jobs", NULL, cmd_query_block_jobs },
    { NULL }
};
