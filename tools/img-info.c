/* SPDX-License-Identifier: MIT */
/*
 * orrery-img info, check, map.
 */
#include "tools/img.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

void img_print_snapshots(BlockNode *n);

/* ---- info ---------------------------------------------------------------------------------------- */

/* "1 MiB", "1.26 MiB": three digits that count. */
static char *pretty_size(uint64_t bytes)
{
    static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
    unsigned u = 0;
    double v = bytes;
    for (; v >= 1000 && u < 6; u++) {
        v /= 1024;
    }
    return g_strdup_printf("%0.3g %s", v, units[u]);
}

static uint64_t disk_usage(BlockNode *n)
{
    struct stat st;
    uint64_t total = 0;
    if (n->driver->protocol && !stat(node_file_name(n), &st)) {
        total = (uint64_t)st.st_blocks * 512;
    }
    for (unsigned i = 0; n->driver->other_file && n->driver->other_file(n, i); i++) {
        total += disk_usage(n->driver->other_file(n, i));
    }
    return total + (n->file ? disk_usage(n->file) : 0);
}

void img_print_snapshots(BlockNode *n)
{
    GPtrArray *list = n->driver->snapshots ? n->driver->snapshots(n) : NULL;
    if (!list || !list->len) {
        return;
    }
    printf("Snapshot list:\n%-10s%-17s%8s%20s%13s%11s\n", "ID", "TAG", "VM SIZE", "DATE", "VM CLOCK",
           "ICOUNT");
    for (guint i = 0; i < list->len; i++) {
        const BlockSnapshot *s = list->pdata[i];
        g_autofree char *size = pretty_size(s->vm_state_size);
        char date[32], clock[32], icount[24] = "";
        time_t t = s->date_sec;
        struct tm tm;
        localtime_r(&t, &tm);
        strftime(date, sizeof(date), "%Y-%m-%d %H:%M:%S", &tm);
        uint64_t sec = s->vm_clock_ns / 1000000000;
        snprintf(clock, sizeof(clock), "%02d:%02d:%02d.%03d", (int)(sec / 3600),
                 (int)(sec / 60 % 60), (int)(sec % 60), (int)(s->vm_clock_ns / 1000000 % 1000));
        if (s->icount != UINT64_MAX) {
            snprintf(icount, sizeof(icount), "%" PRIu64, s->icount);
        }
        printf("%-9s %-16s %8s%20s%13s%11s\n", s->id, s->name, size, date, clock, icount);
    }
}

static Json *snapshots_json(BlockNode *n)
{
    GPtrArray *list = n->driver->snapshots ? n->driver->snapshots(n) : NULL;
    Json *a = list && list->len ? json_array() : NULL;
    for (guint i = 0; a && i < list->len; i++) {
        const BlockSnapshot *s = list->pdata[i];
        Json *o = json_object();
        if (s->icount != UINT64_MAX) {
            json_set_uint(o, "icount", s->icount);
        }
        json_set_uint(o, "vm-clock-nsec", s->vm_clock_ns % 1000000000);
        json_set_str(o, "name", s->name);
        json_set_uint(o, "date-sec", s->date_sec);
        json_set_uint(o, "date-nsec", s->date_nsec);
        json_set_uint(o, "vm-clock-sec", s->vm_clock_ns / 1000000000);
        json_set_str(o, "id", s->id);
        json_set_uint(o, "vm-state-size", s->vm_state_size);
        json_append(a, o);
    }
    return a;
}

static Json *info_json(BlockNode *n, const char *name)
{
    Json *o = json_object(), *special = n->driver->info ? n->driver->info(n) : NULL;
    Json *snapshots = snapshots_json(n);
    if (snapshots) {
        json_set(o, "snapshots", snapshots);
    }
    if (n->backing_format) {
        json_set_str(o, "backing-filename-format", n->backing_format);
    }
    json_set_uint(o, "virtual-size", node_length(n));
    json_set_str(o, "filename", name);
    if (n->cluster_size) {
        json_set_uint(o, "cluster-size", n->cluster_size);
    }
    json_set_str(o, "format", n->driver->name);
    json_set_uint(o, "actual-size", disk_usage(n));
    if (special) {
        json_set(o, "format-specific", special);
    }
    if (n->backing_file) {
        g_autofree char *full = node_full_path(name, n->backing_file);
        json_set_str(o, "full-backing-filename", full);
        json_set_str(o, "backing-filename", n->backing_file);
    }
    json_set_bool(o, "dirty-flag", false);
    return o;
}

