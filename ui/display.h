/* SPDX-License-Identifier: MIT */
/*
 * Front ends: who shows consoles to people and takes their keys, and what front ends may ask of
 * the rest of the program.  [bql, main thread]
 */
#ifndef UI_DISPLAY_H
#define UI_DISPLAY_H

#include <stdbool.h>
#include <stddef.h>
#include "util/error.h"
#include "util/opts.h"

struct TlsCreds;

/* A kind of -display.  Which there are depends on the files linked. */
typedef struct DisplayType {
    const char *name, *desc;
    /* The environment has what it needs (an X server, a terminal); NULL: always. */
    bool (*possible)(void);
    /* Shows the consoles there are.  Takes its options; opts_check_unused is the caller's. */
    bool (*start)(Opts *o, Error **err);
    void (*stop)(void);                 /* at exit; may be NULL */
} DisplayType;

#define DISPLAY_TYPE(var)                                                       \
    static const DisplayType *const var##_display_entry                         \
    __attribute__((used, section("orrery_displays"))) = &var

const DisplayType *display_type_find(const char *name);
void display_type_help(GString *out);

/* Who listens to the guest's sound. */
typedef struct UiAudioListener {
    void (*frames)(void *opaque, const void *frames, size_t bytes);
    void (*running)(void *opaque, bool on);
} UiAudioListener;

/* What the system does for front ends; set once at start, before any starts. */
typedef struct UiHooks {
    void (*powerdown)(void);            /* press the power button */
    void (*reset)(void);
    void (*quit)(void);
    bool (*running)(void);              /* the guest runs, it is not paused */
    const char *(*guest_name)(void);    /* of -name, or NULL */
    struct TlsCreds *(*tls_creds)(const char *id, Error **err);     /* borrowed */
    char *(*secret)(const char *id, Error **err);                   /* g_free */
    /* An -object that says who may do something: is there one of that id; may this one? */
    bool (*authz_find)(const char *id, Error **err);
    bool (*authorized)(const char *id, const char *identity);
    /* An -audiodev, or NULL and err; a tap on it: rate 4000..192000, 1 or 2 channels, format 0 to 5:
     * U8 S8 U16 S16 U32 S32, little-endian. */
    void *(*audio_find)(const char *id, Error **err);
    void *(*audio_tap)(void *dev, unsigned rate, unsigned channels, unsigned format,
                       const UiAudioListener *l, void *opaque);
    void (*audio_untap)(void *tap);
} UiHooks;
extern UiHooks ui_hooks;

/* -k, or NULL. */
extern const char *ui_keymap;

#endif
