/* SPDX-License-Identifier: MIT */
/*
 * orrery: what `run` finds out about a thing it is given (run-guess.c), and firmware for it
 * (run-firmware.c).
 */
#ifndef TOOLS_RUN_H
#define TOOLS_RUN_H

#include <stdbool.h>
#include <stdint.h>
#include "util/error.h"

typedef enum { RUN_DISC, RUN_DISK, RUN_FLOPPY, RUN_KERNEL } RunKind;

/* What seems to be on it: decides between virtio devices and those every system knows. */
typedef enum { RUN_UNKNOWN, RUN_LINUX, RUN_WINDOWS } RunSystem;

typedef struct RunGuess {
    RunKind kind;
    RunSystem system;
    char *format;               /* "raw", "qcow2", ...; NULL for a kernel */
    uint64_t size;              /* of the medium, in bytes */
    char *label;                /* the disc's name, or NULL */
    bool empty;                 /* nothing but zeros where a disk would say what it is */
    bool bios, uefi;            /* what firmware can start it; neither: it says so of none */
} RunGuess;

/* Looks at a file or at whatever else the block layer opens (nbd://..., https://...), which it
 * neither locks nor changes.  false: what is wrong, and what to do. */
bool run_guess(const char *name, RunGuess *g, Error **err);
void run_guess_free(RunGuess *g);
/* "Debian 12.5.0 amd64 n: an installation disc with Linux" (g_free) */
char *run_describe(const RunGuess *g);

typedef struct RunFirmware {
    const char *code;
    char *vars;                 /* (g_free) */
    bool kept;                  /* vars belong to the disk; else they are everybody's, not to be written */
    bool made;                  /* ... and were not there before */
} RunFirmware;

/* UEFI firmware of this host, and the file with the variables for a disk (NULL: for no disk), which
 * is made unless it is there.  dry: it is not made.  forget: nor is it needed if it is not there. */
bool run_firmware(RunFirmware *f, const char *disk, bool dry, bool forget, Error **err);

int run_main(int argc, char **argv);        /* orrery run; gives the exit status */
int run_stop_main(int argc, char **argv);   /* orrery stop */
int run_list_main(int argc, char **argv);   /* orrery list */
/* The folder with the sockets of machines in the background (made, mode 0700; g_free). */
char *run_folder(Error **err);
/* orrery-system-x86_64 or orrery-img: beside this program, else in PATH (g_free). */
char *run_program(const char *name, Error **err);

#endif
