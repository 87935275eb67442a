/* SPDX-License-Identifier: MIT */
/*
 * Human commands: the machine as a tree of paths (monitor/qom.h), and where its memory lies.
 *
 * qom-set without -j takes the value as a person writes it; what it means follows from the value
 * the property has now: text, on or off, a number.
 */
#include "monitor/internal.h"

#include <inttypes.h>
#include <string.h>

#include "chardev/char.h"
#include "hw/core/machine.h"
#include "memory/memory.h"
#include "monitor/hmp-args.h"
#include "monitor/qom.h"
#include "util/parse.h"

/* ---- paths --------------------------------------------------------------------------------- */

/* A value over several lines, as qom-get shows it. */
static void print_pretty(GString *out, const Json *v, unsigned depth)
{
    bool object = v->type == JSON_OBJECT;

    if ((!object && v->type != JSON_ARRAY) || !json_len(v)) {
        g_autofree char *text = json_to_string(v);
        g_string_append(out, text);
        return;
    }
    g_string_append_c(out, object ? '{' : '[');
    for (guint i = 0; i < json_len(v); i++) {
        g_string_append_printf(out, "%s\n%*s", i ? "," : "", 4 * (depth + 1), "");
        if (object) {
            g_autoptr(Json) key = json_str(json_key_at(v, i));
            g_autofree char *text = json_to_string(key);
            g_string_append_printf(out, "%s: ", text);
        }
        print_pretty(out, g_ptr_array_index(v->items, i), depth + 1);
    }
    g_string_append_printf(out, "\n%*s%c", 4 * depth, "", object ? '}' : ']');
}

static void cmd_qom_list(Monitor *m, const Json *args, Error **err)
{
    const char *path = arg_str(args, "path");

    if (!path) {
        monitor_puts(m, "/\n");
        return;
    }
    g_autoptr(Json) list = qom_list(path, err);
    for (guint i = 0; list && i < json_len(list); i++) {
        const Json *p = json_at(list, i);
        monitor_printf(m, "%s (%s)\n", json_get(p, "name")->s, json_get(p, "type")->s);
    }
}

static void cmd_qom_get(Monitor *m, const Json *args, Error **err)
{
    g_autoptr(Json) value = qom_get(arg_str(args, "path"), arg_str(args, "property"), err);

    if (value) {
        GString *s = g_string_new(NULL);
        print_pretty(s, value, 0);
        monitor_printf(m, "%s\n", s->str);
        g_string_free(s, TRUE);
    }
}

/* text as a value of the same type as now; NULL: it is none. */
static Json *value_from_text(const Json *now, const char *property, const char *text, Error **err)
{
    bool on;
    Json *v = NULL;

    switch (now->type) {
    case JSON_STRING:
        return json_str(text);
    case JSON_BOOL:
        if (parse_bool(text, &on)) {
            v = json_bool(on);
        }
        break;
    default:
        v = json_parse(text, NULL);
        if (v && v->type == JSON_STRING) {
            g_clear_pointer(&v, json_free);
        }
    }
    if (!v) {
        fail(err, "'%s' is no value for property '%s', which is %s", text, property,
             now->type == JSON_BOOL ? "on or off" : "a number");
    }
    return v;
}

static void cmd_qom_set(Monitor *m, const Json *args, Error **err)
{
    const char *path = arg_str(args, "path"), *property = arg_str(args, "property");
    const char *text = arg_str(args, "value");
    g_autoptr(Json) value = NULL;

    if (arg_flag(args, "json")) {
        value = json_parse(text, err);
    } else {
        g_autoptr(Json) now = qom_get(path, property, err);
        value = now ? value_from_text(now, property, text, err) : NULL;
    }
    if (value) {
        qom_set(path, property, value, err);
    }
}

/* ---- memory -------------------------------------------------------------------------------- */

