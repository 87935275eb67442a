/* SPDX-License-Identifier: MIT */
/*
 * Errors: construction of GErrors in our domain, and the reports of the program itself on
 * standard error, which carry the program's name as every Unix tool's do.
 */
#include "util/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

G_DEFINE_QUARK(orrery-error, error)

static void set_error(Error **err, ErrorClass cls, int errnum, const char *fmt, va_list ap)
{
    if (!err) {
        return;
    }
    char *text = g_strdup_vprintf(fmt, ap);
    if (errnum) {
        *err = g_error_new(error_quark(), cls, "%s: %s", text, g_strerror(errnum));
    } else {
        *err = g_error_new_literal(error_quark(), cls, text);
    }
    g_free(text);
}

bool fail(Error **err, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    set_error(err, ERR_GENERIC, 0, fmt, ap);
    va_end(ap);
    return false;
}

bool fail_class(Error **err, ErrorClass cls, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    set_error(err, cls, 0, fmt, ap);
    va_end(ap);
    return false;
}

bool fail_errno(Error **err, int errnum, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    set_error(err, ERR_GENERIC, errnum, fmt, ap);
    va_end(ap);
    return false;
}

bool error_timestamps, error_guest_names;
const char *error_guest_name;

/* One write for the whole line, so that lines of several threads stay apart. */
static void report(const char *kind, const char *fmt, va_list ap)
{
    GString *line = g_string_new(NULL);
    const char *name = g_get_prgname();
    if (error_timestamps) {
        GDateTime *now = g_date_time_new_now_utc();
        char *text = g_date_time_format(now, "%Y-%m-%dT%H:%M:%S");
        g_string_append_printf(line, "%s.%06dZ ", text, g_date_time_get_microsecond(now));
        g_free(text);
        g_date_time_unref(now);
    }
    if (error_guest_names && error_guest_name) {
        g_string_append_printf(line, "%s ", error_guest_name);
    }
    g_string_append_printf(line, "%s: %s", name ? name : "orrery", kind);
    g_string_append_vprintf(line, fmt, ap);
    g_string_append_c(line, '\n');
    fwrite(line->str, 1, line->len, stderr);
    fflush(stderr);
    g_string_free(line, TRUE);
}

void error_report(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    report("", fmt, ap);
    va_end(ap);
}

void warn_report(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    report("warning: ", fmt, ap);
    va_end(ap);
}

void die(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    report("", fmt, ap);
    va_end(ap);
    exit(1);
}

void die_error(Error *err)
{
    error_report("%s", err ? err->message : "unknown error");
    exit(1);
}
