/* SPDX-License-Identifier: MIT */
/*
 * Random instructions from the table, and what must agree after they have run: see diff.h.
 */
#include <glib.h>

#ifdef __x86_64__

#include <cpuid.h>
#include <inttypes.h>
#include <stdio.h>

#include "tests/unit/diff.h"

/* ---- instructions ----------------------------------------------------------------------------- */

static uint32_t host_features[FEAT_WORDS];

void read_host_features(void)
{
    uint32_t a, b, c, d;

    __cpuid_count(1, 0, a, b, c, d);
    host_features[FEAT_1_EDX] = d;
    host_features[FEAT_1_ECX] = c;
    __cpuid_count(7, 0, a, b, c, d);
    host_features[FEAT_7_0_EBX] = b;
    host_features[FEAT_7_0_ECX] = c;
    host_features[FEAT_7_0_EDX] = d;
    __cpuid_count(0x80000001, 0, a, b, c, d);
    host_features[FEAT_8000_0001_EDX] = d;
    host_features[FEAT_8000_0001_ECX] = c;
    __cpuid_count(0xd, 1, a, b, c, d);
    host_features[FEAT_XSAVE] = a;
}

bool usable(const InsnRow *r)
{
    static const char *const never[] = {
        "syscall", "sysenter", "sysexit", "sysret", "int", "int1", "int3", "into", "iret", "hlt",
        "lar", "lsl", "verr", "verw", "in", "out", "insb", "ins", "outsb", "outs", "popf", "bound",
        "wrfsbase", "wrgsbase", "rdfsbase", "rdgsbase", "fxrstor", "xrstor", "xrstors", "xsave",
        "xsaveopt", "xsavec", "xsaves", "fxsave", "rdpkru", "wrpkru", "xgetbv", "rdpid", "rdtsc",
        "rdtscp", "cpuid", "rdrand", "rdseed", "monitor", "mwait", "lfs", "lgs", "lss", "stac",
        "clac", "sgdt", "sidt", "sldt", "str", "smsw", "xbegin", "xabort", "retf", "enter",
        "pushf", "fldenv", "fstenv", "fnstenv", "fsave", "fnsave", "frstor", "rdpmc", "fwait",
    };
    unsigned f = r->feature;
    const InsnDesc *d = &insn_desc[r - insn_rows];

    if (r->attr & (A_SYS | A_RND | A_I64 | A_CPL0)) {
        return false;
    }
    for (unsigned k = 0; k < G_N_ELEMENTS(never); k++) {
        if (!strcmp(r->name, never[k])) {
            return false;
        }
    }
    for (unsigned k = 0; k < d->nopnd; k++) {
        unsigned kind = d->opnd[k].kind;
        if (kind == OPND_S || kind == OPND_A || kind == OPND_C || kind == OPND_D || kind == OPND_O ||
            !strcmp(d->opnd[k].type, "p")) {
            return false;
        }
        if (kind == OPND_FIXED && (!strcmp(d->opnd[k].text, "FS") || !strcmp(d->opnd[k].text, "GS"))) {
            return false;
        }
    }
    /* the CPU model may have what the host has not */
    return f == CPUID_ALWAYS || ((host_features[f / 64] >> (f % 64)) & 1);
}


static void put(Case *k, uint64_t v, unsigned n)
{
    for (unsigned j = 0; j < n; j++) {
        k->b[k->len++] = v >> (8 * j);
    }
}

static void put_modrm(Case *k, const InsnRow *r, const InsnDesc *d)
{
    unsigned modrm = rnd() & 0xff;

    if (d->modrm_first >= 0) {
        modrm = d->modrm_first + below(d->modrm_last - d->modrm_first + 1);
    } else if (d->mod == 3) {
        modrm |= 0xc0;
    } else if (d->mod == 0) {
        modrm = (modrm & 0x3f) | below(3) << 6;
    } else if (below(2)) {
        modrm |= 0xc0;
    }
    if (d->reg >= 0) {
        modrm = (modrm & 0xc7) | d->reg << 3;
    }
    if (r->attr & A_VSIB) {
        modrm = (modrm & 0xf8) | 4;
    }
    k->modrm_at = k->len;
    put(k, modrm, 1);
    if (modrm >= 0xc0) {
        return;
    }
    unsigned mod = modrm >> 6, rm = modrm & 7;
    unsigned disp = mod == 1 ? 1 : mod == 2 ? 4 : rm == 5 ? 4 : 0;
    if (rm == 4) {
        uint8_t sib = rnd();
        put(k, sib, 1);
        if (mod == 0 && (sib & 7) == 5) {
            disp = 4;
        }
    }
    k->disp_at = k->len;
    k->disp_size = disp;
    put(k, rnd(), disp);
}

