/* SPDX-License-Identifier: MIT */
/*
 * ADD
 */
#include "target-i386/interp.h"
