/**
 * Exact evaluation of operators on constants, without BigInt (save for 64-bit division, which is rare): a 64-bit
 * integer is two int32 halves. Each function returns false where there is no result to be had: the operator traps, or
 * its result would be a NaN (whose sign and payload are the hardware's choice, so it is left to the hardware).
 */
import { Op, Type } from '../ir/ops.ts';

/** The result of the evaluation that returned true last. `hi` is 0 for 32-bit types. */
export const result = { lo: 0, hi: 0 };

function give(lo: number, hi: number): boolean {
  result.lo = lo | 0;
  result.hi = hi | 0;
  return true;
}

/** Upper 32 bits of the 64-bit product of two unsigned 32-bit numbers. */
function mulHighU(a: number, b: number): number {
  const al = a & 0xffff;
  const ah = a >>> 16;
  const bl = b & 0xffff;
  const bh = b >>> 16;
  const low = al * bl;
  const mid = ah * bl + (low >>> 16);
  const mid2 = al * bh + (mid & 0xffff);
  return (ah * bh + Math.floor(mid / 0x10000) + Math.floor(mid2 / 0x10000)) | 0;
}

function popcount32(x: number): number {
  let n = x - ((x >>> 1) & 0x55555555);
  n = (n & 0x33333333) + ((n >>> 2) & 0x33333333);
  n = (n + (n >>> 4)) & 0x0f0f0f0f;
  return Math.imul(n, 0x01010101) >>> 24;
}

function ctz32(x: number): number {
  return x === 0 ? 32 : 31 - Math.clz32(x & -x);
}

// ---- comparisons of 64-bit integers
function ltS64(alo: number, ahi: number, blo: number, bhi: number): boolean {
  return ahi < bhi || (ahi === bhi && alo >>> 0 < blo >>> 0);
}
function ltU64(alo: number, ahi: number, blo: number, bhi: number): boolean {
  return ahi >>> 0 < bhi >>> 0 || (ahi === bhi && alo >>> 0 < blo >>> 0);
}

/** A comparison of integers of type `type`; gives 0 or 1. */
function compare(op: Op, alo: number, ahi: number, blo: number, bhi: number): boolean {
  const equal = alo === blo && ahi === bhi;
  switch (op) {
    case Op.Eq:
      return give(+equal, 0);
    case Op.Ne:
      return give(+!equal, 0);
    case Op.LtS:
      return give(+ltS64(alo, ahi, blo, bhi), 0);
    case Op.LtU:
      return give(+ltU64(alo, ahi, blo, bhi), 0);
    case Op.GtS:
      return give(+ltS64(blo, bhi, alo, ahi), 0);
    case Op.GtU:
      return give(+ltU64(blo, bhi, alo, ahi), 0);
    case Op.LeS:
      return give(+!ltS64(blo, bhi, alo, ahi), 0);
    case Op.LeU:
      return give(+!ltU64(blo, bhi, alo, ahi), 0);
    case Op.GeS:
      return give(+!ltS64(alo, ahi, blo, bhi), 0);
    case Op.GeU:
      return give(+!ltU64(alo, ahi, blo, bhi), 0);
    default:
      return false;
  }
}

function binary32(op: Op, a: number, b: number): boolean {
  switch (op) {
    case Op.Add:
      return give(a + b, 0);
    case Op.Sub:
      return give(a - b, 0);
    case Op.Mul:
      return give(Math.imul(a, b), 0);
    case Op.DivS:
      return b !== 0 && !(b === -1 && a === -0x80000000) && give(a / b, 0);
    case Op.DivU:
      return b !== 0 && give((a >>> 0) / (b >>> 0), 0);
    case Op.RemS:
      return b !== 0 && give(a % b, 0);
    case Op.RemU:
      return b !== 0 && give((a >>> 0) % (b >>> 0), 0);
    case Op.And:
      return give(a & b, 0);
    case Op.Or:
      return give(a | b, 0);
    case Op.Xor:
      return give(a ^ b, 0);
    case Op.Shl:
      return give(a << b, 0);
    case Op.ShrS:
      return give(a >> b, 0);
    case Op.ShrU:
      return give(a >>> b, 0);
    case Op.Rotl:
      return give((a << b) | (a >>> -b), 0);
    case Op.Rotr:
      return give((a >>> b) | (a << -b), 0);
    default: {
      // The sign of an int32 extends to the upper half for signed comparisons; equal upper halves do for unsigned ones.
      const signed = op === Op.LtS || op === Op.GtS || op === Op.LeS || op === Op.GeS;
      return compare(op, a, signed ? a >> 31 : 0, b, signed ? b >> 31 : 0);
    }
  }
}

