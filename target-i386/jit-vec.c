/* SPDX-License-Identifier: MIT */
/*
 * Native vector instructions by their operands: AVX, AVX2, FMA, F16C and what of SSE has no
 * form of its own in jit-simd.c.  The host's instruction is the guest's, with the same
 * registers; what the row says of its operands decides what must be held before and what is
 * changed after.
 *
 * The upper half of a YMM register is held apart (JitVec.yloaded): old SSE code neither reads
 * nor changes it, VEX instructions always define it.  Before C code runs, and at the end of a
 * block, VZEROUPPER makes the host's upper halves clean, without which SSE code is slow.
 */
#include "target-i386/jit.h"

#if HAVE_JIT

#include <cpuid.h>
#include "target-i386/cpuid.h"
#include "target-i386/jit-int.h"

/* ---- registers held ------------------------------------------------------------------------------ */

static Rm vec_home(unsigned n)
{
    return jit_field(OFF(v[0]) + (int32_t)sizeof(Vec) * (int32_t)n);
}

/* MOVAPS or VMOVAPS, the latter in a block with VEX: mixing the two is slow. */
static void moves(Jit *j, uint32_t mask, unsigned opc, bool l)
{
    for (; mask; mask &= mask - 1) {
        unsigned n = __builtin_ctz(mask);
        if (j->vex) {
            asm_vex(&j->a, 0, 1, false, l, opc, n, 0, vec_home(n));
        } else {
            asm_op(&j->a, 0, 0x0f00 | opc, n, vec_home(n));
        }
    }
}

void jit_vec_store(Jit *j, const JitVec *v)
{
    moves(j, v->dirty & ~v->ydirty, 0x29, false);
    moves(j, v->ydirty, 0x29, true);
    if (v->upper) {
        asm_vex(&j->a, 0, 1, false, false, 0x77, 0, 0, rm_r(0));
        j->a.p--;                                   /* VZEROUPPER has no ModRM */
    }
}

void jit_vec_load(Jit *j, const JitVec *v)
{
    moves(j, v->loaded & ~v->yloaded, 0x28, false);
    moves(j, v->yloaded, 0x28, true);
}

void jit_hold(Jit *j, unsigned n)
{
    if (!(j->vec.loaded >> n & 1)) {
        moves(j, 1u << n, 0x28, false);
        j->vec.loaded |= 1u << n;
    }
}

/* All 256 bits. */
static void hold_y(Jit *j, unsigned n)
{
    if (j->vec.yloaded >> n & 1) {
        return;
    }
    if (j->vec.loaded >> n & 1) {                   /* VINSERTF128: the upper half to it */
        Rm m = vec_home(n);
        m.disp += 16;
        asm_vex(&j->a, 1, 3, false, true, 0x18, n, n, m);
        asm_8(&j->a, 1);
    } else {
        moves(j, 1u << n, 0x28, true);
    }
    j->vec.loaded |= 1u << n;
    j->vec.yloaded |= 1u << n;
    j->vec.upper = true;
}

void jit_vec_written(Jit *j, unsigned n)
{
    j->vec.loaded |= 1u << n;
    j->vec.dirty |= 1u << n;
}
static void written_y(Jit *j, unsigned n, bool l)
{
    jit_vec_written(j, n);
    j->vec.yloaded |= 1u << n;
    j->vec.ydirty |= 1u << n;
    j->vec.upper |= l;
}

/* ---- MXCSR ------------------------------------------------------------------------------------------ */

static void cold_fp(Jit *j, JitCold *k)
{
    jit_cold_begin(j, k);
    jit_call_operand(j, k->n);
    jit_call_thunk(j, jit_thunks.sse_ready);        /* or leaves, the instruction done */
    jit_cold_end(j, k);
    asm_patch32(asm_jmp(&j->a), k->back);
}

void jit_fp_ready(Jit *j)
{
    if (j->sse_ready) {
        return;
    }
    jit_flags_clobber(j, j->live_in);
    asm_alui(&j->a, 1, ALU_CMP, jit_field(OFF(sse_mode)), SSE_HOST);
    JitCold *k = jit_cold(j, COLD_CODE, asm_jcc(&j->a, CC_NE));
    k->fn = cold_fp;
    k->back = j->a.p;
    j->sse_ready = true;
}

