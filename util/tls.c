/* SPDX-License-Identifier: MIT */
/*
 * TLS through gnutls, which is loaded when it is wanted first.
 */
#include "util/tls.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "config.h"

#ifdef CONFIG_GNUTLS
#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>

#include "util/library.h"

/* ---- the library: with those it needs it is 3 MiB, and few machines have a use for it ------ */

#define GNUTLS_FUNCTIONS(F)                                                              \
    F(anon_allocate_client_credentials) F(anon_allocate_server_credentials)              \
    F(anon_free_client_credentials) F(anon_free_server_credentials)                      \
    F(anon_set_server_known_dh_params) F(bye) F(certificate_allocate_credentials)        \
    F(certificate_free_credentials) F(certificate_get_peers)                             \
    F(certificate_server_set_request) F(certificate_set_known_dh_params)                 \
    F(certificate_set_x509_crl_file) F(certificate_set_x509_key_file)                    \
    F(certificate_set_x509_trust_file) F(certificate_verification_status_print)          \
    F(certificate_verify_peers3) F(cipher_deinit) F(cipher_encrypt2) F(cipher_get)       \
    F(cipher_get_key_size) F(cipher_init)                                                \
    F(credentials_set) F(deinit) F(error_is_fatal) F(free) F(handshake)                  \
    F(handshake_set_timeout) F(init) F(priority_deinit) F(priority_init)                 \
    F(priority_set_direct) F(record_check_pending) F(record_get_direction)               \
    F(record_recv) F(record_send) F(strerror) F(transport_set_int2) F(x509_crt_deinit)    \
    F(x509_crt_get_dn) F(x509_crt_import) F(x509_crt_init)

static struct {
#define GNUTLS_MEMBER(name) __typeof__(&gnutls_##name) name;
    GNUTLS_FUNCTIONS(GNUTLS_MEMBER)
} lib;

static bool load(Error **err)
{
#define GNUTLS_NAME(name) "gnutls_" #name,
    static const char *const names[] = { GNUTLS_FUNCTIONS(GNUTLS_NAME) };

    return LIBRARY_LOAD("libgnutls.so.30", "libgnutls30", names, &lib, err);
}

/* A folder's certificates as they were read once; sessions keep theirs when they are read anew. */
typedef struct Certificates {
    int refs;
    gnutls_certificate_credentials_t x509;
} Certificates;

struct TlsCreds {
    int refs;
    bool server, verify, anon;
    char *dir, *priority;
    Certificates *certs;
    gnutls_anon_server_credentials_t anon_server;
    gnutls_anon_client_credentials_t anon_client;
};

struct TlsSession {
    TlsCreds *creds;
    Certificates *certs;
    gnutls_session_t session;
    char *host;
    bool broken;
};

/* ---- credentials --------------------------------------------------------------------- */

static bool check(int ret, Error **err, const char *what, const char *path)
{
    return ret >= 0 || fail(err, "%s '%s': %s", what, path, lib.strerror(ret));
}

static bool load_key(const TlsCreds *c, gnutls_certificate_credentials_t x, Error **err)
{
    const char *side = c->server ? "server" : "client";
    g_autofree char *cert_name = g_strdup_printf("%s-cert.pem", side);
    g_autofree char *key_name = g_strdup_printf("%s-key.pem", side);
    g_autofree char *cert = g_build_filename(c->dir, cert_name, NULL);
    g_autofree char *key = g_build_filename(c->dir, key_name, NULL);
    if (!c->server && access(cert, F_OK) != 0) {
        return true;
    }
    return check(lib.certificate_set_x509_key_file(x, cert, key, GNUTLS_X509_FMT_PEM), err,
                 "can't use certificate and key", cert);
}

static void certs_unref(Certificates *k)
{
    if (k && --k->refs == 0) {
        lib.certificate_free_credentials(k->x509);
        g_free(k);
    }
}

