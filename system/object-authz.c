/* SPDX-License-Identifier: MIT */
/*
 * -object authz-simple, authz-list, authz-list-file: who may do something, by name.
 *
 *     authz-simple,id=ID,identity=NAME
 *     authz-list,id=ID,policy=deny,rules.0.match=NAME,rules.0.policy=allow,rules.0.format=exact|glob
 *     authz-list-file,id=ID,filename=PATH
 *
 * The first rule that matches decides, policy where none does.  The file is JSON with the same
 * members, { "rules": [ { "match": "fred", "policy": "allow" } ], "policy": "deny" }; it is read at
 * each question, and nobody may do anything while it can't be.
 */
#include "system/object-authz.h"

#include <stdlib.h>
#include <string.h>

#include "system/objects.h"
#include "util/json.h"

#define RULES_MAX 1024u

enum { POLICY_DENY, POLICY_ALLOW };
static const char *const policies[] = { "deny", "allow", NULL };

typedef struct Rule {
    char *match;
    bool allow, glob;
} Rule;

typedef struct Authz {
    Object object;
    char *identity, *filename;
    int policy;
    GArray *rules;                      /* of Rule; authz-list */
} Authz;

/* ---- rules --------------------------------------------------------------------------- */

static void clear_rule(gpointer p)
{
    g_free(((Rule *)p)->match);
}

static bool take_policy(const char *text, bool *allow, Error **err)
{
    *allow = !strcmp(text, "allow");
    return *allow || !strcmp(text, "deny") || fail(err, "policy '%s' is neither allow nor deny", text);
}

static bool take_format(const char *text, bool *glob, Error **err)
{
    *glob = !strcmp(text, "glob");
    return *glob || !strcmp(text, "exact") || fail(err, "format '%s' is neither exact nor glob", text);
}

static bool decide(const GArray *rules, bool otherwise, const char *identity)
{
    for (guint i = 0; i < rules->len; i++) {
        const Rule *r = &g_array_index(rules, Rule, i);
        if (r->glob ? g_pattern_match_simple(r->match, identity) : !strcmp(r->match, identity)) {
            return r->allow;
        }
    }
    return otherwise;
}

/* ---- authz-list ---------------------------------------------------------------------- */

/* rules.N.match, .policy, .format */
static bool list_set(Object *o, const char *name, const char *value, Error **err)
{
    Authz *a = (Authz *)o;
    char *end;

    if (!g_str_has_prefix(name, "rules.")) {
        return fail(err, "Property 'authz-list.%s' not found", name);
    }
    unsigned long n = g_ascii_isdigit(name[6]) ? strtoul(name + 6, &end, 10) : RULES_MAX;
    if (n >= RULES_MAX || *end != '.') {
        return fail(err, "Property 'authz-list.%s' not found", name);
    }
    if (n >= a->rules->len) {
        g_array_set_size(a->rules, n + 1);
    }
    Rule *r = &g_array_index(a->rules, Rule, n);
    if (!strcmp(end, ".match")) {
        g_free(r->match);
        r->match = g_strdup(value);
        return true;
    }
    return !strcmp(end, ".policy") ? take_policy(value, &r->allow, err)
           : !strcmp(end, ".format") ? take_format(value, &r->glob, err)
           : fail(err, "Property 'authz-list.%s' not found", name);
}

static void list_begin(Object *o)
{
    Authz *a = (Authz *)o;

    a->rules = g_array_new(FALSE, TRUE, sizeof(Rule));
    g_array_set_clear_func(a->rules, clear_rule);
}

static bool list_complete(Object *o, Error **err)
{
    const Authz *a = (Authz *)o;

    for (guint i = 0; i < a->rules->len; i++) {
        if (!g_array_index(a->rules, Rule, i).match) {
            return fail(err, "rules.%u.match= is missing", i);
        }
    }
    return true;
}

static void list_finish(Object *o)
{
    g_clear_pointer(&((Authz *)o)->rules, g_array_unref);
}

/* ---- authz-list-file ----------------------------------------------------------------- */

/* A member that may be absent. */
static bool optional(const Json *j, const char *key, const char **out, Error **err)
{
    return json_get_str(j, key, JSON_OPTIONAL, out, err) || !json_get(j, key);
}

