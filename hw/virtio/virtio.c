/* SPDX-License-Identifier: MIT */
/*
 * Virtio devices: status, feature negotiation, configuration space, saved state.
 *
 * Source: VIRTIO 1.2, sections 2.1 to 2.5 and 3.
 */
#include "hw/virtio/virtio-internal.h"
#include "util/bits.h"
#include "util/log.h"

#include <stdarg.h>
#include <string.h>

/* ---- features --------------------------------------------------------------------------- */

uint64_t virtio_offered(VirtIODevice *v, bool modern)
{
    uint64_t f = v->type->features ? v->type->features(v) : 0;

    f |= v->indirect ? VIRTIO_BIT(VIRTIO_F_INDIRECT_DESC) : 0;
    f |= v->event_idx ? VIRTIO_BIT(VIRTIO_F_EVENT_IDX) : 0;
    if (!modern) {
        f |= v->any_layout ? VIRTIO_BIT(VIRTIO_F_ANY_LAYOUT) : 0;
        f |= v->notify_on_empty ? VIRTIO_BIT(VIRTIO_F_NOTIFY_ON_EMPTY) : 0;
        return f & 0xffffffff;
    }
    f |= VIRTIO_BIT(VIRTIO_F_VERSION_1);
    f |= v->packed ? VIRTIO_BIT(VIRTIO_F_RING_PACKED) : 0;
    f |= v->queue_reset && v->type->queue_reset ? VIRTIO_BIT(VIRTIO_F_RING_RESET) : 0;
    return f;
}

/* The driver is through with choosing. */
static void negotiated(VirtIODevice *v)
{
    virtio_queues_negotiated(v);
    if (v->type->features_set) {
        v->type->features_set(v);
    }
}

void virtio_set_features(VirtIODevice *v, uint64_t features, bool legacy)
{
    if (v->status & VIRTIO_STATUS_FEATURES_OK) {
        LOG_GUEST("%s: features written after they were agreed on", v->type->name);
        return;
    }
    v->features = features;
    if (legacy) {
        v->features &= virtio_offered(v, false);
        negotiated(v);
    }
}

/* May the driver have what it wrote? */
static bool features_ok(VirtIODevice *v)
{
    uint64_t unknown = v->features & ~virtio_offered(v, virtio_is_modern(v));

    if (unknown) {
        LOG_GUEST("%s: features %" G_GINT64_MODIFIER "x are not offered", v->type->name, unknown);
        return false;
    }
    if (v->modern_only && !virtio_is_modern(v)) {
        LOG_GUEST("%s: the driver does not want VIRTIO_F_VERSION_1", v->type->name);
        return false;
    }
    return !v->type->check_features || v->type->check_features(v, v->features);
}

/* ---- status ----------------------------------------------------------------------------- */

bool virtio_is_running(const VirtIODevice *v)
{
    /* legacy drivers use queues before they say that they are ready (2.1, 3.1.2) */
    return !virtio_is_modern(v) || (v->status & VIRTIO_STATUS_DRIVER_OK);
}

void virtio_error(VirtIODevice *v, const char *fmt, ...)
{
    if (log_on(LOG_GUEST_ERROR)) {
        va_list ap;
        va_start(ap, fmt);
        g_autofree char *text = g_strdup_vprintf(fmt, ap);
        va_end(ap);
        log_write("guest error: %s: %s\n", v->type->name, text);
    }
    if (v->broken) {
        return;
    }
    v->broken = true;
    if (virtio_is_modern(v)) {
        v->status |= VIRTIO_STATUS_NEEDS_RESET;
        virtio_config_changed(v);
    }
}

void virtio_reset(VirtIODevice *v)
{
    if (v->type->reset) {
        v->type->reset(v);
    }
    v->status = v->isr = 0;
    v->features = 0;
    v->broken = false;
    v->generation = 0;
    v->config_vector = VIRTIO_NO_VECTOR;
    virtio_queues_reset(v);
}