static Certificates *load_x509(const TlsCreds *c, Error **err)
{
    gnutls_certificate_credentials_t x;
    g_autofree char *ca = g_build_filename(c->dir, "ca-cert.pem", NULL);
    g_autofree char *crl = g_build_filename(c->dir, "ca-crl.pem", NULL);
    lib.certificate_allocate_credentials(&x);
    if (!check(lib.certificate_set_x509_trust_file(x, ca, GNUTLS_X509_FMT_PEM), err,
               "can't use authority certificate", ca)
        || (access(crl, F_OK) == 0
            && !check(lib.certificate_set_x509_crl_file(x, crl, GNUTLS_X509_FMT_PEM), err,
                      "can't use revocation list", crl))
        || !load_key(c, x, err)) {
        lib.certificate_free_credentials(x);
        return NULL;
    }
    lib.certificate_set_known_dh_params(x, GNUTLS_SEC_PARAM_MEDIUM);
    Certificates *k = g_new(Certificates, 1);
    *k = (Certificates) { 1, x };
    return k;
}

static TlsCreds *new_creds(bool server, const char *priority)
{
    TlsCreds *c = g_new0(TlsCreds, 1);
    c->refs = 1;
    c->server = server;
    c->priority = g_strdup(priority ? priority : "NORMAL");
    return c;
}

static bool check_priority(const TlsCreds *c, Error **err)
{
    gnutls_priority_t p;
    const char *at = c->priority;
    if (!load(err)) {
        return false;
    }
    int ret = lib.priority_init(&p, c->priority, &at);
    if (ret < 0) {
        return fail(err, "priority=%s: %s at '%s'", c->priority, lib.strerror(ret), at);
    }
    lib.priority_deinit(p);
    return true;
}

TlsCreds *tls_creds_x509(const char *dir, bool server, bool verify, const char *priority, Error **err)
{
    TlsCreds *c = new_creds(server, priority);
    c->dir = g_strdup(dir);
    c->verify = verify;
    if (!check_priority(c, err) || !(c->certs = load_x509(c, err))) {
        tls_creds_unref(c);
        return NULL;
    }
    return c;
}

TlsCreds *tls_creds_anon(bool server, const char *priority, Error **err)
{
    TlsCreds *c = new_creds(server, priority);
    c->anon = true;
    if (!check_priority(c, err)) {
        tls_creds_unref(c);
        return NULL;
    }
    if (server) {
        lib.anon_allocate_server_credentials(&c->anon_server);
        lib.anon_set_server_known_dh_params(c->anon_server, GNUTLS_SEC_PARAM_MEDIUM);
    } else {
        lib.anon_allocate_client_credentials(&c->anon_client);
    }
    return c;
}

TlsCreds *tls_creds_ref(TlsCreds *c)
{
    c->refs++;
    return c;
}

void tls_creds_unref(TlsCreds *c)
{
    if (!c || --c->refs) {
        return;
    }
    certs_unref(c->certs);
    if (c->anon_server) {
        lib.anon_free_server_credentials(c->anon_server);
    }
    if (c->anon_client) {
        lib.anon_free_client_credentials(c->anon_client);
    }
    g_free(c->dir);
    g_free(c->priority);
    g_free(c);
}

bool tls_creds_is_anon(const TlsCreds *c)
{
    return c->anon;
}

bool tls_creds_is_server(const TlsCreds *c)
{
    return c->server;
}

bool tls_creds_reload(TlsCreds *c, Error **err)
{
    if (c->anon) {
        return fail(err, "anonymous credentials have no certificates to read again");
    }
    Certificates *k = load_x509(c, err);
    if (!k) {
        return false;
    }
    certs_unref(c->certs);
    c->certs = k;
    return true;
}

/* ---- sessions ------------------------------------------------------------------------ */

