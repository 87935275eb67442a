/* SPDX-License-Identifier: MIT */
/*
 * The clipboard.  Texts are passed on when they appear, not when somebody pastes: all peers are
 * asked the same way, and the bound keeps that cheap.
 */
#include "ui/clipboard.h"

#include <glib.h>
#include <string.h>

typedef struct Member {
    const ClipboardPeer *peer;
    void *opaque;
} Member;

static GArray *members;                 /* of Member */
static GString *current;

void clipboard_join(const ClipboardPeer *p, void *opaque)
{
    Member m = { p, opaque };

    if (!members) {
        members = g_array_new(FALSE, FALSE, sizeof(Member));
    }
    g_array_append_val(members, m);
}

void clipboard_leave(const ClipboardPeer *p, void *opaque)
{
    for (guint i = 0; members && i < members->len; i++) {
        const Member *m = &g_array_index(members, Member, i);
        if (m->peer == p && m->opaque == opaque) {
            g_array_remove_index(members, i);
            return;
        }
    }
}

const char *clipboard_text(size_t *len)
{
    *len = current ? current->len : 0;
    return current ? current->str : NULL;
}

/* CR LF and CR become LF; NULs at the end go. */
static GString *normal(const char *text, size_t len)
{
    GString *s = g_string_sized_new(len);

    while (len && !text[len - 1]) {
        len--;
    }
    for (size_t i = 0; i < len; i++) {
        if (text[i] != '\r') {
            g_string_append_c(s, text[i]);
        } else if (i + 1 == len || text[i + 1] != '\n') {
            g_string_append_c(s, '\n');
        }
    }
    return s;
}

void clipboard_set(const ClipboardPeer *p, void *opaque, const char *text, size_t len)
{
    if (len > CLIPBOARD_MAX) {
        return;
    }
    GString *s = normal(text, len);
    if (!g_utf8_validate(s->str, s->len, NULL) || (current && g_string_equal(current, s))) {
        g_string_free(s, TRUE);
        return;
    }
    if (current) {
        g_string_free(current, TRUE);
    }
    current = s;
    /* a peer may leave while it hears of it */
    g_autoptr(GArray) all = members ? g_array_copy(members) : g_array_new(FALSE, FALSE, sizeof(Member));
    for (guint i = 0; i < all->len; i++) {
        const Member *m = &g_array_index(all, Member, i);
        if (m->peer != p || m->opaque != opaque) {
            m->peer->changed(m->opaque, s->str, s->len);
        }
    }
}
