/* SPDX-License-Identifier: MIT */
/*
 * The window's icon, drawn: a sun in the middle of two orbits with a planet on each.
 */
#include "ui/sdl-icon.h"

#include <math.h>

typedef struct Disc {
    double x, y, radius;
    uint32_t color;
} Disc;

/* How much of a pixel lies within a distance, soft over one pixel. */
static double inside(double distance, double radius)
{
    double d = radius - distance + 0.5;
    return d < 0 ? 0 : d > 1 ? 1 : d;
}

static uint32_t blend(uint32_t under, uint32_t over, double amount)
{
    uint32_t out = 0;
    for (int shift = 0; shift < 24; shift += 8) {
        double a = under >> shift & 0xff, b = over >> shift & 0xff;
        out |= (uint32_t)(a + (b - a) * amount) << shift;
    }
    return out;
}

static uint32_t pixel(double x, double y)
{
    static const Disc discs[] = {
        { 24, 24, 6, 0xffc832 }, { 12, 17, 3, 0x4ab4e6 }, { 39, 35, 4.5, 0xd2603c },
    };
    static const double orbits[] = { 13.9, 18.6 };
    double r = hypot(x - 24, y - 24);
    uint32_t color = 0x14203c;

    for (int i = 0; i < 2; i++) {
        color = blend(color, 0x8c9ab4, inside(fabs(r - orbits[i]), 0.5));
    }
    for (int i = 0; i < 3; i++) {
        const Disc *d = &discs[i];
        color = blend(color, d->color, inside(hypot(x - d->x, y - d->y), d->radius));
    }
    return color | (uint32_t)(255 * inside(r, 23)) << 24;
}

void sdl_icon_draw(uint32_t pixels[SDL_ICON_SIZE * SDL_ICON_SIZE])
{
    for (int y = 0; y < SDL_ICON_SIZE; y++) {
        for (int x = 0; x < SDL_ICON_SIZE; x++) {
            pixels[y * SDL_ICON_SIZE + x] = pixel(x, y);
        }
    }
}
