/** Memories and globals. */
import { builtinId } from '../abi/builtins.ts';
import { GLOBAL_ENTRY_SIZE, MEMORY_ENTRY, VMCTX } from '../abi/vmctx.ts';
import type { Value } from '../ir/func.ts';
import { MemKind, memAccess, Op, Region, rawAccess, Type } from '../ir/ops.ts';
import { type GlobalType, ValType } from './module.ts';
import { OPCODE_ALIGN, OPCODE_KIND, OPCODE_OPERAND, OPCODE_RESULT } from './opcodes.ts';
import { irType } from './types.ts';
import type { Walk } from './walk.ts';

const MEMORY_GROW = builtinId('memory_grow');
const MEMORY_FILL = builtinId('memory_fill');
const MEMORY_COPY = builtinId('memory_copy');
const MEMORY_INIT = builtinId('memory_init');
const DATA_DROP = builtinId('data_drop');

/** Call a builtin; integer arguments may be i32. */
export function emitBuiltin(w: Walk, id: number, result: Type, args: readonly Value[]): Value {
  return w.ssa.emit(Op.CallBuiltin, result, 0, w.ssa.func.listOf(args), 0, id, 0);
}

// ---- loads and stores
/** Bit of a memory operand's alignment field: the index of a memory follows. */
const MEMORY_INDEX = 0x40;

/** Read a memory operand: its memory is returned, its offset left in the reader. Its alignment is a hint that we have no use for. */
function memArg(w: Walk, naturalAlign: number): number {
  const { r } = w;
  const at = r.pos;
  const flags = r.u32();
  if (flags >= 2 * MEMORY_INDEX) r.fail('malformed memop flags', at);
  const memory = flags & MEMORY_INDEX ? r.u32() : 0;
  r.u64();
  w.checkMemory(memory);
  if ((flags & ~MEMORY_INDEX) > naturalAlign) w.fail('alignment must not be larger than natural');
  if (r.hi !== 0) w.fail('offset out of range');
  return memory;
}

export function load(w: Walk, code: number): void {
  const { ssa } = w;
  const memory = memArg(w, OPCODE_ALIGN[code]!);
  const offset = w.r.lo;
  const type = OPCODE_RESULT[code]! as ValType;
  const address = w.pop(ValType.I32);
  const access = memAccess(OPCODE_KIND[code]! as MemKind, memory);
  w.push(type, ssa.live ? ssa.emit(Op.Load, irType(type), address, 0, 0, offset, access) : 0);
}

export function store(w: Walk, code: number): void {
  const { ssa } = w;
  const memory = memArg(w, OPCODE_ALIGN[code]!);
  const offset = w.r.lo;
  const value = w.pop(OPCODE_OPERAND[code]! as ValType);
  const address = w.pop(ValType.I32);
  if (!ssa.live) return;
  ssa.emit(Op.Store, Type.None, address, value, 0, offset, memAccess(OPCODE_KIND[code]! as MemKind, memory));
}

