/* SPDX-License-Identifier: MIT */
/*
 * Sound of the 82801AA, device "AC97": bus master (NABM) and an AC '97 codec behind it (NAM).
 *
 * Sources: Intel 82801AA (ICH) data sheet 290655, chapter "AC '97 audio controller registers";
 * AC '97 component specification 2.1, section 5 (codec registers); STAC9700 data sheet.
 *
 * A channel walks through a ring of 32 descriptors, from PIV on until CIV is LVI:
 *
 *     0  address of the buffer          4  15:0 samples of 16 bits, 30 BUP, 31 IOC
 *
 * Plays and records PCM in stereo, and the microphone by itself in mono.
 * Not modelled: power down of the codec, repeating the last sample (BUP), modem, GPIO.
 */
#include <math.h>
#include <string.h>

#include "audio/audio.h"
#include "hw/pci/pci.h"
#include "util/log.h"
#include "util/timer.h"

#define NAM_SIZE    256
#define NABM_SIZE   64

/* Codec */
enum {
    C_RESET = 0x00, C_MASTER = 0x02, C_HEADPHONE = 0x04, C_MONO = 0x06, C_BEEP = 0x0a,
    C_PHONE = 0x0c, C_MIC = 0x0e, C_LINE = 0x10, C_AUX = 0x16, C_PCM = 0x18, C_SELECT = 0x1a,
    C_GAIN = 0x1c, C_GENERAL = 0x20, C_3D = 0x22, C_POWER = 0x26, C_EXT_ID = 0x28,
    C_EXT_CTRL = 0x2a, C_DAC_RATE = 0x2c, C_ADC_RATE = 0x32, C_MIC_RATE = 0x34,
    C_VENDOR1 = 0x7c, C_VENDOR2 = 0x7e,
};
#define C_REGS      64
#define MUTE        0x8000
#define EXT_VRA     0x0001              /* variable rate of PCM */
#define EXT_VRM     0x0008              /* ... of the microphone */
#define POWER_READY 0x000f
#define RATE_48K    48000
#define MIN_RATE    8000

/* A channel of the bus master, 16 bytes each */
enum { CH_PI, CH_PO, CH_MC, CHANNELS };
enum { R_BDBAR = 0, R_CIV = 4, R_LVI = 5, R_SR = 6, R_PICB = 8, R_PIV = 10, R_CR = 11 };
#define SR_DCH      0x01
#define SR_CELV     0x02
#define SR_LVBCI    0x04
#define SR_BCIS     0x08
#define SR_FIFOE    0x10
#define SR_CAUSES   0x1c
#define CR_RPBM     0x01
#define CR_RR       0x02
#define CR_LVBIE    0x04
#define CR_FEIE     0x08
#define CR_IOCE     0x10
#define CR_WRITABLE 0x1d
#define BD_IOC      0x80000000u

/* Common to all */
#define R_GLOB_CNT  0x2c
#define R_GLOB_STA  0x30
#define R_CAS       0x34
#define GC_COLD     0x02                /* 0 resets */
#define GC_WARM     0x04
#define GC_WRITABLE 0x3bu
#define GS_READY    0x100               /* of the codec */
#define GS_PIINT    0x20
#define GS_POINT    0x40
#define GS_MINT     0x80

#define RING        32
#define MAX_EMPTY   64                  /* empty buffers passed over at a time */
#define IN_PERIOD   (10 * NS_PER_MS)

typedef struct Channel {
    uint32_t bdbar;
    uint8_t civ, lvi, piv, cr;
    uint16_t sr, picb;
    bool loaded;                        /* descriptor CIV was read */
    uint32_t at, control;               /* next byte of its buffer; its second word */
} Channel;

typedef struct AC97 {
    PCIDevice pci;                      /* always first */
    uint16_t codec[C_REGS];             /* by address / 2 */
    Channel ch[CHANNELS];
    uint32_t glob_cnt;
    uint8_t cas;
    Timer in_timer;                     /* while something is recorded */
    int64_t in_since;                   /* up to when it was */
    AudioDev *audiodev;
    AudioVoice *voice;
    AudioInput *line, *mic;
    Region nam, nabm;
} AC97;