/* ---- what the host has ------------------------------------------------------------------------------- */

static uint32_t host_cpuid[3][4];       /* leaves 1, 7, 80000001h: EAX, EBX, ECX, EDX */

static void read_host_cpuid(void)
{
    static const uint32_t leaves[3] = { 1, 7, 0x80000001 };
    for (int n = 0; n < 3; n++) {
        uint32_t *r = host_cpuid[n];
        __get_cpuid_count(leaves[n], 0, &r[0], &r[1], &r[2], &r[3]);
    }
}

bool jit_host_bit(JitHostBit bit)
{
    static const struct { uint8_t leaf, reg, bit; } where[] = {
        [HOST_CX16] = { 0, 2, 13 }, [HOST_MOVBE] = { 0, 2, 22 }, [HOST_F16C] = { 0, 2, 29 },
        [HOST_ADX] = { 1, 1, 19 }, [HOST_SHA] = { 1, 1, 29 }, [HOST_LZCNT] = { 2, 2, 5 },
    };
    static gsize once;
    if (g_once_init_enter(&once)) {
        read_host_cpuid();
        g_once_init_leave(&once, 1);
    }
    return host_cpuid[where[bit].leaf][where[bit].reg] >> where[bit].bit & 1;
}

bool jit_host_row(const InsnRow *r)
{
    if ((r->attr & A_AVX) && !__builtin_cpu_supports("avx")) {
        return false;
    }
    if ((r->attr & A_AVX2) && !__builtin_cpu_supports("avx2")) {
        return false;
    }
    switch (r->feature) {
    case CPUID_SSE3:      return __builtin_cpu_supports("sse3");
    case CPUID_SSSE3:     return __builtin_cpu_supports("ssse3");
    case CPUID_SSE41:     return __builtin_cpu_supports("sse4.1");
    case CPUID_SSE42:     return __builtin_cpu_supports("sse4.2");
    case CPUID_PCLMULQDQ: return __builtin_cpu_supports("pclmul");
    case CPUID_AES:       return __builtin_cpu_supports("aes");
    case CPUID_SHA_NI:    return jit_host_bit(HOST_SHA);
    case CPUID_AVX2:      return __builtin_cpu_supports("avx2");
    case CPUID_FMA:       return __builtin_cpu_supports("fma");
    case CPUID_F16C:      return __builtin_cpu_supports("avx") && jit_host_bit(HOST_F16C);
    case CPUID_MMX: case CPUID_SSE: case CPUID_SSE2: case CPUID_AVX: return true;
    default:              return false;
    }
}

/* ---- the instruction by its operands --------------------------------------------------------------------- */

enum {
    FP   = 1,                   /* computes by MXCSR */
    RMW  = 2,                   /* VEX: reads its destination too */
    XMM0 = 4,                   /* writes XMM0 */
};

typedef struct Form {
    bool vex, l, mem, store;    /* store: the destination is memory */
    unsigned size;              /* of the memory operand */
    unsigned gpr;               /* the general register among the operands ... */
    Rm gpr_rm;
    bool gpr_dst;
} Form;

static bool gpr_kind(unsigned kind)
{
    return kind == OPND_G || kind == OPND_E || kind == OPND_R;
}

static bool form_of(Jit *j, const Insn *i, Form *f)
{
    const InsnDesc *d = j->desc;
    *f = (Form) { .vex = d->enc == ENC_VEX, .l = i->flags & IF_L, .mem = i->flags & IF_MEM };
    if (f->mem && !jit_ea_ok(j, i)) {
        return false;
    }
    for (unsigned n = 0; n < d->nopnd; n++) {
        const InsnOpnd *o = &d->opnd[n];
        switch (o->kind) {
        case OPND_V: case OPND_H: case OPND_L: case OPND_U: case OPND_I: case OPND_G: case OPND_R:
            break;
        case OPND_W: case OPND_M: case OPND_E:
            if (f->mem) {
                f->store = n == 0;
                f->size = o->kind == OPND_E ? (i->osz == 3 ? 8 : 4)
                        : o->size == OPND_BY_VL || !o->size ? (f->l ? 32 : 16) : o->size;
            }
            break;
        case OPND_FIXED:
            if (strcmp(o->text, "XMM0")) {
                return false;
            }
            break;
        default:
            return false;
        }
    }
    return true;
}

