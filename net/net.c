/* SPDX-License-Identifier: MIT */
/*
 * Ends of wires: the list, peers, link state, and what the monitor shows of them.
 */
#include "net/net.h"
#include "net/hub.h"
#include "net/queue.h"
#include "util/timer.h"

#include <stdarg.h>
#include <string.h>

static GPtrArray *clients;              /* of NetClient*, in order of creation */

/* ---- life ----------------------------------------------------------------------------- */

void net_client_init(NetClient *nc, const NetOps *ops, const char *model, const char *name)
{
    nc->ops = ops;
    nc->model = model;
    nc->name = g_strdup(name);
    nc->info = g_strdup("");
    g_queue_init(&nc->waiting);
    nc->rate_time = clock_ns(ORRERY_CLOCK_REAL);
    if (!clients) {
        clients = g_ptr_array_new();
    }
    g_ptr_array_add(clients, nc);
}

void net_client_set_info(NetClient *nc, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    g_free(nc->info);
    nc->info = g_strdup_vprintf(fmt, ap);
    va_end(ap);
}

void net_client_exit(NetClient *nc)
{
    net_disconnect(nc);
    net_purge(nc);
    g_ptr_array_remove(clients, nc);
    net_filters_orphan(nc);
    g_clear_pointer(&nc->name, g_free);
    g_clear_pointer(&nc->info, g_free);
}

static void tell_peer_changed(NetClient *nc)
{
    if (nc->ops->peer_changed) {
        nc->ops->peer_changed(nc);
    }
}

void net_connect(NetClient *a, NetClient *b)
{
    g_assert(!a->peer && !b->peer);
    a->peer = b;
    b->peer = a;
    tell_peer_changed(a);
    tell_peer_changed(b);
}

static void set_down(NetClient *nc, bool down)
{
    if (nc->link_down != down) {
        nc->link_down = down;
        if (nc->ops->link_changed) {
            nc->ops->link_changed(nc);
        }
    }
}

/* A card whose back-end went away has no link any more. */
void net_disconnect(NetClient *nc)
{
    NetClient *peer = nc->peer;

    if (!peer) {
        return;
    }
    net_purge(nc);
    net_purge(peer);
    net_batch(nc, false);
    net_batch(peer, false);
    nc->peer = peer->peer = NULL;
    nc->blocked = peer->blocked = false;
    if (peer->is_nic && nc->is_netdev) {
        set_down(peer, true);
    }
    tell_peer_changed(peer);
}

/* ---- finding -------------------------------------------------------------------------- */

NetClient *net_find_queue(const char *name, unsigned index)
{
    for (guint i = 0; clients && i < clients->len; i++) {
        NetClient *nc = clients->pdata[i];
        if (nc->index == index && !nc->is_nic && !strcmp(nc->name, name)) {
            return nc;
        }
    }
    return NULL;
}

NetClient *net_find_backend(const char *name)
{
    return net_find_queue(name, 0);
}

NetClient *net_find_nic(const char *name)
{
    for (guint i = 0; clients && i < clients->len; i++) {
        NetClient *nc = clients->pdata[i];
        if (!nc->index && nc->is_nic && !strcmp(nc->name, name)) {
            return nc;
        }
    }
    return NULL;
}

NetClient *net_find(const char *name)
{
    NetClient *nc = net_find_backend(name);
    return nc ? nc : net_find_nic(name);
}

void net_foreach(void (*fn)(NetClient *nc, void *opaque), void *opaque)
{
    for (guint i = 0; clients && i < clients->len; i++) {
        fn(clients->pdata[i], opaque);
    }
}

char *net_new_name(const char *model)
{
    for (unsigned n = 0;; n++) {
        char *name = g_strdup_printf("%s.%u", model, n);
        if (!net_find(name)) {
            return name;
        }
        g_free(name);
    }
}

/* ---- link ----------------------------------------------------------------------------- */

/* Off and on at a back-end goes for its card too, so that the guest sees it; the other way round
 * nothing but the card is meant. */
bool net_set_link(const char *name, bool up, Error **err)
{
    bool found = false;

    for (guint i = 0; clients && i < clients->len; i++) {
        NetClient *nc = clients->pdata[i];
        if (strcmp(nc->name, name)) {
            continue;
        }
        found = true;
        set_down(nc, !up);
        if (!nc->is_nic && nc->peer && nc->peer->is_nic) {
            set_down(nc->peer, !up);
        }
        if (up) {
            net_flush(nc);
        }
    }
    return found || fail_class(err, ERR_DEVICE_NOT_FOUND, "Device '%s' not found", name);
}

/* ---- info network --------------------------------------------------------------------- */

static void append_counters(GString *out, NetClient *nc)
{
    int64_t now = clock_ns(ORRERY_CLOCK_REAL), passed = MAX(now - nc->rate_time, 1);
    const NetCounters *c = &nc->sent;
    uint64_t frames = c->frames - nc->rate_from.frames;

    g_string_append_printf(out, "     sent %" G_GUINT64_FORMAT " packets (%" G_GUINT64_FORMAT
                           " bytes, %" G_GUINT64_FORMAT " dropped), %.0f packets/s since the "
                           "last look\n", c->frames, c->bytes, c->dropped,
                           (double)frames * NS_PER_SEC / passed);
    nc->rate_from = *c;
    nc->rate_time = now;
}

static void append_client(GString *out, NetClient *nc, const char *indent)
{
    g_string_append_printf(out, "%s%s: index=%u,type=%s,%s%s\n", indent, nc->name, nc->index,
                           nc->is_nic ? "nic" : nc->model, nc->info,
                           nc->link_down ? ",link=down" : "");
    net_filters_info(nc, out);
    append_counters(out, nc);
}

void net_info(GString *out)
{
    net_hub_info(out, append_client);
    for (guint i = 0; clients && i < clients->len; i++) {
        NetClient *nc = clients->pdata[i], *peer = nc->peer;
        if (net_hub_of(nc) != NET_HUB_NONE || (peer && net_hub_of(peer) != NET_HUB_NONE)
            || (!nc->is_nic && peer && peer->is_nic)) {
            continue;                   /* shown with its hub or with its card */
        }
        append_client(out, nc, "");
        if (peer) {
            append_client(out, peer, " \\ ");
        }
    }
}

/* ---- query-rx-filter ------------------------------------------------------------------ */

Json *net_rx_filter(const char *name, Error **err)
{
    Json *list = json_array();
    bool found = false;

    for (guint i = 0; clients && i < clients->len; i++) {
        NetClient *nc = clients->pdata[i];
        if ((name && strcmp(nc->name, name)) || nc->index || (name && found)) {
            continue;
        }
        found = true;
        if (name && !nc->is_nic) {
            fail(err, "net client(%s) isn't a NIC", name);
        } else if (nc->is_nic && nc->ops->rx_filter) {
            json_append(list, nc->ops->rx_filter(nc));
        } else if (name) {
            fail(err, "net client(%s) doesn't support rx-filter querying", name);
        }
    }
    if (name && !found) {
        fail_class(err, ERR_GENERIC, "invalid net client name: %s", name);
    }
    if (name && !json_len(list)) {
        json_free(list);
        return NULL;
    }
    return list;
}
