/* SPDX-License-Identifier: MIT */
/*
 * Machine protocol: questions about the machine and this program.
 */
#include "monitor/internal.h"

#include <string.h>

#include "accel/accel.h"
#include "hw/core/machine.h"
#include "hw/pci/pci.h"
#include "monitor/qom.h"
#include "system/machine.h"
#include "system/objects.h"
#include "system/options.h"
#include "target-i386/cpu.h"

static Json *cmd_name(const Json *args, Error **err)
{
    Json *o = json_object();
    if (current_machine->name) {
        json_set_str(o, "name", current_machine->name);
    }
    return o;
}

static Json *cmd_uuid(const Json *args, Error **err)
{
    const uint8_t *u = current_machine->uuid;
    Json *o = json_object();
    json_set(o, "UUID", json_strf("%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x",
                                  u[0], u[1], u[2], u[3], u[4], u[5], u[6], u[7], u[8], u[9],
                                  u[10], u[11], u[12], u[13], u[14], u[15]));
    return o;
}

static Json *cmd_kvm(const Json *args, Error **err)
{
    const Accel *kvm = accel_find("kvm");
    Json *o = json_object();
    json_set_bool(o, "enabled", kvm && accel_current == kvm);
    bool present = kvm && (!kvm->available || kvm->available(NULL));
    json_set_bool(o, "present", present);
    /* beyond QEMU's: which kind it is, and why the machine runs on what it runs on */
    if (present) {
        const char *kind;
        kvm->speed(&kind);
        json_set_str(o, "kind", kind);
    }
    if (accel_reason) {
        json_set_str(o, "reason", accel_reason);
    }
    return o;
}

static Json *cmd_target(const Json *args, Error **err)
{
    Json *o = json_object();
    json_set_str(o, "arch", "x86_64");
    return o;
}

/* ---- CPUs ------------------------------------------------------------------------------------ */

static Json *cpu_position(unsigned index)
{
    const Machine *m = current_machine;
    Json *o = json_object();
    json_set_int(o, "core-id", index / m->smp_threads % m->smp_cores);
    json_set_int(o, "thread-id", index % m->smp_threads);
    json_set_int(o, "socket-id", index / (m->smp_threads * m->smp_cores));
    return o;
}

static Json *cmd_cpus(const Json *args, Error **err)
{
    Json *list = json_array();
    for (guint i = 0; i < cpus->len; i++) {
        CPU *c = cpu_by_index(i);
        Json *o = json_object();
        char *path = qom_cpu_path(c);
        json_set_int(o, "thread-id", c->thread_id);
        json_set(o, "props", cpu_position(i));
        json_set_str(o, "qom-path", path);
        json_set_int(o, "cpu-index", i);
        json_set_str(o, "target", c->ops->arch);
        json_append(list, o);
        g_free(path);
    }
    return list;
}

static void add_model(const char *name, const char *desc, void *list)
{
    Json *o = json_object();
    json_set_str(o, "name", name);
    json_set(o, "typename", json_strf("%s-x86_64-cpu", name));
    json_set(o, "unavailable-features", json_array());
    json_set_bool(o, "static", !strcmp(name, "base"));
    json_set_bool(o, "migration-safe", strcmp(name, "max") && strcmp(name, "host"));
    json_set_bool(o, "deprecated", false);
    json_append(list, o);
}

static Json *cmd_cpu_definitions(const Json *args, Error **err)
{
    Json *list = json_array();
    x86_cpu_model_foreach(add_model, list);
    return list;
}

/* ---- machine types and options ------------------------------------------------------------------ */

static void add_machine(const MachineType *t, void *list)
{
    Json *o = json_object();
    json_set_str(o, "name", t->name);
    if (t->alias) {
        json_set_str(o, "alias", t->alias);
    }
    if (t->is_default) {
        json_set_bool(o, "is-default", true);
    }
    json_set_int(o, "cpu-max", t->max_cpus ? t->max_cpus : 1);
    json_set_bool(o, "hotpluggable-cpus", false);
    json_set_bool(o, "numa-mem-supported", false);
    json_set_bool(o, "deprecated", false);
    if (t->default_cpu) {
        json_set(o, "default-cpu-type", json_strf("%s-x86_64-cpu", t->default_cpu));
        json_set_str(o, "default-ram-id", "pc.ram");
    }
    json_append(list, o);
}

static Json *cmd_machines(const Json *args, Error **err)
{
    Json *list = json_array();
    machine_type_foreach(add_machine, list);
    return list;
}

static Json *cmd_current_machine(const Json *args, Error **err)
{
    Json *o = json_object();
    json_set_bool(o, "wakeup-suspend-support", current_machine->type->init && cpus->len);
    return o;
}

typedef struct OptionList {
    Json *list;
    const char *wanted;                 /* NULL: all */
    bool found;
} OptionList;

/* Parameters are not listed one by one: they are checked when an option is used. */
static void add_option(const Option *o, void *opaque)
{
    OptionList *l = opaque;
    if (o->off_only || (l->wanted && strcmp(l->wanted, o->name))) {
        return;
    }
    Json *entry = json_object();
    json_set_str(entry, "option", o->name);
    json_set(entry, "parameters", json_array());
    json_append(l->list, entry);
    l->found = true;
}

