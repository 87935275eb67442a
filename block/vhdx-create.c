/* SPDX-License-Identifier: MIT */
/*
 * vhdx: making images.
 */
#include "block/vhdx.h"
#include "util/bits.h"

#include <inttypes.h>
#include <string.h>

const BlockCreateOption vhdx_create_options[] = {
    { "block_size", "size", "0", "Block Size; min 1MB, max 256MB. 0 means auto-calculate based on image "
      "size." },
    { "block_state_zero", "bool", NULL, "Force use of payload blocks of type 'ZERO'.  Non-standard." },
    { "log_size", "size", "1048576", "Log size; min 1MB." },
    { "size", "size", NULL, "Virtual disk size" },
    { "subformat", "str", NULL, "VHDX format type, can be either 'dynamic' or 'fixed'. Default is "
      "'dynamic'." },
    { NULL }
};

typedef struct Making {
    uint64_t size, block_size, log_size, blocks, entries;
    uint64_t meta_at, bat_at, bat_len, data_at;
    bool fixed;
} Making;

static uint64_t usual_block_size(uint64_t size)
{
    return size > 32ull << 40 ? 64 << 20 : size > 100ull << 30 ? 32 << 20 : size > 1 << 30 ? 16 << 20
           : 8 << 20;
}

static bool take_all(Making *m, Json *o, Error **err)
{
    g_autofree char *subformat = NULL;
    bool state_zero = true;             /* every block that is not there reads as zeroes anyway */
    m->log_size = VHDX_MB;
    if (!block_take_uint(o, "size", &m->size, err) || !block_take_uint(o, "block_size", &m->block_size, err)
        || !block_take_uint(o, "log_size", &m->log_size, err)
        || !block_take_str(o, "subformat", &subformat, err)
        || !block_take_bool(o, "block_state_zero", &state_zero, err)) {
        return false;
    }
    m->fixed = subformat && !strcmp(subformat, "fixed");
    if (subformat && !m->fixed && strcmp(subformat, "dynamic")) {
        return fail(err, "Invalid subformat '%s' (dynamic or fixed)", subformat);
    }
    m->size = (m->size + BLK_SECTOR - 1) / BLK_SECTOR * BLK_SECTOR;
    m->block_size = m->block_size ? m->block_size : usual_block_size(m->size);
    if (m->size > 64ull << 40) {
        return fail(err, "Image size too large; max of 64TB");
    }
    if (m->block_size < VHDX_MB || m->block_size > 256 << 20 || !is_pow2(m->block_size)) {
        return fail(err, "Block size must be a power of two from 1 MB to 256 MB");
    }
    if (m->log_size < VHDX_MB || m->log_size % VHDX_MB || m->log_size > VHDX_MAX_LOG) {
        return fail(err, "Log size must be a multiple of 1 MB, at most %u MB", VHDX_MAX_LOG / VHDX_MB);
    }
    uint64_t ratio = (512ull << 23) / m->block_size;
    m->blocks = m->size / m->block_size + !!(m->size % m->block_size);
    m->entries = m->blocks ? m->blocks + (m->blocks - 1) / ratio : 0;
    m->meta_at = VHDX_MB + m->log_size;
    m->bat_at = m->meta_at + VHDX_MB;
    m->bat_len = MAX((m->entries * 8 + VHDX_MB - 1) / VHDX_MB, 1) * VHDX_MB;
    m->data_at = m->bat_at + m->bat_len;
    return m->entries * 8 <= VHDX_MAX_BAT || fail(err, "The block size is too small for such a disk");
}

static void fill_headers(const Making *m, uint8_t *all)
{
    static const char creator[] = "Orrery";
    memcpy(all, "vhdxfile", 8);
    for (size_t i = 0; i < sizeof(creator); i++) {
        st16_le(all + 8 + i * 2, creator[i]);
    }
    for (int copy = 0; copy < 2; copy++) {
        uint8_t *h = all + VHDX_KB64 * (1 + copy);
        memcpy(h, "head", 4);
        st64_le(h + H_SEQUENCE, 1 + copy);
        vhdx_new_guid(h + H_FILE_GUID);
        vhdx_new_guid(h + H_DATA_GUID);
        st16_le(h + H_VERSION, 1);
        st32_le(h + H_LOG_LENGTH, m->log_size);
        st64_le(h + H_LOG_OFFSET, VHDX_MB);
        st32_le(h + H_CHECKSUM, vhdx_checksum(h, VHDX_HEADER));
    }
}

