/* SPDX-License-Identifier: MIT */
/*
 * Scattered memory.
 */
#include "util/iov.h"

#include <string.h>

#define MIN(a, b) ((a) < (b) ? (a) : (b))

size_t iov_size(const struct iovec *iov, int n)
{
    size_t total = 0;
    for (int i = 0; i < n; i++) {
        total += iov[i].iov_len;
    }
    return total;
}

typedef enum { TO_BUF, FROM_BUF, SET } Action;

static size_t walk(const struct iovec *iov, int n, size_t offset, uint8_t *buf, int byte, size_t len,
                   Action action)
{
    size_t done = 0;
    for (int i = 0; i < n && done < len; i++) {
        if (offset >= iov[i].iov_len) {
            offset -= iov[i].iov_len;
            continue;
        }
        uint8_t *p = (uint8_t *)iov[i].iov_base + offset;
        size_t part = MIN(iov[i].iov_len - offset, len - done);
        if (action == TO_BUF) {
            memcpy(buf + done, p, part);
        } else if (action == FROM_BUF) {
            memcpy(p, buf + done, part);
        } else {
            memset(p, byte, part);
        }
        done += part;
        offset = 0;
    }
    return done;
}

size_t iov_to_buf(const struct iovec *iov, int n, size_t offset, void *buf, size_t len)
{
    return walk(iov, n, offset, buf, 0, len, TO_BUF);
}

size_t iov_from_buf(const struct iovec *iov, int n, size_t offset, const void *buf, size_t len)
{
    return walk(iov, n, offset, (uint8_t *)buf, 0, len, FROM_BUF);
}

size_t iov_memset(const struct iovec *iov, int n, size_t offset, int byte, size_t len)
{
    return walk(iov, n, offset, NULL, byte, len, SET);
}

static bool is_zero(const uint8_t *p, size_t len)
{
    /* all equal to the first, and that is zero */
    return !len || (!p[0] && !memcmp(p, p + 1, len - 1));
}

bool iov_is_zero(const struct iovec *iov, int n)
{
    for (int i = 0; i < n; i++) {
        if (!is_zero(iov[i].iov_base, iov[i].iov_len)) {
            return false;
        }
    }
    return true;
}

int iov_slice(struct iovec *out, const struct iovec *iov, int n, size_t offset, size_t len)
{
    int count = 0;
    for (int i = 0; i < n && len; i++) {
        if (offset >= iov[i].iov_len) {
            offset -= iov[i].iov_len;
            continue;
        }
        size_t part = MIN(iov[i].iov_len - offset, len);
        out[count++] = (struct iovec) { (uint8_t *)iov[i].iov_base + offset, part };
        len -= part;
        offset = 0;
    }
    return count;
}
