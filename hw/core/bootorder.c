/* SPDX-License-Identifier: MIT */
/*
 * Boot order and firmware paths of devices.
 *
 * Source: IEEE 1275 (Open Firmware) names as SeaBIOS and OVMF match them.
 */
#include "hw/core/bootorder.h"

typedef struct BootEntry {
    int index;
    Device *dev;                        /* or NULL and */
    char *path;
} BootEntry;

static GPtrArray *entries;              /* of BootEntry*, by index */

static void free_entry(void *p)
{
    g_free(((BootEntry *)p)->path);
    g_free(p);
}

static bool add(int index, Device *dev, const char *path, Error **err)
{
    guint at = 0;

    if (!entries) {
        entries = g_ptr_array_new_with_free_func(free_entry);
    }
    for (; at < entries->len; at++) {
        BootEntry *e = g_ptr_array_index(entries, at);
        if (e->index == index) {
            return fail(err, "The bootindex %d has already been used", index);
        }
        if (e->index > index) {
            break;
        }
    }
    BootEntry *e = g_new(BootEntry, 1);
    *e = (BootEntry) { index, dev, g_strdup(path) };
    g_ptr_array_insert(entries, at, e);
    return true;
}

bool boot_order_add(int index, Device *dev, Error **err)
{
    return add(index, dev, NULL, err);
}

bool boot_order_add_path(int index, const char *path, Error **err)
{
    return add(index, NULL, path, err);
}

void boot_order_remove(Device *dev)
{
    for (guint i = 0; entries && i < entries->len; i++) {
        if (((BootEntry *)g_ptr_array_index(entries, i))->dev == dev) {
            g_ptr_array_remove_index(entries, i--);
        }
    }
}

void device_fw_path(Device *dev, GString *out)
{
    const BusType *bus = dev->bus ? dev->bus->type : NULL;

    if (dev->bus && dev->bus->owner) {
        device_fw_path(dev->bus->owner, out);
    }
    if (bus && bus->fw_name) {
        bus->fw_name(dev->bus, dev, out);
    } else {
        g_string_append_printf(out, "/%s",
                               dev->type->fw_name ? dev->type->fw_name : dev->type->name);
    }
}

GString *boot_order_list(bool strict)
{
    GString *out = g_string_new(NULL);

    for (guint i = 0; entries && i < entries->len; i++) {
        BootEntry *e = g_ptr_array_index(entries, i);
        if (e->dev) {
            device_fw_path(e->dev, out);
            if (e->dev->type->fw_child) {
                g_string_append_printf(out, "/%s", e->dev->type->fw_child);
            }
        } else {
            g_string_append(out, e->path);
        }
        g_string_append_c(out, '\n');
    }
    if (strict) {
        g_string_append(out, "HALT\n");
    }
    return out;
}
