/* SPDX-License-Identifier: MIT */
/*
 * Intel HD Audio controllers: "intel-hda" (ICH6) and "ich9-intel-hda", and the bus codecs sit on.
 *
 * Source: High Definition Audio Specification 1.0a, chapter 3 (registers), 4.4 (CORB, RIRB), 4.5
 * (streams).  Four input and four output streams; commands through the rings or the immediate
 * registers.  Commands are answered at once; samples move when the sound back-end asks a codec.
 *
 * Not modelled: bidirectional streams, striping, power states, unsolicited responses (no codec
 * here has any to send), FIFO errors.
 */
#include <inttypes.h>
#include <string.h>

#include "hw/audio/hda.h"
#include "hw/pci/msi.h"
#include "hw/pci/pci.h"
#include "util/log.h"
#include "util/timer.h"

#define MMIO_SIZE       0x4000
#define STREAMS         8               /* 0..3 input, 4..7 output */
#define OUTPUTS_FROM    4
#define RING            256             /* entries of CORB and RIRB */
#define MAX_EMPTY       256             /* empty buffers passed over at a time */
#define WALL_CLOCK_HZ   24000000

enum { GCTL_CRST = 1, GCTL_FCNTRL = 2, GCTL_UNSOL = 0x100 };
enum { CORBCTL_MEIE = 1, CORBCTL_RUN = 2, CORBRP_RST = 0x8000 };
enum { RIRBCTL_INT = 1, RIRBCTL_RUN = 2, RIRBCTL_OVERRUN = 4, RIRBWP_RST = 0x8000, RIRBSTS_INT = 1 };
enum { ICS_BUSY = 1, ICS_VALID = 2 };
enum { SD_SRST = 1, SD_RUN = 2, SD_IOCE = 4, SD_FEIE = 8, SD_DEIE = 16 };
enum { SD_BCIS = 4, SD_FIFOE = 8, SD_DESE = 16, SD_FIFORDY = 32 };
#define INT_GLOBAL      0x80000000u
#define INT_CONTROLLER  0x40000000u
#define BD_IOC          1u

typedef struct Stream {
    uint32_t ctl, lpib, cbl, bdl_lo, bdl_hi;
    uint16_t lvi, fifos, fmt;
    uint8_t sts;
    uint8_t entry;                      /* of the buffer descriptor list, being played */
    bool loaded;                        /* it was read: */
    uint64_t addr;
    uint32_t len, flags, at;            /* at: bytes of it done */
} Stream;

typedef struct IntelHDA {
    PCIDevice pci;                      /* always first */
    HDABus link;
    int msi;                            /* property: on, off, auto */
    Region mmio;
    uint32_t gctl, intctl, corb_lo, corb_hi, rirb_lo, rirb_hi, icoi, icii, dp_lo, dp_hi, ssync;
    uint16_t wakeen, statests, corbwp, corbrp, rirbwp, rintcnt, ics;
    uint8_t corbctl, corbsts, rirbctl, rirbsts;
    uint32_t responses;                 /* since the last interrupt for them */
    int64_t wall_start;
    uint32_t told;                      /* causes that a message was sent for */
    Stream st[STREAMS];
    bool in_transfer;                   /* DMA is under way: what it writes here changes nothing */
} IntelHDA;

/* ---- interrupts ------------------------------------------------------------------------------ */

static uint32_t intsts(const IntelHDA *s)
{
    uint32_t v = 0;

    if (((s->rirbsts & RIRBSTS_INT) && (s->rirbctl & RIRBCTL_INT)) || (s->statests & s->wakeen)) {
        v |= INT_CONTROLLER;
    }
    for (unsigned i = 0; i < STREAMS; i++) {
        if (s->st[i].sts & s->st[i].ctl & (SD_IOCE | SD_FEIE | SD_DEIE)) {
            v |= 1u << i;               /* causes and their enable bits have the same numbers */
        }
    }
    return v & s->intctl ? v | INT_GLOBAL : v;
}

