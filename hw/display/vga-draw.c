/* SPDX-License-Identifier: MIT */
/*
 * From VGA memory to the console's surface: what mode the registers describe, the walk over
 * scan lines as the CRT controller does it, and the graphics modes.  Text: vga-text.c.
 *
 * Source: IBM PS/2 Hardware Interface Technical Reference, "Video Subsystem": CRT controller,
 * shift modes of the graphics controller.
 *
 * Pictures have the size the monitor showed: modes with half the dot clock or two clocks a
 * pixel come out doubled, as scan lines that are shown twice do.
 */
#include "hw/display/vga.h"
#include "util/bits.h"

#define PLANAR_MASK 0xffff          /* planar offsets of the VGA proper: 4 planes of 64 KiB */

/* ---- the mode ------------------------------------------------------------------------ */

static unsigned get_overflow(const VGA *s, uint8_t low, unsigned bit8, unsigned bit9)
{
    uint8_t o = s->cr[CR_OVERFLOW];
    return low | (o >> bit8 & 1) << 8 | (o >> bit9 & 1) << 9;
}

static void get_vbe(const VGA *s, VGAMode *m)
{
    const uint16_t *r = s->vbe;
    unsigned pitch = vga_vbe_pitch(s), start;

    m->width = r[VBE_XRES];
    m->height = r[VBE_YRES];
    m->line_compare = ~0u;
    start = r[VBE_Y_OFFSET] * pitch;
    if (r[VBE_BPP] == 4) {
        m->kind = VGA_PLANAR;
        m->dots = 8;
        m->chars = m->width / 8;
        m->start = (start + r[VBE_X_OFFSET] / 2) / 4;
        m->offset = pitch / 4;
        m->pan = r[VBE_X_OFFSET] & 7;
        m->wrap = s->mem_size / 4 - 1;
        return;
    }
    m->kind = VGA_LINEAR;
    m->bpp = r[VBE_BPP];
    m->start = start + r[VBE_X_OFFSET] * (m->bpp == 15 ? 16 : m->bpp) / 8;
    m->offset = pitch;
    m->wrap = s->mem_size - 1;
    m->big_endian = s->big_endian;
}

static VGAKind get_kind(const VGA *s)
{
    if (!(s->ar_index & AR_INDEX_ON) || (s->sr[SR_CLOCKING] & SR1_SCREEN_OFF)) {
        return VGA_BLANK;
    }
    if (!(s->gr[GR_MISC] & GR6_GRAPHICS)) {
        return VGA_TEXT;
    }
    return s->gr[GR_MODE] & GR5_256 ? VGA_256
         : s->gr[GR_MODE] & GR5_INTERLEAVE ? VGA_CGA : VGA_PLANAR;
}

/* Attribute register 13h counts pixels, but differently in nine-dot and in 256 colour modes. */
static unsigned get_pan(const VGA *s, const VGAMode *m)
{
    unsigned pan = s->ar[AR_PANNING] & 15;

    if (m->kind == VGA_256) {
        return pan & 6;
    }
    if (m->dots == 9) {
        return pan >= 8 ? 0 : pan + 1;
    }
    return (pan & 7) * (m->dots / 8);
}

static void get_vga(const VGA *s, VGAMode *m)
{
    bool half = s->sr[SR_CLOCKING] & SR1_HALF_CLOCK;
    unsigned lines = get_overflow(s, s->cr[CR_VDISPLAY_END], 1, 6) + 1;
    unsigned compare = get_overflow(s, s->cr[CR_LINE_COMPARE], 4, 4) & 0x1ff;

    m->kind = get_kind(s);
    if (m->kind == VGA_TEXT && !half && !(s->sr[SR_CLOCKING] & SR1_8_DOTS)) {
        m->dots = 9;
    } else {
        m->dots = half ? 16 : 8;
    }
    m->chars = s->cr[CR_HDISPLAY_END] + 1;
    m->width = m->chars * m->dots;
    m->height = s->cr[CR_MODE] & CR17_HALF_LINES ? 2 * lines : lines;
    m->max_scan = s->cr[CR_MAX_SCAN] & 31;
    m->doubled = s->cr[CR_MAX_SCAN] & 0x80;
    m->preset = s->cr[CR_PRESET_ROW] & 31;
    m->start = (s->cr[CR_START_HI] << 8 | s->cr[CR_START_LO]) + (s->cr[CR_PRESET_ROW] >> 5 & 3);
    m->offset = 2 * s->cr[CR_OFFSET];
    m->line_compare = compare | (s->cr[CR_MAX_SCAN] & 0x40) << 3;
    m->pan = get_pan(s, m);
    m->wrap = PLANAR_MASK;
}