/* Where a relative branch goes: anywhere but into its own bytes, which need never end. */
static int64_t branch_distance(unsigned range)
{
    return below(4) ? below(range) : -(int64_t)MAX_INSN - below(range - MAX_INSN);
}

static void put_imm(Case *k, const InsnDesc *d, bool o16, bool w)
{
    for (unsigned n = 0; n < 2; n++) {
        switch (d->imm[n]) {
        case IMM_U8: case IMM_S8: put(k, rnd(), 1); break;
        case IMM_J8: put(k, branch_distance(128), 1); break;
        case IMM_16: put(k, rnd(), 2); break;
        case IMM_32: put(k, rnd(), 4); break;
        case IMM_Z:  put(k, interesting(), o16 && !w ? 2 : 4); break;
        case IMM_V:  put(k, interesting(), w ? 8 : o16 ? 2 : 4); break;
        case IMM_JZ: put(k, branch_distance(1024), 4); break;
        default: break;
        }
    }
}

static void make_vex(Case *k, const InsnRow *r, const InsnDesc *d)
{
    static const uint8_t pp[] = { [PFX_ANY] = 0, [PFX_NONE] = 0, [PFX_66] = 1, [PFX_F3] = 2, [PFX_F2] = 3 };
    unsigned w = d->w >= 0 ? d->w : below(2), l = d->l >= 0 ? d->l : below(2);
    unsigned vvvv = (r->attr & A_VEXU) && !d->uses_vvvv ? 15 : below(16);

    put(k, 0xc4, 1);
    put(k, (rnd() & 0xe0) | d->map, 1);
    put(k, w << 7 | vvvv << 3 | l << 2 | pp[d->pfx], 1);
    put(k, d->opcode + below(d->span), 1);
}

static bool make_legacy(Case *k, const InsnRow *r, const InsnDesc *d, bool *o16, bool *w)
{
    static const uint8_t pfx[] = { [PFX_66] = 0x66, [PFX_F3] = 0xf3, [PFX_F2] = 0xf2 };
    bool sse = r->attr & (A_SSE | A_MMX | A_X87);

    if ((r->attr & A_REP) && below(2)) {
        put(k, below(2) ? 0xf3 : 0xf2, 1);
    } else if (d->pfx >= PFX_66) {
        put(k, pfx[d->pfx], 1);
    }
    *o16 = d->pfx == PFX_66;
    if (d->pfx != PFX_66 && !sse && !below(4) && !(d->imm[0] == IMM_JZ || d->imm[0] == IMM_J8)) {
        put(k, 0x66, 1);
        *o16 = true;
        if (d->pfx == PFX_NONE) {
            return false;               /* 66 chooses another row */
        }
    }
    if (!below(12)) {
        put(k, 0x67, 1);
    }
    if (!below(16)) {
        put(k, (uint8_t[]) { 0x26, 0x2e, 0x36, 0x3e }[below(4)], 1);
    }
    *w = false;
    if (below(2) || d->w == 1) {
        unsigned rex = 0x40 | (rnd() & 15);
        rex = d->w == 1 ? rex | 8 : d->w == 0 ? rex & ~8u : rex;
        *w = rex & 8;
        put(k, rex, 1);
    }
    if (d->map) {
        put(k, 0x0f, 1);
    }
    if (d->map >= 2) {
        put(k, d->map == 2 ? 0x38 : 0x3a, 1);
    }
    put(k, d->opcode + below(d->span), 1);
    return true;
}

bool make_case(Case *k, unsigned row)
{
    const InsnRow *r = &insn_rows[row];
    const InsnDesc *d = &insn_desc[row];
    bool o16 = false, w = false;

    memset(k, 0, sizeof(*k));
    k->row = row;
    k->count = 1;
    if ((r->attr & A_LOCK) && !below(6)) {
        put(k, 0xf0, 1);
    }
    if (d->enc == ENC_VEX) {
        if (k->len) {
            return false;
        }
        make_vex(k, r, d);
    } else if (!make_legacy(k, r, d, &o16, &w)) {
        return false;
    }
    if (d->modrm) {
        put_modrm(k, r, d);
    }
    put_imm(k, d, o16, w);
    return k->len <= MAX_INSN;
}

