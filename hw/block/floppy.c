/* SPDX-License-Identifier: MIT */
/*
 * Floppy drives and the formats of disks, told apart by the size of the image.
 *
 * Sources: the drives' types and data rates from the 82078 data sheet, section on data rates;
 * formats as fdformat and superformat make them.
 */
#include "hw/block/floppy.h"

#define FLOPPY_TRACKS_MAX 83

typedef struct Format {
    uint8_t type, sectors, tracks, heads, rate;
} Format;

/* The first of a drive's type is what an image of unknown size is taken for. */
static const Format formats[] = {
    /* 3.5", high density */
    { FLOPPY_144, 18, 80, 2, RATE_500K },   /* 1.44 MB */
    { FLOPPY_144, 20, 80, 2, RATE_500K },
    { FLOPPY_144, 21, 80, 2, RATE_500K },
    { FLOPPY_144, 21, 82, 2, RATE_500K },
    { FLOPPY_144, 21, 83, 2, RATE_500K },
    { FLOPPY_144, 22, 80, 2, RATE_500K },
    { FLOPPY_144, 23, 80, 2, RATE_500K },
    { FLOPPY_144, 24, 80, 2, RATE_500K },
    /* 3.5", extra density */
    { FLOPPY_288, 36, 80, 2, RATE_1M },     /* 2.88 MB */
    { FLOPPY_288, 39, 80, 2, RATE_1M },
    { FLOPPY_288, 40, 80, 2, RATE_1M },
    { FLOPPY_288, 44, 80, 2, RATE_1M },
    { FLOPPY_288, 48, 80, 2, RATE_1M },
    /* 3.5", double density, in a high density drive */
    { FLOPPY_144,  9, 80, 2, RATE_250K },   /* 720 KB */
    { FLOPPY_144, 10, 80, 2, RATE_250K },
    { FLOPPY_144, 10, 82, 2, RATE_250K },
    { FLOPPY_144, 10, 83, 2, RATE_250K },
    { FLOPPY_144, 13, 80, 2, RATE_250K },
    { FLOPPY_144, 14, 80, 2, RATE_250K },
    /* 5.25", high density */
    { FLOPPY_120, 15, 80, 2, RATE_500K },   /* 1.2 MB */
    { FLOPPY_120, 18, 82, 2, RATE_500K },
    { FLOPPY_120, 18, 83, 2, RATE_500K },
    /* 5.25", double density, in a high density drive */
    { FLOPPY_120,  9, 40, 2, RATE_300K },   /* 360 KB */
    { FLOPPY_120,  8, 40, 2, RATE_300K },   /* 320 KB */
    { FLOPPY_120,  9, 40, 1, RATE_300K },   /* 180 KB */
    { FLOPPY_120,  8, 40, 1, RATE_300K },   /* 160 KB */
    { FLOPPY_120, 10, 41, 2, RATE_300K },
    { FLOPPY_120, 10, 42, 2, RATE_300K },
};

const char *const floppy_type_names[] = { "120", "144", "288", "none", "auto", NULL };

/* A 2.88 MB drive reads all 3.5" disks. */
static bool fits(int drive, int disk)
{
    return drive == disk || drive == FLOPPY_AUTO || (drive == FLOPPY_288 && disk == FLOPPY_144);
}

static const Format *find_format(uint64_t sectors, int drive)
{
    const Format *fallback = NULL;

    for (unsigned i = 0; i < G_N_ELEMENTS(formats); i++) {
        const Format *f = &formats[i];
        if (!fits(drive, f->type)) {
            continue;
        }
        if ((uint64_t)f->sectors * f->tracks * f->heads == sectors) {
            return f;
        }
        if (!fallback && (drive == FLOPPY_AUTO || drive == f->type)) {
            fallback = f;
        }
    }
    return fallback;
}

/* What is in the drive now? */
static void floppy_look(Floppy *f)
{
    const Format *fmt;

    f->sectors = f->heads = f->tracks = f->rate = 0;
    if (!blk_has_medium(f->blk) || f->type == FLOPPY_NONE) {
        return;
    }
    fmt = find_format(blk_length(f->blk) / 512, f->type);
    f->sectors = fmt->sectors;
    f->heads = fmt->heads;
    f->tracks = fmt->tracks;
    f->rate = fmt->rate;
}

void floppy_step_to(Floppy *f, unsigned track)
{
    track = MIN(track, FLOPPY_TRACKS_MAX - 1);
    if (track != f->track && floppy_ready(f)) {
        f->changed = false;
    }
    f->track = track;
}

uint64_t floppy_offset(const Floppy *f, unsigned track, unsigned head, unsigned sector)
{
    return (((uint64_t)track * f->heads + head) * f->sectors + sector - 1) * 512;
}

/* ---- the slot -------------------------------------------------------------------------- */

static void floppy_media_changed(void *opaque, bool load)
{
    Floppy *f = opaque;

    f->changed = true;
    if (load) {
        floppy_look(f);
    } else {
        f->sectors = 0;
    }
}

