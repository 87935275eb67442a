/* SPDX-License-Identifier: MIT */
/*
 * The accelerators that are linked in, found through the section that ACCEL() fills.
 */
#include "accel/accel.h"

#include <string.h>

/* Bounds of the section; the linker defines them. */
extern const Accel *const __start_orrery_accels[] __attribute__((weak));
extern const Accel *const __stop_orrery_accels[] __attribute__((weak));

const Accel *accel_current;
const char *accel_reason;

const Accel *accel_find(const char *name)
{
    for (const Accel *const *a = __start_orrery_accels; a < __stop_orrery_accels; a++) {
        if (!strcmp((*a)->name, name)) {
            return *a;
        }
    }
    return NULL;
}

void accel_foreach(void (*fn)(const Accel *a, void *opaque), void *opaque)
{
    for (const Accel *const *a = __start_orrery_accels; a < __stop_orrery_accels; a++) {
        fn(*a, opaque);
    }
}
