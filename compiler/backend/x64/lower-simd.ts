/**
 * Selection of vector arithmetic: what is one instruction comes from simd-table.ts, the rest is spelled out here.
 *
 * Sequences keep the exact results of the specification: NaNs are quiet, zeros have their signs, out-of-range
 * conversions saturate.
 */
import { bug } from '../../diagnostics.ts';
import { F_A, F_B, F_C, F_IMM2, ROW, type Value } from '../../ir/func.ts';
import { Op } from '../../ir/ops.ts';
import { VEC_LANES, VecOp } from '../../ir/vec-ops.ts';
import { RegClass } from '../mach.ts';
import { Ins } from './encode-table.ts';
import { X, xop } from './insts.ts';
import type { Selection } from './lower-base.ts';
import {
  all8,
  all16,
  all32,
  all64,
  binary,
  blend,
  constant,
  copy,
  fma,
  foldable,
  memRow,
  ones,
  op1,
  op1i,
  op1r,
  op2,
  op2c,
  op2ci,
  op2i,
  op2r,
  shift,
  ternary,
  type Words,
  wordsOf,
  zero,
} from './simd-rows.ts';
import {
  BINARY,
  ENTRY_COMMUTES,
  ENTRY_IMM,
  ENTRY_INS,
  ENTRY_SWAP,
  EQ,
  EXTEND_S,
  MAX_S,
  MAX_U,
  MIN_S,
  MIN_U,
  Predicate,
  Round,
  SUB,
  UNARY,
  UNARY_EVEX,
  UNPACK_HIGH,
} from './simd-table.ts';

/** Lanes 2 and 3 of 32 bits to the places of 0 and 1. */
const HIGH_HALF = 0xee;
/** The upper word of each 64-bit lane in both of its words. */
const UPPER_WORDS = 0xf5;
/** Lanes 0 and 1, or 2 and 3, of 32 bits in the lower words of the 64-bit lanes. */
const SPREAD_LOW = 0x50;
const SPREAD_HIGH = 0xfa;

const ONES: Words = all32(-1);
const SIGN32 = 0x80000000 | 0;
/** 2^31 as f32. */
const F32_TWO_31: Words = all32(0x4f000000);
/** 2^31 - 1, 2^32 - 1 and 2^52 as f64. */
const F64_MAX_S32: Words = all64(0xffc00000 | 0, 0x41dfffff);
const F64_MAX_U32: Words = all64(0xffe00000 | 0, 0x41efffff);
const F64_TWO_52: Words = all64(0, 0x43300000);
/** Upper word of 2^52: with a u32 as the lower word it is 2^52 plus that. */
const TWO_52_HIGH: Words = all32(0x43300000);
/** Bits set in each number of 4 bits. */
const POPCOUNTS: Words = [0x02010100, 0x03020201, 0x03020201, 0x04030302];

function vecOp(s: Selection, v: Value): VecOp {
  return s.func.rows[v * ROW + F_IMM2]!;
}

/** log2 of the bytes of a lane. */
function widthOf(op: VecOp): number {
  return 4 - Math.log2(VEC_LANES[op]!);
}

// ---- one operand

/**
 * A value whose lower half is a load of 8 bytes made for it alone: that load may be the operand of an instruction that
 * reads no more.
 */
function lowHalfLoad(s: Selection, a: Value): Value {
  if (!s.isPart(a, Op.VZext)) return 0;
  const load = s.func.rows[a * ROW + F_A]!;
  return s.canFold(load, 8) ? load : 0;
}

