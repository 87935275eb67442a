/* SPDX-License-Identifier: MIT */
/*
 * A vCPU with memory but no board: see x86-test.h.
 */
#include "tests/unit/x86-test.h"

#include "accel/tcg/block.h"
#include "migration/vmstate.h"
#include "util/rcu.h"

uint8_t *ram;
X86CPU *cpu;

void x86_test_init(void)
{
    static Region region;
    Error *err = NULL;

    rcu_register_thread();
    bql_lock();
    memory_begin();
    region_init_ram(&region, "ram", RAM_SIZE, &err);
    g_assert_no_error(err);
    region_map(system_memory(), 0, &region, 0);
    memory_commit();
    ram = region_host(&region);
    accel_current = accel_find("tcg");
    if (!block_base) {              /* else the test has chosen the engine */
        g_assert_true(accel_current->init(NULL, NULL, &err));
    }
    cpu = x86_cpu_new("max,vendor=GenuineIntel", 0, &err);
    g_assert_no_error(err);
    cpu_set_current(&cpu->cpu);
    g_assert_true(accel_current->cpu_create(&cpu->cpu, &err));
    bql_unlock();
}

void x86_test_reset(void)
{
    memset(ram, 0, RAM_SIZE);
    bql_lock();
    x86_cpu_reset(cpu);
    bql_unlock();
}

bool x86_test_deliver(void)
{
    /* Every unwind comes back here with the next exception. */
    sigsetjmp(cpu->cpu.jmp, 0);
    return cpu->exc_vector < 0 || x86_deliver(cpu);
}

void put_desc(uint32_t at, uint32_t base, uint32_t limit, uint32_t attr)
{
    st32_le(ram + at, (base & 0xffff) << 16 | (limit & 0xffff));
    st32_le(ram + at + 4, (base & 0xff000000) | attr | (limit & 0xf0000) | (base >> 16 & 0xff));
}

void put_gate(uint32_t at, uint16_t sel, uint32_t off, uint32_t attr, unsigned params)
{
    st32_le(ram + at, (uint32_t)sel << 16 | (off & 0xffff));
    st32_le(ram + at + 4, (off & 0xffff0000) | attr | params);
}

void put_gate64(uint32_t at, uint16_t sel, uint64_t off, uint32_t attr, unsigned ist)
{
    put_gate(at, sel, off, attr, ist);
    st64_le(ram + at + 8, off >> 32);
}

static void set_seg(int reg, uint16_t sel)
{
    Segment *s = &cpu->seg[reg];
    uint32_t lo = mem32(GDT + (sel & ~7)), hi = mem32(GDT + (sel & ~7) + 4);

    s->sel = sel;
    s->base = lo >> 16 | (hi & 0xff) << 16 | (hi & 0xff000000);
    s->limit = (lo & 0xffff) | (hi & 0xf0000);
    if (hi & DESC_G) {
        s->limit = s->limit << 12 | 0xfff;
    }
    s->attr = (hi & 0x00f0ff00) | DESC_A;
}

static void common_tables(void)
{
    put_desc(GDT + CODE0, 0, 0xfffff, DESC_CODE32 | DPL(0));
    put_desc(GDT + DATA0, 0, 0xfffff, DESC_DATA32 | DPL(0));
    put_desc(GDT + (CODE3 & ~7), 0, 0xfffff, DESC_CODE32 | DPL(3));
    put_desc(GDT + (DATA3 & ~7), 0, 0xfffff, DESC_DATA32 | DPL(3));
    put_desc(GDT + (CODE1 & ~7), 0, 0xfffff, DESC_CODE32 | DPL(1));
    put_desc(GDT + (DATA1 & ~7), 0, 0xfffff, DESC_DATA32 | DPL(1));
    put_desc(GDT + CODE16, 0, 0xffff, (DESC_CODE32 & ~(DESC_B | DESC_G)) | DPL(0));
    put_desc(GDT + CODE64, 0, 0xfffff, DESC_CODE64 | DPL(0));
    put_desc(GDT + LDT_SEL, LDT, 0xff, DESC_P | TYPE(2));
    cpu->gdt = (DescTable){ GDT, 0x3ff };
    cpu->cr0 = CR0_PE | CR0_ET | CR0_NE | CR0_WP;
    cpu->rflags = FL_1;
}

static void enter_ring(unsigned cpl, uint16_t code0)
{
    set_seg(R_CS, cpl ? CODE3 : code0);
    set_seg(R_SS, cpl ? DATA3 : DATA0);
    set_seg(R_DS, cpl ? DATA3 : DATA0);
    set_seg(R_ES, cpl ? DATA3 : DATA0);
    cpu->r[R_ESP] = cpl ? STACK3 : STACK0;
    cpu->rip = 0x8000;
    x86_update_mode(cpu);
}

void x86_test_protected(unsigned cpl)
{
    x86_test_reset();
    common_tables();
    put_desc(GDT + TSS_SEL, TSS, 0xfff, DESC_P | TYPE(11));
    st32_le(ram + TSS + 4, STACK0);
    st16_le(ram + TSS + 8, DATA0);
    st32_le(ram + TSS + 12, STACK1);
    st16_le(ram + TSS + 16, DATA1);
    st16_le(ram + TSS + 0x66, 0x88);        /* 32 bytes of redirection map before it */
    cpu->tr = (Segment){ TSS_SEL, DESC_P | TYPE(11), 0xfff, TSS };
    cpu->idt = (DescTable){ IDT, 256 * 8 - 1 };
    for (unsigned i = 0; i < 256; i++) {
        put_gate(IDT + i * 8, CODE0, 0x10000 + i, DESC_P | TYPE(14) | DPL(3), 0);
    }
    enter_ring(cpl, CODE0);
}

void x86_test_long(unsigned cpl)
{
    x86_test_reset();
    common_tables();
    put_desc(GDT + (CODE3 & ~7), 0, 0xfffff, DESC_CODE64 | DPL(3));
    put_desc(GDT + TSS_SEL, TSS, 0xfff, DESC_P | TYPE(11));
    st64_le(ram + TSS + 4, STACK0);
    st64_le(ram + TSS + 0x24, STACK1);      /* IST1 */
    cpu->tr = (Segment){ TSS_SEL, DESC_P | TYPE(11), 0xfff, TSS };
    cpu->idt = (DescTable){ IDT, 256 * 16 - 1 };
    /* The IDT is 4 KiB long: it covers 2000h..2fffh. */
    for (unsigned i = 0; i < 256; i++) {
        put_gate64(IDT + i * 16, CODE64, 0x10000 + i, DESC_P | TYPE(14) | DPL(3), 0);
    }
    st64_le(ram + 0x100000, 0x101000 | 7);
    st64_le(ram + 0x101000, 0x000000 | 0x87);           /* 1 GiB page */
    cpu->cr3 = 0x100000;
    cpu->cr4 = CR4_PAE;
    cpu->efer = EFER_LME | EFER_LMA | EFER_SCE | EFER_NXE;
    cpu->cr0 |= CR0_PG;
    x86_psc_flush(cpu);
    x86_tlb_flush(cpu);
    enter_ring(cpl, CODE64);
}
