/* SPDX-License-Identifier: MIT */
/*
 * orrery-img: makes, checks, converts and shows disk images.  Options, output and exit status
 * are those of qemu-img, so that scripts can use either.
 */
#include "tools/img.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "block/drive.h"
#include "util/bql.h"
#include "util/opts.h"
#include "util/parse.h"
#include "util/version.h"

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *usage;
} commands[] = {
    { "amend", img_cmd_amend, "[--image-opts] [-q] [-f fmt] [-t cache] [-p] -o options filename" },
    { "bench", img_cmd_bench, "[-c count] [-d depth] [-f fmt] [--flush-interval=N] [-i aio] [-n] [--no-drain] "
      "[-o offset] [--pattern=P] [-q] [-s buffer_size] [-S step_size] [-t cache] [-w] [-U] filename" },
    { "bitmap", img_cmd_bitmap, "(--merge SOURCE | --add | --remove | --clear | --enable | --disable)... "
      "[-b source_file [-F source_fmt]] [-g granularity] [--image-opts | -f fmt] filename bitmap" },
    { "check", img_cmd_check, "[--image-opts] [-q] [-f fmt] [--output=ofmt] [-r [leaks | all]] "
      "[-T src_cache] [-U] filename" },
    { "commit", img_cmd_commit, "[--image-opts] [-q] [-f fmt] [-t cache] [-b base] [-r rate_limit] [-d] [-p] "
      "[--progress=json] filename" },
    { "compare", img_cmd_compare, "[--image-opts] [-f fmt] [-F fmt] [-T src_cache] [-p] [-q] [-s] [-U] "
      "filename1 filename2" },
    { "convert", img_cmd_convert, "[--image-opts] [--target-image-opts] [--target-is-zero] [--bitmaps "
      "[--skip-broken-bitmaps]] [-U] [-C] [-c] [-p] [-q] [-n] "
      "[-f fmt] [-t cache] [-T src_cache] [-O output_fmt] [-B backing_file [-F backing_fmt]] "
      "[-o options] [-l snapshot] [-S sparse_size] [-r rate_limit] "
      "[-m num_workers] [-W] [--salvage] "
      "[--progress=json] filename [filename2 [...]] output_filename" },
    { "create", img_cmd_create, "[-q] [-f fmt] [-b backing_file [-F backing_fmt]] [-u] [-o options] "
      "filename [size]" },
    { "dd", img_cmd_dd, "[--image-opts] [-U] [-f fmt] [-O output_fmt] [bs=block_size] [count=blocks] "
      "[skip=blocks] if=input of=output" },
    { "info", img_cmd_info, "[--image-opts] [-f fmt] [--output=ofmt] [--backing-chain] [-U] filename" },
    { "map", img_cmd_map, "[--image-opts] [-f fmt] [--start-offset=offset] [--max-length=len] "
      "[--output=ofmt] [-U] filename" },
    { "measure", img_cmd_measure, "[--output=ofmt] [-O output_fmt] [-o options] "
      "[--size N | [--image-opts] [-f fmt] [-l snapshot] filename]" },
    { "rebase", img_cmd_rebase, "[--image-opts] [-U] [-q] [-f fmt] [-t cache] [-T src_cache] [-p] [-u] "
      "-b backing_file [-F backing_fmt] filename" },
    { "resize", img_cmd_resize, "[--image-opts] [-f fmt] [--preallocation=prealloc] [-q] [--shrink] "
      "filename [+ | -]size" },
    { "snapshot", img_cmd_snapshot, "[--image-opts] [-U] [-q] [-l | -a snapshot | -c snapshot | "
      "-d snapshot] filename" },
};

/* ---- messages -------------------------------------------------------------------------------- */

int img_fail(Error *err)
{
    error_report("%s", err ? err->message : "unknown error");
    g_clear_error(&err);
    return 1;
}

static void report(const char *fmt, va_list ap)
{
    g_autofree char *text = g_strdup_vprintf(fmt, ap);
    error_report("%s", text);
}

int img_fail_text(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    report(fmt, ap);
    va_end(ap);
    return 1;
}

