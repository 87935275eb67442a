/* SPDX-License-Identifier: MIT */
/*
 * Option ROM that starts a kernel the emulator was given by -kernel.
 *
 * The firmware runs it as a boot device (a BEV of the Plug and Play BIOS specification 1.0A).
 * The emulator has filled in the tables at the end: what to load from fw_cfg, by its DMA, to
 * which addresses, and how to enter the kernel - in real mode as the Linux boot protocol wants
 * it, or in flat 32-bit protected mode for Multiboot and PVH, with the BIOS' memory map
 * written where the kernel looks for it.  hw/i386/boot-rom.h describes the tables.
 *
 * Assembled into 16-bit code that runs at any segment; it has no data of its own but the stack.
 */

#define FW_CFG_DMA_HI   0x514
#define FW_CFG_DMA_LO   0x518
#define DMA_ERROR       1
#define DMA_READ        2
#define DMA_SKIP        4
#define DMA_SELECT      8

#define SMAP            0x534d4150

/* Offsets in an entry of the load table */
#define LOAD_KEY        0
#define LOAD_OFFSET     4
#define LOAD_SIZE       8
#define LOAD_ADDR       12
#define LOAD_ENTRY      16

    .code16
    .text
    .global _start
_start:
    .byte   0x55, 0xaa
    .byte   (rom_end - _start) / 512
    jmp     init                        /* +3: called once by the firmware */
    .org    0x18
    .word   0                           /* not a PCI ROM */
    .word   pnp_header - _start

init:
    mov     $0x20, %ax                  /* an IPL device is attached */
    lret

/* ---- loading ------------------------------------------------------------------------- */

/* A command of 16 bytes lies at ss:bp, complete but for byte order of control (eax) and length
 * (ecx): send it, wait, fail if it failed. */
dma:
    bswap   %eax
    mov     %eax, 0(%bp)
    bswap   %ecx
    mov     %ecx, 4(%bp)
    mov     %ss, %ax
    movzwl  %ax, %eax
    shl     $4, %eax
    movzwl  %bp, %ecx
    add     %ecx, %eax
    bswap   %eax
    mov     %eax, %ecx
    xor     %eax, %eax
    mov     $FW_CFG_DMA_HI, %dx
    out     %eax, %dx
    mov     %ecx, %eax
    mov     $FW_CFG_DMA_LO, %dx
    out     %eax, %dx
1:  mov     0(%bp), %eax
    bswap   %eax
    test    $~DMA_ERROR, %eax
    jnz     1b
    test    $DMA_ERROR, %eax
    jnz     failed
    ret

/* bev: cs is our segment, the stack is the firmware's. */
bev:
    cld
    push    %cs
    pop     %ds
    sub     $16, %sp
    mov     %sp, %bp
    mov     $load_table - _start, %si
    movzwl  load_count - _start, %edi
next_load:
    test    %di, %di
    jz      loaded
    /* select the item and skip to the offset in it */
    movl    $0, 8(%bp)
    movl    $0, 12(%bp)
    mov     LOAD_KEY(%si), %eax
    shl     $16, %eax
    or      $DMA_SELECT | DMA_SKIP, %eax
    mov     LOAD_OFFSET(%si), %ecx
    call    dma
    mov     LOAD_ADDR(%si), %ecx
    bswap   %ecx
    mov     %ecx, 12(%bp)
    mov     $DMA_READ, %eax
    mov     LOAD_SIZE(%si), %ecx
    call    dma
    add     $LOAD_ENTRY, %si
    dec     %di
    jmp     next_load

failed:
    mov     $message - _start, %si
1:  lodsb   %cs:(%si), %al
    test    %al, %al
    jz      2f
    mov     $0x0e, %ah
    mov     $7, %bx
    int     $0x10
    jmp     1b
2:  int     $0x18                       /* next boot device */

loaded:
    add     $16, %sp
    cmpb    $0, protected - _start
    jne     enter_protected

/* ---- real mode: setup code at segment real_segment, its stack below the command line ---- */

    cli
    mov     real_segment - _start, %ax
    mov     real_stack - _start, %cx
    mov     %ax, %ss
    movzwl  %cx, %esp
    mov     %ax, %ds
    mov     %ax, %es
    mov     %ax, %fs
    mov     %ax, %gs
    add     $0x20, %ax                  /* the first sector is data */
    push    %ax
    pushw   $0
    xor     %eax, %eax
    xor     %ebx, %ebx
    xor     %ecx, %ecx
    xor     %edx, %edx
    xor     %esi, %esi
    xor     %edi, %edi
    xor     %ebp, %ebp
    lret