static void fill_regions(const Making *m, uint8_t *all)
{
    const struct { const uint8_t *guid; uint64_t at; uint32_t len; } regions[] = {
        { vhdx_guid_bat, m->bat_at, m->bat_len }, { vhdx_guid_metadata, m->meta_at, VHDX_MB },
    };
    for (int copy = 0; copy < 2; copy++) {
        uint8_t *t = all + VHDX_KB64 * (3 + copy);
        memcpy(t, "regi", 4);
        st32_le(t + 8, G_N_ELEMENTS(regions));
        for (size_t i = 0; i < G_N_ELEMENTS(regions); i++) {
            uint8_t *e = t + 16 + i * 32;
            memcpy(e, regions[i].guid, 16);
            st64_le(e + 16, regions[i].at);
            st32_le(e + 24, regions[i].len);
            st32_le(e + 28, 1);         /* required */
        }
        st32_le(t + H_CHECKSUM, vhdx_checksum(t, VHDX_TABLE));
    }
}

static void fill_metadata(const Making *m, uint8_t *t)
{
    enum { REQUIRED = 4, OF_DISK = 2 };
    uint8_t parameters[8], size[8], page83[16], sector[4];
    st32_le(parameters, m->block_size);
    st32_le(parameters + 4, m->fixed);  /* blocks stay allocated */
    st64_le(size, m->size);
    vhdx_new_guid(page83);
    st32_le(sector, 512);
    const struct { const uint8_t *guid, *value; uint32_t len, flags; } items[] = {
        { vhdx_guid_parameters, parameters, 8, REQUIRED }, { vhdx_guid_size, size, 8, REQUIRED | OF_DISK },
        { vhdx_guid_page83, page83, 16, REQUIRED | OF_DISK },
        { vhdx_guid_sector, sector, 4, REQUIRED | OF_DISK },
        { vhdx_guid_physical, sector, 4, REQUIRED | OF_DISK },
    };
    memcpy(t, "metadata", 8);
    st16_le(t + 10, G_N_ELEMENTS(items));
    uint32_t at = VHDX_KB64;
    for (size_t i = 0; i < G_N_ELEMENTS(items); i++) {
        uint8_t *e = t + 32 + i * 32;
        memcpy(e, items[i].guid, 16);
        st32_le(e + 16, at);
        st32_le(e + 20, items[i].len);
        st32_le(e + 24, items[i].flags);
        memcpy(t + at, items[i].value, items[i].len);
        at += items[i].len;
    }
}

static int write_fixed_bat(const Making *m, BlockNode *file)
{
    g_autofree uint8_t *bat = g_malloc0(m->bat_len);
    uint64_t ratio = (512ull << 23) / m->block_size;
    for (uint64_t b = 0; b < m->blocks; b++) {
        st64_le(bat + (b + b / ratio) * 8, (m->data_at + b * m->block_size) | BLOCK_PRESENT);
    }
    return node_pwrite(file, m->bat_at, bat, m->bat_len);
}

bool vhdx_create(const char *filename, Json *options, Error **err)
{
    Making m = { 0 };
    if (!take_all(&m, options, err)) {
        return false;
    }
    BlockNode *file = node_create_file(filename, options, err);
    if (!file) {
        return false;
    }
    g_autofree uint8_t *all = g_malloc0(VHDX_KB64 * 5), *meta = g_malloc0(VHDX_MB);
    fill_headers(&m, all);
    fill_regions(&m, all);
    fill_metadata(&m, meta);
    uint64_t end = m.data_at + (m.fixed ? m.blocks * m.block_size : 0);
    bool ok = node_truncate(file, end, PREALLOC_OFF, err);
    int ret = ok && m.fixed ? write_fixed_bat(&m, file) : 0;
    if (ok && !ret) {
        ret = node_pwrite(file, m.meta_at, meta, VHDX_MB);
        ret = ret ? ret : node_pwrite(file, 0, all, VHDX_KB64 * 5);
        ret = ret ? ret : node_flush(file);
    }
    node_unref(file);
    return ret ? fail_errno(err, -ret, "Could not write '%s'", filename) : ok;
}
