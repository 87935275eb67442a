/* SPDX-License-Identifier: MIT */
/*
 * The PC's ACPI tables: FADT, FACS, MADT, HPET, WAET, and those of -acpitable.
 *
 * Sources: ACPI Specification 6.3: FADT (5.2.9, revision 1 as ACPI 1.0 has it), FACS (5.2.10),
 * MADT (5.2.12); IA-PC HPET Specification 1.0a (3.2.4); Windows ACPI Emulated Devices Table.
 */
#include "hw/i386/acpi-pc.h"
#include "hw/acpi/piix4_pm.h"
#include "hw/intc/ioapic.h"
#include "hw/nvram/fw_cfg.h"
#include "hw/timer/hpet.h"
#include "target-i386/cpu.h"
#include "util/bits.h"
#include "util/opts.h"

#include <string.h>

#define BLOB_UNIT       0x8000          /* room to grow: the size the firmware saw must hold */
#define HEADER_SIZE     36

#define LAPIC_BASE      0xfee00000
#define IOAPIC_BASE     0xfec00000

static GPtrArray *user_tables;          /* of GByteArray*: -acpitable */

/* ---- the tables ------------------------------------------------------------------------ */

static guint make_facs(AcpiTables *t)
{
    guint at = t->blob->len;

    g_byte_array_append(t->blob, (const uint8_t *)"FACS", 4);
    acpi_put(t, 64, 4);
    for (int i = 8; i < 64; i++) {
        acpi_put(t, 0, 1);
    }
    return at;
}

static guint make_dsdt(PCMachine *pc, AcpiTables *t)
{
    guint at = acpi_begin(t, "DSDT", 1, false);

    pc_dsdt(pc, t->blob);
    acpi_end(t);
    return at;
}

/* WBINVD works (0), C1 (2), no sleep button (5), RTC wakes from S4 (7), use the platform's
 * clock for time (15); the power button is the fixed one */
#define FADT_FLAGS 0x80a5

static void make_fadt(PCMachine *pc, AcpiTables *t, guint facs, guint dsdt)
{
    unsigned base = pci_get_word(((PCIDevice *)pc->pm)->config + 0x40) & 0xffc0;

    base = base ? base : PIIX4_PM_BASE; /* firmware has not placed it yet */
    acpi_begin(t, "FACP", 1, true);
    acpi_put_pointer(t, facs);
    acpi_put_pointer(t, dsdt);
    acpi_put(t, 1, 1);                  /* 44: interrupt model APIC */
    acpi_put(t, 0, 1);
    acpi_put(t, PIIX4_SCI, 2);
    acpi_put(t, PIIX4_SMI_CMD, 4);
    acpi_put(t, PIIX4_ACPI_ON, 1);
    acpi_put(t, PIIX4_ACPI_OFF, 1);
    acpi_put(t, 0, 2);
    acpi_put(t, base, 4);               /* 56: PM1a events */
    acpi_put(t, 0, 4);
    acpi_put(t, base + 4, 4);           /* 64: PM1a control */
    acpi_put(t, 0, 8);
    acpi_put(t, base + 8, 4);           /* 76: PM timer */
    acpi_put(t, PIIX4_GPE_BASE, 4);
    acpi_put(t, 0, 4);
    acpi_put(t, 4, 1);                  /* 88: lengths of the blocks */
    acpi_put(t, 2, 1);
    acpi_put(t, 0, 1);
    acpi_put(t, 4, 1);
    acpi_put(t, PIIX4_GPE_LEN, 1);
    acpi_put(t, 0, 3);
    acpi_put(t, 0xfff, 2);              /* 96: no C2, no C3 */
    acpi_put(t, 0xfff, 2);
    acpi_put(t, 0, 8);
    acpi_put(t, 0x32, 1);               /* 108: century in CMOS */
    acpi_put(t, 0, 3);
    acpi_put(t, FADT_FLAGS, 4);
    acpi_end(t);
}

