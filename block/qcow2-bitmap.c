/* SPDX-License-Identifier: MIT */
/*
 * qcow2, "Bitmaps extension": bitmaps of what changed, kept in the image.
 *
 * They are read when the image is opened, and become bitmaps of the node.  Whoever opens it for
 * writing marks them as in use; they are written, into new clusters, when the writer closes it.  So
 * after a crash they are still marked, which says that they may lack something: such a bitmap is
 * shown, kept and can be removed, nothing else.
 *
 *   extension: number, place of the directory   directory: name, flags, place of the table
 *   table: places of clusters with bits, the least significant first; 0 none is set, 1 all are
 */
#include "block/dirtymap.h"
#include "block/qcow2.h"
#include "util/bits.h"
#include "util/iov.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

enum { X_COUNT = 0, X_SIZE = 8, X_OFFSET = 16, X_LENGTH = 24 };
enum { D_TABLE = 0, D_ENTRIES = 8, D_FLAGS = 12, D_TYPE = 16, D_GRANULARITY = 17, D_NAME_LENGTH = 18,
       D_EXTRA = 20, D_NAME = 24 };
enum { FLAG_IN_USE = 1, FLAG_AUTO = 2, FLAG_EXTRA_COMPATIBLE = 4 };
enum { TYPE_DIRTY = 1, MIN_BITS = 9, MAX_BITS = 31 };
#define MAX_BITMAPS   65535u
#define MAX_DIRECTORY (16u << 20)
#define MAX_MEMORY    (64u << 20)       /* bytes of bits, all bitmaps of the image together */

static Extension *extension(const Qcow2 *q)
{
    for (guint i = 0; i < q->extensions->len; i++) {
        Extension *e = &g_array_index(q->extensions, Extension, i);
        if ((int)e->type == EXT_BITMAPS) {
            return e;
        }
    }
    return NULL;
}

static void drop_extension(Qcow2 *q)
{
    Extension *e = extension(q);
    if (e) {
        g_free(e->data);
        g_array_remove_index(q->extensions, e - (Extension *)q->extensions->data);
    }
}

/* ---- the directory --------------------------------------------------------------------------- */

typedef struct Stored {
    uint64_t table, at;                 /* at: of the entry, in the directory */
    uint32_t entries, flags;
    unsigned granularity_bits;
    char *name;
} Stored;

typedef struct Directory {
    uint64_t offset, size;
    GArray *list;                       /* of Stored */
} Directory;

static void clear_stored(gpointer p)
{
    g_free(((Stored *)p)->name);
}

static bool parse_entry(const Qcow2 *q, const uint8_t *p, uint64_t room, Stored *s, uint64_t *len)
{
    uint64_t name = ld16_be(p + D_NAME_LENGTH), extra = ld32_be(p + D_EXTRA);
    *len = (D_NAME + extra + name + 7) & ~7ull;
    if (*len > room || !name || name > 1023 || p[D_TYPE] != TYPE_DIRTY || p[D_GRANULARITY] < MIN_BITS
        || p[D_GRANULARITY] > MAX_BITS || (extra && !(ld32_be(p + D_FLAGS) & FLAG_EXTRA_COMPATIBLE))) {
        return false;
    }
    *s = (Stored) { .table = ld64_be(p + D_TABLE), .entries = ld32_be(p + D_ENTRIES),
                    .flags = ld32_be(p + D_FLAGS), .granularity_bits = p[D_GRANULARITY] };
    uint64_t bytes = (((q->size - 1) >> s->granularity_bits) + 8) / 8;
    uint64_t want = q->size ? (bytes + q->cluster_size - 1) / q->cluster_size : 0;
    /* a crash after a change of the disk's size leaves a table of the old one */
    bool fits = s->entries == want || (s->flags & FLAG_IN_USE && s->entries <= MAX_MEMORY / 512);
    if (!fits || s->table % q->cluster_size || s->table > INT64_MAX - s->entries * 8ull) {
        return false;
    }
    s->name = g_strndup((const char *)p + D_NAME + extra, name);
    return true;
}

