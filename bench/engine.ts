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
  /** One run in a fresh instance. */
  readonly run: (workload: Workload) => Promise<RunResult>;
}

export interface Engine {
  readonly name: 'lucet' | 'v8';
  readonly compile: (bytes: Uint8Array) => Promise<Compiled>;
}