/* Choose registers (and a free displacement) so that the memory operand lies at target. */
bool aim(Case *k, State *s, const Insn *i, uint64_t target)
{
    uint64_t disp = i->disp;

    if (i->base == 17 || (i->base == 16 && i->index == 16)) {
        uint64_t d = target - (i->base == 17 ? CODE_PAGE + k->len : 0);
        st32_le(k->b + k->disp_at, (uint32_t)d);
        return true;
    }
    if (i->base == 16) {
        s->r[i->index] = (target - disp) >> i->scale;
    } else if (i->base == i->index) {
        s->r[i->base] = (target - disp) / (1 + (1ull << i->scale));
    } else {
        s->r[i->base] = target - disp - (i->index < 16 ? s->r[i->index] << i->scale : 0);
    }
    return true;
}

void random_state(State *s, const InsnRow *r)
{
    for (unsigned k = 0; k < 16; k++) {
        s->r[k] = interesting();
    }
    s->rip = CODE_PAGE;
    s->flags = 0x202 | (rnd() & 0x8d5) | (below(8) ? 0 : FL_DF);
    for (unsigned k = 0; k < 16; k++) {
        for (unsigned j = 0; j < 4; j++) {
            s->v[k].q[j] = interesting();
        }
        for (unsigned j = 4; j < 8; j++) {
            s->v[k].q[j] = 0;
        }
    }
    s->mxcsr = 0x1f80 | below(4) << 13 | (below(4) ? 0 : MXCSR_DAZ) | (below(4) ? 0 : MXCSR_FTZ);
    if (!below(16)) {
        s->mxcsr = (s->mxcsr & ~0x1f80u) | (rnd() & 0x1f80);
    }
    s->fcw = 0x37f;
    s->fsw = 0;
    s->empty = 0xff;
    if (r->attr & (A_X87 | A_MMX)) {
        s->fcw = 0x7f | below(4) << 10 | (uint32_t[]) { 0, 2, 3, 3 }[below(4)] << 8;
        s->fsw = below(8) << 11 | (rnd() & 0x4700) | (below(2) ? 0 : rnd() & 0x7f);
        s->fsw &= ~0x80;
        s->empty = below(3) ? 0 : rnd();
    }
    for (unsigned k = 0; k < 8; k++) {
        s->st[k] = random_f80();
    }
}

/* ---- vendors ---------------------------------------------------------------------------------- */

bool named(const InsnRow *r, const char *name)
{
    return !strcmp(r->name, name);
}

/*
 * Encodings that the vendors' processors take in different ways, and operands for which the
 * result is undefined:
 *   66 before a near branch in 64-bit mode: ignored by Intel's, 16 bits of RIP with AMD's
 *   F3 REX.B 90: PAUSE, or XCHG R8,RAX
 *   PREFETCHW of a register: NOP, or #UD
 *   SHLD and SHRD of 16 bits by more than 16 (SDM 2B: undefined)
 * s may be NULL: registers unknown.
 */
bool vendors_differ(const InsnRow *r, const Insn *i, const uint8_t *b, const State *s)
{
    bool o16 = false, rex_b = false;

    for (; *b == 0x66 || *b == 0x67 || *b == 0xf2 || *b == 0xf3 || (*b & 0xe7) == 0x26 || *b == 0xf0; b++) {
        o16 |= *b == 0x66;
    }
    rex_b = (*b & 0xf1) == 0x41;
    if (named(r, "jmp") || named(r, "call") || named(r, "ret")) {
        return o16;
    }
    if (named(r, "pause")) {
        return rex_b;
    }
    if (named(r, "prefetchw")) {
        return !(i->flags & IF_MEM);
    }
    if (named(r, "shld") || named(r, "shrd")) {
        bool cl = r->operands[strlen(r->operands) - 1] == 'L';
        unsigned count = !cl ? i->imm : s ? s->r[R_ECX] : 31;
        return o16 && (*b & 0xf8) != 0x48 && (count & 31) > 16;
    }
    return false;
}

/* SHA instructions fault on an operand that is not aligned (Intel), or do not (AMD). */
bool sha(const InsnRow *r)
{
    return g_str_has_prefix(r->name, "sha1") || g_str_has_prefix(r->name, "sha256");
}

/* Where DPPS adds NaNs, which of them stays depends on the order of additions: a NaN is a NaN. */
static bool same_dot_product(const InsnRow *r, uint64_t host, uint64_t ours)
{
    if (strstr(r->name, "dppd")) {
        return (host << 1) > 0xffe0000000000000 && (ours << 1) > 0xffe0000000000000;
    }
    for (unsigned k = 0; k < 64; k += 32) {
        uint32_t a = host >> k, b = ours >> k;
        if (a != b && ((a << 1) <= 0xff000000 || (b << 1) <= 0xff000000)) {
            return false;
        }
    }
    return true;
}

