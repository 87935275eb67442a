/* SPDX-License-Identifier: MIT */
/*
 * Loading SDL.
 */
#include "ui/sdl-lib.h"

#include "util/library.h"

bool sdl_lib_load(SdlLib *lib, Error **err)
{
#define SDL_LIB_NAME(name) "SDL_" #name,
    static const char *const names[] = { SDL_LIB_FUNCTIONS(SDL_LIB_NAME) };

    return LIBRARY_LOAD("libSDL2-2.0.so.0", "libsdl2-2.0-0", names, lib, err);
}
