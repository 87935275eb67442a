/* SPDX-License-Identifier: MIT */
/*
 * orrery-img dd: a part of a disk into a new image.
 */
#include "tools/img.h"

#include <stdint.h>
#include <string.h>

typedef struct Dd {
    uint64_t bs, count, skip;
    bool has_count;
    const char *in, *out;
} Dd;

static bool dd_operand(Dd *d, const char *text)
{
    const char *value = strchr(text, '=');
    if (!value) {
        return img_fail_text("Unrecognized operand %s", text) == 0;
    }
    size_t len = value++ - text;
    if (len == 2 && !strncmp(text, "if", 2)) {
        d->in = value;
    } else if (len == 2 && !strncmp(text, "of", 2)) {
        d->out = value;
    } else if (len == 2 && !strncmp(text, "bs", 2)) {
        if (!img_size("bs", value, &d->bs)) {
            return false;
        }
        return (d->bs && d->bs <= INT32_MAX)
               || img_fail_text("Invalid bs specified. Must be between 1 and %d.", INT32_MAX) == 0;
    } else if (len == 5 && !strncmp(text, "count", 5)) {
        d->has_count = true;
        return img_size("count", value, &d->count);
    } else if (len == 4 && !strncmp(text, "skip", 4)) {
        return img_size("skip", value, &d->skip);
    } else {
        return img_fail_text("Unrecognized operand %s", text) == 0;
    }
    return true;
}

static int dd_copy(const Dd *d, BlockNode *in, BlockNode *out, uint64_t from, uint64_t size)
{
    g_autofree uint8_t *buf = g_malloc(d->bs);
    for (uint64_t done = 0; done < size; done += d->bs) {
        uint64_t len = MIN(d->bs, size - done);
        int ret = node_pread(in, from + done, buf, len);
        if (ret < 0) {
            return img_fail_text("error while reading from input image file: %s", g_strerror(-ret));
        }
        ret = node_pwrite(out, done, buf, len);
        if (ret < 0) {
            return img_fail_text("error while writing to output image file: %s", g_strerror(-ret));
        }
    }
    int ret = node_flush(out);
    return ret < 0 ? img_fail_text("error while writing to output image file: %s", g_strerror(-ret)) : 0;
}

static int dd(const Dd *d, const ImgOpen *how, const char *format)
{
    const BlockDriver *driver = img_format(format);
    if (!driver) {
        return 1;
    }
    if (!driver->create) {
        return img_fail_text("Format driver '%s' does not support image creation", format);
    }
    BlockNode *in = img_open(d->in, how);
    if (!in) {
        return 1;
    }
    uint64_t length = node_length(in), size = length, from;
    if (d->has_count && d->count <= INT64_MAX / d->bs) {
        size = MIN(size, d->count * d->bs);
    }
    if (__builtin_mul_overflow(d->skip, d->bs, &from) || from > length) {
        error_report("%s: cannot skip to specified offset", d->in);
        from = length;
    }
    size = MIN(size, length - from);
    Json *o = json_object();
    json_set_uint(o, "size", size);
    Error *err = NULL;
    BlockNode *out = NULL;
    int status = 1;
    if (!node_create_image(driver, d->out, o, &err)) {
        g_prefix_error(&err, "%s: error while creating output image: ", d->out);
        img_fail(err);
    } else {
        ImgOpen to = { .format = format, .write = true };
        out = img_open(d->out, &to);
        status = out ? dd_copy(d, in, out, from, size) : 1;
    }
    json_free(o);
    node_unref(out);
    node_unref(in);
    return status;
}

int img_cmd_dd(int argc, char **argv)
{
    ImgOpen how = { 0 };
    Dd d = { .bs = 512 };
    const char *format = "raw";
    static const struct option longs[] = { { "image-opts", no_argument, 0, OPT_IMAGE_OPTS },
                                           { "force-share", no_argument, 0, 'U' }, { 0 } };
    for (int c; (c = img_getopt(argc, argv, "f:O:U", longs)) != -1;) {
        switch (c) {
        case 'f': how.format = optarg; break;
        case 'O': format = optarg; break;
        case 'U': how.share = true; break;
        case OPT_IMAGE_OPTS: how.image_opts = true; break;
        default: return 1;
        }
    }
    for (int i = optind; i < argc; i++) {
        if (!dd_operand(&d, argv[i])) {
            return 1;
        }
    }
    if (!d.in || !d.out) {
        return img_fail_text("Must specify both input and output files");
    }
    return dd(&d, &how, format);
}
