/* SPDX-License-Identifier: MIT */
/*
 * -object.  There are these types:
 *
 *   memory-backend-ram  guest memory of a size, for -machine memory-backend=ID
 *   secret              a password or key, from a file or the option itself, so that it need
 *                       not stand in the option that uses it
 *   filter-dump         frames of a network back-end to a file (system/obj-filter.c)
 *   throttle-group      limits that disks share (system/object-throttle.c)
 *   rng-*               random bytes for virtio-rng devices (system/object-rng.c)
 *   authz-*             who may do something (system/object-authz.c)
 *   tls-creds-*         keys and certificates for TLS (system/object-tls.c)
 */
#include "system/objects.h"

#include <string.h>

#include "util/parse.h"

/* ---- memory-backend-ram ------------------------------------------------------------------ */

static const Prop memory_props[] = {
    PROP_SIZE("size", MemoryBackend, size, 0, "bytes"),
    PROP_DONE
};

static bool memory_complete(Object *o, Error **err)
{
    return ((MemoryBackend *)o)->size || fail(err, "size= is missing");
}

static const ObjectType memory_type = {
    .name = "memory-backend-ram", .desc = "guest memory", .size = sizeof(MemoryBackend),
    .props = memory_props, .complete = memory_complete,
};
OBJECT_TYPE(memory_type);

/* ---- secret ------------------------------------------------------------------------------ */

enum { FORMAT_RAW, FORMAT_BASE64 };
static const char *const secret_formats[] = { "raw", "base64", NULL };

typedef struct Secret {
    Object object;
    char *data, *file;
    int format;
    GBytes *value;
} Secret;

static const Prop secret_props[] = {
    PROP_STRING("data", Secret, data, NULL, "the secret itself"),
    PROP_STRING("file", Secret, file, NULL, "file that holds the secret"),
    PROP_ENUM("format", Secret, format, FORMAT_RAW, secret_formats, "of data or file"),
    PROP_DONE
};

static bool secret_complete(Object *o, Error **err)
{
    Secret *s = (Secret *)o;
    char *text;
    gsize len;
    if (!s->data == !s->file) {
        return fail(err, "one of data= and file= is needed");
    }
    if (s->file && !g_file_get_contents(s->file, &text, &len, err)) {
        return false;
    }
    if (s->data) {
        text = g_strdup(s->data);
        len = strlen(text);
    }
    if (s->format == FORMAT_BASE64) {
        g_base64_decode_inplace(text, &len);
    }
    s->value = g_bytes_new_take(text, len);
    return true;
}

static void secret_finish(Object *o)
{
    g_clear_pointer(&((Secret *)o)->value, g_bytes_unref);
}

static const ObjectType secret_type = {
    .name = "secret", .desc = "a password or key", .size = sizeof(Secret),
    .props = secret_props, .complete = secret_complete, .finish = secret_finish,
};
OBJECT_TYPE(secret_type);

char *secret_find(const char *id, Error **err)
{
    Object *o = object_find(id);
    if (!o || o->type != &secret_type) {
        fail(err, "No secret with id '%s'", id);
        return NULL;
    }
    gsize len;
    const char *data = g_bytes_get_data(((Secret *)o)->value, &len);
    return g_strndup(data, len);
}

/* ---- all of them ------------------------------------------------------------------------- */

static GPtrArray *objects;              /* of Object* */

/* The types; the linker defines the bounds. */
extern const ObjectType *const __start_orrery_objects[] __attribute__((weak));
extern const ObjectType *const __stop_orrery_objects[] __attribute__((weak));

/* Of all types, for messages. */
static char *type_names(void)
{
    GString *s = g_string_new(NULL);
    for (const ObjectType *const *t = __start_orrery_objects; t < __stop_orrery_objects; t++) {
        g_string_append_printf(s, "%s%s", s->len ? ", " : "", (*t)->name);
    }
    return g_string_free(s, false);
}

