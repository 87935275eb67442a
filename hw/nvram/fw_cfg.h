/* SPDX-License-Identifier: MIT */
/*
 * fw_cfg: how the emulator hands data to firmware - numbered items and named files, read (some
 * written) through two ports or by DMA.  Device "fw_cfg_io".
 *
 * Source: QEMU documentation, "QEMU Firmware Configuration (fw_cfg) Device".  All [bql].
 */
#ifndef HW_NVRAM_FW_CFG_H
#define HW_NVRAM_FW_CFG_H

#include "hw/core/device.h"

/* Selectors */
#define FW_CFG_SIGNATURE      0x00
#define FW_CFG_ID             0x01
#define FW_CFG_UUID           0x02
#define FW_CFG_RAM_SIZE       0x03
#define FW_CFG_NOGRAPHIC      0x04
#define FW_CFG_NB_CPUS        0x05
#define FW_CFG_KERNEL_ADDR    0x07
#define FW_CFG_KERNEL_SIZE    0x08
#define FW_CFG_INITRD_ADDR    0x0a
#define FW_CFG_INITRD_SIZE    0x0b
#define FW_CFG_NUMA           0x0d
#define FW_CFG_BOOT_MENU      0x0e
#define FW_CFG_MAX_CPUS       0x0f
#define FW_CFG_KERNEL_ENTRY   0x10
#define FW_CFG_KERNEL_DATA    0x11
#define FW_CFG_INITRD_DATA    0x12
#define FW_CFG_CMDLINE_ADDR   0x13
#define FW_CFG_CMDLINE_SIZE   0x14
#define FW_CFG_CMDLINE_DATA   0x15
#define FW_CFG_SETUP_ADDR     0x16
#define FW_CFG_SETUP_SIZE     0x17
#define FW_CFG_SETUP_DATA     0x18
#define FW_CFG_FILE_DIR       0x19
#define FW_CFG_FILE_FIRST     0x20
#define FW_CFG_FILE_SLOTS     0x20
#define FW_CFG_ARCH_LOCAL     0x8000
#define FW_CFG_IRQ0_OVERRIDE  (FW_CFG_ARCH_LOCAL + 2)
#define FW_CFG_HPET           (FW_CFG_ARCH_LOCAL + 4)

#define FW_CFG_MAX_NAME 56

/* Create and realize at ports 510h-51Bh. */
Device *fw_cfg_create(void);
Device *fw_cfg_device(void);            /* the machine's, NULL if it has none */

/* Numbered items; the bytes are copied.  An item that exists is replaced. */
void fw_cfg_set(Device *fw, uint16_t key, const void *data, size_t len);
void fw_cfg_set_u16(Device *fw, uint16_t key, uint16_t v);     /* little-endian, as all */
void fw_cfg_set_u32(Device *fw, uint16_t key, uint32_t v);
void fw_cfg_set_u64(Device *fw, uint16_t key, uint64_t v);
/* Keeps a reference instead of a copy: kernels and ramdisks. */
void fw_cfg_set_bytes(Device *fw, uint16_t key, GBytes *data);

/* Files.  false and err: name too long, or no slot left.  A file that exists is replaced. */
bool fw_cfg_add_file(Device *fw, const char *name, const void *data, size_t len, Error **err);
bool fw_cfg_add_file_bytes(Device *fw, const char *name, GBytes *data, Error **err);
bool fw_cfg_has_file(Device *fw, const char *name);
/* Before each reading of the file from its start, fn may replace its content. */
void fw_cfg_on_select(Device *fw, const char *name, void (*fn)(void *opaque), void *opaque);
/* The guest may write it (by DMA); fn hears of each write. */
void fw_cfg_make_writable(Device *fw, const char *name, void (*fn)(void *opaque), void *opaque);
/* Current content; borrowed. */
const void *fw_cfg_file(Device *fw, const char *name, size_t *len);

#endif
