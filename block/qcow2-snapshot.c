/* SPDX-License-Identifier: MIT */
/*
 * qcow2, "Snapshots": copies of the L1 table, whose L2 tables and clusters then count one name
 * more.  Counts and COPIED flags of the whole disk change together, which no single write can
 * do; so from version 3 on the image is marked dirty meanwhile, and whoever opens it after a
 * crash counts anew.  Nothing else may be in flight here (the callers drain).
 */
#include "block/qcow2.h"
#include "util/bits.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

enum {
    S_L1_OFFSET = 0, S_L1_SIZE = 8, S_ID_LEN = 12, S_NAME_LEN = 14, S_DATE = 16, S_DATE_NSEC = 20,
    S_CLOCK = 24, S_VM_SIZE = 32, S_EXTRA_SIZE = 36, S_FIXED = 40,
    /* extra data */
    X_VM_SIZE = 0, X_DISK_SIZE = 8, X_ICOUNT = 16, X_KNOWN = 24,
};

/* ---- the table ---------------------------------------------------------------------------- */

static void free_one(gpointer p)
{
    Qcow2Snapshot *s = p;
    g_free(s->extra);
    snapshot_free(&s->info);
}

void qcow2_free_snapshots(Qcow2 *q)
{
    g_clear_pointer(&q->snapshots, g_ptr_array_unref);
}

static bool read_bytes(Qcow2 *q, uint64_t *at, void *buf, size_t len, Error **err)
{
    if (*at - q->snapshots_offset + len > QCOW2_MAX_SNAPTABLE) {
        return fail(err, "Snapshot table is too large");
    }
    int ret = node_pread(q->node->file, *at, buf, len);
    *at += len;
    return !ret || fail_errno(err, -ret, "Failed to read snapshot table");
}

static bool parse_extra(Qcow2 *q, Qcow2Snapshot *s, const uint8_t *x, uint32_t len)
{
    if (len >= X_VM_SIZE + 8) {
        s->info.vm_state_size = ld64_be(x + X_VM_SIZE);
    }
    s->info.disk_size = len >= X_DISK_SIZE + 8 ? ld64_be(x + X_DISK_SIZE) : q->size;
    s->info.icount = len >= X_ICOUNT + 8 ? ld64_be(x + X_ICOUNT) : UINT64_MAX;
    if (len > X_KNOWN) {
        s->extra_size = len - X_KNOWN;
        s->extra = g_memdup2(x + X_KNOWN, s->extra_size);
    }
    return true;
}

static bool read_one(Qcow2 *q, uint64_t *at, Error **err)
{
    uint8_t h[S_FIXED];
    *at = (*at + 7) & ~7ull;
    if (!read_bytes(q, at, h, sizeof(h), err)) {
        return false;
    }
    uint32_t extra = ld32_be(h + S_EXTRA_SIZE), id = ld16_be(h + S_ID_LEN), name = ld16_be(h + S_NAME_LEN);
    if (extra > 1024) {
        return fail(err, "Too much extra metadata in snapshot table entry");
    }
    g_autofree uint8_t *rest = g_malloc0(extra + id + name + 1);
    if (!read_bytes(q, at, rest, extra + id + name, err)) {
        return false;
    }
    Qcow2Snapshot *s = g_new0(Qcow2Snapshot, 1);
    s->l1_offset = ld64_be(h + S_L1_OFFSET);
    s->l1_size = ld32_be(h + S_L1_SIZE);
    s->info.date_sec = ld32_be(h + S_DATE);
    s->info.date_nsec = ld32_be(h + S_DATE_NSEC);
    s->info.vm_clock_ns = ld64_be(h + S_CLOCK);
    s->info.vm_state_size = ld32_be(h + S_VM_SIZE);
    parse_extra(q, s, rest, extra);
    s->info.id = g_strndup((char *)rest + extra, id);
    s->info.name = g_strndup((char *)rest + extra + id, name);
    g_ptr_array_add(q->snapshots, s);
    return true;
}

bool qcow2_read_snapshots(Qcow2 *q, Error **err)
{
    uint8_t raw[4];
    uint64_t at = q->snapshots_offset;
    q->snapshots = g_ptr_array_new_with_free_func(free_one);
    int ret = node_pread(q->node->file, H_SNAPSHOTS, raw, 4);
    if (ret < 0) {
        return fail_errno(err, -ret, "Could not read qcow2 header");
    }
    uint32_t count = ld32_be(raw);
    if (count && (at % q->cluster_size || at > INT64_MAX - QCOW2_MAX_SNAPTABLE)) {
        return fail(err, "Snapshot table offset invalid");
    }
    for (uint32_t i = 0; i < count; i++) {
        if (!read_one(q, &at, err)) {
            return false;
        }
    }
    q->snapshots_size = at - q->snapshots_offset;
    return true;
}

