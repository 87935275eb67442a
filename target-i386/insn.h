/* SPDX-License-Identifier: MIT */
/*
 * A decoded x86 instruction as the engines run it, and the row of the instruction table it
 * came from.  The decoder (decode.c) makes Insns from guest bytes; the block builder
 * (block.c) strings them together; handlers (op-*.c) execute them.
 *
 * Everything that follows from the encoding and the mode word is resolved when the Insn is
 * made: prefixes, groups, operand and address size, #UD rules, privilege by CPL, the TS/EM
 * class of FPU and SSE instructions.  A handler never looks at opcode bytes.
 */
#ifndef TARGET_I386_INSN_H
#define TARGET_I386_INSN_H

#include "target-i386/cpu.h"

typedef struct Insn Insn;
typedef void InsnFn(X86CPU *c, const Insn *i);

/* Insn.flags */
enum {
    IF_MEM    = 1 << 0,     /* ModRM operand is memory (or there is a moffs operand) */
    IF_SEG    = 1 << 1,     /* its segment needs a base added or a limit checked */
    IF_REP    = 1 << 2,     /* F3 */
    IF_REPNE  = 1 << 3,     /* F2 */
    IF_LOCK   = 1 << 4,     /* F0, legal here, and the destination is memory */
    IF_O16    = 1 << 5,     /* 66 seen */
    IF_REX    = 1 << 6,     /* any REX (or VEX) */
    IF_W      = 1 << 7,     /* REX.W or VEX.W */
    IF_VEX    = 1 << 8,
    IF_L      = 1 << 9,     /* VEX.L: 256 bits */
    IF_CODE64 = 1 << 10,    /* decoded for 64-bit mode */
    IF_SS64   = 1 << 11,    /* stack pointer is RSP ... */
    IF_SS32   = 1 << 12,    /* ... ESP; neither: SP */
    IF_SSFLAT = 1 << 13,    /* SS needs no base and no limit check */
    IF_SEGOVR = 1 << 14,    /* a segment prefix was given */
};

/*
 * Fields named as in the manual.  Register numbers: 0-15 for a GPR (index into X86CPU.r), XMM
 * register; 0-7 for ST(i) and MMX; segment register, control register as encoded.  Where the
 * row says a GPR operand is a byte (Gb, Eb, Rb), reg/rm/vvvv hold its *byte offset* within
 * X86CPU.r[] (AH, CH, DH, BH included): use R8(c, n).
 */
struct Insn {
    InsnFn *fn;
    uint64_t imm;           /* immediate, sign-extended; near branches: target - start of block;
                               x87: the 11 bits of FOP; far pointers: offset | selector << 32;
                               ENTER: size | level << 16; moffs: 0 (the address is in disp) */
    int64_t disp;           /* of the memory operand; RIP-relative: from the block's start */
    uint8_t base, index;    /* into X86CPU.r: 16 = none, 17 = RIP of the block's start */
    uint8_t scale;          /* shift count */
    uint8_t seg;            /* R_ES.. of the memory operand (DS:rSI operand of strings) */
    uint8_t reg;            /* ModRM.reg with REX.R, or the register in the opcode (Zv); without
                               either the low four opcode bits */
    uint8_t rm;             /* ModRM.rm with REX.B, when it is a register */
    uint8_t vvvv;           /* VEX.vvvv */
    uint8_t is4;            /* register in imm8[7:4] */
    uint8_t osz, asz;       /* operand and address size: 0-3 for 1, 2, 4, 8 bytes */
    uint8_t len;            /* bytes, 1-15 */
    uint8_t vindex;         /* VSIB: number of the index vector (index is then 16) */
    uint16_t off;           /* from the block's start */
    uint16_t row;           /* in insn_rows[] */
    uint32_t flags;         /* IF_* */
};

/* ---- the table ------------------------------------------------------------------------ */