export function selectVectorUnary(s: Selection, v: Value): void {
  const op = vecOp(s, v);
  const av = s.func.rows[v * ROW + F_A]!;
  const d = s.result(v);
  const entry = (s.cpu.avx512vl && UNARY_EVEX[op]) || UNARY[op]!;
  if (entry !== 0) {
    const ins: Ins = entry & ENTRY_INS;
    const load = readsHalf(ins) ? lowHalfLoad(s, av) : 0;
    if (load !== 0) {
      memRow(s, xop(X.Rm, ins, 16), load);
      s.def(d);
      s.addr();
    } else if ((entry & ENTRY_IMM) !== 0) op1i(s, ins, s.val(av), entry >>> 24, d);
    else op1(s, ins, s.val(av), d);
    return;
  }
  const a = s.val(av);
  switch (op) {
    case VecOp.v128_not:
      op2c(s, Ins.PXOR, a, ONES, d);
      return;
    case VecOp.i8x16_neg:
    case VecOp.i16x8_neg:
    case VecOp.i32x4_neg:
    case VecOp.i64x2_neg:
      op2(s, SUB[widthOf(op)]!, zero(s), a, d);
      return;
    case VecOp.i64x2_abs: {
      const sign = shift(s, Ins.PSRAD, op1i(s, Ins.PSHUFD, a, UPPER_WORDS), 31);
      op2(s, Ins.PSUBQ, op2(s, Ins.PXOR, a, sign), sign, d);
      return;
    }
    case VecOp.i8x16_popcnt: {
      const mask = all8(15);
      const low = op2c(s, Ins.PAND, a, mask);
      const high = op2c(s, Ins.PAND, shift(s, Ins.PSRLW, a, 4), mask);
      const counts = constant(s, POPCOUNTS);
      const x = op2(s, Ins.PSHUFB, counts, low);
      op2(s, Ins.PADDB, x, op2(s, Ins.PSHUFB, counts, high), d);
      return;
    }
    case VecOp.f32x4_abs:
      op2c(s, Ins.ANDPS, a, all32(0x7fffffff), d);
      return;
    case VecOp.f64x2_abs:
      op2c(s, Ins.ANDPS, a, all64(-1, 0x7fffffff), d);
      return;
    case VecOp.f32x4_neg:
      op2c(s, Ins.XORPS, a, all32(SIGN32), d);
      return;
    case VecOp.f64x2_neg:
      op2c(s, Ins.XORPS, a, all64(0, SIGN32), d);
      return;
    case VecOp.i16x8_extadd_pairwise_i8x16_s:
      op2(s, Ins.PMADDUBSW, constant(s, all8(1)), a, d);
      return;
    case VecOp.i16x8_extadd_pairwise_i8x16_u:
      op2c(s, Ins.PMADDUBSW, a, all8(1), d);
      return;
    case VecOp.i32x4_extadd_pairwise_i16x8_s:
      op2c(s, Ins.PMADDWD, a, all16(1), d);
      return;
    case VecOp.i32x4_extadd_pairwise_i16x8_u: {
      // As signed numbers less 2^15 each.
      const x = op2c(s, Ins.PXOR, a, all16(0x8000));
      op2c(s, Ins.PADDD, op2c(s, Ins.PMADDWD, x, all16(1)), all32(0x10000), d);
      return;
    }
    case VecOp.i16x8_extend_high_i8x16_s:
    case VecOp.i32x4_extend_high_i16x8_s:
    case VecOp.i64x2_extend_high_i32x4_s:
      op1(s, EXTEND_S[widthOf(op) - 1]!, op1i(s, Ins.PSHUFD, a, HIGH_HALF), d);
      return;
    case VecOp.i16x8_extend_high_i8x16_u:
    case VecOp.i32x4_extend_high_i16x8_u:
    case VecOp.i64x2_extend_high_i32x4_u:
      op2(s, UNPACK_HIGH[widthOf(op) - 1]!, a, zero(s), d);
      return;
    case VecOp.f32x4_convert_i32x4_u:
      convertU32(s, a, d);
      return;
    case VecOp.f64x2_convert_low_i32x4_u:
      op2c(s, Ins.SUBPD, op2c(s, Ins.UNPCKLPS, a, TWO_52_HIGH), F64_TWO_52, d);
      return;
    case VecOp.i32x4_trunc_sat_f32x4_s: {
      // NaN becomes zero; what is too large becomes the lowest number, which is one away from the highest.
      const x = op2(s, Ins.ANDPS, a, op2i(s, Ins.CMPPS, a, a, Predicate.EQ));
      const large = op2ci(s, Ins.CMPPS, x, F32_TWO_31, Predicate.NLT);
      op2(s, Ins.PXOR, op1(s, Ins.CVTTPS2DQ, x), large, d);
      return;
    }
    case VecOp.i32x4_trunc_sat_f32x4_u:
    case VecOp.i32x4_relaxed_trunc_f32x4_u:
      truncU32(s, a, d);
      return;
    case VecOp.i32x4_trunc_sat_f64x2_s_zero: {
      // For a NaN, MINPD gives its second operand: zero.
      const limit = op2c(s, Ins.ANDPS, op2i(s, Ins.CMPPD, a, a, Predicate.EQ), F64_MAX_S32);
      op1(s, Ins.CVTTPD2DQ, op2(s, Ins.MINPD, a, limit), d);
      return;
    }
    case VecOp.i32x4_trunc_sat_f64x2_u_zero:
    case VecOp.i32x4_relaxed_trunc_f64x2_u_zero: {
      // The lower word of 2^52 plus the number is the number.
      const none = zero(s);
      const positive = op2(s, Ins.MAXPD, a, none);
      if (s.cpu.avx512vl) {
        op1(s, Ins.VCVTTPD2UDQ, positive, d);
        return;
      }
      const x = op2c(s, Ins.MINPD, positive, F64_MAX_U32);
      const sum = op2c(s, Ins.ADDPD, op1i(s, Ins.ROUNDPD, x, Round.Trunc), F64_TWO_52);
      op2i(s, Ins.SHUFPS, sum, none, 0x88, d);
      return;
    }
    default:
      bug(`no selection for the vector operator ${op}`);
  }
}

