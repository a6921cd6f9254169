/** Folding rules of vectors. See fold-int.ts for what a rule gives. */
import type { Value } from '../ir/func.ts';
import { Op } from '../ir/ops.ts';
import { VecOp } from '../ir/vec-ops.ts';
import type { Rewriter } from './rewriter.ts';
import { Fired } from './tally.ts';

/** Bytes of a lane where `left` and `right` shift the same lanes, to the left and, unsigned, to the right; else 0. */
function shiftedLane(left: VecOp, right: VecOp): number {
  if (left === VecOp.i16x8_shl && right === VecOp.i16x8_shr_u) return 2;
  if (left === VecOp.i32x4_shl && right === VecOp.i32x4_shr_u) return 4;
  if (left === VecOp.i64x2_shl && right === VecOp.i64x2_shr_u) return 8;
  return 0;
}

/** (x << 8k) | (x >>> (width - 8k)) rotates lanes by whole bytes: a shuffle, in place of three operators. */
export function foldVecOr(w: Rewriter, v: Value): Value {
  const { f } = w;
  const a = f.a(v);
  const b = f.b(v);
  if (f.op(a) !== Op.VShift || f.op(b) !== Op.VShift || f.a(a) !== f.a(b)) return v;
  const swapped = shiftedLane(f.imm2(b), f.imm2(a)) !== 0;
  const left = swapped ? b : a;
  const right = swapped ? a : b;
  const lane = shiftedLane(f.imm2(left), f.imm2(right));
  if (lane === 0 || !w.isConst(f.b(left)) || !w.isConst(f.b(right))) return v;
  // Counts are taken modulo the width of a lane.
  const bits = 8 * lane;
  const by = f.imm(f.b(left)) & (bits - 1);
  if (by === 0 || by % 8 !== 0 || (f.imm(f.b(right)) & (bits - 1)) !== bits - by) return v;
  const bytes = by / 8;
  const words = [0, 0, 0, 0];
  for (let i = 0; i < 16; i++) {
    const start = i - (i % lane);
    const from = start + ((i - start + lane - bytes) % lane);
    words[i >> 2]! |= from << (8 * (i & 3));
  }
  const x = f.a(left);
  const pattern = w.emit(Op.VConst, f.type(v), 0, 0, 0, f.listOf(words));
  w.fired(Fired.Strength);
  w.set(v, Op.VShuffle, x, x, pattern);
  return v;
}
