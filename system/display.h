/* SPDX-License-Identifier: MIT */
/*
 * -display, -vnc, -full-screen, -k: which front ends there are, and starting them.
 */
#ifndef SYSTEM_DISPLAY_H
#define SYSTEM_DISPLAY_H

#include <stdbool.h>
#include "util/error.h"

/* Checks what was asked for and chooses what was not.  Prints and exits on -display help. */
bool display_choose(Error **err);
/* Somebody can look at text terminals: default ports and the default monitor go there. */
bool display_shows_terminals(void);
/* The machine with its consoles is there: show it. */
bool display_start(Error **err);
void display_stop(void);
/* QMP's DisplayOptions: "type", and what was said about the window. */
struct Json *display_query(void);

#endif
