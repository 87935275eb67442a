/* SPDX-License-Identifier: MIT */
/*
 * The human monitor: a prompt, a line, what it says.  Names and output of commands are QEMU's,
 * so that people's habits and scripts (which wait for its prompt) go on working.
 */
#include "monitor/internal.h"

#include <dirent.h>
#include <string.h>

#include "block/block.h"
#include "hw/core/device.h"
#include "monitor/expr.h"
#include "monitor/hmp-args.h"
#include "monitor/readline.h"
#include "util/version.h"

#define PROMPT "(qemu) "

typedef struct Session {
    Monitor mon;                        /* always first */
    Readline *readline;
    bool greeted, focused;
} Session;

static GPtrArray *sessions;             /* of Session* */

const HmpCommand *const hmp_tables[] = {
    hmp_help_commands, hmp_run_commands, hmp_device_commands, hmp_memory_commands,
    hmp_net_commands, hmp_display_commands, hmp_block_commands, hmp_qom_commands, NULL
};
const HmpCommand *const hmp_info_tables[] = {
    hmp_info_commands, hmp_x86_info_commands, hmp_net_info_commands, hmp_display_info_commands,
    hmp_block_info_commands, hmp_qom_info_commands, NULL
};

/* ---- look-up and execution --------------------------------------------------------------------- */

/* Is name one of the alternatives of c->name? */
bool hmp_name_matches(const HmpCommand *c, const char *name, size_t len)
{
    for (const char *p = c->name; p; p = strchr(p, '|')) {
        p += *p == '|';
        if (!strncmp(p, name, len) && (!p[len] || p[len] == '|')) {
            return true;
        }
    }
    return false;
}

static const HmpCommand *find(const HmpCommand *const *tables, const char *name, size_t len)
{
    for (; *tables; tables++) {
        for (const HmpCommand *c = *tables; c->name; c++) {
            if (hmp_name_matches(c, name, len)) {
                return c;
            }
        }
    }
    return NULL;
}

/* Length of the command's name at p: it ends at a space, or at the '/' of a format. */
static size_t name_length(const char *p)
{
    return strcspn(p, " \t/");
}

/* The command at *text, of `info` if that stands in front; *text moves to its arguments. */
static const HmpCommand *find_command(const char **text)
{
    const HmpCommand *const *tables = hmp_tables;
    const char *p = *text;
    size_t len = name_length(p);
    if (len == 4 && !strncmp(p, "info", 4)) {
        const char *item = p + 4 + strspn(p + 4, " \t");
        if (*item) {
            tables = hmp_info_tables;
            p = item;
            len = name_length(p);
        }
    }
    *text = p + len;
    return find(tables, p, len);
}

static void run(Monitor *m, const char *line, Error **err)
{
    const char *text = line;
    const HmpCommand *c = find_command(&text);
    if (!c) {
        g_autofree char *name = g_strdup(line);
        fail(err, "unknown command: '%s'", g_strchomp(name));
        return;
    }
    g_autoptr(Json) args = hmp_parse_args(m, c, text, err);
    if (args) {
        c->fn(m, args, err);
    } else {
        g_autofree char *first = g_strndup(c->name, strcspn(c->name, "|"));
        g_prefix_error(err, "%s: ", first);
    }
}

void hmp_execute(Monitor *m, const char *line)
{
    Error *e = NULL;
    line += strspn(line, " \t");
    if (!*line || *line == '#') {
        return;
    }
    run(m, line, &e);
    if (e) {
        monitor_printf(m, "Error: %s\n", e->message);
        g_error_free(e);
    }
}

/* ---- completion ---------------------------------------------------------------------------------- */

typedef struct Completion {
    GPtrArray *words;
    const char *prefix;
} Completion;

static void offer(Completion *c, const char *word)
{
    if (g_str_has_prefix(word, c->prefix)) {
        g_ptr_array_add(c->words, g_strdup(word));
    }
}

static void offer_commands(Completion *c, const HmpCommand *const *tables)
{
    for (; *tables; tables++) {
        for (const HmpCommand *h = *tables; h->name; h++) {
            char **names = g_strsplit(h->name, "|", -1);
            for (char **n = names; *n; n++) {
                offer(c, *n);
            }
            g_strfreev(names);
        }
    }
}

static void offer_drive(BlockBackend *b, void *opaque)
{
    offer(opaque, blk_name(b));
}

static void offer_device_id(Device *dev, void *opaque)
{
    if (dev->id && dev->user_created) {
        offer(opaque, dev->id);
    }
}

static void offer_device_type(const DeviceType *t, void *opaque)
{
    if (!t->no_user && t->bus) {
        offer(opaque, t->name);
    }
}

static void offer_files(Completion *c)
{
    const char *slash = strrchr(c->prefix, '/');
    g_autofree char *dir = slash ? g_strndup(c->prefix, slash - c->prefix + 1) : g_strdup("");
    DIR *d = opendir(*dir ? dir : ".");
    struct dirent *e;
    while (d && (e = readdir(d))) {
        if (*e->d_name != '.') {
            g_autofree char *path = g_strdup_printf("%s%s%s", dir, e->d_name,
                                                    e->d_type == DT_DIR ? "/" : "");
            offer(c, path);
        }
    }
    if (d) {
        closedir(d);
    }
}

