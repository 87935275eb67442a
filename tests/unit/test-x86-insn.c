/* SPDX-License-Identifier: MIT */
/*
 * Snippets of x86 code in 16, 32 and 64-bit mode on a bare CPU with 16 MiB of RAM: no devices,
 * no firmware.  Each runs until HLT (or an exception, whose handlers are HLTs of their own),
 * then registers, flags and memory are compared.  Each test runs on the interpreter and, where
 * there is one, on the native engine.
 */
#include <glib.h>
#include <string.h>
#include <time.h>

#include "accel/accel.h"
#include "accel/tcg/exec.h"
#include "memory/memory.h"
#include "target-i386/helper.h"
#include "util/bql.h"
#include "util/timer.h"

#if defined(__x86_64__) && defined(__linux__)
#define HAS_NATIVE true
#else
#define HAS_NATIVE false
#endif
#define RAM_SIZE (16u << 20)
#define CODE     0x10000u
#define DATA     0x20000u
#define STACK    0x30000u
#define IDT      0x40000u
#define GDT      0x48000u
#define STUBS    0x50000u       /* 16 bytes for each vector: HLT */
#define TABLES   0x60000u       /* PML4, PDPT */
#define TSS      0x70000u

static X86CPU *cpu;
static uint8_t *ram;
static const Accel *tcg;

/* ---- the machine ------------------------------------------------------------------------- */

static void poke(uint32_t at, const void *p, size_t n)
{
    address_space_write(&address_space_memory, at, p, n);
}

static void set_seg(int n, uint16_t sel, uint64_t base, uint32_t limit, uint32_t attr)
{
    cpu->seg[n] = (Segment) { .sel = sel, .base = base, .limit = limit, .attr = attr };
}

static void put64(uint32_t at, uint64_t v)
{
    poke(at, &v, 8);
}

/* Interrupt gates to the stubs. */
static void make_idt(int bits)
{
    for (unsigned v = 0; v < 32; v++) {
        uint32_t to = STUBS + v * 16;
        uint64_t low = (to & 0xffff) | 8ull << 16 | 0x8e00ull << 32 | (uint64_t)(to >> 16) << 48;
        if (bits == 64) {
            put64(IDT + v * 16, low);
            put64(IDT + v * 16 + 8, 0);
        } else {
            put64(IDT + v * 8, low);
        }
        uint8_t hlt = 0xf4;
        poke(to, &hlt, 1);
    }
}

static void machine(int bits)
{
    const uint32_t data = DESC_P | DESC_S | DESC_W | DESC_A | DESC_B | DESC_G;
    const uint32_t code = DESC_P | DESC_S | DESC_CODE | DESC_R | DESC_A | DESC_G;

    x86_cpu_reset(cpu);
    x86_tlb_flush(cpu);
    memset(cpu->r, 0, sizeof(cpu->r));
    x86_set_flags(cpu, FL_1);
    cpu->r[R_ESP] = STACK;
    cpu->rip = CODE;
    if (bits == 16) {
        for (int n = 0; n < SEG_COUNT; n++) {
            set_seg(n, 0, 0, 0xffff, DESC_P | DESC_S | DESC_W | DESC_A);
        }
        set_seg(R_CS, CODE >> 4, CODE, 0xffff, DESC_P | DESC_S | DESC_W | DESC_A);
        set_seg(R_DS, DATA >> 4, DATA, 0xffff, DESC_P | DESC_S | DESC_W | DESC_A);
        set_seg(R_ES, DATA >> 4, DATA, 0xffff, DESC_P | DESC_S | DESC_W | DESC_A);
        set_seg(R_SS, (STACK >> 4) - 0x1000, STACK - 0x10000, 0xffff, DESC_P | DESC_S | DESC_W | DESC_A);
        cpu->r[R_ESP] = 0x8000;
        cpu->rip = 0;
        cpu->idt = (DescTable) { 0, 0x3ff };
        for (unsigned v = 0; v < 32; v++) {
            uint8_t hlt = 0xf4;
            uint32_t vec = (STUBS >> 4) << 16 | v * 16;
            poke(v * 4, &vec, 4);
            poke(STUBS + v * 16, &hlt, 1);
        }
        cpu->cr0 = CR0_ET;
        x86_update_mode(cpu);
        return;
    }
    for (int n = 0; n < SEG_COUNT; n++) {
        set_seg(n, 16, 0, 0xffffffff, data);
    }
    set_seg(R_CS, 8, 0, 0xffffffff, code | (bits == 64 ? DESC_L : DESC_B));
    put64(GDT + 8, bits == 64 ? 0x00af9b000000ffff : 0x00cf9b000000ffff);
    put64(GDT + 16, 0x00cf93000000ffff);
    cpu->gdt = (DescTable) { GDT, 0x1f };
    cpu->idt = (DescTable) { IDT, 0xfff };
    make_idt(bits);
    cpu->cr0 = CR0_PE | CR0_ET | CR0_NE;
    if (bits == 64) {
        put64(TABLES, (TABLES + 0x1000) | 3);
        put64(TABLES + 0x1000, 0x83);               /* 1 GiB, identity */
        cpu->cr3 = TABLES;
        cpu->cr4 = CR4_PAE | CR4_OSFXSR | CR4_OSXMMEXCPT;
        cpu->efer = EFER_LME | EFER_LMA | EFER_NXE | EFER_SCE;
        cpu->cr0 |= CR0_PG;
    } else {
        cpu->cr4 = CR4_OSFXSR;
    }
    x86_update_mode(cpu);
}

