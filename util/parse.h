/* SPDX-License-Identifier: MIT */
/*
 * Values in option strings.  The parsers return false when text is not one and set no message:
 * the caller knows the option's name.
 */
#ifndef UTIL_PARSE_H
#define UTIL_PARSE_H

#include <stdbool.h>
#include <stdint.h>

bool parse_bool(const char *text, bool *out);                   /* on yes true y / off no false n */
bool parse_uint(const char *text, uint64_t *out);               /* decimal or 0x hex */
bool parse_int(const char *text, int64_t *out);
/* May be an id: letters, digits, '-', '.', '_', beginning with a letter. */
bool id_well_formed(const char *id);
/* Bytes: decimal (with a fraction if suffixed) or hex, suffix B K M G T P E of 1024; without
 * a suffix in units of `unit` bytes. */
bool parse_size(const char *text, uint64_t unit, uint64_t *out);
/* 52:54:00:12:34:56, also with dashes */
bool parse_mac(const char *text, uint8_t out[6]);
char *format_size(uint64_t bytes);                              /* "64 MiB", "1.5 GiB"; g_free */

/* Nearest of the candidates by edit distance, NULL if none is near enough to suggest. */
const char *nearest_name(const char *name, const char *const *candidates, unsigned n);

#endif
