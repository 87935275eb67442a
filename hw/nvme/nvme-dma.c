/* SPDX-License-Identifier: MIT */
/*
 * NVMe: from a command's physical region pages (PRPs) to host memory.
 *
 * Source: the specification, 4.3.
 *
 * PRP 1 may begin inside a page; the pages behind it are PRP 2 (if one is enough) or a list of
 * which the last entry of a page leads to the next page.  Memory that is not RAM gets a bounce
 * buffer.
 */
#include "hw/nvme/nvme.h"
#include "util/bits.h"
#include "util/iov.h"
#include "util/log.h"

#define PRP1    24
#define PRP2    32
#define PSDT    0xc0                    /* byte 1: not PRPs */
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
            NVMePlace place = { addr, mapped };
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

uint16_t nvme_map(NVMeRequest *r, size_t len, bool to_host)
{
    if (r->cmd[1] & PSDT) {
        return NVME_INVALID_FIELD;
    }
    r->vec = (NVMeVec) {
        .iov = g_array_sized_new(FALSE, FALSE, sizeof(struct iovec), len / 4096 + 2),
        .place = g_array_sized_new(FALSE, FALSE, sizeof(NVMePlace), len / 4096 + 2),
        .to_host = to_host,
    };
    uint16_t status = map_prps(r, len);
    if (status) {
        LOG_GUEST("nvme: bad PRP in command %02xh of queue %u\n", r->cmd[0], r->sqid);
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
        if (v->to_host && done) {
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
