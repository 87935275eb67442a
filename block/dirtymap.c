/* SPDX-License-Identifier: MIT */
/*
 * Bitmaps of what changed.
 */
#include "block/dirtymap.h"

#include <string.h>

/* ---- maps -------------------------------------------------------------------------------- */

DirtyMap *dirtymap_new(uint64_t length, uint64_t granularity)
{
    DirtyMap *d = g_new0(DirtyMap, 1);
    g_mutex_init(&d->lock);
    d->length = length;
    d->granularity = granularity;
    d->pieces = (length + granularity - 1) / granularity;
    d->bits = g_new0(uint64_t, d->pieces / 64 + 1);
    return d;
}

void dirtymap_free(DirtyMap *d)
{
    if (d) {
        g_mutex_clear(&d->lock);
        g_free(d->bits);
        g_free(d);
    }
}

static bool get(const DirtyMap *d, uint64_t i)
{
    return d->bits[i / 64] >> (i % 64) & 1;
}

static void range(const DirtyMap *d, uint64_t off, uint64_t len, uint64_t *first, uint64_t *end)
{
    *first = MIN(off / d->granularity, d->pieces);
    *end = len ? MIN((off + len - 1) / d->granularity + 1, d->pieces) : *first;
}

static void change(DirtyMap *d, uint64_t first, uint64_t end, bool on)
{
    for (uint64_t i = first; i < end; i++) {
        if (i % 64 == 0 && end - i >= 64) {     /* a word at once */
            d->count += (on ? 64 : 0) - (uint64_t)__builtin_popcountll(d->bits[i / 64]);
            d->bits[i / 64] = on ? UINT64_MAX : 0;
            i += 63;
        } else if (get(d, i) != on) {
            d->bits[i / 64] ^= 1ull << (i % 64);
            d->count += on ? 1 : -1;
        }
    }
}

bool dirtymap_set(DirtyMap *d, uint64_t off, uint64_t len)
{
    uint64_t first, end;
    g_mutex_lock(&d->lock);
    bool none = !d->count;
    range(d, off, len, &first, &end);
    change(d, first, end, true);
    g_mutex_unlock(&d->lock);
    return none;
}

void dirtymap_clear(DirtyMap *d, uint64_t off, uint64_t len)
{
    uint64_t first, end;
    g_mutex_lock(&d->lock);
    range(d, off, len, &first, &end);
    change(d, first, end, false);
    g_mutex_unlock(&d->lock);
}

bool dirtymap_test(DirtyMap *d, uint64_t off, uint64_t len)
{
    uint64_t first, end;
    g_mutex_lock(&d->lock);
    uint64_t before = d->count;
    range(d, off, len, &first, &end);
    change(d, first, end, false);
    bool any = d->count != before;
    g_mutex_unlock(&d->lock);
    return any;
}

static bool find(const DirtyMap *d, uint64_t from, uint64_t to, uint64_t *at)
{
    for (uint64_t i = from; i < to; i++) {
        if (i % 64 == 0 && !d->bits[i / 64]) {
            i += 63;
        } else if (get(d, i)) {
            *at = i;
            return true;
        }
    }
    return false;
}

bool dirtymap_next(DirtyMap *d, uint64_t from, uint64_t max, uint64_t *off, uint64_t *len)
{
    uint64_t first = MIN(from / d->granularity, d->pieces), at = 0;
    g_mutex_lock(&d->lock);
    bool found = d->count && (find(d, first, d->pieces, &at) || find(d, 0, first, &at));
    if (found) {
        uint64_t end = at + 1;
        while (end < d->pieces && (end - at) * d->granularity < max && get(d, end)) {
            end++;
        }
        *off = at * d->granularity;
        *len = MIN(end * d->granularity, d->length) - *off;
    }
    g_mutex_unlock(&d->lock);
    return found;
}

uint64_t dirtymap_bytes(DirtyMap *d)
{
    g_mutex_lock(&d->lock);
    uint64_t bytes = MIN(d->count * d->granularity, d->length);
    g_mutex_unlock(&d->lock);
    return bytes;
}

void dirtymap_merge(DirtyMap *to, DirtyMap *from)
{
    uint64_t off = 0, len;
    for (uint64_t at = 0; dirtymap_next(from, at, UINT64_MAX / 2, &off, &len) && off >= at;
         at = off + len) {
        dirtymap_set(to, off, len);
        if (off + len >= from->length) {
            break;
        }
    }
}

void dirtymap_get_bits(DirtyMap *d, uint64_t byte, uint8_t *bits, size_t len)
{
    g_mutex_lock(&d->lock);
    for (size_t i = 0; i < len; i++) {
        uint64_t at = (byte + i) * 8;
        bits[i] = at < d->pieces ? d->bits[at / 64] >> (at % 64) : 0;
    }
    g_mutex_unlock(&d->lock);
}

void dirtymap_put_bits(DirtyMap *d, uint64_t byte, const uint8_t *bits, size_t len)
{
    g_mutex_lock(&d->lock);
    for (uint64_t at = byte * 8; at < d->pieces && at < (byte + len) * 8; at++) {
        change(d, at, at + 1, bits[at / 8 - byte] >> (at % 8) & 1);
    }
    g_mutex_unlock(&d->lock);
}

