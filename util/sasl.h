/* SPDX-License-Identifier: MIT */
/*
 * The server's half of SASL (RFC 4422) through Cyrus' library, which is loaded when it is wanted
 * first.  Its configuration is QEMU's: application "qemu" (/etc/sasl2/qemu.conf), service "vnc".
 * In a build without it sasl_server_start fails with a message that says so.
 */
#ifndef UTIL_SASL_H
#define UTIL_SASL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "util/error.h"

typedef struct SaslSession SaslSession;

typedef struct SaslPlace {
    const char *local, *remote;     /* "ADDRESS;PORT", or NULL */
    unsigned external_bits;         /* of a cipher below; 0: none */
    /* Nobody else protects the connection: only mechanisms that encrypt what follows with at least
     * 56 bits, that show no password, and tell who it is. */
    bool needs_layer;
} SaslPlace;

typedef enum { SASL_STATE_FAILED, SASL_STATE_GOES_ON, SASL_STATE_DONE } SaslState;

/* false: there is no library, or no mechanism that is good enough for such a place. */
bool sasl_server_usable(const SaslPlace *p, Error **err);
SaslSession *sasl_session_new(const SaslPlace *p, Error **err);
void sasl_session_free(SaslSession *s);                 /* NULL is fine */
/* Names of mechanisms with commas between them, the session's. */
const char *sasl_session_mechanisms(const SaslSession *s);
/* What the client sent (mechanism: with its choice, in the first call; then NULL; data: NULL is not
 * the same as empty) and what it is to be sent: *out until the next call, or NULL. */
SaslState sasl_session_step(SaslSession *s, const char *mechanism, const void *data, size_t len,
                            const void **out, size_t *out_len);
/* After SASL_STATE_DONE: */
const char *sasl_session_user(SaslSession *s);          /* NULL: nobody */
/* The layer that was agreed upon has too few bits for a place that needs one. */
bool sasl_session_weak(const SaslSession *s);
bool sasl_session_has_layer(const SaslSession *s);
/* Through the layer: *out until the next call of the same function.  Pieces of what comes may be
 * kept back.  false: the connection is broken. */
bool sasl_session_encode(SaslSession *s, const void *data, size_t len, const void **out, size_t *out_len);
bool sasl_session_decode(SaslSession *s, const void *data, size_t len, const void **out, size_t *out_len);
/* Most that encode takes at once. */
size_t sasl_session_encode_max(const SaslSession *s);

#endif
