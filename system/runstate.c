/* SPDX-License-Identifier: MIT */
/*
 * The machine's life.  Anybody may ask for a reset, a shutdown, a pause: the wish is noted in
 * `want` and the main loop woken, which carries wishes out in a fixed order, at a moment when
 * no device is in the middle of something.  A vCPU that asked runs no further instruction
 * until then.
 *
 * The names and meanings of states, causes and events are those of QEMU's machine protocol.
 */
#include "system/runstate.h"

#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "accel/eventfd.h"
#include "block/block.h"
#include "hw/core/device.h"
#include "hw/core/machine.h"
#include "net/net.h"
#include "system/cpus.h"
#include "system/sysctl.h"
#include "target-i386/cpu.h"
#include "util/event.h"
#include "util/mainloop.h"
#include "util/timer.h"

RunPolicy run_policy = {
    .reboot = REBOOT_RESET, .shutdown = SHUTDOWN_POWEROFF,
    .panic = PANIC_SHUTDOWN, .watchdog = WATCHDOG_RESET,
};

static RunState state = RUN_STATE_PRELAUNCH;
static int exit_status;

/* Wishes, all atomic: 0 = none. */
static struct {
    int reset, shutdown;                /* a ShutdownCause */
    int stop;                           /* a RunState + 1 */
    int powerdown, suspend, wakeup, panic, quit;
} want;

/* ---- names ----------------------------------------------------------------------------- */

static const char *const state_names[RUN_STATE_COUNT] = {
    [RUN_STATE_PRELAUNCH] = "prelaunch",           [RUN_STATE_RUNNING] = "running",
    [RUN_STATE_PAUSED] = "paused",                 [RUN_STATE_SHUTDOWN] = "shutdown",
    [RUN_STATE_DEBUG] = "debug",                   [RUN_STATE_INTERNAL_ERROR] = "internal-error",
    [RUN_STATE_IO_ERROR] = "io-error",             [RUN_STATE_GUEST_PANICKED] = "guest-panicked",
    [RUN_STATE_SUSPENDED] = "suspended",           [RUN_STATE_WATCHDOG] = "watchdog",
    [RUN_STATE_RESTORE_VM] = "restore-vm",         [RUN_STATE_SAVE_VM] = "save-vm",
    [RUN_STATE_INMIGRATE] = "inmigrate",           [RUN_STATE_POSTMIGRATE] = "postmigrate",
    [RUN_STATE_FINISH_MIGRATE] = "finish-migrate",
};

static const char *const cause_names[CAUSE_COUNT] = {
    [CAUSE_NONE] = "none",
    [CAUSE_HOST_ERROR] = "host-error",
    [CAUSE_HOST_QMP_QUIT] = "host-qmp-quit",
    [CAUSE_HOST_QMP_SYSTEM_RESET] = "host-qmp-system-reset",
    [CAUSE_HOST_SIGNAL] = "host-signal",
    [CAUSE_HOST_UI] = "host-ui",
    [CAUSE_GUEST_SHUTDOWN] = "guest-shutdown",
    [CAUSE_GUEST_RESET] = "guest-reset",
    [CAUSE_GUEST_PANIC] = "guest-panic",
    [CAUSE_SUBSYSTEM_RESET] = "subsystem-reset",
    [CAUSE_SNAPSHOT_LOAD] = "snapshot-load",
};

static const char *const reboot_names[] = { "reset", "shutdown", NULL };
static const char *const shutdown_names[] = { "poweroff", "pause", NULL };
static const char *const panic_names[] = { "pause", "shutdown", "exit-failure", "none", NULL };
static const char *const watchdog_names[] = { "reset", "shutdown", "poweroff", "pause", "debug",
                                              "none", "inject-nmi", NULL };

static const struct {
    const char *event;
    const char *const *actions;
    int *where;
} policies[] = {
    { "reboot", reboot_names, (int *)&run_policy.reboot },
    { "shutdown", shutdown_names, (int *)&run_policy.shutdown },
    { "panic", panic_names, (int *)&run_policy.panic },
    { "watchdog", watchdog_names, (int *)&run_policy.watchdog },
};

