/* SPDX-License-Identifier: MIT */
/*
 * Programmable attribute map: shadow RAM windows of a host bridge between C0000h and FFFFFh.
 */
#ifndef HW_PCI_PAM_H
#define HW_PCI_PAM_H

#include "memory/memory.h"

#define PAM_WINDOWS 13                  /* F0000h-FFFFFh, then 16 KiB each from C0000h */

typedef struct PamWindow {
    hwaddr at;
    uint64_t size;
    Region *ram;
    AddressSpace *pci;
    Region modes[4];                    /* by attribute: bit 0 reads, bit 1 writes go to RAM */
} PamWindow;

/* n as in PAM_WINDOWS.  pci_space is the view of what lies behind the bridge. */
void pam_init(PamWindow *w, unsigned n, Region *system, Region *ram, Region *pci,
              AddressSpace *pci_space);
void pam_exit(PamWindow *w);
void pam_set(PamWindow *w, unsigned attribute);

#endif