/* ---- interrupts ------------------------------------------------------------------------ */

static bool channel_irq(const Channel *c)
{
    return ((c->sr & SR_LVBCI) && (c->cr & CR_LVBIE)) || ((c->sr & SR_BCIS) && (c->cr & CR_IOCE))
           || ((c->sr & SR_FIFOE) && (c->cr & CR_FEIE));
}

static uint32_t glob_sta(const AC97 *s)
{
    return GS_READY | (channel_irq(&s->ch[CH_PI]) ? GS_PIINT : 0)
           | (channel_irq(&s->ch[CH_PO]) ? GS_POINT : 0)
           | (channel_irq(&s->ch[CH_MC]) ? GS_MINT : 0);
}

static void update_irq(AC97 *s)
{
    pci_set_irq(&s->pci, glob_sta(s) != GS_READY);
}

/* ---- descriptors ----------------------------------------------------------------------- */

static bool channel_runs(const Channel *c)
{
    return (c->cr & CR_RPBM) && !(c->sr & SR_DCH);
}

/* The next descriptor becomes the current one. */
static void next_buffer(AC97 *s, Channel *c)
{
    uint8_t bd[8] = { 0 };

    c->civ = c->piv;
    c->piv = (c->piv + 1) % RING;
    if (pci_dma_read(&s->pci, c->bdbar + 8 * c->civ, bd, sizeof(bd)) != MEM_OK) {
        memset(bd, 0, sizeof(bd));
        LOG_GUEST("ac97: no descriptor at %x", c->bdbar + 8 * c->civ);
    }
    c->at = pci_get_long(bd) & ~1u;
    c->control = pci_get_long(bd + 4);
    c->picb = c->control;
    c->loaded = true;
}

static void buffer_done(AC97 *s, Channel *c)
{
    if (c->control & BD_IOC) {
        c->sr |= SR_BCIS;
    }
    c->loaded = false;
    if (c->civ == c->lvi) {
        c->sr |= SR_LVBCI | SR_CELV | SR_DCH;
    } else {
        next_buffer(s, c);
    }
}

/* Move up to len bytes between buffers and buf. */
static unsigned move(AC97 *s, Channel *c, uint8_t *buf, unsigned len)
{
    bool out = c == &s->ch[CH_PO];
    unsigned done = 0, empty = 0;

    while (done < len && channel_runs(c) && empty < MAX_EMPTY) {
        unsigned n = MIN(len - done, 2u * c->picb);
        if (!out) {
            pci_dma_write(&s->pci, c->at, buf + done, n);
        } else if (pci_dma_read(&s->pci, c->at, buf + done, n) != MEM_OK) {
            memset(buf + done, 0, n);
        }
        empty = n ? 0 : empty + 1;
        done += n;
        c->at += n;
        c->picb -= n / 2;
        if (!c->picb) {
            buffer_done(s, c);
        }
    }
    return done;
}

/* ---- playing and recording -------------------------------------------------------------- */

static uint16_t *codec(AC97 *s, unsigned reg)
{
    return &s->codec[reg / 2];
}

static unsigned ac97_pull(void *opaque, void *buf, unsigned frames)
{
    AC97 *s = opaque;
    unsigned n = move(s, &s->ch[CH_PO], buf, 4 * frames);

    if (!channel_runs(&s->ch[CH_PO])) {
        audio_voice_set_active(s->voice, false);
    }
    update_irq(s);
    return n / 4;
}

/* What is recorded in so many nanoseconds */
static void record_channel(AC97 *s, unsigned ch, AudioInput *in, int64_t ns)
{
    static uint8_t buf[4096];
    unsigned frame = ch == CH_PI ? 4 : 2, rate = *codec(s, ch == CH_PI ? C_ADC_RATE : C_MIC_RATE);
    unsigned frames = muldiv64(CLAMP(ns, 0, NS_PER_SEC), rate, NS_PER_SEC);

    while (frames && channel_runs(&s->ch[ch])) {
        unsigned n = MIN(frames, sizeof(buf) / frame);
        audio_input_read(in, buf, n);
        move(s, &s->ch[ch], buf, n * frame);
        frames -= n;
    }
}

