/* SPDX-License-Identifier: MIT */
/*
 * What a back-end plays, into a file, from when the monitor says so until it says no longer.
 */
#include "audio/mixer.h"
#include "audio/wavfile.h"

#include <inttypes.h>

typedef struct Capture {
    AudioTap *tap;
    WavFile *file;
    AudioSpec spec;
} Capture;

static GPtrArray *captures;             /* of Capture* */

static void frames(void *opaque, const void *data, size_t bytes)
{
    wav_file_write(((Capture *)opaque)->file, data, bytes);
}

static void running(void *opaque, bool on)
{
}

bool audio_capture_start(const char *path, const char *audiodev, unsigned rate, unsigned bits, unsigned channels,
                         Error **err)
{
    static const AudioTapOps ops = { frames, running };
    AudioDev *dev = audiodev_find(audiodev);
    Capture c = { .spec = { rate, channels, bits == 8 ? AUDIO_FMT_U8 : bits == 16 ? AUDIO_FMT_S16 : AUDIO_FMT_S32 } };

    if (!dev) {
        return fail(err, "there is no -audiodev with id '%s'", audiodev);
    }
    if (bits != 8 && bits != 16 && bits != 32) {
        return fail(err, "incorrect bit count %u, must be 8, 16 or 32", bits);
    }
    if (channels != 1 && channels != 2) {
        return fail(err, "incorrect channel count %u, must be 1 or 2", channels);
    }
    if (rate < AUDIO_MIN_RATE || rate > AUDIO_MAX_RATE) {
        return fail(err, "incorrect frequency %u, must be %u to %u", rate, AUDIO_MIN_RATE, AUDIO_MAX_RATE);
    }
    c.file = wav_file_open(path, &c.spec, err);
    if (!c.file) {
        return false;
    }
    Capture *p = g_memdup2(&c, sizeof(c));
    p->tap = audio_tap_new(dev, &p->spec, &ops, p);
    captures = captures ? captures : g_ptr_array_new();
    g_ptr_array_add(captures, p);
    return true;
}

bool audio_capture_stop(unsigned n, Error **err)
{
    if (!captures || n >= captures->len) {
        return fail(err, "there is no capture %u ('info capture')", n);
    }
    Capture *c = g_ptr_array_steal_index(captures, n);
    audio_tap_free(c->tap);
    wav_file_close(c->file);
    g_free(c);
    return true;
}

void audio_capture_info(GString *out)
{
    for (guint i = 0; captures && i < captures->len; i++) {
        const Capture *c = captures->pdata[i];
        g_string_append_printf(out, "[%u]: Capturing audio(%u,%u,%u) to %s: %" PRIu64 " bytes\n", i, c->spec.rate,
                               8 * audio_sample_size(c->spec.format), c->spec.channels,
                               wav_file_path(c->file), wav_file_bytes(c->file));
    }
}
