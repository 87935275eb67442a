/* SPDX-License-Identifier: MIT */
/*
 * Machine protocol: guest memory and the screen into files.
 */
#include "monitor/internal.h"

#include "hw/virtio/virtio-balloon.h"
#include "monitor/actions.h"

static uint64_t get_u64(const Json *args, const char *key, uint64_t def)
{
    const Json *v = json_get(args, key);
    return !v ? def : v->type == JSON_UINT ? v->u : (uint64_t)v->i;
}

static Json *cmd_memsave(const Json *args, Error **err)
{
    CPU *c = cpu_by_index(MIN(get_u64(args, "cpu-index", 0), G_MAXUINT));
    if (!c) {
        fail(err, "Parameter 'cpu-index' expects a CPU number");
    } else {
        monitor_save_memory(c, get_u64(args, "val", 0), get_u64(args, "size", 0),
                            json_get(args, "filename")->s, err);
    }
    return NULL;
}

static Json *cmd_pmemsave(const Json *args, Error **err)
{
    monitor_save_memory(NULL, get_u64(args, "val", 0), get_u64(args, "size", 0),
                        json_get(args, "filename")->s, err);
    return NULL;
}

static Json *cmd_balloon(const Json *args, Error **err)
{
    balloon_set_target(get_u64(args, "value", 0), err);
    return NULL;
}

static Json *cmd_query_balloon(const Json *args, Error **err)
{
    uint64_t bytes;
    if (!balloon_actual(&bytes, err)) {
        return NULL;
    }
    Json *o = json_object();
    json_set(o, "actual", json_uint(bytes));
    return o;
}

static Json *cmd_screendump(const Json *args, Error **err)
{
    const Json *device = json_get(args, "device"), *format = json_get(args, "format");
    uint64_t head = get_u64(args, "head", 0);
    if (json_get(args, "head") && !device) {
        fail(err, "'head' must be specified together with 'device'");
    } else {
        monitor_screendump(json_get(args, "filename")->s, device ? device->s : NULL,
                           MIN(head, G_MAXUINT), format ? format->s : "ppm", err);
    }
    return NULL;
}

const QmpCommand qmp_memory_commands[] = {
    { "memsave", "val:u size:u filename:s cpu-index:u?", cmd_memsave },
    { "pmemsave", "val:u size:u filename:s", cmd_pmemsave },
    { "balloon", "value:u", cmd_balloon },
    { "query-balloon", NULL, cmd_query_balloon },
    { "screendump", "filename:s device:s? head:u? format:s?", cmd_screendump },
    { NULL }
};
