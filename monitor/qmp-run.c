/* SPDX-License-Identifier: MIT */
/*
 * Machine protocol: running, pausing, resetting, ending.
 */
#include "monitor/internal.h"

#include "monitor/actions.h"
#include "system/accel-switch.h"
#include "system/runstate.h"

static Json *cmd_status(const Json *args, Error **err)
{
    Json *o = json_object();
    json_set_str(o, "status", runstate_name(runstate_get()));
    json_set_bool(o, "singlestep", false);
    json_set_bool(o, "running", runstate_running());
    return o;
}

static Json *cmd_stop(const Json *args, Error **err)
{
    vm_stop(RUN_STATE_PAUSED);
    return NULL;
}

static Json *cmd_cont(const Json *args, Error **err)
{
    vm_continue(err);
    return NULL;
}

static Json *cmd_set_accel(const Json *args, Error **err)
{
    accel_switch(json_get(args, "accel")->s, err);
    return NULL;
}

static Json *cmd_reset(const Json *args, Error **err)
{
    runstate_request_reset(CAUSE_HOST_QMP_SYSTEM_RESET);
    return NULL;
}

static Json *cmd_powerdown(const Json *args, Error **err)
{
    runstate_request_powerdown();
    return NULL;
}

static Json *cmd_wakeup(const Json *args, Error **err)
{
    monitor_wakeup(err);
    return NULL;
}

static Json *cmd_quit(const Json *args, Error **err)
{
    runstate_request_quit(CAUSE_HOST_QMP_QUIT, 0);
    return NULL;
}

static Json *cmd_nmi(const Json *args, Error **err)
{
    monitor_inject_nmi(err);
    return NULL;
}

static Json *cmd_set_action(const Json *args, Error **err)
{
    for (guint i = 0; i < json_len(args); i++) {
        if (!run_policy_set(json_key_at(args, i), json_at(args, i)->s, err)) {
            break;
        }
    }
    return NULL;
}

static Json *cmd_watchdog_action(const Json *args, Error **err)
{
    run_policy_set("watchdog", json_get(args, "action")->s, err);
    return NULL;
}

/* What a client may switch on before it asks for a migration.  "events" costs nothing: there
 * are no migrations whose states could be announced. */
static bool capability_events;

static Json *cmd_migrate_capabilities(const Json *args, Error **err)
{
    Json *list = json_array(), *o = json_object();
    json_set_str(o, "capability", "events");
    json_set_bool(o, "state", capability_events);
    json_append(list, o);
    return list;
}

static Json *cmd_migrate_set_capabilities(const Json *args, Error **err)
{
    const Json *list = json_get(args, "capabilities");
    for (guint i = 0; i < json_len(list); i++) {
        const Json *o = json_at(list, i);
        const char *name;
        bool state;
        if (o->type != JSON_OBJECT || !json_get_str(o, "capability", JSON_REQUIRED, &name, err)
            || !json_get_bool(o, "state", JSON_REQUIRED, &state, err)) {
            if (!*err) {
                fail(err, "Invalid parameter type for 'capabilities', expected: object");
            }
            return NULL;
        }
        if (g_strcmp0(name, "events")) {
            fail(err, "Parameter 'capability' does not accept value '%s'", name);
            return NULL;
        }
        capability_events = state;
    }
    return NULL;
}

const QmpCommand qmp_run_commands[] = {
    { "query-status", NULL, cmd_status },
    { "stop", NULL, cmd_stop },
    { "cont", NULL, cmd_cont },
    { "orrery-set-accel", "accel:s", cmd_set_accel },
    { "system_reset", NULL, cmd_reset },
    { "system_powerdown", NULL, cmd_powerdown },
    { "system_wakeup", NULL, cmd_wakeup },
    { "quit", NULL, cmd_quit },
    { "inject-nmi", NULL, cmd_nmi },
    { "set-action", "reboot:s? shutdown:s? panic:s? watchdog:s?", cmd_set_action },
    { "watchdog-set-action", "action:s", cmd_watchdog_action },
    { "query-migrate-capabilities", NULL, cmd_migrate_capabilities },
    { "migrate-set-capabilities", "capabilities:a", cmd_migrate_set_capabilities },
    { NULL }
};
