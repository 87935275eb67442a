/* SPDX-License-Identifier: MIT */
/*
 * From the collected command line to a machine that can run, phase by phase:
 *
 *   questions (help) · background · objects, character devices, monitors, disks · board ·
 *   accelerator · devices · vCPU threads · reset
 *
 * What one phase makes, the following ones refer to by name.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>

#include "audio/audio.h"
#include "block/backend.h"
#include "block/drive.h"
#include "chardev/char.h"
#include "hw/core/device.h"
#include "hw/net/nics.h"
#include "hw/timer/mc146818rtc.h"
#include "memory/memory.h"
#include "monitor/monitor.h"
#include "net/netdev.h"
#include "system/audio-setup.h"
#include "system/cmdline.h"
#include "system/cpus.h"
#include "system/daemon.h"
#include "system/defaults.h"
#include "system/display.h"
#include "system/machine.h"
#include "system/net-setup.h"
#include "system/notify.h"
#include "system/objects.h"
#include "system/qtest.h"
#include "system/runstate.h"
#include "target-i386/cpu.h"
#include "util/log.h"
#include "util/mainloop.h"
#include "util/opts.h"

/* ---- questions ------------------------------------------------------------------------- */

static void print_type(const MachineType *t, void *opaque)
{
    printf("%-20s %s%s\n", t->name, t->desc, t->is_default ? " (default)" : "");
    if (t->alias) {
        printf("%-20s %s (alias of %s)\n", t->alias, t->desc, t->name);
    }
}

static void print_and_exit(GString *s)
{
    fputs(s->str, stdout);
    exit(0);
}

/* -device X,help and -chardev help */
/* -netdev help and the like */
static void list_if_asked(GPtrArray *args, void (*list)(GString *s))
{
    for (guint i = 0; i < args->len; i++) {
        const Arg *a = args->pdata[i];
        if (!strcmp(a->text, "help") || !strcmp(a->text, "?")) {
            GString *s = g_string_new(NULL);
            list(s);
            print_and_exit(s);
        }
    }
}

static bool answer_lists(Error **err)
{
    for (guint i = 0; i < config.devices->len; i++) {
        const Arg *a = config.devices->pdata[i];
        g_autoptr(Opts) opts = opts_parse("-device", a->text, "driver", NULL, err);
        if (!opts) {
            arg_prefix(err, a->option, a->text);
            return false;
        }
        const char *driver = opts_get(opts, "driver");
        if (driver && opts_help(opts)) {
            GString *s = g_string_new(NULL);
            if (!device_type_help(s, driver, err)) {
                return false;
            }
            print_and_exit(s);
        }
    }
    list_if_asked(config.netdevs, netdev_help);
    list_if_asked(config.audiodevs, audiodev_help);
    list_if_asked(config.chardevs, chardev_help);
    list_if_asked(config.objects, object_help);
    return true;
}

static bool machine_props_wanted(void)
{
    for (guint i = 0; i < config.machine_props->len; i++) {
        const Arg *a = config.machine_props->pdata[i];
        if (!strcmp(a->text, "help=on") || !strcmp(a->text, "?=on")) {
            return true;
        }
    }
    return false;
}

static bool answer_questions(Error **err)
{
    GString *s = g_string_new(NULL);
    if (config.help_machines) {
        printf("Machine types:\n");
        machine_type_foreach(print_type, NULL);
        exit(0);
    }
    if (config.help_cpus) {
        x86_cpu_help(s);
        print_and_exit(s);
    }
    if (config.help_devices) {
        device_help(s);
        print_and_exit(s);
    }
    if (config.help_nics) {
        nics_help(s);
        print_and_exit(s);
    }
    if (machine_props_wanted()) {
        const MachineType *t = machine_type_find(config.machine_type);
        if (t) {
            machine_props_help(s, t);
            print_and_exit(s);
        }
    }
    g_string_free(s, TRUE);
    return answer_lists(err);
}

/* ---- back-ends ------------------------------------------------------------------------- */

/* Call fn for each Arg of a list; errors begin with the option. */
static bool for_each_arg(const GPtrArray *list, bool (*fn)(const char *text, Error **err), Error **err)
{
    for (guint i = 0; i < list->len; i++) {
        const Arg *a = list->pdata[i];
        if (!fn(a->text, err)) {
            arg_prefix(err, a->option, a->text);
            return false;
        }
    }
    return true;
}

