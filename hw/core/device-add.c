/* SPDX-License-Identifier: MIT */
/*
 * -device and device_add: a device by name, from a list of options.
 */
#include "hw/core/device.h"
#include "util/opts.h"
#include "util/parse.h"

#include <string.h>


static void collect_name(const DeviceType *t, void *opaque)
{
    GPtrArray *names = opaque;
    if (!t->no_user && t->bus) {
        g_ptr_array_add(names, (char *)t->name);
        if (t->alias) {
            g_ptr_array_add(names, (char *)t->alias);
        }
    }
}

/* QEMU's that are not here, and what does their work. */
static const struct { const char *name, *instead; } absent[] = {
    { "qxl", "virtio-gpu-pci" }, { "qxl-vga", "virtio-vga" }, { "vmware-svga", "VGA" },
    { "ati-vga", "VGA" }, { "isa-cirrus-vga", "cirrus-vga" }, { "virtio-vga-gl", "virtio-vga" },
    { "virtio-gpu-gl-pci", "virtio-gpu-pci" }, { "virtio-gpu-device", "virtio-gpu-pci" },
    { "virtio-keyboard-device", "virtio-keyboard-pci" },
    { "virtio-mouse-device", "virtio-mouse-pci" }, { "virtio-tablet-device", "virtio-tablet-pci" },
    { "nvme-ns", "nvme" }, { "ide-drive", "ide-hd" }, { "ide-cf", "ide-hd" }, { "scsi-disk", "scsi-hd" },
    { "scsi-generic", "scsi-hd" }, { "scsi-block", "scsi-hd" }, { "virtio-blk-device", "virtio-blk-pci" },
    { "virtio-scsi-device", "virtio-scsi-pci" }, { "vhost-user-blk-pci", "virtio-blk-pci" },
    { "vhost-scsi-pci", "virtio-scsi-pci" }, { "vhost-user-scsi-pci", "virtio-scsi-pci" },
    { "lsi", "virtio-scsi-pci" }, { "lsi53c895a", "virtio-scsi-pci" }, { "lsi53c810", "virtio-scsi-pci" },
    { "megasas", "virtio-scsi-pci" }, { "megasas-gen2", "virtio-scsi-pci" },
    { "mptsas1068", "virtio-scsi-pci" }, { "pvscsi", "virtio-scsi-pci" }, { "am53c974", "virtio-scsi-pci" },
    { "dc390", "virtio-scsi-pci" }, { "sd-card", "virtio-blk-pci" }, { "sdhci-pci", "virtio-blk-pci" },
};

static bool unknown_type(const char *owner, const char *name, Error **err)
{
    for (size_t i = 0; i < G_N_ELEMENTS(absent); i++) {
        if (!strcmp(absent[i].name, name) && device_type_find(absent[i].instead)) {
            return fail_class(err, ERR_DEVICE_NOT_FOUND, "%s: '%s' is not available, use '%s'", owner,
                              name, absent[i].instead);
        }
    }
    GPtrArray *names = g_ptr_array_new();
    device_type_foreach(collect_name, names);
    const char *near = nearest_name(name, (const char *const *)names->pdata, names->len);
    g_ptr_array_unref(names);
    if (near) {
        return fail_class(err, ERR_DEVICE_NOT_FOUND,
                          "%s: '%s' is not a valid device model name (did you mean '%s'?)",
                          owner, name, near);
    }
    return fail_class(err, ERR_DEVICE_NOT_FOUND, "%s: '%s' is not a valid device model name",
                      owner, name);
}

static const DeviceType *user_type(const char *owner, const char *name, Error **err)
{
    const DeviceType *t = device_type_find(name);
    if (!t) {
        unknown_type(owner, name, err);
        return NULL;
    }
    if (t->no_user || !t->bus) {
        fail(err, "%s: Parameter 'driver' expects a pluggable device type; '%s' is part of the board",
             owner, name);
        return NULL;
    }
    return t;
}

