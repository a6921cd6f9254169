/**
 * A decoded module: plain data, as the binary has it, checked as far as the module level goes
 * (WebAssembly core spec 2.0, "Modules"). Function bodies stay undecoded: byte ranges.
 */

import type { FeatureSet } from '../features.ts';
import type { TableImage } from './table-images.ts';

/**
 * Value types, packed into an int. Bits 0–7 the *base*: a number or vector type, or the heap type of a reference; bit
 * 8: the reference is not null; bits 9–30: type index, if the base is Concrete. So `FuncRef` is `(ref null func)`, and
 * every reference type is at least that number. Bases up to 27 are for further heap types. Binary codes are in
 * types.ts.
 */
export const enum ValType {
  I32 = 1,
  I64 = 2,
  F32 = 3,
  F64 = 4,
  V128 = 5,
  FuncRef = 6,
  ExternRef = 7,
  /** Subtype of all function types: only null. */
  NoFunc = 8,
  NoExtern = 9,
  /** All that is neither a function, nor external, nor an exception. */
  AnyRef = 10,
  EqRef = 11,
  I31Ref = 12,
  StructRef = 13,
  ArrayRef = 14,
  /** Subtype of all of the hierarchy of `any`: only null. */
  None = 15,
  /** Of fields only. */
  I8 = 16,
  I16 = 17,
  ExnRef = 28,
  /** Subtype of `exn`: only null. */
  NoExn = 29,
  /** Of unreachable code: a subtype of every heap type. */
  Bottom = 30,
  /** A type of the module. */
  Concrete = 31,
  NonNull = 256,
}
export const BASE_MASK = 0xff;
export const TYPE_INDEX_SHIFT = 9;

export interface FuncType {
  readonly params: readonly ValType[];
  readonly results: readonly ValType[];
}

export const enum TypeKind {
  Func = 0,
  Struct = 1,
  Array = 2,
}

export interface FieldType {
  /** A value type, or I8 or I16. */
  readonly type: ValType;
  readonly mutable: boolean;
}

/**
 * A type of the type section (core specification 3.0, "Recursive Types", "Composite Types"). Structures and arrays have
 * no parameters and no results.
 */
export interface TypeDef extends FuncType {
  readonly kind: TypeKind;
  /** Of a structure; an array has one, for its elements. */
  readonly fields: readonly FieldType[];
  /** Type index, less than its own; -1: none. */
  readonly supertype: number;
  readonly final: boolean;
  /** Its recursion group: the first type's index, and their number. */
  readonly group: number;
  readonly groupSize: number;
}

/** A function type as it is without recursion groups and subtypes: a group of its own. */
export function plainFuncType(index: number, type: FuncType): TypeDef {
  const { params, results } = type;
  return {
    ...{ kind: TypeKind.Func, params, results, fields: [], supertype: -1, final: true },
    ...{ group: index, groupSize: 1 },
  };
}

export interface Limits {
  readonly min: bigint;
  readonly max: bigint | null;
}

export interface MemoryType {
  readonly limits: Limits;
  readonly index64: boolean;
  readonly shared: boolean;
  readonly pageSizeLog2: number;
}

export interface TableType {
  readonly element: ValType;
  readonly limits: Limits;
  readonly index64: boolean;
}

export interface GlobalType {
  readonly type: ValType;
  readonly mutable: boolean;
}

export const enum ExternKind {
  Func = 0,
  Table = 1,
  Memory = 2,
  Global = 3,
  Tag = 4,
}

type ImportDesc =
  | { readonly kind: ExternKind.Func; readonly typeIndex: number }
  | { readonly kind: ExternKind.Table; readonly table: TableType }
  | { readonly kind: ExternKind.Memory; readonly memory: MemoryType }
  | { readonly kind: ExternKind.Global; readonly global: GlobalType }
  | { readonly kind: ExternKind.Tag; readonly typeIndex: number };

export interface Import {
  readonly module: string;
  readonly name: string;
  readonly desc: ImportDesc;
}

export interface Export {
  readonly name: string;
  readonly kind: ExternKind;
  readonly index: number;
}

