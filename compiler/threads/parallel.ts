/**
 * Compiling on several threads: worker threads, and the calling one, which would only wait otherwise. The result is the
 * same as on one thread, since functions are merged by index.
 *
 * Each thread has a JavaScript engine of its own, which has to compile and optimise the compiler anew: half a second to
 * a second of processor time, most of it in the background. So short compilations stay on one thread.
 */
import { existsSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { dirname, join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import type { CompiledFunc } from '../backend/code.ts';
import { ModuleBudget, rejection, wasmCodeBytes } from '../budget.ts';
import { BugError, CompileError } from '../diagnostics.ts';
import { nodeDigest } from '../engine-tuning.ts';
import { type CompileStats, compileModule } from '../index.ts';
import { link } from '../object/artifact-writer.ts';
import type { CompileOptions } from '../options.ts';
import { type Counters, FunctionCompiler, moduleLayout } from '../pipeline.ts';
import { singlePassApplies } from '../singlepass/compile.ts';
import type { Module } from '../wasm/module.ts';
import { ChunkError, type Compiled, chunksOf, compileChunk } from './chunks.ts';

export interface WorkerData {
  readonly bytes: SharedArrayBuffer;
  readonly options: CompileOptions;
  readonly threads: number;
  /** One int32: the next chunk to be taken. */
  readonly counter: SharedArrayBuffer;
}

export type WorkerMessage =
  | ({ readonly type: 'chunk' } & Compiled)
  | { readonly type: 'done'; readonly counters: Counters }
  | {
      readonly type: 'error';
      readonly index: number;
      readonly message: string;
      readonly stack: string;
      readonly compile: Pick<CompileError, 'offset' | 'kind' | 'func'> | null;
    };

/**
 * Bytes of code above which another thread pays for itself. A thread's engine begins cold: that costs about as much
 * processor time as compiling a megabyte, half of it in the background, on whatever processor is free. So less code is
 * enough where processors would be idle.
 */
const BYTES_PER_THREAD = 3 * 2 ** 20;
const BYTES_WITH_FREE_PROCESSORS = 2 ** 20;
/** The single pass takes a fifth of the time. */
const SINGLE_PASS_FACTOR = 4;

/** How many threads to compile a module on: as many as pay, up to `options.workers`. */
export function threadsFor(
  module: Module,
  options: CompileOptions,
  processors = availableParallelism(),
): number {
  const bytes = wasmCodeBytes(module) / (singlePassApplies(module, options) ? SINGLE_PASS_FACTOR : 1);
  const paying = (per: number) => Math.min(options.workers, 1 + Math.floor(bytes / per));
  return Math.max(
    paying(BYTES_PER_THREAD),
    Math.min(Math.floor(processors / 2), paying(BYTES_WITH_FREE_PROCESSORS)),
  );
}

/** The worker's bundle: beside ours in dist/, or in dist/ when we run from source (tests). */
function workerBundle(): string {
  const here = dirname(fileURLToPath(import.meta.url));
  const beside = join(here, 'compiler-worker.js');
  return existsSync(beside) ? beside : join(here, '..', '..', 'dist', 'compiler-worker.js');
}

function runWorker(data: WorkerData, onMessage: (m: WorkerMessage) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    const worker = new Worker(workerBundle(), { workerData: data });
    worker.on('message', onMessage);
    worker.once('error', reject);
    worker.once('exit', code =>
      code === 0 ? resolve() : reject(new Error(`a compile worker ended with code ${code}`)),
    );
  });
}

class Merging {
  readonly funcs: (CompiledFunc | null)[];
  readonly counters: Counters = {};
  readonly chunks;
  failure: { readonly index: number; readonly error: Error } | null = null;
  private done = 0;
  private readonly budget: ModuleBudget;

  constructor(
    private readonly module: Module,
    threads: number,
    private readonly progress: (done: number, total: number) => void,
  ) {
    this.chunks = chunksOf(module, threads);
    this.budget = new ModuleBudget(module);
    this.funcs = new Array<null>(this.chunks.order.length).fill(null);
  }

