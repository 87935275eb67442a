/* SPDX-License-Identifier: MIT */
/*
 * Firmware and option ROMs are not ours: they come with the distribution's packages (seabios,
 * ipxe-qemu, qemu-system-data, ovmf), each in its own folder.
 */
#include "system/firmware.h"

#include <unistd.h>

#include "config.h"
#include "hw/core/machine.h"
#include "system/cmdline.h"

static const char *const built_in_dirs[] = {
    CONFIG_PREFIX "/share/orrery",
    "/usr/share/seabios",
    "/usr/share/vgabios",
    "/usr/lib/ipxe/qemu",
    "/usr/share/qemu",
    "/usr/share/OVMF",
    "/usr/share/ipxe/qemu",
    "/usr/share/seavgabios",
};

void firmware_list_dirs(GString *out)
{
    for (guint i = 0; i < config.firmware_dirs->len; i++) {
        g_string_append_printf(out, "%s\n", (char *)config.firmware_dirs->pdata[i]);
    }
    for (size_t i = 0; i < G_N_ELEMENTS(built_in_dirs); i++) {
        g_string_append_printf(out, "%s\n", built_in_dirs[i]);
    }
}

static char *try_dir(const char *dir, const char *name)
{
    char *path = g_build_filename(dir, name, NULL);
    if (g_file_test(path, G_FILE_TEST_IS_REGULAR)) {
        return path;
    }
    g_free(path);
    return NULL;
}

char *firmware_find(const char *name)
{
    /* a path, or a file of this folder */
    if (access(name, F_OK) == 0) {
        return g_strdup(name);
    }
    if (g_path_is_absolute(name)) {
        return NULL;
    }
    char *path = NULL;
    for (guint i = 0; i < config.firmware_dirs->len && !path; i++) {
        path = try_dir(config.firmware_dirs->pdata[i], name);
    }
    for (size_t i = 0; i < G_N_ELEMENTS(built_in_dirs) && !path; i++) {
        path = try_dir(built_in_dirs[i], name);
    }
    return path;
}
