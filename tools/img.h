/* SPDX-License-Identifier: MIT */
/*
 * orrery-img: what its commands share.  Commands return the exit status.
 */
#ifndef TOOLS_IMG_H
#define TOOLS_IMG_H

#include <getopt.h>
#include "block/block.h"
#include "block/node.h"

typedef struct ImgOpen {
    const char *format;                 /* -f; NULL: by contents */
    const char *aio;                    /* NULL: threads */
    const char *cache;                  /* -t, -T; NULL: writeback */
    bool image_opts;                    /* the name is an option string */
    bool write, share;                  /* share: -U, take no lock */
    bool check;                         /* broken ones too */
    bool no_backing;                    /* don't open the backing file */
} ImgOpen;

/* Opens and, on failure, says why on stderr and returns NULL.  For writing without a format, what
 * that means for a raw image is said. */
BlockNode *img_open(const char *name, const ImgOpen *how);
/* The name to show for an image that was opened by this one: its file's, instead of options. */
const char *img_shown_name(BlockNode *n, const char *name);
/* Prints the message and frees it; returns 1. */
int img_fail(Error *err);
int img_fail_text(const char *fmt, ...) G_GNUC_PRINTF(1, 2);
/* The same for a command line that makes no sense: says where help is. */
int img_usage(const char *fmt, ...) G_GNUC_PRINTF(1, 2);
/* getopt_long with our messages; '?' once one was printed. */
int img_getopt(int argc, char **argv, const char *letters, const struct option *longs);
/* -l: "NAME", "snapshot.id=ID"...; the disk is then as it was; false: said on stderr */
bool img_load_snapshot(BlockNode *n, const char *snapshot);
/* "1G", "1024"; false: said on stderr */
bool img_size(const char *what, const char *text, uint64_t *out);
bool img_number(const char *what, const char *text, uint64_t min, uint64_t max, uint64_t *out);
/* "a=b,c=d" into an object; false: said on stderr */
bool img_add_options(Json *o, const char *text);
/* -o help */
bool img_is_help(const char *options);
void img_print_create_options(const BlockDriver *d, bool with_file);
/* A format by its name; NULL: said on stderr */
const BlockDriver *img_format(const char *name);
/* The "--output" argument; false: said on stderr */
bool img_output(const char *text, bool *json);
/* Exactly one name left in argv, else NULL and a message. */
const char *img_one_name(int argc, char **argv);
/* Makes an image and prints QEMU's "Formatting ..." line unless quiet. */
bool img_create(const BlockDriver *d, const char *name, Json *options, bool quiet, Error **err);
void img_print_json(const Json *j);

/* "    (12.34/100%)" on standard output; with -p only.  With --progress=json a line now and then:
 * {"done": BYTES, "total": BYTES}. */
bool img_progress_option(const char *text);     /* of --progress; false: said on stderr */
void img_progress_start(bool on);
void img_progress(uint64_t done, uint64_t total);
void img_progress_end(void);

/* -r: bytes a second */
typedef struct ImgPace {
    uint64_t rate;                      /* 0: no limit */
    uint64_t done;
    int64_t start;                      /* us */
} ImgPace;
/* Sleeps until so many bytes more are due. */
void img_pace(ImgPace *p, uint64_t bytes);

/* Those the source keeps, into the target, with what they recorded; false: said on stderr. */
bool img_can_copy_bitmaps(BlockNode *from, bool skip_broken);
bool img_copy_bitmaps(BlockNode *from, BlockNode *to, bool skip_broken);
/* Space they take in a qcow2 image; -1: the source can't keep any. */
int64_t img_bitmaps_size(BlockNode *from, uint64_t cluster_size);

int img_cmd_amend(int argc, char **argv);
int img_cmd_bench(int argc, char **argv);
int img_cmd_bitmap(int argc, char **argv);
int img_cmd_check(int argc, char **argv);
int img_cmd_commit(int argc, char **argv);
int img_cmd_compare(int argc, char **argv);
int img_cmd_convert(int argc, char **argv);
int img_cmd_create(int argc, char **argv);
int img_cmd_dd(int argc, char **argv);
int img_cmd_info(int argc, char **argv);
int img_cmd_map(int argc, char **argv);
int img_cmd_measure(int argc, char **argv);
int img_cmd_rebase(int argc, char **argv);
int img_cmd_resize(int argc, char **argv);
int img_cmd_snapshot(int argc, char **argv);

/* Long options without a letter */
enum { OPT_OUTPUT = 256, OPT_IMAGE_OPTS, OPT_TARGET_IMAGE_OPTS, OPT_BACKING_CHAIN, OPT_SIZE,
       OPT_START, OPT_MAX_LENGTH, OPT_SHRINK, OPT_PREALLOCATION, OPT_FORCE, OPT_SALVAGE,
       OPT_TARGET_IS_ZERO, OPT_FLUSH_INTERVAL, OPT_NO_DRAIN, OPT_PATTERN, OPT_PROGRESS,
       OPT_BITMAPS, OPT_SKIP_BROKEN };

#endif