/* ---- protected mode ------------------------------------------------------------------ */

/* The BIOS' memory map to map_segment:0 as rows of 24 bytes; map_prefix bytes in front of each
 * hold the row's size.  Then the number of rows, times map_unit, to count_segment:count_offset. */
enter_protected:
    mov     map_segment - _start, %ax
    mov     %ax, %es
    xor     %di, %di
    xor     %ebx, %ebx
    xor     %si, %si                    /* rows */
next_row:
    cmp     map_max - _start, %si
    jae     map_done
    movl    $20, %es:(%di)              /* overwritten when there is no prefix */
    movl    $0, %es:20(%di)
    push    %di
    push    %si
    add     map_prefix - _start, %di
    mov     $0xe820, %eax
    mov     $20, %ecx
    mov     $SMAP, %edx
    int     $0x15
    push    %cs
    pop     %ds
    pop     %si
    pop     %di
    jc      map_done
    cmp     $SMAP, %eax
    jne     map_done
    inc     %si
    add     $24, %di
    test    %ebx, %ebx
    jnz     next_row
map_done:
    mov     map_unit - _start, %ax
    mul     %si
    movzwl  %ax, %ecx
    mov     count_segment - _start, %ax
    mov     %ax, %es
    mov     count_offset - _start, %di
    mov     %ecx, %es:(%di)

    /* A20 is on after most firmware; make sure */
    in      $0x92, %al
    or      $2, %al
    and     $~1, %al
    out     %al, $0x92

    cli
    xor     %eax, %eax
    mov     %cs, %ax
    shl     $4, %eax                    /* our linear address */
    mov     %eax, %edi
    lea     (gdt - _start)(%eax), %ecx
    push    %ecx
    pushw   $gdt_end - gdt - 1
    mov     %sp, %bp
    lgdtl   (%bp)
    mov     entry - _start, %esi
    mov     entry_ebx - _start, %ebx
    mov     entry_eax - _start, %edx
    mov     %cr0, %eax
    or      $1, %al
    mov     %eax, %cr0
    /* a far return to flat 32-bit code */
    pushl   $8
    add     $flat - _start, %edi
    push    %edi
    lretl

    .code32
flat:
    mov     $16, %ax
    mov     %ax, %ds
    mov     %ax, %es
    mov     %ax, %fs
    mov     %ax, %gs
    mov     %ax, %ss
    mov     $0x7c00, %esp
    mov     %edx, %eax
    xor     %ecx, %ecx
    xor     %edx, %edx
    xor     %edi, %edi
    xor     %ebp, %ebp
    push    $2
    popf
    jmp     *%esi

    .align  8
gdt:
    .quad   0
    .quad   0x00cf9b000000ffff          /* flat code; accessed: the table is in ROM */
    .quad   0x00cf93000000ffff          /* flat data */
gdt_end:

message:
    .asciz  "\r\nThe kernel could not be loaded.\r\n"
product:
    .asciz  "kernel given to the emulator"

    .align  16
pnp_header:
    .ascii  "$PnP"
    .byte   1                           /* version */
    .byte   2                           /* length in 16 bytes */
    .word   0                           /* no further header */
    .byte   0
    .byte   0                           /* checksum, by the emulator */
    .long   0                           /* device id */
    .word   0                           /* manufacturer */
    .word   product - _start
    .byte   2, 0, 0                     /* mass storage */
    .byte   0x04                        /* a boot device */
    .word   0                           /* BCV */
    .word   0
    .word   bev - _start
    .word   0
    .word   0

/* ---- filled in by the emulator (struct BootRom in hw/i386/boot-rom.c) -------------------- */

    .org    0x380
tables:
load_count:     .word 0
protected:      .byte 0
                .byte 0
real_segment:   .word 0
real_stack:     .word 0
map_segment:    .word 0
map_max:        .word 0
map_prefix:     .word 0
map_unit:       .word 0
count_segment:  .word 0
count_offset:   .word 0
entry:          .long 0
entry_eax:      .long 0
entry_ebx:      .long 0
    .org    0x3c0
load_table:
    .org    0x800
rom_end:
