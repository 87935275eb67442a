/* SPDX-License-Identifier: MIT */
/*
 * What a PC's BIOS finds in the RAM of its clock: memory size, drives, equipment, boot order.
 *
 * Sources: IBM AT technical reference, "CMOS RAM"; the bytes above 30h as SeaBIOS and Bochs'
 * BIOS read them.
 *
 *     10h  floppy types             30h-31h  memory above 1 MiB in KiB, again
 *     12h  hard disk types          34h-35h  memory above 16 MiB in 64 KiB
 *     14h  equipment                38h      third boot device, floppy signature check off
 *     15h  base memory, KiB         39h      disk translation, 2 bits each
 *     17h  memory above 1 MiB, KiB  3Dh      second and first boot device
 *     19h  disk types above 14      5Bh-5Dh  memory above 4 GiB in 64 KiB
 *     1Bh  disk 0 geometry, 24h: disk 1      5Fh  CPUs beyond the first
 */
#include "hw/block/fdc.h"
#include "hw/i386/pc.h"
#include "hw/ide/ide.h"
#include "hw/timer/mc146818rtc.h"

#include <string.h>

/* Equipment byte */
#define EQUIP_FPU       0x02
#define EQUIP_PS2       0x04
#define EQUIP_FLOPPY    0x01
#define EQUIP_2_FLOPPIES 0x41

static void set_word(Device *rtc, unsigned at, uint16_t v)
{
    rtc_set_cmos(rtc, at, v);
    rtc_set_cmos(rtc, at + 1, v >> 8);
}

static void memory_size(PCMachine *pc)
{
    Device *rtc = pc->rtc;
    uint64_t kib = (pc->below_4g - (1 << 20)) >> 10;
    uint64_t above_16m = pc->below_4g > 16 << 20 ? (pc->below_4g - (16 << 20)) >> 16 : 0;
    uint64_t above_4g = pc->above_4g >> 16;

    set_word(rtc, 0x15, 640);
    set_word(rtc, 0x17, MIN(kib, 65535));
    set_word(rtc, 0x30, MIN(kib, 65535));
    set_word(rtc, 0x34, MIN(above_16m, 65535));
    set_word(rtc, 0x5b, above_4g);
    rtc_set_cmos(rtc, 0x5d, above_4g >> 16);
}

/* ---- boot order ---------------------------------------------------------------------- */

static int boot_nibble(char letter)
{
    switch (letter) {
    case 'a':
    case 'b': return 1;
    case 'c': return 2;
    case 'd': return 3;
    case 'n': return 4;
    default:  return 0;
    }
}

bool pc_boot_letters_ok(const char *letters, Error **err)
{
    if (strlen(letters) > 3) {
        return fail(err, "-boot order=%s: this board tries at most three kinds of device", letters);
    }
    for (const char *p = letters; *p; p++) {
        if (!boot_nibble(*p)) {
            return fail(err, "-boot order=%s: '%c' is not a boot device of this board (a, b: floppy, "
                        "c: disk, d: CD-ROM, n: network)", letters, *p);
        }
    }
    return true;
}

static void set_boot_order(PCMachine *pc, const char *letters)
{
    int nibble[3] = { 0 };

    for (int i = 0; i < 3 && letters[i]; i++) {
        nibble[i] = boot_nibble(letters[i]);
    }
    rtc_set_cmos(pc->rtc, 0x3d, nibble[1] << 4 | nibble[0]);
    rtc_set_cmos(pc->rtc, 0x38, nibble[2] << 4 | pc->m.no_fd_bootchk);
}

/* -boot once holds for the first boot: the first reset is the one that starts it. */
static void boot_order_reset(void *opaque)
{
    PCMachine *pc = opaque;
    const char *order = pc->m.boot_order ? pc->m.boot_order : "cad";

    if (pc->m.boot_once && !pc->once_done) {
        order = pc->m.boot_once;
        pc->once_done = true;
    }
    set_boot_order(pc, order);
}

bool pc_change_boot_order(Machine *m, const char *letters, Error **err)
{
    if (!pc_boot_letters_ok(letters, err)) {
        return false;
    }
    g_free(m->boot_order);
    m->boot_order = g_strdup(letters);
    set_boot_order((PCMachine *)m, letters);
    return true;
}

bool pc_cmos_init(PCMachine *pc, Error **err)
{
    const Machine *m = &pc->m;

    if ((m->boot_order && !pc_boot_letters_ok(m->boot_order, err))
        || (m->boot_once && !pc_boot_letters_ok(m->boot_once, err))) {
        return false;
    }
    memory_size(pc);
    rtc_set_cmos(pc->rtc, 0x5f, m->smp_cpus - 1);
    reset_register(boot_order_reset, pc);
    return true;
}

/* ---- drives -------------------------------------------------------------------------- */

static void floppies(PCMachine *pc)
{
    unsigned type[2] = { 0 }, count;

    for (unsigned i = 0; pc->fdc && i < 2; i++) {
        type[i] = fdc_cmos_type(pc->fdc, i);
    }
    rtc_set_cmos(pc->rtc, 0x10, type[0] << 4 | type[1]);
    count = !!type[0] + !!type[1];
    rtc_set_cmos(pc->rtc, 0x14, EQUIP_FPU | EQUIP_PS2
                 | (count == 2 ? EQUIP_2_FLOPPIES : count ? EQUIP_FLOPPY : 0));
}

/* Type 47: the geometry stands in CMOS itself. */
static void disk_geometry(PCMachine *pc, unsigned at, const IDEGeometry *g)
{
    set_word(pc->rtc, at, g->cylinders);
    rtc_set_cmos(pc->rtc, at + 2, g->heads);
    set_word(pc->rtc, at + 3, 0xffff);              /* no write precompensation */
    rtc_set_cmos(pc->rtc, at + 5, 0xc0 | (g->heads > 8) << 3);
    set_word(pc->rtc, at + 6, g->cylinders);        /* landing zone */
    rtc_set_cmos(pc->rtc, at + 8, g->sectors);
}

static void disks(PCMachine *pc)
{
    IDEGeometry g;
    uint8_t types = 0, translation = 0;

    for (unsigned unit = 0; pc->ide && unit < 4; unit++) {
        if (!ide_geometry(pc->ide, unit, &g)) {
            continue;
        }
        translation |= (g.bios_translation & 3) << (2 * unit);
        if (unit < 2) {
            types |= unit ? 0x0f : 0xf0;
            rtc_set_cmos(pc->rtc, unit ? 0x1a : 0x19, 47);
            disk_geometry(pc, unit ? 0x24 : 0x1b, &g);
        }
    }
    rtc_set_cmos(pc->rtc, 0x12, types);
    rtc_set_cmos(pc->rtc, 0x39, translation);
}

void pc_cmos_drives(PCMachine *pc)
{
    floppies(pc);
    disks(pc);
}
