/* SPDX-License-Identifier: MIT */
/*
 * Random bytes for guests.  Files are read without blocking: a generator of the host's that is
 * slow must not stop the machine.
 */
#include "util/entropy.h"

#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util/mainloop.h"

#define AT_ONCE 256                     /* getrandom gives so many without being interrupted */

struct EntropySource {
    char *name, *filename;
    unsigned refs;
    int fd;                             /* -1: the kernel's generator */
    bool failed;                        /* it was told */
};

typedef struct Waiter {
    guint watch;
    void (*fn)(void *opaque);
    void *opaque;
} Waiter;

static GPtrArray *sources;

EntropySource *entropy_find(const char *name)
{
    for (guint i = 0; sources && i < sources->len; i++) {
        EntropySource *s = sources->pdata[i];
        if (!strcmp(s->name, name)) {
            return s;
        }
    }
    return NULL;
}

EntropySource *entropy_new(const char *name, const char *filename, Error **err)
{
    struct stat st;
    int fd = -1;

    if (filename) {
        fd = open(filename, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
        if (fd < 0 || fstat(fd, &st) < 0) {
            fail_errno(err, errno, "filename=%s: can't be read", filename);
            return NULL;
        }
        if (S_ISDIR(st.st_mode)) {
            close(fd);
            fail(err, "filename=%s: is a directory", filename);
            return NULL;
        }
    }
    EntropySource *s = g_new0(EntropySource, 1);
    s->name = g_strdup(name);
    s->filename = g_strdup(filename);
    s->fd = fd;
    s->refs = 1;
    sources = sources ? sources : g_ptr_array_new();
    g_ptr_array_add(sources, s);
    return s;
}

EntropySource *entropy_ref(EntropySource *s)
{
    s->refs++;
    return s;
}

void entropy_unref(EntropySource *s)
{
    if (!s || --s->refs) {
        return;
    }
    g_ptr_array_remove(sources, s);
    if (s->fd >= 0) {
        close(s->fd);
    }
    g_free(s->name);
    g_free(s->filename);
    g_free(s);
}

ssize_t entropy_read(EntropySource *s, void *buf, size_t len)
{
    ssize_t n;

    do {
        n = s->fd >= 0 ? read(s->fd, buf, len) : getrandom(buf, MIN(len, AT_ONCE), GRND_NONBLOCK);
    } while (n < 0 && errno == EINTR);
    if (n > 0) {
        return n;
    }
    if (n < 0 && errno == EAGAIN) {
        return 0;
    }
    if (!s->failed) {
        s->failed = true;
        error_report("%s: no more random bytes: %s", s->filename ? s->filename : "getrandom",
                     n < 0 ? strerror(errno) : "the file ends here");
    }
    return -1;
}

static gboolean later(void *opaque)
{
    Waiter *w = opaque;
    w->fn(w->opaque);
    return G_SOURCE_REMOVE;
}

static gboolean readable(gint fd, GIOCondition cond, void *opaque)
{
    return later(opaque);
}

unsigned entropy_wait(EntropySource *s, void (*fn)(void *opaque), void *opaque)
{
    Waiter *w = g_new0(Waiter, 1);
    GSource *source = s->fd >= 0 ? g_unix_fd_source_new(s->fd, G_IO_IN) : g_timeout_source_new(100);

    w->fn = fn;
    w->opaque = opaque;
    g_source_set_callback(source, s->fd >= 0 ? G_SOURCE_FUNC(readable) : G_SOURCE_FUNC(later), w, g_free);
    guint id = g_source_attach(source, NULL);
    g_source_unref(source);
    return id;
}

void entropy_cancel(unsigned id)
{
    g_source_remove(id);
}
