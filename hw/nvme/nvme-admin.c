/* SPDX-License-Identifier: MIT */
/*
 * NVMe: admin commands: making and deleting queues, features, abort, asynchronous events.
 *
 * Source: the specification, chapter 5 (5.1 abort, 5.2 asynchronous events, 5.3 to 5.6 queues,
 * 5.13 and 5.21 features).
 */
#include "hw/nvme/nvme.h"
#include "util/bits.h"
#include "util/timer.h"
#include "util/log.h"

enum { ADM_DELETE_SQ = 0x00, ADM_CREATE_SQ = 0x01, ADM_GET_LOG = 0x02, ADM_DELETE_CQ = 0x04,
       ADM_CREATE_CQ = 0x05, ADM_IDENTIFY = 0x06, ADM_ABORT = 0x08, ADM_SET_FEATURES = 0x09,
       ADM_GET_FEATURES = 0x0a, ADM_AER = 0x0c, ADM_FORMAT = 0x80 };

enum { FEAT_ARBITRATION = 0x01, FEAT_POWER = 0x02, FEAT_TEMPERATURE = 0x04, FEAT_ERROR_RECOVERY = 0x05,
       FEAT_WRITE_CACHE = 0x06, FEAT_QUEUES = 0x07, FEAT_COALESCING = 0x08, FEAT_VECTOR = 0x09,
       FEAT_ATOMICITY = 0x0a, FEAT_EVENTS = 0x0b, FEAT_TIMESTAMP = 0x0e };

#define PRP1    24
#define CDW10   40
#define CDW11   44
#define CAP_CHANGEABLE 4u

/* ---- queues ------------------------------------------------------------------------------------- */

/* Entry sizes of I/O queues (CC.IOSQES, IOCQES) are log2. */
static bool entry_sizes_ok(const NVMe *c)
{
    return (c->cc >> 16 & 15) == 6 && (c->cc >> 20 & 15) == 4;
}

/* What both kinds of queue have to fulfil. */
static uint16_t check_queue(const NVMeRequest *r, uint64_t base, uint32_t size)
{
    if (size < 2 || size > NVME_MAX_ENTRIES) {
        return NVME_INVALID_QUEUE_SIZE;
    }
    if (!base || (base & (nvme_page_size(r->c) - 1))) {
        return NVME_INVALID_PRP_OFFSET;
    }
    if (!(r->cmd[CDW11] & 1) || !entry_sizes_ok(r->c)) {
        return NVME_INVALID_FIELD;      /* only contiguous ones */
    }
    return NVME_OK;
}

static uint16_t create_cq(NVMeRequest *r)
{
    NVMe *c = r->c;
    unsigned id = ld16_le(r->cmd + CDW10), vector = ld16_le(r->cmd + CDW11 + 2);
    uint32_t size = ld16_le(r->cmd + CDW10 + 2) + 1;
    uint64_t base = ld64_le(r->cmd + PRP1);

    if (!id || id >= c->n_queues || c->cq[id].used) {
        return NVME_INVALID_QID;
    }
    uint16_t status = check_queue(r, base, size);
    if (status) {
        return status;
    }
    if (vector >= MAX(c->pci.msix_count, 1)) {
        return NVME_INVALID_VECTOR;
    }
    c->cq[id] = (NVMeCQ) { .used = true, .irq = r->cmd[CDW11] & 2, .phase = true, .vector = vector,
                           .size = size, .base = base };
    return NVME_OK;
}

static uint16_t create_sq(NVMeRequest *r)
{
    NVMe *c = r->c;
    unsigned id = ld16_le(r->cmd + CDW10), cqid = ld16_le(r->cmd + CDW11 + 2);
    uint32_t size = ld16_le(r->cmd + CDW10 + 2) + 1;
    uint64_t base = ld64_le(r->cmd + PRP1);

    if (!cqid || cqid >= c->n_queues || !c->cq[cqid].used) {
        return NVME_INVALID_CQID;
    }
    if (!id || id >= c->n_queues || c->sq[id].used) {
        return NVME_INVALID_QID;
    }
    uint16_t status = check_queue(r, base, size);
    if (!status) {
        c->sq[id] = (NVMeSQ) { .used = true, .cqid = cqid, .size = size, .base = base };
    }
    return status;
}