static bool set_credentials(TlsSession *s)
{
    TlsCreds *c = s->creds;
    return (c->anon ? lib.credentials_set(s->session, GNUTLS_CRD_ANON,
                                             c->server ? (void *)c->anon_server : (void *)c->anon_client)
                    : lib.credentials_set(s->session, GNUTLS_CRD_CERTIFICATE, s->certs->x509)) >= 0;
}

TlsSession *tls_session_new(TlsCreds *c, int fd, const char *host, Error **err)
{
    TlsSession *s = g_new0(TlsSession, 1);
    g_autofree char *priority = c->anon ? g_strconcat(c->priority, ":+ANON-ECDH:+ANON-DH", NULL)
                                        : g_strdup(c->priority);
    s->creds = tls_creds_ref(c);
    if (c->certs) {
        s->certs = c->certs;
        s->certs->refs++;
    }
    s->host = g_strdup(host);
    if (lib.init(&s->session, (c->server ? GNUTLS_SERVER : GNUTLS_CLIENT) | GNUTLS_NONBLOCK
                    | GNUTLS_NO_SIGNAL) < 0
        || lib.priority_set_direct(s->session, priority, NULL) < 0 || !set_credentials(s)) {
        tls_session_free(s);
        fail(err, "can't start TLS");
        return NULL;
    }
    if (c->server && !c->anon) {
        lib.certificate_server_set_request(s->session, c->verify ? GNUTLS_CERT_REQUIRE
                                                                    : GNUTLS_CERT_IGNORE);
    }
    lib.transport_set_int2(s->session, fd, fd);
    lib.handshake_set_timeout(s->session, 0);
    return s;
}

void tls_session_free(TlsSession *s)
{
    if (s) {
        if (s->session) {
            if (!s->broken) {
                lib.bye(s->session, GNUTLS_SHUT_WR);
            }
            lib.deinit(s->session);
        }
        certs_unref(s->certs);
        tls_creds_unref(s->creds);
        g_free(s->host);
        g_free(s);
    }
}

static bool verify_peer(TlsSession *s, Error **err)
{
    unsigned status = 0;
    if (s->creds->anon || !s->creds->verify) {
        return true;
    }
    int ret = lib.certificate_verify_peers3(s->session, s->host, &status);
    if (ret < 0) {
        return fail(err, "TLS: no certificate to check: %s", lib.strerror(ret));
    }
    if (status) {
        gnutls_datum_t text = { 0 };
        lib.certificate_verification_status_print(status, GNUTLS_CRT_X509, &text, 0);
        fail(err, "TLS: %s", text.data ? (char *)text.data : "the peer's certificate is not good");
        (*lib.free)(text.data);
        return false;
    }
    return true;
}

int tls_session_handshake(TlsSession *s, Error **err)
{
    int ret = lib.handshake(s->session);
    if (ret == GNUTLS_E_AGAIN || ret == GNUTLS_E_INTERRUPTED
        || (ret < 0 && !lib.error_is_fatal(ret))) {
        return 0;
    }
    if (ret < 0) {
        s->broken = true;
        fail(err, "TLS handshake: %s", lib.strerror(ret));
        return -1;
    }
    return verify_peer(s, err) ? 1 : -1;
}

bool tls_session_writes(const TlsSession *s)
{
    return lib.record_get_direction(s->session) == 1;
}

static ssize_t result(TlsSession *s, ssize_t ret)
{
    if (ret >= 0) {
        return ret;
    }
    if (ret == GNUTLS_E_PREMATURE_TERMINATION) {
        s->broken = true;
        return 0;
    }
    if (ret == GNUTLS_E_AGAIN || ret == GNUTLS_E_INTERRUPTED) {
        errno = EAGAIN;
    } else {
        s->broken = true;
        errno = EIO;
    }
    return -1;
}

ssize_t tls_session_read(TlsSession *s, void *buf, size_t len)
{
    return result(s, lib.record_recv(s->session, buf, len));
}

