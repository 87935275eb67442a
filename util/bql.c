/* SPDX-License-Identifier: MIT */
/*
 * The big lock: a mutex plus a per-thread note of who holds it, because device accesses are
 * reached both with and without it.  Not recursive on purpose: bql_lock asserts.
 */
#include "util/bql.h"

static GMutex mutex;
static __thread bool held;

void bql_lock(void)
{
    g_assert(!held);
    g_mutex_lock(&mutex);
    held = true;
}

void bql_unlock(void)
{
    g_assert(held);
    held = false;
    g_mutex_unlock(&mutex);
}

bool bql_locked(void)
{
    return held;
}

void bql_wait(GCond *cond)
{
    g_assert(held);
    held = false;
    g_cond_wait(cond, &mutex);
    held = true;
}

bool bql_wait_until(GCond *cond, gint64 monotonic_us)
{
    g_assert(held);
    held = false;
    bool signalled = g_cond_wait_until(cond, &mutex, monotonic_us);
    held = true;
    return signalled;
}
