/* SPDX-License-Identifier: MIT */
/*
 * Back-end "qemu-vdagent": the host's side of the agent that runs in a guest's desktop
 * (spice-vdagent), on a port named com.redhat.spice.0 of virtio-serial.  It passes clipboard text
 * both ways and, with mouse=on, gives the guest an absolute pointer.
 *
 * Protocol: "Agent Protocol" of the SPICE documentation: chunks { port, size } with pieces of
 * messages { protocol, type, opaque, size } in little-endian.  The guest is not trusted: a
 * message longer than the longest that means something is passed over.
 */
#include <string.h>

#include "chardev/backend.h"
#include "ui/clipboard.h"
#include "ui/console.h"
#include "ui/input.h"
#include "util/bits.h"

#define CHUNK_HEAD      8
#define HEAD            20
#define CHUNK_MAX       2048            /* data of one, to the guest */
#define CLIENT_PORT     1
#define PROTOCOL        1
#define MESSAGE_MAX     (CLIPBOARD_MAX + 64)
#define QUEUE_MAX       (2 * MESSAGE_MAX)

enum { M_MOUSE_STATE = 1, M_CLIPBOARD = 4, M_ANNOUNCE = 6, M_GRAB = 7, M_REQUEST = 8, M_RELEASE = 9 };
enum { CAP_MOUSE_STATE = 0, CAP_BY_DEMAND = 5, CAP_SELECTION = 6, CAP_GRAB_SERIAL = 17 };
enum { TYPE_NONE, TYPE_TEXT };
enum { SELECTION_CLIPBOARD = 0 };
enum { MOUSE_LEFT = 1 << 1, MOUSE_MIDDLE = 1 << 2, MOUSE_RIGHT = 1 << 3, MOUSE_UP = 1 << 4,
       MOUSE_DOWN = 1 << 5, MOUSE_SIDE = 1 << 6, MOUSE_EXTRA = 1 << 7 };

typedef struct CharVdagent {
    CharDev *chr;
    bool mouse, clipboard;              /* options */
    bool connected;                     /* an agent is there */
    bool mouse_registered;
    uint32_t caps;                      /* of the agent */
    GByteArray *in, *out;               /* a message as far as it came; bytes for the guest */
    uint8_t head[CHUNK_HEAD];           /* of the chunk that is coming */
    uint32_t head_len, chunk_left;
    uint64_t skip;                      /* bytes of a message that is passed over */
    uint32_t grab_serial;
    uint32_t x, y, buttons;             /* of the pointer: 0..INPUT_ABS_MAX */
} CharVdagent;

static bool can(const CharVdagent *s, unsigned cap)
{
    return s->caps >> cap & 1;
}

/* ---- to the guest ------------------------------------------------------------------------ */

static void deliver(CharDev *c)
{
    CharVdagent *s = c->state;
    int room;

    while (s->out->len && (room = chardev_can_read(c)) > 0) {
        guint n = MIN((guint)room, s->out->len);
        g_autofree uint8_t *bytes = g_memdup2(s->out->data, n);
        g_byte_array_remove_range(s->out, 0, n);
        chardev_input(c, bytes, n);
    }
}

static void put_u32(GByteArray *a, uint32_t v)
{
    uint8_t b[4];
    st32_le(b, v);
    g_byte_array_append(a, b, 4);
}

/* A guest that reads nothing gets nothing more. */
static void send_message(CharVdagent *s, uint32_t type, const GByteArray *data)
{
    g_autoptr(GByteArray) m = g_byte_array_new();

    if (!s->connected || s->out->len + data->len > QUEUE_MAX) {
        return;
    }
    put_u32(m, PROTOCOL);
    put_u32(m, type);
    put_u32(m, 0);
    put_u32(m, 0);
    put_u32(m, data->len);
    g_byte_array_append(m, data->data, data->len);
    for (guint at = 0; at < m->len; at += CHUNK_MAX) {
        guint n = MIN((guint)CHUNK_MAX, m->len - at);
        put_u32(s->out, CLIENT_PORT);
        put_u32(s->out, n);
        g_byte_array_append(s->out, m->data + at, n);
    }
    deliver(s->chr);
}

static void send_caps(CharVdagent *s, bool request)
{
    g_autoptr(GByteArray) d = g_byte_array_new();
    uint32_t caps = (s->mouse ? 1u << CAP_MOUSE_STATE : 0)
                    | (s->clipboard ? 1u << CAP_BY_DEMAND | 1u << CAP_SELECTION | 1u << CAP_GRAB_SERIAL : 0);

    put_u32(d, request);
    put_u32(d, caps);
    send_message(s, M_ANNOUNCE, d);
}

