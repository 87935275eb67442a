/* SPDX-License-Identifier: MIT */
/*
 * VNC: from the version to ClientInit (RFC 6143, 7.1 and 7.2): no authentication, passwords, and
 * VeNCrypt's TLS with or without certificates (rfbproto, "VeNCrypt").  SASL: vnc-sasl.c.
 */
#include "ui/vnc-int.h"

#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "ui/display.h"
#include "util/error.h"

/* ---- the end of it ------------------------------------------------------------------- */

static size_t take_client_init(VncClient *c, const uint8_t *data, size_t len)
{
    bool shared = data[0];
    VncServer *s = c->server;

    /* who does not share sends the others away, or is sent away itself */
    if (s->share == SHARE_ALLOW_EXCLUSIVE && !shared) {
        for (guint i = s->clients->len; i-- > 0;) {
            VncClient *other = s->clients->pdata[i];
            if (other != c) {
                vnc_client_close(other);
            }
        }
    } else if (s->share == SHARE_FORCE_SHARED && !shared) {
        vnc_client_close(c);
        return 0;
    }
    vnc_start_protocol(c);
    return 0;
}

/* SecurityResult; version 3.3 and 3.7 hear none where there was no authentication. */
void vnc_accept(VncClient *c, bool authenticated)
{
    if (authenticated || c->minor >= 8) {
        vnc_send_u32(c, 0);
    }
    vnc_expect(c, take_client_init, 1);
}

void vnc_reject(VncClient *c, const char *why)
{
    vnc_send_u32(c, 1);
    if (c->minor >= 8) {
        vnc_send_u32(c, strlen(why));
        vnc_send(c, why, strlen(why));
    }
    vnc_flush(c);
    vnc_client_close(c);
}

/* ---- passwords ----------------------------------------------------------------------- */

static bool password_valid(const VncServer *s)
{
    return s->password && clock_ns(ORRERY_CLOCK_HOST) / NS_PER_SEC < s->expires;
}

/* The password's bytes are the key, each with its bits turned round. */
static bool expected_response(const VncClient *c, uint8_t out[16])
{
    uint8_t key[8] = { 0 };
    const char *password = c->server->password;

    for (int i = 0; i < 8 && password[i]; i++) {
        for (int bit = 0; bit < 8; bit++) {
            key[i] |= (password[i] >> bit & 1) << (7 - bit);
        }
    }
    return tls_des_encrypt(key, c->challenge, out)
           && tls_des_encrypt(key, c->challenge + 8, out + 8);
}

static size_t take_response(VncClient *c, const uint8_t *data, size_t len)
{
    uint8_t want[16], differ = 0;

    if (!password_valid(c->server) || !expected_response(c, want)) {
        vnc_reject(c, "Authentication failed");
        return 0;
    }
    for (int i = 0; i < 16; i++) {
        differ |= want[i] ^ data[i];
    }
    if (differ) {
        vnc_reject(c, "Authentication failed");
    } else {
        vnc_accept(c, true);
    }
    return 0;
}

static void start_password(VncClient *c)
{
    size_t got = 0;

    while (got < sizeof(c->challenge)) {
        ssize_t n = getrandom(c->challenge + got, sizeof(c->challenge) - got, 0);
        got += n > 0 ? n : 0;
    }
    vnc_send(c, c->challenge, sizeof(c->challenge));
    vnc_expect(c, take_response, sizeof(c->challenge));
}

/* ---- VeNCrypt ------------------------------------------------------------------------ */

/* The peer's certificate; false: whoever it is may not come in. */
static bool note_dname(VncClient *c)
{
    const char *authz = c->server->tls_authz;

    c->dname = tls_session_peer_name(c->tls);
    if (authz && (!c->dname || !ui_hooks.authorized(authz, c->dname))) {
        vnc_client_close(c);
        return false;
    }
    return true;
}

static void after_tls(VncClient *c)
{
    VncSubAuth sub = c->server->subauth;

    if (!note_dname(c)) {
        return;
    }
    if (sub == VENCRYPT_TLS_VNC || sub == VENCRYPT_X509_VNC) {
        start_password(c);
    } else if (sub == VENCRYPT_TLS_SASL || sub == VENCRYPT_X509_SASL) {
        vnc_sasl_start(c);
    } else {
        vnc_accept(c, true);
    }
}

void vnc_tls_progress(VncClient *c)
{
    Error *err = NULL;
    int ret = tls_session_handshake(c->tls, &err);

    if (ret < 0) {
        g_clear_error(&err);
        vnc_client_close(c);
        return;
    }
    if (ret > 0) {
        c->tls_handshake = false;
        if (c->websocket) {             /* wss: the upgrade follows */
            if (note_dname(c)) {
                vnc_watch(c);
            }
            return;
        }
        after_tls(c);
        vnc_flush(c);
    }
    if (!c->closing) {
        vnc_watch(c);
    }
}

