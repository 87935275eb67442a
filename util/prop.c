/* SPDX-License-Identifier: MIT */
/*
 * Properties: reading and writing the fields that a Prop table describes.
 */
#include "util/prop.h"
#include "util/parse.h"

#include <inttypes.h>
#include <string.h>

#define KINDS (PROP_KIND_ONOFFAUTO + 1)

static PropResolver resolvers[KINDS];
static PropNamer namers[KINDS];

void prop_set_resolver(PropKind kind, PropResolver fn, PropNamer name)
{
    resolvers[kind] = fn;
    namers[kind] = name;
}

static void put_uint(void *field, size_t size, uint64_t v)
{
    switch (size) {
    case 1: *(uint8_t *)field = v; break;
    case 2: *(uint16_t *)field = v; break;
    case 4: *(uint32_t *)field = v; break;
    case 8: *(uint64_t *)field = v; break;
    default: g_assert_not_reached();
    }
}

static uint64_t get_uint(const void *field, size_t size)
{
    switch (size) {
    case 1: return *(const uint8_t *)field;
    case 2: return *(const uint16_t *)field;
    case 4: return *(const uint32_t *)field;
    case 8: return *(const uint64_t *)field;
    default: g_assert_not_reached();
    }
}

static int64_t get_int(const void *field, size_t size)
{
    unsigned unused = 64 - 8 * size;
    return (int64_t)(get_uint(field, size) << unused) >> unused;
}

void props_set_defaults(void *obj, const Prop *props)
{
    for (const Prop *p = props; p && p->name; p++) {
        void *field = (char *)obj + p->offset;
        if (p->kind == PROP_KIND_STRING) {
            *(char **)field = g_strdup(p->def_str);
        } else if (p->kind == PROP_KIND_MAC || prop_kind_is_backend(p->kind)) {
            memset(field, 0, p->size);
        } else {
            put_uint(field, p->size, p->def);
        }
    }
}

const Prop *prop_find(const Prop *props, const char *name)
{
    for (const Prop *p = props; p && p->name; p++) {
        if (!strcmp(p->name, name)) {
            return p;
        }
    }
    return NULL;
}

/* ---- setting ------------------------------------------------------------------------ */

static bool not_a(const Prop *p, const char *owner, const char *value, const char *what, Error **err)
{
    return fail(err, "Property '%s.%s': '%s' is not %s", owner, p->name, value, what);
}

static void uint_range(const Prop *p, uint64_t *lo, uint64_t *hi)
{
    *lo = p->min;
    *hi = p->min || p->max ? p->max : UINT64_MAX >> (64 - 8 * p->size);
}

static bool set_uint(void *field, const Prop *p, const char *owner, const char *value, Error **err)
{
    uint64_t v, lo, hi;
    bool size = p->kind == PROP_KIND_SIZE;
    uint_range(p, &lo, &hi);
    if (!(size ? parse_size(value, 1, &v) : parse_uint(value, &v))) {
        return not_a(p, owner, value, size ? "a size (a number with K, M, G or T)"
                                           : "a number (decimal, or hex with 0x)", err);
    }
    if (v < lo || v > hi) {
        return fail(err, "Property '%s.%s': %s is out of range (%" PRIu64 " to %" PRIu64 ")",
                    owner, p->name, value, lo, hi);
    }
    put_uint(field, p->size, v);
    return true;
}

static bool set_int(void *field, const Prop *p, const char *owner, const char *value, Error **err)
{
    int64_t v, hi = INT64_MAX >> (64 - 8 * p->size), lo = -hi - 1;
    if (p->min || p->max) {
        lo = (int64_t)p->min;
        hi = (int64_t)p->max;
    }
    if (!parse_int(value, &v)) {
        return not_a(p, owner, value, "a number (decimal, or hex with 0x)", err);
    }
    if (v < lo || v > hi) {
        return fail(err, "Property '%s.%s': %s is out of range (%" PRId64 " to %" PRId64 ")",
                    owner, p->name, value, lo, hi);
    }
    put_uint(field, p->size, (uint64_t)v);
    return true;
}

static bool set_enum(void *field, const Prop *p, const char *owner, const char *value, Error **err)
{
    for (int i = 0; p->choices[i]; i++) {
        if (!strcmp(p->choices[i], value)) {
            put_uint(field, p->size, i);
            return true;
        }
    }
    char *all = g_strjoinv(", ", (char **)p->choices);
    fail(err, "Property '%s.%s': '%s' is none of: %s", owner, p->name, value, all);
    g_free(all);
    return false;
}

