/* SPDX-License-Identifier: MIT */
/*
 * The life of a vCPU thread: wait until there is something to run, run, act on the reason.
 * Every vCPU has one, or all take turns in one (cpus_one_thread): a turn ends when the vCPU has
 * nothing to do, when it spins, when somebody wants another one, or after SLICE.
 */
#include "system/cpus.h"

#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "accel/accel.h"
#include "hw/core/sysctl.h"
#include "system/runstate.h"
#include "util/bql.h"
#include "util/log.h"
#include "util/rcu.h"
#include "util/timer.h"

int cpu_debugged = -1;

static GCond changed;           /* [bql] some CPU.created or CPU.stopped turned true */
static Error *create_error;     /* [bql] the first vCPU the accelerator could not make */

/* ---- the thread ------------------------------------------------------------------------ */

static bool runnable(CPU *c)
{
    bool asleep = c->halted && !c->sleeps_inside && !c->ops->has_work(c);
    return !c->stopped && !c->debug_hold && c->accel->run && !asleep;
}

/*
 * True when the vCPU has something to run.  EXIT is cleared before looking at what it stands
 * for; the big lock, which whoever asks holds too, is kept until run().
 */
static bool wants_to_run(CPU *c)
{
    cpu_clear_request(c, CPU_REQ_EXIT);
    cpu_run_work(c);
    if (c->stop && !c->stopped) {
        c->stopped = true;
        g_cond_broadcast(&changed);
    }
    return runnable(c);
}

static void handle_exit(CPU *c, ExitReason why)
{
    switch (why) {
    case EXIT_KICKED:
    case EXIT_HALTED:
        break;
    case EXIT_RESET:
        LOG(LOG_CPU_RESET | LOG_INT, "CPU %d: triple fault\n", c->index);
        machine_request_reset();
        break;
    case EXIT_DEBUG:
        if (cpu_debugged < 0) {
            cpu_debugged = c->index;
        }
        c->stop = true;                 /* not one instruction more meanwhile */
        runstate_request_stop(RUN_STATE_DEBUG);
        break;
    case EXIT_ERROR:
        runstate_request_stop(RUN_STATE_INTERNAL_ERROR);
        break;
    }
}

static bool create(CPU *c)
{
    cpu_set_current(c);
    c->thread_id = syscall(SYS_gettid);
    bool ok = !c->accel->cpu_create || c->accel->cpu_create(c, create_error ? NULL : &create_error);
    c->created = true;
    g_cond_broadcast(&changed);
    return ok;
}

static void run(CPU *c)
{
    bql_unlock();
    ExitReason why = c->accel->run(c);
    bql_lock();
    handle_exit(c, why);
}

static gpointer vcpu_thread(gpointer opaque)
{
    CPU *c = opaque;

    rcu_register_thread();
    bql_lock();
    bool ok = create(c);
    while (ok && !c->unplug) {
        if (wants_to_run(c)) {
            run(c);
        } else if (!c->unplug) {
            cpu_sleep(c);
        }
    }
    if (ok && c->accel->cpu_destroy) {
        c->accel->cpu_destroy(c);
    }
    bql_unlock();
    return NULL;
}

/* ---- one thread for all ---------------------------------------------------------------- */

#define SLICE (10 * NS_PER_MS)

static void slice_over(void *opaque)
{
    CPU *c = __atomic_load_n(&cpu_running, __ATOMIC_SEQ_CST);
    if (c) {
        __atomic_fetch_or(&c->request, CPU_REQ_EXIT, __ATOMIC_SEQ_CST);
    }
}

/* The next one behind `last` that has something to run; NULL: none.  Looks at all of them. */
static CPU *next_in_turn(const CPU *last)
{
    CPU *next = NULL;
    for (guint k = 1; k <= cpus->len; k++) {
        CPU *c = cpu_by_index((last->index + k) % cpus->len);
        cpu_set_current(c);
        if (wants_to_run(c) && !next) {
            next = c;
        }
    }
    return next;
}

/* cpu_running is set while the big lock is held: whoever asks for another vCPU later than
 * next_in_turn has looked at it either finds cpu_running, or the slice's end finds that vCPU. */
