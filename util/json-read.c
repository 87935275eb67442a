/* SPDX-License-Identifier: MIT */
/*
 * Reading JSON (RFC 8259).  Two departures, both because QMP clients rely on them: strings may
 * be in single quotes, and a stream of values needs no separators.  Input is hostile: depth and
 * number of values are bounded, text must be UTF-8 without NULs.
 */
#include "util/json.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MAX_DEPTH 1024
#define MAX_VALUES 2000000
#define MAX_BYTES (64u << 20)

typedef struct Parser {
    const char *start, *p, *end;
    unsigned depth, values;
    Error **err;
} Parser;

static Json *read_value(Parser *ps);

static Json *syntax(Parser *ps, const char *what)
{
    fail(ps->err, "JSON parse error at byte %zu: %s", (size_t)(ps->p - ps->start), what);
    return NULL;
}

static void skip_space(Parser *ps)
{
    while (ps->p < ps->end && memchr(" \t\r\n", *ps->p, 4)) {
        ps->p++;
    }
}

static bool take(Parser *ps, char c)
{
    skip_space(ps);
    if (ps->p < ps->end && *ps->p == c) {
        ps->p++;
        return true;
    }
    return false;
}

/* ---- strings ------------------------------------------------------------------------ */

static bool read_hex4(Parser *ps, gunichar *out)
{
    *out = 0;
    if (ps->end - ps->p < 4) {
        return false;
    }
    for (int i = 0; i < 4; i++) {
        int digit = g_ascii_xdigit_value(*ps->p++);
        if (digit < 0) {
            return false;
        }
        *out = *out << 4 | digit;
    }
    return true;
}

/* After "\u": one code point, from a pair of surrogates if need be. */
static bool read_unicode(Parser *ps, GString *s)
{
    gunichar c, low;
    if (!read_hex4(ps, &c)) {
        return false;
    }
    if (c >= 0xd800 && c < 0xdc00) {
        if (ps->end - ps->p < 6 || ps->p[0] != '\\' || ps->p[1] != 'u') {
            return false;
        }
        ps->p += 2;
        if (!read_hex4(ps, &low) || low < 0xdc00 || low > 0xdfff) {
            return false;
        }
        c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
    } else if (c >= 0xdc00 && c <= 0xdfff) {
        return false;
    }
    if (!c) {
        return false;
    }
    g_string_append_unichar(s, c);
    return true;
}

static bool read_escape(Parser *ps, GString *s)
{
    static const char letters[] = "\"\\/'bfnrt", chars[] = "\"\\/'\b\f\n\r\t";
    if (ps->p == ps->end) {
        return false;
    }
    char c = *ps->p++;
    if (c == 'u') {
        return read_unicode(ps, s);
    }
    const char *at = c ? strchr(letters, c) : NULL;
    if (at) {
        g_string_append_c(s, chars[at - letters]);
    }
    return at != NULL;
}

/* ps->p stands behind the opening quote.  NULL: error set. */
static char *read_string(Parser *ps, char quote)
{
    GString *s = g_string_new(NULL);
    const char *what = "string without end";
    while (ps->p < ps->end) {
        char c = *ps->p++;
        if (c == quote) {
            if (g_utf8_validate(s->str, s->len, NULL)) {
                return g_string_free(s, FALSE);
            }
            what = "invalid UTF-8 sequence in string";
            break;
        }
        if ((unsigned char)c < 0x20) {
            what = "control character in string";
            break;
        }
        if (c != '\\') {
            g_string_append_c(s, c);
        } else if (!read_escape(ps, s)) {
            what = "invalid escape sequence in string";
            break;
        }
    }
    syntax(ps, what);
    g_string_free(s, TRUE);
    return NULL;
}

/* ---- the other kinds ---------------------------------------------------------------- */

static const char *skip_digits(const char *p, const char *end)
{
    while (p < end && g_ascii_isdigit(*p)) {
        p++;
    }
    return p;
}

/* The end of a number by the grammar, NULL if there is none. */
static const char *number_end(const char *p, const char *end, bool *integer)
{
    *integer = true;
    p += p < end && *p == '-';
    const char *digits = p;
    p = skip_digits(p, end);
    if (p == digits || (*digits == '0' && p > digits + 1)) {
        return NULL;
    }
    if (p < end && *p == '.') {
        *integer = false;
        digits = ++p;
        p = skip_digits(p, end);
        if (p == digits) {
            return NULL;
        }
    }
    if (p < end && (*p == 'e' || *p == 'E')) {
        *integer = false;
        p++;
        p += p < end && (*p == '+' || *p == '-');
        digits = p;
        p = skip_digits(p, end);
        if (p == digits) {
            return NULL;
        }
    }
    return p;
}

