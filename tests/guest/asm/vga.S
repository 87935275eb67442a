/* SPDX-License-Identifier: MIT */
/*
 * Scenes for the screen: each mode of the VGA and some of the Bochs VBE ones with a pattern in
 * it, and the registers that change what is shown.  After each scene a letter goes to the debug
 * console; a key leads to the next.
 */
#define SECTORS 6
#include "boot.inc"

#define CRTC    0x3d4
#define SEQ     0x3c4
#define GFX     0x3ce
#define ATTR    0x3c0
#define STATUS  0x3da

main:
    mov     $scenes, %si
    mov     $'A', %bl
1:
    lodsw
    test    %ax, %ax
    jz      2f
    push    %si
    push    %bx
    mov     %ax, %di
    lodsw                               /* a scene's argument, in ax */
    call    *%di
    pop     %bx
    mov     %bl, %al
    call    tell
    inc     %bl
    xor     %ax, %ax
    int     $0x16
    pop     %si
    add     $2, %si
    jmp     1b
2:
    mov     $'.', %al
    call    tell
    cli
3:  hlt
    jmp     3b

/* Sets mode al, without a cursor. */
set_mode:
    xor     %ah, %ah
    int     $0x10
    mov     $1, %ah
    mov     $0x2000, %cx
    int     $0x10
    ret

/* Text: characters in all attributes but blinking ones.  Those from B0h to BFh are left out: a
 * VGA repeats the eighth column of C0h to DFh only, the reference that of B0h to BFh too. */
text:
    call    set_mode
text_fill:
    mov     $0xb800, %ax
text_at:
    mov     %ax, %es
    xor     %di, %di
    xor     %ax, %ax
    mov     $4000, %cx
1:
    stosw
    inc     %al
    cmp     $0xb0, %al
    jne     3f
    mov     $0xc0, %al
3:
    test    %al, %al
    jnz     2f
    add     $0x13, %ah
2:
    and     $0x7f, %ah
    loop    1b
    ret

text_mono:
    call    set_mode
    mov     $0xb000, %ax
    jmp     text_at

/* 50 lines of the 8x8 font. */
text_50:
    call    set_mode
    mov     $0x1112, %ax
    xor     %bl, %bl
    int     $0x10
    jmp     text_fill

/* Bright backgrounds in the place of blinking, the underline cursor shown. */
text_bright:
    call    set_mode
    mov     $0x1003, %ax
    xor     %bl, %bl
    int     $0x10
    call    text_fill
    xor     %di, %di
    mov     $2000, %cx
1:
    orb     $0x80, %es:1(%di)
    add     $2, %di
    loop    1b
    ret

/* Start address 5 characters on, line compare between two rows.  (No preset row scan, which the
 * reference does not know.) */
text_scroll:
    call    set_mode
    call    text_fill
    mov     $CRTC, %dx
    mov     $0x050d, %ax
    out     %ax, %dx
    mov     $0xcf18, %ax                /* line compare: bits 7-0, bit 8 in 07h, bit 9 in 09h */
    out     %ax, %dx
    mov     $0x07, %al
    mov     $0xef, %bx                  /* bl: bits to keep, bh: bits to set */
    call    crtc_change
    mov     $0x09, %al
    mov     $0xbf, %bx
    jmp     crtc_change

/* A font of our own in map 2: each row of a glyph is its code rotated. */
text_font:
    call    set_mode
    call    text_fill
    xor     %ax, %ax
    mov     %ax, %es
    mov     $0x9000, %di
    mov     %di, %bp
    xor     %si, %si
1:
    mov     %si, %ax
    mov     %si, %cx
    shr     $4, %ax
    rol     %cl, %al
    stosb
    inc     %si
    cmp     $4096, %si
    jne     1b
    mov     $0x1110, %ax
    mov     $0x1000, %bx                /* 16 rows, block 0 */
    mov     $256, %cx
    xor     %dx, %dx
    int     $0x10
    ret

/* CGA: bytes count up and fold at 256 by the line. */
cga:
    call    set_mode
    mov     $0xb800, %ax
    mov     $0x4000, %cx
    jmp     fill

/* Fills cx bytes from the window at segment ax. */
fill:
    mov     %ax, %es
    xor     %di, %di
1:
    mov     %di, %ax
    mov     %ah, %bl
    add     %bl, %bl
    add     %bl, %al
    xor     %ah, %al
    stosb
    loop    1b
    ret

/* Planar: the four planes each with a pattern of their own. */
planar:
    call    set_mode
planar_fill:
    mov     $0xa000, %ax
    mov     %ax, %es
    mov     $0x0102, %bx                /* map mask: plane 0 */
1:
    mov     %bx, %ax
    mov     $SEQ, %dx
    out     %ax, %dx
    xor     %di, %di
2:
    mov     %di, %ax
    shr     $3, %ax
    add     %di, %ax
    xor     %bh, %al
    add     %bh, %al
    stosb
    cmp     $0x9600, %di
    jne     2b
    shl     $1, %bh
    cmp     $0x10, %bh
    jne     1b
    mov     $0x0f02, %ax
    out     %ax, %dx
    ret

/* Write modes 1 to 3, set/reset, data rotate and the bit mask, over the planar pattern. */
planar_ops:
    call    set_mode
    call    planar_fill
    mov     $GFX, %dx
    mov     $0x0105, %ax                /* write mode 1: copies through the latches */
    out     %ax, %dx
    mov     $0x2000, %di
    xor     %si, %si
    push    %ds
    push    %es
    pop     %ds
    mov     $0x1000, %cx
    rep movsb
    mov     $0x0205, %ax                /* write mode 2: a colour under a mask */
    out     %ax, %dx
    mov     $0x3c08, %ax
    out     %ax, %dx
    mov     $0x1003, %ax                /* or */
    out     %ax, %dx
    mov     $0x4000, %di
    mov     $0x1000, %cx
