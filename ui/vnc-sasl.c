/* SPDX-License-Identifier: MIT */
/*
 * VNC: authentication by SASL (rfbproto, security type 20; inside of VeNCrypt 263 and 264):
 *
 *     server    length, names of mechanisms with commas between them
 *     client    length, the one it chose; length, its first data (0: none)
 *     server    length, data (0: none); 1: done, 0: it goes on
 *     client    length, data ...
 *     server    SecurityResult
 *
 * Lengths are 32 bits; of data that are there a zero byte behind them counts, too.  What follows the
 * SecurityResult goes through the layer that the mechanism agreed upon, if nothing else encrypts.
 */
#include "ui/vnc-int.h"

#include <netdb.h>
#include <string.h>
#include <sys/socket.h>

#include "ui/display.h"
#include "util/error.h"
#include "util/sasl.h"

#define NAME_LEN_MAX 100u
#define DATA_MAX     (64u << 10)        /* Kerberos' tickets are the longest */
#define STEPS_MAX    32
#define PIECE_MAX    4096u              /* to encode at once */

static size_t take_mechanism(VncClient *c, const uint8_t *p, size_t len);
static size_t take_step(VncClient *c, const uint8_t *p, size_t len);

/* ---- where ----------------------------------------------------------------------------- */

/* A unix socket or TLS with certificates protects what passes; TLS without them is open to whoever
 * stands between. */
static void describe(const VncServer *s, bool tls, bool unix_socket, SaslPlace *p)
{
    bool certified = s->tls && !tls_creds_is_anon(s->tls) && tls;

    *p = (SaslPlace) { .needs_layer = !certified && !unix_socket };
}

bool vnc_sasl_usable(const VncServer *s, bool unix_socket, Error **err)
{
    SaslPlace p;

    describe(s, s->tls, unix_socket, &p);
    return sasl_server_usable(&p, err);
}

/* "ADDRESS;PORT" of an end of the connection, or NULL. */
static char *end_of(const VncClient *c, bool peer)
{
    char host[NI_MAXHOST], service[NI_MAXSERV];
    struct sockaddr_storage ss;
    socklen_t len = sizeof(ss);
    int ret = peer ? getpeername(c->fd, (struct sockaddr *)&ss, &len)
                   : getsockname(c->fd, (struct sockaddr *)&ss, &len);

    if (ret < 0 || ss.ss_family == AF_UNIX
        || getnameinfo((struct sockaddr *)&ss, len, host, sizeof(host), service, sizeof(service),
                       NI_NUMERICHOST | NI_NUMERICSERV)) {
        return NULL;
    }
    return g_strdup_printf("%s;%s", host, service);
}

/* ---- the dialogue ---------------------------------------------------------------------- */

static uint32_t word(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | p[1] << 16 | p[2] << 8 | p[3];
}

static bool offered(const VncClient *c, const char *name)
{
    g_auto(GStrv) names = g_strsplit(sasl_session_mechanisms(c->sasl), ",", -1);

    return g_strv_contains((const char *const *)names, name);
}

/* Who it is is known: may it come in? */
static void finish(VncClient *c, bool more_came)
{
    const VncServer *s = c->server;

    c->sasl_user = g_strdup(sasl_session_user(c->sasl));
    if (sasl_session_weak(c->sasl) || !c->sasl_user
        || (s->sasl_authz && !ui_hooks.authorized(s->sasl_authz, c->sasl_user))) {
        vnc_reject(c, "Authentication failed");
        return;
    }
    bool layer = sasl_session_has_layer(c->sasl);
    if (layer && more_came) {           /* it would pass for something that came through the layer */
        vnc_client_close(c);
        return;
    }
    vnc_accept(c, true);
    if (layer) {
        vnc_start_layer(c);
    }
}

/* n bytes of the client's, with a zero behind them; 0: it sent none. */
static void step(VncClient *c, const char *mechanism, const uint8_t *p, uint32_t n, bool more_came)
{
    g_autofree char *text = n ? g_strndup((const char *)p, n - 1) : NULL;
    const void *out;
    size_t len;

    if (n) {
        memcpy(text, p, n - 1);         /* zeros within it, too */
    }
    SaslState state = sasl_session_step(c->sasl, mechanism, text, n ? n - 1 : 0, &out, &len);
    if (state == SASL_STATE_FAILED || len >= DATA_MAX || ++c->sasl_steps > STEPS_MAX) {
        vnc_reject(c, "Authentication failed");
        return;
    }
    vnc_send_u32(c, out ? len + 1 : 0);
    if (out) {
        vnc_send(c, out, len);
        vnc_send_u8(c, 0);
    }
    vnc_send_u8(c, state == SASL_STATE_DONE);
    if (state == SASL_STATE_DONE) {
        finish(c, more_came);
    } else {
        vnc_expect(c, take_step, 4);
    }
}

static size_t take_step(VncClient *c, const uint8_t *p, size_t len)
{
    uint32_t n = word(p);

    if (n > DATA_MAX) {
        vnc_reject(c, "Authentication failed");
        return 0;
    }
    if (c->want < 4 + n) {
        return 4 + n;
    }
    step(c, NULL, p + 4, n, len > 4 + n);
    return 0;
}

static size_t take_mechanism(VncClient *c, const uint8_t *p, size_t len)
{
    uint32_t name_len = word(p), at = 4 + name_len + 4;

    if (name_len < 1 || name_len > NAME_LEN_MAX) {
        vnc_reject(c, "Authentication failed");
        return 0;
    }
    if (c->want < at) {
        return at;
    }
    uint32_t n = word(p + at - 4);
    g_autofree char *name = g_strndup((const char *)p + 4, name_len);
    if (n > DATA_MAX || strlen(name) != name_len || !offered(c, name)) {
        vnc_reject(c, "Authentication failed");
        return 0;
    }
    if (c->want < at + n) {
        return at + n;
    }
    step(c, name, p + at, n, len > at + n);
    return 0;
}

void vnc_sasl_start(VncClient *c)
{
    g_autofree char *local = end_of(c, false), *remote = end_of(c, true);
    Error *err = NULL;
    SaslPlace p;

    describe(c->server, c->tls, !strcmp(c->family, "unix"), &p);
    p.local = local;
    p.remote = remote;
    p.external_bits = c->tls && !p.needs_layer ? tls_session_key_bits(c->tls) : 0;
    c->sasl = sasl_session_new(&p, &err);
    if (!c->sasl) {
        error_report("vnc: %s", err->message);
        g_error_free(err);
        vnc_client_close(c);
        return;
    }
    const char *names = sasl_session_mechanisms(c->sasl);
    vnc_send_u32(c, strlen(names));
    vnc_send(c, names, strlen(names));
    vnc_expect(c, take_mechanism, 4);
}

/* ---- the layer ------------------------------------------------------------------------- */

bool vnc_sasl_encode(VncClient *c, const GByteArray *in, GByteArray *out)
{
    size_t most = MIN(sasl_session_encode_max(c->sasl), PIECE_MAX), len;
    const void *piece;

    for (size_t at = 0; at < in->len; at += most) {
        if (!sasl_session_encode(c->sasl, in->data + at, MIN(most, in->len - at), &piece, &len)) {
            return false;
        }
        g_byte_array_append(out, piece, len);
    }
    return true;
}

bool vnc_sasl_decode(VncClient *c, const uint8_t *data, size_t len, GByteArray *out)
{
    const void *plain;
    size_t n;

    if (!sasl_session_decode(c->sasl, data, len, &plain, &n)) {
        return false;
    }
    g_byte_array_append(out, plain, n);
    return true;
}
