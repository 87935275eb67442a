/* SPDX-License-Identifier: MIT */
/*
 * Who has the interrupt controllers: see irqchip.h.
 */
#include "target-i386/irqchip.h"

#include <stddef.h>

const X86Irqchip *x86_irqchip;
void (*x86_eoi_hook)(uint8_t vector);
