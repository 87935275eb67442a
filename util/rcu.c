/* SPDX-License-Identifier: MIT */
/*
 * Read-copy-update over per-thread epochs.  The reader's store of its epoch must be visible
 * before its loads of the structure.  Instead of a fence in every reader, the writer makes all
 * threads of the process execute one (membarrier, Linux 4.14); where the kernel refuses,
 * readers fall back to a fence of their own.
 */
#include "util/rcu.h"

#include <glib.h>
#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>

__thread RcuReader rcu_reader;
uint64_t rcu_epoch = 1;
bool rcu_need_fence = true;              /* until the kernel has agreed to membarrier */

static GMutex registry_lock;            /* the list of readers */
static RcuReader *readers;
static GMutex sync_lock;                /* one writer waits at a time */

static int membarrier(int cmd)
{
    return syscall(SYS_membarrier, cmd, 0, 0);
}

/* Every reader and every writer comes through here first, so a writer knows what the readers
 * may rely on. */
static void choose_barrier(void)
{
    static gsize chosen;
    if (g_once_init_enter(&chosen)) {
        bool refused = membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED) != 0;
        __atomic_store_n(&rcu_need_fence, refused, __ATOMIC_RELEASE);
        g_once_init_leave(&chosen, 1);
    }
}

static void unregister_thread(gpointer reader)
{
    g_mutex_lock(&registry_lock);
    for (RcuReader **p = &readers; *p; p = &(*p)->next) {
        if (*p == reader) {
            *p = (*p)->next;
            break;
        }
    }
    g_mutex_unlock(&registry_lock);
}

void rcu_register_thread(void)
{
    choose_barrier();
    static GPrivate at_exit = G_PRIVATE_INIT(unregister_thread);
    g_private_set(&at_exit, &rcu_reader);
    g_mutex_lock(&registry_lock);
    rcu_reader.next = readers;
    readers = &rcu_reader;
    rcu_reader.registered = true;
    g_mutex_unlock(&registry_lock);
}

bool all_threads_fence(void)
{
    choose_barrier();
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    return !rcu_need_fence && !membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED);
}

/* Is a reader still in a section it entered before target began?  A reader that loaded the
 * old epoch but has not stored it yet is caught by the fence between the two looks. */
static bool old_readers(uint64_t target)
{
    bool found = false;
    g_mutex_lock(&registry_lock);
    for (RcuReader *r = readers; r && !found; r = r->next) {
        uint64_t epoch = __atomic_load_n(&r->epoch, __ATOMIC_ACQUIRE);
        found = epoch && epoch < target;
    }
    g_mutex_unlock(&registry_lock);
    return found;
}

void rcu_synchronize(void)
{
    choose_barrier();
    g_mutex_lock(&sync_lock);
    all_threads_fence();
    uint64_t target = __atomic_add_fetch(&rcu_epoch, 1, __ATOMIC_SEQ_CST);
    all_threads_fence();
    unsigned spins = 0;
    while (old_readers(target)) {
        if (++spins < 100) {
            g_thread_yield();
        } else {
            g_usleep(50);
        }
    }
    all_threads_fence();
    g_mutex_unlock(&sync_lock);
}

/* ---- deferred calls: a thread that sleeps until there is one ------------------------- */

typedef struct Deferred {
    void (*fn)(void *p);
    void *p;
} Deferred;

static GMutex queue_lock;
static GCond queue_cond;
static GArray *queue;                   /* of Deferred, filled by rcu_defer */
static uint64_t queued, called;

static gpointer rcu_thread(gpointer unused)
{
    g_mutex_lock(&queue_lock);
    for (;;) {
        while (!queue) {
            g_cond_wait(&queue_cond, &queue_lock);
        }
        GArray *batch = g_steal_pointer(&queue);
        g_mutex_unlock(&queue_lock);
        rcu_synchronize();
        for (guint i = 0; i < batch->len; i++) {
            Deferred *d = &g_array_index(batch, Deferred, i);
            d->fn(d->p);
        }
        g_mutex_lock(&queue_lock);
        called += batch->len;
        g_array_free(batch, TRUE);
        g_cond_broadcast(&queue_cond);
    }
    return NULL;
}

void rcu_defer(void (*fn)(void *p), void *p)
{
    static gsize started;
    if (g_once_init_enter(&started)) {
        g_thread_unref(g_thread_new("rcu", rcu_thread, NULL));
        g_once_init_leave(&started, 1);
    }
    Deferred d = { fn, p };
    g_mutex_lock(&queue_lock);
    if (!queue) {
        queue = g_array_new(FALSE, FALSE, sizeof(Deferred));
    }
    g_array_append_val(queue, d);
    queued++;
    g_cond_broadcast(&queue_cond);
    g_mutex_unlock(&queue_lock);
}

void rcu_drain(void)
{
    g_mutex_lock(&queue_lock);
    uint64_t until = queued;
    while (called < until) {
        g_cond_wait(&queue_cond, &queue_lock);
    }
    g_mutex_unlock(&queue_lock);
}