/* Run until HLT.  The vector whose stub was reached, or -1. */
static int run_on(void)
{
    cpu->cpu.halted = false;
    bql_unlock();
    ExitReason why = tcg->run(&cpu->cpu);
    bql_lock();
    g_assert_cmpint(why, ==, EXIT_HALTED);
    uint64_t stop = cpu->seg[R_CS].base + cpu->rip - 1;
    return stop >= STUBS && stop < STUBS + 32 * 16 ? (int)(stop - STUBS) / 16 : -1;
}
static int run_code(const void *code, size_t len)
{
    uint8_t hlt = 0xf4;
    uint32_t at = cpu->seg[R_CS].base + cpu->rip;
    poke(at, code, len);
    poke(at + len, &hlt, 1);
    return run_on();
}
#define RUN(bytes) run_code(bytes, sizeof(bytes) - 1)

static uint32_t arith(void)
{
    return cpu->rflags & FL_ARITH;
}

/* ---- tests ------------------------------------------------------------------------------------ */

static void test_alu(void)
{
    static const struct { const char *code; int len; uint64_t a, b, r; uint32_t fl; } cases[] = {
        { "\x01\xd8", 2, 1, 2, 3, FL_PF },                                  /* add eax, ebx */
        { "\x01\xd8", 2, 0xffffffff, 1, 0, FL_CF | FL_ZF | FL_PF | FL_AF },
        { "\x01\xd8", 2, 0x7fffffff, 1, 0x80000000, FL_OF | FL_SF | FL_PF | FL_AF },
        { "\x48\x01\xd8", 3, ~0ull, 1, 0, FL_CF | FL_ZF | FL_PF | FL_AF },
        { "\x00\xd8", 2, 0x17f, 1, 0x180, FL_OF | FL_SF | FL_AF },          /* add al, bl */
        { "\x00\xdc", 2, 0x7f00, 1, 0x8000, FL_OF | FL_SF | FL_AF },        /* add ah, bl */
        { "\x66\x01\xd8", 3, 0x1ffff, 1, 0x10000, FL_CF | FL_ZF | FL_PF | FL_AF },
        { "\x29\xd8", 2, 0, 1, 0xffffffff, FL_CF | FL_SF | FL_PF | FL_AF }, /* sub */
        { "\x29\xd8", 2, 0x80000000, 1, 0x7fffffff, FL_OF | FL_PF | FL_AF },
        { "\xf9\x11\xd8", 3, 0xffffffff, 0, 0, FL_CF | FL_ZF | FL_PF | FL_AF },  /* stc; adc */
        { "\xf9\x19\xd8", 3, 0, 0xffffffff, 0, FL_CF | FL_ZF | FL_PF | FL_AF },  /* stc; sbb */
        { "\x21\xd8", 2, 0xff00ff00, 0x80000f00, 0x80000f00, FL_SF | FL_PF },    /* and */
        { "\x31\xc0", 2, 5, 0, 0, FL_ZF | FL_PF },                               /* xor eax, eax */
        { "\xf9\xff\xc0", 3, 0x7fffffff, 0, 0x80000000, FL_OF | FL_SF | FL_PF | FL_AF | FL_CF },
        { "\xf9\xff\xc8", 3, 0, 0, 0xffffffff, FL_SF | FL_PF | FL_AF | FL_CF },  /* stc; dec */
        { "\xf7\xd8", 2, 1, 0, 0xffffffff, FL_CF | FL_SF | FL_PF | FL_AF },      /* neg */
        { "\xf7\xd8", 2, 0x80000000, 0, 0x80000000, FL_CF | FL_OF | FL_SF | FL_PF },
        { "\xc1\xe0\x04", 3, 0x18000001, 0, 0x80000010, FL_CF * 1 | FL_SF, },    /* shl 4 */
        { "\xd1\xf8", 2, 0x80000001, 0, 0xc0000000, FL_CF | FL_SF | FL_PF },     /* sar 1 */
        { "\xf9\xd1\xd0", 3, 0x80000000, 0, 1, FL_CF | FL_OF },                  /* stc; rcl 1 */
        { "\x0f\xaf\xc3", 3, 0x10000, 0x10000, 0, FL_CF | FL_OF },
    };
    for (unsigned k = 0; k < G_N_ELEMENTS(cases); k++) {
        machine(64);
        cpu->r[R_EAX] = cases[k].a;
        cpu->r[R_EBX] = cases[k].b;
        g_assert_cmpint(run_code(cases[k].code, cases[k].len), ==, -1);
        uint32_t fl = arith();
        if (cases[k].code[0] == 0x0f) {                     /* IMUL defines two */
            fl &= FL_CF | FL_OF;
        }
        if ((uint8_t)cases[k].code[0] == 0xc1 || (uint8_t)cases[k].code[0] == 0xd1) {
            fl &= ~FL_AF;                                   /* shifts don't define AF */
        }
        if (cpu->r[R_EAX] != cases[k].r || fl != cases[k].fl) {
            g_test_message("case %u: %" G_GINT64_MODIFIER "x flags %x, wanted %" G_GINT64_MODIFIER
                           "x flags %x", k, cpu->r[R_EAX], arith(), cases[k].r, cases[k].fl);
            g_test_fail();
        }
    }
}