static void put_override(AcpiTables *t, unsigned irq, unsigned gsi, unsigned flags)
{
    acpi_put(t, 2, 1);
    acpi_put(t, 10, 1);
    acpi_put(t, 0, 1);
    acpi_put(t, irq, 1);
    acpi_put(t, gsi, 4);
    acpi_put(t, flags, 2);
}

static void make_madt(AcpiTables *t)
{
    static const unsigned level[] = { 5, PIIX4_SCI, 10, 11 };

    acpi_begin(t, "APIC", 1, true);
    acpi_put(t, LAPIC_BASE, 4);
    acpi_put(t, 1, 4);                  /* there is an 8259 pair too */
    for (guint n = 0; n < cpus->len; n++) {
        acpi_put(t, 0, 1);              /* local APIC: CPU, id, enabled */
        acpi_put(t, 8, 1);
        acpi_put(t, n, 1);
        acpi_put(t, x86_cpu(cpu_by_index(n))->apic_id, 1);
        acpi_put(t, 1, 4);
    }
    acpi_put(t, 1, 1);                  /* I/O APIC: id, address, first GSI */
    acpi_put(t, 12, 1);
    acpi_put(t, 0, 2);
    acpi_put(t, IOAPIC_BASE, 4);
    acpi_put(t, 0, 4);
    put_override(t, 0, 2, 0);
    for (size_t i = 0; i < G_N_ELEMENTS(level); i++) {
        put_override(t, level[i], level[i], 0x0d);      /* level, active high */
    }
    acpi_put(t, 4, 1);                  /* NMI comes to LINT1 of all CPUs */
    acpi_put(t, 6, 1);
    acpi_put(t, 0xff, 1);
    acpi_put(t, 0, 2);
    acpi_put(t, 1, 1);
    acpi_end(t);
}

static void make_hpet(AcpiTables *t)
{
    acpi_begin(t, "HPET", 1, true);
    acpi_put(t, 0x8086a201, 4);
    acpi_put(t, 0, 4);                  /* generic address: memory */
    acpi_put(t, HPET_BASE, 8);
    acpi_put(t, 0, 1);
    acpi_put(t, 0, 2);
    acpi_put(t, 0, 1);
    acpi_end(t);
}

/* Our PM timer needs no three reads to be sure. */
static void make_waet(AcpiTables *t)
{
    acpi_begin(t, "WAET", 1, true);
    acpi_put(t, 2, 4);
    acpi_end(t);
}

static void make_all(PCMachine *pc, AcpiTables *t)
{
    guint facs, dsdt;

    acpi_tables_init(t, pc->oem_id, pc->oem_table_id);
    facs = make_facs(t);                /* first: it wants an address divisible by 64 */
    dsdt = make_dsdt(pc, t);
    make_fadt(pc, t, facs, dsdt);
    if (pc->apic) {
        make_madt(t);
    }
    if (pc->hpet) {
        make_hpet(t);
    }
    make_waet(t);
    for (guint i = 0; user_tables && i < user_tables->len; i++) {
        GByteArray *u = g_ptr_array_index(user_tables, i);
        acpi_add_raw(t, u->data, u->len);
    }
    acpi_finish(t, BLOB_UNIT);
}

/* ---- -acpitable ------------------------------------------------------------------------- */

static bool read_files(const char *paths, GByteArray *out, Error **err)
{
    g_auto(GStrv) list = g_strsplit(paths, ":", 0);

    for (char **p = list; *p; p++) {
        g_autofree char *data = NULL;
        gsize len;
        GError *e = NULL;
        if (!g_file_get_contents(*p, &data, &len, &e)) {
            fail(err, "-acpitable: %s", e->message);
            g_error_free(e);
            return false;
        }
        g_byte_array_append(out, (const uint8_t *)data, len);
    }
    return true;
}

static bool set_text(Opts *o, const char *key, uint8_t *at, size_t len, Error **err)
{
    const char *v = opts_get(o, key);

    if (v && strlen(v) > len) {
        return fail(err, "-acpitable: %s=%s has more than %zu characters", key, v, len);
    }
    if (v) {
        memset(at, 0, len);
        memcpy(at, v, strlen(v));
    }
    return true;
}

