/* SPDX-License-Identifier: MIT */
/*
 * What a machine has without being asked: a serial and a parallel port, a monitor, a CD-ROM
 * and a floppy drive, a graphics card.  Each default gives way when the user says something of
 * his own about the same thing; -nodefaults drops them all.
 *
 * The rules are QEMU's: default ports and the monitor are text terminals beside the guest's
 * screen, and have nothing behind them where no front end shows any; -nographic puts the serial
 * port and the monitor on the terminal, multiplexed.
 */
#include "system/defaults.h"

#include <string.h>

#include "block/drive.h"
#include "chardev/char.h"
#include "hw/core/device.h"
#include "monitor/gdb.h"
#include "monitor/monitor.h"
#include "system/cmdline.h"
#include "system/display.h"
#include "system/machine.h"
#include "system/runstate.h"
#include "util/opts.h"

/* Types of device that take the place of a default. */
static const struct {
    const char *driver, *what;
} replacements[] = {
    { "isa-serial", "serial" },     { "isa-parallel", "parallel" },
    { "isa-fdc", "floppy" },        { "floppy", "floppy" },
    { "ide-cd", "cdrom" },          { "ide-hd", "cdrom" },
    { "scsi-cd", "cdrom" },         { "scsi-hd", "cdrom" },
    { "VGA", "vga" },               { "isa-vga", "vga" },
    { "cirrus-vga", "vga" },        { "isa-cirrus-vga", "vga" },
    { "vmware-svga", "vga" },       { "qxl-vga", "vga" },
    { "virtio-vga", "vga" },        { "ati-vga", "vga" },
};

static bool is_replacement(const char *driver, const char *what)
{
    for (size_t i = 0; i < G_N_ELEMENTS(replacements); i++) {
        if (!strcmp(replacements[i].driver, driver) && !strcmp(replacements[i].what, what)) {
            return true;
        }
    }
    return false;
}

bool machine_default_suppressed(const char *what)
{
    for (guint i = 0; i < config.devices->len; i++) {
        const Arg *a = config.devices->pdata[i];
        g_autoptr(Opts) opts = opts_parse("-device", a->text, "driver", NULL, NULL);
        const char *driver = opts ? opts_get(opts, "driver") : NULL;
        if (driver && is_replacement(driver, what)) {
            return true;
        }
    }
    return false;
}

/* ---- ports and monitors ------------------------------------------------------------------ */

static bool open_port(bool parallel, const Arg *a, Error **err)
{
    char label[16];
    bool with_monitor = false;
    g_snprintf(label, sizeof(label), "%s%u", parallel ? "parallel" : "serial", machine_ports(parallel));
    Error *e = NULL;
    CharDev *c = chardev_from_spec(label, a->text, &with_monitor, &e);
    if (e) {
        g_propagate_error(err, e);
        arg_prefix(err, a->option, a->text);
        return false;
    }
    if (c && with_monitor && !monitor_add_hmp(c, err)) {
        arg_prefix(err, a->option, a->text);
        return false;
    }
    machine_add_port(parallel, c);
    return true;
}

static bool open_ports(bool parallel, const GPtrArray *list, Error **err)
{
    for (guint i = 0; i < list->len; i++) {
        if (!open_port(parallel, list->pdata[i], err)) {
            return false;
        }
    }
    return true;
}

static bool open_monitor(const MonitorArg *m, unsigned n, Error **err)
{
    CharDev *c;
    Error *e = NULL;
    if (m->by_chardev) {
        c = chardev_find(m->arg.text);
        if (!c) {
            fail(&e, "chardev \"%s\" not found", m->arg.text);
        }
    } else {
        char label[32];
        g_snprintf(label, sizeof(label), n ? "compat_monitor%u" : "compat_monitor0", n);
        c = chardev_from_spec(label, m->arg.text, NULL, &e);
    }
    if (!e && c) {
        m->qmp ? monitor_add_qmp(c, m->pretty, &e) : monitor_add_hmp(c, &e);
    }
    if (e) {
        g_propagate_error(err, e);
        arg_prefix(err, m->arg.option, m->arg.text);
        return false;
    }
    return true;
}

