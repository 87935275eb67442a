/* SPDX-License-Identifier: MIT */
/*
 * The ISA bus: 16 interrupt lines, the DMA controllers' channels, ports through Device.io.
 * An ISA device is a plain Device with .bus = "isa".
 */
#ifndef HW_ISA_ISA_H
#define HW_ISA_ISA_H

#include "hw/core/device.h"

typedef struct ISABus {
    Bus bus;                            /* always first */
    IRQ irq[16];                        /* inputs of the interrupt controllers */
    struct Device *dma[2];              /* the 8237s: low (8 bit), high (16 bit) */
} ISABus;

extern const BusType isa_bus_type;

void isa_bus_init(ISABus *b, Device *owner, const char *name);
void isa_bus_exit(ISABus *b);           /* the owner goes */
ISABus *isa_bus(void);                  /* the machine's, NULL if it has none */
/* Line n of the bus dev sits on; n outside 0..15 is the caller's error (checked properties). */
IRQ isa_irq(Device *dev, unsigned n);

/*
 * 8237 channel use (hw/dma/i8237.c).  The device registers a transfer handler; when it asserts
 * DREQ, the handler is called from the main loop with the channel's position and size until it
 * takes nothing more; it moves bytes with isa_dma_read/write and returns the new position.
 */
typedef int (*ISADMAHandler)(void *opaque, int channel, int pos, int size);
void isa_dma_register(ISABus *b, int channel, ISADMAHandler fn, void *opaque);
void isa_dma_hold(ISABus *b, int channel);          /* DREQ on */
void isa_dma_release(ISABus *b, int channel);       /* DREQ off */
void isa_dma_schedule(ISABus *b);
void isa_dma_run(ISABus *b);        /* one round at once; from the main loop, not from a handler */
int isa_dma_read(ISABus *b, int channel, void *buf, int pos, int len);    /* memory -> device */
int isa_dma_write(ISABus *b, int channel, const void *buf, int pos, int len);
bool isa_dma_is_autoinit(ISABus *b, int channel);

#endif