static void hold_for(Jit *j, const Form *f, unsigned n)
{
    if (f->vex && f->l) {
        hold_y(j, n);
    } else {
        jit_hold(j, n);
    }
}

/* The registers it reads. */
static void hold_sources(Jit *j, const Insn *i, const Form *f, unsigned arg)
{
    const InsnDesc *d = j->desc;
    for (unsigned n = 0; n < d->nopnd; n++) {
        bool reads = n > 0 || !f->vex || (arg & RMW) || f->store || (d->fl_write & FLB_ARITH) ||
                     (arg & XMM0);
        switch (d->opnd[n].kind) {
        case OPND_V:
            if (reads) {
                hold_for(j, f, i->reg);
            }
            break;
        case OPND_H:
            if (n > 0) {
                hold_for(j, f, i->vvvv);
            }
            break;
        case OPND_L: hold_for(j, f, i->is4); break;
        case OPND_FIXED: jit_hold(j, 0); break;
        case OPND_W: case OPND_U:
            if (!f->mem && reads) {
                hold_for(j, f, i->rm);
            }
            break;
        }
    }
}

static void mark_written(Jit *j, const Insn *i, const Form *f, unsigned arg)
{
    const InsnOpnd *o = &j->desc->opnd[0];
    unsigned n = o->kind == OPND_V ? i->reg : o->kind == OPND_H ? i->vvvv : i->rm;
    if (arg & XMM0) {
        n = 0;
    } else if (f->store || gpr_kind(o->kind) || (j->desc->fl_write & FLB_ARITH)) {
        return;
    }
    if (f->vex) {
        written_y(j, n, f->l);
    } else {
        jit_vec_written(j, n);
    }
}

static void check_aligned(Jit *j, Rm m, unsigned size)
{
    jit_flags_clobber(j, j->live_in);
    asm_lea(&j->a, 8, J_T0, rm_m(m.reg, m.disp));
    asm_op(&j->a, 1, 0xf6, 0, rm_r(J_T0));              /* TEST */
    asm_8(&j->a, size - 1);
    jit_cold_insn(j, CC_NE, false);
}

/* ModRM.rm */
static Rm operand_rm(Jit *j, const Insn *i, const Form *f)
{
    const InsnDesc *d = j->desc;
    if (!f->mem) {
        for (unsigned n = 0; n < d->nopnd; n++) {
            if (d->opnd[n].kind == OPND_E || d->opnd[n].kind == OPND_R) {
                Rm m = jit_gpr(i->rm);
                return n == 0 && m.mem ? rm_r(J_T0) : m;
            }
        }
        return rm_r(i->rm);
    }
    if ((insn_rows[i->row].attr & A_AL) && f->size >= 16) {
        Rm m = jit_mem_insn(j, i, f->size, f->store ? TLB_WRITE : TLB_READ);
        check_aligned(j, m, f->size);
        return m;
    }
    return f->store ? jit_mem_probe(j, i, f->size) : jit_mem_ld(j, i, f->size);
}

static void emit(Jit *j, const Insn *i, const Form *f, unsigned reg, Rm m)
{
    static const uint32_t prefix[] = { [PFX_66] = ASM_66, [PFX_F3] = ASM_F3, [PFX_F2] = ASM_F2 };
    static const uint8_t pp[] = { [PFX_66] = 1, [PFX_F3] = 2, [PFX_F2] = 3 };
    static const uint32_t map[] = { 0, 0x0f00, 0x0f3800, 0x0f3a00 };
    const InsnDesc *d = j->desc;
    if (f->vex) {
        asm_vex(&j->a, pp[d->pfx], d->map, i->flags & IF_W, f->l, d->opcode, reg,
                d->uses_vvvv ? i->vvvv : 0, m);
    } else {
        asm_op(&j->a, i->flags & IF_W ? 8 : 0, prefix[d->pfx] | map[d->map] | d->opcode, reg, m);
    }
    for (unsigned n = 0; n < d->nopnd; n++) {
        if (d->opnd[n].kind == OPND_I) {
            asm_8(&j->a, i->imm);
        } else if (d->opnd[n].kind == OPND_L) {
            asm_8(&j->a, i->is4 << 4);
        }
    }
}

