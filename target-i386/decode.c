/* SPDX-License-Identifier: MIT */
/*
 * The decoder: guest bytes -> Insn, for one mode word.  Prefixes first, then the row of the
 * instruction table (groups and mandatory prefixes included), then operands.  All rules about
 * which encodings are legal live here: SDM 2, chapters 2 and 3; volume 3, 2.3 and 22 for what
 * the control bits make of FPU and SSE instructions.
 *
 * The bytes are copied to a padded buffer and decoded without looking at its end; what was
 * consumed is compared with what there was at the end.  A wrong turn because of padding is
 * harmless: the caller gets DECODE_MORE and comes again.
 */
#include "target-i386/insn.h"

#include <string.h>
#include "target-i386/cpuid.h"
#include "target-i386/interp.h"

#define INSN_MAX 15

typedef struct Dec {
    const X86CPU *c;
    uint32_t mode;
    const uint8_t *p;           /* next byte */
    uint8_t buf[64];
    bool code64, rep, repne, lock, o16, a67, seg_given;
    uint8_t last_rep;           /* 0xf2, 0xf3: the later one; 0 none */
    uint8_t rex;                /* 0: none; else 40h..4Fh */
    uint8_t seg;
    bool vex, rex_r, rex_x, rex_b, w, l, bad_vex;
    uint8_t vvvv;
    uint8_t map, opcode, modrm;
} Dec;

const uint64_t x86_size_mask[4] = { 0xff, 0xffff, 0xffffffff, ~0ull };

/* ---- prefixes ------------------------------------------------------------------------------ */

static void seg_prefix(Dec *d, unsigned seg)
{
    /* 64-bit mode ignores all but FS and GS */
    if (!d->code64 || seg >= R_FS) {
        d->seg = seg;
        d->seg_given = true;
    }
}

static void prefixes(Dec *d)
{
    for (;; d->p++) {
        uint8_t b = *d->p;
        switch (b) {
        case 0x26: seg_prefix(d, R_ES); break;
        case 0x2e: seg_prefix(d, R_CS); break;
        case 0x36: seg_prefix(d, R_SS); break;
        case 0x3e: seg_prefix(d, R_DS); break;
        case 0x64: seg_prefix(d, R_FS); break;
        case 0x65: seg_prefix(d, R_GS); break;
        case 0x66: d->o16 = true; break;
        case 0x67: d->a67 = true; break;
        case 0xf0: d->lock = true; break;
        case 0xf2: d->repne = true; d->last_rep = b; break;
        case 0xf3: d->rep = true; d->last_rep = b; break;
        default:
            if (d->code64 && (b & 0xf0) == 0x40) {
                d->rex = b;
                continue;
            }
            return;
        }
        d->rex = 0;                             /* counts only right before the opcode */
        if (d->p - d->buf > INSN_MAX) {
            return;
        }
    }
}

/* C5: R vvvv L pp; C4: R X B mmmmm, W vvvv L pp.  R X B vvvv are inverted. */
static void vex_prefix(Dec *d)
{
    static const uint8_t pp_rep[4] = { 0, 0, 0xf3, 0xf2 };
    uint8_t b0 = *d->p++, b1 = *d->p++, last = b1;

    d->bad_vex = d->o16 || d->rep || d->repne || d->lock || d->rex;
    d->vex = true;
    d->rex_r = !(b1 & 0x80);
    d->map = 1;
    if (b0 == 0xc4) {
        d->rex_x = !(b1 & 0x40);
        d->rex_b = !(b1 & 0x20);
        d->map = b1 & 0x1f;
        last = *d->p++;
        d->w = last & 0x80;
    }
    d->vvvv = ~last >> 3 & 15;
    d->l = last & 4;
    d->o16 = (last & 3) == 1;
    d->last_rep = pp_rep[last & 3];
    d->rep = d->last_rep == 0xf3;
    d->repne = d->last_rep == 0xf2;
    if (!d->code64) {
        d->rex_r = d->rex_x = d->rex_b = false;
        d->vvvv &= 7;
    }
    if (d->map == 0 || d->map > 3) {
        d->bad_vex = true;
        d->map = 1;
    }
}

static void opcode(Dec *d)
{
    uint8_t b = *d->p;
    if ((b == 0xc4 || b == 0xc5) && (d->code64 || (d->p[1] & 0xc0) == 0xc0)) {
        vex_prefix(d);
    } else {
        if (d->rex) {
            d->w = d->rex & 8;
            d->rex_r = d->rex & 4;
            d->rex_x = d->rex & 2;
            d->rex_b = d->rex & 1;
        }
        if (b == 0x0f) {
            d->p++;
            d->map = 1;
            if (*d->p == 0x38 || *d->p == 0x3a) {
                d->map = *d->p++ == 0x38 ? 2 : 3;
            }
        }
    }
    d->opcode = *d->p++;
    d->modrm = *d->p;
}

