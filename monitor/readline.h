/* SPDX-License-Identifier: MIT */
/*
 * Line editing on a terminal at the other end of a byte stream: cursor keys, history,
 * completion.  Knows Emacs-like control keys and the escape sequences terminals send.
 */
#ifndef MONITOR_READLINE_H
#define MONITOR_READLINE_H

#include <glib.h>

typedef struct ReadlineOps {
    void (*print)(void *opaque, const char *text);          /* to the terminal */
    void (*line)(void *opaque, const char *line);           /* Enter was pressed */
    /* Candidates for the last word of the line, g_free'd array of g_free'd strings; may be NULL. */
    GPtrArray *(*complete)(void *opaque, const char *line);
} ReadlineOps;

typedef struct Readline Readline;

Readline *readline_new(const char *prompt, const ReadlineOps *ops, void *opaque);
void readline_free(Readline *r);
void readline_byte(Readline *r, unsigned char c);
/* Show the prompt, with what was typed so far. */
void readline_show(Readline *r);
/* Forget what was typed. */
void readline_restart(Readline *r);
/* Lines entered, the oldest first, of char*. */
const GPtrArray *readline_history(const Readline *r);

#endif
