/* SPDX-License-Identifier: MIT */
/*
 * Clocks, timers, the event loop, read-copy-update.
 */
#include "util/bql.h"
#include "util/mainloop.h"
#include "util/rcu.h"
#include "util/timer.h"

#include <string.h>
#include <unistd.h>

static GString *trace;

typedef struct Named {
    Timer t;
    char name;
    int64_t again;                      /* re-arm to this, unless 0 */
    struct Named *kills;
} Named;

static void fire(void *opaque)
{
    Named *n = opaque;
    g_assert_false(timer_pending(&n->t));
    g_string_append_c(trace, n->name);
    if (n->again) {
        timer_mod(&n->t, n->again);
        n->again = 0;
    }
    if (n->kills) {
        timer_del(&n->kills->t);
    }
}

static void named_init(Named *n, char name, int64_t at)
{
    *n = (Named) { .name = name };
    timer_init(&n->t, ORRERY_CLOCK_VIRTUAL, fire, n);
    timer_mod(&n->t, at);
}

static void begin(void)
{
    trace = g_string_new(NULL);
    vclock_set_manual(true);
    vclock_restore(0);
}

static void end(const char *want)
{
    g_assert_cmpstr(trace->str, ==, want);
    g_string_free(trace, TRUE);
    vclock_set_manual(false);
}

static void test_order(void)
{
    Named n[5];
    begin();
    named_init(&n[0], 'c', 300);
    named_init(&n[1], 'a', 100);
    named_init(&n[2], 'd', 400);
    named_init(&n[3], 'b', 200);
    named_init(&n[4], 'B', 200);        /* same time: in order of arming */
    g_assert_cmpint(timers_deadline(ORRERY_CLOCK_VIRTUAL), ==, 100);
    vclock_step_to(250);
    g_assert_cmpstr(trace->str, ==, "abB");
    g_assert_cmpint(vclock_ns(), ==, 250);
    timer_mod(&n[2].t, 260);            /* now before c */
    vclock_step_to(1000);
    g_assert_cmpint(timers_deadline(ORRERY_CLOCK_VIRTUAL), ==, INT64_MAX);
    end("abBdc");
}

/* The clock shows each timer its own time, and a timer in the past does not starve the rest. */
static void test_rearm(void)
{
    Named a, b;
    begin();
    named_init(&a, 'a', 10);
    named_init(&b, 'b', 20);
    a.again = 5;
    vclock_restore(100);
    timers_run(ORRERY_CLOCK_VIRTUAL);
    g_assert_cmpstr(trace->str, ==, "ab");
    timers_run(ORRERY_CLOCK_VIRTUAL);
    end("aba");
}

static void test_delete(void)
{
    Named a, b, c;
    begin();
    named_init(&a, 'a', 10);
    named_init(&b, 'b', 10);
    named_init(&c, 'c', 10);
    a.kills = &b;                       /* b is due already when it is deleted */
    vclock_step_to(20);
    end("ac");
}

static void nested(void *opaque)
{
    g_string_append_c(trace, '(');
    timers_run(ORRERY_CLOCK_VIRTUAL);
    g_string_append_c(trace, ')');
}

static void test_nested(void)
{
    Timer outer;
    Named a, b;
    begin();
    timer_init(&outer, ORRERY_CLOCK_VIRTUAL, nested, NULL);
    timer_mod(&outer, 1);
    named_init(&a, 'a', 2);
    named_init(&b, 'b', 3);
    vclock_restore(10);
    timers_run(ORRERY_CLOCK_VIRTUAL);
    end("(ab)");
}

static void test_heap(void)
{
    enum { N = 300 };
    static Named n[N];
    int64_t last = -1;
    begin();
    for (int i = 0; i < N; i++) {
        named_init(&n[i], 'x', g_test_rand_int_range(1, 1000));
    }
    for (int i = 0; i < N; i += 3) {
        timer_del(&n[i].t);
    }
    for (int i = 1; i < N; i += 3) {
        timer_mod(&n[i].t, g_test_rand_int_range(1, 1000));
    }
    unsigned left = N - N / 3;
    while (left) {
        int64_t next = timers_deadline(ORRERY_CLOCK_VIRTUAL);
        int64_t smallest = INT64_MAX;
        for (int i = 0; i < N; i++) {
            smallest = timer_pending(&n[i].t) ? MIN(smallest, n[i].t.expires) : smallest;
        }
        g_assert_cmpint(next, ==, smallest);
        g_assert_cmpint(next, >, last);
        gsize before = trace->len;
        vclock_step_to(next);
        left -= trace->len - before;
        last = next;
    }
    g_string_truncate(trace, 0);
    end("");
}

static void test_clock(void)
{
    vclock_set_manual(false);
    vclock_stop();
    vclock_restore(12345);
    g_usleep(2000);
    g_assert_cmpint(vclock_ns(), ==, 12345);
    vclock_start();
    g_usleep(2000);
    int64_t t = vclock_ns();
    g_assert_cmpint(t, >=, 12345 + 2000000);
    vclock_stop();
    int64_t stopped = vclock_save();
    g_usleep(1000);
    g_assert_cmpint(vclock_ns(), ==, stopped);
    g_assert_cmphex(muldiv64(1ull << 60, 1000, 1ull << 60), ==, 1000);
}

/* ---- event loop --------------------------------------------------------------------- */

