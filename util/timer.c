/* SPDX-License-Identifier: MIT */
/*
 * Clocks and timers.  Each clock has a binary heap of pending timers, ordered by expiry (ties
 * by the order of timer_mod, so that runs are reproducible).  timers_run moves what is due to
 * a queue first and then calls it: a timer that re-arms itself in the past waits for the next
 * round of the main loop and cannot starve the others.
 */
#include "util/timer.h"
#include "util/bql.h"

#include <glib.h>
#include <time.h>

/* Timer.heap_index: >= 0 place in the heap, IDLE, or <= DUE: place in the due queue. */
#define IDLE (-1)
#define DUE(slot) (-2 - (int)(slot))

typedef struct TimerList {
    GPtrArray *heap;            /* of Timer*, least expiry first */
    GPtrArray *due;             /* of Timer*, NULL where one was deleted meanwhile */
    guint due_head;
} TimerList;

static TimerList lists[ORRERY_CLOCKS];
static uint64_t arm_sequence;
static void (*notify)(void);

/*
 * The virtual clock: real time plus offset while it runs, else the frozen value.  Readers do
 * not lock; a sequence count tells them to try again when a writer was at work.
 */
static struct {
    uint32_t seq;
    bool running, manual;
    int64_t offset;             /* virtual = real + offset, while running */
    int64_t frozen;             /* virtual, while standing or manual */
} vclock;

static int64_t host_ns(clockid_t id)
{
    struct timespec ts;
    clock_gettime(id, &ts);
    return ts.tv_sec * NS_PER_SEC + ts.tv_nsec;
}

static int64_t vclock_read(void)
{
    for (;;) {
        uint32_t before = __atomic_load_n(&vclock.seq, __ATOMIC_ACQUIRE);
        bool moving = __atomic_load_n(&vclock.running, __ATOMIC_RELAXED)
                      && !__atomic_load_n(&vclock.manual, __ATOMIC_RELAXED);
        int64_t offset = __atomic_load_n(&vclock.offset, __ATOMIC_RELAXED);
        int64_t value = __atomic_load_n(&vclock.frozen, __ATOMIC_RELAXED);
        if (moving) {
            value = host_ns(CLOCK_MONOTONIC) + offset;
        }
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
        if (!(before & 1) && before == __atomic_load_n(&vclock.seq, __ATOMIC_RELAXED)) {
            return value;
        }
    }
}

static void vclock_write(bool running, bool manual, int64_t now)
{
    __atomic_store_n(&vclock.seq, vclock.seq + 1, __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_RELEASE);
    __atomic_store_n(&vclock.running, running, __ATOMIC_RELAXED);
    __atomic_store_n(&vclock.manual, manual, __ATOMIC_RELAXED);
    __atomic_store_n(&vclock.frozen, now, __ATOMIC_RELAXED);
    __atomic_store_n(&vclock.offset, now - host_ns(CLOCK_MONOTONIC), __ATOMIC_RELAXED);
    __atomic_store_n(&vclock.seq, vclock.seq + 1, __ATOMIC_RELEASE);
    if (notify) {
        notify();
    }
}

int64_t clock_ns(ClockId clock)
{
    switch (clock) {
    case ORRERY_CLOCK_VIRTUAL:
        return vclock_read();
    case ORRERY_CLOCK_HOST:
        return host_ns(CLOCK_REALTIME);
    default:
        return host_ns(CLOCK_MONOTONIC);
    }
}

void vclock_start(void)
{
    vclock_write(true, vclock.manual, vclock_read());
}

void vclock_stop(void)
{
    vclock_write(false, vclock.manual, vclock_read());
}

bool vclock_running(void)
{
    return vclock.running && !vclock.manual;
}

void vclock_set_manual(bool on)
{
    vclock_write(vclock.running, on, vclock_read());
}

int64_t vclock_save(void)
{
    return vclock_read();
}

void vclock_restore(int64_t ns)
{
    vclock_write(vclock.running, vclock.manual, ns);
}

/* ---- the heap ----------------------------------------------------------------------- */

static Timer **heap_slots(TimerList *l)
{
    return (Timer **)l->heap->pdata;
}

static bool sooner(const Timer *a, const Timer *b)
{
    return a->expires != b->expires ? a->expires < b->expires : a->sequence < b->sequence;
}

static void heap_place(TimerList *l, int i, Timer *t)
{
    heap_slots(l)[i] = t;
    t->heap_index = i;
}

