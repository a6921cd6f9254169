/** Compiling on several worker threads. The result is the same as on one: functions are merged by index. */
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import type { CompiledFunc } from './backend/code.ts';
import { BugError, CompileError } from './diagnostics.ts';
import { type CompileStats, compileModule, wasmCodeBytes } from './index.ts';
import { link } from './object/artifact-writer.ts';
import type { CompileOptions } from './options.ts';
import { type Counters, codeCount, moduleLayout } from './pipeline.ts';
import type { Module } from './wasm/module.ts';

export interface WorkerData {
  readonly bytes: SharedArrayBuffer;
  readonly options: CompileOptions;
  /** One int32: the next function index to be taken. */
  readonly counter: SharedArrayBuffer;
  readonly chunk: number;
}

export type WorkerMessage =
  | { readonly type: 'chunk'; readonly start: number; readonly funcs: readonly (CompiledFunc | null)[] }
  | { readonly type: 'done'; readonly counters: Counters }
  | {
      readonly type: 'error';
      readonly index: number;
      readonly message: string;
      readonly stack: string;
      readonly compile: Pick<CompileError, 'offset' | 'kind' | 'func'> | null;
    };

/** Below this much code, starting threads costs more than it saves. */
const PARALLEL_THRESHOLD = 96 * 1024;

/** The worker's bundle: beside ours in dist/, or in dist/ when we run from source (tests). */
function workerBundle(): string {
  const here = dirname(fileURLToPath(import.meta.url));
  const beside = join(here, 'compiler-worker.js');
  return existsSync(beside) ? beside : join(here, '..', 'dist', 'compiler-worker.js');
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

async function compileOnWorkers(
  module: Module,
  options: CompileOptions,
  progress: (done: number, total: number) => void,
): Promise<{ funcs: (CompiledFunc | null)[]; counters: Counters }> {
  const total = codeCount(module);
  const bytes = new SharedArrayBuffer(module.bytes.length);
  new Uint8Array(bytes).set(module.bytes);
  const funcs: (CompiledFunc | null)[] = new Array<null>(total).fill(null);
  const counters: Counters = {};
  let done = 0;
  let failure: Extract<WorkerMessage, { type: 'error' }> | null = null;
  const onMessage = (m: WorkerMessage): void => {
    switch (m.type) {
      case 'chunk':
        m.funcs.forEach((f, i) => {
          funcs[m.start + i] = f;
        });
        done += m.funcs.length;
        progress(done, total);
        break;
      case 'done':
        for (const [name, n] of Object.entries(m.counters)) counters[name] = (counters[name] ?? 0) + n;
        break;
      case 'error':
        // The first invalid function is the one to report, whichever thread met it.
        if (!failure || m.index < failure.index) failure = m;
        break;
    }
  };
  const data: WorkerData = {
    bytes,
    options,
    counter: new SharedArrayBuffer(4),
    // Small enough to balance, large enough to keep messages few.
    chunk: Math.max(1, Math.min(32, Math.floor(total / (options.workers * 8)))),
  };
  await Promise.all(Array.from({ length: options.workers }, () => runWorker(data, onMessage)));
  // Assigned in the callback: the type checker can't see that.
  const error = failure as Extract<WorkerMessage, { type: 'error' }> | null;
  if (error?.compile)
    throw new CompileError(error.message, error.compile.offset, error.compile.kind, error.compile.func);
  if (error) throw Object.assign(new BugError(error.message), { stack: error.stack });
  return { funcs, counters };
}

/** Compile a decoded module, on `options.workers` threads if it is worth it. */
export async function compileParallel(
  module: Module,
  options: CompileOptions,
  progress: (done: number, total: number) => void = () => {},
): Promise<{ artifact: Uint8Array; stats: CompileStats }> {
  const from = performance.now();
  const codeBytes = wasmCodeBytes(module);
  const parallel = options.workers > 1 && codeBytes >= PARALLEL_THRESHOLD;
  const { funcs, counters } = parallel
    ? await compileOnWorkers(module, options, progress)
    : compileModule(module, options);
  const artifact = link(
    module,
    funcs,
    moduleLayout(module),
    options,
    createHash('sha256').update(module.bytes).digest(),
  );
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
