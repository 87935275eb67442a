/* SPDX-License-Identifier: MIT */
/*
 * RIFF WAVE files that grow.  The lengths in the header follow each write, so that the file is right
 * whenever the process ends.
 */
#ifndef AUDIO_WAVFILE_H
#define AUDIO_WAVFILE_H

#include "audio/audio.h"

typedef struct WavFile WavFile;

/* Formats u8, s16 and s32. */
WavFile *wav_file_open(const char *path, const AudioSpec *spec, Error **err);
/* Whole frames.  What does not fit, or can't be written, is dropped, after one warning. */
void wav_file_write(WavFile *w, const void *frames, uint64_t bytes);
void wav_file_close(WavFile *w);
const char *wav_file_path(const WavFile *w);
uint64_t wav_file_bytes(const WavFile *w);      /* of samples */

#endif