GPtrArray *qcow2_snapshots(BlockNode *n)
{
    return ((Qcow2 *)n->state)->snapshots;
}

static void append_one(GByteArray *out, const Qcow2Snapshot *s)
{
    static const uint8_t zeroes[8];
    uint8_t h[S_FIXED + X_KNOWN] = { 0 };
    st64_be(h + S_L1_OFFSET, s->l1_offset);
    st32_be(h + S_L1_SIZE, s->l1_size);
    st16_be(h + S_ID_LEN, strlen(s->info.id));
    st16_be(h + S_NAME_LEN, strlen(s->info.name));
    st32_be(h + S_DATE, s->info.date_sec);
    st32_be(h + S_DATE_NSEC, s->info.date_nsec);
    st64_be(h + S_CLOCK, s->info.vm_clock_ns);
    st32_be(h + S_VM_SIZE, s->info.vm_state_size <= UINT32_MAX ? s->info.vm_state_size : 0);
    st32_be(h + S_EXTRA_SIZE, X_KNOWN + s->extra_size);
    st64_be(h + S_FIXED + X_VM_SIZE, s->info.vm_state_size);
    st64_be(h + S_FIXED + X_DISK_SIZE, s->info.disk_size);
    st64_be(h + S_FIXED + X_ICOUNT, s->info.icount);
    g_byte_array_append(out, zeroes, -out->len & 7);
    g_byte_array_append(out, h, sizeof(h));
    g_byte_array_append(out, s->extra, s->extra_size);
    g_byte_array_append(out, (const uint8_t *)s->info.id, strlen(s->info.id));
    g_byte_array_append(out, (const uint8_t *)s->info.name, strlen(s->info.name));
}

/* A new table from the list, named by the header when this returns; the old one is freed. */
static int write_snapshots(Qcow2 *q)
{
    g_autoptr(GByteArray) t = g_byte_array_new();
    for (guint i = 0; i < q->snapshots->len; i++) {
        append_one(t, q->snapshots->pdata[i]);
    }
    uint64_t at = 0, old = q->snapshots_offset, old_size = q->snapshots_size;
    if (t->len > QCOW2_MAX_SNAPTABLE) {
        return -EFBIG;
    }
    int64_t ret = t->len ? qcow2_alloc(q, qcow2_clusters(q, t->len), true, &at) : 0;
    if (ret < 0) {
        return ret;
    }
    ret = t->len ? node_pwrite(q->node->file, at, t->data, t->len) : 0;
    ret = ret ? ret : qcow2_commit(q);
    ret = ret ? ret : qcow2_file_barrier(q);
    uint8_t h[12];
    st32_be(h, q->snapshots->len);
    st64_be(h + 4, at);
    ret = ret ? ret : node_pwrite(q->node->file, H_SNAPSHOTS, h, sizeof(h));
    ret = ret ? ret : qcow2_file_barrier(q);
    if (ret < 0) {
        if (t->len) {
            qcow2_refcount_add(q, at, t->len, -1);
        }
        return ret;
    }
    q->snapshots_offset = at;
    q->snapshots_size = t->len;
    if (old_size) {
        qcow2_refcount_add(q, old, old_size, -1);
    }
    return 0;
}

/* ---- counts --------------------------------------------------------------------------------- */

/* Adds `by` for everything one L2 table names.  *done: entries handled (undo handles as many). */
static int count_l2(Qcow2 *q, uint64_t table, int by, uint64_t *done, uint64_t limit)
{
    for (uint64_t i = 0; i < 1ull << q->l2_bits && *done < limit; i++, ++*done) {
        uint8_t *p;
        Cluster c;
        int ret = qcow2_cache_get(q, &q->l2, table + i * q->entry_size, &p);
        if (ret < 0) {
            return ret;
        }
        qcow2_decode(q, ld64_be(p), q->extended ? ld64_be(p + 8) : 0, &c);
        if (c.type == CLUSTER_COMPRESSED) {
            uint64_t start = c.host & ~511ull;
            ret = qcow2_refcount_add(q, start, c.host + c.csize - start, by);
        } else if (c.host && !q->external) {
            ret = c.host % q->cluster_size ? -EIO : qcow2_refcount_add(q, c.host, q->cluster_size, by);
        }
        if (ret < 0) {
            return ret;
        }
    }
    return 0;
}

