/* SPDX-License-Identifier: MIT */
/*
 * Changes of the graph while disks are in use, and watching the changes of a node's content.
 */
#include "block/backend.h"
#include "block/pool.h"
#include "block/track.h"

#include <errno.h>
#include <pthread.h>

static pthread_rwlock_t graph_lock;

/* Writers first: threads that read all the time must not keep one waiting for ever. */
static void make_lock(void)
{
    pthread_rwlockattr_t attr;
    pthread_rwlockattr_init(&attr);
    pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    pthread_rwlock_init(&graph_lock, &attr);
    pthread_rwlockattr_destroy(&attr);
}

static void need_lock(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, make_lock);
}

void graph_read_lock(void)
{
    need_lock();
    pthread_rwlock_rdlock(&graph_lock);
}

void graph_read_unlock(void)
{
    pthread_rwlock_unlock(&graph_lock);
}

void graph_write_lock(void)
{
    need_lock();
    blk_drain_all();
    throttle_bypass(true);              /* readers don't wait for limits now */
    pthread_rwlock_wrlock(&graph_lock);
    throttle_bypass(false);
}

void graph_write_unlock(void)
{
    pthread_rwlock_unlock(&graph_lock);
}

/* ---- children ------------------------------------------------------------------------- */

typedef struct Replace {
    BlockNode *old, *new;
} Replace;

static void replace_child(Replace *r, BlockNode *parent, BlockNode **child)
{
    if (*child == r->old && parent != r->new) {
        *child = node_ref(r->new);
        r->new->growable |= parent && parent->driver->grows_file && child == &parent->file;
        node_unref(r->old);             /* r->old has another reference: the caller's */
    }
}

static void replace_in_node(BlockNode *n, void *opaque)
{
    replace_child(opaque, n, &n->file);
    replace_child(opaque, n, &n->backing);
}

static void replace_in_slot(BlockBackend *b, void *opaque)
{
    Replace *r = opaque;
    if (blk_root(b) == r->old) {
        blk_swap_root(b, node_ref(r->new));
    }
}

static GPtrArray *roots;                /* of BlockNode** */

void node_add_root(BlockNode **root)
{
    roots = roots ? roots : g_ptr_array_new();
    g_ptr_array_add(roots, root);
}

void node_remove_root(BlockNode **root)
{
    g_ptr_array_remove_fast(roots, root);
}

void node_replace(BlockNode *old, BlockNode *new)
{
    Replace r = { old, new };
    node_ref(old);
    for (guint i = 0; roots && i < roots->len; i++) {
        replace_child(&r, NULL, roots->pdata[i]);
    }
    node_foreach(replace_in_node, &r);
    blk_foreach(replace_in_slot, &r);
    node_unref(old);
}

void node_set_backing(BlockNode *n, BlockNode *backing)
{
    BlockNode *old = n->backing;
    n->backing = backing ? node_ref(backing) : NULL;
    node_unref(old);
}

bool node_contains(const BlockNode *n, const BlockNode *below)
{
    for (; n; n = n->backing) {
        if (n == below || (n->file && node_contains(n->file, below))) {
            return true;
        }
    }
    return false;
}

BlockNode *node_overlay_of(BlockNode *top, const BlockNode *below)
{
    while (top && top->backing != below) {
        top = top->backing;
    }
    return top;
}

bool node_set_writable(BlockNode *n, bool writable, Error **err)
{
    if (n->flags.read_only == !writable) {
        return true;
    }
    if (writable && !n->driver->write) {
        return fail(err, "'%s' is read-only: it can't be opened for writing", n->driver->name);
    }
    if (n->driver->protocol && !n->driver->reopen) {
        return fail(err, "Node '%s' can't be reopened for %s", n->name,
                    writable ? "writing" : "reading only");
    }
    if (writable && n->file && !node_set_writable(n->file, true, err)) {
        return false;
    }
    if (n->driver->reopen && !n->driver->reopen(n, writable, err)) {
        return false;
    }
    n->flags.read_only = !writable;
    return writable || !n->file || node_set_writable(n->file, false, err);
}

/* ---- requests that are being watched ----------------------------------------------------- */

struct NodeTracker {
    GMutex lock;
    GCond changed;
    TrackedRange *ranges;
};

void node_add_observer(BlockNode *n, NodeObserver *o)
{
    if (!n->tracker) {
        n->tracker = g_new0(NodeTracker, 1);
        g_mutex_init(&n->tracker->lock);
        g_cond_init(&n->tracker->changed);
    }
    o->next = n->observers;
    n->observers = o;
}

void node_remove_observer(BlockNode *n, NodeObserver *o)
{
    NodeObserver **p = &n->observers;
    while (*p && *p != o) {
        p = &(*p)->next;
    }
    if (*p) {
        *p = o->next;
    }
}

void tracker_free(BlockNode *n)
{
    if (n->tracker) {
        g_mutex_clear(&n->tracker->lock);
        g_cond_clear(&n->tracker->changed);
        g_clear_pointer(&n->tracker, g_free);
    }
}

/* Changes may overlap each other (who sends two at a time knows why), copying up may not. */
static bool conflicts(const NodeTracker *t, const TrackedRange *r)
{
    for (const TrackedRange *o = t->ranges; o; o = o->next) {
        if ((o->exclusive || r->exclusive) && o->from < r->to && r->from < o->to) {
            return true;
        }
    }
    return false;
}

void track_begin(BlockNode *n, TrackedRange *r, uint64_t off, uint64_t len, bool exclusive)
{
    NodeTracker *t = n->tracker;
    *r = (TrackedRange) { off, off + len, exclusive, NULL };
    g_mutex_lock(&t->lock);
    while (conflicts(t, r)) {
        pool_sleeps();
        g_cond_wait(&t->changed, &t->lock);
    }
    r->next = t->ranges;
    t->ranges = r;
    g_mutex_unlock(&t->lock);
}

void track_end(BlockNode *n, TrackedRange *r)
{
    NodeTracker *t = n->tracker;
    g_mutex_lock(&t->lock);
    TrackedRange **p = &t->ranges;
    while (*p != r) {
        p = &(*p)->next;
    }
    *p = r->next;
    g_cond_broadcast(&t->changed);
    g_mutex_unlock(&t->lock);
}

int observers_before(BlockNode *n, uint64_t off, uint64_t len)
{
    int ret = 0;
    for (NodeObserver *o = n->observers; o && !ret; o = o->next) {
        ret = o->before ? o->before(o, off, len) : 0;
    }
    return ret;
}

void observers_after(BlockNode *n, uint64_t off, uint64_t len)
{
    for (NodeObserver *o = n->observers; o; o = o->next) {
        if (o->after) {
            o->after(o, off, len);
        }
    }
}
