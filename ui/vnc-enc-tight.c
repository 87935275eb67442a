/* SPDX-License-Identifier: MIT */
/*
 * VNC encoding Tight (rfbproto, "Tight encoding"): one colour, two colours, a palette, true
 * colour as it is or predicted from its neighbours, or JPEG.  What is not a single colour or
 * JPEG goes through one of four zlib streams.
 */
#include "ui/vnc-int.h"

#include <stdio.h>
#include <string.h>

#include "config.h"
#ifdef CONFIG_JPEG
#include <jpeglib.h>
#include <setjmp.h>
#endif

enum { TIGHT_FILL = 0x80, TIGHT_JPEG = 0x90, TIGHT_FILTER = 0x40 };
enum { FILTER_COPY, FILTER_PALETTE, FILTER_GRADIENT };
enum { STREAM_COPY, STREAM_MONO, STREAM_INDEXED, STREAM_GRADIENT };

#define PALETTE_MAX     256
#define HASH_SIZE       1024            /* a power of two */
#define UNCOMPRESSED    12              /* fewer bytes are sent as they are */
#define SMOOTH_LEVEL    5               /* compression from which gradients are worth their time */

typedef struct Palette {
    uint32_t color[PALETTE_MAX];
    unsigned n;                         /* PALETTE_MAX + 1: too many */
    int16_t hash[HASH_SIZE];            /* index, -1 = free */
} Palette;

static unsigned slot_of(uint32_t color)
{
    return (color * 2654435761u) >> 22;
}

static int palette_find(const Palette *p, uint32_t color)
{
    for (unsigned h = slot_of(color); p->hash[h] >= 0; h = (h + 1) & (HASH_SIZE - 1)) {
        if (p->color[p->hash[h]] == color) {
            return p->hash[h];
        }
    }
    return -1;
}

static void palette_add(Palette *p, uint32_t color)
{
    unsigned h = slot_of(color);

    if (p->n >= PALETTE_MAX) {
        p->n = PALETTE_MAX + 1;
        return;
    }
    while (p->hash[h] >= 0) {
        h = (h + 1) & (HASH_SIZE - 1);
    }
    p->hash[h] = p->n;
    p->color[p->n++] = color;
}

static void palette_take(Palette *p, const VncRect *r)
{
    uint32_t last = 0;

    memset(p->hash, 0xff, sizeof(p->hash));
    p->n = 0;
    for (int y = 0; y < r->h; y++) {
        const uint32_t *row = vnc_row(r, y);
        for (int x = 0; x < r->w; x++) {
            if (p->n && row[x] == last) {
                continue;
            }
            last = row[x];
            if (palette_find(p, last) < 0) {
                palette_add(p, last);
                if (p->n > PALETTE_MAX) {
                    return;
                }
            }
        }
    }
}

/* 7 bits a byte, the lowest first; the third byte takes eight. */
static void send_length(VncClient *c, size_t n)
{
    if (n < 0x80) {
        vnc_send_u8(c, n);
    } else if (n < 0x4000) {
        vnc_send_u8(c, n | 0x80);
        vnc_send_u8(c, n >> 7);
    } else {
        vnc_send_u8(c, n | 0x80);
        vnc_send_u8(c, n >> 7 | 0x80);
        vnc_send_u8(c, n >> 14);
    }
}

static void send_stream(VncClient *c, unsigned stream, const GByteArray *data)
{
    if (data->len < UNCOMPRESSED) {
        vnc_send(c, data->data, data->len);
        return;
    }
    g_autoptr(GByteArray) packed = g_byte_array_new();
    vnc_deflate(&c->tight[stream], c->compress, data->data, data->len, packed);
    send_length(c, packed->len);
    vnc_send(c, packed->data, packed->len);
}

static void send_palette(VncClient *c, const Palette *p)
{
    vnc_send_u8(c, FILTER_PALETTE);
    vnc_send_u8(c, p->n - 1);
    vnc_put_tpixels(c, c->out, p->color, p->n);
}

/* A bit a pixel, rows padded to bytes. */
static void send_mono(VncClient *c, const VncRect *r, const Palette *p)
{
    GByteArray *bits = c->scratch;

    g_byte_array_set_size(bits, 0);
    for (int y = 0; y < r->h; y++) {
        const uint32_t *row = vnc_row(r, y);
        for (int x = 0; x < r->w; x += 8) {
            uint8_t byte = 0;
            for (int i = x; i < MIN(x + 8, r->w); i++) {
                byte |= (row[i] != p->color[0]) << (7 - (i - x));
            }
            g_byte_array_append(bits, &byte, 1);
        }
    }
    vnc_send_u8(c, STREAM_MONO << 4 | TIGHT_FILTER);
    send_palette(c, p);
    send_stream(c, STREAM_MONO, bits);
}

static void send_indexed(VncClient *c, const VncRect *r, const Palette *p)
{
    g_byte_array_set_size(c->scratch, r->w * r->h);
    uint8_t *out = c->scratch->data;
    for (int y = 0; y < r->h; y++) {
        const uint32_t *row = vnc_row(r, y);
        int index = 0;
        for (int x = 0; x < r->w; x++) {
            if (x == 0 || row[x] != row[x - 1]) {
                index = palette_find(p, row[x]);
            }
            *out++ = index;
        }
    }
    vnc_send_u8(c, STREAM_INDEXED << 4 | TIGHT_FILTER);
    send_palette(c, p);
    send_stream(c, STREAM_INDEXED, c->scratch);
}

