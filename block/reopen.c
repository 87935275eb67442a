/* SPDX-License-Identifier: MIT */
/*
 * blockdev-reopen: nodes with other options than they were opened with.  As with blockdev-add an
 * option that is left out has its usual value; those that describe what the node is (its driver, its
 * file ...) may be given and must be what they were.
 */
#include "block/reopen.h"
#include "block/node.h"

#include <string.h>

typedef struct Change {
    BlockNode *node;
    BlockFlags old, new;
    int old_detect, detect_zeroes;
    bool with_backing;                  /* another one, or none */
    BlockNode *backing, *old_backing;   /* old: a reference while it is replaced */
} Change;

static bool take_flags(Change *c, Json *o, Error **err)
{
    static const char *const discards[] = { "ignore", "off", "unmap", "on", NULL };
    static const char *const detects[] = { "off", "on", "unmap", NULL };
    g_autoptr(Json) cache = json_steal(o, "cache");
    g_autofree char *discard = NULL, *detect = NULL;
    c->old = c->new = c->node->flags;
    c->new.read_only = c->new.auto_read_only = c->new.unmap = c->new.direct = c->new.no_flush = false;
    if (!block_take_bool(o, "read-only", &c->new.read_only, err)
        || !block_take_bool(o, "auto-read-only", &c->new.auto_read_only, err)
        || !block_take_str(o, "discard", &discard, err) || !block_take_str(o, "detect-zeroes", &detect, err)) {
        return false;
    }
    if (cache && (cache->type != JSON_OBJECT || !block_take_bool(cache, "direct", &c->new.direct, err)
                  || !block_take_bool(cache, "no-flush", &c->new.no_flush, err) || json_len(cache))) {
        return (err && *err) ? false : fail(err, "Option 'cache' has the members direct and no-flush");
    }
    if ((discard && !g_strv_contains(discards, discard)) || (detect && !g_strv_contains(detects, detect))) {
        return fail(err, "Parameter '%s' does not accept value '%s'",
                    discard && !g_strv_contains(discards, discard) ? "discard" : "detect-zeroes",
                    discard && !g_strv_contains(discards, discard) ? discard : detect);
    }
    c->new.unmap = discard && (!strcmp(discard, "unmap") || !strcmp(discard, "on"));
    c->old_detect = c->node->detect_zeroes;
    c->detect_zeroes = !detect || !strcmp(detect, "off") ? 0 : !strcmp(detect, "on") ? 1 : 2;
    return c->detect_zeroes != 2 || c->new.unmap
           || fail(err, "setting detect-zeroes to unmap is not allowed without setting discard operation "
                   "to unmap");
}

/* "backing": a node-name or null; left out: as it is, if the image names none that would be opened. */
static bool take_backing(Change *c, Json *o, Error **err)
{
    g_autoptr(Json) j = json_steal(o, "backing");
    BlockNode *n = c->node;
    if (!n->driver->has_backing) {
        return !j || fail(err, "Node '%s' can't have a backing file", n->name);
    }
    if (!j) {
        return !n->backing || fail(err, "backing is missing for '%s'", n->name);
    }
    if (j->type != JSON_STRING && j->type != JSON_NULL) {
        return fail(err, "Option 'backing': a node-name or null is expected");
    }
    c->backing = j->type == JSON_STRING ? node_find(j->s) : NULL;
    if (j->type == JSON_STRING && !c->backing) {
        return fail(err, "Cannot find device='' nor node-name='%s'", j->s);
    }
    c->with_backing = c->backing != n->backing;
    if (c->with_backing && n->job) {
        return fail(err, "Cannot change 'backing' link from '%s': block device is in use by block job: %s",
                    n->name, n->job);
    }
    if (c->with_backing && c->backing && node_contains(c->backing, n)) {
        return fail(err, "Making '%s' a backing child of '%s' would create a cycle", c->backing->name,
                    n->name);
    }
    return true;
}

