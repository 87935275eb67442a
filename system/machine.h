/* SPDX-License-Identifier: MIT */
/*
 * Making the machine's struct from the command line; hw/core/machine.h is what boards see.
 */
#ifndef SYSTEM_MACHINE_H
#define SYSTEM_MACHINE_H

#include "hw/core/machine.h"

/* The struct of the chosen board, filled with its defaults and the options; sets
 * current_machine.  Nothing is created yet. */
Machine *machine_new(Error **err);
void machine_props_help(GString *out, const MachineType *t);
void machine_props_foreach(const MachineType *t, void (*fn)(const Prop *p, void *opaque), void *opaque);

/* Did the user's own -device take the place of a default one: "vga", "serial", "parallel",
 * "floppy", "cdrom"? */
bool machine_default_suppressed(const char *what);
/* Next -serial or -parallel; c NULL: the port exists, or does not, with nothing behind it. */
void machine_add_port(bool parallel, struct CharDev *c);
unsigned machine_ports(bool parallel);

/* Choose and start the accelerator the options ask for; sets accel_current. */
bool accel_setup(Machine *m, Error **err);

#endif
