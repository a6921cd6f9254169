/** Memories and globals. */
import { builtinId } from '../abi/builtins.ts';
import { GLOBAL_ENTRY_SIZE } from '../abi/vmctx.ts';
import { needFeature } from '../features.ts';
import type { Value } from '../ir/func.ts';
import { accessSize, MemKind, memAccess, Op, Region, rawAccess, Type } from '../ir/ops.ts';
import { checkedAddress, memoryLength } from './bounds.ts';
import { type GlobalType, ValType } from './module.ts';
import { OPCODE_ALIGN, OPCODE_KIND, OPCODE_OPERAND, OPCODE_RESULT } from './opcodes.ts';
import { copiesInline, fillsInline } from './small-copies.ts';
import { irType } from './types.ts';
import type { Walk } from './walk.ts';

const MEMORY_GROW = builtinId('memory_grow');
const MEMORY_FILL = builtinId('memory_fill');
const MEMORY_COPY = builtinId('memory_copy');
const MEMORY_COPY_OWN = builtinId('memory_copy_own');
const MEMORY_FILL_OWN = builtinId('memory_fill_own');
const MEMORY_INIT = builtinId('memory_init');
const DATA_DROP = builtinId('data_drop');

/** Call a builtin; integer arguments may be i32. */
export function emitBuiltin(w: Walk, id: number, result: Type, args: readonly Value[]): Value {
  return w.ssa.emit(Op.CallBuiltin, result, 0, w.ssa.func.listOf(args), 0, id, 0);
}

// ---- loads and stores
/** Bit of a memory operand's alignment field: the index of a memory follows. */
const MEMORY_INDEX = 0x40;

/**
 * Read a memory operand: its memory is returned, its offset kept in the walk. Its alignment is a hint that we have no
 * use for.
 */
export function memArg(w: Walk, naturalAlign: number): number {
  const { r } = w;
  const at = r.pos;
  const flags = r.u32();
  if (flags >= 2 * MEMORY_INDEX) r.fail('malformed memop flags', at);
  if (flags & MEMORY_INDEX) needFeature(r, 'multi-memory', 'a memory operand with a memory index', at);
  const memory = flags & MEMORY_INDEX ? r.u32() : 0;
  r.u64();
  w.offset = r.lo;
  w.offsetHigh = r.hi;
  w.checkMemory(memory);
  if ((flags & ~MEMORY_INDEX) > naturalAlign) w.fail('alignment must not be larger than natural');
  if (r.hi !== 0 && !w.module.memories[memory]!.index64) w.fail('offset out of range');
  return memory;
}

export function load(w: Walk, code: number): void {
  const { ssa } = w;
  const memory = memArg(w, OPCODE_ALIGN[code]!);
  const type = OPCODE_RESULT[code]! as ValType;
  let value = w.pop(w.memoryIndexType(memory));
  if (ssa.live) {
    const kind = OPCODE_KIND[code]! as MemKind;
    const address = checkedAddress(w, memory, value, accessSize(kind, irType(type)));
    value = ssa.emit(Op.Load, irType(type), address, 0, 0, w.offset, memAccess(kind, memory));
  }
  w.push(type, value);
}

export function store(w: Walk, code: number): void {
  const { ssa } = w;
  const memory = memArg(w, OPCODE_ALIGN[code]!);
  const type = OPCODE_OPERAND[code]! as ValType;
  const value = w.pop(type);
  const index = w.pop(w.memoryIndexType(memory));
  if (!ssa.live) return;
  const kind = OPCODE_KIND[code]! as MemKind;
  const address = checkedAddress(w, memory, index, accessSize(kind, irType(type)));
  ssa.emit(Op.Store, Type.None, address, value, 0, w.offset, memAccess(kind, memory));
}

// ---- whole memories
/** A number of pages or elements that is i64 inside, as the type of an index space has it. */
export function asIndex(w: Walk, value: Value, type: ValType): Value {
  return type === ValType.I64 ? value : w.ssa.emit(Op.Wrap, Type.I32, value, 0, 0, 0, 0);
}

/** The type of a length that must fit both of two index spaces. */
export function narrower(a: ValType, b: ValType): ValType {
  return a === ValType.I64 ? b : a;
}

export function memorySize(w: Walk): void {
  const { ssa } = w;
  const memory = w.r.u32();
  const type = w.memoryIndexType(memory);
  let pages = 0;
  if (ssa.live) {
    const length = memoryLength(w, memory);
    const shift = ssa.int(Type.I64, w.module.memories[memory]!.pageSizeLog2);
    pages = asIndex(w, ssa.emit(Op.ShrU, Type.I64, length, shift, 0, 0, 0), type);
  }
  w.push(type, pages);
}

export function memoryGrow(w: Walk): void {
  const { ssa } = w;
  const memory = w.r.u32();
  const type = w.memoryIndexType(memory);
  const delta = w.pop(type);
  let result = 0;
  if (ssa.live) {
    const old = emitBuiltin(w, MEMORY_GROW, Type.I64, [ssa.int(Type.I32, memory), delta]);
    result = asIndex(w, old, type);
  }
  w.push(type, result);
}

export function memoryFill(w: Walk): void {
  const { ssa } = w;
  const memory = w.r.u32();
  const type = w.memoryIndexType(memory);
  const n = w.pop(type);
  const byte = w.pop(ValType.I32);
  const dst = w.pop(type);
  if (!ssa.live || fillsInline(w, memory, dst, byte, n)) return;
  if (memory === w.module.importedMemories) {
    emitBuiltin(w, MEMORY_FILL_OWN, Type.None, [dst, byte, n]);
    return;
  }
  emitBuiltin(w, MEMORY_FILL, Type.None, [ssa.int(Type.I32, memory), dst, byte, n]);
}

export function memoryCopy(w: Walk): void {
  const { ssa } = w;
  const to = w.r.u32();
  const from = w.r.u32();
  const toType = w.memoryIndexType(to);
  const fromType = w.memoryIndexType(from);
  const n = w.pop(narrower(toType, fromType));
  const src = w.pop(fromType);
  const dst = w.pop(toType);
  if (!ssa.live || copiesInline(w, to, from, dst, src, n)) return;
  if (to === from && to === w.module.importedMemories) {
    emitBuiltin(w, MEMORY_COPY_OWN, Type.None, [dst, src, n]);
    return;
  }
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
  const type = w.memoryIndexType(memory);
  checkDataSegment(w, segment);
  const n = w.pop(ValType.I32);
  const src = w.pop(ValType.I32);
  const dst = w.pop(type);
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
