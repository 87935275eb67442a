/* SPDX-License-Identifier: MIT */
/*
 * Properties of disk devices.
 */
#include "hw/block/blkconf.h"
#include "util/bits.h"

#define MAX_BLOCK_SIZE (2u << 20)

static bool check_size(const Device *dev, const char *prop, uint32_t size, Error **err)
{
    return (is_pow2(size) && size >= 512 && size <= MAX_BLOCK_SIZE)
           || fail(err, "%s: %s=%u: use a power of two from 512 to %u", dev->type->name, prop, size,
                   MAX_BLOCK_SIZE);
}

static bool check_multiple(const Device *dev, const char *prop, uint32_t val, uint32_t of, Error **err)
{
    return val % of == 0 || fail(err, "%s: %s=%u: must be a multiple of logical_block_size=%u",
                                 dev->type->name, prop, val, of);
}

static bool check_sizes(BlkConf *c, const Device *dev, Error **err)
{
    BlkLimits limits;
    uint32_t log = c->logical_block_size ? c->logical_block_size : BLK_SECTOR;
    uint32_t phys = c->physical_block_size ? c->physical_block_size : log;

    c->logical_block_size = log;
    c->physical_block_size = phys;
    if (!check_size(dev, "logical_block_size", log, err)
        || !check_size(dev, "physical_block_size", phys, err)) {
        return false;
    }
    if (log > phys) {
        return fail(err, "%s: logical_block_size=%u is larger than physical_block_size=%u",
                    dev->type->name, log, phys);
    }
    blk_limits(c->blk, &limits);
    if (c->discard_granularity == BLKCONF_GRANULARITY_AUTO) {
        c->discard_granularity = MAX(limits.discard_granularity, log) / log * log;
    }
    return check_multiple(dev, "min_io_size", c->min_io_size, log, err)
           && check_multiple(dev, "opt_io_size", c->opt_io_size, log, err)
           && check_multiple(dev, "discard_granularity", c->discard_granularity, log, err);
}

static bool check_medium(const BlkConf *c, const Device *dev, bool needs_medium, bool may_be_readonly,
                         Error **err)
{
    if (!c->blk) {
        return fail(err, "%s: drive= is needed", dev->type->name);
    }
    if (needs_medium && !blk_has_medium(c->blk)) {
        return fail(err, "%s: drive '%s' is empty, a disk needs a medium", dev->type->name,
                    blk_name(c->blk));
    }
    if (!may_be_readonly && blk_readonly(c->blk)) {
        return fail(err, "%s: drive '%s' is read-only, this disk can't be", dev->type->name,
                    blk_name(c->blk));
    }
    return true;
}

bool blkconf_realize(BlkConf *c, Device *dev, bool needs_medium, bool may_be_readonly,
                     const BlkDevOps *ops, void *opaque, Error **err)
{
    if (!check_medium(c, dev, needs_medium, may_be_readonly, err) || !check_sizes(c, dev, err)
        || !blk_attach(c->blk, dev->type->name, ops, opaque, err)) {
        return false;
    }
    blk_set_on_error(c->blk, c->rerror, c->werror);
    if (c->write_cache != 2) {
        blk_set_write_cache(c->blk, c->write_cache);
    }
    c->default_cache = blk_write_cache(c->blk);
    return true;
}

void blkconf_unrealize(BlkConf *c)
{
    blk_set_write_cache(c->blk, c->default_cache);
    blk_detach(c->blk);
}

void blkconf_unplugged(BlkConf *c)
{
    blkconf_unrealize(c);
    blk_auto_delete(c->blk);
    c->blk = NULL;
}

void blkconf_reset(BlkConf *c)
{
    blk_set_write_cache(c->blk, c->default_cache);
}

bool blkconf_geometry(BlkConf *c, Device *dev, uint32_t max_cyls, uint32_t max_heads,
                      uint32_t max_secs, Error **err)
{
    if (!c->cyls && !c->heads && !c->secs) {
        blk_geometry(c->blk, &c->cyls, &c->heads, &c->secs);
        return true;
    }
    return (c->cyls >= 1 && c->cyls <= max_cyls && c->heads >= 1 && c->heads <= max_heads
            && c->secs >= 1 && c->secs <= max_secs)
           || fail(err, "%s: cyls=%u,heads=%u,secs=%u: use 1 to %u, 1 to %u, 1 to %u",
                   dev->type->name, c->cyls, c->heads, c->secs, max_cyls, max_heads, max_secs);
}
