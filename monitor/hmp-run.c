/* SPDX-License-Identifier: MIT */
/*
 * Human commands: running, pausing, ending, logging.
 */
#include "monitor/internal.h"

#include <string.h>

#include "monitor/actions.h"
#include "monitor/gdb.h"
#include "monitor/hmp-args.h"
#include "system/accel-switch.h"
#include "system/runstate.h"
#include "util/log.h"

static void cmd_quit(Monitor *m, const Json *args, Error **err)
{
    m->quitting = true;
    runstate_request_quit(CAUSE_HOST_QMP_QUIT, 0);
}

static void cmd_stop(Monitor *m, const Json *args, Error **err)
{
    vm_stop(RUN_STATE_PAUSED);
}

static void cmd_cont(Monitor *m, const Json *args, Error **err)
{
    vm_continue(err);
}

static void cmd_reset(Monitor *m, const Json *args, Error **err)
{
    runstate_request_reset(CAUSE_HOST_QMP_SYSTEM_RESET);
}

static void cmd_powerdown(Monitor *m, const Json *args, Error **err)
{
    runstate_request_powerdown();
}

static void cmd_wakeup(Monitor *m, const Json *args, Error **err)
{
    monitor_wakeup(err);
}

static void cmd_nmi(Monitor *m, const Json *args, Error **err)
{
    monitor_inject_nmi(err);
}

static void cmd_watchdog_action(Monitor *m, const Json *args, Error **err)
{
    run_policy_set("watchdog", arg_str(args, "action"), err);
}

static void cmd_set_action(Monitor *m, const Json *args, Error **err)
{
    run_policy_set(arg_str(args, "event"), arg_str(args, "action"), err);
}

static void cmd_log(Monitor *m, const Json *args, Error **err)
{
    const char *items = arg_str(args, "items");
    if (!strcmp(items, "help") || !strcmp(items, "?")) {
        GString *s = g_string_new(NULL);
        log_help(s);
        monitor_puts(m, s->str);
        g_string_free(s, TRUE);
    } else {
        log_set_items(items, err);
    }
}

static void cmd_logfile(Monitor *m, const Json *args, Error **err)
{
    log_set_file(arg_str(args, "filename"), err);
}

static void cmd_cpu(Monitor *m, const Json *args, Error **err)
{
    int64_t n = arg_int(args, "index", 0);
    if (n < 0 || n >= cpus->len) {
        fail(err, "invalid CPU index");
    } else {
        m->cpu_index = n;
    }
}

static void cmd_set_accel(Monitor *m, const Json *args, Error **err)
{
    accel_switch(arg_str(args, "name"), err);
}

static void cmd_gdbserver(Monitor *m, const Json *args, Error **err)
{
    const char *where = arg_str(args, "device") ? arg_str(args, "device") : "tcp::1234";

    if (gdb_serve(where, err)) {
        monitor_printf(m, strcmp(where, "none") ? "Waiting for gdb connection on device '%s'\n"
                                                : "Disabled gdbserver\n", where);
    }
}

const HmpCommand hmp_run_commands[] = {
    { "quit|q", NULL, "", "end the emulator", cmd_quit },
    { "stop|s", NULL, "", "pause the guest", cmd_stop },
    { "cont|c", NULL, "", "let the guest run", cmd_cont },
    { "set_accel", "name:s", "name", "run the stopped guest by another accelerator", cmd_set_accel },
    { "system_reset", NULL, "", "reset the machine", cmd_reset },
    { "system_powerdown", NULL, "", "press the power button", cmd_powerdown },
    { "system_wakeup", NULL, "", "wake the guest from suspend", cmd_wakeup },
    { "nmi", NULL, "", "raise NMI at every CPU", cmd_nmi },
    { "watchdog_action", "action:s", "reset|shutdown|poweroff|pause|debug|none|inject-nmi",
      "what happens when the watchdog fires", cmd_watchdog_action },
    { "set_action", "event:s,action:s", "reboot|shutdown|panic|watchdog action",
      "what happens at an event", cmd_set_action },
    { "log", "items:s", "item1[,...]", "log items to the log file ('help log' lists them)", cmd_log },
    { "gdbserver", "device:s?", "[device]", "let gdb connect on a device (tcp::1234), or 'none'",
      cmd_gdbserver },
    { "logfile", "filename:F", "filename", "write the log to this file", cmd_logfile },
    { "cpu", "index:i", "index", "the CPU commands are about", cmd_cpu },
    { NULL }
};
