/* SPDX-License-Identifier: MIT */
/*
 * What the files of hw/ide share.
 *
 *   bus.c      task file registers, device selection, interrupt line, resets
 *   ata.c      commands of hard disks, the table of all commands
 *   transfer.c data: PIO blocks, DMA chunks, flushes; errors and what to do about them
 *   identify.c IDENTIFY and IDENTIFY PACKET data, geometry
 *   smart.c    SMART
 *   atapi.c    packet commands of the CD-ROM drive: protocol, reading, media
 *   mmc.c      ... and those SCSI drives have too: describing drive and disc, the tray
 *   cd-sector.c raw CD sectors
 *   drive.c    the devices "ide-hd" and "ide-cd"
 *   bmdma.c    bus master DMA engine of the PIIX
 *   piix.c     the PCI function "piix3-ide"
 *   ahci*.c    AHCI host bus adapter: registers, commands, queued commands, PCI function
 *
 * Sources: ATA/ATAPI-6 (T13/1410D) for commands and registers; SFF-8020i and MMC-3 for CD-ROM;
 * "Programming Interface for Bus Master IDE Controller" 1.0 (Intel); 82371SB data sheet.
 * All under the big lock.
 */
#ifndef HW_IDE_INTERNAL_H
#define HW_IDE_INTERNAL_H

#include <sys/uio.h>
#include "block/block.h"
#include "hw/core/device.h"
#include "hw/ide/ide.h"
#include "hw/ide/mmc.h"

/* Status */
#define ST_BSY      0x80
#define ST_DRDY     0x40
#define ST_DF       0x20
#define ST_DSC      0x10        /* seek complete; "service" in newer editions */
#define ST_DRQ      0x08
#define ST_ERR      0x01        /* "check condition" of packet commands */
/* Error */
#define ER_UNC      0x40
#define ER_IDNF     0x10
#define ER_ABRT     0x04
/* Device/head */
#define DH_LBA      0x40
#define DH_DEV      0x10
#define DH_ONES     0xa0
/* Device control */
#define CTL_NIEN    0x02
#define CTL_SRST    0x04
#define CTL_HOB     0x80
/* Interrupt reason of packet commands, in the sector count register */
#define IR_CD       0x01        /* command, not data */
#define IR_IO       0x02        /* to the host */

#define IDE_BUFFER      65536u  /* PIO: one DRQ block; packet data: all of it or a part */
#define IDE_MAX_MULT    16
#define IDE_CHUNK       (1u << 20)      /* DMA bytes in one block request */
#define IDE_VEC_MAX     128
#define IDE_NCQ_LOG     14              /* used bytes of log page 10h */
#define IDE_NCQ_DEPTH   32

struct IDEBus;
struct IDEDrive;

/* Pieces of guest memory for one block request. */
typedef struct IDEVec {
    struct iovec iov[IDE_VEC_MAX];
    hwaddr addr[IDE_VEC_MAX];       /* guest address of each piece */
    bool mapped[IDE_VEC_MAX];       /* else iov is a bounce buffer (not RAM) */
    int n;
    uint32_t size;
    bool to_memory;
} IDEVec;

/* What a drive needs of its controller's DMA engine. */
typedef struct IDEDMAOps {
    /* The drive has a DMA command; the engine calls ide_dma_go once the guest starts it. */
    void (*wait)(void *opaque, struct IDEDrive *d);
    /* The next at most max bytes of the guest's scatter/gather list; false: the list is at
     * its end (v is empty). */
    bool (*map)(void *opaque, IDEVec *v, uint32_t max, bool to_memory);
    /* Done with v, of which the first done bytes were transferred. */
    void (*unmap)(void *opaque, IDEVec *v, uint32_t done);
    /* The command is over.  all: the drive moved all it wanted (else the list was too short). */
    void (*finish)(void *opaque, bool all);
    /* The interrupt line's level, before the line itself: sets the engine's interrupt bit. */
    void (*irq)(void *opaque, int level);
    /* The three below may be NULL.  The drive gave up on a command without an interrupt,
     * because the list was too short. */
    void (*stalled)(void *opaque);
    /* The VM runs again after an error: repeat what the controller itself has kept. */
    void (*resume)(void *opaque);
    /* A drive was plugged in, or goes: then finish what the controller has under way with it. */
    void (*plugged)(void *opaque, bool in);
} IDEDMAOps;

