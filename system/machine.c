/* SPDX-License-Identifier: MIT */
/*
 * Machine types, the machine that was made, and what its default devices are connected to.
 */
#include "system/machine.h"

#include <string.h>

#include "block/drive.h"
#include "system/cmdline.h"
#include "util/parse.h"

extern const MachineType *const __start_orrery_machines[] __attribute__((weak));
extern const MachineType *const __stop_orrery_machines[] __attribute__((weak));

Machine *current_machine;

/* of CharDev *, NULL where a port shall have nothing behind it */
static GPtrArray *serials, *parallels;

const MachineType *machine_type_find(const char *name)
{
    const MachineType *const *t = __start_orrery_machines;
    for (; t < __stop_orrery_machines; t++) {
        if (name ? !strcmp((*t)->name, name) || !g_strcmp0((*t)->alias, name) : (*t)->is_default) {
            return *t;
        }
    }
    return NULL;
}

void machine_type_foreach(void (*fn)(const MachineType *t, void *opaque), void *opaque)
{
    const MachineType *const *t = __start_orrery_machines;
    for (; t < __stop_orrery_machines; t++) {
        fn(*t, opaque);
    }
}

/* ---- making the struct ------------------------------------------------------------------- */

/* Properties every board has. */
static const Prop common_props[] = {
    PROP_STRING("kernel", Machine, kernel, NULL, "kernel to boot directly"),
    PROP_STRING("initrd", Machine, initrd, NULL, "its initial RAM disk"),
    PROP_STRING("append", Machine, append, NULL, "its command line"),
    PROP_STRING("dtb", Machine, dtb, NULL, "its device tree"),
    PROP_STRING("firmware", Machine, firmware, NULL, "firmware image"),
    PROP_BOOL("graphics", Machine, graphics, true, "a graphics card by default"),
    PROP_BOOL("dump-guest-core", Machine, dump_guest_core, true, "guest memory in core dumps"),
    PROP_BOOL("mem-merge", Machine, mem_merge, true, "let the host share equal pages"),
    PROP_DONE
};

void machine_props_help(GString *out, const MachineType *t)
{
    if (t->props) {
        props_help(out, t->name, t->props);
    }
    props_help(out, t->props ? NULL : t->name, common_props);
    g_string_append(out, "  accel=<str>            - accelerators in order of preference, as kvm:tcg\n"
                    "  kernel-irqchip=<str>   - for -accel kvm that does not say so itself\n"
                    "  memory-backend=<str>   - id of a memory-backend object for guest memory\n");
}

void machine_props_foreach(const MachineType *t, void (*fn)(const Prop *p, void *opaque), void *opaque)
{
    for (const Prop *p = t->props; p && p->name; p++) {
        fn(p, opaque);
    }
    for (const Prop *p = common_props; p->name; p++) {
        fn(p, opaque);
    }
}

static bool set_prop(Machine *m, const char *name, const char *value, Error **err)
{
    const Prop *const tables[] = { m->type->props, common_props };
    for (size_t i = 0; i < G_N_ELEMENTS(tables); i++) {
        const Prop *p = tables[i] ? prop_find(tables[i], name) : NULL;
        if (p) {
            return prop_set_value(m, p, m->type->name, value, err);
        }
    }
    return m->type->props ? prop_unknown(tables, 2, m->type->name, name, err)
                          : prop_unknown(tables + 1, 1, m->type->name, name, err);
}

static bool apply_props(Machine *m, Error **err)
{
    for (guint i = 0; i < config.machine_props->len; i++) {
        const Arg *a = config.machine_props->pdata[i];
        char **pair = g_strsplit(a->text, "=", 2);
        bool ok = !strcmp(pair[0], "accel") || set_prop(m, pair[0], pair[1], err);
        g_strfreev(pair);
        if (!ok) {
            arg_prefix(err, a->option, a->text);
            return false;
        }
    }
    return true;
}

