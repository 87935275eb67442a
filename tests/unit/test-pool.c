/* SPDX-License-Identifier: MIT */
/*
 * Threads for requests: a lane's jobs go one after the other in their order, unless one sleeps;
 * all others go at once; all run, however many they are.  A lane that waits sees its next job.
 */
#include "block/pool.h"

#include <glib.h>

#define MANY 5000

static GMutex lock;
static GCond changed;
static unsigned done, inside, most_inside;
static unsigned sequence[MANY];

typedef struct TestJob {
    PoolJob job;
    unsigned n;
    bool wait_for_all;                  /* sleeps until `goal` have begun */
} TestJob;

static unsigned goal, begun;

static void run(PoolJob *j)
{
    TestJob *t = (TestJob *)j;
    g_mutex_lock(&lock);
    begun++;
    inside++;
    most_inside = MAX(most_inside, inside);
    g_cond_broadcast(&changed);
    if (t->wait_for_all) {
        pool_sleeps();
        while (begun < goal) {
            g_cond_wait(&changed, &lock);
        }
        g_assert_false(pool_in_lane());
    }
    sequence[done++] = t->n;
    inside--;
    g_cond_broadcast(&changed);
    g_mutex_unlock(&lock);
    g_free(t);
}

static void push(PoolLane *lane, unsigned n, bool wait_for_all)
{
    TestJob *t = g_new0(TestJob, 1);
    t->job.run = run;
    t->n = n;
    t->wait_for_all = wait_for_all;
    pool_push(&t->job, lane);
}

static void start(unsigned jobs)
{
    done = begun = most_inside = 0;
    goal = jobs;
}

static void wait_done(unsigned n)
{
    g_mutex_lock(&lock);
    while (done < n) {
        g_cond_wait(&changed, &lock);
    }
    g_mutex_unlock(&lock);
}

static void test_order(void)
{
    PoolLane *lane = pool_lane_new(NULL, NULL);
    start(MANY);
    for (unsigned i = 0; i < MANY; i++) {
        push(lane, i, false);
    }
    pool_lane_free(lane);               /* what was pushed runs all the same */
    wait_done(MANY);
    g_assert_cmpuint(most_inside, ==, 1);
    for (unsigned i = 0; i < MANY; i++) {
        g_assert_cmpuint(sequence[i], ==, i);
    }
}

/* Would wait forever if those that sleep kept the lane. */
static void test_sleepers(void)
{
    PoolLane *lane = pool_lane_new(NULL, NULL);
    start(20);
    for (unsigned i = 0; i < 20; i++) {
        push(lane, i, true);
    }
    wait_done(20);
    g_assert_cmpuint(most_inside, ==, 20);
    start(10);                          /* the lane works as before */
    for (unsigned i = 0; i < 10; i++) {
        push(lane, i, false);
    }
    wait_done(10);
    g_assert_cmpuint(most_inside, ==, 1);
    pool_lane_free(lane);
}

/* ---- who waits for the lane's next job ------------------------------------------------------ */

static unsigned slept;
static bool came[2];

static void on_sleep(void *opaque)
{
    slept += opaque == &slept && pool_in_lane();
}

static void wait_and_sleep(PoolJob *j)
{
    TestJob *t = (TestJob *)j;
    if (t->n < 2) {
        came[t->n] = pool_lane_wait(t->n ? 1000 : 20 * (int64_t)1000000000);
    } else {
        pool_sleeps();
        pool_sleeps();                  /* it has no lane any more */
        g_assert_false(pool_lane_wait(1000));
    }
    t->n += 10;
    run(j);
}

static void test_wait(void)
{
    PoolLane *lane = pool_lane_new(on_sleep, &slept);
    start(3);
    for (unsigned i = 0; i < 3; i++) {
        TestJob *t = g_new0(TestJob, 1);
        t->job.run = wait_and_sleep;
        t->n = i;
        pool_push(&t->job, lane);
        wait_done(i == 0 ? 0 : i + 1);  /* the first one stays awake until the second comes */
    }
    g_assert_true(came[0]);
    g_assert_false(came[1]);
    g_assert_cmpuint(slept, ==, 1);
    pool_lane_free(lane);
}

static void test_beside(void)
{
    start(40);
    for (unsigned i = 0; i < 40; i++) {
        push(NULL, i, true);
    }
    wait_done(40);
}

/* More lanes and jobs than threads: those whose job sleeps and those that wait for a thread. */
static void test_crowd(void)
{
    PoolLane *lanes[100];
    start(50);
    for (unsigned i = 0; i < 100; i++) {
        lanes[i] = pool_lane_new(NULL, NULL);
    }
    for (unsigned i = 0; i < MANY; i++) {
        push(i % 7 ? lanes[i % 100] : NULL, i, i % 50 == 1);
    }
    for (unsigned i = 0; i < 100; i++) {
        pool_lane_free(lanes[i]);
    }
    wait_done(MANY);
    bool seen[MANY] = { false };
    int last[100] = { 0 };
    for (unsigned i = 0; i < MANY; i++) {
        unsigned n = sequence[i];
        g_assert_false(seen[n]);
        seen[n] = true;
        if (n % 7 && n % 50 != 1) {     /* those that slept were overtaken */
            g_assert_cmpint(n, >=, last[n % 100]);
            last[n % 100] = n;
        }
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/pool/order", test_order);
    g_test_add_func("/pool/sleepers", test_sleepers);
    g_test_add_func("/pool/wait", test_wait);
    g_test_add_func("/pool/beside", test_beside);
    g_test_add_func("/pool/crowd", test_crowd);
    return g_test_run();
}
