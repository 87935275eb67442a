/* SPDX-License-Identifier: MIT */
/*
 * The USB bus: ports, who sits in them, and `info usb`.
 *
 * All devices of a controller are on one bus, whether in its own ports or in those of hubs; a
 * path tells where: "2.1" is port 1 of the hub in root port 2.  As with QEMU, a device that
 * would take the last free port gets a hub first.
 */
#include "hw/usb/usb.h"

#include <stdio.h>
#include <string.h>

static const USBInfo *info_of(const USBDevice *d)
{
    return d->dev.type->info;
}

const char *usb_speed_name(const USBDevice *d)
{
    return info_of(d)->speed == USB_SPEED_LOW ? "1.5" : "12";
}

/* ---- ports -------------------------------------------------------------------------------- */

void usb_port_register(USBPort *p, const USBPort *parent)
{
    if (parent) {
        g_snprintf(p->path, sizeof(p->path), "%s.%u", parent->path, p->index + 1);
    } else {
        g_snprintf(p->path, sizeof(p->path), "%u", p->index + 1);
    }
    p->device = NULL;
    g_ptr_array_add(p->bus->ports, p);
}

void usb_port_unregister(USBPort *p)
{
    if (p->device) {
        device_unrealize(&p->device->dev);
    }
    g_ptr_array_remove(p->bus->ports, p);
}

static unsigned tiers(const USBPort *p)
{
    unsigned n = 0;

    for (const char *c = p->path; *c; c++) {
        n += *c == '.';
    }
    return n;
}

USBDevice *usb_find(USBPort *p, uint8_t address)
{
    USBDevice *d = p->device;

    if (!d || !d->dev.realized) {
        return NULL;
    }
    if (d->address == address) {
        return d;
    }
    return info_of(d)->hub ? usb_hub_find(d, address) : NULL;
}

static USBPort *free_port(USBBus *b, const char *path, unsigned *count)
{
    USBPort *found = NULL;

    *count = 0;
    for (guint i = 0; i < b->ports->len; i++) {
        USBPort *p = g_ptr_array_index(b->ports, i);
        if (p->device || (path && strcmp(p->path, path))) {
            continue;
        }
        found = found ? found : p;
        ++*count;
    }
    return found;
}

/* ---- devices come and go ------------------------------------------------------------------ */

static bool add_hub(USBBus *b, Error **err)
{
    Device *hub = device_new("usb-hub");

    if (!device_realize(hub, &b->bus, err)) {
        device_unrealize(hub);
        return false;
    }
    return true;
}

static bool choose_port(USBBus *b, USBDevice *d, Error **err)
{
    const char *path = d->port_prop && *d->port_prop ? d->port_prop : NULL;
    unsigned count;
    USBPort *p = free_port(b, path, &count);

    if (!p && path) {
        return fail(err, "%s: port=%s: bus '%s' has no such port, or it is in use",
                    d->dev.type->name, path, b->bus.name);
    }
    if (!p) {
        return fail(err, "%s: bus '%s' has no free port", d->dev.type->name, b->bus.name);
    }
    if (!path && count == 1 && !info_of(d)->hub && tiers(p) < USB_TIERS_MAX) {
        if (!add_hub(b, err)) {
            return false;
        }
        p = free_port(b, NULL, &count);
    }
    if (info_of(d)->hub && tiers(p) >= USB_TIERS_MAX) {
        return fail(err, "%s: port %s is behind %u hubs, the most there may be in a row",
                    d->dev.type->name, p->path, USB_TIERS_MAX);
    }
    d->port = p;
    p->device = d;
    return true;
}

/* Guests tell devices of one kind apart by it: a number of the type, and where it sits. */
static void choose_serial(USBBus *b, USBDevice *d)
{
    const USBDesc *desc = info_of(d)->desc;
    Device *hc = b->bus.owner;
    GString *s = g_string_new(NULL);

    if (d->serial_prop && *d->serial_prop) {
        g_string_assign(s, d->serial_prop);
    } else {
        g_string_assign(s, desc->serial ? desc->strings[desc->serial] : "1");
        if (hc->bus && hc->bus->type->path) {
            g_string_append_c(s, '-');
            hc->bus->type->path(hc->bus, hc, s);
        }
        g_string_append_printf(s, "-%s", d->port->path);
    }
    d->serial = g_string_free(s, FALSE);
}

static bool usb_bus_add(Bus *bus, Device *dev, Error **err)
{
    USBBus *b = (USBBus *)bus;
    USBDevice *d = (USBDevice *)dev;

    if (d->serial_prop && strlen(d->serial_prop) > 126) {
        return fail(err, "%s: serial=%s: at most 126 characters", dev->type->name, d->serial_prop);
    }
    if (!choose_port(b, d, err)) {
        return false;
    }
    choose_serial(b, d);
    return true;
}

