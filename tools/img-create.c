/* SPDX-License-Identifier: MIT */
/*
 * orrery-img create, amend, resize, snapshot, measure.
 */
#include "tools/img.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "util/parse.h"

/* ---- create ------------------------------------------------------------------------------------ */

static void print_option(const BlockCreateOption *o)
{
    const char *type = !strcmp(o->type, "bool") ? "bool (on/off)" : !strcmp(o->type, "int") ? "num" : o->type;
    g_autofree char *left = g_strdup_printf("%s=<%s>", o->name, type);
    printf("  %-22s - %s\n", left, o->help);
}

void img_print_create_options(const BlockDriver *d, bool with_file)
{
    printf("Supported %s options:\n", d->name);
    for (const BlockCreateOption *o = d->create_options; o && o->name; o++) {
        print_option(o);
    }
    for (const BlockCreateOption *o = block_file_create_options; with_file && o->name; o++) {
        print_option(o);
    }
    if (!with_file) {
        printf("\nThe protocol level may support further options.\n"
               "Specify the target filename to include those options.\n");
    }
}

static void append_option(GString *s, const BlockCreateOption *o, const Json *options)
{
    const Json *v = json_get(options, o->name);
    uint64_t size;
    if (!v && !o->def) {
        return;
    }
    g_string_append_printf(s, " %s=", o->name);
    if (v && v->type != JSON_STRING) {
        g_autofree char *text = json_to_string(v);
        g_string_append(s, text);
    } else if (!strcmp(o->type, "size") && parse_size(v ? v->s : o->def, 1, &size)) {
        g_string_append_printf(s, "%" PRIu64, size);
    } else {
        g_string_append(s, v ? v->s : o->def);
    }
}

/* The order in which qemu-img prints them, which scripts may have come to expect; then others. */
static const char *const *printed_first(const BlockDriver *d)
{
    static const char *const qcow2[] = {
        "cluster_size", "extended_l2", "preallocation", "compression_type", "size", "compat",
        "backing_file", "backing_fmt", "data_file", "data_file_raw", "lazy_refcounts",
        "refcount_bits", NULL
    }, *const vhdx[] = { "size", "log_size", "block_size", NULL }, *const others[] = { "size", NULL };
    return !strcmp(d->name, "qcow2") ? qcow2 : !strcmp(d->name, "vhdx") ? vhdx : others;
}

static void append_named(GString *s, const BlockDriver *d, const char *name, const Json *options)
{
    static const char *const if_given[] = { "preallocation", "compat", "data_file_raw", NULL };
    for (const BlockCreateOption *o = d->create_options; o && o->name; o++) {
        if (!strcmp(o->name, name) && (!g_strv_contains(if_given, name) || json_get(options, name))) {
            append_option(s, o, options);
        }
    }
}

static void print_formatting(const BlockDriver *d, const char *name, const Json *options)
{
    const char *const *first = printed_first(d);
    g_autoptr(GString) s = g_string_new(NULL);
    g_string_printf(s, "Formatting '%s', fmt=%s", name, d->name);
    for (int i = 0; first[i]; i++) {
        append_named(s, d, first[i], options);
    }
    for (const BlockCreateOption *o = d->create_options; o && o->name; o++) {
        if (!g_strv_contains(first, o->name)) {
            append_named(s, d, o->name, options);
        }
    }
    for (const BlockCreateOption *o = block_file_create_options; o->name; o++) {
        if (json_get(options, o->name)) {
            append_option(s, o, options);
        }
    }
    printf("%s\n", s->str);
}

static bool has_option(const BlockCreateOption *o, const char *name)
{
    while (o && o->name && strcmp(o->name, name)) {
        o++;
    }
    return o && o->name;
}

/* Says so if there is something that the format (or the file) does not know. */
static bool known_options(const BlockDriver *d, const Json *options, Error **err)
{
    for (guint i = 0; i < json_len(options); i++) {
        const char *name = json_key_at(options, i);
        if (!has_option(d->create_options, name) && !has_option(block_file_create_options, name)) {
            return fail(err, "Invalid parameter '%s'", name);
        }
    }
    return true;
}

