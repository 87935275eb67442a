/* SPDX-License-Identifier: MIT */
/*
 * Virtio console controller: devices "virtio-serial-pci", "-transitional", "-non-transitional",
 * and the bus its ports sit on.  See virtio-serial.h for sources and queues.
 *
 * What the driver has to be told is not a queue of messages but what each port owes it: a
 * driver that gives no buffers makes nothing grow.  Not modelled: a console's size
 * (VIRTIO_CONSOLE_F_SIZE), since no back-end has one to tell.
 */
#include "hw/virtio/virtio-serial.h"
#include "util/bits.h"
#include "util/iov.h"

#include <string.h>

enum { F_SIZE = 0, F_MULTIPORT = 1, F_EMERG_WRITE = 2 };
enum { CFG_COLS = 0, CFG_ROWS = 2, CFG_MAX_PORTS = 4, CFG_EMERGENCY = 8, CFG_SIZE = 12 };
enum { M_DEVICE_READY, M_PORT_ADD, M_PORT_REMOVE, M_PORT_READY, M_CONSOLE_PORT, M_RESIZE, M_PORT_OPEN,
       M_PORT_NAME };

#define MESSAGE         8               /* id (32), event (16), value (16) */
#define QUEUE_DATA      128
#define QUEUE_CONTROL   32
#define CONTROL_IN      2               /* queue numbers */
#define CONTROL_OUT     3

static VirtIOSerial *serial_of(VirtIODevice *v)
{
    return (VirtIOSerial *)((char *)v - offsetof(VirtIOSerial, vdev));
}

static unsigned first_queue(unsigned port)
{
    return port ? 2 * port + 2 : 0;
}

VirtQueue *virtio_port_queue(VirtIOPort *p, bool to_guest)
{
    VirtIOSerial *s = p->serial;

    if (!virtio_is_running(&s->vdev) || (p->nr && !virtio_serial_multiport(s))) {
        return NULL;
    }
    VirtQueue *vq = virtio_queue(&s->vdev, first_queue(p->nr) + !to_guest);
    return vq && virtqueue_ready(vq) ? vq : NULL;
}

bool virtio_serial_multiport(const VirtIOSerial *s)
{
    return virtio_has(&s->vdev, F_MULTIPORT);
}

/* ---- to the driver ------------------------------------------------------------------------- */

/* false: it has no buffer. */
static bool send_message(VirtIOSerial *s, uint32_t port, uint16_t event, uint16_t value, const char *text)
{
    VirtQueue *vq = virtio_queue(&s->vdev, CONTROL_IN);
    VirtQElement *e = virtqueue_ready(vq) ? virtqueue_pop(vq, sizeof(*e)) : NULL;
    uint8_t m[MESSAGE];

    if (!e) {
        return false;
    }
    st32_le(m, port);
    st16_le(m + 4, event);
    st16_le(m + 6, value);
    size_t n = iov_from_buf(e->in, e->in_num, 0, m, sizeof(m));
    if (text) {
        n += iov_from_buf(e->in, e->in_num, n, text, strlen(text));
    }
    virtqueue_push(vq, e, n);
    g_free(e);
    return true;
}

/* One message of the port's; false: no buffer. */
static bool pay(VirtIOSerial *s, VirtIOPort *p)
{
    unsigned what = p->owes & -p->owes;
    bool sent;

    switch (what) {
    case PORT_OWES_ADD: sent = send_message(s, p->nr, M_PORT_ADD, 1, NULL); break;
    case PORT_OWES_CONSOLE: sent = send_message(s, p->nr, M_CONSOLE_PORT, 1, NULL); break;
    case PORT_OWES_NAME: sent = send_message(s, p->nr, M_PORT_NAME, 1, p->name); break;
    default: sent = send_message(s, p->nr, M_PORT_OPEN, p->host_open, NULL); break;
    }
    if (sent) {
        p->owes &= ~what;
    }
    return sent;
}

