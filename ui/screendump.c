/* SPDX-License-Identifier: MIT */
/*
 * Pictures of a console: PPM (netpbm's P6) and PNG.
 */
#include "ui/console.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "config.h"
#ifdef CONFIG_PNG
#include <png.h>
#endif

/* One row of the surface as R, G, B bytes. */
static void row_rgb(pixman_image_t *img, int y, uint8_t *rgb)
{
    int w = pixman_image_get_width(img);
    const uint32_t *p = (const uint32_t *)((const uint8_t *)pixman_image_get_data(img)
                                           + (size_t)y * pixman_image_get_stride(img));

    for (int x = 0; x < w; x++, rgb += 3) {
        rgb[0] = p[x] >> 16;
        rgb[1] = p[x] >> 8;
        rgb[2] = p[x];
    }
}

static bool write_ppm(FILE *f, pixman_image_t *img, Error **err)
{
    int w = pixman_image_get_width(img), h = pixman_image_get_height(img);
    g_autofree uint8_t *row = g_malloc(3 * (size_t)w);

    fprintf(f, "P6\n%d %d\n255\n", w, h);
    for (int y = 0; y < h; y++) {
        row_rgb(img, y, row);
        fwrite(row, 3, w, f);
    }
    return true;
}

#ifdef CONFIG_PNG
/* libpng reports errors by longjmp: nothing is allocated between here and there. */
static bool encode_png(png_structp png, png_infop info, FILE *f, pixman_image_t *img, uint8_t *row)
{
    int w = pixman_image_get_width(img), h = pixman_image_get_height(img);

    if (setjmp(png_jmpbuf(png))) {
        return false;
    }
    png_init_io(png, f);
    png_set_IHDR(png, info, w, h, 8, PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE,
                 PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    png_write_info(png, info);
    for (int y = 0; y < h; y++) {
        row_rgb(img, y, row);
        png_write_row(png, row);
    }
    png_write_end(png, NULL);
    return true;
}

static bool write_png(FILE *f, pixman_image_t *img, Error **err)
{
    g_autofree uint8_t *row = g_malloc(3 * (size_t)pixman_image_get_width(img));
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
    png_infop info = png ? png_create_info_struct(png) : NULL;
    bool ok = info && encode_png(png, info, f, img, row);

    png_destroy_write_struct(&png, &info);
    return ok || fail(err, "can't encode the picture as PNG");
}
#else
static bool write_png(FILE *f, pixman_image_t *img, Error **err)
{
    return fail(err, "this build has no PNG support (configure --enable-png), use ppm");
}
#endif

bool console_screendump(Console *c, const char *path, const char *format, Error **err)
{
    bool (*write)(FILE *f, pixman_image_t *img, Error **err);
    FILE *f;
    bool ok;

    if (!format || !strcmp(format, "ppm")) {
        write = write_ppm;
    } else if (!strcmp(format, "png")) {
        write = write_png;
    } else {
        return fail(err, "screendump: unknown format '%s', there are ppm and png", format);
    }
    console_refresh(c);
    f = fopen(path, "wbe");
    if (!f) {
        return fail_errno(err, errno, "can't create '%s'", path);
    }
    ok = write(f, console_surface(c), err);
    bool written = !ferror(f);
    int closed = fclose(f);
    if (ok && (!written || closed)) {
        ok = fail_errno(err, errno, "can't write '%s'", path);
    }
    if (!ok) {
        unlink(path);
    }
    return ok;
}
