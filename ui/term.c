/* SPDX-License-Identifier: MIT */
/*
 * Text terminals: what VT102 and ANSI sequences do to a grid of characters, how the grid is
 * drawn, and what the keys send.
 *
 * Sources: ECMA-48; the VT102 user guide; Linux' console_codes(4).  Not there: double width and
 * height, tab stops that move, character sets beside line drawing.
 *
 * A cell is a code page 437 character with a VGA attribute above it, as in a VGA's text mode, so
 * that curses shows terminals and guests alike.  Lines that leave at the top are kept, and
 * Shift with Page Up looks back at them.
 */
#include "ui/term.h"

#include <string.h>

#include "ui/console.h"
#include "ui/cp437.h"

#define MAX_PARAMS      16
#define HISTORY         1000            /* lines kept */
#define ATTR_NORMAL     0x07

typedef enum { PARSE_TEXT, PARSE_ESC, PARSE_CSI, PARSE_OSC, PARSE_CHARSET } ParseState;

struct Terminal {
    Console *console;
    void (*send)(void *opaque, const uint8_t *buf, int len);
    void *opaque;
    unsigned cols, rows;
    uint16_t *lines;                    /* a ring of HISTORY + rows lines */
    unsigned ring, top;                 /* lines in the ring; that of the screen's first row */
    unsigned kept, back;                /* lines of history there are; looked back by */
    uint16_t *shown;                    /* what the surface shows; 0xffff = nothing yet */
    bool shown_cursor, dirty, all;

    unsigned x, y, saved_x, saved_y;    /* x == cols: the next character wraps */
    unsigned scroll_top, scroll_bottom; /* rows of the scrolling region, both inside */
    uint8_t fg, bg, saved_fg, saved_bg; /* ANSI numbers 0..15 */
    bool bold, underline, reverse, blink, concealed;
    bool graphics, wrap, cursor_off, app_keys, echo, newline_mode, insert;
    ParseState state;
    unsigned params[MAX_PARAMS], nparams;
    char prefix;                        /* '?' of a private sequence */
    uint32_t utf8;                      /* character being collected */
    unsigned utf8_left;
};

static const uint8_t *font;             /* 256 glyphs of 16 rows */

void terminal_set_font(const uint8_t *f)
{
    font = f;
}

bool terminal_has_font(void)
{
    return font != NULL;
}

/* ---- the grid ------------------------------------------------------------------------ */

static uint16_t *line(const Terminal *t, int row)
{
    unsigned n = (t->top + t->ring + row) % t->ring;
    return t->lines + (size_t)n * t->cols;
}

/* ANSI counts red in bit 0 and blue in bit 2, the VGA the other way round. */
static uint8_t vga_color(uint8_t ansi)
{
    return (ansi & 10) | (ansi & 1) << 2 | (ansi >> 2 & 1);
}

static uint8_t attribute(const Terminal *t)
{
    uint8_t fg = vga_color(t->fg) | (t->bold ? 8 : 0), bg = vga_color(t->bg) & 7;

    if (t->reverse) {
        uint8_t swap = fg;
        fg = bg | (fg & 8);
        bg = swap & 7;
    }
    return (t->concealed ? bg : fg) | bg << 4;
}

static uint16_t blank(const Terminal *t)
{
    return ' ' | (vga_color(t->bg) & 7) << 12 | ATTR_NORMAL << 8;
}

static void touch(Terminal *t)
{
    t->dirty = true;
    console_wake(t->console);
}

static void clear_cells(Terminal *t, int row, unsigned from, unsigned to)
{
    uint16_t *l = line(t, row), cell = blank(t);

    for (unsigned x = from; x < MIN(to, t->cols); x++) {
        l[x] = cell;
    }
}

