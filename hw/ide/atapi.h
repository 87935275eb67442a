/* SPDX-License-Identifier: MIT */
/*
 * The packet commands' table and helpers, for atapi.c.  [bql]
 */
#ifndef HW_IDE_ATAPI_H
#define HW_IDE_ATAPI_H

#include "hw/ide/internal.h"

/* Sense keys */
enum { SENSE_NONE = 0, SENSE_NOT_READY = 2, SENSE_MEDIUM_ERROR = 3, SENSE_ILLEGAL_REQUEST = 5,
       SENSE_UNIT_ATTENTION = 6 };
/* Additional sense codes */
enum { ASC_READ_ERROR = 0x11, ASC_ILLEGAL_OPCODE = 0x20, ASC_LBA_OUT_OF_RANGE = 0x21,
       ASC_INVALID_FIELD = 0x24, ASC_MEDIUM_CHANGED = 0x28, ASC_INCOMPATIBLE_FORMAT = 0x30,
       ASC_SAVING_NOT_SUPPORTED = 0x39, ASC_NO_MEDIUM = 0x3a, ASC_REMOVAL_PREVENTED = 0x53 };

void atapi_error(IDEDrive *d, uint8_t key, uint8_t asc);

#endif