/* ---- the row --------------------------------------------------------------------------------- */

static bool pfx_fits(const Dec *d, const InsnRow *r, const InsnDesc *k)
{
    switch (k->pfx) {
    case PFX_NONE: return !d->o16 && !d->last_rep;
    case PFX_66:   return d->o16 && !d->last_rep;
    case PFX_F3:   return d->last_rep == 0xf3;
    case PFX_F2:   return d->last_rep == 0xf2;
    default:       return !((r->attr & A_NOREP) && d->last_rep);
    }
}

static bool modrm_fits(const Dec *d, const InsnRow *r, const InsnDesc *k)
{
    bool reg_form = d->modrm >= 0xc0;
    if (k->reg >= 0 && (d->modrm >> 3 & 7) != k->reg) {
        return false;
    }
    if (k->modrm_first >= 0) {
        return d->modrm >= k->modrm_first && d->modrm <= k->modrm_last;
    }
    return k->mod < 0 || (k->mod == 3) == reg_form || (r->attr & A_OSZ64R);
}

/* A memory operand with a SIB byte: what VSIB addressing needs */
static bool has_sib(const Dec *d)
{
    bool a16 = !d->code64 && !(!!(d->mode & MODE_CODE32) ^ d->a67);
    return !a16 && (d->modrm & 7) == 4;
}

static bool row_fits(const Dec *d, const InsnRow *r, const InsnDesc *k)
{
    return pfx_fits(d, r, k)
        && (!k->modrm || modrm_fits(d, r, k))
        && (k->w < 0 || k->w == d->w)
        && (k->l < 0 || k->l == d->l)
        && !(r->attr & (d->code64 ? A_I64 : A_O64))
        && x86_has(d->c, r->feature)
        && !((r->attr & A_AVX2) && d->l && !x86_has(d->c, CPUID_AVX2))
        && !((r->attr & A_VSIB) && !has_sib(d));
}

static unsigned find_row(const Dec *d)
{
    unsigned row = insn_first[d->vex][d->map][d->opcode];
    while (row != NO_ROW && !row_fits(d, &insn_rows[row], &insn_desc[row])) {
        row = insn_desc[row].next;
    }
    return row;
}

/* Does some row of this opcode need the ModRM byte to be told from the others? */
static bool wants_modrm(const Dec *d)
{
    for (unsigned row = insn_first[d->vex][d->map][d->opcode]; row != NO_ROW; row = insn_desc[row].next) {
        if (insn_desc[row].modrm) {
            return true;
        }
    }
    return false;
}

/* ---- operands ---------------------------------------------------------------------------------- */

static uint64_t bytes(Dec *d, unsigned n)
{
    uint64_t v = 0;
    memcpy(&v, d->p, n);                    /* little-endian bytes 0..n-1 */
    d->p += n;
    return LE_(64, v);
}

static int64_t sbytes(Dec *d, unsigned n)
{
    unsigned shift = 64 - 8 * n;
    return (int64_t)(bytes(d, n) << shift) >> shift;
}

static void mem16(Dec *d, Insn *i)
{
    static const uint8_t base[8] = { R_EBX, R_EBX, R_EBP, R_EBP, R_ESI, R_EDI, R_EBP, R_EBX };
    static const uint8_t index[8] = { R_ESI, R_EDI, R_ESI, R_EDI, 16, 16, 16, 16 };
    unsigned mod = d->modrm >> 6, rm = d->modrm & 7;

    i->base = base[rm];
    i->index = index[rm];
    if (mod == 0 && rm == 6) {
        i->base = 16;
        i->disp = sbytes(d, 2);
    } else if (mod) {
        i->disp = sbytes(d, mod);
    }
    i->seg = i->base == R_EBP ? R_SS : R_DS;
}

/* Returns whether it is RIP-relative. */
static bool mem32(Dec *d, Insn *i, bool vsib)
{
    unsigned mod = d->modrm >> 6, rm = d->modrm & 7;
    bool rip = false;

    i->index = 16;
    if (rm == 4) {
        uint8_t sib = *d->p++;
        unsigned index = (sib >> 3 & 7) | d->rex_x << 3;
        rm = sib & 7;
        if (vsib) {
            i->vindex = index;
            i->scale = sib >> 6;
        } else if (index != 4) {
            i->index = index;
            i->scale = sib >> 6;
        }
        i->base = rm | d->rex_b << 3;
        if (rm == 5 && mod == 0) {
            i->base = 16;
            i->disp = sbytes(d, 4);
        }
    } else if (rm == 5 && mod == 0) {
        i->base = d->code64 ? 17 : 16;
        rip = d->code64;
        i->disp = sbytes(d, 4);
    } else {
        i->base = rm | d->rex_b << 3;
    }
    if (mod) {
        i->disp = sbytes(d, mod == 1 ? 1 : 4);
    }
    i->seg = i->base == R_ESP || i->base == R_EBP ? R_SS : R_DS;
    return rip;
}

