/* SPDX-License-Identifier: MIT */
/*
 * Recording: what a back-end hears goes to its active inputs, each with a rate and a format of its
 * own.  Devices ask for frames at the guest's pace, the host delivers blocks at its own: an input
 * keeps START_MS in advance, and is silent until it has that again when it ran dry.
 */
#include "audio/mixer.h"

#include <string.h>

#define CHUNK     256u
#define START_MS  30u
#define MOST_MS   500u                  /* what is older is dropped */

static bool any_active(const AudioDev *d)
{
    for (guint i = 0; i < d->inputs->len; i++) {
        if (((AudioInput *)d->inputs->pdata[i])->active) {
            return true;
        }
    }
    return false;
}

/* The microphone is open while somebody records. */
static void follow(AudioDev *d)
{
    bool on = d->driver && d->driver->record_run && any_active(d);
    Error *err = NULL;

    if (on == d->recording) {
        return;
    }
    d->recording = on;
    if (d->driver && !d->driver->record_run(d->state, on ? &d->in_spec : NULL, &err)) {
        warn_report("-audiodev: id=%s: silence is recorded: %s", d->id, err->message);
        g_error_free(err);
    }
}

/* ---- inputs: for devices ---------------------------------------------------------------- */

AudioInput *audio_input_new(AudioDev *dev, const char *name)
{
    AudioInput *in = g_new0(AudioInput, 1);

    *in = (AudioInput) {
        .dev = dev ? dev : audiodev_default_quietly(), .name = name, .spec = { 44100, 2, AUDIO_FMT_S16 },
        .left = 1, .right = 1, .waiting = g_array_new(FALSE, FALSE, sizeof(AudioFrame)),
    };
    g_ptr_array_add(in->dev->inputs, in);
    return in;
}

void audio_input_free(AudioInput *in)
{
    if (in) {
        g_ptr_array_remove(in->dev->inputs, in);
        follow(in->dev);
        g_array_unref(in->waiting);
        g_free(in);
    }
}

void audio_input_set_spec(AudioInput *in, const AudioSpec *spec)
{
    g_assert(spec->channels == 1 || spec->channels == 2);
    in->spec = *spec;
    in->spec.rate = CLAMP(spec->rate, AUDIO_MIN_RATE, AUDIO_MAX_RATE);
}

void audio_input_set_active(AudioInput *in, bool on)
{
    if (on && !in->active) {
        in->resampler = AUDIO_RESAMPLER_START;
        in->flows = false;
        g_array_set_size(in->waiting, 0);
    }
    in->active = on;
    follow(in->dev);
}

void audio_input_set_volume(AudioInput *in, bool mute, float left, float right)
{
    in->left = mute ? 0 : left;
    in->right = mute ? 0 : right;
}

/* ---- frames ------------------------------------------------------------------------------ */

static void pass_on(AudioInput *in, const AudioFrame *frames, unsigned n, uint32_t rate)
{
    guint most = rate / 1000 * MOST_MS;

    if (!in->active) {
        return;
    }
    g_array_append_vals(in->waiting, frames, n);
    if (in->waiting->len > most) {
        g_array_remove_range(in->waiting, 0, in->waiting->len - rate / 1000 * START_MS);
    }
}

/* What the host has heard since the last time. */
static void pump(AudioDev *d)
{
    static uint8_t raw[CHUNK * 8];
    static AudioFrame frames[CHUNK];
    unsigned n;

    while (d->recording && (n = d->driver->record(d->state, raw, CHUNK))) {
        audio_decode(&d->in_spec, raw, frames, n);
        for (guint i = 0; i < d->inputs->len; i++) {
            pass_on(d->inputs->pdata[i], frames, n, d->in_spec.rate);
        }
    }
}

/* n frames at its own rate: from what waits, or silence. */
static void take(AudioInput *in, AudioFrame *out, unsigned n)
{
    uint32_t rate = in->dev->in_spec.rate;
    guint needs = audio_resample_needs(&in->resampler, rate, in->spec.rate, n);

    in->flows = in->flows || in->waiting->len >= MAX(needs, rate / 1000 * START_MS);
    if (in->flows && in->waiting->len < needs) {
        in->underruns++;
        in->flows = false;
    }
    if (!in->flows) {
        memset(out, 0, n * sizeof(*out));
        return;
    }
    audio_resample(&in->resampler, rate, in->spec.rate, (AudioFrame *)(void *)in->waiting->data, out, n);
    g_array_remove_range(in->waiting, 0, needs);
    in->frames += n;
    for (unsigned i = 0; i < n; i++) {
        out[i].l *= in->left;
        out[i].r *= in->right;
    }
}

void audio_input_read(AudioInput *in, void *buf, unsigned frames)
{
    static AudioFrame out[CHUNK];
    uint8_t *to = buf;

    pump(in->dev);
    while (frames) {
        unsigned n = MIN(frames, CHUNK);
        take(in, out, n);
        audio_encode(&in->spec, out, to, n);
        to += (size_t)n * audio_frame_size(&in->spec);
        frames -= n;
    }
}
