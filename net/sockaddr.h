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
    /* of NET_ADDR_INET, for stream sockets (net_addr_take_stream) */
    uint16_t to;                        /* the last port to try to listen at; 0: no other */
    bool keep_alive, mptcp;
    char *text;                         /* "127.0.0.1:1234", "/tmp/x"; g_free */
} NetAddr;

/* "HOST:PORT" (an empty host is any address), or "[HOST]:PORT"; listening: also ":PORT". */
bool net_addr_parse(NetAddr *a, const char *what, const char *text, Error **err);
/* KEY.type=inet|unix|fd with KEY.host/port, .path, .str, as in -netdev stream,addr.type=...;
 * absent: *given is false. */
bool net_addr_take(NetAddr *a, Opts *o, const char *key, bool *given, Error **err);
/* What KEY has beside for stream sockets: .to, .keep-alive, .mptcp. */
bool net_addr_take_stream(NetAddr *a, Opts *o, const char *key, bool server, Error **err);
/* A stream socket for it, non-blocking; -1 and errno. */
int net_addr_socket(const NetAddr *a);
void net_addr_set_port(NetAddr *a, uint16_t port);
uint16_t net_addr_port(const NetAddr *a);
void net_addr_clear(NetAddr *a);
/* Text for an address the kernel gave. */
char *net_addr_name(const struct sockaddr_storage *sa);
/* An inherited descriptor: a socket of this kind (SOCK_STREAM ...), made non-blocking. */
bool net_fd_check(int fd, int kind, Error **err);

#endif
