/* SPDX-License-Identifier: MIT */
/*
 * orrery-nbd: exports a disk image to NBD clients.  Options are qemu-nbd's.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "block/nbd.h"
#include "util/mainloop.h"
#include "util/opts.h"
#include "util/parse.h"
#include "util/version.h"

typedef struct Settings {
    const char *format, *file, *name, *description, *bind, *port, *socket, *pid_file, *cache, *discard,
        *detect_zeroes, *aio, *snapshot_name;
    bool read_only, persistent, snapshot, fork, image_opts, allocation_depth, verbose;
    unsigned shared;
    uint64_t offset;
} Settings;

enum { OPT_CACHE = 256, OPT_AIO, OPT_DISCARD, OPT_DETECT_ZEROES, OPT_PID_FILE, OPT_FORK, OPT_IMAGE_OPTS };

static volatile sig_atomic_t asked_to_end;
static bool persistent;
static char *unlink_at_end;

static void help(void)
{
    printf("Usage: orrery-nbd [OPTIONS] FILE\n"
           "Export a disk image with the NBD protocol\n\n"
           "  -p, --port=PORT           port to listen on (default 10809)\n"
           "  -b, --bind=ADDRESS        address to listen on (default all)\n"
           "  -k, --socket=PATH         unix socket to listen on instead\n"
           "  -e, --shared=NUM          so many clients at a time (default 1, 0 = any number)\n"
           "  -t, --persistent          don't exit when the last client left\n"
           "  -x, --export-name=NAME    name of the export (default empty)\n"
           "  -D, --description=TEXT    description of the export\n"
           "  -A, --allocation-depth    offer the metadata context qemu:allocation-depth\n"
           "  -r, --read-only           clients can't write\n"
           "  -s, --snapshot            writes go to a temporary file\n"
           "  -l, --load-snapshot=NAME  an internal snapshot, read-only\n"
           "  -f, --format=FORMAT       format of the image (default: by its contents)\n"
           "  -o, --offset=BYTES        begin there (raw images)\n"
           "      --image-opts          FILE is an option string (driver=qcow2,file.filename=...)\n"
           "  -n, --nocache             the same as --cache=none\n"
           "      --cache=MODE          writeback, none, writethrough, directsync, unsafe\n"
           "      --aio=MODE            threads, native, io_uring\n"
           "      --discard=MODE        ignore, unmap\n"
           "      --detect-zeroes=MODE  off, on, unmap\n"
           "      --fork                go to the background when clients can connect\n"
           "      --pid-file=PATH       write the process id there\n"
           "  -v, --verbose             accepted\n"
           "  -h, --help    -V, --version\n");
}

static bool take_option(Settings *s, int c)
{
    switch (c) {
    case 'p': s->port = optarg; return true;
    case 'b': s->bind = optarg; return true;
    case 'k': s->socket = optarg; return true;
    case 'e': s->shared = atoi(optarg); return true;
    case 't': s->persistent = true; return true;
    case 'x': s->name = optarg; return true;
    case 'D': s->description = optarg; return true;
    case 'A': s->allocation_depth = true; return true;
    case 'r': s->read_only = true; return true;
    case 's': s->snapshot = true; return true;
    case 'l': s->snapshot_name = optarg; s->read_only = true; return true;
    case 'f': s->format = optarg; return true;
    case 'n': s->cache = "none"; return true;
    case 'v': s->verbose = true; return true;
    case OPT_CACHE: s->cache = optarg; return true;
    case OPT_AIO: s->aio = optarg; return true;
    case OPT_DISCARD: s->discard = optarg; return true;
    case OPT_DETECT_ZEROES: s->detect_zeroes = optarg; return true;
    case OPT_PID_FILE: s->pid_file = optarg; return true;
    case OPT_FORK: s->fork = true; return true;
    case OPT_IMAGE_OPTS: s->image_opts = true; return true;
    case 'o':
        if (!parse_size(optarg, 1, &s->offset)) {
            error_report("Invalid offset '%s'", optarg);
            return false;
        }
        return true;
    case 'c': case 'd': case 'L':
        error_report("option '-%c' is not supported: the kernel's nbd devices are attached with "
                     "nbd-client, exports listed with nbdinfo", c);
        return false;
    default: return false;
    }
}

static bool set_cache(const char *mode, BlockFlags *f, bool *writethrough)
{
    static const char *const modes[] = { "none", "off", "directsync", "unsafe", "writeback",
                                         "writethrough", NULL };
    mode = mode ? mode : "writeback";
    f->direct = !strcmp(mode, "none") || !strcmp(mode, "off") || !strcmp(mode, "directsync");
    f->no_flush = !strcmp(mode, "unsafe");
    *writethrough = !strcmp(mode, "writethrough") || !strcmp(mode, "directsync");
    if (!g_strv_contains(modes, mode)) {
        error_report("Invalid cache mode '%s'", mode);
        return false;
    }
    return true;
}

static Json *node_options(const Settings *s)
{
    Json *o = json_object();
    if (s->discard) {
        json_set_str(o, "discard", s->discard);
    }
    if (s->detect_zeroes) {
        json_set_str(o, "detect-zeroes", s->detect_zeroes);
    }
    if (s->offset) {
        json_set_uint(o, "offset", s->offset);
    }
    if (s->aio) {
        Json *f = json_object();
        json_set_str(f, "aio", s->aio);
        json_set(o, "file", f);
    }
    return o;
}

static BlockNode *open_image(const Settings *s, bool *writethrough, Error **err)
{
    BlockFlags flags = { .read_only = s->read_only || s->snapshot, .unmap = true };
    BlockNode *n = NULL;
    if (!set_cache(s->cache, &flags, writethrough)) {
        exit(EXIT_FAILURE);
    }
    if (s->image_opts) {
        g_autoptr(Opts) opts = opts_parse("--image-opts", s->file, NULL, NULL, err);
        g_autoptr(Json) o = opts ? opts_to_json(opts, err) : NULL;
        if (o && !json_get(o, "driver")) {
            fail(err, "--image-opts: 'driver' is missing");
        } else if (o) {
            n = node_open(g_steal_pointer(&o), flags, err);
        }
    } else {
        n = node_open_file(s->file, s->format, node_options(s), flags, err);
    }
    if (n && s->snapshot_name) {
        const char *name = strrchr(s->snapshot_name, '=');
        name = name ? name + 1 : s->snapshot_name;
        if (!n->driver->snapshot_load || !n->driver->snapshot_load(n, name, err)) {
            fail(n->driver->snapshot_load ? NULL : err, "format '%s' has no internal snapshots",
                 n->driver->name);
            node_unref(n);
            return NULL;
        }
    }
    return n && s->snapshot ? overlay_open(n, err) : n;
}

static void on_signal(int sig)
{
    asked_to_end = 1;
    mainloop_wake();
}

static void connections_changed(void)
{
    if (!nbd_connections() && !persistent) {
        asked_to_end = 1;               /* the last one left (the first, if it was quick) */
    }
}

