/* SPDX-License-Identifier: MIT */
/*
 * Changing the accelerator of a stopped machine.
 */
#ifndef SYSTEM_ACCEL_SWITCH_H
#define SYSTEM_ACCEL_SWITCH_H

#include "accel/accel.h"

/* To the accelerator of this name, with its default options.  On an error about features or
 * the new accelerator everything is as before. [bql, main thread] */
bool accel_switch(const char *name, Error **err);

#endif
