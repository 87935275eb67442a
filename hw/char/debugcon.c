/* SPDX-License-Identifier: MIT */
/*
 * The debug console, device "isa-debugcon": a port whose bytes go to a character device, and
 * that reads as a constant so that software finds it.  SeaBIOS writes to one at 402h.
 */
#include "chardev/char.h"
#include "hw/core/device.h"

typedef struct DebugCon {
    Device dev;                     /* always first */
    Region io;
    CharDev *chr;
    CharFront *front;
    uint32_t iobase, readback;
} DebugCon;

static uint64_t debugcon_read(void *opaque, hwaddr addr, unsigned size)
{
    return ((DebugCon *)opaque)->readback;
}

static void debugcon_write(void *opaque, hwaddr addr, uint64_t val, unsigned size)
{
    uint8_t byte = val;
    char_write_all(((DebugCon *)opaque)->front, &byte, 1);
}

static const RegionOps debugcon_ops = {
    .read = debugcon_read, .write = debugcon_write, .min = 1, .max = 1,
};

static bool debugcon_realize(Device *dev, Error **err)
{
    static const CharHandlers no_input;
    DebugCon *s = (DebugCon *)dev;

    if (s->iobase > 0xffff) {
        return fail(err, "isa-debugcon: iobase=0x%x: ports end at 0xffff", s->iobase);
    }
    if (!s->chr) {
        return fail(err, "isa-debugcon: chardev= is needed: where shall its output go?");
    }
    s->front = char_attach(s->chr, &no_input, s, err);
    if (!s->front) {
        return false;
    }
    region_init_io(&s->io, "debugcon", 1, &debugcon_ops, s);
    region_map(dev->io, s->iobase, &s->io, 0);
    return true;
}

static void debugcon_unrealize(Device *dev)
{
    DebugCon *s = (DebugCon *)dev;

    region_destroy(&s->io);
    char_detach(s->front);
}

static const Prop debugcon_props[] = {
    PROP_UINT("iobase", DebugCon, iobase, 0xe9, "port"),
    PROP_UINT_R("readback", DebugCon, readback, 0xe9, 0, 0xff, "what a read returns"),
    PROP_CHARDEV("chardev", DebugCon, chr, "where the bytes go"),
    PROP_DONE
};

static const DeviceType debugcon = {
    .name = "isa-debugcon", .desc = "debug console port", .bus = "isa", .category = "Misc",
    .size = sizeof(DebugCon), .props = debugcon_props, .realize = debugcon_realize,
    .unrealize = debugcon_unrealize,
};
DEVICE_TYPE(debugcon);
