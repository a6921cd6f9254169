/**
 * Runs WASI programs on Node's own engine with our native WASI functions: tests of WASI that need neither our compiler
 * nor our runtime.
 */
import { execFileSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import koffi from 'koffi';

interface Preopen {
  readonly host: string;
  readonly guest: string;
  readonly readonly?: boolean;
}

export interface Run {
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly preopens?: readonly Preopen[];
  readonly stdin?: string;
}

export interface Outcome {
  readonly exit: number;
  /** Message of the trap that ended it; null: it did not trap. */
  readonly trap: string | null;
  readonly stdout: string;
  readonly stderr: string;
}

export type Walk = 'openat2' | 'components';

const native = join(import.meta.dirname, '../native');
const SOURCES = [
  'wasi.c',
  'wasi_fd.c',
  'wasi_fs.c',
  'wasi_path.c',
  'wasi_poll.c',
  'wasi_context.c',
  'wasi_io.c',
  'wasi_dir.c',
  'wasi_sock.c',
  'test/wasi_host.c',
].map(f => join(native, f));

class Exit extends Error {
  constructor(readonly code: number) {
    super(`exit ${code}`);
  }
}

export class WasiOnV8 {
  private readonly dir = mkdtempSync(join(tmpdir(), 'lucet-wasi-v8-'));
  private readonly lib: ReturnType<typeof koffi.load>;
  private readonly calls: Record<string, ReturnType<ReturnType<typeof koffi.load>['func']>> = {};

  constructor() {
    const so = join(this.dir, 'wasi-v8.so');
    const flags = [
      '-std=gnu11',
      '-O1',
      '-Wall',
      '-Wextra',
      '-Werror',
      '-shared',
      '-fPIC',
      '-fsanitize=undefined',
      '-fsanitize-undefined-trap-on-error',
    ];
    execFileSync('gcc', [...flags, join(import.meta.dirname, 'wasi-v8.c'), ...SOURCES, '-o', so], {
      stdio: 'inherit',
    });
    this.lib = koffi.load(so);
    const functions: [name: string, result: string, ...params: string[]][] = [
      ['lucet_wasi_template_new', 'void *'],
      ['lucet_wasi_template_release', 'void', 'void *'],
      ['lucet_wasi_ctx_new', 'void *', 'void *'],
      ['lucet_wasi_ctx_free', 'void', 'void *'],
      ['lucet_wasi_template_set_args', 'int', 'void *', 'const uint8_t *', 'size_t', 'uint32_t'],
      ['lucet_wasi_template_set_env', 'int', 'void *', 'const uint8_t *', 'size_t', 'uint32_t'],
      ['lucet_wasi_template_set_stdio', 'int', 'void *', 'uint32_t', 'uint32_t', 'int'],
      ['lucet_wasi_template_preopen', 'int', 'void *', 'str', 'str', 'uint32_t'],
      ['wasi_v8_call', 'int', 'str', 'str', 'uint8_t *', 'uint64_t', 'uint64_t *', 'void *'],
      ['wasi_v8_signature', 'str', 'str', 'str'],
      ['wasi_v8_set_walk', 'void', 'int'],
    ];
    for (const [name, result, ...params] of functions) this.calls[name] = this.lib.func(name, result, params);
  }

  close(): void {
    this.lib.unload();
    rmSync(this.dir, { recursive: true });
  }

  setWalk(walk: Walk): void {
    this.calls.wasi_v8_set_walk(walk === 'openat2' ? 1 : 2);
  }

  /** Type of a function as lucet_wasi_lookup tells it; null: there is none. */
  signature(module: string, name: string): string | null {
    return this.calls.wasi_v8_signature(module, name) as string | null;
  }

  run(wasm: Uint8Array, options: Run = {}): Outcome {
    const { calls } = this;
    const file = (name: string): string => join(this.dir, name);
    writeFileSync(file('stdin'), options.stdin ?? '');
    const fds = [openSync(file('stdin'), 'r'), openSync(file('stdout'), 'w'), openSync(file('stderr'), 'w')];
    const template: unknown = calls.lucet_wasi_template_new();
    let ctx: unknown = null;
    const check = (error: number, what: string): void => {
      if (error !== 0) throw new Error(`${what}: errno ${error}`);
    };
    const strings = (list: readonly string[]): Buffer => Buffer.from(list.map(s => `${s}\0`).join(''));
    let exit = 0;
    let trap: string | null = null;
    try {
      const args = options.args ?? ['test.wasm'];
      check(
        calls.lucet_wasi_template_set_args(template, strings(args), strings(args).length, args.length),
        'args',
      );
      const env = Object.entries(options.env ?? {}).map(([k, v]) => `${k}=${v}`);
      check(
        calls.lucet_wasi_template_set_env(template, strings(env), strings(env).length, env.length),
        'env',
      );
      fds.forEach((fd, i) => {
        check(calls.lucet_wasi_template_set_stdio(template, i, 2, fd), 'stdio');
      });
      for (const p of options.preopens ?? []) {
        check(calls.lucet_wasi_template_preopen(template, p.host, p.guest, p.readonly ? 1 : 0), p.host);
      }
      ctx = calls.lucet_wasi_ctx_new(template);
      this.start(wasm, ctx);
    } catch (e) {
      if (e instanceof Exit) exit = e.code;
      else if (e instanceof WebAssembly.RuntimeError) trap = e.message;
      else throw e;
    } finally {
      calls.lucet_wasi_ctx_free(ctx);
      calls.lucet_wasi_template_release(template);
      for (const fd of fds) closeSync(fd);
    }
    return {
      exit,
      trap,
      stdout: readFileSync(file('stdout'), 'utf8'),
      stderr: readFileSync(file('stderr'), 'utf8'),
    };
  }

  private start(wasm: Uint8Array, ctx: unknown): void {
    const module = new WebAssembly.Module(wasm as Uint8Array<ArrayBuffer>);
    let memory: WebAssembly.Memory | null = null;
    const imports: Record<string, Record<string, WebAssembly.ImportValue>> = {};
    for (const { module: from, name } of WebAssembly.Module.imports(module)) {
      const signature = this.signature(from, name);
      if (signature === null) throw new Error(`no function ${from} ${name}`);
      const params = signature.slice(0, signature.indexOf(':'));
      (imports[from] ??= {})[name] = (...values: (number | bigint)[]): number => {
        // The upper half of an i32's word is undefined: fill it with what would be noticed.
        const args = BigUint64Array.from({ length: 10 }, (_, i) => {
          if (i >= params.length) return 0n;
          return params[i] === 'I'
            ? BigInt.asUintN(64, values[i] as bigint)
            : 0xdead_beef_0000_0000n | BigInt((values[i] as number) >>> 0);
        });
        const bytes = new Uint8Array(memory!.buffer);
        const left = this.calls.wasi_v8_call(from, name, bytes, bytes.length, args, ctx) as number;
        if (left !== 0) throw new Exit(Number(args[0]));
        return Number(args[0]);
      };
    }
    const instance = new WebAssembly.Instance(module, imports);
    memory = instance.exports.memory as WebAssembly.Memory;
    (instance.exports._start as () => void)();
  }
}