/* 1..100 summed with a loop: branches, chaining, in all modes. */
static void test_loop(void)
{
    machine(64);
    g_assert_cmpint(RUN("\x31\xc0\xb9\x64\x00\x00\x00\x01\xc8\xff\xc9\x75\xfa"), ==, -1);
    g_assert_cmpint(cpu->r[R_EAX], ==, 5050);
    machine(32);
    g_assert_cmpint(RUN("\x31\xc0\xb9\x64\x00\x00\x00\x01\xc8\x49\x75\xfb"), ==, -1);
    g_assert_cmpint(cpu->r[R_EAX], ==, 5050);
    machine(16);
    g_assert_cmpint(RUN("\x31\xc0\xb9\x64\x00\x01\xc8\x49\x75\xfb"), ==, -1);
    g_assert_cmpint(cpu->r[R_EAX], ==, 5050);
    machine(16);                                    /* loop */
    g_assert_cmpint(RUN("\x31\xc0\xb9\x64\x00\x01\xc8\xe2\xfc"), ==, -1);
    g_assert_cmpint(cpu->r[R_EAX], ==, 5050);
}

static void test_stack(void)
{
    machine(64);                                    /* push 5; call +1; hlt; pop rax; pop rbx */
    g_assert_cmpint(RUN("\x6a\x05\xe8\x01\x00\x00\x00\xf4\x58\x5b"), ==, -1);
    g_assert_cmphex(cpu->r[R_EAX], ==, CODE + 7);
    g_assert_cmphex(cpu->r[R_EBX], ==, 5);
    g_assert_cmphex(cpu->r[R_ESP], ==, STACK);
    machine(32);                                    /* mov eax,1..; pusha; popa with changes */
    cpu->r[R_EDI] = 7;
    g_assert_cmpint(RUN("\x60\x31\xff\x61"), ==, -1);
    g_assert_cmphex(cpu->r[R_EDI], ==, 7);
    g_assert_cmphex(cpu->r[R_ESP], ==, STACK);
    machine(64);                                    /* enter 16,0; leave; ret through a call */
    cpu->r[R_EBP] = 0x1234;
    g_assert_cmpint(RUN("\xe8\x01\x00\x00\x00\xf4\xc8\x10\x00\x00\xc9\xc3"), ==, -1);
    g_assert_cmphex(cpu->r[R_EBP], ==, 0x1234);
    g_assert_cmphex(cpu->rip, ==, CODE + 6);
}

static void test_memory(void)
{
    machine(64);
    cpu->r[R_EBX] = DATA;
    cpu->r[R_EAX] = 0x1122334455667788;
    /* mov [rbx+8],rax; mov ecx,[rbx+9]; movzx edx,byte [rbx+15]; movsx rsi,byte[rbx+8] */
    g_assert_cmpint(RUN("\x48\x89\x43\x08\x8b\x4b\x09\x0f\xb6\x53\x0f\x48\x0f\xbe\x73\x08"), ==, -1);
    g_assert_cmphex(cpu->r[R_ECX], ==, 0x44556677);
    g_assert_cmphex(cpu->r[R_EDX], ==, 0x11);
    g_assert_cmphex(cpu->r[R_ESI], ==, 0xffffffffffffff88);
    machine(64);                                    /* across a page */
    cpu->r[R_EBX] = DATA + 0xffd;
    cpu->r[R_EAX] = 0x1122334455667788;
    g_assert_cmpint(RUN("\x48\x89\x03\x48\x8b\x0b"), ==, -1);
    g_assert_cmphex(cpu->r[R_ECX], ==, 0x1122334455667788);
    g_assert_cmphex(ram[DATA + 0x1000], ==, 0x55);
    machine(64);                                    /* a page ends before the ModRM byte of a group */
    cpu->rip = CODE + 0xff8;                        /* movq xmm2,rax; pslldq xmm2,3; movq rbx,xmm2 */
    cpu->r[R_EAX] = 0x1122334455667788;
    g_assert_cmpint(RUN("\x66\x48\x0f\x6e\xd0\x66\x0f\x73\xfa\x03\x66\x48\x0f\x7e\xd3"), ==, -1);
    g_assert_cmphex(cpu->r[R_EBX], ==, 0x4455667788000000);
    machine(64);                                    /* lock xadd [rbx],eax; lock inc dword [rbx] */
    cpu->r[R_EBX] = DATA;
    cpu->r[R_EAX] = 5;
    put64(DATA, 10);
    g_assert_cmpint(RUN("\xf0\x0f\xc1\x03\xf0\xff\x03"), ==, -1);
    g_assert_cmphex(cpu->r[R_EAX], ==, 10);
    g_assert_cmphex(ram[DATA], ==, 16);
    machine(64);                                    /* mov eax,[rip+2] over a jmp */
    g_assert_cmpint(RUN("\x8b\x05\x02\x00\x00\x00\xeb\x04\x78\x56\x34\x12"), ==, -1);
    g_assert_cmphex(cpu->r[R_EAX], ==, 0x12345678);
}

