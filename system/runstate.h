/* SPDX-License-Identifier: MIT */
/*
 * The machine's life: running, paused, shut down; who asked for what.  Requests may come from
 * any thread; the main loop carries them out.
 */
#ifndef SYSTEM_RUNSTATE_H
#define SYSTEM_RUNSTATE_H

#include <stdbool.h>
#include "util/error.h"

typedef enum {
    RUN_STATE_PRELAUNCH, RUN_STATE_RUNNING, RUN_STATE_PAUSED, RUN_STATE_SHUTDOWN,
    RUN_STATE_DEBUG, RUN_STATE_INTERNAL_ERROR, RUN_STATE_IO_ERROR, RUN_STATE_GUEST_PANICKED,
    RUN_STATE_SUSPENDED, RUN_STATE_WATCHDOG, RUN_STATE_RESTORE_VM, RUN_STATE_SAVE_VM,
    RUN_STATE_INMIGRATE, RUN_STATE_POSTMIGRATE, RUN_STATE_FINISH_MIGRATE, RUN_STATE_COUNT
} RunState;

/* QMP's ShutdownCause */
typedef enum {
    CAUSE_NONE, CAUSE_HOST_ERROR, CAUSE_HOST_QMP_QUIT, CAUSE_HOST_QMP_SYSTEM_RESET, CAUSE_HOST_SIGNAL,
    CAUSE_HOST_UI, CAUSE_GUEST_SHUTDOWN, CAUSE_GUEST_RESET, CAUSE_GUEST_PANIC, CAUSE_SUBSYSTEM_RESET,
    CAUSE_SNAPSHOT_LOAD, CAUSE_COUNT
} ShutdownCause;

/* ---- what to do about it: -action, -no-reboot, -no-shutdown, QMP set-action -------------- */

typedef enum { REBOOT_RESET, REBOOT_SHUTDOWN } RebootAction;
typedef enum { SHUTDOWN_POWEROFF, SHUTDOWN_PAUSE } ShutdownAction;
typedef enum { PANIC_PAUSE, PANIC_SHUTDOWN, PANIC_EXIT_FAILURE, PANIC_NONE } PanicAction;
typedef enum { WATCHDOG_RESET, WATCHDOG_SHUTDOWN, WATCHDOG_POWEROFF, WATCHDOG_PAUSE, WATCHDOG_DEBUG,
               WATCHDOG_NONE, WATCHDOG_INJECT_NMI } WatchdogAction;

typedef struct RunPolicy {
    RebootAction reboot;
    ShutdownAction shutdown;
    PanicAction panic;
    WatchdogAction watchdog;
} RunPolicy;

extern RunPolicy run_policy;                            /* [bql] */
/* Set one by name and value: "reboot", "shutdown"; as -action and set-action take them. */
bool run_policy_set(const char *event, const char *action, Error **err);

/* ---- state [bql] ------------------------------------------------------------------------- */

RunState runstate_get(void);
bool runstate_running(void);
const char *runstate_name(RunState s);                  /* "prelaunch", as in QMP */
/* Only transitions that make sense are possible: others are our own bug and assert. */
void runstate_set(RunState s);
/* Only a reset helps (after a shutdown or an internal error). */
bool runstate_needs_reset(void);

/* Let the guest run: clock, disks, vCPUs, RESUME event.  No effect when it runs. [main thread] */
void vm_start(void);
/* Pause it, ending in state `why`; waits for disk requests and flushes.  No effect on a VM
 * that does not run.  From a vCPU thread it is only asked for. */
void vm_stop(RunState why);
/* Called after each vm_stop of a machine that ran; NULL: nobody. [main thread, bql] */
extern void (*runstate_stop_hook)(void);
/* For the last time: no event, and the vCPUs' threads end. [main thread] */
void vm_end(void);
/* The monitor's `cont`. */
bool vm_continue(Error **err);

/* ---- requests, carried out by the main loop; any thread ---------------------------------- */

void runstate_request_reset(ShutdownCause why);
void runstate_request_shutdown(ShutdownCause why);
void runstate_request_powerdown(void);                  /* press the power button */
void runstate_request_stop(RunState why);
/* End whatever -no-shutdown says, with this exit status. */
void runstate_request_quit(ShutdownCause why, int status);
void runstate_request_suspend(void);
/* No effect unless suspended. */
void runstate_request_wakeup(void);
/* The guest's kernel gave up (pvpanic): what happens is run_policy.panic. */
void runstate_request_panic(void);
/* A watchdog's time is over: tells it and does what run_policy.watchdog says. [bql] */
void runstate_watchdog_expired(void);
/* Every CPU gets a non-maskable interrupt; false: there is no CPU. [bql] */
bool machine_inject_nmi(void);
/* Reset now: devices, board, CPUs. [main thread] */
void machine_reset(ShutdownCause why);
/* The `why` of the reset under way, else of the last one. */
ShutdownCause machine_reset_cause(void);

/* SIGINT, SIGTERM and SIGHUP end the machine in order from now on; SIGPIPE is ignored. */
void runstate_catch_signals(void);

/* The main loop: returns the exit status of the process. */
int runstate_main_loop(void);

#endif
