/* SPDX-License-Identifier: MIT */
/*
 * Option strings and configuration files.
 */
#include "util/opts.h"
#include "util/parse.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

static void free_opt(gpointer p)
{
    Opt *o = p;
    g_free(o->name);
    g_free(o->value);
    g_free(o);
}

Opts *opts_new(const char *owner)
{
    Opts *o = g_new0(Opts, 1);
    o->owner = g_strdup(owner);
    o->list = g_ptr_array_new_with_free_func(free_opt);
    o->known = g_ptr_array_new_with_free_func(g_free);
    return o;
}

void opts_free(Opts *o)
{
    if (o) {
        g_free(o->owner);
        g_ptr_array_unref(o->list);
        g_ptr_array_unref(o->known);
        g_free(o);
    }
}

static Opt *add(Opts *o, char *name, char *value, bool flag)
{
    Opt *opt = g_new0(Opt, 1);
    *opt = (Opt) { name, value, flag, false };
    g_ptr_array_add(o->list, opt);
    return opt;
}

void opts_set(Opts *o, const char *name, const char *value)
{
    add(o, g_strdup(name), g_strdup(value), false);
}

void opts_remove(Opts *o, const char *name)
{
    for (guint i = o->list->len; i-- > 0;) {
        if (!strcmp(((Opt *)o->list->pdata[i])->name, name)) {
            g_ptr_array_remove_index(o->list, i);
        }
    }
}

/* ---- key=value ---------------------------------------------------------------------- */

/* Text up to a single comma (",," is a comma); *p moves behind it. */
static char *take_value(const char **p)
{
    GString *s = g_string_new(NULL);
    while (**p) {
        if (**p == ',') {
            if ((*p)[1] != ',') {
                break;
            }
            (*p)++;
        }
        g_string_append_c(s, *(*p)++);
    }
    *p += **p == ',';
    return g_string_free(s, FALSE);
}

static bool in_list(const char *const *list, const char *word)
{
    return list && g_strv_contains(list, word);
}

static void add_flag(Opts *o, char *word, const char *const *flags)
{
    if (!in_list(flags, word) && g_str_has_prefix(word, "no") && in_list(flags, word + 2)) {
        add(o, g_strdup(word + 2), g_strdup("off"), true);
        g_free(word);
    } else {
        add(o, word, g_strdup("on"), true);
    }
}

static bool parse_pairs(Opts *o, const char *text, const char *implied, const char *const *flags,
                        Error **err)
{
    const char *p = text;
    for (bool first = true; *p; first = false) {
        size_t len = strcspn(p, "=,");
        if (p[len] == '=') {
            if (!len) {
                return fail(err, "%s: '%s': no name in front of '='", o->owner, p);
            }
            char *name = g_strndup(p, len);
            p += len + 1;
            add(o, name, take_value(&p), false);
        } else if (first && implied) {
            /* the word may hold commas and, after them, '=' */
            add(o, g_strdup(implied), take_value(&p), false);
        } else {
            add_flag(o, take_value(&p), flags);
        }
    }
    return true;
}

/* ---- JSON form ---------------------------------------------------------------------- */

static bool add_json(Opts *o, const char *name, const Json *j, Error **err);

static bool add_members(Opts *o, const char *prefix, const Json *j, Error **err)
{
    for (guint i = 0; i < json_len(j); i++) {
        char number[12];
        g_snprintf(number, sizeof(number), "%u", i);
        const char *key = j->type == JSON_OBJECT ? json_key_at(j, i) : number;
        g_autofree char *name = prefix ? g_strconcat(prefix, ".", key, NULL) : g_strdup(key);
        if (!add_json(o, name, json_at(j, i), err)) {
            return false;
        }
    }
    return true;
}

static bool add_json(Opts *o, const char *name, const Json *j, Error **err)
{
    switch (j->type) {
    case JSON_STRING:
        opts_set(o, name, j->s);
        return true;
    case JSON_BOOL:
        opts_set(o, name, j->b ? "on" : "off");
        return true;
    case JSON_NULL:
        opts_set(o, name, "");
        return true;
    case JSON_ARRAY:
    case JSON_OBJECT:
        return add_members(o, name, j, err);
    default:
        add(o, g_strdup(name), json_to_string(j), false);
        return true;
    }
}

static bool parse_json(Opts *o, const char *text, Error **err)
{
    g_autoptr(Json) j = json_parse(text, err);
    if (!j) {
        if (err) {
            g_prefix_error(err, "%s: ", o->owner);
        }
        return false;
    }
    if (j->type != JSON_OBJECT) {
        return fail(err, "%s: a JSON object is expected", o->owner);
    }
    return add_members(o, NULL, j, err);
}

