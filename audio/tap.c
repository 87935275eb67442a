/* SPDX-License-Identifier: MIT */
/*
 * Taps: listeners to what a back-end plays, in a format and at a rate of their own.
 */
#include "audio/mixer.h"

#include <string.h>

struct AudioTap {
    AudioDev *dev;
    AudioSpec spec;
    AudioTapOps ops;
    void *opaque;
    AudioResampler resampler;
    GArray *waiting;                    /* of AudioFrame, at the back-end's rate */
};

AudioTap *audio_tap_new(AudioDev *dev, const AudioSpec *spec, const AudioTapOps *ops, void *opaque)
{
    AudioTap *t = g_new0(AudioTap, 1);

    *t = (AudioTap) { dev, *spec, *ops, opaque, AUDIO_RESAMPLER_START,
                      g_array_new(FALSE, FALSE, sizeof(AudioFrame)) };
    t->spec.rate = CLAMP(spec->rate, AUDIO_MIN_RATE, AUDIO_MAX_RATE);
    g_ptr_array_add(dev->taps, t);
    if (dev->running) {
        t->ops.running(opaque, true);
    }
    return t;
}

void audio_tap_free(AudioTap *t)
{
    g_ptr_array_remove(t->dev->taps, t);
    g_array_unref(t->waiting);
    g_free(t);
}

/* Most frames at the tap's rate that can be made of n. */
static unsigned can_make(const AudioTap *t, unsigned n)
{
    uint32_t in = t->dev->spec.rate;
    unsigned out = (uint64_t)n * t->spec.rate / in + 1;

    while (out && audio_resample_needs(&t->resampler, in, t->spec.rate, out) > n) {
        out--;
    }
    return out;
}

static void pass_on(AudioTap *t, const AudioFrame *frames, unsigned n)
{
    uint32_t in = t->dev->spec.rate;

    g_array_append_vals(t->waiting, frames, n);
    unsigned made = can_make(t, t->waiting->len);
    if (!made) {
        return;
    }
    unsigned used = audio_resample_needs(&t->resampler, in, t->spec.rate, made);
    g_autofree AudioFrame *out = g_new(AudioFrame, made);
    g_autofree uint8_t *raw = g_malloc((size_t)made * audio_frame_size(&t->spec));
    audio_resample(&t->resampler, in, t->spec.rate, (AudioFrame *)(void *)t->waiting->data, out, made);
    g_array_remove_range(t->waiting, 0, used);
    audio_encode(&t->spec, out, raw, made);
    t->ops.frames(t->opaque, raw, (size_t)made * audio_frame_size(&t->spec));
}

/* A listener may go while it hears. */
void audio_taps_frames(AudioDev *d, const AudioFrame *frames, unsigned n)
{
    for (guint i = d->taps->len; i-- > 0;) {
        if (i < d->taps->len) {
            pass_on(d->taps->pdata[i], frames, n);
        }
    }
}

void audio_taps_running(AudioDev *d, bool on)
{
    for (guint i = d->taps->len; i-- > 0;) {
        if (i < d->taps->len) {
            AudioTap *t = d->taps->pdata[i];
            t->ops.running(t->opaque, on);
        }
    }
}
