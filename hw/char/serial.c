/* SPDX-License-Identifier: MIT */
/*
 * 16550A UART.
 *
 * Source: National Semiconductor PC16550D data sheet; register and bit names are its.
 *
 * Characters leave as soon as they are written, whatever the baud rate, unless the back-end is
 * slow: then they wait in the transmit FIFO.  The baud rate counts for the receive time-out
 * and for a real line behind the back-end.  OUT2 does not gate the interrupt: on a PC it is
 * a transistor beside the chip, and some guests never set it.
 */
#include "hw/char/serial.h"

enum { UART_RBR, UART_IER, UART_IIR, UART_LCR, UART_MCR, UART_LSR, UART_MSR, UART_SCR,
       UART_THR = UART_RBR, UART_FCR = UART_IIR, UART_DLL = UART_RBR, UART_DLM = UART_IER };

#define IER_RX      0x01
#define IER_THR     0x02
#define IER_LINE    0x04
#define IER_MODEM   0x08

#define IIR_NONE    0x01
#define IIR_MODEM   0x00
#define IIR_THR     0x02
#define IIR_RX      0x04
#define IIR_LINE    0x06
#define IIR_TIMEOUT 0x0c
#define IIR_FIFO    0xc0

#define FCR_ENABLE  0x01
#define FCR_RX_CLR  0x02
#define FCR_TX_CLR  0x04
#define FCR_DMA     0x08

#define LCR_STOP2   0x04
#define LCR_PARITY  0x08
#define LCR_EVEN    0x10
#define LCR_BREAK   0x40
#define LCR_DLAB    0x80

#define MCR_DTR     0x01
#define MCR_RTS     0x02
#define MCR_OUT1    0x04
#define MCR_OUT2    0x08
#define MCR_LOOP    0x10

#define LSR_DR      0x01
#define LSR_OE      0x02
#define LSR_PE      0x04
#define LSR_FE      0x08
#define LSR_BI      0x10
#define LSR_THRE    0x20
#define LSR_TEMT    0x40
#define LSR_FIFO_ERR 0x80
#define LSR_ERRORS  (LSR_OE | LSR_PE | LSR_FE | LSR_BI)
#define LSR_PER_CHAR (LSR_PE | LSR_FE | LSR_BI)

#define MSR_DELTA   0x0f
#define MSR_TERI    0x04
#define MSR_CTS     0x10
#define MSR_DSR     0x20
#define MSR_RI      0x40
#define MSR_DCD     0x80

#define MODEM_POLL_NS (10 * NS_PER_MS)

static bool uart_fifos(const Serial *s)
{
    return s->fcr & FCR_ENABLE;
}

static unsigned uart_rx_trigger(const Serial *s)
{
    static const uint8_t level[4] = { 1, 4, 8, 14 };
    return uart_fifos(s) ? level[s->fcr >> 6] : 1;
}

static unsigned uart_rx_capacity(const Serial *s)
{
    return uart_fifos(s) ? UART_FIFO : 1;
}

static int64_t uart_char_ns(const Serial *s)
{
    unsigned bits = 1 + (s->lcr & 3) + 5 + !!(s->lcr & LCR_PARITY) + (s->lcr & LCR_STOP2 ? 2 : 1);
    return bits * (s->divider ? s->divider : 1) * NS_PER_SEC / s->baudbase;
}

/* Interrupt identification, by the data sheet's priorities. */
static uint8_t uart_identify(const Serial *s)
{
    if ((s->ier & IER_LINE) && (s->lsr & LSR_ERRORS)) {
        return IIR_LINE;
    }
    if ((s->ier & IER_RX) && s->rx_len >= uart_rx_trigger(s)) {
        return IIR_RX;
    }
    if ((s->ier & IER_RX) && s->rx_timeout) {
        return IIR_TIMEOUT;
    }
    if ((s->ier & IER_THR) && s->thr_pending) {
        return IIR_THR;
    }
    if ((s->ier & IER_MODEM) && (s->msr & MSR_DELTA)) {
        return IIR_MODEM;
    }
    return IIR_NONE;
}

