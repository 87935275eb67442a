/* SPDX-License-Identifier: MIT */
/*
 * Options about what a person or a program sees: display, ports, monitors.
 */
#include <string.h>

#include "chardev/char.h"
#include "system/cmdline.h"
#include "system/options.h"
#include "util/opts.h"
#include "util/parse.h"

/* "vnc=ADDRESS,..." adds a VNC server beside what else there is. */
static bool opt_display(const Option *o, const char *arg, Error **err)
{
    if (g_str_has_prefix(arg, "vnc=")) {
        g_ptr_array_add(config.vncs, arg_new("-display", arg));
        return true;
    }
    g_free(config.display);
    config.display = g_strdup(arg);
    return true;
}

static bool opt_vnc(const Option *o, const char *arg, Error **err)
{
    if (!strcmp(arg, "none")) {
        config.vnc_none = true;
        return true;
    }
    g_ptr_array_add(config.vncs, arg_new("-vnc", arg));
    return true;
}

static void add_monitor(const Option *o, const char *text, bool qmp, bool pretty, bool by_chardev)
{
    MonitorArg *m = g_new0(MonitorArg, 1);
    char *name = g_strdup_printf("-%s", o->name);
    Arg *a = arg_new(name, text);
    *m = (MonitorArg) { *a, qmp, pretty, by_chardev };
    g_free(a);
    g_free(name);
    g_ptr_array_add(config.monitors, m);
}

/* -monitor, -qmp, -qmp-pretty; with: the mode */
static bool opt_monitor(const Option *o, const char *arg, Error **err)
{
    bool qmp = !strcmp(o->with, "control");
    if (!qmp && !strcmp(arg, "none")) {
        config.monitor_none = true;
        return true;
    }
    add_monitor(o, arg, qmp, !strcmp(o->name, "qmp-pretty"), false);
    return true;
}

static bool opt_mon(const Option *o, const char *arg, Error **err)
{
    static const char *const modes[] = { "readline", "control", NULL };
    g_autoptr(Opts) opts = opts_parse("-mon", arg, "chardev", NULL, err);
    int mode;
    bool pretty;
    if (!opts || !opts_enum(opts, "mode", modes, 0, &mode, err)
        || !opts_bool(opts, "pretty", false, &pretty, err)) {
        return false;
    }
    const char *chardev = opts_get(opts, "chardev");
    opts_get(opts, "id");               /* a name for -readconfig; nothing refers to it */
    if (!chardev) {
        return fail(err, "chardev= is missing");
    }
    if (pretty && !mode) {
        return fail(err, "pretty=on is for mode=control only");
    }
    if (!opts_check_unused(opts, err)) {
        return false;
    }
    add_monitor(o, chardev, mode == 1, pretty, true);
    return true;
}

static bool opt_escape(const Option *o, const char *arg, Error **err)
{
    uint64_t c;
    if (!parse_uint(arg, &c) || !c || c > 0xff) {
        return fail(err, "not the number of a character (0x01 is Ctrl-a)");
    }
    char_escape = c;
    return true;
}

static const Option table[] = {
    { "display", "none|sdl|curses|vnc=ADDRESS[,OPTION=VALUE...]",
      "where the screen is shown (-display help)", opt_display },
    { "full-screen", NULL, "begin with a window that fills the screen", option_flag,
      &config.full_screen },
    { "k", "LAYOUT", "keyboard layout of VNC clients that send no key codes: us, de, fr, ...",
      option_string, &config.keymap },
    { "nographic", NULL, "no display; first serial port and monitor on this terminal", option_flag,
      &config.nographic },
    { "vnc", "HOST:D|unix:PATH|none[,OPTION=VALUE...]", "VNC server on display D (port 5900 + D)",
      opt_vnc },
    { "serial", "DEV", "first, second, ... serial port: stdio, pty, vc, file:F, tcp:H:P, unix:P, null, none",
      option_list, &config.serials },
    { "parallel", "DEV", "first, second, ... parallel port", option_list, &config.parallels },
    { "debugcon", "DEV", "debug console at port E9h", option_list, &config.debugcons },
    { "monitor", "DEV", "monitor for people", opt_monitor, .with = "readline" },
    { "qmp", "DEV", "monitor for programs: JSON", opt_monitor, .with = "control" },
    { "qmp-pretty", "DEV", "... with indented output", opt_monitor, .with = "control" },
    { "mon", "[chardev=]ID[,mode=readline|control][,pretty=on|off]", "monitor on a -chardev", opt_mon },
    { "echr", "NUMBER", "the character that takes Ctrl-a's place", opt_escape },
    { "chardev", "BACKEND,id=ID[,OPTION=VALUE...]", "a character device (-chardev help)",
      option_list, &config.chardevs },
    { NULL }
};

const OptionTopic options_consoles = { "Display, ports, monitors", table };
