/* SPDX-License-Identifier: MIT */
/*
 * PIC, I/O APIC, PIT and local APICs in the kernel (kernel-irqchip=on), or local APICs alone
 * (split): their state between the kernel's structs and those of irqchip.h.
 *
 * Levels of input lines are the devices'.  The kernel keeps its own account of who holds a
 * line up, which no ioctl restores: after the I/O APIC was put, the lines of level-triggered
 * inputs are raised again.  Edge-triggered ones are not, that would be an edge.
 *
 * A local APIC is put by x86_kvm_put after IA32_APIC_BASE, on which the kernel's reading of
 * the registers depends; until then it waits in X86KvmCpu.
 *
 * Source: api.rst 4.24 KVM_CREATE_IRQCHIP, 4.25 KVM_IRQ_LINE, 4.26 KVM_GET_IRQCHIP, 4.57
 * KVM_GET_LAPIC, 4.71 KVM_CREATE_PIT2, 4.72 KVM_GET_PIT2, 4.70 KVM_SIGNAL_MSI, 7.5
 * KVM_CAP_SPLIT_IRQCHIP.
 */
#include "target-i386/kvm.h"

#include <string.h>

#include "accel/eventfd.h"
#include "target-i386/cpuid.h"
#include "target-i386/irqchip.h"
#include "target-i386/msr.h"
#include "util/log.h"
#include "util/timer.h"

#define GSIS        24
#define RTE_LEVEL   (1ull << 15)
#define RTE_MASKED  (1ull << 16)
#define LAPIC_TMR   0x18                /* registers by number: 256 bits in eight words each */
#define LAPIC_IRR   0x20
#define LAPIC_WORDS 8

static uint32_t lines;                  /* levels of GSIs as last told [bql] */

/* ---- lines and messages ------------------------------------------------------------------ */

static int set_gsi(unsigned gsi, bool level)
{
    struct kvm_irq_level l = { .irq = gsi, .level = level };

    lines = level ? lines | 1u << gsi : lines & ~(1u << gsi);
    int res = kvm_ioctl(kvm.vm, KVM_IRQ_LINE_STATUS, &l);
    if (level) {
        kvm_poke();
    }
    return res < 0 ? -1 : (int)l.status;
}

static void msi(uint64_t addr, uint32_t data)
{
    struct kvm_msi m = { .address_lo = addr, .address_hi = addr >> 32, .data = data };

    int res = kvm_ioctl(kvm.vm, KVM_SIGNAL_MSI, &m);
    if (res < 0) {
        LOG(LOG_UNIMP, "kvm: message %x to %x: %s\n", data, m.address_lo, g_strerror(-res));
    }
    kvm_poke();
}

uint64_t x86_kvm_message(uint64_t addr)
{
    uint64_t high = x86_msi_dest(addr) >> 8;

    return high ? (addr & ~0xff0ull) | high << 40 : addr;
}

/* ---- the 8259 pair ------------------------------------------------------------------------ */

void x86_kvm_pic_get(PicChip *c, const struct kvm_pic_state *k)
{
    static const uint8_t init[4] = { 0, 2, 3, 4 };

    c->irr = k->irr;
    c->isr = k->isr;
    c->imr = k->imr;
    c->elcr = k->elcr;
    c->lowest = (k->priority_add + 7) & 7;
    c->base = k->irq_base;
    c->init = init[k->init_state & 3];
    c->want_icw4 = k->init4;
    c->auto_eoi = k->auto_eoi;
    c->rotate_aeoi = k->rotate_on_auto_eoi;
    c->sfnm = k->special_fully_nested_mode;
    c->special_mask = k->special_mask;
    c->read_isr = k->read_reg_select;
    c->poll = k->poll;
}

void x86_kvm_pic_put(const PicChip *c, struct kvm_pic_state *k)
{
    *k = (struct kvm_pic_state) {
        .last_irr = c->lines, .irr = c->irr, .imr = c->imr, .isr = c->isr,
        .priority_add = (c->lowest + 1) & 7, .irq_base = c->base, .read_reg_select = c->read_isr,
        .poll = c->poll, .special_mask = c->special_mask, .init_state = c->init ? c->init - 1 : 0,
        .auto_eoi = c->auto_eoi, .rotate_on_auto_eoi = c->rotate_aeoi,
        .special_fully_nested_mode = c->sfnm, .init4 = c->want_icw4, .elcr = c->elcr,
        .elcr_mask = c->master ? 0xf8 : 0xde,
    };
}

