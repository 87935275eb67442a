/* SPDX-License-Identifier: MIT */
/*
 * The emulator's main: options, machine, main loop, end.
 */
#include <glib.h>
#include <locale.h>

#include "system/cmdline.h"
#include "system/options.h"
#include "system/runstate.h"

int main(int argc, char **argv)
{
    Error *err = NULL;

    setlocale(LC_CTYPE, "");
    char *name = g_path_get_basename(argv[0]);
    g_set_prgname(name);
    g_free(name);

    config_init();
    if (!options_parse(argc, argv, &err) || !machine_setup(&err)) {
        die_error(err);
    }
    int status = runstate_main_loop();
    machine_teardown();
    return status;
}
