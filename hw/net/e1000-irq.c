/* SPDX-License-Identifier: MIT */
/*
 * e1000: interrupts.  ICR collects causes, IMS lets them through to the pin.  Three things make
 * them fewer: delays after a packet (3.2.7.1, 3.4.3: RDTR and TIDV count from the last one, RADV
 * and TADV from the first), and the minimum distance of two interrupts (ITR, on the 82574 also for
 * each vector).
 *
 * The driver chooses that distance for so many frames an interrupt as a gigabit wire brings meanwhile.
 * Here they come faster, and while interrupts waited for the clock the guest would wait for them: so
 * the distance is over, too, when that many bytes have come.
 */
#include "hw/net/e1000.h"
#include "hw/pci/msi.h"

#define DELAY_NS   1024                 /* unit of RDTR, RADV, TIDV, TADV */
#define ITR_NS     256
#define WIRE_NS    8                    /* a byte, at 1 Gbit/s */

/* ---- distance of interrupts ------------------------------------------------------------------- */

static void start_distance(E1000 *s, E1000Distance *d, uint32_t units)
{
    timer_del(&d->timer);
    d->bytes = 0;
    d->until = s->mitigation && (units & 0xffff) ? vclock_ns() + (int64_t)(units & 0xffff) * ITR_NS : 0;
}

/* Not yet, but e1000_irq_update will be called then. */
static bool too_near(E1000Distance *d)
{
    if (!d->until || d->until <= vclock_ns()) {
        return false;
    }
    if (!timer_pending(&d->timer)) {
        timer_mod(&d->timer, d->until);
    }
    return true;
}

static void forget_distance(E1000Distance *d)
{
    timer_del(&d->timer);
    d->until = 0;
}

/* Over if the wire would have needed that long for the bytes that came since. */
static bool distance_gone(E1000Distance *d, uint32_t units, size_t bytes)
{
    d->bytes += bytes;
    if (!d->until || d->bytes * WIRE_NS < (uint64_t)(units & 0xffff) * ITR_NS) {
        return false;
    }
    forget_distance(d);
    return true;
}

static void wire_used(E1000 *s, size_t bytes)
{
    bool over = distance_gone(&s->throttle, *e1000_reg(s, R_ITR), bytes);

    for (unsigned i = 0; s->is_e && i < E1000E_VECTORS; i++) {
        over |= distance_gone(&s->vector_throttle[i], *e1000_reg(s, R_EITR + 4 * i), bytes);
    }
    if (over) {
        e1000_irq_update(s);
    }
}

/* ---- 82574: messages ------------------------------------------------------------------------ */

/* EITR: the next message of a vector comes not earlier than that. */
static bool throttled(E1000 *s, unsigned vector)
{
    E1000Distance *d = &s->vector_throttle[vector];

    if (too_near(d)) {
        return true;
    }
    start_distance(s, d, *e1000_reg(s, R_EITR + 4 * vector));
    return false;
}

/* IVAR has four bits for each of five causes: vector and "valid". */
static void send_vectors(E1000 *s)
{
    for (unsigned i = 0; i < 5; i++) {
        uint32_t bit = ICR_RXQ0 << i, ivar = *e1000_reg(s, R_IVAR) >> 4 * i & 15;
        uint32_t clear = *e1000_reg(s, R_EIAC) & bit, ext = *e1000_reg(s, R_CTRL_EXT);
        if (!(*e1000_reg(s, R_ICR) & *e1000_reg(s, R_IMS) & bit & ~s->msi_sent)) {
            continue;
        }
        if ((ivar & 8) && (ivar & 7) < E1000E_VECTORS && throttled(s, ivar & 7)) {
            continue;                   /* it comes back here */
        }
        s->msi_sent |= bit;
        if (ivar & 8) {
            msix_notify(&s->pci, ivar & 7);
        }
        *e1000_reg(s, R_ICR) &= ~clear;
        if (ext & CTRL_EXT_IAME) {
            *e1000_reg(s, R_IMS) &= ~*e1000_reg(s, R_IAM);
        } else {
            *e1000_reg(s, R_IMS) &= ~(ext & CTRL_EXT_EIAME ? bit : clear);
        }
    }
}

/* A message for each cause that was not there before. */
static void update_messages(E1000 *s)
{
    uint32_t causes = *e1000_reg(s, R_ICR) & *e1000_reg(s, R_IMS) & ~ICR_ASSERTED;

    s->msi_sent &= causes;
    if (msix_enabled(&s->pci)) {
        send_vectors(s);
        s->msi_sent &= *e1000_reg(s, R_ICR) & *e1000_reg(s, R_IMS);
        return;
    }
    if (!(causes & ~s->msi_sent) || too_near(&s->throttle)) {
        return;
    }
    s->msi_sent |= causes;
    start_distance(s, &s->throttle, *e1000_reg(s, R_ITR));
    msi_notify(&s->pci, 0);
}

uint32_t e1000_irq_read(E1000 *s)
{
    uint32_t v = *e1000_reg(s, R_ICR);

    if (s->is_e) {
        v |= v & *e1000_reg(s, R_IMS) ? ICR_ASSERTED : 0;
        if (*e1000_reg(s, R_CTRL_EXT) & CTRL_EXT_IAME) {
            *e1000_reg(s, R_IMS) &= ~*e1000_reg(s, R_IAM);
        }
    }
    *e1000_reg(s, R_ICR) = 0;
    e1000_irq_update(s);
    return v;
}

