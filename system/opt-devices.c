/* SPDX-License-Identifier: MIT */
/*
 * Options about devices: -device, -global, -object, the default set, graphics and network cards.
 */
#include <string.h>

#include "system/cmdline.h"
#include "system/options.h"
#include "util/opts.h"

static bool opt_device(const Option *o, const char *arg, Error **err)
{
    if (!strcmp(arg, "help") || !strcmp(arg, "?")) {
        config.help_devices = true;
        return true;
    }
    return option_list(o, arg, err);
}

static bool opt_usb(const Option *o, const char *arg, Error **err)
{
    g_ptr_array_add(config.machine_props, arg_new("-machine", "usb=on"));
    return true;
}

/* QEMU's former way to say -usb -device usb-X. */
static bool opt_usbdevice(const Option *o, const char *arg, Error **err)
{
    static const char *const models[][2] = {
        { "tablet", "usb-tablet" }, { "mouse", "usb-mouse" }, { "keyboard", "usb-kbd" },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(models); i++) {
        if (!strcmp(arg, models[i][0])) {
            g_ptr_array_add(config.devices, arg_new("-usbdevice", models[i][1]));
            return opt_usb(o, NULL, err);
        }
    }
    return fail(err, "'tablet', 'mouse' and 'keyboard' are known; for others there is -device");
}

static bool opt_vga(const Option *o, const char *arg, Error **err)
{
    static const char *const ours[] = { "none", "std", "cirrus", "virtio", NULL };
    static const char *const others[] = { "vmware", "qxl", "xenfb", "tcx", "cg3", NULL };

    if (g_strv_contains(others, arg)) {
        return fail(err, "this graphics card is not available here (there are std, cirrus, virtio, none)");
    }
    if (!g_strv_contains(ours, arg)) {
        return fail(err, "unknown kind of graphics card (there are std, cirrus, virtio, none)");
    }
    return option_string(o, arg, err);
}

/* The type is looked at here, so that a wrong one is told before anything is made. */
static bool opt_nic(const Option *o, const char *arg, Error **err)
{
    if (g_str_has_prefix(arg, "model=help") || strstr(arg, ",model=help")) {
        config.help_nics = true;
    }
    return option_list(o, arg, err);
}

static const Option table[] = {
    { "device", "TYPE[,PROP=VALUE...]", "add a device (-device help, -device TYPE,help)", opt_device,
      &config.devices },
    { "global", "TYPE.PROP=VALUE", "default of a property for all devices of a type", option_list,
      &config.globals },
    { "object", "TYPE,id=ID[,PROP=VALUE...]", "add an object (-object help lists the types)",
      option_list, &config.objects },
    { "nodefaults", NULL, "only what is asked for: no default serial port, drives, monitor, graphics",
      option_flag, &config.nodefaults },
    { "vga", "std|cirrus|virtio|none", "graphics card", opt_vga, &config.m.vga },
    { "usb", NULL, "same as -machine usb=on", opt_usb },
    { "usbdevice", "tablet|mouse|keyboard", "same as -usb -device usb-tablet (usb-mouse, usb-kbd)",
      opt_usbdevice },
    { "audiodev", "DRIVER,id=ID[,OPTION=VALUE...]", "a sound back-end (-audiodev help)", option_list,
      &config.audiodevs },
    { "audio", "DRIVER,model=CARD[,OPTION=VALUE...]", "a sound back-end and a card in one",
      option_list, &config.audios },
    { "netdev", "TYPE,id=ID[,OPTION=VALUE...]", "a network back-end (-netdev help)", option_list,
      &config.netdevs },
    { "nic", "none|TYPE[,model=CARD][,mac=MAC][,OPTION=VALUE...]",
      "a network card and its back-end in one", opt_nic, &config.nets },
    { "net", "none|nic[,model=CARD]|TYPE[,OPTION=VALUE...]",
      "a card or a back-end on hub 0, as in former times", opt_nic, &config.nets },
    { NULL }
};

const OptionTopic options_devices = { "Devices", table };
