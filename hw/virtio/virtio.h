/* SPDX-License-Identifier: MIT */
/*
 * Virtio devices: what a device (block, net, gpu ...) and a transport (PCI) see of the core.
 *
 * Source: Virtual I/O Device (VIRTIO) Version 1.2 (OASIS); "the specification" below.
 *
 * A device is a struct with a VirtIODevice in it and a VirtIOType of hooks.  A driver gives it
 * buffers through queues; the device pops them, fills or reads them, and pushes them back:
 *
 *     static void my_output(VirtQueue *vq)            the driver notified the queue
 *     {
 *         MyRequest *r;
 *         do {
 *             virtqueue_enable_notify(vq, false);
 *             while ((r = virtqueue_pop(vq, sizeof(*r)))) {    begins with a VirtQElement
 *                 ... r->elem.out / r->elem.in are host memory ...
 *                 virtqueue_push(vq, &r->elem, bytes_written);
 *                 g_free(r);
 *             }
 *             virtqueue_enable_notify(vq, true);
 *         } while (!virtqueue_empty(vq));
 *         virtqueue_notify(vq);                       one interrupt for all of them
 *     }
 *
 * A request may also be pushed later, from a completion.  For a PCI device put VirtIOPCI first
 * and the device behind it (hw/virtio/virtio-pci.h).
 *
 * Everything under the big lock; queue handlers run on the vCPU thread that notified, or in the main
 * loop (ioeventfd).  Whatever a driver does wrong breaks the device (virtio_error): its queues stay silent until it is
 * reset, and a driver of version 1 is told (DEVICE_NEEDS_RESET).
 */
#ifndef HW_VIRTIO_VIRTIO_H
#define HW_VIRTIO_VIRTIO_H

#include <sys/uio.h>
#include "hw/core/device.h"

#define VIRTIO_QUEUE_MAX     1024u      /* queues of a device; entries of a queue; buffers of
                                           an element */
#define VIRTIO_NO_VECTOR     0xffff

/* Device status (2.1) */
#define VIRTIO_STATUS_ACKNOWLEDGE   0x01
#define VIRTIO_STATUS_DRIVER        0x02
#define VIRTIO_STATUS_DRIVER_OK     0x04
#define VIRTIO_STATUS_FEATURES_OK   0x08
#define VIRTIO_STATUS_NEEDS_RESET   0x40
#define VIRTIO_STATUS_FAILED        0x80

/* Feature bits of every device (6), as numbers */
#define VIRTIO_F_NOTIFY_ON_EMPTY    24  /* legacy only */
#define VIRTIO_F_ANY_LAYOUT         27
#define VIRTIO_F_INDIRECT_DESC      28
#define VIRTIO_F_EVENT_IDX          29
#define VIRTIO_F_VERSION_1          32
#define VIRTIO_F_RING_PACKED        34
#define VIRTIO_F_RING_RESET         40

#define VIRTIO_BIT(n) (1ull << (n))

/* Device types (5) */
enum { VIRTIO_ID_NET = 1, VIRTIO_ID_BLOCK = 2, VIRTIO_ID_CONSOLE = 3, VIRTIO_ID_RNG = 4,
       VIRTIO_ID_BALLOON = 5, VIRTIO_ID_SCSI = 8, VIRTIO_ID_9P = 9, VIRTIO_ID_GPU = 16,
       VIRTIO_ID_INPUT = 18, VIRTIO_ID_VSOCK = 19, VIRTIO_ID_FS = 26 };

typedef struct VirtQueue VirtQueue;
struct VirtIODevice;
typedef void VirtQueueHandler(VirtQueue *vq);

/*
 * Buffers of one request.  A request struct begins with it.  The memory of out and in is guest
 * RAM as the host sees it and stays valid until the element is pushed or detached; the guest
 * can change it at any time, so copy what is checked.
 */
typedef struct VirtQElement {
    VirtQueue *vq;
    uint16_t id;                        /* of the chain, in the driver's terms */
    uint16_t ndescs;                    /* packed ring: slots it takes */
    unsigned out_num, in_num;
    size_t out_len, in_len;             /* bytes; each below 4 GiB */
    struct iovec *out, *in;             /* device reads; device writes */
    hwaddr *out_addr, *in_addr;         /* guest addresses of the same */
} VirtQElement;

