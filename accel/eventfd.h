/* SPDX-License-Identifier: MIT */
/*
 * Eventfds between the guest and the devices: doorbells (a store of the guest's is noticed by the
 * main loop and the vCPU goes on meanwhile; KVM's ioeventfd) and interrupts (writing one sends a
 * message, without the big lock; KVM's irqfd).
 *
 * Devices use both without knowing the accelerator.  Where it can't do them, or does not run the
 * guest at the moment (the interpreter's turns under KVM), the ordinary way stays open: a store to a
 * doorbell arrives at the region's write op, an interrupt is to be sent as without this.
 *
 * The eventfds are made here, and only while there is an accelerator that has a use for them.
 * All [bql].
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
    /* The guest stored something there, once or several times.  [main loop] */
    void (*rang)(void *opaque, unsigned number);
    void *opaque;
    unsigned number;
    int fd;                         /* of this file; -1: none */
    guint watch;
} Doorbell;

/* More doorbells than this do without an eventfd: a process has only so many files. */
#define DOORBELLS_MAX 256

/* A copy of d, to be given back.  The accelerator hears of these two at doorbells_commit; a region
 * keeps no doorbell when it is destroyed. */
Doorbell *doorbell_add(const Doorbell *d);
void doorbell_del(Doorbell *d);
void doorbells_commit(void);
/* No vCPU runs: what was rung before is done when this returns.  [main thread] */
void doorbells_settle(void);

/* How often the main loop heard one. */
uint64_t doorbells_rung(void);

/* Way of an interrupt message. */
typedef struct IrqFd IrqFd;
IrqFd *irqfd_new(void);
/* Send this message; false: the accelerator can't, nothing was sent.  Messages that change with
 * each call are slow. */
bool irqfd_send(IrqFd *f, uint64_t addr, uint32_t data);
void irqfd_free(IrqFd *f);

/* ---- for accelerators ------------------------------------------------------------------- */

typedef struct EventfdOps {
    /* The list of doorbells changed; those with fd < 0 are not for the accelerator. */
    void (*doorbells)(void);
    /* From now on writing fd sends the message; a handle above 0, or 0: can't.  NULL: never. */
    unsigned (*irqfd_add)(int fd, uint64_t addr, uint32_t data);
    bool (*irqfd_change)(unsigned handle, uint64_t addr, uint32_t data);
    void (*irqfd_del)(unsigned handle, int fd);
    /* One was written; NULL: no need to know. */
    void (*irqfd_sent)(void);
} EventfdOps;

/* The accelerator offers these from now on; NULL takes the offer back.  No vCPU runs. */
void eventfd_set_ops(const EventfdOps *ops);
void doorbell_foreach(void (*fn)(const Doorbell *d, void *opaque), void *opaque);

#endif
