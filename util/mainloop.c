/* SPDX-License-Identifier: MIT */
/*
 * One round of the event loop: ask GLib what it waits for, wait for that or the nearest timer
 * with the big lock released, then dispatch GLib's sources, deferred calls and due timers with
 * it held.  A timerfd follows the wall clock, so that a timer on ORRERY_CLOCK_HOST fires at
 * once when the host's clock is set past it.
 */
#include "util/mainloop.h"
#include "util/bql.h"
#include "util/timer.h"

#include <errno.h>
#include <glib-unix.h>
#include <poll.h>
#include <string.h>
#include <sys/timerfd.h>
#include <unistd.h>

typedef struct Deferred {
    void (*fn)(void *opaque);
    void *opaque;
} Deferred;

static GMutex deferred_lock;
static GArray *deferred;                /* of Deferred, calls not yet made */
static GPtrArray *pollers;              /* of MainloopPoller* */
static GArray *pollfds;                 /* of GPollFD, kept between rounds */
static unsigned rounds;                 /* at work, one in another */
static bool woken;                      /* [atomic] since the loop last looked what there is to do */
static GThread *main_thread;
static int host_clock_fd = -1;
static int64_t host_clock_armed = INT64_MAX;

void mainloop_wake(void)
{
    if (!__atomic_exchange_n(&woken, true, __ATOMIC_SEQ_CST)) {
        g_main_context_wakeup(NULL);
    }
}

/* A nearer deadline set by the main thread itself is seen before it waits again. */
static void deadline_moved(void)
{
    if (g_thread_self() != main_thread) {
        mainloop_wake();
    }
}

static void host_clock_event(int fd, GIOCondition cond, void *opaque)
{
    uint64_t expirations;
    /* ECANCELED: the clock was set.  Either way timers_run looks at the new time. */
    ssize_t n = read(fd, &expirations, sizeof(expirations));
    (void)n;
    host_clock_armed = INT64_MAX;
}

void mainloop_init(void)
{
    if (main_thread) {
        return;
    }
    main_thread = g_thread_self();
    deferred = g_array_new(FALSE, FALSE, sizeof(Deferred));
    pollfds = g_array_new(FALSE, FALSE, sizeof(GPollFD));
    pollers = pollers ? pollers : g_ptr_array_new();
    bql_lock();
    host_clock_fd = timerfd_create(CLOCK_REALTIME, TFD_NONBLOCK | TFD_CLOEXEC);
    if (host_clock_fd >= 0) {
        mainloop_watch(host_clock_fd, G_IO_IN, host_clock_event, NULL);
    }
    timers_set_notify(deadline_moved);
}

void mainloop_defer(void (*fn)(void *opaque), void *opaque)
{
    Deferred d = { fn, opaque };
    g_mutex_lock(&deferred_lock);
    if (!deferred) {
        deferred = g_array_new(FALSE, FALSE, sizeof(Deferred));
    }
    g_array_append_val(deferred, d);
    g_mutex_unlock(&deferred_lock);
    mainloop_wake();
}

static bool deferred_waiting(void)
{
    g_mutex_lock(&deferred_lock);
    bool any = deferred && deferred->len;
    g_mutex_unlock(&deferred_lock);
    return any;
}

/* Calls made by these calls wait for the next round. */
static void run_deferred(void)
{
    g_mutex_lock(&deferred_lock);
    if (!deferred || !deferred->len) {
        g_mutex_unlock(&deferred_lock);
        return;
    }
    GArray *batch = deferred;
    deferred = g_array_new(FALSE, FALSE, sizeof(Deferred));
    g_mutex_unlock(&deferred_lock);
    for (guint i = 0; i < batch->len; i++) {
        Deferred *d = &g_array_index(batch, Deferred, i);
        d->fn(d->opaque);
    }
    g_array_free(batch, TRUE);
}

/* ---- waiting ------------------------------------------------------------------------ */

/* Set the timerfd to the nearest wall-clock timer. */
static void arm_host_clock(void)
{
    int64_t deadline = timers_deadline(ORRERY_CLOCK_HOST);
    if (deadline == host_clock_armed) {
        return;
    }
    struct itimerspec when = { 0 };
    if (deadline != INT64_MAX) {
        /* all zero would disarm it */
        when.it_value.tv_sec = deadline / NS_PER_SEC;
        when.it_value.tv_nsec = MAX(deadline % NS_PER_SEC, 1);
    }
    timerfd_settime(host_clock_fd, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &when, NULL);
    host_clock_armed = deadline;
}

static int64_t time_left(ClockId clock)
{
    int64_t deadline = timers_deadline(clock);
    if (deadline == INT64_MAX) {
        return INT64_MAX;
    }
    int64_t left = deadline - clock_ns(clock);  /* not inside MAX(), which would read it twice */
    return MAX(left, 0);
}