static Json *cmd_command_line_options(const Json *args, Error **err)
{
    const Json *wanted = json_get(args, "option");
    OptionList l = { json_array(), wanted ? wanted->s : NULL, false };
    options_foreach(add_option, &l);
    if (l.wanted && !l.found) {
        fail(err, "invalid option name: %s", l.wanted);
    }
    return l.list;
}

/* ---- memory, small lists --------------------------------------------------------------------------- */

static Json *cmd_memory_size(const Json *args, Error **err)
{
    Json *o = json_object();
    json_set_uint(o, "base-memory", current_machine->ram_size);
    json_set_int(o, "plugged-memory", 0);
    return o;
}

static void add_memdev(Object *obj, void *list)
{
    if (strcmp(obj->type->name, "memory-backend-ram")) {
        return;
    }
    Json *o = json_object();
    json_set_str(o, "id", obj->id);
    json_set_uint(o, "size", ((MemoryBackend *)obj)->size);
    json_set_bool(o, "merge", current_machine->mem_merge);
    json_set_bool(o, "dump", current_machine->dump_guest_core);
    json_set_bool(o, "prealloc", false);
    json_set_bool(o, "share", true);
    json_set(o, "host-nodes", json_array());
    json_set_str(o, "policy", "default");
    json_append(list, o);
}

static Json *cmd_memdev(const Json *args, Error **err)
{
    Json *list = json_array();
    object_foreach(add_memdev, list);
    return list;
}

/* There are none of the things asked for. */
static Json *cmd_none(const Json *args, Error **err)
{
    return json_array();
}

/* ---- query-pci ------------------------------------------------------------------------------------- */

static Json *pci_region(const PCIDevice *d, int n)
{
    const PCIBar *bar = &d->bar[n];
    Json *o = json_object();
    bool io = bar->type & PCI_BAR_IO;
    json_set_int(o, "bar", n);
    json_set_uint(o, "size", bar->size);
    if (bar->addr == PCI_BAR_UNMAPPED) {
        json_set_int(o, "address", -1);
    } else {
        json_set_uint(o, "address", bar->addr);
    }
    json_set_str(o, "type", io ? "io" : "memory");
    if (!io) {
        json_set_bool(o, "prefetch", bar->type & PCI_BAR_PREFETCH);
        json_set_bool(o, "mem_type_64", bar->type & PCI_BAR_MEM64);
    }
    return o;
}

static Json *pci_function(const PCIDevice *d)
{
    Json *o = json_object(), *class = json_object(), *id = json_object(), *regions = json_array();
    json_set_int(class, "class", pci_get_word(d->config + PCI_CLASS_DEVICE));
    json_set_str(class, "desc", d->dev.type->desc ? d->dev.type->desc : d->dev.type->name);
    json_set_int(id, "vendor", pci_get_word(d->config + PCI_VENDOR_ID));
    json_set_int(id, "device", pci_get_word(d->config + PCI_DEVICE_ID));
    json_set_int(id, "subsystem-vendor", pci_get_word(d->config + PCI_SUBSYS_VENDOR));
    json_set_int(id, "subsystem", pci_get_word(d->config + PCI_SUBSYS_ID));
    for (int n = 0; n < 7; n++) {
        if (d->bar[n].region) {
            json_append(regions, pci_region(d, n));
        }
    }
    json_set_int(o, "bus", 0);
    json_set_int(o, "slot", PCI_SLOT(d->devfn));
    json_set_int(o, "function", PCI_FUNC(d->devfn));
    json_set(o, "class_info", class);
    json_set(o, "id", id);
    if (d->config[PCI_INTERRUPT_PIN]) {
        json_set_int(o, "irq", d->config[PCI_INTERRUPT_LINE]);
    }
    json_set_int(o, "irq_pin", d->config[PCI_INTERRUPT_PIN]);
    json_set_str(o, "qdev_id", d->dev.id ? d->dev.id : "");
    json_set(o, "regions", regions);
    return o;
}

static Json *cmd_pci(const Json *args, Error **err)
{
    Json *list = json_array();
    PCIBus *bus = pci_root_bus();
    if (bus) {
        Json *o = json_object(), *devices = json_array();
        for (int devfn = 0; devfn < 256; devfn++) {
            const PCIDevice *d = pci_find_device(bus, devfn);
            if (d) {
                json_append(devices, pci_function(d));
            }
        }
        json_set_int(o, "bus", 0);
        json_set(o, "devices", devices);
        json_append(list, o);
    }
    return list;
}

const QmpCommand qmp_query_commands[] = {
    { "query-name", NULL, cmd_name },
    { "query-uuid", NULL, cmd_uuid },
    { "query-kvm", NULL, cmd_kvm },
    { "query-target", NULL, cmd_target },
    { "query-cpus-fast", NULL, cmd_cpus },
    { "query-cpu-definitions", NULL, cmd_cpu_definitions },
    { "query-machines", NULL, cmd_machines },
    { "query-current-machine", NULL, cmd_current_machine },
    { "query-command-line-options", "option:s?", cmd_command_line_options },
    { "query-memory-size-summary", NULL, cmd_memory_size },
    { "query-memdev", NULL, cmd_memdev },
    { "query-pci", NULL, cmd_pci },
    { "query-tpm-models", NULL, cmd_none },
    { "query-tpm-types", NULL, cmd_none },
    { "query-iothreads", NULL, cmd_none },
    { "query-memory-devices", NULL, cmd_none },
    { NULL }
};
