/* SPDX-License-Identifier: MIT */
/*
 * Ports of a virtio console controller: "virtserialport", a named channel (an agent in the guest
 * opens /dev/virtio-ports/NAME), and "virtconsole", a terminal (hvc0).
 *
 * Output is taken by the back-end at its pace: one buffer of the guest's is held while it is
 * slow.  Input that arrives in pieces larger than the guest's buffers waits in `rest`.
 */
#include "hw/virtio/virtio-serial.h"
#include "util/event.h"
#include "util/iov.h"

#include <string.h>

/* ---- to the guest ------------------------------------------------------------------------------ */

static bool guest_listens(const VirtIOPort *p)
{
    return p->driver_open || !virtio_serial_multiport(p->serial);
}

/* Into the guest's buffers as far as there are any; the number of bytes that went. */
static size_t fill(VirtIOPort *p, const uint8_t *buf, size_t len)
{
    VirtQueue *vq = virtio_port_queue(p, true);
    VirtQElement *e;
    size_t done = 0;

    while (vq && done < len && (e = virtqueue_pop(vq, sizeof(*e)))) {
        size_t n = iov_from_buf(e->in, e->in_num, 0, buf + done, len - done);
        virtqueue_push(vq, e, n);
        g_free(e);
        done += n;
    }
    if (done) {
        virtqueue_notify(vq);
    }
    return done;
}

static int port_can_read(void *opaque)
{
    VirtIOPort *p = opaque;
    VirtQueue *vq = virtio_port_queue(p, true);

    return !p->rest_len && vq && guest_listens(p) && !virtqueue_empty(vq) ? SERIAL_BUFFERED : 0;
}

static void port_read(void *opaque, const uint8_t *buf, int len)
{
    VirtIOPort *p = opaque;
    size_t done = fill(p, buf, len);

    if (done < (size_t)len) {
        p->rest_len = len - done;
        p->rest = g_memdup2(buf + done, p->rest_len);
    }
}

void virtio_port_input(VirtIOPort *p)
{
    if (p->rest_len) {
        size_t done = fill(p, p->rest, p->rest_len);
        p->rest_len -= done;
        memmove(p->rest, p->rest + done, p->rest_len);
        if (!p->rest_len) {
            g_clear_pointer(&p->rest, g_free);
        }
    }
    char_accept_input(p->front);
}

/* ---- to the host ------------------------------------------------------------------------------- */

/* false: the back-end is slow and will say when it goes on. */
static bool write_out(VirtIOPort *p)
{
    VirtQElement *e = p->out;
    uint8_t buf[4096];

    while (p->out_at < e->out_len) {
        size_t n = iov_to_buf(e->out, e->out_num, p->out_at, buf, sizeof(buf));
        int taken = char_write(p->front, buf, n);
        p->out_at += taken;
        if (taken < (int)n) {
            return false;
        }
    }
    virtqueue_push(e->vq, e, 0);
    g_clear_pointer(&p->out, g_free);
    p->out_at = 0;
    return true;
}

void virtio_port_output(VirtIOPort *p)
{
    VirtQueue *vq = virtio_port_queue(p, false);
    bool pushed = false;

    while (vq && (p->out || (p->out = virtqueue_pop(vq, sizeof(*p->out)))) && write_out(p)) {
        pushed = true;
    }
    if (pushed) {
        virtqueue_notify(vq);
    }
}

static void port_writable(void *opaque)
{
    virtio_port_output(opaque);
}

void virtio_port_emergency(VirtIOPort *p, uint8_t byte)
{
    char_write_all(p->front, &byte, 1);
}

void virtio_port_drop(VirtIOPort *p, const VirtQueue *vq)
{
    if (p->out && (!vq || p->out->vq == vq)) {
        virtqueue_detach(p->out->vq, p->out);
        g_clear_pointer(&p->out, g_free);
        p->out_at = 0;
    }
}

/* After a load: nobody else would say that the back-end takes bytes, or has some. */
static void resume(void *opaque)
{
    VirtIOPort *p = opaque;

    virtio_port_output(p);
    virtio_port_input(p);
}

/* ---- opening and closing ----------------------------------------------------------------------- */

/* The other end of the back-end came or went. */
static void host_changed(VirtIOPort *p)
{
    bool open = p->console || char_open(p->front);

    if (open != p->host_open) {
        p->host_open = open;
        p->owes |= p->owes & PORT_OWES_ADD ? 0 : PORT_OWES_OPEN;
        virtio_serial_send_control(p->serial);
    }
}

static void port_event(void *opaque, CharEvent e)
{
    if (e == CHAR_OPENED || e == CHAR_CLOSED) {
        host_changed(opaque);
    }
}

void virtio_port_driver_ready(VirtIOPort *p, bool ok)
{
    if (ok) {
        p->owes = (p->console ? PORT_OWES_CONSOLE : 0) | (p->name ? PORT_OWES_NAME : 0)
                  | (p->host_open ? PORT_OWES_OPEN : 0);
    }
}

static void say(const VirtIOPort *p)
{
    if (!p->console && p->dev.id) {
        Json *data = json_object();
        json_set_str(data, "id", p->dev.id);
        json_set_bool(data, "open", p->driver_open);
        event_emit("VSERPORT_CHANGE", data);
    }
}

