/* SPDX-License-Identifier: MIT */
/*
 * Back-end "pty": a pseudo terminal that people open with screen or minicom.
 *
 * Nobody has it open at first, and the master then reports a hang-up for ever.  Instead of
 * asking again every second we let inotify tell when the slave is opened.
 */
#include "chardev/backend.h"
#include "util/mainloop.h"
#include "util/timer.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <termios.h>
#include <unistd.h>

typedef struct CharPty {
    CharFd fd;                          /* always first */
    char *slave;                        /* "/dev/pts/3" */
    int inotify;                        /* -1: not available, poll by timer */
    guint inotify_watch;
    Timer poll;
} CharPty;

static void connect_state(CharDev *c);

static void pty_readable(int fd, GIOCondition cond, void *opaque)
{
    CharDev *c = opaque;
    CharFd *s = c->state;
    uint8_t buf[4096];
    int room = chardev_can_read(c);
    if (room <= 0) {
        mainloop_unwatch(s->in_watch);
        s->in_watch = 0;
        return;
    }
    ssize_t n = read(fd, buf, MIN((size_t)room, sizeof(buf)));
    if (n > 0) {
        chardev_input(c, buf, n);
    } else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
        connect_state(c);               /* EIO: the last one closed it */
    }
}

static void pty_want_read(CharDev *c)
{
    CharFd *s = c->state;
    if (c->open && !s->in_watch && chardev_can_read(c) > 0) {
        s->in_watch = mainloop_watch(s->in, G_IO_IN | G_IO_HUP | G_IO_ERR, pty_readable, c);
    }
}

/* See whether anybody has the slave open. */
static void connect_state(CharDev *c)
{
    CharPty *s = c->state;
    struct pollfd p = { .fd = s->fd.in, .events = POLLIN };
    bool open = poll(&p, 1, 0) >= 0 && !(p.revents & POLLHUP);
    if (!open) {
        mainloop_unwatch(s->fd.in_watch);
        mainloop_unwatch(s->fd.out_watch);
        s->fd.in_watch = s->fd.out_watch = 0;
    }
    if (!open && s->inotify < 0) {
        timer_mod(&s->poll, clock_ns(ORRERY_CLOCK_REAL) + NS_PER_SEC);
    }
    chardev_set_open(c, open);
    pty_want_read(c);
}

static void slave_event(int fd, GIOCondition cond, void *opaque)
{
    char events[4096];
    while (read(fd, events, sizeof(events)) > 0) {
    }
    connect_state(opaque);
}

static void poll_tick(void *opaque)
{
    connect_state(opaque);
}

static void watch_slave(CharDev *c)
{
    CharPty *s = c->state;
    timer_init(&s->poll, ORRERY_CLOCK_REAL, poll_tick, c);
    s->inotify = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (s->inotify >= 0 && inotify_add_watch(s->inotify, s->slave, IN_OPEN | IN_CLOSE) < 0) {
        close(s->inotify);
        s->inotify = -1;
    }
    if (s->inotify >= 0) {
        s->inotify_watch = mainloop_watch(s->inotify, G_IO_IN, slave_event, c);
    }
}

/* Raw, so that what the guest sends is not cooked; and opened once, since a slave nobody ever
 * opened does not count as hung up. */
static bool prepare_slave(const char *slave)
{
    struct termios t;
    int fd = open(slave, O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (fd < 0 || tcgetattr(fd, &t) < 0) {
        return false;
    }
    cfmakeraw(&t);
    tcsetattr(fd, TCSAFLUSH, &t);
    close(fd);
    return true;
}

static bool pty_open(CharDev *c, Opts *o, Error **err)
{
    CharPty *s = c->state;
    int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
    char name[64];
    if (master < 0 || grantpt(master) < 0 || unlockpt(master) < 0
        || ptsname_r(master, name, sizeof(name)) != 0 || !prepare_slave(name)) {
        int errnum = errno;
        if (master >= 0) {
            close(master);
        }
        return fail_errno(err, errnum, "-chardev: pty");
    }
    s->slave = g_strdup(name);
    charfd_start(c, master, master);
    c->open = false;
    watch_slave(c);
    if (s->inotify < 0) {
        timer_mod(&s->poll, clock_ns(ORRERY_CLOCK_REAL) + NS_PER_SEC);
    }
    chardev_say("char device redirected to %s (label %s)", s->slave, c->id);
    return true;
}

static void pty_close(CharDev *c)
{
    CharPty *s = c->state;
    timer_del(&s->poll);
    mainloop_unwatch(s->inotify_watch);
    if (s->inotify >= 0) {
        close(s->inotify);
    }
    charfd_stop(c);
    g_free(s->slave);
}

static char *pty_filename(CharDev *c)
{
    return g_strdup_printf("pty:%s", ((CharPty *)c->state)->slave);
}

static const CharBackend pty_backend = {
    .name = "pty", .desc = "a pseudo terminal", .size = sizeof(CharPty), .open = pty_open,
    .close = pty_close, .write = charfd_write, .want_write = charfd_want_write,
    .want_read = pty_want_read, .filename = pty_filename,
};
CHAR_BACKEND(pty_backend);
