/* SPDX-License-Identifier: MIT */
/*
 * Hubs.
 */
#include "net/hub.h"
#include "net/netdev.h"
#include "net/queue.h"

#include <string.h>

#define HUB_MAX 255

typedef struct HubPort {
    NetClient nc;                       /* always first */
    int hub;
} HubPort;

static GPtrArray *ports;                /* of HubPort*, of all hubs */

static HubPort *port_at(guint i)
{
    return g_ptr_array_index(ports, i);
}

/* To every other port's peer.  Ends that can't take it keep it themselves. */
static bool hub_receive(NetClient *nc, const struct iovec *iov, int n, const NetOffload *off)
{
    const HubPort *from = (HubPort *)nc;

    for (guint i = 0; i < ports->len; i++) {
        HubPort *p = port_at(i);
        if (p != from && p->hub == from->hub) {
            net_send(&p->nc, iov, n, off);
        }
    }
    return true;
}

/* As long as one can take it: a card nobody drives must not stop the others. */
static bool hub_can_receive(NetClient *nc)
{
    const HubPort *from = (HubPort *)nc;
    bool alone = true;

    for (guint i = 0; i < ports->len; i++) {
        HubPort *p = port_at(i);
        if (p != from && p->hub == from->hub) {
            alone = false;
            if (net_can_send(&p->nc)) {
                return true;
            }
        }
    }
    return alone;
}

static void hub_writable(NetClient *nc)
{
    const HubPort *to = (HubPort *)nc;

    for (guint i = 0; i < ports->len; i++) {
        HubPort *p = port_at(i);
        if (p != to && p->hub == to->hub) {
            net_flush(&p->nc);
        }
    }
}

static void hub_close(NetClient *nc)
{
    g_ptr_array_remove(ports, nc);
}

static const NetOps hub_ops = {
    .model = "hubport", .receive = hub_receive, .can_receive = hub_can_receive,
    .writable = hub_writable, .close = hub_close,
};

NetClient *net_hub_add_port(int hub, const char *name)
{
    HubPort *p = g_new0(HubPort, 1);
    g_autofree char *made = NULL;

    if (!ports) {
        ports = g_ptr_array_new();
    }
    if (!name) {
        unsigned n = 0;
        for (guint i = 0; i < ports->len; i++) {
            n += port_at(i)->hub == hub;
        }
        made = g_strdup_printf("hub%dport%u", hub, n);
    }
    p->hub = hub;
    net_client_init(&p->nc, &hub_ops, "hubport", name ? name : made);
    g_ptr_array_add(ports, p);
    return &p->nc;
}

int net_hub_of(const NetClient *nc)
{
    return nc->ops == &hub_ops ? ((const HubPort *)nc)->hub : NET_HUB_NONE;
}

static bool hub_exists(int hub)
{
    for (guint i = 0; ports && i < ports->len; i++) {
        if (port_at(i)->hub == hub) {
            return true;
        }
    }
    return false;
}

void net_hub_info(GString *out, void (*print)(GString *out, NetClient *nc, const char *indent))
{
    for (int hub = 0; hub <= HUB_MAX; hub++) {
        if (!hub_exists(hub)) {
            continue;
        }
        g_string_append_printf(out, "hub %d\n", hub);
        for (guint i = ports->len; i-- > 0;) {
            HubPort *p = port_at(i);
            if (p->hub == hub && p->nc.peer) {
                g_autofree char *indent = g_strdup_printf(" \\ %s: ", p->nc.name);
                print(out, p->nc.peer, indent);
            } else if (p->hub == hub) {
                g_string_append_printf(out, " \\ %s\n", p->nc.name);
            }
        }
    }
}

void net_hub_check(void)
{
    for (int hub = 0; hub <= HUB_MAX; hub++) {
        bool nics = false, others = false;
        for (guint i = 0; ports && i < ports->len; i++) {
            HubPort *p = port_at(i);
            if (p->hub == hub && p->nc.peer) {
                *(p->nc.peer->is_nic ? &nics : &others) = true;
            }
        }
        if (others && !nics) {
            warn_report("hub %d with no nics", hub);
        } else if (nics && !others) {
            warn_report("hub %d is not connected to host network", hub);
        }
    }
}

static NetClient *hubport_open(Opts *o, const char *name, Error **err)
{
    uint64_t hub;
    const char *to = opts_get(o, "netdev");
    NetClient *other = to ? net_find_backend(to) : NULL;

    if (!opts_has(o, "hubid")) {
        fail(err, "Parameter 'hubid' is missing");
        return NULL;
    }
    if (!opts_uint(o, "hubid", 0, 0, HUB_MAX, &hub, err)) {
        return NULL;
    }
    if (to && (!other || other->peer)) {
        fail(err, other ? "netdev '%s' is in use already" : "netdev '%s' not found", to);
        return NULL;
    }
    NetClient *nc = net_hub_add_port(hub, name);
    if (other) {
        net_connect(nc, other);
    }
    return nc;
}

static const NetBackend hubport = {
    .name = "hubport", .desc = "a port of a hub (hubid=N)", .open = hubport_open,
};
NET_BACKEND(hubport);
