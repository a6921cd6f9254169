/** Node's own engine, optimising compiler only, as the peer to measure beside. */
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import type { Engine, RunResult } from './engine.ts';
import { Stopwatch } from './stopwatch.ts';
import type { Workload } from './workload.ts';

async function run(module: WebAssembly.Module, workload: Workload): Promise<RunResult> {
  const { WASI } = await import('node:wasi');
  const folder = mkdtempSync(join(tmpdir(), 'lucet-bench-'));
  const files = { stdout: join(folder, 'stdout'), stderr: join(folder, 'stderr') };
  const fds = {
    stdin: openSync('/dev/null', 'r'),
    stdout: openSync(files.stdout, 'w'),
    stderr: openSync(files.stderr, 'w'),
  };
  try {
    const wasi = new WASI({
      version: 'preview1',
      args: [`${workload.name}.wasm`, ...workload.args],
      env: {},
      preopens: { '.': workload.folder },
      returnOnExit: true,
      ...fds,
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
    return {
      runMs: watch.used ? watch.ms : whole.ms,
      output: {
        exit: Number(exit ?? 0),
        stdout: readFileSync(files.stdout),
        stderr: readFileSync(files.stderr),
      },
    };
  } finally {
    for (const fd of Object.values(fds)) closeSync(fd);
    rmSync(folder, { recursive: true, force: true });
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
  // Set before the first module is compiled: everything by the optimising tier, eagerly.
  // Node 20's V8 can lose live objects when it marks concurrently while wasm runs (bench/chase dies of it): marking is left to the main thread.
  const flags = [
    '--no-liftoff',
    '--no-wasm-tier-up',
    '--no-wasm-lazy-compilation',
    '--no-concurrent-marking',
  ];
  for (const flag of flags) setFlagsFromString(flag);
  return {
    name: 'v8',
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