static int listener(const Settings *s, Error **err)
{
    const char *fds = getenv("LISTEN_FDS"), *pid = getenv("LISTEN_PID");
    if (fds && pid && atoi(pid) == getpid() && atoi(fds) == 1) {
        return 3;                       /* socket activation, sd_listen_fds(3) */
    }
    if (s->socket) {
        int fd = nbd_listen_unix(s->socket, err);
        if (fd >= 0) {
            unlink_at_end = g_canonicalize_filename(s->socket, NULL);
        }
        return fd;
    }
    return nbd_listen_inet(s->bind, s->port ? s->port : "10809", err);
}

/* The parent waits for the child's byte: clients can connect when it ends. */
static int to_background(void)
{
    int fds[2];
    char byte;
    if (pipe(fds) < 0) {
        die("pipe: %s", g_strerror(errno));
    }
    pid_t pid = fork();
    if (pid < 0) {
        die("fork: %s", g_strerror(errno));
    }
    if (pid) {
        close(fds[1]);
        if (read(fds[0], &byte, 1) == 1) {
            _exit(0);
        }
        int status;
        waitpid(pid, &status, 0);
        _exit(EXIT_FAILURE);
    }
    close(fds[0]);
    setsid();
    return fds[1];
}

static void write_pid(const char *path)
{
    g_autofree char *text = g_strdup_printf("%d\n", getpid());
    GError *err = NULL;
    if (path && !g_file_set_contents(path, text, -1, &err)) {
        die("%s", err->message);
    }
}