static int count_l1_until(Qcow2 *q, const uint64_t *l1, uint32_t size, int by, uint64_t *done,
                          uint64_t limit)
{
    int ret = 0;
    for (uint32_t i = 0; i < size && !ret && *done < limit; i++) {
        uint64_t table = l1[i] & ENTRY_OFFSET;
        if (!table) {
            continue;
        }
        ret = table % q->cluster_size ? -EIO : count_l2(q, table, by, done, limit);
        if (!ret && *done < limit) {
            ret = qcow2_refcount_add(q, table, q->cluster_size, by);
            *done += !ret;
        }
    }
    return ret;
}

/* All or nothing. */
static int count_l1(Qcow2 *q, const uint64_t *l1, uint32_t size, int by)
{
    uint64_t done = 0, undone = 0;
    int ret = count_l1_until(q, l1, size, by, &done, UINT64_MAX);
    if (ret < 0) {
        count_l1_until(q, l1, size, -by, &undone, done);
    }
    return ret;
}

static int flag_entry(Qcow2 *q, uint64_t at)
{
    uint8_t *p;
    Cluster c;
    uint64_t count;
    int ret = qcow2_cache_get(q, &q->l2, at, &p);
    if (ret < 0) {
        return ret;
    }
    qcow2_decode(q, ld64_be(p), q->extended ? ld64_be(p + 8) : 0, &c);
    if (c.type == CLUSTER_COMPRESSED || !c.host || q->external) {
        return 0;
    }
    ret = qcow2_refcount_get(q, c.host >> q->cluster_bits, &count);
    uint64_t want = (c.entry & ~ENTRY_COPIED) | (count == 1 ? ENTRY_COPIED : 0);
    if (!ret && want != c.entry) {
        st64_be(p, want);
        qcow2_cache_dirty(&q->l2, at, 8);
    }
    return ret;
}

/* COPIED in the active tables as the counts say. */
static int update_flags(Qcow2 *q)
{
    for (uint32_t i = 0; i < q->l1_size; i++) {
        uint64_t table = q->l1[i] & ENTRY_OFFSET, count;
        if (!table) {
            continue;
        }
        int ret = qcow2_refcount_get(q, table >> q->cluster_bits, &count);
        for (uint64_t e = 0; e < 1ull << q->l2_bits && !ret; e++) {
            ret = flag_entry(q, table + e * q->entry_size);
        }
        if (ret < 0) {
            return ret;
        }
        q->l1[i] = table | (count == 1 ? ENTRY_COPIED : 0);
    }
    q->l1_dirty_from = 0;
    q->l1_dirty_to = q->l1_size;
    return 0;
}

/* ---- operations --------------------------------------------------------------------------- */

/* The frame around each: everything settled before, marked dirty, settled again. */
static int start(Qcow2 *q)
{
    int ret = qcow2_sync(q);
    ret = ret ? ret : qcow2_sync(q);
    return ret ? ret : qcow2_set_incompatible(q, INCOMPAT_DIRTY, true);
}

static int finish(Qcow2 *q, int ret)
{
    int synced = qcow2_sync(q);
    ret = ret ? ret : synced;
    return ret || q->lazy ? ret : qcow2_set_incompatible(q, INCOMPAT_DIRTY, false);
}

/*
 * What count_l1 dropped to nothing goes back to the host, if it is still free and the file knows of
 * it (ret).  Lock not held.
 */
static void punch_dropped(Qcow2 *q, int ret)
{
    g_mutex_lock(&q->lock);
    g_autoptr(GArray) dropped = g_steal_pointer(&q->dropped);
    for (guint i = 0, run; !ret && q->pass_discard[FREED_SNAPSHOT] && i < dropped->len; i += run) {
        uint64_t first = g_array_index(dropped, uint64_t, i), count;
        for (run = 0; i + run < dropped->len && g_array_index(dropped, uint64_t, i + run) == first + run
             && !qcow2_refcount_get(q, first + run, &count) && !count; run++) {
        }
        if (run) {
            node_discard(q->node->file, first << q->cluster_bits, (uint64_t)run << q->cluster_bits);
        }
        run += !run;
    }
    g_mutex_unlock(&q->lock);
}

static Qcow2Snapshot *find(Qcow2 *q, const char *id, guint *index)
{
    BlockSnapshot *s = snapshot_find(q->node, id);
    for (guint i = 0; s && i < q->snapshots->len; i++) {
        if (q->snapshots->pdata[i] == s) {
            *index = i;
            return (Qcow2Snapshot *)s;
        }
    }
    return NULL;
}