static void send_copy(VncClient *c, const VncRect *r)
{
    g_byte_array_set_size(c->scratch, 0);
    for (int y = 0; y < r->h; y++) {
        vnc_put_tpixels(c, c->scratch, vnc_row(r, y), r->w);
    }
    vnc_send_u8(c, STREAM_COPY << 4);
    send_stream(c, STREAM_COPY, c->scratch);
}

/* Each component less what left, upper and upper left neighbour let expect. */
static void send_gradient(VncClient *c, const VncRect *r)
{
    g_byte_array_set_size(c->scratch, r->w * r->h * 3);
    uint8_t *out = c->scratch->data;
    for (int y = 0; y < r->h; y++) {
        const uint32_t *row = vnc_row(r, y), *above = y ? vnc_row(r, y - 1) : NULL;
        for (int x = 0; x < r->w; x++) {
            for (int shift = 16; shift >= 0; shift -= 8) {
                int left = x ? row[x - 1] >> shift & 0xff : 0, up = above ? above[x] >> shift & 0xff : 0;
                int corner = x && above ? above[x - 1] >> shift & 0xff : 0;
                *out++ = (row[x] >> shift & 0xff) - CLAMP(left + up - corner, 0, 255);
            }
        }
    }
    vnc_send_u8(c, STREAM_GRADIENT << 4 | TIGHT_FILTER);
    vnc_send_u8(c, FILTER_GRADIENT);
    send_stream(c, STREAM_GRADIENT, c->scratch);
}

/* ---- JPEG ---------------------------------------------------------------------------- */

#ifdef CONFIG_JPEG
typedef struct JpegError {
    struct jpeg_error_mgr mgr;
    jmp_buf back;
} JpegError;

static void jpeg_failed(j_common_ptr info)
{
    longjmp(((JpegError *)info->err)->back, 1);
}

/* NULL: the library gave up.  free() the result. */
static uint8_t *jpeg_encode(const VncRect *r, int quality, unsigned long *len)
{
    static const int qualities[10] = { 15, 29, 41, 42, 62, 77, 79, 86, 92, 100 };
    struct jpeg_compress_struct info;
    JpegError error;
    unsigned char *volatile out = NULL;

    *len = 0;
    info.err = jpeg_std_error(&error.mgr);
    error.mgr.error_exit = jpeg_failed;
    if (setjmp(error.back)) {
        jpeg_destroy_compress(&info);
        free(out);
        return NULL;
    }
    jpeg_create_compress(&info);
    jpeg_mem_dest(&info, (unsigned char **)&out, len);
    info.image_width = r->w;
    info.image_height = r->h;
    info.input_components = 4;
    info.in_color_space = G_BYTE_ORDER == G_BIG_ENDIAN ? JCS_EXT_XRGB : JCS_EXT_BGRX;
    jpeg_set_defaults(&info);
    jpeg_set_quality(&info, qualities[quality], TRUE);
    info.dct_method = JDCT_FASTEST;
    jpeg_start_compress(&info, TRUE);
    for (int y = 0; y < r->h; y++) {
        JSAMPROW row = (JSAMPROW)vnc_row(r, y);
        jpeg_write_scanlines(&info, &row, 1);
    }
    jpeg_finish_compress(&info);
    jpeg_destroy_compress(&info);
    return out;
}

/* Photographs: only where the server allows loss and the client asked for a quality. */
static bool send_jpeg(VncClient *c, const VncRect *r)
{
    unsigned long len;

    if (!c->server->lossy || c->refining || c->quality < 0 || !c->rgb888 || r->w < 8 || r->h < 8) {
        return false;
    }
    uint8_t *data = jpeg_encode(r, c->quality, &len);
    if (!data || len >= 1 << 22) {
        free(data);
        return false;
    }
    vnc_send_u8(c, TIGHT_JPEG);
    send_length(c, len);
    vnc_send(c, data, len);
    free(data);
    vnc_note_loss(c, r->x, r->y, r->w, r->h);
    return true;
}
#else
static bool send_jpeg(VncClient *c, const VncRect *r)
{
    return false;
}
#endif

void vnc_encode_tight(VncClient *c, const VncRect *r)
{
    g_autofree Palette *p = g_new(Palette, 1);

    palette_take(p, r);
    vnc_rect_header(c, r->x, r->y, r->w, r->h, ENC_TIGHT);
    if (p->n == 1) {
        vnc_send_u8(c, TIGHT_FILL);
        vnc_put_tpixels(c, c->out, p->color, 1);
    } else if (p->n == 2) {
        send_mono(c, r, p);
    } else if (p->n <= PALETTE_MAX && p->n * 4 < (unsigned)(r->w * r->h)) {
        send_indexed(c, r, p);
    } else if (!send_jpeg(c, r)) {
        if (c->compress >= SMOOTH_LEVEL && c->rgb888) {
            send_gradient(c, r);
        } else {
            send_copy(c, r);
        }
    }
}
