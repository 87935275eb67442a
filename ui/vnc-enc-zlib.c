/* SPDX-License-Identifier: MIT */
/*
 * VNC encodings on a zlib stream that lasts as long as the connection: Zlib and ZRLE (RFC 6143,
 * 7.7.6).
 */
#include "ui/vnc-int.h"

#include <string.h>

void vnc_deflate(VncZlib *z, int level, const uint8_t *data, size_t len, GByteArray *out)
{
    level = level < 0 ? 2 : level;      /* quick, unless the client says otherwise */
    if (!z->open) {
        z->z = (z_stream) { 0 };
        if (deflateInit2(&z->z, level, Z_DEFLATED, 15, 8, Z_DEFAULT_STRATEGY) != Z_OK) {
            g_error("deflateInit: out of memory");
        }
        z->open = true;
        z->level = level;
    } else if (z->level != level) {
        /* the stream goes on; what it has pending is nothing after a flush */
        uint8_t none[16];
        z->z.next_in = NULL;
        z->z.avail_in = 0;
        z->z.next_out = none;
        z->z.avail_out = sizeof(none);
        deflateParams(&z->z, level, Z_DEFAULT_STRATEGY);
        g_byte_array_append(out, none, sizeof(none) - z->z.avail_out);
        z->level = level;
    }
    z->z.next_in = (Bytef *)data;
    z->z.avail_in = len;
    do {
        guint at = out->len, room = MAX(len / 2, (size_t)1024);
        g_byte_array_set_size(out, at + room);
        z->z.next_out = out->data + at;
        z->z.avail_out = room;
        deflate(&z->z, Z_SYNC_FLUSH);
        g_byte_array_set_size(out, at + room - z->z.avail_out);
    } while (z->z.avail_out == 0);
}

void vnc_zlib_end(VncZlib *z)
{
    if (z->open) {
        deflateEnd(&z->z);
        z->open = false;
    }
}

/* Data behind a length of four bytes, deflated into the client's buffer. */
static void send_deflated(VncClient *c, VncZlib *z, const GByteArray *data)
{
    guint at;

    vnc_send_u32(c, 0);
    at = c->out->len;
    vnc_deflate(z, c->compress, data->data, data->len, c->out);
    guint n = c->out->len - at;
    for (int i = 0; i < 4; i++) {
        c->out->data[at - 4 + i] = n >> (24 - 8 * i);
    }
}

void vnc_encode_zlib(VncClient *c, const VncRect *r)
{
    g_byte_array_set_size(c->scratch, 0);
    for (int y = 0; y < r->h; y++) {
        vnc_put_pixels(c, c->scratch, vnc_row(r, y), r->w);
    }
    vnc_rect_header(c, r->x, r->y, r->w, r->h, ENC_ZLIB);
    send_deflated(c, &c->zlib, c->scratch);
}

/* ---- ZRLE ---------------------------------------------------------------------------- */

#define ZRLE_TILE       64
#define PALETTE_MAX     127

typedef struct Palette {
    uint32_t color[PALETTE_MAX];
    unsigned n;                         /* PALETTE_MAX + 1: too many */
} Palette;

static int palette_find(const Palette *p, uint32_t color)
{
    for (unsigned i = 0; i < p->n; i++) {
        if (p->color[i] == color) {
            return i;
        }
    }
    return -1;
}

/* The tile's colours, and how many runs it has when read row after row. */
static unsigned look_at_tile(const VncRect *t, Palette *p)
{
    unsigned runs = 0;
    uint32_t last = 0;

    p->n = 0;
    for (int y = 0; y < t->h; y++) {
        const uint32_t *row = vnc_row(t, y);
        for (int x = 0; x < t->w; x++) {
            if (runs && row[x] == last) {
                continue;
            }
            last = row[x];
            runs++;
            if (p->n <= PALETTE_MAX && palette_find(p, last) < 0) {
                if (p->n < PALETTE_MAX) {
                    p->color[p->n] = last;
                }
                p->n++;
            }
        }
    }
    return runs;
}

