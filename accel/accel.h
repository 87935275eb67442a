/* SPDX-License-Identifier: MIT */
/*
 * How guest code runs.  One Accel per way (tcg, kvm, qtest), found by name in the linker
 * section that ACCEL() fills.  Devices never see this file: they raise lines and access
 * memory; the accelerator is told through the members below.
 */
#ifndef ACCEL_ACCEL_H
#define ACCEL_ACCEL_H

#include <stdbool.h>
#include "accel/cpu.h"
#include "util/prop.h"
#include "util/error.h"

typedef enum { STATE_RUNTIME, STATE_RESET, STATE_FULL } StateLevel;
typedef enum { BP_INSERT, BP_REMOVE } BpOp;

/* Slowest first.  A software KVM had not unpacked a Linux kernel after 40 s; the interpreter,
 * which had it next, was past that within seconds. */
typedef enum { SPEED_SOFTWARE_KVM = 1, SPEED_INTERPRETER, SPEED_NATIVE, SPEED_HARDWARE } AccelSpeed;

typedef struct Accel {
    const char *name, *desc;
    size_t size;                      /* of the option struct that props fill, 0 = none */
    const Prop *props;                /* -accel NAME,prop=value; opts points to the struct */

    /* May this accelerator work on this host at all?  Cheap; err says what to do. [bql] */
    bool (*available)(Error **err);
    /* How fast on this host, for the choice by default; *why in a few words.  NULL: never
     * chosen by default. */
    AccelSpeed (*speed)(const char **why);
    bool (*init)(struct Machine *m, void *opts, Error **err);         /* [bql] */
    /* Optional: it runs the machine from now on, or no longer.  After init, before the first
     * cpu_create; later while all vCPUs stand still, after their state was saved, before it is
     * loaded. [bql] */
    void (*active)(bool on);
    bool (*cpu_create)(CPU *c, Error **err);    /* on the vCPU's thread [bql] */
    void (*cpu_destroy)(CPU *c);                /* on the vCPU's thread [bql] */
    ExitReason (*run)(CPU *c);        /* until kicked, halted, reset, debug, error.
                                         Called and returns without the bql.  NULL: there is
                                         no CPU to run (qtest). */
    void (*kick)(CPU *c);             /* any thread: run() returns (or re-examines
                                         c->request) soon */
    void (*get_state)(CPU *c);        /* accelerator -> c; the copy is then the truth */
    bool (*put_state)(CPU *c, StateLevel what, Error **err);
    /* Optional: bring c's general registers into c while it waits for a device's answer; they go
     * back when it has that.  false: can't.  NULL: they are there. [own thread] */
    bool (*access_registers)(CPU *c);
    const MemListener *slots;         /* optional: hears every change of the memory map */
    /* Optional: the list of accel/debug.h got or loses this one (a BpType), for c; called for
     * every vCPU.  false: can't. [bql, vCPUs stopped] */
    bool (*breakpoint)(CPU *c, BpOp op, uint64_t addr, unsigned len, int type);
    void (*info)(GString *out);       /* optional: `info jit` / `info kvm` */
} Accel;

#define ACCEL(var)                                                              \
    static const Accel *const var##_accel_entry                                 \
    __attribute__((used, section("orrery_accels"))) = &var

const Accel *accel_find(const char *name);            /* NULL if there is none */
void accel_foreach(void (*fn)(const Accel *a, void *opaque), void *opaque);

/* The one this machine runs on; set once by system/. */
extern const Accel *accel_current;
/* Why that one, in a few words ("-accel", "the fastest on this host"); NULL: not told. */
extern const char *accel_reason;

#endif
