/* SPDX-License-Identifier: MIT */
/*
 * Plays a tone of 440 Hz for two seconds on the first sound card, with everything turned up: a
 * guest's program that needs nothing but the kernel (ALSA's interface, <sound/asound.h>).
 */
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sound/asound.h>
#include <sys/ioctl.h>
#include <unistd.h>

#ifdef SMALL_LIBC
#include "small-libc.h"
#endif

#ifndef RATE
#define RATE    48000
#endif
#define FRAMES  (2 * RATE)
#define PERIOD  1024
#define SILENCE (16 * PERIOD - FRAMES % PERIOD) /* behind the tone: a card plays on for a moment */

static void fatal(const char *what)
{
    perror(what);
    exit(1);
}

/* ---- volume: every writable playback control to its end ------------------------------------ */

static void turn_up(int fd, const struct snd_ctl_elem_id *id)
{
    struct snd_ctl_elem_info info = { .id = *id };
    struct snd_ctl_elem_value v = { .id = *id };

    if (ioctl(fd, SNDRV_CTL_IOCTL_ELEM_INFO, &info) < 0 || !(info.access & SNDRV_CTL_ELEM_ACCESS_WRITE)
        || !strstr((const char *)id->name, "Playback")) {
        return;
    }
    for (unsigned i = 0; i < info.count; i++) {
        if (info.type == SNDRV_CTL_ELEM_TYPE_BOOLEAN) {
            v.value.integer.value[i] = 1;
        } else if (info.type == SNDRV_CTL_ELEM_TYPE_INTEGER) {
            v.value.integer.value[i] = info.value.integer.max;
        } else {
            return;
        }
    }
    ioctl(fd, SNDRV_CTL_IOCTL_ELEM_WRITE, &v);
}

static void turn_all_up(void)
{
    static struct snd_ctl_elem_id ids[256];
    struct snd_ctl_elem_list list = { .space = 256, .pids = ids };
    int fd = open("/dev/snd/controlC0", O_RDWR);

    if (fd < 0 || ioctl(fd, SNDRV_CTL_IOCTL_ELEM_LIST, &list) < 0) {
        fatal("controlC0");
    }
    for (unsigned i = 0; i < list.used; i++) {
        turn_up(fd, &ids[i]);
    }
    close(fd);
}

/* ---- the tone -------------------------------------------------------------------------------- */

static void set_one(struct snd_pcm_hw_params *p, int what, unsigned value)
{
    struct snd_interval *i = &p->intervals[what - SNDRV_PCM_HW_PARAM_FIRST_INTERVAL];

    *i = (struct snd_interval) { .min = value, .max = value, .integer = 1 };
}

static void choose(struct snd_pcm_hw_params *p, int what, unsigned bit)
{
    struct snd_mask *m = &p->masks[what - SNDRV_PCM_HW_PARAM_FIRST_MASK];

    memset(m, 0, sizeof(*m));
    m->bits[bit / 32] = 1u << bit % 32;
}

static void set_up(int fd)
{
    struct snd_pcm_hw_params p;

    memset(&p, 0, sizeof(p));
    for (int i = 0; i <= SNDRV_PCM_HW_PARAM_LAST_MASK - SNDRV_PCM_HW_PARAM_FIRST_MASK; i++) {
        memset(&p.masks[i], 0xff, sizeof(p.masks[i]));
    }
    for (int i = 0; i <= SNDRV_PCM_HW_PARAM_LAST_INTERVAL - SNDRV_PCM_HW_PARAM_FIRST_INTERVAL; i++) {
        p.intervals[i].max = UINT_MAX;
    }
    p.rmask = ~0u;
    p.info = ~0u;
    choose(&p, SNDRV_PCM_HW_PARAM_ACCESS, SNDRV_PCM_ACCESS_RW_INTERLEAVED);
    choose(&p, SNDRV_PCM_HW_PARAM_FORMAT, SNDRV_PCM_FORMAT_S16_LE);
    set_one(&p, SNDRV_PCM_HW_PARAM_CHANNELS, 2);
    set_one(&p, SNDRV_PCM_HW_PARAM_RATE, RATE);
    set_one(&p, SNDRV_PCM_HW_PARAM_PERIOD_SIZE, PERIOD);
    set_one(&p, SNDRV_PCM_HW_PARAM_PERIODS, 8);
    if (ioctl(fd, SNDRV_PCM_IOCTL_HW_PARAMS, &p) < 0) {
        fatal("HW_PARAMS");
    }
    struct snd_pcm_sw_params sw = {
        .period_step = 1, .avail_min = PERIOD, .start_threshold = 8 * PERIOD,
        .stop_threshold = 8 * PERIOD, .boundary = 8 * PERIOD * 1024,
    };
    if (ioctl(fd, SNDRV_PCM_IOCTL_SW_PARAMS, &sw) < 0 || ioctl(fd, SNDRV_PCM_IOCTL_PREPARE) < 0) {
        fatal("SW_PARAMS");
    }
}

/* sin(n w) by the recurrence s(n) = 2 cos(w) s(n - 1) - s(n - 2): no mathematics library. */
static void make_tone(short *out)
{
    double w = 2 * 3.14159265358979 * 440 / RATE, w2 = w * w;
    double cosine = 1 - w2 / 2 + w2 * w2 / 24, before = -(w - w * w2 / 6), now = 0;

    for (int i = 0; i < FRAMES; i++) {
        double next = 2 * cosine * now - before;
        out[2 * i] = out[2 * i + 1] = (short)(16000 * now);
        before = now;
        now = next;
    }
}

int main(void)
{
    static short tone[2 * (FRAMES + SILENCE)];
    struct snd_xferi x = { .buf = tone, .frames = FRAMES + SILENCE };

    turn_all_up();
    make_tone(tone);
    int fd = open("/dev/snd/pcmC0D0p", O_RDWR);
    if (fd < 0) {
        fatal("pcmC0D0p");
    }
    set_up(fd);
    if (ioctl(fd, SNDRV_PCM_IOCTL_WRITEI_FRAMES, &x) < 0) {
        fatal("WRITEI_FRAMES");
    }
    if (ioctl(fd, SNDRV_PCM_IOCTL_DRAIN) < 0) {
        fatal("DRAIN");
    }
    puts("played");
    return 0;
}
