/* SPDX-License-Identifier: MIT */
/*
 * Files that an image names: its backing file, its external data file, its extents.  The image
 * may come from anywhere, so its word alone opens nothing: a name must be that of a file in the
 * image's own folder (or below), or in a place the user allowed.  What the user named himself,
 * by an option or on the command line, needs no permission and does not come here.
 */
#include "block/node.h"
#include "util/bql.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static GPtrArray *allowed;              /* of char*, real paths */
static GArray *opening;                 /* of struct stat: images above the one being opened */

#define MAX_CHAIN 200u

/* ---- what may be named --------------------------------------------------------------- */

static void allow_one(const char *path)
{
    char *real = realpath(path, NULL);
    if (real) {
        g_ptr_array_add(allowed, g_strdup(real));
        free(real);
    }
}

static void read_environment(void)
{
    if (allowed) {
        return;
    }
    allowed = g_ptr_array_new();
    const char *list = getenv("ORRERY_IMAGE_PATH");
    g_auto(GStrv) parts = g_strsplit(list ? list : "", ":", -1);
    for (char **p = parts; *p; p++) {
        if (**p) {
            allow_one(*p);
        }
    }
}

void block_allow_path(const char *path)
{
    read_environment();
    allow_one(path);
}

static bool lies_in(const char *path, const char *folder)
{
    size_t n = strlen(folder);
    return !strncmp(path, folder, n) && (path[n] == '/' || !path[n] || (n && folder[n - 1] == '/'));
}

static bool may_name(const char *image, const char *path)
{
    read_environment();
    char *real_image = realpath(image, NULL), *real = realpath(path, NULL);
    bool ok = false;
    if (real && real_image) {
        g_autofree char *folder = g_path_get_dirname(real_image);
        ok = lies_in(real, folder);
    }
    for (guint i = 0; real && !ok && i < allowed->len; i++) {
        ok = lies_in(real, allowed->pdata[i]);
    }
    /* a file that does not exist is reported by whoever opens it */
    ok |= !real && errno == ENOENT;
    free(real_image);
    free(real);
    return ok;
}

static bool has_protocol(const char *name)
{
    size_t len = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+-.");
    return len > 1 && name[len] == ':';
}

char *node_full_path(const char *image, const char *name)
{
    if (g_path_is_absolute(name) || has_protocol(name)) {
        return g_strdup(name);
    }
    const char *slash = strrchr(image, '/');
    return slash ? g_strdup_printf("%.*s%s", (int)(slash - image) + 1, image, name) : g_strdup(name);
}

char *node_resolve_path(BlockNode *n, const char *name, const char *what, Error **err)
{
    const char *image = node_file_name(n);
    if (g_str_has_prefix(name, "file:")) {
        name += strlen("file:");
    }
    if (!*name || has_protocol(name)) {
        fail(err, "'%s' names '%s' as its %s: an image may only name files", image, name, what);
        return NULL;
    }
    g_autofree char *path = node_full_path(image, name);
    if (!may_name(image, path)) {
        fail(err, "'%s' names the %s '%s' outside its own folder: name it yourself, or allow it "
             "(environment ORRERY_IMAGE_PATH=FOLDER:...)", image, what, path);
        return NULL;
    }
    return g_steal_pointer(&path);
}

/* ---- the backing file ----------------------------------------------------------------- */

static bool in_chain(const struct stat *st)
{
    for (guint i = 0; opening && i < opening->len; i++) {
        const struct stat *o = &g_array_index(opening, struct stat, i);
        if (o->st_dev == st->st_dev && o->st_ino == st->st_ino) {
            return true;
        }
    }
    return false;
}

static BlockNode *open_named(BlockNode *n, Error **err)
{
    g_autofree char *path = node_resolve_path(n, n->backing_file, "backing file", err);
    struct stat self, st;
    if (!path) {
        return NULL;
    }
    if (!opening) {
        opening = g_array_new(FALSE, FALSE, sizeof(struct stat));
    }
    bool have_self = stat(node_file_name(n), &self) == 0;
    if (have_self) {
        g_array_append_val(opening, self);
    }
    BlockNode *b = NULL;
    if (stat(path, &st) == 0 && in_chain(&st)) {
        fail(err, "Backing file '%s' of '%s' creates an infinite loop", path, node_file_name(n));
    } else if (opening->len > MAX_CHAIN) {
        fail(err, "'%s': more than %u images in a chain", path, MAX_CHAIN);
    } else {
        BlockFlags flags = n->flags;
        flags.read_only = true;
        b = node_open_file(path, n->backing_format, NULL, flags, err);
    }
    if (have_self) {
        g_array_set_size(opening, opening->len - 1);
    }
    return b;
}

