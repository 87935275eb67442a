/* SPDX-License-Identifier: MIT */
/*
 * NBD server: negotiation.  Everything the client says is checked before it is used; an option
 * that makes no sense is answered with an error, one that breaks the framing ends the connection.
 */
#include "block/block.h"
#include "block/nbd-int.h"
#include "util/bits.h"

#include <string.h>

#define MAX_OPTION  (64u << 10)         /* longer ones are skipped and refused */
#define MAX_OPTIONS 1000u

typedef struct Option {
    uint32_t type, len;
    uint8_t *data;                      /* len bytes, NULL if it was too long */
} Option;

static bool reply(NbdConn *c, const Option *o, uint32_t type, const void *data, uint32_t len)
{
    uint8_t h[20];
    st64_be(h, NBD_REPLY_MAGIC);
    st32_be(h + 8, o->type);
    st32_be(h + 12, type);
    st32_be(h + 16, len);
    return nbd_send(c, h, sizeof(h), data, len);
}

static bool refuse(NbdConn *c, const Option *o, uint32_t type, const char *why)
{
    return reply(c, o, type, why, strlen(why));
}

uint16_t nbd_export_flags(const NbdExport *e)
{
    uint16_t flags = NBD_FLAG_HAS_FLAGS | NBD_FLAG_CACHE;
    if (!e->writable) {
        return flags | NBD_FLAG_READ_ONLY | NBD_FLAG_MULTI_CONN;
    }
    /* all connections see each other's writes, and a flush is for all */
    return flags | NBD_FLAG_FLUSH | NBD_FLAG_FUA | NBD_FLAG_TRIM | NBD_FLAG_WRITE_ZEROES
           | NBD_FLAG_FAST_ZERO | (e->shared ? NBD_FLAG_MULTI_CONN : 0);
}

static uint64_t length_of(const NbdExport *e)
{
    graph_read_lock();
    int64_t length = node_length(e->node);
    graph_read_unlock();
    return MAX(length, 0);
}

static bool choose(NbdConn *c, const uint8_t *name, size_t len)
{
    g_autofree char *text = g_strndup((const char *)name, len);
    if (c->export) {
        nbd_export_release(c->export);
    }
    c->export = nbd_export_take(text);
    return c->export != NULL;
}

static void drop_choice(NbdConn *c)
{
    if (c->export) {
        nbd_export_release(c->export);
        c->export = NULL;
    }
}

/* The old way: no way to say no but to hang up. */
static bool export_name(NbdConn *c, const Option *o)
{
    uint8_t r[10 + 124] = { 0 };
    if (!choose(c, o->data, o->len)) {
        return false;
    }
    st64_be(r, length_of(c->export));
    st16_be(r + 8, nbd_export_flags(c->export));
    return nbd_send(c, r, c->no_zeroes ? 10 : sizeof(r), NULL, 0);
}

static bool send_info(NbdConn *c, const Option *o, const uint8_t *wanted, unsigned n)
{
    const NbdExport *e = c->export;
    uint8_t r[14];
    for (unsigned i = 0; i < n; i++) {
        uint16_t type = ld16_be(wanted + i * 2);
        const char *text = type == NBD_INFO_NAME ? e->name
                           : type == NBD_INFO_DESCRIPTION ? e->description : NULL;
        if (text) {
            g_autofree uint8_t *t = g_malloc(2 + strlen(text));
            st16_be(t, type);
            memcpy(t + 2, text, strlen(text));
            if (!reply(c, o, NBD_REP_INFO, t, 2 + strlen(text))) {
                return false;
            }
        }
    }
    st16_be(r, NBD_INFO_BLOCK_SIZE);
    st32_be(r + 2, 1);
    st32_be(r + 6, CLAMP(e->node->cluster_size, 4096, NBD_MAX_REQUEST));
    st32_be(r + 10, NBD_MAX_REQUEST);
    if (!reply(c, o, NBD_REP_INFO, r, 14)) {
        return false;
    }
    st16_be(r, NBD_INFO_EXPORT);
    st64_be(r + 2, length_of(e));
    st16_be(r + 10, nbd_export_flags(e) | (c->structured ? NBD_FLAG_DF : 0));
    return reply(c, o, NBD_REP_INFO, r, 12) && reply(c, o, NBD_REP_ACK, NULL, 0);
}

