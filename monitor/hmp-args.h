/* SPDX-License-Identifier: MIT */
/*
 * From the text of a command to its arguments.
 */
#ifndef MONITOR_HMP_ARGS_H
#define MONITOR_HMP_ARGS_H

#include "monitor/internal.h"

/* Parses text as c->args says; NULL and err if it doesn't fit. */
Json *hmp_parse_args(Monitor *m, const HmpCommand *c, const char *text, Error **err);
/* Type letter of argument n of a command, 0 if there is none. */
char hmp_arg_type(const HmpCommand *c, unsigned n);

/* Readers for handlers. */
static inline const char *arg_str(const Json *args, const char *key)        /* NULL: not given */
{
    const Json *v = json_get(args, key);
    return v ? v->s : NULL;
}
static inline int64_t arg_int(const Json *args, const char *key, int64_t def)
{
    const Json *v = json_get(args, key);
    return v ? v->i : def;
}
static inline bool arg_flag(const Json *args, const char *key)
{
    const Json *v = json_get(args, key);
    return v && v->b;
}

#endif
