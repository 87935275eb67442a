/* SPDX-License-Identifier: MIT */
/*
 * Flattening and commits.
 *
 * A tree is drawn front to back: each region paints only what nothing before it painted.
 * Regions may be 2^64 bytes large and an alias may place its target at a negative address
 * (its offset is larger than its own address), so positions are signed 128-bit while drawing.
 */
#include "memory/flatview.h"
#include "util/bql.h"
#include "util/rcu.h"

#include <string.h>

typedef __int128 wide;

AddressSpace *address_spaces;

static GPtrArray *changed_regions;      /* marked since the last commit */
static unsigned depth;

/* ---- drawing ------------------------------------------------------------------------ */

/* [from, to) of the address space, and what is being drawn into it. */
typedef struct Clip {
    wide from, to;
} Clip;

static Clip clip_to(Clip c, wide from, wide to)
{
    return (Clip) { MAX(c.from, from), MIN(c.to, to) };
}

static void insert_range(FlatView *v, unsigned at, FlatRange r)
{
    if (v->n == v->allocated) {
        v->allocated = MAX(16, v->allocated * 2);
        v->ranges = g_renew(FlatRange, v->ranges, v->allocated);
    }
    memmove(v->ranges + at + 1, v->ranges + at, (v->n - at) * sizeof(FlatRange));
    v->ranges[at] = r;
    v->n++;
}

/* Paint r, whose byte 0 lies at base, into the holes of the view inside c. */
static void paint(FlatView *v, Region *r, wide base, Clip c, bool readonly)
{
    bool direct = r->ram && (r->kind != REGION_FLASH || r->direct);
    wide pos = c.from;
    for (unsigned i = 0; pos < c.to && i <= v->n; i++) {
        wide hole_end = i < v->n ? MIN((wide)v->ranges[i].start, c.to) : c.to;
        if (pos < hole_end) {
            insert_range(v, i, (FlatRange) {
                .start = (hwaddr)pos, .last = (hwaddr)(hole_end - 1), .region = r, .ram = r->ram,
                .off = (hwaddr)(pos - base), .readonly = readonly, .direct = direct,
                .direct_store = direct && !readonly && r->kind != REGION_FLASH,
            });
            i++;
        }
        if (i < v->n) {
            pos = MAX(pos, (wide)v->ranges[i].last + 1);
        }
    }
}

/* base: where the parent's byte 0 lies. */
static void draw(FlatView *v, Region *r, wide base, Clip c, bool readonly)
{
    if (!r->enabled) {
        return;
    }
    base += r->addr;
    readonly |= r->readonly;
    c = clip_to(c, base, base + (wide)r->size);
    if (c.from >= c.to) {
        return;
    }
    if (r->kind == REGION_ALIAS) {
        if (r->target) {
            /* the target's own place in its parent plays no part */
            draw(v, r->target, base - (wide)r->target->addr - (wide)r->target_off, c, readonly);
        }
        return;
    }
    for (guint i = 0; r->children && i < r->children->len; i++) {
        draw(v, g_ptr_array_index(r->children, i), base, c, readonly);
    }
    if (r->kind != REGION_CONTAINER) {
        paint(v, r, base, c, readonly);
    }
}

static bool continues(const FlatRange *a, const FlatRange *b)
{
    return a->last + 1 == b->start && a->last != UINT64_MAX && a->region == b->region
           && b->off == a->off + (b->start - a->start)
           && a->readonly == b->readonly && a->direct == b->direct;
}

static void merge_neighbours(FlatView *v)
{
    unsigned out = 0;
    for (unsigned i = 1; i < v->n; i++) {
        if (continues(&v->ranges[out], &v->ranges[i])) {
            v->ranges[out].last = v->ranges[i].last;
        } else {
            v->ranges[++out] = v->ranges[i];
        }
    }
    v->n = v->n ? out + 1 : 0;
}

FlatView *flatview_build(Region *root)
{
    FlatView *v = g_new0(FlatView, 1);
    v->root = root;
    if (root) {
        draw(v, root, -(wide)root->addr, (Clip) { 0, (wide)1 << 64 }, false);
        merge_neighbours(v);
    }
    v->starts = g_new(hwaddr, v->n + 1);
    for (unsigned i = 0; i < v->n; i++) {
        v->starts[i] = v->ranges[i].start;
    }
    return v;
}

static void free_view(void *opaque)
{
    FlatView *v = opaque;
    g_free(v->ranges);
    g_free(v->starts);
    g_free(v);
}

void flatview_unref(FlatView *v)
{
    if (v && --v->refs == 0) {
        rcu_defer(free_view, v);
    }
}

