/* SPDX-License-Identifier: MIT */
/*
 * Every mode of the VGA BIOS' VESA extension, one after the other, filled with a pattern through
 * the window at A0000h.  Of each the debug console is told its number, width, height, bytes from
 * line to line (words) and bits (a byte), before a byte at COM1 leads to the next.  FFFFh, or
 * EEEEh if the BIOS has no extension, ends it.
 *
 * Source: VESA BIOS Extension 2.0, functions 00h to 05h.
 */
#define SECTORS 2
#include "boot.inc"

#define INFO    0x9000                  /* VbeInfoBlock, 512 bytes */
#define MODE    0x9200                  /* ModeInfoBlock, 256 bytes */
#define LIST    0x9400                  /* the modes, in a place that stays */

#define ATTRIBUTES  (MODE + 0x00)
#define GRANULARITY (MODE + 0x04)
#define PITCH       (MODE + 0x10)
#define WIDTH       (MODE + 0x12)
#define HEIGHT      (MODE + 0x14)
#define BITS        (MODE + 0x19)
#define MODEL       (MODE + 0x1b)

main:
    movl    $0x32454256, INFO           /* "VBE2" */
    mov     $0x4f00, %ax
    mov     $INFO, %di
    int     $0x10
    cmp     $0x4f, %ax
    mov     $0xeeee, %ax
    jne     end
    push    %ds
    lds     INFO + 14, %si
    mov     $LIST, %di
1:
    lodsw
    stosw
    cmp     $0xffff, %ax
    jne     1b
    pop     %ds
    mov     $LIST, %si
next:
    lodsw
    cmp     $0xffff, %ax
    je      end
    push    %si
    mov     %ax, %cx
    push    %cx
    mov     $0x4f01, %ax
    mov     $MODE, %di
    int     $0x10
    pop     %cx
    cmp     $0x4f, %ax
    jne     skip
    mov     ATTRIBUTES, %al             /* there, and graphics */
    and     $0x11, %al
    cmp     $0x11, %al
    jne     skip
    cmpb    $3, MODEL                   /* planar, packed or direct colour */
    jb      skip
    call    show
skip:
    pop     %si
    jmp     next
end:
    call    tell2
    cli
3:  hlt
    jmp     3b

tell2:
    out     %al, $0xe9
    mov     %ah, %al
    out     %al, $0xe9
    ret

/* Mode cx, which MODE describes. */
show:
    push    %cx
    mov     %cx, %bx
    mov     $0x4f02, %ax
    int     $0x10
    pop     %cx
    cmp     $0x4f, %ax
    jne     1f
    push    %cx
    cmpb    $8, BITS
    jne     2f
    call    palette
2:
    cmpb    $3, MODEL
    jne     2f
    mov     $0x3c4, %dx                 /* all planes: white on black */
    mov     $0x0f02, %ax
    out     %ax, %dx
2:
    call    fill
    pop     %ax
    call    tell2
    mov     WIDTH, %ax
    call    tell2
    mov     HEIGHT, %ax
    call    tell2
    mov     PITCH, %ax
    call    tell2
    mov     BITS, %al
    call    tell
    mov     $0x3fd, %dx                 /* until a byte comes */
3:
    in      %dx, %al
    test    $1, %al
    jz      3b
    mov     $0x3f8, %dx
    in      %dx, %al
1:
    ret

/* Bank after bank of 64 KiB; each word is the one before it and a bit. */
fill:
    mov     PITCH, %ax
    mulw    HEIGHT
    add     $0xffff, %ax
    adc     $0, %dx
    mov     %dx, %bp                    /* banks */
    xor     %si, %si
    mov     $0x1234, %bx
1:
    push    %bx
    mov     $64, %ax
    xor     %dx, %dx
    divw    GRANULARITY
    mul     %si
    mov     %ax, %dx
    mov     $0x4f05, %ax
    xor     %bx, %bx
    int     $0x10
    pop     %bx
    mov     $0xa000, %ax
    mov     %ax, %es
    xor     %di, %di
    mov     $0x8000, %cx
    mov     %bx, %ax
2:
    stosw
    add     $0x1235, %ax
    loop    2b
    lea     0x3579(%eax), %bx
    xor     %ax, %ax
    mov     %ax, %es
    inc     %si
    cmp     %bp, %si
    jb      1b
    ret

#include "ramp.inc"

    .org    512 * (SECTORS + 1)
