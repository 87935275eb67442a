/* SPDX-License-Identifier: MIT */
/*
 * -audiodev and -audio; property "audiodev" of devices.
 */
#include "system/audio-setup.h"

#include "audio/audio.h"
#include "hw/core/device.h"
#include "system/cmdline.h"

static void *resolve_audiodev(const char *id, Error **err)
{
    return audiodev_find(id);
}

static const char *name_audiodev(const void *dev)
{
    return audiodev_id(dev);
}

/* A card, or the speaker that the board has anyway */
static bool add_model(const char *text, Error **err)
{
    char *controller = NULL, *device = NULL, *pcspk = NULL;

    if (!audiodev_add_model(text, &controller, &device, &pcspk, err)) {
        return false;
    }
    if (controller) {
        g_ptr_array_add(config.devices, arg_new("-device", controller));
    }
    if (device) {
        g_ptr_array_add(config.devices, arg_new("-device", device));
    } else {
        device_add_global("isa-pcspk", "audiodev", pcspk, true);
    }
    g_free(controller);
    g_free(device);
    g_free(pcspk);
    return true;
}

static bool add_all(const GPtrArray *list, bool (*add)(const char *text, Error **err), Error **err)
{
    for (guint i = 0; i < list->len; i++) {
        const Arg *a = list->pdata[i];
        if (!add(a->text, err)) {
            arg_prefix(err, a->option, a->text);
            return false;
        }
    }
    return true;
}

bool audio_add(Error **err)
{
    prop_set_resolver(PROP_KIND_AUDIODEV, resolve_audiodev, name_audiodev);
    return add_all(config.audiodevs, audiodev_add, err) && add_all(config.audios, add_model, err);
}
