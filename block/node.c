/* SPDX-License-Identifier: MIT */
/*
 * Nodes: opening by options, names and reference counts.
 */
#include "block/track.h"
#include "block/block.h"
#include "block/dirtymap.h"
#include "util/bql.h"
#include "util/parse.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

/* Bounds of the section; the linker defines them. */
extern const BlockDriver *const __start_orrery_blockdrv[] __attribute__((weak));
extern const BlockDriver *const __stop_orrery_blockdrv[] __attribute__((weak));

static GPtrArray *nodes;                /* of BlockNode*, in order of opening */

/* ---- drivers ------------------------------------------------------------------------ */

const char *const block_prealloc_names[] = { "off", "metadata", "falloc", "full", NULL };

const BlockDriver *block_driver_find(const char *name)
{
    const BlockDriver *const *d;
    for (d = __start_orrery_blockdrv; d < __stop_orrery_blockdrv; d++) {
        if (!strcmp((*d)->name, name)) {
            return *d;
        }
    }
    return NULL;
}

void block_driver_foreach(void (*fn)(const BlockDriver *d, void *opaque), void *opaque)
{
    const BlockDriver *const *d;
    for (d = __start_orrery_blockdrv; d < __stop_orrery_blockdrv; d++) {
        fn(*d, opaque);
    }
}

static bool unknown_driver(const char *name, Error **err)
{
    const char *names[64];
    unsigned n = 0;
    const BlockDriver *const *d;
    for (d = __start_orrery_blockdrv; d < __stop_orrery_blockdrv && n < 64; d++) {
        names[n++] = (*d)->name;
    }
    static const char *const others[] = {
        "luks", "dmg", "qcow", "qed", "parallels", "bochs", "cloop", "vvfat", "fat", "ssh", "rbd", "iscsi",
        "gluster", "nfs", "quorum", "replication", "nvme", "crypto", "blklogwrites", "blkreplay",
        "blkverify", "compress", "copy-before-write", "host_cdrom", "preallocate", "snapshot-access", NULL };
    static const char *const optional[] = { "nbd", "http", "https", "ftp", "ftps", NULL };
    if (g_strv_contains(others, name)) {
        return fail(err, "Block driver '%s' is not supported", name);
    }
    if (g_strv_contains(optional, name)) {
        return fail(err, "Block driver '%s': this program was built without it", name);
    }
    const char *near = nearest_name(name, names, n);
    return near ? fail(err, "Unknown driver '%s' (did you mean '%s'?)", name, near)
                : fail(err, "Unknown driver '%s'", name);
}

bool block_driver_known(const char *name, Error **err)
{
    return block_driver_find(name) || unknown_driver(name, err);
}

/* Formats people have, by their magic numbers, so that none is ever taken for raw by mistake. */
static const struct {
    const char *name;
    unsigned at, len;
    const char *magic;
} magics[] = {
    { "qcow2",  0,    4, "QFI\xfb" },
    { "qed",    0,    4, "QED\0" },
    { "vmdk",   0,    4, "KDMV" },
    { "vmdk",   0,    4, "COWD" },
    { "vmdk",   0,   21, "# Disk DescriptorFile" },
    { "vhdx",   0,    8, "vhdxfile" },
    { "vpc",    0,    8, "conectix" },
    { "vdi",    0x40, 4, "\x7f\x10\xda\xbe" },
    { "luks",   0,    6, "LUKS\xba\xbe" },
    { "parallels", 0, 16, "WithoutFreeSpace" },
    { "parallels", 0, 16, "WithouFreSpacExt" },
    { "bochs",  0,   32, "Bochs Virtual HD Image" "\0\0\0\0\0\0\0\0\0\0" },
};

const char *block_probe_format(const uint8_t *head, size_t len, const char *filename)
{
    const BlockDriver *const *d;
    const char *best = "raw";
    int best_score = 0;
    for (d = __start_orrery_blockdrv; d < __stop_orrery_blockdrv; d++) {
        int score = (*d)->probe ? (*d)->probe(head, len, filename) : 0;
        if (score > best_score) {
            best_score = score;
            best = (*d)->name;
        }
    }
    for (size_t i = 0; i < G_N_ELEMENTS(magics) && !best_score; i++) {
        if (len >= magics[i].at + magics[i].len
            && !memcmp(head + magics[i].at, magics[i].magic, magics[i].len)) {
            return magics[i].name;
        }
    }
    return best;
}