/** Instructions that read 8 bytes at most. */
function readsHalf(ins: Ins): boolean {
  switch (ins) {
    case Ins.PMOVSXBW:
    case Ins.PMOVSXWD:
    case Ins.PMOVSXDQ:
    case Ins.PMOVZXBW:
    case Ins.PMOVZXWD:
    case Ins.PMOVZXDQ:
    case Ins.CVTPS2PD:
    case Ins.CVTDQ2PD:
    case Ins.VCVTUDQ2PD:
      return true;
    default:
      return false;
  }
}

/**
 * Both halves of 16 bits are exact as f32; only their sum is rounded. The upper one is halved to be a positive number.
 */
function convertU32(s: Selection, a: number, d: number): void {
  const low = op2i(s, Ins.PBLENDW, zero(s), a, 0x55);
  const half = op1(s, Ins.CVTDQ2PS, shift(s, Ins.PSRLD, op2(s, Ins.PSUBD, a, low), 1));
  op2(s, Ins.ADDPS, op2(s, Ins.ADDPS, half, half), op1(s, Ins.CVTDQ2PS, low), d);
}

/** What a number has above 2^31 is converted apart, and added: CVTTPS2DQ gives 2^31 for all that is as large. */
function truncU32(s: Selection, a: number, d: number): void {
  const none = zero(s);
  // For a NaN, MAXPS gives its second operand: zero.
  const x = op2(s, Ins.MAXPS, a, none);
  if (s.cpu.avx512vl) {
    // All ones for what is too large.
    op1(s, Ins.VCVTTPS2UDQ, x, d);
    return;
  }
  const above = op2c(s, Ins.SUBPS, x, F32_TWO_31);
  const large = op2ci(s, Ins.CMPPS, above, F32_TWO_31, Predicate.NLT);
  const y = op2(s, Ins.PXOR, op1(s, Ins.CVTTPS2DQ, above), large);
  op2(s, Ins.PADDD, op1(s, Ins.CVTTPS2DQ, x), op2(s, Ins.PMAXSD, y, none), d);
}

