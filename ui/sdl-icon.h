/* SPDX-License-Identifier: MIT */
/*
 * The window's icon.
 */
#ifndef UI_SDL_ICON_H
#define UI_SDL_ICON_H

#include <stdint.h>

#define SDL_ICON_SIZE 48

/* An orrery: a sun, orbits and planets, as alpha, red, green, blue. */
void sdl_icon_draw(uint32_t pixels[SDL_ICON_SIZE * SDL_ICON_SIZE]);

#endif
