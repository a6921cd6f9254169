/**
 * Folding rules of integer arithmetic, logic, shifts and extensions.
 *
 * A rule looks at a row whose operands are resolved and gives: another value, which replaces the row; the row itself,
 * which stays as it is; or AGAIN, after it has rewritten the row, which is then looked at once more. Each step makes
 * the row simpler or moves a constant to the right, so this ends.
 *
 * All rules are exact modulo 2^32 or 2^64; none may drop or add a trap.
 */
import type { Value } from '../ir/func.ts';
import { Op } from '../ir/ops.ts';
import { reversedBytes } from './byte-order.ts';
import { evalBinary, result } from './const-eval.ts';
import { signedWidth, typeWidth, unsignedWidth } from './known-bits.ts';
import type { Rewriter } from './rewriter.ts';
import { Fired } from './tally.ts';

export const AGAIN = 0;

/** A constant: op applied to the constants p and q. */
function combine(w: Rewriter, op: Op, p: Value, q: Value): Value {
  const type = w.f.type(p);
  evalBinary(op, type, w.f.imm(p), w.hi(p), w.f.imm(q), w.hi(q));
  return w.iconst(type, result.lo, result.hi);
}

function replaced(w: Rewriter, rule: Fired, by: Value): Value {
  w.fired(rule);
  return by;
}

function rewritten(w: Rewriter, rule: Fired): Value {
  w.fired(rule);
  return AGAIN;
}

/**
 * (x op c1) op c2 => x op (c1 op c2), of an associative and commutative operator, where x op c1 is not needed
 * otherwise.
 */
function reassociate(w: Rewriter, v: Value, op: Op): Value {
  const { f } = w;
  const a = f.a(v);
  const b = f.b(v);
  if (!w.isConst(b) || f.op(a) !== op || !w.isConst(f.b(a)) || !w.hasOneUse(a)) return v;
  w.set(v, op, f.a(a), combine(w, op, f.b(a), b));
  return rewritten(w, Fired.Reassociate);
}

function isNegation(w: Rewriter, v: Value): boolean {
  return w.f.op(v) === Op.Sub && w.isInt(w.f.a(v), 0);
}

export function foldAdd(w: Rewriter, v: Value): Value {
  const { f } = w;
  const a = f.a(v);
  const b = f.b(v);
  if (w.isInt(b, 0)) return replaced(w, Fired.Identity, a);
  if (isNegation(w, b)) {
    // x + (0 - y) => x - y
    w.set(v, Op.Sub, a, f.b(b));
    return rewritten(w, Fired.Identity);
  }
  if (isNegation(w, a)) {
    w.set(v, Op.Sub, b, f.b(a));
    return rewritten(w, Fired.Identity);
  }
  // (x - y) + y => x
  if (f.op(a) === Op.Sub && f.b(a) === b) return replaced(w, Fired.Identity, f.a(a));
  if (f.op(b) === Op.Sub && f.b(b) === a) return replaced(w, Fired.Identity, f.a(b));
  if (f.op(a) === Op.Sub && w.isConst(b) && w.isConst(f.a(a))) {
    // (c1 - x) + c2 => (c1 + c2) - x
    w.set(v, Op.Sub, combine(w, Op.Add, f.a(a), b), f.b(a));
    return rewritten(w, Fired.Reassociate);
  }
  return reassociate(w, v, Op.Add);
}

export function foldSub(w: Rewriter, v: Value): Value {
  const { f } = w;
  const a = f.a(v);
  const b = f.b(v);
  const type = f.type(v);
  if (a === b) return replaced(w, Fired.Identity, w.int(type, 0));
  if (w.isConst(b)) {
    // x - c => x + (-c), which is the form that constants are combined in
    w.set(v, Op.Add, a, combine(w, Op.Sub, w.int(type, 0), b));
    return rewritten(w, Fired.Identity);
  }
  if (isNegation(w, b)) {
    w.set(v, Op.Add, a, f.b(b));
    return rewritten(w, Fired.Identity);
  }
  if (f.op(a) === Op.Add) {
    // (x + y) - x => y
    if (f.a(a) === b) return replaced(w, Fired.Identity, f.b(a));
    if (f.b(a) === b) return replaced(w, Fired.Identity, f.a(a));
  }
  if (w.isConst(a) && f.op(b) === Op.Add && w.isConst(f.b(b))) {
    // c1 - (x + c2) => (c1 - c2) - x
    w.set(v, Op.Sub, combine(w, Op.Sub, a, f.b(b)), f.a(b));
    return rewritten(w, Fired.Reassociate);
  }
  return v;
}

