/* SPDX-License-Identifier: MIT */
/*
 * -audiodev sdl: the host's loudspeakers and microphone, through SDL 2, loaded when it is asked for.
 *
 * SDL's thread takes frames from a ring; the mixer fills it under the big lock, which that
 * thread never takes.  An empty ring is silence, and counted once until there is sound again.
 * What is heard goes the other way through a ring of its own, whose oldest frames give way.
 */
#include <SDL.h>
#include <glib.h>
#include <string.h>

#include "audio/driver.h"
#include "util/library.h"

#define FUNCTIONS(F) \
    F(InitSubSystem) F(QuitSubSystem) F(OpenAudioDevice) F(CloseAudioDevice) \
    F(PauseAudioDevice) F(GetError) F(SetHint)

typedef struct SdlAudioLib {
#define MEMBER(name) __typeof__(&SDL_##name) name;
    FUNCTIONS(MEMBER)
} SdlAudioLib;

typedef struct SdlAudio {
    SDL_AudioDeviceID dev;
    GMutex lock;                        /* all below */
    uint8_t *ring;
    unsigned frame, size;               /* bytes of a frame; frames in the ring */
    unsigned at, used;                  /* next frame to be played; frames there */
    uint8_t silence;
    bool dry;
    uint64_t underruns;
    /* Recording; mic is opened when a guest does so first */
    SDL_AudioDeviceID mic;
    uint8_t *heard;
    unsigned heard_frame, heard_size, heard_at, heard_used;
} SdlAudio;

static SdlAudioLib lib;

static void want(void *opaque, Uint8 *out, int len)
{
    SdlAudio *a = opaque;
    unsigned n = len / a->frame;

    g_mutex_lock(&a->lock);
    if (n > a->used) {
        a->underruns += !a->dry;
    }
    a->dry = n > a->used;
    n = MIN(n, a->used);
    unsigned first = MIN(n, a->size - a->at);
    memcpy(out, a->ring + a->at * a->frame, first * a->frame);
    memcpy(out + first * a->frame, a->ring, (n - first) * a->frame);
    a->at = (a->at + n) % a->size;
    a->used -= n;
    g_mutex_unlock(&a->lock);
    memset(out + n * a->frame, a->silence, len - n * a->frame);
}

static void hear(void *opaque, Uint8 *in, int len)
{
    SdlAudio *a = opaque;
    unsigned n = len / a->heard_frame;

    g_mutex_lock(&a->lock);
    for (unsigned i = 0; i < n; i++) {
        unsigned end = (a->heard_at + a->heard_used) % a->heard_size;
        memcpy(a->heard + end * a->heard_frame, in + i * a->heard_frame, a->heard_frame);
        if (a->heard_used < a->heard_size) {
            a->heard_used++;
        } else {
            a->heard_at = (a->heard_at + 1) % a->heard_size;
        }
    }
    g_mutex_unlock(&a->lock);
}

static SDL_AudioFormat sdl_format(const AudioSpec *spec)
{
    return spec->format == AUDIO_FMT_U8 ? AUDIO_U8 : spec->format == AUDIO_FMT_S16 ? AUDIO_S16LSB : AUDIO_S32LSB;
}

static bool open_device(SdlAudio *a, AudioSpec *spec, Error **err)
{
    SDL_AudioSpec got, wanted = {
        .freq = spec->rate, .channels = spec->channels, .samples = 512, .callback = want,
        .userdata = a, .format = sdl_format(spec),
    };

    lib.SetHint(SDL_HINT_NO_SIGNAL_HANDLERS, "1");
    if (lib.InitSubSystem(SDL_INIT_AUDIO) < 0) {
        return fail(err, "-audiodev: driver=sdl: %s", lib.GetError());
    }
    a->dev = lib.OpenAudioDevice(NULL, 0, &wanted, &got, 0);
    if (!a->dev) {
        fail(err, "-audiodev: driver=sdl: %s", lib.GetError());
        lib.QuitSubSystem(SDL_INIT_AUDIO);
        return false;
    }
    return true;
}

