/* SPDX-License-Identifier: MIT */
/*
 * Ports, monitors and drives a machine has unless told otherwise, and those it was told.
 */
#ifndef SYSTEM_DEFAULTS_H
#define SYSTEM_DEFAULTS_H

#include "hw/core/machine.h"
#include "util/error.h"

/* Open what -serial, -parallel, -monitor, -qmp and -mon say, the default ones where they say
 * nothing. */
bool consoles_add(const MachineType *type, Error **err);
/* The empty drives the board always has, after the user's own. */
void default_drives_add(const MachineType *type);
/* Would -nographic put something on standard input and output? */
bool consoles_need_terminal(void);
/* -debugcon, after the board is made. */
bool debugcons_add(Error **err);
/* Ctrl-a x */
void consoles_quit(void);

#endif
