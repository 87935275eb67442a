/* SPDX-License-Identifier: MIT */
/*
 * Making blocks: decode from the first instruction to a branch, a change of mode, the end of
 * the page, or MAX_INSNS.  An instruction that crosses the page end makes a block of its own.
 */
#include "target-i386/tcg-target.h"

#include <inttypes.h>
#include <string.h>
#include "accel/debug.h"
#include "accel/tcg/slow.h"
#include "target-i386/disas.h"
#include "target-i386/flow.h"
#include "target-i386/jit.h"
#include "target-i386/x87.h"
#include "util/log.h"

#define MAX_INSNS 64
#define INSN_BYTES 15

typedef struct Builder {
    X86CPU *c;
    uint64_t pc;
    const uint8_t *host;        /* of pc */
    const uint8_t *host2;       /* second page, if it crosses */
    uint32_t mode;              /* the target's part */
    bool one;
    bool careful;               /* it may store to itself: block_exposed */
    unsigned first;             /* where offsets count from: block's start, or (native) page's */
    unsigned size, count;
    bool jumps;                 /* the last instruction leaves by itself */
    bool stop;                  /* ... or the loop must be asked after it */
    Insn insn[MAX_INSNS + 1];
} Builder;

/* In code segments with base or limit near branches take the checking handlers. */
static void adjust(const Builder *b, Insn *i)
{
    const InsnRow *r = &insn_rows[i->row];
    if ((r->attr & A_NEAR) && !(b->mode & (MODE_CODE64 | MODE_CSFLAT))) {
        i->fn = r->fn[1];
    }
}

static void add(Builder *b, DecodeResult res)
{
    Insn *i = &b->insn[b->count++];
    b->size += i->len;
    if (res == DECODE_FAULT) {
        i->row = NO_ROW;
        b->jumps = true;
        return;
    }
    uint32_t attr = insn_rows[i->row].attr;
    b->jumps = attr & A_JUMP;
    b->stop = (attr & A_END) && !(x86_jit && !b->one && x86_jit_goes_on(i));
    adjust(b, i);
}

/* The first instruction runs into the next page. */
static bool decode_crossing(Builder *b, unsigned have)
{
    CPU *cpu = &b->c->cpu;
    uint8_t buf[INSN_BYTES];
    uint64_t next = tcg_target.wrap(cpu, b->pc + have);
    TlbFull *f = tlb_get(cpu, b->c->tcg.code_mode, next, TLB_FETCH, true);

    if (!f->ram) {
        return false;
    }
    b->host2 = f->host;
    block_protect(cpu, b->host2);
    memcpy(buf, b->host, have);
    memcpy(buf + have, b->host2, INSN_BYTES - have);
    InsnBytes in = { buf, INSN_BYTES };
    add(b, insn_decode(b->c, b->mode, in, b->first, &b->insn[0]));
    return true;
}

static bool decode_all(Builder *b)
{
    unsigned left = GUEST_PAGE_SIZE - (b->pc & (GUEST_PAGE_SIZE - 1));
    unsigned max = b->one ? 1 : MIN(MAX_INSNS, tcg_max_insns);

    while (b->count < max && b->size < left && !b->jumps && !b->stop) {
        if (unlikely(debug_points) && b->count && debug_code_like(b->pc + b->size)) {
            break;                      /* it begins a block of its own: exec.c looks at those */
        }
        InsnBytes in = { b->host + b->size, MIN(left - b->size, INSN_BYTES) };
        DecodeResult res = insn_decode(b->c, b->mode, in, b->first + b->size, &b->insn[b->count]);
        if (res != DECODE_MORE) {
            add(b, res);
        } else if (b->count) {
            break;
        } else {
            return decode_crossing(b, in.n);
        }
    }
    return true;
}

