/* SPDX-License-Identifier: MIT */
/*
 * VNC: pixels in the client's format (RFC 6143, 7.4).
 *
 * A client without true colour gets a palette of 3 bits red, 3 green, 2 blue, once, and pixels
 * that index it.
 */
#include "ui/vnc-int.h"

#include <string.h>

void vnc_default_format(PixelFormat *pf)
{
    *pf = (PixelFormat) {
        .bpp = 32, .depth = 24, .true_color = true, .big_endian = G_BYTE_ORDER == G_BIG_ENDIAN,
        .max = { 255, 255, 255 }, .shift = { 16, 8, 0 },
    };
}

bool vnc_check_format(const PixelFormat *pf)
{
    if (pf->bpp != 8 && pf->bpp != 16 && pf->bpp != 32) {
        return false;
    }
    if (!pf->true_color) {
        return pf->bpp == 8;
    }
    for (int i = 0; i < 3; i++) {
        /* a maximum is a power of two less one, and lies inside the pixel */
        if (!pf->max[i] || (pf->max[i] & (pf->max[i] + 1)) || pf->shift[i] >= pf->bpp
            || (uint64_t)pf->max[i] << pf->shift[i] >> pf->bpp) {
            return false;
        }
    }
    return true;
}

static void send_palette(VncClient *c)
{
    vnc_send_u8(c, 1);                  /* SetColourMapEntries */
    vnc_send_u8(c, 0);
    vnc_send_u16(c, 0);
    vnc_send_u16(c, 256);
    for (unsigned i = 0; i < 256; i++) {
        vnc_send_u16(c, (i & 7) * 65535 / 7);
        vnc_send_u16(c, (i >> 3 & 7) * 65535 / 7);
        vnc_send_u16(c, (i >> 6 & 3) * 65535 / 3);
    }
}

void vnc_set_format(VncClient *c, const PixelFormat *pf)
{
    PixelFormat *f = &c->pf;

    *f = *pf;
    if (!f->true_color) {
        f->depth = 8;
        f->max[0] = f->max[1] = 7;
        f->max[2] = 3;
        f->shift[0] = 0;
        f->shift[1] = 3;
        f->shift[2] = 6;
        send_palette(c);
    }
    for (int i = 0; i < 3; i++) {
        for (unsigned v = 0; v < 256; v++) {
            /* rounded down for short fields, spread for those of more than 8 bits */
            uint32_t n = f->max[i] <= 255 ? v * (f->max[i] + 1u) >> 8 : v * f->max[i] / 255u;
            c->lut[i][v] = n << f->shift[i];
        }
    }
    c->rgb888 = f->bpp == 32 && f->depth == 24 && f->true_color && f->max[0] == 255
                && f->max[1] == 255 && f->max[2] == 255;
}

static void put_host(const VncClient *c, uint8_t *p, uint32_t v)
{
    switch (c->pf.bpp) {
    case 8:
        p[0] = v;
        break;
    case 16:
        p[0] = c->pf.big_endian ? v >> 8 : v;
        p[1] = c->pf.big_endian ? v : v >> 8;
        break;
    default:
        for (int i = 0; i < 4; i++) {
            p[i] = v >> (c->pf.big_endian ? 24 - 8 * i : 8 * i);
        }
    }
}

static uint8_t *grow(GByteArray *out, size_t n)
{
    guint at = out->len;
    g_byte_array_set_size(out, at + n);
    return out->data + at;
}

/* The host's own format needs no look-up. */
static bool is_native(const PixelFormat *f)
{
    return f->bpp == 32 && f->big_endian == (G_BYTE_ORDER == G_BIG_ENDIAN) && f->true_color
           && f->max[0] == 255 && f->max[1] == 255 && f->max[2] == 255 && f->shift[0] == 16
           && f->shift[1] == 8 && f->shift[2] == 0;
}

void vnc_put_pixels(const VncClient *c, GByteArray *out, const uint32_t *rgb, unsigned n)
{
    unsigned bytes = c->pf.bpp / 8;
    uint8_t *p = grow(out, (size_t)n * bytes);

    if (is_native(&c->pf)) {
        memcpy(p, rgb, (size_t)n * 4);
        return;
    }
    for (unsigned i = 0; i < n; i++, p += bytes) {
        put_host(c, p, vnc_pixel(c, rgb[i]));
    }
}

bool vnc_cpixel_is_short(const VncClient *c, unsigned *first_byte)
{
    const PixelFormat *f = &c->pf;
    uint32_t used = 0;

    if (f->bpp != 32 || f->depth > 24 || !f->true_color) {
        return false;
    }
    for (int i = 0; i < 3; i++) {
        used |= (uint32_t)f->max[i] << f->shift[i];
    }
    if (!(used & 0xff000000)) {
        *first_byte = f->big_endian ? 1 : 0;
        return true;
    }
    *first_byte = f->big_endian ? 0 : 1;
    return !(used & 0xff);
}

void vnc_put_cpixels(const VncClient *c, GByteArray *out, const uint32_t *rgb, unsigned n)
{
    unsigned first;

    if (!vnc_cpixel_is_short(c, &first)) {
        vnc_put_pixels(c, out, rgb, n);
        return;
    }
    uint8_t *p = grow(out, (size_t)n * 3), four[4];
    for (unsigned i = 0; i < n; i++, p += 3) {
        put_host(c, four, vnc_pixel(c, rgb[i]));
        memcpy(p, four + first, 3);
    }
}

void vnc_put_tpixels(const VncClient *c, GByteArray *out, const uint32_t *rgb, unsigned n)
{
    if (!c->rgb888) {
        vnc_put_pixels(c, out, rgb, n);
        return;
    }
    uint8_t *p = grow(out, (size_t)n * 3);
    for (unsigned i = 0; i < n; i++, p += 3) {
        p[0] = rgb[i] >> 16;
        p[1] = rgb[i] >> 8;
        p[2] = rgb[i];
    }
}