/* What may be said again but not changed. */
static bool take_the_same(Change *c, Json *o, Error **err)
{
    BlockNode *n = c->node;
    g_autofree char *driver = NULL, *filename = NULL;
    g_autoptr(Json) file = json_steal(o, "file");
    if (!block_take_str(o, "driver", &driver, err) || !block_take_str(o, "filename", &filename, err)) {
        return false;
    }
    if (!driver || strcmp(driver, n->driver->name)) {
        return driver ? fail(err, "Cannot change the option 'driver'")
                      : fail(err, "Parameter 'driver' is missing");
    }
    if (filename && strcmp(filename, node_file_name(n))) {
        return fail(err, "Cannot change the option 'filename'");
    }
    if (file && (file->type != JSON_STRING || !n->file || node_find(file->s) != n->file)) {
        return fail(err, file->type == JSON_STRING ? "Cannot change the option 'file'"
                    : "Option 'file': the node-name of '%s' is expected", n->file ? n->file->name : "");
    }
    return !json_len(o) || fail(err, "Cannot change the option '%s'", json_key_at(o, 0));
}

static bool parse(Change *c, const Json *options, Error **err)
{
    g_autoptr(Json) o = json_copy(options);
    g_autofree char *name = NULL;
    if (options->type != JSON_OBJECT) {
        return fail(err, "Parameter 'options' expects objects");
    }
    if (!block_take_str(o, "node-name", &name, err)) {
        return false;
    }
    c->node = name ? node_find(name) : NULL;
    if (!c->node) {
        return name ? fail(err, "Failed to find node with node-name='%s'", name)
                    : fail(err, "node-name not specified");
    }
    return take_flags(c, o, err) && take_backing(c, o, err) && take_the_same(c, o, err);
}

/* The file itself anew when O_DIRECT or the permission changes.  Children without a name of their own
 * were opened with this node's options and follow. */
static bool set_flags(BlockNode *n, BlockFlags f, Error **err)
{
    BlockFlags old = n->flags;
    bool writable = !f.read_only && !(f.auto_read_only && old.read_only);
    bool again = f.direct != old.direct && n->driver->protocol;
    n->flags.direct = f.direct;
    bool ok = (!again || !n->driver->reopen || n->driver->reopen(n, !old.read_only, err))
              && node_set_writable(n, writable, err);
    if (!ok) {
        n->flags.direct = old.direct;
        if (again && n->driver->reopen) {
            n->driver->reopen(n, !old.read_only, NULL);
        }
        return false;
    }
    n->flags.no_flush = f.no_flush;
    n->flags.unmap = f.unmap;
    n->flags.auto_read_only = f.auto_read_only;
    if (!n->file || n->file->named) {
        return true;
    }
    f.read_only = n->file->flags.read_only;
    f.auto_read_only = n->file->flags.auto_read_only;
    return set_flags(n->file, f, err);
}

static bool carry_out(Change *c, Error **err)
{
    BlockNode *n = c->node;
    if (!set_flags(n, c->new, err)) {
        return false;
    }
    n->detect_zeroes = c->detect_zeroes;
    if (c->with_backing) {
        c->old_backing = n->backing ? node_ref(n->backing) : NULL;
        node_set_backing(n, c->backing);
    }
    return true;
}

static void undo(Change *c)
{
    set_flags(c->node, c->old, NULL);
    c->node->detect_zeroes = c->old_detect;
    if (c->with_backing) {
        node_set_backing(c->node, c->old_backing);
    }
}

bool nodes_reopen(const Json *list, Error **err)
{
    guint n = json_len(list), done = 0;
    g_autofree Change *all = g_new0(Change, n + 1);
    for (guint i = 0; i < n; i++) {
        if (!parse(&all[i], json_at(list, i), err)) {
            return false;
        }
    }
    graph_write_lock();
    while (done < n && carry_out(&all[done], err)) {
        done++;
    }
    for (guint i = done; i-- && done < n;) {
        undo(&all[i]);
    }
    for (guint i = 0; i < done; i++) {
        node_unref(all[i].old_backing);
    }
    graph_write_unlock();
    return done == n;
}
