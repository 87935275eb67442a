/* SPDX-License-Identifier: MIT */
/*
 * RIFF WAVE files.
 *
 * Source: Multimedia Programming Interface and Data Specifications 1.0 (RIFF, WAVE form).
 */
#include "audio/wavfile.h"

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <string.h>
#include <unistd.h>

#define HEADER      44
#define DATA_MAX    (UINT32_MAX - HEADER)
#define PCM         1

struct WavFile {
    int fd;
    AudioSpec spec;
    uint64_t bytes;                     /* of samples, in the file */
    bool full;                          /* no more is written: said already */
    char *path;
};

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

WavFile *wav_file_open(const char *path, const AudioSpec *spec, Error **err)
{
    WavFile w = { .spec = *spec };

    w.fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (w.fd < 0 || !write_header(&w)) {
        int errnum = errno;
        if (w.fd >= 0) {
            close(w.fd);
        }
        fail_errno(err, errnum, "path=%s", path);
        return NULL;
    }
    w.path = g_strdup(path);
    return g_memdup2(&w, sizeof(w));
}

void wav_file_write(WavFile *w, const void *frames, uint64_t len)
{
    if (w->full) {
        return;
    }
    if (w->bytes + len > DATA_MAX) {
        w->full = true;
        warn_report("wav: %s is full (4 GiB)", w->path);
        return;
    }
    if (!write_at(w, frames, len, HEADER + w->bytes)) {
        w->full = true;
        warn_report("wav: %s: %s", w->path, g_strerror(errno));
        return;
    }
    w->bytes += len;
    write_header(w);
}

void wav_file_close(WavFile *w)
{
    close(w->fd);
    g_free(w->path);
    g_free(w);
}

const char *wav_file_path(const WavFile *w)
{
    return w->path;
}

uint64_t wav_file_bytes(const WavFile *w)
{
    return w->bytes;
}
