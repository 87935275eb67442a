/* SPDX-License-Identifier: MIT */
/*
 * Errors are GErrors: a function that can fail returns bool (or NULL) and takes Error **err
 * last, which may be NULL.  Messages are one line, no trailing full stop, and name what was
 * wrong and what would be right: "-m 5Q: 'Q' is not a size suffix (use K, M, G or T)".
 */
#ifndef UTIL_ERROR_H
#define UTIL_ERROR_H

#include <glib.h>
#include <stdbool.h>

typedef GError Error;

/* Error codes; QMP turns them into its error classes. */
typedef enum {
    ERR_GENERIC, ERR_COMMAND_NOT_FOUND, ERR_DEVICE_NOT_FOUND, ERR_DEVICE_NOT_ACTIVE, ERR_KVM_MISSING_CAP,
} ErrorClass;

GQuark error_quark(void);

/* Set *err (if err is not NULL) and return false, so that `return fail(err, ...)` reads well. */
bool fail(Error **err, const char *fmt, ...) G_GNUC_PRINTF(2, 3);
bool fail_class(Error **err, ErrorClass cls, const char *fmt, ...) G_GNUC_PRINTF(3, 4);
/* ... followed by ": " and the text of errnum. */
bool fail_errno(Error **err, int errnum, const char *fmt, ...) G_GNUC_PRINTF(3, 4);

/* -msg timestamp=on: messages begin with the time; -msg guest-name=on: with the guest's name
 * (error_guest_name, NULL = none). */
extern bool error_timestamps, error_guest_names;
extern const char *error_guest_name;

/* Print "orrery-system-x86_64: MESSAGE" on stderr; die also exits with status 1. */
void error_report(const char *fmt, ...) G_GNUC_PRINTF(1, 2);
void warn_report(const char *fmt, ...) G_GNUC_PRINTF(1, 2);
void die(const char *fmt, ...) G_GNUC_PRINTF(1, 2) G_GNUC_NORETURN;
void die_error(Error *err) G_GNUC_NORETURN;

#endif
