/* SPDX-License-Identifier: MIT */
/*
 * What the command line asked for, before anything is made: options may come in any order,
 * so they are collected here first (system/options.c and opt-*.c) and carried out by phases
 * afterwards (system/setup.c).
 */
#ifndef SYSTEM_CMDLINE_H
#define SYSTEM_CMDLINE_H

#include <glib.h>
#include <stdbool.h>
#include "hw/core/machine.h"
#include "util/error.h"

/* One option to be carried out later; name is "-device", for messages. */
typedef struct Arg {
    char *option, *text;
} Arg;

/* A disk: -drive OPTIONS, or a shorthand with its connector. */
typedef struct DriveArg {
    Arg arg;
    int iface, index;                   /* of a shorthand; index -1: arg.text are -drive's options */
    bool cdrom;
} DriveArg;

/* A monitor: -monitor, -qmp SPEC, or -mon CHARDEV,... */
typedef struct MonitorArg {
    Arg arg;
    bool qmp, pretty;
    bool by_chardev;                    /* arg.text is the id of a -chardev */
} MonitorArg;

typedef struct Config {
    Machine m;                          /* fields of the board that have their own options */
    char *machine_type;                 /* NULL: the default one */
    GPtrArray *machine_props;           /* of Arg: text is "name=value" */
    GPtrArray *accels;                  /* of Arg: "tcg,engine=interp", in order of preference */
    GPtrArray *globals;                 /* of Arg */
    char *memory_backend;               /* -machine memory-backend=ID */
    char *kernel_irqchip;               /* -machine kernel-irqchip=, of accelerators that have it */
    uint64_t max_ram;                   /* -m maxmem=, 0 = not given */

    GPtrArray *objects, *chardevs, *blockdevs, *netdevs, *devices;   /* of Arg */
    GPtrArray *audiodevs, *audios;      /* of Arg */
    GPtrArray *nets;                    /* of Arg: -nic, -net */
    GPtrArray *drives;                  /* of DriveArg */
    GPtrArray *serials, *parallels, *debugcons;    /* of Arg */
    GPtrArray *monitors;                /* of MonitorArg */
    char *gdb;                          /* -gdb, -s: where a debugger may connect */
    char *qtest, *qtest_log;
    bool snapshot;

    bool nodefaults, nographic;
    char *display;                      /* -display's text, or NULL */
    GPtrArray *vncs;                    /* of Arg: -vnc and -display vnc= */
    bool vnc_none;                      /* -vnc none: no default VNC server either */
    bool full_screen;
    char *keymap;                       /* -k */
    bool monitor_none;                  /* -monitor none: no default monitor either */

    bool start_paused;
    bool daemonize;
    char *pidfile, *chroot_dir, *run_as;
    char *process_name;
    char *log_items, *log_file;
    bool mem_lock;
    char *rtc_base, *rtc_clock, *rtc_driftfix;
    bool help_devices, help_cpus, help_machines, help_nics;
    GPtrArray *firmware_dirs;           /* of char*: -L, in order */
} Config;

extern Config config;

void config_init(void);
Arg *arg_new(const char *option, const char *text);
/* Begin a message with the option it is about: "-device e1000,x=1: ..." */
void arg_prefix(Error **err, const char *option, const char *text);

/* Make everything the configuration asks for, up to a machine that could run.  Exits the
 * process itself where the user asked for help.  [main thread, bql] */
bool machine_setup(Error **err);
/* ... and take it apart, in order, at the end. */
void machine_teardown(void);

#endif
