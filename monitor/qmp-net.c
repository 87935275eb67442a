/* SPDX-License-Identifier: MIT */
/*
 * Machine protocol: network.
 */
#include "monitor/internal.h"

#include "net/announce.h"
#include "net/netdev.h"

static Json *cmd_netdev_add(const Json *args, Error **err)
{
    g_autofree char *text = json_to_string(args);
    g_autoptr(Opts) o = opts_parse("netdev_add", text, NULL, NULL, err);
    if (o) {
        netdev_add_opts(o, err);
    }
    return NULL;
}

static Json *cmd_netdev_del(const Json *args, Error **err)
{
    netdev_del(json_get(args, "id")->s, err);
    return NULL;
}

static Json *cmd_set_link(const Json *args, Error **err)
{
    net_set_link(json_get(args, "name")->s, json_get(args, "up")->b, err);
    return NULL;
}

static Json *cmd_rx_filter(const Json *args, Error **err)
{
    const Json *name = json_get(args, "name");
    return net_rx_filter(name ? name->s : NULL, err);
}

static uint64_t number(const Json *args, const char *name)
{
    const Json *v = json_get(args, name);
    return v->type == JSON_UINT ? v->u : (uint64_t)v->i;
}

/* NULL and *err: not a list of strings */
static char **names(const Json *list, Error **err)
{
    g_autoptr(GStrvBuilder) b = g_strv_builder_new();

    for (unsigned i = 0; i < json_len(list); i++) {
        const Json *v = json_at(list, i);
        if (v->type != JSON_STRING) {
            fail(err, "Invalid parameter type for 'interfaces', expected: array of strings");
            return NULL;
        }
        g_strv_builder_add(b, v->s);
    }
    return g_strv_builder_end(b);
}

static Json *cmd_announce(const Json *args, Error **err)
{
    const Json *id = json_get(args, "id"), *list = json_get(args, "interfaces");
    NetAnnounce p = {
        .initial = number(args, "initial"), .max = number(args, "max"),
        .rounds = number(args, "rounds"), .step = number(args, "step"),
    };

    if (list && !(p.interfaces = names(list, err))) {
        return NULL;
    }
    net_announce(id ? id->s : NULL, &p, err);
    g_strfreev(p.interfaces);
    return NULL;
}

const QmpCommand qmp_net_commands[] = {
    { "netdev_add", "**", cmd_netdev_add },
    { "netdev_del", "id:s", cmd_netdev_del },
    { "set_link", "name:s up:b", cmd_set_link },
    { "announce-self", "initial:i max:i rounds:i step:i interfaces:a? id:s?", cmd_announce },
    { "query-rx-filter", "name:s?", cmd_rx_filter },
    { NULL }
};
