/* SPDX-License-Identifier: MIT */
/*
 * pcnet: descriptors, transmission and reception.
 */
#include "hw/net/pcnet.h"
#include "util/bits.h"
#include "util/iov.h"
#include "util/log.h"

#include <string.h>
#include <zlib.h>

/* Status, as bits 31..24 of the second word; the 16-bit form has them in one byte. */
#define D_OWN       0x80
#define D_ERR       0x40
#define D_BUFF      0x04                /* receive: no further buffer */
#define D_STP       0x02
#define D_ENP       0x01
#define D_PAM       0x00400000          /* receive, 32 bit: which filter matched */
#define D_LAFM      0x00200000
#define D_BAM       0x00100000
#define FCS         4u

typedef struct Desc {
    hwaddr at;                          /* where it lies */
    hwaddr buf;
    uint32_t size;
    uint8_t status;
    uint32_t word;                      /* the second one, 32-bit forms */
} Desc;

static uint16_t ring_length(const Pcnet *s, unsigned csr)
{
    uint16_t n = -s->csr[csr];
    return n ? n : 1;
}

static bool read_desc(Pcnet *s, uint32_t ring, unsigned n, Desc *d)
{
    uint8_t b[16];
    bool wide = pcnet_wide(s);
    unsigned size = wide ? 16 : 8;

    d->at = pcnet_address(s, ring) + (hwaddr)n * size;
    if (pci_dma_read(&s->pci, d->at, b, size) != MEM_OK) {
        return false;
    }
    if (wide) {
        d->buf = ld32_le(b + (pcnet_style(s) == 3 ? 8 : 0));
        d->word = ld32_le(b + 4);
        d->status = d->word >> 24;
        d->size = -(d->word | ~0xfffu) & 0xffff;
    } else {
        uint16_t bcnt = ld16_le(b + 4);
        d->buf = pcnet_address(s, ld16_le(b) | (uint32_t)b[2] << 16);
        d->status = b[3];
        d->size = -(bcnt | ~0xfffu) & 0xffff;
    }
    d->size = d->size > 4096 ? 0 : d->size;
    return true;
}

/* Status last: with it the descriptor changes hands.  count: bytes received. */
static void write_desc(Pcnet *s, const Desc *d, uint8_t status, uint32_t match, int count)
{
    uint8_t b[4];

    if (!pcnet_wide(s)) {
        st16_le(b, MAX(count, 0));
        if (count >= 0) {
            pci_dma_write(&s->pci, d->at + 6, b, 2);
        }
        pci_dma_write(&s->pci, d->at + 3, &status, 1);
        return;
    }
    st32_le(b, MAX(count, 0));
    if (count >= 0) {
        pci_dma_write(&s->pci, d->at + (pcnet_style(s) == 3 ? 0 : 8), b, 4);
    }
    st32_le(b, (d->word & 0x0000ffff) | match | (uint32_t)status << 24);
    pci_dma_write(&s->pci, d->at + 4, b, 4);
}

/* ---- transmission --------------------------------------------------------------------------- */

static void loop_back(Pcnet *s);

static void send_packet(Pcnet *s)
{
    if (s->tx_bad || s->tx_len < 14) {
        LOG_GUEST("pcnet: a packet of %u bytes is dropped", s->tx_len);
        return;
    }
    if (s->tx_len < NET_MIN_FRAME && (s->csr[4] & 0x0800)) {      /* APAD_XMT */
        memset(s->tx + s->tx_len, 0, NET_MIN_FRAME - s->tx_len);
        s->tx_len = NET_MIN_FRAME;
    }
    if (s->csr[15] & MODE_LOOP) {
        loop_back(s);
    } else {
        net_send_buf(&s->nc, s->tx, s->tx_len);
    }
}

static void gather(Pcnet *s, const Desc *d)
{
    if (d->status & D_STP) {
        s->tx_len = 0;
        s->tx_bad = false;
    }
    if (s->tx_len + d->size > sizeof(s->tx)) {
        s->tx_bad = true;
    } else {
        pci_dma_read(&s->pci, d->buf, s->tx + s->tx_len, d->size);
        s->tx_len += d->size;
    }
}

void pcnet_transmit(Pcnet *s)
{
    unsigned left = ring_length(s, 78);
    Desc d;

    while (left-- && (s->csr[0] & CSR0_TXON) && !(s->csr[5] & 1)
           && read_desc(s, s->tdra, s->tx_at % ring_length(s, 78), &d) && (d.status & D_OWN)) {
        gather(s, &d);
        s->tx_at = (s->tx_at + 1) % ring_length(s, 78);
        write_desc(s, &d, d.status & ~(D_OWN | D_ERR), 0, -1);
        if (d.status & D_ENP) {
            send_packet(s);
            s->tx_len = 0;
            s->csr[0] |= CSR0_TINT;
        }
    }
    pcnet_update_irq(s);
}

