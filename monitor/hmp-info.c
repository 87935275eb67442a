/* SPDX-License-Identifier: MIT */
/*
 * The human monitor's `info`.
 */
#include "monitor/internal.h"

#include <inttypes.h>
#include <string.h>

#include "accel/accel.h"
#include "block/block.h"
#include "hw/core/device.h"
#include "hw/core/machine.h"
#include "hw/intc/i8259.h"
#include "hw/intc/ioapic.h"
#include "hw/pci/pci.h"
#include "hw/usb/usb.h"
#include "hw/virtio/virtio-balloon.h"
#include "migration/vmstate.h"
#include "monitor/hmp-args.h"
#include "monitor/qom.h"
#include "system/runstate.h"
#include "util/parse.h"
#include "util/version.h"

/* Print what a function appends to a string. */
static void print_from(Monitor *m, void (*fn)(GString *out))
{
    GString *s = g_string_new(NULL);
    fn(s);
    monitor_puts(m, s->str);
    g_string_free(s, TRUE);
}

/* ---- the machine as a whole ------------------------------------------------------------------- */

static void info_version(Monitor *m, const Json *args, Error **err)
{
    monitor_printf(m, "%s (Orrery %s)\n", QEMU_COMPAT_VERSION, ORRERY_VERSION);
}

static void info_status(Monitor *m, const Json *args, Error **err)
{
    RunState s = runstate_get();
    monitor_printf(m, "VM status: %s", runstate_running() ? "running" : "paused");
    if (!runstate_running() && s != RUN_STATE_PAUSED) {
        monitor_printf(m, " (%s)", runstate_name(s));
    }
    monitor_puts(m, "\n");
}

static void info_name(Monitor *m, const Json *args, Error **err)
{
    if (current_machine->name) {
        monitor_printf(m, "%s\n", current_machine->name);
    }
}

static void info_uuid(Monitor *m, const Json *args, Error **err)
{
    Json *o = qmp_call("query-uuid", NULL, err);
    monitor_printf(m, "%s\n", json_get(o, "UUID")->s);
    json_free(o);
}

static void info_kvm(Monitor *m, const Json *args, Error **err)
{
    const Accel *kvm = accel_find("kvm");
    monitor_printf(m, "kvm support: %s\n", !kvm ? "not compiled"
                   : accel_current == kvm ? "enabled" : "disabled");
    if (accel_reason) {
        monitor_printf(m, "accelerator: %s (%s)\n", accel_current->name, accel_reason);
    }
    if (kvm && accel_current == kvm) {
        print_from(m, kvm->info);
    }
}

static void info_accel(Monitor *m, const Json *args, Error **err)
{
    monitor_printf(m, "%s: %s\n", accel_current->name, accel_current->desc);
}

static void info_jit(Monitor *m, const Json *args, Error **err)
{
    if (accel_current->info) {
        print_from(m, accel_current->info);
    } else {
        fail(err, "the accelerator %s has nothing to tell", accel_current->name);
    }
}

static void info_cpus(Monitor *m, const Json *args, Error **err)
{
    for (guint i = 0; i < cpus->len; i++) {
        monitor_printf(m, "%c CPU #%u: thread_id=%d\n", (int)i == m->cpu_index ? '*' : ' ', i,
                       cpu_by_index(i)->thread_id);
    }
}

static void info_history(Monitor *m, const Json *args, Error **err)
{
    const GPtrArray *lines = hmp_history(m);
    for (guint i = 0; lines && i < lines->len; i++) {
        monitor_printf(m, "%u: '%s'\n", i, (char *)lines->pdata[i]);
    }
}

/* ---- memory -------------------------------------------------------------------------------------- */

static void info_mtree(Monitor *m, const Json *args, Error **err)
{
    GString *s = g_string_new(NULL);
    memory_info_mtree(s, arg_flag(args, "flatview"));
    monitor_puts(m, s->str);
    g_string_free(s, TRUE);
}

static void info_memory_size(Monitor *m, const Json *args, Error **err)
{
    monitor_printf(m, "base memory: %" PRIu64 "\nplugged memory: 0\n", current_machine->ram_size);
}

static void info_balloon(Monitor *m, const Json *args, Error **err)
{
    uint64_t bytes;
    if (balloon_actual(&bytes, err)) {
        monitor_printf(m, "balloon: actual=%" PRIu64 "\n", bytes >> 20);
    }
}

static void print_rom(const MemSection *s, void *opaque)
{
    if (s->region && s->region->kind == REGION_ROM) {
        monitor_printf(opaque, "addr=%016" PRIx64 " size=0x%06" PRIx64 " mem=rom name=\"%s\"\n",
                       s->start, (uint64_t)s->size, s->region->name);
    }
}

static void info_roms(Monitor *m, const Json *args, Error **err)
{
    address_space_foreach(&address_space_memory, print_rom, m);
}

/* ---- devices --------------------------------------------------------------------------------------- */

static void info_pic(Monitor *m, const Json *args, Error **err)
{
    print_from(m, ioapic_info);
    print_from(m, i8259_info);
}

