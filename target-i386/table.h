/* SPDX-License-Identifier: MIT */
/*
 * The handler columns of insns.def: first as declarations, then as the function array of a
 * row.  Private to table.c, where the table is expanded twice.
 */
#ifdef TABLE_DECLARE
#define H(n)     InsnFn op_##n;
#define HM(n)    InsnFn op_##n##_r, op_##n##_m;
#define HML(n)   InsnFn op_##n##_r, op_##n##_m, op_##n##_k;
#define HS(n)    InsnFn op_##n##_w, op_##n##_l, op_##n##_q;
#define HSM(n)   InsnFn op_##n##_wr, op_##n##_wm, op_##n##_lr, op_##n##_lm, op_##n##_qr, op_##n##_qm;
#define HSML(n)  HSM(n) InsnFn op_##n##_wk, op_##n##_lk, op_##n##_qk;
#define HY(n)    InsnFn op_##n##_l, op_##n##_q;
#define H2(w, l, q) InsnFn op_##w, op_##l, op_##q;
#define HV(n)    InsnFn op_##n##_x, op_##n##_y;
#define HVM(n)   InsnFn op_##n##_xr, op_##n##_xm, op_##n##_yr, op_##n##_ym;
#else
#define H4_(f)   f, f, f, f
#define H(n)     .fn = { H4_(op_##n), H4_(op_##n), H4_(op_##n) }
#define HM(n)    .fn = { H4_(op_##n##_r), H4_(op_##n##_m), H4_(op_##n##_m) }
#define HML(n)   .fn = { H4_(op_##n##_r), H4_(op_##n##_m), H4_(op_##n##_k) }
#define HS_(n)   NULL, op_##n##_w, op_##n##_l, op_##n##_q
#define HS(n)    .fn = { HS_(n), HS_(n), HS_(n) }
#define HSF_(n, f) NULL, op_##n##_w##f, op_##n##_l##f, op_##n##_q##f
#define HSM(n)   .fn = { HSF_(n, r), HSF_(n, m), HSF_(n, m) }
#define HSML(n)  .fn = { HSF_(n, r), HSF_(n, m), HSF_(n, k) }
#define HY_(n)   NULL, NULL, op_##n##_l, op_##n##_q
#define HY(n)    .fn = { HY_(n), HY_(n), HY_(n) }
#define H2_(w, l, q) NULL, op_##w, op_##l, op_##q
#define H2(w, l, q) .fn = { H2_(w, l, q), H2_(w, l, q), H2_(w, l, q) }
/* Vector rows: VEX.L picks the column instead of the operand size. */
#define HV2_(n, f) op_##n##_x##f, op_##n##_y##f, op_##n##_x##f, op_##n##_y##f
#define HV(n)    .by_l = true, .fn = { HV2_(n, ), HV2_(n, ), HV2_(n, ) }
#define HVM(n)   .by_l = true, .fn = { HV2_(n, r), HV2_(n, m), HV2_(n, m) }
#endif
