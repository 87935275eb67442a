/* SPDX-License-Identifier: MIT */
/*
 * Formats and rates of samples.
 */
#include "audio/convert.h"

#include <math.h>

static float decode_sample(AudioFormat f, const uint8_t *p)
{
    switch (f) {
    case AUDIO_FMT_U8:
        return (p[0] - 128) / 128.0f;
    case AUDIO_FMT_S8:
        return (int8_t)p[0] / 128.0f;
    case AUDIO_FMT_U16:
        return ((p[0] | p[1] << 8) - 32768) / 32768.0f;
    case AUDIO_FMT_S16:
        return (int16_t)(p[0] | p[1] << 8) / 32768.0f;
    default: {
        uint32_t v = p[0] | p[1] << 8 | p[2] << 16 | (uint32_t)p[3] << 24;
        return (int32_t)(f == AUDIO_FMT_U32 ? v ^ 0x80000000u : v) / 2147483648.0f;
    }
    }
}

static void encode_sample(AudioFormat f, float v, uint8_t *p)
{
    static const int bits[] = { 8, 8, 16, 16, 32, 32 };
    double full = ldexp(1, bits[f] - 1);
    double scaled = fmin(fmax(rint(v * full), -full), full - 1);
    uint32_t u = (int32_t)scaled;

    if (f == AUDIO_FMT_U8 || f == AUDIO_FMT_U16 || f == AUDIO_FMT_U32) {
        u += (uint32_t)full;
    }
    for (unsigned i = 0; i < audio_sample_size(f); i++) {
        p[i] = u >> 8 * i;
    }
}

void audio_decode(const AudioSpec *spec, const void *from, AudioFrame *to, unsigned n)
{
    const uint8_t *p = from;
    unsigned size = audio_sample_size(spec->format);

    for (unsigned i = 0; i < n; i++) {
        to[i].l = to[i].r = decode_sample(spec->format, p);
        p += size;
        if (spec->channels == 2) {
            to[i].r = decode_sample(spec->format, p);
            p += size;
        }
    }
}

void audio_encode(const AudioSpec *spec, const AudioFrame *from, void *to, unsigned n)
{
    uint8_t *p = to;
    unsigned size = audio_sample_size(spec->format);

    for (unsigned i = 0; i < n; i++) {
        if (spec->channels == 1) {
            encode_sample(spec->format, (from[i].l + from[i].r) / 2, p);
        } else {
            encode_sample(spec->format, from[i].l, p);
            encode_sample(spec->format, from[i].r, p + size);
        }
        p += spec->channels * size;
    }
}

/* ---- rates --------------------------------------------------------------------------- */

static uint64_t step(uint32_t in, uint32_t out)
{
    return ((uint64_t)in << 32) / out;
}

unsigned audio_resample_needs(const AudioResampler *r, uint32_t in, uint32_t out, unsigned n)
{
    return in == out ? n : (r->position + step(in, out) * n) >> 32;
}

void audio_resample(AudioResampler *r, uint32_t in, uint32_t out, const AudioFrame *from,
                    AudioFrame *to, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        if (in == out) {
            to[i] = *from++;
            continue;
        }
        for (r->position += step(in, out); r->position >> 32; r->position -= 1ull << 32) {
            r->before = r->after;
            r->after = *from++;
        }
        float part = r->position / 4294967296.0f;
        to[i].l = r->before.l + (r->after.l - r->before.l) * part;
        to[i].r = r->before.r + (r->after.r - r->before.r) * part;
    }
}
