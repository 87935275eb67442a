/* SPDX-License-Identifier: MIT */
/*
 * A floppy drive with or without a disk: the device "floppy" on the bus of a controller.  [bql]
 */
#ifndef HW_BLOCK_FLOPPY_H
#define HW_BLOCK_FLOPPY_H

#include "block/block.h"
#include "hw/core/device.h"

#define FLOPPY_DRIVES 2

/* Drive types, in the order of the property's names. */
enum { FLOPPY_120, FLOPPY_144, FLOPPY_288, FLOPPY_NONE, FLOPPY_AUTO };
extern const char *const floppy_type_names[];

/* Data rates as CCR and DSR code them. */
enum { RATE_500K, RATE_300K, RATE_250K, RATE_1M };

typedef struct Floppy {
    Device dev;                     /* always first */
    BlockBackend *blk;              /* property; an empty slot if none was given */
    bool own_blk;
    uint32_t unit;
    int type_prop, type;            /* FLOPPY_* asked for, and resolved */
    int32_t bootindex;
    /* the disk */
    uint8_t sectors, heads, tracks; /* sectors of a track; 0 without a disk */
    uint8_t rate;                   /* RATE_* it was written at */
    bool changed;                   /* DSKCHG: until a step with a disk inside */
    /* the mechanics */
    uint8_t track;                  /* where the heads are */
    uint8_t sector;                 /* that passed the head last, for READ ID */
} Floppy;

typedef struct FloppyBus {
    Bus bus;                        /* always first */
    Floppy *drive[FLOPPY_DRIVES];
    int fallback;                   /* type of a drive that is empty at start */
    /* the controller's hook: the VM runs again, repeat the request that failed */
    void (*resume)(void *opaque);
    void *opaque;
} FloppyBus;

void floppy_bus_init(FloppyBus *b, Device *owner);

static inline bool floppy_ready(const Floppy *f)
{
    return f && f->sectors;
}
/* Move the heads; clamps at the ends. */
void floppy_step_to(Floppy *f, unsigned track);
/* Byte offset of a sector that exists. */
uint64_t floppy_offset(const Floppy *f, unsigned track, unsigned head, unsigned sector);

#endif
