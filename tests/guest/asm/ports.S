/* SPDX-License-Identifier: MIT */
/*
 * Port accesses on behalf of the test, which sends over COM1 a letter and six registers (EAX, EBX,
 * ECX, EDX, ESI, EDI: 25 bytes) and gets the registers back (24 bytes):
 *
 *     i   IN EAX,DX      w   IN AX,DX      b   IN AL,DX      o   OUT DX,EAX
 *
 * A '!' on COM1 says that it is ready.
 */
#define SECTORS 1
#include "boot.inc"

#define REGS 0x9000

main:
    mov     $0x3fb, %dx
    mov     $0x80, %al                  /* 115200 bits a second, 8N1 */
    out     %al, %dx
    mov     $0x3f8, %dx
    mov     $1, %ax
    out     %al, %dx
    inc     %dx
    mov     %ah, %al
    out     %al, %dx
    mov     $0x3fb, %dx
    mov     $3, %al
    out     %al, %dx
    mov     $'!', %al
    call    put
1:
    call    get
    mov     %al, %bl
    mov     $REGS, %di
    mov     $24, %cx
2:
    call    get
    stosb
    loop    2b
    mov     %bl, kind
    movl    REGS, %eax
    movl    REGS + 4, %ebx
    movl    REGS + 8, %ecx
    movl    REGS + 12, %edx
    movl    REGS + 16, %esi
    movl    REGS + 20, %edi
    cmpb    $'i', kind
    je      long
    cmpb    $'w', kind
    je      word
    cmpb    $'b', kind
    je      byte
    outl    %eax, %dx
    jmp     done
long:
    inl     %dx, %eax
    jmp     done
word:
    inw     %dx, %ax
    jmp     done
byte:
    inb     %dx, %al
done:
    movl    %eax, REGS
    movl    %ebx, REGS + 4
    movl    %ecx, REGS + 8
    movl    %edx, REGS + 12
    movl    %esi, REGS + 16
    movl    %edi, REGS + 20
    mov     $REGS, %si
    mov     $24, %cx
3:
    lodsb
    call    put
    loop    3b
    jmp     1b

put:
    push    %ax
    mov     $0x3fd, %dx
1:
    in      %dx, %al
    test    $0x20, %al
    jz      1b
    pop     %ax
    mov     $0x3f8, %dx
    out     %al, %dx
    ret

kind:
    .byte   0

/* It waits for the test when EIP is here. */
    .org    0x300
get:
    mov     $0x3fd, %dx
1:
    in      %dx, %al
    test    $1, %al
    jz      1b
    mov     $0x3f8, %dx
    in      %dx, %al
    ret

    .org    512 * (SECTORS + 1)
