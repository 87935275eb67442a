/* SPDX-License-Identifier: MIT */
/*
 * System control port B, 61h: gate of the 8254's counter 2, speaker, refresh toggle.
 *
 * Source: 82371SB (PIIX3) data sheet, NMI status and control register.
 *
 *     7      6       5      4        3       2       1        0
 *   SERR#  IOCHK#   OUT2  refresh  IOCHK#   SERR#  speaker  GATE2
 *   status status         toggle   disable  disable  data
 *
 * No NMI source is connected, so bits 7 and 6 read 0.
 *
 * Sound (property "audiodev"): the speaker's level is bit 1 AND OUT of counter 2.  It is followed
 * in ticks of the 8254 and averaged over the time of each sample, so that both tones and samples
 * played by pulse width are heard.  A level that stays is filtered out, as a coil would.
 */
#include <math.h>

#include "audio/audio.h"
#include "hw/timer/i8254.h"
#include "util/timer.h"

#define P61_GATE2     0x01
#define P61_SPEAKER   0x02
#define P61_SERR_OFF  0x04
#define P61_IOCHK_OFF 0x08
#define P61_REFRESH   0x10
#define P61_OUT2      0x20
#define P61_WRITABLE  0x0f

/* Refresh requests come every 15 us: DOS software counts them to measure time. */
#define REFRESH_NS    15085

#define SAMPLE_HZ     48000
#define QUEUE         8192          /* samples, a power of two */
#define LOUD          12000.0f      /* of a square wave, peak to peak */
#define DC_KEEP       0.998f        /* of the former sample: 15 Hz and more pass */
#define SILENT_AFTER  (PIT_HZ / 5)  /* ticks without a change */
#define AHEAD         (PIT_HZ / 20) /* ticks a sample may lie in the future, or lag behind */

/* What was heard and is not yet played */
typedef struct Heard {
    int64_t first;                  /* tick at which sample 0 begins */
    int64_t at;                     /* tick up to which the level is known */
    uint64_t sample;                /* number of the one that tick is in */
    int64_t high;                   /* ticks of it with the level high */
    int64_t changed;                /* tick of the last change by software */
    float before, filtered;
    int16_t queue[QUEUE];
    uint32_t head, used;
} Heard;

typedef struct PcSpk {
    Device dev;                     /* always first */
    Device *pit;
    uint8_t control;                /* the writable bits */
    AudioDev *audiodev;
    AudioVoice *voice;              /* NULL: nobody listens */
    Heard heard;
    Region io;
} PcSpk;

/* ---- sound ----------------------------------------------------------------------------- */

static void heard_begin(Heard *h, int64_t tick)
{
    *h = (Heard) { .first = tick, .at = tick, .changed = tick };
}

static void heard_sample(Heard *h, int64_t ticks)
{
    float level = LOUD * h->high / ticks;

    h->filtered = level - h->before + DC_KEEP * h->filtered;
    h->before = level;
    h->queue[(h->head + h->used) % QUEUE] = lrintf(h->filtered);
    if (h->used < QUEUE) {
        h->used++;
    } else {
        h->head++;
    }
    h->high = 0;
    h->sample++;
}

/* Follow the level up to a tick, with what is set now. */
static void listen_until(PcSpk *s, int64_t tick)
{
    Heard *h = &s->heard;

    while (h->at < tick) {
        int64_t begin = h->first + muldiv64(h->sample, PIT_HZ, SAMPLE_HZ);
        int64_t end = h->first + muldiv64(h->sample + 1, PIT_HZ, SAMPLE_HZ);
        int64_t to = MIN(end, tick);
        if (s->control & P61_SPEAKER) {
            h->high += i8254_high(s->pit, 2, h->at, to);
        }
        h->at = to;
        if (to == end) {
            heard_sample(h, end - begin);
        }
    }
}

static unsigned pcspk_pull(void *opaque, void *buf, unsigned frames)
{
    PcSpk *s = opaque;
    Heard *h = &s->heard;
    int64_t now = i8254_tick();
    bool tone = (s->control & P61_SPEAKER) && i8254_is_tone(s->pit, 2);
    uint8_t *out = buf;

    if (h->at < now - AHEAD || h->at > now + 2 * AHEAD) {
        int64_t changed = h->changed;   /* the host was away, or time was set */
        heard_begin(h, now);
        h->changed = MIN(changed, now);
    }
    while (h->used < frames && h->at < now + AHEAD) {
        listen_until(s, h->first + muldiv64(h->sample + 1, PIT_HZ, SAMPLE_HZ));
    }
    frames = MIN(frames, h->used);
    for (unsigned i = 0; i < frames; i++, h->head++, h->used--) {
        uint16_t v = h->queue[h->head % QUEUE];
        *out++ = v;
        *out++ = v >> 8;
    }
    if (!tone && now - h->changed > SILENT_AFTER) {
        audio_voice_set_active(s->voice, false);
    }
    return frames;
}

