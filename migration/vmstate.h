/* SPDX-License-Identifier: MIT */
/*
 * State tables.  A device lists the fields that make up its guest-visible state; one walker
 * saves, loads, dumps and compares them.
 *
 * The rule, for whoever edits a table: append at the end with the version it came in; never
 * reorder, never change a field's kind; host pointers and derived values stay out and are
 * rebuilt in post_load; post_load checks every value that is used as an index, a size or a
 * loop bound, because a stream is hostile input.
 *
 * In a stream all integers are big-endian.  Format: migration/vmstate.c.
 */
#ifndef MIGRATION_VMSTATE_H
#define MIGRATION_VMSTATE_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "util/error.h"

typedef enum {
    VMF_UINT,        /* size 1, 2, 4 or 8 */
    VMF_BOOL,
    VMF_BUFFER,      /* size bytes as they are */
    VMF_STRUCT,      /* sub-table */
    VMF_VSTRUCTS,    /* sub-table for each element of an allocated array; their number is in
                        another field and must be the same in the stream */
    VMF_TIMER,       /* struct Timer: pending and expiry */
    VMF_VBUFFER,     /* g_malloc'ed bytes, length in another field, bounded by max; a load
                        reallocates them to the length it finds */
    VMF_STRING,      /* NUL-terminated in a fixed buffer of size bytes */
    VMF_UNUSED,      /* size bytes once used, now skipped */
} VMFieldKind;

typedef struct VMField {
    const char *name;
    VMFieldKind kind;
    size_t offset, size;          /* of one element */
    unsigned count;               /* elements; 0 = 1 */
    int since;                    /* version that brought it; 0 = first */
    const struct VMState *sub;
    size_t len_offset;            /* VBUFFER, VSTRUCTS: where the uint32_t with the length (the
                                     number) is */
    uint32_t max;
    bool (*needed)(void *opaque); /* NULL = always; else a flag byte in the stream tells */
} VMField;

typedef struct VMState {
    const char *name;
    int version, oldest;          /* written / still read; 0 means 1 */
    void (*pre_save)(void *opaque);
    void (*pre_load)(void *opaque);
    bool (*post_load)(void *opaque, int version, Error **err);
    const VMField *fields;        /* VM_DONE at the end */
    const char *unmigratable;     /* why not, or NULL */
} VMState;

#define VM_CHECK(T, f, t) (0 * sizeof((t *)0 == &((T *)0)->f))
#define VM_FIELD_(T, f, k, n, v) \
    { .name = #f, .kind = k, .offset = offsetof(T, f), .size = sizeof(((T *)0)->f) / (n), .count = n, .since = v }
/* One integer of 1..8 bytes, or an array of them */
#define VM_UINT(T, f)            VM_FIELD_(T, f, VMF_UINT, 1, 0)
#define VM_UINT_V(T, f, v)       VM_FIELD_(T, f, VMF_UINT, 1, v)
#define VM_UINTS(T, f)           VM_FIELD_(T, f, VMF_UINT, sizeof(((T *)0)->f) / sizeof(((T *)0)->f[0]), 0)
#define VM_UINTS_V(T, f, v)      VM_FIELD_(T, f, VMF_UINT, sizeof(((T *)0)->f) / sizeof(((T *)0)->f[0]), v)
#define VM_BOOL(T, f)            VM_FIELD_(T, f, VMF_BOOL, 1, 0)
#define VM_BOOL_V(T, f, v)       VM_FIELD_(T, f, VMF_BOOL, 1, v)
#define VM_BOOLS(T, f)           VM_FIELD_(T, f, VMF_BOOL, sizeof(((T *)0)->f) / sizeof(bool), 0)
#define VM_BUFFER(T, f)          VM_FIELD_(T, f, VMF_BUFFER, 1, 0)
#define VM_STRING(T, f)          VM_FIELD_(T, f, VMF_STRING, 1, 0)
#define VM_TIMER(T, f)           VM_FIELD_(T, f, VMF_TIMER, 1, 0)
#define VM_STRUCT(T, f, t)       { .name = #f, .kind = VMF_STRUCT, .offset = offsetof(T, f), \
                                   .size = sizeof(((T *)0)->f), .count = 1, .sub = &(t) }
#define VM_STRUCT_V(T, f, t, v)  { .name = #f, .kind = VMF_STRUCT, .offset = offsetof(T, f), \
                                   .size = sizeof(((T *)0)->f), .count = 1, .sub = &(t), .since = v }
#define VM_STRUCTS(T, f, t)      { .name = #f, .kind = VMF_STRUCT, .offset = offsetof(T, f), \
                                   .size = sizeof(((T *)0)->f[0]), .sub = &(t), \
                                   .count = sizeof(((T *)0)->f) / sizeof(((T *)0)->f[0]) }
/* X *f, an array of as many as the uint32_t n says */
#define VM_VSTRUCTS(T, f, n, t)  { .name = #f, .kind = VMF_VSTRUCTS, .offset = offsetof(T, f), \
                                   .size = sizeof(*((T *)0)->f), .len_offset = offsetof(T, n), \
                                   .count = 1, .sub = &(t) }
/* uint8_t *f with its length in the uint32_t len */
#define VM_VBUFFER(T, f, len, mx) { .name = #f, .kind = VMF_VBUFFER, .offset = offsetof(T, f), \
                                   .len_offset = offsetof(T, len), .max = mx, .count = 1 }
#define VM_DONE                  { .name = NULL }

/* Append the state of opaque to out.  Runs pre_save. [bql] */
void vmstate_save(const VMState *vm, void *opaque, GByteArray *out);
/* Read one back; *pos moves on.  On error the object may be half loaded: the caller gives up
 * on the machine (or resets it).  Every length is checked against len. [bql] */
bool vmstate_load(const VMState *vm, void *opaque, const uint8_t *data, size_t len, size_t *pos,
                  Error **err);
/* Human-readable "field: value" lines. */
void vmstate_dump(const VMState *vm, void *opaque, GString *out, int indent);

/* Whole-machine registry: each realized device and each CPU is one section. */
void vmstate_register(const char *name, int instance, const VMState *vm, void *opaque);
void vmstate_unregister(const VMState *vm, void *opaque);
void vmstate_foreach(void (*fn)(const char *name, int instance, const VMState *vm, void *opaque,
                                void *user), void *user);
/* false: some section is unmigratable; err names it and says why. */
bool machine_state_can_save(Error **err);
/* All sections, in registration order, with names, versions, lengths and a checksum.  A load
 * that fails may have changed part of the machine, unless err came from the checks of the
 * stream as a whole, which are made first. [bql] */
void machine_state_save(GByteArray *out);
bool machine_state_load(const uint8_t *data, size_t len, Error **err);

#endif
