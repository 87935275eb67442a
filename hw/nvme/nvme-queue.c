/* SPDX-License-Identifier: MIT */
/*
 * NVMe: submission and completion queues, interrupts, the life of a command.
 *
 * Source: the specification, 4.1 (queues), 4.2 (submission queue entry), 4.6 (completion queue
 * entry), 7.5 (interrupts).
 *
 *   completion   0 result   8 SQ head   10 SQ id   12 command id   14 phase, status << 1
 */
#include "hw/nvme/nvme.h"
#include "hw/pci/msi.h"
#include "util/bits.h"
#include "util/log.h"

#define CSTS_RDY    1u
#define EVENT_BAD_DOORBELL  0
#define EVENT_BAD_VALUE     1

static bool is_ready(const NVMe *c)
{
    return c->csts & CSTS_RDY;
}

/* ---- interrupts --------------------------------------------------------------------------- */

/* The pin is up while a queue with interrupts has entries; vectors get a message for each
 * batch. */
void nvme_update_irq(NVMe *c)
{
    bool msix = msix_enabled(&c->pci), level = false;

    for (unsigned n = 0; n < c->n_queues; n++) {
        NVMeCQ *q = &c->cq[n];
        if (!q->used || !q->irq) {
            continue;
        }
        if (msix && q->notify) {
            msix_notify(&c->pci, q->vector);
        }
        q->notify = false;
        level |= q->head != q->tail && !(c->intms >> MIN(q->vector, 31) & 1);
    }
    pci_set_irq(&c->pci, level && !msix);
}

/* ---- completions --------------------------------------------------------------------------- */

static bool is_full(const NVMeCQ *q)
{
    return (q->tail + 1) % q->size == q->head;
}

static void put_entry(NVMe *c, NVMeCQ *q, const NVMeCompletion *m)
{
    uint8_t e[NVME_CQE] = { 0 };

    st32_le(e, m->result);
    st16_le(e + 8, c->sq[m->sqid].head);
    st16_le(e + 10, m->sqid);
    st16_le(e + 12, m->cid);
    st16_le(e + 14, m->status << 1 | q->phase);
    nvme_dma_write(c, q->base + (uint64_t)q->tail * NVME_CQE, e, sizeof(e));
    q->tail++;
    if (q->tail == q->size) {
        q->tail = 0;
        q->phase = !q->phase;
    }
    q->notify = true;
}

void nvme_post(NVMe *c, uint16_t sqid, uint16_t cid, uint16_t status, uint32_t result)
{
    NVMeCompletion m = { sqid, cid, status, result };
    NVMeCQ *q = &c->cq[c->sq[sqid].cqid];

    if (is_full(q) || c->waiting.length) {
        g_queue_push_tail(&c->waiting, g_memdup2(&m, sizeof(m)));
    } else {
        put_entry(c, q, &m);
    }
}

/* There may be room again. */
static void post_waiting(NVMe *c)
{
    for (GList *l = c->waiting.head, *next; l; l = next) {
        NVMeCompletion *m = l->data;
        NVMeCQ *q = &c->cq[c->sq[m->sqid].cqid];

        next = l->next;
        if (!is_full(q)) {
            put_entry(c, q, m);
            g_free(m);
            g_queue_delete_link(&c->waiting, l);
        }
    }
}

/* ---- requests -------------------------------------------------------------------------------- */

NVMeRequest *nvme_new_request(NVMe *c, uint16_t sqid, const uint8_t *cmd)
{
    NVMeRequest *r = g_new0(NVMeRequest, 1);

    r->c = c;
    r->sqid = sqid;
    memcpy(r->cmd, cmd, NVME_SQE);
    r->cid = ld16_le(cmd + 2);
    g_ptr_array_add(c->requests, r);
    return r;
}

void nvme_free_request(NVMeRequest *r)
{
    g_ptr_array_remove_fast(r->c->requests, r);
    nvme_unmap(r, false);
    g_free(r->buffer);
    g_free(r);
}

static void serve(NVMe *c, unsigned id);

