/* SPDX-License-Identifier: MIT */
/*
 * Character devices: every back-end with a real other end, back-pressure, mux, shorthands.
 */
#include "chardev/char.h"
#include "tests/unit/common.h"
#include "util/bql.h"
#include "util/mainloop.h"
#include "util/timer.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

static char *dir;

/* ---- a front end that writes down what happens ------------------------------------------ */

typedef struct Port {
    CharFront *fe;
    int room;                           /* what can_read says */
    GString *input, *events;
    int writable;
} Port;

static int port_can_read(void *opaque)
{
    return ((Port *)opaque)->room;
}

static void port_read(void *opaque, const uint8_t *buf, int len)
{
    Port *p = opaque;
    g_assert_cmpint(len, <=, p->room);
    g_string_append_len(p->input, (const char *)buf, len);
    if (p->room < 1000) {
        p->room -= len;
    }
}

static void port_event(void *opaque, CharEvent e)
{
    static const char letters[] = "OCBio";
    g_string_append_c(((Port *)opaque)->events, letters[e]);
}

static void port_writable(void *opaque)
{
    ((Port *)opaque)->writable++;
}

static const CharHandlers port_handlers = {
    .can_read = port_can_read, .read = port_read, .event = port_event, .writable = port_writable,
};

static void port_attach(Port *p, CharDev *c)
{
    Error *err = NULL;
    *p = (Port) { .room = 4096, .input = g_string_new(NULL), .events = g_string_new(NULL) };
    p->fe = char_attach(c, &port_handlers, p, &err);
    g_assert_no_error(err);
}

static void port_free(Port *p)
{
    char_detach(p->fe);
    g_string_free(p->input, TRUE);
    g_string_free(p->events, TRUE);
    mainloop_iterate(false);
}

static CharDev *chardev(const char *fmt, ...) G_GNUC_PRINTF(1, 2);
static CharDev *chardev(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    g_autofree char *options = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    Error *err = NULL;
    CharDev *c = chardev_add(options, &err);
    g_assert_no_error(err);
    return c;
}

#define run_until(condition)                                                        \
    do {                                                                            \
        int64_t give_up = clock_ns(ORRERY_CLOCK_REAL) + 20 * NS_PER_SEC;            \
        Timer wake;                                                                 \
        timer_init(&wake, ORRERY_CLOCK_REAL, nothing, NULL);                        \
        while (!(condition)) {                                                      \
            g_assert_cmpint(clock_ns(ORRERY_CLOCK_REAL), <, give_up);               \
            timer_mod(&wake, clock_ns(ORRERY_CLOCK_REAL) + 20 * NS_PER_MS);         \
            mainloop_iterate(true);                                                 \
        }                                                                           \
        timer_del(&wake);                                                           \
    } while (0)

static void nothing(void *opaque)
{
}

static void settle(void)
{
    for (int i = 0; i < 5; i++) {
        mainloop_iterate(false);
    }
}

/* Read exactly what is expected from the other end. */
static void expect(int fd, const char *text)
{
    size_t len = strlen(text), got = 0;
    char *buf = g_malloc0(len + 1);
    while (got < len) {
        ssize_t n = read(fd, buf + got, len - got);
        if (n < 0 && errno == EAGAIN) {
            mainloop_iterate(false);
            continue;
        }
        g_assert_cmpint(n, >, 0);
        got += n;
    }
    g_assert_cmpstr(buf, ==, text);
    g_free(buf);
}

static void send_text(int fd, const char *text)
{
    g_assert_cmpint(write(fd, text, strlen(text)), ==, (ssize_t)strlen(text));
}

/* ---- back-ends ---------------------------------------------------------------------- */

