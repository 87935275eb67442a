/* SPDX-License-Identifier: MIT */
/*
 * Addresses of stream sockets, and the calls to listen and connect.  Any thread.
 */
#ifndef UTIL_ADDRESS_H
#define UTIL_ADDRESS_H

#include "util/opts.h"

typedef struct SocketAddress {
    char *path;                         /* unix; NULL: TCP */
    bool abstract_name;
    char *host, *port;
    uint64_t to;                        /* server: try ports up to this; 0 = only port */
    bool ipv4, ipv6;                    /* allowed families */
    int fd;                             /* -1, or a descriptor instead of all this */
} SocketAddress;

/* path=, abstract=, host=, port=, to=, ipv4=, ipv6=, fd= */
bool socket_address_take(SocketAddress *a, Opts *o, bool server, Error **err);
void socket_address_clear(SocketAddress *a);
/* "unix:/x", "tcp:host:port"; g_free */
char *socket_address_text(const SocketAddress *a, const char *tcp_name);
/* Close-on-exec, non-blocking. */
void socket_prepare(int fd);
/* -1: failed.  The port really taken is put into a->port. */
int socket_listen(SocketAddress *a, Error **err);
/* wait: returns connected or fails.  Else *errnum is 0 or EINPROGRESS, or why it failed (-1). */
int socket_connect(const SocketAddress *a, bool wait, int *errnum, Error **err);
/* A server is done: removes its unix socket from the file system. */
void socket_forget(const SocketAddress *a);

#endif
