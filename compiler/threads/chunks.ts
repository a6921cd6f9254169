/**
 * The work of compiling a module, in chunks that threads take from a shared counter. Functions larger than a chunk come
 * first, so that no thread is left with one when the others are done; the rest follow in the order of the module,
 * several in a chunk, so that messages are few. They are not sorted by size: a cold engine that meets only large
 * functions first optimises our code for those, and has to do it anew for small ones.
 */
import type { CompiledFunc } from '../backend/code.ts';
import { codeCount, type FunctionCompiler } from '../pipeline.ts';
import type { Module } from '../wasm/module.ts';

/** Bytes of bodies in a chunk: a share of the module's for each thread, within bounds. */
const SHARES = 16;
const LEAST_BYTES = 4 * 1024;
const MOST_BYTES = 128 * 1024;
const MOST_FUNCTIONS = 256;

/**
 * Every index that may have code, in the order in which they are compiled; chunk k is order[starts[k] … starts[k + 1] -
 * 1].
 */
export interface Chunks {
  readonly order: Int32Array;
  readonly starts: readonly number[];
}

/** The same for the same module and number of threads. */
export function chunksOf(module: Module, threads: number): Chunks {
  const { bodies, importedFunctions } = module;
  const size = (index: number): number => {
    const body = bodies[index - importedFunctions];
    return body ? body.end - body.start : 0;
  };
  const total = bodies.reduce((sum, b) => sum + b.end - b.start, 0);
  const share = Math.min(MOST_BYTES, Math.max(LEAST_BYTES, total / (threads * SHARES)));
  const large = (index: number): number => (size(index) >= share ? size(index) : 0);
  const order = Int32Array.from({ length: codeCount(module) }, (_, i) => i).sort(
    (a, b) => large(b) - large(a) || a - b,
  );
  const starts = [0];
  let bytes = 0;
  for (let i = 0; i < order.length; i++) {
    bytes += size(order[i]!);
    if (bytes < share && i + 1 - starts[starts.length - 1]! < MOST_FUNCTIONS) continue;
    starts.push(i + 1);
    bytes = 0;
  }
  if (starts[starts.length - 1] !== order.length) starts.push(order.length);
  return { order, starts };
}

/** What compiling a chunk yields: by position in `order`, from `start` on. */
export interface Compiled {
  readonly start: number;
  readonly funcs: readonly (CompiledFunc | null)[];
  /** Of all of them (budget.ts). */
  readonly irWords: number;
}

/** Thrown when a function can't be compiled. */
export class ChunkError {
  constructor(
    readonly index: number,
    readonly cause: Error,
  ) {}
}

/** Compile chunk `k`. @throws ChunkError */
export function compileChunk({ order, starts }: Chunks, k: number, compiler: FunctionCompiler): Compiled {
  const start = starts[k]!;
  const irBefore = compiler.irWords;
  const funcs: (CompiledFunc | null)[] = [];
  for (let i = start; i < starts[k + 1]!; i++) {
    const index = order[i]!;
    try {
      funcs.push(compiler.compile(index));
    } catch (e) {
      throw new ChunkError(index, e instanceof Error ? e : new Error(String(e)));
    }
  }
  return { start, funcs, irWords: compiler.irWords - irBefore };
}
