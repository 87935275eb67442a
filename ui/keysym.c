/* SPDX-License-Identifier: MIT */
/*
 * X keysyms: which key of which keyboard makes one.  VNC clients that do not tell key codes send
 * keysyms, and a guest's driver wants keys.
 *
 * Without -k the keyboard is a US one, by the table below.  With it libxkbcommon tells, for each
 * key and shift level of the layout, what comes out of it.
 */
#include "ui/keystate.h"

#include <string.h>

#include "config.h"
#include "util/error.h"
#ifdef CONFIG_XKBCOMMON
#include <xkbcommon/xkbcommon.h>
#endif

/* ---- keys that make no character: the same on every keyboard ------------------------- */

static const struct {
    uint16_t keysym, hid;
} named[] = {
    { 0xff08, 0x2a }, { 0xff09, 0x2b }, { 0xfe20, 0x2b }, { 0xff0d, 0x28 }, { 0xff13, 0x48 },
    { 0xff14, 0x47 }, { 0xff15, 0x46 }, { 0xff1b, 0x29 }, { 0xff50, 0x4a }, { 0xff51, 0x50 },
    { 0xff52, 0x52 }, { 0xff53, 0x4f }, { 0xff54, 0x51 }, { 0xff55, 0x4b }, { 0xff56, 0x4e },
    { 0xff57, 0x4d }, { 0xff61, 0x46 }, { 0xff63, 0x49 }, { 0xff67, 0x65 }, { 0xff6b, 0x48 },
    { 0xff7f, 0x53 }, { 0xffff, 0x4c },
    /* key pad */
    { 0xff8d, 0x58 }, { 0xff95, 0x5f }, { 0xff96, 0x5c }, { 0xff97, 0x60 }, { 0xff98, 0x5e },
    { 0xff99, 0x5a }, { 0xff9a, 0x61 }, { 0xff9b, 0x5b }, { 0xff9c, 0x59 }, { 0xff9d, 0x5d },
    { 0xff9e, 0x62 }, { 0xff9f, 0x63 }, { 0xffaa, 0x55 }, { 0xffab, 0x57 }, { 0xffac, 0x63 },
    { 0xffad, 0x56 }, { 0xffae, 0x63 }, { 0xffaf, 0x54 }, { 0xffb0, 0x62 }, { 0xffb1, 0x59 },
    { 0xffb2, 0x5a }, { 0xffb3, 0x5b }, { 0xffb4, 0x5c }, { 0xffb5, 0x5d }, { 0xffb6, 0x5e },
    { 0xffb7, 0x5f }, { 0xffb8, 0x60 }, { 0xffb9, 0x61 }, { 0xffbd, 0x67 },
    /* modifiers */
    { 0xffe1, HID_SHIFT }, { 0xffe2, HID_SHIFT_R }, { 0xffe3, HID_CTRL }, { 0xffe4, HID_CTRL_R },
    { 0xffe5, HID_CAPS_LOCK }, { 0xffe7, HID_META }, { 0xffe8, HID_META_R }, { 0xffe9, HID_ALT },
    { 0xffea, HID_ALT_R }, { 0xffeb, HID_META }, { 0xffec, HID_META_R }, { 0xfe03, HID_ALT_R },
    { 0xff7e, HID_ALT_R },
    /* Japanese keyboards */
    { 0xff22, 0x8b }, { 0xff23, 0x8a }, { 0xff27, 0x88 }, { 0xff2a, 0x35 },
};

static unsigned named_hid(uint32_t keysym)
{
    if (keysym >= 0xffbe && keysym <= 0xffc9) {         /* F1 to F12, F13 to F24 */
        return keysym - 0xffbe + 0x3a;
    }
    if (keysym >= 0xffca && keysym <= 0xffd5) {
        return keysym - 0xffca + 0x68;
    }
    for (size_t i = 0; i < G_N_ELEMENTS(named); i++) {
        if (named[i].keysym == keysym) {
            return named[i].hid;
        }
    }
    return 0;
}

/* ---- a US keyboard ------------------------------------------------------------------- */

