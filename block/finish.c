/* SPDX-License-Identifier: MIT */
/*
 * How requests end: the device is called back under the big lock - by the main loop, by whoever
 * drains, or (BlkDevOps.any_thread) by the thread that did the request.
 *
 * A guest with many writes under way is told of several in one go: each interrupt costs it more
 * than the write costs us, and a lane that stays awake for its next job costs less than waking it.
 * So the thread of a lane holds what is done back for a moment (a batch) and looks whether the
 * guest sends more.  Whether it does is tried out now and then: a guest that waits for one
 * request, or for each of a few, is told at once.
 */
#include "block/backend-int.h"
#include "util/bql.h"
#include "util/mainloop.h"
#include "util/spin.h"

#define LINGER_NS   60000               /* waiting for the lane's next job */
#define SLEPT_NS    500000              /* no write into memory takes that long */
#define PROBE       8u                  /* requests under way that are asked for at most */
#define WORTHWHILE  4u                  /* with fewer the guest would wait for us, and we for it */
#define PAUSE_MIN   16u                 /* requests from one try to the next */
#define PAUSE_MAX   1024u
#define AGAIN       1024u               /* batches until what was learnt is tried again */

struct BlkBatch {
    /* of the lane's thread: */
    unsigned limit;                     /* held at most; 0: each is told at once, or it is tried */
    unsigned until_try, pause;
    unsigned held;                      /* [done_lock] */
};

static GMutex done_lock;
static GCond done_cond;
static unsigned waiters;                /* [done_lock] waking nobody is a system call, too */
static GQueue done = G_QUEUE_INIT;      /* [done_lock] */
static unsigned all_held;               /* [done_lock] those of `done` that are in a batch */
static bool collect_scheduled;          /* [done_lock] */
static bool plugged;                    /* [done_lock] blk_unplug will collect */

/* ---- the device is told -------------------------------------------------------------------- */

static void account(BlkRequest *r)
{
    BlkStats *s = &r->blk->stats;
    uint64_t ns = clock_ns(ORRERY_CLOCK_REAL) - r->start_ns;
    bool failed = r->ret < 0;
    switch (r->type) {
    case REQ_READ:
        s->failed_rd += failed;
        s->rd_ops += !failed;
        s->rd_bytes += failed ? 0 : r->len;
        s->rd_ns += ns;
        break;
    case REQ_WRITE:
    case REQ_WRITE_ZEROES:
        s->failed_wr += failed;
        s->wr_ops += !failed;
        s->wr_bytes += failed ? 0 : r->len;
        s->wr_ns += ns;
        s->wr_highest = MAX(s->wr_highest, failed ? 0 : r->offset + r->len);
        break;
    case REQ_FLUSH:
        s->flush_ops += !failed;
        s->flush_ns += ns;
        break;
    case REQ_DISCARD:
        s->unmap_ops += !failed;
        s->unmap_bytes += failed ? 0 : r->len;
        break;
    }
}

static void finish(BlkRequest *r)
{
    account(r);
    r->blk->in_flight--;
    if (r->node) {
        node_unref(r->node);
    }
    r->done(r->opaque, r->ret);
    g_free(r);
}

/* What happens after an error (the VM may be stopped) is left to the main loop.  The device stays
 * attached while it has requests. */
static bool any_thread_will_do(const BlkRequest *r)
{
    return r->ret >= 0 && r->blk->ops && r->blk->ops->any_thread;
}

/* done_lock held. */
static void unhold(BlkRequest *r)
{
    if (r->batch) {
        r->batch->held--;
        r->batch = NULL;
        all_held--;
    }
}

typedef bool Wanted(const BlkRequest *r, const void *opaque);

/* done_lock held.  The first that is wanted leaves the queue; NULL if there is none. */
static BlkRequest *take(Wanted *wanted, const void *opaque)
{
    for (GList *l = done.head; l; l = l->next) {
        BlkRequest *r = l->data;
        if (wanted(r, opaque)) {
            unhold(r);
            g_queue_delete_link(&done, l);
            return r;
        }
    }
    return NULL;
}

