/* SPDX-License-Identifier: MIT */
/*
 * Standard parallel port with a printer behind it: every strobed byte goes to the character
 * back-end.  LPT1 to LPT3 at 378h, 278h, 3BCh.
 *
 * Source: IEEE 1284-1994, compatibility mode; IBM PC/AT Technical Reference, "Parallel printer
 * adapter".
 *
 * Status:   7 /busy  6 /ack  5 paper out  4 selected  3 /error
 * Control:  5 input direction  4 IRQ on /ack  3 select  2 /init  1 auto feed  0 strobe
 *
 * Not modelled: EPP and ECP registers.
 */
#include "chardev/char.h"
#include "hw/isa/isa.h"
#include "util/timer.h"

#define PARALLEL_MAX  3
#define NOT_SET       UINT32_MAX

#define ST_READY      0x80
#define ST_NACK       0x40
#define ST_SELECTED   0x10
#define ST_NERROR     0x08
#define CT_STROBE     0x01
#define CT_NINIT      0x04
#define CT_SELECT     0x08
#define CT_IRQ        0x10
#define CT_INPUT      0x20
#define CT_WRITABLE   0x3f
#define CT_ONES       0xc0

/* From the end of the strobe to the end of the acknowledge pulse. */
#define ACK_NS        5000

typedef struct Parallel {
    Device dev;                 /* always first */
    uint8_t data, control;
    uint8_t byte;               /* strobed */
    bool waiting;               /* ... and not yet taken by the back-end */
    bool acking;                /* the pulse at the end of a byte; ends by timer */
    Timer timer;
    CharDev *chr;
    CharFront *front;
    uint32_t index, iobase, irq_no;
    IRQ irq;
    Region io;
} Parallel;

static bool parallel_printer_on(const Parallel *s)
{
    return (s->control & (CT_NINIT | CT_SELECT)) == (CT_NINIT | CT_SELECT);
}

static uint8_t parallel_status(const Parallel *s)
{
    uint8_t val = ST_SELECTED | ST_NERROR;

    if (!s->acking) {
        val |= ST_NACK;
        if (!s->waiting && !(s->control & CT_STROBE)) {
            val |= ST_READY;
        }
    }
    return val | 0x07;          /* unused inputs float high */
}

/* The byte is out and the strobe is over: acknowledge. */
static void parallel_begin_ack(Parallel *s)
{
    if (!s->waiting && !(s->control & CT_STROBE)) {
        s->acking = true;
        timer_mod(&s->timer, vclock_ns() + ACK_NS);
    }
}

static void parallel_timer(void *opaque)
{
    Parallel *s = opaque;

    s->acking = false;
    if (s->control & CT_IRQ) {
        irq_pulse(&s->irq);
    }
}

static void parallel_send(Parallel *s)
{
    s->waiting = char_write(s->front, &s->byte, 1) != 1;
}

static void parallel_writable(void *opaque)
{
    Parallel *s = opaque;

    if (s->waiting) {
        parallel_send(s);
        parallel_begin_ack(s);
    }
}

static void parallel_write_control(Parallel *s, uint8_t val)
{
    uint8_t old = s->control;

    s->control = val & CT_WRITABLE;
    if (!parallel_printer_on(s)) {
        s->waiting = s->acking = false;
        timer_del(&s->timer);
    } else if (s->control & ~old & CT_STROBE) {
        if (!s->waiting) {
            s->byte = s->data;
            parallel_send(s);
        }
    } else if (old & ~s->control & CT_STROBE) {
        parallel_begin_ack(s);
    }
}

static uint64_t parallel_read(void *opaque, hwaddr addr, unsigned size)
{
    Parallel *s = opaque;

    switch (addr) {
    case 0:
        return s->control & CT_INPUT ? 0xff : s->data;
    case 1:
        return parallel_status(s);
    default:
        return s->control | CT_ONES;
    }
}

