/* SPDX-License-Identifier: MIT */
/*
 * The HID class: descriptors, idle rate, protocol, reports; who gets the host's events.
 *
 * Source: HID 1.11, 7.2.  A device takes keys or pointer when the guest begins to ask for its
 * reports, and gives them back to the PS/2 devices when it is reset or was not asked for a while:
 * a guest that has no driver for USB (yet, or after a firmware that had one) is operated as before.
 */
#include "hw/usb/hid.h"
#include "util/timer.h"

#include <string.h>

enum { HID_GET_REPORT = 1, HID_GET_IDLE = 2, HID_GET_PROTOCOL = 3, HID_SET_REPORT = 9,
       HID_SET_IDLE = 10, HID_SET_PROTOCOL = 11 };
enum { HID_DT_HID = 0x21, HID_DT_REPORT = 0x22 };
enum { REPORT_INPUT = 1, REPORT_OUTPUT = 2 };
#define PATIENCE_NS NS_PER_SEC

#define GET_(r) USB_REQ(USB_DIR_IN | USB_TYPE_CLASS | USB_TO_INTERFACE, r)
#define SET_(r) USB_REQ(USB_TYPE_CLASS | USB_TO_INTERFACE, r)

const char *const hid_strings[] = {
    [HID_STR_MANUFACTURER] = "QEMU",
    [HID_STR_MOUSE] = "QEMU USB Mouse", [HID_STR_TABLET] = "QEMU USB Tablet",
    [HID_STR_KEYBOARD] = "QEMU USB Keyboard",
    [HID_STR_UNUSED] = "42",
    [HID_STR_MOUSE_CONFIG] = "HID Mouse", [HID_STR_TABLET_CONFIG] = "HID Tablet",
    [HID_STR_KEYBOARD_CONFIG] = "HID Keyboard",
    [HID_STR_MOUSE_SERIAL] = "89126", [HID_STR_TABLET_SERIAL] = "28754",
    [HID_STR_KEYBOARD_SERIAL] = "68284",
    NULL
};

static const HIDInfo *info_of(const HID *h)
{
    return h->usb.dev.type->info;
}

static int get_descriptor(HID *h, const USBSetup *s, uint8_t *buf)
{
    const HIDInfo *info = info_of(h);

    switch (s->value >> 8) {
    case HID_DT_HID:
        memcpy(buf, info->usb.desc->config + 18, 9);
        return 9;
    case HID_DT_REPORT:
        memcpy(buf, info->report, info->report_len);
        return info->report_len;
    default:
        return -1;
    }
}

/* The report of an IN: with news, or what was told before. */
static unsigned report(HID *h, uint8_t *buf)
{
    unsigned len = info_of(h)->next(h, buf);

    h->told_at = vclock_ns();
    return len ? len : info_of(h)->current(h, buf);
}

int hid_control(USBDevice *d, const USBSetup *s, uint8_t *buf)
{
    HID *h = (HID *)d;
    const HIDInfo *info = info_of(h);

    if (s->index) {
        return -1;                      /* there is one interface */
    }
    switch (s->request) {
    case USB_REQ(USB_DIR_IN | USB_TO_INTERFACE, USB_GET_DESCRIPTOR):
        return get_descriptor(h, s, buf);
    case GET_(HID_GET_REPORT):
        return s->value >> 8 == REPORT_INPUT ? (int)report(h, buf) : -1;
    case GET_(HID_GET_IDLE):
        buf[0] = h->idle;
        return 1;
    case GET_(HID_GET_PROTOCOL):
        buf[0] = h->protocol;
        return info->boot ? 1 : -1;
    case SET_(HID_SET_REPORT):
        if (s->value >> 8 != REPORT_OUTPUT || !info->output || !s->length) {
            return -1;
        }
        info->output(h, buf[0]);
        return 0;
    case SET_(HID_SET_IDLE):
        h->idle = s->value >> 8;
        h->told_at = vclock_ns();
        return 0;
    case SET_(HID_SET_PROTOCOL):
        if (!info->boot || s->value > 1) {
            return -1;
        }
        h->protocol = s->value;
        return 0;
    default:
        return -1;
    }
}

static void take_events(HID *h)
{
    if (!h->active) {
        h->active = true;
        input_activate(info_of(h)->input, h);
    }
}

static void give_events_back(HID *h)
{
    if (h->active) {
        h->active = false;
        input_retire(info_of(h)->input, h);
    }
}

bool hid_listens(HID *h)
{
    if (h->active && !h->usb.remote_wakeup && vclock_ns() - h->asked_at > PATIENCE_NS) {
        info_of(h)->forget(h);          /* nor will it hear that a key went up */
        give_events_back(h);
        return false;
    }
    return true;
}

USBResult hid_data(USBDevice *d, USBPacket *p)
{
    HID *h = (HID *)d;
    uint8_t out[HID_REPORT_MAX];
    int64_t now = vclock_ns();

    h->asked_at = now;
    take_events(h);
    unsigned len = info_of(h)->next(h, out);
    if (!len && h->idle && now - h->told_at >= h->idle * 4 * NS_PER_MS) {
        len = info_of(h)->current(h, out);
    }
    if (!len) {
        return USB_NAK;
    }
    h->told_at = now;
    return usb_reply(p, out, len);
}

void hid_reset(USBDevice *d)
{
    HID *h = (HID *)d;

    h->idle = 0;
    h->protocol = 1;
    h->told_at = 0;
    info_of(h)->forget(h);
    give_events_back(h);
}

void hid_configured(USBDevice *d)
{
    HID *h = (HID *)d;

    if (!d->config) {
        info_of(h)->forget(h);
        give_events_back(h);
    }
}

bool hid_realize(Device *dev, Error **err)
{
    HID *h = (HID *)dev;

    input_register(info_of(h)->input, h);
    input_retire(info_of(h)->input, h);
    return true;
}

void hid_unrealize(Device *dev)
{
    HID *h = (HID *)dev;

    input_unregister(info_of(h)->input, h);
}

static const VMField hid_fields[] = {
    VM_STRUCT(HID, usb, vm_usb_device), VM_UINT(HID, idle), VM_UINT(HID, protocol),
    VM_UINT(HID, told_at),
    VM_DONE
};
const VMState vm_hid = { .name = "usb-hid", .fields = hid_fields };