static void record(void *opaque)
{
    AC97 *s = opaque;
    int64_t now = vclock_ns();

    record_channel(s, CH_PI, s->line, now - s->in_since);
    record_channel(s, CH_MC, s->mic, now - s->in_since);
    s->in_since = now;
    update_irq(s);
    if (channel_runs(&s->ch[CH_PI]) || channel_runs(&s->ch[CH_MC])) {
        timer_mod(&s->in_timer, now + IN_PERIOD);
    }
}

static void set_active(AC97 *s)
{
    audio_voice_set_active(s->voice, channel_runs(&s->ch[CH_PO]));
    audio_input_set_active(s->line, channel_runs(&s->ch[CH_PI]));
    audio_input_set_active(s->mic, channel_runs(&s->ch[CH_MC]));
}

/* A channel began or ended. */
static void update_running(AC97 *s)
{
    bool in = channel_runs(&s->ch[CH_PI]) || channel_runs(&s->ch[CH_MC]);

    set_active(s);
    if (!in) {
        timer_del(&s->in_timer);
    } else if (!timer_pending(&s->in_timer)) {
        s->in_since = vclock_ns();
        timer_mod(&s->in_timer, s->in_since + IN_PERIOD);
    }
}

/* ---- codec ------------------------------------------------------------------------------ */

/* Steps of 1.5 dB down from `zero` */
static float gain(uint16_t v, int zero)
{
    return powf(10, (zero - (int)(v & 0x1f)) * 1.5f / 20);
}

static void update_sound(AC97 *s)
{
    uint16_t m = *codec(s, C_MASTER), p = *codec(s, C_PCM);
    AudioSpec spec = { *codec(s, C_DAC_RATE), 2, AUDIO_FMT_S16 };

    audio_voice_set_spec(s->voice, &spec);
    audio_voice_set_volume(s->voice, (m | p) & MUTE, gain(m >> 8, 0) * gain(p >> 8, 8),
                           gain(m, 0) * gain(p, 8));

    /* 1.5 dB up with each step; the microphone's is mono */
    uint16_t r = *codec(s, C_GAIN), mic = *codec(s, C_MIC);
    AudioSpec line = { *codec(s, C_ADC_RATE), 2, AUDIO_FMT_S16 }, mono = { *codec(s, C_MIC_RATE), 1, AUDIO_FMT_S16 };
    audio_input_set_spec(s->line, &line);
    audio_input_set_volume(s->line, r & MUTE, gain(0, r >> 8 & 15), gain(0, r & 15));
    audio_input_set_spec(s->mic, &mono);
    audio_input_set_volume(s->mic, mic & MUTE, gain(mic, 8), gain(mic, 8));
}

static void codec_reset(AC97 *s)
{
    memset(s->codec, 0, sizeof(s->codec));
    *codec(s, C_MASTER) = *codec(s, C_HEADPHONE) = *codec(s, C_MONO) = *codec(s, C_GAIN) = MUTE;
    *codec(s, C_PHONE) = *codec(s, C_MIC) = MUTE | 8;
    for (unsigned reg = C_LINE; reg <= C_PCM; reg += 2) {
        *codec(s, reg) = MUTE | 0x0808;
    }
    *codec(s, C_POWER) = POWER_READY;
    *codec(s, C_EXT_ID) = EXT_VRA | EXT_VRM;
    for (unsigned reg = C_DAC_RATE; reg <= C_MIC_RATE; reg += 2) {
        *codec(s, reg) = RATE_48K;
    }
    *codec(s, C_VENDOR1) = 0x8384;
    *codec(s, C_VENDOR2) = 0x7600;
    update_sound(s);
}

