/** Wide arithmetic: 128-bit sums and differences, and products of 64 bits by 64, as pairs of i64 (low half first). */
import { Op, Type } from '../ir/ops.ts';
import { ValType } from './module.ts';
import type { Walk } from './walk.ts';

const I64 = ValType.I64;

/** i64.add128, i64.sub128: [a low, a high, b low, b high] -> [low, high] */
export function addWide(w: Walk, subtract: boolean): void {
  const { ssa } = w;
  const bHigh = w.pop(I64);
  const bLow = w.pop(I64);
  const aHigh = w.pop(I64);
  const aLow = w.pop(I64);
  let low = 0;
  let high = 0;
  if (ssa.live) {
    low = ssa.emit(subtract ? Op.Sub : Op.Add, Type.I64, aLow, bLow, 0, 0, 0);
    // A sum has wrapped if it is less than a summand; a difference, if the subtrahend is the larger one.
    const carry = ssa.emit(Op.LtU, Type.I32, subtract ? aLow : low, subtract ? bLow : aLow, 0, 0, 0);
    high = ssa.emit(subtract ? Op.SubBorrow : Op.AddCarry, Type.I64, aHigh, bHigh, carry, 0, 0);
  }
  w.push(I64, low);
  w.push(I64, high);
}

/**
 * i64.mul_wide_s, i64.mul_wide_u: [a, b] -> [low, high]. The two halves stand side by side: selection makes one
 * instruction of them.
 */
export function mulWide(w: Walk, op: Op.MulHighS | Op.MulHighU): void {
  const { ssa } = w;
  const b = w.pop(I64);
  const a = w.pop(I64);
  const low = ssa.live ? ssa.emit(Op.Mul, Type.I64, a, b, 0, 0, 0) : 0;
  const high = ssa.live ? ssa.emit(op, Type.I64, a, b, 0, 0, 0) : 0;
  w.push(I64, low);
  w.push(I64, high);
}