static bool rule_of(const Json *j, GArray *rules, Error **err)
{
    const char *match, *policy, *format = "exact";
    Rule r = { 0 };

    if (!json_get_str(j, "match", JSON_REQUIRED, &match, err)
        || !json_get_str(j, "policy", JSON_REQUIRED, &policy, err) || !optional(j, "format", &format, err)
        || !take_policy(policy, &r.allow, err) || !take_format(format, &r.glob, err)) {
        return false;
    }
    r.match = g_strdup(match);
    g_array_append_val(rules, r);
    return true;
}

static bool rules_of(const Json *j, GArray *rules, bool *otherwise, Error **err)
{
    const Json *list = json_get(j, "rules");
    const char *policy = "deny";

    if (j->type != JSON_OBJECT || (list && list->type != JSON_ARRAY)) {
        return fail(err, "an object with the members 'rules', an array, and 'policy' is needed");
    }
    if (!optional(j, "policy", &policy, err) || !take_policy(policy, otherwise, err)) {
        return false;
    }
    for (guint i = 0; list && i < json_len(list); i++) {
        if (!rule_of(json_at(list, i), rules, err)) {
            return false;
        }
    }
    return true;
}

static bool read_rules(const char *path, GArray *rules, bool *otherwise, Error **err)
{
    g_autofree char *text = NULL;

    if (!g_file_get_contents(path, &text, NULL, err)) {
        return false;
    }
    g_autoptr(Json) j = json_parse(text, err);
    return j && rules_of(j, rules, otherwise, err);
}

static bool ask_file(const char *path, const char *identity, Error **err)
{
    GArray *rules = g_array_new(FALSE, TRUE, sizeof(Rule));
    bool otherwise = false;

    g_array_set_clear_func(rules, clear_rule);
    bool may = read_rules(path, rules, &otherwise, err) && decide(rules, otherwise, identity);
    g_array_unref(rules);
    return may;
}

static bool file_complete(Object *o, Error **err)
{
    Error *e = NULL;

    if (!((Authz *)o)->filename) {
        return fail(err, "filename= is missing");
    }
    ask_file(((Authz *)o)->filename, "", &e);
    if (e) {
        g_propagate_prefixed_error(err, e, "%s: ", ((Authz *)o)->filename);
        return false;
    }
    return true;
}

/* ---- authz-simple, and all of them --------------------------------------------------- */

static bool simple_complete(Object *o, Error **err)
{
    return ((Authz *)o)->identity || fail(err, "identity= is missing");
}

static const Prop simple_props[] = {
    PROP_STRING("identity", Authz, identity, NULL, "who may"),
    PROP_DONE
};
static const Prop list_props[] = {
    PROP_ENUM("policy", Authz, policy, POLICY_DENY, policies, "for whom no rule matches"),
    PROP_DONE
};
static const Prop file_props[] = {
    PROP_STRING("filename", Authz, filename, NULL, "JSON with rules and policy"),
    PROP_DONE
};

static const ObjectType simple_type = {
    .name = "authz-simple", .desc = "one may", .size = sizeof(Authz), .props = simple_props,
    .complete = simple_complete,
};
OBJECT_TYPE(simple_type);
static const ObjectType list_type = {
    .name = "authz-list", .desc = "rules of who may", .size = sizeof(Authz), .props = list_props,
    .begin = list_begin, .set = list_set, .complete = list_complete, .finish = list_finish,
};
OBJECT_TYPE(list_type);
static const ObjectType file_type = {
    .name = "authz-list-file", .desc = "rules of who may, in a file", .size = sizeof(Authz),
    .props = file_props, .complete = file_complete,
};
OBJECT_TYPE(file_type);

static Authz *find(const char *id)
{
    Object *o = object_find(id);

    return o && (o->type == &simple_type || o->type == &list_type || o->type == &file_type) ? (Authz *)o : NULL;
}

bool authz_object_find(const char *id, Error **err)
{
    Authz *a = find(id);

    if (!a) {
        return fail(err, "No authorization object with id '%s' (-object authz-simple, authz-list, "
                    "authz-list-file)", id);
    }
    a->object.in_use = true;
    return true;
}

bool authz_object_allows(const char *id, const char *identity)
{
    const Authz *a = find(id);
    Error *err = NULL;

    if (!a || a->object.type == &simple_type) {
        return a && !strcmp(a->identity, identity);
    }
    if (a->object.type == &list_type) {
        return decide(a->rules, a->policy == POLICY_ALLOW, identity);
    }
    bool may = ask_file(a->filename, identity, &err);
    if (err) {
        error_report("-object authz-list-file,id=%s: %s: %s", id, a->filename, err->message);
        g_error_free(err);
    }
    return may;
}
