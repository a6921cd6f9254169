/** Folding rules of comparisons, selects, conditions and float operators. See fold-int.ts for what a rule gives. */
import type { Value } from '../ir/func.ts';
import { OP_FLAGS, Op, OpFlag, Type } from '../ir/ops.ts';
import { evalBinary, result } from './const-eval.ts';
import { AGAIN, inverted } from './fold-int.ts';
import { typeWidth, unsignedWidth } from './known-bits.ts';
import type { Rewriter } from './rewriter.ts';
import { Fired } from './tally.ts';

function isCompare(w: Rewriter, v: Value): boolean {
  return (OP_FLAGS[w.f.op(v)]! & OpFlag.Compare) !== 0;
}

/** The comparison with its operands exchanged. */
function mirrored(op: Op): Op {
  switch (op) {
    case Op.LtS:
      return Op.GtS;
    case Op.LtU:
      return Op.GtU;
    case Op.GtS:
      return Op.LtS;
    case Op.GtU:
      return Op.LtU;
    case Op.LeS:
      return Op.GeS;
    case Op.LeU:
      return Op.GeU;
    case Op.GeS:
      return Op.LeS;
    case Op.GeU:
      return Op.LeU;
    default:
      return op;
  }
}

function decided(w: Rewriter, answer: boolean): Value {
  w.fired(Fired.Compare);
  return w.int(Type.I32, answer ? 1 : 0);
}

function rewrite(w: Rewriter, v: Value, op: Op, a: Value, b: Value, rule = Fired.Compare): Value {
  w.fired(rule);
  w.set(v, op, a, b);
  return AGAIN;
}

export function foldCompare(w: Rewriter, v: Value, op: Op): Value {
  const { f } = w;
  const a = f.a(v);
  const b = f.b(v);
  if (a === b)
    return decided(w, op === Op.Eq || op === Op.LeS || op === Op.LeU || op === Op.GeS || op === Op.GeU);
  if (w.isConst(a) && !w.isConst(b)) {
    w.set(v, mirrored(op), b, a);
    return AGAIN;
  }
  if (!w.isConst(b)) {
    // One form of each ordering, so that equal ones are found.
    if (op === Op.GtS || op === Op.GtU || op === Op.GeS || op === Op.GeU) {
      w.set(v, mirrored(op), b, a);
      return AGAIN;
    }
    return v;
  }
  return op === Op.Eq || op === Op.Ne ? foldEqualsConst(w, v, op) : foldOrderConst(w, v, op);
}

/** x == c, x != c */
function foldEqualsConst(w: Rewriter, v: Value, op: Op): Value {
  const { f } = w;
  const a = f.a(v);
  const b = f.b(v);
  const inner = f.op(a);
  const zero = w.isInt(b, 0);
  if (isCompare(w, a) && (zero || w.isInt(b, 1))) {
    // A test of a truth value: it, or its opposite.
    if (zero === (op === Op.Ne)) {
      w.fired(Fired.Compare);
      return a;
    }
    const not = inverted(inner);
    return not === Op.Nop ? v : rewrite(w, v, not, f.a(a), f.b(a));
  }
  const once = w.hasOneUse(a);
  if (zero && once && (inner === Op.Sub || inner === Op.Xor)) return rewrite(w, v, op, f.a(a), f.b(a));
  if (once && (inner === Op.Add || inner === Op.Xor) && w.isConst(f.b(a))) {
    // x + c1 == c2 <=> x == c2 - c1; x ^ c1 == c2 <=> x == c2 ^ c1
    const type = f.type(a);
    evalBinary(inner === Op.Add ? Op.Sub : Op.Xor, type, f.imm(b), w.hi(b), f.imm(f.b(a)), w.hi(f.b(a)));
    return rewrite(w, v, op, f.a(a), w.iconst(type, result.lo, result.hi));
  }
  if (inner === Op.ExtendU || inner === Op.ExtendS) {
    const upper = inner === Op.ExtendU ? 0 : f.imm(b) >> 31;
    if (w.hi(b) !== upper) return decided(w, op === Op.Ne);
    return rewrite(w, v, op, f.a(a), w.int(Type.I32, f.imm(b)));
  }
  return tooWide(w, a, b) ? decided(w, op === Op.Ne) : v;
}

/** The constant c is greater, as an unsigned number, than x can be. */
function tooWide(w: Rewriter, x: Value, c: Value): boolean {
  const width = unsignedWidth(w.f, x);
  return width < typeWidth(w.f.type(x)) && unsignedWidth(w.f, c) > width;
}

