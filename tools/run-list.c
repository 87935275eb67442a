/* SPDX-License-Identifier: MIT */
/*
 * orrery stop and orrery list: machines that `orrery run --background` started.  Each has a
 * socket NAME.qmp and a locked NAME.pid in a folder of the user's.
 */
#include "tools/run.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

char *run_program(const char *name, Error **err)
{
    char self[4096];
    ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
    if (n > 0) {
        self[n] = 0;
        g_autofree char *dir = g_path_get_dirname(self);
        char *path = g_build_filename(dir, name, NULL);
        if (access(path, X_OK) == 0) {
            return path;
        }
        g_free(path);
    }
    char *path = g_find_program_in_path(name);
    if (!path) {
        fail(err, "%s is neither beside this program nor in PATH", name);
    }
    return path;
}

char *run_folder(Error **err)
{
    const char *base = getenv("XDG_RUNTIME_DIR");
    char *folder = base && *base ? g_build_filename(base, "orrery", NULL)
                   : geteuid() == 0 ? g_strdup("/run/orrery")
                   : g_strdup_printf("/tmp/orrery-%u", (unsigned)geteuid());
    struct stat st;
    if ((mkdir(folder, 0700) < 0 && errno != EEXIST) || lstat(folder, &st) < 0) {
        fail_errno(err, errno, "%s", folder);
    } else if (!S_ISDIR(st.st_mode) || st.st_uid != geteuid() || (st.st_mode & 022)) {
        fail(err, "%s: is not a folder that belongs to this user alone", folder);
    } else {
        return folder;
    }
    g_free(folder);
    return NULL;
}

static int connect_to(const char *folder, const char *name)
{
    g_autofree char *path = g_strdup_printf("%s/%s.qmp", folder, name);
    struct sockaddr_un a = { .sun_family = AF_UNIX };
    if (strlen(path) >= sizeof(a.sun_path)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    strcpy(a.sun_path, path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0) {
        int e = errno;
        close(fd);
        errno = e;
        return -1;
    }
    return fd;
}

/* The machine's answers are not looked at: what counts is that it ends. */
static bool press(int fd, const char *command)
{
    g_autofree char *text = g_strdup_printf("{\"execute\":\"qmp_capabilities\"}\n"
                                            "{\"execute\":\"%s\"}\n", command);
    return send(fd, text, strlen(text), MSG_NOSIGNAL) == (ssize_t)strlen(text);
}

/* Until the machine closes the connection, which it does when it ends. */
static bool wait_for_end(int fd, unsigned seconds)
{
    char buf[4096];
    gint64 end = g_get_monotonic_time() + (gint64)seconds * G_USEC_PER_SEC;
    struct timeval tv = { .tv_sec = 1 };
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
    while (g_get_monotonic_time() < end) {
        ssize_t n = recv(fd, buf, sizeof(buf), 0);
        if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
            return true;
        }
    }
    return false;
}

int run_stop_main(int argc, char **argv)
{
    bool now = argc == 3 && !strcmp(argv[2], "--now");
    Error *err = NULL;
    if (argc < 2 || (argc > 2 && !now) || argv[1][0] == '-') {
        error_report("usage: orrery stop NAME [--now]");
        return EXIT_FAILURE;
    }
    g_autofree char *folder = run_folder(&err);
    int fd = folder ? connect_to(folder, argv[1]) : -1;
    if (fd < 0) {
        error_report(folder ? "no machine '%s' runs in the background (orrery list shows those that do)"
                            : "%s", folder ? argv[1] : err->message);
        return EXIT_FAILURE;
    }
    if (!press(fd, now ? "quit" : "system_powerdown")) {
        error_report("%s: %s", argv[1], g_strerror(errno));
        return EXIT_FAILURE;
    }
    if (!wait_for_end(fd, now ? 10 : 60)) {
        error_report("'%s' has not ended within %d s (orrery stop %s --now pulls its plug)", argv[1],
                     now ? 10 : 60, argv[1]);
        return EXIT_FAILURE;
    }
    return EXIT_SUCCESS;
}

int run_list_main(int argc, char **argv)
{
    Error *err = NULL;
    if (argc > 1) {
        error_report("usage: orrery list");
        return EXIT_FAILURE;
    }
    g_autofree char *folder = run_folder(&err);
    GDir *dir = folder ? g_dir_open(folder, 0, &err) : NULL;
    if (!dir) {
        error_report("%s", err->message);
        return EXIT_FAILURE;
    }
    for (const char *f; (f = g_dir_read_name(dir));) {
        if (g_str_has_suffix(f, ".qmp")) {
            g_autofree char *name = g_strndup(f, strlen(f) - 4);
            int fd = connect_to(folder, name);
            if (fd >= 0) {
                printf("%s\n", name);
                close(fd);
            }
        }
    }
    g_dir_close(dir);
    return EXIT_SUCCESS;
}