static bool not_held(const BlkRequest *r, const void *opaque)
{
    return !r->batch;
}

static bool of_slot(const BlkRequest *r, const void *slot)
{
    return r->blk == slot;
}

static bool of_batch(const BlkRequest *r, const void *batch)
{
    return r->batch == batch;
}

static bool for_any_thread(const BlkRequest *r, const void *opaque)
{
    return !r->batch && any_thread_will_do(r);
}

/* In the main loop. */
static void collect(void *opaque)
{
    g_mutex_lock(&done_lock);
    collect_scheduled = false;
    unsigned n = done.length - all_held;        /* those of callbacks wait for the next round */
    g_mutex_unlock(&done_lock);
    while (n--) {
        g_mutex_lock(&done_lock);
        BlkRequest *r = take(not_held, NULL);
        g_mutex_unlock(&done_lock);
        if (!r) {
            break;
        }
        finish(r);
    }
}

/* ---- what is done waits for somebody ------------------------------------------------------- */

/* done_lock held. */
static void append(BlkRequest *r, BlkBatch *batch)
{
    r->finished = true;
    r->batch = batch;
    g_queue_push_tail(&done, r);
    if (waiters) {
        g_cond_broadcast(&done_cond);
    }
}

void request_end(BlkRequest *r, int ret)
{
    r->ret = ret;
    g_mutex_lock(&done_lock);
    append(r, NULL);
    bool schedule = !collect_scheduled && !(plugged && any_thread_will_do(r));
    collect_scheduled |= schedule;
    g_mutex_unlock(&done_lock);
    if (schedule) {
        mainloop_defer(collect, NULL);
    }
}

/* done_lock held. */
static void wait_for_end(void)
{
    waiters++;
    g_cond_wait(&done_cond, &done_lock);
    waiters--;
}

void request_finish_when_done(BlkRequest *r)
{
    g_mutex_lock(&done_lock);
    while (!r->finished) {
        wait_for_end();
    }
    unhold(r);
    g_queue_remove(&done, r);
    g_mutex_unlock(&done_lock);
    finish(r);
}

void requests_finish_one(BlockBackend *b)
{
    BlkRequest *r;
    g_mutex_lock(&done_lock);
    while (!(r = take(of_slot, b))) {
        wait_for_end();
    }
    g_mutex_unlock(&done_lock);
    finish(r);
}

void blk_plug(void)
{
    g_mutex_lock(&done_lock);
    plugged = true;
    g_mutex_unlock(&done_lock);
}

/* The first that needs no main loop, NULL if there is none; the plug goes with it. */
static BlkRequest *take_unplugging(bool last)
{
    g_mutex_lock(&done_lock);
    BlkRequest *found = take(for_any_thread, NULL);
    plugged = found && !last;
    bool schedule = !plugged && !collect_scheduled && done.length > all_held;
    collect_scheduled |= schedule;
    g_mutex_unlock(&done_lock);
    if (schedule) {
        mainloop_defer(collect, NULL);
    }
    return found;
}

void blk_unplug(void)
{
    BlkRequest *r;
    for (unsigned n = 64; n && (r = take_unplugging(n == 1)); n--) {
        finish(r);
    }
}

/* ---- on the thread of the request ------------------------------------------------------------ */

/* Device accesses of vCPUs, the most frequent users of the big lock, are short. */
static bool lock_soon(void)
{
    for (int i = 0; i < 64; i++) {
        if (bql_trylock()) {
            return true;
        }
        spin_pause();
    }
    return false;
}

/*
 * A request that went well is finished by its own thread if the device permits and the big lock
 * is free: waking the main loop for it would cost a guest that waits as much as the request itself.
 */
static bool finish_here(BlkRequest *r)
{
    if (!any_thread_will_do(r) || __atomic_load_n(&plugged, __ATOMIC_RELAXED) || !lock_soon()) {
        return false;
    }
    finish(r);
    bql_unlock();
    return true;
}

