/* SPDX-License-Identifier: MIT */
/*
 * Loading SDL, and what SDL does not tell: the descriptor its events come from.
 */
#include "ui/sdl-lib.h"

#include <SDL_syswm.h>

#include "util/library.h"

#define LIBRARY     "libSDL2-2.0.so.0"
#define PACKAGE     "libsdl2-2.0-0"

bool sdl_lib_load(SdlLib *lib, Error **err)
{
#define SDL_LIB_NAME(name) "SDL_" #name,
    static const char *const names[] = { SDL_LIB_FUNCTIONS(SDL_LIB_NAME) };

    return LIBRARY_LOAD(LIBRARY, PACKAGE, names, lib, err);
}

/* One function of a library that is loaded already. */
static bool find(const char *file, const char *package, const char *name, void *function)
{
    return library_load(file, package, &name, 1, function, NULL);
}

static int ask(const char *file, const char *package, const char *name, void *display)
{
    int (*descriptor)(void *display) = NULL;

    return find(file, package, name, &descriptor) ? descriptor(display) : -1;
}

int sdl_lib_descriptor(SDL_Window *window)
{
    __typeof__(&SDL_GetWindowWMInfo) get_info = NULL;
    SDL_SysWMinfo info;

    SDL_VERSION(&info.version);
    if (!find(LIBRARY, PACKAGE, "SDL_GetWindowWMInfo", &get_info) || !get_info(window, &info)) {
        return -1;
    }
    switch (info.subsystem) {
#ifdef SDL_VIDEO_DRIVER_X11
    case SDL_SYSWM_X11:
        return ask("libX11.so.6", "libx11-6", "XConnectionNumber", info.info.x11.display);
#endif
#ifdef SDL_VIDEO_DRIVER_WAYLAND
    case SDL_SYSWM_WAYLAND:
        return ask("libwayland-client.so.0", "libwayland-client0", "wl_display_get_fd",
                   info.info.wl.display);
#endif
    default:
        return -1;
    }
}
