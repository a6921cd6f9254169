/**
 * Selection of floating-point arithmetic and conversions.
 *
 * NaN: SSE arithmetic returns a quiet NaN whenever an operand is one, as wasm asks. Negation, absolute value and
 * copysign are bit operations, and moves keep all bits.
 */
import { F_A, F_B, ROW, type Value } from '../../ir/func.ts';
import { Op, Type } from '../../ir/ops.ts';
import { Opd, RegClass } from '../mach.ts';
import { Ins } from './encode-table.ts';
import { Base, TruncSub, X, xop } from './insts.ts';
import { intSize, isFloat, type Selection, trapFlags } from './lower-base.ts';
import { zero } from './simd-rows.ts';

/** The single-precision instruction; the double-precision one follows it. */
function arithmetic(op: Op): Ins {
  switch (op) {
    case Op.FAdd:
      return Ins.ADDSS;
    case Op.FSub:
      return Ins.SUBSS;
    case Op.FMul:
      return Ins.MULSS;
    default:
      return Ins.DIVSS;
  }
}

/** Destination and first operand of arithmetic: by VEX the operand stays, else its register becomes the result. */
function head(s: Selection, d: number, x: number): void {
  if (s.cpu.avx) s.def(d);
  else s.defReuse(d);
  s.use(x);
}

export function selectFloatArith(s: Selection, v: Value): void {
  const r = s.func.rows;
  const op = s.opOf(v);
  const f64 = s.typeOf(v) === Type.F64;
  const size = f64 ? 8 : 4;
  const word = xop(s.cpu.avx ? X.Vex : X.Alu, arithmetic(op) + (f64 ? 1 : 0), size);
  const d = s.result(v);
  let a = r[v * ROW + F_A]!;
  let b = r[v * ROW + F_B]!;
  // With a constant, which is no NaN or the only one looked at, order makes no difference to the result's payload that
  // wasm could see.
  if ((op === Op.FAdd || op === Op.FMul) && s.opOf(a) === Op.FConst && s.opOf(b) !== Op.FConst) {
    const t = a;
    a = b;
    b = t;
  }
  const x = s.val(a);
  if (s.canFold(b, size)) {
    s.takeLoad(b);
    s.rowMem(word, trapFlags(s.foldTrap), 0, s.foldLoc);
    head(s, d, x);
    s.addr();
  } else if (s.opOf(b) === Op.FConst) {
    s.addressOfConst(b);
    s.rowMem(word, 0, 0, s.loc());
    head(s, d, x);
  } else {
    const y = s.val(b);
    s.row(word);
    head(s, d, x);
    s.useAny(y);
  }
}

export function selectMinMax(s: Selection, v: Value): void {
  const r = s.func.rows;
  const d = s.result(v);
  const x = s.val(r[v * ROW + F_A]!);
  const y = s.val(r[v * ROW + F_B]!);
  s.row(xop(X.FMinMax, 0, s.typeOf(v) === Type.F64 ? 8 : 4, s.opOf(v) === Op.FMax ? 1 : 0));
  s.defReuse(d);
  s.use(x);
  s.use(y);
}

/** Rodata of a mask for packed logic: the sign bit of each lane, or all others. */
function addressOfMask(s: Selection, f64: boolean, sign: boolean): void {
  const hi = sign ? 0x80000000 | 0 : 0x7fffffff;
  const lo = f64 ? (sign ? 0 : -1) : hi;
  s.address(Base.Rodata, -1, -1, 0, s.rodata.const128(lo, hi, lo, hi));
}

/** `ins d, mask` on a copy of x. */
function mask(s: Selection, ins: Ins, d: number, x: number, f64: boolean, sign: boolean): void {
  addressOfMask(s, f64, sign);
  s.rowMem(xop(s.cpu.avx ? X.Vex : X.Alu, ins, 16), 0, 0, s.loc());
  head(s, d, x);
}

export function selectSignBits(s: Selection, v: Value): void {
  const r = s.func.rows;
  const f64 = s.typeOf(v) === Type.F64;
  const d = s.result(v);
  const x = s.val(r[v * ROW + F_A]!);
  switch (s.opOf(v)) {
    case Op.FAbs:
      mask(s, Ins.ANDPS, d, x, f64, false);
      return;
    case Op.FNeg:
      mask(s, Ins.XORPS, d, x, f64, true);
      return;
    default: {
      const y = s.val(r[v * ROW + F_B]!);
      const magnitude = s.fresh(RegClass.Float);
      const sign = s.fresh(RegClass.Float);
      mask(s, Ins.ANDPS, magnitude, x, f64, false);
      mask(s, Ins.ANDPS, sign, y, f64, true);
      s.row(xop(s.cpu.avx ? X.Vex : X.Alu, Ins.ORPS, 16));
      head(s, d, magnitude);
      s.use(sign);
    }
  }
}

/** `ins d, a` that keeps the rest of d: zeroed first (sub 1), as it would wait for d's old value. */
function scalar(
  s: Selection,
  x: X,
  ins: Ins,
  size: number,
  d: number,
  a: Value,
  width: number,
  imm: number,
): void {
  if (s.canFold(a, width)) {
    s.takeLoad(a);
    s.rowMem(xop(x, ins, size, 1), trapFlags(s.foldTrap), imm, s.foldLoc);
    s.def(d);
    s.addr();
    return;
  }
  const r = s.val(a);
  s.row(xop(x, ins, size, 1), 0, imm);
  s.def(d);
  s.useAny(r);
}

