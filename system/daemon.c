/* SPDX-License-Identifier: MIT */
/*
 * Going to the background so that whoever started us may rely on it: the parent returns only
 * when the sockets listen and the pid file is written, and with a failure if that failed.
 */
#include "system/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static int ready_pipe = -1;             /* the child's end */
static char *pidfile;
static pid_t pidfile_owner;

/* In the parent: one byte means success, the end of the pipe that the child is gone. */
static void G_GNUC_NORETURN wait_for_child(int fd, pid_t child)
{
    char status;
    ssize_t n;
    do {
        n = read(fd, &status, 1);
    } while (n < 0 && errno == EINTR);
    if (n != 1) {
        int how;
        waitpid(child, &how, 0);
        if (WIFSIGNALED(how)) {
            error_report("-daemonize: the process ended by signal %d", WTERMSIG(how));
        }
    }
    _exit(n == 1 ? 0 : 1);
}

bool daemon_begin(Error **err)
{
    int fds[2];
    if (pipe2(fds, O_CLOEXEC) < 0) {
        return fail_errno(err, errno, "-daemonize: pipe");
    }
    fflush(NULL);
    pid_t child = fork();
    if (child < 0) {
        return fail_errno(err, errno, "-daemonize: fork");
    }
    if (child > 0) {
        close(fds[1]);
        wait_for_child(fds[0], child);
    }
    close(fds[0]);
    ready_pipe = fds[1];
    setsid();
    umask(027);
    return true;
}

bool daemon_ready(bool keep_stderr, Error **err)
{
    if (ready_pipe < 0) {
        return true;
    }
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null < 0 || chdir("/") < 0) {
        return fail_errno(err, errno, "-daemonize: %s", null < 0 ? "/dev/null" : "/");
    }
    for (int fd = 0; fd < (keep_stderr ? 2 : 3); fd++) {
        dup2(null, fd);
    }
    close(null);
    if (write(ready_pipe, "", 1) != 1) {
        return fail_errno(err, errno, "-daemonize: the parent went away");
    }
    close(ready_pipe);
    ready_pipe = -1;
    return true;
}

static void remove_pidfile(void)
{
    if (pidfile && getpid() == pidfile_owner) {
        unlink(pidfile);
    }
}

bool pidfile_write(const char *path, Error **err)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0) {
        return fail_errno(err, errno, "-pidfile %s", path);
    }
    /* the lock tells another instance that the file is in use; it lasts as long as fd */
    struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
    if (fcntl(fd, F_SETLK, &lock) < 0) {
        int e = errno;
        close(fd);
        if (e == EACCES || e == EAGAIN) {
            return fail(err, "-pidfile %s: in use by another process", path);
        }
        return fail_errno(err, e, "-pidfile %s", path);
    }
    char text[16];
    int len = snprintf(text, sizeof(text), "%d\n", (int)getpid());
    if (ftruncate(fd, 0) < 0 || write(fd, text, len) != len) {
        fail_errno(err, errno, "-pidfile %s", path);
        close(fd);
        return false;
    }
    pidfile = realpath(path, NULL);
    pidfile_owner = getpid();
    atexit(remove_pidfile);
    return true;
}

bool drop_privileges(const char *root, const char *user, Error **err)
{
    const struct passwd *pw = NULL;
    if (user) {
        errno = 0;
        pw = getpwnam(user);            /* before /etc is out of sight */
        if (!pw) {
            return fail(err, "-runas %s: there is no such user", user);
        }
    }
    if (root && (chroot(root) < 0 || chdir("/") < 0)) {
        return fail_errno(err, errno, "-chroot %s", root);
    }
    if (pw && (initgroups(user, pw->pw_gid) < 0 || setgid(pw->pw_gid) < 0 || setuid(pw->pw_uid) < 0)) {
        return fail_errno(err, errno, "-runas %s", user);
    }
    if (pw && pw->pw_uid && setuid(0) == 0) {
        return fail(err, "-runas %s: the process could become root again", user);
    }
    return true;
}
