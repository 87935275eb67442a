/* SPDX-License-Identifier: MIT */
/*
 * Objects of -object and object-add: things with a type and an id that other options refer to.
 */
#ifndef SYSTEM_OBJECTS_H
#define SYSTEM_OBJECTS_H

#include <glib.h>
#include "util/opts.h"
#include "util/prop.h"

struct Object;

typedef struct ObjectType {
    const char *name, *desc;
    size_t size;                        /* of the struct that starts with Object */
    const Prop *props;
    void (*begin)(struct Object *o);    /* before the first property; may be NULL */
    /* Properties that props does not name; NULL: there are none. */
    bool (*set)(struct Object *o, const char *name, const char *value, Error **err);
    bool (*complete)(struct Object *o, Error **err);    /* all properties are set; may be NULL */
    void (*finish)(struct Object *o);   /* before it is freed; may be NULL */
    const char *const *live;            /* properties qom-set may change, NULL at the end; or NULL */
    void (*changed)(struct Object *o);  /* it changed one of them */
    bool late;                          /* refers to back-ends: made behind them */
} ObjectType;

typedef struct Object {
    const ObjectType *type;
    char *id;
    bool in_use;                        /* something refers to it: object-del is refused */
} Object;

typedef struct MemoryBackend {
    Object object;
    uint64_t size;
} MemoryBackend;

/* The type refers to back-ends, which must exist before the object does. */
bool object_is_late(Opts *opts);

/* Registers a type. */
#define OBJECT_TYPE(var)                                                        \
    static const ObjectType *const var##_object_entry                           \
    __attribute__((used, section("orrery_objects"))) = &var

/* Options are qom-type (or the first word), id and the type's properties; opts is borrowed. */
bool object_add(Opts *opts, Error **err);
bool object_del(const char *id, Error **err);
Object *object_find(const char *id);
void object_foreach(void (*fn)(Object *o, void *opaque), void *opaque);
/* A line for each type (-object help). */
void object_help(GString *s);
void object_type_foreach(void (*fn)(const ObjectType *t, void *opaque), void *opaque);
/* Text of a secret, g_free; NULL and err if there is none. */
char *secret_find(const char *id, Error **err);
/* The guest's memory as an object says; NULL and err if id is no memory backend. */
MemoryBackend *memory_backend_find(const char *id, Error **err);

#endif
