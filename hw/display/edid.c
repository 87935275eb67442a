/* SPDX-License-Identifier: MIT */
/*
 * A virtual monitor's EDID.
 *
 * Sources: VESA Enhanced EDID Standard, release A2 (EDID 1.4), section 3; VESA DisplayID 1.3,
 * sections 2 and 4.4 (type I timing), for sizes beyond 4095.
 *
 *     00h header          14h input, size, features     36h detailed timing: the preferred one
 *     08h maker, product  19h colours                   48h range limits
 *     12h version         23h established timings       5Ah name
 *                         26h standard timings          6Ch dummy    7Fh checksum
 */
#include "hw/display/edid.h"
#include "util/bits.h"

#include <glib.h>

#define DPI 100

static const struct { uint8_t byte, bit; uint16_t x, y; } established[] = {
    { 0x23, 5, 640, 480 }, { 0x23, 0, 800, 600 }, { 0x24, 3, 1024, 768 }, { 0x24, 0, 1280, 1024 },
};

/* Aspect ratios that two bits of a standard timing can say */
static const struct { uint16_t x, y; uint8_t aspect; } standard[] = {
    { 2048, 1152, 3 }, { 1920, 1080, 3 }, { 1920, 1200, 0 }, { 1600, 1200, 1 }, { 1680, 1050, 0 },
    { 1440, 900, 0 }, { 1280, 960, 1 }, { 1280, 720, 3 },
};

static unsigned size_mm(unsigned pixels)
{
    return pixels * 254 / DPI / 10;
}

static void set_standard(uint8_t *e, unsigned max_x, unsigned max_y)
{
    unsigned n = 0;

    memset(e + 0x26, 1, 16);            /* 01 01: unused */
    for (size_t i = 0; i < G_N_ELEMENTS(standard) && n < 8; i++) {
        if (standard[i].x <= max_x && standard[i].y <= max_y) {
            e[0x26 + 2 * n] = standard[i].x / 8 - 31;
            e[0x27 + 2 * n++] = standard[i].aspect << 6;        /* at 60 Hz */
        }
    }
    for (size_t i = 0; i < G_N_ELEMENTS(established); i++) {
        if (established[i].x <= max_x && established[i].y <= max_y) {
            e[established[i].byte] |= 1 << established[i].bit;
        }
    }
}

/* Blanking is about a third of the width and a thirtieth of the height: nobody scans it. */
static void set_detailed(uint8_t *d, unsigned x, unsigned y)
{
    unsigned hblank = x * 35 / 100 & ~7u, hfront = x / 4 & 0x3ff, hsync = x * 3 / 100;
    unsigned vblank = y * 35 / 1000 + 4, vfront = 2, vsync = 2;
    unsigned clock = (uint64_t)(x + hblank) * (y + vblank) * 60 / 10000;    /* in 10 kHz */

    st16_le(d, MIN(clock, 0xffff));
    d[2] = x;
    d[3] = hblank;
    d[4] = (x >> 8 & 15) << 4 | (hblank >> 8 & 15);
    d[5] = y;
    d[6] = vblank;
    d[7] = (y >> 8 & 15) << 4 | (vblank >> 8 & 15);
    d[8] = hfront;
    d[9] = hsync;
    d[10] = vfront << 4 | vsync;
    d[11] = (hfront >> 8 & 3) << 6 | (hsync >> 8 & 3) << 4;
    d[12] = size_mm(x);
    d[13] = size_mm(y);
    d[14] = (size_mm(x) >> 8 & 15) << 4 | (size_mm(y) >> 8 & 15);
    d[17] = 0x18;                       /* digital, separate sync */
}

/* A descriptor that is no timing: three zeros, its kind, a zero, 13 bytes. */
static void set_text(uint8_t *d, uint8_t kind, const char *text)
{
    size_t len = strlen(text);

    d[3] = kind;
    memset(d + 5, ' ', 13);
    memcpy(d + 5, text, MIN(len, 13));
    if (len < 13) {
        d[5 + len] = '\n';
    }
}

static void set_range(uint8_t *d)
{
    static const uint8_t range[13] = {
        50, 125, 30, 160, 255, 1, '\n', ' ', ' ', ' ', ' ', ' ', ' ',   /* Hz, Hz, kHz, kHz, 10 MHz */
    };
    d[3] = 0xfd;
    memcpy(d + 5, range, sizeof(range));
}

