/* SPDX-License-Identifier: MIT */
/*
 * Machine protocol: descriptors that a client passes (SCM_RIGHTS) and names with getfd, for a
 * later command to take.  They are kept for the session they came by.
 */
#include "monitor/internal.h"

#include <string.h>
#include <unistd.h>

#define KEPT_MAX 256

typedef struct KeptFd {
    const void *session;
    char *name;
    int fd;
} KeptFd;

static GArray *kept;                    /* of KeptFd */

static int find(const char *name)
{
    for (guint i = 0; kept && i < kept->len; i++) {
        const KeptFd *k = &g_array_index(kept, KeptFd, i);
        if (k->session == (const void *)qmp_session() && !strcmp(k->name, name)) {
            return i;
        }
    }
    return -1;
}

static int take(int i)
{
    KeptFd k = g_array_index(kept, KeptFd, i);

    g_array_remove_index(kept, i);
    g_free(k.name);
    return k.fd;
}

int qmp_fd_take(const char *name, Error **err)
{
    int i = find(name);

    if (i < 0) {
        fail(err, "File descriptor named '%s' has not been found", name);
        return -1;
    }
    return take(i);
}

void qmp_fd_forget(const void *session)
{
    for (guint i = kept ? kept->len : 0; i-- > 0;) {
        if (g_array_index(kept, KeptFd, i).session == session) {
            close(take(i));
        }
    }
}

static Json *cmd_getfd(const Json *args, Error **err)
{
    const char *name = json_get(args, "fdname")->s;
    int fd = qmp_session() ? char_take_fd(qmp_session()->chr) : -1, old = find(name);

    if (fd < 0) {
        fail(err, "No file descriptor supplied via SCM_RIGHTS");
    } else if (g_ascii_isdigit(name[0])) {
        fail(err, "Parameter 'fdname' expects a name not starting with a digit");
        close(fd);
    } else if (old < 0 && kept && kept->len >= KEPT_MAX) {
        fail(err, "there are %d descriptors already", KEPT_MAX);
        close(fd);
    } else {
        KeptFd k = { qmp_session(), g_strdup(name), fd };
        if (old >= 0) {
            close(take(old));
        }
        kept = kept ? kept : g_array_new(FALSE, FALSE, sizeof(KeptFd));
        g_array_append_val(kept, k);
    }
    return NULL;
}

static Json *cmd_closefd(const Json *args, Error **err)
{
    int fd = qmp_fd_take(json_get(args, "fdname")->s, err);

    if (fd >= 0) {
        close(fd);
    }
    return NULL;
}

const QmpCommand qmp_fd_commands[] = {
    { "getfd", "fdname:s", cmd_getfd },
    { "closefd", "fdname:s", cmd_closefd },
    { NULL }
};
