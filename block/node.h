/* SPDX-License-Identifier: MIT */
/*
 * The block graph: nodes, each a driver at work on a file or on other nodes.  A disk is a chain
 * such as raw -> file.
 *
 * Drivers are written synchronously: their request functions are called on pool threads,
 * several at once, without the big lock, and may block.  They protect their own metadata.
 * Opening, closing and everything about names happens under the big lock.
 */
#ifndef BLOCK_NODE_H
#define BLOCK_NODE_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>
#include "util/error.h"
#include "util/json.h"

typedef struct BlockNode BlockNode;
struct BlkLimits;

/* What a child inherits from the node above unless its own options say otherwise. */
typedef struct BlockFlags {
    bool read_only, auto_read_only;     /* auto: fall back to read-only if writing is refused */
    bool direct;                        /* bypass the host's page cache */
    bool no_flush;                      /* flushes do nothing (cache=unsafe) */
    bool unmap;                         /* discard frees space */
    bool no_lock;                       /* take no lock on the image */
    bool check;                         /* opened to be checked: broken images too */
} BlockFlags;

typedef enum { PREALLOC_OFF, PREALLOC_METADATA, PREALLOC_FALLOC, PREALLOC_FULL } BlockPrealloc;
extern const char *const block_prealloc_names[];        /* off, metadata, falloc, full, NULL */

/* What is known about a range without reading it. */
typedef struct BlockStatus {
    uint64_t len;               /* bytes from the asked offset on this holds for, > 0 */
    bool allocated;             /* this node decides what is read here, not its backing file */
    bool zero;                  /* reads as zeroes */
    bool data;                  /* takes space in a file */
    bool compressed;
    bool has_offset;            /* stored as it is read, at offset of a file */
    uint64_t offset;
    BlockNode *file;            /* with has_offset: the protocol node */
} BlockStatus;

/* Result of a check; numbers of clusters. */
typedef struct BlockCheck {
    uint64_t check_errors;      /* could not look */
    uint64_t corruptions, leaks, corruptions_fixed, leaks_fixed;
    uint64_t image_end;         /* bytes */
    uint64_t total, allocated, fragmented, compressed;  /* clusters of the disk; total 0: unknown */
} BlockCheck;
enum { BLOCK_FIX_LEAKS = 1, BLOCK_FIX_ERRORS = 2 };

typedef struct BlockSnapshot {
    char *id, *name;
    uint64_t vm_state_size, disk_size;
    uint32_t date_sec, date_nsec;
    uint64_t vm_clock_ns;
    uint64_t icount;            /* UINT64_MAX: unknown */
} BlockSnapshot;

