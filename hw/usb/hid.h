/* SPDX-License-Identifier: MIT */
/*
 * What USB keyboards, mice and tablets have in common: one interrupt pipe that reports, and the
 * requests of their class.
 *
 * Source: Device Class Definition for HID 1.11 (7.1 descriptors, 7.2 requests, appendix B boot
 * reports).  All under the big lock.
 */
#ifndef HW_USB_HID_H
#define HW_USB_HID_H

#include "hw/usb/usb.h"
#include "ui/input.h"

#define HID_REPORT_MAX 8u

/* Strings all of them have, by the numbers QEMU's have. */
enum { HID_STR_MANUFACTURER = 1, HID_STR_MOUSE, HID_STR_TABLET, HID_STR_KEYBOARD,
       HID_STR_UNUSED, HID_STR_MOUSE_CONFIG, HID_STR_TABLET_CONFIG, HID_STR_KEYBOARD_CONFIG,
       HID_STR_MOUSE_SERIAL, HID_STR_TABLET_SERIAL, HID_STR_KEYBOARD_SERIAL };
extern const char *const hid_strings[];

/* A configuration with one interface and one interrupt IN endpoint 1, polled every 10 frames.
 * subclass 1: has boot reports; protocol 1: keyboard, 2: mouse. */
#define HID_CONFIG_LEN 34
#define HID_CONFIG(string, subclass, protocol, hid_version, report_len, packet)                  \
    9, USB_DT_CONFIG, USB_LE16(HID_CONFIG_LEN), 1, 1, string, 0xa0 /* remote wakeup */, 50,       \
    9, USB_DT_INTERFACE, 0, 0, 1, 3 /* HID */, subclass, protocol, 0,                             \
    9, 0x21, USB_LE16(hid_version), 0, 1, 0x22, USB_LE16(report_len),                             \
    7, USB_DT_ENDPOINT, 0x81, 3 /* interrupt */, USB_LE16(packet), 10

struct HID;

/* DeviceType.info */
typedef struct HIDInfo {
    USBInfo usb;                        /* always first */
    const uint8_t *report;              /* report descriptor */
    uint16_t report_len;
    bool boot;                          /* has boot reports: takes SET_PROTOCOL */
    const InputHandler *input;
    /* The next report that has news; 0: there is none. */
    unsigned (*next)(struct HID *h, uint8_t *out);
    /* The state as told last. */
    unsigned (*current)(struct HID *h, uint8_t *out);
    void (*forget)(struct HID *h);      /* power-on: nothing pressed, nothing moved */
    void (*output)(struct HID *h, uint8_t val);     /* output report; NULL: there are none */
} HIDInfo;

typedef struct HID {
    USBDevice usb;                      /* always first */
    uint8_t idle;                       /* repeat a report after so many times 4 ms; 0: never */
    uint8_t protocol;                   /* 0 boot, 1 report */
    int64_t told_at;                    /* virtual clock, ns: the last report */
    /* not saved: */
    int64_t asked_at;                   /* virtual clock, ns: the guest wanted a report */
    bool active;                        /* it gets the events */
} HID;

extern const VMState vm_hid;            /* embed with VM_STRUCT(T, hid, vm_hid) */

/* An event came: is the guest still asking for reports (or asleep, to be woken by it)?  false:
 * not for a while; the device has stepped back, and the event is for the next in line. */
bool hid_listens(HID *h);

/* Device models: realize and unrealize, and what USBInfo points at. */
bool hid_realize(Device *dev, Error **err);
void hid_unrealize(Device *dev);
int hid_control(USBDevice *d, const USBSetup *s, uint8_t *buf);
USBResult hid_data(USBDevice *d, USBPacket *p);
void hid_reset(USBDevice *d);
void hid_configured(USBDevice *d);

#define HID_USB_INFO(d) { .desc = &(d), .speed = USB_SPEED_FULL, .control = hid_control,         \
                          .data = hid_data, .reset = hid_reset, .configured = hid_configured }
#define HID_DESC(name_, serial_, config_)                                                         \
    { .version = 0x0200, .vendor = 0x0627, .product = 0x0001, .max_packet0 = 8,                   \
      .manufacturer = HID_STR_MANUFACTURER, .name = name_, .serial = serial_,                     \
      .config = config_, .config_len = sizeof(config_), .strings = hid_strings }

#endif
