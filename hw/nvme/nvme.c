/* SPDX-License-Identifier: MIT */
/*
 * NVMe: the PCI function "nvme", its registers, resets, saved state.
 *
 * Source: the specification, chapter 3 (registers), 7.3 (resets), 7.6 (initialisation).
 *
 *   BAR 0   0000h CAP  08h VS  0Ch INTMS  10h INTMC  14h CC  1Ch CSTS  24h AQA  28h ASQ  30h ACQ
 *           1000h doorbells: tail of submission queue 0, head of completion queue 0, ...
 *           2000h MSI-X table, pending bits behind it
 */
#include "hw/nvme/nvme.h"
#include "hw/pci/msi.h"
#include "util/bits.h"
#include "util/log.h"

#define R_CAP       0x00
#define R_VS        0x08
#define R_INTMS     0x0c
#define R_INTMC     0x10
#define R_CC        0x14
#define R_CSTS      0x1c
#define R_AQA       0x24
#define R_ASQ       0x28
#define R_ACQ       0x30
#define DOORBELLS   0x1000
#define REGS_SIZE   0x2000
#define MSIX_AT     0x2000

/* Contiguous queues only, 7.5 s to get ready, NVM command set, pages up to 64 KiB */
#define CAP         ((NVME_MAX_ENTRIES - 1) | 1ull << 16 | 0x0full << 24 | 1ull << 37 | 4ull << 52)
#define CAP_MPSMAX  4
#define VERSION     0x00010400
#define CC_EN       0x00000001u
#define CC_CSS      0x00000070u
#define CC_MPS      0x00000780u
#define CC_AMS      0x00003800u
#define CC_SHN      0x0000c000u
#define CC_BITS     0x00fffff1u
#define CSTS_RDY    0x1u
#define CSTS_CFS    0x2u
#define CSTS_SHST   0xcu
#define SHST_BUSY   0x4u
#define SHST_DONE   0x8u

/* ---- start, stop, shutdown ------------------------------------------------------------------- */

/* Everything but the admin queue's registers, which a controller reset leaves alone. */
static void stop_controller(NVMe *c)
{
    nvme_drop_requests(c, -1);
    if (c->shutdown) {
        c->dropping = true;
        blk_cancel(c->shutdown);
        c->dropping = false;
        c->shutdown = NULL;
    }
    memset(c->sq, 0, c->n_queues * sizeof(*c->sq));
    memset(c->cq, 0, c->n_queues * sizeof(*c->cq));
    c->csts = 0;
    c->intms = 0;
    c->n_aers = c->n_events = c->masked = c->critical = 0;
    memset(c->aer_cid, 0, sizeof(c->aer_cid));
    memset(c->event, 0, sizeof(c->event));
    c->arbitration = 7;
    c->error_recovery = c->coalescing = c->atomicity = c->event_config = 0;
    c->over_threshold = 0x157;
    c->under_threshold = 0;
    nvme_update_irq(c);
}

static bool may_start(const NVMe *c)
{
    uint64_t page = nvme_page_size(c) - 1;

    return !(c->cc & (CC_CSS | CC_AMS)) && (c->cc & CC_MPS) >> 7 <= CAP_MPSMAX
           && c->aqa >> 16 && (c->aqa & 0xffff) && c->asq && c->acq && !(c->asq & page)
           && !(c->acq & page);
}

static void start_controller(NVMe *c)
{
    if (!may_start(c)) {
        LOG_GUEST("nvme: can't start with CC %08x AQA %08x\n", c->cc, c->aqa);
        c->csts |= CSTS_CFS;
        return;
    }
    c->sq[0] = (NVMeSQ) { .used = true, .size = (c->aqa & 0xfff) + 1, .base = c->asq };
    c->cq[0] = (NVMeCQ) { .used = true, .irq = true, .phase = true,
                          .size = (c->aqa >> 16 & 0xfff) + 1, .base = c->acq };
    c->csts = CSTS_RDY;
}

