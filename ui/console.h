/* SPDX-License-Identifier: MIT */
/*
 * The display core: one surface per console, dirty rectangles, several front ends.  A display
 * device or a text terminal owns a Console; front ends (SDL, VNC, curses) listen to it, and
 * screendump takes single pictures.
 *
 * How a picture travels:  while a listener wants to be kept up to date, a timer calls the
 * owner's refresh.  It draws what changed into the surface and tells each rectangle by
 * console_update; when it is through, listeners hear `frame`.  With no listener, or none that
 * wants anything now (interval 0), nothing is drawn and no timer runs.  A picture that stands
 * still is looked at less and less often, down to four times a second, until it changes or
 * console_wake is called (somebody typed).
 *
 * All under the big lock, in the main thread, except that a device may call the functions of
 * its side from a vCPU thread that holds the big lock.
 */
#ifndef UI_CONSOLE_H
#define UI_CONSOLE_H

#include <glib.h>
#include <pixman.h>
#include <stdbool.h>
#include <stdint.h>
#include "util/error.h"

typedef struct Console Console;

/* What the owner offers.  Members that may be NULL say so. */
typedef struct ConsoleOps {
    /* Bring the surface up to date; call console_update for what changed. */
    void (*refresh)(void *opaque);
    /* Redraw all at the next refresh.  May be NULL. */
    void (*invalidate)(void *opaque);
    /* In a text mode: fill cells (code page 437 character, VGA attribute in the high byte) and
     * geometry; false in graphics modes.  At most max cells are stored.  May be NULL. */
    bool (*text)(void *opaque, uint16_t *cells, unsigned max, unsigned *cols, unsigned *rows,
                 unsigned *cursor /* cell or ~0u */);
    /* A front end's window changed: a guest that can follow should.  Sizes are not checked
     * beyond 1..16384.  May be NULL: then front ends do not offer resizing. */
    void (*resize_hint)(void *opaque, unsigned w, unsigned h);
    /* A front end shows it from now on: a monitor was plugged in.  May be NULL. */
    void (*shown)(void *opaque);
    /* A key typed at a text terminal, as X keysym with the state of Ctrl and Shift.  Only
     * terminals have it: keys at other consoles go to the guest (ui/input.h). */
    void (*keysym)(void *opaque, uint32_t keysym, bool ctrl, bool shift);
} ConsoleOps;

/*
 * A front end.  Each callback may be NULL.  None may call console_listen or console_unlisten,
 * except that `gone` ends the listening itself.
 */
typedef struct DisplayListener {
    const char *name;
    /* These pixels of the surface changed; the rectangle lies inside it. */
    void (*update)(void *opaque, int x, int y, int w, int h);
    /* A refresh is through that had updates. */
    void (*frame)(void *opaque);
    /* Another surface; the listener takes a reference if it keeps it beyond the next switch. */
    void (*switch_surface)(void *opaque, pixman_image_t *surface);
    /* Shape of the hardware cursor; argb NULL: none is defined any more.  Borrowed. */
    void (*cursor)(void *opaque, int w, int h, int hot_x, int hot_y, const uint32_t *argb);
    void (*mouse)(void *opaque, int x, int y, bool visible);
    void (*gone)(void *opaque);     /* the console is going away */
    unsigned interval_ms;           /* wanted refresh interval at first; 0 = only on demand */
} DisplayListener;

/* device and head name it for screendump.  Graphic consoles stand in front of terminals in the
 * order of the list, whichever was made first. */
Console *console_new(const char *device, unsigned head, const ConsoleOps *ops, void *opaque);
void console_free(Console *c);
Console *console_by_index(unsigned n);          /* NULL: there are not so many */
Console *console_find(const char *device, unsigned head);
unsigned console_index(const Console *c);
const char *console_device(const Console *c);
unsigned console_head(const Console *c);
bool console_is_terminal(const Console *c);
bool console_can_resize(const Console *c);      /* resize hints reach somebody */

/* ---- the owner's side ---------------------------------------------------------------- */

/* Surfaces are PIXMAN_x8r8g8b8; console_resize makes and owns a black one, console_set_surface
 * takes a reference to the owner's own (over VRAM).  Either way listeners redraw all. */
pixman_image_t *console_surface(Console *c);
void console_resize(Console *c, unsigned w, unsigned h);
void console_set_surface(Console *c, pixman_image_t *img);
/* Clipped to the surface. */
void console_update(Console *c, int x, int y, int w, int h);
/* For refresh: something in the picture blinks, next at this real time (INT64_MAX: not any more).
 * alone: nothing else changed, so the picture stands still for whoever watches it. */
void console_blinks(Console *c, bool alone, int64_t next);
/* w * h pixels with alpha, copied; NULL = no cursor.  At most 256x256. */
void console_set_cursor(Console *c, int w, int h, int hot_x, int hot_y, const uint32_t *argb);
void console_move_cursor(Console *c, int x, int y, bool visible);

/* ---- the front ends' side ------------------------------------------------------------ */

/* The listener hears of the surface and cursor that are there, and the owner redraws all. */
void console_listen(Console *c, const DisplayListener *l, void *opaque);
void console_unlisten(Console *c, const DisplayListener *l, void *opaque);
/* How often this listener wants to be kept up to date from now on; 0 = not now. */
void console_set_interval(Console *c, const DisplayListener *l, void *opaque, unsigned ms);
void console_refresh(Console *c);               /* now */
void console_wake(Console *c);                  /* something is likely to change: look soon */
void console_resize_hint(Console *c, unsigned w, unsigned h);
bool console_text(Console *c, uint16_t *cells, unsigned max, unsigned *cols, unsigned *rows, unsigned *cursor);
void console_keysym(Console *c, uint32_t keysym, bool ctrl, bool shift);

/* screendump: refreshes, writes PPM (P6) or PNG by format name (NULL: PPM). */
bool console_screendump(Console *c, const char *path, const char *format, Error **err);

#endif