ssize_t tls_session_write(TlsSession *s, const void *buf, size_t len)
{
    return result(s, lib.record_send(s->session, buf, len));
}

size_t tls_session_pending(const TlsSession *s)
{
    return lib.record_check_pending(s->session);
}

char *tls_session_peer_name(const TlsSession *s)
{
    unsigned n = 0;
    const gnutls_datum_t *list = s->creds->anon ? NULL : lib.certificate_get_peers(s->session, &n);
    gnutls_x509_crt_t cert;
    char *name = NULL, buf[1024];
    size_t len = sizeof(buf);
    if (!list || !n || lib.x509_crt_init(&cert) < 0) {
        return NULL;
    }
    if (lib.x509_crt_import(cert, list, GNUTLS_X509_FMT_DER) >= 0
        && lib.x509_crt_get_dn(cert, buf, &len) >= 0) {
        name = g_strdup(buf);
    }
    lib.x509_crt_deinit(cert);
    return name;
}

unsigned tls_session_key_bits(const TlsSession *s)
{
    return 8 * lib.cipher_get_key_size(lib.cipher_get(s->session));
}

/* ---- DES ----------------------------------------------------------------------------- */

bool tls_des_encrypt(const uint8_t key[8], const uint8_t in[8], uint8_t out[8])
{
    /* one block of cipher block chaining with an initial vector of zeros is the bare cipher */
    uint8_t zero[8] = { 0 };
    gnutls_datum_t k = { (uint8_t *)key, 8 }, iv = { zero, 8 };
    gnutls_cipher_hd_t h;
    if (!load(NULL) || lib.cipher_init(&h, GNUTLS_CIPHER_DES_CBC, &k, &iv) < 0) {
        return false;
    }
    bool ok = lib.cipher_encrypt2(h, in, 8, out, 8) >= 0;
    lib.cipher_deinit(h);
    return ok;
}

bool tls_has_des(void)
{
    uint8_t key[8] = { 0 }, out[8];
    return tls_des_encrypt(key, key, out);
}

#else

static TlsCreds *none(Error **err)
{
    fail(err, "this build has no TLS (configure --enable-gnutls)");
    return NULL;
}

TlsCreds *tls_creds_x509(const char *dir, bool server, bool verify, const char *priority, Error **err)
{
    return none(err);
}

TlsCreds *tls_creds_anon(bool server, const char *priority, Error **err)
{
    return none(err);
}

TlsCreds *tls_creds_ref(TlsCreds *c)
{
    return c;
}

void tls_creds_unref(TlsCreds *c)
{
}

bool tls_creds_is_anon(const TlsCreds *c)
{
    return false;
}

bool tls_creds_is_server(const TlsCreds *c)
{
    return false;
}

bool tls_creds_reload(TlsCreds *c, Error **err)
{
    return none(err) != NULL;
}

TlsSession *tls_session_new(TlsCreds *c, int fd, const char *host, Error **err)
{
    return (TlsSession *)none(err);
}

void tls_session_free(TlsSession *s)
{
}

int tls_session_handshake(TlsSession *s, Error **err)
{
    return -1;
}

bool tls_session_writes(const TlsSession *s)
{
    return false;
}

ssize_t tls_session_read(TlsSession *s, void *buf, size_t len)
{
    errno = EIO;
    return -1;
}

ssize_t tls_session_write(TlsSession *s, const void *buf, size_t len)
{
    errno = EIO;
    return -1;
}

size_t tls_session_pending(const TlsSession *s)
{
    return 0;
}

char *tls_session_peer_name(const TlsSession *s)
{
    return NULL;
}

unsigned tls_session_key_bits(const TlsSession *s)
{
    return 0;
}

bool tls_des_encrypt(const uint8_t key[8], const uint8_t in[8], uint8_t out[8])
{
    return false;
}

bool tls_has_des(void)
{
    return false;
}
#endif
