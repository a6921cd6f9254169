/** Ours. */
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { compileModule, defaultOptions } from '../compiler/index.ts';
import { nativeFeatures } from '../compiler/native-cpu.ts';
import { link } from '../compiler/object/artifact-writer.ts';
import { moduleLayout } from '../compiler/pipeline.ts';
import { decodeModule } from '../compiler/wasm/decode.ts';
import { GuestExit, Instance, Module, Region } from '../runtime/index.ts';
import { WasiContext } from '../runtime/wasi.ts';
import type { Engine, RunResult } from './engine.ts';
import { Stopwatch } from './stopwatch.ts';
import type { Workload } from './workload.ts';

/** As much as the peers give a guest's stack. */
const STACK_SIZE = 8 * 2 ** 20;

function run(module: Module, workload: Workload): RunResult {
  const folder = mkdtempSync(join(tmpdir(), 'lucet-bench-'));
  const files = { stdout: join(folder, 'stdout'), stderr: join(folder, 'stderr') };
  const fds = { stdout: openSync(files.stdout, 'w'), stderr: openSync(files.stderr, 'w') };
  const wasi = new WasiContext({
    args: [`${workload.name}.wasm`, ...workload.args],
    preopens: [{ host: workload.folder, guest: '.' }],
    stdin: 'null',
    stdout: { fd: fds.stdout },
    stderr: { fd: fds.stderr },
  });
  const region = Region.create({ capacity: 1, limits: { stackSize: STACK_SIZE } });
  try {
    const watch = new Stopwatch();
    const instance = Instance.create(region, module, {
      ...wasi.imports,
      bench: { start: () => watch.start(), end: () => watch.stop() },
    });
    const whole = new Stopwatch();
    whole.start();
    let exit = 0;
    try {
      instance.call('_start');
    } catch (e) {
      if (!(e instanceof GuestExit)) throw e;
      exit = e.status;
    } finally {
      whole.stop();
      instance.dispose();
    }
    return {
      runMs: watch.used ? watch.ms : whole.ms,
      output: { exit, stdout: readFileSync(files.stdout), stderr: readFileSync(files.stderr) },
    };
  } finally {
    wasi.dispose();
    region.dispose();
    for (const fd of Object.values(fds)) closeSync(fd);
    rmSync(folder, { recursive: true, force: true });
  }
}

export function lucetEngine(optLevel: 0 | 1 | 2): Engine {
  const features = nativeFeatures();
  const options = defaultOptions({ optLevel, ...(features ? { features } : {}) });
  return {
    name: 'lucet',
    compile: async bytes => {
      const watch = new Stopwatch();
      watch.start();
      const wasm = decodeModule(bytes);
      const { funcs } = compileModule(wasm, options);
      const artifact = link(wasm, funcs, moduleLayout(wasm), options);
      watch.stop();
      const module = Module.fromBytes(artifact);
      return {
        compileMs: watch.ms,
        textBytes: funcs.reduce((sum, f) => sum + (f?.code.length ?? 0), 0),
        run: async workload => run(module, workload),
      };
    },
  };
}
