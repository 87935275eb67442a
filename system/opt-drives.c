/* SPDX-License-Identifier: MIT */
/*
 * Options about disks.
 */
#include <stdlib.h>

#include "block/drive.h"
#include "system/cmdline.h"
#include "system/options.h"

static void add(const Option *o, const char *text, int iface, int index, bool cdrom)
{
    DriveArg *d = g_new0(DriveArg, 1);
    char *name = g_strdup_printf("-%s", o->name);
    Arg *a = arg_new(name, text);
    *d = (DriveArg) { *a, iface, index, cdrom };
    g_free(a);
    g_free(name);
    g_ptr_array_add(config.drives, d);
}

static bool opt_drive(const Option *o, const char *arg, Error **err)
{
    add(o, arg, -1, -1, false);
    return true;
}

/* with: the number of the connector */
static bool opt_disk(const Option *o, const char *arg, Error **err)
{
    add(o, arg, DRIVE_IF_IDE, atoi(o->with), false);
    return true;
}

static bool opt_cdrom(const Option *o, const char *arg, Error **err)
{
    add(o, arg, DRIVE_IF_IDE, 2, true);
    return true;
}

static bool opt_floppy(const Option *o, const char *arg, Error **err)
{
    add(o, arg, DRIVE_IF_FLOPPY, atoi(o->with), false);
    return true;
}

static bool opt_pflash(const Option *o, const char *arg, Error **err)
{
    int index = 0;
    for (guint i = 0; i < config.drives->len; i++) {
        const DriveArg *d = config.drives->pdata[i];
        index += d->iface == DRIVE_IF_PFLASH;
    }
    add(o, arg, DRIVE_IF_PFLASH, index, false);
    return true;
}

static const Option table[] = {
    { "hda", "FILE", "disk image, first IDE disk", opt_disk, .with = "0" },
    { "hdb", "FILE", "second IDE disk", opt_disk, .with = "1" },
    { "hdc", "FILE", "third IDE disk, in the CD-ROM's place", opt_disk, .with = "2" },
    { "hdd", "FILE", "fourth IDE disk", opt_disk, .with = "3" },
    { "cdrom", "FILE", "CD-ROM image", opt_cdrom },
    { "fda", "FILE", "floppy image", opt_floppy, .with = "0" },
    { "fdb", "FILE", "second floppy image", opt_floppy, .with = "1" },
    { "pflash", "FILE", "firmware in a flash chip", opt_pflash },
    { "drive", "[file=FILE][,if=TYPE][,index=N][,media=disk|cdrom][,format=F][,readonly=on|off]"
      "[,snapshot=on|off]...", "a drive with its image", opt_drive },
    { "blockdev", "[driver=]DRIVER[,node-name=NAME][,OPTION=VALUE...]", "a disk image for -device",
      option_list, &config.blockdevs },
    { "snapshot", NULL, "write to temporary files instead of the images", option_flag,
      &config.snapshot },
    { NULL }
};

const OptionTopic options_drives = { "Disks", table };