// ---- whole memories
/** Length in bytes, as i64. */
function memoryLength(w: Walk, memory: number): Value {
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

export function memorySize(w: Walk): void {
  const { ssa } = w;
  const memory = w.r.u32();
  w.checkMemory(memory);
  let pages = 0;
  if (ssa.live) {
    const length = memoryLength(w, memory);
    const shift = ssa.int(Type.I64, w.module.memories[memory]!.pageSizeLog2);
    const wide = ssa.emit(Op.ShrU, Type.I64, length, shift, 0, 0, 0);
    pages = ssa.emit(Op.Wrap, Type.I32, wide, 0, 0, 0, 0);
  }
  w.push(ValType.I32, pages);
}

export function memoryGrow(w: Walk): void {
  const { ssa } = w;
  const memory = w.r.u32();
  w.checkMemory(memory);
  const delta = w.pop(ValType.I32);
  let result = 0;
  if (ssa.live) {
    const old = emitBuiltin(w, MEMORY_GROW, Type.I64, [ssa.int(Type.I32, memory), delta]);
    result = ssa.emit(Op.Wrap, Type.I32, old, 0, 0, 0, 0);
  }
  w.push(ValType.I32, result);
}

export function memoryFill(w: Walk): void {
  const { ssa } = w;
  const memory = w.r.u32();
  w.checkMemory(memory);
  const n = w.pop(ValType.I32);
  const byte = w.pop(ValType.I32);
  const dst = w.pop(ValType.I32);
  if (ssa.live) emitBuiltin(w, MEMORY_FILL, Type.None, [ssa.int(Type.I32, memory), dst, byte, n]);
}

export function memoryCopy(w: Walk): void {
  const { ssa } = w;
  const to = w.r.u32();
  const from = w.r.u32();
  w.checkMemory(to);
  w.checkMemory(from);
  const n = w.pop(ValType.I32);
  const src = w.pop(ValType.I32);
  const dst = w.pop(ValType.I32);
  if (!ssa.live) return;
  const memories = ssa.emit(Op.IConst, Type.I64, 0, 0, 0, to, from);
  emitBuiltin(w, MEMORY_COPY, Type.None, [memories, dst, src, n, ssa.int(Type.I32, 0)]);
}

function checkDataSegment(w: Walk, segment: number): void {
  // The count comes before the code section, so that code can be checked in one pass.
  if (w.module.dataCount < 0) w.r.fail('data count section required', w.at);
  w.checkIndex('data segment', segment, w.module.dataCount);
}

export function memoryInit(w: Walk): void {
  const { ssa } = w;
  const segment = w.r.u32();
  const memory = w.r.u32();
  w.checkMemory(memory);
  checkDataSegment(w, segment);
  const n = w.pop(ValType.I32);
  const src = w.pop(ValType.I32);
  const dst = w.pop(ValType.I32);
  if (!ssa.live) return;
  emitBuiltin(w, MEMORY_INIT, Type.None, [
    ssa.int(Type.I32, memory),
    ssa.int(Type.I32, segment),
    dst,
    src,
    n,
  ]);
}

export function dataDrop(w: Walk): void {
  const segment = w.r.u32();
  checkDataSegment(w, segment);
  if (w.ssa.live) emitBuiltin(w, DATA_DROP, Type.None, [w.ssa.int(Type.I32, segment)]);
}

// ---- globals
/** Imported globals may be one and the same under two indices: the mutable ones share one alias slot. */
function globalAccess(w: Walk, index: number, global: GlobalType): number {
  if (!global.mutable) return rawAccess(Region.ReadOnly, MemKind.Full);
  return rawAccess(Region.Global, MemKind.Full, (index < w.module.importedGlobals ? 0 : index) + 1);
}

function globalPointer(w: Walk, at: number): Value {
  return w.ssa.emit(Op.VmLoad, Type.I64, 0, 0, 0, at, rawAccess(Region.ReadOnly, MemKind.Full));
}

export function globalGet(w: Walk): void {
  const { ssa, module } = w;
  const index = w.r.u32();
  w.checkIndex('global', index, module.globalTypes.length);
  const global = module.globalTypes[index]!;
  let value = 0;
  if (ssa.live) {
    const at = GLOBAL_ENTRY_SIZE * index - w.layout.globals;
    const access = globalAccess(w, index, global);
    const type = irType(global.type);
    value =
      index < module.importedGlobals
        ? ssa.emit(Op.RawLoad, type, globalPointer(w, at), 0, 0, 0, access)
        : ssa.emit(Op.VmLoad, type, 0, 0, 0, at, access);
  }
  w.push(global.type, value);
}

export function globalSet(w: Walk): void {
  const { ssa, module } = w;
  const index = w.r.u32();
  w.checkIndex('global', index, module.globalTypes.length);
  const global = module.globalTypes[index]!;
  if (!global.mutable) w.fail(`immutable global ${index}`);
  const value = w.pop(global.type);
  if (!ssa.live) return;
  const at = GLOBAL_ENTRY_SIZE * index - w.layout.globals;
  const access = globalAccess(w, index, global);
  if (index < module.importedGlobals) {
    ssa.emit(Op.RawStore, Type.None, globalPointer(w, at), value, 0, 0, access);
  } else {
    ssa.emit(Op.VmStore, Type.None, value, 0, 0, at, access);
  }
}