void virtio_serial_send_control(VirtIOSerial *s)
{
    if (!s->driver_ready || !virtio_is_running(&s->vdev)) {
        return;
    }
    bool room = true;
    for (unsigned nr = 0; nr < s->max_ports && room; nr++) {
        uint64_t bit = 1ull << nr % 64;
        if (s->removed[nr / 64] & bit) {
            room = send_message(s, nr, M_PORT_REMOVE, 1, NULL);
            s->removed[nr / 64] &= room ? ~bit : ~0ull;
        }
        while (room && s->ports[nr] && s->ports[nr]->owes) {
            room = pay(s, s->ports[nr]);
        }
    }
    virtqueue_notify(virtio_queue(&s->vdev, CONTROL_IN));
}

static void control_in(VirtQueue *vq)
{
    virtio_serial_send_control(serial_of(virtqueue_device(vq)));
}

/* ---- from the driver ----------------------------------------------------------------------- */

static void device_ready(VirtIOSerial *s, bool ok)
{
    s->driver_ready = ok;
    for (unsigned nr = 0; nr < s->max_ports && ok; nr++) {
        if (s->ports[nr]) {
            s->ports[nr]->owes |= PORT_OWES_ADD;
        }
    }
}

static void take_message(VirtIOSerial *s, const uint8_t *m)
{
    uint32_t nr = ld32_le(m);
    unsigned event = ld16_le(m + 4), value = ld16_le(m + 6);
    VirtIOPort *p = nr < s->max_ports ? s->ports[nr] : NULL;

    if (event == M_DEVICE_READY) {
        device_ready(s, value);
    } else if (!p) {
        return;                         /* it went meanwhile, or never was */
    } else if (event == M_PORT_READY) {
        virtio_port_driver_ready(p, value);
    } else if (event == M_PORT_OPEN) {
        virtio_port_driver_open(p, value);
    }
}

static void control_out(VirtQueue *vq)
{
    VirtIOSerial *s = serial_of(virtqueue_device(vq));
    VirtQElement *e;
    uint8_t m[MESSAGE];

    while ((e = virtqueue_pop(vq, sizeof(*e)))) {
        bool whole = iov_to_buf(e->out, e->out_num, 0, m, sizeof(m)) == sizeof(m);
        virtqueue_push(vq, e, 0);
        g_free(e);
        if (whole) {
            take_message(s, m);
        }
    }
    virtqueue_notify(vq);
    virtio_serial_send_control(s);
}

/* ---- data ------------------------------------------------------------------------------------ */

static VirtIOPort *port_of_queue(VirtQueue *vq)
{
    VirtIOSerial *s = serial_of(virtqueue_device(vq));
    unsigned n = virtqueue_index(vq), nr = n < CONTROL_IN ? 0 : n / 2 - 1;

    return nr < s->max_ports ? s->ports[nr] : NULL;
}

static void data_in(VirtQueue *vq)
{
    VirtIOPort *p = port_of_queue(vq);

    if (p) {
        virtio_port_input(p);
    }
}

/* A driver that writes to a port that is not there gets its buffers back. */
static void data_out(VirtQueue *vq)
{
    VirtIOPort *p = port_of_queue(vq);
    VirtQElement *e;

    if (p) {
        virtio_port_output(p);
        return;
    }
    while ((e = virtqueue_pop(vq, sizeof(*e)))) {
        virtqueue_push(vq, e, 0);
        g_free(e);
    }
    virtqueue_notify(vq);
}

/* ---- hooks of the core ----------------------------------------------------------------------- */

static uint64_t serial_features(VirtIODevice *v)
{
    VirtIOSerial *s = serial_of(v);

    return (s->max_ports > 1 ? VIRTIO_BIT(F_MULTIPORT) : 0)
           | (s->emergency_write ? VIRTIO_BIT(F_EMERG_WRITE) : 0);
}

static void serial_get_config(VirtIODevice *v)
{
    memset(v->config, 0, CFG_SIZE);
    st32_le(v->config + CFG_MAX_PORTS, serial_of(v)->max_ports);
}