static void test_file(void)
{
    g_autofree char *path = g_build_filename(dir, "out.txt", NULL), *text = NULL, *name = NULL;
    for (int round = 0; round < 2; round++) {
        Port p;
        port_attach(&p, chardev("file,id=f,path=%s,append=%s", path, round ? "on" : "off"));
        g_assert_cmpint(char_write(p.fe, "abc", 3), ==, 3);
        char_printf(p.fe, "%d\n", 5);
        settle();
        g_assert_cmpstr(p.events->str, ==, "O");
        port_free(&p);
        g_free(name);
        name = chardev_filename(chardev_find("f"));
        chardev_remove("f", NULL);
    }
    g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
    g_assert_cmpstr(text, ==, "abc5\nabc5\n");
    g_autofree char *want = g_strdup_printf("file:%s", path);
    g_assert_true(g_str_has_prefix(want, "file:") && !strcmp(want, name));
}

static int unix_connect(const char *path)
{
    struct sockaddr_un un = { .sun_family = AF_UNIX };
    g_strlcpy(un.sun_path, path, sizeof(un.sun_path));
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    g_assert_cmpint(connect(fd, (struct sockaddr *)&un, sizeof(un)), ==, 0);
    return fd;
}

static void test_unix_server(void)
{
    g_autofree char *path = g_build_filename(dir, "sock", NULL);
    g_autofree char *shown = g_strdup_printf("disconnected:unix:%s,server=on", path);
    CharDev *c = chardev("socket,id=s,path=%s,server=on,wait=off", path);
    g_autofree char *name = chardev_filename(c);
    g_assert_cmpstr(name, ==, shown);
    Port p;
    port_attach(&p, c);
    settle();
    g_assert_false(char_open(p.fe));
    g_assert_cmpint(char_write(p.fe, "lost", 4), ==, 4);
    g_assert_cmpstr(p.events->str, ==, "");

    int fd = unix_connect(path);
    run_until(char_open(p.fe));
    char_write(p.fe, "hello", 5);
    expect(fd, "hello");
    send_text(fd, "input");
    run_until(p.input->len == 5);

    /* a port that is full is not read, and loses nothing */
    p.room = 3;
    send_text(fd, "123456");
    run_until(p.room == 0);
    settle();
    g_assert_cmpstr(p.input->str, ==, "input123");
    p.room = 100;
    char_accept_input(p.fe);
    run_until(p.input->len == 11);

    /* the next client waits until this one is gone */
    int second = unix_connect(path);
    send_text(second, "next");
    settle();
    g_assert_cmpuint(p.input->len, ==, 11);
    close(fd);
    run_until(p.input->len == 15);
    g_assert_cmpstr(p.events->str, ==, "OCO");

    /* a descriptor comes along with a byte */
    union { struct cmsghdr align; char bytes[CMSG_SPACE(sizeof(int))]; } control = { 0 };
    struct iovec iov = { (char[]) { 'F' }, 1 };
    struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control,
                          .msg_controllen = sizeof(control) };
    struct cmsghdr *cm = CMSG_FIRSTHDR(&msg);
    *cm = (struct cmsghdr) { CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS };
    memcpy(CMSG_DATA(cm), &second, sizeof(int));
    g_assert_cmpint(sendmsg(second, &msg, 0), ==, 1);
    run_until(p.input->len == 16);
    int passed = char_take_fd(p.fe);
    g_assert_cmpint(passed, >=, 0);
    g_assert_cmpint(char_take_fd(p.fe), ==, -1);
    close(passed);
    close(second);
    run_until(!char_open(p.fe));
    port_free(&p);
    g_assert_true(chardev_remove("s", NULL));
    g_assert_cmpint(access(path, F_OK), <, 0);
}

