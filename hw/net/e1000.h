/* SPDX-License-Identifier: MIT */
/*
 * Intel gigabit Ethernet: what the files of the 82540EM ("e1000") and, on PCI Express, the
 * 82574L ("e1000e") share.
 *
 * Source: "PCI/PCI-X Family of Gigabit Ethernet Controllers Software Developer's Manual"
 * (317453), "the manual"; section numbers are its.  82574: "Intel 82574 GbE Controller Family
 * Datasheet" 3.4.
 */
#ifndef HW_NET_E1000_H
#define HW_NET_E1000_H

#include "hw/nvram/eeprom93xx.h"
#include "hw/pci/pci.h"
#include "net/nic.h"
#include "util/timer.h"

/* Registers (13.4), as byte offsets */
enum {
    R_CTRL = 0x0000, R_STATUS = 0x0008, R_EECD = 0x0010, R_EERD = 0x0014, R_CTRL_EXT = 0x0018,
    R_FLA = 0x001c, R_MDIC = 0x0020, R_FCAL = 0x0028, R_FCAH = 0x002c, R_FCT = 0x0030,
    R_VET = 0x0038, R_ICR = 0x00c0, R_ITR = 0x00c4, R_ICS = 0x00c8, R_IMS = 0x00d0, R_IMC = 0x00d8,
    R_RCTL = 0x0100, R_FCTTV = 0x0170, R_TXCW = 0x0178, R_RXCW = 0x0180, R_TCTL = 0x0400,
    R_TIPG = 0x0410, R_AIT = 0x0458, R_LEDCTL = 0x0e00, R_PBA = 0x1000, R_FCRTL = 0x2160,
    R_FCRTH = 0x2168, R_RDFH = 0x2410, R_RDFT = 0x2418, R_RDFHS = 0x2420, R_RDFTS = 0x2428,
    R_RDFPC = 0x2430, R_RDBAL = 0x2800, R_RDBAH = 0x2804, R_RDLEN = 0x2808, R_RDH = 0x2810,
    R_RDT = 0x2818, R_RDTR = 0x2820, R_RXDCTL = 0x2828, R_RADV = 0x282c, R_RSRPD = 0x2c00,
    R_TDFH = 0x3410, R_TDFT = 0x3418, R_TDFHS = 0x3420, R_TDFTS = 0x3428, R_TDFPC = 0x3430,
    R_TDBAL = 0x3800, R_TDBAH = 0x3804, R_TDLEN = 0x3808, R_TDH = 0x3810, R_TDT = 0x3818,
    R_TIDV = 0x3820, R_TXDCTL = 0x3828, R_TADV = 0x382c, R_TSPMT = 0x3830,
    R_STATS = 0x4000, R_STATS_END = 0x4100, R_RXCSUM = 0x5000, R_MTA = 0x5200, R_RA = 0x5400,
    R_VFTA = 0x5600, R_WUC = 0x5800, R_WUFC = 0x5808, R_WUS = 0x5810, R_MANC = 0x5820,
    R_IPAV = 0x5838, R_WUPL = 0x5900, R_END = 0x6000,
};
/* Statistics (13.7) */
enum {
    S_MPC = 0x4010, S_PRC64 = 0x405c, S_PRC1522 = 0x4070, S_GPRC = 0x4074, S_BPRC = 0x4078,
    S_MPRC = 0x407c, S_GPTC = 0x4080, S_GORCL = 0x4088, S_GOTCL = 0x4090, S_RUC = 0x40a4,
    S_ROC = 0x40ac, S_TORL = 0x40c0, S_TOTL = 0x40c8, S_TPR = 0x40d0, S_TPT = 0x40d4,
    S_PTC64 = 0x40d8, S_PTC1522 = 0x40ec, S_MPTC = 0x40f0, S_BPTC = 0x40f4, S_TSCTC = 0x40f8,
};