static void test_string(void)
{
    machine(64);                                    /* rep movsb over a page end */
    for (unsigned k = 0; k < 6000; k++) {
        ram[DATA + 0x800 + k] = k * 7;
    }
    cpu->r[R_ESI] = DATA + 0x800;
    cpu->r[R_EDI] = DATA + 0x5123;
    cpu->r[R_ECX] = 6000;
    g_assert_cmpint(RUN("\xf3\xa4"), ==, -1);
    g_assert_true(!memcmp(ram + DATA + 0x800, ram + DATA + 0x5123, 6000));
    g_assert_cmphex(cpu->r[R_ECX], ==, 0);
    g_assert_cmphex(cpu->r[R_ESI], ==, DATA + 0x800 + 6000);
    machine(64);                                    /* overlapping: a pattern of 4 */
    memcpy(ram + DATA, "abcd", 4);
    cpu->r[R_ESI] = DATA;
    cpu->r[R_EDI] = DATA + 4;
    cpu->r[R_ECX] = 1000;
    g_assert_cmpint(RUN("\xf3\xa4"), ==, -1);
    for (unsigned k = 0; k < 1004; k++) {
        g_assert_cmpint(ram[DATA + k], ==, 'a' + k % 4);
    }
    machine(32);                                    /* std; rep stosd */
    memset(ram + DATA, 0, 8192);
    cpu->r[R_EAX] = 0x01020304;
    cpu->r[R_EDI] = DATA + 4096 + 8;
    cpu->r[R_ECX] = 5;
    g_assert_cmpint(RUN("\xfd\xf3\xab"), ==, -1);
    g_assert_cmphex(cpu->r[R_EDI], ==, DATA + 4096 - 12);
    g_assert_cmphex(ram[DATA + 4096 - 8], ==, 4);
    g_assert_cmphex(ram[DATA + 4096 - 9], ==, 0);
    g_assert_cmphex(ram[DATA + 4096 + 11], ==, 1);
    machine(64);                                    /* repne scasb */
    memset(ram + DATA, 'x', 5000);
    ram[DATA + 4500] = 0;
    cpu->r[R_EDI] = DATA;
    cpu->r[R_ECX] = ~0ull;
    g_assert_cmpint(RUN("\xf2\xae"), ==, -1);
    g_assert_cmphex(cpu->r[R_EDI], ==, DATA + 4501);
    g_assert_true(cpu->rflags & FL_ZF);
    machine(64);                                    /* repe cmpsb */
    memset(ram + DATA, 'x', 5000);
    memset(ram + DATA + 0x2000, 'x', 5000);
    ram[DATA + 0x2000 + 4500] = 'y';
    cpu->r[R_ESI] = DATA;
    cpu->r[R_EDI] = DATA + 0x2000;
    cpu->r[R_ECX] = 5000;
    g_assert_cmpint(RUN("\xf3\xa6"), ==, -1);
    g_assert_cmphex(cpu->r[R_ECX], ==, 499);
    g_assert_true(cpu->rflags & FL_CF);
    machine(16);                                    /* si wraps at 64 KiB */
    cpu->r[R_ESI] = 0xfffe;
    cpu->r[R_EDI] = 0x100;
    cpu->r[R_ECX] = 4;
    memcpy(ram + DATA + 0xfffe, "AB", 2);
    memcpy(ram + DATA, "CD", 2);
    g_assert_cmpint(RUN("\xf3\xa4"), ==, -1);
    g_assert_true(!memcmp(ram + DATA + 0x100, "ABCD", 4));
    g_assert_cmphex(cpu->r[R_ESI], ==, 2);
}

/* ---- INS, OUTS --------------------------------------------------------------------------------- */

/* A data port: reads count up, writes are kept; the `ask_at`th asks the vCPU for something. */
static struct {
    uint32_t reads, ask_at;
    GByteArray *got;
} port;

static uint64_t port_read(void *opaque, hwaddr addr, unsigned size)
{
    if (++port.reads == port.ask_at) {
        cpu_request(&cpu->cpu, CPU_REQ_TLB);
    }
    return port.reads;
}

static void port_write(void *opaque, hwaddr addr, uint64_t val, unsigned size)
{
    uint8_t le[4];

    st32_le(le, val);
    g_byte_array_append(port.got, le, size);
}

static const RegionOps port_ops = { .read = port_read, .write = port_write };

static void port_machine(int bits, uint32_t at, unsigned n)
{
    machine(bits);
    port.reads = 0;
    g_byte_array_set_size(port.got, 0);
    cpu->r[R_EDX] = 0x310;
    cpu->r[R_ESI] = cpu->r[R_EDI] = at;
    cpu->r[R_ECX] = n;
}

static void assert_counted(uint32_t at, unsigned size, unsigned first, unsigned n)
{
    for (unsigned k = 0; k < n; k++) {
        uint32_t v = ld32_le(ram + at + k * size) & (size == 4 ? 0xffffffff : (1u << 8 * size) - 1);
        g_assert_cmphex(v, ==, (first + k) & (size == 1 ? 0xff : 0xffff));
    }
}

