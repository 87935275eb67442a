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

/* What a child inherits from the node above unless its own options say otherwise. */
typedef struct BlockFlags {
    bool read_only, auto_read_only;     /* auto: fall back to read-only if writing is refused */
    bool direct;                        /* bypass the host's page cache */
    bool no_flush;                      /* flushes do nothing (cache=unsafe) */
    bool unmap;                         /* discard frees space */
    bool no_lock;                       /* take no lock on the image */
} BlockFlags;

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
    int (*flush)(BlockNode *n);         /* everything written so far is on stable storage */
    int (*discard)(BlockNode *n, uint64_t off, uint64_t len);       /* NULL: nothing happens */
    int (*write_zeroes)(BlockNode *n, uint64_t off, uint64_t len, bool may_unmap);
    /* Likely a file of this format?  0..100 from the first bytes. */
    int (*probe)(const uint8_t *head, size_t len, const char *filename);
    /* Text for `info block`, "" if nothing is to be said. */
    const char *(*file_name)(BlockNode *n);
} BlockDriver;

#define BLOCK_DRIVER(var)                                                       \
    static const BlockDriver *const var##_driver_entry                          \
    __attribute__((used, section("orrery_blockdrv"))) = &var

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
};

const BlockDriver *block_driver_find(const char *name);
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

/* Requests, on any thread: bounds and permissions checked, then the driver. */
int64_t node_length(BlockNode *n);      /* bytes, rounded up to whole sectors */
int node_read(BlockNode *n, uint64_t off, const struct iovec *iov, int niov);
int node_write(BlockNode *n, uint64_t off, const struct iovec *iov, int niov);
int node_pread(BlockNode *n, uint64_t off, void *buf, size_t len);
int node_pwrite(BlockNode *n, uint64_t off, const void *buf, size_t len);
int node_flush(BlockNode *n);
int node_discard(BlockNode *n, uint64_t off, uint64_t len);
int node_write_zeroes(BlockNode *n, uint64_t off, uint64_t len, bool may_unmap);

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
