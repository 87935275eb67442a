/* SPDX-License-Identifier: MIT */
/*
 * The schedule of a UHCI controller: queue heads and transfer descriptors in guest memory.
 *
 * Source: UHCI Design Guide 1.1, chapter 3 (data structures), 1.3 and 3.4 (how they are walked).
 *
 *     link     31..4 address   2 depth first   1 it is a queue head   0 the end
 *     TD 0     link to the next
 *        4     29 short packet detect   28..27 errors left   24 interrupt on completion
 *              23 active   22 stalled   20 babble   19 NAK   18 time-out   10..0 length - 1
 *        8     31..21 room - 1   18..15 endpoint   14..8 address   7..0 packet identifier
 *        12    buffer
 *     QH 0     link to the next, to the right       4  link to its first element, down
 *
 * All of it is the guest's and may say anything.  A frame ends after LINKS_MAX steps, after
 * `bandwidth` bytes, or when a round of queue heads has moved nothing: then the rest of the
 * frame would only find the same again.
 */
#include "hw/usb/uhci.h"
#include "util/bits.h"
#include "util/log.h"

#define LINKS_MAX       256u
#define LINK_END        0x01u
#define LINK_QH         0x02u
#define LINK_DEPTH      0x04u
#define LINK_ADDRESS    0xfffffff0u

#define TD_SHORT_DETECT 0x20000000u
#define TD_ERRORS       0x18000000u
#define TD_ERROR_ONE    0x08000000u
#define TD_INTERRUPT    0x01000000u
#define TD_ACTIVE       0x00800000u
#define TD_STALLED      0x00400000u
#define TD_BABBLE       0x00100000u
#define TD_NAK          0x00080000u
#define TD_TIMEOUT      0x00040000u
#define TD_LENGTH       0x000007ffu

#define ROOM_MAX        1280u           /* of a TD (3.2.3): more stops the controller */

typedef struct TD {
    uint32_t addr;                      /* where it is */
    uint32_t link, control, token, buffer;
} TD;

typedef enum { TD_DONE, TD_STAYS, TD_FATAL } TDResult;

/* One frame */
typedef struct Walk {
    UHCI *s;
    uint32_t bytes;
    uint32_t seen[LINKS_MAX];           /* queue heads since something moved */
    unsigned nseen;
    uint8_t cause;                      /* CAUSE_* */
    bool error;                         /* STS_ERROR at the end */
} Walk;

static bool load(UHCI *s, uint32_t addr, uint32_t *words, unsigned n)
{
    uint8_t raw[16];

    if (pci_dma_read(&s->pci, addr, raw, 4 * n) != MEM_OK) {
        LOG_GUEST("uhci: nothing to read at %08x", addr);
        uhci_halt(s, STS_SYSTEM);
        return false;
    }
    for (unsigned i = 0; i < n; i++) {
        words[i] = ld32_le(raw + 4 * i);
    }
    return true;
}

static bool store(UHCI *s, uint32_t addr, uint32_t word)
{
    uint8_t raw[4];

    st32_le(raw, word);
    if (pci_dma_write(&s->pci, addr, raw, 4) != MEM_OK) {
        LOG_GUEST("uhci: nothing to write at %08x", addr);
        uhci_halt(s, STS_SYSTEM);
        return false;
    }
    return true;
}

static USBDevice *addressed(UHCI *s, uint8_t address)
{
    USBDevice *d = NULL;

    for (unsigned i = 0; i < UHCI_PORTS && !d; i++) {
        UHCIPort *p = &s->ports[i];
        if ((p->status & (PORT_ENABLED | PORT_SUSPEND | PORT_RESET)) == PORT_ENABLED) {
            d = usb_find(&p->port, address);
        }
    }
    return d;
}

/* ---- a transfer descriptor ---------------------------------------------------------------------- */

static unsigned room(const TD *td)
{
    return ((td->token >> 21) + 1) & TD_LENGTH;
}

static TDResult retire(Walk *w, TD *td, uint32_t control)
{
    td->control = control & ~TD_ACTIVE;
    w->s->moved = true;
    w->nseen = 0;
    if (td->control & TD_INTERRUPT) {
        w->cause |= CAUSE_COMPLETE;
    }
    return store(w->s, td->addr + 4, td->control) ? TD_DONE : TD_FATAL;
}

/* Data have moved: n bytes of them. */
static TDResult moved(Walk *w, TD *td, unsigned n, bool in)
{
    uint32_t control = td->control & ~(TD_LENGTH | TD_STALLED | TD_BABBLE | TD_NAK | TD_TIMEOUT);
    TDResult r = retire(w, td, control | ((n - 1) & TD_LENGTH));

    if (r == TD_DONE && in && n < room(td) && td->control & TD_SHORT_DETECT) {
        w->cause |= CAUSE_SHORT;
        return TD_STAYS;                /* the queue stops here; the driver goes on */
    }
    return r;
}

static TDResult stalled(Walk *w, TD *td, uint32_t why)
{
    w->error = true;
    return retire(w, td, (td->control & ~TD_NAK) | TD_STALLED | why) == TD_FATAL ? TD_FATAL
                                                                                  : TD_STAYS;
}

static TDResult refused(Walk *w, TD *td)
{
    if (!(td->control & TD_NAK)) {
        td->control |= TD_NAK;
        return store(w->s, td->addr + 4, td->control) ? TD_STAYS : TD_FATAL;
    }
    return TD_STAYS;
}

