/* SPDX-License-Identifier: MIT */
/*
 * Reads and writes the floppy disk it starts from, through the BIOS: each sector of every
 * fifth cylinder from 5 on is read, checked (its first word is its number), inverted, written,
 * read again and compared.  The last cylinder is formatted first.  The debug console gets "K" for
 * each good cylinder, "E" and the error for a bad one, "." at the end.
 */
#define SECTORS 2
#include "boot.inc"

#define PER_TRACK   18
#define STEP        5
#define LAST        79
#define TRACK       0x8000              /* a track in memory */
#define COPY        0xb000
#define WORDS       (PER_TRACK * 256)

main:
    movb    $STEP, cylinder
    call    format_last
1:
    movb    $0, head
2:
    call    one_track
    jc      bad
    incb    head
    cmpb    $2, head
    jne     2b
    mov     $'K', %al
    call    tell
    addb    $STEP, cylinder
    cmpb    $LAST, cylinder
    jbe     1b
    mov     $'.', %al
    call    tell
stop:
    cli
    hlt
    jmp     stop
bad:
    push    %ax
    mov     $'E', %al
    call    tell
    pop     %ax
    mov     %ah, %al
    call    tell
    jmp     stop

/* Operation ah of int 13h on the current track at es:bx. */
track:
    mov     $PER_TRACK, %al
    mov     cylinder, %ch
    mov     $1, %cl
    mov     head, %dh
    mov     drive, %dl
    int     $0x13
    ret

one_track:
    mov     $2, %ah
    mov     $TRACK, %bx
    call    track
    jc      9f
    call    check_numbers
    jc      9f
    mov     $TRACK, %di
    mov     $WORDS, %cx
1:
    notw    (%di)
    add     $2, %di
    loop    1b
    mov     $3, %ah
    mov     $TRACK, %bx
    call    track
    jc      9f
    mov     $2, %ah
    mov     $COPY, %bx
    call    track
    jc      9f
    mov     $TRACK, %si
    mov     $COPY, %di
    mov     $WORDS, %cx
    repe cmpsw
    je      9f                          /* equal clears the carry too */
    mov     $0xfe, %ah
    stc
9:  ret

/* The first word of each sector is cylinder * 36 + head * 18 + sector - 1. */
check_numbers:
    mov     cylinder, %al
    mov     $2 * PER_TRACK, %ah
    mul     %ah
    cmpb    $0, head
    je      1f
    add     $PER_TRACK, %ax
1:
    mov     $TRACK, %di
    mov     $PER_TRACK, %cx
2:
    cmp     (%di), %ax
    jne     3f
    add     $512, %di
    inc     %ax
    loop    2b
    clc
    ret
3:
    mov     $0xff, %ah
    stc
    ret

/* Formats both sides of cylinder 79, and checks that it reads as one filler throughout (which
 * one, the test looks at). */
format_last:
    movb    $LAST, cylinder
    movb    $0, head
1:
    mov     $TRACK, %di                 /* C, H, R, N of each sector */
    mov     $1, %cl
2:
    mov     cylinder, %al
    stosb
    mov     head, %al
    stosb
    mov     %cl, %al
    stosb
    mov     $2, %al
    stosb
    inc     %cl
    cmp     $PER_TRACK, %cl
    jbe     2b
    mov     $5, %ah
    mov     $TRACK, %bx
    call    track
    jc      bad
    mov     $2, %ah
    mov     $TRACK, %bx
    call    track
    jc      bad
    mov     $TRACK, %di
    mov     $WORDS, %cx
    mov     TRACK, %ax
    repe scasw
    mov     $0xfd00, %ax
    jne     bad
    incb    head
    cmpb    $2, head
    jne     1b
    movb    $STEP, cylinder
    mov     $'F', %al
    jmp     tell

cylinder:
    .byte   0
head:
    .byte   0
    .org    512 * (SECTORS + 1)