/* Put t into hole i, moving it up or down to where it belongs. */
static void heap_sift(TimerList *l, int i, Timer *t)
{
    int n = l->heap->len;
    while (i > 0 && sooner(t, heap_slots(l)[(i - 1) / 2])) {
        heap_place(l, i, heap_slots(l)[(i - 1) / 2]);
        i = (i - 1) / 2;
    }
    for (;;) {
        int child = 2 * i + 1;
        if (child + 1 < n && sooner(heap_slots(l)[child + 1], heap_slots(l)[child])) {
            child++;
        }
        if (child >= n || !sooner(heap_slots(l)[child], t)) {
            break;
        }
        heap_place(l, i, heap_slots(l)[child]);
        i = child;
    }
    heap_place(l, i, t);
}

static void heap_insert(TimerList *l, Timer *t)
{
    g_ptr_array_add(l->heap, t);
    heap_sift(l, l->heap->len - 1, t);
}

static void heap_remove(TimerList *l, Timer *t)
{
    int hole = t->heap_index;
    Timer *last = heap_slots(l)[l->heap->len - 1];
    g_ptr_array_set_size(l->heap, l->heap->len - 1);
    if (last != t) {
        heap_sift(l, hole, last);
    }
    t->heap_index = IDLE;
}

/* ---- timers ------------------------------------------------------------------------- */

static TimerList *list_of(ClockId clock)
{
    TimerList *l = &lists[clock];
    if (!l->heap) {
        l->heap = g_ptr_array_new();
        l->due = g_ptr_array_new();
    }
    return l;
}

void timer_init(Timer *t, ClockId clock, void (*cb)(void *opaque), void *opaque)
{
    *t = (Timer) { .clock = clock, .cb = cb, .opaque = opaque, .expires = -1, .heap_index = IDLE };
}

static void unlink_timer(TimerList *l, Timer *t)
{
    if (t->heap_index >= 0) {
        heap_remove(l, t);
    } else if (t->heap_index != IDLE) {
        l->due->pdata[-2 - t->heap_index] = NULL;
        t->heap_index = IDLE;
    }
}

void timer_del(Timer *t)
{
    unlink_timer(list_of(t->clock), t);
    t->expires = -1;
}

void timer_mod(Timer *t, int64_t expires_ns)
{
    TimerList *l = list_of(t->clock);
    unlink_timer(l, t);
    t->expires = MAX(expires_ns, 0);
    t->sequence = arm_sequence++;
    heap_insert(l, t);
    if (t->heap_index == 0 && notify) {
        notify();
    }
}

int64_t timers_deadline(ClockId clock)
{
    TimerList *l = list_of(clock);
    for (guint i = l->due_head; i < l->due->len; i++) {
        if (l->due->pdata[i]) {
            return ((Timer *)l->due->pdata[i])->expires;
        }
    }
    return l->heap->len ? heap_slots(l)[0]->expires : INT64_MAX;
}

/* Move what is due at now into the due queue, in order. */
static void collect_due(TimerList *l, int64_t now)
{
    while (l->heap->len && heap_slots(l)[0]->expires <= now) {
        Timer *t = heap_slots(l)[0];
        heap_remove(l, t);
        t->heap_index = DUE(l->due->len);
        g_ptr_array_add(l->due, t);
    }
}

/* The queue is shared with nested calls (a callback may wait for block I/O), which go on
 * where the outer one is. */
static void run_due(TimerList *l)
{
    while (l->due_head < l->due->len) {
        Timer *t = l->due->pdata[l->due_head++];
        if (t) {
            t->heap_index = IDLE;
            t->expires = -1;
            t->cb(t->opaque);
        }
    }
    g_ptr_array_set_size(l->due, 0);
    l->due_head = 0;
}

static void run_list(ClockId clock)
{
    TimerList *l = list_of(clock);

    if (l->heap->len || l->due->len) {
        collect_due(l, clock_ns(clock));
        run_due(l);
    }
}

void timers_run(ClockId clock)
{
    if (clock != ORRERY_CLOCK_VIRTUAL || vclock.running || vclock.manual) {
        run_list(clock);
    }
}

void vclock_settle(void)
{
    run_list(ORRERY_CLOCK_VIRTUAL);
}

void vclock_step_to(int64_t ns)
{
    /* A device that re-arms at the present instant for ever must not hang the tester. */
    unsigned same_instant = 0;
    for (;;) {
        int64_t now = vclock_read();
        int64_t next = timers_deadline(ORRERY_CLOCK_VIRTUAL);
        if (next > ns || same_instant > 1000000) {
            break;
        }
        same_instant = next <= now ? same_instant + 1 : 0;
        if (next > now) {
            vclock_restore(next);
        }
        timers_run(ORRERY_CLOCK_VIRTUAL);
    }
    if (ns > vclock_read()) {
        vclock_restore(ns);
    }
}

void timers_set_notify(void (*fn)(void))
{
    notify = fn;
}
