/* SPDX-License-Identifier: MIT */
/*
 * What all USB devices have in common: control transfers on endpoint 0, standard requests,
 * descriptors, reset.
 *
 * Sources: USB 2.0, 8.5.3 (control transfers), 9.3 (setup data), 9.4 (standard requests), 9.6
 * (descriptors).
 */
#include "hw/usb/usb.h"
#include "hw/core/sysctl.h"
#include "util/bits.h"
#include "util/log.h"

#include <string.h>

enum { FEATURE_ENDPOINT_HALT = 0, FEATURE_REMOTE_WAKEUP = 1 };
#define CONFIG_SELF_POWERED 0x40        /* in bmAttributes, byte 7 of a configuration */
#define LANG_ENGLISH_US     0x0409

static const USBInfo *info_of(const USBDevice *d)
{
    return d->dev.type->info;
}

/* ---- descriptors ---------------------------------------------------------------------------- */

static int device_descriptor(const USBDevice *d, uint8_t *out)
{
    const USBDesc *c = info_of(d)->desc;
    uint16_t version = d->version ? d->version << 8 : c->version;
    const uint8_t bytes[18] = {
        18, USB_DT_DEVICE, USB_LE16(version), c->class_id, 0, 0, c->max_packet0,
        USB_LE16(c->vendor), USB_LE16(c->product), USB_LE16(c->release),
        c->manufacturer, c->name, c->serial, 1,
    };

    memcpy(out, bytes, sizeof(bytes));
    return sizeof(bytes);
}

static int string_descriptor(const USBDevice *d, unsigned n, uint8_t *out)
{
    const USBDesc *c = info_of(d)->desc;
    const char *text = NULL;
    unsigned len = 2;

    if (n == 0) {
        st16_le(out + 2, LANG_ENGLISH_US);
        len = 4;
    } else {
        for (unsigned i = 1; c->strings[i] && !text; i++) {
            text = i == n ? c->strings[i] : NULL;
        }
        if (!text) {
            return -1;
        }
        text = n == c->serial ? d->serial : text;
        for (; *text && len + 2 <= 254; text++, len += 2) {
            st16_le(out + len, (uint8_t)*text);
        }
    }
    out[0] = len;
    out[1] = USB_DT_STRING;
    return len;
}

static int get_descriptor(const USBDevice *d, const USBSetup *s, uint8_t *out)
{
    const USBDesc *c = info_of(d)->desc;
    unsigned n = s->value & 0xff;

    switch (s->value >> 8) {
    case USB_DT_DEVICE:
        return n ? -1 : device_descriptor(d, out);
    case USB_DT_CONFIG:
        if (n) {
            return -1;
        }
        memcpy(out, c->config, c->config_len);
        return c->config_len;
    case USB_DT_STRING:
        return string_descriptor(d, n, out);
    default:                            /* a device qualifier, too: it has one speed only */
        return -1;
    }
}

/* ---- standard requests ------------------------------------------------------------------------ */

static bool has_endpoint(const USBDevice *d, unsigned address)
{
    const USBDesc *c = info_of(d)->desc;

    for (unsigned at = 0; at + 2 < c->config_len; at += c->config[at]) {
        if (c->config[at + 1] == USB_DT_ENDPOINT && c->config[at + 2] == address) {
            return true;
        }
    }
    return !(address & 0x7f);
}

static int feature_endpoint(USBDevice *d, const USBSetup *s, bool set)
{
    uint16_t *halted = s->index & USB_DIR_IN ? &d->halted_in : &d->halted_out;
    uint16_t bit = 1 << (s->index & 15);

    if (s->value != FEATURE_ENDPOINT_HALT || s->index & 0xff70 || !has_endpoint(d, s->index)) {
        return -1;
    }
    if (s->index & 15) {
        *halted = set ? *halted | bit : *halted & ~bit;
    }
    return 0;
}

static int feature_device(USBDevice *d, const USBSetup *s, bool set)
{
    if (s->value != FEATURE_REMOTE_WAKEUP) {
        return -1;
    }
    d->remote_wakeup = set;
    return 0;
}

static int status_endpoint(const USBDevice *d, const USBSetup *s, uint8_t *out)
{
    uint16_t halted = s->index & USB_DIR_IN ? d->halted_in : d->halted_out;

    if (s->index & 0xff70 || !has_endpoint(d, s->index)) {
        return -1;
    }
    st16_le(out, halted >> (s->index & 15) & 1);
    return 2;
}