static void serial_config_written(VirtIODevice *v, unsigned off, unsigned len)
{
    VirtIOSerial *s = serial_of(v);

    if (s->emergency_write && off <= CFG_EMERGENCY && off + len > CFG_EMERGENCY && s->ports[0]) {
        virtio_port_emergency(s->ports[0], v->config[CFG_EMERGENCY]);
    }
}

static void serial_reset(VirtIODevice *v)
{
    VirtIOSerial *s = serial_of(v);

    s->driver_ready = false;
    memset(s->removed, 0, sizeof(s->removed));
    for (unsigned nr = 0; nr < s->max_ports; nr++) {
        if (s->ports[nr]) {
            virtio_port_reset(s->ports[nr]);
        }
    }
}

static void serial_queue_reset(VirtQueue *vq)
{
    VirtIOPort *p = virtqueue_index(vq) / 2 == 1 ? NULL : port_of_queue(vq);

    if (p) {
        virtio_port_drop(p, vq);
    }
}

/* Without the multiport feature there are no messages: the one port is just there. */
static void serial_status_changed(VirtIODevice *v, uint8_t old)
{
    VirtIOSerial *s = serial_of(v);

    if (virtio_is_running(v) && !(old & VIRTIO_STATUS_DRIVER_OK) && !virtio_serial_multiport(s)
        && s->ports[0]) {
        virtio_port_driver_open(s->ports[0], true);
    }
}

static const VirtIOType virtio_serial_type = {
    .name = "virtio-serial", .id = VIRTIO_ID_CONSOLE, .features = serial_features,
    .get_config = serial_get_config, .config_written = serial_config_written, .reset = serial_reset,
    .queue_reset = serial_queue_reset, .status_changed = serial_status_changed,
};

/* ---- the bus ----------------------------------------------------------------------------------- */

static bool port_add(Bus *bus, Device *dev, Error **err)
{
    VirtIOSerial *s = (VirtIOSerial *)bus->owner;
    VirtIOPort *p = (VirtIOPort *)dev;
    const char *type = dev->type->name;

    p->console = dev->type->info != NULL;
    if (p->nr == UINT32_MAX) {
        /* 0 is the console's */
        p->nr = p->console && !s->ports[0] ? 0 : 1;
        while (p->nr < s->max_ports && s->ports[p->nr]) {
            p->nr++;
        }
        if (p->nr >= s->max_ports) {
            return fail(err, "%s: bus '%s' has no free port (max_ports=%u)", type, bus->name, s->max_ports);
        }
    }
    if (p->nr >= s->max_ports) {
        return fail(err, "%s: nr=%u: the ports of '%s' end at %u", type, p->nr, bus->name, s->max_ports - 1);
    }
    if (!p->nr && !p->console) {
        return fail(err, "%s: nr=0: port 0 is reserved for a virtconsole", type);
    }
    if (s->ports[p->nr]) {
        return fail(err, "%s: nr=%u: port %u of '%s' is in use", type, p->nr, p->nr, bus->name);
    }
    p->serial = s;
    return true;
}

static bool port_added(Bus *bus, Device *dev, Error **err)
{
    VirtIOSerial *s = (VirtIOSerial *)bus->owner;
    VirtIOPort *p = (VirtIOPort *)dev;

    s->ports[p->nr] = p;
    p->owes = PORT_OWES_ADD;
    virtio_serial_send_control(s);
    return true;
}

static void port_remove(Bus *bus, Device *dev)
{
    VirtIOSerial *s = (VirtIOSerial *)bus->owner;
    VirtIOPort *p = (VirtIOPort *)dev;

    if (p->nr < s->max_ports && s->ports[p->nr] == p) {
        if (s->driver_ready && !(p->owes & PORT_OWES_ADD)) {
            s->removed[p->nr / 64] |= 1ull << p->nr % 64;
        }
        s->ports[p->nr] = NULL;
        virtio_serial_send_control(s);
    }
}

