/* SPDX-License-Identifier: MIT */
/*
 * Shared libraries that are loaded when something wants them first, since they bring many
 * others along and most machines never need them.  The functions of one stand in a struct of
 * pointers, made with its header's declarations:
 *
 *     #define SDL_FUNCTIONS(F) F(Init) F(PollEvent)
 *     static struct { SDL_FUNCTIONS(SDL_MEMBER) } lib;      with  #define SDL_MEMBER(n) __typeof__(&SDL_##n) n;
 *     static const char *const names[] = { SDL_FUNCTIONS(SDL_NAME) };   #define SDL_NAME(n) "SDL_" #n,
 *     LIBRARY_LOAD("libSDL2-2.0.so.0", "libsdl2-2.0-0", names, &lib, err)
 */
#ifndef UTIL_LIBRARY_H
#define UTIL_LIBRARY_H

#include <stdbool.h>
#include <stddef.h>

#include "util/error.h"

/*
 * Fills functions with the n addresses.  Loaded once, it stays; calling again with the same
 * functions is cheap.  Any thread.  Fails, naming the Debian package, if the file or a function is
 * missing.
 */
bool library_load(const char *file, const char *package, const char *const *names, size_t n,
                  void **functions, Error **err);

#define LIBRARY_LOAD(file, package, names, table, err)                                  \
    library_load(file, package, names, sizeof(*(table)) / sizeof(void *), (void **)(table), err)

#endif
