/** Node's own engine, optimising compiler only, as the peer to measure beside. Its process is started with V8_FLAGS. */
import type { Engine, RunResult } from './engine.ts';
import { Streams } from './files.ts';
import { Stopwatch } from './stopwatch.ts';
import type { Workload } from './workload.ts';

/**
 * Everything by the optimising tier, eagerly. Node 20's V8 can lose live objects when it marks concurrently while wasm
 * runs (bench/chase dies of it): marking is left to the main thread.
 */
export const V8_FLAGS: readonly string[] = [
  '--no-liftoff',
  '--no-wasm-tier-up',
  '--no-wasm-lazy-compilation',
  '--no-concurrent-marking',
  '--no-warnings',
];

async function run(module: WebAssembly.Module, workload: Workload): Promise<RunResult> {
  const { WASI } = await import('node:wasi');
  const streams = new Streams();
  try {
    const wasi = new WASI({
      version: 'preview1',
      args: [`${workload.name}.wasm`, ...workload.args],
      env: {},
      preopens: { '.': workload.folder },
      returnOnExit: true,
      stdin: streams.stdin,
      stdout: streams.stdout,
      stderr: streams.stderr,
    });
    const watch = new Stopwatch();
    const instance = await WebAssembly.instantiate(module, {
      ...wasi.getImportObject(),
      bench: { start: () => watch.start(), end: () => watch.stop() },
    } as WebAssembly.Imports);
    const whole = new Stopwatch();
    whole.start();
    const exit = wasi.start(instance);
    whole.stop();
    return { runMs: watch.used ? watch.ms : whole.ms, output: streams.output(Number(exit ?? 0)) };
  } finally {
    streams.dispose();
  }
}

/** The same module with a custom section that no other has: V8 keeps what it compiled, by the module's bytes. */
function unique(bytes: Uint8Array, serial: number): Uint8Array<ArrayBuffer> {
  const tail = [0, 6, 1, 0x78, serial & 0xff, (serial >> 8) & 0xff, (serial >> 16) & 0xff, serial >>> 24];
  const copy = new Uint8Array(bytes.length + tail.length);
  copy.set(bytes);
  copy.set(tail, bytes.length);
  return copy;
}

export function v8Engine(): Engine {
  let serial = 0;
  return {
    async compile(bytes) {
      const watch = new Stopwatch();
      const copy = unique(bytes, serial++);
      watch.start();
      const module = await WebAssembly.compile(copy);
      watch.stop();
      return { compileMs: watch.ms, textBytes: null, run: workload => run(module, workload) };
    },
  };
}
