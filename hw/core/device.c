/* SPDX-License-Identifier: MIT */
/*
 * Device types and the life of a device: new, properties, realize, unrealize.  Types come from
 * the linker section that DEVICE_TYPE fills.
 */
#include "hw/core/device.h"
#include "hw/core/bootorder.h"
#include "hw/core/lifecycle.h"
#include "util/rcu.h"

#include <string.h>

/* Bounds of the section; the linker defines them. */
extern const DeviceType *const __start_orrery_devices[] __attribute__((weak));
extern const DeviceType *const __stop_orrery_devices[] __attribute__((weak));

typedef struct Global {
    char *type, *prop, *value;
    bool user;                          /* from -global, not from a machine version */
} Global;

void (*irq_observer)(const IRQ *irq, int level);

void (*device_unplugged_hook)(Device *dev);

static bool hotplug;                    /* devices are hotplugged now */
static GPtrArray *devices;              /* of Device*, realized, in order of realize */
static GPtrArray *globals;              /* of Global* */

/* ---- types -------------------------------------------------------------------------- */

const DeviceType *device_type_find(const char *name)
{
    const DeviceType *const *t;
    for (t = __start_orrery_devices; t < __stop_orrery_devices; t++) {
        if (!strcmp((*t)->name, name) || ((*t)->alias && !strcmp((*t)->alias, name))) {
            return *t;
        }
    }
    return NULL;
}

void device_type_foreach(void (*fn)(const DeviceType *t, void *opaque), void *opaque)
{
    const DeviceType *const *t;
    for (t = __start_orrery_devices; t < __stop_orrery_devices; t++) {
        fn(*t, opaque);
    }
}

static const Prop *bus_props(const DeviceType *t)
{
    const BusType *bus = t->bus ? bus_type_find(t->bus) : NULL;
    return bus ? bus->props : NULL;
}

static const Prop *find_prop(const DeviceType *t, const char *name)
{
    const Prop *p = prop_find(t->props, name);
    return p ? p : prop_find(bus_props(t), name);
}

void device_type_props(const DeviceType *t, void (*fn)(const Prop *p, void *opaque), void *opaque)
{
    for (const Prop *p = t->props; p && p->name; p++) {
        fn(p, opaque);
    }
    for (const Prop *p = bus_props(t); p && p->name; p++) {
        if (!prop_find(t->props, p->name)) {
            fn(p, opaque);
        }
    }
}

/* ---- defaults that outrank the table ------------------------------------------------- */

void device_add_global(const char *type, const char *prop, const char *value, bool user)
{
    if (!globals) {
        globals = g_ptr_array_new();
    }
    Global *g = g_new(Global, 1);
    *g = (Global) { g_strdup(type), g_strdup(prop), g_strdup(value), user };
    g_ptr_array_add(globals, g);
}

static bool applies(const Global *g, const DeviceType *t)
{
    return !strcmp(g->type, t->name) || (t->alias && !strcmp(g->type, t->alias));
}

static void apply_globals(Device *dev)
{
    for (guint i = 0; globals && i < globals->len; i++) {
        const Global *g = g_ptr_array_index(globals, i);
        const Prop *p = applies(g, dev->type) ? find_prop(dev->type, g->prop) : NULL;
        Error *err = NULL;
        if (p && !prop_set_value(dev, p, dev->type->name, g->value, &err)) {
            die("can't apply global %s.%s=%s: %s", g->type, g->prop, g->value, err->message);
        }
    }
}

/* Is the row acceptable?  Pointers to back-ends can only be resolved later. */
static bool check_global(const Global *g, Error **err)
{
    const DeviceType *t = device_type_find(g->type);
    const Prop *p = find_prop(t, g->prop);
    if (!p) {
        const Prop *tables[] = { t->props, bus_props(t) };
        return prop_unknown(tables, 2, t->name, g->prop, err);
    }
    if (prop_kind_is_backend(p->kind)) {
        return true;
    }
    void *scratch = g_malloc0(t->size);
    bool ok = prop_set_value(scratch, p, t->name, g->value, err);
    if (p->kind == PROP_KIND_STRING) {
        g_free(*(char **)((char *)scratch + p->offset));
    }
    g_free(scratch);
    return ok;
}

bool device_check_globals(Error **err)
{
    for (guint i = 0; globals && i < globals->len; i++) {
        const Global *g = g_ptr_array_index(globals, i);
        Error *why = NULL;
        if (!device_type_find(g->type)) {
            if (g->user) {
                warn_report("global %s.%s=%s has no effect: there is no device type '%s'",
                            g->type, g->prop, g->value, g->type);
            }
        } else if (!check_global(g, &why)) {
            g_propagate_prefixed_error(err, why, "can't apply global %s.%s=%s: ", g->type, g->prop,
                                       g->value);
            return false;
        }
    }
    return true;
}