bool img_create(const BlockDriver *d, const char *name, Json *options, bool quiet, Error **err)
{
    if (!known_options(d, options, err)) {
        g_prefix_error(err, "%s: ", name);
        return false;
    }
    if (!quiet) {
        print_formatting(d, name, options);
    }
    Error *why = NULL;
    if (node_create_image(d, name, options, &why)) {
        return true;
    }
    g_prefix_error(&why, "%s: ", name);
    g_propagate_error(err, why);
    return false;
}

/* The backing file must open; its length is the default. */
static bool look_at_backing(const BlockDriver *d, const char *name, Json *o, bool unsafe, uint64_t *size)
{
    const char *file = NULL, *format = NULL;
    json_get_str(o, "backing_file", JSON_OPTIONAL, &file, NULL);
    json_get_str(o, "backing_fmt", JSON_OPTIONAL, &format, NULL);
    if ((file || format) && !has_option(d->create_options, "backing_file")) {
        error_report("%s: Backing file not supported for file format '%s'", name, d->name);
        return false;
    }
    if (format && !file) {
        error_report("%s: Backing format cannot be used without backing file", name);
        return false;
    }
    if (!file || !*file) {
        return true;
    }
    if (!format && !unsafe) {
        error_report("%s: Backing file specified without backing format", name);
        return false;
    }
    if (unsafe) {
        return true;
    }
    g_autofree char *path = node_full_path(name, file);
    Error *err = NULL;
    BlockNode *n = node_open_file(path, format, NULL, (BlockFlags) { .read_only = true }, &err);
    if (!n) {
        error_report("%s: %s", name, err->message);
        fprintf(stderr, "Could not open backing image.\n");
        g_clear_error(&err);
        return false;
    }
    *size = node_length(n);
    node_unref(n);
    return true;
}

int img_cmd_create(int argc, char **argv)
{
    const char *format = "raw", *backing = NULL, *backing_format = NULL;
    bool quiet = false, unsafe = false;
    g_autoptr(Json) o = json_object();
    static const struct option longs[] = { { 0 } };
    g_autoptr(GString) options = g_string_new(NULL);
    for (int c; (c = img_getopt(argc, argv, "F:b:f:o:qu", longs)) != -1;) {
        switch (c) {
        case 'F': backing_format = optarg; break;
        case 'b': backing = optarg; break;
        case 'f': format = optarg; break;
        case 'o': g_string_append_printf(options, "%s%s", options->len ? "," : "", optarg); break;
        case 'q': quiet = true; break;
        case 'u': unsafe = true; break;
        default: return 1;
        }
    }
    const BlockDriver *d = img_format(format);
    if (!d) {
        return 1;
    }
    if (!d->create || d->protocol) {
        return img_fail_text("Format driver '%s' does not support image creation", format);
    }
    if (img_is_help(options->str)) {
        img_print_create_options(d, optind < argc);
        return 0;
    }
    if (options->len && !img_add_options(o, options->str)) {
        return 1;
    }
    if (optind >= argc) {
        return img_usage("Expecting image file name");
    }
    if (argc - optind > 2) {
        return img_usage("Unexpected argument: %s", argv[optind + 2]);
    }
    const char *name = argv[optind];
    uint64_t size = UINT64_MAX;
    if (backing) {
        json_set_str(o, "backing_file", backing);
    }
    if (backing_format) {
        json_set_str(o, "backing_fmt", backing_format);
    }
    if (!look_at_backing(d, name, o, unsafe, &size)) {
        return 1;
    }
    if (optind + 1 < argc) {
        if (!img_size("image size", argv[optind + 1], &size)) {
            return 1;
        }
    } else if (json_get(o, "size")) {
        size = 0;
    }
    if (size == UINT64_MAX) {
        return img_fail_text("%s: Image creation needs a size parameter", name);
    }
    if (json_get(o, "size") && optind + 1 < argc) {
        return img_fail_text("%s: The image size must be specified only once", name);
    }
    if (!json_get(o, "size")) {
        json_set_uint(o, "size", size);
    }
    Error *err = NULL;
    return img_create(d, name, o, quiet, &err) ? 0 : img_fail(err);
}

/* ---- amend ------------------------------------------------------------------------------------- */

