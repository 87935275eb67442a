/* SPDX-License-Identifier: MIT */
/*
 * -kernel: reading the image and finding out what it is.
 */
#include "hw/i386/loader.h"

#define IMAGE_MAX (1u << 31)

bool loader_read(LoaderImage *img, const char *what, const char *path, Error **err)
{
    gchar *data;
    gsize size;
    GError *e = NULL;

    *img = (LoaderImage) { .path = path };
    if (!g_file_get_contents(path, &data, &size, &e)) {
        fail(err, "%s: %s", what, e->message);
        g_error_free(e);
        return false;
    }
    if (!size || size >= IMAGE_MAX) {
        g_free(data);
        return fail(err, "%s: '%s' has %zu bytes, 1 to 2 GiB are possible", what, path,
                    (size_t)size);
    }
    img->bytes = g_bytes_new_take(data, size);
    img->data = (const uint8_t *)data;
    img->size = size;
    return true;
}

void loader_free(LoaderImage *img)
{
    g_clear_pointer(&img->bytes, g_bytes_unref);
}

uint64_t loader_top(const PCMachine *pc)
{
    return pc->below_4g > LOADER_TOP_RESERVE ? pc->below_4g - LOADER_TOP_RESERVE : 0;
}

static bool load(PCMachine *pc, const LoaderImage *k, Error **err)
{
    if (linux_probe(k)) {
        return linux_load(pc, k, err);
    }
    if (multiboot_probe(k)) {
        return multiboot_load(pc, k, err);
    }
    if (pvh_probe(k)) {
        return pvh_load(pc, k, err);
    }
    if (elf_probe(k)) {
        return fail(err, "-kernel: '%s' is an ELF file without a Multiboot header or PVH entry "
                    "point", k->path);
    }
    return fail(err, "-kernel: '%s' is neither a Linux bzImage nor a Multiboot or PVH kernel",
                k->path);
}

bool pc_load_kernel(PCMachine *pc, Error **err)
{
    LoaderImage kernel;
    bool ok;

    if (pc->m.dtb) {
        return fail(err, "-dtb: this board boots with ACPI, not with a device tree");
    }
    if (!loader_read(&kernel, "-kernel", pc->m.kernel, err)) {
        return false;
    }
    ok = load(pc, &kernel, err);
    loader_free(&kernel);
    return ok;
}