/* What a kind of device does.  Hooks may be NULL unless said otherwise. */
typedef struct VirtIOType {
    const char *name;                   /* "virtio-blk" */
    uint16_t id;                        /* VIRTIO_ID_* */
    /* Device feature bits to offer; those of the rings are the core's business. */
    uint64_t (*features)(struct VirtIODevice *v);
    /* The driver wants these (version 1: at FEATURES_OK); false: refuse them. */
    bool (*check_features)(struct VirtIODevice *v, uint64_t features);
    /* v->features are agreed on (version 1: FEATURES_OK, legacy: each write of the features). */
    void (*features_set)(struct VirtIODevice *v);
    /* Bring v->config up to date before the driver reads it. */
    void (*get_config)(struct VirtIODevice *v);
    /* The driver wrote v->config[off .. off + len). */
    void (*config_written)(struct VirtIODevice *v, unsigned off, unsigned len);
    /* v->status has changed; not called for 0: that is reset. */
    void (*status_changed)(struct VirtIODevice *v, uint8_t old);
    /* Back to power-on.  When it returns, no element may be in flight and nothing may be
     * written to guest memory any more. */
    void (*reset)(struct VirtIODevice *v);
    /* The same for one queue (2.6.1).  NULL: VIRTIO_F_RING_RESET is not offered. */
    void (*queue_reset)(VirtQueue *vq);
} VirtIOType;

/* How interrupts leave; filled by the transport. */
typedef struct VirtIOTransport {
    void (*notify)(struct VirtIODevice *v, uint16_t vector, uint8_t isr);
    void (*loaded)(struct VirtIODevice *v);     /* a saved state; NULL: nothing to do */
    AddressSpace *dma;
} VirtIOTransport;

typedef struct VirtIODevice {
    const VirtIOType *type;
    Device *dev;                        /* the device of which this is a part */
    VirtIOTransport transport;
    uint64_t features;                  /* as the driver wrote them */
    uint8_t status;
    uint8_t isr;                        /* 1 queue, 2 configuration */
    bool broken;
    bool modern_only;                   /* from the transport: drivers must be of version 1 */
    uint8_t generation;                 /* of the configuration */
    uint16_t config_vector;
    uint8_t *config;                    /* little-endian fields */
    uint32_t config_len;
    VirtQueue *vq;                      /* [n_queues] */
    uint32_t n_queues;
    /* properties, see VIRTIO_RING_PROPS */
    bool indirect, event_idx, packed, any_layout, notify_on_empty, queue_reset, iommu_platform;
} VirtIODevice;

/* Properties that every virtio device has; m is the VirtIODevice inside T. */
#define VIRTIO_RING_PROPS(T, m)                                                                \
    PROP_BOOL("indirect_desc", T, m.indirect, true, "offer indirect descriptors"),             \
    PROP_BOOL("event_idx", T, m.event_idx, true, "offer notification by index"),               \
    PROP_BOOL("packed", T, m.packed, false, "offer the packed ring"),                          \
    PROP_BOOL("any_layout", T, m.any_layout, true, "take requests in any layout of buffers"),  \
    PROP_BOOL("notify_on_empty", T, m.notify_on_empty, true, "legacy: interrupt when a queue " \
              "runs empty"),                                                                   \
    PROP_BOOL("queue_reset", T, m.queue_reset, true, "offer the reset of single queues"),      \
    PROP_BOOL("iommu_platform", T, m.iommu_platform, false, "there is no IOMMU: only off")

/* ---- life ----------------------------------------------------------------------------- */

/* In the device's realize, before the transport's: config_len bytes of configuration, all zero,
 * and room for n queues.  false: a property is not possible. */
bool virtio_init(VirtIODevice *v, Device *dev, const VirtIOType *type, uint32_t config_len,
                 unsigned n_queues, Error **err);
/* Queue n, called in rising order: size is a power of two up to VIRTIO_QUEUE_MAX. */
VirtQueue *virtio_add_queue(VirtIODevice *v, unsigned size, VirtQueueHandler *handler);
/* In unrealize, after the transport's. */
void virtio_exit(VirtIODevice *v);
/* System reset, for the device type's reset if it has no transport that does it. */
void virtio_reset(VirtIODevice *v);
/* Part of a device's table: VM_STRUCT(T, vdev, vm_virtio). */
extern const VMState vm_virtio;

static inline bool virtio_has(const VirtIODevice *v, unsigned feature)
{
    return v->features >> feature & 1;
}
static inline bool virtio_is_modern(const VirtIODevice *v)
{
    return virtio_has(v, VIRTIO_F_VERSION_1);
}
/* May the device use its queues? */
bool virtio_is_running(const VirtIODevice *v);
/* The configuration changed by itself: tell the driver. */
void virtio_config_changed(VirtIODevice *v);
/* The driver broke the rules (a printf-like description for the log). */
void virtio_error(VirtIODevice *v, const char *fmt, ...) G_GNUC_PRINTF(2, 3);

