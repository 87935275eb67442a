/* SPDX-License-Identifier: MIT */
/*
 * orrery-img bitmap: changes the bitmaps that an image keeps of its own changes.  Actions are
 * done in the order of their options.  Also: copying bitmaps, for convert and measure.
 */
#include "tools/img.h"
#include "block/dirtymap.h"

#include <stdio.h>
#include <string.h>

enum { ACT_ADD = 'a', ACT_REMOVE = 'r', ACT_CLEAR = 'c', ACT_ENABLE = 'e', ACT_DISABLE = 'd', ACT_MERGE = 'm' };

typedef struct Act {
    int kind;
    const char *source;                 /* of merge */
} Act;

static bool merge(DirtyBitmap *to, BlockNode *source, const char *name, Error **err)
{
    DirtyBitmap *from = bitmap_find(source, name, err);
    if (!from || !bitmap_usable(from, err)) {
        return false;
    }
    if (from->map->length != to->map->length) {
        return fail(err, "Bitmaps are of different sizes (destination size is %" G_GUINT64_FORMAT
                    ", source size is %" G_GUINT64_FORMAT ") and can't be merged",
                    (guint64)to->map->length, (guint64)from->map->length);
    }
    dirtymap_merge(to->map, from->map);
    return true;
}

static bool act(BlockNode *n, BlockNode *source, const Act *a, const char *name, uint64_t granularity,
                Error **err)
{
    if (a->kind == ACT_ADD) {
        if (!bitmap_add(n, name, granularity, false, err)) {
            return false;
        }
        if (!bitmap_make_persistent(bitmap_find(n, name, NULL), err)) {
            bitmap_remove(n, name, NULL);
            return false;
        }
        return true;
    }
    if (a->kind == ACT_REMOVE) {
        return bitmap_remove(n, name, err);
    }
    DirtyBitmap *b = bitmap_find(n, name, err);
    if (!b || !bitmap_usable(b, err)) {
        return false;
    }
    switch (a->kind) {
    case ACT_CLEAR: dirtymap_clear(b->map, 0, b->map->length); return true;
    case ACT_MERGE: return merge(b, source ? source : n, a->source, err);
    default: b->disabled = a->kind == ACT_DISABLE; return true;
    }
}

static int act_all(BlockNode *n, BlockNode *source, const GArray *acts, const char *name,
                   uint64_t granularity)
{
    Error *err = NULL;
    for (guint i = 0; i < acts->len; i++) {
        if (!act(n, source, &g_array_index(acts, Act, i), name, granularity, &err)) {
            g_prefix_error(&err, "Operation %s on bitmap %s failed: ",
                           (const char *[]) { "add", "remove", "clear", "enable", "disable", "merge" }
                           [strchr("arcedm", g_array_index(acts, Act, i).kind) - "arcedm"], name);
            return img_fail(err);
        }
    }
    return 0;
}

typedef struct Arguments {
    ImgOpen how, source;
    const char *source_file;
    uint64_t granularity;
    GArray *acts;                       /* of Act */
} Arguments;

/* 0, or the exit status */
static int parse(int argc, char **argv, Arguments *a)
{
    static const struct option longs[] = {
        { "add", no_argument, 0, ACT_ADD + 512 }, { "remove", no_argument, 0, ACT_REMOVE + 512 },
        { "clear", no_argument, 0, ACT_CLEAR + 512 }, { "enable", no_argument, 0, ACT_ENABLE + 512 },
        { "disable", no_argument, 0, ACT_DISABLE + 512 }, { "merge", required_argument, 0, ACT_MERGE + 512 },
        { "image-opts", no_argument, 0, OPT_IMAGE_OPTS }, { "granularity", required_argument, 0, 'g' },
        { "source-file", required_argument, 0, 'b' }, { "source-format", required_argument, 0, 'F' }, { 0 }
    };
    for (int c; (c = img_getopt(argc, argv, "b:F:f:g:", longs)) != -1;) {
        switch (c) {
        case 'b': a->source_file = optarg; break;
        case 'F': a->source.format = optarg; break;
        case 'f': a->how.format = optarg; break;
        case 'g':
            if (!img_size("granularity", optarg, &a->granularity)) {
                return 1;
            }
            break;
        case OPT_IMAGE_OPTS: a->how.image_opts = true; break;
        case '?': return 1;
        default: {
            Act one = { c - 512, c == ACT_MERGE + 512 ? optarg : NULL };
            g_array_append_val(a->acts, one);
        }
        }
    }
    bool adds = false, merges = false;
    for (guint i = 0; i < a->acts->len; i++) {
        adds |= g_array_index(a->acts, Act, i).kind == ACT_ADD;
        merges |= g_array_index(a->acts, Act, i).kind == ACT_MERGE;
    }
    if (!a->acts->len) {
        return img_fail_text("Need at least one of --add, --remove, --clear, --enable, --disable, or --merge");
    }
    if (a->granularity && !adds) {
        return img_fail_text("granularity only supported with --add");
    }
    if (a->source_file && !merges) {
        return img_fail_text("Merge bitmap source file only supported with --merge");
    }
    return a->source.format && !a->source_file ? img_fail_text("-F only supported with -b") : 0;
}

