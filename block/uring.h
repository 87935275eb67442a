/* SPDX-License-Identifier: MIT */
/*
 * Reads and writes through the kernel's io_uring (aio=io_uring, aio=native).
 */
#ifndef BLOCK_URING_H
#define BLOCK_URING_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

/* Can it be used here?  The first call tries; containers often forbid it. */
bool uring_available(void);
/* Queues a read or write.  done(opaque, bytes or -errno) is called on a thread of its own.
 * iov must stay until then.  False: the queue is full or broken, nothing was queued. [bql] */
bool uring_submit(bool write, int fd, const struct iovec *iov, int niov, uint64_t off,
                  void (*done)(void *opaque, int ret), void *opaque);

#endif