static bool sdl_open(AudioSpec *spec, uint64_t buffer_us, Opts *o, void **state, Error **err)
{
#define NAME(name) "SDL_" #name,
    static const char *const names[] = { FUNCTIONS(NAME) };

    if (!LIBRARY_LOAD("libSDL2-2.0.so.0", "libsdl2-2.0-0", names, &lib, err)) {
        return false;
    }
    SdlAudio *a = g_new0(SdlAudio, 1);
    g_mutex_init(&a->lock);
    a->frame = audio_frame_size(spec);
    a->size = MAX(spec->rate * buffer_us / 1000000, 1024);
    a->ring = g_malloc(a->size * a->frame);
    a->silence = spec->format == AUDIO_FMT_U8 ? 128 : 0;
    a->dry = true;                      /* what was not yet played is no gap */
    if (!open_device(a, spec, err)) {
        g_free(a->ring);
        g_free(a);
        return false;
    }
    *state = a;
    return true;
}

static void sdl_close(void *state)
{
    SdlAudio *a = state;

    lib.CloseAudioDevice(a->dev);       /* waits for the callback */
    if (a->mic) {
        lib.CloseAudioDevice(a->mic);
    }
    lib.QuitSubSystem(SDL_INIT_AUDIO);
    g_free(a->ring);
    g_free(a->heard);
    g_free(a);
}

static void sdl_play(void *state, const void *frames, unsigned n)
{
    SdlAudio *a = state;

    g_mutex_lock(&a->lock);
    unsigned end = (a->at + a->used) % a->size, first = MIN(n, a->size - end);
    memcpy(a->ring + end * a->frame, frames, first * a->frame);
    memcpy(a->ring, (const uint8_t *)frames + first * a->frame, (n - first) * a->frame);
    a->used += n;
    g_mutex_unlock(&a->lock);
}

static unsigned sdl_room(void *state)
{
    SdlAudio *a = state;

    g_mutex_lock(&a->lock);
    unsigned n = a->size - a->used;
    g_mutex_unlock(&a->lock);
    return n;
}

/* While nothing plays SDL's thread has nothing to do; what is left in the ring comes first when
 * it goes on. */
static void sdl_run(void *state, bool on)
{
    SdlAudio *a = state;

    g_mutex_lock(&a->lock);
    a->dry = true;
    g_mutex_unlock(&a->lock);
    lib.PauseAudioDevice(a->dev, !on);
}

static uint64_t sdl_underruns(void *state)
{
    SdlAudio *a = state;

    g_mutex_lock(&a->lock);
    uint64_t n = a->underruns;
    g_mutex_unlock(&a->lock);
    return n;
}

/* ---- recording ------------------------------------------------------------------------- */

static bool open_mic(SdlAudio *a, const AudioSpec *spec, Error **err)
{
    SDL_AudioSpec got, wanted = {
        .freq = spec->rate, .channels = spec->channels, .samples = 512, .callback = hear,
        .userdata = a, .format = sdl_format(spec),
    };

    a->heard_frame = audio_frame_size(spec);
    a->heard_size = MAX(spec->rate / 4, 1024);
    a->heard = g_malloc(a->heard_size * a->heard_frame);
    a->mic = lib.OpenAudioDevice(NULL, 1, &wanted, &got, 0);
    if (!a->mic) {
        g_clear_pointer(&a->heard, g_free);
        return fail(err, "no microphone: %s", lib.GetError());
    }
    return true;
}

static bool sdl_record_run(void *state, const AudioSpec *spec, Error **err)
{
    SdlAudio *a = state;

    if (spec && !a->mic && !open_mic(a, spec, err)) {
        return false;
    }
    if (a->mic) {
        g_mutex_lock(&a->lock);
        a->heard_used = 0;
        g_mutex_unlock(&a->lock);
        lib.PauseAudioDevice(a->mic, !spec);
    }
    return true;
}

static unsigned sdl_record(void *state, void *frames, unsigned n)
{
    SdlAudio *a = state;

    g_mutex_lock(&a->lock);
    n = MIN(n, a->heard_used);
    for (unsigned i = 0; i < n; i++) {
        memcpy((uint8_t *)frames + i * a->heard_frame, a->heard + a->heard_at * a->heard_frame, a->heard_frame);
        a->heard_at = (a->heard_at + 1) % a->heard_size;
    }
    a->heard_used -= n;
    g_mutex_unlock(&a->lock);
    return n;
}

static const AudioDriver sdl_driver = {
    .name = "sdl", .desc = "the host's loudspeakers and microphone (SDL 2)",
    .record_run = sdl_record_run, .record = sdl_record, .open = sdl_open,
    .close = sdl_close, .play = sdl_play, .room = sdl_room, .run = sdl_run,
    .underruns = sdl_underruns,
};
AUDIO_DRIVER(sdl_driver);
