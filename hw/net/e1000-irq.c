/* SPDX-License-Identifier: MIT */
/*
 * e1000: interrupts.  ICR collects causes, IMS lets them through to the pin.  Three things make
 * them fewer: delays after a packet (3.2.7.1, 3.4.3: RDTR and TIDV count from the last one, RADV
 * and TADV from the first), and the minimum distance of two interrupts (ITR).
 */
#include "hw/net/e1000.h"

#define DELAY_NS   1024                 /* unit of RDTR, RADV, TIDV, TADV */
#define ITR_NS     256

void e1000_irq_update(E1000 *s)
{
    bool level = *e1000_reg(s, R_ICR) & *e1000_reg(s, R_IMS);
    uint32_t itr = *e1000_reg(s, R_ITR) & 0xffff;

    if (level && !s->line) {
        if (timer_pending(&s->throttle)) {
            return;                     /* it comes back here */
        }
        if (s->mitigation && itr) {
            timer_mod(&s->throttle, vclock_ns() + (int64_t)itr * ITR_NS);
        }
    }
    s->line = level;
    pci_set_irq(&s->pci, level);
}

void e1000_raise(E1000 *s, uint32_t causes)
{
    *e1000_reg(s, R_ICR) |= causes;
    e1000_irq_update(s);
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
    e1000_raise(s, ICR_RXT0);
}

static void tx_delay_over(void *opaque)
{
    E1000 *s = opaque;

    s->tx_latest = 0;
    s->late &= ~ICR_TXDW;
    e1000_raise(s, ICR_TXDW);
}

/* Again from now, but not later than the absolute delay after the first. */
static void start_delay(Timer *t, int64_t *latest, uint32_t delay, uint32_t absolute)
{
    int64_t now = vclock_ns(), at = now + (int64_t)(delay & 0xffff) * DELAY_NS;

    if (!*latest) {
        *latest = absolute & 0xffff ? now + (int64_t)(absolute & 0xffff) * DELAY_NS : INT64_MAX;
    }
    timer_mod(t, MIN(at, *latest));
}

void e1000_raise_rx(E1000 *s)
{
    if (s->mitigation && (*e1000_reg(s, R_RDTR) & 0xffff)) {
        s->late |= ICR_RXT0;
        start_delay(&s->rx_delay, &s->rx_latest, *e1000_reg(s, R_RDTR), *e1000_reg(s, R_RADV));
    } else {
        e1000_raise(s, ICR_RXT0);
    }
}

void e1000_raise_tx(E1000 *s, bool delayed)
{
    if (s->mitigation && delayed && (*e1000_reg(s, R_TIDV) & 0xffff)) {
        s->late |= ICR_TXDW;
        start_delay(&s->tx_delay, &s->tx_latest, *e1000_reg(s, R_TIDV), *e1000_reg(s, R_TADV));
    } else {
        e1000_raise(s, ICR_TXDW);
    }
}

void e1000_irq_init(E1000 *s)
{
    timer_init(&s->throttle, ORRERY_CLOCK_VIRTUAL, throttle_over, s);
    timer_init(&s->rx_delay, ORRERY_CLOCK_VIRTUAL, rx_delay_over, s);
    timer_init(&s->tx_delay, ORRERY_CLOCK_VIRTUAL, tx_delay_over, s);
}

void e1000_irq_exit(E1000 *s)
{
    timer_del(&s->throttle);
    timer_del(&s->rx_delay);
    timer_del(&s->tx_delay);
}

void e1000_irq_reset(E1000 *s)
{
    e1000_irq_exit(s);
    s->line = false;
    s->late = 0;
    s->rx_latest = s->tx_latest = 0;
    pci_set_irq(&s->pci, 0);
}
