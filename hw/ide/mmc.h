/* SPDX-License-Identifier: MIT */
/*
 * A CD-ROM drive behind its interface: what ATAPI drives (hw/ide/atapi.c) and SCSI ones
 * (hw/scsi/scsi-cd.c) have in common.  [bql]
 */
#ifndef HW_IDE_MMC_H
#define HW_IDE_MMC_H

#include <stdbool.h>
#include <stdint.h>
#include "block/block.h"

#define MMC_BUFFER      4096u       /* room for any reply */
#define CD_SECTOR       2048u
#define CD_RAW_SECTOR   2352u
/* A drive with more than a CD holds (80 minutes) has a DVD in it. */
#define CD_MAX_LBA      360000u

typedef struct MMCDrive {
    BlockBackend *blk;
    const char *serial, *ver;       /* borrowed */
    uint64_t wwn;
    uint64_t sectors;               /* of 512 bytes; 0: no disc */
    uint8_t changed;                /* 2: say "no medium" once; 1: then "changed" */
    bool tray_open, tray_locked;
    bool event_new, event_eject;    /* for GET EVENT STATUS NOTIFICATION */
} MMCDrive;

/* What comes of a command: a reply of len bytes (of which the host wants max), 0: none; or a
 * sense key (not 0) with its additional code and qualifier (code << 8 | qualifier). */
typedef struct MMCResult {
    uint32_t len, max;
    uint8_t key;
    uint16_t asc;
} MMCResult;

typedef MMCResult MMCCommand(MMCDrive *m, const uint8_t *packet, uint8_t *out /* MMC_BUFFER */);

MMCCommand mmc_inquiry;             /* ATAPI's; pages of vital data for both */
MMCCommand mmc_vital_data;
MMCCommand mmc_read_capacity, mmc_get_configuration, mmc_get_event_status, mmc_mode_sense,
           mmc_read_toc, mmc_read_disc_info, mmc_read_dvd_structure, mmc_mechanism_status,
           mmc_start_stop, mmc_prevent_removal;

uint32_t mmc_total(const MMCDrive *m);          /* sectors of 2048 bytes on the disc */
/*
 * After a change of disc hosts that don't ask for events must see the disc go and come: the
 * first command finds no medium, the second hears that it may have changed.  key is 0 if there
 * is nothing to tell.
 */
MMCResult mmc_tell_change(MMCDrive *m);
/* BlkDevOps.media_changed and eject_request. */
void mmc_media_changed(MMCDrive *m, bool load);
void mmc_eject_request(MMCDrive *m, bool force);
void cd_lba_to_msf(uint8_t *msf, uint32_t lba);
/* Sector lba in full: sync, header, the 2048 bytes at data, error detection and correction.
 * data may lie in out. */
void cd_make_raw_sector(uint8_t *out /* 2352 */, const uint8_t *data, uint32_t lba);

#endif
