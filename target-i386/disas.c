/* SPDX-License-Identifier: MIT */
/*
 * Disassembly by capstone where it is there; else bytes only.
 */
#include "target-i386/disas.h"

#include <inttypes.h>
#include "config.h"
#include "util/error.h"

#ifdef CONFIG_CAPSTONE
#include "util/capstone-lib.h"

/* NULL if it is not installed: told once. */
static const CapstoneLib *library(void)
{
    static bool told;
    Error *err = NULL;
    const CapstoneLib *lib = capstone_lib(&err);

    if (!lib && !told) {
        told = true;
        warn_report("%s", err->message);
    }
    g_clear_error(&err);
    return lib;
}

/* [library() is there] */
static csh open_for(const CapstoneLib *lib, unsigned bits)
{
    static GMutex lock;
    static csh handles[3];
    static const cs_mode modes[3] = { CS_MODE_16, CS_MODE_32, CS_MODE_64 };
    unsigned n = bits == 16 ? 0 : bits == 32 ? 1 : 2;

    g_mutex_lock(&lock);
    if (!handles[n] && lib->open(CS_ARCH_X86, modes[n], &handles[n]) == CS_ERR_OK) {
        lib->option(handles[n], CS_OPT_SYNTAX, CS_OPT_SYNTAX_ATT);
    }
    g_mutex_unlock(&lock);
    return handles[n];
}

static unsigned one(uint64_t va, const uint8_t *p, unsigned len, unsigned bits, char *text, size_t size)
{
    const CapstoneLib *lib = library();
    csh h = lib ? open_for(lib, bits) : 0;
    cs_insn *insn;
    unsigned used = 0;

    if (h && lib->disasm(h, p, len, va, 1, &insn) == 1) {
        g_snprintf(text, size, "%-8s %s", insn->mnemonic, insn->op_str);
        used = insn->size;
        lib->free(insn, 1);
    }
    return used;
}
#else
static unsigned one(uint64_t va, const uint8_t *p, unsigned len, unsigned bits, char *text, size_t size)
{
    return 0;
}
#endif

unsigned x86_disas(GString *out, uint64_t va, const uint8_t *p, unsigned len, unsigned bits)
{
    unsigned done = 0;
    while (done < len) {
        char text[256] = "";
        unsigned n = one(va + done, p + done, len - done, bits, text, sizeof(text));
        if (!n) {
            g_strlcpy(text, "(bad)", sizeof(text));
            n = len - done;
        }
        g_string_append_printf(out, "0x%08" PRIx64 ":  ", va + done);
        for (unsigned k = 0; k < n; k++) {
            g_string_append_printf(out, "%02x ", p[done + k]);
        }
        g_string_append_printf(out, "%*s%s\n", n < 10 ? (10 - (int)n) * 3 : 0, "", text);
        done += n;
    }
    return done;
}
