/* SPDX-License-Identifier: MIT */
/*
 * Options about this process and the run of the machine.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "accel/tcg/perf.h"
#include "system/cmdline.h"
#include "system/options.h"
#include "system/runstate.h"
#include "util/log.h"
#include "util/opts.h"

static bool opt_policy(const Option *o, const char *arg, Error **err)
{
    char **pair = g_strsplit(o->with, "=", 2);
    bool ok = run_policy_set(pair[0], pair[1], err);
    g_strfreev(pair);
    return ok;
}

static void take_action(const char *name, const char *value, void *opaque)
{
    Error **err = opaque;
    if (!*err) {
        run_policy_set(name, value, err);
    }
}

static bool opt_action(const Option *o, const char *arg, Error **err)
{
    Error *e = NULL;
    g_autoptr(Opts) opts = opts_parse("-action", arg, NULL, NULL, err);
    if (!opts) {
        return false;
    }
    opts_foreach(opts, take_action, &e);
    if (e) {
        g_propagate_error(err, e);
    }
    return !e;
}

static bool opt_watchdog_action(const Option *o, const char *arg, Error **err)
{
    return run_policy_set("watchdog", arg, err);
}

static bool opt_log_items(const Option *o, const char *arg, Error **err)
{
    if (!strcmp(arg, "help") || !strcmp(arg, "?")) {
        GString *s = g_string_new(NULL);
        log_help(s);
        fputs(s->str, stdout);
        exit(0);
    }
    return log_set_items(arg, err) && option_string(o, arg, err);
}

static bool opt_msg(const Option *o, const char *arg, Error **err)
{
    g_autoptr(Opts) opts = opts_parse("-msg", arg, NULL, NULL, err);
    return opts && opts_bool(opts, "timestamp", error_timestamps, &error_timestamps, err)
           && opts_bool(opts, "guest-name", error_guest_names, &error_guest_names, err)
           && opts_check_unused(opts, err);
}

static bool opt_sandbox(const Option *o, const char *arg, Error **err)
{
    g_autoptr(Opts) opts = opts_parse("-sandbox", arg, "enable", NULL, err);
    bool on;
    if (!opts || !opts_bool(opts, "enable", false, &on, err)) {
        return false;
    }
    return on ? fail(err, "system call filters are not available here; 'off' works")
              : opts_check_unused(opts, err);
}

/* ---- -readconfig ------------------------------------------------------------------------- */

/* Groups whose name is not that of their option. */
static const struct {
    const char *group, *option;
} groups[] = {
    { "memory", "m" }, { "smp-opts", "smp" }, { "boot-opts", "boot" }, { "action", "action" },
};

static bool take_group(void *opaque, const char *group, const char *id, Opts *opts, Error **err)
{
    const char *option = group;
    for (size_t i = 0; i < G_N_ELEMENTS(groups); i++) {
        if (!strcmp(groups[i].group, group)) {
            option = groups[i].option;
        }
    }
    if (id) {
        opts_set(opts, "id", id);
    }
    char *text = opts_to_string(opts, NULL);
    bool ok = option_apply(option, text, err);
    g_free(text);
    opts_free(opts);
    return ok;
}

static bool opt_readconfig(const Option *o, const char *arg, Error **err)
{
    return readconfig_parse(arg, take_group, NULL, err);
}

static bool opt_nothing(const Option *o, const char *arg, Error **err)
{
    return true;                        /* there are no configuration files read by themselves */
}

static bool opt_gdb_port(const Option *o, const char *arg, Error **err)
{
    g_free(config.gdb);
    config.gdb = g_strdup("tcp::1234");
    return true;
}

static const Option table[] = {
    { "gdb", "DEV", "let gdb connect here: tcp::1234, unix:PATH, chardev:ID, none", option_string,
      &config.gdb },
    { "s", NULL, "-gdb tcp::1234", opt_gdb_port },
    { "S", NULL, "start paused; the monitor's 'cont' lets the guest run", option_flag,
      &config.start_paused },
    { "no-reboot", NULL, "a reset ends the emulator", opt_policy, .with = "reboot=shutdown" },
    { "no-shutdown", NULL, "power off pauses the guest, the emulator stays", opt_policy,
      .with = "shutdown=pause" },
    { "action", "EVENT=ACTION[,...]", "reboot=reset|shutdown shutdown=poweroff|pause "
      "panic=pause|shutdown|exit-failure|none", opt_action },
    { "watchdog-action", "ACTION", "same as -action watchdog=ACTION", opt_watchdog_action },
    { "daemonize", NULL, "go to the background when everything is set up", option_flag,
      &config.daemonize },
    { "pidfile", "FILE", "write the process id to FILE", option_string, &config.pidfile },
    { "chroot", "DIR", "make DIR the root folder before the guest runs", option_string,
      &config.chroot_dir },
    { "runas", "USER", "become USER before the guest runs", option_string, &config.run_as },
    { "d", "ITEM[,...]", "log items (-d help)", opt_log_items, &config.log_items },
    { "D", "FILE", "write the log to FILE ('%d': process id)", option_string, &config.log_file },
    { "perfmap", NULL, "tell Linux' perf of translated code in /tmp/perf-PID.map", option_flag,
      &perf_map },
    { "jitdump", NULL, "the same in jit-PID.dump, for perf inject", option_flag, &perf_dump },
    { "msg", "[timestamp=on|off][,guest-name=on|off]", "how messages begin", opt_msg },
    { "sandbox", "off", "system call filter", opt_sandbox, .off_only = true },
    { "readconfig", "FILE", "read options from FILE", opt_readconfig },
    { "no-user-config", NULL, "no configuration files but -readconfig's (none is ever read)",
      opt_nothing },
    { "qtest", "DEV", "serve the device test protocol (with -accel qtest)", option_string,
      &config.qtest },
    { "qtest-log", "FILE", "log of that protocol, 'none' for none", option_string, &config.qtest_log },
    { "help", NULL, "this text", opt_nothing },
    { "version", NULL, "the version", opt_nothing },
    { NULL }
};

const OptionTopic options_running = { "The run", table };
