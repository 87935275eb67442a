/* SPDX-License-Identifier: MIT */
/*
 * Back-end "vc": a text terminal in the window, for a monitor, a serial or parallel port.  It
 * joins two layers that know nothing of each other, chardev/ and ui/.
 *
 * The glyphs are those of the VGA BIOS, which lies beside the machine's firmware: a table of
 * 256 characters of 16 bytes, found by its first two.
 */
#include <string.h>

#include "chardev/backend.h"
#include "hw/core/machine.h"
#include "ui/term.h"

#define FONT_SIZE       (256 * TERM_CELL_H)
#define DEFAULT_COLS    80
#define DEFAULT_ROWS    24
#define TYPED_MAX       4096

typedef struct CharVC {
    Terminal *term;
    GByteArray *typed;                  /* not yet taken by the front end */
} CharVC;

static bool load_font(Error **err)
{
    static const char *const roms[] = { "vgabios-stdvga.bin", "vgabios.bin", "vgabios-cirrus.bin" };
    /* the space, and the smiling face of 01h */
    static const uint8_t begin[2 * TERM_CELL_H] = {
        [18] = 0x7e, 0x81, 0xa5, 0x81, 0x81, 0xbd, 0x99, 0x81, 0x81, 0x7e,
    };
    for (size_t i = 0; i < G_N_ELEMENTS(roms) && !terminal_has_font(); i++) {
        g_autofree char *path = firmware_find(roms[i]), *data = NULL;
        gsize len;
        if (path && g_file_get_contents(path, &data, &len, NULL)) {
            const char *at = memmem(data, len, begin, sizeof(begin));
            if (at && len - (at - data) >= FONT_SIZE) {
                terminal_set_font(g_memdup2(at, FONT_SIZE));
            }
        }
    }
    return terminal_has_font()
           || fail(err, "-chardev: vc: no font found: there is no %s (Debian package: seabios)", roms[0]);
}

static void deliver(CharDev *c)
{
    CharVC *s = c->state;
    int room;

    while (s->typed->len && (room = chardev_can_read(c)) > 0) {
        guint n = MIN((guint)room, s->typed->len);
        g_autofree uint8_t *bytes = g_memdup2(s->typed->data, n);
        g_byte_array_remove_range(s->typed, 0, n);
        chardev_input(c, bytes, n);
    }
}

static void typed(void *opaque, const uint8_t *buf, int len)
{
    CharDev *c = opaque;
    CharVC *s = c->state;

    if (s->typed->len + len <= TYPED_MAX) {
        g_byte_array_append(s->typed, buf, len);
    }
    deliver(c);
}

/* width= and height= in pixels, or cols= and rows= */
static bool take_size(Opts *o, const char *pixels, const char *cells, unsigned unit, unsigned def,
                      unsigned max, unsigned *out, Error **err)
{
    uint64_t n_pixels, n_cells;
    if (!opts_uint(o, pixels, (uint64_t)def * unit, unit, (uint64_t)max * unit, &n_pixels, err)
        || !opts_uint(o, cells, n_pixels / unit, 1, max, &n_cells, err)) {
        return false;
    }
    *out = n_cells;
    return true;
}

static bool vc_open(CharDev *c, Opts *o, Error **err)
{
    CharVC *s = c->state;
    unsigned cols, rows;

    if (!take_size(o, "width", "cols", TERM_CELL_W, DEFAULT_COLS, TERM_MAX_COLS, &cols, err)
        || !take_size(o, "height", "rows", TERM_CELL_H, DEFAULT_ROWS, TERM_MAX_ROWS, &rows, err)
        || !load_font(err)) {
        return false;
    }
    s->typed = g_byte_array_new();
    s->term = terminal_new(c->id, cols, rows, typed, c);
    c->open = true;
    return true;
}

static void vc_close(CharDev *c)
{
    CharVC *s = c->state;
    terminal_free(s->term);
    g_byte_array_unref(s->typed);
}

static int vc_write(CharDev *c, const uint8_t *buf, int len)
{
    terminal_write(((CharVC *)c->state)->term, buf, len);
    return len;
}

static void vc_set_echo(CharDev *c, bool on)
{
    terminal_set_echo(((CharVC *)c->state)->term, on);
}

static const CharBackend vc_backend = {
    .name = "vc", .desc = "text terminal in the window (cols=, rows=, width=, height=)",
    .size = sizeof(CharVC), .open = vc_open, .close = vc_close, .write = vc_write,
    .want_read = deliver, .set_echo = vc_set_echo,
};
CHAR_BACKEND(vc_backend);
