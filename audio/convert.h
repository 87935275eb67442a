/* SPDX-License-Identifier: MIT */
/*
 * Samples: between the formats of voices and back-ends and the mixer's, which are pairs of
 * floats, 1.0 being full scale (a sum may go beyond).  Formats up to 24 bits survive there and
 * back.
 */
#ifndef AUDIO_CONVERT_H
#define AUDIO_CONVERT_H

#include "audio/audio.h"

typedef struct AudioFrame {
    float l, r;
} AudioFrame;

void audio_decode(const AudioSpec *spec, const void *from, AudioFrame *to, unsigned n);
/* Clips what is beyond full scale. */
void audio_encode(const AudioSpec *spec, const AudioFrame *from, void *to, unsigned n);

/* Changes the rate by linear interpolation. */
typedef struct AudioResampler {
    AudioFrame before, after;           /* the frames around the position */
    uint64_t position;                  /* between them, 2^32 being the distance */
} AudioResampler;
#define AUDIO_RESAMPLER_START ((AudioResampler) { .position = 1ull << 32 })

/* Frames that n frames at rate `out` take of a source at rate `in`. */
unsigned audio_resample_needs(const AudioResampler *r, uint32_t in, uint32_t out, unsigned n);
/* Makes n frames of just as many as audio_resample_needs says. */
void audio_resample(AudioResampler *r, uint32_t in, uint32_t out, const AudioFrame *from,
                    AudioFrame *to, unsigned n);

#endif