int img_usage(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    report(fmt, ap);
    va_end(ap);
    fprintf(stderr, "Try 'orrery-img --help' for more information\n");
    return 1;
}

int img_getopt(int argc, char **argv, const char *letters, const struct option *longs)
{
    g_autofree char *quiet = g_strconcat(":", letters, NULL);
    int c = getopt_long(argc, argv, quiet, longs, NULL);
    if (c == '?') {
        img_usage("unrecognized option '%s'", argv[optind - 1]);
    } else if (c == ':') {
        img_usage("missing argument for option '%s'", argv[optind - 1]);
    }
    return c == ':' ? '?' : c;
}

static bool progress_on, progress_json;
static int progress_shown;
static int64_t progress_time;

bool img_progress_option(const char *text)
{
    progress_json = text && !strcmp(text, "json");
    return !text || progress_json || img_fail_text("--progress: '%s' is not a form (json is)", text) == 0;
}

void img_progress_start(bool on)
{
    progress_on = on;
    progress_shown = -1;
    progress_time = 0;
    img_progress(0, 1);
}

static void print_progress(uint64_t done, uint64_t total)
{
    printf("{\"done\": %" PRIu64 ", \"total\": %" PRIu64 "}\n", done, total);
    fflush(stdout);
}

void img_progress(uint64_t done, uint64_t total)
{
    /* a step of a hundredth of a percent shows nothing more than the eye can follow */
    int now = total ? (double)done / total * 10000 : 10000;
    if (progress_on && progress_json && total > 1) {
        int64_t time = g_get_monotonic_time();
        if (time - progress_time > 200000 || done == total) {
            print_progress(done, total);
            progress_time = time;
        }
    } else if (progress_on && !progress_json && (progress_shown < 0 || now - progress_shown >= 10)) {
        printf("    (%3.2f/100%%)\r", now / 100.0);
        fflush(stdout);
        progress_shown = now;
    }
}

void img_progress_end(void)
{
    if (progress_on && !progress_json) {
        printf("    (100.00/100%%)\r\n");
        fflush(stdout);
    }
    progress_on = false;
}

void img_pace(ImgPace *p, uint64_t bytes)
{
    static GMutex lock;
    int64_t now = g_get_monotonic_time();
    if (!p->rate) {
        return;
    }
    g_mutex_lock(&lock);
    p->start = p->start ? p->start : now;
    int64_t due = p->start + (int64_t)((double)p->done / p->rate * G_USEC_PER_SEC);
    p->done += bytes;
    g_mutex_unlock(&lock);
    if (due > now) {
        g_usleep(due - now);
    }
}

void img_print_json(const Json *j)
{
    g_autoptr(GString) s = g_string_new(NULL);
    json_write(s, j, true);
    printf("%s\n", s->str);
}

/* ---- values --------------------------------------------------------------------------------- */

bool img_size(const char *what, const char *text, uint64_t *out)
{
    bool number = parse_size(text, 1, out);
    if (number && *out <= INT64_MAX) {
        return true;
    }
    if (number) {
        error_report("Invalid %s specified. Must be between 0 and %" PRId64 ".", what, INT64_MAX);
        return false;
    }
    error_report("Invalid %s specified. You may use k, M, G, T, P or E suffixes for", what);
    error_report("kilobytes, megabytes, gigabytes, terabytes, petabytes and exabytes.");
    return false;
}

bool img_number(const char *what, const char *text, uint64_t min, uint64_t max, uint64_t *out)
{
    char *end;
    *out = g_ascii_strtoull(text, &end, 0);
    if (*text && !*end && *text != '-' && *out >= min && *out <= max) {
        return true;
    }
    error_report("Invalid %s '%s' specified", what, text);
    return false;
}

bool img_is_help(const char *options)
{
    g_auto(GStrv) words = g_strsplit(options ? options : "", ",", -1);
    return g_strv_contains((const char *const *)words, "help")
           || g_strv_contains((const char *const *)words, "?");
}

