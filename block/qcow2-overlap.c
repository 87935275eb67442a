/* SPDX-License-Identifier: MIT */
/*
 * qcow2: nothing is written where tables live.  A sound image never asks for that; one with broken
 * references or counts does, and would lose more with each write.  So every place that a guest
 * writes to, and every cluster that is about to be given away, is compared with the tables that
 * overlap-check names; the first hit marks the image as corrupt, and nothing is written to it any
 * more until it was repaired.
 */
#include "block/block.h"
#include "block/qcow2.h"
#include "util/bits.h"
#include "util/mainloop.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

enum {
    OVER_HEADER = 1 << 0, OVER_ACTIVE_L1 = 1 << 1, OVER_ACTIVE_L2 = 1 << 2, OVER_REFTABLE = 1 << 3,
    OVER_REFBLOCK = 1 << 4, OVER_SNAPTABLE = 1 << 5, OVER_INACTIVE_L1 = 1 << 6,
    OVER_INACTIVE_L2 = 1 << 7, OVER_BITMAPS = 1 << 8,
    OVER_CONSTANT = OVER_HEADER | OVER_ACTIVE_L1 | OVER_REFTABLE | OVER_SNAPTABLE | OVER_BITMAPS,
    OVER_CACHED = OVER_CONSTANT | OVER_ACTIVE_L2 | OVER_REFBLOCK | OVER_INACTIVE_L1,
    OVER_ALL = OVER_CACHED | OVER_INACTIVE_L2,      /* which are read from the file each time */
};

/* ---- options --------------------------------------------------------------------------------- */

static const struct {
    const char *name, *what;
    unsigned bit;
} structures[] = {
    { "main-header", "the header", OVER_HEADER },
    { "active-l1", "the active L1 table", OVER_ACTIVE_L1 },
    { "active-l2", "an active L2 table", OVER_ACTIVE_L2 },
    { "refcount-table", "the refcount table", OVER_REFTABLE },
    { "refcount-block", "a refcount block", OVER_REFBLOCK },
    { "snapshot-table", "the snapshot table", OVER_SNAPTABLE },
    { "inactive-l1", "a snapshot's L1 table", OVER_INACTIVE_L1 },
    { "inactive-l2", "a snapshot's L2 table", OVER_INACTIVE_L2 },
    { "bitmap-directory", "the bitmaps' directory", OVER_BITMAPS },
};

static bool take_template(const char *name, unsigned *bits, Error **err)
{
    static const struct { const char *name; unsigned bits; } templates[] = {
        { "none", 0 }, { "constant", OVER_CONSTANT }, { "cached", OVER_CACHED }, { "all", OVER_ALL } };
    for (size_t i = 0; i < G_N_ELEMENTS(templates); i++) {
        if (!strcmp(name, templates[i].name)) {
            *bits = templates[i].bits;
            return true;
        }
    }
    return fail(err, "Unsupported value '%s' for qcow2 option 'overlap-check'. Allowed are any of the "
                "following: none, constant, cached, all", name);
}

static bool take_group(Json *o, unsigned *bits, Error **err)
{
    g_autofree char *template = NULL;
    if (!block_take_str(o, "template", &template, err) || (template && !take_template(template, bits, err))) {
        return false;
    }
    for (size_t i = 0; i < G_N_ELEMENTS(structures); i++) {
        bool on = *bits & structures[i].bit;
        if (!block_take_bool(o, structures[i].name, &on, err)) {
            return false;
        }
        *bits = (*bits & ~structures[i].bit) | (on ? structures[i].bit : 0);
    }
    return !json_len(o) || fail(err, "Block format 'qcow2' does not support the option 'overlap-check.%s'",
                                json_key_at(o, 0));
}

bool qcow2_take_overlap_check(Qcow2 *q, Json *options, Error **err)
{
    g_autoptr(Json) o = json_steal(options, "overlap-check");
    q->overlap = OVER_CACHED;
    bool ok = !o || (o->type == JSON_STRING ? take_template(o->s, &q->overlap, err)
                     : o->type == JSON_OBJECT ? take_group(o, &q->overlap, err)
                     : fail(err, "Option 'overlap-check': a template's name or a group of options is needed"));
    if (q->node->flags.check) {
        q->overlap = 0;                 /* who repairs knows that the image is broken */
    }
    return ok;
}

/* ---- comparing ------------------------------------------------------------------------------- */

static bool meet(uint64_t a, uint64_t a_len, uint64_t b, uint64_t b_len)
{
    return a_len && b_len && (a >= b ? a - b < b_len : b - a < a_len);
}

/* Does one of the clusters that a table names lie there? */
static bool meets_any(const Qcow2 *q, const uint64_t *table, uint64_t n, uint64_t offset, uint64_t len)
{
    uint64_t from = offset > q->cluster_size - 1 ? offset - (q->cluster_size - 1) : 1, span = offset + len - from;
    bool hit = false;
    for (uint64_t i = 0; i < n; i++) {
        hit |= (table[i] & ENTRY_OFFSET) - from < span;
    }
    return hit;
}

