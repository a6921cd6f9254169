/** What the extension asks of the module tool, a child process (main.ts): plain data over Node's IPC channel. */

import type { Syntax } from '../../compiler/objdump/disassemble.ts';

/** A line of WAT. */
export interface WatRow {
  /** Byte offset in the module. */
  readonly offset: number;
  readonly depth: number;
  readonly text: string;
  /** Index in `files`, and line from 1; -1: not known. */
  readonly file: number;
  readonly line: number;
}

/** A machine instruction. */
export interface NativeRow {
  /** Address in the artifact, as readelf and gdb show it. */
  readonly address: number;
  /** From the function's first byte. */
  readonly pc: number;
  /** In hex. */
  readonly bytes: string;
  readonly text: string;
  /** -1: not known. */
  readonly wasmOffset: number;
  readonly note: string;
}

/** One function in its three forms. */
export interface FunctionCode {
  readonly index: number;
  readonly name: string;
  /** Source files that `WatRow.file` counts. */
  readonly files: readonly string[];
  /** null: the wasm module is not at hand. */
  readonly wat: readonly WatRow[] | null;
  /** null: it has not been compiled. */
  readonly native: readonly NativeRow[] | null;
  /** Why a form is missing, or cut short; empty: all is there. */
  readonly note: string;
}

export interface SectionInfo {
  readonly name: string;
  readonly start: number;
  readonly size: number;
}

export interface FunctionInfo {
  readonly index: number;
  /** Empty: it has none. */
  readonly name: string;
  readonly type: string;
  /** Bytes of wasm. */
  readonly size: number;
}

export interface ExternInfo {
  readonly kind: string;
  readonly name: string;
  readonly index: number;
  readonly type: string;
}

export interface ModuleSummary {
  readonly path: string;
  readonly bytes: number;
  /** First 16 bytes of the SHA-256, in hex. */
  readonly hash: string;
  readonly sections: readonly SectionInfo[];
  readonly imports: readonly (ExternInfo & { readonly module: string })[];
  readonly exports: readonly ExternInfo[];
  /** Defined ones. */
  readonly functions: readonly FunctionInfo[];
  readonly memories: readonly string[];
  readonly tables: readonly string[];
  readonly globals: readonly string[];
  readonly data: readonly string[];
  readonly elements: readonly string[];
  /** Who made it, from the section "producers". */
  readonly producers: readonly string[];
  readonly hasDebugInfo: boolean;
}

export interface Requests {
  /** A .wasm or .wat. */
  summary: { request: { path: string }; response: ModuleSummary };
  /** A function of a .wasm or .wat; `native` compiles the module if that has not been done. */
  code: {
    request: { path: string; index: number; native: boolean; syntax?: Syntax };
    response: FunctionCode;
  };
  /** Bytes of native code of each defined function. Compiles the module. */
  nativeSizes: { request: { path: string }; response: readonly number[] };
  /**
   * A function of an artifact, as a trap's report names it. Its WAT comes from the first candidate (a .wasm or .wat)
   * whose hash is the report's.
   */
  trapCode: {
    request: {
      artifact: string | null;
      hash: string;
      index: number;
      candidates: readonly string[];
      syntax?: Syntax;
    };
    response: FunctionCode & { readonly module: string | null };
  };
  /** A whole module as text; `native`: as machine code. */
  text: { request: { path: string; native: boolean; syntax?: Syntax }; response: string };
}

export type Method = keyof Requests;

export interface RequestMessage {
  readonly id: number;
  readonly method: Method;
  readonly params: unknown;
}

export type ResponseMessage =
  | { readonly id: number; readonly result: unknown }
  | { readonly id: number; readonly error: string };
