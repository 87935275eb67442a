/* SPDX-License-Identifier: MIT */
/*
 * VNC: what the guest plays, for clients that know QEMU's audio extension (rfbproto: "QEMU Audio
 * Client Message", "QEMU Audio Server Message").  The client chooses format and rate and says when
 * it wants to hear; sound it does not take is dropped.
 */
#include "ui/vnc-int.h"

#include "ui/display.h"

enum { FROM_CLIENT_ENABLE, FROM_CLIENT_DISABLE, FROM_CLIENT_FORMAT };
enum { TO_CLIENT_END, TO_CLIENT_BEGIN, TO_CLIENT_DATA };
enum { QEMU_MESSAGE = 255, QEMU_AUDIO = 1 };
#define FORMATS 6                       /* U8 S8 U16 S16 U32 S32 */

static bool send_audio(VncClient *c, unsigned what, const void *data, size_t len)
{
    g_autoptr(GByteArray) m = g_byte_array_new();
    uint8_t head[8] = { QEMU_MESSAGE, QEMU_AUDIO, 0, what, len >> 24, len >> 16, len >> 8, len };

    g_byte_array_append(m, head, what == TO_CLIENT_DATA ? 8 : 4);
    g_byte_array_append(m, data, len);
    return vnc_send_message(c, m->data, m->len);
}

static void heard(void *opaque, const void *frames, size_t bytes)
{
    VncClient *c = opaque;

    if (c->audio_begun && send_audio(c, TO_CLIENT_DATA, frames, bytes)) {
        vnc_flush(c);
    }
}

static void begins_or_ends(void *opaque, bool on)
{
    VncClient *c = opaque;

    if (on != c->audio_begun && send_audio(c, on ? TO_CLIENT_BEGIN : TO_CLIENT_END, NULL, 0)) {
        c->audio_begun = on;
        vnc_flush(c);
    }
}

static const UiAudioListener listener = { heard, begins_or_ends };

void vnc_audio_stop(VncClient *c)
{
    if (c->audio_tap) {
        ui_hooks.audio_untap(c->audio_tap);
        c->audio_tap = NULL;
        begins_or_ends(c, false);
    }
}

static void start(VncClient *c)
{
    vnc_audio_stop(c);
    c->audio_tap = ui_hooks.audio_tap(c->server->audio, c->audio_rate, c->audio_channels, c->audio_format,
                                      &listener, c);
}

size_t vnc_audio_message(VncClient *c, const uint8_t *p, size_t len)
{
    unsigned what = p[2] << 8 | p[3];
    bool format = what == FROM_CLIENT_FORMAT;

    if (format && len < 10) {
        return 10;
    }
    if (!c->server->audio || !(c->features & HAS_AUDIO) || what > FROM_CLIENT_FORMAT) {
        vnc_client_close(c);
    } else if (what == FROM_CLIENT_DISABLE) {
        vnc_audio_stop(c);
    } else if (what == FROM_CLIENT_ENABLE) {
        start(c);
    } else {
        uint32_t rate = (uint32_t)p[6] << 24 | p[7] << 16 | p[8] << 8 | p[9];
        if (p[4] >= FORMATS || p[5] < 1 || p[5] > 2 || rate < 4000 || rate > 192000) {
            vnc_client_close(c);
            return 0;
        }
        c->audio_format = p[4];
        c->audio_channels = p[5];
        c->audio_rate = rate;
        if (c->audio_tap) {
            start(c);
        }
    }
    return 0;
}
