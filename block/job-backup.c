/* SPDX-License-Identifier: MIT */
/*
 * Block job backup: the disk as it was when the job began.  Before the guest changes a piece that
 * was not copied yet, it is copied (by the guest's request itself); the rest the thread copies.
 */
#include "block/jobs.h"

#include <errno.h>
#include <string.h>

#define MIN_PIECE 65536u
#define MAX_PIECE (2u << 20)

typedef struct BackupJob {
    Job job;
    BackupOptions o;
    DirtyMap *todo;                     /* pieces not copied yet */
    DirtyMap *wanted;                   /* of bitmap jobs: what it was about */
    GMutex copying;                     /* one piece at a time */
    NodeObserver observer;
    uint8_t *buf;                       /* [copying] one piece */
} BackupJob;

/* With `copying`. */
static int copy_piece(BackupJob *b, uint64_t off, bool *reading)
{
    uint64_t len = MIN(b->todo->granularity, b->todo->length - off);
    BlockStatus st;
    *reading = true;
    int ret = node_status_above(b->o.source, NULL, off, len, &st, NULL);
    if (!ret && st.len == len && (st.zero || !st.allocated)) {
        *reading = false;
        return node_write_zeroes(b->o.target, off, len, true);
    }
    ret = ret ? ret : node_pread(b->o.source, off, b->buf, len);
    *reading = ret < 0;
    if (!ret && b->o.compress) {
        uint64_t step = b->o.target->cluster_size ? b->o.target->cluster_size : len;
        for (uint64_t at = 0; at < len && !ret; at += step) {
            ret = node_write_compressed(b->o.target, off + at, b->buf + at, MIN(step, len - at));
        }
        return ret;
    }
    return ret ? ret : node_pwrite(b->o.target, off, b->buf, len);
}

static int copy_todo(BackupJob *b, uint64_t off, bool *reading)
{
    int ret = 0;
    g_mutex_lock(&b->copying);
    uint64_t at, len;
    if (dirtymap_next(b->todo, off, 1, &at, &len) && at == off) {
        ret = copy_piece(b, off, reading);
        if (!ret) {
            dirtymap_clear(b->todo, off, len);
        }
    }
    g_mutex_unlock(&b->copying);
    return ret;
}

static int before_change(NodeObserver *o, uint64_t off, uint64_t len)
{
    BackupJob *b = o->opaque;
    uint64_t g = b->todo->granularity, at, part;
    bool reading;
    int ret = 0;
    for (uint64_t from = off / g * g; from < off + len && !ret;) {
        if (!dirtymap_next(b->todo, from, 1, &at, &part) || at < from || at >= off + len) {
            break;
        }
        ret = copy_todo(b, at, &reading);
        from = at + g;
    }
    return ret;
}

static int mark(BackupJob *b)
{
    uint64_t length = b->todo->length;
    if (b->o.sync != SYNC_TOP) {
        return 0;                       /* marked when the job was made */
    }
    /* what the source does not have itself is not wanted */
    for (uint64_t off = 0; off < length;) {
        BlockStatus st;
        if (!job_pause_point(&b->job)) {
            return -ECANCELED;
        }
        graph_read_lock();
        int ret = node_status(b->o.source, off, length - off, &st);
        graph_read_unlock();
        if (ret < 0) {
            return ret;
        }
        uint64_t g = b->todo->granularity, from = (off + g - 1) / g * g, to = (off + st.len) / g * g;
        if (off + st.len == length) {
            to = length;
        }
        if (!st.allocated && from < to) {
            dirtymap_clear(b->todo, from, to - from);
        }
        off += st.len;
    }
    return 0;
}

