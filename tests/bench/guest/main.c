/* SPDX-License-Identifier: MIT */
/*
 * Runs workloads for a given time each, in a guest (as /init) or on the host.
 *
 *     bench --list                        name, unit, flags of all workloads
 *     bench [--ms N] [NAME ...]           on the host
 *     bench --pairs N [--ms N] [NAME ...] one and two processors, N times (pairs.c)
 *     kernel command line bench=NAME,... bench.ms=N bench.pairs=N        in a guest
 *
 * Output, one line each, written in one piece so that the reader's clock can be trusted:
 *     @init                               the guest's init has begun
 *     @begin NAME
 *     @end NAME rounds nanoseconds check  (hexadecimal check value, same in each round)
 *     @fail NAME reason
 *     @idle-begin, @idle-end              between them nothing runs for some seconds
 *     @done
 */
#define _GNU_SOURCE
#include "tests/bench/guest/bench.h"
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

static const Workload *const lists[] = {
    integer_workloads, memory_workloads, float_workloads, code_workloads, kernel_workloads,
    io_workloads,
};

static const char *current = "start";

void say(const char *fmt, ...)
{
    char line[256];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(line, sizeof(line), fmt, ap);
    va_end(ap);
    if (n > 0 && write(1, line, n) != n) {
        _exit(2);
    }
}

void die(const char *what)
{
    say("@fail %s %s: %m\n", current, what);
    _exit(1);
}

void *map(size_t size, int prot)
{
    void *p = mmap(NULL, size, prot, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) {
        die("mmap");
    }
    return p;
}

uint64_t now_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return ts.tv_sec * 1000000000ull + ts.tv_nsec;
}

static void measure(const Workload *w, unsigned ms)
{
    uint64_t rounds = 0, begin, end, check;
    current = w->name;
    if (w->setup) {
        w->setup();
    }
    check = w->round();                     /* warm: caches, translated code, page tables */
    say("@begin %s\n", w->name);
    begin = now_ns();
    do {
        uint64_t c = w->round();
        if (c != check) {
            say("@fail %s round %llu gave %llx, the first %llx\n", w->name,
                (unsigned long long)rounds, (unsigned long long)c, (unsigned long long)check);
            _exit(1);
        }
        rounds++;
        end = now_ns();
    } while (end - begin < ms * 1000000ull);
    say("@end %s %llu %llu %llx\n", w->name, (unsigned long long)rounds,
        (unsigned long long)(end - begin), (unsigned long long)check);
}

/* In a process of its own: what it maps or breaks is gone with it. */
static void measure_apart(const Workload *w, unsigned ms)
{
    int status;
    pid_t pid = fork();
    if (pid == 0) {
        measure(w, ms);
        _exit(0);
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid) {
        die("fork");
    }
    if (WIFSIGNALED(status)) {
        say("@fail %s signal %d\n", w->name, WTERMSIG(status));
    }
}

/* names: between commas; NULL for all. */
static int chosen(const char *names, const char *name)
{
    size_t n = strlen(name);
    for (const char *p = names; p && (p = strstr(p, name)); p += n) {
        if ((p == names || p[-1] == ',') && (p[n] == 0 || p[n] == ',')) {
            return 1;
        }
    }
    return !names;
}

static void run_all(const char *names, unsigned ms, unsigned pairs, unsigned without)
{
    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
        for (const Workload *w = lists[i]; w->name; w++) {
            if (!(w->flags & without) && chosen(names, w->name)) {
                pairs ? measure_pairs(w, ms, pairs) : measure_apart(w, ms);
            }
        }
    }
}

/* ---- the guest's init ---- */

static void load_module(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        syscall(SYS_finit_module, fd, "", 0);
        close(fd);
    }
}

static void load_modules(void)
{
    char name[128];
    FILE *f = fopen("/modules", "r");
    while (f && fgets(name, sizeof(name), f)) {
        name[strcspn(name, "\n")] = 0;
        load_module(name);
    }
    if (f) {
        fclose(f);
    }
}

/* The value of key= on the kernel's command line, in a buffer of its own; NULL if not there. */
static char *option(const char *cmdline, const char *key)
{
    size_t n = strlen(key);
    for (const char *p = cmdline; (p = strstr(p, key)); p += n) {
        if ((p == cmdline || p[-1] == ' ') && p[n] == '=') {
            return strndup(p + n + 1, strcspn(p + n + 1, " \n"));
        }
    }
    return NULL;
}

static void init(void)
{
    static char cmdline[4096];
    mkdir("/proc", 0755);
    mkdir("/dev", 0755);
    mount("proc", "/proc", "proc", 0, NULL);
    mount("dev", "/dev", "devtmpfs", 0, NULL);
    int console = open("/dev/console", O_RDWR);
    for (int fd = 0; fd < 3 && console >= 0; fd++) {
        dup2(console, fd);
    }
    say("@init\n");
    load_modules();
    int fd = open("/proc/cmdline", O_RDONLY);
    if (fd < 0 || read(fd, cmdline, sizeof(cmdline) - 1) < 0) {
        die("/proc/cmdline");
    }
    close(fd);
    const char *ms = option(cmdline, "bench.ms"), *idle = option(cmdline, "bench.idle");
    const char *names = option(cmdline, "bench"), *pairs = option(cmdline, "bench.pairs");
    run_all(names, ms ? atoi(ms) : 500, pairs ? atoi(pairs) : 0, 0);
    if (idle) {
        sleep(2);                           /* what starting has left to do */
        say("@idle-begin\n");
        sleep(atoi(idle));
        say("@idle-end\n");
    }
    say("@done\n");
    sync();
    tcdrain(1);                             /* switching off does not wait for the UART */
    usleep(200000);
    reboot(RB_POWER_OFF);
}

int main(int argc, char **argv)
{
    unsigned ms = 200, pairs = 0;
    char names[4096] = "";
    if (argc > 1 && !strcmp(argv[1], "--exit")) {
        return 5;
    }
    if (getpid() == 1) {
        init();
        pause();
    }
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--list")) {
            for (size_t k = 0; k < sizeof(lists) / sizeof(lists[0]); k++) {
                for (const Workload *w = lists[k]; w->name; w++) {
                    printf("%s|%s|%llu|%u\n", w->name, w->unit, (unsigned long long)w->units,
                           w->flags);
                }
            }
            return 0;
        } else if (!strcmp(argv[i], "--ms") && i + 1 < argc) {
            ms = atoi(argv[++i]);
        } else if (!strcmp(argv[i], "--pairs") && i + 1 < argc) {
            pairs = atoi(argv[++i]);
        } else {
            size_t used = strlen(names);
            snprintf(names + used, sizeof(names) - used, "%s%s", used ? "," : "", argv[i]);
        }
    }
    run_all(names[0] ? names : NULL, ms, pairs, GUEST_ONLY);
    say("@done\n");
    return 0;
}