void dirtymap_resize(DirtyMap *d, uint64_t length)
{
    uint64_t pieces = (length + d->granularity - 1) / d->granularity;
    g_mutex_lock(&d->lock);
    change(d, MIN(pieces, d->pieces), d->pieces, false);
    d->bits = g_renew(uint64_t, d->bits, pieces / 64 + 1);
    for (uint64_t i = d->pieces / 64 + 1; i <= pieces / 64; i++) {
        d->bits[i] = 0;
    }
    d->pieces = pieces;
    d->length = length;
    g_mutex_unlock(&d->lock);
}

/* ---- by name ------------------------------------------------------------------------------- */

static void changed(NodeObserver *o, uint64_t off, uint64_t len)
{
    DirtyBitmap *b = o->opaque;
    if (!__atomic_load_n(&b->disabled, __ATOMIC_RELAXED)) {
        dirtymap_set(b->map, off, len);
    }
}

DirtyBitmap *bitmap_find(BlockNode *n, const char *name, Error **err)
{
    for (DirtyBitmap *b = n->bitmaps; b; b = b->next) {
        if (!strcmp(b->name, name)) {
            return b;
        }
    }
    fail(err, "Dirty bitmap '%s' not found", name);
    return NULL;
}

bool bitmap_add(BlockNode *n, const char *name, uint64_t granularity, bool disabled, Error **err)
{
    if (!*name || strlen(name) > 1023) {
        return fail(err, "Bitmap name cannot be empty or longer than 1023 bytes");
    }
    if (bitmap_find(n, name, NULL)) {
        return fail(err, "Bitmap already exists: %s", name);
    }
    if (!granularity) {
        granularity = CLAMP(n->cluster_size, 4096, 65536);
    }
    if (granularity < 512 || granularity > 1u << 31 || (granularity & (granularity - 1))) {
        return fail(err, "Granularity must be a power of 2 of at least 512");
    }
    if (node_length(n) < 0) {
        return fail(err, "could not get length of device");
    }
    DirtyBitmap *b = g_new0(DirtyBitmap, 1);
    b->name = g_strdup(name);
    b->node = n;
    b->map = dirtymap_new(node_length(n), granularity);
    b->disabled = disabled;
    b->observer = (NodeObserver) { .after = changed, .opaque = b };
    DirtyBitmap **end = &n->bitmaps;
    while (*end) {
        end = &(*end)->next;
    }
    *end = b;
    node_add_observer(n, &b->observer);
    return true;
}

static void free_bitmap(DirtyBitmap *b)
{
    node_remove_observer(b->node, &b->observer);
    dirtymap_free(b->map);
    g_free(b->name);
    g_free(b);
}

bool bitmap_usable(const DirtyBitmap *b, Error **err)
{
    if (b->inconsistent) {
        return fail(err, "Bitmap '%s' is inconsistent and cannot be used: try block-dirty-bitmap-remove to "
                    "delete this bitmap from disk", b->name);
    }
    return !b->busy || fail(err, "Bitmap '%s' is currently in use by another operation and cannot be used",
                            b->name);
}

bool bitmap_make_persistent(DirtyBitmap *b, Error **err)
{
    BlockNode *n = b->node;
    if (!n->driver->keeps_bitmap) {
        return fail(err, "Cannot store dirty bitmaps in file of format '%s'", n->driver->name);
    }
    b->persistent = n->driver->keeps_bitmap(n, b->name, b->map->granularity, err);
    return b->persistent;
}

void bitmap_resize_all(BlockNode *n, uint64_t length)
{
    for (DirtyBitmap *b = n->bitmaps; b; b = b->next) {
        dirtymap_resize(b->map, length);
    }
}

bool bitmap_remove(BlockNode *n, const char *name, Error **err)
{
    DirtyBitmap *b = bitmap_find(n, name, err);
    if (!b || (!b->inconsistent && !bitmap_usable(b, err))) {
        return false;
    }
    DirtyBitmap **p = &n->bitmaps;
    while (*p != b) {
        p = &(*p)->next;
    }
    *p = b->next;
    free_bitmap(b);
    return true;
}

void bitmap_free_all(BlockNode *n)
{
    while (n->bitmaps) {
        DirtyBitmap *b = n->bitmaps;
        n->bitmaps = b->next;
        free_bitmap(b);
    }
}

Json *bitmap_list(BlockNode *n)
{
    Json *list = n->bitmaps ? json_array() : NULL;
    for (DirtyBitmap *b = n->bitmaps; b; b = b->next) {
        Json *o = json_object();
        json_set_str(o, "name", b->name);
        json_set_bool(o, "recording", !b->disabled);
        json_set_bool(o, "persistent", b->persistent);
        if (b->inconsistent) {
            json_set_bool(o, "inconsistent", true);
        }
        json_set_bool(o, "busy", b->busy);
        json_set_uint(o, "granularity", b->map->granularity);
        json_set_uint(o, "count", dirtymap_bytes(b->map));
        json_append(list, o);
    }
    return list;
}
