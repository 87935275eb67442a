/* SPDX-License-Identifier: MIT */
/*
 * The monitor's `info qtree`: buses, devices and their properties, in QEMU's layout.
 */
#include "hw/core/device.h"

#include <inttypes.h>
#include <stdlib.h>

static void print_bus(GString *out, Bus *bus, int indent);

typedef struct PropPrinter {
    GString *out;
    Device *dev;
    int indent;
} PropPrinter;

static void print_prop(const Prop *p, void *opaque)
{
    PropPrinter *pp = opaque;
    char *value = prop_get_string(pp->dev, p);
    g_string_append_printf(pp->out, "%*s%s = ", pp->indent, "", p->name);
    switch (p->kind) {
    case PROP_KIND_UINT:
    case PROP_KIND_SIZE:
        g_string_append_printf(pp->out, "%s (0x%" PRIx64 ")", value,
                               (uint64_t)g_ascii_strtoull(value, NULL, 10));
        break;
    case PROP_KIND_STRING:
    case PROP_KIND_DRIVE:
    case PROP_KIND_CHARDEV:
    case PROP_KIND_NETDEV:
    case PROP_KIND_AUDIODEV:
    case PROP_KIND_MAC:
    case PROP_KIND_ENUM:
    case PROP_KIND_ONOFFAUTO:
        g_string_append_printf(pp->out, "\"%s\"", value);
        break;
    default:
        g_string_append(pp->out, value);
    }
    g_string_append_c(pp->out, '\n');
    g_free(value);
}

static void print_device(GString *out, Device *dev, int indent)
{
    g_string_append_printf(out, "%*sdev: %s, id \"%s\"\n", indent, "", dev->type->name,
                           dev->id ? dev->id : "");
    PropPrinter pp = { out, dev, indent + 2 };
    device_type_props(dev->type, print_prop, &pp);
    if (dev->bus && dev->bus->type->print) {
        dev->bus->type->print(dev->bus, dev, out, indent + 2);
    }
    for (guint i = 0; i < dev->buses->len; i++) {
        print_bus(out, g_ptr_array_index(dev->buses, i), indent + 2);
    }
}

static void print_bus(GString *out, Bus *bus, int indent)
{
    g_string_append_printf(out, "%*sbus: %s\n%*stype %s\n", indent, "", bus->name, indent + 2, "",
                           bus->type->name);
    for (guint i = 0; i < bus->devices->len; i++) {
        print_device(out, g_ptr_array_index(bus->devices, i), indent + 2);
    }
}

static void print_if_on_board(Device *dev, void *opaque)
{
    if (!dev->bus) {
        print_device(opaque, dev, 2);
    }
}

static void print_if_unowned(Bus *bus, void *opaque)
{
    if (!bus->owner) {
        print_bus(opaque, bus, 2);
    }
}

void device_info_qtree(GString *out)
{
    g_string_append(out, "bus: main-system-bus\n  type System\n");
    device_foreach(print_if_on_board, out);
    bus_foreach(print_if_unowned, out);
}
