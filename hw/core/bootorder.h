/* SPDX-License-Identifier: MIT */
/*
 * The order in which firmware tries boot devices: property "bootindex" of devices, the lowest
 * first, told to the firmware as Open Firmware paths.  [bql]
 */
#ifndef HW_CORE_BOOTORDER_H
#define HW_CORE_BOOTORDER_H

#include "hw/core/device.h"

/* hw/core/device.c calls these for devices with a property bootindex of 0 or more.  false and
 * err: the index is taken. */
bool boot_order_add(int index, Device *dev, Error **err);
void boot_order_remove(Device *dev);
/* For what is no device; path is copied. */
bool boot_order_add_path(int index, const char *path, Error **err);
/* Paths, each ended by a newline, "HALT" at the end if strict; g_string_free. */
GString *boot_order_list(bool strict);

/* Open Firmware path of a device: "/pci@i0cf8/ide@1,1/drive@0". */
void device_fw_path(Device *dev, GString *out);

#endif
