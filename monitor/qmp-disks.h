/* SPDX-License-Identifier: MIT */
/*
 * What the files about disks of the machine protocol share. [bql]
 */
#ifndef MONITOR_QMP_DISKS_H
#define MONITOR_QMP_DISKS_H

#include "block/jobs.h"

/* A node by its name, or the medium of a drive. */
BlockNode *monitor_find_node(const char *device, Error **err);
BlockNode *monitor_node_by_name(const char *name, Error **err);
/* blockdev-backup, or (file) drive-backup, made and not started. */
Job *monitor_backup(const Json *args, bool file, Error **err);

/* blockdev-snapshot-sync: the overlay, opened and without backing node (a reference); *below is
 * what it goes over. */
BlockNode *monitor_make_overlay(const Json *args, BlockNode **below, Error **err);
/* An internal snapshot of the drive. */
bool monitor_snapshot_internal(const Json *args, Error **err);
bool monitor_snapshot_delete(const Json *args, Error **err);

#endif
