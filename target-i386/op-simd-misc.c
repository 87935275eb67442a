/* SPDX-License-Identifier: MIT */
/*
 * AES, SHA and string-compare instructions: operands for the functions of vec-crypto.c.
 *
 * Source: Intel SDM volume 2.
 */
#include "target-i386/simd.h"
#include "target-i386/vec-crypto.h"

/* dest = OP(first, W): legacy and VEX.128 */
#define CRYPTO2(name)                                                              \
    FAST_HANDLER(name##_x)                                                         \
    {                                                                              \
        V128 b = src_x(c, i);                                                      \
        put_x(c, i->reg, lane_##name(X0(c, i->reg), b));                           \
        NEXT;                                                                      \
    }                                                                              \
    FAST_HANDLER(name##_v)                                                         \
    {                                                                              \
        V128 b = src_u(c, i);                                                      \
        put_v128(c, i->reg, lane_##name(X0(c, i->vvvv), b));                       \
        NEXT;                                                                      \
    }
CRYPTO2(aesenc) CRYPTO2(aesenclast) CRYPTO2(aesdec) CRYPTO2(aesdeclast)

FAST_HANDLER(aesimc_x)
{
    put_x(c, i->reg, lane_aesimc(src_x(c, i)));
    NEXT;
}
FAST_HANDLER(aesimc_v)
{
    put_v128(c, i->reg, lane_aesimc(src_u(c, i)));
    NEXT;
}
FAST_HANDLER(aeskeygenassist_x)
{
    put_x(c, i->reg, lane_aeskeygenassist(src_x(c, i), (uint8_t)i->imm));
    NEXT;
}
FAST_HANDLER(aeskeygenassist_v)
{
    put_v128(c, i->reg, lane_aeskeygenassist(src_u(c, i), (uint8_t)i->imm));
    NEXT;
}

#define SHA2(name)                                                                 \
    FAST_HANDLER(name)                                                             \
    {                                                                              \
        V128 b = src_x(c, i);                                                      \
        put_x(c, i->reg, lane_##name(X0(c, i->reg), b));                           \
        NEXT;                                                                      \
    }
SHA2(sha1nexte) SHA2(sha1msg1) SHA2(sha1msg2) SHA2(sha256msg1) SHA2(sha256msg2)

FAST_HANDLER(sha1rnds4)
{
    V128 b = src_x(c, i);
    put_x(c, i->reg, lane_sha1rnds4(X0(c, i->reg), b, i->imm & 3));
    NEXT;
}
FAST_HANDLER(sha256rnds2)
{
    V128 b = src_x(c, i);
    put_x(c, i->reg, lane_sha256rnds2(X0(c, i->reg), b, X0(c, 0)));
    NEXT;
}

/* ---- PCMPxSTRx ---------------------------------------------------------------------------------- */

/* Explicit lengths: |EAX| and |EDX| (RAX, RDX with REX.W), at most the number of elements. */
static unsigned explicit_length(const X86CPU *c, const Insn *i, unsigned r)
{
    int64_t n = i->flags & IF_W ? (int64_t)R64(c, r) : (int32_t)R32(c, r);
    unsigned max = i->imm & 1 ? 8 : 16;

    return n > max || n < -(int64_t)max ? max : n < 0 ? -n : n;
}

/* kind: bit 0 implicit lengths, bit 1 index (else mask) */
static void string_compare(X86CPU *c, const Insn *i, unsigned kind)
{
    V128 b = src_u(c, i), a = X0(c, i->reg);
    unsigned imm = (uint8_t)i->imm, n = imm & 1 ? 8 : 16;
    unsigned la = kind & 1 ? lane_str_length(a, imm) : explicit_length(c, i, R_EAX);
    unsigned lb = kind & 1 ? lane_str_length(b, imm) : explicit_length(c, i, R_EDX);
    unsigned res = lane_str_compare(a, b, la, lb, imm);

    if (kind & 2) {
        unsigned at = n;
        if (res) {
            at = imm & 0x40 ? 31 - __builtin_clz(res) : __builtin_ctz(res);
        }
        WR64(c, R_ECX, at);
    } else {
        V128 m = { { 0 } };
        if (!(imm & 0x40)) {
            m.q[0] = res;
        } else {
            for (unsigned k = 0; k < n; k++) {
                if (!((res >> k) & 1)) {
                    continue;
                }
                if (imm & 1) {
                    m.w[I16(k)] = 0xffff;
                } else {
                    m.b[I8(k)] = 0xff;
                }
            }
        }
        put_x(c, 0, m);
        if (i->flags & IF_VEX) {
            vec_zero_above(&c->v[0], 16);
        }
    }
    flags_write_all(c, (res ? FL_CF : 0) | (lb < n ? FL_ZF : 0) | (la < n ? FL_SF : 0) |
                       (res & 1 ? FL_OF : 0));
}
FAST_HANDLER(pcmpestrm) { string_compare(c, i, 0); NEXT; }
FAST_HANDLER(pcmpistrm) { string_compare(c, i, 1); NEXT; }
FAST_HANDLER(pcmpestri) { string_compare(c, i, 2); NEXT; }
FAST_HANDLER(pcmpistri) { string_compare(c, i, 3); NEXT; }
