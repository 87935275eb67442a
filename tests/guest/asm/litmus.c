/* SPDX-License-Identifier: MIT */
/*
 * What two processors (four, for one test) may see of each other: order of stores and loads,
 * locked instructions within a cache line, across lines and across pages, code that the other
 * processor writes, and TLB entries after the other one changed the page table.
 *
 * A Multiboot kernel, 32-bit.  Each test is a round function that the processors run; its
 * name and "ok" or "BAD" go to the debug console at port E9h, "." at the end.
 *
 * Command line: rounds=N (20000), cpus=4 where there are as many.
 *
 * Sources: SDM 3A 9.1 (locked operations), 9.1.3 (self- and cross-modifying code), 9.2 (memory
 * ordering), 9.4.4 (starting processors), 4.10.5 (TLB shoot-down).
 */
typedef unsigned char u8;
typedef unsigned int u32;
typedef unsigned long long u64;

static u32 rounds = 20000, cpus = 2;
#define ROUNDS rounds

__attribute__((section(".multiboot"), used, aligned(4)))
static const u32 multiboot[] = { 0x1badb002, 0, -0x1badb002u };

/* ---- the machine ---------------------------------------------------------------------------- */

static inline void outb(u32 port, u8 v)
{
    __asm__ volatile("outb %0, %w1" : : "a"(v), "d"(port));
}
static inline void spin(void)
{
    __asm__ volatile("pause" : : : "memory");
}
static inline void serialize(void)
{
    u32 a = 0, b, c = 0, d;
    __asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d) : : "memory");
}
static void tell(const char *s)
{
    while (*s) {
        outb(0xe9, *s++);
    }
}

/* On lines of their own. */
#define SHARED __attribute__((aligned(128))) static volatile
SHARED u32 x;
SHARED u32 y;
SHARED u32 arrived[4];
SHARED u32 failed;
SHARED u32 started;
SHARED u32 alive;

/* Both wait here for each other. */
static void meet(int me)
{
    u32 n = arrived[me] + 1;
    arrived[me] = n;
    while (arrived[!me] < n) {
        spin();
    }
}

/* All four do. */
static void meet_all(int me)
{
    u32 n = arrived[me] + 1;
    arrived[me] = n;
    for (u32 k = 0; k < 4; k++) {
        while (arrived[k] < n) {
            spin();
        }
    }
}

static void expect(int ok)
{
    if (!ok) {
        failed = 1;
    }
}

/* ---- order ------------------------------------------------------------------------------------ */

/* Who sees the second store sees the first. */
static void message_passing(int me)
{
    static u32 last;
    x = y = 0;
    meet(me);
    for (u32 n = 1; me == 0 && n <= 20 * ROUNDS; n++) {
        x = n;
        __asm__ volatile("" : : : "memory");
        y = n;
    }
    while (me == 1 && last < 20 * ROUNDS) {
        u32 second = y;
        __asm__ volatile("" : : : "memory");
        u32 first = x;
        expect(first >= second && second >= last);
        last = second;
    }
}

/* Two processors can't both miss the other's store if each drains its own first. */
static u32 saw[2];
#define STORE_BUFFERING(name, drain)                                        \
    static void name(int me)                                                \
    {                                                                       \
        volatile u32 *mine = me ? &y : &x, *other = me ? &x : &y;           \
        for (u32 n = 0; n < ROUNDS; n++) {                                  \
            *mine = 0;                                                      \
            meet(me);                                                       \
            u32 r, one = 1;                                                 \
            __asm__ volatile(drain "; movl %4, %0"                          \
                             : "=&r"(r), "+m"(*mine), "+r"(one), "+m"(saw[me]) : "m"(*other)  \
                             : "memory");                                   \
            saw[me] = r;                                                    \
            meet(me);                                                       \
            expect(saw[0] | saw[1]);                                        \
            meet(me);                                                       \
        }                                                                   \
    }
STORE_BUFFERING(store_buffering_xchg, "xchgl %2, %1")
STORE_BUFFERING(store_buffering_lock, "movl %2, %1; lock; orl $0, %3")
STORE_BUFFERING(store_buffering_mfence, "movl %2, %1; mfence")