static int set_configuration(USBDevice *d, const USBSetup *s)
{
    unsigned n = s->value & 0xff;

    if (n && n != info_of(d)->desc->config[5]) {
        return -1;
    }
    d->config = n;
    d->halted_in = d->halted_out = 0;
    if (info_of(d)->configured) {
        info_of(d)->configured(d);
    }
    return 0;
}

static int request(USBDevice *d, const USBSetup *s, uint8_t *buf)
{
    const USBInfo *info = info_of(d);

    switch (s->request) {
    case USB_REQ(USB_DIR_IN, USB_GET_STATUS):
        st16_le(buf, (info->desc->config[7] & CONFIG_SELF_POWERED ? 1 : 0) | d->remote_wakeup << 1);
        return 2;
    case USB_REQ(USB_DIR_IN | USB_TO_INTERFACE, USB_GET_STATUS):
        st16_le(buf, 0);
        return 2;
    case USB_REQ(USB_DIR_IN | USB_TO_ENDPOINT, USB_GET_STATUS):
        return status_endpoint(d, s, buf);
    case USB_REQ(0, USB_CLEAR_FEATURE):
    case USB_REQ(0, USB_SET_FEATURE):
        return feature_device(d, s, (s->request & 0xff) == USB_SET_FEATURE);
    case USB_REQ(USB_TO_ENDPOINT, USB_CLEAR_FEATURE):
    case USB_REQ(USB_TO_ENDPOINT, USB_SET_FEATURE):
        return feature_endpoint(d, s, (s->request & 0xff) == USB_SET_FEATURE);
    case USB_REQ(0, USB_SET_ADDRESS):
        if (s->value > 127) {
            return -1;
        }
        d->new_address = s->value;
        return 0;
    case USB_REQ(USB_DIR_IN, USB_GET_DESCRIPTOR):
        return get_descriptor(d, s, buf);
    case USB_REQ(USB_DIR_IN, USB_GET_CONFIGURATION):
        buf[0] = d->config;
        return 1;
    case USB_REQ(0, USB_SET_CONFIGURATION):
        return set_configuration(d, s);
    case USB_REQ(USB_DIR_IN | USB_TO_INTERFACE, USB_GET_INTERFACE):
        buf[0] = 0;
        return d->config && !s->index ? 1 : -1;
    case USB_REQ(USB_TO_INTERFACE, USB_SET_INTERFACE):
        return d->config && !s->index && !s->value ? 0 : -1;
    default:
        return info->control ? info->control(d, s, buf) : -1;
    }
}

/* ---- control transfers -------------------------------------------------------------------------- */

static USBSetup parse_setup(const USBDevice *d)
{
    const uint8_t *b = d->setup;

    return (USBSetup) { b[0] << 8 | b[1], ld16_le(b + 2), ld16_le(b + 4), ld16_le(b + 6) };
}

/* Carry the request out; next is the stage after success. */
static bool carry_out(USBDevice *d, USBStage next)
{
    USBSetup s = parse_setup(d);
    int len = request(d, &s, d->buf);

    if (len < 0) {
        LOG_GUEST("%s: request %04x, value %04x, index %04x, length %u is refused",
                  d->dev.type->name, s.request, s.value, s.index, s.length);
        d->stage = USB_STAGE_STALLED;
        return false;
    }
    d->length = MIN((unsigned)len, s.length);
    d->stage = next;
    return true;
}

/* A SETUP is always taken (8.5.3); what it asks for may be refused in the next stage. */
static USBResult stage_setup(USBDevice *d, USBPacket *p)
{
    if (p->len != sizeof(d->setup)) {
        LOG_GUEST("%s: a SETUP of %u bytes", d->dev.type->name, p->len);
        d->stage = USB_STAGE_STALLED;
        return USB_SILENT;
    }
    memcpy(d->setup, p->data, sizeof(d->setup));
    p->actual = p->len;
    d->done = d->length = 0;
    d->new_address = d->address;
    USBSetup s = parse_setup(d);
    if (s.request >> 8 & USB_DIR_IN) {
        memset(d->buf, 0, sizeof(d->buf));
        carry_out(d, s.length ? USB_STAGE_DATA_IN : USB_STAGE_STATUS_IN);
    } else if (!s.length) {
        carry_out(d, USB_STAGE_STATUS_IN);
    } else if (s.length > USB_CONTROL_MAX) {
        LOG_GUEST("%s: %u bytes of control data are too many", d->dev.type->name, s.length);
        d->stage = USB_STAGE_STALLED;
    } else {
        d->length = s.length;
        d->stage = USB_STAGE_DATA_OUT;
    }
    return USB_ACK;
}