bool run_policy_set(const char *event, const char *action, Error **err)
{
    for (size_t i = 0; i < G_N_ELEMENTS(policies); i++) {
        if (strcmp(policies[i].event, event)) {
            continue;
        }
        for (int n = 0; policies[i].actions[n]; n++) {
            if (!strcmp(policies[i].actions[n], action)) {
                *policies[i].where = n;
                return true;
            }
        }
        char *all = g_strjoinv(", ", (char **)policies[i].actions);
        fail(err, "%s=%s: not one of %s", event, action, all);
        g_free(all);
        return false;
    }
    return fail(err, "'%s' is not an event (reboot, shutdown, panic or watchdog)", event);
}

/* ---- state ----------------------------------------------------------------------------- */

#define S(name) (1u << RUN_STATE_##name)
/* Every state of a machine that stands but can go on */
#define STANDING (S(PAUSED) | S(SHUTDOWN) | S(DEBUG) | S(INTERNAL_ERROR) | S(IO_ERROR) |           \
                  S(GUEST_PANICKED) | S(WATCHDOG) | S(POSTMIGRATE))
/* Where such a state may lead: on, into a reset, or to disk */
#define FROM_STANDING (S(RUNNING) | S(PRELAUNCH) | S(FINISH_MIGRATE) | S(SAVE_VM) | S(RESTORE_VM))

static bool transition_allowed(RunState from, RunState to)
{
    uint32_t next;
    switch (from) {
    case RUN_STATE_RUNNING:
        next = STANDING | S(SUSPENDED) | S(SAVE_VM) | S(RESTORE_VM) | S(FINISH_MIGRATE);
        break;
    case RUN_STATE_PRELAUNCH:
        next = FROM_STANDING | S(INMIGRATE) | S(SUSPENDED) | S(PAUSED);
        break;
    case RUN_STATE_SUSPENDED:
        next = FROM_STANDING | STANDING;
        break;
    case RUN_STATE_INMIGRATE:
    case RUN_STATE_RESTORE_VM:
    case RUN_STATE_SAVE_VM:
    case RUN_STATE_FINISH_MIGRATE:
        next = FROM_STANDING | STANDING | S(SUSPENDED);
        break;
    default:
        next = FROM_STANDING | S(SHUTDOWN) | S(PAUSED);
        break;
    }
    return from == to || (next & (1u << to));
}

RunState runstate_get(void)
{
    return state;
}

bool runstate_running(void)
{
    return state == RUN_STATE_RUNNING;
}

const char *runstate_name(RunState s)
{
    return state_names[s];
}

void runstate_set(RunState s)
{
    g_assert(transition_allowed(state, s));
    state = s;
}

bool runstate_needs_reset(void)
{
    return state == RUN_STATE_INTERNAL_ERROR || state == RUN_STATE_SHUTDOWN;
}

void (*runstate_stop_hook)(void);

void vm_start(void)
{
    bool was_to_stop = __atomic_exchange_n(&want.stop, 0, __ATOMIC_SEQ_CST);
    if (runstate_running()) {
        if (was_to_stop) {
            /* whoever asked for the stop waits for its event */
            event_emit("STOP", NULL);
            event_emit("RESUME", NULL);
            cpus_resume_all();
        }
        return;
    }
    runstate_set(RUN_STATE_RUNNING);
    event_emit("RESUME", NULL);
    vclock_start();
    blk_resume_all();
    net_set_running(true);
    cpus_resume_all();
}

static void stop(RunState why, bool tell)
{
    if (runstate_running()) {
        runstate_set(why);
        net_set_running(false);
        vclock_stop();
        cpus_pause_all();
        doorbells_settle();
        vclock_settle();
        if (tell) {
            event_emit("STOP", NULL);
            if (runstate_stop_hook) {
                runstate_stop_hook();
            }
        }
    }
    blk_drain_all();
    blk_flush_all();
}

void vm_stop(RunState why)
{
    if (cpu_current()) {
        runstate_request_stop(why);
    } else {
        stop(why, true);
    }
}

void vm_end(void)
{
    stop(RUN_STATE_SHUTDOWN, false);
    cpus_end();
}

bool vm_continue(Error **err)
{
    if (runstate_needs_reset()) {
        return fail(err, "Resetting the Virtual Machine is required");
    }
    if (state == RUN_STATE_FINISH_MIGRATE) {
        return fail(err, "Migration is not finalized yet");
    }
    if (state != RUN_STATE_SUSPENDED) {
        vm_start();
    }
    return true;
}

/* ---- requests -------------------------------------------------------------------------- */

static void note(int *wish, int value)
{
    __atomic_store_n(wish, value, __ATOMIC_SEQ_CST);
    cpus_stop_current();
    mainloop_wake();
}

