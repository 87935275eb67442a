/* SPDX-License-Identifier: MIT */
/*
 * Which accelerator: -accel (repeated, first usable one), -machine accel=kvm:tcg, or the
 * fastest that works on this host.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "accel/accel.h"
#include "system/cmdline.h"
#include "system/machine.h"
#include "util/opts.h"
#include "util/parse.h"

static void collect_name(const Accel *a, void *opaque)
{
    g_ptr_array_add(opaque, (gpointer)a->name);
}

static bool fail_unknown(const char *name, Error **err)
{
    GPtrArray *names = g_ptr_array_new();
    accel_foreach(collect_name, names);
    g_ptr_array_add(names, NULL);
    char *all = g_strjoinv(", ", (char **)names->pdata);
    fail(err, "'%s' is not an accelerator here (%s)", name, all);
    g_free(all);
    g_ptr_array_free(names, TRUE);
    return false;
}

static void print_accel(const Accel *a, void *opaque)
{
    printf("%-12s%s\n", a->name, a->desc);
}

static void G_GNUC_NORETURN print_help(const Accel *a)
{
    if (!a) {
        printf("Accelerators:\n");
        accel_foreach(print_accel, NULL);
    } else {
        GString *s = g_string_new(NULL);
        if (a->props) {
            props_help(s, a->name, a->props);
        } else {
            g_string_append_printf(s, "There are no options for %s.\n", a->name);
        }
        fputs(s->str, stdout);
    }
    exit(0);
}

/* A property of accelerators that can be given with -machine, too */
#define IRQCHIP "kernel-irqchip"

typedef struct Setter {
    const Accel *a;
    void *obj;
    Error *err;
} Setter;

static void set_one(const char *name, const char *value, void *opaque)
{
    Setter *s = opaque;
    if (s->err || !strcmp(name, "accel")) {
        return;
    }
    if (!s->a->props) {
        fail(&s->err, "%s has no property '%s'", s->a->name, name);
    } else {
        prop_set(s->obj, s->a->props, s->a->name, name, value, &s->err);
    }
}

/* The option struct of an accelerator; opts may be NULL.  Lives as long as the machine. */
static void *make_options(const Accel *a, Opts *opts, Error **err)
{
    Setter s = { a, g_malloc0(MAX(a->size, 1)), NULL };
    if (a->props) {
        props_set_defaults(s.obj, a->props);
    }
    if (config.kernel_irqchip && prop_find(a->props, IRQCHIP)
        && !prop_set(s.obj, a->props, a->name, IRQCHIP, config.kernel_irqchip, &s.err)) {
        g_prefix_error(&s.err, "-machine " IRQCHIP "=%s: ", config.kernel_irqchip);
    }
    if (opts) {
        opts_foreach(opts, set_one, &s);
    }
    if (s.err) {
        g_propagate_error(err, s.err);
        g_free(s.obj);
        return NULL;
    }
    return s.obj;
}

static bool start(Machine *m, const Accel *a, void *options, Error **err)
{
    accel_current = a;
    if ((!a->available || a->available(err)) && (!a->init || a->init(m, options, err))) {
        if (a->active) {
            a->active(true);
        }
        return true;
    }
    accel_current = NULL;
    return false;
}

/* Several ways to run, each tried when the one before did not work. */
typedef struct Choice {
    const Accel *a;
    void *options;
} Choice;

static bool try_all(Machine *m, GArray *choices, Error **err)
{
    for (guint i = 0; i < choices->len; i++) {
        const Choice *c = &g_array_index(choices, Choice, i);
        bool last = i + 1 == choices->len;
        Error *e = NULL;
        if (start(m, c->a, c->options, &e)) {
            return true;
        }
        if (last) {
            g_propagate_prefixed_error(err, e, "accelerator %s: ", c->a->name);
            return false;
        }
        warn_report("accelerator %s: %s; trying %s", c->a->name, e->message,
                    g_array_index(choices, Choice, i + 1).a->name);
        g_error_free(e);
    }
    return fail(err, "no accelerator was named");
}