/* Rows top..bottom move up by one; a line that leaves a full screen goes to the history. */
static void scroll_up(Terminal *t, unsigned top, unsigned bottom)
{
    if (top == 0 && bottom == t->rows - 1) {
        t->top = (t->top + 1) % t->ring;
        t->kept = MIN(t->kept + 1, HISTORY);
    } else {
        for (unsigned y = top; y < bottom; y++) {
            memcpy(line(t, y), line(t, y + 1), 2 * t->cols);
        }
    }
    clear_cells(t, bottom, 0, t->cols);
}

static void scroll_down(Terminal *t, unsigned top, unsigned bottom)
{
    for (unsigned y = bottom; y > top; y--) {
        memcpy(line(t, y), line(t, y - 1), 2 * t->cols);
    }
    clear_cells(t, top, 0, t->cols);
}

static void line_feed(Terminal *t)
{
    if (t->y == t->scroll_bottom) {
        scroll_up(t, t->scroll_top, t->scroll_bottom);
    } else if (t->y + 1 < t->rows) {
        t->y++;
    }
}

static void put_character(Terminal *t, uint32_t unicode)
{
    /* the VT100's line drawing set: ` to ~ */
    static const uint8_t drawing[31] = {
        0x04, 0xb1, 9, 12, 13, 10, 0xf8, 0xf1, 0xb0, 11, 0xd9, 0xbf, 0xda, 0xc0, 0xc5, 0xc4,
        0xc4, 0xc4, 0xc4, 0xc4, 0xc3, 0xb4, 0xc1, 0xc2, 0xb3, 0xf3, 0xf2, 0xe3, 0xd8, 0x9c, 0xfa,
    };
    uint8_t ch = t->graphics && unicode >= '`' && unicode <= '~' ? drawing[unicode - '`']
                                                                : cp437_from_unicode(unicode);
    if (t->x >= t->cols) {
        t->x = 0;
        line_feed(t);
    }
    uint16_t *l = line(t, t->y);
    if (t->insert) {
        memmove(l + t->x + 1, l + t->x, 2 * (t->cols - t->x - 1));
    }
    l[t->x] = ch | attribute(t) << 8;
    t->x++;
    if (!t->wrap && t->x >= t->cols) {
        t->x = t->cols - 1;
    }
}

/* ---- control sequences --------------------------------------------------------------- */

static void say(Terminal *t, const char *text)
{
    t->send(t->opaque, (const uint8_t *)text, strlen(text));
}

static unsigned param(const Terminal *t, unsigned n, unsigned def)
{
    return n < t->nparams && t->params[n] ? t->params[n] : def;
}

static void move_to(Terminal *t, int x, int y)
{
    t->x = CLAMP(x, 0, (int)t->cols - 1);
    t->y = CLAMP(y, 0, (int)t->rows - 1);
}

static void erase_display(Terminal *t, unsigned how)
{
    unsigned x = MIN(t->x, t->cols - 1);

    if (how == 0) {
        clear_cells(t, t->y, x, t->cols);
    } else if (how == 1) {
        clear_cells(t, t->y, 0, x + 1);
    }
    for (unsigned y = 0; y < t->rows; y++) {
        if (how >= 2 || (how == 0 && y > t->y) || (how == 1 && y < t->y)) {
            clear_cells(t, y, 0, t->cols);
        }
    }
}

static void erase_line(Terminal *t, unsigned how)
{
    unsigned x = MIN(t->x, t->cols - 1);

    clear_cells(t, t->y, how == 0 ? x : 0, how == 1 ? x + 1 : t->cols);
}

static void reset_attributes(Terminal *t)
{
    t->fg = 7;
    t->bg = 0;
    t->bold = t->underline = t->reverse = t->blink = t->concealed = false;
}

/* 256 colours and RGB come down to the nearest of 16 that is easily found. */
static uint8_t rgb_color(unsigned r, unsigned g, unsigned b)
{
    uint8_t bright = MAX(MAX(r, g), b) > 200 ? 8 : 0;
    return (r > 90) | (g > 90) << 1 | (b > 90) << 2 | bright;
}

