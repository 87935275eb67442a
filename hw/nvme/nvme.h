/* SPDX-License-Identifier: MIT */
/*
 * NVM Express controller with one namespace: what its files share.
 *
 *   nvme.c        the PCI function, registers, doorbells, resets, saved state
 *   nvme-queue.c  submission and completion queues, interrupts, life of a command
 *   nvme-dma.c    from a command's PRPs or SGL to host memory
 *   nvme-admin.c  admin commands: queues, features, abort, asynchronous events, format
 *   nvme-info.c   admin commands: identify, log pages
 *   nvme-io.c     commands of the NVM command set
 *
 * Source: NVM Express Base Specification 1.4 ("the specification").
 *
 * Not modelled: several namespaces, namespace management, metadata and
 * protection, fused commands, controller memory buffer, arbitration (queues are served in the
 * order of their doorbells), shadow doorbells.  All under the big lock.
 */
#ifndef HW_NVME_NVME_H
#define HW_NVME_NVME_H

#include "hw/block/blkconf.h"
#include "hw/pci/pci.h"

#define NVME_MAX_QUEUES     512         /* pairs, the admin queue's among them */
#define NVME_MAX_ENTRIES    2048        /* of a queue */
#define NVME_MAX_IN_FLIGHT  256         /* commands taken at once; others stay in their queues */
#define NVME_SQE            64          /* bytes of an entry */
#define NVME_CQE            16
#define NVME_AERS           4           /* asynchronous event requests at once */
#define NVME_EVENTS         16          /* events that wait for such a request */
#define NVME_NSID           1
#define NVME_TEMPERATURE    0x143       /* K */

/* Status: code | type << 8 | do not retry << 14 */
#define NVME_DNR            0x4000
enum {
    NVME_OK = 0, NVME_INVALID_OPCODE = 0x01 | NVME_DNR, NVME_INVALID_FIELD = 0x02 | NVME_DNR,
    NVME_TRANSFER_ERROR = 0x04, NVME_INTERNAL_ERROR = 0x06, NVME_ABORTED = 0x07,
    NVME_ABORTED_SQ_DELETED = 0x08, NVME_INVALID_NAMESPACE = 0x0b | NVME_DNR,
    NVME_INVALID_SGL_SEGMENT = 0x0d | NVME_DNR, NVME_INVALID_SGL_COUNT = 0x0e | NVME_DNR,
    NVME_SGL_LENGTH = 0x0f | NVME_DNR, NVME_SGL_TYPE = 0x11 | NVME_DNR,
    NVME_INVALID_PRP_OFFSET = 0x13 | NVME_DNR, NVME_LBA_RANGE = 0x80 | NVME_DNR,
    NVME_CAPACITY = 0x81,
    NVME_INVALID_CQID = 0x100 | NVME_DNR, NVME_INVALID_QID = 0x101 | NVME_DNR,
    NVME_INVALID_QUEUE_SIZE = 0x102 | NVME_DNR, NVME_AER_LIMIT = 0x105 | NVME_DNR,
    NVME_INVALID_VECTOR = 0x108 | NVME_DNR, NVME_INVALID_LOG = 0x109 | NVME_DNR,
    NVME_INVALID_FORMAT = 0x10a | NVME_DNR, NVME_INVALID_DELETION = 0x10c | NVME_DNR,
    NVME_NOT_SAVEABLE = 0x10d | NVME_DNR, NVME_NOT_CHANGEABLE = 0x10e | NVME_DNR,
    NVME_READ_ONLY = 0x182 | NVME_DNR,
    NVME_WRITE_FAULT = 0x280, NVME_READ_ERROR = 0x281, NVME_COMPARE_FAILURE = 0x285 | NVME_DNR,
    NVME_PENDING = 0xffff,              /* (ours) it will complete later */
};

/* Host memory of a command's data. */
typedef struct NVMeVec {
    GArray *iov;                        /* struct iovec */
    GArray *place;                      /* NVMePlace, one for each */
    size_t size;
    bool to_host;                       /* device writes guest memory */
} NVMeVec;

typedef struct NVMePlace {
    uint64_t addr;
    bool mapped;                        /* else the iovec is a buffer of ours: */
    bool bucket;                        /* ... nobody wants what gets there */
} NVMePlace;

typedef struct NVMeSQ {
    bool used, serving;                 /* serving: (not saved) its entries are being taken */
    uint16_t cqid;
    uint32_t size, head, tail;
    uint64_t base;
} NVMeSQ;

typedef struct NVMeCQ {
    bool used, irq, phase;
    bool notify;                        /* (not saved) entries were put in since the last message */
    uint16_t vector;
    uint32_t size, head, tail;
    uint64_t base;
} NVMeCQ;

struct NVMe;

typedef struct NVMeRequest {
    struct NVMe *c;
    struct NVMeRequest *next;           /* of those that failed and wait for resume */
    uint16_t sqid, cid;
    uint8_t cmd[NVME_SQE];
    NVMeVec vec;
    BlkRequest *blk;                    /* under way */
    uint64_t offset, len;               /* bytes of the namespace; DSM: place in ranges */
    uint64_t pos;                       /* compare, verify: bytes done */
    uint8_t *buffer;                    /* compare: what the disk holds; DSM: ranges */
    struct iovec iov;
    uint32_t result;
} NVMeRequest;

