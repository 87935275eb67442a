/* SPDX-License-Identifier: MIT */
/*
 * Keyboard, mouse and tablet on virtio: "virtio-keyboard-pci", "virtio-mouse-pci",
 * "virtio-tablet-pci".
 *
 * Source: VIRTIO 1.2, section 5.8 "Input Device"; events and codes are Linux' evdev's.
 *
 *     queue 0   events to the driver, 8 bytes each      queue 1   status from it (LEDs)
 *     configuration: select, subselect, size, 5 bytes, up to 128 bytes of what was selected
 *
 * An event takes a buffer of the driver's.  Reports are handed over whole; those for which
 * there are no buffers yet wait, up to PENDING_MAX.  While no driver listens, others get the
 * events.  Codes of keys: virtio-keys.c.
 */
#include "hw/input/virtio-keys.h"
#include "hw/virtio/virtio-pci.h"
#include "ui/input.h"
#include "util/bits.h"
#include "util/iov.h"
#include "util/log.h"

#define QUEUE_SIZE      64
#define EVENT_SIZE      8
#define REPORT_MAX      16              /* events, with the one that ends it */
#define PENDING_MAX     1024            /* events */

/* Selectors (5.8.5) */
enum { CFG_NAME = 1, CFG_SERIAL, CFG_DEVIDS, CFG_PROPS = 0x10, CFG_EVENTS, CFG_ABS };
#define CFG_DATA        8
#define CFG_DATA_MAX    128
#define CFG_SIZE        (CFG_DATA + CFG_DATA_MAX)

#define BUS_VIRTUAL     6
#define VENDOR          0x0627

typedef struct VirtIOInput {
    VirtIOPCI proxy;                    /* always first */
    VirtIODevice vdev;
    char *serial, *display;
    uint32_t head;
    bool wheel_axis;
    uint8_t select, subselect;
    uint8_t report[REPORT_MAX * EVENT_SIZE];
    uint32_t report_events;             /* of the report being made */
    uint8_t *pending;                   /* whole reports */
    uint32_t pending_len;               /* bytes */
    uint32_t leds;                      /* by Linux' numbers */
} VirtIOInput;

/* A kind of device; VirtIOPCIInfo comes first, since DeviceType.info is it. */
typedef struct InputInfo {
    VirtIOPCIInfo pci;
    const char *name;                   /* as the driver sees it */
    uint16_t product;
    const InputHandler *handler;
    /* Set the bits of an event type's codes; none: the type is not there. */
    void (*codes)(const VirtIOInput *s, unsigned type, uint8_t *bits);
} InputInfo;

static VirtIOInput *input_of(VirtIODevice *v)
{
    return (VirtIOInput *)v->dev;
}

static const InputInfo *info_of(const VirtIOInput *s)
{
    const VirtIOPCIInfo *pci = s->vdev.dev->type->info;
    return (const InputInfo *)pci;
}

static bool listens(const VirtIOInput *s)
{
    return s->vdev.status & VIRTIO_STATUS_DRIVER_OK;
}

/* ---- events to the driver -------------------------------------------------------------------- */

/* Events of the first waiting report. */
static unsigned report_length(const VirtIOInput *s)
{
    unsigned n = 0;

    while (n * EVENT_SIZE < s->pending_len && ld16_le(s->pending + n++ * EVENT_SIZE) != EV_SYN) {
    }
    return n;
}

/* n buffers, or none. */
static bool get_buffers(VirtQueue *vq, VirtQElement **e, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        e[i] = virtqueue_pop(vq, sizeof(*e[i]));
        if (!e[i]) {
            while (i--) {
                virtqueue_unpop(vq, e[i]);
                g_free(e[i]);
            }
            return false;
        }
    }
    return true;
}

