/* SPDX-License-Identifier: MIT */
/*
 * VNC: one connection: its socket, what is read from it and handed to whoever waits for so many
 * bytes, what waits to be written.
 */
#include "ui/vnc-int.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "util/event.h"
#include "util/mainloop.h"

#define WIRE_KEEP       (256 << 10)     /* an empty buffer larger than this is given back */

/* ---- output -------------------------------------------------------------------------- */

void vnc_send(VncClient *c, const void *data, size_t len)
{
    g_byte_array_append(c->out, data, len);
}

static bool in_update(const VncClient *c)
{
    return c->update.next < c->update.rects->len;
}

bool vnc_send_message(VncClient *c, const void *data, size_t len)
{
    if (c->closing || c->aside->len + vnc_pending(c) > ASIDE_MAX) {
        return false;
    }
    g_byte_array_append(in_update(c) ? c->aside : c->out, data, len);
    return true;
}

void vnc_send_u8(VncClient *c, uint8_t v)
{
    vnc_send(c, &v, 1);
}

void vnc_send_u16(VncClient *c, uint16_t v)
{
    uint8_t b[2] = { v >> 8, v };
    vnc_send(c, b, 2);
}

void vnc_send_u32(VncClient *c, uint32_t v)
{
    uint8_t b[4] = { v >> 24, v >> 16, v >> 8, v };
    vnc_send(c, b, 4);
}

size_t vnc_pending(const VncClient *c)
{
    return c->out->len + c->wire->len - c->wire_at;
}

static bool through_layer(VncClient *c)
{
    GByteArray *plain = c->out;

    c->out = g_byte_array_new();
    bool ok = vnc_sasl_encode(c, plain, c->out);
    g_byte_array_unref(plain);
    return ok;
}

void vnc_start_layer(VncClient *c)
{
    if (c->websocket) {
        vnc_ws_frame(c->wire, 2, c->out->data, c->out->len);
    } else {
        g_byte_array_append(c->wire, c->out->data, c->out->len);
    }
    g_byte_array_set_size(c->out, 0);
    c->layer = true;
}

/* What was produced becomes what is being sent. */
static void refill_wire(VncClient *c)
{
    if (c->wire->len > WIRE_KEEP) {
        g_byte_array_unref(c->wire);
        c->wire = g_byte_array_new();
    }
    g_byte_array_set_size(c->wire, 0);
    c->wire_at = 0;
    if (c->layer && !through_layer(c)) {
        vnc_client_close(c);
    } else if (c->websocket) {
        if (c->out->len) {
            vnc_ws_frame(c->wire, 2, c->out->data, c->out->len);
        }
        g_byte_array_set_size(c->out, 0);
    } else {
        GByteArray *swap = c->wire;
        c->wire = c->out;
        c->out = swap;
    }
}

static ssize_t write_some(VncClient *c, const uint8_t *data, size_t len)
{
    if (c->tls) {
        return tls_session_write(c->tls, data, len);
    }
    ssize_t n;
    do {
        n = send(c->fd, data, len, MSG_NOSIGNAL | MSG_DONTWAIT);
    } while (n < 0 && errno == EINTR);
    return n;
}

void vnc_flush(VncClient *c)
{
    if (c->closing || c->tls_handshake) {
        return;
    }
    while (vnc_pending(c)) {
        if (c->wire_at == c->wire->len) {
            refill_wire(c);
            if (c->closing) {
                return;
            }
        }
        ssize_t n = write_some(c, c->wire->data + c->wire_at, c->wire->len - c->wire_at);
        if (n < 0) {
            if (errno != EAGAIN) {
                vnc_client_close(c);
                return;
            }
            break;
        }
        c->wire_at += n;
    }
    vnc_watch(c);
}

/* ---- input --------------------------------------------------------------------------- */

void vnc_expect(VncClient *c, VncHandler *h, size_t bytes)
{
    c->handler = h;
    c->want = bytes;
}