static bool op_vec(Jit *j, const Insn *i, unsigned arg)
{
    const InsnDesc *d = j->desc;
    Form f;
    /* VCVTPS2PH notes its exceptions even if its store faults: left to the handler */
    if (!form_of(j, i, &f) || (f.store && (arg & FP))) {
        return false;
    }
    bool flags = d->fl_write & FLB_ARITH;
    j->vex |= f.vex;                                    /* what is held so far stays good */
    if (arg & FP) {
        jit_fp_ready(j);
    }
    Rm m = operand_rm(j, i, &f);
    hold_sources(j, i, &f, arg);
    if (flags) {
        jit_flags_use(j);
    }
    /* ModRM.reg: a digit, a vector register, or a general one that is the destination */
    unsigned reg = d->reg >= 0 ? (unsigned)d->reg : i->reg;
    Rm gpr = rm_r(0);
    bool to_reg = d->opnd[0].kind == OPND_G;
    bool to_rm = !f.mem && (d->opnd[0].kind == OPND_E || d->opnd[0].kind == OPND_R);
    if (to_reg) {
        gpr = jit_gpr(i->reg);
        reg = gpr.mem ? J_T0 : gpr.reg;
    } else if (to_rm) {
        gpr = jit_gpr(i->rm);
    }
    emit(j, i, &f, reg, m);
    if ((to_reg || to_rm) && gpr.mem) {
        asm_st(&j->a, 8, gpr, J_T0);
    }
    if (flags) {
        jit_flags_made(j);
    }
    mark_written(j, i, &f, arg);
    return true;
}

static bool op_vzeroupper(Jit *j, const Insn *i, unsigned arg)
{
    if (!__builtin_cpu_supports("avx")) {
        return false;
    }
    jit_vec_flush(j);
    jit_call_thunk(j, j->code64 ? jit_thunks.zero_upper[1] : jit_thunks.zero_upper[0]);
    return true;
}

static bool op_movnti(Jit *j, const Insn *i, unsigned arg)
{
    if (!jit_ea_ok(j, i)) {
        return false;
    }
    jit_mem_st(j, i, i->osz == 3 ? 8 : 4, jit_gpr(i->reg));
    return true;
}

/* ---- which rows -------------------------------------------------------------------------------------------- */

static bool is_fp(const char *name)
{
    static const char *const first[] = {
        "add", "sub", "mul", "div", "min", "max", "sqrt", "hadd", "hsub", "cmp", "comi", "ucomi",
        "cvt", "round", "dpp", "fm", "fnm",
    };
    name += *name == 'v';
    for (unsigned k = 0; k < G_N_ELEMENTS(first); k++) {
        if (g_str_has_prefix(name, first[k])) {
            return true;
        }
    }
    return false;
}

const JitOp *jit_vec_row(const InsnRow *r)
{
    static const JitOp ops[] = {
        { "", op_vec, 0 }, { "", op_vec, FP }, { "", op_vec, FP | RMW }, { "", op_vec, XMM0 },
    };
    static const JitOp vzeroupper = { "vzeroupper", op_vzeroupper }, movnti = { "movnti", op_movnti };
    const char *name = r->name + (*r->name == 'v');

    if (!strcmp(r->name, "vzeroupper")) {
        return &vzeroupper;
    }
    if (!strcmp(r->name, "movnti")) {
        return &movnti;
    }
    if (!(r->attr & (A_SSE | A_AVX)) || (r->attr & (A_MMX | A_VSIB)) || strstr(r->name, "maskmov") ||
        strstr(r->name, "mxcsr") || !strcmp(r->name, "vzeroall") || !jit_host_row(r)) {
        return NULL;
    }
    if (!strcmp(name, "pcmpistrm") || !strcmp(name, "pcmpestrm")) {
        return &ops[3];
    }
    bool fma = g_str_has_prefix(r->name, "vfm") || g_str_has_prefix(r->name, "vfnm");
    return &ops[fma ? 2 : is_fp(r->name)];
}

#endif