/* InsnRow.attr; the legend with every letter's meaning is at the top of insns.def. */
enum {
    A_I64    = 1 << 0,      /* #UD in 64-bit mode */
    A_O64    = 1 << 1,      /* #UD outside 64-bit mode */
    A_D64    = 1 << 2,      /* operand size 64 by default in 64-bit mode (66 gives 16) */
    A_F64    = 1 << 3,      /* operand size 64 always in 64-bit mode */
    A_LOCK   = 1 << 4,      /* LOCK allowed when the destination is memory */
    A_CPL0   = 1 << 5,      /* #GP(0) unless CPL 0 */
    A_PE     = 1 << 6,      /* #UD in real and virtual-8086 mode */
    A_END    = 1 << 7,      /* the block ends after it; execution goes on with the next one */
    A_JUMP   = 1 << 8,      /* sets RIP itself; the block ends */
    A_SHADOW = 1 << 9,      /* inhibits interrupts for one instruction (STI, MOV/POP SS) */
    A_X87    = 1 << 10,     /* EM or TS: #NM; imm = FOP */
    A_WAIT   = 1 << 11,     /* FWAIT: MP and TS: #NM */
    A_MMX    = 1 << 12,     /* EM: #UD; TS: #NM */
    A_SSE    = 1 << 13,     /* EM or !OSFXSR: #UD; TS: #NM */
    A_AVX    = 1 << 14,     /* real, V86 or AVX not enabled by XCR0: #UD; TS: #NM */
    A_AL     = 1 << 15,     /* memory operand must be aligned to its size, else #GP(0); the
                               handler does it (m_ldp), this tells test generators */
    A_AVX2   = 1 << 16,     /* with VEX.L: needs AVX2 as well (integer operations on YMM) */
    A_O8     = 1 << 17,     /* operand size is a byte whatever the prefixes */
    A_D32    = 1 << 18,     /* operand size ignores 66: 4 bytes, or 8 with REX.W (y operands) */
    A_VEXU   = 1 << 19,     /* VEX.vvvv is not used: must be 1111b */
    A_NOREP  = 1 << 20,     /* #UD with F2 or F3 */
    A_REP    = 1 << 21,     /* a string instruction: F2/F3 repeat it */
    A_OSZ64R = 1 << 22,     /* MOV CR/DR: 64 bits in 64-bit mode, 32 otherwise; the mod field is
                               ignored, rm is always a register */
    A_RND    = 1 << 23,     /* result is not a function of the inputs: no differential test */
    A_NEAR   = 1 << 25,     /* near branch: in code segments that are not flat the handler of
                               the 16-bit column, which checks CS.limit, is used for all sizes */
    A_IOSZ   = 1 << 26,     /* operand size at most 4 (IN, OUT, INS, OUTS) */
    A_VSIB   = 1 << 27,     /* the memory operand's index is a vector register */
    A_SYS    = 1 << 24,     /* touches system state: no user-mode differential test */
};

#define INSN_FORMS 12

typedef struct InsnRow {
    const char *opcode;     /* "VEX.256.66.0F38.W0 18 /r" */
    const char *name;       /* lower case mnemonic */
    const char *operands;   /* "Ev,Gv" */
    const char *flags;      /* "c>oszapc" */
    uint16_t feature;       /* CPUID_* of cpuid.h */
    uint32_t attr;
    bool by_l;              /* fn is indexed by VEX.L, not by operand size */
    InsnFn *fn[INSN_FORMS]; /* [operand size 0-3] register form, [4 + size] memory
                               form, [8 + size] memory form with LOCK */
} InsnRow;

extern const InsnRow insn_rows[];
extern const unsigned insn_row_count;

/* What a row says, parsed at start-up: for the decoder, and for whoever generates tests. */
typedef enum {
    OPND_NONE,
    OPND_E,                 /* ModRM.rm: GPR or memory */
    OPND_G,                 /* ModRM.reg: GPR */
    OPND_R,                 /* ModRM.rm: GPR only */
    OPND_M,                 /* ModRM.rm: memory only */
    OPND_Z,                 /* low three opcode bits (+ REX.B): GPR */
    OPND_B,                 /* VEX.vvvv: GPR */
    OPND_I,                 /* immediate, sign-extended from its size */
    OPND_J,                 /* relative branch */
    OPND_O,                 /* moffs: address in the instruction */
    OPND_A,                 /* far pointer in the instruction */
    OPND_S,                 /* ModRM.reg: segment register */
    OPND_C, OPND_D,         /* ModRM.reg: control, debug register */
    OPND_V, OPND_H, OPND_L, /* XMM/YMM: ModRM.reg, VEX.vvvv, imm8[7:4] */
    OPND_W, OPND_U,         /* XMM/YMM: ModRM.rm with memory, register only */
    OPND_P, OPND_Q, OPND_N, /* MMX: ModRM.reg, ModRM.rm with memory, register only */
    OPND_T,                 /* ST(i): ModRM.rm */
    OPND_X, OPND_Y,         /* DS:rSI, ES:rDI */
    OPND_FIXED,             /* implicit: AL, rAX, DX, CL, 1, ST0, XMM0, segment registers ... */
} OpndKind;

