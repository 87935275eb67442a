/* SPDX-License-Identifier: MIT */
/*
 * The SDL library, loaded when a window is wanted: it brings forty libraries along, and most
 * machines run without a window.
 */
#ifndef UI_SDL_LIB_H
#define UI_SDL_LIB_H

#include <SDL.h>
#include <stdbool.h>
#include "util/error.h"

/* Every function of SDL that is used, without its prefix. */
#define SDL_LIB_FUNCTIONS(F)                                                            \
    F(CreateColorCursor) F(CreateCursor) F(CreateRGBSurfaceFrom) F(CreateRenderer)       \
    F(CreateTexture) F(CreateWindow) F(DestroyTexture) F(FreeCursor) F(FreeSurface)      \
    F(GetClipboardText) F(GetDefaultCursor) F(GetError) F(GetWindowFromID) F(Init)       \
    F(PollEvent) F(Quit) F(RaiseWindow)                                                  \
    F(RenderClear) F(SetClipboardText) F(free)                                           \
    F(RenderCopy) F(RenderPresent) F(RenderSetLogicalSize) F(SetCursor) F(SetHint)       \
    F(SetRelativeMouseMode) F(SetRenderDrawColor) F(SetWindowFullscreen)                 \
    F(SetWindowGrab) F(SetWindowIcon) F(SetWindowKeyboardGrab) F(SetWindowSize)          \
    F(SetWindowTitle) F(StartTextInput) F(UnionRect) F(UpdateTexture)

typedef struct SdlLib {
#define SDL_LIB_MEMBER(name) __typeof__(&SDL_##name) name;
    SDL_LIB_FUNCTIONS(SDL_LIB_MEMBER)
#undef SDL_LIB_MEMBER
} SdlLib;

/* Fails, with the package's name, if the library is not installed or too old. */
bool sdl_lib_load(SdlLib *lib, Error **err);

/* The connection to the display this window is on, readable when events come; -1: SDL's driver
 * has none, or none that is known here. */
int sdl_lib_descriptor(SDL_Window *window);

#endif
