/* SPDX-License-Identifier: MIT */
/*
 * System reset: devices in the reverse order of realize, then everybody else who asked (CPUs
 * come last and start to fetch from the map the devices left).
 *
 * Boards make interrupt controllers and bridges first and what is wired to them later.  So a
 * timer or a disk drops its interrupt line while the controller still listens, and the
 * controller's own reset then forgets the edge: nothing of the time before comes through.
 */
#include "hw/core/device.h"
#include "hw/core/lifecycle.h"

typedef struct ResetHook {
    void (*fn)(void *opaque);
    void *opaque;
} ResetHook;

static GArray *hooks;

void device_reset(Device *dev)
{
    if (dev->bus && dev->bus->type->reset) {
        dev->bus->type->reset(dev->bus, dev);
    }
    if (dev->type->reset) {
        dev->type->reset(dev);
    }
}

static void collect(Device *dev, void *opaque)
{
    g_ptr_array_add(opaque, dev);
}

void devices_reset(void)
{
    g_autoptr(GPtrArray) all = g_ptr_array_new();
    device_foreach(collect, all);
    for (guint i = all->len; i-- > 0;) {
        device_reset(all->pdata[i]);
    }
    for (guint i = 0; hooks && i < hooks->len; i++) {
        ResetHook h = g_array_index(hooks, ResetHook, i);
        h.fn(h.opaque);
    }
}

void reset_register(void (*fn)(void *opaque), void *opaque)
{
    if (!hooks) {
        hooks = g_array_new(FALSE, FALSE, sizeof(ResetHook));
    }
    ResetHook h = { fn, opaque };
    g_array_append_val(hooks, h);
}

void reset_unregister(void (*fn)(void *opaque), void *opaque)
{
    for (guint i = 0; hooks && i < hooks->len; i++) {
        ResetHook *h = &g_array_index(hooks, ResetHook, i);
        if (h->fn == fn && h->opaque == opaque) {
            g_array_remove_index(hooks, i);
            return;
        }
    }
}