export function foldMul(w: Rewriter, v: Value): Value {
  const { f } = w;
  const a = f.a(v);
  const b = f.b(v);
  const type = f.type(v);
  if (!w.isConst(b)) return v;
  if (w.isInt(b, 0)) return replaced(w, Fired.Identity, b);
  if (w.isInt(b, 1)) return replaced(w, Fired.Identity, a);
  if (w.isInt(b, -1)) {
    w.set(v, Op.Sub, w.int(type, 0), a);
    return rewritten(w, Fired.Strength);
  }
  if (f.op(a) === Op.Shl && w.isConst(f.b(a))) {
    // (x << n) * c => x * (c << n)
    w.set(v, Op.Mul, f.a(a), combine(w, Op.Shl, b, f.b(a)));
    return rewritten(w, Fired.Reassociate);
  }
  const log = w.log2(b);
  if (log >= 0) {
    w.set(v, Op.Shl, a, w.int(type, log));
    return rewritten(w, Fired.Strength);
  }
  return reassociate(w, v, Op.Mul);
}

/** A division or remainder by a constant. One by zero stays: it traps. */
export function foldDivide(w: Rewriter, v: Value, op: Op): Value {
  const { f } = w;
  const a = f.a(v);
  const b = f.b(v);
  const type = f.type(v);
  if (!w.isConst(b)) return v;
  const quotient = op === Op.DivS || op === Op.DivU;
  if (w.isInt(b, 1)) return replaced(w, Fired.Identity, quotient ? a : w.int(type, 0));
  // x % -1 is 0, and does not trap for the least integer either; x / -1 does.
  if (op === Op.RemS && w.isInt(b, -1)) return replaced(w, Fired.Identity, w.int(type, 0));
  const log = w.log2(b);
  if (log < 0) return v;
  if (op === Op.DivU) {
    w.set(v, Op.ShrU, a, w.int(type, log));
    return rewritten(w, Fired.Strength);
  }
  if (op === Op.RemU) {
    w.set(v, Op.And, a, combine(w, Op.Sub, b, w.int(type, 1)));
    return rewritten(w, Fired.Strength);
  }
  return v;
}

/** Number of low ones where v is a constant 2^n - 1, else -1. */
function maskWidth(w: Rewriter, v: Value): number {
  if (!w.isConst(v)) return -1;
  const lo = w.f.imm(v);
  const hi = w.hi(v);
  if (hi === 0) return (lo & (lo + 1)) === 0 ? 32 - Math.clz32(lo) : -1;
  return lo === -1 && (hi & (hi + 1)) === 0 ? 64 - Math.clz32(hi) : -1;
}

/** Bits that an operator keeps as they are: the low 8, 16 or 32; else 0. */
function extensionWidth(op: Op): number {
  switch (op) {
    case Op.Ext8S:
      return 8;
    case Op.Ext16S:
      return 16;
    case Op.Ext32S:
      return 32;
    default:
      return 0;
  }
}