static void uart_update_irq(Serial *s)
{
    s->iir = uart_identify(s);
    irq_set(&s->irq, s->iir != IIR_NONE);
}

/* ---- receiver -------------------------------------------------------------------------- */

/* The error bits of the character on top show in LSR; bit 7 tells of any in the FIFO. */
static void uart_update_lsr_rx(Serial *s)
{
    s->lsr &= ~(LSR_DR | LSR_FIFO_ERR);
    if (s->rx_len) {
        s->lsr |= LSR_DR;
    }
    for (unsigned i = 0; uart_fifos(s) && i < s->rx_len; i++) {
        if (s->rx[(s->rx_head + i) % UART_FIFO] >> 8) {
            s->lsr |= LSR_FIFO_ERR;
        }
    }
}

static void uart_restart_timeout(Serial *s)
{
    s->rx_timeout = false;
    if (uart_fifos(s) && s->rx_len) {
        timer_mod(&s->rx_timer, vclock_ns() + 4 * uart_char_ns(s));
    } else {
        timer_del(&s->rx_timer);
    }
}

static void uart_rx_put(Serial *s, uint8_t ch, uint8_t errors)
{
    if (s->rx_len == uart_rx_capacity(s)) {
        s->lsr |= LSR_OE;
        if (!uart_fifos(s)) {
            s->rx[s->rx_head] = ch | errors << 8;   /* RBR is overwritten, a FIFO is not */
        }
    } else {
        s->rx[(s->rx_head + s->rx_len) % UART_FIFO] = ch | errors << 8;
        s->rx_len++;
    }
    if (s->rx_len == 1) {
        s->lsr |= errors;                           /* it is on top */
    }
    uart_update_lsr_rx(s);
    uart_restart_timeout(s);
}

static uint8_t uart_rx_get(Serial *s)
{
    uint8_t ch = s->rx[s->rx_head];

    if (!s->rx_len) {
        return ch;                                  /* an empty receiver repeats its last */
    }
    s->rx_len--;
    if (uart_fifos(s)) {
        s->rx_head = (s->rx_head + 1) % UART_FIFO;
        if (s->rx_len) {
            s->lsr |= s->rx[s->rx_head] >> 8;
        }
    }
    uart_update_lsr_rx(s);
    uart_restart_timeout(s);
    return ch;
}

static void uart_rx_clear(Serial *s)
{
    s->rx_head = s->rx_len = 0;
    s->lsr &= ~LSR_PER_CHAR;
    uart_update_lsr_rx(s);
    uart_restart_timeout(s);
}

static void uart_rx_timer(void *opaque)
{
    Serial *s = opaque;

    s->rx_timeout = s->rx_len > 0;
    uart_update_irq(s);
}

/* Up to the trigger level at once, so that one interrupt brings as much as it can; beyond it
 * one by one, so that a guest with a high trigger level can still be interrupted in time. */
static int uart_can_read(void *opaque)
{
    Serial *s = opaque;

    if ((s->mcr & MCR_LOOP) || s->rx_len == uart_rx_capacity(s)) {
        return 0;
    }
    return s->rx_len < uart_rx_trigger(s) ? uart_rx_trigger(s) - s->rx_len : 1;
}

static void uart_read_chars(void *opaque, const uint8_t *buf, int len)
{
    Serial *s = opaque;

    for (int i = 0; i < len; i++) {
        uart_rx_put(s, buf[i], 0);
    }
    uart_update_irq(s);
}

static void uart_event(void *opaque, CharEvent e)
{
    Serial *s = opaque;

    if (e == CHAR_BREAK && !(s->mcr & MCR_LOOP)) {
        uart_rx_put(s, 0, LSR_BI);
        uart_update_irq(s);
    }
}

/* ---- transmitter ----------------------------------------------------------------------- */

static void uart_update_lsr_tx(Serial *s)
{
    s->lsr &= ~(LSR_THRE | LSR_TEMT);
    if (!s->tx_len) {
        s->lsr |= LSR_THRE | (s->tsr_full ? 0 : LSR_TEMT);
    }
}

