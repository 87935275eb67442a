/* SPDX-License-Identifier: MIT */
/*
 * A set of ACPI tables for firmware to place: one blob with all tables, and the list of
 * commands (fw_cfg file etc/table-loader) by which firmware allocates memory, adds its address
 * to pointers, and completes checksums.
 *
 * Source: QEMU's bios-linker-loader interface; ACPI Specification 6.3, 5.2 (tables).
 */
#ifndef HW_ACPI_TABLES_H
#define HW_ACPI_TABLES_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#define ACPI_TABLES_FILE  "etc/acpi/tables"
#define ACPI_RSDP_FILE    "etc/acpi/rsdp"
#define ACPI_LOADER_FILE  "etc/table-loader"

typedef struct AcpiTables {
    GByteArray *blob, *rsdp, *loader;
    char oem_id[6], oem_table_id[8];    /* filled with spaces */
    guint start;                        /* of the table being written */
    GArray *listed;                     /* of guint: offsets of tables for the RSDT */
} AcpiTables;

/* NULL: the default ids. */
void acpi_tables_init(AcpiTables *t, const char *oem_id, const char *oem_table_id);
void acpi_tables_free(AcpiTables *t);

/* Header of a new table; bytes are then appended to t->blob.  listed: the RSDT names it.
 * Returns its offset. */
guint acpi_begin(AcpiTables *t, const char *sig, uint8_t revision, bool listed);
void acpi_end(AcpiTables *t);
/* A finished table with its own header (-acpitable). */
void acpi_add_raw(AcpiTables *t, const uint8_t *table, guint len);
/* RSDT and RSDP over everything listed; then the blob is padded to a multiple of unit. */
void acpi_finish(AcpiTables *t, guint unit);

void acpi_put(AcpiTables *t, uint64_t v, unsigned bytes);
/* 4 bytes that shall hold the address of the blob's byte `target`. */
void acpi_put_pointer(AcpiTables *t, guint target);

#endif
