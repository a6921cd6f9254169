/**
 * `--canonicalize-nans`: wherever the specification leaves the bits of a NaN open ("NaN propagation"), the result is
 * the canonical one with a positive sign, so that a program's results are the same on all machines and at all levels.
 *
 * What is left alone has no such choice: `neg`, `abs`, `copysign`, `pmin`, `pmax`, moves, loads, and conversions from
 * integers.
 */
import type { Value } from '../ir/func.ts';
import { Op, Type } from '../ir/ops.ts';
import { VecOp } from '../ir/vec-ops.ts';
import type { Walk } from './walk.ts';

const NAN_F32 = 0x7fc0_0000;
const NAN_F64_HIGH = 0x7ff8_0000;

const SCALAR: ReadonlySet<Op> = new Set([
  ...[Op.FAdd, Op.FSub, Op.FMul, Op.FDiv, Op.FMin, Op.FMax, Op.FSqrt],
  ...[Op.FCeil, Op.FFloor, Op.FTrunc, Op.FNearest, Op.Promote, Op.Demote],
]);

const F32X4: ReadonlySet<VecOp> = new Set([
  ...[VecOp.f32x4_add, VecOp.f32x4_sub, VecOp.f32x4_mul, VecOp.f32x4_div, VecOp.f32x4_min, VecOp.f32x4_max],
  ...[VecOp.f32x4_sqrt, VecOp.f32x4_ceil, VecOp.f32x4_floor, VecOp.f32x4_trunc, VecOp.f32x4_nearest],
  ...[VecOp.f32x4_demote_f64x2_zero, VecOp.f32x4_relaxed_madd, VecOp.f32x4_relaxed_nmadd],
  ...[VecOp.f32x4_relaxed_min, VecOp.f32x4_relaxed_max],
]);
const F64X2: ReadonlySet<VecOp> = new Set([
  ...[VecOp.f64x2_add, VecOp.f64x2_sub, VecOp.f64x2_mul, VecOp.f64x2_div, VecOp.f64x2_min, VecOp.f64x2_max],
  ...[VecOp.f64x2_sqrt, VecOp.f64x2_ceil, VecOp.f64x2_floor, VecOp.f64x2_trunc, VecOp.f64x2_nearest],
  ...[VecOp.f64x2_promote_low_f32x4, VecOp.f64x2_relaxed_madd, VecOp.f64x2_relaxed_nmadd],
  ...[VecOp.f64x2_relaxed_min, VecOp.f64x2_relaxed_max],
]);

/** The result of an operator as the option wants it. Only while live. */
export function canonicalNan(w: Walk, op: Op, value: Value): Value {
  if (!w.options.canonicalizeNans || !SCALAR.has(op)) return value;
  const { ssa } = w;
  const type = ssa.func.type(value);
  const nan =
    type === Type.F32
      ? ssa.emit(Op.FConst, type, 0, 0, 0, NAN_F32, 0)
      : ssa.emit(Op.FConst, type, 0, 0, 0, 0, NAN_F64_HIGH);
  const isNumber = ssa.emit(Op.FEq, Type.I32, value, value, 0, 0, 0);
  return ssa.emit(Op.Select, type, isNumber, value, nan, 0, 0);
}

const words = new Int32Array(4);

/** The same for a vector operator. */
export function canonicalNans(w: Walk, op: VecOp, value: Value): Value {
  if (!w.options.canonicalizeNans) return value;
  const f32 = F32X4.has(op);
  if (!f32 && !F64X2.has(op)) return value;
  const { ssa } = w;
  for (let i = 0; i < 4; i++) words[i] = f32 ? NAN_F32 : i % 2 === 0 ? 0 : NAN_F64_HIGH;
  const nan = ssa.emit(Op.VConst, Type.V128, 0, 0, 0, ssa.func.listOf(words), 0);
  const equal = f32 ? VecOp.f32x4_eq : VecOp.f64x2_eq;
  const numbers = ssa.emit(Op.VBinary, Type.V128, value, value, 0, 0, equal);
  return ssa.emit(Op.VTernary, Type.V128, value, nan, numbers, 0, VecOp.v128_bitselect);
}
