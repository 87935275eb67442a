/* SPDX-License-Identifier: MIT */
/*
 * Telling Linux' perf about generated code: names by /tmp/perf-PID.map, and by jitdump the
 * code itself as well (perf inject -j), which survives the reuse of its memory.
 */
#ifndef ACCEL_TCG_PERF_H
#define ACCEL_TCG_PERF_H

#include <stdbool.h>
#include <stddef.h>

/* -perfmap, -jitdump.  Set before any code is made. */
extern bool perf_map, perf_dump;

static inline bool perf_wanted(void)
{
    return perf_map || perf_dump;
}
/* `size` bytes of host code at `code` (where it executes) are complete.  Any thread. */
void perf_note(const void *code, size_t size, const char *name);

#endif