/* Send what can be sent.  Each round takes one byte out of at most 17. */
static void uart_pump(Serial *s)
{
    while (s->tsr_full || s->tx_len) {
        if (!s->tsr_full) {
            s->tsr = s->tx[s->tx_head];
            s->tx_head = (s->tx_head + 1) % UART_FIFO;
            s->tsr_full = true;
            if (--s->tx_len == 0) {
                s->thr_pending = true;
            }
        }
        if (s->mcr & MCR_LOOP) {
            uart_rx_put(s, s->tsr, 0);
        } else if (char_write(s->front, &s->tsr, 1) != 1) {
            break;              /* uart_writable comes later */
        }
        s->tsr_full = false;
    }
    uart_update_lsr_tx(s);
    uart_update_irq(s);
}

static void uart_writable(void *opaque)
{
    uart_pump(opaque);
}

static void uart_write_thr(Serial *s, uint8_t val)
{
    unsigned room = uart_fifos(s) ? UART_FIFO : 1;

    if (s->tx_len == room) {
        s->tx_len--;            /* overrun: the last one is overwritten */
    }
    s->tx[(s->tx_head + s->tx_len) % UART_FIFO] = val;
    s->tx_len++;
    s->thr_pending = false;
    uart_update_lsr_tx(s);
    uart_update_irq(s);
    uart_pump(s);
}

static void uart_tx_clear(Serial *s)
{
    s->tx_head = s->tx_len = 0;
    s->thr_pending = true;
    uart_update_lsr_tx(s);
}

/* ---- modem lines ----------------------------------------------------------------------- */

/* Inputs as MSR shows them: from the connector, or in loopback from our own outputs. */
static uint8_t uart_modem_inputs(const Serial *s)
{
    if (!(s->mcr & MCR_LOOP)) {
        return s->lines;
    }
    return (s->mcr & MCR_RTS ? MSR_CTS : 0) | (s->mcr & MCR_DTR ? MSR_DSR : 0)
         | (s->mcr & MCR_OUT1 ? MSR_RI : 0) | (s->mcr & MCR_OUT2 ? MSR_DCD : 0);
}

static void uart_update_modem(Serial *s)
{
    uint8_t in = uart_modem_inputs(s), changed = (in ^ s->msr) >> 4;

    if (in & MSR_RI) {
        changed &= ~MSR_TERI;   /* ring counts when it ends */
    }
    s->msr = in | (s->msr & MSR_DELTA) | changed;
}

static void uart_poll_lines(Serial *s)
{
    int real;

    if (char_get_modem(s->front, &real)) {
        s->lines = (real & CHAR_TIOCM_CTS ? MSR_CTS : 0) | (real & CHAR_TIOCM_DSR ? MSR_DSR : 0)
                 | (real & CHAR_TIOCM_RI ? MSR_RI : 0) | (real & CHAR_TIOCM_CAR ? MSR_DCD : 0);
        if (s->ier & IER_MODEM) {
            timer_mod(&s->modem_timer, vclock_ns() + MODEM_POLL_NS);
        }
        uart_update_modem(s);
    }
}

static void uart_modem_timer(void *opaque)
{
    Serial *s = opaque;

    uart_poll_lines(s);
    uart_update_irq(s);
}

/* ---- line parameters ------------------------------------------------------------------- */

static void uart_set_line(Serial *s)
{
    CharSerialParams p = {
        .data_bits = (s->lcr & 3) + 5,
        .stop_bits = s->lcr & LCR_STOP2 ? 2 : 1,
        .parity = !(s->lcr & LCR_PARITY) ? 'N' : s->lcr & LCR_EVEN ? 'E' : 'O',
    };

    if (s->divider) {
        p.speed = s->baudbase / s->divider;
        char_set_serial(s->front, &p);
    }
}

/* ---- registers ------------------------------------------------------------------------- */

static void uart_write_ier(Serial *s, uint8_t val)
{
    uint8_t on = val & ~s->ier;

    s->ier = val & 0x0f;
    /* Enabling it with the register empty interrupts, even if that was acknowledged before */
    if ((on & IER_THR) && (s->lsr & LSR_THRE)) {
        s->thr_pending = true;
    }
    if (on & IER_MODEM) {
        uart_poll_lines(s);
    } else if (!(s->ier & IER_MODEM)) {
        timer_del(&s->modem_timer);
    }
    uart_update_irq(s);
}

