/* SPDX-License-Identifier: MIT */
/*
 * -drive, its shorthands, and -blockdev.
 */
#include "block/drive.h"
#include "block/backend.h"
#include "util/opts.h"
#include "util/prop.h"

#include <string.h>

static const char *const if_names[] = { "none", "ide", "scsi", "floppy", "pflash", "mtd", "sd",
                                        "virtio", "xen", NULL };
static const int units_per_bus[DRIVE_IF_COUNT] = { [DRIVE_IF_IDE] = 2, [DRIVE_IF_SCSI] = 7 };

static GPtrArray *drives;               /* of DriveInfo* */
static bool all_snapshot;

void drive_set_snapshot(bool on)
{
    all_snapshot = on;
}

/* ---- where it is plugged ------------------------------------------------------------ */

static DriveInfo *find(DriveIf iface, int bus, int unit)
{
    for (guint i = 0; drives && i < drives->len; i++) {
        DriveInfo *d = drives->pdata[i];
        if (d->iface == iface && d->bus == bus && d->unit == unit) {
            return d;
        }
    }
    return NULL;
}

static void split_index(DriveIf iface, int index, int *bus, int *unit)
{
    int units = units_per_bus[iface];
    *bus = units ? index / units : 0;
    *unit = units ? index % units : index;
}

static DriveInfo *add_drive(DriveIf iface, int bus, int unit, BlockBackend *blk)
{
    if (!drives) {
        drives = g_ptr_array_new();
    }
    DriveInfo *d = g_new0(DriveInfo, 1);
    d->iface = iface;
    d->bus = bus;
    d->unit = unit;
    d->blk = blk;
    g_ptr_array_add(drives, d);
    return d;
}

void drive_forget(const BlockBackend *b)
{
    DriveInfo *d = drive_of_blk(b);
    if (d) {
        g_ptr_array_remove(drives, d);
        g_free(d->options);
        g_free(d);
    }
}

/* bus=, unit=, index=; without them the first free place. */
static bool choose_place(Opts *o, DriveIf iface, int *bus, int *unit, Error **err)
{
    uint64_t b, u, index, units = units_per_bus[iface] ? units_per_bus[iface] : 1000;
    bool has_index = opts_has(o, "index"), has_bus = opts_has(o, "bus"), has_unit = opts_has(o, "unit");
    if (!opts_uint(o, "index", 0, 0, 1000, &index, err) || !opts_uint(o, "bus", 0, 0, 1000, &b, err)
        || !opts_uint(o, "unit", 0, 0, units - 1, &u, err)) {
        return false;
    }
    if (has_index && (has_bus || has_unit)) {
        return fail(err, "-drive: index cannot be used with bus and unit");
    }
    *bus = b;
    *unit = u;
    if (has_index) {
        split_index(iface, index, bus, unit);
    } else if (!has_unit) {
        while (find(iface, *bus, *unit)) {
            (*unit)++;
            if (units_per_bus[iface] && *unit >= units_per_bus[iface]) {
                *unit = 0;
                (*bus)++;
            }
        }
    }
    if (iface != DRIVE_IF_NONE && find(iface, *bus, *unit)) {
        return fail(err, "-drive: drive with bus=%d, unit=%d (index=%d) exists", *bus, *unit,
                    units_per_bus[iface] ? *bus * units_per_bus[iface] + *unit : *unit);
    }
    return true;
}

/* As QEMU names drives without id=: "ide0-hd0", "ide1-cd0", "floppy0", "none0". */
static char *default_name(DriveIf iface, int bus, int unit, bool cdrom)
{
    if (units_per_bus[iface]) {
        return g_strdup_printf("%s%d-%s%d", if_names[iface], bus, cdrom ? "cd" : "hd", unit);
    }
    return g_strdup_printf("%s%d", if_names[iface], unit);
}

/* ---- options ------------------------------------------------------------------------ */

typedef struct DriveOptions {
    int iface, media;
    BlockFlags flags;
    bool writethrough, snapshot, copy_on_read;
    int rerror, werror;
    bool throttled;
    ThrottleConfig limits;
    char *group;                        /* of the limits; NULL: one of its own */
    char *aio;
} DriveOptions;

