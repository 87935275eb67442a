/* SPDX-License-Identifier: MIT */
/*
 * What a kind of back-end (audio/none.c, wav.c, sdl.c) is to audio/audio.c.
 */
#ifndef AUDIO_DRIVER_H
#define AUDIO_DRIVER_H

#include "audio/audio.h"

typedef struct AudioDriver {
    const char *name, *desc;
    /* Take options from o and begin.  The device's spec is set, and may be changed to what the
     * host gives.  *state is the driver's own; NULL and true: it needs none. */
    bool (*open)(AudioSpec *spec, uint64_t buffer_us, Opts *o, void **state, Error **err);
    void (*close)(void *state);
    /* n frames as the spec says; NULL: they are dropped. */
    void (*play)(void *state, const void *frames, unsigned n);
    /* How many frames play takes now; NULL: the clock tells, sound is played as time goes by. */
    unsigned (*room)(void *state);
    /* A first voice is active, none is any more.  NULL: nothing to do. */
    void (*run)(void *state, bool on);
    /* Record as the spec says, or no longer (NULL).  false: it can't.  NULL: it hears nothing. */
    bool (*record_run)(void *state, const AudioSpec *spec, Error **err);
    /* Takes up to n frames of what was heard while that was on; says how many. */
    unsigned (*record)(void *state, void *frames, unsigned n);
    /* How often the host wanted sound that was not there; NULL: never. */
    uint64_t (*underruns)(void *state);
} AudioDriver;

#define AUDIO_DRIVER(var)                                                       \
    static const AudioDriver *const var##_audio_entry                           \
    __attribute__((used, section("orrery_audiodevs"))) = &var

#endif
