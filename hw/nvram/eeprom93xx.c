/* SPDX-License-Identifier: MIT */
/*
 * 93Cx6 serial EEPROM, organized in words of 16 bits.
 *
 * Source: Microchip 93AA46/56/66 (DS21749, DS21794): instruction set, timing diagrams.
 *
 * Programming takes no time: data out tells "ready" at once.
 */
#include "hw/nvram/eeprom93xx.h"

#include <string.h>

enum { PHASE_IDLE, PHASE_COMMAND, PHASE_READ, PHASE_WRITE, PHASE_DONE };
enum { OP_EXTENDED = 0, OP_WRITE = 1, OP_READ = 2, OP_ERASE = 3 };
/* Extended operations: the two highest address bits */
enum { EXT_DISABLE, EXT_WRITE_ALL, EXT_ERASE_ALL, EXT_ENABLE };

void eeprom93_init(Eeprom93 *e, unsigned words)
{
    e->words = words;
    e->addr_bits = words == 64 ? 6 : 8;
    memset(e->data, 0xff, sizeof(e->data));
}

void eeprom93_reset(Eeprom93 *e)
{
    e->cs = e->sk = e->writable = false;
    e->out = true;
    e->phase = PHASE_IDLE;
    e->count = e->op = e->addr = 0;
    e->shift = 0;
}

static unsigned extended(const Eeprom93 *e)
{
    return e->addr >> (e->addr_bits - 2);
}

static void set_all(Eeprom93 *e, uint16_t v)
{
    for (unsigned i = 0; i < e->words; i++) {
        e->data[i] = v;
    }
}

static void start_operation(Eeprom93 *e)
{
    e->count = 0;
    e->phase = PHASE_DONE;
    switch (e->op) {
    case OP_READ:
        e->phase = PHASE_READ;
        e->shift = e->data[e->addr & (e->words - 1)];
        e->out = false;                 /* the dummy bit */
        break;
    case OP_WRITE:
        e->phase = PHASE_WRITE;
        break;
    case OP_EXTENDED:
        if (extended(e) == EXT_WRITE_ALL) {
            e->phase = PHASE_WRITE;
        } else if (extended(e) != EXT_ERASE_ALL) {
            e->writable = extended(e) == EXT_ENABLE;
        }
        break;
    }
}

static void clock_bit(Eeprom93 *e, bool di)
{
    switch (e->phase) {
    case PHASE_IDLE:
        if (di) {                       /* start bit */
            e->phase = PHASE_COMMAND;
            e->shift = e->count = 0;
        }
        break;
    case PHASE_COMMAND:
        e->shift = e->shift << 1 | di;
        if (++e->count == 2 + e->addr_bits) {
            e->op = e->shift >> e->addr_bits & 3;
            e->addr = e->shift & ((1u << e->addr_bits) - 1);
            start_operation(e);
        }
        break;
    case PHASE_READ:
        e->out = e->shift >> 15;
        e->shift <<= 1;
        if (++e->count == 16) {         /* the next word follows */
            e->addr++;
            e->shift = e->data[e->addr & (e->words - 1)];
            e->count = 0;
        }
        break;
    case PHASE_WRITE:
        e->shift = e->shift << 1 | di;
        if (++e->count == 16) {
            e->phase = PHASE_DONE;
        }
        break;
    }
}

/* Chip select falls: what was asked for is done now. */
static void finish(Eeprom93 *e)
{
    if (e->phase == PHASE_DONE && e->writable) {
        uint16_t *word = &e->data[e->addr & (e->words - 1)];
        if (e->op == OP_WRITE && e->count == 16) {
            *word = e->shift;
        } else if (e->op == OP_ERASE) {
            *word = 0xffff;
        } else if (e->op == OP_EXTENDED && extended(e) == EXT_ERASE_ALL) {
            set_all(e, 0xffff);
        } else if (e->op == OP_EXTENDED && extended(e) == EXT_WRITE_ALL && e->count == 16) {
            set_all(e, e->shift);
        }
    }
    e->phase = PHASE_IDLE;
    e->out = true;
}

void eeprom93_write(Eeprom93 *e, bool cs, bool sk, bool di)
{
    if (e->cs && !cs) {
        finish(e);
    } else if (cs && sk && !e->sk) {
        clock_bit(e, di);
    }
    e->cs = cs;
    e->sk = sk;
}

static bool eeprom93_post_load(void *opaque, int version, Error **err)
{
    Eeprom93 *e = opaque;
    return (e->phase <= PHASE_DONE && e->count <= 16) || fail(err, "an impossible EEPROM state");
}

static const VMField eeprom93_fields[] = {
    VM_UINTS(Eeprom93, data), VM_BOOL(Eeprom93, cs), VM_BOOL(Eeprom93, sk), VM_BOOL(Eeprom93, out),
    VM_BOOL(Eeprom93, writable), VM_UINT(Eeprom93, phase), VM_UINT(Eeprom93, count),
    VM_UINT(Eeprom93, op), VM_UINT(Eeprom93, addr), VM_UINT(Eeprom93, shift),
    VM_DONE
};
const VMState vm_eeprom93 = {
    .name = "eeprom93xx", .fields = eeprom93_fields, .post_load = eeprom93_post_load,
};
