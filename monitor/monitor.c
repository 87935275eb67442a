/* SPDX-License-Identifier: MIT */
/*
 * Output of monitors: collected in a buffer, written as fast as the other end takes it.  The
 * buffer of a client that does not read is bounded: its commands wait, and events for it are
 * dropped by the caller.
 */
#include "monitor/internal.h"

#include <stdarg.h>
#include <string.h>

#include "util/mainloop.h"

#define CLOGGED (1 << 20)

void monitor_init(Monitor *m)
{
    m->out = g_string_new(NULL);
}

void monitor_write(Monitor *m, const char *text, size_t len)
{
    if (!m->crlf) {
        g_string_append_len(m->out, text, len);
        return;
    }
    for (size_t i = 0; i < len; i++) {
        if (text[i] == '\n') {
            g_string_append_c(m->out, '\r');
        }
        g_string_append_c(m->out, text[i]);
    }
}

void monitor_puts(Monitor *m, const char *text)
{
    monitor_write(m, text, strlen(text));
}

void monitor_printf(Monitor *m, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    char *text = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    monitor_puts(m, text);
    g_free(text);
}

static void flush_now(void *opaque)
{
    Monitor *m = opaque;
    bool was_clogged = monitor_clogged(m);
    m->flush_queued = false;
    if (!m->chr) {
        return;
    }
    while (m->out->len) {
        int n = char_write(m->chr, m->out->str, MIN(m->out->len, 1 << 20));
        if (n <= 0) {
            break;
        }
        /* writing may have found the other end gone and discarded everything */
        g_string_erase(m->out, 0, MIN(n, (int)m->out->len));
    }
    if (was_clogged && !monitor_clogged(m) && m->drained) {
        m->drained(m);
    }
}

/* Events come from vCPU threads too: their output is the main loop's work. */
void monitor_flush(Monitor *m)
{
    if (!cpu_current()) {
        flush_now(m);
    } else if (!m->flush_queued) {
        m->flush_queued = true;
        mainloop_defer(flush_now, m);
    }
}

bool monitor_clogged(const Monitor *m)
{
    return m->out->len > CLOGGED;
}

void monitor_discard(Monitor *m)
{
    g_string_truncate(m->out, 0);
}

CPU *monitor_cpu(Monitor *m)
{
    return cpu_by_index(m->cpu_index);
}

CPU *monitor_cpu_needed(Monitor *m, Error **err)
{
    CPU *c = monitor_cpu(m);
    if (!c) {
        fail(err, "No CPU available");
    }
    return c;
}