/* Slow readers: short writes, then `writable`; char_write_all keeps the order. */
static void test_back_pressure(void)
{
    enum { TOTAL = 4 << 20 };
    g_autofree char *path = g_build_filename(dir, "slow", NULL);
    CharDev *c = chardev("socket,id=s,path=%s,server=on,wait=off", path);
    Port p;
    port_attach(&p, c);
    int fd = unix_connect(path);
    run_until(char_open(p.fe));
    uint8_t block[1000];
    int sent = 0, received = 0, stalls = 0;
    fcntl(fd, F_SETFL, O_NONBLOCK);
    while (received < TOTAL) {
        while (sent < TOTAL) {
            int n = MIN((int)sizeof(block), TOTAL - sent);
            for (int i = 0; i < n; i++) {
                block[i] = (sent + i) % 251;
            }
            int taken = char_write(p.fe, block, n);
            sent += taken;
            if (taken < n) {
                stalls++;
                break;
            }
        }
        int before = p.writable;
        for (ssize_t n; (n = read(fd, block, sizeof(block))) > 0;) {
            for (int i = 0; i < n; i++) {
                g_assert_cmpint(block[i], ==, received++ % 251);
            }
        }
        if (sent < TOTAL) {
            run_until(p.writable > before);
        }
    }
    g_assert_cmpint(stalls, >, 0);

    for (int i = 0; i < 200000; i++) {
        char_write_all(p.fe, "abcde", 5);       /* 1 MB: more than the socket takes, fits the queue */
    }
    char_write_all(p.fe, "!", 1);
    uint8_t byte = 0;
    unsigned count = 0;
    int64_t give_up = clock_ns(ORRERY_CLOCK_REAL) + 20 * NS_PER_SEC;
    while (byte != '!') {
        if (read(fd, &byte, 1) == 1) {
            g_assert_true(byte == '!' || byte == "abcde"[count++ % 5]);
        } else {
            g_assert_cmpint(clock_ns(ORRERY_CLOCK_REAL), <, give_up);
            mainloop_iterate(false);
        }
    }
    g_assert_cmpuint(count, ==, 1000000);
    close(fd);
    run_until(!char_open(p.fe));
    port_free(&p);
    chardev_remove("s", NULL);
}

static int tcp_port(CharDev *c)
{
    g_autofree char *name = chardev_filename(c);
    g_autofree char *copy = g_strndup(name, strcspn(name, ","));
    return atoi(strrchr(copy, ':') + 1);
}

static int tcp_connect(int port)
{
    struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons(port) };
    in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    g_assert_cmpint(connect(fd, (struct sockaddr *)&in, sizeof(in)), ==, 0);
    return fd;
}

static void test_telnet(void)
{
    CharDev *c = chardev("socket,id=t,host=127.0.0.1,port=0,server=on,wait=off,telnet=on");
    Port p;
    port_attach(&p, c);
    int fd = tcp_connect(tcp_port(c));
    run_until(char_open(p.fe));
    uint8_t offer[12];
    g_assert_cmpint(recv(fd, offer, 12, MSG_WAITALL), ==, 12);
    g_assert_cmpmem(offer, 12, "\xff\xfb\1\xff\xfb\3\xff\xfb\0\xff\xfd\0", 12);
    /* negotiation, a doubled IAC, CR NUL, a subnegotiation and BREAK, cut anywhere */
    static const char traffic[] = "a\xff\xfd\x03" "b\xff\xff" "c\r\0d\xff\xfa\x18\x01xx\xff\xf0" "e\xff\xf3" "f";
    for (size_t i = 0; i < sizeof(traffic) - 1; i++) {
        g_assert_cmpint(write(fd, traffic + i, 1), ==, 1);
        settle();
    }
    run_until(p.input->len == 8);
    g_assert_cmpmem(p.input->str, p.input->len, "ab\xff" "c\rdef", 8);
    g_assert_cmpstr(p.events->str, ==, "OB");
    g_assert_cmpint(char_write(p.fe, "x\xffy", 3), ==, 3);
    expect(fd, "x\xff\xffy");
    close(fd);
    run_until(!char_open(p.fe));
    port_free(&p);
    chardev_remove("t", NULL);
}

