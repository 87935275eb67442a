/* SPDX-License-Identifier: MIT */
/*
 * Back-ends by name: -audiodev, -audio, what `info audio` tells.
 */
#include "audio/mixer.h"

#include <inttypes.h>
#include <string.h>

extern const AudioDriver *const __start_orrery_audiodevs[], *const __stop_orrery_audiodevs[];

#define MIN_PERIOD_US 100
#define MAX_PERIOD_US 1000000

static GPtrArray *devs;                 /* of AudioDev*, in order of the command line */
static AudioDev *silent;                /* made for devices when there is none */

static const char *const formats[] = { "u8", "s16", "s32", NULL };
static const AudioFormat format_ids[] = { AUDIO_FMT_U8, AUDIO_FMT_S16, AUDIO_FMT_S32 };
static const char *const all_formats[] = { "u8", "s8", "u16", "s16", "u32", "s32" };

/* Drivers that other builds have, too: a better message than "unknown". */
static const char *const foreign[] = { "alsa", "coreaudio", "dbus", "dsound", "jack", "oss", "pa",
                                       "sndio", "spice", NULL };

static const AudioDriver *find_driver(const char *name)
{
    for (const AudioDriver *const *d = __start_orrery_audiodevs; d < __stop_orrery_audiodevs; d++) {
        if (!strcmp((*d)->name, name)) {
            return *d;
        }
    }
    return NULL;
}

static char *driver_names(void)
{
    GString *s = g_string_new(NULL);
    for (const AudioDriver *const *d = __start_orrery_audiodevs; d < __stop_orrery_audiodevs; d++) {
        g_string_append_printf(s, "%s%s", s->len ? ", " : "", (*d)->name);
    }
    return g_string_free(s, FALSE);
}

void audiodev_help(GString *out)
{
    g_string_append(out, "Available audio drivers:\n");
    for (const AudioDriver *const *d = __start_orrery_audiodevs; d < __stop_orrery_audiodevs; d++) {
        g_string_append_printf(out, "%-10s %s\n", (*d)->name, (*d)->desc);
    }
}

AudioDev *audiodev_find(const char *id)
{
    for (guint i = 0; devs && i < devs->len; i++) {
        AudioDev *d = devs->pdata[i];
        if (!strcmp(d->id, id)) {
            return d;
        }
    }
    return NULL;
}

const char *audiodev_id(const AudioDev *dev)
{
    return dev->id;
}

AudioDev *audiodev_default(const char *user)
{
    AudioDev *d = audiodev_default_quietly();

    if (d != silent) {
        warn_report("%s: no audiodev= is given, '%s' plays", user, d->id);
    }
    return d;
}

AudioDev *audiodev_default_quietly(void)
{
    if (devs && devs->len) {
        return devs->pdata[0];
    }
    if (!silent) {
        silent = g_new0(AudioDev, 1);
        *silent = (AudioDev) {
            .id = g_strdup("none"), .driver = find_driver("none"), .spec = { 44100, 2, AUDIO_FMT_S16 },
            .in_spec = { 44100, 2, AUDIO_FMT_S16 },
            .period_ns = 10 * NS_PER_MS,
        };
        audio_dev_init(silent);
    }
    return silent;
}

/* ---- options ------------------------------------------------------------------------- */

static bool refuse_input(const AudioDriver *driver, const char *name, Error **err)
{
    return !g_str_has_prefix(name, "in.") || driver->record_run
           || fail(err, "-audiodev: %s: driver=%s hears nothing (leave in.* away)", name, driver->name);
}

