/* SPDX-License-Identifier: MIT */
/*
 * Text modes: characters from plane 0, attributes from plane 1, fonts from plane 2.
 *
 * Source: IBM PS/2 Hardware Interface Technical Reference, "Video Subsystem": alphanumeric
 * modes, character map select, cursor.
 *
 *     attribute   7: blink (or bright background)   6..4: background   3..0: foreground
 *                 3 chooses between two fonts if they differ
 */
#include "hw/display/vga.h"
#include "util/bits.h"
#include "util/timer.h"

#define CURSOR_PHASE_NS (1000000000ull * 16 / 70)   /* 16 frames on, 16 off; blinking: 32 */

/* A cell as the cache keeps it: character, attribute, whether the cursor is on it */
#define CELL_CURSOR     (1u << 16)

typedef struct TextPainter {
    VGA *s;
    const VGAMode *m;
    bool all, changed;                  /* changed: the row being drawn */
    bool cursor_on, blink_on;
    bool cursor_turns, blink_turns;     /* they were not so when it was drawn last */
    bool has_cursor, has_blink;         /* something in the picture blinks ... */
    bool moved;                         /* ... and something else changed */
    unsigned row;                       /* being drawn; ~0 = none yet */
    uint32_t *cells;                    /* of that row, in the cache */
    uint32_t font[2];                   /* planar offsets; [1] for attributes with bit 3 */
    uint32_t color[16];
    uint8_t *out;
    unsigned stride;
    int first;                          /* line of the run being collected, -1 = none */
} TextPainter;

/* Eight fonts of 8 KiB; their numbers are odd because the EGA had four. */
static void choose_fonts(const VGA *s, uint32_t font[2])
{
    uint8_t r = s->sr[SR_FONT_SELECT];
    unsigned a = (r >> 2 & 3) << 1 | (r >> 5 & 1), b = (r & 3) << 1 | (r >> 4 & 1);

    font[1] = 0x2000 * a;
    font[0] = 0x2000 * b;
}

static uint32_t get_cell(TextPainter *t, uint32_t offset)
{
    const VGA *s = t->s;
    uint32_t cell = ld16_le(s->mem + 4 * (size_t)(offset & t->m->wrap));
    unsigned cursor = s->cr[CR_CURSOR_HI] << 8 | s->cr[CR_CURSOR_LO];

    if ((offset & t->m->wrap) == cursor && !(s->cr[CR_CURSOR_START] & 0x20)) {
        t->has_cursor = true;
        cell |= t->cursor_on ? CELL_CURSOR : 0;
    }
    return cell;
}

/* What differs from the cell that was drawn there. */
static void look_at_cell(TextPainter *t, uint32_t cell, uint32_t before)
{
    if (cell != before) {
        t->changed = true;
        t->moved |= cell != (before ^ CELL_CURSOR) || !t->cursor_turns;
    }
    if (cell & 0x8000 && t->s->ar[AR_MODE] & AR10_BLINK) {
        t->has_blink = true;
        t->changed |= t->blink_turns;
    }
}

static void begin_row(TextPainter *t, const VGALine *l)
{
    unsigned n = t->m->chars + 1;

    t->row = l->row;
    t->cells = t->s->cells + (size_t)l->row * n;
    t->changed = t->all;
    for (unsigned c = 0; c < n; c++) {
        uint32_t cell = get_cell(t, l->base + c);
        look_at_cell(t, cell, t->cells[c]);
        t->cells[c] = cell;
    }
}

/* The dots of one scan line of a character, 9 bits of which the lowest is the 9th column. */
static unsigned character_dots(const TextPainter *t, uint32_t cell, unsigned row_scan)
{
    const VGA *s = t->s;
    uint8_t ch = cell, attr = cell >> 8;
    uint32_t at = t->font[attr >> 3 & 1] + ch * 32 + row_scan;
    unsigned dots = s->mem[4 * (size_t)at + 2] << 1;

    if ((s->ar[AR_MODE] & AR10_LINE_CHARS) && ch >= 0xc0 && ch <= 0xdf) {
        dots |= dots >> 1 & 1;
    }
    if ((attr & 7) == 1 && row_scan == (s->cr[CR_UNDERLINE] & 31)) {
        dots = 0x1ff;
    }
    if ((s->ar[AR_MODE] & AR10_BLINK) && (attr & 0x80) && !t->blink_on) {
        dots = 0;
    }
    if ((cell & CELL_CURSOR) && row_scan >= (s->cr[CR_CURSOR_START] & 31)
        && row_scan <= (s->cr[CR_CURSOR_END] & 31)) {
        dots = 0x1ff;
    }
    return dots;
}