void vga_get_mode(const VGA *s, VGAMode *m)
{
    memset(m, 0, sizeof(*m));           /* modes are compared as bytes */
    if (vga_vbe_on(s)) {
        get_vbe(s, m);
        m->kind = get_kind(s) == VGA_BLANK ? VGA_BLANK : m->kind;
    } else if (!s->ext || !s->ext->get_mode || !s->ext->get_mode(s, m)) {
        get_vga(s, m);
    } else if (!(s->ar_index & AR_INDEX_ON)) {
        m->kind = VGA_BLANK;            /* SR1 does not count: the Cirrus BIOS leaves it set */
    }
}

/* ---- scan lines ---------------------------------------------------------------------- */

void vga_for_lines(const VGAMode *m, void (*fn)(void *opaque, const VGALine *l), void *opaque)
{
    VGALine l = { .row_scan = m->preset, .pan = m->pan, .base = m->start };
    bool again = m->doubled;

    for (l.y = 0; l.y < m->height; l.y++) {
        fn(opaque, &l);
        if (l.y == m->line_compare) {   /* the split: from here on memory's beginning */
            l = (VGALine) { .y = l.y, .row = l.row + 1 };
            again = m->doubled;
        } else if (again) {
            again = false;
        } else {
            again = m->doubled;
            if (l.row_scan == m->max_scan) {
                l.row_scan = 0;
                l.row++;
                l.base += m->offset;
            } else {
                l.row_scan = (l.row_scan + 1) & 31;
            }
        }
    }
}

/* The CGA's and the Hercules' interleaved lines: row scan bits in place of address bits.
 * In word mode (see vga.h) our offsets are half the chip's addresses, in doubleword mode a
 * quarter. */
static uint32_t swizzle(const VGA *s, uint32_t offset, unsigned row_scan)
{
    unsigned shift = s->cr[CR_UNDERLINE] & CR14_DWORD_MODE ? 2
                   : s->cr[CR_MODE] & CR17_BYTE_MODE ? 0 : 1;

    if (!(s->cr[CR_MODE] & CR17_ROW0_A13)) {
        offset = deposit32(offset, 13 - shift, 1, row_scan);
    }
    if (!(s->cr[CR_MODE] & CR17_ROW1_A14)) {
        offset = deposit32(offset, 14 - shift, 1, row_scan >> 1);
    }
    return offset;
}

/* ---- colours ------------------------------------------------------------------------- */

static uint32_t dac_color(const VGA *s, unsigned n)
{
    const uint8_t *c = s->dac + 3 * n;
    uint32_t rgb = 0;

    for (int i = 0; i < 3; i++) {
        uint8_t v = c[i];
        if (!(s->vbe[VBE_ENABLE] & VBE_8BIT_DAC)) {
            v = (v & 0x3f) << 2 | (v & 1) << 1 | (v & 1);
        }
        rgb = rgb << 8 | v;
    }
    return rgb;
}

static void update_palette(VGA *s)
{
    for (unsigned n = 0; n < 256; n++) {
        s->palette[n] = dac_color(s, n & s->dac_mask);
    }
    s->palette_dirty = false;
}

uint32_t vga_color16(const VGA *s, unsigned n)
{
    uint8_t v = s->ar[n & s->ar[AR_PLANES] & 15], select = s->ar[AR_COLOR_SELECT];

    if (s->ar[AR_MODE] & AR10_PALETTE_HI) {
        return s->palette[(select & 15) << 4 | (v & 15)];
    }
    return s->palette[(select & 12) << 4 | (v & 63)];
}

/* ---- one scan line of VGA graphics --------------------------------------------------- */

typedef struct Painter {
    VGA *s;
    const VGAMode *m;
    bool all;
    uint32_t color[16];
    uint8_t *out;                       /* the surface */
    unsigned stride;
    int first;                          /* line of the run being collected, -1 = none */
} Painter;

static void emit(uint32_t **p, uint32_t color, unsigned times)
{
    while (times--) {
        *(*p)++ = color;
    }
}

