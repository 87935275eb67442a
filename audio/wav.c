/* SPDX-License-Identifier: MIT */
/*
 * -audiodev wav,path=FILE: a file of what the guest plays.
 */
#include "audio/driver.h"
#include "audio/wavfile.h"

typedef struct WavOut {
    WavFile *file;
    unsigned frame;                     /* bytes */
} WavOut;

static bool wav_open(AudioSpec *spec, uint64_t buffer_us, Opts *o, void **state, Error **err)
{
    const char *path = opts_get(o, "path");
    Error *e = NULL;
    WavFile *file = wav_file_open(path ? path : "qemu.wav", spec, &e);

    if (!file) {
        g_propagate_prefixed_error(err, e, "-audiodev: ");
        return false;
    }
    WavOut *w = g_new(WavOut, 1);
    *w = (WavOut) { file, audio_frame_size(spec) };
    *state = w;
    return true;
}

static void wav_play(void *state, const void *frames, unsigned n)
{
    const WavOut *w = state;

    wav_file_write(w->file, frames, (uint64_t)n * w->frame);
}

static void wav_close(void *state)
{
    WavOut *w = state;

    wav_file_close(w->file);
    g_free(w);
}

static const AudioDriver wav = {
    .name = "wav", .desc = "a file (path=, default qemu.wav)", .open = wav_open, .close = wav_close,
    .play = wav_play,
};
AUDIO_DRIVER(wav);