export function foldAnd(w: Rewriter, v: Value): Value {
  const { f } = w;
  const a = f.a(v);
  const b = f.b(v);
  if (a === b) return replaced(w, Fired.Identity, a);
  if (!w.isConst(b)) return v;
  if (w.isInt(b, 0)) return replaced(w, Fired.Identity, b);
  if (w.isInt(b, -1)) return replaced(w, Fired.Identity, a);
  const width = maskWidth(w, b);
  if (width >= 0 && unsignedWidth(f, a) <= width) return replaced(w, Fired.Extension, a);
  if (width > 0 && extensionWidth(f.op(a)) >= width) {
    // The mask takes only bits that the extension left alone.
    w.set(v, Op.And, f.a(a), b);
    return rewritten(w, Fired.Extension);
  }
  if (width === 32 && f.op(a) === Op.ExtendS) {
    w.set(v, Op.ExtendU, f.a(a));
    return rewritten(w, Fired.Extension);
  }
  if (f.op(a) === Op.Or && w.isConst(f.b(a))) {
    // (x | c1) & c2 => x & c2 where c1 and c2 have no bit in common
    const common = combine(w, Op.And, f.b(a), b);
    if (w.isInt(common, 0)) {
      w.set(v, Op.And, f.a(a), b);
      return rewritten(w, Fired.Extension);
    }
  }
  return reassociate(w, v, Op.And);
}

export function foldOr(w: Rewriter, v: Value): Value {
  const a = w.f.a(v);
  const b = w.f.b(v);
  if (a === b || w.isInt(b, 0)) return replaced(w, Fired.Identity, a);
  if (w.isInt(b, -1)) return replaced(w, Fired.Identity, b);
  const swapped = reversedBytes(w, v);
  if (swapped !== 0) {
    w.set(v, Op.Bswap, swapped);
    return rewritten(w, Fired.ByteSwap);
  }
  return reassociate(w, v, Op.Or);
}

/** The comparison that is true where `op` is false, or Nop: an ordering of floats has none, because of NaN. */
export function inverted(op: Op): Op {
  switch (op) {
    case Op.Eq:
      return Op.Ne;
    case Op.Ne:
      return Op.Eq;
    case Op.LtS:
      return Op.GeS;
    case Op.LtU:
      return Op.GeU;
    case Op.GtS:
      return Op.LeS;
    case Op.GtU:
      return Op.LeU;
    case Op.LeS:
      return Op.GtS;
    case Op.LeU:
      return Op.GtU;
    case Op.GeS:
      return Op.LtS;
    case Op.GeU:
      return Op.LtU;
    case Op.FEq:
      return Op.FNe;
    case Op.FNe:
      return Op.FEq;
    default:
      return Op.Nop;
  }
}

export function foldXor(w: Rewriter, v: Value): Value {
  const { f } = w;
  const a = f.a(v);
  const b = f.b(v);
  if (a === b) return replaced(w, Fired.Identity, w.int(f.type(v), 0));
  if (w.isInt(b, 0)) return replaced(w, Fired.Identity, a);
  const not = inverted(f.op(a));
  if (not !== Op.Nop && w.isInt(b, 1)) {
    w.set(v, not, f.a(a), f.b(a));
    return rewritten(w, Fired.Compare);
  }
  return reassociate(w, v, Op.Xor);
}

export function foldShift(w: Rewriter, v: Value, op: Op): Value {
  const { f } = w;
  const a = f.a(v);
  const b = f.b(v);
  const type = f.type(v);
  const width = typeWidth(type);
  if (f.op(b) === Op.And && w.isConst(f.b(b)) && (f.imm(f.b(b)) & (width - 1)) === width - 1) {
    // The amount counts modulo the width anyway.
    w.set(v, op, a, f.a(b));
    return rewritten(w, Fired.Extension);
  }
  if (w.isInt(a, 0) || (w.isInt(a, -1) && op !== Op.Shl && op !== Op.ShrU))
    return replaced(w, Fired.Identity, a);
  if (!w.isConst(b)) return v;
  const n = f.imm(b) & (width - 1);
  if (n === 0) return replaced(w, Fired.Identity, a);
  if (!w.isInt(b, n)) {
    w.set(v, op, a, w.int(type, n));
    return AGAIN;
  }
  if (op === Op.ShrU && unsignedWidth(f, a) <= n) return replaced(w, Fired.Identity, w.int(type, 0));
  const inner = f.op(a);
  if (inner < Op.Shl || inner > Op.Rotr || !w.isConst(f.b(a))) return v;
  const m = f.imm(f.b(a)) & (width - 1);
  if (inner === op) return sameShift(w, v, op, n + m);
  if (inner === Op.Shl && n === m && op === Op.ShrU) {
    // (x << n) >>> n keeps the low bits
    w.set(v, Op.And, f.a(a), combine(w, Op.ShrU, w.int(type, -1), b));
    return rewritten(w, Fired.Strength);
  }
  if (op === Op.Shl && n === m && (inner === Op.ShrU || inner === Op.ShrS)) {
    // (x >> n) << n clears the low bits
    w.set(v, Op.And, f.a(a), combine(w, Op.Shl, w.int(type, -1), b));
    return rewritten(w, Fired.Strength);
  }
  if (inner === Op.Shl && n === m && op === Op.ShrS) {
    const kept = width - n;
    const extension = kept === 8 ? Op.Ext8S : kept === 16 ? Op.Ext16S : kept === 32 ? Op.Ext32S : Op.Nop;
    if (extension === Op.Nop) return v;
    w.set(v, extension, f.a(a));
    return rewritten(w, Fired.Strength);
  }
  return v;
}

