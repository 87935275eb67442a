/* SPDX-License-Identifier: MIT */
/*
 * Limits on requests and bytes per second: groups that drives and "throttle" nodes share.
 *
 * A limit is a leaky bucket: avg units run out of it each second.  With max, up to max units a
 * second may come for length seconds before avg applies; without, a tenth of avg at once.
 */
#ifndef BLOCK_THROTTLE_H
#define BLOCK_THROTTLE_H

#include <stdbool.h>
#include <stdint.h>
#include "util/error.h"
#include "util/json.h"

typedef enum { LIMIT_BPS_TOTAL, LIMIT_BPS_READ, LIMIT_BPS_WRITE, LIMIT_IOPS_TOTAL, LIMIT_IOPS_READ,
               LIMIT_IOPS_WRITE, LIMIT_COUNT } ThrottleLimit;

typedef struct ThrottleConfig {
    uint64_t avg[LIMIT_COUNT], max[LIMIT_COUNT];        /* units a second, 0 = no limit */
    uint64_t length[LIMIT_COUNT];                       /* seconds of a burst; 0 = 1 */
    uint64_t iops_size;                 /* a request counts once for each so many bytes; 0 = once */
} ThrottleConfig;

/* In the order of ThrottleLimit: "bps-total", "bps-read" ... as options have them. */
extern const char *const throttle_limit_names[LIMIT_COUNT];
/* The same as query-block and block_set_io_throttle have them: "bps", "bps_rd" ... */
extern const char *const throttle_qmp_names[LIMIT_COUNT];

typedef struct ThrottleGroup ThrottleGroup;

bool throttle_config_valid(const ThrottleConfig *c, Error **err);
bool throttle_config_on(const ThrottleConfig *c);       /* there is some limit */
/* Takes "throttling.*" members (an object "throttling") and the older names ("iops_rd") out of
 * drive options; *given tells that there were some, *group their group's name (g_free). */
bool throttle_take_options(Json *options, ThrottleConfig *c, char **group, bool *given, Error **err);

/* One reference; makes the group if there is none of that name. */
ThrottleGroup *throttle_group_get(const char *name);
ThrottleGroup *throttle_group_find(const char *name);   /* no reference; NULL */
void throttle_group_unref(ThrottleGroup *g);
const char *throttle_group_name(const ThrottleGroup *g);
void throttle_group_set(ThrottleGroup *g, const ThrottleConfig *c);
void throttle_group_config(ThrottleGroup *g, ThrottleConfig *c);

/* Any thread: takes a place for a request.  Returns how many ns from now it may begin, 0 = now. */
int64_t throttle_reserve(ThrottleGroup *g, bool write, uint64_t bytes);

/* Throttle nodes wait on the threads of requests; while this is on they don't (draining). */
void throttle_bypass(bool on);

#endif
