/* SPDX-License-Identifier: MIT */
/*
 * Machine protocol: types, paths, devices and objects that come and go.
 */
#include "monitor/internal.h"

#include "hw/core/device.h"
#include "monitor/actions.h"
#include "monitor/qom.h"
#include "system/objects.h"

static Json *cmd_list_types(const Json *args, Error **err)
{
    const Json *implements = json_get(args, "implements");
    return qom_types(implements ? implements->s : NULL);
}

static Json *cmd_list(const Json *args, Error **err)
{
    return qom_list(json_get(args, "path")->s, err);
}

static Json *cmd_get(const Json *args, Error **err)
{
    return qom_get(json_get(args, "path")->s, json_get(args, "property")->s, err);
}

static Json *cmd_set(const Json *args, Error **err)
{
    qom_set(json_get(args, "path")->s, json_get(args, "property")->s, json_get(args, "value"), err);
    return NULL;
}

static Json *cmd_list_properties(const Json *args, Error **err)
{
    return qom_type_properties(json_get(args, "typename")->s);
}

static Json *cmd_device_properties(const Json *args, Error **err)
{
    return qom_device_type_properties(json_get(args, "typename")->s, err);
}

/* The arguments as an option list: nested objects become dotted keys. */
static Opts *to_opts(const Json *args, const char *owner, Error **err)
{
    char *text = json_to_string(args);
    Opts *opts = opts_parse(owner, text, NULL, NULL, err);
    g_free(text);
    return opts;
}

static Json *cmd_device_add(const Json *args, Error **err)
{
    Opts *opts = to_opts(args, "device_add", err);
    if (opts) {
        monitor_device_add(opts, err);
    }
    return NULL;
}

static Json *cmd_device_del(const Json *args, Error **err)
{
    monitor_device_del(json_get(args, "id")->s, err);
    return NULL;
}

static Json *cmd_object_add(const Json *args, Error **err)
{
    g_autoptr(Opts) opts = to_opts(args, "object-add", err);
    if (opts) {
        object_add(opts, err);
    }
    return NULL;
}

static Json *cmd_object_del(const Json *args, Error **err)
{
    object_del(json_get(args, "id")->s, err);
    return NULL;
}

const QmpCommand qmp_object_commands[] = {
    { "qom-list-types", "implements:s? abstract:b?", cmd_list_types },
    { "qom-list", "path:s", cmd_list },
    { "qom-get", "path:s property:s", cmd_get },
    { "qom-set", "path:s property:s value:*", cmd_set },
    { "qom-list-properties", "typename:s", cmd_list_properties },
    { "device-list-properties", "typename:s", cmd_device_properties },
    { "device_add", "**", cmd_device_add },
    { "device_del", "id:s", cmd_device_del },
    { "object-add", "**", cmd_object_add },
    { "object-del", "id:s", cmd_object_del },
    { NULL }
};