/* ---- batches --------------------------------------------------------------------------------- */

BlkBatch *batch_new(void)
{
    BlkBatch *h = g_atomic_rc_box_new0(BlkBatch);
    h->pause = h->until_try = PAUSE_MIN;
    return h;
}

void batch_unref(BlkBatch *h)
{
    g_atomic_rc_box_release(h);
}

/* Somebody else tells the guest of what is held. */
void batch_sleeps(void *batch)
{
    BlkBatch *h = batch;
    bool schedule = false;
    g_mutex_lock(&done_lock);
    for (GList *l = h->held ? done.head : NULL; l; l = l->next) {
        BlkRequest *r = l->data;
        if (r->batch == h) {
            unhold(r);
            schedule = !collect_scheduled && !plugged;
        }
    }
    collect_scheduled |= schedule;
    g_mutex_unlock(&done_lock);
    if (schedule) {
        mainloop_defer(collect, NULL);
    }
}

static BlkRequest *take_held(BlkBatch *h)
{
    g_mutex_lock(&done_lock);
    BlkRequest *r = h->held ? take(of_batch, h) : NULL;
    g_mutex_unlock(&done_lock);
    return r;
}

static void tell_held(BlkBatch *h)
{
    if (!__atomic_load_n(&h->held, __ATOMIC_RELAXED)) {
        return;
    }
    if (__atomic_load_n(&plugged, __ATOMIC_RELAXED) || !lock_soon()) {
        batch_sleeps(h);
        return;
    }
    BlkRequest *r = take_held(h);
    if (r) {
        const BlkDevOps *ops = r->blk->ops;
        void *opaque = r->blk->ops_opaque;
        ops->batch(opaque, true);
        for (; r; r = take_held(h)) {
            finish(r);
        }
        ops->batch(opaque, false);
    }
    bql_unlock();
}

/* How many the guest sends before it hears of the first says how many it likes to have under way. */
static void learn(BlkBatch *h, unsigned sent)
{
    h->limit = sent >= WORTHWHILE ? sent / 2 : 0;
    h->until_try = h->limit ? AGAIN : h->pause;
    h->pause = h->limit ? PAUSE_MIN : MIN(h->pause * 2, PAUSE_MAX);
}

/* Is one more under way before those that are held must be told? */
static bool more_comes(BlkBatch *h, unsigned held)
{
    unsigned limit = h->limit ? h->limit : PROBE;
    if (held < limit && pool_lane_wait(LINGER_NS)) {
        return true;
    }
    if (held < limit || !h->limit) {
        learn(h, h->limit ? 0 : held);
    } else if (!--h->until_try) {
        h->limit = 0;
    }
    return false;
}

/* Worth while if it is tried, or was found to be. */
static bool hold_on(const BlkRequest *r, BlkBatch *h, int64_t ns)
{
    if (!any_thread_will_do(r) || !r->blk->ops->batch) {
        return false;
    }
    if (ns > SLEPT_NS) {
        learn(h, 0);
    }
    if (!h->limit && h->until_try) {
        h->until_try--;
        return false;
    }
    return true;
}

void request_end_here(BlkRequest *r, int64_t ns)
{
    BlkBatch *h = pool_in_lane() ? r->blk->batch : NULL;
    if (!h || !hold_on(r, h, ns)) {
        if (h) {
            tell_held(h);
        }
        if (!finish_here(r)) {
            request_end(r, r->ret);
        }
        return;
    }
    g_atomic_rc_box_acquire(h);         /* the slot may go when its last request is told */
    g_mutex_lock(&done_lock);
    append(r, h);
    unsigned held = ++h->held;
    all_held++;
    g_mutex_unlock(&done_lock);
    if (!more_comes(h, held)) {
        tell_held(h);
        if (h->limit) {
            pool_lane_wait(LINGER_NS);  /* the guest goes on, and need not wake us */
        }
    }
    batch_unref(h);
}
