/* SPDX-License-Identifier: MIT */
/*
 * What a kind of back-end is made of, for the files of chardev/.  Big lock held, main loop.
 */
#ifndef CHARDEV_BACKEND_H
#define CHARDEV_BACKEND_H

#include "chardev/char.h"
#include "util/opts.h"

typedef struct CharBackend {
    const char *name, *desc;            /* "socket", for -chardev help */
    size_t size;                        /* of CharDev.state */
    /* Takes its options; opts_check_unused is the caller's.  May set c->open. */
    bool (*open)(CharDev *c, Opts *o, Error **err);
    void (*close)(CharDev *c);
    /* Bytes taken without waiting.  NULL: everything vanishes. */
    int (*write)(CharDev *c, const uint8_t *buf, int len);
    void (*want_write)(CharDev *c);     /* call chardev_writable once when there is room */
    void (*want_read)(CharDev *c);      /* chardev_can_read may have turned positive */
    char *(*filename)(CharDev *c);      /* g_free; NULL = name */
    void (*set_echo)(CharDev *c, bool on);
    void (*set_serial)(CharDev *c, const CharSerialParams *p);
    void (*set_break)(CharDev *c, bool on);
    bool (*get_modem)(CharDev *c, int *lines);
    void (*set_modem)(CharDev *c, int lines);
    int (*take_fd)(CharDev *c);
    void (*front_open)(CharDev *c, bool open);  /* the guest's program came or went */
} CharBackend;

#define CHAR_BACKEND(var)                                                       \
    static const CharBackend *const var##_char_entry                            \
    __attribute__((used, section("orrery_chardevs"))) = &var

struct CharDev {
    char *id;
    const CharBackend *backend;
    void *state;
    bool open;                          /* somebody is at the other end */
    bool mux;
    GPtrArray *fronts;                  /* of CharFront*; one unless mux */
    CharFront *focus;                   /* gets the input */
    GByteArray *queue;                  /* output of char_write_all the back-end can't take yet */
    guint queue_head;                   /* ... up to here it has taken it */
    bool escaped, line_start, timestamps;  /* mux: Ctrl-a seen; timestamps on output */
    int64_t timestamps_from;
    int log_fd;                         /* logfile=, or -1 */
};

struct CharFront {
    CharDev *dev;
    const CharHandlers *handlers;       /* NULL once detached */
    void *opaque;
    bool blocked;                       /* had a short write: owed a call of writable */
    bool opened_pending;                /* owed CHAR_OPENED */
    bool shut;                          /* nobody in the guest listens */
    GByteArray *input;                  /* mux: typed while it could not read */
};

/* Makes a back-end of "backend", "id" and its own options. */
CharDev *chardev_open(Opts *o, Error **err);
/* Bytes the front end takes now. */
int chardev_can_read(CharDev *c);
void chardev_input(CharDev *c, const uint8_t *buf, int len);
/* The other end came or went: sets c->open and tells every front end. */
void chardev_set_open(CharDev *c, bool open);
/* To the front end that has the input. */
void chardev_event(CharDev *c, CharEvent e);
/* The back-end takes bytes again. */
void chardev_writable(CharDev *c);
/* One line on stderr about a chardev. */
void chardev_say(const char *fmt, ...) G_GNUC_PRINTF(1, 2);

/* Input of a multiplexed back-end (chardev/mux.c). */
int mux_can_read(CharDev *c);
void mux_input(CharDev *c, const uint8_t *buf, int len);
void mux_deliver(CharDev *c);           /* what was kept while the front end could not read */
void mux_set_focus(CharDev *c, CharFront *f);
int mux_write(CharDev *c, const uint8_t *buf, int len);     /* with time stamps if asked for */

/* Reading and writing of plain descriptors (chardev/fd.c): state begins with this. */
typedef struct CharFd {
    int in, out;                        /* -1 = none; may be the same */
    guint in_watch, out_watch;
    bool blocking_out;                  /* out can't be made non-blocking: poll first */
} CharFd;
void charfd_start(CharDev *c, int in, int out);
void charfd_stop(CharDev *c);           /* closes */
int charfd_write(CharDev *c, const uint8_t *buf, int len);
void charfd_want_write(CharDev *c);
void charfd_want_read(CharDev *c);

#endif