static void parallel_write(void *opaque, hwaddr addr, uint64_t val, unsigned size)
{
    Parallel *s = opaque;

    if (addr == 0) {
        s->data = val;
    } else if (addr == 2) {
        parallel_write_control(s, val);
    }
}

static const RegionOps parallel_ops = {
    .read = parallel_read, .write = parallel_write, .min = 1, .max = 1,
};

static const CharHandlers parallel_handlers = { .writable = parallel_writable };

static uint32_t next_index;

static bool parallel_place(Parallel *s, Error **err)
{
    static const uint16_t lpt[PARALLEL_MAX] = { 0x378, 0x278, 0x3bc };

    if (s->index == NOT_SET) {
        s->index = next_index;
    }
    if (s->iobase == NOT_SET) {
        if (s->index >= PARALLEL_MAX) {
            return fail(err, "isa-parallel: index=%u: there are places 0 to %u (or give iobase)",
                        s->index, PARALLEL_MAX - 1);
        }
        s->iobase = lpt[s->index];
    }
    if (s->irq_no > 15) {
        return fail(err, "isa-parallel: irq=%u: there are lines 0 to 15", s->irq_no);
    }
    if (s->iobase > 0xfffd) {
        return fail(err, "isa-parallel: iobase=0x%x: ports end at 0xffff", s->iobase);
    }
    next_index = s->index + 1;
    return true;
}

static bool parallel_realize(Device *dev, Error **err)
{
    Parallel *s = (Parallel *)dev;

    if (!parallel_place(s, err)) {
        return false;
    }
    if (s->chr) {
        s->front = char_attach(s->chr, &parallel_handlers, s, err);
        if (!s->front) {
            return false;
        }
    }
    s->irq = isa_irq(dev, s->irq_no);
    timer_init(&s->timer, ORRERY_CLOCK_VIRTUAL, parallel_timer, s);
    region_init_io(&s->io, "parallel", 3, &parallel_ops, s);
    region_map(dev->io, s->iobase, &s->io, 0);
    return true;
}

static void parallel_unrealize(Device *dev)
{
    Parallel *s = (Parallel *)dev;

    timer_del(&s->timer);
    if (s->front) {
        char_detach(s->front);
    }
    region_destroy(&s->io);
}

static void parallel_reset(Device *dev)
{
    Parallel *s = (Parallel *)dev;

    s->data = s->byte = 0xff;
    s->control = CT_NINIT | CT_SELECT;
    s->waiting = s->acking = false;
    timer_del(&s->timer);
    irq_lower(&s->irq);
}

static bool parallel_post_load(void *opaque, int version, Error **err)
{
    parallel_writable(opaque);
    return true;
}

static const VMField parallel_fields[] = {
    VM_UINT(Parallel, data), VM_UINT(Parallel, control), VM_UINT(Parallel, byte),
    VM_BOOL(Parallel, waiting), VM_BOOL(Parallel, acking), VM_TIMER(Parallel, timer),
    VM_DONE
};
static const VMState vm_parallel = {
    .name = "parallel", .post_load = parallel_post_load, .fields = parallel_fields,
};

static const Prop parallel_props[] = {
    PROP_UINT("index", Parallel, index, NOT_SET, "0 to 2 for LPT1 to LPT3 (default: next free)"),
    PROP_UINT("iobase", Parallel, iobase, NOT_SET, "first of its three ports (default: by index)"),
    PROP_UINT("irq", Parallel, irq_no, 7, "ISA interrupt line"),
    PROP_CHARDEV("chardev", Parallel, chr, "where the characters go"),
    PROP_DONE
};

static const DeviceType parallel = {
    .name = "isa-parallel", .desc = "parallel port", .bus = "isa", .category = "Input",
    .size = sizeof(Parallel), .props = parallel_props, .vmstate = &vm_parallel,
    .realize = parallel_realize, .reset = parallel_reset, .unrealize = parallel_unrealize,
};
DEVICE_TYPE(parallel);