typedef struct BlockDriver {
    const char *name;                   /* "raw", "file", "qcow2" */
    bool protocol;                      /* stands at the bottom: opens a file by itself */
    size_t size;                        /* of BlockNode.state */
    /*
     * options is an object of strings and typed values; take what is known with block_take_*.
     * What is left is an error.  n->flags are set, n->state is zeroed.
     */
    bool (*open)(BlockNode *n, Json *options, Error **err);
    void (*close)(BlockNode *n);
    /* The following return 0 or -errno.  Ranges lie inside the length (the last sector may
     * reach past the end of a file with an odd length: zeroes). */
    int64_t (*length)(BlockNode *n);    /* bytes */
    int (*read)(BlockNode *n, uint64_t off, const struct iovec *iov, int niov);
    int (*write)(BlockNode *n, uint64_t off, const struct iovec *iov, int niov);   /* NULL: read-only */
    /* Optional: read without waiting for anything; -EAGAIN: not possible now.  The buffers may
     * have been written to then. */
    int (*try_read)(BlockNode *n, uint64_t off, const struct iovec *iov, int niov);
    int (*flush)(BlockNode *n);         /* everything written so far is on stable storage */
    int (*discard)(BlockNode *n, uint64_t off, uint64_t len);       /* NULL: nothing happens */
    int (*write_zeroes)(BlockNode *n, uint64_t off, uint64_t len, bool may_unmap);
    /* Likely a file of this format?  0..100 from the first bytes. */
    int (*probe)(const uint8_t *head, size_t len, const char *filename);
    /* Text for `info block`, "" if nothing is to be said. */
    const char *(*file_name)(BlockNode *n);

    /* ---- the rest is optional: NULL where a format has no such thing ---- */
    bool filter;                        /* passes its file through unchanged (blkdebug) */
    bool grows_file;                    /* writes behind the end of its file */
    bool has_backing;                   /* takes "backing": a node to read the rest from */
    void (*limits)(BlockNode *n, struct BlkLimits *out);
    int (*status)(BlockNode *n, uint64_t off, uint64_t len, BlockStatus *st);  /* st is zeroed */
    /* No requests in flight. */
    bool (*truncate)(BlockNode *n, uint64_t length, BlockPrealloc prealloc, Error **err);
    /* A cluster (or the rest of the disk) that nobody wrote yet, compressed; -ENOTSUP. */
    int (*write_compressed)(BlockNode *n, uint64_t off, const void *buf, size_t len);
    /* Makes an image; options as `create -o` has them with "size", "backing-file",
     * "backing-fmt"; take what is known.  Protocols make an empty file. */
    bool (*create)(const char *filename, Json *options, Error **err);
    const struct BlockCreateOption *create_options;     /* ends with a NULL name */
    int64_t (*measure)(BlockNode *src, Json *options, uint64_t size, uint64_t *fully, Error **err);
    /* Files of the image beside n->file, 0, 1 ...; NULL: no more. */
    BlockNode *(*other_file)(BlockNode *n, unsigned i);
    /* Changes what create_options said (`amend -o`); take what is known. */
    bool (*amend)(BlockNode *n, Json *options, Error **err);
    Json *(*info)(BlockNode *n);        /* "format-specific": {"type", "data"}, NULL if none */
    bool (*check)(BlockNode *n, int fix, BlockCheck *out, GString *log, Error **err);
    /* Records another backing file (NULL: none) in the image; nothing is opened or copied. */
    bool (*change_backing)(BlockNode *n, const char *file, const char *format, Error **err);
    /* May the node have a persistent bitmap of this name?  It stores those it has when it closes. */
    bool (*keeps_bitmap)(BlockNode *n, const char *name, uint64_t granularity, Error **err);
    int (*make_empty)(BlockNode *n);    /* as if nothing had been written since creation */
    GPtrArray *(*snapshots)(BlockNode *n);      /* of BlockSnapshot*, borrowed */
    bool (*snapshot_create)(BlockNode *n, const BlockSnapshot *s, Error **err);
    bool (*snapshot_apply)(BlockNode *n, const char *id_or_name, Error **err);
    bool (*snapshot_delete)(BlockNode *n, const char *id_or_name, Error **err);
    /* A read-only node shows this snapshot from now on. */
    bool (*snapshot_load)(BlockNode *n, const char *id_or_name, Error **err);
    /* Where bytes of a protocol node can be had as they are: an open file, or -1. */
    int (*fd)(BlockNode *n);
    /* Optional: where a read or write of these bytes could go as it is, without this driver:
     * an open file that likes asynchronous requests.  False: ask the driver. [bql] */
    bool (*direct)(BlockNode *n, uint64_t off, const struct iovec *iov, int niov, bool write, int *fd,
                   uint64_t *host);
    /* Becomes writable or read-only; the file below is writable while this runs, n->flags still
     * say how it was.  NULL: nothing to do, or (protocol) impossible. */
    bool (*reopen)(BlockNode *n, bool writable, Error **err);
} BlockDriver;

typedef struct BlockCreateOption {
    const char *name, *type, *def, *help;       /* type: "size", "bool", "str", "int" */
    bool amended;                               /* BlockDriver.amend can change it */
} BlockCreateOption;

#define BLOCK_DRIVER(var)                                                       \
    static const BlockDriver *const var##_driver_entry                          \
    __attribute__((used, section("orrery_blockdrv"))) = &var

/* Watches the changes of a node: jobs, bitmaps.  Called on the thread of the request. */
typedef struct NodeObserver {
    /* Before [off, off + len) changes; < 0: it must not, the request fails with this. */
    int (*before)(struct NodeObserver *o, uint64_t off, uint64_t len);
    void (*after)(struct NodeObserver *o, uint64_t off, uint64_t len);  /* it may have changed */
    void *opaque;
    struct NodeObserver *next;
} NodeObserver;

