/* SPDX-License-Identifier: MIT */
/*
 * Memory for host code.  It is mapped twice: once to be written, once to be executed, so that
 * no page is ever both.  Code is addressed by where it executes; code_rw gives the place to
 * write to.
 */
#ifndef ACCEL_TCG_CODE_H
#define ACCEL_TCG_CODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "util/error.h"


extern ptrdiff_t code_rw_delta;     /* from the executable to the writable mapping */

/* Reserve `bytes` of code memory, all of it within 2 GiB.  Once, before any vCPU. */
bool code_area_init(size_t bytes, Error **err);
/* The executable mapping; NULL if there is none (an engine without host code). */
uint8_t *code_area(void);
size_t code_area_size(void);
/* Give the pages of [at, at+len) back to the host; they read as zeroes then. */
void code_area_discard(uint8_t *at, size_t len);

static inline uint8_t *code_rw(const uint8_t *rx)
{
    return (uint8_t *)rx + code_rw_delta;
}

#endif
