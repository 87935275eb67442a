/* SPDX-License-Identifier: MIT */
/*
 * Sound Blaster 16, device "sb16": DSP 4.05 and CT1745 mixer.
 *
 * Source: Creative Labs, Sound Blaster Series Hardware Programming Guide (2nd edition, 1995),
 * chapters 2 (DSP), 4 (mixer), 6 (DSP commands).
 *
 *     base + 4  mixer index     + Ah  DSP data            + Eh  data there? acknowledges 8 bit
 *     base + 5  mixer data      + Ch  command; busy?      + Fh  acknowledges 16 bit
 *     base + 6  DSP reset
 *
 * Sound goes from the 8237 through a FIFO to the voice, when that wants some; the interrupt at the
 * end of a block comes when the FIFO took its last byte.  What is recorded is as much as the voice would
 * have played meanwhile.
 * Not modelled: FM synthesizer, MPU-401, ADPCM, direct mode, the signal processor, a change of
 * IRQ and DMA channels by mixer registers 80h and 81h.
 */
#include <math.h>
#include <string.h>

#include "audio/audio.h"
#include "hw/isa/isa.h"
#include "util/log.h"

#define PORTS       16
#define FIFO        16384               /* bytes */
#define REPLIES     64                  /* bytes the DSP has to say */
#define MIN_RATE    5000
#define MAX_RATE    45000
#define IRQ_8       1                   /* mixer register 82h */
#define IRQ_16      2
#define MODE_SIGNED 0x10
#define MODE_STEREO 0x20

typedef struct SB16 {
    Device dev;                         /* always first */
    uint32_t iobase, irq_no, dma8, dma16, version;
    IRQ irq;
    ISABus *isa;
    AudioDev *audiodev;
    AudioVoice *voice;
    AudioInput *input;
    Region io;
    uint8_t mixer_index, mixer[256];
    uint8_t reset_port, test;
    uint8_t command, need, args[3], got;    /* a command that waits for its bytes */
    uint8_t reply[REPLIES];
    uint32_t reply_head, reply_used;
    uint8_t last_reply;
    uint8_t pending;                    /* IRQ_8, IRQ_16 */
    bool speaker;
    uint32_t rate;
    uint16_t block;                     /* of command 48h, less one */
    bool running, paused, ending;       /* ending: auto-init stops after this block */
    bool wide, stereo, is_signed, autoinit, record;
    uint32_t length, left;              /* bytes: of a block, until its end */
    uint32_t credit;                    /* bytes that may be recorded now */
    uint8_t fifo[FIFO];
    uint32_t fifo_head, fifo_used;
    uint32_t want;                      /* bytes the voice wants there; 0 between its calls */
} SB16;

static void update_irq(SB16 *s)
{
    irq_set(&s->irq, s->pending != 0);
}

/* ---- transfer ------------------------------------------------------------------------------ */

static unsigned channel(const SB16 *s)
{
    return s->wide ? s->dma16 : s->dma8;
}

static unsigned frame_size(const SB16 *s)
{
    return (s->wide ? 2 : 1) << s->stereo;
}

/* The voice keeps the pace of recording, too. */
static void set_active(SB16 *s, bool on)
{
    audio_voice_set_active(s->voice, on);
    audio_input_set_active(s->input, on && s->record);
}

static void transfer_stop(SB16 *s)
{
    if (s->running) {
        isa_dma_release(s->isa, channel(s));
    }
    s->running = s->paused = s->ending = false;
}

static void block_done(SB16 *s)
{
    s->pending |= s->wide ? IRQ_16 : IRQ_8;
    update_irq(s);
    if (s->autoinit && !s->ending) {
        s->left = s->length;
    } else {
        transfer_stop(s);
    }
}

/* From the 8237 into the FIFO: n bytes that fit. */
static int take(SB16 *s, int ch, int pos, uint32_t n)
{
    uint32_t end = (s->fifo_head + s->fifo_used) % FIFO;
    int got = isa_dma_read(s->isa, ch, s->fifo + end, pos, MIN(n, FIFO - end));

    s->fifo_used += MAX(got, 0);
    return MAX(got, 0);
}