/*
 * The mask of a gather that faulted, quadword q: only the sign bits are read; Intel's copy them
 * to all bits and clear what lies behind the last element.
 */
static bool same_gather_mask(const InsnRow *r, bool l256, unsigned q, uint64_t host, uint64_t ours)
{
    /* the name ends in index and element: vpgather[dq][dq], vgather[dq]p[sd] */
    size_t n = strlen(r->name);
    bool pd = r->name[n - 1] == 'd', fp = r->name[1] == 'g';
    bool wide = r->name[n - 1] == 'q' || (fp && pd), wide_index = r->name[n - (fp ? 3 : 2)] == 'q';
    uint64_t sign = wide ? 1ull << 63 : 1ull << 63 | 1ull << 31;
    unsigned quads = (l256 ? 4 : 2) / (wide_index && !wide ? 2 : 1);

    return q >= quads || !((host ^ ours) & sign);
}

/*
 * MXCSR bits that are the processor's business, of the last instruction or of a block that was cut: UE and PE of the stages of a DPPS that ends with
 * #XM; PE beside the UE of a VCVTPS2PH that ends with #XM; all flags of a VCVTPS2PH whose
 * store faults (SDM 2C: may be updated before the fault).
 */
static uint32_t mxcsr_free(const InsnRow *r, const State *h, bool cut)
{
    if (cut) {
        return h->vector == 14 ? 0x3f : 0x20;
    }
    if (h->vector == 19 && strstr(r->name, "dpps")) {
        return 0x30;
    }
    if (named(r, "vcvtps2ph")) {
        return h->vector == 19 && (h->mxcsr & 0x10) ? 0x20 :
               h->vector == 14 && h->rip == code_start ? 0x3f : 0;
    }
    return 0;
}

/* ---- comparison ------------------------------------------------------------------------------- */

/* Written-undefined flags of a row as in RFLAGS */
uint64_t undefined_flags(const InsnDesc *d)
{
    static const uint16_t bit[] = { FL_CF, FL_OF, FL_PF, FL_AF, FL_ZF, FL_SF };
    uint64_t m = 0;

    /* InsnDesc.fl_*: bit n stands for letter n of "cpazsod" */
    static const uint16_t letters[] = { FL_CF, FL_PF, FL_AF, FL_ZF, FL_SF, FL_OF, FL_DF };
    (void)bit;
    for (unsigned k = 0; k < 7; k++) {
        if ((d->fl_undef >> k) & 1) {
            m |= letters[k];
        }
    }
    return m;
}

static bool near_f80(F80 a, F80 b)
{
    return a.se == b.se && (a.frac == b.frac || a.frac + 1 == b.frac || a.frac == b.frac + 1);
}

bool transcendental(const InsnRow *r)
{
    static const char *const names[] = { "f2xm1", "fyl2x", "fyl2xp1", "fptan", "fpatan", "fsin",
                                         "fcos", "fsincos" };
    for (unsigned k = 0; k < G_N_ELEMENTS(names); k++) {
        if (!strcmp(r->name, names[k])) {
            return true;
        }
    }
    return false;
}

static bool differ(GString *why, const char *what, uint64_t host, uint64_t ours)
{
    if (host != ours) {
        g_string_append_printf(why, "    %-8s host %016" PRIx64 "  ours %016" PRIx64 "\n", what, host, ours);
        return true;
    }
    return false;
}

