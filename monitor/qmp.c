/* SPDX-License-Identifier: MIT */
/*
 * The machine protocol: a greeting, then JSON commands one after the other, each answered by
 * one line; events in between.  Framing, negotiation, checks of arguments and the errors are
 * here; what the commands do is in qmp-*.c.
 *
 * Specification: QEMU's "QEMU Machine Protocol Specification" (docs/interop/qmp-spec).
 */
#include "monitor/internal.h"

#include <string.h>

#include "util/version.h"

/* A client that does not read: beyond this, events are not queued for it any more. */
#define EVENT_BACKLOG (4 << 20)

typedef struct Session {
    Monitor mon;                        /* always first */
    JsonStream *stream;
    bool pretty, negotiated;
    bool stale;                         /* the stream's client left: a new one begins anew */
} Session;

static GPtrArray *sessions;             /* of Session* */
static Session *current;                /* whose command is being run */

static const QmpCommand *const tables[] = {
    qmp_session_commands, qmp_run_commands, qmp_query_commands, qmp_block_commands,
    qmp_char_commands, qmp_object_commands, qmp_input_commands, qmp_memory_commands,
    qmp_net_commands, qmp_display_commands,
    qmp_job_commands, qmp_transaction_commands, qmp_nbd_commands, qmp_fd_commands,
};

Monitor *qmp_session(void)
{
    return current ? &current->mon : NULL;
}

/* ---- output ------------------------------------------------------------------------------ */

static void send_json(Session *s, const Json *j)
{
    GString *line = g_string_new(NULL);
    json_write(line, j, s->pretty);
    g_string_append(line, "\r\n");
    monitor_write(&s->mon, line->str, line->len);
    g_string_free(line, TRUE);
    monitor_flush(&s->mon);
}

static void send_error(Session *s, const Json *id, const Error *e)
{
    static const char *const classes[] = {
        [ERR_GENERIC] = "GenericError", [ERR_COMMAND_NOT_FOUND] = "CommandNotFound",
        [ERR_DEVICE_NOT_FOUND] = "DeviceNotFound", [ERR_DEVICE_NOT_ACTIVE] = "DeviceNotActive",
        [ERR_KVM_MISSING_CAP] = "KVMMissingCap",
    };
    bool ours = e->domain == error_quark();
    Json *reply = json_object(), *body = json_object();
    if (id) {
        json_set(reply, "id", json_copy(id));
    }
    json_set_str(body, "class", classes[ours ? e->code : ERR_GENERIC]);
    json_set_str(body, "desc", e->message);
    json_set(reply, "error", body);
    send_json(s, reply);
    json_free(reply);
}

static Json *version_info(void)
{
    Json *version = json_object(), *qemu = json_object();
    json_set_int(qemu, "micro", QEMU_COMPAT_MICRO);
    json_set_int(qemu, "minor", QEMU_COMPAT_MINOR);
    json_set_int(qemu, "major", QEMU_COMPAT_MAJOR);
    json_set(version, "qemu", qemu);
    json_set_str(version, "package", "Orrery " ORRERY_VERSION);
    return version;
}

static void send_greeting(Session *s)
{
    Json *greeting = json_object(), *body = json_object();
    json_set(body, "version", version_info());
    json_set(body, "capabilities", json_array());
    json_set(greeting, "QMP", body);
    send_json(s, greeting);
    json_free(greeting);
}

void qmp_broadcast(const Json *event)
{
    for (guint i = 0; sessions && i < sessions->len; i++) {
        Session *s = sessions->pdata[i];
        if (s->negotiated && s->mon.out->len < EVENT_BACKLOG) {
            send_json(s, event);
        }
    }
}

/* ---- arguments --------------------------------------------------------------------------- */

static bool type_matches(char type, const Json *j)
{
    switch (type) {
    case 's': return j->type == JSON_STRING;
    case 'i': return j->type == JSON_INT;
    case 'u': return j->type == JSON_UINT || (j->type == JSON_INT && j->i >= 0);
    case 'b': return j->type == JSON_BOOL;
    case 'n': return j->type == JSON_INT || j->type == JSON_UINT || j->type == JSON_DOUBLE;
    case 'o': return j->type == JSON_OBJECT;
    case 'a': return j->type == JSON_ARRAY;
    default:  return true;
    }
}

static const char *type_name(char type)
{
    switch (type) {
    case 's': return "string";
    case 'b': return "boolean";
    case 'n': return "number";
    case 'o': return "object";
    case 'a': return "array";
    default:  return "integer";
    }
}

/* Checks one "name:type?" word against what came. */
static bool check_arg(const char *word, const Json *args, guint *found, Error **err)
{
    const char *colon = strchr(word, ':');
    g_autofree char *name = g_strndup(word, colon - word);
    const Json *value = json_get(args, name);
    if (!value) {
        return colon[2] == '?' || fail(err, "Parameter '%s' is missing", name);
    }
    ++*found;
    return type_matches(colon[1], value)
           || fail(err, "Invalid parameter type for '%s', expected: %s", name, type_name(colon[1]));
}

