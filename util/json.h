/* SPDX-License-Identifier: MIT */
/*
 * JSON values, for QMP and for options in JSON form.  Objects keep the order of their keys
 * (a repeated key replaces the first).  Numbers without fraction or exponent that fit stay
 * int64 or uint64; others are doubles.  Strings are UTF-8.
 *
 * A value has one owner: adding it to an array or object gives it away; json_free frees all.
 */
#ifndef UTIL_JSON_H
#define UTIL_JSON_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include "util/error.h"

typedef enum { JSON_NULL, JSON_BOOL, JSON_INT, JSON_UINT, JSON_DOUBLE, JSON_STRING, JSON_ARRAY,
               JSON_OBJECT } JsonType;

typedef struct Json {
    JsonType type;
    union {
        bool b;
        int64_t i;
        uint64_t u;                     /* JSON_UINT: values above INT64_MAX only */
        double d;
        char *s;
        GPtrArray *items;               /* ARRAY: of Json*;  OBJECT: values, beside keys */
    };
    GPtrArray *keys;                    /* OBJECT: of char* */
} Json;

Json *json_null(void);
Json *json_bool(bool v);
Json *json_int(int64_t v);
Json *json_uint(uint64_t v);
Json *json_double(double v);
Json *json_str(const char *s);          /* invalid UTF-8 is replaced by U+FFFD */
Json *json_strf(const char *fmt, ...) G_GNUC_PRINTF(1, 2);
Json *json_array(void);
Json *json_object(void);
void json_free(Json *j);                /* NULL is fine */
Json *json_copy(const Json *j);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Json, json_free)

void json_append(Json *array, Json *item);
void json_set(Json *object, const char *key, Json *value);     /* replaces */
static inline void json_set_str(Json *o, const char *key, const char *s) { json_set(o, key, json_str(s)); }
static inline void json_set_int(Json *o, const char *key, int64_t v) { json_set(o, key, json_int(v)); }
static inline void json_set_uint(Json *o, const char *key, uint64_t v) { json_set(o, key, json_uint(v)); }
static inline void json_set_bool(Json *o, const char *key, bool v) { json_set(o, key, json_bool(v)); }
bool json_remove(Json *object, const char *key);
/* Takes a value out of an object without freeing it; NULL if absent. */
Json *json_steal(Json *object, const char *key);

/* Borrowed; NULL if absent (or not an object). */
Json *json_get(const Json *object, const char *key);
static inline guint json_len(const Json *j)             /* of an array or object */
{
    return j->items->len;
}
static inline Json *json_at(const Json *array, guint n)
{
    return (Json *)g_ptr_array_index(array->items, n);
}
static inline const char *json_key_at(const Json *object, guint n)
{
    return (const char *)g_ptr_array_index(object->keys, n);
}

/* Typed reads of an object's member: true and *out if there with the right type and range;
 * false with err set if it is there but wrong, or absent and required; false without err if
 * absent and optional (*out untouched). */
typedef enum { JSON_OPTIONAL, JSON_REQUIRED } JsonNeed;
bool json_get_str(const Json *o, const char *key, JsonNeed need, const char **out, Error **err);
bool json_get_int(const Json *o, const char *key, JsonNeed need, int64_t *out, Error **err);
bool json_get_uint(const Json *o, const char *key, JsonNeed need, uint64_t *out, Error **err);
bool json_get_bool(const Json *o, const char *key, JsonNeed need, bool *out, Error **err);
bool json_get_double(const Json *o, const char *key, JsonNeed need, double *out, Error **err);

bool json_equal(const Json *a, const Json *b);

/* One value and nothing behind it but white space. */
Json *json_parse(const char *text, Error **err);
Json *json_parse_len(const char *text, size_t len, Error **err);
/* Compact, on one line: {"return": {}} with QEMU's spacing; pretty: indented by 4. */
void json_write(GString *out, const Json *j, bool pretty);
char *json_to_string(const Json *j);                     /* g_free */

/*
 * Splits a byte stream into JSON values that follow each other.  After a syntax error the
 * stream goes on at the next line or at a 0xFF byte (which resets, as QEMU's agents use).
 * Bounds: 64 MiB a value, 1024 levels, 2 million tokens: an offender gets the error.
 */
typedef struct JsonStream JsonStream;
/* Exactly one of value (given away) and err (borrowed) is not NULL. */
typedef void JsonStreamFn(void *opaque, Json *value, const Error *err);
JsonStream *json_stream_new(JsonStreamFn *fn, void *opaque);
void json_stream_feed(JsonStream *s, const char *data, size_t len);
void json_stream_free(JsonStream *s);

#endif
