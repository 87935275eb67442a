/* SPDX-License-Identifier: MIT */
/*
 * qcow2: the cached tables and the order in which they go to the file (see qcow2.h).  The
 * caches hold clean slices as long as there is room; dirty ones leave through qcow2_commit
 * only, which runs before half of a cache is dirty, so room can always be made.
 */
#include "block/qcow2.h"
#include "util/bits.h"

#include <errno.h>
#include <string.h>

#define SECTOR 512u

static void free_slice(gpointer p)
{
    Slice *s = p;
    g_free(s->data);
    g_free(s);
}

void qcow2_cache_init(TableCache *c, unsigned slice_size, uint64_t bytes)
{
    c->slices = g_hash_table_new_full(g_int64_hash, g_int64_equal, NULL, free_slice);
    g_queue_init(&c->lru);
    c->slice_size = slice_size;
    c->max = CLAMP(bytes / slice_size, 64, 1u << 20);
    c->dirty = 0;
}

void qcow2_cache_clear(TableCache *c)
{
    if (c->slices) {
        g_hash_table_remove_all(c->slices);
    }
    g_queue_init(&c->lru);              /* the links were in the slices */
    c->dirty = 0;
}

void qcow2_cache_clean(TableCache *c)
{
    GHashTableIter it;
    Slice *s;
    g_hash_table_iter_init(&it, c->slices);
    while (g_hash_table_iter_next(&it, NULL, (gpointer *)&s)) {
        if (!s->dirty && !s->used) {
            g_queue_unlink(&c->lru, &s->link);
            g_hash_table_iter_remove(&it);
        } else {
            s->used = false;
        }
    }
}

static Slice *find(TableCache *c, uint64_t offset)
{
    offset -= offset % c->slice_size;
    return g_hash_table_lookup(c->slices, &offset);
}

static void remove_slice(TableCache *c, Slice *s)
{
    c->dirty -= s->dirty;
    g_queue_unlink(&c->lru, &s->link);
    g_hash_table_remove(c->slices, &s->offset);
}

/* Room for one more: the oldest clean slice goes. */
static int make_room(Qcow2 *q, TableCache *c)
{
    if (c->dirty >= c->max / 2) {
        int ret = qcow2_commit(q);
        if (ret < 0) {
            return ret;
        }
    }
    while (g_hash_table_size(c->slices) >= c->max) {
        GList *l = c->lru.tail;
        while (l && ((Slice *)l->data)->dirty) {
            l = l->prev;
        }
        if (!l) {
            break;
        }
        remove_slice(c, l->data);
    }
    return 0;
}

static Slice *add_slice(TableCache *c, uint64_t offset)
{
    Slice *s = g_new0(Slice, 1);
    s->offset = offset;
    s->data = g_malloc0(c->slice_size);
    s->link.data = s;
    g_hash_table_insert(c->slices, &s->offset, s);
    g_queue_push_head_link(&c->lru, &s->link);
    return s;
}

int qcow2_cache_get(Qcow2 *q, TableCache *c, uint64_t offset, uint8_t **p)
{
    Slice *s = find(c, offset);
    if (!s) {
        int ret = make_room(q, c);
        if (ret < 0) {
            return ret;
        }
        s = add_slice(c, offset - offset % c->slice_size);
        ret = node_pread(q->node->file, s->offset, s->data, c->slice_size);
        if (ret < 0) {
            remove_slice(c, s);
            return ret;
        }
    } else if (c->lru.head != &s->link) {
        g_queue_unlink(&c->lru, &s->link);
        g_queue_push_head_link(&c->lru, &s->link);
    }
    s->used = true;
    *p = s->data + offset % c->slice_size;
    return 0;
}

bool qcow2_cache_has(TableCache *c, uint64_t offset)
{
    return find(c, offset) != NULL;
}

int qcow2_cache_new(Qcow2 *q, TableCache *c, uint64_t offset, uint8_t **p)
{
    int ret = make_room(q, c);
    if (ret < 0) {
        return ret;
    }
    Slice *s = find(c, offset);
    if (s) {
        memset(s->data, 0, c->slice_size);
    } else {
        s = add_slice(c, offset);
    }
    qcow2_cache_dirty(c, offset, c->slice_size);
    *p = s->data;
    return 0;
}

void qcow2_cache_dirty(TableCache *c, uint64_t offset, unsigned len)
{
    Slice *s = find(c, offset);
    unsigned from = offset - s->offset;
    if (!s->dirty) {
        s->dirty = true;
        s->dirty_from = from;
        s->dirty_to = from + len;
        c->dirty++;
    }
    s->dirty_from = MIN(s->dirty_from, from);
    s->dirty_to = MAX(s->dirty_to, from + len);
}

void qcow2_cache_drop(TableCache *c, uint64_t offset, uint64_t len)
{
    for (uint64_t at = offset; at < offset + len; at += c->slice_size) {
        Slice *s = find(c, at);
        if (s) {
            remove_slice(c, s);
        }
    }
}

/* ---- to the file -------------------------------------------------------------------- */

static int write_slice(Qcow2 *q, TableCache *c, Slice *s)
{
    /* whole sectors: a power cut leaves an old or a new one */
    unsigned from = s->dirty_from / SECTOR * SECTOR;
    unsigned to = MIN((s->dirty_to + SECTOR - 1) / SECTOR * SECTOR, c->slice_size);
    int ret = node_pwrite(q->node->file, s->offset + from, s->data + from, to - from);
    if (!ret) {
        s->dirty = false;
        c->dirty--;
    }
    return ret;
}