// ---- two operands

/** A value that may be a memory operand. */
function isMemory(s: Selection, v: Value): boolean {
  return s.opOf(v) === Op.VConst || foldable(s, v);
}

export function selectVectorBinary(s: Selection, v: Value): void {
  const r = s.func.rows;
  const op = vecOp(s, v);
  const av = r[v * ROW + F_A]!;
  const bv = r[v * ROW + F_B]!;
  const d = s.result(v);
  const entry = BINARY[op]!;
  if (entry !== 0) {
    const commutes = (entry & ENTRY_COMMUTES) !== 0 && isMemory(s, av) && !isMemory(s, bv);
    const swap = (entry & ENTRY_SWAP) !== 0 || commutes;
    const imm = (entry & ENTRY_IMM) !== 0 ? entry >>> 24 : -1;
    binary(s, entry & ENTRY_INS, imm, swap ? bv : av, swap ? av : bv, d);
    return;
  }
  if (op === VecOp.i8x16_swizzle) {
    swizzle(s, av, bv, d);
    return;
  }
  const a = s.val(av);
  const b = s.val(bv);
  const width = widthOf(op);
  switch (op) {
    case VecOp.i8x16_ne:
    case VecOp.i16x8_ne:
    case VecOp.i32x4_ne:
    case VecOp.i64x2_ne:
      op2c(s, Ins.PXOR, op2(s, EQ[width]!, a, b), ONES, d);
      return;
    case VecOp.i8x16_le_s:
    case VecOp.i16x8_le_s:
    case VecOp.i32x4_le_s:
      op2(s, EQ[width]!, op2(s, MIN_S[width]!, a, b), a, d);
      return;
    case VecOp.i8x16_ge_s:
    case VecOp.i16x8_ge_s:
    case VecOp.i32x4_ge_s:
      op2(s, EQ[width]!, op2(s, MAX_S[width]!, a, b), a, d);
      return;
    case VecOp.i8x16_le_u:
    case VecOp.i16x8_le_u:
    case VecOp.i32x4_le_u:
      op2(s, EQ[width]!, op2(s, MIN_U[width]!, a, b), a, d);
      return;
    case VecOp.i8x16_ge_u:
    case VecOp.i16x8_ge_u:
    case VecOp.i32x4_ge_u:
      op2(s, EQ[width]!, op2(s, MAX_U[width]!, a, b), a, d);
      return;
    case VecOp.i8x16_lt_u:
    case VecOp.i16x8_lt_u:
    case VecOp.i32x4_lt_u:
      op2c(s, Ins.PXOR, op2(s, EQ[width]!, op2(s, MAX_U[width]!, a, b), a), ONES, d);
      return;
    case VecOp.i8x16_gt_u:
    case VecOp.i16x8_gt_u:
    case VecOp.i32x4_gt_u:
      op2c(s, Ins.PXOR, op2(s, EQ[width]!, op2(s, MIN_U[width]!, a, b), a), ONES, d);
      return;
    case VecOp.i64x2_gt_s:
      greater64(s, a, b, d);
      return;
    case VecOp.i64x2_lt_s:
      greater64(s, b, a, d);
      return;
    case VecOp.i64x2_le_s:
      op2c(s, Ins.PXOR, greater64(s, a, b, s.fresh(RegClass.Vec)), ONES, d);
      return;
    case VecOp.i64x2_ge_s:
      op2c(s, Ins.PXOR, greater64(s, b, a, s.fresh(RegClass.Vec)), ONES, d);
      return;
    case VecOp.i64x2_mul: {
      if (s.cpu.avx512dq) {
        op2(s, Ins.VPMULLQ, a, b, d);
        return;
      }
      const low = op2(s, Ins.PMULUDQ, a, b);
      const x = op2(s, Ins.PMULUDQ, shift(s, Ins.PSRLQ, a, 32), b);
      const y = op2(s, Ins.PMULUDQ, shift(s, Ins.PSRLQ, b, 32), a);
      op2(s, Ins.PADDQ, shift(s, Ins.PSLLQ, op2(s, Ins.PADDQ, x, y), 32), low, d);
      return;
    }
    case VecOp.i16x8_q15mulr_sat_s: {
      // Only the square of -1 overflows, to the lowest number: one away from the highest.
      const x = op2(s, Ins.PMULHRSW, a, b);
      op2(s, Ins.PXOR, x, op2c(s, Ins.PCMPEQW, x, all16(0x8000)), d);
      return;
    }
    case VecOp.i16x8_extmul_low_i8x16_s:
      op2(s, Ins.PMULLW, op1(s, Ins.PMOVSXBW, a), op1(s, Ins.PMOVSXBW, b), d);
      return;
    case VecOp.i16x8_extmul_low_i8x16_u:
      op2(s, Ins.PMULLW, op1(s, Ins.PMOVZXBW, a), op1(s, Ins.PMOVZXBW, b), d);
      return;
    case VecOp.i16x8_extmul_high_i8x16_s: {
      const x = shift(s, Ins.PSRAW, op2(s, Ins.PUNPCKHBW, a, a), 8);
      op2(s, Ins.PMULLW, x, shift(s, Ins.PSRAW, op2(s, Ins.PUNPCKHBW, b, b), 8), d);
      return;
    }
    case VecOp.i16x8_extmul_high_i8x16_u: {
      const none = zero(s);
      op2(s, Ins.PMULLW, op2(s, Ins.PUNPCKHBW, a, none), op2(s, Ins.PUNPCKHBW, b, none), d);
      return;
    }
    case VecOp.i32x4_extmul_low_i16x8_s:
      op2(s, Ins.PUNPCKLWD, op2(s, Ins.PMULLW, a, b), op2(s, Ins.PMULHW, a, b), d);
      return;
    case VecOp.i32x4_extmul_high_i16x8_s:
      op2(s, Ins.PUNPCKHWD, op2(s, Ins.PMULLW, a, b), op2(s, Ins.PMULHW, a, b), d);
      return;
    case VecOp.i32x4_extmul_low_i16x8_u:
      op2(s, Ins.PUNPCKLWD, op2(s, Ins.PMULLW, a, b), op2(s, Ins.PMULHUW, a, b), d);
      return;
    case VecOp.i32x4_extmul_high_i16x8_u:
      op2(s, Ins.PUNPCKHWD, op2(s, Ins.PMULLW, a, b), op2(s, Ins.PMULHUW, a, b), d);
      return;
    case VecOp.i64x2_extmul_low_i32x4_s:
      multiply32(s, Ins.PMULDQ, SPREAD_LOW, a, b, d);
      return;
    case VecOp.i64x2_extmul_high_i32x4_s:
      multiply32(s, Ins.PMULDQ, SPREAD_HIGH, a, b, d);
      return;
    case VecOp.i64x2_extmul_low_i32x4_u:
      multiply32(s, Ins.PMULUDQ, SPREAD_LOW, a, b, d);
      return;
    case VecOp.i64x2_extmul_high_i32x4_u:
      multiply32(s, Ins.PMULUDQ, SPREAD_HIGH, a, b, d);
      return;
    case VecOp.f32x4_min:
      minimum(s, Ins.MINPS, Ins.CMPPS, Ins.PSRLD, 10, a, b, d);
      return;
    case VecOp.f64x2_min:
      minimum(s, Ins.MINPD, Ins.CMPPD, Ins.PSRLQ, 13, a, b, d);
      return;
    case VecOp.f32x4_max:
      maximum(s, Ins.MAXPS, Ins.SUBPS, Ins.CMPPS, Ins.PSRLD, 10, a, b, d);
      return;
    case VecOp.f64x2_max:
      maximum(s, Ins.MAXPD, Ins.SUBPD, Ins.CMPPD, Ins.PSRLQ, 13, a, b, d);
      return;
    default:
      bug(`no selection for the vector operator ${op}`);
  }
}

