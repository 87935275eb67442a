/* SPDX-License-Identifier: MIT */
/*
 * Machine protocol: the NBD server of a running machine.
 */
#include "monitor/internal.h"
#include "monitor/qmp-disks.h"

#include <string.h>
#include <unistd.h>

#include "block/nbd.h"

static const char *str_arg(const Json *args, const char *key)
{
    const Json *v = json_get(args, key);
    return v && v->type == JSON_STRING ? v->s : NULL;
}

static bool bool_arg(const Json *args, const char *key)
{
    const Json *v = json_get(args, key);
    return v && v->type == JSON_BOOL && v->b;
}

/* {"type": "inet", "data": {"host", "port"}} or {"type": "unix", "data": {"path"}} */
static int listen_at(const Json *addr, Error **err)
{
    const char *type = str_arg(addr, "type");
    const Json *data = json_get(addr, "data");
    if (!type || !data || data->type != JSON_OBJECT) {
        fail(err, "Parameter 'addr' expects 'type' and 'data'");
    } else if (!strcmp(type, "unix") && str_arg(data, "path")) {
        return nbd_listen_unix(str_arg(data, "path"), err);
    } else if (!strcmp(type, "inet") && str_arg(data, "host") && str_arg(data, "port")) {
        return nbd_listen_inet(str_arg(data, "host"), str_arg(data, "port"), err);
    } else {
        fail(err, "Parameter 'addr': type '%s' with these data is not supported (unix with path, inet "
             "with host and port)", type);
    }
    return -1;
}

static Json *cmd_start(const Json *args, Error **err)
{
    const Json *max = json_get(args, "max-connections");
    if (str_arg(args, "tls-creds") || str_arg(args, "tls-authz")) {
        fail(err, "TLS is not supported by the NBD server");
        return NULL;
    }
    if (nbd_server_running()) {
        fail(err, "NBD server already running");
        return NULL;
    }
    int fd = listen_at(json_get(args, "addr"), err);
    if (fd >= 0) {
        nbd_server_start(fd, max ? max->u : 100, err);
    }
    return NULL;
}

static bool running(Error **err)
{
    return nbd_server_running() || fail(err, "NBD server not running");
}

static void add(const Json *args, const char *id, BlockNode *n, const char *name, Error **err)
{
    const Json *bitmaps = json_get(args, "bitmaps");
    const char *bitmap = str_arg(args, "bitmap");
    if (bitmaps && json_len(bitmaps) && json_at(bitmaps, 0)->type == JSON_STRING) {
        bitmap = json_at(bitmaps, 0)->s;
    }
    if ((bitmaps && json_len(bitmaps) > 1) || (bitmap && !bitmap_find(n, bitmap, err))) {
        fail(bitmap && json_len(bitmaps) <= 1 ? NULL : err, "only one bitmap can be exported");
        return;
    }
    NbdExportOptions o = { .id = id, .name = name, .description = str_arg(args, "description"),
                           .node = n, .writable = bool_arg(args, "writable"), .bitmap = bitmap,
                           .writethrough = bool_arg(args, "writethrough"), .shared = true,
                           .allocation_depth = bool_arg(args, "allocation-depth") };
    nbd_export_add(&o, err);
}

static Json *cmd_add(const Json *args, Error **err)
{
    const char *device = str_arg(args, "device"), *name = str_arg(args, "name");
    BlockNode *n = running(err) ? monitor_find_node(device, err) : NULL;
    if (n) {
        add(args, name ? name : device, n, name ? name : device, err);
    }
    return NULL;
}

static Json *cmd_export_add(const Json *args, Error **err)
{
    static const char *const known[] = { "type", "id", "node-name", "name", "writable", "writethrough",
                                         "description", "bitmaps", "allocation-depth",
                                         "fixed-iothread", NULL };
    const char *type = str_arg(args, "type"), *id = str_arg(args, "id");
    const char *node = str_arg(args, "node-name"), *name = str_arg(args, "name");
    for (guint i = 0; i < json_len(args); i++) {
        if (!g_strv_contains(known, json_key_at(args, i))) {
            fail(err, "Parameter '%s' is unexpected", json_key_at(args, i));
            return NULL;
        }
    }
    if (!type || !id || !node) {
        fail(err, "Parameter '%s' is missing", !type ? "type" : !id ? "id" : "node-name");
        return NULL;
    }
    if (strcmp(type, "nbd")) {
        fail(err, "Parameter 'type' does not accept value '%s' (nbd)", type);
        return NULL;
    }
    BlockNode *n = running(err) ? monitor_node_by_name(node, err) : NULL;
    if (n) {
        add(args, id, n, name ? name : node, err);
    }
    return NULL;
}

static bool mode_arg(const Json *args, bool *hard, Error **err)
{
    const char *mode = str_arg(args, "mode");
    *hard = mode && !strcmp(mode, "hard");
    return !mode || *hard || !strcmp(mode, "safe")
           || fail(err, "Parameter 'mode' does not accept value '%s'", mode);
}

static Json *cmd_remove(const Json *args, Error **err)
{
    const char *name = str_arg(args, "name");
    NbdExport *e = running(err) ? nbd_export_by_name(name) : NULL;
    bool hard;
    if (e && mode_arg(args, &hard, err)) {
        nbd_export_del(nbd_export_id(e), hard, err);
    } else if (!e && nbd_server_running()) {
        fail(err, "Export '%s' is not found", name);
    }
    return NULL;
}

static Json *cmd_export_del(const Json *args, Error **err)
{
    bool hard;
    if (mode_arg(args, &hard, err)) {
        nbd_export_del(str_arg(args, "id"), hard, err);
    }
    return NULL;
}

static Json *cmd_stop(const Json *args, Error **err)
{
    if (running(err)) {
        nbd_server_stop();
    }
    return NULL;
}

static Json *cmd_query(const Json *args, Error **err)
{
    return nbd_exports_info();
}

const QmpCommand qmp_nbd_commands[] = {
    { "nbd-server-start", "addr:o tls-creds:s? tls-authz:s? max-connections:u?", cmd_start },
    { "nbd-server-add", "device:s name:s? writable:b? bitmap:s? description:s?", cmd_add },
    { "nbd-server-remove", "name:s mode:s?", cmd_remove },
    { "nbd-server-stop", NULL, cmd_stop },
    { "block-export-add", "**", cmd_export_add },
    { "block-export-del", "id:s mode:s?", cmd_export_del },
    { "query-block-exports", NULL, cmd_query },
    { NULL }
};