static int deferred_calls;

static void count_deferred(void *opaque)
{
    g_assert_true(bql_locked());
    deferred_calls++;
}

static gpointer other_thread(gpointer unused)
{
    g_usleep(20000);
    mainloop_defer(count_deferred, NULL);
    return NULL;
}

static gpointer arming_thread(gpointer timer)
{
    g_usleep(20000);
    bql_lock();                         /* works because the main loop sleeps */
    timer_mod(timer, clock_ns(ORRERY_CLOCK_REAL) + 1000000);
    bql_unlock();
    return NULL;
}

static int fired;

static void count_fired(void *opaque)
{
    fired++;
}

static void on_pipe(int fd, GIOCondition cond, void *opaque)
{
    char byte;
    g_assert_cmpint(read(fd, &byte, 1), ==, 1);
    *(int *)opaque += 1;
}

static void test_mainloop(void)
{
    Timer t;
    timer_init(&t, ORRERY_CLOCK_REAL, count_fired, NULL);
    int64_t start = clock_ns(ORRERY_CLOCK_REAL);
    timer_mod(&t, start + 5 * NS_PER_MS);
    while (!fired) {
        mainloop_iterate(true);
    }
    int64_t took = clock_ns(ORRERY_CLOCK_REAL) - start;
    g_assert_cmpint(took, >=, 5 * NS_PER_MS);
    g_assert_cmpint(took, <, 500 * NS_PER_MS);

    /* wall clock, through the timerfd */
    timer_init(&t, ORRERY_CLOCK_HOST, count_fired, NULL);
    timer_mod(&t, clock_ns(ORRERY_CLOCK_HOST) + 5 * NS_PER_MS);
    while (fired < 2) {
        mainloop_iterate(true);
    }

    /* asleep with nothing to do, woken from outside */
    GThread *thread = g_thread_new("defer", other_thread, NULL);
    while (!deferred_calls) {
        mainloop_iterate(true);
    }
    g_thread_join(thread);
    timer_init(&t, ORRERY_CLOCK_REAL, count_fired, NULL);
    thread = g_thread_new("arm", arming_thread, &t);
    while (fired < 3) {
        mainloop_iterate(true);
    }
    g_thread_join(thread);

    int fds[2], seen = 0;
    g_assert_cmpint(pipe(fds), ==, 0);
    guint id = mainloop_watch(fds[0], G_IO_IN, on_pipe, &seen);
    g_assert_cmpint(write(fds[1], "ab", 2), ==, 2);
    while (seen < 2) {
        mainloop_iterate(true);
    }
    mainloop_unwatch(id);
    g_assert_cmpint(write(fds[1], "c", 1), ==, 1);
    mainloop_iterate(false);
    g_assert_cmpint(seen, ==, 2);
    close(fds[0]);
    close(fds[1]);
}

/* ---- read-copy-update --------------------------------------------------------------- */

typedef struct Versioned {
    uint64_t a, b;                      /* equal while the object lives */
} Versioned;

static Versioned *current;
static gint stop;

static gpointer rcu_reader_thread(gpointer unused)
{
    uint64_t n = 0;
    while (!g_atomic_int_get(&stop)) {
        rcu_read_lock();
        rcu_read_lock();
        Versioned *v = __atomic_load_n(&current, __ATOMIC_ACQUIRE);
        uint64_t a = __atomic_load_n(&v->a, __ATOMIC_RELAXED);
        rcu_read_unlock();
        uint64_t b = __atomic_load_n(&v->b, __ATOMIC_RELAXED);
        g_assert_cmpuint(a, ==, b);
        g_assert_cmpuint(a, !=, UINT64_MAX);
        rcu_read_unlock();
        n++;
    }
    return GSIZE_TO_POINTER(n);
}

static void poison(void *p)
{
    Versioned *v = p;
    v->a = v->b = UINT64_MAX;
    g_free(v);
}

static Versioned *new_version(uint64_t n)
{
    Versioned *v = g_new(Versioned, 1);
    v->a = v->b = n;
    return v;
}

static void test_rcu(void)
{
    GThread *threads[3];
    current = new_version(0);
    stop = 0;
    for (int i = 0; i < 3; i++) {
        threads[i] = g_thread_new("reader", rcu_reader_thread, NULL);
    }
    for (int i = 1; i < 300; i++) {
        Versioned *old = current;
        __atomic_store_n(&current, new_version(i), __ATOMIC_RELEASE);
        if (i % 8) {
            rcu_defer(poison, old);
        } else {
            rcu_synchronize();
            poison(old);
        }
        g_thread_yield();
    }
    g_atomic_int_set(&stop, 1);
    for (int i = 0; i < 3; i++) {
        g_assert_cmpuint(GPOINTER_TO_SIZE(g_thread_join(threads[i])), >, 0);
    }
    rcu_drain();
    g_free(current);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    mainloop_init();
    g_test_add_func("/timer/order", test_order);
    g_test_add_func("/timer/rearm", test_rearm);
    g_test_add_func("/timer/delete", test_delete);
    g_test_add_func("/timer/nested", test_nested);
    g_test_add_func("/timer/heap", test_heap);
    g_test_add_func("/timer/clock", test_clock);
    g_test_add_func("/mainloop", test_mainloop);
    g_test_add_func("/rcu", test_rcu);
    return g_test_run();
}
