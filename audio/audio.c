/* SPDX-License-Identifier: MIT */
/*
 * Voices, the mixer and its clock.  audiodev.c makes the back-ends.
 */
#include "audio/mixer.h"

#include <string.h>

#define CHUNK       1024u               /* frames mixed at a time */
#define SOURCE_MAX  4096u               /* frames asked of a voice at a time */
#define MAX_LATE_MS 1000                /* the host was away for longer: that sound is lost */

/* ---- mixing -------------------------------------------------------------------------- */

/* n frames of a voice at its own rate; what it has not is silence. */
static void ask(AudioVoice *v, AudioFrame *to, unsigned n)
{
    static uint8_t raw[SOURCE_MAX * 8];
    unsigned got = v->active ? v->pull(v->opaque, raw, n) : 0;

    g_assert(got <= n);
    audio_decode(&v->spec, raw, to, got);
    memset(to + got, 0, (n - got) * sizeof(*to));
    v->frames += got;
    if (got < n && v->active) {
        v->underruns += !v->starved;
        v->missing += n - got;
    }
    v->starved = got < n;
}

/* Adds n frames of a voice at the back-end's rate. */
static void add_voice(AudioVoice *v, AudioFrame *sum, unsigned n, uint32_t rate)
{
    static AudioFrame source[SOURCE_MAX], out[CHUNK];
    float l = v->mute ? 0 : v->left, r = v->mute ? 0 : v->right;

    while (n && v->active) {
        unsigned now = MIN(n, SOURCE_MAX / (1 + v->spec.rate / rate) - 1);
        uint32_t in = v->spec.rate;

        ask(v, source, audio_resample_needs(&v->resampler, in, rate, now));
        audio_resample(&v->resampler, in, rate, source, out, now);
        for (unsigned i = 0; i < now; i++) {
            sum[i].l += out[i].l * l;
            sum[i].r += out[i].r * r;
        }
        sum += now;
        n -= now;
    }
}

static void mix(AudioDev *d, unsigned n)
{
    static AudioFrame sum[CHUNK];
    static uint8_t raw[CHUNK * 8];

    memset(sum, 0, n * sizeof(*sum));
    for (guint i = 0; i < d->voices->len; i++) {
        add_voice(d->voices->pdata[i], sum, n, d->spec.rate);
    }
    d->frames += n;
    audio_taps_frames(d, sum, n);
    if (d->driver->play) {
        audio_encode(&d->spec, sum, raw, n);
        d->driver->play(d->state, raw, n);
    }
}

/* ---- the clock ------------------------------------------------------------------------ */

static bool any_active(const AudioDev *d)
{
    for (guint i = 0; i < d->voices->len; i++) {
        if (((AudioVoice *)d->voices->pdata[i])->active) {
            return true;
        }
    }
    return false;
}

/* Frames to be played now. */
static uint64_t due(AudioDev *d)
{
    uint64_t n, most = (uint64_t)d->spec.rate * MAX_LATE_MS / 1000;

    if (d->driver->room) {
        return d->driver->room(d->state);
    }
    n = muldiv64(vclock_ns() - d->began, d->spec.rate, NS_PER_SEC) - d->played;
    d->played += n;
    if (n > most) {
        d->lost += n - most;
        n = most;
    }
    return n;
}

static void tick(void *opaque)
{
    AudioDev *d = opaque;

    for (uint64_t n = due(d); n && any_active(d); ) {
        unsigned now = MIN(n, CHUNK);
        mix(d, now);
        n -= now;
    }
    audio_clock(d);
}

void audio_clock(AudioDev *d)
{
    bool on = d->driver && any_active(d);

    if (on && !d->running) {
        d->began = vclock_ns();
        d->played = 0;
    }
    if (on != d->running && d->driver && d->driver->run) {
        d->driver->run(d->state, on);
    }
    if (on != d->running) {
        d->running = on;
        audio_taps_running(d, on);
    }
    if (!on) {
        timer_del(&d->timer);
    } else if (!timer_pending(&d->timer)) {
        timer_mod(&d->timer, vclock_ns() + d->period_ns);
    }
}

void audio_dev_init(AudioDev *d)
{
    d->voices = g_ptr_array_new();
    d->inputs = g_ptr_array_new();
    d->taps = g_ptr_array_new();
    timer_init(&d->timer, ORRERY_CLOCK_VIRTUAL, tick, d);
}

/* ---- voices ---------------------------------------------------------------------------- */

AudioVoice *audio_voice_new(AudioDev *dev, const char *name, AudioPull pull, void *opaque)
{
    AudioVoice *v = g_new0(AudioVoice, 1);

    *v = (AudioVoice) {
        .dev = dev ? dev : audiodev_default(name), .name = name, .pull = pull, .opaque = opaque,
        .spec = { 44100, 2, AUDIO_FMT_S16 }, .left = 1, .right = 1,
    };
    g_ptr_array_add(v->dev->voices, v);
    return v;
}

void audio_voice_free(AudioVoice *v)
{
    if (v) {
        g_ptr_array_remove(v->dev->voices, v);
        audio_clock(v->dev);
        g_free(v);
    }
}

void audio_voice_set_spec(AudioVoice *v, const AudioSpec *spec)
{
    g_assert(spec->channels == 1 || spec->channels == 2);
    v->spec = *spec;
    v->spec.rate = CLAMP(spec->rate, AUDIO_MIN_RATE, AUDIO_MAX_RATE);
}

void audio_voice_set_active(AudioVoice *v, bool on)
{
    if (on && !v->active) {
        v->resampler = AUDIO_RESAMPLER_START;
        v->starved = false;
    }
    v->active = on;
    audio_clock(v->dev);
}

bool audio_voice_active(const AudioVoice *v)
{
    return v->active;
}

void audio_voice_set_volume(AudioVoice *v, bool mute, float left, float right)
{
    v->mute = mute;
    v->left = left;
    v->right = right;
}