static void cmd_gpa2hva(Monitor *m, const Json *args, Error **err)
{
    hwaddr addr = arg_int(args, "addr", 0);
    MemSection s;
    RamBlock *b;
    uint64_t off;

    if (!address_space_lookup(&address_space_memory, addr, &s)) {
        fail(err, "No memory is mapped at address 0x%" PRIx64, addr);
        return;
    }
    if (!s.direct) {
        fail(err, "Memory at address 0x%" PRIx64 " is not RAM", addr);
        return;
    }
    uint8_t *host = region_host(s.region) + s.off + (addr - s.start);
    b = ram_block_from_host(host, &off);
    monitor_printf(m, "Host virtual address for 0x%" PRIx64 " (%s) is %p\n", addr, b ? b->name : s.region->name,
                   (void *)host);
}

static void print_block(RamBlock *b, void *m)
{
    monitor_printf(m, "%24s  0x%016" PRIx64 "  %p\n", b->name, b->size, (void *)b->host);
}

static void info_ramblock(Monitor *m, const Json *args, Error **err)
{
    monitor_printf(m, "%24s  %18s  %s\n", "Block Name", "Size", "Host address");
    ram_block_foreach(print_block, m);
}

static const char *on_off(const Json *o, const char *key)
{
    return json_get(o, key)->b ? "true" : "false";
}

static void info_qdm(Monitor *m, const Json *args, Error **err)
{
    GString *s = g_string_new(NULL);

    device_help(s);
    monitor_puts(m, s->str);
    g_string_free(s, TRUE);
}

static void info_memdev(Monitor *m, const Json *args, Error **err)
{
    g_autoptr(Json) list = qmp_call("query-memdev", NULL, err);

    for (guint i = 0; list && i < json_len(list); i++) {
        const Json *d = json_at(list, i);
        monitor_printf(m, "memory backend: %s\n  size:  %" PRIu64 "\n  merge: %s\n  dump: %s\n"
                       "  prealloc: %s\n  share: %s\n  policy: %s\n", json_get(d, "id")->s,
                       (uint64_t)json_get(d, "size")->i, on_off(d, "merge"), on_off(d, "dump"),
                       on_off(d, "prealloc"), on_off(d, "share"), json_get(d, "policy")->s);
    }
}

/* ---- the rest ------------------------------------------------------------------------------ */

static void cmd_chardev_add(Monitor *m, const Json *args, Error **err)
{
    const char *text = arg_str(args, "args");

    if (!strcmp(text, "help") || !strcmp(text, "?")) {
        GString *s = g_string_new(NULL);
        chardev_help(s);
        monitor_puts(m, s->str);
        g_string_free(s, TRUE);
        return;
    }
    chardev_add(text, err);
}

static void cmd_boot_set(Monitor *m, const Json *args, Error **err)
{
    const char *order = arg_str(args, "bootdevice");
    const MachineType *t = current_machine->type;

    if (!t->set_boot_order) {
        fail(err, "this machine has no boot order");
    } else if (t->set_boot_order(current_machine, order, err)) {
        monitor_printf(m, "boot device list now set to %s\n", order);
    }
}

const HmpCommand hmp_qom_commands[] = {
    { "qom-list", "path:s?", "[path]", "what is below a path of the machine's tree, and its properties",
      cmd_qom_list },
    { "qom-get", "path:s,property:s", "path property", "show a property", cmd_qom_get },
    { "qom-set", "json:-j,path:s,property:s,value:S", "[-j] path property value",
      "set a property (-j: the value is JSON)", cmd_qom_set },
    { "gpa2hva", "addr:l", "addr", "where a guest physical address lies in this process", cmd_gpa2hva },
    { "chardev-add", "args:S", "type,id=str[,prop=value][,...]", "add a character device", cmd_chardev_add },
    { "boot_set", "bootdevice:s", "letters", "what the next boot tries, in which order (as -boot order=)",
      cmd_boot_set },
    { NULL }
};

const HmpCommand hmp_qom_info_commands[] = {
    { "memdev", NULL, "", "memory back-ends", info_memdev },
    { "qdm", NULL, "", "types of devices", info_qdm },
    { "ramblock", NULL, "", "blocks of guest memory", info_ramblock },
    { NULL }
};