/* only: NULL, or the set of tables to write */
static int write_slices(Qcow2 *q, TableCache *c, GHashTable *only)
{
    int ret = 0;
    for (GList *l = c->lru.head; l && c->dirty && !ret; l = l->next) {
        Slice *s = l->data;
        uint64_t table = s->offset & ~(uint64_t)(q->cluster_size - 1);
        if (s->dirty && (!only || g_hash_table_contains(only, &table))) {
            ret = write_slice(q, c, s);
        }
    }
    return ret;
}

int qcow2_file_barrier(Qcow2 *q)
{
    int ret = q->external ? node_flush(q->data) : 0;
    return ret < 0 ? ret : node_flush(q->node->file);
}

int qcow2_read_table(Qcow2 *q, uint64_t offset, uint64_t *table, uint64_t entries)
{
    int ret = entries ? node_pread(q->node->file, offset, table, entries * 8) : 0;
    for (uint64_t i = 0; i < entries && !ret; i++) {
        table[i] = ld64_be(&table[i]);
    }
    return ret;
}

int qcow2_write_table(Qcow2 *q, uint64_t offset, const uint64_t *table, uint64_t entries)
{
    g_autofree uint64_t *copy = g_new(uint64_t, entries);
    for (uint64_t i = 0; i < entries; i++) {
        st64_be(&copy[i], table[i]);
    }
    return entries ? node_pwrite(q->node->file, offset, copy, entries * 8) : 0;
}

static int write_l1(Qcow2 *q)
{
    if (q->l1_dirty_from >= q->l1_dirty_to) {
        return 0;
    }
    uint32_t from = q->l1_dirty_from & ~63u, to = MIN((q->l1_dirty_to + 63) & ~63u, q->l1_size);
    int ret = qcow2_write_table(q, q->l1_offset + from * 8ull, q->l1 + from, to - from);
    if (!ret) {
        q->l1_dirty_from = UINT32_MAX;
        q->l1_dirty_to = 0;
        g_hash_table_remove_all(q->fresh);
    }
    return ret;
}

int qcow2_commit(Qcow2 *q)
{
    bool l1_dirty = q->l1_dirty_from < q->l1_dirty_to;
    int ret = 0;
    if (!q->lazy && q->refs.dirty) {
        /* until the barrier, even if nothing in this commit names the new clusters */
        q->barrier_needed = true;
        ret = write_slices(q, &q->refs, NULL);
    }
    if (!ret && l1_dirty) {
        q->barrier_needed = true;
        ret = write_slices(q, &q->l2, q->fresh);
    }
    if (!ret && q->barrier_needed && (q->l2.dirty || l1_dirty)) {
        ret = qcow2_file_barrier(q);
        q->barrier_needed = ret < 0;
    }
    ret = ret ? ret : write_slices(q, &q->l2, NULL);
    ret = ret ? ret : write_l1(q);
    /* lazy: nothing orders refcounts, but the cache must not fill up with them */
    if (!ret && q->lazy && q->refs.dirty >= q->refs.max / 2) {
        ret = write_slices(q, &q->refs, NULL);
    }
    return ret;
}

/* The freed clusters that nobody else has: their space can go back to the host. */
static GArray *to_punch(Qcow2 *q, const GArray *freed)
{
    GArray *list = g_array_new(FALSE, FALSE, sizeof(Range));
    for (guint i = 0; i < freed->len; i++) {
        Range r = g_array_index(freed, Range, i);
        uint64_t count;
        for (; q->pass_discard[r.why] && r.len >= q->cluster_size; r.len -= q->cluster_size, r.offset += q->cluster_size) {
            if (!(r.offset % q->cluster_size)
                && !qcow2_refcount_get(q, r.offset >> q->cluster_bits, &count) && count == 1
                && !qcow2_is_table(q, r.offset, q->cluster_size)) {
                Range one = { r.offset, q->cluster_size, r.why };
                Range *last = list->len ? &g_array_index(list, Range, list->len - 1) : NULL;
                if (last && last->offset + last->len == one.offset) {
                    last->len += one.len;
                } else {
                    g_array_append_val(list, one);
                }
            }
        }
    }
    return list;
}

/*
 * The last barrier is waited for without the lock.  What is freed in the meantime goes to
 * another list and waits for the next one.
 */
int qcow2_sync(Qcow2 *q)
{
    g_mutex_lock(&q->lock);
    while (q->committing) {
        qcow2_wait(q);
    }
    int ret = qcow2_commit(q);
    GArray *freed = q->pending_free;
    if (!ret) {
        q->committing = true;
        q->pending_free = g_array_new(FALSE, FALSE, sizeof(Range));
        g_autoptr(GArray) punch = to_punch(q, freed);
        g_mutex_unlock(&q->lock);
        ret = qcow2_file_barrier(q);
        for (guint i = 0; !ret && i < punch->len; i++) {
            Range *r = &g_array_index(punch, Range, i);
            node_discard(q->node->file, r->offset, r->len);
        }
        g_mutex_lock(&q->lock);
        q->committing = false;
    }
    if (freed != q->pending_free && ret) {
        g_array_append_vals(q->pending_free, freed->data, freed->len);
        g_array_unref(freed);
    } else if (freed != q->pending_free) {
        for (guint i = 0; i < freed->len; i++) {
            Range *r = &g_array_index(freed, Range, i);
            /* a failure here leaks the cluster, no more */
            qcow2_refcount_add(q, r->offset, r->len, -1);
        }
        g_array_unref(freed);
        g_mutex_lock(&q->inflated_lock);
        q->inflated_host = 0;
        g_mutex_unlock(&q->inflated_lock);
    }
    qcow2_wake(q);
    g_mutex_unlock(&q->lock);
    return ret;
}
