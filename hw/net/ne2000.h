/* SPDX-License-Identifier: MIT */
/*
 * NE2000: the card behind ISA and PCI.
 */
#ifndef HW_NET_NE2000_H
#define HW_NET_NE2000_H

#include "hw/core/device.h"
#include "net/nic.h"

#define NE2000_PORTS    0x20u
#define NE2000_RAM      0x4000u         /* its memory begins with the address PROM */
#define NE2000_END      0xc000u

typedef struct Ne2000 {
    NicConf conf;
    NetClient nc;
    Region io;
    IRQ irq;
    uint8_t cmd, bnry, curr, tpsr, tsr, isr, imr, rcr, tcr, dcr, rsr;
    uint16_t pstart, pstop;             /* bytes */
    uint16_t tcnt;
    uint16_t rsar, rbcr;                /* remote DMA: address, bytes left */
    uint8_t phys[6], mult[8];
    bool partly_read;                   /* BNRY was written since PRX came up */
    uint8_t mem[NE2000_END];
} Ne2000;

/* size: of the region; the ports beyond the 32 of the card read as ones. */
bool ne2000_init(Ne2000 *s, Device *dev, unsigned size, Error **err);
void ne2000_exit(Ne2000 *s);
/* The reset port; power on. */
void ne2000_reset(Ne2000 *s);
void ne2000_power_on(Ne2000 *s);
extern const VMState vm_ne2000;

#endif