static int run(int argc, char **argv, Arguments *a)
{
    if (optind != argc - 2) {
        return img_fail_text("Expecting filename and bitmap name");
    }
    BlockNode *n = img_open(argv[optind], &a->how);
    BlockNode *source = n && a->source_file ? img_open(a->source_file, &a->source) : NULL;
    int status = 1;
    if (n && (source || !a->source_file)) {
        status = act_all(n, source, a->acts, argv[optind + 1], a->granularity);
    }
    node_unref(source);
    node_unref(n);
    return status;
}

int img_cmd_bitmap(int argc, char **argv)
{
    Arguments a = { .how = { .write = true, .no_backing = true }, .source = { .no_backing = true },
                    .acts = g_array_new(FALSE, FALSE, sizeof(Act)) };
    int status = parse(argc, argv, &a);
    status = status ? status : run(argc, argv, &a);
    g_array_unref(a.acts);
    return status;
}

/* ---- copying ------------------------------------------------------------------------------------ */

/* The format, and this version of it. */
static bool may_have_bitmaps(BlockNode *n)
{
    g_autoptr(Json) info = n->driver->keeps_bitmap ? n->driver->info(n) : NULL;
    Json *data = info ? json_get(info, "data") : NULL;
    const char *compat = "";
    return data && json_get_str(data, "compat", JSON_OPTIONAL, &compat, NULL) && strcmp(compat, "0.10");
}

bool img_can_copy_bitmaps(BlockNode *from, bool skip_broken)
{
    if (!may_have_bitmaps(from)) {
        return img_fail_text("Source lacks bitmap support") == 0;
    }
    for (DirtyBitmap *b = from->bitmaps; b; b = b->next) {
        if (b->inconsistent && !skip_broken) {
            img_fail_text("Cannot copy inconsistent bitmap '%s'", b->name);
            fprintf(stderr, "Try --skip-broken-bitmaps, or use 'orrery-img bitmap --remove'\n");
            return false;
        }
    }
    return true;
}

static bool copy_bitmap(const DirtyBitmap *b, BlockNode *to, Error **err)
{
    if (!bitmap_add(to, b->name, b->map->granularity, b->disabled, err)) {
        return false;
    }
    DirtyBitmap *copy = bitmap_find(to, b->name, NULL);
    if (!bitmap_make_persistent(copy, err)) {
        bitmap_remove(to, b->name, NULL);
        return false;
    }
    dirtymap_merge(copy->map, b->map);
    return true;
}

bool img_copy_bitmaps(BlockNode *from, BlockNode *to, bool skip_broken)
{
    Error *err = NULL;
    for (DirtyBitmap *b = from->bitmaps; b; b = b->next) {
        if (b->inconsistent) {
            warn_report("Skipping inconsistent bitmap '%s'", b->name);
        } else if (!copy_bitmap(b, to, &err)) {
            g_prefix_error(&err, "Failed to create bitmap %s: ", b->name);
            img_fail(err);
            return false;
        }
    }
    return true;
}

int64_t img_bitmaps_size(BlockNode *from, uint64_t cluster_size)
{
    uint64_t clusters = 0, directory = 0;
    if (!may_have_bitmaps(from)) {
        return -1;
    }
    for (const DirtyBitmap *b = from->bitmaps; b; b = b->next) {
        if (!b->inconsistent) {
            uint64_t n = ((b->map->pieces + 7) / 8 + cluster_size - 1) / cluster_size;
            clusters += n + (n * 8 + cluster_size - 1) / cluster_size;
            directory += (24 + strlen(b->name) + 7) & ~7ull;
        }
    }
    return (clusters + (directory + cluster_size - 1) / cluster_size) * cluster_size;
}
