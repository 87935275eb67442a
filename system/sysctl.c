/* SPDX-License-Identifier: MIT */
/*
 * What chips may ask of the machine (hw/core/sysctl.h), turned into requests to the run state.
 */
#include "hw/core/sysctl.h"
#include "system/sysctl.h"

#include <stddef.h>

#include "system/runstate.h"
#include "util/event.h"

typedef struct Hook {
    void (*fn)(void *opaque);
    void *opaque;
} Hook;

static Hook power_button, wakeup;

void machine_request_reset(void)
{
    runstate_request_reset(CAUSE_GUEST_RESET);
}

bool machine_reset_by_host(void)
{
    ShutdownCause why = machine_reset_cause();
    return why == CAUSE_HOST_QMP_SYSTEM_RESET || why == CAUSE_HOST_UI;
}

void machine_request_shutdown(void)
{
    runstate_request_shutdown(CAUSE_GUEST_SHUTDOWN);
}

void machine_request_exit(int status)
{
    runstate_request_quit(CAUSE_GUEST_SHUTDOWN, status);
}

void machine_request_suspend(void)
{
    runstate_request_suspend();
}

void machine_request_wakeup(void)
{
    runstate_request_wakeup();
}

void machine_request_panic(void)
{
    runstate_request_panic();
}

void machine_watchdog_expired(void)
{
    runstate_watchdog_expired();
}

void machine_request_stop_io_error(const char *device, const char *op, const char *reason, bool nospace)
{
    Json *data = json_object();
    json_set_str(data, "device", device);
    json_set_str(data, "operation", op);
    json_set_str(data, "action", "stop");
    json_set_bool(data, "nospace", nospace);
    json_set_str(data, "reason", reason);
    event_emit("BLOCK_IO_ERROR", data);
    runstate_request_stop(RUN_STATE_IO_ERROR);
}

void machine_set_powerbutton(void (*press)(void *opaque), void *opaque)
{
    power_button = (Hook) { press, opaque };
}

void machine_set_wakeup(void (*wake)(void *opaque), void *opaque)
{
    wakeup = (Hook) { wake, opaque };
}

void sysctl_press_power(void)
{
    if (power_button.fn) {
        power_button.fn(power_button.opaque);
    }
}

void sysctl_wake(void)
{
    if (wakeup.fn) {
        wakeup.fn(wakeup.opaque);
    }
}