/** x < c and the like */
function foldOrderConst(w: Rewriter, v: Value, op: Op): Value {
  const { f } = w;
  const a = f.a(v);
  const b = f.b(v);
  if (w.isInt(b, 0)) {
    if (op === Op.LtU) return decided(w, false);
    if (op === Op.GeU) return decided(w, true);
    if (op === Op.GtU) return rewrite(w, v, Op.Ne, a, b);
    if (op === Op.LeU) return rewrite(w, v, Op.Eq, a, b);
  }
  if (w.isInt(b, 1)) {
    if (op === Op.LtU) return rewrite(w, v, Op.Eq, a, w.int(f.type(a), 0));
    if (op === Op.GeU) return rewrite(w, v, Op.Ne, a, w.int(f.type(a), 0));
  }
  if (w.isInt(b, -1)) {
    if (op === Op.LeU) return decided(w, true);
    if (op === Op.GtU) return decided(w, false);
  }
  const unsigned = op === Op.LtU || op === Op.LeU || op === Op.GtU || op === Op.GeU;
  if (unsigned && tooWide(w, a, b)) return decided(w, op === Op.LtU || op === Op.LeU);
  return v;
}

export function foldFloatCompare(w: Rewriter, v: Value, op: Op): Value {
  // x < x and x > x are false for NaN too; x == x is not true for it.
  if ((op === Op.FLt || op === Op.FGt) && w.f.a(v) === w.f.b(v)) return decided(w, false);
  return v;
}

/** What a condition (i32) is known to be: 1 nonzero, 0 zero, -1 unknown. */
export function knownCondition(w: Rewriter, c: Value, facts: Facts): number {
  return w.isConst(c) ? (w.f.imm(c) !== 0 ? 1 : 0) : facts.known(c);
}

export interface Facts {
  /** Whether an i32 is known to be nonzero (1) or zero (0) here; -1 if not. */
  known(v: Value): number;
}

/** A simpler i32 that is zero where `c` is zero; or `-x` for an x which is zero where `c` is not. */
export function simplerCondition(w: Rewriter, c: Value): number {
  const { f } = w;
  const op = f.op(c);
  if ((op === Op.Eq || op === Op.Ne) && f.type(f.a(c)) === Type.I32 && w.isInt(f.b(c), 0)) {
    return op === Op.Ne ? f.a(c) : -f.a(c);
  }
  return c;
}

export function foldSelect(w: Rewriter, v: Value, facts: Facts): Value {
  const { f } = w;
  const c = f.a(v);
  const x = f.b(v);
  const y = f.c(v);
  const known = knownCondition(w, c, facts);
  if (x === y || known >= 0) {
    w.fired(Fired.Select);
    return known === 0 ? y : x;
  }
  const simpler = simplerCondition(w, c);
  if (simpler !== c) {
    w.fired(Fired.Condition);
    if (simpler > 0) w.set(v, Op.Select, simpler, x, y);
    else w.set(v, Op.Select, -simpler, y, x);
    return AGAIN;
  }
  if (f.type(v) !== Type.I32) return v;
  const one = w.isInt(x, 1) && w.isInt(y, 0);
  const other = w.isInt(x, 0) && w.isInt(y, 1);
  if (!one && !other) return v;
  if (one && isCompare(w, c)) {
    w.fired(Fired.Select);
    return c;
  }
  return rewrite(w, v, one ? Op.Ne : Op.Eq, c, w.int(Type.I32, 0), Fired.Select);
}

/**
 * The few float rules that are exact in every bit: sign operations are, arithmetic is not (x + 0.0 is not x for -0, and
 * x * 1.0 quiets a signalling NaN).
 */
export function foldFloatUnary(w: Rewriter, v: Value, op: Op): Value {
  const { f } = w;
  const a = f.a(v);
  const inner = f.op(a);
  if (op === Op.FNeg && inner === Op.FNeg) {
    w.fired(Fired.Float);
    return f.a(a);
  }
  if (op === Op.FAbs && (inner === Op.FNeg || inner === Op.FAbs))
    return rewrite(w, v, Op.FAbs, f.a(a), 0, Fired.Float);
  if (op === Op.Bitcast && inner === Op.Bitcast && f.type(f.a(a)) === f.type(v)) {
    w.fired(Fired.Identity);
    return f.a(a);
  }
  return v;
}
