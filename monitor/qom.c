/* SPDX-License-Identifier: MIT */
/*
 * Paths and types for clients that look at the machine as a tree of objects.
 */
#include "monitor/qom.h"

#include <stdio.h>
#include <string.h>

#include "accel/accel.h"
#include "chardev/char.h"
#include "hw/core/machine.h"
#include "system/machine.h"
#include "system/objects.h"
#include "target-i386/cpu.h"

/* ---- what a path names --------------------------------------------------------------------- */

typedef enum { NODE_ROOT, NODE_MACHINE, NODE_PERIPHERAL, NODE_ANON, NODE_UNATTACHED, NODE_OBJECTS,
               NODE_CHARDEVS, NODE_DEVICE, NODE_CPU, NODE_OBJECT, NODE_CHARDEV } NodeKind;

typedef struct Node {
    NodeKind kind;
    void *object;               /* Device, CPU, Object, CharDev */
} Node;

static const struct {
    const char *path;
    NodeKind kind;
} containers[] = {
    { "/", NODE_ROOT }, { "/machine", NODE_MACHINE }, { "/machine/peripheral", NODE_PERIPHERAL },
    { "/machine/peripheral-anon", NODE_ANON }, { "/machine/unattached", NODE_UNATTACHED },
    { "/objects", NODE_OBJECTS }, { "/chardevs", NODE_CHARDEVS },
};

/* Where a device hangs. */
static NodeKind container_of(const Device *dev)
{
    return !dev->user_created ? NODE_UNATTACHED : dev->id ? NODE_PERIPHERAL : NODE_ANON;
}

/* Numbers the devices of one container in order of realize; CPUs are the first unattached. */
typedef struct Walk {
    NodeKind container;
    unsigned n;
    const Device *want;         /* number of this one */
    int want_n;                 /* device of this number */
    Device *found;
    void (*fn)(const char *name, const char *type, void *opaque);
    void *opaque;
} Walk;

static void visit_device(Device *dev, void *opaque)
{
    Walk *w = opaque;
    if (w->found || container_of(dev) != w->container) {
        return;
    }
    if (dev == w->want || (int)w->n == w->want_n) {
        w->found = dev;
        return;
    }
    if (w->fn) {
        char *name = w->container == NODE_PERIPHERAL ? g_strdup(dev->id)
                                                     : g_strdup_printf("device[%u]", w->n);
        char *type = g_strdup_printf("child<%s>", dev->type->name);
        w->fn(name, type, w->opaque);
        g_free(name);
        g_free(type);
    }
    w->n++;
}

static Walk walk_new(NodeKind container)
{
    return (Walk) { .container = container, .n = container == NODE_UNATTACHED ? cpus->len : 0,
                    .want_n = -1 };
}

char *qom_device_path(Device *dev)
{
    Walk w = walk_new(container_of(dev));
    w.want = dev;
    device_foreach(visit_device, &w);
    switch (w.container) {
    case NODE_PERIPHERAL:
        return g_strdup_printf("/machine/peripheral/%s", dev->id);
    case NODE_ANON:
        return g_strdup_printf("/machine/peripheral-anon/device[%u]", w.n);
    default:
        return g_strdup_printf("/machine/unattached/device[%u]", w.n);
    }
}

char *qom_cpu_path(CPU *c)
{
    return g_strdup_printf("/machine/unattached/device[%d]", c->index);
}

static bool resolve_numbered(NodeKind container, const char *name, Node *out)
{
    unsigned n;
    char end;
    if (sscanf(name, "device[%u%c", &n, &end) != 2 || end != ']' || n > G_MAXINT) {
        return false;
    }
    if (container == NODE_UNATTACHED && n < cpus->len) {
        *out = (Node) { NODE_CPU, cpu_by_index(n) };
        return true;
    }
    Walk w = walk_new(container);
    w.want_n = n;
    device_foreach(visit_device, &w);
    *out = (Node) { NODE_DEVICE, w.found };
    return w.found;
}

