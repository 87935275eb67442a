/* SPDX-License-Identifier: MIT */
/*
 * Jobs: their life, what clients may ask of them, the events.
 */
#include "block/job.h"
#include "util/event.h"
#include "util/bql.h"
#include "util/mainloop.h"

#include <errno.h>
#include <string.h>

#define SLICE_US 100000                 /* the speed limit holds over so long a time */

const char *const job_on_error_names[] = { "report", "ignore", "enospc", "stop", NULL };

static const char *const status_names[] = {
    [JOB_CREATED] = "created", [JOB_RUNNING] = "running", [JOB_PAUSED] = "paused",
    [JOB_READY] = "ready", [JOB_STANDBY] = "standby", [JOB_WAITING] = "waiting",
    [JOB_PENDING] = "pending", [JOB_ABORTING] = "aborting", [JOB_CONCLUDED] = "concluded",
    [JOB_NULL] = "null",
};

static GPtrArray *jobs;                 /* of Job*, in order of creation */

/* ---- events ----------------------------------------------------------------------------- */

static void block_event(Job *j, const char *name, const char *error)
{
    Json *data = json_object();
    if (!j->driver->block) {
        json_free(data);
        return;
    }
    g_mutex_lock(&j->lock);
    json_set_str(data, "device", j->id);
    json_set_uint(data, "len", j->total);
    json_set_uint(data, "offset", j->done);
    json_set_uint(data, "speed", j->options.speed);
    json_set_str(data, "type", j->driver->type);
    g_mutex_unlock(&j->lock);
    if (error) {
        json_set_str(data, "error", error);
    }
    event_emit(name, data);
}

static void show_status(Job *j, JobStatus status)
{
    if (j->shown == status) {
        return;
    }
    j->shown = status;
    Json *data = json_object();
    json_set_str(data, "status", status_names[status]);
    json_set_str(data, "id", j->id);
    event_emit("JOB_STATUS_CHANGE", data);
}

static void set_status(Job *j, JobStatus status)
{
    g_mutex_lock(&j->lock);
    j->status = status;
    g_mutex_unlock(&j->lock);
    show_status(j, status);
}

/* ---- life ---------------------------------------------------------------------------------- */

static void job_unref(Job *j)
{
    if (!g_atomic_int_dec_and_test((int *)&j->refs)) {
        return;
    }
    g_clear_error(&j->error);
    g_mutex_clear(&j->lock);
    g_cond_clear(&j->changed);
    g_free(j->id);
    g_free(j);
}

Job *job_find(const char *id)
{
    for (guint i = 0; jobs && i < jobs->len; i++) {
        Job *j = jobs->pdata[i];
        if (!strcmp(j->id, id)) {
            return j;
        }
    }
    return NULL;
}

void job_foreach(void (*fn)(Job *j, void *opaque), void *opaque)
{
    for (guint i = 0; jobs && i < jobs->len; i++) {
        fn(jobs->pdata[i], opaque);
    }
}

Job *job_new(const JobDriver *d, const JobOptions *o, Error **err)
{
    if (!o->id || !g_ascii_isalpha(o->id[0])) {
        fail(err, "Invalid job ID '%s'", o->id ? o->id : "");
        return NULL;
    }
    if (job_find(o->id)) {
        fail(err, "Job ID '%s' already in use", o->id);
        return NULL;
    }
    Job *j = g_malloc0(d->size);
    j->driver = d;
    j->options = *o;
    j->id = j->options.id = g_strdup(o->id);
    j->refs = 1;
    j->status = JOB_CREATED;
    j->shown = JOB_NULL;
    g_mutex_init(&j->lock);
    g_cond_init(&j->changed);
    jobs = jobs ? jobs : g_ptr_array_new();
    g_ptr_array_add(jobs, j);
    return j;
}

bool job_add_node(Job *j, BlockNode *n, Error **err)
{
    if (n->job) {
        return fail(err, "Node '%s' is busy: block device is in use by block job: %s", n->name, n->job);
    }
    g_assert(j->n_nodes < G_N_ELEMENTS(j->nodes));
    n->job = j->driver->type;
    j->nodes[j->n_nodes++] = node_ref(n);
    return true;
}

