/* SPDX-License-Identifier: MIT */
/*
 * Bus master DMA engine of one IDE channel: 8 ports.  [bql]
 */
#ifndef HW_IDE_BMDMA_H
#define HW_IDE_BMDMA_H

#include "hw/ide/internal.h"
#include "hw/pci/pci.h"

typedef struct BMDMA {
    PCIDevice *pci;
    IDEBus *bus;
    uint8_t command, status;
    uint32_t table;             /* address of the list */
    /* position in the list */
    bool fresh;                 /* nothing of it was read yet */
    uint32_t entry;             /* address of the next entry */
    uint32_t addr, left;        /* rest of the present entry */
    bool last;                  /* ... which is the last one */
    /* position before the piece now mapped, should it have to be mapped again */
    uint32_t old_entry, old_addr, old_left;
    bool old_last, old_fresh;
    bool irq_level;
    Region io;
} BMDMA;

void bmdma_init(BMDMA *m, PCIDevice *pci, IDEBus *bus);
void bmdma_reset(BMDMA *m);
void bmdma_exit(BMDMA *m);
extern const VMState vm_bmdma;

#endif
