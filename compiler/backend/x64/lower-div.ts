/**
 * Selection of integer division and remainder.
 *
 * By a constant: multiplication by a scaled reciprocal (Granlund and Montgomery, "Division by Invariant Integers using
 * Multiplication", PLDI 1994; N is the width, figures 4.2, 5.2 and 6.2). Everything else divides.
 */
import { TrapCode } from '../../abi/traps.ts';
import { F_A, F_B, F_IMM2, ROW, type Value } from '../../ir/func.ts';
import { Op } from '../../ir/ops.ts';
import { fixed, Opd, RegClass } from '../mach.ts';
import { Ins } from './encode-table.ts';
import { X, xop } from './insts.ts';
import { intSize, type Selection, trapFlags } from './lower-base.ts';
import { RAX, RDX } from './regs.ts';

/** A multiplier and the shift behind it. */
interface Reciprocal {
  readonly multiplier: bigint;
  readonly shift: number;
}

/**
 * Figure 6.2: the reciprocal of d > 0 that is right for all dividends of `precision` bits, its multiplier as small as
 * can be.
 */
export function reciprocal(d: bigint, width: number, precision: number): Reciprocal {
  let shift = d === 1n ? 0 : (d - 1n).toString(2).length;
  const scale = 1n << BigInt(width + shift);
  let low = scale / d;
  let high = (scale + (scale >> BigInt(precision))) / d;
  while (low >> 1n < high >> 1n && shift > 0) {
    low >>= 1n;
    high >>= 1n;
    shift--;
  }
  return { multiplier: high, shift };
}

/** `ins d, imm` on a copy of x, into a new vreg or `d`. */
function immediate(
  s: Selection,
  ins: Ins,
  size: number,
  x: number,
  imm: number,
  d = s.fresh(RegClass.Int),
): number {
  s.row(xop(X.AluI, ins, size), 0, imm);
  s.defReuse(d);
  s.use(x);
  return d;
}

function binary(
  s: Selection,
  ins: Ins,
  size: number,
  x: number,
  y: number,
  d = s.fresh(RegClass.Int),
): number {
  s.row(xop(X.Alu, ins, size));
  s.defReuse(d);
  s.use(x);
  s.useAny(y);
  return d;
}

function constant(s: Selection, n: bigint, size: number): number {
  return s.int(Number(BigInt.asIntN(32, n)), Number(BigInt.asIntN(32, n >> 32n)), size);
}

/** into = upper half of the 128-bit product of x and a constant. */
function highProduct(
  s: Selection,
  ins: Ins,
  x: number,
  multiplier: bigint,
  into = s.fresh(RegClass.Int),
): number {
  const m = constant(s, multiplier, 8);
  s.row(xop(X.MulWide, ins, 8));
  s.m.opd(into, fixed(RDX, Opd.Def));
  s.m.opd(s.fresh(RegClass.Int), fixed(RAX, Opd.Def));
  s.m.opd(m, fixed(RAX));
  s.useAny(x);
  return into;
}

/** into = x / d, d no power of two. x is zero-extended if it has 32 bits. */
function quotientU(s: Selection, x: number, d: bigint, size: number, into: number): void {
  const width = size * 8;
  const one = 1n << BigInt(width);
  let r = reciprocal(d, width, width);
  if (size === 4) {
    if (r.multiplier < one) {
      const product = binary(s, Ins.IMUL, 8, constant(s, r.multiplier, 8), x);
      immediate(s, Ins.SHR, 8, product, 32 + r.shift, into);
    } else {
      // 2^64 / d rounded up: too large by less than d / 2^64 of itself, which no 32-bit dividend makes visible.
      highProduct(s, Ins.MUL, x, (1n << 64n) / d + 1n, into);
    }
    return;
  }
  if (r.multiplier >= one && (d & 1n) === 0n) {
    // The dividend loses the divisor's trailing zeros first, and so needs less precision.
    let zeros = 0;
    while ((d & 1n) === 0n) {
      d >>= 1n;
      zeros++;
    }
    r = reciprocal(d, width, width - zeros);
    x = immediate(s, Ins.SHR, size, x, zeros);
  }
  if (r.multiplier >= one) {
    // The multiplier has one bit too many: (high + x) >> shift, without the sum's overflow.
    const high = highProduct(s, Ins.MUL, x, r.multiplier - one);
    const half = immediate(s, Ins.SHR, size, binary(s, Ins.SUB, size, x, high), 1);
    immediate(s, Ins.SHR, size, binary(s, Ins.ADD, size, half, high), r.shift - 1, into);
  } else if (r.shift === 0) {
    highProduct(s, Ins.MUL, x, r.multiplier, into);
  } else {
    immediate(s, Ins.SHR, size, highProduct(s, Ins.MUL, x, r.multiplier), r.shift, into);
  }
}