static void update_irq(IntelHDA *s)
{
    uint32_t sts = intsts(s), causes = sts & s->intctl & INT_GLOBAL ? sts & s->intctl & ~INT_GLOBAL : 0;

    if (msi_enabled(&s->pci)) {
        if (causes & ~s->told) {
            msi_notify(&s->pci, 0);
        }
    } else {
        pci_set_irq(&s->pci, causes != 0);
    }
    s->told = causes;
}

/* ---- commands -------------------------------------------------------------------------------- */

static uint32_t command(IntelHDA *s, uint32_t word)
{
    HDACodec *c = hda_codec_at(&s->link, word >> 28);

    if (!c || (word & 0x08000000)) {    /* long node ids: none has them */
        return 0;
    }
    return c->command(c, word >> 20 & 0x7f, word & 0xfffff);
}

static void respond(IntelHDA *s, uint32_t response, unsigned cad)
{
    uint64_t base = (uint64_t)s->rirb_hi << 32 | s->rirb_lo;
    uint8_t entry[8];

    if (!(s->rirbctl & RIRBCTL_RUN)) {
        return;
    }
    pci_set_long(entry, response);
    pci_set_long(entry + 4, cad);
    s->rirbwp = (s->rirbwp + 1) % RING;
    pci_dma_write(&s->pci, base + 8 * s->rirbwp, entry, sizeof(entry));
    s->responses++;
    if (s->responses == (s->rintcnt ? s->rintcnt : RING) || s->corbrp == s->corbwp) {
        s->rirbsts |= s->rirbctl & RIRBCTL_INT ? RIRBSTS_INT : 0;
    }
}

/* Until the ring is empty or so many responses wait that an interrupt has to be acknowledged. */
static void run_corb(IntelHDA *s)
{
    uint64_t base = (uint64_t)s->corb_hi << 32 | s->corb_lo;
    uint8_t word[4];

    if (s->in_transfer) {
        return;
    }
    s->in_transfer = true;
    while ((s->gctl & GCTL_CRST) && (s->corbctl & CORBCTL_RUN) && s->corbrp != s->corbwp
           && s->responses < (s->rintcnt ? s->rintcnt : RING)) {
        s->corbrp = (s->corbrp + 1) % RING;
        if (pci_dma_read(&s->pci, base + 4 * s->corbrp, word, sizeof(word)) != MEM_OK) {
            LOG_GUEST("hda: no command at %" PRIx64, base + 4 * s->corbrp);
            s->corbsts |= CORBCTL_MEIE;
            s->corbctl &= ~CORBCTL_RUN;
            break;
        }
        uint32_t w = pci_get_long(word);
        respond(s, command(s, w), w >> 28);
    }
    s->in_transfer = false;
}

/* ---- streams ----------------------------------------------------------------------------------- */

static unsigned tag_of(const Stream *st)
{
    return st->ctl >> 20 & 15;
}

static Stream *find_stream(IntelHDA *s, bool output, unsigned tag)
{
    for (unsigned i = output ? OUTPUTS_FROM : 0; tag && i < (output ? STREAMS : OUTPUTS_FROM); i++) {
        if ((s->st[i].ctl & SD_RUN) && tag_of(&s->st[i]) == tag) {
            return &s->st[i];
        }
    }
    return NULL;
}

static void load_entry(IntelHDA *s, Stream *st)
{
    uint64_t base = (uint64_t)st->bdl_hi << 32 | st->bdl_lo;
    uint8_t bd[16] = { 0 };

    if (pci_dma_read(&s->pci, base + 16 * st->entry, bd, sizeof(bd)) != MEM_OK) {
        LOG_GUEST("hda: no buffer descriptor at %" PRIx64, base + 16 * st->entry);
        memset(bd, 0, sizeof(bd));
        st->sts |= SD_DESE;
    }
    st->addr = (uint64_t)pci_get_long(bd + 4) << 32 | pci_get_long(bd);
    st->len = pci_get_long(bd + 8);
    st->flags = pci_get_long(bd + 12);
    st->at = 0;
    st->loaded = true;
}

static void entry_done(Stream *st)
{
    if (st->flags & BD_IOC) {
        st->sts |= SD_BCIS;
    }
    st->loaded = false;
    st->entry = st->entry >= (st->lvi & 0xff) ? 0 : st->entry + 1;
}

