/* SPDX-License-Identifier: MIT */
/*
 * Workloads which make the guest's kernel work: system calls, faults, signals, processes,
 * pipes; and locked instructions.
 */
#define _GNU_SOURCE
#include "tests/bench/guest/bench.h"
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

static uint64_t atomic_round(void)
{
    static volatile uint64_t word;
    uint64_t sum = 0;
    word = 0;
    for (int i = 0; i < 20000; i++) {
        sum += __atomic_fetch_add(&word, 3, __ATOMIC_SEQ_CST);
        uint64_t old = word;
        __atomic_compare_exchange_n(&word, &old, old ^ i, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
        sum ^= __atomic_exchange_n(&word, sum & 0xffff, __ATOMIC_SEQ_CST);
    }
    return sum;
}

static uint64_t syscall_round(void)
{
    for (int i = 0; i < 2000; i++) {
        syscall(SYS_getppid);
    }
    return 0;
}

static uint64_t fault_round(void)
{
    enum { PAGES = 256 };
    uint8_t *p = map(PAGES * 4096, PROT_READ | PROT_WRITE);
    uint64_t sum = 0;
    for (int i = 0; i < PAGES; i++) {
        p[i * 4096 + i] = i;
    }
    for (int i = 0; i < PAGES; i++) {
        sum += p[i * 4096 + i];
    }
    munmap(p, PAGES * 4096);
    return sum;
}

static volatile unsigned traps;

static void on_trap(int sig, siginfo_t *info, void *context)
{
    ucontext_t *uc = context;
    uc->uc_mcontext.gregs[REG_RIP] += 2;        /* the length of ud2 */
    traps++;
}

static uint64_t trap_round(void)
{
    struct sigaction sa = { .sa_sigaction = on_trap, .sa_flags = SA_SIGINFO }, old;
    sigaction(SIGILL, &sa, &old);
    traps = 0;
    for (int i = 0; i < 500; i++) {
        __asm__ volatile("ud2" : : : "memory");
    }
    sigaction(SIGILL, &old, NULL);
    return traps;
}

static int await(pid_t pid)
{
    int status;
    if (pid < 0 || waitpid(pid, &status, 0) != pid) {
        die("fork or waitpid");
    }
    return WEXITSTATUS(status);
}

static uint64_t fork_round(void)
{
    uint64_t sum = 0;
    for (int i = 0; i < 4; i++) {
        pid_t pid = fork();
        if (pid == 0) {
            _exit(i + 1);
        }
        sum += await(pid);
    }
    return sum;
}

static uint64_t exec_round(void)
{
    uint64_t sum = 0;
    for (int i = 0; i < 2; i++) {
        pid_t pid = fork();
        if (pid == 0) {
            execl("/proc/self/exe", "bench", "--exit", (char *)NULL);
            _exit(99);
        }
        sum += await(pid);
    }
    return sum;
}

/* A byte goes to another process and comes back incremented. */
static uint64_t pipe_round(void)
{
    enum { TIMES = 100 };
    int there[2], back[2];
    uint8_t byte = 0;
    if (pipe(there) || pipe(back)) {
        die("pipe");
    }
    pid_t pid = fork();
    if (pid == 0) {
        close(there[1]);
        while (read(there[0], &byte, 1) == 1) {
            byte++;
            if (write(back[1], &byte, 1) != 1) {
                break;
            }
        }
        _exit(byte);
    }
    for (int i = 0; i < TIMES; i++) {
        if (write(there[1], &byte, 1) != 1 || read(back[0], &byte, 1) != 1) {
            die("pipe ended");
        }
    }
    close(there[1]);
    close(there[0]);
    close(back[0]);
    close(back[1]);
    return await(pid) * 256 + byte;
}

const Workload kernel_workloads[] = {
    { "atomics",     "operations", 60000, atomic_round },
    { "syscalls",    "calls",      2000,  syscall_round },
    { "page-faults", "faults",     256,   fault_round },
    { "traps",       "signals",    500,   trap_round },
    { "fork",        "processes",  4,     fork_round },
    { "exec",        "processes",  2,     exec_round },
    { "pipe",        "round trips", 100,  pipe_round },
    { NULL }
};