static void put8(GByteArray *out, uint8_t v)
{
    g_byte_array_append(out, &v, 1);
}

static void packed_palette(const VncRect *t, const Palette *p, GByteArray *out)
{
    unsigned bits = p->n == 2 ? 1 : p->n <= 4 ? 2 : 4;

    for (int y = 0; y < t->h; y++) {
        const uint32_t *row = vnc_row(t, y);
        unsigned byte = 0, used = 0;
        for (int x = 0; x < t->w; x++) {
            byte = byte << bits | palette_find(p, row[x]);
            used += bits;
            if (used == 8) {
                put8(out, byte);
                byte = used = 0;
            }
        }
        if (used) {
            put8(out, byte << (8 - used));
        }
    }
}

static void put_run(GByteArray *out, unsigned length)
{
    for (length--; length >= 255; length -= 255) {
        put8(out, 255);
    }
    put8(out, length);
}

/* Runs: of pixels, or (p) of indexes, of which single ones need no length. */
static void run_lengths(const VncClient *c, const VncRect *t, const Palette *p, GByteArray *out)
{
    int total = t->w * t->h;

    for (int at = 0; at < total;) {
        uint32_t color = vnc_row(t, at / t->w)[at % t->w];
        int end = at + 1;
        while (end < total && vnc_row(t, end / t->w)[end % t->w] == color) {
            end++;
        }
        if (p) {
            put8(out, palette_find(p, color) | (end - at > 1 ? 0x80 : 0));
        } else {
            vnc_put_cpixels(c, out, &color, 1);
        }
        if (!p || end - at > 1) {
            put_run(out, end - at);
        }
        at = end;
    }
}

static void zrle_tile(const VncClient *c, const VncRect *t, GByteArray *out)
{
    Palette p;
    unsigned runs = look_at_tile(t, &p), first, pixels = t->w * t->h;
    unsigned size = vnc_cpixel_is_short(c, &first) ? 3 : c->pf.bpp / 8;
    bool has_palette = p.n <= PALETTE_MAX;
    unsigned raw = pixels * size, plain_rle = runs * (size + 1);
    unsigned palette_rle = has_palette ? p.n * size + 2 * runs : ~0u;
    unsigned packed = p.n <= 16 ? p.n * size + pixels * (p.n == 2 ? 1 : p.n <= 4 ? 2 : 4) / 8 : ~0u;

    if (p.n == 1) {
        put8(out, 1);
        vnc_put_cpixels(c, out, p.color, 1);
    } else if (packed <= MIN(MIN(palette_rle, plain_rle), raw)) {
        put8(out, p.n);
        vnc_put_cpixels(c, out, p.color, p.n);
        packed_palette(t, &p, out);
    } else if (palette_rle <= MIN(plain_rle, raw)) {
        put8(out, 128 + p.n);
        vnc_put_cpixels(c, out, p.color, p.n);
        run_lengths(c, t, &p, out);
    } else if (plain_rle < raw) {
        put8(out, 128);
        run_lengths(c, t, NULL, out);
    } else {
        put8(out, 0);
        for (int y = 0; y < t->h; y++) {
            vnc_put_cpixels(c, out, vnc_row(t, y), t->w);
        }
    }
}

void vnc_encode_zrle(VncClient *c, const VncRect *r)
{
    g_byte_array_set_size(c->scratch, 0);
    for (int y = 0; y < r->h; y += ZRLE_TILE) {
        for (int x = 0; x < r->w; x += ZRLE_TILE) {
            VncRect t = { x, y, MIN(ZRLE_TILE, r->w - x), MIN(ZRLE_TILE, r->h - y),
                          r->data + (size_t)y * r->stride + 4 * x, r->stride };
            zrle_tile(c, &t, c->scratch);
        }
    }
    vnc_rect_header(c, r->x, r->y, r->w, r->h, ENC_ZRLE);
    send_deflated(c, &c->zrle, c->scratch);
}
