/* SPDX-License-Identifier: MIT */
/*
 * Locks on image files against other emulators and tools.
 */
#ifndef BLOCK_LOCK_H
#define BLOCK_LOCK_H

#include <stdbool.h>
#include "util/error.h"

/* Locks the open image as its reader or writer until fd is closed.  false: somebody else has
 * it; err names the file and, where it can be found out, the process.  A file system without
 * locks is no error. */
bool image_lock(int fd, const char *filename, bool writer, Error **err);

#endif