static void test_client(void)
{
    Error *err = NULL;
    CharDev *server = chardev("socket,id=srv,host=127.0.0.1,port=0,server=on,wait=off");
    int port = tcp_port(server);
    Port a, b;
    port_attach(&a, server);
    port_attach(&b, chardev("socket,id=cli,host=127.0.0.1,port=%d,nodelay", port));
    run_until(char_open(a.fe) && char_open(b.fe));
    char_write(b.fe, "ping", 4);
    run_until(a.input->len == 4);
    char_write(a.fe, "pong", 4);
    run_until(b.input->len == 4);
    port_free(&b);
    g_assert_true(chardev_remove("cli", NULL));
    run_until(!char_open(a.fe));
    port_free(&a);
    chardev_remove("srv", NULL);

    g_autofree char *options = g_strdup_printf("socket,id=cli,host=127.0.0.1,port=%d", port);
    g_autofree char *want = g_strdup_printf("Failed to connect to tcp:127.0.0.1:%d: Connection refused", port);
    g_assert_null(chardev_add(options, &err));
    assert_error(err, want);

    /* with reconnect the peer may come later, and again */
    g_autofree char *path = g_build_filename(dir, "later", NULL);
    port_attach(&b, chardev("socket,id=cli,path=%s,reconnect=1", path));
    settle();
    g_assert_false(char_open(b.fe));
    server = chardev("socket,id=srv,path=%s,server=on,wait=off", path);
    port_attach(&a, server);
    run_until(char_open(b.fe) && char_open(a.fe));
    port_free(&a);
    chardev_remove("srv", NULL);
    run_until(!char_open(b.fe));
    port_attach(&a, chardev("socket,id=srv,path=%s,server=on,wait=off", path));
    run_until(char_open(b.fe));
    port_free(&b);
    chardev_remove("cli", NULL);
    port_free(&a);
    chardev_remove("srv", NULL);
}

/* wait=on: the command line stops until somebody connects. */
static gpointer late_client(gpointer path)
{
    while (access(path, F_OK) < 0) {
        g_usleep(1000);
    }
    g_usleep(20000);
    return GINT_TO_POINTER(unix_connect(path));
}

static void test_wait(void)
{
    g_autofree char *path = g_build_filename(dir, "wait", NULL);
    GThread *t = g_thread_new("client", late_client, path);
    CharDev *c = chardev("socket,id=w,path=%s,server=on", path);
    int fd = GPOINTER_TO_INT(g_thread_join(t));
    Port p;
    port_attach(&p, c);
    g_assert_true(char_open(p.fe));
    settle();
    g_assert_cmpstr(p.events->str, ==, "O");
    char_write(p.fe, "x", 1);
    expect(fd, "x");
    close(fd);
    port_free(&p);
    chardev_remove("w", NULL);
}

static void test_pty(void)
{
    CharDev *c = chardev("pty,id=p");
    Port p;
    port_attach(&p, c);
    g_autofree char *name = chardev_filename(c);
    g_assert_true(g_str_has_prefix(name, "pty:/dev/pts/"));
    settle();
    g_assert_false(char_open(p.fe));
    g_assert_cmpint(char_write(p.fe, "lost", 4), ==, 4);
    for (int round = 0; round < 2; round++) {
        int fd = open(name + 4, O_RDWR | O_NOCTTY);
        run_until(char_open(p.fe));
        char_write(p.fe, "a\nb", 3);            /* raw: no CR is put in */
        expect(fd, "a\nb");
        send_text(fd, "xyz\r");
        run_until(p.input->len == 4);
        g_assert_cmpstr(p.input->str, ==, "xyz\r");
        g_string_truncate(p.input, 0);
        close(fd);
        run_until(!char_open(p.fe));
    }
    g_assert_cmpstr(p.events->str, ==, "OCOC");
    port_free(&p);
    chardev_remove("p", NULL);
}