Opts *opts_parse(const char *owner, const char *text, const char *implied,
                 const char *const *flags, Error **err)
{
    Opts *o = opts_new(owner);
    bool ok = text[0] == '{' ? parse_json(o, text, err) : parse_pairs(o, text, implied, flags, err);
    if (!ok) {
        g_clear_pointer(&o, opts_free);
    }
    return o;
}

/* ---- reading ------------------------------------------------------------------------ */

static void note_known(Opts *o, const char *name)
{
    for (guint i = 0; i < o->known->len; i++) {
        if (!strcmp(o->known->pdata[i], name)) {
            return;
        }
    }
    g_ptr_array_add(o->known, g_strdup(name));
}

const char *opts_get(Opts *o, const char *name)
{
    const char *value = NULL;
    note_known(o, name);
    for (guint i = 0; i < o->list->len; i++) {
        Opt *opt = o->list->pdata[i];
        if (!strcmp(opt->name, name)) {
            opt->used = true;
            value = opt->value;
        }
    }
    return value;
}

bool opts_has(Opts *o, const char *name)
{
    return opts_get(o, name) != NULL;
}

bool opts_bool(Opts *o, const char *name, bool def, bool *out, Error **err)
{
    const char *v = opts_get(o, name);
    *out = def;
    return !v || parse_bool(v, out)
           || fail(err, "%s: %s=%s: '%s' is not on or off", o->owner, name, v, v);
}

bool opts_uint(Opts *o, const char *name, uint64_t def, uint64_t min, uint64_t max, uint64_t *out,
               Error **err)
{
    const char *v = opts_get(o, name);
    uint64_t n;
    *out = def;
    if (!v) {
        return true;
    }
    if (!parse_uint(v, &n)) {
        return fail(err, "%s: %s=%s: '%s' is not a number", o->owner, name, v, v);
    }
    if (n < min || n > max) {
        return fail(err, "%s: %s=%s is out of range (%" PRIu64 " to %" PRIu64 ")", o->owner, name, v,
                    min, max);
    }
    *out = n;
    return true;
}

bool opts_size(Opts *o, const char *name, uint64_t def, uint64_t *out, Error **err)
{
    const char *v = opts_get(o, name);
    *out = def;
    return !v || parse_size(v, 1, out)
           || fail(err, "%s: %s=%s: '%s' is not a size (a number with K, M, G or T)", o->owner, name,
                   v, v);
}

bool opts_enum(Opts *o, const char *name, const char *const *choices, int def, int *out, Error **err)
{
    const char *v = opts_get(o, name);
    *out = def;
    if (!v) {
        return true;
    }
    for (int i = 0; choices[i]; i++) {
        if (!strcmp(choices[i], v)) {
            *out = i;
            return true;
        }
    }
    g_autofree char *all = g_strjoinv(", ", (char **)choices);
    return fail(err, "%s: %s=%s: '%s' is none of: %s", o->owner, name, v, v, all);
}

bool opts_help(Opts *o)
{
    for (guint i = 0; i < o->list->len; i++) {
        Opt *opt = o->list->pdata[i];
        const char *word = opt->flag ? opt->name : i == 0 ? opt->value : "";
        if (!strcmp(word, "help") || !strcmp(word, "?")) {
            return true;
        }
    }
    return false;
}

bool opts_check_unused(Opts *o, Error **err)
{
    for (guint i = 0; i < o->list->len; i++) {
        Opt *opt = o->list->pdata[i];
        if (opt->used) {
            continue;
        }
        const char *near = nearest_name(opt->name, (const char *const *)o->known->pdata, o->known->len);
        if (near) {
            return fail(err, "%s: unknown option '%s' (did you mean '%s'?)", o->owner, opt->name, near);
        }
        return fail(err, "%s: unknown option '%s'", o->owner, opt->name);
    }
    return true;
}

void opts_foreach(Opts *o, void (*fn)(const char *name, const char *value, void *opaque),
                  void *opaque)
{
    for (guint i = 0; i < o->list->len; i++) {
        Opt *opt = o->list->pdata[i];
        opt->used = true;
        fn(opt->name, opt->value, opaque);
    }
}

/* ---- other forms -------------------------------------------------------------------- */

Json *opts_to_json(Opts *o, Error **err)
{
    g_autoptr(Json) root = json_object();
    for (guint i = 0; i < o->list->len; i++) {
        Opt *opt = o->list->pdata[i];
        g_auto(GStrv) path = g_strsplit(opt->name, ".", -1);
        Json *at = root;
        guint n = g_strv_length(path);
        opt->used = true;
        if (!n) {
            fail(err, "%s: an option without a name", o->owner);
            return NULL;
        }
        for (guint k = 0; k + 1 < n; k++) {
            Json *next = json_get(at, path[k]);
            if (!next) {
                next = json_object();
                json_set(at, path[k], next);
            }
            if (next->type != JSON_OBJECT) {
                fail(err, "%s: '%s' is both a value and a group", o->owner, path[k]);
                return NULL;
            }
            at = next;
        }
        Json *old = json_get(at, path[n - 1]);
        if (old && old->type == JSON_OBJECT) {
            fail(err, "%s: '%s' is both a value and a group", o->owner, opt->name);
            return NULL;
        }
        json_set_str(at, path[n - 1], opt->value);
    }
    return g_steal_pointer(&root);
}

