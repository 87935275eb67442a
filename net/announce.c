/* SPDX-License-Identifier: MIT */
/*
 * announce-self: cards say where they are, some times, so that switches learn a new place.  The
 * card sends a RARP request (RFC 903) with its own address; one whose driver can speak for
 * itself is asked to.
 */
#include "net/announce.h"
#include "util/bits.h"
#include "util/timer.h"

#include <string.h>

#define RARP            0x8035
#define RARP_REQUEST    3

typedef struct Announcer {
    char *id;                           /* "" for the one without */
    Timer timer;
    NetAnnounce params;                 /* interfaces are ours */
    unsigned left;                      /* rounds */
} Announcer;

static GPtrArray *announcers;           /* of Announcer* at work */

static void send_rarp(NetClient *nc)
{
    uint8_t f[NET_MIN_FRAME] = { 0 };

    memset(f, 0xff, 6);
    memcpy(f + 6, nc->mac, 6);
    st16_be(f + 12, RARP);
    st16_be(f + 14, 1);                 /* Ethernet */
    st16_be(f + 16, 0x0800);
    f[18] = 6;
    f[19] = 4;
    st16_be(f + 20, RARP_REQUEST);
    memcpy(f + 22, nc->mac, 6);
    memcpy(f + 32, nc->mac, 6);
    net_send_buf(nc, f, sizeof(f));
}

static void announce_one(NetClient *nc, void *opaque)
{
    const Announcer *a = opaque;

    if (!nc->is_nic || nc->index || nc->link_down
        || (a->params.interfaces
            && !g_strv_contains((const char *const *)a->params.interfaces, nc->name))) {
        return;
    }
    send_rarp(nc);
    if (nc->ops->announce) {
        nc->ops->announce(nc);
    }
}

static void end(Announcer *a)
{
    timer_del(&a->timer);
    g_strfreev(a->params.interfaces);
    g_free(a->id);
    g_ptr_array_remove(announcers, a);
    g_free(a);
}

/* Between the rounds: initial, initial + step, ... up to max. */
static void next_round(void *opaque)
{
    Announcer *a = opaque;
    const NetAnnounce *p = &a->params;

    net_foreach(announce_one, a);
    if (!--a->left) {
        end(a);
        return;
    }
    uint64_t ms = p->initial + (uint64_t)(p->rounds - a->left - 1) * p->step;
    timer_mod(&a->timer, clock_ns(ORRERY_CLOCK_REAL) + (int64_t)MIN(ms, p->max) * NS_PER_MS);
}

static bool in_range(const char *name, uint64_t v, uint64_t from, uint64_t to, Error **err)
{
    return (v >= from && v <= to)
           || fail(err, "Parameter '%s' expects a value between %d and %d", name, (int)from,
                   (int)to);
}

bool net_announce(const char *id, const NetAnnounce *p, Error **err)
{
    if (!in_range("initial", p->initial, 1, 100000, err)
        || !in_range("max", p->max, 1, 100000, err)
        || !in_range("rounds", p->rounds, 1, 1000, err)
        || !in_range("step", p->step, 0, 10000, err)) {
        return false;
    }
    if (!announcers) {
        announcers = g_ptr_array_new();
    }
    for (guint i = 0; i < announcers->len; i++) {
        Announcer *a = announcers->pdata[i];
        if (!strcmp(a->id, id ? id : "")) {
            end(a);                     /* the new one takes its place */
            break;
        }
    }
    Announcer *a = g_new0(Announcer, 1);
    a->id = g_strdup(id ? id : "");
    a->params = *p;
    a->params.interfaces = g_strdupv(p->interfaces);
    a->left = p->rounds;
    g_ptr_array_add(announcers, a);
    timer_init(&a->timer, ORRERY_CLOCK_REAL, next_round, a);
    next_round(a);
    return true;
}
