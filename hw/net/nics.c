/* SPDX-License-Identifier: MIT */
/*
 * The cards of -nic and -net nic.
 */
#include "hw/net/nics.h"
#include "net/nic.h"
#include "util/parse.h"

#include <string.h>

static bool is_card(const DeviceType *t)
{
    return !t->no_user && t->bus && !g_strcmp0(t->category, "Network")
           && (!strcmp(t->bus, "PCI") || !strcmp(t->bus, "isa"));
}

/* Names of old for models */
static const DeviceType *find_card(const char *model)
{
    static const char *const names[][2] = {
        { "virtio", "virtio-net-pci" }, { "ne2000", "ne2k_isa" }, { "ne2k", "ne2k_pci" },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
        model = strcmp(model, names[i][0]) ? model : names[i][1];
    }
    const DeviceType *t = device_type_find(model);
    return t && is_card(t) ? t : NULL;
}

static void collect(const DeviceType *t, void *opaque)
{
    if (is_card(t)) {
        g_ptr_array_add(opaque, (char *)t->name);
    }
}

void nics_help(GString *out)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new();

    device_type_foreach(collect, names);
    g_string_append(out, "Available NIC models:\n");
    for (guint i = 0; i < names->len; i++) {
        g_string_append_printf(out, "%s\n", (char *)names->pdata[i]);
    }
}

static bool unknown_model(const char *model, Error **err)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new();

    device_type_foreach(collect, names);
    g_ptr_array_add(names, NULL);
    g_autofree char *all = g_strjoinv(", ", (char **)names->pdata);
    return fail(err, "Unsupported NIC model: %s (there are: %s)", model, all);
}

static bool create(const NicRequest *r, const char *model, Error **err)
{
    const DeviceType *t = find_card(model);
    static const MacAddr unset;

    if (!t) {
        return unknown_model(model, err);
    }
    Device *dev = device_new(t->name);
    dev->id = g_strdup(r->name);
    if (memcmp(r->mac, unset, sizeof(unset))) {
        g_autofree char *mac = nic_mac_text(r->mac);
        device_set_str(dev, "mac", mac);
    }
    device_set_ptr(dev, "netdev", r->netdev);
    if ((r->devaddr && !device_set(dev, "addr", r->devaddr, err))
        || (r->vectors != UINT32_MAX && !strcmp(t->name, "virtio-net-pci")
            && (device_set_uint(dev, "vectors", r->vectors), false))
        || !device_realize(dev, NULL, err)) {
        device_unrealize(dev);
        return false;
    }
    return true;
}

bool nics_create(const char *default_model, Error **err)
{
    GPtrArray *list = nic_requests();

    for (guint i = 0; i < list->len; i++) {
        NicRequest *r = list->pdata[i];
        if (!create(r, r->model ? r->model : default_model, err)) {
            g_prefix_error(err, "-nic: ");
            return false;
        }
        r->made = true;
    }
    return true;
}