static bool add_object_of(const char *text, bool late, Error **err)
{
    g_autoptr(Opts) opts = opts_parse("-object", text, "qom-type", NULL, err);
    return opts && (object_is_late(opts) != late || object_add(opts, err));
}

static bool add_object(const char *text, Error **err)
{
    return add_object_of(text, false, err);
}

/* Those that refer to back-ends */
static bool add_late_object(const char *text, Error **err)
{
    return add_object_of(text, true, err);
}

static bool add_chardev(const char *text, Error **err)
{
    return chardev_add(text, err);
}

static bool add_blockdev(const char *text, Error **err)
{
    return blockdev_add(text, err);
}

static bool add_drives(Error **err)
{
    drive_set_snapshot(config.snapshot);
    for (guint i = 0; i < config.drives->len; i++) {
        const DriveArg *d = config.drives->pdata[i];
        const DriveInfo *made = d->index < 0 ? drive_add(d->arg.text, DRIVE_IF_IDE, err)
                              : drive_add_file(d->arg.text, d->iface, d->index, d->cdrom, err);
        if (!made) {
            arg_prefix(err, d->arg.option, d->arg.text);
            return false;
        }
    }
    return true;
}

static void *resolve_drive(const char *id, Error **err)
{
    return blk_find(id);
}

static const char *name_drive(const void *b)
{
    return blk_name(b);
}

static void *resolve_chardev(const char *id, Error **err)
{
    return chardev_find(id);
}

static const char *name_chardev(const void *c)
{
    return chardev_id(c);
}

static bool make_backends(const MachineType *type, Error **err)
{
    prop_set_resolver(PROP_KIND_DRIVE, resolve_drive, name_drive);
    prop_set_resolver(PROP_KIND_CHARDEV, resolve_chardev, name_chardev);
    network_init();
    if (!for_each_arg(config.objects, add_object, err)
        || !for_each_arg(config.chardevs, add_chardev, err)
        || !consoles_add(type, err) || !network_add(type, err) || !audio_add(err)
        || !for_each_arg(config.objects, add_late_object, err)
        || !for_each_arg(config.blockdevs, add_blockdev, err)
        || !add_drives(err)) {
        return false;
    }
    default_drives_add(type);
    return true;
}

/* ---- the machine ----------------------------------------------------------------------- */

static bool use_memory_backend(Machine *m, Error **err)
{
    if (!config.memory_backend) {
        return true;
    }
    MemoryBackend *b = memory_backend_find(config.memory_backend, err);
    if (b && config.m.ram_size && b->size != m->ram_size) {
        fail(err, "its size is not that of -m");
        b = NULL;
    }
    if (!b) {
        arg_prefix(err, "-machine memory-backend", config.memory_backend);
        return false;
    }
    m->ram_size = b->size;
    b->object.in_use = true;
    return true;
}

/* "TYPE.PROP=VALUE", or driver=,property=,value= */
static bool add_global(const char *text, Error **err)
{
    const char *dot = strchr(text, '.'), *equals = strchr(text, '=');
    if (dot && equals && dot < equals) {
        char *type = g_strndup(text, dot - text), *prop = g_strndup(dot + 1, equals - dot - 1);
        device_add_global(type, prop, equals + 1, true);
        g_free(type);
        g_free(prop);
        return true;
    }
    g_autoptr(Opts) opts = opts_parse("-global", text, NULL, NULL, err);
    if (!opts) {
        return false;
    }
    const char *type = opts_get(opts, "driver"), *prop = opts_get(opts, "property");
    const char *value = opts_get(opts, "value");
    if (!type || !prop || !value) {
        return fail(err, "not of the form TYPE.PROPERTY=VALUE");
    }
    device_add_global(type, prop, value, true);
    return opts_check_unused(opts, err);
}

static bool add_globals(const MachineType *type, Error **err)
{
    for (const CompatProp *c = type->compat; c && c->type; c++) {
        device_add_global(c->type, c->prop, c->value, false);
    }
    if (!for_each_arg(config.globals, add_global, err)) {
        return false;
    }
    return device_check_globals(err);
}

static void advise_ram(RamBlock *b, void *opaque)
{
    const Machine *m = opaque;
    madvise(b->host, b->size, m->dump_guest_core ? MADV_DODUMP : MADV_DONTDUMP);
    madvise(b->host, b->size, m->mem_merge ? MADV_MERGEABLE : MADV_UNMERGEABLE);
}