function shl64(lo: number, hi: number, n: number): boolean {
  if (n === 0) return give(lo, hi);
  return n >= 32 ? give(0, lo << (n - 32)) : give(lo << n, (hi << n) | (lo >>> (32 - n)));
}
function shrU64(lo: number, hi: number, n: number): boolean {
  if (n === 0) return give(lo, hi);
  return n >= 32 ? give(hi >>> (n - 32), 0) : give((lo >>> n) | (hi << (32 - n)), hi >>> n);
}
function shrS64(lo: number, hi: number, n: number): boolean {
  if (n === 0) return give(lo, hi);
  return n >= 32 ? give(hi >> (n - 32), hi >> 31) : give((lo >>> n) | (hi << (32 - n)), hi >> n);
}
function rotl64(lo: number, hi: number, n: number): boolean {
  shl64(lo, hi, n);
  const l = result.lo;
  const h = result.hi;
  if (n === 0) return true;
  shrU64(lo, hi, 64 - n);
  return give(l | result.lo, h | result.hi);
}

function divide64(op: Op, alo: number, ahi: number, blo: number, bhi: number): boolean {
  if (blo === 0 && bhi === 0) return false;
  const signed = op === Op.DivS || op === Op.RemS;
  const a = signed
    ? (BigInt(ahi) << 32n) | BigInt(alo >>> 0)
    : (BigInt(ahi >>> 0) << 32n) | BigInt(alo >>> 0);
  const b = signed
    ? (BigInt(bhi) << 32n) | BigInt(blo >>> 0)
    : (BigInt(bhi >>> 0) << 32n) | BigInt(blo >>> 0);
  if (op === Op.DivS && b === -1n && alo === 0 && ahi === -0x80000000) return false;
  const n = op === Op.DivS || op === Op.DivU ? a / b : a % b;
  return give(Number(BigInt.asIntN(32, n)), Number(BigInt.asIntN(32, n >> 32n)));
}

function binary64(op: Op, alo: number, ahi: number, blo: number, bhi: number): boolean {
  switch (op) {
    case Op.Add: {
      const lo = (alo >>> 0) + (blo >>> 0);
      return give(lo, ahi + bhi + (lo > 0xffffffff ? 1 : 0));
    }
    case Op.Sub:
      return give(alo - blo, ahi - bhi - (alo >>> 0 < blo >>> 0 ? 1 : 0));
    case Op.Mul:
      return give(Math.imul(alo, blo), mulHighU(alo, blo) + Math.imul(alo, bhi) + Math.imul(ahi, blo));
    case Op.DivS:
    case Op.DivU:
    case Op.RemS:
    case Op.RemU:
      return divide64(op, alo, ahi, blo, bhi);
    case Op.And:
      return give(alo & blo, ahi & bhi);
    case Op.Or:
      return give(alo | blo, ahi | bhi);
    case Op.Xor:
      return give(alo ^ blo, ahi ^ bhi);
    case Op.Shl:
      return shl64(alo, ahi, blo & 63);
    case Op.ShrS:
      return shrS64(alo, ahi, blo & 63);
    case Op.ShrU:
      return shrU64(alo, ahi, blo & 63);
    case Op.Rotl:
      return rotl64(alo, ahi, blo & 63);
    case Op.Rotr:
      return rotl64(alo, ahi, -blo & 63);
    default:
      return compare(op, alo, ahi, blo, bhi);
  }
}

/** An integer operator or comparison with two operands of type `type` (a Ref compares as I64). */
export function evalBinary(op: Op, type: Type, alo: number, ahi: number, blo: number, bhi: number): boolean {
  return type === Type.I32 ? binary32(op, alo, blo) : binary64(op, alo, ahi, blo, bhi);
}

// ---- floats
const words = new Int32Array(2);
const double = new Float64Array(words.buffer);
const single = new Float32Array(words.buffer);

function toNumber(type: Type, lo: number, hi: number): number {
  words[0] = lo;
  words[1] = hi;
  return type === Type.F32 ? single[0]! : double[0]!;
}
function giveFloat(type: Type, x: number): boolean {
  if (Number.isNaN(x)) return false;
  if (type === Type.F32) {
    single[0] = x;
    return give(words[0]!, 0);
  }
  double[0] = x;
  return give(words[0]!, words[1]!);
}

/** Round half to even, as the mode of the hardware is. */
function nearest(x: number): number {
  const r = Math.round(x);
  const n = r - x === 0.5 && r % 2 !== 0 ? r - 1 : r;
  return n === 0 && (x < 0 || Object.is(x, -0)) ? -0 : n;
}

/** A float operator or comparison with two operands of type `type`. */
export function evalFloatBinary(
  op: Op,
  type: Type,
  alo: number,
  ahi: number,
  blo: number,
  bhi: number,
): boolean {
  if (op === Op.FCopysign) {
    const sign = -0x80000000;
    return type === Type.F32
      ? give((alo & ~sign) | (blo & sign), 0)
      : give(alo, (ahi & ~sign) | (bhi & sign));
  }
  const a = toNumber(type, alo, ahi);
  const b = toNumber(type, blo, bhi);
  // A sum, difference, product, quotient or root of singles rounded to double and then to single is the correctly
  // rounded single (double has more than 2 * 24 + 2 bits): storing it in a Float32Array does the second rounding.
  switch (op) {
    case Op.FAdd:
      return giveFloat(type, a + b);
    case Op.FSub:
      return giveFloat(type, a - b);
    case Op.FMul:
      return giveFloat(type, a * b);
    case Op.FDiv:
      return giveFloat(type, a / b);
    case Op.FMin:
      return giveFloat(type, Math.min(a, b));
    case Op.FMax:
      return giveFloat(type, Math.max(a, b));
    case Op.FEq:
      return give(+(a === b), 0);
    case Op.FNe:
      return give(+(a !== b), 0);
    case Op.FLt:
      return give(+(a < b), 0);
    case Op.FGt:
      return give(+(a > b), 0);
    case Op.FLe:
      return give(+(a <= b), 0);
    case Op.FGe:
      return give(+(a >= b), 0);
    default:
      return false;
  }
}

