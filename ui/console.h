/* SPDX-License-Identifier: MIT */
/*
 * The display core: one surface per console, dirty rectangles, several front ends.  A display
 * device owns a Console; front ends (none, SDL, VNC, screendump) listen.  All under the big lock.
 */
#ifndef UI_CONSOLE_H
#define UI_CONSOLE_H

#include <glib.h>
#include <pixman.h>
#include <stdbool.h>
#include <stdint.h>
#include "util/error.h"

typedef struct Console Console;

/* What the display device offers. */
typedef struct ConsoleOps {
    /* Bring the surface up to date with guest memory; call console_update for what changed. */
    void (*refresh)(void *opaque);
    /* Redraw all at the next refresh. */
    void (*invalidate)(void *opaque);
    /* In a text mode: fill cells (character, attribute) and geometry; false in graphics modes. */
    bool (*text)(void *opaque, uint16_t *cells, unsigned max, unsigned *cols, unsigned *rows,
                 unsigned *cursor /* cell or ~0u */);
    /* The front end's window changed: a guest that can follow should.  May be NULL. */
    void (*resize_hint)(void *opaque, unsigned w, unsigned h);
} ConsoleOps;

/* A front end. */
typedef struct DisplayListener {
    const char *name;
    void (*update)(void *opaque, int x, int y, int w, int h);
    void (*switch_surface)(void *opaque, pixman_image_t *surface);
    void (*cursor)(void *opaque, int w, int h, int hot_x, int hot_y, const uint32_t *argb);
    void (*mouse)(void *opaque, int x, int y, bool visible);
    unsigned interval_ms;           /* wanted refresh interval; 0 = only on demand */
} DisplayListener;

Console *console_new(const char *device, unsigned head, const ConsoleOps *ops, void *opaque);
void console_free(Console *c);
Console *console_by_index(unsigned n);          /* NULL */
Console *console_find(const char *device, unsigned head);
const char *console_device(const Console *c);

/* Device side.  Surfaces are PIXMAN_x8r8g8b8; console_resize makes and owns one,
 * console_set_surface takes a reference to the device's own (over VRAM). */
pixman_image_t *console_surface(Console *c);
void console_resize(Console *c, unsigned w, unsigned h);
void console_set_surface(Console *c, pixman_image_t *img);
void console_update(Console *c, int x, int y, int w, int h);
void console_set_cursor(Console *c, int w, int h, int hot_x, int hot_y, const uint32_t *argb);
void console_move_cursor(Console *c, int x, int y, bool visible);

/* Front-end side.  Refresh runs by timer only while a listener with an interval is there. */
void console_listen(Console *c, const DisplayListener *l, void *opaque);
void console_unlisten(Console *c, const DisplayListener *l, void *opaque);
void console_refresh(Console *c);               /* now */
void console_resize_hint(Console *c, unsigned w, unsigned h);
bool console_text(Console *c, uint16_t *cells, unsigned max, unsigned *cols, unsigned *rows, unsigned *cursor);

/* screendump: refreshes, writes PPM (P6) or PNG by format name. */
bool console_screendump(Console *c, const char *path, const char *format, Error **err);

#endif