static int serve(const Settings *s)
{
    Error *err = NULL;
    bool writethrough = false;
    int ready = s->fork ? to_background() : -1;
    mainloop_init();
    BlockNode *n = open_image(s, &writethrough, &err);
    int fd = n ? listener(s, &err) : -1;
    if (!n || fd < 0) {
        die("%s", err->message);
    }
    NbdExportOptions o = { .id = "orrery-nbd", .name = s->name ? s->name : "", .node = n,
                           .description = s->description, .writable = !s->read_only,
                           .writethrough = writethrough, .shared = s->shared != 1,
                           .allocation_depth = s->allocation_depth };
    if (!nbd_export_add(&o, &err) || !nbd_server_start(fd, s->shared, &err)) {
        die("%s", err->message);
    }
    node_unref(n);
    write_pid(s->pid_file);
    if (ready >= 0) {
        ssize_t ignored = write(ready, "", 1);
        (void)ignored;
        close(ready);
        int null = open("/dev/null", O_RDWR | O_CLOEXEC);
        for (int std = 0; null >= 0 && std < 3; std++) {
            dup2(null, std);
        }
    }
    while (!asked_to_end) {
        mainloop_iterate(true);
    }
    nbd_server_stop();
    mainloop_iterate(false);            /* the export's last reference goes there */
    if (unlink_at_end) {
        unlink(unlink_at_end);
    }
    return 0;
}

int main(int argc, char **argv)
{
    static const struct option longs[] = {
        { "port", 1, 0, 'p' }, { "bind", 1, 0, 'b' }, { "socket", 1, 0, 'k' }, { "shared", 1, 0, 'e' },
        { "persistent", 0, 0, 't' }, { "export-name", 1, 0, 'x' }, { "description", 1, 0, 'D' },
        { "allocation-depth", 0, 0, 'A' }, { "read-only", 0, 0, 'r' }, { "snapshot", 0, 0, 's' },
        { "load-snapshot", 1, 0, 'l' }, { "format", 1, 0, 'f' }, { "offset", 1, 0, 'o' },
        { "image-opts", 0, 0, OPT_IMAGE_OPTS }, { "nocache", 0, 0, 'n' }, { "cache", 1, 0, OPT_CACHE },
        { "aio", 1, 0, OPT_AIO }, { "discard", 1, 0, OPT_DISCARD }, { "connect", 1, 0, 'c' },
        { "detect-zeroes", 1, 0, OPT_DETECT_ZEROES }, { "fork", 0, 0, OPT_FORK },
        { "pid-file", 1, 0, OPT_PID_FILE }, { "verbose", 0, 0, 'v' }, { "help", 0, 0, 'h' },
        { "version", 0, 0, 'V' }, { "disconnect", 0, 0, 'd' }, { "list", 0, 0, 'L' }, { 0 } };
    Settings s = { .shared = 1 };
    g_set_prgname("orrery-nbd");
    for (int c; (c = getopt_long(argc, argv, "p:b:k:e:tx:D:Arsl:f:o:nc:dLvhV", longs, NULL)) != -1;) {
        if (c == 'h') {
            help();
            return 0;
        }
        if (c == 'V') {
            printf("orrery-nbd version %s\n", ORRERY_VERSION);
            return 0;
        }
        if (!take_option(&s, c)) {
            return EXIT_FAILURE;
        }
    }
    if (optind != argc - 1) {
        error_report(optind < argc ? "Invalid number of arguments" : "No image file given");
        return EXIT_FAILURE;
    }
    s.file = argv[optind];
    persistent = s.persistent;
    nbd_connections_changed = connections_changed;
    signal(SIGPIPE, SIG_IGN);
    signal(SIGTERM, on_signal);
    signal(SIGINT, on_signal);
    signal(SIGHUP, on_signal);
    return serve(&s);
}