/* A load can't see a store that waits for what is behind the load. */
static void load_buffering(int me)
{
    for (u32 n = 0; n < ROUNDS; n++) {
        if (me == 0) {
            x = y = 0;
        }
        meet(me);
        u32 r;
        if (me) {
            __asm__ volatile("movl %1, %0; movl $1, %2" : "=&r"(r) : "m"(x), "m"(y) : "memory");
        } else {
            __asm__ volatile("movl %1, %0; movl $1, %2" : "=&r"(r) : "m"(y), "m"(x) : "memory");
        }
        saw[me] = r;
        meet(me);
        expect(!(saw[0] && saw[1]));
        meet(me);
    }
}

/* Stores of each arrive in order: the first ones can't both be last. */
static void two_and_two(int me)
{
    for (u32 n = 0; n < ROUNDS; n++) {
        if (me == 0) {
            x = y = 0;
        }
        meet(me);
        if (me) {
            __asm__ volatile("movl $1, %1; movl $2, %0" : "=m"(x), "=m"(y) : : "memory");
        } else {
            __asm__ volatile("movl $1, %0; movl $2, %1" : "=m"(x), "=m"(y) : : "memory");
        }
        meet(me);
        expect(!(x == 1 && y == 1));
        meet(me);
    }
}

/* 2 and 3 can't see the stores of 0 and 1 in different orders. */
static void readers_agree(int me)
{
    static volatile u32 first[4], second[4];
    for (u32 n = 1; n <= ROUNDS; n++) {
        meet_all(me);
        if (me < 2) {
            *(me ? &y : &x) = n;
        } else {
            u32 a, b;
            __asm__ volatile("movl %2, %0; movl %3, %1" : "=&r"(a), "=&r"(b)
                             : "m"(*(me == 2 ? &x : &y)), "m"(*(me == 2 ? &y : &x)) : "memory");
            first[me] = a;
            second[me] = b;
        }
        meet_all(me);
        expect(!(first[2] == n && second[2] < n && first[3] == n && second[3] < n));
        meet_all(me);
    }
}

/* ---- locked instructions ------------------------------------------------------------------------ */

static u8 area[3 * 4096] __attribute__((aligned(4096)));

#define COUNT(n, insn, at)                                                  \
    do {                                                                    \
        volatile u32 *p_ = (volatile u32 *)(at);                            \
        if (me == 0) {                                                      \
            *p_ = 0;                                                        \
        }                                                                   \
        meet(me);                                                           \
        for (u32 k = 0; k < (n); k++) {                                     \
            u32 one_ = 1;                                                   \
            __asm__ volatile(insn : "+m"(*p_), "+r"(one_)                   \
                             : : "memory", "eax", "ecx");                   \
        }                                                                   \
        meet(me);                                                           \
        expect(*p_ == 2 * (n));                                             \
        meet(me);                                                           \
    } while (0)

static void locked(int me)
{
    COUNT(10 * ROUNDS, "lock; incl %0", area + 64);
    COUNT(10 * ROUNDS, "lock; xaddl %1, %0", area + 64);
    COUNT(10 * ROUNDS, "lock; addl %1, %0", area + 64);
    COUNT(10 * ROUNDS, "lock; subl $-1, %0", area + 64);
}

static void locked_split(int me)
{
    COUNT(ROUNDS / 10, "lock; incl %0", area + 62);         /* two lines */
    COUNT(ROUNDS / 10, "lock; xaddl %1, %0", area + 61);
    COUNT(ROUNDS / 10, "lock; addl %1, %0", area + 4094);   /* two pages */
    COUNT(ROUNDS / 10, "movl %0, %%eax; 1: leal 1(%%eax), %%ecx; lock; cmpxchgl %%ecx, %0; jne 1b",
          area + 4093);
}

/* One counts in a dword that the other changes through another, split, operand. */
static void locked_mixed(int me)
{
    volatile u32 *p = (volatile u32 *)(area + 4096);
    volatile u8 *split = area + 4093;           /* its last byte is the dword's first */
    if (me == 0) {
        *p = 0;
        *(volatile u32 *)split = 0;
    }
    meet(me);
    for (u32 k = 0; k < ROUNDS / 10; k++) {
        if (me) {
            __asm__ volatile("lock; addl $0x01000000, %0" : "+m"(*(volatile u32 *)split) : : "memory");
        } else {
            __asm__ volatile("lock; addl $0x100, %0" : "+m"(*p) : : "memory");
        }
    }
    meet(me);
    expect((*p & 0xff) == (ROUNDS / 10 & 0xff) && *p >> 8 == ROUNDS / 10);
    meet(me);
}

/* Spin locks by XCHG and by CMPXCHG, and a pair of words by CMPXCHG8B. */
static void locked_sections(int me)
{
    static volatile u32 first, second;
    if (me == 0) {
        first = second = x = y = 0;
    }
    meet(me);
    for (u32 k = 0; k < ROUNDS; k++) {
        u32 v = 1;
        do {
            __asm__ volatile("xchgl %0, %1" : "+r"(v), "+m"(x) : : "memory");
        } while (v);
        first++;
        __asm__ volatile("" : : : "memory");
        x = 0;
        u32 old;
        do {
            __asm__ volatile("lock; cmpxchgl %2, %1" : "=a"(old), "+m"(y) : "r"(1), "0"(0) : "memory");
        } while (old);
        second++;
        __asm__ volatile("" : : : "memory");
        y = 0;
    }
    meet(me);
    expect(first == 2 * ROUNDS && second == 2 * ROUNDS);
    meet(me);
    volatile u64 *pair = (volatile u64 *)(area + 128);
    if (me == 0) {
        *pair = 0;
    }
    meet(me);
    for (u32 k = 0; k < ROUNDS; k++) {
        u32 lo = 0, hi = 0;
        u8 done;
        do {
            u32 nlo = lo + 1, nhi = hi - 1;
            __asm__ volatile("lock; cmpxchg8b %1; sete %0"
                             : "=q"(done), "+m"(*pair), "+a"(lo), "+d"(hi)
                             : "b"(nlo), "c"(nhi) : "memory", "cc");
        } while (!done);
    }
    meet(me);
    expect((u32)*pair == 2 * ROUNDS && (u32)(*pair >> 32) == -2u * ROUNDS);
    meet(me);
}

/* ---- code --------------------------------------------------------------------------------------- */

static u8 code[2 * 4096] __attribute__((aligned(4096)));

/* A function that returns n, in one of three shapes. */
static void write_function(u8 *at, u32 n, u32 shape)
{
    u32 k = 0;
    if (shape == 1) {
        at[k++] = 0x90;
    } else if (shape == 2) {
        at[k++] = 0x31;                         /* xor eax, eax */
        at[k++] = 0xc0;
    }
    at[k++] = shape == 2 ? 0x05 : 0xb8;         /* add or mov eax, imm32 */
    *(volatile u32 *)(at + k) = n;
    at[k + 4] = 0xc3;
}
static u32 call(u8 *at)
{
    u32 r;
    __asm__ volatile("call *%1" : "=a"(r) : "r"(at) : "memory", "ecx", "edx");
    return r;
}

/* Its own: seen at the next call, and by the next instruction. */
static void self_modifying(int me)
{
    u8 *at = code + 4096 * me;
    for (u32 n = 0; n < ROUNDS; n++) {
        write_function(at, n, n % 7 == 0 ? n / 7 % 3 : 0);
        expect(call(at) == n);
    }
    for (u32 n = 0; n < ROUNDS; n++) {
        /* mov [next], ecx; next: mov eax, imm32; ret */
        static const u8 body[] = { 0x89, 0x0d, 0, 0, 0, 0, 0xb8, 0, 0, 0, 0, 0xc3 };
        u32 r;
        if (n == 0) {
            for (u32 k = 0; k < sizeof(body); k++) {
                at[256 + k] = body[k];
            }
            *(u32 *)(at + 258) = (u32)(at + 256 + 7);
        }
        __asm__ volatile("call *%1" : "=a"(r) : "r"(at + 256), "c"(n) : "memory");
        expect(r == n);
    }
    meet(me);
}