/* From HID usage 1eh (the key 1) on, each key without and with Shift. */
static const char us_keys[] =
    "1!2@3#4$5%6^7&8*9(0)"              /* 1eh */
    "\r\r\033\033\b\b\t\t  "            /* 28h: return, escape, backspace, tab, space */
    "-_=+[{]}\\|\0\0;:'\"`~,<.>/?";     /* 2dh */

uint32_t keysym_from_hid(unsigned hid, bool shift)
{
    if (hid >= 0x04 && hid <= 0x1d) {
        return hid - 0x04 + (shift ? 'A' : 'a');
    }
    if (hid >= 0x28 && hid <= 0x2b) {
        return 0xff00 | us_keys[2 * (hid - 0x1e)];
    }
    if (hid >= 0x1e && hid <= 0x38) {
        return (uint8_t)us_keys[2 * (hid - 0x1e) + shift];
    }
    if (hid >= 0x3a && hid <= 0x45) {
        return hid - 0x3a + 0xffbe;
    }
    for (size_t i = 0; i < G_N_ELEMENTS(named); i++) {
        if (named[i].hid == hid) {
            return named[i].keysym;
        }
    }
    return 0;
}

static unsigned us_hid(uint32_t keysym)
{
    if (!keysym) {
        return 0;
    }
    if (keysym >= 'A' && keysym <= 'Z') {
        keysym += 'a' - 'A';
    }
    for (unsigned hid = 0x04; hid <= 0x38; hid++) {
        if (keysym_from_hid(hid, false) == keysym || keysym_from_hid(hid, true) == keysym) {
            return hid;
        }
    }
    return 0;
}

static unsigned us_key(uint32_t keysym, unsigned *level)
{
    unsigned hid = named_hid(keysym);

    *level = 0;
    if (!hid) {
        hid = us_hid(keysym);
        *level = hid && keysym_from_hid(hid, false) != keysym;
    }
    return hid;
}

/* ---- other layouts ------------------------------------------------------------------- */

#ifdef CONFIG_XKBCOMMON

typedef struct LayoutKey {
    uint32_t keysym;
    uint16_t hid;
    uint8_t level;                      /* bit 0: Shift, bit 1: AltGr */
} LayoutKey;

static GArray *layout;                  /* of LayoutKey, or NULL: US */

/* evdev's key codes of a PC keyboard's main block, as HID usages; XKB adds 8 to the codes. */
static unsigned hid_from_evdev(unsigned code)
{
    static const uint8_t row[] = {
        [2] = 0x1e, 0x1f, 0x20, 0x21, 0x22, 0x23, 0x24, 0x25, 0x26, 0x27, 0x2d, 0x2e,
        [16] = 0x14, 0x1a, 0x08, 0x15, 0x17, 0x1c, 0x18, 0x0c, 0x12, 0x13, 0x2f, 0x30,
        [30] = 0x04, 0x16, 0x07, 0x09, 0x0a, 0x0b, 0x0d, 0x0e, 0x0f, 0x33, 0x34, 0x35,
        [43] = 0x31, 0x1d, 0x1b, 0x06, 0x19, 0x05, 0x11, 0x10, 0x36, 0x37, 0x38,
        [57] = 0x2c, [86] = 0x64, [89] = 0x87, [124] = 0x89,
    };
    return code < sizeof(row) ? row[code] : 0;
}

static void take_key(struct xkb_keymap *map, xkb_keycode_t code, void *opaque)
{
    unsigned hid = code >= 8 ? hid_from_evdev(code - 8) : 0;
    unsigned levels = hid ? MIN(xkb_keymap_num_levels_for_key(map, code, 0), 4u) : 0;

    for (unsigned level = 0; level < levels; level++) {
        const xkb_keysym_t *syms;
        int n = xkb_keymap_key_get_syms_by_level(map, code, 0, level, &syms);
        for (int i = 0; i < n; i++) {
            LayoutKey k = { syms[i], hid, level };
            g_array_append_val(layout, k);
        }
    }
}