/* Observers and references go; with the graph's write lock. */
static void clean(Job *j, bool ok)
{
    if (j->driver->clean) {
        j->driver->clean(j, ok);
    }
    for (unsigned i = 0; i < j->n_nodes; i++) {
        j->nodes[i]->job = NULL;
        node_unref(j->nodes[i]);
    }
    j->n_nodes = 0;
}

/* ---- jobs that end together ---------------------------------------------------------------- */

struct JobGroup {
    unsigned refs;                      /* jobs, and the maker */
    GPtrArray *jobs;                    /* of Job*, those that did not end yet */
};

JobGroup *job_group_new(void)
{
    JobGroup *g = g_new0(JobGroup, 1);
    g->refs = 1;
    g->jobs = g_ptr_array_new();
    return g;
}

void job_group_unref(JobGroup *g)
{
    if (g && !--g->refs) {
        g_ptr_array_unref(g->jobs);
        g_free(g);
    }
}

void job_join(Job *j, JobGroup *g)
{
    g->refs++;
    g_ptr_array_add(g->jobs, j);
    j->group = g;
}

/* Its group, whose reference goes over to the caller; NULL. */
static JobGroup *leave_group(Job *j)
{
    JobGroup *g = g_steal_pointer(&j->group);
    if (g) {
        g_ptr_array_remove(g->jobs, j);
    }
    return g;
}

static void forget(Job *j)
{
    job_group_unref(leave_group(j));
    g_ptr_array_remove(jobs, j);
    job_unref(j);
}

void job_drop(Job *j)
{
    graph_write_lock();
    clean(j, false);
    graph_write_unlock();
    forget(j);
}

/* j, or all of its group; each with a reference. */
static GPtrArray *companions(Job *j)
{
    GPtrArray *all = g_ptr_array_new_with_free_func((GDestroyNotify)job_unref);
    for (guint i = 0; i < (j->group ? j->group->jobs->len : 1); i++) {
        Job *k = j->group ? j->group->jobs->pdata[i] : j;
        g_atomic_int_inc((int *)&k->refs);
        g_ptr_array_add(all, k);
    }
    return all;
}

static bool all_wait(const GPtrArray *list)
{
    for (guint i = 0; i < list->len; i++) {
        if (((const Job *)list->pdata[i])->status != JOB_WAITING) {
            return false;
        }
    }
    return true;
}

/* One failed: the others must not count. */
static void abort_rest(JobGroup *g)
{
    while (g->jobs->len) {
        Job *j = g->jobs->pdata[0];
        bool at_its_end = j->status == JOB_WAITING || j->status == JOB_PENDING;
        if (!at_its_end) {              /* ends in its own time, by itself */
            job_group_unref(leave_group(j));
        }
        job_cancel(j, true, NULL);
    }
}

static void conclude(Job *j, bool ok)
{
    JobGroup *group = leave_group(j);
    bool cancelled = !ok && j->cancel && j->ret == -ECANCELED;
    const char *why = j->error ? j->error->message : j->ret < 0 ? g_strerror(-j->ret) : NULL;
    if (!ok) {
        set_status(j, JOB_ABORTING);
    }
    graph_write_lock();
    clean(j, ok);
    graph_write_unlock();
    block_event(j, cancelled ? "BLOCK_JOB_CANCELLED" : "BLOCK_JOB_COMPLETED", cancelled ? NULL : why);
    set_status(j, JOB_CONCLUDED);
    if (!j->options.manual_dismiss) {
        set_status(j, JOB_NULL);
        forget(j);
    }
    if (group && !ok) {
        abort_rest(group);
    }
    job_group_unref(group);
}

static bool prepare(Job *j)
{
    Error *err = NULL;
    bool ok = true;
    if (j->driver->prepare) {
        graph_write_lock();
        ok = j->driver->prepare(j, &err);
        graph_write_unlock();
    }
    if (!ok) {
        g_mutex_lock(&j->lock);
        j->ret = -EIO;
        g_clear_error(&j->error);
        j->error = err;
        g_mutex_unlock(&j->lock);
    }
    return ok;
}

static void finish_well(const GPtrArray *list)
{
    bool ok = true;
    for (guint i = 0; i < list->len && ok; i++) {
        ok = prepare(list->pdata[i]);
    }
    for (guint i = 0; i < list->len; i++) {
        Job *j = list->pdata[i];
        if (j->status == JOB_PENDING) { /* the failure of one may have ended it */
            conclude(j, ok);
        }
    }
}