static void test_ports(void)
{
    Region region;

    port.got = g_byte_array_new();
    region_init_io(&region, "port", 4, &port_ops, &port);
    region_map(system_io(), 0x310, &region, 0);
    port_machine(64, DATA + 0xc01, 1000);           /* rep insw, over a page end, odd */
    port.ask_at = 300;                              /* and interrupted */
    ram[DATA + 0xc01 + 2000] = 0x55;
    g_assert_cmpint(RUN("\xf3\x66\x6d"), ==, -1);
    assert_counted(DATA + 0xc01, 2, 1, 1000);
    g_assert_cmphex(ram[DATA + 0xc01 + 2000], ==, 0x55);
    g_assert_cmpuint(port.reads, ==, 1000);
    g_assert_cmphex(cpu->r[R_ECX], ==, 0);
    g_assert_cmphex(cpu->r[R_EDI], ==, DATA + 0xc01 + 2000);
    port.ask_at = 0;
    port_machine(32, DATA + 0x10, 3);               /* std; rep insd */
    g_assert_cmpint(RUN("\xfd\xf3\x6d"), ==, -1);
    g_assert_cmphex(ld32_le(ram + DATA + 0x10), ==, 1);
    g_assert_cmphex(ld32_le(ram + DATA + 0x8), ==, 3);
    g_assert_cmphex(cpu->r[R_EDI], ==, DATA + 4);
    port_machine(16, 0xfffc, 6);                    /* rep insb: di wraps */
    g_assert_cmpint(RUN("\xf3\x6c"), ==, -1);
    assert_counted(DATA + 0xfffc, 1, 1, 4);
    assert_counted(DATA, 1, 5, 2);
    g_assert_cmphex(cpu->r[R_EDI], ==, 2);
    port_machine(32, DATA, 100);                    /* insd up to a limit */
    set_seg(R_ES, 16, 0, DATA + 25, DESC_P | DESC_S | DESC_W | DESC_A | DESC_B);
    x86_update_mode(cpu);
    g_assert_cmpint(RUN("\xf3\x6d"), ==, EXC_GP);
    assert_counted(DATA, 4, 1, 6);
    g_assert_cmpuint(port.reads, ==, 6);
    g_assert_cmphex(cpu->r[R_ECX], ==, 94);
    port_machine(64, DATA + 0x900, 2000);           /* rep outsb, over a page end */
    for (unsigned k = 0; k < 2000; k++) {
        ram[DATA + 0x900 + k] = k * 5;
    }
    g_assert_cmpint(RUN("\xf3\x6e"), ==, -1);
    g_assert_cmpmem(port.got->data, port.got->len, ram + DATA + 0x900, 2000);
    g_assert_cmphex(cpu->r[R_ESI], ==, DATA + 0x900 + 2000);
    region_destroy(&region);
    g_byte_array_unref(port.got);
}

static void test_fault(void)
{
    machine(64);                                    /* ud2 */
    g_assert_cmpint(RUN("\x0f\x0b"), ==, EXC_UD);
    machine(64);                                    /* div by zero: rax stays */
    cpu->r[R_EAX] = 7;
    g_assert_cmpint(RUN("\xf7\xf3"), ==, EXC_DE);
    g_assert_cmphex(cpu->r[R_EAX], ==, 7);
    machine(64);                                    /* unmapped: push rax; add [rbx],eax */
    cpu->r[R_EBX] = 1ull << 40;
    g_assert_cmpint(RUN("\x50\x01\x03"), ==, EXC_PF);
    g_assert_cmphex(cpu->cr2, ==, 1ull << 40);
    /* the frame holds the address of the second instruction */
    uint64_t rip;
    address_space_read(&address_space_memory, cpu->r[R_ESP] + 8, &rip, 8);
    g_assert_cmphex(rip, ==, CODE + 1);
    machine(64);                                    /* not canonical */
    cpu->r[R_EBX] = 1ull << 50;
    g_assert_cmpint(RUN("\x8b\x03"), ==, EXC_GP);
    machine(64);                                    /* lock on a register: #UD */
    g_assert_cmpint(RUN("\xf0\x01\xd8"), ==, EXC_UD);
    machine(64);                                    /* 16 bytes: #GP; 15 are fine */
    g_assert_cmpint(RUN("\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x90"), ==, EXC_GP);
    machine(16);                                    /* word at 0xffff */
    cpu->r[R_EBX] = 0xffff;
    g_assert_cmpint(RUN("\x8b\x07"), ==, EXC_GP);
}