/* "5", "5.1" (hex digits), or -1 for "the first free one" */
static bool set_devfn(void *field, const Prop *p, const char *owner, const char *value, Error **err)
{
    char *end;
    if (!strcmp(value, "-1")) {
        put_uint(field, p->size, (uint64_t)-1);
        return true;
    }
    uint64_t slot = g_ascii_strtoull(value, &end, 16), fn = 0;
    bool ok = g_ascii_isxdigit(value[0]) && slot < 32;
    if (ok && *end == '.') {
        char *start = end + 1;
        /* both "1.2" and "0x1.0x2" are in use */
        ok = g_ascii_isxdigit(*start);
        fn = g_ascii_strtoull(start, &end, 16);
    }
    if (!ok || *end || fn > 7) {
        return not_a(p, owner, value, "a PCI address (SLOT or SLOT.FUNCTION in hex, to 1f.7)", err);
    }
    put_uint(field, p->size, slot << 3 | fn);
    return true;
}

static bool set_pointer(void *field, const Prop *p, const char *owner, const char *value, Error **err)
{
    static const char *const what[KINDS] = {
        [PROP_KIND_DRIVE] = "drive", [PROP_KIND_CHARDEV] = "chardev", [PROP_KIND_NETDEV] = "netdev",
        [PROP_KIND_AUDIODEV] = "audiodev",
    };
    Error *why = NULL;
    if (!*value) {
        *(void **)field = NULL;
        return true;
    }
    void *found = resolvers[p->kind] ? resolvers[p->kind](value, &why) : NULL;
    if (!found) {
        if (why) {
            g_propagate_prefixed_error(err, why, "Property '%s.%s': ", owner, p->name);
        } else {
            fail(err, "Property '%s.%s': there is no %s '%s'", owner, p->name, what[p->kind], value);
        }
        return false;
    }
    *(void **)field = found;
    return true;
}

static bool set_onoffauto(void *field, const Prop *p, const char *owner, const char *value, Error **err)
{
    bool on;
    if (!strcmp(value, "auto")) {
        put_uint(field, p->size, 2);
        return true;
    }
    if (!parse_bool(value, &on)) {
        return not_a(p, owner, value, "on, off or auto", err);
    }
    put_uint(field, p->size, on);
    return true;
}

bool prop_set_value(void *obj, const Prop *p, const char *owner, const char *value, Error **err)
{
    void *field = (char *)obj + p->offset;
    bool on;
    switch (p->kind) {
    case PROP_KIND_BOOL:
        if (!parse_bool(value, &on)) {
            return not_a(p, owner, value, "on or off", err);
        }
        *(bool *)field = on;
        return true;
    case PROP_KIND_UINT:
    case PROP_KIND_SIZE:
        return set_uint(field, p, owner, value, err);
    case PROP_KIND_INT:
        return set_int(field, p, owner, value, err);
    case PROP_KIND_STRING:
        g_free(*(char **)field);
        *(char **)field = g_strdup(value);
        return true;
    case PROP_KIND_ENUM:
        return set_enum(field, p, owner, value, err);
    case PROP_KIND_MAC:
        return parse_mac(value, field)
               || not_a(p, owner, value, "a MAC address (as 52:54:00:12:34:56)", err);
    case PROP_KIND_PCI_DEVFN:
        return set_devfn(field, p, owner, value, err);
    case PROP_KIND_DRIVE:
    case PROP_KIND_CHARDEV:
    case PROP_KIND_NETDEV:
    case PROP_KIND_AUDIODEV:
        return set_pointer(field, p, owner, value, err);
    case PROP_KIND_ONOFFAUTO:
        return set_onoffauto(field, p, owner, value, err);
    }
    g_assert_not_reached();
}

bool prop_unknown(const Prop *const *tables, unsigned n, const char *owner, const char *name,
                  Error **err)
{
    GPtrArray *names = g_ptr_array_new();
    for (unsigned i = 0; i < n; i++) {
        for (const Prop *p = tables[i]; p && p->name; p++) {
            g_ptr_array_add(names, (char *)p->name);
        }
    }
    const char *near = nearest_name(name, (const char *const *)names->pdata, names->len);
    g_ptr_array_unref(names);
    if (near) {
        return fail(err, "Property '%s.%s' not found (did you mean '%s'?)", owner, name, near);
    }
    return fail(err, "Property '%s.%s' not found", owner, name);
}

bool prop_set(void *obj, const Prop *props, const char *owner, const char *name, const char *value,
              Error **err)
{
    const Prop *p = prop_find(props, name);
    return p ? prop_set_value(obj, p, owner, value, err)
             : prop_unknown(&props, 1, owner, name, err);
}

