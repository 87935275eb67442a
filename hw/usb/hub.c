/* SPDX-License-Identifier: MIT */
/*
 * usb-hub: a full-speed hub with up to eight ports.
 *
 * Source: USB 1.1, chapter 11 (11.15 descriptors, 11.16 requests and port status).  Changes are
 * told on an interrupt pipe, a bit for the hub (never set) and one for each port.
 *
 *     port status, change (16 bits each)
 *         0 connected   1 enabled   2 suspended   3 over-current   4 reset   8 powered
 *
 * Resets and resumes are over at once.  Not modelled: over-current, babble.
 */
#include "hw/usb/usb.h"
#include "util/bits.h"
#include "util/log.h"

#include <string.h>

#define PORTS_MAX   8u

enum { PORT_CONNECTION = 0, PORT_ENABLE = 1, PORT_SUSPEND = 2, PORT_OVER_CURRENT = 3,
       PORT_RESET = 4, PORT_POWER = 8, PORT_LOW_SPEED = 9, C_PORT = 16 /* change bits follow */ };
#define BIT(n) (1u << (n))
#define DT_HUB      0x29

typedef struct HubPort {
    USBPort port;
    uint16_t status, change;
} HubPort;

typedef struct Hub {
    USBDevice usb;                      /* always first */
    uint32_t nports;
    bool port_power;                    /* property: ports can be switched off */
    HubPort ports[PORTS_MAX];
} Hub;

/* ---- ports ---------------------------------------------------------------------------------- */

static void set_change(Hub *h, HubPort *p, unsigned bit)
{
    p->change |= BIT(bit);
    usb_notify(&h->usb);
}

static void connect(HubPort *p)
{
    const USBInfo *info = p->port.device->dev.type->info;

    p->status |= BIT(PORT_CONNECTION);
    if (info->speed == USB_SPEED_LOW) {
        p->status |= BIT(PORT_LOW_SPEED);
    }
}

static void port_attached(USBPort *port)
{
    HubPort *p = (HubPort *)port;

    if (p->status & BIT(PORT_POWER)) {
        connect(p);
        set_change((Hub *)port->owner, p, PORT_CONNECTION);
    }
}

static void port_detached(USBPort *port)
{
    HubPort *p = (HubPort *)port;
    uint16_t old = p->status;

    p->status &= BIT(PORT_POWER);
    if (old & BIT(PORT_ENABLE)) {
        p->change |= BIT(PORT_ENABLE);
    }
    if (old & BIT(PORT_CONNECTION)) {
        set_change((Hub *)port->owner, p, PORT_CONNECTION);
    }
}

/* Data of a device further down are fetched by the controller; a resume goes up port by port. */
static void port_notify(USBPort *port, bool resume)
{
    HubPort *p = (HubPort *)port;
    Hub *h = (Hub *)port->owner;

    if (resume && p->status & BIT(PORT_SUSPEND)) {
        p->status &= ~BIT(PORT_SUSPEND);
        p->change |= BIT(PORT_SUSPEND);
    }
    if (h->usb.port) {
        h->usb.port->notify(h->usb.port, resume);
    }
}

USBDevice *usb_hub_find(USBDevice *hub, uint8_t address)
{
    Hub *h = (Hub *)hub;
    USBDevice *d = NULL;

    for (unsigned i = 0; i < h->nports && !d; i++) {
        if ((h->ports[i].status & (BIT(PORT_ENABLE) | BIT(PORT_SUSPEND))) == BIT(PORT_ENABLE)) {
            d = usb_find(&h->ports[i].port, address);
        }
    }
    return d;
}

/* ---- requests ------------------------------------------------------------------------------- */

static HubPort *indexed(Hub *h, const USBSetup *s)
{
    unsigned n = s->index & 0xff;

    return n >= 1 && n <= h->nports ? &h->ports[n - 1] : NULL;
}

static void port_reset(Hub *h, HubPort *p)
{
    if (!(p->status & BIT(PORT_CONNECTION)) || !p->port.device) {
        return;
    }
    p->status = (p->status & ~BIT(PORT_SUSPEND)) | BIT(PORT_ENABLE);
    usb_reset_device(p->port.device);
    set_change(h, p, PORT_RESET);
}