static bool parse_cache(Opts *o, DriveOptions *d, Error **err)
{
    static const char *const modes[] = { "writeback", "none", "off", "writethrough", "directsync",
                                         "unsafe", NULL };
    int mode;
    bool wb = true, direct, no_flush;
    if (!opts_enum(o, "cache", modes, 0, &mode, err)) {
        return false;
    }
    d->writethrough = mode == 3 || mode == 4;
    d->flags.direct = mode == 1 || mode == 2 || mode == 4;
    d->flags.no_flush = mode == 5;
    if (!opts_bool(o, "cache.writeback", !d->writethrough, &wb, err)
        || !opts_bool(o, "cache.direct", d->flags.direct, &direct, err)
        || !opts_bool(o, "cache.no-flush", d->flags.no_flush, &no_flush, err)) {
        return false;
    }
    d->writethrough = !wb;
    d->flags.direct = direct;
    d->flags.no_flush = no_flush;
    opts_remove(o, "cache");
    opts_remove(o, "cache.writeback");
    opts_remove(o, "cache.direct");
    opts_remove(o, "cache.no-flush");
    return true;
}

static bool parse_errors(Opts *o, DriveOptions *d, Error **err)
{
    if (!opts_enum(o, "rerror", blk_on_error_names, BLK_ON_ERROR_REPORT, &d->rerror, err)
        || !opts_enum(o, "werror", blk_on_error_names, BLK_ON_ERROR_ENOSPC, &d->werror, err)) {
        return false;
    }
    if (d->rerror == BLK_ON_ERROR_ENOSPC) {
        return fail(err, "-drive: rerror=enospc: a read can't run out of space");
    }
    return true;
}

static bool parse_options(Opts *o, DriveIf def_if, DriveOptions *d, Error **err)
{
    static const char *const media[] = { "disk", "cdrom", NULL };
    bool ro_given = opts_has(o, "readonly") || opts_has(o, "read-only"), ro;
    const char *aio = opts_get(o, "aio");
    if (!opts_enum(o, "if", if_names, def_if, &d->iface, err)
        || !opts_enum(o, "media", media, 0, &d->media, err)
        || !opts_bool(o, "readonly", d->media == 1, &ro, err)
        || !opts_bool(o, "read-only", ro, &d->flags.read_only, err)
        || !opts_bool(o, "snapshot", all_snapshot, &d->snapshot, err)
        || !opts_bool(o, "copy-on-read", false, &d->copy_on_read, err)
        || !parse_cache(o, d, err) || !parse_errors(o, d, err)) {
        return false;
    }
    if (d->media == 1 && ro_given && !d->flags.read_only) {
        return fail(err, "-drive: media=cdrom is read-only");
    }
    d->aio = g_strdup(aio);             /* whether it can be had is the file's business */
    if (d->iface == DRIVE_IF_SD || d->iface == DRIVE_IF_MTD || d->iface == DRIVE_IF_XEN) {
        return fail(err, "-drive: if=%s: no machine here has such a connector", if_names[d->iface]);
    }
    return true;
}

/* The options the block layer takes itself: what is not consumed yet. */
static Json *node_options(Opts *o, Error **err)
{
    static const char *const ours[] = { "if", "media", "readonly", "read-only", "snapshot", "rerror",
                                        "werror", "aio", "index", "bus", "unit", "id", "file",
                                        "format", "copy-on-read" };
    for (size_t i = 0; i < G_N_ELEMENTS(ours); i++) {
        opts_remove(o, ours[i]);
    }
    return opts_to_json(o, err);
}

/* A filter on top of n (reference given away). */
static BlockNode *add_copy_on_read(BlockNode *n, BlockFlags flags, Error **err)
{
    Json *o = json_object();
    json_set_str(o, "driver", "copy-on-read");
    json_set_str(o, "file", n->name);
    BlockNode *filter = node_open(o, flags, err);
    node_unref(n);
    return filter;
}

