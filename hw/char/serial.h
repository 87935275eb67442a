/* SPDX-License-Identifier: MIT */
/*
 * A 16550A UART without its bus: isa-serial embeds one, a PCI card may embed several.  [bql]
 */
#ifndef HW_CHAR_SERIAL_H
#define HW_CHAR_SERIAL_H

#include "chardev/char.h"
#include "hw/core/irq.h"
#include "memory/memory.h"
#include "migration/vmstate.h"
#include "util/timer.h"

#define UART_FIFO 16

typedef struct Serial {
    uint8_t ier, iir, fcr, lcr, mcr, lsr, msr, scr;
    uint16_t divider;
    uint8_t lines;              /* modem inputs as on the connector (MSR bits 7..4) */
    uint16_t rx[UART_FIFO];     /* character, and its LSR error bits << 8 */
    uint8_t rx_head, rx_len;    /* without FIFOs only one entry is used */
    uint8_t tx[UART_FIFO];
    uint8_t tx_head, tx_len;
    uint8_t tsr;                /* shift register: a byte the back-end could not take yet */
    bool tsr_full;
    bool thr_pending;           /* "transmitter empty" interrupt not yet seen */
    bool rx_timeout;            /* characters lie in the FIFO for four character times */
    Timer rx_timer;
    Timer modem_timer;          /* polls a real line's inputs */
    uint32_t baudbase;          /* clock / 16 */
    CharDev *chr;
    CharFront *front;
    IRQ irq;
    Region io;                  /* 8 registers, to be mapped by the owner */
} Serial;

/* Set chr, irq and baudbase before.  who names it in errors. */
bool serial_init(Serial *s, const char *who, Error **err);
void serial_reset(Serial *s);
void serial_exit(Serial *s);
extern const VMState vm_serial;

#endif