/* What follows the last instruction: on to the next block, or back to the loop. */
static void terminate(Builder *b, Block *blk)
{
    Insn *end = &b->insn[b->count];
    *end = (Insn) {
        .fn = b->stop || b->one ? op_exit : op_end, .off = b->size, .row = NO_ROW,
        .flags = b->mode & MODE_CODE64 ? IF_CODE64 : 0,
        .imm = (uintptr_t)blk,
    };
}

void x86_link_block(Block *from, unsigned n, Block *to)
{
    if (x86_jit) {
        x86_jit_link(from, n, to);
        return;
    }
    Insn *end = (Insn *)from->payload + from->count;
    uintptr_t link = to ? (uintptr_t)to->payload : 0;
    __atomic_store_n((uintptr_t *)&(n ? end - 1 : end)->disp, link, __ATOMIC_RELEASE);
}

static void log_block(const Builder *b)
{
    GString *out = g_string_new("----------------\nIN: \n");
    unsigned bits = b->mode & MODE_CODE64 ? 64 : b->mode & MODE_CODE32 ? 32 : 16;
    uint8_t bytes[INSN_BYTES + 1];
    for (unsigned n = 0; n < b->count; n++) {
        const Insn *i = &b->insn[n];
        for (unsigned k = 0; k < i->len; k++) {
            unsigned off = i->off - b->first + k;
            uint64_t at = (b->pc & (GUEST_PAGE_SIZE - 1)) + off;
            bytes[k] = at < GUEST_PAGE_SIZE || !b->host2 ? b->host[off]
                                                         : b->host2[at - GUEST_PAGE_SIZE];
        }
        if (log_on(LOG_IN_ASM)) {
            x86_disas(out, b->pc + i->off - b->first, bytes, i->len, bits);
        }
        if (log_on(LOG_OP)) {
            const char *name = i->row == NO_ROW ? "(fault)" : insn_rows[i->row].name;
            g_string_append_printf(out, "  op %-10s osz %u asz %u reg %u rm %u base %u index %u<<%u "
                                   "disp %" PRIx64 " imm %" PRIx64 " flags %x\n", name, i->osz,
                                   i->asz, i->reg, i->rm, i->base, i->index, i->scale,
                                   (uint64_t)i->disp, i->imm, i->flags);
        }
    }
    g_string_append_c(out, '\n');
    log_write("%s", out->str);
    g_string_free(out, true);
}

static bool fetched_writable(CPU *cpu, uint64_t pc)
{
    const TlbFull *f = tlb_get(cpu, tcg_cpu(cpu)->code_mode, pc, TLB_FETCH, false);
    return !f || f->writable;
}

Block *x86_translate(CPU *cpu, uint64_t pc, const uint8_t *host, uint32_t mode)
{
    Builder b;

    b.c = x86_cpu(cpu);
    b.pc = pc;
    b.host = host;
    b.host2 = NULL;
    b.mode = mode & ~BLOCK_ONE;
    b.one = (mode & BLOCK_ONE) != 0;
    b.size = b.count = 0;
    b.first = x86_jit ? pc & (GUEST_PAGE_SIZE - 1) : 0;
    b.jumps = b.stop = false;
    block_protect(cpu, host);
    b.careful = x86_jit && !b.one && block_exposed(cpu, fetched_writable(cpu, pc));
    if (!decode_all(&b)) {
        block_made(cpu);
        return NULL;
    }
    if (unlikely(log_on(LOG_IN_ASM | LOG_OP))) {
        log_block(&b);
    }
    Block *blk;
    if (x86_jit) {
        blk = x86_jit_block(b.c, pc, host, b.host2, b.mode, b.one, b.careful, b.insn, b.count,
                            b.size, b.stop);
    } else {
        size_t payload = (b.count + 1) * sizeof(Insn);
        blk = block_alloc(cpu, payload, 0, 0, b.host2);
        terminate(&b, blk);
        memcpy(blk->payload, b.insn, payload);
        blk->size = b.size;
        blk->count = b.count;
    }
    blk->host = host;
    blk->mode = mode | (b.host2 ? BLOCK_CROSS : 0);
    block_insert(cpu, blk);
    return blk;
}