/* Up to n recorded bytes to the 8237; a part of a frame, at the end of its buffer, is silent. */
static int give(SB16 *s, int ch, int pos, uint32_t n)
{
    uint8_t buf[1024];
    uint32_t frame = frame_size(s);

    n = MIN(n, sizeof(buf));
    if (n >= frame) {
        n -= n % frame;
        audio_input_read(s->input, buf, n / frame);
    } else {
        memset(buf, s->is_signed ? 0 : 0x80, n);
    }
    int got = MAX(isa_dma_write(s->isa, ch, buf, pos, n), 0);
    s->credit -= got;
    return got;
}

static int sb16_dma(void *opaque, int ch, int pos, int size)
{
    SB16 *s = opaque;
    uint32_t room = s->fifo_used < s->want ? s->want - s->fifo_used : 0;
    uint32_t n = MIN(MIN(s->left, s->record ? s->credit : room), (uint32_t)(size - pos));
    int got;

    n &= s->wide ? ~1u : ~0u;
    if (!s->running || s->paused || (unsigned)ch != channel(s) || !n) {
        return pos;
    }
    got = s->record ? give(s, ch, pos, n) : take(s, ch, pos, n);
    s->left -= got;
    if (!s->left) {
        block_done(s);
    }
    return pos + got;
}

/* Let the 8237 move what is wanted or may be recorded, over ends of blocks. */
static void transfer(SB16 *s)
{
    while (s->running && !s->paused) {
        uint32_t used = s->fifo_used, credit = s->credit;
        isa_dma_run(s->isa);
        if (s->fifo_used == used && s->credit == credit) {
            break;
        }
    }
}

static unsigned sb16_pull(void *opaque, void *buf, unsigned frames)
{
    SB16 *s = opaque;
    uint32_t size = frame_size(s);

    if (s->record) {
        s->credit = MIN(s->credit + frames * size, (uint32_t)FIFO);
    } else {
        s->want = MIN(frames * size, (uint32_t)FIFO);
    }
    transfer(s);
    s->want = 0;
    uint32_t n = MIN(frames * size, s->fifo_used / size * size);
    uint32_t first = MIN(n, FIFO - s->fifo_head);
    memcpy(buf, s->fifo + s->fifo_head, first);
    memcpy((uint8_t *)buf + first, s->fifo, n - first);
    s->fifo_head = (s->fifo_head + n) % FIFO;
    s->fifo_used -= n;
    if (!s->running || s->paused) {
        set_active(s, false);
    }
    return n / size;
}

static void update_format(SB16 *s)
{
    AudioSpec spec = {
        s->rate, s->stereo ? 2 : 1,
        s->wide ? s->is_signed ? AUDIO_FMT_S16 : AUDIO_FMT_U16
                : s->is_signed ? AUDIO_FMT_S8 : AUDIO_FMT_U8,
    };
    audio_voice_set_spec(s->voice, &spec);
    audio_input_set_spec(s->input, &spec);
}

/* length: bytes, less one if 8 bits wide, words less one if 16 */
static void transfer_start(SB16 *s, bool wide, unsigned mode, bool autoinit, bool record,
                           uint16_t length)
{
    transfer_stop(s);
    s->wide = wide;
    s->stereo = mode & MODE_STEREO;
    s->is_signed = mode & MODE_SIGNED;
    s->autoinit = autoinit;
    s->record = record;
    s->length = s->left = (length + 1u) << wide;
    s->fifo_head = s->fifo_used = s->credit = 0;
    s->running = true;
    update_format(s);
    isa_dma_hold(s->isa, channel(s));
    set_active(s, true);
}

static void transfer_pause(SB16 *s, bool wide, bool on)
{
    if (!s->running || s->wide != wide) {
        return;
    }
    s->paused = on;
    if (!on) {
        set_active(s, true);
    }
}

/* ---- mixer ----------------------------------------------------------------------------------- */

enum { M_RESET = 0, M_VOICE_OLD = 0x04, M_MASTER_OLD = 0x22, M_FM_OLD = 0x26, M_CD_OLD = 0x28,
       M_LINE_OLD = 0x2e, M_OUTPUT = 0x0e, M_MASTER = 0x30, M_VOICE = 0x32, M_FM = 0x34, M_CD = 0x36,
       M_LINE = 0x38, M_LAST = 0x47, M_IRQ = 0x80, M_DMA = 0x81, M_PENDING = 0x82 };

