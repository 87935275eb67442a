/* SPDX-License-Identifier: MIT */
/*
 * The devices "ide-hd" and "ide-cd": properties, checks of the medium, reset, saved state.
 */
#include "hw/ide/internal.h"
#include "util/bits.h"
#include <ctype.h>

/* Drives without a serial number of their own are numbered in order of creation. */
static unsigned next_serial = 1;

/* ---- checks ---------------------------------------------------------------------------- */

static bool check_block_sizes(IDEDrive *d, Error **err)
{
    uint32_t log = d->logical_block_size, phys = d->physical_block_size;

    if (log != 512) {
        return fail(err, "%s: logical_block_size=%u: an IDE disk's sectors have 512 bytes",
                    d->dev.type->name, log);
    }
    if (!is_pow2(phys) || phys < 512 || phys > 2 * 1024 * 1024) {
        return fail(err, "%s: physical_block_size=%u: use a power of two from 512 to 2097152",
                    d->dev.type->name, phys);
    }
    return true;
}

static bool check_geometry(IDEDrive *d, Error **err)
{
    if (!d->cyls_prop && !d->heads_prop && !d->secs_prop) {
        return true;
    }
    if (d->cyls_prop < 1 || d->cyls_prop > 65535 || d->heads_prop < 1 || d->heads_prop > 16
        || d->secs_prop < 1 || d->secs_prop > 255) {
        return fail(err, "%s: cyls=%u,heads=%u,secs=%u: use 1 to 65535, 1 to 16, 1 to 255",
                    d->dev.type->name, d->cyls_prop, d->heads_prop, d->secs_prop);
    }
    return true;
}

static bool check_text(const IDEDrive *d, const char *prop, const char *val, size_t max, Error **err)
{
    if (val && strlen(val) > max) {
        return fail(err, "%s: %s=%s: at most %zu characters", d->dev.type->name, prop, val, max);
    }
    return true;
}

static void default_texts(IDEDrive *d)
{
    if (d->serial && *d->serial) {
        g_strlcpy(d->serial_text, d->serial, sizeof(d->serial_text));
    } else {
        g_snprintf(d->serial_text, sizeof(d->serial_text), "QM%05u", next_serial);
    }
    next_serial++;
    if (!d->ver) {
        d->ver = g_strdup("2.5+");
    }
    if (!d->model) {
        d->model = g_strdup(d->is_cd ? "QEMU DVD-ROM" : "QEMU HARDDISK");
    }
}

static void plugged(IDEDrive *d, bool in)
{
    if (d->bus->dma && d->bus->dma->plugged) {
        d->bus->dma->plugged(d->bus->dma_opaque, in);
    }
}

static bool ide_realize(IDEDrive *d, Error **err)
{
    Device *dev = &d->dev;

    if (!d->blk) {
        return fail(err, "%s: drive= is needed", dev->type->name);
    }
    if (!check_block_sizes(d, err) || !check_geometry(d, err)
        || !check_text(d, "serial", d->serial, 20, err) || !check_text(d, "ver", d->ver, 8, err)
        || !check_text(d, "model", d->model, 40, err)) {
        return false;
    }
    if (!blk_attach(d->blk, dev->type->name, d->is_cd ? &atapi_block_ops : &ide_block_ops, d, err)) {
        return false;
    }
    blk_set_on_error(d->blk, d->rerror, d->werror);
    d->sectors = blk_length(d->blk) / 512;
    d->cd.blk = d->blk;
    d->cd.sectors = d->sectors;
    d->buffer = g_malloc0(IDE_BUFFER);
    d->default_cache = blk_write_cache(d->blk);
    default_texts(d);
    d->cd.serial = d->serial_text;
    d->cd.ver = d->ver;
    d->cd.wwn = d->wwn;
    plugged(d, true);
    return true;
}

static bool hd_realize(Device *dev, Error **err)
{
    IDEDrive *d = (IDEDrive *)dev;

    if (d->blk && !blk_has_medium(d->blk)) {
        return fail(err, "ide-hd: drive '%s' is empty, a disk needs a medium", blk_name(d->blk));
    }
    if (d->blk && blk_readonly(d->blk)) {
        return fail(err, "ide-hd: drive '%s' is read-only, an IDE disk can't be",
                    blk_name(d->blk));
    }
    if (d->blk && blk_length(d->blk) < 512) {
        return fail(err, "ide-hd: drive '%s' has no whole sector", blk_name(d->blk));
    }
    if (!ide_realize(d, err)) {
        return false;
    }
    ide_guess_geometry(d);
    if (d->translation_prop) {
        d->native.bios_translation = d->translation_prop - 1;
    }
    return true;
}

static bool cd_realize(Device *dev, Error **err)
{
    IDEDrive *d = (IDEDrive *)dev;

    if (!d->blk) {
        /* a drive nobody named a medium for */
        d->blk = blk_new_empty("");
        d->own_blk = true;
    }
    d->is_cd = true;
    d->native = (IDEGeometry) { .heads = 1, .sectors = 1 };
    return ide_realize(d, err);
}

