/* SPDX-License-Identifier: MIT */
/*
 * TLS on stream sockets, for servers and clients of ours.  The library is gnutls; in a build
 * without it making credentials fails with a message that says so.
 */
#ifndef UTIL_TLS_H
#define UTIL_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include "util/error.h"

typedef struct TlsCreds TlsCreds;
typedef struct TlsSession TlsSession;

/* Certificates of a folder, named as QEMU names them: ca-cert.pem, ca-crl.pem (may be absent),
 * server-cert.pem and server-key.pem or client-cert.pem and client-key.pem (a client may have
 * none).  verify: a peer without a certificate of that authority is turned away.  priority:
 * gnutls' string, NULL = "NORMAL". */
TlsCreds *tls_creds_x509(const char *dir, bool server, bool verify, const char *priority, Error **err);
/* Encryption without any identity. */
TlsCreds *tls_creds_anon(bool server, const char *priority, Error **err);
TlsCreds *tls_creds_ref(TlsCreds *c);
void tls_creds_unref(TlsCreds *c);              /* NULL is fine */
bool tls_creds_is_anon(const TlsCreds *c);
bool tls_creds_is_server(const TlsCreds *c);
/* Read the certificates again; sessions that exist keep the old ones. */
bool tls_creds_reload(TlsCreds *c, Error **err);

/* On a connected, non-blocking socket that stays the caller's; host: what a server's certificate
 * must be for, for clients. */
TlsSession *tls_session_new(TlsCreds *c, int fd, const char *host, Error **err);
void tls_session_free(TlsSession *s);           /* says goodbye; NULL is fine */
/* 1: done, and the peer's certificate is good where that was asked for; 0: call again when the
 * socket is ready for reading, or for writing if tls_session_writes; -1: failed. */
int tls_session_handshake(TlsSession *s, Error **err);
bool tls_session_writes(const TlsSession *s);
/* As read and write: bytes, 0 at the end, -1 with errno (EAGAIN: not now, EIO: broken). */
ssize_t tls_session_read(TlsSession *s, void *buf, size_t len);
ssize_t tls_session_write(TlsSession *s, const void *buf, size_t len);
/* Bytes read from the socket that tls_session_read gives without it being ready. */
size_t tls_session_pending(const TlsSession *s);
/* Of the cipher that was agreed upon. */
unsigned tls_session_key_bits(const TlsSession *s);
/* Distinguished name of the peer's certificate, or NULL; g_free. */
char *tls_session_peer_name(const TlsSession *s);

/* DES of one block, for VNC's passwords.  false: not in this build. */
bool tls_des_encrypt(const uint8_t key[8], const uint8_t in[8], uint8_t out[8]);
bool tls_has_des(void);

#endif
