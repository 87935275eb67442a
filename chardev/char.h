/* SPDX-License-Identifier: MIT */
/*
 * Character devices: streams of bytes between a guest's port (serial, parallel, debug console,
 * monitor) and the host.  A back-end (CharDev) is made by -chardev or by a shorthand; a front
 * end (serial port) attaches to it.  A back-end made with mux=on takes several front ends, of
 * which one has the input at a time (Ctrl-a c goes to the next).
 *
 * All under the big lock; handlers are called from the main loop.
 */
#ifndef CHARDEV_CHAR_H
#define CHARDEV_CHAR_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include "util/error.h"

typedef struct CharDev CharDev;
typedef struct CharFront CharFront;

typedef enum {
    CHAR_OPENED,            /* somebody is at the other end */
    CHAR_CLOSED,            /* the other end went away; may come again */
    CHAR_BREAK,             /* serial break received */
    CHAR_MUX_IN,            /* this front end has the input now */
    CHAR_MUX_OUT,           /* ... and now another one has */
} CharEvent;

typedef struct CharHandlers {
    int (*can_read)(void *opaque);                             /* bytes wanted now, 0 = wait */
    void (*read)(void *opaque, const uint8_t *buf, int len);   /* at most what can_read said */
    void (*event)(void *opaque, CharEvent e);
    void (*writable)(void *opaque);                            /* after a short char_write */
} CharHandlers;

/* NULL and err if the back-end has a front end already and is no mux.  On a mux the new one
 * gets the input.  If the other end is
 * there, CHAR_OPENED follows from the main loop. */
CharFront *char_attach(CharDev *c, const CharHandlers *h, void *opaque, Error **err);
void char_detach(CharFront *f);

/* In the following f may be NULL: a port with nothing behind it, whose output vanishes. */

/* Bytes taken now, 0..len.  Fewer than len: the other end is slow; the writable handler says
 * when to go on.  With nobody at the other end everything is taken and dropped. */
int char_write(CharFront *f, const void *buf, int len);
/* For ports without flow control: what the other end can't take yet is queued.  While more than
 * 1 MiB waits, further calls are dropped whole: a message is never cut. */
void char_write_all(CharFront *f, const void *buf, int len);
void char_printf(CharFront *f, const char *fmt, ...) G_GNUC_PRINTF(2, 3);
/* can_read turned positive: offer waiting input. */
void char_accept_input(CharFront *f);
bool char_open(const CharFront *f);                 /* somebody is at the other end */
/* Does anybody in the guest listen?  Front ends where that can be told say so; at first, yes. */
void char_set_front_open(CharFront *f, bool open);
void char_set_echo(CharFront *f, bool on);          /* stdio: local echo (monitor: off) */
/* A descriptor the other end passed along its last bytes (SCM_RIGHTS on unix sockets), oldest
 * first; -1: none.  The caller's from then on. */
int char_take_fd(CharFront *f);
/* Give the input of a mux to this front end. */
void char_take_focus(CharFront *f);

/* A real serial line behind it (-serial /dev/ttyS0); others ignore these / report all up. */
typedef struct CharSerialParams { int speed; char parity; int data_bits, stop_bits; } CharSerialParams;
void char_set_serial(CharFront *f, const CharSerialParams *p);
void char_set_break(CharFront *f, bool on);
enum { CHAR_TIOCM_CTS = 0x020, CHAR_TIOCM_CAR = 0x040, CHAR_TIOCM_RI = 0x080, CHAR_TIOCM_DSR = 0x100,
       CHAR_TIOCM_DTR = 0x002, CHAR_TIOCM_RTS = 0x004 };
bool char_get_modem(CharFront *f, int *lines);      /* false: no real line */
void char_set_modem(CharFront *f, int lines);       /* DTR, RTS */

/* ---- making them --------------------------------------------------------------------- */

/* -chardev BACKEND,id=ID,... */
CharDev *chardev_add(const char *options, Error **err);
/* -serial/-parallel/-monitor SPEC: "stdio", "mon:stdio", "file:x", "tcp:host:port,server",
 * "chardev:id", "/dev/tty..."; label names it in info chardev.  "none" gives NULL without an
 * error.  *with_monitor (may be NULL) tells that "mon:" stood in front: put a monitor on it. */
CharDev *chardev_from_spec(const char *label, const char *spec, bool *with_monitor, Error **err);
CharDev *chardev_find(const char *id);
const char *chardev_id(const CharDev *c);
/* "disconnected:unix:/tmp/x,server=on" ... as QEMU's info chardev and query-chardev. g_free */
char *chardev_filename(const CharDev *c);
bool chardev_busy(const CharDev *c);                /* a front end is attached */
bool chardev_front_open(const CharDev *c);          /* ... and what it stands for listens */
bool chardev_remove(const char *id, Error **err);
void chardev_foreach(void (*fn)(CharDev *c, void *opaque), void *opaque);
void chardev_help(GString *out);                    /* kinds of back-end, -chardev help */
/* Ring buffer back-ends, for the monitor: bytes out of / into the buffer. */
bool chardev_ringbuf_read(const char *id, GByteArray *out, size_t max, Error **err);
bool chardev_ringbuf_write(const char *id, const uint8_t *buf, size_t len, Error **err);
/* Write out what is queued, restore the terminal, remove unix sockets.  At exit. */
void chardev_cleanup(void);
/* Makes the "chardev" properties of devices work; once at start. */
void chardev_init(void);

/* What Ctrl-a x does is the system's business; set once at start. */
typedef struct CharHooks {
    void (*quit)(void);
} CharHooks;
extern CharHooks char_hooks;
/* The character that begins a command to a mux: Ctrl-a unless -echr says otherwise. */
extern uint8_t char_escape;

#endif
