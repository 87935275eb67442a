/* SPDX-License-Identifier: MIT */
/*
 * Human commands: network.
 */
#include "monitor/internal.h"

#include "monitor/hmp-args.h"
#include "net/announce.h"
#include "net/netdev.h"
#include "net/user.h"

#include <string.h>

static void cmd_netdev_add(Monitor *m, const Json *args, Error **err)
{
    const char *text = arg_str(args, "netdev");
    if (!strcmp(text, "help") || !strcmp(text, "?")) {
        GString *s = g_string_new(NULL);
        netdev_help(s);
        monitor_puts(m, s->str);
        g_string_free(s, TRUE);
        return;
    }
    g_autoptr(Opts) o = opts_parse("netdev_add", text, "type", NULL, err);
    if (o) {
        netdev_add_opts(o, err);
    }
}

static void cmd_netdev_del(Monitor *m, const Json *args, Error **err)
{
    netdev_del(arg_str(args, "id"), err);
}

static void cmd_set_link(Monitor *m, const Json *args, Error **err)
{
    net_set_link(arg_str(args, "name"), arg_flag(args, "up"), err);
}

/* hostfwd_add [NETDEV] RULE */
static void forward(const Json *args, bool (*fn)(const char *id, const char *rule, Error **err),
                    Error **err)
{
    const char *first = arg_str(args, "arg1"), *second = arg_str(args, "arg2");
    fn(second ? first : NULL, second ? second : first, err);
}

static void cmd_hostfwd_add(Monitor *m, const Json *args, Error **err)
{
    forward(args, net_user_hostfwd_add, err);
}

static void cmd_hostfwd_remove(Monitor *m, const Json *args, Error **err)
{
    Error *e = NULL;
    forward(args, net_user_hostfwd_remove, &e);
    if (e) {
        g_propagate_error(err, e);
    } else {
        const char *second = arg_str(args, "arg2");
        monitor_printf(m, "host forwarding rule for %s removed\n",
                       second ? second : arg_str(args, "arg1"));
    }
}

static void cmd_announce(Monitor *m, const Json *args, Error **err)
{
    const char *list = arg_str(args, "interfaces");
    g_auto(GStrv) names = list && *list ? g_strsplit(list, ",", -1) : NULL;
    NetAnnounce p = NET_ANNOUNCE_DEFAULT;

    p.interfaces = names;
    net_announce(arg_str(args, "id"), &p, err);
}

const HmpCommand hmp_net_commands[] = {
    { "netdev_add", "netdev:S", "type,id=str[,prop=value][,...]", "add a network back-end",
      cmd_netdev_add },
    { "netdev_del", "id:s", "id", "remove a network back-end", cmd_netdev_del },
    { "set_link", "name:s,up:b", "name on|off", "plug in or pull out a network cable",
      cmd_set_link },
    { "announce_self", "interfaces:s?,id:s?", "[interfaces] [id]",
      "say on the network where the cards are", cmd_announce },
    { "hostfwd_add", "arg1:s,arg2:s?", "[netdev_id] [tcp|udp]:[hostaddr]:hostport-[guestaddr]:"
      "guestport", "forward a port of the host to the guest", cmd_hostfwd_add },
    { "hostfwd_remove", "arg1:s,arg2:s?", "[netdev_id] [tcp|udp]:[hostaddr]:hostport",
      "forward it no more", cmd_hostfwd_remove },
    { NULL }
};

/* ---- info ---------------------------------------------------------------------------------- */

static void print_from(Monitor *m, void (*fn)(GString *out))
{
    GString *s = g_string_new(NULL);
    fn(s);
    monitor_puts(m, s->str);
    g_string_free(s, TRUE);
}

static void info_network(Monitor *m, const Json *args, Error **err)
{
    print_from(m, net_info);
}

static void info_usernet(Monitor *m, const Json *args, Error **err)
{
    print_from(m, net_user_info);
}

const HmpCommand hmp_net_info_commands[] = {
    { "network", NULL, "", "network cards, back-ends and their traffic", info_network },
    { "usernet", NULL, "", "connections of user-mode networking", info_usernet },
    { NULL }
};