static uint16_t delete_sq(NVMeRequest *r)
{
    unsigned id = ld16_le(r->cmd + CDW10);

    if (!id || id >= r->c->n_queues || !r->c->sq[id].used) {
        return NVME_INVALID_QID;
    }
    nvme_drop_requests(r->c, id);
    r->c->sq[id].used = false;
    return NVME_OK;
}

static uint16_t delete_cq(NVMeRequest *r)
{
    NVMe *c = r->c;
    unsigned id = ld16_le(r->cmd + CDW10);

    if (!id || id >= c->n_queues || !c->cq[id].used) {
        return NVME_INVALID_QID;
    }
    for (unsigned n = 0; n < c->n_queues; n++) {
        if (c->sq[n].used && c->sq[n].cqid == id) {
            return NVME_INVALID_DELETION;
        }
    }
    c->cq[id].used = false;
    return NVME_OK;
}

/* ---- events ------------------------------------------------------------------------------------------ */

/* Match what happened with the requests that wait. */
static void send_events(NVMe *c)
{
    for (unsigned n = 0; n < c->n_events && c->n_aers;) {
        NVMeEvent e = c->event[n];
        if (c->masked >> e.type & 1) {
            n++;
            continue;
        }
        c->masked |= 1u << e.type;
        c->n_events--;
        memmove(&c->event[n], &c->event[n + 1], (c->n_events - n) * sizeof(e));
        c->n_aers--;
        nvme_post(c, 0, c->aer_cid[c->n_aers], NVME_OK, e.type | e.info << 8 | e.log << 16);
    }
}

void nvme_event(NVMe *c, uint8_t type, uint8_t info, uint8_t log)
{
    for (unsigned n = 0; n < c->n_events; n++) {
        if (c->event[n].type == type && c->event[n].info == info) {
            return;                     /* it will be told */
        }
    }
    if (c->n_events < NVME_EVENTS) {
        c->event[c->n_events++] = (NVMeEvent) { type, info, log };
    }
    send_events(c);
}

void nvme_event_read(NVMe *c, uint8_t type)
{
    c->masked &= ~(1u << type);
    send_events(c);
}

/* The request is kept by its number only. */
static uint16_t event_request(NVMeRequest *r)
{
    NVMe *c = r->c;

    if (c->n_aers == NVME_AERS) {
        return NVME_AER_LIMIT;
    }
    c->aer_cid[c->n_aers++] = r->cid;
    nvme_free_request(r);
    send_events(c);
    return NVME_PENDING;
}

/* ---- abort --------------------------------------------------------------------------------------------- */

static bool abort_event_request(NVMe *c, uint16_t cid)
{
    for (unsigned n = 0; n < c->n_aers; n++) {
        if (c->aer_cid[n] == cid) {
            c->n_aers--;
            memmove(&c->aer_cid[n], &c->aer_cid[n + 1], (c->n_aers - n) * sizeof(cid));
            nvme_post(c, 0, cid, NVME_ABORTED, 0);
            return true;
        }
    }
    return false;
}

/* Bit 0 of the result: not aborted.  A request that has begun is waited for. */
static uint16_t abort_command(NVMeRequest *r)
{
    NVMe *c = r->c;
    uint16_t sqid = ld16_le(r->cmd + CDW10), cid = ld16_le(r->cmd + CDW10 + 2);

    r->result = 1;
    if (sqid >= c->n_queues || !c->sq[sqid].used) {
        return NVME_INVALID_FIELD;
    }
    if (!sqid) {
        r->result = !abort_event_request(c, cid);
        return NVME_OK;
    }
    for (guint i = 0; i < c->requests->len; i++) {
        NVMeRequest *other = g_ptr_array_index(c->requests, i);
        if (other->sqid == sqid && other->cid == cid && other->blk) {
            r->result = 0;
            blk_cancel(other->blk);
            break;
        }
    }
    return NVME_OK;
}

