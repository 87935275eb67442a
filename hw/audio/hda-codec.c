/* SPDX-License-Identifier: MIT */
/*
 * HD Audio codecs: "hda-duplex" (line out, line in), "hda-micro" (line out, microphone),
 * "hda-output" (line out).  They play and record in stereo, 16 or 32 bits, 8 to 96 kHz.
 *
 * Source: High Definition Audio Specification 1.0a, 7.3 (verbs), 7.3.4 (parameters); node
 * numbers, ids and default configurations are those of QEMU's codecs of the same names.
 *
 *     0 root   1 audio function   2 converter out -> 3 pin out   5 pin in -> 4 converter in
 */
#include <math.h>
#include <string.h>

#include "audio/audio.h"
#include "hw/audio/hda.h"
#include "util/log.h"
#include "util/timer.h"

enum { N_ROOT, N_FUNCTION, N_DAC, N_PIN_OUT, N_ADC, N_PIN_IN, NODES };

/* Verbs: those with 4 bits and 16 of data, as 12 bits; then the others. */
enum {
    V_SET_FORMAT = 0x200, V_SET_AMP = 0x300, V_GET_FORMAT = 0xa00, V_GET_AMP = 0xb00,
    V_SET_CONNECT = 0x701, V_SET_POWER = 0x705, V_SET_STREAM = 0x706, V_SET_PIN = 0x707,
    V_SET_UNSOL = 0x708, V_SET_EAPD = 0x70c, V_RESET = 0x7ff, V_PARAM = 0xf00, V_GET_CONNECT = 0xf01,
    V_GET_LIST = 0xf02, V_GET_POWER = 0xf05, V_GET_STREAM = 0xf06, V_GET_PIN = 0xf07,
    V_GET_UNSOL = 0xf08, V_GET_SENSE = 0xf09, V_GET_EAPD = 0xf0c, V_GET_CONFIG = 0xf1c,
    V_GET_SUBSYSTEM = 0xf20,
};
enum { P_VENDOR = 0, P_SUBSYSTEM = 1, P_REVISION = 2, P_NODES = 4, P_TYPE = 5, P_FUNCTION_CAPS = 8, P_WIDGET = 9,
       P_PCM = 10, P_FORMATS = 11, P_PIN = 12, P_AMP_IN = 13, P_CONNECTIONS = 14,
       P_AMP_OUT = 18 };

/* Widget capabilities (7.3.4.6) */
#define W_STEREO        0x001u
#define W_AMP_IN        0x002u
#define W_AMP_OUT       0x004u
#define W_AMP_OVERRIDE  0x008u
#define W_FORMATS       0x010u
#define W_CONNECTIONS   0x100u
#define W_TYPE(n)       ((uint32_t)(n) << 20)   /* 0 audio out, 1 audio in, 4 pin */

#define PCM_16_8K_96K   0x000201fcu     /* 16 bits; rates 16 to 96 kHz */
#define STREAM_PCM      1u
/* Mute, steps of 1 dB (size field 3), 74 of them, the last is 0 dB */
#define AMP_STEPS       0x4au
#define AMP_CAPS        (1u << 31 | 3u << 16 | AMP_STEPS << 8 | AMP_STEPS)
#define AMP_MUTE        0x80u

#define PIN_OUT_ENABLE  0x40u
#define PIN_IN_ENABLE   0x20u
#define IN_PERIOD       (10 * NS_PER_MS)

typedef struct CodecModel {
    uint16_t id[2];                     /* without and with volume (mixer=) */
    bool input;
    uint32_t out_config, in_config;     /* of the pins */
} CodecModel;

typedef struct Converter {
    uint16_t format;
    uint8_t stream;                     /* tag in the high half, first channel in the low */
    uint8_t gain[2];                    /* left, right: 7 mute, 6:0 step */
} Converter;

typedef struct Codec {
    HDACodec codec;                     /* always first */
    AudioDev *audiodev;
    bool mixer;
    AudioVoice *voice;
    AudioInput *input;
    Converter out, in;
    uint8_t power, pin_out, pin_in, unsol[NODES];
    Timer in_timer;                     /* while something is recorded */
    int64_t in_since;
} Codec;

/* ---- sound ----------------------------------------------------------------------------------- */

static HDABus *bus_of(const Codec *c)
{
    return (HDABus *)c->codec.dev.bus;
}

/* Rate, bits, channels of a format (3.7.1); false: none that is played here. */
static bool decode(uint16_t f, AudioSpec *spec)
{
    static const AudioFormat formats[8] = { AUDIO_FMT_U8, AUDIO_FMT_S16, AUDIO_FMT_S32, AUDIO_FMT_S32,
                                            AUDIO_FMT_S32 };
    unsigned bits = f >> 4 & 7, channels = (f & 15) + 1;
    uint32_t rate = f & 0x4000 ? 44100 : 48000;

    rate = rate * ((f >> 11 & 7) + 1) / ((f >> 8 & 7) + 1);
    *spec = (AudioSpec) { rate, channels, formats[bits] };
    return !(f & 0x8000) && bits <= 4 && channels <= 2;
}

