/** Dispatch of the folding rules. */
import type { Value } from '../ir/func.ts';
import { OP_FLAGS, Op, OpFlag, Type } from '../ir/ops.ts';
import { VecOp } from '../ir/vec-ops.ts';
import { evalBinary, evalFloatBinary, evalUnary, result } from './const-eval.ts';
import { foldAddress, foldRawAddress, foldStoredValue } from './fold-access.ts';
import {
  AGAIN,
  foldAdd,
  foldAnd,
  foldDivide,
  foldExtend,
  foldMul,
  foldOr,
  foldShift,
  foldSignExtension,
  foldSub,
  foldWrap,
  foldXor,
} from './fold-int.ts';
import { type Facts, foldCompare, foldFloatCompare, foldFloatUnary, foldSelect } from './fold-test.ts';
import { foldVecOr } from './fold-vec.ts';
import type { Rewriter } from './rewriter.ts';
import { Fired } from './tally.ts';

/** A row is looked at again after each change, but no more often than this. Chains of rules are far shorter. */
const MAX_STEPS = 16;

/**
 * Simplify a row whose operands are resolved. Returns the value that replaces it, or the row itself (perhaps
 * rewritten).
 */
export function fold(w: Rewriter, v: Value, facts: Facts): Value {
  for (let i = 0; i < MAX_STEPS; i++) {
    const r = step(w, v, facts);
    if (r !== AGAIN) return r;
  }
  return v;
}

function isConstant(op: Op): boolean {
  return op === Op.IConst || op === Op.FConst;
}

function constant(w: Rewriter, v: Value): Value {
  w.setConst(v, result.lo, result.hi);
  w.fired(Fired.Constant);
  return v;
}

function step(w: Rewriter, v: Value, facts: Facts): Value {
  const { f } = w;
  const op = f.op(v);
  if (op >= Op.Add && op <= Op.Rotr) {
    const a = f.a(v);
    const b = f.b(v);
    if (w.isConst(a)) {
      if (w.isConst(b)) {
        return evalBinary(op, f.type(v), f.imm(a), w.hi(a), f.imm(b), w.hi(b)) ? constant(w, v) : v;
      }
      if (OP_FLAGS[op]! & OpFlag.Commutative) w.set(v, op, b, a);
    }
    return foldBinary(w, v, op);
  }
  if (op >= Op.Eq && op <= Op.GeU) {
    const a = f.a(v);
    const b = f.b(v);
    if (w.isConst(a) && w.isConst(b) && evalBinary(op, f.type(a), f.imm(a), w.hi(a), f.imm(b), w.hi(b)))
      return constant(w, v);
    return foldCompare(w, v, op);
  }
  if ((op >= Op.FAdd && op <= Op.FCopysign) || (op >= Op.FEq && op <= Op.FGe)) {
    const a = f.a(v);
    const b = f.b(v);
    if (f.op(a) === Op.FConst && f.op(b) === Op.FConst) {
      const type = f.type(a);
      if (evalFloatBinary(op, type, f.imm(a), f.imm2(a), f.imm(b), f.imm2(b))) return constant(w, v);
    }
    return op >= Op.FEq ? foldFloatCompare(w, v, op) : v;
  }
  if (
    (op >= Op.Clz && op <= Op.Ext32S) ||
    (op >= Op.FAbs && op <= Op.FNearest) ||
    (op >= Op.Wrap && op <= Op.Bitcast)
  ) {
    const a = f.a(v);
    if (isConstant(f.op(a))) {
      const from = f.type(a);
      const hi = from === Type.I32 || from === Type.F32 ? 0 : f.imm2(a);
      if (evalUnary(op, from, f.type(v), f.imm(a), hi)) return constant(w, v);
    }
    return foldUnary(w, v, op);
  }
  return foldOther(w, v, op, facts);
}

function foldBinary(w: Rewriter, v: Value, op: Op): Value {
  switch (op) {
    case Op.Add:
      return foldAdd(w, v);
    case Op.Sub:
      return foldSub(w, v);
    case Op.Mul:
      return foldMul(w, v);
    case Op.DivS:
    case Op.DivU:
    case Op.RemS:
    case Op.RemU:
      return foldDivide(w, v, op);
    case Op.And:
      return foldAnd(w, v);
    case Op.Or:
      return foldOr(w, v);
    case Op.Xor:
      return foldXor(w, v);
    default:
      return foldShift(w, v, op);
  }
}

function foldUnary(w: Rewriter, v: Value, op: Op): Value {
  switch (op) {
    case Op.Ext8S:
    case Op.Ext16S:
    case Op.Ext32S:
      return foldSignExtension(w, v, op);
    case Op.ExtendS:
    case Op.ExtendU:
      return foldExtend(w, v, op);
    case Op.Wrap:
      return foldWrap(w, v);
    case Op.Bswap:
      if (w.f.op(w.f.a(v)) !== Op.Bswap) return v;
      w.fired(Fired.Identity);
      return w.f.a(w.f.a(v));
    case Op.FNeg:
    case Op.FAbs:
    case Op.Bitcast:
      return foldFloatUnary(w, v, op);
    default:
      return v;
  }
}

function foldOther(w: Rewriter, v: Value, op: Op, facts: Facts): Value {
  const { f } = w;
  switch (op) {
    case Op.VBinary:
      return f.imm2(v) === VecOp.v128_or ? foldVecOr(w, v) : v;
    case Op.Select:
      return foldSelect(w, v, facts);
    case Op.Load:
      return foldAddress(w, v) ? AGAIN : v;
    case Op.Store:
      return foldAddress(w, v) || foldStoredValue(w, v) ? AGAIN : v;
    case Op.RawLoad:
    case Op.RawStore:
      return foldRawAddress(w, v) ? AGAIN : v;
    default:
      return v;
  }
}