static void info_pci(Monitor *m, const Json *args, Error **err)
{
    if (pci_root_bus()) {
        print_from(m, pci_info);
    } else {
        fail(err, "the machine has no PCI bus");
    }
}

static void info_usb(Monitor *m, const Json *args, Error **err)
{
    print_from(m, usb_info);
}

static void info_qtree(Monitor *m, const Json *args, Error **err)
{
    print_from(m, device_info_qtree);
}

static void info_qom_tree(Monitor *m, const Json *args, Error **err)
{
    print_from(m, qom_print_tree);
}

static void info_block(Monitor *m, const Json *args, Error **err)
{
    GString *s = g_string_new(NULL);
    blk_info(s, arg_flag(args, "verbose"));
    monitor_puts(m, s->str);
    g_string_free(s, TRUE);
}

static void info_blockstats(Monitor *m, const Json *args, Error **err)
{
    print_from(m, blk_info_stats);
}

static void print_chardev(CharDev *c, void *opaque)
{
    char *name = chardev_filename(c);
    monitor_printf(opaque, "%s: filename=%s\n", chardev_id(c), name);
    g_free(name);
}

static void info_chardev(Monitor *m, const Json *args, Error **err)
{
    chardev_foreach(print_chardev, m);
}

static void info_mice(Monitor *m, const Json *args, Error **err)
{
    Json *list = qmp_call("query-mice", NULL, err);
    for (guint i = 0; list && i < json_len(list); i++) {
        const Json *o = json_at(list, i);
        monitor_printf(m, "%c Mouse #%d: %s%s\n", json_get(o, "current")->b ? '*' : ' ',
                       (int)json_get(o, "index")->i, json_get(o, "name")->s,
                       json_get(o, "absolute")->b ? " (absolute)" : "");
    }
    json_free(list);
}

static void info_snapshots(Monitor *m, const Json *args, Error **err)
{
    monitor_puts(m, "There is no snapshot available.\n");
}

/* ---- info device: state by the tables that save it ----------------------------------------------------- */

typedef struct DumpWalk {
    Monitor *mon;
    const char *wanted;         /* NULL: only names */
    unsigned found;
} DumpWalk;

static void dump_section(const char *name, int instance, const VMState *vm, void *opaque, void *user)
{
    DumpWalk *w = user;
    const char *slash = strrchr(name, '/');
    if (!w->wanted) {
        monitor_printf(w->mon, "%s [%d] version %d\n", name, instance, vm->version ? vm->version : 1);
        return;
    }
    if (strcmp(w->wanted, name) && (!slash || strcmp(w->wanted, slash + 1))
        && strcmp(w->wanted, vm->name)) {
        return;
    }
    GString *s = g_string_new(NULL);
    vmstate_dump(vm, opaque, s, 2);
    monitor_printf(w->mon, "%s [%d]\n%s", name, instance, s->str);
    g_string_free(s, TRUE);
    w->found++;
}

static void info_device(Monitor *m, const Json *args, Error **err)
{
    DumpWalk w = { m, arg_str(args, "name"), 0 };
    vmstate_foreach(dump_section, &w);
    if (w.wanted && !w.found) {
        fail(err, "no device '%s' with state ('info device' lists them)", w.wanted);
    }
}

const HmpCommand hmp_info_commands[] = {
    { "version", NULL, "", "the version", info_version },
    { "status", NULL, "", "running, paused, and why", info_status },
    { "name", NULL, "", "name of the guest", info_name },
    { "uuid", NULL, "", "UUID of the machine", info_uuid },
    { "kvm", NULL, "", "whether KVM is in use", info_kvm },
    { "accel|accelerator", NULL, "", "how guest code runs", info_accel },
    { "jit", NULL, "", "statistics of the engine", info_jit },
    { "cpus", NULL, "", "CPUs and their threads", info_cpus },
    { "history", NULL, "", "lines typed before", info_history },
    { "mtree", "flatview:-f", "[-f]", "memory regions (-f: flattened)", info_mtree },
    { "memory_size_summary", NULL, "", "how much memory", info_memory_size },
    { "balloon", NULL, "", "MiB that the memory balloon leaves the guest", info_balloon },
    { "roms", NULL, "", "ROM in the memory map", info_roms },
    { "pic", NULL, "", "interrupt controllers", info_pic },
    { "irq", NULL, "", "interrupt controllers", info_pic },
    { "pci", NULL, "", "PCI devices", info_pci },
    { "usb", NULL, "", "USB devices and where they are plugged in", info_usb },
    { "qtree", NULL, "", "devices and buses", info_qtree },
    { "qom-tree", NULL, "", "the machine as a tree of paths", info_qom_tree },
    { "device", "name:s?", "[name]", "state of devices, field by field", info_device },
    { "block", "verbose:-v", "[-v]", "drives and their media", info_block },
    { "blockstats", NULL, "", "statistics of drives", info_blockstats },
    { "chardev", NULL, "", "character devices", info_chardev },
    { "mice", NULL, "", "pointing devices", info_mice },
    { "snapshots", NULL, "", "snapshots in disk images", info_snapshots },
    { NULL }
};
