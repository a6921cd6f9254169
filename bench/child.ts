/**
 * One engine with one workload, in a process of its own: what one does to its process (flags, memory, crashes) is no
 * other's business. Told by messages what to do; answers each.
 */
import { readFileSync } from 'node:fs';
import type { Compiled, Engine, EngineName } from './engine.ts';
import { type LucetOptions, lucetEngine } from './engine-lucet.ts';
import { mismatch, type Workload } from './workload.ts';

export interface ChildData {
  readonly engine: EngineName;
  readonly workload: Workload;
  readonly lucet: LucetOptions;
  /** Of the engine, where it has one. */
  readonly library: string | null;
}
export type Request = { readonly do: 'begin'; readonly data: ChildData } | { readonly do: 'compile' | 'run' };
export type Reply =
  | {
      readonly ok: true;
      readonly compileMs: number;
      readonly textBytes: number | null;
      readonly peakMb: number | null;
    }
  | { readonly ok: true; readonly runMs: number }
  | { readonly ok: false; readonly message: string };

async function makeEngine(data: ChildData): Promise<Engine> {
  switch (data.engine) {
    case 'v8':
      return (await import('./engine-v8.ts')).v8Engine();
    case 'wasmtime':
      return (await import('./engine-wasmtime.ts')).wasmtimeEngine(data.library!);
    case 'wasm2c':
      return (await import('./engine-wasm2c.ts')).wasm2cEngine();
    case 'native':
      return (await import('./engine-native.ts')).nativeEngine();
    default:
      return lucetEngine(data.lucet);
  }
}

let engine: Engine;
let workload: Workload;
let module: Compiled;

async function answer(request: Request): Promise<Reply> {
  switch (request.do) {
    case 'begin':
      workload = request.data.workload;
      engine = await makeEngine(request.data);
      return { ok: true, runMs: 0 };
    case 'compile': {
      module = await engine.compile(readFileSync(workload.path), workload);
      const { compileMs, textBytes } = module;
      const peakMb = module.peakMb === null ? null : process.resourceUsage().maxRSS / 1024;
      return { ok: true, compileMs, textBytes, peakMb };
    }
    case 'run': {
      const { runMs, output } = await module.run(workload);
      const wrong = workload.expected && mismatch(output, workload.expected);
      return wrong ? { ok: false, message: wrong } : { ok: true, runMs };
    }
  }
}

process.on('message', (request: Request) => {
  answer(request).then(
    reply => process.send!(reply),
    (e: Error) => process.send!({ ok: false, message: e.message } satisfies Reply),
  );
});
process.on('disconnect', () => process.exit(0));