/* The mixer always works, at a rate of its own, with one voice of the host. */
static bool take_fixed(Opts *o, const char *way, Error **err)
{
    bool mixing, fixed;
    uint64_t voices;
    g_autofree char *mix = g_strconcat(way, ".mixing-engine", NULL);
    g_autofree char *fix = g_strconcat(way, ".fixed-settings", NULL);
    g_autofree char *num = g_strconcat(way, ".voices", NULL);

    if (!opts_bool(o, mix, true, &mixing, err) || !opts_bool(o, fix, true, &fixed, err)
        || !opts_uint(o, num, 1, 1, UINT32_MAX, &voices, err)) {
        return false;
    }
    return (mixing || fail(err, "-audiodev: %s=off: sound is always mixed here", mix))
           && (fixed || fail(err, "-audiodev: %s=off: the back-end keeps its own rate (%s.frequency)", fix, way))
           && (voices == 1 || fail(err, "-audiodev: %s=%" PRIu64 ": the mixer makes one of all (1)", num, voices));
}

static bool take_way(Opts *o, const char *way, AudioSpec *spec, Error **err)
{
    uint64_t rate, channels;
    int format;
    g_autofree char *frequency = g_strconcat(way, ".frequency", NULL);
    g_autofree char *count = g_strconcat(way, ".channels", NULL);
    g_autofree char *kind = g_strconcat(way, ".format", NULL);

    if (!opts_uint(o, frequency, 44100, AUDIO_MIN_RATE, AUDIO_MAX_RATE, &rate, err)
        || !opts_uint(o, count, 2, 1, 2, &channels, err)
        || !opts_enum(o, kind, formats, 1, &format, err)) {
        return false;
    }
    *spec = (AudioSpec) { rate, channels, format_ids[format] };
    return take_fixed(o, way, err);
}

static bool take_spec(AudioDev *d, Opts *o, uint64_t *buffer_us, Error **err)
{
    uint64_t period;

    if (!opts_uint(o, "timer-period", 10000, MIN_PERIOD_US, MAX_PERIOD_US, &period, err)
        || !opts_uint(o, "out.buffer-length", 0, 0, 2000000, buffer_us, err)
        || !take_way(o, "out", &d->spec, err) || !take_way(o, "in", &d->in_spec, err)) {
        return false;
    }
    d->period_ns = period * NS_PER_US;
    *buffer_us = *buffer_us ? *buffer_us : 6 * period;
    return true;
}

static const AudioDriver *take_driver(Opts *o, Error **err)
{
    const char *name = opts_get(o, "driver");
    const AudioDriver *driver = name ? find_driver(name) : NULL;

    if (!driver) {
        char *all = driver_names();
        if (!name) {
            fail(err, "-audiodev: driver= is missing (%s)", all);
        } else if (g_strv_contains(foreign, name) || !strcmp(name, "sdl")) {
            fail(err, "-audiodev: driver=%s is not available here (%s)", name, all);
        } else {
            fail(err, "-audiodev: driver=%s: there is no such driver (%s)", name, all);
        }
        g_free(all);
    }
    return driver;
}

static bool open_dev(AudioDev *d, Opts *o, Error **err)
{
    uint64_t buffer_us;
    const char *id = opts_get(o, "id");

    d->driver = take_driver(o, err);
    if (!d->driver) {
        return false;
    }
    if (!id) {
        return fail(err, "-audiodev: id= is missing");
    }
    if (audiodev_find(id)) {
        return fail(err, "-audiodev: id=%s: there is one already", id);
    }
    d->id = g_strdup(id);
    for (guint i = 0; i < o->list->len; i++) {
        if (!refuse_input(d->driver, ((Opt *)o->list->pdata[i])->name, err)) {
            return false;
        }
    }
    return take_spec(d, o, &buffer_us, err)
           && d->driver->open(&d->spec, buffer_us, o, &d->state, err);
}

static bool add_opts(Opts *o, Error **err)
{
    AudioDev *d = g_new0(AudioDev, 1);

    if (!open_dev(d, o, err)) {
        g_free(d->id);
        g_free(d);
        return false;
    }
    audio_dev_init(d);
    devs = devs ? devs : g_ptr_array_new();
    g_ptr_array_add(devs, d);
    return opts_check_unused(o, err);
}

bool audiodev_add(const char *text, Error **err)
{
    g_autoptr(Opts) o = opts_parse("-audiodev", text, "driver", NULL, err);

    return o && add_opts(o, err);
}

