/**
 * A workload's own source, NAME/NAME.c or NAME/NAME.cpp beside NAME.wasm, by the native compiler (LUCET_NATIVE_CC;
 * clang, or gcc) with -O3: what is lost by way of WebAssembly. The source imports bench.start and bench.end as
 * `void bench_start(void)` and `void bench_end(void)`.
 */
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Compiled, Engine } from './engine.ts';
import {
  builtProgram,
  cpuTimeOf,
  nativeCompiler,
  objectTextBytes,
  ROOT,
  scratchFolder,
} from './engine-cc.ts';
import type { Workload } from './workload.ts';

function sourceOf(workload: Workload): string | undefined {
  return ['.c', '.cpp']
    .map(extension => join(workload.folder, workload.name + extension))
    .find(path => existsSync(path));
}

/** Is there such a peer for this workload? */
export function hasNative(workload: Workload): boolean {
  return nativeCompiler() !== undefined && sourceOf(workload) !== undefined;
}

function build(workload: Workload): Compiled {
  const cc = nativeCompiler()!;
  const source = sourceOf(workload)!;
  const folder = scratchFolder();
  const object = join(folder, 'native.o');
  const host = join(folder, 'host.o');
  const program = join(folder, 'program');
  // Attributes that name imports mean nothing here.
  const compileMs = cpuTimeOf(cc, ['-O3', '-w', '-c', source, '-o', object]);
  execFileSync(cc, ['-O2', '-w', '-c', join(ROOT, 'bench', 'native', 'native-host.c'), '-o', host]);
  execFileSync(cc, [
    ...[object, host, '-lm', '-o', program],
    ...(source.endsWith('.cpp') ? ['-lstdc++'] : []),
  ]);
  const start = {
    args: () => workload.args,
    env: (time: string) => ({ LUCET_BENCH_TIME: time }),
  };
  return builtProgram(program, start, { compileMs, textBytes: objectTextBytes(object) });
}

export function nativeEngine(): Engine {
  let built: Compiled | null = null;
  return {
    compile: async (_, workload) => {
      built ??= build(workload);
      return built;
    },
  };
}
