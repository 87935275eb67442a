/* SPDX-License-Identifier: MIT */
/*
 * The instruction table in memory: the rows of insns.def, and what their text columns say,
 * parsed once at start-up (some 1500 rows, well below a millisecond) into insn_desc[] and the
 * per-opcode lists the decoder walks.
 */
#include "target-i386/insn.h"

#include <ctype.h>
#include <glib.h>
#include <stdlib.h>
#include <string.h>
#include "target-i386/cpuid.h"

#define TABLE_DECLARE
#include "target-i386/table.h"
#define I(opcode, name, operands, feature, attr, flags, ...) __VA_ARGS__
#include "target-i386/insns.def"
#undef I
#undef TABLE_DECLARE
#undef H
#undef HM
#undef HML
#undef HS
#undef HSM
#undef HSML
#undef HY
#undef H2
#undef HV
#undef HVM

#include "target-i386/table.h"
const InsnRow insn_rows[] = {
#define I(opc, mnem, opnds, feat, att, fl, ...) \
    { .opcode = opc, .name = #mnem, .operands = opnds, .feature = CPUID_##feat, .attr = att, \
      .flags = fl, __VA_ARGS__ },
#include "target-i386/insns.def"
#undef I
};
const unsigned insn_row_count = sizeof(insn_rows) / sizeof(insn_rows[0]);

InsnDesc *insn_desc;
uint16_t insn_first[2][4][256];

static void G_GNUC_NORETURN bad_row(const InsnRow *r, const char *what)
{
    g_error("insns.def: \"%s\" %s \"%s\": bad %s", r->opcode, r->name, r->operands, what);
    abort();
}

/* Next word of *s up to a separator into buf; false at the end. */
static bool next_word(const char **s, const char *sep, char *buf, size_t size)
{
    *s += strspn(*s, sep);
    size_t n = strcspn(*s, sep);
    if (!n || n >= size) {
        return false;
    }
    memcpy(buf, *s, n);
    buf[n] = 0;
    *s += n;
    return true;
}

static bool parse_pfx(const char *w, InsnDesc *d)
{
    static const char *const names[] = { "", "NP", "66", "F3", "F2" };
    for (unsigned k = PFX_NONE; k <= PFX_F2; k++) {
        if (!strcmp(w, names[k])) {
            d->pfx = k;
            return true;
        }
    }
    return false;
}

static bool parse_w(const char *w, InsnDesc *d)
{
    if (!strcmp(w, "W0") || !strcmp(w, "W1")) {
        d->w = w[1] - '0';
        return true;
    }
    return !strcmp(w, "WIG");
}

static void parse_vex(const InsnRow *r, const char *w, InsnDesc *d)
{
    char part[8];
    d->enc = ENC_VEX;
    d->pfx = PFX_NONE;
    w += 3;
    while (next_word(&w, ".", part, sizeof(part))) {
        if (!strcmp(part, "128") || !strcmp(part, "LZ")) {
            d->l = 0;
        } else if (!strcmp(part, "256")) {
            d->l = 1;
        } else if (!strcmp(part, "0F")) {
            d->map = 1;
        } else if (!strcmp(part, "0F38")) {
            d->map = 2;
        } else if (!strcmp(part, "0F3A")) {
            d->map = 3;
        } else if (strcmp(part, "LIG") && !parse_pfx(part, d) && !parse_w(part, d)) {
            bad_row(r, "VEX prefix");
        }
    }
}

/* "0F38F0", "50+r", after VEX "F7" */
static void parse_opcode_byte(const InsnRow *r, const char *w, InsnDesc *d)
{
    char *plus = strchr(w, '+');
    size_t n = plus ? (size_t)(plus - w) : strlen(w);
    d->span = plus ? 8 : 1;
    if (d->enc == ENC_LEGACY && n == 4 && !strncmp(w, "0F", 2)) {
        d->map = 1;
        w += 2;
    } else if (d->enc == ENC_LEGACY && n == 6 && !strncmp(w, "0F38", 4)) {
        d->map = 2;
        w += 4;
    } else if (d->enc == ENC_LEGACY && n == 6 && !strncmp(w, "0F3A", 4)) {
        d->map = 3;
        w += 4;
    } else if (n != 2) {
        bad_row(r, "opcode");
    }
    d->opcode = strtoul(w, NULL, 16);
}