static uint8_t color256(unsigned n)
{
    if (n < 16) {
        return n;
    }
    if (n >= 232) {
        return n < 238 ? 0 : n < 244 ? 8 : n < 250 ? 7 : 15;
    }
    n = MIN(n, 231u) - 16;
    return rgb_color(n / 36 * 51, n / 6 % 6 * 51, n % 6 * 51);
}

/* 38;5;n and 38;2;r;g;b; returns the parameters used behind the first. */
static unsigned extended_color(Terminal *t, unsigned at, uint8_t *color)
{
    if (param(t, at + 1, 0) == 5) {
        *color = color256(param(t, at + 2, 0));
        return 2;
    }
    if (param(t, at + 1, 0) == 2) {
        *color = rgb_color(param(t, at + 2, 0), param(t, at + 3, 0), param(t, at + 4, 0));
        return 4;
    }
    return 0;
}

static void select_graphics(Terminal *t)
{
    for (unsigned i = 0; i < MAX(t->nparams, 1u); i++) {
        unsigned p = param(t, i, 0);
        switch (p) {
        case 0: reset_attributes(t); break;
        case 1: t->bold = true; break;
        case 2: case 22: t->bold = false; break;
        case 4: t->underline = true; break;
        case 5: t->blink = true; break;
        case 7: t->reverse = true; break;
        case 8: t->concealed = true; break;
        case 24: t->underline = false; break;
        case 25: t->blink = false; break;
        case 27: t->reverse = false; break;
        case 28: t->concealed = false; break;
        case 38: i += extended_color(t, i, &t->fg); break;
        case 39: t->fg = 7; break;
        case 48: i += extended_color(t, i, &t->bg); break;
        case 49: t->bg = 0; break;
        default:
            if (p >= 30 && p <= 37) {
                t->fg = p - 30;
            } else if (p >= 40 && p <= 47) {
                t->bg = p - 40;
            } else if (p >= 90 && p <= 97) {
                t->fg = p - 90 + 8;
            } else if (p >= 100 && p <= 107) {
                t->bg = p - 100;
            }
        }
    }
}

static void set_modes(Terminal *t, bool on)
{
    for (unsigned i = 0; i < t->nparams; i++) {
        switch (t->params[i] | (t->prefix == '?' ? 0x10000 : 0)) {
        case 4: t->insert = on; break;
        case 20: t->newline_mode = on; break;
        case 0x10001: t->app_keys = on; break;
        case 0x10007: t->wrap = on; break;
        case 0x10019: t->cursor_off = !on; break;
        }
    }
}

static void shift_cells(Terminal *t, bool insert)
{
    uint16_t *l = line(t, t->y);
    unsigned x = MIN(t->x, t->cols - 1), n = MIN(param(t, 0, 1), t->cols - x);

    if (insert) {
        memmove(l + x + n, l + x, 2 * (t->cols - x - n));
        clear_cells(t, t->y, x, x + n);
    } else {
        memmove(l + x, l + x + n, 2 * (t->cols - x - n));
        clear_cells(t, t->y, t->cols - n, t->cols);
    }
}

/* IL, DL: lines come or go at the cursor, SU, SD: at the region's edge. */
static void shift_lines(Terminal *t, bool insert, unsigned from)
{
    if (from < t->scroll_top || from > t->scroll_bottom) {
        return;
    }
    for (unsigned n = MIN(param(t, 0, 1), t->rows); n; n--) {
        if (insert) {
            scroll_down(t, from, t->scroll_bottom);
        } else if (from == 0 && t->scroll_bottom == t->rows - 1) {
            scroll_up(t, from, t->scroll_bottom);
        } else {
            for (unsigned y = from; y < t->scroll_bottom; y++) {
                memcpy(line(t, y), line(t, y + 1), 2 * t->cols);
            }
            clear_cells(t, t->scroll_bottom, 0, t->cols);
        }
    }
}

