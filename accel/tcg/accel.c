/* SPDX-License-Identifier: MIT */
/*
 * -accel tcg: guest code is interpreted, on any host, or translated to host code where the
 * target has a translator for the host.
 */
#include "accel/accel.h"

#include "accel/tcg/block.h"
#include "accel/tcg/exec.h"
#include "accel/tcg/exclusive.h"
#include "accel/tcg/slow.h"
#include "accel/tcg/torture.h"
#include "util/bql.h"
#include "util/fence.h"
#include "util/log.h"

enum { THREAD_MULTI, THREAD_SINGLE };

typedef struct TcgOptions {
    int engine;
    int thread;
    uint32_t tb_size;               /* MiB */
    uint32_t tb_bytes, tlb_entries;
    bool one_insn, host_fp;
    int kick;
} TcgOptions;

#if defined(__x86_64__) && defined(__linux__)
#define DEFAULT_ENGINE TCG_JIT
#else
#define DEFAULT_ENGINE TCG_INTERP
#endif
static const char *const engines[] = { [TCG_INTERP] = "interp", [TCG_JIT] = "jit", NULL };
static const char *const threads[] = { [THREAD_MULTI] = "multi", [THREAD_SINGLE] = "single", NULL };
static const char *const kicks[] = { "none", "random", NULL };

static const Prop tcg_props[] = {
    PROP_ENUM("engine", TcgOptions, engine, DEFAULT_ENGINE, engines,
              "how guest code is executed: interpreted, or translated to the host's code"),
    PROP_ENUM("thread", TcgOptions, thread, THREAD_MULTI, threads,
              "a thread for each virtual CPU, or one in which they take turns"),
    PROP_UINT_R("tb-size", TcgOptions, tb_size, 0, 0, 4096,
                "size of the cache of translated code in MiB, 0 = default"),
    PROP_UINT_R("tb-bytes", TcgOptions, tb_bytes, 0, 0, UINT32_MAX,
                "the same in bytes, from 65536 on, for tests"),
    PROP_BOOL("one-insn-per-tb", TcgOptions, one_insn, false, "translate every instruction alone"),
    PROP_UINT_R("tlb-entries", TcgOptions, tlb_entries, TLB_SIZE, 2, TLB_SIZE,
                "entries of each TLB, a power of two, for tests"),
    PROP_ENUM("kick", TcgOptions, kick, 0, kicks, "disturb the virtual CPUs at random moments, for tests"),
    PROP_BOOL("host-fp", TcgOptions, host_fp, true,
              "floating point on the host's unit where results are the same (x86 hosts)"),
    PROP_DONE
};

bool tcg_host_fp = true;
bool tcg_parallel;
unsigned tcg_max_insns = UINT_MAX;
static bool kick_at_random;

static bool tcg_available(Error **err)
{
    return true;
}

static AccelSpeed tcg_speed(const char **why)
{
    *why = DEFAULT_ENGINE == TCG_JIT ? "translation to native code" : "an interpreter";
    return DEFAULT_ENGINE == TCG_JIT ? SPEED_NATIVE : SPEED_INTERPRETER;
}

/* Blocks that are chained would go by unseen. */
static void log_items_changed(uint32_t before)
{
    if (log_on(LOG_UNCHAINED) && !(before & LOG_UNCHAINED)) {
        block_flush_all();
    }
}

bool tcg_engine_init(size_t cache, TcgEngine engine, Error **err)
{
    static bool done, native;

    if (done && (native || engine == TCG_INTERP)) {
        return true;
    }
    if (done) {
        /* Up to now the interpreter helped another accelerator: its blocks are of the other kind. */
        block_flush_all();
        return native = tcg_target.init(engine, err);
    }
    if (!block_cache_init(cache, err)) {
        return false;
    }
    if (!tcg_target.init(engine, err)) {
        return false;
    }
    tlb_init_hooks();
    log_changed = log_items_changed;
    native = engine != TCG_INTERP;
    return done = true;
}

static bool tcg_init(struct Machine *m, void *opts, Error **err)
{
    const TcgOptions *o = opts;
    if (!o) {
        return tcg_engine_init(0, DEFAULT_ENGINE, err);
    }
    if (!o->host_fp && o->engine == TCG_JIT) {
        return fail(err, "-accel tcg,host-fp=off: native code computes on the host's unit; works "
                    "with engine=interp");
    }
    if (!is_pow2(o->tlb_entries)) {
        return fail(err, "tlb-entries=%u is not a power of two", o->tlb_entries);
    }
    if (o->tb_bytes && o->tb_size) {
        return fail(err, "tb-bytes=%u: not together with tb-size", o->tb_bytes);
    }
    if (o->tb_bytes && o->tb_bytes < BLOCK_CACHE_MIN) {
        return fail(err, "tb-bytes=%u is less than %u", o->tb_bytes, BLOCK_CACHE_MIN);
    }
    tcg_host_fp = o->host_fp;
    cpus_one_thread = o->thread == THREAD_SINGLE;
    tcg_max_insns = o->one_insn ? 1 : UINT_MAX;
    tlb_index_mask = o->tlb_entries - 1;
    kick_at_random = o->kick;
    return tcg_engine_init(o->tb_bytes ? o->tb_bytes : (size_t)o->tb_size << 20, o->engine, err);
}

/* Blocks made for an only vCPU do without the host's locks, if devices can make up for the fences
 * that go with them. */
static void see_parallel(CPU *c)
{
    bool parallel = (cpus->len > 1 && !cpus_one_thread) || !all_threads_fence();
    if (!tcg_parallel && parallel) {
        tcg_parallel = true;
        block_flush_all();
    }
    guest_locks_are_free = !tcg_parallel;
}

static bool tcg_cpu_create(CPU *c, Error **err)
{
    c->engine = tcg_target.state(c);
    tlb_init_cpu(c);
    tcg_follow_bql();
    see_parallel(c);
    if (kick_at_random) {
        tcg_kick_at_random();
    }
    return true;
}

static void tcg_cpu_destroy(CPU *c)
{
    tcg_kick_no_more();
    bql_set_hooks(NULL, NULL, NULL);
    tlb_destroy_cpu(c);
    c->engine = NULL;
}

/* run() looks at CPU.request at every block boundary; nothing to do. */
static void tcg_kick(CPU *c)
{
}

static void tcg_get_state(CPU *c)
{
}

static bool tcg_put_state(CPU *c, StateLevel what, Error **err)
{
    if (what != STATE_RUNTIME) {
        tcg_tlb_flush(c);
    }
    return true;
}

static void tcg_info(GString *out)
{
    block_cache_info(out);
    tlb_info(out);
    if (tcg_target.info) {
        tcg_target.info(out);
    }
}

/* All vCPUs stand; blocks and TLBs are made anew, with the list in mind. */
static bool tcg_breakpoint(CPU *c, BpOp op, uint64_t addr, unsigned len, int type)
{
    block_flush_all();
    tcg_flush_request(c);
    return true;
}

static const Accel tcg_accel = {
    .name = "tcg",
    .desc = "runs guest code by translation or interpretation, on any host",
    .size = sizeof(TcgOptions),
    .props = tcg_props,
    .available = tcg_available,
    .speed = tcg_speed,
    .init = tcg_init,
    .cpu_create = tcg_cpu_create,
    .cpu_destroy = tcg_cpu_destroy,
    .run = tcg_run,
    .kick = tcg_kick,
    .get_state = tcg_get_state,
    .put_state = tcg_put_state,
    .breakpoint = tcg_breakpoint,
    .info = tcg_info,
};
ACCEL(tcg_accel);
