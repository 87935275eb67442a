/* SPDX-License-Identifier: MIT */
/*
 * NVMe: what controller and namespace tell about themselves: identify, log pages.
 *
 * Source: the specification, 5.14 (Get Log Page), 5.15 (Identify).
 */
#include "hw/nvme/nvme.h"
#include "util/bits.h"
#include "util/timer.h"

#define INFO_SIZE       4096
#define NSID            4
#define CDW10           40
#define CDW11           44
#define CDW12           48
#define CDW13           52

enum { CNS_NAMESPACE = 0, CNS_CONTROLLER, CNS_ACTIVE, CNS_DESCRIPTORS };

static void put_text(uint8_t *out, size_t size, const char *text)
{
    size_t len = strlen(text);

    memset(out, ' ', size);
    memcpy(out, text, MIN(len, size));
}

/* ---- identify ------------------------------------------------------------------------------------ */

static void controller_limits(const NVMe *c, uint8_t *o)
{
    o[77] = c->mdts;                    /* largest transfer, 4 KiB << this */
    st32_le(o + 80, 0x00010400);        /* version */
    st32_le(o + 96, 1u << 8);           /* attributes changes are not reported */
    st16_le(o + 256, 0x0002);           /* Format NVM */
    o[258] = 3;                         /* aborts at once - 1 */
    o[259] = NVME_AERS - 1;
    o[260] = 0x03;                      /* one firmware slot, read-only */
    o[261] = 0x06;                      /* log pages: effects, any part of them */
    o[262] = 0;                         /* one entry in the error log */
    st16_le(o + 266, 0x157);            /* K: warning, */
    st16_le(o + 268, 0x175);            /* ... critical temperature */
}

static void controller_io(const NVMe *c, uint8_t *o)
{
    o[512] = 0x66;                      /* entries: 64 bytes, */
    o[513] = 0x44;                      /* ... 16 */
    st32_le(o + 516, 1);                /* namespaces */
    st16_le(o + 520, 0x00cd);           /* compare, DSM, write zeroes, timestamp, verify */
    o[525] = 0x07;                      /* volatile write cache; flush takes all namespaces */
    st32_le(o + 536, 0x00010001);       /* SGLs of any alignment, with bit buckets */
    st16_le(o + 2048, 2500);            /* power state 0: 25 W */
    st32_le(o + 2052, 16);              /* us to enter */
    st32_le(o + 2056, 4);               /* ... to leave */
}

static void identify_controller(const NVMe *c, uint8_t *o)
{
    g_autofree char *name = g_strdup_printf("nqn.2019-08.org.qemu:%s", c->serial);

    st16_le(o, pci_get_word(c->pci.config + PCI_VENDOR_ID));
    st16_le(o + 2, pci_get_word(c->pci.config + PCI_SUBSYS_VENDOR));
    put_text(o + 4, 20, c->serial);
    put_text(o + 24, 40, NVME_MODEL);
    put_text(o + 64, 8, NVME_FIRMWARE);
    o[72] = 6;                          /* commands that are good to be taken at once, log2 */
    o[73] = 0x00, o[74] = 0x54, o[75] = 0x52;
    controller_limits(c, o);
    controller_io(c, o);
    g_strlcpy((char *)o + 768, name, 256);
}

static void identify_namespace(const NVMe *c, uint8_t *o)
{
    const BlkConf *b = &c->conf;
    uint32_t size = b->logical_block_size;
    bool thin = b->discard_granularity;

    st64_le(o, nvme_blocks(c));         /* size, */
    st64_le(o + 8, nvme_blocks(c));     /* ... capacity, */
    st64_le(o + 16, nvme_blocks(c));    /* ... use */
    o[24] = thin ? 0x10 : 0;            /* the preferred granularities count */
    o[99] = blk_readonly(b->blk) ? 1 : 0;
    if (thin) {
        st16_le(o + 64, MAX(b->min_io_size / size, 1) - 1);
        st16_le(o + 66, MAX(b->min_io_size / size, 1) - 1);
        st16_le(o + 68, MAX(b->discard_granularity / size, 1) - 1);
        st16_le(o + 70, MAX(b->discard_granularity / size, 1) - 1);
        st16_le(o + 72, MAX(b->opt_io_size / size, 1) - 1);
    }
    o[130] = __builtin_ctz(size);       /* LBA format 0 */
}