/* ---- options ------------------------------------------------------------------------ */

static bool bad_value(const char *key, const Json *j, const char *what, Error **err)
{
    g_autofree char *text = json_to_string(j);
    return fail(err, "Option '%s': %s is not %s", key, text, what);
}

bool block_take_str(Json *options, const char *key, char **out, Error **err)
{
    g_autoptr(Json) j = json_steal(options, key);
    if (!j) {
        return true;
    }
    if (j->type != JSON_STRING) {
        return bad_value(key, j, "a string", err);
    }
    g_free(*out);
    *out = g_strdup(j->s);
    return true;
}

bool block_take_bool(Json *options, const char *key, bool *out, Error **err)
{
    g_autoptr(Json) j = json_steal(options, key);
    if (!j) {
        return true;
    }
    if (j->type == JSON_BOOL) {
        *out = j->b;
        return true;
    }
    return (j->type == JSON_STRING && parse_bool(j->s, out)) || bad_value(key, j, "on or off", err);
}

bool block_take_uint(Json *options, const char *key, uint64_t *out, Error **err)
{
    g_autoptr(Json) j = json_steal(options, key);
    if (!j) {
        return true;
    }
    if (j->type == JSON_UINT || (j->type == JSON_INT && j->i >= 0)) {
        *out = j->u;
        return true;
    }
    return (j->type == JSON_STRING && parse_size(j->s, 1, out)) || bad_value(key, j, "a size", err);
}

static bool take_choice(Json *options, const char *key, const char *const *choices, int *out, Error **err)
{
    g_autofree char *text = NULL;
    if (!block_take_str(options, key, &text, err)) {
        return false;
    }
    for (int i = 0; text && choices[i]; i++) {
        if (!strcmp(text, choices[i])) {
            *out = i;
            return true;
        }
    }
    if (text) {
        g_autofree char *all = g_strjoinv(", ", (char **)choices);
        return fail(err, "Option '%s': '%s' is none of: %s", key, text, all);
    }
    return true;
}

static bool take_cache(BlockNode *n, Json *options, Error **err)
{
    g_autoptr(Json) cache = json_steal(options, "cache");
    if (!cache) {
        return true;
    }
    if (cache->type != JSON_OBJECT) {
        return bad_value("cache", cache, "a group (cache.direct, cache.no-flush)", err);
    }
    if (!block_take_bool(cache, "direct", &n->flags.direct, err)
        || !block_take_bool(cache, "no-flush", &n->flags.no_flush, err)) {
        return false;
    }
    return !json_len(cache) || fail(err, "unknown option 'cache.%s'", json_key_at(cache, 0));
}

static bool take_force_share(Json *options, BlockFlags *flags, Error **err)
{
    bool share = false;
    if (!block_take_bool(options, "force-share", &share, err)) {
        return false;
    }
    flags->no_lock |= share;
    return !share || flags->read_only || fail(err, "force-share=on can only be used with read-only images");
}

static bool take_common(BlockNode *n, Json *options, Error **err)
{
    static const char *const discards[] = { "ignore", "off", "unmap", "on", NULL };
    static const char *const detects[] = { "off", "on", "unmap", NULL };
    int discard = n->flags.unmap ? 2 : 0;
    if (!block_take_bool(options, "read-only", &n->flags.read_only, err)
        || !block_take_bool(options, "auto-read-only", &n->flags.auto_read_only, err)
        || !take_force_share(options, &n->flags, err)
        || !take_choice(options, "discard", discards, &discard, err)
        || !take_choice(options, "detect-zeroes", detects, &n->detect_zeroes, err)
        || !take_cache(n, options, err)) {
        return false;
    }
    n->flags.unmap = discard >= 2;
    if (n->detect_zeroes == 2 && !n->flags.unmap) {
        return fail(err, "detect-zeroes=unmap needs discard=unmap");
    }
    return true;
}

static bool take_name(BlockNode *n, Json *options, Error **err)
{
    static unsigned counter;
    if (!block_take_str(options, "node-name", &n->name, err)) {
        return false;
    }
    n->named = n->name != NULL;
    if (!n->name) {
        n->name = g_strdup_printf("#block%u", counter++);
        return true;
    }
    if (!g_ascii_isalpha(n->name[0]) || strlen(n->name) > 31) {
        return fail(err, "Invalid node-name: '%s'", n->name);
    }
    return (!node_find(n->name) && !blk_find_named(n->name))
           || fail(err, "Duplicate nodes with node-name='%s'", n->name);
}