/* An event that waits for a request: what goes into its completion. */
typedef struct NVMeEvent {
    uint8_t type, info, log;
} NVMeEvent;

typedef struct NVMe {
    PCIDevice pci;                      /* always first */
    BlkConf conf;
    char *serial;
    uint32_t max_ioqpairs, msix_qsize, mdts;
    Region mem, regs;                   /* BAR 0; what of it are registers and doorbells */
    /* registers */
    uint32_t intms, cc, csts, aqa;
    uint64_t asq, acq;
    NVMeSQ *sq;                         /* [n_queues] */
    NVMeCQ *cq;
    uint32_t n_queues;
    /* features */
    uint32_t arbitration, error_recovery, coalescing, atomicity, event_config;
    uint16_t over_threshold, under_threshold;
    uint64_t timestamp;                 /* ms, as the host set it */
    uint64_t timestamp_at;              /* virtual clock then, ns */
    /* asynchronous events */
    uint16_t aer_cid[NVME_AERS];
    uint8_t n_aers, n_events;
    uint8_t masked;                     /* bit per type: reported, its log was not read yet */
    NVMeEvent event[NVME_EVENTS];
    uint8_t critical;                   /* critical warnings of the SMART log */
    GPtrArray *requests;                /* of NVMeRequest*, taken and not completed */
    GQueue waiting;                     /* of NVMeCompletion*, for room in their queue */
    NVMeRequest *failed;
    BlkRequest *shutdown;               /* the flush before a shutdown */
    bool dropping;                      /* requests are being cancelled */
    /* for saved state */
    uint8_t *saved_requests, *saved_waiting;
    uint32_t saved_requests_len, saved_waiting_len;
} NVMe;

/* A completion whose queue was full. */
typedef struct NVMeCompletion {
    uint16_t sqid, cid, status;
    uint32_t result;
} NVMeCompletion;

/* ---- nvme-queue.c ------------------------------------------------------------------------ */

/* The driver moved the tail of a submission queue, the head of a completion queue. */
void nvme_sq_doorbell(NVMe *c, unsigned id, uint32_t tail);
void nvme_cq_doorbell(NVMe *c, unsigned id, uint32_t head);
/* Take what is in all queues (after a resume). */
void nvme_serve_all(NVMe *c);
/* r is over: its completion goes into the queue, r is freed. */
void nvme_complete(NVMeRequest *r, uint16_t status);
/* A completion that belongs to no request any more. */
void nvme_post(NVMe *c, uint16_t sqid, uint16_t cid, uint16_t status, uint32_t result);
/* Interrupts for what has been posted; and the pin's level. */
void nvme_update_irq(NVMe *c);
/* Cancel what is under way; matching: of this submission queue only (-1: all).  Nothing is
 * posted. */
void nvme_drop_requests(NVMe *c, int sqid);
/* Execute (again). */
void nvme_start(NVMeRequest *r);
NVMeRequest *nvme_new_request(NVMe *c, uint16_t sqid, const uint8_t *cmd);
void nvme_free_request(NVMeRequest *r);

static inline uint32_t nvme_page_size(const NVMe *c)
{
    return 4096u << (c->cc >> 7 & 15);
}

/* ---- nvme-dma.c --------------------------------------------------------------------------- */

/* What lies in our own registers is not written. */
void nvme_dma_write(NVMe *c, uint64_t addr, const void *buf, uint32_t len);
/* Set r->vec to the first len bytes that the command's PRPs describe, or to its SGL. */
uint16_t nvme_map(NVMeRequest *r, size_t len, bool to_host);
/* done: the data that go to the guest are valid. */
void nvme_unmap(NVMeRequest *r, bool done);
/* Data of admin commands: len bytes to the guest, from the guest. */
uint16_t nvme_send(NVMeRequest *r, const void *buf, size_t len);
uint16_t nvme_fetch(NVMeRequest *r, void *buf, size_t len);

/* ---- commands: a status, or NVME_PENDING --------------------------------------------------- */

uint16_t nvme_admin(NVMeRequest *r);
uint16_t nvme_io(NVMeRequest *r);
uint16_t nvme_format(NVMeRequest *r);
uint16_t nvme_identify(NVMeRequest *r);
uint16_t nvme_get_log(NVMeRequest *r);
/* Something happened that the driver may want to hear of. */
void nvme_event(NVMe *c, uint8_t type, uint8_t info, uint8_t log);
/* The log page was read: events of this type are told again. */
void nvme_event_read(NVMe *c, uint8_t type);
enum { NVME_EVENT_ERROR = 0, NVME_EVENT_SMART = 1, NVME_EVENT_NOTICE = 2 };
enum { NVME_LOG_ERROR = 1, NVME_LOG_SMART, NVME_LOG_FIRMWARE, NVME_LOG_CHANGED_NS, NVME_LOG_EFFECTS };

uint64_t nvme_blocks(const NVMe *c);
#define NVME_MODEL      "QEMU NVMe Ctrl"
#define NVME_FIRMWARE   "1.0"

#endif
