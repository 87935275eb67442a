/* SPDX-License-Identifier: MIT */
/*
 * Eventfds between the guest and whoever serves a device, without a trip of the vCPU's thread
 * through the device: doorbells (a store of the guest's makes an eventfd readable; KVM's
 * ioeventfd) and interrupts by eventfd (writing one sends a message; KVM's irqfd).
 *
 * Devices use both without knowing the accelerator.  Where it can't do them, or does not run
 * the guest at the moment (the interpreter's turns under KVM), the ordinary way stays open:
 *   - a store to a doorbell still may arrive at the region's write op, which then does what
 *     it does without doorbells (at best: write the eventfd itself);
 *   - an interrupt's eventfd is watched by the main loop, which calls back.
 *
 * All [bql].  The eventfds belong to the caller, who keeps them open until they are deleted
 * here.
 */
#ifndef ACCEL_EVENTFD_H
#define ACCEL_EVENTFD_H

#include "memory/memory.h"

/* A place in an I/O region; the address follows the region wherever it is mapped. */
typedef struct Doorbell {
    Region *region;
    hwaddr off;                     /* in region */
    unsigned size;                  /* 1, 2, 4, 8; 0: stores of any size */
    bool match;                     /* only stores of `data`; not with size 0 */
    uint64_t data;
    int fd;
} Doorbell;

/* Add one; several with other data may share a place.  A region keeps none when destroyed:
 * delete them first. */
void doorbell_add(const Doorbell *d);
/* The one that equals d in all fields; no effect if there is none. */
void doorbell_del(const Doorbell *d);

/*
 * An interrupt message behind an eventfd (made with EFD_NONBLOCK).  Until it has a route, and
 * where the accelerator has no interrupt controllers, the main loop reads fd and calls fire.
 */
typedef struct IrqFd IrqFd;
IrqFd *irqfd_new(int fd, void (*fire)(void *opaque), void *opaque);
/* The message as MSI-X tables hold it; call again when it changes. */
void irqfd_route(IrqFd *f, uint64_t addr, uint32_t data);
/* Back to fire(): the vector is masked, the message not valid. */
void irqfd_unroute(IrqFd *f);
void irqfd_free(IrqFd *f);
/* true: the kernel delivers it. */
bool irqfd_direct(const IrqFd *f);

/* ---- for accelerators ------------------------------------------------------------------- */

typedef struct EventfdOps {
    /* The list of doorbells changed. */
    void (*doorbells)(void);
    /* Deliver by message from now on; a handle above 0, or 0: can't. */
    unsigned (*irqfd_add)(int fd, uint64_t addr, uint32_t data);
    bool (*irqfd_change)(unsigned handle, uint64_t addr, uint32_t data);
    void (*irqfd_del)(unsigned handle, int fd);
} EventfdOps;

/* The accelerator offers these from now on; NULL takes the offer back: what it did is done
 * by the main loop again. */
void eventfd_set_ops(const EventfdOps *ops);
void doorbell_foreach(void (*fn)(const Doorbell *d, void *opaque), void *opaque);

#endif