/* Which clipboard, for agents that know more than one */
static void put_selection(const CharVdagent *s, GByteArray *d)
{
    if (can(s, CAP_SELECTION)) {
        put_u32(d, SELECTION_CLIPBOARD);
    }
}

static void send_grab(CharVdagent *s)
{
    g_autoptr(GByteArray) d = g_byte_array_new();

    if (!can(s, CAP_BY_DEMAND)) {
        return;
    }
    put_selection(s, d);
    if (can(s, CAP_GRAB_SERIAL)) {
        put_u32(d, s->grab_serial++);
    }
    put_u32(d, TYPE_TEXT);
    send_message(s, M_GRAB, d);
}

static void send_request(CharVdagent *s)
{
    g_autoptr(GByteArray) d = g_byte_array_new();

    put_selection(s, d);
    put_u32(d, TYPE_TEXT);
    send_message(s, M_REQUEST, d);
}

static void send_text(CharVdagent *s, uint32_t type)
{
    g_autoptr(GByteArray) d = g_byte_array_new();
    size_t len;
    const char *text = clipboard_text(&len);
    bool known = type == TYPE_TEXT && text;

    put_selection(s, d);
    put_u32(d, known ? TYPE_TEXT : TYPE_NONE);
    if (known) {
        g_byte_array_append(d, (const uint8_t *)text, len);
    }
    send_message(s, M_CLIPBOARD, d);
}

static void text_changed(void *opaque, const char *text, size_t len)
{
    send_grab(opaque);
}

static const ClipboardPeer peer = { text_changed };

/* ---- the pointer --------------------------------------------------------------------------- */

static void mouse_abs(void *opaque, int x, int y)
{
    CharVdagent *s = opaque;
    s->x = x;
    s->y = y;
}

static void mouse_button(void *opaque, unsigned button, bool down)
{
    static const uint8_t bits[BTN_COUNT] = {
        [BTN_LEFT] = MOUSE_LEFT, [BTN_MIDDLE] = MOUSE_MIDDLE, [BTN_RIGHT] = MOUSE_RIGHT,
        [BTN_WHEEL_UP] = MOUSE_UP, [BTN_WHEEL_DOWN] = MOUSE_DOWN, [BTN_SIDE] = MOUSE_SIDE,
        [BTN_EXTRA] = MOUSE_EXTRA,
    };
    CharVdagent *s = opaque;

    if (button < BTN_COUNT) {
        s->buttons = down ? s->buttons | bits[button] : s->buttons & ~bits[button];
    }
}

static void mouse_sync(void *opaque)
{
    CharVdagent *s = opaque;
    g_autoptr(GByteArray) d = g_byte_array_new();
    Console *con = console_by_index(0);
    pixman_image_t *img = con ? console_surface(con) : NULL;
    uint32_t w = img ? pixman_image_get_width(img) : 1, h = img ? pixman_image_get_height(img) : 1;
    static const uint8_t display;

    put_u32(d, (uint64_t)s->x * (w - 1) / INPUT_ABS_MAX);
    put_u32(d, (uint64_t)s->y * (h - 1) / INPUT_ABS_MAX);
    put_u32(d, s->buttons);
    g_byte_array_append(d, &display, 1);
    send_message(s, M_MOUSE_STATE, d);
}

static const InputHandler mouse_handler = {
    .name = "vdagent mouse", .mask = INPUT_POINTER_ABS, .button = mouse_button, .abs = mouse_abs,
    .sync = mouse_sync,
};

static void register_mouse(CharVdagent *s, bool on)
{
    if (on == s->mouse_registered) {
        return;
    }
    s->mouse_registered = on;
    s->buttons = 0;
    if (on) {
        input_register(&mouse_handler, s);
    } else {
        input_unregister(&mouse_handler, s);
    }
}

/* ---- from the guest -------------------------------------------------------------------------- */

static void take_caps(CharVdagent *s, const uint8_t *p, uint32_t len)
{
    size_t size;

    if (len < 8) {
        return;
    }
    s->caps = ld32_le(p + 4);
    if (ld32_le(p)) {
        send_caps(s, false);
    }
    register_mouse(s, s->mouse && can(s, CAP_MOUSE_STATE));
    if (s->clipboard && clipboard_text(&size)) {
        send_grab(s);
    }
}

static void take_grab(CharVdagent *s, const uint8_t *p, uint32_t len)
{
    uint32_t skip = can(s, CAP_GRAB_SERIAL) ? 4 : 0;

    for (uint32_t at = skip; at + 4 <= len; at += 4) {
        if (ld32_le(p + at) == TYPE_TEXT) {
            send_request(s);
            return;
        }
    }
}

