/* SPDX-License-Identifier: MIT */
/*
 * What audio/audio.c and audio/audiodev.c share: a back-end and its voices.
 */
#ifndef AUDIO_MIXER_H
#define AUDIO_MIXER_H

#include <glib.h>

#include "audio/convert.h"
#include "audio/driver.h"
#include "util/timer.h"

struct AudioVoice {
    AudioDev *dev;
    const char *name;
    AudioPull pull;
    void *opaque;
    AudioSpec spec;
    AudioResampler resampler;
    bool active, mute;
    bool starved;                       /* the last time it had less than was wanted */
    float left, right;
    uint64_t frames;                    /* delivered, at its own rate */
    uint64_t underruns, missing;        /* times it ran dry; frames of silence then */
};

struct AudioInput {
    AudioDev *dev;
    const char *name;
    AudioSpec spec;
    AudioResampler resampler;
    GArray *waiting;                    /* of AudioFrame, at the back-end's rate */
    bool active;
    bool flows;                         /* enough was there, and it did not run dry since */
    float left, right;
    uint64_t frames, underruns;
};

struct AudioDev {
    char *id;
    const AudioDriver *driver;          /* NULL: closed */
    void *state;
    AudioSpec spec, in_spec;
    bool recording;
    int64_t period_ns;
    Timer timer;                        /* pending while a voice is active */
    GPtrArray *voices;                  /* of AudioVoice* */
    GPtrArray *inputs;                  /* of AudioInput* */
    GPtrArray *taps;                    /* of AudioTap* */
    bool running;
    int64_t began;                      /* vclock when the first voice became active */
    uint64_t played;                    /* frames since */
    uint64_t frames, lost;              /* mixed; skipped because the host was late */
};

/* id, driver and the rest are the caller's. */
void audio_dev_init(AudioDev *d);
/* A voice came, went, or changed its mind: start or stop the clock. */
void audio_clock(AudioDev *d);
/* What is played goes to the taps (audio/tap.c), and whether anything is. */
void audio_taps_frames(AudioDev *d, const AudioFrame *frames, unsigned n);
void audio_taps_running(AudioDev *d, bool on);
/* For a device without audiodev=. */
AudioDev *audiodev_default(const char *user);
AudioDev *audiodev_default_quietly(void);   /* ... which was told already */

#endif
