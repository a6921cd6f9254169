/**
 * Tables and references.
 *
 * A table whose minimum is its maximum never changes its length, and its elements never move (the runtime allocates
 * them once): its length is a constant, and its base is read-only. That holds for an imported one too, because its
 * actual limits must lie within the declared ones.
 *
 * Imported tables may be the same table under two indices: they share one alias slot.
 */
import { builtinId } from '../abi/builtins.ts';
import { TrapCode } from '../abi/traps.ts';
import { FUNCREF, TABLE_DESC, TABLE_ELEMENT_SIZE, VMCTX } from '../abi/vmctx.ts';
import type { Value } from '../ir/func.ts';
import { MemKind, Op, Region, rawAccess, Type } from '../ir/ops.ts';
import { escapePosition } from './escape.ts';
import { asIndex, emitBuiltin, narrower } from './lower-memory.ts';
import { type TableType, ValType } from './module.ts';
import { concreteRef, irType, readHeapType, typeName } from './types.ts';
import type { Walk } from './walk.ts';

const TABLE_GROW = builtinId('table_grow');
const TABLE_FILL = builtinId('table_fill');
const TABLE_COPY = builtinId('table_copy');
const TABLE_INIT = builtinId('table_init');
const ELEM_DROP = builtinId('elem_drop');
const MAKE_FUNCREF = builtinId('make_funcref');

function fixedSize(table: TableType): boolean {
  return table.limits.min === table.limits.max;
}

function aliasSlot(w: Walk, index: number): number {
  return (index < w.module.importedTables ? 0 : index) + 1;
}

/** A field of the table's descriptor. */
function loadDesc(w: Walk, index: number, field: number, type: Type, region: Region): Value {
  const { ssa } = w;
  const at = TABLE_DESC.SIZE * index - w.layout.tables;
  const access = rawAccess(region, MemKind.Full, region === Region.ReadOnly ? 0 : aliasSlot(w, index));
  if (index >= w.module.importedTables) return ssa.emit(Op.VmLoad, type, 0, 0, 0, at + field, access);
  const desc = ssa.emit(Op.VmLoad, Type.I64, 0, 0, 0, at, rawAccess(Region.ReadOnly, MemKind.Full));
  return ssa.emit(Op.RawLoad, type, desc, 0, 0, field, access);
}

/** The length, in the type of the table's indices. One of 32-bit indices is below 2^32: the low half of the field. */
function loadLength(w: Walk, index: number): Value {
  const { ssa } = w;
  const table = w.module.tables[index]!;
  const type = irType(w.tableIndexType(index));
  if (fixedSize(table)) {
    const { min } = table.limits;
    const high = type === Type.I64 ? Number(BigInt.asIntN(32, min >> 32n)) : 0;
    return ssa.emit(Op.IConst, type, 0, 0, 0, Number(BigInt.asIntN(32, min)), high);
  }
  return loadDesc(w, index, TABLE_DESC.LENGTH, type, Region.TableDesc);
}

/** Address of an element, behind its bounds check: the index is below the length, so nothing wraps. */
function elementAddress(w: Walk, tableIndex: number, index: Value): Value {
  const { ssa } = w;
  const table = w.module.tables[tableIndex]!;
  const length = loadLength(w, tableIndex);
  const outside = ssa.emit(Op.GeU, Type.I32, index, length, 0, 0, 0);
  ssa.emit(Op.TrapNz, Type.None, outside, 0, 0, TrapCode.TableOutOfBounds, 0);
  const region = fixedSize(table) ? Region.ReadOnly : Region.TableDesc;
  const base = loadDesc(w, tableIndex, TABLE_DESC.BASE, Type.I64, region);
  const wide = table.index64 ? index : ssa.emit(Op.ExtendU, Type.I64, index, 0, 0, 0, 0);
  const offset = ssa.emit(Op.Shl, Type.I64, wide, ssa.int(Type.I64, Math.log2(TABLE_ELEMENT_SIZE)), 0, 0, 0);
  return ssa.emit(Op.Add, Type.I64, base, offset, 0, 0, 0);
}

