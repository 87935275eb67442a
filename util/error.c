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

static void report(const char *kind, const char *fmt, va_list ap)
{
    char *text = g_strdup_vprintf(fmt, ap);
    const char *name = g_get_prgname();
    fprintf(stderr, "%s: %s%s\n", name ? name : "orrery", kind, text);
    fflush(stderr);
    g_free(text);
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
