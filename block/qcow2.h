/* SPDX-License-Identifier: MIT */
/*
 * Format qcow2: what its files share.  Named sections are those of the format's public
 * description ("Header", "Host cluster management", "Cluster mapping", "Snapshots").
 *
 * Order on the disk.  Tables live in two caches and in the L1 array and go to the file only in
 * qcow2_commit, in steps with a barrier (the file's flush) between:
 *
 *   1. guest data (written before the tables that name them), refcounts, L2 tables that the L1
 *      table in the file does not name yet
 *      ---- barrier ----
 *   2. other L2 tables, L1 entries
 *      ---- barrier: what a guest's flush waits for ----
 *   3. clusters that nothing in the file names any more are given back (pending_free): only
 *      from here on can they be allocated again
 *
 * Whatever of this reaches the disk before the power fails, each reference names a cluster
 * with content and a refcount; at worst clusters are counted that nobody names (leaks).
 *
 * Locks: Qcow2.lock guards everything below except what is constant after opening.  It is
 * not held during data transfers; the list of requests keeps those to the same clusters apart.
 */
#ifndef BLOCK_QCOW2_H
#define BLOCK_QCOW2_H

#include "block/node.h"
#include "util/timer.h"

#define QCOW2_MAGIC         0x514649fbu         /* "QFI\xfb" */
#define QCOW2_MAX_L1        (32u << 20)         /* bytes of an L1 table */
#define QCOW2_MAX_REFTABLE  (8u << 20)
#define QCOW2_MAX_SNAPSHOTS 65536u
#define QCOW2_MAX_SNAPTABLE (64u << 20)

/* Header.  From header_length on: extensions, then the backing file's name. */
enum {
    H_MAGIC = 0, H_VERSION = 4, H_BACKING_OFFSET = 8, H_BACKING_SIZE = 16, H_CLUSTER_BITS = 20,
    H_SIZE = 24, H_CRYPT = 32, H_L1_SIZE = 36, H_L1_OFFSET = 40, H_REFTABLE_OFFSET = 48,
    H_REFTABLE_CLUSTERS = 56, H_SNAPSHOTS = 60, H_SNAPSHOTS_OFFSET = 64, H_V2_LENGTH = 72,
    H_INCOMPATIBLE = 72, H_COMPATIBLE = 80, H_AUTOCLEAR = 88, H_REFCOUNT_ORDER = 96,
    H_LENGTH = 100, H_COMPRESSION = 104, H_V3_LENGTH = 104, H_FULL_LENGTH = 112,
};

enum {
    INCOMPAT_DIRTY = 1 << 0, INCOMPAT_CORRUPT = 1 << 1, INCOMPAT_DATA_FILE = 1 << 2,
    INCOMPAT_COMPRESSION = 1 << 3, INCOMPAT_EXTENDED_L2 = 1 << 4, INCOMPAT_KNOWN = 0x1f,
    COMPAT_LAZY_REFCOUNTS = 1 << 0,
    AUTOCLEAR_BITMAPS = 1 << 0, AUTOCLEAR_RAW_DATA = 1 << 1,
};

enum {
    EXT_END = 0, EXT_BACKING_FORMAT = (int)0xe2792acau, EXT_FEATURE_NAMES = 0x6803f857,
    EXT_BITMAPS = 0x23852875, EXT_CRYPTO = 0x0537be77, EXT_DATA_FILE = 0x44415441,
};

/*
 * L1 and standard L2 entries:
 *   63 COPIED   62 compressed   61-56 reserved   55-9 offset in the file   8-1 reserved   0 zero
 */
#define ENTRY_COPIED        (1ull << 63)        /* refcount is exactly 1: write in place */
#define ENTRY_COMPRESSED    (1ull << 62)
#define ENTRY_ZERO          1ull
#define ENTRY_OFFSET        0x00fffffffffffe00ull

typedef enum {
    CLUSTER_UNALLOCATED,    /* reads from the backing file */
    CLUSTER_ZERO,           /* reads as zeroes, no space */
    CLUSTER_ZERO_ALLOC,     /* reads as zeroes, has space at host */
    CLUSTER_NORMAL,         /* at host */
    CLUSTER_COMPRESSED,     /* at host, csize bytes */
    CLUSTER_MIXED,          /* subclusters of different kinds: ask for each */
} ClusterType;

typedef struct Cluster {
    ClusterType type;
    uint64_t entry, bitmap;             /* as in the table; bitmap: extended L2 entries */
    uint64_t host;
    uint32_t csize;
} Cluster;

