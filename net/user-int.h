/* SPDX-License-Identifier: MIT */
/*
 * What user.c and user-fwd.c share.
 */
#ifndef NET_USER_INT_H
#define NET_USER_INT_H

#include <libslirp.h>
#include "net/coalesce.h"
#include "net/user.h"
#include "util/mainloop.h"

typedef struct GuestFwd GuestFwd;

typedef struct NetUser {
    NetClient nc;                       /* always first */
    Slirp *slirp;
    struct in_addr net, mask, host, dns, dhcp;
    MainloopPoller poller;
    bool polling;                       /* the main loop knows it */
    GArray *waits, *asked;              /* of GPollFD: what slirp waits for, as the main loop knows it; */
                                        /* ... as slirp has told last, while it is asked */
    int64_t look_again;                 /* CLOCK_REAL: when the main loop looks without being woken */
    bool stale;                         /* slirp counts the descriptors of `asked` now */
    const GPollFD *ready;               /* the same with what came, while slirp is told */
    unsigned n_ready;
    unsigned in_slirp;                  /* calls of libslirp at work */
    NetCoalesce coalesce;
    GPtrArray *guestfwds;               /* of GuestFwd* */
    /* user-state.c */
    uint8_t *saved;                     /* libslirp's bytes, for the state table */
    uint32_t saved_len, saved_version;
    uint32_t state_size;                /* how many those are without connections */
    bool has_state;                     /* it is registered */
} NetUser;

/* Wake the main loop: what slirp waits for may have changed. */
void net_user_kick(void);
bool net_user_add_hostfwd(NetUser *u, const char *rule, Error **err);
bool net_user_remove_hostfwd(NetUser *u, const char *rule, Error **err);
bool net_user_add_guestfwd(NetUser *u, const char *rule, Error **err);
void net_user_free_guestfwds(NetUser *u);
/* The guestfwds may take more. */
void net_user_poll_guestfwds(NetUser *u);
/* Make it a part of the machine's saved state; before there are guestfwds. */
void net_user_state_init(NetUser *u);
void net_user_state_exit(NetUser *u);

#endif