/**
 * Indices from 16 on choose zero; PSHUFB looks at bit 7 and the low four bits only. Saturating addition of 0x70 sets
 * bit 7 of just those.
 */
function swizzle(s: Selection, av: Value, bv: Value, d: number): void {
  const a = s.val(av);
  if (s.opOf(bv) === Op.VConst) {
    const words = wordsOf(s, bv).map(w => {
      let out = 0;
      for (let i = 0; i < 32; i += 8) out |= (((w >>> i) & 0xff) > 15 ? 0x80 : (w >>> i) & 0xff) << i;
      return out;
    });
    op2c(s, Ins.PSHUFB, a, words as unknown as Words, d);
    return;
  }
  op2(s, Ins.PSHUFB, a, op2c(s, Ins.PADDUSB, s.val(bv), all8(0x70)), d);
}

/**
 * d = a > b, signed. Without SSE4.2: the upper words decide, or, where they are equal, the borrow of b - a, whose upper
 * word is then all ones or all zeros.
 */
function greater64(s: Selection, a: number, b: number, d: number): number {
  if (s.cpu.sse42) return op2(s, Ins.PCMPGTQ, a, b, d);
  const borrow = op2(s, Ins.PAND, op2(s, Ins.PSUBQ, b, a), op2(s, Ins.PCMPEQD, a, b));
  return op1i(s, Ins.PSHUFD, op2(s, Ins.POR, borrow, op2(s, Ins.PCMPGTD, a, b)), UPPER_WORDS, d);
}