static bool meets_snapshot(Qcow2 *q, const Qcow2Snapshot *s, unsigned bits, uint64_t offset, uint64_t len,
                           unsigned *hit)
{
    if (bits & OVER_INACTIVE_L1 && meet(offset, len, s->l1_offset, s->l1_size * 8ull)) {
        *hit = OVER_INACTIVE_L1;
        return true;
    }
    if (!(bits & OVER_INACTIVE_L2) || s->l1_size > QCOW2_MAX_L1 / 8) {
        return false;
    }
    g_autofree uint64_t *l1 = g_new(uint64_t, s->l1_size + 1);
    *hit = OVER_INACTIVE_L2;
    return !qcow2_read_table(q, s->l1_offset, l1, s->l1_size) && meets_any(q, l1, s->l1_size, offset, len);
}

static bool meets_bitmaps(const Qcow2 *q, uint64_t offset, uint64_t len)
{
    for (guint i = 0; q->autoclear & AUTOCLEAR_BITMAPS && i < q->extensions->len; i++) {
        const Extension *e = &g_array_index(q->extensions, Extension, i);
        if ((int)e->type == EXT_BITMAPS && e->len >= 24) {
            return meet(offset, len, ld64_be(e->data + 16), ld64_be(e->data + 8));
        }
    }
    return false;
}

/* The structure that lives in these bytes of the file; 0: none of those that are to be looked at. */
static unsigned find_overlap(Qcow2 *q, uint64_t offset, uint64_t len)
{
    unsigned bits = q->overlap, hit;
    if (bits & OVER_HEADER && offset < q->cluster_size) {
        return OVER_HEADER;
    }
    if (bits & OVER_ACTIVE_L1 && meet(offset, len, q->l1_offset, q->l1_size * 8ull)) {
        return OVER_ACTIVE_L1;
    }
    if (bits & OVER_REFTABLE && meet(offset, len, q->reftable_offset,
                                     (uint64_t)q->reftable_clusters * q->cluster_size)) {
        return OVER_REFTABLE;
    }
    if (bits & OVER_SNAPTABLE && meet(offset, len, q->snapshots_offset, q->snapshots_size)) {
        return OVER_SNAPTABLE;
    }
    if (bits & OVER_BITMAPS && meets_bitmaps(q, offset, len)) {
        return OVER_BITMAPS;
    }
    if (bits & OVER_REFBLOCK && meets_any(q, q->reftable, q->reftable_size, offset, len)) {
        return OVER_REFBLOCK;
    }
    if (bits & OVER_ACTIVE_L2 && meets_any(q, q->l1, q->l1_size, offset, len)) {
        return OVER_ACTIVE_L2;
    }
    for (guint i = 0; bits & (OVER_INACTIVE_L1 | OVER_INACTIVE_L2) && i < q->snapshots->len; i++) {
        if (meets_snapshot(q, q->snapshots->pdata[i], bits, offset, len, &hit)) {
            return hit;
        }
    }
    return 0;
}

/* ---- what follows ---------------------------------------------------------------------------- */

typedef struct Corrupted {
    char *node, *text;
    uint64_t offset, len;
} Corrupted;

static void announce(void *opaque)
{
    Corrupted *c = opaque;
    BlockNode *n = node_find(c->node);
    if (blk_hooks.image_corrupted && n) {
        blk_hooks.image_corrupted(n, c->text, c->offset, c->len);
    }
    g_free(c->node);
    g_free(c->text);
    g_free(c);
}

static void mark_corrupt(Qcow2 *q, unsigned hit, uint64_t offset, uint64_t len)
{
    const char *what = "";
    for (size_t i = 0; i < G_N_ELEMENTS(structures); i++) {
        what = structures[i].bit == hit ? structures[i].what : what;
    }
    Corrupted *c = g_new(Corrupted, 1);
    *c = (Corrupted) { g_strdup(q->node->name), g_strdup_printf(
        "Preventing invalid write at offset 0x%" PRIx64 " (overlaps with %s)", offset, what), offset, len };
    error_report("'%s': qcow2: Marking image as corrupt: %s; further corruption events will be suppressed",
                 node_file_name(q->node), c->text);
    q->corrupt = true;
    qcow2_set_incompatible(q, INCOMPAT_CORRUPT, true);      /* as well as we can */
    mainloop_defer(announce, c);
}

int qcow2_check_overlap(Qcow2 *q, uint64_t offset, uint64_t len)
{
    unsigned hit = q->overlap ? find_overlap(q, offset, len) : 0;
    if (!hit) {
        return 0;
    }
    if (!q->corrupt) {
        mark_corrupt(q, hit, offset, len);
    }
    return -EIO;
}

bool qcow2_is_table(Qcow2 *q, uint64_t offset, uint64_t len)
{
    return q->overlap && find_overlap(q, offset, len);
}