/* Indented; "lazy-refcounts" -> "lazy refcounts" */
static void print_special(const Json *data, int indent)
{
    for (guint i = 0; i < json_len(data); i++) {
        const Json *v = json_at(data, i);
        g_autofree char *key = data->type == JSON_ARRAY
            ? g_strdup_printf("[%u]", i) : g_strdelimit(g_strdup(json_key_at(data, i)), "-", ' ');
        if (v->type == JSON_OBJECT || v->type == JSON_ARRAY) {
            printf("%*s%s:\n", indent, "", key);
            print_special(v, indent + 4);
        } else {
            g_autofree char *text = v->type == JSON_STRING ? g_strdup(v->s) : json_to_string(v);
            printf("%*s%s: %s\n", indent, "", key, text);
        }
    }
}

static void print_info(BlockNode *n, const char *name)
{
    g_autofree char *size = pretty_size(node_length(n)), *used = pretty_size(disk_usage(n));
    printf("image: %s\nfile format: %s\nvirtual size: %s (%" PRId64 " bytes)\ndisk size: %s\n", name,
           n->driver->name, size, node_length(n), used);
    if (n->cluster_size) {
        printf("cluster_size: %u\n", n->cluster_size);
    }
    if (n->backing_file) {
        g_autofree char *full = node_full_path(name, n->backing_file);
        printf("backing file: %s", n->backing_file);
        if (strcmp(full, n->backing_file)) {
            printf(" (actual path: %s)", full);
        }
        printf("\n");
        if (n->backing_format) {
            printf("backing file format: %s\n", n->backing_format);
        }
    }
    img_print_snapshots(n);
    g_autoptr(Json) special = n->driver->info ? n->driver->info(n) : NULL;
    if (special) {
        printf("Format specific information:\n");
        print_special(json_get(special, "data"), 4);
    }
}

/* Each image of the chain by itself, so that one that can't be opened hides none above it. */
static int info_chain(const char *first, const ImgOpen *how, bool chain, bool json)
{
    g_autoptr(Json) list = json_array();
    g_autofree char *name = g_strdup(first), *format = g_strdup(how->format);
    g_autoptr(GHashTable) seen = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    unsigned n_shown = 0;
    for (bool more = true; more;) {
        ImgOpen one = *how;
        one.format = format;
        one.image_opts = how->image_opts && !n_shown;
        if (!g_hash_table_add(seen, g_strdup(name))) {
            return img_fail_text("Backing file '%s' creates an infinite loop.", name);
        }
        BlockNode *n = img_open(name, &one);
        if (!n) {
            return 1;
        }
        const char *shown = img_shown_name(n, name);
        if (json) {
            json_append(list, info_json(n, shown));
        } else {
            if (n_shown++) {
                printf("\n");
            }
            print_info(n, shown);
        }
        more = chain && n->backing_file;
        if (more) {
            char *next = node_full_path(shown, n->backing_file);
            g_free(name);
            name = next;
            g_free(format);
            format = g_strdup(n->backing_format);
        }
        node_unref(n);
    }
    if (json) {
        img_print_json(chain ? list : json_at(list, 0));
    }
    return 0;
}

int img_cmd_info(int argc, char **argv)
{
    ImgOpen how = { .no_backing = true };
    bool json = false, chain = false;
    static const struct option longs[] = {
        { "image-opts", no_argument, 0, OPT_IMAGE_OPTS }, { "output", required_argument, 0, OPT_OUTPUT },
        { "backing-chain", no_argument, 0, OPT_BACKING_CHAIN }, { "force-share", no_argument, 0, 'U' },
        { "format", required_argument, 0, 'f' }, { 0 } };
    for (int c; (c = img_getopt(argc, argv, "f:U", longs)) != -1;) {
        switch (c) {
        case 'f': how.format = optarg; break;
        case 'U': how.share = true; break;
        case OPT_IMAGE_OPTS: how.image_opts = true; break;
        case OPT_BACKING_CHAIN: chain = true; break;
        case OPT_OUTPUT:
            if (!img_output(optarg, &json)) {
                return 1;
            }
            break;
        default: return 1;
        }
    }
    const char *name = img_one_name(argc, argv);
    return name ? info_chain(name, &how, chain, json) : 1;
}

/* ---- check --------------------------------------------------------------------------------------- */

