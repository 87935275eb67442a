/* SPDX-License-Identifier: MIT */
/*
 * Block jobs that copy a disk in use until the copy is in step and then put it in the disk's
 * place: mirror, and commit of the layer that is being written.
 *
 * An observer marks what changes, after it changed; the thread unmarks a piece before it reads
 * it.  The last marks are copied while the graph is locked and nobody writes.
 */
#include "block/jobs.h"

#include <errno.h>
#include <string.h>

#define CHUNK (1u << 20)

const char *const job_sync_names[] = { "full", "top", "none", "incremental", "bitmap", NULL };

typedef struct CopyJob {
    Job job;
    BlockNode *source, *target, *replaces, *backing;
    BlockNode *base;                    /* only what the source has above it is copied; NULL: all */
    JobSync sync;
    bool commit, blocking, target_was_readonly;
    uint64_t chunk;
    DirtyMap *dirty;
    NodeObserver observer;
    GMutex copying;                     /* with blocking: one copies at a time */
    uint8_t *buf;
} CopyJob;

/* Zero is known without reading, where it is. */
static int copy_range(CopyJob *c, uint64_t off, uint64_t len, uint8_t *buf, bool *reading)
{
    int ret = 0;
    while (len && !ret) {
        BlockStatus st;
        *reading = true;
        ret = node_status_above(c->source, NULL, off, len, &st, NULL);
        uint64_t part = MIN(st.len, CHUNK);
        if (!ret && (st.zero || !st.allocated)) {
            *reading = false;
            part = st.len;
            ret = node_write_zeroes(c->target, off, part, true);
        } else if (!ret) {
            ret = node_pread(c->source, off, buf, part);
            *reading = ret < 0;
            ret = ret ? ret : node_pwrite(c->target, off, buf, part);
        }
        off += part;
        len -= part;
    }
    return ret;
}

static int copy_dirty(CopyJob *c, uint64_t off, uint64_t len, uint8_t *buf, bool *reading)
{
    dirtymap_clear(c->dirty, off, len);
    int ret = copy_range(c, off, len, buf, reading);
    if (ret < 0) {
        dirtymap_set(c->dirty, off, len);
    }
    return ret;
}

/* ---- the source changed -------------------------------------------------------------------- */

static void changed(NodeObserver *o, uint64_t off, uint64_t len)
{
    CopyJob *c = o->opaque;
    bool was_clean = dirtymap_set(c->dirty, off, len);
    if (c->blocking) {
        uint64_t g = c->dirty->granularity, from = off / g * g;
        uint64_t to = MIN((off + len + g - 1) / g * g, c->dirty->length);
        bool reading;
        g_autofree uint8_t *buf = g_malloc(MIN(to - from, CHUNK));
        g_mutex_lock(&c->copying);
        copy_dirty(c, from, to - from, buf, &reading);
        g_mutex_unlock(&c->copying);
    } else if (was_clean) {
        job_wake(&c->job);
    }
}

/* ---- the thread ------------------------------------------------------------------------------ */

static int mark_all(CopyJob *c)
{
    uint64_t length = c->dirty->length;
    int ret = 0;
    if (c->sync == SYNC_NONE) {
        return 0;
    }
    if (c->sync == SYNC_FULL) {
        dirtymap_set(c->dirty, 0, length);
        return 0;
    }
    for (uint64_t off = 0; off < length && !ret;) {
        BlockStatus st;
        if (!job_pause_point(&c->job)) {
            return -ECANCELED;
        }
        graph_read_lock();
        ret = node_status_above(c->source, c->base, off, length - off, &st, NULL);
        graph_read_unlock();
        if (!ret && st.allocated) {
            dirtymap_set(c->dirty, off, st.len);
        }
        off += st.len;
    }
    return ret;
}

/* One piece; 1: nothing was dirty. */
static int step(CopyJob *c, uint64_t *cursor)
{
    uint64_t off, len;
    bool reading, ignore;
    if (!dirtymap_next(c->dirty, *cursor, c->chunk, &off, &len)) {
        return 1;
    }
    graph_read_lock();
    g_mutex_lock(&c->copying);
    int ret = copy_dirty(c, off, len, c->buf, &reading);
    g_mutex_unlock(&c->copying);
    graph_read_unlock();
    if (ret < 0) {
        if (!job_error(&c->job, reading, -ret, &ignore)) {
            return ret;
        }
        if (ignore) {
            dirtymap_clear(c->dirty, off, len);
        }
        return 0;
    }
    *cursor = off + len;
    job_set_total(&c->job, c->job.done + len + dirtymap_bytes(c->dirty));
    job_progress(&c->job, len);
    return 0;
}

