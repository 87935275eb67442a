/* SPDX-License-Identifier: MIT */
/*
 * The event loop: GMainContext with our clocks and the big lock around it.  Callbacks run in
 * the main thread with the big lock held.
 */
#ifndef UTIL_MAINLOOP_H
#define UTIL_MAINLOOP_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

void mainloop_init(void);               /* takes the big lock */
void mainloop_iterate(bool block);      /* one round: fds, deferred calls, due timers */
void mainloop_wake(void);               /* from any thread */
/* Run fn(opaque) soon in the main loop.  Any thread. */
void mainloop_defer(void (*fn)(void *opaque), void *opaque);
/* Watch fd; cond is G_IO_IN | G_IO_OUT ...; returns an id for mainloop_unwatch. */
guint mainloop_watch(int fd, GIOCondition cond, void (*fn)(int fd, GIOCondition c, void *opaque), void *opaque);
void mainloop_unwatch(guint id);

/*
 * Somebody whose descriptors differ from round to round (user-mode networking).  Telling GLib of
 * each change would wake the loop up once more for each.  The struct is the caller's, zero but for
 * the first three members, until it is removed; both functions may add and remove pollers.
 */
typedef struct MainloopPoller {
    /* Append what to wait for; *timeout_ns may be lowered.  Before each wait. */
    void (*fill)(GArray *fds, int64_t *timeout_ns, void *opaque);
    /* After each wait, ready or not: the n appended, in their order, with revents. */
    void (*ready)(const GPollFD *fds, unsigned n, void *opaque);
    void *opaque;
    unsigned first, n;                  /* of this round, in its array */
    bool filled;
} MainloopPoller;
void mainloop_add_poller(MainloopPoller *p);
void mainloop_remove_poller(MainloopPoller *p);

#endif
