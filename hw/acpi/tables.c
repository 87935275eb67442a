/* SPDX-License-Identifier: MIT */
/*
 * ACPI tables and the linker commands that make them position-independent.
 *
 * Source: QEMU's bios-linker-loader interface.  A command has 128 bytes:
 *
 *     1 allocate   4 file[56]  60 alignment  64 zone (1 anywhere, 2 below 1 MiB)
 *     2 pointer    4 in file[56]  60 to file[56]  116 offset  120 size
 *     3 checksum   4 file[56]  60 offset of the byte  64 start  68 length
 */
#include "hw/acpi/tables.h"
#include "util/bits.h"

#define COMMAND_SIZE    128
#define FILE_NAME       56
#define LOADER_UNIT     4096            /* the file grows in such steps */
#define HEADER_SIZE     36
#define CHECKSUM_AT     9

static void pad_copy(char *to, size_t n, const char *from)
{
    size_t len = strlen(from);

    memset(to, ' ', n);
    memcpy(to, from, MIN(len, n));
}

void acpi_tables_init(AcpiTables *t, const char *oem_id, const char *oem_table_id)
{
    *t = (AcpiTables) {
        .blob = g_byte_array_new(), .rsdp = g_byte_array_new(), .loader = g_byte_array_new(),
        .listed = g_array_new(FALSE, FALSE, sizeof(guint)),
    };
    pad_copy(t->oem_id, sizeof(t->oem_id), oem_id ? oem_id : "ORRERY");
    pad_copy(t->oem_table_id, sizeof(t->oem_table_id), oem_table_id ? oem_table_id : "ORRYPC");
}

void acpi_tables_free(AcpiTables *t)
{
    g_byte_array_unref(t->blob);
    g_byte_array_unref(t->rsdp);
    g_byte_array_unref(t->loader);
    g_array_unref(t->listed);
}

/* ---- linker commands ------------------------------------------------------------------ */

static uint8_t *new_command(AcpiTables *t, uint32_t op, const char *file)
{
    guint at = t->loader->len;
    uint8_t *c;

    g_byte_array_set_size(t->loader, at + COMMAND_SIZE);
    c = t->loader->data + at;
    memset(c, 0, COMMAND_SIZE);
    st32_le(c, op);
    g_strlcpy((char *)c + 4, file, FILE_NAME);
    return c;
}

static void allocate(AcpiTables *t, const char *file, uint32_t align, uint8_t zone)
{
    uint8_t *c = new_command(t, 1, file);

    st32_le(c + 60, align);
    c[64] = zone;
}

static void pointer(AcpiTables *t, const char *in, guint offset, const char *to)
{
    uint8_t *c = new_command(t, 2, in);

    g_strlcpy((char *)c + 60, to, FILE_NAME);
    st32_le(c + 116, offset);
    c[120] = 4;
}

static void checksum(AcpiTables *t, const char *file, guint at, guint start, guint len)
{
    uint8_t *c = new_command(t, 3, file);

    st32_le(c + 60, at);
    st32_le(c + 64, start);
    st32_le(c + 68, len);
}

/* ---- tables --------------------------------------------------------------------------- */

void acpi_put(AcpiTables *t, uint64_t v, unsigned bytes)
{
    uint8_t le[8];

    st64_le(le, v);
    g_byte_array_append(t->blob, le, bytes);
}

void acpi_put_pointer(AcpiTables *t, guint target)
{
    pointer(t, ACPI_TABLES_FILE, t->blob->len, ACPI_TABLES_FILE);
    acpi_put(t, target, 4);
}

static void align_blob(AcpiTables *t, guint unit)
{
    guint len = t->blob->len, to = (len + unit - 1) / unit * unit;

    g_byte_array_set_size(t->blob, to);
    memset(t->blob->data + len, 0, to - len);
}

guint acpi_begin(AcpiTables *t, const char *sig, uint8_t revision, bool listed)
{
    align_blob(t, 8);
    t->start = t->blob->len;
    g_byte_array_append(t->blob, (const uint8_t *)sig, 4);
    acpi_put(t, 0, 4);                  /* length */
    acpi_put(t, revision, 1);
    acpi_put(t, 0, 1);                  /* checksum: firmware's business */
    g_byte_array_append(t->blob, (const uint8_t *)t->oem_id, 6);
    g_byte_array_append(t->blob, (const uint8_t *)t->oem_table_id, 8);
    acpi_put(t, 1, 4);
    g_byte_array_append(t->blob, (const uint8_t *)"ORRY", 4);
    acpi_put(t, 1, 4);
    if (listed) {
        g_array_append_val(t->listed, t->start);
    }
    return t->start;
}

void acpi_end(AcpiTables *t)
{
    guint len = t->blob->len - t->start;

    st32_le(t->blob->data + t->start + 4, len);
    checksum(t, ACPI_TABLES_FILE, t->start + CHECKSUM_AT, t->start, len);
}

void acpi_add_raw(AcpiTables *t, const uint8_t *table, guint len)
{
    guint start;

    align_blob(t, 8);
    start = t->blob->len;
    g_array_append_val(t->listed, start);
    g_byte_array_append(t->blob, table, len);
    t->blob->data[start + CHECKSUM_AT] = 0;
    checksum(t, ACPI_TABLES_FILE, start + CHECKSUM_AT, start, len);
}

static void make_rsdp(AcpiTables *t, guint rsdt)
{
    uint8_t r[20] = "RSD PTR ";

    memcpy(r + 9, t->oem_id, 6);
    st32_le(r + 16, rsdt);
    g_byte_array_append(t->rsdp, r, sizeof(r));
    pointer(t, ACPI_RSDP_FILE, 16, ACPI_TABLES_FILE);
    checksum(t, ACPI_RSDP_FILE, 8, 0, sizeof(r));
}

void acpi_finish(AcpiTables *t, guint unit)
{
    guint rsdt = acpi_begin(t, "RSDT", 1, false), commands;
    GByteArray *rest;

    for (guint i = 0; i < t->listed->len; i++) {
        acpi_put_pointer(t, g_array_index(t->listed, guint, i));
    }
    acpi_end(t);
    make_rsdp(t, rsdt);
    align_blob(t, unit);

    /* memory must be there before anything points to it: those commands come first */
    rest = t->loader;
    t->loader = g_byte_array_new();
    allocate(t, ACPI_RSDP_FILE, 16, 2);
    allocate(t, ACPI_TABLES_FILE, 64, 1);
    g_byte_array_append(t->loader, rest->data, rest->len);
    g_byte_array_unref(rest);
    commands = t->loader->len;
    g_byte_array_set_size(t->loader, (commands + LOADER_UNIT - 1) / LOADER_UNIT * LOADER_UNIT);
    memset(t->loader->data + commands, 0, t->loader->len - commands);
}
