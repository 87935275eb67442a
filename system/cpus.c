/* SPDX-License-Identifier: MIT */
/*
 * The life of a vCPU thread: wait until there is something to run, run, act on the reason.
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

static GCond changed;           /* [bql] some CPU.created or CPU.stopped turned true */
static Error *create_error;     /* [bql] the first vCPU the accelerator could not make */

/* ---- the thread ------------------------------------------------------------------------ */

static bool runnable(CPU *c)
{
    bool asleep = c->halted && !c->sleeps_inside && !c->ops->has_work(c);
    return !c->stopped && c->accel->run && !asleep;
}

/*
 * Returns when the vCPU has something to run, or shall end.  EXIT is cleared before looking
 * at what it stands for; the big lock, which whoever asks holds too, is kept until run().
 */
static void wait_until_runnable(CPU *c)
{
    for (;;) {
        cpu_clear_request(c, CPU_REQ_EXIT);
        cpu_run_work(c);
        if (c->stop && !c->stopped) {
            c->stopped = true;
            g_cond_broadcast(&changed);
        }
        if (c->unplug || runnable(c)) {
            return;
        }
        cpu_sleep(c);
    }
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
        runstate_request_stop(RUN_STATE_DEBUG);
        break;
    case EXIT_ERROR:
        runstate_request_stop(RUN_STATE_INTERNAL_ERROR);
        break;
    }
}

static gpointer vcpu_thread(gpointer opaque)
{
    CPU *c = opaque;

    cpu_set_current(c);
    rcu_register_thread();
    bql_lock();
    c->thread_id = syscall(SYS_gettid);
    bool ok = !c->accel->cpu_create || c->accel->cpu_create(c, create_error ? NULL : &create_error);
    c->created = true;
    g_cond_broadcast(&changed);

    while (ok && !c->unplug) {
        wait_until_runnable(c);
        if (!c->unplug) {
            bql_unlock();
            ExitReason why = c->accel->run(c);
            bql_lock();
            handle_exit(c, why);
        }
    }
    if (ok && c->accel->cpu_destroy) {
        c->accel->cpu_destroy(c);
    }
    bql_unlock();
    return NULL;
}

/* ---- all of them ----------------------------------------------------------------------- */

bool cpus_start(Error **err)
{
    for (guint i = 0; i < cpus->len; i++) {
        CPU *c = cpu_by_index(i);
        char name[16];
        snprintf(name, sizeof(name), "CPU %u", i);
        c->stop = true;
        c->thread = g_thread_try_new(name, vcpu_thread, c, err);
        if (!c->thread) {
            g_prefix_error(err, "can't start the thread of CPU %u: ", i);
            return false;
        }
        while (!c->created) {
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
        if (thread) {
            c->unplug = true;
            c->thread = NULL;
            cpu_request(c, CPU_REQ_EXIT);
            bql_unlock();
            g_thread_join(thread);
            bql_lock();
        }
    }
}
