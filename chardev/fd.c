/* SPDX-License-Identifier: MIT */
/*
 * Back-ends on plain descriptors: stdio, file, pipe, serial line of the host.
 *
 * The terminal is shared with the shell that started us, and O_NONBLOCK belongs to the shared
 * open file.  So stdin and stdout are opened again through /proc, which gives files of our
 * own; where that fails (a socket), output is polled before each small write.
 */
#include "chardev/backend.h"
#include "util/mainloop.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

/* ---- common ------------------------------------------------------------------------- */

static void readable(int fd, GIOCondition cond, void *opaque)
{
    CharDev *c = opaque;
    CharFd *s = c->state;
    uint8_t buf[4096];
    int room = chardev_can_read(c);
    ssize_t n = room > 0 ? read(fd, buf, MIN((size_t)room, sizeof(buf))) : -1;
    if (n < 0 && room > 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    if (n <= 0) {
        /* full, at the end or broken: no more reading until somebody asks for input */
        mainloop_unwatch(s->in_watch);
        s->in_watch = 0;
        if (room > 0) {
            if (s->in != s->out) {
                close(s->in);
            }
            s->in = -1;
        }
        return;
    }
    chardev_input(c, buf, n);
}

void charfd_want_read(CharDev *c)
{
    CharFd *s = c->state;
    if (s->in >= 0 && !s->in_watch && chardev_can_read(c) > 0) {
        s->in_watch = mainloop_watch(s->in, G_IO_IN | G_IO_HUP | G_IO_ERR, readable, c);
    }
}

static bool has_room(int fd)
{
    struct pollfd p = { .fd = fd, .events = POLLOUT };
    return poll(&p, 1, 0) > 0 && p.revents & POLLOUT;
}

int charfd_write(CharDev *c, const uint8_t *buf, int len)
{
    CharFd *s = c->state;
    int done = 0;
    while (done < len && s->out >= 0) {
        /* a pipe that polls writable takes PIPE_BUF bytes without blocking */
        int n = s->blocking_out ? MIN(len - done, 512) : len - done;
        if (s->blocking_out && !has_room(s->out)) {
            break;
        }
        ssize_t ret = write(s->out, buf + done, n);
        if (ret < 0 && errno == EINTR) {
            continue;
        }
        if (ret < 0 && errno == EAGAIN) {
            break;
        }
        if (ret < 0) {
            return len;                 /* the reader is gone: nobody misses it */
        }
        done += ret;
    }
    return s->out < 0 ? len : done;
}

static void writable(int fd, GIOCondition cond, void *opaque)
{
    CharDev *c = opaque;
    CharFd *s = c->state;
    mainloop_unwatch(s->out_watch);
    s->out_watch = 0;
    chardev_writable(c);
}

void charfd_want_write(CharDev *c)
{
    CharFd *s = c->state;
    if (s->out >= 0 && !s->out_watch) {
        s->out_watch = mainloop_watch(s->out, G_IO_OUT | G_IO_ERR | G_IO_HUP, writable, c);
    }
}

void charfd_start(CharDev *c, int in, int out)
{
    CharFd *s = c->state;
    s->in = in;
    s->out = out;
    c->open = true;
}

void charfd_stop(CharDev *c)
{
    CharFd *s = c->state;
    mainloop_unwatch(s->in_watch);
    mainloop_unwatch(s->out_watch);
    if (s->out >= 0 && s->out != s->in) {
        close(s->out);
    }
    if (s->in >= 0) {
        close(s->in);
    }
    s->in = s->out = -1;
    s->in_watch = s->out_watch = 0;
}

/* ---- stdio -------------------------------------------------------------------------- */

static struct {
    bool used;                          /* there is one stdin */
    bool is_tty;
    struct termios saved, raw;
} terminal;

/* After Ctrl-z and fg the shell has put its own settings back. */
static void on_continue(int sig)
{
    tcsetattr(STDIN_FILENO, TCSANOW, &terminal.raw);
}

static void setup_terminal(bool signals, bool echo)
{
    terminal.raw = terminal.saved;
    terminal.raw.c_iflag &= ~(IGNBRK | BRKINT | PARMRK | ISTRIP | INLCR | IGNCR | ICRNL | IXON);
    terminal.raw.c_oflag |= OPOST;
    terminal.raw.c_lflag &= ~(ECHO | ECHONL | ICANON | IEXTEN);
    terminal.raw.c_cflag &= ~(CSIZE | PARENB);
    terminal.raw.c_cflag |= CS8;
    terminal.raw.c_cc[VMIN] = 1;
    terminal.raw.c_cc[VTIME] = 0;
    if (!signals) {
        terminal.raw.c_lflag &= ~ISIG;
    }
    if (echo) {
        terminal.raw.c_lflag |= ECHO;
    }
    tcsetattr(STDIN_FILENO, TCSANOW, &terminal.raw);
}

static int own_copy(int fd, int mode, bool *blocking)
{
    struct stat st;
    char path[32];
    *blocking = false;
    if (fstat(fd, &st) < 0) {
        return -1;
    }
    if (S_ISREG(st.st_mode)) {
        return fcntl(fd, F_DUPFD_CLOEXEC, 3);      /* never blocks; keeps its position */
    }
    g_snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    int copy = open(path, mode | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (copy < 0) {
        *blocking = true;
        copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    }
    return copy;
}

static bool stdio_open(CharDev *c, Opts *o, Error **err)
{
    bool signals, blocking;
    CharFd *s = c->state;
    if (!opts_bool(o, "signal", true, &signals, err)) {
        return false;
    }
    if (terminal.used) {
        return fail(err, "-chardev: stdio is in use by another chardev already (mux=on lets several "
                    "ports share it)");
    }
    int in = own_copy(STDIN_FILENO, O_RDONLY, &blocking);
    int out = own_copy(STDOUT_FILENO, O_WRONLY, &s->blocking_out);
    charfd_start(c, in, out);
    terminal.used = true;
    terminal.is_tty = isatty(STDIN_FILENO) && tcgetattr(STDIN_FILENO, &terminal.saved) == 0;
    if (terminal.is_tty) {
        struct sigaction act = { .sa_handler = on_continue, .sa_flags = SA_RESTART };
        setup_terminal(signals, false);
        sigaction(SIGCONT, &act, NULL);
    }
    return true;
}

static void stdio_close(CharDev *c)
{
    charfd_stop(c);
    if (terminal.is_tty) {
        signal(SIGCONT, SIG_DFL);
        tcsetattr(STDIN_FILENO, TCSANOW, &terminal.saved);
    }
    terminal.used = false;
}

static void stdio_set_echo(CharDev *c, bool on)
{
    if (terminal.is_tty) {
        setup_terminal(terminal.raw.c_lflag & ISIG, on);
    }
}

static const CharBackend stdio_backend = {
    .name = "stdio", .desc = "standard input and output (signal=on|off)", .size = sizeof(CharFd),
    .open = stdio_open, .close = stdio_close, .write = charfd_write,
    .want_write = charfd_want_write, .want_read = charfd_want_read, .set_echo = stdio_set_echo,
};
CHAR_BACKEND(stdio_backend);

/* ---- file --------------------------------------------------------------------------- */

typedef struct CharFile {
    CharFd fd;                          /* always first */
    char *path;
} CharFile;

static char *file_filename(CharDev *c)
{
    return g_strdup_printf("%s:%s", c->backend->name, ((CharFile *)c->state)->path);
}

static void file_close(CharDev *c)
{
    charfd_stop(c);
    g_free(((CharFile *)c->state)->path);
}

static int open_or_fail(const char *path, int flags, Error **err)
{
    int fd = open(path, flags | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0666);
    if (fd < 0) {
        fail_errno(err, errno, "-chardev: '%s'", path);
    }
    return fd;
}

static bool file_open(CharDev *c, Opts *o, Error **err)
{
    CharFile *s = c->state;
    const char *path = opts_get(o, "path"), *input = opts_get(o, "input-path");
    bool append;
    int in = -1;
    if (!opts_bool(o, "append", false, &append, err)) {
        return false;
    }
    if (!path) {
        return fail(err, "-chardev: file: Parameter 'path' is missing");
    }
    int out = open_or_fail(path, O_WRONLY | O_CREAT | (append ? O_APPEND : O_TRUNC), err);
    if (out >= 0 && input) {
        in = open_or_fail(input, O_RDONLY, err);
        if (in < 0) {
            close(out);
        }
    }
    if (out < 0 || (input && in < 0)) {
        return false;
    }
    s->path = g_strdup(path);
    charfd_start(c, in, out);
    return true;
}

static const CharBackend file_backend = {
    .name = "file", .desc = "output to a file (path=, append=on)", .size = sizeof(CharFile),
    .open = file_open, .close = file_close, .write = charfd_write, .want_write = charfd_want_write,
    .want_read = charfd_want_read, .filename = file_filename,
};
CHAR_BACKEND(file_backend);

/* ---- pipe: PATH.in and PATH.out if they are there, else PATH for both ------------------ */

static bool pipe_open(CharDev *c, Opts *o, Error **err)
{
    CharFile *s = c->state;
    const char *path = opts_get(o, "path");
    if (!path) {
        return fail(err, "-chardev: pipe: Parameter 'path' is missing");
    }
    g_autofree char *in_path = g_strconcat(path, ".in", NULL);
    g_autofree char *out_path = g_strconcat(path, ".out", NULL);
    /* reading and writing both, so that neither side waits for a partner nor sees an end */
    int in = open(in_path, O_RDWR | O_CLOEXEC | O_NONBLOCK);
    int out = open(out_path, O_RDWR | O_CLOEXEC | O_NONBLOCK);
    if (in < 0 || out < 0) {
        if (in >= 0) {
            close(in);
        }
        if (out >= 0) {
            close(out);
        }
        in = out = open_or_fail(path, O_RDWR, err);
        if (in < 0) {
            return false;
        }
    }
    s->path = g_strdup(path);
    charfd_start(c, in, out);
    return true;
}

static const CharBackend pipe_backend = {
    .name = "pipe", .desc = "named pipes PATH.in and PATH.out (path=)", .size = sizeof(CharFile),
    .open = pipe_open, .close = file_close, .write = charfd_write, .want_write = charfd_want_write,
    .want_read = charfd_want_read, .filename = file_filename,
};
CHAR_BACKEND(pipe_backend);

/* ---- a serial line of the host --------------------------------------------------------- */

static speed_t speed_code(int bps)
{
    static const struct { int bps; speed_t code; } speeds[] = {
        { 50, B50 }, { 75, B75 }, { 110, B110 }, { 134, B134 }, { 150, B150 }, { 200, B200 },
        { 300, B300 }, { 600, B600 }, { 1200, B1200 }, { 1800, B1800 }, { 2400, B2400 },
        { 4800, B4800 }, { 9600, B9600 }, { 19200, B19200 }, { 38400, B38400 }, { 57600, B57600 },
        { 115200, B115200 }, { 230400, B230400 }, { 460800, B460800 }, { 921600, B921600 },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(speeds); i++) {
        /* guests divide their clock: the result is near a standard speed, not on it */
        if (bps <= speeds[i].bps + speeds[i].bps / 50) {
            return speeds[i].code;
        }
    }
    return B115200;
}

static void serial_set(CharDev *c, const CharSerialParams *p)
{
    static const tcflag_t sizes[] = { CS5, CS6, CS7, CS8 };
    int fd = ((CharFd *)c->state)->out;
    struct termios t;
    if (tcgetattr(fd, &t) < 0) {
        return;
    }
    cfmakeraw(&t);
    cfsetispeed(&t, speed_code(p->speed));
    cfsetospeed(&t, speed_code(p->speed));
    t.c_cflag &= ~(CSIZE | PARENB | PARODD | CRTSCTS | CSTOPB);
    t.c_cflag |= CLOCAL | CREAD | sizes[CLAMP(p->data_bits, 5, 8) - 5];
    t.c_cflag |= p->stop_bits == 2 ? CSTOPB : 0;
    t.c_cflag |= p->parity == 'E' ? PARENB : p->parity == 'O' ? PARENB | PARODD : 0;
    tcsetattr(fd, TCSANOW, &t);
}

static bool serial_open(CharDev *c, Opts *o, Error **err)
{
    CharFile *s = c->state;
    const char *path = opts_get(o, "path");
    if (!path) {
        return fail(err, "-chardev: serial: Parameter 'path' is missing");
    }
    int fd = open_or_fail(path, O_RDWR, err);
    if (fd < 0) {
        return false;
    }
    if (!isatty(fd)) {
        close(fd);
        return fail(err, "-chardev: '%s' is no serial line", path);
    }
    s->path = g_strdup(path);
    charfd_start(c, fd, fd);
    serial_set(c, &(CharSerialParams) { 115200, 'N', 8, 1 });
    return true;
}

static void serial_set_break(CharDev *c, bool on)
{
    ioctl(((CharFd *)c->state)->out, on ? TIOCSBRK : TIOCCBRK);
}

static bool serial_get_modem(CharDev *c, int *lines)
{
    G_STATIC_ASSERT(CHAR_TIOCM_CTS == TIOCM_CTS && CHAR_TIOCM_CAR == TIOCM_CAR);
    G_STATIC_ASSERT(CHAR_TIOCM_RI == TIOCM_RI && CHAR_TIOCM_DSR == TIOCM_DSR);
    return ioctl(((CharFd *)c->state)->out, TIOCMGET, lines) == 0;
}

static void serial_set_modem(CharDev *c, int lines)
{
    int now, fd = ((CharFd *)c->state)->out;
    if (ioctl(fd, TIOCMGET, &now) == 0) {
        now = (now & ~(TIOCM_DTR | TIOCM_RTS)) | (lines & (TIOCM_DTR | TIOCM_RTS));
        ioctl(fd, TIOCMSET, &now);
    }
}

static const CharBackend serial_backend = {
    .name = "serial", .desc = "a serial line of the host (path=/dev/ttyS0)",
    .size = sizeof(CharFile), .open = serial_open, .close = file_close, .write = charfd_write,
    .want_write = charfd_want_write, .want_read = charfd_want_read, .filename = file_filename,
    .set_serial = serial_set, .set_break = serial_set_break, .get_modem = serial_get_modem,
    .set_modem = serial_set_modem,
};
CHAR_BACKEND(serial_backend);

/* ---- null --------------------------------------------------------------------------- */

static bool null_open(CharDev *c, Opts *o, Error **err)
{
    c->open = true;
    return true;
}

static void null_close(CharDev *c)
{
}

static const CharBackend null_backend = {
    .name = "null", .desc = "nothing", .open = null_open, .close = null_close,
};
CHAR_BACKEND(null_backend);