/* Where each stream is, in guest memory, for drivers that look there. */
static void write_position(IntelHDA *s, unsigned n)
{
    uint64_t base = (uint64_t)s->dp_hi << 32 | (s->dp_lo & ~127u);
    uint8_t v[4];

    if (s->dp_lo & 1) {
        pci_set_long(v, s->st[n].lpib);
        pci_dma_write(&s->pci, base + 8 * n, v, sizeof(v));
    }
}

static unsigned move(IntelHDA *s, Stream *st, uint8_t *buf, unsigned len, bool output)
{
    unsigned done = 0, empty = 0;

    while (done < len && empty < MAX_EMPTY) {
        if (!st->loaded) {
            load_entry(s, st);
        }
        unsigned n = MIN(len - done, st->len - st->at);
        if (st->cbl) {
            n = MIN(n, st->cbl - MIN(st->lpib, st->cbl - 1));
        }
        if (!output) {
            pci_dma_write(&s->pci, st->addr + st->at, buf + done, n);
        } else if (pci_dma_read(&s->pci, st->addr + st->at, buf + done, n) != MEM_OK) {
            memset(buf + done, 0, n);
        }
        empty = n ? 0 : empty + 1;
        done += n;
        st->at += n;
        st->lpib += n;
        if (st->cbl && st->lpib >= st->cbl) {
            st->lpib = 0;
        }
        if (st->at >= st->len) {
            entry_done(st);
        }
    }
    return done;
}

static unsigned transfer(HDABus *b, bool output, unsigned tag, uint8_t *buf, unsigned len)
{
    IntelHDA *s = (IntelHDA *)b->bus.owner;
    Stream *st = find_stream(s, output, tag);

    if (!st || s->in_transfer) {
        return 0;
    }
    s->in_transfer = true;
    unsigned n = move(s, st, buf, len, output);
    write_position(s, st - s->st);
    s->in_transfer = false;
    update_irq(s);
    return n;
}

static bool running(HDABus *b, bool output, unsigned tag)
{
    return find_stream((IntelHDA *)b->bus.owner, output, tag);
}

static void streams_changed(IntelHDA *s)
{
    for (unsigned cad = 0; cad < HDA_CODECS; cad++) {
        HDACodec *c = hda_codec_at(&s->link, cad);
        if (c && c->streams_changed) {
            c->streams_changed(c);
        }
    }
}

static void stream_reset(Stream *st)
{
    *st = (Stream) { .fifos = 0x100 };
}

/* ---- resets ------------------------------------------------------------------------------------ */

/* What CRST = 0 clears; WAKEEN, STATESTS and the rings' addresses too (3.3.7). */
static void controller_reset(IntelHDA *s)
{
    s->gctl = s->intctl = s->corb_lo = s->corb_hi = s->rirb_lo = s->rirb_hi = 0;
    s->icoi = s->icii = s->dp_lo = s->dp_hi = s->ssync = 0;
    s->wakeen = s->statests = s->corbwp = s->corbrp = s->rirbwp = s->rintcnt = s->ics = 0;
    s->corbctl = s->corbsts = s->rirbctl = s->rirbsts = 0;
    s->responses = 0;
    s->wall_start = vclock_ns();
    for (unsigned i = 0; i < STREAMS; i++) {
        stream_reset(&s->st[i]);
    }
    for (unsigned cad = 0; cad < HDA_CODECS; cad++) {
        HDACodec *c = hda_codec_at(&s->link, cad);
        if (c) {
            c->link_reset(c);
        }
    }
    streams_changed(s);
}

static void write_gctl(IntelHDA *s, uint32_t old)
{
    if (!(s->gctl & GCTL_CRST)) {
        controller_reset(s);
    } else if (!(old & GCTL_CRST)) {    /* codecs say that they are there */
        for (unsigned cad = 0; cad < HDA_CODECS; cad++) {
            s->statests |= hda_codec_at(&s->link, cad) ? 1u << cad : 0;
        }
    }
}