/* ---- life --------------------------------------------------------------------------- */

/* Opening and closing are for the holder of the big lock.  A job that makes an image does not have
 * it and takes it for just that. */
static bool enter(void)
{
    bool taken = !bql_locked();
    if (taken) {
        bql_lock();
    }
    return taken;
}

static void leave(bool taken)
{
    if (taken) {
        bql_unlock();
    }
}

static void free_node(BlockNode *n)
{
    if (n->file) {
        node_unref(n->file);
    }
    if (n->backing) {
        node_unref(n->backing);
    }
    bitmap_free_all(n);
    tracker_free(n);
    g_free(n->state);
    g_free(n->name);
    g_free(n->backing_file);
    g_free(n->backing_format);
    g_free(n);
}

static BlockNode *new_node(const BlockDriver *driver, BlockFlags flags)
{
    BlockNode *n = g_new0(BlockNode, 1);
    n->driver = driver;
    n->state = driver->size ? g_malloc0(driver->size) : NULL;
    n->flags = flags;
    n->refs = 1;
    return n;
}

static bool open_with_driver(BlockNode *n, Json *options, Error **err)
{
    if (!take_name(n, options, err) || !take_common(n, options, err)
        || !n->driver->open(n, options, err)) {
        return false;
    }
    if (json_len(options)) {
        fail(err, "Block format '%s' does not support the option '%s'", n->driver->name,
             json_key_at(options, 0));
    } else if (!n->driver->write && !n->flags.read_only && !n->flags.auto_read_only) {
        fail(err, "'%s' is read-only: it can't be opened for writing (use readonly=on)",
             n->driver->name);
    } else {
        n->flags.read_only |= !n->driver->write;
        return true;
    }
    n->driver->close(n);
    return false;
}

static BlockNode *register_node(BlockNode *n)
{
    if (!nodes) {
        nodes = g_ptr_array_new();
    }
    g_ptr_array_add(nodes, n);
    return n;
}

static BlockNode *open_node(Json *options, BlockFlags flags, Error **err)
{
    g_autoptr(Json) owned = options;
    g_autofree char *driver = NULL;
    if (!block_take_str(owned, "driver", &driver, err)) {
        return NULL;
    }
    const BlockDriver *d = driver ? block_driver_find(driver) : NULL;
    if (!d) {
        driver ? unknown_driver(driver, err) : fail(err, "Parameter 'driver' is missing");
        return NULL;
    }
    BlockNode *n = new_node(d, flags);
    if (!open_with_driver(n, owned, err)) {
        free_node(n);
        return NULL;
    }
    return register_node(n);
}

BlockNode *node_open(Json *options, BlockFlags flags, Error **err)
{
    bool taken = enter();
    BlockNode *n = open_node(options, flags, err);
    leave(taken);
    return n;
}

BlockNode *node_ref(BlockNode *n)
{
    bool taken = enter();
    n->refs++;
    leave(taken);
    return n;
}

void node_unref(BlockNode *n)
{
    bool taken = enter();
    if (n && !--n->refs) {
        node_flush(n);
        n->driver->close(n);
        g_ptr_array_remove(nodes, n);
        free_node(n);
    }
    leave(taken);
}

BlockNode *node_find(const char *name)
{
    for (guint i = 0; nodes && i < nodes->len; i++) {
        BlockNode *n = nodes->pdata[i];
        if (!strcmp(n->name, name)) {
            return n;
        }
    }
    return NULL;
}

void node_foreach(void (*fn)(BlockNode *n, void *opaque), void *opaque)
{
    for (guint i = 0; nodes && i < nodes->len; i++) {
        fn(nodes->pdata[i], opaque);
    }
}

bool node_delete(const char *name, Error **err)
{
    BlockNode *n = node_find(name);
    if (!n) {
        return fail(err, "Failed to find node with node-name='%s'", name);
    }
    if (!n->named) {
        return fail(err, "Node %s is not owned by the monitor", name);
    }
    if (n->job) {
        return fail(err, "Node '%s' is busy: block device is in use by block job: %s", name, n->job);
    }
    if (n->refs > 1) {
        return fail(err, "Node %s is in use", name);
    }
    graph_write_lock();
    node_unref(n);
    graph_write_unlock();
    return true;
}