1:
    mov     (%di), %al
    mov     %cl, %al
    and     $15, %al
    mov     %al, (%di)
    inc     %di
    loop    1b
    mov     $0x0305, %ax                /* write mode 3, set/reset 5, rotated by 2 */
    out     %ax, %dx
    mov     $0x0500, %ax
    out     %ax, %dx
    mov     $0x0203, %ax
    out     %ax, %dx
    mov     $0xff08, %ax
    out     %ax, %dx
    mov     $0x6000, %di
    mov     $0x1000, %cx
2:
    mov     (%di), %al
    mov     %cl, %al
    mov     %al, (%di)
    inc     %di
    loop    2b
    mov     $0x0005, %ax                /* write mode 0 with set/reset in planes 1 and 3 */
    out     %ax, %dx
    mov     $0x0a01, %ax
    out     %ax, %dx
    mov     $0x1803, %ax                /* xor */
    out     %ax, %dx
    mov     $0x8000, %di
    mov     $0x1000, %cx
3:
    mov     (%di), %al
    mov     %cl, %al
    mov     %al, (%di)
    inc     %di
    loop    3b
    pop     %ds
    ret

/* An offset of 100 bytes, a pitch of 96 instead of 80 bytes. */
planar_offset:
    call    set_mode
    mov     $CRTC, %dx
    mov     $0x3013, %ax
    out     %ax, %dx
    mov     $0x640d, %ax
    out     %ax, %dx
    jmp     planar_fill

/* The same with pixel panning 3, which the reference does not know: beside the scene above. */
planar_pan:
    call    planar_offset
    mov     $STATUS, %dx
    in      %dx, %al                    /* the next write to 3C0h is an index */
    mov     $ATTR, %dx
    mov     $0x33, %al
    out     %al, %dx
    mov     $3, %al
    out     %al, %dx
    ret

/* 256 colours, chained, in a palette of our own. */
packed:
    call    set_mode
    call    palette
    mov     $0xa000, %ax
    mov     $64000, %cx
    jmp     fill

#include "ramp.inc"

/* The unchained 320x240 mode: double-word addressing off, 480 lines doubled. */
mode_x:
    mov     $0x13, %al
    call    set_mode
    call    palette
    mov     $SEQ, %dx
    mov     $0x0604, %ax
    out     %ax, %dx
    mov     $0x0100, %ax
    out     %ax, %dx
    mov     $0x3c2, %dx
    mov     $0xe3, %al
    out     %al, %dx
    mov     $SEQ, %dx
    mov     $0x0300, %ax
    out     %ax, %dx
    mov     $CRTC, %dx
    mov     $0x11, %al                  /* unprotect registers 0 to 7 */
    mov     $0x7f, %bx
    call    crtc_change
    mov     $mode_x_crtc, %si
    mov     $(mode_x_end - mode_x_crtc) / 2, %cx
1:
    lodsw
    out     %ax, %dx
    loop    1b
    jmp     planar_fill

mode_x_crtc:                            /* value, index: 480 of 525 lines */
    .word   0x0d06, 0x3e07, 0x4109, 0xea10, 0xac11, 0xdf12, 0x0014, 0xe715, 0x0616, 0xe317
mode_x_end:

/* CRTC register al: keep the bits of bl, set those of bh. */
crtc_change:
    mov     $CRTC, %dx
    out     %al, %dx
    inc     %dx
    in      %dx, %al
    and     %bl, %al
    or      %bh, %al
    out     %al, %dx
    dec     %dx
    ret

/* VBE: mode ax, four banks of the 64 KiB window filled. */
vbe:
    mov     %ax, %bx
    mov     $0x4f02, %ax
    int     $0x10
    cmp     $0x4f, %ax
    jne     2f
    cmp     $0x101, %bx
    jne     1f
    call    palette
1:
    xor     %dx, %dx
3:
    push    %dx
    mov     $0x4f05, %ax
    xor     %bx, %bx
    int     $0x10
    mov     $0xa000, %ax
    mov     $0xffff, %cx
    call    fill
    pop     %dx
    inc     %dx
    cmp     $4, %dx
    jne     3b
2:
    ret

    .align  2
scenes:
    .word   text, 0x00
    .word   text, 0x01
    .word   text, 0x02
    .word   text, 0x03
    .word   text_mono, 0x07
    .word   text_50, 0x03
    .word   text_bright, 0x03
    .word   text_scroll, 0x03
    .word   text_font, 0x03
    .word   cga, 0x04
    .word   cga, 0x05
    .word   cga, 0x06
    .word   planar, 0x0d
    .word   planar, 0x0e
    .word   planar, 0x0f
    .word   planar, 0x10
    .word   planar, 0x11
    .word   planar, 0x12
    .word   planar_ops, 0x12
    .word   planar_offset, 0x12
    .word   planar_pan, 0x12
    .word   packed, 0x13
    .word   mode_x, 0
    .word   vbe, 0x102
    .word   vbe, 0x101
    .word   vbe, 0x110
    .word   vbe, 0x111
    .word   vbe, 0x112
    .word   vbe, 0x115
    .word   0
    .org    512 * (SECTORS + 1)