/* Where a command stands.  Order is part of the saved state. */
typedef enum {
    PH_IDLE,
    PH_PIO_IN,          /* DRQ: the host reads the buffer */
    PH_PIO_OUT,         /* DRQ: the host fills the buffer */
    PH_PACKET,          /* DRQ: the host writes 12 bytes of packet */
    PH_DMA_WAIT,        /* for the DMA engine to be started */
    PH_BLOCK,           /* a block request runs (or failed and waits for `cont`) */
    PH_COUNT
} IDEPhase;

/* What the data of a command are for. */
typedef enum {
    OP_NONE,
    OP_BUFFER,          /* buffer to host, nothing follows (IDENTIFY, SMART, packet replies) */
    OP_READ, OP_WRITE, OP_VERIFY,
    OP_FLUSH,
    OP_TRIM,
    OP_STORE,           /* data into the buffer, nothing follows */
    OP_CD_READ,
    OP_CACHE_OFF,       /* flush, then turn the write cache off */
    OP_COUNT
} IDEOp;

typedef struct IDEDrive {
    Device dev;                     /* always first */
    /* properties */
    BlockBackend *blk;
    char *serial, *ver, *model;
    uint64_t wwn;
    uint32_t logical_block_size, physical_block_size;
    uint32_t rotation_rate;
    uint32_t unit;
    int32_t bootindex;
    uint32_t cyls_prop, heads_prop, secs_prop;
    int translation_prop;
    int rerror, werror;

    bool is_cd;
    bool own_blk;                   /* an empty slot made for a drive without one */
    struct IDEBus *bus;
    uint64_t sectors;               /* of 512 bytes; for a CD see cd.sectors */
    IDEGeometry native;             /* as IDENTIFY reports it */
    char serial_text[21];

    /* task file, with the previous value ("high order byte") of each register */
    uint8_t feature, nsector, lba0, lba1, lba2, select, status, error;
    uint8_t hob_feature, hob_nsector, hob_lba0, hob_lba1, hob_lba2;
    bool intrq;                     /* interrupt pending; seen on the line while selected */

    /* settings */
    uint8_t heads, secs;            /* translation by INITIALIZE DEVICE PARAMETERS */
    uint8_t mult;                   /* sectors per READ/WRITE MULTIPLE block */
    uint8_t pio_mode, mdma_mode, udma_mode;     /* 0xff: not the selected kind */
    bool write_cache, look_ahead, smart_on, smart_autosave, sleeping;
    bool default_cache;             /* the write cache as -drive has it */
    uint8_t power;                  /* sector count that CHECK POWER MODE returns */
    uint8_t smart_selftest;

    /* the command under way */
    uint8_t command;                /* its code */
    uint8_t phase;                  /* IDEPhase */
    uint8_t op;                     /* IDEOp */
    bool lba48, dma, fua;
    uint64_t lba;                   /* next sector (CD: of 2048 bytes) */
    uint32_t left;                  /* sectors to go (CD too) */
    uint32_t block;                 /* sectors in this PIO block or chunk */
    uint32_t dma_off;               /* bytes of the next sector done: DMA lists may be ragged */
    bool failed;                    /* a request failed, the VM was stopped: resume repeats it */
    uint32_t pos, end;              /* buffer: next byte, bytes */
    uint32_t buffer_len;            /* bytes worth saving */
    uint8_t *buffer;                /* IDE_BUFFER bytes */

    /* packet commands */
    uint8_t packet[12];
    uint8_t sense_key, asc;         /* of the last command */
    MMCDrive cd;
    uint16_t limit;                 /* byte count limit of this command */
    uint16_t cd_sector;             /* 2048 or 2352: bytes per sector as read */

    /* not saved: no request is under way when state is saved */
    BlkRequest *req;
    bool dropping;                  /* req is being cancelled: its result does not count */
    IDEVec vec;
    bool vec_used;
    struct iovec iov;

    /* SATA only: what the last queued command that failed left in log page 10h */
    uint8_t ncq_log[IDE_NCQ_LOG];
} IDEDrive;

typedef struct IDEBus {
    Bus bus;                        /* always first */
    IDEDrive *drive[2];
    bool sata;                      /* behind AHCI: one drive, queued commands */
    uint8_t unit;                   /* selected */
    uint8_t control;
    IRQ irq;
    const IDEDMAOps *dma;
    void *dma_opaque;
    Region cmd, ctl;
} IDEBus;