bool compare(const Case *k, const State *in, const State *h, const State *o, GString *why)
{
    const InsnRow *r = &insn_rows[k->row];
    uint64_t fl = 0xcd5 & ~(undefined_flags(&insn_desc[k->row]) | k->undefined);
    bool bad = false, faulted = h->rip == code_start && h->vector != 13;
    bool cut = k->count > 1 && h->rip < code_start + k->len;
    bool dot = strstr(r->name, "dpp");
    /* a gather of 128 bits that faulted: the upper halves may be cleared already */
    bool cut_short = faulted && (r->attr & A_VSIB) && !(k->b[2] & 4);
    unsigned mask = faulted && (r->attr & A_VSIB) ? ~k->b[2] >> 3 & 15 : 16;
    char name[16];

    if (h->mxcsr & 0x20000) {
        return true;                    /* AMD's misaligned mode, which our CPU does not have */
    }
    if (named(r, "vcvtps2ph") && h->vector == 14 && o->vector == 19) {
        return true;                    /* which is seen first is the processor's business */
    }
    bad |= differ(why, "vector", h->vector, o->vector);
    bad |= differ(why, "rip", h->rip, o->rip);
    if (h->vector == 14 || h->vector == 13) {
        /* what only ring 0 has: the host's kernel half, our tables */
        uint32_t mask = h->vector == 14 && (h->cr2 >> 47 || h->cr2 < 2 << 20) ? ~1u : ~0u;
        bad |= differ(why, "error", h->error & mask, o->error & mask);
    }
    if (h->vector == 14) {
        /* which of several elements is tried first is the processor's business */
        unsigned drop = (r->attr & A_VSIB) || strstr(r->name, "maskmov") ? 12 : 0;
        bad |= differ(why, "cr2", h->cr2 >> drop, o->cr2 >> drop);
    }
    if (faulted) {
        fl = 0xcd5;
    }
    if (cut) {
        fl = 0;
    }
    bad |= differ(why, "flags", h->flags & fl, o->flags & fl);
    for (unsigned n = 0; n < 16; n++) {
        snprintf(name, sizeof(name), "r%u", n);
        bad |= differ(why, name, h->r[n], o->r[n]);
        for (unsigned q = 0; q < 4; q++) {
            if (cut_short && q >= 2) {
                continue;
            }
            if ((dot && same_dot_product(r, h->v[n].q[q], o->v[n].q[q])) ||
                (n == mask && same_gather_mask(r, k->b[2] & 4, q, h->v[n].q[q], o->v[n].q[q]))) {
                continue;
            }
            snprintf(name, sizeof(name), "v%u.q%u", n, q);
            bad |= differ(why, name, h->v[n].q[q], o->v[n].q[q]);
        }
    }
    uint32_t keep = ~mxcsr_free(r, h, cut);
    bad |= differ(why, "mxcsr", h->mxcsr & keep, o->mxcsr & keep);
    bad |= differ(why, "fcw", h->fcw, o->fcw);
    bool switching = cut || (faulted && (r->attr & A_MMX));     /* how far the switch to MMX state had come */
    uint16_t sw_keep = switching ? (uint16_t)~0xb880 : (uint16_t)~0x8080;
    bad |= differ(why, "fsw", h->fsw & sw_keep, o->fsw & sw_keep);
    if (!switching) {
        bad |= differ(why, "empty", h->empty, o->empty);
    }
    for (unsigned n = 0; n < 8; n++) {              /* ST(n), by number of the register */
        F80 a = h->st[(n - (h->fsw >> 11)) & 7], b = o->st[(n - (o->fsw >> 11)) & 7];
        if (transcendental(r) && near_f80(a, b)) {
            continue;
        }
        snprintf(name, sizeof(name), "fpr%u", n);
        bad |= differ(why, name, a.frac, b.frac);
        bad |= differ(why, name, a.se, b.se);
    }
    if (memcmp((void *)(uintptr_t)CODE_PAGE, ram + CODE_PAGE, code_pages * PAGE)) {
        g_string_append(why, "    the code pages differ\n");
        bad = true;
    }
    /* ten bytes over the end of the page: the host may have stored the first part */
    bool partial = faulted && !strcmp(r->operands, "Mt");
    /* ... and so it may the return address of a call to where no code can be */
    partial |= h->vector == 13 && h->rip == code_start && !strcmp(r->name, "call");
    if (memcmp(h->data, o->data, PAGE) && !partial) {
        for (unsigned n = 0; n < PAGE; n++) {
            if (h->data[n] != o->data[n]) {
                snprintf(name, sizeof(name), "m[%03x]", n);
                differ(why, name, h->data[n], o->data[n]);
            }
        }
        bad = true;
    }
    if (data_low && memcmp(h->low, o->low, PAGE)) {
        for (unsigned n = 0; n < PAGE; n++) {
            if (h->low[n] != o->low[n]) {
                snprintf(name, sizeof(name), "m[-%03x]", PAGE - n);
                differ(why, name, h->low[n], o->low[n]);
            }
        }
        bad = true;
    }
    if (bad && in->mxcsr) {
        g_string_append_printf(why, "    in: flags %" PRIx64 " mxcsr %x fcw %x fsw %x empty %02x\n",
                               in->flags, in->mxcsr, in->fcw, in->fsw, in->empty);
    }
    return !bad;
}

#endif