char *opts_to_string(Opts *o, const char *implied)
{
    GString *s = g_string_new(NULL);
    for (guint i = 0; i < o->list->len; i++) {
        Opt *opt = o->list->pdata[i];
        if (i) {
            g_string_append_c(s, ',');
        }
        if (i || !implied || strcmp(implied, opt->name)) {
            g_string_append_printf(s, "%s=", opt->name);
        }
        for (const char *p = opt->value; *p; p++) {
            g_string_append(s, *p == ',' ? ",," : "");
            if (*p != ',') {
                g_string_append_c(s, *p);
            }
        }
    }
    return g_string_free(s, FALSE);
}

/* ---- -readconfig -------------------------------------------------------------------- */

/* [group] or [group "id"]; false: malformed. */
static bool parse_group(const char *line, char **group, char **id)
{
    const char *p = line + 1;
    size_t len = strcspn(p, " \t\"]");
    *group = g_strndup(p, len);
    *id = NULL;
    p += len;
    p += strspn(p, " \t");
    if (*p == '"') {
        const char *end = strchr(p + 1, '"');
        if (!end) {
            return false;
        }
        *id = g_strndup(p + 1, end - p - 1);
        p = end + 1;
    }
    return len && *p == ']' && !p[1];
}

/* key = "value" */
static bool parse_setting(const char *line, char **key, char **value)
{
    size_t len = strcspn(line, " \t=\"");
    const char *p = line + len;
    p += strspn(p, " \t");
    if (!len || *p++ != '=') {
        return false;
    }
    p += strspn(p, " \t");
    const char *end = *p == '"' ? strrchr(p, '"') : NULL;
    if (!end || end == p || end[1]) {
        return false;
    }
    *key = g_strndup(line, len);
    *value = g_strndup(p + 1, end - p - 1);
    return true;
}

typedef bool GroupFn(void *opaque, const char *group, const char *id, Opts *opts, Error **err);

typedef struct ConfigReader {
    GroupFn *fn;
    void *opaque;
    char *group, *id;                   /* the one being read */
    Opts *opts;
} ConfigReader;

static bool finish_group(ConfigReader *r, Error **err)
{
    bool ok = !r->group || r->fn(r->opaque, r->group, r->id, g_steal_pointer(&r->opts), err);
    g_clear_pointer(&r->group, g_free);
    g_clear_pointer(&r->id, g_free);
    return ok;
}

static bool read_line(ConfigReader *r, const char *path, unsigned number, char *line, Error **err)
{
    g_strstrip(line);
    if (!*line || *line == '#' || *line == ';') {
        return true;
    }
    if (*line == '[') {
        char *group, *id;
        if (!finish_group(r, err)) {
            return false;
        }
        bool ok = parse_group(line, &group, &id);
        if (!ok) {
            fail(err, "%s:%u: a group is written [group] or [group \"id\"]", path, number);
            g_free(group);
            g_free(id);
            return false;
        }
        g_autofree char *owner = g_strconcat("-", group, NULL);
        r->group = group;
        r->id = id;
        r->opts = opts_new(owner);
        return true;
    }
    char *key, *value;
    if (!parse_setting(line, &key, &value)) {
        return fail(err, "%s:%u: a setting is written key = \"value\"", path, number);
    }
    if (!r->group) {
        fail(err, "%s:%u: '%s' stands in front of the first [group]", path, number, key);
        g_free(key);
        g_free(value);
        return false;
    }
    add(r->opts, key, value, false);
    return true;
}

bool readconfig_parse(const char *path, GroupFn *fn, void *opaque, Error **err)
{
    g_autofree char *text = NULL;
    gsize len;
    errno = 0;
    if (!g_file_get_contents(path, &text, &len, NULL)) {
        return fail_errno(err, errno, "'%s'", path);
    }
    ConfigReader r = { .fn = fn, .opaque = opaque };
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    bool ok = true;
    for (unsigned i = 0; lines[i] && ok; i++) {
        ok = read_line(&r, path, i + 1, lines[i], err);
    }
    ok = ok && finish_group(&r, err);
    g_free(r.group);
    g_free(r.id);
    opts_free(r.opts);
    return ok;
}
