/* SPDX-License-Identifier: MIT */
/*
 * The packet commands' table and helpers, shared by atapi.c and mmc.c.  [bql]
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

/* A drive with more than a CD holds (80 minutes) has a DVD in it. */
#define CD_MAX_LBA   360000u

void atapi_error(IDEDrive *d, uint8_t key, uint8_t asc);
/* The reply is in d->buffer: len bytes, of which the host wants at most max. */
void atapi_reply(IDEDrive *d, uint32_t len, uint32_t max);
uint32_t atapi_total(const IDEDrive *d);        /* sectors of 2048 bytes on the disc */

/* mmc.c */
void mmc_inquiry(IDEDrive *d);
void mmc_get_configuration(IDEDrive *d);
void mmc_get_event_status(IDEDrive *d);
void mmc_mode_sense(IDEDrive *d);
void mmc_read_toc(IDEDrive *d);
void mmc_read_disc_info(IDEDrive *d);
void mmc_read_dvd_structure(IDEDrive *d);
void mmc_mechanism_status(IDEDrive *d);

#endif
