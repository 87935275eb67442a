/* SPDX-License-Identifier: MIT */
/*
 * Slots for media, and the path of a request: submitted under the big lock, worked on by a
 * pool thread; how it ends is in block/finish.c.
 */
#include "block/backend-int.h"
#include "block/drive.h"
#include "block/job.h"
#include "block/nbd.h"
#include "block/pool.h"
#include "block/uring.h"
#include "util/bql.h"
#include "util/iov.h"
#include "util/timer.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#define TRY_MAX (64u << 10)             /* more than that is copied better by a pool thread */

static GPtrArray *backends;
static GQueue throttled = G_QUEUE_INIT; /* requests whose turn has not come */

BlkHooks blk_hooks;

const char *const blk_on_error_names[] = { "report", "ignore", "enospc", "stop", "auto", NULL };

/* ---- requests ----------------------------------------------------------------------- */

static int do_request(BlkRequest *r)
{
    int ret = 0;
    switch (r->type) {
    case REQ_READ:
        return node_read(r->node, r->offset, r->iov, r->niov);
    case REQ_WRITE:
        ret = node_write(r->node, r->offset, r->iov, r->niov);
        break;
    case REQ_FLUSH:
        return node_flush(r->node);
    case REQ_DISCARD:
        return node_discard(r->node, r->offset, r->len);
    case REQ_WRITE_ZEROES:
        ret = node_write_zeroes(r->node, r->offset, r->len, r->flags & BLK_MAY_UNMAP);
        break;
    }
    return !ret && r->flags & BLK_FUA ? node_flush(r->node) : ret;
}

static int work(BlkRequest *r)
{
    graph_read_lock();
    int ret = do_request(r);
    graph_read_unlock();
    return ret;
}

static void in_pool(PoolJob *j)
{
    BlkRequest *r = (BlkRequest *)j;
    int64_t began = clock_ns(ORRERY_CLOCK_REAL);
    r->ret = g_atomic_int_get(&r->cancelled) ? -ECANCELED : work(r);
    request_end_here(r, clock_ns(ORRERY_CLOCK_REAL) - began);
}

/* What only waits, and what comes here since it must wait, has a thread of its own. */
static void to_pool(BlkRequest *r)
{
    bool changes = r->type != REQ_READ && r->type != REQ_FLUSH;
    r->job.run = in_pool;
    pool_push(&r->job, changes ? r->blk->lane : NULL);
}

/* Bounds and permissions, so that even a request that never gets to a thread completes later. */
static int check(const BlockBackend *b, const BlkRequest *r)
{
    if (!b->root) {
        return -ENOMEDIUM;
    }
    if (r->type != REQ_READ && r->type != REQ_FLUSH && b->root->flags.read_only) {
        return -EPERM;
    }
    return 0;
}

/* A short transfer or an error is done again by a thread, which knows what to make of it. */
static void uring_done(void *opaque, int ret)
{
    BlkRequest *r = opaque;
    if (ret >= 0 && (uint64_t)ret == r->len) {
        request_end(r, 0);
    } else {
        to_pool(r);
    }
}

static bool start_direct(BlkRequest *r)
{
    bool write = r->type == REQ_WRITE;
    uint64_t host;
    int fd;
    return (r->type == REQ_READ || (write && !(r->flags & BLK_FUA)))
           && node_direct(r->node, r->offset, r->iov, r->niov, write, &fd, &host)
           && uring_submit(write, fd, r->iov, r->niov, host, uring_done, r);
}

static void start(BlkRequest *r)
{
    r->node = node_ref(r->blk->root);
    if (!start_direct(r)) {
        to_pool(r);
    }
}

static void turn_has_come(void *opaque)
{
    BlkRequest *r = opaque;
    r->waiting = false;
    timer_del(&r->wait);
    g_queue_remove(&throttled, r);
    start(r);
}

/* Who drains does not wait for the limits (NULL: of any slot). */
static void start_throttled(const BlockBackend *b)
{
    for (GList *l = throttled.head, *next; l; l = next) {
        BlkRequest *r = l->data;
        next = l->next;
        if (!b || r->blk == b) {
            turn_has_come(r);
        }
    }
}

