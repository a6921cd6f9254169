/** Vector operators that are one instruction of x86, as data. */
import { VEC_OP_COUNT, VecOp } from '../../ir/vec-ops.ts';
import { Ins } from './encode-table.ts';

/** Fields of an entry; 0: none. */
export const ENTRY_INS = 0xffff;
/** The operands change places. */
export const ENTRY_SWAP = 1 << 16;
/** An immediate follows, in bits 24–31. */
export const ENTRY_IMM = 1 << 17;

/** The operands may change places where that saves an instruction. */
export const ENTRY_COMMUTES = 1 << 18;

const either = (ins: Ins): number => ins | ENTRY_COMMUTES;
const swap = (ins: Ins): number => ins | ENTRY_SWAP;
const imm = (ins: Ins, n: number): number => ins | ENTRY_IMM | (n << 24);

/** Predicates of CMPPS and CMPPD. */
export const enum Predicate {
  EQ = 0,
  LT,
  LE,
  UNORD,
  NEQ,
  NLT,
}
/** Rounding modes of ROUNDPS and ROUNDPD, without the precision exception. */
export const enum Round {
  Nearest = 8,
  Floor,
  Ceil,
  Trunc,
}

function table(entries: readonly (readonly [VecOp, number])[]): Int32Array {
  const t = new Int32Array(VEC_OP_COUNT);
  for (const [op, entry] of entries) t[op] = entry;
  return t;
}

