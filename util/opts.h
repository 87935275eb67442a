/* SPDX-License-Identifier: MIT */
/*
 * Option strings of the command line: "a,b=c,d=on".
 *
 *   ,,          a comma inside a value
 *   first word  without '=': the value of the implied key (driver of -device, file of -drive)
 *   word        a flag: word=on;  "noword" is word=off if word is known as a flag
 *   {...}       the whole argument is JSON: nested keys become "a.b"
 *
 * An Opts keeps the pairs in order, a key may repeat (the last one counts).  Who reads an Opts
 * marks what it reads; opts_check_unused then names what nobody knew.
 */
#ifndef UTIL_OPTS_H
#define UTIL_OPTS_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include "util/error.h"
#include "util/json.h"

typedef struct Opt {
    char *name, *value;
    bool flag;                          /* given as a bare word */
    bool used;
} Opt;

typedef struct Opts {
    char *owner;                        /* "-drive", "-device": begins each message */
    GPtrArray *list;                    /* of Opt* */
    GPtrArray *known;                   /* of char*: names asked for, for suggestions */
} Opts;

/* implied: key of a first word without '=', or NULL.  flags: NULL-terminated names for which
 * "noNAME" means off, or NULL. */
Opts *opts_parse(const char *owner, const char *text, const char *implied,
                 const char *const *flags, Error **err);
Opts *opts_new(const char *owner);
void opts_free(Opts *o);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Opts, opts_free)
void opts_set(Opts *o, const char *name, const char *value);   /* adds behind the others */
void opts_remove(Opts *o, const char *name);

/* The reads below mark the name as known and used.  false: the value is wrong, err names
 * option, key and value; absent: true and *out = def. */
const char *opts_get(Opts *o, const char *name);               /* last one, or NULL */
bool opts_has(Opts *o, const char *name);
bool opts_bool(Opts *o, const char *name, bool def, bool *out, Error **err);
bool opts_uint(Opts *o, const char *name, uint64_t def, uint64_t min, uint64_t max, uint64_t *out,
               Error **err);
bool opts_size(Opts *o, const char *name, uint64_t def, uint64_t *out, Error **err);
/* Index in the NULL-terminated choices. */
bool opts_enum(Opts *o, const char *name, const char *const *choices, int def, int *out,
               Error **err);
/* "on"/"off"/"split"/... is the caller's; this tells whether the argument asks for help. */
bool opts_help(Opts *o);                                        /* "help" or "?" among the words */
/* What nobody read: "-drive: unknown option 'chace' (did you mean 'cache'?)". */
bool opts_check_unused(Opts *o, Error **err);
/* Every pair, in order. */
void opts_foreach(Opts *o, void (*fn)(const char *name, const char *value, void *opaque),
                  void *opaque);
/* All pairs as a JSON object of strings; "a.b" keys nest. */
Json *opts_to_json(Opts *o, Error **err);
/* The pairs as one option string again, commas doubled; the first without its key if implied. */
char *opts_to_string(Opts *o, const char *implied);

/* -readconfig: an INI file in QEMU's form, [drive "id"] key = "value".  fn gets each group in
 * the order of the file: name "drive", id or NULL, and its options (given away). */
bool readconfig_parse(const char *path,
                      bool (*fn)(void *opaque, const char *group, const char *id, Opts *opts, Error **err),
                      void *opaque, Error **err);

#endif