static int print_amend_options(const BlockDriver *d)
{
    if (!d->amend) {
        return img_fail_text("Format driver '%s' does not support option amendment", d->name);
    }
    printf("Amend options for '%s':\n", d->name);
    for (const BlockCreateOption *o = d->create_options; o && o->name; o++) {
        if (o->amended) {
            print_option(o);
        }
    }
    return 0;
}

static int amend(BlockNode *n, Json *options)
{
    Error *err = NULL;
    if (!n->driver->amend) {
        return img_fail_text("Format driver '%s' does not support option amendment", n->driver->name);
    }
    for (guint i = 0; i < json_len(options); i++) {
        if (!has_option(n->driver->create_options, json_key_at(options, i))) {
            return img_fail_text("Invalid parameter '%s'", json_key_at(options, i));
        }
    }
    return n->driver->amend(n, options, &err) ? 0 : img_fail(err);
}

int img_cmd_amend(int argc, char **argv)
{
    bool help = false, progress = false;
    ImgOpen how = { .write = true, .no_backing = true };
    g_autoptr(Json) o = json_object();
    static const struct option longs[] = { { "image-opts", no_argument, 0, OPT_IMAGE_OPTS },
                                           { "force", no_argument, 0, OPT_FORCE }, { 0 } };
    for (int c; (c = img_getopt(argc, argv, "f:o:pqt:", longs)) != -1;) {
        switch (c) {
        case OPT_FORCE: return img_fail_text("option --force: only changes of encryption, which is not "
                                             "implemented, are ever forced: leave it out");
        case 'f': how.format = optarg; break;
        case 't': how.cache = optarg; break;
        case 'p': progress = true; break;
        case 'q': break;                /* nothing here says a word */
        case OPT_IMAGE_OPTS: how.image_opts = true; break;
        case 'o':
            help |= img_is_help(optarg);
            if (!help && !img_add_options(o, optarg)) {
                return 1;
            }
            break;
        default: return 1;
        }
    }
    if (!json_len(o) && !help) {
        return img_usage("Must specify options (-o)");
    }
    if (help && how.format) {
        const BlockDriver *d = img_format(how.format);
        return d ? print_amend_options(d) : 1;
    }
    const char *name = img_one_name(argc, argv);
    BlockNode *n = name ? img_open(name, &how) : NULL;
    if (!n) {
        return 1;
    }
    img_progress_start(progress && !help);
    int status = help ? print_amend_options(n->driver) : amend(n, o);
    node_unref(n);
    if (!status) {
        img_progress_end();
    }
    return status;
}

/* ---- resize ------------------------------------------------------------------------------------ */

static bool new_length(BlockNode *n, const char *text, uint64_t *length)
{
    char sign = *text == '+' || *text == '-' ? *text++ : 0;
    uint64_t by;
    int64_t now = node_length(n);
    if (!img_size("image size", text, &by)) {
        return false;
    }
    if (now < 0 || (sign == '+' && by > INT64_MAX - (uint64_t)now)) {
        img_fail_text("New image size is out of range");
        return false;
    }
    *length = sign == '+' ? now + by : sign == '-' ? now - by : by;
    if (!*length || (sign == '-' && by >= (uint64_t)now)) {
        img_fail_text("New image size must be positive");
        return false;
    }
    return true;
}

static int resize(BlockNode *n, const char *text, bool shrink, int mode, bool quiet)
{
    uint64_t length;
    Error *err = NULL;
    if (!new_length(n, text, &length)) {
        return 1;
    }
    if (length < (uint64_t)node_length(n) && !shrink) {
        error_report("Use the --shrink option to perform a shrink operation.");
        warn_report("Shrinking an image will delete all data beyond the shrunken image's end. "
                    "Before performing such an operation, make sure there is no important data "
                    "there.");
        return 1;
    }
    length = (length + BLK_SECTOR - 1) / BLK_SECTOR * BLK_SECTOR;
    if (!node_truncate(n, length, mode, &err)) {
        return img_fail(err);
    }
    if (!quiet) {
        printf("Image resized.\n");
    }
    return 0;
}