void virtio_port_driver_open(VirtIOPort *p, bool open)
{
    if (p->driver_open == open) {
        return;
    }
    p->driver_open = open;
    if (!open) {
        p->rest_len = 0;                /* whoever opens it next is not its reader */
        g_clear_pointer(&p->rest, g_free);
    }
    say(p);
    char_set_front_open(p->front, open);
    if (open) {
        char_accept_input(p->front);
    }
}

void virtio_port_reset(VirtIOPort *p)
{
    virtio_port_drop(p, NULL);
    p->rest_len = 0;
    g_clear_pointer(&p->rest, g_free);
    p->owes = 0;
    virtio_port_driver_open(p, false);
}

/* ---- life ---------------------------------------------------------------------------------------- */

static const CharHandlers handlers = { port_can_read, port_read, port_event, port_writable };

static bool port_realize(Device *dev, Error **err)
{
    VirtIOPort *p = (VirtIOPort *)dev;

    if (p->chr) {
        p->front = char_attach(p->chr, &handlers, p, err);
        if (!p->front) {
            return false;
        }
        char_set_front_open(p->front, false);
    }
    p->host_open = p->console || char_open(p->front);
    timer_init(&p->resume, ORRERY_CLOCK_VIRTUAL, resume, p);
    return true;
}

static void port_unrealize(Device *dev)
{
    VirtIOPort *p = (VirtIOPort *)dev;

    timer_del(&p->resume);
    virtio_port_drop(p, NULL);
    g_clear_pointer(&p->rest, g_free);
    g_clear_pointer(&p->saved, g_free);
    if (p->front) {
        char_detach(p->front);
        p->front = NULL;
    }
}

/* ---- saved state --------------------------------------------------------------------------------- */

static void port_pre_save(void *opaque)
{
    VirtIOPort *p = opaque;
    GByteArray *out = g_byte_array_new();

    if (p->out) {
        virtqueue_save_element(p->out, out);
    }
    g_free(p->saved);
    p->saved_len = out->len;
    p->saved = g_byte_array_free(out, FALSE);
}

static void port_pre_load(void *opaque)
{
    VirtIOPort *p = opaque;

    g_clear_pointer(&p->out, g_free);   /* its queue has been loaded over it already */
}

static bool port_post_load(void *opaque, int version, Error **err)
{
    VirtIOPort *p = opaque;
    size_t pos = 0;

    if (p->saved_len) {
        p->out = virtqueue_load_element(&p->serial->vdev, p->saved, p->saved_len, &pos, sizeof(*p->out), err);
        if (!p->out) {
            return false;
        }
        if (p->out->vq != virtio_port_queue(p, false) || p->out_at > p->out->out_len) {
            virtio_port_drop(p, NULL);
            return fail(err, "an impossible buffer under way");
        }
    } else if (p->out_at) {
        return fail(err, "no buffer is under way");
    }
    char_set_front_open(p->front, p->driver_open);
    p->owes &= PORT_OWES_ADD | PORT_OWES_CONSOLE | PORT_OWES_NAME | PORT_OWES_OPEN;
    if (!p->name) {
        p->owes &= ~PORT_OWES_NAME;
    }
    timer_mod(&p->resume, vclock_ns());
    bool told = p->host_open;
    p->host_open = p->console || char_open(p->front);
    if (told != p->host_open && !(p->owes & PORT_OWES_ADD)) {
        p->owes |= PORT_OWES_OPEN;      /* at the next buffer */
    }
    return true;
}

static const VMField port_fields[] = {
    VM_BOOL(VirtIOPort, driver_open), VM_BOOL(VirtIOPort, host_open), VM_UINT(VirtIOPort, owes),
    VM_VBUFFER(VirtIOPort, rest, rest_len, SERIAL_BUFFERED),
    VM_VBUFFER(VirtIOPort, saved, saved_len, 64 << 10), VM_UINT(VirtIOPort, out_at),
    VM_DONE
};
static const VMState vm_port = {
    .name = "virtio-port", .pre_save = port_pre_save, .pre_load = port_pre_load,
    .post_load = port_post_load, .fields = port_fields,
};

#define PORT_PROPS                                                                             \
    PROP_CHARDEV("chardev", VirtIOPort, chr, "what is behind it"),                             \
    PROP_UINT("nr", VirtIOPort, nr, UINT32_MAX, "number of the port (default: the first free one)"), \
    PROP_STRING("name", VirtIOPort, name, NULL, "what the guest finds it by (org.qemu.guest_agent.0)"), \
    PROP_DONE

static const Prop port_props[] = { PORT_PROPS };
static const DeviceType virtserialport = {
    .name = "virtserialport", .desc = "Port of a virtio console controller", .bus = "virtio-serial-bus",
    .category = "Input", .size = sizeof(VirtIOPort), .props = port_props, .vmstate = &vm_port,
    .realize = port_realize, .unrealize = port_unrealize,
};
DEVICE_TYPE(virtserialport);

static const DeviceType virtconsole = {
    .name = "virtconsole", .desc = "Console on a virtio console controller", .bus = "virtio-serial-bus",
    .category = "Input", .size = sizeof(VirtIOPort), .props = port_props, .vmstate = &vm_port,
    .realize = port_realize, .unrealize = port_unrealize,
    .info = VIRTIO_PORT_IS_CONSOLE,
};
DEVICE_TYPE(virtconsole);