static void set_region(Terminal *t)
{
    unsigned top = param(t, 0, 1) - 1, bottom = MIN(param(t, 1, t->rows), t->rows) - 1;

    if (top < bottom) {
        t->scroll_top = top;
        t->scroll_bottom = bottom;
        move_to(t, 0, 0);
    }
}

static void save_cursor(Terminal *t)
{
    t->saved_x = MIN(t->x, t->cols - 1);
    t->saved_y = t->y;
    t->saved_fg = t->fg;
    t->saved_bg = t->bg;
}

static void restore_cursor(Terminal *t)
{
    t->x = t->saved_x;
    t->y = t->saved_y;
    t->fg = t->saved_fg;
    t->bg = t->saved_bg;
}

static void report(Terminal *t)
{
    char text[32];

    if (param(t, 0, 0) == 5) {
        say(t, "\033[0n");
    } else if (param(t, 0, 0) == 6) {
        g_snprintf(text, sizeof(text), "\033[%u;%uR", t->y + 1, MIN(t->x, t->cols - 1) + 1);
        say(t, text);
    }
}

static void control_sequence(Terminal *t, uint8_t final)
{
    int n = MIN(param(t, 0, 1), 1000u), x = MIN(t->x, t->cols - 1), y = t->y;

    switch (final) {
    case '@': shift_cells(t, true); break;
    case 'A': move_to(t, x, y - n); break;
    case 'B': case 'e': move_to(t, x, y + n); break;
    case 'C': case 'a': move_to(t, x + n, y); break;
    case 'D': move_to(t, x - n, y); break;
    case 'E': move_to(t, 0, y + n); break;
    case 'F': move_to(t, 0, y - n); break;
    case 'G': case '`': move_to(t, n - 1, y); break;
    case 'H': case 'f': move_to(t, (int)MIN(param(t, 1, 1), 1000u) - 1, n - 1); break;
    case 'J': erase_display(t, param(t, 0, 0)); break;
    case 'K': erase_line(t, param(t, 0, 0)); break;
    case 'L': shift_lines(t, true, y); break;
    case 'M': shift_lines(t, false, y); break;
    case 'P': shift_cells(t, false); break;
    case 'S': shift_lines(t, false, t->scroll_top); break;
    case 'T': shift_lines(t, true, t->scroll_top); break;
    case 'X': clear_cells(t, y, x, x + n); break;
    case 'c':
        if (!t->prefix) {
            say(t, "\033[?6c");
        }
        break;
    case 'd': move_to(t, x, n - 1); break;
    case 'h': set_modes(t, true); break;
    case 'l': set_modes(t, false); break;
    case 'm': select_graphics(t); break;
    case 'n': report(t); break;
    case 'r': set_region(t); break;
    case 's': save_cursor(t); break;
    case 'u': restore_cursor(t); break;
    }
}

static void terminal_reset(Terminal *t)
{
    t->x = t->y = 0;
    t->scroll_top = 0;
    t->scroll_bottom = t->rows - 1;
    t->wrap = true;
    t->graphics = t->cursor_off = t->app_keys = t->newline_mode = t->insert = false;
    reset_attributes(t);
    save_cursor(t);
    erase_display(t, 2);
}

static void escape(Terminal *t, uint8_t c)
{
    t->state = PARSE_TEXT;
    switch (c) {
    case '[':
        t->state = PARSE_CSI;
        memset(t->params, 0, sizeof(t->params));
        t->nparams = 0;
        t->prefix = 0;
        break;
    case ']': case 'P': case '^': case '_': case 'X': t->state = PARSE_OSC; break;
    case '(': case ')': case '*': case '+': case '#': case '%': case ' ': t->state = PARSE_CHARSET; break;
    case '7': save_cursor(t); break;
    case '8': restore_cursor(t); break;
    case 'D': line_feed(t); break;
    case 'E': t->x = 0; line_feed(t); break;
    case 'M':
        if (t->y == t->scroll_top) {
            scroll_down(t, t->scroll_top, t->scroll_bottom);
        } else if (t->y) {
            t->y--;
        }
        break;
    case 'Z': say(t, "\033[?6c"); break;
    case 'c': terminal_reset(t); break;
    }
}

