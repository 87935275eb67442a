/* SPDX-License-Identifier: MIT */
/*
 * Throttle groups, and the filter "throttle" that puts one over a node.
 *
 * A request takes its units out of the future: whoever comes gets the time when the buckets
 * have run down far enough for those before, and fills them at once.  That is a queue in order
 * of arrival without there being one.
 */
#include "block/throttle.h"
#include "block/node.h"
#include "block/pool.h"
#include "util/iov.h"
#include "util/timer.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#define THROTTLE_MAX 1000000000000000ull

const char *const throttle_limit_names[LIMIT_COUNT] = {
    "bps-total", "bps-read", "bps-write", "iops-total", "iops-read", "iops-write",
};
const char *const throttle_qmp_names[LIMIT_COUNT] = {
    "bps", "bps_rd", "bps_wr", "iops", "iops_rd", "iops_wr",
};

struct ThrottleGroup {
    char *name;
    unsigned refs;                      /* [bql] */
    GMutex lock;
    ThrottleConfig config;
    double level[LIMIT_COUNT];          /* units above what has run out at avg */
    double burst[LIMIT_COUNT];          /* ... at max */
    int64_t then;                       /* when the levels were right */
};

static GPtrArray *groups;
static GMutex bypass_lock;
static GCond bypass_changed;
static unsigned bypass;

/* ---- configuration -------------------------------------------------------------------- */

bool throttle_config_on(const ThrottleConfig *c)
{
    for (int i = 0; i < LIMIT_COUNT; i++) {
        if (c->avg[i]) {
            return true;
        }
    }
    return false;
}

static bool total_and_part(const ThrottleConfig *c, int total)
{
    return (c->avg[total] && (c->avg[total + 1] || c->avg[total + 2]))
           || (c->max[total] && (c->max[total + 1] || c->max[total + 2]));
}

bool throttle_config_valid(const ThrottleConfig *c, Error **err)
{
    if (total_and_part(c, LIMIT_BPS_TOTAL) || total_and_part(c, LIMIT_IOPS_TOTAL)) {
        return fail(err, "bps/iops/max total values and read/write values cannot be used at the same "
                    "time");
    }
    if (c->iops_size && !c->avg[LIMIT_IOPS_TOTAL] && !c->avg[LIMIT_IOPS_READ]
        && !c->avg[LIMIT_IOPS_WRITE]) {
        return fail(err, "iops size requires an iops value to be set");
    }
    for (int i = 0; i < LIMIT_COUNT; i++) {
        const char *name = throttle_limit_names[i];
        if (c->avg[i] > THROTTLE_MAX || c->max[i] > THROTTLE_MAX) {
            return fail(err, "%s: bps/iops/max values must be within [0, %llu]", name, THROTTLE_MAX);
        }
        if (c->max[i] && !c->avg[i]) {
            return fail(err, "%s-max requires %s to be set", name, name);
        }
        if (c->length[i] > 1 && !c->max[i]) {
            return fail(err, "%s-max-length requires %s-max to be set", name, name);
        }
        if (c->max[i] && c->max[i] < c->avg[i]) {
            return fail(err, "%s-max cannot be lower than %s", name, name);
        }
        if (c->length[i] > THROTTLE_MAX / MAX(c->max[i], 1)) {
            return fail(err, "%s-max-length is too large", name);
        }
    }
    return true;
}

static bool take_number(Json *o, const char *key, uint64_t *out, bool *given, Error **err)
{
    *given |= json_get(o, key) != NULL;
    return block_take_uint(o, key, out, err);
}

/* "iops-read", "iops-read-max", "iops-read-max-length" */
static bool take_new(Json *o, ThrottleConfig *c, bool *given, Error **err)
{
    for (int i = 0; i < LIMIT_COUNT; i++) {
        g_autofree char *max = g_strconcat(throttle_limit_names[i], "-max", NULL);
        g_autofree char *length = g_strconcat(max, "-length", NULL);
        if (!take_number(o, throttle_limit_names[i], &c->avg[i], given, err)
            || !take_number(o, max, &c->max[i], given, err)
            || !take_number(o, length, &c->length[i], given, err)) {
            return false;
        }
    }
    return take_number(o, "iops-size", &c->iops_size, given, err);
}