static void shutdown_done(void *opaque, int ret)
{
    NVMe *c = opaque;

    c->shutdown = NULL;
    if (!c->dropping) {
        c->csts = (c->csts & ~CSTS_SHST) | SHST_DONE;
    }
}

static void shut_down(NVMe *c)
{
    if (!c->shutdown && !(c->csts & CSTS_SHST)) {
        c->csts |= SHST_BUSY;
        c->shutdown = blk_flush(c->conf.blk, shutdown_done, c);
    }
}

static void write_cc(NVMe *c, uint32_t val)
{
    uint32_t old = c->cc;

    c->cc = val & CC_BITS;
    if ((old & CC_EN) && !(val & CC_EN)) {
        stop_controller(c);
    } else if (!(old & CC_EN) && (val & CC_EN)) {
        start_controller(c);
    }
    if (val & CC_SHN) {
        shut_down(c);
    } else if ((old & CC_SHN) && !c->shutdown) {
        c->csts &= ~CSTS_SHST;
    }
}

/* ---- registers ---------------------------------------------------------------------------------- */

static uint64_t reg_read(void *opaque, hwaddr addr, unsigned size)
{
    NVMe *c = opaque;

    switch (addr & ~3u) {
    case R_CAP:
        return (uint32_t)CAP;
    case R_CAP + 4:
        return CAP >> 32;
    case R_VS:
        return VERSION;
    case R_INTMS:
    case R_INTMC:
        return c->intms;
    case R_CC:
        return c->cc;
    case R_CSTS:
        return c->csts;
    case R_AQA:
        return c->aqa;
    case R_ASQ:
        return (uint32_t)c->asq;
    case R_ASQ + 4:
        return c->asq >> 32;
    case R_ACQ:
        return (uint32_t)c->acq;
    case R_ACQ + 4:
        return c->acq >> 32;
    default:
        return 0;
    }
}

static void write_mask(NVMe *c, uint32_t set, uint32_t clear)
{
    c->intms = (c->intms | set) & ~clear;
    nvme_update_irq(c);
}

static void reg_write(void *opaque, hwaddr addr, uint64_t val, unsigned size)
{
    NVMe *c = opaque;

    if (addr >= DOORBELLS) {
        unsigned id = (addr - DOORBELLS) / 8;
        if (addr & 4) {
            nvme_cq_doorbell(c, id, val);
        } else {
            nvme_sq_doorbell(c, id, val);
        }
        return;
    }
    switch (addr & ~3u) {
    case R_INTMS:
        write_mask(c, val, 0);
        break;
    case R_INTMC:
        write_mask(c, 0, val);
        break;
    case R_CC:
        write_cc(c, val);
        break;
    case R_AQA:
        c->aqa = val & 0x0fff0fff;
        break;
    case R_ASQ:
        c->asq = deposit64(c->asq, 0, 32, val & ~0xfffu);
        break;
    case R_ASQ + 4:
        c->asq = deposit64(c->asq, 32, 32, val);
        break;
    case R_ACQ:
        c->acq = deposit64(c->acq, 0, 32, val & ~0xfffu);
        break;
    case R_ACQ + 4:
        c->acq = deposit64(c->acq, 32, 32, val);
        break;
    default:
        LOG_GUEST("nvme: write to register %03xh\n", (unsigned)addr);
    }
}

static const RegionOps reg_ops = { .read = reg_read, .write = reg_write, .min = 4, .max = 4 };

/* ---- the drive ------------------------------------------------------------------------------------ */

static void nvme_resume(void *opaque)
{
    NVMe *c = opaque;
    NVMeRequest *r = c->failed, *next;

    for (c->failed = NULL; r; r = next) {
        next = r->next;
        r->next = NULL;
        nvme_start(r);
    }
    nvme_serve_all(c);
}