static char *free_id(Qcow2 *q)
{
    uint64_t max = 0;
    for (guint i = 0; i < q->snapshots->len; i++) {
        max = MAX(max, g_ascii_strtoull(((BlockSnapshot *)q->snapshots->pdata[i])->id, NULL, 10));
    }
    return g_strdup_printf("%" PRIu64, max + 1);
}

static int create(Qcow2 *q, Qcow2Snapshot *s)
{
    uint64_t bytes = q->l1_size * 8ull;
    s->l1_size = q->l1_size;
    int64_t ret = bytes ? qcow2_alloc(q, qcow2_clusters(q, bytes), true, &s->l1_offset) : 0;
    if (ret < 0) {
        return ret;
    }
    ret = count_l1(q, q->l1, q->l1_size, 1);
    if (ret < 0) {
        if (bytes) {
            qcow2_refcount_add(q, s->l1_offset, bytes, -1);
        }
        return ret;
    }
    ret = update_flags(q);
    ret = ret ? ret : qcow2_write_table(q, s->l1_offset, q->l1, q->l1_size);
    ret = ret ? ret : qcow2_commit(q);
    if (ret < 0) {
        return ret;
    }
    g_ptr_array_add(q->snapshots, s);
    ret = write_snapshots(q);
    if (ret < 0) {
        g_ptr_array_steal_index(q->snapshots, q->snapshots->len - 1);
        count_l1(q, q->l1, q->l1_size, -1);
        update_flags(q);
    }
    return ret;
}

bool qcow2_snapshot_create(BlockNode *n, const BlockSnapshot *info, Error **err)
{
    Qcow2 *q = n->state;
    if (n->flags.read_only) {
        return fail(err, "Image is read-only");
    }
    if (q->external) {
        return fail(err, "Snapshots are not possible with an external data file");
    }
    if (q->snapshots->len >= QCOW2_MAX_SNAPSHOTS) {
        return fail(err, "Too many snapshots");
    }
    Qcow2Snapshot *s = g_new0(Qcow2Snapshot, 1);
    s->info = *info;
    s->info.id = info->id && *info->id ? g_strdup(info->id) : free_id(q);
    s->info.name = g_strndup(info->name ? info->name : "", 255);
    s->info.disk_size = q->size;
    int ret = start(q);
    if (!ret) {
        g_mutex_lock(&q->lock);
        ret = create(q, s);
        g_mutex_unlock(&q->lock);
        ret = finish(q, ret);
    }
    if (ret < 0 && !g_ptr_array_find(q->snapshots, s, NULL)) {
        free_one(s);
    }
    return !ret || fail_errno(err, -ret, "Could not create snapshot '%s'", info->name ? info->name : "");
}

static bool load_l1(Qcow2 *q, const Qcow2Snapshot *s, uint64_t **l1, Error **err)
{
    if (s->l1_size > QCOW2_MAX_L1 / 8 || s->l1_offset % q->cluster_size
        || s->l1_offset > INT64_MAX - QCOW2_MAX_L1) {
        return fail(err, "Snapshot L1 table offset or size invalid");
    }
    *l1 = g_new0(uint64_t, s->l1_size + 1);
    int ret = qcow2_read_table(q, s->l1_offset, *l1, s->l1_size);
    return !ret || fail_errno(err, -ret, "Could not read the L1 table of the snapshot");
}

int qcow2_switch_l1(Qcow2 *q, uint64_t *table, uint32_t size, uint64_t disk_size)
{
    uint64_t at = 0, bytes = size * 8ull;
    int64_t ret = bytes ? qcow2_alloc(q, qcow2_clusters(q, bytes), true, &at) : 0;
    if (ret < 0) {
        return ret;
    }
    ret = qcow2_write_table(q, at, table, size);
    ret = ret ? ret : qcow2_commit(q);
    ret = ret ? ret : qcow2_file_barrier(q);
    uint8_t h[H_REFTABLE_OFFSET - H_SIZE];  /* one sector: old or new */
    st64_be(h, disk_size);
    st32_be(h + H_CRYPT - H_SIZE, 0);
    st32_be(h + H_L1_SIZE - H_SIZE, size);
    st64_be(h + H_L1_OFFSET - H_SIZE, at);
    ret = ret ? ret : node_pwrite(q->node->file, H_SIZE, h, sizeof(h));
    ret = ret ? ret : qcow2_file_barrier(q);
    if (ret < 0) {
        if (bytes) {
            qcow2_refcount_add(q, at, bytes, -1);
        }
        return ret;
    }
    if (q->l1_size) {
        qcow2_refcount_add(q, q->l1_offset, q->l1_size * 8ull, -1);
    }
    g_free(q->l1);
    q->l1 = table;
    q->l1_size = size;
    q->l1_offset = at;
    q->size = disk_size;
    return 0;
}

