/* SPDX-License-Identifier: MIT */
/*
 * Integer expressions of the human monitor: "$rip + 0x10", "(1 << 12) | 'a'".
 */
#ifndef MONITOR_EXPR_H
#define MONITOR_EXPR_H

#include "monitor/internal.h"

/*
 * Evaluates at *text, which moves behind the expression: C's operators | ^ & << >> + - * / %
 * with unary + - ~, parentheses, numbers in C's forms, characters, and $registers of the
 * monitor's CPU.  64 bits, wrapping.
 */
bool expr_parse(Monitor *m, const char **text, int64_t *out, Error **err);

/* Value of a register of the CPU by name; false if there is none of that name. */
bool x86_register(CPU *c, const char *name, uint64_t *out);
void x86_register_names(GPtrArray *out);        /* appends borrowed strings */

#endif
