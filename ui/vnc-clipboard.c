/* SPDX-License-Identifier: MIT */
/*
 * VNC: the clipboard.  RFC 6143 has texts in Latin-1 (7.5.6, 7.6.4); the extension of the
 * rfbproto document ("Extended Clipboard Pseudo-Encoding") has UTF-8, deflated, and tells first
 * that there is a text, then gives it to those who ask.
 *
 * A client's text is asked for as soon as it is told of, see ui/clipboard.c.
 */
#include "ui/vnc-int.h"

#include <string.h>

#include "ui/clipboard.h"

enum { FORMAT_TEXT = 1 << 0 };
enum { CAPS = 1 << 24, REQUEST = 1 << 25, PEEK = 1 << 26, NOTIFY = 1 << 27, PROVIDE = 1 << 28 };
#define ACTIONS     (REQUEST | PEEK | NOTIFY | PROVIDE)
#define CUT_TEXT    3                   /* ServerCutText */

static void text_changed(void *opaque, const char *text, size_t len);
static const ClipboardPeer peer = { text_changed };

static uint32_t be32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | p[1] << 16 | p[2] << 8 | p[3];
}

/* ---- to the client --------------------------------------------------------------------- */

static bool send_text(VncClient *c, int32_t length, const void *data, size_t len)
{
    g_autoptr(GByteArray) m = g_byte_array_new();
    uint32_t head[2] = { GUINT32_TO_BE((uint32_t)CUT_TEXT << 24), GUINT32_TO_BE((uint32_t)length) };

    g_byte_array_append(m, (const uint8_t *)head, sizeof(head));
    g_byte_array_append(m, data, len);
    return vnc_send_message(c, m->data, m->len);
}

static bool send_extended(VncClient *c, uint32_t flags, const void *data, size_t len)
{
    g_autoptr(GByteArray) m = g_byte_array_new();
    uint32_t head = GUINT32_TO_BE(flags);

    g_byte_array_append(m, (const uint8_t *)&head, sizeof(head));
    g_byte_array_append(m, data, len);
    return send_text(c, -(int32_t)m->len, m->data, m->len);
}

/* Its size tells from how many bytes on a client should tell before it gives: always. */
static void send_caps(VncClient *c)
{
    static const uint8_t sizes[4];

    send_extended(c, CAPS | ACTIONS | FORMAT_TEXT, sizes, sizeof(sizes));
}

static bool send_notify(VncClient *c)
{
    size_t len;

    return send_extended(c, NOTIFY | (clipboard_text(&len) ? FORMAT_TEXT : 0), NULL, 0);
}

/* Length, text with CR LF and a NUL: a stream of zlib's of its own. */
static void send_provide(VncClient *c)
{
    size_t len;
    const char *text = clipboard_text(&len);
    g_autoptr(GByteArray) plain = g_byte_array_new(), packed = g_byte_array_new();
    static const uint8_t room[4];

    if (!text) {
        send_notify(c);
        return;
    }
    g_byte_array_append(plain, room, 4);
    for (size_t i = 0; i < len; i++) {
        g_byte_array_append(plain, (const uint8_t *)(text[i] == '\n' ? "\r\n" : text + i), text[i] == '\n' ? 2 : 1);
    }
    g_byte_array_append(plain, room, 1);
    uint32_t n = GUINT32_TO_BE(plain->len - 4);
    memcpy(plain->data, &n, 4);
    uLongf size = compressBound(plain->len);
    g_byte_array_set_size(packed, size);
    if (compress2(packed->data, &size, plain->data, plain->len, 6) == Z_OK) {
        send_extended(c, PROVIDE | FORMAT_TEXT, packed->data, size);
    }
}

/* What Latin-1 lacks becomes a question mark. */
static bool send_latin1(VncClient *c, const char *text)
{
    g_autoptr(GString) s = g_string_new(NULL);

    for (const char *p = text; *p; p = g_utf8_next_char(p)) {
        gunichar u = g_utf8_get_char(p);
        g_string_append_c(s, u < 0x100 ? (char)u : '?');
    }
    return send_text(c, s->len, s->str, s->len);
}