/* Steps of 2 dB, in the upper 5 bits of a register.  24, as after reset, lets samples be what they
 * are; above nothing gets louder, for it would clip. */
static float level(uint8_t v)
{
    return powf(10, (MIN(v >> 3, 24) - 24) * 2.0f / 20);
}

static void update_volume(SB16 *s)
{
    audio_voice_set_volume(s->voice, false, level(s->mixer[M_MASTER]) * level(s->mixer[M_VOICE]),
                           level(s->mixer[M_MASTER + 1]) * level(s->mixer[M_VOICE + 1]));
}

static void mixer_reset(SB16 *s)
{
    static const struct { uint8_t reg, value; } rows[] = {
        { 0x30, 0xc0 }, { 0x31, 0xc0 }, { 0x32, 0xc0 }, { 0x33, 0xc0 }, { 0x34, 0xc0 },
        { 0x35, 0xc0 }, { 0x3c, 0x1f }, { 0x3d, 0x15 }, { 0x3e, 0x0b }, { 0x44, 0x80 },
        { 0x45, 0x80 }, { 0x46, 0x80 }, { 0x47, 0x80 },
    };

    memset(s->mixer, 0, sizeof(s->mixer));
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        s->mixer[rows[i].reg] = rows[i].value;
    }
    update_volume(s);
}

/* The pair of registers behind one of the Sound Blaster Pro; 0 = none */
static unsigned behind(unsigned reg)
{
    switch (reg) {
    case M_VOICE_OLD:  return M_VOICE;
    case M_MASTER_OLD: return M_MASTER;
    case M_FM_OLD:     return M_FM;
    case M_CD_OLD:     return M_CD;
    case M_LINE_OLD:   return M_LINE;
    default:           return 0;
    }
}

static uint8_t irq_bit(unsigned irq)
{
    return irq == 5 ? 2 : irq == 7 ? 4 : irq == 10 ? 8 : 1;
}

static uint8_t mixer_read(SB16 *s)
{
    unsigned reg = s->mixer_index, pair = behind(reg);

    switch (reg) {
    case M_IRQ:     return irq_bit(s->irq_no);
    case M_DMA:     return 1 << s->dma8 | 1 << s->dma16;
    case M_PENDING: return s->pending | 0x20;
    default:
        return pair ? (s->mixer[pair] & 0xf0) | s->mixer[pair + 1] >> 4 : s->mixer[reg];
    }
}

static void mixer_write(SB16 *s, uint8_t v)
{
    unsigned reg = s->mixer_index, pair = behind(reg);

    if (reg == M_RESET) {
        mixer_reset(s);
    } else if (pair) {
        s->mixer[pair] = (v & 0xf0) | 8;
        s->mixer[pair + 1] = v << 4 | 8;
    } else if (reg <= M_LAST) {
        s->mixer[reg] = reg >= M_MASTER && reg <= 0x3a ? v & 0xf8 : v;
    } else if (v != mixer_read(s)) {
        LOG_GUEST("sb16: mixer register %02x can't be changed to %02x", reg, v);
    }
    update_volume(s);
}

/* ---- DSP --------------------------------------------------------------------------------------- */

static void reply(SB16 *s, uint8_t v)
{
    if (s->reply_used < REPLIES) {
        s->reply[(s->reply_head + s->reply_used++) % REPLIES] = v;
    }
}

static void dsp_reset(SB16 *s)
{
    transfer_stop(s);
    set_active(s, false);
    s->need = s->got = s->command = 0;
    s->reply_head = s->reply_used = 0;
    s->pending = 0;
    s->speaker = false;
    s->rate = 11025;
    s->block = 0;
    s->fifo_head = s->fifo_used = s->credit = s->left = s->length = 0;
    s->wide = s->stereo = s->is_signed = s->autoinit = s->record = false;
    update_irq(s);
}

