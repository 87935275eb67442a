/* SPDX-License-Identifier: MIT */
/*
 * Loading SDL.
 */
#include "ui/sdl-lib.h"

#include <dlfcn.h>

bool sdl_lib_load(SdlLib *lib, Error **err)
{
    void *handle = dlopen("libSDL2-2.0.so.0", RTLD_NOW | RTLD_LOCAL);

    if (!handle) {
        return fail(err, "the library libSDL2-2.0.so.0 is missing (Debian package: libsdl2-2.0-0)");
    }
#define SDL_LIB_LOAD(name)                                                              \
    lib->name = (__typeof__(lib->name))dlsym(handle, "SDL_" #name);                     \
    if (!lib->name) {                                                                   \
        return fail(err, "the library libSDL2-2.0.so.0 is too old: it has no SDL_" #name); \
    }
    SDL_LIB_FUNCTIONS(SDL_LIB_LOAD)
    return true;
}