static void hand_over(VirtIOInput *s)
{
    VirtQueue *vq = virtio_queue(&s->vdev, 0);
    VirtQElement *e[REPORT_MAX];
    uint32_t len = s->pending_len;

    for (unsigned n; (n = report_length(s)) && get_buffers(vq, e, n);) {
        for (unsigned i = 0; i < n; i++) {
            size_t told = iov_from_buf(e[i]->in, e[i]->in_num, 0, s->pending + i * EVENT_SIZE, EVENT_SIZE);
            virtqueue_fill(vq, e[i], told, i);
            g_free(e[i]);
        }
        virtqueue_flush(vq, n);
        s->pending_len -= n * EVENT_SIZE;
        memmove(s->pending, s->pending + n * EVENT_SIZE, s->pending_len);
    }
    if (len != s->pending_len) {
        virtqueue_notify(vq);
    }
}

static void add_event(VirtIOInput *s, uint16_t type, uint16_t code, uint32_t value)
{
    uint8_t *p = s->report + s->report_events * EVENT_SIZE;

    if (!listens(s) || (type != EV_SYN && s->report_events >= REPORT_MAX - 1)) {
        return;
    }
    st16_le(p, type);
    st16_le(p + 2, code);
    st32_le(p + 4, value);
    s->report_events++;
}

static void input_sync_report(void *opaque)
{
    VirtIOInput *s = opaque;
    uint32_t len;

    if (!s->report_events) {
        return;
    }
    add_event(s, EV_SYN, SYN_REPORT, 0);
    len = s->report_events * EVENT_SIZE;
    s->report_events = 0;
    if (!listens(s)) {
        return;
    }
    if (s->pending_len + len > PENDING_MAX * EVENT_SIZE) {
        LOG_GUEST("%s: the driver takes no events", s->vdev.type->name);
        return;
    }
    s->pending = g_realloc(s->pending, PENDING_MAX * EVENT_SIZE);
    memcpy(s->pending + s->pending_len, s->report, len);
    s->pending_len += len;
    hand_over(s);
}

static void handle_events(VirtQueue *vq)
{
    hand_over(input_of(virtqueue_device(vq)));
}

/* ---- keyboard, pointers ---------------------------------------------------------------------- */

static void on_key(void *opaque, unsigned hid, bool down)
{
    unsigned code = virtio_key(hid);

    if (code) {
        add_event(opaque, EV_KEY, code, down);
    }
}

static const uint16_t button_codes[BTN_COUNT] = {
    [BTN_LEFT] = LINUX_BTN_LEFT, [BTN_MIDDLE] = LINUX_BTN_MIDDLE, [BTN_RIGHT] = LINUX_BTN_RIGHT,
    [BTN_SIDE] = LINUX_BTN_SIDE, [BTN_EXTRA] = LINUX_BTN_EXTRA,
};

static void on_button(void *opaque, unsigned button, bool down)
{
    VirtIOInput *s = opaque;

    if (button >= BTN_COUNT) {
        return;
    }
    if (button_codes[button]) {
        add_event(s, EV_KEY, button_codes[button], down);
    } else if (button == BTN_WHEEL_UP || button == BTN_WHEEL_DOWN) {
        bool up = button == BTN_WHEEL_UP;
        if (!s->wheel_axis) {
            add_event(s, EV_KEY, up ? LINUX_BTN_GEAR_UP : LINUX_BTN_GEAR_DOWN, down);
        } else if (down) {
            add_event(s, EV_REL, REL_WHEEL, up ? 1 : -1);
        }
    } else if (s->wheel_axis && down) {
        add_event(s, EV_REL, REL_HWHEEL, button == BTN_WHEEL_RIGHT ? 1 : -1);
    }
}

static void on_rel(void *opaque, int dx, int dy)
{
    if (dx) {
        add_event(opaque, EV_REL, REL_X, dx);
    }
    if (dy) {
        add_event(opaque, EV_REL, REL_Y, dy);
    }
}

static void on_abs(void *opaque, int x, int y)
{
    add_event(opaque, EV_ABS, ABS_X, x);
    add_event(opaque, EV_ABS, ABS_Y, y);
}