struct BlockNode {
    const BlockDriver *driver;
    void *state;
    char *name;                         /* node-name, given or "#block123" */
    bool named;                         /* given by the user: lives until blockdev-del */
    unsigned refs;                      /* [bql] */
    BlockFlags flags;
    BlockNode *file, *backing;          /* children, NULL if none; one reference each */
    int detect_zeroes;                  /* 0 off, 1 on, 2 unmap */
    bool probed_raw;                    /* raw because it looks like nothing else */
    bool growable;                      /* a format above may write behind the end */
    const char *job;                    /* type of the block job that works on it, or NULL */
    NodeObserver *observers;            /* [graph lock] */
    struct DirtyBitmap *bitmaps;        /* block/dirtymap.h */
    struct NodeTracker *tracker;        /* requests in flight, while there are observers */
    char *backing_file, *backing_format;        /* as the image names them, or NULL */
    uint32_t cluster_size;              /* bytes; 0: the format has none */
    bool compressed_only;               /* written by node_write_compressed alone, once */
};

const BlockDriver *block_driver_find(const char *name);
/* Is there such a driver?  If not, err says what is known about the name. */
bool block_driver_known(const char *name, Error **err);
void block_driver_foreach(void (*fn)(const BlockDriver *d, void *opaque), void *opaque);

/* Opens what options describe (given away): "driver", "node-name", "read-only",
 * "auto-read-only", "discard", "detect-zeroes", "cache": {"direct", "no-flush"}, and the
 * driver's own.  One reference for the caller.  flags: defaults from above. */
BlockNode *node_open(Json *options, BlockFlags flags, Error **err);
/* A file by its name as -drive has it: "disk.img", "file:x"; format NULL: by its contents. */
BlockNode *node_open_file(const char *file, const char *format, Json *options, BlockFlags flags,
                          Error **err);
/* The "file" option of a format driver: a node-name, or options of a node to open. */
BlockNode *node_open_child(BlockNode *parent, Json *options, const char *key, Error **err);
BlockNode *node_ref(BlockNode *n);
void node_unref(BlockNode *n);          /* the last one flushes and closes */
BlockNode *node_find(const char *name);
void node_foreach(void (*fn)(BlockNode *n, void *opaque), void *opaque);
/* blockdev-del: refuses nodes in use. */
bool node_delete(const char *name, Error **err);
const char *node_file_name(BlockNode *n);
/* Can a drive have it for a medium: not empty, and whole sectors (a disk image cut short, or a
 * file that is no disk image at all, would otherwise show as a disk). */
bool node_usable_medium(BlockNode *n, Error **err);

/* Requests, on any thread: bounds and permissions checked, then the driver. */
int64_t node_length(BlockNode *n);      /* bytes, rounded up to whole sectors */
int node_read(BlockNode *n, uint64_t off, const struct iovec *iov, int niov);
int node_write(BlockNode *n, uint64_t off, const struct iovec *iov, int niov);
/* Only if nobody has to wait for it; else -EAGAIN. */
int node_try_read(BlockNode *n, uint64_t off, const struct iovec *iov, int niov);
/* BlockDriver.direct, after the checks of a request. [bql] */
bool node_direct(BlockNode *n, uint64_t off, const struct iovec *iov, int niov, bool write, int *fd,
                 uint64_t *host);
int node_pread(BlockNode *n, uint64_t off, void *buf, size_t len);
int node_pwrite(BlockNode *n, uint64_t off, const void *buf, size_t len);
int node_flush(BlockNode *n);
int node_discard(BlockNode *n, uint64_t off, uint64_t len);
int node_write_zeroes(BlockNode *n, uint64_t off, uint64_t len, bool may_unmap);
int node_write_compressed(BlockNode *n, uint64_t off, const void *buf, size_t len);
/* Of this node alone; a driver that can't tell has data everywhere. */
int node_status(BlockNode *n, uint64_t off, uint64_t len, BlockStatus *st);
/* Through the backing chain down to base (not included; NULL: to the end).  *depth: 0 = n
 * itself; allocated is false if no node of the chain has it. */
int node_status_above(BlockNode *n, BlockNode *base, uint64_t off, uint64_t len, BlockStatus *st,
                      int *depth);