static unsigned frame_size(const Converter *v)
{
    AudioSpec spec;

    return decode(v->format, &spec) ? audio_frame_size(&spec) : 0;
}

static unsigned pull(void *opaque, void *buf, unsigned frames)
{
    Codec *c = opaque;
    unsigned size = frame_size(&c->out);
    unsigned n = size ? bus_of(c)->transfer(bus_of(c), true, c->out.stream >> 4, buf, frames * size) / size : 0;

    return n;
}

/* So many frames go to the guest. */
static void give(Codec *c, unsigned frames, unsigned size)
{
    static uint8_t buf[4096];

    while (frames) {
        unsigned n = MIN(frames, sizeof(buf) / size);
        audio_input_read(c->input, buf, n);
        bus_of(c)->transfer(bus_of(c), false, c->in.stream >> 4, buf, n * size);
        frames -= n;
    }
}

static void record(void *opaque)
{
    Codec *c = opaque;
    AudioSpec spec;
    int64_t now = vclock_ns();

    if (decode(c->in.format, &spec) && now > c->in_since) {
        unsigned frames = muldiv64(MIN(now - c->in_since, NS_PER_SEC), spec.rate, NS_PER_SEC);
        give(c, frames, audio_frame_size(&spec));
        c->in_since += muldiv64(frames, NS_PER_SEC, spec.rate);
    }
    timer_mod(&c->in_timer, now + IN_PERIOD);
}

/* Voice and timer follow the streams, the formats and the tags. */
static void streams_changed(HDACodec *codec)
{
    Codec *c = (Codec *)codec;
    HDABus *b = bus_of(c);
    AudioSpec spec;
    bool plays = decode(c->out.format, &spec) && b->running(b, true, c->out.stream >> 4);

    if (plays) {
        audio_voice_set_spec(c->voice, &spec);
    }
    audio_voice_set_active(c->voice, plays);
    bool records = decode(c->in.format, &spec) && b->running(b, false, c->in.stream >> 4);
    if (records) {
        audio_input_set_spec(c->input, &spec);
    }
    audio_input_set_active(c->input, records);
    if (!records) {
        timer_del(&c->in_timer);
    } else if (!timer_pending(&c->in_timer)) {
        c->in_since = vclock_ns();
        timer_mod(&c->in_timer, c->in_since + IN_PERIOD);
    }
}

static float factor(const Converter *v, int channel)
{
    int step = MIN(v->gain[channel] & 0x7f, AMP_STEPS);

    return v->gain[channel] & AMP_MUTE ? 0 : powf(10, (step - (int)AMP_STEPS) / 20.0f);
}

static void update_volume(Codec *c)
{
    audio_voice_set_volume(c->voice, !(c->pin_out & PIN_OUT_ENABLE), factor(&c->out, 0), factor(&c->out, 1));
    audio_input_set_volume(c->input, !(c->pin_in & PIN_IN_ENABLE), factor(&c->in, 0), factor(&c->in, 1));
}

/* ---- parameters -------------------------------------------------------------------------------- */

static const CodecModel *model(const Codec *c)
{
    return c->codec.dev.type->info;
}

static bool has_node(const Codec *c, unsigned nid)
{
    return nid < N_ADC || (nid < NODES && model(c)->input);
}

static uint32_t widget_caps(const Codec *c, unsigned nid)
{
    uint32_t amp = c->mixer ? W_AMP_OVERRIDE : 0;

    switch (nid) {
    case N_DAC: return W_TYPE(0) | W_FORMATS | W_STEREO | (amp ? amp | W_AMP_OUT : 0);
    case N_ADC: return W_TYPE(1) | W_FORMATS | W_STEREO | W_CONNECTIONS | (amp ? amp | W_AMP_IN : 0);
    case N_PIN_OUT: return W_TYPE(4) | W_CONNECTIONS | W_STEREO;
    default: return W_TYPE(4) | W_STEREO;
    }
}

static uint32_t identity(const Codec *c)
{
    return 0x1af4u << 16 | model(c)->id[c->mixer];
}

static uint32_t root_parameter(const Codec *c, unsigned p)
{
    switch (p) {
    case P_VENDOR: return identity(c);
    case P_REVISION: return 0x00100101;
    case P_NODES: return 1u << 16 | 1;
    default: return 0;
    }
}