static bool resolve_child(NodeKind container, const char *name, Node *out)
{
    switch (container) {
    case NODE_PERIPHERAL:
        *out = (Node) { NODE_DEVICE, device_find(name) };
        return out->object && ((Device *)out->object)->user_created;
    case NODE_ANON:
    case NODE_UNATTACHED:
        return resolve_numbered(container, name, out);
    case NODE_OBJECTS:
        *out = (Node) { NODE_OBJECT, object_find(name) };
        return out->object;
    case NODE_CHARDEVS:
        *out = (Node) { NODE_CHARDEV, chardev_find(name) };
        return out->object;
    default:
        return false;
    }
}

static bool resolve_container(const char *path, NodeKind *kind)
{
    for (size_t i = 0; i < G_N_ELEMENTS(containers); i++) {
        if (!strcmp(containers[i].path, path)) {
            *kind = containers[i].kind;
            return true;
        }
    }
    return false;
}

static bool resolve(const char *given, Node *out, Error **err)
{
    /* a name without a path is a device's or object's id */
    if (*given && *given != '/') {
        if (resolve_child(NODE_PERIPHERAL, given, out) || resolve_child(NODE_OBJECTS, given, out)) {
            return true;
        }
    }
    g_autofree char *path = g_strdup(given);
    size_t len = strlen(path);
    while (len > 1 && path[len - 1] == '/') {
        path[--len] = 0;
    }
    *out = (Node) { NODE_ROOT, NULL };
    if (resolve_container(path, &out->kind)) {
        return true;
    }
    char *slash = strrchr(path, '/');
    NodeKind parent;
    if (slash && slash != path) {
        *slash = 0;
        if (resolve_container(path, &parent) && resolve_child(parent, slash + 1, out)) {
            return true;
        }
    }
    return fail_class(err, ERR_DEVICE_NOT_FOUND, "Device '%s' not found", given);
}

/* ---- values ---------------------------------------------------------------------------------- */

static uint64_t load_uint(const void *p, size_t size)
{
    switch (size) {
    case 1: return *(const uint8_t *)p;
    case 2: return *(const uint16_t *)p;
    case 4: return *(const uint32_t *)p;
    default: return *(const uint64_t *)p;
    }
}

static int64_t load_int(const void *p, size_t size)
{
    unsigned shift = 64 - 8 * size;
    return (int64_t)(load_uint(p, size) << shift) >> shift;
}

Json *qom_prop_value(const void *obj, const Prop *p)
{
    const char *field = (const char *)obj + p->offset;
    char *text;
    switch (p->kind) {
    case PROP_KIND_BOOL:
        return json_bool(*(const bool *)field);
    case PROP_KIND_UINT:
    case PROP_KIND_SIZE:
        return json_uint(load_uint(field, p->size));
    case PROP_KIND_INT:
        return json_int(load_int(field, p->size));
    default:
        text = prop_get_string(obj, p);
        break;
    }
    Json *j = json_str(text ? text : "");
    g_free(text);
    return j;
}

static Json *default_value(const Prop *p)
{
    switch (p->kind) {
    case PROP_KIND_BOOL:
        return json_bool(p->def);
    case PROP_KIND_UINT:
    case PROP_KIND_SIZE:
        return json_uint(p->def);
    case PROP_KIND_INT:
        return json_int(p->def);
    case PROP_KIND_STRING:
        return p->def_str ? json_str(p->def_str) : NULL;
    case PROP_KIND_ENUM:
        return json_str(p->choices[p->def]);
    case PROP_KIND_ONOFFAUTO:
        return json_str(p->def == 0 ? "off" : p->def == 1 ? "on" : "auto");
    default:
        return NULL;
    }
}

/* ---- qom-list -------------------------------------------------------------------------------- */

static void add_pair(const char *name, const char *type, void *list)
{
    Json *o = json_object();
    json_set_str(o, "name", name);
    json_set_str(o, "type", type);
    json_append(list, o);
}

static void add_prop(const Prop *p, void *list)
{
    add_pair(p->name, prop_kind_name(p), list);
}

static void add_object(Object *o, void *list)
{
    char *type = g_strdup_printf("child<%s>", o->type->name);
    add_pair(o->id, type, list);
    g_free(type);
}

static void add_chardev(CharDev *c, void *list)
{
    add_pair(chardev_id(c), "child<chardev>", list);
}

