/* SPDX-License-Identifier: MIT */
/*
 * -audiodev wav,path=FILE: a RIFF WAVE file of what the guest plays.
 *
 * Source: Multimedia Programming Interface and Data Specifications 1.0 (RIFF, WAVE form).
 *
 * The lengths in the header follow each write, so that the file is right whenever the process
 * ends.
 */
#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <string.h>
#include <unistd.h>

#include "audio/driver.h"

#define HEADER      44
#define DATA_MAX    (UINT32_MAX - HEADER)
#define PCM         1

typedef struct WavFile {
    int fd;
    AudioSpec spec;
    uint64_t bytes;                     /* of samples, in the file */
    bool full;                          /* no more is written: said already */
    char *path;
} WavFile;

static void put(uint8_t *p, uint32_t v, int n)
{
    for (int i = 0; i < n; i++) {
        p[i] = v >> 8 * i;
    }
}

static bool write_at(WavFile *w, const void *data, size_t len, uint64_t at)
{
    const uint8_t *p = data;

    while (len) {
        ssize_t n = pwrite(w->fd, p, len, at);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return false;
        }
        p += n;
        len -= n;
        at += n;
    }
    return true;
}

static bool write_header(WavFile *w)
{
    unsigned frame = audio_frame_size(&w->spec);
    uint8_t h[HEADER];

    memcpy(h, "RIFF", 4);
    put(h + 4, w->bytes + HEADER - 8, 4);
    memcpy(h + 8, "WAVEfmt ", 8);
    put(h + 16, 16, 4);
    put(h + 20, PCM, 2);
    put(h + 22, w->spec.channels, 2);
    put(h + 24, w->spec.rate, 4);
    put(h + 28, w->spec.rate * frame, 4);
    put(h + 32, frame, 2);
    put(h + 34, 8 * audio_sample_size(w->spec.format), 2);
    memcpy(h + 36, "data", 4);
    put(h + 40, w->bytes, 4);
    return write_at(w, h, HEADER, 0);
}

static bool wav_open(AudioSpec *spec, uint64_t buffer_us, Opts *o, void **state, Error **err)
{
    const char *path = opts_get(o, "path");
    WavFile w = { .spec = *spec };

    path = path ? path : "qemu.wav";
    w.fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (w.fd < 0 || !write_header(&w)) {
        int errnum = errno;
        if (w.fd >= 0) {
            close(w.fd);
        }
        return fail_errno(err, errnum, "-audiodev: path=%s", path);
    }
    w.path = g_strdup(path);
    *state = g_memdup2(&w, sizeof(w));
    return true;
}

static void wav_play(void *state, const void *frames, unsigned n)
{
    WavFile *w = state;
    uint64_t len = (uint64_t)n * audio_frame_size(&w->spec);

    if (w->full) {
        return;
    }
    if (w->bytes + len > DATA_MAX) {
        w->full = true;
        warn_report("-audiodev wav: %s is full (4 GiB)", w->path);
        return;
    }
    if (!write_at(w, frames, len, HEADER + w->bytes)) {
        w->full = true;
        warn_report("-audiodev wav: %s: %s", w->path, g_strerror(errno));
        return;
    }
    w->bytes += len;
    write_header(w);
}

static void wav_close(void *state)
{
    WavFile *w = state;

    close(w->fd);
    g_free(w->path);
    g_free(w);
}

static const AudioDriver wav = {
    .name = "wav", .desc = "a file (path=, default qemu.wav)", .open = wav_open, .close = wav_close,
    .play = wav_play,
};
AUDIO_DRIVER(wav);
