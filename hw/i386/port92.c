/* SPDX-License-Identifier: MIT */
/*
 * System control port A, 92h, of the PS/2 and later PCs.
 *
 *     1: A20 gate (fast: without the keyboard controller)    0: rising edge resets the CPU
 *
 * The keyboard controller has a gate too; whoever moved last decides.
 */
#include "hw/i386/port92.h"
#include "hw/core/sysctl.h"

#define P92_RESET 0x01
#define P92_A20   0x02

typedef struct Port92 {
    Device dev;                     /* always first */
    Region io;
    IRQ a20;
    uint8_t out;
} Port92;

static uint64_t port92_read(void *opaque, hwaddr addr, unsigned size)
{
    return ((Port92 *)opaque)->out;
}

static void port92_write(void *opaque, hwaddr addr, uint64_t val, unsigned size)
{
    Port92 *s = opaque;
    bool edge = val & ~s->out & P92_RESET;

    s->out = val;
    irq_set(&s->a20, !!(val & P92_A20));
    if (edge) {
        machine_request_reset();
    }
}

static const RegionOps port92_ops = {
    .read = port92_read, .write = port92_write, .min = 1, .max = 1,
};

void port92_connect_a20(Device *dev, IRQ a20)
{
    ((Port92 *)dev)->a20 = a20;
}

static bool port92_realize(Device *dev, Error **err)
{
    Port92 *s = (Port92 *)dev;

    region_init_io(&s->io, "port92", 1, &port92_ops, s);
    region_map(dev->io, 0x92, &s->io, 0);
    return true;
}

static void port92_unrealize(Device *dev)
{
    region_destroy(&((Port92 *)dev)->io);
}

static void port92_reset(Device *dev)
{
    ((Port92 *)dev)->out = 0;       /* the A20 line is reset with the keyboard controller's */
}

static const VMField port92_fields[] = {
    VM_UINT(Port92, out),
    VM_DONE
};
static const VMState vm_port92 = { .name = "port92", .fields = port92_fields };

static const DeviceType port92 = {
    .name = "port92", .desc = "system control port A", .bus = "isa", .size = sizeof(Port92),
    .vmstate = &vm_port92, .realize = port92_realize, .unrealize = port92_unrealize,
    .reset = port92_reset, .no_user = true,
};
DEVICE_TYPE(port92);