/* -serial mon:... brings its own monitor */
static bool monitor_on_port(void)
{
    const GPtrArray *const lists[] = { config.serials, config.parallels };
    for (size_t n = 0; n < G_N_ELEMENTS(lists); n++) {
        for (guint i = 0; i < lists[n]->len; i++) {
            const Arg *a = lists[n]->pdata[i];
            if (g_str_has_prefix(a->text, "mon:")) {
                return true;
            }
        }
    }
    return false;
}

typedef struct Defaults {
    bool serial, parallel, monitor;
} Defaults;

static Defaults wanted_defaults(const MachineType *type)
{
    Defaults d = { false, false, false };
    if (!config.nodefaults) {
        d.serial = !config.serials->len && !type->no_serial && !machine_default_suppressed("serial");
        d.parallel = !config.parallels->len && !type->no_parallel
                     && !machine_default_suppressed("parallel");
        d.monitor = !config.monitors->len && !config.monitor_none && !monitor_on_port();
    }
    return d;
}

bool consoles_need_terminal(void)
{
    const MachineType *type = machine_type_find(config.machine_type);
    Defaults d = type ? wanted_defaults(type) : (Defaults) { false, false, false };
    return d.serial || d.monitor;
}

/* Where a default port goes. */
static const char *default_place(void)
{
    return display_shows_terminals() ? "vc" : "null";
}

static bool add_defaults(const Defaults *d, Error **err)
{
    const char *serial = !config.nographic ? default_place() : d->monitor ? "mon:stdio" : "stdio";
    const Arg serial_arg = { (char *)"-serial", (char *)serial };
    const Arg parallel_arg = { (char *)"-parallel", (char *)(config.nographic ? "null" : default_place()) };
    const MonitorArg monitor = { .arg = { (char *)"-monitor", (char *)(config.nographic ? "stdio" : "vc") } };
    bool wants_monitor = config.nographic ? d->monitor && !d->serial
                                          : d->monitor && display_shows_terminals();
    if (wants_monitor && !open_monitor(&monitor, 0, err)) {
        return false;
    }
    return (!d->serial || open_port(false, &serial_arg, err))
           && (!d->parallel || open_port(true, &parallel_arg, err));
}

bool consoles_add(const MachineType *type, Error **err)
{
    Defaults d = wanted_defaults(type);
    for (guint i = 0; i < config.monitors->len; i++) {
        if (!open_monitor(config.monitors->pdata[i], i, err)) {
            return false;
        }
    }
    if (config.gdb && !gdb_serve(config.gdb, err)) {
        arg_prefix(err, "-gdb", config.gdb);
        return false;
    }
    return open_ports(false, config.serials, err) && open_ports(true, config.parallels, err)
           && add_defaults(&d, err);
}

bool debugcons_add(Error **err)
{
    for (guint i = 0; i < config.debugcons->len; i++) {
        const Arg *a = config.debugcons->pdata[i];
        char label[16];
        g_snprintf(label, sizeof(label), "debugcon%u", i);
        Error *e = NULL;
        CharDev *c = chardev_from_spec(label, a->text, NULL, &e);
        if (!e && c) {
            Opts *opts = opts_new("-debugcon");
            opts_set(opts, "driver", "isa-debugcon");
            opts_set(opts, "chardev", label);
            device_add(opts, &e);
        }
        if (e) {
            g_propagate_error(err, e);
            arg_prefix(err, a->option, a->text);
            return false;
        }
    }
    return true;
}

void consoles_quit(void)
{
    runstate_request_quit(CAUSE_HOST_UI, 0);
}

/* ---- drives ------------------------------------------------------------------------------ */

void default_drives_add(const MachineType *type)
{
    if (config.nodefaults) {
        return;
    }
    if (!type->no_cdrom && !machine_default_suppressed("cdrom")) {
        drive_add_default(DRIVE_IF_IDE, 2, true);
    }
    if (!type->no_floppy && !machine_default_suppressed("floppy")) {
        drive_add_default(DRIVE_IF_FLOPPY, 0, false);
    }
}