static BlkRequest *submit(BlockBackend *b, RequestType type, uint64_t offset, uint64_t len,
                          const struct iovec *iov, int niov, unsigned flags, BlkDone *done,
                          void *opaque)
{
    g_assert(bql_locked());
    BlkRequest *r = g_malloc0(sizeof(*r) + niov * sizeof(struct iovec));
    r->blk = b;
    r->type = type;
    r->offset = offset;
    r->len = len;
    r->flags = flags;
    r->niov = niov;
    r->done = done;
    r->opaque = opaque;
    r->start_ns = clock_ns(ORRERY_CLOCK_REAL);
    if (niov) {
        memcpy(r->iov, iov, niov * sizeof(struct iovec));
    }
    b->in_flight++;
    int ret = check(b, r);
    if (ret < 0) {
        request_end(r, ret);
        return r;
    }
    int64_t wait = b->throttle && type != REQ_FLUSH
                   ? throttle_reserve(b->throttle, type != REQ_READ, len) : 0;
    /* what the host has in memory is had at once, unless the device asked already */
    bool tried = b->tried;
    b->tried = false;
    if (!wait && type == REQ_READ && len <= TRY_MAX && !tried
        && node_try_read(b->root, offset, r->iov, niov) == 0) {
        r->node = node_ref(b->root);
        request_end(r, 0);
        return r;
    }
    if (wait) {
        r->waiting = true;
        timer_init(&r->wait, ORRERY_CLOCK_REAL, turn_has_come, r);
        timer_mod(&r->wait, r->start_ns + wait);
        g_queue_push_tail(&throttled, r);
    } else {
        start(r);
    }
    return r;
}

BlkRequest *blk_read(BlockBackend *b, uint64_t offset, const struct iovec *iov, int niov,
                     BlkDone *done, void *opaque)
{
    return submit(b, REQ_READ, offset, iov_size(iov, niov), iov, niov, 0, done, opaque);
}

bool blk_try_read(BlockBackend *b, uint64_t offset, const struct iovec *iov, int niov)
{
    if (b->throttle) {
        return false;
    }
    uint64_t len = iov_size(iov, niov);
    int64_t start = clock_ns(ORRERY_CLOCK_REAL);
    if (!b->root || len > TRY_MAX || node_try_read(b->root, offset, iov, niov) < 0) {
        b->tried = true;
        return false;
    }
    b->tried = false;
    b->stats.rd_ops++;
    b->stats.rd_bytes += len;
    b->stats.rd_ns += clock_ns(ORRERY_CLOCK_REAL) - start;
    return true;
}

static unsigned write_flags(const BlockBackend *b, unsigned flags)
{
    return b->write_cache ? flags : flags | BLK_FUA;
}

BlkRequest *blk_write(BlockBackend *b, uint64_t offset, const struct iovec *iov, int niov,
                      unsigned flags, BlkDone *done, void *opaque)
{
    return submit(b, REQ_WRITE, offset, iov_size(iov, niov), iov, niov, write_flags(b, flags), done,
                  opaque);
}

BlkRequest *blk_flush(BlockBackend *b, BlkDone *done, void *opaque)
{
    return submit(b, REQ_FLUSH, 0, 0, NULL, 0, 0, done, opaque);
}

BlkRequest *blk_discard(BlockBackend *b, uint64_t offset, uint64_t len, BlkDone *done, void *opaque)
{
    return submit(b, REQ_DISCARD, offset, len, NULL, 0, 0, done, opaque);
}

BlkRequest *blk_write_zeroes(BlockBackend *b, uint64_t offset, uint64_t len, unsigned flags,
                             BlkDone *done, void *opaque)
{
    return submit(b, REQ_WRITE_ZEROES, offset, len, NULL, 0, write_flags(b, flags), done, opaque);
}

void blk_cancel(BlkRequest *r)
{
    g_atomic_int_set(&r->cancelled, 1);
    if (r->waiting) {
        turn_has_come(r);
    }
    request_finish_when_done(r);
}

void blk_drain(BlockBackend *b)
{
    throttle_bypass(true);
    while (b->in_flight) {
        start_throttled(b);
        requests_finish_one(b);
    }
    throttle_bypass(false);
}

void blk_drain_all(void)
{
    bool busy = true;
    while (busy) {                      /* a callback may submit to another slot */
        busy = false;
        for (guint i = 0; backends && i < backends->len; i++) {
            busy |= blk_in_flight(backends->pdata[i]) != 0;
            blk_drain(backends->pdata[i]);
        }
    }
}

unsigned blk_in_flight(const BlockBackend *b)
{
    return b->in_flight;
}

/* ---- synchronous -------------------------------------------------------------------- */

int blk_pread(BlockBackend *b, uint64_t offset, void *buf, size_t len)
{
    return b->root ? node_pread(b->root, offset, buf, len) : -ENOMEDIUM;
}

int blk_pwrite(BlockBackend *b, uint64_t offset, const void *buf, size_t len)
{
    if (!b->root) {
        return -ENOMEDIUM;
    }
    int ret = node_pwrite(b->root, offset, buf, len);
    return !ret && !b->write_cache ? node_flush(b->root) : ret;
}

int blk_flush_sync(BlockBackend *b)
{
    return b->root ? node_flush(b->root) : 0;
}

int blk_flush_all(void)
{
    int first_error = 0;
    for (guint i = 0; backends && i < backends->len; i++) {
        int ret = blk_flush_sync(backends->pdata[i]);
        first_error = first_error ? first_error : ret;
    }
    return first_error;
}