static void uart_write_fcr(Serial *s, uint8_t val)
{
    if ((val ^ s->fcr) & FCR_ENABLE) {
        val |= FCR_RX_CLR | FCR_TX_CLR;     /* changing the mode empties both */
    }
    s->fcr = val & FCR_ENABLE ? val & (IIR_FIFO | FCR_DMA | FCR_ENABLE) : 0;
    if (val & FCR_RX_CLR) {
        uart_rx_clear(s);
    }
    if (val & FCR_TX_CLR) {
        uart_tx_clear(s);
    }
    uart_update_irq(s);
    char_accept_input(s->front);
}

static void uart_write_lcr(Serial *s, uint8_t val)
{
    uint8_t changed = val ^ s->lcr;

    s->lcr = val;
    if (changed & ~(LCR_DLAB | LCR_BREAK)) {
        uart_set_line(s);
    }
    if (changed & LCR_BREAK) {
        char_set_break(s->front, val & LCR_BREAK);
    }
}

static void uart_write_mcr(Serial *s, uint8_t val)
{
    uint8_t old = s->mcr;

    s->mcr = val & 0x1f;
    if (!(s->mcr & MCR_LOOP) && s->mcr != old) {
        char_set_modem(s->front, (val & MCR_DTR ? CHAR_TIOCM_DTR : 0)
                                 | (val & MCR_RTS ? CHAR_TIOCM_RTS : 0));
    }
    uart_update_modem(s);
    uart_update_irq(s);
    if (old & ~s->mcr & MCR_LOOP) {
        uart_pump(s);
        char_accept_input(s->front);
    }
}

static void uart_write_divider(Serial *s, uint16_t val)
{
    s->divider = val;
    uart_set_line(s);
}

static void uart_write(void *opaque, hwaddr addr, uint64_t val, unsigned size)
{
    Serial *s = opaque;
    bool dlab = s->lcr & LCR_DLAB;

    val &= 0xff;
    switch (addr) {
    case UART_THR:
        if (dlab) {
            uart_write_divider(s, (s->divider & 0xff00) | val);
        } else {
            uart_write_thr(s, val);
        }
        break;
    case UART_IER:
        if (dlab) {
            uart_write_divider(s, (s->divider & 0xff) | val << 8);
        } else {
            uart_write_ier(s, val);
        }
        break;
    case UART_FCR:
        uart_write_fcr(s, val);
        break;
    case UART_LCR:
        uart_write_lcr(s, val);
        break;
    case UART_MCR:
        uart_write_mcr(s, val);
        break;
    case UART_SCR:
        s->scr = val;
        break;
    default:                    /* LSR and MSR: factory tests only */
        break;
    }
}

static uint8_t uart_read_rbr(Serial *s)
{
    uint8_t val = uart_rx_get(s);

    uart_update_irq(s);
    if (!(s->mcr & MCR_LOOP)) {
        char_accept_input(s->front);
    }
    return val;
}

/* The only acknowledge of the transmitter interrupt beside a write to THR. */
static uint8_t uart_read_iir(Serial *s)
{
    uint8_t val = s->iir | (uart_fifos(s) ? IIR_FIFO : 0);

    if (s->iir == IIR_THR) {
        s->thr_pending = false;
        uart_update_irq(s);
    }
    return val;
}

static uint8_t uart_read_lsr(Serial *s)
{
    uint8_t val = s->lsr;

    if (val & LSR_ERRORS) {
        s->lsr &= ~LSR_ERRORS;
        if (s->rx_len) {
            s->rx[s->rx_head] &= 0xff;      /* told once */
        }
        uart_update_lsr_rx(s);
        uart_update_irq(s);
    }
    return val;
}

static uint8_t uart_read_msr(Serial *s)
{
    uint8_t val;

    if (!(s->mcr & MCR_LOOP)) {
        uart_poll_lines(s);
    }
    val = s->msr;
    if (val & MSR_DELTA) {
        s->msr &= ~MSR_DELTA;
        uart_update_irq(s);
    }
    return val;
}