static void power_on(Hub *h, HubPort *p)
{
    if (!(p->status & BIT(PORT_POWER))) {
        p->status |= BIT(PORT_POWER);
        if (p->port.device) {
            connect(p);
            set_change(h, p, PORT_CONNECTION);
        }
    }
}

static int set_feature(Hub *h, const USBSetup *s)
{
    HubPort *p = indexed(h, s);

    if (!p) {
        return -1;
    }
    switch (s->value) {
    case PORT_SUSPEND:
        p->status |= p->status & BIT(PORT_ENABLE) ? BIT(PORT_SUSPEND) : 0;
        return 0;
    case PORT_RESET:
        port_reset(h, p);
        return 0;
    case PORT_POWER:
        power_on(h, p);
        return 0;
    default:
        return -1;
    }
}

static int clear_feature(Hub *h, const USBSetup *s)
{
    HubPort *p = indexed(h, s);

    if (!p) {
        return -1;
    }
    switch (s->value) {
    case PORT_ENABLE:
        p->status &= ~(BIT(PORT_ENABLE) | BIT(PORT_SUSPEND));
        return 0;
    case PORT_SUSPEND:
        if (p->status & BIT(PORT_SUSPEND)) {
            p->status &= ~BIT(PORT_SUSPEND);
            set_change(h, p, PORT_SUSPEND);
        }
        return 0;
    case PORT_POWER:
        if (h->port_power) {
            p->status = p->change = 0;
        }
        return 0;
    case C_PORT + PORT_CONNECTION:
    case C_PORT + PORT_ENABLE:
    case C_PORT + PORT_SUSPEND:
    case C_PORT + PORT_OVER_CURRENT:
    case C_PORT + PORT_RESET:
        p->change &= ~BIT(s->value - C_PORT);
        return 0;
    default:
        return -1;
    }
}

static int port_status(Hub *h, const USBSetup *s, uint8_t *out)
{
    const HubPort *p = indexed(h, s);

    if (!p) {
        return -1;
    }
    st16_le(out, p->status);
    st16_le(out + 2, p->change);
    return 4;
}

static int hub_descriptor(const Hub *h, uint8_t *out)
{
    unsigned bytes = (h->nports + 1 + 7) / 8;

    out[0] = 7 + 2 * bytes;
    out[1] = DT_HUB;
    out[2] = h->nports;
    /* over-current told port by port; power switched so, or not at all */
    st16_le(out + 3, 0x0008 | (h->port_power ? 1 : 2));
    out[5] = 1;                         /* 2 ms until power is good */
    out[6] = 0;                         /* its own current */
    memset(out + 7, 0, bytes);          /* all devices can be removed */
    memset(out + 7 + bytes, 0xff, bytes);
    return out[0];
}

static int hub_control(USBDevice *d, const USBSetup *s, uint8_t *buf)
{
    enum { CLASS = USB_TYPE_CLASS, PORT = USB_TYPE_CLASS | USB_TO_OTHER };
    Hub *h = (Hub *)d;

    switch (s->request) {
    case USB_REQ(USB_DIR_IN | CLASS, USB_GET_STATUS):
        memset(buf, 0, 4);              /* power is good, no over-current */
        return 4;
    case USB_REQ(USB_DIR_IN | PORT, USB_GET_STATUS):
        return port_status(h, s, buf);
    case USB_REQ(CLASS, USB_CLEAR_FEATURE):
    case USB_REQ(CLASS, USB_SET_FEATURE):
        return s->value <= 1 ? 0 : -1;  /* C_HUB_LOCAL_POWER, C_HUB_OVER_CURRENT */
    case USB_REQ(PORT, USB_CLEAR_FEATURE):
        return clear_feature(h, s);
    case USB_REQ(PORT, USB_SET_FEATURE):
        return set_feature(h, s);
    case USB_REQ(USB_DIR_IN | CLASS, USB_GET_DESCRIPTOR):
        return s->value >> 8 == DT_HUB || !(s->value >> 8) ? hub_descriptor(h, buf) : -1;
    default:
        return -1;
    }
}