static int apply(Qcow2 *q, guint index, const uint64_t *snapshot_l1)
{
    const Qcow2Snapshot *s = g_ptr_array_index(q->snapshots, index);
    if (qcow2_l1_needed(q, s->info.disk_size) > QCOW2_MAX_L1 / 8) {
        return -EFBIG;
    }
    uint32_t old_size = q->l1_size;
    uint32_t size = MAX(s->l1_size, qcow2_l1_needed(q, s->info.disk_size));
    g_autofree uint64_t *old = g_memdup2(q->l1, MAX(old_size, 1) * 8ull);
    g_autofree uint64_t *table = g_new0(uint64_t, size + 1);
    for (uint32_t i = 0; i < s->l1_size; i++) {
        table[i] = snapshot_l1[i] & ENTRY_OFFSET;   /* named twice from now on */
    }
    int ret = count_l1(q, table, size, 1);
    if (ret < 0) {
        return ret;
    }
    ret = qcow2_switch_l1(q, table, size, s->info.disk_size);
    if (ret < 0) {
        count_l1(q, table, size, -1);
        return ret;
    }
    table = NULL;
    ret = count_l1(q, old, old_size, -1);
    return ret ? ret : update_flags(q);
}

static int delete(Qcow2 *q, guint index, const uint64_t *l1)
{
    Qcow2Snapshot *s = g_ptr_array_steal_index(q->snapshots, index);
    int ret = write_snapshots(q);
    if (ret < 0) {
        g_ptr_array_insert(q->snapshots, index, s);
        return ret;
    }
    ret = count_l1(q, l1, s->l1_size, -1);
    if (!ret && s->l1_size) {
        ret = qcow2_refcount_add(q, s->l1_offset, s->l1_size * 8ull, -1);
    }
    free_one(s);
    return ret ? ret : update_flags(q);
}

/* What a snapshot, named by its ID or name, is changed by; doing: for the message. */
static bool change(BlockNode *n, const char *id, int (*fn)(Qcow2 *q, guint index, const uint64_t *l1),
                   const char *doing, Error **err)
{
    Qcow2 *q = n->state;
    guint index;
    Qcow2Snapshot *s = find(q, id, &index);
    g_autofree uint64_t *l1 = NULL;
    if (!s) {
        return fail(err, "Can't find snapshot '%s'", id);
    }
    if (n->flags.read_only) {
        return fail(err, "Image is read-only");
    }
    if (!load_l1(q, s, &l1, err)) {
        return false;
    }
    int ret = start(q);
    if (!ret) {
        g_mutex_lock(&q->lock);
        q->dropped = g_array_new(FALSE, FALSE, sizeof(uint64_t));
        ret = fn(q, index, l1);
        q->inflated_host = 0;
        g_mutex_unlock(&q->lock);
        ret = finish(q, ret);
        punch_dropped(q, ret);
    }
    return !ret || fail_errno(err, -ret, "Could not %s snapshot '%s'", doing, id);
}

bool qcow2_snapshot_apply(BlockNode *n, const char *id, Error **err)
{
    return change(n, id, apply, "apply", err);
}

bool qcow2_snapshot_delete(BlockNode *n, const char *id, Error **err)
{
    return change(n, id, delete, "delete", err);
}

bool qcow2_snapshot_load(BlockNode *n, const char *id, Error **err)
{
    Qcow2 *q = n->state;
    guint index;
    Qcow2Snapshot *s = find(q, id, &index);
    uint64_t *l1 = NULL;
    if (!s) {
        return fail(err, "Can't find snapshot '%s'", id);
    }
    if (!n->flags.read_only) {
        return fail(err, "A snapshot can only be shown by a read-only node");
    }
    if (!load_l1(q, s, &l1, err)) {
        g_free(l1);
        return false;
    }
    g_mutex_lock(&q->lock);
    g_free(q->l1);
    q->l1 = l1;
    q->l1_size = s->l1_size;
    q->size = s->info.disk_size;
    g_mutex_unlock(&q->lock);
    return true;
}
