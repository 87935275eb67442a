/* SPDX-License-Identifier: MIT */
/*
 * Shared libraries loaded at run time.
 */
#include "util/library.h"

#include <dlfcn.h>

bool library_load(const char *file, const char *package, const char *const *names, size_t n,
                  void **functions, Error **err)
{
    static GMutex lock;
    g_autoptr(GMutexLocker) locked = g_mutex_locker_new(&lock);

    (void)locked;
    if (functions[n - 1]) {
        return true;
    }
    void *handle = dlopen(file, RTLD_NOW | RTLD_LOCAL);
    if (!handle) {
        return fail(err, "the library %s is missing (Debian package: %s)", file, package);
    }
    for (size_t i = 0; i < n; i++) {            /* the last one tells that all are there */
        functions[i] = dlsym(handle, names[i]);
        if (!functions[i]) {
            return fail(err, "the library %s is too old: it has no %s", file, names[i]);
        }
    }
    return true;
}
