/* SPDX-License-Identifier: MIT */
/*
 * Format driver "blkdebug": passes requests through and injects errors, for tests of devices
 * and formats.  Rules come as options or, in test programs, from block_inject:
 *
 *   inject-error.0.iotype=write,inject-error.0.errno=28,inject-error.0.once=on,
 *   inject-error.0.sector=16
 *
 * iotype is read, write, write-zeroes, discard or flush (all if absent); without sector a rule
 * matches anywhere.
 */
#include "block/blkdebug.h"
#include "block/block.h"
#include "block/node.h"
#include "util/iov.h"

#include <errno.h>
#include <string.h>

typedef struct Rule {
    int type;                           /* BlockInjectType, or -1 = any */
    int errnum;
    int64_t sector;                     /* -1 = any */
    bool once;
} Rule;

typedef struct DebugNode {
    GMutex lock;
    GArray *rules;
} DebugNode;

static const char *const type_names[] = { "read", "write", "write-zeroes", "discard", "flush", NULL };

static bool take_rule(DebugNode *d, Json *o, Error **err)
{
    Rule rule = { -1, EIO, -1, false };
    uint64_t errnum = EIO, sector = UINT64_MAX;
    g_autofree char *type = NULL;
    if (!block_take_str(o, "iotype", &type, err) || !block_take_uint(o, "errno", &errnum, err)
        || !block_take_uint(o, "sector", &sector, err)
        || !block_take_bool(o, "once", &rule.once, err)) {
        return false;
    }
    for (int i = 0; type && type_names[i]; i++) {
        rule.type = !strcmp(type, type_names[i]) ? i : rule.type;
    }
    if (type && rule.type < 0) {
        return fail(err, "inject-error: unknown iotype '%s'", type);
    }
    if (!errnum || errnum > 4095) {
        return fail(err, "inject-error: errno is out of range");
    }
    if (json_len(o)) {
        return fail(err, "inject-error: unknown option '%s'", json_key_at(o, 0));
    }
    rule.errnum = errnum;
    rule.sector = (int64_t)sector;
    g_array_append_val(d->rules, rule);
    return true;
}

static bool take_rules(DebugNode *d, Json *options, Error **err)
{
    g_autoptr(Json) list = json_steal(options, "inject-error");
    if (list && list->type != JSON_ARRAY && list->type != JSON_OBJECT) {
        return fail(err, "inject-error: a list of rules is expected");
    }
    for (guint i = 0; list && i < json_len(list); i++) {
        Json *rule = json_at(list, i);
        if (rule->type != JSON_OBJECT) {
            return fail(err, "inject-error: a rule is a group of options");
        }
        if (!take_rule(d, rule, err)) {
            return false;
        }
    }
    return true;
}

static void blkdebug_close(BlockNode *n)
{
    DebugNode *d = n->state;
    g_array_unref(d->rules);
    g_mutex_clear(&d->lock);
}

static bool blkdebug_open(BlockNode *n, Json *options, Error **err)
{
    DebugNode *d = n->state;
    d->rules = g_array_new(FALSE, FALSE, sizeof(Rule));
    g_mutex_init(&d->lock);
    const char *key = json_get(options, "image") ? "image" : "file";
    if (take_rules(d, options, err)) {
        n->file = node_open_child(n, options, key, err);
    }
    if (!n->file) {
        blkdebug_close(n);
    }
    return n->file != NULL;
}

static int injected(BlockNode *n, int type, uint64_t off, uint64_t len)
{
    DebugNode *d = n->state;
    int errnum = 0;
    g_mutex_lock(&d->lock);
    for (guint i = 0; i < d->rules->len && !errnum; i++) {
        Rule *r = &g_array_index(d->rules, Rule, i);
        uint64_t at = (uint64_t)r->sector * BLK_SECTOR;
        if ((r->type < 0 || r->type == type)
            && (r->sector < 0 || (type != BLOCK_INJECT_FLUSH && at >= off && at - off < len))) {
            errnum = r->errnum;
            if (r->once) {
                g_array_remove_index(d->rules, i);
            }
        }
    }
    g_mutex_unlock(&d->lock);
    return -errnum;
}

bool block_inject(const char *node_name, BlockInjectType type, int errnum, int64_t sector, bool once)
{
    BlockNode *n = node_find(node_name);
    if (!n || n->driver->open != blkdebug_open) {
        return false;
    }
    DebugNode *d = n->state;
    Rule rule = { (int)type, errnum, sector, once };
    g_mutex_lock(&d->lock);
    g_array_append_val(d->rules, rule);
    g_mutex_unlock(&d->lock);
    return true;
}

static int64_t blkdebug_length(BlockNode *n)
{
    return node_length(n->file);
}

static int blkdebug_read(BlockNode *n, uint64_t off, const struct iovec *iov, int niov)
{
    int ret = injected(n, BLOCK_INJECT_READ, off, iov_size(iov, niov));
    return ret ? ret : node_read(n->file, off, iov, niov);
}

static int blkdebug_write(BlockNode *n, uint64_t off, const struct iovec *iov, int niov)
{
    int ret = injected(n, BLOCK_INJECT_WRITE, off, iov_size(iov, niov));
    return ret ? ret : node_write(n->file, off, iov, niov);
}

static int blkdebug_flush(BlockNode *n)
{
    int ret = injected(n, BLOCK_INJECT_FLUSH, 0, 0);
    return ret ? ret : node_flush(n->file);
}

static int blkdebug_discard(BlockNode *n, uint64_t off, uint64_t len)
{
    int ret = injected(n, BLOCK_INJECT_DISCARD, off, len);
    return ret ? ret : node_discard(n->file, off, len);
}

static int blkdebug_write_zeroes(BlockNode *n, uint64_t off, uint64_t len, bool may_unmap)
{
    int ret = injected(n, BLOCK_INJECT_WRITE_ZEROES, off, len);
    return ret ? ret : node_write_zeroes(n->file, off, len, may_unmap);
}

static int blkdebug_status(BlockNode *n, uint64_t off, uint64_t len, BlockStatus *st)
{
    return node_status(n->file, off, len, st);
}

static bool blkdebug_truncate(BlockNode *n, uint64_t length, BlockPrealloc prealloc, Error **err)
{
    int ret = injected(n, BLOCK_INJECT_WRITE, length, 1);
    return ret ? fail_errno(err, -ret, "Could not resize file")
               : node_truncate(n->file, length, prealloc, err);
}

static const BlockDriver blkdebug_driver = {
    .name = "blkdebug", .filter = true, .size = sizeof(DebugNode), .open = blkdebug_open, .close = blkdebug_close,
    .length = blkdebug_length, .read = blkdebug_read, .write = blkdebug_write,
    .flush = blkdebug_flush, .discard = blkdebug_discard, .write_zeroes = blkdebug_write_zeroes,
    .status = blkdebug_status, .truncate = blkdebug_truncate,
};
BLOCK_DRIVER(blkdebug_driver);