static bool is_known_arg(char **words, const char *key)
{
    size_t n = strlen(key);
    for (char **w = words; *w; w++) {
        if (!strncmp(*w, key, n) && (*w)[n] == ':') {
            return true;
        }
    }
    return false;
}

static bool check_args(const QmpCommand *c, const Json *args, Error **err)
{
    if (c->args && !strcmp(c->args, "**")) {
        return true;                    /* the command looks itself (device_add) */
    }
    char **words = g_strsplit(c->args ? c->args : "", " ", -1);
    guint found = 0;
    bool ok = true;
    for (char **w = words; *w && **w && ok; w++) {
        ok = check_arg(*w, args, &found, err);
    }
    for (guint i = 0; ok && found != json_len(args) && i < json_len(args); i++) {
        if (!is_known_arg(words, json_key_at(args, i))) {
            ok = fail(err, "Parameter '%s' is unexpected", json_key_at(args, i));
        }
    }
    g_strfreev(words);
    return ok;
}

/* ---- commands ---------------------------------------------------------------------------- */

static const QmpCommand *find_command(const char *name)
{
    for (size_t t = 0; t < G_N_ELEMENTS(tables); t++) {
        for (const QmpCommand *c = tables[t]; c->name; c++) {
            if (!strcmp(c->name, name)) {
                return c;
            }
        }
    }
    return NULL;
}

void qmp_foreach_command(void (*fn)(const QmpCommand *c, void *opaque), void *opaque)
{
    for (size_t t = 0; t < G_N_ELEMENTS(tables); t++) {
        for (const QmpCommand *c = tables[t]; c->name; c++) {
            fn(c, opaque);
        }
    }
}

bool qmp_check(const char *name, const Json *args, Error **err)
{
    const QmpCommand *c = find_command(name);
    return c ? check_args(c, args, err) : fail(err, "The command %s has not been found", name);
}

Json *qmp_call(const char *name, const Json *args, Error **err)
{
    const QmpCommand *c = find_command(name);
    Json *none = args ? NULL : json_object(), *result = NULL;
    Error *e = NULL;
    if (!c) {
        fail_class(&e, ERR_COMMAND_NOT_FOUND, "The command %s has not been found", name);
    } else if (check_args(c, args ? args : none, &e)) {
        result = c->fn(args ? args : none, &e);
    }
    json_free(none);
    if (e) {
        g_propagate_error(err, e);
        json_free(result);
        return NULL;
    }
    return result;
}

static bool allowed_now(const Session *s, const char *name, Error **err)
{
    bool negotiation = !strcmp(name, "qmp_capabilities");
    if (!s->negotiated && !negotiation) {
        return fail_class(err, ERR_COMMAND_NOT_FOUND,
                          "Expecting capabilities negotiation with 'qmp_capabilities'");
    }
    if (s->negotiated && negotiation) {
        return fail_class(err, ERR_COMMAND_NOT_FOUND,
                          "Capabilities negotiation is already complete, command ignored");
    }
    return true;
}

/* The outer form of a request.  *name and *args, NULL before, are borrowed from it. */
static bool take_apart(const Json *request, const char **name, const Json **args, Error **err)
{
    if (request->type != JSON_OBJECT) {
        return fail(err, "QMP input must be a JSON object");
    }
    for (guint i = 0; i < json_len(request); i++) {
        const char *key = json_key_at(request, i);
        const Json *value = json_at(request, i);
        if (!strcmp(key, "execute")) {
            if (value->type != JSON_STRING) {
                return fail(err, "QMP input member 'execute' must be a string");
            }
            *name = value->s;
        } else if (!strcmp(key, "arguments")) {
            if (value->type != JSON_OBJECT) {
                return fail(err, "QMP input member 'arguments' must be an object");
            }
            *args = value;
        } else if (!strcmp(key, "exec-oob")) {
            return fail(err, "QMP input member 'exec-oob': the capability 'oob' is not offered");
        } else if (strcmp(key, "id")) {
            return fail(err, "QMP input member '%s' is unexpected", key);
        }
    }
    return *name || fail(err, "QMP input lacks member 'execute'");
}

static void answer(Session *s, const Json *id, Json *result)
{
    Json *reply = json_object();
    json_set(reply, "return", result ? result : json_object());
    if (id) {
        json_set(reply, "id", json_copy(id));
    }
    send_json(s, reply);
    json_free(reply);
}