static bool port_unplug(Bus *bus, Device *dev, Error **err)
{
    device_unplug(dev);
    return true;
}

static void port_path(Bus *bus, Device *dev, GString *out)
{
    if (bus->owner && bus->owner->bus && bus->owner->bus->type->path) {
        bus->owner->bus->type->path(bus->owner->bus, bus->owner, out);
        g_string_append_c(out, '/');
    }
    g_string_append_printf(out, "%u", ((VirtIOPort *)dev)->nr);
}

static void port_print(Bus *bus, Device *dev, GString *out, int indent)
{
    const VirtIOPort *p = (VirtIOPort *)dev;

    g_string_append_printf(out, "%*sport %u, guest %s, host %s\n", indent, "", p->nr,
                           p->driver_open ? "on" : "off", p->host_open ? "on" : "off");
}

static const BusType virtio_serial_bus = {
    .name = "virtio-serial-bus", .add = port_add, .added = port_added, .remove = port_remove,
    .unplug = port_unplug, .path = port_path, .print = port_print,
};
BUS_TYPE(virtio_serial_bus);

/* ---- life ---------------------------------------------------------------------------------------- */

static bool serial_realize(Device *dev, Error **err)
{
    VirtIOSerial *s = (VirtIOSerial *)dev;
    g_autofree char *name = dev->id ? g_strdup_printf("%s.0", dev->id)
                                    : g_strdup_printf("virtio-serial-bus.%d", dev->instance);

    if (!virtio_init(&s->vdev, dev, &virtio_serial_type, CFG_SIZE, 2 * (s->max_ports + 1), err)) {
        return false;
    }
    for (unsigned i = 0; i < 2 * (s->max_ports + 1); i++) {
        bool control = i == CONTROL_IN || i == CONTROL_OUT;
        virtio_add_queue(&s->vdev, control ? QUEUE_CONTROL : QUEUE_DATA,
                         i == CONTROL_IN ? control_in : i == CONTROL_OUT ? control_out
                         : i & 1 ? data_out : data_in);
    }
    if (!virtio_pci_realize(&s->proxy, &s->vdev, s->max_ports + 1, err)) {
        virtio_exit(&s->vdev);
        return false;
    }
    bus_init(&s->bus, &virtio_serial_bus, dev, name);
    return true;
}

static void serial_unrealize(Device *dev)
{
    VirtIOSerial *s = (VirtIOSerial *)dev;

    virtio_pci_unrealize(&s->proxy);
    virtio_exit(&s->vdev);
}

static void serial_pre_load(void *opaque)
{
    VirtIOSerial *s = opaque;

    for (unsigned nr = 0; nr < s->max_ports; nr++) {
        if (s->ports[nr]) {
            virtio_port_drop(s->ports[nr], NULL);       /* their queues come to be others */
        }
    }
}

static const VMField serial_fields[] = {
    VM_STRUCT(VirtIOSerial, proxy, vm_virtio_pci),
    VM_STRUCT(VirtIOSerial, vdev, vm_virtio),
    VM_BOOL(VirtIOSerial, driver_ready),
    VM_UINTS(VirtIOSerial, removed),
    VM_DONE
};
static const VMState vm_serial = { .name = "virtio-serial", .pre_load = serial_pre_load,
                                   .fields = serial_fields };

VIRTIO_PCI_DEVICE(virtio_serial_pci, "virtio-serial-pci", "virtio-serial", "Virtio console controller",
                  "Input", 0x0780, VirtIOSerial, NULL, vm_serial, serial_realize, serial_unrealize,
    PROP_UINT_R("max_ports", VirtIOSerial, max_ports, 31, 1, SERIAL_PORTS_MAX, "ports it has room for"),
    PROP_BOOL("emergency-write", VirtIOSerial, emergency_write, true, "let the guest write to port 0 "
              "without queues"),
    VIRTIO_PCI_IOEVENTFD(VirtIOSerial, true), VIRTIO_RING_PROPS(VirtIOSerial, vdev));