static void list_devices(NodeKind container, Json *list)
{
    Walk w = walk_new(container);
    w.fn = add_pair;
    w.opaque = list;
    if (container == NODE_UNATTACHED) {
        for (guint i = 0; i < cpus->len; i++) {
            char name[32];
            g_snprintf(name, sizeof(name), "device[%u]", i);
            add_pair(name, "child<x86_64-cpu>", list);
        }
    }
    device_foreach(visit_device, &w);
}

static void list_machine(Json *list)
{
    static const char *const children[] = { "peripheral", "peripheral-anon", "unattached" };
    for (size_t i = 0; i < G_N_ELEMENTS(children); i++) {
        add_pair(children[i], "child<container>", list);
    }
    machine_props_foreach(current_machine->type, add_prop, list);
}

static void list_root(Json *list)
{
    char *machine = g_strdup_printf("child<%s-machine>", current_machine->type->name);
    add_pair("machine", machine, list);
    add_pair("objects", "child<container>", list);
    add_pair("chardevs", "child<container>", list);
    g_free(machine);
}

static void list_device(const Device *dev, Json *list)
{
    device_type_props(dev->type, add_prop, list);
    for (const LiveProp *p = dev->live; p && p->name; p++) {
        add_pair(p->name, p->type, list);
    }
    add_pair("realized", "bool", list);
    add_pair("hotplugged", "bool", list);
    for (guint i = 0; i < dev->buses->len; i++) {
        const Bus *bus = dev->buses->pdata[i];
        char *type = g_strdup_printf("child<%s>", bus->type->name);
        add_pair(bus->name, type, list);
        g_free(type);
    }
}

Json *qom_list(const char *path, Error **err)
{
    Node n;
    if (!resolve(path, &n, err)) {
        return NULL;
    }
    Json *list = json_array();
    add_pair("type", "string", list);
    switch (n.kind) {
    case NODE_ROOT:
        list_root(list);
        break;
    case NODE_MACHINE:
        list_machine(list);
        break;
    case NODE_PERIPHERAL:
    case NODE_ANON:
    case NODE_UNATTACHED:
        list_devices(n.kind, list);
        break;
    case NODE_OBJECTS:
        object_foreach(add_object, list);
        break;
    case NODE_CHARDEVS:
        chardev_foreach(add_chardev, list);
        break;
    case NODE_DEVICE:
        list_device(n.object, list);
        break;
    case NODE_OBJECT:
        for (const Prop *p = ((Object *)n.object)->type->props; p->name; p++) {
            add_prop(p, list);
        }
        break;
    case NODE_CPU:
    case NODE_CHARDEV:
        break;
    }
    return list;
}

/* ---- qom-get --------------------------------------------------------------------------------- */

static char *node_type(const Node *n)
{
    switch (n->kind) {
    case NODE_MACHINE:
        return g_strdup_printf("%s-machine", current_machine->type->name);
    case NODE_DEVICE:
        return g_strdup(((Device *)n->object)->type->name);
    case NODE_OBJECT:
        return g_strdup(((Object *)n->object)->type->name);
    case NODE_CPU: {
        char **parts = g_strsplit(current_machine->cpu_model, ",", 2);
        char *type = g_strdup_printf("%s-x86_64-cpu", parts[0]);
        g_strfreev(parts);
        return type;
    }
    case NODE_CHARDEV:
        return g_strdup("chardev");
    default:
        return g_strdup("container");
    }
}

typedef struct Getter {
    const void *obj;
    const char *name;
    Json *value;
} Getter;

static void get_if_named(const Prop *p, void *opaque)
{
    Getter *g = opaque;
    if (!g->value && !strcmp(p->name, g->name)) {
        g->value = qom_prop_value(g->obj, p);
    }
}

static const LiveProp *find_live(const Device *dev, const char *name)
{
    for (const LiveProp *p = dev->live; p && p->name; p++) {
        if (!strcmp(p->name, name)) {
            return p;
        }
    }
    return NULL;
}

