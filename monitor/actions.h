/* SPDX-License-Identifier: MIT */
/*
 * Things both kinds of monitor do. [bql]
 */
#ifndef MONITOR_ACTIONS_H
#define MONITOR_ACTIONS_H

#include "accel/cpu.h"
#include "util/json.h"

/* An error unless the machine sleeps in S3. */
bool monitor_wakeup(Error **err);
/* Raise NMI at every CPU. */
bool monitor_inject_nmi(Error **err);
/* Write guest memory to a file: through a CPU's page tables, or (c NULL) physical addresses. */
bool monitor_save_memory(CPU *c, uint64_t addr, uint64_t len, const char *path, Error **err);
/* Read guest memory as a CPU sees it; false if an address is not mapped. */
bool monitor_read_virtual(CPU *c, uint64_t addr, void *buf, size_t len);
/* Screen n of a device (NULL: the first screen there is) to a file; format "ppm" or "png". */
bool monitor_screendump(const char *path, const char *device, unsigned head, const char *format,
                        Error **err);
/* Names for a QKeyCode chord, "ctrl-alt-delete" style keys separated by '-'. */
bool monitor_send_key_chord(const char *chord, unsigned hold_ms, Error **err);
/* device_add, device_del.  Once the guest has run, only on buses made for hot plugging; the guest
 * may take its time to let a device go (event DEVICE_DELETED).  opts is used up. */
struct Opts;
bool monitor_device_add(struct Opts *opts, Error **err);
bool monitor_device_del(const char *id, Error **err);
/* The medium of a drive by its slot's name or the id of the device that holds it. */
struct BlockBackend *monitor_find_drive(const char *device, const char *id, Error **err);
/* Id of the device a slot is in, or NULL. */
const char *monitor_drive_device(const struct BlockBackend *b);

#endif
