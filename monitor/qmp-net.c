/* SPDX-License-Identifier: MIT */
/*
 * Machine protocol: network.
 */
#include "monitor/internal.h"

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

const QmpCommand qmp_net_commands[] = {
    { "netdev_add", "**", cmd_netdev_add },
    { "netdev_del", "id:s", cmd_netdev_del },
    { "set_link", "name:s up:b", cmd_set_link },
    { "query-rx-filter", "name:s?", cmd_rx_filter },
    { NULL }
};
