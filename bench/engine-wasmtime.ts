/**
 * Wasmtime, through its C API (wasmtime.h, wasi.h), compiled ahead with Cranelift's default level (speed), on one
 * thread. The library is named by LUCET_WASMTIME; `pip download --no-deps wasmtime` brings it (unpack the wheel:
 * wasmtime/linux-x86_64/_libwasmtime.so).
 */
import { existsSync } from 'node:fs';
import koffi from 'koffi';
import { readSections } from '../compiler/object/elf-reader.ts';
import type { Engine, RunResult } from './engine.ts';
import { Streams } from './files.ts';
import { Stopwatch } from './stopwatch.ts';
import type { Workload } from './workload.ts';

/** Path of the library, or null: there is no such peer here. */
export function wasmtimeLibrary(): string | null {
  const path = process.env.LUCET_WASMTIME;
  return path && existsSync(path) ? path : null;
}

/** Result and parameters: `p` an address, `z` a size, `s` a string, `b` bytes. */
const FUNCTIONS = {
  wasm_config_new: 'p',
  wasmtime_config_parallel_compilation_set: 'vpB',
  wasm_engine_new_with_config: 'pp',
  wasmtime_module_new: 'ppbzp',
  wasmtime_module_serialize: 'ppp',
  wasmtime_module_delete: 'vp',
  wasm_byte_vec_delete: 'vp',
  wasmtime_store_new: 'pppp',
  wasmtime_store_context: 'pp',
  wasmtime_store_delete: 'vp',
  wasi_config_new: 'p',
  wasi_config_set_argv: 'Bpzp',
  wasi_config_set_stdout_file: 'Bps',
  wasi_config_set_stderr_file: 'Bps',
  wasi_config_set_stdin_file: 'Bps',
  wasi_config_preopen_dir: 'Bpsszz',
  wasmtime_context_set_wasi: 'ppp',
  wasmtime_linker_new: 'pp',
  wasmtime_linker_delete: 'vp',
  wasmtime_linker_define_wasi: 'pp',
  wasmtime_linker_define_func: 'ppszszpppp',
  wasmtime_linker_instantiate: 'pppppp',
  wasmtime_instance_export_get: 'Bppszp',
  wasmtime_func_call: 'ppppzpzp',
  wasmtime_error_message: 'vpp',
  wasmtime_error_exit_status: 'Bpp',
  wasmtime_error_delete: 'vp',
  wasm_trap_message: 'vpp',
  wasm_functype_new: 'ppp',
} as const;

const C_TYPES: Readonly<Record<string, string>> = {
  p: 'uintptr_t',
  z: 'size_t',
  s: 'str',
  b: 'const uint8_t *',
  B: 'bool',
  v: 'void',
};

type Api = { readonly [K in keyof typeof FUNCTIONS]: (...args: unknown[]) => number };

/** All directory and file permissions. */
const ALL = 3;
const EXTERN_FUNC = 0;

class Wasmtime {
  readonly api: Api;
  private readonly engine: number;
  /** Blocks that C reads and writes: [size, address] of vectors, results. */
  private readonly block = Buffer.alloc(256);
  private readonly at = Number(koffi.address(this.block));

  constructor(path: string) {
    const lib = koffi.load(path);
    this.api = Object.fromEntries(
      Object.entries(FUNCTIONS).map(([name, [result, ...params]]) => [
        name,
        lib.func(
          name,
          C_TYPES[result!]!,
          params.map(p => C_TYPES[p]!),
        ),
      ]),
    ) as unknown as Api;
    const config = this.api.wasm_config_new();
    this.api.wasmtime_config_parallel_compilation_set(config, false);
    this.engine = this.api.wasm_engine_new_with_config(config);
  }

  /** A byte vector that C has filled at the start of the block. */
  private bytes(): Buffer {
    const size = Number(this.block.readBigUInt64LE(0));
    const address = this.block.readBigUInt64LE(8);
    const copy = Buffer.from(new Uint8Array(koffi.view(address, size)));
    this.api.wasm_byte_vec_delete(this.at);
    return copy;
  }

  private check(error: number, trap = 0): void {
    if (error === 0 && trap === 0) return;
    if (error !== 0) this.api.wasmtime_error_message(error, this.at);
    else this.api.wasm_trap_message(trap, this.at);
    throw new Error(`wasmtime: ${this.bytes().toString()}`);
  }