/* ---- properties --------------------------------------------------------------------- */

bool device_set(Device *dev, const char *name, const char *value, Error **err)
{
    const DeviceType *t = dev->type;
    const Prop *p = find_prop(t, name);
    if (!p) {
        const Prop *tables[] = { t->props, bus_props(t) };
        return prop_unknown(tables, 2, t->name, name, err);
    }
    if (dev->realized) {
        return fail(err, "Property '%s.%s' can't be changed once the device is realized", t->name, name);
    }
    return prop_set_value(dev, p, t->name, value, err);
}

static void must_set(Device *dev, const char *prop, const char *value)
{
    Error *err = NULL;
    if (!device_set(dev, prop, value, &err)) {
        g_error("board: %s", err->message);
    }
}

void device_set_uint(Device *dev, const char *prop, uint64_t v)
{
    char text[24];
    const Prop *p = find_prop(dev->type, prop);
    if (p && p->kind == PROP_KIND_PCI_DEVFN) {
        g_snprintf(text, sizeof(text), "%x.%x", (unsigned)v >> 3, (unsigned)v & 7);
    } else if (p && (p->kind == PROP_KIND_BOOL || p->kind == PROP_KIND_ONOFFAUTO) && v <= 1) {
        g_strlcpy(text, v ? "on" : "off", sizeof(text));
    } else {
        g_snprintf(text, sizeof(text), "%" G_GUINT64_FORMAT, v);
    }
    must_set(dev, prop, text);
}

void device_set_str(Device *dev, const char *prop, const char *v)
{
    must_set(dev, prop, v);
}

void device_set_ptr(Device *dev, const char *prop, void *backend)
{
    const Prop *p = find_prop(dev->type, prop);
    g_assert(p && p->size == sizeof(void *) && !dev->realized);
    g_assert(prop_kind_is_backend(p->kind));
    *(void **)((char *)dev + p->offset) = backend;
}

char *device_get(Device *dev, const char *prop)
{
    const Prop *p = find_prop(dev->type, prop);
    return p ? prop_get_string(dev, p) : NULL;
}

/* ---- life --------------------------------------------------------------------------- */

Device *device_new(const char *type)
{
    const DeviceType *t = device_type_find(type);
    if (!t) {
        die("device type '%s' is not part of this build", type);
    }
    g_assert(t->size >= sizeof(Device));
    Device *dev = g_malloc0(t->size);
    dev->type = t;
    dev->buses = g_ptr_array_new();
    dev->hotplugged = hotplug;
    dev->io = system_io();
    dev->mem = system_memory();
    props_set_defaults(dev, bus_props(t));
    props_set_defaults(dev, t->props);
    apply_globals(dev);
    return dev;
}

void device_foreach(void (*fn)(Device *dev, void *opaque), void *opaque)
{
    for (guint i = 0; devices && i < devices->len; i++) {
        fn(g_ptr_array_index(devices, i), opaque);
    }
}

Device *device_find(const char *id)
{
    for (guint i = 0; devices && i < devices->len; i++) {
        Device *d = g_ptr_array_index(devices, i);
        if (d->id && !strcmp(d->id, id)) {
            return d;
        }
    }
    return NULL;
}

IRQ device_irq_in(Device *dev, int n)
{
    g_assert(dev->type->irq_in && n >= 0 && n < (int)dev->type->irq_inputs);
    return irq_make(dev->type->irq_in, dev, n);
}

/* Lowest number no device of the type has: an unplugged one's is taken again. */
static int free_instance(const DeviceType *t)
{
    for (int n = 0;; n++) {
        bool taken = false;
        for (guint i = 0; i < devices->len && !taken; i++) {
            Device *d = g_ptr_array_index(devices, i);
            taken = d->type == t && d->instance == n;
        }
        if (!taken) {
            return n;
        }
    }
}

/* Devices with an address are known by it, so that the order of plugging plays no part. */
static void register_state(Device *dev)
{
    const BusType *bus = dev->bus ? dev->bus->type : NULL;
    if (!dev->type->vmstate) {
        return;
    }
    GString *name = g_string_new(NULL);
    if (bus && bus->path) {
        bus->path(dev->bus, dev, name);
        g_string_append_c(name, '/');
    }
    bool addressed = name->len;
    g_string_append(name, dev->type->name);
    vmstate_register(name->str, addressed ? 0 : dev->instance, dev->type->vmstate, dev);
    g_string_free(name, TRUE);
}