typedef struct InsnOpnd {
    uint8_t kind;           /* OPND_* */
    uint8_t size;           /* bytes; OPND_BY_OSZ, OPND_BY_VL */
    char type[4];           /* the manual's letters after the first: "v", "b", "dq", "ps" */
    char text[12];          /* as written in the row */
} InsnOpnd;
enum { OPND_BY_OSZ = 0, OPND_BY_VL = 255 };

enum { ENC_LEGACY, ENC_VEX };
enum { PFX_ANY, PFX_NONE, PFX_66, PFX_F3, PFX_F2 };
/* How an immediate is encoded (InsnDesc.imm). */
enum { IMM_NONE, IMM_U8, IMM_S8, IMM_16, IMM_32, IMM_Z, IMM_V, IMM_J8, IMM_JZ, IMM_FAR, IMM_MOFFS };
/* InsnDesc.bytes: which fields are byte registers */
enum { BYTE_REG = 1, BYTE_RM = 2, BYTE_OSZ = 4 /* operand size is 1 */ };

typedef struct InsnDesc {
    uint8_t enc;            /* ENC_* */
    uint8_t map;            /* 0: one byte, 1: 0F, 2: 0F38, 3: 0F3A */
    uint8_t opcode;         /* first of `span` opcodes */
    uint8_t span;           /* 8 for +r forms, 1 otherwise */
    uint8_t pfx;            /* PFX_*: mandatory prefix */
    int8_t w;               /* -1 any, 0, 1: REX.W or VEX.W */
    int8_t l;               /* -1 any, 0, 1: VEX.L */
    bool modrm;             /* has a ModRM byte */
    int8_t reg;             /* /digit, -1 any */
    int16_t modrm_first, modrm_last;    /* ModRM byte in this range (C0 and up); -1 any */
    int8_t mod;             /* 0 = memory only, 3 = register only, -1 = both */
    uint8_t nopnd;
    InsnOpnd opnd[5];
    uint8_t imm[2];         /* IMM_* in the order of encoding */
    uint8_t bytes;          /* BYTE_* */
    bool uses_vvvv, rm_low; /* has H or B; rm is one of 8 registers whatever REX.B (MMX, x87) */
    bool reg_low;           /* so is reg (MMX, segment registers) */
    uint8_t fl_read, fl_write, fl_undef;    /* FLB_* */
    bool fl_maybe;          /* flags may stay unwritten (shift by 0) */
    uint16_t next;          /* next row to try for the same opcode, NO_ROW = none */
} InsnDesc;
#define NO_ROW 0xffff
enum { FLB_C = 1, FLB_P = 2, FLB_A = 4, FLB_Z = 8, FLB_S = 16, FLB_O = 32, FLB_D = 64 };

extern InsnDesc *insn_desc;             /* [insn_row_count], valid after insn_table_init */
extern uint16_t insn_first[2][4][256];  /* [enc][map][opcode]: first row to try */

/* Parses the rows and builds the decode tables.  Once, before the first decode; again is
 * harmless.  A malformed row aborts with its text. */
void insn_table_init(void);

/* ---- decoding --------------------------------------------------------------------------- */

typedef struct InsnBytes {
    const uint8_t *p;       /* guest bytes, n of them readable */
    unsigned n;
} InsnBytes;

typedef enum {
    DECODE_OK,
    DECODE_MORE,            /* ran out of bytes: n was too small */
    DECODE_FAULT,           /* the instruction raises: *out does it (its fn raises #UD, #NM, #GP) */
} DecodeResult;

/*
 * Decode one instruction for mode word `mode` on a CPU with c's features.  off is its distance
 * from the block's start (for RIP-relative operands and branches).  *out is complete but for
 * nothing: fn is the handler of the row.
 */
DecodeResult insn_decode(const X86CPU *c, uint32_t mode, InsnBytes bytes, unsigned off, Insn *out);

#endif
