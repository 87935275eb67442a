/* SPDX-License-Identifier: MIT */
/*
 * Read-copy-update: readers of a shared structure announce themselves at the cost of two
 * plain stores; a writer publishes a new version and frees the old one when every reader
 * that may have seen it is gone.
 *
 * A read section is short and never takes the big lock, never sleeps.  They nest.
 */
#ifndef UTIL_RCU_H
#define UTIL_RCU_H

#include <stdbool.h>
#include <stdint.h>

typedef struct RcuReader {
    uint64_t epoch;                     /* [atomic] 0 outside, else the epoch of entry */
    uint32_t depth;                     /* own thread */
    bool registered;                    /* own thread */
    struct RcuReader *next;             /* list of threads, under the registry lock */
} RcuReader;

/* A full fence here and now in every thread of the process.  False: in this one only, the kernel
 * has no membarrier. */
bool all_threads_fence(void);

extern __thread RcuReader rcu_reader;
extern uint64_t rcu_epoch;              /* [atomic] never 0 */
extern bool rcu_need_fence;             /* the kernel has no membarrier */

void rcu_register_thread(void);

static inline void rcu_read_lock(void)
{
    if (rcu_reader.depth++ == 0) {
        if (__builtin_expect(!rcu_reader.registered, 0)) {
            rcu_register_thread();
        }
        __atomic_store_n(&rcu_reader.epoch, __atomic_load_n(&rcu_epoch, __ATOMIC_RELAXED),
                         __ATOMIC_RELAXED);
        __atomic_signal_fence(__ATOMIC_SEQ_CST);
        if (rcu_need_fence) {
            __atomic_thread_fence(__ATOMIC_SEQ_CST);
        }
    }
}

static inline void rcu_read_unlock(void)
{
    if (--rcu_reader.depth == 0) {
        __atomic_store_n(&rcu_reader.epoch, 0, __ATOMIC_RELEASE);
    }
}

/* Wait until every read section that was open at the call is closed.  Any thread, not inside
 * a read section; with or without the big lock. */
void rcu_synchronize(void);
/* Call fn(p) after such a wait, on a thread of its own, without the big lock. */
void rcu_defer(void (*fn)(void *p), void *p);
/* Wait until everything deferred so far was called (tests, orderly exit). */
void rcu_drain(void);

#endif