/* Its size is looked up when it is needed; the driver hears of it. */
static void nvme_resized(void *opaque)
{
    NVMe *c = opaque;

    if (c->event_config & 1u << 8) {
        nvme_event(c, NVME_EVENT_NOTICE, 0, NVME_LOG_CHANGED_NS);
        nvme_update_irq(c);
    }
}

static const BlkDevOps nvme_ops = { .resume = nvme_resume, .resized = nvme_resized, .any_thread = true };

/* ---- life -------------------------------------------------------------------------------------------- */

static bool check_props(NVMe *c, Error **err)
{
    if (!c->serial || !*c->serial) {
        return fail(err, "nvme: serial= is needed");
    }
    if (strlen(c->serial) > 20) {
        return fail(err, "nvme: serial=%s: at most 20 characters", c->serial);
    }
    return true;
}

static uint64_t pow2_at_least(uint64_t n)
{
    uint64_t p = 1;

    while (p < n) {
        p *= 2;
    }
    return p;
}

static bool init_bar(NVMe *c, Error **err)
{
    uint32_t table = c->msix_qsize * 16, pba = MSIX_AT + (table + 0xfff) / 0x1000 * 0x1000;

    region_init_container(&c->mem, "nvme", pow2_at_least(pba + 0x1000));
    region_init_io(&c->regs, "nvme-registers", REGS_SIZE, &reg_ops, c);
    region_map(&c->mem, 0, &c->regs, 0);
    if (!msix_init(&c->pci, c->msix_qsize, &c->mem, 0, MSIX_AT, &c->mem, 0, pba, err)) {
        region_destroy(&c->regs);
        region_destroy(&c->mem);
        return false;
    }
    pci_register_bar(&c->pci, 0, PCI_BAR_MEM64, &c->mem);
    return true;
}

static bool nvme_realize(Device *dev, Error **err)
{
    NVMe *c = (NVMe *)dev;

    if (!check_props(c, err) || !blkconf_realize(&c->conf, dev, true, true, &nvme_ops, c, err)) {
        return false;
    }
    if (!init_bar(c, err)) {
        blkconf_unrealize(&c->conf);
        return false;
    }
    c->n_queues = c->max_ioqpairs + 1;
    c->sq = g_new0(NVMeSQ, c->n_queues);
    c->cq = g_new0(NVMeCQ, c->n_queues);
    c->requests = g_ptr_array_new();
    g_queue_init(&c->waiting);
    return true;
}

static void nvme_unrealize(Device *dev)
{
    NVMe *c = (NVMe *)dev;

    stop_controller(c);
    blkconf_unplugged(&c->conf);
    region_destroy(&c->regs);
    region_destroy(&c->mem);
    g_clear_pointer(&c->sq, g_free);
    g_clear_pointer(&c->cq, g_free);
    g_clear_pointer(&c->requests, g_ptr_array_unref);
    g_clear_pointer(&c->saved_requests, g_free);
    g_clear_pointer(&c->saved_waiting, g_free);
}

static void nvme_reset(Device *dev)
{
    NVMe *c = (NVMe *)dev;

    stop_controller(c);
    blkconf_reset(&c->conf);
    c->cc = c->aqa = 0;
    c->asq = c->acq = 0;
    c->timestamp = c->timestamp_at = 0;
}

/* ---- saved state ---------------------------------------------------------------------------------------- */

#define REQUEST_BYTES   (2 + NVME_SQE)
#define WAITING_BYTES   10

