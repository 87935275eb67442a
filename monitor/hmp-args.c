/* SPDX-License-Identifier: MIT */
/*
 * Arguments of human commands: words, quoted or not, numbers as expressions, flags, formats.
 */
#include "monitor/hmp-args.h"

#include <string.h>

#include "monitor/expr.h"
#include "util/parse.h"

typedef struct Spec {
    char *name;
    char type;                  /* '-' for a flag, whose letter is flag */
    char flag;
    bool valued;                /* a word follows the flag ("-fs") */
    bool optional;
} Spec;

static const char *skip_space(const char *p)
{
    while (g_ascii_isspace(*p)) {
        p++;
    }
    return p;
}

/* "name:type?"; next is moved behind it. */
static bool next_spec(const char **next, Spec *out)
{
    const char *p = *next, *colon = p ? strchr(p, ':') : NULL;
    if (!colon) {
        return false;
    }
    out->name = g_strndup(p, colon - p);
    out->type = colon[1];
    out->flag = colon[1] == '-' ? colon[2] : 0;
    out->valued = out->flag && colon[3] == 's';
    p = strchr(colon, ',');
    size_t len = p ? (size_t)(p - colon) : strlen(colon);
    out->optional = out->type == '-' || colon[len - 1] == '?';
    *next = p ? p + 1 : NULL;
    return true;
}

char hmp_arg_type(const HmpCommand *c, unsigned n)
{
    const char *next = c->args;
    Spec s;
    while (next_spec(&next, &s)) {
        g_free(s.name);
        if (s.type != '-' && n-- == 0) {
            return s.type;
        }
    }
    return 0;
}

/* A word, or "quoted text" with backslash escapes. */
static char *parse_word(const char **text, Error **err)
{
    const char *p = *text;
    GString *word = g_string_new(NULL);
    if (*p != '"') {
        while (*p && !g_ascii_isspace(*p)) {
            g_string_append_c(word, *p++);
        }
        *text = p;
        return g_string_free(word, FALSE);
    }
    for (p++; *p && *p != '"'; p++) {
        if (*p == '\\' && p[1]) {
            p++;
            g_string_append_c(word, *p == 'n' ? '\n' : *p == 'r' ? '\r' : *p);
        } else {
            g_string_append_c(word, *p);
        }
    }
    if (!*p) {
        fail(err, "unterminated string");
        g_string_free(word, TRUE);
        return NULL;
    }
    *text = p + 1;
    return g_string_free(word, FALSE);
}

/* "/10xb": count, format letter, size letter */
static bool parse_format(const char **text, Json *args, Error **err)
{
    int64_t count = 1;
    char format = 0;
    int size = 0;
    const char *p = *text;
    if (*p == '/') {
        p++;
        if (g_ascii_isdigit(*p)) {
            char *end;
            count = MIN(g_ascii_strtoull(p, &end, 10), G_MAXINT);
            p = end;
        }
        for (; *p && !g_ascii_isspace(*p); p++) {
            switch (*p) {
            case 'o': case 'd': case 'u': case 'x': case 'i': case 'c':
                format = *p;
                break;
            case 'b':
                size = 1;
                break;
            case 'h':
                size = 2;
                break;
            case 'w':
                size = 4;
                break;
            case 'g': case 'L':
                size = 8;
                break;
            default:
                return fail(err, "invalid char in format: '%c'", *p);
            }
        }
        *text = p;
    }
    json_set_int(args, "count", count);
    json_set_int(args, "format", format);
    json_set_int(args, "size", size);
    return true;
}

static bool parse_number(Monitor *m, const char **text, const Spec *s, Json *args, Error **err)
{
    int64_t v;
    if (!expr_parse(m, text, &v, err)) {
        return false;
    }
    if (s->type == 'i' && (v < G_MININT32 || v > G_MAXUINT32)) {
        return fail(err, "integer is for 32-bit values");
    }
    json_set_int(args, s->name, v);
    return true;
}

static bool parse_typed_word(const char **text, const Spec *s, Json *args, Error **err)
{
    g_autofree char *word = parse_word(text, err);
    uint64_t size;
    bool on;
    if (!word) {
        return false;
    }
    if (s->type == 'b') {
        if (!parse_bool(word, &on)) {
            return fail(err, "Expected 'on' or 'off'");
        }
        json_set_bool(args, s->name, on);
    } else if (s->type == 'n') {
        int64_t n;
        if (!parse_int(word, &n)) {
            return fail(err, "'%s' is not a number", word);
        }
        json_set_int(args, s->name, n);
    } else if (s->type == 'o') {
        if (!parse_size(word, 1 << 20, &size) || size > INT64_MAX) {
            return fail(err, "invalid size '%s'", word);
        }
        json_set_int(args, s->name, size);
    } else {
        json_set_str(args, s->name, word);
    }
    return true;
}

/* Flags may be missing; anything else that begins with a dash is an argument of its own. */
static bool parse_flag(const char **text, const Spec *s, Json *args, Error **err)
{
    const char *p = *text;
    if (p[0] != '-' || p[1] != s->flag || (p[2] && !g_ascii_isspace(p[2]))) {
        return true;
    }
    *text = skip_space(p + 2);
    if (!s->valued) {
        json_set_bool(args, s->name, true);
        return true;
    }
    if (!**text) {
        return fail(err, "-%c: %s: missing", s->flag, s->name);
    }
    g_autofree char *word = parse_word(text, err);
    if (word) {
        json_set_str(args, s->name, word);
    }
    return word != NULL;
}

static bool parse_one(Monitor *m, const char **text, const Spec *s, Json *args, Error **err)
{
    if (s->type == '-') {
        return parse_flag(text, s, args, err);
    }
    if (s->type == '/') {
        return parse_format(text, args, err);
    }
    if (!**text) {
        return s->optional || fail(err, "%s: missing", s->name);
    }
    if (s->type == 'S' || s->type == 'C' || s->type == 'T') {
        json_set_str(args, s->name, *text);
        *text += strlen(*text);
        return true;
    }
    return s->type == 'i' || s->type == 'l' ? parse_number(m, text, s, args, err)
                                            : parse_typed_word(text, s, args, err);
}

Json *hmp_parse_args(Monitor *m, const HmpCommand *c, const char *text, Error **err)
{
    Json *args = json_object();
    const char *next = c->args;
    bool ok = true;
    Spec s;
    while (ok && next_spec(&next, &s)) {
        /* the format stands directly behind the command: x/8i */
        text = skip_space(text);
        ok = parse_one(m, &text, &s, args, err);
        g_free(s.name);
    }
    if (ok && *skip_space(text)) {
        ok = fail(err, "extraneous characters at the end of line: '%s'", skip_space(text));
    }
    if (!ok) {
        json_free(args);
        return NULL;
    }
    return args;
}
