/* SPDX-License-Identifier: MIT */
/*
 * Threads for requests.  The one that went to sleep last is woken first, since its memory is
 * still in the cache; those that nobody needs for a while end.
 */
#include "block/pool.h"
#include "util/spin.h"
#include "util/timer.h"

#include <glib.h>

#define THREADS_MAX 64u
#define IDLE_US     (10 * G_USEC_PER_SEC)

struct PoolLane {
    PoolJob *first, **end;
    bool busy;                          /* a thread has it, and takes the next job */
    bool orphan;                        /* who has it frees it */
    void (*sleeps)(void *opaque);
    void *opaque;
};

/* Never freed: whoever wakes one does it outside the lock. */
typedef struct Worker {
    GCond wake;
    PoolJob *job;
    struct Worker *next;                /* idle, or retired */
} Worker;

static GMutex lock;
static Worker *idle, *retired;
static unsigned threads;
static PoolJob *waiting, **waiting_end = &waiting;      /* for a thread: there are enough of them */
static _Thread_local PoolLane *current; /* of the job this thread runs */

static void append(PoolJob *j, PoolJob ***end)
{
    j->next = NULL;
    __atomic_store_n(*end, j, __ATOMIC_RELAXED);        /* see pool_lane_wait */
    *end = &j->next;
}

static PoolJob *take(PoolJob **first, PoolJob ***end)
{
    PoolJob *j = *first;
    if (j && !(*first = j->next)) {
        *end = first;
    }
    return j;
}

/* Lock held.  The lane's next job; if there is none, the lane is free. */
static PoolJob *next_of(PoolLane *l)
{
    PoolJob *j = take(&l->first, &l->end);
    l->busy = j != NULL;
    if (!j && l->orphan) {
        g_free(l);
    }
    return j;
}

static PoolJob *wait_for_job(Worker *w)
{
    w->next = idle;
    idle = w;
    int64_t end = g_get_monotonic_time() + IDLE_US;
    while (!w->job && g_cond_wait_until(&w->wake, &lock, end)) {
    }
    if (!w->job) {
        Worker **p = &idle;
        while (*p != w) {
            p = &(*p)->next;
        }
        *p = w->next;
    }
    return g_steal_pointer(&w->job);
}

static gpointer work(gpointer data)
{
    Worker *w = data;
    g_mutex_lock(&lock);
    for (PoolJob *j = g_steal_pointer(&w->job); j;) {
        current = j->lane;
        g_mutex_unlock(&lock);
        j->run(j);
        g_mutex_lock(&lock);
        j = current ? next_of(current) : NULL;
        if (j && waiting) {             /* its turn comes */
            append(j, &waiting_end);
            j = NULL;
        }
        j = j ? j : take(&waiting, &waiting_end);
        j = j ? j : wait_for_job(w);
    }
    threads--;
    w->next = retired;
    retired = w;
    g_mutex_unlock(&lock);
    return NULL;
}

/* Lock held, and dropped. */
static void dispatch(PoolJob *j)
{
    Worker *w = idle;
    bool fresh = !w && threads < THREADS_MAX;
    if (w) {
        idle = w->next;
    } else if (fresh && (w = retired)) {
        retired = w->next;
    } else if (fresh) {
        w = g_new0(Worker, 1);
        g_cond_init(&w->wake);
    } else {
        append(j, &waiting_end);
    }
    threads += fresh;
    if (w) {
        w->job = j;
    }
    g_mutex_unlock(&lock);
    if (fresh) {
        g_thread_unref(g_thread_new("block", work, w));
    } else if (w) {
        g_cond_signal(&w->wake);
    }
}

void pool_push(PoolJob *j, PoolLane *lane)
{
    j->lane = lane;
    g_mutex_lock(&lock);
    if (lane && lane->busy) {
        append(j, &lane->end);
        g_mutex_unlock(&lock);
        return;
    }
    if (lane) {
        lane->busy = true;
    }
    dispatch(j);
}

void pool_sleeps(void)
{
    if (!current) {
        return;
    }
    if (current->sleeps) {
        current->sleeps(current->opaque);
    }
    g_mutex_lock(&lock);
    PoolJob *j = next_of(g_steal_pointer(&current));
    if (j) {
        dispatch(j);
    } else {
        g_mutex_unlock(&lock);
    }
}

bool pool_in_lane(void)
{
    return current != NULL;
}

bool pool_lane_wait(int64_t ns)
{
    if (!current) {
        return false;
    }
    int64_t end = clock_ns(ORRERY_CLOCK_REAL) + ns;
    /* those who wait for a thread come first: the lane's turn may be far away */
    while (!__atomic_load_n(&waiting, __ATOMIC_RELAXED)) {
        for (int i = 0; i < 8; i++) {
            if (__atomic_load_n(&current->first, __ATOMIC_RELAXED)) {
                return true;
            }
            spin_pause();
        }
        if (clock_ns(ORRERY_CLOCK_REAL) > end) {
            break;
        }
    }
    return false;
}

PoolLane *pool_lane_new(void (*sleeps)(void *opaque), void *opaque)
{
    PoolLane *l = g_new0(PoolLane, 1);
    l->end = &l->first;
    l->sleeps = sleeps;
    l->opaque = opaque;
    return l;
}

void pool_lane_free(PoolLane *l)
{
    g_mutex_lock(&lock);
    l->orphan = true;
    bool unused = !l->busy;
    g_mutex_unlock(&lock);
    if (unused) {
        g_free(l);
    }
}
