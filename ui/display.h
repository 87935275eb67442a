/* SPDX-License-Identifier: MIT */
/*
 * Front ends: who shows consoles to people and takes their keys, and what front ends may ask of
 * the rest of the program.  [bql, main thread]
 */
#ifndef UI_DISPLAY_H
#define UI_DISPLAY_H

#include <stdbool.h>
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

/* What the system does for front ends; set once at start, before any starts. */
typedef struct UiHooks {
    void (*powerdown)(void);            /* press the power button */
    void (*reset)(void);
    void (*quit)(void);
    bool (*running)(void);              /* the guest runs, it is not paused */
    const char *(*guest_name)(void);    /* of -name, or NULL */
    struct TlsCreds *(*tls_creds)(const char *id, Error **err);     /* borrowed */
    char *(*secret)(const char *id, Error **err);                   /* g_free */
} UiHooks;
extern UiHooks ui_hooks;

/* -k, or NULL. */
extern const char *ui_keymap;

#endif