/* What is under way then has failed and waits for the machine to go on: its command is all. */
static void nvme_pre_save(void *opaque)
{
    NVMe *c = opaque;
    GByteArray *out = g_byte_array_new();
    uint8_t id[2], m[WAITING_BYTES];

    for (guint i = 0; i < c->requests->len; i++) {
        NVMeRequest *r = g_ptr_array_index(c->requests, i);
        st16_le(id, r->sqid);
        g_byte_array_append(out, id, 2);
        g_byte_array_append(out, r->cmd, NVME_SQE);
    }
    g_free(c->saved_requests);
    c->saved_requests_len = out->len;
    c->saved_requests = g_byte_array_free(out, FALSE);
    out = g_byte_array_new();
    for (GList *l = c->waiting.head; l; l = l->next) {
        const NVMeCompletion *w = l->data;
        st16_le(m, w->sqid);
        st16_le(m + 2, w->cid);
        st16_le(m + 4, w->status);
        st32_le(m + 6, w->result);
        g_byte_array_append(out, m, sizeof(m));
    }
    g_free(c->saved_waiting);
    c->saved_waiting_len = out->len;
    c->saved_waiting = g_byte_array_free(out, FALSE);
}

static void nvme_pre_load(void *opaque)
{
    nvme_drop_requests(opaque, -1);
}

static bool check_queues(const NVMe *c, Error **err)
{
    for (unsigned n = 0; n < c->n_queues; n++) {
        const NVMeSQ *s = &c->sq[n];
        const NVMeCQ *q = &c->cq[n];
        if (s->used && (s->size < 2 || s->size > 4096 || s->head >= s->size || s->tail >= s->size
                        || s->cqid >= c->n_queues || !c->cq[s->cqid].used)) {
            return fail(err, "nvme: impossible submission queue %u", n);
        }
        if (q->used && (q->size < 2 || q->size > 4096 || q->head >= q->size || q->tail >= q->size
                        || q->vector >= MAX(c->pci.msix_count, 1))) {
            return fail(err, "nvme: impossible completion queue %u", n);
        }
    }
    return true;
}

static bool load_lists(NVMe *c, Error **err)
{
    if (c->saved_requests_len % REQUEST_BYTES || c->saved_waiting_len % WAITING_BYTES) {
        return fail(err, "nvme: list of commands cut short");
    }
    for (uint32_t at = 0; at < c->saved_requests_len; at += REQUEST_BYTES) {
        unsigned sqid = ld16_le(c->saved_requests + at);
        if (sqid >= c->n_queues || !c->sq[sqid].used) {
            return fail(err, "nvme: a command of queue %u, which does not exist", sqid);
        }
        NVMeRequest *r = nvme_new_request(c, sqid, c->saved_requests + at + 2);
        r->next = c->failed;
        c->failed = r;
    }
    for (uint32_t at = 0; at < c->saved_waiting_len; at += WAITING_BYTES) {
        const uint8_t *p = c->saved_waiting + at;
        NVMeCompletion m = { ld16_le(p), ld16_le(p + 2), ld16_le(p + 4), ld32_le(p + 6) };
        if (m.sqid >= c->n_queues || !c->sq[m.sqid].used) {
            return fail(err, "nvme: a completion of queue %u, which does not exist", m.sqid);
        }
        g_queue_push_tail(&c->waiting, g_memdup2(&m, sizeof(m)));
    }
    return true;
}

static bool nvme_post_load(void *opaque, int version, Error **err)
{
    NVMe *c = opaque;

    if ((c->cc & CC_MPS) >> 7 > CAP_MPSMAX && (c->csts & CSTS_RDY)) {
        return fail(err, "nvme: impossible page size");
    }
    if (c->n_aers > NVME_AERS || c->n_events > NVME_EVENTS) {
        return fail(err, "nvme: too many events");
    }
    for (unsigned n = 0; n < c->n_events; n++) {
        if (c->event[n].type > 7) {
            return fail(err, "nvme: impossible event");
        }
    }
    return check_queues(c, err) && load_lists(c, err);
}

static const VMField sq_fields[] = {
    VM_BOOL(NVMeSQ, used), VM_UINT(NVMeSQ, cqid), VM_UINT(NVMeSQ, size), VM_UINT(NVMeSQ, head),
    VM_UINT(NVMeSQ, tail), VM_UINT(NVMeSQ, base),
    VM_DONE
};
static const VMState vm_sq = { .name = "nvme-sq", .fields = sq_fields };