function multiply32(s: Selection, ins: Ins, spread: number, a: number, b: number, d: number): void {
  op2(s, ins, op1i(s, Ins.PSHUFD, a, spread), op1i(s, Ins.PSHUFD, b, spread), d);
}

/**
 * MINPS gives its second operand when one is a NaN, and when both are zeros: taken both ways round, the disjunction has
 * the sign of either zero, and is a NaN if there is one. That becomes the canonical NaN by setting all its bits and
 * then clearing the payload.
 */
function minimum(
  s: Selection,
  min: Ins,
  cmp: Ins,
  shiftRight: Ins,
  payload: number,
  a: number,
  b: number,
  d: number,
): void {
  const x = op2(s, Ins.ORPS, op2(s, min, a, b), op2(s, min, b, a));
  const nan = op2i(s, cmp, x, x, Predicate.UNORD);
  op2(s, Ins.ANDNPS, shift(s, shiftRight, nan, payload), op2(s, Ins.ORPS, x, nan), d);
}

/**
 * The same for the maximum, where a difference of both ways is the sign of a zero or there is a NaN: subtracted from
 * the disjunction, -0 - -0 is +0, and a NaN stays one.
 */
function maximum(
  s: Selection,
  max: Ins,
  sub: Ins,
  cmp: Ins,
  shiftRight: Ins,
  payload: number,
  a: number,
  b: number,
  d: number,
): void {
  const one = op2(s, max, a, b);
  const difference = op2(s, Ins.XORPS, one, op2(s, max, b, a));
  const x = op2(s, sub, op2(s, Ins.ORPS, one, difference), difference);
  const nan = op2i(s, cmp, x, x, Predicate.UNORD);
  op2(s, Ins.ANDNPS, shift(s, shiftRight, nan, payload), x, d);
}

// ---- three operands

