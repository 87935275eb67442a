/* SPDX-License-Identifier: MIT */
/*
 * Properties: named, typed, range-checked fields of a struct, set from strings.  Devices,
 * accelerators, machines and back-ends all take their options through these tables.
 */
#ifndef UTIL_PROP_H
#define UTIL_PROP_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "util/error.h"

typedef enum {
    PROP_KIND_BOOL,     /* on/off, yes/no, true/false */
    PROP_KIND_UINT,     /* decimal, 0x hex; field of 1, 2, 4 or 8 bytes */
    PROP_KIND_INT,      /* signed */
    PROP_KIND_SIZE,     /* with suffix b, K, M, G, T */
    PROP_KIND_STRING,   /* char *, owned, g_free'd */
    PROP_KIND_ENUM,     /* int; names from choices */
    PROP_KIND_MAC,      /* uint8_t[6] */
    PROP_KIND_PCI_DEVFN,/* int32_t: "3", "3.1", -1 = first free */
    PROP_KIND_DRIVE,    /* struct BlockBackend *: id of a -drive/-blockdev */
    PROP_KIND_CHARDEV,  /* struct CharDev *: id of a -chardev */
    PROP_KIND_NETDEV,   /* struct NetClient *: id of a -netdev */
    PROP_KIND_AUDIODEV, /* struct AudioDev *: id of an -audiodev */
    PROP_KIND_ONOFFAUTO,/* int: 0 off, 1 on, 2 auto */
} PropKind;

typedef struct Prop {
    const char *name;
    PropKind kind;
    size_t offset, size;
    uint64_t def;                     /* default of numeric kinds */
    const char *def_str;              /* default of string kinds */
    uint64_t min, max;                /* range; both 0 = the field's own */
    const char *const *choices;       /* ENUM: NULL-terminated */
    const char *help;
} Prop;

#define PROP_FIELD_(T, f) .offset = offsetof(T, f), .size = sizeof(((T *)0)->f)
#define PROP_BOOL(n, T, f, d, h)        { .name = n, .kind = PROP_KIND_BOOL, PROP_FIELD_(T, f), .def = d, .help = h }
#define PROP_UINT(n, T, f, d, h)        { .name = n, .kind = PROP_KIND_UINT, PROP_FIELD_(T, f), .def = d, .help = h }
#define PROP_UINT_R(n, T, f, d, lo, hi, h) { .name = n, .kind = PROP_KIND_UINT, PROP_FIELD_(T, f), .def = d, .min = lo, .max = hi, .help = h }
#define PROP_INT(n, T, f, d, h)         { .name = n, .kind = PROP_KIND_INT, PROP_FIELD_(T, f), .def = (uint64_t)(int64_t)(d), .help = h }
#define PROP_SIZE(n, T, f, d, h)        { .name = n, .kind = PROP_KIND_SIZE, PROP_FIELD_(T, f), .def = d, .help = h }
#define PROP_STRING(n, T, f, d, h)      { .name = n, .kind = PROP_KIND_STRING, PROP_FIELD_(T, f), .def_str = d, .help = h }
#define PROP_ENUM(n, T, f, d, c, h)     { .name = n, .kind = PROP_KIND_ENUM, PROP_FIELD_(T, f), .def = d, .choices = c, .help = h }
#define PROP_MAC(n, T, f, h)            { .name = n, .kind = PROP_KIND_MAC, PROP_FIELD_(T, f), .help = h }
#define PROP_DEVFN(n, T, f, h)          { .name = n, .kind = PROP_KIND_PCI_DEVFN, PROP_FIELD_(T, f), .def = (uint64_t)-1, .help = h }
#define PROP_DRIVE(n, T, f, h)          { .name = n, .kind = PROP_KIND_DRIVE, PROP_FIELD_(T, f), .help = h }
#define PROP_CHARDEV(n, T, f, h)        { .name = n, .kind = PROP_KIND_CHARDEV, PROP_FIELD_(T, f), .help = h }
#define PROP_NETDEV(n, T, f, h)         { .name = n, .kind = PROP_KIND_NETDEV, PROP_FIELD_(T, f), .help = h }
#define PROP_AUDIODEV(n, T, f, h)       { .name = n, .kind = PROP_KIND_AUDIODEV, PROP_FIELD_(T, f), .help = h }
#define PROP_ONOFFAUTO(n, T, f, d, h)   { .name = n, .kind = PROP_KIND_ONOFFAUTO, PROP_FIELD_(T, f), .def = d, .help = h }
#define PROP_DONE                       { .name = NULL }

/* Fill obj with the defaults of a table. */
void props_set_defaults(void *obj, const Prop *props);
/* Set one by its string.  The error names the owner ("isa-serial"), property and value, and
 * what would be right.  Unknown names suggest the nearest known one. */
bool prop_set(void *obj, const Prop *props, const char *owner, const char *name, const char *value,
              Error **err);
/* The same for a property already found. */
bool prop_set_value(void *obj, const Prop *p, const char *owner, const char *value, Error **err);
/* Sets the error for a name that is in none of n tables; returns false. */
bool prop_unknown(const Prop *const *tables, unsigned n, const char *owner, const char *name,
                  Error **err);
const Prop *prop_find(const Prop *props, const char *name);
/* "uint32", "str" ... as device-list-properties and help name it */
const char *prop_kind_name(const Prop *p);
char *prop_get_string(const void *obj, const Prop *p);      /* g_free */
void props_free(void *obj, const Prop *props);              /* strings */
/* One line each, below "OWNER options:" if owner is not NULL. */
void props_help(GString *out, const char *owner, const Prop *props);

/* Does a property of this kind point to a back-end? */
static inline bool prop_kind_is_backend(PropKind k)
{
    return k == PROP_KIND_DRIVE || k == PROP_KIND_CHARDEV || k == PROP_KIND_NETDEV
           || k == PROP_KIND_AUDIODEV;
}
/* Back-ends register how an id becomes a pointer and back, so that hw/core needs none of them.
 * A resolver that returns NULL without err gets a plain "there is no ..." for the user. */
typedef void *(*PropResolver)(const char *id, Error **err);
typedef const char *(*PropNamer)(const void *backend);
void prop_set_resolver(PropKind kind, PropResolver fn, PropNamer name);

#endif