/* Of the 82574 only */
enum {
    R_EIAC = 0x00dc, R_IAM = 0x00e0, R_IVAR = 0x00e4, R_EITR = 0x00e8, R_EXTCNF = 0x0f00,
    R_PSRCTL = 0x2170, R_TARC0 = 0x3840, R_TARC1 = 0x3940, R_RFCTL = 0x5008, R_MRQC = 0x5818,
    R_GCR = 0x5b00, R_FACTPS = 0x5b30, R_SWSM = 0x5b50, R_FWSM = 0x5b54, R_RETA = 0x5c00,
    R_RSSRK = 0x5c80,
};
#define QUEUE_STEP      0x100u          /* registers of queue 1 behind those of queue 0 */
#define E1000E_QUEUES   2
#define E1000E_VECTORS  5

#define CTRL_GIO_OFF    0x00000004
#define STATUS_GIO      0x00080000
#define CTRL_EXT_EIAME  0x01000000
#define CTRL_EXT_IAME   0x08000000
#define RFCTL_EXSTEN    0x00008000

#define CTRL_LRST       0x00000008
#define CTRL_ASDE       0x00000020
#define CTRL_SLU        0x00000040
#define CTRL_RST        0x04000000
#define CTRL_VME        0x40000000
#define CTRL_PHY_RST    0x80000000

#define STATUS_LU       0x00000002

/* Interrupt causes (13.4.17) */
#define ICR_TXDW        0x0001
#define ICR_TXQE        0x0002
#define ICR_LSC         0x0004
#define ICR_RXDMT0      0x0010
#define ICR_RXO         0x0040
#define ICR_RXT0        0x0080
#define ICR_MDAC        0x0200
#define ICR_TXD_LOW     0x8000
#define ICR_RXQ0        0x00100000      /* 82574: queues, and all that is no queue */
#define ICR_TXQ0        0x00400000
#define ICR_OTHER       0x01000000
#define ICR_ASSERTED    0x80000000

#define RCTL_EN         0x00000002
#define RCTL_SBP        0x00000004
#define RCTL_UPE        0x00000008
#define RCTL_MPE        0x00000010
#define RCTL_LPE        0x00000020
#define RCTL_LBM        0x000000c0
#define RCTL_BAM        0x00008000
#define RCTL_BSIZE(v)   ((v) >> 16 & 3)
#define RCTL_VFE        0x00040000
#define RCTL_CFIEN      0x00080000
#define RCTL_BSEX       0x02000000
#define RCTL_SECRC      0x04000000

#define TCTL_EN         0x00000002
#define TCTL_PSP        0x00000008

#define RXCSUM_IPOFL    0x00000100
#define RXCSUM_TUOFL    0x00000200
#define RXCSUM_PCSD     0x00002000

/* MRQC of the 82574, and the kinds of hash in a descriptor */
#define MRQC_RSS        1
#define MRQC_TCP4       0x00010000
#define MRQC_IP4        0x00020000
#define MRQC_TCP6_EX    0x00040000
#define MRQC_IP6_EX     0x00080000
#define MRQC_IP6        0x00100000
#define MRQC_TCP6       0x00200000
enum { HASH_TCP4 = 1, HASH_IP4, HASH_TCP6, HASH_IP6_EX, HASH_IP6 };

/* PHY registers (13.? of the manual refers to IEEE 802.3 clause 22) */
enum { PHY_CTRL, PHY_STATUS, PHY_ID1, PHY_ID2, PHY_ANAR, PHY_LPAR, PHY_ANER, PHY_1000T_CTRL = 9,
       PHY_1000T_STATUS = 10, M88_PSCR = 16, M88_PSSR = 17, M88_IER = 18, M88_ISR = 19,
       M88_EPSCR = 20, M88_RX_ERRORS = 21, PHY_REGS = 32 };
#define PHY_CTRL_LOOPBACK   0x4000
#define PHY_CTRL_AUTONEG    0x1000
#define PHY_CTRL_RESTART    0x0200
#define PHY_STATUS_LINK     0x0004
#define PHY_STATUS_DONE     0x0020      /* auto-negotiation is complete */

