/* SPDX-License-Identifier: MIT */
/*
 * Where random bytes for guests come from: the host's kernel, or a file such as /dev/hwrng.
 * Sources have names, which devices refer to.  [bql]
 */
#ifndef UTIL_ENTROPY_H
#define UTIL_ENTROPY_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include "util/error.h"

typedef struct EntropySource EntropySource;

/* filename NULL: the kernel's generator.  One reference; NULL and err if the file can't be read. */
EntropySource *entropy_new(const char *name, const char *filename, Error **err);
EntropySource *entropy_find(const char *name);          /* no reference; NULL: there is none */
EntropySource *entropy_ref(EntropySource *s);
void entropy_unref(EntropySource *s);
/* Up to len bytes, as many as there are now; 0: none yet; -1: there will be none (logged once). */
ssize_t entropy_read(EntropySource *s, void *buf, size_t len);
/* Call fn(opaque) in the main loop, once, when reading is worth trying again.  Returns an id. */
unsigned entropy_wait(EntropySource *s, void (*fn)(void *opaque), void *opaque);
void entropy_cancel(unsigned id);

#endif