/* An option "backing": name of a node, or a description of one. */
static BlockNode *open_given(BlockNode *n, Json *options, Error **err)
{
    Json *j = json_get(options, "backing");
    if (j->type == JSON_OBJECT && !json_get(j, "driver") && !json_get(j, "file")) {
        /* -drive backing.file.filename=... describes a file; without it, the one of the image */
        fail(err, "'backing': a driver or a file is missing");
        return NULL;
    }
    BlockFlags writable = n->flags;
    BlockNode *b;
    if (j->type == JSON_OBJECT && !json_get(j, "driver")) {
        const char *filename = NULL;
        Json *o = json_steal(options, "backing"), *below = json_get(o, "file");
        writable.read_only = true;
        if (below->type == JSON_OBJECT) {
            json_get_str(below, "filename", JSON_OPTIONAL, &filename, NULL);
        }
        g_autofree char *name = g_strdup(filename ? filename : "");
        return node_open_file(name, n->backing_format, o, writable, err);
    }
    /* read-only below a writable image is how it should be */
    n->flags.read_only = true;
    b = node_open_child(n, options, "backing", err);
    n->flags.read_only = writable.read_only;
    return b;
}

bool node_open_backing(BlockNode *n, Json *options, Error **err)
{
    Json *given = json_get(options, "backing");
    if (given && (given->type == JSON_NULL || (given->type == JSON_STRING && !*given->s))) {
        json_remove(options, "backing");
        return true;
    }
    if (given) {
        n->backing = open_given(n, options, err);
    } else if (n->backing_file) {
        n->backing = open_named(n, err);
    } else {
        return true;
    }
    return n->backing != NULL;
}

/* ---- making images --------------------------------------------------------------------- */

/* blockdev-create names a node instead of a file. */
static BlockNode *use_given(Json *options, Error **err)
{
    g_autoptr(Json) name = json_steal(options, "file");
    BlockNode *n = name->type == JSON_STRING ? node_find(name->s) : NULL;
    if (!n) {
        fail(err, "Cannot find device='' nor node-name='%s'",
             name->type == JSON_STRING ? name->s : "?");
        return NULL;
    }
    if (!node_set_writable(n, true, err) || !node_truncate(n, 0, PREALLOC_OFF, err)) {
        return NULL;
    }
    n->growable = true;
    return node_ref(n);
}

const BlockCreateOption block_file_create_options[] = {
    { "nocow", "bool", NULL, "Turn off copy-on-write (valid only on btrfs)" },
    { NULL }
};

BlockNode *node_create_file(const char *filename, Json *options, Error **err)
{
    if (options && json_get(options, "file")) {
        bool taken = !bql_locked();     /* jobs do without it: see node.c */
        if (taken) {
            bql_lock();
        }
        BlockNode *given = use_given(options, err);
        if (taken) {
            bql_unlock();
        }
        return given;
    }
    const BlockDriver *d = block_driver_find("file");
    if (g_str_has_prefix(filename, "file:")) {
        filename += strlen("file:");
    }
    if (!d->create(filename, options, err)) {
        return NULL;
    }
    Json *o = json_object();
    json_set_str(o, "driver", "file");
    json_set_str(o, "filename", filename);
    BlockNode *n = node_open(o, (BlockFlags) { .read_only = false }, err);
    if (n) {
        n->growable = true;
    }
    return n;
}

bool node_create_image(const BlockDriver *d, const char *filename, Json *options, Error **err)
{
    if (!d->create) {
        return fail(err, "Format driver '%s' does not support image creation", d->name);
    }
    g_autoptr(Json) o = json_copy(options);
    Error *why = NULL;
    if (!d->create(filename, o, &why)) {
        g_propagate_error(err, why);
        return false;
    }
    return !json_len(o) || fail(err, "Invalid parameter '%s'", json_key_at(o, 0));
}

/* ---- snapshots -------------------------------------------------------------------------- */

BlockSnapshot *snapshot_find(BlockNode *n, const char *id_or_name)
{
    GPtrArray *list = n->driver->snapshots ? n->driver->snapshots(n) : NULL;
    for (int by_name = 0; list && by_name < 2; by_name++) {
        for (guint i = 0; i < list->len; i++) {
            BlockSnapshot *s = list->pdata[i];
            if (!strcmp(by_name ? s->name : s->id, id_or_name)) {
                return s;
            }
        }
    }
    return NULL;
}

void snapshot_free(BlockSnapshot *s)
{
    g_free(s->id);
    g_free(s->name);
    g_free(s);
}
