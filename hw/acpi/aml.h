/* SPDX-License-Identifier: MIT */
/*
 * A small emitter of ACPI machine language: written in the order it is read, with begin/end
 * around what has a length.
 *
 *     aml_device(a, "HPET");
 *         aml_name_eisaid(a, "_HID", "PNP0103");
 *         aml_crs(a);
 *             aml_crs_memory(a, 0xfed00000, 0x400, true);
 *         aml_end(a);
 *     aml_end(a);
 *
 * Source: ACPI Specification 6.3, chapter 20 (AML), 6.4 (resource descriptors).
 */
#ifndef HW_ACPI_AML_H
#define HW_ACPI_AML_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#define AML_DEPTH 16

typedef struct Aml {
    GByteArray *out;
    struct {
        guint at;                       /* where the length goes */
        enum { AML_BLOCK, AML_COUNTED, AML_CRS } kind;
        guint count_at;                 /* COUNTED: number of elements; CRS: nothing */
        unsigned count;
    } open[AML_DEPTH];
    unsigned depth;
} Aml;

void aml_init(Aml *a, GByteArray *out);

/* ---- names and values ---------------------------------------------------------------- */

/* "_SB", "\\_SB.PCI0", "^LNKA": segments of up to four characters */
void aml_namestring(Aml *a, const char *path);
void aml_int(Aml *a, uint64_t v);
void aml_string(Aml *a, const char *s);
void aml_eisaid(Aml *a, const char *id);                /* "PNP0A03" */
/* Name(name, ...): the value follows. */
void aml_name(Aml *a, const char *name);
void aml_name_int(Aml *a, const char *name, uint64_t v);
void aml_name_string(Aml *a, const char *name, const char *s);
void aml_name_eisaid(Aml *a, const char *name, const char *id);

/* ---- blocks: each is closed by aml_end ------------------------------------------------ */

void aml_scope(Aml *a, const char *path);
void aml_device(Aml *a, const char *name);
void aml_method(Aml *a, const char *name, unsigned args, bool serialized);
void aml_processor(Aml *a, const char *name, uint8_t id, uint32_t pblk, uint8_t pblk_len);
/* Package(count): elements are whatever aml_int, aml_string, aml_namestring, aml_package give;
 * the caller says aml_element before each. */
void aml_package(Aml *a);
void aml_element(Aml *a);
void aml_if(Aml *a);                                    /* the predicate follows */
void aml_else(Aml *a);                                  /* right after the If's end */
/* Name(_CRS, ResourceTemplate() {...}) or another name */
void aml_crs(Aml *a);
void aml_resources(Aml *a, const char *name);
void aml_end(Aml *a);

/* ---- resources ------------------------------------------------------------------------ */

void aml_crs_io(Aml *a, uint16_t from, uint16_t to, uint8_t align, uint8_t len);
void aml_crs_memory(Aml *a, uint32_t at, uint32_t len, bool writable);
void aml_crs_irq(Aml *a, unsigned irq);                 /* edge, active high, exclusive */
void aml_crs_dma(Aml *a, unsigned channel);             /* compatibility, 8 bits */
void aml_crs_interrupts(Aml *a, const uint32_t *irq, unsigned n);   /* level, high, shared */
void aml_crs_bus(Aml *a, uint16_t first, uint16_t last);
void aml_crs_io_window(Aml *a, uint16_t first, uint16_t last);
void aml_crs_memory_window(Aml *a, uint32_t first, uint32_t last, bool cacheable);
void aml_crs_memory_window64(Aml *a, uint64_t first, uint64_t last, bool cacheable);

/* ---- methods' statements --------------------------------------------------------------- */

enum { AML_IO = 1, AML_PCI_CONFIG = 2 };
void aml_region(Aml *a, const char *name, uint8_t space, uint32_t offset, uint32_t len);
/* Field of byte-wide units in a region; bits[] and names[] of n units, name NULL = skipped */
void aml_field(Aml *a, const char *region, const char *const *names, const unsigned *bits,
               unsigned n);
/* The same with accesses of 32 bits to units of 32 bits. */
void aml_dword_fields(Aml *a, const char *region, const char *const *names, unsigned n);
void aml_return(Aml *a);                                /* the value follows */
void aml_arg(Aml *a, unsigned n);
/* Operators: operands follow as said */
void aml_store(Aml *a);                                 /* source, target */
void aml_and(Aml *a);                                   /* x, y, then aml_null or a target */
void aml_or(Aml *a);
void aml_shift_left(Aml *a);                            /* x, count, then aml_null or a target */
void aml_notify(Aml *a);                                /* device, value */
void aml_null(Aml *a);
/* CreateDWordField(buffer, byte, NAME); buffer is a name or "Arg0".. */
void aml_dword_field(Aml *a, const char *buffer, unsigned byte, const char *name);

#endif