/* ---- registers --------------------------------------------------------------------------------- */

typedef struct Reg {
    uint16_t addr;
    uint8_t size;
    uint32_t writable, clears;          /* clears: bits that a 1 clears */
    size_t field;                       /* of IntelHDA or Stream; 0: constant */
    uint32_t constant;
    void (*written)(IntelHDA *s, uint32_t old);
} Reg;

static void write_corbrp(IntelHDA *s, uint32_t old)
{
    s->corbrp = s->corbrp & CORBRP_RST ? CORBRP_RST : old & CORBRP_RST ? 0 : old;
}

static void write_rirbwp(IntelHDA *s, uint32_t old)
{
    s->rirbwp = s->rirbwp & RIRBWP_RST ? 0 : old;       /* otherwise read only */
    s->responses = s->rirbwp ? s->responses : 0;
}

static void write_rirbsts(IntelHDA *s, uint32_t old)
{
    if (old & ~s->rirbsts & RIRBSTS_INT) {
        s->responses = 0;
    }
}

static void write_ics(IntelHDA *s, uint32_t old)
{
    if (s->ics & ICS_BUSY) {
        s->icii = command(s, s->icoi);
        s->ics = ICS_VALID;
    }
}

#define F(f) offsetof(IntelHDA, f)
static const Reg regs[] = {
    { 0x00, 2, .constant = 0x4401 },    /* GCAP: four in, four out, 64-bit addresses */
    { 0x03, 1, .constant = 1 },         /* version 1.0 */
    { 0x04, 2, .constant = 0x3c }, { 0x06, 2, .constant = 0x1d },       /* payload of the link */
    { 0x08, 4, GCTL_CRST | GCTL_FCNTRL | GCTL_UNSOL, 0, F(gctl), .written = write_gctl },
    { 0x0c, 2, 0x7fff, 0, F(wakeen) }, { 0x0e, 2, 0, 0x7fff, F(statests) },
    { 0x18, 2, .constant = 0x3c }, { 0x1a, 2, .constant = 0x1d },
    { 0x20, 4, 0xc00000ff, 0, F(intctl) },
    { 0x38, 4, 0xff, 0, F(ssync) },
    { 0x40, 4, 0xffffff80, 0, F(corb_lo) }, { 0x44, 4, ~0u, 0, F(corb_hi) },
    { 0x48, 2, 0xff, 0, F(corbwp) }, { 0x4a, 2, 0x80ff, 0, F(corbrp), .written = write_corbrp },
    { 0x4c, 1, 3, 0, F(corbctl) }, { 0x4d, 1, 0, 1, F(corbsts) }, { 0x4e, 1, .constant = 0x42 },
    { 0x50, 4, 0xffffff80, 0, F(rirb_lo) }, { 0x54, 4, ~0u, 0, F(rirb_hi) },
    { 0x58, 2, 0x80ff, 0, F(rirbwp), .written = write_rirbwp }, { 0x5a, 2, 0xff, 0, F(rintcnt) },
    { 0x5c, 1, 7, 0, F(rirbctl) }, { 0x5d, 1, 0, 5, F(rirbsts), .written = write_rirbsts },
    { 0x5e, 1, .constant = 0x42 },
    { 0x60, 4, ~0u, 0, F(icoi) }, { 0x64, 4, 0, 0, F(icii) },
    { 0x68, 2, ICS_BUSY, ICS_VALID, F(ics), .written = write_ics },
    { 0x70, 4, 0xffffff81, 0, F(dp_lo) }, { 0x74, 4, ~0u, 0, F(dp_hi) },
};
#undef F

#define F(f) offsetof(Stream, f)
static const Reg stream_regs[] = {      /* 20h bytes each, from 80h on */
    { 0x00, 3, 0xf7001f, 0, F(ctl) }, { 0x03, 1, 0, SD_BCIS | SD_FIFOE | SD_DESE, F(sts) },
    { 0x04, 4, 0, 0, F(lpib) }, { 0x08, 4, ~0u, 0, F(cbl) }, { 0x0c, 2, 0xff, 0, F(lvi) },
    { 0x10, 2, 0, 0, F(fifos) }, { 0x12, 2, 0x7f7f, 0, F(fmt) },
    { 0x18, 4, 0xffffff80, 0, F(bdl_lo) }, { 0x1c, 4, ~0u, 0, F(bdl_hi) },
};
#undef F