/* Nobody answered: once more in the next frame, until the errors left are used up (0: for ever). */
static TDResult silent(Walk *w, TD *td)
{
    uint32_t left = td->control & TD_ERRORS;

    if (left == TD_ERROR_ONE) {
        td->control &= ~TD_ERRORS;
        return stalled(w, td, TD_TIMEOUT);
    }
    if (left) {
        td->control -= TD_ERROR_ONE;
        w->s->moved = true;
    } else if (td->control & TD_TIMEOUT) {
        return TD_STAYS;
    }
    td->control |= TD_TIMEOUT;
    return store(w->s, td->addr + 4, td->control) ? TD_STAYS : TD_FATAL;
}

static TDResult settle(Walk *w, TD *td, USBResult r, const USBPacket *p)
{
    bool in = p->pid == USB_PID_IN;

    switch (r) {
    case USB_ACK:
        if (in && p->actual
            && pci_dma_write(&w->s->pci, td->buffer, p->data, p->actual) != MEM_OK) {
            LOG_GUEST("uhci: no memory for data at %08x", td->buffer);
            uhci_halt(w->s, STS_SYSTEM);
            return TD_FATAL;
        }
        return moved(w, td, p->actual, in);
    case USB_NAK:
        return refused(w, td);
    case USB_STALL:
        return stalled(w, td, 0);
    case USB_BABBLE:
        return stalled(w, td, TD_BABBLE);
    default:
        return silent(w, td);
    }
}

static TDResult execute(Walk *w, TD *td)
{
    UHCI *s = w->s;
    uint8_t data[ROOM_MAX];
    USBPacket p = { .pid = td->token, .ep = td->token >> 15 & 15, .data = data, .len = room(td) };

    if (!(td->control & TD_ACTIVE)) {   /* drivers let themselves be called so */
        if (td->control & TD_INTERRUPT) {
            w->cause |= CAUSE_COMPLETE;
        }
        return TD_STAYS;
    }
    if ((p.pid != USB_PID_IN && p.pid != USB_PID_OUT && p.pid != USB_PID_SETUP) || p.len > ROOM_MAX) {
        LOG_GUEST("uhci: packet identifier %02x, %u bytes in the TD at %08x", p.pid, p.len, td->addr);
        uhci_halt(s, STS_PROCESS);
        return TD_FATAL;
    }
    w->bytes += p.len;
    USBDevice *d = addressed(s, td->token >> 8 & 0x7f);
    if (!d) {
        return settle(w, td, USB_SILENT, &p);
    }
    if (p.pid != USB_PID_IN && p.len
        && pci_dma_read(&s->pci, td->buffer, data, p.len) != MEM_OK) {
        LOG_GUEST("uhci: no data to send at %08x", td->buffer);
        uhci_halt(s, STS_SYSTEM);
        return TD_FATAL;
    }
    return settle(w, td, usb_transact(d, &p), &p);
}

static bool load_td(UHCI *s, uint32_t link, TD *td)
{
    uint32_t words[4];

    td->addr = link & LINK_ADDRESS;
    if (!load(s, td->addr, words, 4)) {
        return false;
    }
    td->link = words[0];
    td->control = words[1];
    td->token = words[2];
    td->buffer = words[3];
    return true;
}

/* ---- the walk --------------------------------------------------------------------------------- */

static bool seen_before(Walk *w, uint32_t qh)
{
    for (unsigned i = 0; i < w->nseen; i++) {
        if (w->seen[i] == qh) {
            return true;
        }
    }
    w->seen[w->nseen++] = qh;
    return false;
}

/* A TD of a queue.  *link is where to go on. */
static bool step_queued(Walk *w, uint32_t qh, uint32_t right, uint32_t *link)
{
    TD td;

    if (!load_td(w->s, *link, &td)) {
        return false;
    }
    switch (execute(w, &td)) {
    case TD_DONE:
        if (!store(w->s, qh + 4, td.link)) {
            return false;
        }
        /* deeper, if it asks for that and there is another one */
        *link = td.link & LINK_DEPTH && !(td.link & LINK_END) ? td.link : right;
        return true;
    case TD_STAYS:
        *link = right;
        return true;
    default:
        return false;
    }
}

/* A TD of the frame list itself: isochronous, whatever becomes of it the walk goes on. */
static bool step_single(Walk *w, uint32_t *link)
{
    TD td;

    if (!load_td(w->s, *link, &td) || execute(w, &td) == TD_FATAL) {
        return false;
    }
    *link = td.link;
    return true;
}

static void walk_links(Walk *w, uint32_t link)
{
    UHCI *s = w->s;
    uint32_t qh = 0, right = LINK_END, words[2];
    bool queued = false;                /* within queue qh; right is where its head points */

    for (unsigned n = 0; n < LINKS_MAX && !(link & LINK_END) && w->bytes < s->bandwidth; n++) {
        if (link & LINK_QH) {
            qh = link & LINK_ADDRESS;
            if (seen_before(w, qh) || !load(s, qh, words, 2)) {
                return;
            }
            right = words[0];
            queued = !(words[1] & LINK_END);
            link = queued ? words[1] : right;
        } else if (queued) {
            if (!step_queued(w, qh, right, &link)) {
                return;
            }
            queued = !(link & (LINK_END | LINK_QH)) && link != right;
        } else if (!step_single(w, &link)) {
            return;
        }
    }
}

void uhci_walk(UHCI *s)
{
    Walk w = { .s = s };
    uint32_t link;

    if (s->walking || !(pci_get_word(s->pci.config + PCI_COMMAND) & PCI_COMMAND_MASTER)) {
        return;                         /* without its bus the controller can only count */
    }
    s->walking = true;
    if (load(s, s->base + 4 * (s->frame & 0x3ff), &link, 1)) {
        walk_links(&w, link);
    }
    s->walking = false;
    if (w.cause || w.error) {
        s->cause |= w.cause;
        s->status |= (w.cause ? STS_INT : 0) | (w.error ? STS_ERROR : 0);
        s->moved = true;
    }
    uhci_update_irq(s);
}