/* Code that changes itself: in the running block, and a called routine. */
static void test_smc(void)
{
    /* mov byte [rip+1],0x42 ; mov al,0x11 -> 42 */
    machine(64);
    g_assert_cmpint(RUN("\xc6\x05\x01\x00\x00\x00\x42\xb0\x11"), ==, -1);
    g_assert_cmphex(cpu->r[R_EAX], ==, 0x42);
    /* ecx = 10; again: inc byte [rip + imm of add]; add eax, imm8 ...; loop */
    machine(64);
    g_assert_cmpint(RUN("\xb9\x0a\x00\x00\x00\xfe\x05\x02\x00\x00\x00\x83\xc0\x00\xff\xc9\x75\xf3"), ==, -1);
    g_assert_cmphex(cpu->r[R_EAX], ==, 55);
    /* stores beside the code leave it alone */
    machine(64);
    g_assert_cmpint(RUN("\xb9\x0a\x00\x00\x00\xff\x05\xf5\x0f\x00\x00\x83\xc0\x02\xff\xc9\x75\xf3"), ==, -1);
    g_assert_cmphex(cpu->r[R_EAX], ==, 20);
    /* Instructions that wrote flags become such as read them: cmp eax, ecx sets CF; a store through
     * RBX makes ADC of what was ADD EAX, 1. */
    static const struct {
        const char *code;
        unsigned len, at, is;           /* at: the byte that becomes 15h; is: EAX then */
    } store[] = {
        { "\x39\xc8\xc6\x03\x15\x05\x01\0\0\0", 10, 5, 7 },              /* mov byte [rbx], 15h */
        { "\x39\xc8\x88\x13\x05\x01\0\0\0", 9, 4, 7 },                  /* mov [rbx], dl */
        { "\x39\xc8\x48\x89\xdf\x92\xaa\x92\x05\x01\0\0\0", 13, 8, 7 },  /* xchg eax, edx; stosb; xchg */
        { "\x39\xc8\x86\x13\x05\x01\0\0\0", 9, 4, 7 },                  /* xchg [rbx], dl */
        { "\x39\xc8\x66\x0f\xd6\x03\x05\x01\0\0\0", 11, 6, 7 },        /* movq [rbx], xmm0 */
        { "\x39\xc8\xff\x33\x8f\x03\x05\x01\0\0\0", 11, 6, 6 },        /* push, pop: as it was */
    };
    for (unsigned n = 0; n < G_N_ELEMENTS(store); n++) {
        machine(64);
        cpu->r[R_EAX] = 5;
        cpu->r[R_ECX] = 9;
        cpu->r[R_EDX] = 0x15;
        cpu->r[R_EBX] = CODE + store[n].at;
        memcpy(&cpu->v[0], "\x15\x01\0\0\0\xf4\0", 8);
        g_assert_cmpint(run_code(store[n].code, store[n].len), ==, -1);
        g_assert_cmphex(cpu->r[R_EAX], ==, store[n].is);
    }
    /* push: eight bytes below the stack pointer */
    machine(64);
    cpu->r[R_ECX] = 1;
    cpu->r[R_ESP] = CODE + 3 + 8;
    cpu->r[R_EDX] = 0xf4f40000000115ull;
    g_assert_cmpint(RUN("\x39\xc8\x52\x05\x01\x00\x00\x00"), ==, -1);
    g_assert_cmphex(cpu->r[R_EAX], ==, 2);
}

/* The same when the block was made while its page was mapped read-only. */
static void test_smc_remapped(void)
{
    static const uint8_t code[] = { 0x39, 0xc8, 0xc6, 0x03, 0x15, 0x05, 1, 0, 0, 0 };

    for (unsigned wp = 0; wp < 2; wp++) {
        machine(64);
        put64(TABLES + 0x1000, (TABLES + 0x2000) | 3);
        put64(TABLES + 0x2000, (TABLES + 0x3000) | 3);
        for (uint64_t n = 0; n < 512; n++) {
            put64(TABLES + 0x3000 + n * 8, n << 12 | 3);
        }
        put64(TABLES + 0x3000 + CODE / 4096 * 8, CODE | 1);
        cpu->cr0 |= CR0_WP;
        x86_tlb_flush(cpu);
        cpu->r[R_EAX] = 5;
        cpu->r[R_ECX] = 9;
        cpu->r[R_EBX] = DATA;
        g_assert_cmpint(run_code(code, sizeof(code)), ==, -1);
        g_assert_cmphex(cpu->r[R_EAX], ==, 6);
        if (wp) {
            cpu->cr0 &= ~(uint64_t)CR0_WP;
        } else {
            put64(TABLES + 0x3000 + CODE / 4096 * 8, CODE | 3);
        }
        x86_tlb_flush(cpu);
        cpu->rip = CODE;
        cpu->r[R_EAX] = 5;
        cpu->r[R_EBX] = CODE + 5;
        g_assert_cmpint(run_on(), ==, -1);
        g_assert_cmphex(cpu->r[R_EAX], ==, 7);
    }
}

/* In 64-bit mode an address that is not canonical raises #SS(0) where the access goes through SS,
 * else #GP(0) (SDM volume 1, 3.3.7.1; volume 3, chapter 6, interrupts 12 and 13). */
