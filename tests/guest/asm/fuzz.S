/* SPDX-License-Identifier: MIT */
/*
 * A guest without sense, in place of the firmware: programs every device at random and for ever,
 * through ports, memory, strings of ports and MSRs, with RAM full of words that look like
 * descriptors.  It runs from the ROM below 4 GiB, which no device can change, keeps its
 * state in registers and takes every interrupt and exception as an occasion to go on, so that
 * it survives nearly all that it does to itself; a reset starts it again with other numbers.
 *
 * The test writes the seed to the ROM's first word.  The debug console gets "k" for every 4096
 * accesses and "r" after every reset.
 */
#define ROM         0xffff0000
#define RESETS      0x500               /* in RAM: how often it has been started */
#define STACK       0x9000
#define CONSOLE     0x402
#define EOI         0xfee000b0          /* local APIC (SDM volume 3, 11.4.1) */

#define PORTS(first, last)      .long first, last - first + 1, 0
#define MEMORY(first, size)     .long first, size, 1
#define MSRS(first, last)       .long first, last - first + 1, 2

    .text
    .global _start
_start:
seed:
    .long   0
gdt:
    .quad   0
    .quad   0x00cf9b000000ffff
    .quad   0x00cf93000000ffff
gdt_pointer:
    .word   23
    .long   gdt
idt_pointer:
    .word   256 * 8 - 1
    .long   idt

    .balign 8
idt:
    .rept   256
    .word   event - _start, 8, 0x8e00, ROM >> 16
    .endr

/* What there is to program: where it begins, how long it is, what kind. */
    .balign 4
ranges:
    PORTS(0x00, 0x1f)                   /* DMA */
    PORTS(0x20, 0x3f)                   /* interrupt controllers */
    PORTS(0xa0, 0xbf)
    PORTS(0x40, 0x43)                   /* timer */
    PORTS(0x60, 0x64)                   /* keyboard, port B */
    PORTS(0x70, 0x71)                   /* RTC */
    PORTS(0x80, 0x92)                   /* DMA pages, port 92h */
    PORTS(0xb2, 0xb3)                   /* SMI */
    PORTS(0xc0, 0xdf)                   /* DMA */
    PORTS(0x170, 0x177)                 /* disks */
    PORTS(0x1f0, 0x1f7)
    PORTS(0x376, 0x376)
    PORTS(0x3f6, 0x3f6)
    PORTS(0x2f8, 0x2ff)                 /* serial and parallel ports */
    PORTS(0x3f8, 0x3ff)
    PORTS(0x378, 0x37f)
    PORTS(0x3b0, 0x3df)                 /* VGA */
    PORTS(0x1ce, 0x1d0)
    PORTS(0x3f0, 0x3f7)                 /* floppy disks */
    PORTS(0x4d0, 0x4d1)
    PORTS(0x500, 0x52f)                 /* fw_cfg and what may lie beside it */
    PORTS(0x600, 0x63f)                 /* power management, SMBus */
    PORTS(0x700, 0x73f)
    PORTS(0xae00, 0xafff)               /* hot plugging */
    PORTS(0xcf8, 0xcff)                 /* PCI */
    PORTS(0xc000, 0xcfff)               /* PCI devices, as pci_setup places them */
    PORTS(0xc000, 0xc3ff)
    PORTS(0x0000, 0xffff)
    MEMORY(0xa0000, 0x20000)            /* VGA, option ROMs, shadow RAM */
    MEMORY(0xc0000, 0x40000)
    MEMORY(0xe0000000, 0x8000)          /* PCI devices */
    MEMORY(0xe2000000, 0x8000)
    MEMORY(0xe4000000, 0x8000)
    MEMORY(0xe6000000, 0x8000)
    MEMORY(0xe8000000, 0x8000)
    MEMORY(0xea000000, 0x8000)
    MEMORY(0xec000000, 0x8000)
    MEMORY(0xe0000000, 0x10000000)
    MEMORY(0xfec00000, 0x1000)          /* I/O APIC, HPET, local APIC and interrupt messages */
    MEMORY(0xfed00000, 0x400)
    MEMORY(0xfee00000, 0x1000)
    MEMORY(0xfee00000, 0x400)
    MEMORY(0x00ffffe0, 0x40)            /* the end of RAM */
    MSRS(0x1b, 0x1b)                    /* where the local APIC is; its registers */
    MSRS(0x800, 0x83f)
ranges_end:
#define RANGES      ((ranges_end - ranges) / 12)

/* What resets, switches off, sends to sleep or hides every second megabyte: most of the guest's
   time would go by there. */
rare:
    .long   0x8f, 4, 0xcf9, 1, 0x601, 5
rare_end:

    .code32
/*
 * edi: the generator's state    ebp: accesses so far    esi: the range at work
 */