static USBResult control_in(USBDevice *d, USBPacket *p)
{
    unsigned packet = info_of(d)->desc->max_packet0;

    switch (d->stage) {
    case USB_STAGE_DATA_IN: {
        uint32_t n = MIN(d->length - d->done, packet);
        if (n > p->len) {
            d->stage = USB_STAGE_STALLED;
            return USB_BABBLE;
        }
        memcpy(p->data, d->buf + d->done, n);
        d->done += n;
        p->actual = n;
        if (n < packet) {               /* a full last one is followed by an empty one */
            d->stage = USB_STAGE_STATUS_OUT;
        }
        return USB_ACK;
    }
    case USB_STAGE_DATA_OUT:            /* ended early: the request lacks its data */
        d->stage = USB_STAGE_STALLED;
        return USB_STALL;
    case USB_STAGE_STATUS_IN:
        p->actual = 0;
        d->address = d->new_address;
        d->stage = USB_STAGE_IDLE;
        return USB_ACK;
    default:
        return USB_STALL;
    }
}

static USBResult control_out(USBDevice *d, USBPacket *p)
{
    switch (d->stage) {
    case USB_STAGE_DATA_OUT: {
        uint32_t n = MIN(p->len, d->length - d->done);
        memcpy(d->buf + d->done, p->data, n);
        d->done += n;
        p->actual = p->len;
        if (d->done < d->length) {
            return USB_ACK;
        }
        return carry_out(d, USB_STAGE_STATUS_IN) ? USB_ACK : USB_STALL;
    }
    case USB_STAGE_DATA_IN:             /* the host has enough */
    case USB_STAGE_STATUS_OUT:
        p->actual = p->len;
        d->stage = USB_STAGE_IDLE;
        return USB_ACK;
    default:
        return USB_STALL;
    }
}

USBResult usb_transact(USBDevice *d, USBPacket *p)
{
    p->actual = 0;
    if (p->ep == 0) {
        return p->pid == USB_PID_SETUP ? stage_setup(d, p)
               : p->pid == USB_PID_IN ? control_in(d, p) : control_out(d, p);
    }
    unsigned address = p->ep | (p->pid == USB_PID_IN ? USB_DIR_IN : 0);
    if (!d->config || p->pid == USB_PID_SETUP || !has_endpoint(d, address)) {
        LOG_GUEST("%s: endpoint %02x does not exist, or not yet", d->dev.type->name, address);
        return USB_SILENT;
    }
    if ((p->pid == USB_PID_IN ? d->halted_in : d->halted_out) >> p->ep & 1) {
        return USB_STALL;
    }
    return info_of(d)->data(d, p);
}

USBResult usb_reply(USBPacket *p, const void *data, uint32_t len)
{
    if (len > p->len) {
        return USB_BABBLE;
    }
    memcpy(p->data, data, len);
    p->actual = len;
    return USB_ACK;
}

void usb_notify(USBDevice *d)
{
    if (d->remote_wakeup) {
        machine_request_wakeup();
    }
    if (d->port && d->dev.realized) {
        d->port->notify(d->port, d->remote_wakeup);
    }
}

void usb_reset_device(USBDevice *d)
{
    d->address = d->new_address = d->config = 0;
    d->remote_wakeup = false;
    d->halted_in = d->halted_out = 0;
    d->stage = USB_STAGE_IDLE;
    d->length = d->done = 0;
    memset(d->setup, 0, sizeof(d->setup));
    memset(d->buf, 0, sizeof(d->buf));
    if (info_of(d)->reset) {
        info_of(d)->reset(d);
    }
}

/* ---- state -------------------------------------------------------------------------------------- */

static bool usb_post_load(void *opaque, int version, Error **err)
{
    const USBDevice *d = opaque;

    if (d->address > 127 || d->new_address > 127 || d->stage >= USB_STAGES
        || d->length > USB_CONTROL_MAX || d->done > d->length) {
        return fail(err, "%s: address %u or control transfer (stage %u, %u of %u bytes) is out of "
                    "range", d->dev.type->name, d->address, d->stage, d->done, d->length);
    }
    return true;
}

static const VMField usb_fields[] = {
    VM_UINT(USBDevice, address), VM_UINT(USBDevice, new_address), VM_UINT(USBDevice, config),
    VM_BOOL(USBDevice, remote_wakeup), VM_UINT(USBDevice, halted_in),
    VM_UINT(USBDevice, halted_out), VM_UINT(USBDevice, stage), VM_BUFFER(USBDevice, setup),
    VM_UINT(USBDevice, length), VM_UINT(USBDevice, done), VM_BUFFER(USBDevice, buf),
    VM_DONE
};
const VMState vm_usb_device = {
    .name = "usb-device", .post_load = usb_post_load, .fields = usb_fields,
};