static bool read_directory(Qcow2 *q, Directory *d, Error **err)
{
    const Extension *e = extension(q);
    uint32_t count = e && e->len == X_LENGTH ? ld32_be(e->data + X_COUNT) : 0;
    *d = (Directory) { 0 };
    if (!count || count > MAX_BITMAPS) {
        return fail(err, "qcow2: the bitmaps extension is invalid");
    }
    d->size = ld64_be(e->data + X_SIZE);
    d->offset = ld64_be(e->data + X_OFFSET);
    if (d->size > MAX_DIRECTORY || d->offset % q->cluster_size || d->offset > INT64_MAX - d->size) {
        return fail(err, "qcow2: the bitmaps' directory is too long or misplaced");
    }
    g_autofree uint8_t *raw = g_malloc0(d->size + 1);
    int ret = node_pread(q->node->file, d->offset, raw, d->size);
    if (ret < 0) {
        return fail_errno(err, -ret, "qcow2: could not read the bitmaps' directory");
    }
    d->list = g_array_new(FALSE, FALSE, sizeof(Stored));
    g_array_set_clear_func(d->list, clear_stored);
    uint64_t at = 0, len;
    for (uint32_t i = 0; i < count; i++, at += len) {
        Stored s;
        if (at + D_NAME > d->size || !parse_entry(q, raw + at, d->size - at, &s, &len)) {
            g_array_unref(d->list);
            return fail(err, "qcow2: entry %" PRIu32 " of the bitmaps' directory is invalid", i);
        }
        s.at = at;
        g_array_append_val(d->list, s);
    }
    return true;
}

/* ---- reading ------------------------------------------------------------------------------------ */

static int read_bits(Qcow2 *q, const Stored *s, DirtyMap *map)
{
    g_autofree uint64_t *table = g_new0(uint64_t, s->entries + 1);
    g_autofree uint8_t *bits = g_malloc(q->cluster_size);
    int ret = qcow2_read_table(q, s->table, table, s->entries);
    for (uint32_t i = 0; i < s->entries && !ret; i++) {
        uint64_t host = table[i] & ENTRY_OFFSET;
        if (!host) {
            memset(bits, table[i] & 1 ? 0xff : 0, q->cluster_size);
        } else {
            ret = host % q->cluster_size ? -EINVAL : node_pread(q->node->file, host, bits, q->cluster_size);
        }
        if (!ret) {
            dirtymap_put_bits(map, i * (uint64_t)q->cluster_size, bits, q->cluster_size);
        }
    }
    return ret;
}

static bool load_one(BlockNode *n, const Stored *s, Error **err)
{
    if (!bitmap_add(n, s->name, 1ull << s->granularity_bits, true, err)) {
        return false;
    }
    DirtyBitmap *b = bitmap_find(n, s->name, NULL);
    b->persistent = true;
    b->inconsistent = s->flags & FLAG_IN_USE;
    int ret = b->inconsistent ? 0 : read_bits(n->state, s, b->map);
    b->disabled = b->inconsistent || !(s->flags & FLAG_AUTO);
    return !ret || fail_errno(err, -ret, "qcow2: could not read bitmap '%s'", s->name);
}

bool qcow2_load_bitmaps(BlockNode *n, Error **err)
{
    Qcow2 *q = n->state;
    Directory d;
    if (!extension(q)) {
        return true;
    }
    if (!(q->autoclear & AUTOCLEAR_BITMAPS)) {
        /* who wrote last knows nothing of bitmaps; their clusters are leaked until a repair */
        drop_extension(q);
        return true;
    }
    if (!read_directory(q, &d, err)) {
        return false;
    }
    bool ok = true;
    uint64_t memory = 0;
    for (guint i = 0; i < d.list->len && ok; i++) {
        const Stored *s = &g_array_index(d.list, Stored, i);
        memory += q->size >> s->granularity_bits >> 3;
        ok = memory <= MAX_MEMORY ? load_one(n, s, err)
             : fail(err, "qcow2: the bitmaps have more than %u MiB together", MAX_MEMORY >> 20);
    }
    g_array_unref(d.list);
    return ok;
}