static void print_check(const BlockCheck *c)
{
    if (!c->check_errors && !c->corruptions && !c->leaks) {
        printf("No errors were found on the image.\n");
    }
    if (c->corruptions) {
        printf("\n%" PRIu64 " errors were found on the image.\n"
               "Data may be corrupted, or further writes to the image may corrupt it.\n",
               c->corruptions);
    }
    if (c->leaks) {
        printf("\n%" PRIu64 " leaked clusters were found on the image.\n"
               "This means waste of disk space, but no harm to data.\n", c->leaks);
    }
    if (c->check_errors) {
        printf("\n%" PRIu64 " internal errors have occurred during the check.\n", c->check_errors);
    }
    if (c->total && c->allocated) {
        printf("%" PRIu64 "/%" PRIu64 " = %0.2f%% allocated, %0.2f%% fragmented, %0.2f%% compressed "
               "clusters\n", c->allocated, c->total, c->allocated * 100.0 / c->total,
               c->fragmented * 100.0 / c->allocated, c->compressed * 100.0 / c->allocated);
    }
    if (c->image_end) {
        printf("Image end offset: %" PRIu64 "\n", c->image_end);
    }
}

static void print_check_json(const BlockCheck *c, BlockNode *n, const char *name)
{
    const struct {
        const char *key;
        uint64_t value;
        bool always;
    } rows[] = {
        { "image-end-offset", c->image_end, false }, { "total-clusters", c->total, false },
        { "check-errors", c->check_errors, true }, { "corruptions", c->corruptions, false },
        { "corruptions-fixed", c->corruptions_fixed, false }, { "leaks", c->leaks, false },
        { "leaks-fixed", c->leaks_fixed, false }, { "allocated-clusters", c->allocated, false },
        { "fragmented-clusters", c->fragmented, false },
        { "compressed-clusters", c->compressed, false },
    };
    g_autoptr(Json) o = json_object();
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        if (rows[i].always || rows[i].value) {
            json_set_uint(o, rows[i].key, rows[i].value);
        }
    }
    json_set_str(o, "filename", name);
    json_set_str(o, "format", n->driver->name);
    img_print_json(o);
}

/* 0 fine, 1 could not check, 2 corrupt, 3 leaks; 63 no check for this format. */
static int check(BlockNode *n, const char *name, int fix, bool json, bool quiet)
{
    BlockCheck c, again;
    Error *err = NULL;
    if (!n->driver->check) {
        img_fail_text("This image format does not support checks");
        return 63;
    }
    g_autoptr(GString) log = g_string_new(NULL);
    if (!n->driver->check(n, fix, &c, log, &err)) {
        img_fail(err);
        return 1;
    }
    fputs(log->str, stderr);
    if (c.corruptions_fixed || c.leaks_fixed) {
        if (!json && !quiet) {
            printf("The following inconsistencies were found and repaired:\n\n    %" PRIu64
                   " leaked clusters\n    %" PRIu64 " corruptions\n\nDouble checking the fixed image "
                   "now...\n", c.leaks_fixed, c.corruptions_fixed);
        }
        if (!n->driver->check(n, 0, &again, NULL, &err)) {
            img_fail(err);
            return 1;
        }
        again.leaks_fixed = c.leaks_fixed;
        again.corruptions_fixed = c.corruptions_fixed;
        c = again;
    }
    if (json) {
        print_check_json(&c, n, name);
    } else if (!quiet) {
        print_check(&c);
    }
    return c.check_errors ? 1 : c.corruptions ? 2 : c.leaks ? 3 : 0;
}