/** Two operands, the first of which is the destination in the encoding without VEX. */
export const BINARY = table([
  [VecOp.v128_and, either(Ins.PAND)],
  [VecOp.v128_or, either(Ins.POR)],
  [VecOp.v128_xor, either(Ins.PXOR)],
  [VecOp.v128_andnot, swap(Ins.PANDN)],
  [VecOp.i8x16_relaxed_swizzle, Ins.PSHUFB],
  [VecOp.i8x16_add, either(Ins.PADDB)],
  [VecOp.i8x16_sub, Ins.PSUBB],
  [VecOp.i8x16_add_sat_s, either(Ins.PADDSB)],
  [VecOp.i8x16_add_sat_u, either(Ins.PADDUSB)],
  [VecOp.i8x16_sub_sat_s, Ins.PSUBSB],
  [VecOp.i8x16_sub_sat_u, Ins.PSUBUSB],
  [VecOp.i8x16_min_s, either(Ins.PMINSB)],
  [VecOp.i8x16_min_u, either(Ins.PMINUB)],
  [VecOp.i8x16_max_s, either(Ins.PMAXSB)],
  [VecOp.i8x16_max_u, either(Ins.PMAXUB)],
  [VecOp.i8x16_avgr_u, either(Ins.PAVGB)],
  [VecOp.i8x16_narrow_i16x8_s, Ins.PACKSSWB],
  [VecOp.i8x16_narrow_i16x8_u, Ins.PACKUSWB],
  [VecOp.i8x16_eq, either(Ins.PCMPEQB)],
  [VecOp.i8x16_gt_s, Ins.PCMPGTB],
  [VecOp.i8x16_lt_s, swap(Ins.PCMPGTB)],
  [VecOp.i16x8_add, either(Ins.PADDW)],
  [VecOp.i16x8_sub, Ins.PSUBW],
  [VecOp.i16x8_mul, either(Ins.PMULLW)],
  [VecOp.i16x8_add_sat_s, either(Ins.PADDSW)],
  [VecOp.i16x8_add_sat_u, either(Ins.PADDUSW)],
  [VecOp.i16x8_sub_sat_s, Ins.PSUBSW],
  [VecOp.i16x8_sub_sat_u, Ins.PSUBUSW],
  [VecOp.i16x8_min_s, either(Ins.PMINSW)],
  [VecOp.i16x8_min_u, either(Ins.PMINUW)],
  [VecOp.i16x8_max_s, either(Ins.PMAXSW)],
  [VecOp.i16x8_max_u, either(Ins.PMAXUW)],
  [VecOp.i16x8_avgr_u, either(Ins.PAVGW)],
  [VecOp.i16x8_narrow_i32x4_s, Ins.PACKSSDW],
  [VecOp.i16x8_narrow_i32x4_u, Ins.PACKUSDW],
  [VecOp.i16x8_eq, either(Ins.PCMPEQW)],
  [VecOp.i16x8_gt_s, Ins.PCMPGTW],
  [VecOp.i16x8_lt_s, swap(Ins.PCMPGTW)],
  [VecOp.i16x8_relaxed_q15mulr_s, either(Ins.PMULHRSW)],
  // The unsigned factor is the destination: the one of 7 bits, for which signed and unsigned are the same.
  [VecOp.i16x8_relaxed_dot_i8x16_i7x16_s, swap(Ins.PMADDUBSW)],
  [VecOp.i32x4_add, either(Ins.PADDD)],
  [VecOp.i32x4_sub, Ins.PSUBD],
  [VecOp.i32x4_mul, either(Ins.PMULLD)],
  [VecOp.i32x4_min_s, either(Ins.PMINSD)],
  [VecOp.i32x4_min_u, either(Ins.PMINUD)],
  [VecOp.i32x4_max_s, either(Ins.PMAXSD)],
  [VecOp.i32x4_max_u, either(Ins.PMAXUD)],
  [VecOp.i32x4_dot_i16x8_s, either(Ins.PMADDWD)],
  [VecOp.i32x4_eq, either(Ins.PCMPEQD)],
  [VecOp.i32x4_gt_s, Ins.PCMPGTD],
  [VecOp.i32x4_lt_s, swap(Ins.PCMPGTD)],
  [VecOp.i64x2_add, either(Ins.PADDQ)],
  [VecOp.i64x2_sub, Ins.PSUBQ],
  [VecOp.i64x2_eq, either(Ins.PCMPEQQ)],
  [VecOp.f32x4_add, Ins.ADDPS],
  [VecOp.f32x4_sub, Ins.SUBPS],
  [VecOp.f32x4_mul, Ins.MULPS],
  [VecOp.f32x4_div, Ins.DIVPS],
  // MINPS is `a < b ? a : b`; wasm's pseudo-minimum is `b < a ? b : a`.
  [VecOp.f32x4_pmin, swap(Ins.MINPS)],
  [VecOp.f32x4_pmax, swap(Ins.MAXPS)],
  [VecOp.f32x4_relaxed_min, Ins.MINPS],
  [VecOp.f32x4_relaxed_max, Ins.MAXPS],
  [VecOp.f32x4_eq, imm(Ins.CMPPS, Predicate.EQ)],
  [VecOp.f32x4_ne, imm(Ins.CMPPS, Predicate.NEQ)],
  [VecOp.f32x4_lt, imm(Ins.CMPPS, Predicate.LT)],
  [VecOp.f32x4_le, imm(Ins.CMPPS, Predicate.LE)],
  [VecOp.f32x4_gt, swap(imm(Ins.CMPPS, Predicate.LT))],
  [VecOp.f32x4_ge, swap(imm(Ins.CMPPS, Predicate.LE))],
  [VecOp.f64x2_add, Ins.ADDPD],
  [VecOp.f64x2_sub, Ins.SUBPD],
  [VecOp.f64x2_mul, Ins.MULPD],
  [VecOp.f64x2_div, Ins.DIVPD],
  [VecOp.f64x2_pmin, swap(Ins.MINPD)],
  [VecOp.f64x2_pmax, swap(Ins.MAXPD)],
  [VecOp.f64x2_relaxed_min, Ins.MINPD],
  [VecOp.f64x2_relaxed_max, Ins.MAXPD],
  [VecOp.f64x2_eq, imm(Ins.CMPPD, Predicate.EQ)],
  [VecOp.f64x2_ne, imm(Ins.CMPPD, Predicate.NEQ)],
  [VecOp.f64x2_lt, imm(Ins.CMPPD, Predicate.LT)],
  [VecOp.f64x2_le, imm(Ins.CMPPD, Predicate.LE)],
  [VecOp.f64x2_gt, swap(imm(Ins.CMPPD, Predicate.LT))],
  [VecOp.f64x2_ge, swap(imm(Ins.CMPPD, Predicate.LE))],
]);