/* ---- reception ------------------------------------------------------------------------------ */

void pcnet_mac(const Pcnet *s, uint8_t *mac)
{
    for (int i = 0; i < 3; i++) {
        st16_le(mac + 2 * i, s->csr[12 + i]);
    }
}

bool pcnet_can_receive(NetClient *nc)
{
    Pcnet *s = nc->opaque;
    Desc d;

    if (s->csr[5] & 1) {                /* suspended: it waits */
        return false;
    }
    return !(s->csr[0] & CSR0_RXON)
           || nic_wait(&s->wait, !read_desc(s, s->rdra, s->rx_at % ring_length(s, 76), &d)
                                 || (d.status & D_OWN));
}

/* Which filter lets it pass; 0: none. */
static uint32_t filter(const Pcnet *s, const uint8_t *f)
{
    uint8_t mac[6];

    if (mac_is_broadcast(f)) {
        return s->csr[15] & MODE_DRCVBC ? (s->csr[15] & MODE_PROM ? D_BAM : 0) : D_BAM;
    }
    if (mac_is_group(f)) {
        unsigned bit = mac_crc_le(f) >> 26;
        if (s->csr[8 + bit / 16] >> (bit % 16) & 1) {
            return D_LAFM;
        }
    }
    pcnet_mac(s, mac);
    if (!memcmp(f, mac, 6) && !(s->csr[15] & MODE_DRCVPA)) {
        return D_PAM;
    }
    return s->csr[15] & MODE_PROM ? 1 : 0;
}

static void missed(Pcnet *s)
{
    s->csr[112]++;
    s->csr[0] |= CSR0_MISS;
    pcnet_update_irq(s);
}

/* Into one buffer or more; the first and the last are marked. */
static void store(Pcnet *s, const uint8_t *f, uint32_t len, uint32_t match)
{
    uint32_t at = 0, left = MIN(ring_length(s, 76), 64);
    uint8_t status = D_STP;
    Desc d;

    while (at < len) {
        uint16_t entries = ring_length(s, 76);
        if (!left-- || !read_desc(s, s->rdra, s->rx_at % entries, &d) || !(d.status & D_OWN)) {
            if (!at) {
                missed(s);
            }
            return;
        }
        uint32_t n = MIN(d.size, len - at);
        pci_dma_write(&s->pci, d.buf, f + at, n);
        at += n;
        s->rx_at = (s->rx_at + 1) % entries;
        bool last = at == len;
        Desc next;
        bool more = !last && left && read_desc(s, s->rdra, s->rx_at % entries, &next)
                    && (next.status & D_OWN);
        if (!last && !more) {
            status |= D_ERR | D_BUFF | D_ENP;
            at = len;
            last = true;
        }
        write_desc(s, &d, status | (last ? D_ENP : 0), last ? match & 0x00700000 : 0,
                   last ? (int)len : 0);
        status = 0;
    }
    s->csr[0] |= CSR0_RINT;
    pcnet_update_irq(s);
}

bool pcnet_receive(NetClient *nc, const struct iovec *iov, int n, const NetOffload *off)
{
    Pcnet *s = nc->opaque;
    uint8_t frame[PCNET_PACKET + FCS] = { 0 };
    uint32_t len = iov_size(iov, n), match;

    if (!(s->csr[0] & CSR0_RXON) || len > PCNET_PACKET) {
        return true;
    }
    iov_to_buf(iov, n, 0, frame, len);
    len = MAX(len, NET_MIN_FRAME);
    match = filter(s, frame);
    if (!match) {
        return true;
    }
    st32_le(frame + len, crc32(0, frame, len));
    store(s, frame, len + FCS, match);
    if (s->csr[0] & CSR0_TXON) {
        pcnet_transmit(s);
    }
    return true;
}

static void loop_back(Pcnet *s)
{
    uint8_t frame[PCNET_PACKET + FCS];
    uint32_t len = s->tx_len, match = filter(s, s->tx);

    if ((s->csr[0] & CSR0_RXON) && match) {
        memcpy(frame, s->tx, len);
        st32_le(frame + len, crc32(0, frame, len));
        store(s, frame, len + FCS, match);
    }
}
