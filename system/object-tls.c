/* SPDX-License-Identifier: MIT */
/*
 * -object tls-creds-x509 and tls-creds-anon: who we are, for servers that speak TLS.
 */
#include "system/object-tls.h"

#include "system/objects.h"

enum { ENDPOINT_CLIENT, ENDPOINT_SERVER };
static const char *const endpoints[] = { "client", "server", NULL };

typedef struct TlsObject {
    Object object;
    char *dir, *priority, *password_id;
    int endpoint;
    bool verify_peer;
    TlsCreds *creds;
} TlsObject;

static void tls_finish(Object *o)
{
    tls_creds_unref(((TlsObject *)o)->creds);
}

static bool x509_complete(Object *o, Error **err)
{
    TlsObject *t = (TlsObject *)o;
    if (!t->dir) {
        return fail(err, "dir= is missing");
    }
    if (t->password_id) {
        return fail(err, "passwordid=: keys that a password protects are not supported");
    }
    t->creds = tls_creds_x509(t->dir, t->endpoint == ENDPOINT_SERVER, t->verify_peer, t->priority, err);
    return t->creds;
}

static bool anon_complete(Object *o, Error **err)
{
    TlsObject *t = (TlsObject *)o;
    t->creds = tls_creds_anon(t->endpoint == ENDPOINT_SERVER, t->priority, err);
    return t->creds;
}

static const Prop x509_props[] = {
    PROP_STRING("dir", TlsObject, dir, NULL, "folder of ca-cert.pem, server-cert.pem, server-key.pem ..."),
    PROP_ENUM("endpoint", TlsObject, endpoint, ENDPOINT_CLIENT, endpoints, "which side we are"),
    PROP_BOOL("verify-peer", TlsObject, verify_peer, true, "turn away whom the authority did not sign"),
    PROP_STRING("priority", TlsObject, priority, NULL, "gnutls' priority string"),
    PROP_STRING("passwordid", TlsObject, password_id, NULL, "secret that opens the key"),
    PROP_DONE
};
static const Prop anon_props[] = {
    PROP_ENUM("endpoint", TlsObject, endpoint, ENDPOINT_CLIENT, endpoints, "which side we are"),
    PROP_STRING("priority", TlsObject, priority, NULL, "gnutls' priority string"),
    PROP_DONE
};

static const ObjectType x509_type = {
    .name = "tls-creds-x509", .desc = "certificates for TLS", .size = sizeof(TlsObject),
    .props = x509_props, .complete = x509_complete, .finish = tls_finish,
};
OBJECT_TYPE(x509_type);
static const ObjectType anon_type = {
    .name = "tls-creds-anon", .desc = "TLS without identities", .size = sizeof(TlsObject),
    .props = anon_props, .complete = anon_complete, .finish = tls_finish,
};
OBJECT_TYPE(anon_type);

TlsCreds *tls_object_find(const char *id, Error **err)
{
    Object *o = object_find(id);
    if (!o) {
        fail(err, "No TLS credentials with id '%s'", id);
        return NULL;
    }
    if (o->type != &x509_type && o->type != &anon_type) {
        fail(err, "Object with id '%s' is not TLS credentials", id);
        return NULL;
    }
    o->in_use = true;
    return ((TlsObject *)o)->creds;
}
