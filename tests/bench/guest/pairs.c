/* SPDX-License-Identifier: MIT */
/*
 * What a second processor is worth: a process on each of two does rounds of a workload, in turn
 * and both at once.
 *
 *     @pair NAME WHICH                        begins; WHICH: 1, 2, or 3 for both
 *     @paired NAME WHICH rounds ns waited     of each process that ran; waited: nanoseconds in
 *                                             which it was runnable and did not run
 */
#define _GNU_SOURCE
#include "tests/bench/guest/bench.h"
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct Side {
    int ask[2], answer[2];          /* pipes: a byte; a Done */
    pid_t pid;
} Side;

typedef struct Done {
    uint64_t rounds, ns, waited;
} Done;

/* Second figure of the scheduler's statistics, 0 if there are none. */
static uint64_t waited(void)
{
    char text[128] = "";
    int fd = open("/proc/self/schedstat", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, text, sizeof(text) - 1) : 0;
    if (fd >= 0) {
        close(fd);
    }
    const char *second = n > 0 ? strchr(text, ' ') : NULL;
    return second ? strtoull(second, NULL, 10) : 0;
}

static void pin(unsigned cpu)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    if (sched_setaffinity(0, sizeof(set), &set)) {
        die("sched_setaffinity: are there two processors?");
    }
}

static void serve(const Workload *w, unsigned ms, const Side *s, unsigned cpu)
{
    char go;
    pin(cpu);
    if (w->setup) {
        w->setup();
    }
    w->round();
    while (read(s->ask[0], &go, 1) == 1) {
        uint64_t begin = now_ns(), before = waited();
        Done d = { 0, 0, 0 };
        do {
            w->round();
            d.rounds++;
            d.ns = now_ns() - begin;
        } while (d.ns < ms * 1000000ull);
        d.waited = waited() - before;
        if (write(s->answer[1], &d, sizeof(d)) != sizeof(d)) {
            die("pipe");
        }
    }
    _exit(0);
}

static void start(const Workload *w, unsigned ms, Side *s, unsigned cpu, Side *other)
{
    if (pipe(s->ask) || pipe(s->answer) || (s->pid = fork()) < 0) {
        die("pipe, fork");
    }
    if (!s->pid) {
        close(s->ask[1]);
        if (other) {
            close(other->ask[1]);
        }
        serve(w, ms, s, cpu);
    }
    close(s->ask[0]);
}

void measure_pairs(const Workload *w, unsigned ms, unsigned times)
{
    Side side[2];
    start(w, ms, &side[0], 0, NULL);
    start(w, ms, &side[1], 1, &side[0]);
    for (unsigned n = 0; n < 3 * times; n++) {
        unsigned which = n % 3 + 1;
        say("@pair %s %u\n", w->name, which);
        for (unsigned k = 0; k < 2; k++) {
            if ((which >> k & 1) && write(side[k].ask[1], "", 1) != 1) {
                die("pipe");
            }
        }
        for (unsigned k = 0; k < 2; k++) {
            Done d;
            if (which >> k & 1) {
                if (read(side[k].answer[0], &d, sizeof(d)) != sizeof(d)) {
                    die("a process ended early");
                }
                say("@paired %s %u %llu %llu %llu\n", w->name, k, (unsigned long long)d.rounds,
                    (unsigned long long)d.ns, (unsigned long long)d.waited);
            }
        }
    }
    for (unsigned k = 0; k < 2; k++) {
        close(side[k].ask[1]);
        close(side[k].answer[0]);
        waitpid(side[k].pid, NULL, 0);
    }
}
