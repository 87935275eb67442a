/* SPDX-License-Identifier: MIT */
/*
 * Things that happened and that somebody outside wants to hear of: QMP's events.  Whoever
 * notices one says so here; the monitor, if there is one, is the sink.
 */
#ifndef UTIL_EVENT_H
#define UTIL_EVENT_H

#include "util/json.h"

/* name as in QMP ("RESET"); data is given away, NULL = none. [bql] */
void event_emit(const char *name, Json *data);
/* The one that passes events on; data is borrowed and may be NULL. */
void event_set_sink(void (*sink)(const char *name, const Json *data));

#endif
