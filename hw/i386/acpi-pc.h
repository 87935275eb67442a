/* SPDX-License-Identifier: MIT */
/*
 * The ACPI tables of the PC, as fw_cfg files for the firmware.
 */
#ifndef HW_I386_ACPI_PC_H
#define HW_I386_ACPI_PC_H

#include "hw/acpi/tables.h"
#include "hw/i386/pc.h"

/* Add the files; each time the firmware selects them they are made anew, because only by then
 * it has given the devices their addresses.  Also reads -acpitable. */
bool pc_acpi_init(PCMachine *pc, Error **err);

/* The DSDT's body (dsdt-pc.c). */
void pc_dsdt(PCMachine *pc, GByteArray *out);

/* PCI interrupt links may be routed to these. */
#define PC_PIRQ_LINES { 5, 10, 11 }

#endif