static Json *read_number(Parser *ps)
{
    bool integer;
    const char *end = number_end(ps->p, ps->end, &integer);
    if (!end) {
        return syntax(ps, "invalid number");
    }
    char *text = g_strndup(ps->p, end - ps->p);
    Json *j = NULL;
    errno = 0;
    if (integer && *text == '-') {
        int64_t v = g_ascii_strtoll(text, NULL, 10);
        j = errno ? NULL : json_int(v);
    } else if (integer) {
        uint64_t v = g_ascii_strtoull(text, NULL, 10);
        j = errno ? NULL : json_uint(v);
    }
    if (!j) {
        j = json_double(g_ascii_strtod(text, NULL));
    }
    g_free(text);
    ps->p = end;
    return j;
}

static Json *read_word(Parser *ps)
{
    static const char *const words[] = { "true", "false", "null" };
    for (int i = 0; i < 3; i++) {
        size_t n = strlen(words[i]);
        if ((size_t)(ps->end - ps->p) >= n && !memcmp(ps->p, words[i], n)) {
            ps->p += n;
            return i == 2 ? json_null() : json_bool(i == 0);
        }
    }
    return syntax(ps, "invalid keyword");
}

static Json *read_array(Parser *ps)
{
    g_autoptr(Json) a = json_array();
    if (take(ps, ']')) {
        return g_steal_pointer(&a);
    }
    do {
        Json *item = read_value(ps);
        if (!item) {
            return NULL;
        }
        json_append(a, item);
    } while (take(ps, ','));
    return take(ps, ']') ? g_steal_pointer(&a) : syntax(ps, "expected ',' or ']'");
}

static char *read_key(Parser *ps)
{
    if (take(ps, '"')) {
        return read_string(ps, '"');
    }
    if (take(ps, '\'')) {
        return read_string(ps, '\'');
    }
    syntax(ps, "expected a key");
    return NULL;
}

static Json *read_object(Parser *ps)
{
    g_autoptr(Json) o = json_object();
    if (take(ps, '}')) {
        return g_steal_pointer(&o);
    }
    /* a hash beside the list: thousands of keys must not cost their square */
    g_autoptr(GHashTable) index = g_hash_table_new(g_str_hash, g_str_equal);
    do {
        g_autofree char *key = read_key(ps);
        if (!key) {
            return NULL;
        }
        if (!take(ps, ':')) {
            return syntax(ps, "expected ':'");
        }
        Json *value = read_value(ps);
        if (!value) {
            return NULL;
        }
        if (g_hash_table_contains(index, key)) {
            json_set(o, key, value);
        } else {
            g_ptr_array_add(o->items, value);
            g_ptr_array_add(o->keys, key);
            g_hash_table_add(index, g_steal_pointer(&key));
        }
    } while (take(ps, ','));
    return take(ps, '}') ? g_steal_pointer(&o) : syntax(ps, "expected ',' or '}'");
}

static Json *read_nested(Parser *ps, Json *(*read)(Parser *))
{
    if (++ps->depth > MAX_DEPTH) {
        return syntax(ps, "nested too deep");
    }
    Json *j = read(ps);
    ps->depth--;
    return j;
}

static Json *read_value(Parser *ps)
{
    skip_space(ps);
    if (ps->p == ps->end) {
        return syntax(ps, "the text ends too early");
    }
    if (++ps->values > MAX_VALUES) {
        return syntax(ps, "too many values");
    }
    char c = *ps->p;
    if (c == '{') {
        ps->p++;
        return read_nested(ps, read_object);
    }
    if (c == '[') {
        ps->p++;
        return read_nested(ps, read_array);
    }
    if (c == '"' || c == '\'') {
        ps->p++;
        g_autofree char *s = read_string(ps, c);
        return s ? json_str(s) : NULL;
    }
    return c == '-' || g_ascii_isdigit(c) ? read_number(ps) : read_word(ps);
}