/* The fields that have options of their own; board-only ones keep the board's defaults. */
static void take_options(Machine *m)
{
    const Machine *c = &config.m;
#define TAKE(field) m->field = c->field
    TAKE(smp_cpus), TAKE(smp_max), TAKE(smp_sockets), TAKE(smp_cores), TAKE(smp_threads);
    TAKE(firmware), TAKE(kernel), TAKE(initrd), TAKE(append), TAKE(dtb);
    TAKE(boot_order), TAKE(boot_once), TAKE(boot_splash), TAKE(boot_menu), TAKE(boot_strict);
    TAKE(boot_splash_time), TAKE(boot_reboot_timeout), TAKE(no_fd_bootchk);
    TAKE(name), TAKE(uuid_set), TAKE(files), TAKE(smbios), TAKE(acpitables);
#undef TAKE
    memcpy(m->uuid, c->uuid, sizeof(m->uuid));
    m->ram_size = c->ram_size ? c->ram_size : m->type->default_ram;
    m->cpu_model = g_strdup(c->cpu_model ? c->cpu_model : m->type->default_cpu);
    m->nodefaults = config.nodefaults;
}

static void choose_vga(Machine *m)
{
    const char *vga = config.m.vga;
    if (!vga) {
        vga = config.nodefaults || !m->graphics || machine_default_suppressed("vga") ? "none" : "std";
    }
    m->vga = g_strdup(vga);
}

static bool check(const Machine *m, Error **err)
{
    const MachineType *t = m->type;
    if (t->max_cpus && m->smp_max > t->max_cpus) {
        return fail(err, "-smp: machine '%s' takes at most %u CPUs, not %u", t->name, t->max_cpus,
                    m->smp_max);
    }
    if (config.max_ram && config.max_ram != m->ram_size) {
        return fail(err, "-m maxmem: memory can't be plugged in later, so it must be the size");
    }
    if (m->kernel) {
        return true;
    }
    const char *what = m->initrd ? "-initrd" : m->append ? "-append" : m->dtb ? "-dtb" : NULL;
    return !what || fail(err, "%s: only together with -kernel", what);
}

static void collect_type(const MachineType *t, void *opaque)
{
    g_ptr_array_add(opaque, (gpointer)t->name);
    if (t->alias) {
        g_ptr_array_add(opaque, (gpointer)t->alias);
    }
}

static const MachineType *choose_type(Error **err)
{
    const MachineType *t = machine_type_find(config.machine_type);
    if (t) {
        return t;
    }
    if (!config.machine_type) {
        fail(err, "no default machine type: choose one with -machine (-machine help)");
        return NULL;
    }
    GPtrArray *names = g_ptr_array_new();
    machine_type_foreach(collect_type, names);
    const char *near = nearest_name(config.machine_type, (const char *const *)names->pdata, names->len);
    g_ptr_array_free(names, TRUE);
    fail(err, "-machine %s: unknown machine type (%s%s%s-machine help lists all)", config.machine_type,
         near ? "did you mean " : "", near ? near : "", near ? "? " : "");
    return NULL;
}

Machine *machine_new(Error **err)
{
    const MachineType *t = choose_type(err);
    if (!t) {
        return NULL;
    }
    Machine *m = g_malloc0(MAX(t->size, sizeof(Machine)));
    m->type = t;
    props_set_defaults(m, common_props);
    if (t->props) {
        props_set_defaults(m, t->props);
    }
    take_options(m);
    if (!apply_props(m, err) || !check(m, err)) {
        return NULL;
    }
    choose_vga(m);
    current_machine = m;
    return m;
}

/* ---- back-ends of default devices -------------------------------------------------------- */

void machine_add_port(bool parallel, struct CharDev *c)
{
    GPtrArray **ports = parallel ? &parallels : &serials;
    if (!*ports) {
        *ports = g_ptr_array_new();
    }
    g_ptr_array_add(*ports, c);
}

static struct CharDev *port(const GPtrArray *ports, unsigned n)
{
    return ports && n < ports->len ? ports->pdata[n] : NULL;
}

struct CharDev *machine_serial(unsigned n)
{
    return port(serials, n);
}

struct CharDev *machine_parallel(unsigned n)
{
    return port(parallels, n);
}

unsigned machine_ports(bool parallel)
{
    const GPtrArray *ports = parallel ? parallels : serials;
    return ports ? ports->len : 0;
}

struct BlockBackend *machine_drive(const char *interface, unsigned bus, unsigned unit)
{
    DriveIf iface = !strcmp(interface, "ide") ? DRIVE_IF_IDE
                  : !strcmp(interface, "floppy") ? DRIVE_IF_FLOPPY : DRIVE_IF_NONE;
    DriveInfo *d = iface == DRIVE_IF_NONE ? NULL : drive_get(iface, bus, unit);
    return d ? d->blk : NULL;
}