static bool add_device(const char *text, Error **err)
{
    Opts *opts = opts_parse("-device", text, "driver", NULL, err);
    return opts && device_add(opts, err);
}

/* -drive if=virtio: a device for each, behind those of -device. */
static bool add_virtio_drives(Error **err)
{
    for (int unit = 0; unit <= drive_max_unit(DRIVE_IF_VIRTIO); unit++) {
        DriveInfo *d = bus_find("PCI") ? drive_get(DRIVE_IF_VIRTIO, 0, unit) : NULL;
        if (!d || *blk_attached_to(d->blk)) {
            continue;
        }
        if (d->cdrom) {
            return fail(err, "-drive %s: virtio-blk has no CD-ROM drives (use if=ide, or scsi-cd on "
                        "virtio-scsi)", d->options);
        }
        Device *dev = device_new("virtio-blk-pci");
        device_set_ptr(dev, "drive", d->blk);
        dev->user_created = true;
        if (!device_realize(dev, NULL, err)) {
            return false;
        }
    }
    return true;
}

/* "warning" of a port more than the board has would be easy to miss */
static bool check_ports(const Machine *m, Error **err)
{
    if (machine_ports(false) && m->type->no_serial && config.serials->len) {
        return fail(err, "-serial: machine '%s' has no serial ports", m->type->name);
    }
    if (machine_ports(true) && m->type->no_parallel && config.parallels->len) {
        return fail(err, "-parallel: machine '%s' has no parallel ports", m->type->name);
    }
    return true;
}

static bool make_machine(Machine *m, Error **err)
{
    system_memory();                    /* the spaces exist before anybody listens to them */
    if (!accel_setup(m, err) || !add_globals(m->type, err) || !check_ports(m, err)
        || !rtc_configure(config.rtc_base, config.rtc_clock, config.rtc_driftfix, err)) {
        return false;
    }
    memory_begin();
    bool ok = m->type->init(m, err);
    memory_commit();
    if (!ok || !debugcons_add(err) || !for_each_arg(config.devices, add_device, err)
        || !add_virtio_drives(err) || !drive_check_unclaimed(err)) {
        return false;
    }
    network_check();
    ram_block_foreach(advise_ram, m);
    return cpus_start(err) && (!m->type->ready || m->type->ready(m, err));
}

/* ---- the process ----------------------------------------------------------------------- */

static bool prepare_process(Error **err)
{
    if (config.mem_lock && mlockall(MCL_CURRENT | MCL_FUTURE) < 0) {
        return fail(err, "-overcommit mem-lock=on: can't lock memory (ulimit -l)");
    }
    if (config.process_name) {
        prctl(PR_SET_NAME, config.process_name);
    }
    return drop_privileges(config.chroot_dir, config.run_as, err);
}

static bool start_log(Error **err)
{
    return !config.log_file || log_set_file(config.log_file, err);
}

bool machine_setup(Error **err)
{
    error_guest_name = config.m.name;
    if (!answer_questions(err)) {
        return false;
    }
    if (config.daemonize && config.nographic && consoles_need_terminal()) {
        return fail(err, "-daemonize: not together with -nographic, which needs this terminal");
    }
    if (!display_choose(err) || (config.daemonize && !daemon_begin(err)) || !start_log(err)) {
        return false;
    }
    mainloop_init();
    atexit(chardev_cleanup);
    char_hooks.quit = consoles_quit;
    notify_init();

    Machine *m = machine_new(err);
    if (!m || !make_backends(m->type, err) || !use_memory_backend(m, err)
        || !make_machine(m, err) || !display_start(err)) {
        return false;
    }
    machine_reset(CAUSE_NONE);
    if ((config.qtest && !qtest_start(config.qtest, config.qtest_log, err))
        || (config.pidfile && !pidfile_write(config.pidfile, err)) || !prepare_process(err)) {
        return false;
    }
    runstate_catch_signals();
    if (!daemon_ready(config.log_items && !config.log_file, err)) {
        return false;
    }
    if (log_on(LOG_PAGE)) {
        g_autoptr(GString) map = g_string_new(NULL);
        memory_info_mtree(map, true);
        log_write("%s", map->str);
    }
    if (!config.start_paused) {
        vm_start();
    }
    return true;
}

void machine_teardown(void)
{
    vm_end();
    audio_cleanup();
    display_stop();
    monitor_cleanup();
    netdev_cleanup();
    block_close_all();
    chardev_cleanup();
}
