/** A compile worker thread: takes chunks of functions from a shared counter until they are used up. See parallel.ts. */
import { parentPort, workerData } from 'node:worker_threads';
import { CompileError } from '../diagnostics.ts';
import { FunctionCompiler } from '../pipeline.ts';
import { decodeModule } from '../wasm/decode.ts';
import { ChunkError, chunksOf, compileChunk } from './chunks.ts';
import type { WorkerData, WorkerMessage } from './parallel.ts';

const { bytes, options, threads, counter } = workerData as WorkerData;
const next = new Int32Array(counter);
const post = (message: WorkerMessage, transfer: ArrayBuffer[] = []) =>
  parentPort!.postMessage(message, transfer);

const module = decodeModule(new Uint8Array(bytes), options.wasmFeatures);
const compiler = new FunctionCompiler(module, options);
const chunks = chunksOf(module, threads);
const count = chunks.starts.length - 1;

try {
  for (let k = Atomics.add(next, 0, 1); k < count; k = Atomics.add(next, 0, 1)) {
    const compiled = compileChunk(chunks, k, compiler);
    post({ type: 'chunk', ...compiled }, compiler.arena.take());
  }
  post({ type: 'done', counters: compiler.counters });
} catch (e) {
  if (!(e instanceof ChunkError)) throw e;
  // Stop the others.
  Atomics.store(next, 0, count);
  const { index, cause } = e;
  const compile =
    cause instanceof CompileError ? { offset: cause.offset, kind: cause.kind, func: cause.func } : null;
  post({ type: 'error', index, message: cause.message, stack: cause.stack ?? '', compile });
}
