/* SPDX-License-Identifier: MIT */
/*
 * Events on their way to the clients.  Some can be caused by the guest as often as it likes;
 * of those at most one a second goes out, and the last one of a burst always does.
 */
#include "monitor/internal.h"

#include <string.h>

#include "util/event.h"
#include "util/timer.h"

#define THROTTLE_NS (1000 * NS_PER_MS)

/* Every event this program can send. */
static const struct {
    const char *name;
    bool throttled;
} known[] = {
    { "SHUTDOWN" }, { "POWERDOWN" }, { "RESET" }, { "STOP" }, { "RESUME" }, { "SUSPEND" },
    { "WAKEUP" }, { "WATCHDOG", true }, { "GUEST_PANICKED" }, { "GUEST_CRASHLOADED" },
    { "RTC_CHANGE", true }, { "BALLOON_CHANGE", true },
    { "DEVICE_DELETED" }, { "DEVICE_TRAY_MOVED" }, { "BLOCK_IO_ERROR" },
    { "BLOCK_IMAGE_CORRUPTED" },
    { "BLOCK_EXPORT_DELETED" }, { "BLOCK_JOB_CANCELLED" }, { "BLOCK_JOB_COMPLETED" },
    { "BLOCK_JOB_ERROR" }, { "BLOCK_JOB_PENDING" }, { "BLOCK_JOB_READY" }, { "JOB_STATUS_CHANGE" },
    { "NIC_RX_FILTER_CHANGED" }, { "NETDEV_STREAM_CONNECTED" }, { "NETDEV_STREAM_DISCONNECTED" },
    { "VNC_CONNECTED" }, { "VNC_INITIALIZED" }, { "VNC_DISCONNECTED" },
};

typedef struct Throttle {
    int64_t next;               /* real time before which nothing goes out */
    Json *held;                 /* the last one that came too early */
    Timer timer;
} Throttle;

static Throttle throttles[G_N_ELEMENTS(known)];

void qmp_add_timestamp(Json *event)
{
    int64_t now = clock_ns(ORRERY_CLOCK_HOST);
    Json *stamp = json_object();
    json_set_int(stamp, "seconds", now / NS_PER_SEC);
    json_set_int(stamp, "microseconds", now % NS_PER_SEC / NS_PER_US);
    json_set(event, "timestamp", stamp);
}

static void release_held(void *opaque)
{
    Throttle *t = opaque;
    Json *event = t->held;
    t->held = NULL;
    t->next = clock_ns(ORRERY_CLOCK_REAL) + THROTTLE_NS;
    qmp_broadcast(event);
    json_free(event);
}

/* True: not now. */
static bool hold_back(Throttle *t, Json *event)
{
    int64_t now = clock_ns(ORRERY_CLOCK_REAL);
    if (now >= t->next && !t->held) {
        t->next = now + THROTTLE_NS;
        return false;
    }
    if (t->held) {
        json_free(t->held);
    } else {
        timer_mod(&t->timer, t->next);
    }
    t->held = event;
    return true;
}

static void sink(const char *name, const Json *data)
{
    Json *event = json_object();
    qmp_add_timestamp(event);
    json_set_str(event, "event", name);
    if (data) {
        json_set(event, "data", json_copy(data));
    }
    for (size_t i = 0; i < G_N_ELEMENTS(known); i++) {
        if (known[i].throttled && !strcmp(known[i].name, name) && hold_back(&throttles[i], event)) {
            return;
        }
    }
    qmp_broadcast(event);
    json_free(event);
}

void qmp_events_init(void)
{
    for (size_t i = 0; i < G_N_ELEMENTS(throttles); i++) {
        if (!throttles[i].timer.cb) {
            timer_init(&throttles[i].timer, ORRERY_CLOCK_REAL, release_held, &throttles[i]);
        }
    }
    event_set_sink(sink);
}

Json *qmp_event_names(void)
{
    Json *list = json_array();
    for (size_t i = 0; i < G_N_ELEMENTS(known); i++) {
        Json *o = json_object();
        json_set_str(o, "name", known[i].name);
        json_append(list, o);
    }
    return list;
}
