/* SPDX-License-Identifier: MIT */
/*
 * The event loop: GMainContext with our clocks and the big lock around it.  Callbacks run in
 * the main thread with the big lock held.
 */
#ifndef UTIL_MAINLOOP_H
#define UTIL_MAINLOOP_H

#include <glib.h>
#include <stdbool.h>

void mainloop_init(void);               /* takes the big lock */
void mainloop_iterate(bool block);      /* one round: fds, deferred calls, due timers */
void mainloop_wake(void);               /* from any thread */
/* Run fn(opaque) soon in the main loop.  Any thread. */
void mainloop_defer(void (*fn)(void *opaque), void *opaque);
/* Watch fd; cond is G_IO_IN | G_IO_OUT ...; returns an id for mainloop_unwatch. */
guint mainloop_watch(int fd, GIOCondition cond, void (*fn)(int fd, GIOCondition c, void *opaque), void *opaque);
void mainloop_unwatch(guint id);

#endif
