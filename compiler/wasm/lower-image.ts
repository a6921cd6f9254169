/**
 * Indirect calls through a table that never changes (table-images.ts).
 *
 * All that a slot can hold is this module's own, so there is no reference record, the types compare by this module's
 * numbers, and the callee runs with the caller's vmctx. A constant index makes a direct call, and so does, behind the
 * checks, a type that only one function has; where all elements have the wanted type, none is compared.
 */
import { TrapCode } from '../abi/traps.ts';
import type { Value } from '../ir/func.ts';
import { MemKind, Op, Region, rawAccess, Type } from '../ir/ops.ts';
import { IMAGE_ENTRY, type TableImage } from './table-images.ts';
import { irType } from './types.ts';
import type { Walk } from './walk.ts';

const ENTRY = rawAccess(Region.ReadOnly, MemKind.Full);
const SIGNED = rawAccess(Region.ReadOnly, MemKind.S32);

/** The function that a constant index selects; -1: it isn't constant, or the call traps. */
export function constantCallee(w: Walk, image: TableImage, index: Value, canonicalType: number): number {
  const { func } = w.ssa;
  if (func.op(index) !== Op.IConst || (func.type(index) === Type.I64 && func.imm2(index) !== 0)) return -1;
  const f = image.functions[func.imm(index) >>> 0] ?? -1;
  if (f < 0 || w.module.canonicalTypes[w.module.functions[f]!] !== canonicalType) return -1;
  return f;
}

/**
 * Emits the checks of a call. @returns the code address of the element; 0 where it is not needed, since `only` is the
 * one function that can be called
 */
export function imageCode(
  w: Walk,
  tableIndex: number,
  image: TableImage,
  index: Value,
  canonicalType: number,
  only: number,
): Value {
  const { ssa } = w;
  const indexType = irType(w.tableIndexType(tableIndex));
  const outside = ssa.emit(Op.GeU, Type.I32, index, ssa.int(indexType, image.functions.length), 0, 0, 0);
  ssa.emit(Op.TrapNz, Type.None, outside, 0, 0, TrapCode.TableOutOfBounds, 0);
  const wide = indexType === Type.I64 ? index : ssa.emit(Op.ExtendU, Type.I64, index, 0, 0, 0, 0);
  const start = ssa.emit(Op.ImageAddr, Type.I64, 0, 0, 0, image.offset, 0);
  const scale = ssa.int(Type.I64, Math.log2(IMAGE_ENTRY.SIZE));
  const offset = ssa.emit(Op.Shl, Type.I64, wide, scale, 0, 0, 0);
  const entry = ssa.emit(Op.Add, Type.I64, start, offset, 0, 0, 0);
  if (image.type !== canonicalType || image.nulls) checkType(w, image, entry, canonicalType);
  if (only >= 0) return 0;
  const code = ssa.emit(Op.RawLoad, Type.I64, entry, 0, 0, IMAGE_ENTRY.CODE, SIGNED);
  return ssa.emit(Op.Add, Type.I64, code, entry, 0, 0, 0);
}

function checkType(w: Walk, image: TableImage, entry: Value, canonicalType: number): void {
  const { ssa } = w;
  const found = ssa.emit(Op.RawLoad, Type.I32, entry, 0, 0, IMAGE_ENTRY.TYPE, ENTRY);
  const wanted = ssa.int(Type.I32, canonicalType);
  const differ = ssa.emit(Op.Ne, Type.I32, found, wanted, 0, 0, 0);
  if (!image.nulls || image.type === canonicalType) {
    const code = image.nulls ? TrapCode.IndirectCallToNull : TrapCode.BadSignature;
    ssa.emit(Op.TrapNz, Type.None, differ, 0, 0, code, 0);
    return;
  }
  // Only when the check has failed is it worth finding out which trap it is.
  const { func } = ssa;
  const wrong = func.newBlock();
  const right = func.newBlock();
  const UNLIKELY = 2;
  ssa.terminate(Op.BrIf, differ, func.newEdge(wrong), func.newEdge(right), UNLIKELY);
  ssa.enter(wrong);
  const code = ssa.emit(Op.RawLoad, Type.I32, entry, 0, 0, IMAGE_ENTRY.CODE, ENTRY);
  const isNull = ssa.emit(Op.Eq, Type.I32, code, ssa.int(Type.I32, 0), 0, 0, 0);
  ssa.emit(Op.TrapNz, Type.None, isNull, 0, 0, TrapCode.IndirectCallToNull, 0);
  ssa.terminate(Op.Trap, 0, 0, 0, TrapCode.BadSignature);
  ssa.enter(right);
}