void nvme_complete(NVMeRequest *r, uint16_t status)
{
    NVMe *c = r->c;
    unsigned sqid = r->sqid;
    bool was_full = c->requests->len >= NVME_MAX_IN_FLIGHT;

    nvme_post(c, sqid, r->cid, status, r->result);
    nvme_free_request(r);
    if (c->sq[sqid].serving) {
        return;                         /* whoever takes commands goes on by itself */
    }
    if (was_full) {
        nvme_serve_all(c);
    }
    nvme_update_irq(c);
}

void nvme_start(NVMeRequest *r)
{
    uint16_t status = r->sqid ? nvme_io(r) : nvme_admin(r);

    if (status != NVME_PENDING) {
        nvme_complete(r, status);
    }
}

void nvme_drop_requests(NVMe *c, int sqid)
{
    c->dropping = true;
    for (guint i = c->requests->len; i-- > 0;) {
        NVMeRequest *r = g_ptr_array_index(c->requests, i);
        if (sqid >= 0 && r->sqid != sqid) {
            continue;
        }
        if (r->blk) {
            blk_cancel(r->blk);         /* its callback does nothing now */
        }
        for (NVMeRequest **p = &c->failed; *p; p = &(*p)->next) {
            if (*p == r) {
                *p = r->next;
                break;
            }
        }
        nvme_free_request(r);
    }
    c->dropping = false;
    for (GList *l = c->waiting.head, *next; l; l = next) {
        next = l->next;
        if (sqid < 0 || ((NVMeCompletion *)l->data)->sqid == sqid) {
            g_free(l->data);
            g_queue_delete_link(&c->waiting, l);
        }
    }
}

/* ---- submission queues ------------------------------------------------------------------------- */

/* Take commands; a doorbell rung from within changes the tail, which is looked at again. */
static void serve(NVMe *c, unsigned id)
{
    NVMeSQ *q = &c->sq[id];
    uint8_t cmd[NVME_SQE];

    if (q->serving) {
        return;
    }
    q->serving = true;
    while (q->used && is_ready(c) && q->head != q->tail
           && c->requests->len + c->waiting.length < NVME_MAX_IN_FLIGHT) {
        if (pci_dma_read(&c->pci, q->base + (uint64_t)q->head * NVME_SQE, cmd, NVME_SQE) != MEM_OK) {
            LOG_GUEST("nvme: submission queue %u is not readable\n", id);
            c->csts |= 2;               /* fatal */
            break;
        }
        q->head = (q->head + 1) % q->size;
        nvme_start(nvme_new_request(c, id, cmd));
    }
    q->serving = false;
}

void nvme_serve_all(NVMe *c)
{
    for (unsigned n = 0; n < c->n_queues; n++) {
        if (c->sq[n].used) {
            serve(c, n);
        }
    }
    nvme_update_irq(c);
}

static void bad_doorbell(NVMe *c, uint8_t info)
{
    LOG_GUEST("nvme: bad doorbell\n");
    nvme_event(c, NVME_EVENT_ERROR, info, NVME_LOG_ERROR);
    nvme_update_irq(c);
}

void nvme_sq_doorbell(NVMe *c, unsigned id, uint32_t tail)
{
    if (!is_ready(c)) {
        return;
    }
    if (id >= c->n_queues || !c->sq[id].used) {
        bad_doorbell(c, EVENT_BAD_DOORBELL);
        return;
    }
    if (tail >= c->sq[id].size) {
        bad_doorbell(c, EVENT_BAD_VALUE);
        return;
    }
    c->sq[id].tail = tail;
    serve(c, id);
    nvme_update_irq(c);
}

void nvme_cq_doorbell(NVMe *c, unsigned id, uint32_t head)
{
    bool waited = c->waiting.length;

    if (!is_ready(c)) {
        return;
    }
    if (id >= c->n_queues || !c->cq[id].used) {
        bad_doorbell(c, EVENT_BAD_DOORBELL);
        return;
    }
    if (head >= c->cq[id].size) {
        bad_doorbell(c, EVENT_BAD_VALUE);
        return;
    }
    c->cq[id].head = head;
    post_waiting(c);
    if (waited) {
        nvme_serve_all(c);
    }
    nvme_update_irq(c);
}