static const InputHandler keyboard_handler = {
    .name = "QEMU Virtio Keyboard", .mask = INPUT_KEYBOARD, .key = on_key, .sync = input_sync_report,
};
static const InputHandler mouse_handler = {
    .name = "QEMU Virtio Mouse", .mask = INPUT_POINTER_REL, .button = on_button, .rel = on_rel,
    .sync = input_sync_report,
};
static const InputHandler tablet_handler = {
    .name = "QEMU Virtio Tablet", .mask = INPUT_POINTER_ABS, .button = on_button, .abs = on_abs,
    .sync = input_sync_report,
};

/* ---- status from the driver ------------------------------------------------------------------ */

static void take_status(VirtIOInput *s, const uint8_t *event)
{
    unsigned type = ld16_le(event), code = ld16_le(event + 2);

    if (type != EV_LED || code > LINUX_LED_SCROLL || info_of(s)->handler != &keyboard_handler) {
        return;                         /* key repeat is the driver's own business */
    }
    s->leds = ld32_le(event + 4) ? s->leds | 1u << code : s->leds & ~(1u << code);
    input_set_leds((s->leds >> LINUX_LED_SCROLL & 1) | (s->leds >> LINUX_LED_NUM & 1) << 1
                   | (s->leds >> LINUX_LED_CAPS & 1) << 2);
}

static void handle_status(VirtQueue *vq)
{
    VirtIOInput *s = input_of(virtqueue_device(vq));
    uint8_t event[EVENT_SIZE];
    VirtQElement *e;

    while ((e = virtqueue_pop(vq, sizeof(*e)))) {
        if (iov_to_buf(e->out, e->out_num, 0, event, sizeof(event)) == sizeof(event)) {
            take_status(s, event);
        } else {
            LOG_GUEST("%s: a status of %zu bytes", s->vdev.type->name, e->out_len);
        }
        virtqueue_push(vq, e, 0);
        g_free(e);
    }
    virtqueue_notify(vq);
}

/* ---- configuration --------------------------------------------------------------------------- */

static void set_bit(uint8_t *bits, unsigned n)
{
    bits[n / 8] |= 1 << n % 8;
}

static void keyboard_codes(const VirtIOInput *s, unsigned type, uint8_t *bits)
{
    if (type == EV_KEY) {
        virtio_key_bits(bits);
    } else if (type == EV_LED) {
        set_bit(bits, LINUX_LED_NUM);
        set_bit(bits, LINUX_LED_CAPS);
        set_bit(bits, LINUX_LED_SCROLL);
    }
}

static void pointer_codes(const VirtIOInput *s, unsigned type, uint8_t *bits)
{
    bool absolute = info_of(s)->handler == &tablet_handler;

    if (type == EV_KEY) {
        for (unsigned i = 0; i < BTN_COUNT; i++) {
            if (button_codes[i]) {
                set_bit(bits, button_codes[i]);
            }
        }
        if (!s->wheel_axis) {
            set_bit(bits, LINUX_BTN_GEAR_UP);
            set_bit(bits, LINUX_BTN_GEAR_DOWN);
        }
    } else if (type == EV_REL && s->wheel_axis) {
        set_bit(bits, REL_WHEEL);
        set_bit(bits, REL_HWHEEL);
    }
    if (type == (absolute ? EV_ABS : EV_REL)) {
        set_bit(bits, 0);               /* X and Y, of either kind */
        set_bit(bits, 1);
    }
}

static unsigned text(uint8_t *data, const char *s)
{
    size_t len = s ? MIN(strlen(s), CFG_DATA_MAX) : 0;

    if (len) {
        memcpy(data, s, len);
    }
    return len;
}

/* Bytes up to the last that is not zero. */
static unsigned event_bits(const VirtIOInput *s, unsigned type, uint8_t *data)
{
    unsigned len = CFG_DATA_MAX;

    if (type == EV_REP) {               /* it repeats, by itself */
        return info_of(s)->handler == &keyboard_handler;
    }
    info_of(s)->codes(s, type, data);
    while (len && !data[len - 1]) {
        len--;
    }
    return len;
}