static bool same_range(const FlatRange *a, const FlatRange *b)
{
    return a->start == b->start && a->last == b->last && a->region == b->region
           && a->off == b->off && a->readonly == b->readonly && a->direct == b->direct;
}

bool flatview_equal(const FlatView *a, const FlatView *b)
{
    if (a->n != b->n) {
        return false;
    }
    for (unsigned i = 0; i < a->n; i++) {
        if (!same_range(&a->ranges[i], &b->ranges[i])) {
            return false;
        }
    }
    return true;
}

unsigned flatview_search(const FlatView *v, hwaddr addr, bool *found)
{
    unsigned low = 0, high = v->n;      /* starts[low - 1] <= addr < starts[high] */
    while (low < high) {
        unsigned mid = (low + high) / 2;
        if (v->starts[mid] <= addr) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    *found = low && addr <= v->ranges[low - 1].last;
    return *found ? low - 1 : low;
}

MemSection flatview_section(const FlatRange *r)
{
    return (MemSection) {
        .start = r->start, .size = (unsigned __int128)r->last - r->start + 1, .region = r->region,
        .off = r->off, .readonly = r->readonly, .direct = r->direct,
    };
}

static Region *only_child(const Region *r)
{
    Region *only = NULL;
    for (guint i = 0; r->children && i < r->children->len; i++) {
        Region *child = g_ptr_array_index(r->children, i);
        if (child->enabled) {
            if (only) {
                return NULL;
            }
            only = child;
        }
    }
    return only && only->addr == 0 && only->size <= r->size ? only : NULL;
}

Region *flatview_root(Region *r)
{
    for (;;) {
        if (!r || !r->enabled) {
            return NULL;
        }
        Region *next = NULL;
        if (r->kind == REGION_ALIAS && r->target && !r->target_off && r->target->size <= r->size) {
            next = r->target;
        } else if (r->kind == REGION_CONTAINER) {
            next = only_child(r);
        }
        if (!next || r->readonly) {
            return r;
        }
        r = next;
    }
}

/* ---- changes ------------------------------------------------------------------------ */

static void mark(Region *r)
{
    while (r && !r->changed) {
        r->changed = true;
        g_ptr_array_add(changed_regions, r);
        for (guint i = 0; r->aliases && i < r->aliases->len; i++) {
            mark(g_ptr_array_index(r->aliases, i));
        }
        r = r->parent;
    }
}

void memory_changed(Region *r)
{
    /* r itself may be marked from before it was mapped here: always go up from its parent */
    mark(r);
    mark(r->parent);
    for (guint i = 0; r->aliases && i < r->aliases->len; i++) {
        mark(g_ptr_array_index(r->aliases, i));
    }
}

void memory_begin(void)
{
    if (!changed_regions) {
        changed_regions = g_ptr_array_new();
    }
    depth++;
}

#define FOR_LISTENERS(as, op, ...)                                                  \
    for (guint i_ = 0; i_ < (as)->listeners->len; i_++) {                           \
        const Listener *l_ = g_ptr_array_index((as)->listeners, i_);                \
        if (l_->ops->op) {                                                          \
            l_->ops->op(l_->opaque, ##__VA_ARGS__);                                 \
        }                                                                           \
    }

static bool logged(const Region *r)
{
    return r->log[DIRTY_VGA] || r->log[DIRTY_MIGR];
}

static void tell_add(AddressSpace *as, const FlatRange *r)
{
    MemSection s = flatview_section(r);
    FOR_LISTENERS(as, region_add, &s);
    if (logged(r->region)) {
        FOR_LISTENERS(as, log_start, &s);
    }
}

static void tell_del(AddressSpace *as, const FlatRange *r)
{
    MemSection s = flatview_section(r);
    if (logged(r->region)) {
        /* the last stores must not be lost with the section */
        FOR_LISTENERS(as, log_sync, &s);
        FOR_LISTENERS(as, log_stop, &s);
    }
    FOR_LISTENERS(as, region_del, &s);
}

/* Calls fn for what is in a but not in b. */
static void for_difference(AddressSpace *as, const FlatView *a, const FlatView *b,
                           void (*fn)(AddressSpace *as, const FlatRange *r))
{
    unsigned j = 0;
    for (unsigned i = 0; i < a->n; i++) {
        while (j < b->n && b->ranges[j].start < a->ranges[i].start) {
            j++;
        }
        if (j == b->n || !same_range(&a->ranges[i], &b->ranges[j])) {
            fn(as, &a->ranges[i]);
        }
    }
}

/*
 * The new view is published before the listeners hear of it: an engine that drops a stale
 * translation in region_del and fills it again at once must find the new state.
 */
static void update_space(AddressSpace *as, GHashTable *fresh)
{
    FlatView *old = as->view;
    Region *root = flatview_root(as->root);
    FlatView *new = g_hash_table_lookup(fresh, root);
    if (!new) {
        new = flatview_build(root);
        new->refs = 1;                  /* of the table */
        g_hash_table_insert(fresh, root, new);
    }
    FOR_LISTENERS(as, begin);
    bool differs = !flatview_equal(old, new);
    new->refs++;
    __atomic_store_n(&as->view, new, __ATOMIC_RELEASE);
    if (differs) {
        __atomic_fetch_add(&as->generation, 1, __ATOMIC_SEQ_CST);
        for_difference(as, old, new, tell_del);
        for_difference(as, new, old, tell_add);
    }
    FOR_LISTENERS(as, commit, differs);
    flatview_unref(old);
}

static void commit_now(void)
{
    GHashTable *fresh = g_hash_table_new_full(NULL, NULL, NULL, (GDestroyNotify)flatview_unref);
    /* Unchanged spaces lend their views to those that now show the same tree. */
    for (AddressSpace *as = address_spaces; as; as = as->next) {
        if (!as->root->changed && !g_hash_table_contains(fresh, as->view->root)) {
            as->view->refs++;
            g_hash_table_insert(fresh, as->view->root, as->view);
        }
    }
    for (AddressSpace *as = address_spaces; as; as = as->next) {
        if (as->root->changed) {
            update_space(as, fresh);
        }
    }
    for (guint i = 0; i < changed_regions->len; i++) {
        ((Region *)g_ptr_array_index(changed_regions, i))->changed = false;
    }
    g_ptr_array_set_size(changed_regions, 0);
    g_hash_table_unref(fresh);
}

void memory_commit(void)
{
    g_assert(depth);
    if (depth == 1 && changed_regions->len) {
        commit_now();
    }
    depth--;
}

void memory_forget(Region *r)
{
    if (depth && changed_regions->len) {
        commit_now();                   /* the views in use may still name it */
    }
}

/* ---- address spaces ----------------------------------------------------------------- */

void address_space_init(AddressSpace *as, Region *root, const char *name)
{
    *as = (AddressSpace) { .name = g_intern_string(name), .root = root };
    as->listeners = g_ptr_array_new_with_free_func(g_free);
    as->view = flatview_build(flatview_root(root));
    as->view->refs = 1;
    AddressSpace **end = &address_spaces;
    while (*end) {
        end = &(*end)->next;
    }
    *end = as;
}

void address_space_destroy(AddressSpace *as)
{
    for (AddressSpace **p = &address_spaces; *p; p = &(*p)->next) {
        if (*p == as) {
            *p = as->next;
            break;
        }
    }
    FlatView *old = as->view;
    __atomic_store_n(&as->view, NULL, __ATOMIC_RELEASE);
    flatview_unref(old);
    g_ptr_array_unref(as->listeners);
    as->listeners = NULL;
}

void address_space_listen(AddressSpace *as, const MemListener *ops, void *opaque)
{
    Listener *l = g_new(Listener, 1);
    *l = (Listener) { ops, opaque };
    if (ops->begin) {
        ops->begin(opaque);
    }
    for (unsigned i = 0; i < as->view->n; i++) {
        MemSection s = flatview_section(&as->view->ranges[i]);
        if (ops->region_add) {
            ops->region_add(opaque, &s);
        }
        if (ops->log_start && logged(s.region)) {
            ops->log_start(opaque, &s);
        }
    }
    if (ops->commit) {
        ops->commit(opaque, true);
    }
    g_ptr_array_add(as->listeners, l);
}

void address_space_unlisten(AddressSpace *as, const MemListener *ops, void *opaque)
{
    for (guint n = 0; n < as->listeners->len; n++) {
        Listener *l = g_ptr_array_index(as->listeners, n);
        if (l->ops != ops || l->opaque != opaque) {
            continue;
        }
        for (unsigned i = 0; i < as->view->n && ops->region_del; i++) {
            MemSection s = flatview_section(&as->view->ranges[i]);
            ops->region_del(opaque, &s);
        }
        g_ptr_array_remove_index(as->listeners, n);
        return;
    }
}

void address_space_foreach(AddressSpace *as, void (*fn)(const MemSection *s, void *opaque),
                           void *opaque)
{
    for (unsigned i = 0; i < as->view->n; i++) {
        MemSection s = flatview_section(&as->view->ranges[i]);
        fn(&s, opaque);
    }
}