/* Nanoseconds until the loop must run a timer; INT64_MAX: never. */
static int64_t timer_timeout(void)
{
    int64_t left = time_left(ORRERY_CLOCK_REAL);
    if (vclock_running()) {
        left = MIN(left, time_left(ORRERY_CLOCK_VIRTUAL));
    }
    if (host_clock_fd >= 0) {
        arm_host_clock();
    } else {
        left = MIN(left, time_left(ORRERY_CLOCK_HOST));
    }
    return left;
}

static void wait_for_fds(GPollFD *fds, unsigned n, int64_t timeout_ns)
{
    /* GPollFD is laid out as struct pollfd on purpose (GLib documents it) */
    G_STATIC_ASSERT(sizeof(GPollFD) == sizeof(struct pollfd));
    struct timespec ts = { timeout_ns / NS_PER_SEC, timeout_ns % NS_PER_SEC };
    int ret = ppoll((struct pollfd *)fds, n, timeout_ns == INT64_MAX ? NULL : &ts, NULL);
    if (ret < 0) {
        if (errno != EINTR) {
            g_error("ppoll: %s", g_strerror(errno));
        }
        for (unsigned i = 0; i < n; i++) {
            fds[i].revents = 0;
        }
    }
}

/* Descriptors of GLib's sources, then of the pollers. */
static void fill(GMainContext *ctx, GArray *fds, int *priority, unsigned *from_glib, int64_t *timeout)
{
    int glib_ms, n;

    g_main_context_prepare(ctx, priority);
    g_array_set_size(fds, MAX(fds->len, 16));
    for (;;) {
        n = g_main_context_query(ctx, *priority, &glib_ms, (GPollFD *)fds->data, fds->len);
        if (n <= (int)fds->len) {
            break;
        }
        g_array_set_size(fds, n);
    }
    g_array_set_size(fds, n);
    *from_glib = n;
    *timeout = glib_ms < 0 ? INT64_MAX : glib_ms * NS_PER_MS;
    for (guint i = 0; i < pollers->len; i++) {
        MainloopPoller *p = pollers->pdata[i];
        p->first = fds->len;
        p->fill(fds, timeout, p->opaque);
        p->n = fds->len - p->first;
        p->filled = true;
    }
}

/* One that a round inside this one has served is not served again. */
static void serve_pollers(GArray *fds)
{
    for (guint i = pollers->len; i-- > 0; i = MIN(i, pollers->len)) {
        MainloopPoller *p = pollers->pdata[i];
        if (p->filled) {
            p->filled = false;
            p->ready(&g_array_index(fds, GPollFD, p->first), p->n, p->opaque);
        }
    }
}

void mainloop_iterate(bool block)
{
    GMainContext *ctx = g_main_context_default();
    GArray *fds = rounds++ ? g_array_new(FALSE, FALSE, sizeof(GPollFD)) : pollfds;
    int priority;
    unsigned n;
    int64_t timeout;

    g_assert(bql_locked());
    g_main_context_acquire(ctx);
    __atomic_store_n(&woken, false, __ATOMIC_SEQ_CST);
    fill(ctx, fds, &priority, &n, &timeout);
    timeout = MIN(timeout, timer_timeout());
    if (!block || deferred_waiting()) {
        timeout = 0;
    }
    bql_unlock();
    wait_for_fds((GPollFD *)fds->data, fds->len, timeout);
    bql_lock();

    serve_pollers(fds);
    if (g_main_context_check(ctx, priority, (GPollFD *)fds->data, n)) {
        g_main_context_dispatch(ctx);
    }
    run_deferred();
    for (int clock = 0; clock < ORRERY_CLOCKS; clock++) {
        timers_run(clock);
    }
    g_main_context_release(ctx);
    if (--rounds) {
        g_array_unref(fds);
    }
}

void mainloop_add_poller(MainloopPoller *p)
{
    pollers = pollers ? pollers : g_ptr_array_new();
    g_ptr_array_add(pollers, p);
}

void mainloop_remove_poller(MainloopPoller *p)
{
    g_ptr_array_remove(pollers, p);
}

/* ---- watches ------------------------------------------------------------------------ */

typedef struct Watch {
    void (*fn)(int fd, GIOCondition cond, void *opaque);
    void *opaque;
} Watch;

static gboolean watch_event(gint fd, GIOCondition cond, gpointer data)
{
    Watch *w = data;
    w->fn(fd, cond, w->opaque);
    return G_SOURCE_CONTINUE;
}

guint mainloop_watch(int fd, GIOCondition cond,
                     void (*fn)(int fd, GIOCondition c, void *opaque), void *opaque)
{
    Watch *w = g_new(Watch, 1);
    *w = (Watch) { fn, opaque };
    return g_unix_fd_add_full(G_PRIORITY_DEFAULT, fd, cond, watch_event, w, g_free);
}

void mainloop_unwatch(guint id)
{
    if (id) {
        g_source_remove(id);
    }
}