/* Eight pixels of a bit from each plane. */
static void paint_planar(const Painter *pt, uint32_t word, uint32_t **p)
{
    for (int bit = 7; bit >= 0; bit--) {
        uint32_t w = word >> bit & 0x01010101;
        emit(p, pt->color[(w | w >> 7 | w >> 14 | w >> 21) & 15], pt->m->dots / 8);
    }
}

/* Two-bit pixels: four from plane 0 with two more bits from plane 2, then planes 1 and 3. */
static void paint_cga(const Painter *pt, uint32_t word, uint32_t **p)
{
    for (unsigned plane = 0; plane < 2; plane++) {
        unsigned low = word >> 8 * plane, high = word >> (16 + 8 * plane);
        for (int shift = 6; shift >= 0; shift -= 2) {
            emit(p, pt->color[(low >> shift & 3) | (high >> shift & 3) << 2], pt->m->dots / 8);
        }
    }
}

static void paint_256(const Painter *pt, uint32_t word, uint32_t **p)
{
    for (unsigned plane = 0; plane < 4; plane++) {
        emit(p, pt->s->palette[word >> 8 * plane & 0xff], pt->m->dots / 4);
    }
}

/* Was anything in these planar offsets stored to? */
static bool planar_dirty(const Painter *pt, uint32_t from, unsigned words)
{
    uint32_t mask = pt->m->wrap;

    for (unsigned n = 0; n < words + GUEST_PAGE_SIZE / 4; n += GUEST_PAGE_SIZE / 4) {
        uint32_t page = ((from + MIN(n, words - 1)) & mask) * 4 / GUEST_PAGE_SIZE;
        if (pt->s->dirty[page / (8 * sizeof(long))] >> page % (8 * sizeof(long)) & 1) {
            return true;
        }
    }
    return false;
}

static void end_run(Painter *pt, int y)
{
    if (pt->first >= 0) {
        console_update(pt->s->console, 0, pt->first, pt->m->width, y - pt->first);
        pt->first = -1;
    }
}

static void paint_line(void *opaque, const VGALine *l)
{
    Painter *pt = opaque;
    VGA *s = pt->s;
    const VGAMode *m = pt->m;
    /* without clock halving, dots is 8; panning shows part of one more character */
    unsigned words = m->chars + (l->pan ? 1 : 0);
    uint32_t at = swizzle(s, l->base & m->wrap, l->row_scan), *p = s->line;

    if (!pt->all && !planar_dirty(pt, at, words)) {
        end_run(pt, l->y);
        return;
    }
    if (pt->first < 0) {
        pt->first = l->y;
    }
    for (unsigned c = 0; c < words; c++) {
        uint32_t word = ld32_le(s->mem + 4 * (size_t)((at + c) & m->wrap));
        if (m->kind == VGA_PLANAR) {
            paint_planar(pt, word, &p);
        } else if (m->kind == VGA_CGA) {
            paint_cga(pt, word, &p);
        } else {
            paint_256(pt, word, &p);
        }
    }
    memcpy(pt->out + (size_t)l->y * pt->stride, s->line + l->pan, 4 * m->width);
}

/* ---- one line of the linear frame buffer --------------------------------------------- */

static uint32_t rgb565(uint16_t v)
{
    unsigned r = v >> 11, g = v >> 5 & 63, b = v & 31;
    return (r << 3 | r >> 2) << 16 | (g << 2 | g >> 4) << 8 | (b << 3 | b >> 2);
}

static uint32_t rgb555(uint16_t v)
{
    unsigned r = v >> 10 & 31, g = v >> 5 & 31, b = v & 31;
    return (r << 3 | r >> 2) << 16 | (g << 3 | g >> 2) << 8 | (b << 3 | b >> 2);
}

static void convert_line(const VGA *s, const VGAMode *m, const uint8_t *src, uint32_t *dst)
{
    for (unsigned x = 0; x < m->width; x++) {
        switch (m->bpp) {
        case 8:
            dst[x] = s->palette[src[x]];
            break;
        case 15:
            dst[x] = rgb555(m->big_endian ? ld16_be(src + 2 * x) : ld16_le(src + 2 * x));
            break;
        case 16:
            dst[x] = rgb565(m->big_endian ? ld16_be(src + 2 * x) : ld16_le(src + 2 * x));
            break;
        case 24: {
            const uint8_t *b = src + 3 * x;
            dst[x] = m->big_endian ? b[0] << 16 | b[1] << 8 | b[2] : b[2] << 16 | b[1] << 8 | b[0];
            break;
        }
        default:
            dst[x] = (m->big_endian ? ld32_be(src + 4 * x) : ld32_le(src + 4 * x)) & 0xffffff;
        }
    }
}

