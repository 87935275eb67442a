/* SPDX-License-Identifier: MIT */
/*
 * Socket addresses of the back-ends "socket", "stream" and "dgram".
 */
#ifndef NET_SOCKADDR_H
#define NET_SOCKADDR_H

#include <netinet/in.h>
#include <sys/socket.h>
#include "util/opts.h"

typedef struct NetAddr {
    enum { NET_ADDR_INET, NET_ADDR_UNIX, NET_ADDR_FD } kind;
    struct sockaddr_storage sa;
    socklen_t len;
    int fd;                             /* NET_ADDR_FD */
    char *text;                         /* "127.0.0.1:1234", "/tmp/x"; g_free */
} NetAddr;

/* "HOST:PORT" (an empty host is any address), or "[HOST]:PORT"; listening: also ":PORT". */
bool net_addr_parse(NetAddr *a, const char *what, const char *text, Error **err);
/* KEY.type=inet|unix|fd with KEY.host/port, .path, .str, as in -netdev stream,addr.type=...;
 * absent: *given is false. */
bool net_addr_take(NetAddr *a, Opts *o, const char *key, bool *given, Error **err);
void net_addr_clear(NetAddr *a);
/* Text for an address the kernel gave. */
char *net_addr_name(const struct sockaddr_storage *sa);
/* An inherited descriptor: a socket of this kind (SOCK_STREAM ...), made non-blocking. */
bool net_fd_check(int fd, int kind, Error **err);

#endif