/* ---- features ---------------------------------------------------------------------------------------------- */

static uint64_t timestamp_now(const NVMe *c)
{
    return c->timestamp + (clock_ns(ORRERY_CLOCK_VIRTUAL) - c->timestamp_at) / 1000000;
}

static uint16_t send_timestamp(NVMeRequest *r, uint64_t ms)
{
    uint8_t out[8] = { 0 };

    st64_le(out, ms & 0xffffffffffff);
    out[6] = r->c->timestamp_at ? 2 : 0;        /* origin: set by the host */
    return nvme_send(r, out, sizeof(out));
}

static uint16_t set_timestamp(NVMeRequest *r)
{
    uint8_t in[8];
    uint16_t status = nvme_fetch(r, in, sizeof(in));

    if (!status) {
        r->c->timestamp = ld64_le(in) & 0xffffffffffff;
        r->c->timestamp_at = clock_ns(ORRERY_CLOCK_VIRTUAL);
    }
    return status;
}

static void check_temperature(NVMe *c)
{
    bool alarm = NVME_TEMPERATURE >= c->over_threshold || NVME_TEMPERATURE <= c->under_threshold;

    c->critical = (c->critical & ~2) | (alarm ? 2 : 0);
    if (alarm && (c->event_config & 2)) {
        nvme_event(c, NVME_EVENT_SMART, 1, NVME_LOG_SMART);
    }
}

/* Sensor 0 is the composite one, the only one. */
static uint16_t set_threshold(NVMe *c, uint32_t val)
{
    unsigned sensor = val >> 16 & 15, kind = val >> 20 & 3;

    if ((sensor && sensor != 15) || kind > 1) {
        return NVME_INVALID_FIELD;
    }
    *(kind ? &c->under_threshold : &c->over_threshold) = val;
    check_temperature(c);
    return NVME_OK;
}

static void set_write_cache_done(void *opaque, int ret)
{
    NVMeRequest *r = opaque;

    r->blk = NULL;
    if (!r->c->dropping) {
        nvme_complete(r, ret < 0 ? NVME_INTERNAL_ERROR : NVME_OK);
    }
}

/* Switched off, it is emptied. */
static uint16_t set_write_cache(NVMeRequest *r, bool on)
{
    blk_set_write_cache(r->c->conf.blk, on);
    if (on) {
        return NVME_OK;
    }
    r->blk = blk_flush(r->c->conf.blk, set_write_cache_done, r);
    return NVME_PENDING;
}

static uint32_t queues_granted(const NVMe *c)
{
    uint32_t n = c->n_queues - 2;       /* I/O queues - 1 */
    return n | n << 16;
}

static uint16_t set_features(NVMeRequest *r)
{
    NVMe *c = r->c;
    uint32_t val = ld32_le(r->cmd + CDW11);

    if (r->cmd[CDW10 + 3] & 0x80) {
        return NVME_NOT_SAVEABLE;
    }
    switch (r->cmd[CDW10]) {
    case FEAT_ARBITRATION:
        c->arbitration = val;
        return NVME_OK;
    case FEAT_POWER:
        return val & 31 ? NVME_INVALID_FIELD : NVME_OK;         /* there is one state */
    case FEAT_TEMPERATURE:
        return set_threshold(c, val);
    case FEAT_ERROR_RECOVERY:
        c->error_recovery = val & 0xffff;
        return NVME_OK;
    case FEAT_WRITE_CACHE:
        return set_write_cache(r, val & 1);
    case FEAT_QUEUES:
        if ((val & 0xffff) == 0xffff || val >> 16 == 0xffff) {
            return NVME_INVALID_FIELD;
        }
        r->result = queues_granted(c);
        return NVME_OK;
    case FEAT_COALESCING:
        c->coalescing = val & 0xffff;
        return NVME_OK;
    case FEAT_VECTOR:
        return (val & 0xffff) < MAX(c->pci.msix_count, 1) ? NVME_NOT_CHANGEABLE : NVME_INVALID_FIELD;
    case FEAT_ATOMICITY:
        c->atomicity = val & 1;
        return NVME_OK;
    case FEAT_EVENTS:
        c->event_config = val;
        check_temperature(c);
        return NVME_OK;
    case FEAT_TIMESTAMP:
        return set_timestamp(r);
    default:
        return NVME_INVALID_FIELD;
    }
}