static void offer_argument(Completion *c, const HmpCommand *cmd, unsigned n)
{
    switch (hmp_arg_type(cmd, n)) {
    case 'B':
        blk_foreach(offer_drive, c);
        break;
    case 'F':
        offer_files(c);
        break;
    case 'C':
        offer_commands(c, hmp_tables);
        break;
    case 'D':
        device_foreach(offer_device_id, c);
        break;
    case 'T':
        device_type_foreach(offer_device_type, c);
        break;
    }
}

static int by_name(gconstpointer a, gconstpointer b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

GPtrArray *hmp_complete(Monitor *m, const char *line)
{
    const char *space = strrchr(line, ' '), *text = line + strspn(line, " ");
    Completion c = { g_ptr_array_new(), space ? space + 1 : line };
    bool info = g_str_has_prefix(text, "info ");
    const char *first = info ? text + 5 + strspn(text + 5, " ") : text;
    if (!strchr(first, ' ')) {
        offer_commands(&c, info ? hmp_info_tables : hmp_tables);
    } else {
        const HmpCommand *cmd = find_command(&text);
        unsigned n = 0;
        for (const char *p = text; cmd && p < space; p++) {
            /* words between the command and the one being typed; flags don't count */
            n += *p != ' ' && p[-1] == ' ' && *p != '-';
        }
        if (cmd) {
            offer_argument(&c, cmd, n);
        }
    }
    g_ptr_array_sort(c.words, by_name);
    return c.words;
}

/* ---- the session ----------------------------------------------------------------------------------- */

const GPtrArray *hmp_history(Monitor *m)
{
    return m->chr ? readline_history(((Session *)m)->readline) : NULL;
}

static void session_print(void *opaque, const char *text)
{
    Session *s = opaque;
    monitor_puts(&s->mon, text);
}

static void session_line(void *opaque, const char *line)
{
    Session *s = opaque;
    hmp_execute(&s->mon, line);
    if (!s->mon.quitting) {
        readline_show(s->readline);
    }
}

static GPtrArray *session_complete(void *opaque, const char *line)
{
    return hmp_complete(opaque, line);
}

static const ReadlineOps readline_ops = {
    .print = session_print, .line = session_line, .complete = session_complete,
};

static int can_read(void *opaque)
{
    Session *s = opaque;
    return monitor_clogged(&s->mon) ? 0 : 128;
}

static void read_input(void *opaque, const uint8_t *buf, int len)
{
    Session *s = opaque;
    for (int i = 0; i < len; i++) {
        readline_byte(s->readline, buf[i]);
    }
    monitor_flush(&s->mon);
}

static void greet(Session *s)
{
    monitor_printf(&s->mon, "Orrery %s monitor (as QEMU %s) - type 'help' for more information\n",
                   ORRERY_VERSION, QEMU_COMPAT_VERSION);
    s->greeted = true;
}

/*
 * On a multiplexed terminal the guest's console comes first: the monitor says nothing until
 * somebody switches to it.
 */
static void chr_event(void *opaque, CharEvent e)
{
    Session *s = opaque;
    switch (e) {
    case CHAR_OPENED:
        s->greeted = false;
        readline_restart(s->readline);
        if (!s->focused) {
            break;
        }
        greet(s);
        readline_show(s->readline);
        break;
    case CHAR_MUX_IN:
        s->focused = true;
        if (!s->greeted) {
            greet(s);
        }
        readline_show(s->readline);
        break;
    case CHAR_MUX_OUT:
        s->focused = false;
        monitor_puts(&s->mon, "\n");
        break;
    case CHAR_CLOSED:
        monitor_discard(&s->mon);
        break;
    case CHAR_BREAK:
        break;
    }
    monitor_flush(&s->mon);
}

static void writable(void *opaque)
{
    monitor_flush(opaque);
}

static void drained(Monitor *m)
{
    char_accept_input(m->chr);
}

bool monitor_add_hmp(CharDev *c, Error **err)
{
    static const CharHandlers handlers = {
        .can_read = can_read, .read = read_input, .event = chr_event, .writable = writable,
    };
    Session *s = g_new0(Session, 1);
    monitor_init(&s->mon);
    s->mon.crlf = true;
    s->mon.drained = drained;
    s->focused = true;
    s->readline = readline_new(PROMPT, &readline_ops, s);
    s->mon.chr = char_attach(c, &handlers, s, err);
    if (!s->mon.chr) {
        readline_free(s->readline);
        g_string_free(s->mon.out, TRUE);
        g_free(s);
        return false;
    }
    char_set_echo(s->mon.chr, false);
    if (!sessions) {
        sessions = g_ptr_array_new();
    }
    g_ptr_array_add(sessions, s);
    return true;
}
