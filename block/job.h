/* SPDX-License-Identifier: MIT */
/*
 * Jobs: long work on disks that clients start, watch, steer and end (QMP's job-* and block-job-*
 * commands).  Each has a thread of its own, which works without the big lock and makes its
 * requests between graph_read_lock and graph_read_unlock.
 *
 * Life, in QEMU's words: created, running (paused), ready (standby), waiting, pending,
 * concluded, null; after an error or a cancellation aborting, concluded, null.
 *
 * Functions marked [thread] are the job's thread's; the others need the big lock.
 */
#ifndef BLOCK_JOB_H
#define BLOCK_JOB_H

#include "block/node.h"
#include "util/json.h"

typedef enum { JOB_CREATED, JOB_RUNNING, JOB_PAUSED, JOB_READY, JOB_STANDBY, JOB_WAITING,
               JOB_PENDING, JOB_ABORTING, JOB_CONCLUDED, JOB_NULL } JobStatus;

typedef struct Job Job;
typedef struct JobGroup JobGroup;

typedef struct JobDriver {
    const char *type;                   /* "mirror" */
    bool block;                         /* a block job: in query-block-jobs, BLOCK_JOB_* events */
    bool can_complete;                  /* gets ready, and ends when told to */
    size_t size;                        /* of the struct that starts with Job */
    int (*run)(Job *j, Error **err);    /* [thread] 0 or -errno; err optional */
    /* The work is done: what makes it count, with the graph's write lock.  False: it failed. */
    bool (*prepare)(Job *j, Error **err);
    /* The end, good or bad, with the graph's write lock: observers and references go. */
    void (*clean)(Job *j, bool ok);
} JobDriver;

typedef enum { JOB_ERROR_REPORT, JOB_ERROR_IGNORE, JOB_ERROR_ENOSPC, JOB_ERROR_STOP } JobOnError;
extern const char *const job_on_error_names[];         /* in that order, NULL */

typedef struct JobOptions {
    char *id;                           /* g_strdup'd by job_new */
    bool manual_finalize, manual_dismiss;
    uint64_t speed;                     /* bytes a second, 0 = as it goes */
    JobOnError on_source_error, on_target_error;
} JobOptions;

struct Job {
    const JobDriver *driver;
    char *id;
    JobOptions options;
    GThread *thread;
    unsigned refs;                      /* [atomic] */
    GMutex lock;
    GCond changed;

    /* [lock] */
    JobStatus status, shown;            /* shown: what the last event said */
    bool told_ready;
    uint64_t done, total;
    bool cancel, force;                 /* asked to end; force: without waiting, result lost */
    bool soft_end;                      /* a ready job that was cancelled: ends well, without pivot */
    bool complete;                      /* asked to end well */
    bool ready, ended;
    unsigned pause;                     /* requests to pause */
    bool parked;                        /* waits in a pause */
    bool io_failed, nospace;            /* paused by an error */
    int ret;
    Error *error;
    int64_t slice_end, slice_bytes;     /* of the speed limit */

    JobGroup *group;                    /* [bql] a reference, or NULL */
    BlockNode *nodes[4];                /* marked busy, referenced; by job_add_node */
    unsigned n_nodes;
};

/* NULL with err: the id is taken.  Nothing runs yet; job_start or job_drop follows. */
Job *job_new(const JobDriver *d, const JobOptions *o, Error **err);
/* Nobody else may remove, resize or work on the node meanwhile.  False: somebody does. */
bool job_add_node(Job *j, BlockNode *n, Error **err);
/* Jobs that end together: none counts before all are done, and when one fails all do. */
JobGroup *job_group_new(void);
void job_group_unref(JobGroup *g);      /* of the maker; NULL is fine */
void job_join(Job *j, JobGroup *g);     /* before it starts */
void job_start(Job *j);
void job_drop(Job *j);                  /* one that was not started */
Job *job_find(const char *id);
void job_foreach(void (*fn)(Job *j, void *opaque), void *opaque);

bool job_pause(Job *j, Error **err);
bool job_resume(Job *j, Error **err);
bool job_cancel(Job *j, bool force, Error **err);
bool job_complete(Job *j, Error **err);
bool job_finalize(Job *j, Error **err);
bool job_dismiss(Job *j, Error **err);
bool job_set_speed(Job *j, uint64_t speed, Error **err);
Json *job_info(Job *j);                 /* as query-jobs has it */
Json *block_job_info(Job *j);           /* as query-block-jobs has it */
/* At exit: all end without a result. */
void job_cancel_all(void);

/* [thread] Pauses, if so wished.  False: end now (force or cancelled before it was ready). */
bool job_pause_point(Job *j);
/* [thread] So much of the work is done; waits as the speed limit wants. */
void job_progress(Job *j, uint64_t bytes);
void job_set_total(Job *j, uint64_t total);             /* [thread] or before the start */
/* [thread] From now on everything is in step; tells the client, once. */
void job_set_ready(Job *j);
/* [thread] Waits until ms passed or something is asked of the job. */
void job_sleep(Job *j, unsigned ms);
void job_wake(Job *j);                                  /* any thread */
/* [thread] Asked to end well (or softly). */
bool job_should_complete(Job *j);
/* [thread] A request failed with errnum: true to go on (the request must be done again or be
 * left out as *ignore says), false to give up.  Announces it, pauses where the policy says so. */
bool job_error(Job *j, bool is_read, int errnum, bool *ignore);

#endif
