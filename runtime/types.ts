/** Types of values and of external entities, as JavaScript sees them. */

export const VALUE_TYPES = ['i32', 'i64', 'f32', 'f64', 'v128', 'funcref', 'externref'] as const;
export type ValueType = (typeof VALUE_TYPES)[number];

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
  readonly element: 'funcref' | 'externref';
  readonly min: number;
  readonly max: number | null;
  readonly index64: boolean;
}

export type ExternType =
  | ({ readonly kind: 'func' } & FuncType)
  | ({ readonly kind: 'table' } & TableType)
  | ({ readonly kind: 'memory' } & MemoryType)
  | ({ readonly kind: 'global' } & GlobalType);

/** Of ValType in compiler/wasm/module.ts, which counts from 1. */
export function valueTypeOf(code: number): ValueType {
  const type = VALUE_TYPES[code - 1];
  if (type === undefined) throw new Error(`value type ${code} is unknown`);
  return type;
}

export function valueTypeCode(type: ValueType): number {
  return VALUE_TYPES.indexOf(type) + 1;
}

/** 64-bit words that values of these types take in an array of arguments: two for a v128, one for each other. */
export function wordsOf(types: readonly ValueType[]): number {
  let words = types.length;
  for (const t of types) if (t === 'v128') words++;
  return words;
}

/** As lucet_import.signature. */
export function signatureText(type: FuncType): string {
  const letters = { i32: 'i', i64: 'I', f32: 'f', f64: 'F', v128: 'v', funcref: 'r', externref: 'e' };
  const text = (types: readonly ValueType[]): string => types.map(t => letters[t]).join('');
  return `${text(type.params)}:${text(type.results)}`;
}

/** For people: `(i32, i64) -> f32`. */
export function showFuncType(type: FuncType): string {
  const results = type.results.length === 1 ? type.results[0] : `(${type.results.join(', ')})`;
  return `(${type.params.join(', ')}) -> ${results}`;
}
