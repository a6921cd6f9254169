/**
 * Binaryen's wasm-opt inside this process: starting it takes longer than what it does here. Its script is made for
 * `node wasm-opt …`, so it is run as the body of a function, with a `process` of its own; the WebAssembly module in it
 * is compiled once.
 */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname } from 'node:path';
import { compileFunction } from 'node:vm';

/** What the script looks for in its `Module`. */
interface EmscriptenModule {
  instantiateWasm?: (
    imports: WebAssembly.Imports,
    receive: (instance: WebAssembly.Instance) => void,
  ) => object;
  readonly print: (line: string) => void;
  readonly printErr: (line: string) => void;
}

type Script = (
  module: EmscriptenModule,
  require: NodeJS.Require,
  process: object,
  filename: string,
  dirname: string,
  webAssembly: object,
) => Promise<void>;

const START = 'createWasm().then(()=>run());';

export class WasmOpt {
  readonly #path = createRequire(import.meta.url).resolve('binaryen/bin/wasm-opt');
  readonly #script: Script;
  #compiled: WebAssembly.Module | null = null;

  constructor() {
    const source = readFileSync(this.#path, 'utf8').replace(/^#!.*/, '');
    const start = source.lastIndexOf(START);
    if (start < 0) throw new Error(`${this.#path}: does not start as expected`);
    this.#script = compileFunction(
      `${source.slice(0, start)}return ${START}`,
      ['Module', 'require', 'process', '__filename', '__dirname', 'WebAssembly'],
      { filename: this.#path },
    ) as Script;
  }

  /** Runs it with arguments; its files are those of the file system. Returns null, or what it complained of. */
  async run(args: readonly string[]): Promise<string | null> {
    const output: string[] = [];
    const print = (line: string): void => {
      output.push(line);
    };
    const module: EmscriptenModule = { print, printErr: print };
    if (this.#compiled !== null) {
      const compiled = this.#compiled;
      module.instantiateWasm = (imports, receive) => {
        receive(new WebAssembly.Instance(compiled, imports));
        return {};
      };
    }
    const env = Object.create(process, {
      argv: { value: ['node', this.#path, ...args] },
      exitCode: { value: 0, writable: true },
    }) as { exitCode: number };
    const webAssembly = {
      Memory: WebAssembly.Memory,
      Table: WebAssembly.Table,
      RuntimeError: WebAssembly.RuntimeError,
      instantiate: (bytes: Uint8Array, imports: WebAssembly.Imports) => {
        this.#compiled = new WebAssembly.Module(bytes);
        return { instance: new WebAssembly.Instance(this.#compiled, imports) };
      },
    };
    try {
      await this.#script(
        module,
        createRequire(this.#path),
        env,
        this.#path,
        dirname(this.#path),
        webAssembly,
      );
    } catch (e) {
      return `${e instanceof Error ? e.message : String(e)}\n${output.join('\n')}`;
    }
    return env.exitCode === 0 ? null : `exit ${env.exitCode}\n${output.join('\n')}`;
  }
}