/* The namespace's UUID follows from the serial number, so that it is the same each time. */
static void identify_descriptors(const NVMe *c, uint8_t *o)
{
    g_autofree char *text = g_strdup_printf("nvme:%s:%u", c->serial, NVME_NSID);
    g_autoptr(GChecksum) sum = g_checksum_new(G_CHECKSUM_MD5);
    gsize len = 16;

    g_checksum_update(sum, (const uint8_t *)text, -1);
    o[0] = 3;                           /* UUID */
    o[1] = 16;
    g_checksum_get_digest(sum, o + 4, &len);
    o[4 + 6] = (o[4 + 6] & 0x0f) | 0x30;
    o[4 + 8] = (o[4 + 8] & 0x3f) | 0x80;
}

uint16_t nvme_identify(NVMeRequest *r)
{
    uint8_t out[INFO_SIZE] = { 0 };
    uint32_t nsid = ld32_le(r->cmd + NSID);

    switch (r->cmd[CDW10]) {
    case CNS_NAMESPACE:
        if (nsid != NVME_NSID && nsid != UINT32_MAX) {
            return NVME_INVALID_NAMESPACE;
        }
        identify_namespace(r->c, out);
        break;
    case CNS_CONTROLLER:
        identify_controller(r->c, out);
        break;
    case CNS_ACTIVE:
        if (nsid >= 0xfffffffe) {
            return NVME_INVALID_NAMESPACE;
        }
        st32_le(out, nsid < NVME_NSID ? NVME_NSID : 0);
        break;
    case CNS_DESCRIPTORS:
        if (nsid != NVME_NSID) {
            return NVME_INVALID_NAMESPACE;
        }
        identify_descriptors(r->c, out);
        break;
    default:
        return NVME_INVALID_FIELD;
    }
    return nvme_send(r, out, sizeof(out));
}

/* ---- log pages --------------------------------------------------------------------------------------- */

static void smart_log(const NVMe *c, uint8_t *o)
{
    const BlkStats *s = blk_stats(c->conf.blk);
    uint64_t hours = clock_ns(ORRERY_CLOCK_VIRTUAL) / (3600ull * 1000000000);

    o[0] = c->critical;
    st16_le(o + 1, NVME_TEMPERATURE);
    o[3] = 100;                         /* % spare, */
    o[4] = 10;                          /* ... its threshold */
    st64_le(o + 32, (s->rd_bytes / 512 + 999) / 1000);
    st64_le(o + 48, (s->wr_bytes / 512 + 999) / 1000);
    st64_le(o + 64, s->rd_ops);
    st64_le(o + 80, s->wr_ops);
    st64_le(o + 128, hours);
    st64_le(o + 160, s->failed_rd + s->failed_wr);
}

static void effects_log(uint8_t *o)
{
    static const uint8_t admin[] = { 0x00, 0x01, 0x02, 0x04, 0x05, 0x06, 0x08, 0x09, 0x0a, 0x0c };
    static const uint8_t io[] = { 0x00, 0x02, 0x05, 0x0c }, changing[] = { 0x01, 0x08, 0x09 };

    for (unsigned i = 0; i < sizeof(admin); i++) {
        st32_le(o + 4 * admin[i], 1);
    }
    st32_le(o + 4 * 0x80, 3);           /* format changes what blocks hold */
    for (unsigned i = 0; i < sizeof(io); i++) {
        st32_le(o + 1024 + 4 * io[i], 1);
    }
    for (unsigned i = 0; i < sizeof(changing); i++) {
        st32_le(o + 1024 + 4 * changing[i], 3);
    }
}

uint16_t nvme_get_log(NVMeRequest *r)
{
    NVMe *c = r->c;
    uint8_t out[INFO_SIZE] = { 0 }, page = r->cmd[CDW10];
    bool retain = r->cmd[CDW10 + 1] & 0x80;
    uint64_t len = ((uint64_t)ld16_le(r->cmd + CDW11) << 16 | ld16_le(r->cmd + CDW10 + 2)) * 4 + 4;
    uint64_t off = ld64_le(r->cmd + CDW12), size = 512;

    switch (page) {
    case NVME_LOG_ERROR:
        size = 64;
        break;
    case NVME_LOG_SMART:
        smart_log(c, out);
        break;
    case NVME_LOG_FIRMWARE:
        out[0] = 1;
        put_text(out + 8, 8, NVME_FIRMWARE);
        break;
    case NVME_LOG_EFFECTS:
        effects_log(out);
        size = INFO_SIZE;
        break;
    default:
        return NVME_INVALID_LOG;
    }
    if (off >= size || (off & 3)) {
        return NVME_INVALID_FIELD;
    }
    uint16_t status = nvme_send(r, out + off, MIN(len, size - off));
    if (!status && !retain && page <= NVME_LOG_SMART) {
        nvme_event_read(c, page == NVME_LOG_ERROR ? NVME_EVENT_ERROR : NVME_EVENT_SMART);
    }
    return status;
}