/* Names of -audio model=, and of the devices they are: a bus master and what plays. */
static const char *const models[][3] = {
    { "ac97", "AC97" }, { "hda", "hda-duplex", "intel-hda" }, { "pcspk", NULL }, { "sb16", "sb16" },
};

bool audiodev_add_model(const char *text, char **controller, char **device, char **pcspk, Error **err)
{
    g_autoptr(Opts) o = opts_parse("-audio", text, "driver", NULL, err);
    const char *model = o ? opts_get(o, "model") : NULL;

    if (!model) {
        return o && fail(err, "-audio: model= is missing (ac97, hda, pcspk, sb16)");
    }
    if (!opts_has(o, "id")) {
        opts_set(o, "id", "audiodev0");
    }
    for (size_t i = 0; i < G_N_ELEMENTS(models); i++) {
        if (!strcmp(models[i][0], model)) {
            const char *id = opts_get(o, "id");
            *device = models[i][1] ? g_strdup_printf("%s,audiodev=%s", models[i][1], id) : NULL;
            *controller = g_strdup(models[i][2]);
            *pcspk = models[i][1] ? NULL : g_strdup(id);
            return add_opts(o, err);
        }
    }
    return fail(err, "-audio: model=%s: there is no such card (ac97, hda, pcspk, sb16)", model);
}

/* ---- life ------------------------------------------------------------------------------ */

void audio_cleanup(void)
{
    for (guint i = 0; devs && i < devs->len; i++) {
        AudioDev *d = devs->pdata[i];
        const AudioDriver *driver = d->driver;
        timer_del(&d->timer);
        d->driver = NULL;
        d->running = d->recording = false;
        if (driver && driver->close) {
            driver->close(d->state);
        }
    }
}

static void info_voice(const AudioVoice *v, GString *out)
{
    g_string_append_printf(out, "  %s: %s, %u Hz, %u channel%s, %s, volume %d%%/%d%%%s\n"
                           "    %" PRIu64 " frames, under-runs: %" PRIu64 " (%" PRIu64 " frames)\n",
                           v->name, v->active ? "playing" : "silent", v->spec.rate,
                           v->spec.channels, v->spec.channels == 1 ? "" : "s",
                           all_formats[v->spec.format], (int)(v->left * 100 + 0.5f),
                           (int)(v->right * 100 + 0.5f), v->mute ? ", muted" : "", v->frames,
                           v->underruns, v->missing);
}

static void info_dev(const AudioDev *d, GString *out)
{
    const AudioDriver *driver = d->driver;

    g_string_append_printf(out, "%s: %s, %u Hz, %u channel%s, %s\n"
                           "  %" PRIu64 " frames played, late: %" PRIu64 " frames, under-runs of "
                           "the host: %" PRIu64 "\n", d->id, driver ? driver->name : "closed",
                           d->spec.rate, d->spec.channels, d->spec.channels == 1 ? "" : "s",
                           all_formats[d->spec.format], d->frames, d->lost,
                           driver && driver->underruns ? driver->underruns(d->state) : 0);
    for (guint i = 0; i < d->voices->len; i++) {
        info_voice(d->voices->pdata[i], out);
    }
    for (guint i = 0; i < d->inputs->len; i++) {
        const AudioInput *in = d->inputs->pdata[i];
        g_string_append_printf(out, "  %s: %s, %u Hz, %u channel%s, %s\n"
                               "    %" PRIu64 " frames heard, under-runs: %" PRIu64 "\n", in->name,
                               in->active ? "recording" : "not recording", in->spec.rate, in->spec.channels,
                               in->spec.channels == 1 ? "" : "s", all_formats[in->spec.format], in->frames,
                               in->underruns);
    }
}

void audio_info(GString *out)
{
    for (guint i = 0; devs && i < devs->len; i++) {
        info_dev(devs->pdata[i], out);
    }
    if (silent) {
        info_dev(silent, out);
    }
    if (!out->len) {
        g_string_append(out, "no sound\n");
    }
}
