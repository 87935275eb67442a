/* SPDX-License-Identifier: MIT */
/*
 * System reset: devices in order of realize, so that a bridge is back in its power-on state
 * before what hangs behind it, then everybody else who asked (CPUs come last and start to
 * fetch from the map the devices left).
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

static void reset_one(Device *dev, void *opaque)
{
    device_reset(dev);
}

void devices_reset(void)
{
    device_foreach(reset_one, NULL);
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