/* kvm:tcg; unknown names are passed over if another one is known */
static bool choose_from_list(const char *option, const char *list, GArray *choices, Error **err)
{
    char **names = g_strsplit(list, ":", -1);
    bool ok = true;

    for (char **n = names; *n; n++) {
        Choice c = { accel_find(*n), NULL };
        if (c.a && ok) {
            ok = (c.options = make_options(c.a, NULL, err));
            g_array_append_val(choices, c);
        }
    }
    ok = ok && (choices->len || fail_unknown(list, err));
    g_strfreev(names);
    if (!ok) {
        arg_prefix(err, option, list);
    }
    return ok;
}

static bool choose_from_options(GArray *choices, Error **err)
{
    for (guint i = 0; i < config.accels->len; i++) {
        const Arg *arg = config.accels->pdata[i];
        g_autoptr(Opts) opts = opts_parse("-accel", arg->text, "accel", NULL, err);
        if (!opts) {
            return false;
        }
        const char *name = opts_get(opts, "accel");
        if (!name || !strcmp(name, "help") || !strcmp(name, "?")) {
            print_help(NULL);
        }
        if (strchr(name, ':')) {
            if (strchr(arg->text, ',')) {
                return fail(err, "%s %s: a list of accelerators takes no properties; give -accel once for "
                            "each", arg->option, arg->text);
            }
            if (!choose_from_list(arg->option, name, choices, err)) {
                return false;
            }
            continue;
        }
        Choice c = { accel_find(name), NULL };
        if (c.a && opts_help(opts)) {
            print_help(c.a);
        }
        if (c.a ? !(c.options = make_options(c.a, opts, err)) : !fail_unknown(name, err)) {
            arg_prefix(err, arg->option, arg->text);
            return false;
        }
        g_array_append_val(choices, c);
    }
    return true;
}

typedef struct Candidate {
    const Accel *a;
    AccelSpeed speed;
    const char *why;
} Candidate;

static void collect_usable(const Accel *a, void *opaque)
{
    Candidate c = { a };

    if (a->speed && (!a->available || a->available(NULL))) {
        c.speed = a->speed(&c.why);
        g_array_append_val((GArray *)opaque, c);
    }
}

static int faster_first(gconstpointer x, gconstpointer y)
{
    const Candidate *a = x, *b = y;
    return (int)b->speed - (int)a->speed;
}

/* The fastest that is usable; the others, in their order, in case it does not start. */
static bool choose_fastest(GArray *choices, Error **err)
{
    bool ok = true;
    GArray *all = g_array_new(FALSE, FALSE, sizeof(Candidate));
    GString *reason = g_string_new("the fastest on this host:");

    accel_foreach(collect_usable, all);
    g_array_sort(all, faster_first);
    for (guint i = 0; ok && i < all->len; i++) {
        const Candidate *k = &g_array_index(all, Candidate, i);
        Choice c = { k->a, make_options(k->a, NULL, err) };
        ok = c.options != NULL;
        g_array_append_val(choices, c);
        g_string_append_printf(reason, "%s %s, %s", i ? ";" : "", k->a->name, k->why);
    }
    g_array_free(all, TRUE);
    accel_reason = g_string_free(reason, FALSE);
    return ok;
}

static const char *machine_accel(void)
{
    for (guint i = config.machine_props->len; i-- > 0;) {
        const Arg *a = config.machine_props->pdata[i];
        if (g_str_has_prefix(a->text, "accel=")) {
            return a->text + strlen("accel=");
        }
    }
    return NULL;
}

bool accel_setup(Machine *m, Error **err)
{
    /* kept: the accelerator uses its options as long as the machine runs */
    static GArray *choices;
    choices = g_array_new(FALSE, FALSE, sizeof(Choice));
    const char *list = machine_accel();
    bool ok = true;
    if (list && config.accels->len) {
        ok = fail(err, "-machine accel=%s: not together with -accel", list);
    } else if (list) {
        accel_reason = "asked for by -machine accel";
        ok = choose_from_list("-machine accel", list, choices, err);
    } else if (config.accels->len) {
        accel_reason = "asked for by -accel";
        ok = choose_from_options(choices, err);
    } else {
        ok = choose_fastest(choices, err);
    }
    return ok && try_all(m, choices, err);
}
