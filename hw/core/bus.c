/* SPDX-License-Identifier: MIT */
/*
 * Buses: the list of those that exist, and the types of those that may.
 */
#include "hw/core/device.h"
#include "hw/core/lifecycle.h"

#include <string.h>

/* Bounds of the section; the linker defines them. */
extern const BusType *const __start_orrery_buses[] __attribute__((weak));
extern const BusType *const __stop_orrery_buses[] __attribute__((weak));

static GPtrArray *buses;                /* of Bus*, in order of creation */

const BusType *bus_type_find(const char *name)
{
    for (const BusType *const *t = __start_orrery_buses; t < __stop_orrery_buses; t++) {
        if (!strcmp((*t)->name, name)) {
            return *t;
        }
    }
    for (guint i = 0; buses && i < buses->len; i++) {
        Bus *b = g_ptr_array_index(buses, i);
        if (!strcmp(b->type->name, name)) {
            return b->type;
        }
    }
    return NULL;
}

void bus_init(Bus *bus, const BusType *type, Device *owner, const char *name)
{
    if (!buses) {
        buses = g_ptr_array_new();
    }
    bus->type = type;
    bus->owner = owner;
    bus->name = g_strdup(name);
    bus->devices = g_ptr_array_new();
    g_ptr_array_add(buses, bus);
    if (owner) {
        g_ptr_array_add(owner->buses, bus);
    }
}

void bus_destroy(Bus *bus)
{
    while (bus->devices->len) {
        device_unrealize(g_ptr_array_index(bus->devices, bus->devices->len - 1));
    }
    g_ptr_array_remove(buses, bus);
    if (bus->owner) {
        g_ptr_array_remove(bus->owner->buses, bus);
    }
    g_ptr_array_unref(bus->devices);
    g_clear_pointer(&bus->name, g_free);
}

void bus_foreach(void (*fn)(Bus *bus, void *opaque), void *opaque)
{
    for (guint i = 0; buses && i < buses->len; i++) {
        fn(g_ptr_array_index(buses, i), opaque);
    }
}

Bus *bus_find(const char *name_or_type)
{
    for (guint i = 0; buses && i < buses->len; i++) {
        Bus *b = g_ptr_array_index(buses, i);
        if (!strcmp(b->name, name_or_type)) {
            return b;
        }
    }
    for (guint i = 0; buses && i < buses->len; i++) {
        Bus *b = g_ptr_array_index(buses, i);
        if (!strcmp(b->type->name, name_or_type)) {
            return b;
        }
    }
    return NULL;
}

Bus *bus_with_room(const char *type)
{
    Bus *any = NULL;
    for (guint i = 0; buses && i < buses->len; i++) {
        Bus *b = g_ptr_array_index(buses, i);
        if (strcmp(b->type->name, type)) {
            continue;
        }
        if (!b->max_devices || b->devices->len < b->max_devices) {
            return b;
        }
        any = any ? any : b;
    }
    return any;
}
