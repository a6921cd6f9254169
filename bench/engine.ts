/** What the benchmark asks of an engine. Times are CPU milliseconds. */
import type { Output, Workload } from './workload.ts';

export interface RunResult {
  /** The region between the imports bench.start and bench.end, or all of `_start`. */
  readonly runMs: number;
  readonly output: Output;
}

export interface Compiled {
  readonly compileMs: number;
  /** Bytes of machine code; null where the engine does not tell. */
  readonly textBytes: number | null;
  /** Peak resident memory of compiling: if not given, this process's; null where it was in others. */
  readonly peakMb?: null;
  /** One run in a fresh instance. */
  readonly run: (workload: Workload) => Promise<RunResult>;
}

export interface Engine {
  readonly compile: (bytes: Uint8Array, workload: Workload) => Promise<Compiled>;
}

/** Ours, an earlier build of ours (against.ts), and peers. */
export const PEERS = ['v8', 'wasmtime', 'wasm2c', 'native'] as const;
export type EngineName = 'lucet' | 'before' | (typeof PEERS)[number];

export interface Row {
  readonly workload: string;
  readonly engine: EngineName;
  /** Median of all runs; null: it is there to be compiled only. */
  readonly run_ms: number | null;
  readonly compile_cpu_ms: number;
  readonly wasm_code_bytes: number;
  readonly text_bytes: number | null;
  /**
   * Peak resident memory of the process behind its first compilation, the engine's own included; null: it compiles in
   * others.
   */
  readonly peak_mb: number | null;
}