/* The other's: seen after a serializing instruction. */
static void cross_modifying(int me)
{
    x = y = 0;
    meet(me);
    for (u32 n = 1; n <= ROUNDS; n++) {
        if (me == 0) {
            write_function(code, n, n % 3);
            x = n;
            while (y != n) {
                spin();
            }
        } else {
            while (x != n) {
                spin();
            }
            serialize();
            expect(call(code) == n);
            y = n;
        }
    }
    meet(me);
}

/* One byte changes under the other's feet: either is what it was or what it is. */
static void cross_modifying_byte(int me)
{
    x = 0;
    if (me == 0) {
        write_function(code, 0x11223344, 1);
    }
    meet(me);
    for (u32 n = 0; me == 0 && n < ROUNDS; n++) {
        ((volatile u8 *)code)[0] = n & 1 ? 0x90 : 0xf8;     /* nop, clc */
        ((volatile u8 *)code)[2] = n & 1 ? 0x44 : 0x55;     /* lowest byte of the constant */
    }
    if (me == 0) {
        x = 1;
    }
    while (me == 1 && !x) {
        u32 r = call(code);
        expect(r == 0x11223344 || r == 0x11223355);
    }
    serialize();
    expect(call(code) == 0x11223344);
    meet(me);
}

/* ---- paging ---------------------------------------------------------------------------------------- */

#define WINDOW ((volatile u32 *)0x40000000)
static u32 directory[1024] __attribute__((aligned(4096)));
static u32 table[1024] __attribute__((aligned(4096)));
static volatile u32 page[2][1024] __attribute__((aligned(4096)));

static void paging_on(void)
{
    u32 cr;
    __asm__ volatile("mov %%cr4, %0; or $0x10, %0; mov %0, %%cr4; mov %1, %%cr3;"
                     "mov %%cr0, %0; or $0x80010000, %0; mov %0, %%cr0"
                     : "=&r"(cr) : "r"(directory) : "memory");
}
static void paging_off(void)
{
    u32 cr;
    __asm__ volatile("mov %%cr0, %0; and $0x7fffffff, %0; mov %0, %%cr0" : "=r"(cr) : : "memory");
}
static inline void invlpg(volatile void *p)
{
    __asm__ volatile("invlpg (%0)" : : "r"(p) : "memory");
}

/* 0 exchanges the page under 1's reads, waits for its acknowledgement, spoils the old one. */
static void shoot_down(int me)
{
    if (me == 0) {
        for (u32 k = 0; k < 1024; k++) {
            directory[k] = k << 22 | 0x83;
        }
        directory[(u32)WINDOW >> 22] = (u32)table | 3;
        page[0][0] = 1;
        table[0] = (u32)page[0] | 3;
        x = y = 0;
    }
    meet(me);
    paging_on();
    for (u32 n = 1; me == 0 && n <= ROUNDS / 4; n++) {
        page[n & 1][0] = n + 1;
        *(volatile u32 *)&table[0] = (u32)page[n & 1] | 3;
        invlpg(WINDOW);
        x = n;
        while (y != n) {
            spin();
        }
        page[!(n & 1)][0] = 0;
        expect(*WINDOW == n + 1);
    }
    for (u32 k = 1; me == 1 && y != ROUNDS / 4; k++) {
        u32 want = x, v;
        if (!(k & 63)) {
            spin();                 /* they may have one thread to run in */
        }
        if (want != y) {
            invlpg(WINDOW);
            y = want;
        }
        v = *WINDOW;
        expect(v == want + 1 || v == want + 2);     /* 0 may be one page further already */
    }
    paging_off();
    meet(me);
}

/* ---- running them ------------------------------------------------------------------------------------ */

static const struct {
    const char *name;
    void (*run)(int me);
} tests[] = {
    { "message passing", message_passing },
    { "store buffering, xchg", store_buffering_xchg },
    { "store buffering, lock", store_buffering_lock },
    { "store buffering, mfence", store_buffering_mfence },
    { "load buffering", load_buffering },
    { "two stores each", two_and_two },
    { "locked", locked },
    { "locked across lines and pages", locked_split },
    { "locked, overlapping", locked_mixed },
    { "locked sections", locked_sections },
    { "self-modifying code", self_modifying },
    { "cross-modifying code", cross_modifying },
    { "cross-modifying byte", cross_modifying_byte },
    { "shoot-down", shoot_down },
};
#define TESTS (sizeof(tests) / sizeof(tests[0]))

