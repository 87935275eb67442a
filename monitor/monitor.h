/* SPDX-License-Identifier: MIT */
/*
 * Monitors: where people (readline mode) and programs (control mode: QMP) watch and steer the
 * machine.  Each sits on a character device of its own.  [bql]
 */
#ifndef MONITOR_MONITOR_H
#define MONITOR_MONITOR_H

#include <stdbool.h>
#include "chardev/char.h"
#include "util/error.h"

/* A monitor for people. */
bool monitor_add_hmp(CharDev *c, Error **err);
/* A monitor for programs. */
bool monitor_add_qmp(CharDev *c, bool pretty, Error **err);
/* Send what is left to say and detach all.  At exit. */
void monitor_cleanup(void);

#endif