function elementAccess(w: Walk, tableIndex: number): number {
  return rawAccess(Region.TableElement, MemKind.Full, aliasSlot(w, tableIndex));
}

/** The element at an index, behind its bounds check. */
export function loadElement(w: Walk, tableIndex: number, index: Value): Value {
  const address = elementAddress(w, tableIndex, index);
  return w.ssa.emit(Op.RawLoad, Type.Ref, address, 0, 0, 0, elementAccess(w, tableIndex));
}

// ---- tables
export function tableGet(w: Walk): void {
  const t = w.r.u32();
  const table = w.table(t);
  const index = w.pop(w.tableIndexType(t));
  w.push(table.element, w.ssa.live ? loadElement(w, t, index) : 0);
}

export function tableSet(w: Walk): void {
  const { ssa } = w;
  const t = w.r.u32();
  const table = w.table(t);
  const value = w.pop(table.element);
  const index = w.pop(w.tableIndexType(t));
  if (!ssa.live) return;
  ssa.emit(Op.RawStore, Type.None, elementAddress(w, t, index), value, 0, 0, elementAccess(w, t));
}

export function tableSize(w: Walk): void {
  const t = w.r.u32();
  w.push(w.tableIndexType(t), w.ssa.live ? loadLength(w, t) : 0);
}

export function tableGrow(w: Walk): void {
  const { ssa } = w;
  const t = w.r.u32();
  const table = w.table(t);
  const type = w.tableIndexType(t);
  const delta = w.pop(type);
  const init = w.pop(table.element);
  let result = 0;
  if (ssa.live) {
    const old = emitBuiltin(w, TABLE_GROW, Type.I64, [ssa.int(Type.I32, t), init, delta]);
    result = asIndex(w, old, type);
  }
  w.push(type, result);
}

export function tableFill(w: Walk): void {
  const { ssa } = w;
  const t = w.r.u32();
  const table = w.table(t);
  const n = w.pop(w.tableIndexType(t));
  const value = w.pop(table.element);
  const dst = w.pop(w.tableIndexType(t));
  if (ssa.live) emitBuiltin(w, TABLE_FILL, Type.None, [ssa.int(Type.I32, t), dst, value, n]);
}

export function tableCopy(w: Walk): void {
  const { ssa } = w;
  const to = w.r.u32();
  const from = w.r.u32();
  const a = w.table(to).element;
  const b = w.table(from).element;
  if (!w.matches(b, a))
    w.fail(`type mismatch: table.copy from a table of ${typeName(b)} to one of ${typeName(a)}`);
  const toType = w.tableIndexType(to);
  const fromType = w.tableIndexType(from);
  const n = w.pop(narrower(toType, fromType));
  const src = w.pop(fromType);
  const dst = w.pop(toType);
  if (!ssa.live) return;
  emitBuiltin(w, TABLE_COPY, Type.None, [ssa.int(Type.I32, to), ssa.int(Type.I32, from), dst, src, n]);
}

export function tableInit(w: Walk): void {
  const { ssa } = w;
  const segment = w.r.u32();
  const t = w.r.u32();
  const table = w.table(t);
  w.checkIndex('elem segment', segment, w.module.elems.length);
  const type = w.module.elems[segment]!.type;
  if (!w.matches(type, table.element)) {
    w.fail(`type mismatch: table.init of a table of ${typeName(table.element)} from ${typeName(type)}`);
  }
  const n = w.pop(ValType.I32);
  const src = w.pop(ValType.I32);
  const dst = w.pop(w.tableIndexType(t));
  if (!ssa.live) return;
  emitBuiltin(w, TABLE_INIT, Type.None, [ssa.int(Type.I32, t), ssa.int(Type.I32, segment), dst, src, n]);
}

