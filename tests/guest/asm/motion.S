/* SPDX-License-Identifier: MIT */
/*
 * A screen of 1024x768 pixels of 32 bits, painted anew in another colour for ever, for measuring how
 * fast pictures come out.
 */
#define SECTORS 1
#include "boot.inc"

#define MODE    0x144                   /* 1024x768x32 of the Bochs VBE BIOS */
#define INFO    0x9000

main:
    xor     %ax, %ax
    mov     %ax, %es
    mov     $0x4f01, %ax
    mov     $MODE, %cx
    mov     $INFO, %di
    int     $0x10
    mov     $0x4f02, %ax
    mov     $(0x4000 | MODE), %bx
    int     $0x10
    cli
    lgdtl   gdtr
    mov     %cr0, %eax                  /* a segment of 4 GiB stays when real mode is back */
    or      $1, %al
    mov     %eax, %cr0
    mov     $8, %bx
    mov     %bx, %es
    and     $0xfe, %al
    mov     %eax, %cr0
    xor     %ebx, %ebx
    cld
1:
    mov     INFO + 0x28, %edi
    mov     $(1024 * 768), %ecx
    mov     %ebx, %eax
    rep     addr32 stosl
    add     $0x030507, %ebx
    jmp     1b

    .balign 8
gdt:
    .quad   0
    .quad   0x00cf92000000ffff
gdtr:
    .word   15
    .long   gdt
