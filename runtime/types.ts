/** Types of values and of external entities, as JavaScript sees them. */

import { ValType } from '../compiler/wasm/module.ts';

/** With the codes of lucet_valtype, which are the compiler's own. */
const VALUE_CODES = {
  i32: ValType.I32,
  i64: ValType.I64,
  f32: ValType.F32,
  f64: ValType.F64,
  v128: ValType.V128,
  funcref: ValType.FuncRef,
  externref: ValType.ExternRef,
  anyref: ValType.AnyRef,
  exnref: ValType.ExnRef,
} as const;
export type ValueType = keyof typeof VALUE_CODES;
/** Those whose values are references. */
export type ReferenceType = 'funcref' | 'externref' | 'anyref' | 'exnref';
const VALUE_TYPES = new Map<number, ValueType>(
  Object.entries(VALUE_CODES).map(([type, code]) => [code, type as ValueType]),
);

export interface FuncType {
  readonly params: readonly ValueType[];
  readonly results: readonly ValueType[];
}

export interface GlobalType {
  readonly type: ValueType;
  readonly mutable: boolean;
}

export interface MemoryType {
  /** Pages. */
  readonly min: number;
  readonly max: number | null;
  readonly shared: boolean;
  readonly index64: boolean;
  /** Bytes of a page. */
  readonly pageSize: number;
}

export interface TableType {
  readonly element: ReferenceType;
  readonly min: number;
  readonly max: number | null;
  readonly index64: boolean;
}

/** Of the values that exceptions of a tag carry. */
export interface TagType {
  readonly params: readonly ValueType[];
}

export type ExternType =
  | ({ readonly kind: 'func' } & FuncType)
  | ({ readonly kind: 'table' } & TableType)
  | ({ readonly kind: 'memory' } & MemoryType)
  | ({ readonly kind: 'global' } & GlobalType)
  | ({ readonly kind: 'tag' } & TagType);

export function valueTypeOf(code: number): ValueType {
  const type = VALUE_TYPES.get(code);
  if (type === undefined) throw new Error(`value type ${code} is unknown`);
  return type;
}

export function valueTypeCode(type: ValueType): number {
  return VALUE_CODES[type];
}

/** 64-bit words that values of these types take in an array of arguments: two for a v128, one for each other. */
export function wordsOf(types: readonly ValueType[]): number {
  let words = types.length;
  for (const t of types) if (t === 'v128') words++;
  return words;
}

/** As lucet_import.signature. */
export function signatureText(type: FuncType): string {
  const letters = {
    i32: 'i',
    i64: 'I',
    f32: 'f',
    f64: 'F',
    v128: 'v',
    funcref: 'r',
    externref: 'e',
    anyref: 'a',
    exnref: 'x',
  };
  const text = (types: readonly ValueType[]): string => types.map(t => letters[t]).join('');
  return `${text(type.params)}:${text(type.results)}`;
}

/** For people: `(i32, i64) -> f32`. */
export function showFuncType(type: FuncType): string {
  const results = type.results.length === 1 ? type.results[0] : `(${type.results.join(', ')})`;
  return `(${type.params.join(', ')}) -> ${results}`;
}