/** One operand; the destination is only written. */
export const UNARY = table([
  [VecOp.i8x16_abs, Ins.PABSB],
  [VecOp.i16x8_abs, Ins.PABSW],
  [VecOp.i32x4_abs, Ins.PABSD],
  [VecOp.f32x4_sqrt, Ins.SQRTPS],
  [VecOp.f32x4_ceil, imm(Ins.ROUNDPS, Round.Ceil)],
  [VecOp.f32x4_floor, imm(Ins.ROUNDPS, Round.Floor)],
  [VecOp.f32x4_trunc, imm(Ins.ROUNDPS, Round.Trunc)],
  [VecOp.f32x4_nearest, imm(Ins.ROUNDPS, Round.Nearest)],
  [VecOp.f64x2_sqrt, Ins.SQRTPD],
  [VecOp.f64x2_ceil, imm(Ins.ROUNDPD, Round.Ceil)],
  [VecOp.f64x2_floor, imm(Ins.ROUNDPD, Round.Floor)],
  [VecOp.f64x2_trunc, imm(Ins.ROUNDPD, Round.Trunc)],
  [VecOp.f64x2_nearest, imm(Ins.ROUNDPD, Round.Nearest)],
  [VecOp.f32x4_convert_i32x4_s, Ins.CVTDQ2PS],
  [VecOp.f64x2_convert_low_i32x4_s, Ins.CVTDQ2PD],
  [VecOp.f32x4_demote_f64x2_zero, Ins.CVTPD2PS],
  [VecOp.f64x2_promote_low_f32x4, Ins.CVTPS2PD],
  [VecOp.i32x4_relaxed_trunc_f32x4_s, Ins.CVTTPS2DQ],
  [VecOp.i32x4_relaxed_trunc_f64x2_s_zero, Ins.CVTTPD2DQ],
  [VecOp.i16x8_extend_low_i8x16_s, Ins.PMOVSXBW],
  [VecOp.i16x8_extend_low_i8x16_u, Ins.PMOVZXBW],
  [VecOp.i32x4_extend_low_i16x8_s, Ins.PMOVSXWD],
  [VecOp.i32x4_extend_low_i16x8_u, Ins.PMOVZXWD],
  [VecOp.i64x2_extend_low_i32x4_s, Ins.PMOVSXDQ],
  [VecOp.i64x2_extend_low_i32x4_u, Ins.PMOVZXDQ],
]);

/** What AVX-512 has one instruction for, in place of a sequence. */
export const UNARY_EVEX = table([
  [VecOp.i64x2_abs, Ins.VPABSQ],
  [VecOp.f32x4_convert_i32x4_u, Ins.VCVTUDQ2PS],
  [VecOp.f64x2_convert_low_i32x4_u, Ins.VCVTUDQ2PD],
  [VecOp.i32x4_relaxed_trunc_f32x4_u, Ins.VCVTTPS2UDQ],
  [VecOp.i32x4_relaxed_trunc_f64x2_u_zero, Ins.VCVTTPD2UDQ],
]);

/** For each width of integer lanes (index: log2 of its bytes), the instructions that come in all of them. */
export const EQ = [Ins.PCMPEQB, Ins.PCMPEQW, Ins.PCMPEQD, Ins.PCMPEQQ] as const;
export const SUB = [Ins.PSUBB, Ins.PSUBW, Ins.PSUBD, Ins.PSUBQ] as const;
export const MIN_S = [Ins.PMINSB, Ins.PMINSW, Ins.PMINSD] as const;
export const MIN_U = [Ins.PMINUB, Ins.PMINUW, Ins.PMINUD] as const;
export const MAX_S = [Ins.PMAXSB, Ins.PMAXSW, Ins.PMAXSD] as const;
export const MAX_U = [Ins.PMAXUB, Ins.PMAXUW, Ins.PMAXUD] as const;
export const UNPACK_LOW = [Ins.PUNPCKLBW, Ins.PUNPCKLWD, Ins.PUNPCKLDQ, Ins.PUNPCKLQDQ] as const;
export const UNPACK_HIGH = [Ins.PUNPCKHBW, Ins.PUNPCKHWD, Ins.PUNPCKHDQ, Ins.PUNPCKHQDQ] as const;
export const EXTEND_S = [Ins.PMOVSXBW, Ins.PMOVSXWD, Ins.PMOVSXDQ] as const;