/* Bytes that follow a command */
static unsigned arguments(uint8_t cmd)
{
    if (cmd >= 0xb0 && cmd <= 0xcf) {
        return 3;
    }
    switch (cmd) {
    case 0x14: case 0x16: case 0x17: case 0x24: case 0x41: case 0x42: case 0x48: case 0x74:
    case 0x75: case 0x76: case 0x77: case 0x80: case 0x05: case 0x0e:
        return 2;
    case 0x04: case 0x0f: case 0x10: case 0x38: case 0x40: case 0xe0: case 0xe2: case 0xe4: case 0xf9:
        return 1;
    default:
        return 0;
    }
}

/* Mixer register 0Eh, bit 1: stereo of the Sound Blaster Pro's commands */
static void old_start(SB16 *s, bool autoinit, bool record, uint16_t length)
{
    transfer_start(s, false, s->mixer[M_OUTPUT] & 2 ? MODE_STEREO : 0, autoinit, record, length);
}

static void set_time_constant(SB16 *s, uint8_t v)
{
    uint32_t rate = 1000000 / (256 - v);

    s->rate = CLAMP(s->mixer[M_OUTPUT] & 2 ? rate / 2 : rate, MIN_RATE, MAX_RATE);
}

static void end_autoinit(SB16 *s, bool wide)
{
    if (s->running && s->wide == wide) {
        s->ending = true;
    }
}

static void force_irq(SB16 *s, uint8_t bit)
{
    s->pending |= bit;
    update_irq(s);
}

static void say_copyright(SB16 *s)
{
    for (const char *p = "COPYRIGHT (C) CREATIVE TECHNOLOGY LTD, 1992."; *p; p++) {
        reply(s, *p);
    }
    reply(s, 0);
}

static void run_command(SB16 *s)
{
    uint8_t cmd = s->command, *a = s->args;
    uint16_t low_first = a[0] | a[1] << 8;

    if (cmd >= 0xb0 && cmd <= 0xcf) {
        transfer_start(s, cmd < 0xc0, a[0], cmd & 4, cmd & 8, a[1] | a[2] << 8);
        return;
    }
    switch (cmd) {
    case 0x0f: reply(s, 0); break;
    case 0x14: old_start(s, false, false, low_first); break;
    case 0x1c: case 0x90: old_start(s, true, false, s->block); break;
    case 0x91: old_start(s, false, false, s->block); break;
    case 0x20: reply(s, 0x80); break;
    case 0x24: old_start(s, false, true, low_first); break;
    case 0x2c: case 0x98: old_start(s, true, true, s->block); break;
    case 0x99: old_start(s, false, true, s->block); break;
    case 0x40: set_time_constant(s, a[0]); break;
    case 0x41: case 0x42: s->rate = CLAMP(a[0] << 8 | a[1], MIN_RATE, MAX_RATE); break;
    case 0x48: s->block = low_first; break;
    case 0xd0: transfer_pause(s, false, true); break;
    case 0xd1: s->speaker = true; break;
    case 0xd3: s->speaker = false; break;
    case 0xd4: transfer_pause(s, false, false); break;
    case 0xd5: transfer_pause(s, true, true); break;
    case 0xd6: transfer_pause(s, true, false); break;
    case 0xd8: reply(s, s->speaker ? 0xff : 0); break;
    case 0xd9: end_autoinit(s, true); break;
    case 0xda: end_autoinit(s, false); break;
    case 0xe0: reply(s, ~a[0]); break;
    case 0xe1: reply(s, s->version >> 8); reply(s, s->version); break;
    case 0xe3: say_copyright(s); break;
    case 0xe4: s->test = a[0]; break;
    case 0xe8: reply(s, s->test); break;
    case 0xf2: force_irq(s, IRQ_8); break;
    case 0xf3: force_irq(s, IRQ_16); break;
    case 0xf8: case 0xf9: case 0xfb: case 0xfc: case 0xfd: reply(s, 0); break;
    default:   LOG_GUEST("sb16: command %02x is not known", cmd);
    }
}