/** (x shift m) shift n in the same direction; total = m + n. */
function sameShift(w: Rewriter, v: Value, op: Op, total: number): Value {
  const { f } = w;
  const type = f.type(v);
  const width = typeWidth(type);
  const x = f.a(f.a(v));
  if (total >= width) {
    if (op === Op.Shl || op === Op.ShrU) return replaced(w, Fired.Reassociate, w.int(type, 0));
    if (op === Op.ShrS) total = width - 1;
    else total -= width;
  }
  w.set(v, op, x, w.int(type, total));
  return rewritten(w, Fired.Reassociate);
}

/** Ext8S, Ext16S, Ext32S: `kept` bits are kept. */
export function foldSignExtension(w: Rewriter, v: Value, op: Op): Value {
  const { f } = w;
  const kept = extensionWidth(op);
  const a = f.a(v);
  if (signedWidth(f, a) <= kept) return replaced(w, Fired.Extension, a);
  const inner = f.op(a);
  // A wider extension, or a mask, that leaves the kept bits alone.
  if (extensionWidth(inner) >= kept) {
    w.set(v, op, f.a(a));
    return rewritten(w, Fired.Extension);
  }
  if (inner === Op.And && w.isConst(f.b(a))) {
    const mask = f.imm(f.b(a));
    const low = kept === 32 ? -1 : (1 << kept) - 1;
    if ((mask & low) === low) {
      w.set(v, op, f.a(a));
      return rewritten(w, Fired.Extension);
    }
  }
  if (op === Op.Ext32S && (inner === Op.ExtendU || inner === Op.ExtendS)) {
    w.set(v, Op.ExtendS, f.a(a));
    return rewritten(w, Fired.Extension);
  }
  return v;
}

export function foldExtend(w: Rewriter, v: Value, op: Op): Value {
  const { f } = w;
  const a = f.a(v);
  // Zero-extension costs nothing on most machines.
  if (op === Op.ExtendS && unsignedWidth(f, a) < 32) {
    w.set(v, Op.ExtendU, a);
    return rewritten(w, Fired.Extension);
  }
  if (f.op(a) === Op.Wrap) {
    const x = f.a(a);
    if (op === Op.ExtendU && unsignedWidth(f, x) <= 32) return replaced(w, Fired.Extension, x);
    if (op === Op.ExtendS && signedWidth(f, x) <= 32) return replaced(w, Fired.Extension, x);
  }
  return v;
}

export function foldWrap(w: Rewriter, v: Value): Value {
  const { f } = w;
  const a = f.a(v);
  const inner = f.op(a);
  if (inner === Op.ExtendS || inner === Op.ExtendU) return replaced(w, Fired.Extension, f.a(a));
  // Only the upper half changed.
  const masked = inner === Op.And && w.isConst(f.b(a)) && f.imm(f.b(a)) === -1;
  if (masked || inner === Op.Ext32S) {
    w.set(v, Op.Wrap, f.a(a));
    return rewritten(w, Fired.Extension);
  }
  return v;
}