static uint32_t function_parameter(const Codec *c, unsigned p)
{
    switch (p) {
    case P_NODES: return (uint32_t)N_DAC << 16 | (model(c)->input ? 4 : 2);
    case P_SUBSYSTEM: return identity(c);
    case P_TYPE: return 1;              /* audio */
    case P_FUNCTION_CAPS: return 0x808; /* delays of eight samples each way */
    case P_PCM: return PCM_16_8K_96K;
    case P_FORMATS: return STREAM_PCM;
    default: return 0;
    }
}

static uint32_t widget_parameter(const Codec *c, unsigned nid, unsigned p)
{
    bool converter = nid == N_DAC || nid == N_ADC;

    switch (p) {
    case P_WIDGET: return widget_caps(c, nid);
    case P_PCM: return converter ? PCM_16_8K_96K : 0;
    case P_FORMATS: return converter ? STREAM_PCM : 0;
    case P_PIN: return nid == N_PIN_OUT ? 1u << 4 : nid == N_PIN_IN ? 1u << 5 : 0;
    case P_AMP_OUT: return c->mixer && nid == N_DAC ? AMP_CAPS : 0;
    case P_AMP_IN: return c->mixer && nid == N_ADC ? AMP_CAPS : 0;
    case P_CONNECTIONS: return nid == N_PIN_OUT || nid == N_ADC;
    default: return 0;
    }
}

static uint32_t parameter(const Codec *c, unsigned nid, unsigned p)
{
    return nid == N_ROOT ? root_parameter(c, p) : nid == N_FUNCTION ? function_parameter(c, p)
           : widget_parameter(c, nid, p);
}

/* ---- verbs --------------------------------------------------------------------------------------- */

static Converter *converter(Codec *c, unsigned nid)
{
    return nid == N_DAC ? &c->out : nid == N_ADC ? &c->in : NULL;
}

/* 15 output, 14 input, 13 left, 12 right, 7 mute, 6:0 gain (7.3.3.7) */
static void set_amp(Codec *c, unsigned nid, unsigned data)
{
    Converter *v = converter(c, nid);

    if (!v || !c->mixer || !(data & (nid == N_DAC ? 0x8000 : 0x4000))) {
        return;
    }
    for (int i = 0; i < 2; i++) {
        if (data & (i ? 0x1000 : 0x2000)) {
            v->gain[i] = (data & AMP_MUTE) | MIN(data & 0x7f, AMP_STEPS);
        }
    }
    update_volume(c);
}

static uint32_t get_amp(Codec *c, unsigned nid, unsigned data)
{
    Converter *v = converter(c, nid);

    return v && c->mixer && !!(data & 0x8000) == (nid == N_DAC) ? v->gain[!(data & 0x2000)] : 0;
}

static uint32_t get(Codec *c, unsigned nid, unsigned verb, unsigned data)
{
    const Converter *v = converter(c, nid);

    switch (verb) {
    case V_PARAM: return parameter(c, nid, data);
    case V_GET_FORMAT: return v ? v->format : 0;
    case V_GET_AMP: return get_amp(c, nid, data);
    case V_GET_LIST: return data ? 0 : nid == N_PIN_OUT ? N_DAC : nid == N_ADC ? N_PIN_IN : 0;
    case V_GET_POWER: return c->power | c->power << 4;
    case V_GET_STREAM: return v ? v->stream : 0;
    case V_GET_PIN: return nid == N_PIN_OUT ? c->pin_out : nid == N_PIN_IN ? c->pin_in : 0;
    case V_GET_UNSOL: return c->unsol[nid];
    case V_GET_CONFIG:
        return nid == N_PIN_OUT ? model(c)->out_config : nid == N_PIN_IN ? model(c)->in_config : 0;
    case V_GET_SUBSYSTEM: return nid == N_FUNCTION ? identity(c) : 0;
    default: return 0;
    }
}

static void codec_init(Codec *c)
{
    c->out = c->in = (Converter) { .format = 0x11, .gain = { AMP_STEPS, AMP_STEPS } };
    c->pin_out = PIN_OUT_ENABLE;
    c->pin_in = PIN_IN_ENABLE;
    c->power = 0;
    memset(c->unsol, 0, sizeof(c->unsol));
    update_volume(c);
}

static void set(Codec *c, unsigned nid, unsigned verb, unsigned data)
{
    Converter *v = converter(c, nid);

    switch (verb) {
    case V_SET_FORMAT:
        if (v) {
            v->format = data;
            streams_changed(&c->codec);
        }
        break;
    case V_SET_AMP: set_amp(c, nid, data); break;
    case V_SET_POWER: c->power = data & 15; break;
    case V_SET_STREAM:
        if (v) {
            v->stream = data;
            streams_changed(&c->codec);
        }
        break;
    case V_SET_PIN:
        if (nid == N_PIN_OUT) {
            c->pin_out = data & 0xe7;
            update_volume(c);
        } else if (nid == N_PIN_IN) {
            c->pin_in = data & 0xe7;
            update_volume(c);
        }
        break;
    case V_SET_UNSOL: c->unsol[nid] = data; break;
    case V_RESET:
        if (nid == N_FUNCTION) {
            codec_init(c);
            streams_changed(&c->codec);
        }
        break;
    default:
        LOG_GUEST("hda: verb %03x of node %u is not there", verb, nid);
    }
}

