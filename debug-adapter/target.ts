/**
 * What the debugger needs of something that can be debugged. A running guest offers all of it; a core dump, or a guest
 * that trapped, is one that has stopped for good (`canRun` is false). Offsets are byte offsets in the wasm module,
 * unless said otherwise.
 */
import type { GuestState, ModuleSymbols, TrapReport } from '../runtime/index.ts';

export interface TargetThread {
  readonly id: number;
  /** `module#1` */
  readonly name: string;
}

/** A native frame of the guest: inlined calls are expanded by the debugger. */
export interface TargetFrame {
  /** 0: the innermost. */
  readonly depth: number;
  /**
   * host: a host function called the guest again, or, innermost, it waits in the one named. elided: frames that were
   * left out.
   */
  readonly kind: 'wasm' | 'host' | 'elided';
  readonly functionIndex: number;
  readonly functionName: string;
  /** Of the operator that is next; in outer frames, of the call. */
  readonly wasmOffset: number;
  /** Offset in .text, or -1. */
  readonly textOffset: number;
  /** elided */
  readonly count: number;
  /**
   * Identity while it exists: the address behind it on the native stack. Deeper frames have smaller ones; null: not
   * known.
   */
  readonly stackAddress: number | null;
}

/** Descriptors of the guest's standard streams, which the target closes. */
export interface Streams {
  /** null: there is nothing to read. */
  readonly stdin: number | null;
  /** null: it is told by events. */
  readonly stdout: number | null;
  readonly stderr: number | null;
}

export type TargetEvent =
  | {
      readonly kind: 'output';
      readonly stream: 'stdout' | 'stderr';
      readonly text: string;
      /** Called by who has passed it on: no more of it is told before. */
      readonly taken?: () => void;
    }
  /** At a sequence point whose breakpoint is set, or where it was paused, or where it trapped. */
  | {
      readonly kind: 'stopped';
      readonly thread: number;
      readonly reason: 'breakpoint' | 'watchpoint' | 'pause' | 'trap' | 'entry';
    }
  /** Where it asks to exit: it does so when it is resumed. */
  | { readonly kind: 'exiting'; readonly thread: number; readonly status: number }
  /** Watchpoints whose frame is gone have been cleared. */
  | { readonly kind: 'left'; readonly watchpoints: readonly number[] }
  | { readonly kind: 'exited'; readonly code: number }
  /** For people. */
  | { readonly kind: 'told'; readonly message: string }
  /** It could not be run; for people. */
  | { readonly kind: 'failed'; readonly message: string };

export interface TargetState extends GuestState {
  /** False: not all of it could be written. */
  writeMemory(memory: number, address: number, bytes: Uint8Array): boolean;
  setGlobal(index: number, bits: bigint): boolean;
}

export type WatchedPlace =
  /** Of memory 0. */
  | { readonly kind: 'memory'; readonly address: number; readonly size: number }
  | { readonly kind: 'global'; readonly index: number; readonly size: number }
  | { readonly kind: 'local'; readonly frame: TargetFrame; readonly index: number; readonly size: number };

/** By number, below `count`. */
export interface Watchpoints {
  readonly count: number;
  /**
   * @param accesses whether each access stops; else a changed value. @param frame whose end ends it. @returns why it
   * can't be, for people; null: it is set
   */
  set(number: number, place: WatchedPlace, accesses: boolean, frame: TargetFrame | null): string | null;
  clear(number: number): void;
  /** The value before and after, as unsigned numbers, if the last stop was for it. */
  hit(number: number): { readonly before: bigint; readonly after: bigint } | null;
  /** Why it is not watched although it was set, for people; null: it is. */
  problem(number: number): string | null;
}

export interface DebugTarget {
  readonly name: string;
  readonly symbols: ModuleSymbols;
  readonly canRun: boolean;
  readonly state: TargetState;
  readonly threads: readonly TargetThread[];
  /** null: nothing can be watched here. */
  readonly watchpoints: Watchpoints | null;
  onEvent(listener: (event: TargetEvent) => void): void;

  /** Offsets where a function's code can stop, ascending; empty: it was compiled without. */
  sequencePoints(functionIndex: number): readonly number[];
  /** In force at once, also while the guest runs. */
  setBreakpoint(wasmOffset: number): void;
  clearBreakpoint(wasmOffset: number): void;

  /** Begins to run; everything that was set before is in force from the first instruction on. */
  start(): void;
  /** Goes on from a stop; the breakpoint it stands at does not stop it again. */
  resume(thread: number): void;
  pause(thread: number): void;
  kill(): void;

  /** Of a stopped thread, innermost first. */
  frames(thread: number): readonly TargetFrame[];
  /** Raw bits; null: not kept here. */
  readLocal(thread: number, frame: TargetFrame, index: number): bigint | null;
  writeLocal(thread: number, frame: TargetFrame, index: number, bits: bigint): boolean;
  /** Operand stack from the bottom; null: not kept here. */
  readOperand(thread: number, frame: TargetFrame, index: number): bigint | null;
  operandCount(thread: number, frame: TargetFrame): number;
  /** Of the innermost frame, by name, in hex with 0x; empty: not known. */
  registers(thread: number): Readonly<Record<string, string>>;
  /** After a stop for a trap. */
  trapReport(): TrapReport | null;
  dispose(): void;
}
