/* SPDX-License-Identifier: MIT */
/*
 * Starting block jobs.  Each returns the job not yet started (so that a transaction can start
 * several or none), or NULL with err.  Nodes and strings stay the caller's.  [bql]
 */
#ifndef BLOCK_JOBS_H
#define BLOCK_JOBS_H

#include "block/dirtymap.h"
#include "block/job.h"

typedef enum { SYNC_FULL, SYNC_TOP, SYNC_NONE, SYNC_INCREMENTAL, SYNC_BITMAP } JobSync;
extern const char *const job_sync_names[];              /* NULL at the end */

typedef struct MirrorOptions {
    BlockNode *source, *target, *replaces;      /* replaces: instead of source; NULL */
    JobSync sync;
    uint64_t granularity, buf_size;             /* 0: by itself */
    bool blocking;                              /* copy-mode=write-blocking */
    BlockNode *backing;                         /* the target gets it at the end; NULL: stays */
} MirrorOptions;
Job *job_mirror(const JobOptions *o, const MirrorOptions *m, Error **err);

/* What top has over base goes into base.  active: top is what the device sees, the job gets
 * ready and then puts base in its place; else the node over top goes on with base, recording
 * backing_file (NULL: its name). */
Job *job_commit(const JobOptions *o, BlockNode *active, BlockNode *top, BlockNode *base,
                const char *backing_file, Error **err);

/* What n has below itself, down to base (not included; NULL: everything), becomes its own. */
Job *job_stream(const JobOptions *o, BlockNode *active, BlockNode *n, BlockNode *base,
                const char *backing_file, Error **err);

typedef struct BackupOptions {
    BlockNode *source, *target;
    JobSync sync;
    bool compress;
    DirtyBitmap *bitmap;                        /* of incremental and bitmap */
    int bitmap_mode;                            /* 0 on-success, 1 never, 2 always */
} BackupOptions;
Job *job_backup(const JobOptions *o, const BackupOptions *b, Error **err);

/* options: of blockdev-create, with "driver" (given away). */
Job *job_create(const JobOptions *o, Json *options, Error **err);

/* [thread] Walks over the disk and calls copy, with the graph's read lock, for each stretch that top
 * has over base (not included; NULL: to the end).  copy may do less and says so in st->len; buf has
 * JOB_PIECE bytes; *reading (true before) tells which side failed.  Errors, pauses and the speed
 * limit are dealt with here; at the end target is flushed. */
#define JOB_PIECE (1u << 20)
int job_walk(Job *j, BlockNode *top, BlockNode *base, BlockNode *target,
             int (*copy)(Job *j, uint64_t off, BlockStatus *st, uint8_t *buf, bool *reading));

#endif
