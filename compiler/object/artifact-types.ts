/** What a compiled module says about itself, as object/artifact-reader.ts gives it. */
import type { ConstKind, SegmentMode } from '../abi/artifact.ts';
import type { TrapCode } from '../abi/traps.ts';
import type {
  ConstExpr,
  ExternKind,
  FuncType,
  GlobalType,
  MemoryType,
  TableType,
  TypeKind,
  ValType,
} from '../wasm/module.ts';

export type ExternType =
  | { readonly kind: ExternKind.Func; readonly typeIndex: number; readonly type: FuncType }
  | { readonly kind: ExternKind.Table; readonly table: TableType }
  | { readonly kind: ExternKind.Memory; readonly memory: MemoryType }
  | { readonly kind: ExternKind.Global; readonly global: GlobalType }
  | { readonly kind: ExternKind.Tag; readonly typeIndex: number; readonly type: FuncType };

export interface ImportInfo {
  readonly module: string;
  readonly name: string;
  /** Bound symbol, or '' */
  readonly symbol: string;
  readonly index: number;
  readonly desc: ExternType;
}

export interface ExportInfo {
  readonly name: string;
  readonly index: number;
  readonly desc: ExternType;
}

/**
 * function: a function of the module; import: an imported function (with code: its wrapper); host-thunk: calls the host
 * function bound to an import; entry-thunk: how the host calls functions of a type.
 */
export type CodeKind = 'function' | 'import' | 'host-thunk' | 'entry-thunk';

export interface FunctionInfo {
  /** Index of the record; for functions it is the function index. */
  readonly index: number;
  readonly kind: CodeKind;
  /** Offset in .text. */
  readonly start: number;
  /** Bytes of code; 0: none. */
  readonly length: number;
  readonly typeIndex: number;
  readonly frameSize: number;
  /** Module offset from which the pc map counts. */
  readonly wasmStart: number;
  /** From the name section; '' when it has none. */
  readonly name: string;
}

export interface ConstInfo {
  readonly kind: ConstKind;
  /** Bits: the value. */
  readonly bits: bigint;
  /** GlobalGet, RefFunc: what of. */
  readonly index: number;
  /** Code: the operators; empty for the other kinds. */
  readonly code: ConstExpr;
}

export interface GlobalInfo extends GlobalType {
  /** null for imported ones */
  readonly init: ConstInfo | null;
}

export interface ElemInfo {
  readonly mode: SegmentMode;
  readonly table: number;
  readonly type: ValType;
  readonly offset: ConstInfo;
  readonly items: readonly ConstInfo[];
}

export interface DataInfo {
  readonly mode: SegmentMode;
  readonly memory: number;
  readonly offset: ConstInfo;
  readonly bytes: Uint8Array;
}

/**
 * A call that may throw into the function that makes it: where it returns to, where it lands (offsets in .text), and
 * the try_table around it.
 */
export interface LandingInfo {
  readonly site: number;
  readonly pad: number;
  readonly scope: number;
}

export interface TryScopeInfo {
  /** The try_table around it, or null. */
  readonly parent: number | null;
  readonly clauses: readonly CatchInfo[];
}

export interface CatchInfo {
  /** null: everything */
  readonly tag: number | null;
  readonly number: number;
}

/** Where a code address lies. */
export interface Location {
  readonly func: number;
  /** Byte offset in the wasm module of the operator, or -1: code that belongs to none. */
  readonly wasmOffset: number;
  /** What a fault at exactly this place means. */
  readonly trap: TrapCode;
}

/** How a type is related to others. */
export interface TypeLinks {
  /** Index of the first equal one. */
  readonly canonical: number;
  /** Function record, or null. */
  readonly entryThunk: number | null;
  readonly kind: TypeKind;
  /** Type index; -1: none. */
  readonly supertype: number;
  readonly final: boolean;
  /** First type of its recursion group. */
  readonly group: number;
  readonly groupSize: number;
}

/** How a function of debug code is looked into. Homes are counted from the stack pointer in its body. */
export interface DebugFunction {
  readonly index: number;
  /** Home of the lowest operand. */
  readonly operands: number;
  /** Parameters included. */
  readonly locals: readonly { readonly type: ValType; readonly home: number }[];
  /** Ascending. */
  readonly points: readonly SequencePoint[];
}

interface SequencePoint {
  /** Offset in .text. */
  readonly pc: number;
  /** Module offset of the operator that comes next. */
  readonly wasmOffset: number;
  readonly operandCount: number;
}
