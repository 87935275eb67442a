/* SPDX-License-Identifier: MIT */
/*
 * Character devices: the list, front ends, and the way of bytes between front and back ends.
 */
#include "chardev/backend.h"
#include "util/mainloop.h"
#include "util/parse.h"
#include "util/prop.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define MAX_QUEUE (1 << 20)

/* Bounds of the section; the linker defines them. */
extern const CharBackend *const __start_orrery_chardevs[] __attribute__((weak));
extern const CharBackend *const __stop_orrery_chardevs[] __attribute__((weak));

CharHooks char_hooks;

static GPtrArray *chardevs;             /* of CharDev* */

void chardev_say(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
    fflush(stderr);
}

/* ---- life --------------------------------------------------------------------------- */

static const CharBackend *find_backend(const char *name)
{
    const CharBackend *const *b;
    for (b = __start_orrery_chardevs; b < __stop_orrery_chardevs; b++) {
        if (!strcmp((*b)->name, name)) {
            return *b;
        }
    }
    return NULL;
}

static bool unknown_backend(const char *name, Error **err)
{
    /* what QEMU has and we have not, so that the message can say more than "unknown" */
    static const char *const others[] = { "udp", "msmouse", "wctablet", "braille", "testdev",
                                          "parallel", "parport", "spicevmc", "spiceport", "dbus",
                                          "console", NULL };
    const char *names[32];
    unsigned n = 0;
    const CharBackend *const *b;
    for (b = __start_orrery_chardevs; b < __stop_orrery_chardevs && n < 31; b++) {
        names[n++] = (*b)->name;
    }
    names[n] = NULL;
    g_autofree char *all = g_strjoinv(", ", (char **)names);
    if (g_strv_contains(others, name)) {
        return fail(err, "-chardev: back-end '%s' is not supported (there are: %s)", name, all);
    }
    const char *near = nearest_name(name, names, n);
    return near ? fail(err, "-chardev: '%s' is not a valid char driver name (did you mean '%s'?)",
                       name, near)
                : fail(err, "-chardev: '%s' is not a valid char driver name (there are: %s)", name, all);
}

static void free_chardev(CharDev *c)
{
    if (c->log_fd >= 0) {
        close(c->log_fd);
    }
    g_ptr_array_unref(c->fronts);
    g_byte_array_unref(c->queue);
    g_free(c->state);
    g_free(c->id);
    g_free(c);
}

static bool open_log(CharDev *c, Opts *o, Error **err)
{
    const char *path = opts_get(o, "logfile");
    bool append;
    if (!opts_bool(o, "logappend", false, &append, err)) {
        return false;
    }
    if (path) {
        c->log_fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | (append ? O_APPEND : O_TRUNC), 0666);
        if (c->log_fd < 0) {
            return fail_errno(err, errno, "-chardev: logfile '%s'", path);
        }
    }
    return true;
}

static bool open_backend(CharDev *c, Opts *o, Error **err)
{
    if (!opts_bool(o, "mux", false, &c->mux, err) || !open_log(c, o, err)
        || !c->backend->open(c, o, err)) {
        return false;
    }
    if (!opts_check_unused(o, err)) {
        c->backend->close(c);
        return false;
    }
    return true;
}

CharDev *chardev_open(Opts *o, Error **err)
{
    const char *name = opts_get(o, "backend"), *id = opts_get(o, "id");
    if (!name || !id) {
        fail(err, "-chardev: %s", !name ? "no back-end given (see -chardev help)"
                                        : "Parameter 'id' is missing");
        return NULL;
    }
    const CharBackend *b = find_backend(!strcmp(name, "tty") ? "serial" : name);
    if (!b) {
        unknown_backend(name, err);
        return NULL;
    }
    if (chardev_find(id)) {
        fail(err, "-chardev: Duplicate ID '%s' for chardev", id);
        return NULL;
    }
    CharDev *c = g_new0(CharDev, 1);
    c->id = g_strdup(id);
    c->backend = b;
    c->log_fd = -1;
    c->fronts = g_ptr_array_new();
    c->queue = g_byte_array_new();
    c->state = g_malloc0(MAX(b->size, 1));
    if (!open_backend(c, o, err)) {
        free_chardev(c);
        return NULL;
    }
    if (!chardevs) {
        chardevs = g_ptr_array_new();
    }
    g_ptr_array_add(chardevs, c);
    return c;
}