static void test_pipe(void)
{
    g_autofree char *path = g_build_filename(dir, "pipe", NULL);
    g_autofree char *in = g_strconcat(path, ".in", NULL), *out = g_strconcat(path, ".out", NULL);
    g_assert_cmpint(mkfifo(in, 0600), ==, 0);
    g_assert_cmpint(mkfifo(out, 0600), ==, 0);
    Port p;
    port_attach(&p, chardev("pipe,id=p,path=%s", path));
    int w = open(in, O_WRONLY), r = open(out, O_RDONLY | O_NONBLOCK);
    send_text(w, "down");
    run_until(p.input->len == 4);
    char_write(p.fe, "up", 2);
    expect(r, "up");
    close(w);
    close(r);
    port_free(&p);
    chardev_remove("p", NULL);
}

static void test_ringbuf(void)
{
    Error *err = NULL;
    g_autoptr(GByteArray) out = g_byte_array_new();
    Port p;
    port_attach(&p, chardev("ringbuf,id=r,size=16"));
    char_write(p.fe, "0123456789", 10);
    g_assert_true(chardev_ringbuf_read("r", out, 4, &err));
    g_assert_cmpmem(out->data, out->len, "0123", 4);
    char_write(p.fe, "abcdefghijklmnopqrst", 20);       /* only the last 16 stay */
    g_byte_array_set_size(out, 0);
    g_assert_true(chardev_ringbuf_read("r", out, 100, &err));
    g_assert_cmpmem(out->data, out->len, "efghijklmnopqrst", 16);
    port_free(&p);
    chardev_remove("r", NULL);
    g_assert_false(chardev_ringbuf_read("r", out, 1, &err));
    assert_error(err, "Device 'r' not found");
    g_assert_null(chardev_add("ringbuf,id=r,size=15", &err));
    assert_error(err, "-chardev: size of ringbuf chardev must be power of two (to 1G)");
}

/* stdin and stdout are the child's own; it echoes until it has seen a dot. */
static void stdio_child(void)
{
    Port p;
    Error *err = NULL;
    port_attach(&p, chardev_from_spec("serial0", "stdio", NULL, &err));
    if (chardev_from_spec("serial1", "stdio", NULL, &err) || !err) {
        _exit(2);
    }
    g_clear_error(&err);
    while (!strchr(p.input->str, '.')) {
        mainloop_iterate(true);
    }
    char_write_all(p.fe, p.input->str, p.input->len);
    port_free(&p);
    chardev_cleanup();
    _exit(0);
}

static void test_stdio(void)
{
    int in[2], out[2], status;
    g_assert_cmpint(pipe(in), ==, 0);
    g_assert_cmpint(pipe(out), ==, 0);
    pid_t pid = fork();
    if (!pid) {
        dup2(in[0], 0);
        dup2(out[1], 1);
        close(in[1]);
        stdio_child();
    }
    close(in[0]);
    close(out[1]);
    g_autofree char *text = g_strnfill(200000, 'x');
    text[199999] = '.';
    /* more than the pipes hold: written in pieces while the child reads */
    send_text(in[1], text);
    expect(out[0], text);
    g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
    g_assert_cmpint(status, ==, 0);
    close(in[1]);
    close(out[0]);
}

/* ---- mux ---------------------------------------------------------------------------- */

static int quits;

static void on_quit(void)
{
    quits++;
}

