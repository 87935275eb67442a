/* SPDX-License-Identifier: MIT */
/*
 * What virtio disks do for a guest that is nothing but a driver: for tests/bench/disks.py --bare.
 * Boots from the first sector of a disk and stays in real mode: it starts at once however slow the
 * host's KVM is.  All it works on is below 1 MiB.
 *
 * Each virtio-blk device, in the order of its slot, first proves that it keeps what is written, then
 * gets four loads, each with 8 requests under way, no interrupts: sequential reads and writes of
 * 64 KiB, random ones of 4 KiB.  The debug console at E9h is told "start DISK LOAD" and
 * "done REQUESTS TICKS" of the ACPI timer (3.579545 MHz), "error" where something failed, and "end";
 * then the machine is switched off.
 *
 * Sources: VIRTIO 1.2, 2.7 (split queues), 4.1.4.10 and 5.2 (legacy registers, requests);
 * PIIX4 data sheet, 7.3 (PMBASE 600h is firmware's choice).
 */
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;

#define DEPTH       8
#define QUEUE       0x1000              /* three pages, for up to 256 entries */
#define BUFFERS     0x10000             /* DEPTH of 64 KiB */
#define TIMER       0x608
#define FLUSH       (1u << 9)           /* VIRTIO_BLK_F_FLUSH */
#define POWER       0x604
#define SECTORS     (256u << 11)        /* the images have 256 MiB */

/* The first sector loads the others behind itself.  Its last word but one: milliseconds of a load. */
__asm__(".code16\n"
        ".section .start,\"ax\"\n"
        ".globl _start\n"
        "_start: ljmp $0, $1f\n"
        "1:      xorw %ax, %ax\n"
        "        movw %ax, %ds\n"
        "        movw %ax, %es\n"
        "        movw %ax, %ss\n"
        "        movl $0x7c00, %esp\n"
        "        movw $0x7e00, %bx\n"
        "        movw $0x0210, %ax\n"
        "        movw $2, %cx\n"
        "        xorb %dh, %dh\n"
        "        int $0x13\n"
        "        cli\n"
        "        cld\n"
        "        jc 2f\n"
        "        calll guest_main\n"
        "2:      hlt\n"
        "        jmp 2b\n"
        "        .org 508\n"
        "milliseconds: .word 1000\n"
        "        .word 0xaa55\n"
        ".text\n");
extern const volatile u16 milliseconds;

typedef struct Desc {
    u32 addr, high, len;
    u16 flags, next;
} Desc;
typedef struct Avail {
    u16 flags, idx, ring[];
} Avail;
typedef struct Used {
    u16 flags, idx;
    struct {
        u32 id, len;
    } ring[];
} Used;
typedef struct Header {
    u32 type, zero, sector, high;
} Header;

typedef struct Load {
    const char *name;
    u32 write, sequential;
} Load;

static const Load loads[] = { { "seq-read", 0, 1 }, { "rand-read", 0, 0 },
                              { "seq-write", 1, 1 }, { "rand-write", 1, 0 } };
static Header header[DEPTH];
static volatile u8 status[DEPTH];
static u32 io, size, at, seed;
static u16 seen;
static Desc *desc;
static volatile Avail *avail;
static volatile Used *used;

/* ---- the machine ---------------------------------------------------------------------------- */

static inline void outb(u32 port, u8 v)
{
    __asm__ volatile("outb %0, %w1" : : "a"(v), "d"(port) : "memory");
}
static inline void outw(u32 port, u16 v)
{
    __asm__ volatile("outw %0, %w1" : : "a"(v), "d"(port) : "memory");
}
static inline void outl(u32 port, u32 v)
{
    __asm__ volatile("outl %0, %w1" : : "a"(v), "d"(port) : "memory");
}
static inline u16 inw(u32 port)
{
    u16 v;
    __asm__ volatile("inw %w1, %0" : "=a"(v) : "d"(port) : "memory");
    return v;
}
static inline u32 inl(u32 port)
{
    u32 v;
    __asm__ volatile("inl %w1, %0" : "=a"(v) : "d"(port) : "memory");
    return v;
}
static inline void fence(void)
{
    __asm__ volatile("lock; addl $0, (%%esp)" : : : "memory");
}

/* One word of a buffer, which real mode reaches by a segment only. */
static u32 peek(u32 addr)
{
    u32 v;
    __asm__ volatile("movw %w1, %%fs\n\tmovl %%fs:(%2), %0"
                     : "=r"(v) : "r"(addr >> 4), "r"(addr & 15) : "memory");
    return v;
}
static void poke(u32 addr, u32 v)
{
    __asm__ volatile("movw %w1, %%fs\n\tmovl %0, %%fs:(%2)"
                     : : "r"(v), "r"(addr >> 4), "r"(addr & 15) : "memory");
}

static void tell(const char *s)
{
    while (*s) {
        outb(0xe9, *s++);
    }
}

static void tell_number(u32 n)
{
    char text[12], *p = text + sizeof(text) - 1;

    *p = 0;
    do {
        *--p = '0' + n % 10;
        n /= 10;
    } while (n);
    tell(p);
    tell(" ");
}

