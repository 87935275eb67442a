/* SPDX-License-Identifier: MIT */
/*
 * JSON values: building, looking up, writing.  Reading is in util/json-read.c.
 */
#include "util/json.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <string.h>

static Json *new_value(JsonType type)
{
    Json *j = g_new0(Json, 1);
    j->type = type;
    return j;
}

Json *json_null(void)
{
    return new_value(JSON_NULL);
}

Json *json_bool(bool v)
{
    Json *j = new_value(JSON_BOOL);
    j->b = v;
    return j;
}

Json *json_int(int64_t v)
{
    Json *j = new_value(JSON_INT);
    j->i = v;
    return j;
}

Json *json_uint(uint64_t v)
{
    if (v <= INT64_MAX) {
        return json_int((int64_t)v);
    }
    Json *j = new_value(JSON_UINT);
    j->u = v;
    return j;
}

Json *json_double(double v)
{
    Json *j = new_value(JSON_DOUBLE);
    j->d = v;
    return j;
}

Json *json_str(const char *s)
{
    Json *j = new_value(JSON_STRING);
    j->s = g_utf8_make_valid(s, -1);
    return j;
}

Json *json_strf(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    char *s = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    Json *j = json_str(s);
    g_free(s);
    return j;
}

Json *json_array(void)
{
    Json *j = new_value(JSON_ARRAY);
    j->items = g_ptr_array_new_with_free_func((GDestroyNotify)json_free);
    return j;
}

Json *json_object(void)
{
    Json *j = new_value(JSON_OBJECT);
    j->items = g_ptr_array_new_with_free_func((GDestroyNotify)json_free);
    j->keys = g_ptr_array_new_with_free_func(g_free);
    return j;
}

void json_free(Json *j)
{
    if (!j) {
        return;
    }
    if (j->type == JSON_STRING) {
        g_free(j->s);
    } else if (j->type == JSON_ARRAY || j->type == JSON_OBJECT) {
        g_ptr_array_unref(j->items);
    }
    if (j->keys) {
        g_ptr_array_unref(j->keys);
    }
    g_free(j);
}

Json *json_copy(const Json *j)
{
    Json *c;
    switch (j->type) {
    case JSON_STRING:
        return json_str(j->s);
    case JSON_ARRAY:
        c = json_array();
        for (guint i = 0; i < json_len(j); i++) {
            json_append(c, json_copy(json_at(j, i)));
        }
        return c;
    case JSON_OBJECT:
        c = json_object();
        for (guint i = 0; i < json_len(j); i++) {
            g_ptr_array_add(c->keys, g_strdup(json_key_at(j, i)));
            g_ptr_array_add(c->items, json_copy(json_at(j, i)));
        }
        return c;
    default:
        return g_memdup2(j, sizeof(*j));
    }
}

/* ---- members ------------------------------------------------------------------------ */

void json_append(Json *array, Json *item)
{
    g_assert(array->type == JSON_ARRAY);
    g_ptr_array_add(array->items, item);
}

static int member_index(const Json *o, const char *key)
{
    if (!o || o->type != JSON_OBJECT) {
        return -1;
    }
    for (guint i = 0; i < o->keys->len; i++) {
        if (!strcmp(o->keys->pdata[i], key)) {
            return i;
        }
    }
    return -1;
}

void json_set(Json *o, const char *key, Json *value)
{
    g_assert(o->type == JSON_OBJECT);
    int i = member_index(o, key);
    if (i >= 0) {
        json_free(o->items->pdata[i]);
        o->items->pdata[i] = value;
    } else {
        g_ptr_array_add(o->keys, g_utf8_make_valid(key, -1));
        g_ptr_array_add(o->items, value);
    }
}

Json *json_steal(Json *o, const char *key)
{
    int i = member_index(o, key);
    if (i < 0) {
        return NULL;
    }
    g_ptr_array_remove_index(o->keys, i);
    return g_ptr_array_steal_index(o->items, i);
}

bool json_remove(Json *o, const char *key)
{
    Json *j = json_steal(o, key);
    json_free(j);
    return j != NULL;
}

Json *json_get(const Json *o, const char *key)
{
    int i = member_index(o, key);
    return i < 0 ? NULL : o->items->pdata[i];
}

/* NULL: absent (err set if it was required). */
static const Json *member(const Json *o, const char *key, JsonNeed need, Error **err)
{
    const Json *j = json_get(o, key);
    if (!j && need == JSON_REQUIRED) {
        fail(err, "Parameter '%s' is missing", key);
    }
    return j;
}

static bool wrong_type(const char *key, const char *what, Error **err)
{
    return fail(err, "Invalid parameter type for '%s', expected: %s", key, what);
}

bool json_get_str(const Json *o, const char *key, JsonNeed need, const char **out, Error **err)
{
    const Json *j = member(o, key, need, err);
    if (!j) {
        return false;
    }
    if (j->type != JSON_STRING) {
        return wrong_type(key, "string", err);
    }
    *out = j->s;
    return true;
}

bool json_get_int(const Json *o, const char *key, JsonNeed need, int64_t *out, Error **err)
{
    const Json *j = member(o, key, need, err);
    if (!j) {
        return false;
    }
    if (j->type != JSON_INT) {
        return wrong_type(key, "integer", err);
    }
    *out = j->i;
    return true;
}

bool json_get_uint(const Json *o, const char *key, JsonNeed need, uint64_t *out, Error **err)
{
    const Json *j = member(o, key, need, err);
    if (!j) {
        return false;
    }
    if (j->type != JSON_UINT && (j->type != JSON_INT || j->i < 0)) {
        return wrong_type(key, "uint64", err);
    }
    *out = j->u;        /* the same bits for a positive int */
    return true;
}

