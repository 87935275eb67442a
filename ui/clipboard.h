/* SPDX-License-Identifier: MIT */
/*
 * The clipboard: text that goes between front ends (a window, VNC clients) and an agent in the
 * guest (-chardev qemu-vdagent).  Whoever has a new text says so, all others hear of it.  [bql]
 */
#ifndef UI_CLIPBOARD_H
#define UI_CLIPBOARD_H

#include <stdbool.h>
#include <stddef.h>

/* Longer texts are not passed on: each peer may hold a copy. */
#define CLIPBOARD_MAX (256u << 10)

typedef struct ClipboardPeer {
    /* Somebody else has a new text: UTF-8, lines end with LF, no NUL; borrowed.  It may be empty. */
    void (*changed)(void *opaque, const char *text, size_t len);
} ClipboardPeer;

void clipboard_join(const ClipboardPeer *p, void *opaque);
void clipboard_leave(const ClipboardPeer *p, void *opaque);
/* This peer has a new text; line ends of any kind.  What is no UTF-8, too long or known already
 * changes nothing. */
void clipboard_set(const ClipboardPeer *p, void *opaque, const char *text, size_t len);
/* The text now; NULL: there never was one. */
const char *clipboard_text(size_t *len);

#endif
