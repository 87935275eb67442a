/* SPDX-License-Identifier: MIT */
/*
 * The panic notifier, device "pvpanic": a guest kernel that gives up says so by a byte.
 *
 * Source: QEMU documentation, "PVPANIC device".
 *
 *     0: the guest panicked     1: it panicked and goes on into a crash kernel
 */
#include "hw/core/device.h"
#include "hw/core/sysctl.h"
#include "hw/misc/pvpanic.h"
#include "util/event.h"

#define PANICKED     1
#define CRASH_LOADED 2

typedef struct PVPanic {
    Device dev;                     /* always first */
    Region io;
    uint32_t ioport, events;
} PVPanic;

static PVPanic *the_pvpanic;

static uint64_t pvpanic_read(void *opaque, hwaddr addr, unsigned size)
{
    return ((PVPanic *)opaque)->events;
}

static void pvpanic_write(void *opaque, hwaddr addr, uint64_t val, unsigned size)
{
    PVPanic *s = opaque;

    if (val & s->events & PANICKED) {
        machine_request_panic();
    } else if (val & s->events & CRASH_LOADED) {
        Json *data = json_object();
        json_set_str(data, "action", "run");
        event_emit("GUEST_CRASHLOADED", data);
    }
}

static const RegionOps pvpanic_ops = {
    .read = pvpanic_read, .write = pvpanic_write, .min = 1, .max = 1,
};

unsigned pvpanic_port(void)
{
    return the_pvpanic ? the_pvpanic->ioport : 0;
}

static bool pvpanic_realize(Device *dev, Error **err)
{
    PVPanic *s = (PVPanic *)dev;

    if (the_pvpanic) {
        return fail(err, "pvpanic: there is one already");
    }
    region_init_io(&s->io, "pvpanic", 1, &pvpanic_ops, s);
    region_map(dev->io, s->ioport, &s->io, 0);
    the_pvpanic = s;
    return true;
}

static void pvpanic_unrealize(Device *dev)
{
    region_destroy(&((PVPanic *)dev)->io);
    the_pvpanic = NULL;
}

static const Prop pvpanic_props[] = {
    PROP_UINT_R("ioport", PVPanic, ioport, 0x505, 1, 0xffff, "port"),
    PROP_UINT_R("events", PVPanic, events, PANICKED | CRASH_LOADED, 0, 3,
                "what the guest may tell: 1 panic, 2 crash kernel follows"),
    PROP_DONE
};

static const DeviceType pvpanic = {
    .name = "pvpanic", .desc = "panic notifier", .bus = "isa", .category = "Misc",
    .size = sizeof(PVPanic), .props = pvpanic_props, .realize = pvpanic_realize,
    .unrealize = pvpanic_unrealize,
};
DEVICE_TYPE(pvpanic);
