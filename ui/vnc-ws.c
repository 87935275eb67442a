/* SPDX-License-Identifier: MIT */
/*
 * VNC over WebSocket (RFC 6455), so that a browser connects directly: the upgrade, and frames.
 *
 *     byte 0   7 FIN   3..0 opcode: 0 continuation, 1 text, 2 binary, 8 close, 9 ping, 10 pong
 *     byte 1   7 mask  6..0 length; 126: 16 bits follow, 127: 64 bits; then four bytes of mask
 *
 * A client's payload is handed on as it comes, whatever frames it was cut into.
 */
#include "ui/vnc-int.h"

#include <string.h>

#define WS_GUID         "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
#define REQUEST_MAX     8192
#define CONTROL_MAX     125

enum { WS_CONTINUATION = 0, WS_TEXT = 1, WS_BINARY = 2, WS_CLOSE = 8, WS_PING = 9, WS_PONG = 10 };

/* ---- the upgrade --------------------------------------------------------------------- */

/* Value of a header of the request, or NULL; g_free. */
static char *header(char **lines, const char *name)
{
    size_t n = strlen(name);

    for (char **l = lines + 1; *l; l++) {
        if (!g_ascii_strncasecmp(*l, name, n) && (*l)[n] == ':') {
            return g_strstrip(g_strdup(*l + n + 1));
        }
    }
    return NULL;
}

static bool lists_word(const char *list, const char *word)
{
    g_auto(GStrv) words = g_strsplit(list ? list : "", ",", -1);

    for (char **w = words; *w; w++) {
        if (!g_ascii_strcasecmp(g_strstrip(*w), word)) {
            return true;
        }
    }
    return false;
}

/* The answer to a request, NULL if it is none that we serve. */
static char *answer(char **lines)
{
    g_autofree char *upgrade = header(lines, "Upgrade"), *connection = header(lines, "Connection");
    g_autofree char *key = header(lines, "Sec-WebSocket-Key"), *host = header(lines, "Host");
    g_autofree char *version = header(lines, "Sec-WebSocket-Version");
    g_autofree char *protocol = header(lines, "Sec-WebSocket-Protocol");

    if (!g_str_has_prefix(lines[0], "GET ") || !lists_word(upgrade, "websocket")
        || !lists_word(connection, "Upgrade") || !key || strlen(key) > 64 || !host
        || g_strcmp0(version, "13") || (protocol && !lists_word(protocol, "binary"))) {
        return NULL;
    }
    g_autofree char *text = g_strconcat(key, WS_GUID, NULL);
    g_autoptr(GChecksum) sum = g_checksum_new(G_CHECKSUM_SHA1);
    uint8_t digest[20];
    gsize len = sizeof(digest);
    g_checksum_update(sum, (const guchar *)text, -1);
    g_checksum_get_digest(sum, digest, &len);
    g_autofree char *accept = g_base64_encode(digest, len);
    return g_strdup_printf("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                           "Connection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n%s\r\n", accept,
                           protocol ? "Sec-WebSocket-Protocol: binary\r\n" : "");
}

static void upgrade(VncClient *c)
{
    static const char bad[] = "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n";
    GByteArray *in = c->ws_in;
    const char *end = memmem(in->data, in->len, "\r\n\r\n", 4);

    if (!end) {
        if (in->len > REQUEST_MAX) {
            vnc_client_close(c);
        }
        return;
    }
    guint n = end + 4 - (const char *)in->data;
    g_autofree char *text = g_strndup((const char *)in->data, n - 4);
    g_auto(GStrv) lines = g_strsplit(text, "\r\n", -1);
    g_autofree char *reply = lines[0] ? answer(lines) : NULL;
    g_byte_array_remove_range(in, 0, n);
    const char *said = reply ? reply : bad;
    g_byte_array_append(c->wire, (const guint8 *)said, strlen(said));
    vnc_flush(c);
    if (!reply) {
        vnc_client_close(c);
        return;
    }
    c->ws_ready = true;
    vnc_greet(c);
}