void vnc_start_tls(VncClient *c)
{
    Error *err = NULL;

    c->tls = tls_session_new(c->server->tls, c->fd, NULL, &err);
    if (!c->tls) {
        g_clear_error(&err);
        vnc_client_close(c);
        return;
    }
    c->tls_handshake = true;
    vnc_watch(c);
}

static size_t take_vencrypt_choice(VncClient *c, const uint8_t *data, size_t len)
{
    uint32_t choice = (uint32_t)data[0] << 24 | data[1] << 16 | data[2] << 8 | data[3];

    /* nothing may come before TLS that would then pass for something that came through it */
    if (choice != c->server->subauth || len > 4) {
        vnc_send_u8(c, 0);
        vnc_flush(c);
        vnc_client_close(c);
        return 0;
    }
    vnc_send_u8(c, 1);
    vnc_flush(c);
    if (c->closing) {
        return 0;
    }
    vnc_start_tls(c);
    return 0;
}

static size_t take_vencrypt_version(VncClient *c, const uint8_t *data, size_t len)
{
    if (data[0] != 0 || data[1] != 2) {
        vnc_send_u8(c, 1);              /* not this version */
        vnc_flush(c);
        vnc_client_close(c);
        return 0;
    }
    vnc_send_u8(c, 0);
    vnc_send_u8(c, 1);
    vnc_send_u32(c, c->server->subauth);
    vnc_expect(c, take_vencrypt_choice, 4);
    return 0;
}

/* ---- version and security type ------------------------------------------------------- */

/* Inside a WebSocket over TLS there is no VeNCrypt: browsers have encrypted already. */
static VncAuth auth_of(const VncClient *c)
{
    const VncServer *s = c->server;

    if (c->skip_auth) {
        return AUTH_NONE;
    }
    if (s->auth == AUTH_VENCRYPT && c->websocket && c->tls) {
        return s->wants_sasl ? AUTH_SASL : s->wants_password ? AUTH_VNC : AUTH_NONE;
    }
    return s->auth;
}

static void start_auth(VncClient *c)
{
    switch (auth_of(c)) {
    case AUTH_NONE:
        vnc_accept(c, false);
        break;
    case AUTH_VNC:
        start_password(c);
        break;
    case AUTH_VENCRYPT:
        vnc_send_u8(c, 0);
        vnc_send_u8(c, 2);
        vnc_expect(c, take_vencrypt_version, 2);
        break;
    case AUTH_SASL:
        vnc_sasl_start(c);
        break;
    }
}

static size_t take_security_type(VncClient *c, const uint8_t *data, size_t len)
{
    if (data[0] != auth_of(c)) {
        vnc_reject(c, "Authentication type was not offered");
    } else {
        start_auth(c);
    }
    return 0;
}

/* Version 3.3: the server decides, and knows neither VeNCrypt nor SASL. */
static void dictate_security(VncClient *c)
{
    VncAuth auth = auth_of(c);

    if (auth == AUTH_VENCRYPT || auth == AUTH_SASL) {
        static const char why[] = "TLS or SASL is needed, and version 3.3 of the protocol has neither";
        vnc_send_u32(c, 0);
        vnc_send_u32(c, sizeof(why) - 1);
        vnc_send(c, why, sizeof(why) - 1);
        vnc_flush(c);
        vnc_client_close(c);
        return;
    }
    vnc_send_u32(c, auth);
    start_auth(c);
}

/* "RFB 003.008\n" */
static size_t take_version(VncClient *c, const uint8_t *data, size_t len)
{
    unsigned major, minor;
    char text[13], end;

    memcpy(text, data, 12);
    text[12] = '\0';
    if (sscanf(text, "RFB %3u.%3u%c", &major, &minor, &end) != 3 || end != '\n' || major != 3) {
        vnc_client_close(c);
        return 0;
    }
    /* 3.4, 3.5, 3.6 were never published and mean 3.3; what is newer than ours, too, is 3.8 */
    c->minor = minor >= 8 && minor != 889 ? 8 : minor == 7 ? 7 : 3;
    if (c->minor == 3) {
        dictate_security(c);
        return 0;
    }
    vnc_send_u8(c, 1);
    vnc_send_u8(c, auth_of(c));
    vnc_expect(c, take_security_type, 1);
    return 0;
}

void vnc_greet(VncClient *c)
{
    vnc_send(c, "RFB 003.008\n", 12);
    vnc_expect(c, take_version, 12);
}