static int copy_run(Job *j, Error **err)
{
    CopyJob *c = (CopyJob *)j;
    uint64_t cursor = 0;
    int ret = mark_all(c);
    job_set_total(j, dirtymap_bytes(c->dirty));
    while (ret >= 0) {
        if (!job_pause_point(j)) {
            return -ECANCELED;
        }
        ret = step(c, &cursor);
        if (ret == 1) {
            if (!j->ready) {
                graph_read_lock();
                ret = node_flush(c->target);
                graph_read_unlock();
                if (ret < 0) {
                    break;
                }
            }
            job_set_ready(j);
            if (job_should_complete(j)) {
                return 0;
            }
            if (!dirtymap_bytes(c->dirty)) {
                job_sleep(j, 500);
            }
        }
    }
    return ret;
}

/* ---- the end ----------------------------------------------------------------------------------- */

static int copy_rest(CopyJob *c)
{
    uint64_t off, len;
    bool reading;
    int ret = 0;
    while (!ret && dirtymap_next(c->dirty, 0, CHUNK, &off, &len)) {
        ret = copy_dirty(c, off, len, c->buf, &reading);
    }
    return ret ? ret : node_flush(c->target);
}

static bool copy_prepare(Job *j, Error **err)
{
    CopyJob *c = (CopyJob *)j;
    int ret = copy_rest(c);
    if (ret < 0) {
        return fail_errno(err, -ret, "Could not copy the last changes");
    }
    if (j->soft_end) {
        return true;
    }
    if (c->backing) {
        node_set_backing(c->target, c->backing);
    }
    node_replace(c->replaces ? c->replaces : c->source, c->target);
    return true;
}

static void copy_clean(Job *j, bool ok)
{
    CopyJob *c = (CopyJob *)j;
    node_remove_observer(c->source, &c->observer);
    if (c->target_was_readonly && (!ok || j->soft_end)) {
        node_set_writable(c->target, false, NULL);
    }
    dirtymap_free(c->dirty);
    g_mutex_clear(&c->copying);
    g_free(c->buf);
}

static const JobDriver mirror_driver = {
    .type = "mirror", .block = true, .can_complete = true, .size = sizeof(CopyJob), .run = copy_run,
    .prepare = copy_prepare, .clean = copy_clean,
};
static const JobDriver commit_active_driver = {
    .type = "commit", .block = true, .can_complete = true, .size = sizeof(CopyJob), .run = copy_run,
    .prepare = copy_prepare, .clean = copy_clean,
};

static Job *copy_job(const JobDriver *d, const JobOptions *o, const MirrorOptions *m, Error **err)
{
    int64_t length = node_length(m->source), there = node_length(m->target);
    uint64_t granularity = m->granularity;
    if (length < 0 || there < 0) {
        fail_errno(err, (int)-MIN(length, there), "Unable to get the size of the disk");
        return NULL;
    }
    if (!granularity) {
        granularity = CLAMP(m->target->cluster_size, 4096, 65536);
    }
    if (granularity < 512 || granularity > 64 << 20 || (granularity & (granularity - 1))) {
        fail(err, "Parameter 'granularity' expects a power of 2 in range [512B, 64MB]");
        return NULL;
    }
    CopyJob *c = (CopyJob *)job_new(d, o, err);
    if (!c) {
        return NULL;
    }
    c->source = m->source;
    c->target = m->target;
    c->replaces = m->replaces;
    c->backing = m->backing;
    c->sync = m->sync;
    c->base = m->sync == SYNC_TOP ? m->source->backing : NULL;
    c->blocking = m->blocking;
    c->chunk = m->buf_size ? CLAMP(m->buf_size, granularity, 64u << 20) : CHUNK;
    c->dirty = dirtymap_new(length, granularity);
    c->buf = g_malloc(CHUNK);
    c->observer = (NodeObserver) { .after = changed, .opaque = c };
    g_mutex_init(&c->copying);
    graph_write_lock();
    node_add_observer(c->source, &c->observer);
    graph_write_unlock();
    if (!job_add_node(&c->job, c->source, err) || !job_add_node(&c->job, c->target, err)) {
        job_drop(&c->job);
        return NULL;
    }
    return &c->job;
}

