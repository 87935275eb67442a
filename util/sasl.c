/* SPDX-License-Identifier: MIT */
/*
 * SASL through Cyrus' library.
 */
#include "util/sasl.h"

#include <string.h>

#include "config.h"

#ifdef CONFIG_SASL
#include <sasl/sasl.h>

#include "util/library.h"

#define APPLICATION "qemu"              /* whose configuration: /etc/sasl2/qemu.conf */
#define SERVICE     "vnc"
#define LAYER_BITS  56                  /* at least, where nothing else encrypts: Kerberos has it */
#define BUFFER      8192                /* of one encoded piece */

#define SASL_FUNCTIONS(F)                                                                \
    F(decode) F(dispose) F(encode) F(errdetail) F(errstring) F(getprop) F(listmech)      \
    F(server_init) F(server_new) F(server_start) F(server_step) F(setprop)

static struct {
#define SASL_MEMBER(name) __typeof__(&sasl_##name) name;
    SASL_FUNCTIONS(SASL_MEMBER)
} lib;

struct SaslSession {
    sasl_conn_t *conn;
    bool needs_layer;
    unsigned bits;                      /* of the layer */
    unsigned most;                      /* bytes encode takes */
};

static bool load(Error **err)
{
#define SASL_NAME(name) "sasl_" #name,
    static const char *const names[] = { SASL_FUNCTIONS(SASL_NAME) };
    static bool ready;

    if (ready) {
        return true;
    }
    if (!LIBRARY_LOAD("libsasl2.so.2", "libsasl2-2", names, &lib, err)) {
        return false;
    }
    int ret = lib.server_init(NULL, APPLICATION);
    ready = ret == SASL_OK;
    return ready || fail(err, "SASL: %s", lib.errstring(ret, NULL, NULL));
}

/* ---- sessions ------------------------------------------------------------------------ */

static bool set_up(SaslSession *s, const SaslPlace *p, Error **err)
{
    sasl_ssf_t external = p->external_bits;
    sasl_security_properties_t want = { .maxbufsize = BUFFER };
    const char *mechanisms;
    int ret = lib.server_new(SERVICE, NULL, NULL, p->local, p->remote, NULL, SASL_SUCCESS_DATA, &s->conn);

    if (p->needs_layer) {
        want.min_ssf = LAYER_BITS;
        want.max_ssf = UINT32_MAX;
        want.security_flags = SASL_SEC_NOANONYMOUS | SASL_SEC_NOPLAINTEXT;
    }
    if (ret == SASL_OK && external) {
        ret = lib.setprop(s->conn, SASL_SSF_EXTERNAL, &external);
    }
    if (ret == SASL_OK) {
        ret = lib.setprop(s->conn, SASL_SEC_PROPS, &want);
    }
    if (ret != SASL_OK) {
        return fail(err, "SASL: %s", s->conn ? lib.errdetail(s->conn) : lib.errstring(ret, NULL, NULL));
    }
    ret = lib.listmech(s->conn, NULL, "", ",", "", &mechanisms, NULL, NULL);
    if (ret != SASL_OK || !*mechanisms) {
        return fail(err, "SASL: there is no mechanism%s (packages libsasl2-modules...; mech_list of "
                    "/etc/sasl2/" APPLICATION ".conf)", p->needs_layer
                    ? " that encrypts, which is needed where neither TLS nor a unix socket protects" : "");
    }
    return true;
}

SaslSession *sasl_session_new(const SaslPlace *p, Error **err)
{
    if (!load(err)) {
        return NULL;
    }
    SaslSession *s = g_new0(SaslSession, 1);
    s->needs_layer = p->needs_layer;
    if (!set_up(s, p, err)) {
        sasl_session_free(s);
        return NULL;
    }
    return s;
}

void sasl_session_free(SaslSession *s)
{
    if (s) {
        if (s->conn) {
            lib.dispose(&s->conn);
        }
        g_free(s);
    }
}

