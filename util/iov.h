/* SPDX-License-Identifier: MIT */
/*
 * Scattered memory: copying to and from an array of struct iovec.
 */
#ifndef UTIL_IOV_H
#define UTIL_IOV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

size_t iov_size(const struct iovec *iov, int n);
/* Copy up to len bytes beginning at offset in the scattered memory; the number copied. */
size_t iov_to_buf(const struct iovec *iov, int n, size_t offset, void *buf, size_t len);
size_t iov_from_buf(const struct iovec *iov, int n, size_t offset, const void *buf, size_t len);
size_t iov_memset(const struct iovec *iov, int n, size_t offset, int byte, size_t len);
bool iov_is_zero(const struct iovec *iov, int n);
/* The part [offset, offset+len) as an array of its own, at most n long; its length.  out may
 * not be iov. */
int iov_slice(struct iovec *out, const struct iovec *iov, int n, size_t offset, size_t len);

#endif