Job *job_mirror(const JobOptions *o, const MirrorOptions *m, Error **err)
{
    if (m->source == m->target) {
        fail(err, "Can't mirror node into itself");
        return NULL;
    }
    if (m->target->flags.read_only) {
        fail(err, "Block node is read-only");
        return NULL;
    }
    if (node_length(m->target) < node_length(m->source)) {
        fail(err, "The target is smaller than the disk");
        return NULL;
    }
    return copy_job(&mirror_driver, o, m, err);
}

/* ---- commit ---------------------------------------------------------------------------------- */

typedef struct CommitJob {
    Job job;
    BlockNode *overlay, *top, *base;
    char *backing_file;
    bool base_was_readonly, overlay_was_readonly;
} CommitJob;

static int commit_piece(Job *j, uint64_t off, BlockStatus *st, uint8_t *buf, bool *reading)
{
    CommitJob *c = (CommitJob *)j;
    if (st->zero) {
        *reading = false;
        return node_write_zeroes(c->base, off, st->len, true);
    }
    st->len = MIN(st->len, JOB_PIECE);
    int ret = node_pread(c->top, off, buf, st->len);
    *reading = ret < 0;
    return ret ? ret : node_pwrite(c->base, off, buf, st->len);
}

static int commit_run(Job *j, Error **err)
{
    CommitJob *c = (CommitJob *)j;
    return job_walk(j, c->top, c->base, c->base, commit_piece);
}

static bool commit_prepare(Job *j, Error **err)
{
    CommitJob *c = (CommitJob *)j;
    const char *name = c->backing_file ? c->backing_file : node_file_name(c->base);
    if (c->overlay->driver->change_backing
        && !c->overlay->driver->change_backing(c->overlay, name, c->base->driver->name, err)) {
        return false;
    }
    node_set_backing(c->overlay, c->base);
    return true;
}

static void commit_clean(Job *j, bool ok)
{
    CommitJob *c = (CommitJob *)j;
    if (c->base_was_readonly && c->base) {
        node_set_writable(c->base, false, NULL);
    }
    if (c->overlay_was_readonly) {
        node_set_writable(c->overlay, false, NULL);
    }
    g_free(c->backing_file);
}

static const JobDriver commit_driver = {
    .type = "commit", .block = true, .size = sizeof(CommitJob), .run = commit_run,
    .prepare = commit_prepare, .clean = commit_clean,
};

/* The base can be written and is long enough.  Locks the graph itself. */
static bool open_base(BlockNode *base, BlockNode *top, Error **err)
{
    graph_write_lock();
    bool ok = node_set_writable(base, true, err);
    if (ok && node_length(base) < node_length(top)) {
        ok = node_truncate(base, node_length(top), PREALLOC_OFF, err);
    }
    graph_write_unlock();
    return ok;
}

static void close_again(BlockNode *n, bool was_readonly)
{
    if (was_readonly) {
        graph_write_lock();
        node_set_writable(n, false, NULL);
        graph_write_unlock();
    }
}

Job *job_commit(const JobOptions *o, BlockNode *active, BlockNode *top, BlockNode *base,
                const char *backing_file, Error **err)
{
    bool was_readonly = base->flags.read_only;
    if (top == base) {
        fail(err, "cannot commit an image into itself");
        return NULL;
    }
    if (base->job) {
        fail(err, "Node '%s' is busy: block device is in use by block job: %s", base->name, base->job);
        return NULL;
    }
    if (!open_base(base, top, err)) {
        return NULL;
    }
    if (top == active) {
        MirrorOptions m = { .source = top, .target = base, .sync = SYNC_TOP };
        CopyJob *c = (CopyJob *)copy_job(&commit_active_driver, o, &m, err);
        if (c) {
            c->base = base;
            c->commit = true;
            c->target_was_readonly = was_readonly;
        } else {
            close_again(base, was_readonly);
        }
        return (Job *)c;
    }
    CommitJob *c = (CommitJob *)job_new(&commit_driver, o, err);
    if (!c) {
        close_again(base, was_readonly);
        return NULL;
    }
    c->top = top;
    c->base = base;
    c->base_was_readonly = was_readonly;
    c->backing_file = g_strdup(backing_file);
    c->overlay = node_overlay_of(active, top);
    bool overlay_readonly = c->overlay->flags.read_only;
    graph_write_lock();
    bool ok = node_set_writable(c->overlay, true, err);
    graph_write_unlock();
    c->overlay_was_readonly = ok && overlay_readonly;
    if (!ok || !job_add_node(&c->job, c->overlay, err) || !job_add_node(&c->job, top, err)
        || !job_add_node(&c->job, base, err)) {
        job_drop(&c->job);
        return NULL;
    }
    return &c->job;
}