static int backup_run(Job *j, Error **err)
{
    BackupJob *b = (BackupJob *)j;
    uint64_t at, len, before;
    int ret = mark(b);
    job_set_total(j, b->o.sync == SYNC_NONE ? b->todo->length : dirtymap_bytes(b->todo));
    while (!ret && b->o.sync == SYNC_NONE) {
        if (!job_pause_point(j)) {
            return -ECANCELED;
        }
        job_sleep(j, 1000);
    }
    while (!ret && dirtymap_next(b->todo, 0, 1, &at, &len)) {
        bool reading = true, ignore = false;
        if (!job_pause_point(j)) {
            return -ECANCELED;
        }
        before = dirtymap_bytes(b->todo);
        graph_read_lock();
        ret = copy_todo(b, at, &reading);
        graph_read_unlock();
        if (ret < 0) {
            if (!job_error(j, reading, -ret, &ignore)) {
                return ret;
            }
            ret = 0;
            if (ignore) {
                dirtymap_clear(b->todo, at, len);
            }
        }
        uint64_t now = dirtymap_bytes(b->todo);
        job_progress(j, before > now ? before - now : 0);
    }
    graph_read_lock();
    ret = ret ? ret : node_flush(b->o.target);
    graph_read_unlock();
    return ret;
}

static void backup_clean(Job *j, bool ok)
{
    BackupJob *b = (BackupJob *)j;
    DirtyBitmap *m = b->o.bitmap;
    if (b->observer.opaque) {
        node_remove_observer(b->o.source, &b->observer);
    }
    if (m && m->busy) {
        m->busy = false;
        /* what the job was to copy and did not is still to be done next time */
        if (b->wanted && !ok && b->o.bitmap_mode != 1) {
            dirtymap_merge(m->map, b->o.bitmap_mode == 2 ? b->todo : b->wanted);
        }
    }
    dirtymap_free(b->todo);
    dirtymap_free(b->wanted);
    g_mutex_clear(&b->copying);
    g_free(b->buf);
}

static const JobDriver backup_driver = {
    .type = "backup", .block = true, .size = sizeof(BackupJob), .run = backup_run,
    .clean = backup_clean,
};

static bool check_options(const BackupOptions *o, Error **err)
{
    bool wants_bitmap = o->sync == SYNC_INCREMENTAL || o->sync == SYNC_BITMAP;
    if (o->source == o->target) {
        return fail(err, "Source and target cannot be the same");
    }
    if (wants_bitmap && !o->bitmap) {
        return fail(err, "must provide a valid bitmap name for '%s' sync mode", job_sync_names[o->sync]);
    }
    if (!wants_bitmap && o->bitmap) {
        return fail(err, "a bitmap is of use with sync modes incremental and bitmap only");
    }
    if (o->bitmap && !bitmap_usable(o->bitmap, err)) {
        return false;
    }
    if (o->target->flags.read_only) {
        return fail(err, "Block node is read-only");
    }
    if (o->compress && !o->target->driver->write_compressed) {
        return fail(err, "Compression is not supported for this drive %s", o->target->name);
    }
    if (node_length(o->target) < node_length(o->source)) {
        return fail(err, "Source and target image have different sizes");
    }
    return true;
}

Job *job_backup(const JobOptions *jo, const BackupOptions *o, Error **err)
{
    if (!check_options(o, err)) {
        return NULL;
    }
    BackupJob *b = (BackupJob *)job_new(&backup_driver, jo, err);
    if (!b) {
        return NULL;
    }
    uint64_t length = node_length(o->source), piece = CLAMP(o->target->cluster_size, MIN_PIECE, MAX_PIECE);
    b->o = *o;
    b->todo = dirtymap_new(length, piece);
    b->buf = g_malloc(piece);
    g_mutex_init(&b->copying);
    graph_write_lock();
    if (o->bitmap) {
        dirtymap_merge(b->todo, o->bitmap->map);
        o->bitmap->busy = true;
        if (o->bitmap_mode != 1) {      /* changes from now on are the next one's */
            b->wanted = dirtymap_new(length, o->bitmap->map->granularity);
            dirtymap_merge(b->wanted, o->bitmap->map);
            dirtymap_clear(o->bitmap->map, 0, length);
        }
    } else {
        dirtymap_set(b->todo, 0, length);
    }
    b->observer = (NodeObserver) { .before = before_change, .opaque = b };
    node_add_observer(o->source, &b->observer);
    graph_write_unlock();
    if (!job_add_node(&b->job, o->source, err) || !job_add_node(&b->job, o->target, err)) {
        job_drop(&b->job);
        return NULL;
    }
    return &b->job;
}
