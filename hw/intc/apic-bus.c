/* SPDX-License-Identifier: MIT */
/*
 * The bus between local APICs: who hears an interrupt message from another CPU, from the I/O
 * APIC or from a PCI device (MSI), and the way back of an end of interrupt.
 *
 * Source: Intel SDM volume 3A, chapter "Advanced Programmable Interrupt Controller (APIC)";
 * section names below are its.
 *
 * While the accelerator has the local APICs (target-i386/irqchip.h), messages go on to it.
 * Not modelled: arbitration and bus priorities.
 */
#include "hw/intc/apic.h"
#include "hw/intc/apic-internal.h"
#include "target-i386/irqchip.h"

static GPtrArray *apics;                /* in order of CPU index */
static void (*eoi_hook)(void *opaque, uint8_t vector);
static void *eoi_opaque;

bool apic_bus_join(Apic *s)
{
    bool first = !apics;

    if (first) {
        apics = g_ptr_array_new();
    }
    g_ptr_array_add(apics, s);
    return first;
}

void apic_bus_leave(Apic *s)
{
    g_ptr_array_remove(apics, s);
}

/* INTR of the 8259 pair is wired to LINT0 of every CPU, and to the CPU's own pin, which
 * counts while the APIC is off; firmware leaves LINT0 open at the boot CPU only. */
void apic_pic_intr(void *opaque, int n, int level)
{
    for (guint i = 0; apics && i < apics->len; i++) {
        Apic *s = g_ptr_array_index(apics, i);
        apic_set_lint(&s->dev, 0, level);
        x86_cpu_set_pic_line(s->cpu, level);
    }
}

/* ---- the bus ("Determining IPI Destination") ------------------------------------------- */

static bool apic_matches_logical(const Apic *s, const ApicMessage *m)
{
    uint8_t ldr = s->ldr >> 24;

    if (apic_x2(s)) {
        uint32_t logical = (s->cpu->apic_id >> 4) << 16 | 1u << (s->cpu->apic_id & 15);
        return (m->dest >> 16) == (logical >> 16) && (m->dest & logical & 0xffff);
    }
    if (m->wide && m->dest > 0xff) {
        return false;
    }
    if (s->dfr >> 28 == 0xf) {
        return ldr & m->dest;
    }
    return ((m->dest & 0xf0) == (ldr & 0xf0) || (m->dest & 0xf0) == 0xf0)
        && (m->dest & ldr & 0x0f);
}

static bool apic_matches(const Apic *s, const ApicMessage *m)
{
    if (m->dest == (m->wide ? 0xffffffffu : 0xff)) {
        return true;
    }
    if (m->logical) {
        return apic_matches_logical(s, m);
    }
    return m->dest == (apic_x2(s) ? s->cpu->apic_id : s->id);
}

static bool apic_hears(const Apic *s, const ApicMessage *m)
{
    return apic_enabled(s) && apic_matches(s, m);
}

/* Lowest priority: of those that can take it, the one that is least busy. */
static Apic *apic_arbitrate(const ApicMessage *m)
{
    Apic *best = NULL;

    for (guint i = 0; i < apics->len; i++) {
        Apic *s = g_ptr_array_index(apics, i);
        if (apic_hears(s, m) && apic_soft_enabled(s)
            && (!best || apic_ppr(s) < apic_ppr(best))) {
            best = s;
        }
    }
    return best;
}

void apic_bus_deliver(const ApicMessage *m)
{
    if (!apics) {
        return;
    }
    if (x86_irqchip) {
        x86_irqchip->msi((uint64_t)(m->dest & ~0xffu) << 32 | DEFAULT_ADDR | (m->dest & 0xff) << 12
                         | (m->delivery == APIC_DM_LOWEST ? 8 : 0) | (m->logical ? 4 : 0),
                         m->vector | m->delivery << 8 | (m->level ? ICR_LEVEL : 0) | ICR_ASSERT);
        return;
    }
    if (m->delivery == APIC_DM_LOWEST) {
        Apic *s = apic_arbitrate(m);
        if (s) {
            apic_accept(s, m->vector, m->level);
        }
        return;
    }
    for (guint i = 0; i < apics->len; i++) {
        Apic *s = g_ptr_array_index(apics, i);
        if (apic_hears(s, m)) {
            apic_take(s, m->delivery, m->vector, m->level);
        }
    }
}

/* Address: FEE, destination (x86_msi_dest), redirection hint 3, destination mode 2. */
void apic_deliver_msi(uint64_t addr, uint32_t data)
{
    ApicMessage m = {
        .dest = x86_msi_dest(addr), .logical = addr >> 2 & 1,
        .delivery = data >> 8 & 7, .vector = data, .level = data >> 15 & 1,
    };

    apic_bus_deliver(&m);
}

void apic_bus_eoi(uint8_t vector)
{
    if (eoi_hook) {
        eoi_hook(eoi_opaque, vector);
    }
}

void apic_set_eoi_hook(void (*fn)(void *opaque, uint8_t vector), void *opaque)
{
    eoi_hook = fn;
    eoi_opaque = opaque;
    x86_eoi_hook = apic_bus_eoi;
}

/* ---- interrupt command register -------------------------------------------------------- */

/* A shorthand is written out, as messages have none. */
static void apic_send_inside(const Apic *s, ApicMessage *m, unsigned shorthand)
{
    for (guint i = 0; i < apics->len; i++) {
        Apic *other = g_ptr_array_index(apics, i);
        if (shorthand == 1 ? other == s : other != s || shorthand == 2) {
            m->dest = other->cpu->apic_id;
            m->logical = false;
            apic_bus_deliver(m);
        }
    }
}

void apic_send(Apic *s, uint32_t low, uint32_t dest)
{
    ApicMessage m = {
        .dest = dest, .wide = apic_x2(s), .logical = low & ICR_LOGICAL,
        .delivery = low >> 8 & 7, .vector = low,
    };
    unsigned shorthand = low >> 18 & 3;

    if ((m.delivery == APIC_DM_FIXED || m.delivery == APIC_DM_LOWEST) && m.vector < 16) {
        apic_error(s, ESR_SEND_VECTOR);
        return;
    }
    if (m.delivery == APIC_DM_INIT && (low & ICR_LEVEL) && !(low & ICR_ASSERT)) {
        return;                         /* "INIT level de-assert" only set arbitration ids */
    }
    switch (x86_irqchip ? 4 + shorthand : shorthand) {
    case 0:
    case 4:
        apic_bus_deliver(&m);
        break;
    case 5 ... 7:
        apic_send_inside(s, &m, shorthand);
        break;
    case 1:
        apic_take(s, m.delivery, m.vector, false);
        break;
    default:
        for (guint i = 0; i < apics->len; i++) {
            Apic *other = g_ptr_array_index(apics, i);
            if (apic_enabled(other) && (other != s || shorthand == 2)) {
                apic_take(other, m.delivery, m.vector, false);
            }
        }
    }
}
