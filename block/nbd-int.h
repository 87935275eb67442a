/* SPDX-License-Identifier: MIT */
/*
 * NBD server: numbers of the protocol, and what its files share.
 */
#ifndef BLOCK_NBD_INT_H
#define BLOCK_NBD_INT_H

#include "block/nbd.h"

#define NBD_MAGIC           0x4e42444d41474943ull       /* "NBDMAGIC" */
#define NBD_OPTS_MAGIC      0x49484156454f5054ull       /* "IHAVEOPT" */
#define NBD_REPLY_MAGIC     0x0003e889045565a9ull
#define NBD_REQUEST_MAGIC   0x25609513u
#define NBD_SIMPLE_MAGIC    0x67446698u
#define NBD_CHUNK_MAGIC     0x668e33efu

enum { NBD_OPT_EXPORT_NAME = 1, NBD_OPT_ABORT, NBD_OPT_LIST, NBD_OPT_STARTTLS = 5, NBD_OPT_INFO,
       NBD_OPT_GO, NBD_OPT_STRUCTURED_REPLY, NBD_OPT_LIST_META_CONTEXT, NBD_OPT_SET_META_CONTEXT };
enum { NBD_REP_ACK = 1, NBD_REP_SERVER, NBD_REP_INFO, NBD_REP_META_CONTEXT };
#define NBD_REP_ERR_UNSUP   0x80000001u
#define NBD_REP_ERR_POLICY  0x80000002u
#define NBD_REP_ERR_INVALID 0x80000003u
#define NBD_REP_ERR_UNKNOWN 0x80000006u
#define NBD_REP_ERR_TOO_BIG 0x80000009u
enum { NBD_INFO_EXPORT, NBD_INFO_NAME, NBD_INFO_DESCRIPTION, NBD_INFO_BLOCK_SIZE };
enum { NBD_FLAG_HAS_FLAGS = 1, NBD_FLAG_READ_ONLY = 2, NBD_FLAG_FLUSH = 4, NBD_FLAG_FUA = 8,
       NBD_FLAG_TRIM = 32, NBD_FLAG_WRITE_ZEROES = 64, NBD_FLAG_DF = 128, NBD_FLAG_MULTI_CONN = 256,
       NBD_FLAG_CACHE = 1024, NBD_FLAG_FAST_ZERO = 2048 };
enum { NBD_CMD_READ, NBD_CMD_WRITE, NBD_CMD_DISC, NBD_CMD_FLUSH, NBD_CMD_TRIM, NBD_CMD_CACHE,
       NBD_CMD_WRITE_ZEROES, NBD_CMD_BLOCK_STATUS };
enum { NBD_CMD_FUA = 1, NBD_CMD_NO_HOLE = 2, NBD_CMD_DF = 4, NBD_CMD_REQ_ONE = 8,
       NBD_CMD_FAST_ZERO = 16 };
enum { NBD_CHUNK_NONE, NBD_CHUNK_DATA, NBD_CHUNK_HOLE, NBD_CHUNK_STATUS = 5, NBD_CHUNK_ERROR = 32769 };
enum { NBD_STATE_HOLE = 1, NBD_STATE_ZERO = 2 };
/* Metadata contexts: the number is the bit in NbdConn.contexts and the id on the wire. */
enum { NBD_META_ALLOCATION = 1, NBD_META_DEPTH = 2, NBD_META_BITMAP = 4 };

#define NBD_MAX_REQUEST (32u << 20)
#define NBD_MAX_STRING  4096u

struct NbdExport {
    char *id, *name, *description, *bitmap;
    BlockNode *node;                    /* a root of the graph: follows replacements */
    bool writable, writethrough, allocation_depth, shared;
    bool gone;                          /* [bql] removed, waits for its connections */
    unsigned refs;                      /* [server.lock] 1 + connections */
};

typedef struct NbdConn {
    int fd;
    NbdExport *export;                  /* chosen by the client; a reference */
    bool structured, no_zeroes;
    unsigned contexts;
    GMutex lock;                        /* for sending, and of the two below */
    GCond changed;
    uint64_t busy_bytes;                /* of requests being carried out */
    unsigned busy;
    bool broken;                        /* nothing can be sent any more */
} NbdConn;

/* Whole buffers or false. */
bool nbd_recv(NbdConn *c, void *buf, size_t len);
bool nbd_send(NbdConn *c, const void *buf, size_t len, const void *more, size_t more_len);

/* nbd-handshake.c: true when requests may follow. */
bool nbd_handshake(NbdConn *c);
uint16_t nbd_export_flags(const NbdExport *e);
/* nbd-requests.c: until the client leaves or does something wrong; returns with none at work. */
void nbd_serve(NbdConn *c);

/* nbd-server.c, any thread */
NbdExport *nbd_export_take(const char *name);   /* a reference; NULL: there is none */
void nbd_export_release(NbdExport *e);
void nbd_export_names(GPtrArray *names, GPtrArray *descriptions);       /* copies */

#endif