static void dsp_write(SB16 *s, uint8_t v)
{
    if (!s->need) {
        s->command = v;
        s->need = arguments(v);
        s->got = 0;
        memset(s->args, 0, sizeof(s->args));
    } else {
        s->args[s->got++] = v;
        s->need--;
    }
    if (!s->need) {
        run_command(s);
    }
}

static uint8_t dsp_read(SB16 *s)
{
    if (s->reply_used) {
        s->last_reply = s->reply[s->reply_head];
        s->reply_head = (s->reply_head + 1) % REPLIES;
        s->reply_used--;
    }
    return s->last_reply;
}

static void write_reset(SB16 *s, uint8_t v)
{
    if ((s->reset_port & 1) && !(v & 1)) {
        dsp_reset(s);
        reply(s, 0xaa);
    }
    s->reset_port = v;
}

static void acknowledge(SB16 *s, uint8_t bit)
{
    s->pending &= ~bit;
    update_irq(s);
}

/* ---- ports --------------------------------------------------------------------------------------- */

static uint64_t sb16_read(void *opaque, hwaddr addr, unsigned size)
{
    SB16 *s = opaque;

    switch (addr) {
    case 0x4: return s->mixer_index;
    case 0x5: return mixer_read(s);
    case 0xa: return dsp_read(s);
    case 0xc: return 0x7f;              /* never busy */
    case 0xe:
        acknowledge(s, IRQ_8);
        return s->reply_used ? 0xff : 0x7f;
    case 0xf:
        acknowledge(s, IRQ_16);
        return 0xff;
    default:  return 0xff;
    }
}

static void sb16_write(void *opaque, hwaddr addr, uint64_t val, unsigned size)
{
    SB16 *s = opaque;

    switch (addr) {
    case 0x4: s->mixer_index = val; break;
    case 0x5: mixer_write(s, val); break;
    case 0x6: write_reset(s, val); break;
    case 0xc: dsp_write(s, val); break;
    default:  break;
    }
}

static const RegionOps sb16_ops = { .read = sb16_read, .write = sb16_write, .min = 1, .max = 1 };

/* ---- life ---------------------------------------------------------------------------------------- */

static bool check_lines(const SB16 *s, Error **err)
{
    if (s->irq_no != 5 && s->irq_no != 7 && s->irq_no != 9 && s->irq_no != 10) {
        return fail(err, "sb16: irq=%u: it has 5, 7, 9 and 10", s->irq_no);
    }
    if (s->dma8 > 3 || s->dma8 == 2) {
        return fail(err, "sb16: dma=%u: it has 0, 1 and 3", s->dma8);
    }
    return (s->dma16 >= 5 && s->dma16 <= 7) || fail(err, "sb16: dma16=%u: it has 5, 6 and 7", s->dma16);
}

/* Two cards can't share ports, an interrupt line or a channel. */
static bool check_others(const SB16 *s, Error **err)
{
    const Bus *bus = s->dev.bus;

    for (guint i = 0; i < bus->devices->len; i++) {
        const SB16 *o = bus->devices->pdata[i];
        if (o == s || o->dev.type != s->dev.type) {
            continue;
        }
        if (s->iobase < o->iobase + PORTS && o->iobase < s->iobase + PORTS) {
            return fail(err, "sb16: iobase=0x%x: another sb16 has these ports (0x240)", s->iobase);
        }
        if (s->irq_no == o->irq_no) {
            return fail(err, "sb16: irq=%u: another sb16 has it", s->irq_no);
        }
        if (s->dma8 == o->dma8 || s->dma16 == o->dma16) {
            return fail(err, "sb16: dma=%u,dma16=%u: another sb16 has dma=%u,dma16=%u", s->dma8, s->dma16,
                        o->dma8, o->dma16);
        }
    }
    return true;
}

static bool sb16_realize(Device *dev, Error **err)
{
    SB16 *s = (SB16 *)dev;

    if (!check_lines(s, err) || !check_others(s, err)) {
        return false;
    }
    s->isa = (ISABus *)dev->bus;
    s->irq = isa_irq(dev, s->irq_no);
    isa_dma_register(s->isa, s->dma8, sb16_dma, s);
    isa_dma_register(s->isa, s->dma16, sb16_dma, s);
    region_init_io(&s->io, "sb16", PORTS, &sb16_ops, s);
    region_map(dev->io, s->iobase, &s->io, 0);
    s->voice = audio_voice_new(s->audiodev, "sb16", sb16_pull, s);
    s->input = audio_input_new(s->audiodev, "sb16");
    return true;
}