static uint16_t current_feature(NVMeRequest *r, bool defaults)
{
    NVMe *c = r->c;
    uint32_t val = ld32_le(r->cmd + CDW11);

    switch (r->cmd[CDW10]) {
    case FEAT_ARBITRATION:
        r->result = defaults ? 7 : c->arbitration;
        return NVME_OK;
    case FEAT_POWER:
        return NVME_OK;
    case FEAT_TEMPERATURE:
        r->result = val >> 20 & 3 ? (defaults ? 0 : c->under_threshold)
                                  : (defaults ? 0x157 : c->over_threshold);
        return NVME_OK;
    case FEAT_ERROR_RECOVERY:
        r->result = defaults ? 0 : c->error_recovery;
        return NVME_OK;
    case FEAT_WRITE_CACHE:
        r->result = defaults ? c->conf.default_cache : blk_write_cache(c->conf.blk);
        return NVME_OK;
    case FEAT_QUEUES:
        r->result = queues_granted(c);
        return NVME_OK;
    case FEAT_COALESCING:
        r->result = defaults ? 0 : c->coalescing;
        return NVME_OK;
    case FEAT_VECTOR:
        if ((val & 0xffff) >= MAX(c->pci.msix_count, 1)) {
            return NVME_INVALID_FIELD;
        }
        r->result = (val & 0xffff) | 1u << 16;          /* not coalesced */
        return NVME_OK;
    case FEAT_ATOMICITY:
        r->result = defaults ? 0 : c->atomicity;
        return NVME_OK;
    case FEAT_EVENTS:
        r->result = defaults ? 0 : c->event_config;
        return NVME_OK;
    case FEAT_TIMESTAMP:
        return send_timestamp(r, defaults ? 0 : timestamp_now(c));
    default:
        return NVME_INVALID_FIELD;
    }
}

static bool changeable(uint8_t feature)
{
    return feature != FEAT_VECTOR && feature != FEAT_POWER;
}

static uint16_t get_features(NVMeRequest *r)
{
    unsigned select = r->cmd[CDW10 + 1] & 7;
    uint16_t status;

    switch (select) {
    case 0:                             /* current */
        return current_feature(r, false);
    case 1:                             /* default */
    case 2:                             /* saved: none are */
        return current_feature(r, true);
    case 3:                             /* capabilities */
        status = r->cmd[CDW10] == FEAT_TIMESTAMP ? NVME_OK : current_feature(r, true);
        r->result = status ? 0 : changeable(r->cmd[CDW10]) ? CAP_CHANGEABLE : 0;
        return status;
    default:
        return NVME_INVALID_FIELD;
    }
}

/* ---- the table ------------------------------------------------------------------------------------------------ */

uint16_t nvme_admin(NVMeRequest *r)
{
    switch (r->cmd[0]) {
    case ADM_DELETE_SQ:
        return delete_sq(r);
    case ADM_CREATE_SQ:
        return create_sq(r);
    case ADM_GET_LOG:
        return nvme_get_log(r);
    case ADM_DELETE_CQ:
        return delete_cq(r);
    case ADM_CREATE_CQ:
        return create_cq(r);
    case ADM_IDENTIFY:
        return nvme_identify(r);
    case ADM_ABORT:
        return abort_command(r);
    case ADM_SET_FEATURES:
        return set_features(r);
    case ADM_GET_FEATURES:
        return get_features(r);
    case ADM_AER:
        return event_request(r);
    case ADM_FORMAT:
        return nvme_format(r);
    default:
        LOG_GUEST("nvme: admin command %02xh does not exist\n", r->cmd[0]);
        return NVME_INVALID_OPCODE;
    }
}