static void dispatch(VncClient *c)
{
    guint at = 0;

    while (c->handler && !c->closing && !c->tls_handshake && c->in->len - at >= c->want) {
        size_t used = c->want, more = c->handler(c, c->in->data + at, c->in->len - at);
        if (c->closing) {
            break;
        }
        if (more) {
            if (more > MESSAGE_MAX) {
                vnc_client_close(c);
                break;
            }
            c->want = more;
        } else {
            at += used;
        }
    }
    g_byte_array_remove_range(c->in, 0, at);
    if (!c->in->len && c->in->data && !c->closing && c->want <= IN_CHUNK) {
        g_byte_array_set_size(c->in, 0);
    }
}

void vnc_take_bytes(VncClient *c, const uint8_t *data, size_t len)
{
    if (!c->layer) {
        g_byte_array_append(c->in, data, len);
    } else if (!vnc_sasl_decode(c, data, len, c->in)) {
        vnc_client_close(c);
    }
}

static ssize_t read_some(VncClient *c, uint8_t *buf, size_t len)
{
    return c->tls ? tls_session_read(c->tls, buf, len) : recv(c->fd, buf, len, MSG_DONTWAIT);
}

/* false: nothing more now, or over. */
static bool take_input(VncClient *c)
{
    uint8_t buf[IN_CHUNK];
    ssize_t n = read_some(c, buf, sizeof(buf));

    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        return false;
    }
    if (n <= 0) {
        vnc_client_close(c);
        return false;
    }
    if (c->websocket) {
        vnc_ws_input(c, buf, n);
    } else {
        vnc_take_bytes(c, buf, n);
    }
    dispatch(c);
    return true;
}

/* What TLS has decrypted already makes no socket ready. */
static void take_decrypted(VncClient *c)
{
    while (!c->closing && c->tls && !c->tls_handshake && tls_session_pending(c->tls)
           && vnc_pending(c) < IN_STOP && take_input(c)) {
    }
}

static void readable(int fd, GIOCondition cond, void *opaque)
{
    VncClient *c = opaque;

    if (c->closing) {
        return;
    }
    if (c->tls_handshake) {
        vnc_tls_progress(c);
    } else {
        take_input(c);
        take_decrypted(c);
    }
    if (!c->closing) {
        vnc_try_update(c);
        vnc_flush(c);
    }
}

static void writable(int fd, GIOCondition cond, void *opaque)
{
    VncClient *c = opaque;

    if (c->closing) {
        return;
    }
    if (c->tls_handshake) {
        vnc_tls_progress(c);
        return;
    }
    vnc_flush(c);
    take_decrypted(c);                  /* left alone while too much was waiting */
    if (!c->closing) {
        vnc_clipboard_continue(c);
        vnc_continue_update(c);
        vnc_try_update(c);
        vnc_flush(c);
    }
}

/* An update that is not all encoded goes on when the socket takes bytes, even if nothing waits for
 * it at this moment. */
void vnc_watch(VncClient *c)
{
    bool out = c->tls_handshake ? tls_session_writes(c->tls)
                                : vnc_pending(c) > 0 || in_update(c);

    /* messages can have answers: who does not read those is not listened to */
    bool in = vnc_pending(c) < IN_STOP;

    if (in && !c->in_watch) {
        c->in_watch = mainloop_watch(c->fd, G_IO_IN | G_IO_HUP | G_IO_ERR, readable, c);
    } else if (!in && c->in_watch) {
        mainloop_unwatch(c->in_watch);
        c->in_watch = 0;
    }
    if (out && !c->out_watch) {
        c->out_watch = mainloop_watch(c->fd, G_IO_OUT | G_IO_HUP | G_IO_ERR, writable, c);
    } else if (!out && c->out_watch) {
        mainloop_unwatch(c->out_watch);
        c->out_watch = 0;
    }
}

/* ---- who it is ----------------------------------------------------------------------- */

static void note_peer(VncClient *c)
{
    struct sockaddr_storage ss;
    socklen_t len = sizeof(ss);
    char host[NI_MAXHOST], service[NI_MAXSERV];
    int on = 1;

    if (getpeername(c->fd, (struct sockaddr *)&ss, &len) == 0 && ss.ss_family != AF_UNIX
        && getnameinfo((struct sockaddr *)&ss, len, host, sizeof(host), service, sizeof(service),
                       NI_NUMERICHOST | NI_NUMERICSERV) == 0) {
        setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        c->host = g_strdup(host);
        c->service = g_strdup(service);
        c->family = g_strdup(ss.ss_family == AF_INET6 ? "ipv6" : "ipv4");
    } else {
        c->host = g_strdup("");
        c->service = g_strdup("");
        c->family = g_strdup("unix");
    }
}

