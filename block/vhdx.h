/* SPDX-License-Identifier: MIT */
/*
 * vhdx (MS-VHDX): two headers of which the newer valid one counts; a region table that names the
 * metadata and the BAT; a BAT with the place of each block; a log for changes of all these.
 *
 *   file type · header · header · region table · region table · log · metadata · BAT · blocks
 *
 * Order: blocks are always new, at the end of the file.  The BAT changes in memory; a flush waits
 * for the data, writes the changed sectors of the BAT to the log, waits for it, and then writes
 * them to their place.  The log's space is free again after the next wait for the file.
 */
#ifndef BLOCK_VHDX_H
#define BLOCK_VHDX_H

#include "block/block.h"
#include "block/node.h"

enum {
    VHDX_KB64 = 64 << 10, VHDX_MB = 1 << 20, VHDX_SECTOR = 4096,
    VHDX_HEADER = 4096, VHDX_TABLE = 64 << 10, VHDX_MAX_ITEMS = 2047,
    VHDX_MAX_BAT = 64 << 20,            /* bytes */
    VHDX_MAX_LOG = 256 << 20,
};
/* header, MS-VHDX 2.2.2 */
enum { H_CHECKSUM = 4, H_SEQUENCE = 8, H_FILE_GUID = 16, H_DATA_GUID = 32, H_LOG_GUID = 48,
       H_LOG_VERSION = 64, H_VERSION = 66, H_LOG_LENGTH = 68, H_LOG_OFFSET = 72 };
/* states of a block, 2.5.1.1 */
enum { BLOCK_NOT_PRESENT, BLOCK_UNDEFINED, BLOCK_ZERO, BLOCK_UNMAPPED, BLOCK_PRESENT = 6,
       BLOCK_PARTIAL = 7 };

/* A sector of the BAT: as in the file; changed in memory; in the log too, its place may be torn */
enum { VHDX_CLEAN, VHDX_CHANGED, VHDX_LOGGED };

typedef struct VhdxLog {
    uint64_t at;                        /* in the file */
    uint32_t size;
    bool active;                        /* the header names guid */
    uint8_t guid[16];
    uint64_t sequence;                  /* of the next entry */
    uint32_t head, tail;                /* where the next entry goes; the oldest one that counts */
} VhdxLog;

typedef struct Vhdx {
    uint64_t size, block_size, chunk_ratio, blocks;
    uint32_t sector_size;
    uint64_t *bat;                      /* host byte order, with the entries of bitmaps between */
    uint64_t bat_entries, bat_at;
    uint8_t *dirty;                     /* VHDX_CHANGED ... of each 4 KiB of the BAT */
    bool any_dirty;
    uint64_t end;                       /* of the file [lock]; blocks that are there lie before it */
    uint8_t header[VHDX_HEADER];        /* the current one */
    unsigned header_copy;               /* which of the two it is */
    bool announced;                     /* the header tells that we write */
    VhdxLog log;
    GMutex lock;
} Vhdx;

static inline uint64_t vhdx_bat_index(const Vhdx *v, uint64_t block)
{
    return block + block / v->chunk_ratio;
}

extern const uint8_t vhdx_guid_bat[16], vhdx_guid_metadata[16], vhdx_guid_parameters[16],
                     vhdx_guid_size[16], vhdx_guid_sector[16], vhdx_guid_physical[16],
                     vhdx_guid_page83[16];

/* vhdx.c */
void vhdx_new_guid(uint8_t *p);
/* Writes v->header as the newer one into the place of the older and waits for it. */
int vhdx_write_header(BlockNode *n);

/* vhdx-log.c */
/* CRC-32C over more bytes: begin with UINT32_MAX, invert at the end. */
uint32_t vhdx_crc(uint32_t crc, const uint8_t *p, size_t len);
/* Of a structure whose bytes 4 to 7 hold its checksum. */
uint32_t vhdx_checksum(const uint8_t *p, size_t len);
/* Carries out what the log holds (the header names one) and empties it. */
bool vhdx_replay(BlockNode *n, Error **err);
/* The changed sectors of the BAT: logged, waited for, written.  Lock held.  0 or -errno. */
int vhdx_write_bat(BlockNode *n);

/* vhdx-io.c */
int vhdx_read(BlockNode *n, uint64_t off, const struct iovec *iov, int niov);
int vhdx_write(BlockNode *n, uint64_t off, const struct iovec *iov, int niov);
int vhdx_write_zeroes(BlockNode *n, uint64_t off, uint64_t len, bool may_unmap);
int vhdx_discard(BlockNode *n, uint64_t off, uint64_t len);
int vhdx_flush(BlockNode *n);
int vhdx_status(BlockNode *n, uint64_t off, uint64_t len, BlockStatus *st);

/* vhdx-create.c */
bool vhdx_create(const char *filename, Json *options, Error **err);
extern const BlockCreateOption vhdx_create_options[];

#endif