/* NULL without err: no medium. */
static BlockNode *open_medium(Opts *o, DriveOptions *d, Error **err)
{
    g_autofree char *file = g_strdup(opts_get(o, "file")), *format = g_strdup(opts_get(o, "format"));
    const char *driver = opts_get(o, "driver");
    bool by_driver = driver && !format;
    if (by_driver) {
        format = g_strdup(driver);
    }
    opts_remove(o, "driver");
    Json *options = node_options(o, err);
    if (!options) {
        return NULL;
    }
    if (!throttle_take_options(options, &d->limits, &d->group, &d->throttled, err)) {
        json_free(options);
        return NULL;
    }
    Json *below = json_get(options, "file");
    const char *deep = NULL;
    if (!file && below && below->type == JSON_OBJECT
        && json_get_str(below, "filename", JSON_OPTIONAL, &deep, NULL)) {
        file = g_strdup(deep);          /* file.filename=x */
    }
    BlockFlags flags = d->flags;
    flags.read_only |= d->snapshot;
    /* file.driver=...: what lies below is described, not named */
    bool described = !file && below && below->type == JSON_OBJECT && json_get(below, "driver");
    bool medium = (file && *file) || described || (format && block_driver_find(format)
                                                   && block_driver_find(format)->protocol);
    if (!medium) {
        if (format && block_driver_known(format, err)) {
            fail(err, "-drive: '%s=%s' without a file", by_driver ? "driver" : "format", format);
        } else if (!format && json_len(options)) {
            fail(err, "-drive: '%s' without a file", json_key_at(options, 0));
        }
        json_free(options);
        return NULL;
    }
    if (d->aio) {
        if (!below) {
            json_set(options, "file", below = json_object());
        }
        if (below->type == JSON_OBJECT) {
            json_set_str(below, "aio", d->aio);
        }
    }
    BlockNode *n = node_open_file(file ? file : "", format, options, flags, err);
    n = n && d->snapshot ? overlay_open(n, err) : n;
    return n && d->copy_on_read ? add_copy_on_read(n, d->flags, err) : n;
}

static BlockBackend *make_backend(Opts *o, const char *name, DriveOptions *d, Error **err)
{
    Error *why = NULL;
    if (blk_find_named(name) || node_find(name)) {
        fail(err, "-drive: Device with id '%s' already exists", name);
        return NULL;
    }
    BlockNode *n = open_medium(o, d, &why);
    if (why) {
        g_propagate_error(err, why);
        return NULL;
    }
    if (n && !node_usable_medium(n, err)) {
        node_unref(n);
        return NULL;
    }
    if (n && n->probed_raw && !n->flags.read_only) {
        warn_report("'%s': no format given, taken as raw; writes that would make it look like "
                    "another format are refused (format=raw allows them)", node_file_name(n));
    }
    BlockBackend *b = blk_new(name, n);
    blk_set_flags(b, d->flags);
    blk_set_write_cache(b, !d->writethrough);
    blk_set_on_error(b, d->rerror, d->werror);
    if (d->throttled) {
        ThrottleGroup *g = throttle_group_get(d->group ? d->group : name);
        throttle_group_set(g, &d->limits);
        blk_set_throttle(b, g);
    }
    return b;
}

static DriveInfo *add_with_options(Opts *o, DriveIf def_if, Error **err)
{
    DriveOptions d = { 0 };
    int bus = 0, unit = 0;
    g_autofree char *text = opts_to_string(o, NULL);
    if (!parse_options(o, def_if, &d, err) || !choose_place(o, d.iface, &bus, &unit, err)) {
        return NULL;
    }
    bool cdrom = d.media == 1;
    const char *id = opts_get(o, "id");
    g_autofree char *name = id ? g_strdup(id) : default_name(d.iface, bus, unit, cdrom);
    BlockBackend *b = make_backend(o, name, &d, err);
    g_free(d.group);
    g_free(d.aio);
    if (!b) {
        return NULL;
    }
    DriveInfo *info = add_drive(d.iface, bus, unit, b);
    info->cdrom = cdrom;
    info->options = g_steal_pointer(&text);
    return info;
}

DriveInfo *drive_add(const char *options, DriveIf def_if, Error **err)
{
    g_autoptr(Opts) o = opts_parse("-drive", options, NULL, NULL, err);
    return o ? add_with_options(o, def_if, err) : NULL;
}

DriveInfo *drive_add_file(const char *file, DriveIf iface, int index, bool cdrom, Error **err)
{
    g_autoptr(Opts) o = opts_new("-drive");
    g_autofree char *number = g_strdup_printf("%d", index);
    opts_set(o, "file", file);
    opts_set(o, "if", if_names[iface]);
    opts_set(o, "index", number);
    opts_set(o, "media", cdrom ? "cdrom" : "disk");
    return add_with_options(o, iface, err);
}

