/* SPDX-License-Identifier: MIT */
/*
 * The two 8237 DMA controllers of a PC, devices "i8237".  Channel users call isa_dma_* of
 * hw/isa/isa.h, which are implemented here.  [bql]
 */
#ifndef HW_DMA_I8237_H
#define HW_DMA_I8237_H

#include "hw/isa/isa.h"

/* Create and realize both controllers on the bus; fills b->dma[]. */
void i8237_create(ISABus *b);

#endif