CharDev *chardev_add(const char *options, Error **err)
{
    static const char *const flags[] = { "wait", "delay", "nodelay", "server", "ipv4", "ipv6", "mux",
                                         "telnet", "append", "signal", NULL };
    g_autoptr(Opts) o = opts_parse("-chardev", options, "backend", flags, err);
    return o ? chardev_open(o, err) : NULL;
}

CharDev *chardev_find(const char *id)
{
    for (guint i = 0; chardevs && i < chardevs->len; i++) {
        CharDev *c = chardevs->pdata[i];
        if (!strcmp(c->id, id)) {
            return c;
        }
    }
    return NULL;
}

const char *chardev_id(const CharDev *c)
{
    return c->id;
}

char *chardev_filename(const CharDev *c)
{
    return c->backend->filename ? c->backend->filename((CharDev *)c) : g_strdup(c->backend->name);
}

bool chardev_busy(const CharDev *c)
{
    return c->fronts->len > 0;
}

bool chardev_front_open(const CharDev *c)
{
    for (guint i = 0; i < c->fronts->len; i++) {
        if (!((const CharFront *)c->fronts->pdata[i])->shut) {
            return true;
        }
    }
    return false;
}

void chardev_foreach(void (*fn)(CharDev *c, void *opaque), void *opaque)
{
    for (guint i = 0; chardevs && i < chardevs->len; i++) {
        fn(chardevs->pdata[i], opaque);
    }
}

static void destroy(CharDev *c)
{
    g_ptr_array_remove(chardevs, c);
    c->backend->close(c);
    free_chardev(c);
}

bool chardev_remove(const char *id, Error **err)
{
    CharDev *c = chardev_find(id);
    if (!c) {
        return fail(err, "Chardev '%s' not found", id);
    }
    if (chardev_busy(c)) {
        return fail(err, "Chardev '%s' is busy", id);
    }
    destroy(c);
    return true;
}

void chardev_help(GString *out)
{
    g_string_append(out, "Available chardev backend types:\n");
    const CharBackend *const *b;
    for (b = __start_orrery_chardevs; b < __stop_orrery_chardevs; b++) {
        g_string_append_printf(out, "  %-10s %s\n", (*b)->name, (*b)->desc);
    }
}

/* ---- front ends --------------------------------------------------------------------- */

/* Fronts that are owed CHAR_OPENED get it. */
static void send_opened(void *opaque)
{
    for (guint i = 0; chardevs && i < chardevs->len; i++) {
        CharDev *c = chardevs->pdata[i];
        for (guint k = 0; k < c->fronts->len; k++) {
            CharFront *f = c->fronts->pdata[k];
            if (!f->opened_pending) {
                continue;
            }
            f->opened_pending = false;
            if (c->open && f->handlers->event) {
                f->handlers->event(f->opaque, CHAR_OPENED);
                if (k >= c->fronts->len || c->fronts->pdata[k] != f) {
                    mainloop_defer(send_opened, NULL);  /* it detached itself: look again */
                    return;
                }
            }
        }
        if (c->backend->want_read) {
            c->backend->want_read(c);
        }
    }
}