export function selectFloatUnary(s: Selection, v: Value): void {
  const a = s.func.rows[v * ROW + F_A]!;
  const f64 = s.typeOf(v) === Type.F64;
  const size = f64 ? 8 : 4;
  const d = s.result(v);
  const round = Ins.ROUNDSS + (f64 ? 1 : 0);
  // Rounding modes of ROUNDSx; 8: no precision exception.
  switch (s.opOf(v)) {
    case Op.FSqrt:
      scalar(s, X.Rm, Ins.SQRTSS + (f64 ? 1 : 0), size, d, a, size, 0);
      return;
    case Op.FNearest:
      scalar(s, X.RmI, round, size, d, a, size, 8 | 0);
      return;
    case Op.FFloor:
      scalar(s, X.RmI, round, size, d, a, size, 8 | 1);
      return;
    case Op.FCeil:
      scalar(s, X.RmI, round, size, d, a, size, 8 | 2);
      return;
    default:
      scalar(s, X.RmI, round, size, d, a, size, 8 | 3);
  }
}

/** Promote, Demote, ConvertS, ConvertU. */
export function selectToFloat(s: Selection, v: Value): void {
  const a = s.func.rows[v * ROW + F_A]!;
  const from = s.typeOf(a);
  const f64 = s.typeOf(v) === Type.F64;
  const d = s.result(v);
  const ins = f64 ? Ins.CVTSI2SD : Ins.CVTSI2SS;
  switch (s.opOf(v)) {
    case Op.Promote:
      scalar(s, X.Rm, Ins.CVTSS2SD, 8, d, a, 4, 0);
      return;
    case Op.Demote:
      scalar(s, X.Rm, Ins.CVTSD2SS, 4, d, a, 8, 0);
      return;
    case Op.ConvertS:
      scalar(s, X.Rm, ins, intSize(from), d, a, intSize(from), 0);
      return;
  }
  if (from === Type.I32) {
    // Every u32 is an i64.
    const x = s.ext(a);
    s.row(xop(X.Rm, ins, 8, 1));
    s.def(d);
    s.useAny(x);
    return;
  }
  const x = s.val(a);
  if (s.cpu.avx512vl) {
    // What the destination keeps of another register: zeros.
    const none = zero(s);
    s.row(xop(X.Vex, f64 ? Ins.VCVTUSI2SD : Ins.VCVTUSI2SS, 8));
    s.def(d);
    s.use(none);
    s.useAny(x);
    return;
  }
  s.row(xop(X.CvtFromU64, ins, 8));
  s.m.opd(d, Opd.Def | Opd.Cross);
  s.m.opd(x, Opd.Use | Opd.Cross);
  s.temp(RegClass.Int);
}

/** TruncS, TruncU, TruncSatS, TruncSatU; the trap codes of the first two are the emitter's. */
export function selectTrunc(s: Selection, v: Value): void {
  const a = s.func.rows[v * ROW + F_A]!;
  const op = s.opOf(v);
  const to64 = s.typeOf(v) === Type.I64;
  const unsigned = op === Op.TruncU || op === Op.TruncSatU;
  const saturate = op === Op.TruncSatS || op === Op.TruncSatU;
  const sub =
    (to64 ? TruncSub.To64 : 0) |
    (unsigned ? TruncSub.Unsigned : 0) |
    (saturate ? TruncSub.Saturate : 0) |
    (s.cpu.avx512vl ? TruncSub.Evex : 0);
  const d = s.result(v);
  const x = s.val(a);
  s.row(xop(X.Trunc, 0, s.typeOf(a) === Type.F64 ? 8 : 4, sub));
  s.m.opd(d, Opd.Def | Opd.Cross);
  s.m.opd(x, Opd.Use | Opd.Cross);
  if (unsigned && !to64) s.temp(RegClass.Int);
}

/**
 * Between register classes. Integer to integer is a name for the same vreg, unless a chain of names was too long to be
 * followed.
 */
export function selectBitcast(s: Selection, v: Value): void {
  const a = s.func.rows[v * ROW + F_A]!;
  const from = s.typeOf(a);
  const to = s.typeOf(v);
  const d = s.result(v);
  if (isFloat(from) === isFloat(to)) {
    const x = s.val(a);
    s.row(xop(X.Rm, Ins.MOV, 8));
    s.def(d);
    s.use(x);
    return;
  }
  const wide = to === Type.F64 || from === Type.F64;
  if (isFloat(to)) {
    const x = s.val(a);
    s.row(xop(X.Rm, wide ? Ins.MOVQ_TO_X : Ins.MOVD_TO_X, wide ? 8 : 4));
    s.def(d);
    s.useAny(x);
    return;
  }
  const x = s.val(a);
  s.row(xop(X.MovFromX, wide ? Ins.MOVQ_FROM_X : Ins.MOVD_FROM_X, wide ? 8 : 4));
  s.def(d);
  s.useAny(x);
}