void virtio_set_status(VirtIODevice *v, uint8_t status)
{
    uint8_t old = v->status;

    if (!status) {
        virtio_reset(v);
        return;
    }
    if (status & ~old & VIRTIO_STATUS_FEATURES_OK) {
        if (features_ok(v)) {
            negotiated(v);
        } else {
            status &= ~VIRTIO_STATUS_FEATURES_OK;
        }
    }
    v->status = status | (old & VIRTIO_STATUS_NEEDS_RESET);
    if (v->type->status_changed) {
        v->type->status_changed(v, old);
    }
    if (status & ~old & VIRTIO_STATUS_DRIVER_OK) {
        for (unsigned i = 0; i < v->n_queues; i++) {
            virtio_queue_kick(v, i);        /* for what was queued up to now */
        }
    }
}

/* ---- configuration ---------------------------------------------------------------------- */

void virtio_config_changed(VirtIODevice *v)
{
    v->generation++;
    if (v->status & VIRTIO_STATUS_DRIVER_OK) {
        v->isr |= 3;
        v->transport.notify(v, v->config_vector, 2);
    }
}

uint32_t virtio_config_read(VirtIODevice *v, unsigned off, unsigned size)
{
    uint32_t val = 0;

    if (off >= v->config_len || size > v->config_len - off) {
        return ~0u >> (32 - 8 * size);
    }
    if (v->type->get_config) {
        v->type->get_config(v);
    }
    for (unsigned i = 0; i < size; i++) {
        val |= (uint32_t)v->config[off + i] << 8 * i;
    }
    return val;
}

void virtio_config_write(VirtIODevice *v, unsigned off, uint32_t val, unsigned size)
{
    if (off >= v->config_len || size > v->config_len - off || !v->type->config_written) {
        return;
    }
    for (unsigned i = 0; i < size; i++) {
        v->config[off + i] = val >> 8 * i;
    }
    v->type->config_written(v, off, size);
}

/* ---- life ------------------------------------------------------------------------------- */

bool virtio_init(VirtIODevice *v, Device *dev, const VirtIOType *type, uint32_t config_len,
                 unsigned n_queues, Error **err)
{
    g_assert(n_queues && n_queues <= VIRTIO_QUEUE_MAX);
    if (v->iommu_platform) {
        return fail(err, "%s: iommu_platform=on: this machine has no IOMMU", dev->type->name);
    }
    v->type = type;
    v->dev = dev;
    v->config_vector = VIRTIO_NO_VECTOR;
    v->config_len = config_len;
    v->config = g_malloc0(config_len);
    virtio_queues_init(v, n_queues);
    return true;
}

void virtio_exit(VirtIODevice *v)
{
    g_clear_pointer(&v->vq, g_free);
    g_clear_pointer(&v->config, g_free);
    v->n_queues = v->config_len = 0;
}

/* ---- saved state ------------------------------------------------------------------------ */

static bool virtio_post_load(void *opaque, int version, Error **err)
{
    VirtIODevice *v = opaque;
    bool agreed = !virtio_is_modern(v) || (v->status & VIRTIO_STATUS_FEATURES_OK);

    if (agreed && (v->features & ~virtio_offered(v, virtio_is_modern(v)))) {
        return fail(err, "features %" G_GINT64_MODIFIER "x are in use that this device lacks",
                    v->features & ~virtio_offered(v, virtio_is_modern(v)));
    }
    if (!virtio_queues_check(v, err)) {
        return false;
    }
    if (v->type->features_set && agreed) {
        v->type->features_set(v);
    }
    if (v->transport.loaded) {
        v->transport.loaded(v);
    }
    return true;
}

static const VMField virtio_fields[] = {
    VM_UINT(VirtIODevice, features), VM_UINT(VirtIODevice, status), VM_UINT(VirtIODevice, isr),
    VM_BOOL(VirtIODevice, broken), VM_UINT(VirtIODevice, generation),
    VM_UINT(VirtIODevice, config_vector),
    VM_VSTRUCTS(VirtIODevice, vq, n_queues, vm_virtqueue),
    VM_DONE
};
const VMState vm_virtio = {
    .name = "virtio", .post_load = virtio_post_load, .fields = virtio_fields,
};
