/* SPDX-License-Identifier: MIT */
/*
 * Where firmware is looked for; the search itself is firmware_find in hw/core/machine.h.
 */
#ifndef SYSTEM_FIRMWARE_H
#define SYSTEM_FIRMWARE_H

#include <glib.h>

void firmware_list_dirs(GString *out);          /* one a line, in order */

#endif
