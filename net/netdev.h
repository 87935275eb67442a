/* SPDX-License-Identifier: MIT */
/*
 * Back-ends by name: -netdev, netdev_add, -nic, -net.
 */
#ifndef NET_NETDEV_H
#define NET_NETDEV_H

#include "net/net.h"
#include "util/opts.h"

/*
 * A kind of back-end.  open takes its options (opts_check_unused is the caller's) and returns
 * its first end, g_malloc'ed with NetClient first and named name; further queues follow with the
 * same name and index 1, 2 ...  The caller frees them after their close hook.
 */
typedef struct NetBackend {
    const char *name, *desc;
    NetClient *(*open)(Opts *o, const char *name, Error **err);
} NetBackend;

#define NET_BACKEND(var)                                                        \
    static const NetBackend *const var##_net_entry                              \
    __attribute__((used, section("orrery_netdevs"))) = &var

/* A list among options: hostfwd=a,hostfwd=b, or in JSON form [{"str": "a"}, ...].  Strings are
 * borrowed from o. */
GPtrArray *net_opts_list(Opts *o, const char *name);

/* -netdev TYPE,id=ID,... */
bool netdev_add(const char *text, Error **err);
bool netdev_add_opts(Opts *o, Error **err);             /* o is borrowed; monitors */
bool netdev_del(const char *id, Error **err);
void netdev_help(GString *out);
/* All back-ends end: sockets closed, scripts run.  At exit. */
void netdev_cleanup(void);

/* -nic and -net: the back-end is made at once, the card, if any, is asked of the board. */
bool net_add_nic(const char *text, Error **err);        /* "user,model=e1000,mac=..." */
bool net_add_legacy(const char *text, Error **err);     /* -net: "nic,...", "user,..." */
/* The card and the back-end that a machine has when nothing is said. */
bool net_add_default(Error **err);
/* After the devices are there: warnings about what has no other side. */
void net_check(void);

#endif