#define E1000_TX_MAX    NET_MAX_FRAME
#define E1000_DESC      16u             /* bytes of a descriptor, of every kind */

/* What the last context descriptor said (3.3.6) */
typedef struct E1000Context {
    uint8_t ipcss, ipcso, tucss, tucso, hdrlen, flags;
    uint16_t ipcse, tucse, mss;
    uint32_t paylen;
} E1000Context;

/* Of one interrupt from the next */
typedef struct E1000Distance {
    int64_t until;                      /* 0, or in the past: it is kept */
    uint64_t bytes;                     /* received since the last interrupt */
    Timer timer;                        /* pending while one waits */
} E1000Distance;

typedef struct E1000 {
    PCIDevice pci;                      /* always first */
    NicConf conf;
    NetClient nc;
    bool is_e;                          /* an 82574L */
    bool mitigation, autoneg;           /* properties */
    Region mmio, io;
    uint32_t reg[R_END / 4];
    uint16_t phy[PHY_REGS];
    uint32_t io_addr;                   /* IOADDR of the I/O BAR */
    Eeprom93 eeprom;
    /* interrupts */
    bool line;
    uint32_t msi_sent;                  /* 82574: causes whose message went out */
    Region flash, msix;                 /* 82574: BARs 1 and 3 */
    uint32_t late;                      /* causes that wait for a delay timer */
    Timer rx_delay, tx_delay, negotiate;
    E1000Distance throttle;                     /* ITR */
    E1000Distance vector_throttle[E1000E_VECTORS];  /* 82574: EITR; a load forgets those */
    int64_t rx_latest, tx_latest;       /* absolute delay: not later than this; 0: nothing waits */
    /* the packet under construction: its bytes come before the state is looked at from outside,
     * except while the driver has given only a part of it */
    uint8_t *packet;                    /* [E1000_TX_MAX] */
    uint32_t packet_len;
    uint8_t *packet_saved;              /* the same for the state table */
    uint32_t packet_saved_len;
    bool packet_bad;                    /* too long: dropped as a whole */
    uint8_t packet_popts;               /* of its first data descriptor */
    bool packet_tse;
    E1000Context ctx_tso, ctx;          /* segmentation and checksums keep one each */
} E1000;

static inline uint32_t *e1000_reg(E1000 *s, unsigned at)
{
    return &s->reg[at / 4];
}
/* Statistics stick at their end. */
void e1000_count(E1000 *s, unsigned stat, uint32_t n);
void e1000_count64(E1000 *s, unsigned stat, uint64_t n);
void e1000_count_size(E1000 *s, unsigned first, size_t len);

/* e1000-irq.c */
void e1000_irq_init(E1000 *s);
void e1000_irq_exit(E1000 *s);
void e1000_irq_reset(E1000 *s);
/* What the driver reads; acknowledges. */
uint32_t e1000_irq_read(E1000 *s);
void e1000_raise(E1000 *s, uint32_t causes);
/* RXT0 and TXDW with the delays the driver asked for. */
void e1000_raise_rx(E1000 *s, unsigned queue, size_t bytes);
void e1000_raise_tx(E1000 *s, unsigned queue, bool delayed);
void e1000_irq_update(E1000 *s);        /* ICR or IMS changed */
void e1000_batch_over(NetClient *nc);

/* e1000-rx.c */
bool e1000_can_receive(NetClient *nc);
bool e1000_receive(NetClient *nc, const struct iovec *iov, int n, const NetOffload *off);
void e1000_receive_loopback(E1000 *s, const uint8_t *frame, size_t len);

/* e1000-tx.c */
void e1000_transmit(E1000 *s, unsigned queue);

/* e1000-phy.c */
void e1000_mdic_write(E1000 *s, uint32_t val);
void e1000_phy_reset(E1000 *s);
void e1000_link_changed(NetClient *nc);
void e1000_negotiated(void *opaque);
bool e1000_loopback(const E1000 *s);

#endif