bool img_add_options(Json *o, const char *text)
{
    Error *err = NULL;
    g_autoptr(Opts) opts = opts_parse("-o", text, NULL, NULL, &err);
    g_autoptr(Json) j = opts ? opts_to_json(opts, &err) : NULL;
    if (!j || json_len(j) == 0) {
        if (err) {
            img_fail(err);
        } else {
            img_fail_text("Invalid option list: %s", text);
        }
        return false;
    }
    for (guint i = 0; i < json_len(j); i++) {
        json_set(o, json_key_at(j, i), json_copy(json_get(j, json_key_at(j, i))));
    }
    return true;
}

const BlockDriver *img_format(const char *name)
{
    Error *err = NULL;
    if (block_driver_known(name, &err)) {
        return block_driver_find(name);
    }
    bool odd = g_str_has_prefix(err->message, "Unknown driver");
    error_report(odd ? "Unknown file format '%s'" : "%s", odd ? name : err->message);
    g_clear_error(&err);
    return NULL;
}

bool img_output(const char *text, bool *json)
{
    *json = !strcmp(text, "json");
    if (*json || !strcmp(text, "human")) {
        return true;
    }
    error_report("--output must be used with human or json as argument.");
    return false;
}

const char *img_one_name(int argc, char **argv)
{
    if (optind == argc - 1) {
        return argv[optind];
    }
    img_usage("Expecting one image file name");
    return NULL;
}

/* ---- opening --------------------------------------------------------------------------------- */

static bool set_cache(BlockFlags *f, const char *cache)
{
    static const char *const modes[] = { "none", "off", "directsync", "unsafe", "writeback",
                                         "writethrough", NULL };
    if (!cache) {
        return true;
    }
    f->direct = !strcmp(cache, "none") || !strcmp(cache, "off") || !strcmp(cache, "directsync");
    f->no_flush = !strcmp(cache, "unsafe");
    if (!g_strv_contains(modes, cache)) {
        error_report("Invalid cache option: %s", cache);
        return false;
    }
    return true;
}

static BlockNode *open_described(const char *text, BlockFlags flags, Error **err)
{
    g_autoptr(Opts) opts = opts_parse("--image-opts", text, NULL, NULL, err);
    Json *o = opts ? opts_to_json(opts, err) : NULL;
    const char *driver = NULL, *file = NULL;
    if (!o) {
        return NULL;
    }
    if (json_get_str(o, "driver", JSON_OPTIONAL, &driver, NULL) && driver) {
        return node_open(o, flags, err);
    }
    Json *below = json_get(o, "file");
    if (below && below->type == JSON_OBJECT) {
        json_get_str(below, "filename", JSON_OPTIONAL, &file, NULL);
    }
    g_autofree char *name = g_strdup(file ? file : "");
    return node_open_file(name, NULL, o, flags, err);
}

static void warn_probed_raw(const char *name)
{
    fprintf(stderr, "WARNING: Image format was not specified for '%s' and probing guessed raw.\n"
            "         Automatically detecting the format is dangerous for raw images, write operations "
            "on block 0 will be restricted.\n"
            "         Specify the 'raw' format explicitly to remove the restrictions.\n", name);
}

BlockNode *img_open(const char *name, const ImgOpen *how)
{
    Error *err = NULL;
    BlockFlags flags = { .read_only = !how->write, .no_lock = how->share, .unmap = true,
                         .check = how->check };
    if (!set_cache(&flags, how->cache)) {
        return NULL;
    }
    if (how->image_opts && how->format) {
        img_fail_text("--image-opts and --format are mutually exclusive");
        return NULL;
    }
    Json *o = json_object();
    if (how->no_backing) {
        json_set(o, "backing", json_null());
    }
    if (how->aio) {
        Json *f = json_object();
        json_set_str(f, "aio", how->aio);
        json_set(o, "file", f);
    }
    BlockNode *n;
    if (how->image_opts) {
        json_free(o);
        n = open_described(name, flags, &err);
    } else {
        n = node_open_file(name, how->format, o, flags, &err);
    }
    if (!n) {
        g_autofree char *prefix = g_strdup_printf("Could not open '%s': ", name);
        bool said = g_str_has_prefix(err->message, prefix);
        error_report("%s%s", said ? "" : prefix, err->message);
        g_clear_error(&err);
    } else if (n->probed_raw && how->write) {
        warn_probed_raw(name);
    }
    return n;
}