export function selectVectorTernary(s: Selection, v: Value): void {
  const r = s.func.rows;
  const op = vecOp(s, v);
  const d = s.result(v);
  const a = s.val(r[v * ROW + F_A]!);
  const b = s.val(r[v * ROW + F_B]!);
  const c = s.val(r[v * ROW + F_C]!);
  switch (op) {
    case VecOp.v128_bitselect:
      bitselect(s, a, b, c, d);
      return;
    case VecOp.i8x16_relaxed_laneselect:
      laneselect(s, Ins.VPBLENDVB, a, b, c, d);
      return;
    case VecOp.i16x8_relaxed_laneselect:
      // A blend of bytes takes each byte by its own top bit, which the proposal does not allow for lanes of 16 bits
      // with mixed masks.
      bitselect(s, a, b, c, d);
      return;
    case VecOp.i32x4_relaxed_laneselect:
      laneselect(s, Ins.VBLENDVPS, a, b, c, d);
      return;
    case VecOp.i64x2_relaxed_laneselect:
      laneselect(s, Ins.VBLENDVPD, a, b, c, d);
      return;
    case VecOp.f32x4_relaxed_madd:
      if (s.cpu.fma) fma(s, Ins.VFMADD231PS, a, b, c, d);
      else op2(s, Ins.ADDPS, op2(s, Ins.MULPS, a, b), c, d);
      return;
    case VecOp.f64x2_relaxed_madd:
      if (s.cpu.fma) fma(s, Ins.VFMADD231PD, a, b, c, d);
      else op2(s, Ins.ADDPD, op2(s, Ins.MULPD, a, b), c, d);
      return;
    case VecOp.f32x4_relaxed_nmadd:
      if (s.cpu.fma) fma(s, Ins.VFNMADD231PS, a, b, c, d);
      else op2(s, Ins.SUBPS, c, op2(s, Ins.MULPS, a, b), d);
      return;
    case VecOp.f64x2_relaxed_nmadd:
      if (s.cpu.fma) fma(s, Ins.VFNMADD231PD, a, b, c, d);
      else op2(s, Ins.SUBPD, c, op2(s, Ins.MULPD, a, b), d);
      return;
    case VecOp.i32x4_relaxed_dot_i8x16_i7x16_add_s:
      op2(s, Ins.PADDD, op2c(s, Ins.PMADDWD, op2(s, Ins.PMADDUBSW, b, a), all16(1)), c, d);
      return;
    default:
      bug(`no selection for the vector operator ${op}`);
  }
}

/** c ? a : b, as a truth table of these three. */
const CHOICE = 0xca;

function bitselect(s: Selection, a: number, b: number, c: number, d: number): void {
  if (s.cpu.avx512vl) {
    ternary(s, Ins.VPTERNLOGD, CHOICE, c, a, b, d);
    return;
  }
  op2(s, Ins.POR, op2(s, Ins.PAND, a, c), op2(s, Ins.PANDN, c, b), d);
}

function laneselect(s: Selection, ins: Ins, a: number, b: number, c: number, d: number): void {
  if (s.cpu.avx) blend(s, ins, b, a, c, d);
  else bitselect(s, a, b, c, d);
}

// ---- shifts

/** Shifts of lanes of 16, 32 and 64 bits: left, right unsigned, right signed. */
const SHIFTS = [
  [],
  [Ins.PSLLW, Ins.PSRLW, Ins.PSRAW],
  [Ins.PSLLD, Ins.PSRLD, Ins.PSRAD],
  [Ins.PSLLQ, Ins.PSRLQ],
] as const;