static uint8_t byte_reg(const Dec *d, unsigned n)
{
    return n >= 4 && n < 8 && !d->rex && !d->vex ? REG8H(n - 4) : REG8(n);
}

/* Does an access through seg need no base and no check? */
static bool seg_free(const Dec *d, unsigned seg)
{
    if (d->code64) {
        return seg < R_FS;
    }
    return (d->mode & MODE_FLAT) && (seg == R_DS || seg == R_ES || seg == R_SS);
}

static void immediate(Dec *d, const InsnDesc *k, Insn *i, unsigned kind, unsigned shift)
{
    unsigned z = i->osz == 1 ? 2 : 4;
    uint64_t v = 0;
    switch (kind) {
    case IMM_U8: v = bytes(d, 1); break;
    case IMM_S8: case IMM_J8: v = sbytes(d, 1); break;
    case IMM_16: v = bytes(d, 2); break;
    case IMM_32: v = sbytes(d, 4); break;
    case IMM_Z: case IMM_JZ: v = sbytes(d, z); break;
    case IMM_V: v = sbytes(d, 1u << i->osz); break;
    case IMM_FAR:
        v = bytes(d, z);
        v |= bytes(d, 2) << 32;
        break;
    case IMM_MOFFS:
        i->disp = bytes(d, 1u << i->asz);
        i->base = i->index = 16;
        i->seg = R_DS;
        i->flags |= IF_MEM;
        break;
    }
    i->imm |= v << shift;
}

static void operand_size(const Dec *d, const InsnRow *r, const InsnDesc *k, Insn *i)
{
    bool o16 = d->o16 && k->pfx != PFX_66 && !d->vex;
    uint32_t a = r->attr;

    if (k->bytes & BYTE_OSZ) {
        i->osz = 0;
    } else if (a & A_OSZ64R) {
        i->osz = d->code64 ? 3 : 2;
    } else if (d->code64) {
        i->osz = d->w || (a & A_F64) ? 3 : (a & A_D32) ? 2 : o16 ? 1 : (a & A_D64) ? 3 : 2;
    } else {
        i->osz = (a & A_D32) || d->vex ? 2 : 1 + (o16 ^ !!(d->mode & MODE_CODE32));
    }
    if ((a & A_IOSZ) && i->osz == 3) {
        i->osz = 2;
    }
    bool a32 = d->mode & MODE_CODE32;
    i->asz = d->code64 ? 3 - d->a67 : 1 + (a32 ^ d->a67);
}

static void operands(Dec *d, const InsnRow *r, const InsnDesc *k, Insn *i)
{
    bool rip = false;

    i->base = i->index = 16;
    i->seg = R_DS;
    i->vvvv = d->vvvv;
    if (k->modrm) {
        unsigned reg = d->modrm >> 3 & 7, rm = d->modrm & 7;
        d->p++;
        i->reg = k->bytes & BYTE_REG ? byte_reg(d, reg | d->rex_r << 3)
               : k->reg_low ? reg : reg | d->rex_r << 3;
        if (d->modrm >= 0xc0 || r->attr & A_OSZ64R) {
            i->rm = k->bytes & BYTE_RM ? byte_reg(d, rm | d->rex_b << 3)
                  : k->rm_low ? rm : rm | d->rex_b << 3;
        } else {
            i->flags |= IF_MEM;
            if (i->asz == 1) {
                mem16(d, i);
            } else {
                rip = mem32(d, i, r->attr & A_VSIB);
            }
        }
        if (r->attr & A_X87) {
            i->imm = (d->opcode & 7) << 8 | d->modrm;
        }
    } else if (k->span > 1) {
        unsigned reg = (d->opcode & 7) | d->rex_b << 3;
        i->reg = k->bytes & BYTE_REG ? byte_reg(d, reg) : reg;
    } else {
        i->reg = d->opcode & 15;
    }
    static const uint8_t width[] = { [IMM_U8] = 8, [IMM_16] = 16 };
    if (k->imm[0]) {
        immediate(d, k, i, k->imm[0], 0);
        if (k->imm[1]) {
            immediate(d, k, i, k->imm[1], width[k->imm[0]]);
        }
        i->is4 = i->imm >> 4 & (d->code64 ? 15 : 7);
    }
    if (d->seg_given) {
        i->seg = d->seg;
        i->flags |= IF_SEGOVR;
    }
    if (!seg_free(d, i->seg)) {
        i->flags |= IF_SEG;
    }
    i->len = d->p - d->buf;
    if (rip) {
        i->disp += i->off + i->len;
    }
    if (k->imm[0] == IMM_J8 || k->imm[0] == IMM_JZ) {
        i->imm += i->off + i->len;
    }
}

