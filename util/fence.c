/* SPDX-License-Identifier: MIT */
/*
 * What the fence between devices and guest code depends on.
 */
#include "util/fence.h"

bool guest_locks_are_free;
__thread bool runs_guest_code;
