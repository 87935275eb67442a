/* SPDX-License-Identifier: MIT */
/*
 * AHCI host bus adapter: what its files share.
 *
 *   ahci.c      registers of the adapter and of its ports, interrupts, resets
 *   ahci-cmd.c  command lists, FISes, moving data; a command runs in the IDEDrive (hw/ide/ata.c)
 *   ahci-ncq.c  queued commands: up to 32 at once, straight between image and guest memory
 *   ahci-pci.c  the PCI function "ich9-ahci"
 *
 * Sources: Serial ATA AHCI 1.3.1 Specification; Serial ATA Revision 3.0, section 10.3 (FIS
 * types); ATA8-ACS, 7.34 and 7.65 (queued commands), A.14 (queued error log).
 *
 * Each port has an IDEBus for one drive.  A command that failed stays in PxCI and the port takes
 * no other until its list is stopped (AHCI 6.2.2).  Not modelled: port multipliers, FIS-based
 * switching, command coalescing, enclosure management, power states of the link (transitions
 * are taken at once), staggered spin-up, cold presence detect.  All under the big lock.
 */
#ifndef HW_IDE_AHCI_H
#define HW_IDE_AHCI_H

#include "hw/ide/internal.h"
#include "hw/pci/pci.h"

#define AHCI_PORTS      6
#define AHCI_SLOTS      32
#define AHCI_NO_SLOT    0xff
#define AHCI_REGISTERS  0x1000      /* bytes of BAR 5 */

/* Port interrupt status and enable */
#define AHCI_IS_DHRS    0x00000001u     /* device to host register FIS */
#define AHCI_IS_PSS     0x00000002u     /* PIO setup FIS */
#define AHCI_IS_SDBS    0x00000008u     /* set device bits FIS */
#define AHCI_IS_UFS     0x00000010u
#define AHCI_IS_DPS     0x00000020u     /* a descriptor with its interrupt bit was used up */
#define AHCI_IS_PCS     0x00000040u
#define AHCI_IS_PRCS    0x00400000u
#define AHCI_IS_OFS     0x01000000u     /* list of memory regions too short */
#define AHCI_IS_HBFS    0x20000000u     /* host bus fatal error */
#define AHCI_IS_TFES    0x40000000u     /* task file error */

/* Port command */
#define AHCI_CMD_ST     0x00000001u
#define AHCI_CMD_SUD    0x00000002u
#define AHCI_CMD_POD    0x00000004u
#define AHCI_CMD_CLO    0x00000008u
#define AHCI_CMD_FRE    0x00000010u
#define AHCI_CMD_CCS    0x00001f00u
#define AHCI_CMD_FR     0x00004000u
#define AHCI_CMD_CR     0x00008000u
#define AHCI_CMD_ATAPI  0x01000000u

struct AHCIState;

/* A place in a command's list of memory regions (PRDT). */
typedef struct AHCIList {
    uint64_t table;             /* guest address of the list */
    uint32_t entries;
    uint32_t index, off;        /* next byte: entry, offset in it */
    uint32_t moved;             /* bytes */
    bool irq;                   /* an entry that asks for an interrupt was used up */
} AHCIList;

/* A queued command, numbered by its slot. */
typedef struct AHCIQueued {
    struct AHCIPort *port;
    bool used, write, fua;
    bool failed;                /* the VM was stopped: resume goes on with it */
    uint64_t lba;
    uint32_t total;             /* sectors */
    uint64_t done;              /* bytes */
    AHCIList list;
    /* not saved */
    AHCIList before;            /* the list as it was before the piece now mapped */
    IDEVec *vec;
    BlkRequest *req;
} AHCIQueued;

typedef struct AHCIPort {
    struct AHCIState *hba;
    IDEBus bus;
    uint8_t number;
    /* registers */
    uint64_t clb, fb;           /* command list, received FISes */
    uint32_t is, ie, cmd, sig, sctl, serr, sact, ci;
    uint8_t tf_status, tf_error;    /* PxTFD */
    bool present;               /* the link is up */
    bool signature_due;         /* the drive's first FIS waits for PxCMD.FRE */
    bool in_reset;              /* a software reset has begun */
    bool halted;                /* an error: no further command until PxCMD.ST goes to 0 */
    bool dropping;              /* queued requests are being cancelled (not saved) */
    bool pumping;               /* (not saved) */
    uint8_t slot;               /* of the command in the drive, AHCI_NO_SLOT */
    uint8_t last_slot;          /* looked at last: the next search begins behind it */
    AHCIList list;              /* of the command in the drive */
    AHCIList before;            /* (not saved) */
    AHCIQueued queued[AHCI_SLOTS];
} AHCIPort;

typedef struct AHCIState {
    PCIDevice *pci;
    Region mem;                 /* BAR 5 */
    Region idp;                 /* BAR 4: index and data */
    uint32_t ghc, is, index;
    bool pin;
    AHCIPort port[AHCI_PORTS];
} AHCIState;

/* ---- ahci.c ----------------------------------------------------------------------------- */

void ahci_init(AHCIState *s, PCIDevice *pci);
void ahci_exit(AHCIState *s);
void ahci_reset(AHCIState *s);
/* As after power-on, with or without a drive. */
void ahci_port_power_on(AHCIPort *p);
/* Set these bits of PxIS. */
void ahci_port_event(AHCIPort *p, uint32_t bits);
extern const VMState vm_ahci;

static inline IDEDrive *ahci_drive(AHCIPort *p)
{
    return p->bus.drive[0];
}

/* ---- ahci-cmd.c -------------------------------------------------------------------------- */

extern const IDEDMAOps ahci_dma_ops;
/* Take what the guest has in PxCI, as far as possible now. */
void ahci_run(AHCIPort *p);
/* Throw away what is under way; PxCI is left to the caller. */
void ahci_stop(AHCIPort *p);
/* The drive tells who it is after a reset. */
void ahci_send_signature(AHCIPort *p);
/* A register FIS with the drive's status, which also goes to PxTFD. */
void ahci_send_d2h(AHCIPort *p, bool irq);
/* FIS of len bytes to its place in the receive area, if the guest wants FISes. */
void ahci_post_fis(AHCIPort *p, unsigned at, const uint8_t *fis, unsigned len);
/* The next at most max bytes of a list; false: it is at its end. */
bool ahci_map(AHCIPort *p, AHCIList *l, IDEVec *v, uint32_t max, bool to_memory);
void ahci_unmap(AHCIPort *p, AHCIList *l, const AHCIList *before, IDEVec *v, uint32_t done);
/* DMA from completions, which may point at our own registers. */
void ahci_dma_write(AHCIPort *p, uint64_t addr, const void *buf, uint32_t len);
/* PRDBC of a slot's command header. */
void ahci_write_count(AHCIPort *p, unsigned slot, uint32_t count);

/* ---- ahci-ncq.c --------------------------------------------------------------------------- */

/* READ or WRITE FPDMA QUEUED in slot; l: its list. */
void ahci_ncq_start(AHCIPort *p, unsigned slot, const uint8_t *fis, const AHCIList *l);
bool ahci_ncq_active(const AHCIPort *p);
void ahci_ncq_stop(AHCIPort *p);
void ahci_ncq_resume(AHCIPort *p);
extern const VMState vm_ahci_queued, vm_ahci_list;

#endif
