/** A compile worker thread: takes chunks of function indices from a shared counter until they are used up. See parallel.ts. */
import { parentPort, workerData } from 'node:worker_threads';
import type { CompiledFunc } from './backend/code.ts';
import { CompileError } from './diagnostics.ts';
import type { WorkerData, WorkerMessage } from './parallel.ts';
import { codeCount, FunctionCompiler } from './pipeline.ts';
import { decodeModule } from './wasm/decode.ts';

const { bytes, options, counter, chunk } = workerData as WorkerData;
const next = new Int32Array(counter);
const post = (message: WorkerMessage, transfer: ArrayBuffer[] = []) =>
  parentPort!.postMessage(message, transfer);

const module = decodeModule(new Uint8Array(bytes), options.wasmFeatures);
const total = codeCount(module);
const compiler = new FunctionCompiler(module, options);

let at = 0;
try {
  for (let start = Atomics.add(next, 0, chunk); start < total; start = Atomics.add(next, 0, chunk)) {
    const funcs: (CompiledFunc | null)[] = [];
    for (at = start; at < Math.min(start + chunk, total); at++) funcs.push(compiler.compile(at));
    post({ type: 'chunk', start, funcs }, compiler.arena.take());
  }
  post({ type: 'done', counters: compiler.counters });
} catch (e) {
  // Stop the others: everything before this index is already taken by somebody.
  Atomics.store(next, 0, total);
  const error = e instanceof Error ? e : new Error(String(e));
  const compile =
    error instanceof CompileError ? { offset: error.offset, kind: error.kind, func: error.func } : null;
  post({ type: 'error', index: at, message: error.message, stack: error.stack ?? '', compile });
}