/* A format that grows its file needs that of whatever lies between. */
static BlockNode *adopt(BlockNode *parent, BlockNode *child)
{
    for (BlockNode *n = child; n && parent->driver->grows_file; n = n->driver->filter ? n->file : NULL) {
        n->growable = true;
    }
    return child;
}

/* A writable parent over a file that is not: the file follows, or the parent gives in. */
static bool agree(BlockNode *parent, BlockNode *child, Error **err)
{
    Error *why = NULL;
    if (!child->flags.read_only || parent->flags.read_only) {
        return true;
    }
    if (child->flags.auto_read_only && node_set_writable(child, true, &why)) {
        return true;
    }
    if (parent->flags.auto_read_only) {
        g_clear_error(&why);
        parent->flags.read_only = true;
        return true;
    }
    if (why) {
        g_propagate_error(err, why);
        return false;
    }
    return fail(err, "Block node is read-only: '%s' below a writable node", child->name);
}

/* A format decides itself which of the space it frees goes back: what it asks for, the file does. */
static BlockFlags flags_below(BlockFlags f)
{
    f.unmap = true;
    return f;
}

BlockNode *node_open_child(BlockNode *parent, Json *options, const char *key, Error **err)
{
    g_autoptr(Json) j = json_steal(options, key);
    BlockNode *n;
    if (!j) {
        fail(err, "A block device must be specified for \"%s\"", key);
        return NULL;
    }
    if (j->type == JSON_STRING) {
        n = node_find(j->s);
        if (!n) {
            fail(err, "Cannot find device='' nor node-name='%s'", j->s);
            return NULL;
        }
        node_ref(n);
    } else if (j->type == JSON_OBJECT) {
        if (!json_get(j, "driver")) {
            json_set_str(j, "driver", "file");
        }
        n = node_open(g_steal_pointer(&j), flags_below(parent->flags), err);
    } else {
        bad_value(key, j, "a node-name or a group of options", err);
        return NULL;
    }
    if (n && !agree(parent, n, err)) {
        node_unref(n);
        return NULL;
    }
    return n ? adopt(parent, n) : NULL;
}

/* "nbd://x", "fat:dir" ...: what stands before the colon, if that is a word and no path. */
static char *protocol_prefix(const char *file)
{
    size_t len = strspn(file, "abcdefghijklmnopqrstuvwxyz0123456789+-.");
    return len > 1 && file[len] == ':' ? g_strndup(file, len) : NULL;
}

/* "json:{...}": options in place of a name.  They take the place of what the caller has. */
static Json *json_name(const char *file, Error **err)
{
    Json *o = json_parse(file + strlen("json:"), err);
    if (o && o->type != JSON_OBJECT) {
        json_free(o);
        fail(err, "Could not open '%s': a JSON object is expected", file);
        return NULL;
    }
    return o;
}

static BlockNode *open_protocol(const char *file, Json *options, BlockFlags flags, Error **err)
{
    g_autoptr(Json) o = options;
    g_autofree char *protocol = protocol_prefix(file);
    if (protocol && !strcmp(protocol, "file")) {
        file += strlen("file:");
    } else if (protocol) {
        *strchrnul(protocol, '+') = 0;  /* "nbd+unix" */
        const BlockDriver *d = block_driver_find(protocol);
        static const char *const optional[] = { "nbd", "http", "https", "ftp", "ftps", NULL };
        if (!d || !d->protocol) {
            fail(err, g_strv_contains(optional, protocol)
                 ? "Could not open '%s': this program was built without protocol '%s'"
                 : "Could not open '%s': Unknown protocol '%s' (of a file: ./NAME; else nbd, http, https, ftp)",
                 file, protocol);
            return NULL;
        }
        if (!json_get(o, "driver")) {
            json_set_str(o, "driver", protocol);
        }
    }
    if (!json_get(o, "driver")) {
        json_set_str(o, "driver", "file");
    }
    if (!json_get(o, "filename") && *file) {
        json_set_str(o, "filename", file);
    }
    return node_open(g_steal_pointer(&o), flags, err);
}