static void test_mux(void)
{
    g_autofree char *path = g_build_filename(dir, "mux", NULL);
    g_autofree char *spec = g_strdup_printf("mon:unix:%s,server,nowait", path);
    Error *err = NULL;
    bool with_monitor = false;
    CharDev *c = chardev_from_spec("serial0", spec, &with_monitor, &err);
    g_assert_no_error(err);
    g_assert_true(with_monitor);
    Port mon, ser;
    port_attach(&mon, c);
    port_attach(&ser, c);
    int fd = unix_connect(path);
    run_until(char_open(ser.fe));
    send_text(fd, "guest");
    run_until(ser.input->len == 5);
    g_assert_cmpuint(mon.input->len, ==, 0);
    send_text(fd, "\1c" "info");
    run_until(mon.input->len == 4);
    send_text(fd, "\1c\1\1\1b");
    run_until(ser.input->len == 6);
    g_assert_cmpstr(ser.input->str, ==, "guest\1");
    g_assert_nonnull(strchr(ser.events->str, 'B'));
    g_assert_cmpstr(mon.events->str, ==, "ioOio");

    /* typed ahead to a guest that does not listen: kept, and Ctrl-a x still works */
    ser.room = 0;
    send_text(fd, "ahead\1x");
    char_hooks.quit = on_quit;
    run_until(quits);
    expect(fd, "Orrery: terminated\r\n");
    ser.room = 4096;
    char_accept_input(ser.fe);
    g_assert_cmpstr(ser.input->str, ==, "guest\1ahead");

    char_write(mon.fe, "m", 1);
    char_write(ser.fe, "s", 1);
    expect(fd, "ms");
    char_take_focus(mon.fe);
    send_text(fd, "\1h");
    char *help = g_malloc0(4096);
    for (size_t got = 0; !strstr(help, "C-a C-a"); ) {
        mainloop_iterate(false);
        ssize_t n = recv(fd, help + got, 4095 - got, MSG_DONTWAIT);
        got += n > 0 ? n : 0;
    }
    g_free(help);
    close(fd);
    run_until(!char_open(ser.fe));
    port_free(&ser);
    port_free(&mon);
    chardev_remove("serial0", NULL);
    memset(&char_hooks, 0, sizeof(char_hooks));
}

/* ---- options ------------------------------------------------------------------------ */

static void test_errors(void)
{
    Error *err = NULL;
    static const char *const bad[][2] = {
        { "", "-chardev: no back-end given (see -chardev help)" },
        { "null", "-chardev: Parameter 'id' is missing" },
        { "sockte,id=x", "-chardev: 'sockte' is not a valid char driver name (did you mean 'socket'?)" },
        { "null,id=x,pat=1", "-chardev: unknown option 'pat'" },
        { "file,id=x", "-chardev: file: Parameter 'path' is missing" },
        { "file,id=x,path=/nonexistent/x", "-chardev: '/nonexistent/x': No such file or directory" },
        { "file,id=x,path=/tmp,append=perhaps", "-chardev: append=perhaps: 'perhaps' is not on or off" },
        { "serial,id=x,path=/dev/null", "-chardev: '/dev/null' is no serial line" },
        { "socket,id=x", "-chardev: socket: one of path=, port= (with host=) and fd= is needed" },
        { "socket,id=x,path=/nonexistent/s,server=on,wait=off",
          "Failed to bind socket to unix:/nonexistent/s: No such file or directory" },
        { "socket,id=x,path=/nonexistent/s", "Failed to connect to unix:/nonexistent/s: No such file or directory" },
        { "socket,id=x,path=a,wait=on", "-chardev: 'wait' option is incompatible with socket in client connect mode" },
        { "socket,id=x,path=a,server=on,reconnect=1",
          "-chardev: 'reconnect' option is incompatible with socket in server listen mode" },
        { "socket,id=x,port=1", "-chardev: socket: host= is missing" },
        { "socket,id=x,fd=2000", "-chardev: fd=2000 is no socket: Bad file descriptor" },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_assert_null(chardev_add(bad[i][0], &err));
        assert_error(err, bad[i][1]);
    }
    g_assert_null(chardev_add("udp,id=x", &err));
    g_assert_true(g_str_has_prefix(err->message, "-chardev: back-end 'udp' is not supported (there are: "));
    g_clear_error(&err);
    char longpath[200];
    memset(longpath, 'a', sizeof(longpath) - 1);
    longpath[199] = 0;
    g_autofree char *text = g_strdup_printf("socket,id=x,server=on,wait=off,path=%s", longpath);
    g_assert_null(chardev_add(text, &err));
    g_assert_nonnull(strstr(err->message, "is too long (at most 107 bytes)"));
    g_clear_error(&err);

    Port p, q;
    port_attach(&p, chardev("null,id=n"));
    q.fe = char_attach(chardev_find("n"), &port_handlers, &q, &err);
    g_assert_null(q.fe);
    assert_error(err, "Device 'n' is in use");
    g_assert_null(chardev_add("null,id=n", &err));
    assert_error(err, "-chardev: Duplicate ID 'n' for chardev");
    g_assert_false(chardev_remove("n", &err));
    assert_error(err, "Chardev 'n' is busy");
    port_free(&p);
    g_assert_true(chardev_remove("n", &err));
    g_assert_false(chardev_remove("n", &err));
    assert_error(err, "Chardev 'n' not found");
    g_assert_cmpint(char_write(NULL, "x", 1), ==, 1);
    char_accept_input(NULL);
    char_detach(NULL);
}

