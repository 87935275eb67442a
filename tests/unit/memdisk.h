/* SPDX-License-Identifier: MIT */
/*
 * A disk in memory ("mem", a protocol driver) that remembers what was written in which order, and
 * fails when told to: for tests of what a power cut or an error leaves of an image.
 */
#ifndef TESTS_UNIT_MEMDISK_H
#define TESTS_UNIT_MEMDISK_H

#include "block/node.h"

typedef struct MemLogEntry {
    uint64_t off;
    uint32_t len;                       /* 0: a barrier */
    uint8_t *data;
} MemLogEntry;

typedef struct MemDisk {
    GByteArray *bytes;
    GArray *log;                        /* of MemLogEntry, NULL: not kept */
    int fail_in, fail_errno;            /* the nth change from now fails; < 0 never */
    bool fail_on;                       /* and all after it */
    bool failed;                        /* one did */
    GMutex lock;
} MemDisk;
extern MemDisk mem;

/* Another content; no failures, and no log from now on. */
void memdisk_set(const uint8_t *data, size_t len);
void memdisk_start_log(void);
void memdisk_clear_log(void);
/* An image of this format, its file being the disk. */
BlockNode *memdisk_open(const char *format, bool read_only, bool check, Error **err);
/* The node goes as in a power cut: what it still wants to write is lost.  The log stays. */
void memdisk_drop(BlockNode *n);
/* What the disk holds if the power went when `cut` entries of the log had been handed over, and it
 * held start before them: everything before the last barrier, of the rest any sectors. */
void memdisk_cut(const uint8_t *start, size_t len, guint cut);

#endif
