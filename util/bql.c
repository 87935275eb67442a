/* SPDX-License-Identifier: MIT */
/*
 * The big lock: a mutex plus a per-thread note of who holds it, because device accesses are
 * reached both with and without it.  Not recursive on purpose: bql_lock asserts.
 */
#include "util/bql.h"

static GMutex mutex;
/*
 * Whoever waits for the lock holds this one meanwhile, so that a thread which gives the lock
 * back and wants it again at once (a vCPU in a loop of port accesses) queues behind him.
 */
static GMutex next;
static unsigned waiting;                /* [atomic] threads that have, or want, `next` */
static __thread bool held;
static __thread struct {
    void (*leave)(void *opaque), (*enter)(void *opaque);
    void *opaque;
} hooks;
static __thread bool left;              /* hooks.leave was called, hooks.enter is owed */

void bql_set_hooks(void (*leave)(void *opaque), void (*enter)(void *opaque), void *opaque)
{
    hooks.leave = leave;
    hooks.enter = enter;
    hooks.opaque = opaque;
    left = false;
}

static void leave(void)
{
    if (hooks.leave && !left) {
        hooks.leave(hooks.opaque);
        left = true;
    }
}

void bql_lock(void)
{
    g_assert(!held);
    if (__atomic_load_n(&waiting, __ATOMIC_RELAXED) || !g_mutex_trylock(&mutex)) {
        leave();
        __atomic_fetch_add(&waiting, 1, __ATOMIC_RELAXED);
        g_mutex_lock(&next);
        g_mutex_lock(&mutex);
        g_mutex_unlock(&next);
        __atomic_fetch_sub(&waiting, 1, __ATOMIC_RELAXED);
    }
    held = true;
}

bool bql_trylock(void)
{
    g_assert(!held && !hooks.leave);    /* a vCPU waits its turn */
    held = !__atomic_load_n(&waiting, __ATOMIC_RELAXED) && g_mutex_trylock(&mutex);
    return held;
}

void bql_unlock(void)
{
    g_assert(held);
    held = false;
    g_mutex_unlock(&mutex);
    if (left) {
        left = false;
        hooks.enter(hooks.opaque);
    }
}

bool bql_locked(void)
{
    return held;
}

void bql_wait(GCond *cond)
{
    g_assert(held);
    leave();
    held = false;
    g_cond_wait(cond, &mutex);
    held = true;
}

bool bql_wait_until(GCond *cond, gint64 monotonic_us)
{
    g_assert(held);
    leave();
    held = false;
    bool signalled = g_cond_wait_until(cond, &mutex, monotonic_us);
    held = true;
    return signalled;
}
