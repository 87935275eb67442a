/* SPDX-License-Identifier: MIT */
/*
 * USB as host controllers, hubs and devices see it.  A controller offers a bus of type "usb-bus"
 * and registers its root ports; a hub registers its own on the same bus.  A device sits in one
 * port and answers one transaction at a time: at once, with data, NAK or STALL.
 *
 * Sources: USB 1.1 and 2.0, chapters 5, 8, 9 (devices) and 11 (hubs).  All under the big lock.
 * Not modelled: isochronous pipes, data toggles (nothing is ever lost on the way), high speed.
 */
#ifndef HW_USB_USB_H
#define HW_USB_USB_H

#include "hw/core/device.h"

#define USB_PATH_MAX    24              /* "2.8.8.8.8", with its NUL; see USB_TIERS_MAX */
#define USB_TIERS_MAX   5               /* hubs between a controller and a device (4.1.1) */
#define USB_CONTROL_MAX 1024u           /* bytes of a control transfer's data stage */

/* Packet identifiers (8.3.1) */
enum { USB_PID_SETUP = 0x2d, USB_PID_IN = 0x69, USB_PID_OUT = 0xe1 };

typedef enum { USB_SPEED_LOW, USB_SPEED_FULL } USBSpeed;

typedef enum {
    USB_ACK,                            /* data moved, USBPacket.actual bytes of it */
    USB_NAK,                            /* nothing to tell now */
    USB_STALL,
    USB_BABBLE,                         /* the device has more to tell than there is room for */
    USB_SILENT,                         /* nobody answers */
} USBResult;

/* One transaction. */
typedef struct USBPacket {
    uint8_t pid, ep;                    /* USB_PID_*; endpoint number 0..15 */
    uint8_t *data;                      /* the controller's: len bytes to send, or of room */
    uint32_t len, actual;
} USBPacket;

/* Requests (9.3): bmRequestType << 8 | bRequest, for switches. */
#define USB_REQ(type, request) ((type) << 8 | (request))
enum { USB_DIR_IN = 0x80, USB_TYPE_CLASS = 0x20, USB_TO_INTERFACE = 1, USB_TO_ENDPOINT = 2,
       USB_TO_OTHER = 3 };
enum { USB_GET_STATUS = 0, USB_CLEAR_FEATURE = 1, USB_SET_FEATURE = 3, USB_SET_ADDRESS = 5,
       USB_GET_DESCRIPTOR = 6, USB_GET_CONFIGURATION = 8, USB_SET_CONFIGURATION = 9,
       USB_GET_INTERFACE = 10, USB_SET_INTERFACE = 11 };
enum { USB_DT_DEVICE = 1, USB_DT_CONFIG = 2, USB_DT_STRING = 3, USB_DT_INTERFACE = 4,
       USB_DT_ENDPOINT = 5 };

typedef struct USBSetup {
    uint16_t request;                   /* USB_REQ */
    uint16_t value, index, length;
} USBSetup;

/* What stands in descriptors; numbers of strings are indexes into strings[]. */
typedef struct USBDesc {
    uint16_t version, vendor, product, release;     /* BCD: 0x0200 is 2.0 */
    uint8_t class_id, max_packet0;
    uint8_t manufacturer, name, serial;             /* strings */
    const uint8_t *config;                          /* with its interfaces and endpoints */
    uint16_t config_len;
    const char *const *strings;                     /* [0] is not used; NULL at the end */
} USBDesc;

struct USBDevice;
struct USBPort;

/* The type-specific half of a device; DeviceType.info. */
typedef struct USBInfo {
    const USBDesc *desc;
    USBSpeed speed;
    bool hub;
    /* A request that chapter 9 leaves to the device.  IN: write up to USB_CONTROL_MAX bytes to
     * buf, return how many.  OUT: buf has s->length bytes; return 0.  -1: STALL. */
    int (*control)(struct USBDevice *d, const USBSetup *s, uint8_t *buf);
    /* A transaction with an endpoint other than 0 of a configured device. */
    USBResult (*data)(struct USBDevice *d, USBPacket *p);
    void (*reset)(struct USBDevice *d);             /* bus reset, and power-on */
    void (*configured)(struct USBDevice *d);        /* configuration chosen, or taken away */
} USBInfo;

