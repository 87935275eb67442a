/* SPDX-License-Identifier: MIT */
/*
 * Threads that do what may sleep.  Each job gets a thread of its own at once (up to a limit),
 * except those of a lane: these go one after the other, by one thread that stays awake between
 * them - as long as none sleeps.  Writes into the page cache are such jobs: the kernel takes one
 * at a time of each file anyway, and threads that wait for each other cost more than the writes.
 *
 * A driver that is about to wait (for a disk, a server, another request) says so: the lane then
 * goes on without it.  Saying it too often costs parallelism nothing and speed little; forgetting
 * it makes jobs of one lane wait, never hang.
 */
#ifndef BLOCK_POOL_H
#define BLOCK_POOL_H

#include <stdbool.h>
#include <stdint.h>

typedef struct PoolJob PoolJob;
typedef struct PoolLane PoolLane;

/* Part of what it works on; run may free it. */
struct PoolJob {
    void (*run)(PoolJob *j);
    PoolLane *lane;                     /* for pool.c, like the next */
    PoolJob *next;
};

/* sleeps (NULL: nothing) is called on the thread that has the lane, when its job says that it
 * sleeps, before another one may have the lane.  Any thread. */
PoolLane *pool_lane_new(void (*sleeps)(void *opaque), void *opaque);
/* Of nobody who pushes jobs any more; those that were pushed run. */
void pool_lane_free(PoolLane *l);

/* lane NULL: beside all others.  Any thread. */
void pool_push(PoolJob *j, PoolLane *lane);

/* The job that this thread runs will sleep now.  Any thread: what is not a job does nothing. */
void pool_sleeps(void);
/* Would pool_sleeps change anything? */
bool pool_in_lane(void);
/* Stays awake for at most ns, until this thread's lane has another job, which this thread then takes
 * next.  false: none came, or the thread has no lane. */
bool pool_lane_wait(int64_t ns);

#endif