/* A piece of a table in memory; a table is cut in slices of at most 4 KiB. */
typedef struct Slice {
    uint64_t offset;                    /* in the file */
    bool dirty, used;                   /* used: since the caches were last cleaned */
    unsigned dirty_from, dirty_to;      /* bytes */
    GList link;                         /* in TableCache.lru, the newest first */
    uint8_t *data;
} Slice;

typedef struct TableCache {
    GHashTable *slices;                 /* by offset */
    GQueue lru;
    unsigned slice_size, max, dirty;    /* numbers of slices but the first */
} TableCache;

/* Why space became free; pass-discard-* say which of it goes back to the host. */
typedef enum Freed { FREED_REQUEST, FREED_SNAPSHOT, FREED_OTHER, FREED_KINDS } Freed;

typedef struct Range {
    uint64_t offset, len;
    Freed why;
} Range;

typedef struct Request {
    uint64_t from, to;                  /* guest bytes, whole clusters */
    bool exclusive;                     /* changes the mapping of these clusters */
    struct Request *next;
} Request;

typedef struct Qcow2Snapshot {
    BlockSnapshot info;                 /* first: qcow2's list serves as the driver's */
    uint64_t l1_offset;
    uint32_t l1_size;
    uint8_t *extra;                     /* unknown extra data, kept */
    uint32_t extra_size;
} Qcow2Snapshot;

typedef struct Extension {
    uint32_t type, len;
    uint8_t *data;
} Extension;

typedef struct Qcow2 {
    BlockNode *node, *data;             /* data: where guest clusters live; node->file or other */
    bool external;                      /* data is an external data file (has a reference) */
    char *data_file;
    uint8_t version;
    unsigned cluster_bits, refcount_order;
    uint32_t cluster_size;
    unsigned l2_bits, entry_size;       /* entries of an L2 table (log 2), bytes of each */
    bool extended;
    uint8_t compression;                /* 0 zlib, 1 zstd */
    uint32_t header_length;
    GArray *dropped;                    /* while not NULL: clusters nobody counts any more (uint64_t) */
    GArray *extensions;                 /* of Extension: those to be kept as they are */
    bool pass_discard[FREED_KINDS];
    uint64_t clean_interval;            /* seconds, 0: never */
    Timer clean;

    GMutex lock;
    GCond changed;                      /* a request ended, a commit ended */
    unsigned waiters;                   /* for that: waking nobody is a system call, too */
    Request *requests;
    bool committing;                    /* a thread waits for the disk in qcow2_commit */
    uint64_t size;                      /* bytes of the disk */
    uint64_t incompatible, compatible, autoclear;
    uint64_t l1_offset;
    uint32_t l1_size;
    uint64_t *l1;                       /* host byte order */
    uint32_t l1_dirty_from, l1_dirty_to;
    GHashTable *fresh;                  /* L2 tables that no L1 entry in the file names */
    uint64_t reftable_offset;
    uint32_t reftable_clusters, reftable_size;  /* size: entries */
    uint64_t *reftable;
    TableCache l2, refs;
    bool barrier_needed;                /* copied data must be stable before L2 names it */
    unsigned overlap;                   /* qcow2-overlap.c: what is looked at before writes */
    bool corrupt;                       /* found to be so: no more writes */
    bool lazy;                          /* refcounts wait: the image is marked dirty */
    uint64_t free_hint;                 /* no free cluster has a smaller number */
    uint64_t virgin;                    /* from this offset on the file was never written */
    uint64_t compressed_at;             /* next byte for compressed data, 0 = new cluster */
    GArray *pending_free;               /* of Range: see above */
    GPtrArray *snapshots;               /* of Qcow2Snapshot* */
    uint64_t snapshots_offset, snapshots_size;
    GMutex inflated_lock;
    uint64_t inflated_host;             /* of the compressed cluster in inflated, 0 = none */
    uint8_t *inflated;
} Qcow2;

static inline uint64_t qcow2_round_up(const Qcow2 *q, uint64_t bytes)
{
    return (bytes + q->cluster_size - 1) & ~(uint64_t)(q->cluster_size - 1);
}
static inline uint64_t qcow2_clusters(const Qcow2 *q, uint64_t bytes)
{
    return qcow2_round_up(q, bytes) >> q->cluster_bits;
}
/* L1 entries a disk of this size needs */
static inline uint64_t qcow2_l1_needed(const Qcow2 *q, uint64_t size)
{
    uint64_t clusters = (size >> q->cluster_bits) + !!(size & (q->cluster_size - 1));
    return (clusters + (1ull << q->l2_bits) - 1) >> q->l2_bits;
}