/* Attenuation has 5 bits: what is beyond is the most there is. */
static uint16_t five_bits(uint16_t v)
{
    return (v & MUTE) | (v & 0x2000 ? 0x1f00 : v & 0x1f00) | (v & 0x20 ? 0x1f : v & 0x1f);
}

static void write_ext_ctrl(AC97 *s, uint16_t v)
{
    *codec(s, C_EXT_CTRL) = v & (EXT_VRA | EXT_VRM);
    if (!(v & EXT_VRA)) {
        *codec(s, C_DAC_RATE) = *codec(s, C_ADC_RATE) = RATE_48K;
    }
    if (!(v & EXT_VRM)) {
        *codec(s, C_MIC_RATE) = RATE_48K;
    }
}

static void write_rate(AC97 *s, unsigned reg, uint16_t v)
{
    if (*codec(s, C_EXT_CTRL) & (reg == C_MIC_RATE ? EXT_VRM : EXT_VRA)) {
        *codec(s, reg) = CLAMP(v, MIN_RATE, RATE_48K);
    }
}

static void write_codec(AC97 *s, unsigned reg, uint16_t v)
{
    switch (reg) {
    case C_RESET:      codec_reset(s); break;
    case C_MASTER:
    case C_HEADPHONE:  *codec(s, reg) = five_bits(v); break;
    case C_MONO:       *codec(s, reg) = five_bits(v) & 0x801f; break;
    case C_BEEP:       *codec(s, reg) = v & 0x801e; break;
    case C_PHONE:      *codec(s, reg) = v & 0x801f; break;
    case C_MIC:        *codec(s, reg) = v & 0x805f; break;
    case C_SELECT:     *codec(s, reg) = v & 0x0707; break;
    case C_GAIN:       *codec(s, reg) = v & 0x8f0f; break;
    case C_GENERAL:    *codec(s, reg) = v & 0xa380; break;
    case C_3D:         *codec(s, reg) = v & 0x000f; break;
    case C_POWER:      *codec(s, reg) = (v & 0x7f00) | POWER_READY; break;
    case C_EXT_CTRL:   write_ext_ctrl(s, v); break;
    case C_DAC_RATE:
    case C_ADC_RATE:
    case C_MIC_RATE:   write_rate(s, reg, v); break;
    default:
        if (reg >= C_LINE && reg <= C_PCM) {
            *codec(s, reg) = v & 0x9f1f;
        } else {
            LOG_GUEST("ac97: write of %04x to codec register %02x", v, reg);
        }
    }
    update_sound(s);
}

static uint64_t nam_read(void *opaque, hwaddr addr, unsigned size)
{
    AC97 *s = opaque;

    s->cas = 0;
    if (size != 2 || addr & 1 || addr >= 2 * C_REGS) {
        LOG_GUEST("ac97: read of %u bytes of the codec at %02x", size, (unsigned)addr);
        return ~0ull;
    }
    return *codec(s, addr);
}

static void nam_write(void *opaque, hwaddr addr, uint64_t val, unsigned size)
{
    AC97 *s = opaque;

    s->cas = 0;
    if (size != 2 || addr & 1 || addr >= 2 * C_REGS) {
        LOG_GUEST("ac97: write of %u bytes of the codec at %02x", size, (unsigned)addr);
        return;
    }
    write_codec(s, addr, val);
}

static const RegionOps nam_ops = { .read = nam_read, .write = nam_write, .min = 1, .max = 4 };

/* ---- bus master -------------------------------------------------------------------------- */

static void channel_reset(Channel *c)
{
    *c = (Channel) { .sr = SR_DCH, .cr = c->cr & (CR_LVBIE | CR_FEIE | CR_IOCE) };
}