Json *json_parse_len(const char *text, size_t len, Error **err)
{
    Parser ps = { .start = text, .p = text, .end = text + len, .err = err };
    Json *j = read_value(&ps);
    if (j) {
        skip_space(&ps);
        if (ps.p != ps.end) {
            json_free(j);
            return syntax(&ps, "more text behind the value");
        }
    }
    return j;
}

Json *json_parse(const char *text, Error **err)
{
    return json_parse_len(text, strlen(text), err);
}

/* ---- streams ------------------------------------------------------------------------ */

/* Only as much of the syntax as tells where a value ends; the parser above does the rest. */
struct JsonStream {
    JsonStreamFn *fn;
    void *opaque;
    GString *buf;                       /* the value so far */
    GByteArray *open;                   /* closing brackets still to come, innermost last */
    char quote;                         /* inside a string that ends with this; 0: outside */
    bool escaped;                       /* the last byte was a backslash in a string */
    bool skipping;                      /* to the end of the line, after an error */
};

JsonStream *json_stream_new(JsonStreamFn *fn, void *opaque)
{
    JsonStream *s = g_new0(JsonStream, 1);
    s->fn = fn;
    s->opaque = opaque;
    s->buf = g_string_new(NULL);
    s->open = g_byte_array_new();
    return s;
}

void json_stream_free(JsonStream *s)
{
    if (s) {
        g_string_free(s->buf, TRUE);
        g_byte_array_unref(s->open);
        g_free(s);
    }
}

static void reset_stream(JsonStream *s)
{
    g_string_truncate(s->buf, 0);
    g_byte_array_set_size(s->open, 0);
    s->quote = 0;
    s->escaped = false;
}

static void emit(JsonStream *s)
{
    Error *err = NULL;
    Json *j = json_parse_len(s->buf->str, s->buf->len, &err);
    reset_stream(s);
    s->fn(s->opaque, j, err);
    g_clear_error(&err);
}

static void reject(JsonStream *s, const char *why)
{
    Error *err = NULL;
    fail(&err, "JSON parse error, %s", why);
    reset_stream(s);
    s->skipping = true;
    s->fn(s->opaque, NULL, err);
    g_clear_error(&err);
}

static void feed_in_string(JsonStream *s, char c)
{
    if ((unsigned char)c < 0x20) {
        /* a string that was not closed on its line: the next line begins anew */
        reject(s, "control character in string");
        s->skipping = c != '\n';
        return;
    }
    g_string_append_c(s->buf, c);
    if (s->escaped) {
        s->escaped = false;
    } else if (c == '\\') {
        s->escaped = true;
    } else if (c == s->quote) {
        s->quote = 0;
        if (!s->open->len) {
            emit(s);
        }
    }
}

static void feed_bracket(JsonStream *s, char c)
{
    guint8 closing = c == '{' ? '}' : ']';
    if (c == '{' || c == '[') {
        if (s->open->len >= MAX_DEPTH) {
            reject(s, "nested too deep");
            return;
        }
        g_byte_array_append(s->open, &closing, 1);
        g_string_append_c(s->buf, c);
        return;
    }
    if (!s->open->len || s->open->data[s->open->len - 1] != (guint8)c) {
        reject(s, "bracket without its partner");
        return;
    }
    g_string_append_c(s->buf, c);
    g_byte_array_set_size(s->open, s->open->len - 1);
    if (!s->open->len) {
        emit(s);
    }
}

static void feed_outside(JsonStream *s, char c)
{
    bool space = memchr(" \t\r\n", c, 4), bracket = memchr("{}[]", c, 4);
    bool quote = c == '"' || c == '\'';
    /* a number or word outside all brackets ends where something else begins */
    if (!s->open->len && s->buf->len && (space || bracket || quote)) {
        emit(s);
    }
    if (bracket) {
        feed_bracket(s, c);
    } else if (!space || s->open->len) {
        s->quote = quote ? c : 0;
        g_string_append_c(s->buf, c);
    }
}

void json_stream_feed(JsonStream *s, const char *data, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        char c = data[i];
        if (c == '\xff' || (s->skipping && c == '\n')) {
            reset_stream(s);
            s->skipping = false;
        } else if (s->skipping) {
            continue;
        } else if (s->buf->len >= MAX_BYTES) {
            reject(s, "value too long");
        } else if (s->quote) {
            feed_in_string(s, c);
        } else {
            feed_outside(s, c);
        }
    }
}