static void collect(Terminal *t, uint8_t c)
{
    if (c >= '0' && c <= '9') {
        unsigned n = MAX(t->nparams, 1u) - 1;
        t->nparams = MAX(t->nparams, 1u);
        t->params[n] = MIN(t->params[n] * 10 + c - '0', 65535u);
    } else if (c == ';' || c == ':') {
        t->nparams = MIN(MAX(t->nparams, 1u) + 1, (unsigned)MAX_PARAMS);
    } else if (c >= '<' && c <= '?') {
        t->prefix = c;
    } else if (c >= 0x40) {
        t->state = PARSE_TEXT;
        if (!t->prefix || t->prefix == '?') {
            control_sequence(t, c);
        }
    }
}

static void control(Terminal *t, uint8_t c)
{
    switch (c) {
    case '\b': t->x = MIN(t->x, t->cols - 1); t->x -= t->x > 0; break;
    case '\t': t->x = MIN((t->x | 7) + 1, t->cols - 1); break;
    case '\n': case '\v': case '\f':
        if (t->newline_mode) {
            t->x = 0;
        }
        line_feed(t);
        break;
    case '\r': t->x = 0; break;
    case 0x0e: t->graphics = true; break;
    case 0x0f: t->graphics = false; break;
    case 0x18: case 0x1a: t->state = PARSE_TEXT; break;
    case 0x1b: t->state = PARSE_ESC; break;
    }
}

static void text_byte(Terminal *t, uint8_t c)
{
    if (t->utf8_left && (c & 0xc0) == 0x80) {
        t->utf8 = t->utf8 << 6 | (c & 0x3f);
        if (--t->utf8_left == 0) {
            put_character(t, t->utf8);
        }
        return;
    }
    t->utf8_left = c >= 0xf0 ? 3 : c >= 0xe0 ? 2 : c >= 0xc0 ? 1 : 0;
    t->utf8 = c & (0x3f >> t->utf8_left);
    if (!t->utf8_left) {
        put_character(t, c < 0x80 ? c : '?');
    }
}

static void take_byte(Terminal *t, uint8_t c)
{
    if (t->state == PARSE_OSC) {        /* a string ends with BEL or ESC \ */
        t->state = c == 7 ? PARSE_TEXT : c == 0x1b ? PARSE_ESC : PARSE_OSC;
    } else if (c < 0x20) {
        control(t, c);
    } else if (t->state == PARSE_ESC) {
        escape(t, c);
    } else if (t->state == PARSE_CSI) {
        collect(t, c);
    } else if (t->state == PARSE_CHARSET) {
        t->graphics = c == '0';
        t->state = PARSE_TEXT;
    } else if (c != 0x7f) {
        text_byte(t, c);
    }
}

void terminal_write(Terminal *t, const uint8_t *buf, int len)
{
    for (int i = 0; i < len; i++) {
        take_byte(t, buf[i]);
    }
    t->back = 0;
    touch(t);
}

/* ---- keys ---------------------------------------------------------------------------- */

static void look_back(Terminal *t, int lines)
{
    t->back = CLAMP((int)t->back + lines, 0, (int)t->kept);
    touch(t);
}