static void parse_opcode(const InsnRow *r, InsnDesc *d)
{
    const char *s = r->opcode;
    char w[32];
    bool have = false;

    while (next_word(&s, " ", w, sizeof(w))) {
        if (w[0] == '/') {
            d->modrm = true;
            if (w[1] >= '0' && w[1] <= '7') {
                d->reg = w[1] - '0';
            } else if (w[1] != 'r') {
                bad_row(r, "ModRM column");
            }
        } else if (have) {                          /* "C0-C7", "F8" */
            char *end;
            d->modrm = true;
            d->modrm_first = strtoul(w, &end, 16);
            d->modrm_last = *end == '-' ? strtoul(end + 1, NULL, 16) : d->modrm_first;
        } else if (!strncmp(w, "VEX", 3)) {
            parse_vex(r, w, d);
        } else if (!strcmp(w, "REX.W")) {
            d->w = 1;
        } else if (d->enc == ENC_VEX || (!parse_pfx(w, d) && !parse_w(w, d))) {
            parse_opcode_byte(r, w, d);
            have = true;
        }
    }
    if (!have) {
        bad_row(r, "opcode");
    }
}

static uint8_t type_size(const char *t)
{
    static const struct { const char *name; uint8_t size; } sizes[] = {
        { "b", 1 }, { "bs", 1 }, { "w", 2 }, { "d", 4 }, { "q", 8 }, { "dq", 16 }, { "qq", 32 },
        { "t", 10 }, { "ss", 4 }, { "sd", 8 }, { "x", OPND_BY_VL }, { "ps", OPND_BY_VL },
        { "pd", OPND_BY_VL },
    };
    for (unsigned k = 0; k < G_N_ELEMENTS(sizes); k++) {
        if (!strcmp(t, sizes[k].name)) {
            return sizes[k].size;
        }
    }
    return isdigit((unsigned char)t[0]) ? MIN(atoi(t), 254) : OPND_BY_OSZ;
}

static void parse_operand(const InsnRow *r, const char *text, InsnOpnd *o)
{
    static const char letters[] = "EGRMZBIJOASCDVHLWUPQNTXY";
    static const uint8_t kinds[] = {
        OPND_E, OPND_G, OPND_R, OPND_M, OPND_Z, OPND_B, OPND_I, OPND_J, OPND_O, OPND_A, OPND_S,
        OPND_C, OPND_D, OPND_V, OPND_H, OPND_L, OPND_W, OPND_U, OPND_P, OPND_Q, OPND_N, OPND_T,
        OPND_X, OPND_Y,
    };
    g_strlcpy(o->text, text, sizeof(o->text));
    const char *slash = strchr(text, '/');
    if (slash) {                                    /* "Rd/Mb": register and memory differ */
        o->kind = text[0] == 'R' ? OPND_E : text[0] == 'U' ? OPND_W : OPND_Q;
        g_strlcpy(o->type, slash + 2, sizeof(o->type));
        o->size = type_size(o->type);
        return;
    }
    const char *l = strchr(letters, text[0]);
    if (!l || isupper((unsigned char)text[1])) {
        o->kind = OPND_FIXED;
        return;
    }
    o->kind = kinds[l - letters];
    g_strlcpy(o->type, text + 1, sizeof(o->type));
    o->size = type_size(o->type);
}

static uint8_t imm_kind(const InsnRow *r, const InsnOpnd *o)
{
    switch (o->kind) {
    case OPND_J: return o->size == 1 ? IMM_J8 : IMM_JZ;
    case OPND_A: return IMM_FAR;
    case OPND_O: return IMM_MOFFS;
    case OPND_L: return IMM_U8;
    case OPND_I: break;
    default: return IMM_NONE;
    }
    switch (o->type[0]) {
    case 'b': return o->type[1] ? IMM_S8 : IMM_U8;
    case 'w': return IMM_16;
    case 'd': return IMM_32;
    case 'z': return IMM_Z;
    case 'v': return IMM_V;
    default: bad_row(r, "immediate");
    }
}