static void floppy_resume(void *opaque)
{
    FloppyBus *b = (FloppyBus *)((Floppy *)opaque)->dev.bus;

    b->resume(b->opaque);
}

static const BlkDevOps floppy_block_ops = {
    .media_changed = floppy_media_changed, .resume = floppy_resume,
};

/* ---- bus and device -------------------------------------------------------------------- */

static bool floppy_bus_add(Bus *bus, Device *dev, Error **err)
{
    FloppyBus *b = (FloppyBus *)bus;
    Floppy *f = (Floppy *)dev;

    if (dev->hotplugged) {
        return fail(err, "Bus '%s' does not support hotplugging", bus->name);
    }
    for (uint32_t n = 0; f->unit == UINT32_MAX && n < FLOPPY_DRIVES; n++) {
        if (!b->drive[n]) {
            f->unit = n;
        }
    }
    if (f->unit >= FLOPPY_DRIVES) {
        return fail(err, "floppy: unit=%u: the controller has units 0 and 1", f->unit);
    }
    if (b->drive[f->unit]) {
        return fail(err, "floppy: unit %u is in use", f->unit);
    }
    b->drive[f->unit] = f;
    return true;
}

static void floppy_bus_remove(Bus *bus, Device *dev)
{
    ((FloppyBus *)bus)->drive[((Floppy *)dev)->unit] = NULL;
}

static void floppy_bus_path(Bus *bus, Device *dev, GString *out)
{
    g_string_append_printf(out, "floppy.%u", ((Floppy *)dev)->unit);
}

static void floppy_bus_fw_name(Bus *bus, Device *dev, GString *out)
{
    g_string_append_printf(out, "/floppy@%x", ((Floppy *)dev)->unit);
}

static const BusType floppy_bus_type = {
    .name = "floppy-bus", .add = floppy_bus_add, .remove = floppy_bus_remove,
    .path = floppy_bus_path, .fw_name = floppy_bus_fw_name,
};
BUS_TYPE(floppy_bus_type);

void floppy_bus_init(FloppyBus *b, Device *owner)
{
    bus_init(&b->bus, &floppy_bus_type, owner, "floppy-bus.0");
    b->bus.max_devices = FLOPPY_DRIVES;
}

/* A drive whose type was not said is of the kind its disk needs. */
static void floppy_resolve_type(Floppy *f, int fallback)
{
    f->type = f->type_prop;
    if (f->type == FLOPPY_AUTO) {
        f->type = blk_has_medium(f->blk) ? find_format(blk_length(f->blk) / 512, FLOPPY_AUTO)->type
                                         : fallback;
    }
}

static bool floppy_realize(Device *dev, Error **err)
{
    Floppy *f = (Floppy *)dev;

    if (!f->blk) {
        f->blk = blk_new_empty("");
        f->own_blk = true;
    }
    if (!blk_attach(f->blk, "floppy", &floppy_block_ops, f, err)) {
        return false;
    }
    floppy_resolve_type(f, ((FloppyBus *)dev->bus)->fallback);
    floppy_look(f);
    return true;
}

static void floppy_unrealize(Device *dev)
{
    Floppy *f = (Floppy *)dev;

    blk_detach(f->blk);
    if (f->own_blk) {
        blk_delete(f->blk);
    }
}

static void floppy_reset(Device *dev)
{
    Floppy *f = (Floppy *)dev;

    f->track = 0;
    f->sector = 1;
    f->changed = true;
}

static bool floppy_post_load(void *opaque, int version, Error **err)
{
    Floppy *f = opaque;

    floppy_look(f);
    return f->track < FLOPPY_TRACKS_MAX || fail(err, "floppy: there is no track %u", f->track);
}

static const VMField floppy_fields[] = {
    VM_BOOL(Floppy, changed), VM_UINT(Floppy, track), VM_UINT(Floppy, sector),
    VM_DONE
};
static const VMState vm_floppy = {
    .name = "floppy", .post_load = floppy_post_load, .fields = floppy_fields,
};

static const Prop floppy_props[] = {
    PROP_DRIVE("drive", Floppy, blk, "the -drive with the disk (default: an empty drive)"),
    PROP_UINT("unit", Floppy, unit, UINT32_MAX, "0 for A:, 1 for B: (default: first free)"),
    PROP_ENUM("drive-type", Floppy, type_prop, FLOPPY_AUTO, floppy_type_names,
              "120 (1.2M), 144 (1.44M), 288 (2.88M), or auto: what the disk needs"),
    PROP_INT("bootindex", Floppy, bootindex, -1, "place in the boot order, -1 = none"),
    PROP_DONE
};

static const DeviceType floppy = {
    .name = "floppy", .desc = "floppy disk drive", .bus = "floppy-bus", .category = "Storage",
    .size = sizeof(Floppy), .props = floppy_props, .vmstate = &vm_floppy,
    .realize = floppy_realize, .reset = floppy_reset, .unrealize = floppy_unrealize,
};
DEVICE_TYPE(floppy);