/** One operator of a constant expression. Bits are raw: i32/f32 in the low 32, v128 in 128. */
export type ConstOp =
  | { readonly op: 'const'; readonly type: ValType; readonly bits: bigint }
  | { readonly op: 'global.get'; readonly index: number }
  | { readonly op: 'ref.null'; readonly type: ValType }
  | { readonly op: 'ref.func'; readonly index: number }
  /** extended-const: i32/i64 add, sub, mul (postfix order) */
  | { readonly op: 'add' | 'sub' | 'mul'; readonly type: ValType }
  /** gc: an array of type `index`; its length is popped */
  | { readonly op: 'array.new_default'; readonly index: number };

/**
 * Postfix; of length 1 for everything in Wasm 2.0. Longer ones are made of const (i32, i64), global.get, add, sub, mul,
 * array.new_default.
 */
export type ConstExpr = readonly ConstOp[];

export interface Global {
  readonly type: GlobalType;
  readonly init: ConstExpr;
}

export interface ElemSegment {
  readonly mode: 'active' | 'passive' | 'declarative';
  readonly table: number;
  readonly offset: ConstExpr;
  readonly type: ValType;
  readonly items: readonly ConstExpr[];
}

export interface DataSegment {
  readonly mode: 'active' | 'passive';
  readonly memory: number;
  readonly offset: ConstExpr;
  /** Byte range in the module. */
  readonly start: number;
  readonly end: number;
}

export interface FuncBody {
  /** Byte range of the body in the module: locals, then code up to and with the final `end`. */
  readonly start: number;
  readonly end: number;
}

export interface CustomSection {
  readonly name: string;
  readonly start: number;
  readonly end: number;
}

export interface NameSection {
  readonly module: string | null;
  /** Function index -> name; sparse. */
  readonly functions: ReadonlyMap<number, string>;
  readonly globals: ReadonlyMap<number, string>;
  readonly locals: ReadonlyMap<number, ReadonlyMap<number, string>>;
}

export interface Module {
  readonly bytes: Uint8Array;
  /** Extensions that were on when it was decoded, and are for its bodies. */
  readonly features: FeatureSet;
  readonly types: readonly TypeDef[];
  /**
   * For each type, the index of the first type equal to it ("Type Equivalence" of the specification): compare these,
   * not indices.
   */
  readonly canonicalTypes: Int32Array;
  readonly imports: readonly Import[];
  /** Type index of every function, imported ones first. */
  readonly functions: Int32Array;
  readonly importedFunctions: number;
  readonly tables: readonly TableType[];
  readonly importedTables: number;
  /** What the elements of each defined table start with; null: null. */
  readonly tableInits: readonly (ConstExpr | null)[];
  readonly memories: readonly MemoryType[];
  readonly importedMemories: number;
  /** Types of all globals, imported ones first; initialisers of the defined ones. */
  readonly globalTypes: readonly GlobalType[];
  readonly importedGlobals: number;
  readonly globals: readonly Global[];
  /** Type index of every tag, imported ones first. */
  readonly tags: readonly number[];
  readonly importedTags: number;
  readonly exports: readonly Export[];
  readonly start: number | null;
  readonly elems: readonly ElemSegment[];
  /** Number from the data count section, or -1. */
  readonly dataCount: number;
  readonly data: readonly DataSegment[];
  /** Bodies of defined functions: index = function index - importedFunctions. */
  readonly bodies: readonly FuncBody[];
  /**
   * File offset of the code section's contents (its first byte after the size): DWARF addresses are relative to this.
   */
  readonly codeStart: number;
  readonly customSections: readonly CustomSection[];
  readonly names: NameSection;
  /** For each table: its image, if it never changes (table-images.ts). */
  readonly tableImages: readonly (TableImage | null)[];
  /** For each table: may code of the module change it? */
  readonly tablesWritten: readonly boolean[];
  /**
   * Functions that references may be made of: exported, the start function, in an element segment, in a global's
   * initialiser, or named by `ref.func`; but not those that are in table images and nowhere else. Ascending. Each gets
   * a funcref record ("escape order" = position in this list).
   */
  readonly escaping: Int32Array;
}
