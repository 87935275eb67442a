/* SPDX-License-Identifier: MIT */
/*
 * io_uring: one ring for all files.  Requests are put in under the big lock and taken out by a
 * thread that does nothing else.
 */
#include "block/uring.h"

#include "config.h"

#ifdef CONFIG_URING

#include <errno.h>
#include <glib.h>
#include <liburing.h>
#include <stdlib.h>

#include "util/error.h"

#define ENTRIES 256u

typedef struct Pending {
    void (*done)(void *opaque, int ret);
    void *opaque;
} Pending;

static struct io_uring ring;
static enum { UNTRIED, USABLE, UNUSABLE } state;
static int in_flight;                   /* [atomic] never more than the completion queue holds */

static gpointer reap(gpointer unused)
{
    for (;;) {
        struct io_uring_cqe *cqe;
        if (io_uring_wait_cqe(&ring, &cqe) < 0) {
            continue;                   /* EINTR */
        }
        Pending *p = io_uring_cqe_get_data(cqe);
        int ret = cqe->res;
        io_uring_cqe_seen(&ring, cqe);
        g_atomic_int_dec_and_test(&in_flight);
        p->done(p->opaque, ret);
        g_free(p);
    }
    return NULL;
}

bool uring_available(void)
{
    if (state == UNTRIED) {
        state = io_uring_queue_init(ENTRIES, &ring, 0) == 0 ? USABLE : UNUSABLE;
        if (state == USABLE) {
            g_thread_unref(g_thread_new("io_uring", reap, NULL));
        }
    }
    return state == USABLE;
}

bool uring_submit(bool write, int fd, const struct iovec *iov, int niov, uint64_t off,
                  void (*done)(void *opaque, int ret), void *opaque)
{
    if (g_atomic_int_get(&in_flight) >= (int)ENTRIES) {
        return false;
    }
    struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);
    if (!sqe) {
        return false;
    }
    Pending *p = g_new(Pending, 1);
    *p = (Pending) { done, opaque };
    if (write) {
        io_uring_prep_writev(sqe, fd, iov, niov, off);
    } else {
        io_uring_prep_readv(sqe, fd, iov, niov, off);
    }
    io_uring_sqe_set_data(sqe, p);
    g_atomic_int_inc(&in_flight);
    int ret;
    do {
        ret = io_uring_submit(&ring);
    } while (ret == -EINTR || ret == -EAGAIN || ret == -EBUSY);
    if (ret <= 0) {                     /* what is in the queue would go with the next one */
        error_report("io_uring: %s", g_strerror(-ret));
        abort();
    }
    return true;
}

#else

bool uring_available(void)
{
    return false;
}

bool uring_submit(bool write, int fd, const struct iovec *iov, int niov, uint64_t off,
                  void (*done)(void *opaque, int ret), void *opaque)
{
    return false;
}

#endif