/* "iops_rd", "iops_rd_max" */
static bool take_old(Json *o, ThrottleConfig *c, bool *given, Error **err)
{
    for (int i = 0; i < LIMIT_COUNT; i++) {
        g_autofree char *max = g_strconcat(throttle_qmp_names[i], "_max", NULL);
        if (!take_number(o, throttle_qmp_names[i], &c->avg[i], given, err)
            || !take_number(o, max, &c->max[i], given, err)) {
            return false;
        }
    }
    return take_number(o, "iops_size", &c->iops_size, given, err);
}

bool throttle_take_options(Json *options, ThrottleConfig *c, char **group, bool *given, Error **err)
{
    Json *t = json_get(options, "throttling");
    *c = (ThrottleConfig) { 0 };
    if (t) {
        if (t->type != JSON_OBJECT) {
            return fail(err, "'throttling' is a group of options (throttling.iops-total ...)");
        }
        if (!take_new(t, c, given, err) || !block_take_str(t, "group", group, err)) {
            return false;
        }
        if (json_len(t)) {
            return fail(err, "unknown option 'throttling.%s'", json_key_at(t, 0));
        }
        json_remove(options, "throttling");
    }
    g_autofree char *old = NULL;
    if (!block_take_str(options, "group", &old, err)) {
        return false;
    }
    if (old && !*group) {
        *group = g_steal_pointer(&old);
    }
    return take_old(options, c, given, err) && throttle_config_valid(c, err);
}

/* ---- groups ---------------------------------------------------------------------------- */

ThrottleGroup *throttle_group_find(const char *name)
{
    for (guint i = 0; groups && i < groups->len; i++) {
        ThrottleGroup *g = groups->pdata[i];
        if (!strcmp(g->name, name)) {
            return g;
        }
    }
    return NULL;
}

ThrottleGroup *throttle_group_get(const char *name)
{
    ThrottleGroup *g = throttle_group_find(name);
    if (g) {
        g->refs++;
        return g;
    }
    g = g_new0(ThrottleGroup, 1);
    g->name = g_strdup(name);
    g->refs = 1;
    g->then = clock_ns(ORRERY_CLOCK_REAL);
    g_mutex_init(&g->lock);
    groups = groups ? groups : g_ptr_array_new();
    g_ptr_array_add(groups, g);
    return g;
}

void throttle_group_unref(ThrottleGroup *g)
{
    if (!g || --g->refs) {
        return;
    }
    g_ptr_array_remove(groups, g);
    g_mutex_clear(&g->lock);
    g_free(g->name);
    g_free(g);
}

const char *throttle_group_name(const ThrottleGroup *g)
{
    return g->name;
}

void throttle_group_set(ThrottleGroup *g, const ThrottleConfig *c)
{
    g_mutex_lock(&g->lock);
    g->config = *c;
    memset(g->level, 0, sizeof(g->level));
    memset(g->burst, 0, sizeof(g->burst));
    g->then = clock_ns(ORRERY_CLOCK_REAL);
    g_mutex_unlock(&g->lock);
}

void throttle_group_config(ThrottleGroup *g, ThrottleConfig *c)
{
    g_mutex_lock(&g->lock);
    *c = g->config;
    g_mutex_unlock(&g->lock);
}

static void leak(ThrottleGroup *g)
{
    int64_t now = clock_ns(ORRERY_CLOCK_REAL);
    double seconds = (now - g->then) / 1e9;
    for (int i = 0; i < LIMIT_COUNT; i++) {
        g->level[i] = MAX(g->level[i] - seconds * g->config.avg[i], 0);
        g->burst[i] = MAX(g->burst[i] - seconds * g->config.max[i], 0);
    }
    g->then = now;
}

/* Seconds until bucket i takes another request. */
static double wait_of(const ThrottleGroup *g, int i)
{
    double avg = g->config.avg[i], max = g->config.max[i], length = MAX(g->config.length[i], 1);
    if (!avg) {
        return 0;
    }
    double size = max ? max * length : avg / 10;
    double wait = (g->level[i] - size) / avg;
    if (wait <= 0 && max && length > 1) {
        wait = (g->burst[i] - max / 10) / max;
    }
    return MAX(wait, 0);
}

