/* SPDX-License-Identifier: MIT */
/*
 * What of user-mode networking belongs to the machine's saved state: which guest has which address
 * (the leases of the DHCP server), the numbers of IP packets.
 *
 * Connections do not: their other ends are sockets of this process, which a state that is loaded
 * elsewhere, or later, does not have.  They are left as they are: whoever loads a state in the
 * process that saved it finds those at work that have not moved on meanwhile.  libslirp would save
 * those of guestfwd=, in front of the rest; they are cut off, also because its loader believes
 * whatever a TCP control block says.
 */
#include "net/user-int.h"
#include "migration/vmstate.h"

#include <string.h>

#define STATE_MAX (64u * 1024)

static ssize_t append(const void *buf, size_t len, void *opaque)
{
    g_byte_array_append(opaque, buf, len);
    return len;
}

/* As slirp has it: a section for each guestfwd connection, a byte 0, what else there is. */
static GByteArray *save_all(NetUser *u)
{
    GByteArray *out = g_byte_array_new();
    slirp_state_save(u->slirp, append, out);
    return out;
}

static void user_pre_save(void *opaque)
{
    NetUser *u = opaque;
    g_autoptr(GByteArray) all = save_all(u);
    uint32_t size = MIN(all->len, u->state_size);

    g_free(u->saved);
    u->saved = g_memdup2(all->data + all->len - size, size);
    u->saved_len = size;
    u->saved_version = slirp_state_version();
}

typedef struct Reader {
    const uint8_t *data;
    size_t left;
} Reader;

static ssize_t take(void *buf, size_t len, void *opaque)
{
    Reader *r = opaque;
    size_t n = MIN(len, r->left);

    memcpy(buf, r->data, n);
    r->data += n;
    r->left -= n;
    return n;
}

static bool user_post_load(void *opaque, int version, Error **err)
{
    NetUser *u = opaque;
    Reader r = { u->saved, u->saved_len };

    if (u->saved_version != (uint32_t)slirp_state_version()) {
        return fail(err, "netdev %s: saved by libslirp with state version %u, this one has %d",
                    u->nc.name, u->saved_version, slirp_state_version());
    }
    if (r.left != u->state_size || r.data[0]) {
        return fail(err, "netdev %s: not what libslirp saves without connections", u->nc.name);
    }
    if (slirp_state_load(u->slirp, u->saved_version, take, &r) < 0 || r.left) {
        return fail(err, "netdev %s: libslirp does not take the state", u->nc.name);
    }
    return true;
}

static const VMField user_fields[] = {
    VM_UINT(NetUser, saved_version), VM_VBUFFER(NetUser, saved, saved_len, STATE_MAX), VM_DONE
};
static const VMState vm_user = {
    .name = "net-user", .version = 1, .pre_save = user_pre_save, .post_load = user_post_load,
    .fields = user_fields,
};

void net_user_state_init(NetUser *u)
{
    g_autoptr(GByteArray) all = save_all(u);    /* there are no connections yet */
    g_autofree char *name = g_strdup_printf("netdev/%s", u->nc.name);

    u->state_size = all->len;
    g_assert(u->state_size && u->state_size <= STATE_MAX);
    vmstate_register(name, 0, &vm_user, u);
    u->has_state = true;
}

void net_user_state_exit(NetUser *u)
{
    if (u->has_state) {
        vmstate_unregister(&vm_user, u);
    }
    g_free(u->saved);
}
