/* SPDX-License-Identifier: MIT */
/*
 * -daemonize, -pidfile, -chroot, -runas: what a background process does to itself.
 */
#ifndef SYSTEM_DAEMON_H
#define SYSTEM_DAEMON_H

#include <stdbool.h>
#include "util/error.h"

/* Continue in a child, in a session of its own; the parent stays until daemon_ready or the
 * child's end, and exits with 0 or 1 accordingly.  Before any thread exists. */
bool daemon_begin(Error **err);
/* Everything is set up: let the parent go, leave the terminal.  keep_stderr: the log goes
 * there. */
bool daemon_ready(bool keep_stderr, Error **err);
/* Create, lock and fill the file; removed at exit. */
bool pidfile_write(const char *path, Error **err);
/* Change the root folder, then the user; either may be NULL. */
bool drop_privileges(const char *root, const char *user, Error **err);

#endif
