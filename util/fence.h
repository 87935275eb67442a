/* SPDX-License-Identifier: MIT */
/*
 * A fence between devices and guest code that runs at the same time: a device stores that
 * something is there, then looks whether the guest wants to be told; the guest does it the other
 * way round.  Without fences on both sides each may miss the other's store.
 *
 * The guest's fences are its locked instructions.  An engine with one thread for all guest code
 * leaves the host's lock prefix out, and with it the fence: the device must then make that thread
 * execute one, unless it is that thread.
 */
#ifndef UTIL_FENCE_H
#define UTIL_FENCE_H

#include <stdbool.h>
#include "util/rcu.h"

extern bool guest_locks_are_free;       /* [bql] set by the engine: see above */
extern __thread bool runs_guest_code;   /* this thread is a vCPU's */

static inline void guest_fence(void)
{
    if (!guest_locks_are_free) {
        __atomic_thread_fence(__ATOMIC_SEQ_CST);
    } else if (!runs_guest_code) {
        all_threads_fence();
    }
}

#endif
