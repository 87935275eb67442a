/* SPDX-License-Identifier: MIT */
/*
 * vmdk ("Virtual Disk Format 5.0", VMware): a disk is a row of extents.  A sparse one begins
 * with a header, then a directory that names tables, which name grains (64 KiB by default);
 * compressed grains carry a marker of 12 bytes.  A flat one is the bytes themselves in a file of
 * its own, which the descriptor (a text) names.
 *
 * Order: data are in the file before a table names them; tables wait in memory for a flush.  A
 * grain once given is never taken back.
 */
#ifndef BLOCK_VMDK_H
#define BLOCK_VMDK_H

#include "block/block.h"
#include "block/node.h"

enum { M_MAGIC = 0, M_VERSION = 4, M_FLAGS = 8, M_CAPACITY = 12, M_GRAIN = 20, M_DESC_OFFSET = 28,
       M_DESC_SIZE = 36, M_GTES = 44, M_RGD = 48, M_GD = 56, M_OVERHEAD = 64, M_LINES = 73,
       M_COMPRESS = 77, M_SIZE = 512 };
#define VMDK_MAGIC       0x564d444bu    /* "KDMV" */
#define VMDK_GD_AT_END   UINT64_MAX
#define VMDK_GTES        512u           /* entries of a table, always */
#define VMDK_MAX_EXTENTS 256u
enum { VMDK_NEWLINES = 1, VMDK_REDUNDANT = 2, VMDK_ZERO_GRAINS = 4, VMDK_COMPRESSED = 1 << 16,
       VMDK_MARKERS = 1 << 17 };

typedef enum { EXTENT_ZERO, EXTENT_FLAT, EXTENT_SPARSE } ExtentKind;

typedef struct VmdkTable {
    bool dirty;
    uint32_t entries[VMDK_GTES];        /* sectors; 0 nothing, 1 zeroes (with zero_grains) */
} VmdkTable;

typedef struct VmdkExtent {
    ExtentKind kind;
    BlockNode *file;                    /* own reference unless it is the image itself */
    bool own;
    uint64_t start, len;                /* bytes of the disk */
    uint64_t offset;                    /* flat: where it begins */
    uint64_t grain;                     /* bytes */
    bool compressed, zero_grains, has_redundant;
    uint32_t directory_size;
    uint64_t gd_at, rgd_at;             /* bytes */
    uint32_t *gd, *rgd;                 /* [directory_size] sectors of the tables */
    VmdkTable **tables;                 /* [directory_size] those in memory */
    unsigned loaded;
    uint64_t end;                       /* next free byte, multiple of a sector */
} VmdkExtent;

typedef struct Vmdk {
    GArray *extents;                    /* of VmdkExtent */
    uint64_t size;
    uint64_t directories;               /* entries of all extents' directories */
    char *create_type;
    uint32_t cid, parent_cid;
    GMutex lock;
} Vmdk;

/* vmdk-io.c */
int vmdk_read(BlockNode *n, uint64_t off, const struct iovec *iov, int niov);
int vmdk_write(BlockNode *n, uint64_t off, const struct iovec *iov, int niov);
int vmdk_write_compressed(BlockNode *n, uint64_t off, const void *buf, size_t len);
int vmdk_flush(BlockNode *n);
int vmdk_status(BlockNode *n, uint64_t off, uint64_t len, BlockStatus *st);
/* vmdk-create.c */
bool vmdk_create(const char *filename, Json *options, Error **err);
extern const BlockCreateOption vmdk_create_options[];

#endif
