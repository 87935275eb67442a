/* SPDX-License-Identifier: MIT */
/*
 * In place of user.c in a build without libslirp.
 */
#include "net/user.h"

NetStreamHooks net_stream_hooks;

static bool absent(Error **err)
{
    return fail(err, "user mode network stack not in use: this binary was built without libslirp");
}

bool net_user_hostfwd_add(const char *id, const char *rule, Error **err)
{
    return absent(err);
}

bool net_user_hostfwd_remove(const char *id, const char *rule, Error **err)
{
    return absent(err);
}

void net_user_info(GString *out)
{
}