static bool choose_bus(Device *dev, Bus *bus, Error **err)
{
    const DeviceType *t = dev->type;
    if (!t->bus) {
        return !bus || fail(err, "Device '%s' can't go on a bus", t->name);
    }
    if (!bus) {
        bus = bus_with_room(t->bus);
        if (!bus) {
            return fail(err, "No '%s' bus found for device '%s'", t->bus, t->name);
        }
    }
    if (strcmp(bus->type->name, t->bus)) {
        return fail(err, "Device '%s' can't go on %s bus", t->name, bus->type->name);
    }
    if (bus->max_devices && bus->devices->len >= bus->max_devices) {
        return fail(err, "Bus '%s' is full", bus->name);
    }
    if (dev->hotplugged && !bus->type->unplug) {
        return fail(err, "Bus '%s' does not support hotplugging", bus->name);
    }
    dev->bus = bus;
    return true;
}

static void leave_bus(Device *dev)
{
    if (dev->bus && dev->bus->type->remove) {
        dev->bus->type->remove(dev->bus, dev);
    }
    dev->bus = NULL;
}

static bool claim_boot_place(Device *dev, Error **err)
{
    const Prop *p = prop_find(dev->type->props, "bootindex");
    if (!p || p->size != sizeof(int32_t)) {
        return true;
    }
    int index = *(int32_t *)((char *)dev + p->offset);
    return index < 0 || boot_order_add(index, dev, err);
}

bool device_realize(Device *dev, Bus *bus, Error **err)
{
    const DeviceType *t = dev->type;
    g_assert(!dev->realized);
    if (!devices) {
        devices = g_ptr_array_new();
    }
    if (!choose_bus(dev, bus, err)) {
        return false;
    }
    dev->instance = free_instance(t);
    if (dev->bus && dev->bus->type->add && !dev->bus->type->add(dev->bus, dev, err)) {
        dev->bus = NULL;
        return false;
    }
    if (t->realize && !t->realize(dev, err)) {
        leave_bus(dev);
        return false;
    }
    dev->realized = true;
    g_ptr_array_add(devices, dev);
    if (dev->bus) {
        g_ptr_array_add(dev->bus->devices, dev);
    }
    register_state(dev);
    device_reset(dev);
    if ((dev->bus && dev->bus->type->added && !dev->bus->type->added(dev->bus, dev, err))
        || !claim_boot_place(dev, err)) {
        device_withdraw(dev);
        return false;
    }
    return true;
}

void device_realize_or_die(Device *dev, Bus *bus)
{
    Error *err = NULL;
    if (!device_realize(dev, bus, &err)) {
        die_error(err);
    }
}

/* The reverse of realize. */
void device_withdraw(Device *dev)
{
    const DeviceType *t = dev->type;
    while (dev->buses->len) {
        bus_destroy(g_ptr_array_index(dev->buses, dev->buses->len - 1));
    }
    if (t->vmstate) {
        vmstate_unregister(t->vmstate, dev);
    }
    boot_order_remove(dev);
    if (t->unrealize) {
        t->unrealize(dev);
    }
    g_ptr_array_remove(devices, dev);
    if (dev->bus) {
        g_ptr_array_remove(dev->bus->devices, dev);
    }
    leave_bus(dev);
    dev->realized = false;
}

/* Readers that looked a region up without a lock may still hold it: the memory stays for a
 * grace period. */
void device_unrealize(Device *dev)
{
    if (dev->realized) {
        device_withdraw(dev);
    }
    props_free(dev, dev->type->props);
    props_free(dev, bus_props(dev->type));
    g_ptr_array_unref(dev->buses);
    g_free(dev->id);
    rcu_defer(g_free, dev);
}

/* ---- coming and going while the machine runs ------------------------------------------- */

void device_set_hotplug(bool on)
{
    hotplug = on;
}

bool device_request_unplug(Device *dev, Error **err)
{
    if (!dev->bus || !dev->bus->type->unplug) {
        return fail(err, "Bus '%s' does not support hotplugging", dev->bus ? dev->bus->name : "board");
    }
    return dev->bus->type->unplug(dev->bus, dev, err);
}

void device_unplug(Device *dev)
{
    for (guint i = dev->buses->len; i-- > 0;) {
        Bus *b = g_ptr_array_index(dev->buses, i);
        while (b->devices->len) {
            device_unplug(g_ptr_array_index(b->devices, b->devices->len - 1));
        }
    }
    if (device_unplugged_hook) {
        device_unplugged_hook(dev);
    }
    device_unrealize(dev);
}