static USBResult hub_data(USBDevice *d, USBPacket *p)
{
    Hub *h = (Hub *)d;
    uint8_t out[2];
    unsigned bits = 0;

    for (unsigned i = 0; i < h->nports; i++) {
        bits |= h->ports[i].change ? BIT(i + 1) : 0;
    }
    st16_le(out, bits);
    return bits ? usb_reply(p, out, h->nports < 8 ? 1 : 2) : USB_NAK;
}

/* ---- life ------------------------------------------------------------------------------------- */

static void hub_reset(USBDevice *d)
{
    Hub *h = (Hub *)d;

    for (unsigned i = 0; i < h->nports; i++) {
        HubPort *p = &h->ports[i];
        p->status = h->port_power ? 0 : BIT(PORT_POWER);
        p->change = 0;
        if (p->port.device && p->port.device->dev.realized && !h->port_power) {
            connect(p);
            p->change = BIT(PORT_CONNECTION);
        }
    }
}

static bool hub_realize(Device *dev, Error **err)
{
    Hub *h = (Hub *)dev;

    for (unsigned i = 0; i < h->nports; i++) {
        USBPort *p = &h->ports[i].port;
        p->bus = (USBBus *)dev->bus;
        p->owner = dev;
        p->index = i;
        p->attached = port_attached;
        p->detached = port_detached;
        p->notify = port_notify;
        usb_port_register(p, h->usb.port);
    }
    return true;
}

static void hub_unrealize(Device *dev)
{
    Hub *h = (Hub *)dev;

    for (unsigned i = 0; i < h->nports; i++) {
        usb_port_unregister(&h->ports[i].port);
    }
}

static const char *const hub_strings[] = { "", "QEMU", "QEMU USB Hub", "314159", NULL };

static const uint8_t hub_config[] = {
    9, USB_DT_CONFIG, USB_LE16(25), 1, 1, 0, 0xe0 /* own power, remote wakeup */, 0,
    9, USB_DT_INTERFACE, 0, 0, 1, 9 /* hub */, 0, 0, 0,
    7, USB_DT_ENDPOINT, 0x81, 3 /* interrupt */, USB_LE16(2), 255,
};

static const USBDesc hub_desc = {
    .version = 0x0110, .vendor = 0x0409, .product = 0x55aa, .release = 0x0101, .class_id = 9,
    .max_packet0 = 8, .manufacturer = 1, .name = 2, .serial = 3, .config = hub_config,
    .config_len = sizeof(hub_config), .strings = hub_strings,
};

static const USBInfo hub_info = {
    .desc = &hub_desc, .speed = USB_SPEED_FULL, .hub = true, .control = hub_control,
    .data = hub_data, .reset = hub_reset,
};

static const VMField hub_port_fields[] = {
    VM_UINT(HubPort, status), VM_UINT(HubPort, change), VM_DONE
};
static const VMState vm_hub_port = { .name = "usb-hub-port", .fields = hub_port_fields };

static const VMField hub_fields[] = {
    VM_STRUCT(Hub, usb, vm_usb_device), VM_STRUCTS(Hub, ports, vm_hub_port),
    VM_DONE
};
static const VMState vm_hub = { .name = "usb-hub", .fields = hub_fields };

static const Prop hub_props[] = {
    PROP_UINT_R("ports", Hub, nports, PORTS_MAX, 1, PORTS_MAX, "number of ports"),
    PROP_BOOL("port-power", Hub, port_power, false, "ports can be switched off"),
    PROP_DONE
};

static const DeviceType usb_hub = {
    .name = "usb-hub", .desc = "USB hub", .bus = "usb-bus", .category = "Controller/Bridge/Hub",
    .size = sizeof(Hub), .props = hub_props, .vmstate = &vm_hub, .realize = hub_realize,
    .unrealize = hub_unrealize, .info = &hub_info,
};
DEVICE_TYPE(usb_hub);