extern const BusType ide_bus_type;
extern const VMState vm_ide_bus;

/* ---- bus.c ---------------------------------------------------------------------------- */

void ide_bus_init(IDEBus *b, Device *owner, const char *name, IRQ irq);
/* Map the command block (8 ports) and control block (1 port). */
void ide_bus_map(IDEBus *b, Region *io, uint16_t cmd, uint16_t ctl);
void ide_bus_exit(IDEBus *b);
/* The command register of the selected drive is written. */
void ide_bus_command(IDEBus *b, uint8_t val);
/* A software reset (SRST) ends. */
void ide_bus_soft_reset(IDEBus *b);
/* A SATA bus: one drive, no registers of its own. */
void ide_bus_init_sata(IDEBus *b, Device *owner, const char *name);
void ide_bus_reset(IDEBus *b);
void ide_set_irq(IDEDrive *d);              /* INTRQ up */
void ide_clear_irq(IDEDrive *d);
void ide_update_irq(IDEBus *b);
/* Abort what runs, power-on register values and signature. */
void ide_drive_reset(IDEDrive *d);
void ide_set_signature(IDEDrive *d);

/* ---- ata.c ---------------------------------------------------------------------------- */

void ide_command(IDEDrive *d, uint8_t val);
/* End of a command without data, or of its data: status, interrupt. */
void ide_done(IDEDrive *d);
void ide_abort(IDEDrive *d);                /* ERR, ABRT, interrupt */
void ide_error(IDEDrive *d, uint8_t bits);  /* ERR, these bits, interrupt */

/* ---- transfer.c ------------------------------------------------------------------------ */

/* Buffer[0..len) to the host in one DRQ block (interrupts), then ide_done. */
void ide_send_buffer(IDEDrive *d, uint32_t len);
/* One DRQ block of len bytes from the host into the buffer; irq: announce it. */
void ide_receive_buffer(IDEDrive *d, uint32_t len, bool irq);
/* d->op, lba, left set: begin reading, writing or verifying. */
void ide_start_pio(IDEDrive *d);
void ide_start_dma(IDEDrive *d);
void ide_start_block(IDEDrive *d);          /* no data: verify, flush */
void ide_dma_go(IDEDrive *d);               /* the engine was started */
void ide_step(IDEDrive *d);                 /* submit the next request of the command */
/* Copy the buffer's first len bytes to the guest's DMA list; false: it was too short. */
bool ide_dma_buffer(IDEDrive *d, uint32_t len);
uint32_t ide_data_read(IDEDrive *d, unsigned size);
void ide_data_write(IDEDrive *d, uint32_t val, unsigned size);
/* The rest of the data block that waits to be moved through the data port, NULL: none does
 * (for controllers that move it by themselves); and: all of it has been moved. */
uint8_t *ide_drq_block(IDEDrive *d, uint32_t *len);
void ide_drq_done(IDEDrive *d);
/* Throw away what is under way. */
void ide_stop(IDEDrive *d);
void ide_resume(IDEDrive *d);               /* repeat what failed */
uint64_t ide_get_lba(const IDEDrive *d, bool lba48);
void ide_set_lba(IDEDrive *d, uint64_t lba);
bool ide_range_ok(const IDEDrive *d, uint64_t lba, uint64_t n);

/* ---- identify.c, smart.c, atapi.c ------------------------------------------------------ */

void ide_identify(IDEDrive *d, uint8_t *out /* 512 */);
void ide_identify_packet(IDEDrive *d, uint8_t *out /* 512 */);
void ide_guess_geometry(IDEDrive *d);
void ide_smart(IDEDrive *d);
void atapi_begin(IDEDrive *d);              /* PACKET was written to the command register */
void atapi_packet(IDEDrive *d);             /* the 12 bytes are there */
void atapi_block_read(IDEDrive *d);         /* d->block sectors of OP_CD_READ are in the buffer */
void atapi_pio_drained(IDEDrive *d);        /* the host took a DRQ block */
void atapi_dma_go(IDEDrive *d);
void atapi_io_error(IDEDrive *d, int errnum);
void atapi_done(IDEDrive *d);
extern const BlkDevOps atapi_block_ops, ide_block_ops;

static inline bool ide_busy(const IDEDrive *d)
{
    return d->status & (ST_BSY | ST_DRQ);
}

#endif