static void get_pic(PicChip chip[2])
{
    for (unsigned n = 0; n < 2; n++) {
        struct kvm_irqchip k = { .chip_id = n ? KVM_IRQCHIP_PIC_SLAVE : KVM_IRQCHIP_PIC_MASTER };
        if (kvm_ioctl(kvm.vm, KVM_GET_IRQCHIP, &k) >= 0) {
            x86_kvm_pic_get(&chip[n], &k.chip.pic);
        }
    }
}

static void put_pic(const PicChip chip[2])
{
    for (unsigned n = 2; n-- > 0;) {    /* the master sees the slave's output */
        struct kvm_irqchip k = { .chip_id = n ? KVM_IRQCHIP_PIC_SLAVE : KVM_IRQCHIP_PIC_MASTER };
        x86_kvm_pic_put(&chip[n], &k.chip.pic);
        kvm_told(kvm_ioctl(kvm.vm, KVM_SET_IRQCHIP, &k), "the state of the PIC can't be set");
    }
    lines = (lines & ~0xffffu) | (uint32_t)chip[0].lines | (uint32_t)chip[1].lines << 8;
}

/* ---- the I/O APIC ---------------------------------------------------------------------------- */

static void get_ioapic(IoApicImage *io)
{
    struct kvm_irqchip k = { .chip_id = KVM_IRQCHIP_IOAPIC };

    if (!kvm_told(kvm_ioctl(kvm.vm, KVM_GET_IRQCHIP, &k), "the state of the I/O APIC can't be read")) {
        return;
    }
    io->index = k.chip.ioapic.ioregsel;
    io->id = k.chip.ioapic.id;
    for (unsigned n = 0; n < IOAPIC_PINS; n++) {
        io->table[n] = k.chip.ioapic.redirtbl[n].bits;
    }
}

static void put_ioapic(const IoApicImage *io)
{
    struct kvm_irqchip k = { .chip_id = KVM_IRQCHIP_IOAPIC };
    uint32_t level = 0;

    k.chip.ioapic.base_address = io->base;
    k.chip.ioapic.ioregsel = io->index;
    k.chip.ioapic.id = io->id;
    for (unsigned n = 0; n < IOAPIC_PINS; n++) {
        k.chip.ioapic.redirtbl[n].bits = io->table[n];
        level |= (io->table[n] & RTE_LEVEL ? 1u : 0) << n;
    }
    k.chip.ioapic.irr = io->lines & level;
    kvm_told(kvm_ioctl(kvm.vm, KVM_SET_IRQCHIP, &k), "the state of the I/O APIC can't be set");
    for (unsigned n = 0; n < GSIS; n++) {
        bool up = (io->lines & level) >> (n ? n : 2) & 1;
        if (n != 2) {
            set_gsi(n, up);
        }
    }
}

/* Split: a route for each input, so that the kernel knows whose EOIs to report. */
static void ioapic_changed(const uint64_t table[IOAPIC_PINS])
{
    bool changed = false;

    for (unsigned n = 0; n < IOAPIC_PINS; n++) {
        struct kvm_irq_routing_entry *e = kvm_route(n, KVM_IRQ_ROUTING_MSI), old = *e;
        uint64_t t = table[n];
        kvm_route_message(e, 0xfee00000 | t >> 48 << 4 | (t >> 11 & 1) << 2,
                          t & RTE_MASKED ? 0 : (t & 0x7ff) | (t & RTE_LEVEL) | 1 << 14);
        changed |= memcmp(e, &old, sizeof(old)) != 0;
    }
    if (changed) {
        kvm_routes_changed();
    }
}

/* ---- the 8254 ----------------------------------------------------------------------------------- */

enum { STATE_LSB = 1, STATE_MSB, STATE_WORD0, STATE_WORD1 };
#define RW_WORD     3
#define MODE_IDLE   0xff                /* the kernel's for a counter never programmed */

static int64_t monotonic_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * NS_PER_SEC + t.tv_nsec;
}

