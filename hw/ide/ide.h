/* SPDX-License-Identifier: MIT */
/*
 * IDE as boards see it: the controller "piix3-ide" is a PCI function with two buses of type
 * "IDE" ("ide.0", "ide.1"), two units each; drives are the devices "ide-hd" and "ide-cd".
 */
#ifndef HW_IDE_IDE_H
#define HW_IDE_IDE_H

#include "hw/core/device.h"

struct BlockBackend;

/* Plug the drive in as unit 0..3 (bus = unit / 2): "ide-cd" if cdrom, else "ide-hd". */
void ide_plug_drive(Device *controller, unsigned unit, struct BlockBackend *blk, bool cdrom);

typedef struct IDEGeometry {
    unsigned cylinders, heads, sectors;
    unsigned bios_translation;          /* 0 none, 1 LBA, 2 large; as CMOS byte 39h wants it */
} IDEGeometry;
/* Geometry of the hard disk at unit 0..3, for the board's CMOS bytes; false: none there. */
bool ide_geometry(Device *controller, unsigned unit, IDEGeometry *out);

#endif
