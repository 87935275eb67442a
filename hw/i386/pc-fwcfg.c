/* SPDX-License-Identifier: MIT */
/*
 * What the PC's firmware finds in fw_cfg, beside tables (hw/acpi) and kernels (loader-*.c).
 *
 * Sources: QEMU documentation of fw_cfg; the file names that SeaBIOS (docs/Runtime_config) and
 * OVMF read.
 */
#include "hw/acpi/piix4_pm.h"
#include "hw/core/bootorder.h"
#include "hw/i386/acpi-pc.h"
#include "hw/i386/pc.h"
#include "hw/nvram/fw_cfg.h"
#include "hw/smbios/smbios.h"
#include "hw/timer/hpet.h"
#include "target-i386/cpu.h"
#include "target-i386/cpuid.h"
#include "util/bits.h"

#include <string.h>

#define HPET_ID 0x8086a201u             /* its capability register's low half, as QEMU's */

/* The legacy items: numbers instead of names. */
static void set_items(PCMachine *pc)
{
    const Machine *m = &pc->m;
    Device *fw = pc->fw_cfg;
    uint64_t numa[1 + 1] = { 0 };

    fw_cfg_set(fw, FW_CFG_UUID, m->uuid, sizeof(m->uuid));
    fw_cfg_set_u64(fw, FW_CFG_RAM_SIZE, m->ram_size);
    fw_cfg_set_u16(fw, FW_CFG_NOGRAPHIC, !m->graphics);
    fw_cfg_set_u16(fw, FW_CFG_NB_CPUS, m->smp_cpus);
    fw_cfg_set_u16(fw, FW_CFG_MAX_CPUS, m->smp_max);
    fw_cfg_set_u16(fw, FW_CFG_BOOT_MENU, m->boot_menu);
    fw_cfg_set(fw, FW_CFG_NUMA, numa, sizeof(numa));
    fw_cfg_set_u32(fw, FW_CFG_IRQ0_OVERRIDE, 1);
}

static void set_hpet(PCMachine *pc)
{
    uint8_t e[1 + 8 * 15] = { 0 };

    if (pc->hpet) {
        e[0] = 1;                       /* entries; the first follows: id, address, tick, protection */
        st32_le(e + 1, HPET_ID);
        st64_le(e + 5, HPET_BASE);
    }
    fw_cfg_set(pc->fw_cfg, FW_CFG_HPET, e, sizeof(e));
}

static bool set_e820(PCMachine *pc, Error **err)
{
    E820Entry rows[8];
    unsigned n = pc_e820(pc, rows, G_N_ELEMENTS(rows));
    uint8_t table[8 * 20];

    for (unsigned i = 0; i < n; i++) {
        st64_le(table + 20 * i, rows[i].start);
        st64_le(table + 20 * i + 8, rows[i].length);
        st32_le(table + 20 * i + 16, rows[i].type);
    }
    return fw_cfg_add_file(pc->fw_cfg, "etc/e820", table, 20 * n, err);
}

/* Which sleep states there are (bit 7 of each), and their SLP_TYP. */
static bool set_system_states(PCMachine *pc, Error **err)
{
    uint8_t states[6] = { 0x80, 0, 0, 0x01, 0, 0x80 };

    if (!pc->pm) {
        return true;
    }
    states[3] |= piix4_pm_s3(pc->pm) ? 0x80 : 0;
    states[4] = piix4_pm_s4_type(pc->pm) | (piix4_pm_s4(pc->pm) ? 0x80 : 0);
    return fw_cfg_add_file(pc->fw_cfg, "etc/system-states", states, sizeof(states), err);
}

/* ---- -boot --------------------------------------------------------------------------- */

