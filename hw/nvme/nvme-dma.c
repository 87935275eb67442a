/* SPDX-License-Identifier: MIT */
/*
 * NVMe: from a command's physical region pages (PRPs) or scatter gather list (SGL) to host memory.
 *
 * Source: the specification, 4.3 (PRPs), 4.4 (SGLs).
 *
 * PRP 1 may begin inside a page; the pages behind it are PRP 2 (if one is enough) or a list of
 * which the last entry of a page leads to the next page.  Memory that is not RAM gets a bounce
 * buffer.
 *
 * An SGL is one descriptor in the command: of data, or of a segment of descriptors, whose last one
 * may lead to another segment.  A descriptor:
 *
 *     0 address   8 length   12 reserved   15 type << 4 | subtype
 */
#include "hw/nvme/nvme.h"
#include "util/bits.h"
#include "util/iov.h"
#include "util/log.h"

#define PRP1    24
#define PRP2    32
#define PSDT    0xc0                    /* byte 1: 0 PRPs, 40h and 80h an SGL */
#define SGL1    24
#define BOUNCE  4096u

void nvme_dma_write(NVMe *c, uint64_t addr, const void *buf, uint32_t len)
{
    if (memory_guard_enter(c)) {
        pci_dma_write(&c->pci, addr, buf, len);
        memory_guard_leave();
    }
}

/* Contiguous pages become one piece. */
static bool extends_last(NVMeVec *v, void *host)
{
    struct iovec *last = v->iov->len ? &g_array_index(v->iov, struct iovec, v->iov->len - 1) : NULL;

    return last && (char *)last->iov_base + last->iov_len == host
           && g_array_index(v->place, NVMePlace, v->place->len - 1).mapped;
}

static void add_piece(NVMeRequest *r, uint64_t addr, uint64_t len)
{
    NVMe *c = r->c;
    NVMeVec *v = &r->vec;

    while (len) {
        uint64_t n = len;
        void *host = address_space_map(&c->pci.dma, addr, &n, v->to_host);
        bool mapped = host;

        if (!mapped) {
            n = MIN(len, BOUNCE);
            host = g_malloc0(n);
            if (!v->to_host) {
                pci_dma_read(&c->pci, addr, host, n);
            }
        }
        if (mapped && extends_last(v, host)) {
            g_array_index(v->iov, struct iovec, v->iov->len - 1).iov_len += n;
        } else {
            struct iovec iov = { host, n };
            NVMePlace place = { .addr = addr, .mapped = mapped };
            g_array_append_val(v->iov, iov);
            g_array_append_val(v->place, place);
        }
        v->size += n;
        addr += n;
        len -= n;
    }
}

static uint16_t walk_list(NVMeRequest *r, uint64_t list, size_t len)
{
    uint32_t page = nvme_page_size(r->c);
    uint8_t entry[8];

    if (list & 7) {
        return NVME_INVALID_PRP_OFFSET;
    }
    while (len) {
        bool last_of_page = ((list + 8) & (page - 1)) == 0;
        if (pci_dma_read(&r->c->pci, list, entry, sizeof(entry)) != MEM_OK) {
            return NVME_TRANSFER_ERROR;
        }
        uint64_t prp = ld64_le(entry);
        if (last_of_page && len > page) {
            if (prp & (page - 1)) {
                return NVME_INVALID_PRP_OFFSET;
            }
            list = prp;                 /* each page of the list takes at least one of data */
            if (pci_dma_read(&r->c->pci, list, entry, sizeof(entry)) != MEM_OK) {
                return NVME_TRANSFER_ERROR;
            }
            prp = ld64_le(entry);
        }
        if (prp & (page - 1)) {
            return NVME_INVALID_PRP_OFFSET;
        }
        size_t n = MIN(len, page);
        add_piece(r, prp, n);
        len -= n;
        list += 8;
    }
    return NVME_OK;
}

static uint16_t map_prps(NVMeRequest *r, size_t len)
{
    uint32_t page = nvme_page_size(r->c);
    uint64_t prp1 = ld64_le(r->cmd + PRP1), prp2 = ld64_le(r->cmd + PRP2);
    size_t n = MIN(len, page - (prp1 & (page - 1)));

    if (prp1 & 3) {
        return NVME_INVALID_PRP_OFFSET;
    }
    add_piece(r, prp1, n);
    len -= n;
    if (!len) {
        return NVME_OK;
    }
    if (len > page) {
        return walk_list(r, prp2, len);
    }
    if (prp2 & (page - 1)) {
        return NVME_INVALID_PRP_OFFSET;
    }
    add_piece(r, prp2, len);
    return NVME_OK;
}

/* ---- scatter gather lists --------------------------------------------------------------------- */

enum { SGL_DATA = 0x00, SGL_BUCKET = 0x10, SGL_SEGMENT = 0x20, SGL_LAST_SEGMENT = 0x30 };
#define SGL_ENTRY   16
#define SGL_BATCH   256u                /* descriptors read at once */
#define SGL_MAX     8192u               /* of a command: empty ones would have no end */

typedef struct SGLDesc {
    uint64_t addr;
    uint32_t len;
    uint8_t type;
} SGLDesc;

static SGLDesc get_desc(const uint8_t *p)
{
    return (SGLDesc) { ld64_le(p), ld32_le(p + 8), p[15] };
}

static bool is_segment(const SGLDesc *d)
{
    return d->type == SGL_SEGMENT || d->type == SGL_LAST_SEGMENT;
}