/* Bit 1 or counter 2 is about to change. */
static void level_changes(void *opaque)
{
    PcSpk *s = opaque;
    int64_t now = i8254_tick();

    if (!s->voice) {
        return;
    }
    if (audio_voice_active(s->voice)) {
        if (now - s->heard.at > AHEAD) {
            heard_begin(&s->heard, now);
        }
        listen_until(s, now);
    } else {
        heard_begin(&s->heard, now);
    }
    s->heard.changed = now;
}

/* ... and has: somebody may want to hear it. */
static void level_changed(PcSpk *s)
{
    if (s->voice && (s->control & P61_SPEAKER)) {
        audio_voice_set_active(s->voice, true);
    }
}

/* ---- port 61h -------------------------------------------------------------------------- */

static uint64_t pcspk_read(void *opaque, hwaddr addr, unsigned size)
{
    PcSpk *s = opaque;
    uint8_t val = s->control;

    if (vclock_ns() / REFRESH_NS & 1) {
        val |= P61_REFRESH;
    }
    if (i8254_get_out(s->pit, 2)) {
        val |= P61_OUT2;
    }
    return val;
}

static void pcspk_write(void *opaque, hwaddr addr, uint64_t val, unsigned size)
{
    PcSpk *s = opaque;
    uint8_t changed = s->control ^ val;

    if (changed & P61_SPEAKER) {
        level_changes(s);
    }
    s->control = val & P61_WRITABLE;
    i8254_set_gate(s->pit, 2, val & P61_GATE2);
    if (changed & (P61_SPEAKER | P61_GATE2)) {
        level_changed(s);
    }
}

static const RegionOps pcspk_ops = {
    .read = pcspk_read, .write = pcspk_write, .min = 1, .max = 1,
};

void pcspk_connect(Device *spk, Device *pit)
{
    ((PcSpk *)spk)->pit = pit;
}

/* Counter 2 is written while bit 1 lets it be heard. */
static void counter_changes(void *opaque)
{
    PcSpk *s = opaque;

    if ((s->control & P61_SPEAKER) || audio_voice_active(s->voice)) {
        level_changes(s);
        level_changed(s);
    }
}

static bool pcspk_realize(Device *dev, Error **err)
{
    PcSpk *s = (PcSpk *)dev;

    if (!s->pit) {
        return fail(err, "isa-pcspk: no timer is connected");
    }
    region_init_io(&s->io, "pcspk", 1, &pcspk_ops, s);
    region_map(dev->io, 0x61, &s->io, 0);
    if (s->audiodev) {
        static const AudioSpec spec = { SAMPLE_HZ, 1, AUDIO_FMT_S16 };
        s->voice = audio_voice_new(s->audiodev, "pcspk", pcspk_pull, s);
        audio_voice_set_spec(s->voice, &spec);
        i8254_watch(s->pit, 2, counter_changes, s);
    }
    return true;
}

static void pcspk_unrealize(Device *dev)
{
    PcSpk *s = (PcSpk *)dev;

    i8254_watch(s->pit, 2, NULL, NULL);
    audio_voice_free(s->voice);
    region_destroy(&s->io);
}

static void pcspk_reset(Device *dev)
{
    PcSpk *s = (PcSpk *)dev;

    s->control = 0;
    i8254_set_gate(s->pit, 2, false);
    if (s->voice) {
        audio_voice_set_active(s->voice, false);
    }
}

static const VMField pcspk_fields[] = {
    VM_UINT(PcSpk, control),
    VM_DONE
};

/* A tone that was playing goes on. */
static bool pcspk_post_load(void *opaque, int version, Error **err)
{
    PcSpk *s = opaque;

    s->control &= P61_WRITABLE;
    if (s->voice) {
        audio_voice_set_active(s->voice, false);
        level_changes(s);
        level_changed(s);
    }
    return true;
}

static const VMState vm_pcspk = {
    .name = "pcspk", .post_load = pcspk_post_load, .fields = pcspk_fields,
};

static const Prop pcspk_props[] = {
    PROP_AUDIODEV("audiodev", PcSpk, audiodev, "id of the -audiodev that plays it"),
    PROP_DONE
};

static const DeviceType pcspk = {
    .name = "isa-pcspk", .desc = "PC speaker and port 61h", .size = sizeof(PcSpk),
    .props = pcspk_props,
    .vmstate = &vm_pcspk, .realize = pcspk_realize, .reset = pcspk_reset,
    .unrealize = pcspk_unrealize, .no_user = true,
};
DEVICE_TYPE(pcspk);