static bool linear_dirty(const VGA *s, uint32_t from, uint32_t len)
{
    if (from + (uint64_t)len > s->mem_size) {
        len = s->mem_size - from;       /* the rest is at the beginning: seldom, so look there, too */
        if (s->dirty[0] & 7) {
            return true;
        }
    }
    for (uint32_t page = from / GUEST_PAGE_SIZE; page <= (from + len - 1) / GUEST_PAGE_SIZE; page++) {
        if (s->dirty[page / (8 * sizeof(long))] >> page % (8 * sizeof(long)) & 1) {
            return true;
        }
    }
    return false;
}

/* Does the picture lie in one piece? */
static bool in_one_piece(const VGAMode *m)
{
    uint64_t last = (uint64_t)m->offset * (m->height - 1) + m->width * ((m->bpp + 7) / 8);
    return m->start + last <= (uint64_t)m->wrap + 1;
}

/* A line that goes on at the beginning of the memory. */
static void convert_wrapped(const VGA *s, const VGAMode *m, uint32_t at, unsigned len, uint32_t *dst)
{
    g_autofree uint8_t *src = g_malloc(len);
    uint32_t first = MIN(len, m->wrap - at + 1);

    memcpy(src, s->mem + at, first);
    memcpy(src + first, s->mem, len - first);
    convert_line(s, m, src, dst);
}

static void draw_linear_line(Painter *pt, unsigned y, uint32_t at, unsigned len)
{
    VGA *s = pt->s;
    const VGAMode *m = pt->m;
    uint32_t *dst = (uint32_t *)(void *)(pt->out + (size_t)y * pt->stride);

    if (at + (uint64_t)len <= (uint64_t)m->wrap + 1) {
        convert_line(s, m, s->mem + at, dst);
    } else {
        convert_wrapped(s, m, at, len, dst);
    }
    if (y >= s->cursor_first && y < s->cursor_end) {
        s->ext->draw_cursor(s, y, dst, m->width);
    }
}

/* Lines that show a cursor or did are drawn anew when it changed. */
typedef struct CursorLines {
    unsigned first[2], end[2];
} CursorLines;

static CursorLines look_at_cursor(VGA *s)
{
    CursorLines l = { .first = { s->cursor_first, 0 }, .end = { s->cursor_end, 0 } };
    bool changed = false;

    s->cursor_first = s->cursor_end = 0;
    if (s->ext && s->ext->cursor_lines) {
        s->ext->cursor_lines(s, &s->cursor_first, &s->cursor_end, &changed);
    }
    if (!changed) {
        return (CursorLines) { .first = { 0 } };
    }
    l.first[1] = s->cursor_first;
    l.end[1] = s->cursor_end;
    return l;
}

static void draw_linear(Painter *pt, const CursorLines *c)
{
    VGA *s = pt->s;
    const VGAMode *m = pt->m;
    unsigned len = m->width * ((m->bpp + 7) / 8);

    for (unsigned y = 0; y < m->height; y++) {
        uint32_t at = (m->start + y * m->offset) & m->wrap;
        bool again = (y >= c->first[0] && y < c->end[0]) || (y >= c->first[1] && y < c->end[1]);
        if (!pt->all && !again && !linear_dirty(s, at, len)) {
            end_run(pt, y);
            continue;
        }
        if (pt->first < 0) {
            pt->first = y;
        }
        if (!s->direct) {
            draw_linear_line(pt, y, at, len);
        }
    }
    end_run(pt, m->height);
}

/* ---- refresh ------------------------------------------------------------------------- */

/* The guest's pixels are the surface's as they are. */
static bool can_share(const VGA *s, const VGAMode *m)
{
    return !s->ext && m->kind == VGA_LINEAR && m->bpp == 32 && m->offset % 4 == 0 && m->start % 4 == 0
           && m->big_endian == (G_BYTE_ORDER == G_BIG_ENDIAN);
}

