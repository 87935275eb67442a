/* SPDX-License-Identifier: MIT */
/*
 * Values in option strings: switches, numbers, sizes, MAC addresses; and the nearest known
 * name to a mistyped one.
 */
#include "util/parse.h"

#include <errno.h>
#include <glib.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

bool id_well_formed(const char *id)
{
    if (!g_ascii_isalpha(*id)) {
        return false;
    }
    for (; *id; id++) {
        if (!g_ascii_isalnum(*id) && !strchr("-._", *id)) {
            return false;
        }
    }
    return true;
}

bool parse_bool(const char *text, bool *out)
{
    static const char *const on[] = { "on", "yes", "true", "y" };
    static const char *const off[] = { "off", "no", "false", "n" };
    for (size_t i = 0; i < G_N_ELEMENTS(on); i++) {
        if (!strcmp(text, on[i])) {
            *out = true;
            return true;
        }
        if (!strcmp(text, off[i])) {
            *out = false;
            return true;
        }
    }
    return false;
}

bool parse_uint(const char *text, uint64_t *out)
{
    /* strtoull takes blanks, a sign and octal: none of these is meant here */
    if (!g_ascii_isdigit(text[0])) {
        return false;
    }
    bool hex = text[0] == '0' && (text[1] == 'x' || text[1] == 'X');
    if (hex && !g_ascii_isxdigit(text[2])) {
        return false;
    }
    char *end;
    errno = 0;
    uint64_t v = strtoull(text, &end, hex ? 16 : 10);
    if (errno || *end) {
        return false;
    }
    *out = v;
    return true;
}

bool parse_int(const char *text, int64_t *out)
{
    uint64_t v;
    bool negative = text[0] == '-';
    if (!parse_uint(text + negative, &v) || v > (uint64_t)INT64_MAX + negative) {
        return false;
    }
    *out = negative ? (int64_t)-v : (int64_t)v;
    return true;
}

/* Shift of a size suffix, -1 if c is none. */
static int suffix_shift(char c)
{
    static const char letters[] = "BKMGTPE";
    const char *p = c ? strchr(letters, g_ascii_toupper(c)) : NULL;
    return p ? (int)(p - letters) * 10 : -1;
}

static bool parse_fraction(const char *text, uint64_t *out)
{
    char *end;
    double v = g_ascii_strtod(text, &end);
    int shift = suffix_shift(*end);
    if (shift <= 0 || end[1] || strspn(text, "0123456789.") != (size_t)(end - text)) {
        return false;
    }
    v *= (double)(1ull << shift);
    if (!(v >= 0 && v < 18446744073709551616.0)) {
        return false;
    }
    *out = (uint64_t)v;
    return true;
}

bool parse_size(const char *text, uint64_t unit, uint64_t *out)
{
    if (!g_ascii_isdigit(text[0])) {
        return false;
    }
    bool hex = text[0] == '0' && (text[1] == 'x' || text[1] == 'X');
    if (hex) {
        /* 0x1B would be ambiguous with a suffix, so hex takes none */
        return parse_uint(text, out);
    }
    char *end;
    errno = 0;
    uint64_t v = strtoull(text, &end, 10);
    if (errno) {
        return false;
    }
    if (*end == '.') {
        return parse_fraction(text, out);
    }
    uint64_t factor = unit;
    if (*end) {
        int shift = suffix_shift(*end);
        if (shift < 0 || end[1]) {
            return false;
        }
        factor = 1ull << shift;
    }
    return !__builtin_mul_overflow(v, factor, out);
}

bool parse_mac(const char *text, uint8_t out[6])
{
    if (strlen(text) != 17) {
        return false;
    }
    for (int i = 0; i < 6; i++) {
        const char *p = text + 3 * i;
        if (!g_ascii_isxdigit(p[0]) || !g_ascii_isxdigit(p[1])
            || (i < 5 && p[2] != ':' && p[2] != '-')) {
            return false;
        }
        out[i] = g_ascii_xdigit_value(p[0]) << 4 | g_ascii_xdigit_value(p[1]);
    }
    return true;
}

char *format_size(uint64_t bytes)
{
    static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
    unsigned u = 0;
    while (u < 6 && bytes >> (10 * (u + 1))) {
        u++;
    }
    /* three digits, without trailing zeroes */
    return g_strdup_printf("%.3g %s", (double)bytes / (double)(1ull << (10 * u)), units[u]);
}

/* Edits (insert, delete, replace, swap of neighbours) from a to b; both shorter than 64. */
static unsigned edit_distance(const char *a, const char *b)
{
    unsigned rows[3][64], la = strlen(a), lb = strlen(b);
    for (unsigned j = 0; j <= lb; j++) {
        rows[0][j] = j;
    }
    for (unsigned i = 1; i <= la; i++) {
        unsigned *row = rows[i % 3], *up = rows[(i + 2) % 3], *up2 = rows[(i + 1) % 3];
        row[0] = i;
        for (unsigned j = 1; j <= lb; j++) {
            unsigned best = MIN(up[j], row[j - 1]) + 1;
            best = MIN(best, up[j - 1] + (a[i - 1] != b[j - 1]));
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
                best = MIN(best, up2[j - 2] + 1);
            }
            row[j] = best;
        }
    }
    return rows[la % 3][lb];
}

const char *nearest_name(const char *name, const char *const *candidates, unsigned n)
{
    size_t len = strlen(name);
    const char *best = NULL;
    /* some letters may be wrong, but never most of a short name */
    unsigned limit = len < 4 ? 1 : len < 9 ? 2 : 3, best_distance = limit + 1;
    if (len >= 64 || len < 2) {
        return NULL;
    }
    for (unsigned i = 0; i < n; i++) {
        if (strlen(candidates[i]) < 64) {
            unsigned d = edit_distance(name, candidates[i]);
            if (d < best_distance) {
                best = candidates[i];
                best_distance = d;
            }
        }
    }
    return best;
}