static const char *key_sequence(const Terminal *t, uint32_t keysym)
{
    static const struct {
        uint32_t keysym;
        const char *normal, *app;
    } keys[] = {
        { 0xff52, "\033[A", "\033OA" }, { 0xff54, "\033[B", "\033OB" },
        { 0xff53, "\033[C", "\033OC" }, { 0xff51, "\033[D", "\033OD" },
        { 0xff50, "\033[H", "\033OH" }, { 0xff57, "\033[F", "\033OF" },
        { 0xff55, "\033[5~", NULL }, { 0xff56, "\033[6~", NULL }, { 0xff63, "\033[2~", NULL },
        { 0xffff, "\033[3~", NULL }, { 0xff0d, "\r", NULL }, { 0xff8d, "\r", NULL },
        { 0xff08, "\177", NULL }, { 0xff09, "\t", NULL }, { 0xff1b, "\033", NULL },
        { 0xffbe, "\033OP", NULL }, { 0xffbf, "\033OQ", NULL }, { 0xffc0, "\033OR", NULL },
        { 0xffc1, "\033OS", NULL }, { 0xffc2, "\033[15~", NULL }, { 0xffc3, "\033[17~", NULL },
        { 0xffc4, "\033[18~", NULL }, { 0xffc5, "\033[19~", NULL }, { 0xffc6, "\033[20~", NULL },
        { 0xffc7, "\033[21~", NULL }, { 0xffc8, "\033[23~", NULL }, { 0xffc9, "\033[24~", NULL },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(keys); i++) {
        if (keys[i].keysym == keysym) {
            return t->app_keys && keys[i].app ? keys[i].app : keys[i].normal;
        }
    }
    return NULL;
}

/* The bytes of a key; at most 8, returns how many. */
static int key_bytes(const Terminal *t, uint32_t keysym, bool ctrl, char out[8])
{
    const char *sequence = key_sequence(t, keysym);

    if (sequence) {
        return g_strlcpy(out, sequence, 8);
    }
    if (keysym >= 0xffaa && keysym <= 0xffb9) {     /* digits and operators of the key pad */
        keysym -= 0xff80;
    }
    if (keysym >= 0x1000100 && keysym <= 0x110ffff) {
        keysym -= 0x1000000;
    } else if (keysym < 0x20 || keysym > 0xff) {
        return 0;
    }
    if (ctrl && keysym >= '@' && keysym <= '~') {
        out[0] = keysym & 0x1f;
        return 1;
    }
    return g_unichar_to_utf8(keysym, out);
}

static void terminal_keysym(void *opaque, uint32_t keysym, bool ctrl, bool shift)
{
    Terminal *t = opaque;
    char bytes[8];
    int n;

    if ((shift || ctrl) && (keysym == 0xff55 || keysym == 0xff56)) {
        look_back(t, keysym == 0xff55 ? (int)t->rows / 2 : -(int)t->rows / 2);
        return;
    }
    n = key_bytes(t, keysym, ctrl, bytes);
    if (n <= 0) {
        return;
    }
    t->back = 0;
    if (t->echo) {
        terminal_write(t, (const uint8_t *)bytes, n);
        if (bytes[0] == '\r') {
            terminal_write(t, (const uint8_t *)"\n", 1);
        }
    }
    t->send(t->opaque, (const uint8_t *)bytes, n);
}

/* ---- drawing ------------------------------------------------------------------------- */

static void draw_cell(const Terminal *t, unsigned x, unsigned y, uint16_t cell, bool cursor)
{
    static const uint32_t palette[16] = {
        0x000000, 0x0000aa, 0x00aa00, 0x00aaaa, 0xaa0000, 0xaa00aa, 0xaa5500, 0xaaaaaa,
        0x555555, 0x5555ff, 0x55ff55, 0x55ffff, 0xff5555, 0xff55ff, 0xffff55, 0xffffff,
    };
    pixman_image_t *img = console_surface(t->console);
    uint8_t *p = (uint8_t *)pixman_image_get_data(img);
    unsigned stride = pixman_image_get_stride(img);
    uint32_t fg = palette[cell >> 8 & 15], bg = palette[cell >> 12 & 7];
    const uint8_t *glyph = font + (cell & 0xff) * TERM_CELL_H;

    p += (size_t)y * TERM_CELL_H * stride + (size_t)x * TERM_CELL_W * 4;
    for (unsigned row = 0; row < TERM_CELL_H; row++, p += stride) {
        uint32_t *out = (uint32_t *)(void *)p;
        for (unsigned i = 0; i < TERM_CELL_W; i++) {
            bool on = glyph[row] >> (7 - i) & 1;
            out[i] = on != cursor ? fg : bg;
        }
    }
}

