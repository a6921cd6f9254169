/**
 * `memory.copy` and `memory.fill` of a constant number of bytes, if it is small, as loads and stores: for so few a call
 * of the runtime takes longer than the work. Compilers make such of structures and small arrays.
 *
 * Both instructions trap before they write anything. All loads stand before the first store, which also makes
 * overlapping ranges right. Of the stores, the one with the highest address comes first: what it reaches to is the end
 * of the range, so if it does not trap, no other does; if it does, nothing has been written, as a store that traps
 * writes nothing. (The others lie between the range's start, an address that needs no check from below, and that end.)
 */
import type { Value } from '../ir/func.ts';
import { MemKind, memAccess, Op, Type } from '../ir/ops.ts';
import { VecOp } from '../ir/vec-ops.ts';
import { checkedAddress } from './bounds.ts';
import type { Walk } from './walk.ts';

/** More bytes than this are left to the runtime: twelve vectors, which fit into registers. */
const MOST_BYTES = 192;
const VECTOR_BYTES = 16;

/**
 * What is loaded and stored at a time, and where: at a multiple of its width, but for the last, which ends where the
 * range does.
 */
interface Plan {
  readonly type: Type;
  readonly kind: MemKind;
  readonly width: number;
  readonly offsets: readonly number[];
}

/** How `bytes` bytes are moved; null if by a call. No bytes at all are still a check of the addresses. */
function planOf(w: Walk, bytes: Value): Plan | null {
  const { func } = w.ssa;
  if (w.options.optLevel === 0 || func.op(bytes) !== Op.IConst) return null;
  const n = func.imm(bytes) >>> 0;
  const wide = func.type(bytes) === Type.I64 && func.imm2(bytes) !== 0;
  if (wide || n === 0 || n > MOST_BYTES) return null;
  const width = Math.min(VECTOR_BYTES, 2 ** (31 - Math.clz32(n)));
  const offsets: number[] = [];
  for (let at = 0; at + width < n; at += width) offsets.push(at);
  offsets.push(n - width);
  const type = width === VECTOR_BYTES ? Type.V128 : width === 8 ? Type.I64 : Type.I32;
  const kind = width === 2 ? MemKind.U16 : width === 1 ? MemKind.U8 : MemKind.Full;
  return { type, kind, width, offsets };
}

/**
 * The address of a range for its accesses, whose offsets are the plan's: checked as a whole where memories are checked.
 */
function rangeAddress(w: Walk, memory: number, address: Value, { width, offsets }: Plan): Value {
  w.offset = 0;
  w.offsetHigh = 0;
  return checkedAddress(w, memory, address, offsets.at(-1)! + width);
}

function storeAll(w: Walk, memory: number, address: Value, plan: Plan, values: readonly Value[]): void {
  const access = memAccess(plan.kind, memory);
  const last = plan.offsets.length - 1;
  for (let i = 0; i <= last; i++) {
    const k = i === 0 ? last : i - 1;
    w.ssa.emit(Op.Store, Type.None, address, values[k]!, 0, plan.offsets[k]!, access);
  }
}

/** Copy `bytes` bytes, if they are a small constant; else false. Only while live. */
export function copiesInline(
  w: Walk,
  to: number,
  from: number,
  dst: Value,
  src: Value,
  bytes: Value,
): boolean {
  const plan = planOf(w, bytes);
  if (!plan) return false;
  const source = rangeAddress(w, from, src, plan);
  const target = rangeAddress(w, to, dst, plan);
  const access = memAccess(plan.kind, from);
  const values = plan.offsets.map(at => w.ssa.emit(Op.Load, plan.type, source, 0, 0, at, access));
  storeAll(w, to, target, plan, values);
  w.count('copy-inline');
  return true;
}

/** A value of the plan's width, each byte of it the low one of `byte`. */
function repeated(w: Walk, byte: Value, { type, width }: Plan): Value {
  const { ssa } = w;
  if (type === Type.V128) return ssa.emit(Op.VSplat, Type.V128, byte, 0, 0, 0, VecOp.i8x16_splat);
  if (width === 1) return byte;
  const low = ssa.emit(Op.And, Type.I32, byte, ssa.int(Type.I32, 0xff), 0, 0, 0);
  const wide = type === Type.I64 ? ssa.emit(Op.ExtendU, Type.I64, low, 0, 0, 0, 0) : low;
  const ones = ssa.emit(Op.IConst, type, 0, 0, 0, 0x01010101, type === Type.I64 ? 0x01010101 : 0);
  return ssa.emit(Op.Mul, type, wide, ones, 0, 0, 0);
}

/** Fill `bytes` bytes, if they are a small constant; else false. Only while live. */
export function fillsInline(w: Walk, memory: number, dst: Value, byte: Value, bytes: Value): boolean {
  const plan = planOf(w, bytes);
  if (!plan) return false;
  const target = rangeAddress(w, memory, dst, plan);
  const value = repeated(w, byte, plan);
  storeAll(w, memory, target, plan, Array<Value>(plan.offsets.length).fill(value));
  w.count('fill-inline');
  return true;
}