void edid_make(uint8_t out[EDID_SIZE], unsigned pref_x, unsigned pref_y, unsigned max_x,
               unsigned max_y)
{
    static const uint8_t header[] = { 0, 255, 255, 255, 255, 255, 255, 0 };
    /* sRGB primaries and white point, tenths of thousandths in ten bits each */
    static const uint8_t colors[] = { 0xee, 0x91, 0xa3, 0x54, 0x4c, 0x99, 0x26, 0x0f, 0x50, 0x54 };
    unsigned vendor = ('O' - '@') << 10 | ('R' - '@') << 5 | ('Y' - '@');
    uint8_t sum = 0;

    memset(out, 0, EDID_SIZE);
    memcpy(out, header, sizeof(header));
    st16_be(out + 8, vendor);
    st16_le(out + 10, 0x1111);
    out[0x10] = 0;                      /* week unknown */
    out[0x11] = 2024 - 1990;
    out[0x12] = 1;
    out[0x13] = 4;
    out[0x14] = 0xa5;                   /* digital, 8 bits a colour, DisplayPort */
    out[0x15] = MIN(size_mm(pref_x) / 10, 255);
    out[0x16] = MIN(size_mm(pref_y) / 10, 255);
    out[0x17] = 120;                    /* gamma 2.2 */
    out[0x18] = 0x06;                   /* sRGB; the first detailed timing is preferred */
    memcpy(out + 0x19, colors, sizeof(colors));
    set_standard(out, max_x, max_y);
    set_detailed(out + 0x36, pref_x, pref_y);
    set_range(out + 0x48);
    set_text(out + 0x5a, 0xfc, "Orrery");
    set_text(out + 0x6c, 0x10, "");
    for (int i = 0; i < EDID_SIZE - 1; i++) {
        sum += out[i];
    }
    out[EDID_SIZE - 1] = -sum;
}

static uint8_t checksum(const uint8_t *p, unsigned len)
{
    uint8_t sum = 0;

    while (len--) {
        sum += *p++;
    }
    return -sum;
}

/* Everything is told less one. */
static void set_type1(uint8_t *d, unsigned x, unsigned y)
{
    unsigned hblank = 160, hfront = 48, hsync = 32, vblank = y / 50 + 8, vfront = 3, vsync = 6;
    uint32_t clock = (uint64_t)(x + hblank) * (y + vblank) * 60 / 10000 - 1;     /* in 10 kHz */

    st16_le(d, clock);
    d[2] = clock >> 16;
    d[3] = 0x80;                        /* preferred */
    st16_le(d + 4, x - 1);
    st16_le(d + 6, hblank - 1);
    st16_le(d + 8, hfront - 1);
    st16_le(d + 10, hsync - 1);
    st16_le(d + 12, y - 1);
    st16_le(d + 14, vblank - 1);
    st16_le(d + 16, vfront - 1);
    st16_le(d + 18, vsync - 1);
}

unsigned edid_make_large(uint8_t out[EDID_LARGE_SIZE], unsigned pref_x, unsigned pref_y,
                         unsigned max_x, unsigned max_y)
{
    uint8_t *d = out + EDID_SIZE;       /* 70h: a DisplayID section of 121 bytes, its checksum */

    edid_make(out, MIN(pref_x, EDID_SIDE_MAX), MIN(pref_y, EDID_SIDE_MAX), max_x, max_y);
    if (pref_x <= EDID_SIDE_MAX && pref_y <= EDID_SIDE_MAX) {
        return EDID_SIZE;
    }
    out[0x7e] = 1;                      /* another block */
    out[0x7f] = checksum(out, 0x7f);
    memset(d, 0, EDID_SIZE);
    d[0] = 0x70;
    d[1] = 0x13;                        /* version 1.3 */
    d[2] = 121;
    d[5] = 0x03;                        /* one data block: type I timings, one of 20 bytes */
    d[7] = 20;
    set_type1(d + 8, pref_x, pref_y);
    d[0x7e] = checksum(d + 1, 0x7d);
    d[0x7f] = checksum(d, 0x7f);
    return EDID_LARGE_SIZE;
}