/* What the kinds of the operands mean for decoding. */
static void apply_operand(const InsnRow *r, InsnDesc *d, const InsnOpnd *o, bool *byte, bool *sized)
{
    uint8_t imm = imm_kind(r, o);
    if (imm != IMM_NONE && !(o->kind == OPND_L && d->imm[0])) {
        d->imm[d->imm[0] != IMM_NONE] = imm;
    }
    bool is_b = o->size == 1 && !strcmp(o->type, "b") && !strchr(o->text, '/');
    if (strchr("vzyap", o->type[0]) && o->type[0] && !o->type[1]) {
        *sized = true;
    }
    switch (o->kind) {
    case OPND_E: case OPND_R: case OPND_M: case OPND_G: case OPND_Z: case OPND_X: case OPND_Y:
    case OPND_O:
        *byte |= is_b;
        break;
    case OPND_FIXED:
        *byte |= !strcmp(o->text, "AL");
        *sized |= !strcmp(o->text, "rAX") || !strcmp(o->text, "eAX");
        break;
    }
    switch (o->kind) {
    case OPND_E: d->bytes |= is_b ? BYTE_RM : 0; break;
    case OPND_R: d->bytes |= is_b ? BYTE_RM : 0; d->mod = 3; break;
    case OPND_M: d->mod = 0; break;
    case OPND_G: case OPND_Z: d->bytes |= is_b ? BYTE_REG : 0; break;
    case OPND_U: d->mod = 3; break;
    case OPND_N: d->mod = 3; d->rm_low = true; break;
    case OPND_Q: d->rm_low = true; break;
    case OPND_T: d->mod = 3; d->rm_low = true; break;
    case OPND_P: case OPND_S: d->reg_low = true; break;
    case OPND_H: case OPND_B: d->uses_vvvv = true; break;
    }
}

static void parse_operands(const InsnRow *r, InsnDesc *d)
{
    const char *s = r->operands;
    char w[16];
    bool byte = false, sized = false;

    while (next_word(&s, ",", w, sizeof(w))) {
        if (d->nopnd == G_N_ELEMENTS(d->opnd)) {
            bad_row(r, "number of operands");
        }
        InsnOpnd *o = &d->opnd[d->nopnd++];
        parse_operand(r, w, o);
        apply_operand(r, d, o, &byte, &sized);
    }
    if (*s) {
        bad_row(r, "operand");
    }
    if ((byte && !sized) || (r->attr & A_O8)) {
        d->bytes |= BYTE_OSZ;
    }
    if (d->modrm_first >= 0) {
        d->mod = d->modrm_first >= 0xc0 ? 3 : 0;
    }
}

static void parse_flags(const InsnRow *r, InsnDesc *d)
{
    static const char letters[] = "cpazsod";
    uint8_t *to = &d->fl_read;

    for (const char *s = r->flags; *s; s++) {
        const char *l = strchr(letters, *s);
        if (*s == '>') {
            to = &d->fl_write;
        } else if (*s == '?') {
            to = &d->fl_undef;
        } else if (*s == '~') {
            d->fl_maybe = true;
        } else if (l) {
            *to |= 1 << (l - letters);
        } else {
            bad_row(r, "flags");
        }
    }
}

static void add_to_lists(unsigned row)
{
    InsnDesc *d = &insn_desc[row];
    d->next = insn_first[d->enc][d->map][d->opcode];
    insn_first[d->enc][d->map][d->opcode] = row;
}

/* A register form (+r) spans eight opcodes but has one `next`: it must be the last of each. */
static void add_span(unsigned row)
{
    InsnDesc *d = &insn_desc[row];
    for (unsigned k = 0; k < d->span; k++) {
        uint16_t *first = &insn_first[d->enc][d->map][d->opcode + k];
        if (*first != NO_ROW) {
            bad_row(&insn_rows[row], "order: rows for one of its opcodes follow");
        }
        *first = row;
    }
}

void insn_table_init(void)
{
    if (insn_desc) {
        return;
    }
    InsnDesc *desc = g_new0(InsnDesc, insn_row_count);
    insn_desc = desc;
    memset(insn_first, 0xff, sizeof(insn_first));
    for (unsigned k = insn_row_count; k-- > 0;) {
        InsnDesc *d = &desc[k];
        const InsnRow *r = &insn_rows[k];
        d->w = d->l = d->reg = d->mod = -1;
        d->modrm_first = d->modrm_last = -1;
        d->next = NO_ROW;
        parse_opcode(r, d);
        parse_operands(r, d);
        parse_flags(r, d);
        if (d->span > 1) {
            add_span(k);
        } else {
            add_to_lists(k);
        }
    }
}
