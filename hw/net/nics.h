/* SPDX-License-Identifier: MIT */
/*
 * Boards make the network cards that options ask for without -device.
 */
#ifndef HW_NET_NICS_H
#define HW_NET_NICS_H

#include "hw/core/device.h"

/* Cards of -nic, -net nic and the default; default_model for those without model=.  false: a
 * model is unknown, or a card can't be made. */
bool nics_create(const char *default_model, Error **err);
/* The models, one a line: -nic model=help. */
void nics_help(GString *out);

#endif