  private out(at: number): number {
    return Number(this.block.readBigUInt64LE(at));
  }

  compile(bytes: Uint8Array): { module: number; textBytes: number } {
    this.check(this.api.wasmtime_module_new(this.engine, bytes, bytes.length, this.at + 64));
    const module = this.out(64);
    this.check(this.api.wasmtime_module_serialize(module, this.at));
    const { sections } = readSections(this.bytes());
    return { module, textBytes: sections.find(s => s.name === '.text')?.size ?? 0 };
  }

  private wasi(workload: Workload, streams: Streams): number {
    const { api } = this;
    const config = api.wasi_config_new();
    const args = [`${workload.name}.wasm`, ...workload.args].map(a => Buffer.from(`${a}\0`));
    const argv = Buffer.alloc(8 * args.length);
    for (const [i, a] of args.entries()) argv.writeBigUInt64LE(BigInt(koffi.address(a)), 8 * i);
    api.wasi_config_set_argv(config, args.length, Number(koffi.address(argv)));
    api.wasi_config_set_stdin_file(config, '/dev/null');
    api.wasi_config_set_stdout_file(config, streams.stdoutPath);
    api.wasi_config_set_stderr_file(config, streams.stderrPath);
    api.wasi_config_preopen_dir(config, workload.folder, '.', ALL, ALL);
    return config;
  }

  run(module: number, workload: Workload): RunResult {
    const { api, at } = this;
    const streams = new Streams();
    const store = api.wasmtime_store_new(this.engine, 0, 0);
    const linker = api.wasmtime_linker_new(this.engine);
    const watch = new Stopwatch();
    const start = callback(() => watch.start());
    const end = callback(() => watch.stop());
    try {
      const context = api.wasmtime_store_context(store);
      this.check(api.wasmtime_context_set_wasi(context, this.wasi(workload, streams)));
      this.check(api.wasmtime_linker_define_wasi(linker));
      for (const [name, pointer] of [
        ['start', start],
        ['end', end],
      ] as const) {
        // Two empty vectors: no parameters, no results.
        this.block.fill(0, 0, 32);
        const type = api.wasm_functype_new(at, at + 16);
        this.check(
          api.wasmtime_linker_define_func(linker, 'bench', 5, name, name.length, type, pointer.address, 0, 0),
        );
      }
      this.block.writeBigUInt64LE(0n, 96);
      this.check(api.wasmtime_linker_instantiate(linker, context, module, at + 64, at + 96), this.out(96));
      if (!api.wasmtime_instance_export_get(context, at + 64, '_start', 6, at + 128))
        throw new Error('wasmtime: no _start');
      if (this.block[128] !== EXTERN_FUNC) throw new Error('wasmtime: _start is no function');
      const whole = new Stopwatch();
      whole.start();
      this.block.writeBigUInt64LE(0n, 96);
      // The value of an extern lies behind its kind, 8-aligned.
      const error = api.wasmtime_func_call(context, at + 136, 0, 0, 0, 0, at + 96);
      whole.stop();
      let exit = 0;
      if (error !== 0 && api.wasmtime_error_exit_status(error, at + 192)) {
        exit = this.block.readInt32LE(192);
        api.wasmtime_error_delete(error);
      } else {
        this.check(error, this.out(96));
      }
      // Files are flushed when the store, and its WASI context with it, is gone.
      api.wasmtime_store_delete(store);
      return { runMs: watch.used ? watch.ms : whole.ms, output: streams.output(exit) };
    } finally {
      api.wasmtime_linker_delete(linker);
      start.free();
      end.free();
      streams.dispose();
    }
  }
}

/** A host function `() -> ()`. */
function callback(f: () => void): { address: number; free: () => void } {
  const pointer = koffi.register(
    () => {
      f();
      return 0;
    },
    koffi.pointer(koffi.proto('uintptr_t (uintptr_t, uintptr_t, uintptr_t, size_t, uintptr_t, size_t)')),
  );
  return { address: Number(koffi.address(pointer)), free: () => koffi.unregister(pointer) };
}

export function wasmtimeEngine(path: string): Engine {
  const wasmtime = new Wasmtime(path);
  return {
    async compile(bytes) {
      const watch = new Stopwatch();
      watch.start();
      const { module, textBytes } = wasmtime.compile(bytes);
      watch.stop();
      return { compileMs: watch.ms, textBytes, run: async workload => wasmtime.run(module, workload) };
    },
  };
}
