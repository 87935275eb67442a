/* SPDX-License-Identifier: MIT */
/*
 * VNC servers as the monitor sees them.  Made by -vnc and -display vnc= (ui/display.h).  [bql]
 */
#ifndef UI_VNC_H
#define UI_VNC_H

#include "util/error.h"
#include "util/json.h"

/* Answers of query-vnc and query-vnc-servers; given away. */
Json *vnc_query(void);
Json *vnc_query_servers(void);
/* id NULL: the first server.  Fails where the server was not told to ask for a password. */
bool vnc_set_password(const char *id, const char *password, Error **err);
/* when: "now", "never", "+SECONDS", or seconds since 1970. */
bool vnc_expire_password(const char *id, const char *when, Error **err);
/* Read the certificates of TLS again. */
bool vnc_reload_certificates(const char *id, Error **err);
/* A connection that somebody else accepted; the descriptor is the server's in any case.
 * skip_auth: who it is has been found out already. */
bool vnc_add_client(int fd, bool skip_auth, Error **err);
/* Other places to listen at: QMP's SocketAddress objects.  On failure nothing changes. */
bool vnc_listen_at(const Json *addresses, Error **err);

#endif