/* A picture for the boot menu: BMP or JPEG, told apart by its first bytes. */
static bool set_splash(PCMachine *pc, Error **err)
{
    const char *name = pc->m.boot_splash;
    g_autofree char *path = firmware_find(name), *data = NULL;
    gsize len;
    bool jpeg;

    if (!path || !g_file_get_contents(path, &data, &len, NULL)) {
        return fail(err, "-boot splash=%s: can't read it", name);
    }
    jpeg = len > 2 && !memcmp(data, "\xff\xd8", 2);
    if (!jpeg && !(len > 30 && !memcmp(data, "BM", 2) && ld16_le(data + 28) == 24)) {
        return fail(err, "-boot splash=%s: neither a JPEG nor a BMP with 24 bits a pixel", name);
    }
    return fw_cfg_add_file(pc->fw_cfg, jpeg ? "bootsplash.jpg" : "bootsplash.bmp", data, len, err);
}

static bool set_boot(PCMachine *pc, Error **err)
{
    const Machine *m = &pc->m;
    uint8_t le[4];

    if (m->boot_splash_time >= 0) {
        st16_le(le, m->boot_splash_time);
        if (!fw_cfg_add_file(pc->fw_cfg, "etc/boot-menu-wait", le, 2, err)) {
            return false;
        }
    }
    st32_le(le, m->boot_reboot_timeout);
    return fw_cfg_add_file(pc->fw_cfg, "etc/boot-fail-wait", le, 4, err)
           && (!m->boot_splash || set_splash(pc, err));
}

static bool add_user_files(PCMachine *pc, Error **err)
{
    const GPtrArray *files = pc->m.files;

    for (guint i = 0; files && i < files->len; i++) {
        const MachineFile *f = g_ptr_array_index(files, i);
        if (fw_cfg_has_file(pc->fw_cfg, f->name)) {
            return fail(err, "-fw_cfg: file '%s' exists already", f->name);
        }
        if (!fw_cfg_add_file_bytes(pc->fw_cfg, f->name, f->data, err)) {
            return false;
        }
    }
    return true;
}

static bool set_smbios(PCMachine *pc, Error **err)
{
    const Machine *m = &pc->m;
    const X86CPU *c = x86_cpu(cpu_by_index(0));
    uint32_t id[4];
    x86_cpuid(c, 1, 0, id);
    SmbiosMachine what = {
        .product = m->type->desc, .version = m->type->name, .uuid = m->uuid_set ? m->uuid : NULL,
        .below_4g = pc->below_4g, .above_4g = pc->above_4g, .sockets = m->smp_sockets,
        .cores = m->smp_cores, .threads = m->smp_threads, .cpu_signature = id[0],
        .cpu_features = id[3], .cpu_name = m->type->name, .entry64 = pc->smbios_entry_point,
    };
    SmbiosTables t;

    if (!smbios_build(&what, m->smbios, &t, err)) {
        return false;
    }
    bool ok = fw_cfg_add_file(pc->fw_cfg, "etc/smbios/smbios-tables", t.tables->data,
                              t.tables->len, err)
              && fw_cfg_add_file(pc->fw_cfg, "etc/smbios/smbios-anchor", t.anchor->data,
                                 t.anchor->len, err);
    g_byte_array_unref(t.tables);
    g_byte_array_unref(t.anchor);
    return ok;
}

bool pc_fw_cfg_init(PCMachine *pc, Error **err)
{
    pc->fw_cfg = fw_cfg_create();
    set_items(pc);
    return true;
}

static bool set_boot_order(PCMachine *pc, Error **err)
{
    g_autoptr(GString) list = boot_order_list(pc->m.boot_strict);
    bool any = list->len;

    /* the NUL counts */
    return fw_cfg_add_file(pc->fw_cfg, "bootorder", list->str, any ? list->len + 1 : 0, err);
}

bool pc_fw_cfg_ready(PCMachine *pc, Error **err)
{
    set_hpet(pc);
    return pc_acpi_init(pc, err) && set_smbios(pc, err) && set_boot_order(pc, err)
           && set_e820(pc, err) && set_system_states(pc, err) && set_boot(pc, err)
           && add_user_files(pc, err);
}