static int take(int *wish)
{
    return __atomic_exchange_n(wish, 0, __ATOMIC_SEQ_CST);
}

void runstate_request_reset(ShutdownCause why)
{
    if (run_policy.reboot == REBOOT_SHUTDOWN && why != CAUSE_SUBSYSTEM_RESET) {
        note(&want.shutdown, why);
    } else {
        note(&want.reset, why);
    }
}

void runstate_request_shutdown(ShutdownCause why)
{
    note(&want.shutdown, why);
}

void runstate_request_powerdown(void)
{
    note(&want.powerdown, 1);
}

void runstate_request_stop(RunState why)
{
    note(&want.stop, why + 1);
}

void runstate_request_suspend(void)
{
    note(&want.suspend, 1);
}

void runstate_request_wakeup(void)
{
    if (state == RUN_STATE_SUSPENDED) {
        note(&want.wakeup, 1);
    }
}

void runstate_request_panic(void)
{
    if (run_policy.panic == PANIC_NONE) {
        __atomic_store_n(&want.panic, 1, __ATOMIC_SEQ_CST);     /* the vCPU goes on */
        mainloop_wake();
    } else {
        note(&want.panic, 1);
    }
}

void runstate_request_quit(ShutdownCause why, int status)
{
    exit_status = status;
    __atomic_store_n(&want.quit, 1, __ATOMIC_SEQ_CST);
    note(&want.shutdown, why);
}

bool machine_inject_nmi(void)
{
    for (guint i = 0; i < cpus->len; i++) {
        x86_cpu_nmi(x86_cpu(cpu_by_index(i)));
    }
    return cpus->len > 0;
}

void runstate_watchdog_expired(void)
{
    Json *data = json_object();

    json_set_str(data, "action", watchdog_names[run_policy.watchdog]);
    event_emit("WATCHDOG", data);
    switch (run_policy.watchdog) {
    case WATCHDOG_RESET:
        runstate_request_reset(CAUSE_GUEST_RESET);
        break;
    case WATCHDOG_SHUTDOWN:
        runstate_request_powerdown();
        break;
    case WATCHDOG_POWEROFF:
        runstate_request_quit(CAUSE_GUEST_SHUTDOWN, 0);
        break;
    case WATCHDOG_PAUSE:
        runstate_request_stop(RUN_STATE_WATCHDOG);
        break;
    case WATCHDOG_DEBUG:
        error_report("watchdog: timer fired");
        break;
    case WATCHDOG_INJECT_NMI:
        machine_inject_nmi();
        break;
    case WATCHDOG_NONE:
        break;
    }
}

/* ---- carrying out ---------------------------------------------------------------------- */

static bool caused_by_guest(ShutdownCause why)
{
    return why == CAUSE_GUEST_SHUTDOWN || why == CAUSE_GUEST_RESET || why == CAUSE_GUEST_PANIC;
}

static void emit_cause(const char *event, ShutdownCause why)
{
    Json *data = json_object();
    json_set_bool(data, "guest", caused_by_guest(why));
    json_set_str(data, "reason", cause_names[why]);
    event_emit(event, data);
}

static void reset_hardware(void)
{
    devices_reset();
    if (current_machine && current_machine->type->reset) {
        current_machine->type->reset(current_machine);
    }
}

static ShutdownCause reset_cause;

ShutdownCause machine_reset_cause(void)
{
    return reset_cause;
}

void machine_reset(ShutdownCause why)
{
    reset_cause = why;
    reset_hardware();
    if (why != CAUSE_NONE && why != CAUSE_SUBSYSTEM_RESET) {
        emit_cause("RESET", why);
    }
}

static void do_reset(ShutdownCause why)
{
    cpus_pause_all();
    machine_reset(why);
    if (state == RUN_STATE_SUSPENDED) {
        /* the reset button of a sleeping PC starts it */
        runstate_set(RUN_STATE_RUNNING);
        event_emit("WAKEUP", NULL);
    }
    if (runstate_running()) {
        cpus_resume_all();
    } else if (state != RUN_STATE_INMIGRATE && state != RUN_STATE_FINISH_MIGRATE) {
        runstate_set(RUN_STATE_PRELAUNCH);
    }
}

