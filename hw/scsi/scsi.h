/* SPDX-License-Identifier: MIT */
/*
 * SCSI as host adapters and devices see it.  An adapter offers a bus of type "SCSI" and turns
 * what its driver asks for into SCSIRequests; a device (scsi-hd, scsi-cd) carries them out,
 * straight between image and guest memory, and calls done.
 *
 * Sources: SAM-5, SPC-4, SBC-3, MMC-3 (T10).  All under the big lock.
 */
#ifndef HW_SCSI_SCSI_H
#define HW_SCSI_SCSI_H

#include <sys/uio.h>
#include "hw/block/blkconf.h"
#include "hw/core/device.h"

#define SCSI_CDB_MAX    32
#define SCSI_SENSE_LEN  18
#define SCSI_BUFFER     65536u          /* of replies and parameter lists */

/* Status */
enum { SCSI_GOOD = 0x00, SCSI_CHECK_CONDITION = 0x02, SCSI_BUSY = 0x08 };
/* Sense keys */
enum { SENSE_NO_SENSE = 0, SENSE_NOT_READY = 2, SENSE_MEDIUM_ERROR = 3, SENSE_HARDWARE_ERROR = 4,
       SENSE_ILLEGAL_REQUEST = 5, SENSE_UNIT_ATTENTION = 6, SENSE_DATA_PROTECT = 7,
       SENSE_ABORTED_COMMAND = 0xb };
/* Additional sense code and qualifier */
#define ASC_(code, qualifier)       ((code) << 8 | (qualifier))
#define ASC_WRITE_ERROR             ASC_(0x0c, 0)
#define ASC_READ_ERROR              ASC_(0x11, 0)
#define ASC_PARAM_LIST_LENGTH       ASC_(0x1a, 0)
#define ASC_INVALID_OPCODE          ASC_(0x20, 0)
#define ASC_LBA_OUT_OF_RANGE        ASC_(0x21, 0)
#define ASC_INVALID_FIELD           ASC_(0x24, 0)
#define ASC_LUN_NOT_SUPPORTED       ASC_(0x25, 0)
#define ASC_INVALID_PARAMETER       ASC_(0x26, 0)
#define ASC_WRITE_PROTECTED         ASC_(0x27, 0)
#define ASC_SPACE_ALLOC_FAILED      ASC_(0x27, 7)
#define ASC_MEDIUM_CHANGED          ASC_(0x28, 0)
#define ASC_RESET                   ASC_(0x29, 0)
#define ASC_CAPACITY_CHANGED        ASC_(0x2a, 9)
#define ASC_SAVING_NOT_SUPPORTED    ASC_(0x39, 0)
#define ASC_NO_MEDIUM               ASC_(0x3a, 0)

struct SCSIDevice;

typedef struct SCSIRequest {
    struct SCSIDevice *dev;
    uint8_t cdb[SCSI_CDB_MAX];
    /* Where the data go or come from, in guest memory; the adapter's, until done */
    struct iovec *data;
    int ndata;
    size_t data_len;
    bool to_device;                     /* the data do */
    /* Called once, maybe from within scsi_submit: status, moved, sense are there then.  The
     * request is the adapter's again. */
    void (*done)(struct SCSIRequest *r);
    void *opaque;                       /* the adapter's */
    uint8_t status;
    bool overrun;                       /* the command moves more than there is room for */
    bool aborted;                       /* by scsi_abort: no status, no sense */
    size_t moved;                       /* bytes of data */
    uint8_t sense[SCSI_SENSE_LEN];
    uint8_t sense_len;
    /* the device's own */
    struct SCSIRequest *next;           /* of those that failed and wait for resume */
    struct iovec *slice;
    uint8_t *buffer;
    uint64_t offset, left;              /* bytes: where it goes on */
    uint32_t pos, len;                  /* in buffer */
} SCSIRequest;

