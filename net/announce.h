/* SPDX-License-Identifier: MIT */
/*
 * announce-self: tell the network where the cards are.
 */
#ifndef NET_ANNOUNCE_H
#define NET_ANNOUNCE_H

#include "net/net.h"

typedef struct NetAnnounce {
    uint64_t initial, max, step;        /* ms: distance of the first rounds, longest, growth */
    uint64_t rounds;
    char **interfaces;                  /* names of cards; NULL: all */
} NetAnnounce;
#define NET_ANNOUNCE_DEFAULT { .initial = 50, .max = 550, .rounds = 5, .step = 100 }

/* Start; strings are copied.  One with the same id (NULL is one, too) that is at work ends.
 * false: a parameter is out of range. */
bool net_announce(const char *id, const NetAnnounce *p, Error **err);

#endif