static void ide_unrealize(Device *dev)
{
    IDEDrive *d = (IDEDrive *)dev;

    plugged(d, false);
    ide_stop(d);
    blk_detach(d->blk);
    if (d->own_blk) {
        blk_delete(d->blk);
    }
    g_free(d->buffer);
    d->buffer = NULL;
}

static void ide_device_reset(Device *dev)
{
    IDEDrive *d = (IDEDrive *)dev;

    ide_drive_reset(d);
    d->write_cache = d->default_cache;
    blk_set_write_cache(d->blk, d->write_cache);
    d->look_ahead = d->smart_on = d->smart_autosave = true;
    d->pio_mode = 4;
    d->mdma_mode = 0xff;
    d->udma_mode = 5;
    d->command = d->op = d->phase = 0;
    d->lba = d->left = d->block = d->dma_off = d->pos = d->end = 0;
    d->limit = d->cd_sector = 0;
    d->failed = false;
    memset(d->packet, 0, sizeof(d->packet));
    memset(d->ncq_log, 0, sizeof(d->ncq_log));
    d->ncq_log[0] = 0x80;               /* no queued command failed */
    d->cd.event_new = d->cd.event_eject = false;
    d->cd.changed = 0;
    if (d->cd.tray_locked) {
        d->cd.tray_locked = false;
        blk_lock_medium(d->blk, false);
    }
}

static void hd_resized(void *opaque)
{
    IDEDrive *d = opaque;
    d->sectors = blk_length(d->blk) / 512;
}

static void hd_resume(void *opaque)
{
    ide_resume(opaque);
}

const BlkDevOps ide_block_ops = { .resized = hd_resized, .resume = hd_resume,
                                    .any_thread = true };

/* ---- for boards ------------------------------------------------------------------------ */

void ide_plug_drive(Device *controller, unsigned unit, struct BlockBackend *blk, bool cdrom)
{
    Device *dev = device_new(cdrom ? "ide-cd" : "ide-hd");

    device_set_ptr(dev, "drive", blk);
    device_set_uint(dev, "unit", unit & 1);
    device_realize_or_die(dev, g_ptr_array_index(controller->buses, unit >> 1 & 1));
}

bool ide_geometry(Device *controller, unsigned unit, IDEGeometry *out)
{
    IDEBus *b = g_ptr_array_index(controller->buses, unit >> 1 & 1);
    IDEDrive *d = b->drive[unit & 1];

    if (!d || d->is_cd) {
        return false;
    }
    *out = d->native;
    return true;
}

/* ---- saved state ----------------------------------------------------------------------- */

static void ide_pre_save(void *opaque)
{
    IDEDrive *d = opaque;

    /* The buffer counts while data are on their way through it */
    if (d->phase == PH_IDLE) {
        d->buffer_len = 0;
    } else if (d->phase != PH_DMA_WAIT && d->op != OP_CD_READ && d->op != OP_BUFFER) {
        d->buffer_len = MAX(d->end, d->block * 512);
    }
}

static bool ide_post_load(void *opaque, int version, Error **err)
{
    IDEDrive *d = opaque;

    if (d->phase >= PH_COUNT || d->op >= OP_COUNT || d->buffer_len > IDE_BUFFER
        || d->pos > d->end || d->end > IDE_BUFFER || d->block > IDE_BUFFER / 512
        || !d->heads || !d->secs || d->mult > IDE_MAX_MULT
        || (d->cd_sector && d->cd_sector != CD_SECTOR && d->cd_sector != CD_RAW_SECTOR)
        || (d->op == OP_CD_READ && (!d->is_cd || !d->cd_sector))) {
        return fail(err, "%s: impossible state of a command", d->dev.type->name);
    }
    if (d->op == OP_READ || d->op == OP_WRITE || d->op == OP_VERIFY) {
        if (d->is_cd || (d->left && !ide_range_ok(d, d->lba, d->left)) || d->block > d->left) {
            return fail(err, "%s: a command reaches beyond the disk", d->dev.type->name);
        }
    }
    if (d->phase == PH_BLOCK && !d->failed) {
        return fail(err, "%s: a request was under way when the state was saved",
                    d->dev.type->name);
    }
    if (!d->is_cd) {
        blk_set_write_cache(d->blk, d->write_cache);
    } else {
        blk_lock_medium(d->blk, d->cd.tray_locked);
    }
    return true;
}