/* INFO and GO; *done: requests follow. */
static bool go(NbdConn *c, const Option *o, bool *done)
{
    uint32_t name = o->len >= 6 ? ld32_be(o->data) : UINT32_MAX;
    if (name > o->len - 6u || name > NBD_MAX_STRING
        || o->len != 6u + name + 2u * ld16_be(o->data + 4 + name)) {
        return refuse(c, o, NBD_REP_ERR_INVALID, "the lengths in the option don't fit");
    }
    NbdExport *before = c->export;
    unsigned contexts = c->contexts;
    if (!choose(c, o->data + 4, name)) {
        c->contexts = 0;
        return refuse(c, o, NBD_REP_ERR_UNKNOWN, "there is no export of that name");
    }
    c->contexts = c->export == before ? contexts : 0;   /* they were asked for another one */
    if (!send_info(c, o, o->data + 6 + name, ld16_be(o->data + 4 + name))) {
        return false;
    }
    *done = o->type == NBD_OPT_GO;
    return true;
}

static bool list(NbdConn *c, const Option *o)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GPtrArray) texts = g_ptr_array_new_with_free_func(g_free);
    if (o->len) {
        return refuse(c, o, NBD_REP_ERR_INVALID, "the option has no data");
    }
    nbd_export_names(names, texts);
    for (guint i = 0; i < names->len; i++) {
        const char *name = names->pdata[i], *text = texts->pdata[i];
        g_autofree uint8_t *r = g_malloc(4 + strlen(name) + strlen(text));
        st32_be(r, strlen(name));
        memcpy(r + 4, name, strlen(name));
        memcpy(r + 4 + strlen(name), text, strlen(text));
        if (!reply(c, o, NBD_REP_SERVER, r, 4 + strlen(name) + strlen(text))) {
            return false;
        }
    }
    return reply(c, o, NBD_REP_ACK, NULL, 0);
}

/* ---- metadata contexts ------------------------------------------------------------------------ */

static bool send_context(NbdConn *c, const Option *o, unsigned id, const char *name)
{
    g_autofree uint8_t *r = g_malloc(4 + strlen(name));
    st32_be(r, o->type == NBD_OPT_SET_META_CONTEXT ? id : 0);
    memcpy(r + 4, name, strlen(name));
    return reply(c, o, NBD_REP_META_CONTEXT, r, 4 + strlen(name));
}

/* Bits of what a query names; listing, "base:" stands for all of them. */
static unsigned matches(const NbdConn *c, const char *query, bool listing)
{
    unsigned found = 0;
    g_autofree char *bitmap = g_strconcat("qemu:dirty-bitmap:", c->export->bitmap, NULL);
    if (!strcmp(query, "base:allocation") || (listing && !strcmp(query, "base:"))) {
        found |= NBD_META_ALLOCATION;
    }
    bool all = listing && !strcmp(query, "qemu:");
    if (c->export->allocation_depth && (all || !strcmp(query, "qemu:allocation-depth"))) {
        found |= NBD_META_DEPTH;
    }
    if (c->export->bitmap
        && (all || !strcmp(query, bitmap) || (listing && !strcmp(query, "qemu:dirty-bitmap:")))) {
        found |= NBD_META_BITMAP;
    }
    return found;
}