static uint32_t get(const Reg *r, const void *base)
{
    const void *p = (const char *)base + r->field;

    if (!r->field && (r->constant || base == NULL)) {
        return r->constant;
    }
    return r->size == 1 ? *(const uint8_t *)p : r->size == 2 ? *(const uint16_t *)p : *(const uint32_t *)p;
}

static void set(const Reg *r, void *base, uint32_t v)
{
    void *p = (char *)base + r->field;

    switch (r->size) {
    case 1: *(uint8_t *)p = v; break;
    case 2: *(uint16_t *)p = v; break;
    default: *(uint32_t *)p = v; break;
    }
}

/* The register that byte addr belongs to, and the struct its field is in. */
static const Reg *find_reg(IntelHDA *s, unsigned addr, void **base, unsigned *offset)
{
    const Reg *list = regs;
    unsigned n = G_N_ELEMENTS(regs), a = addr;

    *base = s;
    if (addr >= 0x80 && addr < 0x80 + 0x20 * STREAMS) {
        *base = &s->st[(addr - 0x80) / 0x20];
        a = (addr - 0x80) % 0x20;
        list = stream_regs;
        n = G_N_ELEMENTS(stream_regs);
    }
    for (unsigned i = 0; i < n; i++) {
        if (a >= list[i].addr && a < list[i].addr + list[i].size) {
            *offset = a - list[i].addr;
            return &list[i];
        }
    }
    return NULL;
}

/* Registers that are computed */
static bool read_special(IntelHDA *s, unsigned addr, uint8_t *v)
{
    if (addr >= 0x24 && addr < 0x28) {
        *v = intsts(s) >> 8 * (addr - 0x24);
    } else if (addr >= 0x30 && addr < 0x34) {
        *v = muldiv64(vclock_ns() - s->wall_start, WALL_CLOCK_HZ, NS_PER_SEC) >> 8 * (addr - 0x30);
    } else {
        return false;
    }
    return true;
}

static uint8_t read_byte(IntelHDA *s, unsigned addr)
{
    void *base;
    unsigned offset;
    uint8_t v;
    const Reg *r = find_reg(s, addr, &base, &offset);

    if (read_special(s, addr, &v)) {
        return v;
    }
    return r ? get(r, base) >> 8 * offset : 0;
}

static uint64_t hda_read(void *opaque, hwaddr addr, unsigned size)
{
    uint64_t v = 0;

    for (unsigned i = 0; i < size; i++) {
        v |= (uint64_t)read_byte(opaque, (addr & 0x1fff) + i) << 8 * i;
    }
    return v;
}

static void stream_written(IntelHDA *s, Stream *st, uint32_t old)
{
    if (st->ctl & SD_SRST) {
        stream_reset(st);
        st->ctl = SD_SRST;
    } else if (!(old & SD_RUN) && (st->ctl & SD_RUN)) {
        st->sts |= SD_FIFORDY;
    } else if (!(st->ctl & SD_RUN)) {
        st->sts &= ~SD_FIFORDY;
    }
    if ((old ^ st->ctl) & (SD_SRST | SD_RUN | 0xf00000)) {
        streams_changed(s);
    }
}

/* size bytes of val, all within one register */
static void write_reg(IntelHDA *s, const Reg *r, void *base, unsigned offset, uint32_t val, unsigned size)
{
    uint32_t mask = (size >= 4 ? ~0u : (1u << 8 * size) - 1) << 8 * offset;
    uint32_t old = get(r, base);

    val <<= 8 * offset;
    set(r, base, ((old & ~(r->writable & mask)) | (val & r->writable & mask)) & ~(val & r->clears & mask));
    if (base != s && r->field == offsetof(Stream, ctl)) {
        stream_written(s, base, old);
    } else if (r->written) {
        r->written(s, old);
    }
}

