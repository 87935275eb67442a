/* SPDX-License-Identifier: MIT */
/*
 * The exit port, device "isa-debug-exit": a test guest ends the emulator with a status that
 * tells its verdict.  Writing v exits with 2 * v + 1, so that 0 stays the sign of an orderly
 * shutdown.
 */
#include "hw/core/device.h"
#include "hw/core/sysctl.h"

typedef struct DebugExit {
    Device dev;                     /* always first */
    Region io;
    uint32_t iobase, iosize;
} DebugExit;

static uint64_t debugexit_read(void *opaque, hwaddr addr, unsigned size)
{
    return 0;
}

static void debugexit_write(void *opaque, hwaddr addr, uint64_t val, unsigned size)
{
    machine_request_exit((val << 1 | 1) & 0xff);
}

static const RegionOps debugexit_ops = {
    .read = debugexit_read, .write = debugexit_write, .min = 1, .max = 4, .unaligned = true,
};

static bool debugexit_realize(Device *dev, Error **err)
{
    DebugExit *s = (DebugExit *)dev;

    if (!s->iosize || s->iobase > 0xffff || s->iosize > 0x10000 - s->iobase) {
        return fail(err, "isa-debug-exit: iobase=0x%x,iosize=0x%x: ports are 0 to 0xffff",
                    s->iobase, s->iosize);
    }
    region_init_io(&s->io, "isa-debug-exit", s->iosize, &debugexit_ops, s);
    region_map(dev->io, s->iobase, &s->io, 0);
    return true;
}

static void debugexit_unrealize(Device *dev)
{
    region_destroy(&((DebugExit *)dev)->io);
}

static const Prop debugexit_props[] = {
    PROP_UINT("iobase", DebugExit, iobase, 0x501, "first port"),
    PROP_UINT("iosize", DebugExit, iosize, 2, "number of ports"),
    PROP_DONE
};

static const DeviceType debugexit = {
    .name = "isa-debug-exit", .desc = "exit port for test guests", .bus = "isa",
    .category = "Misc", .size = sizeof(DebugExit), .props = debugexit_props,
    .realize = debugexit_realize, .unrealize = debugexit_unrealize,
};
DEVICE_TYPE(debugexit);
