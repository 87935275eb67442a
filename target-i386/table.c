/* SPDX-License-Identifier: MIT */
/*
 * The instruction table in memory: the rows of insns.def.
 */
#include "target-i386/insn.h"
#include "target-i386/cpuid.h"

#define TABLE_DECLARE
#include "target-i386/table.h"
#define I(opcode, name, operands, feature, attr, flags, ...) __VA_ARGS__
#include "target-i386/insns.def"
#undef I
#undef TABLE_DECLARE
#undef H
#undef HM
#undef HML
#undef HS
#undef HSM
#undef HSML
#undef HV
#undef HVM

#include "target-i386/table.h"
const InsnRow insn_rows[] = {
#define I(opc, mnem, opnds, feat, att, fl, ...) \
    { .opcode = opc, .name = #mnem, .operands = opnds, .feature = CPUID_##feat, .attr = att, \
      .flags = fl, __VA_ARGS__ },
#include "target-i386/insns.def"
#undef I
};
const unsigned insn_row_count = sizeof(insn_rows) / sizeof(insn_rows[0]);
