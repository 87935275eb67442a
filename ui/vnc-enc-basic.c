/* SPDX-License-Identifier: MIT */
/*
 * VNC encodings without memory: Raw, RRE, Hextile (RFC 6143, 7.7).
 */
#include "ui/vnc-int.h"

#include <string.h>

void vnc_encode_raw(VncClient *c, const VncRect *r)
{
    vnc_rect_header(c, r->x, r->y, r->w, r->h, ENC_RAW);
    for (int y = 0; y < r->h; y++) {
        vnc_put_pixels(c, c->out, vnc_row(r, y), r->w);
    }
}

static void put16(GByteArray *a, unsigned v)
{
    uint8_t b[2] = { v >> 8, v };
    g_byte_array_append(a, b, 2);
}

/* Marks of pixels that a subrectangle covers already. */
typedef struct Cover {
    uint64_t bits[RECT_PIXELS / 64];
} Cover;

static bool covered(const Cover *k, unsigned n)
{
    return k->bits[n / 64] >> n % 64 & 1;
}

/* The rectangle of one colour that begins at (x, y): as wide as it goes, then as high. */
static void extend(const VncRect *r, Cover *k, int x, int y, int *w, int *h)
{
    uint32_t color = vnc_row(r, y)[x];
    int x2 = x + 1, y2 = y + 1;

    while (x2 < r->w && vnc_row(r, y)[x2] == color && !covered(k, y * r->w + x2)) {
        x2++;
    }
    for (; y2 < r->h; y2++) {
        const uint32_t *row = vnc_row(r, y2);
        int i = x;
        while (i < x2 && row[i] == color && !covered(k, y2 * r->w + i)) {
            i++;
        }
        if (i < x2) {
            break;
        }
    }
    for (int j = y; j < y2; j++) {
        for (int i = x; i < x2; i++) {
            unsigned n = j * r->w + i;
            k->bits[n / 64] |= 1ull << n % 64;
        }
    }
    *w = x2 - x;
    *h = y2 - y;
}

/* The commoner of the colours in a sample. */
static uint32_t background(const VncRect *r)
{
    uint32_t color[4];
    unsigned count[4] = { 0 }, n = 0, best = 0;

    for (int y = 0; y < r->h; y += MAX(r->h / 8, 1)) {
        for (int x = 0; x < r->w; x += MAX(r->w / 16, 1)) {
            uint32_t p = vnc_row(r, y)[x];
            unsigned i = 0;
            while (i < n && color[i] != p) {
                i++;
            }
            if (i == n && n < 4) {
                color[n++] = p;
            }
            if (i < 4) {
                count[i]++;
            }
        }
    }
    for (unsigned i = 1; i < n; i++) {
        best = count[i] > count[best] ? i : best;
    }
    return color[best];
}

void vnc_encode_rre(VncClient *c, const VncRect *r)
{
    g_autofree Cover *k = g_new0(Cover, 1);
    uint32_t bg = background(r), count = 0;
    guint limit = r->w * r->h * c->pf.bpp / 8;
    GByteArray *out = c->scratch;

    g_byte_array_set_size(out, 4);
    vnc_put_pixel(c, out, bg);
    for (int y = 0; y < r->h && out->len < limit; y++) {
        for (int x = 0; x < r->w; x++) {
            uint32_t color = vnc_row(r, y)[x];
            int w, h;
            if (color == bg || covered(k, y * r->w + x)) {
                continue;
            }
            extend(r, k, x, y, &w, &h);
            vnc_put_pixel(c, out, color);
            put16(out, x);
            put16(out, y);
            put16(out, w);
            put16(out, h);
            count++;
        }
    }
    if (out->len >= limit) {
        vnc_encode_raw(c, r);
        return;
    }
    out->data[0] = count >> 24;
    out->data[1] = count >> 16;
    out->data[2] = count >> 8;
    out->data[3] = count;
    vnc_rect_header(c, r->x, r->y, r->w, r->h, ENC_RRE);
    vnc_send(c, out->data, out->len);
}

/* ---- Hextile ------------------------------------------------------------------------- */

enum { HEX_RAW = 1, HEX_BACKGROUND = 2, HEX_FOREGROUND = 4, HEX_SUBRECTS = 8, HEX_COLOURED = 16 };