/* Lets the host copy, without reading, where both ends are plain files; else -ENOTSUP. */
int node_copy_range(BlockNode *from, uint64_t from_off, BlockNode *to, uint64_t to_off, uint64_t len);
bool node_truncate(BlockNode *n, uint64_t length, BlockPrealloc prealloc, Error **err);
void node_limits(BlockNode *n, struct BlkLimits *out);
/* Makes an image file of this format (options stay the caller's). */
bool node_create_image(const BlockDriver *d, const char *filename, Json *options, Error **err);
/* For format drivers that make images: an empty file (replacing what was there), opened for
 * writing, locked.  options may name a node to be used instead, as "file". */
BlockNode *node_create_file(const char *filename, Json *options, Error **err);
/* What it takes from the options, whatever the format. */
extern const BlockCreateOption block_file_create_options[];
/* Opens n->backing: the "backing" option (a node-name, options, or null: none), else what
 * n->backing_file names.  False only on errors. */
bool node_open_backing(BlockNode *n, Json *options, Error **err);
/* Another file that an image names (backing, data file, extent): relative to the image's
 * folder, as a path (g_free).  NULL with err if images may not name it (block_allow_path). */
char *node_resolve_path(BlockNode *n, const char *name, const char *what, Error **err);
/* The same without the question. */
char *node_full_path(const char *image, const char *name);
/* Images may name files in their own folder (and below); the user can allow more folders or
 * files: here, or in ORRERY_IMAGE_PATH, separated by colons. */
void block_allow_path(const char *path);
BlockSnapshot *snapshot_find(BlockNode *n, const char *id_or_name);    /* NULL */
void snapshot_free(BlockSnapshot *s);

/*
 * ---- changing the graph (block/graph.c) ----
 *
 * Children and observers of nodes change only under the big lock and the graph's write lock.
 * So whoever holds the big lock may look at them, and a thread without it that makes requests
 * does so between graph_read_lock and graph_read_unlock (which do not nest, and inside which
 * the big lock must not be taken).  The writer waits for the readers.
 */
void graph_read_lock(void);
void graph_read_unlock(void);
void graph_write_lock(void);            /* waits for all requests of all slots first */
void graph_write_unlock(void);

/* The following hold the graph's write lock. */
void node_add_observer(BlockNode *n, NodeObserver *o);
void node_remove_observer(BlockNode *n, NodeObserver *o);
/* Whatever stands on old stands on new from now on, but for new itself. */
void node_replace(BlockNode *old, BlockNode *new);
void node_set_backing(BlockNode *n, BlockNode *backing);       /* takes a reference; NULL: none */

/* A pointer to a node (with a reference) that follows node_replace as slots do. [bql] */
void node_add_root(BlockNode **root);
void node_remove_root(BlockNode **root);

/* Reopens a node and the files below.  [bql, graph write lock if requests may run] */
bool node_set_writable(BlockNode *n, bool writable, Error **err);
/* Is below in the tree under n (or n itself)? */
bool node_contains(const BlockNode *n, const BlockNode *below);
/* The node whose backing node this is, looking down from top; NULL. */
BlockNode *node_overlay_of(BlockNode *top, const BlockNode *below);

/* What n reads from below itself (down to base, not included) becomes its own; writers of the
 * same range wait.  The node must have an observer.  [graph read lock] */
int node_copy_up(BlockNode *n, BlockNode *base, uint64_t off, uint64_t len, void *buf);

/* Options, for drivers: take one out of the object.  Values may be typed or strings.  false:
 * wrong value, err set; absent leaves *out alone. */
bool block_take_str(Json *options, const char *key, char **out, Error **err);      /* g_free */
bool block_take_bool(Json *options, const char *key, bool *out, Error **err);
bool block_take_uint(Json *options, const char *key, uint64_t *out, Error **err);  /* sizes too */

/* A snapshot=on node on top of base (reference given away). */
BlockNode *overlay_open(BlockNode *base, Error **err);
/* The format of a file by its first bytes.  "raw" if it looks like none other; a format we
 * can't read is named all the same. */
const char *block_probe_format(const uint8_t *head, size_t len, const char *filename);

#endif
