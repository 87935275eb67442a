/* SPDX-License-Identifier: MIT */
/*
 * Registers in memory of PCI cards with a VGA: the first 4 KiB of BAR 2.
 *
 * Source: QEMU documentation, "QEMU Standard VGA".
 *
 *     000h EDID   400h ports 3C0h-3DFh   500h dispi registers   600h extended registers
 */
#ifndef HW_DISPLAY_VGA_MMIO_H
#define HW_DISPLAY_VGA_MMIO_H

#include "hw/display/edid.h"
#include "hw/display/vga.h"

#define VGA_MMIO_SIZE 0x1000

typedef struct VGAMmio {
    VGA *vga;
    uint8_t edid[EDID_SIZE];
    Region edid_io, ports_io, dispi_io, qext_io;
} VGAMmio;

/* Map them into a container of at least VGA_MMIO_SIZE.  edid: fill in m->edid before.  qext: the
 * frame buffer's byte order can be chosen. */
void vga_mmio_init(VGAMmio *m, VGA *vga, Region *container, bool edid, bool qext);
void vga_mmio_exit(VGAMmio *m);

#endif