/* QEMU's rule for names users give: a letter, then letters, digits, '-', '.', '_'. */
static bool check_id(const char *owner, const char *id, Error **err)
{
    if (!id_well_formed(id)) {
        return fail(err, "%s: Parameter 'id' expects an identifier (letters, digits, '-', '.' "
                    "and '_', beginning with a letter), not '%s'", owner, id);
    }
    if (device_find(id)) {
        return fail(err, "%s: Duplicate device ID '%s'", owner, id);
    }
    return true;
}

typedef struct Setter {
    Device *dev;
    Error *err;
} Setter;

static void set_one(const char *name, const char *value, void *opaque)
{
    Setter *s = opaque;
    if (!s->err && strcmp(name, "driver") && strcmp(name, "id") && strcmp(name, "bus")) {
        device_set(s->dev, name, value, &s->err);
    }
}

static bool set_and_realize(Device *dev, Opts *opts, Error **err)
{
    Setter s = { dev, NULL };
    const char *bus_name = opts_get(opts, "bus");
    Bus *bus = bus_name ? bus_find(bus_name) : NULL;
    if (bus_name && !bus) {
        return fail(err, "%s: Bus '%s' not found", opts->owner, bus_name);
    }
    opts_foreach(opts, set_one, &s);
    if (!s.err) {
        device_realize(dev, bus, &s.err);
    }
    if (s.err) {
        g_propagate_prefixed_error(err, s.err, "%s: ", opts->owner);
        return false;
    }
    return true;
}

Device *device_add(Opts *opts, Error **err)
{
    const char *driver = opts_get(opts, "driver"), *id = opts_get(opts, "id");
    Device *dev = NULL;
    if (!driver) {
        fail(err, "%s: Parameter 'driver' is missing", opts->owner);
        goto out;
    }
    const DeviceType *t = user_type(opts->owner, driver, err);
    if (!t || (id && !check_id(opts->owner, id, err))) {
        goto out;
    }
    dev = device_new(t->name);
    dev->id = g_strdup(id);
    dev->user_created = true;
    if (!set_and_realize(dev, opts, err)) {
        device_unrealize(dev);
        dev = NULL;
    }
out:
    opts_free(opts);
    return dev;
}

/* ---- help --------------------------------------------------------------------------- */

static const char *const categories[] = {
    "Controller/Bridge/Hub", "USB", "Storage", "Network", "Input", "Display", "Sound", "Misc",
    "CPU", "Watchdog",
};

typedef struct HelpWalk {
    GString *out;
    const char *category;               /* NULL: those with none of the known ones */
    bool any;
} HelpWalk;

static bool known_category(const char *c)
{
    for (size_t i = 0; c && i < G_N_ELEMENTS(categories); i++) {
        if (!strcmp(c, categories[i])) {
            return true;
        }
    }
    return false;
}

static void help_type(const DeviceType *t, void *opaque)
{
    HelpWalk *w = opaque;
    bool here = w->category ? !g_strcmp0(t->category, w->category) : !known_category(t->category);
    if (t->no_user || !t->bus || !here) {
        return;
    }
    if (!w->any) {
        g_string_append_printf(w->out, "%s%s devices:\n", w->out->len ? "\n" : "",
                               w->category ? w->category : "Uncategorized");
        w->any = true;
    }
    g_string_append_printf(w->out, "name \"%s\", bus %s", t->name, t->bus);
    if (t->alias) {
        g_string_append_printf(w->out, ", alias \"%s\"", t->alias);
    }
    if (t->desc) {
        g_string_append_printf(w->out, ", desc \"%s\"", t->desc);
    }
    g_string_append_c(w->out, '\n');
}

void device_help(GString *out)
{
    for (size_t i = 0; i <= G_N_ELEMENTS(categories); i++) {
        HelpWalk w = { out, i < G_N_ELEMENTS(categories) ? categories[i] : NULL, false };
        device_type_foreach(help_type, &w);
    }
}

bool device_type_help(GString *out, const char *name, Error **err)
{
    const DeviceType *t = user_type("-device", name, err);
    if (!t) {
        return false;
    }
    props_help(out, t->name, t->props);
    const BusType *bus = bus_type_find(t->bus);
    if (bus) {
        props_help(out, NULL, bus->props);
    }
    return true;
}
