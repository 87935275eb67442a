/* SPDX-License-Identifier: MIT */
/*
 * e1000: the PHY (Marvell 88E1000 family) behind MDIC, the link and its negotiation, which takes
 * half a second.
 *
 * Sources: the manual, 13.4.? MDIC; IEEE 802.3 clause 22 (registers 0 to 15).
 */
#include "hw/net/e1000.h"
#include "util/log.h"

#define MDIC_OP_WRITE   0x04000000
#define MDIC_OP_READ    0x08000000
#define MDIC_READY      0x10000000
#define MDIC_IE         0x20000000
#define MDIC_ERROR      0x40000000
#define MDIC_REG(v)     ((v) >> 16 & 31)
#define MDIC_PHY(v)     ((v) >> 21 & 31)
#define PHY_ADDRESS     1

#define NEGOTIATION_NS  (500 * NS_PER_MS)
#define PHY_PAGE        22
#define LPAR_ACK        0x4000

static const uint16_t phy_power_on[PHY_REGS] = {
    [PHY_CTRL] = 0x1140, [PHY_STATUS] = 0x794d, [PHY_ID1] = 0x0141, [PHY_ID2] = 0x0c20,
    [PHY_ANAR] = 0x0de1, [PHY_LPAR] = 0x01e0, [PHY_1000T_CTRL] = 0x0e00,
    [PHY_1000T_STATUS] = 0x3c00, [M88_PSCR] = 0x0360, [M88_PSSR] = 0xac00, [M88_EPSCR] = 0x0d60,
};
/* Bits software can set */
static const uint16_t phy_writable[PHY_REGS] = {
    [PHY_CTRL] = 0x7dc0, [PHY_ANAR] = 0xffff, [PHY_1000T_CTRL] = 0xff00, [M88_PSCR] = 0xffff,
    [PHY_PAGE] = 0xffff, [M88_IER] = 0xffff, [M88_EPSCR] = 0xffff, [29] = 0xffff, [30] = 0xffff,
};

bool e1000_loopback(const E1000 *s)
{
    return (s->phy[PHY_CTRL] & PHY_CTRL_LOOPBACK) || (s->reg[R_RCTL / 4] & RCTL_LBM) == RCTL_LBM
           || (s->reg[R_RCTL / 4] & RCTL_LBM) == 0x40;
}

static void link_up(E1000 *s)
{
    *e1000_reg(s, R_STATUS) |= STATUS_LU;
    s->phy[PHY_STATUS] |= PHY_STATUS_LINK;
    s->phy[M88_PSSR] |= 0x0400;
}

static void link_down(E1000 *s)
{
    *e1000_reg(s, R_STATUS) &= ~STATUS_LU;
    s->phy[PHY_STATUS] &= ~(PHY_STATUS_LINK | PHY_STATUS_DONE);
    s->phy[PHY_LPAR] &= ~LPAR_ACK;
    s->phy[M88_PSSR] &= ~0x0400;
}

static bool negotiates(const E1000 *s)
{
    return s->autoneg && (s->phy[PHY_CTRL] & PHY_CTRL_AUTONEG);
}

static void restart(E1000 *s)
{
    if (!s->nc.link_down && negotiates(s)) {
        link_down(s);
        timer_mod(&s->negotiate, vclock_ns() + NEGOTIATION_NS);
    }
}

void e1000_negotiated(void *opaque)
{
    E1000 *s = opaque;

    if (!s->nc.link_down) {
        link_up(s);
        s->phy[PHY_LPAR] |= LPAR_ACK;
        s->phy[PHY_STATUS] |= PHY_STATUS_DONE;
        e1000_raise(s, ICR_LSC);
        net_flush(&s->nc);
    }
}

void e1000_link_changed(NetClient *nc)
{
    E1000 *s = nc->opaque;
    uint32_t before = *e1000_reg(s, R_STATUS);

    if (nc->link_down) {
        timer_del(&s->negotiate);
        link_down(s);
    } else if (negotiates(s) && !(s->phy[PHY_STATUS] & PHY_STATUS_DONE)) {
        restart(s);
    } else {
        link_up(s);
    }
    if (*e1000_reg(s, R_STATUS) != before) {
        e1000_raise(s, ICR_LSC);
    }
}

void e1000_phy_reset(E1000 *s)
{
    memcpy(s->phy, phy_power_on, sizeof(s->phy));
    if (s->is_e) {
        s->phy[PHY_ID2] = 0x0cb1;
    }
    timer_del(&s->negotiate);
    if (s->nc.link_down) {
        link_down(s);
    }
}

/* The 82574's PHY has pages for registers above 15, chosen by register 22; only page 0 is here. */
static bool other_page(const E1000 *s, unsigned r)
{
    return s->is_e && r > 15 && r != PHY_PAGE && s->phy[PHY_PAGE];
}

static uint16_t phy_read(E1000 *s, unsigned r)
{
    return other_page(s, r) ? 0 : s->phy[r];
}

static void phy_write(E1000 *s, unsigned r, uint16_t v)
{
    if (other_page(s, r)) {
        return;
    }
    s->phy[r] = (s->phy[r] & ~phy_writable[r]) | (v & phy_writable[r]);
    if (r == PHY_CTRL && (v & 0x8000)) {            /* reset */
        e1000_phy_reset(s);
        restart(s);
    } else if (r == PHY_CTRL && (v & PHY_CTRL_RESTART) && (v & PHY_CTRL_AUTONEG)) {
        restart(s);
    }
}

/* Ready at once. */
void e1000_mdic_write(E1000 *s, uint32_t val)
{
    unsigned r = MDIC_REG(val);

    val &= ~(MDIC_READY | MDIC_ERROR);
    if (MDIC_PHY(val) != PHY_ADDRESS) {
        val |= MDIC_ERROR;
        LOG_GUEST("e1000: MDIC names PHY %u", MDIC_PHY(val));
    } else if (val & MDIC_OP_READ) {
        val = (val & 0xffff0000) | phy_read(s, r);
    } else if (val & MDIC_OP_WRITE) {
        phy_write(s, r, val);
    }
    *e1000_reg(s, R_MDIC) = val | MDIC_READY;
    if (val & MDIC_IE) {
        e1000_raise(s, ICR_MDAC);
    }
}
