/* SPDX-License-Identifier: MIT */
/*
 * The ISA bus: a name for 16 interrupt lines and the port space.  DMA: hw/dma/i8237.c.
 */
#include "hw/isa/isa.h"

static ISABus *the_bus;

const BusType isa_bus_type = { .name = "isa" };
BUS_TYPE(isa_bus_type);

void isa_bus_init(ISABus *b, Device *owner, const char *name)
{
    bus_init(&b->bus, &isa_bus_type, owner, name);
    the_bus = b;
}

void isa_bus_exit(ISABus *b)
{
    if (the_bus == b) {
        the_bus = NULL;
    }
}

ISABus *isa_bus(void)
{
    return the_bus;
}

IRQ isa_irq(Device *dev, unsigned n)
{
    g_assert(dev->bus && dev->bus->type == &isa_bus_type && n < 16);
    return ((ISABus *)dev->bus)->irq[n];
}
