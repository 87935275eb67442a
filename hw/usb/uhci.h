/* SPDX-License-Identifier: MIT */
/*
 * UHCI host controller: what its registers (uhci.c) and its schedule (uhci-sched.c) share.
 *
 * Source: Intel, Universal Host Controller Interface (UHCI) Design Guide, revision 1.1.
 */
#ifndef HW_USB_UHCI_H
#define HW_USB_UHCI_H

#include "hw/pci/pci.h"
#include "hw/usb/usb.h"
#include "util/timer.h"

#define UHCI_PORTS 2

/* USBCMD (2.1.1) */
enum { CMD_RUN = 0x01, CMD_HCRESET = 0x02, CMD_GRESET = 0x04, CMD_EGSM = 0x08, CMD_FGR = 0x10 };
/* USBSTS (2.1.2) */
enum { STS_INT = 0x01, STS_ERROR = 0x02, STS_RESUME = 0x04, STS_SYSTEM = 0x08, STS_PROCESS = 0x10,
       STS_HALTED = 0x20 };
/* USBINTR (2.1.3) */
enum { INTR_ERROR = 0x01, INTR_RESUME = 0x02, INTR_COMPLETE = 0x04, INTR_SHORT = 0x08 };
/* Why STS_INT is set, for those two enables */
enum { CAUSE_COMPLETE = 0x01, CAUSE_SHORT = 0x02 };
/* PORTSC (2.1.7) */
enum { PORT_CONNECTED = 0x0001, PORT_CONNECT_CHANGE = 0x0002, PORT_ENABLED = 0x0004,
       PORT_ENABLE_CHANGE = 0x0008, PORT_RESUME = 0x0040, PORT_ALWAYS = 0x0080,
       PORT_LOW_SPEED = 0x0100, PORT_RESET = 0x0200, PORT_SUSPEND = 0x1000 };

typedef struct UHCIPort {
    USBPort port;                       /* always first */
    uint16_t status;                    /* PORTSC */
} UHCIPort;

typedef struct UHCI {
    PCIDevice pci;                      /* always first */
    USBBus bus;
    Region io;                          /* BAR 4 */
    UHCIPort ports[UHCI_PORTS];
    Timer timer;                        /* end of a frame, or of a few */
    uint16_t cmd, status, intr, frame;  /* frame: 11 bits */
    uint8_t cause, sof;                 /* CAUSE_*; SOFMOD */
    uint32_t base;                      /* FLBASEADD */
    int64_t frame_start;                /* virtual clock, ns: when the current frame began */
    uint32_t awake;                     /* frames until the schedule counts as quiet */
    bool walking;                       /* within a frame */
    bool moved;                         /* the walk changed something the guest waits for */
    uint32_t bandwidth, max_frames;     /* properties */
} UHCI;

/* Raise what the frame has found, and let the pin follow. */
void uhci_update_irq(UHCI *s);
/* The controller stops: bits of USBSTS that tell why. */
void uhci_halt(UHCI *s, uint16_t why);
/* Walk the schedule of frame s->frame once. */
void uhci_walk(UHCI *s);

#endif