/* ---- qcow2-table.c: caches and commit.  Lock held; 0 or -errno ----------------------- */

void qcow2_cache_init(TableCache *c, unsigned slice_size, uint64_t bytes);
void qcow2_cache_clear(TableCache *c);          /* forgets everything, dirty or not */
void qcow2_cache_clean(TableCache *c);          /* forgets what was not used since the last time */
bool qcow2_cache_has(TableCache *c, uint64_t offset);
/* Pointer into the cache, good until the next call for the same cache. */
int qcow2_cache_get(Qcow2 *q, TableCache *c, uint64_t offset, uint8_t **p);
/* The slice at offset (slice aligned) with content zero and dirty, nothing read. */
int qcow2_cache_new(Qcow2 *q, TableCache *c, uint64_t offset, uint8_t **p);
void qcow2_cache_dirty(TableCache *c, uint64_t offset, unsigned len);
/* Drops slices of a table that is going away. */
void qcow2_cache_drop(TableCache *c, uint64_t offset, uint64_t len);
/* Steps 1 and 2 above. */
int qcow2_commit(Qcow2 *q);
/* Everything: commit, the last barrier, step 3.  Called without the lock. */
int qcow2_sync(Qcow2 *q);
/* Lock held, dropped while waiting for the end of a request or a commit. */
void qcow2_wait(Qcow2 *q);
void qcow2_wake(Qcow2 *q);
int qcow2_file_barrier(Qcow2 *q);
/* Table of 64-bit big endian numbers <-> array */
int qcow2_read_table(Qcow2 *q, uint64_t offset, uint64_t *table, uint64_t entries);
int qcow2_write_table(Qcow2 *q, uint64_t offset, const uint64_t *table, uint64_t entries);

/* ---- qcow2-refcount.c.  Lock held --------------------------------------------------- */

int qcow2_refcount_get(Qcow2 *q, uint64_t cluster, uint64_t *count);
int qcow2_refcount_set(Qcow2 *q, uint64_t cluster, uint64_t count);
/* Adds +1 or -1 to the clusters that [offset, offset + len) touches; all or nothing. */
int qcow2_refcount_add(Qcow2 *q, uint64_t offset, uint64_t len, int by);
/* count clusters in a row, or as many of them (at least one) as lie in a row; their number. */
int64_t qcow2_alloc(Qcow2 *q, uint64_t count, bool all, uint64_t *offset);
int qcow2_alloc_bytes(Qcow2 *q, uint32_t bytes, uint64_t *offset);
/* Once nothing in the file names it. */
void qcow2_free_later(Qcow2 *q, uint64_t offset, uint64_t len, Freed why);
static inline uint64_t qcow2_refcount_max(const Qcow2 *q)
{
    return q->refcount_order == 6 ? UINT64_MAX : (1ull << (1u << q->refcount_order)) - 1;
}

/* ---- qcow2-map.c: from guest to host.  Lock held ------------------------------------- */

int qcow2_lookup(Qcow2 *q, uint64_t guest, Cluster *c);
/* A look-up of this cluster reads nothing from the file. */
bool qcow2_table_cached(Qcow2 *q, uint64_t guest);
/* Type and host of one subcluster (of 32) of a MIXED cluster. */
ClusterType qcow2_subcluster(const Cluster *c, unsigned n);
void qcow2_decode(const Qcow2 *q, uint64_t entry, uint64_t bitmap, Cluster *c);
/* Puts an entry (making or copying the L2 table first); frees nothing. */
int qcow2_link(Qcow2 *q, uint64_t guest, uint64_t entry, uint64_t bitmap);
/* Gives back, later, what an entry named. */
void qcow2_free_entry(Qcow2 *q, const Cluster *c, Freed why);

/* ---- qcow2-overlap.c.  Lock held ------------------------------------------------------- */

/* The "overlap-check" option; without the lock. */
bool qcow2_take_overlap_check(Qcow2 *q, Json *options, Error **err);
/* May these bytes of the file be written, or given to somebody?  -EIO: a table lives there; the
 * image is marked as corrupt and this was said. */
