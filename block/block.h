/* SPDX-License-Identifier: MIT */
/*
 * Disks as devices see them.  A device holds a BlockBackend: a named slot with or without a
 * medium.  Requests are asynchronous: the functions return at once, work happens on pool
 * threads, and done(opaque, ret) is called in the main loop under the big lock (or inside
 * blk_drain; see also BlkDevOps.any_thread), never before the submitting call has returned.  ret
 * is 0 or -errno.
 *
 * All functions need the big lock unless they say otherwise.  Offsets and lengths are bytes,
 * at any alignment; a request that reaches past the end fails with -EIO, one on an empty slot
 * with -ENOMEDIUM, a write to a read-only medium with -EPERM.  Requests may run and complete
 * in any order; only blk_flush orders: it covers every write completed before it was submitted.
 */
#ifndef BLOCK_BLOCK_H
#define BLOCK_BLOCK_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>
#include "util/error.h"

typedef struct BlockBackend BlockBackend;
typedef struct BlkRequest BlkRequest;
typedef void BlkDone(void *opaque, int ret);

#define BLK_SECTOR 512u

/* ---- requests ----------------------------------------------------------------------- */

enum {
    BLK_FUA       = 1 << 0,   /* write: on stable storage before it completes */
    BLK_MAY_UNMAP = 1 << 1,   /* write_zeroes: may deallocate instead */
};

/* The iov array is copied; the memory it points at must stay until done.  The returned handle
 * is valid until done is called. */
BlkRequest *blk_read(BlockBackend *b, uint64_t offset, const struct iovec *iov, int niov,
                     BlkDone *done, void *opaque);
BlkRequest *blk_write(BlockBackend *b, uint64_t offset, const struct iovec *iov, int niov,
                      unsigned flags, BlkDone *done, void *opaque);
BlkRequest *blk_flush(BlockBackend *b, BlkDone *done, void *opaque);
BlkRequest *blk_discard(BlockBackend *b, uint64_t offset, uint64_t len, BlkDone *done,
                        void *opaque);
BlkRequest *blk_write_zeroes(BlockBackend *b, uint64_t offset, uint64_t len, unsigned flags,
                             BlkDone *done, void *opaque);

/* Read at once, if that takes no waiting (the host has it in memory, and it is not much) and
 * meets no error.  false: nothing happened that counts, use blk_read. */
bool blk_try_read(BlockBackend *b, uint64_t offset, const struct iovec *iov, int niov);

/* Around several submissions: what completes meanwhile is finished by blk_unplug, if its device does
 * not mind on which thread, and wakes nobody.  The lock is kept from one to the other; not nested. */
void blk_plug(void);
void blk_unplug(void);

/* Give up on a request: when this returns it is finished and its memory is no longer touched.
 * done is called (inside this call) with the result, or -ECANCELED if it had not begun. */
void blk_cancel(BlkRequest *r);
/* Wait for every request of b; their done callbacks run inside this call (and may submit
 * more, which are waited for too).  Usable from vCPU threads: keeps the big lock. */
void blk_drain(BlockBackend *b);
void blk_drain_all(void);
unsigned blk_in_flight(const BlockBackend *b);

/* Synchronous, for set-up code (firmware, boot sectors, geometry guesses) only.  0 or -errno. */
int blk_pread(BlockBackend *b, uint64_t offset, void *buf, size_t len);
int blk_pwrite(BlockBackend *b, uint64_t offset, const void *buf, size_t len);
int blk_flush_sync(BlockBackend *b);
int blk_flush_all(void);

/* ---- what is in the slot ------------------------------------------------------------ */

const char *blk_name(const BlockBackend *b);       /* "ide0-hd0", "drive0"; "" if it has none */
bool blk_inserted(const BlockBackend *b);          /* there is a medium and the tray is closed */
bool blk_has_medium(const BlockBackend *b);        /* ... whatever the tray */
bool blk_readonly(const BlockBackend *b);
/* Bytes, a multiple of BLK_SECTOR; 0 without a medium. */
uint64_t blk_length(BlockBackend *b);
/* What requests the medium likes and bears; all in bytes, 0 = no limit or no preference.
 * Nothing here is a duty of the caller: requests of any size and alignment are carried out. */
typedef struct BlkLimits {
    uint32_t logical_block;     /* smallest write that does not read first; 512 or 4096 */
    uint32_t physical_block;    /* of the host's disk; a power of two >= logical_block */
    uint32_t min_io, opt_io;    /* good granularity (a cluster of the format) */
    uint32_t discard_granularity;       /* smaller discards free nothing */
    uint64_t max_transfer;      /* of one read or write */
    uint64_t max_discard;       /* of one discard or write_zeroes */
    bool rotational;            /* a host's spinning disk below */
} BlkLimits;
void blk_limits(BlockBackend *b, BlkLimits *out);
/* The geometry BIOSes of large disks invent when nothing on the disk says otherwise: 16 heads,
 * 63 sectors, at most 16383 cylinders. */
void blk_geometry(BlockBackend *b, uint32_t *cylinders, uint32_t *heads, uint32_t *sectors);
/* Changes the length (monitor's block_resize) and tells the device (BlkDevOps.resized). */
bool blk_resize(BlockBackend *b, uint64_t length, Error **err);
bool blk_write_cache(const BlockBackend *b);       /* off: each write waits for the platter */
void blk_set_write_cache(BlockBackend *b, bool on);
bool blk_discard_enabled(const BlockBackend *b);   /* discard=unmap */
const char *blk_file_name(const BlockBackend *b);  /* "" without a medium */
const char *blk_format(const BlockBackend *b);     /* "raw", "qcow2"; "" without a medium */