static void write_cr(AC97 *s, Channel *c, uint8_t v)
{
    bool ran = c->cr & CR_RPBM;

    if (v & CR_RR) {
        if (!ran) {
            channel_reset(c);
            c->cr = 0;
        } else {
            LOG_GUEST("ac97: reset of a channel that runs");
        }
        return;
    }
    c->cr = v & CR_WRITABLE;
    if (!(v & CR_RPBM)) {
        c->sr |= SR_DCH;                /* paused: all the rest stays */
    } else if (!ran) {
        c->sr &= ~(SR_DCH | SR_CELV);
        if (!c->loaded) {
            next_buffer(s, c);
        }
    }
}

/* More buffers are valid: one that came to the end of them goes on. */
static void write_lvi(AC97 *s, Channel *c, uint8_t v)
{
    c->lvi = v % RING;
    if ((c->cr & CR_RPBM) && (c->sr & SR_DCH)) {
        c->sr &= ~(SR_DCH | SR_CELV);
        next_buffer(s, c);
    }
}

static void write_channel(AC97 *s, Channel *c, unsigned reg, uint8_t v)
{
    switch (reg) {
    case 0: case 1: case 2: case 3:
        c->bdbar = (c->bdbar & ~(0xffu << 8 * reg)) | ((uint32_t)v << 8 * reg);
        c->bdbar &= ~7u;
        break;
    case R_LVI: write_lvi(s, c, v); break;
    case R_SR:  c->sr &= ~(v & SR_CAUSES); break;
    case R_CR:  write_cr(s, c, v); break;
    default:    break;                  /* read only */
    }
}

static void reset_link(AC97 *s)
{
    for (int i = 0; i < CHANNELS; i++) {
        channel_reset(&s->ch[i]);
        s->ch[i].cr = 0;
    }
    codec_reset(s);
    s->cas = 0;
}

/* One byte */
static void write_glob_cnt(AC97 *s, unsigned n, uint8_t v)
{
    uint32_t was = s->glob_cnt;

    s->glob_cnt = (was & ~(0xffu << 8 * n)) | ((uint32_t)v << 8 * n);
    s->glob_cnt &= GC_WRITABLE;         /* a warm reset is over at once */
    if (was & ~s->glob_cnt & GC_COLD) {
        reset_link(s);
    }
}

static void nabm_write(void *opaque, hwaddr addr, uint64_t val, unsigned size)
{
    AC97 *s = opaque;

    for (unsigned i = 0; i < size; i++, val >>= 8) {
        unsigned a = addr + i;
        if (a < R_GLOB_CNT && (a & 15) < 12) {
            write_channel(s, &s->ch[a / 16], a & 15, val);
        } else if (a >= R_GLOB_CNT && a < R_GLOB_STA) {
            write_glob_cnt(s, a - R_GLOB_CNT, val);
        }
    }
    update_running(s);
    update_irq(s);
}

static uint8_t read_channel(const Channel *c, unsigned reg)
{
    switch (reg) {
    case 0: case 1: case 2: case 3:
        return c->bdbar >> 8 * reg;
    case R_CIV:      return c->civ;
    case R_LVI:      return c->lvi;
    case R_SR:       return c->sr;
    case R_PICB:     return c->picb;
    case R_PICB + 1: return c->picb >> 8;
    case R_PIV:      return c->piv;
    case R_CR:       return c->cr;
    default:         return 0;
    }
}

static uint8_t read_nabm(AC97 *s, unsigned a)
{
    if (a < R_GLOB_CNT) {
        return read_channel(&s->ch[a / 16], a & 15);
    }
    if (a < R_GLOB_STA) {
        return s->glob_cnt >> 8 * (a - R_GLOB_CNT);
    }
    if (a < R_CAS) {
        return glob_sta(s) >> 8 * (a - R_GLOB_STA);
    }
    if (a == R_CAS) {                   /* a semaphore: who reads 0 has the codec */
        uint8_t was = s->cas;
        s->cas = 1;
        return was;
    }
    return 0;
}

static uint64_t nabm_read(void *opaque, hwaddr addr, unsigned size)
{
    uint32_t v = 0;

    for (unsigned i = 0; i < size; i++) {
        v |= (uint32_t)read_nabm(opaque, addr + i) << 8 * i;
    }
    return v;
}

