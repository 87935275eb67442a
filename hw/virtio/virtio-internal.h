/* SPDX-License-Identifier: MIT */
/*
 * What virtio.c needs of queue.c.
 */
#ifndef HW_VIRTIO_VIRTIO_INTERNAL_H
#define HW_VIRTIO_VIRTIO_INTERNAL_H

#include "hw/virtio/ring.h"

void virtio_queues_init(VirtIODevice *v, unsigned n);
/* Power-on values. */
void virtio_queues_reset(VirtIODevice *v);
/* The features are fixed: take the ring format from them. */
void virtio_queues_negotiated(VirtIODevice *v);
/* The same after a load; false: a queue's state is impossible with these features. */
bool virtio_queues_check(VirtIODevice *v, Error **err);
extern const VMState vm_virtqueue;

#endif