typedef struct SCSIDevice {
    Device dev;                         /* always first */
    BlkConf conf;
    uint32_t channel;
    int32_t id;                         /* -1: the first free one */
    uint32_t lun;
    char *serial, *ver, *vendor, *product, *device_id;
    uint64_t wwn;
    uint16_t rotation_rate;
    bool removable;
    uint8_t type;                       /* peripheral device type: 0 disk, 5 CD-ROM */
    uint16_t attention;                 /* ASC_* of a waiting unit attention, 0: none */
    bool wce;                           /* write cache, in saved state */
    SCSIRequest *failed;
} SCSIDevice;

/* The type-specific half of a device; DeviceType.info. */
typedef struct SCSIInfo {
    /* Carry out a command; the common ones are done already. */
    void (*command)(SCSIRequest *r);
    /* Repeat a request that failed, from where it stood. */
    void (*again)(SCSIRequest *r);
} SCSIInfo;

typedef struct SCSIBus {
    Bus bus;                            /* always first */
    uint32_t max_channel, max_id, max_lun;
    /* Something about a device changed (asc: ASC_*); a device came or went while the machine
     * ran.  NULL: nobody wants to know. */
    void (*changed)(struct SCSIBus *b, SCSIDevice *d, uint16_t asc);
    void (*plugged)(struct SCSIBus *b, SCSIDevice *d, bool in);
} SCSIBus;

extern const BusType scsi_bus_type;

void scsi_bus_init(SCSIBus *b, Device *owner, const char *name);
/* The device at an address, or with any LUN of that target; NULL: none. */
SCSIDevice *scsi_find(SCSIBus *b, unsigned channel, unsigned id, unsigned lun);
SCSIDevice *scsi_find_target(SCSIBus *b, unsigned channel, unsigned id);
/* Carry out r on r->dev, a device of the target; lun is what the driver addressed. */
void scsi_submit(SCSIRequest *r, unsigned lun);
/* Wait for what d has under way; what failed and waits is aborted. */
void scsi_abort(SCSIDevice *d);
/* Reset of a logical unit. */
void scsi_reset_device(SCSIDevice *d);
/* A request that waited for resume when the state was saved. */
void scsi_restore(SCSIRequest *r);

/* ---- for devices -------------------------------------------------------------------------- */

void scsi_done(SCSIRequest *r, uint8_t status);
void scsi_fail(SCSIRequest *r, uint8_t key, uint16_t asc);
/* A reply of len bytes, of which the driver wants alloc. */
void scsi_reply(SCSIRequest *r, const void *buf, size_t len, size_t alloc);
/* len bytes of parameters from the driver into r->buffer; false: done with r. */
bool scsi_fetch(SCSIRequest *r, size_t len);
/* Set r->slice to the first len bytes of the data; false: they are too short, done with r. */
bool scsi_map(SCSIRequest *r, size_t len, struct iovec **iov, int *niov);
/* ret of a block request: true: it went well (or counts as such); false: r is settled. */
bool scsi_check(SCSIRequest *r, int ret, bool reads);
bool scsi_device_realize(SCSIDevice *d, Error **err, const BlkDevOps *ops);
void scsi_device_unrealize(SCSIDevice *d);
void scsi_resume(void *opaque);                 /* BlkDevOps.resume */
extern const VMState vm_scsi_device;
void scsi_inquiry(SCSIRequest *r);
uint8_t *scsi_identification(const SCSIDevice *d, uint8_t *p);

#define SCSI_PROPS(T, m)                                                                       \
    BLKCONF_PROPS(T, m.conf),                                                                  \
    PROP_UINT("channel", T, m.channel, 0, "bus of the adapter"),                               \
    PROP_INT("scsi-id", T, m.id, -1, "target, -1 = first free"),                               \
    PROP_UINT("lun", T, m.lun, 0, "logical unit"),                                             \
    PROP_STRING("serial", T, m.serial, NULL, "serial number, up to 36 characters"),            \
    PROP_STRING("ver", T, m.ver, "2.5+", "revision, up to 4 characters"),                      \
    PROP_STRING("vendor", T, m.vendor, "QEMU", "up to 8 characters"),                          \
    PROP_STRING("device_id", T, m.device_id, NULL, "identification (default: the serial "      \
                "number)"),                                                                    \
    PROP_UINT("wwn", T, m.wwn, 0, "world wide name, 0 = none")

#endif
