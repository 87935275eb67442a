/* SPDX-License-Identifier: MIT */
/*
 * What unit tests of several parts share: errors compared by their text, folders to clear away.
 */
#ifndef TESTS_UNIT_COMMON_H
#define TESTS_UNIT_COMMON_H

#include <glib/gstdio.h>

/* err (a GError *, cleared) is set and says text. */
#define assert_error(err, text)                                                     \
    do {                                                                            \
        g_assert_nonnull(err);                                                      \
        g_assert_cmpstr((err)->message, ==, text);                                  \
        g_clear_error(&(err));                                                      \
    } while (0)

/* Removes a folder that has files only. */
static inline void remove_folder(const char *folder)
{
    GDir *d = g_dir_open(folder, 0, NULL);
    for (const char *name; d && (name = g_dir_read_name(d));) {
        g_autofree char *path = g_build_filename(folder, name, NULL);
        g_unlink(path);
    }
    g_clear_pointer(&d, g_dir_close);
    g_rmdir(folder);
}

#endif
