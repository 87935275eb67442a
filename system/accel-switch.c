/* SPDX-License-Identifier: MIT */
/*
 * Another accelerator for a machine that stands still: its state is saved by the vmstate
 * tables, every vCPU leaves the old accelerator and enters the new one, and the state is
 * loaded again.  RAM and devices stay where they are.
 *
 * What can go wrong is looked at first (CPU features, whether the new one starts); when a vCPU
 * can't enter, all go back to the old accelerator.
 */
#include "system/accel-switch.h"

#include <string.h>

#include "hw/core/machine.h"
#include "migration/vmstate.h"
#include "system/runstate.h"
#include "target-i386/cpuid.h"

typedef struct Enter {
    const Accel *a;
    Error *err;
    bool ok;
} Enter;

static void leave(CPU *c, void *opaque)
{
    if (c->accel->cpu_destroy) {
        c->accel->cpu_destroy(c);
    }
}

static void enter(CPU *c, void *opaque)
{
    Enter *e = opaque;

    c->accel = e->a;
    e->ok = !e->a->cpu_create || e->a->cpu_create(c, &e->err);
}

static void tell(const Accel *a, bool active)
{
    if (a->active) {
        a->active(active);
    }
}

/* [bql] All vCPUs from one to the other; those before `n` if it went wrong there. */
static bool move_cpus(const Accel *to, Error **err)
{
    for (guint i = 0; i < cpus->len; i++) {
        Enter e = { to };
        cpu_run_on(cpu_by_index(i), leave, NULL);
        cpu_run_on(cpu_by_index(i), enter, &e);
        if (!e.ok) {
            g_propagate_error(err, e.err);
            /* this one has left and is nowhere; the others before it are in `to` */
            Enter back = { accel_current };
            cpu_run_on(cpu_by_index(i), enter, &back);
            g_assert(back.ok);
            while (i-- > 0) {
                back = (Enter) { accel_current };
                cpu_run_on(cpu_by_index(i), leave, NULL);
                cpu_run_on(cpu_by_index(i), enter, &back);
                g_assert(back.ok);
            }
            return false;
        }
    }
    return true;
}

static bool fits(const Accel *a, Error **err)
{
    for (guint i = 0; i < cpus->len; i++) {
        if (!x86_features_fit(x86_cpu(cpu_by_index(i)), !strcmp(a->name, "kvm"), err)) {
            return false;
        }
    }
    return true;
}

/* Its init, once in the life of the process. */
static bool start(const Accel *a, Error **err)
{
    static GHashTable *started;

    if (!started) {
        started = g_hash_table_new(NULL, NULL);
        g_hash_table_add(started, (gpointer)accel_current);
    }
    if (g_hash_table_contains(started, a)) {
        return true;
    }
    void *opts = g_malloc0(MAX(a->size, 1));        /* kept as long as the machine */
    if (a->props) {
        props_set_defaults(opts, a->props);
    }
    if ((a->available && !a->available(err)) || (a->init && !a->init(current_machine, opts, err))) {
        g_free(opts);
        return false;
    }
    g_hash_table_add(started, (gpointer)a);
    return true;
}

bool accel_switch(const char *name, Error **err)
{
    const Accel *a = accel_find(name);

    if (!a || !a->run || !accel_current->run) {
        return fail(err, "'%s' is no accelerator to change to", name);
    }
    if (a == accel_current) {
        return true;
    }
    if (cpus_one_thread) {
        return fail(err, "the vCPUs share a thread (-accel tcg,thread=single): no change to '%s'", name);
    }
    if (runstate_running()) {
        return fail(err, "the machine runs: stop it first");
    }
    if (!machine_state_can_save(err) || !start(a, err) || !fits(a, err)) {
        return false;
    }
    GByteArray *state = g_byte_array_new();
    machine_state_save(state);
    tell(accel_current, false);
    bool ok = move_cpus(a, err);
    if (ok) {
        accel_current = a;
        accel_reason = "asked for in the monitor";
    }
    tell(accel_current, true);
    ok = ok && machine_state_load(state->data, state->len, err);
    g_byte_array_free(state, TRUE);
    return ok;
}
