/* SPDX-License-Identifier: MIT */
/*
 * Machine protocol: VNC servers.
 */
#include "monitor/internal.h"

#include <string.h>
#include <unistd.h>

#include "system/display.h"
#include "ui/vnc.h"

static Json *cmd_query_vnc(const Json *args, Error **err)
{
    return vnc_query();
}

static Json *cmd_query_vnc_servers(const Json *args, Error **err)
{
    return vnc_query_servers();
}

static const char *text(const Json *args, const char *name)
{
    const Json *v = json_get(args, name);
    return v ? v->s : NULL;
}

static bool is_vnc(const Json *args, Error **err)
{
    const char *protocol = text(args, "protocol");
    return !strcmp(protocol, "vnc")
           || fail(err, !strcmp(protocol, "spice") ? "there is no SPICE server: protocol '%s' is not possible"
                                                   : "Parameter 'protocol' does not accept value '%s'",
                   protocol);
}

static Json *cmd_set_password(const Json *args, Error **err)
{
    const char *connected = text(args, "connected");
    if (!is_vnc(args, err)) {
        return NULL;
    }
    if (connected && strcmp(connected, "keep")) {
        fail(err, "parameter 'connected' must be 'keep' when protocol is 'vnc'");
        return NULL;
    }
    vnc_set_password(text(args, "display"), text(args, "password"), err);
    return NULL;
}

static Json *cmd_expire_password(const Json *args, Error **err)
{
    if (is_vnc(args, err)) {
        vnc_expire_password(text(args, "display"), text(args, "time"), err);
    }
    return NULL;
}

static Json *cmd_change_password(const Json *args, Error **err)
{
    vnc_set_password(NULL, text(args, "password"), err);
    return NULL;
}

static Json *cmd_display_reload(const Json *args, Error **err)
{
    const char *type = text(args, "type");
    const Json *certs = json_get(args, "tls-certs");
    if (strcmp(type, "vnc")) {
        fail(err, "Parameter 'type' does not accept value '%s'", type);
    } else if (certs && certs->b) {
        vnc_reload_certificates(NULL, err);
    }
    return NULL;
}

/* A connection to a server of ours that the client has accepted or made. */
static Json *cmd_add_client(const Json *args, Error **err)
{
    const char *protocol = text(args, "protocol");
    const Json *skip = json_get(args, "skipauth"), *tls = json_get(args, "tls");
    int fd = qmp_fd_take(text(args, "fdname"), err);

    if (fd < 0) {
        return NULL;
    }
    if (strcmp(protocol, "vnc")) {
        fail(err, "protocol '%s' is not possible: only vnc clients can be added", protocol);
    } else if (tls && tls->b) {
        fail(err, "tls=true: VNC's TLS (VeNCrypt) begins inside the protocol");
    } else {
        vnc_add_client(fd, skip && skip->b, err);
        return NULL;
    }
    close(fd);
    return NULL;
}

static Json *cmd_display_update(const Json *args, Error **err)
{
    const Json *addresses = json_get(args, "addresses");

    if (strcmp(text(args, "type"), "vnc")) {
        fail(err, "Parameter 'type' does not accept value '%s'", text(args, "type"));
    } else if (addresses) {
        vnc_listen_at(addresses, err);
    }
    return NULL;
}

static Json *cmd_query_display_options(const Json *args, Error **err)
{
    return display_query();
}

const QmpCommand qmp_display_commands[] = {
    { "query-vnc", NULL, cmd_query_vnc },
    { "query-vnc-servers", NULL, cmd_query_vnc_servers },
    { "set_password", "protocol:s password:s connected:s? display:s?", cmd_set_password },
    { "expire_password", "protocol:s time:s display:s?", cmd_expire_password },
    { "change-vnc-password", "password:s", cmd_change_password },
    { "add_client", "protocol:s fdname:s skipauth:b? tls:b?", cmd_add_client },
    { "display-update", "type:s addresses:a?", cmd_display_update },
    { "query-display-options", NULL, cmd_query_display_options },
    { "display-reload", "type:s tls-certs:b?", cmd_display_reload },
    { NULL }
};
