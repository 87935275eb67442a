/* SPDX-License-Identifier: MIT */
/*
 * The VMware port, device "vmport": commands that a guest passes in the CPU's registers.  [bql]
 */
#ifndef HW_I386_VMPORT_H
#define HW_I386_VMPORT_H

#include "hw/core/device.h"

#define VMPORT_COMMANDS 69

/* The low halves of a vCPU's registers.  What a command leaves in them the guest finds there. */
typedef struct VmportRegs {
    uint32_t eax, ebx, ecx, edx, esi, edi;
} VmportRegs;

typedef void (*VmportFn)(void *opaque, VmportRegs *r);

/* Let fn answer command n (ECX 15:0), below VMPORT_COMMANDS; NULL: nobody. */
void vmport_set_command(Device *vmport, unsigned n, VmportFn fn, void *opaque);

/* vmmouse.c, before its realize: where its commands come from, and whose PS/2 mouse tells the driver of news. */
void vmmouse_connect(Device *vmmouse, Device *vmport, Device *kbc);

#endif
