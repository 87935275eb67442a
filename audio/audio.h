/* SPDX-License-Identifier: MIT */
/*
 * Sound: devices have voices, a back-end (-audiodev) plays what its voices say, mixed.
 *
 * Nothing is kept in advance: a back-end that wants frames asks each active voice for as many
 * as that needs (AudioPull), converts them to its own rate, adds them up and plays the sum.
 * What a voice can't deliver is silence, and counted.  While no voice is active no timer runs
 * and nothing is played; a wav file then does not grow.
 *
 * Everything under the big lock, in the main loop or a vCPU thread.
 */
#ifndef AUDIO_AUDIO_H
#define AUDIO_AUDIO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "util/error.h"
#include "util/opts.h"

typedef enum {
    AUDIO_FMT_U8, AUDIO_FMT_S8, AUDIO_FMT_U16, AUDIO_FMT_S16, AUDIO_FMT_U32, AUDIO_FMT_S32,
} AudioFormat;

#define AUDIO_MIN_RATE 4000u            /* frames a second */
#define AUDIO_MAX_RATE 192000u

/* How samples look: little-endian, the channels of a frame side by side, left first. */
typedef struct AudioSpec {
    uint32_t rate;                      /* AUDIO_MIN_RATE..AUDIO_MAX_RATE */
    uint8_t channels;                   /* 1 or 2 */
    AudioFormat format;
} AudioSpec;

typedef struct AudioDev AudioDev;
typedef struct AudioVoice AudioVoice;

/* Put up to `frames` frames in the voice's format into buf and say how many; fewer: there are no
 * more now.  It may switch the voice off, but must not free it. */
typedef unsigned (*AudioPull)(void *opaque, void *buf, unsigned frames);

static inline unsigned audio_sample_size(AudioFormat f)
{
    return f < AUDIO_FMT_U16 ? 1 : f < AUDIO_FMT_U32 ? 2 : 4;
}
static inline unsigned audio_frame_size(const AudioSpec *s)
{
    return s->channels * audio_sample_size(s->format);
}

/* ---- voices: for devices ------------------------------------------------------------ */

/* A silent voice at 44100 Hz, two channels, s16.  dev NULL: the first -audiodev or, if there is
 * none, a back-end that plays nothing.  name is borrowed. */
AudioVoice *audio_voice_new(AudioDev *dev, const char *name, AudioPull pull, void *opaque);
void audio_voice_free(AudioVoice *v);                   /* NULL is fine */
/* Rates outside of the range are moved to its end. */
void audio_voice_set_spec(AudioVoice *v, const AudioSpec *spec);
/* Active voices are asked for sound from now on. */
void audio_voice_set_active(AudioVoice *v, bool on);
bool audio_voice_active(const AudioVoice *v);
/* Factors 0 (nothing) to 1. */
void audio_voice_set_volume(AudioVoice *v, bool mute, float left, float right);

/* ---- inputs: for devices that record ------------------------------------------------ */

typedef struct AudioInput AudioInput;

/* As audio_voice_new. */
AudioInput *audio_input_new(AudioDev *dev, const char *name);
void audio_input_free(AudioInput *in);                  /* NULL is fine */
void audio_input_set_spec(AudioInput *in, const AudioSpec *spec);
/* The host's microphone is open while one is active. */
void audio_input_set_active(AudioInput *in, bool on);
void audio_input_set_volume(AudioInput *in, bool mute, float left, float right);
/* So many frames in its format; silence where there are none, as with back-ends that hear nothing. */
void audio_input_read(AudioInput *in, void *buf, unsigned frames);

/* ---- taps: for those who listen to what a back-end plays -------------------------------- */

typedef struct AudioTap AudioTap;
typedef struct AudioTapOps {
    void (*frames)(void *opaque, const void *frames, size_t bytes);     /* in the tap's format */
    void (*running)(void *opaque, bool on);     /* a first voice plays, none does any more */
} AudioTapOps;
AudioTap *audio_tap_new(AudioDev *dev, const AudioSpec *spec, const AudioTapOps *ops, void *opaque);
void audio_tap_free(AudioTap *t);

/* ---- captures: taps into wav files, for monitors ------------------------------------- */

/* bits 8, 16 or 32, channels 1 or 2. */
bool audio_capture_start(const char *path, const char *audiodev, unsigned rate, unsigned bits, unsigned channels,
                         Error **err);
bool audio_capture_stop(unsigned n, Error **err);       /* the nth, the file is complete */
void audio_capture_info(GString *out);

/* ---- back-ends ---------------------------------------------------------------------- */

/* -audiodev DRIVER,id=ID,... */
bool audiodev_add(const char *text, Error **err);
/* -audio DRIVER,model=CARD,...: the back-end, with an id if it has none.  *device is what
 * -device would be given for the card (g_free), *controller for what it is plugged into, or NULL;
 * or all are NULL but *pcspk, the id. */
bool audiodev_add_model(const char *text, char **controller, char **device, char **pcspk, Error **err);
AudioDev *audiodev_find(const char *id);
const char *audiodev_id(const AudioDev *dev);
void audiodev_help(GString *out);
void audio_info(GString *out);                          /* `info audio` */
/* All back-ends end: files are complete.  At exit; voices stay, and stay silent. */
void audio_cleanup(void);

#endif