static unsigned fill(const VirtIOInput *s, uint8_t *data)
{
    switch (s->select) {
    case CFG_NAME:
        return s->subselect ? 0 : text(data, info_of(s)->name);
    case CFG_SERIAL:
        return s->subselect ? 0 : text(data, s->serial);
    case CFG_DEVIDS:
        st16_le(data, BUS_VIRTUAL);
        st16_le(data + 2, VENDOR);
        st16_le(data + 4, info_of(s)->product);
        st16_le(data + 6, s->wheel_axis ? 2 : 1);
        return s->subselect ? 0 : 8;
    case CFG_EVENTS:
        return event_bits(s, s->subselect, data);
    case CFG_ABS:
        st32_le(data + 4, INPUT_ABS_MAX);
        return info_of(s)->handler == &tablet_handler && s->subselect <= ABS_Y ? 20 : 0;
    default:
        return 0;
    }
}

static void get_config(VirtIODevice *v)
{
    VirtIOInput *s = input_of(v);
    uint8_t data[CFG_DATA_MAX] = { 0 };
    unsigned len = fill(s, data);

    memset(v->config, 0, CFG_SIZE);
    v->config[0] = s->select;
    v->config[1] = s->subselect;
    v->config[2] = len;
    memcpy(v->config + CFG_DATA, data, len);
}

static void config_written(VirtIODevice *v, unsigned off, unsigned len)
{
    VirtIOInput *s = input_of(v);

    s->select = off == 0 ? v->config[0] : s->select;
    s->subselect = off <= 1 && off + len > 1 ? v->config[1] : s->subselect;
}

/* ---- life ------------------------------------------------------------------------------------ */

static void follow_driver(VirtIOInput *s)
{
    if (listens(s)) {
        input_activate(info_of(s)->handler, s);
    } else {
        input_retire(info_of(s)->handler, s);
    }
}

static void status_changed(VirtIODevice *v, uint8_t old)
{
    if ((v->status ^ old) & VIRTIO_STATUS_DRIVER_OK) {
        follow_driver(input_of(v));
    }
}

static void input_reset(VirtIODevice *v)
{
    VirtIOInput *s = input_of(v);

    s->select = s->subselect = 0;
    s->report_events = s->pending_len = 0;
    memset(s->report, 0, sizeof(s->report));
    g_clear_pointer(&s->pending, g_free);
    if (listens(s)) {
        input_retire(info_of(s)->handler, s);
    }
    if (s->leds) {
        s->leds = 0;
        input_set_leds(0);
    }
}

/* Nothing is in flight outside of the handlers. */
static void queue_reset(VirtQueue *vq)
{
}

static const VirtIOType virtio_input_type = {
    .name = "virtio-input", .id = VIRTIO_ID_INPUT, .get_config = get_config,
    .config_written = config_written, .status_changed = status_changed, .reset = input_reset,
    .queue_reset = queue_reset,
};

static bool input_realize(Device *dev, Error **err)
{
    VirtIOInput *s = (VirtIOInput *)dev;

    if (s->serial && strlen(s->serial) > CFG_DATA_MAX) {
        return fail(err, "%s: serial: at most %d characters", dev->type->name, CFG_DATA_MAX);
    }
    if (!virtio_init(&s->vdev, dev, &virtio_input_type, CFG_SIZE, 2, err)) {
        return false;
    }
    virtio_add_queue(&s->vdev, QUEUE_SIZE, handle_events);
    virtio_add_queue(&s->vdev, QUEUE_SIZE, handle_status);
    if (!virtio_pci_realize(&s->proxy, &s->vdev, 2, err)) {
        virtio_exit(&s->vdev);
        return false;
    }
    input_register(info_of(s)->handler, s);
    input_retire(info_of(s)->handler, s);
    if (s->display) {
        input_bind(info_of(s)->handler, s, s->display, s->head);
    }
    return true;
}

static void input_unrealize(Device *dev)
{
    VirtIOInput *s = (VirtIOInput *)dev;

    input_unregister(info_of(s)->handler, s);
    virtio_pci_unrealize(&s->proxy);
    g_clear_pointer(&s->pending, g_free);
    virtio_exit(&s->vdev);
}