/* ---- getting ------------------------------------------------------------------------ */

static char *pointer_name(const Prop *p, void *backend)
{
    return g_strdup(backend && namers[p->kind] ? namers[p->kind](backend) : "");
}

char *prop_get_string(const void *obj, const Prop *p)
{
    const void *field = (const char *)obj + p->offset;
    const uint8_t *mac = field;
    int64_t v;
    switch (p->kind) {
    case PROP_KIND_BOOL:
        return g_strdup(*(const bool *)field ? "true" : "false");
    case PROP_KIND_UINT:
    case PROP_KIND_SIZE:
        return g_strdup_printf("%" PRIu64, get_uint(field, p->size));
    case PROP_KIND_INT:
        return g_strdup_printf("%" PRId64, get_int(field, p->size));
    case PROP_KIND_STRING:
        return g_strdup(*(char *const *)field ? *(char *const *)field : "");
    case PROP_KIND_ENUM:
        return g_strdup(p->choices[get_uint(field, p->size)]);
    case PROP_KIND_MAC:
        return g_strdup_printf("%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3],
                               mac[4], mac[5]);
    case PROP_KIND_PCI_DEVFN:
        v = get_int(field, p->size);
        return v < 0 ? g_strdup("-1") : g_strdup_printf("%02x.%x", (int)v >> 3, (int)v & 7);
    case PROP_KIND_DRIVE:
    case PROP_KIND_CHARDEV:
    case PROP_KIND_NETDEV:
    case PROP_KIND_AUDIODEV:
        return pointer_name(p, *(void *const *)field);
    case PROP_KIND_ONOFFAUTO:
        v = get_uint(field, p->size);
        return g_strdup(v == 0 ? "off" : v == 1 ? "on" : "auto");
    }
    g_assert_not_reached();
}

void props_free(void *obj, const Prop *props)
{
    for (const Prop *p = props; p && p->name; p++) {
        if (p->kind == PROP_KIND_STRING) {
            g_clear_pointer((char **)((char *)obj + p->offset), g_free);
        }
    }
}

/* ---- help --------------------------------------------------------------------------- */

const char *prop_kind_name(const Prop *p)
{
    switch (p->kind) {
    case PROP_KIND_BOOL:       return "bool";
    case PROP_KIND_UINT:       return p->size == 1 ? "uint8" : p->size == 2 ? "uint16"
                                      : p->size == 4 ? "uint32" : "uint64";
    case PROP_KIND_INT:        return p->size == 8 ? "int64" : "int32";
    case PROP_KIND_SIZE:       return "size";
    case PROP_KIND_ENUM:       return "enum";
    case PROP_KIND_ONOFFAUTO:  return "OnOffAuto";
    case PROP_KIND_PCI_DEVFN:  return "int32";
    default:                   return "str";
    }
}

static char *default_text(const Prop *p)
{
    switch (p->kind) {
    case PROP_KIND_BOOL:
        return g_strdup(p->def ? "on" : "off");
    case PROP_KIND_ONOFFAUTO:
        return g_strdup(p->def == 0 ? "off" : p->def == 1 ? "on" : "auto");
    case PROP_KIND_UINT:
    case PROP_KIND_SIZE:
        return p->def > 9 ? g_strdup_printf("%" PRIu64 " (0x%" PRIx64 ")", p->def, p->def)
                          : g_strdup_printf("%" PRIu64, p->def);
    case PROP_KIND_INT:
        return g_strdup_printf("%" PRId64, (int64_t)p->def);
    case PROP_KIND_ENUM:
        return g_strdup(p->choices[p->def]);
    case PROP_KIND_STRING:
        return p->def_str ? g_strdup_printf("\"%s\"", p->def_str) : NULL;
    default:
        return NULL;
    }
}

void props_help(GString *out, const char *owner, const Prop *props)
{
    if (owner) {
        g_string_append_printf(out, "%s options:\n", owner);
    }
    for (const Prop *p = props; p && p->name; p++) {
        char *left = g_strdup_printf("%s=<%s>", p->name, prop_kind_name(p)), *def = default_text(p);
        g_string_append_printf(out, "  %-22s - %s", left, p->help ? p->help : "");
        if (p->kind == PROP_KIND_ENUM) {
            char *all = g_strjoinv("/", (char **)p->choices);
            g_string_append_printf(out, " (%s)", all);
            g_free(all);
        }
        if (def) {
            g_string_append_printf(out, " (default: %s)", def);
        }
        g_string_append_c(out, '\n');
        g_free(left);
        g_free(def);
    }
}