/* ---- state -------------------------------------------------------------------------- */

const char *blk_name(const BlockBackend *b)
{
    return b->name;
}

bool blk_has_medium(const BlockBackend *b)
{
    return b->root != NULL;
}

bool blk_tray_open(const BlockBackend *b)
{
    return b->user_opened || (b->ops && b->ops->tray_open && b->ops->tray_open(b->ops_opaque));
}

bool blk_inserted(const BlockBackend *b)
{
    return b->root && !blk_tray_open(b);
}

bool blk_readonly(const BlockBackend *b)
{
    return b->root ? b->root->flags.read_only : b->flags.read_only;
}

uint64_t blk_length(BlockBackend *b)
{
    int64_t length = b->root ? node_length(b->root) : 0;
    return length > 0 ? length : 0;
}

void blk_limits(BlockBackend *b, BlkLimits *out)
{
    *out = (BlkLimits) { .logical_block = BLK_SECTOR, .physical_block = BLK_SECTOR,
                         .discard_granularity = BLK_SECTOR };
    if (b->root) {
        node_limits(b->root, out);
    }
}

void blk_geometry(BlockBackend *b, uint32_t *cylinders, uint32_t *heads, uint32_t *sectors)
{
    uint64_t total = blk_length(b) / BLK_SECTOR;
    *heads = 16;
    *sectors = 63;
    *cylinders = CLAMP(total / (16 * 63), 2, 16383);
}

bool blk_resize(BlockBackend *b, uint64_t length, Error **err)
{
    if (!b->root) {
        return fail(err, "Device '%s' has no medium", b->name);
    }
    if (length % BLK_SECTOR) {
        return fail(err, "The new size must be a multiple of %u", BLK_SECTOR);
    }
    if (b->root->job) {
        return fail(err, "Node '%s' is busy: a block job works on it", b->root->name);
    }
    graph_write_lock();
    bool ok = node_truncate(b->root, length, PREALLOC_OFF, err);
    graph_write_unlock();
    if (!ok) {
        return false;
    }
    if (b->ops && b->ops->resized) {
        b->ops->resized(b->ops_opaque);
    }
    return true;
}

bool blk_write_cache(const BlockBackend *b)
{
    return b->write_cache;
}

void blk_set_write_cache(BlockBackend *b, bool on)
{
    b->write_cache = on;
}

bool blk_discard_enabled(const BlockBackend *b)
{
    return b->root ? b->root->flags.unmap : b->flags.unmap;
}

const char *blk_file_name(const BlockBackend *b)
{
    return b->root ? node_file_name(b->root) : "";
}

const char *blk_format(const BlockBackend *b)
{
    return b->root ? b->root->driver->name : "";
}

BlockNode *blk_root(const BlockBackend *b)
{
    return b->root;
}

void blk_replace_root(BlockBackend *b, BlockNode *root)
{
    blk_drain(b);
    blk_swap_root(b, root);
}

void blk_swap_root(BlockBackend *b, BlockNode *root)
{
    BlockNode *old = b->root;
    b->root = root;
    node_unref(old);
}

void blk_set_flags(BlockBackend *b, BlockFlags flags)
{
    b->flags = flags;
}

void blk_set_throttle(BlockBackend *b, ThrottleGroup *g)
{
    start_throttled(b);
    throttle_group_unref(b->throttle);
    b->throttle = g;
}

ThrottleGroup *blk_throttle(const BlockBackend *b)
{
    return b->throttle;
}

const BlkStats *blk_stats(const BlockBackend *b)
{
    return &b->stats;
}

const char *blk_io_status(const BlockBackend *b)
{
    return b->io_status;
}

/* ---- the device --------------------------------------------------------------------- */

bool blk_attach(BlockBackend *b, const char *who, const BlkDevOps *ops, void *opaque, Error **err)
{
    if (b->device) {
        return fail(err, "Drive '%s' is already in use by %s", *b->name ? b->name : b->root->name,
                    b->device);
    }
    if (b->root && !node_usable_medium(b->root, err)) {
        return false;
    }
    b->device = g_strdup(who);
    b->ops = ops;
    b->ops_opaque = opaque;
    return true;
}

void blk_detach(BlockBackend *b)
{
    blk_drain(b);
    g_clear_pointer(&b->device, g_free);
    b->ops = NULL;
    b->locked = false;
}

bool blk_removable(const BlockBackend *b)
{
    /* a slot nobody uses holds whatever the user puts in */
    return !b->device || (b->ops && b->ops->media_changed);
}

const char *blk_attached_to(const BlockBackend *b)
{
    return b->device ? b->device : "";
}

/* ---- errors ------------------------------------------------------------------------- */