static bool usb_bus_added(Bus *bus, Device *dev, Error **err)
{
    USBPort *p = ((USBDevice *)dev)->port;

    p->attached(p);
    return true;
}

static void usb_bus_remove(Bus *bus, Device *dev)
{
    USBDevice *d = (USBDevice *)dev;
    USBPort *p = d->port;

    d->port = NULL;
    p->device = NULL;
    if (dev->realized) {
        p->detached(p);
    }
    g_clear_pointer(&d->serial, g_free);
}

static bool usb_bus_unplug(Bus *bus, Device *dev, Error **err)
{
    USBBus *b = (USBBus *)bus;

    for (guint i = b->ports->len; i-- > 0;) {           /* what is below a hub goes first */
        USBPort *p = g_ptr_array_index(b->ports, i);
        if (p->owner == dev && p->device) {
            usb_bus_unplug(bus, &p->device->dev, NULL);
            i = b->ports->len;
        }
    }
    device_unplug(dev);
    return true;
}

static void usb_bus_reset(Bus *bus, Device *dev)
{
    usb_reset_device((USBDevice *)dev);
}

/* ---- names -------------------------------------------------------------------------------- */

static void usb_bus_path(Bus *bus, Device *dev, GString *out)
{
    Device *hc = bus->owner;

    if (hc->bus && hc->bus->type->path) {
        hc->bus->type->path(hc->bus, hc, out);
        g_string_append_c(out, '/');
    }
    g_string_append(out, ((USBDevice *)dev)->port->path);
}

static const char *product(const USBDevice *d)
{
    const USBDesc *desc = info_of(d)->desc;

    return desc->strings[desc->name];
}

static void usb_bus_print(Bus *bus, Device *dev, GString *out, int indent)
{
    const USBDevice *d = (USBDevice *)dev;

    g_string_append_printf(out, "%*saddr 0.%u, port %s, speed %s, name %s, attached\n", indent, "",
                           d->address, d->port->path, usb_speed_name(d), product(d));
}

typedef struct InfoWalk {
    GString *out;
    unsigned buses;
} InfoWalk;

static void info_device(const USBPort *p, unsigned bus, GString *out)
{
    const USBDevice *d = p->device;

    if (d && d->dev.realized) {
        g_string_append_printf(out, "  Device %u.%u, Port %s, Speed %s Mb/s, Product %s%s%s\n", bus,
                               d->address, p->path, usb_speed_name(d), product(d),
                               d->dev.id ? ", ID: " : "", d->dev.id ? d->dev.id : "");
    }
}

static void info_bus(Bus *bus, void *opaque)
{
    InfoWalk *w = opaque;
    USBBus *b = (USBBus *)bus;

    if (bus->type != &usb_bus_type) {
        return;
    }
    for (guint i = 0; i < b->ports->len; i++) {
        info_device(g_ptr_array_index(b->ports, i), w->buses, w->out);
    }
    w->buses++;
}

void usb_info(GString *out)
{
    InfoWalk w = { out, 0 };

    bus_foreach(info_bus, &w);
    if (!w.buses) {
        g_string_append(out, "USB support not enabled\n");
    }
}

/* ---- type ---------------------------------------------------------------------------------- */

static const Prop usb_props[] = {
    PROP_STRING("port", USBDevice, port_prop, NULL, "path of the port, \"1\" or \"2.1\" (default: "
                "the first free one)"),
    PROP_STRING("serial", USBDevice, serial_prop, NULL, "serial number, up to 126 characters "
                "(default: made from the place)"),
    PROP_DONE
};

const BusType usb_bus_type = {
    .name = "usb-bus", .props = usb_props, .add = usb_bus_add, .added = usb_bus_added,
    .remove = usb_bus_remove, .unplug = usb_bus_unplug, .reset = usb_bus_reset,
    .path = usb_bus_path, .print = usb_bus_print,
};
BUS_TYPE(usb_bus_type);

static void collect_number(Bus *bus, void *opaque)
{
    guint64 *taken = opaque;
    unsigned n;

    if (bus->type == &usb_bus_type && sscanf(bus->name, "usb-bus.%u", &n) == 1 && n < 64) {
        *taken |= (guint64)1 << n;
    }
}

void usb_bus_init(USBBus *b, Device *owner)
{
    guint64 taken = 0;
    unsigned n = 0;

    bus_foreach(collect_number, &taken);
    while (n < 63 && taken >> n & 1) {
        n++;
    }
    char *name = owner->id ? g_strdup_printf("%s.0", owner->id) : g_strdup_printf("usb-bus.%u", n);
    bus_init(&b->bus, &usb_bus_type, owner, name);
    b->ports = g_ptr_array_new();
    g_free(name);
}

void usb_bus_exit(USBBus *b)
{
    g_ptr_array_unref(b->ports);
    b->ports = NULL;
}
