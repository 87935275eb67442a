/* SPDX-License-Identifier: MIT */
/*
 * A 16550A at one of the PC's four places for serial ports: COM1 to COM4.
 */
#include "hw/char/serial.h"
#include "hw/isa/isa.h"

#define ISA_SERIAL_MAX 4
#define NOT_SET        UINT32_MAX

typedef struct IsaSerial {
    Device dev;                     /* always first */
    Serial uart;
    uint32_t index, iobase, irq;    /* NOT_SET: by the number of the port */
} IsaSerial;

static const struct { uint16_t iobase, irq; } com[ISA_SERIAL_MAX] = {
    { 0x3f8, 4 }, { 0x2f8, 3 }, { 0x3e8, 4 }, { 0x2e8, 3 },
};

/* Ports made without an index take the next free one. */
static uint32_t next_index;

static bool isa_serial_place(IsaSerial *s, Error **err)
{
    if (s->index == NOT_SET) {
        s->index = next_index;
    }
    if (s->index >= ISA_SERIAL_MAX && (s->iobase == NOT_SET || s->irq == NOT_SET)) {
        return fail(err, "isa-serial: index=%u: there are places 0 to %u (or give iobase and irq)",
                    s->index, ISA_SERIAL_MAX - 1);
    }
    if (s->iobase == NOT_SET) {
        s->iobase = com[s->index].iobase;
    }
    if (s->irq == NOT_SET) {
        s->irq = com[s->index].irq;
    }
    if (s->irq > 15) {
        return fail(err, "isa-serial: irq=%u: there are lines 0 to 15", s->irq);
    }
    if (s->iobase > 0xfff8) {
        return fail(err, "isa-serial: iobase=0x%x: ports end at 0xffff", s->iobase);
    }
    next_index = s->index + 1;
    return true;
}

static bool isa_serial_realize(Device *dev, Error **err)
{
    IsaSerial *s = (IsaSerial *)dev;

    if (!isa_serial_place(s, err)) {
        return false;
    }
    s->uart.baudbase = 115200;
    s->uart.irq = isa_irq(dev, s->irq);
    if (!serial_init(&s->uart, "serial", err)) {
        return false;
    }
    region_map(dev->io, s->iobase, &s->uart.io, 0);
    return true;
}

static void isa_serial_unrealize(Device *dev)
{
    serial_exit(&((IsaSerial *)dev)->uart);
}

static void isa_serial_reset(Device *dev)
{
    serial_reset(&((IsaSerial *)dev)->uart);
}

static const VMField isa_serial_fields[] = {
    VM_STRUCT(IsaSerial, uart, vm_serial),
    VM_DONE
};
static const VMState vm_isa_serial = { .name = "isa-serial", .fields = isa_serial_fields };

static const Prop isa_serial_props[] = {
    PROP_UINT("index", IsaSerial, index, NOT_SET, "0 to 3 for COM1 to COM4 (default: next free)"),
    PROP_UINT("iobase", IsaSerial, iobase, NOT_SET, "first of its eight ports (default: by index)"),
    PROP_UINT("irq", IsaSerial, irq, NOT_SET, "ISA interrupt line (default: by index)"),
    PROP_CHARDEV("chardev", IsaSerial, uart.chr, "where the characters go"),
    PROP_DONE
};

static const DeviceType isa_serial = {
    .name = "isa-serial", .desc = "16550A serial port", .bus = "isa", .category = "Input",
    .size = sizeof(IsaSerial), .props = isa_serial_props, .vmstate = &vm_isa_serial,
    .realize = isa_serial_realize, .reset = isa_serial_reset, .unrealize = isa_serial_unrealize,
};
DEVICE_TYPE(isa_serial);