void x86_kill_block(Block *b)
{
    Insn *i = (Insn *)b->payload;
    if (x86_jit) {
        x86_jit_kill(b);    /* no link leads there any more, but the look-up table may */
        return;
    }
    for (unsigned n = 0; n <= b->count; n++) {
        __atomic_store_n(&i[n].fn, op_exit, __ATOMIC_RELAXED);
    }
}

/* ---- without the cache --------------------------------------------------------------------------- */

static uint8_t fetch_byte(CPU *cpu, uint64_t la)
{
    TcgCPU *t = tcg_cpu(cpu);
    TlbFull *f = tlb_get(cpu, t->code_mode, la, TLB_FETCH, true);
    unsigned at = la & (GUEST_PAGE_SIZE - 1);
    return f->ram ? f->host[at] : address_space_ld(f->as, f->pa + at, 1);
}

/*
 * One instruction fetched byte by byte: from a device, across a hole, or at the limit of CS,
 * where each byte is checked.
 */
void x86_run_uncached(CPU *cpu, uint64_t la, uint32_t mode)
{
    static Block nowhere = { .mode = BLOCK_DEAD };
    X86CPU *c = x86_cpu(cpu);
    bool code64 = mode & MODE_CODE64;
    uint8_t buf[INSN_BYTES];
    Insn insn[2];
    unsigned have = 0;
    InsnBytes in = { buf, 0 };

    while (insn_decode(c, mode, in, 0, &insn[0]) == DECODE_MORE) {
        if (!code64 && c->rip + have > c->seg[R_CS].limit) {
            x86_raise_err(c, EXC_GP, 0);
        }
        buf[have] = fetch_byte(cpu, code64 ? la + have : (uint32_t)(la + have));
        in.n = ++have;
    }
    if (unlikely(log_on(LOG_IN_ASM))) {
        GString *out = g_string_new("----------------\nIN: (uncached)\n");
        x86_disas(out, la, buf, insn[0].len, code64 ? 64 : mode & MODE_CODE32 ? 32 : 16);
        log_write("%s\n", out->str);
        g_string_free(out, true);
    }
    insn[1] = (Insn) { .fn = op_exit, .off = insn[0].len, .row = NO_ROW,
                       .flags = code64 ? IF_CODE64 : 0, .imm = (uintptr_t)&nowhere };
    if (insn[0].row != NO_ROW) {
        const InsnRow *r = &insn_rows[insn[0].row];
        if ((r->attr & A_NEAR) && !(mode & (MODE_CODE64 | MODE_CSFLAT))) {
            insn[0].fn = r->fn[1];
        }
    }
    c->r[17] = c->rip;
    if (c->lazy_flags == LAZY_IMAGE) {
        flags_write_all(c, jit_image_flags(c->fl_image));
        c->lazy_flags = LAZY_FIELDS;
    }
    x86_x87_sync(c);
    insn[0].fn(c, &insn[0]);
    x86_update_mode(c);                         /* x87's part of it may have changed */
}

/* ---- -d exec, cpu ---------------------------------------------------------------------------------- */

void x86_log_enter(CPU *cpu, const Block *b)
{
    X86CPU *c = x86_cpu(cpu);
    if (log_on(LOG_EXEC)) {
        log_write("Trace %d: %p [%08" PRIx64 "/%016" PRIx64 "/%08x]\n", cpu->index, (const void *)b,
                  c->seg[R_CS].base, c->rip, b->mode);
    }
    if (log_on(LOG_CPU)) {
        GString *out = g_string_new(NULL);
        x86_x87_sync(c);
        x86_cpu_dump(c, out, log_on(LOG_FPU));
        log_write("%s", out->str);
        g_string_free(out, true);
    }
}
