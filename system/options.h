/* SPDX-License-Identifier: MIT */
/*
 * The command line as tables: one row for each option, in files by topic (opt-*.c).
 */
#ifndef SYSTEM_OPTIONS_H
#define SYSTEM_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include "util/error.h"

typedef struct Option {
    const char *name;                   /* without the dash */
    const char *arg;                    /* what stands behind it, for -help; NULL: nothing */
    const char *help;
    /* arg is NULL if the option takes none.  Errors need not name the option. */
    bool (*fn)(const struct Option *o, const char *arg, Error **err);
    void *where;                        /* for option_string, option_flag, option_list */
    const char *with;                   /* constant for fn: what a shorthand stands for */
    bool off_only;                      /* knows only the value that switches it off: clients that
                                           ask are not told of it */
} Option;

typedef struct OptionTopic {
    const char *title;
    const Option *options;              /* ends with a NULL name */
} OptionTopic;

extern const OptionTopic options_machine, options_devices, options_drives, options_consoles,
                         options_running;

/* Handlers for simple rows: where is a char **, bool *, GPtrArray ** of Arg. */
bool option_string(const Option *o, const char *arg, Error **err);
bool option_flag(const Option *o, const char *arg, Error **err);
bool option_list(const Option *o, const char *arg, Error **err);

/* Parse the whole command line into `config`.  -help and -version print and exit. */
bool options_parse(int argc, char **argv, Error **err);
/* One option, "name" without dash, as from -readconfig. */
bool option_apply(const char *name, const char *arg, Error **err);
/* Every option: name, argument's description or NULL. */
void options_foreach(void (*fn)(const Option *o, void *opaque), void *opaque);

#endif
