/* SPDX-License-Identifier: MIT */
/*
 * One sink, so that devices and back-ends can announce events without knowing the monitor.
 */
#include "util/event.h"

static void (*event_sink)(const char *name, const Json *data);

void event_emit(const char *name, Json *data)
{
    if (event_sink) {
        event_sink(name, data);
    }
    json_free(data);
}

void event_set_sink(void (*sink)(const char *name, const Json *data))
{
    event_sink = sink;
}