  add({ start, funcs, irWords }: Compiled): void {
    for (let i = 0; i < funcs.length; i++) this.funcs[this.chunks.order[start + i]!] = funcs[i]!;
    try {
      this.budget.takeIr(irWords);
      for (const f of funcs) this.budget.takeCode(f);
    } catch (e) {
      // An error that belongs to no function: those of all functions come before it.
      this.fail(this.module.functions.length, e as Error);
    }
    this.done += funcs.length;
    this.progress(this.done, this.funcs.length);
  }

  count(counters: Counters): void {
    for (const [name, n] of Object.entries(counters)) this.counters[name] = (this.counters[name] ?? 0) + n;
  }

  fail(index: number, error: Error): void {
    if (!this.failure || index < this.failure.index) this.failure = { index, error };
  }
}

/** This thread's part of the work. Between chunks it looks at what the others send. */
async function takePart(
  module: Module,
  options: CompileOptions,
  next: Int32Array,
  into: Merging,
): Promise<void> {
  const { chunks } = into;
  const count = chunks.starts.length - 1;
  const compiler = new FunctionCompiler(module, options);
  try {
    for (let k = Atomics.add(next, 0, 1); k < count; k = Atomics.add(next, 0, 1)) {
      into.add(compileChunk(chunks, k, compiler));
      await setImmediate();
      if (into.failure) Atomics.store(next, 0, count);
    }
    into.count(compiler.counters);
  } catch (e) {
    if (!(e instanceof ChunkError)) throw e;
    Atomics.store(next, 0, count);
    into.fail(e.index, e.cause);
  }
}

async function compileOnThreads(
  module: Module,
  options: CompileOptions,
  threads: number,
  progress: (done: number, total: number) => void,
): Promise<{ funcs: (CompiledFunc | null)[]; counters: Counters }> {
  const bytes = new SharedArrayBuffer(module.bytes.length);
  new Uint8Array(bytes).set(module.bytes);
  const data: WorkerData = { bytes, options, threads, counter: new SharedArrayBuffer(4) };
  const into = new Merging(module, threads, progress);
  const onMessage = (m: WorkerMessage): void => {
    switch (m.type) {
      case 'chunk':
        into.add(m);
        break;
      case 'done':
        into.count(m.counters);
        break;
      case 'error': {
        const { compile } = m;
        const error = compile
          ? new CompileError(m.message, compile.offset, compile.kind, compile.func)
          : Object.assign(new BugError(m.message), { stack: m.stack });
        into.fail(m.index, error);
      }
    }
  };
  const others = Array.from({ length: threads - 1 }, () => runWorker(data, onMessage));
  await Promise.all([...others, takePart(module, options, new Int32Array(data.counter), into)]);
  // Assigned in callbacks: the type checker can't see that.
  const failure = into.failure as Merging['failure'];
  if (failure) throw rejection(module, options, moduleLayout(module), failure.index, failure.error);
  return into;
}

/**
 * Compile a decoded module.
 * @param threads on how many
 */
export async function compileParallel(
  module: Module,
  options: CompileOptions,
  progress: (done: number, total: number) => void = () => {},
  threads = threadsFor(module, options),
): Promise<{ artifact: Uint8Array; stats: CompileStats }> {
  const from = performance.now();
  const codeBytes = wasmCodeBytes(module);
  const digest = nodeDigest(module.bytes);
  const { funcs, counters } =
    threads > 1 ? await compileOnThreads(module, options, threads, progress) : compileModule(module, options);
  const artifact = link(module, funcs, moduleLayout(module), options, digest);
  return {
    artifact,
    stats: {
      functions: module.bodies.length,
      wasmCodeBytes: codeBytes,
      textBytes: funcs.reduce((sum, f) => sum + (f?.code.length ?? 0), 0),
      artifactBytes: artifact.length,
      totalMs: performance.now() - from,
      counters,
    },
  };
}