static void handle_request(Session *s, const Json *request)
{
    const char *name = NULL;
    const Json *args = NULL, *id = json_get(request, "id");
    Json *result = NULL;
    Error *e = NULL;
    if (take_apart(request, &name, &args, &e) && allowed_now(s, name, &e)) {
        current = s;
        result = qmp_call(name, args, &e);
        current = NULL;
    }
    if (e) {
        send_error(s, id, e);
        g_error_free(e);
    } else {
        answer(s, id, result);
    }
}

/* JsonStreamFn */
static void received(void *opaque, Json *value, const Error *err)
{
    Session *s = opaque;
    if (err) {
        send_error(s, NULL, err);
    } else {
        handle_request(s, value);
        json_free(value);
    }
}

/* ---- the session's own commands ------------------------------------------------------------ */

static Json *cmd_capabilities(const Json *args, Error **err)
{
    const Json *enable = json_get(args, "enable");
    for (guint i = 0; enable && i < json_len(enable); i++) {
        const Json *c = json_at(enable, i);
        fail(err, "Capability '%s' is not offered", c->type == JSON_STRING ? c->s : "?");
        return NULL;
    }
    if (current) {
        current->negotiated = true;
    }
    return NULL;
}

static Json *cmd_version(const Json *args, Error **err)
{
    return version_info();
}

static void add_command_name(const QmpCommand *c, void *opaque)
{
    Json *o = json_object();
    json_set_str(o, "name", c->name);
    json_append(opaque, o);
}

static Json *cmd_commands(const Json *args, Error **err)
{
    Json *list = json_array();
    qmp_foreach_command(add_command_name, list);
    return list;
}

static Json *cmd_events(const Json *args, Error **err)
{
    return qmp_event_names();
}

/* Empty: clients then use the oldest form of each command and option, which all exist. */
static Json *cmd_schema(const Json *args, Error **err)
{
    return json_array();
}

static Json *cmd_human(const Json *args, Error **err)
{
    Monitor m = { .crlf = true };
    int64_t cpu = 0;
    json_get_int(args, "cpu-index", JSON_OPTIONAL, &cpu, NULL);
    if (cpu && (cpu < 0 || !cpu_by_index(cpu))) {
        fail(err, "Parameter 'cpu-index' expects a CPU number");
        return NULL;
    }
    m.cpu_index = cpu;
    monitor_init(&m);
    hmp_execute(&m, json_get(args, "command-line")->s);
    Json *text = json_str(m.out->str);
    g_string_free(m.out, TRUE);
    return text;
}

const QmpCommand qmp_session_commands[] = {
    { "qmp_capabilities", "enable:a?", cmd_capabilities },
    { "query-version", NULL, cmd_version },
    { "query-commands", NULL, cmd_commands },
    { "query-events", NULL, cmd_events },
    { "query-qmp-schema", NULL, cmd_schema },
    { "human-monitor-command", "command-line:s cpu-index:i?", cmd_human },
    { NULL }
};

/* ---- the wire ------------------------------------------------------------------------------ */

static int can_read(void *opaque)
{
    Session *s = opaque;
    return monitor_clogged(&s->mon) ? 0 : 4096;
}

static void read_input(void *opaque, const uint8_t *buf, int len)
{
    Session *s = opaque;
    if (s->stale) {
        json_stream_free(s->stream);
        s->stream = json_stream_new(received, s);
        s->stale = false;
    }
    json_stream_feed(s->stream, (const char *)buf, len);
}

/* May be called while the stream is at work: answering can find the client gone. */
static void chr_event(void *opaque, CharEvent e)
{
    Session *s = opaque;
    if (e == CHAR_OPENED) {
        s->negotiated = false;
        send_greeting(s);
    } else if (e == CHAR_CLOSED) {
        s->negotiated = false;
        s->stale = true;
        qmp_fd_forget(s);
        monitor_discard(&s->mon);
    }
}

static void writable(void *opaque)
{
    monitor_flush(opaque);
}

static void drained(Monitor *m)
{
    char_accept_input(m->chr);
}

bool monitor_add_qmp(CharDev *c, bool pretty, Error **err)
{
    static const CharHandlers handlers = {
        .can_read = can_read, .read = read_input, .event = chr_event, .writable = writable,
    };
    Session *s = g_new0(Session, 1);
    monitor_init(&s->mon);
    s->mon.drained = drained;
    s->pretty = pretty;
    s->stream = json_stream_new(received, s);
    s->mon.chr = char_attach(c, &handlers, s, err);
    if (!s->mon.chr) {
        json_stream_free(s->stream);
        g_string_free(s->mon.out, TRUE);
        g_free(s);
        return false;
    }
    char_set_echo(s->mon.chr, true);
    if (!sessions) {
        sessions = g_ptr_array_new();
        qmp_events_init();
    }
    g_ptr_array_add(sessions, s);
    return true;
}

void monitor_cleanup(void)
{
    for (guint i = 0; sessions && i < sessions->len; i++) {
        Session *s = sessions->pdata[i];
        monitor_flush(&s->mon);
    }
}