/** Integer from a float that has been truncated and found to be in range; exact below 2^53, else refused. */
function giveTruncated(to: Type, x: number): boolean {
  if (to === Type.I32) return give(x, 0);
  if (Math.abs(x) >= 2 ** 53) return false;
  const hi = Math.floor(x / 2 ** 32);
  return give(x - hi * 2 ** 32, hi);
}

function truncate(op: Op, to: Type, x: number): boolean {
  const signed = op === Op.TruncS || op === Op.TruncSatS;
  const saturating = op === Op.TruncSatS || op === Op.TruncSatU;
  if (Number.isNaN(x)) return saturating && give(0, 0);
  const width = to === Type.I32 ? 32 : 64;
  const low = signed ? -(2 ** (width - 1)) : 0;
  const bound = 2 ** (signed ? width - 1 : width);
  const n = Math.trunc(x);
  if (n >= low && n < bound) return giveTruncated(to, n);
  if (!saturating) return false;
  if (n < low) return signed ? (to === Type.I32 ? give(-0x80000000, 0) : give(0, -0x80000000)) : give(0, 0);
  const top = signed ? 0x7fffffff : -1;
  return to === Type.I32 ? give(top, 0) : give(-1, top);
}

/**
 * An integer as a float. A 64-bit integer that a double can't hold is refused where the result is a single (it would
 * round twice).
 */
function fromInteger(op: Op, from: Type, to: Type, lo: number, hi: number): boolean {
  if (from === Type.I32) return giveFloat(to, op === Op.ConvertS ? lo : lo >>> 0);
  const upper = op === Op.ConvertS ? hi : hi >>> 0;
  // Both summands are exact, so this rounds once.
  const x = upper * 2 ** 32 + (lo >>> 0);
  if (to === Type.F32 && Math.abs(x) >= 2 ** 53) return false;
  return giveFloat(to, x);
}

function swapped(word: number): number {
  return (word << 24) | ((word & 0xff00) << 8) | ((word >> 8) & 0xff00) | (word >>> 24);
}

/** An operator with one operand: `from` is the operand's type, `to` the result's. */
export function evalUnary(op: Op, from: Type, to: Type, lo: number, hi: number): boolean {
  const wide = from === Type.I64;
  switch (op) {
    case Op.Clz:
      return give(wide && hi === 0 ? 32 + Math.clz32(lo) : Math.clz32(wide ? hi : lo), 0);
    case Op.Ctz:
      return give(wide && lo === 0 ? 32 + ctz32(hi) : ctz32(lo), 0);
    case Op.Popcnt:
      return give(popcount32(lo) + (wide ? popcount32(hi) : 0), 0);
    case Op.Bswap:
      return wide ? give(swapped(hi), swapped(lo)) : give(swapped(lo), 0);
    case Op.Ext8S:
      return give((lo << 24) >> 24, wide ? (lo << 24) >> 31 : 0);
    case Op.Ext16S:
      return give((lo << 16) >> 16, wide ? (lo << 16) >> 31 : 0);
    case Op.Ext32S:
      return give(lo, lo >> 31);
    case Op.Wrap:
      return give(lo, 0);
    case Op.ExtendS:
      return give(lo, lo >> 31);
    case Op.ExtendU:
      return give(lo, 0);
    case Op.Bitcast:
      return give(lo, hi);
    case Op.FNeg:
      return from === Type.F32 ? give(lo ^ -0x80000000, 0) : give(lo, hi ^ -0x80000000);
    case Op.FAbs:
      return from === Type.F32 ? give(lo & 0x7fffffff, 0) : give(lo, hi & 0x7fffffff);
    case Op.FSqrt:
      return giveFloat(to, Math.sqrt(toNumber(from, lo, hi)));
    case Op.FCeil:
      return giveFloat(to, Math.ceil(toNumber(from, lo, hi)));
    case Op.FFloor:
      return giveFloat(to, Math.floor(toNumber(from, lo, hi)));
    case Op.FTrunc:
      return giveFloat(to, Math.trunc(toNumber(from, lo, hi)));
    case Op.FNearest:
      return giveFloat(to, nearest(toNumber(from, lo, hi)));
    case Op.Promote:
    case Op.Demote:
      return giveFloat(to, toNumber(from, lo, hi));
    case Op.TruncS:
    case Op.TruncU:
    case Op.TruncSatS:
    case Op.TruncSatU:
      return truncate(op, to, toNumber(from, lo, hi));
    case Op.ConvertS:
    case Op.ConvertU:
      return fromInteger(op, from, to, lo, hi);
    default:
      return false;
  }
}
