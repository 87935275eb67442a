/* SPDX-License-Identifier: MIT */
/*
 * User-mode networking: a gateway, DHCP, DNS and TFTP server inside the process, whose
 * connections to the outside are ordinary sockets (libslirp).
 */
#ifndef NET_USER_H
#define NET_USER_H

#include "net/netdev.h"

/* hostfwd_add, hostfwd_remove: id NULL: the first "user" back-end. */
bool net_user_hostfwd_add(const char *id, const char *rule, Error **err);
bool net_user_hostfwd_remove(const char *id, const char *rule, Error **err);
void net_user_info(GString *out);               /* `info usernet` */

/*
 * guestfwd to a character device: the layer above makes the stream, since back-ends of the net
 * know none of the character devices.  Set once at start.
 */
typedef struct NetStreamHandlers {
    size_t (*can_read)(void *opaque);           /* bytes wanted now */
    void (*read)(void *opaque, const uint8_t *buf, size_t len);
} NetStreamHandlers;
typedef struct NetStreamHooks {
    /* spec as -serial takes it; NULL and err: failed. */
    void *(*open)(const char *label, const char *spec, const NetStreamHandlers *h, void *opaque,
                  Error **err);
    size_t (*write)(void *stream, const void *buf, size_t len);
    void (*accept_input)(void *stream);         /* can_read turned positive */
    void (*close)(void *stream);
} NetStreamHooks;
extern NetStreamHooks net_stream_hooks;

#endif