/* eax = the next random number (Marsaglia, "Xorshift RNGs", 13/17/5); edx is kept */
random:
    mov     %edi, %eax
    shl     $13, %eax
    xor     %eax, %edi
    mov     %edi, %eax
    shr     $17, %eax
    xor     %eax, %edi
    mov     %edi, %eax
    shl     $5, %eax
    xor     %eax, %edi
    mov     %edi, %eax
    ret

/* eax = a random number below ecx */
below:
    call    random
    push    %edx
    mul     %ecx
    mov     %edx, %eax
    pop     %edx
    ret

/* eax = a value which might make sense somewhere */
value:
    mov     $8, %ecx
    call    below
    cmp     $2, %eax
    jb      1f
    je      2f
    cmp     $4, %eax
    jb      3f
    je      4f
    cmp     $6, %eax
    jb      5f
    jmp     random                      /* anything */
1:  call    random                      /* a byte */
    movzbl  %al, %eax
    ret
2:  call    random                      /* a bit */
    mov     %eax, %ecx
    mov     $1, %eax
    shl     %cl, %eax
    ret
3:  call    random                      /* a small number */
    and     $15, %eax
    ret
4:  call    random                      /* nothing or everything */
    sar     $31, %eax
    ret
5:                                      /* an address in RAM, often of a whole page */
ram:
    call    random
    and     $0xffffff, %eax
    test    $0x10000, %edi
    jz      1f
    and     $0xfff000, %eax
1:  ret

/* Give PCI devices addresses, as firmware does: 256 ports or 32 MiB for each range. */
pci_setup:
    mov     $0xc001, %ebx               /* the next ports */
    mov     $0xe0000000, %ebp           /* and memory */
    mov     $0x80000000, %esi
1:  mov     $0, %al                     /* is there a device with six ranges? */
    call    pci_select
    in      %dx, %eax
    inc     %eax
    jz      5f
    mov     $0x0c, %al
    call    pci_select
    in      %dx, %eax
    test    $0x7f0000, %eax
    jnz     5f
    mov     $0x10, %cl
2:  mov     %cl, %al
    call    pci_select
    mov     $-1, %eax
    out     %eax, %dx
    in      %dx, %eax
    test    %eax, %eax
    jz      4f
    test    $1, %al
    jz      3f
    mov     %ebx, %eax
    out     %eax, %dx
    add     $0x100, %ebx
    jmp     4f
3:  and     $6, %al
    cmp     $4, %al
    mov     %ebp, %eax
    out     %eax, %dx
    lea     0x2000000(%ebp), %ebp
    jne     4f
    add     $4, %cl                     /* the upper half of a 64-bit address */
    mov     %cl, %al
    call    pci_select
    xor     %eax, %eax
    out     %eax, %dx
4:  add     $4, %cl
    cmp     $0x28, %cl
    jb      2b
    mov     $4, %al
    call    pci_select
    mov     $0x107, %eax
    out     %eax, %dx
5:  add     $0x100, %esi
    cmp     $0x80010000, %esi
    jb      1b

    /* PIIX4 power management (82371AB data sheet, 7.1): ports at 600h, SMBus at 700h */
    mov     $0x80000b00, %esi
    mov     $0x40, %al
    call    pci_select
    mov     $0x601, %eax
    out     %eax, %dx
    mov     $0x80, %al
    call    pci_select
    mov     $1, %al
    out     %al, %dx
    mov     $0x90, %al
    call    pci_select
    mov     $0x701, %eax
    out     %eax, %dx
    mov     $0xd2, %al
    call    pci_select
    add     $2, %edx
    mov     $9, %al
    out     %al, %dx
    ret

/* dx = the data port, for register al of the device in esi */
pci_select:
    movzbl  %al, %eax
    and     $0xfc, %al
    or      %esi, %eax
    mov     $0xcf8, %edx
    out     %eax, %dx
    mov     $0xcfc, %edx
    ret

start32:
    mov     $16, %eax
    mov     %eax, %ds
    mov     %eax, %es
    mov     %eax, %ss
    mov     $STACK, %esp
    lidt    idt_pointer
    mov     $CONSOLE, %edx
    mov     $'r', %al
    out     %al, %dx
    movw    $0xaa0f, 0x38000            /* RSM, where the first SMI goes */
    call    pci_setup
    incl    RESETS
    imul    $0x9e3779b9, RESETS, %edi
    add     seed, %edi
    jnz     1f
    inc     %edi
1:  xor     %ebp, %ebp

choose:                                 /* another range */
    mov     $RANGES, %ecx
    call    below
    lea     (%eax,%eax,2), %eax
    lea     ranges(,%eax,4), %esi
again:
    mov     $STACK, %esp
    cld
    inc     %ebp
    test    $0xfff, %ebp
    jnz     1f
    mov     $CONSOLE, %edx
    mov     $'k', %al
    out     %al, %dx
