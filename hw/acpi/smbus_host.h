/* SPDX-License-Identifier: MIT */
/*
 * The SMBus host controller of the PIIX4 (ICH has the same registers).  [bql]
 */
#ifndef HW_ACPI_SMBUS_HOST_H
#define HW_ACPI_SMBUS_HOST_H

#include "hw/core/irq.h"
#include "memory/memory.h"
#include "migration/vmstate.h"

typedef struct SMBusHost {
    Region io;
    uint8_t sts, cnt, cmd, addr, data0, data1, block[32], index;
    uint8_t slave_sts, slave_cnt, shadow_cmd;
    uint16_t slave_event, slave_data;
    IRQ irq;                            /* level: an interrupt is enabled and pending */
} SMBusHost;

extern const VMState vm_smbus_host;

/* 16 registers; the chip maps s->io. */
void smbus_host_init(SMBusHost *s, IRQ irq);
void smbus_host_exit(SMBusHost *s);
void smbus_host_reset(SMBusHost *s);

#endif