static const VMField cq_fields[] = {
    VM_BOOL(NVMeCQ, used), VM_BOOL(NVMeCQ, irq), VM_BOOL(NVMeCQ, phase), VM_UINT(NVMeCQ, vector),
    VM_UINT(NVMeCQ, size), VM_UINT(NVMeCQ, head), VM_UINT(NVMeCQ, tail), VM_UINT(NVMeCQ, base),
    VM_DONE
};
static const VMState vm_cq = { .name = "nvme-cq", .fields = cq_fields };

static const VMField event_fields[] = {
    VM_UINT(NVMeEvent, type), VM_UINT(NVMeEvent, info), VM_UINT(NVMeEvent, log), VM_DONE
};
static const VMState vm_event = { .name = "nvme-event", .fields = event_fields };

static const VMField nvme_fields[] = {
    VM_STRUCT(NVMe, pci, vm_pci_device),
    VM_UINT(NVMe, intms), VM_UINT(NVMe, cc), VM_UINT(NVMe, csts), VM_UINT(NVMe, aqa),
    VM_UINT(NVMe, asq), VM_UINT(NVMe, acq),
    VM_VSTRUCTS(NVMe, sq, n_queues, vm_sq),
    VM_VSTRUCTS(NVMe, cq, n_queues, vm_cq),
    VM_UINT(NVMe, arbitration), VM_UINT(NVMe, error_recovery), VM_UINT(NVMe, coalescing),
    VM_UINT(NVMe, atomicity), VM_UINT(NVMe, event_config), VM_UINT(NVMe, over_threshold),
    VM_UINT(NVMe, under_threshold), VM_UINT(NVMe, timestamp), VM_UINT(NVMe, timestamp_at),
    VM_UINTS(NVMe, aer_cid), VM_UINT(NVMe, n_aers), VM_UINT(NVMe, n_events), VM_UINT(NVMe, masked),
    VM_STRUCTS(NVMe, event, vm_event), VM_UINT(NVMe, critical),
    VM_VBUFFER(NVMe, saved_requests, saved_requests_len, NVME_MAX_IN_FLIGHT * REQUEST_BYTES),
    VM_VBUFFER(NVMe, saved_waiting, saved_waiting_len, 2 * NVME_MAX_IN_FLIGHT * WAITING_BYTES),
    VM_DONE
};
static const VMState vm_nvme = {
    .name = "nvme", .pre_save = nvme_pre_save, .pre_load = nvme_pre_load,
    .post_load = nvme_post_load, .fields = nvme_fields,
};

/* ---- type ----------------------------------------------------------------------------------------------- */

static const Prop nvme_props[] = {
    BLKCONF_PROPS(NVMe, conf),
    PROP_STRING("serial", NVMe, serial, NULL, "serial number, up to 20 characters; needed"),
    PROP_UINT_R("max_ioqpairs", NVMe, max_ioqpairs, 64, 1, NVME_MAX_QUEUES - 1, "pairs of I/O queues"),
    PROP_UINT_R("msix_qsize", NVMe, msix_qsize, 65, 1, 2048, "MSI-X vectors"),
    PROP_UINT_R("mdts", NVMe, mdts, 7, 1, 10, "largest transfer: 4 KiB << this"),
    PROP_DONE
};

static const PCIInfo nvme_info = {
    .vendor = 0x1b36, .device = 0x0010, .revision = 2, .class_id = 0x0108, .prog_if = 2, .pin = 1,
};

static const DeviceType nvme = {
    .name = "nvme", .desc = "Non-Volatile Memory Express controller with a namespace", .bus = "PCI",
    .category = "Storage", .size = sizeof(NVMe), .props = nvme_props, .vmstate = &vm_nvme,
    .realize = nvme_realize, .reset = nvme_reset, .unrealize = nvme_unrealize, .info = &nvme_info,
    .fw_child = "namespace@1,0",
};
DEVICE_TYPE(nvme);