int64_t throttle_reserve(ThrottleGroup *g, bool write, uint64_t bytes)
{
    const int buckets[] = { LIMIT_BPS_TOTAL, write ? LIMIT_BPS_WRITE : LIMIT_BPS_READ,
                            LIMIT_IOPS_TOTAL, write ? LIMIT_IOPS_WRITE : LIMIT_IOPS_READ };
    double wait = 0;
    g_mutex_lock(&g->lock);
    leak(g);
    for (size_t i = 0; i < G_N_ELEMENTS(buckets); i++) {
        int b = buckets[i];
        double wait_b = wait_of(g, b), units = bytes;
        if (b >= LIMIT_IOPS_TOTAL) {
            units = g->config.iops_size ? MAX((double)bytes / g->config.iops_size, 1) : 1;
        }
        wait = MAX(wait, wait_b);
        g->level[b] += units;
        g->burst[b] += units;
    }
    g_mutex_unlock(&g->lock);
    return wait * 1e9;
}

void throttle_bypass(bool on)
{
    g_mutex_lock(&bypass_lock);
    bypass += on ? 1 : -1;
    g_cond_broadcast(&bypass_changed);
    g_mutex_unlock(&bypass_lock);
}

/* ---- the filter ------------------------------------------------------------------------- */

typedef struct ThrottleNode {
    ThrottleGroup *group;
} ThrottleNode;

static bool throttle_open(BlockNode *n, Json *options, Error **err)
{
    ThrottleNode *t = n->state;
    g_autofree char *name = NULL;
    if (!block_take_str(options, "throttle-group", &name, err)) {
        return false;
    }
    if (!name || !throttle_group_find(name)) {
        return name ? fail(err, "Throttle group '%s' does not exist", name)
                    : fail(err, "Please specify a throttle group");
    }
    n->file = node_open_child(n, options, "file", err);
    if (!n->file) {
        return false;
    }
    t->group = throttle_group_get(name);
    return true;
}

static void throttle_close(BlockNode *n)
{
    throttle_group_unref(((ThrottleNode *)n->state)->group);
}

static void wait_turn(BlockNode *n, bool write, uint64_t bytes)
{
    int64_t ns = throttle_reserve(((ThrottleNode *)n->state)->group, write, bytes);
    int64_t end = g_get_monotonic_time() + ns / 1000;
    if (!ns) {
        return;
    }
    pool_sleeps();
    g_mutex_lock(&bypass_lock);
    while (!bypass && g_cond_wait_until(&bypass_changed, &bypass_lock, end)) {
    }
    g_mutex_unlock(&bypass_lock);
}

static int64_t throttle_length(BlockNode *n)
{
    return node_length(n->file);
}

static int throttle_read(BlockNode *n, uint64_t off, const struct iovec *iov, int niov)
{
    wait_turn(n, false, iov_size(iov, niov));
    return node_read(n->file, off, iov, niov);
}

static int throttle_write(BlockNode *n, uint64_t off, const struct iovec *iov, int niov)
{
    wait_turn(n, true, iov_size(iov, niov));
    return node_write(n->file, off, iov, niov);
}

static int throttle_flush(BlockNode *n)
{
    return node_flush(n->file);
}

static int throttle_discard(BlockNode *n, uint64_t off, uint64_t len)
{
    wait_turn(n, true, len);
    return node_discard(n->file, off, len);
}

static int throttle_write_zeroes(BlockNode *n, uint64_t off, uint64_t len, bool may_unmap)
{
    wait_turn(n, true, len);
    return node_write_zeroes(n->file, off, len, may_unmap);
}

static int throttle_status(BlockNode *n, uint64_t off, uint64_t len, BlockStatus *st)
{
    return node_status(n->file, off, len, st);
}

static bool throttle_truncate(BlockNode *n, uint64_t length, BlockPrealloc prealloc, Error **err)
{
    return node_truncate(n->file, length, prealloc, err);
}

static const BlockDriver throttle_driver = {
    .name = "throttle", .filter = true, .size = sizeof(ThrottleNode), .open = throttle_open,
    .close = throttle_close, .length = throttle_length, .read = throttle_read,
    .write = throttle_write, .flush = throttle_flush, .discard = throttle_discard,
    .write_zeroes = throttle_write_zeroes, .status = throttle_status,
    .truncate = throttle_truncate,
};
BLOCK_DRIVER(throttle_driver);
