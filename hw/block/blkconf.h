/* SPDX-License-Identifier: MIT */
/*
 * What disk devices have in common: the properties of a disk, their checks, and what follows
 * from the medium where the user did not say.  [bql]
 */
#ifndef HW_BLOCK_BLKCONF_H
#define HW_BLOCK_BLKCONF_H

#include "block/block.h"
#include "hw/core/device.h"

typedef struct BlkConf {
    BlockBackend *blk;
    uint32_t logical_block_size, physical_block_size;       /* bytes, powers of two */
    uint32_t min_io_size, opt_io_size;                      /* bytes, 0: not told */
    uint32_t discard_granularity;                           /* bytes */
    int32_t bootindex;
    uint32_t cyls, heads, secs;
    int rerror, werror;                                     /* BlkOnError */
    int write_cache;                                        /* on/off/auto */
    bool default_cache;                                     /* what reset goes back to */
} BlkConf;

#define BLKCONF_GRANULARITY_AUTO UINT32_MAX

/* c: the BlkConf inside T. */
#define BLKCONF_PROPS(T, c)                                                                    \
    PROP_DRIVE("drive", T, c.blk, "the -drive or -blockdev with the medium"),                  \
    PROP_SIZE("logical_block_size", T, c.logical_block_size, 0, "bytes (default: 512)"),       \
    PROP_SIZE("physical_block_size", T, c.physical_block_size, 0, "bytes (default: the "       \
              "logical one)"),                                                                 \
    PROP_SIZE("min_io_size", T, c.min_io_size, 0, "good granularity of requests, bytes"),      \
    PROP_SIZE("opt_io_size", T, c.opt_io_size, 0, "good size of requests, bytes"),             \
    PROP_SIZE("discard_granularity", T, c.discard_granularity, BLKCONF_GRANULARITY_AUTO,       \
              "bytes that can be freed (default: the medium's)"),                              \
    PROP_INT("bootindex", T, c.bootindex, -1, "place in the boot order, -1 = none"),           \
    PROP_ONOFFAUTO("write-cache", T, c.write_cache, 2, "off: writes are on stable storage "    \
                   "when they complete (auto: as the drive says)"),                            \
    PROP_ENUM("rerror", T, c.rerror, BLK_ON_ERROR_AUTO, blk_on_error_names,                    \
              "what to do when reading fails"),                                                \
    PROP_ENUM("werror", T, c.werror, BLK_ON_ERROR_AUTO, blk_on_error_names,                    \
              "what to do when writing fails")

#define BLKCONF_GEOMETRY_PROPS(T, c)                                                           \
    PROP_UINT("cyls", T, c.cyls, 0, "cylinders (default: guessed)"),                           \
    PROP_UINT("heads", T, c.heads, 0, "heads"),                                                \
    PROP_UINT("secs", T, c.secs, 0, "sectors of a track")

/* Check and complete the properties, attach the device to the slot.  needs_medium: an empty
 * slot is an error. */
bool blkconf_realize(BlkConf *c, Device *dev, bool needs_medium, bool may_be_readonly,
                     const BlkDevOps *ops, void *opaque, Error **err);
void blkconf_unrealize(BlkConf *c);
/* The device goes for good, and with it what -drive made for it. */
void blkconf_unplugged(BlkConf *c);
/* Reset: the write cache as it was at first. */
void blkconf_reset(BlkConf *c);
/* After BLKCONF_GEOMETRY_PROPS: check against the device's limits, or guess. */
bool blkconf_geometry(BlkConf *c, Device *dev, uint32_t max_cyls, uint32_t max_heads,
                      uint32_t max_secs, Error **err);

#endif