/* QEMU's names of layouts that XKB calls otherwise. */
static const char *xkb_name(const char *name, const char **variant)
{
    static const struct {
        const char *name, *layout, *variant;
    } others[] = {
        { "en-us", "us", NULL }, { "en-gb", "gb", NULL }, { "de-ch", "ch", NULL },
        { "fr-ch", "ch", "fr" }, { "fr-be", "be", NULL }, { "fr-ca", "ca", NULL },
        { "nl-be", "be", NULL }, { "pt-br", "br", NULL }, { "ja", "jp", NULL }, { "sv", "se", NULL },
        { "da", "dk", NULL }, { "et", "ee", NULL }, { "sl", "si", NULL }, { "ar", "ara", NULL },
        { "bepo", "fr", "bepo" }, { "cz", "cz", NULL },
    };
    *variant = NULL;
    for (size_t i = 0; i < G_N_ELEMENTS(others); i++) {
        if (!strcmp(others[i].name, name)) {
            *variant = others[i].variant;
            return others[i].layout;
        }
    }
    return name;
}

bool keysym_load_layout(const char *name, Error **err)
{
    struct xkb_rule_names names = { .rules = "evdev", .model = "pc105" };

    if (!name || !strcmp(name, "en-us")) {
        return true;
    }
    names.layout = xkb_name(name, &names.variant);
    struct xkb_context *ctx = xkb_context_new(XKB_CONTEXT_NO_ENVIRONMENT_NAMES);
    if (ctx) {
        xkb_context_set_log_level(ctx, XKB_LOG_LEVEL_CRITICAL);
    }
    struct xkb_keymap *map = ctx ? xkb_keymap_new_from_names(ctx, &names, 0) : NULL;
    if (map) {
        layout = g_array_new(FALSE, FALSE, sizeof(LayoutKey));
        xkb_keymap_key_for_each(map, take_key, NULL);
        xkb_keymap_unref(map);
    }
    xkb_context_unref(ctx);
    return map || fail(err, "-k %s: could not read keymap file: '%s' (layouts are XKB's, as us, gb, "
                       "de, fr; Debian package: xkb-data)", name, name);
}

static unsigned layout_key(uint32_t keysym, unsigned *level)
{
    for (unsigned best = 0; best < 4; best++) {
        for (guint i = 0; i < layout->len; i++) {
            const LayoutKey *l = &g_array_index(layout, LayoutKey, i);
            if (l->keysym == keysym && l->level == best) {
                *level = best;
                return l->hid;
            }
        }
    }
    return 0;
}

static unsigned layout_hid(uint32_t keysym, const KeyState *k)
{
    unsigned held = keystate_shift(k) | keystate_down(k, HID_ALT_R) << 1, found = 0;

    for (guint i = 0; i < layout->len; i++) {
        const LayoutKey *l = &g_array_index(layout, LayoutKey, i);
        if (l->keysym == keysym) {
            if (l->level == held) {
                return l->hid;
            }
            found = found ? found : l->hid;
        }
    }
    return found;
}

unsigned keysym_to_hid(uint32_t keysym, const KeyState *k)
{
    unsigned hid = named_hid(keysym);

    if (!keysym) {
        return 0;
    }
    if (!hid && layout) {
        hid = layout_hid(keysym, k);
    }
    return hid ? hid : us_hid(keysym);
}

unsigned keysym_to_key(uint32_t keysym, unsigned *level)
{
    unsigned hid = layout && !named_hid(keysym) ? layout_key(keysym, level) : 0;
    return hid ? hid : us_key(keysym, level);
}

#else

bool keysym_load_layout(const char *name, Error **err)
{
    return !name || !strcmp(name, "en-us")
           || fail(err, "-k %s: this build knows en-us only (configure --enable-xkbcommon)", name);
}

unsigned keysym_to_hid(uint32_t keysym, const KeyState *k)
{
    unsigned hid = named_hid(keysym);
    return hid ? hid : us_hid(keysym);
}

unsigned keysym_to_key(uint32_t keysym, unsigned *level)
{
    return us_key(keysym, level);
}
#endif