const char *img_shown_name(BlockNode *n, const char *name)
{
    const char *file = node_file_name(n);
    return *file ? file : name;
}

bool img_load_snapshot(BlockNode *n, const char *snapshot)
{
    Error *err = NULL;
    const char *value = strrchr(snapshot, '=');
    if (!n->driver->snapshot_load) {
        return img_fail_text("Image format driver '%s' does not support internal snapshots",
                             n->driver->name) == 0;
    }
    if (!n->driver->snapshot_load(n, value ? value + 1 : snapshot, &err)) {
        g_prefix_error(&err, "Failed to load snapshot: ");
        img_fail(err);
        return false;
    }
    return true;
}

/* ---- main -------------------------------------------------------------------------------------- */

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void add_driver(const BlockDriver *d, void *names)
{
    g_ptr_array_add(names, (gpointer)d->name);
}

static void help(void)
{
    printf("orrery-img version %s\nusage: orrery-img [standard options] command [command options]\n"
           "Disk image utility\n\n"
           "    '-h', '--help'       display this help and exit\n"
           "    '-V', '--version'    output version information and exit\n\n"
           "Command syntax:\n", ORRERY_VERSION);
    for (size_t i = 0; i < G_N_ELEMENTS(commands); i++) {
        printf("  %s %s\n", commands[i].name, commands[i].usage);
    }
    printf("\nSizes take the suffixes k, M, G, T, P and E.  'fmt' is guessed from the contents if\n"
           "absent.  An image may name other files (backing, data) in its own folder only;\n"
           "ORRERY_IMAGE_PATH=FOLDER:... in the environment allows more.\n\nSupported formats:");
    g_autoptr(GPtrArray) names = g_ptr_array_new();
    block_driver_foreach(add_driver, names);
    qsort(names->pdata, names->len, sizeof(void *), by_name);
    for (guint i = 0; i < names->len; i++) {
        printf(" %s", (char *)names->pdata[i]);
    }
    printf("\n");
}

/* What qemu-img has for what is not here: said before a command does half of its work. */
static bool refuse_options(int argc, char **argv)
{
    for (int i = 1; i < argc && strcmp(argv[i], "--"); i++) {
        if (!strcmp(argv[i], "--object") || g_str_has_prefix(argv[i], "--object=")) {
            const char *eq = strchr(argv[i], '='), *value = eq ? eq + 1 : i + 1 < argc ? argv[i + 1] : "";
            return img_fail_text("option --object %s: encrypted images and TLS, which objects are for, are "
                                 "not implemented: leave it out", value);
        }
        if (!strcmp(argv[i], "--trace") || g_str_has_prefix(argv[i], "--trace=")
            || (i == 1 && g_str_has_prefix(argv[i], "-T"))) {
            return img_fail_text("option %s: there are no trace events: leave it out", argv[i]);
        }
    }
    return false;
}

int main(int argc, char **argv)
{
    g_set_prgname("orrery-img");
    bql_lock();                         /* nodes are opened and closed under it */
    if (argc < 2) {
        return img_usage("Not enough arguments");
    }
    if (!strcmp(argv[1], "-h") || !strcmp(argv[1], "--help")) {
        help();
        return 0;
    }
    if (!strcmp(argv[1], "-V") || !strcmp(argv[1], "--version")) {
        printf("orrery-img version %s\n", ORRERY_VERSION);
        return 0;
    }
    if (refuse_options(argc, argv)) {
        return 1;
    }
    for (size_t i = 0; i < G_N_ELEMENTS(commands); i++) {
        if (!strcmp(argv[1], commands[i].name)) {
            if (argc > 2 && (!strcmp(argv[2], "-h") || !strcmp(argv[2], "--help"))) {
                help();
                return 0;
            }
            return commands[i].run(argc - 1, argv + 1);
        }
    }
    return img_usage("Command not found: %s", argv[1]);
}