static void switch_surface(VGA *s, const VGAMode *m)
{
    pixman_image_t *now = console_surface(s->console);

    if (s->direct) {
        pixman_image_unref(s->direct);
        s->direct = NULL;
        now = NULL;                     /* of another picture's memory */
    }
    if (can_share(s, m)) {
        s->direct = pixman_image_create_bits(PIXMAN_x8r8g8b8, m->width, m->height,
                                             (uint32_t *)(s->mem + m->start), m->offset);
    }
    if (s->direct) {
        console_set_surface(s->console, s->direct);
    } else if (!now || (unsigned)pixman_image_get_width(now) != m->width
               || (unsigned)pixman_image_get_height(now) != m->height) {
        console_resize(s->console, m->width, m->height);
    }
    s->line = g_renew(uint32_t, s->line, m->width + 64);
    g_free(s->cells);
    s->cells = m->kind == VGA_TEXT ? g_new0(uint32_t, (m->height + 2) * (m->chars + 1)) : NULL;
}

/* Bring the bits of what the mode shows into s->dirty, at their place. */
static bool look_at_dirty(VGA *s, const VGAMode *m)
{
    uint64_t off = 0, len = MIN((uint64_t)(m->wrap + 1ull) * 4, s->mem_size);

    if (m->kind == VGA_LINEAR && !in_one_piece(m)) {
        len = s->mem_size;
    } else if (m->kind == VGA_LINEAR) {
        /* from a page whose bit is the first of a word of the bitmap */
        off = m->start & ~(uint64_t)(8 * sizeof(long) * GUEST_PAGE_SIZE - 1);
        len = (uint64_t)m->start + (uint64_t)m->offset * m->height - off;
    }
    return dirty_snapshot(&s->vram, DIRTY_VGA, off, MIN(len, s->mem_size - off),
                          s->dirty + off / GUEST_PAGE_SIZE / (8 * sizeof(long)));
}

static void draw_blank(VGA *s, const VGAMode *m)
{
    pixman_image_t *img = console_surface(s->console);

    memset(pixman_image_get_data(img), 0,
           (size_t)pixman_image_get_stride(img) * pixman_image_get_height(img));
    console_update(s->console, 0, 0, m->width, m->height);
}

static void draw_graphics(VGA *s, const VGAMode *m, bool all)
{
    pixman_image_t *img = console_surface(s->console);
    Painter pt = {
        .s = s, .m = m, .all = all, .out = (uint8_t *)pixman_image_get_data(img),
        .stride = pixman_image_get_stride(img), .first = -1,
    };

    CursorLines cursor = look_at_cursor(s);

    if (!look_at_dirty(s, m) && !all && !cursor.end[0] && !cursor.end[1]) {
        return;
    }
    for (unsigned n = 0; n < 16; n++) {
        pt.color[n] = vga_color16(s, n);
    }
    if (m->kind == VGA_LINEAR) {
        draw_linear(&pt, &cursor);
    } else {
        vga_for_lines(m, paint_line, &pt);
        end_run(&pt, m->height);
    }
}

static void vga_refresh(void *opaque)
{
    VGA *s = opaque;
    VGAMode m;
    bool all, new_mode;

    memory_flush_coalesced();
    all = s->redraw || s->palette_dirty;
    vga_get_mode(s, &m);
    if (m.kind == VGA_BLANK) {
        /* black, in the size that was: the registers may say anything by now */
        pixman_image_t *img = console_surface(s->console);
        memset(&m, 0, sizeof(m));
        m.width = pixman_image_get_width(img);
        m.height = pixman_image_get_height(img);
    }
    new_mode = memcmp(&m, &s->mode, sizeof(m));
    if (s->palette_dirty) {
        update_palette(s);
    }
    if (new_mode) {
        switch_surface(s, &m);
        s->mode = m;
        all = true;
    }
    s->redraw = false;
    if (m.kind == VGA_TEXT) {
        all |= s->font_dirty;
        if (look_at_dirty(s, &m) || all) {
            s->font_dirty = false;
        }
        vga_draw_text(s, &m, all);
    } else if (m.kind == VGA_BLANK) {
        if (all) {
            draw_blank(s, &m);
        }
    } else {
        draw_graphics(s, &m, all);
    }
}

void vga_show_again(VGA *s)
{
    memset(&s->mode, 0, sizeof(s->mode));
    g_clear_pointer(&s->direct, pixman_image_unref);
    s->redraw = true;
}

static void vga_invalidate(void *opaque)
{
    ((VGA *)opaque)->redraw = true;
}

const ConsoleOps vga_console_ops = {
    .refresh = vga_refresh, .invalidate = vga_invalidate, .text = vga_text_cells,
};