static void pend(Job *j)
{
    set_status(j, JOB_PENDING);
    if (j->options.manual_finalize) {
        Json *data = json_object();
        json_set_str(data, "id", j->id);
        json_set_str(data, "type", j->driver->type);
        event_emit("BLOCK_JOB_PENDING", data);
    }
}

/* This one is done; if it was the last of its group they end, or wait for the client. */
static void done_well(Job *j)
{
    g_autoptr(GPtrArray) list = companions(j);
    bool manual = false;
    set_status(j, JOB_WAITING);
    if (!all_wait(list)) {
        return;
    }
    for (guint i = 0; i < list->len; i++) {
        Job *k = list->pdata[i];
        pend(k);
        manual |= k->options.manual_finalize;
    }
    if (!manual) {
        finish_well(list);
    }
}

/* The thread is done. */
static void ended(void *opaque)
{
    Job *j = opaque;
    if (j->thread) {
        g_thread_join(g_steal_pointer(&j->thread));
    }
    if (j->status == JOB_NULL) {        /* job_cancel_all was quicker */
        job_unref(j);
        return;
    }
    if (j->ret == 0 && j->cancel && !j->soft_end) {
        j->ret = -ECANCELED;
    }
    if (j->ret < 0) {
        conclude(j, false);
    } else {
        done_well(j);
    }
    job_unref(j);
}

static gpointer job_thread(gpointer data)
{
    Job *j = data;
    Error *err = NULL;
    int ret = job_pause_point(j) ? j->driver->run(j, &err) : -ECANCELED;
    g_mutex_lock(&j->lock);
    j->ret = ret;
    j->error = err;
    j->ended = true;
    g_cond_broadcast(&j->changed);
    g_mutex_unlock(&j->lock);
    mainloop_defer(ended, j);
    return NULL;
}

void job_start(Job *j)
{
    show_status(j, JOB_CREATED);
    set_status(j, JOB_RUNNING);
    g_atomic_int_inc((int *)&j->refs);  /* the thread's, until `ended` */
    j->thread = g_thread_new(j->driver->type, job_thread, j);
}

void job_cancel_all(void)
{
    while (jobs && jobs->len) {
        Job *j = jobs->pdata[jobs->len - 1];
        g_mutex_lock(&j->lock);
        j->cancel = j->force = true;
        g_cond_broadcast(&j->changed);
        g_mutex_unlock(&j->lock);
        bql_unlock();                   /* one that makes an image wants it now and then */
        g_mutex_lock(&j->lock);
        while (j->thread && !j->ended) {
            g_cond_wait(&j->changed, &j->lock);
        }
        g_mutex_unlock(&j->lock);
        bql_lock();
        if (j->status != JOB_CONCLUDED) {
            graph_write_lock();
            clean(j, false);
            graph_write_unlock();
        }
        j->status = JOB_NULL;
        forget(j);
    }
}

/* ---- what clients ask -------------------------------------------------------------------- */

static bool refused(const Job *j, const char *verb, Error **err)
{
    return fail(err, "Job '%s' in state '%s' cannot accept command verb '%s'", j->id,
                status_names[j->status], verb);
}

static bool alive(const Job *j)
{
    return j->status <= JOB_STANDBY;
}

bool job_pause(Job *j, Error **err)
{
    if (!alive(j)) {
        return refused(j, "pause", err);
    }
    g_mutex_lock(&j->lock);
    bool already = j->pause && !j->io_failed;
    j->pause += !already;
    g_cond_broadcast(&j->changed);
    g_mutex_unlock(&j->lock);
    return !already || fail(err, "Job is already paused");
}

bool job_resume(Job *j, Error **err)
{
    g_mutex_lock(&j->lock);
    bool paused = j->pause;
    j->pause = 0;
    j->io_failed = j->nospace = false;
    g_cond_broadcast(&j->changed);
    g_mutex_unlock(&j->lock);
    return paused || fail(err, "Job is not paused");
}