/* Stages of a control transfer */
typedef enum { USB_STAGE_IDLE, USB_STAGE_DATA_IN, USB_STAGE_DATA_OUT, USB_STAGE_STATUS_IN,
               USB_STAGE_STATUS_OUT, USB_STAGE_STALLED, USB_STAGES } USBStage;

typedef struct USBDevice {
    Device dev;                         /* always first */
    struct USBPort *port;               /* where it sits */
    char *port_prop;                    /* property "port": NULL or "" = the first free one */
    char *serial_prop;                  /* property "serial" */
    char *serial;                       /* what the guest reads */
    uint8_t version;                    /* 1 or 2: in place of USBDesc.version; 0: not */
    /* state */
    uint8_t address, new_address;       /* new_address: after the status stage */
    uint8_t config;                     /* 0: not configured */
    bool remote_wakeup;                 /* feature set by the guest */
    uint16_t halted_in, halted_out;     /* bit n: endpoint n */
    uint8_t stage;                      /* USBStage */
    uint8_t setup[8];
    uint32_t length, done;              /* of the data stage; done <= length <= USB_CONTROL_MAX */
    uint8_t buf[USB_CONTROL_MAX];
} USBDevice;

/* A port, in its controller's or hub's struct. */
typedef struct USBPort {
    USBDevice *device;                  /* NULL: nothing plugged in */
    struct USBBus *bus;
    Device *owner;                      /* controller or hub */
    unsigned index;                     /* from 0 */
    char path[USB_PATH_MAX];            /* "2", "2.1" */
    void (*attached)(struct USBPort *p);
    void (*detached)(struct USBPort *p);
    /* The device has data; resume: it is asked to wake a suspended bus, too. */
    void (*notify)(struct USBPort *p, bool resume);
} USBPort;

typedef struct USBBus {
    Bus bus;                            /* always first */
    GPtrArray *ports;                   /* of USBPort*, all of them */
} USBBus;

extern const BusType usb_bus_type;
extern const VMState vm_usb_device;     /* embed with VM_STRUCT(T, usb, vm_usb_device) */

/* ---- for controllers and hubs ------------------------------------------------------------- */

/* Called "ID.0" after its owner, or "usb-bus.N". */
void usb_bus_init(USBBus *b, Device *owner);
/* After the bus's destruction by hw/core: the list of ports goes. */
void usb_bus_exit(USBBus *b);
/* bus, owner, index and the three hooks are set; parent: the hub's own port, NULL for a root. */
void usb_port_register(USBPort *p, const USBPort *parent);
/* A device that is there is detached and destroyed. */
void usb_port_unregister(USBPort *p);
/* Whoever answers to an address at or below this port, which is enabled; NULL: nobody. */
USBDevice *usb_find(USBPort *p, uint8_t address);
/* Below a hub: its enabled ports' devices. */
USBDevice *usb_hub_find(USBDevice *hub, uint8_t address);
/* A reset on the wire (7.1.7.5). */
void usb_reset_device(USBDevice *d);
/* p->len is at most USB_CONTROL_MAX + 256, whatever the guest asked for. */
USBResult usb_transact(USBDevice *d, USBPacket *p);
/* "1.5", "12" Mb/s */
const char *usb_speed_name(const USBDevice *d);
/* The monitor's `info usb`, in QEMU's words. */
void usb_info(GString *out);

/* ---- for devices ---------------------------------------------------------------------------- */

/* There is something for the host to fetch. */
void usb_notify(USBDevice *d);
/* Answer an IN with a report: as much as there is room for, babble if that is too little. */
USBResult usb_reply(USBPacket *p, const void *data, uint32_t len);

#define USB_LE16(v) (uint8_t)(v), (uint8_t)((v) >> 8)

#endif
