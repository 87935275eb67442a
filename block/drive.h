/* SPDX-License-Identifier: MIT */
/*
 * -drive and its shorthands (-hda, -cdrom, -fda, -mtdblock ...): which medium the user wants
 * on which connector of the board.  Boards ask here and create the disk devices.
 */
#ifndef BLOCK_DRIVE_H
#define BLOCK_DRIVE_H

#include "block/block.h"

typedef enum { DRIVE_IF_NONE, DRIVE_IF_IDE, DRIVE_IF_SCSI, DRIVE_IF_FLOPPY, DRIVE_IF_PFLASH,
               DRIVE_IF_MTD, DRIVE_IF_SD, DRIVE_IF_VIRTIO, DRIVE_IF_XEN, DRIVE_IF_COUNT } DriveIf;

typedef struct DriveInfo {
    BlockBackend *blk;
    DriveIf iface;
    int bus, unit;
    bool cdrom;                     /* media=cdrom */
    bool is_default;                /* made because the board always has one; not by the user */
    char *options;                  /* as given, for messages */
    bool claimed;                   /* a board or device took it */
} DriveInfo;

/* Makes the "drive" properties of devices work; once at start. */
void block_init(void);

/* -drive OPTIONS; def_if is what if= defaults to on this board (IDE on a PC). */
DriveInfo *drive_add(const char *options, DriveIf def_if, Error **err);
/* -hda FILE (iface IDE, index 0), -cdrom FILE (IDE, 2, cdrom), -fda FILE (FLOPPY, 0) ... */
DriveInfo *drive_add_file(const char *file, DriveIf iface, int index, bool cdrom, Error **err);
/* An empty drive the board always has (CD-ROM at index 2, floppy 0), unless one is there. */
DriveInfo *drive_add_default(DriveIf iface, int index, bool cdrom);

/* What is on a connector: NULL if nothing.  Marks it claimed. */
DriveInfo *drive_get(DriveIf iface, int bus, int unit);
/* index counts over buses: IDE has two units a bus. */
DriveInfo *drive_get_index(DriveIf iface, int index);
int drive_max_bus(DriveIf iface);                   /* -1: no drive there */
int drive_max_unit(DriveIf iface);                  /* of all its buses; -1: no drive there */
DriveInfo *drive_of_blk(const BlockBackend *b);
void drive_foreach(void (*fn)(DriveInfo *d, void *opaque), void *opaque);
/* Names drives with an interface that no board took: one error, false. */
bool drive_check_unclaimed(Error **err);
/* -blockdev OPTIONS (key=value or JSON) */
bool blockdev_add(const char *options, Error **err);
/* The same from QMP's blockdev-add (options given away). */
struct Json;
bool blockdev_add_json(struct Json *options, Error **err);
/* -snapshot: every drive added from now on gets a temporary overlay. */
void drive_set_snapshot(bool on);

#endif