static bool at_cursor(const Terminal *t, unsigned x, unsigned y)
{
    return !t->cursor_off && !t->back && y == t->y && x == MIN(t->x, t->cols - 1);
}

static void terminal_refresh(void *opaque)
{
    Terminal *t = opaque;

    if (!t->dirty || !font) {
        return;
    }
    for (unsigned y = 0; y < t->rows; y++) {
        const uint16_t *l = line(t, (int)y - (int)t->back);
        uint16_t *shown = t->shown + (size_t)y * t->cols;
        unsigned first = t->cols, last = 0;
        for (unsigned x = 0; x < t->cols; x++) {
            bool cursor = at_cursor(t, x, y);
            uint16_t now = l[x] | (cursor ? 0x8000 : 0);    /* nothing else blinks */
            if (t->all || now != shown[x]) {
                shown[x] = now;
                draw_cell(t, x, y, l[x], cursor);
                first = MIN(first, x);
                last = x;
            }
        }
        if (first <= last && first < t->cols) {
            console_update(t->console, first * TERM_CELL_W, y * TERM_CELL_H,
                           (last - first + 1) * TERM_CELL_W, TERM_CELL_H);
        }
    }
    t->dirty = t->all = false;
}

static void terminal_invalidate(void *opaque)
{
    Terminal *t = opaque;
    t->dirty = t->all = true;
}

static bool terminal_text(void *opaque, uint16_t *cells, unsigned max, unsigned *cols,
                          unsigned *rows, unsigned *cursor)
{
    Terminal *t = opaque;

    *cols = t->cols;
    *rows = t->rows;
    *cursor = t->cursor_off || t->back ? ~0u : t->y * t->cols + MIN(t->x, t->cols - 1);
    for (unsigned n = 0; n < t->cols * t->rows && n < max; n++) {
        cells[n] = line(t, (int)(n / t->cols) - (int)t->back)[n % t->cols];
    }
    return true;
}

/* ---- life ---------------------------------------------------------------------------- */

static const ConsoleOps terminal_ops = {
    .refresh = terminal_refresh, .invalidate = terminal_invalidate, .text = terminal_text,
    .keysym = terminal_keysym,
};

Terminal *terminal_new(const char *name, unsigned cols, unsigned rows,
                       void (*send)(void *opaque, const uint8_t *buf, int len), void *opaque)
{
    Terminal *t = g_new0(Terminal, 1);

    t->send = send;
    t->opaque = opaque;
    t->cols = CLAMP(cols, 1, TERM_MAX_COLS);
    t->rows = CLAMP(rows, 1, TERM_MAX_ROWS);
    t->ring = HISTORY + t->rows;
    t->lines = g_new(uint16_t, (size_t)t->ring * t->cols);
    t->shown = g_new0(uint16_t, (size_t)t->rows * t->cols);
    for (size_t i = 0; i < (size_t)t->ring * t->cols; i++) {
        t->lines[i] = ' ' | ATTR_NORMAL << 8;
    }
    t->dirty = t->all = true;
    t->console = console_new(name, 0, &terminal_ops, t);
    console_resize(t->console, t->cols * TERM_CELL_W, t->rows * TERM_CELL_H);
    terminal_reset(t);
    return t;
}

void terminal_free(Terminal *t)
{
    console_free(t->console);
    g_free(t->lines);
    g_free(t->shown);
    g_free(t);
}

void terminal_set_echo(Terminal *t, bool on)
{
    t->echo = on;
}
