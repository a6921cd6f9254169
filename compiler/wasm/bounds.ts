/**
 * Explicit bounds checks of memory accesses: the one place that decides whether an access is checked, and how.
 *
 * Sandbox argument. An access of `size` bytes at `address + offset` is within bounds if and only if, as natural
 * numbers, address + offset + size <= length. There are two ways to enforce that:
 *
 * - *Guarded*: the address is 32 bits wide and so is the offset, so that their sum lies in the address space which the
 *   memory's slot reserves, and nothing there is accessible but the memory's own bytes: what is outside faults (regions
 *   in runtime/native/region.c). That is exact only where the length is always a multiple of the host's pages.
 * - *Checked*: the comparison is carried out here, in 64-bit arithmetic that can't wrap (each case below says why), and
 *   a trap ends the path where it fails. The access behind it is an ordinary Load or Store. Traps keep their order, so
 *   no pass moves an access above its check; a length that was read before a memory grew is too small, never too large,
 *   because memories don't shrink.
 *
 * The second way makes no use of reservations or guards: it holds for memories of any layout. Dense code uses nothing
 * else. An access at a constant address below the least length that the memory can have needs no check: memories don't
 * shrink, and linking checks an imported one's length.
 *
 * Checks that an earlier one covers are taken out by opt/bounds-checks.ts, which knows those made here by their trap
 * code.
 */
import { TrapCode } from '../abi/traps.ts';
import { MEMORY_ENTRY, VMCTX } from '../abi/vmctx.ts';
import type { Value } from '../ir/func.ts';
import { MemKind, Op, Region, rawAccess, Type } from '../ir/ops.ts';
import type { MemoryType } from './module.ts';
import type { Walk } from './walk.ts';

/** log2 of the host's page size: the granularity of what faults. */
const HOST_PAGE_LOG2 = 12;
/** No memory is longer than 2^48 bytes: no machine of the supported kinds has a larger user address space. */
const LONGEST_HIGH = 1 << 16;
/** Larger offsets don't fit the displacement of an address. */
const MAX_DISPLACEMENT = 0x7fffffff;

function needsCheck(w: Walk, memory: MemoryType): boolean {
  return w.options.memory === 'dense' || memory.index64 || memory.pageSizeLog2 < HOST_PAGE_LOG2;
}

/** Length in bytes, as i64. */
export function memoryLength(w: Walk, memory: number): Value {
  const { ssa } = w;
  const length = rawAccess(Region.MemoryLength, MemKind.Full);
  if (memory === w.module.importedMemories) {
    return ssa.emit(Op.VmLoad, Type.I64, 0, 0, 0, -VMCTX.MEMORY_LENGTH, length);
  }
  const entry = MEMORY_ENTRY.SIZE * memory - w.layout.memories;
  const readOnly = rawAccess(Region.ReadOnly, MemKind.Full);
  const pointer = ssa.emit(Op.VmLoad, Type.I64, 0, 0, 0, entry + MEMORY_ENTRY.LENGTH_PTR, readOnly);
  return ssa.emit(Op.RawLoad, Type.I64, pointer, 0, 0, 0, length);
}

/** A constant below 2^53. */
function int64(w: Walk, n: number): Value {
  return w.ssa.emit(Op.IConst, Type.I64, 0, 0, 0, n | 0, Math.floor(n / 2 ** 32));
}

/** The address if it is a constant below 2^32, else -1. */
function constantAddress(w: Walk, address: Value): number {
  const { func } = w.ssa;
  if (func.op(address) !== Op.IConst) return -1;
  return func.type(address) === Type.I64 && func.imm2(address) !== 0 ? -1 : func.imm(address) >>> 0;
}

function trapIf(w: Walk, condition: Value): void {
  w.ssa.emit(Op.TrapNz, Type.None, condition, 0, 0, TrapCode.HeapOutOfBounds, 0);
}

function trapIfGreater(w: Walk, a: Value, b: Value): void {
  trapIf(w, w.ssa.emit(Op.GtU, Type.I32, a, b, 0, 0, 0));
}

/**
 * Emit what must stand before an access of `size` bytes at `address` + (`w.offset`, `w.offsetHigh`). Only while live.
 * @returns the address for the Load or Store, whose offset is then `w.offset`
 */
export function checkedAddress(w: Walk, memory: number, address: Value, size: number): Value {
  const { ssa } = w;
  const type = w.module.memories[memory]!;
  if (!needsCheck(w, type)) return address;
  if (w.offsetHigh >>> 0 >= LONGEST_HIGH) {
    // Out of bounds whatever the address is.
    trapIf(w, ssa.int(Type.I32, 1));
    w.offset = 0;
    return int64(w, 0);
  }
  const offset = (w.offsetHigh >>> 0) * 2 ** 32 + (w.offset >>> 0);
  const extent = offset + size;
  const leastLength = Number(type.limits.min) * 2 ** type.pageSizeLog2;
  // The Load adds a constant that fits its displacement to an address that is below 2^32: nothing wraps.
  const constant = constantAddress(w, address);
  if (constant >= 0 && constant + extent <= leastLength && offset <= MAX_DISPLACEMENT) return address;
  const length = memoryLength(w, memory);
  if (!type.index64) {
    const wide = ssa.emit(Op.ExtendU, Type.I64, address, 0, 0, 0, 0);
    if (extent <= leastLength) {
      // length >= extent, as below: the difference does not wrap. It is the same for all accesses of this extent, and
      // moves out of loops.
      trapIfGreater(w, wide, ssa.emit(Op.Sub, Type.I64, length, int64(w, extent), 0, 0, 0));
      return address;
    }
    // address < 2^32 and extent <= 2^32 + 15: the sum does not wrap.
    trapIfGreater(w, ssa.emit(Op.Add, Type.I64, wide, int64(w, extent), 0, 0, 0), length);
    return address;
  }
  if (extent <= leastLength) {
    // length >= leastLength >= extent always (linking checks it for an imported memory): the difference does not wrap.
    trapIfGreater(w, address, ssa.emit(Op.Sub, Type.I64, length, int64(w, extent), 0, 0, 0));
  } else {
    // Behind the first check address <= length <= 2^48, and extent <= 2^48 + 15: the sum does not wrap.
    trapIfGreater(w, address, length);
    trapIfGreater(w, ssa.emit(Op.Add, Type.I64, address, int64(w, extent), 0, 0, 0), length);
  }
  if (offset <= MAX_DISPLACEMENT) return address;
  w.offset = 0;
  return ssa.emit(Op.Add, Type.I64, address, int64(w, offset), 0, 0, 0);
}
