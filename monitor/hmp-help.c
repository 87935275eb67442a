/* SPDX-License-Identifier: MIT */
/*
 * The human monitor's help.
 */
#include "monitor/internal.h"

#include <string.h>

#include "monitor/hmp-args.h"
#include "util/log.h"

static void describe(Monitor *m, const HmpCommand *c, const char *prefix)
{
    monitor_printf(m, "%s%s%s%s -- %s\n", prefix, c->name, c->params && *c->params ? " " : "",
                   c->params ? c->params : "", c->help);
}

static void describe_all(Monitor *m, const HmpCommand *const *tables, const char *prefix)
{
    for (; *tables; tables++) {
        for (const HmpCommand *c = *tables; c->name; c++) {
            describe(m, c, prefix);
        }
    }
}

static void cmd_help(Monitor *m, const Json *args, Error **err)
{
    const char *name = arg_str(args, "name");
    if (!name) {
        describe_all(m, hmp_tables, "");
        return;
    }
    if (!strcmp(name, "log")) {
        GString *s = g_string_new(NULL);
        log_help(s);
        monitor_puts(m, s->str);
        g_string_free(s, TRUE);
        return;
    }
    g_autofree char *trimmed = g_strchomp(g_strdup(name));
    if (!strcmp(trimmed, "info")) {
        describe_all(m, hmp_info_tables, "info ");
        return;
    }
    bool info = g_str_has_prefix(trimmed, "info ");
    const char *word = info ? trimmed + 5 : trimmed;
    for (const HmpCommand *const *t = info ? hmp_info_tables : hmp_tables; *t; t++) {
        for (const HmpCommand *c = *t; c->name; c++) {
            if (hmp_name_matches(c, word, strlen(word))) {
                describe(m, c, info ? "info " : "");
                return;
            }
        }
    }
    fail(err, "unknown command: '%s'", name);
}

static void cmd_info(Monitor *m, const Json *args, Error **err)
{
    describe_all(m, hmp_info_tables, "info ");
}

const HmpCommand hmp_help_commands[] = {
    { "help|?", "name:C?", "[cmd]", "show the help", cmd_help },
    { "info", NULL, "[item]", "show various information about the machine", cmd_info },
    { NULL }
};