static void draw_cell(const TextPainter *t, uint32_t cell, unsigned row_scan, uint32_t *p)
{
    uint8_t attr = cell >> 8;
    bool blink = t->s->ar[AR_MODE] & AR10_BLINK;
    uint32_t fg = t->color[attr & 15], bg = t->color[attr >> 4 & (blink ? 7 : 15)];
    unsigned dots = character_dots(t, cell, row_scan), n = t->m->dots;

    for (unsigned i = 0; i < n; i++) {
        unsigned bit = n == 16 ? i / 2 : i;
        p[i] = dots >> (8 - bit) & 1 ? fg : bg;
    }
}

static void end_run(TextPainter *t, int y)
{
    if (t->first >= 0) {
        console_update(t->s->console, 0, t->first, t->m->width, y - t->first);
        t->first = -1;
    }
}

static void draw_line(void *opaque, const VGALine *l)
{
    TextPainter *t = opaque;
    const VGAMode *m = t->m;
    unsigned chars = m->chars + (l->pan ? 1 : 0);

    if (l->row != t->row) {
        begin_row(t, l);
    }
    if (!t->changed) {
        end_run(t, l->y);
        return;
    }
    if (t->first < 0) {
        t->first = l->y;
    }
    for (unsigned c = 0; c < chars; c++) {
        draw_cell(t, t->cells[c], l->row_scan, t->s->line + c * m->dots);
    }
    memcpy(t->out + (size_t)l->y * t->stride, t->s->line + l->pan, 4 * m->width);
}

/* The clock it blinks by may stand: then the picture does. */
static void tell_blinking(const TextPainter *t, uint64_t next_phase)
{
    int64_t left = next_phase * CURSOR_PHASE_NS - vclock_ns();

    console_blinks(t->s->console, !t->moved,
                   vclock_running() ? clock_ns(ORRERY_CLOCK_REAL) + left : INT64_MAX);
}

void vga_draw_text(VGA *s, const VGAMode *m, bool all)
{
    pixman_image_t *img = console_surface(s->console);
    uint64_t phase = vclock_ns() / CURSOR_PHASE_NS;
    TextPainter t = {
        .s = s, .m = m, .all = all, .row = ~0u, .first = -1,
        .cursor_on = !(phase & 1), .blink_on = !(phase & 2), .moved = all,
        .out = (uint8_t *)pixman_image_get_data(img), .stride = pixman_image_get_stride(img),
    };

    t.cursor_turns = t.cursor_on != s->phase_cursor;
    t.blink_turns = t.blink_on != s->phase_blink;
    s->phase_cursor = t.cursor_on;
    s->phase_blink = t.blink_on;
    choose_fonts(s, t.font);
    for (unsigned n = 0; n < 16; n++) {
        t.color[n] = vga_color16(s, n);
    }
    vga_for_lines(m, draw_line, &t);
    end_run(&t, m->height);
    if (t.has_cursor || t.has_blink) {
        tell_blinking(&t, t.has_cursor ? phase + 1 : (phase | 1) + 1);
    }
}

bool vga_text_cells(void *opaque, uint16_t *cells, unsigned max, unsigned *cols, unsigned *rows,
                    unsigned *cursor)
{
    VGA *s = opaque;
    VGAMode m;
    unsigned at;

    memory_flush_coalesced();
    vga_get_mode(s, &m);
    if (m.kind != VGA_TEXT) {
        return false;
    }
    *cols = m.chars;
    *rows = m.height / ((m.max_scan + 1) << m.doubled);
    at = ((s->cr[CR_CURSOR_HI] << 8 | s->cr[CR_CURSOR_LO]) - m.start) & m.wrap;
    *cursor = m.offset && at % m.offset < m.chars && at / m.offset < *rows
              && !(s->cr[CR_CURSOR_START] & 0x20) ? at / m.offset * m.chars + at % m.offset : ~0u;
    for (unsigned n = 0; n < *cols * *rows && n < max; n++) {
        uint32_t offset = m.start + n / m.chars * m.offset + n % m.chars;
        cells[n] = ld16_le(s->mem + 4 * (size_t)(offset & m.wrap));
    }
    return true;
}
