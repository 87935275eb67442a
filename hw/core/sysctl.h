/* SPDX-License-Identifier: MIT */
/*
 * What a chip may ask of the machine as a whole.  Implemented by system/; devices include only
 * this.  Requests are carried out by the main loop; any thread.
 */
#ifndef HW_CORE_SYSCTL_H
#define HW_CORE_SYSCTL_H

#include <stdbool.h>

void machine_request_reset(void);              /* keyboard controller, port 92h, CF9h, triple fault */
bool machine_reset_by_host(void);              /* while devices are reset: by the button, no guest */
void machine_request_shutdown(void);           /* ACPI S5, isa-debug-exit aside */
void machine_request_exit(int status);         /* isa-debug-exit: end the process with a status */
void machine_request_suspend(void);            /* ACPI S3 */
void machine_request_wakeup(void);             /* power button, RTC alarm, ... while suspended */
void machine_request_panic(void);              /* pvpanic */
void machine_watchdog_expired(void);           /* a watchdog's time is over: -watchdog-action [bql] */
void machine_request_stop_io_error(const char *device, const char *op, const char *reason, bool nospace);
/* The power button: the PM device registers itself; system_powerdown calls. [bql] */
void machine_set_powerbutton(void (*press)(void *opaque), void *opaque);
void machine_set_wakeup(void (*wake)(void *opaque), void *opaque);

#endif