static void test_specs(void)
{
    Error *err = NULL;
    g_assert_null(chardev_from_spec("s", "none", NULL, &err));
    g_assert_no_error(err);
    g_assert_null(chardev_from_spec("s", "chardev:nope", NULL, &err));
    assert_error(err, "chardev 'nope' not found");
    CharDev *c = chardev_from_spec("s", "null", NULL, &err);
    g_assert_true(c && chardev_from_spec("t", "chardev:s", NULL, &err) == c);
    chardev_remove("s", NULL);
    g_assert_null(chardev_from_spec("s", "tcp:localhost", NULL, &err));
    assert_error(err, "'tcp:localhost': an address is written HOST:PORT");
    g_assert_null(chardev_from_spec("s", "vc:80Cx24", NULL, &err));
    g_assert_nonnull(strstr(err->message, "the size is written WIDTHxHEIGHT (pixels) or COLSCxROWSC"));
    g_clear_error(&err);
    g_assert_null(chardev_from_spec("s", "bogus", NULL, &err));
    g_assert_true(g_str_has_prefix(err->message, "'bogus' is no character device (use none, "));
    g_clear_error(&err);
    c = chardev_from_spec("s", "telnet:127.0.0.1:0,server=on,wait=off,nodelay", NULL, &err);
    g_assert_no_error(err);
    g_autofree char *name = chardev_filename(c);
    g_assert_true(g_str_has_prefix(name, "disconnected:telnet:127.0.0.1:") && g_str_has_suffix(name, ",server=on"));
    chardev_remove("s", NULL);
    c = chardev_from_spec("s", "tcp:[::1]:0,server,nowait", NULL, &err);
    if (c) {                                    /* the host has IPv6 */
        g_autofree char *v6 = chardev_filename(c);
        g_assert_true(g_str_has_prefix(v6, "disconnected:tcp:[::1]:"));
        chardev_remove("s", NULL);
    }
    g_clear_error(&err);
}

static void test_logfile(void)
{
    g_autofree char *path = g_build_filename(dir, "log.txt", NULL), *text = NULL;
    Port p;
    port_attach(&p, chardev("null,id=l,logfile=%s", path));
    char_write(p.fe, "logged", 6);
    port_free(&p);
    chardev_remove("l", NULL);
    g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
    g_assert_cmpstr(text, ==, "logged");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    mainloop_init();
    chardev_init();
    dir = g_dir_make_tmp("orrery-char-XXXXXX", NULL);
    g_test_add_func("/chardev/stdio", test_stdio);
    g_test_add_func("/chardev/file", test_file);
    g_test_add_func("/chardev/unix-server", test_unix_server);
    g_test_add_func("/chardev/back-pressure", test_back_pressure);
    g_test_add_func("/chardev/telnet", test_telnet);
    g_test_add_func("/chardev/client", test_client);
    g_test_add_func("/chardev/wait", test_wait);
    g_test_add_func("/chardev/pty", test_pty);
    g_test_add_func("/chardev/pipe", test_pipe);
    g_test_add_func("/chardev/ringbuf", test_ringbuf);
    g_test_add_func("/chardev/mux", test_mux);
    g_test_add_func("/chardev/errors", test_errors);
    g_test_add_func("/chardev/specs", test_specs);
    g_test_add_func("/chardev/logfile", test_logfile);
    int ret = g_test_run();
    remove_folder(dir);
    return ret;
}