static void test_not_canonical(void)
{
    enum { BAD_SP = 1, BAD_BP = 2, BAD_BX = 4, BAD_SI = 8, BAD_DI = 16 };
    static const struct { const char *code; int len; unsigned bad; int exc; } cases[] = {
        { "\x50", 1, BAD_SP, EXC_SS },                              /* push rax */
        { "\x58", 1, BAD_SP, EXC_SS },                              /* pop rax */
        { "\x6a\x01", 2, BAD_SP, EXC_SS },                          /* push 1 */
        { "\x9c", 1, BAD_SP, EXC_SS },                              /* pushf */
        { "\x9d", 1, BAD_SP, EXC_SS },                              /* popf */
        { "\xe8\x00\x00\x00\x00", 5, BAD_SP, EXC_SS },              /* call */
        { "\xff\xd3", 2, BAD_SP, EXC_SS },                          /* call rbx */
        { "\xc3", 1, BAD_SP, EXC_SS },                              /* ret */
        { "\x48\xcf", 2, BAD_SP, EXC_SS },                          /* iretq */
        { "\x48\xcb", 2, BAD_SP, EXC_SS },                          /* retfq */
        { "\xc8\x10\x00\x00", 4, BAD_SP, EXC_SS },                  /* enter 16, 0 */
        { "\xc9", 1, BAD_BP, EXC_SS },                              /* leave */
        { "\x8b\x04\x24", 3, BAD_SP, EXC_SS },                      /* mov eax, [rsp] */
        { "\x89\x44\x24\x08", 4, BAD_SP, EXC_SS },                  /* mov [rsp + 8], eax */
        { "\x8b\x45\x00", 3, BAD_BP, EXC_SS },                      /* mov eax, [rbp] */
        { "\x01\x45\x00", 3, BAD_BP, EXC_SS },                      /* add [rbp], eax */
        { "\xf0\x01\x45\x00", 4, BAD_BP, EXC_SS },                  /* lock add [rbp], eax */
        { "\x0f\xa3\x45\x00", 4, BAD_BP, EXC_SS },                  /* bt [rbp], eax */
        { "\x41\x8b\x45\x00", 4, 0, -1 },                          /* mov eax, [r13] */
        { "\x0f\x10\x45\x00", 4, BAD_BP, EXC_SS },                  /* movups xmm0, [rbp] */
        { "\x0f\x11\x04\x24", 4, BAD_SP, EXC_SS },                  /* movups [rsp], xmm0 */
        { "\xdd\x45\x00", 3, BAD_BP, EXC_SS },                      /* fld qword [rbp] */
        { "\x0f\xae\x45\x00", 4, BAD_BP, EXC_SS },                  /* fxsave [rbp] */
        { "\xff\x75\x00", 3, BAD_BP, EXC_SS },                      /* push [rbp] */
        { "\x3e\x8b\x45\x00", 4, BAD_BP, EXC_SS },                  /* ds: has no effect */
        { "\x64\x8b\x45\x00", 4, BAD_BP, EXC_GP },                  /* mov eax, fs:[rbp] */
        { "\x8b\x44\x2b\x00", 4, BAD_BP, EXC_GP },                  /* mov eax, [rbx + rbp] */
        { "\x8b\x44\x1d\x00", 4, BAD_BX, EXC_SS },                  /* mov eax, [rbp + rbx] */
        { "\x8b\x03", 2, BAD_BX, EXC_GP },                          /* mov eax, [rbx] */
        { "\x8b\x03", 2, BAD_BX | BAD_SP | BAD_BP, EXC_GP },
        { "\x0f\x10\x03", 3, BAD_BX, EXC_GP },                      /* movups xmm0, [rbx] */
        { "\xff\x33", 2, BAD_BX, EXC_GP },                          /* push [rbx] */
        { "\xff\x33", 2, BAD_SP, EXC_SS },
        { "\x8f\x03", 2, BAD_BX, EXC_GP },                          /* pop [rbx] */
        { "\x8f\x03", 2, BAD_SP, EXC_SS },
        { "\xff\x13", 2, BAD_BX, EXC_GP },                          /* call [rbx] */
        { "\xa4", 1, BAD_SI, EXC_GP },                              /* movsb */
        { "\xaa", 1, BAD_DI, EXC_GP },                              /* stosb */
        { "\x36\xac", 2, BAD_SI, EXC_GP },                          /* lodsb; ss: has no effect */
    };
    for (unsigned k = 0; k < G_N_ELEMENTS(cases); k++) {
        const uint64_t bad = 1ull << 50;
        machine(64);
        cpu->tr = (Segment) { .sel = 24, .base = TSS, .limit = 0x67, .attr = DESC_P | 11 << 8 };
        put64(TSS + 0x24, STACK - 0x100);           /* IST1 */
        poke(IDT + EXC_SS * 16 + 4, "\1", 1);
        poke(IDT + EXC_GP * 16 + 4, "\1", 1);
        uint64_t b = cases[k].bad;
        cpu->r[R_ESP] = b & BAD_SP ? bad : STACK - 0x1000;
        cpu->r[R_EBP] = b & BAD_BP ? bad : STACK - 0x1000;
        cpu->r[R_EBX] = b & BAD_BX ? bad : b & BAD_BP ? 0 : DATA;
        cpu->r[R_ESI] = b & BAD_SI ? bad : DATA;
        cpu->r[R_EDI] = b & BAD_DI ? bad : DATA;
        cpu->r[13] = STACK - 0x1000;
        int exc = run_code(cases[k].code, cases[k].len);
        if (exc != cases[k].exc) {
            g_test_message("case %u: exception %d instead of %d", k, exc, cases[k].exc);
            g_test_fail();
            continue;
        }
        if (exc >= 0) {
            uint64_t frame[2];
            address_space_read(&address_space_memory, cpu->r[R_ESP], frame, 16);
            g_assert_cmphex(frame[0], ==, 0);
            g_assert_cmphex(frame[1], ==, CODE);
        }
    }
}