static const RegionOps nabm_ops = { .read = nabm_read, .write = nabm_write, .min = 1, .max = 4 };

/* ---- life --------------------------------------------------------------------------------- */

static bool ac97_realize(Device *dev, Error **err)
{
    AC97 *s = (AC97 *)dev;

    pci_set_word(s->pci.config + PCI_STATUS, 0x0280);   /* fast back-to-back, medium DEVSEL */
    region_init_io(&s->nam, "ac97-nam", NAM_SIZE, &nam_ops, s);
    region_init_io(&s->nabm, "ac97-nabm", NABM_SIZE, &nabm_ops, s);
    pci_register_bar(&s->pci, 0, PCI_BAR_IO, &s->nam);
    pci_register_bar(&s->pci, 1, PCI_BAR_IO, &s->nabm);
    timer_init(&s->in_timer, ORRERY_CLOCK_VIRTUAL, record, s);
    s->voice = audio_voice_new(s->audiodev, "AC97", ac97_pull, s);
    s->line = audio_input_new(s->audiodev, "AC97 line");
    s->mic = audio_input_new(s->audiodev, "AC97 microphone");
    return true;
}

static void ac97_unrealize(Device *dev)
{
    AC97 *s = (AC97 *)dev;

    timer_del(&s->in_timer);
    audio_voice_free(s->voice);
    audio_input_free(s->line);
    audio_input_free(s->mic);
    region_destroy(&s->nam);
    region_destroy(&s->nabm);
}

static void ac97_reset(Device *dev)
{
    AC97 *s = (AC97 *)dev;

    reset_link(s);
    s->glob_cnt = 0;
    s->in_since = 0;
    update_running(s);
    update_irq(s);
}

static bool ac97_post_load(void *opaque, int version, Error **err)
{
    AC97 *s = opaque;

    for (int i = 0; i < CHANNELS; i++) {
        if (s->ch[i].civ >= RING || s->ch[i].lvi >= RING || s->ch[i].piv >= RING) {
            return fail(err, "impossible descriptor number");
        }
    }
    update_sound(s);
    set_active(s);
    return true;
}

static const VMField channel_fields[] = {
    VM_UINT(Channel, bdbar), VM_UINT(Channel, civ), VM_UINT(Channel, lvi), VM_UINT(Channel, piv),
    VM_UINT(Channel, cr), VM_UINT(Channel, sr), VM_UINT(Channel, picb), VM_BOOL(Channel, loaded),
    VM_UINT(Channel, at), VM_UINT(Channel, control),
    VM_DONE
};
static const VMState vm_channel = { .name = "ac97-channel", .fields = channel_fields };

static const VMField ac97_fields[] = {
    VM_STRUCT(AC97, pci, vm_pci_device), VM_UINTS(AC97, codec), VM_STRUCTS(AC97, ch, vm_channel),
    VM_UINT(AC97, glob_cnt), VM_UINT(AC97, cas), VM_TIMER(AC97, in_timer),
    VM_UINT(AC97, in_since),
    VM_DONE
};
static const VMState vm_ac97 = {
    .name = "ac97", .fields = ac97_fields, .post_load = ac97_post_load,
};

static const Prop ac97_props[] = {
    PROP_AUDIODEV("audiodev", AC97, audiodev, "id of the -audiodev that plays it"),
    PROP_DONE
};

static const PCIInfo ac97_info = {
    .vendor = 0x8086, .device = 0x2415, .class_id = 0x0401, .revision = 0x01, .pin = 1,
};

static const DeviceType ac97 = {
    .name = "AC97", .desc = "Intel 82801AA AC97 audio", .bus = "PCI", .category = "Sound",
    .size = sizeof(AC97), .props = ac97_props, .vmstate = &vm_ac97, .realize = ac97_realize,
    .unrealize = ac97_unrealize, .reset = ac97_reset, .info = &ac97_info,
};
DEVICE_TYPE(ac97);