static const ObjectType *find_type(const char *name)
{
    const ObjectType *const *t;
    for (t = __start_orrery_objects; t < __stop_orrery_objects; t++) {
        if (!strcmp((*t)->name, name)) {
            return *t;
        }
    }
    return NULL;
}

static void object_free(Object *o)
{
    if (o->type->finish) {
        o->type->finish(o);
    }
    props_free(o, o->type->props);
    g_free(o->id);
    g_free(o);
}

typedef struct Setter {
    Object *o;
    Error *err;
} Setter;

static void set_one(const char *name, const char *value, void *opaque)
{
    Setter *s = opaque;
    const ObjectType *t = s->o->type;
    if (s->err || !strcmp(name, "qom-type") || !strcmp(name, "id")) {
        return;
    }
    if (t->set && !prop_find(t->props, name)) {
        t->set(s->o, name, value, &s->err);
    } else {
        prop_set(s->o, t->props, t->name, name, value, &s->err);
    }
}

bool object_is_late(Opts *opts)
{
    const char *name = opts_get(opts, "qom-type");
    const ObjectType *t = name ? find_type(name) : NULL;
    return t && t->late;
}

bool object_add(Opts *opts, Error **err)
{
    const char *type_name = opts_get(opts, "qom-type"), *id = opts_get(opts, "id");
    const ObjectType *t = type_name ? find_type(type_name) : NULL;
    if (!type_name) {
        return fail(err, "Parameter 'qom-type' is missing");
    }
    if (!t) {
        g_autofree char *known = type_names();
        return fail(err, "invalid object type: %s (there are %s)", type_name, known);
    }
    if (!id || !*id) {
        return fail(err, "Parameter 'id' is missing");
    }
    if (object_find(id)) {
        return fail(err, "attempt to add duplicate property '%s' to object (type 'container')", id);
    }
    Setter s = { g_malloc0(t->size), NULL };
    s.o->type = t;
    props_set_defaults(s.o, t->props);
    if (t->begin) {
        t->begin(s.o);
    }
    opts_foreach(opts, set_one, &s);
    s.o->id = g_strdup(id);
    if (!s.err && t->complete) {
        t->complete(s.o, &s.err);
    }
    if (s.err) {
        g_propagate_error(err, s.err);
        object_free(s.o);
        return false;
    }
    if (!objects) {
        objects = g_ptr_array_new();
    }
    g_ptr_array_add(objects, s.o);
    return true;
}

Object *object_find(const char *id)
{
    for (guint i = 0; objects && i < objects->len; i++) {
        Object *o = objects->pdata[i];
        if (!strcmp(o->id, id)) {
            return o;
        }
    }
    return NULL;
}

bool object_del(const char *id, Error **err)
{
    Object *o = object_find(id);
    if (!o) {
        return fail(err, "object '%s' not found", id);
    }
    if (o->in_use) {
        return fail(err, "object '%s' is in use, can not be deleted", id);
    }
    g_ptr_array_remove(objects, o);
    object_free(o);
    return true;
}

void object_foreach(void (*fn)(Object *o, void *opaque), void *opaque)
{
    for (guint i = 0; objects && i < objects->len; i++) {
        fn(objects->pdata[i], opaque);
    }
}

void object_type_foreach(void (*fn)(const ObjectType *t, void *opaque), void *opaque)
{
    const ObjectType *const *t;
    for (t = __start_orrery_objects; t < __stop_orrery_objects; t++) {
        fn(*t, opaque);
    }
}

void object_help(GString *s)
{
    g_string_append(s, "Object types:\n");
    for (const ObjectType *const *t = __start_orrery_objects; t < __stop_orrery_objects; t++) {
        g_string_append_printf(s, "%-20s %s\n", (*t)->name, (*t)->desc);
    }
}

MemoryBackend *memory_backend_find(const char *id, Error **err)
{
    Object *o = object_find(id);
    if (!o || o->type != &memory_type) {
        fail(err, "there is no memory-backend object '%s'", id);
        return NULL;
    }
    return (MemoryBackend *)o;
}
