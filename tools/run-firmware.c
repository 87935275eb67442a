/* SPDX-License-Identifier: MIT */
/*
 * orrery run --uefi: firmware in one flash chip, its variables (what is started, in which order) in
 * another one, in a file beside the disk that they belong to.
 */
#include <string.h>

#include "tools/run.h"

#define SUFFIX ".uefi-vars"

/* Firmware, and variables that nobody has set yet: as distributions name EDK II's files. */
static const struct { const char *code, *vars; } known[] = {
    { "/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd" },
    { "/usr/share/OVMF/OVMF_CODE.fd", "/usr/share/OVMF/OVMF_VARS.fd" },
    { "/usr/share/edk2/ovmf/OVMF_CODE.fd", "/usr/share/edk2/ovmf/OVMF_VARS.fd" },
    { "/usr/share/edk2/x64/OVMF_CODE.4m.fd", "/usr/share/edk2/x64/OVMF_VARS.4m.fd" },
    { "/usr/share/qemu/ovmf-x86_64-code.bin", "/usr/share/qemu/ovmf-x86_64-vars.bin" },
};

static bool is_file(const char *path)
{
    return g_file_test(path, G_FILE_TEST_IS_REGULAR);
}

static bool find(RunFirmware *f, Error **err)
{
    for (size_t n = 0; n < G_N_ELEMENTS(known); n++) {
        if (is_file(known[n].code) && is_file(known[n].vars)) {
            f->code = known[n].code;
            f->vars = g_strdup(known[n].vars);
            return true;
        }
    }
    return fail(err, "--uefi: there is no UEFI firmware on this host (Debian package: ovmf)");
}

/* Not a device, not a URL; dry: it may be about to be made. */
static bool has_folder(const char *disk, bool dry)
{
    return is_file(disk) || (dry && !strstr(disk, "://") && !g_file_test(disk, G_FILE_TEST_EXISTS));
}

/* A file of its own for the variables of a disk. */
static bool keep_beside(RunFirmware *f, const char *disk, bool dry, Error **err)
{
    g_autofree char *path = g_strconcat(disk, SUFFIX, NULL), *fresh = NULL;
    Error *e = NULL;
    gsize len;

    f->made = !is_file(path);
    if (f->made && !dry && (!g_file_get_contents(f->vars, &fresh, &len, &e)
                            || !g_file_set_contents(path, fresh, len, &e))) {
        fail(err, "--uefi: can't make '%s': %s", path, e->message);
        g_error_free(e);
        return false;
    }
    g_free(f->vars);
    f->vars = g_steal_pointer(&path);
    f->kept = true;
    return true;
}

bool run_firmware(RunFirmware *f, const char *disk, bool dry, bool forget, Error **err)
{
    *f = (RunFirmware) { 0 };
    if (!find(f, err)) {
        return false;
    }
    g_autofree char *beside = disk ? g_strconcat(disk, SUFFIX, NULL) : NULL;
    if (!disk || !has_folder(disk, dry) || (forget && !is_file(beside))) {
        return true;                    /* a fresh set, forgotten at the end */
    }
    return keep_beside(f, disk, dry, err);
}