/* Chooses the format by contents; *probed tells that nobody asked for it. */
static char *choose_format(BlockNode *file, const char *name, const char *format, bool *probed, Error **err)
{
    uint8_t head[2048];
    *probed = !format;
    if (!format) {
        int64_t length = node_length(file);
        size_t n = length > (int64_t)sizeof(head) ? sizeof(head) : length > 0 ? length : 0;
        int ret = node_pread(file, 0, head, n);
        if (ret < 0) {
            fail_errno(err, -ret, "Could not read image '%s' for determining its format", name);
            return NULL;
        }
        format = block_probe_format(head, n, name);
        if (!strcmp(format, "raw") && g_str_has_suffix(name, ".dmg") && length > 512
            && node_pread(file, length - 512, head, 4) == 0 && !memcmp(head, "koly", 4)) {
            format = "dmg";             /* says so in its last sector */
        }
    }
    if (!block_driver_find(format)) {
        if (*probed) {
            fail(err, "Could not open '%s': it is a %s image, a format that is not supported "
                 "(qemu-img convert -O raw makes a raw one)", name, format);
        } else {
            unknown_driver(format, err);
        }
        return NULL;
    }
    return g_strdup(format);
}

BlockNode *node_open_file(const char *file, const char *format, Json *options, BlockFlags flags,
                          Error **err)
{
    g_autoptr(Json) o = options ? options : json_object();
    if (!take_force_share(o, &flags, err)) {    /* what lies below shares, too */
        return NULL;
    }
    if (g_str_has_prefix(file, "json:")) {
        g_autoptr(Json) named = json_name(file, err);
        if (!named) {
            return NULL;
        }
        for (guint i = 0; i < json_len(o); i++) {
            json_set(named, json_key_at(o, i), json_copy(json_at(o, i)));
        }
        if (json_get(named, "driver")) {
            return node_open(g_steal_pointer(&named), flags, err);
        }
        return node_open_file("", format, g_steal_pointer(&named), flags, err);
    }
    Json *below = json_steal(o, "file");
    bool probed;
    if (below && below->type == JSON_STRING && node_find(below->s)) {
        g_autofree char *chosen = choose_format(node_find(below->s), file, format, &probed, err);
        if (chosen) {
            json_set_str(o, "driver", chosen);
        }
        json_set(o, "file", below);
        return chosen ? node_open(g_steal_pointer(&o), flags, err) : NULL;
    }
    if (below && below->type != JSON_OBJECT) {
        bad_value("file", below, "a group of options", err);
        json_free(below);
        return NULL;
    }
    const BlockDriver *d = format ? block_driver_find(format) : NULL;
    if (d && d->protocol) {             /* format=null-co, format=file */
        json_free(below);
        json_set_str(o, "driver", format);
        if (*file) {
            json_set_str(o, "filename", file);
        }
        return node_open(g_steal_pointer(&o), flags, err);
    }
    BlockNode *bottom = open_protocol(file, below ? below : json_object(), flags_below(flags), err);
    if (!bottom) {
        return NULL;
    }
    g_autofree char *chosen = choose_format(bottom, file, format, &probed, err);
    BlockNode *n = NULL;
    if (chosen) {
        flags.read_only |= bottom->flags.read_only && !flags.auto_read_only;
        json_set_str(o, "driver", chosen);
        json_set_str(o, "file", bottom->name);
        if (!block_driver_find(chosen)->has_backing && json_get(o, "backing")
            && json_get(o, "backing")->type == JSON_NULL) {
            json_remove(o, "backing");  /* none wanted, none possible */
        }
        n = node_open(g_steal_pointer(&o), flags, err);
        if (n) {
            n->probed_raw = probed && !strcmp(chosen, "raw");
        }
    }
    node_unref(bottom);                 /* the format node has its own reference */
    return n;
}

const char *node_file_name(BlockNode *n)
{
    for (; n; n = n->file) {
        if (n->driver->file_name) {
            return n->driver->file_name(n);
        }
    }
    return "";
}

bool node_usable_medium(BlockNode *n, Error **err)
{
    int64_t length = n->driver->length(n);

    if (length < 0) {
        return fail_errno(err, (int)-length, "Could not get the size of the image '%s'",
                          node_file_name(n));
    }
    if (!length) {
        return fail(err, "The image '%s' is empty (0 bytes)", node_file_name(n));
    }
    if (length % BLK_SECTOR) {
        return fail(err, "The image '%s' has %" PRId64 " bytes: not a whole number of %u-byte sectors",
                    node_file_name(n), length, BLK_SECTOR);
    }
    return true;
}