static const VMField ide_fields[] = {
    VM_UINT(IDEDrive, feature), VM_UINT(IDEDrive, nsector), VM_UINT(IDEDrive, lba0),
    VM_UINT(IDEDrive, lba1), VM_UINT(IDEDrive, lba2), VM_UINT(IDEDrive, select),
    VM_UINT(IDEDrive, status), VM_UINT(IDEDrive, error), VM_UINT(IDEDrive, hob_feature),
    VM_UINT(IDEDrive, hob_nsector), VM_UINT(IDEDrive, hob_lba0), VM_UINT(IDEDrive, hob_lba1),
    VM_UINT(IDEDrive, hob_lba2), VM_BOOL(IDEDrive, intrq),
    VM_UINT(IDEDrive, heads), VM_UINT(IDEDrive, secs), VM_UINT(IDEDrive, mult),
    VM_UINT(IDEDrive, pio_mode), VM_UINT(IDEDrive, mdma_mode), VM_UINT(IDEDrive, udma_mode),
    VM_BOOL(IDEDrive, write_cache), VM_BOOL(IDEDrive, look_ahead), VM_BOOL(IDEDrive, smart_on),
    VM_BOOL(IDEDrive, smart_autosave), VM_BOOL(IDEDrive, sleeping), VM_UINT(IDEDrive, power),
    VM_UINT(IDEDrive, smart_selftest),
    VM_UINT(IDEDrive, command), VM_UINT(IDEDrive, phase), VM_UINT(IDEDrive, op),
    VM_BOOL(IDEDrive, lba48), VM_BOOL(IDEDrive, dma), VM_BOOL(IDEDrive, fua),
    VM_UINT(IDEDrive, lba), VM_UINT(IDEDrive, left), VM_UINT(IDEDrive, block),
    VM_UINT(IDEDrive, dma_off), VM_BOOL(IDEDrive, failed), VM_UINT(IDEDrive, pos),
    VM_UINT(IDEDrive, end), VM_VBUFFER(IDEDrive, buffer, buffer_len, IDE_BUFFER),
    VM_BUFFER(IDEDrive, packet), VM_UINT(IDEDrive, sense_key), VM_UINT(IDEDrive, asc),
    VM_UINT(IDEDrive, cd.changed), VM_BOOL(IDEDrive, cd.tray_open), VM_BOOL(IDEDrive, cd.tray_locked),
    VM_BOOL(IDEDrive, cd.event_new), VM_BOOL(IDEDrive, cd.event_eject), VM_UINT(IDEDrive, limit),
    VM_UINT(IDEDrive, cd_sector),
    VM_UINTS_V(IDEDrive, ncq_log, 2),
    VM_DONE
};
static const VMState vm_ide_drive = {
    .name = "ide-drive", .version = 2, .pre_save = ide_pre_save, .post_load = ide_post_load,
    .fields = ide_fields,
};

/* ---- types ----------------------------------------------------------------------------- */

static const char *const translations[] = { "auto", "none", "lba", "large", NULL };

#define IDE_PROPS                                                                              \
    PROP_DRIVE("drive", IDEDrive, blk, "the -drive or -blockdev with the medium"),             \
    PROP_UINT("unit", IDEDrive, unit, UINT32_MAX, "0 master, 1 slave (default: first free)"),  \
    PROP_STRING("serial", IDEDrive, serial, NULL, "serial number, up to 20 characters"),       \
    PROP_STRING("ver", IDEDrive, ver, NULL, "firmware version, up to 8 characters"),           \
    PROP_STRING("model", IDEDrive, model, NULL, "model name, up to 40 characters"),            \
    PROP_UINT("wwn", IDEDrive, wwn, 0, "world wide name, 0 = none"),                           \
    PROP_UINT("logical_block_size", IDEDrive, logical_block_size, 512, "bytes"),               \
    PROP_UINT("physical_block_size", IDEDrive, physical_block_size, 512, "bytes"),             \
    PROP_INT("bootindex", IDEDrive, bootindex, -1, "place in the boot order, -1 = none"),      \
    PROP_ENUM("rerror", IDEDrive, rerror, BLK_ON_ERROR_AUTO, blk_on_error_names,               \
              "what to do when reading fails"),                                                \
    PROP_ENUM("werror", IDEDrive, werror, BLK_ON_ERROR_AUTO, blk_on_error_names,               \
              "what to do when writing fails")

static const Prop hd_props[] = {
    IDE_PROPS,
    PROP_UINT("rotation_rate", IDEDrive, rotation_rate, 0, "rpm; 1 = solid state, 0 = not told"),
    PROP_UINT("cyls", IDEDrive, cyls_prop, 0, "cylinders (default: guessed)"),
    PROP_UINT("heads", IDEDrive, heads_prop, 0, "heads"),
    PROP_UINT("secs", IDEDrive, secs_prop, 0, "sectors of a track"),
    PROP_ENUM("bios-chs-trans", IDEDrive, translation_prop, 0, translations,
              "how the firmware translates the geometry"),
    PROP_DONE
};

static const Prop cd_props[] = { IDE_PROPS, PROP_DONE };

static const DeviceType ide_hd = {
    .name = "ide-hd", .desc = "ATA hard disk", .bus = "IDE", .category = "Storage",
    .size = sizeof(IDEDrive), .props = hd_props, .vmstate = &vm_ide_drive,
    .realize = hd_realize, .reset = ide_device_reset, .unrealize = ide_unrealize,
};
DEVICE_TYPE(ide_hd);

static const DeviceType ide_cd = {
    .name = "ide-cd", .desc = "ATAPI CD-ROM drive", .bus = "IDE", .category = "Storage",
    .size = sizeof(IDEDrive), .props = cd_props, .vmstate = &vm_ide_drive,
    .realize = cd_realize, .reset = ide_device_reset, .unrealize = ide_unrealize,
};
DEVICE_TYPE(ide_cd);