static bool set_number(Opts *o, const char *key, uint8_t *at, unsigned bytes, Error **err)
{
    uint64_t v;

    if (!opts_has(o, key)) {
        return true;
    }
    if (!opts_uint(o, key, 0, 0, bytes == 1 ? 0xff : 0xffffffff, &v, err)) {
        return false;
    }
    if (bytes == 1) {
        *at = v;
    } else {
        st32_le(at, v);
    }
    return true;
}

/* file=: whole tables, of which options change the header; data=: what follows a header. */
static bool user_table(Opts *o, GByteArray *out, Error **err)
{
    static const uint8_t blank[HEADER_SIZE] = "QEMU\0\0\0\0\1\0QEMUQEQEMUQEMU\1\0\0\0QEMU\1\0\0";
    const char *file = opts_get(o, "file"), *data = opts_get(o, "data");

    if (!file == !data) {
        return fail(err, "-acpitable: one of file= and data= is needed");
    }
    if (data) {
        g_byte_array_append(out, blank, HEADER_SIZE);
    }
    if (!read_files(data ? data : file, out, err)) {
        return false;
    }
    if (out->len < HEADER_SIZE || out->len > 0xffff) {
        return fail(err, "-acpitable: a table of %u bytes, 36 to 65535 are possible", out->len);
    }
    uint8_t *h = out->data;
    st32_le(h + 4, out->len);
    return set_text(o, "sig", h, 4, err) && set_number(o, "rev", h + 8, 1, err)
           && set_text(o, "oem_id", h + 10, 6, err)
           && set_text(o, "oem_table_id", h + 16, 8, err)
           && set_number(o, "oem_rev", h + 24, 4, err)
           && set_text(o, "asl_compiler_id", h + 28, 4, err)
           && set_number(o, "asl_compiler_rev", h + 32, 4, err) && opts_check_unused(o, err);
}

static bool read_user_tables(PCMachine *pc, Error **err)
{
    const GPtrArray *list = pc->m.acpitables;

    for (guint i = 0; list && i < list->len; i++) {
        GByteArray *t = g_byte_array_new();
        if (!user_tables) {
            user_tables = g_ptr_array_new();
        }
        g_ptr_array_add(user_tables, t);
        if (!user_table(g_ptr_array_index(list, i), t, err)) {
            return false;
        }
    }
    return true;
}

/* ---- for the firmware ------------------------------------------------------------------- */

static bool publish(PCMachine *pc, Error **err)
{
    AcpiTables t;
    bool ok;

    make_all(pc, &t);
    ok = fw_cfg_add_file(pc->fw_cfg, ACPI_TABLES_FILE, t.blob->data, t.blob->len, err)
         && fw_cfg_add_file(pc->fw_cfg, ACPI_RSDP_FILE, t.rsdp->data, t.rsdp->len, err)
         && fw_cfg_add_file(pc->fw_cfg, ACPI_LOADER_FILE, t.loader->data, t.loader->len, err);
    acpi_tables_free(&t);
    return ok;
}

static void remake(void *opaque)
{
    publish(opaque, NULL);              /* replaces files: nothing can go wrong */
}

static bool check_id(const char *prop, const char *id, size_t max, Error **err)
{
    return !id || strlen(id) <= max
           || fail(err, "-machine %s=%s: at most %zu characters", prop, id, max);
}

bool pc_acpi_init(PCMachine *pc, Error **err)
{
    if (!pc->acpi) {
        return !pc->m.acpitables || !pc->m.acpitables->len
               || fail(err, "-acpitable: this machine is made without ACPI");
    }
    if (!check_id("x-oem-id", pc->oem_id, 6, err)
        || !check_id("x-oem-table-id", pc->oem_table_id, 8, err)
        || !read_user_tables(pc, err) || !publish(pc, err)) {
        return false;
    }
    fw_cfg_on_select(pc->fw_cfg, ACPI_LOADER_FILE, remake, pc);
    fw_cfg_on_select(pc->fw_cfg, ACPI_TABLES_FILE, remake, pc);
    fw_cfg_on_select(pc->fw_cfg, ACPI_RSDP_FILE, remake, pc);
    return true;
}
