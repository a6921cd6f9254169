/**
 * What compiling one function yields: machine code with everything that is still open, and what the runtime must know
 * about it.
 */

import type { TryScope } from '../ir/func.ts';

export const enum RelocKind {
  /** 4 bytes in code: address of function `target` - (place + 4). */
  CallFunc = 0,
  /** 4 bytes in code: address of this function's own rodata + addend - (place + 4). `target` unused. */
  Rodata = 1,
  /**
   * 4 bytes in *rodata*: (address of this function's code + addend) - address of the rodata block's jump table start
   * (`target`, offset in rodata).
   */
  JumpTable = 2,
  /** 4 bytes in code: address of the module's table images + addend - (place + 4). `target` unused. */
  Image = 3,
}
/** Ints of a landing. */
export const LANDING = 3;
/** [kind, offset of the 4 bytes, target, addend] */
export const RELOC = 4;

/** [ValType, home] */
export const LOCAL = 2;
/**
 * [offset in the code of a sequence point's NOP, wasm offset, number of operands, their types' place in `operandTypes`]
 */
export const PLACED_POINT = 4;

/** Of a function of debug code. Offsets are from the stack pointer in the body. */
export interface CompiledDebug {
  readonly localCount: number;
  /**
   * LOCAL ints for each local, then PLACED_POINT ints for each point that has code, ascending: one array, since there
   * are thousands of functions.
   */
  readonly tables: Int32Array;
  /** Home of the lowest operand; each further one lies 16 bytes above. */
  readonly operands: number;
  /** Erased ValTypes. */
  readonly operandTypes: Uint8Array;
}

/** Number of a function's points that have code. */
export function pointCount(debug: CompiledDebug): number {
  return (debug.tables.length - LOCAL * debug.localCount) / PLACED_POINT;
}

/**
 * One compiled function. Plain data: it crosses worker boundaries.
 *
 * pcMap: sorted by pc, entries `uleb(pcDelta << 1 | hasTrap) sleb(wasmOffsetDelta) [u8 trap code]`, deltas from the
 * entry before (the first from pc 0 and from `wasmStart`). An entry holds for all pcs from its own to the next entry's.
 * A call site's entry covers its return address - 1. Each instruction that can trap starts an entry with hasTrap. It
 * serves traps, backtraces, stepping and disassembly alike.
 */
export interface CompiledFunc {
  /** Function index in the module; thunks: see thunks.ts. */
  readonly index: number;
  readonly code: Uint8Array;
  readonly relocs: Int32Array;
  /** Constants and jump tables, 16-aligned as a block. */
  readonly rodata: Uint8Array;
  readonly pcMap: Uint8Array;
  /** Module offset from which the first pcMap entry counts. */
  readonly wasmStart: number;
  /**
   * Bytes from the stack pointer after the prologue up to (not including) the return address. Prologue: pushes, then
   * one `sub`; so it also tells the unwinder where the caller's frame is at any pc behind the prologue.
   */
  readonly frameSize: number;
  /**
   * Bytes of stack arguments at entry. The return pops `popped` of them: more if tail calls need a larger area
   * (x64/frame.ts).
   */
  readonly argBytes: number;
  readonly popped: number;
  /**
   * Offsets behind calls whose callee pops stack arguments: the `sub` that takes their room back stands there.
   * Ascending.
   */
  readonly popSites: Int32Array;
  /** Callee-saved registers pushed by the prologue, in push order, physical numbers. */
  readonly saved: readonly number[];
  /** Whether the frame holds a copy of the base register too, below those. */
  readonly savesBase: boolean;
  /**
   * LANDING ints for each call that may throw into this function: offset behind it, offset of its landing pad, scope.
   * Ascending.
   */
  readonly landings: Int32Array;
  readonly scopes: readonly TryScope[];
  /** null: not debug code. */
  readonly debug: CompiledDebug | null;
}
