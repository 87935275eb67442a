/* SPDX-License-Identifier: MIT */
/*
 * 93C46, 93C56, 93C66: serial EEPROMs of 64 to 256 words of 16 bits on a Microwire bus, in which
 * network cards keep their addresses.
 */
#ifndef HW_NVRAM_EEPROM93XX_H
#define HW_NVRAM_EEPROM93XX_H

#include "migration/vmstate.h"

#define EEPROM93_MAX 256

typedef struct Eeprom93 {
    uint16_t data[EEPROM93_MAX];
    uint16_t words;                     /* 64, 128 or 256; set by eeprom93_init */
    uint8_t addr_bits;                  /* 6 or 8; not saved */
    bool cs, sk, out;                   /* lines as of the last write; data out */
    bool writable;                      /* EWEN was given */
    uint8_t phase, count;
    uint8_t op, addr;
    uint16_t shift;
} Eeprom93;

void eeprom93_init(Eeprom93 *e, unsigned words);
/* Power on; the words stay. */
void eeprom93_reset(Eeprom93 *e);
/* Levels of chip select, clock and data in. */
void eeprom93_write(Eeprom93 *e, bool cs, bool sk, bool di);
static inline bool eeprom93_out(const Eeprom93 *e)
{
    return e->out;
}
extern const VMState vm_eeprom93;

#endif