void x86_kvm_pit_get(PitImage *pit, const struct kvm_pit_state2 *k, int64_t now)
{
    pit->irq0_off = k->flags & KVM_PIT_FLAGS_HPET_LEGACY;
    for (unsigned n = 0; n < 3; n++) {
        const struct kvm_pit_channel_state *s = &k->channels[n];
        struct PitImageChannel *c = &pit->ch[n];
        bool word = s->rw_mode == RW_WORD;
        *c = (struct PitImageChannel) {
            .mode = s->mode > 5 ? 3 : s->mode, .rw = s->rw_mode ? s->rw_mode & 3 : RW_WORD,
            .bcd = s->bcd, .gate = s->gate, .counting = s->mode != MODE_IDLE,
            .write_msb = word && s->write_state == STATE_WORD1,
            .read_msb = word && s->read_state == STATE_WORD1, .write_lsb = s->write_latch,
            .latched = !s->count_latched ? 0 : s->count_latched == STATE_WORD0 ? 2 : 1,
            .latch = s->latched_count, .status_latched = s->status_latched, .status = s->status,
            .count = s->count ? MIN(s->count, 65536u) : 65536,
            .age = MAX(now - s->count_load_time, 0),
        };
        if (word && c->latched == 1) {
            c->read_msb = true;
        }
    }
}

void x86_kvm_pit_put(const PitImage *pit, struct kvm_pit_state2 *k, int64_t now)
{
    *k = (struct kvm_pit_state2) { .flags = pit->irq0_off ? KVM_PIT_FLAGS_HPET_LEGACY : 0 };
    for (unsigned n = 0; n < 3; n++) {
        const struct PitImageChannel *c = &pit->ch[n];
        bool word = c->rw == RW_WORD;
        k->channels[n] = (struct kvm_pit_channel_state) {
            .count = c->count, .latched_count = c->latch,
            .count_latched = !c->latched ? 0 : c->latched == 2 ? STATE_WORD0
                             : word ? STATE_MSB : c->rw,
            .status_latched = c->status_latched, .status = c->status,
            .read_state = !word ? c->rw : c->read_msb && !c->latched ? STATE_WORD1 : STATE_WORD0,
            .write_state = !word ? c->rw : c->write_msb ? STATE_WORD1 : STATE_WORD0,
            .write_latch = c->write_lsb, .rw_mode = c->rw,
            .mode = c->counting ? c->mode : MODE_IDLE, .bcd = c->bcd, .gate = c->gate,
            .count_load_time = now,
        };
    }
}

static void get_pit(PitImage *pit)
{
    struct kvm_pit_state2 k = { 0 };

    if (kvm_ioctl(kvm.vm, KVM_GET_PIT2, &k) >= 0) {
        x86_kvm_pit_get(pit, &k, monotonic_ns());
    }
}

static void put_pit(const PitImage *pit)
{
    struct kvm_pit_state2 k = { 0 };

    x86_kvm_pit_put(pit, &k, monotonic_ns());
    kvm_told(kvm_ioctl(kvm.vm, KVM_SET_PIT2, &k), "the state of the PIT can't be set");
}

static void pit_reinject(bool on)
{
    struct kvm_reinject_control r = { .pit_reinject = on };
    kvm_ioctl(kvm.vm, KVM_REINJECT_CONTROL, &r);
}

/* ---- local APICs ----------------------------------------------------------------------------------- */

static bool kvm_msr(KvmCpu *k, uint32_t msr, bool write, uint64_t *val)
{
    struct {
        struct kvm_msrs head;
        struct kvm_msr_entry entry;
    } b = { { .nmsrs = 1 }, { .index = msr, .data = *val } };

    if (kvm_ioctl(k->fd, write ? KVM_SET_MSRS : KVM_GET_MSRS, &b) != 1) {
        return false;
    }
    *val = b.entry.data;
    return true;
}

#define MSR_X2APIC_TPR (MSR_X2APIC_FIRST + 8)

static bool lapic_msr(X86CPU *c, uint32_t msr, bool write, uint64_t *val)
{
    KvmCpu *k = kvm_cpu(&c->cpu);
    X86KvmCpu *a = k ? k->arch : NULL;

    if (!k || !x86_kvm_lapic_put(k, NULL) || !kvm_msr(k, msr, write, val)) {
        return false;
    }
    if (write && msr == MSR_X2APIC_TPR) {
        c->cr8 = a->cr8_put = *val >> 4 & 15;
    }
    if (write && msr >= MSR_X2APIC_FIRST) {
        kvm_poke();                     /* it may have been an IPI */
    }
    return true;
}

