/* SPDX-License-Identifier: MIT */
/*
 * The hardware cursor of the CL-GD5446.
 *
 * Source: manual, SR10 to SR13 and chapter 9 "Hardware cursor".
 *
 * 32x32 or 64x64 pixels of two bits, in the last 16 KiB of the video memory:
 *
 *     plane 1, plane 0    0 0 transparent    0 1 inverts    1 0 colour 0    1 1 colour 15
 *
 * 32x32: 128 bytes of plane 0, then 128 of plane 1.  64x64: in each line 8 bytes of plane 0,
 * then 8 of plane 1.
 */
#include "hw/display/cirrus.h"
#include "util/bits.h"

static unsigned cursor_size(const Cirrus *s)
{
    return s->sr[SR_CURSOR_ATTR] & SR12_CURSOR_64 ? 64 : 32;
}

static uint32_t pattern_at(const Cirrus *s)
{
    unsigned n = s->sr[SR_CURSOR_PATTERN] & (cursor_size(s) == 64 ? 0x3c : 0x3f);
    return s->vga.mem_size - (16u << 10) + 256 * n;
}

static bool cursor_on(const Cirrus *s)
{
    return s->sr[SR_CURSOR_ATTR] & SR12_CURSOR;
}

static uint32_t mix(uint32_t sum, const void *data, size_t len)
{
    const uint8_t *p = data;

    for (size_t i = 0; i < len; i++) {
        sum = (sum ^ p[i]) * 16777619u;         /* FNV-1a */
    }
    return sum;
}

/* Of all that makes its picture; 0: there is none. */
static uint32_t checksum(const Cirrus *s)
{
    uint32_t sum = 2166136261u;
    unsigned size = cursor_size(s);

    if (!cursor_on(s)) {
        return 0;
    }
    sum = mix(sum, &s->cursor_x, sizeof(s->cursor_x));
    sum = mix(sum, &s->cursor_y, sizeof(s->cursor_y));
    sum = mix(sum, &s->sr[SR_CURSOR_ATTR], 2);
    sum = mix(sum, s->cursor_dac, sizeof(s->cursor_dac));
    sum = mix(sum, s->vga.mem + pattern_at(s), size * size / 4);
    return sum ? sum : 1;
}

bool cirrus_cursor_lines(VGA *v, unsigned *first, unsigned *end, bool *changed)
{
    Cirrus *s = cirrus_of(v);
    uint32_t sum = checksum(s);

    *changed = sum != s->cursor_seen;
    s->cursor_seen = sum;
    if (!sum) {
        return *changed;
    }
    *first = s->cursor_y;
    *end = s->cursor_y + cursor_size(s);
    return true;
}

static uint32_t cursor_color(const Cirrus *s, unsigned n)
{
    const uint8_t *c = s->cursor_dac + 3 * n;
    uint32_t rgb = 0;

    for (int i = 0; i < 3; i++) {
        rgb = rgb << 8 | (c[i] & 0x3f) << 2 | (c[i] & 1) * 3;
    }
    return rgb;
}

void cirrus_cursor_draw(VGA *v, unsigned y, uint32_t *line, unsigned width)
{
    Cirrus *s = cirrus_of(v);
    unsigned size = cursor_size(s), row = y - s->cursor_y;
    const uint8_t *plane0 = v->mem + pattern_at(s) + row * (size == 64 ? 16 : 4);
    const uint8_t *plane1 = plane0 + (size == 64 ? 8 : 128);
    uint32_t background = cursor_color(s, 0), foreground = cursor_color(s, 15);

    for (unsigned x = 0; x < size && s->cursor_x + x < width; x++) {
        uint32_t *p = line + s->cursor_x + x;
        switch ((plane1[x / 8] >> (7 - x % 8) & 1) << 1 | (plane0[x / 8] >> (7 - x % 8) & 1)) {
        case 1: *p ^= 0xffffff; break;
        case 2: *p = background; break;
        case 3: *p = foreground; break;
        }
    }
}
