/* SPDX-License-Identifier: MIT */
/*
 * The virtio block device, for its transports.
 */
#ifndef HW_VIRTIO_VIRTIO_BLK_H
#define HW_VIRTIO_VIRTIO_BLK_H

#include "hw/block/blkconf.h"
#include "hw/virtio/virtio.h"

#define VIRTIO_BLK_QUEUES_AUTO 0xffff

struct VirtIOBlkReq;

typedef struct VirtIOBlk {
    VirtIODevice vdev;
    BlkConf conf;
    char *serial;
    bool config_wce, discard, write_zeroes, scsi;
    uint16_t num_queues, queue_size;
    uint32_t max_discard_sectors, max_write_zeroes_sectors;
    struct VirtIOBlkReq *failed;        /* list: to be repeated when the VM runs again */
    bool in_batch;                      /* several requests end at once */
    VirtQueue *pushed;                  /* ... and this queue's interrupt is due after that */
    bool wce;                           /* write cache, in saved state */
    uint8_t *failed_saved;              /* the same, in saved state */
    uint32_t failed_saved_len;
} VirtIOBlk;

#define VIRTIO_BLK_PROPS(T, m)                                                                 \
    BLKCONF_PROPS(T, m.conf), BLKCONF_GEOMETRY_PROPS(T, m.conf),                               \
    PROP_STRING("serial", T, m.serial, NULL, "serial number, up to 20 characters"),            \
    PROP_BOOL("config-wce", T, m.config_wce, true, "the driver may switch the write cache"),   \
    PROP_BOOL("discard", T, m.discard, true, "offer discard"),                                 \
    PROP_BOOL("scsi", T, m.scsi, false, "SCSI commands to the host's disk: only off"),           \
    PROP_BOOL("write-zeroes", T, m.write_zeroes, true, "offer writing zeroes"),                \
    PROP_UINT_R("num-queues", T, m.num_queues, VIRTIO_BLK_QUEUES_AUTO, 1, 65535,               \
                "queues (65535: as many as CPUs)"),                                            \
    PROP_UINT_R("queue-size", T, m.queue_size, 256, 4, VIRTIO_QUEUE_MAX, "entries of a queue"), \
    PROP_UINT("max-discard-sectors", T, m.max_discard_sectors, 0x3fffff, "of a request"),      \
    PROP_UINT("max-write-zeroes-sectors", T, m.max_write_zeroes_sectors, 0x3fffff,             \
              "of a request"),                                                                 \
    VIRTIO_RING_PROPS(T, m.vdev)

bool virtio_blk_realize(VirtIOBlk *s, Device *dev, Error **err);
void virtio_blk_unrealize(VirtIOBlk *s);
extern const VMState vm_virtio_blk;     /* with the VirtIODevice in it */

#endif