/* ---- queues --------------------------------------------------------------------------- */

VirtQueue *virtio_queue(VirtIODevice *v, unsigned n);
unsigned virtqueue_index(const VirtQueue *vq);
VirtIODevice *virtqueue_device(const VirtQueue *vq);
unsigned virtqueue_size(const VirtQueue *vq);           /* entries, as the driver chose */
/* The driver set it up and the device may use it. */
bool virtqueue_ready(const VirtQueue *vq);
/* Nothing to pop (or not ready). */
bool virtqueue_empty(VirtQueue *vq);
/* The next request, g_malloc'ed with size bytes that begin with a VirtQElement, the rest zero;
 * NULL: there is none (or the device broke).  g_free it when done. */
void *virtqueue_pop(VirtQueue *vq, size_t size);
/* Give it back with len bytes written from the start of its in buffers.  No interrupt yet. */
void virtqueue_push(VirtQueue *vq, const VirtQElement *e, size_t len);
/* The same in two steps, for several elements that must become visible at once: fill them in
 * order with index 0, 1, 2 ..., then flush their number. */
void virtqueue_fill(VirtQueue *vq, const VirtQElement *e, size_t len, unsigned index);
void virtqueue_flush(VirtQueue *vq, unsigned count);
/* Undo the last pop: the driver's buffer is popped again next time. */
void virtqueue_unpop(VirtQueue *vq, const VirtQElement *e);
/* The element is dropped (queue reset): it no longer counts as in flight. */
void virtqueue_detach(VirtQueue *vq, const VirtQElement *e);
/* Interrupt the driver, if it wants to hear of what was pushed since the last time. */
void virtqueue_notify(VirtQueue *vq);
/* Does the device want to be told of new buffers?  A hint; see the loop above. */
void virtqueue_enable_notify(VirtQueue *vq, bool on);
/* Elements popped and not pushed. */
unsigned virtqueue_in_flight(const VirtQueue *vq);

/* Elements in flight in saved state: append one; read one back (a request of size bytes as of
 * virtqueue_pop), *pos moves on.  Its queue's state must have been loaded. */
void virtqueue_save_element(const VirtQElement *e, GByteArray *out);
void *virtqueue_load_element(VirtIODevice *v, const uint8_t *data, size_t len, size_t *pos,
                             size_t size, Error **err);

/* ---- for transports -------------------------------------------------------------------- */

uint64_t virtio_offered(VirtIODevice *v, bool modern);  /* features to show */
/* The driver writes the features it wants.  Legacy: they count at once; else with FEATURES_OK. */
void virtio_set_features(VirtIODevice *v, uint64_t features, bool legacy);
/* The driver's write of the status register; 0 resets. */
void virtio_set_status(VirtIODevice *v, uint8_t status);
/* size 1, 2 or 4.  Past the end: reads give ones, writes are dropped. */
uint32_t virtio_config_read(VirtIODevice *v, unsigned off, unsigned size);
void virtio_config_write(VirtIODevice *v, unsigned off, uint32_t val, unsigned size);
/* The driver has new buffers in queue n. */
void virtio_queue_kick(VirtIODevice *v, unsigned n);

/* Registers of a queue.  All are no-ops for n out of range; reads give 0. */
typedef enum { VQ_DESC, VQ_DRIVER, VQ_DEVICE } VirtQueueArea;
uint16_t virtio_queue_size(VirtIODevice *v, unsigned n);
void virtio_queue_set_size(VirtIODevice *v, unsigned n, uint16_t size);
uint64_t virtio_queue_area(VirtIODevice *v, unsigned n, VirtQueueArea a);
void virtio_queue_set_area(VirtIODevice *v, unsigned n, VirtQueueArea a, uint64_t addr);
/* Legacy (2.7.2): one address for all, 0 disables; the rest is laid out behind it. */
void virtio_queue_set_legacy(VirtIODevice *v, unsigned n, uint64_t addr);
bool virtio_queue_enabled(VirtIODevice *v, unsigned n);
void virtio_queue_enable(VirtIODevice *v, unsigned n);
void virtio_queue_reset(VirtIODevice *v, unsigned n);
uint16_t virtio_queue_vector(VirtIODevice *v, unsigned n);
void virtio_queue_set_vector(VirtIODevice *v, unsigned n, uint16_t vector);

#endif
