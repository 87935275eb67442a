/* SPDX-License-Identifier: MIT */
/*
 * Image locks: the byte layout of block/file.c's heading, with open-file-description locks,
 * which belong to the descriptor and not to the process (fcntl(2), "Open file description
 * locks").
 */
#include "block/lock.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Permissions: the bit is the byte's offset from the base. */
enum { PERM_READ = 0, PERM_WRITE = 1, PERM_WRITE_UNCHANGED = 2, PERM_RESIZE = 3, PERMS = 4 };
#define HELD_BASE 100
#define UNSHARED_BASE 200

static const char *const perm_names[PERMS] = {
    "consistent read", "write", "write unchanged", "resize",
};

static int lock_byte(int fd, int cmd, short type, off_t byte, struct flock *out)
{
    *out = (struct flock) { .l_type = type, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1 };
    int ret;
    do {
        ret = fcntl(fd, cmd, out);
    } while (ret < 0 && errno == EINTR);
    return ret;
}

/* Does the process with this /proc entry hold a lock on the file?  Its descriptors tell. */
static bool holds_lock(const char *pid, const struct stat *want)
{
    char path[600], line[256];
    bool found = false;
    snprintf(path, sizeof(path), "/proc/%s/fdinfo", pid);
    DIR *dir = opendir(path);
    for (struct dirent *e; dir && !found && (e = readdir(dir));) {
        struct stat st;
        snprintf(path, sizeof(path), "/proc/%s/fd/%s", pid, e->d_name);
        if (stat(path, &st) < 0 || st.st_dev != want->st_dev || st.st_ino != want->st_ino) {
            continue;
        }
        snprintf(path, sizeof(path), "/proc/%s/fdinfo/%s", pid, e->d_name);
        FILE *f = fopen(path, "re");
        while (f && !found && fgets(line, sizeof(line), f)) {
            found = !strncmp(line, "lock:", 5);
        }
        if (f) {
            fclose(f);
        }
    }
    if (dir) {
        closedir(dir);
    }
    return found;
}

/* " (process 123, qemu-img)" for messages; NULL if nobody can be named. g_free */
static char *holder(int fd)
{
    struct stat st;
    char *text = NULL;
    DIR *proc = opendir("/proc");
    if (!proc || fstat(fd, &st) < 0) {
        return NULL;
    }
    for (struct dirent *e; !text && (e = readdir(proc));) {
        if (!g_ascii_isdigit(e->d_name[0]) || atoi(e->d_name) == getpid()
            || !holds_lock(e->d_name, &st)) {
            continue;
        }
        g_autofree char *path = g_strdup_printf("/proc/%s/comm", e->d_name);
        g_autofree char *comm = NULL;
        if (g_file_get_contents(path, &comm, NULL, NULL)) {
            g_strchomp(comm);
        }
        text = g_strdup_printf(" (process %s%s%s)", e->d_name, comm ? ", " : "", comm ? comm : "");
    }
    closedir(proc);
    return text;
}

static bool conflict(int fd, const char *filename, const char *shared, int perm, Error **err)
{
    g_autofree char *who = holder(fd);
    return fail(err, "Failed to get %s\"%s\" lock: Is another process using the image [%s]?%s",
                shared, perm_names[perm], filename, who ? who : "");
}

/* Somebody has a lock on this byte (we test with the type that conflicts with theirs). */
static bool taken(int fd, off_t byte)
{
    struct flock fl;
    return lock_byte(fd, F_OFD_GETLK, F_WRLCK, byte, &fl) == 0 && fl.l_type != F_UNLCK;
}

bool image_lock(int fd, const char *filename, bool writer, Error **err)
{
    /* as a disk that is not shared: nobody else may write or resize meanwhile */
    const bool held[PERMS] = { [PERM_READ] = true, [PERM_WRITE] = writer };
    const bool unshared[PERMS] = { [PERM_WRITE] = true, [PERM_RESIZE] = true };
    struct flock fl;
    for (int p = 0; p < PERMS; p++) {
        if ((held[p] && lock_byte(fd, F_OFD_SETLK, F_RDLCK, HELD_BASE + p, &fl) < 0)
            || (unshared[p] && lock_byte(fd, F_OFD_SETLK, F_RDLCK, UNSHARED_BASE + p, &fl) < 0)) {
            if (errno != EAGAIN && errno != EACCES) {
                return true;            /* no locks on this file system */
            }
            return conflict(fd, filename, "", p, err);
        }
    }
    /* first lock, then look: of two that start at once, at least one sees the other */
    for (int p = 0; p < PERMS; p++) {
        if (held[p] && taken(fd, UNSHARED_BASE + p)) {
            return conflict(fd, filename, "", p, err);
        }
        if (unshared[p] && taken(fd, HELD_BASE + p)) {
            return conflict(fd, filename, "shared ", p, err);
        }
    }
    return true;
}