int img_cmd_resize(int argc, char **argv)
{
    ImgOpen how = { .write = true };
    bool quiet = false, shrink = false;
    int mode = 0;
    static const struct option longs[] = {
        { "image-opts", no_argument, 0, OPT_IMAGE_OPTS }, { "shrink", no_argument, 0, OPT_SHRINK },
        { "preallocation", required_argument, 0, OPT_PREALLOCATION }, { 0 } };
    /* the size may begin with '-': it is the last word, not an option */
    if (argc < 3) {
        return img_usage("Not enough arguments");
    }
    const char *text = argv[--argc];
    for (int c; (c = img_getopt(argc, argv, "f:q", longs)) != -1;) {
        switch (c) {
        case 'f': how.format = optarg; break;
        case 'q': quiet = true; break;
        case OPT_IMAGE_OPTS: how.image_opts = true; break;
        case OPT_SHRINK: shrink = true; break;
        case OPT_PREALLOCATION:
            for (mode = 0; block_prealloc_names[mode] && strcmp(block_prealloc_names[mode], optarg);) {
                mode++;
            }
            if (!block_prealloc_names[mode]) {
                return img_fail_text("Invalid preallocation mode '%s'", optarg);
            }
            break;
        default: return 1;
        }
    }
    const char *name = img_one_name(argc, argv);
    BlockNode *n = name ? img_open(name, &how) : NULL;
    if (!n) {
        return 1;
    }
    int status = resize(n, text, shrink, mode, quiet);
    node_unref(n);
    return status;
}

/* ---- snapshot ---------------------------------------------------------------------------------- */

/* Of a snapshot by its name alone: a number that happens to be some other's id deletes nothing. */
static const char *id_of(BlockNode *n, const char *name)
{
    GPtrArray *list = n->driver->snapshots(n);
    for (guint i = 0; i < list->len; i++) {
        BlockSnapshot *s = list->pdata[i];
        if (!strcmp(s->name, name)) {
            return s->id;
        }
    }
    return NULL;
}

static int snapshot_act(BlockNode *n, char action, const char *name)
{
    Error *err = NULL;
    const BlockDriver *d = n->driver;
    if (!d->snapshot_create) {
        return img_fail_text("Image format driver '%s' does not support internal snapshots", d->name);
    }
    bool ok;
    if (action == 'c') {
        int64_t now = g_get_real_time();
        BlockSnapshot s = { .name = (char *)name, .date_sec = now / 1000000,
                            .date_nsec = now % 1000000 * 1000 };
        ok = d->snapshot_create(n, &s, &err);
    } else {
        const char *id = action == 'a' ? name : id_of(n, name);
        ok = action == 'a' ? d->snapshot_apply(n, name, &err)
             : id ? d->snapshot_delete(n, id, &err) : fail(&err, "snapshot not found");
    }
    if (ok) {
        return 0;
    }
    g_prefix_error(&err, "Could not %s snapshot '%s': ",
                   action == 'c' ? "create" : action == 'a' ? "apply" : "delete", name);
    return img_fail(err);
}

void img_print_snapshots(BlockNode *n);

int img_cmd_snapshot(int argc, char **argv)
{
    ImgOpen how = { .write = true };
    char action = 0;
    const char *snapshot = NULL;
    static const struct option longs[] = { { "image-opts", no_argument, 0, OPT_IMAGE_OPTS },
                                           { "force-share", no_argument, 0, 'U' }, { 0 } };
    for (int c; (c = img_getopt(argc, argv, "la:c:d:f:qU", longs)) != -1;) {
        switch (c) {
        case 'l': case 'a': case 'c': case 'd':
            if (action) {
                return img_usage("Cannot mix '-l', '-a', '-c', '-d'");
            }
            action = c;
            snapshot = optarg;
            break;
        case 'f': how.format = optarg; break;
        case 'q': break;
        case 'U': how.share = true; break;
        case OPT_IMAGE_OPTS: how.image_opts = true; break;
        default: return 1;
        }
    }
    action = action ? action : 'l';
    how.write = action != 'l';
    how.no_backing = true;
    const char *name = img_one_name(argc, argv);
    BlockNode *n = name ? img_open(name, &how) : NULL;
    if (!n) {
        return 1;
    }
    int status = 0;
    if (action == 'l') {
        img_print_snapshots(n);
    } else {
        status = snapshot_act(n, action, snapshot);
    }
    node_unref(n);
    return status;
}

