/**
 * Thunks: small functions that the compiler makes itself, through the same pipeline as all others; for debuggers, where
 * that does not go through intermediate code, by singlepass/x64/thunks.ts.
 *
 * Indices:
 *
 *   0 .. importedFunctions-1            *wrapper* of an imported function that escapes or is in a table image (others have no code): has the import's type in the
 *                                       wasm convention and calls through the import entry. Its address is what a funcref record or an image holds.
 *   functions.length + i                *host thunk* of function import i: arguments to an array, the hostcall stub, results from the array.
 *                                       The runtime puts it into the import's entry when the import is bound to a host function.
 *   functions.length + imports + k      *entry thunk* of the k-th canonical type that an escaping function has, by ascending type index:
 *                                       how the host calls a function of that type. (array: i64, code: i64); the vmctx register is set.
 *
 * The argument array has 8 bytes for each value, 16 for a v128, in order and without padding; results overwrite it from
 * the start, in the same layout. The upper half of an i32's or f32's place is undefined.
 */
import { bug } from './diagnostics.ts';
import { F_BLOCK, type Func, ROW, type Value } from './ir/func.ts';
import { MemKind, Op, Region, rawAccess, Type } from './ir/ops.ts';
import { hasAddress } from './wasm/escape.ts';
import { type FuncType, type Module, ValType } from './wasm/module.ts';
import { irType } from './wasm/types.ts';

const entryTypesOf = new WeakMap<Module, Int32Array>();

const ARGS = rawAccess(Region.Args, MemKind.Full);

/**
 * Types that have an entry thunk: canonical indices, ascending. The thunk of the k-th one has index functions.length +
 * imports + k.
 */
export function entryThunkTypes(module: Module): Int32Array {
  const cached = entryTypesOf.get(module);
  if (cached) return cached;
  const types = new Set<number>();
  for (const f of module.escaping) types.add(module.canonicalTypes[module.functions[f]!]!);
  const list = Int32Array.from(types).sort();
  entryTypesOf.set(module, list);
  return list;
}

/** Number of thunks with indices from `functions.length` on. */
export function thunkCount(module: Module): number {
  return module.importedFunctions + entryThunkTypes(module).length;
}

export const enum ThunkKind {
  Wrapper,
  Host,
  Entry,
}

export interface Thunk {
  readonly kind: ThunkKind;
  /** Of the import; entry thunks: of the type. */
  readonly number: number;
  readonly type: FuncType;
}

/** The thunk with the given index; null if the index has no code: an imported function that is only called directly. */
export function thunkAt(module: Module, index: number): Thunk | null {
  const { functions, importedFunctions, types } = module;
  const k = index - functions.length;
  if (k < 0) {
    if (index >= importedFunctions) bug(`function ${index} is not a thunk`);
    if (!hasAddress(module, index)) return null;
    return { kind: ThunkKind.Wrapper, number: index, type: types[functions[index]!]! };
  }
  if (k < importedFunctions) return { kind: ThunkKind.Host, number: k, type: types[functions[k]!]! };
  const type = entryThunkTypes(module)[k - importedFunctions];
  if (type === undefined) bug(`no thunk ${index}`);
  return { kind: ThunkKind.Entry, number: type, type: types[type]! };
}

/**
 * Build the thunk with the given index.
 * @param func is reset and filled
 * @returns false if the index has no code
 */
export function buildThunk(module: Module, index: number, func: Func): boolean {
  const thunk = thunkAt(module, index);
  if (!thunk) return false;
  const { kind, number, type } = thunk;
  switch (kind) {
    case ThunkKind.Wrapper:
      func.reset(index, `wrapper of import ${number}`);
      buildWrapper(func, type, number);
      break;
    case ThunkKind.Host:
      func.reset(index, `host thunk of import ${number}`);
      buildHostThunk(func, type, number);
      break;
    case ThunkKind.Entry:
      func.reset(index, `entry thunk of type ${number}`);
      buildEntryThunk(func, type, number);
  }
  return true;
}

function emit(
  func: Func,
  op: Op,
  type: Type,
  a: number,
  b: number,
  c: number,
  imm: number,
  imm2: number,
): Value {
  return func.append(0, func.make(op, type, a, b, c, imm, imm2));
}

/** The entry block, with parameters. */
function begin(func: Func, params: readonly Type[]): Value[] {
  const block = func.newBlock();
  const list = func.newList(params.length);
  func.params[block] = list;
  return params.map((type, i) => {
    const v = func.make(Op.Param, type, block, 0, 0, i, 0);
    func.rows[v * ROW + F_BLOCK] = block;
    func.pool[list + 1 + i] = v;
    return v;
  });
}

function ret(func: Func, values: readonly Value[]): void {
  emit(func, Op.Return, Type.None, 0, func.listOf(values), 0, 0, 0);
}

/** The results of a call that has just been emitted. */
function callResults(func: Func, call: Value, results: readonly ValType[]): Value[] {
  if (results.length === 1) return [call];
  return results.map((t, i) => emit(func, Op.Result, irType(t), call, 0, 0, i, 0));
}

function callType(results: readonly ValType[]): Type {
  return results.length === 1 ? irType(results[0]!) : Type.None;
}

// ---- argument arrays
function placeSize(t: ValType): number {
  return t === ValType.V128 ? 16 : 8;
}
function arraySize(types: readonly ValType[]): number {
  return types.reduce((sum, t) => sum + placeSize(t), 0);
}

function storeAll(func: Func, array: Value, types: readonly ValType[], values: readonly Value[]): void {
  let at = 0;
  types.forEach((t, i) => {
    emit(func, Op.RawStore, Type.None, array, values[i]!, 0, at, ARGS);
    at += placeSize(t);
  });
}

function loadAll(func: Func, array: Value, types: readonly ValType[]): Value[] {
  let at = 0;
  return types.map(t => {
    const v = emit(func, Op.RawLoad, irType(t), array, 0, 0, at, ARGS);
    at += placeSize(t);
    return v;
  });
}

// ---- the three kinds
function buildWrapper(func: Func, type: FuncType, importIndex: number): void {
  func.results = type.results.map(irType);
  const params = begin(func, type.params.map(irType));
  const args = func.listOf(params);
  const call = emit(func, Op.CallImport, callType(type.results), 0, args, 0, importIndex, 0);
  ret(func, callResults(func, call, type.results));
}

function buildHostThunk(func: Func, type: FuncType, importIndex: number): void {
  func.results = type.results.map(irType);
  const params = begin(func, type.params.map(irType));
  const size = Math.max(arraySize(type.params), arraySize(type.results), 16);
  func.slots.push((size + 15) & ~15);
  const array = emit(func, Op.SlotAddr, Type.I64, 0, 0, 0, 0, 0);
  storeAll(func, array, type.params, params);
  emit(func, Op.CallHost, Type.None, array, 0, 0, importIndex, 0);
  ret(func, loadAll(func, array, type.results));
}

function buildEntryThunk(func: Func, type: FuncType, typeIndex: number): void {
  func.results = [];
  const [array, code] = begin(func, [Type.I64, Type.I64]) as [Value, Value];
  const args = func.listOf(loadAll(func, array, type.params));
  const call = emit(func, Op.CallIndirect, callType(type.results), code, args, 0, typeIndex, 0);
  storeAll(func, array, type.results, callResults(func, call, type.results));
  ret(func, []);
}