static Json *get_from_node(const Node *n, const char *name)
{
    Getter g = { n->object, name, NULL };
    if (!strcmp(name, "type")) {
        char *type = node_type(n);
        g.value = json_str(type);
        g_free(type);
        return g.value;
    }
    switch (n->kind) {
    case NODE_MACHINE:
        g.obj = current_machine;
        machine_props_foreach(current_machine->type, get_if_named, &g);
        break;
    case NODE_DEVICE: {
        Device *dev = n->object;
        const LiveProp *live = find_live(dev, name);
        if (live && live->get) {
            return live->get(dev);
        }
        if (!strcmp(name, "realized") || !strcmp(name, "hotplugged")) {
            return json_bool(*name == 'r' ? dev->realized : dev->hotplugged);
        }
        device_type_props(dev->type, get_if_named, &g);
        break;
    }
    case NODE_OBJECT:
        for (const Prop *p = ((Object *)n->object)->type->props; p->name; p++) {
            get_if_named(p, &g);
        }
        break;
    default:
        break;
    }
    return g.value;
}

static bool not_found(const Node *n, const char *property, Error **err)
{
    char *type = node_type(n);
    fail(err, "Property '%s.%s' not found", type, property);
    g_free(type);
    return false;
}

Json *qom_get(const char *path, const char *property, Error **err)
{
    Node n;
    if (!resolve(path, &n, err)) {
        return NULL;
    }
    Json *value = get_from_node(&n, property);
    if (!value) {
        not_found(&n, property, err);
    }
    return value;
}

static const Prop *live_of_object(const Object *o, const char *property)
{
    const Prop *p = o->type->props;

    if (!o->type->live || !g_strv_contains(o->type->live, property)) {
        return NULL;
    }
    while (strcmp(p->name, property)) {
        p++;
    }
    return p;
}

static bool set_of_object(Object *o, const Prop *p, const char *path, const Json *value, Error **err)
{
    if (value->type != JSON_STRING) {
        return fail(err, "Invalid parameter type for '%s', expected: string", p->name);
    }
    if (!prop_set_value(o, p, path, value->s, err)) {
        return false;
    }
    o->type->changed(o);
    return true;
}

bool qom_set(const char *path, const char *property, const Json *value, Error **err)
{
    Node n;
    if (!resolve(path, &n, err)) {
        return false;
    }
    const LiveProp *live = n.kind == NODE_DEVICE ? find_live(n.object, property) : NULL;
    if (live && live->set) {
        return live->set(n.object, value, err);
    }
    const Prop *p = n.kind == NODE_OBJECT ? live_of_object(n.object, property) : NULL;
    if (p) {
        return set_of_object(n.object, p, path, value, err);
    }
    Json *old = get_from_node(&n, property);
    if (!old) {
        return not_found(&n, property, err);
    }
    json_free(old);
    return fail(err, "Property '%s' can only be set when '%s' is made", property, path);
}

/* ---- types ------------------------------------------------------------------------------------- */

typedef struct TypeList {
    Json *list;
    const char *implements;
} TypeList;

static void add_type(TypeList *t, const char *name, const char *parent, const char *base)
{
    const char *i = t->implements;
    if (i && strcmp(i, name) && strcmp(i, parent) && strcmp(i, base) && strcmp(i, "object")) {
        return;
    }
    Json *o = json_object();
    json_set_str(o, "name", name);
    json_set_str(o, "parent", parent);
    json_append(t->list, o);
}

static const char *device_parent(const DeviceType *t)
{
    static const char *const parents[][2] = {
        { "PCI", "pci-device" }, { "isa", "isa-device" }, { "IDE", "ide-device" },
        { "usb-bus", "usb-device" }, { "SCSI", "scsi-device" },
    };
    for (size_t i = 0; t->bus && i < G_N_ELEMENTS(parents); i++) {
        if (!strcmp(parents[i][0], t->bus)) {
            return parents[i][1];
        }
    }
    return t->bus ? "device" : "sys-bus-device";
}

static void add_device_type(const DeviceType *t, void *opaque)
{
    add_type(opaque, t->name, device_parent(t), "device");
}

static void add_machine_type(const MachineType *t, void *opaque)
{
    char *name = g_strdup_printf("%s-machine", t->name);
    add_type(opaque, name, "machine", "machine");
    g_free(name);
}