static bool input_post_load(void *opaque, int version, Error **err)
{
    VirtIOInput *s = opaque;

    if (s->report_events >= REPORT_MAX || s->pending_len % EVENT_SIZE) {
        return fail(err, "events that make no report");
    }
    s->pending = s->pending ? g_realloc(s->pending, PENDING_MAX * EVENT_SIZE) : NULL;
    for (uint32_t at = 0, n = 0; at < s->pending_len; at += EVENT_SIZE) {
        bool end = ld16_le(s->pending + at) == EV_SYN;
        n = end ? 0 : n + 1;
        if (n >= REPORT_MAX || (n && at + EVENT_SIZE == s->pending_len)) {
            return fail(err, "events that make no report");
        }
    }
    follow_driver(s);
    return true;
}

static const VMField input_fields[] = {
    VM_STRUCT(VirtIOInput, proxy, vm_virtio_pci), VM_STRUCT(VirtIOInput, vdev, vm_virtio),
    VM_UINT(VirtIOInput, select), VM_UINT(VirtIOInput, subselect),
    VM_BUFFER(VirtIOInput, report), VM_UINT(VirtIOInput, report_events),
    VM_VBUFFER(VirtIOInput, pending, pending_len, PENDING_MAX * EVENT_SIZE),
    VM_UINT(VirtIOInput, leds),
    VM_DONE
};
static const VMState vm_input = {
    .name = "virtio-input", .post_load = input_post_load, .fields = input_fields,
};

/* ---- types ----------------------------------------------------------------------------------- */

#define COMMON_PROPS                                                                           \
    PROP_STRING("serial", VirtIOInput, serial, NULL, "serial number"),                         \
    PROP_STRING("display", VirtIOInput, display, NULL, "events of this screen alone: its device's id"), \
    PROP_UINT("head", VirtIOInput, head, 0, "... and number"),                                 \
    VIRTIO_RING_PROPS(VirtIOInput, vdev), VIRTIO_PCI_PROPS(VirtIOInput), PROP_DONE

static const Prop keyboard_props[] = { COMMON_PROPS };
static const Prop pointer_props[] = {
    PROP_BOOL("wheel-axis", VirtIOInput, wheel_axis, true, "the wheel is an axis, not two buttons"),
    COMMON_PROPS
};

#define INPUT_TYPE(sym, nm, al, ds, cls, label, prod, hnd, fn, prp)                            \
    static const InputInfo sym##_info = {                                                      \
        .pci = { .pci = { .vendor = 0x1af4, .class_id = cls, .pin = 1 },                       \
                 .kind = VIRTIO_PCI_NON_TRANSITIONAL },                                        \
        .name = label, .product = prod, .handler = hnd, .codes = fn,                           \
    };                                                                                         \
    static const DeviceType sym = {                                                            \
        .name = nm, .alias = al, .desc = ds, .bus = "PCI", .category = "Input",                \
        .size = sizeof(VirtIOInput), .props = prp, .vmstate = &vm_input,                       \
        .realize = input_realize, .reset = virtio_pci_reset, .unrealize = input_unrealize,     \
        .info = &sym##_info.pci.pci,                                                           \
    };                                                                                         \
    DEVICE_TYPE(sym)

INPUT_TYPE(virtio_keyboard, "virtio-keyboard-pci", "virtio-keyboard", "Virtio keyboard", 0x0900,
           "QEMU Virtio Keyboard", 1, &keyboard_handler, keyboard_codes, keyboard_props);
INPUT_TYPE(virtio_mouse, "virtio-mouse-pci", "virtio-mouse", "Virtio mouse", 0x0902,
           "QEMU Virtio Mouse", 2, &mouse_handler, pointer_codes, pointer_props);
INPUT_TYPE(virtio_tablet, "virtio-tablet-pci", "virtio-tablet", "Virtio tablet, an absolute pointer",
           0x0980, "QEMU Virtio Tablet", 3, &tablet_handler, pointer_codes, pointer_props);