int qcow2_mark_bitmaps(Qcow2 *q)
{
    Directory d;
    int ret = 0;
    if (!extension(q) || !read_directory(q, &d, NULL)) {
        return extension(q) ? -EINVAL : 0;
    }
    for (guint i = 0; i < d.list->len && !ret; i++) {
        const Stored *s = &g_array_index(d.list, Stored, i);
        uint8_t flags[4];
        st32_be(flags, s->flags | FLAG_IN_USE);
        ret = s->flags & FLAG_IN_USE ? 0 : node_pwrite(q->node->file, d.offset + s->at + D_FLAGS, flags, 4);
    }
    g_array_unref(d.list);
    return ret ? ret : node_flush(q->node->file);
}

/* ---- writing ---------------------------------------------------------------------------------------- */

static int new_clusters(Qcow2 *q, uint64_t count, uint64_t *offset)
{
    g_mutex_lock(&q->lock);
    int64_t got = qcow2_alloc(q, count, true, offset);
    g_mutex_unlock(&q->lock);
    return got < 0 ? got : 0;
}

/* Places for table entry i; none for bits that are all alike. */
static int write_bits(Qcow2 *q, DirtyMap *map, uint32_t i, uint64_t *entry)
{
    g_autofree uint8_t *bits = g_malloc(q->cluster_size);
    uint64_t host;
    dirtymap_get_bits(map, i * (uint64_t)q->cluster_size, bits, q->cluster_size);
    struct iovec iov = { bits, q->cluster_size };
    *entry = 0;
    if (iov_is_zero(&iov, 1)) {
        return 0;
    }
    int ret = new_clusters(q, 1, &host);
    *entry = ret ? 0 : host;
    return ret ? ret : node_pwrite(q->node->file, host, bits, q->cluster_size);
}

static int store_one(Qcow2 *q, const DirtyBitmap *b, GByteArray *dir)
{
    uint64_t bytes = (b->map->pieces + 7) / 8, host = 0;
    uint32_t entries = (bytes + q->cluster_size - 1) / q->cluster_size;
    g_autofree uint64_t *table = g_new0(uint64_t, entries + 1);
    int ret = entries ? new_clusters(q, qcow2_clusters(q, entries * 8ull), &host) : 0;
    for (uint32_t i = 0; i < entries && !ret; i++) {
        ret = write_bits(q, b->map, i, &table[i]);
    }
    ret = ret || !entries ? ret : qcow2_write_table(q, host, table, entries);
    uint8_t h[D_NAME] = { 0 };
    size_t name = strlen(b->name);
    st64_be(h + D_TABLE, host);
    st32_be(h + D_ENTRIES, entries);
    st32_be(h + D_FLAGS, b->inconsistent ? FLAG_IN_USE : b->disabled ? 0 : FLAG_AUTO);
    h[D_TYPE] = TYPE_DIRTY;
    h[D_GRANULARITY] = __builtin_ctzll(b->map->granularity);
    st16_be(h + D_NAME_LENGTH, name);
    g_byte_array_append(dir, h, sizeof(h));
    g_byte_array_append(dir, (const uint8_t *)b->name, name);
    while (dir->len % 8) {
        g_byte_array_append(dir, (const uint8_t *)"", 1);
    }
    return ret;
}

/* What the file had before is named by nothing any more. */
static void free_directory(Qcow2 *q, const Directory *d)
{
    g_mutex_lock(&q->lock);
    for (guint i = 0; i < d->list->len; i++) {
        const Stored *s = &g_array_index(d->list, Stored, i);
        g_autofree uint64_t *table = g_new0(uint64_t, s->entries + 1);
        if (qcow2_read_table(q, s->table, table, s->entries) < 0) {
            continue;                   /* leaked */
        }
        for (uint32_t k = 0; k < s->entries; k++) {
            if (table[k] & ENTRY_OFFSET) {
                qcow2_free_later(q, table[k] & ENTRY_OFFSET, q->cluster_size, FREED_OTHER);
            }
        }
        qcow2_free_later(q, s->table, qcow2_round_up(q, s->entries * 8ull), FREED_OTHER);
    }
    qcow2_free_later(q, d->offset, qcow2_round_up(q, d->size), FREED_OTHER);
    g_mutex_unlock(&q->lock);
}