/* Data that the driver does not want. */
static void add_bucket(NVMeRequest *r, uint64_t len)
{
    struct iovec iov = { g_malloc(len), len };
    NVMePlace place = { .bucket = true };

    g_array_append_val(r->vec.iov, iov);
    g_array_append_val(r->vec.place, place);
    r->vec.size += len;
}

/* Data or a bit bucket, which counts when reading only. */
static uint16_t add_data(NVMeRequest *r, const SGLDesc *d, size_t want)
{
    size_t left = want - r->vec.size;

    if (d->type == SGL_BUCKET && !r->vec.to_host) {
        return NVME_OK;
    }
    if (d->type != SGL_DATA && d->type != SGL_BUCKET) {
        return NVME_SGL_TYPE;
    }
    if (d->len > left || d->addr + d->len < d->addr) {
        return d->len > left ? NVME_SGL_LENGTH : NVME_TRANSFER_ERROR;
    }
    if (d->type == SGL_BUCKET && d->len) {
        add_bucket(r, d->len);
    } else {
        add_piece(r, d->addr, d->len);
    }
    return NVME_OK;
}

/* All of a segment; *next: the one it leads to, if it is one. */
static uint16_t walk_segment(NVMeRequest *r, const SGLDesc *segment, size_t want, unsigned *seen, SGLDesc *next)
{
    uint8_t batch[SGL_BATCH * SGL_ENTRY];
    uint32_t count = segment->len / SGL_ENTRY;
    uint16_t status = NVME_OK;

    *next = (SGLDesc) { 0 };
    if (!count || segment->len % SGL_ENTRY) {
        return NVME_INVALID_SGL_SEGMENT;
    }
    if (count > SGL_MAX - *seen) {
        return NVME_INVALID_SGL_COUNT;
    }
    *seen += count;
    for (uint32_t i = 0; i < count && !status; i++) {
        if (i % SGL_BATCH == 0 && pci_dma_read(&r->c->pci, segment->addr + (uint64_t)i * SGL_ENTRY, batch,
                                               MIN(count - i, SGL_BATCH) * SGL_ENTRY) != MEM_OK) {
            return NVME_TRANSFER_ERROR;
        }
        SGLDesc d = get_desc(batch + i % SGL_BATCH * SGL_ENTRY);
        if (!is_segment(&d)) {
            status = add_data(r, &d, want);
        } else if (i == count - 1 && segment->type == SGL_SEGMENT) {
            *next = d;
        } else {
            status = NVME_INVALID_SGL_SEGMENT;
        }
    }
    /* a segment that is not the last one leads to another */
    return !status && segment->type == SGL_SEGMENT && !is_segment(next) ? NVME_INVALID_SGL_SEGMENT : status;
}

static uint16_t map_sgl(NVMeRequest *r, size_t len)
{
    SGLDesc d = get_desc(r->cmd + SGL1), next;
    unsigned seen = 0;
    uint16_t status = NVME_OK;

    if (!is_segment(&d)) {
        status = add_data(r, &d, len);
    }
    for (; is_segment(&d) && !status; d = next) {
        status = walk_segment(r, &d, len, &seen, &next);
    }
    return status ? status : r->vec.size == len ? NVME_OK : NVME_SGL_LENGTH;
}

uint16_t nvme_map(NVMeRequest *r, size_t len, bool to_host)
{
    unsigned psdt = r->cmd[1] & PSDT;

    if (psdt == PSDT || (psdt && !r->sqid)) {
        return NVME_INVALID_FIELD;      /* admin commands have PRPs */
    }
    r->vec = (NVMeVec) {
        .iov = g_array_sized_new(FALSE, FALSE, sizeof(struct iovec), len / 4096 + 2),
        .place = g_array_sized_new(FALSE, FALSE, sizeof(NVMePlace), len / 4096 + 2),
        .to_host = to_host,
    };
    uint16_t status = psdt ? map_sgl(r, len) : map_prps(r, len);
    if (status) {
        LOG_GUEST("nvme: bad PRP or SGL in command %02xh of queue %u\n", r->cmd[0], r->sqid);
        nvme_unmap(r, false);
    }
    return status;
}

void nvme_unmap(NVMeRequest *r, bool done)
{
    NVMeVec *v = &r->vec;

    for (guint i = 0; v->iov && i < v->iov->len; i++) {
        struct iovec *iov = &g_array_index(v->iov, struct iovec, i);
        NVMePlace *place = &g_array_index(v->place, NVMePlace, i);
        if (place->mapped) {
            address_space_unmap(&r->c->pci.dma, iov->iov_base, iov->iov_len, v->to_host,
                                v->to_host ? iov->iov_len : 0);
            continue;
        }
        if (v->to_host && done && !place->bucket) {
            nvme_dma_write(r->c, place->addr, iov->iov_base, iov->iov_len);
        }
        g_free(iov->iov_base);
    }
    g_clear_pointer(&v->iov, g_array_unref);
    g_clear_pointer(&v->place, g_array_unref);
    v->size = 0;
}

uint16_t nvme_send(NVMeRequest *r, const void *buf, size_t len)
{
    uint16_t status = nvme_map(r, len, true);

    if (!status) {
        iov_from_buf((struct iovec *)r->vec.iov->data, r->vec.iov->len, 0, buf, len);
        nvme_unmap(r, true);
    }
    return status;
}

uint16_t nvme_fetch(NVMeRequest *r, void *buf, size_t len)
{
    uint16_t status = nvme_map(r, len, false);

    if (!status) {
        iov_to_buf((struct iovec *)r->vec.iov->data, r->vec.iov->len, 0, buf, len);
        nvme_unmap(r, true);
    }
    return status;
}