void blk_set_on_error(BlockBackend *b, BlkOnError read, BlkOnError write)
{
    b->on_read_error = read == BLK_ON_ERROR_AUTO ? b->on_read_error : read;
    b->on_write_error = write == BLK_ON_ERROR_AUTO ? b->on_write_error : write;
}

BlkOnError blk_on_error(const BlockBackend *b, bool is_read)
{
    return is_read ? b->on_read_error : b->on_write_error;
}

static BlkAction action_for(const BlockBackend *b, bool is_read, int errnum)
{
    switch (blk_on_error(b, is_read)) {
    case BLK_ON_ERROR_IGNORE:
        return BLK_ACTION_IGNORE;
    case BLK_ON_ERROR_STOP:
        return BLK_ACTION_STOP;
    case BLK_ON_ERROR_ENOSPC:
        return errnum == ENOSPC ? BLK_ACTION_STOP : BLK_ACTION_REPORT;
    case BLK_ON_ERROR_AUTO:             /* reads report; writes stop when the host is full */
        return !is_read && errnum == ENOSPC ? BLK_ACTION_STOP : BLK_ACTION_REPORT;
    default:
        return BLK_ACTION_REPORT;
    }
}

BlkAction blk_error(BlockBackend *b, bool is_read, int errnum)
{
    BlkAction action = action_for(b, is_read, errnum);
    if (action == BLK_ACTION_STOP && !strcmp(b->io_status, "ok")) {
        b->io_status = errnum == ENOSPC ? "nospace" : "failed";
    }
    if (blk_hooks.io_error) {
        blk_hooks.io_error(b, is_read, action, errnum);
    }
    if (action == BLK_ACTION_STOP && blk_hooks.vm_stop_io_error) {
        blk_hooks.vm_stop_io_error();
    }
    return action;
}

void blk_resume_all(void)
{
    for (guint i = 0; backends && i < backends->len; i++) {
        BlockBackend *b = backends->pdata[i];
        b->io_status = "ok";
        if (b->ops && b->ops->resume) {
            b->ops->resume(b->ops_opaque);
        }
    }
}

/* ---- life --------------------------------------------------------------------------- */

BlockBackend *blk_new(const char *name, BlockNode *root)
{
    if (!backends) {
        backends = g_ptr_array_new();
    }
    BlockBackend *b = g_new0(BlockBackend, 1);
    b->name = g_strdup(name);
    b->root = root;
    b->batch = batch_new();
    b->lane = pool_lane_new(batch_sleeps, b->batch);
    b->write_cache = true;
    b->on_write_error = BLK_ON_ERROR_ENOSPC;
    b->io_status = "ok";
    g_ptr_array_add(backends, b);
    return b;
}

BlockBackend *blk_new_empty(const char *name)
{
    return blk_new(name, NULL);
}

BlockBackend *blk_find_named(const char *name)
{
    for (guint i = 0; backends && *name && i < backends->len; i++) {
        BlockBackend *b = backends->pdata[i];
        if (!strcmp(b->name, name)) {
            return b;
        }
    }
    return NULL;
}

BlockBackend *blk_find(const char *id)
{
    BlockBackend *b = blk_find_named(id);
    BlockNode *n = b ? NULL : node_find(id);
    for (guint i = 0; n && backends && i < backends->len && !b; i++) {
        BlockBackend *other = backends->pdata[i];
        b = other->root == n ? other : NULL;
    }
    if (b || !n) {
        return b;
    }
    if (n->flags.auto_read_only) {
        node_set_writable(n, true, NULL);       /* or it stays read-only */
    }
    return blk_new("", node_ref(n));
}

void blk_foreach(void (*fn)(BlockBackend *b, void *opaque), void *opaque)
{
    for (guint i = 0; backends && i < backends->len; i++) {
        fn(backends->pdata[i], opaque);
    }
}

void blk_delete(BlockBackend *b)
{
    blk_detach(b);
    drive_forget(b);
    g_ptr_array_remove(backends, b);
    node_unref(b->root);
    throttle_group_unref(b->throttle);
    pool_lane_free(b->lane);
    batch_unref(b->batch);
    g_free(b->name);
    g_free(b);
}

void blk_auto_delete(BlockBackend *b)
{
    if (drive_of_blk(b) || !*b->name) {
        blk_delete(b);
    }
}

static void unref_if_named(BlockNode *n, void *opaque)
{
    if (n->named) {
        *(BlockNode **)opaque = n;
    }
}

void block_close_all(void)
{
    nbd_server_stop();
    job_cancel_all();
    blk_drain_all();
    while (backends && backends->len) {
        blk_delete(backends->pdata[backends->len - 1]);
    }
    /* the last opened first: nodes above before nodes below */
    for (;;) {
        BlockNode *last = NULL;
        node_foreach(unref_if_named, &last);
        if (!last) {
            break;
        }
        last->named = false;
        node_unref(last);
    }
}
