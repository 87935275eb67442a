/* SPDX-License-Identifier: MIT */
/*
 * Block jobs stream (what lies below a node becomes its own) and blockdev-create.
 */
#include "block/jobs.h"

#include <errno.h>
#include <string.h>

typedef struct StreamJob {
    Job job;
    BlockNode *node, *base;             /* base: the new backing node; NULL: none */
    char *backing_file;
    NodeObserver observer;              /* only so that writers and copying keep apart */
    bool was_readonly;
} StreamJob;

static int stream_piece(Job *j, uint64_t off, BlockStatus *st, uint8_t *buf, bool *reading)
{
    StreamJob *s = (StreamJob *)j;
    st->len = MIN(st->len, JOB_PIECE);
    return node_copy_up(s->node, s->base, off, st->len, buf);
}

static int stream_run(Job *j, Error **err)
{
    StreamJob *s = (StreamJob *)j;
    return job_walk(j, s->node, s->base, s->node, stream_piece);
}

static bool stream_prepare(Job *j, Error **err)
{
    StreamJob *s = (StreamJob *)j;
    const char *name = s->backing_file ? s->backing_file : s->base ? node_file_name(s->base) : NULL;
    if (s->node->driver->change_backing
        && !s->node->driver->change_backing(s->node, name, s->base ? s->base->driver->name : NULL,
                                            err)) {
        return false;
    }
    node_set_backing(s->node, s->base);
    return true;
}

static void stream_clean(Job *j, bool ok)
{
    StreamJob *s = (StreamJob *)j;
    node_remove_observer(s->node, &s->observer);
    if (s->was_readonly) {
        node_set_writable(s->node, false, NULL);
    }
    g_free(s->backing_file);
}

static const JobDriver stream_driver = {
    .type = "stream", .block = true, .size = sizeof(StreamJob), .run = stream_run,
    .prepare = stream_prepare, .clean = stream_clean,
};

Job *job_stream(const JobOptions *o, BlockNode *active, BlockNode *n, BlockNode *base,
                const char *backing_file, Error **err)
{
    bool was_readonly = n->flags.read_only;
    StreamJob *s = (StreamJob *)job_new(&stream_driver, o, err);
    if (!s) {
        return NULL;
    }
    s->node = n;
    s->base = base;
    s->backing_file = g_strdup(backing_file);
    s->observer = (NodeObserver) { .opaque = s };
    graph_write_lock();
    bool ok = node_set_writable(n, true, err);
    node_add_observer(n, &s->observer);
    graph_write_unlock();
    s->was_readonly = ok && was_readonly;
    if (!ok || !job_add_node(&s->job, n, err)) {
        job_drop(&s->job);
        return NULL;
    }
    for (BlockNode *b = n->backing; b && b != base; b = b->backing) {
        if (b->job) {
            fail(err, "Node '%s' is busy: block device is in use by block job: %s", b->name, b->job);
            job_drop(&s->job);
            return NULL;
        }
    }
    return &s->job;
}

/* ---- blockdev-create -------------------------------------------------------------------------- */

typedef struct CreateJob {
    Job job;
    Json *options;
    BlockNode *file;                    /* an image is made in this node; NULL: by its name */
} CreateJob;

/* QMP's names are those of `create -o` with dashes, but for the version. */
static Json *create_options(const Json *from)
{
    Json *o = json_object();
    for (guint i = 0; i < json_len(from); i++) {
        g_autofree char *key = g_strdelimit(g_strdup(json_key_at(from, i)), "-", '_');
        Json *v = json_copy(json_at(from, i));
        if (!strcmp(key, "version") && v->type == JSON_STRING) {
            json_set_str(o, "compat", !strcmp(v->s, "v2") ? "0.10" : "1.1");
            json_free(v);
        } else {
            json_set(o, key, v);
        }
    }
    return o;
}

static bool create_image(CreateJob *c, Error **err)
{
    g_autoptr(Json) o = create_options(c->options);
    g_autofree char *driver = NULL, *filename = NULL, *prealloc = NULL;
    uint64_t size = 0;
    block_take_str(o, "driver", &driver, NULL);
    const BlockDriver *d = block_driver_find(driver);
    if (!d->protocol) {
        return node_create_image(d, c->file ? node_file_name(c->file) : "", o, err);
    }
    bool nocow = false;
    if (!block_take_str(o, "filename", &filename, err) || !block_take_uint(o, "size", &size, err)
        || !block_take_str(o, "preallocation", &prealloc, err)
        || !block_take_bool(o, "nocow", &nocow, err)) {
        return false;
    }
    if (!filename || json_len(o)) {
        return filename ? fail(err, "Parameter '%s' is unexpected", json_key_at(o, 0))
                        : fail(err, "Parameter 'filename' is missing");
    }
    int mode = 0;
    while (prealloc && block_prealloc_names[mode] && strcmp(prealloc, block_prealloc_names[mode])) {
        mode++;
    }
    if (!block_prealloc_names[mode]) {
        return fail(err, "Parameter 'preallocation' does not accept value '%s'", prealloc);
    }
    BlockNode *n = node_create_file(filename, NULL, err);
    bool ok = n && node_truncate(n, size, mode, err);
    node_unref(n);
    return ok;
}

/* [thread] The big lock is taken for opening and closing only (block/node.c). */
static int create_run(Job *j, Error **err)
{
    return create_image((CreateJob *)j, err) ? 0 : -EIO;
}

static void create_clean(Job *j, bool ok)
{
    json_free(((CreateJob *)j)->options);
}

static const JobDriver create_driver = {
    .type = "create", .size = sizeof(CreateJob), .run = create_run, .clean = create_clean,
};

Job *job_create(const JobOptions *o, Json *options, Error **err)
{
    const char *driver = NULL;
    if (!json_get_str(options, "driver", JSON_REQUIRED, &driver, err)) {
        json_free(options);
        return NULL;
    }
    const BlockDriver *d = block_driver_find(driver);
    if (!d || !d->create) {
        fail(err, "Driver '%s' does not support image creation", driver);
        json_free(options);
        return NULL;
    }
    CreateJob *c = (CreateJob *)job_new(&create_driver, o, err);
    if (!c) {
        json_free(options);
        return NULL;
    }
    c->options = options;
    const Json *file = json_get(options, "file");
    c->file = file && file->type == JSON_STRING ? node_find(file->s) : NULL;
    if (c->file && !job_add_node(&c->job, c->file, err)) {
        job_drop(&c->job);
        return NULL;
    }
    return &c->job;
}