/* True: the process ends. */
static bool do_shutdown(ShutdownCause why)
{
    bool quit = take(&want.quit);
    emit_cause("SHUTDOWN", why);
    if (why == CAUSE_GUEST_PANIC && run_policy.panic == PANIC_EXIT_FAILURE) {
        exit_status = 1;
    }
    if (!quit && run_policy.shutdown == SHUTDOWN_PAUSE) {
        vm_stop(RUN_STATE_SHUTDOWN);
        return false;
    }
    return true;
}

/* ACPI S3: the CPUs stand, the clocks go on. */
static void do_suspend(void)
{
    if (runstate_running()) {
        cpus_pause_all();
        runstate_set(RUN_STATE_SUSPENDED);
        event_emit("SUSPEND", NULL);
    }
}

/* The CPUs and devices lost power, memory did not: firmware finds out and resumes. */
static void do_wakeup(void)
{
    if (state == RUN_STATE_SUSPENDED) {
        reset_hardware();
        sysctl_wake();
        runstate_set(RUN_STATE_RUNNING);
        event_emit("WAKEUP", NULL);
        cpus_resume_all();
    }
}

static void do_panic(void)
{
    static const char *const action[] = {
        [PANIC_PAUSE] = "pause", [PANIC_SHUTDOWN] = "poweroff",
        [PANIC_EXIT_FAILURE] = "poweroff", [PANIC_NONE] = "run",
    };
    Json *data = json_object();
    json_set_str(data, "action", action[run_policy.panic]);
    event_emit("GUEST_PANICKED", data);
    if (run_policy.panic != PANIC_NONE) {
        vm_stop(RUN_STATE_GUEST_PANICKED);
    }
    if (run_policy.panic == PANIC_SHUTDOWN || run_policy.panic == PANIC_EXIT_FAILURE) {
        runstate_request_shutdown(CAUSE_GUEST_PANIC);
    }
}

/* True: the process ends. */
static bool carry_out(void)
{
    int n;
    if (take(&want.suspend)) {
        do_suspend();
    }
    if (take(&want.panic)) {
        do_panic();
    }
    if ((n = take(&want.shutdown)) && do_shutdown(n)) {
        return true;
    }
    if ((n = take(&want.reset))) {
        do_reset(n);
    }
    if (take(&want.wakeup)) {
        do_wakeup();
    }
    if (take(&want.powerdown)) {
        event_emit("POWERDOWN", NULL);
        sysctl_press_power();
        if (runstate_running()) {
            cpus_resume_all();
        }
    }
    if ((n = take(&want.stop))) {
        vm_stop(n - 1);
    }
    return false;
}

int runstate_main_loop(void)
{
    while (!carry_out()) {
        mainloop_iterate(true);
    }
    return exit_status;
}

/* ---- signals --------------------------------------------------------------------------- */

static int signal_fd = -1;              /* eventfd: wakes the main loop from a handler */
static volatile sig_atomic_t signal_number, signal_pid;

static void signal_handler(int sig, siginfo_t *info, void *context)
{
    int saved = errno;
    uint64_t one = 1;
    signal_number = sig;
    signal_pid = info->si_code <= 0 ? info->si_pid : 0;
    ssize_t n = write(signal_fd, &one, sizeof(one));
    (void)n;
    errno = saved;
}

static char *process_name(int pid)
{
    char path[32], *name = NULL;
    snprintf(path, sizeof(path), "/proc/%d/comm", pid);
    if (!g_file_get_contents(path, &name, NULL, NULL)) {
        return g_strdup("unknown process");
    }
    return g_strchomp(name);
}

static void signal_event(int fd, GIOCondition cond, void *opaque)
{
    uint64_t count;
    ssize_t n = read(fd, &count, sizeof(count));
    (void)n;
    if (signal_pid > 0) {
        char *name = process_name(signal_pid);
        error_report("terminating on signal %d from pid %d (%s)", (int)signal_number,
                     (int)signal_pid, name);
        g_free(name);
    } else {
        error_report("terminating on signal %d", (int)signal_number);
    }
    runstate_request_quit(CAUSE_HOST_SIGNAL, 0);
}

void runstate_catch_signals(void)
{
    struct sigaction sa = { .sa_sigaction = signal_handler, .sa_flags = SA_SIGINFO | SA_RESTART };
    sigfillset(&sa.sa_mask);
    signal_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    mainloop_watch(signal_fd, G_IO_IN, signal_event, NULL);
    sigaction(SIGINT, &sa, NULL);
    sigaction(SIGTERM, &sa, NULL);
    sigaction(SIGHUP, &sa, NULL);
    signal(SIGPIPE, SIG_IGN);
}