static u32 pci(u32 slot, u32 reg)
{
    outl(0xcf8, 0x80000000u | slot << 11 | reg);
    return inl(0xcfc);
}

/* ---- the driver ----------------------------------------------------------------------------- */

static int start_disk(u32 slot)
{
    if (pci(slot, 0) != 0x10011af4) {
        return 0;
    }
    io = pci(slot, 0x10) & ~3u;
    u32 command = pci(slot, 4);
    outl(0xcfc, (command & 0xffff) | 5);        /* I/O, bus master */
    outb(io + 18, 0);
    outb(io + 18, 3);
    outl(io + 4, inl(io) & FLUSH);      /* else each write would be followed by a flush */
    outw(io + 14, 0);
    size = inw(io + 12);
    desc = (Desc *)QUEUE;
    avail = (volatile Avail *)(QUEUE + 16 * size);
    used = (volatile Used *)((QUEUE + 18 * size + 6 + 4095) & ~4095u);
    for (u32 i = 0; i < 0x3000; i += 4) {
        *(volatile u32 *)(QUEUE + i) = 0;
    }
    avail->flags = 1;                   /* no interrupts */
    seen = 0;
    outl(io + 8, QUEUE >> 12);
    outb(io + 18, 7);
    return size && size <= 256;
}

static void send(const Load *l, u32 i)
{
    u32 sectors = l->sequential ? 128 : 8;
    Desc *d = desc + 3 * i;

    if (l->sequential) {
        at = (at + sectors) & (SECTORS - sectors);
    } else {
        seed = seed * 1664525 + 1013904223;
        at = (seed >> 8) & (SECTORS - 8);
    }
    header[i] = (Header) { l->write, 0, at, 0 };
    status[i] = 0xff;
    d[0] = (Desc) { (u32)&header[i], 0, sizeof(Header), 1, 3 * i + 1 };
    d[1] = (Desc) { BUFFERS + (i << 16), 0, sectors << 9, l->write ? 1 : 3, 3 * i + 2 };
    d[2] = (Desc) { (u32)&status[i], 0, 1, 2, 0 };
    avail->ring[avail->idx & (size - 1)] = 3 * i;
    fence();
    avail->idx = avail->idx + 1;
}

static void kick(void)
{
    fence();
    if (!(used->flags & 1)) {
        outw(io + 16, 0);
    }
}

/* How many were done; each is sent again, if wanted. */
static u32 reap(const Load *l, int again)
{
    u32 n = 0;

    while (used->idx != seen) {
        fence();
        u32 i = used->ring[seen++ & (size - 1)].id / 3;
        if (status[i]) {
            tell("error\n");
        }
        n++;
        if (again) {
            send(l, i);
        }
    }
    if (n && again) {
        kick();
    }
    return n;
}

static u32 run(const Load *l, u32 ticks, u32 *took)
{
    u32 done = 0, left = DEPTH, last = inl(TIMER), look = 64;

    for (u32 i = 0; i < DEPTH; i++) {
        send(l, i);
    }
    kick();
    *took = 0;
    while (*took < ticks) {
        done += reap(l, 1);
        if (done >= look) {             /* (a port access costs, too) */
            u32 now = inl(TIMER);
            *took += (now - last) & 0xffffff;
            last = now;
            look = done + 64;
        }
    }
    while (left) {
        left -= reap(l, 0);
    }
    return done;
}

/* DEPTH requests of 64 KiB at the disk's begin. */
static void once(const Load *l)
{
    at = SECTORS - 128;
    for (u32 i = 0; i < DEPTH; i++) {
        send(l, i);
    }
    kick();
    for (u32 left = DEPTH; left; ) {
        left -= reap(l, 0);
    }
}

/* Is what comes back what was written? */
static void prove(u32 disk)
{
    for (u32 i = 0; i < DEPTH << 16; i += 4) {
        poke(BUFFERS + i, (i + disk) * 2654435761u);
    }
    once(&loads[2]);
    for (u32 i = 0; i < DEPTH << 16; i += 4) {
        poke(BUFFERS + i, 0);
    }
    once(&loads[0]);
    for (u32 i = 0; i < DEPTH << 16; i += 4) {
        if (peek(BUFFERS + i) != (i + disk) * 2654435761u) {
            tell("error\n");
            return;
        }
    }
}

__attribute__((used)) void guest_main(void)
{
    u32 disk = 0, ticks = 3580 * (u32)milliseconds, took;

    for (u32 slot = 0; slot < 32; slot++) {
        if (!start_disk(slot)) {
            continue;
        }
        prove(disk);
        for (u32 k = 0; k < sizeof(loads) / sizeof(loads[0]); k++) {
            run(&loads[k], ticks / 3, &took);
            tell("start ");
            tell_number(disk);
            tell(loads[k].name);
            tell("\n");
            u32 done = run(&loads[k], ticks, &took);
            tell("done ");
            tell_number(done);
            tell_number(took);
            tell("\n");
        }
        outb(io + 18, 0);
        disk++;
    }
    tell("end\n");
    outw(POWER, 0x2000);                /* S5 */
}