/* ---- frames -------------------------------------------------------------------------- */

void vnc_ws_frame(GByteArray *out, uint8_t opcode, const uint8_t *data, size_t len)
{
    uint8_t head[10] = { 0x80 | opcode };
    guint n = 2;

    if (len < 126) {
        head[1] = len;
    } else if (len < 65536) {
        head[1] = 126;
        head[2] = len >> 8;
        head[3] = len;
        n = 4;
    } else {
        head[1] = 127;
        for (int i = 0; i < 8; i++) {
            head[2 + i] = (uint64_t)len >> (56 - 8 * i);
        }
        n = 10;
    }
    g_byte_array_append(out, head, n);
    g_byte_array_append(out, data, len);
}

static void unmask(VncClient *c, uint8_t *data, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        data[i] ^= c->ws_mask[c->ws_mask_at++ & 3];
    }
}

/* A frame's header at the beginning of ws_in: its length, 0 = not all there, or closes. */
static guint take_header(VncClient *c)
{
    const uint8_t *p = c->ws_in->data;
    guint have = c->ws_in->len, n = 2;

    if (have < 2) {
        return 0;
    }
    unsigned length = p[1] & 0x7f;
    n += length == 126 ? 2 : length == 127 ? 8 : 0;
    if (!(p[1] & 0x80) || (p[0] & 0x70)) {      /* clients must mask; there are no extensions */
        vnc_client_close(c);
        return 0;
    }
    if (have < n + 4) {
        return 0;
    }
    uint64_t left = length < 126 ? length : 0;
    for (guint i = 2; i < n; i++) {
        left = left << 8 | p[i];
    }
    c->ws_left = left;
    c->ws_opcode = p[0] & 15;
    memcpy(c->ws_mask, p + n, 4);
    c->ws_mask_at = 0;
    bool is_control = c->ws_opcode >= 8;
    if ((is_control && (left > CONTROL_MAX || !(p[0] & 0x80)))
        || (!is_control && c->ws_opcode > WS_BINARY) || c->ws_opcode > WS_PONG) {
        vnc_client_close(c);
        return 0;
    }
    return n + 4;
}

/* A control frame whose payload is all there. */
static void control(VncClient *c, uint8_t *data, size_t len)
{
    unmask(c, data, len);
    if (c->ws_opcode == WS_PONG) {
        return;
    }
    /* a close is answered with its own payload, a ping with a pong; behind what waits */
    if (vnc_pending(c) < OUT_HIGH) {
        vnc_ws_frame(c->wire, c->ws_opcode == WS_PING ? WS_PONG : WS_CLOSE, data, len);
    }
    if (c->ws_opcode == WS_CLOSE) {
        vnc_flush(c);
        vnc_client_close(c);
    }
}

void vnc_ws_input(VncClient *c, const uint8_t *data, size_t len)
{
    GByteArray *in = c->ws_in;
    bool between = !c->ws_left;

    g_byte_array_append(in, data, len);
    if (!c->ws_ready) {
        upgrade(c);
    }
    while (c->ws_ready && !c->closing && in->len) {
        if (between) {
            guint n = take_header(c);
            if (!n) {
                return;
            }
            g_byte_array_remove_range(in, 0, n);
        }
        if (c->ws_opcode >= 8) {
            if (in->len < c->ws_left) {
                between = false;
                return;
            }
            control(c, in->data, c->ws_left);
            g_byte_array_remove_range(in, 0, c->ws_left);
            c->ws_left = 0;
        } else {
            guint n = MIN(c->ws_left, in->len);
            unmask(c, in->data, n);
            vnc_take_bytes(c, in->data, n);
            g_byte_array_remove_range(in, 0, n);
            c->ws_left -= n;
        }
        between = !c->ws_left;
    }
}