static uint32_t codec_command(HDACodec *codec, unsigned nid, uint32_t word)
{
    Codec *c = (Codec *)codec;
    bool wide = (word >> 16 & 7) != 7;          /* 4 bits of verb, 16 of data */
    unsigned verb = word >> 8 & (wide ? 0xf00 : 0xfff), data = word & (wide ? 0xffff : 0xff);

    if (!has_node(c, nid)) {
        return 0;
    }
    if (verb >= 0xf00 || verb == V_GET_FORMAT || verb == V_GET_AMP) {
        return get(c, nid, verb, data);
    }
    set(c, nid, verb, data);
    return 0;
}

/* ---- life ------------------------------------------------------------------------------------------ */

static void link_reset(HDACodec *codec)
{
    codec_init((Codec *)codec);
}

static bool codec_realize(Device *dev, Error **err)
{
    Codec *c = (Codec *)dev;

    c->codec.command = codec_command;
    c->codec.streams_changed = streams_changed;
    c->codec.link_reset = link_reset;
    timer_init(&c->in_timer, ORRERY_CLOCK_VIRTUAL, record, c);
    c->voice = audio_voice_new(c->audiodev, dev->type->name, pull, c);
    c->input = audio_input_new(c->audiodev, dev->type->name);
    return true;
}

static void codec_unrealize(Device *dev)
{
    Codec *c = (Codec *)dev;

    timer_del(&c->in_timer);
    audio_voice_free(c->voice);
    audio_input_free(c->input);
    c->voice = NULL;
    c->input = NULL;
}

static void codec_reset(Device *dev)
{
    Codec *c = (Codec *)dev;

    codec_init(c);
    c->in_since = 0;
    streams_changed(&c->codec);
}

static bool codec_post_load(void *opaque, int version, Error **err)
{
    Codec *c = opaque;

    for (int i = 0; i < 2; i++) {
        c->out.gain[i] = (c->out.gain[i] & AMP_MUTE) | MIN(c->out.gain[i] & 0x7f, AMP_STEPS);
        c->in.gain[i] = (c->in.gain[i] & AMP_MUTE) | MIN(c->in.gain[i] & 0x7f, AMP_STEPS);
    }
    update_volume(c);
    streams_changed(&c->codec);         /* the controller's streams are there already */
    return true;
}

static const VMField converter_fields[] = {
    VM_UINT(Converter, format), VM_UINT(Converter, stream), VM_UINTS(Converter, gain), VM_DONE
};
static const VMState vm_converter = { .name = "hda-converter", .fields = converter_fields };

static const VMField codec_fields[] = {
    VM_STRUCT(Codec, out, vm_converter), VM_STRUCT(Codec, in, vm_converter), VM_UINT(Codec, power),
    VM_UINT(Codec, pin_out), VM_UINT(Codec, pin_in), VM_UINTS(Codec, unsol), VM_TIMER(Codec, in_timer),
    VM_UINT(Codec, in_since),
    VM_DONE
};
static const VMState vm_codec = { .name = "hda-codec", .fields = codec_fields, .post_load = codec_post_load };

static const Prop codec_props[] = {
    PROP_AUDIODEV("audiodev", Codec, audiodev, "id of the -audiodev that plays it"),
    PROP_BOOL("mixer", Codec, mixer, true, "it has a volume"),
    PROP_DONE
};

/* Green line out or loudspeaker, red line in or microphone (7.3.3.31) */
static const CodecModel duplex_model = { { 0x21, 0x22 }, true, 0x00004010, 0x00805020 };
static const CodecModel micro_model = { { 0x31, 0x32 }, true, 0x00104010, 0x00a05020 };
static const CodecModel output_model = { { 0x11, 0x12 }, false, 0x00004010, 0 };

#define HDA_CODEC(sym, nm, ds)                                                                 \
    static const DeviceType sym##_type = {                                                     \
        .name = nm, .desc = ds, .bus = "HDA", .category = "Sound", .size = sizeof(Codec),      \
        .props = codec_props, .vmstate = &vm_codec, .realize = codec_realize,                  \
        .unrealize = codec_unrealize, .reset = codec_reset, .info = &sym##_model,              \
    };                                                                                         \
    DEVICE_TYPE(sym##_type)

HDA_CODEC(duplex, "hda-duplex", "HD Audio codec: line out, line in");
HDA_CODEC(micro, "hda-micro", "HD Audio codec: line out, microphone");
HDA_CODEC(output, "hda-output", "HD Audio codec: line out");