DriveInfo *drive_add_default(DriveIf iface, int index, bool cdrom)
{
    int bus, unit;
    split_index(iface, index, &bus, &unit);
    DriveInfo *d = find(iface, bus, unit);
    if (d) {
        return d;
    }
    g_autofree char *name = default_name(iface, bus, unit, cdrom);
    if (blk_find_named(name)) {
        return NULL;                    /* a user's id; then there is no default drive */
    }
    d = add_drive(iface, bus, unit, blk_new_empty(name));
    if (cdrom) {
        blk_set_flags(d->blk, (BlockFlags) { .read_only = true });
    }
    d->cdrom = cdrom;
    d->is_default = true;
    return d;
}

/* ---- boards ------------------------------------------------------------------------- */

DriveInfo *drive_get(DriveIf iface, int bus, int unit)
{
    DriveInfo *d = find(iface, bus, unit);
    if (d) {
        d->claimed = true;
    }
    return d;
}

DriveInfo *drive_get_index(DriveIf iface, int index)
{
    int bus, unit;
    split_index(iface, index, &bus, &unit);
    return drive_get(iface, bus, unit);
}

int drive_max_bus(DriveIf iface)
{
    int max = -1;
    for (guint i = 0; drives && i < drives->len; i++) {
        DriveInfo *d = drives->pdata[i];
        max = d->iface == iface ? MAX(max, d->bus) : max;
    }
    return max;
}

int drive_max_unit(DriveIf iface)
{
    int max = -1;
    for (guint i = 0; drives && i < drives->len; i++) {
        DriveInfo *d = drives->pdata[i];
        max = d->iface == iface ? MAX(max, d->unit) : max;
    }
    return max;
}

DriveInfo *drive_of_blk(const BlockBackend *b)
{
    for (guint i = 0; drives && i < drives->len; i++) {
        DriveInfo *d = drives->pdata[i];
        if (d->blk == b) {
            return d;
        }
    }
    return NULL;
}

void drive_foreach(void (*fn)(DriveInfo *d, void *opaque), void *opaque)
{
    for (guint i = 0; drives && i < drives->len; i++) {
        fn(drives->pdata[i], opaque);
    }
}

bool drive_check_unclaimed(Error **err)
{
    for (guint i = 0; drives && i < drives->len; i++) {
        DriveInfo *d = drives->pdata[i];
        if (d->iface != DRIVE_IF_NONE && !d->claimed && !d->is_default) {
            return fail(err, "-drive %s: machine type does not support if=%s,bus=%d,unit=%d",
                        d->options, if_names[d->iface], d->bus, d->unit);
        }
    }
    return true;
}

/* ---- -blockdev ---------------------------------------------------------------------- */

bool blockdev_add_json(Json *options, Error **err)
{
    const char *name = NULL;
    BlockFlags flags = { 0 };
    if (!json_get_str(options, "node-name", JSON_OPTIONAL, &name, NULL) || !name) {
        json_free(options);
        return fail(err, "'node-name' must be specified for the root node");
    }
    return node_open(options, flags, err) != NULL;
}

bool blockdev_add(const char *text, Error **err)
{
    Json *options;
    if (text[0] == '{') {
        options = json_parse(text, err);
        if (options && options->type != JSON_OBJECT) {
            g_clear_pointer(&options, json_free);
            fail(err, "a JSON object is expected");
        }
    } else {
        g_autoptr(Opts) o = opts_parse("-blockdev", text, "driver", NULL, err);
        options = o ? opts_to_json(o, err) : NULL;
    }
    Error *why = NULL;
    if (options && blockdev_add_json(options, &why)) {
        return true;
    }
    if (why) {
        g_propagate_prefixed_error(err, why, "-blockdev: ");
    } else if (err && *err) {
        g_prefix_error(err, "-blockdev: ");
    }
    return false;
}

/* ---- the "drive" property of devices --------------------------------------------------- */

static void *resolve_drive(const char *id, Error **err)
{
    BlockBackend *b = blk_find(id);
    if (!b) {
        fail(err, "can't find value '%s' (no -drive with this id, no -blockdev with this node-name)",
             id);
        return NULL;
    }
    DriveInfo *d = drive_of_blk(b);
    if (d) {
        d->claimed = true;
    }
    return b;
}

static const char *drive_label(const void *backend)
{
    const BlockBackend *b = backend;
    return *blk_name(b) || !blk_root(b) ? blk_name(b) : blk_root(b)->name;
}

void block_init(void)
{
    prop_set_resolver(PROP_KIND_DRIVE, resolve_drive, drive_label);
}