int qcow2_check_overlap(Qcow2 *q, uint64_t offset, uint64_t len);
/* The same question, without consequences. */
bool qcow2_is_table(Qcow2 *q, uint64_t offset, uint64_t len);

/* ---- qcow2-io.c: requests; they take the lock ---------------------------------------- */

int qcow2_read(BlockNode *n, uint64_t off, const struct iovec *iov, int niov);
int qcow2_try_read(BlockNode *n, uint64_t off, const struct iovec *iov, int niov);
int qcow2_write(BlockNode *n, uint64_t off, const struct iovec *iov, int niov);
int qcow2_write_zeroes(BlockNode *n, uint64_t off, uint64_t len, bool may_unmap);
int qcow2_discard(BlockNode *n, uint64_t off, uint64_t len);
int qcow2_write_compressed(BlockNode *n, uint64_t off, const void *buf, size_t len);
int qcow2_status(BlockNode *n, uint64_t off, uint64_t len, BlockStatus *st);
/* Space for clusters that have none, without content. */
int qcow2_preallocate(Qcow2 *q, uint64_t from, uint64_t to);
/* Unlinks whole clusters, reading from the backing file again. */
int qcow2_unlink_range(Qcow2 *q, uint64_t from, uint64_t to);

/* ---- qcow2-compress.c ------------------------------------------------------------------ */

/* Bytes of the result; -ENOMEM: does not get smaller than room; other -errno */
int64_t qcow2_deflate(const Qcow2 *q, const uint8_t *in, uint8_t *out, size_t room);
int qcow2_inflate(const Qcow2 *q, const uint8_t *in, size_t len, uint8_t *out);
bool qcow2_have_zstd(void);

/* ---- qcow2-header.c -------------------------------------------------------------------- */

bool qcow2_read_header(Qcow2 *q, Error **err);
/* The first cluster anew, from the fields above and n->backing_file/_format.  0 or -errno
 * (-ENOSPC: the names are too long). */
int qcow2_write_header(Qcow2 *q);
/* Sets or clears an incompatible bit in the file, stable when it returns. */
int qcow2_set_incompatible(Qcow2 *q, uint64_t bit, bool on);

/* ---- qcow2-snapshot.c -------------------------------------------------------------------- */

bool qcow2_read_snapshots(Qcow2 *q, Error **err);
void qcow2_free_snapshots(Qcow2 *q);
GPtrArray *qcow2_snapshots(BlockNode *n);
/* Makes table the active L1 table of a disk of this size (given away on success); the old one
 * is given back, but not what it names.  Lock held. */
int qcow2_switch_l1(Qcow2 *q, uint64_t *table, uint32_t size, uint64_t disk_size);
bool qcow2_snapshot_create(BlockNode *n, const BlockSnapshot *s, Error **err);
bool qcow2_snapshot_apply(BlockNode *n, const char *id, Error **err);
bool qcow2_snapshot_load(BlockNode *n, const char *id, Error **err);
bool qcow2_snapshot_delete(BlockNode *n, const char *id, Error **err);

/* ---- qcow2-bitmap.c: bitmaps in the image; no requests in flight -------------------------- */

/* Those of the image become bitmaps of the node. */
bool qcow2_load_bitmaps(BlockNode *n, Error **err);
/* The file says that somebody writes; 0 or -errno, stable when it returns. */
int qcow2_mark_bitmaps(Qcow2 *q);
/* The node's persistent ones replace those in the file. */
int qcow2_store_bitmaps(BlockNode *n);
bool qcow2_keeps_bitmap(BlockNode *n, const char *name, uint64_t granularity, Error **err);
Json *qcow2_bitmaps_info(Qcow2 *q);

/* ---- qcow2-check.c ------------------------------------------------------------------------ */

bool qcow2_check(BlockNode *n, int fix, BlockCheck *out, GString *log, Error **err);

/* ---- qcow2-create.c ----------------------------------------------------------------------- */

bool qcow2_create(const char *filename, Json *options, Error **err);
bool qcow2_truncate(BlockNode *n, uint64_t length, BlockPrealloc prealloc, Error **err);
bool qcow2_change_backing(BlockNode *n, const char *file, const char *format, Error **err);
bool qcow2_amend(BlockNode *n, Json *options, Error **err);
int qcow2_make_empty(BlockNode *n);
int64_t qcow2_measure(BlockNode *src, Json *options, uint64_t size, uint64_t *fully, Error **err);
Json *qcow2_info(BlockNode *n);
extern const BlockCreateOption qcow2_create_options[];

#endif
