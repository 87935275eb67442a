/* SPDX-License-Identifier: MIT */
/*
 * The machine without a board: what management software starts to ask questions.
 */
#include "hw/core/machine.h"

static bool none_init(Machine *m, Error **err)
{
    return true;
}

static const MachineType none_machine = {
    .name = "none", .desc = "no board at all, for asking questions through the monitor",
    .size = sizeof(Machine), .max_cpus = 1, .init = none_init,
    .no_serial = true, .no_parallel = true, .no_floppy = true, .no_cdrom = true,
};
MACHINE_TYPE(none_machine);