bool sasl_server_usable(const SaslPlace *p, Error **err)
{
    SaslSession *s = sasl_session_new(p, err);

    sasl_session_free(s);
    return s;
}

const char *sasl_session_mechanisms(const SaslSession *s)
{
    const char *text = "";

    lib.listmech(s->conn, NULL, "", ",", "", &text, NULL, NULL);
    return text;
}

static const void *property(const SaslSession *s, int which)
{
    const void *val = NULL;

    return lib.getprop(s->conn, which, &val) == SASL_OK ? val : NULL;
}

static void note_layer(SaslSession *s)
{
    const sasl_ssf_t *bits = property(s, SASL_SSF);
    const unsigned *most = property(s, SASL_MAXOUTBUF);

    s->bits = bits ? *bits : 0;
    s->most = most ? *most : 0;
}

SaslState sasl_session_step(SaslSession *s, const char *mechanism, const void *data, size_t len,
                            const void **out, size_t *out_len)
{
    const char *answer = NULL;
    unsigned n = 0;
    int ret = mechanism ? lib.server_start(s->conn, mechanism, data, len, &answer, &n)
                        : lib.server_step(s->conn, data, len, &answer, &n);

    *out = answer;
    *out_len = answer ? n : 0;
    if (ret == SASL_OK) {
        note_layer(s);
        return SASL_STATE_DONE;
    }
    return ret == SASL_CONTINUE ? SASL_STATE_GOES_ON : SASL_STATE_FAILED;
}

const char *sasl_session_user(SaslSession *s)
{
    return property(s, SASL_USERNAME);
}

/* ---- the layer ----------------------------------------------------------------------- */

bool sasl_session_weak(const SaslSession *s)
{
    return s->needs_layer && s->bits < LAYER_BITS;
}

bool sasl_session_has_layer(const SaslSession *s)
{
    return s->bits > 0;
}

bool sasl_session_encode(SaslSession *s, const void *data, size_t len, const void **out, size_t *out_len)
{
    const char *text = NULL;
    unsigned n = 0;

    if (lib.encode(s->conn, data, len, &text, &n) != SASL_OK) {
        return false;
    }
    *out = text;
    *out_len = n;
    return true;
}

bool sasl_session_decode(SaslSession *s, const void *data, size_t len, const void **out, size_t *out_len)
{
    const char *text = NULL;
    unsigned n = 0;

    if (lib.decode(s->conn, data, len, &text, &n) != SASL_OK) {
        return false;
    }
    *out = text;
    *out_len = text ? n : 0;
    return true;
}

size_t sasl_session_encode_max(const SaslSession *s)
{
    return s->most ? s->most : BUFFER / 2;
}

#else

bool sasl_server_usable(const SaslPlace *p, Error **err)
{
    return fail(err, "this build has no SASL (configure --enable-sasl)");
}

SaslSession *sasl_session_new(const SaslPlace *p, Error **err)
{
    sasl_server_usable(p, err);
    return NULL;
}

void sasl_session_free(SaslSession *s)
{
}

const char *sasl_session_mechanisms(const SaslSession *s)
{
    return "";
}

SaslState sasl_session_step(SaslSession *s, const char *mechanism, const void *data, size_t len,
                            const void **out, size_t *out_len)
{
    return SASL_STATE_FAILED;
}

const char *sasl_session_user(SaslSession *s)
{
    return NULL;
}

bool sasl_session_weak(const SaslSession *s)
{
    return true;
}

bool sasl_session_has_layer(const SaslSession *s)
{
    return false;
}

bool sasl_session_encode(SaslSession *s, const void *data, size_t len, const void **out, size_t *out_len)
{
    return false;
}

bool sasl_session_decode(SaslSession *s, const void *data, size_t len, const void **out, size_t *out_len)
{
    return false;
}

size_t sasl_session_encode_max(const SaslSession *s)
{
    return 0;
}
#endif