/* The header tells of this directory (empty: of none). */
static int announce(Qcow2 *q, uint32_t count, const GByteArray *dir)
{
    uint64_t host = 0;
    int ret = 0;
    if (count) {
        ret = new_clusters(q, qcow2_clusters(q, dir->len), &host);
        ret = ret ? ret : node_pwrite(q->node->file, host, dir->data, dir->len);
    }
    ret = ret ? ret : qcow2_sync(q);    /* counted, and there, before they are named */
    if (ret < 0) {
        return ret;
    }
    drop_extension(q);
    q->autoclear &= ~(uint64_t)AUTOCLEAR_BITMAPS;
    if (count) {
        Extension e = { EXT_BITMAPS, X_LENGTH, g_malloc0(X_LENGTH) };
        st32_be(e.data + X_COUNT, count);
        st64_be(e.data + X_SIZE, dir->len);
        st64_be(e.data + X_OFFSET, host);
        g_array_append_val(q->extensions, e);
        q->autoclear |= AUTOCLEAR_BITMAPS;
    }
    ret = qcow2_write_header(q);
    return ret ? ret : node_flush(q->node->file);
}

int qcow2_store_bitmaps(BlockNode *n)
{
    Qcow2 *q = n->state;
    g_autoptr(GByteArray) dir = g_byte_array_new();
    Directory old = { 0 };
    uint32_t count = 0;
    int ret = 0;
    bool had = extension(q) && read_directory(q, &old, NULL);
    for (const DirtyBitmap *b = n->bitmaps; b && !ret; b = b->next) {
        if (b->persistent) {
            ret = store_one(q, b, dir);
            count++;
        }
    }
    if (!ret && (count || had)) {
        ret = announce(q, count, dir);
    }
    if (had) {
        if (!ret) {
            free_directory(q, &old);
        }
        g_array_unref(old.list);
    }
    return ret;
}

bool qcow2_keeps_bitmap(BlockNode *n, const char *name, uint64_t granularity, Error **err)
{
    Qcow2 *q = n->state;
    uint64_t bytes = (q->size / granularity + 8) / 8;
    if (q->version < 3) {
        return fail(err, "Cannot store dirty bitmaps in qcow2 v2 files");
    }
    if (n->flags.read_only) {
        return fail(err, "Bitmap '%s' can't be stored: the image is read-only", name);
    }
    if (granularity < 1u << MIN_BITS || granularity > 1u << MAX_BITS) {
        return fail(err, "Granularity exceeds maximum (%u bytes)", 1u << MAX_BITS);
    }
    for (const DirtyBitmap *b = n->bitmaps; b; b = b->next) {
        bytes += b->persistent ? (b->map->pieces + 7) / 8 : 0;
    }
    return bytes <= MAX_MEMORY || fail(err, "Too much space will be occupied by the bitmaps. Use a larger "
                                       "granularity");
}

/* ---- telling ------------------------------------------------------------------------------------------ */

/* As the file has them; NULL: none. */
Json *qcow2_bitmaps_info(Qcow2 *q)
{
    Directory d;
    if (!extension(q) || !read_directory(q, &d, NULL)) {
        return NULL;
    }
    Json *all = json_array();
    for (guint i = 0; i < d.list->len; i++) {
        const Stored *s = &g_array_index(d.list, Stored, i);
        Json *o = json_object(), *flags = json_array();
        if (s->flags & FLAG_IN_USE) {
            json_append(flags, json_str("in-use"));
        }
        if (s->flags & FLAG_AUTO) {
            json_append(flags, json_str("auto"));
        }
        json_set(o, "flags", flags);
        json_set_str(o, "name", s->name);
        json_set_uint(o, "granularity", 1ull << s->granularity_bits);
        json_append(all, o);
    }
    g_array_unref(d.list);
    return all;
}