static void add_accel_type(const Accel *a, void *opaque)
{
    char *name = g_strdup_printf("%s-accel", a->name);
    add_type(opaque, name, "accel", "accel");
    g_free(name);
}

static void add_cpu_type(const char *model, const char *desc, void *opaque)
{
    char *name = g_strdup_printf("%s-x86_64-cpu", model);
    add_type(opaque, name, "x86_64-cpu", "device");
    g_free(name);
}

static void add_object_type(const ObjectType *t, void *opaque)
{
    add_type(opaque, t->name, "object", "object");
}

Json *qom_types(const char *implements)
{
    TypeList t = { json_array(), implements };
    device_type_foreach(add_device_type, &t);
    x86_cpu_model_foreach(add_cpu_type, &t);
    machine_type_foreach(add_machine_type, &t);
    accel_foreach(add_accel_type, &t);
    object_type_foreach(add_object_type, &t);
    return t.list;
}

static void describe_prop(const Prop *p, void *list)
{
    Json *o = json_object(), *def = default_value(p);
    if (def) {
        json_set(o, "default-value", def);
    }
    json_set_str(o, "name", p->name);
    if (p->help) {
        json_set_str(o, "description", p->help);
    }
    json_set_str(o, "type", prop_kind_name(p));
    json_append(list, o);
}

Json *qom_device_type_properties(const char *type, Error **err)
{
    const DeviceType *t = device_type_find(type);
    if (!t) {
        fail_class(err, ERR_DEVICE_NOT_FOUND, "Device '%s' not found", type);
        return NULL;
    }
    Json *list = json_array();
    device_type_props(t, describe_prop, list);
    return list;
}

typedef struct TypeSearch {
    const char *name;
    Json *list;
} TypeSearch;

static void describe_object_type(const ObjectType *t, void *opaque)
{
    TypeSearch *s = opaque;
    for (const Prop *p = t->props; !strcmp(t->name, s->name) && p->name; p++) {
        describe_prop(p, s->list);
    }
}

static void describe_accel(const Accel *a, void *opaque)
{
    TypeSearch *s = opaque;
    char *name = g_strdup_printf("%s-accel", a->name);
    for (const Prop *p = a->props; !strcmp(name, s->name) && p && p->name; p++) {
        describe_prop(p, s->list);
    }
    g_free(name);
}

static void describe_machine(const MachineType *t, void *opaque)
{
    TypeSearch *s = opaque;
    char *name = g_strdup_printf("%s-machine", t->name);
    if (!strcmp(name, s->name)) {
        machine_props_foreach(t, describe_prop, s->list);
    }
    g_free(name);
}

static void describe_feature(const char *name, void *list)
{
    Json *o = json_object();
    json_set_str(o, "name", name);
    json_set_str(o, "type", "bool");
    json_append(list, o);
}

Json *qom_type_properties(const char *type)
{
    Json *list = qom_device_type_properties(type, NULL);
    if (list) {
        return list;
    }
    TypeSearch s = { type, json_array() };
    object_type_foreach(describe_object_type, &s);
    accel_foreach(describe_accel, &s);
    machine_type_foreach(describe_machine, &s);
    if (g_str_has_suffix(type, "-x86_64-cpu")) {
        x86_feature_foreach(describe_feature, s.list);
    }
    return s.list;
}

/* ---- info qom-tree ------------------------------------------------------------------------------ */

static void print_children(GString *out, const char *path, int depth)
{
    Json *list = qom_list(path, NULL);
    for (guint i = 0; list && i < json_len(list); i++) {
        const char *name = json_get(json_at(list, i), "name")->s;
        const char *type = json_get(json_at(list, i), "type")->s;
        if (!g_str_has_prefix(type, "child<")) {
            continue;
        }
        char *child = g_strdup_printf("%s%s%s", path, path[1] ? "/" : "", name);
        int len = strlen(type) - 7;
        g_string_append_printf(out, "%*s/%s (%.*s)\n", depth * 2, "", name, len, type + 6);
        print_children(out, child, depth + 1);
        g_free(child);
    }
    json_free(list);
}

void qom_print_tree(GString *out)
{
    print_children(out, "/", 0);
}
