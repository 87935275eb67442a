/* SPDX-License-Identifier: MIT */
/*
 * NBD server: exports nodes to other programs.  Own code; the client is libnbd's
 * (block/nbd-client.c).  Specification: the NBD project's doc/proto.md; fixed newstyle
 * negotiation, structured replies, block status.
 *
 * A connection has a thread that reads requests; pool threads carry them out.  They take the
 * graph's read lock for each request and never the big lock.
 */
#ifndef BLOCK_NBD_H
#define BLOCK_NBD_H

#include "block/node.h"

typedef struct NbdExport NbdExport;

typedef struct NbdExportOptions {
    const char *id, *name, *description;        /* name "": the default one */
    BlockNode *node;                            /* a reference is taken */
    bool writable, writethrough, allocation_depth;
    bool shared;                                /* several may connect: flushes reach all */
    const char *bitmap;                         /* offered as qemu:dirty-bitmap:NAME; NULL */
} NbdExportOptions;

/* All of these: [bql] */
bool nbd_export_add(const NbdExportOptions *o, Error **err);
/* hard: those connected are cut off; else there must be none. */
bool nbd_export_del(const char *id, bool hard, Error **err);
NbdExport *nbd_export_by_name(const char *name);
const char *nbd_export_id(const NbdExport *e);
Json *nbd_exports_info(void);                   /* as query-block-exports has it */
unsigned nbd_connections(void);

/* Listens at fd (given away) until stopped.  max: connections at a time, 0 = any number. */
bool nbd_server_start(int fd, unsigned max, Error **err);
bool nbd_server_running(void);
/* Cuts all off and removes the exports. */
void nbd_server_stop(void);
/* A listening socket.  port text may be a number; -1 with err. */
int nbd_listen_inet(const char *host, const char *port, Error **err);
int nbd_listen_unix(const char *path, Error **err);
/* Called (big lock) whenever a connection came or went; NULL: nobody asks. */
extern void (*nbd_connections_changed)(void);

#endif
