/* SPDX-License-Identifier: MIT */
/*
 * -object throttle-group: limits that several disks share.  "limits.iops-total" and the older
 * "x-iops-total" are the same.
 */
#include "system/objects.h"

#include "block/throttle.h"

typedef struct ThrottleObject {
    Object object;
    ThrottleConfig config;
    ThrottleGroup *group;
} ThrottleObject;

#define LIMIT(prefix, name, i)                                                                    \
    PROP_UINT(prefix name, ThrottleObject, config.avg[i], 0, "units a second; 0: no limit"),      \
    PROP_UINT(prefix name "-max", ThrottleObject, config.max[i], 0, "... in bursts"),             \
    PROP_UINT(prefix name "-max-length", ThrottleObject, config.length[i], 0, "seconds of a burst")

#define LIMITS(prefix)                                                                            \
    LIMIT(prefix, "bps-total", LIMIT_BPS_TOTAL), LIMIT(prefix, "bps-read", LIMIT_BPS_READ),       \
    LIMIT(prefix, "bps-write", LIMIT_BPS_WRITE), LIMIT(prefix, "iops-total", LIMIT_IOPS_TOTAL),   \
    LIMIT(prefix, "iops-read", LIMIT_IOPS_READ), LIMIT(prefix, "iops-write", LIMIT_IOPS_WRITE),   \
    PROP_UINT(prefix "iops-size", ThrottleObject, config.iops_size, 0,                            \
              "bytes that count as one request more")

static const Prop props[] = { LIMITS("limits."), LIMITS("x-"), PROP_DONE };

static bool complete(Object *o, Error **err)
{
    ThrottleObject *t = (ThrottleObject *)o;
    if (!throttle_config_valid(&t->config, err)) {
        return false;
    }
    if (throttle_group_find(o->id)) {
        return fail(err, "A throttle group named '%s' exists already", o->id);
    }
    t->group = throttle_group_get(o->id);
    throttle_group_set(t->group, &t->config);
    return true;
}

static void finish(Object *o)
{
    throttle_group_unref(((ThrottleObject *)o)->group);
}

static const ObjectType throttle_object_type = {
    .name = "throttle-group", .desc = "limits on disk requests", .size = sizeof(ThrottleObject),
    .props = props, .complete = complete, .finish = finish,
};
OBJECT_TYPE(throttle_object_type);