/* ---- the pin ---------------------------------------------------------------------------------- */

void e1000_irq_update(E1000 *s)
{
    if (s->nc.batch) {
        return;                         /* it comes back here */
    }
    if (s->is_e && (msix_enabled(&s->pci) || msi_enabled(&s->pci))) {
        s->line = false;
        pci_set_irq(&s->pci, 0);
        update_messages(s);
        return;
    }
    bool level = *e1000_reg(s, R_ICR) & *e1000_reg(s, R_IMS);

    if (level && !s->line) {
        if (too_near(&s->throttle)) {
            return;                     /* it comes back here */
        }
        start_distance(s, &s->throttle, *e1000_reg(s, R_ITR));
    }
    s->line = level;
    pci_set_irq(&s->pci, level);
}

void e1000_raise(E1000 *s, uint32_t causes)
{
    if (s->is_e && (causes & (ICR_LSC | ICR_RXO | ICR_MDAC))) {
        causes |= ICR_OTHER;
    }
    *e1000_reg(s, R_ICR) |= causes;
    e1000_irq_update(s);
}

/* The causes of a received frame, of sent ones */
static uint32_t rx_causes(const E1000 *s, unsigned queue)
{
    return ICR_RXT0 | (s->is_e ? ICR_RXQ0 << queue : 0);
}

static uint32_t tx_causes(const E1000 *s, unsigned queue)
{
    return ICR_TXDW | (s->is_e ? ICR_TXQ0 << queue : 0);
}

static void throttle_over(void *opaque)
{
    e1000_irq_update(opaque);
}

static void rx_delay_over(void *opaque)
{
    E1000 *s = opaque;

    s->rx_latest = 0;
    s->late &= ~ICR_RXT0;
    e1000_raise(s, rx_causes(s, 0));
}

static void tx_delay_over(void *opaque)
{
    E1000 *s = opaque;

    s->tx_latest = 0;
    s->late &= ~ICR_TXDW;
    e1000_raise(s, tx_causes(s, 0));
}

/*
 * Again from now, but not later than the absolute delay after the first.  false: it would be over
 * before the pin may come up again: then the cause can as well be there at once, and nobody need
 * be woken for it.
 */
static bool start_delay(E1000 *s, uint32_t cause, Timer *t, int64_t *latest, uint32_t delay,
                        uint32_t absolute)
{
    int64_t now = vclock_ns(), at = now + (int64_t)delay * DELAY_NS;

    if (!*latest) {
        *latest = absolute & 0xffff ? now + (int64_t)(absolute & 0xffff) * DELAY_NS : INT64_MAX;
    }
    at = MIN(at, *latest);
    if (s->line || s->throttle.until >= at || !(*e1000_reg(s, R_IMS) & cause)) {
        timer_del(t);
        *latest = 0;
        s->late &= ~cause;
        return false;
    }
    s->late |= cause;
    timer_mod(t, at);
    return true;
}

void e1000_raise_rx(E1000 *s, unsigned queue, size_t bytes)
{
    uint32_t delay = *e1000_reg(s, R_RDTR) & 0xffff;

    wire_used(s, bytes);
    if (!s->mitigation || queue || !delay
        || !start_delay(s, ICR_RXT0, &s->rx_delay, &s->rx_latest, delay, *e1000_reg(s, R_RADV))) {
        e1000_raise(s, rx_causes(s, queue));
    }
}

void e1000_raise_tx(E1000 *s, unsigned queue, bool delayed)
{
    uint32_t delay = *e1000_reg(s, R_TIDV) & 0xffff;

    if (!s->mitigation || !delayed || queue || !delay
        || !start_delay(s, ICR_TXDW, &s->tx_delay, &s->tx_latest, delay, *e1000_reg(s, R_TADV))) {
        e1000_raise(s, tx_causes(s, queue));
    }
}

void e1000_batch_over(NetClient *nc)
{
    e1000_irq_update(nc->opaque);
}

void e1000_irq_init(E1000 *s)
{
    timer_init(&s->throttle.timer, ORRERY_CLOCK_VIRTUAL, throttle_over, s);
    timer_init(&s->rx_delay, ORRERY_CLOCK_VIRTUAL, rx_delay_over, s);
    timer_init(&s->tx_delay, ORRERY_CLOCK_VIRTUAL, tx_delay_over, s);
    for (unsigned i = 0; i < E1000E_VECTORS; i++) {
        timer_init(&s->vector_throttle[i].timer, ORRERY_CLOCK_VIRTUAL, throttle_over, s);
    }
}

void e1000_irq_exit(E1000 *s)
{
    forget_distance(&s->throttle);
    timer_del(&s->rx_delay);
    timer_del(&s->tx_delay);
    for (unsigned i = 0; i < E1000E_VECTORS; i++) {
        forget_distance(&s->vector_throttle[i]);
    }
}

void e1000_irq_reset(E1000 *s)
{
    e1000_irq_exit(s);
    s->line = false;
    s->late = s->msi_sent = 0;
    s->rx_latest = s->tx_latest = 0;
    pci_set_irq(&s->pci, 0);
}