static uint64_t uart_read(void *opaque, hwaddr addr, unsigned size)
{
    Serial *s = opaque;
    bool dlab = s->lcr & LCR_DLAB;

    switch (addr) {
    case UART_RBR:
        return dlab ? s->divider & 0xff : uart_read_rbr(s);
    case UART_IER:
        return dlab ? s->divider >> 8 : s->ier;
    case UART_IIR:
        return uart_read_iir(s);
    case UART_LCR:
        return s->lcr;
    case UART_MCR:
        return s->mcr;
    case UART_LSR:
        return uart_read_lsr(s);
    case UART_MSR:
        return uart_read_msr(s);
    default:
        return s->scr;
    }
}

static const RegionOps uart_ops = {
    .read = uart_read, .write = uart_write, .min = 1, .max = 1,
};

static const CharHandlers uart_handlers = {
    .can_read = uart_can_read, .read = uart_read_chars, .event = uart_event,
    .writable = uart_writable,
};

bool serial_init(Serial *s, const char *who, Error **err)
{
    timer_init(&s->rx_timer, ORRERY_CLOCK_VIRTUAL, uart_rx_timer, s);
    timer_init(&s->modem_timer, ORRERY_CLOCK_VIRTUAL, uart_modem_timer, s);
    if (s->chr) {
        s->front = char_attach(s->chr, &uart_handlers, s, err);
        if (!s->front) {
            return false;
        }
    }
    region_init_io(&s->io, who, 8, &uart_ops, s);
    return true;
}

/* Data sheet, table "Master reset"; the divider and SCR are undefined there. */
void serial_reset(Serial *s)
{
    s->ier = s->fcr = s->lcr = s->mcr = s->scr = 0;
    s->divider = 12;
    s->rx_head = s->rx_len = s->tx_head = s->tx_len = 0;
    memset(s->rx, 0, sizeof(s->rx));
    memset(s->tx, 0, sizeof(s->tx));
    s->tsr = 0;
    s->tsr_full = s->thr_pending = s->rx_timeout = false;
    s->lsr = LSR_THRE | LSR_TEMT;
    s->lines = MSR_DCD | MSR_DSR | MSR_CTS;     /* what nobody drives is up */
    s->msr = s->lines;
    timer_del(&s->rx_timer);
    timer_del(&s->modem_timer);
    uart_set_line(s);
    char_set_break(s->front, false);
    uart_update_irq(s);
}

void serial_exit(Serial *s)
{
    timer_del(&s->rx_timer);
    timer_del(&s->modem_timer);
    if (s->front) {
        char_detach(s->front);
    }
    region_destroy(&s->io);
}

static bool serial_post_load(void *opaque, int version, Error **err)
{
    Serial *s = opaque;

    if (s->rx_head >= UART_FIFO || s->rx_len > uart_rx_capacity(s) || s->tx_head >= UART_FIFO
        || s->tx_len > UART_FIFO) {
        return fail(err, "serial: impossible FIFO position");
    }
    uart_set_line(s);
    uart_pump(s);
    char_accept_input(s->front);
    return true;
}

static const VMField serial_fields[] = {
    VM_UINT(Serial, ier), VM_UINT(Serial, iir), VM_UINT(Serial, fcr), VM_UINT(Serial, lcr),
    VM_UINT(Serial, mcr), VM_UINT(Serial, lsr), VM_UINT(Serial, msr), VM_UINT(Serial, scr),
    VM_UINT(Serial, divider), VM_UINT(Serial, lines),
    VM_UINTS(Serial, rx), VM_UINT(Serial, rx_head), VM_UINT(Serial, rx_len),
    VM_BUFFER(Serial, tx), VM_UINT(Serial, tx_head), VM_UINT(Serial, tx_len),
    VM_UINT(Serial, tsr), VM_BOOL(Serial, tsr_full), VM_BOOL(Serial, thr_pending),
    VM_BOOL(Serial, rx_timeout), VM_TIMER(Serial, rx_timer), VM_TIMER(Serial, modem_timer),
    VM_DONE
};
const VMState vm_serial = {
    .name = "serial", .post_load = serial_post_load, .fields = serial_fields,
};
