/* SPDX-License-Identifier: MIT */
/*
 * The big lock: guards device state, the memory tree, timers, back-ends, run state.  The main
 * thread holds it except while it waits for events; a vCPU thread takes it around device
 * accesses and never while it runs guest code.
 */
#ifndef UTIL_BQL_H
#define UTIL_BQL_H

#include <glib.h>
#include <stdbool.h>

void bql_lock(void);
/* Only if nobody has it or waits for it. */
bool bql_trylock(void);
void bql_unlock(void);
bool bql_locked(void);                  /* by this thread */
void bql_wait(GCond *cond);             /* as g_cond_wait with the big lock */
bool bql_wait_until(GCond *cond, gint64 monotonic_us);
/* A thread that the holder of the lock may wait for (a vCPU inside guest code) can have itself
 * told: leave before it waits, for the lock or with bql_wait, and enter after it gave it back.  For this thread;
 * NULL ends it. */
void bql_set_hooks(void (*leave)(void *opaque), void (*enter)(void *opaque), void *opaque);

#endif
