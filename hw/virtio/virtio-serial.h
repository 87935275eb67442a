/* SPDX-License-Identifier: MIT */
/*
 * Virtio console device: the controller "virtio-serial-pci" (virtio-serial.c) and its ports
 * "virtserialport" and "virtconsole" (virtio-port.c).
 *
 * Source: VIRTIO 1.2, section 5.3.  Port 0 has the queues 0 and 1, the control messages go
 * through 2 and 3, port n > 0 has 2n + 2 and 2n + 3.  [bql]
 */
#ifndef HW_VIRTIO_VIRTIO_SERIAL_H
#define HW_VIRTIO_VIRTIO_SERIAL_H

#include "chardev/char.h"
#include "hw/virtio/virtio-pci.h"
#include "util/timer.h"

#define SERIAL_PORTS_MAX    511         /* as many as there are queues */
#define SERIAL_BUFFERED     4096        /* bytes of the host that wait for the guest's buffers */

typedef struct VirtIOSerial {
    VirtIOPCI proxy;                    /* always first */
    VirtIODevice vdev;
    Bus bus;
    uint32_t max_ports;
    bool emergency_write;
    bool driver_ready;                  /* it takes control messages */
    struct VirtIOPort *ports[SERIAL_PORTS_MAX];
    uint64_t removed[(SERIAL_PORTS_MAX + 63) / 64];     /* ports whose end the driver must hear of */
} VirtIOSerial;

/* DeviceType.info of ports that are terminals */
#define VIRTIO_PORT_IS_CONSOLE "console"

/* Control messages that a port owes the driver, bits, sent in this order */
enum { PORT_OWES_ADD = 1, PORT_OWES_CONSOLE = 2, PORT_OWES_NAME = 4, PORT_OWES_OPEN = 8 };

typedef struct VirtIOPort {
    Device dev;                         /* always first */
    VirtIOSerial *serial;
    CharDev *chr;
    CharFront *front;
    char *name;
    uint32_t nr;                        /* property; UINT32_MAX: the first free one */
    bool console;
    bool driver_open;                   /* the guest has it open, or it needs no opening */
    bool host_open;                     /* as the driver was told */
    uint8_t owes;
    uint8_t *rest;                      /* from the host, for buffers the guest has yet to give */
    uint32_t rest_len;
    VirtQElement *out;                  /* being written to the host, or NULL */
    uint32_t out_at;                    /* ... so much of it was taken */
    Timer resume;
    uint8_t *saved;                     /* the same in saved state */
    uint32_t saved_len;
} VirtIOPort;

/* The port's queues; NULL where the driver does not know of the port. */
VirtQueue *virtio_port_queue(VirtIOPort *p, bool to_guest);
/* Sends what ports owe, as far as the driver has buffers for it. */
void virtio_serial_send_control(VirtIOSerial *s);
bool virtio_serial_multiport(const VirtIOSerial *s);

/* virtio-port.c, for the controller */
void virtio_port_input(VirtIOPort *p);          /* the guest has given buffers for input */
void virtio_port_output(VirtIOPort *p);         /* ... with output */
void virtio_port_driver_ready(VirtIOPort *p, bool ok);
void virtio_port_driver_open(VirtIOPort *p, bool open);
void virtio_port_reset(VirtIOPort *p);
void virtio_port_emergency(VirtIOPort *p, uint8_t byte);
void virtio_port_drop(VirtIOPort *p, const VirtQueue *vq);      /* NULL: all queues */

#endif
