/* SPDX-License-Identifier: MIT */
/*
 * The accelerator without a CPU: nothing runs, the virtual clock moves only when told to, and
 * a test drives the bus from outside (system/qtest.c).
 */
#include "accel/accel.h"
#include "util/timer.h"

static bool qtest_init(struct Machine *m, void *opts, Error **err)
{
    vclock_set_manual(true);
    return true;
}

static const Accel qtest = {
    .name = "qtest", .desc = "no CPU: tests drive the devices (-qtest)", .init = qtest_init,
};
ACCEL(qtest);