export function elemDrop(w: Walk): void {
  const segment = w.r.u32();
  w.checkIndex('elem segment', segment, w.module.elems.length);
  if (w.ssa.live) emitBuiltin(w, ELEM_DROP, Type.None, [w.ssa.int(Type.I32, segment)]);
}

// ---- references
/** Emit code that rarely runs, where `cond` is nonzero, in a block of its own. */
function onColdPath(w: Walk, cond: Value, emit: () => void): void {
  const { ssa } = w;
  const { func } = ssa;
  const cold = func.newBlock();
  const next = func.newBlock();
  const UNLIKELY = 2;
  ssa.terminate(Op.BrIf, cond, func.newEdge(cold), func.newEdge(next), UNLIKELY);
  ssa.enter(cold);
  emit();
  ssa.terminate(Op.Jump, 0, func.newEdge(next), 0, 0);
  ssa.enter(next);
}

export function refNull(w: Walk): void {
  const type = readHeapType(w.r, w.module.types.length);
  w.push(type, w.ssa.live ? nullRef(w) : 0);
}

function nullRef(w: Walk): Value {
  return w.ssa.emit(Op.IConst, Type.Ref, 0, 0, 0, 0, 0);
}

export function refIsNull(w: Walk): void {
  const { ssa } = w;
  const value = w.popRef();
  w.push(ValType.I32, ssa.live ? ssa.emit(Op.Eq, Type.I32, value, nullRef(w), 0, 0, 0) : 0);
}

/** Objects have one address each. */
export function refEq(w: Walk): void {
  const { ssa } = w;
  const b = w.pop(ValType.EqRef);
  const a = w.pop(ValType.EqRef);
  w.push(ValType.I32, ssa.live ? ssa.emit(Op.Eq, Type.I32, a, b, 0, 0, 0) : 0);
}

export function refAsNonNull(w: Walk): void {
  const { ssa } = w;
  const value = w.popRef();
  const type = w.popped as ValType;
  if (ssa.live) {
    const isNull = ssa.emit(Op.Eq, Type.I32, value, nullRef(w), 0, 0, 0);
    ssa.emit(Op.TrapNz, Type.None, isNull, 0, 0, TrapCode.NullReference, 0);
  }
  w.push(type | ValType.NonNull, value);
}

/** The address of the function's record, which is made now if it has not been before. */
export function refFunc(w: Walk): void {
  const { ssa, module } = w;
  const f = w.r.u32();
  w.checkIndex('function', f, module.functions.length);
  const position = escapePosition(module, f);
  if (position < 0 || (f === module.start && !w.startDeclared)) {
    w.fail(`undeclared function reference: function ${f}`);
  }
  let value = 0;
  if (ssa.live) {
    const records = ssa.emit(
      Op.VmLoad,
      Type.I64,
      0,
      0,
      0,
      -VMCTX.FUNCREFS,
      rawAccess(Region.ReadOnly, MemKind.Full),
    );
    const address = ssa.emit(Op.Add, Type.I64, records, ssa.int(Type.I64, FUNCREF.SIZE * position), 0, 0, 0);
    value = ssa.emit(Op.Bitcast, Type.Ref, address, 0, 0, 0, 0);
    // Not read-only: the builtin writes it.
    const id = ssa.emit(
      Op.RawLoad,
      Type.I32,
      address,
      0,
      0,
      FUNCREF.SIG_ID,
      rawAccess(Region.TableDesc, MemKind.Full),
    );
    const empty = ssa.emit(Op.Eq, Type.I32, id, ssa.int(Type.I32, 0), 0, 0, 0);
    onColdPath(w, empty, () => {
      emitBuiltin(w, MAKE_FUNCREF, Type.I64, [ssa.int(Type.I32, position)]);
    });
  }
  w.push(concreteRef(module.functions[f]!) | ValType.NonNull, value);
}
