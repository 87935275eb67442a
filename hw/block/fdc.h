/* SPDX-License-Identifier: MIT */
/*
 * The floppy disk controller "isa-fdc" (82078), with "floppy" drives on its bus.
 */
#ifndef HW_BLOCK_FDC_H
#define HW_BLOCK_FDC_H

#include "hw/core/device.h"

struct BlockBackend;

/* Plug a drive in as unit 0 or 1; blk NULL = an empty drive. */
void fdc_plug_drive(Device *fdc, unsigned unit, struct BlockBackend *blk);
/* CMOS type of drive 0 or 1 (byte 10h): 0 none, 2 = 1.2M, 4 = 1.44M, 5 = 2.88M. */
unsigned fdc_cmos_type(Device *fdc, unsigned unit);

#endif