CharFront *char_attach(CharDev *c, const CharHandlers *h, void *opaque, Error **err)
{
    if (c->fronts->len && !c->mux) {
        fail(err, "Device '%s' is in use", c->id);
        return NULL;
    }
    CharFront *f = g_new0(CharFront, 1);
    f->dev = c;
    f->handlers = h;
    f->opaque = opaque;
    f->input = g_byte_array_new();
    f->opened_pending = true;
    g_ptr_array_add(c->fronts, f);
    /* the last one: boards attach their serial ports after the monitor is there, and the guest
     * is what people want to talk to */
    if (c->mux) {
        mux_set_focus(c, f);
    } else {
        c->focus = f;
    }
    mainloop_defer(send_opened, NULL);
    return f;
}

static void free_front(void *opaque)
{
    CharFront *f = opaque;
    g_byte_array_unref(f->input);
    g_free(f);
}

void char_detach(CharFront *f)
{
    if (!f) {
        return;
    }
    CharDev *c = f->dev;
    g_ptr_array_remove(c->fronts, f);
    f->handlers = NULL;
    if (c->focus == f) {
        c->focus = c->fronts->len ? c->fronts->pdata[0] : NULL;
    }
    mainloop_defer(free_front, f);      /* one of its handlers may be running */
}

bool char_open(const CharFront *f)
{
    return f && f->dev->open;
}

void char_set_front_open(CharFront *f, bool open)
{
    if (f && f->shut == open) {
        f->shut = !open;
        if (f->dev->backend->front_open) {
            f->dev->backend->front_open(f->dev, open);
        }
    }
}

void char_accept_input(CharFront *f)
{
    if (!f) {
        return;
    }
    if (f->dev->mux) {
        mux_deliver(f->dev);
    }
    if (f->dev->backend->want_read) {
        f->dev->backend->want_read(f->dev);
    }
}

void char_take_focus(CharFront *f)
{
    if (f && f->dev->focus != f) {
        mux_set_focus(f->dev, f);
    }
}

void char_set_echo(CharFront *f, bool on)
{
    if (f && f->dev->backend->set_echo) {
        f->dev->backend->set_echo(f->dev, on);
    }
}

int char_take_fd(CharFront *f)
{
    return f && f->dev->backend->take_fd ? f->dev->backend->take_fd(f->dev) : -1;
}

void char_set_serial(CharFront *f, const CharSerialParams *p)
{
    if (f && f->dev->backend->set_serial) {
        f->dev->backend->set_serial(f->dev, p);
    }
}

void char_set_break(CharFront *f, bool on)
{
    if (f && f->dev->backend->set_break) {
        f->dev->backend->set_break(f->dev, on);
    }
}

bool char_get_modem(CharFront *f, int *lines)
{
    return f && f->dev->backend->get_modem && f->dev->backend->get_modem(f->dev, lines);
}

void char_set_modem(CharFront *f, int lines)
{
    if (f && f->dev->backend->set_modem) {
        f->dev->backend->set_modem(f->dev, lines);
    }
}

/* ---- output ------------------------------------------------------------------------- */

static void log_output(CharDev *c, const uint8_t *buf, int len)
{
    while (c->log_fd >= 0 && len > 0) {
        ssize_t n = write(c->log_fd, buf, len);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            warn_report("chardev '%s': logfile: %s", c->id, g_strerror(errno));
            close(c->log_fd);
            c->log_fd = -1;
            return;
        }
        buf += n;
        len -= n;
    }
}

static int push(CharDev *c, const uint8_t *buf, int len)
{
    if (!c->open || !c->backend->write) {
        log_output(c, buf, len);
        return len;
    }
    int n = c->mux ? mux_write(c, buf, len) : c->backend->write(c, buf, len);
    log_output(c, buf, n);
    return n;
}

static guint queued(const CharDev *c)
{
    return c->queue->len - c->queue_head;
}

/* false: some of the queue is still waiting. */
static bool push_queue(CharDev *c)
{
    c->queue_head += push(c, c->queue->data + c->queue_head, queued(c));
    if (queued(c)) {
        if (c->queue_head > MAX(MAX_QUEUE, c->queue->len / 2)) {
            g_byte_array_remove_range(c->queue, 0, c->queue_head);
            c->queue_head = 0;
        }
        return false;
    }
    g_byte_array_set_size(c->queue, 0);
    c->queue_head = 0;
    return true;
}