Json *vnc_client_info(const VncClient *c)
{
    Json *o = json_object();

    json_set_str(o, "host", c->host);
    json_set_str(o, "service", c->service);
    json_set_str(o, "family", c->family);
    json_set_bool(o, "websocket", c->websocket);
    if (c->dname) {
        json_set_str(o, "x509_dname", c->dname);
    }
    if (c->sasl_user) {
        json_set_str(o, "sasl_username", c->sasl_user);
    }
    return o;
}

void vnc_client_event(VncClient *c, const char *name)
{
    Json *data = json_object();

    json_set(data, "server", vnc_server_info(c->server, c->listener));
    json_set(data, "client", vnc_client_info(c));
    event_emit(name, data);
}

/* ---- life ---------------------------------------------------------------------------- */

static void free_client(void *opaque)
{
    VncClient *c = opaque;

    sasl_session_free(c->sasl);
    tls_session_free(c->tls);
    close(c->fd);
    vnc_zlib_end(&c->zlib);
    vnc_zlib_end(&c->zrle);
    for (int i = 0; i < 4; i++) {
        vnc_zlib_end(&c->tight[i]);
    }
    g_byte_array_unref(c->in);
    g_byte_array_unref(c->out);
    g_byte_array_unref(c->wire);
    g_byte_array_unref(c->aside);
    g_byte_array_unref(c->ws_in);
    g_byte_array_unref(c->scratch);
    g_array_unref(c->update.rects);
    g_free(c->dirty);
    g_free(c->lossy);
    g_free(c->host);
    g_free(c->service);
    g_free(c->family);
    g_free(c->dname);
    g_free(c->sasl_user);
    g_free(c);
}

void vnc_client_close(VncClient *c)
{
    VncServer *s = c->server;

    if (c->closing) {
        return;
    }
    c->closing = true;
    mainloop_unwatch(c->in_watch);
    mainloop_unwatch(c->out_watch);
    timer_del(&c->refine_timer);
    vnc_drop_update(c);
    vnc_clipboard_leave(c);
    vnc_audio_stop(c);
    g_ptr_array_remove(s->clients, c);
    if (!s->clients->len) {
        vnc_release_keys(s);
    }
    vnc_client_event(c, "VNC_DISCONNECTED");
    vnc_adjust_pace(s);
    mainloop_defer(free_client, c);     /* one of its handlers may be running */
}

VncClient *vnc_client_new(VncServer *s, int fd, const VncListener *l, bool skip_auth)
{
    bool websocket = l && l->websocket;
    VncClient *c = g_new0(VncClient, 1);
    PixelFormat pf;

    socket_prepare(fd);
    c->server = s;
    c->listener = l;
    c->skip_auth = skip_auth;
    c->fd = fd;
    c->websocket = websocket;
    c->in = g_byte_array_new();
    c->out = g_byte_array_new();
    c->wire = g_byte_array_new();
    c->aside = g_byte_array_new();
    c->ws_in = g_byte_array_new();
    c->scratch = g_byte_array_new();
    c->update.rects = g_array_new(FALSE, FALSE, sizeof(pixman_box16_t));
    c->quality = c->compress = -1;
    c->audio_format = 3;                /* S16, as long as it says nothing */
    c->audio_channels = 2;
    c->audio_rate = 44100;
    c->last_x = c->last_y = -1;
    c->encoding = ENC_RAW;
    timer_init(&c->refine_timer, ORRERY_CLOCK_REAL, vnc_refine_timer, c);
    vnc_default_format(&pf);
    vnc_set_format(c, &pf);
    note_peer(c);
    vnc_clipboard_join(c);
    g_ptr_array_add(s->clients, c);
    c->in_watch = mainloop_watch(fd, G_IO_IN | G_IO_HUP | G_IO_ERR, readable, c);
    vnc_client_event(c, "VNC_CONNECTED");
    if (websocket) {
        if (s->tls) {
            vnc_start_tls(c);
        }
    } else {
        vnc_greet(c);
        vnc_flush(c);
    }
    return c;
}
