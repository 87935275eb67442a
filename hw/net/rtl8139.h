/* SPDX-License-Identifier: MIT */
/*
 * RealTek RTL8139C+: what its two files share.
 *
 * Sources: "RTL8139C(L)+ Advanced 3.3V Single Chip Fast Ethernet Controller" data sheet 1.6 and
 * "RTL8139(A/B) Programming guide" 0.1 (the data sheet, the guide).
 */
#ifndef HW_NET_RTL8139_H
#define HW_NET_RTL8139_H

#include "hw/nvram/eeprom93xx.h"
#include "hw/pci/pci.h"
#include "net/nic.h"
#include "util/timer.h"

/* ISR, IMR */
#define ISR_ROK         0x0001
#define ISR_RER         0x0002
#define ISR_TOK         0x0004
#define ISR_TER         0x0008
#define ISR_RXOVW       0x0010          /* the ring, or the descriptors, ran out */
#define ISR_LINK        0x0020
#define ISR_FOVW        0x0040
#define ISR_TDU         0x0080          /* C+: no more to transmit */
#define ISR_SWINT       0x0100
#define ISR_TIMEOUT     0x4000

#define CR_BUFE         0x01
#define CR_TE           0x04
#define CR_RE           0x08
#define CR_RST          0x10

#define CPCR_TX         0x0001
#define CPCR_RX         0x0002
#define CPCR_RX_SUM     0x0020
#define CPCR_RX_VLAN    0x0040

#define RCR_AAP         0x01
#define RCR_APM         0x02
#define RCR_AM          0x04
#define RCR_AB          0x08
#define RCR_WRAP        0x80

#define TCR_CLRABT      0x01
#define TCR_LOOPBACK    0x00060000

#define TSD_OWN         0x2000          /* the driver's */
#define TSD_TUN         0x4000
#define TSD_TOK         0x8000
#define TSD_SIZE        0x1fff

#define RTL_FRAME_MAX   1792u           /* old mode */
#define RTL_PACKET_MAX  NET_MAX_FRAME   /* C+, with segmentation */

typedef struct Rtl8139 {
    PCIDevice pci;                      /* always first */
    NicConf conf;
    NetClient nc;
    NicWait wait;
    Region io, mem;
    Eeprom93 eeprom;
    uint8_t idr[6], mar[8];
    uint32_t tsd[4], tsad[4];
    uint64_t tx_ring[2];                /* C+: normal, high priority; share places with tsad */
    uint8_t tx_next;                    /* old: descriptor 0 to 3 that comes next */
    uint32_t tx_at[2];                  /* C+: index of the next descriptor */
    uint32_t rbstart;
    uint64_t rx_ring;                   /* C+ */
    uint32_t rx_at;
    uint16_t capr, cbr;                 /* read (as written, 16 less), write */
    uint8_t cr, cr9346, config0, config1, config3, config4, config5, msr;
    uint16_t imr, isr, cpcr, mulint, bmcr, bmsr, anar, anlpar, aner;
    uint32_t tcr, rcr, mpc, timer_int;
    int64_t tctr_base;                  /* virtual time at which TCTR was 0 */
    Timer timer;
    /* C+: a packet under construction */
    uint8_t *packet;                    /* [RTL_PACKET_MAX] */
    uint32_t packet_len;
    bool packet_bad;
    uint8_t *packet_saved;
    uint32_t packet_saved_len;
} Rtl8139;

void rtl8139_raise(Rtl8139 *s, uint16_t causes);
bool rtl8139_cplus_rx(const Rtl8139 *s);
bool rtl8139_cplus_tx(const Rtl8139 *s);

/* rtl8139-tx.c */
void rtl8139_send_old(Rtl8139 *s);
void rtl8139_send_cplus(Rtl8139 *s, unsigned ring);
/* rtl8139-rx.c */
bool rtl8139_can_receive(NetClient *nc);
bool rtl8139_receive(NetClient *nc, const struct iovec *iov, int n, const NetOffload *off);
uint32_t rtl8139_ring_size(const Rtl8139 *s);
bool rtl8139_rx_empty(const Rtl8139 *s);
void rtl8139_loop_back(Rtl8139 *s, const uint8_t *frame, size_t len);

#endif
