/* SPDX-License-Identifier: MIT */
/*
 * Several front ends on one back-end: output of all goes out as it comes, input goes to one,
 * and Ctrl-a (or what -echr says) begins a command:
 *
 *   Ctrl-a h  help          Ctrl-a c  next front end (guest console, monitor)
 *   Ctrl-a x  quit          Ctrl-a b  break to the guest
 *   Ctrl-a t  time stamps   Ctrl-a Ctrl-a  Ctrl-a itself
 */
#include "chardev/backend.h"
#include "util/timer.h"

#include <string.h>

uint8_t char_escape = 0x01;
/* What is typed ahead is kept while the guest does not listen, so that Ctrl-a still works. */
#define TYPE_AHEAD 4096

static void say(CharDev *c, const char *text)
{
    if (c->backend->write) {
        c->backend->write(c, (const uint8_t *)text, strlen(text));
    }
}

static void send_event(CharFront *f, CharEvent e)
{
    if (f && f->handlers && f->handlers->event) {
        f->handlers->event(f->opaque, e);
    }
}

void mux_set_focus(CharDev *c, CharFront *f)
{
    CharFront *old = c->focus;
    c->focus = f;
    send_event(old, CHAR_MUX_OUT);
    send_event(f, CHAR_MUX_IN);
    mux_deliver(c);
}

static void next_focus(CharDev *c)
{
    guint at = 0;
    if (c->fronts->len > 1 && g_ptr_array_find(c->fronts, c->focus, &at)) {
        mux_set_focus(c, c->fronts->pdata[(at + 1) % c->fronts->len]);
    }
}

static void help(CharDev *c)
{
    static const struct {
        char key;
        const char *what;
    } keys[] = {
        { 'h', "print this help" }, { 'x', "exit emulator" }, { 't', "toggle console timestamps" },
        { 'b', "send break (magic sysrq)" }, { 'c', "switch between console and monitor" },
    };
    g_autofree char *esc = char_escape < 27 ? g_strdup_printf("C-%c", char_escape + 'a' - 1)
                                            : g_strdup_printf("0x%02x", char_escape);
    GString *text = g_string_new("\r\n");
    for (size_t i = 0; i < G_N_ELEMENTS(keys); i++) {
        g_string_append_printf(text, "%s %c    %s\r\n", esc, keys[i].key, keys[i].what);
    }
    g_string_append_printf(text, "%s %s  send %s\r\n", esc, esc, esc);
    say(c, text->str);
    g_string_free(text, TRUE);
}

static void command(CharDev *c, uint8_t key)
{
    switch (key) {
    case 'h':
    case '?':
        help(c);
        break;
    case 'x':
        say(c, "Orrery: terminated\r\n");
        if (char_hooks.quit) {
            char_hooks.quit();
        }
        break;
    case 'b':
        send_event(c->focus, CHAR_BREAK);
        break;
    case 'c':
        next_focus(c);
        break;
    case 't':
        c->timestamps = !c->timestamps;
        c->timestamps_from = clock_ns(ORRERY_CLOCK_REAL);
        c->line_start = true;
        break;
    }
}

/* ---- input -------------------------------------------------------------------------- */

int mux_can_read(CharDev *c)
{
    return c->focus ? TYPE_AHEAD - (int)MIN(c->focus->input->len, TYPE_AHEAD) : 0;
}

static void type(CharDev *c, uint8_t byte)
{
    if (c->focus) {
        g_byte_array_append(c->focus->input, &byte, 1);
    }
}

void mux_input(CharDev *c, const uint8_t *buf, int len)
{
    for (int i = 0; i < len; i++) {
        if (c->escaped) {
            c->escaped = false;
            if (buf[i] == char_escape) {
                type(c, char_escape);
            } else {
                mux_deliver(c);         /* what was typed before belongs to the old focus */
                command(c, buf[i]);
            }
        } else if (buf[i] == char_escape) {
            c->escaped = true;
        } else {
            type(c, buf[i]);
        }
    }
    mux_deliver(c);
}

void mux_deliver(CharDev *c)
{
    CharFront *f = c->focus;
    while (f && f->handlers && f->input->len) {
        int room = f->handlers->can_read ? f->handlers->can_read(f->opaque) : 0;
        if (room <= 0 || !f->handlers->read) {
            return;
        }
        guint n = MIN((guint)room, f->input->len);
        g_autofree uint8_t *bytes = g_memdup2(f->input->data, n);
        g_byte_array_remove_range(f->input, 0, n);
        f->handlers->read(f->opaque, bytes, n);
    }
}

/* ---- output ------------------------------------------------------------------------- */

static void stamp(CharDev *c)
{
    char text[32];
    int64_t ms = (clock_ns(ORRERY_CLOCK_REAL) - c->timestamps_from) / NS_PER_MS;
    g_snprintf(text, sizeof(text), "[%02d:%02d:%02d.%03d] ", (int)(ms / 3600000),
               (int)(ms / 60000 % 60), (int)(ms / 1000 % 60), (int)(ms % 1000));
    say(c, text);
}

int mux_write(CharDev *c, const uint8_t *buf, int len)
{
    int done = 0;
    if (!c->timestamps) {
        return c->backend->write(c, buf, len);
    }
    while (done < len) {
        const uint8_t *newline = memchr(buf + done, '\n', len - done);
        int n = newline ? (int)(newline - buf) + 1 - done : len - done;
        if (c->line_start) {
            stamp(c);
            c->line_start = false;
        }
        int taken = c->backend->write(c, buf + done, n);
        done += taken;
        if (taken < n) {
            break;
        }
        c->line_start = newline != NULL;
    }
    return done;
}