static void test_modes(void)
{
    machine(16);                                    /* mov eax, cr0; or al,1; mov cr0,eax ... */
    g_assert_cmpint(RUN("\x66\xb8\x78\x56\x34\x12"), ==, -1);
    g_assert_cmphex(cpu->r[R_EAX], ==, 0x12345678);
    machine(16);                                    /* mov ax,0x1234; mov ds,ax; mov bx,ds */
    g_assert_cmpint(RUN("\xb8\x34\x12\x8e\xd8\x8c\xdb"), ==, -1);
    g_assert_cmphex(cpu->r[R_EBX], ==, 0x1234);
    g_assert_cmphex(cpu->seg[R_DS].base, ==, 0x12340);
    machine(32);                                    /* int3 */
    g_assert_cmpint(RUN("\xcc"), ==, EXC_BP);
    machine(32);                                    /* pushf; pop eax; popf of TF: one step */
    g_assert_cmpint(RUN("\x9c\x81\x0c\x24\x00\x01\x00\x00\x9d\x90\x90\x90"), ==, EXC_DB);
    uint32_t eip;
    address_space_read(&address_space_memory, cpu->r[R_ESP], &eip, 4);
    g_assert_cmphex(eip, ==, CODE + 10);
}

/* One engine at a time: -m perf -p /x86/native/perf */
static void perf(void)
{
    static const struct { const char *name; const char *code; int len; unsigned per; } loops[] = {
        { "dec/jnz", "\xff\xc9\x75\xfc", 4, 2 },
        { "alu", "\x01\xc8\x31\xd8\x8d\x54\x08\x05\x21\xfa\xff\xc9\x75\xf2", 14, 6 },
        { "xorshift", "\x89\xc2\xc1\xe2\x0d\x31\xd0\x89\xc2\xc1\xea\x11\x31\xd0\x89\xc2\xc1\xe2\x05\x31\xd0\xff\xc9\x75\xe7", 25, 11 },
        { "load/store", "\x8b\x03\x01\xc8\x89\x43\x08\x8b\x53\x10\xff\xc9\x75\xf2", 14, 6 },
        { "rmw", "\x01\x0b\x83\x43\x08\x03\xff\xc9\x75\xf6", 10, 4 },
        { "call/ret", "\xe8\x06\x00\x00\x00\xff\xc9\x75\xf7\xeb\x01\xc3", 12, 4 },
        { "push/pop", "\x50\x53\x5b\x58\xff\xc9\x75\xf8", 8, 6 },
        { "x87", "\xdb\xe3\xd9\xe8\xd9\xe8\xd8\xc9\xd8\xc1\xff\xc9\x75\xf8", 14, 4 },
        { "cmp/jcc", "\x39\xc8\x72\x00\x39\xd8\x77\x00\xff\xc9\x75\xf4", 12, 6 },
    };
    for (unsigned k = 0; k < G_N_ELEMENTS(loops); k++) {
        machine(64);
        uint32_t n = 30000000;
        cpu->r[R_ECX] = n;
        cpu->r[R_EBX] = DATA;
        clock_t t = clock();
        run_code(loops[k].code, loops[k].len);
        t = clock() - t;
        g_print("%-12s %7.1f MIPS\n", loops[k].name, (double)n * loops[k].per / t * CLOCKS_PER_SEC / 1e6);
    }
}

static void set_up(TcgEngine engine)
{
    static Region r;
    Error *err = NULL;

    memory_init();
    g_assert_true(region_init_ram(&r, "test.ram", RAM_SIZE, &err));
    region_map(system_memory(), 0, &r, 0);
    ram = region_host(&r);
    tcg = accel_find("tcg");
    g_assert_nonnull(tcg);
    g_assert_true(tcg_engine_init(0, engine, &err));
    accel_current = tcg;
    cpu = x86_cpu_new("max", 0, &err);
    g_assert_no_error(err);
    cpu_set_current(&cpu->cpu);
    g_assert_true(tcg->cpu_create(&cpu->cpu, &err));
}

/* ---- main -------------------------------------------------------------------------------- */

static const struct { const char *name; void (*fn)(void); } tests[] = {
    { "alu", test_alu },
    { "loop", test_loop },
    { "stack", test_stack },
    { "memory", test_memory },
    { "string", test_string }, { "ports", test_ports },
    { "fault", test_fault },
    { "not-canonical", test_not_canonical },
    { "smc", test_smc },
    { "smc-remapped", test_smc_remapped },
    { "modes", test_modes },
    { "perf", perf },
};

/* A process has one engine: each test runs in a process of its own. */
static void run_test(unsigned n, TcgEngine engine)
{
    bool is_perf = tests[n].fn == perf;

    if (is_perf && !g_test_perf()) {
        g_test_skip("with -m perf only");
        return;
    }
    if (!is_perf && !g_test_subprocess()) {
        g_test_trap_subprocess(NULL, 0, G_TEST_SUBPROCESS_INHERIT_STDOUT |
                               G_TEST_SUBPROCESS_INHERIT_STDERR);
        g_test_trap_assert_passed();
        return;
    }
    bql_lock();
    set_up(engine);
    tests[n].fn();
}

static void run_interpreted(gconstpointer n)
{
    run_test(GPOINTER_TO_UINT(n), TCG_INTERP);
}

static void run_native(gconstpointer n)
{
    run_test(GPOINTER_TO_UINT(n), TCG_JIT);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (unsigned n = 0; n < G_N_ELEMENTS(tests); n++) {
        g_autofree char *interp = g_strdup_printf("/x86/interpreter/%s", tests[n].name);
        g_autofree char *native = g_strdup_printf("/x86/native/%s", tests[n].name);
        g_test_add_data_func(interp, GUINT_TO_POINTER(n), run_interpreted);
        if (HAS_NATIVE) {
            g_test_add_data_func(native, GUINT_TO_POINTER(n), run_native);
        }
    }
    return g_test_run();
}
