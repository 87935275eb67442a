/* SPDX-License-Identifier: MIT */
/*
 * What the files of monitor/ share: a monitor's output, and the tables of commands.
 */
#ifndef MONITOR_INTERNAL_H
#define MONITOR_INTERNAL_H

#include "accel/cpu.h"
#include "monitor/monitor.h"
#include "util/json.h"

/*
 * A monitor of either kind, or (chr NULL) only its output, as human-monitor-command needs.
 * Sessions embed it as their first member.
 */
typedef struct Monitor {
    CharFront *chr;
    GString *out;                       /* not yet taken by the other end */
    bool crlf;                          /* "\n" goes out as "\r\n" */
    bool flush_queued;
    int cpu_index;                      /* which CPU its commands are about */
    bool quitting;                      /* no prompt any more */
    /* what was held back because too much was waiting went out: read on */
    void (*drained)(struct Monitor *m);
} Monitor;

void monitor_init(Monitor *m);
void monitor_puts(Monitor *m, const char *text);
void monitor_write(Monitor *m, const char *text, size_t len);
void monitor_printf(Monitor *m, const char *fmt, ...) G_GNUC_PRINTF(2, 3);
/* Send what the other end takes now; the rest follows by itself. */
void monitor_flush(Monitor *m);
/* The other end is slow: take no more commands until drained is called. */
bool monitor_clogged(const Monitor *m);
/* The other end went away: forget what it did not take. */
void monitor_discard(Monitor *m);
/* NULL on a machine without CPUs. */
CPU *monitor_cpu(Monitor *m);
/* ... with an error for commands that need one. */
CPU *monitor_cpu_needed(Monitor *m, Error **err);

/* ---- QMP --------------------------------------------------------------------------------- */

/*
 * args: what the command takes, as "name:type" words, type one of
 *     s string, i integer, u unsigned integer, b boolean, n number, o object, a array, * any
 * with '?' behind optional ones.  fn is called with exactly that; it returns the result (given
 * away), or NULL: with err set that is a failure, else the result is {}.
 */
typedef struct QmpCommand {
    const char *name;
    const char *args;
    Json *(*fn)(const Json *args, Error **err);
} QmpCommand;

/* The tables, by topic; each ends with a NULL name. */
extern const QmpCommand qmp_session_commands[], qmp_run_commands[], qmp_query_commands[],
    qmp_block_commands[], qmp_char_commands[], qmp_object_commands[], qmp_input_commands[],
    qmp_memory_commands[], qmp_net_commands[], qmp_display_commands[], qmp_job_commands[],
    qmp_transaction_commands[], qmp_nbd_commands[], qmp_fd_commands[];

/* Whose command is being run; NULL: no session's. */
Monitor *qmp_session(void);
/* A descriptor that the session's client gave a name with getfd, now the caller's; -1 and err. */
int qmp_fd_take(const char *name, Error **err);
void qmp_fd_forget(const void *session);        /* it ends */

void qmp_foreach_command(void (*fn)(const QmpCommand *c, void *opaque), void *opaque);
/* Run one by name with checked arguments, as if it came from a client.  NULL means {} unless
 * err is set. */
Json *qmp_call(const char *name, const Json *args, Error **err);

/* Do the arguments fit the command of this name? */
bool qmp_check(const char *name, const Json *args, Error **err);

/* Events: from util/event.h to every session that negotiated. */
void qmp_events_init(void);
void qmp_broadcast(const Json *event);
Json *qmp_event_names(void);
/* Adds "timestamp" with the wall clock's time. */
void qmp_add_timestamp(Json *event);

/* ---- HMP --------------------------------------------------------------------------------- */

/*
 * args: "name:type" words separated by commas; types
 *     s  word              S  rest of the line      F  file name       B  drive
 *     i  32-bit expression l  64-bit expression     b  on or off       o  size with suffix
 *     n  plain number, so that "1 -1" is two
 *     /  format of x       -f flag                  C  name of a command
 *     D  id of a device    T  device type and its options
 * with '?' behind optional ones.  Flags become booleans.
 */
typedef struct HmpCommand {
    const char *name;                   /* alternatives by '|': "cont|c" */
    const char *args;
    const char *params, *help;
    void (*fn)(Monitor *m, const Json *args, Error **err);
} HmpCommand;

extern const HmpCommand hmp_run_commands[], hmp_device_commands[], hmp_memory_commands[],
    hmp_info_commands[], hmp_x86_info_commands[], hmp_help_commands[], hmp_net_commands[],
    hmp_net_info_commands[], hmp_display_commands[], hmp_display_info_commands[],
    hmp_block_commands[], hmp_block_info_commands[], hmp_qom_commands[], hmp_qom_info_commands[];

/* One line of input.  Output, errors included, is in m->out. */
void hmp_execute(Monitor *m, const char *line);
/* Candidates for the last word of the line; g_free each. */
GPtrArray *hmp_complete(Monitor *m, const char *line);
/* Tables of commands and of `info` items, NULL-terminated. */
extern const HmpCommand *const hmp_tables[], *const hmp_info_tables[];
bool hmp_name_matches(const HmpCommand *c, const char *name, size_t len);
/* Lines typed into this monitor; NULL if it keeps none. */
const GPtrArray *hmp_history(Monitor *m);

#endif