/** into = x / d for d > 1, no power of two. */
function quotientS(s: Selection, x: number, d: bigint, size: number, into: number): void {
  const width = size * 8;
  const r = reciprocal(d, width, width - 1);
  const sign = immediate(s, Ins.SHR, size, x, width - 1);
  let q: number;
  if (size === 4) {
    const wide = s.fresh(RegClass.Int);
    s.row(xop(X.Rm, Ins.MOVSXD, 8));
    s.def(wide);
    s.useAny(x);
    const product = binary(s, Ins.IMUL, 8, constant(s, r.multiplier, 8), wide);
    q = immediate(s, Ins.SAR, 8, product, 32 + r.shift);
  } else {
    // As a signed factor, a multiplier of 2^63 or more is 2^64 less: x is missing once.
    q = highProduct(s, Ins.IMUL1, x, r.multiplier);
    if (r.multiplier >= 1n << 63n) q = binary(s, Ins.ADD, size, q, x);
    if (r.shift > 0) q = immediate(s, Ins.SAR, size, q, r.shift);
  }
  // Rounded down so far: towards zero is one more for negative dividends.
  binary(s, Ins.ADD, size, q, sign, into);
}

/** What a negative x needs added before it is shifted right by k, to be rounded towards zero. */
function bias(s: Selection, x: number, k: number, size: number): number {
  const signs = k === 1 ? x : immediate(s, Ins.SAR, size, x, k - 1);
  return immediate(s, Ins.SHR, size, signs, size * 8 - k);
}

function negate(s: Selection, size: number, x: number, d: number): void {
  s.row(xop(X.Un, Ins.NEG, size));
  s.defReuse(d);
  s.use(x);
}

/** Division by a constant other than 0, 1 and -1. */
function byConstant(s: Selection, v: Value, divisor: bigint, size: number): void {
  const op = s.opOf(v);
  const signed = op === Op.DivS || op === Op.RemS;
  const remainder = op === Op.RemS || op === Op.RemU;
  const d = s.result(v);
  const a = s.func.rows[v * ROW + F_A]!;
  const x = signed || size === 8 ? s.val(a) : s.ext(a);
  const n = divisor < 0n ? -divisor : divisor;
  if ((n & (n - 1n)) === 0n) {
    byPowerOfTwo(s, op, x, n, divisor < 0n, size, d);
    return;
  }
  const q = remainder || divisor < 0n ? s.fresh(RegClass.Int) : d;
  if (signed) quotientS(s, x, n, size, q);
  else quotientU(s, x, n, size, q);
  if (remainder) binary(s, Ins.SUB, size, x, multiple(s, q, n, size), d);
  else if (divisor < 0n) negate(s, size, q, d);
}

function multiple(s: Selection, q: number, n: bigint, size: number): number {
  if (n >= 1n << 31n) return binary(s, Ins.IMUL, size, constant(s, n, size), q);
  const product = s.fresh(RegClass.Int);
  s.row(xop(X.RmI, Ins.IMUL, size), 0, Number(n));
  s.def(product);
  s.useAny(q);
  return product;
}

function mask(s: Selection, size: number, x: number, bits: bigint, into?: number): number {
  const imm = Number(BigInt.asIntN(32, bits));
  if (size === 4 || BigInt(imm) === bits) return immediate(s, Ins.AND, size, x, imm, into);
  return binary(s, Ins.AND, size, constant(s, bits, size), x, into);
}

function byPowerOfTwo(
  s: Selection,
  op: Op,
  x: number,
  n: bigint,
  negative: boolean,
  size: number,
  d: number,
): void {
  const k = n.toString(2).length - 1;
  if (op === Op.DivU) {
    immediate(s, Ins.SHR, size, x, k, d);
  } else if (op === Op.RemU) {
    mask(s, size, x, n - 1n, d);
  } else {
    const sum = binary(s, Ins.ADD, size, bias(s, x, k, size), x);
    if (op === Op.RemS) binary(s, Ins.SUB, size, x, mask(s, size, sum, -n), d);
    else if (negative) negate(s, size, immediate(s, Ins.SAR, size, sum, k), d);
    else immediate(s, Ins.SAR, size, sum, k, d);
  }
}

/**
 * Division faults in the instruction itself; which trap it is, zero or overflow, is read off the divisor, so that stays
 * in a register. The remainder of -1 must not divide, as the lowest number would overflow.
 */
export function selectDiv(s: Selection, v: Value): void {
  const r = s.func.rows;
  const size = intSize(s.typeOf(v));
  const op = s.opOf(v);
  const signed = op === Op.DivS || op === Op.RemS;
  const remainder = op === Op.RemS || op === Op.RemU;
  const b = r[v * ROW + F_B]!;
  if (s.isConst(b)) {
    const low = BigInt(s.imm(b));
    const bits = size === 4 ? low : (BigInt(r[b * ROW + F_IMM2]!) << 32n) | BigInt.asUintN(32, low);
    const divisor = signed ? bits : BigInt.asUintN(size * 8, bits);
    if (divisor !== 0n && divisor !== 1n && divisor !== -1n) {
      if (s.vreg[v]! >= 0) byConstant(s, v, divisor, size);
      return;
    }
  }
  const d = s.result(v);
  const x = s.val(r[v * ROW + F_A]!);
  const y = s.val(b);
  const guard = op === Op.RemS && !(s.isConst(b) && !(s.isImm32(b) && s.imm(b) === -1));
  s.row(xop(X.Div, signed ? Ins.IDIV : Ins.DIV, size), trapFlags(TrapCode.IntegerDivision), guard ? 1 : 0);
  const other = s.fresh(RegClass.Int);
  s.m.opd(remainder ? other : d, fixed(RAX, Opd.Def));
  s.m.opd(remainder ? d : other, fixed(RDX, Opd.Def));
  s.m.opd(x, fixed(RAX));
  s.m.opd(y, Opd.Use | Opd.Cross);
}