typedef struct Hextile {
    uint32_t bg, fg;                    /* of the tile before */
    bool has_bg, has_fg;
} Hextile;

/* How many colours has the tile: 1, 2, or 3 for more; bg is the commoner of the first two. */
static unsigned count_colors(const VncRect *t, uint32_t *bg, uint32_t *fg)
{
    unsigned n = 0, n_bg = 0, n_fg = 0;

    for (int y = 0; y < t->h; y++) {
        const uint32_t *row = vnc_row(t, y);
        for (int x = 0; x < t->w; x++) {
            if (n == 0) {
                *bg = row[x];
                n = 1;
            }
            if (row[x] == *bg) {
                n_bg++;
            } else if (n == 1 || row[x] == *fg) {
                *fg = row[x];
                n = MAX(n, 2u);
                n_fg++;
            } else {
                n = 3;
            }
        }
    }
    if (n_fg > n_bg) {
        uint32_t swap = *bg;
        *bg = *fg;
        *fg = swap;
    }
    return n;
}

static void hextile_raw(VncClient *c, Hextile *state, const VncRect *t)
{
    vnc_send_u8(c, HEX_RAW);
    for (int y = 0; y < t->h; y++) {
        vnc_put_pixels(c, c->out, vnc_row(t, y), t->w);
    }
    state->has_bg = state->has_fg = false;
}

/* The subrectangles; false if raw is shorter. */
static bool hextile_subrects(VncClient *c, const VncRect *t, uint32_t bg, bool colored)
{
    Cover k = { { 0 } };
    GByteArray *out = c->scratch;
    guint limit = t->w * t->h * c->pf.bpp / 8;
    uint8_t count = 0;

    g_byte_array_set_size(out, 1);
    for (int y = 0; y < t->h; y++) {
        for (int x = 0; x < t->w; x++) {
            int w, h;
            if (vnc_row(t, y)[x] == bg || covered(&k, y * t->w + x)) {
                continue;
            }
            extend(t, &k, x, y, &w, &h);
            if (colored) {
                vnc_put_pixel(c, out, vnc_row(t, y)[x]);
            }
            uint8_t box[2] = { x << 4 | y, (w - 1) << 4 | (h - 1) };
            g_byte_array_append(out, box, 2);
            if (out->len >= limit || ++count == 255) {
                return false;
            }
        }
    }
    out->data[0] = count;
    return true;
}

static void hextile_tile(VncClient *c, Hextile *state, const VncRect *t)
{
    uint32_t bg = 0, fg = 0;
    unsigned colors = count_colors(t, &bg, &fg);
    uint8_t mask = 0;

    if (colors > 1 && !hextile_subrects(c, t, bg, colors > 2)) {
        hextile_raw(c, state, t);
        return;
    }
    mask |= !state->has_bg || state->bg != bg ? HEX_BACKGROUND : 0;
    if (colors == 2) {
        mask |= HEX_SUBRECTS | (!state->has_fg || state->fg != fg ? HEX_FOREGROUND : 0);
    } else if (colors > 2) {
        mask |= HEX_SUBRECTS | HEX_COLOURED;
    }
    vnc_send_u8(c, mask);
    if (mask & HEX_BACKGROUND) {
        vnc_put_pixel(c, c->out, bg);
    }
    if (mask & HEX_FOREGROUND) {
        vnc_put_pixel(c, c->out, fg);
    }
    if (mask & HEX_SUBRECTS) {
        vnc_send(c, c->scratch->data, c->scratch->len);
    }
    state->bg = bg;
    state->has_bg = true;
    if (colors == 2) {
        state->fg = fg;
        state->has_fg = true;
    } else if (colors > 2) {
        state->has_fg = false;          /* coloured subrectangles leave none */
    }
}

void vnc_encode_hextile(VncClient *c, const VncRect *r)
{
    Hextile state = { 0 };

    vnc_rect_header(c, r->x, r->y, r->w, r->h, ENC_HEXTILE);
    for (int y = 0; y < r->h; y += 16) {
        for (int x = 0; x < r->w; x += 16) {
            VncRect t = { x, y, MIN(16, r->w - x), MIN(16, r->h - y),
                          r->data + (size_t)y * r->stride + 4 * x, r->stride };
            hextile_tile(c, &state, &t);
        }
    }
}