static void run_in_turn(CPU *c, Timer *slice)
{
    cpu_set_current(c);
    if (!timer_pending(slice)) {
        timer_mod(slice, clock_ns(ORRERY_CLOCK_REAL) + SLICE);
    }
    __atomic_store_n(&cpu_running, c, __ATOMIC_SEQ_CST);
    run(c);
    __atomic_store_n(&cpu_running, NULL, __ATOMIC_SEQ_CST);
}

static gpointer shared_thread(gpointer opaque)
{
    CPU *first = cpu_by_index(0), *last = first;
    Timer slice;
    bool ok = true;

    rcu_register_thread();
    bql_lock();
    timer_init(&slice, ORRERY_CLOCK_REAL, slice_over, NULL);
    for (guint i = 0; i < cpus->len && ok; i++) {
        ok = create(cpu_by_index(i));
    }
    while (ok && !first->unplug) {
        CPU *c = next_in_turn(last);
        if (c) {
            run_in_turn(c, &slice);
            last = c;
        } else if (!first->unplug) {
            cpu_sleep(first);
        }
    }
    timer_del(&slice);
    for (guint i = 0; i < cpus->len && ok; i++) {
        CPU *c = cpu_by_index(i);
        cpu_set_current(c);
        if (c->accel->cpu_destroy) {
            c->accel->cpu_destroy(c);
        }
    }
    bql_unlock();
    return NULL;
}

/* ---- all of them ----------------------------------------------------------------------- */

static bool start_thread(CPU *c, Error **err)
{
    char name[16];
    if (cpus_one_thread && c->index) {
        c->thread = cpu_by_index(0)->thread;
        return true;
    }
    snprintf(name, sizeof(name), cpus_one_thread ? "CPUs" : "CPU %d", c->index);
    c->thread = g_thread_try_new(name, cpus_one_thread ? shared_thread : vcpu_thread, c, err);
    if (!c->thread) {
        g_prefix_error(err, "can't start the thread of CPU %d: ", c->index);
    }
    return c->thread != NULL;
}

bool cpus_start(Error **err)
{
    for (guint i = 0; i < cpus->len; i++) {
        CPU *c = cpu_by_index(i);
        c->stop = true;
        if (cpus_one_thread) {
            c->sleep = &cpu_by_index(0)->own_sleep;
        }
    }
    for (guint i = 0; i < cpus->len; i++) {
        CPU *c = cpu_by_index(i);
        if (!start_thread(c, err)) {
            return false;
        }
        while (!c->created && !create_error) {
            bql_wait(&changed);
        }
        if (create_error) {
            g_propagate_error(err, create_error);
            create_error = NULL;
            return false;
        }
    }
    cpus_pause_all();
    return true;
}

static bool all_stopped(void)
{
    for (guint i = 0; i < cpus->len; i++) {
        CPU *c = cpu_by_index(i);
        if (c->thread && !c->stopped) {
            return false;
        }
    }
    return true;
}

void cpus_pause_all(void)
{
    g_assert(!cpu_current());
    for (guint i = 0; i < cpus->len; i++) {
        CPU *c = cpu_by_index(i);
        c->stop = true;
        cpu_request(c, CPU_REQ_EXIT);
    }
    while (!all_stopped()) {
        bql_wait(&changed);
    }
}

void cpus_resume_all(void)
{
    for (guint i = 0; i < cpus->len; i++) {
        CPU *c = cpu_by_index(i);
        c->stop = c->stopped = false;
        cpu_wake(c);
    }
}

void cpus_stop_current(void)
{
    CPU *c = cpu_current();
    if (c) {
        c->stop = true;
        cpu_request(c, CPU_REQ_EXIT);
    }
}

void cpus_end(void)
{
    for (guint i = 0; i < cpus->len; i++) {
        CPU *c = cpu_by_index(i);
        GThread *thread = c->thread;
        c->unplug = true;
        c->thread = NULL;
        if (thread && !(cpus_one_thread && i)) {
            cpu_request(c, CPU_REQ_EXIT);
            bql_unlock();
            g_thread_join(thread);
            bql_lock();
        }
    }
}