int img_cmd_check(int argc, char **argv)
{
    ImgOpen how = { .check = true, .no_backing = true };
    bool json = false, quiet = false;
    int fix = 0;
    static const struct option longs[] = {
        { "image-opts", no_argument, 0, OPT_IMAGE_OPTS }, { "output", required_argument, 0, OPT_OUTPUT },
        { "repair", required_argument, 0, 'r' }, { "force-share", no_argument, 0, 'U' },
        { "format", required_argument, 0, 'f' }, { 0 } };
    for (int c; (c = img_getopt(argc, argv, "f:r:T:qU", longs)) != -1;) {
        switch (c) {
        case 'f': how.format = optarg; break;
        case 'T': how.cache = optarg; break;
        case 'q': quiet = true; break;
        case 'U': how.share = true; break;
        case OPT_IMAGE_OPTS: how.image_opts = true; break;
        case 'r':
            if (strcmp(optarg, "leaks") && strcmp(optarg, "all")) {
                return img_usage("Unknown option value for -r (expecting 'leaks' or 'all'): %s", optarg);
            }
            fix = BLOCK_FIX_LEAKS | (*optarg == 'a' ? BLOCK_FIX_ERRORS : 0);
            how.write = true;
            break;
        case OPT_OUTPUT:
            if (!img_output(optarg, &json)) {
                return 1;
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
    int status = check(n, img_shown_name(n, name), fix, json, quiet);
    node_unref(n);
    return status;
}

/* ---- map ----------------------------------------------------------------------------------------- */

typedef struct Entry {
    uint64_t start, length;
    int depth;
    bool present;
    BlockStatus st;
} Entry;

static const char *file_of(const Entry *e)
{
    return e->st.file ? node_file_name(e->st.file) : "";
}

static bool joins(const Entry *a, const Entry *b)
{
    return a->depth == b->depth && a->present == b->present && a->st.zero == b->st.zero
           && a->st.data == b->st.data && a->st.has_offset == b->st.has_offset
           && (!a->st.has_offset || (a->st.offset + a->length == b->st.offset
                                     && a->st.file == b->st.file));
}

static int print_entry(const Entry *e, bool json, bool first)
{
    if (json) {
        printf("%s{ \"start\": %" PRIu64 ", \"length\": %" PRIu64 ", \"depth\": %d, \"present\": %s, "
               "\"zero\": %s, \"data\": %s", first ? "[" : ",\n", e->start, e->length, e->depth,
               e->present ? "true" : "false", e->st.zero ? "true" : "false",
               e->st.data ? "true" : "false");
        if (e->st.has_offset) {
            printf(", \"offset\": %" PRIu64, e->st.offset);
        }
        printf("}");
    } else if (e->st.data && !e->st.has_offset) {
        return img_fail_text("File contains external, encrypted or compressed clusters.");
    } else if (e->st.data && !e->st.zero) {
        printf("%#-16" PRIx64 "%#-16" PRIx64 "%#-16" PRIx64 "%s\n", e->start, e->length, e->st.offset,
               file_of(e));
    }
    return 0;
}

static uint64_t length_at(BlockNode *n, int depth)
{
    while (depth-- && n) {
        n = n->backing;
    }
    return n ? node_length(n) : 0;
}

static int map(BlockNode *n, uint64_t at, uint64_t end, bool json)
{
    Entry cur = { 0 };
    bool first = true;
    if (!json) {
        printf("%-16s%-16s%-16s%s\n", "Offset", "Length", "Mapped to", "File");
    }
    while (at < end) {
        Entry e = { .start = at };
        int ret = node_status_above(n, NULL, at, end - at, &e.st, &e.depth);
        if (ret < 0) {
            return img_fail_text("Failed to read image metadata: %s", g_strerror(-ret));
        }
        e.present = e.st.allocated;
        e.length = e.st.len;
        if (e.present && at >= length_at(n, e.depth)) {
            e.present = false;          /* behind the end of a short backing file */
        }
        if (!e.present && e.depth) {
            e.depth--;                  /* the last one of the chain, as it is nobody's */
        }
        at += e.length;
        if (cur.length && joins(&cur, &e)) {
            cur.length += e.length;
            continue;
        }
        if (cur.length) {
            ret = print_entry(&cur, json, first);
            first = false;
            if (ret) {
                return ret;
            }
        }
        cur = e;
    }
    int status = cur.length ? print_entry(&cur, json, first) : 0;
    if (json) {
        printf("%s]\n", cur.length ? "" : "[");
    }
    return status;
}

int img_cmd_map(int argc, char **argv)
{
    ImgOpen how = { 0 };
    bool json = false;
    uint64_t start = 0, max = UINT64_MAX;
    static const struct option longs[] = {
        { "image-opts", no_argument, 0, OPT_IMAGE_OPTS }, { "output", required_argument, 0, OPT_OUTPUT },
        { "start-offset", required_argument, 0, OPT_START }, { "force-share", no_argument, 0, 'U' },
        { "max-length", required_argument, 0, OPT_MAX_LENGTH }, { "format", required_argument, 0, 'f' },
        { 0 } };
    for (int c; (c = img_getopt(argc, argv, "f:s:l:U", longs)) != -1;) {
        switch (c) {
        case 'f': how.format = optarg; break;
        case 'U': how.share = true; break;
        case OPT_IMAGE_OPTS: how.image_opts = true; break;
        case 's': case OPT_START:
            if (!img_size("start offset", optarg, &start)) {
                return 1;
            }
            break;
        case 'l': case OPT_MAX_LENGTH:
            if (!img_size("max length", optarg, &max)) {
                return 1;
            }
            break;
        case OPT_OUTPUT:
            if (!img_output(optarg, &json)) {
                return 1;
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
    uint64_t length = node_length(n);
    uint64_t end = max < length - MIN(start, length) ? start + max : length;
    int status = map(n, start, end, json);
    node_unref(n);
    return status;
}
