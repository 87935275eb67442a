/* SPDX-License-Identifier: MIT */
/*
 * Text terminals: a console of its own that shows a stream of bytes (monitor, serial port) as a
 * VT102 would and turns typed keys into bytes.  [bql]
 */
#ifndef UI_TERM_H
#define UI_TERM_H

#include <stdbool.h>
#include <stdint.h>

typedef struct Terminal Terminal;

#define TERM_CELL_W     8
#define TERM_CELL_H     16
#define TERM_MAX_COLS   512
#define TERM_MAX_ROWS   256

/* The glyphs of code page 437, 16 bytes each, for all terminals; borrowed.  Without a font
 * terminals draw nothing. */
void terminal_set_font(const uint8_t *font);
bool terminal_has_font(void);
/* A terminal of 1..TERM_MAX_* columns and rows whose console is called name.  send gets what is
 * typed there. */
Terminal *terminal_new(const char *name, unsigned cols, unsigned rows,
                       void (*send)(void *opaque, const uint8_t *buf, int len), void *opaque);
void terminal_free(Terminal *t);
/* Show bytes.  UTF-8; what code page 437 lacks is shown as '?'. */
void terminal_write(Terminal *t, const uint8_t *buf, int len);
void terminal_set_echo(Terminal *t, bool on);

#endif
