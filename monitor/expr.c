/* SPDX-License-Identifier: MIT */
/*
 * A recursive-descent evaluator; nesting is bounded because input may be hostile.
 */
#include "monitor/expr.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

#define MAX_DEPTH 100

typedef struct Parser {
    Monitor *mon;
    const char *p;
    int depth;
    Error *err;
} Parser;

static uint64_t parse_or(Parser *s);

static void skip_space(Parser *s)
{
    while (g_ascii_isspace(*s->p)) {
        s->p++;
    }
}

static uint64_t bad(Parser *s, const char *what)
{
    if (!s->err) {
        fail(&s->err, "%s", what);
    }
    return 0;
}

static uint64_t parse_number(Parser *s)
{
    char *end;
    errno = 0;
    uint64_t v = g_ascii_strtoull(s->p, &end, 0);
    if (end == s->p) {
        return bad(s, "invalid char in expression");
    }
    if (errno) {
        return bad(s, "number too large");
    }
    s->p = end;
    return v;
}

static uint64_t parse_char(Parser *s)
{
    uint64_t v = (unsigned char)s->p[1];
    if (!v || s->p[2] != '\'') {
        return bad(s, "missing terminating ' character");
    }
    s->p += 3;
    return v;
}

static uint64_t parse_register(Parser *s)
{
    char name[32];
    size_t n = 0;
    s->p++;
    while ((g_ascii_isalnum(*s->p) || strchr("_.", *s->p)) && *s->p && n < sizeof(name) - 1) {
        name[n++] = *s->p++;
    }
    name[n] = 0;
    uint64_t v = 0;
    CPU *c = monitor_cpu(s->mon);
    if (!c) {
        return bad(s, "No CPU available");
    }
    return x86_register(c, name, &v) ? v : bad(s, "unknown register");
}

static uint64_t parse_unary(Parser *s)
{
    uint64_t v;
    skip_space(s);
    if (++s->depth > MAX_DEPTH) {
        s->depth--;
        return bad(s, "expression nested too deeply");
    }
    switch (*s->p) {
    case '+':
        s->p++;
        v = parse_unary(s);
        break;
    case '-':
        s->p++;
        v = -parse_unary(s);
        break;
    case '~':
        s->p++;
        v = ~parse_unary(s);
        break;
    case '(':
        s->p++;
        v = parse_or(s);
        if (!s->err && *s->p != ')') {
            v = bad(s, "')' expected");
        } else if (!s->err) {
            s->p++;
        }
        break;
    case '\'':
        v = parse_char(s);
        break;
    case '$':
        v = parse_register(s);
        break;
    case 0:
        v = bad(s, "unexpected end of expression");
        break;
    default:
        v = parse_number(s);
        break;
    }
    s->depth--;
    skip_space(s);
    return v;
}

static uint64_t parse_product(Parser *s)
{
    uint64_t v = parse_unary(s);
    while (!s->err && *s->p && strchr("*/%", *s->p)) {
        char op = *s->p++;
        int64_t r = parse_unary(s);
        if (op == '*') {
            v *= r;
        } else if (!s->err && !r) {
            return bad(s, "division by zero");
        } else if (!s->err) {
            /* -1 apart: INT64_MIN / -1 traps on some hosts */
            int64_t l = v;
            v = r == -1 ? (op == '/' ? -(uint64_t)l : 0) : (uint64_t)(op == '/' ? l / r : l % r);
        }
    }
    return v;
}

static uint64_t parse_sum(Parser *s)
{
    uint64_t v = parse_product(s);
    while (!s->err && (*s->p == '+' || *s->p == '-')) {
        char op = *s->p++;
        uint64_t r = parse_product(s);
        v = op == '+' ? v + r : v - r;
    }
    return v;
}

static uint64_t parse_shift(Parser *s)
{
    uint64_t v = parse_sum(s);
    while (!s->err && (!strncmp(s->p, "<<", 2) || !strncmp(s->p, ">>", 2))) {
        bool up = *s->p == '<';
        s->p += 2;
        uint64_t r = parse_sum(s);
        v = r > 63 ? 0 : up ? v << r : v >> r;
    }
    return v;
}

static uint64_t parse_and(Parser *s)
{
    uint64_t v = parse_shift(s);
    while (!s->err && *s->p == '&') {
        s->p++;
        v &= parse_shift(s);
    }
    return v;
}

static uint64_t parse_or(Parser *s)
{
    uint64_t v = parse_and(s);
    while (!s->err && (*s->p == '|' || *s->p == '^')) {
        char op = *s->p++;
        uint64_t r = parse_and(s);
        v = op == '|' ? v | r : v ^ r;
    }
    return v;
}

bool expr_parse(Monitor *m, const char **text, int64_t *out, Error **err)
{
    Parser s = { .mon = m, .p = *text };
    *out = parse_or(&s);
    *text = s.p;
    if (s.err) {
        g_propagate_error(err, s.err);
        return false;
    }
    return true;
}
