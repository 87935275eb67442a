/* SPDX-License-Identifier: MIT */
/*
 * AMD PCnet-PCI II: what its two files share.
 */
#ifndef HW_NET_PCNET_H
#define HW_NET_PCNET_H

#include "hw/pci/pci.h"
#include "net/nic.h"

#define CSR0_INIT   0x0001
#define CSR0_STRT   0x0002
#define CSR0_STOP   0x0004
#define CSR0_TDMD   0x0008
#define CSR0_TXON   0x0010
#define CSR0_RXON   0x0020
#define CSR0_IENA   0x0040
#define CSR0_INTR   0x0080
#define CSR0_IDON   0x0100
#define CSR0_TINT   0x0200
#define CSR0_RINT   0x0400
#define CSR0_MERR   0x0800
#define CSR0_MISS   0x1000
#define CSR0_CERR   0x2000
#define CSR0_BABL   0x4000
#define CSR0_ERR    0x8000

#define MODE_DRX    0x0001
#define MODE_DTX    0x0002
#define MODE_LOOP   0x0004
#define MODE_DRCVPA 0x2000
#define MODE_DRCVBC 0x4000
#define MODE_PROM   0x8000

#define PCNET_CSRS   128
#define PCNET_BCRS   32
#define PCNET_PACKET 4096u

typedef struct Pcnet {
    PCIDevice pci;                      /* always first */
    NicConf conf;
    NetClient nc;
    NicWait wait;
    Region io, mem;
    uint16_t csr[PCNET_CSRS], bcr[PCNET_BCRS];
    uint16_t rap;
    uint8_t prom[16];
    uint32_t rdra, tdra;                /* rings */
    uint16_t rx_at, tx_at;              /* next descriptor */
    uint32_t tx_len;                    /* of the packet under construction */
    bool tx_bad;
    uint8_t tx[PCNET_PACKET];
} Pcnet;

bool pcnet_wide(const Pcnet *s);        /* 32-bit structures */
unsigned pcnet_style(const Pcnet *s);
hwaddr pcnet_address(const Pcnet *s, uint32_t a);
void pcnet_update_irq(Pcnet *s);
void pcnet_chip_reset(Pcnet *s);

/* pcnet-ring.c */
void pcnet_transmit(Pcnet *s);
void pcnet_mac(const Pcnet *s, uint8_t *mac);
bool pcnet_can_receive(NetClient *nc);
bool pcnet_receive(NetClient *nc, const struct iovec *iov, int n, const NetOffload *off);

#endif