/* ---- the device behind it ------------------------------------------------------------ */

typedef struct BlkDevOps {
    /* A medium went in (load) or is about to go away (!load).  NULL: not removable. */
    void (*media_changed)(void *opaque, bool load);
    /* The user asks for the medium (eject, device_eject without force): press the button. */
    void (*eject_request)(void *opaque, bool force);
    bool (*tray_open)(void *opaque);
    bool (*medium_locked)(void *opaque);
    void (*resized)(void *opaque);
    /* The VM runs again after an error stopped it: submit failed requests again. */
    void (*resume)(void *opaque);
    /* The device does not mind on which thread done is called (with the big lock): successful
     * requests then need not wait for the main loop. */
    bool any_thread;
    /* With any_thread: several done calls come in a row (begin), or came.  NULL: of one at a time. */
    void (*batch)(void *opaque, bool begin);
} BlkDevOps;

/* A slot serves one device; who names it in errors ("ide-cd 'cd0'"). */
bool blk_attach(BlockBackend *b, const char *who, const BlkDevOps *ops, void *opaque, Error **err);
void blk_detach(BlockBackend *b);
bool blk_removable(const BlockBackend *b);

/* The guest opens or closes the tray (sends the DEVICE_TRAY_MOVED event). */
void blk_eject(BlockBackend *b, bool open);
/* The guest locks the medium in. */
void blk_lock_medium(BlockBackend *b, bool locked);

/* From the monitor: `eject`, `change`.  Refused when locked and not forced. */
bool blk_user_eject(BlockBackend *b, bool force, Error **err);
bool blk_change_medium(BlockBackend *b, const char *file, const char *format, int readonly /* -1 keep */,
                       bool force, Error **err);

/* The same by steps: the tray opens (the medium stays in it) or closes; the medium goes and another
 * node takes its place, which wants the tray open if the device has one. */
bool blk_user_tray(BlockBackend *b, bool open, bool force, Error **err);
bool blk_remove_medium(BlockBackend *b, Error **err);
struct BlockNode;
bool blk_insert_medium(BlockBackend *b, struct BlockNode *n, Error **err);

/* ---- errors --------------------------------------------------------------------------- */

typedef enum { BLK_ON_ERROR_REPORT, BLK_ON_ERROR_IGNORE, BLK_ON_ERROR_ENOSPC, BLK_ON_ERROR_STOP,
               BLK_ON_ERROR_AUTO } BlkOnError;
typedef enum { BLK_ACTION_REPORT, BLK_ACTION_IGNORE, BLK_ACTION_STOP } BlkAction;

/* Names of BlkOnError, for enum properties: report, ignore, enospc, stop, auto. */
extern const char *const blk_on_error_names[];
/* AUTO leaves a policy as -drive said it. */
void blk_set_on_error(BlockBackend *b, BlkOnError read, BlkOnError write);
BlkOnError blk_on_error(const BlockBackend *b, bool is_read);

/* A request of the device failed with errnum (> 0): what to do by the drive's werror/rerror.
 * Announces BLOCK_IO_ERROR and stops the VM where the policy says so.
 *   REPORT  tell the guest        IGNORE  pretend success
 *   STOP    keep the request; BlkDevOps.resume says when to submit it again */
BlkAction blk_error(BlockBackend *b, bool is_read, int errnum);
/* The VM was resumed: clears the I/O status and calls each device's resume. */
void blk_resume_all(void);

/* What system/ does about block events; set once at start, each may be NULL. */
typedef struct BlkHooks {
    void (*io_error)(BlockBackend *b, bool is_read, BlkAction action, int errnum);
    void (*tray_moved)(BlockBackend *b, bool open);
    void (*vm_stop_io_error)(void);
    /* A node's image turned out to be broken and takes no more writes. */
    void (*image_corrupted)(struct BlockNode *n, const char *what, uint64_t offset, uint64_t size);
} BlkHooks;
extern BlkHooks blk_hooks;

/* ---- life, by name --------------------------------------------------------------------- */

/* By -drive id, or by -blockdev node-name (makes a slot around the node). */
BlockBackend *blk_find(const char *id);
/* By its own name only; NULL if there is none. */
BlockBackend *blk_find_named(const char *name);
/* A slot with no medium: a CD-ROM or floppy drive nobody named a file for. */
BlockBackend *blk_new_empty(const char *name);
void blk_foreach(void (*fn)(BlockBackend *b, void *opaque), void *opaque);
/* The device behind it was unplugged, not just left: a -drive goes with it, as does a slot around a
 * node that nobody named. */
void blk_auto_delete(BlockBackend *b);
/* Removes the slot: waits for its requests, detaches, closes its medium if nobody else has it. */
void blk_delete(BlockBackend *b);
/* Text of the monitor's `info block` / `info blockstats`. */
void blk_info(GString *out, bool verbose);
void blk_info_stats(GString *out);
/* Flush and close everything at exit. */
void block_close_all(void);

typedef struct BlkStats {
    uint64_t rd_bytes, wr_bytes, rd_ops, wr_ops, flush_ops, unmap_ops, unmap_bytes;
    uint64_t rd_ns, wr_ns, flush_ns, failed_rd, failed_wr, invalid_rd, invalid_wr;
    uint64_t wr_highest;                           /* bytes: end of the furthest write */
} BlkStats;
const BlkStats *blk_stats(const BlockBackend *b);
/* "ok", "failed", "nospace" */
const char *blk_io_status(const BlockBackend *b);

#endif