static void sb16_unrealize(Device *dev)
{
    SB16 *s = (SB16 *)dev;

    transfer_stop(s);
    isa_dma_register(s->isa, s->dma8, NULL, NULL);
    isa_dma_register(s->isa, s->dma16, NULL, NULL);
    audio_voice_free(s->voice);
    audio_input_free(s->input);
    region_destroy(&s->io);
}

static void sb16_reset(Device *dev)
{
    SB16 *s = (SB16 *)dev;

    dsp_reset(s);
    mixer_reset(s);
    s->mixer_index = s->reset_port = s->test = s->last_reply = 0;
    memset(s->args, 0, sizeof(s->args));
    memset(s->reply, 0, sizeof(s->reply));
    memset(s->fifo, 0, sizeof(s->fifo));
}

static bool sb16_post_load(void *opaque, int version, Error **err)
{
    SB16 *s = opaque;

    if (s->need + s->got > 3 || s->reply_head >= REPLIES || s->reply_used > REPLIES
        || s->fifo_head >= FIFO || s->fifo_used > FIFO || s->credit > FIFO || s->length > 0x20000
        || s->left > s->length || (s->running && !s->left)) {
        return fail(err, "impossible positions");
    }
    s->rate = CLAMP(s->rate, MIN_RATE, MAX_RATE);
    update_format(s);
    update_volume(s);
    set_active(s, s->running && !s->paused);
    return true;
}

static const VMField sb16_fields[] = {
    VM_UINT(SB16, mixer_index), VM_BUFFER(SB16, mixer), VM_UINT(SB16, reset_port),
    VM_UINT(SB16, test), VM_UINT(SB16, command), VM_UINT(SB16, need), VM_BUFFER(SB16, args),
    VM_UINT(SB16, got), VM_BUFFER(SB16, reply), VM_UINT(SB16, reply_head), VM_UINT(SB16, reply_used),
    VM_UINT(SB16, last_reply), VM_UINT(SB16, pending), VM_BOOL(SB16, speaker), VM_UINT(SB16, rate),
    VM_UINT(SB16, block), VM_BOOL(SB16, running), VM_BOOL(SB16, paused), VM_BOOL(SB16, ending),
    VM_BOOL(SB16, wide), VM_BOOL(SB16, stereo), VM_BOOL(SB16, is_signed), VM_BOOL(SB16, autoinit),
    VM_BOOL(SB16, record), VM_UINT(SB16, length), VM_UINT(SB16, left), VM_UINT(SB16, credit),
    VM_BUFFER(SB16, fifo), VM_UINT(SB16, fifo_head), VM_UINT(SB16, fifo_used),
    VM_DONE
};
static const VMState vm_sb16 = {
    .name = "sb16", .fields = sb16_fields, .post_load = sb16_post_load,
};

static const Prop sb16_props[] = {
    PROP_AUDIODEV("audiodev", SB16, audiodev, "id of the -audiodev that plays it"),
    PROP_UINT("version", SB16, version, 0x0405, "of the DSP"),
    PROP_UINT_R("iobase", SB16, iobase, 0x220, 0x100, 0xfff0, "first of its 16 ports"),
    PROP_UINT("irq", SB16, irq_no, 5, "interrupt: 5, 7, 9, 10"),
    PROP_UINT("dma", SB16, dma8, 1, "channel for 8 bits: 0, 1, 3"),
    PROP_UINT("dma16", SB16, dma16, 5, "channel for 16 bits: 5, 6, 7"),
    PROP_DONE
};

static const DeviceType sb16 = {
    .name = "sb16", .desc = "Creative Sound Blaster 16", .bus = "isa", .category = "Sound",
    .size = sizeof(SB16), .props = sb16_props, .vmstate = &vm_sb16, .realize = sb16_realize,
    .unrealize = sb16_unrealize, .reset = sb16_reset,
};
DEVICE_TYPE(sb16);