/* Clients that do not read hear of the last text only when they do. */
static void tell(VncClient *c)
{
    size_t len;
    const char *text = clipboard_text(&len);

    if (text && c->initialized) {
        c->clipboard_waits = c->features & HAS_CLIPBOARD ? !send_notify(c) : !send_latin1(c, text);
    }
}

static void text_changed(void *opaque, const char *text, size_t len)
{
    VncClient *c = opaque;

    if (!c->closing) {
        tell(c);
        vnc_flush(c);
    }
}

void vnc_clipboard_continue(VncClient *c)
{
    if (c->clipboard_waits) {
        tell(c);
    }
}

void vnc_clipboard_join(VncClient *c)
{
    clipboard_join(&peer, c);
}

void vnc_clipboard_leave(VncClient *c)
{
    clipboard_leave(&peer, c);
    g_clear_pointer(&c->cut, g_byte_array_unref);
}

void vnc_clipboard_announce(VncClient *c)
{
    send_caps(c);
    tell(c);
}

/* ---- from the client ------------------------------------------------------------------- */

static void take_latin1(VncClient *c, const uint8_t *p, size_t len)
{
    g_autoptr(GString) s = g_string_sized_new(len);

    for (size_t i = 0; i < len; i++) {
        g_string_append_unichar(s, p[i]);
    }
    clipboard_set(&peer, c, s->str, s->len);
}

/* The text of a "provide"; what follows it, in other formats, is not looked at. */
static void take_provide(VncClient *c, const uint8_t *p, size_t len)
{
    size_t room = 4 + CLIPBOARD_MAX + 1;
    g_autofree uint8_t *plain = g_malloc(room);
    z_stream z = { .next_in = (uint8_t *)p, .avail_in = len, .next_out = plain, .avail_out = room };

    if (inflateInit(&z) != Z_OK) {
        return;
    }
    int r = inflate(&z, Z_SYNC_FLUSH);
    size_t got = room - z.avail_out;
    inflateEnd(&z);
    if ((r == Z_OK || r == Z_STREAM_END || r == Z_BUF_ERROR) && got >= 4 && be32(plain) <= got - 4) {
        clipboard_set(&peer, c, (const char *)plain + 4, be32(plain));
    }
}

static void take_extended(VncClient *c, const uint8_t *p, size_t len)
{
    uint32_t flags = len >= 4 ? be32(p) : 0;

    if (!(c->features & HAS_CLIPBOARD) || (flags & CAPS)) {
        return;                         /* capabilities: whatever it can, text is all we have */
    }
    switch (flags & ACTIONS) {
    case NOTIFY:
        if (flags & FORMAT_TEXT) {
            send_extended(c, REQUEST | FORMAT_TEXT, NULL, 0);
        }
        break;
    case REQUEST:
        if (flags & FORMAT_TEXT) {
            send_provide(c);
        }
        break;
    case PEEK:
        send_notify(c);
        break;
    case PROVIDE:
        if (flags & FORMAT_TEXT) {
            take_provide(c, p + 4, len - 4);
        }
        break;
    }
}

void vnc_clipboard_begin(VncClient *c, bool extended, uint32_t len)
{
    c->cut_extended = extended;
    /* longer ones are read, and dropped */
    c->cut = len <= CLIPBOARD_MAX ? g_byte_array_sized_new(len) : NULL;
}

void vnc_clipboard_bytes(VncClient *c, const uint8_t *p, size_t len, bool last)
{
    if (c->cut) {
        g_byte_array_append(c->cut, p, len);
    }
    if (c->cut && last) {
        GByteArray *cut = g_steal_pointer(&c->cut);
        if (c->cut_extended) {
            take_extended(c, cut->data, cut->len);
        } else {
            take_latin1(c, cut->data, cut->len);
        }
        g_byte_array_unref(cut);
    }
}