1:  call    random
    test    $0xf0, %al                  /* interrupts come now and then */
    jnz     2f
    sti
    nop
    cli
2:  test    $0xf00, %eax
    jz      choose
    test    $0x7000, %eax
    jnz     access
    call    ram                         /* a descriptor's word somewhere */
    mov     %eax, %ebx
    call    value
    mov     %eax, (%ebx)
    jmp     again

access:
    mov     4(%esi), %ecx
    call    below
    mov     (%esi), %edx
    add     %eax, %edx
    cmpl    $1, 8(%esi)                 /* in memory mostly aligned */
    jne     1f
    test    $3, %ah
    jz      1f
    and     $~3, %edx
1:
    mov     $rare, %ecx
1:  mov     %edx, %eax
    sub     (%ecx), %eax
    cmp     4(%ecx), %eax
    jb      seldom
    add     $8, %ecx
    cmp     $rare_end, %ecx
    jb      1b
2:  call    value
    mov     %eax, %ebx
    cmp     $0x64, %edx                 /* commands that reset, or switch A20 */
    jne     3f
    cmp     $0xd1, %bl
    je      seldom_value
    cmp     $0xf0, %bl
    jae     seldom_value
3:
    mov     $16, %ecx
    call    below
    xchg    %eax, %ebx
    mov     8(%esi), %ecx
    shl     $4, %ecx
    add     %ecx, %ebx
    jmp     *kinds(,%ebx,4)

seldom:
    call    random
    test    $0x7f, %al
    jz      2b
    jmp     again
seldom_value:
    call    random
    test    $0x7f, %al
    jz      3b
    jmp     again

    .balign 4
kinds:
    .long   inb, inw, inl, inb, outb, outb, outb, outb, outb, outw, outw, outl, outl, outsb, insw, insl
    .long   readb, readw, readl, readl, writeb, writeb, writew, writew, writel, writel, writel, writel
    .long   write16, read16, exchange, move
    .long   rdmsr, rdmsr, wrmsr, wrmsr, wrmsr, wrmsr, wrmsr, wrmsr, rdmsr, rdmsr, wrmsr, wrmsr
    .long   wrmsr, wrmsr, wrmsr, wrmsr

/* dx or edx: where; eax: what */
inb:    in      %dx, %al
        jmp     again
inw:    in      %dx, %ax
        jmp     again
inl:    in      %dx, %eax
        jmp     again
outb:   out     %al, %dx
        jmp     again
outw:   out     %ax, %dx
        jmp     again
outl:   out     %eax, %dx
        jmp     again
outsb:  call    string
        rep outsb
        jmp     string_end
insw:   call    string
        rep insw
        jmp     string_end
insl:   call    string
        rep insl
        jmp     string_end
readb:  mov     (%edx), %al
        jmp     again
readw:  mov     (%edx), %ax
        jmp     again
readl:  mov     (%edx), %eax
        jmp     again
writeb: mov     %al, (%edx)
        jmp     again
writew: mov     %ax, (%edx)
        jmp     again
writel: mov     %eax, (%edx)
        jmp     again
write16: movups %xmm0, (%edx)
        jmp     again
read16: movups  (%edx), %xmm0
        jmp     again
exchange: lock xadd %eax, (%edx)
        jmp     again
move:   call    string
        mov     %edx, %esi
        rep movsb
        jmp     string_end
rdmsr:  mov     %edx, %ecx
        rdmsr
        jmp     again
wrmsr:  mov     %edx, %ecx
        xor     %edx, %edx
        wrmsr
        jmp     again

/* Up to 63 elements between RAM and the range; its registers wait in others. */
string:
    mov     %esi, %ebx
    mov     %eax, %ecx
    and     $63, %ecx
    push    %edx
    push    %ecx
    call    ram
    pop     %ecx
    pop     %edx
    mov     %eax, %esi
    movd    %edi, %xmm1
    mov     %eax, %edi
    ret
string_end:
    movd    %xmm1, %edi
    mov     %ebx, %esi
    jmp     again

/* Any interrupt or exception: end it everywhere, unblock NMI, go on with another range. */
event:
    mov     $STACK, %esp
    mov     $0x20, %al
    out     %al, $0x20
    out     %al, $0xa0
    movl    $0, EOI
    movd    %xmm1, %eax                 /* a fault in a string instruction */
    add     %eax, %edi
    inc     %edi
    pushl   $2
    pushl   $8
    pushl   $choose
    iret

    .code16
start:
    cli
    lgdtl   %cs:gdt_pointer - _start
    mov     $0x21, %eax                 /* protection, x87 errors as exceptions */
    mov     %eax, %cr0
    mov     %cr4, %eax
    or      $0x600, %ax                 /* SSE (SDM volume 3, 2.5) */
    mov     %eax, %cr4
    ljmpl   $8, $start32

    .org    0xfff0
    jmp     start
    .org    0xffff
    .byte   0
