/* SPDX-License-Identifier: MIT */
/*
 * The part of a virtual CPU that is the same under every accelerator and architecture:
 * requests from other threads, work to be done on the vCPU's own thread, sleeping.
 *
 * Waking: a waker may hold any lock or none, so a sleeping vCPU can't wait on a condition of
 * the big lock.  It waits for its own `awake` flag under a leaf lock instead; whoever changed
 * something it may care about sets the flag afterwards.  The vCPU clears the flag before it
 * looks again, so a change between look and sleep is never lost.  vCPUs that share a thread
 * share the flag.
 */
#include "accel/cpu.h"
#include "accel/accel.h"
#include "util/bql.h"
#include "util/fence.h"

typedef struct CPUWork {
    void (*fn)(CPU *c, void *opaque);
    void *opaque;
    bool *done;                 /* NULL: nobody waits */
} CPUWork;

GPtrArray *cpus;
bool cpus_one_thread;
CPU *cpu_running;
static GCond work_done;         /* [bql] some CPUWork with a waiter was performed */
static __thread CPU *current;

static void __attribute__((constructor)) make_list(void)
{
    cpus = g_ptr_array_new();
}

void cpu_init(CPU *c, int index, const TargetOps *ops)
{
    g_assert((guint)index == cpus->len);
    c->index = index;
    c->ops = ops;
    c->accel = accel_current;
    c->as = &address_space_memory;
    c->as_smm = &address_space_memory;
    c->as_io = &address_space_io;
    c->stop = true;
    g_mutex_init(&c->own_sleep.lock);
    g_cond_init(&c->own_sleep.cond);
    c->sleep = &c->own_sleep;
    g_queue_init(&c->work);
    g_ptr_array_add(cpus, c);
}

CPU *cpu_current(void)
{
    return current;
}

CPU *cpu_of_access(void)
{
    CPU *c = current;

    return c && (!c->accel->access_registers || c->accel->access_registers(c)) ? c : NULL;
}

void cpu_set_current(CPU *c)
{
    current = c;
    runs_guest_code = c != NULL;
}

void cpu_wake(CPU *c)
{
    CPUSleep *s = c->sleep;
    g_mutex_lock(&s->lock);
    s->awake = true;
    g_cond_signal(&s->cond);
    g_mutex_unlock(&s->lock);
}

void cpu_sleep(CPU *c)
{
    CPUSleep *s = c->sleep;
    bql_unlock();
    g_mutex_lock(&s->lock);
    while (!s->awake) {
        g_cond_wait(&s->cond, &s->lock);
    }
    s->awake = false;
    g_mutex_unlock(&s->lock);
    bql_lock();
}

void cpu_request(CPU *c, uint32_t bits)
{
    __atomic_fetch_or(&c->request, bits, __ATOMIC_SEQ_CST);
    if (c == current) {
        return;
    }
    if (c->accel && c->accel->kick) {
        c->accel->kick(c);
    }
    CPU *running = __atomic_load_n(&cpu_running, __ATOMIC_SEQ_CST);
    if (running && running != c) {
        __atomic_fetch_or(&running->request, CPU_REQ_EXIT, __ATOMIC_SEQ_CST);
    }
    cpu_wake(c);
}

void cpu_yield(CPU *c)
{
    if (cpus->len > 1 && cpus_one_thread) {
        __atomic_fetch_or(&c->request, CPU_REQ_EXIT, __ATOMIC_SEQ_CST);
    } else if (cpus->len > 1) {
        g_thread_yield();
    }
}

static void queue_work(CPU *c, void (*fn)(CPU *c, void *opaque), void *opaque, bool *done)
{
    CPUWork *w = g_new(CPUWork, 1);
    *w = (CPUWork) { fn, opaque, done };
    g_queue_push_tail(&c->work, w);
    cpu_request(c, CPU_REQ_EXIT);
}

void cpu_run_async(CPU *c, void (*fn)(CPU *c, void *opaque), void *opaque)
{
    queue_work(c, fn, opaque, NULL);
}

void cpu_run_on(CPU *c, void (*fn)(CPU *c, void *opaque), void *opaque)
{
    g_assert(bql_locked());
    /* Before its thread exists nobody else looks at the CPU; nor does anybody while another
     * vCPU of the same thread runs. */
    if (c == current || !c->created || (current && c->thread == current->thread)) {
        CPU *was = current;
        current = was ? c : NULL;
        fn(c, opaque);
        current = was;
        return;
    }
    bool done = false;
    queue_work(c, fn, opaque, &done);
    while (!done) {
        bql_wait(&work_done);
    }
}

void cpu_run_work(CPU *c)
{
    CPUWork *w;
    while ((w = g_queue_pop_head(&c->work))) {
        w->fn(c, w->opaque);
        if (w->done) {
            *w->done = true;
            g_cond_broadcast(&work_done);
        }
        g_free(w);
    }
}