/* ---- measure ----------------------------------------------------------------------------------- */

/* Of formats without tables of note: what is used. */
static int64_t measure_plain(BlockNode *src, uint64_t size, uint64_t *fully)
{
    *fully = src ? (uint64_t)node_length(src) : size;
    return *fully;
}

/* In a qcow2 image made with these options. */
static int64_t measure_bitmaps(BlockNode *src, const Json *options)
{
    const char *text = NULL, *compat = NULL;
    uint64_t cluster_size = 65536;
    json_get_str(options, "cluster_size", JSON_OPTIONAL, &text, NULL);
    json_get_str(options, "compat", JSON_OPTIONAL, &compat, NULL);
    if (text && (!parse_size(text, 1, &cluster_size) || cluster_size < 512)) {
        return -1;                      /* measure will say it */
    }
    return compat && (!strcmp(compat, "0.10") || !strcmp(compat, "v2")) ? -1
           : img_bitmaps_size(src, cluster_size);
}

int img_cmd_measure(int argc, char **argv)
{
    ImgOpen how = { 0 };
    const char *format = "raw", *snapshot = NULL;
    uint64_t size = 0, fully = 0;
    bool json = false, has_size = false;
    g_autoptr(Json) o = json_object();
    static const struct option longs[] = {
        { "image-opts", no_argument, 0, OPT_IMAGE_OPTS }, { "output", required_argument, 0, OPT_OUTPUT },
        { "size", required_argument, 0, OPT_SIZE }, { "force-share", no_argument, 0, 'U' }, { 0 } };
    for (int c; (c = img_getopt(argc, argv, "f:O:o:l:U", longs)) != -1;) {
        switch (c) {
        case 'f': how.format = optarg; break;
        case 'O': format = optarg; break;
        case 'l': snapshot = optarg; break;
        case 'U': how.share = true; break;
        case OPT_IMAGE_OPTS: how.image_opts = true; break;
        case 'o':
            if (!img_add_options(o, optarg)) {
                return 1;
            }
            break;
        case OPT_OUTPUT:
            if (!img_output(optarg, &json)) {
                return 1;
            }
            break;
        case OPT_SIZE:
            has_size = true;
            if (!img_size("image size", optarg, &size)) {
                return 1;
            }
            break;
        default: return 1;
        }
    }
    const BlockDriver *d = img_format(format);
    Error *err = NULL;
    if (!d) {
        return 1;
    }
    if (optind < argc && has_size) {
        return img_fail_text("--size N cannot be used together with a filename.");
    }
    if (optind + !has_size != argc) {
        return img_fail_text("Either --size N or one filename must be specified.");
    }
    if (!known_options(d, o, &err)) {
        img_fail(err);
        return img_fail_text("Invalid options for file format '%s'", d->name);
    }
    if (!d->measure && strcmp(d->name, "raw")) {
        return img_fail_text("Block driver '%s' does not support size measurement", d->name);
    }
    if (snapshot && has_size) {
        return img_fail_text("Cannot use --size with an image's snapshot (-l)");
    }
    BlockNode *src = has_size ? NULL : img_open(argv[optind], &how);
    if (!has_size && (!src || (snapshot && !img_load_snapshot(src, snapshot)))) {
        node_unref(src);
        return 1;
    }
    int64_t bitmaps = src && !strcmp(d->name, "qcow2") ? measure_bitmaps(src, o) : -1;
    int64_t required = d->measure ? d->measure(src, o, size, &fully, &err)
                                  : measure_plain(src, size, &fully);
    node_unref(src);
    if (required < 0) {
        return img_fail(err);
    }
    if (json) {
        g_autoptr(Json) out = json_object();
        if (bitmaps >= 0) {
            json_set_int(out, "bitmaps", bitmaps);
        }
        json_set_uint(out, "required", required);
        json_set_uint(out, "fully-allocated", fully);
        img_print_json(out);
    } else {
        printf("required size: %" PRId64 "\nfully allocated size: %" PRIu64 "\n", required, fully);
        if (bitmaps >= 0) {
            printf("bitmaps size: %" PRId64 "\n", bitmaps);
        }
    }
    return 0;
}