static void hda_write(void *opaque, hwaddr addr, uint64_t val, unsigned size)
{
    IntelHDA *s = opaque;
    void *base;
    unsigned offset;

    if (s->in_transfer) {
        LOG_GUEST("hda: DMA to its own registers");
        return;
    }
    addr &= 0x1fff;
    while (size) {
        const Reg *r = find_reg(s, addr, &base, &offset);
        unsigned n = r ? MIN(size, r->size - offset) : 1;
        bool reset = !(s->gctl & GCTL_CRST);
        if (r && (r->writable || r->clears) && (!reset || r->addr == 0x08 || r->addr == 0x0c)) {
            write_reg(s, r, base, offset, val, n);
        }
        addr += n;
        size -= n;
        val >>= 8 * n;
    }
    run_corb(s);
    update_irq(s);
}

static const RegionOps hda_ops = { .read = hda_read, .write = hda_write, .min = 1, .max = 4 };

/* ---- the bus ------------------------------------------------------------------------------------- */

HDACodec *hda_codec_at(HDABus *b, unsigned cad)
{
    for (guint i = 0; b->bus.devices && i < b->bus.devices->len; i++) {
        HDACodec *c = b->bus.devices->pdata[i];
        if (c->cad == cad) {
            return c;
        }
    }
    return NULL;
}

static bool codec_add(Bus *bus, Device *dev, Error **err)
{
    HDABus *b = (HDABus *)bus;
    HDACodec *c = (HDACodec *)dev;

    if (c->cad == UINT32_MAX) {
        c->cad = 0;
        while (c->cad < HDA_CODECS && hda_codec_at(b, c->cad)) {
            c->cad++;
        }
    } else if (c->cad < HDA_CODECS && hda_codec_at(b, c->cad)) {
        return fail(err, "%s: cad=%u: that address of '%s' is in use", dev->type->name, c->cad, bus->name);
    }
    return c->cad < HDA_CODECS
           || fail(err, "%s: cad: the addresses of '%s' are 0 to %d", dev->type->name, bus->name, HDA_CODECS - 1);
}

static void codec_path(Bus *bus, Device *dev, GString *out)
{
    if (bus->owner && bus->owner->bus && bus->owner->bus->type->path) {
        bus->owner->bus->type->path(bus->owner->bus, bus->owner, out);
        g_string_append_c(out, '/');
    }
    g_string_append_printf(out, "%u", ((HDACodec *)dev)->cad);
}

static const Prop hda_bus_props[] = {
    PROP_UINT("cad", HDACodec, cad, UINT32_MAX, "address on the link (default: the first free one)"),
    PROP_DONE
};
static const BusType hda_bus_type = { .name = "HDA", .props = hda_bus_props, .add = codec_add, .path = codec_path };
BUS_TYPE(hda_bus_type);

void hda_bus_init(HDABus *b, Device *owner)
{
    g_autofree char *name = owner->id ? g_strdup_printf("%s.0", owner->id)
                                      : g_strdup_printf("hda.%d", owner->instance);

    bus_init(&b->bus, &hda_bus_type, owner, name);
}

/* ---- life ------------------------------------------------------------------------------------------ */

static bool hda_realize(Device *dev, Error **err)
{
    IntelHDA *s = (IntelHDA *)dev;

    s->pci.config[0x40] = 0x01;                         /* HDCTL: the link is HD Audio's */
    if (s->msi && !msi_init(&s->pci, 0x60, 1, true, false, err)) {
        return false;
    }
    region_init_io(&s->mmio, "intel-hda", MMIO_SIZE, &hda_ops, s);
    pci_register_bar(&s->pci, 0, PCI_BAR_MEM32, &s->mmio);
    s->link.transfer = transfer;
    s->link.running = running;
    hda_bus_init(&s->link, dev);
    return true;
}

static void hda_unrealize(Device *dev)
{
    region_destroy(&((IntelHDA *)dev)->mmio);
}

static void hda_reset(Device *dev)
{
    IntelHDA *s = (IntelHDA *)dev;

    controller_reset(s);
    update_irq(s);
}