static void take_clipboard_message(CharVdagent *s, uint32_t type, const uint8_t *p, uint32_t len)
{
    if (can(s, CAP_SELECTION)) {
        if (len < 4 || p[0] != SELECTION_CLIPBOARD) {
            return;                     /* what is marked only: hosts have no such thing here */
        }
        p += 4;
        len -= 4;
    }
    if (type == M_GRAB) {
        take_grab(s, p, len);
    } else if (len >= 4 && type == M_REQUEST) {
        send_text(s, ld32_le(p));
    } else if (len >= 4 && type == M_CLIPBOARD && ld32_le(p) == TYPE_TEXT) {
        clipboard_set(&peer, s, (const char *)p + 4, len - 4);
    }
}

static void take_message(CharVdagent *s, uint32_t type, const uint8_t *p, uint32_t len)
{
    switch (type) {
    case M_ANNOUNCE:
        take_caps(s, p, len);
        break;
    case M_GRAB: case M_REQUEST: case M_CLIPBOARD:
        if (s->clipboard) {
            take_clipboard_message(s, type, p, len);
        }
        break;
    }
}

/* Bytes of a message; several may share a chunk, or one may fill many. */
static void take_piece(CharVdagent *s, const uint8_t *p, uint32_t len)
{
    while (len) {
        uint32_t n;
        if (s->skip) {
            n = MIN(s->skip, len);
            s->skip -= n;
        } else {
            uint32_t want = s->in->len < HEAD ? HEAD : HEAD + ld32_le(s->in->data + 16);
            n = MIN(want - s->in->len, len);
            g_byte_array_append(s->in, p, n);
        }
        p += n;
        len -= n;
        if (s->in->len < HEAD) {
            continue;
        }
        uint32_t size = ld32_le(s->in->data + 16);
        if (size > MESSAGE_MAX) {
            s->skip = size;
            g_byte_array_set_size(s->in, 0);
        } else if (s->in->len == HEAD + size) {
            GByteArray *m = s->in;
            s->in = g_byte_array_new();
            if (ld32_le(m->data) == PROTOCOL) {
                take_message(s, ld32_le(m->data + 4), m->data + HEAD, size);
            }
            g_byte_array_unref(m);
        }
    }
}

static int vdagent_write(CharDev *c, const uint8_t *buf, int len)
{
    CharVdagent *s = c->state;
    uint32_t left = len;

    while (left) {
        uint32_t n;
        if (s->chunk_left) {
            n = MIN(s->chunk_left, left);
            s->chunk_left -= n;
            take_piece(s, buf, n);
        } else {
            n = MIN(CHUNK_HEAD - s->head_len, left);
            memcpy(s->head + s->head_len, buf, n);
            s->head_len += n;
            if (s->head_len == CHUNK_HEAD) {
                s->chunk_left = ld32_le(s->head + 4);
                s->head_len = 0;
            }
        }
        buf += n;
        left -= n;
    }
    return len;
}

/* ---- life ------------------------------------------------------------------------------------ */

/* The agent opened its port, or went. */
static void vdagent_front_open(CharDev *c, bool open)
{
    CharVdagent *s = c->state;

    if (s->connected && s->clipboard) {
        clipboard_leave(&peer, s);
    }
    register_mouse(s, false);
    s->connected = open;
    s->caps = s->head_len = s->chunk_left = 0;
    s->skip = 0;
    g_byte_array_set_size(s->in, 0);
    g_byte_array_set_size(s->out, 0);
    if (open) {
        if (s->clipboard) {
            clipboard_join(&peer, s);
        }
        send_caps(s, true);
    }
}

static bool vdagent_open(CharDev *c, Opts *o, Error **err)
{
    CharVdagent *s = c->state;

    if (!opts_bool(o, "mouse", true, &s->mouse, err) || !opts_bool(o, "clipboard", false, &s->clipboard, err)) {
        return false;
    }
    s->chr = c;
    s->in = g_byte_array_new();
    s->out = g_byte_array_new();
    c->open = true;
    return true;
}

static void vdagent_close(CharDev *c)
{
    CharVdagent *s = c->state;

    vdagent_front_open(c, false);
    g_byte_array_unref(s->in);
    g_byte_array_unref(s->out);
}

static const CharBackend vdagent_backend = {
    .name = "qemu-vdagent", .desc = "agent in the guest's desktop (mouse=on, clipboard=off)",
    .size = sizeof(CharVdagent), .open = vdagent_open, .close = vdagent_close, .write = vdagent_write,
    .want_read = deliver, .front_open = vdagent_front_open,
};
CHAR_BACKEND(vdagent_backend);