bool json_get_bool(const Json *o, const char *key, JsonNeed need, bool *out, Error **err)
{
    const Json *j = member(o, key, need, err);
    if (!j) {
        return false;
    }
    if (j->type != JSON_BOOL) {
        return wrong_type(key, "boolean", err);
    }
    *out = j->b;
    return true;
}

bool json_get_double(const Json *o, const char *key, JsonNeed need, double *out, Error **err)
{
    const Json *j = member(o, key, need, err);
    if (!j) {
        return false;
    }
    if (j->type != JSON_DOUBLE && j->type != JSON_INT && j->type != JSON_UINT) {
        return wrong_type(key, "number", err);
    }
    *out = j->type == JSON_DOUBLE ? j->d : j->type == JSON_INT ? (double)j->i : (double)j->u;
    return true;
}

static bool equal_objects(const Json *a, const Json *b)
{
    for (guint i = 0; i < json_len(a); i++) {
        const Json *other = json_get(b, json_key_at(a, i));
        if (!other || !json_equal(json_at(a, i), other)) {
            return false;
        }
    }
    return json_len(a) == json_len(b);
}

bool json_equal(const Json *a, const Json *b)
{
    if (a->type != b->type) {
        return false;
    }
    switch (a->type) {
    case JSON_NULL:   return true;
    case JSON_BOOL:   return a->b == b->b;
    case JSON_INT:    return a->i == b->i;
    case JSON_UINT:   return a->u == b->u;
    case JSON_DOUBLE: return a->d == b->d;
    case JSON_STRING: return !strcmp(a->s, b->s);
    case JSON_OBJECT: return equal_objects(a, b);
    case JSON_ARRAY:
        for (guint i = 0; i < json_len(a) && i < json_len(b); i++) {
            if (!json_equal(json_at(a, i), json_at(b, i))) {
                return false;
            }
        }
        return json_len(a) == json_len(b);
    }
    return false;
}

/* ---- writing ------------------------------------------------------------------------ */

/* Pure ASCII, so that no reader's idea of encodings matters. */
static void write_char(GString *out, gunichar c)
{
    static const char plain[] = "\"\\\b\f\n\r\t", letters[] = "\"\\bfnrt";
    const char *p = c && c < 0x80 ? strchr(plain, (int)c) : NULL;
    if (p) {
        g_string_append_c(out, '\\');
        g_string_append_c(out, letters[p - plain]);
    } else if (c >= 0x20 && c < 0x7f) {
        g_string_append_c(out, (char)c);
    } else if (c < 0x10000) {
        g_string_append_printf(out, "\\u%04X", c);
    } else {
        c -= 0x10000;
        g_string_append_printf(out, "\\u%04X\\u%04X", 0xd800 + (c >> 10), 0xdc00 + (c & 0x3ff));
    }
}

static void write_string(GString *out, const char *s)
{
    g_string_append_c(out, '"');
    for (; *s; s = g_utf8_next_char(s)) {
        write_char(out, g_utf8_get_char(s));
    }
    g_string_append_c(out, '"');
}

static void write_double(GString *out, double d)
{
    char buf[G_ASCII_DTOSTR_BUF_SIZE];
    if (!isfinite(d)) {
        g_string_append(out, "null");       /* JSON has no name for these */
        return;
    }
    g_string_append(out, g_ascii_dtostr(buf, sizeof(buf), d));
    if (!strpbrk(buf, ".eE")) {
        g_string_append(out, ".0");         /* stays a double when read back */
    }
}

static void new_line(GString *out, bool pretty, unsigned level)
{
    if (pretty) {
        g_string_append_printf(out, "\n%*s", level * 4, "");
    }
}

static void write_value(GString *out, const Json *j, bool pretty, unsigned level);

static void write_items(GString *out, const Json *j, bool pretty, unsigned level)
{
    bool object = j->type == JSON_OBJECT;
    g_string_append_c(out, object ? '{' : '[');
    for (guint i = 0; i < json_len(j); i++) {
        if (i) {
            g_string_append(out, pretty ? "," : ", ");
        }
        new_line(out, pretty, level + 1);
        if (object) {
            write_string(out, json_key_at(j, i));
            g_string_append(out, ": ");
        }
        write_value(out, json_at(j, i), pretty, level + 1);
    }
    if (json_len(j)) {
        new_line(out, pretty, level);
    }
    g_string_append_c(out, object ? '}' : ']');
}

static void write_value(GString *out, const Json *j, bool pretty, unsigned level)
{
    switch (j->type) {
    case JSON_NULL:
        g_string_append(out, "null");
        break;
    case JSON_BOOL:
        g_string_append(out, j->b ? "true" : "false");
        break;
    case JSON_INT:
        g_string_append_printf(out, "%" PRId64, j->i);
        break;
    case JSON_UINT:
        g_string_append_printf(out, "%" PRIu64, j->u);
        break;
    case JSON_DOUBLE:
        write_double(out, j->d);
        break;
    case JSON_STRING:
        write_string(out, j->s);
        break;
    case JSON_ARRAY:
    case JSON_OBJECT:
        write_items(out, j, pretty, level);
        break;
    }
}

void json_write(GString *out, const Json *j, bool pretty)
{
    write_value(out, j, pretty, 0);
}

char *json_to_string(const Json *j)
{
    GString *out = g_string_new(NULL);
    json_write(out, j, false);
    return g_string_free(out, FALSE);
}