/* ---- faults ------------------------------------------------------------------------------------- */

static void op_fault(X86CPU *c, const Insn *i)
{
    insn_sync(c, i);
    if (i->imm == EXC_GP) {
        x86_raise_err(c, EXC_GP, 0);
    }
    x86_raise(c, i->imm);
}

static DecodeResult fault(Dec *d, Insn *i, int vector)
{
    i->fn = op_fault;
    i->imm = vector;
    i->len = MIN(d->p - d->buf, INSN_MAX);
    return DECODE_FAULT;
}

/* The #UD rules that don't select a row. */
static bool illegal(const Dec *d, const InsnRow *r, const InsnDesc *k)
{
    bool real = !(d->mode & MODE_PE) || (d->mode & MODE_V86);
    if (d->vex && (real || d->bad_vex || (!k->uses_vvvv && d->vvvv))) {
        return true;
    }
    if (d->lock && !((r->attr & A_LOCK) && d->modrm < 0xc0)) {
        return true;
    }
    return real && (r->attr & A_PE);
}

/* #UD or #NM by CR0.EM, TS, MP and CR4 (SDM 3A table 2-2, 13.1); 0: fine. */
static int unit_fault(uint32_t mode, uint32_t attr)
{
    if (attr & A_AVX) {
        return !(mode & MODE_AVX) ? EXC_UD : mode & MODE_TS ? EXC_NM : 0;
    }
    if (attr & A_SSE) {
        return (mode & MODE_EM) || !(mode & MODE_FXSR) ? EXC_UD : mode & MODE_TS ? EXC_NM : 0;
    }
    if (attr & A_MMX) {
        return mode & MODE_EM ? EXC_UD : mode & MODE_TS ? EXC_NM : 0;
    }
    if (attr & A_X87) {
        return mode & (MODE_EM | MODE_TS) ? EXC_NM : 0;
    }
    if (attr & A_WAIT) {
        return (mode & MODE_MP) && (mode & MODE_TS) ? EXC_NM : 0;
    }
    return 0;
}

DecodeResult insn_decode(const X86CPU *c, uint32_t mode, InsnBytes in, unsigned off, Insn *i)
{
    Dec d = { .c = c, .mode = mode, .code64 = mode & MODE_CODE64 };
    unsigned have = MIN(in.n, INSN_MAX);

    memcpy(d.buf, in.p, have);
    d.p = d.buf;
    *i = (Insn) { .off = off, .row = NO_ROW };
    prefixes(&d);
    opcode(&d);

    unsigned row = find_row(&d);
    const InsnRow *r = &insn_rows[row];
    const InsnDesc *k = &insn_desc[row];
    if (row != NO_ROW) {
        i->row = row;
        i->flags = (d.code64 ? IF_CODE64 | IF_SS64 | IF_SSFLAT : 0) |
                   (mode & MODE_SS32 && !d.code64 ? IF_SS32 : 0) |
                   (mode & MODE_SSFLAT ? IF_SSFLAT : 0) |
                   (d.rep ? IF_REP : 0) | (d.repne ? IF_REPNE : 0) | (d.lock ? IF_LOCK : 0) |
                   (d.o16 ? IF_O16 : 0) | (d.rex ? IF_REX : 0) | (d.w ? IF_W : 0) |
                   (d.vex ? IF_VEX : 0) | (d.l ? IF_L : 0);
        operand_size(&d, r, k, i);
        operands(&d, r, k, i);
    }
    if (row == NO_ROW && d.p - d.buf == have && wants_modrm(&d)) {
        d.p++;                          /* what chose no row was padding */
    }
    if (d.p - d.buf > have) {
        if (have == INSN_MAX) {
            return fault(&d, i, EXC_GP);
        }
        return DECODE_MORE;
    }
    if (row == NO_ROW || illegal(&d, r, k)) {
        return fault(&d, i, EXC_UD);
    }
    int vector = unit_fault(mode, r->attr);
    if (vector) {
        return fault(&d, i, vector);
    }
    if ((r->attr & A_CPL0) && (mode & MODE_CPL)) {
        return fault(&d, i, EXC_GP);
    }
    unsigned form = !(i->flags & IF_MEM) ? 0 : d.lock ? 8 : 4;
    i->fn = r->fn[form + (r->by_l ? d.l : i->osz)];
    return DECODE_OK;
}