static bool hda_post_load(void *opaque, int version, Error **err)
{
    IntelHDA *s = opaque;

    s->corbrp &= 0x80ff;
    s->corbwp &= 0xff;
    s->rirbwp &= 0xff;
    for (unsigned i = 0; i < STREAMS; i++) {
        if (s->st[i].loaded && s->st[i].at > s->st[i].len) {
            return fail(err, "stream %u is behind the end of its buffer", i);
        }
    }
    return true;                        /* codecs, whose state comes later, look at the streams */
}

static const VMField stream_fields[] = {
    VM_UINT(Stream, ctl), VM_UINT(Stream, lpib), VM_UINT(Stream, cbl), VM_UINT(Stream, bdl_lo),
    VM_UINT(Stream, bdl_hi), VM_UINT(Stream, lvi), VM_UINT(Stream, fifos), VM_UINT(Stream, fmt),
    VM_UINT(Stream, sts), VM_UINT(Stream, entry), VM_BOOL(Stream, loaded), VM_UINT(Stream, addr),
    VM_UINT(Stream, len), VM_UINT(Stream, flags), VM_UINT(Stream, at),
    VM_DONE
};
static const VMState vm_stream = { .name = "hda-stream", .fields = stream_fields };

static const VMField hda_fields[] = {
    VM_STRUCT(IntelHDA, pci, vm_pci_device),
    VM_UINT(IntelHDA, gctl), VM_UINT(IntelHDA, intctl), VM_UINT(IntelHDA, corb_lo),
    VM_UINT(IntelHDA, corb_hi), VM_UINT(IntelHDA, rirb_lo), VM_UINT(IntelHDA, rirb_hi),
    VM_UINT(IntelHDA, icoi), VM_UINT(IntelHDA, icii), VM_UINT(IntelHDA, dp_lo),
    VM_UINT(IntelHDA, dp_hi), VM_UINT(IntelHDA, ssync), VM_UINT(IntelHDA, wakeen),
    VM_UINT(IntelHDA, statests), VM_UINT(IntelHDA, corbwp), VM_UINT(IntelHDA, corbrp),
    VM_UINT(IntelHDA, rirbwp), VM_UINT(IntelHDA, rintcnt), VM_UINT(IntelHDA, ics),
    VM_UINT(IntelHDA, corbctl), VM_UINT(IntelHDA, corbsts), VM_UINT(IntelHDA, rirbctl),
    VM_UINT(IntelHDA, rirbsts), VM_UINT(IntelHDA, responses), VM_UINT(IntelHDA, wall_start),
    VM_STRUCTS(IntelHDA, st, vm_stream),
    VM_DONE
};
static const VMState vm_hda = { .name = "intel-hda", .fields = hda_fields, .post_load = hda_post_load };

static const Prop hda_props[] = {
    PROP_ONOFFAUTO("msi", IntelHDA, msi, 2, "interrupts as messages"),
    PROP_DONE
};

static const PCIInfo ich6_info = {
    .vendor = 0x8086, .device = 0x2668, .class_id = 0x0403, .revision = 1, .pin = 1,
};
static const PCIInfo ich9_info = {
    .vendor = 0x8086, .device = 0x293e, .class_id = 0x0403, .revision = 3, .pin = 1,
};

static const DeviceType intel_hda = {
    .name = "intel-hda", .desc = "Intel HD Audio controller (ICH6)", .bus = "PCI", .category = "Sound",
    .size = sizeof(IntelHDA), .props = hda_props, .vmstate = &vm_hda, .realize = hda_realize,
    .unrealize = hda_unrealize, .reset = hda_reset, .info = &ich6_info,
};
DEVICE_TYPE(intel_hda);

static const DeviceType ich9_intel_hda = {
    .name = "ich9-intel-hda", .desc = "Intel HD Audio controller (ICH9)", .bus = "PCI", .category = "Sound",
    .size = sizeof(IntelHDA), .props = hda_props, .vmstate = &vm_hda, .realize = hda_realize,
    .unrealize = hda_unrealize, .reset = hda_reset, .info = &ich9_info,
};
DEVICE_TYPE(ich9_intel_hda);
