/* SPDX-License-Identifier: MIT */
/*
 * The list of front ends.
 */
#include "ui/display.h"

#include <string.h>

/* Bounds of the section; the linker defines them. */
extern const DisplayType *const __start_orrery_displays[] __attribute__((weak));
extern const DisplayType *const __stop_orrery_displays[] __attribute__((weak));

UiHooks ui_hooks;
const char *ui_keymap;

const DisplayType *display_type_find(const char *name)
{
    const DisplayType *const *d;
    for (d = __start_orrery_displays; d < __stop_orrery_displays; d++) {
        if (!strcmp((*d)->name, name)) {
            return *d;
        }
    }
    return NULL;
}

void display_type_help(GString *out)
{
    const DisplayType *const *d;
    g_string_append(out, "Available display backend types:\n"
                    "  none       no window; consoles exist and screendump shows them\n");
    for (d = __start_orrery_displays; d < __stop_orrery_displays; d++) {
        g_string_append_printf(out, "  %-10s %s\n", (*d)->name, (*d)->desc);
    }
}