bool job_cancel(Job *j, bool force, Error **err)
{
    if (j->status == JOB_PENDING || j->status == JOB_WAITING) {
        j->cancel = true;
        j->ret = -ECANCELED;
        conclude(j, false);
        return true;
    }
    if (!alive(j)) {
        return refused(j, "cancel", err);
    }
    g_mutex_lock(&j->lock);
    if (j->ready && !force && !j->cancel) {
        j->soft_end = j->complete = true;       /* what was copied so far is good */
    } else {
        j->soft_end = false;
        j->cancel = j->force = true;
    }
    j->pause = 0;
    g_cond_broadcast(&j->changed);
    g_mutex_unlock(&j->lock);
    return true;
}

bool job_complete(Job *j, Error **err)
{
    if (!j->driver->can_complete || !alive(j) || !j->ready) {
        return !j->driver->can_complete && j->status == JOB_READY
               ? fail(err, "Job '%s' does not support completion", j->id) : refused(j, "complete", err);
    }
    g_mutex_lock(&j->lock);
    bool again = j->complete || j->pause;
    j->complete = !j->pause;
    g_cond_broadcast(&j->changed);
    g_mutex_unlock(&j->lock);
    return !again || fail(err, "The active block job '%s' cannot be completed", j->id);
}

bool job_finalize(Job *j, Error **err)
{
    if (j->status != JOB_PENDING) {
        return refused(j, "finalize", err);
    }
    g_autoptr(GPtrArray) list = companions(j);
    finish_well(list);
    return true;
}

bool job_dismiss(Job *j, Error **err)
{
    if (j->status != JOB_CONCLUDED) {
        return refused(j, "dismiss", err);
    }
    set_status(j, JOB_NULL);
    forget(j);
    return true;
}

bool job_set_speed(Job *j, uint64_t speed, Error **err)
{
    if (!alive(j)) {
        return refused(j, "set-speed", err);
    }
    g_mutex_lock(&j->lock);
    j->options.speed = speed;
    j->slice_bytes = 0;
    g_cond_broadcast(&j->changed);
    g_mutex_unlock(&j->lock);
    return true;
}

Json *job_info(Job *j)
{
    Json *o = json_object();
    g_mutex_lock(&j->lock);
    json_set_uint(o, "current-progress", j->done);
    json_set_str(o, "status", status_names[j->status]);
    json_set_uint(o, "total-progress", j->total);
    json_set_str(o, "type", j->driver->type);
    json_set_str(o, "id", j->id);
    if (j->ended && j->ret < 0) {
        json_set_str(o, "error", j->error ? j->error->message : g_strerror(-j->ret));
    }
    g_mutex_unlock(&j->lock);
    return o;
}

Json *block_job_info(Job *j)
{
    Json *o = json_object();
    g_mutex_lock(&j->lock);
    json_set_bool(o, "auto-finalize", !j->options.manual_finalize);
    json_set_str(o, "io-status", j->io_failed ? j->nospace ? "nospace" : "failed" : "ok");
    json_set_str(o, "device", j->id);
    json_set_bool(o, "auto-dismiss", !j->options.manual_dismiss);
    json_set_bool(o, "busy", !j->parked && !j->ended);
    json_set_uint(o, "len", j->total);
    json_set_uint(o, "offset", j->done);
    json_set_str(o, "status", status_names[j->status]);
    json_set_bool(o, "paused", j->pause > 0);
    json_set_uint(o, "speed", j->options.speed);
    json_set_bool(o, "ready", j->ready);
    json_set_str(o, "type", j->driver->type);
    if (j->ended && j->ret < 0) {
        json_set_str(o, "error", j->error ? j->error->message : g_strerror(-j->ret));
    }
    g_mutex_unlock(&j->lock);
    return o;
}

/* ---- from the thread ------------------------------------------------------------------------ */

/* What the thread changed becomes an event. */
static void tell(void *opaque)
{
    Job *j = opaque;
    g_mutex_lock(&j->lock);
    JobStatus status = j->status;
    g_mutex_unlock(&j->lock);
    if (status <= JOB_STANDBY) {
        if (j->ready && !j->told_ready) {
            j->told_ready = true;
            show_status(j, JOB_READY);
            block_event(j, "BLOCK_JOB_READY", NULL);
        }
        show_status(j, status);
    }
    job_unref(j);
}

static void defer_tell(Job *j)
{
    g_atomic_int_inc((int *)&j->refs);
    mainloop_defer(tell, j);
}

