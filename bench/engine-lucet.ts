/** Ours. */
import { nodeDigest, tuneEngine } from '../compiler/engine-tuning.ts';
import { compileModule, defaultOptions } from '../compiler/index.ts';
import { nativeFeatures } from '../compiler/native-cpu.ts';
import { link } from '../compiler/object/artifact-writer.ts';
import { moduleLayout } from '../compiler/pipeline.ts';
import { decodeModule } from '../compiler/wasm/decode.ts';
import { GuestExit, Instance, Module, Region } from '../runtime/index.ts';
import { WasiContext } from '../runtime/wasi.ts';
import type { Engine, RunResult } from './engine.ts';
import { Streams } from './files.ts';
import { Stopwatch } from './stopwatch.ts';
import type { Workload } from './workload.ts';

/** As much as the peers give a guest's stack. */
const STACK_SIZE = 8 * 2 ** 20;

export interface LucetOptions {
  readonly optLevel: 0 | 1 | 2;
  readonly memory: 'guarded' | 'dense';
  readonly debugCode: boolean;
}

function run(module: Module, workload: Workload): RunResult {
  const streams = new Streams();
  const wasi = new WasiContext({
    args: [`${workload.name}.wasm`, ...workload.args],
    preopens: [{ host: workload.folder, guest: '.' }],
    stdin: 'null',
    stdout: { fd: streams.stdout },
    stderr: { fd: streams.stderr },
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
    return { runMs: watch.used ? watch.ms : whole.ms, output: streams.output(exit) };
  } finally {
    wasi.dispose();
    region.dispose();
    streams.dispose();
  }
}

export function lucetEngine({ optLevel, memory, debugCode }: LucetOptions): Engine {
  tuneEngine();
  const features = nativeFeatures();
  const options = defaultOptions({ optLevel, memory, debugCode, ...(features ? { features } : {}) });
  return {
    compile: async bytes => {
      const watch = new Stopwatch();
      watch.start();
      const wasm = decodeModule(bytes);
      const digest = nodeDigest(bytes);
      const { funcs } = compileModule(wasm, options);
      const artifact = link(wasm, funcs, moduleLayout(wasm), options, digest);
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