static void verdict(const char *name)
{
    tell(name);
    tell(failed ? ": BAD\n" : ": ok\n");
    failed = 0;
}

static void run_all(int me)
{
    if (cpus == 4) {
        readers_agree(me);
        if (me > 1) {
            return;
        }
        if (me == 0) {
            verdict("readers agree");
        }
    }
    for (u32 k = 0; k < TESTS; k++) {
        meet(me);
        tests[k].run(me);
        meet(me);
        if (me == 0) {
            verdict(tests[k].name);
        }
        meet(me);
    }
}

/* Begins in real mode at 8000h. */
extern const u8 trampoline[], trampoline_end[];
__asm__(
    ".pushsection .rodata\n"
    ".code16\n"
    ".global trampoline, trampoline_end\n"
    "trampoline:\n"
    "    cli\n"
    "    xor %ax, %ax\n"
    "    mov %ax, %ds\n"
    "    lgdtl 0x8000 + gdt_pointer - trampoline\n"
    "    mov %cr0, %eax\n"
    "    or $1, %al\n"
    "    mov %eax, %cr0\n"
    "    ljmpl $8, $other_start\n"
    "    .align 8\n"
    "gdt: .quad 0, 0x00cf9b000000ffff, 0x00cf93000000ffff\n"
    "gdt_pointer: .word 23; .long 0x8000 + gdt - trampoline\n"
    "trampoline_end:\n"
    ".popsection\n"
    ".code32\n"
    ".text\n"
    "other_start:\n"
    "    mov $16, %ax\n"
    "    mov %ax, %ds\n"
    "    mov %ax, %es\n"
    "    mov %ax, %ss\n"
    "    mov $1, %eax\n"
    "    lock; xadd %eax, alive\n"
    "    inc %eax\n"
    "    cmp cpus, %eax\n"
    "    jae 2f\n"
    "    mov %eax, %ecx\n"
    "    shl $14, %ecx\n"
    "    lea other_stack(%ecx), %esp\n"
    "    push %eax\n"
    "    call other_main\n"
    "2:  cli; hlt; jmp 2b\n"
    ".global _start\n"
    "_start:\n"
    "    mov $boot_stack + 16384, %esp\n"
    "    push %ebx\n"
    "    call boot_main\n"
    "3:  cli; hlt; jmp 3b\n");
static u8 boot_stack[16384] __attribute__((aligned(16), used));
static u8 other_stack[3 * 16384] __attribute__((aligned(16), used));

__attribute__((used)) static void other_main(u32 number)
{
    __asm__ volatile("lock; incl %0" : "+m"(started));
    run_all(number);
}

/* NAME=N on the command line. */
static void option(const char *line, const char *name, u32 *value)
{
    for (; *line; line++) {
        u32 k = 0;
        while (name[k] && line[k] == name[k]) {
            k++;
        }
        if (!name[k]) {
            *value = 0;
            for (line += k; *line >= '0' && *line <= '9'; line++) {
                *value = *value * 10 + *line - '0';
            }
            return;
        }
    }
}

__attribute__((used)) static void boot_main(const u32 *info)
{
    if (info[0] & 4) {                          /* flags, command line */
        option((const char *)info[4], "rounds=", &rounds);
        option((const char *)info[4], "cpus=", &cpus);
    }
    volatile u32 *icr = (volatile u32 *)0xfee00300;
    for (u32 k = 0; trampoline + k < trampoline_end; k++) {
        ((volatile u8 *)0x8000)[k] = trampoline[k];
    }
    *(volatile u32 *)0xfee000f0 = 0x1ff;        /* the APIC is on */
    *icr = 0xc4500;                             /* INIT to all others */
    for (u32 k = 0; k < 20000; k++) {
        outb(0x80, 0);
    }
    *icr = 0xc4608;                             /* SIPI, 8000h */
    while (started < cpus - 1) {
        spin();
    }
    run_all(0);
    tell(".");
}