int char_write(CharFront *f, const void *buf, int len)
{
    if (!f || len <= 0) {
        return len;
    }
    CharDev *c = f->dev;
    int n = c->queue->len ? 0 : push(c, buf, len);
    if (n < len) {
        f->blocked = true;
        c->backend->want_write(c);
    }
    return n;
}

void char_write_all(CharFront *f, const void *buf, int len)
{
    if (!f || len <= 0) {
        return;
    }
    CharDev *c = f->dev;
    int n = c->queue->len ? 0 : push(c, buf, len);
    if (n < len && queued(c) < MAX_QUEUE) {
        g_byte_array_append(c->queue, (const guint8 *)buf + n, len - n);
        c->backend->want_write(c);
    }
}

void char_printf(CharFront *f, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    g_autofree char *text = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    char_write_all(f, text, strlen(text));
}

void chardev_writable(CharDev *c)
{
    if (c->queue->len && !push_queue(c)) {
        c->backend->want_write(c);
        return;
    }
    for (guint i = 0; i < c->fronts->len; i++) {
        CharFront *f = c->fronts->pdata[i];
        if (f->blocked) {
            f->blocked = false;
            if (f->handlers->writable) {
                f->handlers->writable(f->opaque);
            }
        }
    }
}

/* ---- input and events ---------------------------------------------------------------- */

int chardev_can_read(CharDev *c)
{
    if (c->mux) {
        return mux_can_read(c);
    }
    CharFront *f = c->focus;
    return f && f->handlers->can_read && f->handlers->read ? f->handlers->can_read(f->opaque) : 0;
}

void chardev_input(CharDev *c, const uint8_t *buf, int len)
{
    if (c->mux) {
        mux_input(c, buf, len);
    } else if (c->focus && c->focus->handlers->read) {
        c->focus->handlers->read(c->focus->opaque, buf, len);
    }
}

void chardev_event(CharDev *c, CharEvent e)
{
    if (c->focus && c->focus->handlers->event) {
        c->focus->handlers->event(c->focus->opaque, e);
    }
}

void chardev_set_open(CharDev *c, bool open)
{
    if (c->open == open) {
        return;
    }
    c->open = open;
    if (!open) {
        g_byte_array_set_size(c->queue, 0);
        c->queue_head = 0;
    }
    g_autoptr(GPtrArray) fronts = g_ptr_array_copy(c->fronts, NULL, NULL);
    for (guint i = 0; i < fronts->len; i++) {
        CharFront *f = fronts->pdata[i];
        f->opened_pending = false;
        if (f->handlers && f->handlers->event) {
            f->handlers->event(f->opaque, open ? CHAR_OPENED : CHAR_CLOSED);
        }
    }
    chardev_writable(c);                /* output no longer waits for who is gone */
}

/* ---- exit --------------------------------------------------------------------------- */

/* The last words of a guest should not be lost because a pipe was full for a moment. */
static void flush_queue(CharDev *c)
{
    for (int i = 0; i < 100 && c->queue->len && c->open; i++) {
        guint before = queued(c);
        if (!push_queue(c) && queued(c) == before) {
            g_usleep(10000);
        }
    }
}

void chardev_cleanup(void)
{
    while (chardevs && chardevs->len) {
        CharDev *c = chardevs->pdata[chardevs->len - 1];
        flush_queue(c);
        destroy(c);
    }
}

/* ---- the "chardev" property of devices ------------------------------------------------- */

static void *resolve(const char *id, Error **err)
{
    return chardev_find(id);
}

static const char *label(const void *chardev)
{
    return chardev_id(chardev);
}

void chardev_init(void)
{
    prop_set_resolver(PROP_KIND_CHARDEV, resolve, label);
}