static void get_lapic(X86CPU *c, LapicImage *l)
{
    KvmCpu *k = kvm_cpu(&c->cpu);
    X86KvmCpu *a = k ? k->arch : NULL;
    struct kvm_lapic_state s;

    if (!a) {
        memset(l, 0, sizeof(*l));
    } else if (a->lapic_waits) {
        *l = a->lapic;
    } else if (kvm_ioctl(k->fd, KVM_GET_LAPIC, &s) >= 0) {
        for (unsigned n = 0; n < 64; n++) {
            memcpy(&l->reg[n], s.regs + 16 * n, 4);
        }
        l->deadline = 0;
        kvm_msr(k, MSR_TSC_DEADLINE, false, &l->deadline);
    }
}

/*
 * Between here and x86_kvm_lapic_put, which the vCPU's thread calls before it runs, devices may
 * interrupt already: such a request is in the kernel's registers and must outlive ours.  What was
 * requested there before must not.
 */
static void forget_requests(KvmCpu *k)
{
    struct kvm_lapic_state s = { 0 };

    if (kvm_ioctl(k->fd, KVM_GET_LAPIC, &s) >= 0) {
        for (unsigned n = 0; n < LAPIC_WORDS; n++) {
            memset(s.regs + 16 * (LAPIC_IRR + n), 0, 4);
        }
        kvm_told(kvm_ioctl(k->fd, KVM_SET_LAPIC, &s), "the state of a local APIC can't be set");
    }
}

static void add_requests(KvmCpu *k, LapicImage *l)
{
    struct kvm_lapic_state s = { 0 };

    if (kvm_ioctl(k->fd, KVM_GET_LAPIC, &s) < 0) {
        return;
    }
    for (unsigned n = 0; n < LAPIC_WORDS; n++) {
        uint32_t irr, tmr;
        memcpy(&irr, s.regs + 16 * (LAPIC_IRR + n), 4);
        memcpy(&tmr, s.regs + 16 * (LAPIC_TMR + n), 4);
        l->reg[LAPIC_TMR + n] = (l->reg[LAPIC_TMR + n] & ~irr) | (tmr & irr);
        l->reg[LAPIC_IRR + n] |= irr;
    }
}

static void put_lapic(X86CPU *c, const LapicImage *l)
{
    KvmCpu *k = kvm_cpu(&c->cpu);
    X86KvmCpu *a = k ? k->arch : NULL;

    if (a) {
        a->lapic = *l;
        a->lapic_waits = true;
        forget_requests(k);
    }
}

bool x86_kvm_lapic_put(KvmCpu *k, Error **err)
{
    X86KvmCpu *a = k->arch;
    struct kvm_lapic_state s = { 0 };

    if (!a->lapic_waits) {
        return true;
    }
    add_requests(k, &a->lapic);
    for (unsigned n = 0; n < 64; n++) {
        memcpy(s.regs + 16 * n, &a->lapic.reg[n], 4);
    }
    a->lapic_waits = false;
    int res = kvm_ioctl(k->fd, KVM_SET_LAPIC, &s);
    if (res < 0) {
        return fail_errno(err, -res, "KVM_SET_LAPIC");
    }
    if (a->lapic.deadline) {
        kvm_msr(k, MSR_TSC_DEADLINE, true, &a->lapic.deadline);
    }
    return true;
}

/* ---- making them ------------------------------------------------------------------------------------- */

static X86Irqchip chips = {
    .set_gsi = set_gsi, .msi = msi, .get_pic = get_pic, .put_pic = put_pic,
    .get_ioapic = get_ioapic, .put_ioapic = put_ioapic, .get_pit = get_pit, .put_pit = put_pit,
    .pit_reinject = pit_reinject, .get_lapic = get_lapic, .put_lapic = put_lapic,
    .lapic_msr = lapic_msr,
};

void x86_kvm_irqchip_guest(const X86CPU *c)
{
    chips.ext_dest = x86_has(c, CPUID_KVM_MSI_EXT_DEST_ID);
}

void x86_kvm_irqchip_active(bool on)
{
    if (kvm.irqchip != KVM_IRQCHIP_OFF) {
        x86_irqchip = on ? &chips : NULL;
    }
}

/* A PC: below 16 to the 8259 pair and to the I/O APIC, where 0 is input 2; the others to the
 * I/O APIC alone. */