static bool meta_context(NbdConn *c, const Option *o)
{
    bool listing = o->type == NBD_OPT_LIST_META_CONTEXT;
    uint32_t name = o->len >= 8 ? ld32_be(o->data) : UINT32_MAX, at = 8 + name;
    unsigned found = 0;
    if (!c->structured) {
        return refuse(c, o, NBD_REP_ERR_INVALID, "structured replies come first");
    }
    c->contexts = 0;
    if (name > o->len - 8u || name > NBD_MAX_STRING) {
        return refuse(c, o, NBD_REP_ERR_INVALID, "the lengths in the option don't fit");
    }
    uint32_t queries = ld32_be(o->data + 4 + name);
    for (uint32_t i = 0; i < queries; i++) {
        if (o->len - at < 4 || ld32_be(o->data + at) > o->len - at - 4) {
            return refuse(c, o, NBD_REP_ERR_INVALID, "the lengths in the option don't fit");
        }
        at += 4 + ld32_be(o->data + at);
    }
    if (at != o->len) {
        return refuse(c, o, NBD_REP_ERR_INVALID, "the lengths in the option don't fit");
    }
    if (!choose(c, o->data + 4, name)) {
        return refuse(c, o, NBD_REP_ERR_UNKNOWN, "there is no export of that name");
    }
    at = 8 + name;
    if (!queries && listing) {
        found = NBD_META_ALLOCATION | (c->export->allocation_depth ? NBD_META_DEPTH : 0)
                | (c->export->bitmap ? NBD_META_BITMAP : 0);
    }
    for (uint32_t i = 0; i < queries; i++) {
        uint32_t len = ld32_be(o->data + at);
        g_autofree char *query = g_strndup((const char *)o->data + at + 4, MIN(len, NBD_MAX_STRING));
        found |= matches(c, query, listing);
        at += 4 + len;
    }
    g_autofree char *bitmap = g_strconcat("qemu:dirty-bitmap:", c->export->bitmap, NULL);
    c->contexts = listing ? 0 : found;
    return (!(found & NBD_META_ALLOCATION) || send_context(c, o, NBD_META_ALLOCATION, "base:allocation"))
           && (!(found & NBD_META_DEPTH) || send_context(c, o, NBD_META_DEPTH, "qemu:allocation-depth"))
           && (!(found & NBD_META_BITMAP) || send_context(c, o, NBD_META_BITMAP, bitmap))
           && reply(c, o, NBD_REP_ACK, NULL, 0);
}

/* ---- options --------------------------------------------------------------------------------- */

static bool skip(NbdConn *c, uint32_t len)
{
    uint8_t bin[4096];
    while (len) {
        uint32_t part = MIN(len, sizeof(bin));
        if (!nbd_recv(c, bin, part)) {
            return false;
        }
        len -= part;
    }
    return true;
}

/* False: the connection ends. */
static bool one_option(NbdConn *c, bool *done)
{
    uint8_t h[16];
    if (!nbd_recv(c, h, sizeof(h)) || ld64_be(h) != NBD_OPTS_MAGIC) {
        return false;
    }
    Option o = { ld32_be(h + 8), ld32_be(h + 12), NULL };
    if (o.len > MAX_OPTION) {
        return o.len <= NBD_MAX_REQUEST && skip(c, o.len) && o.type != NBD_OPT_EXPORT_NAME
               && refuse(c, &o, NBD_REP_ERR_TOO_BIG, "the option is too long");
    }
    g_autofree uint8_t *data = g_malloc0(o.len + 1);
    o.data = data;
    if (!nbd_recv(c, data, o.len)) {
        return false;
    }
    switch (o.type) {
    case NBD_OPT_EXPORT_NAME:
        *done = true;
        return export_name(c, &o);
    case NBD_OPT_ABORT:
        reply(c, &o, NBD_REP_ACK, NULL, 0);
        return false;
    case NBD_OPT_LIST:
        return list(c, &o);
    case NBD_OPT_INFO:
    case NBD_OPT_GO:
        return go(c, &o, done);
    case NBD_OPT_STRUCTURED_REPLY:
        if (o.len || c->structured) {
            return refuse(c, &o, NBD_REP_ERR_INVALID, "structured replies were agreed on, or data sent");
        }
        c->structured = true;
        return reply(c, &o, NBD_REP_ACK, NULL, 0);
    case NBD_OPT_LIST_META_CONTEXT:
    case NBD_OPT_SET_META_CONTEXT:
        return meta_context(c, &o);
    case NBD_OPT_STARTTLS:
        return refuse(c, &o, NBD_REP_ERR_POLICY, "TLS is not configured");
    default:
        return refuse(c, &o, NBD_REP_ERR_UNSUP, "the option is not known");
    }
}

bool nbd_handshake(NbdConn *c)
{
    uint8_t hello[18], flags[4];
    bool done = false;
    st64_be(hello, NBD_MAGIC);
    st64_be(hello + 8, NBD_OPTS_MAGIC);
    st16_be(hello + 16, 3);             /* fixed newstyle, no zeroes */
    if (!nbd_send(c, hello, sizeof(hello), NULL, 0) || !nbd_recv(c, flags, 4)
        || (ld32_be(flags) & ~3u)) {
        return false;
    }
    c->no_zeroes = ld32_be(flags) & 2;
    for (unsigned i = 0; i < MAX_OPTIONS && !done; i++) {
        if (!one_option(c, &done)) {
            drop_choice(c);
            return false;
        }
    }
    return done;
}