bool job_pause_point(Job *j)
{
    g_mutex_lock(&j->lock);
    if (j->pause && !j->cancel) {
        j->parked = true;
        j->status = j->ready ? JOB_STANDBY : JOB_PAUSED;
        defer_tell(j);
        while (j->pause && !j->cancel) {
            g_cond_wait(&j->changed, &j->lock);
        }
        j->parked = false;
        j->status = j->ready ? JOB_READY : JOB_RUNNING;
        defer_tell(j);
    }
    bool go_on = !j->cancel;
    g_mutex_unlock(&j->lock);
    return go_on;
}

/* In slices of time: what is too much of one is waited for. */
static void limit_speed(Job *j, uint64_t bytes)
{
    int64_t now = g_get_monotonic_time();
    if (now >= j->slice_end) {
        j->slice_end = now + SLICE_US;
        j->slice_bytes = 0;
    }
    j->slice_bytes += bytes;
    uint64_t speed = j->options.speed;
    while (speed && speed == j->options.speed && !j->cancel && !j->pause) {
        int64_t until = j->slice_end - SLICE_US + (double)j->slice_bytes / speed * 1e6;
        if (until <= j->slice_end) {
            break;
        }
        j->slice_end = until;
        j->slice_bytes = 0;
        while (g_cond_wait_until(&j->changed, &j->lock, until) && speed == j->options.speed
               && !j->cancel && !j->pause) {
        }
    }
}

void job_progress(Job *j, uint64_t bytes)
{
    g_mutex_lock(&j->lock);
    j->done += bytes;
    if (j->options.speed) {
        limit_speed(j, bytes);
    }
    g_mutex_unlock(&j->lock);
}

void job_set_total(Job *j, uint64_t total)
{
    g_mutex_lock(&j->lock);
    j->total = total;
    g_mutex_unlock(&j->lock);
}

void job_set_ready(Job *j)
{
    g_mutex_lock(&j->lock);
    if (!j->ready) {
        j->ready = true;
        j->status = JOB_READY;
        defer_tell(j);
    }
    g_mutex_unlock(&j->lock);
}

void job_sleep(Job *j, unsigned ms)
{
    int64_t end = g_get_monotonic_time() + ms * 1000ll;
    g_mutex_lock(&j->lock);
    if (!j->cancel && !j->complete && !j->pause) {
        g_cond_wait_until(&j->changed, &j->lock, end);
    }
    g_mutex_unlock(&j->lock);
}

void job_wake(Job *j)
{
    g_mutex_lock(&j->lock);
    g_cond_broadcast(&j->changed);
    g_mutex_unlock(&j->lock);
}

bool job_should_complete(Job *j)
{
    g_mutex_lock(&j->lock);
    bool yes = j->complete;
    g_mutex_unlock(&j->lock);
    return yes;
}

typedef struct ErrorEvent {
    Job *job;
    bool is_read;
    const char *action;
} ErrorEvent;

static void tell_error(void *opaque)
{
    ErrorEvent *e = opaque;
    Json *data = json_object();
    json_set_str(data, "device", e->job->id);
    json_set_str(data, "operation", e->is_read ? "read" : "write");
    json_set_str(data, "action", e->action);
    event_emit("BLOCK_JOB_ERROR", data);
    job_unref(e->job);
    g_free(e);
}

bool job_error(Job *j, bool is_read, int errnum, bool *ignore)
{
    JobOnError policy = is_read ? j->options.on_source_error : j->options.on_target_error;
    bool stop = policy == JOB_ERROR_STOP || (policy == JOB_ERROR_ENOSPC && errnum == ENOSPC);
    ErrorEvent *e = g_new(ErrorEvent, 1);
    *ignore = policy == JOB_ERROR_IGNORE;
    *e = (ErrorEvent) { j, is_read, stop ? "stop" : *ignore ? "ignore" : "report" };
    g_atomic_int_inc((int *)&j->refs);
    mainloop_defer(tell_error, e);
    if (stop) {
        g_mutex_lock(&j->lock);
        j->pause++;
        j->io_failed = true;
        j->nospace = errnum == ENOSPC;
        g_mutex_unlock(&j->lock);
        return job_pause_point(j);
    }
    return *ignore;
}