export function selectVectorShift(s: Selection, v: Value): void {
  const r = s.func.rows;
  const op = vecOp(s, v);
  const av = r[v * ROW + F_A]!;
  const bv = r[v * ROW + F_B]!;
  const d = s.result(v);
  const width = widthOf(op);
  const left =
    op === VecOp.i8x16_shl || op === VecOp.i16x8_shl || op === VecOp.i32x4_shl || op === VecOp.i64x2_shl;
  const signed =
    op === VecOp.i8x16_shr_s ||
    op === VecOp.i16x8_shr_s ||
    op === VecOp.i32x4_shr_s ||
    op === VecOp.i64x2_shr_s;
  const mask = (8 << width) - 1;
  const a = s.val(av);
  const constantCount = s.isConst(bv);
  const n = constantCount ? s.imm(bv) & mask : 0;
  if (constantCount && n === 0) {
    copy(s, a, d);
    return;
  }
  if (width === 0) {
    if (constantCount) shiftBytes(s, left, signed, a, n, d);
    else shiftBytesBy(s, left, signed, a, bv, d);
    return;
  }
  const count = constantCount ? -1 : shiftCount(s, bv, mask, 0);
  const by = (ins: Ins, x: number, to = s.fresh(RegClass.Vec)): number =>
    constantCount ? shift(s, ins, x, n, to) : op2r(s, ins, x, count, to);
  if (width === 3 && signed && s.cpu.avx512vl) {
    by(Ins.VPSRAQ, a, d);
    return;
  }
  if (width === 3 && signed) {
    // The sign bit, moved along, tells which bits to fill: flipped and subtracted, it carries through all above.
    const sign = by(Ins.PSRLQ, constant(s, all64(0, SIGN32)));
    op2(s, Ins.PSUBQ, op2(s, Ins.PXOR, by(Ins.PSRLQ, a), sign), sign, d);
    return;
  }
  by(SHIFTS[width]![left ? 0 : signed ? 2 : 1]!, a, d);
}

/** The count, taken modulo the width of a lane and with something added, in a vector register. */
function shiftCount(s: Selection, bv: Value, mask: number, add: number): number {
  const c = s.val(bv);
  let n = s.fresh(RegClass.Int);
  s.row(xop(X.AluI, Ins.AND, 4), 0, mask);
  s.defReuse(n);
  s.use(c);
  if (add !== 0) {
    const sum = s.fresh(RegClass.Int);
    s.row(xop(X.AluI, Ins.ADD, 4), 0, add);
    s.defReuse(sum);
    s.use(n);
    n = sum;
  }
  return op1r(s, Ins.MOVD_TO_X, n, s.fresh(RegClass.Float), 4);
}

/** Bytes by a constant: words are shifted, and what came from the neighbour is masked away. */
function shiftBytes(s: Selection, left: boolean, signed: boolean, a: number, n: number, d: number): void {
  if (left) {
    op2c(s, Ins.PAND, shift(s, Ins.PSLLW, a, n), all8(0xff << n), d);
    return;
  }
  const mask = all8(0xff >> n);
  if (!signed) {
    op2c(s, Ins.PAND, shift(s, Ins.PSRLW, a, n), mask, d);
    return;
  }
  const sign = all8(0x80 >> n);
  const x = op2c(s, Ins.PAND, shift(s, Ins.PSRLW, a, n), mask);
  op2c(s, Ins.PSUBB, op2c(s, Ins.PXOR, x, sign), sign, d);
}

function shiftBytesBy(s: Selection, left: boolean, signed: boolean, a: number, bv: Value, d: number): void {
  if (signed) {
    // Each byte in the upper half of a word.
    const count = shiftCount(s, bv, 7, 8);
    const low = op2r(s, Ins.PSRAW, op2(s, Ins.PUNPCKLBW, a, a), count);
    const high = op2r(s, Ins.PSRAW, op2(s, Ins.PUNPCKHBW, a, a), count);
    op2(s, Ins.PACKSSWB, low, high, d);
    return;
  }
  const count = shiftCount(s, bv, 7, 0);
  const ins = left ? Ins.PSLLW : Ins.PSRLW;
  // The mask: words of ones shifted alike; the lower byte of one shows what stays of a byte to the left, the upper one
  // to the right.
  const words = op2r(s, ins, ones(s), count);
  const mask = left ? op2(s, Ins.PSHUFB, words, zero(s)) : op2c(s, Ins.PSHUFB, words, all8(1));
  op2(s, Ins.PAND, op2r(s, ins, a, count), mask, d);
}