static bool pc_routes(Error **err)
{
    struct kvm_irq_routing_entry e[16 + GSIS] = { 0 };
    unsigned count = 0;

    for (unsigned n = 0; n < 16; n++) {
        if (n != 2) {
            e[count++] = (struct kvm_irq_routing_entry) {
                .gsi = n, .type = KVM_IRQ_ROUTING_IRQCHIP, .u.irqchip = {
                    .irqchip = n < 8 ? KVM_IRQCHIP_PIC_MASTER : KVM_IRQCHIP_PIC_SLAVE,
                    .pin = n & 7,
                },
            };
        }
    }
    for (unsigned n = 0; n < GSIS; n++) {
        if (n != 2) {
            e[count++] = (struct kvm_irq_routing_entry) {
                .gsi = n, .type = KVM_IRQ_ROUTING_IRQCHIP,
                .u.irqchip = { .irqchip = KVM_IRQCHIP_IOAPIC, .pin = n ? n : 2 },
            };
        }
    }
    return kvm_routes_init(e, count) || fail(err, "KVM does not take the table of interrupts");
}

static bool make_all(Error **err)
{
    struct kvm_pit_config pit = { 0 };

    int res = kvm_ioctl(kvm.vm, KVM_CREATE_IRQCHIP, NULL);
    if (res < 0) {
        return fail_errno(err, -res, "KVM_CREATE_IRQCHIP (kernel-irqchip=off works without)");
    }
    res = kvm_ioctl(kvm.vm, KVM_CREATE_PIT2, &pit);
    if (res < 0) {
        return fail_errno(err, -res, "KVM_CREATE_PIT2 (kernel-irqchip=split works without)");
    }
    chips.all = true;
    return pc_routes(err);
}

static bool make_split(Error **err)
{
    struct kvm_irq_routing_entry e[IOAPIC_PINS] = { 0 };

    if (!kvm_cap(KVM_CAP_SPLIT_IRQCHIP) || !kvm_enable_cap(KVM_CAP_SPLIT_IRQCHIP, IOAPIC_PINS)) {
        return fail_class(err, ERR_KVM_MISSING_CAP, "this kernel's KVM lacks "
                          "KVM_CAP_SPLIT_IRQCHIP: use kernel-irqchip=on or off");
    }
    for (unsigned n = 0; n < IOAPIC_PINS; n++) {
        e[n] = (struct kvm_irq_routing_entry) { .gsi = n, .type = KVM_IRQ_ROUTING_MSI };
    }
    chips.ioapic_changed = ioapic_changed;
    return kvm_routes_init(e, IOAPIC_PINS) || fail(err, "KVM does not take the table of interrupts");
}

bool x86_kvm_irqchip_init(Error **err)
{
    static const struct {
        int cap;
        const char *name;
    } needed[] = {
        { KVM_CAP_IRQCHIP, "KVM_CAP_IRQCHIP" }, { KVM_CAP_PIT2, "KVM_CAP_PIT2" },
        { KVM_CAP_PIT_STATE2, "KVM_CAP_PIT_STATE2" },
        { KVM_CAP_IRQ_ROUTING, "KVM_CAP_IRQ_ROUTING" },
        { KVM_CAP_SIGNAL_MSI, "KVM_CAP_SIGNAL_MSI" },
    };

    if (kvm.irqchip == KVM_IRQCHIP_OFF) {
        return true;
    }
    for (unsigned n = 0; n < G_N_ELEMENTS(needed); n++) {
        if (!kvm_cap(needed[n].cap)) {
            return fail_class(err, ERR_KVM_MISSING_CAP, "this kernel's KVM lacks %s: use "
                              "kernel-irqchip=off", needed[n].name);
        }
    }
#ifdef KVM_CAP_X2APIC_API
    /* Destinations and ids of 32 bits. */
    kvm.wide_apic_ids = kvm_cap(KVM_CAP_X2APIC_API)
                        && kvm_enable_cap(KVM_CAP_X2APIC_API, KVM_X2APIC_API_USE_32BIT_IDS
                                          | KVM_X2APIC_API_DISABLE_BROADCAST_QUIRK);
#endif
    if (!x86_kvm_proxy_init(err)) {
        return false;
    }
    return kvm.irqchip == KVM_IRQCHIP_SPLIT ? make_split(err) : make_all(err);
}
