/**
 * Memories, tables, globals and function references that the host makes. Each is the export of a module of one entity,
 * assembled here and compiled on demand: so they are what a guest's own are, and can be linked, passed and called like
 * them.
 */
import { compile } from '../compiler/index.ts';
import type { Global, Memory, Table, Tag } from './externs.ts';
import type { Func } from './func.ts';
import { type HostCallback, HostFunction } from './hostcalls.ts';
import { Instance } from './instance.ts';
import type { Imports } from './linkage.ts';
import { Module } from './module.ts';
import { Region } from './region.ts';
import {
  type FuncType,
  type GlobalType,
  type ReferenceType,
  showFuncType,
  type TagType,
  type ValueType,
} from './types.ts';
import {
  type Bytes,
  exportEntry,
  functionType,
  KIND,
  type LimitsSpec,
  limits,
  moduleBytes,
  name,
  TYPE_CODE,
} from './wasm-writer.ts';

/** What the host makes takes slots of a region of its own. Address space is taken with each slot, not before. */
const CAPACITY = 10_000;
let region: Region | null = null;
const modules = new Map<string, Module>();

/** A compiled module by its description; they stay for the life of the process. */
function synthetic(key: string, make: () => Uint8Array): Module {
  let module = modules.get(key);
  if (module === undefined)
    modules.set(key, (module = Module.fromBytes(compile(make(), { debugInfo: false, memory: 'dense' }))));
  return module;
}

function instantiate(module: Module, imports: Imports = {}): Instance {
  region ??= Region.create({ capacity: CAPACITY });
  return Instance.create(region, module, imports);
}

const EXPORT = 'x';

function limitsKey(l: LimitsSpec): string {
  return `${l.min} ${l.max} ${l.shared ?? false} ${l.index64 ?? false}`;
}

/** A memory of `min` pages. Give it back with `memory.home.dispose()`. */
export function createMemory(type: LimitsSpec): Memory {
  const module = synthetic(`memory ${limitsKey(type)}`, () =>
    moduleBytes({ memory: [limits(type)], export: [exportEntry(EXPORT, KIND.memory, 0)] }),
  );
  return instantiate(module).export(EXPORT) as Memory;
}

/** A table of `min` elements, all of them `init`. Give it back with `table.home.dispose()`. */
export function createTable(
  type: LimitsSpec & { readonly element: ReferenceType },
  init: unknown = null,
): Table {
  const module = synthetic(`table ${type.element} ${limitsKey(type)}`, () =>
    moduleBytes({
      table: [[TYPE_CODE[type.element], ...limits(type)]],
      export: [exportEntry(EXPORT, KIND.table, 0)],
    }),
  );
  const table = instantiate(module).export(EXPORT) as Table;
  if (init !== null) for (let i = 0; i < table.length; i++) table.set(i, init);
  return table;
}

/** Zero of each type, as a constant expression. */
const ZERO: Record<ValueType, Bytes> = {
  i32: [0x41, 0, 0x0b],
  i64: [0x42, 0, 0x0b],
  f32: [0x43, 0, 0, 0, 0, 0x0b],
  f64: [0x44, 0, 0, 0, 0, 0, 0, 0, 0, 0x0b],
  v128: [0xfd, 0x0c, ...new Array<number>(16).fill(0), 0x0b],
  funcref: [0xd0, TYPE_CODE.funcref, 0x0b],
  externref: [0xd0, TYPE_CODE.externref, 0x0b],
  anyref: [0xd0, TYPE_CODE.anyref, 0x0b],
  exnref: [0xd0, TYPE_CODE.exnref, 0x0b],
};

/** Give it back with `global.home.dispose()`. @throws TypeError when the value is not of the type */
export function createGlobal(type: GlobalType, value: unknown): Global {
  const exports = [exportEntry(EXPORT, KIND.global, 0)];
  const globalType = [TYPE_CODE[type.type], type.mutable ? 1 : 0];
  if (!type.mutable) {
    // The value comes in as an import: one module serves all values.
    const module = synthetic(`const ${type.type}`, () =>
      moduleBytes({ import: [[...name(''), ...name(EXPORT), KIND.global, ...globalType]], export: exports }),
    );
    return instantiate(module, { '': { [EXPORT]: value as object } }).export(EXPORT) as Global;
  }
  const module = synthetic(`mut ${type.type}`, () =>
    moduleBytes({ global: [[...globalType, ...ZERO[type.type]]], export: exports }),
  );
  const global = instantiate(module).export(EXPORT) as Global;
  global.value = value;
  return global;
}

/** A tag, to throw from the host and to tell exceptions apart. Give it back with `tag.home.dispose()`. */
export function createTag(type: TagType): Tag {
  const module = synthetic(`tag ${type.params.join()}`, () =>
    moduleBytes({
      type: [functionType(type.params, [])],
      tag: [[0, 0]],
      export: [exportEntry(EXPORT, KIND.tag, 0)],
    }),
  );
  return instantiate(module).export(EXPORT) as Tag;
}

/** A host function as a function reference, for tables and arguments. Give it back with `func.home.dispose()`. */
export function createFunc(type: FuncType, callback: HostCallback): Func {
  const module = synthetic(`func ${showFuncType(type)}`, () =>
    moduleBytes({
      type: [functionType(type.params, type.results)],
      import: [[...name(''), ...name(EXPORT), KIND.func, 0]],
      export: [exportEntry(EXPORT, KIND.func, 0)],
    }),
  );
  return instantiate(module, { '': { [EXPORT]: new HostFunction(callback, { type }) } }).func(EXPORT);
}
